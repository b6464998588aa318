//! `plaza doctor`: everything that `plaza up` with the same flags relies on, looked at one by one, without changing
//! anything. Each finding that is not good says what to do.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use kit::seal::Secret;
use serde::Serialize;
use sqlx::{Connection, PgConnection};
use url::Url;

use crate::daemon::{self, Account};
use crate::installation::{self, Addresses, State};
use crate::pki::{self, Pki};
use crate::postgres::{self, OLDEST};
use crate::report::print;
use crate::services::{SERVICES, names};
use crate::{ports, redis_server, up};

#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    #[command(flatten)]
    up: up::Options,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Good,
    /// It works, but not for long or not fully.
    Doubtful,
    Wrong,
}

/// One thing looked at.
#[derive(Serialize)]
struct Finding {
    what: &'static str,
    health: Health,
    found: String,
    /// What to do; empty when good.
    advice: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(what, Health::Good, found, "");
    }

    fn doubtful(&mut self, what: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(what, Health::Doubtful, found, advice);
    }

    fn wrong(&mut self, what: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(what, Health::Wrong, found, advice);
    }

    fn add(&mut self, what: &'static str, health: Health, found: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { what, health, found: found.into(), advice: advice.into() });
    }

    fn print(&self) {
        for Finding { what, health, found, advice } in &self.0 {
            let mark = match health {
                Health::Good => '✓',
                Health::Doubtful => '!',
                Health::Wrong => '✗',
            };
            print(format_args!("  {mark} {what:<16} {found}"));
            if !advice.is_empty() {
                print(format_args!("    {:<16} → {advice}", ""));
            }
        }
        let wrong = self.0.iter().filter(|finding| finding.health == Health::Wrong).count();
        match wrong {
            0 => print("\nNothing is wrong."),
            1 => print("\nOne thing is wrong."),
            _ => print(format_args!("\n{wrong} things are wrong.")),
        }
    }
}

/// `plaza doctor`: exit code 1 when something is wrong.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let dir = if options.up.ephemeral { std::env::temp_dir() } else { options.up.place.dir()? };
    let running = installation::running(&dir).unwrap_or_default();
    let account = Account::needed();

    clock(&mut findings);
    match &account {
        Ok(account) => folder(&mut findings, &dir, account.as_ref(), options.up.ephemeral),
        Err(error) => findings.wrong("user", format!("{error:#}"), "run plaza as another user than root"),
    }
    space(&mut findings, &dir);
    programs(&mut findings, &options.up, &dir);
    if !options.up.ephemeral {
        secret(&mut findings, &dir);
        certificates(&mut findings, &dir);
    }
    listening(&mut findings, &options.up, running.is_some());
    if let Some(url) = &options.up.database_url {
        database(&mut findings, "database", url).await;
    }
    if let Some(url) = &options.up.redis_url {
        redis_at(&mut findings, "redis", url).await;
    }
    if let Some(url) = &options.up.events_url {
        match kit::broker::Broker::open(url) {
            Ok(_) => redis_at(&mut findings, "events", url).await,
            Err(error) => findings.wrong("events", format!("{error:#}"), "correct --events-url"),
        }
    }
    if let Some(url) = &options.up.storage_url {
        storage(&mut findings, url);
    }
    match &running {
        Some(addresses) => platform(&mut findings, addresses).await,
        None if options.up.ephemeral => {}
        None => findings.good("platform", "does not run here; `plaza up` starts it"),
    }

    if options.json {
        print(serde_json::to_string_pretty(&findings.0)?);
    } else {
        findings.print();
    }
    let wrong = findings.0.iter().any(|finding| finding.health == Health::Wrong);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A clock that is off makes tokens and certificates invalid, with messages that say anything but that.
fn clock(findings: &mut Findings) {
    let now = Utc::now();
    let built = std::env::current_exe().and_then(std::fs::metadata).and_then(|program| program.modified());
    match built {
        Ok(built) if SystemTime::now() + Duration::from_secs(86_400) < built => findings.wrong(
            "clock",
            format!("says {}, before this program was built", now.format("%F %T UTC")),
            "set the machine's clock; tokens and certificates depend on it",
        ),
        _ => findings.good("clock", now.format("%F %T UTC").to_string()),
    }
}

