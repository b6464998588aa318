//! The service `forum`: communities, posts, comments, reactions, moderation. Start reading at `posts`, which goes from
//! RPC to SQL.

pub mod bulk;
mod comments;
mod communities;
mod events;
mod files;
mod interactions;
mod jobs;
mod limits;
mod lists;
mod memberships;
mod moderation;
mod notifications;
mod pictures;
mod posts;
mod reactions;
mod relevance;

use proto::forum::v1::comment_service_server::CommentServiceServer;
use proto::forum::v1::community_service_server::CommunityServiceServer;
use proto::forum::v1::moderation_service_server::ModerationServiceServer;
use proto::forum::v1::notification_service_server::NotificationServiceServer;
use proto::forum::v1::post_service_server::PostServiceServer;
use proto::forum::v1::reaction_service_server::ReactionServiceServer;
use proto::media::v1::media_service_client::MediaServiceClient;
use sqlx::PgPool;

use crate::limits::Limits;
use crate::lists::Memory;

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
    media: MediaServiceClient<kit::Peer>,
    rules: Rules,
    memory: Memory,
}

impl Forum {
    pub fn new(kit: &kit::Service, rules: Rules) -> Self {
        kit::db::plan_once(&kit.db);
        Self {
            db: kit.db.clone(),
            clock: kit.clock.clone(),
            pager: kit.pager(),
            media: MediaServiceClient::new(kit.peer("media")),
            rules,
            memory: Memory::default(),
        }
    }

    pub fn routes(&self) -> kit::Routes {
        kit::Routes::default()
            .add(CommunityServiceServer::new(self.clone()))
            .add(PostServiceServer::new(self.clone()))
            .add(CommentServiceServer::new(self.clone()))
            .add(ReactionServiceServer::new(self.clone()))
            .add(NotificationServiceServer::new(self.clone()))
            .add(ModerationServiceServer::new(self.clone()))
    }
}

/// Runs the service until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    let kit = kit::Service::start("forum", &config.service, &MIGRATOR, stop).await?;
    let forum = Forum::new(&kit, config.rules);
    forum.note_activity().await?;
    kit.consume(forum.clone());
    forum.work(&kit);
    kit.serve(forum.routes()).await
}
