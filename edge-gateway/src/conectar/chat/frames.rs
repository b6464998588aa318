//! What goes over Conectar's sockets: the frames of the original's module, and others named like them for what it did not
//! know: edits, deletions, deliveries, coming back.

use prost_types::Timestamp;
use proto::chat::v1::client_frame::Frame as Said;
use proto::chat::v1::server_frame::Frame as Heard;
use proto::chat::v1::{self, Delete, Draft, Edit, FrameError, Read, ReceiptNews, Send, ServerFrame, Typing};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::conectar::chat::moderation::noted;
use crate::conectar::chat::{LONGEST, kind, message, some, words};
use crate::conectar::time;
use crate::form::{Fields, Form, Habits};
use crate::socket::{Out, names};

/// What the document says of frames.
pub const ABOUT: &str = "\
Sockets: `/ws/chat/{id}?token=`, under every prefix. Frames are JSON objects with a `type`. What makes no sense is \
answered by an `error` with `message` and `code` and closes nothing, unless it has more than 256 KiB or is no UTF-8; a \
`type` that nobody knows is ignored. Who is not let in is closed with 1008.

A client says `message` (`content`, `media_id`, `reply_to`, `client_msg_id`: the same name again is the same message), \
`typing` (`is_typing`), `read` (`message_id`; all without), `edit` (`message_id`, `content`), `delete` (`message_id`), \
`ping`.

It hears `new_message` (also its own: then it is stored), `message_read`, `message_delivered`, `message_edited`, \
`message_deleted`, `typing_indicator`, `user_connected`, `user_disconnected`, `pong`; `infraction` when a message of its \
own told contact details and was censored (`infracciones`, `is_chat_banned`); `live` when everything missed has been \
told, also after opening; `server_shutdown` before the socket is closed with 1001. Other close codes: 4401 the session \
ended, 4403 chat is restricted, 1009 a frame too large, 1007 no UTF-8, 1002 no frame, 1013 too slow or `chat` is away, \
1000 after a day. Who answers no ping for 90 seconds is given up without a word (1006).

Who comes back with `?since=` the last `change`, or `?after=` the last `sequence`, hears first what they missed.";

/// What a client says.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    Message(Draft),
    Typing(bool),
    Read(Option<Uuid>),
    Edit(Uuid, String),
    Delete(Uuid),
    Ping,
    Unknown,
}

/// A frame without sense: what is wrong, and the name of the message that it may have been.
#[derive(Debug, PartialEq)]
pub struct Senseless(pub &'static str, pub Option<Value>);

const NO_OBJECT: &str = "El mensaje no es un objeto JSON";
const WRONG_FIELDS: &str = "El mensaje tiene campos que faltan o no son válidos";

impl Incoming {
    pub fn read(text: &str) -> Result<Self, Senseless> {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else { return Err(Senseless(NO_OBJECT, None)) };
        let name = object.get("client_msg_id").filter(|name| !name.is_null()).cloned();
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let f = Fields::json(Habits::Pydantic, object);
        let read = match kind.as_str() {
            "message" => f.read().map(|NewMessage(draft)| Self::Message(draft)),
            "typing" => f.read().map(|Writing(active)| Self::Typing(active)),
            "read" => f.read().map(|Seen(id)| Self::Read(id)),
            "edit" => f.read().map(|Changed(id, text)| Self::Edit(id, text)),
            "delete" => f.read().map(|Named(id)| Self::Delete(id)),
            "ping" => Ok(Self::Ping),
            _ => Ok(Self::Unknown),
        };
        read.map_err(|_| Senseless(WRONG_FIELDS, name))
    }

    /// For metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Typing(_) => "typing",
            Self::Read(_) => "read",
            Self::Edit(..) => "edit",
            Self::Delete(_) => "delete",
            Self::Ping => "ping",
            Self::Unknown => "unknown",
        }
    }

    /// What `chat` is told. Nothing of what is answered here.
    pub fn said(self) -> Option<Said> {
        Some(match self {
            Self::Message(draft) => Said::Send(Send { draft: Some(draft), room: None }),
            Self::Typing(active) => Said::Typing(Typing { active, ..Default::default() }),
            Self::Read(id) => Said::Read(Read { ids: id.iter().map(Uuid::to_string).collect(), ..Default::default() }),
            Self::Edit(id, text) => Said::Edit(Edit { message: Some(message(id)), text }),
            Self::Delete(id) => Said::Delete(Delete { message: Some(message(id)) }),
            Self::Ping | Self::Unknown => return None,
        })
    }
}

