//! Accounts of another platform, brought in with their numbers and their passwords; see [`kit::bulk::import`] for the order
//! of doing it. An account is known again by its number. Nobody is told: it is history.

mod sql;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::import::{self, Outcome};
use kit::bulk::{Load, Value};
use sqlx::PgPool;
use uuid::Uuid;

use crate::hash;
use crate::phone::Phone;

/// The roles that one chooses; everything else that a row may say is unknown.
const ROLES: [&str; 3] = ["SPECIALIST", "BUSINESSMAN", "CONSUMER"];

/// An account, by its number.
#[derive(Clone, Debug)]
pub struct Account {
    /// Where it stands in what is imported; of two with one number the later counts.
    pub place: i64,
    pub number: i64,
    /// As somebody typed it.
    pub phone: String,
    /// Django's hash, or whatever stands in its place.
    pub password: String,
    /// `SPECIALIST`, `BUSINESSMAN` or `CONSUMER`; other words are noted, and give no role.
    pub role: Option<String>,
    pub administrator: bool,
    /// Who is not is banned.
    pub active: bool,
    pub created_at: DateTime<Utc>,
    pub last_login_at: Option<DateTime<Utc>>,
}

/// An account that is here once the import is true, whether by it or from before.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Accepted {
    pub number: i64,
    pub id: Uuid,
    /// As shown.
    pub phone: Option<String>,
    pub roles: Vec<String>,
    /// `ACTIVE` or `BANNED`.
    pub state: String,
}

/// Begins an import.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    import::begin(pool, sql::STAGE).await
}

pub async fn stage(load: &mut Load, accounts: &[Account]) -> Result<()> {
    const COLUMNS: &[&str] = &[
        "place",
        "number",
        "phone",
        "password_hash",
        "usable",
        "roles",
        "role_unknown",
        "state",
        "created_at",
        "last_login_at",
    ];
    let mut copy = load.copy("import_accounts", COLUMNS).await?;
    for account in accounts {
        let phone = Phone::parse(&account.phone).ok();
        let usable = hash::of_django(&account.password);
        let role = account.role.as_deref();
        let known = role.filter(|role| ROLES.contains(role));
        let roles: Vec<_> = known.into_iter().chain(account.administrator.then_some("ADMIN")).collect();
        let row: [Value<'_>; 10] = [
            account.place.into(),
            account.number.into(),
            phone.as_ref().map(Phone::as_str).into(),
            // It has no password.
            Value::Text(if usable { &account.password } else { hash::NOBODY }),
            usable.into(),
            roles.as_slice().into(),
            (role != known).into(),
            Value::Text(if account.active { "ACTIVE" } else { "BANNED" }),
            account.created_at.into(),
            account.last_login_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await.map(drop)
}

/// Makes accounts of what was staged. From here on nobody registers or signs in until the load ends, one way or the
/// other.
pub async fn merge(load: &mut Load) -> Result<Outcome> {
    import::run(load, &[sql::GATHER, sql::ACCOUNTS]).await?;
    import::outcome(load).await
}

/// The next accounts behind a number that were staged and accepted.
pub async fn accepted(load: &mut Load, after: i64, limit: i64) -> Result<Vec<Accepted>> {
    let accepted = sqlx::query_as(
        "select a.number, a.id, a.phone, a.roles, a.state from import_newcomers n join accounts a on a.number = n.number
         where n.outcome in ('imported', 'there') and n.number > $1 order by n.number limit $2",
    );
    Ok(accepted.bind(after).bind(limit).fetch_all(load.connection()).await?)
}

/// Makes it true, with the next free number behind everything that was imported.
pub async fn finish(mut load: Load) -> Result<()> {
    import::run(&mut load, &[sql::SEQUENCES]).await?;
    load.finish().await
}
