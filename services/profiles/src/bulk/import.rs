//! Profiles of another platform; see [`kit::bulk::import`] for the order of doing it. Who has one here keeps it, and who
//! removed it here gets none again. Nobody is told, but for `auth`, which hears from the service of every role that is held
//! from now on.

mod sql;

use kit::Result;
use kit::bulk::import::{self, Outcome};
use kit::bulk::{Load, Value};
use sqlx::PgPool;

/// A profile, which has no number: it is its person's.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Where it stands in what is imported; of two of one kind and person the later counts.
    pub place: i64,
    /// As the import names people; see [`import::Somebody`].
    pub person: String,
    pub details: Details,
}

/// What profiles of a kind say. Files are numbers, of galleries in order.
#[derive(Clone, Debug)]
pub enum Details {
    Specialist(Specialist),
    Businessman(Businessman),
    Consumer,
}

#[derive(Clone, Debug)]
pub struct Specialist {
    /// `VETERINARIAN`, `AGRONOMIST` or `ZOOTECHNICIAN`; other words are noted and not kept. Empty when none was chosen.
    pub profession: String,
    pub experience_years: i32,
    pub about_us: String,
    pub can_give_consultations: bool,
    pub can_offer_online_services: bool,
    pub work_images: Vec<i64>,
    pub title: Option<i64>,
    pub student_card: Option<i64>,
    pub graduation_letter: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct Businessman {
    /// `VETERINARY_SHOP` or `FARMING_COMPANY`; other words are noted, and are the first. Empty when none was chosen.
    pub business_type: String,
    pub business_name: String,
    pub descriptions: String,
    pub contact: String,
    pub offers_local_products: bool,
    pub products: Vec<i64>,
}

/// The role that somebody had, which decides between several profiles.
#[derive(Clone, Debug)]
pub struct Role {
    /// Of two of one number the later counts.
    pub place: i64,
    pub number: i64,
    /// `SPECIALIST`, `BUSINESSMAN` or `CONSUMER`; another word fits no profile.
    pub role: String,
}

/// Begins an import.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    import::begin(pool, sql::STAGE).await
}

pub async fn stage_roles(load: &mut Load, roles: &[Role]) -> Result<()> {
    let mut copy = load.copy("import_roles", &["place", "number", "role"]).await?;
    for role in roles {
        copy.row(&[role.place.into(), role.number.into(), Value::Text(&role.role)]).await?;
    }
    copy.finish().await.map(drop)
}

pub async fn stage_profiles(load: &mut Load, profiles: &[Profile]) -> Result<()> {
    const COLUMNS: &[&str] = &[
        "place",
        "name",
        "kind",
        "speciality",
        "experience_years",
        "about_us",
        "can_give_consultations",
        "can_offer_online_services",
        "title",
        "student_card",
        "graduation_letter",
        "business_name",
        "descriptions",
        "contact",
        "offers_local_products",
    ];
    let mut copy = load.copy("import_profiles", COLUMNS).await?;
    for profile in profiles {
        copy.row(&profile.row()).await?;
    }
    copy.finish().await?;
    let mut copy = load.copy("import_pictures", &["place", "position", "number"]).await?;
    for profile in profiles {
        for (position, number) in profile.gallery().iter().enumerate() {
            copy.row(&[profile.place.into(), (position as i64).into(), (*number).into()]).await?;
        }
    }
    copy.finish().await.map(drop)
}

/// A picture that says itself whose gallery it is in, behind those that the profile names.
#[derive(Clone, Debug)]
pub struct Attached {
    /// As the import names people; nothing comes of a name that no profile has.
    pub person: String,
    /// `SPECIALIST` or `BUSINESSMAN`.
    pub kind: &'static str,
    pub number: i64,
}

pub async fn stage_attached(load: &mut Load, pictures: &[Attached]) -> Result<()> {
    let mut copy = load.copy("import_attached", &["name", "kind", "number"]).await?;
    for picture in pictures {
        copy.row(&[Value::Text(&picture.person), Value::Text(picture.kind), picture.number.into()]).await?;
    }
    copy.finish().await.map(drop)
}

impl Profile {
    fn gallery(&self) -> &[i64] {
        match &self.details {
            Details::Specialist(own) => &own.work_images,
            Details::Businessman(own) => &own.products,
            Details::Consumer => &[],
        }
    }

    /// What the kind does not have is as the table begins it.
    fn row(&self) -> [Value<'_>; 15] {
        let (place, person) = (self.place.into(), Value::Text(&self.person));
        let (nothing, none, no) = (Value::Text(""), Value::Null, Value::Bool(false));
        match &self.details {
            Details::Specialist(own) => [
                place,
                person,
                Value::Text("SPECIALIST"),
                Value::Text(&own.profession),
                i64::from(own.experience_years).into(),
                Value::Text(&own.about_us),
                own.can_give_consultations.into(),
                own.can_offer_online_services.into(),
                own.title.into(),
                own.student_card.into(),
                own.graduation_letter.into(),
                nothing,
                nothing,
                nothing,
                Value::Bool(true),
            ],
            Details::Businessman(own) => [
                place,
                person,
                Value::Text("BUSINESSMAN"),
                Value::Text(&own.business_type),
                Value::Int(0),
                nothing,
                no,
                no,
                none,
                none,
                none,
                Value::Text(&own.business_name),
                Value::Text(&own.descriptions),
                Value::Text(&own.contact),
                own.offers_local_products.into(),
            ],
            Details::Consumer => {
                let kind = Value::Text("CONSUMER");
                let (zero, yes) = (Value::Int(0), Value::Bool(true));
                [place, person, kind, nothing, zero, nothing, no, no, none, none, none, nothing, nothing, nothing, yes]
            }
        }
    }
}

/// Everything is staged: of what came twice the later counts, and the names that occur are gathered.
pub async fn staged(load: &mut Load) -> Result<()> {
    import::run(load, &[sql::GATHER]).await
}

/// Makes profiles of what was staged. From here on nobody else writes until the load ends, one way or the other.
pub async fn merge(load: &mut Load) -> Result<Outcome> {
    import::run(load, &[sql::CHOICE, sql::PROFILES, sql::NOTES]).await?;
    import::outcome(load).await
}

/// Makes it true.
pub async fn finish(mut load: Load) -> Result<()> {
    import::run(&mut load, &["analyze profiles; analyze welcomed; analyze holds"]).await?;
    load.finish().await
}
