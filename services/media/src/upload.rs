//! Receiving a file: every chunk is hashed, counted and written to a temporary file as it arrives, so an upload costs
//! one chunk of memory however large it is, and one that is too large ends when it becomes so.

use std::fs::{File, OpenOptions, remove_file};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use kit::error::{aborted, internal, invalid_because, out_of_range};
use proto::media::v1::Kind;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use uuid::Uuid;

use crate::content::{Content, HEAD};

/// How long the next chunk may take; a client that waits longer is gone or wants to hold our files open.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest file of each kind, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub image: u64,
    pub audio: u64,
    pub document: u64,
}

/// What one upload may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub limits: Limits,
    pub audio: bool,
    pub documents: bool,
    /// Whether what is of no type that is taken is taken as opaque bytes.
    pub opaque: bool,
    /// The caller's own limit in bytes.
    pub max_size: u64,
}

impl Terms {
    /// The type of a file that begins with `head`, and how large it may be.
    fn admit(&self, head: &[u8]) -> kit::Result<(Content, u64)> {
        let refused = |why| Err(invalid_because("data", "MEDIA_TYPE_REFUSED", why));
        let (content, limit) = match Content::sniff(head).map(|content| (content, content.kind())) {
            Some((content, Kind::Image)) => (content, self.limits.image),
            Some((content, Kind::Audio)) if self.audio => (content, self.limits.audio),
            Some((content, Kind::Document)) if self.documents => (content, self.limits.document),
            _ if self.opaque => (Content::Opaque, self.limits.document),
            Some((_, Kind::Audio)) => return refused("only images are taken here"),
            Some(_) => return refused("documents are taken in private folders only"),
            None => return refused("the bytes are of no type that is taken"),
        };
        Ok((content, limit.min(self.max_size)))
    }

    /// The limit while the type is not known yet.
    fn largest(&self) -> u64 {
        let Limits { image, audio, document } = self.limits;
        image.max(audio).max(document).min(self.max_size)
    }
}

/// A received file, at its first byte.
pub(crate) struct Spooled {
    pub file: File,
    pub size: u64,
    pub sha256: [u8; 32],
    pub content: Content,
}

/// Receives a file into the folder `spool`; nothing when no byte comes.
pub(crate) async fn receive(
    chunks: impl Stream<Item = kit::Result<Bytes>>,
    terms: &Terms,
    spool: &Path,
) -> kit::Result<Option<Spooled>> {
    let mut chunks = pin!(chunks);
    let mut file = tokio::fs::File::from_std(nameless(spool.to_owned()).await?);
    let mut hash = Context::new(&SHA256);
    let mut head = Vec::new();
    let mut admitted = None;
    let (mut size, mut limit) = (0, terms.largest());

    while let Some(chunk) = next(&mut chunks).await? {
        size += chunk.len() as u64;
        if admitted.is_none() {
            head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
            if head.len() == HEAD {
                let (content, most) = terms.admit(&head)?;
                (admitted, limit) = (Some(content), most);
            }
        }
        within(size, limit)?;
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(internal)?;
    }

    if size == 0 {
        return Ok(None);
    }
    let content = match admitted {
        Some(content) => content,
        None => {
            let (content, limit) = terms.admit(&head)?;
            within(size, limit)?;
            content
        }
    };
    // Seeking waits for the last write, too.
    file.rewind().await.map_err(internal)?;
    let sha256 = hash.finish().as_ref().try_into().map_err(internal)?;
    Ok(Some(Spooled { file: file.into_std().await, size, sha256, content }))
}

fn within(size: u64, limit: u64) -> kit::Result<()> {
    if size > limit {
        return Err(out_of_range("MEDIA_TOO_LARGE", format!("at most {limit} bytes are taken")));
    }
    Ok(())
}

async fn next(chunks: &mut (impl Stream<Item = kit::Result<Bytes>> + Unpin)) -> kit::Result<Option<Bytes>> {
    let chunk = timeout(PATIENCE, chunks.next()).await;
    chunk.map_err(|_| aborted("UPLOAD_STALLED", "no bytes came for 30 seconds"))?.transpose()
}

