//! A client's end of a socket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Request;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::world::World;

/// An open socket.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

/// Why one was not opened: the status, and the body.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused(pub(crate) u16, pub(crate) Value);

/// No test waits longer for a frame.
const PATIENCE: Duration = Duration::from_secs(30);

impl World {
    /// Opens a socket at the edge; `path` may have a query.
    pub(crate) async fn socket(&self, path: &str, token: &str) -> Socket {
        Socket::open(&self.base, path, token, None).await.expect("it is let in")
    }

    pub(crate) async fn refused(&self, path: &str, token: &str) -> Refused {
        match Socket::open(&self.base, path, token, None).await {
            Ok(_) => panic!("{path} is let in"),
            Err(refused) => refused,
        }
    }
}

impl Socket {
    pub(crate) async fn open(base: &str, path: &str, token: &str, origin: Option<&str>) -> Result<Self, Refused> {
        let stream = TcpStream::connect(host(base)).await.expect("the edge listens");
        Self::over(stream, base, path, token, origin).await
    }

    /// Opens one over a connection that is there.
    pub(crate) async fn over(
        stream: TcpStream,
        base: &str,
        path: &str,
        token: &str,
        origin: Option<&str>,
    ) -> Result<Self, Refused> {
        let host = host(base);
        let sign = if path.contains('?') { '&' } else { '?' };
        let mut request = Request::get(format!("ws://{host}{path}{sign}token={token}"))
            .header("host", host)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key());
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(()).expect("a request");
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => {
                let body = answer.body().as_deref().and_then(|body| serde_json::from_slice(body).ok());
                Err(Refused(answer.status().as_u16(), body.unwrap_or_default()))
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.0.send(message).await.expect("the socket is open");
    }

    /// The next frame, whatever it is.
    pub(crate) async fn next(&mut self) -> Value {
        match self.message().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("frames are JSON"),
            other => panic!("not a frame: {other:?}"),
        }
    }

    /// The next frame of a type; those before it are left out.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// The code with which the server closes; frames before that are left out.
    pub(crate) async fn closed(mut self) -> u16 {
        loop {
            match self.message().await {
                Some(Message::Close(Some(frame))) => return frame.code.into(),
                Some(_) => {}
                None => panic!("dropped without a word"),
            }
        }
    }

    /// What is below: for bytes that are no frames, and for ends without a goodbye.
    pub(crate) fn into_inner(self) -> WebSocketStream<TcpStream> {
        self.0
    }

    pub(crate) async fn message(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes");
            match next {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// Where an edge listens.
pub(crate) fn host(base: &str) -> &str {
    base.strip_prefix("http://").expect("plain HTTP")
}
