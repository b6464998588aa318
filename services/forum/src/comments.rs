//! Comments, nested to any depth. What is read of them is a tree, in one statement, cut where it gets long or deep; see
//! [`tree`]. A deleted comment that was answered stays as an empty place, because its replies hang on it; the place goes
//! with the last of them.
//!
//! Whoever writes comments locks their post first. So below one post they come one after the other, and however many
//! comments they lock after that, they never wait for each other.

mod sql;
mod tree;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, invalid_because, not_found, refused};
use kit::identity::{Caller, caller, try_caller};
use kit::outbox::publish;
use kit::page;
use kit::wire::parse_id;
use proto::events::v1::ForumCommentAdded;
use proto::forum::v1::comment_service_server::CommentService;
use proto::forum::v1::{
    Comment, CommentDepth, CommentThread, CreateCommentRequest, DeleteCommentRequest, DeleteCommentResponse,
    GetCommentRequest, GetThreadRequest, ListCommentsRequest, ListCommentsResponse, NotificationType,
    UpdateCommentRequest,
};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use self::sql::*;
use self::tree::{Below, Depth, Row, Shown, Tree};
use crate::Forum;
use crate::interactions::add_comments;
use crate::lists::DEPTH;
use crate::memberships::refuse_banned;
use crate::moderation::{About, Action, Deed, moderates};
use crate::notifications::{Notice, notify};
use crate::pictures::keep_attachment;
use crate::posts::{lock_post, lock_reported, no_such_post};

#[tonic::async_trait]
impl CommentService for Forum {
    async fn get_thread(&self, request: Request<GetThreadRequest>) -> Result<Response<CommentThread>, Status> {
        let viewer = try_caller(&request);
        let GetThreadRequest { post_id, parent_id, page_token, depth, skip } = request.into_inner();
        let (depth, skip) = (Depth::of_siblings(depth), i64::from(skip));
        let below = parent_id.map_or(Below::Post(post_id), Below::Comment);
        let shown = self.pager.open::<Shown>(&tree::scope(post_id, below), &page_token)?.unwrap_or_default();

        let head = fetch_head(&self.db, post_id, parent_id).await?.ok_or_else(no_such_post)?;
        if !self.sees(viewer, &head).await? {
            return Err(no_such_post().into());
        }
        if !head.has_parent {
            return Err(no_such_comment().into());
        }
        let rows = match parent_id {
            None => list_top(&self.db, viewer, &[post_id], &depth, &shown, skip).await?,
            Some(parent) => list_replies(&self.db, viewer, parent, &depth, &shown, skip).await?,
        };
        let thread = self.tree(viewer, &depth, rows).await?.below(post_id, below, &shown)?;
        Ok(Response::new(CommentThread { total_size: head.siblings, ..thread }))
    }

    async fn list_comments(
        &self,
        request: Request<ListCommentsRequest>,
    ) -> Result<Response<ListCommentsResponse>, Status> {
        let viewer = try_caller(&request);
        let request = request.into_inner();
        let filter = Filter::of(&request)?;
        let scope = format!("ListComments {filter:?}");
        let after = self.pager.open::<Newest>(&scope, &request.page_token)?;
        let size = page::size(request.page_size, 20, 100);

        // One more than asked tells whether there is a next page.
        let counted = !self.memory.comments.contains_key(&filter);
        let part = Part { after, limit: size + 1, skip: request.skip.into(), counted };
        let Found { mut ids, total } = find_comments(&self.db, &filter, &part).await?;
        let total_size = total.unwrap_or(DEPTH as i32);
        if counted && i64::from(total_size) == DEPTH {
            self.memory.comments.insert(filter, ());
        }
        let more = ids.len() as i64 > size;
        ids.truncate(size as usize);
        let depth = Depth::of_named(request.depth);
        let rows = list_named(&self.db, viewer, &ids, &depth).await?;
        let last = rows.iter().find(|row| Some(&row.id) == ids.last());
        let next_page_token = match last {
            Some(last) if more => self.pager.seal(&scope, &Newest { created_at: last.created_at, id: last.id })?,
            _ => String::new(),
        };
        let comments = self.tree(viewer, &depth, rows).await?.named(&ids)?;
        Ok(Response::new(ListCommentsResponse { comments, next_page_token, total_size }))
    }

    async fn get_comment(&self, request: Request<GetCommentRequest>) -> Result<Response<Comment>, Status> {
        let viewer = try_caller(&request);
        let GetCommentRequest { id, depth } = request.into_inner();
        let comment = self.fetch_comment(&self.db, viewer, id, &Depth::of_named(depth)).await?;
        let head = fetch_head(&self.db, comment.post_id, None).await?.ok_or_else(no_such_comment)?;
        if !self.sees(viewer, &head).await? {
            return Err(no_such_comment().into());
        }
        Ok(Response::new(comment))
    }

