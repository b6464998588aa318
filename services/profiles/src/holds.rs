//! The role of a profile is the account's, and stays so as long as the profile: `auth` holds it. It is told after our
//! commit, for what it is told must be true, and told again until it answers. Each message carries a version and what is
//! true at that version, so that repeats and late arrivals change nothing.

use chrono::{DateTime, Utc};
use proto::access::v1::Role;
use proto::auth::v1::HoldRoleRequest;
use sqlx::PgExecutor;
use tonic::Code;
use uuid::Uuid;

use crate::Profiles;
use crate::profiles::Kind;

impl Profiles {
    /// Tells `auth` what is true of a person's profile. While `auth` is away this is nobody's failure: it will be told.
    pub(crate) async fn tell_hold(&self, user_id: Uuid) {
        if let Err(error) = self.try_tell_hold(user_id).await {
            tracing::warn!(%error, user.id = %user_id, "auth will hear of the profile's role later");
        }
    }

    async fn try_tell_hold(&self, user_id: Uuid) -> kit::Result<()> {
        let Some(hold) = fetch_hold(&self.db, user_id).await? else { return Ok(()) };
        let request = HoldRoleRequest {
            id: user_id.to_string(),
            role: hold.kind.map_or(Role::Unspecified, Kind::role).into(),
            version: hold.version,
            session_id: hold.session_id.map(|id| id.to_string()).unwrap_or_default(),
        };
        match self.accounts.clone().hold_role(request).await {
            // Whose account is gone holds nothing.
            Err(status) if status.code() != Code::NotFound => Err(status.into()),
            _ => delete_hold(&self.db, user_id, hold.version).await,
        }
    }

    /// Tells `auth` what it has not heard yet. What fails comes again, later each time.
    pub async fn tell_due_holds(&self) -> kit::Result<()> {
        for user_id in lease_holds(&self.db, self.clock.now()).await? {
            self.tell_hold(user_id).await;
        }
        Ok(())
    }
}

/// To be written with the change of the profile, whose row is locked; so versions follow the order of the changes.
pub(crate) async fn insert_hold(
    db: impl PgExecutor<'_>,
    user_id: Uuid,
    session_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into holds (user_id, version, session_id, due_at) values ($1, nextval('hold_versions'), $2, $3)
         on conflict (user_id) do update
         set version = excluded.version, session_id = excluded.session_id, attempts = 0, due_at = excluded.due_at",
        user_id,
        session_id,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(crate) async fn forget_hold(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from holds where user_id = $1", user_id).execute(db).await?;
    Ok(())
}

struct Hold {
    version: i64,
    session_id: Option<Uuid>,
    kind: Option<Kind>,
}

/// Version and kind in one statement, so that they belong together.
async fn fetch_hold(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<Option<Hold>> {
    let hold = sqlx::query_as!(
        Hold,
        r#"select h.version, h.session_id, p.kind as "kind?: Kind"
           from holds h left join profiles p using (user_id)
           where user_id = $1"#,
        user_id
    );
    Ok(hold.fetch_optional(db).await?)
}

/// Unless there is a newer one meanwhile.
async fn delete_hold(db: impl PgExecutor<'_>, user_id: Uuid, version: i64) -> kit::Result<()> {
    sqlx::query!("delete from holds where user_id = $1 and version = $2", user_id, version).execute(db).await?;
    Ok(())
}

/// A lease instead of a lock, because no transaction should stay open while a peer is asked.
async fn lease_holds(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> kit::Result<Vec<Uuid>> {
    let leased = sqlx::query_scalar!(
        "update holds
         set attempts = attempts + 1, due_at = $1 + least(attempts + 1, 60) * interval '5 seconds'
         where user_id in (
             select user_id from holds where due_at <= $1 order by due_at limit 100 for update skip locked
         )
         returning user_id",
        now
    );
    Ok(leased.fetch_all(db).await?)
}
