//! Accounts. A change of what screens show is told to `users` before it is committed, so that whoever gets the answer
//! can read it there; `provisions` puts right what a crash in between leaves. Only a ban does not wait for `users`.

use chrono::{DateTime, Utc};
use kit::db::{OnConstraint, begin, commit};
use kit::error::{Error, Result, denied, invalid_because, not_found, refused};
use kit::identity::{Roles, caller};
use kit::outbox::publish;
use kit::wire::{parse_id, timestamp};
use proto::access::v1::Role;
use proto::auth::v1::account_service_server::AccountService;
use proto::auth::v1::{
    Account, AccountState, BanAccountRequest, CreateAccountRequest, DeleteAccountRequest, DeleteAccountResponse,
    GetAccountRequest, HoldRoleRequest, RegisterRequest, RegisterResponse, UnbanAccountRequest, UpdateAccountRequest,
};
use proto::events::v1::{AccountChanged, UserBanned, UserDeleted, UserRoleChanged, UserUnbanned};
use sqlx::{PgConnection, PgExecutor};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::phone::Phone;
use crate::registration::{Names, Newcomer};
use crate::revocations::Ended;
use crate::sessions::{end_sessions, forget_sessions};
use crate::{Auth, passwords, roles, second_factor, strength};

#[tonic::async_trait]
impl AccountService for Auth {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let input = request.into_inner();
        let (role, rule) = (input.role(), input.password_rule());
        if role == Role::Admin {
            return Err(denied("ROLE_NOT_OPEN", "administrators are made by administrators").into());
        }
        let newcomer = Newcomer {
            names: Names::parse(input.phone.as_deref(), input.email.as_deref())?,
            password: input.password,
            rule,
            roles: [role].into_iter().collect(),
            profile: input.profile.unwrap_or_default(),
            speciality: input.speciality,
            sign_in: input.sign_in,
            actor_id: None,
        };
        let (account, tokens) = self.enrol(newcomer).await?;
        Ok(Response::new(RegisterResponse { account: Some(account.into()), tokens }))
    }

    async fn create_account(&self, request: Request<CreateAccountRequest>) -> Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let input = request.into_inner();
        let rule = input.password_rule();
        let newcomer = Newcomer {
            names: Names::parse(input.phone.as_deref(), input.email.as_deref())?,
            password: input.password,
            rule,
            roles: Roles::from_numbers(&input.roles),
            profile: input.profile.unwrap_or_default(),
            speciality: input.speciality,
            sign_in: false,
            actor_id: Some(caller.id),
        };
        let (account, _) = self.enrol(newcomer).await?;
        Ok(Response::new(account.into()))
    }

    async fn get_account(&self, request: Request<GetAccountRequest>) -> Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let id = id_or(&request.get_ref().id, caller.id)?;
        caller.may_act_for(id)?;
        let account = fetch_account(&self.db, id).await?.ok_or_else(account_not_found)?;
        Ok(Response::new(account.into()))
    }

    async fn update_account(&self, request: Request<UpdateAccountRequest>) -> Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let input = request.into_inner();
        let id = parse_id("id", &input.id)?;
        caller.may_act_for(id)?;
        let phone = input.phone.as_deref().map(Phone::parse).transpose()?;
        let present = fetch_account(&self.db, id).await?.ok_or_else(account_not_found)?;
        let password_hash = match &input.password {
            Some(password) => {
                let names: Vec<_> = present.names().chain(phone.as_ref().map(Phone::as_str)).collect();
                strength::check("password", password, input.password_rule(), &names)?;
                Some(self.hasher.hash(password).await?)
            }
            None => None,
        };
        let agrovet_role = input.agrovet_role.is_some().then(|| input.agrovet_role());
        let now = self.clock.now();

        let intent = self.intend(id).await?;
        let mut tx = begin(&self.db).await?;
        intent.redeem(&mut tx).await?;
        let before = lock_account(&mut tx, id).await?.live()?;
        let roles = agrovet_role.map_or(before.roles(), |role| roles::with_agrovet(before.roles(), role));
        let after = update_account(&mut tx, id, phone.as_ref().map(Phone::as_str), &roles.names()).await?;
        let mut ended = Vec::new();
        if let Some(hash) = &password_hash {
            ended = passwords::replace_password(&mut tx, &after, hash, &caller, now).await?;
        }
        if after.phone != before.phone {
            // A code on its way to the former phone must not open the account.
            passwords::delete_reset(&mut tx, id).await?;
            audit::note(&mut tx, now, Entry::by(Some(caller.id), id, "PHONE_CHANGED")).await?;
        }
        if after.roles() != before.roles() {
            let (actor, spared) = (Some(caller.id), Some(caller.session));
            ended.append(&mut replace_roles(&mut tx, &before, &after, actor, spared, now).await?);
        }
        publish(&mut tx, &id.to_string(), &after.changed()).await?;
        self.tell_users(&after, input.profile).await?;
        commit(tx).await?;
        self.revoke(&ended).await;
        Ok(Response::new(after.into()))
    }

    async fn delete_account(
        &self,
        request: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        let caller = caller(&request)?;
        let input = request.into_inner();
        let id = parse_id("id", &input.id)?;
        caller.may_act_for(id)?;
        let present = fetch_account(&self.db, id).await?.ok_or_else(account_not_found)?;
        if present.state == State::Deleted {
            return Ok(Response::new(DeleteAccountResponse {}));
        }
        if let Some(password) = &input.password {
            self.prove_password(id, "password", password).await?;
        }
        let now = self.clock.now();

        let intent = self.intend(id).await?;
        let mut tx = begin(&self.db).await?;
        intent.redeem(&mut tx).await?;
        let before = lock_account(&mut tx, id).await?.ok_or_else(account_not_found)?;
        if before.state == State::Deleted {
            return Ok(Response::new(DeleteAccountResponse {}));
        }
        let after = anonymize_account(&mut tx, id).await?;
        let ended = end_sessions(&mut tx, id, None, now).await?;
        forget_sessions(&mut tx, id).await?;
        second_factor::delete_second_factor(&mut tx, id).await?;
        passwords::delete_reset(&mut tx, id).await?;
        audit::note(&mut tx, now, Entry::by(Some(caller.id), id, "DELETED")).await?;
        audit::forget_places(&mut tx, id).await?;
        let event = UserDeleted { user_id: before.number, user_uuid: id.to_string(), phone_number: before.phone };
        publish(&mut tx, &after.key(), &event).await?;
        publish(&mut tx, &id.to_string(), &after.changed()).await?;
        self.tell_users_of_deletion(id).await?;
        commit(tx).await?;
        self.revoke(&ended).await;
        Ok(Response::new(DeleteAccountResponse {}))
    }

    async fn ban_account(&self, request: Request<BanAccountRequest>) -> Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let input = request.into_inner();
        let id = parse_id("id", &input.id)?;
        if id == caller.id {
            return Err(denied("SELF_NOT_BANNABLE", "nobody bans themselves").into());
        }
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let before = lock_account(&mut tx, id).await?.live()?;
        if before.roles().contains(Role::Admin) {
            return Err(denied("ADMIN_NOT_BANNABLE", "administrators are not banned").into());
        }
        if before.state == State::Banned {
            return Ok(Response::new(before.into()));
        }
        let after = update_state(&mut tx, id, State::Banned, &input.reason).await?;
        let ended = end_sessions(&mut tx, id, None, now).await?;
        let entry = Entry { detail: &input.reason, ..Entry::by(Some(caller.id), id, "BANNED") };
        audit::note(&mut tx, now, entry).await?;
        let event = UserBanned {
            user_id: after.number,
            user_uuid: id.to_string(),
            admin_uuid: caller.id.to_string(),
            reason: input.reason,
        };
        publish(&mut tx, &after.key(), &event).await?;
        publish(&mut tx, &id.to_string(), &after.changed()).await?;
        commit(tx).await?;
        self.revoke(&ended).await;
        self.tell_users_if_there(&after).await;
        Ok(Response::new(after.into()))
    }

    async fn unban_account(&self, request: Request<UnbanAccountRequest>) -> Result<Response<Account>, Status> {
        let caller = caller(&request)?;
        let id = parse_id("id", &request.get_ref().id)?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let before = lock_account(&mut tx, id).await?.live()?;
        if before.state == State::Active {
            return Ok(Response::new(before.into()));
        }
        let after = update_state(&mut tx, id, State::Active, "").await?;
        audit::note(&mut tx, now, Entry::by(Some(caller.id), id, "UNBANNED")).await?;
        let event =
            UserUnbanned { user_id: after.number, user_uuid: id.to_string(), admin_uuid: caller.id.to_string() };
        publish(&mut tx, &after.key(), &event).await?;
        publish(&mut tx, &id.to_string(), &after.changed()).await?;
        commit(tx).await?;
        self.tell_users_if_there(&after).await;
        Ok(Response::new(after.into()))
    }

    async fn hold_role(&self, request: Request<HoldRoleRequest>) -> Result<Response<Account>, Status> {
        let input = request.into_inner();
        let id = parse_id("id", &input.id)?;
        let spared = (!input.session_id.is_empty()).then(|| parse_id("session_id", &input.session_id)).transpose()?;
        Ok(Response::new(self.hold(id, input.role(), input.version, spared).await?.into()))
    }
}

