//! Following, and what those one follows have for sale.

use proto::marketplace::v1::{
    AdState, CreateFollowRequest, DeleteFollowRequest, Follow, GetFollowRequest, ListFollowedAdsRequest,
    ListFollowsRequest,
};
use tonic::Status;

use crate::{Somebody, World, refused};

async fn follow(somebody: &Somebody, number: i64) -> Result<Follow, Status> {
    Ok(somebody.follows().create_follow(CreateFollowRequest { following_number: number }).await?.into_inner())
}

async fn followed(somebody: &Somebody, request: ListFollowsRequest) -> Vec<i64> {
    let answer = somebody.follows().list_follows(request).await.unwrap().into_inner();
    answer.follows.into_iter().map(|follow| follow.following_number).collect()
}

#[tokio::test]
async fn one_follows_others_once_and_oneself_never() {
    let world = World::start().await;
    let (ana, beto) = (world.buyer(17), world.seller(22));
    let row = follow(&ana, 22).await.unwrap();
    assert_eq!((row.follower_number, row.following_number), (17, 22));
    assert_eq!((row.follower_id, row.following_id), (ana.id.to_string(), beto.id.to_string()));
    refused!(follow(&ana, 22).await, AlreadyExists, "FOLLOWS_ALREADY");
    refused!(follow(&ana, 17).await, InvalidArgument, "FOLLOWS_SELF");
    refused!(follow(&ana, 99).await, NotFound, "USER_NOT_FOUND");
    refused!(follow(&world.nobody, 22).await, Unauthenticated, "NOT_SIGNED_IN");
    follow(&beto, 17).await.unwrap();

    let data = serde_json::json!({
        "follow_id": row.id, "follower_id": 17, "follower_uuid": ana.id, "following_id": 22, "following_uuid": beto.id,
    });
    assert_eq!(world.published().await[0], ("follow.created".into(), "17".into(), data));
}

#[tokio::test]
async fn two_at_once_make_one_row() {
    let world = World::start().await;
    let ana = world.buyer(17);
    world.seller(22);
    let both = tokio::join!(follow(&ana, 22), follow(&ana, 22));
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    assert_eq!(world.told().await, ["follow.created"]);
}

#[tokio::test]
async fn a_row_is_the_business_of_its_two_people() {
    let world = World::start().await;
    let (ana, beto, eva, admin) = (world.buyer(1), world.seller(2), world.buyer(3), world.admin());
    let id = follow(&ana, 2).await.unwrap().id;
    for somebody in [&ana, &beto, &admin] {
        somebody.follows().get_follow(GetFollowRequest { id }).await.unwrap();
    }
    refused!(eva.follows().get_follow(GetFollowRequest { id }).await, NotFound, "FOLLOW_NOT_FOUND");
    refused!(world.nobody.follows().get_follow(GetFollowRequest { id }).await, Unauthenticated, "NOT_SIGNED_IN");
    let request = DeleteFollowRequest { id };
    refused!(world.nobody.follows().delete_follow(request).await, Unauthenticated, "NOT_SIGNED_IN");
    for somebody in [&beto, &eva] {
        refused!(somebody.follows().delete_follow(request).await, PermissionDenied, "NOT_YOURS");
    }
    ana.follows().get_follow(GetFollowRequest { id }).await.unwrap();
    world.published().await;
    ana.follows().delete_follow(request).await.unwrap();
    assert_eq!(world.told().await, ["follow.deleted"]);
    refused!(ana.follows().delete_follow(request).await, NotFound, "FOLLOW_NOT_FOUND");
    follow(&ana, 2).await.unwrap();
}

#[tokio::test]
async fn lists_are_ones_own_in_both_directions() {
    let world = World::start().await;
    let ana = world.buyer(1);
    for number in 2..=6 {
        let other = world.seller(number);
        follow(&ana, number).await.unwrap();
        if number % 2 == 0 {
            follow(&other, 1).await.unwrap();
        }
    }
    let first = ListFollowsRequest { page_size: 2, ..Default::default() };
    for (newest_first, expected) in [(false, [2, 3, 4, 5, 6]), (true, [6, 5, 4, 3, 2])] {
        let (mut page_token, mut seen) = (String::new(), Vec::new());
        loop {
            let request = ListFollowsRequest { page_token, newest_first, ..first.clone() };
            let page = ana.follows().list_follows(request).await.unwrap().into_inner();
            assert_eq!(page.total_size, 5);
            seen.extend(page.follows.iter().map(|follow| follow.following_number));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
    assert_eq!(followed(&ana, ListFollowsRequest { skip: 3, ..first.clone() }).await, [5, 6]);
    let followers = ListFollowsRequest { followers: true, ..Default::default() };
    let page = ana.follows().list_follows(followers).await.unwrap().into_inner();
    let numbers: Vec<_> = page.follows.iter().map(|follow| follow.follower_number).collect();
    assert_eq!((numbers, page.total_size), (vec![2, 4, 6], 3));
    refused!(world.nobody.follows().list_follows(first).await, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn one_sees_what_those_one_follows_have_for_sale() {
    let world = World::start().await;
    let (ana, beto, eva, other) = (world.buyer(1), world.seller(2), world.seller(3), world.seller(4));
    let mut expected = Vec::new();
    for (n, person) in [&beto, &eva, &other, &beto, &eva].into_iter().enumerate() {
        let ad = person.offers(&n.to_string()).await;
        world.tick();
        if person.number != 4 {
            expected.insert(0, ad.id);
        }
    }
    for number in [2, 3] {
        follow(&ana, number).await.unwrap();
    }
    let seen = async || -> Vec<i64> {
        let answer = ana.ads().list_followed_ads(ListFollowedAdsRequest {}).await.unwrap().into_inner();
        answer.ads.iter().map(|ad| ad.id).collect()
    };
    assert_eq!(seen().await, expected);
    beto.moves(expected[1], AdState::Paused).await.unwrap();
    eva.moves(expected[0], AdState::Sold).await.unwrap();
    assert_eq!(seen().await, expected[2..]);
    refused!(world.nobody.ads().list_followed_ads(ListFollowedAdsRequest {}).await, Unauthenticated, "NOT_SIGNED_IN");
}
