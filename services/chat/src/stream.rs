//! A live conversation: one stream, one task. It hears its queue, its client, the end of its session and the stop of the
//! process; it keeps for each room the last change that was told, and so knows what to leave out and what is missing.

mod inbox;
mod missed;
mod said;

use std::collections::HashMap;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream::{FuturesUnordered, Map};
use kit::context::{self, Context};
use kit::error::{invalid, unauthenticated};
use kit::identity::{Caller, caller};
use proto::chat::v1::chat_service_server::ChatService;
use proto::chat::v1::client_frame::Frame as Said;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::*;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::catch_up::{Head, fetch_head};
use crate::hub::{Line, Reader, Seat};
use crate::messages::sql::fetch_change_of;
use crate::people::Person;
use crate::presence::{Here, Place, Stay};
use crate::queue::{Next, Parcel, Queue};
use crate::receipts::MOST_MEMBERS;
use crate::rooms::kind_names;
use crate::stream::inbox::changes;
use crate::stream::said::{Answer, bad_frame, refusal};
use crate::{Chat, UNSURE, not_a_member};

/// Frames between us and HTTP/2, whose own window holds the rest.
const HANDED: usize = 16;
/// How long a reader may read nothing at all.
const STUCK: Duration = Duration::from_secs(30);
/// How long the first frame may take.
const OPENING: Duration = Duration::from_secs(10);
/// At a stop, streams end over this time, so that their clients do not come back all at once.
const DRAIN: Duration = Duration::from_secs(2);
/// Who was away for longer is not told again which receipts moved before that.
const LONGEST: TimeDelta = TimeDelta::days(1);

static STREAMS: AtomicU64 = AtomicU64::new(1);

#[tonic::async_trait]
impl ChatService for Chat {
    type ConnectStream = Frames;
    type SubscribeStream = Frames;

    async fn connect(&self, request: Request<Streaming<ClientFrame>>) -> Result<Response<Self::ConnectStream>, Status> {
        let caller = caller(&request)?;
        let mut said = request.into_inner();
        let first = tokio::time::timeout(OPENING, said.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("the first frame did not come"))??;
        let Some(Said::Open(open)) = first.and_then(|frame| frame.frame) else {
            return Err(invalid("frame", "the first frame opens the stream").into());
        };
        Ok(Response::new(self.open(caller, open, Some(said)).await?))
    }

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = caller(&request)?;
        let open = request.into_inner().open.unwrap_or_default();
        Ok(Response::new(self.open(caller, open, None).await?))
    }

    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let room = self.room_id(request.room.as_ref()).await?;
        let (message, created) = self.send(caller, room, request.draft.unwrap_or_default()).await?;
        Ok(Response::new(SendMessageResponse { message: Some(message), created }))
    }

    async fn list_presence(
        &self,
        request: Request<ListPresenceRequest>,
    ) -> Result<Response<ListPresenceResponse>, Status> {
        let caller = caller(&request)?;
        let me = Person { id: caller.id, number: caller.number };
        let ListPresenceRequest { users, kinds } = request.get_ref();
        let people = self.presence_of(me, users, kinds).await?;
        Ok(Response::new(ListPresenceResponse { people }))
    }
}

/// What a stream knows of a room.
struct Told {
    number: i64,
    /// The last change that was told.
    change: i64,
    /// What the person cleared away.
    cleared: i64,
    /// Whether handed-over messages are noted.
    receipts: bool,
    _seat: Seat,
}

/// One stream.
struct Stream {
    chat: Chat,
    caller: Caller,
    /// The room, or nothing for an inbox.
    room: Option<Uuid>,
    /// Of which kinds the rooms are that it tells of; of any when there are none.
    kinds: Arc<[i32]>,
    /// Whether messages are sent.
    messages: bool,
    /// Of a client that comes back: for how long it may have missed receipts, as it says.
    away: Option<TimeDelta>,
    /// Whether those who are banned may not be here.
    moderated: bool,
    /// Up to when no receipt can have been missed.
    heard: DateTime<Utc>,
    reader: Reader,
    rooms: HashMap<Uuid, Told>,
    /// Whether the person may have more rooms than these.
    full: bool,
    out: mpsc::Sender<Given>,
    /// Where what is for the person alone is heard.
    _person: Seat,
    _stay: Option<Stay>,
}

/// Why a stream ends: with a word, or because nobody listens any more.
enum End {
    Closing(Closing),
    Gone,
    Failed(kit::Error),
}

