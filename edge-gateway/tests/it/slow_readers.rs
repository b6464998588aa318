//! Clients that do not read the file they asked for. The edge is alone here with a stand-in for `media`, whose files have
//! no end.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use edge_gateway::front::Front;
use futures_util::future::{self, Ready};
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kit::Stop;
use kit::error::Details;
use prost::Message;
use proto::media::v1::read_file_response::Part;
use proto::media::v1::{FileHeader, ReadFileResponse};
use testkit::Network;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use crate::pauses::{ONE, edge_in, grpc};

const READ_FILE: &str = "/plaza.media.v1.MediaService/ReadFile";
/// Longer than any test takes.
const PATIENT: [&str; 2] = ["--read-pause-seconds", "86400"];

/// What became of a file.
#[derive(Default)]
struct Asked {
    given: AtomicUsize,
    over: AtomicBool,
}

#[derive(Clone, Default)]
struct Endless(Arc<Mutex<Vec<Arc<Asked>>>>);

impl Endless {
    fn asked(&self, nth: usize) -> Arc<Asked> {
        self.0.lock().expect("nothing panics under this lock")[nth].clone()
    }
}

impl NamedService for Endless {
    const NAME: &'static str = "plaza.media.v1.MediaService";
}

impl Service<Request<tonic::body::Body>> for Endless {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        let asked = Arc::new(Asked::default());
        self.0.lock().expect("nothing panics under this lock").push(asked.clone());
        let header =
            FileHeader { content_type: "audio/ogg".into(), size: 1 << 40, length: 1 << 40, ..Default::default() };
        let chunk = frame(Part::Chunk(Bytes::from(vec![7; 64 << 10])));
        let over = Over(asked.clone());
        let chunks = stream::repeat_with(move || {
            let Over(asked) = &over;
            asked.given.fetch_add(chunk.len(), Ordering::Relaxed);
            chunk.clone()
        });
        let frames = stream::iter([frame(Part::Header(header))]).chain(chunks);
        let body = StreamBody::new(frames.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
        let response = Response::builder().header("content-type", "application/grpc");
        future::ready(Ok(response.body(tonic::body::Body::new(body)).expect("an answer")))
    }
}

/// Notes that nobody reads a file any more.
struct Over(Arc<Asked>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

fn frame(part: Part) -> Bytes {
    let message = ReadFileResponse { part: Some(part) }.encode_to_vec();
    [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat().into()
}

/// An edge and its files.
async fn edge(flags: &[&str]) -> (Front, Endless) {
    let (network, media) = (Network::default(), Endless::default());
    network.stub("media", media.clone());
    (edge_in(&network, flags, Stop::new()).await, media)
}

async fn get(front: &mut Front) -> Response<Body> {
    let request = Request::get("/uploads/media/a.ogg").body(Body::empty()).expect("a request");
    let Ok(response) = front.call(request).await;
    response
}

/// The same over gRPC, which asks for nothing here.
async fn read_file(front: &mut Front) -> Response<Body> {
    grpc(front, READ_FILE, Body::from(&b"\0\0\0\0\0"[..])).await
}

/// Why a call was refused; nothing if it was not.
fn refused(response: &Response<Body>) -> Option<(Code, String)> {
    let status = Status::from_header_map(response.headers())?;
    Some((status.code(), Details::of(&status).reason))
}

#[tokio::test]
async fn a_file_holds_a_place_of_its_own_while_it_is_read() {
    let (mut front, _media) = edge(&[ONE, PATIENT].concat()).await;
    let unread = get(&mut front).await;
    assert_eq!(unread.status(), 200);
    let full = get(&mut front).await;
    assert_eq!(full.status(), 503);
    assert_eq!(full.headers()["retry-after"], "1");
    let full = Some((Code::ResourceExhausted, "TOO_MANY_STREAMS".to_owned()));
    assert_eq!(refused(&read_file(&mut front).await), full);
    // Everything else is served.
    let Ok(other) = front.call(Request::get("/api/v1/health/live").body(Body::empty()).unwrap()).await;
    assert_eq!(other.status(), 200);
    drop(unread);
    let unread = read_file(&mut front).await;
    assert_eq!(refused(&unread), None);
    assert_eq!(get(&mut front).await.status(), 503);
    drop(unread);
    assert_eq!(get(&mut front).await.status(), 200);
}

#[tokio::test]
async fn who_takes_nothing_of_a_file_holds_nothing_at_last() {
    let (mut front, media) = edge(&[ONE, ["--read-pause-seconds", "0"]].concat()).await;
    for nth in 0..4 {
        let unread = if nth % 2 == 0 { get(&mut front).await } else { read_file(&mut front).await };
        assert_eq!((unread.status().as_u16(), refused(&unread)), (200, None));
        testkit::eventually("media is told", async || media.asked(nth).over.load(Ordering::Relaxed)).await;
        assert!(unread.into_body().collect().await.is_err(), "its reader is not told that this was all");
    }
}

#[tokio::test]
async fn a_file_that_nobody_reads_waits_at_media_and_not_here() {
    let (mut front, media) = edge(&PATIENT).await;
    let _unread = [get(&mut front).await, read_file(&mut front).await];
    // Others are read meanwhile, on both connections.
    for _ in 0..2 {
        let mut read = get(&mut front).await.into_body();
        let mut length = 0;
        while length < 8 << 20 {
            length += read.frame().await.unwrap().unwrap().data_ref().unwrap().len();
        }
    }
    for nth in [0, 1] {
        let given = media.asked(nth).given.load(Ordering::Relaxed);
        assert!(given <= 256 << 10, "{given} bytes for somebody who reads none");
    }
}

#[tokio::test]
async fn uploads_over_grpc_are_counted_among_the_sockets() {
    let (mut front, _media) = edge(&["--max-sockets", "0"]).await;
    let upload = grpc(&mut front, "/plaza.media.v1.MediaService/UploadMedia", Body::empty()).await;
    assert_eq!(refused(&upload), Some((Code::ResourceExhausted, "TOO_MANY_STREAMS".to_owned())));
}
