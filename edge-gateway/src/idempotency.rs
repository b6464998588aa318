//! `Idempotency-Key`: a signed-in client that repeats a write with the same key gets the first answer again, and the
//! write happens once. Keys live 24 hours in Redis, per user, method and path. While Redis is away requests go through
//! unprotected, because refusing them all would be worse.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use kit::identity::Caller;
use kit::seal::sha256;
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use serde::{Deserialize, Serialize};

use crate::auth::Identity;
use crate::dialect::{Dialect, Problem};
use crate::front::detached;
use crate::input::{MAX_BODY, buffered};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const DAY: u64 = 24 * 3600;
/// Answers beyond this are not kept; the key then only guards against doing it twice at once.
const MAX_ANSWER: usize = 256 << 10;

/// What Redis keeps under a key.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// Hash of the request, to notice another one under the same key.
    print: String,
    /// Absent while the first request is being served.
    answer: Option<Answer>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    content_type: Option<String>,
    location: Option<String>,
    body: String,
}

/// Answers a write.
pub async fn answer<D: Dialect>(dialect: &D, request: Request, next: Next) -> Response {
    let caller = request.extensions().get().and_then(Identity::caller);
    let key = request.headers().get(KEY).cloned();
    let (Some(caller), Some(key), Some(redis)) = (caller, key, dialect.redis.clone()) else {
        return next.run(request).await;
    };
    match once(redis, caller, &key, request, next, dialect.config.request_seconds).await {
        Ok(response) => response,
        Err(problem) => D::Error::from(problem).into_response(),
    }
}

async fn once(
    mut redis: ConnectionManager,
    caller: Caller,
    key: &HeaderValue,
    request: Request,
    next: Next,
    seconds: u64,
) -> Result<Response, Problem> {
    let key = key.to_str().ok().filter(|key| !key.trim().is_empty() && key.len() <= 255).ok_or(Problem::KeyBroken)?;
    let what = format!("{} {} {key}", request.method(), crate::front::asked_path());
    let place = format!("plaza:once:{}:{}", caller.id, URL_SAFE_NO_PAD.encode(&sha256(what.as_bytes())[..18]));
    let (request, print) = print(request).await?;

    let claim = Entry { print, answer: None };
    // Longer than any request lives, so that the place is given up only when its owner has died.
    let patience = seconds * 10 + 30;
    let claimed = redis::cmd("SET")
        .arg(&place)
        .arg(encode(&claim))
        .arg("NX")
        .arg("EX")
        .arg(patience)
        .query_async::<Option<String>>(&mut redis)
        .await;
    match claimed {
        Err(_) => Ok(next.run(request).await),
        Ok(Some(_)) => {
            // The client may go away; what it asked for is finished and its answer kept all the same.
            let work = async move {
                let response = next.run(request).await;
                keep(&mut redis, &place, claim.print, response).await
            };
            detached(work).await.ok_or(Problem::Panic)
        }
        Ok(None) => {
            let stored: Option<String> = redis.get(&place).await.unwrap_or_default();
            let Some(entry) = stored.and_then(|stored| serde_json::from_str::<Entry>(&stored).ok()) else {
                // It was given up between our two questions; the client's next try will do it.
                return Err(Problem::KeyBusy);
            };
            if entry.print != claim.print {
                return Err(Problem::KeyReused);
            }
            entry.answer.map(replay).ok_or(Problem::KeyBusy)
        }
    }
}

/// A hash of what the request says. Clients choose a new boundary each time they build a multipart body, and files are
/// not held in memory, so there the length stands for the content.
async fn print(request: Request) -> Result<(Request, String), Problem> {
    let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec()).unwrap_or_default();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (request, content) = if kind.starts_with(b"multipart/") {
        let length = request.headers().get(CONTENT_LENGTH).map(|length| length.as_bytes().to_vec());
        (request, Bytes::from(length.unwrap_or_default()))
    } else {
        buffered(request, MAX_BODY).await?
    };
    let print = sha256(&[query.as_bytes(), b"\0", &content].concat());
    Ok((request, STANDARD_NO_PAD.encode(print)))
}

/// Stores an answer; one that says "try again" is not stored but frees the key.
async fn keep(redis: &mut ConnectionManager, place: &str, print: String, response: Response) -> Response {
    let again = response.status().is_server_error()
        || matches!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT
        );
    let (parts, body) = response.into_parts();
    let body = match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            tracing::error!(place, "an answer was too large for an idempotency key");
            let _ = redis.del::<_, ()>(place).await;
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let header = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    let stored = if again {
        redis.del::<_, ()>(place).await
    } else {
        let answer = Answer {
            status: parts.status.as_u16(),
            content_type: header(CONTENT_TYPE),
            location: header(LOCATION),
            body: STANDARD_NO_PAD.encode(&body),
        };
        redis.set_ex(place, encode(&Entry { print, answer: Some(answer) }), DAY).await
    };
    if let Err(error) = stored {
        tracing::warn!(%error, "an idempotency key's answer could not be stored");
    }
    Response::from_parts(parts, Body::from(body))
}

fn replay(answer: Answer) -> Response {
    let body = STANDARD_NO_PAD.decode(answer.body).unwrap_or_default();
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    for (name, value) in [(CONTENT_TYPE, answer.content_type), (LOCATION, answer.location)] {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            headers.insert(name, value);
        }
    }
    response
}

fn encode(entry: &Entry) -> String {
    serde_json::to_string(entry).expect("texts and numbers are JSON")
}
