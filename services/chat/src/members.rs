//! Who is in a room, and who may not write to whom.

use chrono::{DateTime, Utc};
use proto::chat::v1::RoomKey;
use proto::chat::v1::room_key::Key;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use kit::wire::parse_id;

use crate::people::Person;
use crate::rooms::kind;
use crate::{Chat, no_such_room, not_a_member};

/// What a room's members share, locked.
#[derive(Clone, Debug)]
pub(crate) struct LockedRoom {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) last_sequence: i64,
    pub(crate) members_count: i32,
}

/// One member's place in a room.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) admin: bool,
    pub(crate) hidden: bool,
    pub(crate) cleared_through: i64,
}

impl Chat {
    /// The id behind either name, of a room of a kind that the key wants. Reason: `ROOM_NOT_FOUND`.
    pub(crate) async fn room_id(&self, key: Option<&RoomKey>) -> kit::Result<Uuid> {
        let key = key.ok_or_else(no_such_room)?;
        let id = match &key.key {
            Some(Key::Id(id)) => parse_id("room", id)?,
            Some(Key::Number(number)) => match self.room_ids.get(number) {
                Some(id) => id,
                None => {
                    let (id, of) = fetch_id(&self.db, *number).await?.ok_or_else(no_such_room)?;
                    self.room_ids.insert(*number, id);
                    self.room_kinds.insert(id, kind(&of));
                    id
                }
            },
            None => return Err(no_such_room()),
        };
        if self.is_of(id, &key.kinds).await? { Ok(id) } else { Err(no_such_room()) }
    }

    /// Whether there is such a room of one of these kinds. Without kinds nobody asks, and the answer is yes.
    pub(crate) async fn is_of(&self, room: Uuid, kinds: &[i32]) -> kit::Result<bool> {
        if kinds.is_empty() {
            return Ok(true);
        }
        let known = match self.room_kinds.get(&room) {
            Some(known) => known,
            None => {
                let Some(found) = fetch_kind(&self.db, room).await? else { return Ok(false) };
                let found = kind(&found);
                self.room_kinds.insert(room, found);
                found
            }
        };
        Ok(kinds.contains(&known.into()))
    }

    /// The caller's place in a room. Reasons: `ROOM_NOT_FOUND`, `NOT_A_MEMBER`.
    pub(crate) async fn membership(&self, room: Uuid, user: Uuid) -> kit::Result<Membership> {
        if let Some(membership) = fetch_membership(&self.db, room, user).await? {
            return Ok(membership);
        }
        Err(if room_exists(&self.db, room).await? { not_a_member() } else { no_such_room() })
    }
}

async fn fetch_id(db: impl PgExecutor<'_>, number: i64) -> kit::Result<Option<(Uuid, String)>> {
    let row = sqlx::query!("select id, kind from rooms where number = $1", number).fetch_optional(db).await?;
    Ok(row.map(|row| (row.id, row.kind)))
}

