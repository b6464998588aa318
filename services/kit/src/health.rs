//! What the gRPC health of a service says: whether it serves, and whether its database answers, without which it can do
//! little. Redis and the broker are not asked, for without them services go on.
//!
//! Those who read it want to know how the platform is: the edge's `/health` and `/health/detailed/`, `plaza doctor`,
//! monitors. Nobody decides by it where requests go; see [`crate::admin`] for that.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How often the database is asked.
const PERIOD: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many times in a row it must fail before others are told: one connection may break for many reasons.
const FAILURES: u32 = 2;

/// The health of one process.
pub(crate) struct Health {
    reporter: HealthReporter,
    /// The gRPC services, and the whole, which has no name.
    names: Vec<&'static str>,
}

impl Health {
    /// Everything serves.
    pub(crate) async fn serving(reporter: HealthReporter, services: &[&'static str]) -> Self {
        let health = Self { reporter, names: [services, &[""]].concat() };
        health.tell(ServingStatus::Serving).await;
        health
    }

    pub(crate) async fn tell(&self, status: ServingStatus) {
        for name in &self.names {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Tells when the database stops answering, and when it answers again. Goes on until it is dropped.
    pub(crate) async fn follow(&self, service: &'static str, db: &PgPool) {
        let options = db.connect_options();
        let (mut connection, mut pulse) = (None, Pulse::default());
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let answer = timeout(PATIENCE, ping(&mut connection, &options)).await;
            let error = match answer {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {PATIENCE:?}")),
            };
            let Some(well) = pulse.beat(error.is_none()) else { continue };
            match error {
                None => tracing::info!(service, "the database answers again"),
                Some(error) => tracing::error!(service, %error, "the database does not answer"),
            }
            self.tell(if well { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
        }
    }
}

/// Asks on a connection of its own: those of the pool may all be at work, which says nothing about the database. One
/// that fails, or is given up while it waits, is not used again.
async fn ping(connection: &mut Option<PgConnection>, options: &PgConnectOptions) -> sqlx::Result<()> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => PgConnection::connect_with(options).await?,
    };
    open.ping().await?;
    *connection = Some(open);
    Ok(())
}

/// Whether the database counts as well, as answers come and fail to come.
#[derive(Default)]
struct Pulse {
    failures: u32,
}

impl Pulse {
    /// After one more question: whether it is well now, if that is new.
    fn beat(&mut self, answered: bool) -> Option<bool> {
        let before = self.failures;
        self.failures = if answered { 0 } else { before.saturating_add(1) };
        let (was, is) = (before < FAILURES, self.failures < FAILURES);
        (was != is).then_some(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_in_a_row_are_told_once_and_one_answer_ends_them() {
        let mut pulse = Pulse::default();
        for (answered, told) in [
            (true, None),
            (false, None),
            (true, None),
            (false, None),
            (false, Some(false)),
            (false, None),
            (true, Some(true)),
            (true, None),
            (false, None),
        ] {
            assert_eq!(pulse.beat(answered), told);
        }
    }
}
