//! Messages of many rooms in one commit. Whatever is sent while others are being stored waits for the next transaction
//! and goes in it together: under load some dozen messages share their statements and the disk write, and without load
//! nobody waits for anybody.
//!
//! Only what needs no question of its own is stored so, and in no room that somebody else holds. Everything else goes
//! alone, as does everything when the database refuses something of a transaction: so one message delays or spoils no
//! other one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use kit::context::{Context, within};
use kit::error::unavailable;
use kit::outbox::{Queued, publish_all};
use proto::chat::v1::Message;
use sqlx::PgTransaction;
use tokio::sync::{OwnedMutexGuard, oneshot};
use uuid::Uuid;

use crate::Chat;
use crate::members::{Listener, LockedRoom, list_listeners, lock_free_rooms};
use crate::messages::sql::{NewMessage, insert_messages};
use crate::receipts::MOST_MEMBERS;
use crate::send::{Entry, notified, sent_event};

/// Transactions at once. Few, so that much goes together; more than one, so that a disk write is not idly waited for.
const WRITERS: usize = 2;
/// Messages of a transaction.
const MOST: usize = 64;

/// What waits to be stored.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    writers: usize,
}

struct Waiting {
    entry: Arc<Entry>,
    context: Context,
    answer: oneshot::Sender<Outcome>,
    /// The room's, until its readers have been told.
    _turn: Arc<OwnedMutexGuard<()>>,
}

/// What became of a message here.
pub(crate) enum Outcome {
    Done(Box<kit::Result<(Message, bool)>>),
    /// It is to go alone; whether it has been counted already for how often its sender may write.
    Alone {
        counted: bool,
    },
}

impl Outcome {
    fn refused(error: kit::Error) -> Self {
        Self::Done(Box::new(Err(error)))
    }
}

const NOT_HERE: Outcome = Outcome::Alone { counted: false };

/// How a transaction failed.
enum Failed {
    /// Before anything was made true.
    Before(kit::Error),
    /// Nobody can say whether it is committed.
    Unknown(kit::Error),
}

impl From<kit::Error> for Failed {
    fn from(error: kit::Error) -> Self {
        Self::Before(error)
    }
}

/// A message that passed, and who hears it.
struct Passed {
    place: usize,
    listeners: Vec<Listener>,
}

impl Desk {
    /// Whether one more is to write now.
    fn put(&self, waiting: Waiting) -> bool {
        let mut state = self.0.lock().expect("nothing panics under this lock");
        state.waiting.push_back(waiting);
        let wanted = state.writers < WRITERS;
        state.writers += usize::from(wanted);
        wanted
    }

    /// What waits, or nothing: then who asked is one who writes no more.
    fn take(&self) -> Option<Vec<Waiting>> {
        let mut state = self.0.lock().expect("nothing panics under this lock");
        if state.waiting.is_empty() {
            state.writers -= 1;
            return None;
        }
        let size = state.waiting.len().min(MOST);
        Some(state.waiting.drain(..size).collect())
    }
}

/// Leaves the desk when its writer does not: a panic must not cost a writer for ever.
struct Seat(Desk);

impl Drop for Seat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.0.lock().expect("nothing panics under this lock");
            state.writers -= 1;
            if state.writers == 0 {
                state.waiting.clear();
            }
        }
    }
}

