//! Passwords: the RPCs of those who know theirs and of those who do not. Where codes and links come from is in `reset`.

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, Result, aborted, invalid_because};
use kit::identity::{Caller, caller};
use kit::outbox::publish;
use proto::auth::v1::password_service_server::PasswordService;
use proto::auth::v1::request_password_reset_request::To;
use proto::auth::v1::{
    ChangePasswordRequest, ChangePasswordResponse, RequestPasswordResetRequest, RequestPasswordResetResponse,
    ResetPasswordRequest, ResetPasswordResponse,
};
use proto::events::v1::UserPasswordChanged;
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::accounts::{AccountRow, Live, lock_account};
use crate::audit::{self, Entry};
use crate::email::Email;
use crate::phone::Phone;
use crate::reset::{Recipient, Shown};
use crate::revocations::Ended;
use crate::sessions::end_sessions;
use crate::{Auth, strength};

#[tonic::async_trait]
impl PasswordService for Auth {
    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let caller = caller(&request)?;
        let input = request.into_inner();
        let proven = self.prove_password(caller.id, "current_password", &input.current_password).await?;
        if input.new_password == input.current_password {
            return Err(same_password().into());
        }
        let names: Vec<_> = proven.names().collect();
        strength::check("new_password", &input.new_password, input.password_rule(), &names)?;
        let hash = self.hasher.hash(&input.new_password).await?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let account = lock_account(&mut tx, caller.id).await?.live()?;
        if account.password_set_at != proven.password_set_at {
            return Err(aborted("CONFLICT", "the password was changed meanwhile").into());
        }
        let ended = replace_password(&mut tx, &account, &hash, &caller, now).await?;
        commit(tx).await?;
        self.revoke(&ended).await;
        Ok(Response::new(ChangePasswordResponse {}))
    }

    async fn request_password_reset(
        &self,
        request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        let recipient = match request.into_inner().to {
            Some(To::Phone(typed)) => Recipient::Phone(Phone::parse(&typed)?),
            Some(To::Email(typed)) => Recipient::Email(Email::parse(&typed)?),
            None => return Err(kit::error::invalid("to", "must be set").into()),
        };
        self.send_reset(&recipient).await?;
        Ok(Response::new(RequestPasswordResetResponse {}))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        let input = request.into_inner();
        let rule = input.password_rule();
        let shown = Shown::parse(input.proof)?;
        self.reset_with(&shown, &input.new_password, rule).await?;
        Ok(Response::new(ResetPasswordResponse {}))
    }
}

fn same_password() -> Error {
    invalid_because("new_password", "SAME_PASSWORD", "must differ from the current one")
}

/// What a new password brings with it: every session but the caller's ends, and a reset on its way dies.
pub(crate) async fn replace_password(
    conn: &mut PgConnection,
    account: &AccountRow,
    hash: &str,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Vec<Ended>> {
    set_password(conn, account.id, hash, now).await?;
    delete_reset(conn, account.id).await?;
    let ended = end_sessions(conn, account.id, Some(caller.session), now).await?;
    audit::note(conn, now, Entry::by(Some(caller.id), account.id, "PASSWORD_CHANGED")).await?;
    let event =
        UserPasswordChanged { user_id: account.number, user_uuid: account.id.to_string(), origin: "change".into() };
    publish(conn, &account.key(), &event).await?;
    Ok(ended)
}

/// Sets a password. Logins that verified the former one meanwhile see it by `password_set_at`.
pub(crate) async fn set_password(
    conn: &mut PgConnection,
    account_id: Uuid,
    hash: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    // Later than before in any case: two changes within one tick of the clock are still two.
    sqlx::query!(
        "update accounts set password_hash = $2,
            password_set_at = greatest($3, password_set_at + interval '1 microsecond')
         where id = $1",
        account_id,
        hash,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Kills the account's reset code or link, if there is one.
pub(crate) async fn delete_reset(conn: &mut PgConnection, account_id: Uuid) -> Result<()> {
    sqlx::query!("delete from password_resets where account_id = $1", account_id).execute(conn).await?;
    Ok(())
}
