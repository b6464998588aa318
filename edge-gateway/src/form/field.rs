//! How a field is read: what its last call makes of a value, of null and of nothing.

use serde_json::Value;
use utoipa::openapi::schema::Schema;

use super::{Fields, Given, Habits, Source, Wrong};

/// A field that is about to be read. The last call says whether it must be there.
pub struct Field<'f, K> {
    pub(super) fields: &'f mut Fields,
    pub(super) name: &'static str,
    pub(super) kind: K,
    pub(super) described: &'static str,
}

impl<K: Kind> Field<'_, K> {
    /// One sentence for the document.
    pub fn describe(mut self, text: &'static str) -> Self {
        self.described = text;
        self
    }

    /// Must be there and not null.
    pub fn required(self) -> K::Value {
        let Self { fields, name, kind, described } = self;
        fields.note(name, described, true, false, || kind.schema());
        if fields.sketching() {
            return K::Value::default();
        }
        match fields.take(name, K::LIST) {
            Given::Absent => fields.fault(name, Wrong::Required),
            // Pydantic has no word for null: it is just a value of the wrong type.
            Given::Null if fields.habits == Habits::Pydantic => fields.fault(name, kind.wrong_type()),
            Given::Null => fields.fault(name, Wrong::Null),
            given => return Self::parse(fields, name, &kind, given).unwrap_or_default(),
        }
        K::Value::default()
    }

    /// May be left out; null counts as left out where the dialect sees it so, and so does what stays empty in a form of
    /// Django's, unless the empty text is a value itself.
    pub fn optional(self) -> Option<K::Value> {
        self.maybe(true)
    }

    /// `unfilled`: whether what stays empty in a form may be left out.
    fn maybe(self, unfilled: bool) -> Option<K::Value> {
        let unfilled = unfilled && self.fields.habits == Habits::Django && !K::TEXT;
        let Self { fields, name, kind, described } = self;
        fields.note(name, described, false, false, || kind.schema());
        match fields.take(name, K::LIST) {
            Given::Absent => None,
            Given::Null if fields.habits == Habits::Pydantic => None,
            Given::Null => {
                fields.fault(name, Wrong::Null);
                None
            }
            Given::Text(text) if unfilled && text.is_empty() => None,
            given => Self::parse(fields, name, &kind, given),
        }
    }

    /// Like `optional` on PATCH and POST, but a PUT must bring it.
    pub fn required_on_put(self) -> Option<K::Value> {
        if self.fields.put && !self.fields.has(self.name) {
            self.fields.fault(self.name, Wrong::Required);
            return None;
        }
        self.maybe(false)
    }

    /// May be left out, and may be null, which is something else: `Some(None)`.
    pub fn nullable(self) -> Option<Option<K::Value>> {
        let Self { fields, name, kind, described } = self;
        fields.note(name, described, false, true, || kind.schema());
        match fields.take(name, K::LIST) {
            Given::Absent => None,
            Given::Null => Some(None),
            // A form cannot say null, so an empty value says it, unless the empty text is a value itself.
            Given::Text(text) if text.is_empty() && !K::TEXT => Some(None),
            Given::Json(Value::String(text)) if text.is_empty() && K::EMPTY_IS_NULL => Some(None),
            given => Self::parse(fields, name, &kind, given).map(Some),
        }
    }

    /// One of those of this name in a form, from the first on; nothing when none is left.
    pub fn first(self) -> Option<K::Value> {
        let Self { fields, name, kind, described } = self;
        fields.note(name, described, false, false, || kind.schema());
        let at = match &fields.source {
            Source::Pairs { texts, .. } => texts.iter().position(|(n, _)| n == name)?,
            _ => return None,
        };
        let Source::Pairs { texts, .. } = &mut fields.source else { return None };
        let (_, text) = texts.remove(at);
        Self::parse(fields, name, &kind, Given::Text(text))
    }

    /// May be left out; then it is `value`.
    pub fn or(self, value: K::Value) -> K::Value {
        self.optional().unwrap_or(value)
    }

    fn parse(fields: &mut Fields, name: &'static str, kind: &K, given: Given) -> Option<K::Value> {
        let parsed = match given {
            Given::Json(value) => kind.json(value, fields.habits),
            Given::Text(text) => kind.text(text),
            Given::Texts(texts) => kind.texts(texts),
            Given::File => Err(kind.wrong_type()),
            Given::Absent | Given::Null => return None,
        };
        parsed.map_err(|wrong| fields.fault(name, wrong)).ok()
    }
}

/// A type of field: how its values are read and how the document shows it.
pub trait Kind {
    type Value: Default;
    /// The empty text is a value rather than nothing.
    const TEXT: bool = false;
    /// In JSON too the empty text means null.
    const EMPTY_IS_NULL: bool = false;
    /// A form may have several fields of one name for it.
    const LIST: bool = false;

    fn json(&self, value: Value, habits: Habits) -> Result<Self::Value, Wrong>;
    /// A value that arrived as text, from a form or inside a JSON string.
    fn text(&self, text: String) -> Result<Self::Value, Wrong>;
    /// Several texts; only lists are asked.
    fn texts(&self, _: Vec<String>) -> Result<Self::Value, Wrong> {
        Err(self.wrong_type())
    }
    /// The fault of a value of another type.
    fn wrong_type(&self) -> Wrong;
    fn schema(&self) -> Schema;
}
