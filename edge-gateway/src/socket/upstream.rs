//! One person's stream to `chat`. It outlives the replica that serves it: when a stream breaks, the next one begins
//! where it ended, and what the client had said and nobody had confirmed is said again. The client notices nothing.
//!
//! A message is confirmed by its own frame, which means that it is committed. Reads, edits and deletions may be repeated
//! without harm, so they wait for the answer to a ping that follows them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use kit::context::{self, Context};
use kit::error::Details;
use kit::identity::Caller;
use kit::seal::random;
use prost::Message as _;
use proto::chat::v1::client_frame::Frame as Said;
use proto::chat::v1::server_frame::Frame as Heard;
use proto::chat::v1::{AskOnline, ClientFrame, ClosingReason, Message, Open, Ping, Positions, ServerFrame};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::Edge;
use crate::socket::{names, positions};

/// How long `chat` may be away before the client is told.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);
/// Between two tries, at first and at most; each is cut by chance, so that not all sockets try at once.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// A connection may have been dead for so long when that is noticed.
const UNNOTICED: Duration = Duration::from_secs(30);
/// What may be unconfirmed, in frames and in bytes; with more the client is not read.
const UNCONFIRMED: (usize, usize) = (32, 128 << 10);
/// Frames on their way to `chat`: everything unconfirmed, each with its ping, and what is confirmed by nothing.
const QUEUE: usize = 2 * UNCONFIRMED.0 + 32;

/// A stream that stands.
struct Line {
    frames: Streaming<ServerFrame>,
    /// The change after which the room is told.
    since: Option<i64>,
    /// The same of each room of an inbox with messages.
    positions: Option<Positions>,
    // Boxed, because the queue reserves room for 32 of them at once.
    queue: mpsc::Sender<Box<ClientFrame>>,
}

type Retry = Pin<Box<dyn Future<Output = Result<Line, Status>> + Send>>;

#[expect(clippy::large_enum_variant, reason = "it stands almost always, and Upstream is boxed")]
enum State {
    Stands(Line),
    /// Since when, with how many tries, and the present one.
    Broken(Instant, u32, Retry),
}

/// Something said that nobody has confirmed.
struct Unconfirmed {
    by: By,
    frame: Box<ClientFrame>,
    /// On the stream that stands.
    sent: bool,
    /// On a stream before that.
    resent: bool,
}

/// What confirms it.
#[derive(Debug, PartialEq)]
enum By {
    /// A message's name.
    Name(String),
    /// The answer to a ping.
    Pong(i64),
}

/// What the stream has to say to the bridge.
pub enum Event {
    Frame(Box<ServerFrame>),
    Over(Ending),
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    SignedOut,
    Removed,
    /// Banned from moderated rooms.
    Banned,
    TooSlow,
    /// `chat` did not come back in time.
    Away,
}

/// The stream.
pub struct Upstream {
    edge: Edge,
    context: Context,
    caller: Caller,
    /// Of a room: `since` is the last change that was handed on, once there is one. Of an inbox with messages:
    /// `positions` are these, by number.
    open: Open,
    state: State,
    /// Everything missed has been read, of the stream that stands.
    live: bool,
    /// Whether a stream has broken before.
    resumed: bool,
    /// Since when receipts may have been missed.
    deaf: Option<Instant>,
    /// Whether the client knows that everything it had missed has been told.
    told_live: bool,
    unconfirmed: VecDeque<Unconfirmed>,
    /// Their bytes.
    bytes: usize,
    pings: i64,
}

impl Upstream {
    /// Opens the first stream; `bearer` is the caller's verified token.
    pub async fn open(edge: &Edge, caller: Caller, bearer: &str, open: Open) -> Result<Self, Status> {
        // The request ends with the upgrade, and the stream does not: no deadline.
        let context = Context { authorization: Some(bearer.into()), deadline: None, ..context::current() };
        let mut line = connect(edge.clone(), context.clone(), open.clone()).await?;
        Ok(Self {
            edge: edge.clone(),
            context,
            caller,
            // What is behind the room's end is not what the client waits for: a number of another room, or of a
            // database that was put back.
            open: Open { since: line.since, positions: line.positions.take().map(positions::sorted), ..open },
            state: State::Stands(line),
            live: false,
            resumed: false,
            deaf: None,
            told_live: false,
            unconfirmed: VecDeque::new(),
            bytes: 0,
            pings: 0,
        })
    }

    /// Whether the client may say more.
    pub fn has_room(&self) -> bool {
        self.unconfirmed.len() < UNCONFIRMED.0 && self.bytes < UNCONFIRMED.1
    }

