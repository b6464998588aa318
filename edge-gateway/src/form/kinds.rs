//! The types of field: what their values look like, and how the document shows them.

use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use uuid::Uuid;

use super::{Field, Habits, Kind, Wrong, python_type};

pub(super) fn typed(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

pub struct Text {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) secret: bool,
    pub(super) blank: bool,
}

impl Field<'_, Text> {
    /// At least so many characters.
    pub fn min(mut self, characters: usize) -> Self {
        self.kind.min = characters;
        self
    }

    /// At most so many characters.
    pub fn max(mut self, characters: usize) -> Self {
        self.kind.max = characters;
        self
    }

    /// A password: spaces at its ends belong to it.
    pub fn secret(mut self) -> Self {
        self.kind.secret = true;
        self
    }

    /// May be the empty text.
    pub fn blank(mut self) -> Self {
        self.kind.blank = true;
        self
    }
}

impl Kind for Text {
    type Value = String;
    const TEXT: bool = true;

    fn json(&self, value: Value, habits: Habits) -> Result<String, Wrong> {
        match value {
            Value::String(text) => self.text(text),
            Value::Number(number) if habits == Habits::Django => self.text(number.to_string()),
            _ => Err(Wrong::NotText),
        }
    }

    fn text(&self, mut text: String) -> Result<String, Wrong> {
        if text.contains('\0') {
            return Err(Wrong::NulCharacter);
        }
        if !self.secret {
            let trimmed = text.trim();
            if trimmed.len() != text.len() {
                text = trimmed.to_owned();
            }
        }
        let length = || text.chars().count();
        if text.is_empty() && !self.blank {
            Err(Wrong::Blank)
        } else if self.min > 0 && length() < self.min && !text.is_empty() {
            Err(Wrong::TooShort(self.min))
        } else if text.len() > self.max && length() > self.max {
            Err(Wrong::TooLong(self.max))
        } else {
            Ok(text)
        }
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotText
    }

    fn schema(&self) -> Schema {
        let least = self.min.max(usize::from(!self.blank));
        let text = typed(Type::String)
            .min_length((least > 0).then_some(least))
            .max_length((self.max < usize::MAX).then_some(self.max));
        if self.secret { text.format(Some(SchemaFormat::KnownFormat(KnownFormat::Password))) } else { text }.into()
    }
}

pub struct Integer {
    pub(super) least: i64,
    pub(super) most: i64,
}

impl Field<'_, Integer> {
    pub fn between(mut self, least: i64, most: i64) -> Self {
        self.kind = Integer { least, most };
        self
    }

    pub fn at_least(mut self, least: i64) -> Self {
        self.kind.least = least;
        self
    }
}

impl Integer {
    fn check(&self, value: i64) -> Result<i64, Wrong> {
        if value < self.least {
            Err(Wrong::AtLeast(self.least.to_string()))
        } else if value > self.most {
            Err(Wrong::AtMost(self.most.to_string()))
        } else {
            Ok(value)
        }
    }
}

impl Kind for Integer {
    type Value = i64;

    fn json(&self, value: Value, _: Habits) -> Result<i64, Wrong> {
        match value {
            Value::String(text) => self.text(text),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => self.check(whole),
                // 12.0 is a whole number; so is nothing beyond what a double counts exactly.
                (_, Some(float)) if float.fract() == 0.0 && float.abs() < 9.0e15 => self.check(float as i64),
                _ => Err(Wrong::NotInteger),
            },
            _ => Err(Wrong::NotInteger),
        }
    }

    fn text(&self, text: String) -> Result<i64, Wrong> {
        let text = text.trim();
        let whole = text.trim_end_matches('0').strip_suffix('.').unwrap_or(text);
        whole.parse().map_err(|_| Wrong::NotInteger).and_then(|value| self.check(value))
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotInteger
    }

    fn schema(&self) -> Schema {
        typed(Type::Integer)
            .minimum((self.least > i64::MIN).then_some(self.least as isize))
            .maximum((self.most < i64::MAX).then_some(self.most as isize))
            .into()
    }
}

