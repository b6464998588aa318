//! Sockets: a WebSocket is one person's stream to `chat` in the words of a dialect. What both dialects share stands here:
//! who may open one ([`Knock`]), how many there may be ([`Sockets`]), what goes in and out ([`bridge`]), and how the
//! stream behind one outlives the process that serves it ([`upstream`]).
//!
//! The token stands in the query string, because browsers let a page say nothing else; nothing here logs it.

mod bridge;
pub mod faces;
mod farewell;
pub mod names;
mod positions;
mod upstream;

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use http::header::{HeaderValue, ORIGIN};
use http::request::Parts;
use kit::identity::Caller;
use metrics::Gauge;
use proto::chat::v1::client_frame::Frame as Said;
use proto::chat::v1::{Open, ServerFrame};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Code, Status};
use url::form_urlencoded;
use utoipa::PartialSchema;
use utoipa::openapi::path::ParameterIn;

use crate::Edge;
use crate::address::{Base, Client};
use crate::dialect::Dialect;
use crate::places::{Place, Places};
use crate::routes::{Describe, Operation};
use crate::socket::bridge::Bridge;
pub(crate) use crate::socket::farewell::Farewell;
use crate::socket::upstream::Upstream;

/// Bytes that are read at once. Each socket has so many for itself.
const READ: usize = 2 << 10;
/// Bytes that wait for each other before they are sent; no socket reserves them.
const WRITE: usize = 4 << 10;
/// More than any frame has, so that no frame is refused for its size.
const MOST_UNSENT: usize = 4 << 20;
/// A client that sends a larger frame is cut off; smaller ones than this that are too large are answered.
const LARGEST: usize = 256 << 10;

/// What is refused by words, and how long silence is borne: where the dialects differ.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// For metrics.
    pub dialect: &'static str,
    /// Bytes of a client's frame.
    pub largest: usize,
    /// After so long without a word the client is asked whether it lives.
    pub ask_after: Duration,
    /// After so long without a word it does not.
    pub give_up_after: Duration,
}

/// A frame for the client.
#[derive(Debug)]
pub struct Out {
    /// Its type, for metrics.
    pub kind: &'static str,
    pub text: String,
}

/// What a client's frame comes to.
#[derive(Debug)]
pub enum Asks {
    /// Something for `chat`.
    Chat(Said),
    /// Something answered here.
    Answer(Out),
    Nothing,
}

/// Why the edge itself refuses a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    TooLarge,
    Binary,
}

/// One socket's side of the conversation, in the words of a dialect.
pub trait Speech: Send + 'static {
    const MANNERS: Manners;

    /// Understands a client's frame; its type comes first, for metrics.
    fn hear(&mut self, text: &str) -> (&'static str, Asks);

    /// Says what `chat` said; nothing for what this client does not need to know.
    fn say(&mut self, frame: ServerFrame) -> impl Future<Output = Vec<Out>> + Send;

    fn refuse(&self, fault: Fault) -> Out;

    /// Says that the socket will be closed, and in how long.
    fn farewell(&self, wait: Duration) -> Out;
}

/// The sockets of this process.
pub struct Sockets {
    places: Places,
    tasks: TaskTracker,
}

impl Sockets {
    pub(crate) fn new(most: usize, each: usize) -> Self {
        Self { places: Places::with(most, each), tasks: TaskTracker::new() }
    }

    /// A place for somebody's socket, or for a stream of gRPC that is as good as one.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Place> {
        self.places.take(address)
    }

    /// Returns when the last one is closed.
    pub(crate) async fn closed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Why nobody is let in.
#[derive(Debug)]
pub enum Refusal {
    /// The request is no WebSocket handshake.
    NoHandshake,
    /// A page of another origin than those that may talk to us.
    Origin,
    NoToken,
    BadToken,
    /// There are too many sockets, here or of this address.
    Full,
    /// What a service answered, or would have.
    Status(Box<Status>),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// A client that wants a socket.
pub struct Knock {
    handshake: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    token: Option<String>,
    origin: Option<HeaderValue>,
    base: Base,
    client: Client,
}

impl<D: Dialect> FromRequestParts<D> for Knock {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, edge: &D) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let token = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.into_owned())
        };
        let token = token("token").or_else(|| token("access_token"));
        let origin = parts.headers.get(ORIGIN).cloned();
        let Ok(base) = Base::from_request_parts(parts, edge).await;
        let Ok(client) = Client::from_request_parts(parts, edge).await;
        let handshake = WebSocketUpgrade::from_request_parts(parts, edge).await;
        Ok(Self { handshake, token, origin, base, client })
    }
}

