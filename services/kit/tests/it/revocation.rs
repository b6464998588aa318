//! How soon everybody knows that a session ended.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::identity::{Revocations, follow};
use kit::{Clock, Peer, Stop};
use proto::auth::v1::session_service_server::{SessionService, SessionServiceServer};
use proto::auth::v1::*;
use redis::aio::ConnectionManager;
use testkit::{Network, Redis, eventually, within};
use tonic::{Request, Response, Status};
use uuid::Uuid;

const ONE_SECOND: Duration = Duration::from_secs(1);

/// `auth`, as far as it tells who was revoked.
#[derive(Clone, Default)]
struct Auth {
    ended: Arc<Mutex<Vec<Revocation>>>,
    asked: Arc<AtomicUsize>,
}

impl Auth {
    fn end(&self, session: Uuid) {
        let expires_at = Some(prost_types::Timestamp { seconds: later(), nanos: 0 });
        let ended = Revocation { session_id: session.to_string(), expires_at };
        self.ended.lock().expect("nobody panics here").push(ended);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn peer(&self) -> Peer {
        let network = Network::default();
        network.stub("auth", SessionServiceServer::new(self.clone()));
        Peer::new("auth", network.stranger("auth"))
    }
}

macro_rules! not_here {
    ($($name:ident $request:ident $response:ident)*) => {
        #[tonic::async_trait]
        impl SessionService for Auth {
            async fn list_revocations(
                &self,
                _: Request<ListRevocationsRequest>,
            ) -> Result<Response<ListRevocationsResponse>, Status> {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let revocations = self.ended.lock().expect("nobody panics here").clone();
                Ok(Response::new(ListRevocationsResponse { revocations }))
            }

            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::unimplemented(stringify!($name)))
            })*
        }
    };
}

not_here! {
    log_in LogInRequest LogInResponse
    refresh RefreshRequest Tokens
    log_out LogOutRequest LogOutResponse
    list_sessions ListSessionsRequest ListSessionsResponse
    revoke_session RevokeSessionRequest RevokeSessionResponse
    validate_token ValidateTokenRequest ValidateTokenResponse
}

fn later() -> i64 {
    chrono::Utc::now().timestamp() + 900
}

/// Another process's copy; it stops following with the second value.
fn copy(redis: Option<&Redis>, auth: Option<&Auth>) -> (Arc<Revocations>, impl Drop + use<>) {
    let revocations = Arc::new(Revocations::new(Clock::system()));
    let client = redis.map(|redis| redis::Client::open(redis.url.as_str()).expect("a URL"));
    let stop = Stop::new();
    tokio::spawn(follow(revocations.clone(), client, auth.map(Auth::peer), stop.clone()));
    (revocations, stop.drop_guard())
}

async fn manager(redis: &Redis) -> ConnectionManager {
    ConnectionManager::new(redis::Client::open(redis.url.as_str()).expect("a URL")).await.expect("Redis answers")
}

#[tokio::test]
async fn what_is_announced_is_known_everywhere_within_a_second() {
    let redis = Redis::start().await;
    let mut announcer = manager(&redis).await;
    let copies: Vec<_> = (0..3).map(|_| copy(Some(&redis), None)).collect();

    // Whether they listen already does not matter.
    for _ in 0..3 {
        let session = Uuid::now_v7();
        Revocations::announce(&mut announcer, &[(session, later())]).await.unwrap();
        within(ONE_SECOND, "every copy knows", async || copies.iter().all(|(copy, _)| copy.contains(session))).await;
    }
    // A process that starts later knows them too.
    let known = copies[0].0.clone();
    let (late, _guard) = copy(Some(&redis), None);
    let session = Uuid::now_v7();
    Revocations::announce(&mut announcer, &[(session, later())]).await.unwrap();
    within(ONE_SECOND, "the late one knows", async || late.contains(session) && known.contains(session)).await;
}

#[tokio::test]
async fn while_redis_is_away_the_copy_serves_and_auth_is_asked() {
    let mut redis = Redis::start().await;
    let mut announcer = manager(&redis).await;
    let auth = Auth::default();
    let (copy, _guard) = copy(Some(&redis), Some(&auth));
    let before = Uuid::now_v7();
    Revocations::announce(&mut announcer, &[(before, later())]).await.unwrap();
    eventually("it is known", async || copy.contains(before)).await;

    redis.kill().await;
    let meanwhile = Uuid::now_v7();
    auth.end(meanwhile);
    within(2 * ONE_SECOND, "auth was asked", async || copy.contains(meanwhile)).await;
    assert!(copy.contains(before), "what was known stays known");
    // Nothing was told to Redis: the announcement failed, and the new Redis is empty.
    assert!(Revocations::announce(&mut announcer, &[(meanwhile, later())]).await.is_err());

    redis.restart().await;
    let after = Uuid::now_v7();
    eventually("Redis takes announcements again", async || {
        Revocations::announce(&mut announcer, &[(after, later())]).await.is_ok()
    })
    .await;
    eventually("the copy listens again", async || copy.contains(after)).await;
    assert!(copy.contains(before) && copy.contains(meanwhile));
}

#[tokio::test]
async fn what_auth_could_not_announce_is_known_once_redis_is_back() {
    let mut redis = Redis::start().await;
    let auth = Auth::default();
    let (copy, _guard) = copy(Some(&redis), Some(&auth));
    eventually("it follows", async || auth.asked() >= 2).await;
    redis.kill().await;
    redis.restart().await;
    // Redis is there, but was never told of this one.
    let session = Uuid::now_v7();
    auth.end(session);
    eventually("auth was asked all the same", async || copy.contains(session)).await;
}

#[tokio::test]
async fn without_redis_auth_alone_is_asked_twice_a_second() {
    let auth = Auth::default();
    let (copy, _guard) = copy(None, Some(&auth));
    eventually("it asks", async || auth.asked() > 0).await;
    let session = Uuid::now_v7();
    auth.end(session);
    within(ONE_SECOND, "it is known", async || copy.contains(session)).await;
    assert!(auth.asked() < 10, "{} times", auth.asked());
}

#[tokio::test]
async fn an_ended_revocation_is_neither_kept_nor_loaded() {
    let clock = Clock::fixed(chrono::Utc::now());
    let copy = Revocations::new(clock.clone());
    let over = clock.now().timestamp();
    let session = Uuid::now_v7();
    copy.add(session, over);
    assert!(!copy.contains(session));

    // A million sessions that end one after the other take no room but for the live ones.
    let first = Uuid::now_v7();
    copy.add(first, over + 1);
    clock.advance(Duration::from_secs(2));
    for _ in 0..5000 {
        copy.add(Uuid::now_v7(), over + 3);
    }
    assert!(!copy.contains(first));
}
