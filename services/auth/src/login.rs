//! Login. Whatever is wrong, the answer takes the same work: an unknown name is verified against a hash that fits no
//! password, and what is true of an account is said only after its password was right.

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, Result, denied, invalid_because, refused, unauthenticated};
use kit::outbox::publish;
use kit::seal::hmac;
use proto::auth::v1::Tokens;
use proto::auth::v1::log_in_request::Login;
use proto::events::v1::UserLoggedIn;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::accounts::{AccountRow, Live, State, fetch_account, fetch_account_by_name, lock_account};
use crate::audit::{self, Entry};
use crate::email::Email;
use crate::hash::Verdict;
use crate::lockout::{ALLOWED, ALLOWED_TWICE_SENT};
use crate::phone::Phone;
use crate::{Auth, Secrets, lockout};

/// What somebody calls themselves, cleaned for the search and hashed for the count of failures.
pub(crate) struct LoginName {
    pub(crate) phone_digits: Option<String>,
    pub(crate) email: Option<String>,
    /// What its failures are counted under.
    pub(crate) key: [u8; 32],
    /// How many in a row are answered.
    allowed: i32,
}

impl LoginName {
    /// Any text is a name; what is no phone and no email is a name that nobody has.
    pub(crate) fn of(login: Option<&Login>, secrets: &Secrets) -> Self {
        match login {
            Some(Login::Phone(typed)) => match Phone::parse(typed) {
                Ok(phone) => Self::phone(&phone, secrets),
                Err(_) => Self { phone_digits: None, email: None, key: key(secrets, "phone", typed), allowed: ALLOWED },
            },
            Some(Login::Email(typed)) => match Email::parse(typed) {
                Ok(email) => Self::email(&email, secrets),
                Err(_) => Self {
                    phone_digits: None,
                    email: None,
                    key: key(secrets, "email", typed),
                    allowed: ALLOWED_TWICE_SENT,
                },
            },
            None => Self { phone_digits: None, email: None, key: key(secrets, "", ""), allowed: ALLOWED },
        }
    }

    pub(crate) fn phone(phone: &Phone, secrets: &Secrets) -> Self {
        let digits = phone.digits().to_owned();
        Self { key: key(secrets, "phone", &digits), phone_digits: Some(digits), email: None, allowed: ALLOWED }
    }

    pub(crate) fn email(email: &Email, secrets: &Secrets) -> Self {
        let key = key(secrets, "email", &email.folded());
        Self { phone_digits: None, email: Some(email.as_str().to_owned()), key, allowed: ALLOWED_TWICE_SENT }
    }
}

/// What something is counted under: nobody can tell from the tables which names were tried.
pub(crate) fn key(secrets: &Secrets, kind: &str, value: &str) -> [u8; 32] {
    hmac(&secrets.names, format!("{kind}:{value}").as_bytes())
}

impl Auth {
    /// Opens a session for whoever knows the password, and the second factor if the account asks for one.
    pub(crate) async fn log_in_as(
        &self,
        name: &LoginName,
        password: &str,
        second_factor: &str,
    ) -> Result<(AccountRow, Tokens)> {
        lockout::check(&self.db, &name.key, self.clock.now()).await?;
        let found = fetch_account_by_name(&self.db, name.phone_digits.as_deref(), name.email.as_deref()).await?;
        let hash = found.as_ref().and_then(|account| account.password_hash.as_deref());
        let verdict = self.hasher.verify(password, hash).await?;
        // Nobody's id: what is noted under it goes nowhere, at the same cost.
        let id = found.as_ref().map_or(Uuid::nil(), |account| account.id);
        let Some(found) = found.filter(|_| verdict != Verdict::Wrong) else {
            return Err(self.failed(&name.key, name.allowed, id, "LOGIN_FAILED", bad_credentials()).await);
        };
        let new_hash = match verdict {
            Verdict::RightButStale => Some(self.hasher.hash(password).await?),
            _ => None,
        };
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        lockout::check(&mut *tx, &name.key, now).await?;
        let account = lock_account(&mut tx, found.id).await?.live().map_err(|_| bad_credentials())?;
        if account.password_set_at != found.password_set_at {
            // Changed while the former one was being verified.
            return Err(bad_credentials());
        }
        if account.state == State::Banned {
            return Err(denied("ACCOUNT_BANNED", "an administrator shut this account"));
        }
        if account.second_factor {
            // Not forgiven yet: who has the password must not get endless tries at the second factor.
            if second_factor.is_empty() {
                return Err(refused("SECOND_FACTOR_REQUIRED", "a TOTP code or a recovery code is needed"));
            }
            if !self.use_second_factor(&mut tx, account.id, second_factor, now).await? {
                tx.rollback().await?;
                return Err(self
                    .failed(&name.key, name.allowed, account.id, "SECOND_FACTOR_FAILED", bad_second_factor())
                    .await);
            }
        }
        lockout::forgive(&mut tx, &name.key, now).await?;
        update_login(&mut tx, account.id, new_hash.as_deref(), now).await?;
        let (tokens, ended) = self.open_session(&mut tx, &account, now).await?;
        audit::note(&mut tx, now, Entry::own(account.id, "LOGGED_IN")).await?;
        let event =
            UserLoggedIn { user_id: account.number, user_uuid: account.id.to_string(), roles: account.roles().names() };
        publish(&mut tx, &account.key(), &event).await?;
        commit(tx).await?;
        self.revoke(&ended).await;
        Ok((account, tokens))
    }

    /// Checks the password of somebody who is signed in, with the same lock as a login: a stolen session must not be a
    /// place to guess in. `WRONG_PASSWORD` on `field`.
    pub(crate) async fn prove_password(&self, id: Uuid, field: &'static str, password: &str) -> Result<AccountRow> {
        let name = key(&self.secrets, "account", &id.to_string());
        lockout::check(&self.db, &name, self.clock.now()).await?;
        let account = fetch_account(&self.db, id).await?.live()?;
        let verdict = self.hasher.verify(password, account.password_hash.as_deref()).await?;
        if verdict == Verdict::Wrong {
            let wrong = invalid_because(field, "WRONG_PASSWORD", "is not the account's password");
            return Err(self.failed(&name, ALLOWED, id, "PASSWORD_CHECK_FAILED", wrong).await);
        }
        let mut tx = begin(&self.db).await?;
        lockout::forgive(&mut tx, &name, self.clock.now()).await?;
        commit(tx).await?;
        Ok(account)
    }

    /// Counts and notes a failure; the error to answer with, which is another one when the name was closed meanwhile.
    async fn failed(&self, name: &[u8], allowed: i32, account_id: Uuid, action: &'static str, error: Error) -> Error {
        let note = async {
            let now = self.clock.now();
            let mut tx = begin(&self.db).await?;
            lockout::count_failure(&mut tx, name, allowed, now).await?;
            audit::note(&mut tx, now, Entry::by(None, account_id, action)).await?;
            commit(tx).await
        };
        note.await.err().unwrap_or(error)
    }
}

fn bad_credentials() -> Error {
    unauthenticated("BAD_CREDENTIALS", "name or password are wrong")
}

fn bad_second_factor() -> Error {
    unauthenticated("BAD_SECOND_FACTOR", "the code is wrong or was used before")
}

async fn update_login(conn: &mut PgConnection, id: Uuid, new_hash: Option<&str>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update accounts set last_login_at = $3, password_hash = coalesce($2, password_hash) where id = $1",
        id,
        new_hash,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
