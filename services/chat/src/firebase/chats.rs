//! Chat documents and the rooms they are. A pair may have several of them for one room: the frontend makes another one
//! for every "new chat" without a job.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use proto::chat::v1::RoomKind;
use tonic::Code;
use uuid::Uuid;

use super::firestore::{Filter, Query};
use super::google::passes;
use super::people::Profile;
use super::sql::*;
use super::value::{Document, Fields, Value, Write, fields};
use super::words::is_id;
use super::{Bridge, outward};
use crate::rooms::Opener;

/// Characters of what a deal is about.
const LONGEST_SUBJECT: usize = 100;

/// What a chat document is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Room(Uuid),
    /// A room, but what was said before we knew the document is not read yet.
    Unread(Uuid),
    /// No conversation of two people.
    Nowhere,
}

impl Bridge {
    /// What these chat documents are; asks Firestore about those that are new.
    pub(super) async fn places(&self, chats: &HashSet<&str>) -> kit::Result<HashMap<String, Place>> {
        let ids: Vec<_> = chats.iter().map(|id| (*id).to_owned()).collect();
        let mut places: HashMap<_, _> = fetch_chats(&self.chat.db, &ids).await?.into_iter().collect();
        let unknown: Vec<_> = ids.into_iter().filter(|id| !places.contains_key(id)).collect();
        for unknown in unknown.chunks(100) {
            places.extend(self.find_rooms(unknown).await?);
        }
        Ok(places)
    }

    /// Reads chat documents, opens the rooms they are, and remembers both what is one and what is none.
    pub(super) async fn find_rooms(&self, chats: &[String]) -> kit::Result<HashMap<String, Place>> {
        let paths: Vec<_> = chats.iter().map(|id| chat(id)).collect();
        let documents = self.firestore.get(&paths, &["participants", "trabajoId"]).await?;
        let by_path: HashMap<_, _> = documents.iter().map(|document| (document.path.as_str(), document)).collect();
        let people: Vec<_> = documents.iter().flat_map(participants).flatten().collect();
        let people = self.resolve(&people).await?;
        let mut places = HashMap::new();
        for id in chats {
            let room = match by_path.get(chat(id).as_str()) {
                Some(document) => self.room_of(document, &people).await?,
                None => None,
            };
            upsert_chat(&self.chat.db, id, room).await?;
            places.insert(id.clone(), room.map_or(Place::Nowhere, Place::Unread));
        }
        Ok(places)
    }

    /// The room of the two people of a chat document and its job.
    async fn room_of(&self, document: &Document, people: &HashMap<String, Arc<Profile>>) -> kit::Result<Option<Uuid>> {
        let Some([a, b]) = participants(document) else { return Ok(None) };
        let (Some(a), Some(b)) = (people.get(a), people.get(b)) else { return Ok(None) };
        let subject = document.text("trabajoId").unwrap_or_default();
        if a.person.id == b.person.id || subject.chars().count() > LONGEST_SUBJECT || subject.contains('\0') {
            return Ok(None);
        }
        match self.chat.pair(a.person, b.person, RoomKind::Deal, subject, Opener::Unknown).await {
            Ok((room, _)) => Ok(Some(room)),
            // Who was blocked opens no room.
            Err(error) if error.code() == Code::PermissionDenied => Ok(None),
            Err(error) if passes(&error) => Err(error),
            // One document must not keep the others.
            Err(error) => {
                tracing::error!(%error, "a chat of Firestore was left out");
                Ok(None)
            }
        }
    }

    /// The chat document for a room that has none: one that the frontend made for these people and this job, the one
    /// used last, or a new one under the room's own id.
    pub(super) async fn chat_of(&self, room: &RoomRow, people: &[Arc<Profile>]) -> kit::Result<String> {
        if let Some(id) = self.find_chat(room, people).await? {
            insert_found_chat(&self.chat.db, &id, room.id, false).await?;
            update_chat_of(&self.chat.db, room.id, &id).await?;
            return Ok(id);
        }
        let id = room.id.to_string();
        self.create_chat(&id, people, &room.subject, self.chat.now()).await?;
        insert_found_chat(&self.chat.db, &id, room.id, true).await?;
        update_chat_of(&self.chat.db, room.id, &id).await?;
        Ok(id)
    }

