//! Chat as Agrovet's frontend knows it: rooms of two and groups, messages, receipts. Here stands what its areas share:
//! how rooms and messages look, and [`Beside`], everything a page shows besides chat's own rows.

pub mod frames;
pub mod messages;
pub mod people;
pub mod rooms;
pub mod socket;

use proto::chat::v1::{self, MessageKey, RoomKey, RoomKind, UserKey, message_key, room_key, user_key};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::batch::{self, Files, People};
use crate::agrovet::{Error, Result, offset_time, time};

/// What a room shows of its messages without being asked.
const LATEST: i32 = 20;

/// Texts of both rooms and messages.
const NO_SUCH_ROOM: &str = "Sala no existe.";
const ROOM_IS_A_NUMBER: &str = "'room' debe ser un id numérico válido.";

/// The rooms of this dialect. Deals are the other one's: whatever is asked of `chat` is asked of these kinds, so that no
/// other room exists here.
const KINDS: [RoomKind; 2] = [RoomKind::Pair, RoomKind::Group];

pub fn room(number: i64) -> RoomKey {
    RoomKey { key: Some(room_key::Key::Number(number)), kinds: kinds() }
}

pub fn message(number: i64) -> MessageKey {
    MessageKey { key: Some(message_key::Key::Number(number)), kinds: kinds() }
}

pub fn user(number: i64) -> UserKey {
    UserKey { key: Some(user_key::Key::Number(number)) }
}

/// To people who are not in it a room does not exist, where the contract says so.
fn hidden(refusal: impl Into<Error>) -> Error {
    let error = refusal.into();
    if error.reason() == "NOT_A_MEMBER" {
        return kit::error::not_found("ROOM_NOT_FOUND", "not for the caller").into();
    }
    error
}

fn kinds() -> Vec<i32> {
    KINDS.map(i32::from).to_vec()
}

/// The number of a room in a form or a query, where it may be a text; `missing` is what is said of none.
fn room_named(given: Option<Value>, missing: &'static str) -> Result<i64> {
    let given = match given {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.trim().to_owned(),
        _ => String::new(),
    };
    match given.to_ascii_lowercase().as_str() {
        "" | "null" | "undefined" => Err(Error::detail(400, missing)),
        number => number.parse().map(existing).map_err(|_| Error::detail(400, ROOM_IS_A_NUMBER)),
    }
}

/// Rooms are counted from 1, and to `chat` zero means no certain one: what is below becomes a number that none has.
fn existing(room: i64) -> i64 {
    if room < 1 { i64::MAX } else { room }
}

/// Somebody in a room, or who wrote something. Nothing but the id when nobody can say who they are.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatPerson)]
pub struct Person {
    id: i64,
    full_name: Option<String>,
    phone_number: Option<String>,
    profile_picture: Option<String>,
    /// The older name of `profile_picture`.
    profile_picture_url: Option<String>,
}

impl Person {
    fn of(id: &str, number: i64, beside: &Beside) -> Self {
        let user = beside.people.get(id);
        let picture = beside.people.picture(id, &beside.base);
        Self {
            id: number,
            full_name: user.map(|user| user.first_name.clone()),
            phone_number: user.and_then(|user| user.phone.clone()),
            profile_picture: picture.clone(),
            profile_picture_url: picture,
        }
    }
}

/// A message's file.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatFile)]
pub struct Attached {
    id: i64,
    url: Option<String>,
    /// May carry a voice note's loudness as JSON.
    description: Option<String>,
    name: Option<String>,
}

/// How far a message has come with one of its recipients.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ChatReceipt)]
pub struct Receipt {
    user_id: i64,
    delivered: bool,
    delivered_at: Option<String>,
    read: bool,
    read_at: Option<String>,
}

impl Receipt {
    pub fn of(receipt: &v1::Receipt) -> Self {
        Self {
            user_id: receipt.user_number,
            delivered: receipt.delivered_at.is_some(),
            delivered_at: receipt.delivered_at.map(|at| offset_time(Some(at))),
            read: receipt.read_at.is_some(),
            read_at: receipt.read_at.map(|at| offset_time(Some(at))),
        }
    }
}

/// A message.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatMessage)]
pub struct Message {
    id: i64,
    room: i64,
    sender: Person,
    content: String,
    media_id: Option<i64>,
    media_url: Option<String>,
    media: Option<Attached>,
    /// Of a voice note: loudness at even distances.
    media_spectrum: Option<Vec<f64>>,
    timestamp: String,
    receipts: Vec<Receipt>,
    /// By everybody.
    delivered: bool,
    delivered_at: Option<String>,
    /// By everybody.
    read: bool,
    read_at: Option<String>,
    /// Its place in the room, 1, 2, 3 …; sockets continue `after` one.
    sequence: i64,
    /// The `sequence` of the message it answers.
    reply_to: Option<i64>,
    edited_at: Option<String>,
    /// Since then there is nothing to read.
    deleted_at: Option<String>,
    /// Its words were taken away because they told contact details.
    censored: bool,
}

