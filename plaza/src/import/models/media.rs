//! Files: what was said of them, not their bytes.

use serde::Deserialize;
use serde_json::Value;

use super::marketplace::Price;
use super::{File, Moment, Text};

#[derive(Deserialize)]
pub(crate) struct Media {
    #[serde(default)]
    pub(crate) name: Option<Text>,
    #[serde(default)]
    pub(crate) description: Option<Text>,
    #[serde(default = "free")]
    pub(crate) price: Price,
    #[serde(default)]
    pub(crate) url: Text,
    pub(crate) created_at: Moment,
    /// Of the profile that shows it, if it says so itself: a number, or with `--natural-foreign` the app and the model.
    #[serde(default)]
    pub(crate) content_type: Value,
    #[serde(default)]
    pub(crate) object_id: File,
}

fn free() -> Price {
    Price(None)
}
