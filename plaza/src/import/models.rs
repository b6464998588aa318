//! The monolith's models as `dumpdata` writes them, and as the services take them. The microservices' copies of them,
//! whose fields end in `_id`, are read as well.

pub(crate) mod marketplace;
pub(crate) mod media;
pub(crate) mod people;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Ids are made of numbers below this.
const GREATEST: i64 = 1 << 47;

/// One object of a dump.
#[derive(Deserialize)]
pub(crate) struct Record {
    pub(crate) model: String,
    #[serde(default)]
    pub(crate) pk: Value,
    #[serde(default)]
    fields: Value,
}

impl Record {
    /// Python writes numbers that JSON does not have, such as a latitude that is none.
    pub(crate) fn read(object: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(object).or_else(|error| {
            let quoted = with_quoted_words(object);
            if quoted == object { Err(error) } else { serde_json::from_slice(&quoted) }
        })
    }

    /// The number of what it is.
    pub(crate) fn number(&self) -> Result<i64, String> {
        number(&self.pk).ok_or_else(|| format!("its pk {} is no positive number", self.pk))
    }

    pub(crate) fn fields<T: DeserializeOwned>(self) -> Result<T, String> {
        T::deserialize(self.fields).map_err(|error| error.to_string())
    }
}

/// The same with `NaN`, `Infinity` and `-Infinity` in quotes, wherever they are no text yet.
fn with_quoted_words(object: &[u8]) -> Vec<u8> {
    let (mut quoted, mut inside, mut at) = (Vec::with_capacity(object.len() + 8), false, 0);
    while at < object.len() {
        let rest = &object[at..];
        let word = [&b"NaN"[..], b"Infinity", b"-Infinity"].into_iter().find(|word| !inside && rest.starts_with(word));
        let taken = match word {
            Some(word) => {
                quoted.push(b'"');
                quoted.extend_from_slice(word);
                quoted.push(b'"');
                word.len()
            }
            None => {
                let length = if inside && rest[0] == b'\\' { rest.len().min(2) } else { 1 };
                inside ^= rest[0] == b'"';
                quoted.extend_from_slice(&rest[..length]);
                length
            }
        };
        at += taken;
    }
    quoted
}

fn number(value: &Value) -> Option<i64> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| (1..GREATEST).contains(number))
}

/// Somebody: by number, or, with `--natural-foreign`, by phone.
#[derive(Clone, Debug)]
pub(crate) struct Who(pub(crate) String);

impl Who {
    pub(crate) fn phone(phone: &str) -> String {
        phone.chars().filter(char::is_ascii_digit).collect()
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(number) = number(&value) {
            return Ok(Self(number.to_string()));
        }
        match value.as_array().map(Vec::as_slice) {
            Some([Value::String(phone)]) if !Self::phone(phone).is_empty() => {
                Ok(Self(format!("@{}", Self::phone(phone))))
            }
            _ => Err(D::Error::custom(format!("{value} is nobody: a number, or a list of one phone"))),
        }
    }
}

/// A reference to something by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ref(pub(crate) i64);

impl<'de> Deserialize<'de> for Ref {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        number(&value).map(Self).ok_or_else(|| D::Error::custom(format!("{value} is no positive number")))
    }
}

/// With its zone, or in UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) DateTime<Utc>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let naive = || {
            ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
                .iter()
                .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
                .map(|at| at.and_utc())
        };
        let zoned = DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc());
        let at = zoned.or_else(naive).filter(|at| (1970..10_000).contains(&chrono::Datelike::year(at)));
        at.map(Self).ok_or_else(|| D::Error::custom(format!("`{text}` is no time")))
    }
}

/// What PostgreSQL can keep of a text: all but NUL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        Ok(Self(if text.contains('\0') { text.replace('\0', "") } else { text }))
    }
}

/// A number, also where Python wrote a decimal, which is a text. What is none is NaN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Degrees(pub(crate) f64);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
            Value::String(text) => text.trim().parse().unwrap_or(f64::NAN),
            _ => f64::NAN,
        }))
    }
}

/// A list of numbers, or the JSON of one. What is no number is none of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(pub(crate) Vec<i64>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = match Value::deserialize(deserializer)? {
            Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
            other => other,
        };
        Ok(Self(list.as_array().into_iter().flatten().filter_map(number).collect()))
    }
}

/// The number of a file, or nothing where there is none: the microservices wrote zero for it, too.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct File(pub(crate) Option<i64>);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(number(&Value::deserialize(deserializer)?)))
    }
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
pub(crate) struct ContentType {
    pub(crate) app_label: String,
    pub(crate) model: String,
}

#[derive(Deserialize)]
pub(crate) struct Room {
    #[serde(default)]
    pub(crate) name: Text,
    #[serde(default, alias = "participants_ids")]
    pub(crate) participants: Vec<Who>,
    #[serde(default = "yes")]
    pub(crate) is_private: bool,
    pub(crate) created_at: Moment,
}

#[derive(Deserialize)]
pub(crate) struct Message {
    pub(crate) room: Ref,
    #[serde(alias = "sender_id")]
    pub(crate) sender: Who,
    #[serde(default)]
    pub(crate) content: Text,
    #[serde(default, alias = "media_id")]
    pub(crate) media: Option<Ref>,
    pub(crate) timestamp: Moment,
}

