//! What goes over Agrovet's sockets. The frames of the contract keep every key they had; what is new is named like them:
//! [`ABOUT`] lists all of them.

use proto::chat::v1::client_frame::Frame as Said;
use proto::chat::v1::server_frame::Frame as Heard;
use proto::chat::v1::{
    self, AskOnline, Delete, Draft, Edit, FrameError, Read, ReceiptNews, Send, ServerFrame, Typing as TypingNews,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::chat::{Receipt, message, room, some};
use crate::agrovet::{offset_time, time};
use crate::form::{Fields, Form, Habits};
use crate::socket::{Out, names};

/// What the document says of frames.
pub const ABOUT: &str = "\
Sockets: `/ws/chat/{room_id}/?token=` and `/ws/presence/?token=`. Frames are JSON objects with a `type`. What makes no \
sense is answered by an `error` with a `code` and closes nothing, unless it has more than 256 KiB or is no UTF-8; a \
`type` that nobody knows is ignored.

A client says `chat_message` (`text`, `media_id`, `reply_to`, `media_spectrum`, `client_msg_id`: the same name again is \
the same message), `mark_read` (`message_ids`; all without), `typing` (`is_typing`), `edit_message` (`message_id`, \
`text`), `delete_message` (`message_id`), `ping`, `get_online_users`.

It hears `chat_message` (also its own: then it is stored), `messages_read`, `message_delivered`, `message_edited`, \
`message_deleted`, `typing`, `room_changed`, `pong`, `online_users_list`, `presence.online`, `presence.offline`; \
`moderation_warning` when a message of one's own was censored, where that is done (`infractions` of `limit`, \
`restricted_until`); `live` when everything missed has been told, also after opening; with `?messages=true` the presence socket hears this of the 1000 rooms that were active \
last, and `removed_from_room`, after which nothing more of that room is told; `server_shutdown` before the socket is closed with 1001.

Who comes back with `?since=` the last `change`, or `?after=` the last `sequence`, hears first what they missed. Close \
codes: 4401 the session ended, 4403 no longer in the room or chat is \
restricted, 1009 a frame too large, 1007 no UTF-8, 1002 no frame, 1013 too slow or `chat` is away, 1001 going away, 1000 \
after a day. Who answers no ping for 50 seconds is given up without a word (1006).";

/// How many values of a voice note's loudness `chat` takes.
const MOST_VALUES: usize = 512;

/// What a client says.
#[derive(Debug, PartialEq)]
pub struct Incoming {
    /// The room that the frame names.
    pub room: Option<i64>,
    pub what: What,
}

#[derive(Debug, PartialEq)]
pub enum What {
    Message(Draft),
    MarkRead(Vec<i64>),
    Typing(bool),
    Edit(i64, String),
    Delete(i64),
    Ping,
    OnlineUsers,
    /// Nothing we know, such as the original's previews.
    Unknown,
}

/// A frame without sense, and the name of the message that it may have been.
#[derive(Debug, PartialEq)]
pub struct Senseless(pub Option<Value>);

impl Incoming {
    /// Understands a frame. Without a type it is a message if it looks like one: old clients send such.
    pub fn read(text: &str) -> Result<Self, Senseless> {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else { return Err(Senseless(None)) };
        let name = object.get("client_msg_id").filter(|name| !name.is_null()).cloned();
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            None | Some(Value::Null) if ["text", "content", "message"].iter().any(|key| object.contains_key(*key)) => {
                "chat_message".to_owned()
            }
            _ => String::new(),
        };
        let read = match kind.as_str() {
            "chat_message" => Self::message(object),
            "mark_read" => fields(object, |MarkRead(messages)| What::MarkRead(messages)),
            "typing" => fields(object, |Typing(active)| What::Typing(active)),
            "edit_message" => fields(object, |Changed(number, text)| What::Edit(number, text)),
            "delete_message" => fields(object, |Named(number)| What::Delete(number)),
            "ping" => Some(Self { room: None, what: What::Ping }),
            "get_online_users" => Some(Self { room: None, what: What::OnlineUsers }),
            _ => Some(Self { room: None, what: What::Unknown }),
        };
        read.ok_or(Senseless(name))
    }

    fn message(mut object: Map<String, Value>) -> Option<Self> {
        // `{"message": {"content": …, "media_id": …}}` and `{"message": "Hola"}`.
        match object.remove("message") {
            Some(Value::Object(inner)) => {
                for (key, value) in inner {
                    object.entry(key).or_insert(value);
                }
            }
            Some(text) => drop(object.entry("content").or_insert(text)),
            None => {}
        }
        fields(object, |NewMessage(draft)| What::Message(draft))
    }

    /// For metrics.
    pub fn kind(&self) -> &'static str {
        match self.what {
            What::Message(_) => "chat_message",
            What::MarkRead(_) => "mark_read",
            What::Typing(_) => "typing",
            What::Edit(..) => "edit_message",
            What::Delete(_) => "delete_message",
            What::Ping => "ping",
            What::OnlineUsers => "get_online_users",
            What::Unknown => "unknown",
        }
    }
}