fn folder(findings: &mut Findings, dir: &Path, account: Option<&Account>, ephemeral: bool) {
    let Some(existing) = dir.ancestors().find(|folder| folder.exists()) else { return };
    let probe = existing.join(format!(".plaza-doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe));
    if let Err(error) = written {
        let found = format!("{} cannot be written: {error}", existing.display());
        findings.wrong("data folder", found, "choose a folder that may be written with --data-dir");
        return;
    }
    if let Some(advice) = account.and_then(|account| installation::barred(account, dir)) {
        findings.wrong("data folder", dir.display().to_string(), advice);
        return;
    }
    let state = match (ephemeral, dir.join("state.json").exists()) {
        (true, _) => " (temporary)",
        (false, true) => "",
        (false, false) => " (not made yet)",
    };
    let user = account.map_or(String::new(), |account| format!(", PostgreSQL as the user {}", account.name));
    findings.good("data folder", format!("{}{state}{user}", dir.display()));
}

fn space(findings: &mut Findings, dir: &Path) {
    let Some(existing) = dir.ancestors().find(|folder| folder.exists()) else { return };
    let output = Command::new("df").arg("-Pk").arg(existing).output();
    let free = output.ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok()
    });
    let Some(free) = free.map(|kib| kib >> 10) else { return };
    let found = format!("{}.{} GiB free", free >> 10, ((free % 1024) * 10) >> 10);
    match free {
        0..256 => findings.wrong("disk", found, format!("make room on the disk of {}", existing.display())),
        256..2048 => findings.doubtful("disk", found, format!("make room on the disk of {}", existing.display())),
        _ => findings.good("disk", found),
    }
}

fn programs(findings: &mut Findings, options: &up::Options, dir: &Path) {
    if options.database_url.is_none() {
        match postgres::programs(&dir.join("postgres")) {
            Ok(programs) => {
                findings.good("PostgreSQL", format!("{} in {}", programs.major, programs.bin.display()));
                extensions(findings, &programs);
            }
            Err(error) => findings.wrong(
                "PostgreSQL",
                format!("{error:#}"),
                format!("`make setup` installs it; any version from {OLDEST} on does"),
            ),
        }
    }
    if options.redis_url.is_none() {
        match redis_server::program() {
            Some(program) => {
                let version = Command::new(&program).arg("--version").output().map(|output| output.stdout);
                let version = String::from_utf8(version.unwrap_or_default()).unwrap_or_default();
                let version = version.split(" v=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("");
                findings.good("Redis", format!("{version} in {}", program.display()));
            }
            None => findings.wrong(
                "Redis",
                "redis-server is not installed",
                "run `make setup`, or `apt install redis-server`",
            ),
        }
    }
    let own_server = options.database_url.is_none() || options.redis_url.is_none();
    if own_server && daemon::in_path("setpriv").is_none() {
        findings.wrong("setpriv", "not installed; it ties PostgreSQL and Redis to plaza", "apt install util-linux");
    }
}

/// Extensions that the services' migrations ask for.
const EXTENSIONS: &[&str] = &["pg_trgm", "unaccent"];

fn extensions(findings: &mut Findings, programs: &postgres::Programs) {
    let config = Command::new(programs.bin.join("pg_config")).arg("--sharedir").output();
    let Ok(share) = config.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()) else { return };
    let folder = Path::new(&share).join("extension");
    let there = |name: &&&str| folder.join(format!("{name}.control")).exists();
    let missing: Vec<_> = EXTENSIONS.iter().filter(|name| !there(name)).copied().collect();
    if missing.is_empty() {
        findings.good("extensions", EXTENSIONS.join(", "));
    } else {
        let advice = format!("apt install postgresql-contrib, for PostgreSQL {}", programs.major);
        findings.wrong("extensions", format!("missing: {}", missing.join(", ")), advice);
    }
}

