//! Conectar's dialect: FastAPI as its frontend knows it. UUIDs as ids, `detail` always a text, one superset of every
//! error body the original services had.

pub mod admin;
pub mod auth;
pub mod chat;
pub mod error;
pub mod firebase;
pub mod health;
pub mod passwords;
pub mod routes;
pub mod second_factor;
pub mod sessions;
pub mod users;

use std::borrow::Cow;
use std::ops::Deref;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use http::{HeaderValue, StatusCode};
use prost_types::Timestamp;

use crate::Edge;
pub use crate::conectar::error::{Error, On, Result};
use crate::cors::Cors;
use crate::dialect::Dialect;
use crate::form::Habits;
use crate::limit::Class;
use crate::routes::Routes;

/// The dialect, and the state of its router.
#[derive(Clone)]
pub struct Conectar(pub Edge);

impl Deref for Conectar {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.0
    }
}

crate::auth::callers!(Conectar, Error);

impl Dialect for Conectar {
    const HABITS: Habits = Habits::Pydantic;
    const HEAD: bool = false;
    const SCHEMES: &'static [&'static str] = &["bearer"];
    const LIMIT: Option<Class> = Some(Class::General);
    const ACCEPT: &'static [&'static str] = &[];
    const HEADERS: &'static [(&'static str, &'static str)] = &[
        ("x-api-version", "v1"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("x-xss-protection", "1; mode=block"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("permissions-policy", "geolocation=(self), payment=(self)"),
    ];

    type Error = Error;

    fn routes() -> Routes<Self> {
        routes::routes()
    }

    fn cors(&self) -> &Cors {
        &self.conectar_cors
    }

    fn options(_: HeaderValue) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

pub fn cors(origins: &[String]) -> Cors {
    Cors {
        origins: origins.iter().filter_map(|origin| origin.parse().ok()).collect(),
        methods: "GET, POST, PUT, DELETE, PATCH",
        headers: None,
        expose: "X-Total-Count, X-Page, X-Page-Size, X-API-Version, X-Request-ID, X-Correlation-ID, X-RateLimit-Limit, \
                 X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, Idempotency-Replayed",
        max_age: "600",
        stranger: StatusCode::BAD_REQUEST,
    }
}

/// Families of paths that answer like another one.
const ALIASES: &[(&str, &str)] = &[
    ("usuario", "users"),
    ("publico", "public"),
    ("buscar", "search"),
    ("profesional", "professional"),
    ("notificar", "notify"),
];

/// The services as Conectar's clients call them. The others join with their releases.
pub const SERVICES: &[(&str, &str)] =
    &[("auth", "autenticacion"), ("users", "usuarios"), ("media", "archivos"), ("chat", "chat")];

/// The version that a path asks for, and the path without its prefix: `/api/v2/users/me` → `v2`, `/users/me`.
pub fn unprefixed(path: &str) -> (&'static str, &str) {
    let below = |prefix: &str| path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let (version, rest) = match (below("/api/v1"), below("/api/v2"), below("/api")) {
        (Some(rest), ..) => ("v1", rest),
        (_, Some(rest), _) => ("v2", rest),
        (.., rest) => ("v1", rest.unwrap_or(path)),
    };
    (version, if rest.is_empty() { "/" } else { rest })
}

/// The path under its usual name: `/usuario/me` → `/users/me`.
pub fn canonical(path: &str) -> Cow<'_, str> {
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next().unwrap_or_default();
    match ALIASES.iter().find(|(alias, _)| *alias == first) {
        Some((_, usual)) => format!("/{usual}{}", &path[1 + first.len()..]).into(),
        None => path.into(),
    }
}

/// ISO 8601 in UTC.
pub fn time(at: Option<Timestamp>) -> String {
    let at = at.unwrap_or_default();
    let at = DateTime::from_timestamp(at.seconds, at.nanos.unsigned_abs()).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_whole_segments() {
        assert_eq!(canonical("/usuario/me"), "/users/me");
        assert_eq!(canonical("/profesional"), "/professional");
        assert_eq!(canonical("/usuarios"), "/usuarios");
        assert_eq!(canonical("/"), "/");
        assert_eq!(canonical("//usuario/me"), "//usuario/me");
    }

    #[test]
    fn every_form_of_the_prefix_comes_off() {
        assert_eq!(unprefixed("/api/v2/x"), ("v2", "/x"));
        assert_eq!(unprefixed("/api/v1"), ("v1", "/"));
        assert_eq!(unprefixed("/api/x"), ("v1", "/x"));
        assert_eq!(unprefixed("/apix"), ("v1", "/apix"));
    }
}