/// A frame on its way out. Boxed, because the channel keeps room for 32 of them however few wait.
type Given = Result<Box<ServerFrame>, Status>;
/// What the client hears.
type Frames = Map<ReceiverStream<Given>, fn(Given) -> Result<ServerFrame, Status>>;

/// What a stream waits for besides its queue.
type Waiting = Pin<Box<dyn Future<Output = Happened> + std::marker::Send>>;

enum Happened {
    /// The client said something, or will say no more.
    Said(Streaming<ClientFrame>, Result<Option<ClientFrame>, Status>),
    /// What the client said last is done, and answered perhaps.
    Done(Streaming<ClientFrame>, Answer),
    Over(End),
}

impl Chat {
    async fn open(&self, caller: Caller, open: Open, said: Option<Streaming<ClientFrame>>) -> kit::Result<Frames> {
        let room = match &open.room {
            Some(key) => Some(self.room_id(Some(key)).await?),
            None => None,
        };
        if let Some(room) = room {
            self.membership(room, caller.id).await?;
        }
        let reader = Reader {
            stream: STREAMS.fetch_add(1, Ordering::Relaxed),
            user: caller.id,
            session: caller.session,
            inbox: room.is_none(),
            queue: Arc::new(Queue::default()),
        };
        let (out, frames) = mpsc::channel(HANDED);
        let person = self.hub.join(Line::Person(caller.id), &reader).await;
        // Between the token's check and our listening the session may have ended, and `watch_sessions` have missed us.
        if self.revocations.contains(caller.session) {
            return Err(unauthenticated("SESSION_REVOKED", "the session has ended"));
        }
        let messages = room.is_some() || open.messages;
        let comes_back = match room {
            Some(_) => open.since.is_some() || open.after.is_some(),
            None => open.messages && open.positions.is_some(),
        };
        let away = TimeDelta::milliseconds(open.away_ms.clamp(0, LONGEST.num_milliseconds()));
        let mut stream = Stream {
            chat: self.clone(),
            caller,
            room,
            kinds: open.room.as_ref().map_or(&open.kinds, |key| &key.kinds).as_slice().into(),
            messages,
            away: comes_back.then_some(away),
            moderated: false,
            heard: self.now() - UNSURE,
            reader,
            rooms: HashMap::new(),
            full: false,
            out,
            _person: person,
            _stay: None,
        };
        let first = stream.enter(&open).await?;
        // Outlives the call, and so must its context: without the call's deadline, with its token.
        let context = Context { deadline: None, ..context::current() };
        tokio::spawn(context::scope(context, Box::new(stream).serve(first, said)));
        let unboxed: fn(Given) -> Result<ServerFrame, Status> = |given| given.map(|frame| *frame);
        Ok(ReceiverStream::new(frames).map(unboxed))
    }

    /// Ends the streams of sessions that have ended; looks whenever there is news of some.
    pub(crate) async fn watch_sessions(self, stop: kit::Stop) {
        let mut news = self.revocations.news();
        loop {
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            for reader in self.hub.streams() {
                if self.revocations.contains(reader.session) {
                    reader.queue.close(ClosingReason::SignedOut);
                }
            }
        }
    }
}

impl Stream {
    /// Takes the stream's seats; from here on nothing that happens is missed. The first frames.
    async fn enter(&mut self, open: &Open) -> kit::Result<Vec<ServerFrame>> {
        let me = Person { id: self.caller.id, number: self.caller.number };
        let mut opened = Opened { user_id: me.id.to_string(), user_number: me.number, ..Opened::default() };
        let Some(room) = self.room else {
            let mut named = open.positions.as_ref().filter(|_| self.away.is_some()).map(changes).unwrap_or_default();
            self.sit_down(self.away.is_none(), &named).await?;
            for told in self.rooms.values() {
                named.remove(&told.number);
            }
            let left = self.left(named.keys().copied().collect()).await?;
            self._stay = Some(self.chat.come(Here { place: Place::Anywhere, person: me }).await);
            self.chat.deliver_pending(me.id, &kind_names(&self.kinds)).await?;
            // Rooms that were left are among them until the client has heard of it.
            let of_left = left.iter().filter_map(|frame| {
                let change = *named.get(&frame.room_number)?;
                Some(Position { room_number: frame.room_number, change })
            });
            opened.positions = self.messages.then(|| self.positions(of_left));
            let opened = ServerFrame { frame: Some(Frame::Opened(opened)), ..ServerFrame::default() };
            return Ok(iter::once(opened).chain(left).collect());
        };
        let seat = self.chat.hub.join(Line::Room(room), &self.reader).await;
        // The seat for what is the person's own is taken, so a ban from here on is heard.
        self.moderated = self.chat.admit(room, me.id).await?;
        let head = fetch_head(&self.chat.db, room, me.id).await?.ok_or_else(not_a_member)?;
        let change = match (open.since, open.after) {
            (Some(since), _) => since.clamp(0, head.last_change),
            (None, Some(after)) => fetch_change_of(&self.chat.db, room, after).await?.min(head.last_change),
            (None, None) => head.last_change,
        };
        opened.since = Some(change);
        self.rooms.insert(room, Told::new(&head, change, seat));
        self._stay = Some(self.chat.come(Here { place: Place::Room(room), person: me }).await);
        // The room as it is for those who have hidden it: they see it again when somebody writes.
        let shown = self.chat.room(self.caller, room, 0).await;
        opened.room = shown.ok();
        Ok(vec![about(room, head.number, Frame::Opened(opened))])
    }

