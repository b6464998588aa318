//! Moderation, which the original has not: report, remove, restore, lock, pin, ban, and the public log of all of it.

use axum::Json;
use axum::extract::State;
use kit::error::not_found;
use kit::identity::Caller;
use proto::forum::v1::{
    self, BanMemberRequest, DismissReportsRequest, ListModerationLogRequest, ListReportsRequest, LockPostRequest,
    ModerationAction, PinPostRequest, RemoveContentRequest, ReportContentRequest, RestoreContentRequest, TargetKind,
    UnbanMemberRequest,
};
use serde::Serialize;
use tonic::{Response, Status};
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::foro::{About, Beside, Ids, Mentions, Person, shown, shown_one};
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path};
use crate::routes::Created;

/// The wire words of what moderators do.
const ACTIONS: &[(ModerationAction, &str)] = &[
    (ModerationAction::Remove, "remove"),
    (ModerationAction::Restore, "restore"),
    (ModerationAction::Lock, "lock"),
    (ModerationAction::Unlock, "unlock"),
    (ModerationAction::Pin, "pin"),
    (ModerationAction::Unpin, "unpin"),
    (ModerationAction::Ban, "ban"),
    (ModerationAction::Unban, "unban"),
    (ModerationAction::Dismiss, "dismiss"),
    (ModerationAction::Role, "role"),
    (ModerationAction::Edit, "edit"),
    (ModerationAction::Delete, "delete"),
];

/// An entry of the log.
#[derive(Serialize, ToSchema)]
pub struct ModerationEntry {
    id: i64,
    community_id: Option<i64>,
    moderator: Person,
    /// `remove`, `restore`, `lock`, `unlock`, `pin`, `unpin`, `ban`, `unban`, `dismiss` or `role`.
    action: &'static str,
    #[serde(flatten)]
    about: About,
    /// Of what is about a person.
    user: Option<Person>,
    reason: String,
    created_at: String,
}

impl ModerationEntry {
    fn of(entry: v1::LogEntry, beside: &Beside) -> Self {
        Self {
            id: entry.id,
            community_id: entry.community_id,
            moderator: beside.person(&entry.moderator_id, entry.moderator_number),
            action: ACTIONS.iter().find(|(action, _)| *action == entry.action()).map_or("", |(_, word)| word),
            about: entry.target.into(),
            user: (entry.user_number != 0).then(|| beside.person(&entry.user_id, entry.user_number)),
            reason: entry.reason,
            created_at: time(entry.created_at),
        }
    }
}

impl Mentions for v1::LogEntry {
    fn mention<'r>(&'r self, ids: &mut Ids<'r>) {
        ids.people.extend([self.moderator_id.as_str(), &self.user_id]);
    }
}

/// What the caller did, as the log shows it.
async fn logged(
    edge: &Edge,
    base: Base,
    caller: Caller,
    done: Result<Response<v1::LogEntry>, Status>,
) -> Result<Json<ModerationEntry>> {
    Ok(Json(shown_one(edge, base, Some(caller), done?.into_inner(), ModerationEntry::of).await))
}

fn post(id: i64) -> Option<v1::Target> {
    Some(v1::Target { kind: TargetKind::Post.into(), id })
}

fn comment(id: i64) -> Option<v1::Target> {
    Some(v1::Target { kind: TargetKind::Comment.into(), id })
}

/// Why something is reported.
pub struct Complaint(String);

impl Form for Complaint {
    fn read(f: &mut Fields) -> Self {
        Self(f.text("reason").max(500).required())
    }
}

/// Why something is done; may be left out.
pub struct Reason(String);

impl Form for Reason {
    fn read(f: &mut Fields) -> Self {
        let reason = f.text("reason").max(500).blank().describe("Everybody can read it in the log").nullable();
        Self(reason.flatten().unwrap_or_default())
    }
}

/// A report.
#[derive(Serialize, ToSchema)]
pub struct Report {
    id: i64,
    #[serde(flatten)]
    about: About,
    reason: String,
    created_at: String,
}