pub struct Number {
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Field<'_, Number> {
    pub fn between(mut self, least: f64, most: f64) -> Self {
        self.kind = Number { least, most };
        self
    }
}

impl Number {
    fn check(&self, value: f64) -> Result<f64, Wrong> {
        if !value.is_finite() {
            Err(Wrong::NotNumber)
        } else if value < self.least {
            Err(Wrong::AtLeast(self.least.to_string()))
        } else if value > self.most {
            Err(Wrong::AtMost(self.most.to_string()))
        } else {
            Ok(value)
        }
    }
}

impl Kind for Number {
    type Value = f64;
    const EMPTY_IS_NULL: bool = true;

    fn json(&self, value: Value, _: Habits) -> Result<f64, Wrong> {
        match value {
            Value::String(text) => self.text(text),
            Value::Number(number) => number.as_f64().ok_or(Wrong::NotNumber).and_then(|value| self.check(value)),
            _ => Err(Wrong::NotNumber),
        }
    }

    fn text(&self, text: String) -> Result<f64, Wrong> {
        text.trim().parse().map_err(|_| Wrong::NotNumber).and_then(|value| self.check(value))
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotNumber
    }

    fn schema(&self) -> Schema {
        typed(Type::Number)
            .minimum((self.least > f64::MIN).then_some(self.least))
            .maximum((self.most < f64::MAX).then_some(self.most))
            .into()
    }
}

pub struct Boolean;

impl Kind for Boolean {
    type Value = bool;

    fn json(&self, value: Value, _: Habits) -> Result<bool, Wrong> {
        match value {
            Value::Bool(value) => Ok(value),
            Value::String(text) => self.text(text),
            Value::Number(number) => match number.as_i64() {
                Some(1) => Ok(true),
                Some(0) => Ok(false),
                _ => Err(Wrong::NotBoolean),
            },
            _ => Err(Wrong::NotBoolean),
        }
    }

    fn text(&self, text: String) -> Result<bool, Wrong> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
            _ => Err(Wrong::NotBoolean),
        }
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotBoolean
    }

    fn schema(&self) -> Schema {
        typed(Type::Boolean).into()
    }
}

pub struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + Default> Kind for Choice<T> {
    type Value = T;
    const EMPTY_IS_NULL: bool = true;

    fn json(&self, value: Value, _: Habits) -> Result<T, Wrong> {
        match value {
            Value::String(text) => self.text(text),
            other => Err(self.not_among(other.to_string())),
        }
    }

    fn text(&self, text: String) -> Result<T, Wrong> {
        match self.0.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => Err(self.not_among(text)),
        }
    }

    fn wrong_type(&self) -> Wrong {
        self.not_among("null".to_owned())
    }

    fn schema(&self) -> Schema {
        typed(Type::String).enum_values(Some(self.0.iter().map(|(word, _)| *word))).into()
    }
}

impl<T> Choice<T> {
    fn not_among(&self, mut value: String) -> Wrong {
        // It is echoed in the answer, so it shall not be long.
        value.truncate(value.floor_char_boundary(100));
        Wrong::NotAChoice { value, choices: self.0.iter().map(|(word, _)| *word).collect() }
    }
}

pub struct Key;

impl Kind for Key {
    type Value = i64;

    fn json(&self, value: Value, _: Habits) -> Result<i64, Wrong> {
        match value {
            Value::String(text) => self.text(text),
            Value::Number(ref number) => number.as_i64().ok_or(Wrong::NotAKey(python_type(&value))),
            other => Err(Wrong::NotAKey(python_type(&other))),
        }
    }

    fn text(&self, text: String) -> Result<i64, Wrong> {
        // Django takes the empty text for none.
        if text.is_empty() {
            return Err(Wrong::Null);
        }
        text.trim().parse().map_err(|_| self.wrong_type())
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotAKey("str")
    }

    fn schema(&self) -> Schema {
        typed(Type::Integer).into()
    }
}

pub struct Id;

impl Kind for Id {
    type Value = Uuid;

