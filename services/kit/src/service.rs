//! The life of a process: start, serve, drain, leave.

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use futures_util::FutureExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;

use crate::admin::{self, Ready};
use crate::broker::Broker;
use crate::error::internal;
use crate::health::Health;
use crate::identity::{KeyCache, KeySource, Revocations, Verifier, follow};
use crate::inbox::{self, Consumer};
use crate::net::{Conn, Dial, accept};
use crate::page::Pager;
use crate::seal::Secret;
use crate::server::{Layers, Routes};
use crate::tls::Tls;
use crate::{Clock, Peer, Stop, access, config, db, outbox, telemetry};

/// How often certificates are looked at on the disk.
const RENEWAL: Duration = Duration::from_secs(60);

/// Calls that may be open at once on a connection between services.
pub(crate) const STREAMS: u32 = 32_768;

/// `main` of every binary: configuration, telemetry, `run`, and a stop at Ctrl-C or SIGTERM.
pub fn main<C, F>(name: &'static str, run: impl FnOnce(C, Stop) -> F) -> ExitCode
where
    C: Parser,
    F: Future<Output = anyhow::Result<()>>,
{
    let config = config::parse::<C>();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        telemetry::init(name)?;
        let stop = Stop::new();
        tokio::spawn(stop_at_signal(stop.clone()));
        run(config, stop).await
    });
    telemetry::shutdown();
    // Blocking work that nobody waits for any more must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Cancels `stop` at the first Ctrl-C or SIGTERM.
pub async fn stop_at_signal(stop: Stop) {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
    stop.cancel();
}

/// A process's place in the mesh: its peers, its identity, its background tasks. The edge has this; services have
/// [`Service`], which adds a database.
pub struct Mesh {
    pub name: &'static str,
    pub redis: Option<ConnectionManager>,
    pub clock: Clock,
    pub secret: Secret,
    pub verifier: Arc<Verifier>,
    pub stop: Stop,
    pub ready: Ready,
    pub config: config::Mesh,
    dial: Arc<dyn Fn(&str) -> Dial + Send + Sync>,
    tls: Option<Tls>,
    tasks: TaskTracker,
    /// When the drain began.
    stopped: OnceLock<Instant>,
    /// Cancelled when all is over.
    left: Stop,
}

impl Mesh {
    /// Joins the mesh as the service `name`.
    pub async fn join(name: &'static str, config: &config::Mesh, stop: Stop) -> anyhow::Result<Self> {
        let tls = match (&config.tls_ca, &config.tls_cert, &config.tls_key) {
            (Some(ca), Some(cert), Some(key)) => Some(Tls::load(ca, cert, key)?),
            (None, None, None) => None,
            _ => bail!("TLS_CA, TLS_CERT and TLS_KEY belong together; without all three nothing would be encrypted"),
        };
        let dial = {
            let (config, tls) = (config.clone(), tls.clone());
            move |name: &str| Dial::Tcp {
                authority: config.authority(name).into(),
                name: name.into(),
                tls: tls.clone(),
            }
        };
        let mesh = Self::assemble(name, config, tls.clone(), Arc::new(dial), Clock::system(), stop).await?;
        if let Some(tls) = tls {
            mesh.every("certificates", RENEWAL, move || {
                let tls = tls.clone();
                async move {
                    let renewed = tokio::task::spawn_blocking(move || tls.renew()).await.map_err(internal)?;
                    if renewed.map_err(internal)? {
                        tracing::info!("new connections use the certificates that are there now");
                    }
                    Ok(())
                }
            });
        }
        Ok(mesh)
    }

    /// Joins a mesh in memory, for tests: peers are found by `dial`, time is `clock`.
    pub async fn join_with(
        name: &'static str,
        config: &config::Mesh,
        dial: Arc<dyn Fn(&str) -> Dial + Send + Sync>,
        clock: Clock,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        Self::assemble(name, config, None, dial, clock, stop).await
    }

