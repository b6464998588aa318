//! Turns the `buf.validate` rules of the contracts into `impl Validate`. The published generator cannot reach rules
//! inside a oneof, where our uploads and logins have theirs, and needs a system protoc; this one knows the standard
//! rules that the contracts use and fails the build on any other, so none is ever ignored.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write as _;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The code of `impl Validate` for every message of ours.
pub(crate) fn generate(pool: &DescriptorPool) -> Result<String> {
    let generator = Generator {
        field: pool.get_extension_by_name("buf.validate.field").ok_or("no buf.validate.field")?,
        oneof: pool.get_extension_by_name("buf.validate.oneof").ok_or("no buf.validate.oneof")?,
    };
    let inputs: HashSet<_> = pool
        .services()
        .flat_map(|service| service.methods().map(|method| method.input().full_name().to_owned()).collect::<Vec<_>>())
        .collect();
    let mut code = String::new();
    for message in pool.all_messages().filter(|m| m.package_name().starts_with("plaza.")) {
        writeln!(
            code,
            "impl crate::rules::Validate for {} {{\n    const INPUT: bool = {};\n\n    #[allow(unused_variables)]\n    fn check(&self, at: &crate::rules::Path<'_>, broken: &mut crate::rules::Broken) {{\n{}    }}\n}}",
            rust_path(&message),
            inputs.contains(message.full_name()),
            generator.message(&message)?,
        )?;
    }
    Ok(code)
}

struct Generator {
    field: ExtensionDescriptor,
    oneof: ExtensionDescriptor,
}

impl Generator {
    fn message(&self, message: &MessageDescriptor) -> Result<String> {
        let mut code = String::new();
        for field in message.fields().filter(|f| f.containing_oneof().is_none_or(|o| o.is_synthetic())) {
            let name = identifier(&field);
            let value = if field.is_list() { self.list(&field)? } else { self.value(&field)? };
            let required = self.required(&field)?;
            if value.is_empty() && !required {
                continue;
            }
            // `Option` and `Vec` are both walked with `&`.
            let body = if field.is_list() {
                value
            } else if required {
                let missing = "broken.add(&at, \"required\", \"must be set\")";
                format!("match &self.{name} {{ Some(value) => {{ {value} }} None => {missing}, }}")
            } else if field.supports_presence() {
                format!("if let Some(value) = &self.{name} {{ {value} }}")
            } else {
                format!("let value = &self.{name}; {value}")
            };
            writeln!(code, "        {{ let at = at.field({:?}); {body} }}", field.name())?;
        }
        for oneof in message.oneofs().filter(|o| !o.is_synthetic()) {
            let options = oneof.options();
            let rules = options.get_extension(&self.oneof);
            let required = rules.as_message().and_then(|r| r.get_field_by_name("required")?.as_bool()).unwrap_or(false);
            writeln!(code, "        match &self.{} {{", oneof.name())?;
            for field in oneof.fields() {
                let value = self.value(&field)?;
                writeln!(
                    code,
                    "            Some({}::{}(value)) => {{ let at = at.field({:?}); {value} }}",
                    oneof_path(message, oneof.name()),
                    camel(field.name()),
                    field.name(),
                )?;
            }
            let none = if required {
                format!("broken.add(&at.field({:?}), \"required\", \"must be set\")", oneof.name())
            } else {
                "{}".into()
            };
            writeln!(code, "            None => {none},\n        }}")?;
        }
        Ok(code)
    }

    /// The statements that check one `value` of the field, of which it may be one of many.
    fn value(&self, field: &FieldDescriptor) -> Result<String> {
        if let Kind::Message(message) = field.kind() {
            let ignored = self.rules(field).is_some_and(|rules| ignores(&rules) == Some(IGNORE_ALWAYS));
            if message.package_name().starts_with("plaza.") && !field.is_map() && !ignored {
                return Ok("crate::rules::Validate::check(value, &at, broken);".into());
            }
            return Ok(String::new());
        }
        match self.rules(field) {
            Some(rules) => statements(&rules, field),
            None => Ok(String::new()),
        }
    }

    fn list(&self, field: &FieldDescriptor) -> Result<String> {
        let name = identifier(field);
        let mut code = String::new();
        let mut each = String::new();
        if matches!(field.kind(), Kind::Message(_)) {
            each = self.value(field)?;
        }
        if let Some(rules) = self.rules(field) {
            let repeated = rules.get_field_by_name("repeated").ok_or("a list has `repeated` rules")?;
            let repeated = repeated.as_message().ok_or("`repeated` is a message")?;
            for (rule, value) in repeated.fields() {
                match rule.name() {
                    "max_items" => writeln!(code, "broken.max_items(&at, self.{name}.len(), {});", unsigned(value)?)?,
                    "items" => each = statements(value.as_message().ok_or("`items` is a message")?, field)?,
                    other => return Err(format!("{}: unknown rule repeated.{other}", field.full_name()).into()),
                }
            }
        }
        if !each.is_empty() {
            writeln!(
                code,
                "for (index, value) in self.{name}.iter().enumerate() {{ let at = at.index(index); {each} }}"
            )?;
        }
        Ok(code)
    }

    /// Whether a message must be there: the one rule that is about the field and not about its value.
    fn required(&self, field: &FieldDescriptor) -> Result<bool> {
        let Some(rules) = self.rules(field).filter(|_| !field.is_list()) else { return Ok(false) };
        let required = rules.get_field_by_name("required").is_some_and(|rule| rule.as_bool() == Some(true));
        match field.kind() {
            Kind::Message(_) => {
                let other = rules.fields().find(|(rule, _)| !matches!(rule.name(), "required" | "ignore"));
                other.map_or(Ok(required), |(rule, _)| {
                    Err(format!("{}: unknown rule {}", field.full_name(), rule.name()).into())
                })
            }
            _ => Ok(false),
        }
    }

