//! Moderation, and the public log of all of it. Moderators act in their communities, administrators everywhere. Each
//! deed is logged in its own transaction; one that changes nothing answers the entry of the one that did. What
//! administrators change or delete of others' posts and comments is logged where it happens.

mod sql;

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, not_found, refused};
use kit::identity::{Caller, caller};
use kit::page;
use kit::wire::{parse_id, timestamp};
use proto::forum::v1::moderation_service_server::ModerationService;
use proto::forum::v1::{
    BanMemberRequest, DismissReportsRequest, DismissReportsResponse, ListModerationLogRequest,
    ListModerationLogResponse, ListReportsRequest, ListReportsResponse, LockPostRequest, LogEntry, ModerationAction,
    PinPostRequest, RemoveContentRequest, Report, ReportContentRequest, ReportedContent, RestoreContentRequest, Target,
    TargetKind, UnbanMemberRequest,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Forum;
use crate::communities::{
    add_members, add_posts, lock_community, no_such_community, not_yours, owner_required, succeed_owner,
};
use crate::memberships::{Role, delete_ban, fetch_role, insert_ban, leave};
use crate::posts::{LockedPost, lock_placed, lock_post, no_such_post};
use sql::*;

/// How many posts a community may pin.
const PINS: i64 = 2;

#[tonic::async_trait]
impl ModerationService for Forum {
    async fn report_content(&self, request: Request<ReportContentRequest>) -> Result<Response<Report>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let about = About::of(request.target.as_ref());
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        // Locked, so that the queue is that of the community in which the post stays.
        let place = share_place(&mut tx, about).await?.ok_or_else(no_such_target)?;
        let report = upsert_report(&mut tx, &place, caller, &request.reason, now).await?;
        if report.fresh {
            add_to_queue(&mut tx, &place, now).await?;
        }
        commit(tx).await?;
        Ok(Response::new(Report {
            id: report.id,
            target: request.target,
            reason: request.reason,
            created_at: Some(timestamp(report.created_at)),
        }))
    }

    async fn list_reports(
        &self,
        request: Request<ListReportsRequest>,
    ) -> Result<Response<ListReportsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let community_id = request.community_id;
        if !moderates(&self.db, community_id, caller).await? {
            return Err(not_yours().into());
        }
        let scope = format!("ListReports {community_id:?}");
        let after = self.pager.open::<QueuePlace>(&scope, &request.page_token)?;
        let size = page::size(request.page_size, 20, 100);
        let (limit, skip) = (size + 1, i64::from(request.skip));
        let mut rows = match community_id {
            Some(community_id) => list_queue(&self.db, community_id, after, limit, skip).await?,
            None => list_queue_without_community(&self.db, after, limit, skip).await?,
        };
        let total_size = count_queue(&self.db, community_id).await?;

        let next_page_token = self.pager.cut(&scope, &mut rows, size, |last| last.place())?;
        let contents = rows.into_iter().map(ReportedContent::from).collect();
        Ok(Response::new(ListReportsResponse { contents, next_page_token, total_size }))
    }

    async fn dismiss_reports(
        &self,
        request: Request<DismissReportsRequest>,
    ) -> Result<Response<DismissReportsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let about = About::of(request.target.as_ref());
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let post = lock_post_of(&mut tx, about).await?;
        refuse_strangers(&mut tx, post.community_id, caller).await?;
        let dismissed = settle_reports(&mut tx, post.id, about.comment_id(), now).await?;
        if dismissed > 0 {
            let deed =
                Deed { community_id: post.community_id, action: Action::Dismiss, about, reason: &request.reason };
            deed.log(&mut tx, caller, now).await?;
        }
        commit(tx).await?;
        Ok(Response::new(DismissReportsResponse { dismissed: dismissed as i32 }))
    }

    async fn remove_content(&self, request: Request<RemoveContentRequest>) -> Result<Response<LogEntry>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let about = About::of(request.target.as_ref());
        Ok(Response::new(self.set_removed(caller, about, true, &request.reason).await?))
    }

    async fn restore_content(&self, request: Request<RestoreContentRequest>) -> Result<Response<LogEntry>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let about = About::of(request.target.as_ref());
        Ok(Response::new(self.set_removed(caller, about, false, &request.reason).await?))
    }

    async fn lock_post(&self, request: Request<LockPostRequest>) -> Result<Response<LogEntry>, Status> {
        let caller = caller(&request)?;
        let LockPostRequest { post_id, locked, reason } = request.into_inner();
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let post = lock_post(&mut tx, post_id).await?.ok_or_else(no_such_post)?;
        refuse_strangers(&mut tx, post.community_id, caller).await?;
        let action = if locked { Action::Lock } else { Action::Unlock };
        let deed = Deed { community_id: post.community_id, action, about: About::Post(post_id), reason: &reason };
        if post.locked_at.is_some() == locked {
            return Ok(Response::new(deed.done_before(&mut tx).await?));
        }
        update_locked(&mut tx, post_id, locked.then_some(now)).await?;
        let entry = deed.log(&mut tx, caller, now).await?;
        commit(tx).await?;
        Ok(Response::new(entry))
    }

    async fn pin_post(&self, request: Request<PinPostRequest>) -> Result<Response<LogEntry>, Status> {
        let caller = caller(&request)?;
        let PinPostRequest { post_id, pinned, reason } = request.into_inner();
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        // With its community, so that no two pins pass the count together.
        let post = lock_placed(&mut tx, post_id).await?;
        refuse_strangers(&mut tx, post.community_id, caller).await?;
        let no_community = || refused("NO_COMMUNITY", "only a community pins posts");
        let community_id = post.community_id.ok_or_else(no_community)?;
        let action = if pinned { Action::Pin } else { Action::Unpin };
        let deed = Deed { community_id: Some(community_id), action, about: About::Post(post_id), reason: &reason };
        if post.pinned_at.is_some() == pinned {
            return Ok(Response::new(deed.done_before(&mut tx).await?));
        }
        if pinned && post.removed_at.is_some() {
            return Err(no_such_post().into());
        }
        if pinned && count_pins(&mut *tx, community_id).await? >= PINS {
            return Err(refused("PINS_FULL", "two posts are pinned already").into());
        }
        update_pinned(&mut tx, post_id, pinned.then_some(now)).await?;
        let entry = deed.log(&mut tx, caller, now).await?;
        commit(tx).await?;
        Ok(Response::new(entry))
    }

    async fn ban_member(&self, request: Request<BanMemberRequest>) -> Result<Response<LogEntry>, Status> {
        let caller = caller(&request)?;
        let BanMemberRequest { community_id, user_id, reason } = request.into_inner();
        let user = parse_id("user_id", &user_id)?;
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        lock_community(&mut tx, community_id).await?.ok_or_else(no_such_community)?;
        refuse_strangers(&mut tx, Some(community_id), caller).await?;
        let rank = fetch_role(&mut *tx, community_id, user).await?.unwrap_or(Role::Member);
        let own = fetch_role(&mut *tx, community_id, caller.id).await?;
        if rank > Role::Member && own != Some(Role::Owner) && !caller.admin() {
            return Err(not_yours().into());
        }
        if rank == Role::Owner && user == caller.id {
            return Err(owner_required().into());
        }
        let number = fetch_number(&mut *tx, user).await?;
        let number = number.ok_or_else(|| not_found("MEMBER_NOT_FOUND", "nobody here knows them"))?;
        let about = About::User { id: user, number };
        let deed = Deed { community_id: Some(community_id), action: Action::Ban, about, reason: &reason };
        if leave(&mut tx, community_id, user, number, now).await? {
            add_members(&mut tx, community_id, -1).await?;
            succeed_owner(&mut tx, community_id, caller, now).await?;
        }
        if !insert_ban(&mut *tx, community_id, user, number, now).await? {
            return Ok(Response::new(deed.done_before(&mut tx).await?));
        }
        let entry = deed.log(&mut tx, caller, now).await?;
        commit(tx).await?;
        Ok(Response::new(entry))
    }

    async fn unban_member(&self, request: Request<UnbanMemberRequest>) -> Result<Response<LogEntry>, Status> {
        let caller = caller(&request)?;
        let UnbanMemberRequest { community_id, user_id, reason } = request.into_inner();
        let user = parse_id("user_id", &user_id)?;
        let mut tx = begin(&self.db).await?;
        lock_community(&mut tx, community_id).await?.ok_or_else(no_such_community)?;
        refuse_strangers(&mut tx, Some(community_id), caller).await?;
        let lifted = delete_ban(&mut *tx, community_id, user).await?;
        let about = About::User { id: user, number: lifted.unwrap_or_default() };
        let deed = Deed { community_id: Some(community_id), action: Action::Unban, about, reason: &reason };
        if lifted.is_none() {
            return Ok(Response::new(deed.done_before(&mut tx).await?));
        }
        let entry = deed.log(&mut tx, caller, self.clock.now()).await?;
        commit(tx).await?;
        Ok(Response::new(entry))
    }

    async fn list_moderation_log(
        &self,
        request: Request<ListModerationLogRequest>,
    ) -> Result<Response<ListModerationLogResponse>, Status> {
        let request = request.into_inner();
        let scope = format!("ListModerationLog {}", request.community_id);
        let after = self.pager.open::<LogPlace>(&scope, &request.page_token)?;
        let size = page::size(request.page_size, 20, 100);
        let community = Some(request.community_id).filter(|id| *id != 0);
        let mut rows = list_log(&self.db, community, after, size + 1, i64::from(request.skip)).await?;
        let total_size = count_log(&self.db, community).await?;
        if let Some(id) = community.filter(|_| total_size == 0)
            && !exists_community(&self.db, id).await?
        {
            return Err(no_such_community().into());
        }
        let next_page_token = self.pager.cut(&scope, &mut rows, size, |last| last.place())?;
        let entries = rows.into_iter().map(LogEntry::from).collect();
        Ok(Response::new(ListModerationLogResponse { entries, next_page_token, total_size }))
    }
}

