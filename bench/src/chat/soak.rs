//! `bench soak`: many clients write in many rooms while processes are killed under them, Redis and PostgreSQL are
//! restarted, and connections cut; afterwards every client's own history is compared with what is stored. The answer is
//! a number of messages, and zero of everything that must not be.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use proto::chat::v1::room_service_client::RoomServiceClient;
use proto::chat::v1::{CreateGroupRequest, OpenPairRequest, RoomKind, UserKey, user_key};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::client::{Said, Socket};
use super::ground::Ground;
use super::history::{Heard, History, Receipt, Verdict, check};
use super::people::{Member, sign_up};
use crate::{process, report, run};

/// How long a client waits for its message to come back before it thinks the connection dead.
const ECHO: Duration = Duration::from_secs(20);
/// How long all clients may take to hear the rest, after the last message and the last kill.
const SETTLE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Messages in all.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// Rooms of two.
    #[arg(long, default_value_t = 24)]
    pairs: usize,
    /// People in a group besides.
    #[arg(long, default_value_t = 8)]
    group: usize,
    /// Milliseconds between one misfortune and the next; 0 for none.
    #[arg(long, default_value_t = 4_000)]
    every_ms: u64,
    /// Milliseconds, at most, that a client thinks before its next message.
    #[arg(long, default_value_t = 0)]
    think_ms: u64,
    /// What happens, and when, follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the verdict only.
    #[arg(long)]
    no_results: bool,
    #[arg(long, default_value = "bench/SOAK.md")]
    results: PathBuf,
}

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

