//! What this service tells others, and what it listens to: a person who is gone takes their ads and follows along, and
//! their open orders are cancelled; a file that is gone is shown no more. How that is done stands in `remains`.

use kit::inbox::{Consumer, Received};
use kit::outbox::{Queued, publish, publish_all};
use kit::wire::parse_id;
use proto::Event;
use proto::events::v1::{
    AddCreated, AddDeleted, AddSold, AddUpdated, FollowCreated, FollowDeleted, MediaDeleted, OrderCancelled,
    OrderCompleted, OrderPlaced, UserDeleted,
};
use sqlx::PgConnection;

use crate::Marketplace;
use crate::ads::AdRow;
use crate::follows::FollowRow;
use crate::gone::note_gone;
use crate::machine::AdState;
use crate::orders::OrderRow;

#[tonic::async_trait]
impl Consumer for Marketplace {
    fn topics(&self) -> &'static [&'static str] {
        &[UserDeleted::TOPIC, MediaDeleted::TOPIC]
    }

    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> kit::Result<()> {
        if let Some(deleted) = event.parse::<UserDeleted>()? {
            let id = parse_id("user_uuid", &deleted.user_uuid)?;
            note_gone(tx, id, deleted.user_id, self.clock.now()).await
        } else if let Some(deleted) = event.parse::<MediaDeleted>()? {
            self.forget_file(tx, parse_id("media_uuid", &deleted.media_uuid)?).await
        } else {
            Ok(())
        }
    }
}

pub(crate) async fn publish_created(tx: &mut PgConnection, ad: &AdRow) -> kit::Result<()> {
    let event = AddCreated {
        add_id: ad.id,
        publisher_id: ad.publisher_number,
        publisher_uuid: ad.publisher_id.to_string(),
        title: ad.title.clone(),
    };
    publish(tx, &ad.id.to_string(), &event).await
}

pub(crate) async fn publish_updated(tx: &mut PgConnection, ad: &AdRow) -> kit::Result<()> {
    let event = AddUpdated {
        add_id: ad.id,
        publisher_id: ad.publisher_number,
        publisher_uuid: ad.publisher_id.to_string(),
        status: match ad.state {
            AdState::Active => "active",
            AdState::Paused => "paused",
            AdState::Sold | AdState::Ordered => "sold",
            AdState::Archived => "archived",
        }
        .to_owned(),
    };
    publish(tx, &ad.id.to_string(), &event).await
}

pub(crate) async fn publish_deleted(tx: &mut PgConnection, ads: &[AdRow]) -> kit::Result<()> {
    let deleted = |ad: &AdRow| {
        let publisher_uuid = ad.publisher_id.to_string();
        let event = AddDeleted { add_id: ad.id, publisher_id: ad.publisher_number, publisher_uuid };
        Queued::new(&ad.id.to_string(), &event)
    };
    publish_all(tx, &ads.iter().map(deleted).collect::<kit::Result<Vec<_>>>()?).await
}

pub(crate) async fn publish_sold(tx: &mut PgConnection, ad: &AdRow, order: Option<&OrderRow>) -> kit::Result<()> {
    let event = AddSold {
        add_id: ad.id,
        publisher_id: ad.publisher_number,
        publisher_uuid: ad.publisher_id.to_string(),
        buyer_id: order.map(|order| order.buyer_number),
        buyer_uuid: order.map(|order| order.buyer_id.to_string()),
        order_id: order.map(|order| order.id),
        price: decimal(ad.price),
    };
    publish(tx, &ad.id.to_string(), &event).await
}

/// The three events of an order say the same of it.
macro_rules! order_events {
    ($($name:ident $event:ident)*) => {$(
        pub(crate) async fn $name(tx: &mut PgConnection, order: &OrderRow) -> kit::Result<()> {
            let event = $event {
                order_id: order.id,
                add_id: order.ad_id,
                buyer_id: order.buyer_number,
                buyer_uuid: order.buyer_id.to_string(),
                seller_id: order.seller_number,
                seller_uuid: order.seller_id.to_string(),
                price: decimal(order.price),
            };
            publish(tx, &order.ad_id.to_string(), &event).await
        }
    )*};
}

order_events! { publish_placed OrderPlaced publish_cancelled OrderCancelled publish_completed OrderCompleted }

pub(crate) async fn publish_follow(tx: &mut PgConnection, follow: &FollowRow) -> kit::Result<()> {
    let event = FollowCreated {
        follow_id: follow.id,
        follower_id: follow.follower_number,
        follower_uuid: follow.follower_id.to_string(),
        following_id: follow.following_number,
        following_uuid: follow.following_id.to_string(),
    };
    publish(tx, &follow.follower_number.to_string(), &event).await
}

pub(crate) async fn publish_unfollows(tx: &mut PgConnection, follows: &[FollowRow]) -> kit::Result<()> {
    let deleted = |follow: &FollowRow| {
        let event = FollowDeleted {
            follow_id: follow.id,
            follower_id: follow.follower_number,
            follower_uuid: follow.follower_id.to_string(),
            following_id: follow.following_number,
            following_uuid: follow.following_id.to_string(),
        };
        Queued::new(&follow.follower_number.to_string(), &event)
    };
    publish_all(tx, &follows.iter().map(deleted).collect::<kit::Result<Vec<_>>>()?).await
}

/// Hundredths as a decimal with two places.
fn decimal(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
