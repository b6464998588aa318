//! Conversations, under the many names that Conectar's documents gave their routes.

use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::identity::Caller;
use kit::seal::sha256;
use proto::chat::v1::{
    self, CountUnreadRequest, Draft, ListRoomsRequest, MarkReadRequest, OpenPairRequest, OpenPairResponse, RoomKind,
    SendMessageRequest, UserKey, room_key, user_key,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Edge;
use crate::conectar::chat::{ChatRead, Id, LONGEST, kinds, people_of, room};
use crate::conectar::{Conectar, Result, time};
use crate::form::{Fields, Form, Wrong};
use crate::input::{Input, Path, Query};
use crate::routes::{Created, NewOr};

/// Which part of a list.
pub struct Part {
    page: i64,
    limit: i64,
}

impl Form for Part {
    fn read(f: &mut Fields) -> Self {
        Self {
            page: f.integer("page").between(1, 100).describe("From 1").or(1),
            limit: f.integer("limit").describe("1 to 100, 100 unless given").or(100).clamp(1, 100),
        }
    }
}

async fn fetch(edge: &Edge, part: Part) -> Result<Vec<ChatRead>> {
    let request = ListRoomsRequest {
        kinds: kinds(),
        messages: 1,
        page_size: part.limit as i32,
        skip: ((part.page - 1) * part.limit) as i32,
        ..Default::default()
    };
    let rooms = edge.rooms().list_rooms(request).await?.into_inner().rooms;
    let people = people_of(edge, &rooms).await;
    Ok(rooms.iter().map(|room| ChatRead::of(room, &people)).collect())
}

/// Newest activity first.
pub async fn list(State(edge): State<Conectar>, _: Caller, Query(part): Query<Part>) -> Result<Json<Vec<ChatRead>>> {
    Ok(Json(fetch(&edge, part).await?))
}

/// Conversations, and how many messages in them wait.
#[derive(Serialize, ToSchema)]
pub struct ChatListResponse {
    chats: Vec<ChatRead>,
    total_unread: i32,
}

pub async fn list_counted(
    State(edge): State<Conectar>,
    _: Caller,
    Query(part): Query<Part>,
) -> Result<Json<ChatListResponse>> {
    let (chats, total_unread) = tokio::try_join!(fetch(&edge, part), unread(&edge))?;
    Ok(Json(ChatListResponse { chats, total_unread }))
}

async fn unread(edge: &Edge) -> Result<i32> {
    let request = CountUnreadRequest { kinds: kinds() };
    Ok(edge.rooms().count_unread(request).await?.into_inner().messages)
}

/// How many messages wait for the caller.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatUnreadCount)]
pub struct UnreadCount {
    unread_count: i32,
}

pub async fn unread_count(State(edge): State<Conectar>, _: Caller) -> Result<Json<UnreadCount>> {
    Ok(Json(UnreadCount { unread_count: unread(&edge).await? }))
}

/// With whom, about what, and perhaps the first words.
pub struct NewConversation {
    /// The other one; of two, whoever is not the caller.
    others: Vec<Uuid>,
    subject: String,
    first: Option<String>,
}

impl Form for NewConversation {
    fn read(f: &mut Fields) -> Self {
        let others = ["other_user_id", "profesional_id", "cliente_id"].map(|name| f.uuid(name).optional());
        let others: Vec<_> = others.into_iter().flatten().collect();
        if others.is_empty() && f.sound() {
            f.fault("other_user_id", Wrong::Required);
        }
        let subject = f.text("trabajo_id").max(100).blank().describe("What it is about").optional();
        let first = f.text("mensaje_inicial").max(LONGEST).describe("Sent at once").optional();
        Self { others, subject: subject.unwrap_or_default(), first }
    }
}

/// Opens a conversation, or finds the one there is, and sends the first words.
async fn open(edge: &Edge, caller: &Caller, form: NewConversation) -> Result<(v1::Room, bool)> {
    let others = || form.others.iter();
    let other = others().find(|id| **id != caller.id).or_else(|| others().next()).copied().unwrap_or_default();
    let request = OpenPairRequest {
        kind: RoomKind::Deal.into(),
        users: vec![UserKey { key: Some(user_key::Key::Id(other.to_string())) }],
        subject: form.subject,
        messages: 1,
    };
    let OpenPairResponse { room, created } = edge.rooms().open_pair(request).await?.into_inner();
    let mut room = room.unwrap_or_default();
    if let Some(text) = form.first {
        // The frontend sends what failed a second time, so the same first words are said once.
        let name = format!("inicial:{}", URL_SAFE_NO_PAD.encode(&sha256(text.as_bytes())[..16]));
        let key = v1::RoomKey { key: Some(room_key::Key::Id(room.id.clone())), ..Default::default() };
        let draft = Draft { text, client_msg_id: name, ..Default::default() };
        let request = SendMessageRequest { room: Some(key), draft: Some(draft) };
        let sent = edge.chat().send_message(request).await?.into_inner();
        if let Some(message) = sent.message.filter(|_| sent.created) {
            room.last_activity_at = message.created_at;
            room.messages = vec![message];
        }
    }
    Ok((room, created))
}

async fn show(edge: &Edge, room: &v1::Room) -> ChatRead {
    let people = people_of(edge, std::slice::from_ref(room)).await;
    ChatRead::of(room, &people)
}

pub async fn create(
    State(edge): State<Conectar>,
    caller: Caller,
    Input(form): Input<NewConversation>,
) -> Result<Json<ChatRead>> {
    let (room, _) = open(&edge, &caller, form).await?;
    Ok(Json(show(&edge, &room).await))
}

/// A conversation under one more name.
#[derive(Serialize, ToSchema)]
pub struct ChatCreated {
    #[serde(flatten)]
    chat: ChatRead,
    #[schema(format = Uuid)]
    chat_id: String,
    #[schema(format = DateTime)]
    created_at: String,
}

/// 201 for a new one, 200 for one that was there.
pub async fn create_named(
    State(edge): State<Conectar>,
    caller: Caller,
    Input(form): Input<NewConversation>,
) -> Result<NewOr<ChatCreated>> {
    let (room, new) = open(&edge, &caller, form).await?;
    let chat = show(&edge, &room).await;
    let body = ChatCreated { chat, created_at: time(room.created_at), chat_id: room.id };
    Ok(NewOr { new, body })
}

/// Nothing but the id.
#[derive(Serialize, ToSchema)]
pub struct ChatId {
    #[schema(format = Uuid)]
    chat_id: String,
}

pub async fn create_by_client(
    State(edge): State<Conectar>,
    caller: Caller,
    Input(form): Input<NewConversation>,
) -> Result<Created<ChatId>> {
    let (room, _) = open(&edge, &caller, form).await?;
    Ok(Created(ChatId { chat_id: room.id }))
}

/// It is done.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatSuccess)]
pub struct Success {
    success: bool,
}

pub async fn mark_read(State(edge): State<Conectar>, _: Caller, Path(Id(id)): Path<Id>) -> Result<Json<Success>> {
    edge.rooms().mark_read(MarkReadRequest { room: Some(room(id)), ..Default::default() }).await?;
    Ok(Json(Success { success: true }))
}
