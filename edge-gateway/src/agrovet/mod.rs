//! Agrovet's dialect: Django REST Framework as its frontend knows it. Spanish texts, `{"detail": …}`, field errors as
//! lists, numbers as ids, pages by number.

pub mod ads;
pub mod auth;
pub mod batch;
pub mod categories;
pub mod chat;
pub mod error;
pub mod follows;
pub mod foro;
pub mod health;
pub mod media;
pub mod orders;
pub mod page;
pub mod profiles;
pub mod reset;
pub mod roots;
pub mod routes;
pub mod security;
pub mod users;

use std::ops::Deref;

use axum::Json;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use http::{HeaderValue, StatusCode};
use prost_types::Timestamp;
use serde_json::json;

use crate::Edge;
pub use crate::agrovet::error::{Error, On, Result};
use crate::cors::Cors;
use crate::dialect::Dialect;
use crate::form::Habits;
use crate::limit::Class;
use crate::routes::Routes;

/// The dialect, and the state of its router.
#[derive(Clone)]
pub struct Agrovet(pub Edge);

impl Deref for Agrovet {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.0
    }
}

crate::auth::callers!(Agrovet, Error);

impl Dialect for Agrovet {
    const HABITS: Habits = Habits::Django;
    const HEAD: bool = true;
    const SCHEMES: &'static [&'static str] = &["bearer", "token"];
    const LIMIT: Option<Class> = None;
    // Browsers that ask for HTML get JSON too.
    const ACCEPT: &'static [&'static str] = &["*/*", "application/*", "application/json", "text/html"];
    const HEADERS: &'static [(&'static str, &'static str)] = &[
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];

    type Error = Error;

    fn routes() -> Routes<Self> {
        routes::routes()
    }

    fn cors(&self) -> &Cors {
        &self.agrovet_cors
    }

    /// What DRF says of a view, as far as it is true here.
    fn options(_: HeaderValue) -> Response {
        let parses = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];
        Json(json!({"name": "", "description": "", "renders": ["application/json"], "parses": parses})).into_response()
    }
}

pub fn cors(origins: &[String]) -> Cors {
    Cors {
        origins: origins.iter().filter_map(|origin| origin.parse().ok()).collect(),
        methods: "DELETE, GET, OPTIONS, PATCH, POST, PUT",
        headers: Some(
            "accept, authorization, content-type, user-agent, x-csrftoken, x-requested-with, idempotency-key, \
             x-request-id, ngrok-skip-browser-warning",
        ),
        expose: "",
        max_age: "86400",
        stranger: StatusCode::OK,
    }
}

/// `2025-11-22T18:34:00.123456Z`; Django leaves the fraction out when it is zero.
pub fn time(at: Option<Timestamp>) -> String {
    let at = at.unwrap_or_default();
    let at = DateTime::from_timestamp(at.seconds, at.nanos.unsigned_abs()).unwrap_or_default();
    let fraction = if at.timestamp_subsec_micros() == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    at.to_rfc3339_opts(fraction, true)
}

/// `2025-11-22T18:34:00.123456+00:00`, as Python prints what was never meant for a serializer.
pub fn offset_time(at: Option<Timestamp>) -> String {
    let zulu = time(at);
    format!("{}+00:00", zulu.trim_end_matches('Z'))
}

/// A coordinate as Django prints a decimal of seven places.
pub fn degrees(value: f64) -> String {
    format!("{value:.7}")
}

/// A price in hundredths as Django prints a decimal of two places.
pub fn price(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_django_prints_them() {
        let at = |nanos| time(Some(Timestamp { seconds: 1_763_836_440, nanos }));
        assert_eq!((at(0), at(123_456_000)), ("2025-11-22T18:34:00Z".into(), "2025-11-22T18:34:00.123456Z".into()));
        assert_eq!(
            (degrees(-86.251389), price(125_000), price(-5)),
            ("-86.2513890".into(), "1250.00".into(), "-0.05".into())
        );
    }
}
