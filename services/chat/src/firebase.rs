//! The bridge between deals and Conectar's two Firebase chats, for as long as its frontend knows no other.
//!
//! Two ways lead out (messages, edits and reads to Firestore; bans) and two lead in (Firestore's messages; conversations
//! of the Realtime Database). All compare what is stored with what was told, so whatever was interrupted is found again;
//! nothing in `send` knows of them. One replica runs them, the one that holds a lock; should two believe so for a
//! moment, preconditions in Firestore and unique keys here keep each message one.
//!
//! Whatever comes from there was written by anybody: Firebase's rules have to admit anonymous clients.

mod account;
mod bans;
mod chats;
mod conversations;
mod database;
mod firestore;
mod google;
mod inward;
mod outward;
mod people;
mod sql;
mod value;
mod words;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kit::Stop;
use moka::sync::Cache;
use reqwest::Url;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::Chat;
use account::Account;
use database::Database;
use firestore::Firestore;
use google::Google;
use people::Profile;

/// How often is looked for what is to be told.
const OUTWARD: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where Firebase is, and who we are there.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "firebase")]
pub struct Settings {
    /// Service account (JSON) of Conectar's Firebase project. Without it the bridge to its chats is off.
    #[arg(long, env = "FIREBASE_SERVICE_ACCOUNT", hide_env_values = true)]
    pub firebase_service_account: Option<String>,

    /// Firestore's API; its emulator's, for development.
    #[arg(long, env = "FIRESTORE_URL", default_value = "https://firestore.googleapis.com")]
    pub firestore_url: Url,

    /// The Realtime Database (https://<name>.firebaseio.com). Without it its conversations are not looked at.
    #[arg(long, env = "FIREBASE_DATABASE_URL")]
    pub firebase_database_url: Option<Url>,

    /// Seconds between two looks at what was written in Firebase.
    #[arg(long, env = "FIREBASE_POLL_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=300))]
    pub firebase_poll_seconds: u16,

    /// Seconds that Firebase may take to answer.
    #[arg(long, env = "FIREBASE_TIMEOUT_SECONDS", default_value_t = 15)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=60))]
    pub firebase_timeout_seconds: u16,
}

/// The bridge. Each of its steps may be repeated at any time.
pub struct Bridge {
    chat: Chat,
    firestore: Firestore,
    database: Option<Database>,
    poll: Duration,
    /// When reads are looked for again.
    reads_due: Mutex<Instant>,
    /// Who people are, and who is nobody.
    people: Cache<Uuid, Option<Arc<Profile>>>,
    /// Documents that were dealt with, as they were then.
    seen: Cache<String, String>,
}

impl Bridge {
    /// Nothing without a service account.
    pub fn try_new(chat: &Chat, settings: &Settings) -> anyhow::Result<Option<Self>> {
        let Some(json) = settings.firebase_service_account.as_deref().filter(|json| !json.trim().is_empty()) else {
            return Ok(None);
        };
        let (account, project) = Account::parse(json, chat.clock.clone())?;
        let google = Arc::new(Google::try_new(account, Duration::from_secs(settings.firebase_timeout_seconds.into()))?);
        Ok(Some(Self {
            chat: chat.clone(),
            firestore: Firestore::new(google.clone(), settings.firestore_url.clone(), &project),
            database: settings.firebase_database_url.clone().map(|url| Database::new(google, url)),
            poll: Duration::from_secs(settings.firebase_poll_seconds.into()),
            reads_due: Mutex::new(Instant::now()),
            people: Cache::builder().max_capacity(50_000).time_to_live(Duration::from_secs(300)).build(),
            seen: Cache::builder().max_capacity(50_000).time_to_live(Duration::from_secs(300)).build(),
        }))
    }

    /// Runs until the stop, in one replica at a time.
    pub async fn run(self, stop: Stop) {
        loop {
            match self.lead(&stop).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the bridge to Firebase starts anew"),
            }
            tokio::select! {
                () = tokio::time::sleep(OUTWARD) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn lead(&self, stop: &Stop) -> anyhow::Result<()> {
        // The lock lives as long as this connection, so it is free again whatever becomes of us.
        let mut leader = self.chat.db.acquire().await?.detach();
        while !try_lead(&mut leader).await? {
            tokio::select! {
                () = tokio::time::sleep(OUTWARD) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        tracing::info!(realtime_database = self.database.is_some(), "this replica is the bridge to Firebase");
        let outward = repeat("messages to Firestore", OUTWARD, || self.mirror_out());
        let bans = repeat("bans to Firestore", self.poll, || self.tell_bans());
        let inward = repeat("messages from Firestore", self.poll, || self.mirror_in());
        let conversations = repeat("conversations from Firebase", self.poll, || self.bridge_conversations());
        let steps = async { tokio::join!(outward, bans, inward, conversations) };
        tokio::select! {
            _ = steps => {}
            // Whatever is under way is as good as killed, which each step bears.
            () = stop.cancelled() => {}
            lost = keep(&mut leader) => lost?,
        }
        leader.close().await?;
        Ok(())
    }
}

async fn try_lead(leader: &mut PgConnection) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(r#"select pg_try_advisory_lock(hashtext('bridge to firebase')) as "held!""#);
    held.fetch_one(leader).await
}

/// Ends when the connection does, and with it our lead.
async fn keep(leader: &mut PgConnection) -> sqlx::Result<()> {
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        leader.ping().await?;
    }
}

/// Does `work` again and again, with longer pauses while it fails. It says for how long it should rest at least.
async fn repeat<F>(what: &'static str, period: Duration, work: impl Fn() -> F)
where
    F: Future<Output = kit::Result<Duration>>,
{
    let mut failures = 0u32;
    loop {
        let began = Instant::now();
        let pause = match work().await {
            Ok(rest) => {
                if failures > 0 {
                    tracing::info!(what, "the bridge to Firebase goes on");
                }
                failures = 0;
                rest.max(period.saturating_sub(began.elapsed()))
            }
            Err(error) => {
                failures += 1;
                let pause = (period * 2u32.saturating_pow(failures.min(6))).min(LONGEST_PAUSE);
                tracing::warn!(what, %error, failures, pause_ms = pause.as_millis() as u64, "the bridge to Firebase did not get on");
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}
