//! `bench chat`: what chat costs. Two edges and two chats as processes of their own with mutual TLS, a PostgreSQL that
//! waits for the disk, clients on the same machine. Ratios are measured in the same minute, alternating.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::sync::{Barrier, mpsc};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::client::{Said, Socket};
use super::endings::endings;
use super::ground::Ground;
use super::people::{Member, sign_up};
use super::soak::{open_group, open_pair};
use crate::rounds::median;
use crate::{machine, process, report, run};

/// Rooms of two that write at once.
const PAIRS: usize = 50;
/// Members of the rooms with an audience.
const HALL: usize = 100;
const STADIUM: usize = 1_000;
/// Open files that a process may have here are about as many, so the idle sockets are spread over both edges and over
/// two processes that hold them.
const IDLE_EACH: usize = 9_800;
const PING: &str = r#"{"type":"ping"}"#;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Fewer people and sockets; shows that it runs.
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value = "bench/CHAT.md")]
    results: PathBuf,
}

/// `bench idle`: opens presence sockets and holds them until its standard input ends.
#[derive(clap::Args)]
pub(crate) struct Idle {
    #[arg(long)]
    edge: SocketAddr,
    #[arg(long)]
    sockets: usize,
    /// A file with an access token per line.
    #[arg(long)]
    tokens: PathBuf,
    /// The last but one number of the loopback addresses it comes from.
    #[arg(long)]
    net: u8,
}

/// `bench ws-echo`: a bare WebSocket server that says what it hears.
#[derive(clap::Args)]
pub(crate) struct Echo {
    #[arg(long)]
    listen: SocketAddr,
}

pub(super) struct Line {
    what: String,
    measured: String,
    goal: String,
    met: Option<bool>,
}

