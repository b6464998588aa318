//! The SQL of profiles, one statement each.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{Filter, Kind, Person, ProfileRow};
use crate::documents::Documents;
use crate::input::Change;

/// Lists tell no larger total, so that counting is bounded work.
const COUNTED: i64 = 10_000;

/// The columns of [`ProfileRow`], flat.
struct Flat {
    id: i64,
    user_id: Uuid,
    user_number: i64,
    kind: Kind,
    speciality: Option<String>,
    gallery: Vec<Uuid>,
    experience_years: i32,
    about_us: String,
    can_give_consultations: bool,
    can_offer_online_services: bool,
    title_id: Option<Uuid>,
    student_card_id: Option<Uuid>,
    graduation_letter_id: Option<Uuid>,
    verification: Option<i16>,
    verification_reason: String,
    submission: i32,
    submitted_at: Option<DateTime<Utc>>,
    reviewed_at: Option<DateTime<Utc>>,
    point: i64,
    ratings: i32,
    business_name: String,
    descriptions: String,
    contact: String,
    offers_local_products: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Flat> for ProfileRow {
    fn from(row: Flat) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            user_number: row.user_number,
            kind: row.kind,
            speciality: row.speciality,
            gallery: row.gallery,
            experience_years: row.experience_years,
            about_us: row.about_us,
            can_give_consultations: row.can_give_consultations,
            can_offer_online_services: row.can_offer_online_services,
            documents: Documents {
                title_id: row.title_id,
                student_card_id: row.student_card_id,
                graduation_letter_id: row.graduation_letter_id,
                state: row.verification,
                reason: row.verification_reason,
                submission: row.submission,
                submitted_at: row.submitted_at,
                reviewed_at: row.reviewed_at,
            },
            point: row.point,
            ratings: row.ratings,
            business_name: row.business_name,
            descriptions: row.descriptions,
            contact: row.contact,
            offers_local_products: row.offers_local_products,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// `$before`, the columns of a profile, `$after`: every statement that answers profiles answers the same row.
macro_rules! profiles {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Flat,
            $before
                + r#" id, user_id, user_number, kind as "kind: Kind", speciality, gallery, experience_years, about_us,
                    can_give_consultations, can_offer_online_services, title_id, student_card_id,
                    graduation_letter_id, verification, verification_reason, submission, submitted_at, reviewed_at,
                    point, ratings, business_name, descriptions, contact, offers_local_products, created_at,
                    updated_at "#
                + $after
            $(, $argument)*
        )
    };
}

fn rows(rows: Vec<Flat>) -> Vec<ProfileRow> {
    rows.into_iter().map(Into::into).collect()
}

pub(crate) async fn fetch_profile(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<Option<ProfileRow>> {
    let row = profiles!("select", "from profiles where user_id = $1", user_id);
    Ok(row.fetch_optional(db).await?.map(Into::into))
}

pub(super) async fn fetch_profiles(db: impl PgExecutor<'_>, user_ids: &[Uuid]) -> kit::Result<Vec<ProfileRow>> {
    let found = profiles!("select", "from profiles where user_id = any($1) order by id", user_ids);
    Ok(rows(found.fetch_all(db).await?))
}

/// Before anything is made, removed or learnt of a person, and before they give stars, so that neither overtakes the
/// other. A transaction locks one person, and before any row. Tables are written in the order in which an import locks
/// them: `welcomed`, `profiles`, `holds`.
pub(crate) async fn lock_person(conn: &mut PgConnection, user_id: Uuid) -> kit::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1))", user_id).execute(conn).await?;
    Ok(())
}

pub(crate) async fn lock_profile(conn: &mut PgConnection, user_id: Uuid) -> kit::Result<Option<ProfileRow>> {
    let row = profiles!("select", "from profiles where user_id = $1 for update", user_id);
    Ok(row.fetch_optional(conn).await?.map(Into::into))
}

/// Whoever refers to this file.
pub(crate) async fn lock_referrers(conn: &mut PgConnection, media_id: Uuid) -> kit::Result<Vec<ProfileRow>> {
    let found = profiles!("select", "from profiles where media @> array[$1::uuid] order by id for update", media_id);
    Ok(rows(found.fetch_all(conn).await?))
}

// The lists differ in what narrows them, and each has its index in the order of ids: one statement for all, with
// `$2 is null or …`, would have none.