async fn report(edge: &Edge, target: Option<v1::Target>, Complaint(reason): Complaint) -> Result<Created<Report>> {
    let report = edge.moderation().report_content(ReportContentRequest { target, reason }).await?.into_inner();
    Ok(Created(Report {
        id: report.id,
        about: report.target.into(),
        reason: report.reason,
        created_at: time(report.created_at),
    }))
}

pub async fn report_post(
    State(edge): State<Agrovet>,
    _: Caller,
    Path(id): Path<i64>,
    Input(complaint): Input<Complaint>,
) -> Result<Created<Report>> {
    report(&edge, post(id), complaint).await
}

pub async fn report_comment(
    State(edge): State<Agrovet>,
    _: Caller,
    Path(id): Path<i64>,
    Input(complaint): Input<Complaint>,
) -> Result<Created<Report>> {
    report(&edge, comment(id), complaint).await
}

pub async fn remove_post(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    Input(Reason(reason)): Input<Reason>,
) -> Result<Json<ModerationEntry>> {
    let done = edge.moderation().remove_content(RemoveContentRequest { target: post(id), reason }).await;
    logged(&edge, base, caller, done).await
}

pub async fn remove_comment(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    Input(Reason(reason)): Input<Reason>,
) -> Result<Json<ModerationEntry>> {
    let done = edge.moderation().remove_content(RemoveContentRequest { target: comment(id), reason }).await;
    logged(&edge, base, caller, done).await
}

pub async fn restore_post(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    Input(Reason(reason)): Input<Reason>,
) -> Result<Json<ModerationEntry>> {
    let done = edge.moderation().restore_content(RestoreContentRequest { target: post(id), reason }).await;
    logged(&edge, base, caller, done).await
}

pub async fn restore_comment(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    Input(Reason(reason)): Input<Reason>,
) -> Result<Json<ModerationEntry>> {
    let done = edge.moderation().restore_content(RestoreContentRequest { target: comment(id), reason }).await;
    logged(&edge, base, caller, done).await
}

/// How many reports were found without ground.
#[derive(Serialize, ToSchema)]
pub struct Dismissed {
    dismissed: i32,
}

async fn dismiss(edge: &Edge, target: Option<v1::Target>, Reason(reason): Reason) -> Result<Json<Dismissed>> {
    let answer = edge.moderation().dismiss_reports(DismissReportsRequest { target, reason }).await?.into_inner();
    Ok(Json(Dismissed { dismissed: answer.dismissed }))
}

pub async fn dismiss_post(
    State(edge): State<Agrovet>,
    _: Caller,
    Path(id): Path<i64>,
    Input(reason): Input<Reason>,
) -> Result<Json<Dismissed>> {
    dismiss(&edge, post(id), reason).await
}

pub async fn dismiss_comment(
    State(edge): State<Agrovet>,
    _: Caller,
    Path(id): Path<i64>,
    Input(reason): Input<Reason>,
) -> Result<Json<Dismissed>> {
    dismiss(&edge, comment(id), reason).await
}

/// Whether a post shall be locked, and why.
pub struct Lock {
    locked: bool,
    reason: Reason,
}

impl Form for Lock {
    fn read(f: &mut Fields) -> Self {
        let locked = f.boolean("locked").describe("False allows comments again").or(true);
        Self { locked, reason: Reason::read(f) }
    }
}

pub async fn lock(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(post_id): Path<i64>,
    Input(Lock { locked, reason: Reason(reason) }): Input<Lock>,
) -> Result<Json<ModerationEntry>> {
    let done = edge.moderation().lock_post(LockPostRequest { post_id, locked, reason }).await;
    logged(&edge, base, caller, done).await
}

/// Whether a post shall stand first, and why.
pub struct Pin {
    pinned: bool,
    reason: Reason,
}

impl Form for Pin {
    fn read(f: &mut Fields) -> Self {
        let pinned = f.boolean("pinned").describe("False puts it back").or(true);
        Self { pinned, reason: Reason::read(f) }
    }
}

