//! An HTTP answer as a snapshot shows it.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Headers that are part of the contract; the others are left out of snapshots.
const SHOWN: [&str; 8] = [
    "allow",
    "content-type",
    "location",
    "retry-after",
    "www-authenticate",
    "access-control-allow-origin",
    "content-range",
    "idempotency-replayed",
];

/// Status, headers and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body if it is JSON, else null.
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("the body arrives");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Self { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}\n", self.status);
        for name in SHOWN {
            if let Some(value) = self.headers.get(name) {
                text += &format!("{name}: {}\n", value.to_str().unwrap_or("?"));
            }
        }
        text.push('\n');
        match &self.body {
            Value::Null => text += &self.text,
            json => text += &serde_json::to_string_pretty(json).map_err(|_| fmt::Error)?,
        }
        f.write_str(&masked(&text))
    }
}

/// What differs from run to run, by what it is.
fn masked(text: &str) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"ey[\w-]{10,}\.[\w-]+\.[\w-]+", "[jwt]"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "[time]"),
            (r"\b1\d{12}\b", "[millis]"),
            (r"http://127\.0\.0\.1:\d+", "[base]"),
            // Names of files and opaque tokens: long, and with letters and digits mixed.
            (r#"[A-Za-z0-9_-]{20,}"#, "[token]"),
        ]
        .map(|(pattern, mask)| (Regex::new(pattern).expect("a pattern"), mask))
        .into()
    });
    let mut text = text.to_owned();
    for (pattern, mask) in &*MASKS {
        // A long word without digits is a word.
        text = pattern
            .replace_all(&text, |found: &regex::Captures| {
                let word = &found[0];
                let opaque = word.bytes().any(|b| b.is_ascii_digit());
                if *mask == "[token]" && !opaque { word.to_owned() } else { (*mask).to_owned() }
            })
            .into_owned();
    }
    text
}
