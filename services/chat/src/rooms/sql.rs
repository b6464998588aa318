use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A room as one of its members sees it.
pub(crate) struct RoomRow {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) created_by_id: Uuid,
    pub(crate) created_by_number: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_activity_at: Option<DateTime<Utc>>,
    pub(crate) last_sequence: i64,
    pub(crate) last_change: i64,
    pub(crate) cleared_through: i64,
    pub(crate) muted_until: Option<DateTime<Utc>>,
    pub(crate) archived: bool,
    pub(crate) unread: i64,
    pub(crate) total: i64,
}

pub(crate) async fn fetch_room(db: impl PgExecutor<'_>, room: Uuid, user: Uuid) -> kit::Result<Option<RoomRow>> {
    let row = sqlx::query_as!(
        RoomRow,
        r#"select r.id, r.number, r.kind, r.name, r.subject, r.created_by_id, r.created_by_number, r.created_at,
               r.last_activity_at, r.last_sequence, r.last_change, me.cleared_through, me.muted_until, me.archived,
               unread.messages as "unread!", 1::bigint as "total!"
           from members me join rooms r on r.id = me.room_id
           cross join lateral (
               select count(*) as messages from (
                   select from messages m
                   where m.room_id = r.id and m.sequence > greatest(me.read_through, me.cleared_through)
                       and m.sender_id is distinct from $2 and m.deleted_at is null
                       and not exists (
                           select from read_ahead a
                           where a.room_id = r.id and a.user_id = $2 and a.sequence = m.sequence
                       )
                   limit 1000
               ) u
           ) unread
           where me.room_id = $1 and me.user_id = $2 and me.left_at is null and not me.hidden"#,
        room,
        user
    );
    Ok(row.fetch_optional(db).await?)
}

/// Which of somebody's rooms.
pub(crate) struct Filter {
    pub(crate) kinds: Vec<String>,
    pub(crate) archived: Option<bool>,
    /// Behind the room with this activity (the distant past without any) and number.
    pub(crate) after: Option<(Option<DateTime<Utc>>, i64)>,
    pub(crate) skip: i64,
    pub(crate) limit: i64,
}

/// Latest activity first. The rooms of one person are few enough to be sorted; what is behind each is read from indexes
/// for those on the page.
pub(crate) async fn list_rooms(db: impl PgExecutor<'_>, user: Uuid, filter: &Filter) -> kit::Result<Vec<RoomRow>> {
    let rows = sqlx::query_as!(
        RoomRow,
        r#"with mine as materialized (
               select r.id, r.number, r.last_activity_at, count(*) over () as total
               from members me join rooms r on r.id = me.room_id
               where me.user_id = $1 and me.left_at is null and not me.hidden
                   and (cardinality($2::text[]) = 0 or r.kind = any($2)) and ($3::bool is null or me.archived = $3)
           ),
           page as materialized (
               select id, total from mine
               where $4::bool is false
                   or (coalesce(last_activity_at, '-infinity'), number) < (coalesce($5::timestamptz, '-infinity'), $6)
               order by last_activity_at desc nulls last, number desc
               offset $7 limit $8
           )
           select r.id, r.number, r.kind, r.name, r.subject, r.created_by_id, r.created_by_number, r.created_at,
               r.last_activity_at, r.last_sequence, r.last_change, me.cleared_through, me.muted_until, me.archived,
               unread.messages as "unread!", page.total as "total!"
           from page
           join rooms r on r.id = page.id
           join members me on me.room_id = r.id and me.user_id = $1
           cross join lateral (
               select count(*) as messages from (
                   select from messages m
                   where m.room_id = r.id and m.sequence > greatest(me.read_through, me.cleared_through)
                       and m.sender_id is distinct from $1 and m.deleted_at is null
                       and not exists (
                           select from read_ahead a
                           where a.room_id = r.id and a.user_id = $1 and a.sequence = m.sequence
                       )
                   limit 1000
               ) u
           ) unread
           order by r.last_activity_at desc nulls last, r.number desc"#,
        user,
        &filter.kinds,
        filter.archived,
        filter.after.is_some(),
        filter.after.and_then(|(at, _)| at),
        filter.after.map_or(0, |(_, number)| number),
        filter.skip,
        filter.limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(crate) struct MemberRow {
    pub(crate) room_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) user_number: i64,
    pub(crate) admin: bool,
    pub(crate) joined_at: DateTime<Utc>,
    pub(crate) delivered_through: i64,
    pub(crate) read_through: i64,
}

