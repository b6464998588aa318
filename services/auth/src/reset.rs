//! Password resets: a code by SMS or a link by mail, one per account. A request for a name that nobody has takes the
//! same statements, limits and time as any other and writes a message that is never sent.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, Result, refused};
use kit::net::network;
use kit::outbox::publish;
use kit::seal::{hmac, random, same, sha256};
use proto::auth::v1::reset_password_request::Proof;
use proto::auth::v1::{PasswordRule, PhoneCode};
use proto::events::v1::UserPasswordReset;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::accounts::{AccountRow, Live, fetch_account_by_name, lock_account};
use crate::audit::{self, Entry};
use crate::deliveries::{Channel, Message, insert_delivery};
use crate::email::Email;
use crate::limits::{self, Limit};
use crate::login::{LoginName, key};
use crate::passwords::{delete_reset, set_password};
use crate::phone::Phone;
use crate::sessions::end_sessions;
use crate::{Auth, lockout, strength};

/// Per phone and per email.
const PER_NAME: Limit = Limit { most: 5, apart: Duration::from_secs(60) };
/// Digits of a phone's prefix: country and operator or area.
const PREFIX: usize = 6;
/// Wrong tries that kill a code.
const TRIES: i32 = 5;

/// Who forgot a password.
pub(crate) enum Recipient {
    Phone(Phone),
    Email(Email),
}

/// What somebody shows to prove that the message reached them.
pub(crate) enum Shown {
    Code { phone: Phone, code: String },
    Link { hash: [u8; 32] },
}

impl Shown {
    /// `BAD_RESET_CODE` for what nobody was ever sent.
    pub(crate) fn parse(proof: Option<Proof>) -> Result<Self> {
        match proof {
            Some(Proof::PhoneCode(PhoneCode { phone, code })) => {
                let phone = Phone::parse(&phone).map_err(|_| bad_reset_code())?;
                Ok(Self::Code { phone, code: code.trim().to_owned() })
            }
            Some(Proof::Token(token)) => Ok(Self::Link { hash: sha256(token.as_bytes()) }),
            None => Err(bad_reset_code()),
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Code { phone, .. } => vec![phone.as_str()],
            Self::Link { .. } => vec![],
        }
    }