fn text(f: &mut Fields) -> Option<String> {
    let [content, text] = ["content", "text"].map(|name| f.text(name).max(LONGEST).optional());
    content.or(text)
}

struct NewMessage(Draft);

impl Form for NewMessage {
    fn read(f: &mut Fields) -> Self {
        let media_id = f.uuid("media_id").optional();
        let text = text(f);
        if text.is_none() && media_id.is_none() {
            f.refuse("content", WRONG_FIELDS);
        }
        let reply_to = f.integer("reply_to").optional().unwrap_or_default();
        let name = f.any("client_msg_id").nullable().flatten();
        let client_msg_id = names::kept(name.as_ref()).unwrap_or_else(|names::TooLong| {
            f.refuse("client_msg_id", WRONG_FIELDS);
            String::new()
        });
        Self(Draft {
            text: text.unwrap_or_default(),
            media_id: media_id.map(|id| id.to_string()).unwrap_or_default(),
            reply_to,
            client_msg_id,
            ..Default::default()
        })
    }
}

struct Writing(bool);

impl Form for Writing {
    fn read(f: &mut Fields) -> Self {
        Self(f.boolean("is_typing").or(false))
    }
}

struct Seen(Option<Uuid>);

impl Form for Seen {
    fn read(f: &mut Fields) -> Self {
        Self(f.uuid("message_id").optional())
    }
}

struct Changed(Uuid, String);

impl Form for Changed {
    fn read(f: &mut Fields) -> Self {
        let id = f.uuid("message_id").required();
        let text = text(f).unwrap_or_else(|| {
            f.refuse("content", WRONG_FIELDS);
            String::new()
        });
        Self(id, text)
    }
}

struct Named(Uuid);

impl Form for Named {
    fn read(f: &mut Fields) -> Self {
        Self(f.uuid("message_id").required())
    }
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outgoing {
    UserConnected {
        user_id: String,
        timestamp: String,
    },
    UserDisconnected {
        user_id: String,
        timestamp: String,
    },
    NewMessage(Box<NewMessageFrame>),
    MessageEdited {
        chat_id: String,
        message_id: String,
        content: String,
        censored: bool,
        change: i64,
        timestamp: String,
    },
    MessageDeleted {
        chat_id: String,
        message_id: String,
        change: i64,
        timestamp: String,
    },
    TypingIndicator {
        user_id: String,
        is_typing: bool,
        timestamp: String,
    },
    MessageRead {
        chat_id: String,
        user_id: String,
        message_id: String,
        timestamp: String,
    },
    MessageDelivered {
        chat_id: String,
        user_id: String,
        message_id: String,
        timestamp: String,
    },
    /// To who wrote the message, and nobody else.
    Infraction {
        chat_id: String,
        message_id: String,
        razones: Vec<String>,
        infracciones: i32,
        is_chat_banned: bool,
        message: String,
        timestamp: String,
    },
    Live {
        chat_id: String,
        change: i64,
    },
    Pong,
    Error {
        message: String,
        /// `BAD_FRAME`, `CHAT_BANNED`, `RATE_LIMITED`, …
        code: String,
        client_msg_id: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<i64>,
    },
    ServerShutdown {
        closes_in_ms: u64,
    },
}

/// A message.
#[derive(Debug, Serialize)]
pub struct NewMessageFrame {
    chat_id: String,
    /// Null in notices of the platform.
    user_id: Option<String>,
    message_id: String,
    content: String,
    timestamp: String,
    client_msg_id: Option<Value>,
    /// `text`, `image`, `file`, `voice` or `system`.
    message_type: &'static str,
    media_id: Option<String>,
    censored: bool,
    deleted: bool,
    /// Its place in the conversation, and the conversation's change; for coming back.
    sequence: i64,
    change: i64,
    reply_to: Option<i64>,
}

impl Outgoing {
    /// What a frame of `chat` says; `now` stands where `chat` names no moment.
    pub fn of(frame: ServerFrame, now: Timestamp) -> Vec<Self> {
        // Not the message's own: from the frame's one may come back without missing anything.
        let (chat_id, change) = (frame.room_id, frame.change);
        let now = || time(Some(now));
        let Some(heard) = frame.frame else { return Vec::new() };
        vec![match heard {
            Heard::Message(message) => {
                Self::NewMessage(Box::new(NewMessageFrame { change, ..NewMessageFrame::of(message) }))
            }
            Heard::Changed(message) => Self::changed(message, change),
            Heard::Receipt(news) => return Self::receipt(news, &chat_id),
            Heard::Typing(typing) => {
                Self::TypingIndicator { user_id: typing.user_id, is_typing: typing.active, timestamp: now() }
            }
            Heard::Presence(presence) if presence.online => {
                Self::UserConnected { user_id: presence.user_id, timestamp: now() }
            }
            Heard::Presence(presence) => Self::UserDisconnected {
                user_id: presence.user_id,
                timestamp: presence.last_seen_at.map_or_else(now, |at| time(Some(at))),
            },
            Heard::Warning(warning) => Self::infraction(warning, chat_id, now()),
            Heard::Live(live) => Self::Live { chat_id, change: live.change },
            Heard::Error(error) => Self::error(error),
            // A conversation has two people and no name, and the bridge sees to the rest.
            Heard::Room(_)
            | Heard::Online(_)
            | Heard::Opened(_)
            | Heard::Pong(_)
            | Heard::Removed(_)
            | Heard::Closing(_) => {
                return Vec::new();
            }
        }]
    }