/// What new roles bring with them. Tokens issued before would go on claiming the former roles, so the sessions end; but
/// the caller's own is spared and catches up at its next refresh: a form must not throw out who fills it in.
pub(crate) async fn replace_roles(
    conn: &mut PgConnection,
    before: &AccountRow,
    after: &AccountRow,
    actor: Option<Uuid>,
    spared: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Vec<Ended>> {
    let ended = end_sessions(conn, after.id, spared, now).await?;
    let detail = after.roles().names().join(" ");
    let entry = Entry { detail: &detail, ..Entry::by(actor, after.id, "ROLES_CHANGED") };
    audit::note(conn, now, entry).await?;
    let event = UserRoleChanged {
        user_id: after.number,
        user_uuid: after.id.to_string(),
        old_role: roles::agrovet(before.roles()),
        new_role: roles::agrovet(after.roles()),
        roles: after.roles().names(),
    };
    publish(conn, &after.key(), &event).await?;
    Ok(ended)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(crate) enum State {
    Active,
    Banned,
    Deleted,
}

impl From<State> for AccountState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Banned => Self::Banned,
            State::Deleted => Self::Deleted,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct AccountRow {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) phone: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) password_hash: Option<String>,
    pub(crate) password_set_at: DateTime<Utc>,
    pub(crate) role_names: Vec<String>,
    pub(crate) state: State,
    pub(crate) ban_reason: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_login_at: Option<DateTime<Utc>>,
    pub(crate) second_factor: bool,
    pub(crate) version: i64,
}

