//! Events leave by the outbox: a row in the transaction that made them true, published afterwards by one relay per
//! database. At least once, in order per key, also over crashes. (The SQL here is not checked at build time because
//! these tables live in every service's database, and kit has none of its own.)

use std::time::{Duration, Instant};

use proto::Event;
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use uuid::Uuid;

use crate::Stop;
use crate::broker::{Broker, Message};
use crate::context;
use crate::error::{Result, internal};

const BATCH: i64 = 500;
/// Between two looks of a relay that is awake. What commits meanwhile leaves together.
const PAUSE: Duration = Duration::from_millis(20);
/// Looks that found nothing, until it sleeps.
const LOOKS: u32 = 25;
/// A relay that sleeps looks as often, should a notification be lost.
const NAP: Duration = Duration::from_secs(1);
/// Between two times of forgetting what is old.
const FORGET: Duration = Duration::from_secs(600);

/// Published rows stay this long, for `plaza events republish`.
const KEEP: &str = "7 days";
/// Rows that are forgotten in one statement, which must not take longer than a statement may.
const FORGOTTEN: i64 = 10_000;

/// An event on its way into the outbox.
pub struct Queued {
    id: Uuid,
    topic: &'static str,
    kind: &'static str,
    key: String,
    body: Value,
}

impl Queued {
    /// As a consequence of the request that this is called in.
    pub fn new<E: Event>(key: &str, event: &E) -> Result<Self> {
        let id = Uuid::now_v7();
        Ok(Self { id, topic: E::TOPIC, kind: E::TYPE, key: key.to_owned(), body: envelope(id, event)? })
    }
}

/// Queues an event in the caller's transaction. Events of one key are published in the order of their commits, for
/// which this holds a lock on the key until then; so take the locks of your rows first, and publish last.
pub async fn publish<E: Event>(tx: &mut PgConnection, key: &str, event: &E) -> Result<()> {
    publish_all(tx, &[Queued::new(key, event)?]).await
}