impl What {
    /// What `chat` is told, in `to` if that must be said. Nothing of what is answered here.
    pub fn said(self, to: Option<i64>) -> Option<Said> {
        let room = to.map(room);
        Some(match self {
            Self::Message(draft) => Said::Send(Send { draft: Some(draft), room }),
            Self::MarkRead(numbers) => Said::Read(Read { numbers, room, ..Default::default() }),
            Self::Typing(active) => Said::Typing(TypingNews { active, room, ..Default::default() }),
            Self::Edit(number, text) => Said::Edit(Edit { message: Some(message(number)), text }),
            Self::Delete(number) => Said::Delete(Delete { message: Some(message(number)) }),
            Self::OnlineUsers => Said::AskOnline(AskOnline {}),
            Self::Ping | Self::Unknown => return None,
        })
    }
}

/// The fields of a frame of a known type, and the room that all of them may name.
fn fields<T: Form>(object: Map<String, Value>, what: impl FnOnce(T) -> What) -> Option<Incoming> {
    struct InRoom<T>(Option<i64>, T);
    impl<T: Form> Form for InRoom<T> {
        fn read(f: &mut Fields) -> Self {
            let [room, older] = ["room_id", "room"].map(|name| f.reference(name).nullable().flatten());
            Self(room.or(older), T::read(f))
        }
    }
    let InRoom(room, form) = Fields::json(Habits::Django, object).read().ok()?;
    Some(Incoming { room, what: what(form) })
}

/// A text under one of two names; the second counts where the first is empty. Spaces at its ends belong to it.
fn text(f: &mut Fields) -> String {
    let [first, second] = ["text", "content"].map(|name| f.text(name).secret().blank().nullable().flatten());
    first.filter(|text| !text.is_empty()).or(second).unwrap_or_default()
}

struct NewMessage(Draft);

impl Form for NewMessage {
    fn read(f: &mut Fields) -> Self {
        let text = text(f);
        let media_number = f.reference("media_id").nullable().flatten().unwrap_or_default();
        let reply_to = f.reference("reply_to").nullable().flatten().unwrap_or_default();
        let spectrum = f.any("media_spectrum").nullable().flatten();
        let name = f.any("client_msg_id").nullable().flatten();
        let client_msg_id = names::kept(name.as_ref()).unwrap_or_else(|names::TooLong| {
            f.refuse("client_msg_id", "too long");
            String::new()
        });
        let waveform = spectrum.map(|spectrum| waveform(&spectrum)).unwrap_or_default();
        Self(Draft { text, media_id: String::new(), media_number, waveform, reply_to, client_msg_id })
    }
}

struct MarkRead(Vec<i64>);

impl Form for MarkRead {
    fn read(f: &mut Fields) -> Self {
        Self(f.integers("message_ids").max_items(1000).nullable().flatten().unwrap_or_default())
    }
}

