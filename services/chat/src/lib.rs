//! The service `chat`: rooms, messages, who has read them, who is there. A message's way begins at `send`, goes through
//! the database to `hub`, and from there to every `stream`; between replicas it goes over `wire`.

pub mod bulk;
mod catch_up;
pub mod contact;
mod desk;
mod events;
pub mod firebase;
mod hub;
mod limits;
mod members;
mod messages;
pub mod moderation;
mod people;
mod presence;
mod queue;
mod reading;
mod receipts;
mod rooms;
mod send;
mod stream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use kit::error::{Error, denied, invalid, not_found};
use kit::identity::Revocations;
use moka::sync::Cache;
use proto::chat::v1::RoomKind;
use proto::chat::v1::chat_service_server::ChatServiceServer;
use proto::chat::v1::message_service_server::MessageServiceServer;
use proto::chat::v1::moderation_service_server::ModerationServiceServer;
use proto::chat::v1::room_service_server::RoomServiceServer;
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::users::v1::user_service_client::UserServiceClient;
use sqlx::PgPool;
use uuid::Uuid;

use crate::desk::Desk;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::presence::Presence;
use crate::receipts::Delivered;
use crate::wire::Wire;

pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Rooms whose number, id and kind are remembered: they never change.
const REMEMBERED: u64 = 100_000;

/// How long a room is remembered as one in which somebody writes.
const BUSY: Duration = Duration::from_secs(60);

/// What may lie between a movement's time and its being readable.
const UNSURE: TimeDelta = TimeDelta::seconds(2);

/// Configuration, from the environment.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub service: kit::config::Service,

    /// Messages per person and seconds, written 20/10, or `off`.
    #[arg(long, env = "CHAT_RATE", default_value = "20/10")]
    pub rate: limits::Rate,

    #[command(flatten)]
    pub moderation: moderation::Settings,

    #[command(flatten)]
    pub firebase: firebase::Settings,
}

/// What every RPC works with. Cheap to clone.
#[derive(Clone)]
pub struct Chat {
    db: PgPool,
    clock: kit::Clock,
    pager: kit::page::Pager,
    media: MediaServiceClient<kit::Peer>,
    users: UserServiceClient<kit::Peer>,
    hub: Hub,
    presence: Presence,
    delivered: Delivered,
    limits: Limits,
    revocations: Arc<Revocations>,
    moderation: moderation::Settings,
    room_ids: Cache<i64, Uuid>,
    room_kinds: Cache<Uuid, RoomKind>,
    /// Who writes in a room at the moment; see `send`.
    turns: Cache<Uuid, Arc<tokio::sync::Mutex<()>>>,
    desk: Desk,
    stop: kit::Stop,
}

