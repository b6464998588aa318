//! The service `users`: what screens show of people, and the devices that want their notifications. Start reading at
//! `people`, which goes from RPC to SQL.

mod avatars;
pub mod bulk;
mod devices;
mod events;
mod people;
mod search;

use std::time::Duration;

use kit::error::{Error, not_found};
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::users::v1::device_service_server::DeviceServiceServer;
use proto::users::v1::user_service_server::UserServiceServer;
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
pub struct Users {
    db: PgPool,
    clock: kit::Clock,
    pager: kit::page::Pager,
    media: MediaServiceClient<kit::Peer>,
}

impl Users {
    pub fn new(kit: &kit::Service) -> Self {
        Self {
            db: kit.db.clone(),
            clock: kit.clock.clone(),
            pager: kit.pager(),
            media: MediaServiceClient::new(kit.peer("media")),
        }
    }

    pub fn routes(&self) -> kit::Routes {
        kit::Routes::default().add(UserServiceServer::new(self.clone())).add(DeviceServiceServer::new(self.clone()))
    }
}

/// Runs the service until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    let kit = kit::Service::start("users", &config.service, &MIGRATOR, stop).await?;
    let users = Users::new(&kit);
    kit.consume(users.clone());
    let cleaner = users.clone();
    kit.every("delete former pictures", Duration::from_secs(10), move || {
        let users = cleaner.clone();
        async move { users.delete_discarded().await }
    });
    kit.serve(users.routes()).await
}

fn no_such_user() -> Error {
    not_found("USER_NOT_FOUND", "no such person")
}
