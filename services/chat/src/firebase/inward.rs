//! From Firestore to Plaza. Both layouts are read by one collection group, ordered by the moment at which Firestore says
//! a message was written, from a little before where the last look ended up to now: what claims to be from the future
//! moves nothing. A document is stored once, because its path is a unique key.
//!
//! What Plaza says of a message then holds there too: what is stored otherwise than it stands in the document is
//! written back. That is how contact details disappear, whoever was interrupted in between.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kit::outbox::publish;
use proto::chat::v1::Read;
use tonic::Code;
use uuid::Uuid;

use super::chats::{Place, chat, entry_of};
use super::firestore::{Filter, Query};
use super::google::passes;
use super::sql::*;
use super::value::{Document, Value, Write, fields};
use super::words::{self, is_id, shown, taken};
use super::{Bridge, outward};
use crate::contact::{self, Kind};
use crate::members::{Writer, list_listeners, list_people, lock_room};
use crate::messages::sql::{NewMessage, insert_censored, insert_message};
use crate::moderation::CENSORED;
use crate::send::{notified, sent_event};

/// Documents of a page, at first.
const PAGE: usize = 100;
/// What was read is looked at again for so long: a document may become visible after a later one, and somebody may
/// rewrite one.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);
/// What is older when it is found notifies nobody.
const NEWS: TimeDelta = TimeDelta::hours(1);
/// What was told earlier, nobody warned of: it is censored and no infraction, or the first look at a chat's past would
/// close chats to many.
const RECENT: TimeDelta = TimeDelta::days(1);
/// Chats that are asked about, or read, in a turn.
const CHATS: i64 = 50;

/// A layout: the root's collection, and what its messages are ordered by.
const LAYOUTS: [(&str, &str); 2] = [("messages", "timestamp"), ("chats", "createdAt")];
/// All that is read of a message: not the picture, which may be a megabyte.
const FIELDS: &[&str] = &["senderId", "text", "type", "read", "timestamp", "createdAt"];

/// A message as a document says it.
#[derive(Debug)]
struct Said {
    path: String,
    chat: String,
    sender: String,
    text: String,
    /// The document's text, as it stands there.
    original: String,
    read: bool,
    at: DateTime<Utc>,
    update_time: String,
}

/// What became of it.
enum Outcome {
    /// It is stored, without its words if it told something.
    Stored {
        sender: Uuid,
        sequence: i64,
        told: Vec<Kind>,
    },
    /// It was already.
    Known(KnownRow),
    /// Its sender is none of both people.
    Stranger,
    /// Its sender may not write to the other one, or not at all.
    Blocked,
    Banned,
}

impl Bridge {
    /// Reads what was written there since the last time.
    pub async fn mirror_in(&self) -> kit::Result<Duration> {
        // A layout without its index must not keep the other one.
        let mut refused = Ok(Duration::ZERO);
        for (_, order) in LAYOUTS {
            match self.read_new(order).await {
                Err(error) if !passes(&error) => refused = Err(error),
                read => read?,
            }
        }
        let to_ask = list_to_ask(&self.chat.db, CHATS).await?;
        if !to_ask.is_empty() {
            self.find_rooms(&to_ask).await?;
            delete_hopeless(&self.chat.db).await?;
        }
        loop {
            let chats = list_unread_chats(&self.chat.db, CHATS).await?;
            for chat in &chats {
                match self.read_past(chat).await {
                    Err(error) if passes(&error) => return Err(error),
                    Err(error) => tracing::error!(chat.id = chat, %error, "a chat's past was left out"),
                    Ok(()) => {}
                }
                update_complete(&self.chat.db, chat).await?;
            }
            if (chats.len() as i64) < CHATS {
                return refused;
            }
        }
    }

