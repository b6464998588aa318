//! The second factor: TOTP (RFC 6238) with recovery codes. A code is good once: the step it belongs to is stored, and
//! only a later one is taken.

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, Result, internal, invalid_because, refused};
use kit::identity::caller;
use kit::seal::{hmac, random};
use proto::auth::v1::second_factor_service_server::SecondFactorService;
use proto::auth::v1::{
    BeginSecondFactorRequest, BeginSecondFactorResponse, ConfirmSecondFactorRequest, ConfirmSecondFactorResponse,
    RemoveSecondFactorRequest, RemoveSecondFactorResponse,
};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use totp_rs::{Builder, Totp};
use uuid::Uuid;

use crate::Auth;
use crate::accounts::{Live, lock_account};
use crate::audit::{self, Entry};

const RECOVERY_CODES: usize = 10;
/// Without letters and digits that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

#[tonic::async_trait]
impl SecondFactorService for Auth {
    async fn begin_second_factor(
        &self,
        request: Request<BeginSecondFactorRequest>,
    ) -> Result<Response<BeginSecondFactorResponse>, Status> {
        let caller = caller(&request)?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let account = lock_account(&mut tx, caller.id).await?.live()?;
        if account.second_factor {
            return Err(refused("SECOND_FACTOR_ON", "it is on; remove it first").into());
        }
        let secret: [u8; 20] = random();
        // A colon would end the issuer's part of the URL.
        let name = account.names().next().unwrap_or_default().replace(':', "");
        let totp = totp(&secret, &name)?;
        let url = totp.to_url().map_err(internal)?;
        let sealed = self.secrets.sealer.seal(context(account.id).as_bytes(), &secret);
        replace_second_factor(&mut tx, account.id, &sealed, now).await?;
        commit(tx).await?;
        Ok(Response::new(BeginSecondFactorResponse { secret: totp.secret().to_base32(), url }))
    }

    async fn confirm_second_factor(
        &self,
        request: Request<ConfirmSecondFactorRequest>,
    ) -> Result<Response<ConfirmSecondFactorResponse>, Status> {
        let caller = caller(&request)?;
        let code = &request.get_ref().code;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        lock_account(&mut tx, caller.id).await?.live()?;
        let factor = lock_second_factor(&mut tx, caller.id).await?.ok_or_else(not_begun)?;
        if factor.confirmed_at.is_some() {
            return Err(not_begun().into());
        }
        let step = self.matching_step(caller.id, &factor, code, now)?.ok_or_else(bad_code)?;
        confirm(&mut tx, caller.id, step, now).await?;
        let recovery_codes: Vec<_> = (0..RECOVERY_CODES).map(|_| random_code()).collect();
        let hashes: Vec<_> = recovery_codes.iter().map(|code| self.recovery_hash(caller.id, code)).collect();
        insert_recovery_codes(&mut tx, caller.id, &hashes).await?;
        audit::note(&mut tx, now, Entry::own(caller.id, "SECOND_FACTOR_ON")).await?;
        commit(tx).await?;
        Ok(Response::new(ConfirmSecondFactorResponse { recovery_codes }))
    }

    async fn remove_second_factor(
        &self,
        request: Request<RemoveSecondFactorRequest>,
    ) -> Result<Response<RemoveSecondFactorResponse>, Status> {
        let caller = caller(&request)?;
        self.prove_password(caller.id, "password", &request.get_ref().password).await?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let account = lock_account(&mut tx, caller.id).await?.live()?;
        delete_second_factor(&mut tx, caller.id).await?;
        if account.second_factor {
            audit::note(&mut tx, now, Entry::own(caller.id, "SECOND_FACTOR_OFF")).await?;
        }
        commit(tx).await?;
        Ok(Response::new(RemoveSecondFactorResponse {}))
    }
}

impl Auth {
    /// Uses up a TOTP code or a recovery code within the login's transaction; whether it was good.
    pub(crate) async fn use_second_factor(
        &self,
        conn: &mut PgConnection,
        account_id: Uuid,
        code: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let Some(factor) = lock_second_factor(conn, account_id).await? else { return Ok(false) };
        if let Some(step) = self.matching_step(account_id, &factor, code, now)? {
            update_last_step(conn, account_id, step).await?;
            return Ok(true);
        }
        let used = delete_recovery_code(conn, account_id, &self.recovery_hash(account_id, code)).await?;
        if used {
            audit::note(conn, now, Entry::own(account_id, "RECOVERY_CODE_USED")).await?;
        }
        Ok(used)
    }