/// An empty file that has no name any more: whatever happens to us, the system frees it when it is closed.
pub(crate) async fn nameless(spool: PathBuf) -> kit::Result<File> {
    let make = move || {
        let path = spool.join(format!("plaza-{}.upload", Uuid::now_v7()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        remove_file(&path)?;
        Ok::<_, std::io::Error>(file)
    };
    tokio::task::spawn_blocking(make).await.map_err(internal)?.map_err(internal)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use kit::Error;

    use super::*;

    const TERMS: Terms = Terms {
        limits: Limits { image: 10_000, audio: 20_000, document: 10_000 },
        audio: true,
        documents: false,
        opaque: false,
        max_size: u64::MAX,
    };

    /// Receives `parts` and says how many of them were asked for.
    async fn received(terms: &Terms, parts: Vec<Vec<u8>>) -> (Result<Option<Spooled>, Error>, usize) {
        let mut asked = 0;
        let chunks = stream::iter(parts).map(|part| {
            asked += 1;
            Ok(Bytes::from(part))
        });
        let result = receive(chunks, terms, &std::env::temp_dir()).await;
        (result, asked)
    }

    fn file(result: Result<Option<Spooled>, Error>) -> Option<Spooled> {
        result.map_err(|refusal| refusal.to_string()).expect("it is received")
    }

    fn reason(result: Result<Option<Spooled>, Error>) -> String {
        result.err().expect("a refusal").reason().into_owned()
    }

    fn ogg(length: usize) -> Vec<u8> {
        let mut bytes = b"OggS".to_vec();
        bytes.resize(length, 7);
        bytes
    }

    #[tokio::test]
    async fn a_file_in_single_bytes_is_the_file_in_one_piece() {
        let (whole, _) = received(&TERMS, vec![ogg(5000)]).await;
        let (crumbs, _) = received(&TERMS, ogg(5000).chunks(1).map(<[u8]>::to_vec).collect()).await;
        let (whole, crumbs) = (file(whole).expect("a file"), file(crumbs).expect("a file"));
        assert_eq!(crumbs.sha256, kit::seal::sha256(&ogg(5000)));
        assert_eq!((crumbs.sha256, crumbs.size, crumbs.content), (whole.sha256, 5000, Content::Ogg));
    }

    #[tokio::test]
    async fn no_bytes_are_no_file() {
        assert!(file(received(&TERMS, vec![]).await.0).is_none());
        assert!(file(received(&TERMS, vec![vec![], vec![]]).await.0).is_none());
    }

    #[tokio::test]
    async fn too_large_ends_at_the_chunk_that_is_too_much() {
        let parts: Vec<_> = std::iter::once(ogg(5000)).chain(std::iter::repeat_n(vec![0; 5000], 100)).collect();
        let (result, asked) = received(&TERMS, parts).await;
        assert_eq!((reason(result).as_str(), asked), ("MEDIA_TOO_LARGE", 5));
        let (result, _) = received(&Terms { max_size: 99, ..TERMS }, vec![ogg(100)]).await;
        assert_eq!(reason(result), "MEDIA_TOO_LARGE");
    }

    #[tokio::test]
    async fn what_is_not_taken_ends_with_its_first_bytes() {
        let (result, asked) = received(&TERMS, vec![vec![b'x'; HEAD]; 100]).await;
        assert_eq!((reason(result).as_str(), asked), ("MEDIA_TYPE_REFUSED", 1));
        let (result, _) = received(&Terms { audio: false, ..TERMS }, vec![ogg(100)]).await;
        assert_eq!(reason(result), "MEDIA_TYPE_REFUSED");
        let (result, _) = received(&TERMS, vec![b"%PDF-1.7".to_vec()]).await;
        assert_eq!(reason(result), "MEDIA_TYPE_REFUSED");
    }

    #[tokio::test]
    async fn where_signatures_are_not_checked_the_rest_is_opaque_and_a_type_is_still_a_type() {
        let lenient = Terms { audio: false, opaque: true, ..TERMS };
        let content = async |bytes: &[u8]| file(received(&lenient, vec![bytes.to_vec()]).await.0).map(|f| f.content);
        for bytes in [&b"fake image"[..], b"<script>", b"%PDF-1.7", &ogg(100)] {
            assert_eq!(content(bytes).await, Some(Content::Opaque), "{bytes:?}");
        }
        assert_eq!(content(b"GIF89a").await, Some(Content::Gif));
        let (result, _) = received(&lenient, vec![b"x".repeat(10_001)]).await;
        assert_eq!(reason(result), "MEDIA_TOO_LARGE");
    }
}
