//! Calls to other services. A [`Peer`] is what generated clients are built on: a few lazy connections, the request's
//! context passed on, retries with a budget for RPCs without side effects, and a circuit breaker.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;
use tower::retry::budget::{Budget, TpsBudget};

use crate::access;
use crate::breaker::Breaker;
use crate::context::{self, TIMEOUT};
use crate::error::{Details, invalid, unavailable};
use crate::link::Link;
use crate::net::Dial;

/// One HTTP/2 connection is one task on each side; a second one uses the second core.
const CONNECTIONS: usize = 2;
/// What a connection lets a peer send before we have read it: for a call, and for all calls together. The second is no
/// limit, or a few slow readers of large answers would keep everybody else's away.
const WINDOWS: (u32, u32) = (1 << 20, 1 << 30);
/// The same where calls are streams that live long, and some are not read for a while: a thousand that stand still must
/// not fill the connection of the others.
const STREAMS_WINDOWS: (u32, u32) = (64 << 10, 64 << 20);
const ATTEMPTS: u32 = 3;
/// For calls that come from no request with a deadline.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a request that is kept to be sent again: tonic reads no larger message.
const LARGEST: usize = 4 << 20;
/// A peer that does not answer within this is away; less patience than that says nothing about the peer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Paths of unary RPCs, and whether they may be sent twice.
static UNARY: LazyLock<HashMap<String, bool>> = LazyLock::new(|| {
    let methods = access::all_methods().expect("every contract has its rules; a test says so");
    let unary = methods.into_values().filter(|m| !m.client_streaming && !m.server_streaming);
    unary.map(|m| (m.path, m.safe)).collect()
});

/// A service we call. Cheap to clone.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    links: Vec<Link>,
    next: AtomicUsize,
    breaker: Breaker,
    budget: TpsBudget,
    /// Sent when the request's own context has no token.
    authorization: Option<HeaderValue>,
}

impl Peer {
    /// Connects when it is first called.
    pub fn new(name: &str, dial: Dial) -> Self {
        Self::build(name, dial, WINDOWS, None)
    }

    /// For streams that live long and may not be read for a while.
    pub fn for_streams(name: &str, dial: Dial) -> Self {
        Self::build(name, dial, STREAMS_WINDOWS, None)
    }

    /// For tools and tests: calls carry this access token unless the request being served has its own.
    pub fn with_token(name: &str, dial: Dial, token: &str) -> Self {
        Self::build(name, dial, WINDOWS, format!("Bearer {token}").parse().ok())
    }

    fn build(name: &str, dial: Dial, windows: (u32, u32), authorization: Option<HeaderValue>) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            links: (0..CONNECTIONS).map(|_| Link::new(name, dial.clone(), windows)).collect(),
            next: AtomicUsize::new(0),
            breaker: Breaker::default(),
            // A fifth more calls at most, and ten a second when there are few.
            budget: TpsBudget::new(Duration::from_secs(10), 10, 0.2),
            authorization,
        }))
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether calls are refused at the moment because the peer failed too often.
    pub fn broken(&self) -> bool {
        self.0.breaker.open(Instant::now())
    }
}

impl Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { inner.call(request).await })
    }
}

impl Inner {
    async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let context = context::current();
        // An outsider's, whom the edge lets through, may be of another body: gRPC-Web's is longer as text. A peer resets
        // what is not as long as it says, and no gRPC client says how long.
        request.headers_mut().remove(CONTENT_LENGTH);
        let own_authorization = request.headers_mut().remove(AUTHORIZATION);
        context.write(request.headers_mut());
        if let Some(value) = own_authorization.or_else(|| self.authorization.clone()) {
            request.headers_mut().entry(AUTHORIZATION).or_insert(value);
        }
        let asked = request.headers().get(TIMEOUT).and_then(|v| v.to_str().ok()).and_then(context::parse_timeout);
        let unary = UNARY.get(request.uri().path());
        let safe = unary.is_some_and(|safe| *safe);
        // A stream may take as long as it likes unless the request behind it has a deadline.
        let limit = match (asked, context.left()) {
            (Some(asked), Some(left)) => Some(asked.min(left)),
            (asked, left) => asked.or(left).or(unary.map(|_| DEFAULT_DEADLINE)),
        };
        let deadline = limit.map(|limit| Instant::now() + limit);

