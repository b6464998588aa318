//! Posts. A list shows whole posts with the beginning of their comments, as the original did; how much of them comes
//! along is bounded here, and `more` continues it.

use axum::Json;
use axum::extract::State;
use http::Method;
use kit::identity::Caller;
use kit::net::network;
use kit::seal;
use proto::forum::v1::{
    self, CommentDepth, CreatePostRequest, DeletePostRequest, GetCommunityRequest, GetPostRequest, ListFeedRequest,
    ListPostsRequest, ListPostsResponse, ListRelevantRequest, PostOrder, TimeWindow, UpdatePostRequest,
    ViewPostRequest, get_community_request,
};
use serde::Serialize;
use tonic::{Code, Response, Status};
use tracing::Instrument;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::{Base, Client};
use crate::agrovet::foro::comments::{self, Comment};
use crate::agrovet::foro::communities::Community;
use crate::agrovet::foro::reactions::{Counts, Mine};
use crate::agrovet::foro::{Author, Beside, Ids, Mentions, form_of_who_may, media_id, of_keys, shown, shown_one};
use crate::agrovet::media::Media;
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Error, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::{Created, NoContent};

/// How much of its comments a post brings along: as much as an answer may have, because the frontend knows no next page.
pub const ALONE: CommentDepth = CommentDepth { top: 100, replies: 100, levels: 10 };
/// The same for each post of a list.
pub const IN_LIST: CommentDepth = CommentDepth { top: 5, replies: 3, levels: 5 };

/// The wire words of the orders.
const ORDERS: &[(&str, PostOrder)] = &[
    ("new", PostOrder::New),
    ("top", PostOrder::Top),
    ("hot", PostOrder::Hot),
    ("active", PostOrder::Active),
    ("controversial", PostOrder::Controversial),
];

/// The wire words of how far back an order looks.
const WINDOWS: &[(&str, TimeWindow)] = &[
    ("day", TimeWindow::Day),
    ("week", TimeWindow::Week),
    ("month", TimeWindow::Month),
    ("year", TimeWindow::Year),
    ("all", TimeWindow::All),
];

/// A post.
#[derive(Serialize, ToSchema)]
pub struct Post {
    id: i64,
    author: Author,
    title: String,
    content: String,
    media: Option<Media>,
    community: Option<Community>,
    created_at: String,
    updated_at: String,
    views_count: i64,
    relevance_score: f64,
    /// Replies included.
    comments_count: i64,
    /// Of any type.
    reactions_count: i64,
    /// Most popular first, each with its replies.
    comments: Vec<Comment>,
    /// URL of the comments that follow; absent when these are all.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<String>,
    reactions: Counts,
    /// The caller's; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    my_reactions: Option<Vec<Mine>>,
    last_activity_at: String,
    /// Nobody may comment any more.
    locked: bool,
    pinned: bool,
    /// Moderators removed it.
    removed: bool,
}

impl Post {
    pub fn of(post: v1::Post, beside: &Beside) -> Self {
        let reactions = Counts::of(post.reactions);
        let (comments, more) = comments::thread(post.comments, post.id, None, beside);
        Self {
            id: post.id,
            author: beside.author(&post.author_id, post.author_number),
            title: post.title,
            content: post.content,
            media: beside.file(&post.media_id),
            community: post.community.map(|community| Community::of_post(community, beside.base())),
            created_at: time(post.created_at),
            updated_at: time(post.updated_at),
            views_count: post.views_count,
            relevance_score: post.relevance_score,
            comments_count: post.comments_count,
            reactions_count: reactions.sum(),
            comments,
            more,
            reactions,
            my_reactions: beside.mine(post.viewer_reaction.as_ref()),
            last_activity_at: time(post.last_activity_at),
            locked: post.locked,
            pinned: post.pinned,
            removed: post.removed,
        }
    }
}

impl Mentions for v1::Post {
    fn mention<'r>(&'r self, ids: &mut Ids<'r>) {
        ids.people.push(&self.author_id);
        ids.authors.push(&self.author_id);
        ids.files.push(&self.media_id);
        self.comments.iter().flat_map(|thread| &thread.comments).for_each(|comment| comment.mention(ids));
    }
}

