//! Reading what a client fills in: a JSON object, a form or a query string, field by field, with typed getters that
//! collect every fault instead of stopping at the first.
//!
//! A form is a struct and one function. The same function also draws the form's OpenAPI schema: called on a
//! sketch, the getters note what they ask for, so the document cannot differ from the code.
//!
//! ```text
//! struct Login { phone: String, password: String }
//!
//! impl Form for Login {
//!     fn read(f: &mut Fields) -> Self {
//!         Self { phone: f.text("phone_number").max(40).required(), password: f.text("password").secret().required() }
//!     }
//! }
//! ```
//!
//! A getter always returns a value; after a fault it is the type's default, and the extractor throws the form away.
//! Text is trimmed unless it is `secret`; a NUL character is a fault everywhere.

mod decimal;
mod fault;
mod field;
mod files;
mod kinds;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

pub use self::decimal::Decimal;
use self::decimal::DecimalOf;
pub use self::fault::{Fault, Wrong, python_type};
pub use self::field::{Field, Kind};
pub use self::files::FileField;
use self::kinds::{Anything, Boolean, Choice, Id, Integer, Key, List, Number, Reference, Text};
use crate::upload::File;

/// Something a client fills in.
pub trait Form: Sized + Send {
    /// Takes every field once, in the order the document shall list them.
    fn read(fields: &mut Fields) -> Self;
}

impl Form for () {
    fn read(_: &mut Fields) {}
}

/// Where two families of frameworks read the same bytes differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habits {
    /// Numbers pass for text; null is a fault unless the field says otherwise; an empty form value means null.
    Django,
    /// Only text is text; null means absent for everything optional.
    Pydantic,
}

/// Where the fields come from.
enum Source {
    Json(Map<String, Value>),
    Pairs {
        texts: Vec<(String, String)>,
        files: Vec<(String, File)>,
    },
    /// Nowhere: only what is asked for matters.
    Sketch(Box<Sketch>),
}

/// What getters ask for, in order.
#[derive(Default)]
struct Sketch {
    object: ObjectBuilder,
    files: bool,
}

/// What stands in a field.
enum Given {
    Absent,
    Null,
    Json(Value),
    /// From a form or a query string, where everything is text.
    Text(String),
    /// A list there, one by one.
    Texts(Vec<String>),
    File,
}

/// The fields of one body or query string, and the faults found in them so far.
pub struct Fields {
    source: Source,
    habits: Habits,
    put: bool,
    /// File fields that a browser sent without a file.
    unfilled: Vec<String>,
    faults: Vec<Fault>,
}

impl Fields {
    pub fn json(habits: Habits, object: Map<String, Value>) -> Self {
        Self::of(habits, Source::Json(object))
    }

    /// Of repeated names the last one counts, and of a list's name each.
    pub fn pairs(habits: Habits, texts: Vec<(String, String)>, files: Vec<(String, File)>) -> Self {
        Self::of(habits, Source::Pairs { texts, files })
    }

    /// Fields that only note what is asked for.
    fn sketch() -> Self {
        Self::of(Habits::Django, Source::Sketch(Box::default()))
    }

    fn of(habits: Habits, source: Source) -> Self {
        Self { source, habits, put: false, unfilled: Vec::new(), faults: Vec::new() }
    }

    /// Whether the request is a PUT, for fields that a PATCH may leave out; see [`Field::required_on_put`].
    pub fn on_put(mut self, put: bool) -> Self {
        self.put = put;
        self
    }

    /// Whether the request is a PUT.
    pub fn put(&self) -> bool {
        self.put
    }

    /// File fields that came without a file; for all getters they are absent.
    pub fn and_unfilled(mut self, names: Vec<String>) -> Self {
        self.unfilled = names;
        self
    }

    /// Whether a file field came without a file: an empty file name, or no bytes.
    pub fn unfilled(&self, name: &str) -> bool {
        let empty = match &self.source {
            Source::Pairs { files, .. } => files.iter().any(|(n, file)| n == name && file.size == 0),
            _ => false,
        };
        empty || self.unfilled.iter().any(|n| n == name)
    }

    /// The form, if nothing is wrong with it.
    pub fn read<T: Form>(mut self) -> Result<T, Vec<Fault>> {
        let form = T::read(&mut self);
        if self.faults.is_empty() { Ok(form) } else { Err(self.faults) }
    }

    /// The schema of a form, and whether it takes files.
    pub fn schema<T: Form>() -> (Schema, bool) {
        let mut fields = Self::sketch();
        T::read(&mut fields);
        match fields.source {
            Source::Sketch(sketch) => (sketch.object.build().into(), sketch.files),
            _ => (Schema::default(), false),
        }
    }