    async fn create_comment(&self, request: Request<CreateCommentRequest>) -> Result<Response<Comment>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let media_id = self.attachment(&request.media_id).await?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        self.rules.limits.take_write(&mut tx, caller.id, now).await?;
        let post = lock_post(&mut tx, request.post_id)
            .await?
            .filter(|post| post.removed_at.is_none())
            .ok_or_else(no_such_post)?;
        if post.locked_at.is_some() {
            return Err(refused("LOCKED", "the post is closed to comments").into());
        }
        if let Some(community) = post.community_id {
            refuse_banned(&mut *tx, community, caller.id).await?;
        }
        let parent = match request.parent_id {
            Some(id) => Some(lock_comment(&mut tx, id).await?.ok_or_else(no_such_comment)?),
            None => None,
        };
        if let Some(parent) = &parent {
            if parent.post_id != post.id {
                return Err(invalid_because("parent_id", "PARENT_ELSEWHERE", "is on another post").into());
            }
            parent.check_present()?;
        }
        let id = insert_comment(&mut tx, &post, parent.as_ref(), caller, &request.content, media_id, now).await?;
        count_comment(&mut tx, post.id, request.parent_id, 1).await?;
        touch_post(&mut tx, post.id, now).await?;
        add_comments(&mut *tx, caller.id, post.author_id, 1).await?;
        keep_attachment(&mut tx, media_id).await?;
        let (kind, recipient) = match &parent {
            Some(parent) => (NotificationType::CommentReply, (parent.author_id, parent.author_number)),
            None => (NotificationType::PostReply, (post.author_id, post.author_number)),
        };
        let comment = self.fetch_comment(&mut *tx, Some(caller), id, &Depth::ALONE).await?;
        let notice = Notice { recipient, actor: caller, kind, post_id: post.id, comment_id: Some(id), reaction: None };
        notify(&mut tx, &notice, post.id, now).await?;
        let event = ForumCommentAdded {
            comment_id: id,
            post_id: post.id,
            user_id: caller.number,
            user_uuid: caller.id.to_string(),
            parent_id: request.parent_id,
        };
        publish(&mut tx, &post.id.to_string(), &event).await?;
        commit(tx).await?;
        Ok(Response::new(comment))
    }

    async fn update_comment(&self, request: Request<UpdateCommentRequest>) -> Result<Response<Comment>, Status> {
        let caller = caller(&request)?;
        let UpdateCommentRequest { id, content, media_id } = request.into_inner();
        let media = match media_id {
            Some(media_id) => Some(self.attachment(&media_id).await?),
            None => None,
        };
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let post_id = fetch_post_id(&mut *tx, id).await?.ok_or_else(no_such_comment)?;
        let post = lock_post(&mut tx, post_id).await?.ok_or_else(no_such_comment)?;
        let comment = lock_comment(&mut tx, id).await?.ok_or_else(no_such_comment)?;
        if post.removed_at.is_some()
            && caller.id != post.author_id
            && !moderates(&mut *tx, post.community_id, caller).await?
        {
            return Err(no_such_comment().into());
        }
        caller.may_act_for(comment.author_id)?;
        comment.check_present()?;
        if post.removed_at.is_some() && !caller.admin() {
            return Err(refused("LOCKED", "moderators removed the post").into());
        }
        if let Some(community) = post.community_id {
            refuse_banned(&mut *tx, community, caller.id).await?;
        }
        update_comment(&mut tx, id, content.as_deref(), media, now).await?;
        keep_attachment(&mut tx, media.flatten()).await?;
        let about = About::Comment(id);
        let deed = Deed { community_id: post.community_id, action: Action::Edit, about, reason: "" };
        deed.log_unless_own(&mut tx, caller, comment.author_id, now).await?;
        let comment = self.fetch_comment(&mut *tx, Some(caller), id, &Depth::ALONE).await?;
        commit(tx).await?;
        Ok(Response::new(comment))
    }

    async fn delete_comment(
        &self,
        request: Request<DeleteCommentRequest>,
    ) -> Result<Response<DeleteCommentResponse>, Status> {
        let caller = caller(&request)?;
        let id = request.get_ref().id;
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let post_id = fetch_post_id(&mut *tx, id).await?.ok_or_else(no_such_comment)?;
        let post = lock_post(&mut tx, post_id).await?.ok_or_else(no_such_comment)?;
        let comment =
            lock_comment(&mut tx, id).await?.filter(|comment| !comment.deleted).ok_or_else(no_such_comment)?;
        caller.may_act_for(comment.author_id)?;
        // Moderators who removed it have taken it out of the counts already.
        if !comment.removed {
            count_comment(&mut tx, post.id, comment.parent_id, -1).await?;
        }
        lock_reported(&mut tx, post.id).await?;
        add_comments(&mut *tx, comment.author_id, post.author_id, -1).await?;
        delete_notifications(&mut tx, id).await?;
        if has_replies(&mut *tx, id).await? {
            empty_comment(&mut tx, id, now).await?;
        } else {
            delete_comment(&mut tx, id).await?;
            if let Some(parent) = comment.parent_id {
                delete_empty_places(&mut tx, parent).await?;
            }
        }
        let about = About::Comment(id);
        let deed = Deed { community_id: post.community_id, action: Action::Delete, about, reason: "" };
        deed.log_unless_own(&mut tx, caller, comment.author_id, now).await?;
        commit(tx).await?;
        Ok(Response::new(DeleteCommentResponse {}))
    }
}