impl Forum {
    async fn set_removed(&self, caller: Caller, about: About, removed: bool, reason: &str) -> kit::Result<LogEntry> {
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let post_id = fetch_post_of(&mut *tx, about).await?.ok_or_else(no_such_target)?;
        let post = lock_placed(&mut tx, post_id).await?;
        refuse_strangers(&mut tx, post.community_id, caller).await?;
        let action = if removed { Action::Remove } else { Action::Restore };
        let deed = Deed { community_id: post.community_id, action, about, reason };
        let changed = match about.comment_id() {
            Some(comment_id) => set_comment_removed(&mut tx, &post, comment_id, removed, now).await?,
            None => set_post_removed(&mut tx, &post, removed, now).await?,
        };
        if removed {
            // Also those that came after the removal.
            settle_reports(&mut tx, post.id, about.comment_id(), now).await?;
        }
        let entry = if changed { deed.log(&mut tx, caller, now).await? } else { deed.done_before(&mut tx).await? };
        commit(tx).await?;
        Ok(entry)
    }
}

/// Whether it was otherwise before.
async fn set_post_removed(
    conn: &mut PgConnection,
    post: &LockedPost,
    removed: bool,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    if post.removed_at.is_some() == removed {
        return Ok(false);
    }
    update_post_removed(conn, post.id, removed.then_some(now)).await?;
    if let Some(community_id) = post.community_id {
        add_posts(conn, community_id, if removed { -1 } else { 1 }).await?;
    }
    Ok(true)
}

