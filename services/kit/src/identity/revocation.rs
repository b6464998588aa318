//! Sessions that have ended while their access tokens still live. Redis holds them and publishes new ones; every
//! process keeps a copy. While Redis is away the copy serves and `auth` is asked twice a second, so that a revocation
//! is known everywhere within one second either way.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use proto::auth::v1::ListRevocationsRequest;
use proto::auth::v1::session_service_client::SessionServiceClient;
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use tokio::sync::watch;
use tonic::Code;
use uuid::Uuid;

use crate::context::{self, Context};
use crate::{Clock, Peer, Stop};

const SET: &str = "plaza:revoked";
const CHANNEL: &str = "plaza:revoked";

/// How often Redis is asked whether it still listens to us: what it told nobody must be found out within a second.
const PING: Duration = Duration::from_millis(400);
/// How often all is loaded again, from Redis and from `auth`, in case one told the other nothing.
const RELOAD: Duration = Duration::from_secs(5);
/// How often `auth` is asked while Redis is away.
const ASK: Duration = Duration::from_millis(500);

/// The local copy.
#[derive(Default)]
pub struct Revocations {
    known: RwLock<Known>,
    /// Moves whenever more sessions are known.
    news: watch::Sender<()>,
    clock: Clock,
}

#[derive(Default)]
struct Known {
    sessions: HashMap<Uuid, i64>,
    /// At this size it is time to look for what has ended.
    full: usize,
}

impl Revocations {
    pub fn new(clock: Clock) -> Self {
        Self { known: RwLock::default(), news: watch::Sender::default(), clock }
    }

    pub fn contains(&self, session: Uuid) -> bool {
        self.known.read().expect("nothing panics under this lock").sessions.contains_key(&session)
    }

    /// Refuses a session's tokens here from now on; `until` is when the last of them ends, in Unix seconds.
    pub fn add(&self, session: Uuid, until: i64) {
        self.add_all([(session, until)]);
    }

    fn add_all(&self, sessions: impl IntoIterator<Item = (Uuid, i64)>) {
        let now = self.clock.now().timestamp();
        let mut known = self.known.write().expect("nothing panics under this lock");
        let before = known.sessions.len();
        known.sessions.extend(sessions.into_iter().filter(|(_, until)| *until > now));
        let more = known.sessions.len() > before;
        if known.sessions.len() > known.full {
            known.sessions.retain(|_, until| *until > now);
            known.full = 2 * known.sessions.len().max(512);
        }
        drop(known);
        if more {
            self.news.send_replace(());
        }
    }

    /// For those who hold something open on behalf of a session: changes whenever more sessions have ended.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Tells every process. For `auth`, after the change is committed.
    pub async fn announce(redis: &mut ConnectionManager, sessions: &[(Uuid, i64)]) -> redis::RedisResult<()> {
        let mut pipe = redis::pipe();
        for (session, until) in sessions {
            pipe.zadd(SET, session.to_string(), *until).ignore();
            pipe.publish(CHANNEL, format!("{session} {until}")).ignore();
        }
        // Also when there is nothing to tell, so that the answer says whether Redis is there.
        pipe.ping().ignore();
        pipe.query_async(redis).await
    }

    /// What Redis knows at the moment, if it answers at once.
    pub(crate) async fn catch_up(&self, client: &redis::Client) {
        let load = async { self.load(&mut client.get_multiplexed_async_connection().await?).await };
        match tokio::time::timeout(Duration::from_millis(300), load).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "starting without the revocations that Redis knows"),
            Err(_) => tracing::warn!("starting without the revocations that Redis knows; it does not answer"),
        }
    }

    async fn load(&self, redis: &mut redis::aio::MultiplexedConnection) -> redis::RedisResult<()> {
        let now = self.clock.now().timestamp();
        redis.zrembyscore::<_, _, _, ()>(SET, "-inf", now).await?;
        let all: Vec<(String, f64)> = redis.zrangebyscore_withscores(SET, now, "+inf").await?;
        self.add_all(all.into_iter().filter_map(|(id, until)| Some((id.parse().ok()?, until as i64))));
        Ok(())
    }
}

/// Keeps the copy fresh until `stop`.
pub async fn follow(revocations: Arc<Revocations>, redis: Option<redis::Client>, auth: Option<Peer>, stop: Stop) {
    // Whether Redis tells us.
    let (up, told) = watch::channel(false);
    tokio::select! {
        _ = async { tokio::join!(follow_redis(&revocations, redis, up), follow_auth(&revocations, auth, told)) } => {}
        () = stop.cancelled() => {}
    }
}

async fn follow_redis(revocations: &Revocations, client: Option<redis::Client>, up: watch::Sender<bool>) {
    let feed = metrics::gauge!("revocation_feed_up");
    feed.set(0);
    let Some(client) = client else { return std::future::pending().await };
    loop {
        if let Err(error) = listen(revocations, &client, &feed, &up).await {
            tracing::warn!(%error, "revocations do not arrive by Redis; asking auth");
        }
        feed.set(0);
        up.send_replace(false);
        tokio::time::sleep(ASK).await;
    }
}

/// Returns when the connection is lost.
async fn listen(
    revocations: &Revocations,
    client: &redis::Client,
    feed: &metrics::Gauge,
    up: &watch::Sender<bool>,
) -> redis::RedisResult<()> {
    let (mut sink, mut messages) = client.get_async_pubsub().await?.split();
    sink.subscribe(CHANNEL).await?;
    // After subscribing, so that nothing falls between.
    let mut redis = client.get_multiplexed_async_connection().await?;
    revocations.load(&mut redis).await?;
    let mut loaded = Instant::now();
    feed.set(1);
    up.send_replace(true);
    loop {
        match tokio::time::timeout(PING, messages.next()).await {
            Ok(Some(message)) => {
                let text: String = message.get_payload()?;
                if let Some((id, until)) =
                    text.split_once(' ').and_then(|(id, t)| Some((id.parse().ok()?, t.parse().ok()?)))
                {
                    revocations.add(id, until);
                }
            }
            Ok(None) => return Ok(()),
            // A connection that died without a word shows here.
            Err(_) => {
                let silence = |_| redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
                tokio::time::timeout(PING, sink.ping::<redis::Value>()).await.map_err(silence)??;
                if loaded.elapsed() > RELOAD {
                    revocations.load(&mut redis).await?;
                    loaded = Instant::now();
                }
            }
        }
    }
}

async fn follow_auth(revocations: &Revocations, auth: Option<Peer>, mut told: watch::Receiver<bool>) {
    let Some(auth) = auth else { return };
    loop {
        // First when Redis comes or goes: what was announced while one of us did not reach it is known here.
        ask(revocations, &auth).await;
        let pause = if *told.borrow_and_update() { RELOAD } else { ASK };
        let _ = tokio::time::timeout(pause, told.changed()).await;
    }
}

async fn ask(revocations: &Revocations, auth: &Peer) {
    let context = Context { deadline: Some(Instant::now() + Duration::from_secs(2)), ..Context::default() };
    let mut auth = SessionServiceClient::new(auth.clone());
    match context::scope(context, auth.list_revocations(ListRevocationsRequest {})).await {
        Ok(answer) => revocations.add_all(
            answer
                .into_inner()
                .revocations
                .into_iter()
                .filter_map(|r| Some((r.session_id.parse().ok()?, r.expires_at?.seconds))),
        ),
        Err(error) if error.code() == Code::PermissionDenied => {
            tracing::error!("auth's contract does not let this service ask for revocations");
        }
        Err(error) => tracing::debug!(code = ?error.code(), "auth does not tell revocations"),
    }
}
