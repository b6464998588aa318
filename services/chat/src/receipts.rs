//! Who has a message, and who has read it. Each member has two watermarks per room, which only rise; a row of `marks` for
//! each movement says when. So a message's receipt is read off the first mark that is not below it, and a room of a
//! thousand members writes rows per movement, not per message and member. Single messages read out of order stand in
//! `read_ahead`, and stay there: what was told as read then was not read later. Who enters a room begins behind what was
//! said before, and a mark that tells of no receipt says so: nobody has read what they were not there for.

mod sql;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use kit::wire::timestamp;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::{Message, Receipt, ReceiptNews, ServerFrame};
use sqlx::PgConnection;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::Chat;
use crate::hub::{Audience, Line, News, Packet};
use crate::queue::Parcel;
pub(crate) use sql::list_marked;
use sql::*;

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
