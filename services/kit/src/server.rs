//! The gRPC server: what happens around every RPC of every service, once, in this order.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use metrics::{Counter, Histogram};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic::{Code, Status};
use tower::Layer;
use tracing::Instrument;

use crate::access::{Method, Methods};
use crate::context::{self, Context};
use crate::error::{exhausted, internal};
use crate::identity::{Peer, Verifier};
use crate::net::ConnInfo;
use crate::telemetry;

/// The gRPC services of one process.
#[derive(Default)]
pub struct Routes {
    pub(crate) builder: RoutesBuilder,
    pub(crate) names: Vec<&'static str>,
}

impl Routes {
    /// Adds one generated server.
    #[expect(clippy::should_implement_trait, reason = "reads as what it does: routes.add(server)")]
    pub fn add<S>(mut self, server: S) -> Self
    where
        S: Service<Request<Body>, Error = std::convert::Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.builder.add_service(server);
        self.names.push(S::NAME);
        self
    }
}

/// Puts [`Around`] about the routes.
#[derive(Clone)]
pub(crate) struct Layers(Arc<Shared>);

struct Shared {
    rpcs: HashMap<String, Rpc>,
    verifier: Arc<Verifier>,
    /// The namespace whose service accounts Linkerd proves, if it does.
    linkerd: Option<String>,
    places: Semaphore,
}

struct Rpc {
    method: Method,
    meter: Meter,
}

struct Meter {
    took: Histogram,
    /// By the code's number.
    answers: Vec<Counter>,
}

impl Layers {
    pub(crate) fn new(
        service: &str,
        methods: Methods,
        verifier: Arc<Verifier>,
        linkerd: Option<String>,
        most: usize,
    ) -> Self {
        let rpc = |(path, method): (String, Method)| {
            let meter = Meter::new(service, &path);
            (path, Rpc { method, meter })
        };
        let rpcs = methods.into_iter().map(rpc).collect();
        Self(Arc::new(Shared { rpcs, verifier, linkerd, places: Semaphore::new(most) }))
    }
}

impl Meter {
    fn new(service: &str, path: &str) -> Self {
        let labels = [("service", service.to_owned()), ("method", path.trim_start_matches('/').to_owned())];
        let answer = |code: i32| {
            let [service, method] = labels.clone();
            metrics::counter!("grpc_requests_total", &[service, method, ("code", format!("{:?}", Code::from(code)))])
        };
        Self {
            took: metrics::histogram!("grpc_request_duration_seconds", &labels),
            answers: (0..17).map(answer).collect(),
        }
    }

    fn measure(&self, took: Duration, headers: Option<&HeaderMap>) {
        let code = headers.and_then(Status::from_header_map).map_or(Code::Ok, |status| status.code());
        self.took.record(took.as_secs_f64());
        self.answers[code as usize].increment(1);
    }
}

impl<S> Layer<S> for Layers {
    type Service = Around<S>;

    fn layer(&self, inner: S) -> Around<S> {
        Around { inner, shared: self.0.clone() }
    }
}

/// Everything that happens around an RPC.
#[derive(Clone)]
pub(crate) struct Around<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request<Body>> for Around<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that was polled ready is the one to call; a fresh clone waits for the next request.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let shared = self.shared.clone();
        Box::pin(async move { shared.run(inner, request).await })
    }
}

impl Shared {
    async fn run<S>(&self, mut inner: S, mut request: Request<Body>) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let started = Instant::now();
        // Health and reflection have no contract of ours, and unknown paths answer UNIMPLEMENTED by themselves.
        let Some(Rpc { method, meter }) = self.rpcs.get(request.uri().path()) else { return inner.call(request).await };

        // 1. Whose connection is it? The client's address is believed from the edge and whom the edge told.
        let peer = self.peer(&request);
        let mut context = Context::from_metadata(request.headers(), peer.is_some());
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }

        // 2. A span under the caller's trace, so that one request is one trace across services.
        let span = tracing::info_span!("rpc", rpc.method = method.path, request.id = %context.request_id);
        telemetry::continue_trace(&span, &mut context);

        // A little early, so that the answer says why; tonic counts the same deadline and answers CANCELLED.
        let deadline = context.deadline.and_then(|at| at.checked_sub(Duration::from_millis(2)));
        let work = context::scope(context, async {
            // 3. Room? Refusing at once is kinder than a queue whose answers come too late.
            let Ok(_place) = self.places.try_acquire() else { return Ok(overloaded()) };
            // 4. May they? The contract says.
            if let Err(refusal) = self.admit(method, peer.as_ref(), &mut request).await {
                return Ok(Status::from(refusal).into_http());
            }
            // 5. The RPC itself. A panic is a bug of ours, and no reason to drop the connection of others.
            match AssertUnwindSafe(inner.call(request)).catch_unwind().await {
                Ok(answer) => answer,
                Err(panic) => Ok(Status::from(internal(anyhow::anyhow!("panic: {}", message(&*panic)))).into_http()),
            }
        });
        // 6. Nobody waits for an answer after the deadline.
        let answer = match deadline {
            None => work.instrument(span).await,
            Some(at) => match tokio::time::timeout_at(at.into(), work.instrument(span)).await {
                Ok(answer) => answer,
                Err(_) => Ok(Status::deadline_exceeded("the deadline has passed").into_http()),
            },
        };
        meter.measure(started.elapsed(), answer.as_ref().ok().map(Response::headers));
        answer
    }

    async fn admit(&self, method: &Method, peer: Option<&Peer>, request: &mut Request<Body>) -> crate::Result<()> {
        if let Some(caller) = method.admit(request.headers(), peer, &self.verifier).await? {
            request.extensions_mut().insert(caller);
        }
        Ok(())
    }

    fn peer(&self, request: &Request<Body>) -> Option<Peer> {
        let proven = request.extensions().get::<ConnInfo>().and_then(|info| info.peer.clone());
        let (None, Some(namespace)) = (&proven, &self.linkerd) else { return proven };
        linkerd_peer(request.headers().get("l5d-client-id")?.to_str().ok()?, namespace)
    }
}

/// `edge-gateway.plaza.serviceaccount.identity.linkerd.cluster.local` is our edge only if `plaza` is our namespace:
/// anybody may call a service account so in another one.
fn linkerd_peer(id: &str, namespace: &str) -> Option<Peer> {
    let (name, rest) = id.split_once('.')?;
    let rest = rest.strip_prefix(namespace)?;
    rest.starts_with(".serviceaccount.identity.").then(|| Peer(name.into()))
}

fn overloaded() -> Response<Body> {
    Status::from(exhausted("OVERLOADED", "too many requests at once", Duration::from_secs(1))).into_http()
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linkerd_names_a_peer_only_in_our_own_namespace() {
        let id =
            |name: &str, namespace: &str| format!("{name}.{namespace}.serviceaccount.identity.linkerd.cluster.local");
        assert_eq!(linkerd_peer(&id("auth", "plaza"), "plaza"), Some(Peer("auth".into())));
        for other in [id("auth", "evil"), id("auth", "plaza-2"), id("auth.plaza", "evil"), "auth".into(), "".into()] {
            assert_eq!(linkerd_peer(&other, "plaza"), None, "{other}");
        }
    }
}