    fn json(&self, value: Value, _: Habits) -> Result<Uuid, Wrong> {
        match value {
            Value::String(text) => self.text(text),
            _ => Err(Wrong::NotUuid),
        }
    }

    fn text(&self, text: String) -> Result<Uuid, Wrong> {
        Uuid::try_parse(text.trim()).map_err(|_| Wrong::NotUuid)
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotUuid
    }

    fn schema(&self) -> Schema {
        typed(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).into()
    }
}

/// A whole number that names something.
pub struct Reference(pub(super) Integer);

impl Kind for Reference {
    type Value = i64;
    const EMPTY_IS_NULL: bool = true;

    fn json(&self, value: Value, habits: Habits) -> Result<i64, Wrong> {
        self.0.json(value, habits)
    }

    fn text(&self, text: String) -> Result<i64, Wrong> {
        self.0.text(text)
    }

    fn wrong_type(&self) -> Wrong {
        self.0.wrong_type()
    }

    fn schema(&self) -> Schema {
        self.0.schema()
    }
}

/// Whatever it is.
pub struct Anything;

impl Kind for Anything {
    type Value = Value;
    const TEXT: bool = true;

    fn json(&self, value: Value, _: Habits) -> Result<Value, Wrong> {
        Ok(value)
    }

    fn text(&self, text: String) -> Result<Value, Wrong> {
        Ok(Value::String(text))
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotText
    }

    fn schema(&self) -> Schema {
        ObjectBuilder::new().schema_type(SchemaType::AnyValue).into()
    }
}

pub struct List<K> {
    pub(super) item: K,
    pub(super) most: usize,
    pub(super) lenient: bool,
    pub(super) by_place: bool,
}

impl<K> Field<'_, List<K>> {
    /// At most so many items.
    pub fn max_items(mut self, most: usize) -> Self {
        self.kind.most = most;
        self
    }

    /// A single value is a list of one, and nulls are left out.
    pub fn lenient(mut self) -> Self {
        self.kind.lenient = true;
        self
    }

    /// Faults name the items they are about.
    pub fn by_place(mut self) -> Self {
        self.kind.by_place = true;
        self
    }
}

impl<K: Kind> List<K> {
    fn all(&self, items: impl Iterator<Item = Result<K::Value, Wrong>>) -> Result<Vec<K::Value>, Wrong> {
        if !self.by_place {
            return items.collect();
        }
        let (mut values, mut faults) = (Vec::new(), Vec::new());
        for (place, item) in items.enumerate() {
            match item {
                Ok(value) => values.push(value),
                Err(wrong) => faults.push((place, wrong)),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(Wrong::Items(faults)) }
    }
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;
    const LIST: bool = true;

    fn json(&self, value: Value, habits: Habits) -> Result<Self::Value, Wrong> {
        match value {
            Value::Array(mut items) if self.lenient && items.iter().any(Value::is_null) => {
                items.retain(|item| !item.is_null());
                self.json(Value::Array(items), habits)
            }
            Value::Array(items) if items.len() > self.most => Err(Wrong::TooMany(self.most)),
            Value::Number(_) | Value::String(_) if self.lenient => Ok(vec![self.item.json(value, habits)?]),
            Value::Array(items) => self.all(items.into_iter().map(|item| self.item.json(item, habits))),
            other => Err(Wrong::NotAList(python_type(&other))),
        }
    }

    fn text(&self, text: String) -> Result<Self::Value, Wrong> {
        self.texts(vec![text])
    }

    /// A form sends a list as JSON text or as words with commas between, or item by item.
    fn texts(&self, texts: Vec<String>) -> Result<Self::Value, Wrong> {
        let items = texts.iter().map(|text| text.trim().trim_start_matches('[').trim_end_matches(']'));
        let items: Vec<_> =
            items.flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty()).collect();
        if items.len() > self.most {
            return Err(Wrong::TooMany(self.most));
        }
        self.all(items.into_iter().map(|item| self.item.text(item.to_owned())))
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotAList("str")
    }

    fn schema(&self) -> Schema {
        ArrayBuilder::new().items(RefOr::T(self.item.schema())).max_items(Some(self.most)).into()
    }
}
