//! The SQL of the bridge, one statement each.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::chats::Place;

/// Rooms in which something happened that Firestore does not know, except those that rest after a failure.
pub(super) async fn list_behind(db: impl PgExecutor<'_>, limit: i64) -> kit::Result<Vec<Uuid>> {
    let rooms = sqlx::query_scalar!(
        "select r.id from rooms r
         left join firebase_rooms f on f.room_id = r.id
         where r.kind = 'DEAL' and r.last_change > coalesce(f.through_change, 0)
             and (f.retry_at is null or f.retry_at <= now())
         limit $1",
        limit
    );
    Ok(rooms.fetch_all(db).await?)
}

/// Rooms in which somebody read what Firestore takes for unread. A deal's members have the positions 1 and 2.
pub(super) async fn list_read_on(db: impl PgExecutor<'_>, limit: i64) -> kit::Result<Vec<Uuid>> {
    let rooms = sqlx::query_scalar!(
        "select f.room_id from firebase_rooms f
         where (f.retry_at is null or f.retry_at <= now())
             and exists (
                 select from members m
                 where m.room_id = f.room_id
                     and m.read_through > case m.position when 1 then f.read_first else f.read_second end
             )
         limit $1",
        limit
    );
    Ok(rooms.fetch_all(db).await?)
}

/// A room and where it stands in Firestore.
#[derive(Debug)]
pub(super) struct RoomRow {
    pub(super) id: Uuid,
    pub(super) subject: String,
    pub(super) chat_id: Option<String>,
    pub(super) through_change: i64,
    pub(super) read_first: i64,
    pub(super) read_second: i64,
}

/// Begins to remember where it stands.
pub(super) async fn upsert_room(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<Option<RoomRow>> {
    let row = sqlx::query_as!(
        RoomRow,
        r#"with f as (
               insert into firebase_rooms (room_id) select id from rooms where id = $1 and kind = 'DEAL'
               on conflict on constraint firebase_rooms_pkey do update set room_id = excluded.room_id
               returning *
           )
           select r.id, r.subject, f.chat_id, f.through_change, f.read_first, f.read_second
           from f join rooms r on r.id = f.room_id"#,
        room
    );
    Ok(row.fetch_optional(db).await?)
}

pub(super) async fn update_chat_of(db: impl PgExecutor<'_>, room: Uuid, chat: &str) -> kit::Result<()> {
    sqlx::query!("update firebase_rooms set chat_id = $2 where room_id = $1", room, chat).execute(db).await?;
    Ok(())
}