pub(super) async fn list_of_kind(
    db: impl PgExecutor<'_>,
    kind: Kind,
    after: i64,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<ProfileRow>> {
    let found = profiles!(
        "select",
        "from profiles where kind = $1 and id > $2 order by id limit $3 offset $4",
        kind as Kind,
        after,
        limit,
        skip
    );
    Ok(rows(found.fetch_all(db).await?))
}

pub(super) async fn count_of_kind(db: impl PgExecutor<'_>, kind: Kind) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (select from profiles where kind = $1 limit $2) counted"#,
        kind as Kind,
        COUNTED
    );
    Ok(count.fetch_one(db).await? as i32)
}

pub(super) async fn list_of_speciality(
    db: impl PgExecutor<'_>,
    kind: Kind,
    speciality: &str,
    after: i64,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<ProfileRow>> {
    let found = profiles!(
        "select",
        "from profiles where kind = $1 and speciality = $2 and id > $3 order by id limit $4 offset $5",
        kind as Kind,
        speciality,
        after,
        limit,
        skip
    );
    Ok(rows(found.fetch_all(db).await?))
}

pub(super) async fn count_of_speciality(db: impl PgExecutor<'_>, kind: Kind, speciality: &str) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!"
           from (select from profiles where kind = $1 and speciality = $2 limit $3) counted"#,
        kind as Kind,
        speciality,
        COUNTED
    );
    Ok(count.fetch_one(db).await? as i32)
}

// What is a letter to us may be none to the index of trigrams, which would then be read as a whole. So whoever looks
// there asks PostgreSQL, too, whether three stand in a row.

/// With all words. Short ones among them begin one of the text's.
pub(super) async fn list_found(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    after: i64,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<ProfileRow>> {
    let found = profiles!(
        "select",
        r"from profiles
          where kind = $1 and ($2::text is null or speciality = $2)
              and search like plain($3) and plain($3) ~ '[[:alnum:]]{3}'
              and search like all (string_to_array(plain($4), E'\n'))
              and ($5::text = '' or (' ' || regexp_replace(search, '[^[:alnum:]]+', ' ', 'g')) like all (string_to_array(plain($5), E'\n')))
              and id > $6
          order by id limit $7 offset $8",
        filter.kind as Kind,
        filter.speciality,
        filter.search.patterns.best,
        filter.search.patterns.others,
        filter.search.beginnings,
        after,
        limit,
        skip
    );
    Ok(rows(found.fetch_all(db).await?))
}

pub(super) async fn count_found(db: impl PgExecutor<'_>, filter: &Filter) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from profiles
               where kind = $1 and ($2::text is null or speciality = $2)
                   and search like plain($3) and plain($3) ~ '[[:alnum:]]{3}'
                   and search like all (string_to_array(plain($4), E'\n'))
                   and ($5::text = ''
                       or (' ' || regexp_replace(search, '[^[:alnum:]]+', ' ', 'g')) like all (string_to_array(plain($5), E'\n')))
               limit $6
           ) counted"#,
        filter.kind as Kind,
        filter.speciality,
        filter.search.patterns.best,
        filter.search.patterns.others,
        filter.search.beginnings,
        COUNTED
    );
    Ok(count.fetch_one(db).await? as i32)
}

/// With names that have words that begin so.
pub(super) async fn list_named(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    after: i64,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<ProfileRow>> {
    let found = profiles!(
        "select",
        r"from profiles
          where kind = $1 and ($2::text is null or speciality = $2)
              and beginnings @> (array[$1] || string_to_array(plain($3), E'\n'))
              and id > $4
          order by id limit $5 offset $6",
        filter.kind as Kind,
        filter.speciality,
        filter.search.names,
        after,
        limit,
        skip
    );
    Ok(rows(found.fetch_all(db).await?))
}

pub(super) async fn count_named(db: impl PgExecutor<'_>, filter: &Filter) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from profiles
               where kind = $1 and ($2::text is null or speciality = $2)
                   and beginnings @> (array[$1] || string_to_array(plain($3), E'\n'))
               limit $4
           ) counted"#,
        filter.kind as Kind,
        filter.speciality,
        filter.search.names,
        COUNTED
    );
    Ok(count.fetch_one(db).await? as i32)
}