fn rows(answer: Response<ListPostsResponse>) -> (Vec<v1::Post>, i32) {
    let ListPostsResponse { posts, total_size, .. } = answer.into_inner();
    (posts, total_size)
}

/// `?order=` and `?window=`, which the original has not.
#[derive(Clone, Copy)]
pub struct Order(PostOrder, TimeWindow);

impl Form for Order {
    fn read(f: &mut Fields) -> Self {
        let order = f.choice("order", ORDERS).describe("`new` unless given").nullable().flatten();
        let window = f.choice("window", WINDOWS).describe("How far back `top` and `controversial` look");
        Self(order.unwrap_or(PostOrder::New), window.nullable().flatten().unwrap_or(TimeWindow::All))
    }
}

pub async fn list(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    page: Page,
    Query(order): Query<Order>,
) -> Result<Json<Paged<Post>>> {
    let paged = fetch_list(&edge, page, order, None).await?;
    Ok(shown(&edge, base, caller, paged, Post::of).await)
}

async fn fetch_list(edge: &Edge, page: Page, order: Order, community_id: Option<i64>) -> Result<Paged<v1::Post>> {
    let Order(order, window) = order;
    page.fetch(|page_size, skip| {
        let request = ListPostsRequest {
            page_size,
            skip,
            community_id,
            order: order.into(),
            window: window.into(),
            comments: Some(IN_LIST),
            ..Default::default()
        };
        let mut posts = edge.posts();
        async move { posts.list_posts(request).await.map(rows) }
    })
    .await
}

pub async fn feed(State(edge): State<Agrovet>, base: Base, caller: Caller, page: Page) -> Result<Json<Paged<Post>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListFeedRequest { page_size, skip, comments: Some(IN_LIST), ..Default::default() };
            let mut posts = edge.posts();
            async move { posts.list_feed(request).await.map(rows) }
        })
        .await?;
    Ok(shown(&edge, base, Some(caller), paged, Post::of).await)
}

pub async fn relevant(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    page: Page,
) -> Result<Json<Paged<Post>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListRelevantRequest { page_size, skip, comments: Some(IN_LIST), ..Default::default() };
            let mut posts = edge.posts();
            async move { posts.list_relevant(request).await.map(rows) }
        })
        .await?;
    Ok(shown(&edge, base, Some(caller), paged, Post::of).await)
}

/// Which community: `?slug=`, or else `?id=`.
pub struct Which {
    slug: String,
    id: String,
    order: Order,
}

impl Form for Which {
    fn read(f: &mut Fields) -> Self {
        let slug = f.text("slug").blank().describe("Its slug").or(String::new());
        let id = f.text("id").blank().describe("Its id, unless there is a slug").or(String::new());
        Self { slug, id, order: Order::read(f) }
    }
}

/// An unknown slug is 404 and an unknown id an empty page, as in the original.
pub async fn by_community(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    page: Page,
    Query(which): Query<Which>,
) -> Result<Json<Paged<Post>>> {
    let id = match (which.slug, which.id) {
        (slug, _) if !slug.is_empty() => {
            let request = GetCommunityRequest { key: Some(get_community_request::Key::Slug(slug)) };
            let found = edge.communities().get_community(request).await;
            // A slug that the contract's rule refuses is nobody's either.
            let nobodys = |status: Status| match status.code() {
                Code::NotFound | Code::InvalidArgument => Error::detail(404, "Comunidad no encontrada"),
                _ => status.into(),
            };
            found.map_err(nobodys)?.into_inner().id
        }
        (_, id) if id.is_empty() => return Err(Error::detail(400, "slug or id required")),
        (_, id) => id.parse().map_err(|_| Error::detail(404, "No encontrado."))?,
    };
    let paged = fetch_list(&edge, page, which.order, Some(id)).await?;
    Ok(shown(&edge, base, caller, paged, Post::of).await)
}

async fn fetch(edge: &Edge, id: i64) -> Result<v1::Post, Status> {
    Ok(edge.posts().get_post(GetPostRequest { id, comments: Some(ALONE) }).await?.into_inner())
}

