//! The Realtime Database by its REST API.

use std::sync::Arc;

use anyhow::anyhow;
use kit::error::internal;
use reqwest::{Method, Url};
use serde_json::{Map, Value as Json};

use super::google::Google;

/// A Realtime Database.
pub(super) struct Database {
    google: Arc<Google>,
    url: Url,
}

/// Children of a node whose number `child` lies between two moments.
pub(super) struct Range<'a> {
    pub(super) path: &'a [&'a str],
    pub(super) child: &'static str,
    /// Milliseconds since 1970.
    pub(super) from: i64,
    pub(super) through: i64,
    pub(super) limit: usize,
}

impl Database {
    pub(super) fn new(google: Arc<Google>, url: Url) -> Self {
        Self { google, url }
    }

    /// Keys and values, in the order of the child. The rules must have an index on it.
    pub(super) async fn list(&self, range: &Range<'_>) -> kit::Result<Vec<(String, Json)>> {
        let mut url = self.node(range.path)?;
        url.query_pairs_mut()
            .append_pair("orderBy", &format!("\"{}\"", range.child))
            .append_pair("startAt", &range.from.to_string())
            .append_pair("endAt", &range.through.to_string())
            .append_pair("limitToFirst", &range.limit.to_string());
        let Json::Object(children) = self.google.call(Method::GET, url, None).await? else { return Ok(Vec::new()) };
        let mut children: Vec<_> = children.into_iter().collect();
        // An object has no order.
        children.sort_by_key(|(_, value)| value[range.child].as_f64().unwrap_or_default() as i64);
        Ok(children)
    }

    /// Sets nodes by their paths, all or none.
    pub(super) async fn patch(&self, changes: Map<String, Json>) -> kit::Result<()> {
        self.google.call(Method::PATCH, self.node(&[])?, Some(&Json::Object(changes))).await.map(drop)
    }

    fn node(&self, path: &[&str]) -> kit::Result<Url> {
        let mut url = self.url.clone();
        {
            let mut segments =
                url.path_segments_mut().map_err(|()| internal(anyhow!("FIREBASE_DATABASE_URL has no path")))?;
            segments.pop_if_empty();
            match path.split_last() {
                Some((last, first)) => segments.extend(first).push(&format!("{last}.json")),
                None => segments.push(".json"),
            };
        }
        Ok(url)
    }
}
