//! A client of Agrovet's chat socket, as a frontend would be that wants to lose nothing: it remembers the last sequence,
//! comes back with it, and sends again under the same name what was not acknowledged.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one waits for the end of a socket.
const LONG: Duration = Duration::from_secs(30);

/// A socket on a room.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

/// What the server says, as far as we care.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Said {
    #[serde(rename = "chat_message")]
    Message {
        message_id: i64,
        sequence: i64,
        sender_id: Option<i64>,
        text: String,
        #[serde(default)]
        client_msg_id: Option<String>,
    },
    #[serde(rename = "message_delivered")]
    Delivered { message_id: i64, user_id: i64, delivered_at: String },
    #[serde(rename = "messages_read")]
    Read { message_ids: Vec<i64>, user_id: i64, read_at: String },
    #[serde(rename = "live")]
    Live {},
    #[serde(rename = "error")]
    Error { code: String },
    #[serde(other)]
    Other,
}

impl Socket {
    /// Opens the socket of a room; with `after`, what followed that sequence comes first.
    pub(crate) async fn open(
        edge: SocketAddr,
        from: Option<std::net::IpAddr>,
        room: i64,
        token: &str,
        after: Option<i64>,
    ) -> anyhow::Result<Self> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        Self::open_path(edge, from, &format!("/ws/chat/{room}/?token={token}{after}")).await
    }

    pub(crate) async fn open_path(
        edge: SocketAddr,
        from: Option<std::net::IpAddr>,
        path: &str,
    ) -> anyhow::Result<Self> {
        let request = format!("ws://{edge}{path}").into_client_request()?;
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let open = async {
            let stream = socket.connect(edge).await?;
            stream.set_nodelay(true)?;
            // Small buffers: some thousands of these are in one process.
            let config = WebSocketConfig::default().read_buffer_size(2 << 10).write_buffer_size(0);
            let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
            anyhow::Ok(Self(socket))
        };
        tokio::time::timeout(PATIENCE, open).await.context("the handshake took too long")?
    }

    pub(crate) async fn send(&mut self, text: &str, name: &str) -> anyhow::Result<()> {
        self.say(json!({ "type": "chat_message", "text": text, "client_msg_id": name })).await
    }

    pub(crate) async fn read_all(&mut self) -> anyhow::Result<()> {
        self.say(json!({ "type": "mark_read" })).await
    }

    async fn say(&mut self, frame: Value) -> anyhow::Result<()> {
        self.say_raw(frame.to_string().into()).await
    }

    pub(crate) async fn say_raw(&mut self, frame: Utf8Bytes) -> anyhow::Result<()> {
        Ok(self.0.send(Message::Text(frame)).await?)
    }

    /// The next frame; an error at the end of the socket.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Said> {
        let text = self.next_raw().await?;
        serde_json::from_str(&text).with_context(|| format!("a frame that is none: {text}"))
    }

    /// Waits for the end of the socket, and answers its close code.
    pub(crate) async fn end(&mut self) -> anyhow::Result<Option<u16>> {
        let end = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(why))) => return Ok(why.map(|why| why.code.into())),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => bail!("the socket ended without a word"),
                }
            }
        };
        tokio::time::timeout(LONG, end).await.context("the socket did not end")?
    }

    pub(crate) async fn next_raw(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(why))) => bail!("closed: {why:?}"),
                // Pings are answered by the library.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the socket ended"),
            }
        }
    }
}
