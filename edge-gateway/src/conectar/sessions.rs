//! What one may see and end of one's own sessions, and what happened to one's account.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::auth::v1::{self, ListAuditEntriesRequest, ListSessionsRequest, RevokeSessionRequest};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::conectar::{Conectar, Error, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Path, Query};
use crate::routes::NoContent;

/// A session of the caller's.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionRead {
    #[schema(format = Uuid)]
    pub id: String,
    pub dispositivo: String,
    pub lugar: String,
    #[schema(format = DateTime)]
    pub fecha_creacion: String,
    #[schema(format = DateTime)]
    pub ultimo_uso: String,
    #[schema(format = DateTime)]
    pub fecha_expiracion: String,
    /// Whether it is the one that asks.
    pub actual: bool,
}

impl From<v1::Session> for SessionRead {
    fn from(session: v1::Session) -> Self {
        Self {
            id: session.id,
            dispositivo: session.device,
            lugar: session.place,
            fecha_creacion: time(session.created_at),
            ultimo_uso: time(session.last_used_at),
            fecha_expiracion: time(session.expires_at),
            actual: session.current,
        }
    }
}

pub async fn list(State(edge): State<Conectar>, _: Caller) -> Result<Json<Vec<SessionRead>>> {
    let sessions = edge.sessions().list_sessions(ListSessionsRequest {}).await?.into_inner().sessions;
    Ok(Json(sessions.into_iter().map(SessionRead::from).collect()))
}

pub async fn revoke(State(edge): State<Conectar>, _: Caller, Path(id): Path<Uuid>) -> Result<NoContent> {
    edge.sessions().revoke_session(RevokeSessionRequest { id: id.to_string() }).await?;
    Ok(NoContent)
}

/// Something that happened to the caller's account.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditRead {
    #[schema(format = Uuid)]
    pub id: String,
    /// `LOGGED_IN`, `PASSWORD_CHANGED`, …
    pub accion: String,
    pub lugar: String,
    pub dispositivo: String,
    pub detalle: String,
    pub request_id: String,
    #[schema(format = DateTime)]
    pub fecha: String,
}

#[derive(Serialize, ToSchema)]
pub struct AuditPage {
    pub registros: Vec<AuditRead>,
    /// Give it as `page_token` for the next page; null on the last one.
    #[schema(required = true)]
    pub siguiente: Option<String>,
}

pub struct PageOf {
    size: i64,
    token: String,
}

impl Form for PageOf {
    fn read(f: &mut Fields) -> Self {
        Self {
            size: f.integer("limit").between(1, 100).or(20),
            token: f.text("page_token").blank().max(1024).or(String::new()),
        }
    }
}

pub async fn audit(State(edge): State<Conectar>, _: Caller, Query(page): Query<PageOf>) -> Result<Json<AuditPage>> {
    let request = ListAuditEntriesRequest { page_size: page.size as i32, page_token: page.token, ..Default::default() };
    let answer = edge.audit().list_audit_entries(request).await;
    let answer = answer.map_err(|status| Error::from(status).placed("query"))?.into_inner();
    let entry = |entry: v1::AuditEntry| AuditRead {
        id: entry.id,
        accion: entry.action,
        lugar: entry.place,
        dispositivo: entry.device,
        detalle: entry.detail,
        request_id: entry.request_id,
        fecha: time(entry.created_at),
    };
    Ok(Json(AuditPage {
        registros: answer.entries.into_iter().map(entry).collect(),
        siguiente: (!answer.next_page_token.is_empty()).then_some(answer.next_page_token),
    }))
}
