//! PostgreSQL: our own server under the data folder, and one database with one role per service on whatever server.
//!
//! The server listens on a port of this machine and on nothing else. Every role has a password, which PostgreSQL and
//! the client prove to each other (SCRAM): no other user of the machine gets in, and if somebody else's server got hold
//! of our port we would notice.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use url::Url;

use crate::daemon::{self, Daemon};
use crate::installation::{Installation, write};
use crate::ports;
use crate::report::Step;

/// The oldest version that Plaza works with.
pub(crate) const OLDEST: u32 = 15;

/// Settings of our server. On the command line, so that a newer Plaza brings its own to an older data folder.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=64MB",
    // Our queries are short; compiling them takes longer than running them.
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_line_prefix=%m [%p] %a ",
    "log_checkpoints=off",
    "log_min_duration_statement=1s",
];

/// What data that is deleted afterwards can do without.
const FORGETFUL: &[&str] = &["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// The server's programs of one version.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) bin: PathBuf,
    pub(crate) major: u32,
}

/// Every PostgreSQL on this machine, newest first. Debian and Red Hat keep the server's programs out of `PATH`.
pub(crate) fn installed() -> Vec<Programs> {
    let versioned = |parent: &str, prefix: &str| {
        let folders = fs::read_dir(parent).into_iter().flatten().flatten();
        let major = |name: &str| name.strip_prefix(prefix)?.parse::<u32>().ok();
        folders
            .filter_map(|folder| Some((folder.path(), major(folder.file_name().to_str()?)?)))
            .map(|(folder, major)| Programs { bin: folder.join("bin"), major })
            .collect::<Vec<_>>()
    };
    let mut found = versioned("/usr/lib/postgresql", "");
    found.extend(versioned("/usr", "pgsql-"));
    let in_path = daemon::in_path("postgres").and_then(|path| fs::canonicalize(path).ok());
    if let Some(bin) = in_path.as_deref().and_then(Path::parent) {
        found.extend(version(bin).map(|major| Programs { bin: bin.to_owned(), major }));
    }
    found.retain(|programs| programs.bin.join("postgres").is_file() && programs.bin.join("initdb").is_file());
    found.sort_by_key(|programs| Reverse(programs.major));
    found
}

/// From `postgres (PostgreSQL) 17.2`.
fn version(bin: &Path) -> Option<u32> {
    let output = std::process::Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(2)?.split('.').next()?.parse().ok()
}

/// The programs for the data in `data`, which only its own version can read, or the newest when there is none yet.
pub(crate) fn programs(data: &Path) -> anyhow::Result<Programs> {
    let installed = installed();
    let newest = installed.first().cloned();
    let Ok(made_by) = fs::read_to_string(data.join("PG_VERSION")) else {
        return match newest {
            Some(programs) if programs.major >= OLDEST => Ok(programs),
            Some(programs) => bail!("PostgreSQL {} is installed, but Plaza needs {OLDEST} or newer", programs.major),
            None => bail!("PostgreSQL is not installed: run `make setup`, or `apt install postgresql`"),
        };
    };
    let made_by = made_by.trim();
    installed.into_iter().find(|programs| programs.major.to_string() == made_by).with_context(|| {
        format!(
            "the data in {} was made by PostgreSQL {made_by}, which is not installed any more: \
             apt install postgresql-{made_by}, or move the folder away and start empty",
            data.display()
        )
    })
}

/// Starts our server, made anew if there is none; answers the URL of its administrator. The server is in `daemon` as
/// soon as it runs, ready or not.
pub(crate) async fn start(
    installation: &Installation,
    port: u16,
    daemon: &mut Option<Daemon>,
    step: &mut Step,
) -> anyhow::Result<String> {
    let data = installation.path("postgres");
    let programs = programs(&data)?;
    let password = installation.password("postgres");
    if !data.join("PG_VERSION").exists() {
        step.say("making a new database cluster; once, this takes some seconds");
        init(installation, &programs, &data, &password).await?;
    }

    let port = port.to_string();
    let mut command = daemon::command(installation.account.as_ref(), &programs.bin.join("postgres"), &data);
    command.arg("-D").arg(&data).args(["-p", &port]);
    let forgetful = if installation.ephemeral { FORGETFUL } else { &[] };
    for setting in SETTINGS.iter().chain(forgetful) {
        command.args(["-c", setting]);
    }
    let server = daemon.insert(Daemon::start("PostgreSQL", command, None, installation.path("postgres.log")).await?);

    let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
    let options: PgConnectOptions = url.parse().context("our own URL")?;
    let options = options.disable_statement_logging();
    let begun = Instant::now();
    let mut told = false;
    loop {
        tokio::select! {
            error = server.ended() => return Err(error),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
        match PgConnection::connect_with(&options).await {
            Ok(mut connection) => {
                let version: String = sqlx::query_scalar("show server_version").fetch_one(&mut connection).await?;
                connection.close().await?;
                step.found(format!("{}, 127.0.0.1:{port}", version.split(' ').next().unwrap_or_default()));
                return Ok(url);
            }
            Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some("28P01") => {
                bail!("our PostgreSQL refuses our password; is the server on port {port} another one?");
            }
            // Not listening yet, or "the database system is starting up".
            Err(error) if begun.elapsed() > Duration::from_secs(60) => {
                return Err(error).context("PostgreSQL does not answer for a minute; see postgres.log");
            }
            Err(_) if !told && begun.elapsed() > Duration::from_secs(3) => {
                told = true;
                step.say("PostgreSQL is recovering from an unclean stop");
            }
            Err(_) => {}
        }
    }
}

/// Stops the server that an earlier start left running.
pub(crate) async fn stop_orphan(installation: &Installation) -> anyhow::Result<bool> {
    let data = installation.path("postgres");
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(false) };
    match text.lines().next().and_then(|line| line.trim().parse().ok()) {
        Some(pid) => daemon::stop_orphan(pid, &data).await,
        None => Ok(false),
    }
}