/// The first `limit` members of each room, in their order.
pub(crate) async fn list_members(db: impl PgExecutor<'_>, rooms: &[Uuid], limit: i64) -> kit::Result<Vec<MemberRow>> {
    let rows = sqlx::query_as!(
        MemberRow,
        r#"select m.room_id as "room_id!", m.user_id as "user_id!", m.user_number as "user_number!", m.admin as "admin!",
               m.joined_at as "joined_at!", m.delivered_through as "delivered_through!",
               m.read_through as "read_through!"
           from unnest($1::uuid[]) as w (room)
           cross join lateral (
               select * from members where room_id = w.room and left_at is null order by position limit $2
           ) m
           order by m.room_id, m.position"#,
        rooms,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(crate) struct NewRoom<'a> {
    pub(crate) id: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) name: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) pair: Option<String>,
    pub(crate) created_by: (Uuid, i64),
    pub(crate) now: DateTime<Utc>,
}

/// The new room's number; nothing when the pair has one. Waits for whoever makes the same one at this moment.
pub(crate) async fn insert_room(tx: &mut PgConnection, new: &NewRoom<'_>) -> kit::Result<Option<i64>> {
    let number = sqlx::query_scalar!(
        "insert into rooms (id, kind, name, subject, pair, created_by_id, created_by_number, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict on constraint rooms_one_per_pair do nothing
         returning number",
        new.id,
        new.kind,
        new.name,
        new.subject,
        new.pair,
        new.created_by.0,
        new.created_by.1,
        new.now
    );
    Ok(number.fetch_optional(tx).await?)
}

pub(crate) async fn fetch_pair(db: impl PgExecutor<'_>, pair: &str) -> kit::Result<Option<Uuid>> {
    Ok(sqlx::query_scalar!("select id from rooms where pair = $1", pair).fetch_optional(db).await?)
}

pub(crate) async fn update_name(tx: &mut PgConnection, room: Uuid, name: &str) -> kit::Result<()> {
    sqlx::query!("update rooms set name = $2 where id = $1", room, name).execute(tx).await?;
    Ok(())
}

pub(crate) async fn update_admin(tx: &mut PgConnection, room: Uuid, user: Uuid, admin: bool) -> kit::Result<bool> {
    let updated = sqlx::query!(
        "update members set admin = $3 where room_id = $1 and user_id = $2 and left_at is null",
        room,
        user,
        admin
    )
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// How many administrators a group has besides this member.
pub(crate) async fn count_other_admins(tx: &mut PgConnection, room: Uuid, user: Uuid) -> kit::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from members
           where room_id = $1 and user_id <> $2 and admin and left_at is null"#,
        room,
        user
    );
    Ok(count.fetch_one(tx).await?)
}

