//! Events enter with one effect each, and none that fails holds up the others for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::Stop;
use kit::broker::Message;
use kit::error::{Result, refused, unavailable};
use kit::inbox::{Consumer, Received, run};
use proto::Event;
use proto::events::v1::UserLoggedOut;
use serde_json::json;
use sqlx::PgConnection;
use testkit::eventually;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::outbox::{World, world};

/// Notes each event's number in `effects`; does what a test wants before.
struct Notes<F>(F);

#[tonic::async_trait]
impl<F, Fut> Consumer for Notes<F>
where
    F: Fn(i64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn topics(&self) -> &'static [&'static str] {
        &["user.events"]
    }

    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> Result<()> {
        let Some(event) = event.parse::<UserLoggedOut>()? else { return Ok(()) };
        sqlx::query("insert into effects values ($1)").bind(event.user_id).execute(tx).await?;
        // After the effect, so that a failure must undo it.
        (self.0)(event.user_id).await
    }
}

async fn with_effects() -> World {
    let world = world().await;
    let sql = "create table effects (n bigint, at bigint generated always as identity)";
    sqlx::query(sql).execute(&world.db).await.expect("created");
    world
}

impl World {
    fn consume<F, Fut>(&self, stop: &Stop, before: F) -> JoinHandle<()>
    where
        F: Fn(i64) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        tokio::spawn(run("kit", self.broker.clone(), self.db.clone(), Arc::new(Notes(before)), stop.clone()))
    }

    async fn send(&self, messages: &[Message]) {
        let mut publisher = self.broker.publisher().await.expect("the broker answers");
        publisher.publish(messages).await.expect("published");
    }

    async fn effects(&self) -> Vec<i64> {
        sqlx::query_scalar("select n from effects order by at").fetch_all(&self.db).await.unwrap_or_default()
    }

    async fn parked(&self) -> Vec<(Uuid, String, i32)> {
        let sql = "select event_id, error, attempts from parked_events order by parked_at";
        sqlx::query_as(sql).fetch_all(&self.db).await.expect("read")
    }
}

fn message(number: i64) -> Message {
    let body = json!({ "type": UserLoggedOut::TYPE, "data": { "user_id": number } }).to_string();
    let (topic, kind) = (UserLoggedOut::TOPIC.to_owned(), UserLoggedOut::TYPE.to_owned());
    Message { id: Uuid::now_v7(), topic, kind, key: "17".to_owned(), body }
}

