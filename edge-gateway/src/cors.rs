//! CORS: which pages of other origins may talk to the edge. It stands outside of everything that may refuse, because a
//! browser shows a page nothing of an answer without these headers, not even that it was an error.

use std::collections::HashSet;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// What one dialect allows.
#[derive(Clone, Debug)]
pub struct Cors {
    pub origins: HashSet<HeaderValue>,
    pub methods: &'static str,
    /// The request headers to allow; `None` allows whichever are asked for.
    pub headers: Option<&'static str>,
    pub expose: &'static str,
    pub max_age: &'static str,
    /// The answer to a preflight from elsewhere.
    pub stranger: StatusCode,
}

impl Cors {
    /// Answers preflights, and lets what `run` answers be read by the pages that may.
    pub async fn around(&self, request: Request, run: impl AsyncFnOnce(Request) -> Response) -> Response {
        let vary = HeaderValue::from_static("origin");
        let Some(origin) = request.headers().get(ORIGIN).cloned() else {
            let mut response = run(request).await;
            response.headers_mut().append(VARY, vary);
            return response;
        };
        let friend = self.origins.contains(&origin);
        let asks = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = match (asks, friend) {
            (true, true) => self.preflight(request.headers()),
            (true, false) => (self.stranger, Body::empty()).into_response(),
            (false, _) => run(request).await,
        };
        let headers = response.headers_mut();
        headers.append(VARY, vary);
        if friend {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            if !asks && !self.expose.is_empty() {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(self.expose));
            }
        }
        response
    }

    fn preflight(&self, asked: &HeaderMap) -> Response {
        let mut response = StatusCode::OK.into_response();
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(self.methods));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(self.max_age));
        let allowed = match self.headers {
            Some(fixed) => Some(HeaderValue::from_static(fixed)),
            None => asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        };
        if let Some(allowed) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
        response
    }
}