async fn fetch_kind(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<Option<String>> {
    Ok(sqlx::query_scalar!("select kind from rooms where id = $1", room).fetch_optional(db).await?)
}

async fn room_exists(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<bool> {
    let found = sqlx::query_scalar!(r#"select exists(select from rooms where id = $1) as "exists!""#, room);
    Ok(found.fetch_one(db).await?)
}

pub(crate) async fn fetch_membership(
    db: impl PgExecutor<'_>,
    room: Uuid,
    user: Uuid,
) -> kit::Result<Option<Membership>> {
    let row = sqlx::query_as!(
        Membership,
        "select admin, hidden, cleared_through from members where room_id = $1 and user_id = $2 and left_at is null",
        room,
        user
    );
    Ok(row.fetch_optional(db).await?)
}

/// Holds the room against every other change of it. Ask who is in it in a later statement, which sees what was committed
/// while this one waited.
pub(crate) async fn lock_room(tx: &mut PgConnection, room: Uuid) -> kit::Result<Option<LockedRoom>> {
    let row = sqlx::query_as!(
        LockedRoom,
        "select id, number, kind, last_sequence, members_count from rooms where id = $1 for update",
        room
    );
    Ok(row.fetch_optional(tx).await?)
}

/// Those of these rooms that nobody else holds, held in the same way. Nobody is waited for.
pub(crate) async fn lock_free_rooms(tx: &mut PgConnection, rooms: &[Uuid]) -> kit::Result<Vec<LockedRoom>> {
    let rows = sqlx::query_as!(
        LockedRoom,
        "select id, number, kind, last_sequence, members_count from rooms
         where id = any($1) order by id for update skip locked",
        rooms
    );
    Ok(rows.fetch_all(tx).await?)
}

/// Brings people into a room, behind those who are there; whoever had left comes back.
pub(crate) async fn insert_members(
    tx: &mut PgConnection,
    room: Uuid,
    people: &[Person],
    admin: Option<Uuid>,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    let ids: Vec<_> = people.iter().map(|person| person.id).collect();
    let numbers: Vec<_> = people.iter().map(|person| person.number).collect();
    // What was said before they came is theirs to read, and neither unread nor waiting for them.
    sqlx::query!(
        "insert into members (
             room_id, user_id, user_number, position, admin, joined_at, joined_change, delivered_through, read_through
         )
         select $1, p.id, p.number, (select coalesce(max(position), 0) from members where room_id = $1) + p.place,
             p.id is not distinct from $4, $5, r.last_change, r.last_sequence, r.last_sequence
         from unnest($2::uuid[], $3::bigint[]) with ordinality as p (id, number, place)
         join rooms r on r.id = $1
         order by p.id
         on conflict (room_id, user_id) do update
         set left_at = null, joined_at = excluded.joined_at, joined_change = excluded.joined_change,
             admin = excluded.admin, position = excluded.position, delivered_through = excluded.delivered_through, read_through = excluded.read_through",
        room,
        &ids,
        &numbers,
        admin,
        now
    )
    .execute(&mut *tx)
    .await?;
    // Where the watermarks begin; or what they read later would be taken for the moment they read this.
    sqlx::query!(
        "insert into marks (room_id, user_id, read, through, at, entered)
         select $1, p.id, state.read, r.last_sequence, $3, true
         from unnest($2::uuid[]) as p (id) join rooms r on r.id = $1, (values (false), (true)) as state (read)
         where r.last_sequence > 0
         on conflict do nothing",
        room,
        &ids,
        now
    )
    .execute(&mut *tx)
    .await?;
    count_members(tx, room).await
}

/// Takes people out of a group.
pub(crate) async fn remove_members(
    tx: &mut PgConnection,
    room: Uuid,
    users: &[Uuid],
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "update members set left_at = $3, admin = false, archived = false, muted_until = null
         where room_id = $1 and user_id = any($2) and left_at is null",
        room,
        users,
        now
    )
    .execute(&mut *tx)
    .await?;
    count_members(tx, room).await
}

async fn count_members(tx: &mut PgConnection, room: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "update rooms set members_count = (select count(*) from members where room_id = $1 and left_at is null)
         where id = $1",
        room
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ids and numbers of those in a room, in their order.
pub(crate) async fn list_people(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<Vec<Person>> {
    let people = sqlx::query_as!(
        Person,
        "select user_id as id, user_number as number from members
         where room_id = $1 and left_at is null order by position",
        room
    );
    Ok(people.fetch_all(db).await?)
}

/// Whether this person may not write in a room of two, because the other one has blocked them.
pub(crate) async fn is_blocked(db: impl PgExecutor<'_>, room: Uuid, user: Uuid) -> kit::Result<bool> {
    let blocked = sqlx::query_scalar!(
        r#"select exists(
               select from rooms r
               join members m on m.room_id = r.id
               join blocks b on b.blocker_id = m.user_id and b.blocked_id = $2
               where r.id = $1 and r.kind <> 'GROUP'
           ) as "blocked!""#,
        room,
        user
    );
    Ok(blocked.fetch_one(db).await?)
}

/// Whether one of the people in a room of two has blocked the other.
pub(crate) async fn is_divided(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<bool> {
    let divided = sqlx::query_scalar!(
        r#"select exists(
               select from rooms r
               join members m on m.room_id = r.id
               join members o on o.room_id = r.id and o.user_id <> m.user_id
               join blocks b on b.blocker_id = m.user_id and b.blocked_id = o.user_id
               where r.id = $1 and r.kind <> 'GROUP'
           ) as "divided!""#,
        room
    );
    Ok(divided.fetch_one(db).await?)
}

/// Who writes in a room, and what they call the message; nothing, if it has no name.
pub(crate) struct Writer<'a> {
    pub(crate) room: Uuid,
    pub(crate) sender: Uuid,
    pub(crate) name: &'a str,
}

/// A member, as far as it matters to who writes in the room.
pub(crate) struct Listener {
    pub(crate) room_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) user_number: i64,
    /// Whether they have put the room away until somebody writes in it.
    pub(crate) hidden: bool,
    /// Whether they want to be notified of what is said.
    pub(crate) notified: bool,
    /// Whether they have blocked who writes.
    pub(crate) blocks: bool,
    /// Whether they are who writes, and have sent a message of this name before.
    pub(crate) repeats: bool,
}

