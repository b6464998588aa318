//! One service under test, alone with stand-ins for its peers.

use std::convert::Infallible;
use std::sync::Arc;

use chrono::{TimeZone, Utc};
use clap::Parser;
use http::Request;
use kit::{Clock, Peer, Routes, Service, Stop, config};
use proto::access::v1::Role;
use sqlx::migrate::Migrator;
use tonic::body::Body;
use tonic::server::NamedService;
use uuid::Uuid;

use crate::{Database, Network, Signer, token_claims};

/// A service with a database of its own, a clock that stands still and a mesh in memory.
pub struct Harness {
    /// What the service under test is built from.
    pub service: Arc<Service>,
    pub clock: Clock,
    pub network: Network,
    pub signer: Signer,
    name: &'static str,
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    service: config::Service,
}

impl Harness {
    /// A harness for the service `name`; Redis is away.
    pub async fn new(name: &'static str, migrator: &Migrator) -> Self {
        Self::build(name, migrator, None).await
    }

    /// A harness whose mesh has this Redis for revocations and events.
    pub async fn with_redis(name: &'static str, migrator: &Migrator, redis_url: &str) -> Self {
        Self::build(name, migrator, Some(redis_url)).await
    }

    async fn build(name: &'static str, migrator: &Migrator, redis_url: Option<&str>) -> Self {
        let database = Database::fresh(name, migrator).await;
        let secret = "a secret of tests and nothing else";
        let args = [name, "--secret", secret, "--database-url", &database.url, "--database-pool", "16"];
        let mut config = Settings::parse_from(args).service;
        // Whatever the developer's environment says.
        config.mesh.redis_url = redis_url.map(str::to_owned);
        let network = Network::default();
        let clock = Clock::fixed(Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).single().expect("a date"));
        let db = kit::db::connect(&database.url, config.database_pool, name).await.expect("the database answers");
        let mesh = kit::service::Mesh::join_with(name, &config.mesh, network.dialler(name), clock.clone(), Stop::new())
            .await
            .expect("the mesh is joined");
        let signer = Signer::generate();
        signer.trust(mesh.verifier.keys());
        Self { service: Arc::new(Service { mesh, db, config }), clock, network, signer, name }
    }

    /// Serves the routes with all layers; the answer calls them as nobody.
    pub fn serve(&self, routes: Routes) -> Peer {
        let (service, incoming) = (self.service.clone(), self.network.listen(self.name));
        tokio::spawn(async move { service.serve_on(routes, incoming).await.expect("the server runs") });
        Peer::new(self.name, self.network.stranger(self.name))
    }

    /// Serves a stand-in for a peer.
    pub fn stub<S>(&self, name: &str, server: S)
    where
        S: tonic::codegen::Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.network.stub(name, server);
    }

    /// Calls the service as a signed-in person.
    pub fn as_user(&self, id: Uuid, number: i64, roles: &[Role]) -> Peer {
        let claims = token_claims(id, number, roles, self.clock.now().timestamp());
        self.with_token(&self.signer.sign(&claims))
    }

    /// Calls the service with any token.
    pub fn with_token(&self, token: &str) -> Peer {
        Peer::with_token(self.name, self.network.stranger(self.name), token)
    }

    /// Calls the service as another service.
    pub fn as_peer(&self, name: &str) -> Peer {
        Peer::new(self.name, self.network.dialler(name)(self.name))
    }
}
