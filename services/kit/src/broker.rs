//! The broker of events, chosen by URL. `redis://` is a stream per topic, read in groups; Kafka and RabbitMQ come
//! behind the same three operations: publish in order, read what a group has not settled, settle.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::bail;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig};
use uuid::Uuid;

use crate::seal::sha256;

/// Old entries go when a stream has about this many; the outbox still has them for a week, for `plaza events republish`.
const LONGEST: usize = 1_000_000;

/// What streams' names begin with; the topic follows.
pub const STREAM: &str = "plaza:events:";

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: Uuid,
    pub topic: String,
    pub kind: String,
    pub key: String,
    /// The envelope's JSON.
    pub body: String,
}

/// A configured broker.
#[derive(Clone, Debug)]
pub struct Broker(redis::Client);

impl Broker {
    pub fn open(url: &str) -> anyhow::Result<Self> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("redis" | "rediss") => Ok(Self(redis::Client::open(url)?)),
            other => bail!("events by {}: are not known; use redis:", other.unwrap_or(url)),
        }
    }

    pub async fn publisher(&self) -> anyhow::Result<Publisher> {
        Ok(Publisher(self.connect(Duration::from_secs(5)).await?))
    }

    /// Reads topics as the group `group`, from their beginning the first time.
    pub async fn subscribe(&self, group: &str, topics: &[&str]) -> anyhow::Result<Subscription> {
        let mut redis = self.connect(BLOCK + Duration::from_secs(5)).await?;
        let streams: Vec<_> = topics.iter().map(|topic| stream(topic)).collect();
        let mut lost = 0;
        for stream in &streams {
            match redis.xgroup_create_mkstream::<_, _, _, ()>(stream, group, "0").await {
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                outcome => outcome?,
            }
            lost += gone(&mut redis, stream, group).await?;
        }
        Ok(Subscription { redis, group: group.to_owned(), streams, unsettled: true, lost })
    }

    async fn connect(&self, timeout: Duration) -> redis::RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(timeout));
        self.0.get_multiplexed_async_connection_with_config(&config).await
    }
}

const BLOCK: Duration = Duration::from_secs(1);

fn stream(topic: &str) -> String {
    format!("{STREAM}{topic}")
}

/// Entries of a stream that went, as there were too many, before a group had read them.
async fn gone(redis: &mut MultiplexedConnection, stream: &str, group: &str) -> redis::RedisResult<u64> {
    let (info, groups): (HashMap<String, redis::Value>, Vec<HashMap<String, redis::Value>>) = redis::pipe()
        .cmd("XINFO")
        .arg("STREAM")
        .arg(stream)
        .cmd("XINFO")
        .arg("GROUPS")
        .arg(stream)
        .query_async(redis)
        .await?;
    let number = |map: &HashMap<String, redis::Value>, key: &str| -> Option<u64> {
        redis::from_redis_value(map.get(key)?.clone()).ok()
    };
    let name = |map: &HashMap<String, redis::Value>| -> Option<String> {
        redis::from_redis_value(map.get("name")?.clone()).ok()
    };
    let read =
        groups.iter().find(|one| name(one).as_deref() == Some(group)).and_then(|one| number(one, "entries-read"));
    // Where Redis does not count, as before its seventh version, nothing is told.
    let (Some(read), Some(added), Some(length)) = (read, number(&info, "entries-added"), number(&info, "length"))
    else {
        return Ok(0);
    };
    Ok(added.saturating_sub(length).saturating_sub(read))
}

/// Publishes messages in the order given.
pub struct Publisher(MultiplexedConnection);

impl Publisher {
    /// All of them, or an error after which some may have been published.
    pub async fn publish(&mut self, messages: &[Message]) -> anyhow::Result<()> {
        let mut pipe = redis::pipe();
        for m in messages {
            let id = m.id.to_string();
            let fields = [("id", &id), ("type", &m.kind), ("key", &m.key), ("body", &m.body)];
            pipe.cmd("XADD").arg(stream(&m.topic)).arg("MAXLEN").arg("~").arg(LONGEST).arg("*").arg(&fields).ignore();
        }
        Ok(pipe.query_async(&mut self.0).await?)
    }
}

/// Reads as a group.
pub struct Subscription {
    redis: MultiplexedConnection,
    group: String,
    streams: Vec<String>,
    /// Whether entries that were read before and not settled may remain.
    unsettled: bool,
    lost: u64,
}

/// A message and how to settle it.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub message: Message,
    stream: String,
    entry: String,
}

impl Delivery {
    /// How long ago the broker took it; an entry's id begins with that time.
    pub fn age(&self) -> Duration {
        let millis = self.entry.split('-').next().and_then(|millis| millis.parse::<i64>().ok());
        let age = millis.map_or(0, |millis| chrono::Utc::now().timestamp_millis() - millis);
        Duration::from_millis(age.max(0) as u64)
    }
}

impl Subscription {
    /// Events that had gone before the group read them, when this began. What the broker cannot tell is none.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The next messages in order, those that a crashed reader left first; none after about a second without any.
    pub async fn next(&mut self) -> anyhow::Result<Vec<Delivery>> {
        let from = if self.unsettled { "0" } else { ">" };
        // The reader's name is the same for every replica: only the leader reads, and it takes over what its
        // predecessor left.
        let options =
            StreamReadOptions::default().group(&self.group, "leader").count(64).block(BLOCK.as_millis() as usize);
        let ids = vec![from; self.streams.len()];
        let reply: Option<StreamReadReply> = self.redis.xread_options(&self.streams, &ids, &options).await?;
        let deliveries: Vec<_> = reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids.into_iter().map(move |entry| delivery(&key.key, entry)))
            .collect();
        if self.unsettled && deliveries.is_empty() {
            self.unsettled = false;
        }
        Ok(deliveries)
    }

    /// The group will not see it again.
    pub async fn settle(&mut self, delivery: &Delivery) -> anyhow::Result<()> {
        Ok(self.redis.xack::<_, _, _, ()>(&delivery.stream, &self.group, &[&delivery.entry]).await?)
    }
}

fn delivery(stream: &str, entry: StreamId) -> Delivery {
    let text = |name: &str| entry.get::<String>(name).unwrap_or_default();
    // Whatever somebody put there without an id still needs one of its own, and always the same.
    let nameless = || {
        let digest = sha256(format!("{stream} {}", entry.id).as_bytes());
        uuid::Builder::from_custom_bytes(digest[..16].try_into().expect("16 of 32 bytes")).into_uuid()
    };
    let message = Message {
        id: text("id").parse().unwrap_or_else(|_| nameless()),
        topic: stream.trim_start_matches(STREAM).to_owned(),
        kind: text("type"),
        key: text("key"),
        body: text("body"),
    };
    Delivery { message, stream: stream.to_owned(), entry: entry.id }
}
