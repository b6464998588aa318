//! Sessions that have ended while their access tokens still live. Redis holds them and publishes new ones; every
//! process keeps a copy. While Redis is away the copy serves and `auth` is asked twice a second, so that a revocation
//! is known everywhere within one second either way.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use proto::auth::v1::ListRevocationsRequest;
use proto::auth::v1::session_service_client::SessionServiceClient;
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use uuid::Uuid;

use crate::{Clock, Peer, Stop};

const SET: &str = "plaza:revoked";
const CHANNEL: &str = "plaza:revoked";

/// The local copy.
#[derive(Default)]
pub struct Revocations {
    sessions: RwLock<HashMap<Uuid, i64>>,
    clock: Clock,
}

impl Revocations {
    pub fn new(clock: Clock) -> Self {
        Self { sessions: RwLock::default(), clock }
    }

    pub fn contains(&self, session: Uuid) -> bool {
        self.sessions.read().expect("nothing panics under this lock").contains_key(&session)
    }

    /// Refuses a session's tokens here from now on; `until` is when the last of them ends, in Unix seconds.
    pub fn add(&self, session: Uuid, until: i64) {
        self.add_all([(session, until)]);
    }

    fn add_all(&self, sessions: impl IntoIterator<Item = (Uuid, i64)>) {
        let now = self.clock.now().timestamp();
        let mut known = self.sessions.write().expect("nothing panics under this lock");
        known.extend(sessions.into_iter().filter(|(_, until)| *until > now));
        // What has ended need not be remembered; looking now and then is enough.
        if known.len().is_power_of_two() {
            known.retain(|_, until| *until > now);
        }
    }

    /// Tells every process. For `auth`, after the change is committed.
    pub async fn announce(redis: &mut ConnectionManager, sessions: &[(Uuid, i64)]) -> redis::RedisResult<()> {
        let mut pipe = redis::pipe();
        for (session, until) in sessions {
            pipe.zadd(SET, session.to_string(), *until).ignore();
            pipe.publish(CHANNEL, format!("{session} {until}")).ignore();
        }
        pipe.zrembyscore(SET, "-inf", chrono::Utc::now().timestamp()).ignore();
        pipe.query_async(redis).await
    }

    async fn load(&self, redis: &mut redis::aio::MultiplexedConnection) -> redis::RedisResult<()> {
        let all: Vec<(String, f64)> = redis.zrangebyscore_withscores(SET, self.clock.now().timestamp(), "+inf").await?;
        self.add_all(all.into_iter().filter_map(|(id, until)| Some((id.parse().ok()?, until as i64))));
        Ok(())
    }
}

/// Keeps the copy fresh until `stop`.
pub async fn follow(revocations: Arc<Revocations>, redis: Option<redis::Client>, auth: Option<Peer>, stop: Stop) {
    let feed = metrics::gauge!("revocation_feed_up");
    while !stop.is_cancelled() {
        if let Some(client) = &redis {
            tokio::select! {
                ended = listen(&revocations, client, &feed) => {
                    if let Err(error) = ended {
                        tracing::warn!(%error, "revocations do not arrive by Redis; asking auth");
                    }
                }
                () = stop.cancelled() => return,
            }
        }
        feed.set(0);
        if let Some(auth) = &auth {
            ask(&revocations, auth).await;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Returns when the connection is lost.
async fn listen(revocations: &Revocations, client: &redis::Client, feed: &metrics::Gauge) -> redis::RedisResult<()> {
    let mut pubsub = client.get_async_pubsub().await?;
    pubsub.subscribe(CHANNEL).await?;
    // After subscribing, so that nothing falls between.
    revocations.load(&mut client.get_multiplexed_async_connection().await?).await?;
    feed.set(1);
    let mut messages = pubsub.on_message();
    loop {
        // A connection that died without a word shows at the next load.
        match tokio::time::timeout(Duration::from_secs(5), messages.next()).await {
            Ok(Some(message)) => {
                let text: String = message.get_payload()?;
                if let Some((id, until)) = text.split_once(' ').and_then(|(id, t)| Some((id.parse().ok()?, t.parse().ok()?))) {
                    revocations.add(id, until);
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => revocations.load(&mut client.get_multiplexed_async_connection().await?).await?,
        }
    }
}

async fn ask(revocations: &Revocations, auth: &Peer) {
    match SessionServiceClient::new(auth.clone()).list_revocations(ListRevocationsRequest {}).await {
        Ok(answer) => revocations.add_all(answer.into_inner().revocations.into_iter().filter_map(|r| {
            Some((r.session_id.parse().ok()?, r.expires_at?.seconds))
        })),
        Err(error) => tracing::debug!(code = ?error.code(), "auth does not answer either"),
    }
}
