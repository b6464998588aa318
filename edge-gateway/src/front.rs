//! What happens around every request, and which program answers it. The steps are numbered in [`Front::serve`]; what a
//! dialect adds stands in [`dress`], and whose a path is in [`paths`].

mod paths;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use http::header::{ACCEPT, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use kit::context::{self, Context};
use kit::telemetry;
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tracing::Instrument;
use uuid::Uuid;

use crate::address::Client;
use crate::agrovet::Agrovet;
use crate::auth::Identity;
use crate::conectar::Conectar;
use crate::dialect::{Dialect, Problem};
use crate::front::paths::{Hidden, Program, program, reroot};
use crate::grpc_web::GrpcProxy;
use crate::limit::Class;
use crate::meters::Meters;
use crate::platform::Platform;
use crate::upload::{Brisk, Lingering};
use crate::{Edge, etag, idempotency, limit, platform};

tokio::task_local! {
    /// The path as the client wrote it, for error bodies that repeat it.
    static ASKED: Uri;
}

/// The path of the request being served, as the client wrote it.
pub fn asked_path() -> String {
    ASKED.try_with(|uri| uri.path().to_owned()).unwrap_or_default()
}

/// Runs something to its end even if the client goes away meanwhile.
pub async fn detached<F>(work: F) -> Option<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let asked = ASKED.try_with(Uri::clone).unwrap_or_default();
    let work = ASKED.scope(asked, context::scope(context::current(), work)).in_current_span();
    tokio::spawn(work).await.ok()
}

/// Everything the edge answers.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    edge: Edge,
    /// Falls through to Conectar where only Conectar knows the path.
    agrovet: Router,
    conectar: Router,
    hidden: Hidden,
    /// Neither dialect's: health, documents, files.
    platform: Router,
    /// `/api/v3` and the like.
    no_version: Router,
    grpc: GrpcProxy,
    meters: Meters,
}

impl Front {
    pub fn new(edge: Edge) -> anyhow::Result<Self> {
        let (agrovet, conectar) = (Agrovet(edge.clone()), Conectar(edge.clone()));
        let (agrovets, conectars) = (Agrovet::routes(), Conectar::routes());
        let hidden = Hidden::between(&agrovets, &conectars);
        let conectar_routes = dress(&conectar, conectars.into_router(&conectar));
        // What nobody knows below /api/ is refused in Agrovet's words.
        let nothing = dress(&agrovet, Router::new().fallback(async || problem::<Agrovet>(Problem::NoRoute)));
        let behind = Rerooted(conectar_routes.clone().fallback_service(nothing));
        let agrovet_routes = dress(&agrovet, agrovets.into_router(&agrovet)).fallback_service(behind);
        Ok(Self(Arc::new(Inner {
            agrovet: agrovet_routes,
            conectar: conectar_routes,
            hidden,
            platform: dress(&Platform(edge.clone()), platform::router()),
            no_version: dress(&conectar, Router::new().fallback(no_version)),
            grpc: GrpcProxy::new(&edge)?,
            meters: Meters::default(),
            edge,
        })))
    }

    pub fn edge(&self) -> &Edge {
        &self.0.edge
    }

    async fn serve(self, mut request: Request) -> Response {
        let started = Instant::now();
        let edge = &self.0.edge;

        // 1. Who is on the line? Forwarding headers count only behind trusted proxies.
        let peer = request.extensions().get().copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        let client = Client::of(peer, request.headers(), &edge.config.trusted_proxies);
        request.extensions_mut().insert(client);

        // 2. Names for logs and answers, and the deadline: together they go with every call to a service.
        let mut context = introduce(request.headers(), client, edge.config.timeout(&request));
        let id = HeaderValue::from_str(&context.request_id).ok();
        let correlation = HeaderValue::from_str(&context.correlation_id).ok();

        // 3. A span under the client's trace, so that one request is one trace across services.
        let span = tracing::info_span!(
            "http",
            http.method = %request.method(),
            http.path = %request.uri().path(),
            request.id = %context.request_id
        );
        telemetry::continue_trace(&span, &mut context);

        // 4. Whatever is refused is still read, or the client would see a broken connection.
        let request = request.map(Lingering::wrap);

        // 5. The program that knows the path.
        let (method, asked) = (request.method().clone(), request.uri().clone());
        let work = ASKED.scope(asked, context::scope(context, self.0.dispatch(request)));
        let mut response = work.instrument(span).await;

        // 6. The names go back, so that a client can complain about one request.
        let headers = response.headers_mut();
        if let (Some(id), Some(correlation)) = (id, correlation) {
            headers.insert(HeaderName::from_static(context::REQUEST_ID), id);
            headers.insert(HeaderName::from_static(context::CORRELATION_ID), correlation);
        }
        if client.https {
            let value = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            headers.insert(STRICT_TRANSPORT_SECURITY, value);
        }

        // 7. What it was and how long it took.
        let endpoint = response.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str());
        self.0.meters.note(&method, endpoint, response.status(), started.elapsed());
        response
    }
}

