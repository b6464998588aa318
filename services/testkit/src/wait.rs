//! Waiting for what happens elsewhere, without sleeping for a guessed time.

use std::time::{Duration, Instant};

/// Asks until the answer is yes; fails the test after ten seconds, saying `what` did not happen.
pub async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(Duration::from_secs(10), what, condition).await;
}

/// As [`eventually`], where the time itself is promised.
pub async fn within(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < until, "within {limit:?} it did not happen that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