/// Whether it was otherwise before.
async fn set_comment_removed(
    conn: &mut PgConnection,
    post: &LockedPost,
    comment_id: i64,
    removed: bool,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    // The parent before its reply, as everybody does.
    lock_parent(conn, comment_id).await?;
    let comment = lock_comment(conn, comment_id).await?.ok_or_else(no_such_target)?;
    if comment.removed_at.is_some() == removed {
        return Ok(false);
    }
    update_comment_removed(conn, comment_id, removed.then_some(now)).await?;
    // A comment that its author deleted is counted no more anyway.
    if comment.deleted_at.is_none() {
        let more = if removed { -1 } else { 1 };
        add_comments(conn, post.id, more).await?;
        if let Some(parent_id) = comment.parent_id {
            add_replies(conn, parent_id, more).await?;
        }
    }
    Ok(true)
}

/// Whether somebody moderates a community; of what stands in none, only administrators do.
pub(crate) async fn moderates(db: impl PgExecutor<'_>, community_id: Option<i64>, caller: Caller) -> kit::Result<bool> {
    match community_id {
        _ if caller.admin() => Ok(true),
        Some(community_id) => Ok(fetch_role(db, community_id, caller.id).await? > Some(Role::Member)),
        None => Ok(false),
    }
}

async fn refuse_strangers(conn: &mut PgConnection, community_id: Option<i64>, caller: Caller) -> kit::Result<()> {
    if moderates(conn, community_id, caller).await? { Ok(()) } else { Err(not_yours()) }
}

async fn lock_post_of(conn: &mut PgConnection, about: About) -> kit::Result<LockedPost> {
    let post_id = fetch_post_of(&mut *conn, about).await?.ok_or_else(no_such_target)?;
    lock_post(conn, post_id).await?.ok_or_else(no_such_target)
}

fn no_such_target() -> Error {
    not_found("TARGET_NOT_FOUND", "no such post or comment")
}

/// What a deed is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About {
    Post(i64),
    Comment(i64),
    User { id: Uuid, number: i64 },
}

impl About {
    /// The field rules let through one that is set.
    fn of(target: Option<&Target>) -> Self {
        match target {
            Some(target) if target.kind() == TargetKind::Comment => Self::Comment(target.id),
            target => Self::Post(target.map_or(0, |target| target.id)),
        }
    }

    fn post_id(self) -> Option<i64> {
        if let Self::Post(id) = self { Some(id) } else { None }
    }