impl AccountRow {
    pub(crate) fn roles(&self) -> Roles {
        Roles::from_names(&self.role_names)
    }

    /// What one may log in as.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.phone.as_deref().into_iter().chain(self.email.as_deref())
    }

    /// The key of its events on `user.events`.
    pub(crate) fn key(&self) -> String {
        self.number.to_string()
    }

    pub(crate) fn changed(&self) -> AccountChanged {
        AccountChanged {
            user_uuid: self.id.to_string(),
            version: self.version,
            phone: self.phone.clone(),
            email: self.email.clone(),
            roles: self.role_names.clone(),
            state: AccountState::from(self.state).as_str_name().trim_start_matches("ACCOUNT_STATE_").to_owned(),
        }
    }
}

/// An account that may be changed: deleted ones are as good as unknown.
pub(crate) trait Live {
    fn live(self) -> Result<AccountRow>;
}

impl Live for Option<AccountRow> {
    fn live(self) -> Result<AccountRow> {
        self.filter(|account| account.state != State::Deleted).ok_or_else(account_not_found)
    }
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            roles: row.roles().numbers(),
            state: AccountState::from(row.state).into(),
            id: row.id.to_string(),
            number: row.number,
            phone: row.phone,
            email: row.email,
            ban_reason: row.ban_reason,
            created_at: Some(timestamp(row.created_at)),
            last_login_at: row.last_login_at.map(timestamp),
            second_factor: row.second_factor,
            version: row.version,
        }
    }
}

/// The id, or `own` when it is empty.
pub(crate) fn id_or(id: &str, own: Uuid) -> Result<Uuid> {
    if id.is_empty() { Ok(own) } else { parse_id("id", id) }
}

