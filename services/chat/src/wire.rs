//! Between replicas: what one tells its listeners, it publishes on Redis for those of the others. Nothing depends on a
//! publication's arrival; a change that is missing is noticed by its number and read from the database, and while Redis
//! is away the rooms are compared with the database more often.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use prost::Message as _;
use proto::chat::v1::ServerFrame;
use redis::aio::ConnectionManager;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::hub::{Audience, Hub, Line, News, Packet};
use crate::queue::Parcel;

/// Publications that may wait; more are dropped, which others notice.
const WAITING: usize = 8_192;
/// Publications that go in one round trip.
const BATCH: usize = 256;
/// How long to wait for Redis to confirm that it listens for us.
const LISTEN: Duration = Duration::from_millis(500);
/// How often Redis is asked whether it still listens to us.
const PING: Duration = Duration::from_millis(400);
/// Channels per SUBSCRIBE after a reconnection.
const CHUNK: usize = 1_000;

/// One end of the wire. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Wire {
    /// Absent without Redis: there is one replica then.
    out: Option<mpsc::Sender<Packet>>,
    lines: mpsc::UnboundedSender<Command>,
    up: Arc<AtomicBool>,
}

enum Command {
    Listen(Line, oneshot::Sender<()>),
    HangUp(Line),
}

/// What the tasks behind the wire work with.
pub(crate) struct Ends {
    publications: mpsc::Receiver<Packet>,
    commands: mpsc::UnboundedReceiver<Command>,
    up: Arc<AtomicBool>,
    origin: Uuid,
}

impl Wire {
    pub(crate) fn new(redis: bool) -> (Self, Ends) {
        let (out, publications) = mpsc::channel(WAITING);
        // Unbounded, and yet no longer than there are lines in the hub: each of its entries is at most two commands.
        let (lines, commands) = mpsc::unbounded_channel();
        let up = Arc::new(AtomicBool::new(false));
        let wire = Self { out: redis.then_some(out), lines, up: up.clone() };
        (wire, Ends { publications, commands, up, origin: Uuid::new_v4() })
    }

    /// Whether all replicas are heard at the moment.
    pub(crate) fn up(&self) -> bool {
        self.out.is_none() || self.up.load(Ordering::Relaxed)
    }

    pub(crate) fn publish(&self, packet: Packet) {
        let Some(out) = &self.out else { return };
        if let Err(TrySendError::Full(_)) = out.try_send(packet) {
            metrics::counter!("chat_publications_dropped_total").increment(1);
        }
    }

    /// Returns when other replicas are heard on this line, or when that cannot be said.
    pub(crate) async fn listen(&self, line: Line) {
        let (done, confirmed) = oneshot::channel();
        if self.out.is_some() && self.lines.send(Command::Listen(line, done)).is_ok() && self.up() {
            let _ = tokio::time::timeout(LISTEN, confirmed).await;
        }
    }

    pub(crate) fn hang_up(&self, line: Line) {
        if self.out.is_some() {
            let _ = self.lines.send(Command::HangUp(line));
        }
    }
}

/// Publishes and listens until the process ends.
pub(crate) async fn run(mut ends: Ends, url: &str, publisher: ConnectionManager, hub: Hub) {
    let client = match redis::Client::open(url) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "the URL of Redis");
            return;
        }
    };
    let publish = publish(&mut ends.publications, publisher, ends.origin);
    let listen = async {
        let mut lines = HashSet::new();
        loop {
            let error = match listen(&client, &mut ends.commands, &mut lines, &ends.up, ends.origin, &hub).await {
                Ok(()) => "the connection ended".to_owned(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(error, "chat does not hear other replicas; reading the database instead");
            ends.up.store(false, Ordering::Relaxed);
            metrics::gauge!("chat_wire_up").set(0);
            tokio::time::sleep(PING).await;
        }
    };
    tokio::join!(publish, listen);
}

async fn publish(packets: &mut mpsc::Receiver<Packet>, mut redis: ConnectionManager, origin: Uuid) {
    let mut batch = Vec::with_capacity(BATCH);
    while packets.recv_many(&mut batch, BATCH).await > 0 {
        let mut pipe = redis::pipe();
        for packet in batch.drain(..) {
            pipe.publish(channel(packet.line), encode(origin, &packet)).ignore();
        }
        if let Err(error) = pipe.query_async::<()>(&mut redis).await {
            tracing::debug!(%error, "publications were lost; other replicas read the database");
        }
    }
}

/// Returns when the connection is lost.
async fn listen(
    client: &redis::Client,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    lines: &mut HashSet<Line>,
    up: &AtomicBool,
    origin: Uuid,
    hub: &Hub,
) -> redis::RedisResult<()> {
    // What was asked for meanwhile; nobody waits for it any more.
    while let Ok(command) = commands.try_recv() {
        match command {
            Command::Listen(line, _) => drop(lines.insert(line)),
            Command::HangUp(line) => drop(lines.remove(&line)),
        }
    }
    let (mut sink, mut messages) = client.get_async_pubsub().await?.split();
    let channels: Vec<_> = lines.iter().copied().map(channel).collect();
    for chunk in channels.chunks(CHUNK) {
        sink.subscribe(chunk).await?;
    }
    up.store(true, Ordering::Relaxed);
    metrics::gauge!("chat_wire_up").set(1);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => receive(hub, origin, message.get_channel_name(), message.get_payload_bytes()),
                None => return Ok(()),
            },
            command = commands.recv() => match command {
                Some(Command::Listen(line, done)) => {
                    if lines.insert(line) {
                        sink.subscribe(channel(line)).await?;
                    }
                    let _ = done.send(());
                }
                Some(Command::HangUp(line)) => {
                    if lines.remove(&line) {
                        sink.unsubscribe(channel(line)).await?;
                    }
                }
                None => return Ok(()),
            },
            // A connection that died without a word shows here.
            () = tokio::time::sleep(PING) => {
                let silence = |_| redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
                tokio::time::timeout(PING, sink.ping::<redis::Value>()).await.map_err(silence)??;
            }
        }
    }
}

