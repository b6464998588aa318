//! What can be wrong with a form.

use std::borrow::Cow;

use serde_json::Value;

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
