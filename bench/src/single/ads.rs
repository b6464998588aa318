//! `GET /api/adds/` for the yardstick: the statements that `marketplace`, `users` and `media` send, on their databases,
//! and the JSON that the edge makes of them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::HOST;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Failure, Me, Single};

/// `Marketplace::snapshot` of services/marketplace/src/lib.rs.
const SNAPSHOT: &str = "begin isolation level repeatable read read only; \
    set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off";

/// `count_plain` of services/marketplace/src/ads/plain.rs.
const COUNT_ADS: &str = "select count(*)::int, true
    from (
        select 1 from ads where state in ('ACTIVE', 'SOLD', 'ORDERED')
        union all
        select 1 from ads where publisher_number = $1 and state in ('PAUSED', 'ARCHIVED')
        limit 10000
    ) as found";

/// `list_newest` of the same file.
const LIST_ADS: &str =
    "select ads.id, ads.publisher_id, ads.publisher_number, ads.title, ads.description, ads.price, ads.category_id,
        ads.condition, ads.location_name, ads.latitude, ads.longitude, ads.main_image_id, ads.secondary_image_ids,
        ads.state, ads.created_at, ads.updated_at
    from (
        select id
        from (
            (select id, created_at from ads
             where state in ('ACTIVE', 'SOLD', 'ORDERED')
                 and (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::bigint, 0))
             order by created_at desc, id desc limit $4::bigint + $5::bigint)
            union all
            (select id, created_at from ads
             where publisher_number = $1 and state in ('PAUSED', 'ARCHIVED')
                 and (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::bigint, 0))
             order by created_at desc, id desc limit $4::bigint + $5::bigint)
        ) as found
        order by created_at desc, id desc limit $4 offset $5
    ) as page
    join ads on ads.id = page.id
    order by ads.created_at desc, ads.id desc";

/// `fetch_basics` of services/users/src/people/sql.rs.
const FETCH_PEOPLE: &str = "select id, number, first_name, last_name, avatar_path, phone, roles from people \
    where (id = any($1) or number = any($2)) and state <> 'DELETED' order by number";

/// `list_basics` of services/media/src/files/sql.rs.
const LIST_FILES: &str = "select f.id, f.number, f.owner_id, f.name, f.description, f.price_hundredths, f.folder, \
    f.created_at, b.object_key from files f left join blobs b on b.id = f.blob_id \
    where f.id = any($1) or f.number = any($2) order by f.number";

#[derive(sqlx::FromRow)]
struct Ad {
    id: i64,
    publisher_id: Uuid,
    publisher_number: i64,
    title: String,
    description: String,
    price: i64,
    category_id: i64,
    condition: String,
    location_name: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    main_image_id: Option<Uuid>,
    secondary_image_ids: Vec<Uuid>,
    state: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
#[expect(
    dead_code,
    reason = "the query reads what the service's query reads, though this page does not show all of it"
)]
struct File {
    id: Uuid,
    number: i64,
    owner_id: Option<Uuid>,
    name: Option<String>,
    description: Option<String>,
    price_hundredths: Option<i64>,
    folder: String,
    created_at: DateTime<Utc>,
    object_key: Option<String>,
}

