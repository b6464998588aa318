//! Who listens in this process, and how a frame reaches them. Frames of a room leave in the order of its changes: one
//! that comes too early waits a moment for those before it, and if they do not come (a publication got lost), the
//! readers are sent to the database. Every reader checks the order once more for itself, so a mistake here could cost
//! time, and never a message.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use proto::chat::v1::ClosingReason;
use uuid::Uuid;

use crate::queue::{Parcel, Queue};
use crate::wire::Wire;

/// How long a frame waits for those before it. Two transactions that commit one after the other may be told in the other
/// order, microseconds apart; what takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(50);
/// Frames of one room that may wait for those before them.
const MOST_AHEAD: usize = 1_000;

/// Where frames are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    /// Everybody who has a room open, and the inboxes of its members.
    Room(Uuid),
    /// One person, on whichever stream.
    Person(Uuid),
}

/// Whom of those on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    All,
    AllBut(Uuid),
    Only(Uuid),
}

impl Audience {
    fn includes(self, user: Uuid) -> bool {
        match self {
            Self::All => true,
            Self::AllBut(other) => user != other,
            Self::Only(one) => user == one,
        }
    }
}

/// What is told.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Frame(Arc<Parcel>),
    /// They are not in this room any more.
    Removed,
    /// They entered or left a room.
    RoomsChanged,
    /// They may not be in moderated rooms for some time.
    Banned,
}

/// Something to tell, here and in the other replicas.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) line: Line,
    pub(crate) audience: Audience,
    pub(crate) news: News,
}

/// A stream's ear.
#[derive(Clone)]
pub(crate) struct Reader {
    /// Tells streams apart.
    pub(crate) stream: u64,
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
    /// Whether it hears of all rooms of its person.
    pub(crate) inbox: bool,
    pub(crate) queue: Arc<Queue>,
}

/// The listeners of this process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    lines: Arc<Mutex<HashMap<Line, Arc<Mutex<Listeners>>>>>,
    wire: Wire,
}

#[derive(Default)]
struct Listeners {
    readers: Vec<Reader>,
    /// The last change of the room that was told.
    told: Option<i64>,
    /// Frames that came before those in front of them.
    ahead: BTreeMap<i64, (Audience, Arc<Parcel>)>,
}

