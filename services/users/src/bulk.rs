//! People by the hundred thousand, for load tests.

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::{Copy, Load, Value};
use sqlx::PgPool;
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
