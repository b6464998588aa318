//! `plaza up`: databases, services and edge, from the first to the last; and back when it is told to stop.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kit::Stop;
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::{self, Daemon};
use crate::installation::{self, Addresses, Installation, Place};
use crate::pki::Pki;
use crate::report::{self, Step};
use crate::services::{Common, EDGE, EdgePlace, Mesh, Peers, SERVICES, names};
use crate::{demo, ports, postgres, redis_server};

const PORT: u16 = 8000;
const AGROVET_PORTS: std::ops::RangeInclusive<u16> = 8001..=8006;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) place: Place,

    /// Use a temporary folder and free ports, and delete everything at the end.
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) ephemeral: bool,

    /// Write the addresses as JSON to this file once everything answers.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    /// Take this PostgreSQL server (postgres://user:password@host/postgres), where databases may be made.
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,

    /// Take this Redis server (redis://:password@host:6379/0).
    #[arg(long, value_name = "URL")]
    pub(crate) redis_url: Option<String>,

    /// Take this broker of events; Redis unless given.
    #[arg(long, value_name = "URL")]
    pub(crate) events_url: Option<String>,

    /// Keep uploaded files here (s3://bucket/prefix?endpoint=…, file:folder, memory:).
    #[arg(long, value_name = "URL")]
    pub(crate) storage_url: Option<String>,

    /// Start empty, without demo people.
    #[arg(long)]
    pub(crate) no_demo: bool,

    /// Port of the edge; 8000 unless given, 0 for any free one.
    #[arg(long)]
    pub(crate) port: Option<u16>,

    /// Also listen on 8001 to 8006, where Agrovet's frontend looks by default.
    #[arg(long)]
    pub(crate) agrovet_ports: bool,

    /// Whether the edge limits calls; off is for load tests and test suites.
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"])]
    pub(crate) rate_limits: String,
}

impl Options {
    /// The edge's port; 0 for any.
    fn edge_port(&self) -> u16 {
        self.port.unwrap_or(if self.ephemeral { 0 } else { PORT })
    }

    /// The edge's other ports.
    fn other_ports(&self) -> impl Iterator<Item = u16> {
        let (wanted, first) = (self.agrovet_ports, self.edge_port());
        AGROVET_PORTS.filter(move |port| wanted && *port != first)
    }

    /// Every port that must be free.
    pub(crate) fn ports(&self) -> Vec<u16> {
        [self.edge_port()].into_iter().chain(self.other_ports()).filter(|port| *port != 0).collect()
    }
}

/// Servers of our own, as far as they were started.
#[derive(Default)]
struct Daemons {
    postgres: Option<Daemon>,
    redis: Option<Daemon>,
}

impl Daemons {
    /// Waits until one of them ends by itself, and says so as an error.
    async fn ended(&mut self) -> anyhow::Error {
        tokio::select! {
            error = ended(&mut self.postgres) => error,
            error = ended(&mut self.redis) => error,
        }
    }

    async fn stop(self) {
        let stop = |daemon: Option<Daemon>| async move {
            if let Some(daemon) = daemon {
                daemon.stop(daemon::GENTLY).await;
            }
        };
        tokio::join!(stop(self.postgres), stop(self.redis));
    }
}

async fn ended(daemon: &mut Option<Daemon>) -> anyhow::Error {
    match daemon {
        Some(daemon) => daemon.ended().await,
        None => std::future::pending().await,
    }
}

/// The first signal asks for an orderly end, the second for a quick one.
struct Signals {
    stop: Stop,
    hurry: Stop,
}

impl Signals {
    fn watch() -> anyhow::Result<Self> {
        let (mut interrupt, mut terminate, mut hangup) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            // The terminal was closed.
            signal(SignalKind::hangup())?,
        );
        let signals = Self { stop: Stop::new(), hurry: Stop::new() };
        let (stop, hurry) = (signals.stop.clone(), signals.hurry.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if stop.is_cancelled() {
                    hurry.cancel();
                }
                stop.cancel();
            }
        });
        Ok(signals)
    }
}

/// Runs the platform until a signal, or until something of it fails.
pub(crate) async fn run(options: Options, began: Instant) -> anyhow::Result<()> {
    let signals = Signals::watch()?;
    kit::telemetry::init_with("plaza", "warn")?;
    if let Some(file) = &options.ready_file {
        // One of an earlier start would be believed.
        let _ = std::fs::remove_file(file);
    }
    let dir = if options.ephemeral { temporary()? } else { options.place.dir()? };
    let mut installation = Installation::open(dir.clone(), options.ephemeral).inspect_err(|_| {
        if options.ephemeral {
            let _ = std::fs::remove_dir_all(&dir);
        }
    })?;
    let elsewhere = !options.ephemeral
        && options.place.data_dir.is_none()
        && std::env::current_dir().is_ok_and(|here| !dir.starts_with(here));
    let why = if elsewhere { ", because PostgreSQL's user may not enter this folder" } else { "" };
    report::line(&format!("Plaza on {}{why}", dir.display()));

    let mut daemons = Daemons::default();
    let mut outcome = serve(&options, &mut installation, &mut daemons, &signals, began).await;
    daemons.stop().await;
    if let Some(file) = &options.ready_file {
        let _ = std::fs::remove_file(file);
    }
    if let Err(error) = installation.close() {
        outcome = outcome.and(Err(error));
    }
    report::line(if outcome.is_ok() { "Plaza has stopped" } else { "Plaza has stopped, because:" });
    outcome
}