impl Hub {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { lines: Arc::default(), wire }
    }

    /// Lets a reader hear a line from now on. When this returns, other replicas are heard as well, unless Redis is away.
    pub(crate) async fn join(&self, line: Line, reader: &Reader) -> Seat {
        {
            // Both locks at once, so that the last one to leave does not take the line away in between.
            let mut lines = self.lines();
            let listeners = lines.entry(line).or_default();
            listeners.lock().expect("nothing panics under this lock").readers.push(reader.clone());
        }
        // Held while waiting, so that who gives up waiting leaves all the same.
        let seat = Seat { hub: self.clone(), line, stream: reader.stream };
        self.wire.listen(line).await;
        seat
    }

    fn leave(&self, line: Line, stream: u64) {
        let mut lines = self.lines();
        let Some(listeners) = lines.get(&line) else { return };
        let mut listening = listeners.lock().expect("nothing panics under this lock");
        listening.readers.retain(|reader| reader.stream != stream);
        let empty = listening.readers.is_empty();
        drop(listening);
        if empty {
            lines.remove(&line);
            // Under the lock: a reader who joins now is to be listened for after this.
            self.wire.hang_up(line);
        }
    }

    /// Tells it here, and to the other replicas.
    pub(crate) fn tell(&self, packet: Packet) {
        self.deliver(&packet);
        self.wire.publish(packet);
    }

    /// Tells it here.
    pub(crate) fn deliver(&self, packet: &Packet) {
        let Some(listeners) = self.lines().get(&packet.line).cloned() else { return };
        let mut listeners = listeners.lock().expect("nothing panics under this lock");
        match &packet.news {
            News::Frame(parcel) => {
                if listeners.frame(packet.audience, parcel) {
                    self.repair_soon(packet.line);
                }
            }
            News::Removed => {
                for reader in listeners.of(packet.audience) {
                    if reader.inbox { reader.queue.rooms_changed() } else { reader.queue.close(ClosingReason::Removed) }
                }
            }
            News::RoomsChanged => {
                listeners.of(packet.audience).filter(|r| r.inbox).for_each(|r| r.queue.rooms_changed())
            }
            News::Banned => listeners.of(packet.audience).for_each(|reader| reader.queue.banned()),
        }
    }

    /// Notes that everything up to `change` can be read in the database; what waited for it goes out.
    pub(crate) fn reached(&self, room: Uuid, change: i64) {
        if let Some(listeners) = self.lines().get(&Line::Room(room)).cloned() {
            listeners.lock().expect("nothing panics under this lock").reached(change);
        }
    }

    /// After a moment, should something still be missing then: the readers look for themselves.
    fn repair_soon(&self, line: Line) {
        let hub = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            let Some(listeners) = hub.lines().get(&line).cloned() else { return };
            let mut listeners = listeners.lock().expect("nothing panics under this lock");
            if let Some(last) = listeners.ahead.keys().next_back().copied() {
                metrics::counter!("chat_gaps_total").increment(1);
                listeners.fall_behind(last);
            }
        });
    }

    /// Rooms with listeners here.
    pub(crate) fn rooms(&self) -> Vec<Uuid> {
        let room = |line: &Line| match line {
            Line::Room(room) => Some(*room),
            Line::Person(_) => None,
        };
        self.lines().keys().filter_map(room).collect()
    }

    /// The database says that a room is at `change`: whoever was not told reads it there.
    pub(crate) fn compare(&self, room: Uuid, change: i64) {
        let Some(listeners) = self.lines().get(&Line::Room(room)).cloned() else { return };
        let mut listeners = listeners.lock().expect("nothing panics under this lock");
        // Who was told nothing yet is reading it at this moment.
        if listeners.told.is_some_and(|told| told < change) {
            listeners.fall_behind(change);
        }
    }

    /// Sends a room's readers to the database, for what has no number there.
    pub(crate) fn look_again(&self, room: Uuid) {
        let Some(listeners) = self.lines().get(&Line::Room(room)).cloned() else { return };
        let listeners = listeners.lock().expect("nothing panics under this lock");
        listeners.readers.iter().for_each(|reader| reader.queue.fall_behind());
    }

    /// The database says that somebody entered a room, or is gone from it.
    pub(crate) fn compare_member(&self, room: Uuid, user: Uuid, gone: bool) {
        let line = if gone { Line::Room(room) } else { Line::Person(user) };
        let news = if gone { News::Removed } else { News::RoomsChanged };
        self.deliver(&Packet { line, audience: Audience::Only(user), news });
    }

    /// Every stream of this process once.
    pub(crate) fn streams(&self) -> Vec<Reader> {
        let lines = self.lines();
        let people = lines.iter().filter(|(line, _)| matches!(line, Line::Person(_)));
        people
            .flat_map(|(_, listeners)| listeners.lock().expect("nothing panics under this lock").readers.clone())
            .collect()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Line, Arc<Mutex<Listeners>>>> {
        self.lines.lock().expect("nothing panics under this lock")
    }
}

impl Listeners {
    fn of(&self, audience: Audience) -> impl Iterator<Item = &Reader> {
        self.readers.iter().filter(move |reader| audience.includes(reader.user))
    }

    fn push(&self, audience: Audience, parcel: &Arc<Parcel>) {
        self.of(audience).for_each(|reader| reader.queue.push(parcel));
    }

