//! A call to Google's HTTP APIs: signed, bounded in time and size, and with an answer that tells what may be tried again.

use std::time::Duration;

use kit::error::{aborted, already_exists, internal, invalid, not_found, out_of_range, refused, unavailable};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;
use tonic::Code;

use super::account::Account;

/// A page of a few documents at their largest fits.
const LARGEST_ANSWER: usize = 16 << 20;

/// The way to Google with a service account.
pub(super) struct Google {
    http: Client,
    account: Account,
    patience: Duration,
}

impl Google {
    pub(super) fn try_new(account: Account, patience: Duration) -> anyhow::Result<Self> {
        let http = Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
        Ok(Self { http, account, patience })
    }

    /// Sends a request and reads the answer. Errors say by their code what became of it: `UNAVAILABLE` and `ABORTED`
    /// that nothing was decided, `OUT_OF_RANGE` that the answer is too large, any other that it was refused for good.
    pub(super) async fn call(&self, method: Method, url: Url, body: Option<&Value>) -> kit::Result<Value> {
        let mut refused = None;
        loop {
            let token = self.account.token(&self.http, self.patience, refused.as_deref()).await?;
            let mut request = self.http.request(method.clone(), url.clone()).bearer_auth(&token).timeout(self.patience);
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.map_err(away)?;
            let status = response.status();
            // Tokens are withdrawn before their time; once is enough to see whether that was it.
            if status == StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(token);
                continue;
            }
            let answer = read_json(response, LARGEST_ANSWER).await;
            return if status.is_success() { answer } else { Err(failure(status, &answer.unwrap_or_default())) };
        }
    }
}

fn failure(status: StatusCode, answer: &Value) -> kit::Error {
    let why = format!("{status} {}", said(answer));
    match (status.as_u16(), error_of(answer)["status"].as_str()) {
        (409, Some("ALREADY_EXISTS")) => already_exists("FIREBASE_EXISTS", why),
        (409 | 412, _) => aborted("FIREBASE_CONFLICT", why),
        (404, _) => not_found("FIREBASE_MISSING", why),
        (400, Some("FAILED_PRECONDITION")) => refused("FIREBASE_REFUSED", why),
        (400 | 413, _) => invalid("firebase", why),
        // Rights and quotas, too: they are an operator's to mend, and nothing may be lost until then.
        _ => unavailable("FIREBASE_AWAY", why),
    }
}

/// What an answer says of its error: Firestore's, also where a list was expected, or the Realtime Database's.
pub(super) fn said(answer: &Value) -> &str {
    let error = error_of(answer);
    error["message"].as_str().or(error.as_str()).unwrap_or_default()
}

fn error_of(answer: &Value) -> &Value {
    answer.get("error").or_else(|| answer.get(0)?.get("error")).unwrap_or(&Value::Null)
}

pub(super) fn away(error: reqwest::Error) -> kit::Error {
    // The address holds ids, which are nobody's business in a log.
    unavailable("FIREBASE_AWAY", format!("{:#}", anyhow::Error::new(error.without_url())))
}

/// The body, if it is not too large.
pub(super) async fn read_json(mut response: Response, largest: usize) -> kit::Result<Value> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > largest {
            return Err(out_of_range("FIREBASE_TOO_LARGE", format!("an answer of more than {largest} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&body).map_err(|error| internal(anyhow::Error::new(error).context("an answer of Firebase")))
}

/// Whether trying again later may help.
pub(super) fn passes(error: &kit::Error) -> bool {
    matches!(
        error.code(),
        Code::Unavailable
            | Code::Aborted
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::OutOfRange
    )
}