impl Message {
    pub fn of(message: v1::Message, beside: &Beside) -> Self {
        let file = beside.files.get(&message.media_id, &beside.base);
        let last = |at: fn(&v1::Receipt) -> Option<prost_types::Timestamp>| {
            let all: Option<Vec<_>> = message.receipts.iter().map(at).collect();
            all?.into_iter().max_by_key(|at| (at.seconds, at.nanos)).map(|at| time(Some(at)))
        };
        let (delivered_at, read_at) = (last(|receipt| receipt.delivered_at), last(|receipt| receipt.read_at));
        let described = file.as_ref().and_then(|file| file.description.as_deref());
        Self {
            id: message.number,
            room: message.room_number,
            sender: Person::of(&message.sender_id, message.sender_number, beside),
            media_id: some(message.media_number),
            media_url: file.as_ref().and_then(|file| file.url.clone()),
            media_spectrum: frames::spectrum(&message.waveform, described),
            media: file.map(|file| Attached {
                id: file.id,
                url: file.url,
                description: file.description,
                name: file.name,
            }),
            timestamp: time(message.created_at),
            receipts: message.receipts.iter().map(Receipt::of).collect(),
            delivered: delivered_at.is_some(),
            delivered_at,
            read: read_at.is_some(),
            read_at,
            sequence: message.sequence,
            reply_to: some(message.reply_to),
            edited_at: message.edited_at.map(|at| time(Some(at))),
            deleted_at: message.deleted_at.map(|at| time(Some(at))),
            censored: message.censored,
            content: message.text,
        }
    }
}

/// Zero is none.
fn some(number: i64) -> Option<i64> {
    Some(number).filter(|number| *number != 0)
}

/// A room, as the caller sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatRoom)]
pub struct Room {
    id: i64,
    name: String,
    /// Those whom the platform knows, in the order in which they came.
    participants: Vec<Person>,
    participants_usernames: Vec<String>,
    /// The other one of two; null in groups.
    other_participant: Option<String>,
    is_private: bool,
    created_at: String,
    last_activity: Option<String>,
    /// The latest 20, oldest first.
    messages: Vec<Message>,
    last_message: Option<Message>,
    created_by: i64,
    /// Of a group: who may change it.
    admins_ids: Vec<i64>,
    /// Messages that the caller has not read.
    unread_count: i32,
    /// The caller wants no notifications until then.
    muted_until: Option<String>,
    /// The caller has put it away.
    archived: bool,
    /// For sockets that continue `since` one.
    last_change: i64,
}

impl Room {
    pub fn of(room: v1::Room, viewer: i64, beside: &Beside) -> Self {
        let is_private = room.kind() != RoomKind::Group;
        let known: Vec<_> = room.members.iter().filter(|member| beside.people.get(&member.user_id).is_some()).collect();
        let name_of = |member: &v1::Member| beside.people.name(&member.user_id, member.user_number);
        let other = match (&room.members[..], is_private) {
            (.., false) => None,
            ([a, b], true) => Some(name_of(if a.user_number == viewer { b } else { a })),
            (.., true) => Some(room.name.clone()),
        };
        let last = room.messages.last().cloned();
        Self {
            id: room.number,
            participants: known.iter().map(|member| Person::of(&member.user_id, member.user_number, beside)).collect(),
            participants_usernames: known.iter().map(|member| name_of(member)).collect(),
            other_participant: other,
            is_private,
            created_at: time(room.created_at),
            last_activity: room.last_activity_at.map(|at| time(Some(at))),
            last_message: last.map(|message| Message::of(message, beside)),
            created_by: room.created_by_number,
            admins_ids: room.members.iter().filter(|member| member.admin).map(|member| member.user_number).collect(),
            unread_count: room.unread_count,
            muted_until: room.muted_until.map(|at| time(Some(at))),
            archived: room.archived,
            last_change: room.last_change,
            messages: room.messages.into_iter().map(|message| Message::of(message, beside)).collect(),
            name: room.name,
        }
    }
}

/// What a page shows besides chat's rows: two calls at once, whatever the number of rows.
pub struct Beside {
    people: People,
    files: Files,
    base: Base,
}

impl Beside {
    pub async fn of_messages(edge: &Edge, base: Base, messages: &[v1::Message]) -> Self {
        Self::of(edge, base, Vec::new(), messages.iter().collect()).await
    }

    pub async fn of_rooms(edge: &Edge, base: Base, rooms: &[v1::Room]) -> Self {
        let members = rooms.iter().flat_map(|room| &room.members).map(|member| member.user_id.as_str()).collect();
        Self::of(edge, base, members, rooms.iter().flat_map(|room| &room.messages).collect()).await
    }

    async fn of(edge: &Edge, base: Base, mut people: Vec<&str>, messages: Vec<&v1::Message>) -> Self {
        people.extend(messages.iter().map(|message| message.sender_id.as_str()));
        let files: Vec<&str> = messages.iter().map(|message| message.media_id.as_str()).collect();
        let (people, files) = tokio::join!(batch::people(edge, people), batch::files(edge, files));
        Self { people, files, base }
    }
}

/// Messages as the frontend sees them.
async fn shown(edge: &Edge, base: Base, messages: Vec<v1::Message>) -> Vec<Message> {
    let beside = Beside::of_messages(edge, base, &messages).await;
    messages.into_iter().map(|message| Message::of(message, &beside)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_room_is_named_in_many_ways() {
        let of = |given: Value| room_named(Some(given), "missing").map_err(|error| error.text("detail").is_none());
        assert_eq!((of(json!(14)).ok(), of(json!(" 14 ")).ok()), (Some(14), Some(14)));
        for wrong in [json!(null), json!("NULL"), json!("undefined"), json!(""), json!("toro"), json!(1.5), json!([1])]
        {
            assert!(of(wrong).is_err());
        }
        assert!(room_named(None, "missing").is_err());
    }
}
