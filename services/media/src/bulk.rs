//! Files by the hundred thousand, for imports. Their bytes go the way of every upload: decoded, cleaned and made small, and
//! doomed in the storage until a row refers to them. Each file is a transaction of its own, so whoever is killed in between
//! goes on where they were. It is history: no event is published.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use kit::Result;
use kit::bulk::import::File;
use kit::error::internal;
pub use proto::media::v1::Folder;
use proto::media::v1::Kind;
use sqlx::{PgConnection, PgExecutor, PgPool};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::content::{Content, HEAD};
use crate::upload::{Spooled, Terms, receive};
use crate::{Media, blobs, names};

/// Bytes of the largest file that is taken. Who comes from a platform without a limit has taken pictures with a phone.
const LARGEST: u64 = 64 << 20;
const READ: usize = 256 << 10;

/// A file that somebody had on another platform.
#[derive(Clone, Debug)]
pub struct Old {
    /// Which it keeps.
    pub number: i64,
    pub owner: Uuid,
    /// In `Verification` only the owner and administrators see it.
    pub folder: Folder,
    pub name: Option<String>,
    pub description: Option<String>,
    pub price_hundredths: Option<i64>,
    pub created_at: DateTime<Utc>,
    /// Where its bytes lie.
    pub path: PathBuf,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    Imported,
    /// It, or another one with its number, was there before.
    There,
    /// Why it is not taken.
    Refused(&'static str),
}

/// Takes files in, for as many as come.
#[derive(Clone)]
pub struct Importer(Media);

impl Importer {
    /// Into a database and the storage at a URL; see [`crate::Config::storage_url`].
    pub fn open(db: PgPool, storage_url: &str) -> anyhow::Result<Self> {
        Media::alone(db, storage_url, LARGEST).map(Self)
    }

    /// From now on nobody who uploads is given a number up to this one.
    pub async fn reserve(&self, highest: i64) -> Result<()> {
        let mut tx = kit::db::begin(&self.0.db).await?;
        // A number is drawn under a weaker lock, which waits for this one.
        sqlx::query!("lock table files in share row exclusive mode").execute(&mut *tx).await?;
        sqlx::query!(
            "select setval(pg_get_serial_sequence('files', 'number'), $1)
             from pg_sequences where sequencename = 'files_number_seq' and coalesce(last_value, 0) < $1",
            highest
        )
        .fetch_optional(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Takes one in, unless its number is there.
    pub async fn import(&self, old: &Old) -> Result<Became> {
        if is_there(&self.0.db, old.number).await? {
            return Ok(Became::There);
        }
        let stored = match self.store(old).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Became::Refused("that are empty")),
            Err(error) => return refusal(&error).map(Became::Refused).ok_or(error),
        };
        let now = self.0.clock.now();
        let mut tx = kit::db::begin(&self.0.db).await?;
        let blob = blobs::keep(&mut tx, &stored, now).await?;
        if !insert_old(&mut tx, old, blob, now).await? {
            // Somebody else imports the same; what we put is doomed, and goes.
            return Ok(Became::There);
        }
        tx.commit().await?;
        Ok(Became::Imported)
    }

    async fn store(&self, old: &Old) -> Result<Option<blobs::Stored>> {
        let file = tokio::fs::File::open(&old.path).await.map_err(internal)?;
        let chunks = ReaderStream::with_capacity(file, READ).map_err(internal);
        let terms = Terms {
            limits: self.0.limits,
            audio: true,
            documents: names::private(old.folder),
            opaque: false,
            max_size: LARGEST,
        };
        let Some(spooled): Option<Spooled> = receive(chunks, &terms, &self.0.spool).await? else { return Ok(None) };
        let name = old.path.file_name().unwrap_or_default().to_string_lossy();
        self.0.store(Some(old.owner), old.folder, &name, spooled).await.map(Some)
    }
}

/// What is wrong with a file, if it is the file with which something is wrong.
fn refusal(error: &kit::Error) -> Option<&'static str> {
    match &*error.reason() {
        "IMAGE_BROKEN" => Some("whose picture is broken"),
        "MEDIA_TOO_LARGE" => Some("that are too large"),
        "MEDIA_TYPE_REFUSED" => Some("of a type that is not taken"),
        _ => None,
    }
}

/// The type of a file by its first bytes, such as `image/jpeg`, if it is one that is taken in a folder.
pub async fn content_type(path: &Path, folder: Folder) -> io::Result<Option<&'static str>> {
    let mut head = Vec::with_capacity(HEAD);
    tokio::fs::File::open(path).await?.take(HEAD as u64).read_to_end(&mut head).await?;
    let content = Content::sniff(&head).filter(|content| content.kind() != Kind::Document || names::private(folder));
    Ok(content.map(Content::media_type))
}

/// The id of an imported file: made of its number, so that it is known again.
pub fn id(number: i64) -> Uuid {
    const BASE: u128 = 0x706c_617a_6104_8000_8000_0000_0000_0000;
    Uuid::from_u128(BASE | u128::from(number.unsigned_abs()))
}

/// Those of these numbers that are there.
pub async fn find(pool: &PgPool, numbers: &[i64]) -> Result<Vec<File>> {
    let files = sqlx::query_as!(
        File,
        r#"select f.number as "number!", f.id as "id!", f.folder = 'verification' as "private!", f.owner_id,
               coalesce(b.content_type, '') as "content_type!"
           from files f left join blobs b on b.id = f.blob_id
           where f.number = any($1)"#,
        numbers
    );
    Ok(files.fetch_all(pool).await?)
}

async fn is_there(db: impl PgExecutor<'_>, number: i64) -> Result<bool> {
    let found = sqlx::query_scalar!("select number from files where number = $1", number).fetch_optional(db).await?;
    Ok(found.is_some())
}

/// Whether it is a new one.
async fn insert_old(tx: &mut PgConnection, old: &Old, blob: Uuid, now: DateTime<Utc>) -> Result<bool> {
    let done = sqlx::query!(
        "insert into files (id, number, owner_id, name, description, price_hundredths, folder, blob_id, created_at, updated_at)
         overriding system value values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict do nothing",
        id(old.number),
        old.number,
        old.owner,
        old.name,
        old.description,
        old.price_hundredths,
        names::word(old.folder),
        blob,
        old.created_at,
        now
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
