//! An S3 server of one test.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// moto's server, which keeps everything in memory; it dies with this value.
pub struct S3 {
    address: String,
    server: Child,
}

impl S3 {
    pub async fn start() -> Self {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.plaza/venv/bin/python");
        let mut server = Command::new(&python)
            .args(["-m", "moto.server", "--host", "127.0.0.1", "--port", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `make setup` installs it and moto", python.display()));
        let mut log = BufReader::new(server.stderr.take().expect("it is piped")).lines();
        let mut said = Vec::new();
        while let Some(line) = log.next_line().await.expect("it writes text") {
            if let Some((_, address)) = line.split_once("Running on http://") {
                // It goes on with a line per request, and would stop at a full pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
                return Self { address: address.to_owned(), server };
            }
            said.push(line);
        }
        panic!("moto did not start; `make setup` installs it. It said:\n{}", said.join("\n"));
    }

    pub async fn make_bucket(&self, name: &str) {
        let made = reqwest::Client::builder().no_proxy().build().expect("a client");
        let made = made.put(format!("http://{}/{name}", self.address)).send().await.expect("moto answers");
        assert!(made.status().is_success(), "{made:?}");
    }

    /// The storage URL of a bucket, or of a prefix in it: `bucket/prefix`.
    pub fn url(&self, place: &str) -> String {
        format!("s3://{place}?endpoint=http://{}&region=us-east-1&path_style=true&allow_http=true", self.address)
    }

    /// Keys that open it, as variables of the environment.
    pub fn keys() -> [(String, String); 2] {
        [("AWS_ACCESS_KEY_ID", "plaza"), ("AWS_SECRET_ACCESS_KEY", "a key of tests")].map(|(n, v)| (n.into(), v.into()))
    }

    /// As `kill -9` does.
    pub async fn kill(&mut self) {
        self.server.kill().await.expect("it ran");
    }
}
