//! Events leave in order per key, at least once, whatever happens.

use std::collections::HashMap;

use futures_util::future::join_all;
use kit::Stop;
use kit::broker::{Broker, Message};
use kit::outbox::{flush, publish, relay};
use proto::events::v1::UserLoggedOut;
use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection, PgPool};
use testkit::{Database, Redis, eventually};
use tokio::task::JoinHandle;

use crate::NO_TABLES;

pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) broker: Broker,
    pub(crate) db: PgPool,
    pub(crate) url: String,
}

pub(crate) async fn world() -> World {
    let (redis, database) = tokio::join!(Redis::start(), Database::fresh("kit", &NO_TABLES));
    let db = kit::db::connect(&database.url, 16, "kit").await.expect("the database answers");
    World { broker: Broker::open(&redis.url).expect("a URL"), redis, db, url: database.url }
}

/// An event that tells its number within its key.
pub(crate) fn event(number: i64) -> UserLoggedOut {
    UserLoggedOut { user_id: number, ..Default::default() }
}

/// The event's number, from its message.
pub(crate) fn number(message: &Message) -> i64 {
    let body: serde_json::Value = serde_json::from_str(&message.body).expect("JSON");
    body["data"]["user_id"].as_i64().expect("a number")
}

impl World {
    pub(crate) async fn publish(&self, key: &str, number: i64) {
        let mut tx = self.db.begin().await.expect("a transaction");
        publish(&mut tx, key, &event(number)).await.expect("published");
        tx.commit().await.expect("committed");
    }

    pub(crate) fn relay(&self, stop: &Stop) -> JoinHandle<()> {
        tokio::spawn(relay("kit", self.broker.clone(), self.db.clone(), stop.clone()))
    }

    /// What has arrived at the broker, in order.
    async fn arrived(&self) -> Vec<Message> {
        let group = format!("reader-{}", uuid::Uuid::new_v4());
        let mut events = self.broker.subscribe(&group, &["user.events"]).await.expect("subscribed");
        let client = redis::Client::open(self.redis.url.as_str()).expect("a URL");
        let mut redis = client.get_multiplexed_async_connection().await.expect("Redis answers");
        let length: usize = redis::AsyncCommands::xlen(&mut redis, "plaza:events:user.events").await.expect("counted");
        let mut messages = Vec::new();
        // The first answer is what was read and not settled, of which there is none.
        assert!(events.next().await.expect("read").is_empty());
        while messages.len() < length {
            messages.extend(events.next().await.expect("read").into_iter().map(|delivery| delivery.message));
        }
        messages
    }

    async fn unpublished(&self) -> i64 {
        let sql = "select count(*) from outbox where published_at is null";
        sqlx::query_scalar(sql).fetch_one(&self.db).await.expect("counted")
    }

    async fn flush(&self) -> usize {
        let mut publisher = self.broker.publisher().await.expect("the broker answers");
        flush("kit", &mut self.db.acquire().await.expect("a connection"), &mut publisher).await.expect("flushed")
    }

    async fn drained(&self) {
        eventually("the outbox is drained", async || self.unpublished().await == 0).await;
    }
}

