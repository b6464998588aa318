//! How often something may be asked for per subject: a phone, an address, a prefix. The last requests of each subject
//! are one row, so that counting and refusing is one statement that no two requests pass together.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kit::error::{Error, Result, exhausted};
use sqlx::PgConnection;

/// The window in which requests count.
pub(crate) const WINDOW: Duration = Duration::from_secs(3600);

/// How often per window, and how far apart at least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) most: u32,
    pub(crate) apart: Duration,
}

impl Limit {
    /// So often per window, in any rhythm.
    pub(crate) fn most(most: u32) -> Self {
        Self { most, apart: Duration::ZERO }
    }
}

/// Counts a request of the subject, or refuses it with `TOO_MANY_REQUESTS`. The row stays locked until the transaction
/// ends; take limits in the same order everywhere.
pub(crate) async fn take(conn: &mut PgConnection, subject: &[u8], limit: Limit, now: DateTime<Utc>) -> Result<()> {
    let counted = sqlx::query!(
        "insert into request_limits as l (subject, recent, last_at) values ($1, array[$2::timestamptz], $2)
         on conflict (subject) do update set
            recent = array(select at from unnest(l.recent) at where at > $3 order by at) || $2,
            last_at = $2
         where (select count(*) from unnest(l.recent) at where at > $3) < $4
            and ($5::timestamptz is null or l.last_at <= $5)",
        subject,
        now,
        now - WINDOW,
        i64::from(limit.most),
        (!limit.apart.is_zero()).then(|| now - limit.apart),
    )
    .execute(&mut *conn)
    .await?;
    if counted.rows_affected() == 1 {
        return Ok(());
    }
    let recent = fetch_recent(conn, subject).await?;
    Err(too_many_requests(wait(&recent, limit, now)))
}

/// How long until the next request is allowed; `recent` in order of time.
fn wait(recent: &[DateTime<Utc>], limit: Limit, now: DateTime<Utc>) -> Duration {
    let counted: Vec<_> = recent.iter().filter(|at| **at > now - WINDOW).collect();
    let free = match counted.len().checked_sub(limit.most as usize) {
        Some(index) => counted.get(index).map_or(now + WINDOW, |at| **at + WINDOW),
        None => now,
    };
    let apart = recent.last().map_or(now, |at| *at + limit.apart);
    (free.max(apart) - now).to_std().unwrap_or_default()
}

fn too_many_requests(after: Duration) -> Error {
    exhausted("TOO_MANY_REQUESTS", "asked for too often", after)
}

async fn fetch_recent(conn: &mut PgConnection, subject: &[u8]) -> Result<Vec<DateTime<Utc>>> {
    let recent = sqlx::query_scalar!("select recent from request_limits where subject = $1", subject);
    Ok(recent.fetch_optional(conn).await?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_waits_for_the_window_or_the_distance_whichever_is_longer() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let ago = |seconds: u64| now - Duration::from_secs(seconds);
        let limit = Limit { most: 2, apart: Duration::from_secs(60) };
        assert_eq!(wait(&[ago(10)], limit, now), Duration::from_secs(50));
        assert_eq!(wait(&[ago(3000), ago(100)], limit, now), Duration::from_secs(600));
        assert_eq!(wait(&[ago(3590), ago(10)], limit, now), Duration::from_secs(50));
        assert_eq!(wait(&[ago(4000), ago(3000), ago(100)], limit, now), Duration::from_secs(600));
        assert_eq!(wait(&[], Limit::most(0), now), WINDOW);
    }
}
