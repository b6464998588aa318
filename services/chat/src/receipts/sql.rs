//! The SQL of receipts, one statement each.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A watermark that rose.
pub(super) struct Moved {
    pub(super) room_id: Uuid,
    pub(super) room_number: i64,
    pub(super) members_count: i32,
    pub(super) user_id: Uuid,
    pub(super) user_number: i64,
    pub(super) before: i64,
    pub(super) through: i64,
    /// No earlier than the member's movement before, whatever clocks say.
    pub(super) at: DateTime<Utc>,
}

/// Rows are locked in the order of the schema: members by room and user.
pub(super) async fn advance_delivered(
    db: impl PgExecutor<'_>,
    rooms: &[Uuid],
    users: &[Uuid],
    through: &[i64],
    now: DateTime<Utc>,
) -> kit::Result<Vec<Moved>> {
    let moved = sqlx::query_as!(
        Moved,
        r#"with asked as (
               select * from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as asked (room_id, user_id, through)
           ),
           locked as materialized (
               select m.room_id, m.user_id, m.delivered_through as before, least(asked.through, r.last_sequence) as through,
                   greatest($4, m.marked_at) as at
               from members m join asked using (room_id, user_id) join rooms r on r.id = m.room_id
               where asked.through > m.delivered_through
               order by m.room_id, m.user_id
               for update of m
           ),
           moved as (
               update members m set delivered_through = locked.through, marked_at = locked.at
               from locked
               where m.room_id = locked.room_id and m.user_id = locked.user_id
                   and m.delivered_through < locked.through
               returning m.room_id, m.user_id, m.user_number, locked.before, locked.through, locked.at
           ),
           marked as (
               insert into marks (room_id, user_id, read, through, at)
               select room_id, user_id, false, through, at from moved
               on conflict do nothing
           )
           select moved.room_id, r.number as room_number, r.members_count, moved.user_id, moved.user_number,
               moved.before as "before!", moved.through as "through!", moved.at as "at!"
           from moved join rooms r on r.id = moved.room_id"#,
        rooms,
        users,
        through,
        now
    );
    Ok(moved.fetch_all(db).await?)
}

pub(super) async fn advance_all_delivered(
    db: impl PgExecutor<'_>,
    user: Uuid,
    now: DateTime<Utc>,
    kinds: &[String],
) -> kit::Result<Vec<Moved>> {
    let moved = sqlx::query_as!(
        Moved,
        r#"with locked as materialized (
               select m.room_id, m.user_id, m.delivered_through as before, r.last_sequence as through,
                   greatest($2, m.marked_at) as at
               from members m join rooms r on r.id = m.room_id
               where m.user_id = $1 and m.left_at is null and m.delivered_through < r.last_sequence
                   and (cardinality($3::text[]) = 0 or r.kind = any($3))
               order by m.room_id
               limit 1000
               for update of m
           ),
           moved as (
               update members m set delivered_through = locked.through, marked_at = locked.at
               from locked
               where m.room_id = locked.room_id and m.user_id = locked.user_id
                   and m.delivered_through < locked.through
               returning m.room_id, m.user_id, m.user_number, locked.before, locked.through, locked.at
           ),
           marked as (
               insert into marks (room_id, user_id, read, through, at)
               select room_id, user_id, false, through, at from moved
               on conflict do nothing
           )
           select moved.room_id, r.number as room_number, r.members_count, moved.user_id, moved.user_number,
               moved.before as "before!", moved.through as "through!", moved.at as "at!"
           from moved join rooms r on r.id = moved.room_id"#,
        user,
        now,
        kinds
    );
    Ok(moved.fetch_all(db).await?)
}

/// A message of somebody else's that a watermark passed.
pub(super) struct Told {
    pub(super) room_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) sender_id: Uuid,
    pub(super) id: Uuid,
    pub(super) number: i64,
    pub(super) sequence: i64,
}

/// The latest 1000 per movement, oldest first.
pub(super) async fn list_told(
    db: impl PgExecutor<'_>,
    rooms: &[Uuid],
    users: &[Uuid],
    after: &[i64],
    through: &[i64],
    at: &[DateTime<Utc>],
) -> kit::Result<Vec<Told>> {
    let told = sqlx::query_as!(
        Told,
        r#"select moved.room_id as "room_id!", moved.user_id as "user_id!", m.sender_id as "sender_id!", m.id, m.number,
               m.sequence
           from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[])
               as moved (room_id, user_id, after, through, at)
           cross join lateral (
               select id, number, sequence, sender_id from messages
               where room_id = moved.room_id and sequence > moved.after and sequence <= moved.through
                   and sender_id <> moved.user_id
                   -- Whoever had read it by then has it since that. (They may have read it since the movement, too.)
                   and not exists (
                       select from read_ahead a
                       where a.room_id = moved.room_id and a.user_id = moved.user_id and a.sequence = messages.sequence
                           and a.at <= moved.at
                   )
               order by sequence desc limit 1000
           ) m
           order by m.sequence"#,
        rooms,
        users,
        after,
        through,
        at
    );
    Ok(told.fetch_all(db).await?)
}

/// A message over which a watermark moved.
pub(super) struct MovedOver {
    pub(super) room_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) user_number: i64,
    pub(super) read: bool,
    pub(super) at: DateTime<Utc>,
    pub(super) id: Uuid,
    pub(super) number: i64,
    pub(super) sequence: i64,
}

