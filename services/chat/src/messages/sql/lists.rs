//! Pages of messages, in one room and in all of a person's.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::MessageRow;

/// Places in a room, for a page of its messages.
pub(crate) struct Range {
    pub(crate) room: Uuid,
    /// Greater than this.
    pub(crate) after: i64,
    /// Less than this.
    pub(crate) before: i64,
}

pub(crate) async fn list_oldest(
    db: impl PgExecutor<'_>,
    range: &Range,
    skip: i64,
    limit: i64,
) -> kit::Result<Vec<MessageRow>> {
    let rows = messages!(
        "where m.room_id = $1 and m.sequence > $2 and m.sequence < $3 order by m.sequence offset $4 limit $5",
        range.room,
        range.after,
        range.before,
        skip,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(crate) async fn list_newest(
    db: impl PgExecutor<'_>,
    range: &Range,
    skip: i64,
    limit: i64,
) -> kit::Result<Vec<MessageRow>> {
    let rows = messages!(
        "where m.room_id = $1 and m.sequence > $2 and m.sequence < $3 order by m.sequence desc offset $4 limit $5",
        range.room,
        range.after,
        range.before,
        skip,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

/// The latest `limit` messages that this person may see in each of these rooms, oldest first.
pub(crate) async fn list_latest(
    db: impl PgExecutor<'_>,
    rooms: &[Uuid],
    cleared: &[i64],
    limit: i64,
) -> kit::Result<Vec<MessageRow>> {
    let rows = messages!(
        "join lateral (
             select w.room, l.sequence
             from unnest($1::uuid[], $2::bigint[]) as w (room, cleared)
             cross join lateral (
                 select sequence from messages where room_id = w.room and sequence > w.cleared
                 order by sequence desc limit $3
             ) l
         ) latest on latest.room = m.room_id and latest.sequence = m.sequence
         order by m.room_id, m.sequence",
        rooms,
        cleared,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

/// Messages of all rooms of somebody, oldest first. Within a room numbers rise with sequences, so that the first of each
/// room are enough to know the first of all.
pub(crate) async fn list_everywhere_oldest(
    db: impl PgExecutor<'_>,
    user: Uuid,
    kinds: &[String],
    sent_before: Option<DateTime<Utc>>,
    skip: i64,
    limit: i64,
) -> kit::Result<Vec<MessageRow>> {
    let rows = messages!(
        "join (
             select first.id from members me
             join rooms mine on mine.id = me.room_id
             cross join lateral (
                 select id, number from messages
                 where room_id = me.room_id and sequence > me.cleared_through
                     and sequence < coalesce(sequence_at(me.room_id, $4), 9223372036854775807)
                 order by sequence limit $2::bigint + $3::bigint
             ) first
             where me.user_id = $1 and me.left_at is null
                 and (cardinality($5::text[]) = 0 or mine.kind = any($5))
             order by first.number offset $2 limit $3
         ) page on page.id = m.id
         order by m.number",
        user,
        skip,
        limit,
        sent_before,
        kinds
    );
    Ok(rows.fetch_all(db).await?)
}

pub(crate) async fn list_everywhere_newest(
    db: impl PgExecutor<'_>,
    user: Uuid,
    kinds: &[String],
    sent_before: Option<DateTime<Utc>>,
    skip: i64,
    limit: i64,
) -> kit::Result<Vec<MessageRow>> {
    let rows = messages!(
        "join (
             select last.id from members me
             join rooms mine on mine.id = me.room_id
             cross join lateral (
                 select id, number from messages
                 where room_id = me.room_id and sequence > me.cleared_through
                     and sequence < coalesce(sequence_at(me.room_id, $4), 9223372036854775807)
                 order by sequence desc limit $2::bigint + $3::bigint
             ) last
             where me.user_id = $1 and me.left_at is null
                 and (cardinality($5::text[]) = 0 or mine.kind = any($5))
             order by last.number desc offset $2 limit $3
         ) page on page.id = m.id
         order by m.number desc",
        user,
        skip,
        limit,
        sent_before,
        kinds
    );
    Ok(rows.fetch_all(db).await?)
}

/// How many messages all of somebody's rooms have together, at most 10,001. Every sequence is a message.
pub(crate) async fn count_everywhere(
    db: impl PgExecutor<'_>,
    user: Uuid,
    kinds: &[String],
    sent_before: Option<DateTime<Utc>>,
) -> kit::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select least(coalesce(sum(greatest(before.sequence - 1 - me.cleared_through, 0)), 0), 10001)::bigint
               as "count!"
           from members me join rooms r on r.id = me.room_id
           cross join lateral (select coalesce(sequence_at(r.id, $2), r.last_sequence + 1) as sequence) before
           where me.user_id = $1 and me.left_at is null and (cardinality($3::text[]) = 0 or r.kind = any($3))"#,
        user,
        sent_before,
        kinds
    );
    Ok(count.fetch_one(db).await?)
}

/// Words as a `tsquery` finds them, newest first by number.
pub(crate) async fn search_messages(
    db: impl PgExecutor<'_>,
    user: Uuid,
    room: Option<Uuid>,
    kinds: &[String],
    words: &str,
    before: i64,
    limit: i64,
) -> kit::Result<Vec<MessageRow>> {
    let rows = messages!(
        "join members me on me.room_id = m.room_id and me.user_id = $1 and me.left_at is null
         where m.room_id = any(array(
             select mine.room_id from members mine join rooms its on its.id = mine.room_id
             where mine.user_id = $1 and mine.left_at is null and ($2::uuid is null or mine.room_id = $2)
                 and (cardinality($6::text[]) = 0 or its.kind = any($6))
         ))
             and m.searched @@ to_tsquery('simple', plain($3)) and m.number < $4
             and m.sequence > me.cleared_through
         order by m.number desc limit $5",
        user,
        room,
        words,
        before,
        limit,
        kinds
    );
    Ok(rows.fetch_all(db).await?)
}

/// New messages since a change, in their order, as they are now.
pub(crate) async fn list_sent_since(
    db: impl PgExecutor<'_>,
    room: Uuid,
    since: i64,
    through: i64,
    cleared: i64,
    limit: i64,
) -> kit::Result<Vec<MessageRow>> {
    let rows = messages!(
        "where m.room_id = $1 and m.sent_change > $2 and m.sent_change <= $3 and m.sequence > $4
         order by m.sent_change limit $5",
        room,
        since,
        through,
        cleared,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

/// Messages from up to the change `since` which changes after `after` were about, in the order of these.
pub(crate) async fn list_changed_since(
    db: impl PgExecutor<'_>,
    room: Uuid,
    since: i64,
    after: i64,
    cleared: i64,
    limit: i64,
) -> kit::Result<Vec<MessageRow>> {
    let rows = messages!(
        "where m.room_id = $1 and m.change > m.sent_change and m.change > $3 and m.sent_change <= $2
             and m.sequence > $4
         order by m.change limit $5",
        room,
        since,
        after,
        cleared,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

/// The change that brought a sequence; of one that is not there yet, the room's last.
pub(crate) async fn fetch_change_of(db: impl PgExecutor<'_>, room: Uuid, sequence: i64) -> kit::Result<i64> {
    let change = sqlx::query_scalar!(
        r#"select coalesce(
               (select sent_change from messages where room_id = $1 and sequence = $2),
               case when $2 <= 0 then 0 end,
               (select last_change from rooms where id = $1),
               0
           ) as "change!""#,
        room,
        sequence
    );
    Ok(change.fetch_one(db).await?)
}
