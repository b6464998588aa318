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

mod kinds;

use std::borrow::Cow;

use serde_json::{Map, Value};
use utoipa::openapi::KnownFormat;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};

use self::kinds::{Anything, Boolean, Choice, DecimalOf, Id, Integer, Key, List, Number, Reference, Text, typed};
use crate::upload::File;

pub use self::kinds::Decimal;

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

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The name on the wire; empty for the whole body.
    pub field: Cow<'static, str>,
    pub wrong: Wrong,
}

/// What can be wrong with a field. Each dialect has one function that puts it into words; the field rules of the
/// contracts arrive here too, see [`Wrong::of_rule`].
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    Required,
    Null,
    Blank,
    NotText,
    NulCharacter,
    TooShort(usize),
    TooLong(usize),
    NotInteger,
    NotNumber,
    NotBoolean,
    NotUuid,
    /// Not a number that could be some row's; what it was instead.
    NotAKey(&'static str),
    AtLeast(String),
    AtMost(String),
    TotalDigits(u32),
    WholeDigits(u32),
    DecimalPlaces(u32),
    NotAChoice {
        value: String,
        choices: Vec<&'static str>,
    },
    NotAList(&'static str),
    NotAnObject(&'static str),
    TooMany(usize),
    /// Items of a list, by their place in it.
    Items(Vec<(usize, Wrong)>),
    NoFile,
    NotAFile,
    EmptyFile,
    /// A text of the dialect's own.
    Said(Cow<'static, str>),
}

impl Wrong {
    /// The fault that a contract's field rule stands for: `string.max_len`, "must have at most 150 characters".
    pub fn of_rule(rule: &str, message: &str) -> Option<Self> {
        let bound = || message.split(' ').find(|word| word.parse::<f64>().is_ok()).unwrap_or_default().to_owned();
        let count = || bound().parse().unwrap_or_default();
        Some(match rule {
            "required" => Self::Required,
            "string.min_len" if count() <= 1 => Self::Blank,
            "string.min_len" => Self::TooShort(count()),
            "string.max_len" | "bytes.max_len" => Self::TooLong(count()),
            "repeated.max_items" => Self::TooMany(count()),
            "string.uuid" => Self::NotUuid,
            "double.finite" => Self::NotNumber,
            "enum.defined_only" | "enum.in" | "enum.not_in" => {
                Self::NotAChoice { value: String::new(), choices: Vec::new() }
            }
            rule if rule.ends_with(".gte") || rule.ends_with(".gt") => Self::AtLeast(bound()),
            rule if rule.ends_with(".lte") || rule.ends_with(".lt") => Self::AtMost(bound()),
            _ => return None,
        })
    }
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

/// A field that is about to be read. The last call says whether it must be there.
pub struct Field<'f, K> {
    fields: &'f mut Fields,
    name: &'static str,
    kind: K,
    described: &'static str,
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

    /// May be left out; null counts as left out where the dialect sees it so.
    pub fn optional(self) -> Option<K::Value> {
        let Self { fields, name, kind, described } = self;
        fields.note(name, described, false, false, || kind.schema());
        match fields.take(name, K::LIST) {
            Given::Absent => None,
            Given::Null if fields.habits == Habits::Pydantic => None,
            Given::Null => {
                fields.fault(name, Wrong::Null);
                None
            }
            given => Self::parse(fields, name, &kind, given),
        }
    }

    /// Like `optional` on PATCH and POST, but a PUT must bring it.
    pub fn required_on_put(self) -> Option<K::Value> {
        if self.fields.put && !self.fields.has(self.name) {
            self.fields.fault(self.name, Wrong::Required);
            return None;
        }
        self.optional()
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

/// The name Python gives a JSON value's type; both original backends show it in their texts.
pub fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// An uploaded file that is about to be taken.
pub struct FileField<'f> {
    fields: &'f mut Fields,
    name: &'static str,
    described: &'static str,
}

impl FileField<'_> {
    /// One sentence for the document.
    pub fn describe(mut self, text: &'static str) -> Self {
        self.described = text;
        self
    }

    /// Must be there.
    pub fn required(self) -> Option<File> {
        let Self { fields, name, described } = self;
        fields.note_file(name, described, true);
        match fields.take_file(name) {
            Some(file) => return Some(file),
            None if fields.sketching() => {}
            None if fields.has(name) => fields.fault(name, Wrong::NotAFile),
            None => fields.fault(name, Wrong::NoFile),
        }
        None
    }

    /// May be left out. Text in its place is a fault, except the empty text of a form without a file.
    pub fn optional(self) -> Option<File> {
        let Self { fields, name, described } = self;
        fields.note_file(name, described, false);
        if let Some(file) = fields.take_file(name) {
            return Some(file);
        }
        match fields.take(name, false) {
            Given::Absent | Given::Null => {}
            Given::Text(text) if text.is_empty() => {}
            _ => fields.fault(name, Wrong::NotAFile),
        }
        None
    }

    /// May be left out; anything in its place that is not a file is ignored.
    pub fn lenient(self) -> Option<File> {
        let Self { fields, name, described } = self;
        fields.note_file(name, described, false);
        fields.take_file(name)
    }
}

impl Fields {
    fn take_file(&mut self, name: &'static str) -> Option<File> {
        let Source::Pairs { files, .. } = &mut self.source else { return None };
        let at = files.iter().position(|(n, _)| n == name)?;
        let (_, file) = files.remove(at);
        if file.size == 0 {
            self.fault(name, Wrong::EmptyFile);
        }
        Some(file)
    }

    fn note_file(&mut self, name: &str, described: &str, required: bool) {
        self.note(name, described, required, false, || {
            typed(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary))).into()
        });
        if let Source::Sketch(sketch) = &mut self.source {
            sketch.files = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(habits: Habits, value: Value) -> Fields {
        Fields::json(habits, value.as_object().unwrap().clone())
    }

    fn wrong(mut f: Fields, read: impl FnOnce(&mut Fields)) -> Vec<Wrong> {
        read(&mut f);
        f.faults.into_iter().map(|fault| fault.wrong).collect()
    }

    #[test]
    fn every_fault_is_collected() {
        let body = json!({"phone": "", "name": "x".repeat(4), "age": "1x", "role": "king"});
        let faults = wrong(fields(Habits::Django, body), |f| {
            f.text("phone").required();
            f.text("name").max(3).required();
            f.integer("age").optional();
            f.choice("role", &[("pawn", 1)]).optional();
            f.text("password").required();
        });
        assert_eq!(
            faults,
            [
                Wrong::Blank,
                Wrong::TooLong(3),
                Wrong::NotInteger,
                Wrong::NotAChoice { value: "king".into(), choices: vec!["pawn"] },
                Wrong::Required
            ]
        );
    }

    #[test]
    fn null_is_a_fault_for_django_and_nothing_for_pydantic() {
        let body = || json!({"bio": null});
        assert_eq!(wrong(fields(Habits::Django, body()), |f| drop(f.text("bio").optional())), [Wrong::Null]);
        assert_eq!(wrong(fields(Habits::Pydantic, body()), |f| drop(f.text("bio").optional())), []);
        assert_eq!(fields(Habits::Django, body()).text("bio").nullable(), Some(None));
        assert_eq!(wrong(fields(Habits::Pydantic, body()), |f| drop(f.text("bio").required())), [Wrong::NotText]);
    }

    #[test]
    fn only_django_takes_numbers_for_text() {
        let body = || json!({"phone": 12});
        assert_eq!(fields(Habits::Django, body()).text("phone").required(), "12");
        assert_eq!(wrong(fields(Habits::Pydantic, body()), |f| drop(f.text("phone").required())), [Wrong::NotText]);
    }

    #[test]
    fn passwords_keep_their_spaces_and_nothing_keeps_a_nul() {
        let body = json!({"name": " a ", "password": " a ", "bio": "a\u{0}b"});
        let mut f = fields(Habits::Django, body);
        assert_eq!(f.text("name").required(), "a");
        assert_eq!(f.text("password").secret().required(), " a ");
        f.text("bio").required();
        assert_eq!(f.faults[0].wrong, Wrong::NulCharacter);
    }

    #[test]
    fn an_empty_form_value_is_null_for_everything_but_text() {
        let pairs = vec![("lat".into(), String::new()), ("bio".into(), String::new())];
        let mut f = Fields::pairs(Habits::Django, pairs, vec![]);
        assert_eq!(f.decimal("lat", 10, 7).nullable(), Some(None));
        assert_eq!(f.text("bio").blank().nullable(), Some(Some(String::new())));
    }

    #[test]
    fn a_form_has_a_list_as_one_field_or_as_many() {
        let f = |values: &[&str]| {
            let pairs = values.iter().map(|value| ("ids".to_owned(), (*value).to_owned())).collect();
            Fields::pairs(Habits::Django, pairs, vec![])
        };
        let list = |values: &[&str]| f(values).integers("ids").nullable();
        for values in [&["3", "1", "2"][..], &["3,1", "2"], &["[3, 1, 2]"], &["", "3", "[1]", "2"]] {
            assert_eq!(list(values), Some(Some(vec![3, 1, 2])), "{values:?}");
        }
        assert_eq!((list(&[""]), list(&["", ""]), list(&[])), (Some(None), Some(None), None));
        assert_eq!(f(&["1", "2"]).integer("ids").optional(), Some(2));
        let places = wrong(f(&["1", "x,2", "y"]), |f| drop(f.integers("ids").by_place().optional()));
        assert_eq!(places, [Wrong::Items(vec![(1, Wrong::NotInteger), (3, Wrong::NotInteger)])]);
        assert_eq!(wrong(f(&["1,2", "3"]), |f| drop(f.integers("ids").max_items(2).optional())), [Wrong::TooMany(2)]);
    }

    #[test]
    fn rules_of_the_contracts_become_faults() {
        let of = |rule, message| Wrong::of_rule(rule, message).unwrap();
        assert_eq!(of("string.max_len", "must have at most 150 characters"), Wrong::TooLong(150));
        assert_eq!(of("string.min_len", "must have at least 1 characters"), Wrong::Blank);
        assert_eq!(of("double.lte", "must be at most 90"), Wrong::AtMost("90".into()));
        assert_eq!(Wrong::of_rule("PHONE_TAKEN", ""), None);
    }

    #[test]
    fn a_sketch_lists_what_is_asked_for() {
        struct Example;
        impl Form for Example {
            fn read(f: &mut Fields) -> Self {
                f.text("name").max(3).required();
                f.file("picture").optional();
                Self
            }
        }
        let (schema, files) = Fields::schema::<Example>();
        let schema = serde_json::to_value(schema).unwrap();
        assert!(files);
        assert_eq!(schema["required"], json!(["name"]));
        assert_eq!(schema["properties"]["name"]["maxLength"], 3);
        assert_eq!(schema["properties"]["picture"]["format"], "binary");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_makes_a_getter_panic(text: String) {
            let pairs = ["a", "b", "c", "d", "e", "f"].map(|name| (name.to_owned(), text.clone())).to_vec();
            let mut f = Fields::pairs(Habits::Django, pairs, vec![]);
            f.integer("a").optional();
            f.decimal("b", 10, 2).nullable();
            f.boolean("c").optional();
            f.number("d").optional();
            f.choice("e", &[("x", 1)]).optional();
            f.integers("f").optional();
        }
    }
}