/// Makes the member who came first an administrator.
pub(crate) async fn promote_first(tx: &mut PgConnection, room: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "update members set admin = true
         where room_id = $1 and left_at is null
             and position = (select min(position) from members where room_id = $1 and left_at is null)",
        room
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Hides a pair's room from one of both, with what was said so far.
pub(crate) async fn hide(tx: &mut PgConnection, room: Uuid, user: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "update members m set hidden = true, cleared_through = r.last_sequence
         from rooms r where r.id = m.room_id and m.room_id = $1 and m.user_id = $2",
        room,
        user
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(crate) async fn show(tx: &mut PgConnection, room: Uuid, user: Uuid) -> kit::Result<()> {
    sqlx::query!("update members set hidden = false where room_id = $1 and user_id = $2 and hidden", room, user)
        .execute(tx)
        .await?;
    Ok(())
}

/// Deletes a room that nobody has any more; whether it was one.
pub(crate) async fn delete_if_abandoned(tx: &mut PgConnection, room: Uuid) -> kit::Result<bool> {
    let deleted = sqlx::query!(
        "delete from rooms
         where id = $1 and not exists (select from members where room_id = $1 and left_at is null and not hidden)",
        room
    )
    .execute(tx)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Absent values stay.
pub(crate) async fn update_membership(
    db: impl PgExecutor<'_>,
    room: Uuid,
    user: Uuid,
    muted_until: Option<DateTime<Utc>>,
    archived: Option<bool>,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    let updated = sqlx::query!(
        "update members
         set muted_until = case when $3::timestamptz is null then muted_until when $3 > $5 then $3 end,
             archived = coalesce($4, archived)
         where room_id = $1 and user_id = $2 and left_at is null and not hidden",
        room,
        user,
        muted_until,
        archived,
        now
    )
    .execute(db)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub(crate) struct Unread {
    pub(crate) messages: i64,
    pub(crate) rooms: i64,
}

pub(crate) async fn count_unread(
    db: impl PgExecutor<'_>,
    user: Uuid,
    kinds: &[String],
    now: DateTime<Utc>,
) -> kit::Result<Unread> {
    let unread = sqlx::query_as!(
        Unread,
        r#"select coalesce(sum(unread.messages), 0)::bigint as "messages!",
               count(*) filter (where unread.messages > 0) as "rooms!"
           from members me join rooms r on r.id = me.room_id
           cross join lateral (
               select count(*) as messages from (
                   select from messages m
                   where m.room_id = r.id and m.sequence > greatest(me.read_through, me.cleared_through)
                       and m.sender_id is distinct from $1 and m.deleted_at is null
                       and not exists (
                           select from read_ahead a
                           where a.room_id = r.id and a.user_id = $1 and a.sequence = m.sequence
                       )
                   limit 1000
               ) u
           ) unread
           where me.user_id = $1 and me.left_at is null and not me.hidden and not me.archived
               and (me.muted_until is null or me.muted_until <= $3)
               and me.read_through < r.last_sequence
               and (cardinality($2::text[]) = 0 or r.kind = any($2))"#,
        user,
        kinds,
        now
    );
    Ok(unread.fetch_one(db).await?)
}

/// Inserts a block unless there are a thousand already; whether there is one now.
pub(crate) async fn insert_block(
    db: impl PgExecutor<'_>,
    blocker: Uuid,
    blocked: Uuid,
    number: i64,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    let there = sqlx::query_scalar!(
        r#"with added as (
               insert into blocks (blocker_id, blocked_id, blocked_number, created_at)
               select $1, $2, $3, $4 where (select count(*) from blocks where blocker_id = $1) < 1000
               on conflict do nothing
               returning blocked_id
           )
           select exists(select from added)
               or exists(select from blocks where blocker_id = $1 and blocked_id = $2) as "there!""#,
        blocker,
        blocked,
        number,
        now
    );
    Ok(there.fetch_one(db).await?)
}

/// Whether there was one.
pub(crate) async fn delete_block(db: impl PgExecutor<'_>, blocker: Uuid, blocked: Uuid) -> kit::Result<bool> {
    let deleted = sqlx::query!("delete from blocks where blocker_id = $1 and blocked_id = $2", blocker, blocked);
    Ok(deleted.execute(db).await?.rows_affected() > 0)
}

pub(crate) struct BlockRow {
    pub(crate) blocked_id: Uuid,
    pub(crate) blocked_number: i64,
}

pub(crate) async fn list_blocks(db: impl PgExecutor<'_>, blocker: Uuid) -> kit::Result<Vec<BlockRow>> {
    let rows = sqlx::query_as!(
        BlockRow,
        "select blocked_id, blocked_number from blocks where blocker_id = $1 order by created_at desc, blocked_id",
        blocker
    );
    Ok(rows.fetch_all(db).await?)
}

pub(crate) async fn has_blocked(db: impl PgExecutor<'_>, blocker: Uuid, blocked: Uuid) -> kit::Result<bool> {
    let blocked = sqlx::query_scalar!(
        r#"select exists(select from blocks where blocker_id = $1 and blocked_id = $2) as "blocked!""#,
        blocker,
        blocked
    );
    Ok(blocked.fetch_one(db).await?)
}

/// Where rooms are; those that are gone are left out.
pub(crate) async fn list_changes(db: impl PgExecutor<'_>, rooms: &[Uuid]) -> kit::Result<Vec<(Uuid, i64)>> {
    let rows = sqlx::query!("select id, last_change from rooms where id = any($1)", rooms).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.last_change)).collect())
}
