//! The edge of Plaza: REST and JSON of two existing frontends in, gRPC out.
//!
//! `agrovet/` and `conectar/` are two small programs in the dialects their frontends speak. They share what stands
//! here: the front that every request passes ([`front`]), the routes that document themselves ([`routes`]), the
//! reading of forms ([`form`]), the clients of the services ([`clients`]), rate limits, idempotency keys, files.

pub mod address;
pub mod agrovet;
pub mod auth;
pub mod batch;
pub mod clients;
pub mod conectar;
pub mod cors;
mod demo;
pub mod dialect;
pub mod docs;
pub mod etag;
pub mod files;
pub mod form;
pub mod front;
pub mod grpc_web;
pub mod health;
mod held;
pub mod idempotency;
pub mod input;
pub mod limit;
pub mod meters;
mod places;
pub mod platform;
pub mod routes;
pub mod server;
pub mod socket;
pub mod upload;

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use kit::identity::Verifier;
use kit::seal::Secret;
use kit::service::Mesh;
use moka::future::Cache;
use redis::aio::ConnectionManager;

use crate::address::Cidr;
use crate::clients::Clients;
use crate::cors::Cors;
use crate::front::Front;
use crate::limit::{Limiter, Setting};
use crate::places::Places;
use crate::socket::Sockets;
use crate::socket::faces::Faces;

/// Configuration, from the environment.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub mesh: kit::config::Mesh,

    /// Addresses to listen on; all serve the same.
    #[arg(long, env = "LISTEN", value_delimiter = ',', default_value = "0.0.0.0:8000")]
    pub listen: Vec<SocketAddr>,

    /// Sockets bound by whoever runs us in one process; they take the place of `listen`.
    #[arg(skip)]
    pub listeners: Vec<Arc<std::net::TcpListener>>,

    /// Front of absolute links, https://api.example.com. Without it links repeat the host the client asked for.
    #[arg(long, env = "PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Addresses and ranges of the proxies in front of us; only their X-Forwarded-* headers count.
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<Cidr>,

    /// Origins of Agrovet's pages.
    #[arg(
        long,
        env = "AGROVET_ORIGINS",
        value_delimiter = ',',
        default_value = "http://localhost:5173,https://agrovets.vercel.app"
    )]
    pub agrovet_origins: Vec<String>,

    /// Origins of Conectar's pages.
    #[arg(
        long,
        env = "CONECTAR_ORIGINS",
        value_delimiter = ',',
        default_value = "http://localhost:3000,http://localhost:3001,http://127.0.0.1:3000,\
                         https://conectarprofesionales.com,https://www.conectarprofesionales.com"
    )]
    pub conectar_origins: Vec<String>,

    /// The key that Firebase's moderating function shows, at least 32 characters. Without one it is not let in.
    #[arg(long, env = "CHAT_WEBHOOK_KEY", hide_env_values = true)]
    pub chat_webhook_key: Option<Secret>,

    /// Whether calls are limited; off is for load tests and test suites.
    #[arg(long, env = "RATE_LIMITS", default_value = "on", value_parser = switch, action = clap::ArgAction::Set)]
    pub rate_limits: bool,

    /// Classes of calls with other limits than usual, such as search=60/60 (calls/seconds).
    #[arg(long = "rate-limit", env = "RATE_LIMIT", value_delimiter = ',')]
    pub limits: Vec<Setting>,

    /// Requests served at once before more are refused, and files being read besides.
    #[arg(long, env = "MAX_REQUESTS", default_value_t = 1024)]
    pub max_requests: usize,

    /// Sockets and gRPC streams open at once before more are refused.
    #[arg(long, env = "MAX_SOCKETS", default_value_t = 65_536)]
    pub max_sockets: usize,

    /// Sockets and gRPC streams that one address may have open at once.
    #[arg(long, env = "MAX_SOCKETS_PER_ADDRESS", default_value_t = 2_048)]
    pub max_sockets_per_address: usize,

    /// Seconds a request may take; uploads get ten times as long.
    #[arg(long, env = "REQUEST_SECONDS", default_value_t = 30)]
    pub request_seconds: u64,

    /// Seconds a client may pause in the middle of a body.
    #[arg(long, env = "BODY_PAUSE_SECONDS", default_value_t = 10)]
    pub body_pause_seconds: u64,

    /// Seconds a client may take nothing of a file.
    #[arg(long, env = "READ_PAUSE_SECONDS", default_value_t = 30)]
    pub read_pause_seconds: u64,

    /// Where uploads wait until they are complete.
    #[arg(long, env = "SPOOL_DIR", default_value_os_t = std::env::temp_dir())]
    pub spool_dir: PathBuf,

    /// Serve gRPC reflection to outsiders.
    #[arg(long, env = "PUBLIC_REFLECTION")]
    pub public_reflection: bool,
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err("is on or off"),
    }
}

