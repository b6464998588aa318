//! Configuration: clap structs read from flags and the environment, checked before anything is bound. Every variable
//! may also be given as `<NAME>_FILE`, the path of a file that holds the value.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser};

use crate::seal::Secret;

/// What every process of the mesh needs.
#[derive(Args, Clone, Debug)]
pub struct Mesh {
    /// Secret of the installation, at least 32 characters, the same for every service.
    #[arg(long, env = "PLAZA_SECRET", hide_env_values = true)]
    pub secret: Secret,

    /// Redis for revocations, rate limits and events (redis://host:port/0). Without it revocations are asked from auth.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// Where services are, as name=http://host:port; others are at http://<name>:50051.
    #[arg(long = "peer", env = "PLAZA_PEERS", value_delimiter = ',')]
    pub peers: Vec<PeerUrl>,

    /// PEM of the CA that signs the services' certificates. With it, all calls between services use mutual TLS.
    #[arg(long, env = "TLS_CA", requires_all = ["tls_cert", "tls_key"])]
    pub tls_ca: Option<PathBuf>,

    /// PEM of this service's certificate.
    #[arg(long, env = "TLS_CERT", requires = "tls_ca")]
    pub tls_cert: Option<PathBuf>,

    /// PEM of this service's key.
    #[arg(long, env = "TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Believe Linkerd's l5d-client-id header. Only where the proxy is the only way in.
    #[arg(long, env = "TRUST_LINKERD")]
    pub trust_linkerd: bool,

    /// The Kubernetes namespace whose service accounts are our services, with TRUST_LINKERD.
    #[arg(long, env = "POD_NAMESPACE", default_value = "plaza")]
    pub namespace: String,

    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "0.0.0.0:9090")]
    pub admin_listen: SocketAddr,

    /// Seconds that requests in flight get at shutdown.
    #[arg(long, env = "GRACE_SECONDS", default_value_t = 20)]
    pub grace_seconds: u64,
}

/// What every service behind the edge needs.
#[derive(Args, Clone, Debug)]
pub struct Service {
    #[command(flatten)]
    pub mesh: Mesh,

    /// Address of the gRPC server.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:50051")]
    pub listen: SocketAddr,

    /// PostgreSQL database of this service (postgres://user:password@host/database).
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,

    /// Connections to PostgreSQL for requests, one of them to be woken by; events and health have up to three besides.
    #[arg(long, env = "DATABASE_POOL", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..))]
    pub database_pool: u32,

    /// Broker of events: redis://… (streams). The same as Redis unless given.
    #[arg(long, env = "EVENTS_URL", hide_env_values = true)]
    pub events_url: Option<String>,

    /// Requests served at once before more are refused.
    #[arg(long, env = "MAX_REQUESTS", default_value_t = 512)]
    pub max_requests: usize,

    /// Serve gRPC reflection.
    #[arg(long, env = "REFLECTION", default_value_t = true, action = clap::ArgAction::Set)]
    pub reflection: bool,

    /// A socket bound by whoever runs us in one process; takes the place of `listen`.
    #[arg(skip)]
    pub listener: Option<Arc<std::net::TcpListener>>,
}

/// `users=http://127.0.0.1:4001`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUrl {
    pub name: String,
    /// Host and port.
    pub authority: String,
}

impl std::str::FromStr for PeerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, url) = text.split_once('=').ok_or("is written name=http://host:port")?;
        let url = url::Url::parse(url).map_err(|_| "has no valid URL after the =")?;
        let host = url.host_str().ok_or("has no host in its URL")?;
        let port = url.port_or_known_default().ok_or("has no port in its URL")?;
        Ok(Self { name: name.to_owned(), authority: format!("{host}:{port}") })
    }
}

impl Mesh {
    /// Host and port of a service.
    pub fn authority(&self, name: &str) -> String {
        let given = self.peers.iter().find(|peer| peer.name == name);
        given.map_or_else(|| format!("{name}:50051"), |peer| peer.authority.clone())
    }
}

/// Parses the process's arguments and environment; prints help or what is wrong and leaves.
pub fn parse<C: Parser>() -> C {
    try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses given arguments, the environment and `*_FILE`s.
pub fn try_parse_from<C: Parser>(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<C, clap::Error> {
    let mut command = C::command();
    let named: Vec<_> =
        command.get_arguments().filter_map(|arg| Some((arg.get_id().clone(), arg.get_env()?.to_owned()))).collect();
    for (id, variable) in named {
        let mut file = variable.clone();
        file.push("_FILE");
        let (None, Some(path)) = (std::env::var_os(&variable), std::env::var_os(&file)) else { continue };
        let value = std::fs::read_to_string(&path).map_err(|error| {
            let message = format!("{}: {}: {error}\n", file.to_string_lossy(), path.to_string_lossy());
            command.error(clap::error::ErrorKind::Io, message)
        })?;
        // A default is overridden by a flag and fills in for a missing one, as the variable itself would.
        command = command.mut_arg(id, |arg| arg.default_value(value.trim_end().to_owned()).required(false));
    }
    C::from_arg_matches(&command.try_get_matches_from(args)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_and_others_have_their_usual_place() {
        let peer: PeerUrl = "users=http://127.0.0.1:4001".parse().unwrap();
        assert_eq!(peer, PeerUrl { name: "users".into(), authority: "127.0.0.1:4001".into() });
        assert!("users".parse::<PeerUrl>().is_err());
        assert!("users=nonsense".parse::<PeerUrl>().is_err());
    }
}
