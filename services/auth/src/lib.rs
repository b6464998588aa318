//! Accounts: login names, secrets, roles, bans, sessions. `auth` decides who may come in; what screens show of the
//! account is copied to `users`, in the same operation.

mod accounts;
mod audit;
pub mod bulk;
mod deliveries;
mod email;
mod firebase;
mod hash;
mod keys;
mod limits;
mod lockout;
mod login;
mod passwords;
mod phone;
mod provisions;
mod refresh;
mod registration;
mod reset;
mod revocations;
mod roles;
mod second_factor;
mod sessions;
mod strength;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kit::channel::{Mail, Sms};
use kit::identity::Verifier;
use kit::seal::{Sealer, Secret};
use proto::auth::v1::account_service_server::AccountServiceServer;
use proto::auth::v1::audit_service_server::AuditServiceServer;
use proto::auth::v1::firebase_service_server::FirebaseServiceServer;
use proto::auth::v1::key_service_server::KeyServiceServer;
use proto::auth::v1::password_service_server::PasswordServiceServer;
use proto::auth::v1::second_factor_service_server::SecondFactorServiceServer;
use proto::auth::v1::session_service_server::SessionServiceServer;
use proto::users::v1::user_service_client::UserServiceClient;
use redis::aio::ConnectionManager;
use sqlx::PgPool;

use crate::firebase::ServiceAccount;
use crate::hash::Hasher;
use crate::keys::Keyring;
use crate::registration::FirstAdministratorTask;
use crate::revocations::RedisMayHaveForgotten;

pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Configuration, from the environment.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub service: kit::config::Service,

    #[command(flatten)]
    pub rules: Rules,

    /// Where SMS go: file:<folder> appends to sms.jsonl there.
    #[arg(long, env = "AUTH_SMS_URL", default_value = "file:outbox", hide_env_values = true)]
    pub sms_url: String,

    /// Where mail goes: file:<folder> writes mail/*.eml there.
    #[arg(long, env = "AUTH_MAIL_URL", default_value = "file:outbox", hide_env_values = true)]
    pub mail_url: String,

    /// Service account (JSON) that signs custom tokens for Firebase. Without it they are refused as unavailable.
    #[arg(long, env = "FIREBASE_SERVICE_ACCOUNT", hide_env_values = true)]
    pub firebase_service_account: Option<String>,

    #[command(flatten)]
    pub administrator: FirstAdministrator,
}

/// The rules an operator may want otherwise; those that the contracts fix are constants beside their code.
#[derive(Clone, Debug, clap::Args)]
pub struct Rules {
    /// Minutes that an access token lives.
    #[arg(long, env = "AUTH_ACCESS_MINUTES", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub access_minutes: u32,

    /// Days that a key signs access tokens before the next one takes over.
    #[arg(long, env = "AUTH_KEY_DAYS", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=365))]
    pub key_days: u32,

    /// The page that sets a new password, up to where the token goes.
    #[arg(long, env = "AUTH_RESET_LINK", default_value = "http://localhost:3000/reset-password?token=")]
    pub reset_link: String,

    /// Password resets per hour that one client address may ask for.
    #[arg(long, env = "AUTH_RESETS_PER_ADDRESS", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub resets_per_address: u32,

    /// Password resets per hour for all phones with the same first six digits: a bound on what SMS fraud can cost.
    #[arg(long, env = "AUTH_RESETS_PER_PREFIX", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub resets_per_prefix: u32,
}

/// An administrator made at start if nobody has the name yet; administrators make all others.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FirstAdministrator {
    /// Login email of the first administrator.
    #[arg(id = "admin_email", long = "admin-email", env = "AUTH_ADMIN_EMAIL")]
    pub email: Option<String>,

    /// Login phone of the first administrator.
    #[arg(id = "admin_phone", long = "admin-phone", env = "AUTH_ADMIN_PHONE")]
    pub phone: Option<String>,

    /// Password of the first administrator; without it none is made.
    #[arg(id = "admin_password", long = "admin-password", env = "AUTH_ADMIN_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
}

