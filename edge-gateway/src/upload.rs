//! Files on their way from a multipart form to `media`. Fields may come after the file in the form, and `media` wants
//! them first, so a file waits on disk: whatever its size, it costs a buffer of memory.

use std::io::SeekFrom;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use proto::media::v1::{
    Media, UpdateHeader, UpdateMediaRequest, UploadHeader, UploadMediaRequest, update_media_request,
    upload_media_request,
};
use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::time::Sleep;
use tonic::Status;
use uuid::Uuid;

use crate::clients::Clients;
use crate::dialect::Problem;

/// The largest file any service takes is 20 MiB of audio; `media` has the exact limits.
pub const MAX_FILE: u64 = 21 << 20;
const CHUNK: usize = 64 << 10;

/// A file of a form, on disk until it is dropped.
#[derive(Debug)]
pub struct File {
    /// As the client calls it.
    pub name: String,
    /// As the client declares it; what it really is, `media` finds out.
    pub content_type: String,
    pub size: u64,
    file: fs::File,
}

/// Why a part could not be kept.
#[derive(Debug)]
pub enum SpoolError {
    TooLarge,
    /// The client stopped sending, or sent what is no multipart.
    Broken(Problem),
    Disk(std::io::Error),
}

impl File {
    /// Takes in one part of a form.
    pub async fn spool(mut part: axum::extract::multipart::Field<'_>, folder: &Path) -> Result<Self, SpoolError> {
        // The name may carry a path of the client's disk.
        let name = part.file_name().unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default();
        let mut name: String = name.chars().filter(|c| !c.is_control()).collect();
        name.truncate(name.floor_char_boundary(200));
        let content_type = part.content_type().unwrap_or_default().to_owned();
        let mut file = unnamed(folder).await.map_err(SpoolError::Disk)?;
        let mut size = 0;
        while let Some(chunk) =
            part.chunk().await.map_err(|e| SpoolError::Broken(unread(&e, |_| Problem::BrokenForm(e.body_text()))))?
        {
            size += chunk.len() as u64;
            if size > MAX_FILE {
                return Err(SpoolError::TooLarge);
            }
            file.write_all(&chunk).await.map_err(SpoolError::Disk)?;
        }
        file.flush().await.map_err(SpoolError::Disk)?;
        Ok(Self { name, content_type, size, file })
    }

    /// The end of the name, in lower case: `jpg`.
    pub fn extension(&self) -> String {
        self.name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default()
    }

    async fn chunks(mut self) -> Result<impl Stream<Item = Bytes> + Send, Status> {
        let lost = |error: std::io::Error| {
            tracing::error!(%error, "a spooled upload cannot be read");
            Status::internal("the upload was lost")
        };
        self.file.seek(SeekFrom::Start(0)).await.map_err(lost)?;
        Ok(stream::unfold(self.file, move |mut file| async move {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            match file.read_buf(&mut chunk).await {
                Ok(0) => None,
                Ok(_) => Some((chunk.freeze(), file)),
                // The stream ends early, `media` sees fewer bytes than announced and refuses.
                Err(error) => {
                    lost(error);
                    None
                }
            }
        }))
    }
}

/// A file that has no name any more, so that nothing has to clean up, whatever happens.
async fn unnamed(folder: &Path) -> std::io::Result<fs::File> {
    let path = folder.join(format!("plaza-upload-{}", Uuid::now_v7()));
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path).await?;
    fs::remove_file(&path).await?;
    Ok(file)
}

impl Clients {
    /// Stores a file, or only its description when there is none.
    pub async fn upload(&self, mut header: UploadHeader, file: Option<File>) -> Result<Media, Status> {
        use upload_media_request::Part;
        let part = |part| UploadMediaRequest { part: Some(part) };
        let answer = match file {
            None => self.media().upload_media(stream::iter([part(Part::Header(header))])).await,
            Some(file) => {
                header.file_name.clone_from(&file.name);
                let first = stream::iter([part(Part::Header(header))]);
                let rest = file.chunks().await?.map(move |chunk| part(Part::Chunk(chunk)));
                self.media().upload_media(first.chain(rest)).await
            }
        };
        Ok(answer?.into_inner())
    }

    /// Changes a description, and the file too when there is one.
    pub async fn update_media(&self, mut header: UpdateHeader, file: Option<File>) -> Result<Media, Status> {
        use update_media_request::Part;
        let part = |part| UpdateMediaRequest { part: Some(part) };
        let answer = match file {
            None => self.media().update_media(stream::iter([part(Part::Header(header))])).await,
            Some(file) => {
                header.file_name.clone_from(&file.name);
                let first = stream::iter([part(Part::Header(header))]);
                let rest = file.chunks().await?.map(move |chunk| part(Part::Chunk(chunk)));
                self.media().update_media(first.chain(rest)).await
            }
        };
        Ok(answer?.into_inner())
    }
}

/// How much of a refused body is still read, and for how long.
const LINGER: (u64, Duration) = (64 << 20, Duration::from_secs(10));

/// A request body that is read to its end even when nobody wants the rest: a client that is still sending when it is
/// refused would otherwise see a broken connection instead of the refusal.
pub struct Lingering(Option<Body>);

impl Lingering {
    pub fn wrap(body: Body) -> Body {
        if http_body::Body::is_end_stream(&body) { body } else { Body::new(Self(Some(body))) }
    }
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take() else { return };
        if http_body::Body::is_end_stream(&body) {
            return;
        }
        let (most, long) = LINGER;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(long, async move {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len) as u64;
                if read > most {
                    return;
                }
            }
        }));
    }
}

/// The body of a request that holds a place. It may not pause for long: else a thousand clients that stop in the middle
/// would hold every place there is.
pub struct Brisk {
    body: Body,
    /// How long it may pause.
    pause: Duration,
    idle: Option<Pin<Box<Sleep>>>,
}

/// The body paused for too long.
#[derive(Debug)]
struct Stalled;

impl std::fmt::Display for Stalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body stopped in the middle")
    }
}

impl std::error::Error for Stalled {}

/// What became of a body that could not be read: the client's pause, or `otherwise`.
pub fn unread(error: &(dyn std::error::Error + 'static), otherwise: impl FnOnce(String) -> Problem) -> Problem {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Stalled>() {
            return Problem::Stalled;
        }
        cause = error.source();
    }
    otherwise(error.to_string())
}

impl Brisk {
    pub fn wrap(body: Body, pause: Duration) -> Body {
        if http_body::Body::is_end_stream(&body) { body } else { Body::new(Self { body, pause, idle: None }) }
    }
}

impl http_body::Body for Brisk {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let Self { body, pause, idle } = &mut *self;
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            *idle = None;
            return Poll::Ready(frame);
        }
        let idle = idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(*pause)));
        std::task::ready!(idle.as_mut().poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(Stalled))))
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}
