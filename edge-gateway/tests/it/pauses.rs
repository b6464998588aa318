//! Clients that stop in the middle of a body. The edge is alone here: whoever stops never gets as far as a service.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use clap::Parser;
use edge_gateway::front::Front;
use edge_gateway::{Config, Edge};
use futures_util::future::{self, BoxFuture};
use futures_util::{StreamExt, stream};
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use kit::service::Mesh;
use kit::{Clock, Stop};
use testkit::Network;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

/// One place for all.
pub(crate) const ONE: [&str; 2] = ["--max-requests", "1"];

/// An edge with one place.
async fn edge(flags: &[&str]) -> Front {
    edge_in(&Network::default(), &[&ONE[..], flags].concat(), Stop::new()).await
}

/// An edge alone with what stands in for its services.
pub(crate) async fn edge_in(network: &Network, flags: &[&str], stop: Stop) -> Front {
    let secret = "a secret of tests and nothing else";
    let args = ["edge-gateway", "--secret", secret, "--rate-limits", "off"];
    let config = Config::try_parse_from([&args, flags].concat()).expect("the arguments fit");
    let dial = network.dialler("edge-gateway");
    let mesh = Mesh::join_with("edge-gateway", &config.mesh, dial, Clock::system(), stop).await;
    edge_gateway::router(Edge::new(&mesh.expect("a mesh of one"), &config)).expect("every route fits")
}

fn request(path: &str, kind: &str, body: Body) -> Request<Body> {
    Request::post(path).header("content-type", kind).body(body).expect("a request")
}

/// The beginning of a body and nothing more, for ever.
fn stopped(beginning: &'static str) -> Body {
    let beginning = stream::iter([Ok::<_, Infallible>(Bytes::from_static(beginning.as_bytes()))]);
    Body::from_stream(beginning.chain(stream::once(future::pending())))
}

/// A call of gRPC, whose answer's body nobody has read yet.
pub(crate) async fn grpc(front: &mut Front, path: &str, body: Body) -> Response<Body> {
    let mut request = request(path, "application/grpc", body);
    *request.version_mut() = Version::HTTP_2;
    let Ok(response) = front.call(request).await;
    response
}

async fn ask(front: &mut Front, request: Request<Body>) -> (u16, String) {
    let Ok(response) = front.call(request).await;
    let (parts, body) = Response::into_parts(response);
    let body = body.collect().await.expect("the answer is whole").to_bytes();
    (parts.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
}

const FORM: &str = "--x\r\ncontent-disposition: form-data; name=\"email\"\r\n\r\nana@";
const FILE: &str = "--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"toro.jpg\"\r\n\r\nmoo";

#[tokio::test]
async fn a_body_that_stops_is_given_up_and_its_place_is_free() {
    let mut front = edge(&["--body-pause-seconds", "0"]).await;
    for (path, words) in [
        ("/api/v1/auth/register", r#""detail":"La solicitud no terminó de llegar""#),
        ("/api/auth/register/", r#""detail":"La solicitud no terminó de llegar.""#),
    ] {
        for (kind, beginning) in [
            ("application/json", "{\"email\":"),
            ("application/x-www-form-urlencoded", "email=ana@"),
            ("multipart/form-data; boundary=x", FORM),
            ("multipart/form-data; boundary=x", FILE),
        ] {
            let (status, text) = ask(&mut front, request(path, kind, stopped(beginning))).await;
            assert_eq!(status, 408, "{path} {kind}: {text}");
            assert!(text.contains(words), "{path} {kind}: {text}");
        }
    }
    let whole = ask(&mut front, request("/api/v1/auth/register", "application/json", "{}".into())).await;
    assert_eq!(whole.0, 422, "{}", whole.1);
}

#[tokio::test]
async fn a_body_that_goes_on_is_waited_for_however_slow_it_is() {
    // Ten pauses, each shorter than the limit, which no test outlives.
    let mut front = edge(&["--body-pause-seconds", "86400"]).await;
    let frames = AtomicUsize::new(0);
    let slow = stream::poll_fn(move |cx| {
        cx.waker().wake_by_ref();
        match frames.fetch_add(1, Ordering::Relaxed) {
            20 => Some(Ok::<_, Infallible>(Bytes::from_static(b"}"))).into(),
            21 => None.into(),
            0 => Some(Ok(Bytes::from_static(b"{"))).into(),
            odd if odd % 2 == 1 => Poll::Pending,
            _ => Some(Ok(Bytes::from_static(b" "))).into(),
        }
    });
    let (status, text) =
        ask(&mut front, request("/api/v1/auth/register", "application/json", Body::from_stream(slow))).await;
    assert_eq!(status, 422, "{text}");
}

/// A stand-in for media that reads what it is sent.
#[derive(Clone)]
struct Reader;

impl NamedService for Reader {
    const NAME: &'static str = "plaza.media.v1.MediaService";
}

impl Service<Request<tonic::body::Body>> for Reader {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let read = request.into_body().collect().await.map(|body| body.to_bytes().len());
            let status = read.map_or_else(|status| status, |length| Status::ok(format!("{length} bytes")));
            Ok(status.into_http())
        })
    }
}

#[tokio::test]
async fn a_grpc_call_that_stops_is_given_up_and_a_stream_may_pause() {
    let network = Network::default();
    network.stub("media", Reader);
    let mut front = edge_in(&network, &[&ONE[..], &["--body-pause-seconds", "0"]].concat(), Stop::new()).await;
    let mut call = async |method: &str, body: Body| {
        let response = grpc(&mut front, &format!("/plaza.media.v1.MediaService/{method}"), body).await;
        Status::from_header_map(response.headers()).expect("a status")
    };
    // Twice, because there is only one place, and one for files.
    for (method, words) in
        [("GetMedia", "the body stopped in the middle"), ("ReadFile", "the request's body broke off")]
    {
        for _ in 0..2 {
            let status = call(method, stopped("\0\0\0\0\x05")).await;
            assert!(status.message().contains(words), "{status:?}");
        }
    }
    // The pause itself is what this is about; a longer one changes nothing.
    let pause = stream::once(tokio::time::sleep(Duration::from_millis(50))).map(|()| Bytes::new());
    let begin = stream::iter([Bytes::from_static(b"\0\0\0\0\x02")]);
    let slow = begin.chain(pause).chain(stream::iter([Bytes::from_static(b"\x0a\0")])).map(Ok::<_, Infallible>);
    let status = call("UploadMedia", Body::from_stream(slow)).await;
    assert_eq!((status.code(), status.message()), (Code::Ok, "7 bytes"));
}
