//! Who is gone. The note of a person stays for ever, and what is written by or about somebody looks for it in its own
//! transaction: nothing comes to be behind the back of who takes away what the person left, which `remains` does.

use chrono::{DateTime, Utc};
use kit::error::{Error, not_found};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Refuses what somebody who is gone would be part of.
pub(crate) async fn must_be_here(conn: &mut PgConnection, people: &[Uuid]) -> kit::Result<()> {
    if fetch_gone(conn, people).await?.is_empty() { Ok(()) } else { Err(no_such_person()) }
}

/// Those of these people who are gone. Nobody of the others is, before this transaction has ended.
pub(crate) async fn fetch_gone(conn: &mut PgConnection, people: &[Uuid]) -> kit::Result<Vec<Uuid>> {
    hold_people(conn, people).await?;
    // A statement of its own: it sees what was noted while the one before it waited.
    let gone = sqlx::query_scalar!("select user_id from gone where user_id = any($1)", people);
    Ok(gone.fetch_all(conn).await?)
}

/// Notes that somebody is gone, once nobody writes about them any more. What they left is for others to take, in other
/// transactions: who buys asks for people while holding an ad, so who holds a person must not ask for ads.
pub(crate) async fn note_gone(conn: &mut PgConnection, id: Uuid, number: i64, now: DateTime<Utc>) -> kit::Result<()> {
    lock_person(conn, id).await?;
    upsert_gone(conn, id, number, now).await
}

/// As `users` answers about somebody whose account was deleted.
pub(crate) fn no_such_person() -> Error {
    not_found("USER_NOT_FOUND", "no such person")
}

/// Any number may hold somebody at once, in the order of the ids.
async fn hold_people(conn: &mut PgConnection, people: &[Uuid]) -> kit::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtextextended(id::text, 1))
         from (select id from unnest($1::uuid[]) as person (id) order by id) as people",
        people
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Waits for all who hold somebody.
async fn lock_person(conn: &mut PgConnection, id: Uuid) -> kit::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1))", id).execute(conn).await?;
    Ok(())
}

/// Whoever hears it again looks again for what is left.
async fn upsert_gone(conn: &mut PgConnection, id: Uuid, number: i64, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "insert into gone (user_id, user_number, at) values ($1, $2, $3)
         on conflict on constraint gone_pkey do update set cleared_at = null",
        id,
        number,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ids and numbers of those who may have left something.
pub(crate) async fn list_uncleared(db: impl PgExecutor<'_>) -> kit::Result<Vec<(Uuid, i64)>> {
    let rows = sqlx::query!("select user_id, user_number from gone where cleared_at is null order by at");
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.user_id, row.user_number)).collect())
}

/// Whether there is anything to do that nobody else does.
pub(crate) async fn lock_uncleared(conn: &mut PgConnection, id: Uuid) -> kit::Result<bool> {
    let locked =
        sqlx::query!("select user_id from gone where user_id = $1 and cleared_at is null for update skip locked", id);
    Ok(locked.fetch_optional(conn).await?.is_some())
}

pub(crate) async fn update_cleared(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!("update gone set cleared_at = $2 where user_id = $1", id, now).execute(conn).await?;
    Ok(())
}