    async fn find_chat(&self, room: &RoomRow, people: &[Arc<Profile>]) -> kit::Result<Option<String>> {
        let ids = Value::Array(sorted(people).into_iter().map(Value::from).collect());
        let query = Query {
            collection: "chats",
            parent: None,
            anywhere: false,
            fields: &["trabajoId", "updatedAt"],
            filters: vec![("participants", Filter::Is, ids)],
            order: None,
            after: None,
            limit: 50,
        };
        let found = self.firestore.query(&query).await?;
        let found = found.iter().filter(|it| it.text("trabajoId").unwrap_or_default() == room.subject);
        let last = found.max_by_key(|it| it.fields.get("updatedAt").and_then(Value::timestamp));
        let id = last.and_then(|it| it.path.strip_prefix("chats/")).filter(|id| is_id(id));
        Ok(id.map(str::to_owned))
    }

    /// Makes a chat document and both entries in the lists, as far as they are missing.
    pub(super) async fn create_chat(
        &self,
        id: &str,
        people: &[Arc<Profile>],
        subject: &str,
        at: DateTime<Utc>,
    ) -> kit::Result<()> {
        let writes = new_chat(id, people, subject, at);
        outward::all(&self.firestore.apply(&writes).await?, &[Code::Ok, Code::AlreadyExists])
    }
}

/// Both people that a chat document names.
fn participants(document: &Document) -> Option<[&str; 2]> {
    let Some(Value::Array(ids)) = document.fields.get("participants") else { return None };
    match &ids[..] {
        [Value::Text(a), Value::Text(b)] if a != b => Some([a, b]),
        _ => None,
    }
}

fn sorted(people: &[Arc<Profile>]) -> Vec<String> {
    let mut ids: Vec<_> = people.iter().map(|it| it.person.id.to_string()).collect();
    ids.sort();
    ids
}

/// The documents as the frontend makes them. Photographs are left out: they are paths at the edge, and the page wants
/// whole addresses.
fn new_chat(id: &str, people: &[Arc<Profile>], subject: &str, at: DateTime<Utc>) -> Vec<Write> {
    let data = people.iter().map(|it| {
        let shown = fields! { "name": it.name.as_str(), "role": it.role };
        (it.person.id.to_string(), Value::Map(shown))
    });
    let ids = sorted(people).into_iter().map(Value::from).collect();
    let mut document = fields! {
        "participants": Value::Array(ids), "participantsData": Value::Map(data.collect()),
        "createdAt": at, "updatedAt": at,
    };
    if !subject.is_empty() {
        document.insert("trabajoId".to_owned(), subject.into());
    }
    let mut writes = vec![Write::create(chat(id), document)];
    for (me, other) in sides(people) {
        let mut entry = of_other(other, subject);
        entry.extend(
            fields! { "lastMessage": "", "lastMessageTime": at, "unreadCount": 0, "otherUserPhoto": Value::Null },
        );
        writes.push(Write::create(entry_of(me.person.id, id), entry));
    }
    writes
}

/// Each with the other one.
pub(super) fn sides(people: &[Arc<Profile>]) -> impl Iterator<Item = (&Arc<Profile>, &Arc<Profile>)> {
    let other = |me: &Arc<Profile>| people.iter().find(|it| it.person.id != me.person.id);
    people.iter().filter_map(move |me| Some((me, other(me)?)))
}

/// What an entry in somebody's list says of the other one.
pub(super) fn of_other(other: &Profile, subject: &str) -> Fields {
    fields! {
        "otherUserId": other.person.id.to_string(), "otherUserName": other.name.as_str(),
        "trabajoId": Some(subject).filter(|subject| !subject.is_empty()),
    }
}

pub(super) fn chat(id: &str) -> String {
    format!("chats/{id}")
}

/// A chat in somebody's list.
pub(super) fn entry_of(user: Uuid, chat: &str) -> String {
    format!("user_chats/{user}/chats/{chat}")
}
