//! What chat is tried on: a PostgreSQL and a Redis that may be killed, and the services as processes of their own, two of
//! chat and two edges, each edge with a chat of its own. Any of them can be killed and comes back at the same address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::platform::{self, EDGE, certify};
use crate::process::{Process, answers, free_port, go_on};

const START: Duration = Duration::from_secs(60);
/// Services with a database.
const STORES: [&str; 4] = ["auth", "users", "media", "chat"];
/// What runs: label, program, and which replica of its peers it calls.
const UNITS: [(&str, &str, usize); 7] = [
    ("auth", "auth", 1),
    ("users", "users", 1),
    ("media", "media", 1),
    ("chat-1", "chat", 1),
    ("chat-2", "chat", 2),
    ("edge-1", EDGE, 1),
    ("edge-2", EDGE, 2),
];

/// Everything, gone when dropped.
pub(crate) struct Ground {
    binaries: PathBuf,
    dir: PathBuf,
    pub(crate) postgres: Server,
    pub(crate) redis: Server,
    addresses: BTreeMap<&'static str, (SocketAddr, SocketAddr)>,
    units: BTreeMap<&'static str, Process>,
}

impl Ground {
    pub(crate) async fn start(binaries: &Path, dir: &Path, durable: bool) -> anyhow::Result<Self> {
        let postgres = Server::postgres(dir, durable)?;
        let redis = Server::redis(dir)?;
        certify(dir)?;
        let mut addresses = BTreeMap::new();
        for (label, ..) in UNITS {
            addresses.insert(label, (free_port()?, free_port()?));
        }
        let mut ground = Self {
            binaries: binaries.to_owned(),
            dir: dir.to_owned(),
            postgres,
            redis,
            addresses,
            units: BTreeMap::new(),
        };
        let mut server = ground.connect("postgres").await?;
        for name in STORES {
            sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut server).await?;
        }
        for (label, ..) in UNITS {
            ground.launch(label)?;
        }
        for (label, ..) in UNITS {
            ground.wait_for(label)?;
        }
        Ok(ground)
    }

    /// The two edges.
    pub(crate) fn edges(&self) -> [SocketAddr; 2] {
        [self.addresses["edge-1"].0, self.addresses["edge-2"].0]
    }

    pub(crate) fn pid(&self, label: &str) -> anyhow::Result<u32> {
        Ok(self.units.get(label).with_context(|| format!("{label} does not run"))?.pid)
    }

    pub(crate) async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let url = format!("postgres://postgres@127.0.0.1:{}/{database}", self.postgres.port);
        PgConnection::connect(&url).await.context("connecting to PostgreSQL")
    }

    pub(crate) fn launch(&mut self, label: &'static str) -> anyhow::Result<()> {
        let (_, program, replica) = *UNITS.iter().find(|unit| unit.0 == label).context("no such unit")?;
        let (listen, admin) = self.addresses[label];
        let peers: Vec<_> = self
            .addresses
            .iter()
            .filter(|(label, _)| !label.starts_with("edge"))
            .filter_map(|(label, (listen, _))| {
                let (name, number) = label.split_once('-').unwrap_or((label, ""));
                (number.is_empty() || number == replica.to_string()).then(|| format!("{name}=http://{listen}"))
            })
            .collect();
        let mut command = platform::program(&self.binaries, program);
        command
            .env_clear()
            .envs(["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .current_dir(&self.dir)
            .env("PLAZA_SECRET", "a secret of the bench and of nothing else")
            .env("REDIS_URL", format!("redis://127.0.0.1:{}/0", self.redis.port))
            .env("PLAZA_PEERS", peers.join(","))
            .env("TLS_CA", self.dir.join("ca.pem"))
            .env("TLS_CERT", self.dir.join(format!("{program}.pem")))
            .env("TLS_KEY", self.dir.join(format!("{program}.key")))
            .env("LISTEN", listen.to_string())
            .env("ADMIN_LISTEN", admin.to_string())
            .env("GRACE_SECONDS", "5")
            .env("CHAT_RATE", "off")
            .env("MAX_SOCKETS", "40000")
            .env("MAX_SOCKETS_PER_ADDRESS", "40000")
            .env("LOG_FORMAT", "json");
        match program {
            EDGE => command.env("RATE_LIMITS", "off"),
            _ => command.env("DATABASE_URL", format!("postgres://postgres@127.0.0.1:{}/{program}", self.postgres.port)),
        };
        let process = Process::start(label, &mut command, &self.dir)?;
        self.units.insert(label, process);
        Ok(())
    }

    pub(crate) fn wait_for(&mut self, label: &'static str) -> anyhow::Result<()> {
        let admin = self.addresses[label].1;
        let process = self.units.get_mut(label).context("it was launched")?;
        process.wait_until(START, || answers(admin, "/readyz"))
    }

    /// As the kernel does when memory runs out.
    pub(crate) fn kill(&mut self, label: &'static str) {
        if let Some(process) = self.units.remove(label) {
            process.kill();
        }
    }

    /// As an orchestrator does before it takes a machine away.
    pub(crate) fn drain(&mut self, label: &'static str) {
        self.units.remove(label);
    }
}

/// A server that is started as nobody in particular, and may be killed.
pub(crate) struct Server {
    pub(crate) port: u16,
    start: Command,
    child: Child,
    /// The signal at which it leaves without a word. Redis does not hear SIGQUIT if who started us does not.
    at_once: &'static str,
}

impl Server {
    /// With `durable`, commits wait for the disk as in production; without, a crash of the server loses nothing all the
    /// same, only one of the machine would.
    fn postgres(dir: &Path, durable: bool) -> anyhow::Result<Self> {
        let data = dir.join("postgres");
        std::fs::create_dir(&data)?;
        let mut init = unprivileged("initdb", &data)?;
        init.args([
            "--no-sync",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--pgdata",
        ]);
        let made = init.arg(&data).stdout(Stdio::null()).stderr(Stdio::null()).status().context("initdb")?;
        ensure!(made.success(), "initdb failed");
        let port = free_port()?.port();
        let mut start = unprivileged("postgres", &data)?;
        let fsync = if durable { "fsync=on" } else { "fsync=off" };
        start.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", fsync]);
        start.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        start.arg("-c").arg(format!("unix_socket_directories={}", data.display()));
        Self::launch(port, start, "-QUIT")
    }

    fn redis(dir: &Path) -> anyhow::Result<Self> {
        let port = free_port()?.port();
        let mut start = Command::new("redis-server");
        start.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        start.current_dir(dir);
        Self::launch(port, start, "-KILL")
    }

    fn launch(port: u16, mut start: Command, at_once: &'static str) -> anyhow::Result<Self> {
        start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: a Ctrl-C is for the bench, and PostgreSQL's children go with it.
        start.process_group(0);
        let child = start.spawn().with_context(|| format!("starting {}", start.get_program().to_string_lossy()))?;
        let mut server = Self { port, start, child, at_once };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + START;
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        while std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            go_on()?;
            if let Some(status) = self.child.try_wait()? {
                bail!("a server ended with {status}");
            }
            ensure!(Instant::now() < end, "a server did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// PostgreSQL leaves at once and recovers from its log when it starts; Redis is simply gone.
    pub(crate) fn crash(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args([self.at_once, "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }

    pub(crate) fn again(&mut self) -> anyhow::Result<()> {
        self.child = self.start.spawn()?;
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// PostgreSQL refuses to run as root.
fn unprivileged(program: &str, data: &Path) -> anyhow::Result<Command> {
    let root = Command::new("id").arg("-u").output()?.stdout.starts_with(b"0\n");
    if !root {
        let mut command = Command::new(program);
        command.current_dir(data);
        return Ok(command);
    }
    let user = ["postgres", "nobody"]
        .into_iter()
        .find(|user| Command::new("id").arg(user).output().is_ok_and(|answer| answer.status.success()))
        .context("root, and no user to run PostgreSQL as")?;
    let own = Command::new("chown").arg(user).arg(data).status()?;
    ensure!(own.success(), "chown failed");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--clear-groups", program]).current_dir(data);
    Ok(command)
}