    fn rules(&self, field: &FieldDescriptor) -> Option<DynamicMessage> {
        let options = field.options();
        options.has_extension(&self.field).then(|| options.get_extension(&self.field).as_message().cloned())?
    }
}

/// Values of `buf.validate.Ignore`.
const IGNORE_IF_ZERO: i32 = 1;
const IGNORE_ALWAYS: i32 = 3;

fn ignores(rules: &DynamicMessage) -> Option<i32> {
    rules.get_field_by_name("ignore")?.as_enum_number()
}

/// One call of `crate::rules::Broken` per rule.
fn statements(rules: &DynamicMessage, field: &FieldDescriptor) -> Result<String> {
    let unknown = |rule: &str| -> Box<dyn Error> { format!("{}: unknown rule {rule}", field.full_name()).into() };
    let mut code = String::new();
    let mut unless_zero = false;
    for (family, value) in rules.fields() {
        match family.name() {
            "ignore" => unless_zero = value.as_enum_number() == Some(IGNORE_IF_ZERO),
            "repeated" => {}
            kind @ ("string" | "bytes" | "int32" | "int64" | "double" | "enum") => {
                for (rule, value) in value.as_message().ok_or_else(|| unknown(kind))?.fields() {
                    match (kind, rule.name()) {
                        ("string", name @ ("min_len" | "max_len")) => {
                            write!(code, "broken.{name}(&at, value, {}); ", unsigned(value)?)?
                        }
                        ("string", "pattern") => {
                            let pattern = value.as_str().ok_or_else(|| unknown("pattern"))?;
                            let set =
                                one_class(pattern).ok_or_else(|| unknown(&format!("string.pattern {pattern}")))?;
                            write!(code, "broken.made_of(&at, value, &{set:?}); ")?
                        }
                        ("string", "uuid") => code.push_str("broken.uuid(&at, value); "),
                        ("bytes", "max_len") => {
                            write!(code, "broken.max_bytes(&at, value.len(), {}); ", unsigned(value)?)?
                        }
                        ("int32" | "int64", name @ ("gt" | "gte" | "lt" | "lte")) => {
                            let bound =
                                value.as_i64().or(value.as_i32().map(i64::from)).ok_or_else(|| unknown(name))?;
                            write!(code, "broken.{name}(&at, \"{kind}.{name}\", i64::from(*value), {bound}); ")?;
                        }
                        ("double", name @ ("gte" | "lte")) => write!(
                            code,
                            "broken.double_{name}(&at, *value, {:?}); ",
                            value.as_f64().ok_or_else(|| unknown(name))?
                        )?,
                        ("double", "finite") => code.push_str("broken.finite(&at, *value); "),
                        ("enum", "defined_only") => {
                            let Kind::Enum(kind) = field.kind() else { return Err(unknown("enum")) };
                            let numbers: Vec<_> = kind.values().map(|v| v.number()).collect();
                            write!(code, "broken.one_of(&at, \"enum.defined_only\", *value, &{numbers:?}); ")?;
                        }
                        ("enum", "in") => {
                            write!(code, "broken.one_of(&at, \"enum.in\", *value, &{:?}); ", numbers(value)?)?
                        }
                        ("enum", "not_in") => write!(code, "broken.none_of(&at, *value, &{:?}); ", numbers(value)?)?,
                        (_, name) => return Err(unknown(&format!("{kind}.{name}"))),
                    }
                }
            }
            other => return Err(unknown(other)),
        }
    }
    if unless_zero && !code.is_empty() {
        code = format!("if crate::rules::given(value) {{ {code}}}");
    }
    Ok(code)
}

/// The characters of a pattern that allows one or more of a class: `^[-a-zA-Z0-9_]+$`. No other pattern is used, so no
/// engine for regular expressions is needed.
fn one_class(pattern: &str) -> Option<Vec<(char, char)>> {
    let mut class = pattern.strip_prefix("^[")?.strip_suffix("]+$")?.chars().peekable();
    let mut set = Vec::new();
    while let Some(first) = class.next() {
        if !(first.is_ascii_alphanumeric() || "-_.".contains(first)) {
            return None;
        }
        let range = first != '-' && class.peek() == Some(&'-');
        let last = if range { class.next().and_then(|_| class.next())? } else { first };
        set.push((first, last));
    }
    (!set.is_empty()).then_some(set)
}

fn unsigned(value: &Value) -> Result<u64> {
    value.as_u64().ok_or_else(|| "not a length".into())
}

fn numbers(value: &Value) -> Result<Vec<i32>> {
    value.as_list().ok_or("not a list")?.iter().map(|v| v.as_i32().ok_or_else(|| "not a number".into())).collect()
}

/// The field in Rust: prost escapes what Rust keeps for itself.
fn identifier(field: &FieldDescriptor) -> String {
    match field.name() {
        name @ ("type" | "ref" | "match" | "use" | "move") => format!("r#{name}"),
        name => name.to_owned(),
    }
}

/// `plaza.auth.v1.LogInRequest` is `crate::auth::v1::LogInRequest`.
fn rust_path(message: &MessageDescriptor) -> String {
    let package = message.package_name().trim_start_matches("plaza.").replace('.', "::");
    format!("crate::{package}::{}", message.name())
}

/// Prost puts the enum of a oneof in a module named after its message.
fn oneof_path(message: &MessageDescriptor, oneof: &str) -> String {
    let package = message.package_name().trim_start_matches("plaza.").replace('.', "::");
    format!("crate::{package}::{}::{}", snake(message.name()), camel(oneof))
}

fn camel(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.char_indices() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
