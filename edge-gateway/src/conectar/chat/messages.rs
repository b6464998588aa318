//! Messages of a conversation. Whatever was said of contact details is censored before it is stored.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use prost_types::Timestamp;
use proto::chat::v1::{self, DeleteMessageRequest, Draft, EditMessageRequest, ListMessagesRequest, SendMessageRequest};
use serde_json::Value;
use uuid::Uuid;

use crate::Edge;
use crate::conectar::chat::{Id, LONGEST, MessageRead, kinds, message, room, shown};
use crate::conectar::{Conectar, On, Result};
use crate::form::{Fields, Form, Wrong};
use crate::input::{Input, Path, Query};
use crate::routes::{Created, NoContent};
use crate::socket::names;

/// Which part of a conversation.
pub struct Window {
    limit: i64,
    before: Option<i64>,
}

impl Form for Window {
    fn read(f: &mut Fields) -> Self {
        Self {
            limit: f.integer("limit").between(1, 100).describe("1 to 100, 50 unless given").or(50),
            // No later than the year 9999, which is as far as moments reach.
            before: f
                .integer("before")
                .between(0, 253_402_300_799_000)
                .describe("Only those sent before this moment, in milliseconds since 1970")
                .optional(),
        }
    }
}

/// The latest, oldest first.
pub async fn list(
    State(edge): State<Conectar>,
    _: Caller,
    Path(Id(id)): Path<Id>,
    Query(window): Query<Window>,
) -> Result<Json<Vec<MessageRead>>> {
    let moment = |millis: i64| Timestamp { seconds: millis / 1000, nanos: (millis % 1000) as i32 * 1_000_000 };
    let request = ListMessagesRequest {
        room_id: id.to_string(),
        kinds: kinds(),
        sent_before: window.before.map(moment),
        newest_first: true,
        page_size: window.limit as i32,
        ..Default::default()
    };
    let mut messages = edge.messages().list_messages(request).await?.into_inner().messages;
    messages.reverse();
    Ok(Json(shown(&edge, &messages).await))
}

/// What to say.
pub struct NewMessage {
    text: String,
    media: Option<Uuid>,
    name: String,
}

impl Form for NewMessage {
    fn read(f: &mut Fields) -> Self {
        let media = f.uuid("media_id").describe("A file of the caller's").optional();
        let text = text(f, media.is_none());
        f.text("type").blank().describe("What it is; found out anyway").optional();
        let name = f.any("client_msg_id").describe("What makes a repeat of this message one").nullable().flatten();
        Self { text, media, name: kept(f, name) }
    }
}

fn text(f: &mut Fields, required: bool) -> String {
    let [content, text] = ["content", "text"].map(|name| f.text(name).max(LONGEST).optional());
    let given = content.or(text);
    if given.is_none() && required && f.sound() {
        f.fault("content", Wrong::Required);
    }
    given.unwrap_or_default()
}

fn kept(f: &mut Fields, name: Option<Value>) -> String {
    names::kept(name.as_ref()).unwrap_or_else(|names::TooLong| {
        let number = name.is_some_and(|name| name.is_number());
        let inexact = || Wrong::Said("debe ser un texto: un número tan grande pierde cifras".into());
        f.fault("client_msg_id", if number { inexact() } else { Wrong::TooLong(200) });
        String::new()
    })
}

async fn send(edge: &Edge, id: Uuid, form: NewMessage) -> Result<MessageRead> {
    let draft = Draft {
        text: form.text,
        media_id: form.media.map(|id| id.to_string()).unwrap_or_default(),
        client_msg_id: form.name,
        ..Default::default()
    };
    let request = SendMessageRequest { room: Some(room(id)), draft: Some(draft) };
    let answer = edge.chat().send_message(request).await.on("INVALID_MEDIA", 404, "Archivo no encontrado")?;
    show(edge, answer.into_inner().message.unwrap_or_default()).await
}

async fn show(edge: &Edge, message: v1::Message) -> Result<MessageRead> {
    let shown = shown(edge, std::slice::from_ref(&message)).await.pop();
    Ok(shown.expect("one message is shown as one"))
}

pub async fn create(
    State(edge): State<Conectar>,
    _: Caller,
    Path(Id(id)): Path<Id>,
    Input(form): Input<NewMessage>,
) -> Result<Json<MessageRead>> {
    Ok(Json(send(&edge, id, form).await?))
}

/// As [`create`], with the status that the design gave it.
pub async fn create_201(
    State(edge): State<Conectar>,
    _: Caller,
    Path(Id(id)): Path<Id>,
    Input(form): Input<NewMessage>,
) -> Result<Created<MessageRead>> {
    Ok(Created(send(&edge, id, form).await?))
}

/// A message that names its conversation.
pub struct Addressed(Uuid, NewMessage);

impl Form for Addressed {
    fn read(f: &mut Fields) -> Self {
        Self(f.uuid("chat_id").required(), NewMessage::read(f))
    }
}

pub async fn create_addressed(
    State(edge): State<Conectar>,
    _: Caller,
    Input(Addressed(id, form)): Input<Addressed>,
) -> Result<Json<MessageRead>> {
    Ok(Json(send(&edge, id, form).await?))
}

/// Other words.
pub struct Change(String);

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        Self(text(f, true))
    }
}

pub async fn update(
    State(edge): State<Conectar>,
    _: Caller,
    Path(Id(id)): Path<Id>,
    Input(Change(text)): Input<Change>,
) -> Result<Json<MessageRead>> {
    let request = EditMessageRequest { message: Some(message(id)), text };
    let message = edge.messages().edit_message(request).await?.into_inner();
    Ok(Json(show(&edge, message).await?))
}

pub async fn delete(State(edge): State<Conectar>, _: Caller, Path(Id(id)): Path<Id>) -> Result<NoContent> {
    edge.messages().delete_message(DeleteMessageRequest { message: Some(message(id)) }).await?;
    Ok(NoContent)
}