struct Typing(bool);

impl Form for Typing {
    fn read(f: &mut Fields) -> Self {
        Self(f.boolean("is_typing").or(true))
    }
}

struct Changed(i64, String);

impl Form for Changed {
    fn read(f: &mut Fields) -> Self {
        Self(f.integer("message_id").required(), text(f))
    }
}

struct Named(i64);

impl Form for Named {
    fn read(f: &mut Fields) -> Self {
        Self(f.integer("message_id").required())
    }
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum Outgoing {
    #[serde(rename = "chat_message")]
    Message(Box<ChatMessage>),
    #[serde(rename = "message_edited")]
    Edited(Edited),
    #[serde(rename = "message_deleted")]
    Deleted(Deleted),
    #[serde(rename = "message_delivered")]
    Delivered { message_id: i64, user_id: i64, room_id: String, delivered_at: String },
    #[serde(rename = "messages_read")]
    Read { message_ids: Vec<i64>, user_id: i64, room_id: String, read_at: String },
    #[serde(rename = "typing")]
    Typing { user_id: i64, room_id: String, is_typing: bool },
    #[serde(rename = "live")]
    Live {
        /// Absent on an inbox.
        #[serde(skip_serializing_if = "Option::is_none")]
        room_id: Option<String>,
        change: i64,
    },
    #[serde(rename = "room_changed")]
    Room { room_id: String, name: String, participants_ids: Vec<i64>, admins_ids: Vec<i64> },
    #[serde(rename = "removed_from_room")]
    Removed { room_id: String },
    #[serde(rename = "moderation_warning")]
    Warning {
        message_id: i64,
        room_id: String,
        reasons: Vec<String>,
        infractions: i32,
        limit: i32,
        restricted_until: Option<String>,
    },
    #[serde(rename = "presence.online")]
    Online { user_id: i64 },
    #[serde(rename = "presence.offline")]
    Offline { user_id: i64, last_seen: Option<String> },
    #[serde(rename = "online_users_list")]
    OnlineUsers { users: Vec<i64> },
    #[serde(rename = "pong")]
    Pong,
    #[serde(rename = "error")]
    Error {
        /// `bad_frame`, `too_large`, `rate_limited`, …
        code: String,
        message: String,
        client_msg_id: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<i64>,
    },
    #[serde(rename = "server_shutdown")]
    Shutdown { closes_in_ms: u64 },
}

/// A message, under every name that any version of the original gave its parts.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ChatMessageFrame)]
pub struct ChatMessage {
    message_id: i64,
    id: i64,
    sender_id: Option<i64>,
    text: String,
    content: String,
    message: String,
    room_id: String,
    room: String,
    media_id: Option<i64>,
    timestamp: String,
    #[schema(value_type = Option<String>)]
    client_msg_id: Option<Value>,
    /// The sender's first name; null when nobody can say.
    username: Option<String>,
    media_url: Option<String>,
    /// Of a voice note: loudness at even distances.
    media_spectrum: Option<Vec<f64>>,
    receipts: Vec<Receipt>,
    /// Its place in the room: 1, 2, 3 …
    sequence: i64,
    /// The room's change that made it what it is.
    change: i64,
    /// The `sequence` of the message it answers.
    reply_to: Option<i64>,
    edited_at: Option<String>,
    deleted_at: Option<String>,
}

/// What stands beside a message and is not `chat`'s.
#[derive(Debug, Default)]
pub struct Beside {
    pub username: Option<String>,
    pub media_url: Option<String>,
    /// What the file says of itself.
    pub description: Option<String>,
}

/// Another text.
#[derive(Debug, Serialize)]
pub struct Edited {
    message_id: i64,
    room_id: String,
    text: String,
    content: String,
    edited_at: Option<String>,
    /// The platform took its words away because they told contact details.
    censored: bool,
    sequence: i64,
    change: i64,
}

/// A message that is gone.
#[derive(Debug, Serialize)]
pub struct Deleted {
    message_id: i64,
    room_id: String,
    deleted_at: String,
    sequence: i64,
    change: i64,
}

impl ChatMessage {
    pub fn of(message: v1::Message, beside: Beside) -> Self {
        let room = message.room_number.to_string();
        Self {
            message_id: message.number,
            id: message.number,
            sender_id: some(message.sender_number),
            content: message.text.clone(),
            message: message.text.clone(),
            text: message.text,
            room_id: room.clone(),
            room,
            media_id: some(message.media_number),
            timestamp: offset_time(message.created_at),
            client_msg_id: names::shown(&message.client_msg_id),
            username: beside.username,
            media_spectrum: spectrum(&message.waveform, beside.description.as_deref()),
            media_url: beside.media_url,
            receipts: message.receipts.iter().map(Receipt::of).collect(),
            sequence: message.sequence,
            change: message.change,
            reply_to: some(message.reply_to),
            edited_at: message.edited_at.map(|at| offset_time(Some(at))),
            deleted_at: message.deleted_at.map(|at| offset_time(Some(at))),
        }
    }

