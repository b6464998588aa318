//! Redis: our own server under the data folder, on a port of this machine and with a password.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::daemon::{self, Daemon};
use crate::installation::Installation;
use crate::report::Step;

/// Starts our server and answers its URL. It is in `daemon` as soon as it runs, ready or not.
pub(crate) async fn start(
    installation: &Installation,
    port: u16,
    daemon: &mut Option<Daemon>,
    step: &mut Step,
) -> anyhow::Result<String> {
    let program = program().context("Redis is not installed: run `make setup`, or `apt install redis-server`")?;
    let data = installation.path("redis");
    installation.make_private(&data)?;
    let password = installation.password("redis");
    // Published events live here until every service has seen them, so they are written to disk, once a second.
    let keep = if installation.ephemeral { "no" } else { "yes" };
    let settings = format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {dir:?}\npidfile {pid:?}\n\
         daemonize no\nsave \"\"\nappendonly {keep}\nappendfsync everysec\n",
        dir = data.to_string_lossy(),
        pid = data.join("redis.pid").to_string_lossy(),
    );
    let mut command = daemon::command(installation.account.as_ref(), &program, &data);
    // The settings come by standard input, because everybody can read a command line.
    command.arg("-");
    let server = daemon.insert(Daemon::start("Redis", command, Some(settings), installation.path("redis.log")).await?);

    let url = format!("redis://:{password}@127.0.0.1:{port}/0");
    let client = redis::Client::open(url.as_str()).context("our own URL")?;
    let begun = Instant::now();
    loop {
        tokio::select! {
            error = server.ended() => return Err(error),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
        match version(&client).await {
            Ok(version) => {
                step.found(format!("{version}, 127.0.0.1:{port}"));
                return Ok(url);
            }
            // Not listening yet, or reading its file.
            Err(error) if begun.elapsed() > Duration::from_secs(60) => {
                return Err(error).context("Redis does not answer for a minute; see redis.log");
            }
            Err(_) => {}
        }
    }
}

/// Stops the server that an earlier start left running.
pub(crate) async fn stop_orphan(installation: &Installation) -> anyhow::Result<bool> {
    let data = installation.path("redis");
    let text = fs::read_to_string(data.join("redis.pid")).unwrap_or_default();
    match text.trim().parse() {
        Ok(pid) => daemon::stop_orphan(pid, &data).await,
        Err(_) => Ok(false),
    }
}

/// Valkey is the same by another name.
pub(crate) fn program() -> Option<PathBuf> {
    daemon::in_path("redis-server").or_else(|| daemon::in_path("valkey-server"))
}

/// The version of a server that answers.
pub(crate) async fn version(client: &redis::Client) -> anyhow::Result<String> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("of unknown version").to_owned())
}
