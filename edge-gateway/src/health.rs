//! How the services are, asked by the standard gRPC health protocol, all at once and not more than every few seconds.

use std::time::Duration;

use futures_util::future::join_all;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::Edge;

const PATIENCE: Duration = Duration::from_secs(2);
pub const FRESH: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Healthy,
    /// It answers, but does not serve.
    Unhealthy,
    /// It does not answer.
    Down,
}

/// Every service and its state.
pub async fn services(edge: &Edge) -> Vec<(&'static str, State)> {
    // One asks, all who come meanwhile get the same answer.
    edge.health.get_with((), ask(edge)).await
}

async fn ask(edge: &Edge) -> Vec<(&'static str, State)> {
    let probes = edge.peers().map(|(name, peer)| async move {
        let mut client = HealthClient::new(peer.clone());
        let asked = client.check(HealthCheckRequest::default());
        let state = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => State::Healthy,
            Ok(Ok(_)) => State::Unhealthy,
            Ok(Err(status)) if status.code() == Code::NotFound => State::Unhealthy,
            _ => State::Down,
        };
        (*name, state)
    });
    join_all(probes).await
}

/// Whether Redis answers; without one configured there is nothing that could fail.
pub async fn redis(edge: &Edge) -> bool {
    let Some(mut redis) = edge.redis.clone() else { return true };
    let ping = async move { redis::cmd("PING").query_async::<String>(&mut redis).await.is_ok() };
    tokio::time::timeout(PATIENCE, ping).await.unwrap_or(false)
}
