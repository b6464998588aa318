//! The service `profiles`: what people are in Agrovet, a specialist, a business or a consumer, and what others think of
//! specialists. Start reading at `profiles`, which goes from RPC to SQL.

pub mod bulk;
mod documents;
mod events;
mod files;
mod holds;
mod input;
mod profiles;
mod ratings;
mod search;
mod verifications;

use std::time::Duration;

use kit::error::{Error, not_found};
use proto::auth::v1::account_service_client::AccountServiceClient;
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::profiles::v1::profile_service_server::ProfileServiceServer;
use proto::profiles::v1::rating_service_server::RatingServiceServer;
use proto::profiles::v1::verification_service_server::VerificationServiceServer;
use proto::users::v1::user_service_client::UserServiceClient;
use sqlx::PgPool;

pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Configuration, from the environment.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub service: kit::config::Service,
}

/// What every RPC works with. Cheap to clone.
#[derive(Clone)]
pub struct Profiles {
    db: PgPool,
    clock: kit::Clock,
    pager: kit::page::Pager,
    accounts: AccountServiceClient<kit::Peer>,
    users: UserServiceClient<kit::Peer>,
    media: MediaServiceClient<kit::Peer>,
}

impl Profiles {
    pub fn new(kit: &kit::Service) -> Self {
        Self {
            db: kit.db.clone(),
            clock: kit.clock.clone(),
            pager: kit.pager(),
            accounts: AccountServiceClient::new(kit.peer("auth")),
            users: UserServiceClient::new(kit.peer("users")),
            media: MediaServiceClient::new(kit.peer("media")),
        }
    }

    pub fn routes(&self) -> kit::Routes {
        kit::Routes::default()
            .add(ProfileServiceServer::new(self.clone()))
            .add(VerificationServiceServer::new(self.clone()))
            .add(RatingServiceServer::new(self.clone()))
    }
}

/// Runs the service until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    let kit = kit::Service::start("profiles", &config.service, &MIGRATOR, stop).await?;
    let profiles = Profiles::new(&kit);
    kit.consume(profiles.clone());
    let teller = profiles.clone();
    kit.every("tell auth who holds which role", Duration::from_secs(1), move || {
        let profiles = teller.clone();
        async move { profiles.tell_due_holds().await }
    });
    kit.serve(profiles.routes()).await
}

fn no_such_profile() -> Error {
    not_found("PROFILE_NOT_FOUND", "no such profile")
}
