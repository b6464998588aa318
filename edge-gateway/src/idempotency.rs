//! `Idempotency-Key`: a signed-in client that repeats a write with the same key gets the first answer again, and the
//! write happens once; who repeats it meanwhile waits for that answer. Keys live 24 hours in Redis, per user, method and
//! path. While Redis is away requests go through unprotected, because refusing them all would be worse. Answers that are
//! too large, or too many of one user's, are not kept: then a repeat is told that it was done.
//!
//! What takes longer than its client waits goes on, for as long again, and its answer is for whoever repeats it. If that
//! time runs out too, nobody knows whether it was done: the key stays taken until nothing of it can be going on any more.

mod content;

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use kit::context;
use kit::error::refused;
use kit::identity::Caller;
use kit::seal::sha256;
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use tonic::Status;
use uuid::Uuid;

use crate::auth::Identity;
use crate::dialect::{Dialect, Problem};
use crate::front::{asked_path, detached};
use crate::idempotency::content::Watch;
use crate::input::{MAX_BODY, buffered};
use crate::limit::COUNT;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const DAY: u64 = 24 * 3600;
/// Answers beyond this are given and not kept: Redis would hold them for a day. A post with its thread may have a few
/// hundred kilobytes.
const MAX_ANSWER: u64 = 2 << 20;
/// Bytes in Redis of one user's answers in a day; those of two days may overlap.
const MOST_KEPT: u64 = 16 << 20;
/// How long storing an answer may take.
const STORING: Duration = Duration::from_secs(10);
/// How long who waits for an answer looks away, at first and at last.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// What Redis keeps under a key.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// Hash of the request, to notice another one under the same key.
    print: String,
    /// Hash of a multipart body, known when it was read.
    #[serde(default)]
    content: Option<String>,
    /// Absent while the first request is being served, and if it was too large.
    answer: Option<Answer>,
    /// The answer was too large, by itself or with others of the same user.
    #[serde(default)]
    too_large: bool,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    content_type: Option<String>,
    location: Option<String>,
    body: String,
}

/// Where a key's answer is kept.
#[derive(Clone)]
struct Place {
    key: String,
    user: Uuid,
}

/// Answers a write.
pub async fn answer<D: Dialect>(dialect: &D, request: Request, next: Next) -> Response {
    let caller = request.extensions().get().and_then(Identity::caller);
    let key = request.headers().get(KEY).cloned();
    let (Some(caller), Some(key), Some(redis)) = (caller, key, dialect.redis.clone()) else {
        return next.run(request).await;
    };
    let more = dialect.config.timeout(&request);
    match once(redis, caller, &key, more, request, next).await {
        Ok(response) => response,
        Err(problem) => D::Error::from(problem).into_response(),
    }
}

async fn once(
    mut redis: ConnectionManager,
    caller: Caller,
    key: &HeaderValue,
    more: Duration,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = key.to_str().ok().filter(|key| !key.trim().is_empty() && key.len() <= 255).ok_or(Problem::KeyBroken)?;
    let path = asked_path();
    // Both slash forms are one path.
    let path = path.strip_suffix('/').unwrap_or(&path);
    let what = format!("{} {path} {key}", request.method());
    let key = format!("plaza:once:{}:{}", caller.id, URL_SAFE_NO_PAD.encode(&sha256(what.as_bytes())[..18]));
    let place = Place { key, user: caller.id };
    let (request, print) = print(request).await?;

    let mut waited = false;
    loop {
        match claim(&mut redis, &place, &print, more).await {
            Ok(true) => return serve(redis, place, print, more, request, next).await,
            Ok(false) => {}
            // Somebody may be serving it.
            Err(_) if waited => return Err(Problem::KeyBusy),
            Err(_) => return Ok(next.run(request).await),
        }
        if let Some(entry) = answered(&mut redis, &place, &print).await? {
            return repeat(entry, request).await;
        }
        waited = true;
    }
}

/// Takes the place for the first request of a key.
async fn claim(redis: &mut ConnectionManager, place: &Place, print: &str, more: Duration) -> RedisResult<bool> {
    let entry = Entry { print: print.to_owned(), content: None, answer: None, too_large: false };
    // As long as the work may go on, so that the place ends by itself only when its owner has died or does not know
    // what became of it, and soon after.
    let seconds = (left() + more + STORING).as_secs();
    let mut set = redis::cmd("SET");
    set.arg(&place.key).arg(encode(&entry)).arg("NX").arg("EX").arg(seconds);
    Ok(set.query_async::<Option<String>>(redis).await?.is_some())
}

/// What is left of the request's time.
fn left() -> Duration {
    context::current().left().unwrap_or(Duration::from_secs(DAY))
}