    async fn assemble(
        name: &'static str,
        config: &config::Mesh,
        tls: Option<Tls>,
        dial: Arc<dyn Fn(&str) -> Dial + Send + Sync>,
        clock: Clock,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let client = config.redis_url.as_deref().map(redis::Client::open).transpose().context("the URL of Redis")?;
        let redis = match &client {
            // Lazy, so that we start while Redis is away; a call waits for it half a second and no longer.
            Some(client) => Some(ConnectionManager::new_lazy_with_config(
                client.clone(),
                ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(Duration::from_millis(500)))
                    .set_response_timeout(Some(Duration::from_millis(500)))
                    .set_number_of_retries(1),
            )?),
            None => None,
        };
        // `auth` verifies with its own keys and knows revocations before anybody.
        let auth = (name != "auth").then(|| Peer::new("auth", dial("auth")));
        let keys = KeyCache::new(auth.clone().map_or(KeySource::Local, KeySource::Auth));
        let revocations = Arc::new(Revocations::new(clock.clone()));
        let verifier = Arc::new(Verifier::new(Arc::new(keys), revocations.clone(), clock.clone()));
        if let Some(client) = &client {
            // So that a session that ended before we started is refused from the first request on.
            revocations.catch_up(client).await;
        }
        let tasks = TaskTracker::new();
        tasks.spawn(follow(revocations, client, auth, stop.clone()));
        Ok(Self {
            name,
            redis,
            clock,
            secret: config.secret.clone(),
            verifier,
            stop,
            ready: Ready::default(),
            config: config.clone(),
            dial,
            tls,
            tasks,
            stopped: OnceLock::new(),
            left: Stop::new(),
        })
    }

    /// Another service, for generated clients.
    pub fn peer(&self, name: &str) -> Peer {
        Peer::new(name, (self.dial)(name))
    }

    /// The same for streams that live long, on connections of their own.
    pub fn peer_for_streams(&self, name: &str) -> Peer {
        Peer::for_streams(name, (self.dial)(name))
    }

    pub fn pager(&self) -> Pager {
        Pager::new(&self.secret)
    }

    /// Runs `work` now and then until the stop; errors are logged and the next turn comes all the same.
    pub fn every<F>(&self, what: &'static str, period: Duration, mut work: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = crate::Result<()>> + Send,
    {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut tick = tokio::time::interval(period);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = tick.tick() => {}
                    () = stop.cancelled() => return,
                }
                // A panic, too, must not be the last turn.
                match AssertUnwindSafe(async { work().await }).catch_unwind().await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, task = what, "background task failed"),
                    Err(_) => tracing::error!(task = what, "background task panicked"),
                }
            }
        });
    }

    /// Runs `task` until it ends; it must end soon after the stop.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Serves the admin port in the background.
    pub async fn serve_admin(&self, db: Option<PgPool>) -> anyhow::Result<()> {
        let address = self.config.admin_listen;
        let listener = TcpListener::bind(address).await.with_context(|| format!("the admin port {address}"))?;
        // Until we have left, not only until the stop: the drain is worth watching.
        let (name, ready, left) = (self.name, self.ready.clone(), self.left.clone());
        tracing::info!(service = name, address = %listener.local_addr()?, "admin port");
        tokio::spawn(async move {
            if let Err(error) = admin::serve(name, listener, ready, db, left).await {
                tracing::error!(service = name, %error, "the admin port failed");
            }
        });
        Ok(())
    }

    /// Waits for the background tasks to end. They have the same grace period as the requests, and a last second.
    pub async fn leave(&self) {
        self.tasks.close();
        let until = *self.stopped.get_or_init(Instant::now) + Duration::from_secs(self.config.grace_seconds + 1);
        if tokio::time::timeout_at(until.into(), self.tasks.wait()).await.is_err() {
            tracing::warn!(service = self.name, "background tasks did not end in time");
        }
        self.left.cancel();
    }
}

/// A service of the mesh with its database.
pub struct Service {
    pub mesh: Mesh,
    pub db: PgPool,
    pub config: config::Service,
}

impl Deref for Service {
    type Target = Mesh;

    fn deref(&self) -> &Mesh {
        &self.mesh
    }
}

impl Service {
    /// Joins the mesh, connects to the database and migrates it.
    pub async fn start(
        name: &'static str,
        config: &config::Service,
        migrator: &Migrator,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let db = db::connect(&config.database_url, config.database_pool, name).await?;
        db::migrate(&db, migrator).await?;
        let mesh = Mesh::join(name, &config.mesh, stop).await?;
        Ok(Self { mesh, db, config: config.clone() })
    }