impl Forum {
    /// The beginnings of the posts' comments, by post; one statement, whatever the number of posts. Nothing when
    /// nothing is asked for.
    pub(crate) async fn threads(
        &self,
        viewer: Option<Caller>,
        posts: &[i64],
        depth: Option<CommentDepth>,
    ) -> kit::Result<HashMap<i64, CommentThread>> {
        let Some(depth) = Depth::of_posts(depth).filter(|_| !posts.is_empty()) else { return Ok(HashMap::new()) };
        let rows = list_top(&self.db, viewer, posts, &depth, &Shown::default(), 0).await?;
        let mut tree = self.tree(viewer, &depth, rows).await?;
        posts.iter().map(|&post| Ok((post, tree.below(post, Below::Post(post), &Shown::default())?))).collect()
    }

    /// What a statement found. Where it found as much as it may, another one asks what stands below the last of it.
    async fn tree(&self, viewer: Option<Caller>, depth: &Depth, rows: Vec<Row>) -> kit::Result<Tree<'_>> {
        let mut tree = Tree::new(&self.pager, viewer, depth, rows);
        let unreached = tree.unreached();
        if !unreached.is_empty() {
            tree.note_answered(&list_answered(&self.db, &unreached).await?.into_iter().collect());
        }
        Ok(tree)
    }

    /// Comments of a removed post are seen by those who see the post.
    async fn sees(&self, viewer: Option<Caller>, post: &Head) -> kit::Result<bool> {
        let Some(viewer) = viewer.filter(|_| post.removed) else { return Ok(!post.removed) };
        Ok(viewer.id == post.author_id || moderates(&self.db, post.community_id, viewer).await?)
    }

    async fn fetch_comment(
        &self,
        db: impl PgExecutor<'_>,
        viewer: Option<Caller>,
        id: i64,
        depth: &Depth,
    ) -> kit::Result<Comment> {
        let rows = list_named(db, viewer, &[id], depth).await?;
        self.tree(viewer, depth, rows).await?.named(&[id])?.pop().ok_or_else(no_such_comment)
    }
}

/// A comment without what is shown of it.
struct Locked {
    id: i64,
    post_id: i64,
    parent_id: Option<i64>,
    depth: i32,
    author_id: Uuid,
    author_number: i64,
    deleted: bool,
    removed: bool,
}

impl Locked {
    /// What is gone is neither answered nor changed.
    fn check_present(&self) -> kit::Result<()> {
        if self.deleted || self.removed { Err(refused("COMMENT_REMOVED", "the comment is gone")) } else { Ok(()) }
    }
}

/// What a list is narrowed to. Its debug text is part of the page token's scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    post_id: Option<i64>,
    parent_id: Option<i64>,
    author_id: Option<Uuid>,
}

impl Filter {
    fn of(request: &ListCommentsRequest) -> kit::Result<Self> {
        let author_id = match &*request.author_id {
            "" => None,
            id => Some(parse_id("author_id", id)?),
        };
        Ok(Self { post_id: request.post_id, parent_id: request.parent_id, author_id })
    }
}

/// What to read of a flat list.
struct Part {
    after: Option<Newest>,
    limit: i64,
    skip: i64,
    /// Whether to count it.
    counted: bool,
}

/// Where a page that shows the newest first ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Newest {
    created_at: DateTime<Utc>,
    id: i64,
}

fn no_such_comment() -> Error {
    not_found("COMMENT_NOT_FOUND", "no such comment")
}