/// Makes the cluster beside its place and moves it there, so that a half-made one is never taken for a whole.
async fn init(installation: &Installation, programs: &Programs, data: &Path, password: &str) -> anyhow::Result<()> {
    let half = installation.path("postgres.new");
    let _ = fs::remove_dir_all(&half);
    installation.make_private(&half)?;
    let password_file = installation.path("postgres.password");
    write(&password_file, password.as_bytes())?;
    if let Some(account) = &installation.account {
        account.own(&password_file)?;
    }
    let mut command = daemon::command(installation.account.as_ref(), &programs.bin.join("initdb"), &half);
    command.arg("--pgdata").arg(&half).arg("--pwfile").arg(&password_file);
    command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]);
    if installation.ephemeral {
        command.arg("--no-sync");
    }
    let outcome = command.kill_on_drop(true).output().await.context("starting initdb");
    let _ = fs::remove_file(&password_file);
    let output = outcome?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    fs::rename(&half, data).with_context(|| format!("moving the new cluster to {}", data.display()))
}

/// The name of a service's database, and of its role.
pub(crate) fn database(service: &str) -> String {
    format!("plaza_{}", service.replace('-', "_"))
}

/// Makes what is missing of databases and roles on the server, and answers each service's URL.
///
/// Where we are the server's superuser, as on our own, every service gets a role that may enter its own database only.
/// On a server where we are less, services use the URL's own role.
pub(crate) async fn prepare(
    server: &str,
    services: &[&str],
    password: impl Fn(&str) -> String,
) -> anyhow::Result<BTreeMap<String, String>> {
    let url = Url::parse(server).context("--database-url")?;
    let options: PgConnectOptions = server.parse().context("--database-url")?;
    let connecting = options.disable_statement_logging();
    let mut admin = PgConnection::connect_with(&connecting)
        .await
        .with_context(|| format!("connecting to PostgreSQL at {}", place(&url)))?;
    let (superuser, creates): (bool, bool) =
        sqlx::query_as("select rolsuper, rolcreatedb or rolsuper from pg_roles where rolname = current_user")
            .fetch_one(&mut admin)
            .await?;
    let databases: Vec<String> = sqlx::query_scalar("select datname from pg_database").fetch_all(&mut admin).await?;
    let roles: Vec<String> = sqlx::query_scalar("select rolname from pg_roles").fetch_all(&mut admin).await?;

    let mut urls = BTreeMap::new();
    for service in services {
        // Only letters and underscores, and hex digits in passwords, so the statements need no quoting.
        let name = database(service);
        let mut own = url.clone();
        own.set_path(&name);
        if superuser {
            let password = password(&name);
            let verb = if roles.contains(&name) { "alter" } else { "create" };
            run(&mut admin, format!("{verb} role {name} login password '{password}'")).await?;
            let named = own.set_username(&name).and_then(|()| own.set_password(Some(&password)));
            named.map_err(|()| anyhow::anyhow!("--database-url has no host"))?;
        }
        if !databases.contains(&name) {
            if !creates {
                bail!(
                    "there is no database {name} at {}, and its user may not make one. Ask its administrator for: \
                     create database {name} owner \"{}\"",
                    place(&url),
                    url.username(),
                );
            }
            let owner = if superuser { format!(" owner {name}") } else { String::new() };
            run(&mut admin, format!("create database {name}{owner}")).await?;
            run(&mut admin, format!("revoke all on database {name} from public")).await?;
        }
        urls.insert((*service).to_owned(), own.to_string());
    }
    admin.close().await?;
    Ok(urls)
}

async fn run(admin: &mut PgConnection, statement: String) -> anyhow::Result<()> {
    sqlx::query(AssertSqlSafe(statement)).execute(admin).await.context("preparing the databases")?;
    Ok(())
}

/// A URL as it may be shown: without user and password.
pub(crate) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or("localhost");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A port for our server, its former one if possible.
pub(crate) fn port(installation: &mut Installation) -> anyhow::Result<u16> {
    ports::free(&mut installation.state.ports, "postgres")
}
