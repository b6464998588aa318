//! Bodies of answers that come while they are read: files, and streams of gRPC. Each holds a place until it is over.
//!
//! Whoever stops reading a file would hold its place, and what waits at `media`, for ever: hyper asks a body for nothing
//! while the client takes nothing. So a task beside it looks at the clock, and gives up what nobody fetches.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::places::Place;

/// Bytes that are handed out at once. hyper keeps up to two such pieces of a stream that is not read, and until the end
/// of its connection nobody can take them away.
const PIECE: usize = 16 << 10;

/// A body with a place.
pub(crate) struct Held {
    state: Arc<Mutex<State>>,
    _clock: Option<AbortOnDropHandle<()>>,
}

struct State {
    /// Nothing when it was given up.
    source: Option<(Body, Place)>,
    /// What was read and not fetched.
    rest: Bytes,
    /// When something was fetched.
    fetched: Instant,
    /// Who waits for more.
    reader: Option<Waker>,
}

impl Held {
    /// `pause` is how long a piece may wait to be fetched, or to come; without one both may take any time.
    pub(crate) fn wrap(body: Body, place: Place, pause: Option<Duration>) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let (source, fetched) = (Some((body, place)), Instant::now());
        let state = Arc::new(Mutex::new(State { source, rest: Bytes::new(), fetched, reader: None }));
        let clock = |pause| AbortOnDropHandle::new(tokio::spawn(watch(Arc::downgrade(&state), pause)));
        let clock = pause.map(clock);
        Body::new(Self { state, _clock: clock })
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the body up when nothing of it was fetched for as long as `pause`.
async fn watch(state: Weak<Mutex<State>>, pause: Duration) {
    let mut until = Instant::now() + pause;
    loop {
        sleep_until(until).await;
        let Some(state) = state.upgrade() else { return };
        let mut state = lock(&state);
        until = state.fetched + pause;
        if until <= Instant::now() {
            (state.source, state.rest) = (None, Bytes::new());
            // Nothing came, and somebody waits for it.
            if let Some(reader) = state.reader.take() {
                reader.wake();
            }
            return;
        }
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some((body, _)) = &mut self.source else {
            return Poll::Ready(Some(Err(axum::Error::new("the client stopped reading, or the source sending"))));
        };
        if self.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        self.fetched = Instant::now();
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        // A copy, because a part of something large keeps all of it in memory.
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&piece)))))
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        lock(&self.state).poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        state.rest.is_empty() && state.source.as_ref().is_some_and(|(body, _)| body.is_end_stream())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::{FutureExt, StreamExt, future, stream};
    use http_body_util::BodyExt;

    use super::*;
    use crate::places::Places;

    const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Bytes, and nothing behind them for ever.
    fn stopping(beginning: &[u8]) -> Body {
        let beginning = stream::iter([Ok::<_, Infallible>(Bytes::copy_from_slice(beginning))]);
        Body::from_stream(beginning.chain(stream::once(future::pending())))
    }

    #[tokio::test]
    async fn what_nobody_fetches_is_given_up_and_its_place_is_free() {
        let places = Places::new(1);
        let mut body = Held::wrap(stopping(&[7; PIECE + 1]), places.take(SOMEBODY).unwrap(), Some(Duration::ZERO));
        assert!(places.take(SOMEBODY).is_none());
        testkit::eventually("it is given up", async || places.take(SOMEBODY).is_some()).await;
        assert!(body.frame().await.unwrap().is_err(), "its reader is not told that this was all");
    }

    #[tokio::test]
    async fn who_waits_for_what_does_not_come_is_told() {
        let pause = Some(Duration::from_millis(20));
        let body = Held::wrap(stopping(b"moo"), Places::new(1).take(SOMEBODY).unwrap(), pause);
        let read = tokio::time::timeout(Duration::from_secs(10), body.collect()).await;
        assert!(read.expect("the reader is woken").is_err());
    }

    #[tokio::test]
    async fn without_a_pause_it_holds_its_place_until_it_is_dropped_and_passes_all_in_small_pieces() {
        let places = Places::new(1);
        let mut body = Held::wrap(stopping(&[7; PIECE + 1]), places.take(SOMEBODY).unwrap(), None);
        for length in [PIECE, 1] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), length);
        }
        assert!(body.frame().now_or_never().is_none() && places.take(SOMEBODY).is_none());
        drop(body);
        assert!(places.take(SOMEBODY).is_some());
    }
}
