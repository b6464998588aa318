//! Categories, ads and follows.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Degrees, File, Moment, Numbers, Ref, Text, Who};

#[derive(Deserialize)]
pub(crate) struct Category {
    pub(crate) name: Text,
    #[serde(default)]
    pub(crate) description: Option<Text>,
}

#[derive(Deserialize)]
pub(crate) struct Ad {
    #[serde(default, alias = "publisher_id")]
    pub(crate) publisher: Option<Who>,
    pub(crate) title: Text,
    #[serde(default)]
    pub(crate) description: Text,
    pub(crate) price: Price,
    #[serde(default, alias = "category_id")]
    pub(crate) category: Option<Ref>,
    pub(crate) condition: Text,
    #[serde(default)]
    pub(crate) location_name: Option<Text>,
    #[serde(default)]
    pub(crate) latitude: Option<Degrees>,
    #[serde(default)]
    pub(crate) longitude: Option<Degrees>,
    #[serde(default, alias = "main_image_id")]
    pub(crate) main_image: File,
    #[serde(default, alias = "secondary_image_ids")]
    pub(crate) secondary_images: Numbers,
    #[serde(default = "active")]
    pub(crate) status: Text,
    pub(crate) created_at: Moment,
    #[serde(default)]
    pub(crate) updated_at: Option<Moment>,
}

fn active() -> Text {
    Text("active".to_owned())
}

#[derive(Deserialize)]
pub(crate) struct Follow {
    #[serde(alias = "follower_id")]
    pub(crate) follower: Who,
    #[serde(alias = "following_id")]
    pub(crate) following: Who,
    pub(crate) created_at: Moment,
}

/// Hundredths of a decimal; nothing for what is none, or has more than two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price(pub(crate) Option<i64>);

impl Price {
    fn parse(text: &str) -> Option<i64> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let (part, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !decimal(whole) || !decimal(part) || rest.bytes().any(|byte| byte != b'0') {
            return None;
        }
        let hundredths: i64 = format!("{whole}{part:0<2}").parse().ok()?;
        Some(if negative { -hundredths } else { hundredths })
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_to_the_hundredth() {
        for (text, hundredths) in [
            ("1250.00", Some(125_000)),
            ("0", Some(0)),
            ("0.5", Some(50)),
            ("7.", Some(700)),
            ("12.340", Some(1_234)),
            ("-3.25", Some(-325)),
            ("9999999999.99", Some(999_999_999_999)),
            ("12.345", None),
            ("1e3", None),
            (".5", None),
            ("1.é", None),
            ("NaN", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(Price::parse(text), hundredths, "{text}");
        }
    }
}