    fn comment_id(self) -> Option<i64> {
        if let Self::Comment(id) = self { Some(id) } else { None }
    }

    fn user(self) -> Option<(Uuid, i64)> {
        if let Self::User { id, number } = self { Some((id, number)) } else { None }
    }
}

/// What moderators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Remove,
    Restore,
    Lock,
    Unlock,
    Pin,
    Unpin,
    Ban,
    Unban,
    Dismiss,
    Role,
    Edit,
    Delete,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Remove => "REMOVE",
            Self::Restore => "RESTORE",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Pin => "PIN",
            Self::Unpin => "UNPIN",
            Self::Ban => "BAN",
            Self::Unban => "UNBAN",
            Self::Dismiss => "DISMISS",
            Self::Role => "ROLE",
            Self::Edit => "EDIT",
            Self::Delete => "DELETE",
        }
    }
}

/// Something a moderator does.
pub(crate) struct Deed<'a> {
    pub(crate) community_id: Option<i64>,
    pub(crate) action: Action,
    pub(crate) about: About,
    pub(crate) reason: &'a str,
}

impl Deed<'_> {
    pub(crate) async fn log(&self, conn: &mut PgConnection, by: Caller, now: DateTime<Utc>) -> kit::Result<LogEntry> {
        Ok(insert_entry(conn, self, by, now).await?.into())
    }

    /// As [`Deed::log`], unless it is done to what one wrote oneself, which is nobody else's business.
    pub(crate) async fn log_unless_own(
        &self,
        conn: &mut PgConnection,
        by: Caller,
        author: Uuid,
        now: DateTime<Utc>,
    ) -> kit::Result<()> {
        if by.id != author {
            insert_entry(conn, self, by, now).await?;
        }
        Ok(())
    }

    /// The entry of the same deed, done before; without one there is nothing to undo.
    async fn done_before(&self, conn: &mut PgConnection) -> kit::Result<LogEntry> {
        let entry = fetch_last(conn, self).await?;
        let entry = entry.ok_or_else(|| refused("NOTHING_TO_UNDO", "this was never done"))?;
        Ok(entry.into())
    }
}

/// A row of `moderation_log`.
struct LogRow {
    id: i64,
    community_id: Option<i64>,
    moderator_id: Uuid,
    moderator_number: i64,
    action: String,
    post_id: Option<i64>,
    comment_id: Option<i64>,
    user_id: Option<Uuid>,
    user_number: Option<i64>,
    reason: String,
    created_at: DateTime<Utc>,
}

impl LogRow {
    fn place(&self) -> LogPlace {
        LogPlace { created_at: self.created_at, id: self.id }
    }
}

impl From<LogRow> for LogEntry {
    fn from(row: LogRow) -> Self {
        let action = ModerationAction::from_str_name(&format!("MODERATION_ACTION_{}", row.action));
        Self {
            id: row.id,
            community_id: row.community_id,
            moderator_id: row.moderator_id.to_string(),
            moderator_number: row.moderator_number,
            action: action.unwrap_or_default().into(),
            target: target(row.post_id.filter(|_| row.comment_id.is_none()), row.comment_id),
            user_id: row.user_id.map(|id| id.to_string()).unwrap_or_default(),
            user_number: row.user_number.unwrap_or_default(),
            reason: row.reason,
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

fn target(post_id: Option<i64>, comment_id: Option<i64>) -> Option<Target> {
    match (comment_id, post_id) {
        (Some(id), _) => Some(Target { kind: TargetKind::Comment.into(), id }),
        (None, Some(id)) => Some(Target { kind: TargetKind::Post.into(), id }),
        (None, None) => None,
    }
}

/// Where a page of the log ends.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct LogPlace {
    created_at: DateTime<Utc>,
    id: i64,
}

/// A thing with undecided reports.
struct QueueRow {
    id: i64,
    post_id: i64,
    comment_id: Option<i64>,
    open: i64,
    last_reported_at: DateTime<Utc>,
    reasons: Vec<String>,
}

impl QueueRow {
    fn place(&self) -> QueuePlace {
        QueuePlace { open: self.open, last_reported_at: self.last_reported_at, id: self.id }
    }
}

impl From<QueueRow> for ReportedContent {
    fn from(row: QueueRow) -> Self {
        Self {
            target: target(Some(row.post_id), row.comment_id),
            post_id: row.post_id,
            reports: row.open as i32,
            reasons: row.reasons,
            last_reported_at: Some(timestamp(row.last_reported_at)),
        }
    }
}

/// Where a page of the queue ends.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct QueuePlace {
    open: i64,
    last_reported_at: DateTime<Utc>,
    id: i64,
}
