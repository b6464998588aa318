//! Messages as they are stored. A message keeps its place for good: deleting empties it, and what it said before stays
//! for moderators.

pub(crate) mod sql;

use kit::error::{denied, invalid, invalid_because, not_found, refused};
use kit::identity::{Caller, caller};
use kit::page::size;
use kit::search::words;
use kit::wire::{parse_id, timestamp};
use proto::chat::v1::message_key::Key;
use proto::chat::v1::message_service_server::MessageService;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::*;
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use self::sql::*;
use crate::members::{LockedRoom, fetch_membership, is_blocked, lock_room};
use crate::moderation::{CENSORED, is_condemned};
use crate::receipts::fill_receipts;
use crate::rooms::kind_names;
use crate::send::check_text;
use crate::{Chat, blocked, moment, not_a_member};

/// More messages are told as this many.
const COUNTED: i64 = 10_000;

#[tonic::async_trait]
impl MessageService for Chat {
    async fn get_message(&self, request: Request<GetMessageRequest>) -> Result<Response<Message>, Status> {
        let caller = caller(&request)?;
        let wanted = wanted(request.get_ref().message.as_ref())?;
        let mut conn = self.db.acquire().await.map_err(kit::Error::from)?;
        let row = fetch_message(&mut *conn, &wanted, caller.id).await?.ok_or_else(no_such_message)?;
        let mut messages = [row.into()];
        fill_receipts(&mut conn, &mut messages).await?;
        let [message] = messages;
        Ok(Response::new(message))
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let page = match room_key(&request.room_id, request.room_number, &request.kinds) {
            Some(key) => {
                let room = self.room_id(Some(&key)).await?;
                self.list_in_room(caller, room, &request).await?
            }
            None => self.list_everywhere(caller, &request).await?,
        };
        Ok(Response::new(page))
    }

    async fn search_messages(
        &self,
        request: Request<SearchMessagesRequest>,
    ) -> Result<Response<SearchMessagesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let room = match room_key(&request.room_id, request.room_number, &request.kinds) {
            Some(key) => Some(self.room_id(Some(&key)).await?),
            None => None,
        };
        if let Some(room) = room {
            self.membership(room, caller.id).await?;
        }
        let Some(query) = typed(&request.query) else {
            return Ok(Response::new(SearchMessagesResponse::default()));
        };
        let kinds = kind_names(&request.kinds);
        let scope = format!("SearchMessages {} {room:?} {kinds:?} {query}", caller.id);
        let before = self.pager.open(&scope, &request.page_token)?.unwrap_or(i64::MAX);
        let limit = size(request.page_size, 20, 100);
        let mut conn = self.db.acquire().await.map_err(kit::Error::from)?;
        let mut rows = search_messages(&mut *conn, caller.id, room, &kinds, &query, before, limit + 1).await?;
        let next_page_token = self.pager.cut(&scope, &mut rows, limit, |last| last.number)?;
        let messages = with_receipts(&mut conn, rows).await?;
        Ok(Response::new(SearchMessagesResponse { messages, next_page_token }))
    }

    async fn edit_message(&self, request: Request<EditMessageRequest>) -> Result<Response<Message>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let message = self.edit(caller, request.message.as_ref(), &request.text).await?;
        Ok(Response::new(message))
    }

    async fn delete_message(&self, request: Request<DeleteMessageRequest>) -> Result<Response<Message>, Status> {
        let caller = caller(&request)?;
        let message = self.delete(caller, request.get_ref().message.as_ref()).await?;
        Ok(Response::new(message))
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Result<Response<ListVersionsResponse>, Status> {
        let wanted = wanted(request.get_ref().message.as_ref())?;
        let row = fetch_any_message(&self.db, &wanted).await?.ok_or_else(no_such_message)?;
        let version = |row: VersionRow| Version {
            text: row.text,
            replaced_at: Some(timestamp(row.replaced_at)),
            cause: row.cause,
            media_id: row.media_id.map(|id| id.to_string()).unwrap_or_default(),
            media_number: row.media_number.unwrap_or_default(),
        };
        let versions = list_versions(&self.db, row.id).await?.into_iter().map(version).collect();
        Ok(Response::new(ListVersionsResponse { message: Some(row.into()), versions }))
    }
}

