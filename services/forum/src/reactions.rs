//! Reactions: one per person and thing. Reacting again changes its type and is not a second one. Whoever reacts locks the
//! thing first, so that its reactions come one after the other, and its counters move with them.

mod sql;

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, not_found};
use kit::identity::{Caller, caller};
use kit::outbox::publish;
use kit::page;
use kit::wire::timestamp;
use proto::events::v1::ForumReactionAdded;
use proto::forum::v1::reaction_service_server::ReactionService;
use proto::forum::v1::{
    DeleteReactionRequest, DeleteReactionResponse, ListReactionsRequest, ListReactionsResponse, NotificationType,
    ReactRequest, ReactResponse, Reaction, ReactionType, Target, TargetKind,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use self::sql::*;
use crate::Forum;
use crate::interactions::add_reactions;
use crate::memberships::refuse_banned;
use crate::notifications::{Notice, correct, notify};

#[tonic::async_trait]
impl ReactionService for Forum {
    async fn react(&self, request: Request<ReactRequest>) -> Result<Response<ReactResponse>, Status> {
        let caller = caller(&request)?;
        let kind = request.get_ref().r#type();
        let thing = Thing::of(request.get_ref().target);
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        self.rules.limits.take_reaction(&mut tx, caller.id, now).await?;
        let locked = lock(&mut tx, thing).await?.filter(|locked| !locked.gone).ok_or_else(no_such_thing)?;
        if let Some(community) = locked.community_id {
            refuse_banned(&mut *tx, community, caller.id).await?;
        }
        let before = fetch_own(&mut *tx, caller.id, thing).await?;
        let created = before.is_none();
        let reaction = match before {
            Some(row) if row.kind == name_of(kind) => row,
            Some(row) => {
                count(&mut tx, thing, type_of(&row.kind), -1).await?;
                count(&mut tx, thing, kind, 1).await?;
                let row = update_type(&mut *tx, row.id, kind).await?;
                correct(&mut tx, &Notice::of(caller, &locked, thing, kind)).await?;
                row
            }
            None => {
                count(&mut tx, thing, kind, 1).await?;
                let row = insert_reaction(&mut *tx, caller, thing, kind, now).await?;
                tell(&mut tx, caller, &locked, &row, now).await?;
                row
            }
        };
        commit(tx).await?;
        Ok(Response::new(ReactResponse { reaction: Some(reaction.into()), created }))
    }

    async fn delete_reaction(
        &self,
        request: Request<DeleteReactionRequest>,
    ) -> Result<Response<DeleteReactionResponse>, Status> {
        let caller = caller(&request)?;
        let id = request.get_ref().id;
        let mut tx = begin(&self.db).await?;
        let thing = fetch_reaction(&mut *tx, caller.id, id).await?.ok_or_else(no_such_reaction)?.thing();
        // Also from a thing that is gone from sight.
        let locked = lock(&mut tx, thing).await?.ok_or_else(no_such_reaction)?;
        let kind = delete_reaction(&mut *tx, id).await?.ok_or_else(no_such_reaction)?;
        count(&mut tx, thing, type_of(&kind), -1).await?;
        if let Thing::Post(_) = thing {
            add_reactions(&mut *tx, caller.id, locked.author.0, -1).await?;
        }
        commit(tx).await?;
        Ok(Response::new(DeleteReactionResponse {}))
    }

    async fn list_reactions(
        &self,
        request: Request<ListReactionsRequest>,
    ) -> Result<Response<ListReactionsResponse>, Status> {
        let ListReactionsRequest { target, page_size, page_token, skip } = request.into_inner();
        let thing = Thing::of(target);
        let scope = format!("ListReactions {thing:?}");
        let after = self.pager.open::<Place>(&scope, &page_token)?;
        let size = page::size(page_size, 20, 100);

        let total_size = fetch_total(&self.db, thing).await?.ok_or_else(no_such_thing)?;
        // One more than asked tells whether there is a next page.
        let mut rows = list_reactions(&self.db, thing, after, size + 1, skip.into()).await?;
        let next_page_token =
            self.pager.cut(&scope, &mut rows, size, |last| Place { created_at: last.created_at, id: last.id })?;
        let reactions = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(ListReactionsResponse { reactions, next_page_token, total_size }))
    }
}