impl Describe for Knock {
    fn describe(operation: &mut Operation) {
        operation.parameter(ParameterIn::Query, "token", true, <String as PartialSchema>::schema());
        operation.answer(101, "The socket is open");
        operation.answer(426, "Not a WebSocket handshake");
    }
}

/// Somebody who may come in.
pub struct Guest {
    pub caller: Caller,
    pub base: Base,
    bearer: String,
    ticket: Ticket,
}

/// A place among the sockets; free again when it is dropped.
struct Ticket {
    _place: Place,
    _task: TaskTrackerToken,
    open: Gauge,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.open.decrement(1);
    }
}

impl Knock {
    /// Whether the one who knocks may come in.
    pub async fn admit<D: Dialect>(&self, edge: &D, manners: &Manners) -> Result<Guest, Refusal> {
        if self.handshake.is_err() {
            return Err(Refusal::NoHandshake);
        }
        // Pages of our own may, wherever we are; programs name no origin.
        let friend = |origin: &HeaderValue| {
            edge.cors().origins.contains(origin) || origin.as_bytes() == self.base.absolute("").as_bytes()
        };
        if !self.origin.as_ref().is_none_or(friend) {
            return Err(Refusal::Origin);
        }
        let token = self.token.as_deref().ok_or(Refusal::NoToken)?;
        let caller = edge.verifier.verify(token).await.map_err(|error| match error.code() {
            Code::Unauthenticated => Refusal::BadToken,
            _ => Refusal::from(Status::from(error)),
        })?;
        let place = edge.sockets.take(self.client.ip).ok_or(Refusal::Full)?;
        let open = metrics::gauge!("sockets_open", "dialect" => manners.dialect);
        open.increment(1);
        let ticket = Ticket { _place: place, _task: edge.sockets.tasks.token(), open };
        Ok(Guest { caller, base: self.base.clone(), bearer: format!("Bearer {token}"), ticket })
    }

    /// Opens the socket, whose other end is open already.
    pub fn accept<S: Speech>(self, edge: &Edge, guest: Guest, upstream: Box<Upstream>, speech: S) -> Response {
        let (edge, ticket) = (edge.clone(), guest.ticket);
        self.upgrade(move |socket| {
            let bridge = Bridge::new(edge, socket, upstream, speech);
            async move {
                let _ticket = ticket;
                bridge.run().await;
            }
        })
    }

    /// Opens the socket and closes it at once, for clients that look at nothing but the code.
    pub fn turn_away(self, code: u16, reason: &'static str) -> Response {
        self.upgrade(async move |socket| bridge::close(socket, CloseFrame { code, reason: reason.into() }).await)
    }

    fn upgrade<F>(self, serve: impl FnOnce(WebSocket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self.handshake {
            Ok(handshake) => handshake
                .read_buffer_size(READ)
                .write_buffer_size(WRITE)
                .max_write_buffer_size(MOST_UNSENT)
                .max_message_size(LARGEST)
                .max_frame_size(LARGEST)
                .on_upgrade(serve),
            Err(rejection) => axum::response::IntoResponse::into_response(rejection),
        }
    }
}

impl Guest {
    /// Opens the stream behind the socket.
    pub async fn open(&self, edge: &Edge, open: Open) -> Result<Box<Upstream>, Refusal> {
        Ok(Box::new(Upstream::open(edge, self.caller, &self.bearer, open).await?))
    }
}

/// Bytes of ours behind a socket that waits.
#[cfg(test)]
pub fn size<S: Speech>() -> usize {
    fn size<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }
    size(Bridge::<S>::run) + size_of::<Bridge<S>>() + size_of::<Upstream>()
}
