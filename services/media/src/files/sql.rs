//! The statements of files.

use chrono::{DateTime, Utc};
use proto::media::v1::{Description, Folder};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{blobs, events, names};

/// A file with what is known of its blob.
pub(crate) struct FileRow {
    pub id: Uuid,
    pub number: i64,
    pub owner_id: Option<Uuid>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub price_hundredths: Option<i64>,
    pub folder: String,
    pub blob_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub content_type: Option<String>,
    pub size: Option<i64>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub sha256: Option<Vec<u8>>,
    pub object_key: Option<String>,
    pub thumbnail_key: Option<String>,
    pub preview_key: Option<String>,
}

/// A row to insert.
pub(super) struct NewFile {
    pub owner: Option<Uuid>,
    pub uploader: Option<String>,
    pub folder: Folder,
    pub description: Description,
    pub blob_id: Option<Uuid>,
    pub now: DateTime<Utc>,
}

/// Every question for files has the same columns and tables; only the rest differs.
macro_rules! select_files {
    ($rest:tt $(, $argument:expr)*) => {
        sqlx::query_as!(
            FileRow,
            r#"select f.id, f.number, f.owner_id, f.name, f.description, f.price_hundredths, f.folder, f.blob_id,
                 f.created_at, f.updated_at, b.content_type as "content_type?", b.size as "size?", b.width as "width?",
                 b.height as "height?", b.sha256 as "sha256?", b.object_key as "object_key?", b.thumbnail_key,
                 b.preview_key
               from files f left join blobs b on b.id = f.blob_id "# + $rest
            $(, $argument)*
        )
    };
}

pub(super) async fn fetch_file(db: impl PgExecutor<'_>, id: Uuid) -> kit::Result<Option<FileRow>> {
    Ok(select_files!("where f.id = $1", id).fetch_optional(db).await?)
}

pub(super) async fn fetch_file_numbered(db: impl PgExecutor<'_>, number: i64) -> kit::Result<Option<FileRow>> {
    Ok(select_files!("where f.number = $1", number).fetch_optional(db).await?)
}

pub(super) async fn lock_file(tx: &mut PgConnection, id: Uuid) -> kit::Result<Option<FileRow>> {
    // Two statements: one that had to wait for the lock would show the file's new blob beside the old one's columns.
    sqlx::query!("select id from files where id = $1 for update", id).fetch_optional(&mut *tx).await?;
    fetch_file(tx, id).await
}

pub(super) async fn list_files_named(
    db: impl PgExecutor<'_>,
    ids: &[Uuid],
    numbers: &[i64],
) -> kit::Result<Vec<FileRow>> {
    let files = select_files!("where f.id = any($1) or f.number = any($2) order by f.number", ids, numbers);
    Ok(files.fetch_all(db).await?)
}

/// What lists show of a file, and what says who may see it. As many rows as a page has pictures, so every column counts.
pub(super) struct Basics {
    pub id: Uuid,
    pub number: i64,
    pub owner_id: Option<Uuid>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub price_hundredths: Option<i64>,
    pub folder: String,
    pub created_at: DateTime<Utc>,
    pub object_key: Option<String>,
}

/// As [`list_files_named`], less of each.
pub(super) async fn list_basics(db: impl PgExecutor<'_>, ids: &[Uuid], numbers: &[i64]) -> kit::Result<Vec<Basics>> {
    let files = sqlx::query_as!(
        Basics,
        r#"select f.id, f.number, f.owner_id, f.name, f.description, f.price_hundredths, f.folder, f.created_at,
             b.object_key as "object_key?"
           from files f left join blobs b on b.id = f.blob_id
           where f.id = any($1) or f.number = any($2) order by f.number"#,
        ids,
        numbers
    );
    Ok(files.fetch_all(db).await?)
}

/// Newest first; everybody's when `owner` is absent.
pub(super) async fn list_files(
    db: impl PgExecutor<'_>,
    owner: Option<Uuid>,
    before: Option<i64>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<FileRow>> {
    let files = select_files!(
        "where ($1::uuid is null or f.owner_id = $1) and ($2::bigint is null or f.number < $2)
         order by f.number desc limit $3 offset $4",
        owner,
        before,
        limit,
        skip
    );
    Ok(files.fetch_all(db).await?)
}

pub(super) async fn count_files(db: impl PgExecutor<'_>, owner: Option<Uuid>) -> kit::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from files where ($1::uuid is null or owner_id = $1)"#,
        owner
    );
    Ok(count.fetch_one(db).await?)
}