fn receive(hub: &Hub, origin: Uuid, channel: &str, payload: &[u8]) {
    let Some(packet) = line(channel).and_then(|line| decode(origin, line, payload)) else { return };
    hub.deliver(&packet);
}

fn channel(line: Line) -> String {
    match line {
        Line::Room(id) => format!("chat:room:{id}"),
        Line::Person(id) => format!("chat:person:{id}"),
    }
}

fn line(channel: &str) -> Option<Line> {
    if let Some(id) = channel.strip_prefix("chat:room:") {
        return Some(Line::Room(id.parse().ok()?));
    }
    Some(Line::Person(channel.strip_prefix("chat:person:")?.parse().ok()?))
}

/// Origin (16 bytes), audience (1 + 16), kind (1), and a frame's room (16) and bytes.
fn encode(origin: Uuid, packet: &Packet) -> Vec<u8> {
    let (tag, user) = match packet.audience {
        Audience::All => (0, Uuid::nil()),
        Audience::AllBut(user) => (1, user),
        Audience::Only(user) => (2, user),
    };
    let mut bytes = Vec::with_capacity(50);
    bytes.extend_from_slice(origin.as_bytes());
    bytes.push(tag);
    bytes.extend_from_slice(user.as_bytes());
    match &packet.news {
        News::Frame(parcel) => {
            bytes.push(0);
            bytes.extend_from_slice(parcel.room.as_bytes());
            parcel.frame.encode(&mut bytes).expect("a vector takes all there is");
        }
        News::Removed => bytes.push(1),
        News::RoomsChanged => bytes.push(2),
        News::Banned => bytes.push(3),
    }
    bytes
}

/// Nothing for what we published ourselves, and for what a newer release says.
fn decode(own: Uuid, line: Line, bytes: &[u8]) -> Option<Packet> {
    let (origin, rest) = bytes.split_at_checked(16)?;
    if origin == own.as_bytes() {
        return None;
    }
    let (tag, rest) = rest.split_first()?;
    let (user, rest) = rest.split_at_checked(16)?;
    let user = Uuid::from_slice(user).ok()?;
    let audience = match tag {
        0 => Audience::All,
        1 => Audience::AllBut(user),
        2 => Audience::Only(user),
        _ => return None,
    };
    let (kind, rest) = rest.split_first()?;
    let news = match kind {
        0 => {
            let (room, frame) = rest.split_at_checked(16)?;
            News::Frame(Parcel::new(Uuid::from_slice(room).ok()?, ServerFrame::decode(frame).ok()?))
        }
        1 => News::Removed,
        2 => News::RoomsChanged,
        3 => News::Banned,
        _ => return None,
    };
    Some(Packet { line, audience, news })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::chat::v1::Typing;
    use proto::chat::v1::server_frame::Frame;

    use super::*;

    #[test]
    fn what_is_published_arrives_as_it_was() {
        let (us, them, room) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let frame = ServerFrame {
            change: 7,
            frame: Some(Frame::Typing(Typing { active: true, ..Typing::default() })),
            ..ServerFrame::default()
        };
        let news = [News::Frame(Parcel::new(room, frame.clone())), News::Removed, News::RoomsChanged, News::Banned];
        for audience in [Audience::All, Audience::AllBut(them), Audience::Only(us)] {
            for news in &news {
                let packet = Packet { line: Line::Room(room), audience, news: news.clone() };
                let bytes = encode(us, &packet);
                assert!(decode(us, packet.line, &bytes).is_none(), "our own");
                let back = decode(them, line(&channel(packet.line)).unwrap(), &bytes).unwrap();
                assert_eq!((back.line, back.audience), (packet.line, audience));
                match (&back.news, news) {
                    (News::Frame(back), News::Frame(_)) => assert_eq!((&back.frame, back.room), (&frame, room)),
                    (News::Removed, News::Removed)
                    | (News::RoomsChanged, News::RoomsChanged)
                    | (News::Banned, News::Banned) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode(Uuid::nil(), Line::Room(Uuid::nil()), &bytes);
        }
    }
}
