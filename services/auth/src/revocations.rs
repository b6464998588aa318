//! Telling everybody that sessions ended. The database is the truth: what Redis has not been told is marked, told again
//! until it works, and told once more after Redis was away, since it may have forgotten.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use kit::error::{Result, unavailable};
use kit::identity::Revocations;
use kit::wire::timestamp;
use proto::auth::v1::Revocation;
use sqlx::PgPool;
use uuid::Uuid;

use crate::Auth;

/// How many sessions are announced at once.
const BATCH: i64 = 1000;

/// A session that ended, and when the last access token issued on it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) id: Uuid,
    pub(crate) access_until: DateTime<Utc>,
}

impl From<Ended> for Revocation {
    fn from(ended: Ended) -> Self {
        Self { session_id: ended.id.to_string(), expires_at: Some(timestamp(ended.access_until)) }
    }
}

/// Whether Redis may have lost what it was told; at the start nobody knows.
#[derive(Debug)]
pub(crate) struct RedisMayHaveForgotten(AtomicBool);

impl Default for RedisMayHaveForgotten {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Auth {
    /// After the commit that ended the sessions: refuses their tokens here at once and tells the others. If that does
    /// not work, `announce_revocations` does it within a second of Redis coming back.
    pub(crate) async fn revoke(&self, ended: &[Ended]) {
        if ended.is_empty() {
            return;
        }
        for session in ended {
            self.verifier.revocations().add(session.id, session.access_until.timestamp());
        }
        if let Err(error) = self.announce(ended).await {
            tracing::debug!(%error, "revocations not announced yet");
        }
    }

    /// Tells Redis what it does not know yet. Without Redis others ask us twice a second; we ask the database.
    pub async fn announce_revocations(self) -> Result<()> {
        let now = self.clock.now();
        let forgot = self.redis_forgot.0.load(Ordering::SeqCst);
        if forgot {
            self.recall_revocations().await?;
        }
        if self.redis.is_none() {
            return Ok(());
        }
        if forgot {
            // Asked before anything is unmarked: while Redis is away this stops here and costs nothing.
            self.announce(&[]).await?;
            unmark_announced(&self.db, now).await?;
            self.redis_forgot.0.store(false, Ordering::SeqCst);
        }
        loop {
            let ended = list_unannounced(&self.db, now, BATCH).await?;
            if ended.is_empty() {
                return Ok(());
            }
            self.announce(&ended).await?;
            let ids: Vec<_> = ended.iter().map(|session| session.id).collect();
            mark_announced(&self.db, &ids, now).await?;
        }
    }

    /// Refuses here what was ended elsewhere, or before the last restart.
    pub(crate) async fn recall_revocations(&self) -> Result<()> {
        for session in list_revocations(&self.db, self.clock.now()).await? {
            self.verifier.revocations().add(session.id, session.access_until.timestamp());
        }
        Ok(())
    }

    async fn announce(&self, ended: &[Ended]) -> Result<()> {
        let Some(mut redis) = self.redis.clone() else { return Ok(()) };
        let sessions: Vec<_> = ended.iter().map(|s| (s.id, s.access_until.timestamp())).collect();
        Revocations::announce(&mut redis, &sessions).await.map_err(|error| {
            self.redis_forgot.0.store(true, Ordering::SeqCst);
            tracing::debug!(%error, "Redis did not take revocations");
            unavailable("REDIS_AWAY", "Redis does not answer")
        })
    }
}

/// Sessions that ended while their access tokens still live, newest first.
pub(crate) async fn list_revocations(db: &PgPool, now: DateTime<Utc>) -> Result<Vec<Ended>> {
    Ok(sqlx::query_as!(
        Ended,
        "select id, access_until from sessions where ended_at is not null and access_until > $1 order by ended_at desc",
        now,
    )
    .fetch_all(db)
    .await?)
}

async fn list_unannounced(db: &PgPool, now: DateTime<Utc>, limit: i64) -> Result<Vec<Ended>> {
    Ok(sqlx::query_as!(
        Ended,
        "select id, access_until from sessions
         where ended_at is not null and announced_at is null and access_until > $1
         order by ended_at limit $2",
        now,
        limit,
    )
    .fetch_all(db)
    .await?)
}

async fn mark_announced(db: &PgPool, ids: &[Uuid], now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update sessions set announced_at = $2 where id = any($1)", ids, now).execute(db).await?;
    Ok(())
}

async fn unmark_announced(db: &PgPool, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update sessions set announced_at = null where ended_at is not null and access_until > $1", now)
        .execute(db)
        .await?;
    Ok(())
}
