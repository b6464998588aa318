//! The service as its callers see it: generated clients over memory, a database per test, stand-ins for `media` and
//! `users`, a Redis of its own where replicas or presence are meant.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod firebase;
mod firebase_fake;
mod firebase_inward;
mod groups;
mod history;
mod inboxes;
mod kinds;
mod messages;
mod moderation;
mod pieces;
mod plans;
mod presence;
mod races;
mod receipts;
mod replicas;
mod rooms;
mod streams;
mod stubs;
mod together;

use std::sync::Arc;
use std::time::Duration;

use chat::Chat;
use chat::moderation::Settings;
use kit::Peer;
use kit::error::Details;
use kit::inbox::{Consumer, Received};
use kit::service::Mesh;
use proto::Event;
use proto::access::v1::Role;
use proto::chat::v1::chat_service_client::ChatServiceClient;
use proto::chat::v1::client_frame::Frame as Said;
use proto::chat::v1::message_service_client::MessageServiceClient;
use proto::chat::v1::room_service_client::RoomServiceClient;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::*;
use proto::media::v1::media_service_server::MediaServiceServer;
use proto::users::v1::user_service_server::UserServiceServer;
use serde_json::Value;
use testkit::{Harness, Redis, token_claims};
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::stubs::{Media, Users};

/// How long a frame that must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service, alone with its peers' stand-ins.
struct World {
    harness: Harness,
    chat: Chat,
    media: Media,
    users: Users,
    redis: Option<Redis>,
}

/// Somebody who calls.
#[derive(Clone)]
struct Somebody {
    id: Uuid,
    number: i64,
    token: String,
    peer: Peer,
}

impl World {
    /// One replica without Redis.
    async fn start() -> Self {
        let harness = Harness::new("chat", &chat::MIGRATOR).await;
        Self::build(harness, None, "off")
    }

    /// One replica of possibly several.
    async fn with_redis() -> Self {
        let redis = Redis::start().await;
        let harness = Harness::with_redis("chat", &chat::MIGRATOR, &redis.url).await;
        Self::build(harness, Some(redis), "off")
    }

    /// One replica that counts how often people write.
    async fn limited(rate: &str) -> Self {
        Self::build(Harness::new("chat", &chat::MIGRATOR).await, None, rate)
    }

    fn build(harness: Harness, redis: Option<Redis>, rate: &str) -> Self {
        let (media, users) = (Media::default(), Users::default());
        harness.stub("media", MediaServiceServer::new(media.clone()));
        harness.stub("users", UserServiceServer::new(users.clone()));
        let chat = Chat::start(&harness.service, rate.parse().unwrap(), Settings::default());
        harness.serve(chat.routes());
        Self { harness, chat, media, users, redis }
    }

    fn person(&self, number: i64) -> Somebody {
        self.person_who_is(number, &[Role::Consumer])
    }

    fn admin(&self) -> Somebody {
        self.person_who_is(1_000_000, &[Role::Admin])
    }

    fn person_who_is(&self, number: i64, roles: &[Role]) -> Somebody {
        let id = self.users.person(number);
        let claims = token_claims(id, number, roles, self.harness.clock.now().timestamp());
        let token = self.harness.signer.sign(&claims);
        Somebody { id, number, peer: self.harness.with_token(&token), token }
    }

    /// Somebody who has not signed in.
    fn nobody(&self) -> Somebody {
        let peer = Peer::new("chat", self.harness.network.stranger("chat"));
        Somebody { id: Uuid::nil(), number: 0, token: String::new(), peer }
    }

    /// Two people and their room.
    async fn pair(&self) -> (Somebody, Somebody, Room) {
        let (ana, ben) = (self.person(1), self.person(2));
        let room = ana.open_pair(&ben).await;
        (ana, ben, room)
    }

    /// Another replica on the same database and Redis; people call it by `at`.
    fn replica(&self, name: &'static str) -> Chat {
        let chat = Chat::start(&self.harness.service, "off".parse().unwrap(), Settings::default());
        let (service, incoming) = (self.harness.service.clone(), self.harness.network.listen(name));
        let routes = chat.routes();
        tokio::spawn(async move { service.serve_on(routes, incoming).await.unwrap() });
        chat
    }

    /// A replica in a process of its own, as far as a test can have one: it may end, or be killed, alone.
    async fn process(&self, name: &'static str) -> Process {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, mut config) = (kit::Stop::new(), self.harness.service.config.clone());
        config.mesh.grace_seconds = 30;
        let (network, clock) = (self.harness.network.clone(), self.harness.clock.clone());
        let starting = {
            let stop = stop.clone();
            runtime.spawn(async move {
                let db = kit::db::connect(&config.database_url, 8, "chat").await.unwrap();
                let mesh = Mesh::join_with("chat", &config.mesh, network.dialler("chat"), clock, stop).await.unwrap();
                let (service, incoming) = (Arc::new(kit::Service { mesh, db, config }), network.listen(name));
                let chat = Chat::start(&service, "off".parse().unwrap(), Settings::default());
                let serving = service.clone();
                tokio::spawn(async move { serving.serve_on(chat.routes(), incoming).await.unwrap() });
                service
            })
        };
        let service = starting.await.unwrap();
        self.harness.signer.trust(service.verifier.keys());
        Process { stop, runtime: Some(runtime) }
    }

