//! Rooms: opening, reading, changing and leaving them, and what the caller wants of one for themselves.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use kit::identity::Caller;
use prost_types::Timestamp;
use proto::chat::v1::{
    self, CountUnreadRequest, CreateGroupRequest, GetRoomRequest, LeaveRoomRequest, ListRoomsRequest, OpenPairRequest,
    RoomKind, SetMemberRoleRequest, UpdateMembershipRequest, UpdateRoomRequest,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::chat::{Beside, LATEST, Room, hidden, kinds, room, user};
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Error, On, Result};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::{NewOr, NoContent};

const TWO: &str = "Se requieren exactamente 2 participantes.";
const UNKNOWN: &str = "Uno de los participantes no existe.";
/// As many as a group takes, and a few more, so that the service says it.
const MOST_MEMBERS: usize = 2000;

async fn show(edge: &Edge, base: Base, caller: Caller, room: v1::Room) -> Room {
    let beside = Beside::of_rooms(edge, base, std::slice::from_ref(&room)).await;
    Room::of(room, caller.number, &beside)
}

/// `?archived=`.
pub struct Filter {
    archived: Option<bool>,
}

impl Form for Filter {
    fn read(f: &mut Fields) -> Self {
        Self { archived: f.boolean("archived").describe("Only those in the archive, or only the others").optional() }
    }
}

pub async fn list(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    page: Page,
    Query(Filter { archived }): Query<Filter>,
) -> Result<Json<Paged<Room>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request =
                ListRoomsRequest { kinds: kinds(), archived, messages: LATEST, page_size, skip, ..Default::default() };
            let mut rooms = edge.rooms();
            async move { rooms.list_rooms(request).await.map(|a| a.into_inner()).map(|a| (a.rooms, a.total_size)) }
        })
        .await?;
    let show = async |rooms: Vec<v1::Room>| {
        let beside = Beside::of_rooms(&edge, base, &rooms).await;
        rooms.into_iter().map(|room| Room::of(room, caller.number, &beside)).collect()
    };
    Ok(Json(paged.map_all(show).await))
}

/// A new room.
pub struct NewRoom {
    name: String,
    private: Option<bool>,
    people: Vec<i64>,
}

impl Form for NewRoom {
    fn read(f: &mut Fields) -> Self {
        let people = people(f);
        Self {
            name: f.text("name").max(150).blank().or(String::new()),
            private: f.boolean("is_private").describe("True for two people unless given, else false").optional(),
            people: people.unwrap_or_default(),
        }
    }
}

/// Under either name. A form may repeat the name, or have all in one.
fn people(f: &mut Fields) -> Option<Vec<i64>> {
    let [named, older] = ["participants_ids", "participants"].map(|name| {
        let mut all: Option<Vec<i64>> = None;
        while let Some(some) = f.integers(name).max_items(MOST_MEMBERS).by_place().first() {
            all.get_or_insert_default().extend(some);
        }
        let list = f.integers(name).max_items(MOST_MEMBERS).by_place().nullable().flatten();
        all.or(list)
    });
    named.or(older)
}

/// Opens the room of two, or makes a group.
pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Input(NewRoom { name, private, people }): Input<NewRoom>,
) -> Result<NewOr<Room>> {
    let mut seen = HashSet::new();
    let each: Vec<_> = people.iter().copied().filter(|person| seen.insert(*person)).collect();
    // One and the same twice are two, of whom the service says that they are one.
    let pair = if people.len() == 2 { people } else { each.clone() };
    let (room, new) = match (private, pair.len()) {
        (None | Some(true), 2) => {
            let opened = open_pair(&edge, &pair).await?;
            (opened.room.unwrap_or_default(), opened.created)
        }
        (Some(true), _) => return Err(Error::detail(400, TWO)),
        (None | Some(false), _) => {
            let request = CreateGroupRequest { name, users: each.into_iter().map(user).collect() };
            (edge.rooms().create_group(request).await.on("USER_NOT_FOUND", 400, UNKNOWN)?.into_inner(), true)
        }
    };
    Ok(NewOr { new, body: show(&edge, base, caller, room).await })
}