impl Inner {
    async fn dispatch(&self, request: Request) -> Response {
        match self.hidden.uncover(program(request.uri().path(), request.headers())) {
            Program::Grpc => self.grpc.call(request).await,
            Program::Platform { version, path } => {
                let mut response = call(&self.platform, reroot(path, request.uri()), request).await;
                response.headers_mut().insert("x-api-version", HeaderValue::from_static(version));
                response
            }
            Program::Agrovet(path) => call(&self.agrovet, reroot(path, request.uri()), request).await,
            Program::Conectar { version, path } => {
                let path = crate::conectar::canonical(path);
                let mut response = call(&self.conectar, reroot(&path, request.uri()), request).await;
                response.headers_mut().insert("x-api-version", HeaderValue::from_static(version));
                response
            }
            Program::UnknownVersion => call(&self.no_version, None, request).await,
        }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let front = self.clone();
        Box::pin(async move { Ok(front.serve(request).await) })
    }
}

async fn no_version() -> Response {
    let path = asked_path();
    let version = path.trim_start_matches("/api/").split('/').next().unwrap_or_default();
    problem::<Conectar>(Problem::Version(version.to_owned()))
}

async fn call(router: &Router, uri: Option<Uri>, mut request: Request) -> Response {
    if let Some(uri) = uri {
        *request.uri_mut() = uri;
    }
    match router.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Conectar below `/api` without a version: its own paths have no prefix.
#[derive(Clone)]
struct Rerooted(Router);

impl Service<Request> for Rerooted {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let router = self.0.clone();
        Box::pin(async move {
            let path = request.uri().path();
            let path = path.strip_prefix("/api").filter(|path| !path.is_empty()).unwrap_or("/");
            let uri = reroot(&crate::conectar::canonical(path), request.uri());
            Ok(self::call(&router, uri, request).await)
        })
    }
}

/// Request and correlation id, client, deadline.
fn introduce(headers: &HeaderMap, client: Client, timeout: Duration) -> Context {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let sane = |name: &str| {
        let value = text(name).filter(|v| !v.is_empty() && v.len() <= 128 && v.bytes().all(|b| b.is_ascii_graphic()));
        value.map(Arc::<str>::from)
    };
    let request_id = sane(context::REQUEST_ID).unwrap_or_else(|| Uuid::now_v7().to_string().into());
    let device = text(USER_AGENT.as_str()).map(|agent| agent[..agent.len().min(255)].into());
    Context {
        correlation_id: sane(context::CORRELATION_ID).unwrap_or_else(|| request_id.clone()),
        request_id,
        client_ip: Some(client.ip.to_string().into()),
        device,
        authorization: None,
        deadline: Some(Instant::now() + timeout),
        traceparent: sane(context::TRACEPARENT),
    }
}

/// What stands around every route of a dialect, outermost first.
fn dress<D: Dialect>(dialect: &D, router: Router<D>) -> Router {
    let compressible =
        SizeAbove::new(1000).and(NotForContentType::GRPC).and(NotForContentType::IMAGES).and(NotForContentType::SSE);
    let layers = ServiceBuilder::new()
        // CORS and the dialect's headers stand outside of all that refuses, because a browser hides from its page
        // what comes without them.
        .layer(from_fn_with_state(dialect.clone(), manners::<D>))
        // Compression sees the final body; below 1000 bytes it costs more than it saves.
        .layer(CompressionLayer::new().compress_when(compressible))
        // A panic is a bug of ours and no reason to drop a connection that carries other requests.
        .layer(CatchPanicLayer::custom(|panic| {
            panicked(panic);
            problem::<D>(Problem::Panic)
        }))
        // Innermost, all that may answer instead of the handler.
        .layer(from_fn_with_state(dialect.clone(), admit::<D>));
    router.layer(layers).with_state(dialect.clone())
}