    /// The same person as a client of another replica.
    fn at(&self, replica: &'static str, somebody: &Somebody) -> Somebody {
        let peer = Peer::with_token("chat", self.harness.network.stranger(replica), &somebody.token);
        Somebody { peer, ..somebody.clone() }
    }

    /// An event arrives.
    async fn deliver<E: Event>(&self, event: &E) {
        let received = Received {
            id: Uuid::now_v7(),
            topic: E::TOPIC.to_owned(),
            kind: E::TYPE.to_owned(),
            key: String::new(),
            data: serde_json::to_value(event).unwrap(),
            correlation_id: None,
            traceparent: None,
        };
        let mut tx = self.harness.service.db.begin().await.unwrap();
        self.chat.consume(&mut tx, &received).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What was published since the last call: type, key and payload.
    async fn published(&self) -> Vec<(String, String, Value)> {
        sqlx::query_as(
            "with told as (delete from outbox returning position, type, key, body -> 'data' as data)
             select type, key, data from told order by position",
        )
        .fetch_all(&self.harness.service.db)
        .await
        .unwrap()
    }
}

/// See [`World::process`].
struct Process {
    stop: kit::Stop,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Process {
    /// As `kill -9` does: nothing is said, written or told any more.
    fn kill(mut self) {
        self.end();
    }

    /// As SIGSTOP does, until the answer is dropped.
    fn pause(&self) -> Vec<std::sync::mpsc::Sender<()>> {
        let runtime = self.runtime.as_ref().unwrap();
        let hold = |_| {
            let (resume, wait) = std::sync::mpsc::channel::<()>();
            runtime.spawn(async move {
                let _ = wait.recv();
            });
            resume
        };
        // One for each of its threads, and some more in case of one that takes two.
        (0..4).map(hold).collect()
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Somebody {
    fn chat(&self) -> ChatServiceClient<Peer> {
        ChatServiceClient::new(self.peer.clone())
    }

    fn rooms(&self) -> RoomServiceClient<Peer> {
        RoomServiceClient::new(self.peer.clone())
    }

    fn messages(&self) -> MessageServiceClient<Peer> {
        MessageServiceClient::new(self.peer.clone())
    }

    fn key(&self) -> UserKey {
        UserKey { key: Some(user_key::Key::Id(self.id.to_string())) }
    }

    async fn open_pair(&self, other: &Somebody) -> Room {
        let request =
            OpenPairRequest { kind: RoomKind::Pair.into(), users: vec![other.key()], ..OpenPairRequest::default() };
        self.rooms().open_pair(request).await.unwrap().into_inner().room.unwrap()
    }

    async fn group(&self, others: &[&Somebody]) -> Room {
        let users = others.iter().map(|other| other.key()).collect();
        let request = CreateGroupRequest { name: "Ganaderos".into(), users };
        self.rooms().create_group(request).await.unwrap().into_inner()
    }

    async fn send(&self, room: &Room, text: &str) -> Message {
        self.try_send(room, Draft { text: text.into(), ..Draft::default() }).await.unwrap().message.unwrap()
    }

    async fn try_send(&self, room: &Room, draft: Draft) -> Result<SendMessageResponse, Status> {
        let request = SendMessageRequest { room: Some(key(room)), draft: Some(draft) };
        Ok(self.chat().send_message(request).await?.into_inner())
    }

    /// The first 200 messages of a room.
    async fn history(&self, room: &Room) -> Vec<Message> {
        let request =
            ListMessagesRequest { room_id: room.id.clone(), page_size: 200, ..ListMessagesRequest::default() };
        self.list(request).await.unwrap().messages
    }

    async fn list(&self, request: ListMessagesRequest) -> Result<ListMessagesResponse, Status> {
        Ok(self.messages().list_messages(request).await?.into_inner())
    }

    /// A room with its latest 50 messages.
    async fn see(&self, room: &Room) -> Result<Room, Status> {
        let request = GetRoomRequest { room: Some(key(room)), messages: 50 };
        Ok(self.rooms().get_room(request).await?.into_inner())
    }

    async fn edit(&self, message: &Message, text: &str) -> Result<Message, Status> {
        let request = EditMessageRequest { message: Some(named(message)), text: text.into() };
        Ok(self.messages().edit_message(request).await?.into_inner())
    }

    async fn delete(&self, message: &Message) -> Result<Message, Status> {
        let request = DeleteMessageRequest { message: Some(named(message)) };
        Ok(self.messages().delete_message(request).await?.into_inner())
    }

    /// Reads all of a room; the numbers of what was unread.
    async fn read_all(&self, room: &Room) -> Vec<i64> {
        self.mark_read(MarkReadRequest { room: Some(key(room)), ..Default::default() }).await.unwrap().numbers
    }

    async fn mark_read(&self, request: MarkReadRequest) -> Result<MarkReadResponse, Status> {
        Ok(self.rooms().mark_read(request).await?.into_inner())
    }

    async fn leave(&self, room: &Room) -> Result<(), Status> {
        self.rooms().leave_room(LeaveRoomRequest { room: Some(key(room)) }).await.map(drop)
    }

    /// Opens a stream on a room, from now on.
    async fn connect(&self, room: &Room) -> Line {
        self.try_connect(Open { room: Some(key(room)), ..Open::default() }).await.unwrap()
    }

    async fn inbox(&self, messages: bool) -> Line {
        self.try_connect(Open { messages, ..Open::default() }).await.unwrap()
    }

    /// Opens a stream and reads up to the frame that says it is live.
    async fn try_connect(&self, open: Open) -> Result<Line, Status> {
        let (said, outbound) = mpsc::channel(64);
        said.send(ClientFrame { frame: Some(Said::Open(open)) }).await.unwrap();
        let outbound = tokio_stream::wrappers::ReceiverStream::new(outbound);
        let heard = self.chat().connect(outbound).await?.into_inner();
        let mut line = Line { said, heard, opened: Opened::default(), missed: Vec::new() };
        let Some(Frame::Opened(opened)) = line.next().await.frame else { panic!("the first frame opens") };
        line.opened = opened;
        loop {
            let frame = line.next().await;
            if let Some(Frame::Live(_)) = frame.frame {
                return Ok(line);
            }
            line.missed.push(frame);
        }
    }
}

/// A client's stream.
struct Line {
    said: mpsc::Sender<ClientFrame>,
    heard: Streaming<ServerFrame>,
    opened: Opened,
    /// What came before it was live.
    missed: Vec<ServerFrame>,
}

impl Line {
    async fn say(&self, frame: Said) {
        self.said.send(ClientFrame { frame: Some(frame) }).await.unwrap();
    }

    async fn send(&self, text: &str, client_msg_id: &str) {
        let draft = Draft { text: text.into(), client_msg_id: client_msg_id.into(), ..Draft::default() };
        self.say(Said::Send(Send { draft: Some(draft), room: None })).await;
    }

    /// The next frame, which must come.
    async fn next(&mut self) -> ServerFrame {
        let frame = tokio::time::timeout(PATIENCE, self.heard.message()).await.expect("a frame comes");
        frame.unwrap().expect("the stream goes on")
    }

    /// The next frame of a kind; those of other kinds before it are skipped.
    async fn find<T>(&mut self, kind: impl Fn(Frame) -> Option<T>) -> T {
        loop {
            if let Some(found) = self.next().await.frame.and_then(&kind) {
                return found;
            }
        }
    }

    async fn message(&mut self) -> Message {
        self.find(|frame| match frame {
            Frame::Message(message) => Some(message),
            _ => None,
        })
        .await
    }

    /// A ping comes back, and with it everything that was said before has been answered.
    async fn settle(&mut self) {
        self.say(Said::Ping(Ping { nonce: 7 })).await;
        self.find(|frame| matches!(frame, Frame::Pong(_)).then_some(())).await;
    }
}

fn key(room: &Room) -> RoomKey {
    RoomKey { key: Some(room_key::Key::Id(room.id.clone())), ..Default::default() }
}

fn named(message: &Message) -> MessageKey {
    MessageKey { key: Some(message_key::Key::Id(message.id.clone())), ..Default::default() }
}

fn receipt(frame: Frame) -> Option<ReceiptNews> {
    match frame {
        Frame::Receipt(receipt) => Some(receipt),
        _ => None,
    }
}

fn presence(frame: Frame) -> Option<(i64, bool)> {
    match frame {
        Frame::Presence(presence) => Some((presence.user_number, presence.online)),
        _ => None,
    }
}

fn closing(frame: Frame) -> Option<ClosingReason> {
    match frame {
        Frame::Closing(closing) => Some(closing.reason()),
        _ => None,
    }
}

fn error(frame: Frame) -> Option<(String, String)> {
    match frame {
        Frame::Error(error) => Some((error.reason, error.client_msg_id)),
        _ => None,
    }
}

fn texts<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Vec<&'a str> {
    messages.into_iter().map(|message| message.text.as_str()).collect()
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), Details::of(&status).reason)
}
