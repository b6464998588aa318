//! Who has a message, and who has read it. Each member has two watermarks per room, which only rise; a row of `marks` for
//! each movement says when. So a message's receipt is read off the first mark that is not below it, and a room of a
//! thousand members writes rows per movement, not per message and member. Single messages read out of order stand in
//! `read_ahead`, and stay there: what was told as read then was not read later. Who enters a room begins behind what was
//! said before, and a mark that tells of no receipt says so: nobody has read what they were not there for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use kit::wire::timestamp;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::{Message, Receipt, ReceiptNews, ServerFrame};
use sqlx::{PgConnection, PgExecutor};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::Chat;
use crate::hub::{Audience, Line, News, Packet};
use crate::queue::Parcel;

/// Rooms with more members show no receipts: a page would be mostly that.
pub(crate) const MOST_MEMBERS: i32 = 100;
/// In rooms with more members a new message is told without its list of who does not have it yet: that is everybody,
/// and telling each of a hundred about all others would be most of what is sent.
pub(crate) const MOST_LISTED: usize = 20;
/// How long handed-over messages are collected before they are noted together.
const COLLECT: Duration = Duration::from_millis(20);
/// Movements that are noted in one statement.
const BATCH: usize = 500;
/// Instead of a change: what moved before the moment is of no interest.
pub(crate) const BY_MOMENT: i64 = -1;

/// What was handed to people and is not noted yet.
#[derive(Clone, Default)]
pub(crate) struct Delivered {
    waiting: Arc<Mutex<BTreeMap<(Uuid, Uuid), i64>>>,
    ready: Arc<Notify>,
}

impl Delivered {
    /// A stream of this person has been handed everything of the room up to this sequence.
    pub(crate) fn note(&self, room: Uuid, user: Uuid, through: i64) {
        let mut waiting = self.waiting.lock().expect("nothing panics under this lock");
        let noted = waiting.entry((room, user)).or_default();
        *noted = through.max(*noted);
        drop(waiting);
        self.ready.notify_one();
    }

    /// The first of what waits, in the order in which rows are locked.
    fn take(&self) -> Vec<((Uuid, Uuid), i64)> {
        let mut waiting = self.waiting.lock().expect("nothing panics under this lock");
        let mut taken = Vec::with_capacity(waiting.len().min(BATCH));
        while taken.len() < BATCH {
            let Some(first) = waiting.pop_first() else { break };
            taken.push(first);
        }
        taken
    }
}

impl Chat {
    /// Notes what was handed over until the stop, and what is left then.
    pub(crate) async fn note_delivered(self, stop: kit::Stop) {
        loop {
            let stopped = tokio::select! {
                () = self.delivered.ready.notified() => false,
                () = stop.cancelled() => true,
            };
            if !stopped {
                tokio::time::sleep(COLLECT).await;
            }
            loop {
                let taken = self.delivered.take();
                if taken.is_empty() {
                    break;
                }
                if let Err(error) = self.deliver(&taken).await {
                    // Nothing is lost that the next message, or the next opening of the room, does not note again.
                    tracing::warn!(%error, "deliveries were not noted");
                    break;
                }
            }
            if stopped {
                return;
            }
        }
    }

    async fn deliver(&self, taken: &[((Uuid, Uuid), i64)]) -> kit::Result<()> {
        let rooms: Vec<_> = taken.iter().map(|((room, _), _)| *room).collect();
        let users: Vec<_> = taken.iter().map(|((_, user), _)| *user).collect();
        let through: Vec<_> = taken.iter().map(|(_, through)| *through).collect();
        let now = self.clock.now();
        let moved = advance_delivered(&self.db, &rooms, &users, &through, now).await?;
        self.tell_delivered(&moved).await
    }

    /// Marks everything delivered in all rooms of a person who has just come.
    pub(crate) async fn deliver_pending(&self, user: Uuid, kinds: &[String]) -> kit::Result<()> {
        let now = self.clock.now();
        let moved = advance_all_delivered(&self.db, user, now, kinds).await?;
        self.tell_delivered(&moved).await
    }