#[tokio::test]
async fn a_repeated_event_has_one_effect() {
    let world = with_effects().await;
    let (first, second, last) = (message(1), message(2), message(3));
    world.send(&[first.clone(), first.clone(), second.clone(), first, second, last]).await;
    let stop = Stop::new();
    let consumer = world.consume(&stop, async |_| Ok(()));
    eventually("all are consumed", async || world.effects().await == [1, 2, 3]).await;
    stop.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn an_event_of_another_service_comes_from_its_outbox_with_context() {
    let world = with_effects().await;
    let stop = Stop::new();
    let tasks = [world.relay(&stop), world.consume(&stop, async |_| Ok(()))];
    for number in 1..=5 {
        world.publish("17", number).await;
    }
    eventually("all have arrived", async || world.effects().await == [1, 2, 3, 4, 5]).await;
    stop.cancel();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn an_event_that_keeps_failing_is_parked_and_the_next_go_on() {
    let world = with_effects().await;
    let (bad, good) = (message(13), message(14));
    world.send(&[bad.clone(), good]).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let (stop, counted) = (Stop::new(), tries.clone());
    let consumer = world.consume(&stop, move |number| {
        let tries = counted.clone();
        async move {
            if number != 13 {
                return Ok(());
            }
            // The second time it is a bug rather than a refusal; both are failures.
            assert_ne!(tries.fetch_add(1, Ordering::SeqCst), 1, "a bug in a consumer");
            Err(refused("UNLUCKY", "not this one"))
        }
    });
    eventually("the next one went on", async || world.effects().await == [14]).await;
    let parked = world.parked().await;
    assert_eq!((parked.len(), parked[0].0, parked[0].2), (1, bad.id, 6));
    assert!(parked[0].1.contains("UNLUCKY"));
    assert_eq!(tries.load(Ordering::SeqCst), 6);
    stop.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn what_is_no_event_at_all_is_parked_each_under_its_own_id() {
    let world = with_effects().await;
    let nul = Message { body: "{\"data\": \"a\\u0000b\"".into(), kind: "odd\0kind".into(), ..message(1) };
    world.send(&[nul, message(2)]).await;
    let mut redis =
        redis::Client::open(world.redis.url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    for body in ["no JSON", "{}"] {
        let mut command = redis::cmd("XADD");
        command.arg("plaza:events:user.events").arg("*").arg("type").arg("user.logged_out").arg("body").arg(body);
        command.query_async::<()>(&mut redis).await.unwrap();
    }
    world.send(&[message(3)]).await;
    let stop = Stop::new();
    let consumer = world.consume(&stop, async |_| Ok(()));
    eventually("the good ones have their effect", async || world.effects().await == [2, 3]).await;
    let mut ids: Vec<_> = world.parked().await.into_iter().map(|parked| parked.0).collect();
    ids.dedup();
    // `{}` is JSON without data, which no event parses from.
    assert_eq!(ids.len(), 3);
    stop.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn while_the_database_is_away_events_wait_and_are_not_parked() {
    let world = with_effects().await;
    let admin = kit::db::connect(&std::env::var("DATABASE_URL").unwrap(), 1, "admin").await.unwrap();
    let name = world.url.rsplit_once('/').unwrap().1.to_owned();
    let tries = Arc::new(AtomicUsize::new(0));
    let (stop, counted) = (Stop::new(), tries.clone());
    let (outage, database) = (admin.clone(), name.clone());
    let consumer = world.consume(&stop, move |_| {
        let (outage, database, first) = (outage.clone(), database.clone(), counted.fetch_add(1, Ordering::SeqCst) == 0);
        async move {
            if first {
                close(&outage, &database, true).await;
            }
            Ok(())
        }
    });
    world.send(&[message(1), message(2)]).await;
    eventually("the outage has begun", async || tries.load(Ordering::SeqCst) == 1).await;
    close(&admin, &name, false).await;
    eventually("both have their effect", async || world.effects().await == [1, 2]).await;
    assert_eq!(world.parked().await, []);
    stop.cancel();
    consumer.await.unwrap();
}

/// Cuts all connections to a database and refuses new ones, or opens it again.
async fn close(admin: &sqlx::PgPool, database: &str, shut: bool) {
    let sql = format!("alter database {database} with allow_connections {}", !shut);
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(admin).await.expect("altered");
    if shut {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        sqlx::query(sql).bind(database).execute(admin).await.expect("terminated");
    }
}

#[tokio::test]
async fn a_peer_that_is_away_parks_nothing_either() {
    let world = with_effects().await;
    let tries = Arc::new(AtomicUsize::new(0));
    let (stop, counted) = (Stop::new(), tries.clone());
    let consumer = world.consume(&stop, move |_| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { Err(unavailable("PEER_AWAY", "come back later")) } else { Ok(()) } }
    });
    world.send(&[message(1), message(2)]).await;
    eventually("both have their effect", async || world.effects().await == [1, 2]).await;
    assert_eq!(world.parked().await, []);
    stop.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn an_event_whose_consumer_died_comes_again() {
    let world = with_effects().await;
    let reached = Arc::new(Notify::new());
    let reach = reached.clone();
    let dying = world.consume(&Stop::new(), move |_| {
        let reach = reach.clone();
        async move {
            reach.notify_one();
            std::future::pending().await
        }
    });
    world.send(&[message(1), message(2)]).await;
    reached.notified().await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());

    let stop = Stop::new();
    let consumer = world.consume(&stop, async |_| Ok(()));
    eventually("both have their effect, once", async || world.effects().await == [1, 2]).await;
    stop.cancel();
    consumer.await.unwrap();
}

#[tokio::test]
async fn two_replicas_apply_each_event_once_and_in_order() {
    let world = with_effects().await;
    let stop = Stop::new();
    let consumers = [world.consume(&stop, async |_| Ok(())), world.consume(&stop, async |_| Ok(()))];
    let messages: Vec<_> = (1..=200).map(message).collect();
    for some in messages.chunks(20) {
        world.send(some).await;
    }
    eventually("all are consumed", async || world.effects().await.len() >= 200).await;
    assert_eq!(world.effects().await, (1..=200).collect::<Vec<_>>());
    stop.cancel();
    for consumer in consumers {
        consumer.await.unwrap();
    }
}