    /// Whether the frame is the first that waits for one before it.
    fn frame(&mut self, audience: Audience, parcel: &Arc<Parcel>) -> bool {
        let Some(change) = parcel.change else {
            self.push(audience, parcel);
            return false;
        };
        let told = *self.told.get_or_insert(change - 1);
        if change <= told {
            return false;
        }
        if change > told + 1 {
            self.ahead.insert(change, (audience, parcel.clone()));
            if self.ahead.len() > MOST_AHEAD {
                self.fall_behind(change);
            }
            return self.ahead.len() == 1;
        }
        self.push(audience, parcel);
        self.reached(change);
        false
    }

    fn reached(&mut self, change: i64) {
        let mut told = self.told.unwrap_or(0).max(change);
        while let Some(first) = self.ahead.first_entry() {
            if *first.key() > told + 1 {
                break;
            }
            let (change, (audience, parcel)) = first.remove_entry();
            if change == told + 1 {
                self.push(audience, &parcel);
                told = change;
            }
        }
        self.told = Some(told);
    }

    fn fall_behind(&mut self, change: i64) {
        self.ahead.retain(|ahead, _| *ahead > change);
        self.told = Some(self.told.unwrap_or(0).max(change));
        self.readers.iter().for_each(|reader| reader.queue.fall_behind());
    }
}

/// A reader's place on a line; dropping it is leaving.
pub(crate) struct Seat {
    hub: Hub,
    line: Line,
    stream: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.leave(self.line, self.stream);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::chat::v1::ServerFrame;

    use super::*;
    use crate::queue::Next;

    fn reader(stream: u64) -> Reader {
        let (user, session) = (Uuid::from_u128(stream.into()), Uuid::nil());
        Reader { stream, user, session, inbox: false, queue: Arc::default() }
    }

    fn change(change: i64) -> Arc<Parcel> {
        Parcel::new(Uuid::nil(), ServerFrame { change, ..ServerFrame::default() })
    }

    fn heard(reader: &Reader) -> (Vec<i64>, bool) {
        let (mut changes, mut behind) = (Vec::new(), false);
        while let Some(next) = futures_util::FutureExt::now_or_never(reader.queue.next()) {
            match next {
                Next::Parcel(parcel) => changes.extend(parcel.change),
                Next::Behind => behind = true,
                Next::Rooms | Next::Banned | Next::Closing(_) => break,
            }
        }
        (changes, behind)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frames_leave_in_order_once_however_they_come(
            order in Just((1..=30i64).collect::<Vec<_>>()).prop_shuffle(),
            again in proptest::collection::vec(1..=30i64, 0..20),
        ) {
            let mut listeners = Listeners { readers: vec![reader(1)], told: Some(0), ..Listeners::default() };
            for n in order.iter().chain(&again) {
                listeners.frame(Audience::All, &change(*n));
            }
            prop_assert_eq!(heard(&listeners.readers[0]), ((1..=30).collect(), false));
            prop_assert!(listeners.ahead.is_empty());
        }
    }

    #[test]
    fn a_lost_frame_sends_the_readers_to_the_database() {
        let mut listeners = Listeners { readers: vec![reader(1)], told: Some(4), ..Listeners::default() };
        assert!(listeners.frame(Audience::All, &change(6)), "five is missing");
        assert!(!listeners.frame(Audience::All, &change(7)));
        listeners.fall_behind(7);
        assert_eq!(heard(&listeners.readers[0]), (vec![], true));
        listeners.frame(Audience::All, &change(5));
        listeners.frame(Audience::All, &change(8));
        assert_eq!(heard(&listeners.readers[0]), (vec![8], false), "five was read in the database");
    }

    #[test]
    fn only_the_audience_hears() {
        let listeners = Listeners { readers: vec![reader(1), reader(2), reader(3)], ..Listeners::default() };
        let one = listeners.readers[0].user;
        let count = |audience| listeners.of(audience).map(|reader| reader.stream).collect::<Vec<_>>();
        assert_eq!(count(Audience::All), [1, 2, 3]);
        assert_eq!(count(Audience::AllBut(one)), [2, 3]);
        assert_eq!(count(Audience::Only(one)), [1]);
    }
}
