//! From Plaza to Firestore. A message's document is created in the same commit as the previews and the counters, and
//! only if it does not exist: a commit that is repeated, because nobody noted that it was made, fails as a whole and
//! counts nothing twice. What was edited, censored, deleted or read is written as it is now, which may be repeated.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures_util::{StreamExt, TryStreamExt, stream};
use kit::error::{aborted, internal, unavailable};
use tonic::Code;
use uuid::Uuid;

use super::chats::{chat, entry_of, of_other, sides};
use super::people::Profile;
use super::sql::*;
use super::value::{Value, Write, fields};
use super::words::{SYSTEM, shown};
use super::{Bridge, OUTWARD};
use crate::members::list_people;

/// Rooms that are looked up, and served, at once.
const ROOMS: i64 = 200;
const AT_ONCE: usize = 8;
/// Messages of a commit.
const PAGE: i64 = 100;
/// Documents that are marked as read at once.
const READS: i64 = 200;

impl Bridge {
    /// Tells Firestore what happened in deals, and then what was read. Looking for either goes through all of them, so
    /// each has a pause of twenty times as long.
    pub async fn mirror_out(&self) -> kit::Result<Duration> {
        let rest = loop {
            let began = Instant::now();
            let rooms = list_behind(&self.chat.db, ROOMS).await?;
            let took = began.elapsed();
            metrics::gauge!("chat_firebase_rooms_behind").set(rooms.len() as f64);
            if !self.mirror_rooms(rooms).await? {
                break took * 20;
            }
        };
        let due = *self.reads_due.lock().expect("nothing panics under this lock");
        if due <= Instant::now() {
            let took = loop {
                let began = Instant::now();
                let rooms = list_read_on(&self.chat.db, ROOMS).await?;
                let took = began.elapsed();
                if !self.mirror_rooms(rooms).await? {
                    break took;
                }
            };
            let pause = (took * 20).saturating_sub(OUTWARD);
            *self.reads_due.lock().expect("nothing panics under this lock") = Instant::now() + pause;
        }
        Ok(rest)
    }

    /// Serves rooms; whether there may be more.
    async fn mirror_rooms(&self, rooms: Vec<Uuid>) -> kit::Result<bool> {
        let more = rooms.len() as i64 == ROOMS;
        stream::iter(rooms).map(|room| self.mirror_or_rest(room)).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(more)
    }

    /// A room that cannot be told rests, so that it does not keep the others; unless nobody can be told.
    async fn mirror_or_rest(&self, room: Uuid) -> kit::Result<()> {
        match self.mirror_room(room).await {
            Err(error) if error.code() != Code::Unavailable => {
                tracing::warn!(room.id = %room, %error, "a room was not told to Firestore");
                update_failed(&self.chat.db, room).await
            }
            told => told,
        }
    }

    async fn mirror_room(&self, id: Uuid) -> kit::Result<()> {
        let Some(mut room) = upsert_room(&self.chat.db, id).await? else { return Ok(()) };
        let people = self.profiles(&list_people(&self.chat.db, id).await?).await?;
        if people.len() != 2 {
            return Err(internal(anyhow!("a deal of {} people", people.len())));
        }
        loop {
            let changes = list_changes(&self.chat.db, id, room.through_change, PAGE).await?;
            let Some(through) = changes.last().map(|row| row.change) else { break };
            self.tell_changes(&mut room, &people, changes, through).await?;
            room.through_change = through;
        }
        self.tell_reads(&room, &people).await
    }

