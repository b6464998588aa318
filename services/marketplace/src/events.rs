//! What this service tells others, and what it listens to: a person who is gone takes their ads and follows along, and
//! their open orders are cancelled, so that nobody waits for them; a file that is gone is shown no more.

use kit::inbox::{Consumer, Received};
use kit::outbox::publish;
use kit::wire::parse_id;
use proto::Event;
use proto::events::v1::{
    AddCreated, AddDeleted, AddSold, AddUpdated, FollowCreated, FollowDeleted, MediaDeleted, OrderCancelled,
    OrderCompleted, OrderPlaced, UserDeleted,
};
use sqlx::PgConnection;

use crate::Marketplace;
use crate::ads::{AdRow, delete_ad, lock_ads_of, lock_ads_showing, take_image};
use crate::follows::{FollowRow, delete_follows_of};
use crate::machine::{AdState, OrderCommand};
use crate::orders::{OrderRow, list_open_orders_of};

#[tonic::async_trait]
impl Consumer for Marketplace {
    fn topics(&self) -> &'static [&'static str] {
        &[UserDeleted::TOPIC, MediaDeleted::TOPIC]
    }

    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> kit::Result<()> {
        if let Some(deleted) = event.parse::<UserDeleted>()? {
            self.forget_person(tx, deleted).await
        } else if let Some(deleted) = event.parse::<MediaDeleted>()? {
            self.forget_file(tx, deleted).await
        } else {
            Ok(())
        }
    }
}

impl Marketplace {
    /// Ads are deleted rather than archived: title, text, place and pictures are the person's own words. What the other
    /// side of an order needs stands in the order.
    async fn forget_person(&self, tx: &mut PgConnection, event: UserDeleted) -> kit::Result<()> {
        // First the ads: who is buying one has an order that we see then, and who comes later finds no ad.
        let locked = lock_ads_of(tx, event.user_id).await?;
        for (order, ad) in list_open_orders_of(tx, event.user_id).await? {
            self.cancel(tx, ad, order, OrderCommand::Cancel, None).await?;
        }
        for ad in locked.into_iter().filter(|ad| ad.publisher_number == event.user_id) {
            delete_ad(tx, ad.id).await?;
            publish_deleted(tx, &ad).await?;
        }
        for follow in delete_follows_of(tx, event.user_id).await? {
            publish_unfollow(tx, &follow).await?;
        }
        Ok(())
    }

    async fn forget_file(&self, tx: &mut PgConnection, event: MediaDeleted) -> kit::Result<()> {
        let media_id = parse_id("media_uuid", &event.media_uuid)?;
        for ad in lock_ads_showing(tx, media_id).await? {
            take_image(tx, ad.id, media_id, self.clock.now()).await?;
            publish_updated(tx, &ad).await?;
        }
        Ok(())
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

pub(crate) async fn publish_deleted(tx: &mut PgConnection, ad: &AdRow) -> kit::Result<()> {
    let event =
        AddDeleted { add_id: ad.id, publisher_id: ad.publisher_number, publisher_uuid: ad.publisher_id.to_string() };
    publish(tx, &ad.id.to_string(), &event).await
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

pub(crate) async fn publish_unfollow(tx: &mut PgConnection, follow: &FollowRow) -> kit::Result<()> {
    let event = FollowDeleted {
        follow_id: follow.id,
        follower_id: follow.follower_number,
        follower_uuid: follow.follower_id.to_string(),
        following_id: follow.following_number,
        following_uuid: follow.following_id.to_string(),
    };
    publish(tx, &follow.follower_number.to_string(), &event).await
}

/// Hundredths as a decimal with two places.
fn decimal(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
