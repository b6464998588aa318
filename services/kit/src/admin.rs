//! The admin port: is it alive, is it ready, how is it doing. Never reachable from outside.
//!
//! Orchestrators decide by it, so neither answer depends on what all replicas share. A restart brings no database back,
//! and were every replica taken out of the balancer while it is away, callers would find nobody instead of being told
//! what is wrong, and what needs no database would be away too. The gRPC health says whether the database answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::Stop;

/// Whether requests should come here. Set when the server listens, taken back when the drain begins.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    pub fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Serves the admin port until `stop`.
pub(crate) async fn serve(
    service: &'static str,
    listener: TcpListener,
    ready: Ready,
    db: Option<PgPool>,
    stop: Stop,
) -> std::io::Result<()> {
    let metrics = move || async move {
        if let Some(pool) = &db {
            let idle = pool.num_idle();
            metrics::gauge!("database_connections", "service" => service, "state" => "idle").set(idle as f64);
            let busy = (pool.size() as usize).saturating_sub(idle);
            metrics::gauge!("database_connections", "service" => service, "state" => "busy").set(busy as f64);
        }
        crate::telemetry::metrics()
    };
    let readyz = move || async move {
        match ready.get() {
            true => (StatusCode::OK, "ready\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n"),
        }
    };
    let router = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}
