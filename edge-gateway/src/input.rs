//! Extractors: bodies and query strings as [`Form`]s, path segments as typed keys. They are the same for both dialects;
//! what is wrong becomes a [`Problem`], and the dialect has the words.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Multipart, RawPathParams, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use url::form_urlencoded;
use utoipa::PartialSchema;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{Content, RefOr, Required, Schema};
use uuid::Uuid;

use crate::Edge;
use crate::dialect::{Dialect, Place, Problem};
use crate::form::{Fields, Form, Habits, python_type};
use crate::routes::{Describe, Operation};
use crate::upload::{File, MAX_FILE, SpoolError, unread};

/// JSON and the text of forms.
pub const MAX_BODY: usize = 1 << 20;

/// Bytes of a body, in an extension of the request, where they are fewer than [`MAX_BODY`].
#[derive(Clone, Copy, Debug)]
pub struct MostBytes(pub usize);

fn most(request: &Request) -> usize {
    request.extensions().get().map_or(MAX_BODY, |MostBytes(most)| *most)
}

const MAX_PARTS: usize = 200;
const MAX_FILES: usize = 20;

/// A body: JSON, urlencoded or multipart, whichever the client prefers. No body is an empty form.
pub struct Input<T>(pub T);

impl<D: Dialect, T: Form> FromRequest<D> for Input<T> {
    type Rejection = D::Error;

    async fn from_request(request: Request, edge: &D) -> Result<Self, D::Error> {
        let put = request.method() == Method::PUT;
        let fields = read(request, edge, D::HABITS).await?;
        let form = fields.on_put(put).read().map_err(|faults| Problem::Fields { place: Place::Body, faults })?;
        Ok(Self(form))
    }
}

async fn read(request: Request, edge: &Edge, habits: Habits) -> Result<Fields, Problem> {
    let essence = essence(request.headers());
    match essence.as_str() {
        "application/json" => json(whole(request).await?, habits),
        "application/x-www-form-urlencoded" => Ok(Fields::pairs(habits, pairs(&whole(request).await?), Vec::new())),
        "multipart/form-data" => multipart(request, edge, habits).await,
        _ => match whole(request).await? {
            empty if empty.is_empty() => Ok(Fields::pairs(habits, Vec::new(), Vec::new())),
            body if essence.is_empty() => json(body, habits),
            _ => Err(Problem::MediaType(essence)),
        },
    }
}

/// The media type without parameters, in lower case; `application/problem+json` counts as JSON.
fn essence(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = essence.starts_with("application/") && essence.ends_with("+json");
    if json { "application/json".to_owned() } else { essence }
}

async fn whole(request: Request) -> Result<Bytes, Problem> {
    let most = most(&request);
    let too_large = Problem::TooLarge { limit: most as u64 };
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(too_large);
    }
    match Limited::new(request.into_body(), most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large),
        Err(error) => Err(unread(&*error, Problem::BrokenJson)),
    }
}

fn json(body: Bytes, habits: Habits) -> Result<Fields, Problem> {
    if body.is_empty() {
        return Ok(Fields::pairs(habits, Vec::new(), Vec::new()));
    }
    // serde_json stops at 128 levels, and of repeated keys it keeps the last.
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(Fields::json(habits, object)),
        Ok(other) => Err(Problem::NotAnObject(python_type(&other))),
        Err(error) => Err(Problem::BrokenJson(error.to_string())),
    }
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

