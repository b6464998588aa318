//! Entity tags for JSON answers: a client that has the same answer already gets 304 instead of it. The tag is a hash of
//! the body, so nothing has to know when a row changed; it saves the wire, not the query.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use kit::seal::sha256;

/// Larger answers are not worth holding back for a hash.
const MOST: u64 = 1 << 20;

/// Answers a GET.
pub async fn answer(request: Request, next: Next) -> Response {
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let mut response = next.run(request).await;
    if response.status() != StatusCode::OK || !cacheable(&response) {
        return response;
    }
    // Handlers answer whole bodies, so this waits for nothing.
    let (mut parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let tag = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&sha256(&bytes)[..12]));
    // Most of it is personal: the browser may keep it, but must ask each time, and nobody between may.
    parts.headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    if known.as_ref().is_some_and(|known| matches(known, &tag)) {
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(http::header::CONTENT_LENGTH);
        parts.status = StatusCode::NOT_MODIFIED;
        response = Response::from_parts(parts, axum::body::Body::empty());
    } else {
        response = Response::from_parts(parts, axum::body::Body::from(bytes));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn cacheable(response: &Response) -> bool {
    let headers: &HeaderMap = response.headers();
    let json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    json && !headers.contains_key(ETAG) && response.body().size_hint().exact().is_some_and(|size| size <= MOST)
}

/// Whether an `If-None-Match` names the tag; weak tags of equal text are equal here.
pub fn matches(known: &HeaderValue, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.to_str().is_ok_and(|known| known.trim() == "*" || known.split(',').any(|one| bare(one) == bare(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_named_tags_counts() {
        let matches = |known: &'static str| matches(&HeaderValue::from_static(known), "W/\"abc\"");
        assert!(matches("W/\"abc\"") && matches("\"abc\"") && matches("\"x\", W/\"abc\"") && matches("*"));
        assert!(!matches("\"abcd\"") && !matches("abc") && !matches(""));
    }
}
