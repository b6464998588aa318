//! `plaza chat`: one person's end of a conversation, in a terminal or in a pipe. It knows nothing that another client
//! could not know: it speaks gRPC with the edge, comes back `since` the last change it was told, and says again under
//! the same name what nobody has confirmed.

mod session;
mod show;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{BufRead, IsTerminal};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use kit::error::Details;
use proto::chat::v1::chat_service_client::ChatServiceClient;
use proto::chat::v1::client_frame::Frame as Said;
use proto::chat::v1::server_frame::Frame as Heard;
use proto::chat::v1::{
    AskOnline, ClientFrame, Closing, ClosingReason, Draft, FrameError, Message, Open, Presence, Read, ReceiptNews,
    Room, RoomKey, RoomKind, Send, ServerFrame, SubscribeRequest, Typing, room_key,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::chat::session::{Session, explained};
use crate::chat::show::Names;
use crate::installation::{Place, expect_running};
use crate::report::{line as notice, print};

/// How much of what was said before is shown.
const HISTORY: i64 = 20;
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,

    /// The edge, when it is not that of `plaza up` on this machine.
    #[arg(long, value_name = "URL")]
    edge: Option<String>,

    /// Who chats. The password comes from PLAZA_PASSWORD or is asked for; that of demo people is known.
    #[arg(long = "as", value_name = "PHONE|EMAIL")]
    who: String,

    /// With whom.
    #[arg(long, value_name = "PHONE|EMAIL|NUMBER", required_unless_present = "room", conflicts_with = "room")]
    with: Option<String>,

    /// In Conectar's room of the two, where contact details are taken away, instead of Agrovet's.
    #[arg(long, requires = "with")]
    deal: bool,

    /// In this room, by its number.
    #[arg(long, value_name = "NUMBER")]
    room: Option<i64>,
}

/// `plaza chat`. A failure when something was not sent.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let edge = match &options.edge {
        Some(edge) => edge.clone(),
        None => expect_running(&options.place)?.edge,
    };
    let session = Session::log_in(&edge, &options.who).await?;
    let room = match (options.room, &options.with) {
        (Some(number), _) => session.room(number).await,
        (None, with) => session.room_with(with.as_deref().unwrap_or_default(), options.deal).await,
    };
    let mut conversation = match room {
        Ok(room) => Conversation::new(session.clone(), room),
        Err(error) => {
            session.log_out().await;
            return Err(error);
        }
    };
    let outcome = conversation.run().await;
    conversation.session.log_out().await;
    outcome
}

/// Two streams: the room, and the inbox, which makes one be here and tells who else is.
struct Line {
    room: Streaming<ServerFrame>,
    inbox: Streaming<ServerFrame>,
    queue: mpsc::Sender<ClientFrame>,
}

enum Link {
    Up(Box<Line>),
    /// Being connected.
    Down(Pin<Box<dyn Future<Output = Result<Box<Line>, Status>>>>),
}

/// What a link has to say.
enum News {
    Up(Box<Line>),
    Room(ServerFrame),
    Inbox(ServerFrame),
    Lost(Status),
}

/// Where to go on when coming back: after a sequence until everything before was read, from then on since a change.
#[derive(Clone, Copy)]
enum Mark {
    After(i64),
    Since(i64),
}

struct Conversation {
    session: Session,
    room: Room,
    names: Names,
    link: Link,
    tries: u32,
    mark: Mark,
    /// Everything missed was told, on this link.
    live: bool,
    /// Messages told before that, on this link; nothing before the first one is live.
    missed: Option<u32>,
    /// What nobody has confirmed, oldest first: the name and the words. One at a time is on its way, so that they arrive
    /// in their order.
    unconfirmed: VecDeque<(String, String)>,
    /// When to say the first of them again, after having been too fast.
    again: Option<Instant>,
    /// Whether something was refused.
    refused: bool,
    /// Up to which sequence who has (false) or has read (true) what.
    reached: HashMap<(String, bool), i64>,
    online: Option<BTreeSet<String>>,
    writing: BTreeSet<String>,
    /// Whether what one writes is on the screen already.
    echoed: bool,
}

impl Conversation {
    fn new(session: Session, room: Room) -> Self {
        let mark = Mark::After((room.last_sequence - HISTORY).max(0));
        let link = Link::Down(Box::pin(connect(session.clone(), open(&room, mark), Duration::ZERO)));
        let echoed = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let reached = room.members.iter().flat_map(|member| {
            let through = [(false, member.delivered_through), (true, member.read_through)];
            through.map(|(read, through)| ((member.user_id.clone(), read), through))
        });
        Self {
            reached: reached.collect(),
            session,
            room,
            names: Names::default(),
            link,
            tries: 0,
            mark,
            live: false,
            missed: None,
            unconfirmed: VecDeque::new(),
            again: None,
            refused: false,
            online: None,
            writing: BTreeSet::new(),
            echoed,
        }
    }