    /// Says something. Ask [`Self::has_room`] first.
    pub fn say(&mut self, said: Said) {
        let by = match said {
            Said::Send(mut send) => {
                let draft = send.draft.get_or_insert_default();
                if draft.client_msg_id.is_empty() {
                    draft.client_msg_id = names::make();
                }
                let name = draft.client_msg_id.clone();
                // Who is told no messages is not told their own either.
                let by = if self.inbox() && !self.open.messages { self.pong() } else { By::Name(name) };
                return self.keep(by, Said::Send(send));
            }
            Said::Read(_) | Said::Edit(_) | Said::Delete(_) => self.pong(),
            // Of no use later. An inbox asks again by itself.
            said => {
                if let State::Stands(line) = &self.state {
                    let _ = line.queue.try_send(Box::new(ClientFrame { frame: Some(said) }));
                }
                return;
            }
        };
        self.keep(by, said);
    }

    /// The answer to a ping that is still to be sent.
    fn pong(&mut self) -> By {
        self.pings += 1;
        By::Pong(self.pings)
    }

    fn keep(&mut self, by: By, said: Said) {
        let frame = Box::new(ClientFrame { frame: Some(said) });
        self.bytes += frame.encoded_len();
        self.unconfirmed.push_back(Unconfirmed { by, frame, sent: false, resent: false });
        // After a break it goes with the others, when it is known what the former stream had confirmed.
        if self.live || !self.resumed {
            self.send_rest();
        }
    }

    fn inbox(&self) -> bool {
        self.open.room.is_none()
    }

    /// Sends whatever this stream has not been sent.
    fn send_rest(&mut self) {
        let State::Stands(line) = &self.state else { return };
        for unconfirmed in self.unconfirmed.iter_mut().filter(|unconfirmed| !unconfirmed.sent) {
            // There is room for all of them; if the stream has broken meanwhile, that is seen when it is read.
            unconfirmed.sent = true;
            let _ = line.queue.try_send(unconfirmed.frame.clone());
            if let By::Pong(nonce) = unconfirmed.by {
                let ping = ClientFrame { frame: Some(Said::Ping(Ping { nonce })) };
                let _ = line.queue.try_send(Box::new(ping));
            }
        }
    }

    /// What comes next. May be dropped while it waits.
    pub async fn next(&mut self) -> Event {
        loop {
            match &mut self.state {
                State::Stands(line) => match line.frames.message().await {
                    Ok(Some(frame)) => {
                        if let Some(event) = self.heard(frame) {
                            return event;
                        }
                    }
                    Ok(None) => self.lost(Duration::ZERO),
                    Err(status) => match ending(&status) {
                        Some(ending) => return Event::Over(ending),
                        None => self.lost(Duration::ZERO),
                    },
                },
                State::Broken(since, tries, retry) => match retry.await {
                    Ok(line) => self.found(line),
                    Err(status) => match ending(&status) {
                        Some(ending) => return Event::Over(ending),
                        None if since.elapsed() > PATIENCE => return Event::Over(Ending::Away),
                        None => {
                            let (since, tries) = (*since, *tries + 1);
                            self.state = State::Broken(since, tries, self.retry(PAUSES.0 * (1 << tries.min(8))));
                        }
                    },
                },
            }
        }
    }

    fn lost(&mut self, wait: Duration) {
        tracing::debug!(user.id = %self.caller.id, "a stream to chat broke");
        metrics::counter!("socket_streams_broken_total").increment(1);
        (self.live, self.resumed) = (false, true);
        self.deaf.get_or_insert_with(Instant::now);
        for unconfirmed in &mut self.unconfirmed {
            unconfirmed.resent |= std::mem::take(&mut unconfirmed.sent);
        }
        let pause = wait.max(PAUSES.0);
        self.state = State::Broken(Instant::now(), 0, self.retry(pause));
    }

    fn found(&mut self, mut line: Line) {
        self.open.since = line.since;
        self.open.positions = line.positions.take().map(positions::sorted);
        self.state = State::Stands(line);
        if self.inbox() {
            // Who came and went meanwhile.
            self.say(Said::AskOnline(AskOnline {}));
        }
    }

    fn retry(&self, pause: Duration) -> Retry {
        let pause = some_of(pause.min(PAUSES.1));
        let (edge, context, mut open) = (self.edge.clone(), self.context.clone(), self.open.clone());
        let deaf = self.deaf;
        Box::pin(async move {
            tokio::time::sleep(pause).await;
            let away = deaf.map(|since| since.elapsed() + UNNOTICED).unwrap_or_default();
            open.away_ms = away.as_millis() as i64;
            connect(edge, context, open).await
        })
    }

