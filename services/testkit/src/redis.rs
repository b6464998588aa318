//! A Redis of one test.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use uuid::Uuid;

/// Below the ports that the system gives to outgoing connections, so that a killed server finds its port free again.
pub(crate) const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A private Redis server without persistence; it dies with this value.
pub struct Redis {
    pub url: String,
    port: u16,
    child: Child,
}

impl Redis {
    pub async fn start() -> Self {
        for _ in 0..50 {
            let port = PORTS.start + (Uuid::new_v4().as_u128() % PORTS.len() as u128) as u16;
            if TcpListener::bind(("127.0.0.1", port)).is_err() {
                continue;
            }
            // Somebody else may have taken the port in between; then our server leaves, and we try another.
            if let Some(child) = spawn(port).await {
                return Self { url: url(port), port, child };
            }
        }
        panic!("redis-server did not start on any port");
    }

    /// As `kill -9` does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it ran");
    }

    /// Starts it anew, empty, at the same address.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port).await.expect("the port is still free");
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/0")
}

/// The server, once it answers; nothing if it left.
async fn spawn(port: u16) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server is installed; `make setup` does it");
    let ours = format!("process_id:{}\r\n", child.id()?);
    for _ in 0..500 {
        if child.try_wait().expect("it is our child").is_some() {
            return None;
        }
        if info(port).await.is_ok_and(|info| info.contains(&ours)) {
            return Some(child);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("redis-server does not answer on {port}");
}

async fn info(port: u16) -> redis::RedisResult<String> {
    let mut redis = redis::Client::open(url(port))?.get_multiplexed_async_connection().await?;
    redis::cmd("INFO").arg("server").query_async(&mut redis).await
}