pub(super) async fn insert_file(tx: &mut PgConnection, new: NewFile) -> kit::Result<FileRow> {
    let NewFile { owner, uploader, folder, description, blob_id, now } = new;
    let Description { name, description, price_hundredths, clear_price } = description;
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into files (id, owner_id, uploader, name, description, price_hundredths, folder, blob_id, created_at,
             updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        id,
        owner,
        uploader,
        name,
        description,
        price_hundredths.filter(|_| !clear_price),
        names::word(folder),
        blob_id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    Ok(select_files!("where f.id = $1", id).fetch_one(tx).await?)
}

/// What is absent stays.
pub(super) async fn update_file(
    tx: &mut PgConnection,
    id: Uuid,
    description: &Description,
    blob_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> kit::Result<FileRow> {
    sqlx::query!(
        "update files set name = coalesce($2, name), description = coalesce($3, description),
             price_hundredths = case when $5 then null else coalesce($4, price_hundredths) end,
             blob_id = coalesce($6, blob_id), updated_at = $7
         where id = $1",
        id,
        description.name,
        description.description,
        description.price_hundredths,
        description.clear_price,
        blob_id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    Ok(select_files!("where f.id = $1", id).fetch_one(tx).await?)
}

/// Deletes files that are locked, drops the blobs that nothing else refers to, and tells whoever refers to the files.
pub(crate) async fn delete_files(tx: &mut PgConnection, ids: &[Uuid], now: DateTime<Utc>) -> kit::Result<()> {
    let gone = sqlx::query!(
        r#"with gone as (delete from files where id = any($1) returning id, number, blob_id)
           select gone.id, gone.number, gone.blob_id, b.object_key as "object_key?"
           from gone left join blobs b on b.id = gone.blob_id
           order by gone.number"#,
        ids,
    )
    .fetch_all(&mut *tx)
    .await?;
    let blobs: Vec<Uuid> = gone.iter().filter_map(|file| file.blob_id).collect();
    blobs::drop_unused(tx, &blobs, now).await?;
    for file in gone {
        events::deleted(tx, file.id, file.number, file.object_key.as_deref()).await?;
    }
    Ok(())
}

pub(crate) async fn lock_files_of_owner(tx: &mut PgConnection, owner: Uuid) -> kit::Result<Vec<Uuid>> {
    let ids = sqlx::query_scalar!("select id from files where owner_id = $1 order by id for update", owner);
    Ok(ids.fetch_all(tx).await?)
}

/// Ids and owners of files.
pub(super) async fn lock_files_named(
    tx: &mut PgConnection,
    ids: &[Uuid],
    numbers: &[i64],
) -> kit::Result<Vec<(Uuid, Option<Uuid>)>> {
    let files = sqlx::query!(
        "select id, owner_id from files where id = any($1) or number = any($2) order by id for update",
        ids,
        numbers
    );
    Ok(files.fetch_all(tx).await?.into_iter().map(|file| (file.id, file.owner_id)).collect())
}

/// Owners of files that have none.
pub(super) async fn set_owner(tx: &mut PgConnection, ids: &[Uuid], owner: Uuid) -> kit::Result<()> {
    sqlx::query!("update files set owner_id = $2 where id = any($1) and owner_id is null", ids, owner)
        .execute(tx)
        .await?;
    Ok(())
}

/// Lets one anonymous upload of an address be counted and inserted at a time.
pub(super) async fn lock_uploader(tx: &mut PgConnection, uploader: &str) -> kit::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", uploader).execute(tx).await?;
    Ok(())
}

/// How many files came from an address since then, and when the first of them.
pub(super) async fn count_anonymous(
    db: impl PgExecutor<'_>,
    uploader: &str,
    since: DateTime<Utc>,
) -> kit::Result<(i64, Option<DateTime<Utc>>)> {
    let found = sqlx::query!(
        r#"select count(*) as "count!", min(created_at) as oldest from files where uploader = $1 and created_at > $2"#,
        uploader,
        since,
    )
    .fetch_one(db)
    .await?;
    Ok((found.count, found.oldest))
}
