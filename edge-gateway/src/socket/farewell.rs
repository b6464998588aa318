//! The end of gRPC streams that would last for ever: when the edge stops, each ends with `GOING_AWAY` after a pause of
//! its own, so that their clients go elsewhere, and not all at once.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use kit::Stop;
use kit::error::unavailable;
use tonic::Status;
use tonic::body::Body;

use crate::socket::upstream::some_of;

/// The body of an answer that is such a stream.
pub(crate) struct Farewell {
    /// `None` after the farewell.
    body: Option<Body>,
    leaves: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Farewell {
    pub(crate) fn wrap(body: Body, stop: Stop, within: Duration) -> Body {
        let leaves = Box::pin(async move {
            stop.cancelled().await;
            tokio::time::sleep(some_of(within)).await;
        });
        Body::new(Self { body: Some(body), leaves })
    }
}

impl http_body::Body for Farewell {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { body, leaves } = &mut *self;
        let Some(stream) = body else { return Poll::Ready(None) };
        if leaves.as_mut().poll(cx).is_pending() {
            return Pin::new(stream).poll_frame(cx);
        }
        // Also the service behind it learns that nobody listens.
        *body = None;
        let mut trailers = HeaderMap::new();
        Status::from(unavailable("GOING_AWAY", "this replica is going down; another one serves"))
            .add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