    /// Tells the senders, wherever they are.
    async fn tell_delivered(&self, moved: &[Moved]) -> kit::Result<()> {
        let shown: Vec<_> = moved.iter().filter(|moved| moved.members_count <= MOST_MEMBERS).collect();
        if shown.is_empty() {
            return Ok(());
        }
        let rooms: Vec<_> = shown.iter().map(|moved| moved.room_id).collect();
        let users: Vec<_> = shown.iter().map(|moved| moved.user_id).collect();
        let after: Vec<_> = shown.iter().map(|moved| moved.before).collect();
        let through: Vec<_> = shown.iter().map(|moved| moved.through).collect();
        let at: Vec<_> = shown.iter().map(|moved| moved.at).collect();
        let told = list_told(&self.db, &rooms, &users, &after, &through, &at).await?;
        let mut news: BTreeMap<(Uuid, Uuid, Uuid), ReceiptNews> = BTreeMap::new();
        for row in told {
            let moved = shown.iter().find(|m| m.room_id == row.room_id && m.user_id == row.user_id);
            let Some(moved) = moved else { continue };
            let one = news.entry((row.room_id, row.user_id, row.sender_id)).or_insert_with(|| ReceiptNews {
                user_id: row.user_id.to_string(),
                user_number: moved.user_number,
                read: false,
                at: Some(timestamp(moved.at)),
                ..ReceiptNews::default()
            });
            one.numbers.push(row.number);
            one.ids.push(row.id.to_string());
            one.sequences.push(row.sequence);
        }
        for ((room, _, sender), receipt) in news {
            let number = shown.iter().find(|m| m.room_id == room).map_or(0, |m| m.room_number);
            self.hub.tell(Packet {
                line: Line::Person(sender),
                audience: Audience::All,
                news: News::Frame(receipt_parcel(room, number, receipt)),
            });
        }
        Ok(())
    }

    /// What moved in rooms, as far as it concerns this person: everything that was read, and what of theirs was delivered.
    /// Of each room since the message that the change `since` brought, or the one before it, and since the moment `missed`,
    /// if that is earlier; only since that moment with [`BY_MOMENT`]. For who may have missed it; told again to who has not,
    /// it says the same.
    pub(crate) async fn receipts_since(
        &self,
        me: Uuid,
        rooms: &[Uuid],
        since: &[i64],
        missed: Option<DateTime<Utc>>,
    ) -> kit::Result<Vec<(Uuid, ReceiptNews)>> {
        let mut news: Vec<(Uuid, ReceiptNews)> = Vec::new();
        for row in list_moved(&self.db, rooms, me, since, missed, MOST_MEMBERS).await? {
            let (user_id, at) = (row.user_id.to_string(), Some(timestamp(row.at)));
            let same = |(room, one): &&mut (Uuid, ReceiptNews)| {
                *room == row.room_id && one.user_id == user_id && one.read == row.read && one.at == at
            };
            if news.last_mut().filter(same).is_none() {
                let user_number = row.user_number;
                let one = ReceiptNews { user_id, user_number, read: row.read, at, ..ReceiptNews::default() };
                news.push((row.room_id, one));
            }
            let (_, one) = news.last_mut().expect("there is one now");
            one.numbers.push(row.number);
            one.ids.push(row.id.to_string());
            one.sequences.push(row.sequence);
        }
        Ok(news)
    }

    /// Tells a room that somebody has read something.
    pub(crate) fn tell_read(&self, room: Uuid, number: i64, receipt: ReceiptNews) {
        self.hub.tell(Packet {
            line: Line::Room(room),
            audience: Audience::All,
            news: News::Frame(receipt_parcel(room, number, receipt)),
        });
    }
}