    /// Applies events to this service until the stop, one at a time in the order of each key. Once per service: the
    /// service's name is what the broker and the inbox know the consumer by.
    pub fn consume(&self, consumer: impl Consumer) {
        match self.broker() {
            Ok(Some(broker)) => {
                let run = inbox::run(self.name, broker, self.db.clone(), Arc::new(consumer), self.stop.clone());
                self.mesh.tasks.spawn(run);
            }
            Ok(None) => tracing::warn!(service = self.name, "no broker configured; events are not consumed"),
            Err(error) => tracing::error!(service = self.name, %error, "the broker's URL"),
        }
    }

    /// Serves until the stop, then drains.
    pub async fn serve(self, routes: Routes) -> anyhow::Result<()> {
        let listener = match &self.config.listener {
            Some(bound) => {
                bound.set_nonblocking(true)?;
                TcpListener::from_std(bound.try_clone()?)?
            }
            None => {
                let address = self.config.listen;
                TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?
            }
        };
        let tls = self.mesh.tls.clone();
        tracing::info!(service = self.name, address = %listener.local_addr()?, mtls = tls.is_some(), "serving");
        self.serve_admin(Some(self.db.clone())).await?;
        if let Some(broker) = self.broker()? {
            self.mesh.tasks.spawn(outbox::relay(self.name, broker, self.db.clone(), self.stop.clone()));
        }
        let incoming = accept(listener, tls, self.stop.clone());
        self.serve_on(routes, incoming).await?;
        self.leave().await;
        // Waits for every connection in use, and a request that did not end in time may have one.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.db.close()).await;
        Ok(())
    }

    /// Serves connections from anywhere, until the stop.
    pub async fn serve_on(
        &self,
        routes: Routes,
        incoming: impl Stream<Item = std::io::Result<Conn>> + Send + 'static,
    ) -> anyhow::Result<()> {
        let methods = access::methods(routes.names.iter().copied())?;
        let config = &self.config;
        let linkerd = config.mesh.trust_linkerd.then(|| config.mesh.namespace.clone());
        let layers = Layers::new(self.name, methods, self.verifier.clone(), linkerd, config.max_requests);

        let (reporter, answering) = tonic_health::server::health_reporter();
        let health = Health::serving(reporter, &routes.names).await;
        let mut builder = routes.builder;
        builder.add_service(answering);
        if config.reflection {
            let reflection = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            };
            builder.add_service(reflection().build_v1()?);
            // Older clients know only this one.
            builder.add_service(reflection().build_v1alpha()?);
        }
        self.ready.set(true);

        let server = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            // A stream that waits costs little; requests that work are bounded by their places.
            .max_concurrent_streams(STREAMS)
            // HTTP/2 defends a server from a peer that cancels what it has just asked by closing the connection. Our peer
            // is the edge, and who cancels is one of its clients: the others' requests are on the same connection.
            .http2_max_pending_accept_reset_streams(Some(STREAMS as usize))
            .initial_stream_window_size(1 << 20)
            // No limit: if it were one, a few bodies that are not read would keep everybody else's away.
            .initial_connection_window_size(1 << 30)
            .layer(layers)
            .add_routes(builder.routes())
            .serve_with_incoming_shutdown(incoming, self.stop.clone().cancelled_owned());
        let drain = async {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = health.follow(self.name, &self.db) => {}
            }
            self.stopped.get_or_init(Instant::now);
            // Balancers look at readiness; new requests go elsewhere while those in flight end.
            self.ready.set(false);
            health.tell(tonic_health::ServingStatus::NotServing).await;
            tokio::time::sleep(Duration::from_secs(config.mesh.grace_seconds)).await;
        };
        tokio::select! {
            // First, so that the health is told before the last connection is gone.
            biased;
            () = drain => tracing::warn!(service = self.name, "some requests did not end in time"),
            served = server => served.context("the gRPC server")?,
        }
        self.ready.set(false);
        Ok(())
    }

    fn broker(&self) -> anyhow::Result<Option<Broker>> {
        let url = self.config.events_url.as_ref().or(self.config.mesh.redis_url.as_ref());
        url.map(|url| Broker::open(url)).transpose()
    }
}