/// The service's state.
#[derive(Clone)]
pub struct Auth {
    pub(crate) db: PgPool,
    pub(crate) redis: Option<ConnectionManager>,
    pub(crate) redis_forgot: Arc<RedisMayHaveForgotten>,
    pub(crate) clock: kit::Clock,
    pub(crate) pager: kit::page::Pager,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) users: UserServiceClient<kit::Peer>,
    pub(crate) hasher: Hasher,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) secrets: Secrets,
    pub(crate) sms: Sms,
    pub(crate) mail: Mail,
    pub(crate) firebase: Option<Arc<ServiceAccount>>,
    pub(crate) rules: Rules,
}

/// Keys made from the installation's secret, one per purpose.
#[derive(Clone)]
pub(crate) struct Secrets {
    /// Login names and addresses in tables that count them.
    pub(crate) names: [u8; 32],
    /// Reset and recovery codes, which are too short for a plain hash.
    pub(crate) codes: [u8; 32],
    /// Refresh tokens made from their parents.
    pub(crate) refresh: [u8; 32],
    /// What must be read again: private keys, TOTP secrets, messages on their way.
    pub(crate) sealer: Sealer,
}

impl Secrets {
    fn new(secret: &Secret) -> Self {
        Self {
            names: secret.derive("auth names"),
            codes: secret.derive("auth codes"),
            refresh: secret.derive("auth refresh"),
            sealer: Sealer::new(secret, "auth"),
        }
    }
}

impl Auth {
    /// Reads or makes the signing keys, recalls which sessions ended, and is ready to serve.
    pub async fn start(kit: &kit::Service, config: &Config) -> anyhow::Result<Self> {
        let auth = Self {
            db: kit.db.clone(),
            redis: kit.redis.clone(),
            redis_forgot: Arc::default(),
            clock: kit.clock.clone(),
            pager: kit.pager(),
            verifier: kit.verifier.clone(),
            users: UserServiceClient::new(kit.peer("users")),
            hasher: Hasher::new(),
            keyring: Arc::default(),
            secrets: Secrets::new(&kit.secret),
            sms: Sms::open(&config.sms_url)?,
            mail: Mail::open(&config.mail_url)?,
            firebase: config.firebase_service_account.as_deref().map(ServiceAccount::parse).transpose()?.map(Arc::new),
            rules: config.rules.clone(),
        };
        auth.rotate_keys().await?;
        auth.recall_revocations().await?;
        Ok(auth)
    }

    pub fn routes(&self) -> kit::Routes {
        kit::Routes::default()
            .add(AccountServiceServer::new(self.clone()))
            .add(SessionServiceServer::new(self.clone()))
            .add(PasswordServiceServer::new(self.clone()))
            .add(SecondFactorServiceServer::new(self.clone()))
            .add(AuditServiceServer::new(self.clone()))
            .add(KeyServiceServer::new(self.clone()))
            .add(FirebaseServiceServer::new(self.clone()))
    }

    /// What happens without being asked. Every task may run on several replicas at once.
    fn work(&self, kit: &kit::Service, administrator: FirstAdministrator) {
        let first = FirstAdministratorTask::new(self.clone(), administrator);
        kit.every("first administrator", Duration::from_secs(2), move || first.clone().run());
        let auth = self.clone();
        kit.every("revocations", Duration::from_secs(1), move || auth.clone().announce_revocations());
        let auth = self.clone();
        kit.every("deliveries", Duration::from_secs(1), move || auth.clone().send_deliveries());
        let auth = self.clone();
        kit.every("provisions", Duration::from_secs(15), move || auth.clone().settle_provisions());
        let auth = self.clone();
        kit.every("keys", Duration::from_secs(60), move || {
            let auth = auth.clone();
            async move { auth.rotate_keys().await }
        });
        let auth = self.clone();
        kit.every("sweep", Duration::from_secs(300), move || auth.clone().sweep());
    }
}

/// Runs the service until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    config.administrator.newcomer().context("the first administrator")?;
    let kit = kit::Service::start("auth", &config.service, &MIGRATOR, stop).await?;
    let auth = Auth::start(&kit, &config).await?;
    auth.work(&kit, config.administrator);
    kit.serve(auth.routes()).await
}
