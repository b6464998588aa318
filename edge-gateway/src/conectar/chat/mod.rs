//! Chat as Conectar's clients know it: conversations of a client and a professional, about a job or in general. Here
//! stands what its areas share: how conversations and messages look.

pub mod conversations;
pub mod frames;
pub mod messages;
pub mod moderation;
pub mod socket;

use kit::identity::Roles;
use prost_types::Timestamp;
use proto::access::v1::Role;
use proto::chat::v1::{self, MessageKey, MessageKind, RoomKey, RoomKind, message_key, room_key};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use crate::Edge;
use crate::batch::{self, People};
use crate::conectar::time;
use crate::input::Segment;

/// What stands where somebody told contact details.
const CENSORED: &str = "*** Mensaje bloqueado por incluir datos de contacto ***";
/// Characters of a message.
const LONGEST: usize = 2_000;

const KINDS: &[(MessageKind, &str)] = &[
    (MessageKind::Text, "text"),
    (MessageKind::Image, "image"),
    (MessageKind::File, "file"),
    (MessageKind::Voice, "voice"),
    (MessageKind::System, "system"),
];

/// The rooms of this dialect. Whatever is asked of `chat` is asked of this kind, so that no other room exists here.
fn kinds() -> Vec<i32> {
    vec![RoomKind::Deal.into()]
}

/// A conversation or message in a path. Those of Firestore, which the frontend knows too, are no UUIDs: what is none is
/// one that does not exist here, and no mistake.
pub struct Id(Uuid);

impl Segment for Id {
    fn parse(text: &str) -> Option<Self> {
        Some(Self(Uuid::try_parse(text).unwrap_or_default()))
    }

    fn schema() -> RefOr<Schema> {
        <Uuid as Segment>::schema()
    }
}

fn room(id: Uuid) -> RoomKey {
    RoomKey { key: Some(room_key::Key::Id(id.to_string())), kinds: kinds() }
}

fn message(id: Uuid) -> MessageKey {
    MessageKey { key: Some(message_key::Key::Id(id.to_string())), kinds: kinds() }
}

/// What a message says, whatever became of it.
fn words(message: &v1::Message) -> String {
    if message.censored && message.text.is_empty() { CENSORED.to_owned() } else { message.text.clone() }
}

fn kind(message: &v1::Message) -> &'static str {
    KINDS.iter().find(|(kind, _)| *kind == message.kind()).map_or("text", |(_, word)| word)
}

fn millis(at: Option<Timestamp>) -> i64 {
    at.map(|at| at.seconds * 1000 + i64::from(at.nanos) / 1_000_000).unwrap_or_default()
}

/// First and family name.
fn name(people: &People, id: &str) -> Option<String> {
    let user = people.get(id)?;
    Some(format!("{} {}", user.first_name, user.last_name).trim().to_owned())
}

/// A conversation.
#[derive(Serialize, ToSchema)]
pub struct ChatRead {
    #[schema(format = Uuid)]
    id: String,
    #[schema(format = Uuid)]
    cliente_id: Option<String>,
    #[schema(format = Uuid)]
    profesional_id: Option<String>,
    cliente_nombre: Option<String>,
    profesional_nombre: Option<String>,
    last_message: Option<String>,
    /// Milliseconds since 1970.
    last_message_time: Option<i64>,
    /// More than 1000 are told as 1000.
    unread_count: i32,
    /// What it is about; null in general.
    trabajo_id: Option<String>,
}

impl ChatRead {
    fn of(room: &v1::Room, people: &People) -> Self {
        let (client, professional) = sides(room, people);
        let last = room.messages.last();
        Self {
            id: room.id.clone(),
            cliente_nombre: client.and_then(|id| name(people, id)),
            profesional_nombre: professional.and_then(|id| name(people, id)),
            cliente_id: client.map(str::to_owned),
            profesional_id: professional.map(str::to_owned),
            last_message: last.map(words),
            last_message_time: room.last_activity_at.map(|at| millis(Some(at))),
            unread_count: room.unread_count,
            trabajo_id: Some(room.subject.clone()).filter(|subject| !subject.is_empty()),
        }
    }
}

