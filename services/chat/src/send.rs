//! Sending a message: checked, stored, and only then told.

use std::sync::Arc;

use kit::error::{invalid, invalid_because};
use kit::identity::Caller;
use kit::outbox::publish;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::{Draft, Message, MessageKind, ServerFrame};
use proto::events::v1::ChatMessageSent;
use proto::media;
use proto::media::v1::ClaimMediaRequest;
use tonic::Code;
use uuid::Uuid;

use crate::desk::Outcome;
use crate::hub::{Audience, Line, News, Packet};
use crate::members::{Listener, LockedRoom, Writer, fetch_membership, list_listeners, lock_room};
use crate::messages::sql::{MessageRow, NewMessage, fetch_by_client_msg_id, insert_message, kind_name};
use crate::moderation::CENSORED;
use crate::queue::Parcel;
use crate::receipts::{MOST_LISTED, MOST_MEMBERS, fill_receipts, not_received};
use crate::rooms::kind;
use crate::{Chat, blocked, no_such_room, not_a_member};

/// Characters of a message.
pub(crate) const LONGEST: usize = 8_000;
/// Characters of a sender's own name for a message.
const LONGEST_NAME: usize = 200;
/// Values of a waveform.
const MOST_VALUES: usize = 512;

/// A file that goes with a message.
struct Attachment {
    id: Uuid,
    number: i64,
    kind: MessageKind,
}

/// What somebody wants to say in a room.
pub(crate) struct Entry {
    pub(crate) caller: Caller,
    pub(crate) room: Uuid,
    pub(crate) draft: Draft,
    file: Option<Attachment>,
}

impl Entry {
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer { room: self.room, sender: self.caller.id, name: &self.draft.client_msg_id }
    }

    /// Whether this was sent before under the same name, if it may be said at all to those who are in the room.
    pub(crate) fn judge(&self, room: &LockedRoom, listeners: &[Listener]) -> kit::Result<bool> {
        let me = listeners.iter().find(|listener| listener.user_id == self.caller.id).ok_or_else(not_a_member)?;
        if me.repeats {
            return Ok(true);
        }
        if room.kind != "GROUP" && listeners.iter().any(|listener| listener.blocks) {
            return Err(blocked());
        }
        self.check_reply(room)?;
        Ok(false)
    }

    fn check_reply(&self, room: &LockedRoom) -> kit::Result<()> {
        match self.draft.reply_to > room.last_sequence {
            true => Err(invalid_because("reply_to", "REPLY_NOT_FOUND", "no such message in this room")),
            false => Ok(()),
        }
    }

    /// What is to be stored of it, with these words.
    pub(crate) fn message<'a>(&'a self, text: &'a str, censored: bool) -> NewMessage<'a> {
        NewMessage {
            id: Uuid::now_v7(),
            room: self.room,
            sender: Some((self.caller.id, self.caller.number)),
            kind: kind_name(self.file.as_ref().map_or(MessageKind::Text, |file| file.kind)),
            text,
            media: self.file.as_ref().map(|file| (file.id, file.number)),
            waveform: &self.draft.waveform,
            reply_to: Some(self.draft.reply_to).filter(|reply| *reply > 0),
            client_msg_id: self.name(),
            censored,
        }
    }

    fn name(&self) -> Option<&str> {
        Some(self.draft.client_msg_id.as_str()).filter(|name| !name.is_empty())
    }
}

impl Chat {
    /// Stores a message and tells it, unless it is stored already; whether it is new.
    pub(crate) async fn send(&self, caller: Caller, room: Uuid, draft: Draft) -> kit::Result<(Message, bool)> {
        check(&draft)?;
        if !draft.media_id.is_empty() || draft.media_number != 0 {
            // A stranger's message must not make a file theirs.
            self.membership(room, caller.id).await?;
        }
        // Before the transaction, which should not stay open while a peer is asked.
        let file = self.attachment(caller.id, &draft).await?;
        let entry = Arc::new(Entry { caller, room, draft, file });

        // In one room one writes after the other anyway. Who waits for that here holds no connection meanwhile, so that a
        // room in which all talk at once leaves the others theirs.
        let turn = Arc::new(self.turns.get_with(room, Arc::default).lock_owned().await);
        let mut counted = false;
        if !self.is_moderated(room) {
            match self.send_together(&entry, &turn).await {
                Outcome::Done(answer) => return *answer,
                Outcome::Alone { counted: already } => counted = already,
            }
        }
        self.send_alone(&entry, counted).await
    }

