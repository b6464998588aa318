//! `plaza events`: what could not be applied is listed, shown, tried again or given up; what the broker lost is published
//! once more; and events as they pass.
//!
//! A service parks an event in its own database when the last retry failed. Replaying publishes the event to its topic
//! once more and forgets the parked row: the service that could not apply it tries again, and everybody who did apply
//! it knows its id and does nothing.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use kit::broker::{Broker, Message, STREAM};
use redis::streams::{StreamRangeReply, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use url::Url;
use uuid::Uuid;

use crate::installation::{Place, expect_running};
use crate::postgres;
use crate::report::print;
use crate::services::SERVICES;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,

    /// The server with the services' databases, when it is not that of `plaza up` on this machine.
    #[arg(long, value_name = "URL", global = true, requires = "events_url")]
    database_url: Option<String>,

    /// The broker of events, when it is not that of `plaza up` on this machine.
    #[arg(long, value_name = "URL", global = true, requires = "database_url")]
    events_url: Option<String>,

    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Events that services could not apply, newest first, and how many wait to be published.
    List {
        /// Only those of this service.
        #[arg(long)]
        service: Option<String>,
    },
    /// One parked event with its error and its whole content.
    Show { event: Uuid },
    /// Let the service try again, and say whether it could.
    Replay {
        /// Ids of parked events.
        #[arg(required_unless_present = "all")]
        events: Vec<Uuid>,
        /// Every parked event, oldest first.
        #[arg(long, conflicts_with = "events")]
        all: bool,
        /// Only for this service.
        #[arg(long)]
        service: Option<String>,
        /// Also events so old that services may have forgotten having applied them.
        #[arg(long)]
        force: bool,
    },
    /// Give parked events up; they are not applied, ever.
    Drop {
        #[arg(required = true)]
        events: Vec<Uuid>,
        /// Only for this service.
        #[arg(long)]
        service: Option<String>,
    },
    /// Publish once more what was published since a time, when the broker has lost events. Who applied one knows it by its
    /// id and does nothing; who did not applies it after newer ones. Services keep what they published for a week.
    Republish {
        /// Such as 2026-01-31T09:00:00Z.
        #[arg(long, value_name = "TIME")]
        since: DateTime<Utc>,
        /// Only what this service published.
        #[arg(long)]
        service: Option<String>,
    },
    /// Print events as they pass, until Ctrl-C.
    Tail {
        /// Only these topics, such as user.events.
        #[arg(long)]
        topic: Vec<String>,
        /// Begin with so many that passed already.
        #[arg(long, default_value_t = 0)]
        last: usize,
    },
}

/// Services remember for 30 days which events they applied; a day of it is left for clocks and pauses.
const REMEMBERED: TimeDelta = TimeDelta::days(29);

/// `plaza events`.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let (server, broker) = match (options.database_url, options.events_url) {
        (Some(server), Some(broker)) => (server, broker),
        _ => {
            let running = expect_running(&options.place)?;
            (running.database_url, running.redis_url)
        }
    };
    match options.action {
        Action::List { service } => list(&server, service.as_deref()).await,
        Action::Show { event } => show(&server, event).await,
        Action::Replay { events, all: _, service, force } => {
            replay(&server, &broker, &events, service.as_deref(), force).await
        }
        Action::Drop { events, service } => give_up(&server, &events, service.as_deref()).await,
        Action::Republish { since, service } => republish(&server, since, service.as_deref()).await,
        Action::Tail { topic, last } => tail(&broker, topic, last).await.map(|()| ExitCode::SUCCESS),
    }
}

#[derive(sqlx::FromRow)]
struct Parked {
    consumer: String,
    event_id: Uuid,
    topic: String,
    r#type: String,
    key: String,
    body: Value,
    error: String,
    attempts: i32,
    parked_at: DateTime<Utc>,
}

/// The databases of all services, or of one.
async fn databases(server: &str, only: Option<&str>) -> anyhow::Result<Vec<(&'static str, PgConnection)>> {
    if let Some(unknown) = only.filter(|name| SERVICES.iter().all(|service| service.name != *name)) {
        let known: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
        bail!("there is no service `{unknown}`; there are {}", known.join(", "));
    }
    let mut url = Url::parse(server).context("the URL of the databases")?;
    let mut found = Vec::new();
    for service in SERVICES.iter().filter(|service| only.is_none_or(|only| only == service.name)) {
        url.set_path(&postgres::database(service.name));
        let connection = PgConnection::connect(url.as_str()).await;
        found.push((service.name, connection.with_context(|| format!("the database of {}", service.name))?));
    }
    Ok(found)
}

