//! What Agrovet's probes ask: `/health/` whether the edge runs, `/health/detailed/` whether what it needs does.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::agrovet::Agrovet;
use crate::health;
use crate::routes::{Describe, Operation};

#[derive(Serialize, ToSchema)]
pub struct Health {
    status: &'static str,
    service: &'static str,
}

pub async fn health() -> Json<Health> {
    Json(Health { status: "ok", service: "edge-gateway" })
}

/// 200 when all is well, 503 when something is not.
#[derive(Serialize, ToSchema)]
#[schema(as = DetailedHealth)]
pub struct Detailed {
    status: &'static str,
    service: &'static str,
    checks: Checks,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HealthChecks)]
pub struct Checks {
    /// The services and their databases.
    database: &'static str,
    redis: &'static str,
}

/// `ok` or `error`, and never why: outsiders read this.
pub async fn detailed(State(edge): State<Agrovet>) -> Detailed {
    let word = |well| if well { "ok" } else { "error" };
    let (services, redis) = tokio::join!(health::services(&edge), health::redis(&edge));
    let database = services.iter().all(|(_, state)| *state == health::State::Healthy);
    let status = if database && redis { "ok" } else { "degraded" };
    Detailed { status, service: "edge-gateway", checks: Checks { database: word(database), redis: word(redis) } }
}

impl IntoResponse for Detailed {
    fn into_response(self) -> Response {
        let status = if self.status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

impl Describe for Detailed {
    fn describe(operation: &mut Operation) {
        operation.json::<Self>("200", "All is well");
        operation.json::<Self>("503", "Something is not");
    }
}
