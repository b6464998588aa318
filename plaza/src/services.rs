//! The services and the edge as tasks of this process. They are configured by the flags of their own binaries, so
//! every variable that `<service> --help` lists still counts where we give no flag.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use kit::net::Dial;
use kit::tls::Tls;
use kit::{Peer, Stop};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::installation::Addresses;
use crate::pki::{CLI, Pki};

/// A service: its name, how it runs with flags on a bound socket until the stop, and the `main` of its own binary.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    main: fn() -> ExitCode,
    run: fn(Vec<String>, Arc<TcpListener>, Stop) -> anyhow::Result<()>,
}

macro_rules! services {
    ($($name:ident)*) => {
        &[$(Service {
            name: stringify!($name),
            main: || kit::main::<$name::Config, _>(stringify!($name), $name::run),
            run: |flags, listener, stop| {
                let mut config: $name::Config = configure(flags)?;
                config.service.listener = Some(listener);
                Handle::current().block_on($name::run(config, stop))
            },
        }),*]
    };
}

/// Every service. A new one is a word here.
pub(crate) const SERVICES: &[Service] = services! { auth users media profiles forum marketplace chat };

pub(crate) const EDGE: &str = "edge-gateway";

/// What this program is when it is called by the name of a service or of the edge, as by a link: that one alone. Several
/// on a machine are then one file, whose code is in memory and in the processors' caches once for all of them.
pub(crate) fn called_by_name() -> Option<ExitCode> {
    let program = std::env::args_os().next()?;
    let name = Path::new(&program).file_name()?;
    if name == EDGE {
        return Some(kit::main::<edge_gateway::Config, _>(EDGE, edge_gateway::run));
    }
    let service = SERVICES.iter().find(|service| name == service.name)?;
    Some((service.main)())
}

/// Everybody who needs a certificate.
pub(crate) fn names() -> Vec<&'static str> {
    SERVICES.iter().map(|service| service.name).chain([EDGE, CLI]).collect()
}

/// What is the same for all.
pub(crate) struct Common {
    pub(crate) secret: String,
    pub(crate) redis_url: String,
    pub(crate) events_url: String,
    /// By service.
    pub(crate) databases: BTreeMap<String, String>,
    /// By service: where it listens.
    pub(crate) listeners: BTreeMap<&'static str, Arc<TcpListener>>,
    pub(crate) pki: Pki,
}

impl Common {
    fn flags(&self, name: &str, admin: &str) -> anyhow::Result<Vec<String>> {
        let mut flags = vec![name.to_owned()];
        let mut flag = |name: &str, value: String| flags.push(format!("--{name}={value}"));
        flag("secret", self.secret.clone());
        flag("redis-url", self.redis_url.clone());
        flag("admin-listen", admin.to_owned());
        flag("tls-ca", self.pki.ca().to_string_lossy().into_owned());
        flag("tls-cert", self.pki.certificate(name).to_string_lossy().into_owned());
        flag("tls-key", self.pki.key(name).to_string_lossy().into_owned());
        // Who is told to go comes back to the same machine; there is no other one to spare.
        if std::env::var_os("GRACE_SECONDS").is_none() {
            flag("grace-seconds", "8".to_owned());
        }
        for (peer, listener) in &self.listeners {
            flag("peer", format!("{peer}=http://{}", listener.local_addr()?));
        }
        if let Some(database) = self.databases.get(name) {
            flag("database-url", database.clone());
            flag("events-url", self.events_url.clone());
        }
        Ok(flags)
    }
}

fn configure<C: clap::Parser>(flags: Vec<String>) -> anyhow::Result<C> {
    let name = flags.first().cloned().unwrap_or_default();
    // What clap says of a wrong variable is a paragraph of its own.
    kit::config::try_parse_from(flags).map_err(|error| anyhow!("the configuration of {name}: {error}"))
}

/// Where the edge listens, and how strict it is.
pub(crate) struct EdgePlace {
    pub(crate) listeners: Vec<Arc<TcpListener>>,
    pub(crate) admin: String,
    pub(crate) rate_limits: bool,
}

/// Everything that runs in this process.
pub(crate) struct Mesh {
    services: Tasks,
    edge: Tasks,
}

struct Tasks {
    running: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: Stop,
}

impl Tasks {
    fn new() -> Self {
        Self { running: JoinSet::new(), stop: Stop::new() }
    }

