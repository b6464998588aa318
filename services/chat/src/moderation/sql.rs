//! The SQL of moderation, one statement each.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{InfractionRow, Place, Review, StandingRow, name};

pub(super) async fn fetch_standing(db: impl PgExecutor<'_>, user: Uuid) -> kit::Result<Option<StandingRow>> {
    let row = sqlx::query_as!(
        StandingRow,
        "select user_id, infractions, banned_until, version from standings where user_id = $1",
        user
    );
    Ok(row.fetch_optional(db).await?)
}

/// A room's kind, and until when this person is banned from those that are moderated.
pub(super) async fn fetch_ban(
    db: impl PgExecutor<'_>,
    room: Uuid,
    user: Uuid,
) -> kit::Result<Option<(String, Option<DateTime<Utc>>)>> {
    let row = sqlx::query!(
        r#"select r.kind, s.banned_until as "banned_until?"
           from rooms r left join standings s on s.user_id = $2 where r.id = $1"#,
        room,
        user
    );
    Ok(row.fetch_optional(db).await?.map(|row| (row.kind, row.banned_until)))
}

/// Those of these people who are banned.
pub(super) async fn list_banned(db: impl PgExecutor<'_>, users: &[Uuid], now: DateTime<Utc>) -> kit::Result<Vec<Uuid>> {
    let banned =
        sqlx::query_scalar!("select user_id from standings where user_id = any($1) and banned_until > $2", users, now);
    Ok(banned.fetch_all(db).await?)
}

/// Makes one if there is none.
pub(super) async fn lock_standing(tx: &mut PgConnection, user: Uuid) -> kit::Result<StandingRow> {
    let row = sqlx::query_as!(
        StandingRow,
        "insert into standings (user_id) values ($1)
         on conflict on constraint standings_pkey do update set user_id = excluded.user_id
         returning user_id, infractions, banned_until, version",
        user
    );
    Ok(row.fetch_one(tx).await?)
}

/// One whose ban has ended, that nobody else is at.
pub(super) async fn lock_ended(tx: &mut PgConnection, now: DateTime<Utc>) -> kit::Result<Option<StandingRow>> {
    let row = sqlx::query_as!(
        StandingRow,
        "select user_id, infractions, banned_until, version from standings
         where banned_until <= $1 order by banned_until limit 1 for update skip locked",
        now
    );
    Ok(row.fetch_optional(tx).await?)
}

