//! What a client calls its message. Clients may use any JSON value, `chat` keeps a text, so what is no text is written
//! as JSON. Messages without a name get one from the edge, which lets it send them again when a stream breaks, and which
//! no client sees.

use serde_json::Value;
use uuid::Uuid;

/// What `chat` takes.
const LONGEST: usize = 200;
/// From here on a fraction has no digits behind its point, so it was a whole number.
const EXACT: f64 = (1u64 << 53) as f64;
const JSON: &str = "json:";
const OURS: &str = "edge:";

/// The name is longer than `chat` takes.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// The name as `chat` keeps it; empty for none.
pub fn kept(name: Option<&Value>) -> Result<String, TooLong> {
    let name = match name {
        // An empty field of a form is no name, and must not make all messages one.
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        // Whole numbers beyond 64 bits have lost digits, so that two would be one.
        Some(Value::Number(number)) if number.as_f64().is_some_and(|n| number.is_f64() && n.abs() >= EXACT) => {
            return Err(TooLong);
        }
        Some(Value::String(text)) if !text.starts_with(JSON) && !text.starts_with(OURS) => text.clone(),
        Some(other) => format!("{JSON}{other}"),
    };
    if name.chars().count() > LONGEST { Err(TooLong) } else { Ok(name) }
}

/// The name as its client wrote it.
pub fn shown(kept: &str) -> Option<Value> {
    if kept.is_empty() || kept.starts_with(OURS) {
        return None;
    }
    match kept.strip_prefix(JSON) {
        Some(json) => serde_json::from_str(json).ok(),
        None => Some(Value::String(kept.to_owned())),
    }
}

/// A name for a message that has none.
pub fn make() -> String {
    format!("{OURS}{}", Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_comes_back_as_it_was() {
        for name in [
            json!("cmsg_1"),
            json!(7),
            json!(9_007_199_254_740_993_i64),
            json!(u64::MAX),
            json!(0.5),
            json!(true),
            json!(["a", {"b": null}]),
            json!("json:1"),
            json!("edge:1"),
            json!("ñ".repeat(200)),
        ] {
            let kept = kept(Some(&name)).unwrap();
            assert_eq!(shown(&kept), Some(name), "{kept}");
        }
    }

    #[test]
    fn none_is_none_and_ours_is_nobodys() {
        for none in [None, Some(&Value::Null), Some(&json!(""))] {
            assert_eq!(kept(none), Ok(String::new()));
        }
        let large = serde_json::from_str("12345678901234567890123").unwrap();
        assert_eq!(kept(Some(&large)), Err(TooLong));
        assert_eq!((shown(""), shown(&make())), (None, None));
        assert_eq!(kept(Some(&json!("x".repeat(201)))), Err(TooLong));
    }
}