async fn open_pair(edge: &Edge, people: &[i64]) -> Result<v1::OpenPairResponse> {
    let request = OpenPairRequest {
        kind: RoomKind::Pair.into(),
        users: people.iter().copied().map(user).collect(),
        messages: LATEST,
        ..Default::default()
    };
    Ok(edge.rooms().open_pair(request).await.on("USER_NOT_FOUND", 400, UNKNOWN)?.into_inner())
}

/// Two people, as loosely as clients write them.
pub struct Pair(Option<[i64; 2]>);

impl Form for Pair {
    fn read(f: &mut Fields) -> Self {
        let mut repeated = Vec::new();
        let [named, older] = ["participants_ids", "participants"].map(|name| {
            while let Some(one) = f.any(name).first() {
                repeated.push(one);
            }
            f.any(name).describe("Two numbers").nullable().flatten()
        });
        Self(pair(match repeated.len() {
            0 => named.or(older),
            1 => repeated.pop(),
            _ => Some(Value::Array(repeated)),
        }))
    }
}

fn pair(given: Option<Value>) -> Option<[i64; 2]> {
    let numbers: Option<Vec<i64>> = match given? {
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_i64().or_else(|| item.as_str().and_then(|text| text.trim().parse().ok())))
            .collect(),
        Value::String(text) => {
            text.trim_matches(['[', ']']).split(',').map(|number| number.trim().parse().ok()).collect()
        }
        _ => None,
    };
    numbers?.try_into().ok()
}

/// Always 200, whether the room was there or not.
pub async fn get_or_create_private(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Input(Pair(pair)): Input<Pair>,
) -> Result<Json<Room>> {
    let pair = pair.ok_or_else(|| Error::detail(400, TWO))?;
    let opened = open_pair(&edge, &pair).await?;
    Ok(Json(show(&edge, base, caller, opened.room.unwrap_or_default()).await))
}

async fn fetch(edge: &Edge, number: i64) -> Result<v1::Room> {
    let request = GetRoomRequest { room: Some(room(number)), messages: LATEST };
    Ok(edge.rooms().get_room(request).await.map_err(hidden)?.into_inner())
}

async fn show_numbered(edge: &Edge, base: Base, caller: Caller, number: i64) -> Result<Json<Room>> {
    Ok(Json(show(edge, base, caller, fetch(edge, number).await?).await))
}

pub async fn retrieve(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
) -> Result<Json<Room>> {
    show_numbered(&edge, base, caller, number).await
}

/// What to change of a room.
pub struct Change {
    name: Option<String>,
    private: Option<bool>,
    people: Option<Vec<i64>>,
}

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        Self {
            name: f.text("name").max(150).blank().optional(),
            private: f.boolean("is_private").describe("What it is; it cannot be changed").optional(),
            people: people(f),
        }
    }
}

/// The name by anybody in it; who is in a group by its administrators. What a room is stays.
pub async fn update(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
    Input(Change { name, private, people }): Input<Change>,
) -> Result<Json<Room>> {
    if let Some(private) = private {
        let is = fetch(&edge, number).await?.kind() != RoomKind::Group;
        if private != is {
            return Err(Error::field("is_private", "Este campo no se puede cambiar."));
        }
    }
    // As in a new room, the caller need not be named: leaving is another request.
    let people = people.map(|mut people| {
        if !people.contains(&caller.number) {
            people.insert(0, caller.number);
        }
        people
    });
    let request = UpdateRoomRequest {
        room: Some(room(number)),
        name,
        replace_users: people.is_some(),
        users: people.unwrap_or_default().into_iter().map(user).collect(),
    };
    edge.rooms().update_room(request).await.map_err(hidden).on("USER_NOT_FOUND", 400, UNKNOWN)?;
    // The change's own answer comes without messages.
    show_numbered(&edge, base, caller, number).await
}