        if !safe {
            return self.attempt(request, deadline).await;
        }
        self.budget.deposit();
        let read = Repeatable::read(request);
        let read = tokio::time::timeout(limit.unwrap_or(DEFAULT_DEADLINE), read).await;
        let mut repeatable = read.map_err(|_| Status::deadline_exceeded("the request did not arrive in time"))??;
        let mut attempt = 1;
        loop {
            let answer = self.attempt(repeatable.request(), deadline).await;
            if attempt == ATTEMPTS || !away(&answer) || self.breaker.open(Instant::now()) || !self.budget.withdraw() {
                return answer;
            }
            metrics::counter!("peer_retries_total", "peer" => self.name.to_string()).increment(1);
            tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, mut request: Request<Body>, deadline: Option<Instant>) -> Result<Response<Body>, Status> {
        let started = Instant::now();
        let left = deadline.map(|at| at.saturating_duration_since(started));
        if left == Some(Duration::ZERO) {
            return Err(self.late());
        }
        if !self.breaker.admits(started) {
            return Err(
                unavailable("PEER_AWAY", format!("{} failed too often; not asking for a while", self.name)).into()
            );
        }
        if let Some(left) = left {
            let text = context::write_timeout(left);
            request.headers_mut().insert(TIMEOUT, text.parse().expect("digits and a letter"));
        }
        // A body that breaks off is its sender's doing, and no sign that the peer is away.
        let cut = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| {
            let cut = cut.clone();
            Body::new(body.map_err(move |error| {
                cut.store(true, Ordering::Relaxed);
                error
            }))
        });
        let link = &self.links[self.next.fetch_add(1, Ordering::Relaxed) % self.links.len()];
        let call = link.call(request);
        let answer = match left {
            Some(left) => tokio::time::timeout(left, call).await,
            None => Ok(call.await),
        };
        if cut.load(Ordering::Relaxed) {
            return Err(invalid("", "the request's body broke off").into());
        }
        let answer = match answer {
            // The peer counts the same deadline, and sometimes is the first to notice.
            Ok(Err(_)) if deadline.is_some_and(|at| at <= Instant::now()) => None,
            answer => answer.ok(),
        };
        let Some(answer) = answer else {
            // Else anybody could cut us off from the peer by asking with tiny deadlines.
            if left.is_some_and(|left| left >= PATIENCE) {
                self.breaker.record(false, Instant::now());
            }
            return Err(self.late());
        };
        let answer = answer.map_err(|error| {
            tracing::debug!(peer = &*self.name, error = %chain(&*error), "call failed");
            match refused_as_malformed(&*error) {
                true => invalid("", "the request is malformed").into(),
                false => Status::from(unavailable("PEER_AWAY", format!("{} does not answer", self.name))),
            }
        });
        self.breaker.record(!away(&answer), Instant::now());
        answer
    }

    fn late(&self) -> Status {
        Status::deadline_exceeded(format!("{} did not answer in time", self.name))
    }
}

/// Whether the peer is away, as opposed to having answered something. UNAVAILABLE with a reason is an answer: the peer
/// lives, and what it lacks is its own (a storage, a configuration). Without one it comes from a proxy in between.
fn away(answer: &Result<Response<Body>, Status>) -> bool {
    match answer {
        Ok(response) => Status::from_header_map(response.headers())
            .is_some_and(|s| s.code() == Code::Unavailable && Details::of(&s).reason.is_empty()),
        Err(status) => status.code() == Code::Unavailable,
    }
}

/// Whether the peer is there and found that this request breaks HTTP/2's rules. Whoever sends such requests must not cut
/// others off from the peer.
fn refused_as_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<h2::Error>())
        .any(|error| error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR))
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A request whose body is in memory, to be sent more than once.
struct Repeatable {
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    body: Bytes,
}

impl Repeatable {
    async fn read(request: Request<Body>) -> Result<Self, Status> {
        let (parts, body) = request.into_parts();
        // It may be an outsider's that the edge passes on, and then end late or never.
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| match error.downcast::<Status>() {
            Ok(status) => *status,
            Err(_) => Status::resource_exhausted("the request is too large"),
        })?;
        let body = body.to_bytes();
        Ok(Self { uri: parts.uri, headers: parts.headers, extensions: parts.extensions, body })
    }

    fn request(&mut self) -> Request<Body> {
        let mut request = Request::new(Body::new(Full::new(self.body.clone())));
        *request.method_mut() = Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        request
    }
}