impl Chat {
    /// Joins the other replicas; what runs in the background ends at the stop.
    pub fn start(kit: &kit::Service, rate: limits::Rate, moderation: moderation::Settings) -> Self {
        let (wire, ends) = Wire::new(kit.redis.is_some());
        let hub = Hub::new(wire.clone());
        let chat = Self {
            db: kit.db.clone(),
            clock: kit.clock.clone(),
            pager: kit.pager(),
            media: MediaServiceClient::new(kit.peer("media")),
            users: UserServiceClient::new(kit.peer("users")),
            presence: Presence::new(kit.redis.clone()),
            hub: hub.clone(),
            delivered: Delivered::default(),
            limits: Limits::new(rate),
            revocations: kit.verifier.revocations().clone(),
            moderation,
            room_ids: Cache::new(REMEMBERED),
            room_kinds: Cache::new(REMEMBERED),
            turns: Cache::builder().max_capacity(REMEMBERED).time_to_idle(BUSY).build(),
            desk: Desk::default(),
            stop: kit.stop.clone(),
        };
        if let (Some(redis), Some(url)) = (kit.redis.clone(), kit.config.mesh.redis_url.clone()) {
            let stop = kit.stop.clone();
            kit.spawn(async move {
                tokio::select! {
                    () = wire::run(ends, &url, redis, hub) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        kit.spawn(chat.clone().note_delivered(kit.stop.clone()));
        kit.spawn(chat.clone().watch_rooms(wire, kit.stop.clone()));
        kit.spawn(chat.clone().watch_sessions(kit.stop.clone()));
        kit.spawn(chat.clone().keep_presence(kit.stop.clone()));
        chat
    }

    pub fn routes(&self) -> kit::Routes {
        kit::Routes::default()
            .add(ChatServiceServer::new(self.clone()))
            .add(RoomServiceServer::new(self.clone()))
            .add(MessageServiceServer::new(self.clone()))
            .add(ModerationServiceServer::new(self.clone()))
    }

    /// Now, as PostgreSQL keeps it.
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Compares the rooms that somebody has open with the database: now and then, because a publication may get lost,
    /// and often while none arrive.
    async fn watch_rooms(self, wire: Wire, stop: kit::Stop) {
        // Since when receipts may have moved elsewhere without our hearing it.
        let mut deaf_since: Option<DateTime<Utc>> = None;
        // Since when people may have come and gone.
        let mut members_since = self.now() - UNSURE;
        loop {
            let was_up = wire.up();
            if !was_up {
                deaf_since.get_or_insert_with(|| self.now() - UNSURE);
            }
            let pause = if was_up { Duration::from_secs(5) } else { Duration::from_millis(700) };
            // Coming up is a reason to look at once: much was missed.
            let until = tokio::time::Instant::now() + pause;
            while tokio::time::Instant::now() < until && wire.up() == was_up {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                    () = stop.cancelled() => return,
                }
            }
            let began = self.now();
            let compared = async {
                self.compare_rooms().await?;
                self.compare_members(members_since).await?;
                members_since = began - UNSURE;
                if let Some(since) = deaf_since {
                    self.compare_receipts(since).await?;
                    self.compare_bans().await?;
                }
                Ok::<_, Error>(())
            };
            match compared.await {
                Ok(()) => deaf_since = (!was_up).then(|| began - UNSURE),
                Err(error) => tracing::debug!(%error, "rooms were not compared with the database"),
            }
        }
    }

    async fn compare_receipts(&self, since: DateTime<Utc>) -> kit::Result<()> {
        for rooms in self.hub.rooms().chunks(1_000) {
            for room in receipts::list_marked(&self.db, rooms, since).await? {
                self.hub.look_again(room);
            }
        }
        Ok(())
    }

    /// Who came and went since a moment, should a publication of it have been lost.
    async fn compare_members(&self, since: DateTime<Utc>) -> kit::Result<()> {
        for (room, user, gone) in members::list_moves(&self.db, since).await? {
            self.hub.compare_member(room, user, gone);
        }
        Ok(())
    }

    async fn compare_rooms(&self) -> kit::Result<()> {
        for rooms in self.hub.rooms().chunks(1_000) {
            for (room, change) in rooms::sql::list_changes(&self.db, rooms).await? {
                self.hub.compare(room, change);
            }
        }
        Ok(())
    }
}

/// Runs the service until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    let kit = kit::Service::start("chat", &config.service, &MIGRATOR, stop).await?;
    let chat = Chat::start(&kit, config.rate, config.moderation);
    let warden = chat.clone();
    kit.every("end bans", Duration::from_secs(30), move || {
        let chat = warden.clone();
        async move { chat.end_bans().await }
    });
    match firebase::Bridge::try_new(&chat, &config.firebase)? {
        Some(bridge) => kit.spawn(bridge.run(kit.stop.clone())),
        None => tracing::info!("Firebase is off: FIREBASE_SERVICE_ACCOUNT is not set"),
    }
    kit.consume(chat.clone());
    kit.serve(chat.routes()).await
}

/// A moment that a request names.
fn moment(field: &'static str, at: prost_types::Timestamp) -> kit::Result<DateTime<Utc>> {
    DateTime::from_timestamp(at.seconds, at.nanos.clamp(0, 999_999_999) as u32)
        .filter(|at| (1970..10_000).contains(&at.year()))
        .ok_or_else(|| invalid(field, "must be a moment before the year 10000"))
}

fn no_such_room() -> Error {
    not_found("ROOM_NOT_FOUND", "no such room")
}

fn blocked() -> Error {
    denied("BLOCKED", "they do not want to hear from you")
}

fn not_a_member() -> Error {
    denied("NOT_A_MEMBER", "only members of the room")
}