    fn changed(message: v1::Message, change: i64) -> Self {
        let (content, censored) = (words(&message), message.censored);
        let (chat_id, message_id) = (message.room_id, message.id);
        match message.deleted_at {
            Some(at) => Self::MessageDeleted { chat_id, message_id, change, timestamp: time(Some(at)) },
            None => {
                let timestamp = time(message.edited_at.or(message.created_at));
                Self::MessageEdited { chat_id, message_id, content, censored, change, timestamp }
            }
        }
    }

    fn infraction(warning: v1::Warning, chat_id: String, timestamp: String) -> Self {
        let (infracciones, is_chat_banned) = (warning.infractions, warning.banned_until.is_some());
        let (message_id, razones) = (warning.message_id, warning.reasons);
        let message = noted(infracciones, is_chat_banned);
        Self::Infraction { chat_id, message_id, razones, infracciones, is_chat_banned, message, timestamp }
    }

    fn receipt(news: ReceiptNews, chat_id: &str) -> Vec<Self> {
        let (user_id, timestamp) = (news.user_id, time(news.at));
        let told = |message_id| {
            let (chat_id, user_id, timestamp) = (chat_id.to_owned(), user_id.clone(), timestamp.clone());
            if news.read {
                Self::MessageRead { chat_id, user_id, message_id, timestamp }
            } else {
                Self::MessageDelivered { chat_id, user_id, message_id, timestamp }
            }
        };
        news.ids.into_iter().map(told).collect()
    }

    fn error(error: FrameError) -> Self {
        let message = match error.reason.as_str() {
            "RATE_LIMITED" => "Demasiados mensajes. Espera unos segundos.",
            "CHAT_BANNED" => "Tu acceso al chat está restringido",
            "BLOCKED" => "No puedes escribir a este usuario",
            "NOT_A_MEMBER" | "ROOM_NOT_FOUND" => "No tienes acceso a esta conversación",
            "MESSAGE_NOT_FOUND" => "Mensaje no encontrado",
            "NOT_YOURS" => "No tienes permiso para realizar esta acción",
            "INVALID_MEDIA" => "Archivo no encontrado",
            _ => "No se pudo procesar el mensaje",
        };
        Self::Error {
            message: message.to_owned(),
            client_msg_id: names::shown(&error.client_msg_id),
            retry_after_ms: Some(error.retry_after_ms).filter(|wait| *wait != 0),
            code: error.reason,
        }
    }

