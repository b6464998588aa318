//! Registration: an account and its person, or neither. The person is made in `users` while the account's transaction
//! is open; an intent (`provisions`) makes sure that a crash leaves no person without an account.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use kit::db::{OnConstraint, begin, commit};
use kit::error::{Result, internal, invalid};
use kit::identity::Roles;
use kit::outbox::publish;
use proto::access::v1::Role;
use proto::auth::v1::{PasswordRule, Profile, Tokens};
use proto::events::v1::UserCreated;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::accounts::{AccountRow, email_taken, fetch_account, phone_taken};
use crate::audit::{self, Entry};
use crate::email::Email;
use crate::phone::Phone;
use crate::{Auth, FirstAdministrator, roles, strength};

/// Login names of a new account; at least one.
pub(crate) struct Names {
    phone: Option<Phone>,
    email: Option<Email>,
}

impl Names {
    pub(crate) fn parse(phone: Option<&str>, email: Option<&str>) -> Result<Self> {
        let names = Self { phone: phone.map(Phone::parse).transpose()?, email: email.map(Email::parse).transpose()? };
        if names.phone.is_none() && names.email.is_none() {
            return Err(invalid("phone", "a phone or an email is needed"));
        }
        Ok(names)
    }

    fn known(&self) -> Vec<&str> {
        self.phone().into_iter().chain(self.email()).collect()
    }

    fn phone(&self) -> Option<&str> {
        self.phone.as_ref().map(Phone::as_str)
    }

    fn email(&self) -> Option<&str> {
        self.email.as_ref().map(Email::as_str)
    }
}

/// Somebody who shall have an account.
pub(crate) struct Newcomer {
    pub(crate) names: Names,
    pub(crate) password: String,
    pub(crate) rule: PasswordRule,
    pub(crate) roles: Roles,
    pub(crate) profile: Profile,
    /// For the profile that follows the role.
    pub(crate) speciality: String,
    /// Whether to open a session.
    pub(crate) sign_in: bool,
    /// Who does it, if not the newcomer.
    pub(crate) actor_id: Option<Uuid>,
}

impl Auth {
    /// Makes the account and the person, and a session if one is wanted.
    pub(crate) async fn enrol(&self, newcomer: Newcomer) -> Result<(AccountRow, Option<Tokens>)> {
        let Newcomer { names, password, rule, roles, profile, speciality, sign_in, actor_id } = newcomer;
        strength::check("password", &password, rule, &names.known())?;
        let password_hash = self.hasher.hash(&password).await?;
        let (id, now) = (Uuid::now_v7(), self.clock.now());

        let intent = self.intend(id).await?;
        let mut tx = begin(&self.db).await?;
        intent.redeem(&mut tx).await?;
        let account = match insert_account(&mut tx, id, &names, &password_hash, roles, now).await {
            Ok(account) => account,
            Err(taken) => {
                tx.rollback().await?;
                intent.forget(&self.db).await?;
                return Err(taken);
            }
        };
        let action = if actor_id.is_some() { "CREATED" } else { "REGISTERED" };
        audit::note(&mut tx, now, Entry::by(actor_id.or(Some(id)), id, action)).await?;
        let tokens = if sign_in { Some(self.open_session(&mut tx, &account, now).await?.0) } else { None };
        let event = UserCreated {
            user_id: account.number,
            user_uuid: id.to_string(),
            phone_number: account.phone.clone(),
            email: account.email.clone(),
            full_name: profile.first_name.clone().unwrap_or_default(),
            last_name: profile.last_name.clone().unwrap_or_default(),
            role: roles::agrovet(roles),
            roles: roles.names(),
            speciality: Some(speciality).filter(|text| !text.is_empty()),
        };
        publish(&mut tx, &account.key(), &event).await?;
        self.tell_users(&account, Some(profile)).await?;
        commit(tx).await?;
        Ok((account, tokens))
    }
}

impl FirstAdministrator {
    /// Nobody without a password; an error for a name or a password that would be refused.
    pub(crate) fn newcomer(&self) -> Result<Option<Newcomer>> {
        let Some(password) = &self.password else { return Ok(None) };
        let names = Names::parse(self.phone.as_deref(), self.email.as_deref())?;
        strength::check("password", password, PasswordRule::Length, &names.known())?;
        Ok(Some(Newcomer {
            names,
            password: password.clone(),
            rule: PasswordRule::Length,
            roles: [Role::Admin].into_iter().collect(),
            profile: Profile::default(),
            speciality: String::new(),
            sign_in: false,
            actor_id: None,
        }))
    }
}

/// Makes the first administrator once `users` can be reached, and is idle from then on.
#[derive(Clone)]
pub(crate) struct FirstAdministratorTask {
    auth: Auth,
    wanted: FirstAdministrator,
    done: Arc<AtomicBool>,
}

impl FirstAdministratorTask {
    pub(crate) fn new(auth: Auth, wanted: FirstAdministrator) -> Self {
        Self { auth, wanted, done: Arc::default() }
    }

    pub(crate) async fn run(self) -> Result<()> {
        if !self.done.load(Ordering::Relaxed) {
            self.auth.make_first_administrator(&self.wanted).await?;
            self.done.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Auth {
    /// Makes the administrator that the configuration names, unless somebody has the name.
    pub async fn make_first_administrator(&self, wanted: &FirstAdministrator) -> Result<()> {
        let Some(newcomer) = wanted.newcomer()? else { return Ok(()) };
        match self.enrol(newcomer).await {
            Ok((account, _)) => {
                tracing::info!(account.id = %account.id, "first administrator made");
                Ok(())
            }
            // Made at an earlier start, or by another replica just now.
            Err(error) if matches!(&*error.reason(), "PHONE_TAKEN" | "EMAIL_TAKEN") => Ok(()),
            Err(error) => Err(error),
        }
    }
}

async fn insert_account(
    conn: &mut PgConnection,
    id: Uuid,
    names: &Names,
    password_hash: &str,
    roles: Roles,
    now: DateTime<Utc>,
) -> Result<AccountRow> {
    sqlx::query!(
        "insert into accounts (id, phone, email, password_hash, password_set_at, roles, created_at)
         values ($1, $2, $3, $4, $5, $6, $5)",
        id,
        names.phone(),
        names.email(),
        password_hash,
        now,
        &roles.names(),
    )
    .execute(&mut *conn)
    .await
    .on_constraint("accounts_phone_digits_key", phone_taken)
    .on_constraint("accounts_email_key", email_taken)?;
    fetch_account(conn, id).await?.ok_or_else(|| internal(sqlx::Error::RowNotFound))
}
