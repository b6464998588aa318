//! Comments. A thread is cut where it gets long or deep; `more` is the URL that continues it.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::forum::v1::{
    self, CommentDepth, CommentThread, CreateCommentRequest, DeleteCommentRequest, GetCommentRequest, GetThreadRequest,
    ListCommentsRequest, UpdateCommentRequest,
};
use serde::Serialize;
use tonic::Status;
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::foro::posts::{ALONE, IN_LIST};
use crate::agrovet::foro::reactions::{Counts, Mine};
use crate::agrovet::foro::{Beside, Ids, Mentions, Person, form_of_who_may, media_id, of_keys, shown, shown_one};
use crate::agrovet::media::Media;
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Result, time};
use crate::form::{Fields, Form, Wrong};
use crate::input::{Input, Path, Query};
use crate::routes::{Created, NoContent};

/// What stands where its author deleted a comment that had been answered.
const DELETED: &str = "[eliminado]";
/// What stands where moderators removed one.
const REMOVED: &str = "[eliminado por la moderación]";

/// A comment.
#[derive(Serialize, ToSchema)]
pub struct Comment {
    id: i64,
    user: Person,
    post_id: i64,
    /// The older name of `post_id`.
    post: i64,
    parent_id: Option<i64>,
    /// The older name of `parent_id`.
    parent: Option<i64>,
    content: String,
    media: Option<Media>,
    created_at: String,
    updated_at: String,
    /// Of any type.
    reactions_count: i64,
    /// Direct ones.
    replies_count: i64,
    /// Reactions and direct replies.
    popularity: i64,
    /// Most popular first, each with its own.
    #[schema(no_recursion)]
    replies: Vec<Comment>,
    /// URL of the replies that follow; absent when these are all.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<String>,
    reactions: Counts,
    /// The caller's; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    my_reactions: Option<Vec<Mine>>,
}

impl Comment {
    pub fn of(comment: v1::Comment, beside: &Beside) -> Self {
        let (user, content) = match (comment.deleted, comment.removed) {
            (true, _) => (Person { id: 0, name: DELETED.to_owned(), avatar: None }, DELETED.to_owned()),
            (_, removed) => {
                let user = beside.person(&comment.author_id, comment.author_number);
                (user, if removed { REMOVED.to_owned() } else { comment.content })
            }
        };
        let reactions = Counts::of(comment.reactions);
        let (replies, more) = thread(comment.replies, comment.post_id, Some(comment.id), beside);
        Self {
            id: comment.id,
            user,
            post_id: comment.post_id,
            post: comment.post_id,
            parent_id: comment.parent_id,
            parent: comment.parent_id,
            content,
            media: beside.file(&comment.media_id),
            created_at: time(comment.created_at),
            updated_at: time(comment.updated_at),
            reactions_count: reactions.sum(),
            replies_count: comment.replies_count,
            popularity: reactions.sum() + comment.replies_count,
            replies,
            more,
            reactions,
            my_reactions: beside.mine(comment.viewer_reaction.as_ref()),
        }
    }
}

impl Mentions for v1::Comment {
    fn mention<'r>(&'r self, ids: &mut Ids<'r>) {
        ids.people.push(&self.author_id);
        ids.files.push(&self.media_id);
        self.replies.iter().flat_map(|thread| &thread.comments).for_each(|reply| reply.mention(ids));
    }
}

/// The siblings below a post or a comment, and where to find those that follow.
pub fn thread(
    thread: Option<CommentThread>,
    post: i64,
    parent: Option<i64>,
    beside: &Beside,
) -> (Vec<Comment>, Option<String>) {
    let CommentThread { comments, more_token, .. } = thread.unwrap_or_default();
    let more = continued(beside.base(), post, parent, &more_token, None);
    (comments.into_iter().map(|comment| Comment::of(comment, beside)).collect(), more)
}

/// URL of the siblings that follow, if any do.
fn continued(base: &Base, post: i64, parent: Option<i64>, token: &str, size: Option<i64>) -> Option<String> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(size.map(|size| ("page_size", size.to_string())));
    query.append_pair("page_token", token);
    query.extend_pairs(parent.map(|parent| ("parent", parent.to_string())));
    let path = base.absolute(&format!("/api/foro/posts/{post}/comments/"));
    (!token.is_empty()).then(|| format!("{path}?{}", query.finish()))
}

/// Which siblings of a post's comments: `?parent=`, and `?page_token=` as `more` has it.
pub struct Siblings {
    parent: Option<i64>,
    page_token: String,
}

impl Form for Siblings {
    fn read(f: &mut Fields) -> Self {
        let parent = f.integer("parent").describe("The comment whose replies are asked for").nullable();
        let page_token = f.text("page_token").blank().max(4096).describe("Where `more` continues; instead of `page`");
        Self { parent: parent.flatten(), page_token: page_token.or(String::new()) }
    }
}