    async fn tell_changes(
        &self,
        room: &mut RoomRow,
        people: &[Arc<Profile>],
        mut rows: Vec<ChangeRow>,
        through: i64,
    ) -> kit::Result<()> {
        self.choose_names(room, people, &mut rows).await?;
        let newest = fetch_newest(&self.chat.db, room.id).await?;
        let mut new: BTreeMap<String, Vec<ChangeRow>> = BTreeMap::new();
        let mut changed = Vec::new();
        for row in rows {
            match (&row.name, row.written) {
                // Deleted before anybody there saw it.
                (None, _) => {}
                (Some(name), Some(false)) if !row.deleted => new.entry(chat_in(name)).or_default().push(row),
                // Taken from there, and as it was.
                (Some(_), Some(true)) if row.change == row.sent_change => {}
                (Some(_), _) => changed.push(row),
            }
        }
        let mut told: Vec<_> = new.values().flatten().map(|row| row.id).collect();
        for (chat, rows) in new {
            let Some(newest) = &newest else { continue };
            changed.extend(self.create(room, people, &chat, rows, newest).await?);
        }
        let mut writes = Vec::new();
        for row in &changed {
            let Some(name) = &row.name else { continue };
            let text = shown(&row.text, &row.kind, row.deleted);
            let fields = fields! { "text": text, "censored": row.censored };
            writes.push(Write::update(name.clone(), fields, &["text", "censored"]));
        }
        if let Some(newest) = newest.filter(|newest| changed.iter().any(|row| row.id == newest.id)) {
            let chat = newest.name.as_deref().map(chat_in).or_else(|| room.chat_id.clone());
            writes.extend(previews(&chat.unwrap_or_default(), room, people, &newest, [None, None]));
        }
        if !writes.is_empty() {
            all(&self.firestore.apply(&writes).await?, &[Code::Ok, Code::NotFound])?;
        }
        told.extend(changed.iter().map(|row| row.id));
        let mut tx = kit::db::begin(&self.chat.db).await?;
        update_written(&mut tx, &told).await?;
        update_told(&mut tx, room.id, through).await?;
        kit::db::commit(tx).await
    }

    /// Chooses a document for each message that has none, and remembers the choice before anything is written there.
    async fn choose_names(
        &self,
        room: &mut RoomRow,
        people: &[Arc<Profile>],
        rows: &mut [ChangeRow],
    ) -> kit::Result<()> {
        let nameless = |row: &&mut ChangeRow| row.name.is_none() && !row.deleted;
        let mut nameless: Vec<_> = rows.iter_mut().filter(nameless).collect();
        if nameless.is_empty() {
            return Ok(());
        }
        let chat = match &room.chat_id {
            Some(chat) => chat.clone(),
            None => self.chat_of(room, people).await?,
        };
        room.chat_id = Some(chat.clone());
        for row in &mut nameless {
            (row.name, row.written) = (Some(format!("messages/{chat}/messages/{}", row.id)), Some(false));
        }
        let ids: Vec<_> = nameless.iter().map(|row| row.id).collect();
        let names: Vec<_> = nameless.iter().filter_map(|row| row.name.clone()).collect();
        if insert_names(&self.chat.db, &ids, &names).await? < ids.len() as u64 {
            return Err(aborted("FIREBASE_CONFLICT", "another replica is telling the same messages"));
        }
        Ok(())
    }