/// Everybody in the rooms that these write in, each room once, in the order in which they came. What is asked of each
/// member is asked by its key, whatever else the tables hold.
pub(crate) async fn list_listeners(
    db: impl PgExecutor<'_>,
    writers: &[Writer<'_>],
    now: DateTime<Utc>,
) -> kit::Result<Vec<Listener>> {
    let rooms: Vec<_> = writers.iter().map(|writer| writer.room).collect();
    let senders: Vec<_> = writers.iter().map(|writer| writer.sender).collect();
    let names: Vec<_> = writers.iter().map(|writer| writer.name.to_owned()).collect();
    let listeners = sqlx::query_as!(
        Listener,
        r#"select m.room_id, m.user_id, m.user_number, m.hidden,
               not m.archived and (m.muted_until is null or m.muted_until <= $4) as "notified!",
               coalesce((
                   select true from blocks where blocker_id = m.user_id and blocked_id = w.sender
               ), false) as "blocks!",
               m.user_id = w.sender and coalesce((
                   select true from messages
                   where room_id = w.room and sender_id = w.sender and client_msg_id = w.name
               ), false) as "repeats!"
           from unnest($1::uuid[], $2::uuid[], $3::text[]) as w (room, sender, name)
           join members m on m.room_id = w.room and m.left_at is null
           order by m.room_id, m.position"#,
        &rooms,
        &senders,
        &names,
        now
    );
    Ok(listeners.fetch_all(db).await?)
}

/// Rooms that people entered, or are gone from, since a moment; whether they are gone.
pub(crate) async fn list_moves(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> kit::Result<Vec<(Uuid, Uuid, bool)>> {
    let moves = sqlx::query!(
        r#"select room_id as "room_id!", user_id as "user_id!", gone as "gone!"
           from (
               (select room_id, user_id, false as gone from members where joined_at >= $1 and left_at is null)
               union all
               (select room_id, user_id, true from members where left_at >= $1)
           ) moves"#,
        since
    );
    Ok(moves.fetch_all(db).await?.into_iter().map(|row| (row.room_id, row.user_id, row.gone)).collect())
}

/// A room that two people share.
pub(crate) struct Shared {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
}

/// The rooms of at most 100 that these two share, the latest 1,000.
pub(crate) async fn list_shared(db: impl PgExecutor<'_>, one: Uuid, other: Uuid) -> kit::Result<Vec<Shared>> {
    let shared = sqlx::query_as!(
        Shared,
        "select r.id, r.kind
         from members a
         join members b on b.room_id = a.room_id and b.user_id = $2 and b.left_at is null
         join rooms r on r.id = a.room_id and r.members_count <= 100
         where a.user_id = $1 and a.left_at is null
         order by r.last_activity_at desc limit 1000",
        one,
        other
    );
    Ok(shared.fetch_all(db).await?)
}

/// Whether any of these people does not want to hear from somebody.
pub(crate) async fn is_blocked_by_any(db: impl PgExecutor<'_>, people: &[Uuid], user: Uuid) -> kit::Result<bool> {
    let blocked = sqlx::query_scalar!(
        r#"select exists(select from blocks where blocker_id = any($1) and blocked_id = $2) as "blocked!""#,
        people,
        user
    );
    Ok(blocked.fetch_one(db).await?)
}

/// Somebody with whom one shares rooms, and of which kinds these are.
pub(crate) struct Contact {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) kinds: Vec<String>,
}

/// Everybody with whom somebody shares a room of at most 100, at most 5,000 of them; of some kinds, if these are named.
/// Two of whom one has blocked the other are none.
pub(crate) async fn list_contacts(db: impl PgExecutor<'_>, user: Uuid, kinds: &[String]) -> kit::Result<Vec<Contact>> {
    let contacts = sqlx::query_as!(
        Contact,
        r#"select m.user_id as "id!", m.user_number as "number!", array_agg(distinct r.kind) as "kinds!"
           from members me
           join rooms r on r.id = me.room_id and r.members_count <= 100
           join members m on m.room_id = me.room_id and m.user_id <> $1 and m.left_at is null
           where me.user_id = $1 and me.left_at is null and (cardinality($2::text[]) = 0 or r.kind = any($2))
               and not exists (select from blocks where blocker_id = $1 and blocked_id = m.user_id)
               and not exists (select from blocks where blocker_id = m.user_id and blocked_id = $1)
           group by m.user_id, m.user_number
           order by "number!" limit 5000"#,
        user,
        kinds
    );
    Ok(contacts.fetch_all(db).await?)
}
