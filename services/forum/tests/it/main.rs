//! The service as its callers see it: generated clients over memory, a database per test, a stand-in for `media`.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod comments;
mod communities;
mod events;
mod formulas;
mod lists;
mod locks;
mod media;
mod moderation;
mod notifications;
mod paging;
mod pictures;
mod plans;
mod posts;
mod reactions;
mod recount;
mod relevance;
mod statements;
mod thread_plans;

use std::time::Duration;

use clap::Parser;
use forum::Forum;
use kit::Peer;
use kit::error::Details;
use kit::inbox::{Consumer, Received};
use proto::Event;
use proto::access::v1::Role;
use proto::forum::v1::comment_service_client::CommentServiceClient;
use proto::forum::v1::community_service_client::CommunityServiceClient;
use proto::forum::v1::moderation_service_client::ModerationServiceClient;
use proto::forum::v1::post_service_client::PostServiceClient;
use proto::forum::v1::reaction_service_client::ReactionServiceClient;
use proto::forum::v1::{Community, CreateCommunityRequest, CreatePostRequest, Post};
use proto::media::v1::media_service_server::MediaServiceServer;
use serde_json::Value;
use sqlx::PgPool;
use testkit::Harness;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::media::Media;

/// The service, alone with `media`'s stand-in.
struct World {
    harness: Harness,
    forum: Forum,
    media: Media,
    nobody: Peer,
}

/// Somebody with a token.
#[derive(Clone)]
struct Somebody {
    id: Uuid,
    number: i64,
    peer: Peer,
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    rules: forum::Rules,
}

impl World {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With flags of the service's own.
    async fn with(flags: &[&str]) -> Self {
        let harness = Harness::new("forum", &forum::MIGRATOR).await;
        let media = Media::default();
        harness.stub("media", MediaServiceServer::new(media.clone()));
        let rules = Settings::parse_from(["forum"].iter().chain(flags)).rules;
        let forum = Forum::new(&harness.service, rules);
        let nobody = harness.serve(forum.routes());
        Self { harness, forum, media, nobody }
    }

    fn person(&self, number: i64) -> Somebody {
        self.with_roles(number, &[Role::Consumer])
    }

    fn admin(&self) -> Somebody {
        self.with_roles(1_000_000, &[Role::Admin])
    }

    /// The same number is the same person.
    fn with_roles(&self, number: i64, roles: &[Role]) -> Somebody {
        let id = Uuid::from_u128(number as u128);
        let mut claims = testkit::token_claims(id, number, roles, self.harness.clock.now().timestamp());
        // Tests pass years.
        claims.exp += 10 * 365 * 86_400;
        Somebody { id, number, peer: self.harness.with_token(&self.harness.signer.sign(&claims)) }
    }

    fn nobody(&self) -> Somebody {
        Somebody { id: Uuid::nil(), number: 0, peer: self.nobody.clone() }
    }

    fn db(&self) -> &PgPool {
        &self.harness.service.db
    }

    fn pass(&self, minutes: u64) {
        self.harness.clock.advance(Duration::from_secs(60 * minutes));
    }

    /// Sets what people said of a post by reactions.
    async fn vote(&self, post: i64, hearts: i64, likes: i64, dislikes: i64) {
        sqlx::query("update posts set hearts = $2, likes = $3, dislikes = $4 where id = $1")
            .bind(post)
            .bind(hearts)
            .bind(likes)
            .bind(dislikes)
            .execute(self.db())
            .await
            .unwrap();
    }

    /// An event arrives.
    async fn deliver<E: Event>(&self, event: &E) {
        let received = Received {
            id: Uuid::now_v7(),
            topic: E::TOPIC.to_owned(),
            kind: E::TYPE.to_owned(),
            key: String::new(),
            data: serde_json::to_value(event).unwrap(),
            correlation_id: None,
            traceparent: None,
        };
        let mut tx = self.db().begin().await.unwrap();
        self.forum.consume(&mut tx, &received).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What was published since the last call: type, key and payload.
    async fn published(&self) -> Vec<(String, String, Value)> {
        sqlx::query_as(
            "with told as (delete from outbox returning position, type, key, body -> 'data' as data)
             select type, key, data from told order by position",
        )
        .fetch_all(self.db())
        .await
        .unwrap()
    }
}

impl Somebody {
    fn communities(&self) -> CommunityServiceClient<Peer> {
        CommunityServiceClient::new(self.peer.clone())
    }

    fn posts(&self) -> PostServiceClient<Peer> {
        PostServiceClient::new(self.peer.clone())
    }

    /// Takes as large an answer as the edge does.
    fn comments(&self) -> CommentServiceClient<Peer> {
        CommentServiceClient::new(self.peer.clone()).max_decoding_message_size(32 << 20)
    }

    fn reactions(&self) -> ReactionServiceClient<Peer> {
        ReactionServiceClient::new(self.peer.clone())
    }

    fn moderation(&self) -> ModerationServiceClient<Peer> {
        ModerationServiceClient::new(self.peer.clone())
    }

    /// A new community of theirs.
    async fn found(&self, slug: &str) -> Community {
        let request =
            CreateCommunityRequest { name: format!("Sobre {slug}"), slug: slug.to_owned(), ..Default::default() };
        self.communities().create_community(request).await.unwrap().into_inner()
    }

    /// A new post of theirs.
    async fn post(&self, title: &str, community_id: Option<i64>) -> Post {
        self.try_post(title, community_id).await.unwrap()
    }

    async fn try_post(&self, title: &str, community_id: Option<i64>) -> Result<Post, Status> {
        let request =
            CreatePostRequest { title: title.into(), content: "Texto".into(), community_id, ..Default::default() };
        Ok(self.posts().create_post(request).await?.into_inner())
    }
}

/// Code and reason of a refusal.
fn refusal<T>(answer: Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => panic!("this should have been refused"),
        Err(status) => (status.code(), Details::of(&status).reason),
    }
}

macro_rules! refused {
    ($answer:expr, $code:ident, $reason:literal) => {
        assert_eq!(crate::refusal($answer), (tonic::Code::$code, $reason.to_owned()))
    };
}
use refused;