pub(crate) fn account_not_found() -> Error {
    not_found("ACCOUNT_NOT_FOUND", "no such account")
}

pub(crate) fn phone_taken() -> Error {
    invalid_because("phone", "PHONE_TAKEN", "another account has this phone")
}

pub(crate) fn email_taken() -> Error {
    invalid_because("email", "EMAIL_TAKEN", "another account has this email")
}

pub(crate) async fn fetch_account(db: impl PgExecutor<'_>, id: Uuid) -> Result<Option<AccountRow>> {
    Ok(sqlx::query_as!(
        AccountRow,
        r#"select id, number, phone, email, password_hash, password_set_at, roles as role_names,
            state as "state: State", ban_reason, created_at, last_login_at, version,
            exists (select from second_factors s where s.account_id = a.id and s.confirmed_at is not null)
                as "second_factor!"
         from accounts a where id = $1"#,
        id,
    )
    .fetch_optional(db)
    .await?)
}

/// By the digits of a phone or by an email, whichever is given.
pub(crate) async fn fetch_account_by_name(
    db: impl PgExecutor<'_>,
    phone_digits: Option<&str>,
    email: Option<&str>,
) -> Result<Option<AccountRow>> {
    Ok(sqlx::query_as!(
        AccountRow,
        r#"select id, number, phone, email, password_hash, password_set_at, roles as role_names,
            state as "state: State", ban_reason, created_at, last_login_at, version,
            exists (select from second_factors s where s.account_id = a.id and s.confirmed_at is not null)
                as "second_factor!"
         from accounts a where phone_digits = $1 or lower(email) = lower($2)"#,
        phone_digits,
        email,
    )
    .fetch_optional(db)
    .await?)
}

/// Locked first by everything that changes the account, its sessions or its secrets. "No key": rows that refer to the
/// account, such as the note of a failed login, need not wait for it, and so cannot wait for each other in a circle.
pub(crate) async fn lock_account(conn: &mut PgConnection, id: Uuid) -> Result<Option<AccountRow>> {
    Ok(sqlx::query_as!(
        AccountRow,
        r#"select id, number, phone, email, password_hash, password_set_at, roles as role_names,
            state as "state: State", ban_reason, created_at, last_login_at, version,
            exists (select from second_factors s where s.account_id = a.id and s.confirmed_at is not null)
                as "second_factor!"
         from accounts a where id = $1 for no key update"#,
        id,
    )
    .fetch_optional(conn)
    .await?)
}

/// A role that a profile holds cannot be taken away: a constraint of the table says so.
pub(crate) async fn update_account(
    conn: &mut PgConnection,
    id: Uuid,
    phone: Option<&str>,
    roles: &[String],
) -> Result<AccountRow> {
    sqlx::query!(
        "update accounts set phone = coalesce($2, phone), roles = $3, version = nextval('account_versions')
         where id = $1",
        id,
        phone,
        roles,
    )
    .execute(&mut *conn)
    .await
    .on_constraint("accounts_phone_digits_key", phone_taken)
    .on_constraint("accounts_held_role_is_had", || refused("ROLE_LOCKED", "a profile of another role exists"))?;
    fetch_account(conn, id).await?.ok_or_else(account_not_found)
}

async fn update_state(conn: &mut PgConnection, id: Uuid, state: State, ban_reason: &str) -> Result<AccountRow> {
    sqlx::query!(
        "update accounts set state = $2, ban_reason = $3, version = nextval('account_versions') where id = $1",
        id,
        state as State,
        ban_reason,
    )
    .execute(&mut *conn)
    .await?;
    fetch_account(conn, id).await?.ok_or_else(account_not_found)
}

async fn anonymize_account(conn: &mut PgConnection, id: Uuid) -> Result<AccountRow> {
    sqlx::query!(
        "update accounts set state = 'DELETED', phone = null, email = null, password_hash = null, roles = '{}',
            held_role = null, ban_reason = '', last_login_at = null, version = nextval('account_versions')
         where id = $1",
        id,
    )
    .execute(&mut *conn)
    .await?;
    fetch_account(conn, id).await?.ok_or_else(account_not_found)
}
