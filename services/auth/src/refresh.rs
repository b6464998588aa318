//! Refresh tokens: opaque, stored as hashes, replaced every time they are used. The next token is made from the one
//! before with a key of ours, so everybody who presents one token, at once or again after a lost answer, gets the same
//! next one, and we keep none of them. A spent token that comes back later was copied by somebody: the session ends.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, Result, denied, internal, unauthenticated};
use kit::identity::{AUDIENCE, Claims, ISSUER};
use kit::seal::{hmac, random, sha256};
use proto::auth::v1::Tokens;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Auth;
use crate::accounts::{AccountRow, State, fetch_account};
use crate::audit::{self, Entry};
use crate::sessions::end_session;

/// How long a session lives after its last refresh.
pub(crate) const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a spent token still gives its successor: a lost answer, or tabs that woke up together.
const REPEATABLE: Duration = Duration::from_secs(30);

/// A new session's first token.
pub(crate) fn new_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

pub(crate) fn bad_token() -> Error {
    unauthenticated("BAD_TOKEN", "the token is not valid")
}

impl Auth {
    /// The tokens that follow a refresh token.
    pub(crate) async fn rotate(&self, token: &str) -> Result<Tokens> {
        let hash = sha256(token.as_bytes());
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        // The session's lock makes refreshes of one session take turns, whichever of its tokens they bring.
        let session = lock_session_of(&mut tx, &hash).await?.ok_or_else(bad_token)?;
        let account = fetch_account(&mut *tx, session.account_id).await?.ok_or_else(bad_token)?;
        if account.state == State::Banned {
            return Err(denied("ACCOUNT_BANNED", "an administrator shut this account"));
        }
        let presented = fetch_token(&mut tx, &hash).await?.ok_or_else(bad_token)?;
        let child = URL_SAFE_NO_PAD.encode(hmac(&self.secrets.refresh, token.as_bytes()));
        match judge(&presented, session.ended_at.is_some(), now) {
            Verdict::Dead => return Err(bad_token()),
            Verdict::Stolen => {
                let ended = end_session(&mut tx, account.id, session.id, now).await?;
                audit::note(&mut tx, now, Entry::by(None, account.id, "REFRESH_TOKEN_REUSED")).await?;
                commit(tx).await?;
                self.revoke(&ended).await;
                return Err(bad_token());
            }
            Verdict::Fresh => {
                spend_token(&mut tx, &hash, now).await?;
                insert_token(&mut tx, &child, session.id, now).await?;
            }
            Verdict::Repeated => {}
        }
        let tokens = self.issue(&account, session.id, child, now)?;
        touch_session(&mut tx, session.id, now, self.access_until(now)).await?;
        commit(tx).await?;
        Ok(tokens)
    }

    /// When an access token issued now ends; whole seconds, as the token says it.
    pub(crate) fn access_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let end = now.timestamp() + i64::from(self.rules.access_minutes) * 60;
        DateTime::from_timestamp(end, 0).unwrap_or(now)
    }

    /// Tokens of a session. The caller writes down `access_until`, as the session's end has to outlive them.
    pub(crate) fn issue(
        &self,
        account: &AccountRow,
        session: Uuid,
        refresh_token: String,
        now: DateTime<Utc>,
    ) -> Result<Tokens> {
        let claims = Claims {
            sub: account.id,
            num: account.number,
            roles: account.roles().names(),
            sid: session,
            iat: now.timestamp(),
            exp: self.access_until(now).timestamp(),
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            jti: Uuid::new_v4(),
            typ: "access".into(),
        };
        Ok(Tokens {
            access_token: self.keyring.sign(&claims, now).map_err(internal)?,
            refresh_token,
            expires_in: (self.rules.access_minutes * 60) as i32,
            session_id: session.to_string(),
        })
    }
}

/// A token as stored.
struct TokenRow {
    spent_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Of no use any more.
    Dead,
    /// Not used before.
    Fresh,
    /// Used just now; the answer may not have arrived.
    Repeated,
    /// Used long ago: by somebody else.
    Stolen,
}

fn judge(token: &TokenRow, session_ended: bool, now: DateTime<Utc>) -> Verdict {
    match token.spent_at {
        _ if session_ended || token.expires_at <= now => Verdict::Dead,
        None => Verdict::Fresh,
        Some(spent_at) if now <= spent_at + REPEATABLE => Verdict::Repeated,
        Some(_) => Verdict::Stolen,
    }
}

struct LockedSession {
    id: Uuid,
    account_id: Uuid,
    ended_at: Option<DateTime<Utc>>,
}

async fn lock_session_of(conn: &mut PgConnection, hash: &[u8]) -> Result<Option<LockedSession>> {
    Ok(sqlx::query_as!(
        LockedSession,
        "select id, account_id, ended_at from sessions
         where id = (select session_id from refresh_tokens where hash = $1)
         for update",
        hash,
    )
    .fetch_optional(conn)
    .await?)
}

/// A statement of its own after the lock: it sees what the one who held the lock before has done.
async fn fetch_token(conn: &mut PgConnection, hash: &[u8]) -> Result<Option<TokenRow>> {
    Ok(sqlx::query_as!(TokenRow, "select spent_at, expires_at from refresh_tokens where hash = $1", hash)
        .fetch_optional(conn)
        .await?)
}

pub(crate) async fn insert_token(
    conn: &mut PgConnection,
    token: &str,
    session_id: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_tokens (hash, session_id, created_at, expires_at) values ($1, $2, $3, $4)",
        &sha256(token.as_bytes()),
        session_id,
        now,
        now + LIFE,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn spend_token(conn: &mut PgConnection, hash: &[u8], now: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update refresh_tokens set spent_at = $2 where hash = $1", hash, now).execute(conn).await?;
    Ok(())
}

async fn touch_session(
    conn: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
    access_until: DateTime<Utc>,
) -> Result<()> {
    let context = kit::context::current();
    sqlx::query!(
        "update sessions set last_used_at = $2, expires_at = $3, access_until = greatest(access_until, $4),
            device = coalesce(left($5, 255), device), place = coalesce($6, place)
         where id = $1",
        id,
        now,
        now + LIFE,
        access_until,
        context.device.as_deref(),
        context.client_ip.as_deref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_fresh_once_repeatable_for_30_seconds_and_then_stolen() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let spent =
            |seconds: u64| TokenRow { spent_at: Some(now - Duration::from_secs(seconds)), expires_at: now + LIFE };
        let unused = TokenRow { spent_at: None, expires_at: now + LIFE };
        assert_eq!(judge(&unused, false, now), Verdict::Fresh);
        assert_eq!(judge(&spent(0), false, now), Verdict::Repeated);
        assert_eq!(judge(&spent(30), false, now), Verdict::Repeated);
        assert_eq!(judge(&spent(31), false, now), Verdict::Stolen);
        assert_eq!(judge(&unused, true, now), Verdict::Dead);
        assert_eq!(judge(&spent(31), true, now), Verdict::Dead);
        assert_eq!(judge(&TokenRow { spent_at: None, expires_at: now }, false, now), Verdict::Dead);
    }
}