/// What all clients share.
struct Course {
    edges: [SocketAddr; 2],
    think_ms: u64,
    /// Messages that nobody has begun to send.
    left: AtomicUsize,
    /// Set when every message is sent: how many each room has.
    finish: tokio::sync::watch::Sender<Option<Arc<HashMap<i64, i64>>>>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let binaries = std::env::current_exe()?.parent().context("a program lies in a folder")?.to_owned();
    let dir = PathBuf::from("/tmp").join(format!("plaza-soak.{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    tokio::spawn(process::watch_signals());
    let outcome = soak(&options, &binaries, &dir).await;
    if outcome.is_ok() {
        let _ = std::fs::remove_dir_all(&dir);
    } else {
        eprintln!("bench: logs are in {}", dir.display());
    }
    let (verdict, text) = outcome?;
    println!("{text}");
    if !options.no_results {
        report::write(&options.results, &text)?;
    }
    ensure!(verdict.clean(), "the histories are not what was stored");
    Ok(())
}

async fn soak(
    options: &Options,
    binaries: &std::path::Path,
    dir: &std::path::Path,
) -> anyhow::Result<(Verdict, String)> {
    run::say("starting two edges, two chats, and what they need");
    let mut ground = Ground::start(binaries, dir, false).await?;
    let edge = Endpoint::from_shared(format!("http://{}", ground.edges()[0]))?.connect().await?;
    let people = sign_up(&edge, 2 * options.pairs + options.group).await?;
    let mut seats = Vec::new();
    for pair in people[..2 * options.pairs].chunks(2) {
        let room = open_pair(&edge, &pair[0], &pair[1]).await?;
        seats.extend(pair.iter().map(|member| (member.clone(), room)));
    }
    if options.group > 1 {
        let group = &people[2 * options.pairs..];
        let room = open_group(&edge, group).await?;
        seats.extend(group.iter().map(|member| (member.clone(), room)));
    }
    drop(edge);

    let (finish, _) = tokio::sync::watch::channel(None);
    let course = Arc::new(Course {
        edges: ground.edges(),
        think_ms: options.think_ms,
        left: AtomicUsize::new(options.messages),
        finish,
    });
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for (number, (member, room)) in seats.iter().cloned().enumerate() {
        let (course, dice) = (course.clone(), Dice::new(options.seed ^ (number as u64 + 1) << 32));
        clients.spawn(Client::new(member, room, dice).run(course));
    }
    let mut misfortunes = Misfortunes::new(options.seed);
    while course.left.load(Ordering::Relaxed) > 0 {
        process::go_on()?;
        match options.every_ms {
            0 => tokio::time::sleep(Duration::from_millis(100)).await,
            every => {
                tokio::time::sleep(Duration::from_millis(every)).await;
                misfortunes.next(&mut ground).await?;
            }
        }
    }
    // The last messages are still on their way when nobody has any left to send; everybody waits for their own.
    let sending = began.elapsed();
    let rooms = settle(&ground, options.messages).await?;
    course.finish.send_replace(Some(Arc::new(rooms)));
    let mut histories = Vec::new();
    let settled = tokio::time::timeout(SETTLE, async {
        while let Some(history) = clients.join_next().await {
            histories.push(history?);
        }
        anyhow::Ok(())
    });
    settled.await.context("some clients did not hear everything in time")??;
    let verdict = check(&histories, &stored(&ground).await?);
    let text = words(options, &verdict, sending, &misfortunes);
    Ok((verdict, text))
}

/// Waits until all that was sent is stored; how many messages each room has.
async fn settle(ground: &Ground, messages: usize) -> anyhow::Result<HashMap<i64, i64>> {
    let end = Instant::now() + SETTLE;
    loop {
        process::go_on()?;
        if let Ok(mut chat) = ground.connect("chat").await {
            let rooms: Vec<(i64, i64)> =
                sqlx::query_as("select number, last_sequence from rooms").fetch_all(&mut chat).await?;
            if rooms.iter().map(|(_, last)| *last as usize).sum::<usize>() >= messages {
                return Ok(rooms.into_iter().collect());
            }
        }
        ensure!(Instant::now() < end, "not all that was sent is stored");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn stored(ground: &Ground) -> anyhow::Result<HashMap<i64, Vec<Heard>>> {
    let mut chat = ground.connect("chat").await?;
    let rows: Vec<(i64, i64, i64, i64, Option<String>, String)> = sqlx::query_as(
        "select r.number, m.sequence, m.number, m.sender_number, m.client_msg_id, m.text
         from messages m join rooms r on r.id = m.room_id order by r.number, m.sequence",
    )
    .fetch_all(&mut chat)
    .await?;
    let mut stored: HashMap<i64, Vec<Heard>> = HashMap::new();
    for (room, sequence, id, sender, name, text) in rows {
        let name = name.unwrap_or_default();
        stored.entry(room).or_default().push(Heard { sequence, id, sender, name, text });
    }
    Ok(stored)
}

/// One person in one room, on whichever edge answers.
struct Client {
    member: Member,
    room: i64,
    dice: Dice,
    history: History,
    last: i64,
    sent: usize,
    /// When it has thought of something to say.
    ready: Instant,
    /// What was sent and has not come back: its name and text.
    waiting: VecDeque<(String, String)>,
    /// How often each was sent again. Each time may be answered with what is stored, besides what everybody hears.
    again: HashMap<String, usize>,
}

/// What becomes of a connection.
enum End {
    /// Everything was heard.
    Finished,
    /// It broke, or we broke it.
    Cut,
}

impl Client {
    fn new(member: Member, room: i64, dice: Dice) -> Self {
        let who = format!("{} in room {room}", member.number);
        let history = History { who, room, user: member.number, ..History::default() };
        let (waiting, again) = (VecDeque::new(), HashMap::new());
        Self { member, room, dice, history, last: 0, sent: 0, ready: Instant::now(), waiting, again }
    }

    async fn run(mut self, course: Arc<Course>) -> History {
        loop {
            let edge = course.edges[self.dice.roll(2)];
            if let Ok(socket) = Socket::open(edge, None, self.room, &self.member.token, Some(self.last)).await
                && let End::Finished = self.converse(socket, &course).await
            {
                return self.history;
            }
            let pause = 50 + self.dice.roll(400) as u64;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn converse(&mut self, mut socket: Socket, course: &Course) -> End {
        let mut finish = course.finish.subscribe();
        // What was on its way when the last connection broke goes first, under its old name.
        for (name, text) in self.waiting.clone() {
            *self.again.entry(name.clone()).or_default() += 1;
            if socket.send(&text, &name).await.is_err() {
                return End::Cut;
            }
        }
        loop {
            if let Some(rooms) = &*finish.borrow_and_update()
                && self.waiting.is_empty()
                && self.last >= rooms.get(&self.room).copied().unwrap_or(0)
            {
                return End::Finished;
            }
            let thinks = self.waiting.is_empty() && self.ready > Instant::now();
            if self.waiting.is_empty() && !thinks && take(&course.left) {
                self.sent += 1;
                self.ready =
                    Instant::now() + Duration::from_millis(self.dice.roll(course.think_ms as usize + 1) as u64);
                let name = format!("{}-{}", self.member.number, self.sent);
                let text = format!("Mensaje {} de {}", self.sent, self.member.number);
                self.waiting.push_back((name.clone(), text.clone()));
                if socket.send(&text, &name).await.is_err() {
                    return End::Cut;
                }
            }
            let said = tokio::select! {
                said = tokio::time::timeout(ECHO, socket.next()) => said,
                _ = finish.changed() => continue,
                () = tokio::time::sleep_until(self.ready.into()), if thinks => continue,
            };
            match said {
                Ok(Ok(said)) => {
                    if self.hear(said, &mut socket).await.is_err() {
                        return End::Cut;
                    }
                }
                Ok(Err(_)) => return End::Cut,
                // Silence is no end unless we wait for something.
                Err(_) if self.waiting.is_empty() && finish.borrow().is_none() => {}
                Err(_) => return End::Cut,
            }
            // Now and then the network is to blame.
            if self.dice.roll(2_000) == 0 {
                return End::Cut;
            }
        }
    }

    async fn hear(&mut self, said: Said, socket: &mut Socket) -> anyhow::Result<()> {
        match said {
            Said::Message { message_id, sequence, sender_id, text, client_msg_id } => {
                let sender = sender_id.unwrap_or_default();
                let name = client_msg_id.unwrap_or_default();
                if sender == self.member.number {
                    if self.waiting.front().is_some_and(|(first, _)| *first == name) {
                        self.history.acknowledged.extend(self.waiting.pop_front());
                    }
                    if sequence <= self.last
                        && let Some(answers) = self.again.get_mut(&name).filter(|answers| **answers > 0)
                    {
                        *answers -= 1;
                        return Ok(());
                    }
                }
                if sender != self.member.number && self.dice.roll(20) == 0 {
                    socket.read_all().await?;
                }
                // Whatever else arrives is noted, also what should not have.
                self.last = self.last.max(sequence);
                self.history.heard.push(Heard { sequence, id: message_id, sender, name, text });
            }
            Said::Delivered { message_id, user_id, delivered_at } => {
                self.history.receipts.push(Receipt {
                    message: message_id,
                    user: user_id,
                    read: false,
                    at: delivered_at,
                });
            }
            Said::Read { message_ids, user_id, read_at } => {
                let receipt = |message| Receipt { message, user: user_id, read: true, at: read_at.clone() };
                self.history.receipts.extend(message_ids.into_iter().map(receipt));
            }
            // Something is away; the connection with it, or it would have been told later.
            Said::Error { .. } => anyhow::bail!("refused"),
            Said::Live {} | Said::Other => {}
        }
        Ok(())
    }
}

/// One less, if there is one.
fn take(left: &AtomicUsize) -> bool {
    left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// What goes wrong, one thing after the other.
struct Misfortunes {
    dice: Dice,
    happened: std::collections::BTreeMap<&'static str, usize>,
}

impl Misfortunes {
    fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), happened: Default::default() }
    }

    async fn next(&mut self, ground: &mut Ground) -> anyhow::Result<()> {
        const REPLICAS: [&str; 4] = ["chat-1", "chat-2", "edge-1", "edge-2"];
        let replica = REPLICAS[self.dice.roll(4)];
        let pause = Duration::from_millis(self.dice.roll(1_500) as u64);
        let what = match self.dice.roll(10) {
            0..=4 => {
                ground.kill(replica);
                tokio::time::sleep(pause).await;
                ground.launch(replica)?;
                ground.wait_for(replica)?;
                if replica.starts_with("chat") { "chat killed" } else { "edge killed" }
            }
            5..=6 => {
                tokio::task::block_in_place(|| ground.drain(replica));
                ground.launch(replica)?;
                ground.wait_for(replica)?;
                if replica.starts_with("chat") { "chat drained" } else { "edge drained" }
            }
            7..=8 => {
                ground.redis.crash();
                tokio::time::sleep(pause).await;
                ground.redis.again()?;
                "Redis killed"
            }
            _ => {
                ground.postgres.crash();
                tokio::time::sleep(pause / 2).await;
                ground.postgres.again()?;
                "PostgreSQL restarted"
            }
        };
        *self.happened.entry(what).or_default() += 1;
        Ok(())
    }
}

fn words(options: &Options, verdict: &Verdict, sending: Duration, misfortunes: &Misfortunes) -> String {
    let mut text = String::from("# Results of `bench soak`\n\n");
    let people = 2 * options.pairs + options.group;
    let _ = writeln!(
        text,
        "{people} clients in {} rooms, {} messages in {:.0} s.\n",
        options.pairs + 1,
        verdict.messages,
        sending.as_secs_f64()
    );
    let _ = writeln!(text, "| | |\n| --- | ---: |");
    for (what, count) in [
        ("messages stored", verdict.messages),
        ("messages heard", verdict.heard),
        ("lost", verdict.lost),
        ("duplicated", verdict.duplicated),
        ("reordered", verdict.reordered),
        ("other than stored", verdict.different),
        ("receipts heard", verdict.receipts),
        ("receipts that changed", verdict.receipts_changed),
    ] {
        let _ = writeln!(text, "| {what} | {count} |");
    }
    for (what, count) in &misfortunes.happened {
        let _ = writeln!(text, "| {what} | {count} times |");
    }
    for word in &verdict.words {
        let _ = writeln!(text, "\n* {word}");
    }
    text
}

pub(crate) async fn open_pair(edge: &Channel, me: &Member, other: &Member) -> anyhow::Result<i64> {
    let request =
        OpenPairRequest { kind: RoomKind::Pair.into(), users: vec![key(other)], ..OpenPairRequest::default() };
    let opened = RoomServiceClient::new(edge.clone()).open_pair(me.asks(request)?).await?.into_inner();
    Ok(opened.room.context("a room")?.number)
}

pub(crate) async fn open_group(edge: &Channel, people: &[Member]) -> anyhow::Result<i64> {
    let users = people[1..].iter().map(key).collect();
    let request = CreateGroupRequest { name: "Todos".into(), users };
    let room = RoomServiceClient::new(edge.clone()).create_group(people[0].asks(request)?).await?;
    Ok(room.into_inner().number)
}

fn key(member: &Member) -> UserKey {
    UserKey { key: Some(user_key::Key::Number(member.number)) }
}

impl Member {
    pub(crate) fn asks<T>(&self, request: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(request);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        Ok(request)
    }
}
