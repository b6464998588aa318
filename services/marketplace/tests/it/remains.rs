//! What is left when people and files are gone, much of it too, and what was being written at that moment.

use std::collections::BTreeMap;

use proto::events::v1::MediaDeleted;
use proto::marketplace::v1::{
    AdState, CompleteOrderRequest, CreateFollowRequest, GetOrderRequest, ListFollowsRequest, OrderState,
    PurchaseAdRequest,
};
use sqlx::{PgPool, PgTransaction};
use testkit::eventually;
use uuid::Uuid;

use crate::events::gone;
use crate::{Somebody, World, an_ad, refused};

impl Somebody {
    async fn orders_with(&self, ad_id: i64, note: &str, request_id: &str) -> i64 {
        let request = PurchaseAdRequest { ad_id, note: note.to_owned(), request_id: request_id.to_owned() };
        self.orders().purchase_ad(request).await.unwrap().into_inner().id
    }

    async fn follow(&self, following_number: i64) -> Result<(), tonic::Status> {
        self.follows().create_follow(CreateFollowRequest { following_number }).await.map(drop)
    }

    /// The numbers of those who follow them, or whom they follow.
    async fn followed(&self, followers: bool) -> Vec<i64> {
        let request = ListFollowsRequest { followers, ..Default::default() };
        let follows = self.follows().list_follows(request).await.unwrap().into_inner().follows;
        let other = |follow: &proto::marketplace::v1::Follow| match followers {
            true => follow.follower_number,
            false => follow.following_number,
        };
        follows.iter().map(other).collect()
    }
}

/// Ads of this person that show this file, the first `ordered` of them ordered by somebody else each.
async fn offer_many(db: &PgPool, person: &Somebody, file: Uuid, many: i32, ordered: i32) {
    sqlx::query(
        "insert into ads (publisher_id, publisher_number, title, description, price, category_id, condition,
             main_image_id, state, created_at, updated_at)
         select $1, $2, 'Toro', 'Sano', 1, 1, 'NEW', $3, case when n <= $5::int then 'ORDERED' else 'ACTIVE' end,
             now(), now()
         from generate_series(1, $4::int) n",
    )
    .bind(person.id)
    .bind(person.number)
    .bind(file)
    .bind(many)
    .bind(ordered)
    .execute(db)
    .await
    .unwrap();
    sqlx::query(
        "insert into orders (ad_id, ad_title, buyer_id, buyer_number, seller_id, seller_number, price, state, note,
             created_at, updated_at)
         select id, title, gen_random_uuid(), 1000 + id, publisher_id, publisher_number, price, 'PLACED', '¿Mañana?',
             now(), now()
         from ads where state = 'ORDERED'",
    )
    .execute(db)
    .await
    .unwrap();
}

/// Most of what was published in one transaction, by the keys that were locked for it.
async fn most_keys_at_once(db: &PgPool) -> i64 {
    let most = "select max(keys)
         from (select count(distinct key) as keys from outbox group by xmin::text) as transactions";
    sqlx::query_scalar(most).fetch_one(db).await.unwrap()
}

async fn told(world: &World) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for kind in world.told().await {
        *times.entry(kind).or_default() += 1;
    }
    times
}

fn times<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.map(|(kind, times)| (kind.to_owned(), times)).into()
}