async fn list(server: &str, only: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut parked = Vec::new();
    let mut summary = Vec::new();
    for (name, mut database) in databases(server, only).await? {
        let rows = list_parked(&mut database).await?;
        let waiting: i64 = sqlx::query_scalar("select count(*) from outbox where published_at is null")
            .fetch_one(&mut database)
            .await?;
        summary.push(format!("{name}: {} parked, {waiting} waiting to be published", rows.len()));
        parked.extend(rows);
    }
    parked.sort_by_key(|event| std::cmp::Reverse(event.parked_at));
    for event in &parked {
        let at = event.parked_at.format("%F %T");
        print(format_args!("{at}  {:<14}{}  {:<22}{}", event.consumer, event.event_id, event.r#type, event.error));
    }
    if !parked.is_empty() {
        print("");
    }
    print(summary.join("\n"));
    Ok(ExitCode::SUCCESS)
}

async fn show(server: &str, event: Uuid) -> anyhow::Result<ExitCode> {
    let parked = find(server, &[event], None).await?;
    for (_, event) in parked {
        print(format_args!("event      {} ({})", event.event_id, event.r#type));
        print(format_args!("topic      {}, key {}", event.topic, event.key));
        print(format_args!("parked by  {} at {}", event.consumer, event.parked_at.format("%F %T UTC")));
        print(format_args!("error      {} ({} attempts)", event.error, event.attempts));
        print(format_args!("{}\n", serde_json::to_string_pretty(&event.body)?));
    }
    Ok(ExitCode::SUCCESS)
}

/// The parked rows of these events, oldest first; of all when none is named. It is an error if one is not parked.
async fn find(server: &str, events: &[Uuid], only: Option<&str>) -> anyhow::Result<Vec<(&'static str, Parked)>> {
    let mut found = Vec::new();
    for (name, mut database) in databases(server, only).await? {
        let rows = list_parked(&mut database).await?.into_iter();
        found.extend(rows.filter(|row| events.is_empty() || events.contains(&row.event_id)).map(|row| (name, row)));
    }
    if let Some(missing) = events.iter().find(|event| found.iter().all(|(_, row)| row.event_id != **event)) {
        bail!("no event {missing} is parked; `plaza events list` shows those that are");
    }
    found.sort_by_key(|(_, row)| row.parked_at);
    Ok(found)
}

async fn replay(
    server: &str,
    broker: &str,
    events: &[Uuid],
    only: Option<&str>,
    force: bool,
) -> anyhow::Result<ExitCode> {
    let parked = find(server, events, only).await?;
    if parked.is_empty() {
        print("nothing is parked");
        return Ok(ExitCode::SUCCESS);
    }
    let mut publisher = Broker::open(broker)?.publisher().await.context("the broker")?;
    let mut failures = 0;
    for (service, event) in parked {
        let label = format!("{} {} for {}", event.r#type, event.event_id, event.consumer);
        if event.parked_at < Utc::now() - REMEMBERED && !force {
            print(format_args!(
                "{label}: left alone. It is so old that others may apply it twice; --force does it all the same"
            ));
            failures += 1;
            continue;
        }
        let (_, mut database) = databases(server, Some(service)).await?.remove(0);
        // Published before the row is gone for good: a crash in between leaves it parked, and once more is harmless.
        let mut tx = database.begin().await?;
        if delete_parked(&mut tx, &event).await? == 0 {
            print(format_args!("{label}: somebody else did it just now"));
            continue;
        }
        publisher.publish(&[message(&event)]).await.context("publishing")?;
        tx.commit().await?;
        match settled(&mut database, &event).await? {
            Some(None) => print(format_args!("{label}: applied")),
            Some(Some(error)) => {
                print(format_args!("{label}: failed again and is parked: {error}"));
                failures += 1;
            }
            None => {
                print(format_args!("{label}: published, but not taken within ten seconds. Does the service run?"));
                failures += 1;
            }
        }
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn message(event: &Parked) -> Message {
    // What was no JSON was parked as a text.
    let body = match &event.body {
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    let (topic, kind, key) = (event.topic.clone(), event.r#type.clone(), event.key.clone());
    Message { id: event.event_id, topic, kind, key, body }
}

/// What became of a replayed event: applied, parked again with its error, or neither yet.
async fn settled(database: &mut PgConnection, event: &Parked) -> anyhow::Result<Option<Option<String>>> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let parked: Option<String> =
            sqlx::query_scalar("select error from parked_events where consumer = $1 and event_id = $2")
                .bind(&event.consumer)
                .bind(event.event_id)
                .fetch_optional(&mut *database)
                .await?;
        let applied: bool =
            sqlx::query_scalar("select exists (select from inbox where consumer = $1 and event_id = $2)")
                .bind(&event.consumer)
                .bind(event.event_id)
                .fetch_one(&mut *database)
                .await?;
        if parked.is_some() || applied {
            return Ok(Some(parked));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(None)
}

async fn give_up(server: &str, events: &[Uuid], only: Option<&str>) -> anyhow::Result<ExitCode> {
    for (service, event) in find(server, events, only).await? {
        let (_, mut database) = databases(server, Some(service)).await?.remove(0);
        delete_parked(&mut database, &event).await?;
        print(format_args!("{} {} for {}: dropped", event.r#type, event.event_id, event.consumer));
    }
    Ok(ExitCode::SUCCESS)
}

/// Events of a service that may leave at once: half of what the broker keeps. More would push each other, and what is new,
/// out of it before anybody has read them.
const MOST_AT_ONCE: i64 = 500_000;

/// Marks them as not published, for the services' relays to find.
async fn republish(server: &str, since: DateTime<Utc>, only: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut outcome = ExitCode::SUCCESS;
    for (service, mut database) in databases(server, only).await? {
        let count = "select count(*) from outbox where published_at >= $1 or published_at is null";
        let count: i64 = sqlx::query_scalar(count).bind(since).fetch_one(&mut database).await?;
        if count > MOST_AT_ONCE {
            print(format_args!("{service}: none of {count}, which are too many at once; name a later time"));
            outcome = ExitCode::FAILURE;
            continue;
        }
        let marked = sqlx::query("update outbox set published_at = null where published_at >= $1").bind(since);
        let marked = marked.execute(&mut database).await?.rows_affected();
        print(format_args!("{service}: {marked} to be published once more"));
    }
    Ok(outcome)
}

async fn list_parked(database: &mut PgConnection) -> sqlx::Result<Vec<Parked>> {
    sqlx::query_as(
        "select consumer, event_id, topic, type, key, body, error, attempts, parked_at
         from parked_events order by parked_at",
    )
    .fetch_all(database)
    .await
}

async fn delete_parked(database: &mut PgConnection, event: &Parked) -> sqlx::Result<u64> {
    let deleted = sqlx::query("delete from parked_events where consumer = $1 and event_id = $2")
        .bind(&event.consumer)
        .bind(event.event_id)
        .execute(database)
        .await?;
    Ok(deleted.rows_affected())
}

async fn tail(broker: &str, topics: Vec<String>, last: usize) -> anyhow::Result<()> {
    if !broker.starts_with("redis") {
        bail!("only events in Redis can be watched here; use the tools of your broker");
    }
    let client = redis::Client::open(broker).context("the broker's URL")?;
    let patience = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut redis = client.get_multiplexed_async_connection_with_config(&patience).await.context("the broker")?;
    let streams: Vec<String> = if topics.is_empty() {
        redis.keys(format!("{STREAM}*")).await?
    } else {
        topics.iter().map(|topic| format!("{STREAM}{topic}")).collect()
    };
    if streams.is_empty() {
        bail!("no event was ever published here");
    }
    let mut positions = Vec::new();
    let mut passed = Vec::new();
    for stream in &streams {
        let newest: StreamRangeReply = redis.xrevrange_count(stream, "+", "-", last.max(1)).await?;
        positions.push(newest.ids.first().map_or_else(|| "0".to_owned(), |entry| entry.id.clone()));
        passed.extend(newest.ids.into_iter().take(last).map(|entry| (entry.id.clone(), stream.clone(), entry)));
    }
    passed.sort_by(|left, right| left.0.cmp(&right.0));
    let skipped = passed.len().saturating_sub(last);
    passed.iter().skip(skipped).for_each(|(_, stream, entry)| print_entry(stream, entry));

    let options = StreamReadOptions::default().block(0);
    loop {
        let reply: Option<StreamReadReply> = tokio::select! {
            reply = redis.xread_options(&streams, &positions, &options) => reply?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        for key in reply.into_iter().flat_map(|reply| reply.keys) {
            for entry in &key.ids {
                print_entry(&key.key, entry);
                if let Some(index) = streams.iter().position(|stream| *stream == key.key) {
                    positions[index].clone_from(&entry.id);
                }
            }
        }
    }
}

fn print_entry(stream: &str, entry: &redis::streams::StreamId) {
    let text = |name: &str| entry.get::<String>(name).unwrap_or_default();
    let millis = entry.id.split('-').next().and_then(|millis| millis.parse().ok()).unwrap_or_default();
    let at = DateTime::from_timestamp_millis(millis).unwrap_or_default().format("%F %T%.3f");
    let body: Value = serde_json::from_str(&text("body")).unwrap_or_default();
    let data = body.get("data").unwrap_or(&body);
    print(format_args!("{at}  {}  {}  {}  {data}", stream.trim_start_matches(STREAM), text("type"), text("id")));
}