    /// The same in a transaction of its own.
    async fn send_alone(&self, entry: &Entry, counted: bool) -> kit::Result<(Message, bool)> {
        let Entry { caller, room, draft, .. } = entry;
        let mut tx = kit::db::begin(&self.db).await?;
        let locked = lock_room(&mut tx, *room).await?.ok_or_else(no_such_room)?;
        self.room_kinds.insert(*room, kind(&locked.kind));
        let now = self.now();
        let (repeats, listeners) = if locked.members_count <= MOST_MEMBERS {
            let listeners = list_listeners(&mut *tx, &[entry.writer()], now).await?;
            (entry.judge(&locked, &listeners)?, listeners)
        } else {
            // Here nobody is notified one by one, and there are no receipts.
            fetch_membership(&mut *tx, *room, caller.id).await?.ok_or_else(not_a_member)?;
            (entry.name().is_some(), Vec::new())
        };
        if let Some(name) = entry.name().filter(|_| repeats)
            && let Some(row) = fetch_by_client_msg_id(&mut *tx, *room, caller.id, name).await?
        {
            let mut stored = [Message::from(row)];
            fill_receipts(&mut tx, &mut stored).await?;
            let [stored] = stored;
            return Ok((stored, false));
        }
        entry.check_reply(&locked)?;
        // Only what is new counts: who comes back sends again whatever was not acknowledged.
        if !counted {
            self.limits.take(caller.id, now)?;
        }
        let told = self.told(&mut tx, &locked, caller.id, &draft.text, now).await?;
        let new = entry.message(if told.is_empty() { &draft.text } else { CENSORED }, !told.is_empty());
        let row = insert_message(&mut tx, &new, now).await?;
        let struck = self.record(&mut tx, &row, &draft.text, &told, now).await?;
        let event = sent_event(&row, notified(&listeners, caller.id));
        publish(&mut tx, &row.room_number.to_string(), &event).await?;
        kit::db::commit(tx).await?;

        metrics::counter!("chat_messages_total").increment(1);
        metrics::counter!("chat_commits_total").increment(1);
        let sent = self.tell_new(&row, &listeners);
        self.tell_struck(&row, struck);
        Ok((sent, true))
    }

    /// Whether this is known to be a room in which contact details may not be told.
    fn is_moderated(&self, room: Uuid) -> bool {
        self.room_kinds.get(&room).is_some_and(|kind| self.moderation.covers(kind))
    }

    /// Tells a message that is committed, and answers it.
    pub(crate) fn tell_new(&self, row: &MessageRow, listeners: &[Listener]) -> Message {
        let others = listeners.iter().filter(|listener| Some(listener.user_id) != row.sender_id);
        let mut sent = Message::from(row.clone());
        // Nobody has it yet.
        sent.receipts = others.map(|other| not_received(other.user_id, other.user_number)).collect();
        let mut told = sent.clone();
        if told.receipts.len() > MOST_LISTED {
            told.receipts = Vec::new();
        }
        self.tell_message(row, Frame::Message(told));
        sent
    }

    /// Tells everybody in the room of a change that is committed.
    pub(crate) fn tell_message(&self, row: &MessageRow, frame: Frame) {
        let frame = ServerFrame {
            room_id: row.room_id.to_string(),
            room_number: row.room_number,
            change: row.change,
            frame: Some(frame),
        };
        self.hub.tell(Packet {
            line: Line::Room(row.room_id),
            audience: Audience::All,
            news: News::Frame(Parcel::new(row.room_id, frame)),
        });
    }