async fn multipart(request: Request, edge: &Edge, habits: Habits) -> Result<Fields, Problem> {
    // The limits stand below, per part.
    let mut request = request;
    let most = most(&request);
    DefaultBodyLimit::disable().apply(&mut request);
    let broken = |e: axum::extract::multipart::MultipartError| unread(&e, |_| Problem::BrokenForm(e.body_text()));
    let mut form = match Multipart::from_request(request, &()).await {
        Ok(form) => form,
        Err(rejection) => return Err(Problem::BrokenForm(rejection.body_text())),
    };
    let (mut texts, mut files, mut empty, mut length) = (Vec::new(), Vec::new(), Vec::new(), 0);
    while let Some(mut part) = form.next_field().await.map_err(broken)? {
        if texts.len() + files.len() + empty.len() == MAX_PARTS || files.len() == MAX_FILES {
            return Err(Problem::BrokenForm("too many parts".to_owned()));
        }
        let name = part.name().unwrap_or_default().to_owned();
        // Browsers send an unfilled file field as a part with an empty file name.
        if part.file_name().is_some_and(|file| !file.is_empty()) {
            match File::spool(part, &edge.config.spool_dir).await {
                Ok(file) => files.push((name, file)),
                Err(SpoolError::TooLarge) => return Err(Problem::TooLarge { limit: MAX_FILE }),
                Err(SpoolError::Broken(why)) => return Err(why),
                Err(SpoolError::Disk(error)) => {
                    tracing::error!(%error, "an upload cannot be spooled");
                    return Err(Problem::Overloaded);
                }
            }
            continue;
        }
        let unfilled = part.file_name().is_some();
        let mut text = Vec::new();
        while let Some(chunk) = part.chunk().await.map_err(broken)? {
            length += chunk.len();
            if length > most {
                return Err(Problem::TooLarge { limit: most as u64 });
            }
            text.extend_from_slice(&chunk);
        }
        if unfilled {
            empty.push(name);
        } else {
            texts.push((name, String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(Fields::pairs(habits, texts, files).and_unfilled(empty))
}

impl<T: Form> Describe for Input<T> {
    fn describe(operation: &mut Operation) {
        let (schema, files) = Fields::schema::<T>();
        let body = if files {
            RequestBodyBuilder::new().content("multipart/form-data", Content::new(Some(schema)))
        } else {
            RequestBodyBuilder::new()
                .content("application/json", Content::new(Some(schema.clone())))
                .content("application/x-www-form-urlencoded", Content::new(Some(schema)))
        };
        operation.body = Some(body.required(Some(Required::True)).build());
    }
}

/// The query string. Django's clients write what they leave out as an empty value (`?room=&archived=`), so there it
/// counts as not written; FastAPI's mean an empty text by it.
pub struct Query<T>(pub T);

impl<D: Dialect, T: Form> FromRequestParts<D> for Query<T> {
    type Rejection = D::Error;

    async fn from_request_parts(parts: &mut Parts, _: &D) -> Result<Self, D::Error> {
        let mut texts = pairs(parts.uri.query().unwrap_or_default().as_bytes());
        if D::HABITS == Habits::Django {
            texts.retain(|(_, value)| !value.trim().is_empty());
        }
        let form = Fields::pairs(D::HABITS, texts, Vec::new()).read();
        Ok(Self(form.map_err(|faults| Problem::Fields { place: Place::Query, faults })?))
    }
}

impl<T: Form> Describe for Query<T> {
    fn describe(operation: &mut Operation) {
        let (Schema::Object(object), _) = Fields::schema::<T>() else { return };
        for (name, schema) in object.properties {
            let required = object.required.contains(&name);
            operation.parameter(ParameterIn::Query, &name, required, schema);
        }
    }
}

/// The `{segments}` of the path, in order.
pub struct Path<T>(pub T);

/// What a path segment may be.
pub trait Segment: Sized + Send {
    fn parse(text: &str) -> Option<Self>;
    fn schema() -> RefOr<Schema>;
}

impl Segment for i64 {
    /// `+1` is a number to Rust, and no id to anybody: a link has one form.
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with('+') { None } else { text.parse().ok() }
    }

    fn schema() -> RefOr<Schema> {
        <i64 as PartialSchema>::schema()
    }
}

impl Segment for Uuid {
    fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok()
    }

    fn schema() -> RefOr<Schema> {
        <String as PartialSchema>::schema()
    }
}

impl Segment for String {
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn schema() -> RefOr<Schema> {
        <String as PartialSchema>::schema()
    }
}

/// All segments of a path together.
pub trait Segments: Sized + Send {
    fn take<'p>(params: impl Iterator<Item = (&'p str, &'p str)>) -> Result<Self, Problem>;
    fn describe(operation: &mut Operation);
}

fn one<'p, T: Segment>(params: &mut impl Iterator<Item = (&'p str, &'p str)>) -> Result<T, Problem> {
    let (name, text) = params.next().unwrap_or_default();
    T::parse(text).ok_or_else(|| Problem::PathId { name: name.to_owned() })
}

impl<T: Segment> Segments for T {
    fn take<'p>(mut params: impl Iterator<Item = (&'p str, &'p str)>) -> Result<Self, Problem> {
        one(&mut params)
    }

    fn describe(operation: &mut Operation) {
        // The route's template has the name.
        operation.parameter(ParameterIn::Path, "", true, T::schema());
    }
}

impl<A: Segment, B: Segment> Segments for (A, B) {
    fn take<'p>(mut params: impl Iterator<Item = (&'p str, &'p str)>) -> Result<Self, Problem> {
        Ok((one(&mut params)?, one(&mut params)?))
    }

    fn describe(operation: &mut Operation) {
        <A as Segments>::describe(operation);
        <B as Segments>::describe(operation);
    }
}

impl<D: Dialect, T: Segments> FromRequestParts<D> for Path<T> {
    type Rejection = D::Error;

    async fn from_request_parts(parts: &mut Parts, edge: &D) -> Result<Self, D::Error> {
        match RawPathParams::from_request_parts(parts, edge).await {
            Ok(params) => Ok(Self(T::take(&mut params.iter())?)),
            // Not UTF-8.
            Err(_) => Err(Problem::PathId { name: String::new() }.into()),
        }
    }
}

impl<T: Segments> Describe for Path<T> {
    fn describe(operation: &mut Operation) {
        T::describe(operation);
    }
}

/// Reads a body of at most `limit` bytes and gives the request back with it.
pub async fn buffered(request: Request, limit: usize) -> Result<(Request, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    match Limited::new(body, limit).collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            Ok((Request::from_parts(parts, Body::from(body.clone())), body))
        }
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::TooLarge { limit: limit as u64 }),
        Err(error) => Err(unread(&*error, Problem::BrokenForm)),
    }
}