    /// With what the edge remembers of people and files, or finds out quickly.
    pub async fn shown(edge: &Edge, base: &Base, message: v1::Message) -> Self {
        let (name, file) = tokio::join!(edge.name_of(&message.sender_id), edge.file_of(&message.media_id));
        let path = file.as_ref().and_then(|file| file.path.as_deref());
        let beside = Beside {
            username: name.map(|name| name.to_string()),
            media_url: path.map(|path| base.absolute(path)),
            description: file.and_then(|file| file.description.clone()),
        };
        Self::of(message, beside)
    }
}

impl Outgoing {
    /// What a frame of `chat` says, but for new messages, which show what `chat` does not know.
    pub fn of(frame: ServerFrame) -> Vec<Self> {
        let room_id = frame.room_number.to_string();
        let Some(heard) = frame.frame else { return Vec::new() };
        vec![match heard {
            Heard::Changed(message) => Self::changed(message),
            Heard::Receipt(news) => return Self::receipt(news, room_id),
            Heard::Typing(typing) => Self::Typing { user_id: typing.user_number, room_id, is_typing: typing.active },
            Heard::Presence(presence) if presence.online => Self::Online { user_id: presence.user_number },
            Heard::Presence(presence) => Self::Offline {
                user_id: presence.user_number,
                last_seen: presence.last_seen_at.map(|at| time(Some(at))),
            },
            Heard::Live(live) => {
                Self::Live { room_id: Some(room_id).filter(|_| frame.room_number != 0), change: live.change }
            }
            Heard::Room(room) => Self::Room {
                room_id: room.number.to_string(),
                name: room.name,
                participants_ids: room.members.iter().map(|member| member.user_number).collect(),
                admins_ids: room
                    .members
                    .iter()
                    .filter(|member| member.admin)
                    .map(|member| member.user_number)
                    .collect(),
            },
            Heard::Removed(_) => Self::Removed { room_id },
            Heard::Warning(warning) => Self::Warning {
                message_id: warning.message_number,
                room_id,
                reasons: warning.reasons,
                infractions: warning.infractions,
                limit: warning.limit,
                restricted_until: warning.banned_until.map(|at| time(Some(at))),
            },
            Heard::Error(error) => Self::error(error),
            Heard::Online(online) => {
                Self::OnlineUsers { users: online.people.iter().map(|person| person.user_number).collect() }
            }
            // The bridge has answered pings and ends itself.
            Heard::Message(_) | Heard::Opened(_) | Heard::Pong(_) | Heard::Closing(_) => return Vec::new(),
        }]
    }

