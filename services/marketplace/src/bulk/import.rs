//! Categories, ads and follows of another marketplace, brought in as they were, ads with their ids; see
//! [`kit::bulk::import`] for the order of doing it. Nobody is told: it is history.

mod sql;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::import::{self, Outcome};
use kit::bulk::{Load, Value};
use sqlx::PgPool;

/// A category.
#[derive(Clone, Debug)]
pub struct Category {
    /// Where it stands in what is imported; of two with one id the later counts.
    pub place: i64,
    pub id: i64,
    pub name: String,
    pub description: Option<String>,
}

/// An ad.
#[derive(Clone, Debug)]
pub struct Ad {
    pub place: i64,
    pub id: i64,
    /// As the import names people; see [`import::Somebody`]. Absent when it is nobody's.
    pub publisher: Option<String>,
    pub title: String,
    pub description: String,
    /// Hundredths; absent when it was no price.
    pub price: Option<i64>,
    pub category: Option<i64>,
    /// `NEW`, `USED` or `SEMI_NEW`; with another word the ad is left out.
    pub condition: String,
    pub location_name: Option<String>,
    /// Degrees. What is nowhere on earth is noted and not kept.
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    /// Numbers of files.
    pub main_image: Option<i64>,
    pub secondary_images: Vec<i64>,
    /// `ACTIVE`, `PAUSED`, `SOLD` or `ARCHIVED`; with another word the ad is left out.
    pub state: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// That somebody follows somebody.
#[derive(Clone, Debug)]
pub struct Follow {
    pub place: i64,
    pub id: i64,
    pub follower: String,
    pub following: String,
    pub created_at: DateTime<Utc>,
}

/// Begins an import. Ads and follows go with the account, so those of people who have none are left out.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    import::begin(pool, sql::STAGE).await
}

pub async fn stage_categories(load: &mut Load, categories: &[Category]) -> Result<()> {
    let mut copy = load.copy("import_categories", &["place", "id", "title", "description"]).await?;
    for category in categories {
        let description = category.description.as_deref().into();
        copy.row(&[category.place.into(), category.id.into(), Value::Text(&category.name), description]).await?;
    }
    copy.finish().await.map(drop)
}

pub async fn stage_ads(load: &mut Load, ads: &[Ad]) -> Result<()> {
    const COLUMNS: &[&str] = &[
        "place",
        "id",
        "name",
        "title",
        "description",
        "price",
        "category",
        "condition",
        "location_name",
        "latitude",
        "longitude",
        "main_image",
        "state",
        "created_at",
        "updated_at",
    ];
    let mut copy = load.copy("import_ads", COLUMNS).await?;
    for ad in ads {
        let row: [Value<'_>; 15] = [
            ad.place.into(),
            ad.id.into(),
            ad.publisher.as_deref().into(),
            Value::Text(&ad.title),
            Value::Text(&ad.description),
            ad.price.into(),
            ad.category.into(),
            Value::Text(&ad.condition),
            ad.location_name.as_deref().into(),
            ad.latitude.into(),
            ad.longitude.into(),
            ad.main_image.into(),
            Value::Text(&ad.state),
            ad.created_at.into(),
            ad.updated_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await?;
    let mut copy = load.copy("import_pictures", &["place", "position", "number"]).await?;
    for ad in ads {
        for (position, number) in ad.secondary_images.iter().enumerate() {
            copy.row(&[ad.place.into(), (position as i64).into(), (*number).into()]).await?;
        }
    }
    copy.finish().await.map(drop)
}

pub async fn stage_follows(load: &mut Load, follows: &[Follow]) -> Result<()> {
    let mut copy = load.copy("import_follows", &["place", "id", "follower", "following", "created_at"]).await?;
    for follow in follows {
        let (follower, following) = (Value::Text(&follow.follower), Value::Text(&follow.following));
        copy.row(&[follow.place.into(), follow.id.into(), follower, following, follow.created_at.into()]).await?;
    }
    copy.finish().await.map(drop)
}

/// Everything is staged: of what came twice the later counts, and the names that occur are gathered.
pub async fn staged(load: &mut Load) -> Result<()> {
    import::run(load, &[sql::GATHER]).await
}

/// Makes categories, ads and follows of what was staged. From here on nobody else writes until the load ends, one way or
/// the other.
pub async fn merge(load: &mut Load) -> Result<Outcome> {
    import::run(load, &[sql::CHOICE, sql::CATEGORIES, sql::ADS, sql::FOLLOWS, sql::NOTES]).await?;
    import::outcome(load).await
}

/// Makes it true, with the next free ids behind everything that was imported.
pub async fn finish(mut load: Load) -> Result<()> {
    import::run(&mut load, &[sql::SEQUENCES]).await?;
    load.finish().await
}