fn receipt_parcel(room: Uuid, room_number: i64, receipt: ReceiptNews) -> Arc<Parcel> {
    let frame = ServerFrame { room_id: room.to_string(), room_number, change: 0, frame: Some(Frame::Receipt(receipt)) };
    Parcel::new(room, frame)
}

/// Fills in the receipts of messages, which may be of several rooms.
pub(crate) async fn fill_receipts(db: &mut PgConnection, messages: &mut [Message]) -> kit::Result<()> {
    let mut ranges: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for message in &*messages {
        let room = message.room_id.parse().map_err(kit::error::internal)?;
        let range = ranges.entry(room).or_insert((message.sequence, message.sequence));
        *range = (range.0.min(message.sequence), range.1.max(message.sequence));
    }
    if ranges.is_empty() {
        return Ok(());
    }
    let rooms: Vec<_> = ranges.keys().copied().collect();
    let first: Vec<_> = ranges.values().map(|range| range.0).collect();
    let last: Vec<_> = ranges.values().map(|range| range.1).collect();
    let mut marks: HashMap<String, Vec<MemberMarks>> = HashMap::new();
    for row in list_marks(db, &rooms, &first, &last, MOST_MEMBERS).await? {
        let members = marks.entry(row.room_id.to_string()).or_default();
        if members.last().is_none_or(|member| member.user_id != row.user_id) {
            members.push(MemberMarks::new(&row));
        }
        members.last_mut().expect("there is one now").add(&row);
    }
    for message in messages {
        let members = marks.get(&message.room_id).map(Vec::as_slice).unwrap_or_default();
        let others = members.iter().filter(|member| member.user_id.to_string() != message.sender_id);
        message.receipts = others.filter_map(|member| member.receipt(message.sequence)).collect();
    }
    Ok(())
}

/// When a member's watermarks moved over some messages.
struct MemberMarks {
    user_id: Uuid,
    user_number: i64,
    /// By sequence, rising; without a time where they entered.
    delivered: Vec<(i64, Option<DateTime<Utc>>)>,
    read: Vec<(i64, Option<DateTime<Utc>>)>,
    ahead: HashMap<i64, DateTime<Utc>>,
}

impl MemberMarks {
    fn new(row: &MarkRow) -> Self {
        let (delivered, read, ahead) = (Vec::new(), Vec::new(), HashMap::new());
        Self { user_id: row.user_id, user_number: row.user_number, delivered, read, ahead }
    }

    fn add(&mut self, row: &MarkRow) {
        let Some(through) = row.through else { return };
        match (row.state.as_deref(), row.at) {
            (Some("DELIVERED"), at) => self.delivered.push((through, at)),
            (Some("READ"), at) => self.read.push((through, at)),
            (_, Some(at)) => drop(self.ahead.insert(through, at)),
            (_, None) => {}
        }
    }

    /// Nothing of a message that was sent while they were not there.
    fn receipt(&self, sequence: i64) -> Option<Receipt> {
        let first = |marks: &[(i64, Option<DateTime<Utc>>)]| {
            marks.get(marks.partition_point(|(through, _)| *through < sequence)).map(|(_, at)| *at)
        };
        let (delivered, read, ahead) = (first(&self.delivered), first(&self.read), self.ahead.get(&sequence).copied());
        if (delivered, read, ahead) == (Some(None), Some(None), None) {
            return None;
        }
        // The earlier of both: what was once told as read stays so.
        let read = [read.flatten(), ahead].into_iter().flatten().min();
        // What is read is delivered, by then at the latest.
        let delivered = [delivered.flatten(), read].into_iter().flatten().min();
        Some(Receipt {
            delivered_at: delivered.map(timestamp),
            read_at: read.map(timestamp),
            ..not_received(self.user_id, self.user_number)
        })
    }
}

/// Of a member who has neither a message nor read it.
pub(crate) fn not_received(user: Uuid, number: i64) -> Receipt {
    Receipt { user_id: user.to_string(), user_number: number, delivered_at: None, read_at: None }
}

