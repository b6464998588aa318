//! What a reader missed, from the database. First what became of messages they have, then the messages they do not have,
//! in their order. Each frame carries a `change` from which one may continue if the stream breaks just behind it, so the
//! frames of the first part carry the one that the reader came with.

use std::collections::HashMap;

use proto::chat::v1::ServerFrame;
use proto::chat::v1::server_frame::Frame;
use sqlx::PgPool;
use uuid::Uuid;

use crate::messages::sql::{MessageRow, list_changed_since, list_sent_since};
use crate::messages::with_receipts;

/// Messages that are read at once.
const PAGE: i64 = 200;

/// A reader's way through what they missed.
pub(crate) struct CatchUp {
    room: Uuid,
    room_number: i64,
    cleared: i64,
    /// What the reader had.
    since: i64,
    /// Up to where there is something to tell.
    through: i64,
    part: Part,
}

enum Part {
    /// Changes after this one, of messages that the reader has.
    Changed(i64),
    /// Messages sent after this change.
    Sent(i64),
    Done,
}

/// A room as far as a reader needs to know it.
pub(crate) struct Head {
    pub(crate) number: i64,
    pub(crate) members_count: i32,
    pub(crate) last_change: i64,
    pub(crate) cleared_through: i64,
}

impl CatchUp {
    /// From the change `since` to where the room is.
    pub(crate) fn new(room: Uuid, head: &Head, since: i64) -> Self {
        let part = if since < head.last_change { Part::Changed(since) } else { Part::Done };
        Self { room, room_number: head.number, cleared: head.cleared_through, since, through: head.last_change, part }
    }

    /// The next frames; none at the end.
    pub(crate) async fn next(&mut self, db: &PgPool) -> kit::Result<Vec<ServerFrame>> {
        loop {
            let frames = match self.part {
                Part::Changed(after) => {
                    let rows = list_changed_since(db, self.room, self.since, after, self.cleared, PAGE).await?;
                    self.part = match rows.last() {
                        Some(last) if rows.len() as i64 == PAGE => Part::Changed(last.change),
                        _ => Part::Sent(self.since),
                    };
                    let since = self.since;
                    self.frames(db, rows, |_| since, Frame::Changed).await?
                }
                Part::Sent(after) => {
                    let rows = list_sent_since(db, self.room, after, self.through, self.cleared, PAGE).await?;
                    self.part = match rows.last() {
                        Some(last) if rows.len() as i64 == PAGE => Part::Sent(last.sent_change),
                        _ => Part::Done,
                    };
                    self.frames(db, rows, |row| row.sent_change, Frame::Message).await?
                }
                Part::Done => return Ok(Vec::new()),
            };
            if !frames.is_empty() {
                return Ok(frames);
            }
        }
    }

    async fn frames(
        &self,
        db: &PgPool,
        rows: Vec<MessageRow>,
        change: impl Fn(&MessageRow) -> i64,
        frame: impl Fn(proto::chat::v1::Message) -> Frame,
    ) -> kit::Result<Vec<ServerFrame>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let changes: Vec<_> = rows.iter().map(change).collect();
        let messages = with_receipts(&mut *db.acquire().await?, rows).await?;
        let frame = |(message, change)| ServerFrame {
            room_id: self.room.to_string(),
            room_number: self.room_number,
            change,
            frame: Some(frame(message)),
        };
        Ok(messages.into_iter().zip(changes).map(frame).collect())
    }
}

/// Nothing when this person is not in the room.
pub(crate) async fn fetch_head(db: &PgPool, room: Uuid, user: Uuid) -> kit::Result<Option<Head>> {
    let head = sqlx::query_as!(
        Head,
        "select r.number, r.members_count, r.last_change, m.cleared_through
         from rooms r join members m on m.room_id = r.id
         where r.id = $1 and m.user_id = $2 and m.left_at is null",
        room,
        user
    );
    Ok(head.fetch_optional(db).await?)
}

/// The same of many rooms at once, of those that this person is in.
pub(crate) async fn list_heads(db: &PgPool, rooms: &[Uuid], user: Uuid) -> kit::Result<HashMap<Uuid, Head>> {
    let rows = sqlx::query!(
        "select r.id, r.number, r.members_count, r.last_change, m.cleared_through
         from rooms r join members m on m.room_id = r.id
         where r.id = any($1) and m.user_id = $2 and m.left_at is null",
        rooms,
        user
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let head = Head {
            number: row.number,
            members_count: row.members_count,
            last_change: row.last_change,
            cleared_through: row.cleared_through,
        };
        (row.id, head)
    });
    Ok(rows.collect())
}

/// Of rooms by their numbers, those that this person has left; of some kinds, if these are named.
pub(crate) async fn list_left(
    db: &PgPool,
    user: Uuid,
    numbers: &[i64],
    kinds: &[String],
) -> kit::Result<Vec<(Uuid, i64)>> {
    let rows = sqlx::query!(
        "select r.id, r.number
         from rooms r join members m on m.room_id = r.id
         where r.number = any($2) and m.user_id = $1 and m.left_at is not null
             and (cardinality($3::text[]) = 0 or r.kind = any($3))",
        user,
        numbers,
        kinds
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.number)).collect())
}

/// A room of somebody's inbox.
pub(crate) struct InboxRoom {
    pub(crate) id: Uuid,
    pub(crate) joined_change: i64,
    pub(crate) number: i64,
    pub(crate) members_count: i32,
    pub(crate) last_change: i64,
    pub(crate) cleared_through: i64,
}

/// Rooms of one inbox.
pub(crate) const MOST_ROOMS: usize = 1_000;

/// The `MOST_ROOMS` rooms of somebody that were active last; of some kinds, if these are named.
pub(crate) async fn list_inbox(db: &PgPool, user: Uuid, kinds: &[String]) -> kit::Result<Vec<InboxRoom>> {
    let rooms = sqlx::query_as!(
        InboxRoom,
        "select r.id, m.joined_change, r.number, r.members_count, r.last_change, m.cleared_through
         from members m join rooms r on r.id = m.room_id
         where m.user_id = $1 and m.left_at is null and (cardinality($3::text[]) = 0 or r.kind = any($3))
         order by r.last_activity_at desc nulls last, r.number desc limit $2",
        user,
        MOST_ROOMS as i64,
        kinds
    );
    Ok(rooms.fetch_all(db).await?)
}