fn secret(findings: &mut Findings, dir: &Path) {
    let file = dir.join("secret");
    let (from, text) = if let Ok(text) = std::env::var("PLAZA_SECRET") {
        ("PLAZA_SECRET".to_owned(), Ok(text))
    } else if let Some(path) = std::env::var_os("PLAZA_SECRET_FILE") {
        (format!("PLAZA_SECRET_FILE={}", path.to_string_lossy()), std::fs::read_to_string(path))
    } else if !dir.join("state.json").exists() {
        findings.good("secret", "made at the first start");
        return;
    } else {
        (file.display().to_string(), std::fs::read_to_string(&file))
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            let advice = "restore this file from a backup; without it the data beside it cannot be read";
            findings.wrong("secret", format!("{from}: {error}"), advice);
            return;
        }
    };
    if let Err(what) = text.parse::<Secret>() {
        findings.wrong("secret", format!("{from} {what}"), "give a longer one, or none and one is made");
        return;
    }
    let state = installation::read::<State>(&dir.join("state.json"));
    match state {
        Ok(state) if !state.made_with(text.trim()) => findings.wrong(
            "secret",
            format!("{from} is not the one that the data was made with"),
            "give the former secret, or another folder with --data-dir",
        ),
        _ => findings.good("secret", from),
    }
}

fn certificates(findings: &mut Findings, dir: &Path) {
    let pki = Pki::at(dir);
    if !pki.ca().exists() {
        findings.good("certificates", "made at the first start");
        return;
    }
    let files = names().into_iter().map(|name| pki.certificate(name)).chain([pki.ca()]);
    let mut first: Option<DateTime<Utc>> = None;
    for file in files {
        match pki::ends(&file) {
            Ok(end) => first = Some(first.map_or(end, |first| first.min(end))),
            Err(error) => {
                findings.doubtful("certificates", format!("{error:#}"), "the next `plaza up` makes it anew");
                return;
            }
        }
    }
    let first = first.unwrap_or_default();
    let found = format!("valid until {}", first.format("%F"));
    if first < Utc::now() {
        findings.doubtful(
            "certificates",
            format!("ended on {}", first.format("%F")),
            "restart `plaza up` to renew them",
        );
    } else {
        findings.good("certificates", found);
    }
}

fn listening(findings: &mut Findings, options: &up::Options, running: bool) {
    let ports = options.ports();
    if running || ports.is_empty() {
        return;
    }
    let mut free = Vec::new();
    for port in ports {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => free.push(port.to_string()),
            Err(error) => findings.wrong("port", port.to_string(), ports::refusal(port, &error)),
        }
    }
    if !free.is_empty() {
        findings.good("port", format!("{} free", free.join(", ")));
    }
}

async fn database(findings: &mut Findings, what: &'static str, url: &str) {
    let Ok(parsed) = Url::parse(url) else {
        findings.wrong(what, "this is not a URL", "write it as postgres://user:password@host:5432/postgres");
        return;
    };
    let place = postgres::place(&parsed);
    let connecting = tokio::time::timeout(Duration::from_secs(5), PgConnection::connect(url));
    let mut server = match connecting.await {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => {
            let advice = match &error {
                sqlx::Error::Database(refusal) if refusal.code().as_deref() == Some("28P01") => {
                    "the password is wrong: correct it in --database-url".to_owned()
                }
                sqlx::Error::Database(refusal) if refusal.code().as_deref() == Some("3D000") => {
                    "name a database that exists, such as postgres".to_owned()
                }
                sqlx::Error::Io(_) => format!("does PostgreSQL run on {place}, and may this machine connect to it?"),
                _ => "correct --database-url, or leave it out and Plaza runs a server of its own".to_owned(),
            };
            findings.wrong(what, format!("{place}: {error}"), advice);
            return;
        }
        Err(_) => {
            findings.wrong(what, format!("{place} does not answer"), "is a firewall in between?");
            return;
        }
    };
    if let Err(error) = look_at(findings, what, &place, &mut server).await {
        findings.wrong(what, format!("{place}: {error}"), "may this user read the catalogue?");
    }
}

