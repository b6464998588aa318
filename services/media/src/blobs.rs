//! Bytes in the object storage, and the rows that say which of them are needed. The storage knows no transactions, so
//! every object is written down in `doomed_objects` *before* it is put. The transaction that refers to it takes it off
//! that list; the one that drops the last reference puts it back on. A sweeper deletes what is on the list. So a crash
//! at any point leaves an object that is referred to, or one that is doomed, and nothing else.
//!
//! Locks are taken in one order everywhere: file rows, then blob rows, each by id.

use std::fs::File;
use std::io::Seek as _;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use kit::error::{internal, unavailable};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{Attribute, Attributes};
use proto::media::v1::{Folder, Kind};
use sqlx::{PgConnection, PgExecutor};
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::Media;
use crate::content::{self, Content};
use crate::image::{self, PREVIEW, Picture, THUMBNAIL};
use crate::names::{self, word};
use crate::upload::{Spooled, nameless};

/// How long an upload's objects may wait for the row that refers to them.
const GRACE: Duration = Duration::from_secs(3600);
/// How long the storage may take for one upload: less than the frontends wait, so that they hear why, and far less than
/// [`GRACE`], so that no put arrives after the sweeper.
const PUT: Duration = Duration::from_secs(25);
/// Bytes of a put; larger files go in parts of this size, one after the other.
const PART: usize = 5 << 20;
const READ: usize = 256 << 10;

/// A file's bytes, put into the storage and still doomed until [`keep`] refers to them.
pub(crate) struct Stored {
    id: Uuid,
    owner: Option<Uuid>,
    folder: Folder,
    sha256: [u8; 32],
    width: i32,
    height: i32,
    original: Object,
    thumbnail: Option<Object>,
    preview: Option<Object>,
}

struct Object {
    key: String,
    size: i64,
    media_type: &'static str,
}

impl Stored {
    pub(crate) fn kind(&self) -> Kind {
        content::kind(self.original.media_type)
    }

    fn objects(&self) -> impl Iterator<Item = &Object> {
        [Some(&self.original), self.thumbnail.as_ref(), self.preview.as_ref()].into_iter().flatten()
    }

    fn keys(&self) -> Vec<String> {
        self.objects().map(|object| object.key.clone()).collect()
    }
}

/// What is put under a key.
enum Body {
    File(File),
    Bytes(Vec<u8>),
}

impl Media {
    /// Makes a received file harmless and puts it, and its smaller pictures, into the storage.
    pub(crate) async fn store(
        &self,
        owner: Option<Uuid>,
        folder: Folder,
        file_name: &str,
        spooled: Spooled,
    ) -> kit::Result<Stored> {
        let (stored, bodies) = self.prepare(owner, folder, file_name, spooled).await?;
        let keys = stored.keys();
        insert_doomed(&self.db, &keys, self.clock.now() + GRACE).await?;
        let puts = stream::iter(stored.objects().zip(bodies).map(Ok));
        let failure = match timeout(PUT, puts.try_for_each(|(object, body)| self.put(object, body))).await {
            Ok(Ok(())) => return Ok(stored),
            Ok(Err(error)) => anyhow::Error::from(error),
            Err(late) => late.into(),
        };
        tracing::error!(error = ?failure, key = keys[0], "the storage did not take a file");
        metrics::counter!("media_storage_failures_total", "operation" => "put").increment(1);
        // Whatever did arrive may go at once; if this fails too, it goes after the grace.
        hasten_doomed(&self.db, &keys, self.clock.now()).await?;
        Err(storage_failed())
    }

