//! What travels with a request through every service without standing in any signature: its id, its deadline, the
//! caller's token, the client's address. The server layer reads it from the metadata, the client layer passes it on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use uuid::Uuid;

pub const REQUEST_ID: &str = "x-request-id";
pub const CORRELATION_ID: &str = "x-correlation-id";
pub const CLIENT_IP: &str = "x-client-ip";
pub const CLIENT_DEVICE: &str = "x-client-device";
pub const TRACEPARENT: &str = "traceparent";
pub const TIMEOUT: &str = "grpc-timeout";

tokio::task_local! {
    static CURRENT: Context;
}

/// What travels with a request.
#[derive(Clone, Debug)]
pub struct Context {
    /// Names the request in logs and error answers.
    pub request_id: Arc<str>,
    /// Names the chain of requests and events this one belongs to; the request's id unless the client gave one.
    pub correlation_id: Arc<str>,
    /// The client's address as the edge saw it.
    pub client_ip: Option<Arc<str>>,
    /// The client's User-Agent, at most 255 characters.
    pub device: Option<Arc<str>>,
    /// The caller's `Bearer …`, verified by the edge and again by each service.
    pub authorization: Option<Arc<str>>,
    /// When the answer is of no use any more.
    pub deadline: Option<Instant>,
    /// W3C trace context.
    pub traceparent: Option<Arc<str>>,
}

impl Default for Context {
    fn default() -> Self {
        let request_id: Arc<str> = Uuid::now_v7().to_string().into();
        Self {
            correlation_id: request_id.clone(),
            request_id,
            client_ip: None,
            device: None,
            authorization: None,
            deadline: None,
            traceparent: None,
        }
    }
}

impl Context {
    /// Reads the metadata of a call. The client's address and device are believed only from a `trusted` caller: the
    /// edge, which saw the client, or another service, which was told by the edge.
    pub fn from_metadata(headers: &HeaderMap, trusted: bool) -> Self {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(Arc::<str>::from);
        let told = |name: &str| if trusted { text(name) } else { None };
        let request_id = text(REQUEST_ID).unwrap_or_else(|| Uuid::now_v7().to_string().into());
        Self {
            correlation_id: text(CORRELATION_ID).unwrap_or_else(|| request_id.clone()),
            request_id,
            client_ip: told(CLIENT_IP),
            device: told(CLIENT_DEVICE),
            authorization: text(AUTHORIZATION.as_str()),
            deadline: headers
                .get(TIMEOUT)
                .and_then(|v| v.to_str().ok())
                .and_then(parse_timeout)
                .map(|t| Instant::now() + t),
            traceparent: text(TRACEPARENT),
        }
    }

    /// Writes the metadata of a call to a peer, all but the deadline, which the client counts down.
    pub fn write(&self, headers: &mut HeaderMap) {
        // Believed from us, so never taken from an outsider's request that we pass on.
        headers.remove(CLIENT_IP);
        headers.remove(CLIENT_DEVICE);
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        put(HeaderName::from_static(REQUEST_ID), &self.request_id);
        if self.correlation_id != self.request_id {
            put(HeaderName::from_static(CORRELATION_ID), &self.correlation_id);
        }
        let optional = [
            (CLIENT_IP, &self.client_ip),
            (CLIENT_DEVICE, &self.device),
            (AUTHORIZATION.as_str(), &self.authorization),
            (TRACEPARENT, &self.traceparent),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                put(HeaderName::from_static(name), value);
            }
        }
    }

    /// What is left until the deadline; `None` without one.
    pub fn left(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// The context of the request being served, or a fresh one outside of any.
pub fn current() -> Context {
    CURRENT.try_with(Context::clone).unwrap_or_default()
}

/// Runs a future inside a context.
pub async fn scope<F: Future>(context: Context, future: F) -> F::Output {
    CURRENT.scope(context, future).await
}

/// The same of something short, for whoever works for several requests in turn.
pub fn within<T>(context: Context, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(context, work)
}

/// For `grpc-timeout`: at most eight digits and a unit, the finest that fits.
pub(crate) fn write_timeout(left: Duration) -> String {
    const MOST: u128 = 99_999_999;
    match (left.as_micros(), left.as_millis()) {
        (micros, _) if micros <= MOST => format!("{micros}u"),
        (_, millis) if millis <= MOST => format!("{millis}m"),
        _ => format!("{}S", left.as_secs().min(MOST as u64)),
    }
}

/// `grpc-timeout`: at most eight digits and a unit.
pub fn parse_timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.is_empty() || number.len() > 8 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_follow_the_grpc_grammar() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        for wrong in ["", "S", "5", "-1S", "123456789S", "5 S", "5é"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
        for (left, text) in [(0, "0u"), (99, "99000000u"), (3600, "3600000m"), (200_000_000, "99999999S")] {
            assert_eq!(write_timeout(Duration::from_secs(left)), text);
        }
    }

    #[test]
    fn the_clients_address_is_believed_only_from_a_trusted_peer() {
        let mut headers = HeaderMap::new();
        headers.insert(CLIENT_IP, "10.0.0.9".parse().unwrap());
        assert_eq!(Context::from_metadata(&headers, false).client_ip, None);
        assert_eq!(Context::from_metadata(&headers, true).client_ip.as_deref(), Some("10.0.0.9"));
    }
}