/// Leaves a group; hides a room of two, with what was said, until somebody writes again.
pub async fn delete(State(edge): State<Agrovet>, _: Caller, Path(number): Path<i64>) -> Result<NoContent> {
    edge.rooms().leave_room(LeaveRoomRequest { room: Some(room(number)) }).await.map_err(hidden)?;
    Ok(NoContent)
}

/// Who is to administer a group, or no longer.
pub struct NewRole {
    user: i64,
    admin: bool,
}

impl Form for NewRole {
    fn read(f: &mut Fields) -> Self {
        Self { user: f.integer("user_id").required(), admin: f.boolean("admin").required() }
    }
}

pub async fn set_role(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
    Input(form): Input<NewRole>,
) -> Result<Json<Room>> {
    let request = SetMemberRoleRequest { room: Some(room(number)), user: Some(user(form.user)), admin: form.admin };
    edge.rooms().set_member_role(request).await.map_err(hidden)?;
    show_numbered(&edge, base, caller, number).await
}

/// Until when; for good when nothing is said.
pub struct Silence(Option<DateTime<Utc>>);

impl Form for Silence {
    fn read(f: &mut Fields) -> Self {
        let text = f.text("until").blank().describe("A moment; for good unless given").nullable().flatten();
        let until = text.filter(|text| !text.is_empty()).and_then(|text| {
            let moment = DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc());
            if moment.is_none() {
                f.refuse("until", "Introduzca una fecha y hora válida.");
            }
            moment
        });
        Self(until)
    }
}

pub async fn mute(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
    Input(Silence(until)): Input<Silence>,
) -> Result<Json<Room>> {
    // For good is a hundred years.
    let until = until.unwrap_or_else(|| edge.clock.now() + chrono::TimeDelta::days(36_525));
    let change = UpdateMembershipRequest { muted_until: Some(timestamp(until)), ..Default::default() };
    membership(&edge, base, caller, number, change).await
}

pub async fn unmute(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
) -> Result<Json<Room>> {
    let change = UpdateMembershipRequest { muted_until: Some(timestamp(edge.clock.now())), ..Default::default() };
    membership(&edge, base, caller, number, change).await
}

pub async fn archive(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
) -> Result<Json<Room>> {
    let change = UpdateMembershipRequest { archived: Some(true), ..Default::default() };
    membership(&edge, base, caller, number, change).await
}

pub async fn unarchive(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
) -> Result<Json<Room>> {
    let change = UpdateMembershipRequest { archived: Some(false), ..Default::default() };
    membership(&edge, base, caller, number, change).await
}

async fn membership(
    edge: &Edge,
    base: Base,
    caller: Caller,
    number: i64,
    change: UpdateMembershipRequest,
) -> Result<Json<Room>> {
    let request = UpdateMembershipRequest { room: Some(room(number)), ..change };
    edge.rooms().update_membership(request).await.map_err(hidden)?;
    show_numbered(edge, base, caller, number).await
}

fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: 0 }
}

/// What waits for the caller, in rooms that are neither muted nor archived.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatUnread)]
pub struct Unread {
    /// Messages; more than 1000 in one room count as 1000.
    unread: i32,
    /// Rooms that have some.
    rooms: i32,
}

pub async fn unread_count(State(edge): State<Agrovet>, _: Caller) -> Result<Json<Unread>> {
    let counted = edge.rooms().count_unread(CountUnreadRequest { kinds: kinds() }).await?.into_inner();
    Ok(Json(Unread { unread: counted.messages, rooms: counted.rooms }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_people_may_be_written_in_many_ways() {
        for given in [json!([7, 9]), json!(["7", " 9"]), json!("7,9"), json!("[7, 9]")] {
            assert_eq!(pair(Some(given)), Some([7, 9]));
        }
        for wrong in
            [json!([7]), json!([7, 9, 11]), json!([7, "x"]), json!(79), json!("79"), json!([7, 9.5]), json!({})]
        {
            assert_eq!(pair(Some(wrong)), None);
        }
    }
}
