//! The bytes behind a URL path, or a range of them, straight from the object storage: a message of at most 64 KiB at a
//! time, and the next one only when the caller has taken the last.

use std::io::SeekFrom;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use kit::error::{denied, internal, not_found, out_of_range};
use kit::identity::Caller;
use kit::seal::hex;
use kit::wire::timestamp;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResultPayload};
use proto::media::v1::read_file_response::Part;
use proto::media::v1::{FileHeader, ReadFileRequest, ReadFileResponse};
use sqlx::PgPool;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;
use tonic::Status;
use uuid::Uuid;

use crate::Media;
use crate::blobs::storage_failed;
use crate::content::Content;
use crate::names;

/// Largest piece of a file in one message.
const CHUNK: usize = 64 << 10;
/// How long the storage may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type FileStream = BoxStream<'static, Result<ReadFileResponse, Status>>;

impl Media {
    pub(crate) async fn read(&self, caller: Option<Caller>, request: &ReadFileRequest) -> kit::Result<FileStream> {
        let absent = || not_found("MEDIA_NOT_FOUND", "no such file");
        let key = names::key(&request.path).ok_or_else(absent)?;
        let blob = fetch_blob(&self.db, key, caller.map(|caller| caller.id)).await?.ok_or_else(absent)?;
        let private = names::private(names::folder(&blob.folder));
        if private && !blob.owned && !caller.is_some_and(|caller| caller.admin()) {
            if request.signature.is_empty() {
                return Err(absent());
            }
            if !self.signer.verify(&blob.object_key, &request.signature, self.clock.now()) {
                return Err(denied("SIGNATURE_REFUSED", "the link has expired, or is not one of ours"));
            }
        }

        let file = blob.file(key).ok_or_else(absent)?;
        let range = range(request.offset, request.length, file.size)?;
        let header = FileHeader {
            content_type: file.content_type.to_owned(),
            size: file.size as i64,
            offset: range.start as i64,
            length: (range.end - range.start) as i64,
            etag: file.etag,
            modified_at: Some(timestamp(blob.created_at)),
            private,
        };
        // Opened before the header goes out, so that a storage that is away is a status and not half an answer.
        let bytes = self.open(key, range).await?;
        let header = stream::iter([Ok(Part::Header(header))]);
        let parts = header.chain(bytes.map_ok(Part::Chunk));
        Ok(parts.map_ok(|part| ReadFileResponse { part: Some(part) }).map_err(Status::from).boxed())
    }

    async fn open(&self, key: &str, range: Range<u64>) -> kit::Result<BoxStream<'static, kit::Result<Bytes>>> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..Default::default() };
        let path = Path::from(key);
        let found = timeout(PATIENCE, self.storage.get_opts(&path, options)).await.map_err(|late| unread(&late))?;
        let found = found.map_err(|error| unread(&error))?;
        Ok(match found.payload {
            // The storage's own stream reads 8 KiB at a time, each on a blocking thread.
            GetResultPayload::File(file, _) => {
                let mut file = tokio::fs::File::from_std(file);
                file.seek(SeekFrom::Start(range.start)).await.map_err(internal)?;
                let file = file.take(range.end - range.start);
                ReaderStream::with_capacity(file, CHUNK).map_err(internal).boxed()
            }
            GetResultPayload::Stream(bytes) => {
                let pieces = bytes.map_ok(|bytes| stream::iter(split(bytes).map(Ok)));
                pieces.try_flatten().map_err(|error: object_store::Error| unread(&error)).boxed()
            }
        })
    }
}

/// What a request asks for of a file of `size` bytes.
fn range(offset: i64, length: i64, size: u64) -> kit::Result<Range<u64>> {
    let start = match u64::try_from(offset) {
        Ok(start) => start,
        // "The last n bytes" of a shorter file are all of it.
        Err(_) => size.saturating_sub(offset.unsigned_abs()),
    };
    if start >= size {
        return Err(out_of_range("RANGE_OUTSIDE", format!("the file has {size} bytes")));
    }
    let end = match u64::try_from(length) {
        Ok(length @ 1..) => start.saturating_add(length).min(size),
        _ => size,
    };
    Ok(start..end)
}

/// Pieces of at most [`CHUNK`], without copying.
fn split(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || (!bytes.is_empty()).then(|| bytes.split_to(bytes.len().min(CHUNK))))
}

fn unread(error: &dyn std::error::Error) -> kit::Error {
    tracing::error!(%error, "the storage did not give a file");
    metrics::counter!("media_storage_failures_total", "operation" => "get").increment(1);
    storage_failed()
}

struct BlobRow {
    folder: String,
    content_type: String,
    sha256: Vec<u8>,
    object_key: String,
    size: i64,
    thumbnail_key: Option<String>,
    thumbnail_size: Option<i64>,
    preview_key: Option<String>,
    preview_size: Option<i64>,
    created_at: DateTime<Utc>,
    owned: bool,
}

/// One of a blob's three objects.
struct StoredFile<'a> {
    content_type: &'a str,
    size: u64,
    etag: String,
}

impl BlobRow {
    fn file(&self, key: &str) -> Option<StoredFile<'_>> {
        let small = if key.ends_with(".png") { Content::Png } else { Content::Jpeg }.media_type();
        let (content_type, size, variant) = if key == self.object_key {
            (self.content_type.as_str(), self.size, "o")
        } else if Some(key) == self.thumbnail_key.as_deref() {
            (small, self.thumbnail_size?, "t")
        } else if Some(key) == self.preview_key.as_deref() {
            (small, self.preview_size?, "p")
        } else {
            return None;
        };
        // What lies under a key never changes, so the upload's digest is a strong tag for what was made of it.
        let digest = hex(&self.sha256[..self.sha256.len().min(16)]);
        Some(StoredFile { content_type, size: u64::try_from(size).ok()?, etag: format!("{digest}-{variant}") })
    }
}

/// The blob that has an object `key`, and whether `caller` owns a file that refers to it.
async fn fetch_blob(db: &PgPool, key: &str, caller: Option<Uuid>) -> sqlx::Result<Option<BlobRow>> {
    sqlx::query_as!(
        BlobRow,
        r#"select folder, content_type, sha256, object_key, size, thumbnail_key, thumbnail_size, preview_key,
             preview_size, created_at,
             exists (select from files f where f.blob_id = b.id and f.owner_id = $2) as "owned!"
         from blobs b
         where object_key = $1 or thumbnail_key = $1 or preview_key = $1"#,
        key,
        caller,
    )
    .fetch_optional(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_the_front_or_the_back_and_end_with_the_file() {
        for (offset, length, expected) in [
            (0, 0, 0..10),
            (0, 1, 0..1),
            (3, 4, 3..7),
            (9, 100, 9..10),
            (-3, 0, 7..10),
            (-3, 2, 7..9),
            (-99, 0, 0..10),
            (i64::MIN, i64::MAX, 0..10),
        ] {
            assert_eq!(range(offset, length, 10).expect("a range"), expected, "{offset} {length}");
        }
        for offset in [10, 11, i64::MAX] {
            assert_eq!(range(offset, 1, 10).expect_err("outside").reason(), "RANGE_OUTSIDE");
        }
    }

    #[test]
    fn no_piece_is_larger_than_a_message_may_be() {
        let pieces: Vec<_> = split(Bytes::from(vec![7; 3 * CHUNK + 1])).map(|piece| piece.len()).collect();
        assert_eq!(pieces, [CHUNK, CHUNK, CHUNK, 1]);
        assert_eq!(split(Bytes::new()).count(), 0);
    }
}