/// A watermark that rose.
struct Moved {
    room_id: Uuid,
    room_number: i64,
    members_count: i32,
    user_id: Uuid,
    user_number: i64,
    before: i64,
    through: i64,
    /// No earlier than the member's movement before, whatever clocks say.
    at: DateTime<Utc>,
}

/// Rows are locked in the order of the schema: members by room and user.
async fn advance_delivered(
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

async fn advance_all_delivered(
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
struct Told {
    room_id: Uuid,
    user_id: Uuid,
    sender_id: Uuid,
    id: Uuid,
    number: i64,
    sequence: i64,
}

/// The latest 1000 per movement, oldest first.
async fn list_told(
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
struct MovedOver {
    room_id: Uuid,
    user_id: Uuid,
    user_number: i64,
    read: bool,
    at: DateTime<Utc>,
    id: Uuid,
    number: i64,
    sequence: i64,
}

/// At most the latest 1000 of all rooms, in the order of the movements.
async fn list_moved(
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

struct MarkRow {
    room_id: Uuid,
    user_id: Uuid,
    user_number: i64,
    state: Option<String>,
    through: Option<i64>,
    at: Option<DateTime<Utc>>,
}

/// Members in their order with the marks that say something about the range; a row without a mark where there is none.
async fn list_marks(
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

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        Utc.timestamp_opt(second, 0).single().expect("a moment")
    }

    #[test]
    fn a_receipt_is_read_off_the_first_mark_that_is_not_below() {
        let member = MemberMarks {
            user_id: Uuid::nil(),
            user_number: 9,
            delivered: vec![(3, Some(at(10))), (7, Some(at(20)))],
            read: vec![(2, Some(at(15))), (7, Some(at(40)))],
            ahead: HashMap::from([(5, at(25))]),
        };
        let receipt = |sequence| times(&member, sequence).unwrap();
        assert_eq!(receipt(1), (Some(10), Some(15)));
        assert_eq!(receipt(3), (Some(10), Some(40)));
        assert_eq!(receipt(4), (Some(20), Some(40)));
        assert_eq!(receipt(5), (Some(20), Some(25)), "read before those in front of it, and that time stays");
        assert_eq!(receipt(8), (None, None));
    }

    #[test]
    fn who_was_not_there_has_received_nothing() {
        // Had two and read one, left after the third, came back after the fifth.
        let member = MemberMarks {
            user_id: Uuid::nil(),
            user_number: 9,
            delivered: vec![(2, Some(at(10))), (5, None), (6, Some(at(30)))],
            read: vec![(1, Some(at(15))), (5, None)],
            ahead: HashMap::from([(4, at(35))]),
        };
        assert_eq!(times(&member, 1), Some((Some(10), Some(15))));
        assert_eq!(times(&member, 2), Some((Some(10), None)));
        assert_eq!(times(&member, 3), None);
        assert_eq!(times(&member, 4), Some((Some(35), Some(35))), "what they read they have read");
        assert_eq!(times(&member, 6), Some((Some(30), None)));
        assert_eq!(times(&member, 7), Some((None, None)));
    }

    /// When a message was delivered and read, in seconds.
    fn times(member: &MemberMarks, sequence: i64) -> Option<(Option<i64>, Option<i64>)> {
        let seconds = |time: Option<prost_types::Timestamp>| time.map(|time| time.seconds);
        member.receipt(sequence).map(|receipt| (seconds(receipt.delivered_at), seconds(receipt.read_at)))
    }

    #[test]
    fn what_is_handed_over_twice_is_noted_once_and_never_less() {
        let delivered = Delivered::default();
        let (room, user) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for through in [3, 9, 4] {
            delivered.note(room, user, through);
        }
        assert_eq!(delivered.take(), [((room, user), 9)]);
        assert!(delivered.take().is_empty());
    }
}
