//! The SQL of people, one statement each.

use chrono::{DateTime, Utc};
use kit::identity::Roles;
use kit::search::Patterns;
use proto::events::v1::ChatModerated;
use proto::users::v1::{UpdateUserRequest, User, UserMetrics};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{Account, Filter, Person, Place};
use crate::avatars::Avatar;

/// `$before`, the columns of [`Person`], `$after`: every statement that answers people answers the same row.
macro_rules! people {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Person,
            $before
                + " id, number, first_name, last_name, bio, latitude, longitude, address, contact_phone,
                    avatar_media_id, avatar_path, phone, email, roles, state, account_version,
                    chat_infractions, chat_banned, verified, created_at "
                + $after
            $(, $argument)*
        )
    };
}

pub(super) async fn fetch_person(db: impl PgExecutor<'_>, id: Uuid) -> kit::Result<Option<Person>> {
    Ok(people!("select", "from people where id = $1 and state <> 'DELETED'", id).fetch_optional(db).await?)
}

pub(super) async fn fetch_person_by_number(db: impl PgExecutor<'_>, number: i64) -> kit::Result<Option<Person>> {
    Ok(people!("select", "from people where number = $1 and state <> 'DELETED'", number).fetch_optional(db).await?)
}

pub(super) async fn fetch_people(db: impl PgExecutor<'_>, ids: &[Uuid], numbers: &[i64]) -> kit::Result<Vec<Person>> {
    let rows = people!(
        "select",
        "from people where (id = any($1) or number = any($2)) and state <> 'DELETED' order by number",
        ids,
        numbers
    );
    Ok(rows.fetch_all(db).await?)
}

/// What lists show of somebody. As many rows as a page has people, so every column counts.
pub(super) struct Basics {
    id: Uuid,
    number: i64,
    first_name: String,
    last_name: String,
    avatar_path: Option<String>,
    phone: Option<String>,
    roles: Vec<String>,
}

impl From<Basics> for User {
    fn from(row: Basics) -> Self {
        Self {
            id: row.id.to_string(),
            number: row.number,
            first_name: row.first_name,
            last_name: row.last_name,
            avatar_path: row.avatar_path,
            phone: row.phone,
            roles: Roles::from_names(&row.roles).numbers(),
            ..Self::default()
        }
    }
}

/// As [`fetch_people`], less of each.
pub(super) async fn fetch_basics(db: impl PgExecutor<'_>, ids: &[Uuid], numbers: &[i64]) -> kit::Result<Vec<Basics>> {
    let rows = sqlx::query_as!(
        Basics,
        "select id, number, first_name, last_name, avatar_path, phone, roles from people
         where (id = any($1) or number = any($2)) and state <> 'DELETED' order by number",
        ids,
        numbers
    );
    Ok(rows.fetch_all(db).await?)
}

pub(crate) async fn lock_person(conn: &mut PgConnection, id: Uuid) -> kit::Result<Option<Person>> {
    let row = people!("select", "from people where id = $1 and state <> 'DELETED' for update", id);
    Ok(row.fetch_optional(conn).await?)
}

/// Whoever has this picture.
pub(crate) async fn lock_wearers(conn: &mut PgConnection, media_id: Uuid) -> kit::Result<Vec<Person>> {
    let rows = people!("select", "from people where avatar_media_id = $1 order by id for update", media_id);
    Ok(rows.fetch_all(conn).await?)
}

// The three statements of a list share their filter and differ in order and key, which are literal for the index's
// sake. Words are looked for in emails too, by the index, and what only an email matched is then left out for those
// who may not see it. "No words" is a pattern that matches everything, "the first page" a key before all others: with
// `$3 is null or …` the plan that PostgreSQL may cache for all arguments would use no index.