/// Client and professional: by their roles where these differ, else the one who began it is the client.
fn sides<'r>(room: &'r v1::Room, people: &People) -> (Option<&'r str>, Option<&'r str>) {
    let professional =
        |id: &str| people.get(id).is_some_and(|user| Roles::from_numbers(&user.roles).contains(Role::Professional));
    let ids: Vec<&str> = room.members.iter().map(|member| member.user_id.as_str()).collect();
    let (first, second) = match ids[..] {
        [a, b] if a == room.created_by_id => (a, b),
        [a, b] => (b, a),
        _ => return (ids.first().copied(), ids.get(1).copied()),
    };
    if professional(first) && !professional(second) { (Some(second), Some(first)) } else { (Some(first), Some(second)) }
}

async fn people_of(edge: &Edge, rooms: &[v1::Room]) -> People {
    let ids: Vec<_> = rooms.iter().flat_map(|room| &room.members).map(|member| member.user_id.as_str()).collect();
    batch::people(edge, ids).await
}

/// A message.
#[derive(Serialize, ToSchema)]
pub struct MessageRead {
    #[schema(format = Uuid)]
    id: String,
    #[schema(format = Uuid)]
    chat_id: String,
    /// Null in notices of the platform.
    #[schema(format = Uuid)]
    sender_id: Option<String>,
    sender_nombre: Option<String>,
    text: String,
    /// The same as `text`.
    content: String,
    /// `text`, `image`, `file`, `voice` or `system`.
    r#type: &'static str,
    /// Milliseconds since 1970.
    timestamp: i64,
    #[schema(format = DateTime)]
    created_at: String,
    /// By everybody else.
    read: bool,
    /// The platform took its words away because they told contact details.
    censored: bool,
    deleted: bool,
    edited_at: Option<String>,
    media_id: Option<String>,
    /// Its place in the conversation: 1, 2, 3 …
    sequence: i64,
}

impl MessageRead {
    fn of(message: &v1::Message, people: &People) -> Self {
        Self {
            id: message.id.clone(),
            chat_id: message.room_id.clone(),
            sender_id: some(&message.sender_id),
            sender_nombre: name(people, &message.sender_id),
            text: words(message),
            content: words(message),
            r#type: kind(message),
            timestamp: millis(message.created_at),
            created_at: time(message.created_at),
            read: !message.receipts.is_empty() && message.receipts.iter().all(|receipt| receipt.read_at.is_some()),
            censored: message.censored,
            deleted: message.deleted_at.is_some(),
            edited_at: message.edited_at.map(|at| time(Some(at))),
            media_id: some(&message.media_id),
            sequence: message.sequence,
        }
    }
}

/// The empty text is none.
fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

async fn shown(edge: &Edge, messages: &[v1::Message]) -> Vec<MessageRead> {
    let ids: Vec<_> = messages.iter().map(|message| message.sender_id.as_str()).collect();
    let people = batch::people(edge, ids).await;
    messages.iter().map(|message| MessageRead::of(message, &people)).collect()
}

#[cfg(test)]
mod tests {
    use proto::chat::v1::Member;
    use proto::users::v1::User;

    use super::*;

    #[test]
    fn who_hires_whom_follows_from_roles_or_from_who_began() {
        let member = |id: &str| Member { user_id: id.to_owned(), ..Member::default() };
        let user = |id: &str, role: Role| User { id: id.to_owned(), roles: vec![role.into()], ..User::default() };
        let room = |by: &str| v1::Room {
            members: vec![member("a"), member("b")],
            created_by_id: by.to_owned(),
            ..v1::Room::default()
        };
        let people = |a, b| People::from_iter([user("a", a), user("b", b)]);
        let (client, professional) = (Role::Client, Role::Professional);
        for (room, people, expected) in [
            (room("a"), people(client, professional), ("a", "b")),
            (room("b"), people(client, professional), ("a", "b")),
            (room("a"), people(professional, client), ("b", "a")),
            (room("b"), people(professional, professional), ("b", "a")),
            (room("a"), People::default(), ("a", "b")),
        ] {
            assert_eq!(sides(&room, &people), (Some(expected.0), Some(expected.1)));
        }
    }
}
