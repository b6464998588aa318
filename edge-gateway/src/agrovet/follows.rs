//! Who follows whom.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::marketplace::v1::{self, CreateFollowRequest, DeleteFollowRequest, GetFollowRequest, ListFollowsRequest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Error, On, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::Created;

/// That somebody follows somebody; both numbers under the names of both generations of clients.
#[derive(Serialize, ToSchema)]
pub struct Follow {
    id: i64,
    follower_id: i64,
    following_id: i64,
    follower: i64,
    following: i64,
    created_at: String,
}

impl From<v1::Follow> for Follow {
    fn from(follow: v1::Follow) -> Self {
        Self {
            id: follow.id,
            follower_id: follow.follower_number,
            following_id: follow.following_number,
            follower: follow.follower_number,
            following: follow.following_number,
            created_at: time(follow.created_at),
        }
    }
}

pub struct Which {
    followers: bool,
    newest_first: bool,
}

impl Form for Which {
    fn read(f: &mut Fields) -> Self {
        let direction = f.text("direction").blank().describe("`followers` for those who follow the caller");
        let followers = direction.or(String::new()) == "followers";
        let ordering = f.text("ordering").blank().describe("`id` or `created_at`, with `-` the other way round");
        let ordering = ordering.or(String::new());
        let mut fields = ordering.split(',').map(str::trim);
        let first = fields.find(|field| matches!(field.trim_start_matches('-'), "id" | "created_at"));
        Self { followers, newest_first: first.is_some_and(|field| field.starts_with('-')) }
    }
}

pub async fn list(
    State(edge): State<Agrovet>,
    _: Caller,
    page: Page,
    Query(which): Query<Which>,
) -> Result<Json<Paged<Follow>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let Which { followers, newest_first } = which;
            let request = ListFollowsRequest { page_size, skip, followers, newest_first, ..Default::default() };
            let mut follows = edge.follows();
            async move {
                let answer = follows.list_follows(request).await?.into_inner();
                Ok((answer.follows, answer.total_size))
            }
        })
        .await?;
    Ok(Json(paged.map(Follow::from)))
}

pub async fn retrieve(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<Json<Follow>> {
    Ok(Json(edge.follows().get_follow(GetFollowRequest { id }).await?.into_inner().into()))
}

/// Who shall be followed, under either name.
pub struct Whom(Option<i64>);

impl Form for Whom {
    fn read(f: &mut Fields) -> Self {
        let following_id = f.integer("following_id").describe("Number of a person").nullable().flatten();
        Self(following_id.or(f.integer("following").describe("Another name of `following_id`").nullable().flatten()))
    }
}

pub async fn create(
    State(edge): State<Agrovet>,
    _: Caller,
    Input(Whom(number)): Input<Whom>,
) -> Result<Created<Follow>> {
    let Some(following_number) = number else {
        return Err(Error::detail(400, "following or following_id required"));
    };
    let answer = edge.follows().create_follow(CreateFollowRequest { following_number }).await.map_err(Error::from);
    let follow = answer.map_err(|error| match error.reason() {
        "USER_NOT_FOUND" => Error::field("following_id", "Usuario no encontrado."),
        _ => error,
    })?;
    Ok(Created(follow.into_inner().into()))
}

/// Says what was done.
#[derive(Serialize, ToSchema)]
pub struct Unfollowed {
    detail: &'static str,
}

pub async fn delete(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<Json<Unfollowed>> {
    let answer = edge.follows().delete_follow(DeleteFollowRequest { id }).await;
    answer.denied("No tienes permiso para eliminar este seguimiento.")?;
    Ok(Json(Unfollowed { detail: "Has dejado de seguir a este usuario." }))
}