pub(super) async fn list_by_number(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    after: Option<Place>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<Person>> {
    let rows = people!(
        "select",
        r"from people
          where state = any($1) and (roles && $2 or $2 = '{}')
              and search like plain($3) and search like all (string_to_array(plain($4), E'\n'))
              and ($5::text is null or plain(email) like plain($5))
              and ($9::bool or searched(first_name, last_name, phone, null, roles) like plain($3)
                  and searched(first_name, last_name, phone, null, roles) like all (string_to_array(plain($4), E'\n')))
              and number > coalesce($6::bigint, 0)
          order by number limit $7 offset $8",
        &filter.states,
        &filter.roles,
        filter.patterns.best,
        filter.patterns.others,
        filter.email.as_deref(),
        after.map(|place| place.number),
        limit,
        skip,
        filter.in_emails
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn list_newest(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    after: Option<Place>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<Person>> {
    let rows = people!(
        "select",
        r"from people
          where state = any($1) and (roles && $2 or $2 = '{}')
              and search like plain($3) and search like all (string_to_array(plain($4), E'\n'))
              and ($5::text is null or plain(email) like plain($5))
              and ($10::bool or searched(first_name, last_name, phone, null, roles) like plain($3)
                  and searched(first_name, last_name, phone, null, roles) like all (string_to_array(plain($4), E'\n')))
              and created_at <= coalesce($6::timestamptz, 'infinity')
              and (created_at < coalesce($6::timestamptz, 'infinity') or id > $7)
          order by created_at desc, id limit $8 offset $9",
        &filter.states,
        &filter.roles,
        filter.patterns.best,
        filter.patterns.others,
        filter.email.as_deref(),
        after.map(|place| place.created_at),
        after.map(|place| place.id),
        limit,
        skip,
        filter.in_emails
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn count_people(db: impl PgExecutor<'_>, filter: &Filter) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*)::int as "count!" from people
           where state = any($1) and (roles && $2 or $2 = '{}')
               and search like plain($3) and search like all (string_to_array(plain($4), E'\n'))
               and ($5::text is null or plain(email) like plain($5))
               and ($6::bool or searched(first_name, last_name, phone, null, roles) like plain($3)
                   and searched(first_name, last_name, phone, null, roles) like all (string_to_array(plain($4), E'\n')))"#,
        &filter.states,
        &filter.roles,
        filter.patterns.best,
        filter.patterns.others,
        filter.email.as_deref(),
        filter.in_emails
    );
    Ok(count.fetch_one(db).await?)
}

/// By name at last, with which the searched text begins.
pub(super) async fn search_people(
    db: impl PgExecutor<'_>,
    patterns: &Patterns,
    typed: &str,
    without: Uuid,
    limit: i64,
) -> kit::Result<Vec<Person>> {
    let rows = people!(
        "select",
        r"from people
          where state = 'ACTIVE' and id <> $4
              and search like plain($1) and search like all (string_to_array(plain($2), E'\n'))
          order by coalesce(lower(email) = $3, false) desc, search, id
          limit $5",
        patterns.best,
        patterns.others,
        typed,
        without,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn count_kinds(db: impl PgExecutor<'_>) -> kit::Result<UserMetrics> {
    let metrics = sqlx::query_as!(
        UserMetrics,
        r#"select
               (count(*) filter (where 'CLIENT' = any(roles)))::int as "clients!",
               (count(*) filter (where 'PROFESSIONAL' = any(roles)))::int as "professionals!",
               (count(*) filter (where 'PROFESSIONAL' = any(roles) and not verified))::int
                   as "professionals_unverified!",
               (count(*) filter (where 'PROFESSIONAL' = any(roles) and verified))::int as "professionals_verified!"
           from people where state <> 'DELETED'"#
    );
    Ok(metrics.fetch_one(db).await?)
}

/// Whether there was none. The new row is older than any version of the account, so that the copy follows. Of the two
/// unique keys none is named: with one named, two inserts of the same person can deadlock over the other.
pub(super) async fn insert_person(
    conn: &mut PgConnection,
    id: Uuid,
    number: i64,
    created_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    let inserted = sqlx::query!(
        "insert into people (id, number, state, account_version, created_at, updated_at)
         values ($1, $2, 'ACTIVE', -1, $3, $4) on conflict do nothing",
        id,
        number,
        created_at,
        now
    );
    Ok(inserted.execute(conn).await?.rows_affected() == 1)
}

pub(crate) async fn update_account(
    conn: &mut PgConnection,
    id: Uuid,
    account: &Account,
    now: DateTime<Utc>,
) -> kit::Result<Person> {
    let row = people!(
        "update people
         set account_version = $2, phone = $3, email = $4, roles = $5, updated_at = $7,
             state = case when $6 then 'BANNED' else 'ACTIVE' end
         where id = $1 returning",
        "",
        id,
        account.version,
        account.phone.as_deref(),
        account.email.as_deref(),
        &account.roles.names(),
        account.banned,
        now
    );
    Ok(row.fetch_one(conn).await?)
}

/// Absent fields stay; the empty text removes what can be absent.
pub(super) async fn update_profile(
    conn: &mut PgConnection,
    id: Uuid,
    change: &UpdateUserRequest,
    now: DateTime<Utc>,
) -> kit::Result<Person> {
    let row = people!(
        "update people
         set first_name = coalesce($2, first_name), last_name = coalesce($3, last_name),
             bio = nullif(coalesce($4, bio), ''), address = nullif(coalesce($5, address), ''),
             contact_phone = nullif(coalesce($6, contact_phone), ''),
             latitude = case when $7 then null else coalesce($8, latitude) end,
             longitude = case when $7 then null else coalesce($9, longitude) end,
             updated_at = $10
         where id = $1 returning",
        "",
        id,
        change.first_name.as_deref(),
        change.last_name.as_deref(),
        change.bio.as_deref(),
        change.address.as_deref(),
        change.contact_phone.as_deref(),
        change.clear_location,
        change.location.map(|place| place.latitude),
        change.location.map(|place| place.longitude),
        now
    );
    Ok(row.fetch_one(conn).await?)
}

pub(crate) async fn update_avatar(
    conn: &mut PgConnection,
    id: Uuid,
    avatar: Option<&Avatar>,
    now: DateTime<Utc>,
) -> kit::Result<Person> {
    let row = people!(
        "update people set avatar_media_id = $2, avatar_path = $3, updated_at = $4 where id = $1 returning",
        "",
        id,
        avatar.map(|avatar| avatar.media_id),
        avatar.map(|avatar| avatar.path.as_str()),
        now
    );
    Ok(row.fetch_one(conn).await?)
}

/// Unless a newer one is there, or nobody to whom it could belong.
pub(crate) async fn update_chat_standing(
    conn: &mut PgConnection,
    id: Uuid,
    standing: &ChatModerated,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "update people set chat_infractions = $2, chat_banned = $3, chat_version = $4, updated_at = $5
         where id = $1 and chat_version < $4 and state <> 'DELETED'",
        id,
        standing.infracciones,
        standing.baneado,
        standing.version,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn anonymize_person(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "update people
         set first_name = 'Usuario', last_name = '', bio = null, latitude = null, longitude = null, address = null,
             contact_phone = null, avatar_media_id = null, avatar_path = null, phone = null, email = null,
             roles = '{}', state = 'DELETED', chat_infractions = 0, chat_banned = false, verified = false,
             updated_at = $2
         where id = $1",
        id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn delete_person(conn: &mut PgConnection, id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from people where id = $1", id).execute(conn).await?;
    Ok(())
}