    /// The file that the caller attaches. Somebody else's does not exist, and a private one is for no room.
    async fn attachment(&self, owner: Uuid, draft: &Draft) -> kit::Result<Option<Attachment>> {
        let mut request = ClaimMediaRequest { owner_id: owner.to_string(), ..ClaimMediaRequest::default() };
        if !draft.media_id.is_empty() {
            request.ids.push(draft.media_id.clone());
        } else if draft.media_number != 0 {
            request.numbers.push(draft.media_number);
        } else {
            return Ok(None);
        }
        let invalid = || invalid_because("media_id", "INVALID_MEDIA", "no such file of yours");
        let claimed = match self.media.clone().claim_media(request).await {
            Ok(claimed) => claimed.into_inner().media,
            Err(status) if matches!(status.code(), Code::PermissionDenied | Code::NotFound | Code::InvalidArgument) => {
                return Err(invalid());
            }
            Err(status) => return Err(status.into()),
        };
        let file = claimed.into_iter().next().filter(|file| file.signature.is_none()).ok_or_else(invalid)?;
        let kind = match file.kind() {
            media::v1::Kind::Image => MessageKind::Image,
            media::v1::Kind::Audio => MessageKind::Voice,
            _ => MessageKind::File,
        };
        Ok(Some(Attachment { id: file.id.parse().map_err(|_| invalid())?, number: file.number, kind }))
    }
}

/// That a message is stored, for those among `recipients` to be notified.
pub(crate) fn sent_event(row: &MessageRow, recipients: Vec<String>) -> ChatMessageSent {
    ChatMessageSent {
        message_id: row.number,
        message_uuid: row.id.to_string(),
        room_id: row.room_number,
        chat_id: row.room_id.to_string(),
        sender_id: row.sender_number.unwrap_or_default(),
        sender_uuid: row.sender_id.unwrap_or_default().to_string(),
        destinatarios: recipients,
    }
}

/// The ids of those who want to be notified of what this sender says.
pub(crate) fn notified(listeners: &[Listener], sender: Uuid) -> Vec<String> {
    let wanting = listeners.iter().filter(|listener| listener.user_id != sender && listener.notified);
    wanting.map(|listener| listener.user_id.to_string()).collect()
}

/// What the contract says of drafts. By hand, because a stream must survive a mistake.
fn check(draft: &Draft) -> kit::Result<()> {
    check_text(&draft.text)?;
    if draft.client_msg_id.chars().count() > LONGEST_NAME {
        return Err(invalid_because("client_msg_id", "TOO_LARGE", "is too long"));
    }
    for (field, value) in [("text", &draft.text), ("client_msg_id", &draft.client_msg_id)] {
        if value.contains('\0') {
            return Err(invalid(field, "text may not contain NUL characters"));
        }
    }
    if draft.waveform.len() > MOST_VALUES || draft.waveform.iter().any(|value| !(0.0..=1.0).contains(value)) {
        return Err(invalid("waveform", "at most 512 values from 0 to 1"));
    }
    if draft.reply_to < 0 {
        return Err(invalid_because("reply_to", "REPLY_NOT_FOUND", "no such message in this room"));
    }
    if !draft.media_id.is_empty() && draft.media_id.parse::<Uuid>().is_err() {
        return Err(invalid_because("media_id", "INVALID_MEDIA", "no such file of yours"));
    }
    if draft.text.trim().is_empty() && draft.media_id.is_empty() && draft.media_number == 0 {
        return Err(invalid_because("text", "EMPTY_MESSAGE", "neither words nor a file"));
    }
    Ok(())
}

pub(crate) fn check_text(text: &str) -> kit::Result<()> {
    match text.chars().count() > LONGEST {
        true => Err(invalid_because("text", "TOO_LARGE", "is too long")),
        false => Ok(()),
    }
}