#[derive(Deserialize)]
pub(crate) struct Receipt {
    pub(crate) message: Ref,
    #[serde(alias = "user_id")]
    pub(crate) user: Who,
    #[serde(default)]
    pub(crate) delivered: bool,
    #[serde(default)]
    pub(crate) delivered_at: Option<Moment>,
    #[serde(default)]
    pub(crate) read: bool,
    #[serde(default)]
    pub(crate) read_at: Option<Moment>,
}

#[derive(Deserialize)]
pub(crate) struct Community {
    pub(crate) name: Text,
    pub(crate) slug: Text,
    #[serde(default)]
    pub(crate) short_description: Text,
    #[serde(default)]
    pub(crate) description: Text,
    #[serde(default)]
    pub(crate) cover_image: Text,
    #[serde(default)]
    pub(crate) avatar: Text,
    #[serde(default, alias = "created_by_id")]
    pub(crate) created_by: Option<Who>,
    #[serde(default, alias = "members_ids")]
    pub(crate) members: Vec<Who>,
    pub(crate) created_at: Moment,
}

#[derive(Deserialize)]
pub(crate) struct Post {
    #[serde(alias = "author_id")]
    pub(crate) author: Who,
    pub(crate) title: Text,
    #[serde(default)]
    pub(crate) content: Text,
    #[serde(default, alias = "media_id")]
    pub(crate) media: Option<Ref>,
    #[serde(default, alias = "community_id")]
    pub(crate) community: Option<Ref>,
    pub(crate) created_at: Moment,
    #[serde(default)]
    pub(crate) updated_at: Option<Moment>,
    #[serde(default)]
    pub(crate) views_count: i64,
    #[serde(default)]
    pub(crate) relevance_score: f64,
}

#[derive(Deserialize)]
pub(crate) struct Comment {
    #[serde(alias = "user_id")]
    pub(crate) user: Who,
    #[serde(alias = "post_id")]
    pub(crate) post: Ref,
    #[serde(default, alias = "parent_id")]
    pub(crate) parent: Option<Ref>,
    #[serde(default)]
    pub(crate) content: Text,
    #[serde(default, alias = "media_id")]
    pub(crate) media: Option<Ref>,
    pub(crate) created_at: Moment,
    #[serde(default)]
    pub(crate) updated_at: Option<Moment>,
}

#[derive(Deserialize)]
pub(crate) struct Reaction {
    #[serde(alias = "user_id")]
    pub(crate) user: Who,
    #[serde(default, rename = "type")]
    pub(crate) kind: Text,
    /// A number, or with `--natural-foreign` the app and the model.
    pub(crate) content_type: Value,
    pub(crate) object_id: Ref,
    pub(crate) created_at: Moment,
}

impl Reaction {
    /// `post` or `comment`, or the number that says which.
    pub(crate) fn on(&self) -> Result<String, String> {
        content_type(&self.content_type)
    }
}

/// The model of a content type, or the number that says which.
pub(crate) fn content_type(value: &Value) -> Result<String, String> {
    let named = match value {
        Value::Number(number) => Some(number.to_string()),
        Value::Array(names) => names.last().and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    named.ok_or_else(|| format!("{value} is no content type"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T: DeserializeOwned>(fields: Value) -> Result<T, String> {
        Record { model: String::new(), pk: json!(1), fields }.fields()
    }

    #[test]
    fn people_are_numbers_or_phones_and_times_have_zones_or_none() {
        let room: Room = read(json!({
            "participants_ids": [7, "9", ["+505 8888-0001"]], "created_at": "2025-11-30T22:00:00.5"
        }))
        .unwrap();
        let names: Vec<_> = room.participants.iter().map(|who| &*who.0).collect();
        assert_eq!((names, room.is_private), (vec!["7", "9", "@50588880001"], true));
        assert_eq!(room.created_at.0.to_rfc3339(), "2025-11-30T22:00:00.500+00:00");
        for (fields, what) in [
            (json!({ "participants": [null], "created_at": "2025-11-30T22:00:00Z" }), "null is nobody"),
            (json!({ "participants": [0], "created_at": "2025-11-30T22:00:00Z" }), "0 is nobody"),
            (json!({ "created_at": "yesterday" }), "`yesterday` is no time"),
            (json!({}), "missing field `created_at`"),
        ] {
            let error = read::<Room>(fields).err().unwrap();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_read_and_texts_stay_what_they_are() {
        let object =
            br#"{"model": "add.add", "fields": {"a": NaN, "b": "NaN \"-Infinity\\", "c": [-Infinity, Infinity]}}"#;
        let record = Record::read(object).unwrap();
        assert_eq!(record.fields, json!({ "a": "NaN", "b": "NaN \"-Infinity\\", "c": ["-Infinity", "Infinity"] }));
        let error = Record::read(br#"{"model": "NaN", "fields": {"a": nan}}"#).err().unwrap();
        assert!(error.to_string().contains("expected ident"), "{error}");
    }

    #[test]
    fn what_no_column_can_hold_is_left_out_of_texts() {
        let message: Message = read(json!({
            "room": 1, "sender": 2, "content": "a\u{0}b", "media": null, "timestamp": "2025-11-30T22:00:00+01:00"
        }))
        .unwrap();
        assert_eq!(
            (&*message.content.0, message.timestamp.0.to_rfc3339()),
            ("ab", "2025-11-30T21:00:00+00:00".to_owned())
        );
    }
}