    /// A text.
    pub fn text(&mut self, name: &'static str) -> Field<'_, Text> {
        self.field(name, Text { min: 0, max: usize::MAX, secret: false, blank: false })
    }

    /// A whole number.
    pub fn integer(&mut self, name: &'static str) -> Field<'_, Integer> {
        self.field(name, Integer { least: i64::MIN, most: i64::MAX })
    }

    /// A finite floating point number.
    pub fn number(&mut self, name: &'static str) -> Field<'_, Number> {
        self.field(name, Number { least: f64::MIN, most: f64::MAX })
    }

    /// An exact decimal number with at most `digits` digits, `places` of them after the point.
    pub fn decimal(&mut self, name: &'static str, digits: u32, places: u32) -> Field<'_, DecimalOf> {
        self.field(name, DecimalOf { digits, places })
    }

    /// Yes or no, in any of the usual spellings.
    pub fn boolean(&mut self, name: &'static str) -> Field<'_, Boolean> {
        self.field(name, Boolean)
    }

    /// One of a closed list of words.
    pub fn choice<T: Copy + Default>(
        &mut self,
        name: &'static str,
        choices: &'static [(&'static str, T)],
    ) -> Field<'_, Choice<T>> {
        self.field(name, Choice(choices))
    }

    /// The number of some row.
    pub fn key(&mut self, name: &'static str) -> Field<'_, Key> {
        self.field(name, Key)
    }

    /// A UUID.
    pub fn uuid(&mut self, name: &'static str) -> Field<'_, Id> {
        self.field(name, Id)
    }

    /// A list of whole numbers.
    pub fn integers(&mut self, name: &'static str) -> Field<'_, List<Integer>> {
        self.field(
            name,
            List { item: Integer { least: i64::MIN, most: i64::MAX }, most: 1000, lenient: false, by_place: false },
        )
    }

    /// Any value, as it came.
    pub fn any(&mut self, name: &'static str) -> Field<'_, Anything> {
        self.field(name, Anything)
    }

    /// The number of something, where the empty text means null in JSON too.
    pub fn reference(&mut self, name: &'static str) -> Field<'_, Reference> {
        self.field(name, Reference(Integer { least: i64::MIN, most: i64::MAX }))
    }

    /// An uploaded file; only multipart bodies have any.
    pub fn file(&mut self, name: &'static str) -> FileField<'_> {
        FileField { fields: self, name, described: "" }
    }

    /// The first file that no getter took, whatever its name.
    pub fn any_file(&mut self) -> Option<File> {
        match &mut self.source {
            Source::Pairs { files, .. } if !files.is_empty() => Some(files.remove(0).1),
            _ => None,
        }
    }

    /// Whether the client sent the field at all, null included. Ask before the getter takes it.
    pub fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Json(object) => object.contains_key(name),
            Source::Pairs { texts, files } => {
                texts.iter().any(|(n, _)| n == name) || files.iter().any(|(n, _)| n == name)
            }
            Source::Sketch(_) => false,
        }
    }

    /// Refuses a field in words of the dialect's own.
    pub fn refuse(&mut self, field: &'static str, text: impl Into<Cow<'static, str>>) {
        self.fault(field, Wrong::Said(text.into()));
    }

    pub fn fault(&mut self, field: &'static str, wrong: Wrong) {
        self.faults.push(Fault { field: field.into(), wrong });
    }

    fn field<K: Kind>(&mut self, name: &'static str, kind: K) -> Field<'_, K> {
        Field { fields: self, name, kind, described: "" }
    }

    fn take(&mut self, name: &str, all: bool) -> Given {
        match &mut self.source {
            Source::Json(object) => match object.remove(name) {
                None => Given::Absent,
                Some(Value::Null) => Given::Null,
                Some(value) => Given::Json(value),
            },
            Source::Pairs { texts, files } => {
                let given = texts.iter_mut().filter(|(n, _)| n == name).map(|(_, text)| std::mem::take(text));
                let mut given: Vec<String> = given.collect();
                match given.pop() {
                    Some(last) if all && given.iter().any(|text| !text.is_empty()) => {
                        given.push(last);
                        Given::Texts(given)
                    }
                    Some(last) => Given::Text(last),
                    None if files.iter().any(|(n, _)| n == name) => Given::File,
                    None => Given::Absent,
                }
            }
            Source::Sketch(_) => Given::Absent,
        }
    }

    /// Notes a field in the sketch, if this is one.
    fn note(&mut self, name: &str, described: &str, required: bool, nullable: bool, schema: impl FnOnce() -> Schema) {
        let Source::Sketch(sketch) = &mut self.source else { return };
        let mut schema = schema();
        if let Schema::Object(object) = &mut schema {
            if nullable && let SchemaType::Type(kind) = object.schema_type.clone() {
                object.schema_type = SchemaType::Array(vec![kind, Type::Null]);
            }
            if !described.is_empty() {
                object.description = Some(described.to_owned());
            }
        }
        let object = std::mem::take(&mut sketch.object).property(name, schema);
        sketch.object = if required { object.required(name) } else { object };
    }

    /// Whether nothing is wrong so far.
    pub fn sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether nothing is read and only the document is drawn.
    pub fn sketching(&self) -> bool {
        matches!(self.source, Source::Sketch(_))
    }
}