pub(super) fn line(what: &str, measured: String, goal: &str, met: Option<bool>) -> Line {
    Line { what: what.to_owned(), measured, goal: goal.to_owned(), met }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let binaries = std::env::current_exe()?.parent().context("a program lies in a folder")?.to_owned();
    let dir = PathBuf::from("/tmp").join(format!("plaza-chat.{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    tokio::spawn(process::watch_signals());
    let outcome = measure(&options, &binaries, &dir).await;
    if outcome.is_ok() {
        let _ = std::fs::remove_dir_all(&dir);
    }
    let text = outcome?;
    println!("{text}");
    report::write(&options.results, &text)?;
    Ok(())
}

async fn measure(options: &Options, binaries: &Path, dir: &Path) -> anyhow::Result<String> {
    run::say("starting two edges, two chats, and what they need");
    let ground = Ground::start(binaries, dir, true).await?;
    let version: String =
        sqlx::query_scalar("show server_version").fetch_one(&mut ground.connect("postgres").await?).await?;
    let machine = machine::describe(&version);
    let edge = Endpoint::from_shared(format!("http://{}", ground.edges()[0]))?.connect().await?;
    let (stadium, idle) = if options.quick { (100, 500) } else { (STADIUM, IDLE_EACH) };
    run::say(&format!("registering {} people", stadium.max(2 * PAIRS)));
    let people = sign_up(&edge, stadium.max(2 * PAIRS)).await?;
    let length = Duration::from_secs(options.seconds);

    let mut lines = Vec::new();
    run::say("echo");
    lines.push(echo(&ground, binaries, &people, length).await?);
    run::say("pairs");
    lines.extend(pairs(&ground, &edge, &people, length).await?);
    run::say("a room of 100");
    lines.extend(hall(&ground, &edge, &people[..HALL], length).await?);
    run::say(&format!("a room of {stadium}"));
    lines.extend(crowd(&ground, &edge, &people[..stadium], length).await?);
    run::say(&format!("{} idle sockets", 2 * idle));
    lines.extend(idlers(&ground, binaries, dir, &people, idle).await?);
    run::say("endings");
    lines.extend(endings(&ground, &edge, &people[..HALL]).await?);
    Ok(table(&machine, &lines))
}

/// Two in each room, each answering the other. A time is from saying it to the other's hearing it, with the commit in
/// between.
async fn pairs(ground: &Ground, edge: &Channel, people: &[Member], length: Duration) -> anyhow::Result<Vec<Line>> {
    let mut rooms = Vec::new();
    for pair in people[..2 * PAIRS].chunks(2) {
        rooms.push((pair[0].clone(), pair[1].clone(), open_pair(edge, &pair[0], &pair[1]).await?));
    }
    let mut rounds = Vec::new();
    let mut durable = Vec::new();
    let mut times = Vec::new();
    for round in 0..3 {
        process::go_on()?;
        durable.push(pgbench(ground, length / 3)?);
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        for (number, (a, b, room)) in rooms.iter().cloned().enumerate() {
            let at = ground.edges()[number % 2];
            running.spawn(ping_pong(at, a, b, room, stop.clone(), round));
        }
        let began = Instant::now();
        tokio::time::sleep(length / 3).await;
        stop.store(true, Ordering::Relaxed);
        let mut sent = 0;
        while let Some(one) = running.join_next().await {
            let one = one??;
            sent += one.len();
            times.extend(one);
        }
        rounds.push(sent as f64 / began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let ratio = median(rounds.iter().zip(&durable).map(|(ours, bare)| ours / bare).collect());
    Ok(vec![
        line("50 pairs answering each other: messages/s", format!("{:.0}", median(rounds)), "", None),
        line("the same, from saying to hearing: p50, p95, p99 ms", percentiles(&times), "", None),
        line("`pgbench -N`, 50 clients, on the same server: commits/s", format!("{:.0}", median(durable)), "", None),
        line("durable messages against `pgbench -N`", format!("{ratio:.2} x"), "0.5 x", Some(ratio >= 0.5)),
    ])
}

async fn ping_pong(
    edge: SocketAddr,
    a: Member,
    b: Member,
    room: i64,
    stop: Arc<AtomicBool>,
    round: usize,
) -> anyhow::Result<Vec<f64>> {
    let mut sockets =
        [Socket::open(edge, None, room, &a.token, None).await?, Socket::open(edge, None, room, &b.token, None).await?];
    let mut times = Vec::new();
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        let name = format!("{round}-{}-{}", a.number, times.len());
        let began = Instant::now();
        sockets[turn].send("Buenas, ¿a cuánto la arroba de queso seco?", &name).await?;
        // The sender's echo is read by its own next turn.
        hear(&mut sockets[1 - turn], &name).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        hear(&mut sockets[turn], &name).await?;
        turn = 1 - turn;
    }
    Ok(times)
}

async fn hear(socket: &mut Socket, expected: &str) -> anyhow::Result<()> {
    loop {
        match socket.next().await? {
            Said::Message { client_msg_id: Some(name), .. } if name == expected => return Ok(()),
            Said::Error { code } => anyhow::bail!("refused: {code}"),
            _ => {}
        }
    }
}

/// Commits per second of PostgreSQL's own benchmark.
fn pgbench(ground: &Ground, length: Duration) -> anyhow::Result<f64> {
    let port = ground.postgres.port.to_string();
    let command = |arguments: &[&str]| {
        let mut command = Command::new("pgbench");
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"]).args(arguments).arg("postgres");
        command.stderr(Stdio::null()).output().context("pgbench")
    };
    ensure!(command(&["-i", "-s", "10", "-q"])?.status.success(), "pgbench did not prepare");
    let seconds = length.as_secs().max(2).to_string();
    let output = command(&["-N", "-c", "50", "-j", "2", "-T", &seconds])?.stdout;
    let text = String::from_utf8_lossy(&output);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.context("pgbench tells its tps")
}

/// People in one room, each with a socket; they read until told to stop and count.
struct Audience {
    heard: Arc<AtomicU64>,
    arrivals: mpsc::UnboundedReceiver<(i64, Instant)>,
    listening: JoinSet<()>,
    speaker: Socket,
}

impl Audience {
    async fn seat(ground: &Ground, room: i64, people: &[Member]) -> anyhow::Result<Self> {
        let heard = Arc::new(AtomicU64::new(0));
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let mut listening = JoinSet::new();
        let speaker = Socket::open(ground.edges()[0], None, room, &people[0].token, None).await?;
        let seated = Arc::new(Barrier::new(people.len()));
        for member in &people[1..] {
            let (heard, arrived, seated) = (heard.clone(), arrived.clone(), seated.clone());
            let mut socket = Socket::open(ground.edges()[0], None, room, &member.token, None).await?;
            listening.spawn(async move {
                seated.wait().await;
                while let Ok(text) = socket.next_raw().await {
                    // Only what must be known of it, so that the clients do not use up the servers' time.
                    if let Some(sequence) = sequence_of(&text) {
                        heard.fetch_add(1, Ordering::Relaxed);
                        let _ = arrived.send((sequence, Instant::now()));
                    }
                }
            });
        }
        seated.wait().await;
        Ok(Self { heard, arrivals, listening, speaker })
    }
}

/// The sequence in a `chat_message`; nothing in other frames.
fn sequence_of(text: &str) -> Option<i64> {
    if !text.starts_with(r#"{"type":"chat_message""#) {
        return None;
    }
    let rest = &text[text.find(r#""sequence":"#)? + 11..];
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

/// Messages at a fixed rate into a room; from saying each to the last member's hearing it.
async fn hall(ground: &Ground, edge: &Channel, people: &[Member], length: Duration) -> anyhow::Result<Vec<Line>> {
    let room = open_group(edge, people).await?;
    let mut audience = Audience::seat(ground, room, people).await?;
    let said = speak(&mut audience, length, Duration::from_millis(100)).await?;
    let mut last = std::collections::HashMap::new();
    while let Ok((sequence, at)) = audience.arrivals.try_recv() {
        let entry = last.entry(sequence).or_insert((0, at));
        *entry = (entry.0 + 1, entry.1.max(at));
    }
    let mut times: Vec<f64> = said
        .iter()
        .filter_map(|(sequence, began)| {
            let (count, at) = last.get(sequence)?;
            (*count == people.len() - 1).then(|| (*at - *began).as_secs_f64() * 1e3)
        })
        .collect();
    ensure!(times.len() * 10 >= said.len() * 9, "{} of {} messages reached everybody", times.len(), said.len());
    times.sort_by(f64::total_cmp);
    audience.listening.abort_all();
    let (p50, p99) = (at(&times, 0.5), at(&times, 0.99));
    Ok(vec![
        line("a room of 100, ten messages/s: p50 ms to the last member", format!("{p50:.1}"), "5", Some(p50 <= 5.0)),
        line("the same: p99 ms", format!("{p99:.1}"), "40", Some(p99 <= 40.0)),
    ])
}

/// One says something whenever `pause` has passed and the one before came back; sequences and when they were said.
async fn speak(audience: &mut Audience, length: Duration, pause: Duration) -> anyhow::Result<Vec<(i64, Instant)>> {
    let mut tick = tokio::time::interval(pause);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (end, mut said) = (Instant::now() + length, Vec::new());
    while Instant::now() < end {
        tick.tick().await;
        let name = format!("s-{}", said.len());
        let began = Instant::now();
        audience.speaker.send("Mañana hay vacunación en la cooperativa.", &name).await?;
        loop {
            match audience.speaker.next().await? {
                Said::Message { sequence, client_msg_id: Some(known), .. } if known == name => {
                    said.push((sequence, began));
                    break;
                }
                Said::Error { code } => anyhow::bail!("refused: {code}"),
                _ => {}
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(said)
}

/// Deliveries per second of the servers' CPU in a large room.
async fn crowd(ground: &Ground, edge: &Channel, people: &[Member], length: Duration) -> anyhow::Result<Vec<Line>> {
    let room = open_group(edge, people).await?;
    let mut audience = Audience::seat(ground, room, people).await?;
    let servers = [ground.pid("edge-1")?, ground.pid("chat-1")?];
    let before = servers.map(|pid| process::cpu_of(&[pid]));
    let heard_before = audience.heard.load(Ordering::Relaxed);
    let began = Instant::now();
    speak(&mut audience, length, Duration::from_millis(50)).await?;
    let heard = (audience.heard.load(Ordering::Relaxed) - heard_before) as f64;
    let seconds = began.elapsed().as_secs_f64();
    let mut used = Vec::new();
    for (pid, before) in servers.iter().zip(before) {
        used.push((process::cpu_of(&[*pid])? - before?) as f64 / 1e6);
    }
    audience.listening.abort_all();
    let rate = heard / used.iter().sum::<f64>();
    let each = format!("{:.1} µs at the edge, {:.1} µs in chat", used[0] / heard * 1e6, used[1] / heard * 1e6);
    Ok(vec![
        line(
            &format!("a room of {}: deliveries per CPU-second of edge and chat", people.len()),
            format!("{rate:.0}"),
            "50,000",
            Some(rate >= 50_000.0),
        ),
        line("the same: CPU per delivery", each, "", None),
        line("the same: deliveries/s meanwhile", format!("{:.0}", heard / seconds), "", None),
    ])
}

/// Frames that are answered at once, against a server that does nothing else.
async fn echo(ground: &Ground, binaries: &Path, people: &[Member], length: Duration) -> anyhow::Result<Line> {
    let listen = process::free_port()?;
    let mut command = Command::new(binaries.join("bench"));
    command.args(["ws-echo", "--listen", &listen.to_string()]);
    let mut bare = process::Process::start("ws-echo", &mut command, &std::env::temp_dir())?;
    bare.wait_until(Duration::from_secs(5), || std::net::TcpStream::connect(listen).is_ok())?;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        process::go_on()?;
        let theirs = volley(listen, |_| "/".to_owned(), length / 10).await?;
        let ours =
            volley(ground.edges()[0], |n| format!("/ws/presence/?token={}", people[n].token), length / 10).await?;
        ratios.push(ours / theirs);
    }
    let ratio = median(ratios);
    Ok(line(
        "WebSocket echo through the edge against a bare server",
        format!("{ratio:.2} x"),
        "0.8 x",
        Some(ratio >= 0.8),
    ))
}

/// Echoes per second over fifty sockets.
async fn volley(server: SocketAddr, path: impl Fn(usize) -> String, length: Duration) -> anyhow::Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for number in 0..50 {
        let mut socket = Socket::open_path(server, None, &path(number)).await?;
        let stop = stop.clone();
        running.spawn(async move {
            let mut echoes = 0u64;
            while !stop.load(Ordering::Relaxed) {
                socket.say_raw(PING.into()).await?;
                // Others' comings and goings are no echoes.
                while !socket.next_raw().await?.contains("ng\"") {}
                echoes += 1;
            }
            anyhow::Ok(echoes)
        });
    }
    let began = Instant::now();
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let mut echoes = 0;
    while let Some(one) = running.join_next().await {
        echoes += one??;
    }
    Ok(echoes as f64 / began.elapsed().as_secs_f64())
}

/// What a socket that says nothing keeps in memory.
async fn idlers(
    ground: &Ground,
    binaries: &Path,
    dir: &Path,
    people: &[Member],
    each: usize,
) -> anyhow::Result<Vec<Line>> {
    let tokens = dir.join("tokens");
    std::fs::write(&tokens, people.iter().map(|member| member.token.clone() + "\n").collect::<String>())?;
    let resident = |label: &str| anyhow::Ok(process::memory(ground.pid(label)?)?.rss_kb);
    let before = [resident("edge-1")?, resident("edge-2")?, resident("chat-1")?, resident("chat-2")?];
    let mut holders = Vec::new();
    for (number, edge) in ground.edges().into_iter().enumerate() {
        let mut command = Command::new(binaries.join("bench"));
        command.args(["idle", "--edge", &edge.to_string(), "--sockets", &each.to_string(), "--tokens"]).arg(&tokens);
        command.args(["--net", &(10 + number).to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        holders.push(command.spawn()?);
    }
    for holder in &mut holders {
        let mut said = String::new();
        let out = holder.stdout.take().context("it has an output")?;
        tokio::task::block_in_place(|| std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said))?;
        ensure!(said.trim() == "open", "the sockets did not open");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = [resident("edge-1")?, resident("edge-2")?, resident("chat-1")?, resident("chat-2")?];
    for mut holder in holders {
        drop(holder.stdin.take());
        let _ = holder.wait();
    }
    let grown = |a: usize, b: usize| {
        let kb = (after[a] + after[b]).saturating_sub(before[a] + before[b]);
        kb as f64 / (2 * each) as f64
    };
    let (edge, chat) = (grown(0, 1), grown(2, 3));
    Ok(vec![
        line(
            &format!("{} idle sockets: KiB of each at the edge", 2 * each),
            format!("{edge:.1}"),
            "12",
            Some(edge <= 12.0),
        ),
        line("the same: KiB of each in chat", format!("{chat:.1}"), "", None),
    ])
}

impl Idle {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let tokens = std::fs::read_to_string(&self.tokens)?;
        let tokens: Vec<_> = tokens.lines().collect();
        let mut sockets = Vec::with_capacity(self.sockets);
        let mut opening = JoinSet::new();
        for number in 0..self.sockets {
            let from = IpAddr::V4(Ipv4Addr::new(127, 0, self.net, (number / 1_000) as u8 + 1));
            let path = format!("/ws/presence/?token={}", tokens[number % tokens.len()]);
            let edge = self.edge;
            opening.spawn(async move { Socket::open_path(edge, Some(from), &path).await });
            if opening.len() == 32 {
                sockets.push(opening.join_next().await.context("one opens")???);
            }
        }
        while let Some(socket) = opening.join_next().await {
            sockets.push(socket??);
        }
        println!("open");
        // They are read, so that pings are answered.
        for mut socket in sockets {
            tokio::spawn(async move { while socket.next_raw().await.is_ok() {} });
        }
        let wait = || std::io::Read::read(&mut std::io::stdin(), &mut [0]);
        tokio::task::spawn_blocking(wait).await??;
        Ok(())
    }
}

impl Echo {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        use futures_util::{SinkExt, StreamExt};
        let listener = tokio::net::TcpListener::bind(self.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}

fn at(sorted: &[f64], part: f64) -> f64 {
    sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
}

pub(super) fn percentiles(sorted: &[f64]) -> String {
    format!("{:.1}, {:.1}, {:.1}", at(sorted, 0.5), at(sorted, 0.95), at(sorted, 0.99))
}

fn table(machine: &[String], lines: &[Line]) -> String {
    let mut text = String::from("# Results of `bench chat`\n\n");
    for line in machine {
        let _ = writeln!(text, "* {line}");
    }
    text +=
        "\nTwo edges and two chats with mutual TLS, PostgreSQL with `fsync`, and the clients, all on this machine.\n\n";
    text += "| | measured | goal | |\n| --- | ---: | ---: | --- |\n";
    for line in lines {
        let met = line.met.map_or("", |met| if met { "met" } else { "**missed**" });
        let _ = writeln!(text, "| {} | {} | {} | {met} |", line.what, line.measured, line.goal);
    }
    text
}
