//! A connection to a peer: made when it is first needed, and anew when it has ended. Calls go from the request's task to
//! the connection's; tonic's own channel has a queue with a task in between, for which every call wakes one more.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tonic::body::Body;

use crate::net::Dial;
use crate::service::STREAMS;

type Failure = Arc<dyn Error + Send + Sync>;
type Sender = SendRequest<Body>;
type Dialling = Shared<BoxFuture<'static, Result<Sender, Failure>>>;

/// One connection, and how to make the next.
pub(crate) struct Link {
    dial: Dial,
    authority: Authority,
    /// What may come unread for a call, and for all calls together.
    windows: (u32, u32),
    /// The present connection, or the attempt at one.
    present: Mutex<Option<Dialling>>,
}

impl Link {
    pub(crate) fn new(name: &str, dial: Dial, windows: (u32, u32)) -> Self {
        let authority = name.parse().expect("a service's name is a host name");
        Self { dial, authority, windows, present: Mutex::new(None) }
    }

    /// Sends a request; an error says that no answer came, and none will.
    pub(crate) async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, Failure> {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(path);
        *request.uri_mut() = uri.build().expect("all of its parts are there");
        let answer = match self.sender().await?.try_send_request(request).await {
            Ok(answer) => Ok(answer),
            // A connection that ended in this moment gives back what it has not begun to send.
            Err(mut refusal) => match refusal.take_message() {
                Some(unsent) => self.sender().await?.send_request(unsent).await,
                None => Err(refusal.into_error()),
            },
        };
        answer.map(|answer| answer.map(Body::new)).map_err(|error| Arc::new(error) as Failure)
    }

    async fn sender(&self) -> Result<Sender, Failure> {
        let dialling = {
            let mut present = self.present.lock().expect("nothing panics under this lock");
            // Looked at here: if nobody waited to its end, an attempt that failed long ago still has its error to tell.
            let dialled = present.as_ref().map(|dialling| dialling.clone().now_or_never());
            match (dialled, present.as_ref()) {
                (Some(Some(Ok(sender))), _) if !sender.is_closed() => return Ok(sender),
                (Some(None), Some(dialling)) => dialling.clone(),
                _ => present.insert(self.dial()).clone(),
            }
        };
        dialling.await
    }

    /// In a task of its own: who asked first may have less patience than the others who wait for it.
    fn dial(&self) -> Dialling {
        let (dial, windows) = (self.dial.clone(), self.windows);
        let dialling = tokio::spawn(async move {
            let connection = dial.connect().await.map_err(|error| Arc::new(error) as Failure)?;
            let (sender, connection) = Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(Duration::from_secs(20))
                .keep_alive_timeout(Duration::from_secs(5))
                .initial_stream_window_size(windows.0)
                .initial_connection_window_size(windows.1)
                // A call that was given up is answered all the same, if the answer was on its way. That is no reason to
                // close the connection, however often it happens: others' calls are on it.
                .max_concurrent_reset_streams(STREAMS as usize)
                .max_local_error_reset_streams(None)
                .handshake(TokioIo::new(connection))
                .await
                .map_err(|error| Arc::new(error) as Failure)?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to a peer ended");
                }
            });
            Ok(sender)
        });
        dialling.map(|dialled| dialled.unwrap_or_else(|error| Err(Arc::new(error) as Failure))).boxed().shared()
    }
}