/// The one profile of somebody, if it fits the filter.
pub(super) async fn find_profile(
    db: impl PgExecutor<'_>,
    user_id: Uuid,
    filter: &Filter,
) -> kit::Result<Option<ProfileRow>> {
    let row = profiles!(
        "select",
        r"from profiles
          where user_id = $1 and kind = $2 and ($3::text is null or speciality = $3)
              and search like plain($4) and search like all (string_to_array(plain($5), E'\n'))
              and (' ' || regexp_replace(search, '[^[:alnum:]]+', ' ', 'g')) like all (string_to_array(plain($6), E'\n'))
              and beginnings @> string_to_array(plain($7), E'\n')",
        user_id,
        filter.kind as Kind,
        filter.speciality,
        filter.search.patterns.best,
        filter.search.patterns.others,
        filter.search.beginnings,
        filter.search.names
    );
    Ok(row.fetch_optional(db).await?.map(Into::into))
}

/// Nothing when the person has a profile already, of whatever kind. The person is locked before: what a statement reads
/// is as old as its beginning, even if it then waits for the key of a profile that is being removed. With the stars that
/// a former one had, which are locked: whoever takes theirs back meanwhile finds the profile afterwards.
pub(super) async fn insert_profile(
    conn: &mut PgConnection,
    person: &Person,
    kind: Kind,
    now: DateTime<Utc>,
) -> kit::Result<Option<ProfileRow>> {
    let row = profiles!(
        "with kept as (select stars from ratings where user_id = $1 and $3 = 'SPECIALIST' for update)
         insert into profiles
             (user_id, user_number, kind, name, speciality, submission, point, ratings, created_at, updated_at)
         values (
             $1, $2, $3, $4, case $3 when 'BUSINESSMAN' then 'VETERINARY_SHOP' end,
             coalesce((select submission from welcomed where user_id = $1), 0),
             (select coalesce(sum(stars), 0) from kept), (select count(*) from kept), $5, $5
         )
         on conflict do nothing returning",
        "",
        person.id,
        person.number,
        kind as Kind,
        person.name,
        now
    );
    Ok(row.fetch_optional(conn).await?.map(Into::into))
}

/// All but the documents. Absent fields stay.
pub(super) async fn update_profile(
    conn: &mut PgConnection,
    id: i64,
    change: &Change,
    now: DateTime<Utc>,
) -> kit::Result<ProfileRow> {
    let row = profiles!(
        "update profiles
         set speciality = coalesce($2, speciality), gallery = coalesce($3, gallery),
             experience_years = coalesce($4, experience_years), about_us = coalesce($5, about_us),
             can_give_consultations = coalesce($6, can_give_consultations),
             can_offer_online_services = coalesce($7, can_offer_online_services),
             business_name = coalesce($8, business_name), descriptions = coalesce($9, descriptions),
             contact = coalesce($10, contact), offers_local_products = coalesce($11, offers_local_products),
             updated_at = $12
         where id = $1 returning",
        "",
        id,
        change.speciality,
        change.gallery.as_deref(),
        change.experience_years,
        change.about_us.as_deref(),
        change.can_give_consultations,
        change.can_offer_online_services,
        change.business_name.as_deref(),
        change.descriptions.as_deref(),
        change.contact.as_deref(),
        change.offers_local_products,
        now
    );
    Ok(row.fetch_one(conn).await?.into())
}

pub(crate) async fn update_documents(
    conn: &mut PgConnection,
    id: i64,
    documents: &Documents,
    now: DateTime<Utc>,
) -> kit::Result<ProfileRow> {
    let row = profiles!(
        "update profiles
         set title_id = $2, student_card_id = $3, graduation_letter_id = $4, verification = $5,
             verification_reason = $6, submission = $7, submitted_at = $8, reviewed_at = $9, updated_at = $10
         where id = $1 returning",
        "",
        id,
        documents.title_id,
        documents.student_card_id,
        documents.graduation_letter_id,
        documents.state,
        documents.reason,
        documents.submission,
        documents.submitted_at,
        documents.reviewed_at,
        now
    );
    Ok(row.fetch_one(conn).await?.into())
}

pub(crate) async fn update_gallery(
    conn: &mut PgConnection,
    id: i64,
    gallery: &[Uuid],
    now: DateTime<Utc>,
) -> kit::Result<ProfileRow> {
    let row =
        profiles!("update profiles set gallery = $2, updated_at = $3 where id = $1 returning", "", id, gallery, now);
    Ok(row.fetch_one(conn).await?.into())
}

/// Whether there is a profile that has the name now.
pub(crate) async fn update_name(db: impl PgExecutor<'_>, user_id: Uuid, name: &str) -> kit::Result<bool> {
    let updated = sqlx::query!("update profiles set name = $2 where user_id = $1", user_id, name);
    Ok(updated.execute(db).await?.rows_affected() == 1)
}

