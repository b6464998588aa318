//! What nobody waits for: files that nobody claimed in a day, addresses that are not needed any more, and the bytes of
//! everything that is gone. Any number of replicas may sweep at once; each row is taken by one of them.

use chrono::{DateTime, TimeDelta, Utc};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::Media;
use crate::files::{ANONYMOUS_WINDOW, delete_files};

/// How long an anonymous upload waits for an owner.
const UNCLAIMED: TimeDelta = TimeDelta::hours(24);
/// Rows taken at once.
const BATCH: i64 = 100;

impl Media {
    /// Runs every 30 seconds; does all there is to do.
    pub async fn sweep(&self) -> kit::Result<()> {
        while self.delete_unclaimed().await? == BATCH as usize {}
        forget_uploaders(&self.db, self.clock.now() - ANONYMOUS_WINDOW).await?;
        while self.delete_doomed().await? == BATCH as usize {}
        Ok(())
    }

    async fn delete_unclaimed(&self) -> kit::Result<usize> {
        let now = self.clock.now();
        let mut tx = kit::db::begin(&self.db).await?;
        let ids = lock_unclaimed(&mut tx, now - UNCLAIMED).await?;
        delete_files(&mut tx, &ids, now).await?;
        tx.commit().await?;
        Ok(ids.len())
    }

    /// Deletes a batch of doomed objects. Their rows are taken by moving their due time, not by a lock, so that no
    /// transaction waits for the storage; a crash leaves them to be tried again.
    async fn delete_doomed(&self) -> kit::Result<usize> {
        let keys = take_doomed(&self.db, self.clock.now()).await?;
        let mut gone = Vec::with_capacity(keys.len());
        for key in &keys {
            if let Some(folder) = &self.folder {
                // An object is written under this name first; after a crash it may still be there.
                let _ = tokio::fs::remove_file(folder.join(format!("{key}#1"))).await;
            }
            match self.storage.delete(&Path::from(key.as_str())).await {
                Ok(()) => gone.push(key.clone()),
                // It was never put, or was deleted before a crash. S3 says this only of a bucket that it does not find,
                // and then nothing is gone.
                Err(Error::NotFound { .. }) if self.folder.is_some() => gone.push(key.clone()),
                Err(error) => {
                    tracing::warn!(%error, key, "the storage did not delete an object; trying again later");
                    metrics::counter!("media_storage_failures_total", "operation" => "delete").increment(1);
                }
            }
        }
        delete_doomed_rows(&self.db, &gone).await?;
        Ok(keys.len())
    }
}

async fn lock_unclaimed(tx: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<Vec<Uuid>> {
    // A file that is being claimed right now is locked by its claimer, and skipped.
    sqlx::query_scalar!(
        "select id from files where owner_id is null and created_at < $1 order by created_at limit $2
         for update skip locked",
        before,
        BATCH,
    )
    .fetch_all(tx)
    .await
}

async fn forget_uploaders(db: &PgPool, before: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update files set uploader = null where uploader is not null and created_at < $1", before)
        .execute(db)
        .await?;
    Ok(())
}

/// Takes due rows and sets when they are due again should we fail: after a minute, two, four, … at most an hour.
async fn take_doomed(db: &PgPool, now: DateTime<Utc>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "update doomed_objects
         set attempts = attempts + 1,
             due_at = $1 + least(interval '1 minute' * (1 << least(attempts, 6)), interval '1 hour')
         where key in (
             select key from doomed_objects where due_at <= $1 order by due_at limit $2 for update skip locked
         )
         returning key",
        now,
        BATCH,
    )
    .fetch_all(db)
    .await
}

async fn delete_doomed_rows(db: &PgPool, keys: &[String]) -> sqlx::Result<()> {
    sqlx::query!("delete from doomed_objects where key = any($1)", keys).execute(db).await?;
    Ok(())
}
