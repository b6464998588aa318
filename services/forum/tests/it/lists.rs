use proto::forum::v1::{
    JoinCommunityRequest, LeaveCommunityRequest, ListFeedRequest, ListPostsRequest, ListPostsResponse, PinPostRequest,
    PostOrder, TimeWindow,
};

use crate::{Somebody, World, refused};

async fn list(person: &Somebody, request: ListPostsRequest) -> ListPostsResponse {
    person.posts().list_posts(request).await.unwrap().into_inner()
}

fn ids(page: &ListPostsResponse) -> Vec<i64> {
    page.posts.iter().map(|post| post.id).collect()
}

/// Every page, by tokens.
async fn pages(person: &Somebody, request: &ListPostsRequest) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = list(person, ListPostsRequest { page_token, ..request.clone() }).await;
        pages.push(ids(&page));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

/// Posts without limits on how many.
async fn world() -> World {
    World::with(&["--writes-per-minute", "100000"]).await
}

#[tokio::test]
async fn newest_first_pages_follow_one_another() {
    let world = world().await;
    let ana = world.person(1);
    let mut written = Vec::new();
    for n in 0..5 {
        // Two of one moment are told apart by id.
        world.pass(n % 2);
        written.push(ana.post(&format!("Post {n}"), None).await.id);
    }
    written.reverse();
    let request = ListPostsRequest { page_size: 2, ..Default::default() };
    assert_eq!(pages(&world.nobody(), &request).await.concat(), written);
    let skipping = ListPostsRequest { skip: 3, ..request.clone() };
    let page = list(&ana, skipping).await;
    assert_eq!((ids(&page), page.total_size, page.next_page_token.as_str()), (written[3..].to_vec(), 5, ""));
    let beyond = list(&ana, ListPostsRequest { skip: 5, ..request.clone() }).await;
    assert_eq!((beyond.posts.len(), beyond.total_size), (0, 5));

    // New posts do not push others over the edge of a page.
    let first = list(&ana, request.clone()).await;
    ana.post("Nuevo", None).await;
    let page_token = first.next_page_token;
    assert_eq!(
        ids(&list(&ana, ListPostsRequest { page_token: page_token.clone(), ..request.clone() }).await),
        written[2..4]
    );
    let other = ListPostsRequest { order: PostOrder::Hot.into(), page_token, ..request };
    refused!(ana.posts().list_posts(other).await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn every_order_is_what_its_name_says() {
    let world = world().await;
    let ana = world.person(1);
    let mut posts = Vec::new();
    // Hours between them; then hearts, likes, dislikes.
    for votes in [[0, 2000, 0], [3, 2, 5], [1, 0, 0], [0, 0, 4], [50, 50, 99]] {
        world.pass(60);
        let id = ana.post("Post", None).await.id;
        world.vote(id, votes[0], votes[1], votes[2]).await;
        posts.push(id);
    }
    let [a, b, c, d, e] = posts[..] else { panic!("five posts") };
    sqlx::query("update posts set last_activity_at = last_activity_at + interval '9 hours' where id = $1")
        .bind(b)
        .execute(world.db())
        .await
        .unwrap();
    for (order, expected) in [
        (PostOrder::New, [e, d, c, b, a]),
        (PostOrder::Top, [a, e, c, b, d]),
        // log10(2000) = 3.3 weighs as much as 41 hours; dislikes of 4 take away 7.5 hours.
        (PostOrder::Hot, [a, e, c, b, d]),
        (PostOrder::Active, [b, e, d, c, a]),
        (PostOrder::Controversial, [e, b, d, c, a]),
    ] {
        let request = ListPostsRequest { page_size: 2, order: order.into(), ..Default::default() };
        assert_eq!(pages(&ana, &request).await.concat(), expected, "{order:?}");
        let author = ListPostsRequest { author_id: ana.id.to_string(), ..request.clone() };
        assert_eq!(pages(&ana, &author).await.concat(), expected, "{order:?}");
        let skipping = ListPostsRequest { skip: 2, ..request };
        assert_eq!(pages(&ana, &skipping).await.concat(), expected[2..], "{order:?}");
    }
}

#[tokio::test]
async fn windows_leave_out_what_is_older() {
    let world = world().await;
    let ana = world.person(1);
    let mut posts = Vec::new();
    for (days, score) in [(0, 9), (300, 8), (50, 7), (20, 6), (5, 5), (1, 4)] {
        world.pass(days * 24 * 60);
        let id = ana.post("Post", None).await.id;
        world.vote(id, 0, score, 1).await;
        posts.push(id);
    }
    world.pass(60);
    for (window, left) in [
        (TimeWindow::Day, 1),
        (TimeWindow::Week, 3),
        (TimeWindow::Month, 4),
        (TimeWindow::Year, 5),
        (TimeWindow::All, 6),
        (TimeWindow::Unspecified, 6),
    ] {
        let expected = &posts[posts.len() - left..];
        let request = ListPostsRequest {
            page_size: 2,
            order: PostOrder::Top.into(),
            window: window.into(),
            ..Default::default()
        };
        assert_eq!(pages(&ana, &request).await.concat(), expected, "{window:?}");
        assert_eq!(list(&ana, request).await.total_size as usize, left);
    }
    let ignored = ListPostsRequest { window: TimeWindow::Day.into(), ..Default::default() };
    assert_eq!(list(&ana, ignored).await.total_size, 6);
}

#[tokio::test]
async fn pinned_posts_stand_first_in_their_community_in_every_order() {
    let world = world().await;
    let ana = world.person(1);
    let community = ana.found("uno").await.id;
    let mut posts = Vec::new();
    for n in 0..6 {
        world.pass(1);
        let id = ana.post(&format!("Post {n}"), Some(community)).await.id;
        world.vote(id, n, 0, 0).await;
        posts.push(id);
    }
    ana.post("Sin comunidad", None).await;
    for id in [posts[1], posts[3]] {
        world.pass(1);
        let pin = PinPostRequest { post_id: id, pinned: true, reason: String::new() };
        ana.moderation().pin_post(pin).await.unwrap();
    }
    let expected = [3, 1, 5, 4, 2, 0].map(|n| posts[n]);
    for order in [PostOrder::New, PostOrder::Top, PostOrder::Hot] {
        for page_size in [1, 2, 3, 10] {
            let request = ListPostsRequest {
                page_size,
                community_id: Some(community),
                order: order.into(),
                ..Default::default()
            };
            assert_eq!(pages(&ana, &request).await.concat(), expected, "{order:?} by {page_size}");
            assert_eq!(list(&ana, request.clone()).await.total_size, 6);
            for skip in [1, 2, 4] {
                let request = ListPostsRequest { skip, ..request.clone() };
                assert_eq!(pages(&ana, &request).await.concat(), expected[skip as usize..], "{order:?} from {skip}");
            }
        }
    }
    let unknown = ListPostsRequest { community_id: Some(999), ..Default::default() };
    assert_eq!(list(&ana, unknown).await.total_size, 0);
}

#[tokio::test]
async fn the_feed_looks_into_so_many_communities_and_no_more() {
    let world = world().await;
    let ana = world.person(1);
    let communities = "insert into communities (name, slug, created_at, posts_count)
        select 'c' || n, 'c' || n, now(), 1 from generate_series(1, 1100) n";
    sqlx::query(communities).execute(world.db()).await.unwrap();
    let memberships = "insert into memberships (community_id, user_id, user_number, joined_at)
        select id, $1, 1, now() from communities where joined_by is null";
    sqlx::query(memberships).bind(ana.id).execute(world.db()).await.unwrap();
    let page = ana.posts().list_feed(ListFeedRequest::default()).await.unwrap().into_inner();
    assert_eq!((page.posts.len(), page.total_size), (0, 1_004));
}

#[tokio::test]
async fn the_feed_is_of_ones_own_communities() {
    let world = world().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let (one, two, three) = (ana.found("uno").await.id, ana.found("dos").await.id, ana.found("tres").await.id);
    let mut expected = Vec::new();
    for community in [Some(one), Some(two), None, Some(three), Some(one)] {
        world.pass(1);
        let id = ana.post("Post", community).await.id;
        if community == Some(one) || community == Some(two) {
            expected.insert(0, id);
        }
    }
    for id in [one, two, three] {
        ben.communities().join_community(JoinCommunityRequest { id }).await.unwrap();
    }
    ben.communities().leave_community(LeaveCommunityRequest { id: three }).await.unwrap();
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListFeedRequest { page_size: 1, page_token, ..Default::default() };
        let page = ben.posts().list_feed(request).await.unwrap().into_inner();
        assert_eq!(page.total_size, 3);
        seen.extend(ids(&page));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
    let skipping = ListFeedRequest { skip: 2, ..Default::default() };
    assert_eq!(ids(&ben.posts().list_feed(skipping).await.unwrap().into_inner()), expected[2..]);
    let nobody = world.nobody().posts().list_feed(ListFeedRequest::default()).await;
    refused!(nobody, Unauthenticated, "NOT_SIGNED_IN");
    let stranger = world.person(9).posts().list_feed(ListFeedRequest::default()).await.unwrap().into_inner();
    assert_eq!((stranger.posts.len(), stranger.total_size), (0, 0));
}
