//! Profiles by the hundred thousand, for load tests.

pub mod import;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::{Copy, Load, Value};
use sqlx::PgPool;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Profile<'a> {
    pub user_id: Uuid,
    pub user_number: i64,
    /// `SPECIALIST`, `BUSINESSMAN` or `CONSUMER`.
    pub kind: &'static str,
    pub name: &'a str,
    /// A profession or a type of business, as the kind has it.
    pub speciality: Option<&'static str>,
    pub about_us: &'a str,
    pub business_name: &'a str,
    pub created_at: DateTime<Utc>,
}

/// Begins to add profiles, of people who have none.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    Load::begin(pool, &["profiles", "welcomed"]).await
}

pub async fn profiles(load: &mut Load) -> Result<Copy<'_>> {
    const COLUMNS: &[&str] = &[
        "user_id",
        "user_number",
        "kind",
        "name",
        "speciality",
        "about_us",
        "business_name",
        "created_at",
        "updated_at",
    ];
    load.copy("profiles", COLUMNS).await
}

impl Profile<'_> {
    pub async fn write(&self, profiles: &mut Copy<'_>) -> Result<()> {
        let row: [Value<'_>; 9] = [
            self.user_id.into(),
            self.user_number.into(),
            self.kind.into(),
            self.name.into(),
            self.speciality.into(),
            self.about_us.into(),
            self.business_name.into(),
            self.created_at.into(),
            self.created_at.into(),
        ];
        profiles.row(&row).await
    }
}

/// Notes that these people were given their first profile.
pub async fn settle(load: &mut Load) -> Result<()> {
    sqlx::query!("insert into welcomed (user_id) select user_id from profiles on conflict do nothing")
        .execute(load.connection())
        .await?;
    Ok(())
}
