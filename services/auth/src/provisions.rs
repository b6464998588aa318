//! What `users` is told. It is told while the change here is still open, so a crash in between would leave `users`
//! ahead of us: a person without an account, or a copy of a change that never was. An intent, committed beforehand and
//! deleted by the change itself, says where to look; what is left after a minute is settled from what is true.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Result, aborted};
use kit::wire::timestamp;
use proto::auth::v1::{AccountState, Profile};
use proto::users::v1::{AnonymizeUserRequest, ProvisionUserRequest, WithdrawUserRequest};
use sqlx::{PgConnection, PgPool};
use tonic::Request;
use uuid::Uuid;

use crate::Auth;
use crate::accounts::{AccountRow, State, lock_account};

/// No change takes as long: requests have deadlines, and one that lasts longer finds its intent gone and gives up.
const LEFT_AFTER: Duration = Duration::from_secs(60);
/// How long `users` may take: less than the above by far, and a lock and a connection are held meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many are settled in one turn.
const BATCH: i64 = 100;

/// A call to `users` that is about to be made.
pub(crate) struct Intent(Uuid);

impl Intent {
    /// First thing in the change's transaction. `ABORTED` when the intent was settled meanwhile.
    pub(crate) async fn redeem(&self, conn: &mut PgConnection) -> Result<()> {
        if delete_intent(conn, self.0).await? {
            return Ok(());
        }
        Err(aborted("OVERTAKEN", "the change took so long that it was given up"))
    }

    /// For a change that failed before `users` was told: there is nothing to settle.
    pub(crate) async fn forget(&self, db: &PgPool) -> Result<()> {
        delete_intent(&mut *db.acquire().await?, self.0).await?;
        Ok(())
    }
}

impl Auth {
    /// Commits an intent to tell `users` something about the account.
    pub(crate) async fn intend(&self, account_id: Uuid) -> Result<Intent> {
        let id = Uuid::now_v7();
        insert_intent(&self.db, id, account_id, self.clock.now()).await?;
        Ok(Intent(id))
    }

    /// Writes the copy of the account, and what was said of the person along with it.
    pub(crate) async fn tell_users(&self, account: &AccountRow, profile: Option<Profile>) -> Result<()> {
        let copy = ProvisionUserRequest {
            id: account.id.to_string(),
            number: account.number,
            version: account.version,
            phone: account.phone.clone(),
            email: account.email.clone(),
            roles: account.roles().numbers(),
            state: AccountState::from(account.state).into(),
            profile,
            created_at: Some(timestamp(account.created_at)),
        };
        self.users.clone().provision_user(patient(copy)).await?;
        Ok(())
    }

    /// Makes `users` forget the person for good.
    pub(crate) async fn tell_users_of_deletion(&self, account_id: Uuid) -> Result<()> {
        let request = AnonymizeUserRequest { id: account_id.to_string() };
        self.users.clone().anonymize_user(patient(request)).await?;
        Ok(())
    }

    /// Writes the copy after the commit, for changes that cannot wait for `users`: if it is away, the event tells it.
    pub(crate) async fn tell_users_if_there(&self, account: &AccountRow) {
        if let Err(error) = self.tell_users(account, None).await {
            tracing::warn!(%error, account.id = %account.id, "users will learn of the change by its event");
        }
    }

    /// Puts `users` right after changes that did not happen.
    pub async fn settle_provisions(self) -> Result<()> {
        let before = self.clock.now() - LEFT_AFTER;
        for id in list_left_intents(&self.db, before, BATCH).await? {
            // One that cannot be settled now must not keep the others waiting.
            if let Err(error) = self.settle(id).await {
                tracing::warn!(%error, provision.id = %id, "not settled yet");
            }
        }
        Ok(())
    }

    async fn settle(&self, id: Uuid) -> Result<()> {
        let mut tx = begin(&self.db).await?;
        // Locked by its change or by another replica: not left, or not ours.
        let Some(account_id) = lock_intent(&mut tx, id).await? else { return Ok(()) };
        if let Err(error) = self.put_right(&mut tx, account_id).await {
            // Now and not when the connection is used next: whoever tries again must not find the row locked.
            tx.rollback().await?;
            return Err(error);
        }
        delete_intent(&mut tx, id).await?;
        commit(tx).await?;
        tracing::info!(account.id = %account_id, "users put right after a change that did not happen");
        Ok(())
    }

    /// Tells `users` what is true.
    async fn put_right(&self, conn: &mut PgConnection, account_id: Uuid) -> Result<()> {
        match lock_account(conn, account_id).await? {
            None => {
                let request = WithdrawUserRequest { id: account_id.to_string() };
                self.users.clone().withdraw_user(patient(request)).await?;
                Ok(())
            }
            Some(account) if account.state == State::Deleted => self.tell_users_of_deletion(account_id).await,
            Some(mut account) => {
                // A new version, or `users` would take the change that never was for the newer one.
                account.version = renew_version(conn, account_id).await?;
                self.tell_users(&account, None).await
            }
        }
    }
}

/// With a deadline of its own, if the request being served has no shorter one.
fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

async fn insert_intent(db: &PgPool, id: Uuid, account_id: Uuid, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("insert into provisions (id, account_id, created_at) values ($1, $2, $3)", id, account_id, now)
        .execute(db)
        .await?;
    Ok(())
}

/// Whether it was there.
async fn delete_intent(conn: &mut PgConnection, id: Uuid) -> Result<bool> {
    let done = sqlx::query!("delete from provisions where id = $1", id).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

async fn list_left_intents(db: &PgPool, before: DateTime<Utc>, limit: i64) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "select id from provisions where created_at < $1 order by created_at limit $2",
        before,
        limit,
    )
    .fetch_all(db)
    .await?)
}

/// The intent's account.
async fn lock_intent(conn: &mut PgConnection, id: Uuid) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar!("select account_id from provisions where id = $1 for update skip locked", id)
        .fetch_optional(conn)
        .await?)
}

async fn renew_version(conn: &mut PgConnection, account_id: Uuid) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        "update accounts set version = nextval('account_versions') where id = $1 returning version",
        account_id,
    )
    .fetch_one(conn)
    .await?)
}
