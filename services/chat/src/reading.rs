//! Reading: the watermark rises, or single messages are noted ahead of it, and the room is told what was unread.

use chrono::{DateTime, Utc};
use kit::error::invalid;
use kit::identity::Caller;
use kit::wire::{parse_id, timestamp};
use proto::chat::v1::{MarkReadResponse, Read, ReceiptNews};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::people::Person;
use crate::{Chat, not_a_member};

/// Messages that are told as read by one call; the latest.
const TOLD: i64 = 1_000;

/// A message of somebody else's that was unread.
struct Unread {
    id: Uuid,
    number: i64,
    sequence: i64,
}

struct Place {
    room_number: i64,
    last_sequence: i64,
    read_through: i64,
    cleared_through: i64,
    marked_at: Option<DateTime<Utc>>,
}

impl Chat {
    /// Notes what the caller has read, and tells the room. Reading twice tells nothing.
    pub(crate) async fn read(&self, caller: Caller, room: Uuid, what: &Read) -> kit::Result<MarkReadResponse> {
        self.read_by(Person { id: caller.id, number: caller.number }, room, what).await
    }

    /// The same of somebody who reads elsewhere.
    pub(crate) async fn read_by(&self, reader: Person, room: Uuid, what: &Read) -> kit::Result<MarkReadResponse> {
        if what.through < 0 {
            return Err(invalid("through", "must be at least 0"));
        }
        let ids = what.ids.iter().map(|id| parse_id("ids", id)).collect::<kit::Result<Vec<_>>>()?;
        let all = what.numbers.is_empty() && ids.is_empty();
        let mut tx = kit::db::begin(&self.db).await?;
        let Some(place) = lock_place(&mut tx, room, reader.id).await? else {
            drop(tx);
            // Which of both it is; whoever came in between was not in it when they read.
            self.membership(room, reader.id).await?;
            return Err(not_a_member());
        };
        // Looked up under the lock, and no earlier than the movement before: nothing is read before it is delivered.
        let now = self.now().max(place.marked_at.unwrap_or_default());
        let from = place.read_through.max(place.cleared_through);
        let unread = if all {
            let through = if what.through > 0 { what.through.min(place.last_sequence) } else { place.last_sequence };
            let unread = list_unread(&mut tx, room, reader.id, from, through).await?;
            raise(&mut tx, room, reader.id, through, false, now).await?;
            unread
        } else {
            let unread = insert_ahead(&mut tx, room, reader.id, from, &what.numbers, &ids, now).await?;
            if !unread.is_empty() {
                let through = fetch_contiguous(&mut tx, room, reader.id, from, place.last_sequence).await?;
                raise(&mut tx, room, reader.id, through, true, now).await?;
            }
            unread
        };
        kit::db::commit(tx).await?;

        let answer = MarkReadResponse {
            numbers: unread.iter().map(|message| message.number).collect(),
            ids: unread.iter().map(|message| message.id.to_string()).collect(),
            read_at: Some(timestamp(now)),
        };
        if !unread.is_empty() {
            let news = ReceiptNews {
                user_id: reader.id.to_string(),
                user_number: reader.number,
                read: true,
                numbers: answer.numbers.clone(),
                ids: answer.ids.clone(),
                sequences: unread.iter().map(|message| message.sequence).collect(),
                at: answer.read_at,
            };
            self.tell_read(room, place.room_number, news);
        }
        Ok(answer)
    }
}

async fn lock_place(tx: &mut PgConnection, room: Uuid, user: Uuid) -> kit::Result<Option<Place>> {
    let place = sqlx::query_as!(
        Place,
        "select r.number as room_number, r.last_sequence, m.read_through, m.cleared_through, m.marked_at
         from members m join rooms r on r.id = m.room_id
         where m.room_id = $1 and m.user_id = $2 and m.left_at is null
         for update of m",
        room,
        user
    );
    Ok(place.fetch_optional(tx).await?)
}

async fn list_unread(
    tx: &mut PgConnection,
    room: Uuid,
    user: Uuid,
    after: i64,
    through: i64,
) -> kit::Result<Vec<Unread>> {
    let mut unread = sqlx::query_as!(
        Unread,
        "select id, number, sequence from messages m
         where room_id = $1 and sequence > $3 and sequence <= $4 and sender_id is distinct from $2
             and not exists (
                 select from read_ahead a where a.room_id = $1 and a.user_id = $2 and a.sequence = m.sequence
             )
         order by sequence desc limit $5",
        room,
        user,
        after,
        through,
        TOLD
    )
    .fetch_all(tx)
    .await?;
    unread.reverse();
    Ok(unread)
}

/// Those that were unread; others are left out.
async fn insert_ahead(
    tx: &mut PgConnection,
    room: Uuid,
    user: Uuid,
    after: i64,
    numbers: &[i64],
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> kit::Result<Vec<Unread>> {
    let unread = sqlx::query_as!(
        Unread,
        r#"with noted as (
               insert into read_ahead (room_id, user_id, sequence, at)
               select $1, $2, sequence, $6 from messages
               where room_id = $1 and sequence > $3 and sender_id is distinct from $2
                   and (number = any($4) or id = any($5))
               on conflict do nothing
               returning sequence
           )
           select m.id, m.number, m.sequence
           from noted join messages m on m.room_id = $1 and m.sequence = noted.sequence
           order by m.sequence"#,
        room,
        user,
        after,
        numbers,
        ids,
        now
    );
    Ok(unread.fetch_all(tx).await?)
}

/// Up to where nothing is unread.
async fn fetch_contiguous(tx: &mut PgConnection, room: Uuid, user: Uuid, after: i64, last: i64) -> kit::Result<i64> {
    let through = sqlx::query_scalar!(
        r#"select coalesce(
               (select m.sequence - 1 from messages m
                where m.room_id = $1 and m.sequence > $3 and m.sender_id is distinct from $2
                    and not exists (
                        select from read_ahead a where a.room_id = $1 and a.user_id = $2 and a.sequence = m.sequence
                    )
                order by m.sequence limit 1),
               $4
           ) as "through!""#,
        room,
        user,
        after,
        last
    );
    Ok(through.fetch_one(tx).await?)
}

/// Raises the watermarks, never lowers one. What was read `ahead` of them is a movement too.
async fn raise(
    tx: &mut PgConnection,
    room: Uuid,
    user: Uuid,
    through: i64,
    ahead: bool,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "with before as (
             select delivered_through, read_through from members where room_id = $1 and user_id = $2
         ),
         raised as (
             update members
             set read_through = greatest(read_through, $3), delivered_through = greatest(delivered_through, $3),
                 marked_at = $4
             where room_id = $1 and user_id = $2 and (read_through < $3 or $5)
             returning user_id
         )
         insert into marks (room_id, user_id, read, through, at)
         select $1, $2, state.read, $3, $4
         from raised, before, (values (false), (true)) as state (read)
         where before.read_through < $3 and (state.read or before.delivered_through < $3)
         on conflict do nothing",
        room,
        user,
        through,
        now,
        ahead
    )
    .execute(tx)
    .await?;
    Ok(())
}