    async fn account(&self, conn: &mut PgConnection) -> Result<Option<Uuid>> {
        match self {
            Self::Code { phone, .. } => {
                Ok(fetch_account_by_name(conn, Some(phone.digits()), None).await?.map(|account| account.id))
            }
            Self::Link { hash } => fetch_link_account(conn, hash).await,
        }
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
enum Kind {
    Code,
    Link,
}

impl Kind {
    fn life(self) -> Duration {
        match self {
            Self::Code => Duration::from_secs(600),
            Self::Link => Duration::from_secs(3600),
        }
    }
}

impl Auth {
    /// Sends a code or a link to whoever it is, or does as if.
    pub(crate) async fn send_reset(&self, recipient: &Recipient) -> Result<()> {
        let now = self.clock.now();
        let name = match recipient {
            Recipient::Phone(phone) => LoginName::phone(phone, &self.secrets),
            Recipient::Email(email) => LoginName::email(email, &self.secrets),
        };

        let mut tx = begin(&self.db).await?;
        self.take_limits(&mut tx, recipient, &name, now).await?;
        let account = fetch_account_by_name(&mut *tx, name.phone_digits.as_deref(), name.email.as_deref()).await?;
        let id = Uuid::now_v7();
        let (kind, secret_hash, channel, message) = match recipient {
            Recipient::Phone(phone) => {
                let code = random_code();
                let to = account.as_ref().and_then(|a| a.phone.as_deref()).unwrap_or(phone.as_str());
                (Kind::Code, self.code_hash(id, phone, &code), Channel::Sms, code_message(to, &code))
            }
            Recipient::Email(email) => {
                let token = URL_SAFE_NO_PAD.encode(random::<32>());
                let to = account.as_ref().and_then(|a| a.email.as_deref()).unwrap_or(email.as_str());
                let link = format!("{}{token}", self.rules.reset_link);
                (Kind::Link, sha256(token.as_bytes()), Channel::Mail, link_message(to, &link))
            }
        };
        let account_id = account.as_ref().map(|a| a.id);
        let expires_at = now + kind.life();
        replace_reset(&mut tx, id, account_id, kind, &secret_hash, now, expires_at).await?;
        let void = account.is_none();
        insert_delivery(&mut tx, &self.secrets.sealer, channel, &message, void, now, expires_at).await?;
        let entry = Entry::by(None, account_id.unwrap_or_default(), "PASSWORD_RESET_REQUESTED");
        audit::note(&mut tx, now, entry).await?;
        commit(tx).await?;
        Ok(())
    }

    /// Sets a new password for whoever holds the code or the link.
    pub(crate) async fn reset_with(&self, shown: &Shown, new_password: &str, rule: PasswordRule) -> Result<()> {
        // Before the code is looked at: a weak password says nothing about it and does not use it up.
        strength::check("new_password", new_password, rule, &shown.names())?;
        // Also for a wrong code, which must not answer sooner than a right one.
        let hash = self.hasher.hash(new_password).await?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let id = shown.account(&mut tx).await?.unwrap_or_default();
        let account = lock_account(&mut tx, id).await?.live().map_err(|_| bad_reset_code())?;
        let reset = lock_reset(&mut tx, id).await?.filter(|reset| reset.alive(now)).ok_or_else(bad_reset_code)?;
        if !self.proves(shown, &reset) {
            count_try(&mut tx, reset.id).await?;
            commit(tx).await?;
            return Err(bad_reset_code());
        }
        // Again with all the names, now that they are known; the code stays good.
        strength::check("new_password", new_password, rule, &account.names().collect::<Vec<_>>())?;

        set_password(&mut tx, id, &hash, now).await?;
        delete_reset(&mut tx, id).await?;
        let ended = end_sessions(&mut tx, id, None, now).await?;
        lockout::open(&mut tx, &self.name_keys(&account)).await?;
        audit::note(&mut tx, now, Entry::own(id, "PASSWORD_RESET")).await?;
        let event = UserPasswordReset {
            user_id: account.number,
            user_uuid: id.to_string(),
            phone_number: account.phone.clone(),
            origin: "reset".into(),
        };
        publish(&mut tx, &account.key(), &event).await?;
        commit(tx).await?;
        self.revoke(&ended).await;
        Ok(())
    }

    fn proves(&self, shown: &Shown, reset: &ResetRow) -> bool {
        match shown {
            Shown::Code { phone, code } => {
                reset.kind == Kind::Code && same(&self.code_hash(reset.id, phone, code), &reset.secret_hash)
            }
            Shown::Link { hash } => reset.kind == Kind::Link && same(hash, &reset.secret_hash),
        }
    }

    /// Name, address, prefix: always in this order, as each keeps its row locked.
    async fn take_limits(
        &self,
        conn: &mut PgConnection,
        recipient: &Recipient,
        name: &LoginName,
        now: DateTime<Utc>,
    ) -> Result<()> {
        limits::take(conn, &name.key, PER_NAME, now).await?;
        if let Some(address) = kit::context::current().client_ip.and_then(|address| address.parse().ok()) {
            let subject = key(&self.secrets, "address", &network(address).to_string());
            limits::take(conn, &subject, Limit::most(self.rules.resets_per_address), now).await?;
        }
        if let Recipient::Phone(phone) = recipient {
            let subject = key(&self.secrets, "prefix", &phone.digits()[..PREFIX]);
            limits::take(conn, &subject, Limit::most(self.rules.resets_per_prefix), now).await?;
        }
        Ok(())
    }

    /// Six digits under their own request and phone: they prove nothing for another request, nor for the number that an
    /// account changed to while the code was on its way.
    fn code_hash(&self, reset_id: Uuid, phone: &Phone, code: &str) -> [u8; 32] {
        hmac(&self.secrets.codes, format!("reset:{reset_id}:{}:{code}", phone.digits()).as_bytes())
    }

    fn name_keys(&self, account: &AccountRow) -> Vec<Vec<u8>> {
        let phone = account.phone.as_deref().and_then(|phone| Phone::parse(phone).ok());
        let email = account.email.as_deref().and_then(|email| Email::parse(email).ok());
        let phone = phone.map(|phone| LoginName::phone(&phone, &self.secrets));
        let email = email.map(|email| LoginName::email(&email, &self.secrets));
        phone.into_iter().chain(email).map(|name| name.key.to_vec()).collect()
    }
}

/// Six digits, all equally likely: what would favour small codes is drawn again.
fn random_code() -> String {
    const CODES: u32 = 1_000_000;
    loop {
        let drawn = u32::from_le_bytes(random());
        if drawn < u32::MAX - u32::MAX % CODES {
            return format!("{:06}", drawn % CODES);
        }
    }
}

fn code_message(to: &str, code: &str) -> Message {
    Message { to: to.into(), subject: String::new(), text: format!("Tu código de recuperación es {code}") }
}

fn link_message(to: &str, link: &str) -> Message {
    Message {
        to: to.into(),
        subject: "Restablecer tu contraseña".into(),
        text: format!(
            "Recibimos un pedido para restablecer tu contraseña. Para elegir una nueva abrí este enlace:\n\n{link}\n\n\
             El enlace vale una hora y se puede usar una sola vez. Si no lo pediste, ignorá este mensaje.\n"
        ),
    }
}

fn bad_reset_code() -> Error {
    refused("BAD_RESET_CODE", "the code or link is wrong, used or too old")
}

struct ResetRow {
    id: Uuid,
    kind: Kind,
    secret_hash: Vec<u8>,
    tries: i32,
    expires_at: DateTime<Utc>,
}

impl ResetRow {
    fn alive(&self, now: DateTime<Utc>) -> bool {
        self.tries < TRIES && now < self.expires_at
    }
}

async fn replace_reset(
    conn: &mut PgConnection,
    id: Uuid,
    account_id: Option<Uuid>,
    kind: Kind,
    secret_hash: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into password_resets (id, account_id, kind, secret_hash, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (account_id) do update set id = excluded.id, kind = excluded.kind,
            secret_hash = excluded.secret_hash, tries = 0, created_at = excluded.created_at,
            expires_at = excluded.expires_at",
        id,
        account_id,
        kind as Kind,
        secret_hash,
        now,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn fetch_link_account(conn: &mut PgConnection, secret_hash: &[u8]) -> Result<Option<Uuid>> {
    let found = sqlx::query_scalar!(
        "select account_id from password_resets where secret_hash = $1 and kind = 'LINK'",
        secret_hash,
    );
    Ok(found.fetch_optional(conn).await?.flatten())
}

/// After the account's lock, as everywhere.
async fn lock_reset(conn: &mut PgConnection, account_id: Uuid) -> Result<Option<ResetRow>> {
    Ok(sqlx::query_as!(
        ResetRow,
        r#"select id, kind as "kind: Kind", secret_hash, tries, expires_at from password_resets
         where account_id = $1 for update"#,
        account_id,
    )
    .fetch_optional(conn)
    .await?)
}

async fn count_try(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query!("update password_resets set tries = tries + 1 where id = $1", id).execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_six_digits() {
        for _ in 0..1000 {
            let code = random_code();
            assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
        }
    }
}