    /// All messages of a layout, wherever they are.
    async fn read_new(&self, order: &'static str) -> kit::Result<()> {
        let now = self.chat.now();
        let from = fetch_cursor(&self.chat.db, order).await?.map_or(DateTime::UNIX_EPOCH, |at| at - OVERLAP);
        let query = Query {
            collection: "messages",
            parent: None,
            anywhere: true,
            fields: FIELDS,
            filters: vec![(order, Filter::AtLeast, from.into()), (order, Filter::AtMost, now.into())],
            order: Some(order),
            after: None,
            limit: PAGE,
        };
        self.read_pages(query, Some(order)).await
    }

    /// All messages of a chat, in both layouts.
    async fn read_past(&self, chat: &str) -> kit::Result<()> {
        for (layout, order) in LAYOUTS {
            let query = Query {
                collection: "messages",
                parent: Some([layout, chat]),
                anywhere: false,
                fields: FIELDS,
                filters: vec![(order, Filter::AtMost, self.chat.now().into())],
                order: Some(order),
                after: None,
                limit: PAGE,
            };
            self.read_pages(query, None).await?;
        }
        Ok(())
    }

    /// Page by page, to the end; with a cursor, how far that was is remembered, and without one it is a chat's past. A
    /// page of documents that are too large together is asked for in parts.
    async fn read_pages(&self, mut query: Query<'_>, cursor: Option<&'static str>) -> kit::Result<()> {
        loop {
            let documents = match self.firestore.query(&query).await {
                Err(error) if error.code() == Code::OutOfRange && query.limit > 1 => {
                    query.limit = (query.limit / 8).max(1);
                    continue;
                }
                page => page?,
            };
            self.take_page(&documents, cursor.is_none()).await?;
            let order = query.order.unwrap_or_default();
            let end = documents.last().and_then(|it| Some((it.fields.get(order)?.timestamp()?, it.path.clone())));
            if let (Some(cursor), Some((at, _))) = (cursor, &end) {
                upsert_cursor(&self.chat.db, cursor, *at).await?;
            }
            if documents.len() < query.limit || end.is_none() {
                return Ok(());
            }
            query.after = end;
        }
    }

    async fn take_page(&self, documents: &[Document], past: bool) -> kit::Result<()> {
        let said: Vec<_> = documents.iter().filter_map(Said::read).collect();
        // What was seen while its chat was none is part of the past that is read when it has become one.
        let new = |said: &&Said| past || self.seen.get(&said.path).is_none_or(|time| time != said.update_time);
        let said: Vec<_> = said.iter().filter(new).collect();
        let places = self.places(&said.iter().map(|said| said.chat.as_str()).collect()).await?;
        for said in said {
            let dealt = match places.get(&said.chat) {
                // All of it is read in this turn, in its order.
                Some(Place::Unread(_)) if !past => continue,
                Some(Place::Room(room) | Place::Unread(room)) => self.take(*room, said).await,
                Some(Place::Nowhere) | None => self.moderate(said).await,
            };
            match dealt {
                Err(error) if passes(&error) => return Err(error),
                // One that cannot be dealt with must not keep those behind it.
                Err(error) => tracing::error!(chat.id = said.chat, %error, "a message of Firestore was left out"),
                Ok(()) => {}
            }
            self.seen.insert(said.path.clone(), said.update_time.clone());
        }
        Ok(())
    }

    /// A message of two people: stored, and its document made to say what is stored.
    async fn take(&self, room: Uuid, said: &Said) -> kit::Result<()> {
        match self.store(room, said).await? {
            Outcome::Stored { sender, sequence, told } => {
                if !told.is_empty() {
                    self.censor(said, &told).await?;
                }
                self.note_read(room, Some(sender), sequence, said).await
            }
            Outcome::Known(known) => {
                let text = shown(&known.text, &known.kind, known.deleted);
                if known.censored && !known.deleted && said.text != text {
                    self.censor(said, &contact::find(&said.text)).await?;
                } else if known.censored && said.text == text {
                    // Its list may have been written after we looked.
                    self.hush(&said.chat, CENSORED).await?;
                } else if said.text != text {
                    let write = Write::update(said.path.clone(), fields! { "text": text }, &["text"]);
                    outward::all(&self.firestore.apply(&[write]).await?, &[Code::Ok, Code::NotFound])?;
                }
                self.note_read(room, known.sender_id, known.sequence, said).await
            }
            Outcome::Banned if said.text != CENSORED => self.censor(said, &[]).await,
            Outcome::Banned => Ok(()),
            Outcome::Stranger | Outcome::Blocked => self.moderate(said).await,
        }
    }