pub(crate) async fn upsert_heard_name(db: impl PgExecutor<'_>, user_id: Uuid, name: &str) -> kit::Result<()> {
    sqlx::query!(
        "insert into heard_names as h (user_id, name, times) values ($1, $2, 1)
         on conflict (user_id) do update set name = excluded.name, times = h.times + 1",
        user_id,
        name
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How often something was heard of a person without a profile.
pub(super) async fn fetch_times_heard(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<i64> {
    let times = sqlx::query_scalar!("select times from heard_names where user_id = $1", user_id);
    Ok(times.fetch_optional(db).await?.unwrap_or_default())
}

/// What was heard since then.
pub(super) async fn fetch_name_heard_since(
    db: impl PgExecutor<'_>,
    user_id: Uuid,
    times: i64,
) -> kit::Result<Option<String>> {
    let name = sqlx::query_scalar!("select name from heard_names where user_id = $1 and times > $2", user_id, times);
    Ok(name.fetch_optional(db).await?)
}

pub(crate) async fn forget_heard_name(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from heard_names where user_id = $1", user_id).execute(db).await?;
    Ok(())
}

/// Adds to the sum of stars and to the number of ratings of a specialist, if it is one.
pub(crate) async fn update_points(
    conn: &mut PgConnection,
    user_id: Uuid,
    stars: i64,
    ratings: i32,
) -> kit::Result<Option<ProfileRow>> {
    let row = profiles!(
        "update profiles set point = point + $2, ratings = ratings + $3
         where user_id = $1 and kind = 'SPECIALIST' returning",
        "",
        user_id,
        stars,
        ratings
    );
    Ok(row.fetch_optional(conn).await?.map(Into::into))
}

pub(crate) async fn delete_profile(conn: &mut PgConnection, id: i64) -> kit::Result<()> {
    sqlx::query!("delete from profiles where id = $1", id).execute(conn).await?;
    Ok(())
}

/// Keeps the count of somebody's documents for their next profile.
pub(super) async fn upsert_submission(db: impl PgExecutor<'_>, user_id: Uuid, submission: i32) -> kit::Result<()> {
    sqlx::query!(
        "insert into welcomed (user_id, submission) values ($1, $2)
         on conflict (user_id) do update set submission = excluded.submission",
        user_id,
        submission
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether this is the first time.
pub(crate) async fn insert_welcomed(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<bool> {
    let inserted = sqlx::query!("insert into welcomed (user_id) values ($1) on conflict do nothing", user_id);
    Ok(inserted.execute(db).await?.rows_affected() == 1)
}

pub(super) async fn welcomed(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<bool> {
    let welcomed =
        sqlx::query_scalar!(r#"select exists (select from welcomed where user_id = $1) as "welcomed!""#, user_id);
    Ok(welcomed.fetch_one(db).await?)
}

/// Notes that an account is gone, and nothing else of it.
pub(crate) async fn upsert_gone(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "insert into welcomed (user_id, gone) values ($1, true)
         on conflict (user_id) do update set gone = true, submission = 0",
        user_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether somebody's account is gone.
pub(crate) async fn gone(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<bool> {
    let gone =
        sqlx::query_scalar!(r#"select exists (select from welcomed where user_id = $1 and gone) as "gone!""#, user_id);
    Ok(gone.fetch_one(db).await?)
}

/// Where a page of documents to review starts.
pub(crate) type Turn = (i16, DateTime<Utc>, i64);

/// Documents in the states from `first` to `last`.
pub(crate) async fn list_verifications(
    db: impl PgExecutor<'_>,
    (first, last): (i16, i16),
    after: Option<Turn>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<ProfileRow>> {
    let found = profiles!(
        "select",
        "from profiles
         where verification between $1 and $2
             and (verification, submitted_at, id)
                 > (coalesce($3::smallint, 0), coalesce($4::timestamptz, '-infinity'), coalesce($5::bigint, 0))
         order by verification, submitted_at, id limit $6 offset $7",
        first,
        last,
        after.map(|turn| turn.0),
        after.map(|turn| turn.1),
        after.map(|turn| turn.2),
        limit,
        skip
    );
    Ok(rows(found.fetch_all(db).await?))
}

pub(crate) async fn count_verifications(db: impl PgExecutor<'_>, (first, last): (i16, i16)) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!"
           from (select from profiles where verification between $1 and $2 limit $3) counted"#,
        first,
        last,
        COUNTED
    );
    Ok(count.fetch_one(db).await? as i32)
}
