//! Ended sessions are refused everywhere, whatever happens to Redis or to us in between.

use proto::auth::v1::LogOutRequest;
use testkit::{Harness, Redis};

use crate::world::{PHONE, World};

/// The sessions that Redis would tell a service that starts now.
async fn known_to(redis: &Redis) -> Vec<String> {
    let client = redis::Client::open(redis.url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("zrange").arg("plaza:revoked").arg(0).arg(-1).query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn an_ended_session_is_announced_at_once() {
    let redis = Redis::start().await;
    let world = World::of(Harness::with_redis("auth", &auth::MIGRATOR, &redis.url).await, &[]).await;
    let ana = world.register(PHONE).await;
    ana.sessions().log_out(LogOutRequest { everywhere: false }).await.unwrap();
    assert_eq!(known_to(&redis).await, [ana.tokens.session_id]);
}

#[tokio::test]
async fn what_redis_missed_or_forgot_is_told_when_it_is_back() {
    let mut redis = Redis::start().await;
    let world = World::of(Harness::with_redis("auth", &auth::MIGRATOR, &redis.url).await, &[]).await;
    let (ana, eva) = (world.register(PHONE).await, world.register("59171111111").await);
    ana.sessions().log_out(LogOutRequest { everywhere: false }).await.unwrap();
    world.auth.clone().announce_revocations().await.unwrap();

    redis.kill().await;
    eva.sessions().log_out(LogOutRequest { everywhere: false }).await.unwrap();
    assert!(!eva.signed_in().await, "refused here all the same");
    world.auth.clone().announce_revocations().await.unwrap_err();

    redis.restart().await;
    while world.auth.clone().announce_revocations().await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut expected = [ana.tokens.session_id, eva.tokens.session_id];
    let mut known = known_to(&redis).await;
    expected.sort();
    known.sort();
    assert_eq!(known, expected);
}

#[tokio::test]
async fn without_redis_what_another_replica_ended_is_read_from_the_database() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let end = "update sessions set ended_at = created_at";
    sqlx::query(end).execute(&world.harness.service.db).await.unwrap();
    assert!(ana.signed_in().await, "another replica ended it a moment ago");
    world.auth.clone().announce_revocations().await.unwrap();
    assert!(!ana.signed_in().await);
}
