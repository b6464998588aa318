//! Events enter by the inbox: the event's id is noted in the transaction of its effect, so a repeat has none. One
//! replica reads at a time, which keeps each key's order; an event that keeps failing is parked, counted, and shown by
//! `plaza events`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use proto::Event;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use tonic::Code;
use uuid::Uuid;

use crate::Stop;
use crate::broker::{Broker, Message};
use crate::context::{self, Context};
use crate::error::{Error, Result, internal, unavailable};

const ATTEMPTS: u32 = 6;

/// What a service does about events.
#[tonic::async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// The topics it reads.
    fn topics(&self) -> &'static [&'static str];

    /// The event's effect, through `tx`, which is committed afterwards together with the event's id. An error is tried
    /// again a few times with pauses, then the event is parked.
    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> Result<()>;
}

/// An event as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub id: Uuid,
    pub topic: String,
    /// `user.created`.
    pub kind: String,
    pub key: String,
    pub data: Value,
    pub correlation_id: Option<String>,
    pub traceparent: Option<String>,
}

impl Received {
    /// The payload, or `None` when this is another type of event.
    pub fn parse<E: Event>(&self) -> Result<Option<E>> {
        if self.kind != E::TYPE {
            return Ok(None);
        }
        serde_json::from_value(self.data.clone()).map(Some).map_err(internal)
    }

    /// Reads a message from the broker.
    pub fn read(message: &Message) -> Result<Self> {
        let mut body: Value = serde_json::from_str(&message.body).map_err(internal)?;
        let text = |body: &Value, name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            id: message.id,
            topic: message.topic.clone(),
            kind: message.kind.clone(),
            key: message.key.clone(),
            correlation_id: text(&body, "correlation_id"),
            traceparent: text(&body, "traceparent"),
            data: body.get_mut("data").map(Value::take).unwrap_or_default(),
        })
    }
}

/// Consumes until the stop.
pub async fn run(service: &'static str, broker: Broker, db: PgPool, consumer: Arc<dyn Consumer>, stop: Stop) {
    while !stop.is_cancelled() {
        tokio::select! {
            ended = lead(service, &broker, &db, &*consumer, &stop) => {
                if let Err(error) = ended {
                    tracing::warn!(service, error = format!("{error:#}"), "consuming events starts anew");
                }
            }
            // Whatever is under way has its transaction rolled back and comes again.
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn lead(
    service: &'static str,
    broker: &Broker,
    db: &PgPool,
    consumer: &dyn Consumer,
    stop: &Stop,
) -> anyhow::Result<()> {
    // The lock lives as long as this connection.
    let mut leader = db.acquire().await?.detach();
    while !sqlx::query_scalar("select pg_try_advisory_lock(hashtext('inbox'))").fetch_one(&mut leader).await? {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut events = broker.subscribe(service, consumer.topics()).await?;
    if events.lost() > 0 {
        let lost = events.lost();
        tracing::error!(service, lost, "events went before they were read; `plaza events republish` brings them again");
    }
    let lag = metrics::gauge!("events_lag_seconds", "service" => service);
    while !stop.is_cancelled() {
        let some = events.next().await?;
        lag.set(some.first().map_or(0.0, |delivery| delivery.age().as_secs_f64()));
        for delivery in some {
            settle(service, db, consumer, &delivery.message).await?;
            events.settle(&delivery).await?;
        }
        // Notices when the connection, and the lock with it, is gone.
        sqlx::query("select 1").execute(&mut leader).await?;
    }
    Ok(())
}

/// Applies one event, or parks it; an error only while the database, or a peer that the consumer needs, is away.
async fn settle(service: &str, db: &PgPool, consumer: &dyn Consumer, message: &Message) -> Result<()> {
    let event = match Received::read(message) {
        Ok(event) => event,
        // It will not read better the next time.
        Err(error) => return park(service, db, message, &error, 1).await,
    };
    let mut attempt = 1;
    loop {
        // A consumer that panics fails like one that returns an error, and does not take us along.
        let outcome = AssertUnwindSafe(apply(service, db, consumer, &event)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(internal(anyhow::anyhow!("the consumer panicked"))));
        let Err(error) = outcome else { return Ok(()) };
        if error.code() == Code::Unavailable {
            return Err(error);
        }
        if attempt == ATTEMPTS {
            return park(service, db, message, &error, attempt).await;
        }
        tokio::time::sleep(Duration::from_millis(25 << attempt)).await;
        attempt += 1;
    }
}

/// Applies one event once: the effect and the note that it happened are one transaction.
pub async fn apply(service: &str, db: &PgPool, consumer: &dyn Consumer, event: &Received) -> Result<()> {
    // Whatever keeps us from beginning is the database's fault, not the event's.
    let mut tx =
        crate::db::begin(db).await.map_err(|_| unavailable("DATABASE_AWAY", "the database does not answer"))?;
    let noted = sqlx::query("insert into inbox (consumer, event_id) values ($1, $2) on conflict do nothing")
        .bind(service)
        .bind(event.id)
        .execute(&mut *tx)
        .await?;
    if noted.rows_affected() == 0 {
        return Ok(());
    }
    let mut context = Context { traceparent: event.traceparent.as_deref().map(Into::into), ..Context::default() };
    if let Some(correlation_id) = &event.correlation_id {
        context.correlation_id = correlation_id.as_str().into();
    }
    context::scope(context, consumer.consume(&mut tx, event)).await?;
    tx.commit().await?;
    metrics::counter!("events_consumed_total", "service" => service.to_owned(), "type" => event.kind.clone())
        .increment(1);
    Ok(())
}

async fn park(service: &str, db: &PgPool, message: &Message, error: &Error, attempts: u32) -> Result<()> {
    tracing::error!(service, event.id = %message.id, event.kind = message.kind, %error, "event parked");
    // PostgreSQL takes no NUL, not even escaped, and what cannot be parked would stop everything behind it.
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    let body = clean(&message.body).replace("\\u0000", "\\ufffd");
    let body: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
    sqlx::query(
        "insert into parked_events (consumer, event_id, topic, type, key, body, error, attempts)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict on constraint parked_events_once do update set error = excluded.error, parked_at = now()",
    )
    .bind(service)
    .bind(message.id)
    .bind(&message.topic)
    .bind(clean(&message.kind))
    .bind(clean(&message.key))
    .bind(body)
    .bind(clean(&error.to_string()))
    .bind(attempts as i32)
    .execute(db)
    .await?;
    metrics::counter!("events_parked_total", "service" => service.to_owned()).increment(1);
    Ok(())
}