impl Chat {
    /// Stores a message with those of other rooms. It goes on if the caller gives up, who cannot know what has happened by
    /// then in any case.
    pub(crate) async fn send_together(&self, entry: &Arc<Entry>, turn: &Arc<OwnedMutexGuard<()>>) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { entry: entry.clone(), context: kit::context::current(), answer, _turn: turn.clone() };
        if self.desk.put(waiting) {
            tokio::spawn(self.clone().write_waiting());
        }
        answered.await.unwrap_or_else(|_| Outcome::refused(unknown()))
    }

    async fn write_waiting(self) {
        let seat = Seat(self.desk.clone());
        while let Some(waiting) = seat.0.take() {
            let mut outcomes = HashMap::new();
            let written = self.write(&waiting, &mut outcomes).await;
            if let Err(Failed::Before(error) | Failed::Unknown(error)) = &written {
                tracing::warn!(%error, messages = waiting.len(), "messages were not stored together");
            }
            for (place, waiting) in waiting.into_iter().enumerate() {
                let outcome = match (&written, outcomes.remove(&place)) {
                    (Err(Failed::Unknown(_)), Some(Outcome::Alone { counted: true })) => Outcome::refused(unknown()),
                    // Who waited so long for a connection need not wait as long for one of their own.
                    (Err(Failed::Before(error)), None) if error.reason() == "DATABASE_BUSY" => {
                        Outcome::refused(unavailable("DATABASE_BUSY", "no free database connection"))
                    }
                    (_, outcome) => outcome.unwrap_or(NOT_HERE),
                };
                // Whoever gave up does not hear it.
                let _ = waiting.answer.send(outcome);
            }
        }
    }

    /// Stores what may go together and tells it. What has no outcome afterwards, or one of going alone, is not stored.
    async fn write(&self, waiting: &[Waiting], outcomes: &mut HashMap<usize, Outcome>) -> Result<(), Failed> {
        let mut tx = kit::db::begin(&self.db).await?;
        let now = self.now();
        let mut passed = Vec::new();
        for (place, locked, listeners) in self.look(&mut tx, waiting).await? {
            let entry = &waiting[place].entry;
            let repeats = match entry.judge(&locked, &listeners) {
                Ok(repeats) => repeats,
                Err(refusal) => {
                    outcomes.insert(place, Outcome::refused(refusal));
                    continue;
                }
            };
            // Who has hidden the room is locked to be shown it again, which would be in no order here.
            if repeats || listeners.iter().any(|listener| listener.hidden) {
                continue;
            }
            match self.limits.take(entry.caller.id, now) {
                Ok(()) => {
                    outcomes.insert(place, Outcome::Alone { counted: true });
                    passed.push(Passed { place, listeners });
                }
                Err(refusal) => drop(outcomes.insert(place, Outcome::refused(refusal))),
            }
        }
        if passed.is_empty() {
            // At once, because others may wait for these rooms.
            return Ok(tx.rollback().await.map_err(kit::Error::from)?);
        }
        let new: Vec<NewMessage<'_>> = passed
            .iter()
            .map(|one| waiting[one.place].entry.message(&waiting[one.place].entry.draft.text, false))
            .collect();
        let rows = insert_messages(&mut tx, &new, now).await?;
        let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.room_id, row)).collect();
        let mut stored = Vec::with_capacity(passed.len());
        let mut events = Vec::with_capacity(passed.len());
        for one in passed {
            let Waiting { entry, context, .. } = &waiting[one.place];
            let Some(row) = rows.remove(&entry.room) else { continue };
            let event = sent_event(&row, notified(&one.listeners, entry.caller.id));
            // Each in the context of the request that it is a consequence of.
            events.push(within(context.clone(), || Queued::new(&row.room_number.to_string(), &event))?);
            stored.push((one, row));
        }
        publish_all(&mut tx, &events).await?;
        kit::db::commit(tx).await.map_err(Failed::Unknown)?;

        metrics::counter!("chat_messages_total").increment(stored.len() as u64);
        metrics::counter!("chat_commits_total").increment(1);
        for (one, row) in stored {
            let sent = self.tell_new(&row, &one.listeners);
            outcomes.insert(one.place, Outcome::Done(Box::new(Ok((sent, true)))));
        }
        Ok(())
    }

    /// The rooms of those that may go together, locked, and who is in them.
    async fn look(
        &self,
        tx: &mut PgTransaction<'_>,
        waiting: &[Waiting],
    ) -> kit::Result<Vec<(usize, LockedRoom, Vec<Listener>)>> {
        // A room's turn lets one in, unless it has been forgotten for a moment that two remember it by.
        let mut seen = HashSet::new();
        let places: HashMap<Uuid, usize> = waiting
            .iter()
            .enumerate()
            .filter(|(_, one)| seen.insert(one.entry.room))
            .map(|(place, one)| (one.entry.room, place))
            .collect();
        let rooms: Vec<_> = places.keys().copied().collect();
        let mut locked = lock_free_rooms(tx, &rooms).await?;
        locked.retain(|room| room.members_count <= MOST_MEMBERS && !self.moderation.cover(&room.kind));
        let writers: Vec<_> = locked.iter().map(|room| waiting[places[&room.id]].entry.writer()).collect();
        let mut listeners: HashMap<Uuid, Vec<Listener>> = HashMap::new();
        for listener in list_listeners(&mut **tx, &writers, self.now()).await? {
            listeners.entry(listener.room_id).or_default().push(listener);
        }
        let found = locked.into_iter().map(|room| {
            let listeners = listeners.remove(&room.id).unwrap_or_default();
            (places[&room.id], room, listeners)
        });
        Ok(found.collect())
    }
}

/// Of what may be stored or not. Whoever gave the message a name sends it again, and is told.
fn unknown() -> kit::Error {
    unavailable("DATABASE_AWAY", "the database does not answer")
}
