//! Messages: history, sending, changing, receipts. Reading history marks nothing as read.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kit::identity::Caller;
use proto::chat::v1::{
    self, DeleteMessageRequest, Draft, EditMessageRequest, GetMessageRequest, ListMessagesRequest, ListVersionsRequest,
    MarkReadRequest, SearchMessagesRequest, SendMessageRequest,
};
use proto::media::v1::{Folder, UploadHeader};
use serde::Serialize;
use serde_json::Value;
use tonic::{Code, Status};
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::chat::frames::{self, ChatMessage};
use crate::agrovet::chat::{
    Beside, Message, NO_SUCH_ROOM, ROOM_IS_A_NUMBER, Receipt, existing, hidden, kinds, message, room, room_named, shown,
};
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::users::{Staff, drop_file, take_back};
use crate::agrovet::{Agrovet, Error, On, Result, time};
use crate::form::{Fields, Form, Wrong};
use crate::input::{Input, Path, Query};
use crate::routes::{Created, Describe, NoContent, Operation};
use crate::socket::names;
use crate::upload::File;

/// Characters of a message.
pub const LONGEST: usize = 8_000;
/// Bytes of a file that comes with its message.
const LARGEST: i64 = 10 << 20;
const TOO_LONG: &str = "Asegúrese de que este campo no tenga más de 200 caracteres.";
const INEXACT: &str = "Un número tan grande pierde cifras. Envíelo como texto.";

/// `?room=`.
pub struct InRoom(Option<String>);

impl Form for InRoom {
    fn read(f: &mut Fields) -> Self {
        Self(f.text("room").describe("Only of this room").optional())
    }
}

/// Oldest first. A room that the caller is not in looks like one without messages.
pub async fn list(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    page: Page,
    Query(InRoom(named)): Query<InRoom>,
) -> Result<Json<Paged<Message>>> {
    let room_number = match named {
        Some(named) => room_named(Some(Value::String(named)), ROOM_IS_A_NUMBER)?,
        None => 0,
    };
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListMessagesRequest { room_number, kinds: kinds(), page_size, skip, ..Default::default() };
            let mut messages = edge.messages();
            async move {
                match messages.list_messages(request).await {
                    Ok(answer) => Ok(answer.into_inner()).map(|answer| (answer.messages, answer.total_size)),
                    Err(refusal) if matches!(refusal.code(), Code::NotFound | Code::PermissionDenied) => {
                        Ok((Vec::new(), 0))
                    }
                    Err(refusal) => Err(refusal),
                }
            }
        })
        .await?;
    Ok(Json(paged.map_all(async |messages| shown(&edge, base, messages).await).await))
}

/// Where in a room's history, instead of a page.
pub struct Cursor {
    before: Option<i64>,
    after: Option<i64>,
    limit: i64,
}

impl Form for Cursor {
    fn read(f: &mut Fields) -> Self {
        Self {
            before: f.integer("before").describe("Those before this message").optional(),
            after: f.integer("after").describe("Those after this message").optional(),
            limit: f
                .integer("limit")
                .describe("With `before` or `after`: 1 to 100, 50 unless given")
                .or(50)
                .clamp(1, 100),
        }
    }
}

/// Messages before or after one.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatHistory)]
pub struct History {
    results: Vec<Message>,
    /// Whether there are more in that direction.
    has_more: bool,
}

/// A page of history, or what stands around a message.
pub enum Stretch {
    Page(Paged<Message>),
    Around(History),
}

impl IntoResponse for Stretch {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => Json(page).into_response(),
            Self::Around(history) => Json(history).into_response(),
        }
    }
}

impl Describe for Stretch {
    fn describe(operation: &mut Operation) {
        operation.json::<History>("2XX", "With `before` or `after`");
        operation.json::<Paged<Message>>("200", "By page");
    }
}

/// By page the newest come first, and oldest first within each.
pub async fn of_room(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Path(room_number): Path<i64>,
    page: Page,
    Query(cursor): Query<Cursor>,
) -> Result<Stretch> {
    let room_number = existing(room_number);
    if cursor.before.is_some() || cursor.after.is_some() {
        return Ok(Stretch::Around(around(&edge, base, room_number, cursor).await?));
    }
    let paged = page
        .fetch(|page_size, skip| {
            let kinds = kinds();
            let request =
                ListMessagesRequest { room_number, kinds, newest_first: true, page_size, skip, ..Default::default() };
            let mut messages = edge.messages();
            async move {
                let answer = messages.list_messages(request).await?.into_inner();
                Ok((answer.messages, answer.total_size))
            }
        })
        .await
        .map_err(hidden)?;
    let show = async |mut messages: Vec<v1::Message>| {
        messages.reverse();
        shown(&edge, base, messages).await
    };
    Ok(Stretch::Page(paged.map_all(show).await))
}

