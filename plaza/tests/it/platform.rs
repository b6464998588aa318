//! A platform started by a test, and what is left of it.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A folder of one test, gone with this value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plaza-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn plaza(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plaza"));
    // Neither the servers of whoever runs the tests, nor the secret.
    for variable in ["DATABASE_URL", "REDIS_URL", "EVENTS_URL", "PLAZA_SECRET", "PLAZA_SECRET_FILE"] {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn said(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = plaza(args).output().unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// A running `plaza up`. Killed when the test fails, which ends its servers too.
pub(crate) struct Platform {
    child: Child,
    log: PathBuf,
    pub(crate) ready: Value,
}

impl Platform {
    /// Starts one and waits until its ready-file is there.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let (ready, log) = (folder.join("ready.json"), folder.join("output"));
        // One that was killed left its own.
        let _ = fs::remove_file(&ready);
        let output = fs::File::create(&log).unwrap();
        let child = plaza(&["up", "--ready-file", ready.to_str().unwrap()])
            .args(args)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut platform = Self { child, log, ready: Value::Null };
        let begun = Instant::now();
        while !ready.exists() {
            assert!(platform.child.try_wait().unwrap().is_none(), "it ended: {}", platform.output());
            assert!(begun.elapsed() < Duration::from_secs(120), "not ready: {}", platform.output());
            std::thread::sleep(Duration::from_millis(20));
        }
        platform.ready = serde_json::from_str(&fs::read_to_string(&ready).unwrap()).unwrap();
        platform
    }

    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.text("edge"))
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        signal(&pid, name);
    }

    /// Waits for the end; its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "does not end: {}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(pid: &str, name: &str) {
    let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, pid]).status().unwrap();
    assert!(status.success());
}

/// Whether anybody listens where this URL points.
pub(crate) fn listens(url: &str) -> bool {
    let authority = url.rsplit('@').next().unwrap().trim_start_matches("http://").split('/').next().unwrap();
    TcpStream::connect(authority).is_ok()
}