    /// Creates documents of messages, with what lists show of the chat. Those that are there already are handed back.
    async fn create(
        &self,
        room: &RoomRow,
        people: &[Arc<Profile>],
        chat: &str,
        mut rows: Vec<ChangeRow>,
        newest: &ChangeRow,
    ) -> kit::Result<Vec<ChangeRow>> {
        let readers = list_readers(&self.chat.db, room.id).await?;
        let mut there = Vec::new();
        for _ in 0..3 {
            if rows.is_empty() {
                return Ok(there);
            }
            let writes = creation(room, people, chat, &rows, newest, &readers);
            match self.firestore.commit(&writes).await {
                Ok(()) => return Ok(there),
                // A crash came between a commit and our noting it; since then there may be more to tell.
                Err(error) if error.code() == Code::AlreadyExists => {
                    let paths: Vec<_> = rows.iter().filter_map(|row| row.name.clone()).collect();
                    let found = self.firestore.get(&paths, &["senderId"]).await?;
                    let found: HashSet<_> = found.into_iter().map(|document| document.path).collect();
                    let (old, new) = rows
                        .into_iter()
                        .partition::<Vec<_>, _>(|row| row.name.as_ref().is_some_and(|name| found.contains(name)));
                    there.extend(old);
                    rows = new;
                }
                // The chat document is missing: whoever made the chat was interrupted.
                Err(error) if error.code() == Code::NotFound => {
                    self.create_chat(chat, people, &room.subject, newest.created_at).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(aborted("FIREBASE_CONFLICT", "documents of messages come and go"))
    }

    /// Tells the others' documents that they were read, and the list how much is left.
    async fn tell_reads(&self, room: &RoomRow, people: &[Arc<Profile>]) -> kit::Result<()> {
        let mut told = [room.read_first, room.read_second];
        for (place, reader) in list_readers(&self.chat.db, room.id).await?.into_iter().take(people.len()).enumerate() {
            while told[place] < reader.read_through {
                let (from, through) = (told[place], reader.read_through);
                let rows = list_read(&self.chat.db, room.id, reader.user_id, from, through, READS).await?;
                let more = rows.len() as i64 == READS;
                let reached = rows.last().filter(|_| more).map_or(through, |row| row.sequence);
                let names: Vec<_> = rows.into_iter().filter_map(|row| row.name).collect();
                let chats: HashSet<_> = names.iter().map(|name| chat_in(name)).chain(room.chat_id.clone()).collect();
                let mut writes: Vec<_> =
                    names.into_iter().map(|name| Write::update(name, fields! { "read": true }, &["read"])).collect();
                if !more {
                    writes.extend(chats.iter().map(|chat| {
                        // Of several documents for one room the one in use has what is left.
                        let unread = if Some(chat) == room.chat_id.as_ref() { reader.unread } else { 0 };
                        let fields = fields! { "unreadCount": unread };
                        Write::update(entry_of(reader.user_id, chat), fields, &["unreadCount"])
                    }));
                }
                if !writes.is_empty() {
                    all(&self.firestore.apply(&writes).await?, &[Code::Ok, Code::NotFound])?;
                }
                told[place] = reached;
                update_read(&self.chat.db, room.id, told[0], told[1]).await?;
            }
        }
        Ok(())
    }
}

/// The commit that makes messages appear.
fn creation(
    room: &RoomRow,
    people: &[Arc<Profile>],
    chat: &str,
    rows: &[ChangeRow],
    newest: &ChangeRow,
    readers: &[ReaderRow],
) -> Vec<Write> {
    let unread = |row: &ChangeRow, reader: &ReaderRow| {
        row.sender_id != Some(reader.user_id) && row.sequence > reader.read_through
    };
    let mut writes = Vec::with_capacity(rows.len() + 3);
    for row in rows {
        let Some(name) = &row.name else { continue };
        let sender = people.iter().find(|it| Some(it.person.id) == row.sender_id);
        let fields = fields! {
            "senderId": sender_id(row),
            "senderName": sender.map_or(SYSTEM.1, |sender| sender.name.as_str()),
            "text": shown(&row.text, &row.kind, row.deleted),
            "timestamp": row.created_at,
            "read": !readers.iter().any(|reader| unread(row, reader)),
            "type": "text",
            "censored": row.censored,
        };
        writes.push(Write::create(name.clone(), fields));
    }
    let count = |id: Uuid| {
        let reader = readers.iter().find(|reader| reader.user_id == id)?;
        Some(rows.iter().filter(|row| unread(row, reader)).count() as i64)
    };
    let counts = [0, 1].map(|place: usize| count(people.get(place)?.person.id));
    writes.extend(previews(chat, room, people, newest, counts));
    writes
}

/// What the lists show of a chat: its newest message, and for each of both how many more are unread.
fn previews(
    chat_id: &str,
    room: &RoomRow,
    people: &[Arc<Profile>],
    newest: &ChangeRow,
    more: [Option<i64>; 2],
) -> Vec<Write> {
    let text = shown(&newest.text, &newest.kind, newest.deleted);
    let at = newest.created_at;
    let last = fields! { "text": text.as_str(), "senderId": sender_id(newest), "timestamp": at };
    let document = fields! { "lastMessage": Value::Map(last), "updatedAt": at };
    let mut writes = vec![Write::update(chat(chat_id), document, &["lastMessage", "updatedAt"])];
    for ((me, other), more) in sides(people).zip(more) {
        let mut entry = of_other(other, &room.subject);
        entry.extend(fields! { "lastMessage": text.as_str(), "lastMessageTime": at });
        let mask = ["otherUserId", "otherUserName", "trabajoId", "lastMessage", "lastMessageTime"];
        let write = Write::update(entry_of(me.person.id, chat_id), entry, &mask);
        writes.push(match more {
            // Whoever made the chat may have been interrupted before the lists.
            Some(more) => write.or_create().increment("unreadCount", more),
            None => write,
        });
    }
    writes
}

fn sender_id(row: &ChangeRow) -> String {
    row.sender_id.map_or_else(|| SYSTEM.0.to_owned(), |id| id.to_string())
}

/// The chat that a message's document is in: the second part of its path, in both layouts.
fn chat_in(name: &str) -> String {
    name.split('/').nth(1).unwrap_or_default().to_owned()
}

/// Fails unless each write ended in one of these ways.
pub(super) fn all(codes: &[Code], allowed: &[Code]) -> kit::Result<()> {
    match codes.iter().find(|code| !allowed.contains(code)) {
        None => Ok(()),
        Some(Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists) => {
            Err(internal(anyhow!("Firestore refused a write: {codes:?}")))
        }
        Some(code) => Err(unavailable("FIREBASE_AWAY", format!("a write was not made: {code:?}"))),
    }
}