pub async fn retrieve(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    client: Client,
    method: Method,
    Path(id): Path<i64>,
) -> Result<Json<Post>> {
    let post = fetch(&edge, id).await?;
    // HEAD asks whether it is there; nobody read anything.
    if method == Method::GET {
        count_view(&edge, client, id);
    }
    Ok(Json(shown_one(&edge, base, caller, post, Post::of).await))
}

/// Nobody waits for it: the reader has the post before somebody else's view of it has been written down. Of who is
/// signed out only a hash of the address is told.
fn count_view(edge: &Edge, client: Client, id: i64) {
    let key = edge.config.mesh.secret.derive("forum views");
    let visitor = seal::hex(&seal::hmac(&key, network(client.ip).to_string().as_bytes())[..16]);
    let mut posts = edge.posts();
    let view = async move {
        if let Err(status) = posts.view_post(ViewPostRequest { id, visitor }).await {
            tracing::warn!(post.id = id, code = ?status.code(), "a view was not counted");
        }
    };
    tokio::spawn(kit::context::scope(kit::context::current(), view).in_current_span());
}

/// A new post.
pub struct NewPost {
    title: String,
    content: String,
    community: Option<i64>,
    media: Option<i64>,
}

impl Form for NewPost {
    fn read(f: &mut Fields) -> Self {
        Self {
            title: f.text("title").max(255).required(),
            content: f.text("content").max(40_000).required(),
            community: community(f).flatten(),
            media: f.integer("media_id").nullable().flatten(),
        }
    }
}

/// `community_id`, or the older name when that one is missing, null or zero; null is none.
fn community(f: &mut Fields) -> Option<Option<i64>> {
    let given = f.integer("community_id").nullable();
    let alias = f.integer("community").describe("The older name of `community_id`").nullable();
    match given {
        Some(Some(id)) if id != 0 => given,
        _ => alias.or(given).map(|id| id.filter(|id| *id != 0)),
    }
}

pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Input(form): Input<NewPost>,
) -> Result<Created<Post>> {
    let request = CreatePostRequest {
        title: form.title,
        content: form.content,
        community_id: form.community,
        media_id: media_id(&edge, form.media).await?,
    };
    let post = edge.posts().create_post(request).await.map_err(|e| of_keys(e, form.community, form.media))?;
    Ok(Created(shown_one(&edge, base, Some(caller), post.into_inner(), Post::of).await))
}

/// Whether the caller may change a post.
async fn may_change(edge: &Edge, caller: Caller, id: i64) -> Result<()> {
    Ok(caller.may_act_for(fetch(edge, id).await?.author_id.parse().unwrap_or_default())?)
}

/// What to change of a post; the file stays, as in the original.
pub struct Change {
    title: Option<String>,
    content: Option<String>,
    community: Option<Option<i64>>,
}

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        Self {
            title: f.text("title").max(255).required_on_put(),
            content: f.text("content").max(40_000).required_on_put(),
            community: changed_community(f),
        }
    }
}

/// The frontend sends back the whole post it was shown, in which `community` is an object: that changes nothing.
fn changed_community(f: &mut Fields) -> Option<Option<i64>> {
    f.integer("community_id").nullable().map(|id| id.filter(|id| *id != 0))
}

pub async fn update(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    form: Result<Input<Change>>,
) -> Result<Json<Post>> {
    let change = form_of_who_may(form, may_change(&edge, caller, id)).await?;
    let community_id = change.community.flatten();
    let request = UpdatePostRequest {
        id,
        title: change.title,
        content: change.content,
        community_id,
        clear_community: change.community == Some(None),
    };
    edge.posts().update_post(request).await.map_err(|e| of_keys(e, community_id, None))?;
    // The change's own answer comes without comments.
    Ok(Json(shown_one(&edge, base, Some(caller), fetch(&edge, id).await?, Post::of).await))
}

pub async fn delete(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<NoContent> {
    edge.posts().delete_post(DeletePostRequest { id }).await?;
    Ok(NoContent)
}
