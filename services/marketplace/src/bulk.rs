//! Ads by the hundred thousand, for demonstrations and load tests.

pub mod import;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::{Copy, Load, Value};
use sqlx::PgPool;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Ad<'a> {
    pub id: i64,
    pub publisher_id: Uuid,
    pub publisher_number: i64,
    pub title: &'a str,
    pub description: &'a str,
    /// Hundredths.
    pub price: i64,
    pub category_id: i64,
    /// `NEW`, `USED` or `SEMI_NEW`.
    pub condition: &'static str,
    /// `ACTIVE`, `PAUSED`, `SOLD` or `ARCHIVED`.
    pub state: &'static str,
    pub location_name: &'a str,
    pub latitude: f64,
    pub longitude: f64,
    pub main_image_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

/// Begins to add ads.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    Load::begin(pool, &["ads", "words"]).await
}

/// The largest id so far.
pub async fn last_id(load: &mut Load) -> Result<i64> {
    Ok(sqlx::query_scalar!(r#"select coalesce(max(id), 0) as "id!" from ads"#).fetch_one(load.connection()).await?)
}

pub async fn ads(load: &mut Load) -> Result<Copy<'_>> {
    const COLUMNS: &[&str] = &[
        "id",
        "publisher_id",
        "publisher_number",
        "title",
        "description",
        "price",
        "category_id",
        "condition",
        "state",
        "location_name",
        "latitude",
        "longitude",
        "main_image_id",
        "created_at",
        "updated_at",
    ];
    load.copy("ads", COLUMNS).await
}

impl Ad<'_> {
    pub async fn write(&self, ads: &mut Copy<'_>) -> Result<()> {
        let row: [Value<'_>; 15] = [
            self.id.into(),
            self.publisher_id.into(),
            self.publisher_number.into(),
            self.title.into(),
            self.description.into(),
            self.price.into(),
            self.category_id.into(),
            self.condition.into(),
            self.state.into(),
            self.location_name.into(),
            self.latitude.into(),
            self.longitude.into(),
            self.main_image_id.into(),
            self.created_at.into(),
            self.created_at.into(),
        ];
        ads.row(&row).await
    }
}

/// Makes what follows from ads above `former`, the largest id before: the words they are found by, the next free id.
pub async fn settle(load: &mut Load, former: i64) -> Result<()> {
    let connection = load.connection();
    sqlx::query!(
        "insert into words (word)
         select distinct noted.word
         from ads cross join lateral unnest(tsvector_to_array(
            to_tsvector('spanish_words', spoken(ads.title || ' ' || ads.description))
         )) as noted (word)
         where ads.id > $1 and noted.word ~ '^[a-z0-9]{3,40}$'
         on conflict do nothing",
        former
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("select setval(pg_get_serial_sequence('ads', 'id'), greatest((select max(id) from ads), 1))")
        .fetch_one(&mut *connection)
        .await?;
    Ok(())
}
