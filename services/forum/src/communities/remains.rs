//! What is left of a deleted community: posts lose it, members, bans and its queue of reports go. In steps that are each
//! over in a moment; the first is part of the deletion, so of a small community nothing is left.

use kit::db::{begin, commit};
use sqlx::{PgConnection, PgExecutor};

use crate::Forum;

/// Rows of each table in one step.
const STEP: i64 = 1_000;

impl Forum {
    /// Lets go of all that refers to deleted communities.
    pub async fn clear_communities(&self) -> kit::Result<()> {
        for community_id in list_deleted(&self.db).await? {
            loop {
                let mut tx = begin(&self.db).await?;
                // One replica at a time, so that nobody takes what another is about to let go for the end.
                if !lock_deleted(&mut *tx, community_id).await? {
                    break;
                }
                clear_some(&mut tx, community_id).await?;
                commit(tx).await?;
            }
        }
        Ok(())
    }
}

/// One step, with which the note of the community goes when nothing is left. In the order in which everybody locks.
pub(super) async fn clear_some(conn: &mut PgConnection, community_id: i64) -> kit::Result<()> {
    // Reports last: until a post is without its community, somebody may add one.
    let left = release_posts(&mut *conn, community_id).await? == STEP
        || delete_members(&mut *conn, community_id).await? == STEP
        || delete_bans(&mut *conn, community_id).await? == STEP
        || release_reports(&mut *conn, community_id).await? == STEP;
    if !left {
        delete_deleted(conn, community_id).await?;
    }
    Ok(())
}

pub(super) async fn insert_deleted(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<()> {
    sqlx::query!("insert into deleted_communities (community_id) values ($1)", community_id).execute(db).await?;
    Ok(())
}

/// Whether there is anything to do that nobody else does.
async fn lock_deleted(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<bool> {
    let locked = sqlx::query!(
        "select community_id from deleted_communities where community_id = $1 for update skip locked",
        community_id
    );
    Ok(locked.fetch_optional(db).await?.is_some())
}

async fn delete_deleted(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<()> {
    sqlx::query!("delete from deleted_communities where community_id = $1", community_id).execute(db).await?;
    Ok(())
}

async fn list_deleted(db: impl PgExecutor<'_>) -> kit::Result<Vec<i64>> {
    Ok(sqlx::query_scalar!("select community_id from deleted_communities order by community_id").fetch_all(db).await?)
}

async fn release_posts(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<i64> {
    let released = sqlx::query!(
        "update posts set community_id = null where id in (
             select id from posts where community_id = $1 order by id limit $2 for no key update
         )",
        community_id,
        STEP
    );
    Ok(released.execute(db).await?.rows_affected() as i64)
}

async fn delete_members(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<i64> {
    let deleted = sqlx::query!(
        "delete from memberships where community_id = $1 and user_id in (
             select user_id from memberships where community_id = $1 order by user_id limit $2 for update
         )",
        community_id,
        STEP
    );
    Ok(deleted.execute(db).await?.rows_affected() as i64)
}

async fn delete_bans(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<i64> {
    let deleted = sqlx::query!(
        "delete from bans where community_id = $1 and user_id in (
             select user_id from bans where community_id = $1 order by user_id limit $2 for update
         )",
        community_id,
        STEP
    );
    Ok(deleted.execute(db).await?.rows_affected() as i64)
}

async fn release_reports(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<i64> {
    let released = sqlx::query!(
        "update reported set community_id = null where id in (
             select id from reported where community_id = $1 order by id limit $2 for update
         )",
        community_id,
        STEP
    );
    Ok(released.execute(db).await?.rows_affected() as i64)
}