    /// Until Ctrl-C, or until there is nothing more to say and all of it has arrived.
    async fn run(&mut self) -> anyhow::Result<ExitCode> {
        self.introduce().await;
        let mut typed = lines();
        let mut finished = false;
        while !(finished && self.live && self.unconfirmed.is_empty()) {
            let again = self.again.unwrap_or_else(Instant::now);
            tokio::select! {
                news = self.link.next() => self.take(news).await?,
                text = typed.recv(), if !finished => match text {
                    Some(text) => self.say(text),
                    None => finished = true,
                },
                () = sleep_until(again), if self.again.is_some() => {
                    self.again = None;
                    self.send_first();
                }
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        for (_, text) in &self.unconfirmed {
            notice(&format!("not sent: {text}"));
        }
        let all_sent = self.unconfirmed.is_empty() && !self.refused;
        Ok(if all_sent { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Finds out who is in the room, and says it.
    async fn introduce(&mut self) {
        let ids: Vec<_> = self.room.members.iter().take(500).map(|member| member.user_id.clone()).collect();
        self.names.0.extend(self.session.names(ids).await);
        let others: Vec<_> = self.others().map(|(id, number)| self.names.of(id, number)).collect();
        let named = self.room.kind() == RoomKind::Group && !self.room.name.is_empty();
        let name = if named { format!(" “{}”", show::harmless(&self.room.name)) } else { String::new() };
        let advice = if self.echoed { ". Enter sends a line, Ctrl-D or Ctrl-C ends" } else { "" };
        print(format_args!("Room {}{name} with {}{advice}", self.room.number, others.join(", ")));
    }

    /// The members but oneself.
    fn others(&self) -> impl Iterator<Item = (&str, i64)> {
        let members = self.room.members.iter().filter(|member| member.user_id != self.session.user_id);
        members.map(|member| (member.user_id.as_str(), member.user_number))
    }

    fn say(&mut self, text: String) {
        if text.trim().is_empty() {
            return;
        }
        self.unconfirmed.push_back((format!("plaza-chat:{}", Uuid::now_v7()), text));
        match &self.link {
            Link::Down(_) if self.missed.is_some() => notice("… no connection: this waits"),
            Link::Up(_) if self.unconfirmed.len() == 1 => self.send_first(),
            Link::Up(_) | Link::Down(_) => {}
        }
    }

    /// Says the oldest of what nobody has confirmed.
    fn send_first(&self) {
        if let (true, Some((name, text))) = (self.live && self.again.is_none(), self.unconfirmed.front()) {
            let draft = Draft { text: text.clone(), client_msg_id: name.clone(), ..Draft::default() };
            self.tell(Said::Send(Send { draft: Some(draft), room: None }));
        }
    }

    /// That a link is broken shows when it is read.
    fn tell(&self, said: Said) {
        if let Link::Up(line) = &self.link {
            let _ = line.queue.try_send(ClientFrame { frame: Some(said) });
        }
    }

    async fn take(&mut self, news: News) -> anyhow::Result<()> {
        match news {
            News::Up(line) => {
                self.link = Link::Up(line);
                self.tries = 0;
            }
            News::Room(frame) => return self.hear(frame).await,
            News::Inbox(ServerFrame { frame: Some(Heard::Presence(presence)), .. }) => self.presence(presence),
            News::Inbox(ServerFrame { frame: Some(Heard::Closing(closing)), .. }) => return self.closed(closing).await,
            News::Inbox(_) => {}
            News::Lost(status) => return self.lost(&status, Duration::ZERO).await,
        }
        Ok(())
    }

    async fn hear(&mut self, frame: ServerFrame) -> anyhow::Result<()> {
        match frame.frame {
            Some(Heard::Message(message)) => self.message(&message),
            Some(Heard::Changed(message)) => {
                print(format_args!("#{} is now: {}", message.sequence, show::content(&message)));
                self.reach(message.change, None);
            }
            Some(Heard::Receipt(news)) => self.receipt(&news),
            Some(Heard::Typing(typing)) => self.typing(&typing),
            Some(Heard::Live(live)) => {
                if let Some(missed) = self.missed {
                    notice(&format!("… connected again; {missed} missed"));
                }
                let since = if let Mark::Since(since) = self.mark { since } else { 0 };
                self.mark = Mark::Since(live.change.max(since));
                (self.live, self.missed) = (true, Some(0));
                self.tell(Said::AskOnline(AskOnline {}));
                self.tell(Said::Read(Read::default()));
                self.send_first();
            }
            Some(Heard::Room(room)) => {
                self.room = room;
                self.introduce().await;
            }
            Some(Heard::Error(error)) => self.error(&error),
            Some(Heard::Warning(warning)) => notice(&format!(
                "your message told contact details ({}): infraction {} of {}",
                warning.reasons.join(", "),
                warning.infractions,
                warning.limit
            )),
            Some(Heard::Online(online)) => {
                let here: BTreeSet<_> = online.people.into_iter().map(|person| person.user_id).collect();
                let before = self.online.replace(here.clone());
                for (id, number) in self.others().filter(|(id, _)| *id != self.session.user_id) {
                    if before.as_ref().is_none_or(|before| before.contains(id) != here.contains(id)) {
                        let state = if here.contains(id) { "online" } else { "offline" };
                        print(format_args!("    {} is {state}", self.names.of(id, number)));
                    }
                }
            }
            Some(Heard::Closing(closing)) => return self.closed(closing).await,
            // Who looks at this room and who is here are two things; the inbox tells the second.
            Some(Heard::Presence(_) | Heard::Opened(_) | Heard::Pong(_) | Heard::Removed(_)) | None => {}
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) {
        let mine = message.sender_id == self.session.user_id;
        let first = self.unconfirmed.front().is_some_and(|(name, _)| mine && *name == message.client_msg_id);
        if first {
            self.unconfirmed.pop_front();
        }
        // The answer to something that was said twice.
        let known = matches!(self.mark, Mark::Since(since) if message.change <= since);
        if !known {
            self.reach(message.change, Some(message.sequence));
            if let (false, Some(missed)) = (self.live, &mut self.missed) {
                *missed += 1;
            }
            let again = if !self.live && self.missed.is_some() { " (missed)" } else { "" };
            match (mine, first && self.echoed) {
                (true, true) => print(format_args!("    #{} is sent", message.sequence)),
                (true, false) => {
                    print(format_args!("{} · {}{again}", show::message(message, &self.names), show::fate(message)));
                }
                (false, _) => print(format_args!("{}{again}", show::message(message, &self.names))),
            }
        }
        if !mine {
            self.writing.remove(&message.sender_id);
            if self.live {
                self.tell(Said::Read(Read { through: message.sequence, ..Read::default() }));
            }
        }
        if first {
            self.send_first();
        }
    }

    fn reach(&mut self, change: i64, sequence: Option<i64>) {
        self.mark = match self.mark {
            Mark::After(last) => Mark::After(last.max(sequence.unwrap_or_default())),
            Mark::Since(last) => Mark::Since(last.max(change)),
        };
    }

    fn receipt(&mut self, news: &ReceiptNews) {
        if news.user_id == self.session.user_id {
            return;
        }
        let through = self.reached.entry((news.user_id.clone(), news.read)).or_default();
        // After coming back some are told again.
        let sequences: Vec<_> = news.sequences.iter().copied().filter(|sequence| sequence > through).collect();
        let Some(last) = sequences.last() else { return };
        *through = *last;
        let what = if news.read { "has read" } else { "has" };
        let who = self.names.of(&news.user_id, news.user_number);
        print(format_args!("    {who} {what} {}", show::range(&sequences)));
    }

    fn typing(&mut self, typing: &Typing) {
        if !typing.active {
            self.writing.remove(&typing.user_id);
        } else if typing.user_id != self.session.user_id && self.writing.insert(typing.user_id.clone()) {
            print(format_args!("    {} is writing …", self.names.of(&typing.user_id, typing.user_number)));
        }
    }

    fn presence(&mut self, presence: Presence) {
        let Some(online) = &mut self.online else { return };
        let id = &presence.user_id;
        let news = if presence.online { online.insert(id.clone()) } else { online.remove(id) };
        if !news || self.others().all(|(other, _)| other != id) {
            return;
        }
        let who = self.names.of(id, presence.user_number);
        match (presence.online, presence.last_seen_at) {
            (true, _) => print(format_args!("    {who} is online")),
            (false, None) => print(format_args!("    {who} is offline")),
            (false, Some(at)) => print(format_args!("    {who} is offline since {}", show::clock(at.seconds))),
        }
    }

    fn error(&mut self, error: &FrameError) {
        let first = self.unconfirmed.front().is_some_and(|(name, _)| *name == error.client_msg_id);
        if !first {
            notice(&format!("plaza: {} ({})", error.message, error.reason));
        } else if error.reason == "RATE_LIMITED" {
            let wait = Duration::from_millis(error.retry_after_ms.clamp(100, 60_000).unsigned_abs());
            notice(&format!("… too fast: the next one is sent in {:.1} s", wait.as_secs_f64()));
            self.again = Some(Instant::now() + wait);
        } else if let Some((_, text)) = self.unconfirmed.pop_front() {
            notice(&format!("not sent, {} ({}): {text}", error.message, error.reason));
            self.refused = true;
            self.send_first();
        }
    }

    async fn closed(&mut self, closing: Closing) -> anyhow::Result<()> {
        let wait = Duration::from_millis(closing.retry_after_ms.clamp(0, 10_000).unsigned_abs());
        match closing.reason() {
            ClosingReason::Removed => bail!("you are not in this room any more"),
            ClosingReason::Banned => bail!("this chat is closed to you for some time"),
            ClosingReason::SignedOut => self.lost(&Status::unauthenticated("signed out"), wait).await,
            ClosingReason::TooSlow | ClosingReason::GoingAway | ClosingReason::Unspecified => {
                self.lost(&Status::unavailable("going away"), wait).await
            }
        }
    }

    /// Connects again, unless that has no sense.
    async fn lost(&mut self, status: &Status, wait: Duration) -> anyhow::Result<()> {
        if matches!(Details::of(status).reason.as_str(), "NOT_A_MEMBER" | "ROOM_NOT_FOUND") {
            bail!("you are not in this room any more");
        }
        if status.code() == Code::Unauthenticated {
            match self.session.refresh().await {
                Err(refusal) if refusal.code() == Code::Unauthenticated => bail!("you have been signed out"),
                // Tried again with the next connection.
                Err(_) | Ok(()) => {}
            }
        } else if self.tries == 0 {
            notice("… the connection is gone; trying again");
        } else if status.code() != Code::Unavailable {
            notice(&format!("… {:#}", explained("connecting", status)));
        }
        let pause = wait.max(PAUSES.0 * (1 << self.tries.min(8))).min(PAUSES.1.max(wait));
        self.tries += 1;
        (self.live, self.again) = (false, None);
        self.writing.clear();
        self.link = Link::Down(Box::pin(connect(self.session.clone(), open(&self.room, self.mark), pause)));
        Ok(())
    }
}

impl Link {
    /// What comes next. May be dropped while it waits.
    async fn next(&mut self) -> News {
        let heard = |frame: Result<Option<ServerFrame>, Status>, news: fn(ServerFrame) -> News| match frame {
            Ok(Some(frame)) => news(frame),
            Ok(None) => News::Lost(Status::unavailable("the stream ended")),
            Err(status) => News::Lost(status),
        };
        match self {
            Link::Up(line) => tokio::select! {
                frame = line.room.message() => heard(frame, News::Room),
                frame = line.inbox.message() => heard(frame, News::Inbox),
            },
            Link::Down(attempt) => attempt.await.map_or_else(News::Lost, News::Up),
        }
    }
}

fn open(room: &Room, mark: Mark) -> Open {
    let room = Some(RoomKey { key: Some(room_key::Key::Id(room.id.clone())), ..Default::default() });
    match mark {
        Mark::After(sequence) => Open { room, after: Some(sequence), ..Open::default() },
        Mark::Since(change) => Open { room, since: Some(change), ..Open::default() },
    }
}

async fn connect(session: Session, open: Open, pause: Duration) -> Result<Box<Line>, Status> {
    sleep(pause).await;
    let connecting = async {
        let mut chat = ChatServiceClient::new(session.channel.clone());
        let inbox = session.request(SubscribeRequest { open: Some(Open::default()) });
        let inbox = chat.subscribe(inbox).await?.into_inner();
        let (queue, waiting) = mpsc::channel(64);
        let _ = queue.try_send(ClientFrame { frame: Some(Said::Open(open)) });
        let room = chat.connect(session.request(ReceiverStream::new(waiting))).await?.into_inner();
        Ok(Box::new(Line { room, inbox, queue }))
    };
    timeout(PATIENCE, connecting).await.unwrap_or_else(|_| Err(Status::unavailable("no answer")))
}

/// What is typed or piped in, line by line. A thread of its own, because reading a terminal cannot be given up.
fn lines() -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            if send.blocking_send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    receive
}