    /// What will be stored under which keys, and the bytes in the order of [`Stored::objects`].
    async fn prepare(
        &self,
        owner: Option<Uuid>,
        folder: Folder,
        file_name: &str,
        spooled: Spooled,
    ) -> kit::Result<(Stored, Vec<Body>)> {
        let Spooled { file, size, sha256, content } = spooled;
        let stem = names::stem(folder, owner, file_name);
        let size = int(size)?;
        let object = |content: Content| {
            let key = format!("{stem}.{}", content.extension());
            Object { key, size, media_type: content.media_type() }
        };
        let stored = Stored {
            id: Uuid::now_v7(),
            owner,
            folder,
            sha256,
            width: 0,
            height: 0,
            original: object(content),
            thumbnail: None,
            preview: None,
        };
        if content.kind() != Kind::Image {
            return Ok((stored, vec![Body::File(file)]));
        }

        let mut uploaded = file.try_clone().map_err(internal)?;
        let drawn = match self.draw(file, content).await {
            Err(error) if error.reason() == "IMAGE_BROKEN" && self.takes_opaque(folder) => {
                uploaded.rewind().map_err(internal)?;
                let stored = Stored { original: object(Content::Opaque), ..stored };
                return Ok((stored, vec![Body::File(uploaded)]));
            }
            drawn => drawn?,
        };
        let Picture { width, height, original, thumbnail, preview, small } = drawn;
        let smaller = |side: u32, bytes: &[u8]| -> kit::Result<Object> {
            let key = format!("{stem}-{side}.{}", small.extension());
            Ok(Object { key, size: int(bytes.len())?, media_type: small.media_type() })
        };
        let stored = Stored {
            width: int(width)?,
            height: int(height)?,
            original: Object { size: int(original.metadata().map_err(internal)?.len())?, ..stored.original },
            thumbnail: Some(smaller(THUMBNAIL, &thumbnail)?),
            preview: Some(smaller(PREVIEW, &preview)?),
            ..stored
        };
        Ok((stored, vec![Body::File(original), Body::Bytes(thumbnail), Body::Bytes(preview)]))
    }

    /// Decodes and encodes a picture on a blocking thread, when there is memory for its pixels.
    async fn draw(&self, file: File, content: Content) -> kit::Result<Picture> {
        let clean = nameless(self.spool.clone()).await?;
        let (file, memory) = blocking(move || image::measure(&file, content).map(|memory| (file, memory))).await?;
        let mebibytes = u32::try_from(memory.div_ceil(1 << 20)).map_err(internal)?;
        let permits = self.pixels.clone().acquire_many_owned(mebibytes.min(self.pixel_memory)).await;
        let permits = permits.map_err(internal)?;
        blocking(move || {
            let picture = image::process(&file, content, clean);
            // Here and not outside: a caller that goes away does not stop this thread.
            drop(permits);
            picture
        })
        .await
    }

    async fn put(&self, object: &Object, body: Body) -> object_store::Result<()> {
        let path = Path::from(object.key.as_str());
        let mut writer = BufWriter::with_capacity(self.storage.clone(), path, PART).with_max_concurrency(1);
        if self.folder.is_none() {
            writer = writer.with_attributes(Attributes::from_iter([(Attribute::ContentType, object.media_type)]));
        }
        let mut left = object.size;
        let mut chunks = body.chunks();
        while let Some(chunk) = chunks.next().await {
            let put = match chunk {
                Ok(chunk) => {
                    left -= chunk.len() as i64;
                    writer.put(chunk).await
                }
                Err(source) => Err(not_put(source)),
            };
            if let Err(error) = put {
                // A half multipart upload is no object, but S3 keeps and bills its parts.
                let _ = writer.abort().await;
                return Err(error);
            }
        }
        writer.shutdown().await.map_err(not_put)?;
        // Ranges are answered by the sizes in the row, so these must be true.
        if left != 0 { Err(not_put(std::io::ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
    }
}

impl Body {
    fn chunks(self) -> impl Stream<Item = std::io::Result<Bytes>> + Unpin {
        match self {
            Self::File(file) => ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ).left_stream(),
            Self::Bytes(bytes) => stream::iter([Ok(Bytes::from(bytes))]).right_stream(),
        }
    }
}

/// Refers to what was put, or to the owner's equal bytes that were there before; then the new objects stay doomed. The
/// blob's row is locked afterwards, so nobody drops it before the caller's file row points at it.
pub(crate) async fn keep(tx: &mut PgConnection, stored: &Stored, now: DateTime<Utc>) -> kit::Result<Uuid> {
    let keys = stored.keys();
    let blob = upsert_blob(tx, stored, now).await?;
    if blob != stored.id {
        hasten_doomed(&mut *tx, &keys, now).await?;
        return Ok(blob);
    }
    // Fewer than were written means that the sweeper took some meanwhile: they may be gone already.
    if delete_doomed_untouched(tx, &keys).await? != keys.len() as u64 {
        return Err(storage_failed());
    }
    Ok(blob)
}

/// Drops those of `blobs` that no file refers to any more and dooms their objects. The callers' files are changed or
/// deleted before this.
pub(crate) async fn drop_unused(tx: &mut PgConnection, blobs: &[Uuid], now: DateTime<Utc>) -> kit::Result<()> {
    // Locking first, in a statement of its own: the next one sees the files of whoever we had to wait for.
    lock_blobs(tx, blobs).await?;
    delete_unused_blobs(tx, blobs, now).await?;
    Ok(())
}

pub(crate) fn storage_failed() -> kit::Error {
    unavailable("STORAGE_FAILED", "the storage does not answer; nothing was changed")
}

fn not_put(source: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "upload", source: source.into() }
}

fn int<T>(value: impl TryInto<T, Error: std::error::Error + Send + Sync + 'static>) -> kit::Result<T> {
    value.try_into().map_err(internal)
}

/// Runs decoders on a blocking thread. One that panics does so because of the file.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> kit::Result<T> + Send + 'static) -> kit::Result<T> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) if stopped.is_panic() => Err(image::broken("the picture cannot be decoded")),
        Err(stopped) => Err(internal(stopped)),
    }
}

