//! Forgetting: what expired or was only kept for a while. Nothing here changes what anybody sees.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kit::error::Result;
use sqlx::PgPool;

use crate::Auth;
use crate::limits::WINDOW;
use crate::lockout::FORGOTTEN_AFTER;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long entries of the audit log are kept.
const AUDIT_KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

impl Auth {
    pub async fn sweep(self) -> Result<()> {
        let now = self.clock.now();
        delete_sessions(&self.db, now - DAY).await?;
        delete_refresh_tokens(&self.db, now).await?;
        delete_resets(&self.db, now).await?;
        delete_login_failures(&self.db, now - FORGOTTEN_AFTER).await?;
        delete_request_limits(&self.db, now - WINDOW).await?;
        delete_audit_entries(&self.db, now - AUDIT_KEPT).await?;
        Ok(())
    }
}

/// Sessions that ended or ran out, a day after the last access token: nobody asks about them any more.
async fn delete_sessions(db: &PgPool, before: DateTime<Utc>) -> Result<()> {
    sqlx::query!("delete from sessions where (ended_at is not null and access_until < $1) or expires_at < $1", before,)
        .execute(db)
        .await?;
    Ok(())
}

async fn delete_refresh_tokens(db: &PgPool, before: DateTime<Utc>) -> Result<()> {
    sqlx::query!("delete from refresh_tokens where expires_at < $1", before).execute(db).await?;
    Ok(())
}

async fn delete_resets(db: &PgPool, before: DateTime<Utc>) -> Result<()> {
    sqlx::query!("delete from password_resets where expires_at < $1", before).execute(db).await?;
    Ok(())
}

async fn delete_login_failures(db: &PgPool, before: DateTime<Utc>) -> Result<()> {
    sqlx::query!("delete from login_failures where failed_at < $1", before).execute(db).await?;
    Ok(())
}

async fn delete_request_limits(db: &PgPool, before: DateTime<Utc>) -> Result<()> {
    sqlx::query!("delete from request_limits where last_at < $1", before).execute(db).await?;
    Ok(())
}

async fn delete_audit_entries(db: &PgPool, before: DateTime<Utc>) -> Result<()> {
    sqlx::query!("delete from audit_entries where created_at < $1", before).execute(db).await?;
    Ok(())
}