impl Config {
    fn timeout(&self, request: &Request) -> Duration {
        let kind = request.headers().get(http::header::CONTENT_TYPE).map(|kind| kind.as_bytes());
        let upload = kind.is_some_and(|kind| kind.starts_with(b"multipart/"));
        Duration::from_secs(if upload { self.request_seconds * 10 } else { self.request_seconds })
    }

    fn body_pause(&self) -> Duration {
        Duration::from_secs(self.body_pause_seconds)
    }

    fn read_pause(&self) -> Duration {
        Duration::from_secs(self.read_pause_seconds)
    }
}

/// What every handler may use. Cheap to clone; derefs to the clients: `edge.users().get_user(…)`.
#[derive(Clone)]
pub struct Edge(Arc<Shared>);

pub struct Shared {
    pub clients: Clients,
    pub config: Config,
    pub clock: kit::Clock,
    pub verifier: Arc<Verifier>,
    pub limiter: Limiter,
    pub(crate) redis: Option<ConnectionManager>,
    /// One place per request being served.
    pub(crate) places: Places,
    /// As many again for files while they are read: who reads slowly shall not keep others from what is small.
    pub(crate) downloads: Places,
    pub(crate) sockets: Sockets,
    /// What sockets show besides what `chat` says.
    pub(crate) faces: Faces,
    /// Told to sockets; requests end by themselves.
    pub(crate) stop: kit::Stop,
    pub(crate) agrovet_cors: Cors,
    pub(crate) conectar_cors: Cors,
    pub(crate) platform_cors: Cors,
    /// The services' states, for a few seconds.
    pub(crate) health: Cache<(), Vec<(&'static str, health::State)>>,
}

impl Deref for Edge {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Deref for Shared {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

impl Edge {
    pub fn new(mesh: &Mesh, config: &Config) -> Self {
        let (agrovet_cors, conectar_cors) =
            (agrovet::cors(&config.agrovet_origins), conectar::cors(&config.conectar_origins));
        Self(Arc::new(Shared {
            clients: Clients::new(mesh),
            clock: mesh.clock.clone(),
            verifier: mesh.verifier.clone(),
            limiter: Limiter::new(config.rate_limits, &config.limits, mesh.redis.clone(), mesh.clock.clone()),
            redis: mesh.redis.clone(),
            places: Places::new(config.max_requests),
            downloads: Places::new(config.max_requests),
            sockets: Sockets::new(config.max_sockets, config.max_sockets_per_address),
            faces: Faces::default(),
            stop: mesh.stop.clone(),
            platform_cors: platform::cors(&agrovet_cors, &conectar_cors),
            agrovet_cors,
            conectar_cors,
            health: Cache::builder().max_capacity(1).time_to_live(health::FRESH).build(),
            config: config.clone(),
        }))
    }
}

/// Everything the edge answers, as one service.
pub fn router(edge: Edge) -> anyhow::Result<Front> {
    Front::new(edge)
}

/// Runs the edge until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    let mesh = Mesh::join("edge-gateway", &config.mesh, stop).await?;
    let front = router(Edge::new(&mesh, &config))?;
    server::serve(&mesh, &config, front).await
}
