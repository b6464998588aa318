//! Firestore by its REST API.

use std::sync::Arc;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use kit::error::internal;
use reqwest::{Method, Url};
use serde_json::{Value as Json, json};
use tonic::Code;

use super::google::Google;
use super::value::{Document, Value, Write, from_json};

/// Writes that Firestore takes at once.
pub(super) const MOST_WRITES: usize = 500;

/// A project's default database.
pub(super) struct Firestore {
    google: Arc<Google>,
    url: Url,
    /// What all names begin with.
    root: String,
}

/// Which documents.
pub(super) struct Query<'a> {
    /// The last part of the collection's path.
    pub(super) collection: &'static str,
    /// The document it belongs to; without it, one of the root's.
    pub(super) parent: Option<[&'a str; 2]>,
    /// Wherever below the parent such a collection is.
    pub(super) anywhere: bool,
    /// What of a document is told.
    pub(super) fields: &'static [&'static str],
    pub(super) filters: Vec<(&'static str, Filter, Value)>,
    /// Ascending, and then by name.
    pub(super) order: Option<&'static str>,
    /// Behind a document, by its path and what it is ordered by.
    pub(super) after: Option<(DateTime<Utc>, String)>,
    pub(super) limit: usize,
}

/// How a field compares.
#[derive(Clone, Copy)]
pub(super) enum Filter {
    Is,
    AtLeast,
    AtMost,
}

impl Firestore {
    pub(super) fn new(google: Arc<Google>, url: Url, project: &str) -> Self {
        Self { google, url, root: format!("projects/{project}/databases/(default)/documents") }
    }

    /// Writes all of it or nothing. `ALREADY_EXISTS` and `NOT_FOUND` say which precondition did not hold.
    pub(super) async fn commit(&self, writes: &[Write]) -> kit::Result<()> {
        let writes: Vec<_> = writes.iter().map(|write| write.to_json(&self.root)).collect();
        self.post(None, "commit", &json!({ "writes": writes })).await.map(drop)
    }

    /// Writes each by itself, and says of each what became of it. No two of them are of one document.
    pub(super) async fn apply(&self, writes: &[Write]) -> kit::Result<Vec<Code>> {
        let mut codes = Vec::with_capacity(writes.len());
        for writes in writes.chunks(MOST_WRITES) {
            let writes: Vec<_> = writes.iter().map(|write| write.to_json(&self.root)).collect();
            let answer = self.post(None, "batchWrite", &json!({ "writes": writes })).await?;
            let told = answer["status"].as_array().map(Vec::as_slice).unwrap_or_default();
            if told.len() != writes.len() {
                return Err(internal(anyhow!("{} answers to {} writes", told.len(), writes.len())));
            }
            codes.extend(told.iter().map(|status| Code::from_i32(status["code"].as_i64().unwrap_or_default() as i32)));
        }
        Ok(codes)
    }

    /// Those of these documents that exist, in any order.
    pub(super) async fn get(&self, paths: &[String], fields: &[&str]) -> kit::Result<Vec<Document>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = paths.iter().map(|path| format!("{}/{path}", self.root)).collect();
        let request = json!({ "documents": names, "mask": { "fieldPaths": fields } });
        let answer = self.post(None, "batchGet", &request).await?;
        self.documents(&answer, "found")
    }

    pub(super) async fn query(&self, query: &Query<'_>) -> kit::Result<Vec<Document>> {
        let field = |name: &str| json!({ "fieldPath": name });
        let mut structured = json!({
            "select": { "fields": query.fields.iter().copied().map(field).collect::<Vec<_>>() },
            "from": [{ "collectionId": query.collection, "allDescendants": query.anywhere }],
            "limit": query.limit,
        });
        let filters = query.filters.iter().map(|(name, filter, value)| {
            let op = match filter {
                Filter::Is => "EQUAL",
                Filter::AtLeast => "GREATER_THAN_OR_EQUAL",
                Filter::AtMost => "LESS_THAN_OR_EQUAL",
            };
            json!({ "fieldFilter": { "field": field(name), "op": op, "value": value.to_json() } })
        });
        let filters: Vec<_> = filters.collect();
        if !filters.is_empty() {
            structured["where"] = json!({ "compositeFilter": { "op": "AND", "filters": filters } });
        }
        if let Some(order) = query.order {
            let by = [order, "__name__"].map(|name| json!({ "field": field(name), "direction": "ASCENDING" }));
            structured["orderBy"] = json!(by);
        }
        if let Some((at, path)) = &query.after {
            let place = [Value::Timestamp(*at), Value::Reference(format!("{}/{path}", self.root))];
            structured["startAt"] = json!({ "values": place.each_ref().map(Value::to_json), "before": false });
        }
        let answer = self.post(query.parent, "runQuery", &json!({ "structuredQuery": structured })).await?;
        self.documents(&answer, "document")
    }

    /// The documents in a list of answers, each under `key`.
    fn documents(&self, answer: &Json, key: &str) -> kit::Result<Vec<Document>> {
        let answers = answer.as_array().ok_or_else(|| internal(anyhow!("Firestore's answer is no list")))?;
        let mut documents = Vec::new();
        for told in answers.iter().filter_map(|answer| answer.get(key)) {
            let path = told["name"].as_str().and_then(|name| name.strip_prefix(&self.root)?.strip_prefix('/'));
            documents.push(Document {
                path: path.ok_or_else(|| internal(anyhow!("a document without a name")))?.to_owned(),
                fields: from_json(&told["fields"]),
                update_time: told["updateTime"].as_str().unwrap_or_default().to_owned(),
            });
        }
        Ok(documents)
    }

    async fn post(&self, parent: Option<[&str; 2]>, method: &str, body: &Json) -> kit::Result<Json> {
        let mut url = self.url.clone();
        {
            let mut path = url.path_segments_mut().map_err(|()| internal(anyhow!("FIRESTORE_URL has no path")))?;
            path.pop_if_empty().push("v1").extend(self.root.split('/'));
            match parent {
                Some([collection, id]) => path.push(collection).push(&format!("{id}:{method}")),
                None => path.pop().push(&format!("documents:{method}")),
            };
        }
        self.google.call(Method::POST, url, Some(body)).await
    }
}
