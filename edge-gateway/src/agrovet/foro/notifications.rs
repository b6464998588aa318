//! What others did to the caller's posts and comments. The rows come from the forum until the notifications service
//! has them all.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::forum::v1::{
    self, CountUnreadRequest, DeleteNotificationRequest, GetNotificationRequest, ListNotificationsRequest,
    MarkReadRequest, NotificationType,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::address::Base;
use crate::agrovet::foro::reactions::word;
use crate::agrovet::foro::{About, Beside, Ids, Mentions, Person, shown, shown_one};
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::NoContent;

/// A notification.
#[derive(Serialize, ToSchema)]
pub struct Notification {
    id: i64,
    recipient_id: i64,
    /// The older name of `recipient_id`.
    recipient: i64,
    actor: Person,
    /// `post_reply`, `comment_reply`, `post_reaction` or `comment_reaction`.
    notif_type: &'static str,
    summary: String,
    read: bool,
    created_at: String,
    #[serde(flatten)]
    about: About,
    post_id: i64,
}

impl Notification {
    fn of(row: v1::Notification, beside: &Beside) -> Self {
        let (notif_type, summary) = told(&row);
        Self {
            id: row.id,
            recipient_id: row.recipient_number,
            recipient: row.recipient_number,
            actor: beside.person(&row.actor_id, row.actor_number),
            notif_type,
            summary,
            read: row.read,
            created_at: time(row.created_at),
            about: row.target.into(),
            post_id: row.post_id,
        }
    }
}

/// The word of what happened, and the original's sentence, which has the number in the name's place.
fn told(row: &v1::Notification) -> (&'static str, String) {
    let actor = row.actor_number;
    let reacted = || format!("Usuario {actor} reaccionó {}", word(row.reaction()));
    match row.r#type() {
        NotificationType::PostReply => ("post_reply", format!("Usuario {actor} comentó en tu post")),
        NotificationType::CommentReply => ("comment_reply", format!("Usuario {actor} respondió a tu comentario")),
        NotificationType::PostReaction => ("post_reaction", reacted()),
        NotificationType::CommentReaction => ("comment_reaction", reacted()),
        NotificationType::Unspecified => ("", String::new()),
    }
}

impl Mentions for v1::Notification {
    fn mention<'r>(&'r self, ids: &mut Ids<'r>) {
        ids.people.push(&self.actor_id);
    }
}

/// `?unread=`.
pub struct Unread(bool);

impl Form for Unread {
    fn read(f: &mut Fields) -> Self {
        let unread = f.boolean("unread").describe("Only what was not read yet").nullable();
        Self(unread.flatten().unwrap_or(false))
    }
}

pub async fn list(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    page: Page,
    Query(Unread(unread)): Query<Unread>,
) -> Result<Json<Paged<Notification>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListNotificationsRequest { page_size, skip, unread, ..Default::default() };
            let mut notifications = edge.notifications();
            async move {
                let answer = notifications.list_notifications(request).await?.into_inner();
                Ok((answer.notifications, answer.total_size))
            }
        })
        .await?;
    Ok(shown(&edge, base, Some(caller), paged, Notification::of).await)
}

pub async fn retrieve(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<Notification>> {
    let row = edge.notifications().get_notification(GetNotificationRequest { id }).await?.into_inner();
    Ok(Json(shown_one(&edge, base, Some(caller), row, Notification::of).await))
}

/// How many are unread.
#[derive(Serialize, ToSchema)]
pub struct UnreadCount {
    unread: i32,
}

pub async fn unread_count(State(edge): State<Agrovet>, _: Caller) -> Result<Json<UnreadCount>> {
    let unread = edge.notifications().count_unread(CountUnreadRequest {}).await?.into_inner().unread;
    Ok(Json(UnreadCount { unread }))
}

/// Which ones were read.
pub struct MarkRead {
    ids: Vec<i64>,
    all: bool,
}

impl Form for MarkRead {
    fn read(f: &mut Fields) -> Self {
        let ids = f.integers("ids").optional().unwrap_or_default();
        Self { ids, all: f.boolean("all").describe("All of the caller's, instead of `ids`").or(false) }
    }
}

/// How many were meant, those read before included.
#[derive(Serialize, ToSchema)]
pub struct Updated {
    updated: i32,
}

pub async fn mark_read(
    State(edge): State<Agrovet>,
    _: Caller,
    Input(MarkRead { ids, all }): Input<MarkRead>,
) -> Result<Json<Updated>> {
    let updated = edge.notifications().mark_read(MarkReadRequest { ids, all }).await?.into_inner().matched;
    Ok(Json(Updated { updated }))
}

pub async fn delete(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<NoContent> {
    edge.notifications().delete_notification(DeleteNotificationRequest { id }).await?;
    Ok(NoContent)
}
