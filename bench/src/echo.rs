//! A tiny unary RPC three ways: by bare tonic, by `kit`'s server, and by REST in front of that. What the mesh adds to
//! gRPC shows here without any database.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use kit::net::Dial;
use kit::service::Mesh;
use kit::tls::Tls;
use kit::{Clock, Peer, Routes, Stop, telemetry};
use proto::auth::v1::key_service_client::KeyServiceClient;
use proto::auth::v1::key_service_server::{KeyService, KeyServiceServer};
use proto::auth::v1::{GetKeySetRequest, Key, KeySet};
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// The RPC: nothing in, some 60 bytes out, nothing looked up.
struct Echo;

#[tonic::async_trait]
impl KeyService for Echo {
    async fn get_key_set(&self, _: Request<GetKeySetRequest>) -> Result<Response<KeySet>, Status> {
        let key = Key { id: "2026-11".into(), x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into() };
        Ok(Response::new(KeySet { keys: vec![key] }))
    }
}

/// Bare tonic.
#[derive(clap::Args)]
pub(crate) struct Tonic {
    #[arg(long)]
    listen: SocketAddr,
}

impl Tonic {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        Ok(Server::builder().add_service(KeyServiceServer::new(Echo)).serve(self.listen).await?)
    }
}

/// The server every service has, with its layers.
#[derive(clap::Args)]
pub(crate) struct Kit {
    #[command(flatten)]
    service: kit::config::Service,
}

impl Kit {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        telemetry::init("echo")?;
        let config = self.service;
        let stop = Stop::new();
        let tls = tls(config.mesh.tls_ca.as_ref(), config.mesh.tls_cert.as_ref(), config.mesh.tls_key.as_ref())?;
        // Nobody is called: the name makes it the one service that asks no other for keys.
        let dial = |name: &str| Dial::Tcp { authority: name.into(), name: name.into(), tls: None };
        let mesh =
            Mesh::join_with("auth", &config.mesh, std::sync::Arc::new(dial), Clock::system(), stop.clone()).await?;
        let db = PgPoolOptions::new().connect_lazy(&config.database_url)?;
        let listener = TcpListener::bind(config.listen).await?;
        let kit = kit::Service { mesh, db, config };
        let incoming = kit::net::accept(listener, tls, stop);
        kit.serve_on(Routes::default().add(KeyServiceServer::new(Echo)), incoming).await
    }
}

/// REST in front: a route, a client, JSON.
#[derive(clap::Args)]
pub(crate) struct Front {
    #[arg(long)]
    listen: SocketAddr,
    /// Host and port of the service.
    #[arg(long)]
    peer: String,
    #[arg(long)]
    tls_ca: Option<PathBuf>,
    #[arg(long)]
    tls_cert: Option<PathBuf>,
    #[arg(long)]
    tls_key: Option<PathBuf>,
}

impl Front {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        telemetry::init("front")?;
        let tls = tls(self.tls_ca.as_ref(), self.tls_cert.as_ref(), self.tls_key.as_ref())?;
        let peer = Peer::new("auth", Dial::Tcp { authority: self.peer.into(), name: "auth".into(), tls });
        let app = Router::new().route("/echo", get(echo)).with_state(KeyServiceClient::new(peer));
        let listener = TcpListener::bind(self.listen).await?;
        Ok(axum::serve(axum::serve::ListenerExt::tap_io(listener, |tcp| drop(tcp.set_nodelay(true))), app).await?)
    }
}

#[derive(serde::Serialize)]
struct Answer {
    id: String,
    x: String,
}

async fn echo(State(mut client): State<KeyServiceClient<Peer>>) -> Result<Json<Vec<Answer>>, (StatusCode, String)> {
    let failed = |status: Status| (StatusCode::BAD_GATEWAY, status.to_string());
    let set = client.get_key_set(GetKeySetRequest {}).await.map_err(failed)?.into_inner();
    Ok(Json(set.keys.into_iter().map(|key| Answer { id: key.id, x: key.x }).collect()))
}

fn tls(ca: Option<&PathBuf>, cert: Option<&PathBuf>, key: Option<&PathBuf>) -> anyhow::Result<Option<Tls>> {
    let Some(ca) = ca else { return Ok(None) };
    let (cert, key) = cert.zip(key).context("a CA needs a certificate and a key")?;
    Ok(Some(Tls::load(ca, cert, key)?))
}
