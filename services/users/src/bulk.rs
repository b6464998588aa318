//! People by the hundred thousand, for load tests and imports.

pub mod import;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::{Copy, Load, Value};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Person<'a> {
    pub id: Uuid,
    pub number: i64,
    pub first_name: &'a str,
    pub last_name: &'a str,
    /// Digits.
    pub phone: &'a str,
    /// `SPECIALIST`, `BUSINESSMAN` or `CONSUMER`.
    pub role: &'static str,
    pub latitude: f64,
    pub longitude: f64,
    pub created_at: DateTime<Utc>,
}

/// Begins to add people, who all have an account.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    Load::begin(pool, &["people"]).await
}

pub async fn people(load: &mut Load) -> Result<Copy<'_>> {
    const COLUMNS: &[&str] = &[
        "id",
        "number",
        "first_name",
        "last_name",
        "phone",
        "roles",
        "latitude",
        "longitude",
        "state",
        "account_version",
        "created_at",
        "updated_at",
    ];
    load.copy("people", COLUMNS).await
}

impl Person<'_> {
    pub async fn write(&self, people: &mut Copy<'_>) -> Result<()> {
        let roles = [self.role];
        let row: [Value<'_>; 12] = [
            self.id.into(),
            self.number.into(),
            self.first_name.into(),
            self.last_name.into(),
            self.phone.into(),
            roles.as_slice().into(),
            self.latitude.into(),
            self.longitude.into(),
            "ACTIVE".into(),
            // Older than anything that `auth` may say.
            0.into(),
            self.created_at.into(),
            self.created_at.into(),
        ];
        people.row(&row).await
    }
}

/// Somebody whom an import may mean.
#[derive(Clone, Debug)]
pub struct Found {
    pub number: i64,
    pub id: Uuid,
    /// Digits, with `+` if it was typed.
    pub phone: Option<String>,
    /// Whether the account exists.
    pub here: bool,
    pub first_name: String,
}

/// Those who have one of these numbers, or one of these phones, in digits, and an account.
pub async fn find(db: impl PgExecutor<'_>, numbers: &[i64], phones: &[&str]) -> Result<Vec<Found>> {
    let found = sqlx::query_as!(
        Found,
        r#"select number, id, phone, state <> 'DELETED' as "here!", first_name from people
           where number = any($1) or (translate(phone, '+', '') = any($2) and state <> 'DELETED')"#,
        numbers,
        phones as &[&str]
    );
    Ok(found.fetch_all(db).await?)
}