    /// What the other one has read there they have read. Of notices nobody knows who it was.
    async fn note_read(&self, room: Uuid, sender: Option<Uuid>, sequence: i64, said: &Said) -> kit::Result<()> {
        let Some(sender) = sender.filter(|_| said.read) else { return Ok(()) };
        for reader in list_people(&self.chat.db, room).await?.into_iter().filter(|person| person.id != sender) {
            self.chat.read_by(reader, room, &Read { through: sequence, ..Read::default() }).await?;
        }
        Ok(())
    }

    async fn store(&self, room: Uuid, said: &Said) -> kit::Result<Outcome> {
        let chat = &self.chat;
        // As in `send`: whoever waits for the room holds no connection.
        let turn = chat.turns.get_with(room, std::sync::Arc::default);
        let _turn = turn.lock().await;
        let mut tx = kit::db::begin(&chat.db).await?;
        let Some(locked) = lock_room(&mut tx, room).await? else { return Ok(Outcome::Stranger) };
        if let Some(known) = fetch_known(&mut *tx, &said.path).await? {
            return Ok(Outcome::Known(known));
        }
        let now = chat.now();
        let Ok(sender) = said.sender.parse() else { return Ok(Outcome::Stranger) };
        let listeners = list_listeners(&mut *tx, &[Writer { room, sender, name: "" }], now).await?;
        let Some(number) = listeners.iter().find(|listener| listener.user_id == sender).map(|one| one.user_number)
        else {
            return Ok(Outcome::Stranger);
        };
        if listeners.iter().any(|listener| listener.blocks) {
            return Ok(Outcome::Blocked);
        }
        let told = match chat.told(&mut tx, &locked, sender, &said.text, now).await {
            Ok(told) => told,
            Err(error) if error.reason() == "CHAT_BANNED" => return Ok(Outcome::Banned),
            Err(error) => return Err(error),
        };
        let new = NewMessage {
            id: Uuid::now_v7(),
            room,
            sender: Some((sender, number)),
            kind: "TEXT",
            text: if told.is_empty() { &said.text } else { CENSORED },
            media: None,
            waveform: &[],
            reply_to: None,
            client_msg_id: None,
            censored: !told.is_empty() || said.text == CENSORED,
        };
        // What was noted before its chat was known as one counts no second time.
        let counts =
            !told.is_empty() && now - said.at < RECENT && !has_infraction(&mut *tx, &said.external_id()).await?;
        let counted = if counts { &told[..] } else { &[] };
        let recipients = if now - said.at < NEWS { notified(&listeners, sender) } else { Vec::new() };
        // The database raises the time to the message before, because times rise with sequences.
        let row = insert_message(&mut tx, &new, said.at.min(now)).await?;
        let struck = chat.record(&mut tx, &row, &said.text, counted, now).await?;
        publish(&mut tx, &row.room_number.to_string(), &sent_event(&row, recipients)).await?;
        if counted.len() < told.len() {
            insert_censored(&mut tx, row.id, &said.text, now).await?;
        }
        insert_taken(&mut tx, row.id, &said.path).await?;
        upsert_wrote(&mut tx, room, &said.chat, said.at).await?;
        kit::db::commit(tx).await?;
        metrics::counter!("chat_messages_total").increment(1);
        metrics::counter!("chat_firebase_taken_total").increment(1);
        chat.tell_new(&row, &listeners);
        chat.tell_struck(&row, struck);
        Ok(Outcome::Stored { sender, sequence: row.sequence, told })
    }

    /// A message that belongs to no room. It is read for contact details all the same; each document is one infraction
    /// of whom it names, if there is such a person.
    async fn moderate(&self, said: &Said) -> kit::Result<()> {
        if said.text == CENSORED {
            return self.hush(&said.chat, CENSORED).await;
        }
        let told = self.told(&said.text);
        if told.is_empty() {
            return Ok(());
        }
        if self.chat.now() - said.at < RECENT {
            self.note(&said.sender, &said.external_id(), &told).await?;
        }
        self.censor(said, &told).await
    }

