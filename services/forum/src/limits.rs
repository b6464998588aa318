//! How often somebody may write. A person's last writes of a kind are one row, so that counting and refusing is one
//! statement that no two requests pass together. The row stays locked until the transaction ends, hence comes first.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kit::error::{Result, exhausted};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// The window in which posts, comments and reactions count.
const MINUTE: Duration = Duration::from_secs(60);
/// That in which new communities do.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How often per person.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// Posts and comments together that somebody may write in a minute.
    #[arg(long, env = "FORUM_WRITES_PER_MINUTE", default_value_t = 10)]
    pub writes_per_minute: u32,

    /// Reactions that somebody may give in a minute.
    #[arg(long, env = "FORUM_REACTIONS_PER_MINUTE", default_value_t = 60)]
    pub reactions_per_minute: u32,

    /// Communities that somebody may make in an hour.
    #[arg(long, env = "FORUM_COMMUNITIES_PER_HOUR", default_value_t = 20)]
    pub communities_per_hour: u32,
}

impl Limits {
    /// Counts a post or comment, or refuses it with `RATE_LIMITED`.
    pub(crate) async fn take_write(&self, conn: &mut PgConnection, user: Uuid, now: DateTime<Utc>) -> Result<()> {
        take(conn, user, "WRITE", self.writes_per_minute, MINUTE, now).await
    }

    /// Counts a reaction, or refuses it with `RATE_LIMITED`.
    pub(crate) async fn take_reaction(&self, conn: &mut PgConnection, user: Uuid, now: DateTime<Utc>) -> Result<()> {
        take(conn, user, "REACTION", self.reactions_per_minute, MINUTE, now).await
    }

    /// Counts a new community, or refuses it with `RATE_LIMITED`.
    pub(crate) async fn take_community(&self, conn: &mut PgConnection, user: Uuid, now: DateTime<Utc>) -> Result<()> {
        take(conn, user, "COMMUNITY", self.communities_per_hour, HOUR, now).await
    }
}

async fn take(
    conn: &mut PgConnection,
    user: Uuid,
    kind: &str,
    most: u32,
    window: Duration,
    now: DateTime<Utc>,
) -> Result<()> {
    let most = i64::from(most);
    let taken = sqlx::query!(
        "insert into request_limits as l (user_id, kind, recent, last_at)
         select $1, $2, array[$3::timestamptz], $3 where $5::bigint > 0
         on conflict (user_id, kind) do update set
             recent = array(select at from unnest(l.recent) at where at > $4 order by at) || $3, last_at = $3
         where (select count(*) from unnest(l.recent) at where at > $4) < $5",
        user,
        kind,
        now,
        now - window,
        most
    )
    .execute(&mut *conn)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(());
    }
    let oldest = fetch_oldest(conn, user, kind, now - window).await?.unwrap_or(now);
    let wait = (oldest + window - now).to_std().unwrap_or_default();
    Err(exhausted("RATE_LIMITED", format!("too much in {} seconds", window.as_secs()), wait))
}

async fn fetch_oldest(
    db: impl PgExecutor<'_>,
    user: Uuid,
    kind: &str,
    since: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let oldest = sqlx::query_scalar!(
        "select min(at) from request_limits, unnest(recent) at where user_id = $1 and kind = $2 and at > $3",
        user,
        kind,
        since
    );
    Ok(oldest.fetch_one(db).await?)
}

/// Forgets people who wrote nothing in the window.
pub(crate) async fn delete_idle(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "delete from request_limits where last_at <= $1 and (kind <> 'COMMUNITY' or last_at <= $2)",
        now - MINUTE,
        now - HOUR
    )
    .execute(db)
    .await?;
    Ok(())
}
