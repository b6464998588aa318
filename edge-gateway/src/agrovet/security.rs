//! What an account's owner may see and do about its security. Not of the original API: sessions, the audit log and the
//! second factor came with Plaza.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::auth::v1::{
    AuditEntry, BeginSecondFactorRequest, ConfirmSecondFactorRequest, ListAuditEntriesRequest, ListSessionsRequest,
    RemoveSecondFactorRequest, RevokeSessionRequest,
};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::address::Base;
use crate::agrovet::{Agrovet, On, Result, time};
use crate::form::{Fields, Form};
use crate::front::asked_path;
use crate::input::{Input, Path, Query};
use crate::routes::{Created, NoContent};

/// A session of the caller.
#[derive(Serialize, ToSchema)]
pub struct LiveSession {
    id: String,
    /// What the client said it is.
    device: String,
    /// Network address it was last used from.
    place: String,
    created_at: String,
    last_used_at: String,
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

/// A plain list: there are at most 100.
pub async fn sessions(State(edge): State<Agrovet>, _: Caller) -> Result<Json<Vec<LiveSession>>> {
    let sessions = edge.sessions().list_sessions(ListSessionsRequest {}).await?.into_inner().sessions;
    let shown = sessions.into_iter().map(|session| LiveSession {
        id: session.id,
        device: session.device,
        place: session.place,
        created_at: time(session.created_at),
        last_used_at: time(session.last_used_at),
        expires_at: time(session.expires_at),
        current: session.current,
    });
    Ok(Json(shown.collect()))
}

pub async fn end_session(State(edge): State<Agrovet>, _: Caller, Path(id): Path<Uuid>) -> Result<NoContent> {
    edge.sessions().revoke_session(RevokeSessionRequest { id: id.to_string() }).await?;
    Ok(NoContent)
}

/// One page of the audit log. The log grows at its beginning, so it pages by cursor, as DRF's CursorPagination.
#[derive(Serialize, ToSchema)]
pub struct AuditPage {
    /// URL of the next page.
    next: Option<String>,
    results: Vec<Audited>,
}

/// Something that happened to the account.
#[derive(Serialize, ToSchema)]
pub struct Audited {
    id: String,
    /// `LOGGED_IN`, `LOGIN_FAILED`, `PASSWORD_CHANGED` and so on.
    action: String,
    /// Whether the account's owner did it.
    own: bool,
    place: String,
    device: String,
    detail: String,
    created_at: String,
}

pub struct Cursor {
    cursor: String,
    page_size: i64,
}

impl Form for Cursor {
    fn read(f: &mut Fields) -> Self {
        Self {
            cursor: f.text("cursor").blank().max(1024).describe("As in `next`").or(String::new()),
            page_size: f.integer("page_size").between(1, 100).describe("20 unless given").or(20),
        }
    }
}

pub async fn audit(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Query(asked): Query<Cursor>,
) -> Result<Json<AuditPage>> {
    let request =
        ListAuditEntriesRequest { page_size: asked.page_size as i32, page_token: asked.cursor, ..Default::default() };
    let answer = edge.audit().list_audit_entries(request).await.on("INVALID_FIELDS", 404, "Cursor inválido.")?;
    let answer = answer.into_inner();
    let next = (!answer.next_page_token.is_empty()).then(|| {
        let size = asked.page_size.to_string();
        let query = [("cursor", &answer.next_page_token), ("page_size", &size)];
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        format!("{}?{query}", base.absolute(&asked_path()))
    });
    let results = answer.entries.into_iter().map(|entry| Audited::of(entry, caller)).collect();
    Ok(Json(AuditPage { next, results }))
}

impl Audited {
    fn of(entry: AuditEntry, caller: Caller) -> Self {
        Self {
            own: entry.actor_id == caller.id.to_string(),
            id: entry.id,
            action: entry.action,
            place: entry.place,
            device: entry.device,
            detail: entry.detail,
            created_at: time(entry.created_at),
        }
    }
}

/// A secret that does nothing until it is confirmed.
#[derive(Serialize, ToSchema)]
#[schema(as = SecondFactor)]
pub struct Begun {
    /// Base32, for typing.
    secret: String,
    /// `otpauth://` URL, for a QR code.
    url: String,
}

pub async fn begin_second_factor(State(edge): State<Agrovet>, _: Caller) -> Result<Created<Begun>> {
    let answer = edge.second_factors().begin_second_factor(BeginSecondFactorRequest {}).await;
    let answer = answer.on("SECOND_FACTOR_ON", 409, "El segundo factor ya está activado.")?.into_inner();
    Ok(Created(Begun { secret: answer.secret, url: answer.url }))
}

pub struct Code(String);

impl Form for Code {
    fn read(f: &mut Fields) -> Self {
        Self(f.text("code").max(32).describe("A code of the new secret").required())
    }
}

/// Codes that stand in for the second factor, each once. They are shown this once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

pub async fn confirm_second_factor(
    State(edge): State<Agrovet>,
    _: Caller,
    Input(Code(code)): Input<Code>,
) -> Result<Json<RecoveryCodes>> {
    let answer = edge.second_factors().confirm_second_factor(ConfirmSecondFactorRequest { code }).await;
    let answer = answer.on("BAD_SECOND_FACTOR", 400, "Código inválido o expirado.").on(
        "SECOND_FACTOR_NOT_BEGUN",
        409,
        "Primero debe solicitar un secreto.",
    )?;
    Ok(Json(RecoveryCodes { recovery_codes: answer.into_inner().recovery_codes }))
}

pub struct Password(String);

impl Form for Password {
    fn read(f: &mut Fields) -> Self {
        Self(f.text("password").secret().max(1024).required())
    }
}

pub async fn remove_second_factor(
    State(edge): State<Agrovet>,
    _: Caller,
    Input(Password(password)): Input<Password>,
) -> Result<NoContent> {
    edge.second_factors().remove_second_factor(RemoveSecondFactorRequest { password }).await?;
    Ok(NoContent)
}