/// The same of several events, in their order. Their keys are locked in an order of their own, so that two who publish
/// the same ones do not wait for each other.
pub async fn publish_all(tx: &mut PgConnection, events: &[Queued]) -> Result<()> {
    sqlx::query(
        "with keys as (select distinct key from unnest($4::text[]) as k (key) order by key),
         key_locks as materialized (select pg_advisory_xact_lock(hashtextextended(key, 77)) from keys)
         insert into outbox (id, topic, type, key, body)
         select e.id, e.topic, e.type, e.key, e.body
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::jsonb[])
             with ordinality as e (id, topic, type, key, body, place)
         where (select count(*) from key_locks) > 0
         order by e.place",
    )
    .bind(events.iter().map(|event| event.id).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.topic).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.kind).collect::<Vec<_>>())
    .bind(events.iter().map(|event| &*event.key).collect::<Vec<_>>())
    .bind(events.iter().map(|event| &event.body).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// What goes over the wire: Agrovet's `{type, timestamp, data}`, with what the other design and tracing need beside it.
fn envelope<E: Event>(id: Uuid, event: &E) -> Result<Value> {
    let context = context::current();
    Ok(json!({
        "type": E::TYPE,
        "timestamp": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "data": serde_json::to_value(event).map_err(internal)?,
        "event_id": id,
        "name": if E::NAME.is_empty() { Value::Null } else { E::NAME.into() },
        "version": 1,
        "source_service": E::SOURCE,
        "correlation_id": &*context.correlation_id,
        "traceparent": context.traceparent.as_deref(),
    }))
}

/// Publishes what is in the outbox until the stop. Any number of replicas may run it: one works, the others stand by.
pub async fn relay(service: &'static str, broker: Broker, db: PgPool, stop: Stop) {
    loop {
        match lead(service, &broker, &db, &stop).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(service, error = format!("{error:#}"), "the outbox relay starts anew"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn lead(service: &'static str, broker: &Broker, db: &PgPool, stop: &Stop) -> anyhow::Result<()> {
    // The lock lives as long as this connection, so it is free again whatever becomes of us.
    let mut leader = db.acquire().await?.detach();
    while !sqlx::query_scalar("select pg_try_advisory_lock(hashtext('outbox relay'))").fetch_one(&mut leader).await? {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    // Marks that a crash takes along are set again, like those of any event that was published and not marked.
    leader.execute("set synchronous_commit = off").await?;
    let mut wake = PgListener::connect_with(db).await?;
    wake.listen("outbox").await?;
    // Also while the broker is away, which is when it counts.
    measure(service, &mut leader).await?;
    let mut publisher = broker.publisher().await?;
    let (mut idle, mut told_asleep, mut forgot) = (0u32, None, None::<Instant>);
    loop {
        let mut found = false;
        loop {
            let flushed = flush(service, &mut leader, &mut publisher).await?;
            found |= flushed > 0;
            if flushed < BATCH as usize || stop.is_cancelled() {
                break;
            }
        }
        if stop.is_cancelled() {
            leader.close().await?;
            return Ok(());
        }
        if forgot.is_none_or(|at| at.elapsed() >= FORGET) {
            // Whatever keeps it from doing so, and however much it is, what is new is published.
            match forget(&mut leader).await {
                Ok(true) => forgot = Some(Instant::now()),
                Ok(false) => found = true,
                Err(error) => {
                    tracing::warn!(service, %error, "old events are not forgotten");
                    forgot = Some(Instant::now());
                }
            }
        }
        idle = if found { 0 } else { idle.saturating_add(1) };
        let asleep = idle >= LOOKS;
        let tells = told_asleep != Some(asleep);
        if tells {
            sqlx::query("update outbox_relay set asleep = $1").bind(asleep).execute(&mut leader).await?;
            told_asleep = Some(asleep);
        }
        // Who has just said that it sleeps looks once more, for those who could not know it before they committed.
        if !asleep || tells {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.cancelled() => {}
            }
            continue;
        }
        tokio::select! {
            woken = wake.recv() => {
                woken?;
                while wake.next_buffered().is_some() {}
                idle = 0;
            }
            () = tokio::time::sleep(NAP) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Publishes the oldest unpublished rows; how many there were. A crash between publishing and marking repeats them,
/// and consumers know them by their ids.
pub async fn flush(
    service: &str,
    db: &mut PgConnection,
    publisher: &mut crate::broker::Publisher,
) -> anyhow::Result<usize> {
    let rows: Vec<(i64, Uuid, String, String, String, Value, f64)> = sqlx::query_as(
        "select position, id, topic, type, key, body, extract(epoch from now() - created_at)::float8
         from outbox where published_at is null order by position limit $1",
    )
    .bind(BATCH)
    .fetch_all(&mut *db)
    .await?;
    let lag = rows.first().map_or(0.0, |row| row.6);
    metrics::gauge!("outbox_lag_seconds", "service" => service.to_owned()).set(lag);
    if rows.is_empty() {
        return Ok(0);
    }
    let positions: Vec<_> = rows.iter().map(|row| row.0).collect();
    let messages: Vec<_> = rows
        .into_iter()
        .map(|(_, id, topic, kind, key, body, _)| Message { id, topic, kind, key, body: body.to_string() })
        .collect();
    publisher.publish(&messages).await?;
    sqlx::query("update outbox set published_at = now() where position = any($1)").bind(&positions).execute(db).await?;
    metrics::counter!("outbox_published_total", "service" => service.to_owned()).increment(positions.len() as u64);
    Ok(positions.len())
}

async fn measure(service: &str, db: &mut PgConnection) -> anyhow::Result<()> {
    let lag: Option<f64> = sqlx::query_scalar(
        "select extract(epoch from now() - created_at)::float8
         from outbox where published_at is null order by position limit 1",
    )
    .fetch_optional(db)
    .await?;
    metrics::gauge!("outbox_lag_seconds", "service" => service.to_owned()).set(lag.unwrap_or_default());
    Ok(())
}

/// Forgets some of what is old; whether that was all of it.
async fn forget(db: &mut PgConnection) -> sqlx::Result<bool> {
    let published = "delete from outbox where position in
         (select position from outbox where published_at < now() - $1::interval order by published_at limit $2)";
    let published = sqlx::query(published).bind(KEEP).bind(FORGOTTEN).execute(&mut *db).await?.rows_affected();
    // As long as the broker could still repeat an event, its id is remembered.
    let handled = "delete from inbox where (consumer, event_id) in
         (select consumer, event_id from inbox where handled_at < now() - interval '30 days' order by handled_at limit $1)";
    let handled = sqlx::query(handled).bind(FORGOTTEN).execute(&mut *db).await?.rows_affected();
    Ok(published.max(handled) < FORGOTTEN as u64)
}
