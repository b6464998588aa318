//! Health as Conectar's clients ask it: the gateway's aggregate on bare paths, one service's answer below the prefix.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::conectar::{Conectar, SERVICES};
use crate::health::{self, State as Health};
use crate::platform::Platform;
use crate::routes::{Describe, Operation};

const VERSION: &str = "2.0.0";

/// Bare paths, which belong to the platform rather than to a version of the API.
pub fn router() -> Router<Platform> {
    Router::new()
        .route("/", get(root))
        .route("/health", get(aggregate))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
}

async fn root() -> Json<Value> {
    Json(json!({
        "name": "ConectarProfesionales API Gateway",
        "version": VERSION,
        "api_versions": ["v1", "v2"],
        "default_version": "v1",
        "endpoints": {"health": "/health", "v1_base": "/api/v1", "v2_base": "/api/v2"},
        "documentation": {"swagger_v1": "/api/v1/docs", "swagger_v2": "/api/v2/docs"},
        "deprecation_notice": "API v1 será deprecada en 6 meses. Migre a v2.",
    }))
}

/// Always 200: the answer is in the body.
async fn aggregate(State(edge): State<Conectar>) -> Json<Value> {
    let services = health::services(&edge).await;
    let healthy = services.iter().all(|(_, state)| *state == Health::Healthy);
    let listed: Map<String, Value> = services
        .into_iter()
        .filter_map(|(name, state)| {
            let (_, theirs) = SERVICES.iter().find(|(ours, _)| *ours == name)?;
            Some(((*theirs).to_owned(), json!({"estado": word(state)})))
        })
        .collect();
    Json(json!({
        "gateway": "healthy",
        "version": VERSION,
        "api_versions": ["v1", "v2"],
        "default_version": "v1",
        "servicios": listed,
        "estado_general": if healthy { "healthy" } else { "degraded" },
    }))
}

fn word(state: Health) -> &'static str {
    match state {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
        Health::Down => "down",
    }
}

/// Whether this process runs.
pub async fn live() -> Json<Live> {
    Json(Live { status: "alive", service: "gateway" })
}

#[derive(Serialize, ToSchema)]
#[schema(as = Liveness)]
pub struct Live {
    status: &'static str,
    service: &'static str,
}

/// Whether requests can be served; 503 when not.
pub async fn ready(State(edge): State<Conectar>) -> Ready {
    let ready = health::services(&edge).await.iter().all(|(_, state)| *state == Health::Healthy);
    let check = if ready {
        Check { status: "healthy", message: "Database connection OK" }
    } else {
        Check { status: "unhealthy", message: "A service does not answer" }
    };
    let status = if ready { "ready" } else { "not_ready" };
    Ready { service: "gateway", status, checks: Checks { database: check } }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
pub struct Ready {
    service: &'static str,
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReadinessChecks)]
pub struct Checks {
    database: Check,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReadinessCheck)]
pub struct Check {
    status: &'static str,
    message: &'static str,
}

impl IntoResponse for Ready {
    fn into_response(self) -> Response {
        let status = if self.status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

impl Describe for Ready {
    fn describe(operation: &mut Operation) {
        operation.json::<Self>("200", "Ready");
        operation.json::<Self>("503", "Not ready");
    }
}

/// `/health` below the prefix: what the monolith said of itself.
pub async fn health(State(edge): State<Conectar>) -> Monolith {
    let well = health::services(&edge).await.iter().all(|(_, state)| *state == Health::Healthy);
    let (status, database, postgis) =
        if well { ("ok", "connected", "available") } else { ("degraded", "error", "unknown") };
    let postgis = PostGis { status: postgis, version: None };
    Monolith { status, app_name: "ConectarProfesionales", version: VERSION, database, postgis }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub struct Monolith {
    status: &'static str,
    app_name: &'static str,
    version: &'static str,
    /// `connected` or `error`.
    database: &'static str,
    postgis: PostGis,
}

#[derive(Serialize, ToSchema)]
pub struct PostGis {
    status: &'static str,
    version: Option<&'static str>,
}

impl IntoResponse for Monolith {
    fn into_response(self) -> Response {
        let status = if self.status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

impl Describe for Monolith {
    fn describe(operation: &mut Operation) {
        operation.json::<Self>("200", "All is well");
        operation.json::<Self>("503", "Something is not");
    }
}
