//! A room with its people in the words of either dialect, for what both promise.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::sockets::{Socket, host};
use crate::world::{Person, World};

/// Bytes that the system keeps of a connection in each direction, or twice as many, where readers are slow.
const NARROW: u32 = 16 << 10;

pub(crate) struct Talk {
    pub(crate) path: String,
    pub(crate) one: Person,
    pub(crate) other: Person,
    /// A third member, or the other one again where a room has two.
    pub(crate) witness: Person,
    pub(crate) words: Words,
}

pub(crate) struct Words {
    /// What a client says, and what all hear then.
    pub(crate) says: &'static str,
    pub(crate) hears: &'static str,
    /// Where the text stands in both.
    pub(crate) text: &'static str,
    pub(crate) edit: &'static str,
    pub(crate) delete: &'static str,
    /// How it calls a frame that makes no sense.
    pub(crate) senseless: &'static str,
    /// And one that is too large, from so many bytes on.
    pub(crate) too_large: (&'static str, usize),
    /// Letters of the longest text.
    pub(crate) longest: usize,
}

const AGROVET: Words = Words {
    says: "chat_message",
    hears: "chat_message",
    text: "text",
    edit: "edit_message",
    delete: "delete_message",
    senseless: "bad_frame",
    too_large: ("too_large", 64 << 10),
    longest: 8_000,
};

const CONECTAR: Words = Words {
    says: "message",
    hears: "new_message",
    text: "content",
    edit: "edit",
    delete: "delete",
    senseless: "BAD_FRAME",
    too_large: ("TOO_LARGE", 16 << 10),
    longest: 2_000,
};

impl World {
    /// A group of Agrovet's, and a conversation of Conectar's.
    pub(crate) async fn talks(&self) -> [Talk; 2] {
        let (one, other, _) = self.two().await;
        let witness = self.agrovet("Caro", "59170000003", "consumer").await;
        let group = self.group_of(&one, &[&other, &witness]).await;
        let farm = Talk { path: format!("/ws/chat/{group}/"), one, other, witness, words: AGROVET };
        let (one, other) = self.client_and_professional().await;
        let deal = self.conversation(&one, &other).await;
        let witness = other.clone();
        [farm, Talk { path: format!("/ws/chat/{deal}"), one, other, witness, words: CONECTAR }]
    }

    /// An edge whose connections hold little, so that few frames are too many for who does not read; with its stop.
    pub(crate) async fn narrow_edge(&self) -> (String, kit::Stop) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_send_buffer_size(NARROW).expect("a small buffer");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let listener = socket.listen(64).and_then(|listener| listener.into_std()).expect("it listens");
        let (base, stop) = self.edge_on(listener, &[]);
        self.answers(&base).await;
        (base, stop)
    }

    /// Waits until an edge serves.
    pub(crate) async fn answers(&self, base: &str) {
        testkit::eventually("the other edge answers", async || {
            self.http.get(format!("{base}/health/")).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }
}

impl Talk {
    /// A socket that is told everything from now on.
    pub(crate) async fn enter(&self, base: &str, person: &Person) -> Socket {
        let mut socket = Socket::open(base, &self.path, &person.token, None).await.expect("it is let in");
        socket.until("live").await;
        socket
    }

    /// The same on a connection that holds little.
    pub(crate) async fn enter_narrowly(&self, base: &str, person: &Person) -> Socket {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(NARROW).expect("a small buffer");
        let stream = socket.connect(host(base).parse().expect("an address")).await.expect("the edge listens");
        let mut socket = Socket::over(stream, base, &self.path, &person.token, None).await.expect("it is let in");
        socket.until("live").await;
        socket
    }

    pub(crate) fn message(&self, text: &str) -> Value {
        json!({ "type": self.words.says, self.words.text: text })
    }

    /// A text as long as may be, four bytes each letter.
    pub(crate) fn long_text(&self) -> String {
        "🐄".repeat(self.words.longest)
    }

    /// What a socket hears next of messages.
    pub(crate) async fn hears(&self, socket: &mut Socket) -> Value {
        socket.until(self.words.hears).await
    }
}

/// Whether a socket lives, both ways.
pub(crate) async fn lives(socket: &mut Socket) {
    socket.say(json!({ "type": "ping" })).await;
    socket.until("pong").await;
}
