//! A Redis of one test.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A private Redis server without persistence; it dies with this value.
pub struct Redis {
    pub url: String,
    port: u16,
    child: Child,
}

impl Redis {
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        Self { url: format!("redis://127.0.0.1:{port}/0"), port, child: spawn(port).await }
    }

    /// As `kill -9` does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it ran");
    }

    /// Starts it anew, empty, at the same address.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port).await;
    }
}

async fn spawn(port: u16) -> Child {
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server is installed; `make setup` does it");
    for _ in 0..250 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return child;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("redis-server does not listen on {port}");
}