/// The id of the new blob, or of the one that the same owner has with the same bytes. A conflict updates nothing but
/// locks the row, and waits for whoever is inserting or deleting it.
async fn upsert_blob(tx: &mut PgConnection, stored: &Stored, now: DateTime<Utc>) -> sqlx::Result<Uuid> {
    let Stored { original, thumbnail, preview, .. } = stored;
    sqlx::query_scalar!(
        "insert into blobs (id, owner_id, sha256, folder, content_type, width, height, object_key, size,
             thumbnail_key, thumbnail_size, preview_key, preview_size, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         on conflict on constraint blobs_once_per_owner do update set owner_id = excluded.owner_id
         returning id",
        stored.id,
        stored.owner,
        &stored.sha256[..],
        word(stored.folder),
        original.media_type,
        stored.width,
        stored.height,
        original.key,
        original.size,
        thumbnail.as_ref().map(|object| &object.key),
        thumbnail.as_ref().map(|object| object.size),
        preview.as_ref().map(|object| &object.key),
        preview.as_ref().map(|object| object.size),
        now,
    )
    .fetch_one(tx)
    .await
}

async fn lock_blobs(tx: &mut PgConnection, blobs: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!("select id from blobs where id = any($1) order by id for update", blobs).fetch_all(tx).await?;
    Ok(())
}

/// Locks the blob that is about to be replaced and the one with the new bytes, if it exists, in the order of their ids:
/// two files that swap their bytes at once would otherwise wait for each other.
pub(crate) async fn lock_swapped(tx: &mut PgConnection, old: Option<Uuid>, stored: &Stored) -> sqlx::Result<()> {
    sqlx::query!(
        "select id from blobs where id = $1 or (owner_id = $2 and sha256 = $3 and folder = $4) order by id for update",
        old,
        stored.owner,
        &stored.sha256[..],
        word(stored.folder),
    )
    .fetch_all(tx)
    .await?;
    Ok(())
}

async fn delete_unused_blobs(tx: &mut PgConnection, blobs: &[Uuid], now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "with gone as (
             delete from blobs b where b.id = any($1) and not exists (select from files f where f.blob_id = b.id)
             returning object_key, thumbnail_key, preview_key
         )
         insert into doomed_objects (key, due_at)
         select key, $2 from gone, unnest(array[object_key, thumbnail_key, preview_key]) as key where key is not null",
        blobs,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_doomed(db: impl PgExecutor<'_>, keys: &[String], due_at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into doomed_objects (key, due_at) select key, $2 from unnest($1::text[]) as key",
        keys,
        due_at
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn hasten_doomed(db: impl PgExecutor<'_>, keys: &[String], now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update doomed_objects set due_at = least(due_at, $2) where key = any($1)", keys, now)
        .execute(db)
        .await?;
    Ok(())
}

async fn delete_doomed_untouched(tx: &mut PgConnection, keys: &[String]) -> sqlx::Result<u64> {
    let done =
        sqlx::query!("delete from doomed_objects where key = any($1) and attempts = 0", keys).execute(tx).await?;
    Ok(done.rows_affected())
}