async fn look_at(
    findings: &mut Findings,
    what: &'static str,
    place: &str,
    server: &mut PgConnection,
) -> sqlx::Result<()> {
    let (version, encoding, may_create, off): (i32, String, bool, f64) = sqlx::query_as(
        "select current_setting('server_version_num')::int, current_setting('server_encoding'),
                (select rolsuper or rolcreatedb from pg_roles where rolname = current_user),
                extract(epoch from clock_timestamp() - $1)::float8",
    )
    .bind(Utc::now())
    .fetch_one(&mut *server)
    .await?;
    let major = version / 10_000;
    if major.unsigned_abs() < OLDEST {
        let advice = format!("take PostgreSQL {OLDEST} or newer");
        findings.wrong(what, format!("{place} is PostgreSQL {major}"), advice);
    } else if encoding != "UTF8" {
        findings.wrong(what, format!("{place} stores text as {encoding}"), "make a cluster with --encoding=UTF8");
    } else {
        findings.good(what, format!("PostgreSQL {major} at {place}"));
    }
    let existing: Vec<String> = sqlx::query_scalar("select datname from pg_database").fetch_all(&mut *server).await?;
    let wanted = SERVICES.iter().map(|service| postgres::database(service.name));
    let missing: Vec<_> = wanted.filter(|name| !existing.contains(name)).collect();
    if !missing.is_empty() && !may_create {
        let found = format!("this user may not make databases, and {} are missing", missing.join(", "));
        findings.wrong(what, found, "let the server's administrator make them, or give a user with createdb");
    }
    let available: Vec<String> =
        sqlx::query_scalar("select name from pg_available_extensions").fetch_all(&mut *server).await?;
    let lacking: Vec<_> = EXTENSIONS.iter().filter(|name| !available.iter().any(|one| one == *name)).copied().collect();
    if !lacking.is_empty() {
        let advice = "install postgresql-contrib on the server";
        findings.wrong("extensions", format!("{place} lacks {}", lacking.join(", ")), advice);
    }
    if off.abs() > 2.0 {
        let found = format!("{place} is {off:+.0} s from this machine");
        findings.doubtful("clock", found, "synchronise the clocks of both machines");
    }
    Ok(())
}

async fn redis_at(findings: &mut Findings, what: &'static str, url: &str) {
    let client = match redis::Client::open(url) {
        Ok(client) => client,
        Err(error) => {
            findings.wrong(what, error.to_string(), "write it as redis://:password@host:6379/0");
            return;
        }
    };
    match tokio::time::timeout(Duration::from_secs(5), redis_server::version(&client)).await {
        Ok(Ok(version)) => findings.good(what, format!("Redis {version}")),
        Ok(Err(error)) => {
            findings.wrong(what, format!("{error:#}"), "does Redis run there, and are host, port and password right?");
        }
        Err(_) => findings.wrong(what, "does not answer", "is a firewall in between?"),
    }
}

fn storage(findings: &mut Findings, url: &str) {
    // Opening a folder would make it.
    if url.starts_with("file:") {
        findings.good("storage", url);
        return;
    }
    match kit::storage::open(url) {
        Ok(_) => findings.good("storage", "the URL can be read"),
        Err(error) => {
            let advice = "write it as s3://bucket/prefix?endpoint=https://…, with AWS_ACCESS_KEY_ID and \
                          AWS_SECRET_ACCESS_KEY in the environment";
            findings.wrong("storage", format!("{error:#}"), advice);
        }
    }
}

/// The platform that runs on this folder.
async fn platform(findings: &mut Findings, addresses: &Addresses) {
    let asked = async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        client.get(format!("{}/health", addresses.edge)).send().await?.error_for_status()?.text().await
    };
    match asked.await {
        Ok(text) => {
            let health: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            match health["estado_general"].as_str() {
                Some("healthy") | None => findings.good("platform", format!("runs at {}", addresses.edge)),
                Some(state) => findings.wrong(
                    "platform",
                    format!("runs at {} and says it is {state}: {}", addresses.edge, health["servicios"]),
                    "its log says why",
                ),
            }
        }
        Err(error) => findings.wrong(
            "platform",
            format!("{} does not answer: {error}", addresses.edge),
            "its log says why; stop it with Ctrl-C and start it again",
        ),
    }
}
