//! People of another platform, brought in with their numbers, as far as `auth` has accepted their accounts; see
//! [`kit::bulk::import`] for the order of doing it. Nobody is told: it is history.

mod sql;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::import::{self, Outcome};
use kit::bulk::{Load, Value};
use sqlx::PgPool;
use uuid::Uuid;

/// Somebody, by the account's number.
#[derive(Clone, Debug)]
pub struct Person {
    /// Where it stands in what is imported; of two with one number the later counts.
    pub place: i64,
    pub number: i64,
    pub first_name: String,
    pub last_name: String,
    pub bio: Option<String>,
    /// Degrees. What is nowhere on earth is noted and not kept.
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    /// Whether there was a picture, which lies elsewhere.
    pub picture: bool,
    pub created_at: DateTime<Utc>,
}

/// What `auth` has of somebody.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    pub number: i64,
    pub id: Uuid,
    pub phone: Option<&'a str>,
    pub roles: Vec<&'a str>,
    /// `ACTIVE` or `BANNED`.
    pub state: &'a str,
}

/// Begins an import.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    import::begin(pool, sql::STAGE).await
}

pub async fn stage(load: &mut Load, people: &[Person]) -> Result<()> {
    const COLUMNS: &[&str] =
        &["place", "number", "first_name", "last_name", "bio", "latitude", "longitude", "picture", "created_at"];
    let mut copy = load.copy("import_persons", COLUMNS).await?;
    for person in people {
        let row: [Value<'_>; 9] = [
            person.place.into(),
            person.number.into(),
            Value::Text(&person.first_name),
            Value::Text(&person.last_name),
            person.bio.as_deref().into(),
            person.latitude.into(),
            person.longitude.into(),
            person.picture.into(),
            person.created_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await.map(drop)
}

/// Says who has an account; each is told once.
pub async fn accept(load: &mut Load, accounts: &[Account<'_>]) -> Result<()> {
    let mut copy = load.copy("import_accounts", &["number", "id", "phone", "roles", "state"]).await?;
    for account in accounts {
        let (number, id) = (account.number.into(), account.id.into());
        let roles = account.roles.as_slice().into();
        copy.row(&[number, id, account.phone.into(), roles, Value::Text(account.state)]).await?;
    }
    copy.finish().await.map(drop)
}

/// Makes people of what was staged. From here on nobody else writes until the load ends, one way or the other.
pub async fn merge(load: &mut Load) -> Result<Outcome> {
    import::run(load, &[sql::PEOPLE]).await?;
    import::outcome(load).await
}

/// Makes it true.
pub async fn finish(mut load: Load) -> Result<()> {
    import::run(&mut load, &["analyze people"]).await?;
    load.finish().await
}
