//! The service as its callers see it: generated clients over memory, a database per test, stand-ins for `media` and
//! `users`.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod ads;
mod categories;
mod events;
mod follows;
mod lists;
mod nearby;
mod orders;
mod pictures;
mod plans;
mod races;
mod remains;
mod search;
mod stubs;

use kit::Peer;
use kit::error::Details;
use kit::inbox::{Consumer, Received};
use marketplace::Marketplace;
use proto::Event;
use proto::access::v1::Role;
use proto::common::v1::Point;
use proto::marketplace::v1::ad_service_client::AdServiceClient;
use proto::marketplace::v1::category_service_client::CategoryServiceClient;
use proto::marketplace::v1::follow_service_client::FollowServiceClient;
use proto::marketplace::v1::order_service_client::OrderServiceClient;
use proto::marketplace::v1::{
    Ad, AdState, Condition, CreateAdRequest, GetAdRequest, Order, PurchaseAdRequest, UpdateAdRequest,
};
use proto::media::v1::media_service_server::MediaServiceServer;
use proto::users::v1::user_service_server::UserServiceServer;
use serde_json::Value;
use testkit::Harness;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::stubs::{Media, Users};

/// The service, alone with its peers' stand-ins.
struct World {
    harness: Harness,
    marketplace: Marketplace,
    media: Media,
    users: Users,
    nobody: Somebody,
}

/// Somebody who calls; all clients come from `peer`.
#[derive(Clone)]
struct Somebody {
    id: Uuid,
    number: i64,
    peer: Peer,
}

impl World {
    async fn start() -> Self {
        Self::with_payment(None).await
    }

    /// With orders that must be paid within so many minutes.
    async fn with_payment(payment_minutes: Option<u32>) -> Self {
        let harness = Harness::new("marketplace", &marketplace::MIGRATOR).await;
        let (media, users) = (Media::default(), Users::default());
        harness.stub("media", MediaServiceServer::new(media.clone()));
        harness.stub("users", UserServiceServer::new(users.clone()));
        let marketplace = Marketplace::new(&harness.service, payment_minutes);
        let nobody = Somebody { id: Uuid::nil(), number: 0, peer: harness.serve(marketplace.routes()) };
        Self { harness, marketplace, media, users, nobody }
    }

    fn person(&self, number: i64, role: Role) -> Somebody {
        let id = self.users.person(number, role);
        Somebody { id, number, peer: self.harness.as_user(id, number, &[role]) }
    }

    fn seller(&self, number: i64) -> Somebody {
        self.person(number, Role::Specialist)
    }

    fn buyer(&self, number: i64) -> Somebody {
        self.person(number, Role::Consumer)
    }

    fn admin(&self) -> Somebody {
        self.person(1_000_000, Role::Admin)
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
        let mut tx = self.harness.service.db.begin().await.unwrap();
        self.marketplace.consume(&mut tx, &received).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The job that takes what people and files that are gone have left.
    async fn clear(&self) {
        self.marketplace.clear_remains().await.unwrap();
    }

    /// What was published since the last call: type, key and payload.
    async fn published(&self) -> Vec<(String, String, Value)> {
        sqlx::query_as(
            "with told as (delete from outbox returning position, type, key, body -> 'data' as data)
             select type, key, data from told order by position",
        )
        .fetch_all(&self.harness.service.db)
        .await
        .unwrap()
    }

    /// The types alone.
    async fn told(&self) -> Vec<String> {
        self.published().await.into_iter().map(|(kind, ..)| kind).collect()
    }

    /// Passes a second, so that what comes next is newer.
    fn tick(&self) {
        self.harness.clock.advance(std::time::Duration::from_secs(1));
    }
}

impl Somebody {
    fn ads(&self) -> AdServiceClient<Peer> {
        AdServiceClient::new(self.peer.clone())
    }

    fn categories(&self) -> CategoryServiceClient<Peer> {
        CategoryServiceClient::new(self.peer.clone())
    }

    fn follows(&self) -> FollowServiceClient<Peer> {
        FollowServiceClient::new(self.peer.clone())
    }

    fn orders(&self) -> OrderServiceClient<Peer> {
        OrderServiceClient::new(self.peer.clone())
    }

    async fn publish(&self, new: CreateAdRequest) -> Ad {
        self.ads().create_ad(new).await.unwrap().into_inner()
    }

    /// An ad with this title.
    async fn offers(&self, title: &str) -> Ad {
        self.publish(an_ad(title)).await
    }

    async fn sees(&self, id: i64) -> Result<Ad, Status> {
        Ok(self.ads().get_ad(GetAdRequest { id }).await?.into_inner())
    }

    async fn changes(&self, change: UpdateAdRequest) -> Result<Ad, Status> {
        Ok(self.ads().update_ad(change).await?.into_inner())
    }

    async fn moves(&self, id: i64, state: AdState) -> Result<Ad, Status> {
        self.changes(UpdateAdRequest { id, state: state.into(), ..Default::default() }).await
    }

    async fn buys(&self, ad_id: i64) -> Result<Order, Status> {
        let request = PurchaseAdRequest { ad_id, ..Default::default() };
        Ok(self.orders().purchase_ad(request).await?.into_inner())
    }
}

fn an_ad(title: &str) -> CreateAdRequest {
    CreateAdRequest {
        title: title.to_owned(),
        description: "Sano y vacunado".to_owned(),
        price_hundredths: 125_000,
        category_id: 24,
        condition: Condition::Used.into(),
        location_name: "Juigalpa".to_owned(),
        location: Some(Point { latitude: 12.1063, longitude: -85.3645 }),
        ..Default::default()
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
