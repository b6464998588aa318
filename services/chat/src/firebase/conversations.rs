//! Conversations of the Realtime Database. "Contactar" makes one and then opens the Firestore page of the same id, where
//! nothing is sent as long as there is no chat document: each conversation of two people is given one. Messages there
//! are shown nowhere any more, and are only read for contact details.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value as Json};
use tonic::Code;

use super::Bridge;
use super::database::{Database, Range};
use super::google::passes;
use super::sql::*;
use super::words::{censor_node, is_id};
use crate::contact::{self, Kind};
use crate::moderation::CENSORED;

/// Nodes of a page, at first.
const PAGE: usize = 100;
/// As many may share a millisecond; more are left out.
const LARGEST_PAGE: usize = 2_000;
/// What was read is looked at again for so long, in milliseconds.
const OVERLAP: i64 = 10_000;
/// What was told earlier is no infraction; see `inward`.
const RECENT: TimeDelta = TimeDelta::days(1);
const CURSOR: &str = "conversations";

impl Bridge {
    /// Looks at conversations that changed since the last time.
    pub async fn bridge_conversations(&self) -> kit::Result<Duration> {
        let Some(database) = &self.database else { return Ok(Duration::from_secs(3600)) };
        let db = &self.chat.db;
        // What claims to be from the future moves nothing.
        let through = self.chat.now().timestamp_millis();
        let from = fetch_cursor(db, CURSOR).await?.map_or(0, |at| at.timestamp_millis() - OVERLAP);
        let mut pages = Pages { path: &["conversations"], child: "updatedAt", from, through, limit: PAGE };
        while let Some(page) = pages.next(database).await? {
            for (id, conversation) in &page {
                let seen = format!("conversations/{id}");
                let state = format!("{}", conversation["updatedAt"]);
                if !is_id(id) || self.seen.get(&seen).as_ref() == Some(&state) {
                    continue;
                }
                match self.bridge(database, id, conversation).await {
                    Err(error) if passes(&error) => return Err(error),
                    // One that cannot be dealt with must not keep those behind it.
                    Err(error) => tracing::error!(conversation.id = id, %error, "a conversation was left out"),
                    Ok(()) => {}
                }
                self.seen.insert(seen, state);
            }
            if let Some(reached) = DateTime::from_timestamp_millis(pages.from) {
                upsert_cursor(db, CURSOR, reached).await?;
            }
        }
        Ok(Duration::ZERO)
    }

    async fn bridge(&self, database: &Database, id: &str, conversation: &Json) -> kit::Result<()> {
        let db = &self.chat.db;
        let known = fetch_conversation(db, id).await?;
        let mut row = known.unwrap_or(ConversationRow { bridged: false, read_through: 0 });
        if !row.bridged {
            row.bridged = self.give_chat(id, conversation).await?;
        }
        row.read_through = self.moderate_conversation(database, id, conversation, row.read_through).await?;
        upsert_conversation(db, id, &row).await
    }

    /// Makes the documents that the page needs, without touching any that are there; whether it is a conversation of two
    /// people.
    async fn give_chat(&self, id: &str, conversation: &Json) -> kit::Result<bool> {
        let Some(participants) = conversation["participants"].as_object() else { return Ok(false) };
        let ids: Vec<_> = participants.keys().map(String::as_str).collect();
        let [a, b] = ids[..] else { return Ok(false) };
        let people = self.resolve(&[a, b]).await?;
        let (Some(a), Some(b)) = (people.get(a), people.get(b)) else { return Ok(false) };
        if a.person.id == b.person.id {
            return Ok(false);
        }
        let now = self.chat.now();
        let made = moment(&conversation["createdAt"]).filter(|made| *made <= now).unwrap_or(now);
        self.create_chat(id, &[a.clone(), b.clone()], "", made).await?;
        // Who was faster than us has written into a chat that did not exist.
        upsert_made_chat(&self.chat.db, id).await?;
        Ok(true)
    }

    /// Takes away what messages tell, and what the list shows of it; up to where they have been read.
    async fn moderate_conversation(
        &self,
        database: &Database,
        id: &str,
        conversation: &Json,
        read_through: i64,
    ) -> kit::Result<i64> {
        let now = self.chat.now();
        let path = ["messages", id];
        let from = (read_through - OVERLAP).max(0);
        let mut pages = Pages { path: &path, child: "timestamp", from, through: now.timestamp_millis(), limit: PAGE };
        while let Some(page) = pages.next(database).await? {
            for (key, message) in &page {
                let text = message["text"].as_str().unwrap_or_default();
                let told = if text == CENSORED { Vec::new() } else { self.told(text) };
                if told.is_empty() || !is_id(key) {
                    continue;
                }
                let sender = message["senderId"].as_str().unwrap_or_default();
                if moment(&message["timestamp"]).is_some_and(|at| now - at < RECENT) {
                    self.note(sender, &format!("rtdb:{id}/{key}"), &told).await?;
                }
                self.censor_in(database, &format!("messages/{id}/{key}"), text, &told).await?;
            }
        }
        let last = &conversation["lastMessage"]["text"];
        if last.as_str().is_some_and(|text| !contact::find(text).is_empty()) && self.chat.moderation.cover("DEAL") {
            let changes = Map::from_iter([(format!("conversations/{id}/lastMessage/text"), CENSORED.into())]);
            database.patch(changes).await?;
        }
        Ok(pages.from.max(read_through))
    }

    async fn censor_in(&self, database: &Database, path: &str, text: &str, told: &[Kind]) -> kit::Result<()> {
        let Json::Object(fields) = censor_node(text, told) else { return Ok(()) };
        database.patch(fields.into_iter().map(|(name, value)| (format!("{path}/{name}"), value)).collect()).await
    }
}

/// Pages of a node's children, in the order of a number that each has.
struct Pages<'a> {
    path: &'a [&'a str],
    child: &'static str,
    /// Where the next page begins: the last one's end, of which more may be there.
    from: i64,
    through: i64,
    /// Zero behind the last page.
    limit: usize,
}

impl Pages<'_> {
    async fn next(&mut self, database: &Database) -> kit::Result<Option<Vec<(String, Json)>>> {
        if self.limit == 0 {
            return Ok(None);
        }
        loop {
            let Self { path, child, from, through, limit } = *self;
            let page = match database.list(&Range { path, child, from, through, limit }).await {
                Err(error) if error.code() == Code::OutOfRange && limit > 1 => {
                    self.limit = (limit / 8).max(1);
                    continue;
                }
                page => page?,
            };
            let reached = page.last().and_then(|(_, value)| value[child].as_f64()).map_or(from, |at| at as i64);
            let full = page.len() >= limit;
            if full && reached == from {
                // All of one millisecond: there is no place within it to go on from.
                if limit < LARGEST_PAGE {
                    self.limit = (limit * 4).min(LARGEST_PAGE);
                    continue;
                }
                self.from = reached + 1;
            } else {
                self.from = reached;
                self.limit = if full { limit } else { 0 };
            }
            return Ok(Some(page));
        }
    }
}

/// A moment in milliseconds, as far as there is one.
fn moment(value: &Json) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(value.as_f64()? as i64)
}