#[tokio::test]
async fn a_person_with_much_goes_in_steps() {
    let world = World::start().await;
    let (db, ana) = (&world.harness.service.db, world.seller(1));
    offer_many(db, &ana, Uuid::now_v7(), 700, 300).await;
    sqlx::query(
        "insert into orders (ad_id, ad_title, buyer_id, buyer_number, seller_id, seller_number, price, state, note,
             created_at, updated_at)
         select 10000 + n, 'Vaca', $1, 1, gen_random_uuid(), 2, 1, 'COMPLETED', '¿Mañana?', now(), now()
         from generate_series(1, 500) n",
    )
    .bind(ana.id)
    .execute(db)
    .await
    .unwrap();
    sqlx::query(
        "insert into follows (follower_id, follower_number, following_id, following_number, created_at)
         select gen_random_uuid(), 1000 + n, $1, 1, now() from generate_series(1, 700) n
         union all
         select $1, 1, gen_random_uuid(), 1000 + n, now() from generate_series(1, 300) n",
    )
    .bind(ana.id)
    .execute(db)
    .await
    .unwrap();

    world.deliver(&gone(&ana)).await;
    world.clear().await;
    let most = most_keys_at_once(db).await;
    assert!(most <= 300, "{most}");
    let expected =
        times([("add.deleted", 700), ("add.updated", 300), ("follow.deleted", 1000), ("order.cancelled", 300)]);
    assert_eq!(told(&world).await, expected);
    let left: (i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from ads), (select count(*) from follows),
             (select count(*) from orders where state = 'PLACED'),
             (select count(*) from orders where buyer_number = 1 and note <> '')",
    )
    .fetch_one(db)
    .await
    .unwrap();
    assert_eq!(left, (0, 0, 0, 0));
    // Those who had ordered something are still here, and so is what they said.
    let notes = sqlx::query_scalar::<_, i64>("select count(*) from orders where note = '¿Mañana?'");
    assert_eq!(notes.fetch_one(db).await.unwrap(), 300);
    world.clear().await;
    assert!(world.told().await.is_empty());
}

#[tokio::test]
async fn a_file_in_many_ads_goes_in_steps() {
    let world = World::start().await;
    let (db, ana) = (&world.harness.service.db, world.seller(1));
    let (file, other) = (Uuid::now_v7(), Uuid::now_v7());
    offer_many(db, &ana, file, 700, 0).await;
    offer_many(db, &ana, other, 1, 0).await;
    for _ in 0..2 {
        world.deliver(&MediaDeleted { media_id: 1, media_uuid: file.to_string(), url: None }).await;
    }
    world.clear().await;
    let most = most_keys_at_once(db).await;
    assert!(most <= 300, "{most}");
    assert_eq!(told(&world).await, times([("add.updated", 700)]));
    let shown = sqlx::query_scalar::<_, Uuid>("select main_image_id from ads where main_image_id is not null");
    assert_eq!(shown.fetch_all(db).await.unwrap(), [other]);
    world.clear().await;
    assert!(world.told().await.is_empty());
}

#[tokio::test]
async fn what_a_buyer_has_noted_goes_with_them() {
    let world = World::start().await;
    let (ana, beto, eva) = (world.seller(1), world.buyer(2), world.buyer(3));
    let mut orders = Vec::new();
    for buyer in [&beto, &eva] {
        let (done, open) = (ana.offers("Yegua").await, ana.offers("Potro").await);
        let id = buyer.orders_with(done.id, "¿Mañana?", "").await;
        ana.orders().complete_order(CompleteOrderRequest { id }).await.unwrap();
        orders.extend([id, buyer.orders_with(open.id, "Llamar al 8888 7777", "").await]);
    }
    world.deliver(&gone(&eva)).await;
    world.clear().await;
    let mut seen = Vec::new();
    for id in orders {
        let order = ana.orders().get_order(GetOrderRequest { id }).await.unwrap().into_inner();
        seen.push((order.state(), order.note));
    }
    let expected = [
        (OrderState::Completed, "¿Mañana?"),
        (OrderState::Placed, "Llamar al 8888 7777"),
        (OrderState::Completed, ""),
        (OrderState::Cancelled, ""),
    ];
    assert_eq!(seen, expected.map(|(state, note)| (state, note.to_owned())));
}

