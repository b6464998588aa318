//! What is left of people and files that are gone: ads, follows, open orders, a buyer's notes; pictures of ads. In
//! steps that are each over in a moment and publish few events, for each event is a lock until the commit.

use kit::db::{begin, commit};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::Marketplace;
use crate::ads::{AdRow, delete_ads, list_ads_of, lock_ads, lock_ads_showing, take_image};
use crate::events::{publish_deleted, publish_unfollows, publish_updated};
use crate::follows::{delete_follows, list_follows_of};
use crate::gone::{list_uncleared, lock_uncleared, update_cleared};
use crate::machine::OrderCommand;
use crate::orders::{blank_notes_of, lock_open_orders_of};

/// Rows in one step.
const STEP: i64 = 200;

impl Marketplace {
    /// Lets go of all that people and files left. What cannot be let go of keeps nothing else here.
    pub async fn clear_remains(&self) -> kit::Result<()> {
        for (id, number) in list_uncleared(&self.db).await? {
            if let Err(error) = self.clear_person(id, number).await {
                tracing::warn!(user.number = number, %error, "something is left of a person who is gone");
            }
        }
        for media_id in list_gone_files(&self.db).await? {
            if let Err(error) = self.clear_file(media_id).await {
                tracing::warn!(media.id = %media_id, %error, "ads still show a file that is gone");
            }
        }
        Ok(())
    }

    async fn clear_person(&self, id: Uuid, number: i64) -> kit::Result<()> {
        loop {
            let mut tx = begin(&self.db).await?;
            // One replica at a time, so that two do not wait for each other's steps.
            if !lock_uncleared(&mut tx, id).await? {
                return Ok(());
            }
            if !self.clear_some(&mut tx, number).await? {
                update_cleared(&mut tx, id, self.clock.now()).await?;
            }
            commit(tx).await?;
        }
    }

    /// One step; whether there was anything left.
    async fn clear_some(&self, tx: &mut PgConnection, number: i64) -> kit::Result<bool> {
        Ok(self.withdraw_ads(tx, number).await?
            || end_follows(tx, number).await?
            || blank_notes_of(tx, number, STEP).await? > 0)
    }

    /// Ads are deleted rather than archived: title, text, place and pictures are the person's own words. What the other
    /// side of an order needs stands in the order. Open orders are cancelled, so that nobody waits for them.
    async fn withdraw_ads(&self, tx: &mut PgConnection, number: i64) -> kit::Result<bool> {
        let concerned = list_ads_of(tx, number, STEP).await?;
        // First the ads: who is buying one has an order that we see then, and who comes later finds no ad.
        let locked = lock_ads(tx, &concerned).await?;
        for (order, ad) in lock_open_orders_of(tx, number, &concerned).await? {
            self.cancel(tx, ad, order, OrderCommand::Cancel, None).await?;
        }
        let own: Vec<AdRow> = locked.into_iter().filter(|ad| ad.publisher_number == number).collect();
        delete_ads(tx, &own.iter().map(|ad| ad.id).collect::<Vec<_>>()).await?;
        publish_deleted(tx, &own).await?;
        Ok(!concerned.is_empty())
    }

    /// The first step is part of the event, so of most files nothing is left.
    pub(crate) async fn forget_file(&self, tx: &mut PgConnection, media_id: Uuid) -> kit::Result<()> {
        if self.hide_file(tx, media_id).await? {
            insert_gone_file(tx, media_id).await?;
        }
        Ok(())
    }

    async fn clear_file(&self, media_id: Uuid) -> kit::Result<()> {
        loop {
            let mut tx = begin(&self.db).await?;
            if !lock_gone_file(&mut tx, media_id).await? {
                return Ok(());
            }
            if !self.hide_file(&mut tx, media_id).await? {
                delete_gone_file(&mut tx, media_id).await?;
            }
            commit(tx).await?;
        }
    }

    /// One step; whether more ads may show the file.
    async fn hide_file(&self, tx: &mut PgConnection, media_id: Uuid) -> kit::Result<bool> {
        let ads = lock_ads_showing(tx, media_id, STEP).await?;
        for ad in &ads {
            take_image(tx, ad.id, media_id, self.clock.now()).await?;
            publish_updated(tx, ad).await?;
        }
        Ok(ads.len() as i64 == STEP)
    }
}

/// In both directions.
async fn end_follows(tx: &mut PgConnection, number: i64) -> kit::Result<bool> {
    let left = list_follows_of(tx, number, STEP).await?;
    let ended = delete_follows(tx, &left).await?;
    publish_unfollows(tx, &ended).await?;
    Ok(!left.is_empty())
}

async fn insert_gone_file(conn: &mut PgConnection, media_id: Uuid) -> kit::Result<()> {
    sqlx::query!("insert into gone_files (media_id) values ($1) on conflict do nothing", media_id)
        .execute(conn)
        .await?;
    Ok(())
}

async fn list_gone_files(db: impl PgExecutor<'_>) -> kit::Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!("select media_id from gone_files order by media_id").fetch_all(db).await?)
}

/// Whether there is anything to do that nobody else does.
async fn lock_gone_file(conn: &mut PgConnection, media_id: Uuid) -> kit::Result<bool> {
    let locked = sqlx::query!("select media_id from gone_files where media_id = $1 for update skip locked", media_id);
    Ok(locked.fetch_optional(conn).await?.is_some())
}

async fn delete_gone_file(conn: &mut PgConnection, media_id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from gone_files where media_id = $1", media_id).execute(conn).await?;
    Ok(())
}