impl Chat {
    pub(crate) async fn edit(&self, caller: Caller, message: Option<&MessageKey>, text: &str) -> kit::Result<Message> {
        check_text(text)?;
        if text.contains('\0') {
            return Err(invalid("text", "text may not contain NUL characters"));
        }
        let (mut tx, room, row) = self.lock_message(caller, message).await?;
        if row.sender_id != Some(caller.id) {
            return Err(denied("NOT_YOURS", "only who sent it"));
        }
        if row.deleted_at.is_some() {
            return Err(refused("MESSAGE_DELETED", "the message was deleted"));
        }
        if is_blocked(&mut *tx, room.id, caller.id).await? {
            return Err(blocked());
        }
        if text.trim().is_empty() && row.media_id.is_none() {
            return Err(invalid_because("text", "EMPTY_MESSAGE", "neither words nor a file"));
        }
        if row.text == text || row.censored && fetch_censored(&mut *tx, row.id).await?.as_deref() == Some(text) {
            return Ok(with_receipts(&mut tx, vec![row]).await?.remove(0));
        }
        if row.censored && is_condemned(&mut *tx, row.id).await? {
            // What an administrator has taken away does not come back in other words.
            return Ok(with_receipts(&mut tx, vec![row]).await?.remove(0));
        }
        let now = self.now();
        // Only what changes something counts: who comes back says again whatever was not acknowledged.
        self.limits.take(caller.id, now)?;
        let told = self.told_instead(&mut tx, &room, &row, text, now).await?;
        let shown = if told.is_empty() { text } else { CENSORED };
        let rewrite = Rewrite { text: shown, cause: "EDITED", keep_media: true, censored: !told.is_empty(), now };
        let edited = rewrite_message(&mut tx, &row, &rewrite).await?;
        let struck = self.record(&mut tx, &edited, text, &told, now).await?;
        let shown = self.commit_change(tx, edited.clone()).await?;
        self.tell_struck(&edited, struck);
        Ok(shown)
    }

    pub(crate) async fn delete(&self, caller: Caller, message: Option<&MessageKey>) -> kit::Result<Message> {
        let (mut tx, room, row) = self.lock_message(caller, message).await?;
        if row.sender_id != Some(caller.id) {
            let member = fetch_membership(&mut *tx, row.room_id, caller.id).await?.ok_or_else(not_a_member)?;
            if room.kind != "GROUP" || !member.admin {
                return Err(denied("NOT_YOURS", "only who sent it, or the group's administrators"));
            }
        }
        if row.deleted_at.is_some() {
            return Ok(with_receipts(&mut tx, vec![row]).await?.remove(0));
        }
        let rewrite =
            Rewrite { text: "", cause: "DELETED", keep_media: false, censored: row.censored, now: self.now() };
        let deleted = rewrite_message(&mut tx, &row, &rewrite).await?;
        self.commit_change(tx, deleted).await
    }

    /// The message under its room's lock.
    async fn lock_message(
        &self,
        caller: Caller,
        message: Option<&MessageKey>,
    ) -> kit::Result<(sqlx::PgTransaction<'static>, LockedRoom, MessageRow)> {
        let wanted = wanted(message)?;
        let mut tx = kit::db::begin(&self.db).await?;
        let seen = fetch_message(&mut *tx, &wanted, caller.id).await?.ok_or_else(no_such_message)?;
        let room = lock_room(&mut tx, seen.room_id).await?.ok_or_else(no_such_message)?;
        // Again, because it may have changed while we waited.
        let row = fetch_message(&mut *tx, &Wanted::id(seen.id), caller.id).await?.ok_or_else(no_such_message)?;
        Ok((tx, room, row))
    }

    /// Makes a change true and tells it.
    pub(crate) async fn commit_change(
        &self,
        mut tx: sqlx::PgTransaction<'static>,
        row: MessageRow,
    ) -> kit::Result<Message> {
        let message = with_receipts(&mut tx, vec![row.clone()]).await?.remove(0);
        kit::db::commit(tx).await?;
        self.tell_message(&row, Frame::Changed(message.clone()));
        Ok(message)
    }

    async fn list_in_room(
        &self,
        caller: Caller,
        room: Uuid,
        request: &ListMessagesRequest,
    ) -> kit::Result<ListMessagesResponse> {
        let member = self.membership(room, caller.id).await?;
        let sent_before = request.sent_before.map(|at| moment("sent_before", at)).transpose()?;
        let scope = format!(
            "ListMessages {room} {:?} {:?} {sent_before:?} {}",
            request.after, request.before, request.newest_first
        );
        let from: Option<i64> = self.pager.open(&scope, &request.page_token)?;
        let mut range = Range {
            room,
            after: request.after.unwrap_or_default().max(member.cleared_through),
            before: request.before.unwrap_or(i64::MAX),
        };
        if let Some(sent_before) = sent_before {
            range.before = range.before.min(fetch_sequence_at(&self.db, room, sent_before).await?);
        }
        let last = fetch_last_sequence(&self.db, room).await?;
        // Sequences have no gaps, so counting is arithmetic.
        let total = (last.min(range.before.saturating_sub(1)) - range.after).clamp(0, COUNTED);
        match (from, request.newest_first) {
            (Some(from), true) => range.before = from,
            (Some(from), false) => range.after = from,
            (None, _) => {}
        }
        let limit = size(request.page_size, 50, 200);
        // The token is behind what was skipped.
        let skip = if from.is_none() { request.skip.into() } else { 0 };
        let mut conn = self.db.acquire().await?;
        let mut rows = match request.newest_first {
            true => list_newest(&mut *conn, &range, skip, limit + 1).await?,
            false => list_oldest(&mut *conn, &range, skip, limit + 1).await?,
        };
        let next_page_token = self.pager.cut(&scope, &mut rows, limit, |last| last.sequence)?;
        let messages = with_receipts(&mut conn, rows).await?;
        Ok(ListMessagesResponse { messages, next_page_token, total_size: total as i32 })
    }