async fn around(edge: &Edge, base: Base, room_number: i64, cursor: Cursor) -> Result<History> {
    let newest_first = cursor.after.is_none();
    let request = ListMessagesRequest {
        room_number,
        kinds: kinds(),
        after: sequence_of(edge, room_number, cursor.after).await?,
        before: sequence_of(edge, room_number, cursor.before).await?,
        newest_first,
        page_size: cursor.limit as i32,
        ..Default::default()
    };
    let answer = edge.messages().list_messages(request).await.map_err(hidden)?.into_inner();
    let mut messages = answer.messages;
    if newest_first {
        messages.reverse();
    }
    Ok(History { has_more: !answer.next_page_token.is_empty(), results: shown(edge, base, messages).await })
}

/// Where a message stands in its room.
async fn sequence_of(edge: &Edge, room_number: i64, number: Option<i64>) -> Result<Option<i64>> {
    let Some(number) = number else { return Ok(None) };
    let found = fetch(edge, number).await?;
    if found.room_number == room_number { Ok(Some(found.sequence)) } else { Err(no_such_message().into()) }
}

fn no_such_message() -> kit::Error {
    kit::error::not_found("MESSAGE_NOT_FOUND", "it is in another room")
}

/// Which room, and how many.
pub struct Latest {
    room: Option<String>,
    limit: Option<String>,
}

impl Form for Latest {
    fn read(f: &mut Fields) -> Self {
        Self {
            room: f.text("room").describe("Number of the room").optional(),
            limit: f.text("limit").describe("1 to 200, 50 unless given").optional(),
        }
    }
}

/// The latest, oldest first, as a bare list.
pub async fn last_messages(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Query(Latest { room, limit }): Query<Latest>,
) -> Result<Json<Vec<Message>>> {
    let room_number = room_named(room.map(Value::String), "Se requiere 'room' query param válido.")?;
    let limit = limit.and_then(|limit| limit.parse().ok()).unwrap_or(50i64).clamp(1, 200);
    let (kinds, page_size) = (kinds(), limit as i32);
    let request = ListMessagesRequest { room_number, kinds, newest_first: true, page_size, ..Default::default() };
    let answer = edge.messages().list_messages(request).await.on("ROOM_NOT_FOUND", 404, NO_SUCH_ROOM)?;
    let mut messages = answer.into_inner().messages;
    messages.reverse();
    Ok(Json(shown(&edge, base, messages).await))
}

async fn fetch(edge: &Edge, number: i64) -> Result<v1::Message, Status> {
    Ok(edge.messages().get_message(GetMessageRequest { message: Some(message(number)) }).await?.into_inner())
}

async fn show_one(edge: &Edge, base: Base, message: v1::Message) -> Message {
    let beside = Beside::of_messages(edge, base, std::slice::from_ref(&message)).await;
    Message::of(message, &beside)
}

pub async fn retrieve(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Path(number): Path<i64>,
) -> Result<Json<Message>> {
    let message = fetch(&edge, number).await?;
    Ok(Json(show_one(&edge, base, message).await))
}

pub async fn receipts(State(edge): State<Agrovet>, _: Caller, Path(number): Path<i64>) -> Result<Json<Vec<Receipt>>> {
    let message = fetch(&edge, number).await?;
    Ok(Json(message.receipts.iter().map(Receipt::of).collect()))
}

