//! The service `forum`: communities, posts, comments, reactions, moderation. Start reading at `posts`, which goes from
//! RPC to SQL.

mod interactions;
mod limits;

use sqlx::PgPool;

use crate::limits::Limits;

pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Configuration, from the environment.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub service: kit::config::Service,

    #[command(flatten)]
    pub rules: Rules,
}

/// The rules an operator may want otherwise.
#[derive(Clone, Debug, clap::Args)]
pub struct Rules {
    #[command(flatten)]
    pub limits: Limits,

    /// Compute every five minutes what is relevant to everybody. Off keeps `relevance_score` at zero.
    #[arg(long, env = "FORUM_RELEVANCE", default_value_t = false, action = clap::ArgAction::Set)]
    pub relevance: bool,
}

/// What every RPC works with. Cheap to clone.
#[derive(Clone)]
pub struct Forum {
    db: PgPool,
    clock: kit::Clock,
    pager: kit::page::Pager,
    media: proto::media::v1::media_service_client::MediaServiceClient<kit::Peer>,
    rules: Rules,
}

impl Forum {
    pub fn new(kit: &kit::Service, rules: Rules) -> Self {
        Self {
            db: kit.db.clone(),
            clock: kit.clock.clone(),
            pager: kit.pager(),
            media: proto::media::v1::media_service_client::MediaServiceClient::new(kit.peer("media")),
            rules,
        }
    }

    pub fn routes(&self) -> kit::Routes {
        kit::Routes::default()
    }
}

/// Runs the service until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    let kit = kit::Service::start("forum", &config.service, &MIGRATOR, stop).await?;
    let forum = Forum::new(&kit, config.rules);
    kit.serve(forum.routes()).await
}
