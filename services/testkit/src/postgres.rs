//! A PostgreSQL of one test, for those that stop it; all others share one.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::redis::PORTS;

/// A private server, empty but for the database `postgres`; it is gone with this value.
pub struct Postgres {
    pub url: String,
    port: u16,
    folder: PathBuf,
    child: Child,
}

impl Postgres {
    pub async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("plaza-postgres-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).expect("the temporary folder is writable");
        let mut init = unprivileged("initdb", &folder).await;
        init.args(["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]);
        let made = init.arg("--pgdata").arg(&folder).stdout(Stdio::null()).status().await;
        assert!(made.is_ok_and(|status| status.success()), "initdb works; `make test` puts it into PATH");
        for _ in 0..50 {
            let port = PORTS.start + (Uuid::new_v4().as_u128() % PORTS.len() as u128) as u16;
            if TcpListener::bind(("127.0.0.1", port)).is_err() {
                continue;
            }
            // Somebody else may have taken the port in between; then our server leaves, and we try another.
            if let Some(child) = spawn(port, &folder).await {
                return Self { url: url(port), port, folder, child };
            }
        }
        panic!("postgres did not start on any port");
    }

    /// Ends it and every connection at once, as a crash does.
    pub async fn stop(&mut self) {
        self.quit();
        self.child.wait().await.expect("it is our child");
    }

    /// Starts it again at the same address, with what it knew.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder).await.expect("the port is still free");
    }

    fn quit(&self) {
        let Some(pid) = self.child.id() else { return };
        let _ = std::process::Command::new("kill").args(["-QUIT", &pid.to_string()]).status();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.quit();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// The server, once it answers; nothing if it left.
async fn spawn(port: u16, folder: &Path) -> Option<Child> {
    let mut command = unprivileged("postgres", folder).await;
    command.arg("-D").arg(folder).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"] {
        command.args(["-c", setting]);
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres is in PATH");
    for _ in 0..1500 {
        if child.try_wait().expect("it is our child").is_some() {
            return None;
        }
        if PgConnection::connect(&url(port)).await.is_ok() {
            return Some(child);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("postgres does not answer on {port}");
}

/// PostgreSQL refuses to run as root.
async fn unprivileged(program: &str, folder: &Path) -> Command {
    let output = async |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().await.expect("the system has it");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let mut command = Command::new(program);
    if output("id", &["-u"]).await.as_deref() == Some("0") {
        let user = if output("id", &["postgres"]).await.is_some() { "postgres" } else { "nobody" };
        let group = output("id", &["-g", user]).await.expect("there is this user");
        output("chown", &["-R", user, &folder.to_string_lossy()]).await.expect("root may");
        command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", &group, "--clear-groups", program]);
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}