/// At most the latest 1000 of all rooms, in the order of the movements.
pub(super) async fn list_moved(
    db: impl PgExecutor<'_>,
    rooms: &[Uuid],
    me: Uuid,
    since: &[i64],
    missed: Option<DateTime<Utc>>,
    most_members: i32,
) -> kit::Result<Vec<MovedOver>> {
    let rows = sqlx::query_as!(
        MovedOver,
        r#"with had as materialized (
               select w.room_id, least($5, case when w.since >= 0 then coalesce(
                   (select created_at from messages where room_id = w.room_id and sent_change <= w.since
                    order by sent_change desc limit 1),
                   '-infinity'
               ) end) as at
               from unnest($1::uuid[], $3::bigint[]) as w (room_id, since)
               join rooms r on r.id = w.room_id and r.members_count <= $4
           ),
           -- No more than these are told, however long somebody was away.
           latest as materialized (
               select k.* from had
               cross join lateral (
                   select * from marks where room_id = had.room_id and at >= had.at and not entered
                   order by at desc limit 1000
               ) k
               order by k.at desc limit 1000
           ),
           found as (
               (select k.room_id, k.user_id, k.read, k.at, m.id, m.number, m.sequence
                from latest k
                cross join lateral (
                    select coalesce(max(through), 0) as through from marks p
                    where p.room_id = k.room_id and p.user_id = k.user_id and p.read = k.read and p.through < k.through
                ) before
                -- By index, whatever statistics say: each with an end of its own, which no join of whole tables has.
                cross join lateral (
                    select id, number, sequence from messages
                    where room_id = k.room_id and sequence > before.through and sequence <= k.through
                        and sender_id <> k.user_id and (k.read or sender_id = $2)
                    order by sequence desc limit 1000
                ) m
                -- What was read ahead of this was told as read then, and is delivered since. (Asked as a range, and
                -- of what is true in any case, or PostgreSQL might gather the whole table first.)
                where not (k.through > 0 and exists (
                    select from read_ahead a
                    where a.room_id = k.room_id and a.user_id = k.user_id and a.sequence between m.sequence and m.sequence
                        and a.at <= k.at
                ))
                order by k.at desc, m.sequence desc limit 1000)
               union all
               (select a.room_id, a.user_id, true, a.at, m.id, m.number, m.sequence
                from had
                cross join lateral (
                    select * from read_ahead where room_id = had.room_id and at >= had.at order by at desc limit 1000
                ) a
                cross join lateral (
                    select id, number, sequence from messages where room_id = a.room_id and sequence = a.sequence limit 1
                ) m
                order by a.at desc limit 1000)
           ),
           moved as (select * from found order by at desc, sequence desc limit 1000)
           select moved.room_id as "room_id!", moved.user_id as "user_id!", me.user_number, moved.read as "read!",
               moved.at as "at!", moved.id as "id!", moved.number as "number!", moved.sequence as "sequence!"
           from moved
           cross join lateral (
               select user_number from members
               where room_id = moved.room_id and user_id = moved.user_id and left_at is null limit 1
           ) me
           order by moved.at, moved.room_id, moved.user_id, moved.read, moved.sequence"#,
        rooms,
        me,
        since,
        most_members,
        missed
    );
    Ok(rows.fetch_all(db).await?)
}

/// Which of these rooms have receipts that moved since a moment.
pub(crate) async fn list_marked(
    db: impl PgExecutor<'_>,
    rooms: &[Uuid],
    since: DateTime<Utc>,
) -> kit::Result<Vec<Uuid>> {
    let rows = sqlx::query_scalar!(
        "select distinct room_id from members where room_id = any($1) and marked_at >= $2",
        rooms,
        since
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) struct MarkRow {
    pub(super) room_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) user_number: i64,
    pub(super) state: Option<String>,
    pub(super) through: Option<i64>,
    pub(super) at: Option<DateTime<Utc>>,
}

/// Members in their order with the marks that say something about the range; a row without a mark where there is none.
pub(super) async fn list_marks(
    db: &mut PgConnection,
    rooms: &[Uuid],
    first: &[i64],
    last: &[i64],
    most_members: i32,
) -> kit::Result<Vec<MarkRow>> {
    let rows = sqlx::query_as!(
        MarkRow,
        r#"select m.room_id, m.user_id, m.user_number, mark.state as "state?", mark.through as "through?", mark.at as "at?"
           from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as w (room_id, first, last)
           join rooms r on r.id = w.room_id and r.members_count <= $4
           join members m on m.room_id = w.room_id and m.left_at is null
           left join lateral (
               (select case when read then 'READ' else 'DELIVERED' end as state, through, case when not entered then at end as at
                from marks
                where room_id = m.room_id and user_id = m.user_id and through >= w.first and through < w.last)
               union all
               (select 'DELIVERED', through, case when not entered then at end from marks
                where room_id = m.room_id and user_id = m.user_id and not read and through >= w.last
                order by read, through limit 1)
               union all
               (select 'READ', through, case when not entered then at end from marks
                where room_id = m.room_id and user_id = m.user_id and read and through >= w.last
                order by read, through limit 1)
               union all
               (select 'AHEAD', sequence, at from read_ahead
                where room_id = m.room_id and user_id = m.user_id and sequence between w.first and w.last)
           ) mark on true
           order by m.room_id, m.position, mark.through"#,
        rooms,
        first,
        last,
        most_members
    );
    Ok(rows.fetch_all(db).await?)
}
