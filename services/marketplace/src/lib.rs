//! The service `marketplace`: ads, their categories, who follows whom, and orders. Start reading at `ads`, which goes
//! from RPC to SQL; `machine` says what may become of an ad and of an order.

mod ads;
pub mod bulk;
mod categories;
mod events;
mod follows;
mod gone;
mod machine;
mod orders;
mod pictures;
mod remains;
mod words;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use kit::error::denied;
use kit::identity::{Caller, Roles, try_caller};
use proto::access::v1::Role;
use proto::marketplace::v1::ad_service_server::AdServiceServer;
use proto::marketplace::v1::category_service_server::CategoryServiceServer;
use proto::marketplace::v1::follow_service_server::FollowServiceServer;
use proto::marketplace::v1::order_service_server::OrderServiceServer;
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::users::v1::GetUserRequest;
use proto::users::v1::get_user_request::Key;
use proto::users::v1::user_service_client::UserServiceClient;
use sqlx::{PgPool, PgTransaction};
use tonic::Request;

pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Configuration, from the environment.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub service: kit::config::Service,

    /// Minutes in which an order must be paid; without them orders need no payment.
    #[arg(long, env = "MARKETPLACE_PAYMENT_MINUTES")]
    pub payment_minutes: Option<u32>,
}

/// What every RPC works with. Cheap to clone.
#[derive(Clone)]
pub struct Marketplace {
    db: PgPool,
    clock: kit::Clock,
    pager: kit::page::Pager,
    media: MediaServiceClient<kit::Peer>,
    users: UserServiceClient<kit::Peer>,
    /// The time in which orders must be paid, if they must.
    pay_within: Option<TimeDelta>,
    /// Lists with more ads than are counted: they will hardly have fewer in a minute, and counting takes as long as a page.
    endless: moka::sync::Cache<ads::Filter, ()>,
    /// The word at which this process will go on looking for those that no ad has.
    swept: Arc<Mutex<String>>,
}

impl Marketplace {
    pub fn new(kit: &kit::Service, payment_minutes: Option<u32>) -> Self {
        Self {
            db: kit.db.clone(),
            clock: kit.clock.clone(),
            pager: kit.pager(),
            media: MediaServiceClient::new(kit.peer("media")),
            users: UserServiceClient::new(kit.peer("users")),
            pay_within: payment_minutes.map(|minutes| TimeDelta::minutes(minutes.into())),
            endless: moka::sync::Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(60)).build(),
            swept: Arc::default(),
        }
    }

    /// Specialists and businesses sell. Asked of `users`, because a token tells what somebody was when it was made.
    async fn must_sell(&self, caller: Caller) -> kit::Result<()> {
        let sellers: Roles = [Role::Specialist, Role::Businessman].into_iter().collect();
        let request = GetUserRequest { key: Some(Key::Id(caller.id.to_string())) };
        let user = self.users.clone().get_user(request).await?.into_inner();
        match Roles::from_numbers(&user.roles).intersects(sellers) {
            true => Ok(()),
            false => Err(denied("ROLE_MISSING", "specialists and businesses only")),
        }
    }

    pub fn routes(&self) -> kit::Routes {
        kit::Routes::default()
            .add(AdServiceServer::new(self.clone()))
            .add(CategoryServiceServer::new(self.clone()))
            .add(FollowServiceServer::new(self.clone()))
            .add(OrderServiceServer::new(self.clone()))
    }

    /// A snapshot for a list and its count. No statement in it reads all ads one after the other: that looks cheap as long
    /// as the first few match, and there is an index for everything.
    async fn snapshot(&self, plans: Plans) -> kit::Result<PgTransaction<'static>> {
        let begin = match plans {
            Plans::Own => {
                "begin isolation level repeatable read read only; set local plan_cache_mode = force_custom_plan; \
                 set local enable_seqscan = off"
            }
            Plans::Shared => {
                "begin isolation level repeatable read read only; set local plan_cache_mode = force_generic_plan; \
                 set local enable_seqscan = off"
            }
        };
        kit::db::begin_with(&self.db, begin).await
    }

    /// What happens without being asked. Every task may run on several replicas at once.
    fn work(&self, kit: &kit::Service) {
        let marketplace = self.clone();
        kit.every("cancel unpaid orders", Duration::from_secs(30), move || {
            let marketplace = marketplace.clone();
            async move { marketplace.cancel_unpaid().await }
        });
        let marketplace = self.clone();
        kit.every("clear what is left of people and files", Duration::from_secs(5), move || {
            let marketplace = marketplace.clone();
            async move { marketplace.clear_remains().await }
        });
        let marketplace = self.clone();
        kit.every("sweep words", Duration::from_secs(60), move || {
            let marketplace = marketplace.clone();
            async move { marketplace.sweep_words().await }
        });
    }
}

/// For whom PostgreSQL makes the plan of a statement.
#[derive(Clone, Copy, Debug)]
enum Plans {
    /// For the values it is run with: most filters are absent, and a plan for all of them would use no index.
    Own,
    /// For whatever values, once per connection.
    Shared,
}

/// Who looks, as far as it decides what is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Viewer {
    number: Option<i64>,
    staff: bool,
}

impl Viewer {
    fn of<T>(request: &Request<T>) -> Self {
        try_caller(request).map_or(Self { number: None, staff: false }, Self::from)
    }
}

impl From<Caller> for Viewer {
    fn from(caller: Caller) -> Self {
        Self { number: Some(caller.number), staff: caller.admin() }
    }
}

/// Runs the service until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    let kit = kit::Service::start("marketplace", &config.service, &MIGRATOR, stop).await?;
    let marketplace = Marketplace::new(&kit, config.payment_minutes);
    kit.consume(marketplace.clone());
    marketplace.work(&kit);
    kit.serve(marketplace.routes()).await
}