/// A new message, with a file of its own or one that was uploaded before.
pub struct NewMessage {
    room: i64,
    text: String,
    media: Option<i64>,
    file: Option<(&'static str, File)>,
    reply_to: i64,
    spectrum: Vec<f32>,
    name: String,
}

impl Form for NewMessage {
    fn read(f: &mut Fields) -> Self {
        let room = f.integer("room").required();
        let text = f.text("content").max(LONGEST).blank().nullable().flatten().unwrap_or_default();
        let [media, older] = ["media_id", "media"].map(|name| f.reference(name).nullable().flatten());
        let image = f.file("image").describe("A picture or a voice note, at most 10 MiB").lenient();
        let file = f.file("file").describe("The same").lenient();
        let file = image.map(|file| ("image", file)).or(file.map(|file| ("file", file)));
        let reply_to = f.integer("reply_to").describe("The `sequence` of the message it answers").nullable().flatten();
        let spectrum = f.any("media_spectrum").describe("Of a voice note: loudness from 0 to 1").nullable().flatten();
        let name = f.any("client_msg_id").describe("What makes a repeat of this message one").nullable().flatten();
        let name = names::kept(name.as_ref()).unwrap_or_else(|names::TooLong| {
            f.refuse("client_msg_id", if name.is_some_and(|name| name.is_number()) { INEXACT } else { TOO_LONG });
            String::new()
        });
        let media = media.or(older);
        if text.is_empty() && media.is_none() && file.is_none() && f.sound() {
            f.fault("content", Wrong::Blank);
        }
        let spectrum = spectrum.map(|spectrum| frames::waveform(&spectrum)).unwrap_or_default();
        Self { room, text, media, file, reply_to: reply_to.unwrap_or_default(), spectrum, name }
    }
}

/// What was sent, as sockets are told of it.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatMessageSent)]
pub struct Sent {
    r#type: &'static str,
    #[serde(flatten)]
    message: ChatMessage,
}

/// The same name again answers what was stored the first time.
pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Input(form): Input<NewMessage>,
) -> Result<Created<Sent>> {
    let number = form.media.filter(|_| form.file.is_none());
    let uploaded = match form.file {
        Some((field, file)) => Some(upload(&edge, field, file).await?),
        None => None,
    };
    let draft = Draft {
        text: form.text,
        media_id: uploaded.clone().unwrap_or_default(),
        media_number: number.unwrap_or_default(),
        waveform: form.spectrum,
        reply_to: form.reply_to,
        client_msg_id: form.name,
    };
    let request = SendMessageRequest { room: Some(room(form.room)), draft: Some(draft) };
    let message = match edge.chat().send_message(request).await {
        Ok(answer) => {
            let v1::SendMessageResponse { message, created } = answer.into_inner();
            let message = message.unwrap_or_default();
            // What was stored the first time has its own file, unless only our own call was repeated.
            if let Some(id) = uploaded.filter(|id| !created && message.media_id != *id) {
                drop_file(&edge, id).await;
            }
            message
        }
        Err(refusal) => {
            take_back(&edge, uploaded, &refusal).await;
            return Err(unsent(refusal, form.room, number));
        }
    };
    let message = ChatMessage::shown(&edge, &base, message).await;
    Ok(Created(Sent { r#type: "chat.message", message }))
}

/// Stores the file of a message that is about to be sent.
async fn upload(edge: &Edge, field: &'static str, file: File) -> Result<String> {
    let header =
        UploadHeader { folder: Folder::Chat.into(), file_required: true, max_size: LARGEST, ..Default::default() };
    match edge.upload(header, Some(file)).await {
        Ok(media) => Ok(media.id),
        Err(refusal) if matches!(refusal.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Internal) => {
            Err(Error::detail(502, "upload failed"))
        }
        Err(refusal) => Err(Error::from(refusal).rename("image", field)),
    }
}

/// A refusal about something that the form names is a fault of the field.
fn unsent(refusal: Status, room: i64, media: Option<i64>) -> Error {
    let error = Error::from(refusal);
    let no_such =
        |field, number| Error::field(field, format!("Clave primaria \"{number}\" inválida - objeto no existe."));
    match error.reason() {
        "ROOM_NOT_FOUND" => no_such("room", room),
        "INVALID_MEDIA" => no_such("media_id", media.unwrap_or_default()),
        "REPLY_NOT_FOUND" => Error::field("reply_to", "El mensaje al que responde no existe en esta sala."),
        "EMPTY_MESSAGE" => Error::field("content", "Este campo no puede estar en blanco."),
        "TOO_LARGE" => {
            Error::field("content", format!("Asegúrese de que este campo no tenga más de {LONGEST} caracteres."))
        }
        _ => error,
    }
}

/// Another text; whatever else the form says is not changed.
pub struct Change(Option<String>);

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        Self(f.text("content").max(LONGEST).blank().optional())
    }
}

pub async fn update(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
    Input(Change(text)): Input<Change>,
) -> Result<Json<Message>> {
    let message = match text {
        Some(text) => {
            let request = EditMessageRequest { message: Some(message(number)), text };
            edge.messages().edit_message(request).await.map_err(|refusal| unsent(refusal, 0, None))?.into_inner()
        }
        // Nothing to ask of `chat`, which would say that it is somebody else's.
        None => match fetch(&edge, number).await? {
            own if own.sender_number == caller.number => own,
            _ => return Err(kit::error::denied("NOT_YOURS", "only who sent it").into()),
        },
    };
    Ok(Json(show_one(&edge, base, message).await))
}

pub async fn delete(State(edge): State<Agrovet>, _: Caller, Path(number): Path<i64>) -> Result<NoContent> {
    edge.messages().delete_message(DeleteMessageRequest { message: Some(message(number)) }).await?;
    Ok(NoContent)
}

/// What was read: all of a room, or some messages of it.
pub struct Reading {
    room: Option<Value>,
    messages: Vec<i64>,
}

impl Form for Reading {
    fn read(f: &mut Fields) -> Self {
        let [room, older] = ["room", "room_id"].map(|name| f.any(name).nullable().flatten());
        let messages = f.integers("message_ids").describe("Only these; all unless given").nullable().flatten();
        Self { room: room.or(older), messages: messages.unwrap_or_default() }
    }
}

/// What was unread before.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatUpdated)]
pub struct Updated {
    updated: Vec<i64>,
}

pub async fn mark_read(
    State(edge): State<Agrovet>,
    _: Caller,
    Input(Reading { room: named, messages }): Input<Reading>,
) -> Result<Json<Updated>> {
    let number = room_named(named, "Invalid 'room' parameter.")?;
    let request = MarkReadRequest { room: Some(room(number)), numbers: messages, ..Default::default() };
    let answer = edge.rooms().mark_read(request).await.on("ROOM_NOT_FOUND", 404, NO_SUCH_ROOM)?;
    Ok(Json(Updated { updated: answer.into_inner().numbers }))
}

/// Words, and where.
pub struct Search {
    words: String,
    room: Option<i64>,
    page_size: i64,
    page_token: String,
}

impl Form for Search {
    fn read(f: &mut Fields) -> Self {
        Self {
            words: f.text("q").max(200).describe("Words; the last one may be a beginning").required(),
            room: f.integer("room").at_least(1).describe("Only in this room").optional(),
            page_size: f.integer("page_size").describe("1 to 100, 20 unless given").or(20).clamp(1, 100),
            page_token: f.text("page_token").max(1024).blank().describe("Where `next` continues").or(String::new()),
        }
    }
}

/// What was found, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatFound)]
pub struct Found {
    /// URL of what follows; null when these are all.
    next: Option<String>,
    results: Vec<Message>,
}

pub async fn search(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Query(Search { words, room, page_size, page_token }): Query<Search>,
) -> Result<Json<Found>> {
    let request = SearchMessagesRequest {
        query: words.clone(),
        room_number: room.map_or(0, existing),
        kinds: kinds(),
        page_size: page_size as i32,
        page_token,
        ..Default::default()
    };
    let answer = edge.messages().search_messages(request).await?.into_inner();
    let next = (!answer.next_page_token.is_empty()).then(|| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", &words).append_pair("page_size", &page_size.to_string());
        query.extend_pairs(room.map(|room| ("room", room.to_string())));
        query.append_pair("page_token", &answer.next_page_token);
        format!("{}?{}", base.absolute("/api/chat/messages/search/"), query.finish())
    });
    Ok(Json(Found { next, results: shown(&edge, base, answer.messages).await }))
}

/// What a message once said.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatVersion)]
pub struct Version {
    content: String,
    replaced_at: String,
    /// `edited`, `censored`, `deleted` or `restored`.
    cause: String,
    /// The file that went with it.
    media_id: Option<i64>,
}

/// What a message said before each change, oldest first; staff only.
pub async fn versions(State(edge): State<Agrovet>, _: Staff, Path(number): Path<i64>) -> Result<Json<Vec<Version>>> {
    let request = ListVersionsRequest { message: Some(message(number)) };
    let versions = edge.messages().list_versions(request).await?.into_inner().versions;
    let shown = |version: v1::Version| Version {
        content: version.text,
        replaced_at: time(version.replaced_at),
        cause: version.cause.to_ascii_lowercase(),
        media_id: Some(version.media_number).filter(|number| *number != 0),
    };
    Ok(Json(versions.into_iter().map(shown).collect()))
}