#[tokio::test]
async fn what_was_committed_before_a_crash_is_published_after_it() {
    let world = world().await;
    // The process commits and dies before its relay looks.
    world.publish("17", 1).await;
    let stop = Stop::new();
    let relay = world.relay(&stop);
    world.drained().await;
    let arrived = world.arrived().await;
    assert_eq!(arrived.iter().map(number).collect::<Vec<_>>(), [1]);
    assert_eq!((&*arrived[0].topic, &*arrived[0].kind, &*arrived[0].key), ("user.events", "user.logged_out", "17"));
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn what_was_rolled_back_is_never_published() {
    let world = world().await;
    let mut tx = world.db.begin().await.unwrap();
    publish(&mut tx, "17", &event(1)).await.unwrap();
    tx.rollback().await.unwrap();
    world.publish("17", 2).await;
    assert_eq!(world.flush().await, 1);
    assert_eq!(world.arrived().await.iter().map(number).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_crash_between_publishing_and_marking_repeats_the_event_under_its_id() {
    let world = world().await;
    world.publish("17", 1).await;
    {
        // Published, and the transaction that marks it dies.
        let mut publisher = world.broker.publisher().await.unwrap();
        let mut dying = world.db.begin().await.unwrap();
        assert_eq!(flush("kit", &mut dying, &mut publisher).await.unwrap(), 1);
        dying.rollback().await.unwrap();
    }
    assert_eq!(world.flush().await, 1);
    let arrived = world.arrived().await;
    assert_eq!(arrived.len(), 2);
    assert_eq!(arrived[0], arrived[1]);
}

#[tokio::test]
async fn a_transaction_that_commits_late_loses_nothing() {
    let world = world().await;
    let mut late = world.db.begin().await.unwrap();
    publish(&mut late, "slow", &event(1)).await.unwrap();
    world.publish("fast", 2).await;
    assert_eq!(world.flush().await, 1);
    late.commit().await.unwrap();
    assert_eq!(world.flush().await, 1);
    assert_eq!(world.arrived().await.iter().map(number).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn each_key_arrives_in_the_order_of_its_commits() {
    const WRITERS: usize = 8;
    const EACH: usize = 15;
    let world = world().await;
    sqlx::query("create table counters (key text primary key, n bigint not null)").execute(&world.db).await.unwrap();
    sqlx::query("insert into counters values ('a', 0), ('b', 0), ('c', 0)").execute(&world.db).await.unwrap();
    let stop = Stop::new();
    let relay = world.relay(&stop);

    let writers = (0..WRITERS).map(|writer| {
        let db = world.db.clone();
        tokio::spawn(async move {
            for turn in 0..EACH {
                let key = ["a", "b", "c"][(writer + turn) % 3];
                let mut tx = db.begin().await.expect("a transaction");
                // The aggregate's lock makes the order; the number tells it.
                let sql = "update counters set n = n + 1 where key = $1 returning n";
                let n = sqlx::query_scalar(sql).bind(key).fetch_one(&mut *tx).await.expect("counted");
                publish(&mut tx, key, &event(n)).await.expect("published");
                tx.commit().await.expect("committed");
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    world.drained().await;
    let mut by_key = HashMap::<String, Vec<i64>>::new();
    for message in world.arrived().await {
        by_key.entry(message.key.clone()).or_default().push(number(&message));
    }
    assert_eq!(by_key.len(), 3);
    for (key, numbers) in by_key {
        assert_eq!(numbers, (1..=(WRITERS * EACH / 3) as i64).collect::<Vec<_>>(), "key {key}");
    }
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn nothing_is_lost_while_redis_is_away() {
    let mut world = world().await;
    let stop = Stop::new();
    let relay = world.relay(&stop);
    world.publish("17", 1).await;
    world.drained().await;
    world.redis.kill().await;
    for number in 2..=5 {
        world.publish("17", number).await;
    }
    assert_eq!(world.unpublished().await, 4);
    world.redis.restart().await;
    world.drained().await;
    // The first one went with the Redis that died; of a batch that failed halfway some may have come twice.
    assert_eq!(world.arrived().await.iter().map(number).collect::<Vec<_>>(), [2, 3, 4, 5]);
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn a_relay_that_sleeps_is_woken_and_nobody_notifies_one_that_is_awake() {
    let world = world().await;
    let mut heard = PgListener::connect(&world.url).await.unwrap();
    heard.listen("outbox").await.unwrap();
    let asleep = async || -> bool {
        sqlx::query_scalar("select asleep from outbox_relay").fetch_one(&world.db).await.expect("one row")
    };
    assert!(!asleep().await);
    world.publish("17", 1).await;
    // Notifications come in the order of their commits, so that an earlier one would have come first.
    sqlx::query("select pg_notify('outbox', 'the first')").execute(&world.db).await.unwrap();
    assert_eq!(heard.recv().await.unwrap().payload(), "the first");

    let stop = Stop::new();
    let relay = world.relay(&stop);
    eventually("the relay sleeps", async || asleep().await).await;
    assert_eq!(world.unpublished().await, 0);
    world.publish("17", 2).await;
    assert_eq!(heard.recv().await.unwrap().payload(), "");
    eventually("the relay is awake, or was", async || world.unpublished().await == 0).await;
    eventually("and sleeps again", async || asleep().await).await;
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn one_relay_leads_and_when_its_connection_dies_the_other_takes_over() {
    let world = world().await;
    let (stop, other) = (Stop::new(), world.other_replica().await);
    let relays = [world.relay(&stop), other.relay(&stop)];
    let mut admin = PgConnection::connect(&world.url).await.unwrap();

    for turn in 1..=3 {
        world.publish("17", turn).await;
        world.drained().await;
        let leaders = leaders(&mut admin).await;
        assert_eq!(leaders.len(), 1, "exactly one leads");
        let killed: bool =
            sqlx::query_scalar("select pg_terminate_backend($1)").bind(leaders[0]).fetch_one(&mut admin).await.unwrap();
        assert!(killed);
    }
    world.publish("17", 4).await;
    world.drained().await;
    let mut numbers: Vec<_> = world.arrived().await.iter().map(number).collect();
    numbers.dedup();
    assert_eq!(numbers, [1, 2, 3, 4]);

    // At the stop both leave, and the lock with them.
    stop.cancel();
    for relay in relays {
        relay.await.unwrap();
    }
    eventually("nobody leads", async || leaders(&mut admin).await.is_empty()).await;
}

#[tokio::test]
async fn what_is_published_when_the_stop_comes_still_goes_out() {
    let world = world().await;
    let stop = Stop::new();
    for number in 1..=20 {
        world.publish("17", number).await;
    }
    let relay = world.relay(&stop);
    stop.cancel();
    relay.await.unwrap();
    // Stopped before it led, or after one last flush: never in between.
    assert!([0, 20].contains(&world.unpublished().await));
}

impl World {
    async fn other_replica(&self) -> OtherReplica {
        let db = kit::db::connect(&self.url, 8, "kit").await.expect("the database answers");
        OtherReplica { broker: self.broker.clone(), db }
    }
}

struct OtherReplica {
    broker: Broker,
    db: PgPool,
}

impl OtherReplica {
    fn relay(&self, stop: &Stop) -> JoinHandle<()> {
        tokio::spawn(relay("kit", self.broker.clone(), self.db.clone(), stop.clone()))
    }
}

#[tokio::test]
async fn what_was_published_long_ago_is_forgotten_however_much_it_is() {
    let world = world().await;
    let old = "insert into outbox (id, topic, type, key, body, published_at)
        select gen_random_uuid(), 'user.events', 'user.tested', '1', '{}', now() - make_interval(days => 6 + n % 3)
        from generate_series(1, 36000) n";
    sqlx::query(old).execute(&world.db).await.unwrap();
    let known = "insert into inbox (consumer, event_id, handled_at)
        select 'kit', gen_random_uuid(), now() - make_interval(days => 29 + n % 3) from generate_series(1, 36000) n";
    sqlx::query(known).execute(&world.db).await.unwrap();
    let stop = Stop::new();
    let relay = world.relay(&stop);
    eventually("only what may be needed is left", async || {
        let left = "select (select count(*) from outbox), (select count(*) from inbox)";
        sqlx::query_as::<_, (i64, i64)>(left).fetch_one(&world.db).await.unwrap() == (12_000, 12_000)
    })
    .await;
    stop.cancel();
    relay.await.unwrap();
}

#[tokio::test]
async fn a_reader_learns_what_went_before_it_was_read() {
    let world = world().await;
    let lost = async || world.broker.subscribe("late", &["user.events"]).await.unwrap().lost();
    for number in 1..=3 {
        world.publish("17", number).await;
    }
    world.flush().await;
    assert_eq!(lost().await, 0);
    let mut events = world.broker.subscribe("late", &["user.events"]).await.unwrap();
    let mut read = 0;
    while read < 3 {
        for delivery in events.next().await.unwrap() {
            events.settle(&delivery).await.unwrap();
            read += 1;
        }
    }
    for number in 4..=8 {
        world.publish("17", number).await;
    }
    world.flush().await;
    assert_eq!(lost().await, 0);
    let client = redis::Client::open(world.redis.url.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let () =
        redis::cmd("XTRIM").arg("plaza:events:user.events").arg("MAXLEN").arg(1).query_async(&mut redis).await.unwrap();
    assert_eq!(lost().await, 4);
}

/// The connections that hold the relay's lock.
async fn leaders(admin: &mut PgConnection) -> Vec<i32> {
    sqlx::query_scalar(
        "select l.pid from pg_locks l join pg_database d on d.oid = l.database
         where d.datname = current_database() and l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock'
         and ((l.classid::bigint << 32) | l.objid::bigint) = hashtext('outbox relay')::bigint",
    )
    .fetch_all(admin)
    .await
    .expect("read")
}
