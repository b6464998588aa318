//! Posts and their lists. A list is two steps: which ids, see `lists`, then their rows. Removed posts are
//! shown to their author, moderators and administrators only, and stand in no list.

mod sql;

use chrono::{DateTime, TimeDelta, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, aborted, invalid_because, not_found, refused};
use kit::identity::{Caller, caller, try_caller};
use kit::outbox::publish;
use kit::page;
use kit::wire::{parse_id, timestamp};
use proto::events::v1::ForumPostCreated;
use proto::forum::v1::post_service_server::PostService;
use proto::forum::v1::{
    CommentDepth, CreatePostRequest, DeletePostRequest, DeletePostResponse, GetPostRequest, ListFeedRequest,
    ListPostsRequest, ListPostsResponse, ListRelevantRequest, Post, PostCommunity, PostOrder, Reaction, ReactionCounts,
    Target, TargetKind, TimeWindow, UpdatePostRequest, ViewPostRequest, ViewPostResponse,
};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Forum;
use crate::communities::{add_posts, lock_community};
use crate::lists::{List, Order, Page};
use crate::memberships::refuse_banned;
use crate::moderation::{About, Action, Deed, moderates};
use crate::pictures::keep_attachment;
use crate::reactions::type_of;
use sql::*;

pub(crate) use sql::{LockedPost, delete_old_views, lock_post, lock_reported};

/// Until the same viewer counts again.
const VIEW_PAUSE: TimeDelta = TimeDelta::minutes(30);

#[tonic::async_trait]
impl PostService for Forum {
    async fn list_posts(&self, request: Request<ListPostsRequest>) -> Result<Response<ListPostsResponse>, Status> {
        let viewer = try_caller(&request);
        let request = request.into_inner();
        let list = List {
            order: request.order().into(),
            community: request.community_id,
            author: match &*request.author_id {
                "" => None,
                id => Some(parse_id("author_id", id)?),
            },
            window: window(request.order(), request.window()),
        };
        let page = self.page(&list, size(request.page_size), i64::from(request.skip), &request.page_token).await?;
        Ok(Response::new(self.shown(page, viewer, request.comments).await?))
    }