    fn changed(message: v1::Message) -> Self {
        let (message_id, room_id) = (message.number, message.room_number.to_string());
        let (sequence, change) = (message.sequence, message.change);
        match message.deleted_at {
            Some(at) => {
                Self::Deleted(Deleted { message_id, room_id, deleted_at: offset_time(Some(at)), sequence, change })
            }
            None => Self::Edited(Edited {
                message_id,
                room_id,
                content: message.text.clone(),
                text: message.text,
                edited_at: message.edited_at.map(|at| offset_time(Some(at))),
                censored: message.censored,
                sequence,
                change,
            }),
        }
    }

    fn receipt(news: ReceiptNews, room_id: String) -> Vec<Self> {
        let at = offset_time(news.at);
        if news.read {
            return vec![Self::Read { message_ids: news.numbers, user_id: news.user_number, room_id, read_at: at }];
        }
        let delivered = |message_id| Self::Delivered {
            message_id,
            user_id: news.user_number,
            room_id: room_id.clone(),
            delivered_at: at.clone(),
        };
        news.numbers.into_iter().map(delivered).collect()
    }

    fn error(error: FrameError) -> Self {
        let code = match error.reason.as_str() {
            "NOT_A_MEMBER" => "not_participant".to_owned(),
            "INVALID_FIELDS" => "bad_frame".to_owned(),
            other => other.to_ascii_lowercase(),
        };
        Self::Error {
            code,
            message: error.message,
            client_msg_id: names::shown(&error.client_msg_id),
            retry_after_ms: some(error.retry_after_ms),
        }
    }

    /// A mistake that the edge noticed itself.
    pub fn refusal(code: &str, message: &str, client_msg_id: Option<Value>) -> Self {
        Self::Error { code: code.to_owned(), message: message.to_owned(), client_msg_id, retry_after_ms: None }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Message(_) => "chat_message",
            Self::Edited(_) => "message_edited",
            Self::Deleted(_) => "message_deleted",
            Self::Delivered { .. } => "message_delivered",
            Self::Read { .. } => "messages_read",
            Self::Typing { .. } => "typing",
            Self::Live { .. } => "live",
            Self::Room { .. } => "room_changed",
            Self::Removed { .. } => "removed_from_room",
            Self::Warning { .. } => "moderation_warning",
            Self::Online { .. } => "presence.online",
            Self::Offline { .. } => "presence.offline",
            Self::OnlineUsers { .. } => "online_users_list",
            Self::Pong => "pong",
            Self::Error { .. } => "error",
            Self::Shutdown { .. } => "server_shutdown",
        }
    }
}

impl From<Outgoing> for Out {
    fn from(frame: Outgoing) -> Self {
        let text = serde_json::to_string(&frame).expect("names and values that JSON knows");
        Self { kind: frame.kind(), text }
    }
}

/// A voice note's loudness: what came with the message, or what its file's description holds.
pub fn spectrum(waveform: &[f32], description: Option<&str>) -> Option<Vec<f64>> {
    if !waveform.is_empty() {
        // As short as it was written: 0.1 and not 0.10000000149011612.
        return Some(waveform.iter().map(|value| value.to_string().parse().unwrap_or_default()).collect());
    }
    let described: Value = serde_json::from_str(description?).ok()?;
    let array = match &described {
        Value::Array(values) => values,
        Value::Object(object) => {
            let mut named = ["spectrum", "media_spectrum", "audio_spectrum", "bins"].iter();
            let named = named.find_map(|name| object.get(*name)?.as_array());
            named.or_else(|| object.values().find_map(Value::as_array))?
        }
        _ => return None,
    };
    array.iter().map(Value::as_f64).collect()
}

/// The other way round, as loosely as clients write it; nothing of what is none.
pub fn waveform(given: &Value) -> Vec<f32> {
    let parsed;
    let array = match given {
        Value::Array(values) => values,
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Array(values)) => {
                parsed = values;
                &parsed
            }
            _ => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    let values: Option<Vec<f32>> = array.iter().take(MOST_VALUES).map(|value| Some(value.as_f64()? as f32)).collect();
    values.unwrap_or_default().into_iter().map(|value| value.clamp(0.0, 1.0)).collect()
}

#[cfg(test)]
mod tests;
