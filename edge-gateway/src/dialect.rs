//! What the shared machinery must know of a dialect, and the problems it may have to put into a dialect's words.

use std::ops::Deref;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method};
use tonic::Status;

use crate::Edge;
use crate::cors::Cors;
use crate::form::{Fault, Habits};
use crate::limit::Class;
use crate::routes::{Describe, Routes};

/// One of the two languages the edge speaks. The type is also the state of the dialect's router, so that extractors
/// know in whose words to refuse.
pub trait Dialect: Clone + Send + Sync + Deref<Target = Edge> + 'static {
    const HABITS: Habits;
    /// Whether GET routes answer HEAD as well.
    const HEAD: bool;
    /// Schemes of the Authorization header, in lower case.
    const SCHEMES: &'static [&'static str];
    /// The class of routes that name none; `None` leaves them unlimited.
    const LIMIT: Option<Class>;
    /// Media ranges of which a client's Accept must have one; empty when nobody looks.
    const ACCEPT: &'static [&'static str];
    /// Headers of every answer.
    const HEADERS: &'static [(&'static str, &'static str)];

    type Error: IntoResponse + From<Problem> + From<Status> + Describe + Send;

    fn routes() -> Routes<Self>;

    fn cors(&self) -> &Cors;

    /// Answers OPTIONS that is not a preflight.
    fn options(allow: HeaderValue) -> Response;
}

/// What can go wrong before, around and instead of a handler. Each dialect has one exhaustive table for it.
#[derive(Debug)]
pub enum Problem {
    /// No such path.
    NoRoute,
    /// `/api/vN` with a version nobody knows.
    Version(String),
    /// The path exists, with other methods.
    Method(Method),
    /// A path's `{name}` is not what it should be.
    PathId {
        name: String,
    },
    NotAcceptable,
    /// A body of a type that is not read here; the text is the Content-Type.
    MediaType(String),
    TooLarge {
        limit: u64,
    },
    /// The body is no JSON; the text is the parser's.
    BrokenJson(String),
    /// The body is no form, or did not arrive whole; the text is the parser's.
    BrokenForm(String),
    /// The body is JSON, but not an object; the text is Python's name of the type.
    NotAnObject(&'static str),
    Fields {
        place: Place,
        faults: Vec<Fault>,
    },
    Credentials(Credentials),
    /// `reset` is when the next window begins, Unix seconds.
    Limited {
        limit: u32,
        period: Duration,
        retry_after: u64,
        reset: u64,
    },
    /// An `Idempotency-Key` that is too long or not printable.
    KeyBroken,
    /// The first request with this `Idempotency-Key` is still being served.
    KeyBusy,
    /// The `Idempotency-Key` was used with another body.
    KeyReused,
    Overloaded,
    Timeout,
    /// The client stopped sending in the middle of its body.
    Stalled,
    Panic,
    /// What a service answered, or would have.
    Status(Box<Status>),
}

/// Where fields stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Body,
    Query,
    Header,
}

/// Why somebody is not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// No header, or one of another scheme.
    Missing,
    /// A scheme and nothing behind it.
    Empty,
    /// More than one word behind the scheme.
    Spaces,
    /// Forged or expired.
    Bad,
    /// Good once, but its session has ended.
    Revoked,
    /// Good once, but an administrator shut the account.
    Banned,
    /// Good once, but the account was deleted.
    Deleted,
    /// Nobody can say at the moment.
    Unknown,
}

/// A number of bytes in words that both dialects have.
pub fn size(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{} KB", bytes >> 10) } else { format!("{} MB", bytes >> 20) }
}