    async fn list_feed(&self, request: Request<ListFeedRequest>) -> Result<Response<ListPostsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (size, skip) = (size(request.page_size), i64::from(request.skip));
        let page = self.feed(caller, size, skip, &request.page_token).await?;
        Ok(Response::new(self.shown(page, Some(caller), request.comments).await?))
    }

    async fn list_relevant(
        &self,
        request: Request<ListRelevantRequest>,
    ) -> Result<Response<ListPostsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (size, skip) = (size(request.page_size), i64::from(request.skip));
        let page = self.relevant(caller, size, skip, &request.page_token).await?;
        Ok(Response::new(self.shown(page, Some(caller), request.comments).await?))
    }

    async fn get_post(&self, request: Request<GetPostRequest>) -> Result<Response<Post>, Status> {
        let viewer = try_caller(&request);
        let GetPostRequest { id, comments } = request.into_inner();
        let row = fetch_post(&self.db, id, viewer.map(|viewer| viewer.id)).await?.ok_or_else(no_such_post)?;
        if row.removed_at.is_some() && !self.may_see_removed(&row, viewer).await? {
            return Err(no_such_post().into());
        }
        let comments = self.threads(viewer, &[id], comments).await?.remove(&id);
        Ok(Response::new(Post { comments, ..row.into() }))
    }

    async fn view_post(&self, request: Request<ViewPostRequest>) -> Result<Response<ViewPostResponse>, Status> {
        let viewer = try_caller(&request);
        let ViewPostRequest { id, visitor } = request.into_inner();
        let name = match viewer {
            Some(viewer) => viewer.id.to_string(),
            // Not a person's id, whatever the edge makes of the address.
            None => format!("visitor {visitor}"),
        };
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let author = fetch_author(&mut *tx, id).await?.ok_or_else(no_such_post)?;
        let counted = viewer.is_none_or(|viewer| viewer.id != author)
            && insert_view(&mut tx, id, &name, now, now - VIEW_PAUSE).await?;
        if counted {
            add_view(&mut tx, id).await?;
        }
        commit(tx).await?;
        Ok(Response::new(ViewPostResponse { counted }))
    }

    async fn create_post(&self, request: Request<CreatePostRequest>) -> Result<Response<Post>, Status> {
        let caller = caller(&request)?;
        let new = request.into_inner();
        let media_id = self.attachment(&new.media_id).await?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        self.rules.limits.take_write(&mut tx, caller.id, now).await?;
        if let Some(community_id) = new.community_id {
            enter_community(&mut tx, community_id, caller.id).await?;
            add_posts(&mut tx, community_id, 1).await?;
        }
        let id = insert_post(&mut tx, &new, media_id, caller, now).await?;
        keep_attachment(&mut tx, media_id).await?;
        let post = fetch_post(&mut *tx, id, Some(caller.id)).await?.ok_or_else(no_such_post)?;
        let event = ForumPostCreated {
            post_id: id,
            author_id: caller.number,
            author_uuid: caller.id.to_string(),
            title: new.title,
            community_id: new.community_id,
        };
        publish(&mut tx, &id.to_string(), &event).await?;
        commit(tx).await?;
        Ok(Response::new(post.into()))
    }

    async fn update_post(&self, request: Request<UpdatePostRequest>) -> Result<Response<Post>, Status> {
        let caller = caller(&request)?;
        let change = request.into_inner();
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        // Communities are locked before posts, hence this look ahead; what it saw is checked below. Whose post it is and
        // that it was removed come before what is wrong with the change.
        let seen = fetch_place(&mut *tx, change.id).await?.ok_or_else(no_such_post)?;
        may_update(caller, &seen)?;
        let goal = match change.community_id {
            _ if change.clear_community => None,
            Some(community_id) => Some(community_id),
            None => seen.community_id,
        };
        lock_communities(&mut tx, seen.community_id, goal, caller.id).await?;
        let before = lock_post_in(&mut tx, change.id, seen.community_id).await?;
        if before.removed_at.is_some() != seen.removed {
            return Err(overtaken().into());
        }
        let moves = goal != before.community_id;
        if moves {
            refuse_tied(&mut tx, &before, goal, caller).await?;
        }
        update_post(&mut tx, &change, goal, now).await?;
        if moves {
            follow_post(&mut tx, &before, goal).await?;
        }
        let about = About::Post(change.id);
        let deed = Deed { community_id: before.community_id, action: Action::Edit, about, reason: "" };
        deed.log_unless_own(&mut tx, caller, before.author_id, now).await?;
        let post = fetch_post(&mut *tx, change.id, Some(caller.id)).await?.ok_or_else(no_such_post)?;
        commit(tx).await?;
        Ok(Response::new(post.into()))
    }

    async fn delete_post(&self, request: Request<DeletePostRequest>) -> Result<Response<DeletePostResponse>, Status> {
        let caller = caller(&request)?;
        let id = request.get_ref().id;
        let mut tx = begin(&self.db).await?;
        let post = lock_placed(&mut tx, id).await?;
        may_change(caller, post.author_id, post.removed_at.is_some())?;
        if let (Some(community_id), None) = (post.community_id, post.removed_at) {
            add_posts(&mut tx, community_id, -1).await?;
        }
        lock_alone(&mut tx, id).await?;
        lock_reported(&mut tx, id).await?;
        // What people did on the post no longer makes its author's other posts relevant to them.
        lock_interactions(&mut tx, id).await?;
        subtract_interactions(&mut tx, id).await?;
        lock_notifications(&mut tx, id).await?;
        delete_post(&mut tx, id).await?;
        let about = About::Post(id);
        let deed = Deed { community_id: post.community_id, action: Action::Delete, about, reason: "" };
        deed.log_unless_own(&mut tx, caller, post.author_id, self.clock.now()).await?;
        commit(tx).await?;
        Ok(Response::new(DeletePostResponse {}))
    }
}

impl Forum {
    /// The rows of a page's ids, with their comments. What was removed since the ranking was made is missing, and nothing
    /// takes its place.
    async fn shown(
        &self,
        page: Page,
        viewer: Option<Caller>,
        comments: Option<CommentDepth>,
    ) -> kit::Result<ListPostsResponse> {
        let rows = fetch_posts(&self.db, &page.ids, viewer.map(|viewer| viewer.id)).await?;
        let mut threads = self.threads(viewer, &page.ids, comments).await?;
        let posts = rows.into_iter().map(|row| Post { comments: threads.remove(&row.id), ..row.into() }).collect();
        Ok(ListPostsResponse { posts, next_page_token: page.next_page_token, total_size: page.total_size })
    }