    /// A mistake that the edge noticed itself.
    pub fn refusal(code: &str, message: &str, client_msg_id: Option<Value>) -> Self {
        Self::Error { code: code.to_owned(), message: message.to_owned(), client_msg_id, retry_after_ms: None }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::UserConnected { .. } => "user_connected",
            Self::UserDisconnected { .. } => "user_disconnected",
            Self::NewMessage(_) => "new_message",
            Self::MessageEdited { .. } => "message_edited",
            Self::MessageDeleted { .. } => "message_deleted",
            Self::TypingIndicator { .. } => "typing_indicator",
            Self::MessageRead { .. } => "message_read",
            Self::MessageDelivered { .. } => "message_delivered",
            Self::Infraction { .. } => "infraction",
            Self::Live { .. } => "live",
            Self::Pong => "pong",
            Self::Error { .. } => "error",
            Self::ServerShutdown { .. } => "server_shutdown",
        }
    }
}

impl NewMessageFrame {
    fn of(message: v1::Message) -> Self {
        Self {
            user_id: some(&message.sender_id),
            content: words(&message),
            timestamp: time(message.created_at),
            client_msg_id: names::shown(&message.client_msg_id),
            message_type: kind(&message),
            media_id: some(&message.media_id),
            censored: message.censored,
            deleted: message.deleted_at.is_some(),
            sequence: message.sequence,
            change: message.change,
            reply_to: Some(message.reply_to).filter(|sequence| *sequence != 0),
            chat_id: message.room_id,
            message_id: message.id,
        }
    }
}

impl From<Outgoing> for Out {
    fn from(frame: Outgoing) -> Self {
        let text = serde_json::to_string(&frame).expect("names and values that JSON knows");
        Self { kind: frame.kind(), text }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::chat::v1::{Live, Presence};
    use serde_json::json;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);
    const AT: Timestamp = Timestamp { seconds: 1_763_836_440, nanos: 123_000_000 };

    fn read(frame: Value) -> Result<Incoming, Senseless> {
        Incoming::read(&frame.to_string())
    }

    #[test]
    fn frames_are_understood() {
        let draft = |text: &str| Draft { text: text.to_owned(), ..Draft::default() };
        for (frame, expected) in [
            (json!({"type": "message", "content": "Hola"}), Incoming::Message(draft("Hola"))),
            (json!({"type": "message", "text": " Hola "}), Incoming::Message(draft("Hola"))),
            (json!({"type": "typing"}), Incoming::Typing(false)),
            (json!({"type": "typing", "is_typing": true}), Incoming::Typing(true)),
            (json!({"type": "read", "message_id": ID}), Incoming::Read(Some(ID))),
            (json!({"type": "read"}), Incoming::Read(None)),
            (json!({"type": "edit", "message_id": ID, "content": "Otra"}), Incoming::Edit(ID, "Otra".to_owned())),
            (json!({"type": "delete", "message_id": ID}), Incoming::Delete(ID)),
            (json!({"type": "ping"}), Incoming::Ping),
            (json!({"type": "dance"}), Incoming::Unknown),
            (json!({"content": "Hola"}), Incoming::Unknown),
        ] {
            assert_eq!(read(frame), Ok(expected));
        }
    }

    #[test]
    fn frames_without_sense_are_answered() {
        assert_eq!(Incoming::read("{"), Err(Senseless(NO_OBJECT, None)));
        assert_eq!(read(json!(["ping"])), Err(Senseless(NO_OBJECT, None)));
        for frame in [
            json!({"type": "message"}),
            json!({"type": "message", "content": ""}),
            json!({"type": "message", "content": "x".repeat(2001)}),
            json!({"type": "delete", "message_id": "7"}),
            json!({"type": "read", "message_id": "tmp_1"}),
            json!({"type": "read", "message_id": 7}),
            json!({"type": "typing", "is_typing": "zz"}),
            json!({"type": "edit", "message_id": ID}),
        ] {
            assert_eq!(read(frame), Err(Senseless(WRONG_FIELDS, None)));
        }
    }

