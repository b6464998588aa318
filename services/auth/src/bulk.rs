//! Accounts by the hundred thousand, for load tests. All have one password, because hashing as many would take hours.

pub mod import;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::{Copy, Load, Value};
use sqlx::PgPool;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Account<'a> {
    pub id: Uuid,
    pub number: i64,
    /// Digits.
    pub phone: &'a str,
    /// In PHC form, as [`password_hash`] makes it.
    pub password_hash: &'a str,
    /// `SPECIALIST`, `BUSINESSMAN` or `CONSUMER`.
    pub role: &'static str,
    pub created_at: DateTime<Utc>,
}

/// What is stored of a password.
pub fn password_hash(password: &str) -> Result<String> {
    crate::hash::make(password)
}

/// Begins to add accounts.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    Load::begin(pool, &["accounts"]).await
}

/// The largest number so far.
pub async fn last_number(load: &mut Load) -> Result<i64> {
    let last = sqlx::query_scalar!(r#"select coalesce(max(number), 0) as "number!" from accounts"#);
    Ok(last.fetch_one(load.connection()).await?)
}

pub async fn accounts(load: &mut Load) -> Result<Copy<'_>> {
    const COLUMNS: &[&str] =
        &["id", "number", "phone", "password_hash", "password_set_at", "roles", "held_role", "created_at"];
    load.copy("accounts", COLUMNS).await
}

impl Account<'_> {
    pub async fn write(&self, accounts: &mut Copy<'_>) -> Result<()> {
        let roles = [self.role];
        let row: [Value<'_>; 8] = [
            self.id.into(),
            self.number.into(),
            self.phone.into(),
            self.password_hash.into(),
            self.created_at.into(),
            roles.as_slice().into(),
            // As long as the person has the profile of this role.
            self.role.into(),
            self.created_at.into(),
        ];
        accounts.row(&row).await
    }
}

/// Sets the next free number.
pub async fn settle(load: &mut Load) -> Result<()> {
    let next =
        "select setval(pg_get_serial_sequence('accounts', 'number'), greatest((select max(number) from accounts), 1))";
    sqlx::query(next).execute(load.connection()).await?;
    Ok(())
}
