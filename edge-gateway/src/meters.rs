//! Requests by route. The handles are kept, because looking a metric up by its labels builds them anew each time.

use std::collections::HashMap;
use std::sync::RwLock;
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Histogram};

/// Counters and histograms by route, method and status.
#[derive(Default)]
pub struct Meters(RwLock<HashMap<String, ByAnswer>>);

type ByAnswer = HashMap<(&'static str, u16), Meter>;

#[derive(Clone)]
struct Meter {
    answers: Counter,
    took: Histogram,
}

impl Meters {
    /// Notes one request. `endpoint` is a route's template: paths are endless.
    pub fn note(&self, method: &Method, endpoint: &str, status: StatusCode, took: Duration) {
        let key = (word(method), status.as_u16());
        let known =
            self.0.read().expect("nothing panics under this lock").get(endpoint).and_then(|m| m.get(&key)).cloned();
        let meter = known.unwrap_or_else(|| {
            let meter = Meter::new(key.0, endpoint, status);
            let mut all = self.0.write().expect("nothing panics under this lock");
            all.entry(endpoint.to_owned()).or_default().insert(key, meter.clone());
            meter
        });
        meter.answers.increment(1);
        meter.took.record(took.as_secs_f64());
    }
}

impl Meter {
    fn new(method: &'static str, endpoint: &str, status: StatusCode) -> Self {
        let labels = [("method", method.to_owned()), ("endpoint", endpoint.to_owned())];
        let [method, endpoint] = labels.clone();
        let status = ("status_code", status.as_str().to_owned());
        Self {
            answers: metrics::counter!("http_requests_total", &[method, endpoint, status]),
            took: metrics::histogram!("http_request_duration_seconds", &labels),
        }
    }
}

/// Clients may invent methods; a metric may not grow with their imagination.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