async fn manners<D: Dialect>(State(dialect): State<D>, request: Request, next: Next) -> Response {
    let refused = !D::ACCEPT.is_empty() && !accepts(request.headers(), D::ACCEPT);
    let answer = dialect.cors().around(request, async |request| match refused {
        true => problem::<D>(Problem::NotAcceptable),
        false => next.run(request).await,
    });
    let mut response = answer.await;
    for (name, value) in D::HEADERS {
        response.headers_mut().entry(*name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whether the client takes one of `kinds`, or anything.
fn accepts(headers: &HeaderMap, kinds: &[&str]) -> bool {
    let mut ranges = headers.get_all(ACCEPT).into_iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let taken = |range: &str| kinds.contains(&range.split(';').next().unwrap_or_default().trim());
    !headers.contains_key(ACCEPT) || ranges.any(taken)
}

async fn admit<D: Dialect>(State(dialect): State<D>, mut request: Request, next: Next) -> Response {
    // 1. Room? Refusing at once is kinder than a queue whose answers come too late.
    let client = request.extensions().get().copied().unwrap_or(Client::UNKNOWN);
    let Some(_place) = dialect.places.take(client.ip) else { return overloaded::<D>() };
    let pause = dialect.config.body_pause();
    request = request.map(|body| Brisk::wrap(body, pause));

    // 2. Who is it? Rate limits, idempotency keys and handlers all want to know, so it is found out once.
    let identity = Identity::of(request.headers(), D::SCHEMES, &dialect.verifier).await;
    let mut context = context::current();
    if let Identity::Known { bearer, .. } = &identity {
        context.authorization = Some(bearer.clone());
    }
    request.extensions_mut().insert(identity);

    // 3. The handler, unless a repeated write has its answer already or the reader has the same one.
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let left = context.left().unwrap_or(Duration::MAX);
    let work = context::scope(context, async {
        match *request.method() {
            Method::GET => etag::answer(request, next).await,
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                idempotency::answer(&dialect, request, next).await
            }
            _ => next.run(request).await,
        }
    });

    // 4. Nobody waits for an answer after the deadline.
    let mut response = match tokio::time::timeout(left, work).await {
        Ok(response) => response,
        Err(_) => problem::<D>(Problem::Timeout),
    };
    // The front measures by the route and stands outside of the router that found it.
    if let Some(matched) = matched {
        response.extensions_mut().insert(matched);
    }
    response
}

/// The layer of one handler whose calls are counted.
pub(crate) fn limited<D: Dialect>(dialect: &D, class: Class, handler: MethodRouter<D>) -> MethodRouter<D> {
    if !dialect.limiter.on() {
        return handler;
    }
    let dialect = dialect.clone();
    handler.layer(from_fn(move |request, next| limit::guard(dialect.clone(), class, request, next)))
}

/// What is said when there is no place.
pub(crate) fn overloaded<D: Dialect>() -> Response {
    let mut refusal = problem::<D>(Problem::Overloaded);
    refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    refusal
}

fn problem<D: Dialect>(problem: Problem) -> Response {
    D::Error::from(problem).into_response()
}

fn panicked(panic: Box<dyn std::any::Any + Send>) {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    let request_id = context::current().request_id;
    tracing::error!(request.id = &*request_id, panic = text.unwrap_or("no message"), "a handler panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_take_nothing_we_have_are_told() {
        let accepts = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            super::accepts(&headers, &["*/*", "application/json"])
        };
        assert!(
            accepts("application/json")
                && accepts("text/plain, */*;q=0.1")
                && super::accepts(&HeaderMap::new(), &["x"])
        );
        assert!(!accepts("text/xml") && !accepts("application/jsonp"));
    }

    #[test]
    fn only_sane_ids_are_taken_over() {
        let of = |id: &str| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("x-request-id"),
                HeaderValue::from_bytes(id.as_bytes()).unwrap(),
            )]);
            introduce(&headers, Client::UNKNOWN, Duration::from_secs(1)).request_id.to_string()
        };
        assert_eq!(of("abc-1"), "abc-1");
        for wrong in ["", "a b", &"x".repeat(129), "ñ"] {
            assert_ne!(of(wrong), wrong);
        }
    }
}