    async fn may_see_removed(&self, row: &PostRow, viewer: Option<Caller>) -> kit::Result<bool> {
        let Some(viewer) = viewer else { return Ok(false) };
        Ok(viewer.id == row.author_id || moderates(&self.db, row.community_id, viewer).await?)
    }
}

/// A post and, before it, its community, locked for a change that moves counters.
pub(crate) async fn lock_placed(conn: &mut PgConnection, id: i64) -> kit::Result<LockedPost> {
    let seen = fetch_place(&mut *conn, id).await?.ok_or_else(no_such_post)?.community_id;
    if let Some(community_id) = seen {
        lock_community(conn, community_id).await?;
    }
    lock_post_in(conn, id, seen).await
}

/// A post, locked after its community, where it must be still.
async fn lock_post_in(conn: &mut PgConnection, id: i64, community_id: Option<i64>) -> kit::Result<LockedPost> {
    let post = lock_post(conn, id).await?.ok_or_else(no_such_post)?;
    if post.community_id == community_id { Ok(post) } else { Err(overtaken()) }
}

/// Author and administrators. To others a post that was removed does not exist.
fn may_change(caller: Caller, author_id: Uuid, removed: bool) -> kit::Result<()> {
    caller.may_act_for(author_id).map_err(|refusal| if removed { no_such_post() } else { refusal })
}

/// As [`may_change`]; what was removed stays as it is for its author, too.
fn may_update(caller: Caller, post: &Place) -> kit::Result<()> {
    may_change(caller, post.author_id, post.removed)?;
    if post.removed && !caller.admin() {
        return Err(refused("LOCKED", "moderators removed this post"));
    }
    Ok(())
}

/// Locks the communities between which somebody wants to move a post: by their ids, so that of two who move posts to and
/// fro one waits for the other and never both. `goal` must let them post. It is not locked when the post is there already.
async fn lock_communities(
    conn: &mut PgConnection,
    from: Option<i64>,
    goal: Option<i64>,
    user: Uuid,
) -> kit::Result<()> {
    if goal == from {
        return match goal {
            Some(community_id) => refuse_banned(conn, community_id, user).await,
            None => Ok(()),
        };
    }
    let mut touched: Vec<i64> = from.into_iter().chain(goal).collect();
    touched.sort_unstable();
    for community_id in touched {
        if Some(community_id) == goal {
            enter_community(conn, community_id, user).await?;
        } else {
            lock_community(conn, community_id).await?;
        }
    }
    Ok(())
}

/// Refuses to move a post away from what moderators or others did on it, unless to those who moderate it. Or what
/// moderators do would be undone, and others be moderated, by whom the author chose.
async fn refuse_tied(conn: &mut PgConnection, post: &LockedPost, goal: Option<i64>, caller: Caller) -> kit::Result<()> {
    if moderates(&mut *conn, post.community_id, caller).await? {
        return Ok(());
    }
    let moderates_there = moderates(&mut *conn, goal, caller).await?;
    let bonds = fetch_bonds(&mut *conn, post.id, moderates_there).await?;
    if post.locked_at.is_some() || bonds.reported || bonds.moderated || bonds.others {
        return Err(refused("LOCKED", "what moderators or others did on this post keeps it here"));
    }
    Ok(())
}

/// The communities' counters and the moderators' queue follow a post to where it was moved.
async fn follow_post(conn: &mut PgConnection, post: &LockedPost, goal: Option<i64>) -> kit::Result<()> {
    if post.removed_at.is_none() {
        for (community_id, more) in [(post.community_id, -1), (goal, 1)] {
            if let Some(community_id) = community_id {
                add_posts(&mut *conn, community_id, more).await?;
            }
        }
    }
    move_reports(conn, post.id, goal).await
}

/// Locks the community into which somebody wants to post. A ban that is being made waits for this lock, or we for it.
async fn enter_community(conn: &mut PgConnection, id: i64, user: Uuid) -> kit::Result<()> {
    let unknown = || invalid_because("community_id", "COMMUNITY_NOT_FOUND", "no such community");
    lock_community(conn, id).await?.ok_or_else(unknown)?;
    refuse_banned(&mut *conn, id, user).await
}