/// Somebody wrote in this chat document; Plaza's own messages go where that was last.
pub(super) async fn upsert_wrote(tx: &mut PgConnection, room: Uuid, chat: &str, at: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "insert into firebase_rooms as known (room_id, chat_id, wrote_at) values ($1, $2, $3)
         on conflict on constraint firebase_rooms_pkey do update
         set chat_id = excluded.chat_id, wrote_at = excluded.wrote_at
         where known.wrote_at is null or known.wrote_at <= excluded.wrote_at",
        room,
        chat,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lets a room rest, the longer the oftener it failed.
pub(super) async fn update_failed(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "update firebase_rooms
         set failures = failures + 1, retry_at = now() + least(power(2, failures), 600) * interval '1 second'
         where room_id = $1",
        room
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn update_told(tx: &mut PgConnection, room: Uuid, through_change: i64) -> kit::Result<()> {
    sqlx::query!(
        "update firebase_rooms set through_change = greatest(through_change, $2), failures = 0, retry_at = null
         where room_id = $1",
        room,
        through_change
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn update_read(db: impl PgExecutor<'_>, room: Uuid, first: i64, second: i64) -> kit::Result<()> {
    sqlx::query!(
        "update firebase_rooms set read_first = greatest(read_first, $2), read_second = greatest(read_second, $3)
         where room_id = $1",
        room,
        first,
        second
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A message with what is known of its document.
#[derive(Clone, Debug)]
pub(super) struct ChangeRow {
    pub(super) id: Uuid,
    pub(super) sequence: i64,
    pub(super) sent_change: i64,
    pub(super) change: i64,
    pub(super) sender_id: Option<Uuid>,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) deleted: bool,
    pub(super) censored: bool,
    pub(super) name: Option<String>,
    pub(super) written: Option<bool>,
}

/// Messages that changes after this one were about, in the order of these. Those that were only sent and those that
/// changed since are two sets, each with its index.
pub(super) async fn list_changes(
    db: impl PgExecutor<'_>,
    room: Uuid,
    after: i64,
    limit: i64,
) -> kit::Result<Vec<ChangeRow>> {
    let rows = sqlx::query_as!(
        ChangeRow,
        r#"select m.id, m.sequence, m.sent_change, m.change, m.sender_id, m.kind, m.text, m.created_at,
               m.deleted_at is not null as "deleted!", m.censored, f.name as "name?", f.written as "written?"
           from (
               (select id from messages where room_id = $1 and sent_change > $2 and change = sent_change
                order by sent_change limit $3)
               union all
               (select id from messages where room_id = $1 and change > sent_change and change > $2
                order by change limit $3)
           ) c
           join messages m on m.id = c.id
           left join firebase_messages f on f.message_id = m.id
           order by m.change limit $3"#,
        room,
        after,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn fetch_newest(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<Option<ChangeRow>> {
    let row = sqlx::query_as!(
        ChangeRow,
        r#"select m.id, m.sequence, m.sent_change, m.change, m.sender_id, m.kind, m.text, m.created_at,
               m.deleted_at is not null as "deleted!", m.censored, f.name as "name?", f.written as "written?"
           from messages m left join firebase_messages f on f.message_id = m.id
           where m.room_id = $1 order by m.sequence desc limit 1"#,
        room
    );
    Ok(row.fetch_optional(db).await?)
}

/// Chooses documents for messages, once; for how many nobody had.
pub(super) async fn insert_names(db: impl PgExecutor<'_>, ids: &[Uuid], names: &[String]) -> kit::Result<u64> {
    let inserted = sqlx::query!(
        "insert into firebase_messages (message_id, name, written)
         select id, name, false from unnest($1::uuid[], $2::text[]) as n (id, name)
         on conflict do nothing",
        ids,
        names
    );
    Ok(inserted.execute(db).await?.rows_affected())
}

pub(super) async fn update_written(tx: &mut PgConnection, ids: &[Uuid]) -> kit::Result<()> {
    sqlx::query!("update firebase_messages set written = true where message_id = any($1) and not written", ids)
        .execute(tx)
        .await?;
    Ok(())
}

/// A message that is a document in Firestore.
pub(super) async fn insert_taken(tx: &mut PgConnection, message: Uuid, name: &str) -> kit::Result<()> {
    sqlx::query!("insert into firebase_messages (message_id, name, written) values ($1, $2, true)", message, name)
        .execute(tx)
        .await?;
    Ok(())
}

/// A stored message by its document.
pub(super) struct KnownRow {
    pub(super) sequence: i64,
    pub(super) sender_id: Option<Uuid>,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) deleted: bool,
    pub(super) censored: bool,
}

pub(super) async fn fetch_known(db: impl PgExecutor<'_>, name: &str) -> kit::Result<Option<KnownRow>> {
    let row = sqlx::query_as!(
        KnownRow,
        r#"select m.sequence, m.sender_id, m.kind, m.text, m.deleted_at is not null as "deleted!", m.censored
           from firebase_messages f join messages m on m.id = f.message_id where f.name = $1"#,
        name
    );
    Ok(row.fetch_optional(db).await?)
}

/// Whether something that another channel noticed has been noted.
pub(super) async fn has_infraction(db: impl PgExecutor<'_>, external_id: &str) -> kit::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists(select from infractions where external_id = $1) as "found!""#,
        external_id
    );
    Ok(found.fetch_one(db).await?)
}

/// How far each of two members has read, in their order.
pub(super) struct ReaderRow {
    pub(super) user_id: Uuid,
    pub(super) read_through: i64,
    pub(super) unread: i64,
}

pub(super) async fn list_readers(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<Vec<ReaderRow>> {
    let rows = sqlx::query_as!(
        ReaderRow,
        r#"select me.user_id, me.read_through, (
               select count(*) from messages m
               where m.room_id = $1 and m.sequence > greatest(me.read_through, me.cleared_through)
                   and m.sender_id is distinct from me.user_id and m.deleted_at is null
                   and not exists (
                       select from read_ahead a
                       where a.room_id = $1 and a.user_id = me.user_id and a.sequence = m.sequence
                   )
           ) as "unread!"
           from members me where me.room_id = $1 and me.left_at is null order by me.position"#,
        room
    );
    Ok(rows.fetch_all(db).await?)
}

/// Documents of what others wrote between two sequences.
pub(super) struct ReadRow {
    pub(super) sequence: i64,
    pub(super) name: Option<String>,
}

pub(super) async fn list_read(
    db: impl PgExecutor<'_>,
    room: Uuid,
    reader: Uuid,
    after: i64,
    through: i64,
    limit: i64,
) -> kit::Result<Vec<ReadRow>> {
    let rows = sqlx::query_as!(
        ReadRow,
        r#"select m.sequence, f.name as "name?"
           from messages m left join firebase_messages f on f.message_id = m.id and f.written
           where m.room_id = $1 and m.sequence > $3 and m.sequence <= $4 and m.sender_id is distinct from $2
           order by m.sequence limit $5"#,
        room,
        reader,
        after,
        through,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn fetch_chats(db: impl PgExecutor<'_>, ids: &[String]) -> kit::Result<Vec<(String, Place)>> {
    let rows = sqlx::query!("select chat_id, room_id, complete from firebase_chats where chat_id = any($1)", ids)
        .fetch_all(db)
        .await?;
    let place = |room: Option<Uuid>, complete: bool| match room {
        Some(room) if complete => Place::Room(room),
        Some(room) => Place::Unread(room),
        None => Place::Nowhere,
    };
    Ok(rows.into_iter().map(|row| (row.chat_id, place(row.room_id, row.complete))).collect())
}

/// What a chat document was found to be. What is no conversation is asked again after one, four, sixteen… minutes.
pub(super) async fn upsert_chat(db: impl PgExecutor<'_>, chat: &str, room: Option<Uuid>) -> kit::Result<()> {
    sqlx::query!(
        "insert into firebase_chats as known (chat_id, room_id, ask_at) values ($1, $2, now() + interval '1 minute')
         on conflict on constraint firebase_chats_pkey do update
         set room_id = excluded.room_id, asked = known.asked + 1,
             ask_at = now() + power(4, known.asked + 1) * interval '1 minute'
         where known.room_id is null",
        chat,
        room
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A chat document that belongs to a room. One that was just made has nothing to be read.
pub(super) async fn insert_found_chat(
    db: impl PgExecutor<'_>,
    chat: &str,
    room: Uuid,
    complete: bool,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into firebase_chats as known (chat_id, room_id, complete) values ($1, $2, $3)
         on conflict on constraint firebase_chats_pkey do update set room_id = excluded.room_id
         where known.room_id is null",
        chat,
        room,
        complete
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A chat document has just been made: whatever was known of it is to be asked now.
pub(super) async fn upsert_made_chat(db: impl PgExecutor<'_>, chat: &str) -> kit::Result<()> {
    sqlx::query!(
        "insert into firebase_chats as known (chat_id) values ($1)
         on conflict on constraint firebase_chats_pkey do update set asked = 0, ask_at = now()
         where known.room_id is null",
        chat
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Chat documents that may have become conversations.
pub(super) async fn list_to_ask(db: impl PgExecutor<'_>, limit: i64) -> kit::Result<Vec<String>> {
    let ids = sqlx::query_scalar!(
        "select chat_id from firebase_chats where not complete and room_id is null and ask_at <= now()
         order by ask_at limit $1",
        limit
    );
    Ok(ids.fetch_all(db).await?)
}

/// Those that were asked often enough. Whoever writes there makes them known again.
pub(super) async fn delete_hopeless(db: impl PgExecutor<'_>) -> kit::Result<()> {
    sqlx::query!("delete from firebase_chats where not complete and room_id is null and asked > 5").execute(db).await?;
    Ok(())
}

/// Conversations whose past is to be read.
pub(super) async fn list_unread_chats(db: impl PgExecutor<'_>, limit: i64) -> kit::Result<Vec<String>> {
    let ids = sqlx::query_scalar!(
        "select chat_id from firebase_chats where not complete and room_id is not null order by ask_at limit $1",
        limit
    );
    Ok(ids.fetch_all(db).await?)
}

pub(super) async fn update_complete(db: impl PgExecutor<'_>, chat: &str) -> kit::Result<()> {
    sqlx::query!("update firebase_chats set complete = true where chat_id = $1 and room_id is not null", chat)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn fetch_cursor(db: impl PgExecutor<'_>, name: &str) -> kit::Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!("select at from firebase_cursors where name = $1", name).fetch_optional(db).await?)
}

/// Never moves it back.
pub(super) async fn upsert_cursor(db: impl PgExecutor<'_>, name: &str, at: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "insert into firebase_cursors as known (name, at) values ($1, $2)
         on conflict on constraint firebase_cursors_pkey do update set at = greatest(known.at, excluded.at)",
        name,
        at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Somebody's standing and what is known of it there.
pub(super) struct StandingRow {
    pub(super) user_id: Uuid,
    pub(super) version: i64,
    pub(super) banned: bool,
    pub(super) told: bool,
}

pub(super) async fn list_standings(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> kit::Result<Vec<StandingRow>> {
    let rows = sqlx::query_as!(
        StandingRow,
        r#"select s.user_id, s.version, coalesce(s.banned_until > $1, false) as "banned!",
               coalesce(f.banned, false) as "told!"
           from standings s left join firebase_standings f on f.user_id = s.user_id
           where s.version > coalesce(f.version, 0)
           limit $2"#,
        now,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn upsert_standings(db: impl PgExecutor<'_>, standings: &[StandingRow]) -> kit::Result<()> {
    let users: Vec<_> = standings.iter().map(|it| it.user_id).collect();
    let versions: Vec<_> = standings.iter().map(|it| it.version).collect();
    let banned: Vec<_> = standings.iter().map(|it| it.banned).collect();
    sqlx::query!(
        "insert into firebase_standings as known (user_id, version, banned)
         select * from unnest($1::uuid[], $2::bigint[], $3::bool[])
         on conflict on constraint firebase_standings_pkey do update
         set version = excluded.version, banned = excluded.banned where known.version < excluded.version",
        &users,
        &versions,
        &banned
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A conversation of the Realtime Database, as far as it was dealt with.
pub(super) struct ConversationRow {
    pub(super) bridged: bool,
    pub(super) read_through: i64,
}

pub(super) async fn fetch_conversation(db: impl PgExecutor<'_>, id: &str) -> kit::Result<Option<ConversationRow>> {
    let row = sqlx::query_as!(
        ConversationRow,
        "select bridged, read_through from firebase_conversations where conversation_id = $1",
        id
    );
    Ok(row.fetch_optional(db).await?)
}

pub(super) async fn upsert_conversation(
    db: impl PgExecutor<'_>,
    id: &str,
    conversation: &ConversationRow,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into firebase_conversations as known (conversation_id, bridged, read_through) values ($1, $2, $3)
         on conflict on constraint firebase_conversations_pkey do update
         set bridged = known.bridged or excluded.bridged,
             read_through = greatest(known.read_through, excluded.read_through)",
        id,
        conversation.bridged,
        conversation.read_through
    )
    .execute(db)
    .await?;
    Ok(())
}