    /// The step a code belongs to: the present one or a neighbour, and later than the last one used.
    fn matching_step(
        &self,
        account_id: Uuid,
        factor: &FactorRow,
        code: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>> {
        let context = context(account_id);
        let secret = self
            .secrets
            .sealer
            .open(context.as_bytes(), &factor.sealed_secret)
            .ok_or_else(|| internal(anyhow::anyhow!("the {context} does not open; was PLAZA_SECRET changed?")))?;
        let step = totp(&secret, "")?.check(code.trim(), now.timestamp().unsigned_abs());
        Ok(step.map(|step| step as i64).filter(|step| *step > factor.last_step))
    }

    /// As typed or copied: without regard to case, hyphens and spaces.
    fn recovery_hash(&self, account_id: Uuid, code: &str) -> Vec<u8> {
        let code: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
        hmac(&self.secrets.codes, format!("recovery:{account_id}:{}", code.to_ascii_lowercase()).as_bytes()).to_vec()
    }
}

/// SHA-1, 6 digits, 30 s, one step to either side: what every authenticator app understands.
fn totp(secret: &[u8], name: &str) -> Result<Totp> {
    let builder = Builder::new().with_secret(secret).with_skew(1).with_issuer(Some("Plaza")).with_account_name(name);
    builder.build().map_err(internal)
}

/// What a secret is sealed for.
fn context(account_id: Uuid) -> String {
    format!("second factor of {account_id}")
}

/// `abcde-fgh23`: 50 bits.
fn random_code() -> String {
    let letters: Vec<u8> = random::<10>().iter().map(|byte| ALPHABET[usize::from(byte % 32)]).collect();
    let code = String::from_utf8_lossy(&letters);
    format!("{}-{}", &code[..5], &code[5..])
}

fn bad_code() -> Error {
    invalid_because("code", "BAD_SECOND_FACTOR", "is not a code of the new secret")
}

fn not_begun() -> Error {
    refused("SECOND_FACTOR_NOT_BEGUN", "ask for a secret first")
}

struct FactorRow {
    sealed_secret: Vec<u8>,
    confirmed_at: Option<DateTime<Utc>>,
    last_step: i64,
}

async fn lock_second_factor(conn: &mut PgConnection, account_id: Uuid) -> Result<Option<FactorRow>> {
    Ok(sqlx::query_as!(
        FactorRow,
        "select sealed_secret, confirmed_at, last_step from second_factors where account_id = $1 for update",
        account_id,
    )
    .fetch_optional(conn)
    .await?)
}

async fn replace_second_factor(
    conn: &mut PgConnection,
    account_id: Uuid,
    sealed_secret: &[u8],
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into second_factors (account_id, sealed_secret, created_at) values ($1, $2, $3)
         on conflict (account_id) do update set
            sealed_secret = $2, created_at = $3, confirmed_at = null, last_step = 0",
        account_id,
        sealed_secret,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn confirm(conn: &mut PgConnection, account_id: Uuid, step: i64, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update second_factors set confirmed_at = $2, last_step = $3 where account_id = $1",
        account_id,
        now,
        step,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn update_last_step(conn: &mut PgConnection, account_id: Uuid, step: i64) -> Result<()> {
    sqlx::query!("update second_factors set last_step = $2 where account_id = $1", account_id, step)
        .execute(conn)
        .await?;
    Ok(())
}

/// With its recovery codes.
pub(crate) async fn delete_second_factor(conn: &mut PgConnection, account_id: Uuid) -> Result<()> {
    sqlx::query!("delete from second_factors where account_id = $1", account_id).execute(conn).await?;
    Ok(())
}

async fn insert_recovery_codes(conn: &mut PgConnection, account_id: Uuid, hashes: &[Vec<u8>]) -> Result<()> {
    sqlx::query!("insert into recovery_codes (account_id, hash) select $1, unnest($2::bytea[])", account_id, hashes,)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether it was there.
async fn delete_recovery_code(conn: &mut PgConnection, account_id: Uuid, hash: &[u8]) -> Result<bool> {
    let done = sqlx::query!("delete from recovery_codes where account_id = $1 and hash = $2", account_id, hash)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_codes_are_two_groups_of_five() {
        let code = random_code();
        assert_eq!(code.len(), 11);
        assert!(
            code.bytes().enumerate().all(|(i, b)| if i == 5 { b == b'-' } else { ALPHABET.contains(&b) }),
            "{code}"
        );
    }

    #[test]
    fn codes_follow_rfc_6238() {
        // Appendix B, SHA-1, its last six digits.
        let totp = totp(b"12345678901234567890", "").unwrap();
        assert_eq!(totp.check("287082", 59), Some(1));
        assert_eq!(totp.check("081804", 1_111_111_109), Some(37_037_036));
        assert_eq!(totp.check("081804", 1_111_111_109 + 30), Some(37_037_036), "one step late");
        assert_eq!(totp.check("081804", 1_111_111_109 + 60), None);
    }
}
