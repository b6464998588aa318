//! Contact details in chats: what Firebase's function noticed, and what administrators find.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use kit::identity::Caller;
use proto::chat::v1::{ReportInfractionRequest, ReviewMessageRequest, Standing, Verdict};
use serde::Serialize;
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::path::ParameterIn;
use uuid::Uuid;

use crate::conectar::chat::Id;
use crate::conectar::{Conectar, Error, On, Result};
use crate::dialect::{Place, Problem};
use crate::form::{Fault, Fields, Form, Wrong};
use crate::input::{Input, Path};
use crate::routes::{Describe, Operation};

/// What a reason is cut at.
const LONGEST: usize = 500;

/// Whoever knows the key that the function was deployed with. Without a key in our configuration nobody does.
pub struct ApiKey;

const API_KEY: &str = "x-api-key";

impl FromRequestParts<Conectar> for ApiKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Conectar) -> Result<Self> {
        let Some(given) = parts.headers.get(API_KEY) else {
            let missing = Fault { field: API_KEY.into(), wrong: Wrong::Required };
            return Err(Problem::Fields { place: Place::Header, faults: vec![missing] }.into());
        };
        match &edge.config.chat_webhook_key {
            Some(key) if key.is(given.as_bytes()) => Ok(Self),
            _ => Err(Error::detail(401, "Invalid API Key")),
        }
    }
}

impl Describe for ApiKey {
    fn describe(operation: &mut Operation) {
        operation.parameter(ParameterIn::Header, "X-API-Key", true, String::schema());
    }
}

pub struct Report {
    user_id: Uuid,
    reason: String,
    message_id: Option<String>,
}

impl Form for Report {
    fn read(f: &mut Fields) -> Self {
        Self {
            user_id: f.uuid("user_id").required(),
            reason: f.text("reason").blank().nullable().flatten().unwrap_or_default(),
            message_id: f.text("message_id").max(190).describe("Makes a repeat of the report one").optional(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct Reported {
    #[schema(format = Uuid)]
    pub user_id: String,
    pub infracciones_chat: i32,
    pub is_chat_banned: bool,
    pub message: String,
}

impl From<Standing> for Reported {
    fn from(standing: Standing) -> Self {
        let total = standing.infractions;
        let message = noted(total, standing.newly_banned);
        Self { user_id: standing.user_id, infracciones_chat: total, is_chat_banned: standing.banned, message }
    }
}

/// What is said of an infraction, the latest of so many.
pub(super) fn noted(total: i32, newly_banned: bool) -> String {
    if newly_banned {
        format!("Usuario baneado del chat después de {total} infracciones")
    } else {
        format!("Infracción registrada. Total: {total}")
    }
}

pub async fn report(State(edge): State<Conectar>, _: ApiKey, Input(form): Input<Report>) -> Result<Json<Reported>> {
    let request = ReportInfractionRequest {
        user_id: form.user_id.to_string(),
        reason: form.reason.chars().take(LONGEST).collect(),
        // Firebase's ids are no names of ours.
        external_id: form.message_id.map(|id| format!("firebase:{id}")).unwrap_or_default(),
    };
    let unknown = |error: Error| match error.reason() {
        "USER_NOT_FOUND" => Error::detail(404, format!("Usuario {} no encontrado", form.user_id)),
        _ => error,
    };
    let standing = edge.chat_moderation().report_infraction(request).await;
    Ok(Json(standing.map_err(Error::from).map_err(unknown)?.into_inner().into()))
}

pub struct Review {
    verdict: Verdict,
    reason: String,
}

const VERDICTS: &[(&str, Verdict)] = &[
    ("PENDIENTE", Verdict::Pending),
    ("APROBADO", Verdict::Approved),
    ("RECHAZADO", Verdict::Rejected),
    ("BLOQUEADO", Verdict::Blocked),
];

impl Form for Review {
    fn read(f: &mut Fields) -> Self {
        Self {
            verdict: f.choice("estado", VERDICTS).required(),
            reason: f.text("razon").blank().max(LONGEST).nullable().flatten().unwrap_or_default(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct Reviewed {
    pub message: &'static str,
}

/// Again: the same answer.
pub async fn review(
    State(edge): State<Conectar>,
    _: Caller,
    Path(Id(message_id)): Path<Id>,
    Input(form): Input<Review>,
) -> Result<Json<Reviewed>> {
    let request =
        ReviewMessageRequest { message_id: message_id.to_string(), verdict: form.verdict as i32, reason: form.reason };
    let reviewed = edge.chat_moderation().review_message(request).await;
    reviewed.denied("Solo los administradores pueden moderar mensajes")?;
    Ok(Json(Reviewed { message: "Mensaje moderado correctamente" }))
}