    /// Takes note of a frame; what is left is for the client.
    fn heard(&mut self, frame: ServerFrame) -> Option<Event> {
        match &frame.frame {
            Some(Heard::Message(message)) => {
                if !self.is_news(message, frame.room_number, frame.change) {
                    return None;
                }
            }
            Some(Heard::Error(error)) => self.confirm(&By::Name(error.client_msg_id.clone())),
            Some(Heard::Pong(pong)) => {
                self.confirm(&By::Pong(pong.nonce));
                return None;
            }
            Some(Heard::Live(live)) => {
                self.reached(frame.room_number, live.change);
                (self.live, self.deaf) = (true, None);
                self.send_rest();
                // The client of a stream that broke has been live all the time.
                if std::mem::replace(&mut self.told_live, true) {
                    return None;
                }
            }
            Some(Heard::Closing(closing)) => {
                let ending = match closing.reason() {
                    ClosingReason::SignedOut => Ending::SignedOut,
                    ClosingReason::Removed => Ending::Removed,
                    ClosingReason::Banned => Ending::Banned,
                    ClosingReason::TooSlow => Ending::TooSlow,
                    ClosingReason::GoingAway | ClosingReason::Unspecified => {
                        self.lost(Duration::from_millis(closing.retry_after_ms.clamp(0, 10_000).unsigned_abs()));
                        return None;
                    }
                };
                return Some(Event::Over(ending));
            }
            Some(Heard::Removed(_)) => {
                if let Some(positions) = &mut self.open.positions {
                    positions::leave(positions, frame.room_number);
                }
            }
            Some(Heard::Opened(_)) | None => return None,
            Some(_) => {}
        }
        self.reached(frame.room_number, frame.change);
        Some(Event::Frame(Box::new(frame)))
    }

    /// Whether a message is one that the client waits for. Those without a change answer a repeat: of the client's own
    /// doing it is told again; where only we repeated, it is told in its place, before or after.
    fn is_news(&mut self, message: &Message, room: i64, change: i64) -> bool {
        let since = match &self.open.positions {
            Some(positions) => positions::change(positions, room),
            None => self.open.since.unwrap_or_default(),
        };
        let own = message.sender_number == self.caller.number;
        let at = if own { self.position(&By::Name(message.client_msg_id.clone())) } else { None };
        let confirmed = at.and_then(|at| self.take(at));
        if change > 0 {
            return change > since;
        }
        confirmed.is_some_and(|confirmed| !confirmed.resent || message.change <= since)
    }

    /// Notes from where to continue.
    fn reached(&mut self, room: i64, change: i64) {
        if change <= 0 {
            return;
        }
        match &mut self.open {
            Open { positions: Some(positions), .. } => positions::reach(positions, room, change),
            Open { room: Some(_), since, .. } => *since = Some(change).max(*since),
            _ => {}
        }
    }

    fn position(&self, by: &By) -> Option<usize> {
        self.unconfirmed.iter().position(|unconfirmed| unconfirmed.by == *by)
    }

    fn confirm(&mut self, by: &By) {
        if let Some(at) = self.position(by) {
            self.take(at);
        }
    }

    fn take(&mut self, at: usize) -> Option<Unconfirmed> {
        let taken = self.unconfirmed.remove(at)?;
        self.bytes -= taken.frame.encoded_len();
        if self.unconfirmed.is_empty() {
            // A socket that is quiet again keeps nothing.
            self.unconfirmed = VecDeque::new();
        }
        Some(taken)
    }
}

async fn connect(edge: Edge, context: Context, open: Open) -> Result<Line, Status> {
    let (queue, waiting) = mpsc::channel::<Box<ClientFrame>>(QUEUE);
    let first = Box::new(ClientFrame { frame: Some(Said::Open(open)) });
    queue.try_send(first).map_err(|_| Status::internal("a new queue is empty"))?;
    let said = ReceiverStream::new(waiting).map(|frame| *frame);
    let open = async move {
        let mut frames = edge.chat_streams().connect(said).await?.into_inner();
        match frames.message().await? {
            Some(ServerFrame { frame: Some(Heard::Opened(opened)), .. }) => {
                Ok(Line { frames, since: opened.since, positions: opened.positions, queue })
            }
            Some(ServerFrame { frame: Some(Heard::Closing(_)), .. }) | None => Err(Status::unavailable("going away")),
            Some(_) => Err(Status::internal("chat began a stream with something else")),
        }
    };
    let open = context::scope(context, open);
    tokio::time::timeout(TRY, open).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("chat did not open")))
}

/// What is final, as opposed to what another try may mend.
fn ending(status: &Status) -> Option<Ending> {
    match (status.code(), Details::of(status).reason.as_str()) {
        (Code::Unauthenticated, _) => Some(Ending::SignedOut),
        (_, "NOT_A_MEMBER" | "ROOM_NOT_FOUND") => Some(Ending::Removed),
        (_, "CHAT_BANNED") => Some(Ending::Banned),
        _ => None,
    }
}

/// Between half of it and all.
pub(super) fn some_of(time: Duration) -> Duration {
    let [byte] = random();
    time / 2 + time / 2 * u32::from(byte) / 255
}