    /// Each on a thread of its own for its outermost future, which need not be `Send` then; what it spawns runs on the
    /// runtime's threads like everything else.
    fn spawn(&mut self, name: &'static str, run: impl FnOnce(Stop) -> anyhow::Result<()> + Send + 'static) {
        let stop = self.stop.clone();
        self.running.spawn_blocking(move || (name, run(stop)));
    }

    /// Waits until one of them ends by itself, and says so as an error.
    async fn failed(&mut self) -> anyhow::Error {
        match self.running.join_next().await {
            Some(ended) => outcome(ended).err().unwrap_or_else(|| anyhow!("a service stopped without being asked")),
            None => std::future::pending().await,
        }
    }

    /// Lets them finish what they have.
    async fn drain(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            if let Err(error) = outcome(ended) {
                crate::report::line(&format!("plaza: while stopping: {error:#}"));
            }
        }
    }
}

fn outcome(ended: Result<(&'static str, anyhow::Result<()>), JoinError>) -> anyhow::Result<()> {
    match ended {
        Ok((name, outcome)) => outcome.with_context(|| format!("the service {name}")),
        Err(error) => Err(anyhow!("a service panicked: {error}")),
    }
}

impl Mesh {
    /// Starts the services, each with the flags it alone has, and the edge.
    pub(crate) fn start(
        common: &Common,
        own_flags: impl Fn(&str) -> Vec<String>,
        edge: EdgePlace,
    ) -> anyhow::Result<Self> {
        let mut config: edge_gateway::Config = configure(common.flags(EDGE, &edge.admin)?)?;
        config.listeners = edge.listeners;
        config.rate_limits = edge.rate_limits;
        let mut services = Tasks::new();
        for service in SERVICES {
            let listener = common.listeners.get(service.name).context("a service without a socket")?.clone();
            let mut flags = common.flags(service.name, "127.0.0.1:0")?;
            flags.extend(own_flags(service.name));
            services.spawn(service.name, |stop| (service.run)(flags, listener, stop));
        }
        let mut edge = Tasks::new();
        edge.spawn(EDGE, |stop| Handle::current().block_on(edge_gateway::run(config, stop)));
        Ok(Self { services, edge })
    }

    /// Waits until any of them ends by itself, and says so as an error.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.services.failed() => error,
            error = self.edge.failed() => error,
        }
    }

    /// Stops them from the outside in: the edge finishes what it has while everything behind it still works.
    pub(crate) async fn drain(&mut self) {
        self.edge.drain().await;
        self.services.drain().await;
    }
}

/// Calls to the services of a running platform, under the name and certificate of this tool.
#[derive(Clone)]
pub(crate) struct Peers {
    tls: Tls,
    authorities: BTreeMap<String, String>,
}

impl Peers {
    pub(crate) fn of(addresses: &Addresses) -> anyhow::Result<Self> {
        let tls = Pki::at(&addresses.data_dir).tls(CLI)?;
        let bare = |url: &String| url.trim_start_matches("http://").to_owned();
        let authorities = addresses.grpc.iter().map(|(name, url)| (name.clone(), bare(url))).collect();
        Ok(Self { tls, authorities })
    }

    pub(crate) fn peer(&self, name: &str) -> Peer {
        let authority = self.authorities.get(name).cloned().unwrap_or_default().into();
        Peer::new(name, Dial::Tcp { authority, name: name.into(), tls: Some(self.tls.clone()) })
    }

    /// Waits until every service serves.
    pub(crate) async fn ready(&self) {
        let waiting = self.authorities.keys().map(|name| {
            let mut health = HealthClient::new(self.peer(name));
            async move {
                loop {
                    match health.check(HealthCheckRequest::default()).await {
                        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => return,
                        _ => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            }
        });
        waiting.collect::<JoinSet<()>>().join_all().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_may_ask_whose_session_ended() {
        let methods = kit::access::all_methods().unwrap();
        let peers = &methods["/plaza.auth.v1.SessionService/ListRevocations"].peers;
        // `auth` knows without asking.
        let asking = SERVICES.iter().map(|service| service.name).filter(|name| *name != "auth").chain([EDGE]);
        for name in asking {
            assert!(peers.iter().any(|peer| peer == name), "{name}");
        }
    }
}
