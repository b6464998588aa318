//! Reactions: one per person and thing; reacting again changes its type.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::forum::v1::{
    self, DeleteReactionRequest, ListReactionsRequest, ReactRequest, ReactionCounts, ReactionType, TargetKind,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::foro::{Beside, Ids, KINDS, Mentions, Named, Person, shown, shown_one};
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::{NewOr, NoContent};

/// The wire words of the types.
const TYPES: &[(&str, ReactionType)] =
    &[("heart", ReactionType::Heart), ("like", ReactionType::Like), ("dislike", ReactionType::Dislike)];

pub fn word(kind: ReactionType) -> &'static str {
    TYPES.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| word)
}

/// A reaction.
#[derive(Serialize, ToSchema)]
pub struct Reaction {
    id: i64,
    user: Person,
    /// `heart`, `like` or `dislike`.
    r#type: &'static str,
    /// 9 of a post, 10 of a comment.
    content_type: Option<i64>,
    /// `post` or `comment`.
    target_type: Option<&'static str>,
    object_id: Option<i64>,
    created_at: String,
}

impl Reaction {
    fn of(reaction: v1::Reaction, beside: &Beside) -> Self {
        let kind = reaction.target.map(|target| target.kind());
        let kind = KINDS.iter().find(|(known, ..)| Some(*known) == kind);
        Self {
            id: reaction.id,
            user: beside.person(&reaction.user_id, reaction.user_number),
            r#type: word(reaction.r#type()),
            content_type: kind.map(|(_, number, _)| *number),
            target_type: kind.map(|(.., word)| *word),
            object_id: reaction.target.map(|target| target.id),
            created_at: time(reaction.created_at),
        }
    }
}

impl Mentions for v1::Reaction {
    fn mention<'r>(&'r self, ids: &mut Ids<'r>) {
        ids.people.push(&self.user_id);
    }
}

/// The caller's own reaction to what it stands in.
#[derive(Serialize, ToSchema)]
#[schema(as = MyReaction)]
pub struct Mine {
    id: i64,
    r#type: &'static str,
}

impl Mine {
    pub fn of(reaction: &v1::Reaction) -> Self {
        Self { id: reaction.id, r#type: word(reaction.r#type()) }
    }
}

/// How many of each type.
#[derive(Serialize, ToSchema)]
#[schema(as = ReactionCounts)]
pub struct Counts {
    heart: i64,
    like: i64,
    dislike: i64,
}

impl Counts {
    pub fn of(counts: Option<ReactionCounts>) -> Self {
        let ReactionCounts { hearts, likes, dislikes } = counts.unwrap_or_default();
        Self { heart: hearts, like: likes, dislike: dislikes }
    }

    pub fn sum(&self) -> i64 {
        self.heart + self.like + self.dislike
    }
}

pub async fn list(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    page: Page,
    Query(named): Query<Named>,
) -> Result<Json<Paged<Reaction>>> {
    let target = named.target()?;
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListReactionsRequest { target: Some(target), page_size, skip, ..Default::default() };
            let mut reactions = edge.reactions();
            async move {
                let answer = reactions.list_reactions(request).await?.into_inner();
                Ok((answer.reactions, answer.total_size))
            }
        })
        .await?;
    Ok(shown(&edge, base, caller, paged, Reaction::of).await)
}

/// A reaction to anything.
pub struct React {
    kind: ReactionType,
    named: Named,
}

impl Form for React {
    fn read(f: &mut Fields) -> Self {
        Self { kind: f.choice("type", TYPES).required(), named: Named::read(f) }
    }
}

pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Input(form): Input<React>,
) -> Result<NewOr<Reaction>> {
    react(&edge, base, caller, form.named.target()?, form.kind).await
}

/// A reaction to the post in the path.
pub struct ReactToPost(ReactionType);

impl Form for ReactToPost {
    fn read(f: &mut Fields) -> Self {
        Self(f.choice("type", TYPES).or(ReactionType::Like))
    }
}

pub async fn to_post(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    Input(ReactToPost(kind)): Input<ReactToPost>,
) -> Result<NewOr<Reaction>> {
    let target = v1::Target { kind: TargetKind::Post.into(), id };
    react(&edge, base, caller, target, kind).await
}

async fn react(
    edge: &Edge,
    base: Base,
    caller: Caller,
    target: v1::Target,
    kind: ReactionType,
) -> Result<NewOr<Reaction>> {
    let request = ReactRequest { target: Some(target), r#type: kind.into() };
    let answer = edge.reactions().react(request).await?.into_inner();
    let reaction = answer.reaction.unwrap_or_default();
    let body = shown_one(edge, base, Some(caller), reaction, Reaction::of).await;
    Ok(NewOr { new: answer.created, body })
}

pub async fn remove(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<NoContent> {
    edge.reactions().delete_reaction(DeleteReactionRequest { id }).await?;
    Ok(NoContent)
}