pub async fn pin(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(post_id): Path<i64>,
    Input(Pin { pinned, reason: Reason(reason) }): Input<Pin>,
) -> Result<Json<ModerationEntry>> {
    let done = edge.moderation().pin_post(PinPostRequest { post_id, pinned, reason }).await;
    logged(&edge, base, caller, done).await
}

/// Who shall be banned or unbanned, and why.
pub struct Ban {
    user: i64,
    reason: Reason,
}

impl Form for Ban {
    fn read(f: &mut Fields) -> Self {
        Self { user: f.integer("user_id").required(), reason: Reason::read(f) }
    }
}

pub async fn ban(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(community_id): Path<i64>,
    Input(Ban { user, reason: Reason(reason) }): Input<Ban>,
) -> Result<Json<ModerationEntry>> {
    let user_id = edge.user_id(user).await?.to_string();
    let done = edge.moderation().ban_member(BanMemberRequest { community_id, user_id, reason }).await;
    logged(&edge, base, caller, done).await
}

pub async fn unban(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(community_id): Path<i64>,
    Input(Ban { user, reason: Reason(reason) }): Input<Ban>,
) -> Result<Json<ModerationEntry>> {
    let user_id = edge.user_id(user).await?.to_string();
    let done = edge.moderation().unban_member(UnbanMemberRequest { community_id, user_id, reason }).await;
    logged(&edge, base, caller, done).await
}

/// A thing that nobody has decided about yet.
#[derive(Serialize, ToSchema)]
pub struct Reported {
    // Not flattened: a page's document would not find a struct that is made of two.
    target_type: Option<&'static str>,
    target_id: Option<i64>,
    post_id: i64,
    /// How many people reported it.
    reports: i32,
    /// The newest of their reasons.
    reasons: Vec<String>,
    last_reported_at: String,
}

impl From<v1::ReportedContent> for Reported {
    fn from(row: v1::ReportedContent) -> Self {
        let About { target_type, target_id } = row.target.into();
        Self {
            target_type,
            target_id,
            post_id: row.post_id,
            reports: row.reports,
            reasons: row.reasons,
            last_reported_at: time(row.last_reported_at),
        }
    }
}

async fn fetch_reports(edge: &Edge, page: Page, community_id: Option<i64>) -> Result<Json<Paged<Reported>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListReportsRequest { community_id, page_size, skip, ..Default::default() };
            let mut moderation = edge.moderation();
            async move {
                let answer = moderation.list_reports(request).await?.into_inner();
                Ok((answer.contents, answer.total_size))
            }
        })
        .await?;
    Ok(Json(paged.map(Reported::from)))
}

pub async fn reports(
    State(edge): State<Agrovet>,
    _: Caller,
    Path(community_id): Path<i64>,
    page: Page,
) -> Result<Json<Paged<Reported>>> {
    fetch_reports(&edge, page, Some(community_id)).await
}

pub async fn reports_outside(State(edge): State<Agrovet>, _: Caller, page: Page) -> Result<Json<Paged<Reported>>> {
    fetch_reports(&edge, page, None).await
}

/// Of a community, or with zero of what is in none.
async fn fetch_log(
    edge: &Agrovet,
    base: Base,
    caller: Option<Caller>,
    page: Page,
    community_id: i64,
) -> Result<Json<Paged<ModerationEntry>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListModerationLogRequest { community_id, page_size, skip, ..Default::default() };
            let mut moderation = edge.moderation();
            async move {
                let answer = moderation.list_moderation_log(request).await?.into_inner();
                Ok((answer.entries, answer.total_size))
            }
        })
        .await?;
    Ok(shown(edge, base, caller, paged, ModerationEntry::of).await)
}

pub async fn log(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    Path(community_id): Path<i64>,
    page: Page,
) -> Result<Json<Paged<ModerationEntry>>> {
    if community_id == 0 {
        return Err(Status::from(not_found("COMMUNITY_NOT_FOUND", "no such community")).into());
    }
    fetch_log(&edge, base, caller, page, community_id).await
}

pub async fn log_outside(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    page: Page,
) -> Result<Json<Paged<ModerationEntry>>> {
    fetch_log(&edge, base, caller, page, 0).await
}