/// A row of `posts` with its community and the viewer's reaction.
pub(crate) struct PostRow {
    id: i64,
    author_id: Uuid,
    author_number: i64,
    title: String,
    content: String,
    media_id: Option<Uuid>,
    community_id: Option<i64>,
    views_count: i64,
    relevance_score: f64,
    comments_count: i64,
    hearts: i64,
    likes: i64,
    dislikes: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    last_activity_at: DateTime<Utc>,
    locked_at: Option<DateTime<Utc>>,
    pinned_at: Option<DateTime<Utc>>,
    removed_at: Option<DateTime<Utc>>,
    // Of the community, when there is one.
    name: Option<String>,
    slug: Option<String>,
    short_description: Option<String>,
    description: Option<String>,
    cover_image: Option<String>,
    avatar: Option<String>,
    members_count: Option<i64>,
    made_by: Option<i64>,
    made_at: Option<DateTime<Utc>>,
    // Of the viewer's reaction, when there is one.
    reaction_id: Option<i64>,
    reaction_type: Option<String>,
    reacted_by: Option<Uuid>,
    reacted_by_number: Option<i64>,
    reacted_at: Option<DateTime<Utc>>,
}

impl From<PostRow> for Post {
    fn from(row: PostRow) -> Self {
        Self {
            id: row.id,
            author_id: row.author_id.to_string(),
            author_number: row.author_number,
            title: row.title,
            content: row.content,
            media_id: row.media_id.map(|id| id.to_string()).unwrap_or_default(),
            community: row.community_id.map(|id| PostCommunity {
                id,
                name: row.name.unwrap_or_default(),
                slug: row.slug.unwrap_or_default(),
                short_description: row.short_description.unwrap_or_default(),
                description: row.description.unwrap_or_default(),
                cover_image: row.cover_image,
                avatar: row.avatar,
                members_count: row.members_count.unwrap_or_default(),
                created_by_number: row.made_by.unwrap_or_default(),
                created_at: row.made_at.map(timestamp),
            }),
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
            views_count: row.views_count,
            relevance_score: row.relevance_score,
            comments_count: row.comments_count,
            reactions: Some(ReactionCounts { hearts: row.hearts, likes: row.likes, dislikes: row.dislikes }),
            last_activity_at: Some(timestamp(row.last_activity_at)),
            locked: row.locked_at.is_some(),
            pinned: row.pinned_at.is_some(),
            removed: row.removed_at.is_some(),
            viewer_reaction: row.reaction_id.map(|id| Reaction {
                id,
                user_id: row.reacted_by.map(|id| id.to_string()).unwrap_or_default(),
                user_number: row.reacted_by_number.unwrap_or_default(),
                r#type: type_of(row.reaction_type.as_deref().unwrap_or_default()).into(),
                target: Some(Target { kind: TargetKind::Post.into(), id: row.id }),
                created_at: row.reacted_at.map(timestamp),
            }),
            comments: None,
        }
    }
}

fn size(asked: i32) -> i64 {
    page::size(asked, 20, 100)
}

impl From<PostOrder> for Order {
    fn from(order: PostOrder) -> Self {
        match order {
            PostOrder::Unspecified | PostOrder::New => Self::New,
            PostOrder::Top => Self::Top,
            PostOrder::Hot => Self::Hot,
            PostOrder::Active => Self::Active,
            PostOrder::Controversial => Self::Controversial,
        }
    }
}

/// How far back an order looks, if it does.
fn window(order: PostOrder, window: TimeWindow) -> Option<TimeDelta> {
    if !matches!(order, PostOrder::Top | PostOrder::Controversial) {
        return None;
    }
    match window {
        TimeWindow::Day => Some(TimeDelta::days(1)),
        TimeWindow::Week => Some(TimeDelta::days(7)),
        TimeWindow::Month => Some(TimeDelta::days(30)),
        TimeWindow::Year => Some(TimeDelta::days(365)),
        TimeWindow::All | TimeWindow::Unspecified => None,
    }
}

fn overtaken() -> Error {
    aborted("CONFLICT", "another change came in between")
}

pub(crate) fn no_such_post() -> Error {
    not_found("POST_NOT_FOUND", "no such post")
}
