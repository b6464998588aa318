//! What belongs to neither dialect: the documents, uploaded files, and the health of the whole on bare paths. Pages of
//! both communities may use it; its errors are worded as Conectar's, whose answers on bare paths these always were.

use std::ops::Deref;

use axum::Router;
use axum::extract::FromRef;
use axum::response::{IntoResponse, Response};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use crate::conectar::{self, Conectar};
use crate::cors::Cors;
use crate::dialect::{Dialect, Problem};
use crate::form::Habits;
use crate::limit::Class;
use crate::routes::Routes;
use crate::{Edge, demo, docs, files};

/// The state of these routes.
#[derive(Clone)]
pub struct Platform(pub Edge);

pub fn router() -> Router<Platform> {
    Router::new()
        .merge(docs::router())
        .merge(demo::router())
        .merge(files::router())
        .merge(conectar::health::router())
        .method_not_allowed_fallback(only_read)
        .fallback(async || conectar::Error::from(Problem::NoRoute))
}

async fn only_read(method: Method) -> Response {
    let answer = match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        other => conectar::Error::from(Problem::Method(other)).into_response(),
    };
    ([(ALLOW, "GET, HEAD, OPTIONS")], answer).into_response()
}

impl Deref for Platform {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.0
    }
}

impl FromRef<Platform> for Conectar {
    fn from_ref(platform: &Platform) -> Self {
        Self(platform.0.clone())
    }
}

impl Dialect for Platform {
    const HABITS: Habits = Habits::Pydantic;
    const HEAD: bool = true;
    const SCHEMES: &'static [&'static str] = &["bearer", "token"];
    const LIMIT: Option<Class> = None;
    const ACCEPT: &'static [&'static str] = &[];
    const HEADERS: &'static [(&'static str, &'static str)] = &[
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("x-xss-protection", "1; mode=block"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("permissions-policy", "geolocation=(self), payment=(self)"),
    ];

    type Error = conectar::Error;

    fn routes() -> Routes<Self> {
        Routes::new()
    }

    fn cors(&self) -> &Cors {
        &self.platform_cors
    }

    fn options(_: HeaderValue) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Reading is for the pages of both.
pub fn cors(agrovet: &Cors, conectar: &Cors) -> Cors {
    let origins = &agrovet.origins | &conectar.origins;
    Cors { origins, methods: "GET, HEAD, OPTIONS", max_age: "86400", ..conectar.clone() }
}