pub(super) async fn update_standing(tx: &mut PgConnection, standing: &StandingRow) -> kit::Result<()> {
    sqlx::query!(
        "update standings set infractions = $2, banned_until = $3, version = $4 where user_id = $1",
        standing.user_id,
        standing.infractions,
        standing.banned_until,
        standing.version
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Those that count have led to a ban that is over.
pub(super) async fn serve_infractions(tx: &mut PgConnection, user: Uuid) -> kit::Result<()> {
    sqlx::query!("update infractions set counts = false, served = true where user_id = $1 and counts", user)
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether it is new.
pub(super) async fn insert_report(
    tx: &mut PgConnection,
    user: Uuid,
    external_id: Option<&str>,
    reasons: &[String],
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    let inserted = sqlx::query!(
        "insert into infractions (id, user_id, external_id, reasons, created_at) values ($1, $2, $3, $4, $5)
         on conflict on constraint infractions_once_per_external_id do nothing",
        Uuid::now_v7(),
        user,
        external_id,
        reasons,
        now
    );
    Ok(inserted.execute(tx).await?.rows_affected() == 1)
}

/// Whether it counts one more. A message whose infraction does not count any more was edited, and is a new case.
pub(super) async fn upsert_notice(
    tx: &mut PgConnection,
    message: Uuid,
    sender: Uuid,
    reasons: &[String],
    text: &str,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    let noted = sqlx::query!(
        "insert into infractions as known (id, user_id, message_id, reasons, text, created_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict on constraint infractions_once_per_message do update
         set reasons = excluded.reasons, text = excluded.text, verdict = 'PENDING', counts = true,
             served = false, created_at = excluded.created_at, reviewed_by = null, reviewed_at = null, note = ''
         where not known.counts",
        Uuid::now_v7(),
        sender,
        message,
        reasons,
        text,
        now
    );
    Ok(noted.execute(tx).await?.rows_affected() == 1)
}

/// What is known of a message.
pub(super) struct Known {
    pub(super) verdict: String,
    pub(super) reasons: Vec<String>,
    pub(super) counts: bool,
    pub(super) served: bool,
}

pub(super) async fn fetch_infraction(db: impl PgExecutor<'_>, message: Uuid) -> kit::Result<Option<Known>> {
    let row = sqlx::query_as!(
        Known,
        "select verdict, reasons, counts, served from infractions where message_id = $1",
        message
    );
    Ok(row.fetch_optional(db).await?)
}

/// Makes the infraction that nobody had noticed.
pub(super) async fn upsert_verdict(
    tx: &mut PgConnection,
    review: &Review<'_>,
    counts: bool,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into infractions (
             id, user_id, message_id, reasons, text, created_at, verdict, counts, reviewed_by, reviewed_at, note
         )
         values ($1, $2, $3, '{}', $4, $5, $6, $7, $8, $5, $9)
         on conflict on constraint infractions_once_per_message do update
         set verdict = excluded.verdict, counts = excluded.counts, reviewed_by = excluded.reviewed_by,
             reviewed_at = excluded.reviewed_at, note = excluded.note",
        Uuid::now_v7(),
        review.sender,
        review.message.id,
        review.message.text,
        now,
        name(review.verdict),
        counts,
        review.reviewer,
        review.note
    )
    .execute(tx)
    .await?;
    Ok(())
}

// Newest first, of everybody and of one person: two statements, so that each has its index.

pub(super) async fn list_infractions(
    db: impl PgExecutor<'_>,
    verdicts: &[String],
    after: Option<Place>,
    limit: i64,
) -> kit::Result<Vec<InfractionRow>> {
    let rows = sqlx::query_as!(
        InfractionRow,
        r#"select i.id, i.user_id, i.message_id, m.number as "message_number?", i.reasons, i.text, i.verdict,
               i.created_at
           from infractions i left join messages m on m.id = i.message_id
           where i.verdict = any($1) and (i.created_at, i.id) < (coalesce($2::timestamptz, 'infinity'), $3)
           order by i.created_at desc, i.id desc limit $4"#,
        verdicts,
        after.map(|place| place.created_at),
        after.map_or(Uuid::max(), |place| place.id),
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn list_infractions_of(
    db: impl PgExecutor<'_>,
    user: Uuid,
    verdicts: &[String],
    after: Option<Place>,
    limit: i64,
) -> kit::Result<Vec<InfractionRow>> {
    let rows = sqlx::query_as!(
        InfractionRow,
        r#"select i.id, i.user_id, i.message_id, m.number as "message_number?", i.reasons, i.text, i.verdict,
               i.created_at
           from infractions i left join messages m on m.id = i.message_id
           where i.user_id = $1 and i.verdict = any($2)
               and (i.created_at, i.id) < (coalesce($3::timestamptz, 'infinity'), $4)
           order by i.created_at desc, i.id desc limit $5"#,
        user,
        verdicts,
        after.map(|place| place.created_at),
        after.map_or(Uuid::max(), |place| place.id),
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn delete_standing(db: impl PgExecutor<'_>, user: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from standings where user_id = $1", user).execute(db).await?;
    Ok(())
}

pub(super) async fn delete_infractions(db: impl PgExecutor<'_>, user: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from infractions where user_id = $1", user).execute(db).await?;
    Ok(())
}

/// Lets nobody else look for the pieces that this person tells until the transaction ends, or of two that are sent at
/// once in two rooms, neither would find the other. Whoever asks holds a room's lock already and takes no other one.
pub(super) async fn lock_pieces(tx: &mut PgConnection, sender: Uuid) -> kit::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 2))", sender).execute(tx).await?;
    Ok(())
}

/// What others have heard.
pub(super) struct Heard {
    pub(super) message_id: Uuid,
    pub(super) text: String,
}

/// What somebody told the same people lately, in the order in which they heard it: in this room and, if it is a pair's,
/// in its others of these kinds; also what messages said before they were edited or deleted. Only what happened last in
/// each room, and in the rooms that were used last.
pub(super) async fn list_heard(
    db: impl PgExecutor<'_>,
    room: Uuid,
    kinds: &[String],
    sender: Uuid,
    since: DateTime<Utc>,
) -> kit::Result<Vec<Heard>> {
    let mut heard = sqlx::query_as!(
        Heard,
        r#"with near as (
               select id, last_sequence from rooms where id = $1
               union
               select theirs.id, theirs.last_sequence
               from rooms here
               cross join unnest($2::text[]) as covered (kind)
               -- `DEAL`, both ids, and the subject, parted by blanks; see `Chat::pair`.
               cross join lateral (
                   select covered.kind || substr(here.pair, length(here.kind) + 1, 74) as both_of_them
               ) named
               cross join lateral (
                   select id, last_sequence from rooms
                   where pair ~>=~ (named.both_of_them || ' ') and pair ~<~ (named.both_of_them || '!')
                   order by last_activity_at desc nulls last limit 20
               ) theirs
               where here.id = $1 and here.pair is not null
           ),
           recent as (
               select m.id, m.text, m.created_at, not m.censored and m.deleted_at is null as shown
               from near cross join lateral (
                   (select id, sender_id, text, created_at, edited_at, censored, deleted_at from messages
                    where room_id = near.id
                    order by sequence desc limit 30)
                   union all
                   (select id, sender_id, text, created_at, edited_at, censored, deleted_at from messages
                    where room_id = near.id and change > sent_change and sequence <= near.last_sequence - 30
                    order by change desc limit 30)
               ) m
               where m.sender_id = $3 and (m.created_at >= $4 or m.edited_at >= $4)
           ),
           former as (
               select m.id, m.created_at, v.position, v.text, v.replaced_at, v.cause
               from recent m cross join lateral (
                   select position, text, replaced_at, cause from versions
                   where message_id = m.id and replaced_at >= $4
                   order by position desc limit 40
               ) v
           ),
           heard as (
               select id, position, text,
                   coalesce(lag(replaced_at) over (partition by id order by position), created_at) as at,
                   -- What was censored at once, nobody has heard.
                   cause in ('EDITED', 'DELETED') as shown
               from former
               union all
               select id, null, text, coalesce(latest.at, created_at), shown
               from recent left join (select id, max(replaced_at) as at from former group by id) latest using (id)
           )
           select id as "message_id!", text as "text!" from heard
           where shown and at >= $4 and text <> $5
           order by at desc, id desc, position desc nulls first limit 60"#,
        room,
        kinds,
        sender,
        since,
        super::CENSORED
    )
    .fetch_all(db)
    .await?;
    heard.reverse();
    Ok(heard)
}
