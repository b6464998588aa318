//! A few wrong passwords in a row close a name for a minute, and so does every further one. Names are counted whether
//! anybody has them or not, so that the lock tells nobody who exists.
//!
//! Passwords take long to check, and many guesses may be checked at once. A verdict is therefore told only if the name
//! is still open when it is reached: of a hundred guesses made together, the first few are answered.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kit::error::{Error, Result, exhausted};
use sqlx::{PgConnection, PgExecutor};

/// Failures in a row before a phone is closed.
pub(crate) const ALLOWED: i32 = 5;
/// The same for an email: the frontend behind those sends every failed login twice.
pub(crate) const ALLOWED_TWICE_SENT: i32 = 10;
/// How long it stays closed.
const CLOSED_FOR: Duration = Duration::from_secs(60);
/// Failures this old do not count any more.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// Refuses with `TOO_MANY_ATTEMPTS` while the name is closed.
pub(crate) async fn check(db: impl PgExecutor<'_>, name: &[u8], now: DateTime<Utc>) -> Result<()> {
    match fetch_closed_until(db, name, now).await? {
        Some(until) => Err(too_many_attempts(until, now)),
        None => Ok(()),
    }
}

/// Counts a failure. Refuses when the name was closed meanwhile: then nothing may be said about the guess.
pub(crate) async fn count_failure(
    conn: &mut PgConnection,
    name: &[u8],
    allowed: i32,
    now: DateTime<Utc>,
) -> Result<()> {
    let counted = sqlx::query!(
        "insert into login_failures as f (name, failures, failed_at) values ($1, 1, $2)
         on conflict (name) do update set
            failures = case when f.failed_at < $4 then 1 else f.failures + 1 end,
            failed_at = $2,
            locked_until = case when f.failed_at >= $4 and f.failures + 1 >= $3 then $5::timestamptz end
         where f.locked_until is null or f.locked_until <= $2",
        name,
        now,
        allowed,
        now - FORGOTTEN_AFTER,
        now + CLOSED_FOR,
    )
    .execute(&mut *conn)
    .await?;
    if counted.rows_affected() == 1 { Ok(()) } else { check(conn, name, now).await }
}

/// Forgets the failures after a success. Refuses when the name was closed meanwhile.
pub(crate) async fn forgive(conn: &mut PgConnection, name: &[u8], now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "delete from login_failures where name = $1 and (locked_until is null or locked_until <= $2)",
        name,
        now,
    )
    .execute(&mut *conn)
    .await?;
    check(conn, name, now).await
}

/// Opens names whose owner has proven to be the owner in another way.
pub(crate) async fn open(conn: &mut PgConnection, names: &[Vec<u8>]) -> Result<()> {
    sqlx::query!("delete from login_failures where name = any($1)", names).execute(conn).await?;
    Ok(())
}

fn too_many_attempts(until: DateTime<Utc>, now: DateTime<Utc>) -> Error {
    let after = (until - now).to_std().unwrap_or_default();
    exhausted("TOO_MANY_ATTEMPTS", "too many failures in a row", after)
}

async fn fetch_closed_until(db: impl PgExecutor<'_>, name: &[u8], now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        r#"select locked_until as "until!" from login_failures where name = $1 and locked_until > $2"#,
        name,
        now,
    )
    .fetch_optional(db)
    .await?)
}
