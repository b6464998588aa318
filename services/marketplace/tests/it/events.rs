//! What others' events do to ads, orders and follows.

use proto::events::v1::{MediaDeleted, UserDeleted};
use proto::marketplace::v1::{
    AdState, CreateAdRequest, CreateFollowRequest, GetOrderRequest, ListFollowsRequest, OrderState,
};
use proto::media::v1::Kind;
use uuid::Uuid;

use crate::{Somebody, World, an_ad, refused};

pub(crate) fn gone(person: &Somebody) -> UserDeleted {
    UserDeleted { user_id: person.number, user_uuid: person.id.to_string(), phone_number: None }
}

#[tokio::test]
async fn a_person_who_is_gone_takes_ads_and_follows_along_and_nobody_waits() {
    let world = World::start().await;
    let (ana, beto, eva) = (world.seller(1), world.seller(2), world.buyer(3));
    let (bought, sold) = (beto.offers("Toro").await, ana.offers("Vaca").await);
    let (done, idle) = (ana.offers("Yegua").await, ana.offers("Potro").await);
    let from_beto = ana.buys(bought.id).await.unwrap();
    let to_eva = eva.buys(sold.id).await.unwrap();
    let completed = eva.buys(done.id).await.unwrap();
    let request = proto::marketplace::v1::CompleteOrderRequest { id: completed.id };
    ana.orders().complete_order(request).await.unwrap();
    for (follower, number) in [(&ana, 2), (&eva, 1), (&eva, 2)] {
        follower.follows().create_follow(CreateFollowRequest { following_number: number }).await.unwrap();
    }
    world.published().await;

    for _ in 0..2 {
        world.deliver(&gone(&ana)).await;
        world.clear().await;
    }
    for id in [sold.id, done.id, idle.id] {
        refused!(ana.sees(id).await, NotFound, "AD_NOT_FOUND");
    }
    assert_eq!(beto.sees(bought.id).await.unwrap().state(), AdState::Active);
    let state = async |somebody: &Somebody, id| {
        somebody.orders().get_order(GetOrderRequest { id }).await.unwrap().into_inner().state()
    };
    assert_eq!(state(&beto, from_beto.id).await, OrderState::Cancelled);
    assert_eq!(state(&eva, to_eva.id).await, OrderState::Cancelled);
    assert_eq!(state(&eva, completed.id).await, OrderState::Completed);
    let follows = eva.follows().list_follows(ListFollowsRequest::default()).await.unwrap().into_inner().follows;
    assert_eq!(follows.iter().map(|follow| follow.following_number).collect::<Vec<_>>(), [2]);
    let mut told = world.told().await;
    told.sort();
    let expected = [("add.deleted", 3), ("add.updated", 2), ("follow.deleted", 2), ("order.cancelled", 2)];
    let expected: Vec<_> = expected.iter().flat_map(|(kind, times)| vec![(*kind).to_owned(); *times]).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_file_that_is_gone_is_shown_no_more() {
    let world = World::start().await;
    let ana = world.seller(1);
    let files: Vec<Uuid> = (0..3).map(|_| world.media.file(None, Kind::Image)).collect();
    let texts = |ids: &[Uuid]| ids.iter().map(Uuid::to_string).collect::<Vec<_>>();
    let new = |main: Uuid, others: &[Uuid]| CreateAdRequest {
        main_image_id: main.to_string(),
        secondary_image_ids: texts(others),
        ..an_ad("Toro")
    };
    let first = ana.publish(new(files[0], &[files[1], files[2]])).await;
    let second = ana.publish(new(files[1], &[files[0]])).await;
    world.published().await;
    for _ in 0..2 {
        world.deliver(&MediaDeleted { media_id: 1, media_uuid: files[1].to_string(), url: None }).await;
    }
    let (first, second) = (ana.sees(first.id).await.unwrap(), ana.sees(second.id).await.unwrap());
    assert_eq!((first.main_image_id, first.secondary_image_ids), (Some(files[0].to_string()), texts(&[files[2]])));
    assert_eq!((second.main_image_id, second.secondary_image_ids), (None, texts(&[files[0]])));
    assert_eq!(world.told().await, ["add.updated", "add.updated"]);
}

#[tokio::test]
async fn two_who_bought_from_each_other_may_leave_at_once() {
    let world = World::start().await;
    for round in 0..5 {
        let (ana, beto) = (world.seller(2 * round + 1), world.seller(2 * round + 2));
        let mut orders = Vec::new();
        for _ in 0..3 {
            orders.push(beto.buys(ana.offers("Toro").await.id).await.unwrap().id);
            orders.push(ana.buys(beto.offers("Vaca").await.id).await.unwrap().id);
        }
        let (ana_goes, beto_goes) = (gone(&ana), gone(&beto));
        tokio::join!(world.deliver(&ana_goes), world.deliver(&beto_goes));
        tokio::join!(world.clear(), world.clear());
        let states =
            sqlx::query_scalar::<_, String>("select distinct state from orders where id = any($1)").bind(orders);
        assert_eq!(states.fetch_all(&world.harness.service.db).await.unwrap(), ["CANCELLED"]);
    }
}