    /// What a text tells that it may not tell in deals.
    pub(super) fn told(&self, text: &str) -> Vec<Kind> {
        if self.chat.moderation.cover("DEAL") { contact::find(text) } else { Vec::new() }
    }

    /// Notes an infraction of somebody who may not exist.
    pub(super) async fn note(&self, sender: &str, external_id: &str, told: &[Kind]) -> kit::Result<()> {
        let Some(profile) = self.resolve(&[sender]).await?.remove(sender) else { return Ok(()) };
        let reasons: Vec<_> = told.iter().map(|kind| kind.name().to_owned()).collect();
        self.chat.report(profile.person.id, Some(external_id), &reasons).await.map(drop)
    }

    /// Takes a document's text away, and then what lists show of it.
    async fn censor(&self, said: &Said, told: &[Kind]) -> kit::Result<()> {
        let write = words::censor(&said.path, &said.original, told);
        outward::all(&self.firestore.apply(&[write]).await?, &[Code::Ok, Code::NotFound])?;
        self.hush(&said.chat, &said.original).await
    }

    /// Lets lists not show what was taken away. The page writes them after the message, so this is done once more when
    /// the message is next looked at, in the overlap; then what tells something is known without the original.
    async fn hush(&self, id: &str, original: &str) -> kit::Result<()> {
        let tells = |text: &str| text != CENSORED && (text == original || !contact::find(text).is_empty());
        let mut writes = Vec::new();
        let found = self.firestore.get(&[chat(id)], &["participants", "lastMessage"]).await?;
        let Some(document) = found.first() else { return Ok(()) };
        if let Some(Value::Map(last)) = document.fields.get("lastMessage")
            && last.get("text").and_then(Value::text).is_some_and(tells)
        {
            let hushed = fields! { "lastMessage": Value::Map(fields! { "text": CENSORED }) };
            writes.push(Write::update(chat(id), hushed, &["lastMessage.text"]));
        }
        let Some(Value::Array(people)) = document.fields.get("participants") else { return Ok(()) };
        let ids: BTreeSet<Uuid> = people.iter().take(10).filter_map(|id| id.text()?.parse().ok()).collect();
        let paths: Vec<_> = ids.iter().map(|user| entry_of(*user, id)).collect();
        for entry in self.firestore.get(&paths, &["lastMessage"]).await? {
            if entry.text("lastMessage").is_some_and(tells) {
                writes.push(Write::update(entry.path, fields! { "lastMessage": CENSORED }, &["lastMessage"]));
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        outward::all(&self.firestore.apply(&writes).await?, &[Code::Ok, Code::NotFound])
    }
}

impl Said {
    /// Nothing for documents that are no messages of a chat, or that say nothing.
    fn read(document: &Document) -> Option<Self> {
        let parts: Vec<_> = document.path.split('/').collect();
        let [layout, chat, "messages", id] = parts[..] else { return None };
        let (_, order) = LAYOUTS.iter().find(|(name, _)| *name == layout)?;
        if !is_id(chat) || !is_id(id) {
            return None;
        }
        let at = |field: &str| document.fields.get(field).and_then(Value::timestamp);
        Some(Self {
            path: document.path.clone(),
            chat: chat.to_owned(),
            sender: document.text("senderId").unwrap_or_default().to_owned(),
            text: taken(document.text("text"), document.text("type"))?,
            original: document.text("text").unwrap_or_default().to_owned(),
            read: document.fields.get("read") == Some(&Value::Boolean(true)),
            at: at(order).or_else(|| at("timestamp")).or_else(|| at("createdAt"))?,
            update_time: document.update_time.clone(),
        })
    }

    /// By which an infraction of a message that is not stored is one.
    fn external_id(&self) -> String {
        format!("firestore:{}", self.path)
    }
}