/// What follows from a reaction that was not there before.
async fn tell(
    tx: &mut PgConnection,
    caller: Caller,
    locked: &Locked,
    row: &Row,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    let thing = row.thing();
    // Only those to posts say what somebody likes to read.
    if let Thing::Post(_) = thing {
        add_reactions(&mut *tx, caller.id, locked.author.0, 1).await?;
    }
    notify(tx, &Notice::of(caller, locked, thing, type_of(&row.kind)), thing.id(), now).await?;
    let event = ForumReactionAdded {
        reaction_id: row.id,
        user_id: caller.number,
        user_uuid: caller.id.to_string(),
        r#type: row.kind.to_lowercase(),
        content_type: thing.name().to_owned(),
        object_id: thing.id(),
    };
    publish(tx, &thing.id().to_string(), &event).await
}

impl Notice {
    /// That somebody reacted.
    fn of(actor: Caller, locked: &Locked, thing: Thing, reaction: ReactionType) -> Self {
        let kind = match thing {
            Thing::Post(_) => NotificationType::PostReaction,
            Thing::Comment(_) => NotificationType::CommentReaction,
        };
        let (post_id, comment_id) = (locked.post_id, thing.comment());
        Self { recipient: locked.author, actor, kind, post_id, comment_id, reaction: Some(reaction) }
    }
}

/// What may be reacted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Post(i64),
    Comment(i64),
}

impl Thing {
    fn of(target: Option<Target>) -> Self {
        let Target { kind, id } = target.unwrap_or_default();
        if kind == TargetKind::Comment as i32 { Self::Comment(id) } else { Self::Post(id) }
    }

    fn id(self) -> i64 {
        match self {
            Self::Post(id) | Self::Comment(id) => id,
        }
    }

    /// As in events.
    fn name(self) -> &'static str {
        match self {
            Self::Post(_) => "post",
            Self::Comment(_) => "comment",
        }
    }

    fn post(self) -> Option<i64> {
        if let Self::Post(id) = self { Some(id) } else { None }
    }

    fn comment(self) -> Option<i64> {
        if let Self::Comment(id) = self { Some(id) } else { None }
    }
}

/// What a reaction must know of a thing.
struct Locked {
    /// Id and number.
    author: (Uuid, i64),
    post_id: i64,
    community_id: Option<i64>,
    /// Deleted or removed, or on a removed post.
    gone: bool,
}

/// A row of `reactions`.
struct Row {
    id: i64,
    user_id: Uuid,
    user_number: i64,
    post_id: Option<i64>,
    comment_id: Option<i64>,
    kind: String,
    created_at: DateTime<Utc>,
}

impl Row {
    fn thing(&self) -> Thing {
        match (self.post_id, self.comment_id) {
            (_, Some(id)) => Thing::Comment(id),
            (post, None) => Thing::Post(post.unwrap_or_default()),
        }
    }
}

impl From<Row> for Reaction {
    fn from(row: Row) -> Self {
        let kind = match row.thing() {
            Thing::Post(_) => TargetKind::Post,
            Thing::Comment(_) => TargetKind::Comment,
        };
        Self {
            id: row.id,
            user_id: row.user_id.to_string(),
            user_number: row.user_number,
            r#type: type_of(&row.kind).into(),
            target: Some(Target { kind: kind.into(), id: row.thing().id() }),
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

/// As in the database: `HEART`.
pub(crate) fn name_of(kind: ReactionType) -> &'static str {
    kind.as_str_name().trim_start_matches("REACTION_TYPE_")
}

pub(crate) fn type_of(name: &str) -> ReactionType {
    ReactionType::from_str_name(&format!("REACTION_TYPE_{name}")).unwrap_or_default()
}

/// Where a page ends.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    created_at: DateTime<Utc>,
    id: i64,
}

fn no_such_thing() -> Error {
    not_found("TARGET_NOT_FOUND", "no such post or comment")
}

fn no_such_reaction() -> Error {
    not_found("REACTION_NOT_FOUND", "no such reaction of yours")
}