    fn of(frame: Heard) -> Vec<Value> {
        let frame = ServerFrame { room_id: "r".to_owned(), change: 5, frame: Some(frame), ..ServerFrame::default() };
        Outgoing::of(frame, AT).into_iter().map(|out| serde_json::from_str(&Out::from(out).text).unwrap()).collect()
    }

    #[test]
    fn what_happens_is_told() {
        let at = "2025-11-22T18:34:00.123Z";
        let stored = v1::Message {
            id: "m".to_owned(),
            room_id: "r".to_owned(),
            sender_id: "u".to_owned(),
            text: "Hola".to_owned(),
            created_at: Some(AT),
            sequence: 3,
            change: 5,
            ..Default::default()
        };
        let presence = |online| Heard::Presence(Presence { user_id: "u".to_owned(), online, ..Presence::default() });
        let news = |read| {
            let ids = vec!["m".to_owned()];
            Heard::Receipt(ReceiptNews { user_id: "u".to_owned(), read, ids, at: Some(AT), ..Default::default() })
        };
        let edited = v1::Message { edited_at: Some(AT), censored: true, text: String::new(), ..stored.clone() };
        let deleted = v1::Message { deleted_at: Some(AT), ..stored.clone() };
        let censored = "*** Mensaje bloqueado por incluir datos de contacto ***";
        for (frame, expected) in [
            (
                Heard::Message(stored),
                json!({
                    "type": "new_message", "chat_id": "r", "user_id": "u", "message_id": "m", "content": "Hola",
                    "timestamp": at, "client_msg_id": null, "message_type": "text", "media_id": null,
                    "censored": false, "deleted": false, "sequence": 3, "change": 5, "reply_to": null,
                }),
            ),
            (
                Heard::Changed(edited),
                json!({
                    "type": "message_edited", "chat_id": "r", "message_id": "m", "content": censored,
                    "censored": true, "change": 5, "timestamp": at,
                }),
            ),
            (
                Heard::Changed(deleted),
                json!({"type": "message_deleted", "chat_id": "r", "message_id": "m", "change": 5, "timestamp": at}),
            ),
            (presence(true), json!({"type": "user_connected", "user_id": "u", "timestamp": at})),
            (presence(false), json!({"type": "user_disconnected", "user_id": "u", "timestamp": at})),
            (
                Heard::Typing(Typing { user_id: "u".to_owned(), active: true, ..Default::default() }),
                json!({"type": "typing_indicator", "user_id": "u", "is_typing": true, "timestamp": at}),
            ),
            (
                news(true),
                json!({"type": "message_read", "chat_id": "r", "user_id": "u", "message_id": "m", "timestamp": at}),
            ),
            (
                news(false),
                json!({
                    "type": "message_delivered", "chat_id": "r", "user_id": "u", "message_id": "m", "timestamp": at,
                }),
            ),
            (
                Heard::Warning(v1::Warning {
                    message_id: "m".to_owned(),
                    reasons: vec!["PHONE".to_owned()],
                    infractions: 1,
                    limit: 3,
                    ..Default::default()
                }),
                json!({
                    "type": "infraction", "chat_id": "r", "message_id": "m", "razones": ["PHONE"], "infracciones": 1,
                    "is_chat_banned": false, "message": "Infracción registrada. Total: 1", "timestamp": at,
                }),
            ),
            (Heard::Live(Live { change: 5 }), json!({"type": "live", "chat_id": "r", "change": 5})),
            (
                Heard::Error(FrameError { reason: "CHAT_BANNED".to_owned(), ..Default::default() }),
                json!({
                    "type": "error", "message": "Tu acceso al chat está restringido", "code": "CHAT_BANNED",
                    "client_msg_id": null,
                }),
            ),
        ] {
            assert_eq!(of(frame), [expected]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_makes_the_reader_panic(text: String, kind in "message|typing|read|edit|delete") {
            let _ = Incoming::read(&text);
            let frame = json!({"type": kind, "content": text, "message_id": text, "is_typing": text});
            let _ = Incoming::read(&frame.to_string());
        }
    }
}