    /// What is done now and then is boxed, here and below, so that a stream that waits has no room for it.
    async fn serve(mut self: Box<Self>, first: Vec<ServerFrame>, said: Option<Streaming<ClientFrame>>) {
        metrics::gauge!("chat_streams").increment(1);
        let over = self.over();
        let end = match unless(over, Box::pin(self.begin(first))).await {
            Ok(()) => self.run(said).await,
            Err(end) => end,
        };
        Box::pin(self.close(end)).await;
        metrics::gauge!("chat_streams").decrement(1);
    }

    async fn run(&mut self, said: Option<Streaming<ClientFrame>>) -> End {
        // Each of these is polled only when it was woken itself: most of the time it is the queue that has something.
        let mut others = FuturesUnordered::from_iter([self.end()]);
        others.extend(said.map(listen));
        let queue = self.reader.queue.clone();
        loop {
            let step = tokio::select! {
                next = queue.next() => match next {
                    Next::Parcel(parcel) => self.forward(&parcel).await,
                    other => {
                        let over = self.over();
                        unless(over, Box::pin(self.hear(other))).await
                    }
                },
                Some(happened) = others.next() => match happened {
                    // It is heard again when this is done.
                    Happened::Said(said, Ok(Some(ClientFrame { frame: Some(frame) }))) => {
                        others.push(self.act(said, frame));
                        Ok(())
                    }
                    Happened::Said(said, Ok(Some(ClientFrame { frame: None }))) => {
                        others.push(listen(said));
                        self.hand(bad_frame("nothing is said")).await
                    }
                    // The client has said all it wants to say, and with that the conversation is over.
                    Happened::Said(_, Ok(None) | Err(_)) => Err(End::Gone),
                    Happened::Done(said, answer) => {
                        others.push(listen(said));
                        self.answer(answer).await
                    }
                    Happened::Over(end) => Err(end),
                },
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    fn end(&self) -> Waiting {
        let ends = self.ends();
        Box::pin(async move { Happened::Over(ends.await) })
    }

    /// The same for what takes long, while nobody looks at the queue: also its closing.
    fn over(&self) -> Pin<Box<dyn Future<Output = End> + std::marker::Send>> {
        let (ends, queue) = (self.ends(), self.reader.queue.clone());
        Box::pin(async move {
            tokio::select! {
                end = ends => end,
                reason = queue.closing() => End::Closing(closing(reason, Duration::ZERO)),
            }
        })
    }

    /// What ends the stream from outside: nobody takes its frames, the session is over, the process stops.
    fn ends(&self) -> impl Future<Output = End> + std::marker::Send + use<> {
        let (out, stop, stream) = (self.out.clone(), self.chat.stop.clone(), self.reader.stream);
        let left = self.caller.expires_at - self.chat.now().timestamp();
        async move {
            tokio::select! {
                () = out.closed() => End::Gone,
                () = tokio::time::sleep(Duration::from_secs(left.max(0) as u64)) => {
                    End::Closing(closing(ClosingReason::SignedOut, Duration::ZERO))
                }
                () = stop.cancelled() => {
                    // What is committed after that the client hears elsewhere, where it comes back with `since`.
                    let pause = DRAIN.mul_f64(fraction(stream));
                    tokio::time::sleep(pause).await;
                    End::Closing(closing(ClosingReason::GoingAway, pause))
                }
            }
        }
    }

    /// The first frames, what was missed, and that this was all.
    async fn begin(&mut self, first: Vec<ServerFrame>) -> Result<(), End> {
        for frame in first {
            self.hand(frame).await?;
        }
        if let Some(away) = self.away {
            self.tell_receipts(self.room.is_none().then(|| self.heard - away)).await?;
        }
        // Also what was sent while the seats were taken.
        self.catch_up_all().await?;
        let change = self.room.and_then(|room| self.rooms.get(&room)).map_or(0, |told| told.change);
        let ready = ServerFrame { frame: Some(Frame::Live(Live { change })), ..ServerFrame::default() };
        self.hand(self.about_room(ready)).await
    }

    async fn hear(&mut self, next: Next) -> Result<(), End> {
        match next {
            Next::Parcel(parcel) => self.forward(&parcel).await,
            Next::Behind => {
                let now = self.chat.now();
                if self.messages {
                    self.tell_receipts(Some(self.heard)).await?;
                }
                self.catch_up_all().await?;
                self.heard = now - UNSURE;
                Ok(())
            }
            // Also what was sent before and while the seats were taken.
            Next::Rooms if self.room.is_none() => self.take_seats(&HashMap::new()).await,
            Next::Rooms => Ok(()),
            Next::Banned if self.moderated => Err(End::Closing(closing(ClosingReason::Banned, Duration::ZERO))),
            Next::Banned => Ok(()),
            Next::Closing(reason) => Err(End::Closing(closing(reason, Duration::ZERO))),
        }
    }

    async fn forward(&mut self, parcel: &Parcel) -> Result<(), End> {
        let Some(change) = parcel.change else {
            if !self.wants(&parcel.frame) || !self.covers(parcel).await? {
                return Ok(());
            }
            let mut frame = parcel.frame.clone();
            if let Some(told) = self.rooms.get(&parcel.room) {
                // Who types or comes is told without asking for it.
                frame.room_number = told.number;
            }
            return self.hand(frame).await;
        };
        let Some(told) = self.rooms.get_mut(&parcel.room) else { return Ok(()) };
        if change <= told.change {
            return Ok(());
        }
        if change > told.change + 1 {
            let over = self.over();
            return unless(over, Box::pin(self.catch_up(parcel.room))).await;
        }
        told.change = change;
        self.show(parcel.room, parcel.frame.clone()).await
    }

    /// Whether a frame that is no change is for this kind of stream.
    fn wants(&self, frame: &ServerFrame) -> bool {
        match &frame.frame {
            // Presence anywhere is for inboxes, presence in a room for those who have it open.
            Some(Frame::Presence(_)) => frame.room_id.is_empty() == self.room.is_none(),
            Some(Frame::Receipt(_)) => true,
            _ => self.messages,
        }
    }

    /// Whether a frame that is no change is about a room, or somebody, that this stream tells of.
    async fn covers(&self, parcel: &Parcel) -> Result<bool, End> {
        match &parcel.frame.frame {
            Some(Frame::Presence(presence)) if parcel.room.is_nil() => {
                let shared = &presence.kinds;
                Ok(self.kinds.is_empty() || shared.is_empty() || shared.iter().any(|kind| self.kinds.contains(kind)))
            }
            // Who has what of one's own is told on every stream.
            Some(Frame::Receipt(news)) if !news.read && !self.rooms.contains_key(&parcel.room) => {
                Box::pin(self.chat.is_of(parcel.room, &self.kinds)).await.map_err(End::Failed)
            }
            // Else it may have waited while the person left the room.
            _ => Ok(self.rooms.contains_key(&parcel.room)),
        }
    }

    /// Hands over a message or a change of one, and notes that this person has it.
    async fn show(&mut self, room: Uuid, frame: ServerFrame) -> Result<(), End> {
        let Some(told) = self.rooms.get(&room) else { return Ok(()) };
        let delivered = match &frame.frame {
            Some(Frame::Message(message) | Frame::Changed(message)) if message.sequence <= told.cleared => {
                return Ok(());
            }
            Some(Frame::Message(message)) => {
                let others = message.sender_number != self.caller.number;
                (told.receipts && others).then_some(message.sequence)
            }
            _ => None,
        };
        if self.messages {
            self.hand(frame).await?;
        }
        if let Some(sequence) = delivered {
            self.chat.delivered.note(room, self.caller.id, sequence);
        }
        Ok(())
    }

    /// Gives a frame to the client, who may take a while and not for ever.
    async fn hand(&self, frame: ServerFrame) -> Result<(), End> {
        let given = match self.out.try_send(Ok(Box::new(frame))) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(End::Gone),
            Err(TrySendError::Full(given)) => given,
        };
        match tokio::time::timeout(STUCK, self.out.send(given)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Closing(closing(ClosingReason::TooSlow, Duration::ZERO))),
        }
    }

    fn about_room(&self, frame: ServerFrame) -> ServerFrame {
        let Some((id, told)) = self.room.and_then(|room| Some((room, self.rooms.get(&room)?))) else { return frame };
        ServerFrame { room_id: id.to_string(), room_number: told.number, ..frame }
    }

    /// What a client's frame asks for, to be done while the stream goes on. Its answer is for this stream alone.
    fn act(&self, said: Streaming<ClientFrame>, frame: Said) -> Waiting {
        let (chat, caller, stream_room, kinds) = (self.chat.clone(), self.caller, self.room, self.kinds.clone());
        let name = match &frame {
            Said::Send(send) => send.draft.as_ref().map(|draft| draft.client_msg_id.clone()).unwrap_or_default(),
            _ => String::new(),
        };
        Box::pin(async move {
            let answer = chat.follow(caller, stream_room, &kinds, frame).await;
            Happened::Done(said, answer.unwrap_or_else(|error| Answer::Frame(Box::new(refusal(error, name)))))
        })
    }

    async fn answer(&mut self, answer: Answer) -> Result<(), End> {
        match answer {
            Answer::Nothing => Ok(()),
            Answer::Frame(frame) => self.hand(self.about_room(*frame)).await,
            Answer::Sent(sent) if self.is_beyond(&sent) => {
                let over = self.over();
                unless(over, Box::pin(self.sit_down_where_i_wrote(sent))).await
            }
            Answer::Sent(_) => Ok(()),
        }
    }

    async fn close(&self, end: End) {
        let last = match end {
            End::Gone => return,
            End::Closing(closing) => {
                let reason = closing.reason().as_str_name();
                metrics::counter!("chat_streams_closed_total", "reason" => reason).increment(1);
                Ok(Box::new(ServerFrame { frame: Some(Frame::Closing(closing)), ..ServerFrame::default() }))
            }
            End::Failed(error) => Err(error.into()),
        };
        // A reader who does not read does not hear this either.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.out.send(last)).await;
    }
}

impl Told {
    fn new(head: &Head, change: i64, seat: Seat) -> Self {
        Self {
            number: head.number,
            change,
            cleared: head.cleared_through,
            receipts: head.members_count <= MOST_MEMBERS,
            _seat: seat,
        }
    }