/// Serves the first request of a key. The client may go away, or its time may end; what it asked for goes on all the
/// same, by `more` than the client waits, and its answer is kept.
async fn serve(
    mut redis: ConnectionManager,
    place: Place,
    print: String,
    more: Duration,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (request, watch) = Watch::over(request);
    let mut context = context::current();
    context.deadline = context.deadline.map(|at| at + more);
    let (mut kept, at) = (redis.clone(), place.clone());
    let work = async move {
        match timeout(left(), next.run(request)).await {
            Ok(response) => Ok(keep(&mut kept, &at, print, &watch, response).await),
            Err(_) => Err(Problem::Timeout),
        }
    };
    match context::scope(context, detached(work)).await {
        Some(done) => done,
        None => {
            free(&mut redis, &place).await;
            Err(Problem::Panic)
        }
    }
}

/// Waits until the first request of a key has been answered; nothing if it came to nothing and freed the key.
async fn answered(redis: &mut ConnectionManager, place: &Place, print: &str) -> Result<Option<Entry>, Problem> {
    let [mut pause, longest] = PAUSES;
    loop {
        let stored: Option<String> = redis.get(&place.key).await.map_err(|_| Problem::KeyBusy)?;
        let Some(stored) = stored else { return Ok(None) };
        let entry: Entry = serde_json::from_str(&stored).map_err(|_| Problem::KeyBusy)?;
        if entry.print != print {
            return Err(Problem::KeyReused);
        }
        if entry.answer.is_some() || entry.too_large {
            return Ok(Some(entry));
        }
        // Who waits to the very end is told that time ran out, and not why.
        if left() < 2 * pause {
            return Err(Problem::KeyBusy);
        }
        sleep(pause).await;
        pause = longest.min(2 * pause);
    }
}

/// Answers a repeat.
async fn repeat(entry: Entry, request: Request) -> Result<Response, Problem> {
    if entry.content.is_some() && content::hash(request).await? != entry.content {
        return Err(Problem::KeyReused);
    }
    let too_large = || Status::from(refused("ANSWER_TOO_LARGE", "it was done; the answer was too large to be kept"));
    entry.answer.map(replay).ok_or_else(|| Problem::Status(Box::new(too_large())))
}

/// A hash of what the request says. Files are not held in memory, so of a multipart body there is the length until it was
/// read; see [`content`].
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

/// Stores an answer; one that says "try again", or is about a body that broke off, is not stored but frees the key.
async fn keep(
    redis: &mut ConnectionManager,
    place: &Place,
    print: String,
    watch: &Watch,
    response: Response,
) -> Response {
    // A service ran out of time, and may have done it.
    if response.status() == StatusCode::GATEWAY_TIMEOUT {
        return response;
    }
    let again = watch.broke()
        || response.status().is_server_error()
        || matches!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT
        );
    if again {
        free(redis, place).await;
        return response;
    }
    let (parts, body) = response.into_parts();
    let (body, kept) = match whole(body).await {
        Ok(bytes) => (Body::from(bytes.clone()), Some(bytes)),
        Err(body) => {
            tracing::warn!(place = place.key, "an answer is too large for its idempotency key");
            (body, None)
        }
    };
    let header = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    let answer = kept.map(|bytes| Answer {
        status: parts.status.as_u16(),
        content_type: header(CONTENT_TYPE),
        location: header(LOCATION),
        body: STANDARD_NO_PAD.encode(bytes),
    });
    let mut entry = Entry { print, content: watch.hash(), too_large: answer.is_none(), answer };
    let mut stored = encode(&entry);
    if entry.answer.is_some() && !room(redis, place.user, stored.len()).await {
        tracing::warn!(user.id = %place.user, "no more of a user's answers are kept today");
        (entry.answer, entry.too_large) = (None, true);
        stored = encode(&entry);
    }
    if let Err(error) = redis.set_ex::<_, _, ()>(&place.key, stored, DAY).await {
        tracing::warn!(%error, "an idempotency key's answer could not be stored");
    }
    Response::from_parts(parts, body)
}

/// A body that is small enough to be kept; any other as it was.
async fn whole(body: Body) -> Result<Bytes, Body> {
    if http_body::Body::size_hint(&body).upper().is_none_or(|size| size > MAX_ANSWER) {
        return Err(body);
    }
    // What breaks on the way shall break for the client too.
    let broken = |error| Body::from_stream(stream::iter([Err::<Bytes, axum::Error>(error)]));
    Ok(body.collect().await.map_err(broken)?.to_bytes())
}

/// Counts an answer's bytes and says whether its user has that much room left.
async fn room(redis: &mut ConnectionManager, user: Uuid, bytes: usize) -> bool {
    let key = format!("plaza:kept:{user}");
    let kept = COUNT.key(key).arg(bytes).arg(DAY).invoke_async::<u64>(redis).await;
    kept.is_ok_and(|kept| kept <= MOST_KEPT)
}

/// Gives a place up, for the next who asks with this key.
async fn free(redis: &mut ConnectionManager, place: &Place) {
    if let Err(error) = redis.del::<_, ()>(&place.key).await {
        tracing::warn!(%error, "an idempotency key could not be freed");
    }
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
