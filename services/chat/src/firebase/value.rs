//! Firestore's values, documents and writes, and how they look in its JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value as Json, json};

/// A value of a field. Bytes, places and whatever comes later are `Other`: nothing here reads or writes them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Timestamp(DateTime<Utc>),
    Text(String),
    /// A document by its full name.
    Reference(String),
    Array(Vec<Value>),
    Map(Fields),
    Other,
}

/// Fields by name.
pub(super) type Fields = BTreeMap<String, Value>;

impl Value {
    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Null | Self::Other => json!({ "nullValue": null }),
            Self::Boolean(it) => json!({ "booleanValue": it }),
            // 64 bits are more than JSON's numbers keep.
            Self::Integer(it) => json!({ "integerValue": it.to_string() }),
            Self::Double(it) => json!({ "doubleValue": it }),
            Self::Timestamp(at) => json!({ "timestampValue": at.to_rfc3339_opts(SecondsFormat::Micros, true) }),
            Self::Text(it) => json!({ "stringValue": it }),
            Self::Reference(it) => json!({ "referenceValue": it }),
            Self::Array(items) => {
                json!({ "arrayValue": { "values": items.iter().map(Self::to_json).collect::<Vec<_>>() } })
            }
            Self::Map(fields) => json!({ "mapValue": { "fields": to_json(fields) } }),
        }
    }

    /// What is not understood is `Other`: documents are written by anybody.
    pub(super) fn from_json(json: &Json) -> Self {
        let Some((kind, it)) = json.as_object().and_then(|object| object.iter().next()) else { return Self::Other };
        let text = || it.as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "nullValue" => Some(Self::Null),
            "booleanValue" => it.as_bool().map(Self::Boolean),
            "integerValue" => it.as_str().and_then(|it| it.parse().ok()).or(it.as_i64()).map(Self::Integer),
            "doubleValue" => it.as_f64().map(Self::Double),
            "timestampValue" => DateTime::parse_from_rfc3339(&text()).ok().map(|at| Self::Timestamp(at.to_utc())),
            "stringValue" => Some(Self::Text(text())),
            "referenceValue" => Some(Self::Reference(text())),
            "arrayValue" => {
                let items = it["values"].as_array().map(Vec::as_slice).unwrap_or_default();
                Some(Self::Array(items.iter().map(Self::from_json).collect()))
            }
            "mapValue" => Some(Self::Map(from_json(&it["fields"]))),
            _ => None,
        }
        .unwrap_or(Self::Other)
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn timestamp(&self) -> Option<DateTime<Utc>> {
        if let Self::Timestamp(at) = self { Some(*at) } else { None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(it: bool) -> Self {
        Self::Boolean(it)
    }
}

impl From<i64> for Value {
    fn from(it: i64) -> Self {
        Self::Integer(it)
    }
}

impl From<DateTime<Utc>> for Value {
    fn from(at: DateTime<Utc>) -> Self {
        Self::Timestamp(at)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(it: Option<T>) -> Self {
        it.map_or(Self::Null, Into::into)
    }
}

pub(super) fn to_json(fields: &Fields) -> Json {
    Json::Object(fields.iter().map(|(name, value)| (name.clone(), value.to_json())).collect::<Map<_, _>>())
}

pub(super) fn from_json(json: &Json) -> Fields {
    let Some(fields) = json.as_object() else { return Fields::new() };
    fields.iter().map(|(name, value)| (name.clone(), Value::from_json(value))).collect()
}

/// `fields! { "text": text, "read": false }`
macro_rules! fields {
    ($($name:literal: $value:expr),* $(,)?) => {
        $crate::firebase::value::Fields::from([$(($name.to_owned(), $crate::firebase::value::Value::from($value))),*])
    };
}
pub(super) use fields;

/// A document, by its path below the database's root.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) path: String,
    pub(super) fields: Fields,
    /// Changes with every write.
    pub(super) update_time: String,
}

impl Document {
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.text()
    }
}

/// What is written to a document.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) path: String,
    fields: Fields,
    /// The fields that change; all, if there is none.
    mask: Option<Vec<&'static str>>,
    exists: Option<bool>,
    transforms: Vec<Json>,
}

impl Write {
    /// A new document. There must be none.
    pub(super) fn create(path: String, fields: Fields) -> Self {
        Self { path, fields, mask: None, exists: Some(false), transforms: Vec::new() }
    }

    /// These fields of a document, which must exist. A mask names fields within a map by their path.
    pub(super) fn update(path: String, fields: Fields, mask: &[&'static str]) -> Self {
        Self { path, fields, mask: Some(mask.to_vec()), exists: Some(true), transforms: Vec::new() }
    }

    /// Whether it exists or not.
    pub(super) fn or_create(self) -> Self {
        Self { exists: None, ..self }
    }

    /// A field that is missing counts from zero, and is there afterwards.
    pub(super) fn increment(mut self, field: &'static str, by: i64) -> Self {
        self.transforms.push(json!({ "fieldPath": field, "increment": Value::Integer(by).to_json() }));
        self
    }

    /// The moment at which Firestore writes it.
    pub(super) fn stamp(mut self, field: &'static str) -> Self {
        self.transforms.push(json!({ "fieldPath": field, "setToServerValue": "REQUEST_TIME" }));
        self
    }

    pub(super) fn to_json(&self, root: &str) -> Json {
        let mut write =
            json!({ "update": { "name": format!("{root}/{}", self.path), "fields": to_json(&self.fields) } });
        if let Some(mask) = &self.mask {
            write["updateMask"] = json!({ "fieldPaths": mask });
        }
        if let Some(exists) = self.exists {
            write["currentDocument"] = json!({ "exists": exists });
        }
        if !self.transforms.is_empty() {
            write["updateTransforms"] = Json::Array(self.transforms.clone());
        }
        write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_there_and_back() {
        let at = DateTime::from_timestamp_micros(1_772_366_400_123_456).unwrap();
        let fields = fields! {
            "text": "año", "read": false, "count": i64::MAX, "at": at, "nothing": None::<&str>,
            "ids": Value::Array(vec!["a".into(), 1.into()]), "map": Value::Map(fields! { "x": 0 }),
            "ratio": Value::Double(0.5), "of": Value::Reference("projects/p".into()),
        };
        assert_eq!(from_json(&to_json(&fields)), fields);
        assert_eq!(fields["count"].to_json(), json!({ "integerValue": "9223372036854775807" }));
        assert_eq!(fields["at"].to_json(), json!({ "timestampValue": "2026-03-01T12:00:00.123456Z" }));
    }

    #[test]
    fn what_anybody_writes_is_read_without_a_fault() {
        for strange in [
            json!({}),
            json!(null),
            json!({ "timestampValue": "yesterday" }),
            json!({ "integerValue": "x" }),
            json!({ "bytesValue": "AA==" }),
            json!({ "geoPointValue": { "latitude": 1 } }),
            json!({ "doubleValue": "NaN" }),
        ] {
            assert_eq!(Value::from_json(&strange), Value::Other, "{strange}");
        }
        assert_eq!(Value::from_json(&json!({ "arrayValue": {} })), Value::Array(Vec::new()));
    }
}