#[tokio::test]
async fn nothing_is_written_by_or_about_somebody_who_is_gone() {
    let world = World::start().await;
    let (ana, beto, eva) = (world.seller(1), world.seller(2), world.buyer(3));
    let (hers, his) = (ana.offers("Vaca").await, beto.offers("Toro").await);
    world.deliver(&gone(&ana)).await;
    // A token that is still good, and a `users` that has not heard of it.
    refused!(ana.ads().create_ad(an_ad("Yegua")).await, NotFound, "USER_NOT_FOUND");
    refused!(ana.buys(his.id).await, NotFound, "USER_NOT_FOUND");
    refused!(ana.follow(2).await, NotFound, "USER_NOT_FOUND");
    refused!(eva.follow(1).await, NotFound, "USER_NOT_FOUND");
    refused!(eva.buys(hers.id).await, NotFound, "AD_NOT_FOUND");
    world.clear().await;
    refused!(ana.ads().create_ad(an_ad("Yegua")).await, NotFound, "USER_NOT_FOUND");
    eva.buys(his.id).await.unwrap();
    eva.follow(2).await.unwrap();
}

/// How many wait for somebody's lock.
async fn waiting(db: &PgPool) -> i64 {
    let waiting = "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(db).await.unwrap()
}

/// Somebody goes while `write` waits for what `held` has locked, until they have to wait for it.
async fn meanwhile<T>(
    world: &World,
    goes: &Somebody,
    held: PgTransaction<'static>,
    write: impl Future<Output = T>,
) -> T {
    let (db, event) = (&world.harness.service.db, gone(goes));
    let going = async {
        eventually("the write waits", async || waiting(db).await == 1).await;
        world.deliver(&event).await;
    };
    let holding = async {
        eventually("who goes waits for the write", async || waiting(db).await == 2).await;
        held.rollback().await.unwrap();
    };
    let (written, (), ()) = tokio::join!(write, going, holding);
    written
}

#[tokio::test]
async fn an_ad_that_was_being_published_goes_with_its_publisher() {
    let world = World::start().await;
    let ana = world.seller(1);
    let mut held = world.harness.service.db.begin().await.unwrap();
    sqlx::query("select from categories where id = 24 for update").execute(&mut *held).await.unwrap();
    let ad = meanwhile(&world, &ana, held, ana.offers("Toro")).await;
    world.clear().await;
    refused!(ana.sees(ad.id).await, NotFound, "AD_NOT_FOUND");
}

#[tokio::test]
async fn an_order_that_was_being_placed_is_cancelled_when_its_buyer_goes() {
    let world = World::start().await;
    let (ana, eva) = (world.seller(1), world.buyer(3));
    let ad = ana.offers("Toro").await;
    let mut held = world.harness.service.db.begin().await.unwrap();
    sqlx::query(
        "insert into orders (ad_id, ad_title, buyer_id, buyer_number, seller_id, seller_number, price, state, note,
             request_id, created_at, updated_at)
         values (0, '', $1, 3, gen_random_uuid(), 1, 1, 'CANCELLED', '', 'toro-1', now(), now())",
    )
    .bind(eva.id)
    .execute(&mut *held)
    .await
    .unwrap();
    let id = meanwhile(&world, &eva, held, eva.orders_with(ad.id, "¿Mañana?", "toro-1")).await;
    world.clear().await;
    let order = ana.orders().get_order(GetOrderRequest { id }).await.unwrap().into_inner();
    assert_eq!((order.state(), order.note.as_str()), (OrderState::Cancelled, ""));
    assert_eq!(ana.sees(ad.id).await.unwrap().state(), AdState::Active);
}

#[tokio::test]
async fn a_follow_that_was_being_made_goes_with_either_side() {
    let world = World::start().await;
    for (round, follower_goes) in [(0, true), (1, false)] {
        let (ana, beto) = (world.seller(2 * round + 1), world.seller(2 * round + 2));
        let mut held = world.harness.service.db.begin().await.unwrap();
        sqlx::query(
            "insert into follows (follower_id, follower_number, following_id, following_number, created_at)
             values ($1, $2, $3, $4, now())",
        )
        .bind(ana.id)
        .bind(ana.number)
        .bind(beto.id)
        .bind(beto.number)
        .execute(&mut *held)
        .await
        .unwrap();
        let goes = if follower_goes { &ana } else { &beto };
        meanwhile(&world, goes, held, ana.follow(beto.number)).await.unwrap();
        world.clear().await;
        assert!(ana.followed(false).await.is_empty() && beto.followed(true).await.is_empty());
    }
}