/// By page number, or from link to link: those pages show nothing twice, whatever is written meanwhile.
pub async fn of_post(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    Path(post_id): Path<i64>,
    page: Page,
    Query(Siblings { parent, page_token }): Query<Siblings>,
) -> Result<Json<Paged<Comment>>> {
    let ask = |top: i32, skip: i32, page_token: String| {
        let depth = Some(CommentDepth { top, replies: 10, levels: 5 });
        let request = GetThreadRequest { post_id, parent_id: parent, page_token, depth, skip };
        let mut comments = edge.comments();
        async move { comments.get_thread(request).await.map(|answer| answer.into_inner()) }
    };
    let paged = if page_token.is_empty() {
        page.fetch(|size, skip| {
            let asked = ask(size, skip, String::new());
            async move { asked.await.map(|thread| (thread.comments, thread.total_size)) }
        })
        .await?
    } else {
        let thread = ask(page.size() as i32, 0, page_token).await?;
        let next = continued(&base, post_id, parent, &thread.more_token, Some(page.size()));
        Paged { count: thread.total_size.into(), next, previous: None, results: thread.comments }
    };
    Ok(shown(&edge, base, caller, paged, Comment::of).await)
}

/// `?post=` and `?parent=`, also under their other names.
pub struct Filter {
    post: Option<i64>,
    parent: Option<i64>,
}

impl Form for Filter {
    fn read(f: &mut Fields) -> Self {
        let [post, post_id, parent, parent_id] =
            ["post", "post_id", "parent", "parent_id"].map(|name| f.integer(name).nullable().flatten());
        Self { post: post.or(post_id), parent: parent.or(parent_id) }
    }
}

pub async fn list(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Json<Paged<Comment>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListCommentsRequest {
                page_size,
                skip,
                post_id: filter.post,
                parent_id: filter.parent,
                depth: Some(IN_LIST),
                ..Default::default()
            };
            let mut comments = edge.comments();
            async move {
                let answer = comments.list_comments(request).await?.into_inner();
                Ok((answer.comments, answer.total_size))
            }
        })
        .await?;
    Ok(shown(&edge, base, caller, paged, Comment::of).await)
}

async fn fetch(edge: &Edge, id: i64) -> Result<v1::Comment, Status> {
    Ok(edge.comments().get_comment(GetCommentRequest { id, depth: Some(ALONE) }).await?.into_inner())
}

pub async fn retrieve(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    Path(id): Path<i64>,
) -> Result<Json<Comment>> {
    let comment = fetch(&edge, id).await?;
    Ok(Json(shown_one(&edge, base, caller, comment, Comment::of).await))
}

/// A new comment. Both the documented names and those that the original's view read count; the latter first, as there.
pub struct NewComment {
    post: i64,
    parent: Option<i64>,
    content: String,
    media: Option<i64>,
}

impl Form for NewComment {
    fn read(f: &mut Fields) -> Self {
        let [post, post_id] = ["post", "post_id"].map(|name| f.integer(name).nullable().flatten());
        let post = post.or(post_id).unwrap_or_else(|| {
            // Who sent one that is no number is told that already.
            if f.sound() {
                f.fault("post_id", Wrong::Required);
            }
            0
        });
        let [parent, parent_id] = ["parent", "parent_id"].map(|name| f.integer(name).nullable().flatten());
        Self {
            post,
            parent: parent.or(parent_id),
            content: f.text("content").max(10_000).required(),
            media: f.integer("media_id").nullable().flatten(),
        }
    }
}

pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Input(form): Input<NewComment>,
) -> Result<Created<Comment>> {
    let request = CreateCommentRequest {
        post_id: form.post,
        parent_id: form.parent,
        content: form.content,
        media_id: media_id(&edge, form.media).await?,
    };
    let comment = edge.comments().create_comment(request).await.map_err(|e| of_keys(e, None, form.media))?;
    Ok(Created(shown_one(&edge, base, Some(caller), comment.into_inner(), Comment::of).await))
}

/// Whether the caller may change a comment. What was deleted is nobody's.
async fn may_change(edge: &Edge, caller: Caller, id: i64) -> Result<()> {
    Ok(caller.may_act_for(fetch(edge, id).await?.author_id.parse().unwrap_or_default())?)
}

/// What to change of a comment; it stays where it is.
pub struct Change {
    content: Option<String>,
    media: Option<Option<i64>>,
}

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        Self { content: f.text("content").max(10_000).required_on_put(), media: f.integer("media_id").nullable() }
    }
}

pub async fn update(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    form: Result<Input<Change>>,
) -> Result<Json<Comment>> {
    let change = form_of_who_may(form, may_change(&edge, caller, id)).await?;
    let number = change.media.flatten();
    let media_id = match change.media {
        Some(number) => Some(media_id(&edge, number).await?),
        None => None,
    };
    let request = UpdateCommentRequest { id, content: change.content, media_id };
    edge.comments().update_comment(request).await.map_err(|e| of_keys(e, None, number))?;
    // The change's own answer comes without replies.
    Ok(Json(shown_one(&edge, base, Some(caller), fetch(&edge, id).await?, Comment::of).await))
}

pub async fn delete(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<NoContent> {
    edge.comments().delete_comment(DeleteCommentRequest { id }).await?;
    Ok(NoContent)
}
