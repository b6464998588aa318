//! What happens without being asked. Every task may run on several replicas at once.

use std::time::Duration;

use chrono::TimeDelta;
use kit::Result;
use kit::db::{begin, commit};
use sqlx::PgExecutor;

use crate::posts::delete_old_views;
use crate::{Forum, limits};

/// Posts whose relevance is computed in one transaction.
const BATCH: i64 = 1_000;

impl Forum {
    pub(crate) fn work(&self, kit: &kit::Service) {
        let forum = self.clone();
        kit.every("delete former pictures", Duration::from_secs(10), move || {
            let forum = forum.clone();
            async move { forum.delete_discarded().await }
        });
        let forum = self.clone();
        kit.every("clear deleted communities", Duration::from_secs(5), move || {
            let forum = forum.clone();
            async move { forum.clear_communities().await }
        });
        let forum = self.clone();
        kit.every("sweep", Duration::from_secs(60), move || {
            let forum = forum.clone();
            async move { forum.sweep().await }
        });
        let forum = self.clone();
        kit.every("relevance", Duration::from_secs(300), move || {
            let forum = forum.clone();
            async move { forum.compute_relevance().await }
        });
    }

    /// Deletes what only the last minutes needed.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        limits::delete_idle(&self.db, now).await?;
        delete_old_views(&self.db, now - TimeDelta::minutes(30)).await?;
        self.sweep_rankings().await
    }

    /// Notes which posts have activity if somebody will ask for it, and else nothing: it would be one more write with every
    /// view and vote.
    pub async fn note_activity(&self) -> Result<()> {
        let mut tx = begin(&self.db).await?;
        let noted = sqlx::query_scalar!(
            r#"select tgenabled <> 'D' as "noted!" from pg_trigger
               where tgname = 'posts_activity' and tgrelid = 'posts'::regclass"#
        );
        let noted = noted.fetch_one(&mut *tx).await?;
        if self.rules.relevance && !noted {
            sqlx::query!("alter table posts enable trigger posts_activity").execute(&mut *tx).await?;
            sqlx::query!("insert into active_posts select id from posts on conflict do nothing")
                .execute(&mut *tx)
                .await?;
        } else if !self.rules.relevance && noted {
            sqlx::query!("alter table posts disable trigger posts_activity").execute(&mut *tx).await?;
            sqlx::query!("truncate active_posts").execute(&mut *tx).await?;
        }
        commit(tx).await
    }

    /// Computes what posts with activity mean to everybody, where the installation wants that.
    pub async fn compute_relevance(&self) -> Result<()> {
        if !self.rules.relevance {
            return Ok(());
        }
        loop {
            // First off the list and then computed: what happens in between comes onto it again.
            let posts = take_active(&self.db, BATCH).await?;
            if posts.is_empty() {
                return Ok(());
            }
            update_relevance(&self.db, &posts).await?;
        }
    }
}

async fn take_active(db: impl PgExecutor<'_>, most: i64) -> Result<Vec<i64>> {
    let posts = sqlx::query_scalar!(
        "delete from active_posts
         where post_id in (select post_id from active_posts order by post_id limit $1 for update skip locked)
         returning post_id",
        most
    );
    Ok(posts.fetch_all(db).await?)
}

/// Locked by id, as everybody does who locks several.
async fn update_relevance(db: impl PgExecutor<'_>, posts: &[i64]) -> Result<()> {
    sqlx::query!(
        "with active as (select id from posts where id = any($1) order by id for no key update)
         update posts p
         set relevance_score = relevance(p.comments_count, p.hearts, p.likes, p.dislikes, p.views_count)
         from active where p.id = active.id",
        posts
    )
    .execute(db)
    .await?;
    Ok(())
}