async fn serve(
    options: &Options,
    installation: &mut Installation,
    daemons: &mut Daemons,
    signals: &Signals,
    began: Instant,
) -> anyhow::Result<()> {
    // First what people know by number, so that a port that is taken shows at once.
    let edge = edge_listeners(options, installation)?;
    let started = tokio::select! {
        started = start(options, installation, daemons, edge) => started,
        () = signals.stop.cancelled() => return Ok(()),
    };
    let (mut mesh, addresses) = started?;

    let work = async {
        become_ready(options, installation, &addresses).await?;
        installation.announce(&addresses)?;
        if let Some(file) = &options.ready_file {
            installation::write(file, &serde_json::to_vec_pretty(&addresses)?)?;
        }
        let (own_database, own_redis) = (options.database_url.is_none(), options.redis_url.is_none());
        report::table(&addresses, own_database, own_redis, installation.state.demo && !options.no_demo);
        report::line(&format!("Plaza is ready in {}. Ctrl-C stops it.", report::seconds(began.elapsed())));
        std::future::pending::<anyhow::Result<()>>().await
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        error = mesh.failed() => Err(error),
        error = daemons.ended() => Err(error),
        () = signals.stop.cancelled() => Ok(()),
    };
    if outcome.is_ok() {
        report::line("Stopping: requests in flight get their answers; once more Ctrl-C does not wait for them");
    }
    tokio::select! {
        () = mesh.drain() => {}
        () = signals.hurry.cancelled() => {}
    }
    outcome
}

/// Starts everything that listens.
async fn start(
    options: &Options,
    installation: &mut Installation,
    daemons: &mut Daemons,
    edge: Vec<Arc<TcpListener>>,
) -> anyhow::Result<(Mesh, Addresses)> {
    let mut step = Step::begin("certificates");
    let (pki, made) = Pki::renew(&installation.dir, &names(), chrono::Utc::now())?;
    step.found(if made == 0 { "valid".to_owned() } else { format!("made {made}") });
    step.done();

    // Before ports are chosen: what an earlier start left running still holds ours.
    if postgres::stop_orphan(installation).await? | redis_server::stop_orphan(installation).await? {
        report::line("  … the last start was killed; stopped what it had left running");
    }
    let postgres_port = postgres::port(installation)?;
    let redis_port = ports::free(&mut installation.state.ports, "redis")?;
    let mut listeners = BTreeMap::new();
    for service in SERVICES {
        let listener = ports::listen(&mut installation.state.ports, service.name)?;
        listeners.insert(service.name, Arc::new(listener));
    }
    let admin = format!("127.0.0.1:{}", ports::free(&mut installation.state.ports, "admin")?);
    installation.save()?;

    let here = &*installation;
    let Daemons { postgres: postgres_daemon, redis: redis_daemon } = daemons;
    let database = async {
        let mut step = Step::begin("PostgreSQL");
        let server = match &options.database_url {
            Some(url) => {
                step.found("the server given by --database-url");
                url.clone()
            }
            None => postgres::start(here, postgres_port, postgres_daemon, &mut step).await?,
        };
        let services: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
        let databases = postgres::prepare(&server, &services, |name| here.password(name)).await?;
        step.done();
        anyhow::Ok((server, databases))
    };
    let redis = async {
        let mut step = Step::begin("Redis");
        let url = match &options.redis_url {
            Some(url) => {
                let client = redis::Client::open(url.as_str()).context("--redis-url")?;
                step.found(redis_server::version(&client).await.context("connecting to Redis at --redis-url")?);
                url.clone()
            }
            None => redis_server::start(here, redis_port, redis_daemon, &mut step).await?,
        };
        step.done();
        anyhow::Ok(url)
    };
    // Both in this task, because the kernel ties them to the thread that starts them.
    let ((database_url, databases), redis_url) = tokio::try_join!(database, redis)?;

    let addresses = Addresses {
        edge: format!("http://{}", edge.first().context("the edge listens nowhere")?.local_addr()?),
        admin: format!("http://{admin}"),
        grpc: listeners
            .iter()
            .map(|(name, listener)| Ok(((*name).to_owned(), format!("http://{}", listener.local_addr()?))))
            .collect::<std::io::Result<_>>()?,
        data_dir: installation.dir.clone(),
        database_url,
        redis_url: redis_url.clone(),
        storage_url: storage_url(options, installation),
    };
    let common = Common {
        secret: installation.secret.clone(),
        redis_url: redis_url.clone(),
        events_url: options.events_url.clone().unwrap_or(redis_url),
        databases,
        listeners,
        pki,
    };
    let edge = EdgePlace { listeners: edge, admin, rate_limits: options.rate_limits == "on" };
    let mesh = Mesh::start(&common, |name| own_flags(options, installation, name), edge)?;
    Ok((mesh, addresses))
}

