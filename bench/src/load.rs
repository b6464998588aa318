//! Load, from a process of its own: a fixed number of connections, each with its next request when the last is
//! answered, for a fixed time. Prints `go` when the time begins, and the outcome as one line of JSON when it ends.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use proto::auth::v1::GetKeySetRequest;
use proto::auth::v1::key_service_client::KeyServiceClient;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tonic::transport::Endpoint;

use crate::process;

/// Requests before the time begins: connections, caches, plans and branch predictors are warm then.
const WARM_UP: Duration = Duration::from_millis(300);

/// How much, for how long, where.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Load {
    #[arg(long)]
    target: SocketAddr,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    seconds: f64,
}

/// What one run of a load found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
    /// What the load itself used, to be left out of what others used.
    pub(crate) own_cpu_us: u64,
}

/// GET over HTTP/1.1 with keep-alive.
#[derive(clap::Args)]
pub(crate) struct Http {
    #[command(flatten)]
    load: Load,
    #[arg(long)]
    path: String,
    /// Access token.
    #[arg(long, env = "BENCH_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Http {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (target, path) = (self.load.target, self.path);
        let bearer = self.token.map(|token| format!("Bearer {token}"));
        let mut lanes = Vec::new();
        for _ in 0..self.load.connections {
            let stream = TcpStream::connect(target).await.with_context(|| format!("connecting to {target}"))?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            lanes.push(sender);
        }
        let lanes = lanes.into_iter().map(|mut sender| {
            let (path, bearer) = (path.clone(), bearer.clone());
            async move || {
                let mut request = Request::get(&path).header(HOST, target.to_string());
                if let Some(bearer) = &bearer {
                    request = request.header(AUTHORIZATION, bearer);
                }
                let request = request.body(Empty::<Bytes>::new())?;
                // The connection's task takes the answer's end a moment later than we.
                sender.ready().await?;
                let answer = sender.send_request(request).await?;
                let status = answer.status();
                answer.into_body().collect().await?;
                anyhow::ensure!(status == StatusCode::OK, "{status}");
                Ok(())
            }
        });
        drive(&self.load, lanes.collect()).await
    }
}

/// A tiny unary RPC over HTTP/2.
#[derive(clap::Args)]
pub(crate) struct Grpc {
    #[command(flatten)]
    load: Load,
    /// Calls at once on each connection.
    #[arg(long, default_value_t = 1)]
    streams: usize,
}

impl Grpc {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut lanes = Vec::new();
        for _ in 0..self.load.connections {
            let endpoint = Endpoint::from_shared(format!("http://{}", self.load.target))?.tcp_nodelay(true);
            let client = KeyServiceClient::new(endpoint.connect().await?);
            for _ in 0..self.streams {
                let mut client = client.clone();
                lanes.push(async move || {
                    client.get_key_set(GetKeySetRequest {}).await?;
                    anyhow::Ok(())
                });
            }
        }
        drive(&self.load, lanes).await
    }
}

/// What one lane has seen.
#[derive(Default)]
struct Seen {
    took_us: Vec<u32>,
    errors: u64,
    last_error: Option<anyhow::Error>,
}

/// Drives every lane at once, on this thread.
async fn drive<L>(load: &Load, lanes: Vec<L>) -> anyhow::Result<()>
where
    L: AsyncFnMut() -> anyhow::Result<()> + 'static,
{
    let length = Duration::from_secs_f64(load.seconds);
    let begin = Instant::now() + WARM_UP;
    let end = begin + length;
    let go = Rc::new(Cell::new(false));
    let local = LocalSet::new();
    let lanes: Vec<_> = lanes
        .into_iter()
        .map(|mut lane| {
            let go = go.clone();
            local.spawn_local(async move {
                let mut seen = Seen::default();
                loop {
                    let (started, counts) = (Instant::now(), go.get());
                    if started >= end {
                        return seen;
                    }
                    let answer = lane().await;
                    let took = started.elapsed();
                    if let Err(error) = answer {
                        seen.errors += 1;
                        seen.last_error = Some(error);
                        // A server that is away shall not make us spin.
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    } else if counts {
                        seen.took_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                    }
                }
            })
        })
        .collect();

    let mut own_cpu_us = 0;
    local
        .run_until(async {
            tokio::time::sleep_until(begin.into()).await;
            println!("go");
            own_cpu_us = process::own_cpu_us()?;
            go.set(true);
            tokio::time::sleep_until(end.into()).await;
            own_cpu_us = process::own_cpu_us()? - own_cpu_us;
            anyhow::Ok(())
        })
        .await?;
    let mut all = Seen::default();
    for lane in lanes {
        let seen = local.run_until(lane).await?;
        all.took_us.extend(seen.took_us);
        all.errors += seen.errors;
        all.last_error = all.last_error.or(seen.last_error);
    }
    if let Some(error) = &all.last_error {
        eprintln!("{} errors, one of them: {error:#}", all.errors);
    }
    all.took_us.sort_unstable();
    let at = |part: f64| all.took_us.get((all.took_us.len() as f64 * part) as usize).copied().unwrap_or_default();
    let outcome = Outcome {
        requests: all.took_us.len() as u64,
        errors: all.errors,
        seconds: load.seconds,
        p50_us: at(0.5),
        p99_us: at(0.99),
        own_cpu_us,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
