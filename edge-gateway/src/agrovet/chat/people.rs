//! People of the caller's rooms: who is here, and who may not write to the caller.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::chat::v1::{self, BlockUserRequest, ListBlocksRequest, ListPresenceRequest, UnblockUserRequest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::address::Base;
use crate::agrovet::chat::{Beside, Person, kinds, user};
use crate::agrovet::{Agrovet, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::NoContent;

/// Whether somebody is here.
#[derive(Serialize, ToSchema)]
#[schema(as = ChatPresence)]
pub struct Presence {
    user_id: i64,
    online: bool,
    /// When they went; null while they are here, and when nobody knows.
    last_seen: Option<String>,
}

impl From<v1::Presence> for Presence {
    fn from(presence: v1::Presence) -> Self {
        Self {
            user_id: presence.user_number,
            online: presence.online,
            last_seen: presence.last_seen_at.map(|at| time(Some(at))),
        }
    }
}

/// `?users=7,9`.
pub struct Of(Vec<i64>);

impl Form for Of {
    fn read(f: &mut Fields) -> Self {
        Self(f.integers("users").max_items(500).describe("Only these; everybody unless given").or(Vec::new()))
    }
}

pub async fn presence(
    State(edge): State<Agrovet>,
    _: Caller,
    Query(Of(numbers)): Query<Of>,
) -> Result<Json<Vec<Presence>>> {
    let request = ListPresenceRequest { users: numbers.into_iter().map(user).collect(), kinds: kinds() };
    let people = edge.chat().list_presence(request).await?.into_inner().people;
    Ok(Json(people.into_iter().map(Presence::from).collect()))
}

pub async fn blocks(State(edge): State<Agrovet>, base: Base, _: Caller) -> Result<Json<Vec<Person>>> {
    let blocks = edge.rooms().list_blocks(ListBlocksRequest {}).await?.into_inner();
    let beside = Beside::of(&edge, base, blocks.user_ids.iter().map(String::as_str).collect(), Vec::new()).await;
    let blocked = blocks.user_ids.iter().zip(blocks.user_numbers);
    Ok(Json(blocked.map(|(id, number)| Person::of(id, number, &beside)).collect()))
}

/// Whom to block.
pub struct Blocked(i64);

impl Form for Blocked {
    fn read(f: &mut Fields) -> Self {
        Self(f.integer("user_id").required())
    }
}

pub async fn block(
    State(edge): State<Agrovet>,
    _: Caller,
    Input(Blocked(number)): Input<Blocked>,
) -> Result<NoContent> {
    edge.rooms().block_user(BlockUserRequest { user: Some(user(number)) }).await?;
    Ok(NoContent)
}

pub async fn unblock(State(edge): State<Agrovet>, _: Caller, Path(number): Path<i64>) -> Result<NoContent> {
    edge.rooms().unblock_user(UnblockUserRequest { user: Some(user(number)) }).await?;
    Ok(NoContent)
}
