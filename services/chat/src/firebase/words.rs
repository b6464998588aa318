//! What a message says there, and what stands in its place.

use super::value::{Fields, Value, Write, fields};
use crate::contact::Kind;
use crate::moderation::CENSORED;
use crate::send::LONGEST;

/// Whom notices of the platform are from. No person has this id, so pages show them as somebody else's on both sides.
pub(super) const SYSTEM: (&str, &str) = ("system", "Sistema");

const DELETED: &str = "🚫 Mensaje eliminado";
const IMAGE: &str = "📷 Imagen";
const FILE: &str = "📎 Archivo";
const VOICE: &str = "🎤 Mensaje de voz";

/// What a stored message says there. A file is told and not shown: the page knows pictures only as data of its own.
pub(super) fn shown(text: &str, kind: &str, deleted: bool) -> String {
    match kind {
        _ if deleted => DELETED,
        _ if !text.trim().is_empty() => text,
        "IMAGE" => IMAGE,
        "VOICE" => VOICE,
        _ => FILE,
    }
    .to_owned()
}

/// What a document's text and type say here: nothing, if it says nothing. Pictures stay where they are; longer texts
/// than ours may be are cut.
pub(super) fn taken(text: Option<&str>, kind: Option<&str>) -> Option<String> {
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return match kind {
            Some("image") => Some(IMAGE.to_owned()),
            Some("file") => Some(FILE.to_owned()),
            _ => None,
        };
    }
    // No database of ours can hold them.
    Some(text.chars().filter(|c| *c != '\0').take(LONGEST).collect())
}

/// What a document says of a text that was taken away. The page prints the text alone; the rest is as the function that
/// moderated before wrote it.
fn censoring(original: &str, told: &[Kind]) -> (Fields, Vec<&'static str>) {
    let has = |kinds: &[Kind]| Value::Boolean(told.iter().any(|kind| kinds.contains(kind)));
    let reasons = fields! {
        "phone": has(&[Kind::Phone]), "email": has(&[Kind::Email]), "social": has(&[Kind::Link, Kind::Handle]),
    };
    let fields = fields! {
        "text": CENSORED, "censored": true, "originalTextHash": hash(original), "censorReasons": Value::Map(reasons),
    };
    (fields, vec!["text", "censored", "originalTextHash", "censorReasons"])
}

/// Takes a document's text away.
pub(super) fn censor(path: &str, original: &str, told: &[Kind]) -> Write {
    let (fields, mask) = censoring(original, told);
    Write::update(path.to_owned(), fields, &mask).stamp("censoredAt")
}

/// The same for a node of the Realtime Database, as paths below it.
pub(super) fn censor_node(original: &str, told: &[Kind]) -> serde_json::Value {
    let has = |kinds: &[Kind]| told.iter().any(|kind| kinds.contains(kind));
    serde_json::json!({
        "text": CENSORED, "censored": true, "censoredAt": { ".sv": "timestamp" }, "originalTextHash": hash(original),
        "censorReasons": {
            "phone": has(&[Kind::Phone]), "email": has(&[Kind::Email]), "social": has(&[Kind::Link, Kind::Handle]),
        },
    })
}

/// The rolling hash of the function that moderated before: over UTF-16, 32 bits, in hexadecimal.
fn hash(text: &str) -> String {
    let hash = text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    format!("{hash:x}")
}

/// Ids that chats, messages and people have there. Others are not the frontend's, and rules refuse them.
pub(super) fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && !id.starts_with("__")
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_before() {
        assert_eq!(hash(""), "0");
        // JavaScript: [..."hola"].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 0)
        assert_eq!(hash("hola"), format!("{:x}", (((104u32 * 31 + 111) * 31) + 108) * 31 + 97));
        assert_eq!(hash("😀"), format!("{:x}", 0xd83du32 * 31 + 0xde00));
    }

    #[test]
    fn pictures_without_words_and_files_are_told() {
        assert_eq!(taken(Some(" "), Some("image")).as_deref(), Some(IMAGE));
        assert_eq!(taken(Some("mi patio"), Some("image")).as_deref(), Some("mi patio"));
        assert_eq!(taken(None, Some("text")), None);
        assert_eq!(taken(Some("a\0b"), None).as_deref(), Some("ab"));
        assert_eq!(taken(Some(&"ñ".repeat(9_000)), None).map(|text| text.chars().count()), Some(LONGEST));
        assert_eq!(shown("", "IMAGE", false), IMAGE);
        assert_eq!(shown("hola", "TEXT", true), DELETED);
    }

    #[test]
    fn ids_are_those_of_the_frontend() {
        assert!(is_id("-Oabc_19") && is_id("0198c5f0-0000-7000-8000-000000000000"));
        assert!(!is_id("") && !is_id("a/b") && !is_id("__x__") && !is_id("..") && !is_id(&"a".repeat(129)));
    }
}