#[derive(sqlx::FromRow)]
#[expect(dead_code, reason = "as with files")]
struct Person {
    id: Uuid,
    number: i64,
    first_name: String,
    last_name: String,
    avatar_path: Option<String>,
    phone: Option<String>,
    roles: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Page {
    page: Option<i64>,
    page_size: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct Paged {
    count: i32,
    next: Option<String>,
    previous: Option<String>,
    results: Vec<Add>,
}

#[derive(Serialize)]
struct Add {
    id: i64,
    publisher_id: i64,
    publisher: i64,
    publisher_name: String,
    title: String,
    description: String,
    price: String,
    category: i64,
    condition: &'static str,
    location_name: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    main_image: Option<Media>,
    secondary_images: Vec<Media>,
    status: &'static str,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct Media {
    id: i64,
    name: Option<String>,
    description: Option<String>,
    price: Option<String>,
    url: Option<String>,
    created_at: String,
    content_type: Option<i64>,
    object_id: Option<i64>,
}

pub(super) async fn list(
    State(single): State<Arc<Single>>,
    Me(me): Me,
    Query(Page { page, page_size }): Query<Page>,
    headers: HeaderMap,
) -> Result<Json<Paged>, Failure> {
    let base = format!("http://{}", headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost"));
    let (number, size) = (page.unwrap_or(1).max(1), page_size.unwrap_or(20).clamp(1, 100));
    let (count, ads) = page_of_ads(&single.marketplace, me.number, size, (number - 1) * size).await?;

    let mut publishers: Vec<Uuid> = ads.iter().map(|ad| ad.publisher_id).collect();
    let pictures = ads.iter().flat_map(|ad| ad.main_image_id.iter().chain(&ad.secondary_image_ids));
    let mut pictures: Vec<Uuid> = pictures.copied().collect();
    for ids in [&mut publishers, &mut pictures] {
        ids.sort_unstable();
        ids.dedup();
    }
    let (people, files) = tokio::try_join!(people(&single.db, &publishers), files(&single.media, &pictures))?;

    let link = |number: i64| match number {
        1 => format!("{base}/api/adds/?page_size={size}"),
        number => format!("{base}/api/adds/?page={number}&page_size={size}"),
    };
    Ok(Json(Paged {
        count,
        next: (number * size < i64::from(count)).then(|| link(number + 1)),
        previous: (number > 1).then(|| link(number - 1)),
        results: ads.into_iter().map(|ad| Add::of(ad, &people, &files, &base)).collect(),
    }))
}

/// How many there are, and the page, one row more than it shows.
async fn page_of_ads(db: &PgPool, viewer: i64, size: i64, skip: i64) -> Result<(i32, Vec<Ad>), sqlx::Error> {
    let mut tx = db.begin_with(SNAPSHOT).await?;
    let (count, _): (i32, bool) = sqlx::query_as(COUNT_ADS).bind(viewer).fetch_one(&mut *tx).await?;
    let list = sqlx::query_as(LIST_ADS).bind(viewer).bind(None::<DateTime<Utc>>).bind(None::<i64>);
    let mut ads: Vec<Ad> = list.bind(size + 1).bind(skip).fetch_all(&mut *tx).await?;
    tx.commit().await?;
    ads.truncate(size as usize);
    Ok((count, ads))
}

async fn people(db: &PgPool, ids: &[Uuid]) -> Result<HashMap<Uuid, Person>, sqlx::Error> {
    let rows: Vec<Person> = sqlx::query_as(FETCH_PEOPLE).bind(ids).bind([0_i64; 0]).fetch_all(db).await?;
    Ok(rows.into_iter().map(|person| (person.id, person)).collect())
}

async fn files(db: &PgPool, ids: &[Uuid]) -> Result<HashMap<Uuid, File>, sqlx::Error> {
    let rows: Vec<File> = sqlx::query_as(LIST_FILES).bind(ids).bind([0_i64; 0]).fetch_all(db).await?;
    Ok(rows.into_iter().map(|file| (file.id, file)).collect())
}

impl Add {
    fn of(ad: Ad, people: &HashMap<Uuid, Person>, files: &HashMap<Uuid, File>, base: &str) -> Self {
        let file = |id: &Uuid| files.get(id).map(|file| Media::of(file, base));
        Self {
            id: ad.id,
            publisher_id: ad.publisher_number,
            publisher: ad.publisher_number,
            publisher_name: people
                .get(&ad.publisher_id)
                .map_or_else(|| format!("User {}", ad.publisher_number), |person| person.first_name.clone()),
            title: ad.title,
            description: ad.description,
            price: price(ad.price),
            category: ad.category_id,
            condition: match &*ad.condition {
                "NEW" => "new",
                "USED" => "used",
                _ => "semi_new",
            },
            location_name: ad.location_name,
            latitude: ad.latitude,
            longitude: ad.longitude,
            main_image: ad.main_image_id.as_ref().and_then(file),
            secondary_images: ad.secondary_image_ids.iter().filter_map(file).collect(),
            status: match &*ad.state {
                "ACTIVE" => "active",
                "PAUSED" => "paused",
                "ARCHIVED" => "archived",
                _ => "sold",
            },
            created_at: time(ad.created_at),
            updated_at: time(ad.updated_at),
        }
    }
}

impl Media {
    fn of(file: &File, base: &str) -> Self {
        Self {
            id: file.number,
            name: file.name.clone(),
            description: file.description.clone(),
            price: file.price_hundredths.map(price),
            url: file.object_key.as_ref().map(|key| format!("{base}/uploads/{key}")),
            created_at: time(file.created_at),
            content_type: None,
            object_id: None,
        }
    }
}

fn price(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn time(at: DateTime<Utc>) -> String {
    let fraction = if at.timestamp_subsec_micros() == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    at.to_rfc3339_opts(fraction, true)
}