    /// Everything up to here has been told.
    fn keep(&mut self, head: &Head) {
        self.change = self.change.max(head.last_change);
        self.cleared = head.cleared_through;
        self.receipts = head.members_count <= MOST_MEMBERS;
    }
}

/// A frame of a room that is no change.
fn about(room: Uuid, room_number: i64, frame: Frame) -> ServerFrame {
    ServerFrame { room_id: room.to_string(), room_number, change: 0, frame: Some(frame) }
}

/// Does what takes long, unless the stream is over before.
async fn unless<T>(over: impl Future<Output = End>, work: impl Future<Output = Result<T, End>>) -> Result<T, End> {
    tokio::select! {
        done = work => done,
        end = over => Err(end),
    }
}

/// What the client says next.
fn listen(mut said: Streaming<ClientFrame>) -> Waiting {
    Box::pin(async move {
        let frame = said.message().await;
        Happened::Said(said, frame)
    })
}

fn closing(reason: ClosingReason, retry: Duration) -> Closing {
    Closing { reason: reason.into(), retry_after_ms: retry.as_millis() as i64 }
}

/// Between 0 and 1, spread evenly over streams that follow one another.
fn fraction(stream: u64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    (stream as f64 * GOLDEN).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_waits_is_small() {
        type Serve<F> = fn(Box<Stream>, Vec<ServerFrame>, Option<Streaming<ClientFrame>>) -> F;
        fn size<F>(_: Serve<F>) -> usize {
            size_of::<F>()
        }
        let (task, stream) = (size(Stream::serve), size_of::<Stream>());
        assert!(task <= 4 << 10 && stream <= 2 << 10, "{task} and {stream} bytes");
    }
}
