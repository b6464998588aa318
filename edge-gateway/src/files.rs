//! `/uploads/…`: files as `media` streams them, with ranges, entity tags and cache headers. Bytes pass through in
//! chunks, as fast as they are read, on connections that streams have for themselves. A file holds a place of its own
//! while it is read.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::DateTime;
use futures_util::StreamExt;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use kit::error::Details;
use proto::media::v1::read_file_response::Part;
use proto::media::v1::{FileHeader, ReadFileRequest, ReadFileResponse};
use tonic::{Status, Streaming};
use url::form_urlencoded;

use crate::address::Client;
use crate::conectar::Error;
use crate::etag;
use crate::front::overloaded;
use crate::held::Held;
use crate::platform::Platform;

pub fn router() -> Router<Platform> {
    Router::new().route("/uploads/{*path}", get(read))
}

/// A range as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// From the end when negative.
    offset: i64,
    /// Zero for all the rest.
    length: i64,
}

const WHOLE: Asked = Asked { offset: 0, length: 0 };

async fn read(State(edge): State<Platform>, client: Client, request: Request) -> Result<Response, Error> {
    let Some(place) = edge.downloads.take(client.ip) else { return Ok(overloaded::<Platform>()) };
    let (head, headers) = (request.method() == Method::HEAD, request.headers());
    let path = request.uri().path().to_owned();
    let signature = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "signature")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let open = async |asked: Asked| {
        let Asked { offset, length } = asked;
        let request = ReadFileRequest { path: path.clone(), signature: signature.clone(), offset, length };
        begin(edge.files().read_file(request).await?.into_inner()).await
    };

    let asked = headers.get(RANGE).and_then(|range| parse(range.to_str().ok()?));
    let (mut file, mut rest) = match open(asked.unwrap_or(WHOLE)).await {
        Ok(opened) => opened,
        Err(status) if Details::of(&status).reason == "RANGE_OUTSIDE" => {
            let (file, _) = open(Asked { offset: 0, length: 1 }).await?;
            let range = [(CONTENT_RANGE, format!("bytes */{}", file.size))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
        Err(status) => return Err(status.into()),
    };
    let tag = format!("\"{}\"", file.etag);
    let modified = DateTime::from_timestamp(file.modified_at.unwrap_or_default().seconds, 0).unwrap_or_default();
    let modified = modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();

    // A part of another file than the one the client has would spoil what it has: then it gets all of this one.
    let mut partial = asked.is_some();
    if partial && headers.get(IF_RANGE).is_some_and(|known| known != tag.as_str() && known != modified.as_str()) {
        partial = false;
        (file, rest) = open(WHOLE).await?;
    }
    let status = if unchanged(headers, &tag, &modified) {
        StatusCode::NOT_MODIFIED
    } else if partial {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let body = match status {
        StatusCode::NOT_MODIFIED => Body::empty(),
        _ if head => Body::empty(),
        _ => Held::wrap(chunks(rest), place, Some(edge.config.read_pause())),
    };
    let mut response = (status, body).into_response();
    describe(response.headers_mut(), &file, tag, modified, status);
    Ok(response)
}

async fn begin(mut stream: Streaming<ReadFileResponse>) -> Result<(FileHeader, Streaming<ReadFileResponse>), Status> {
    match stream.message().await? {
        Some(ReadFileResponse { part: Some(Part::Header(header)) }) => Ok((header, stream)),
        _ => Err(Status::internal("media began a file without its header")),
    }
}

fn chunks(rest: Streaming<ReadFileResponse>) -> Body {
    Body::from_stream(rest.filter_map(async |message| match message {
        Ok(ReadFileResponse { part: Some(Part::Chunk(chunk)) }) => Some(Ok(chunk)),
        Ok(_) => None,
        Err(status) => Some(Err(std::io::Error::other(status))),
    }))
}

fn unchanged(headers: &HeaderMap, tag: &str, modified: &str) -> bool {
    match headers.get(IF_NONE_MATCH) {
        Some(known) => etag::matches(known, tag),
        None => headers.get(IF_MODIFIED_SINCE).is_some_and(|since| since == modified),
    }
}

fn describe(headers: &mut HeaderMap, file: &FileHeader, tag: String, modified: String, status: StatusCode) {
    let mut put = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    put(ETAG, tag);
    put(LAST_MODIFIED, modified);
    put(ACCEPT_RANGES, "bytes".to_owned());
    // Names are random and their bytes never change, so public ones may be kept by anybody.
    let cache = if file.private { "private, no-store" } else { "public, max-age=86400" };
    put(CACHE_CONTROL, cache.to_owned());
    put(HeaderName::from_static("cross-origin-resource-policy"), "cross-origin".to_owned());
    if status == StatusCode::NOT_MODIFIED {
        return;
    }
    put(CONTENT_TYPE, file.content_type.clone());
    put(CONTENT_LENGTH, file.length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        put(CONTENT_RANGE, format!("bytes {}-{}/{}", file.offset, file.offset + file.length - 1, file.size));
    }
    // Whatever it is, a browser shall not take it for a page of ours.
    put(X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
    put(CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned());
    let shown = file.content_type.starts_with("image/") || file.content_type.starts_with("audio/");
    put(CONTENT_DISPOSITION, if shown { "inline" } else { "attachment" }.to_owned());
}

/// One range of bytes; several, or another unit, count as none, which is allowed.
fn parse(range: &str) -> Option<Asked> {
    let range = range.trim().strip_prefix("bytes=")?.trim();
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u32>().ok().map(i64::from);
    match (first.trim().is_empty(), last.trim().is_empty()) {
        (true, true) => None,
        (true, false) => number(last).filter(|n| *n > 0).map(|n| Asked { offset: -n, length: 0 }),
        (false, true) => number(first).map(|offset| Asked { offset, length: 0 }),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Asked { offset: first, length: last - first + 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_nonsense_means_everything() {
        assert_eq!(parse("bytes=0-99"), Some(Asked { offset: 0, length: 100 }));
        assert_eq!(parse("bytes=100-"), Some(Asked { offset: 100, length: 0 }));
        assert_eq!(parse("bytes=-5"), Some(Asked { offset: -5, length: 0 }));
        for text in ["bytes=5-1", "bytes=0-1,5-6", "lines=0-1", "bytes=-", "bytes=a-b", "bytes=-0", "", "bytes=1--2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