    async fn list_everywhere(
        &self,
        caller: Caller,
        request: &ListMessagesRequest,
    ) -> kit::Result<ListMessagesResponse> {
        if request.after.is_some() || request.before.is_some() {
            return Err(invalid("room_id", "sequences are those of a room"));
        }
        let sent_before = request.sent_before.map(|at| moment("sent_before", at)).transpose()?;
        let kinds = kind_names(&request.kinds);
        let scope = format!("ListMessages {} {kinds:?} {sent_before:?} {}", caller.id, request.newest_first);
        // Rooms interleave, so a page is a number of rows to leave out.
        let from: Option<i64> = self.pager.open(&scope, &request.page_token)?;
        let skip = from.unwrap_or(request.skip.into()).min(COUNTED);
        let limit = size(request.page_size, 50, 200);
        let mut conn = self.db.acquire().await?;
        let mut rows = match request.newest_first {
            true => list_everywhere_newest(&mut *conn, caller.id, &kinds, sent_before, skip, limit + 1).await?,
            false => list_everywhere_oldest(&mut *conn, caller.id, &kinds, sent_before, skip, limit + 1).await?,
        };
        let more = rows.len() as i64 > limit && skip + limit <= COUNTED;
        rows.truncate(limit as usize);
        let next_page_token = if more { self.pager.seal(&scope, &(skip + limit))? } else { String::new() };
        let total = count_everywhere(&mut *conn, caller.id, &kinds, sent_before).await?.min(COUNTED);
        let messages = with_receipts(&mut conn, rows).await?;
        Ok(ListMessagesResponse { messages, next_page_token, total_size: total as i32 })
    }
}

/// The rows as messages with their receipts.
pub(crate) async fn with_receipts(conn: &mut PgConnection, rows: Vec<MessageRow>) -> kit::Result<Vec<Message>> {
    let mut messages: Vec<Message> = rows.into_iter().map(Message::from).collect();
    fill_receipts(conn, &mut messages).await?;
    Ok(messages)
}

/// What was typed as a `tsquery`: all words, the last one as a beginning. Nothing when no word is left.
fn typed(text: &str) -> Option<String> {
    // Operators of the query language are no words of anybody.
    let word =
        |word: &str| word.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    let words: Vec<String> = words(text).iter().flat_map(|phrase| -> Vec<String> { word(phrase) }).take(10).collect();
    let (last, others) = words.split_last()?;
    Some(others.iter().map(|word| format!("{word} & ")).collect::<String>() + last + ":*")
}

fn wanted(key: Option<&MessageKey>) -> kit::Result<Wanted> {
    let key = key.ok_or_else(no_such_message)?;
    let (id, number) = match &key.key {
        Some(Key::Id(id)) => (Some(parse_id("message", id)?), None),
        Some(Key::Number(number)) => (None, Some(*number)),
        None => return Err(no_such_message()),
    };
    Ok(Wanted { id, number, kinds: kind_names(&key.kinds) })
}

/// The room that a request names, if it names one.
fn room_key(id: &str, number: i64, kinds: &[i32]) -> Option<RoomKey> {
    use proto::chat::v1::room_key::Key;
    let key = match (id.is_empty(), number) {
        (false, _) => Key::Id(id.to_owned()),
        (true, 0) => return None,
        (true, number) => Key::Number(number),
    };
    Some(RoomKey { key: Some(key), kinds: kinds.to_vec() })
}

pub(crate) fn no_such_message() -> kit::Error {
    not_found("MESSAGE_NOT_FOUND", "no such message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_words_and_a_beginning() {
        assert_eq!(typed("Vaca  lechera"), Some("Vaca & lechera:*".into()));
        assert_eq!(typed("a&b | !c:*"), Some("a & b & c:*".into()));
        assert_eq!(typed("'; drop"), Some("drop:*".into()));
        assert_eq!(typed(" &|! "), None);
    }
}