/// Where `media` keeps files.
fn storage_url(options: &Options, installation: &Installation) -> String {
    let own = || format!("file:{}", installation.path("storage").display());
    options.storage_url.clone().unwrap_or_else(own)
}

/// Flags that only one of them has. A provider of mail or SMS in the environment goes before our folder.
fn own_flags(options: &Options, installation: &Installation, name: &str) -> Vec<String> {
    let folder = |name: &str| format!("file:{}", installation.path(name).display());
    let given = |variable: &str| [variable, &format!("{variable}_FILE")].iter().any(|v| std::env::var_os(v).is_some());
    let mut flags = Vec::new();
    // The services have limits of their own, which would stop a test suite just as well.
    let limited = options.rate_limits == "on";
    match name {
        "auth" => {
            if !limited {
                flags.extend(["--resets-per-address=1000000", "--resets-per-prefix=1000000"].map(str::to_owned));
            }
            for (flag, variable) in [("--sms-url", "AUTH_SMS_URL"), ("--mail-url", "AUTH_MAIL_URL")] {
                if !given(variable) {
                    flags.push(format!("{flag}={}", folder("outbox")));
                }
            }
            if !options.no_demo && !installation.state.demo && !given("AUTH_ADMIN_PASSWORD") {
                flags.extend(demo::administrator_flags());
            }
        }
        "media" => {
            flags.push(format!("--storage-url={}", storage_url(options, installation)));
            if !limited {
                flags.push("--anonymous-limit=0".to_owned());
            }
        }
        "chat" if !limited => flags.push("--rate=off".to_owned()),
        _ => {}
    }
    flags
}

/// Waits until everything answers, and makes the demo people at the first start.
async fn become_ready(options: &Options, installation: &mut Installation, addresses: &Addresses) -> anyhow::Result<()> {
    let mut step = Step::begin("services");
    let peers = Peers::of(addresses)?;
    let answers = async {
        peers.ready().await;
        edge_answers(&addresses.edge).await
    };
    match tokio::time::timeout(Duration::from_secs(60), answers).await {
        Ok(answered) => answered?,
        Err(_) => bail!("the services do not answer for a minute; the log above says why"),
    }
    step.found(addresses.grpc.keys().map(String::as_str).chain(["edge"]).collect::<Vec<_>>().join(", "));
    step.done();

    if !options.no_demo && !installation.state.demo {
        let mut step = Step::begin("demo people");
        step.say("making people of both communities, with pictures, ads and a forum; once, this takes some seconds");
        match demo::seed(&peers, addresses).await {
            Ok(made) => {
                installation.state.demo = true;
                installation.save()?;
                step.found(made.to_string());
                step.done();
            }
            // The platform works without them.
            Err(error) => report::line(&format!("plaza: no demo people: {error:#}. Try again with `plaza seed`")),
        }
    }
    Ok(())
}

async fn edge_answers(edge: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    loop {
        match client.get(format!("{edge}/health")).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The edge's sockets, on both loopback addresses: `localhost` is one here and the other there.
fn edge_listeners(options: &Options, installation: &mut Installation) -> anyhow::Result<Vec<Arc<TcpListener>>> {
    let mut listeners = Vec::new();
    let mut bind = |port: u16| -> anyhow::Result<()> {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let first = first.map_err(|error| anyhow::anyhow!(ports::refusal(port, &error)))?;
        listeners.push(Arc::new(first));
        // Not every machine has IPv6.
        let second = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        listeners.extend(second.map(Arc::new));
        Ok(())
    };
    let port = match options.edge_port() {
        0 => ports::free(&mut installation.state.ports, EDGE)?,
        port => port,
    };
    bind(port)?;
    options.other_ports().try_for_each(bind)?;
    Ok(listeners)
}

/// A new temporary folder; those of killed ephemeral platforms go.
fn temporary() -> anyhow::Result<PathBuf> {
    const PREFIX: &str = "plaza-ephemeral-";
    let top = std::env::temp_dir();
    for entry in std::fs::read_dir(&top).context("the temporary folder")?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && abandoned(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(top.join(format!("{PREFIX}{}", kit::seal::hex(&kit::seal::random::<6>()))))
}

fn abandoned(dir: &Path) -> bool {
    std::fs::File::open(dir.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok())
}
