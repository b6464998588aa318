//! What the generated `impl Validate` calls: one function per standard rule of `buf.validate`, with that rule's id as
//! the reason and a short English text for developers.

use std::fmt;

/// A message that knows its field rules.
pub trait Validate {
    /// Whether an RPC takes it. What a peer answers is not checked: a newer one may say what an older caller's contract
    /// does not know yet, and it would be nobody's mistake.
    const INPUT: bool;

    /// Adds every broken rule of the message and of the messages inside it.
    fn check(&self, at: &Path<'_>, broken: &mut Broken);

    /// All broken rules at once, or nothing.
    fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut broken = Broken::default();
        self.check(&Path::Root, &mut broken);
        if broken.0.is_empty() { Ok(()) } else { Err(broken.0) }
    }
}

/// Whether a value differs from its type's zero, for rules that ignore zeros.
pub fn given<T: Default + PartialEq>(value: &T) -> bool {
    *value != T::default()
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Dotted path from the request: `profile.first_name`, `roles[2]`.
    pub field: String,
    /// Id of the rule: `string.max_len`.
    pub rule: &'static str,
    /// For a developer; the bound is the first number in it.
    pub message: String,
}

/// Where a field stands; built on the stack and only printed when something is wrong.
pub enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'static str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub fn field(&'a self, name: &'static str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The broken rules found so far.
#[derive(Default)]
pub struct Broken(Vec<Violation>);

macro_rules! compare {
    ($($name:ident $operator:tt $words:literal),*) => {$(
        pub fn $name(&mut self, at: &Path<'_>, rule: &'static str, value: i64, bound: i64) {
            if !(value $operator bound) {
                self.add(at, rule, format!(concat!("must be ", $words, " {}"), bound));
            }
        }
    )*};
}

impl Broken {
    pub fn add(&mut self, at: &Path<'_>, rule: &'static str, message: impl Into<String>) {
        self.0.push(Violation { field: at.to_string(), rule, message: message.into() });
    }

    compare!(gt > "greater than", gte >= "at least", lt < "less than", lte <= "at most");

    pub fn min_len(&mut self, at: &Path<'_>, value: &str, least: usize) {
        if value.chars().count() < least {
            self.add(at, "string.min_len", format!("must have at least {least} characters"));
        }
    }

    pub fn max_len(&mut self, at: &Path<'_>, value: &str, most: usize) {
        // A text of `n` bytes has at most `n` characters, so most texts need no count.
        if value.len() > most && value.chars().count() > most {
            self.add(at, "string.max_len", format!("must have at most {most} characters"));
        }
    }

    pub fn max_bytes(&mut self, at: &Path<'_>, length: usize, most: usize) {
        if length > most {
            self.add(at, "bytes.max_len", format!("must have at most {most} bytes"));
        }
    }

    pub fn max_items(&mut self, at: &Path<'_>, length: usize, most: usize) {
        if length > most {
            self.add(at, "repeated.max_items", format!("must have at most {most} items"));
        }
    }

    /// One or more characters out of ranges.
    pub fn made_of(&mut self, at: &Path<'_>, value: &str, ranges: &[(char, char)]) {
        let known = |c: char| ranges.iter().any(|&(first, last)| (first..=last).contains(&c));
        if value.is_empty() || !value.chars().all(known) {
            self.add(at, "string.pattern", "has characters that are not allowed here");
        }
    }

    /// The canonical form: 36 characters, hyphens in their places, either case.
    pub fn uuid(&mut self, at: &Path<'_>, value: &str) {
        let canonical = value.len() == 36
            && value.bytes().enumerate().all(|(i, byte)| match i {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if !canonical {
            self.add(at, "string.uuid", "must be a UUID");
        }
    }

    pub fn double_gte(&mut self, at: &Path<'_>, value: f64, least: f64) {
        if value < least {
            self.add(at, "double.gte", format!("must be at least {least}"));
        }
    }

    pub fn double_lte(&mut self, at: &Path<'_>, value: f64, most: f64) {
        if value > most {
            self.add(at, "double.lte", format!("must be at most {most}"));
        }
    }

    pub fn finite(&mut self, at: &Path<'_>, value: f64) {
        if !value.is_finite() {
            self.add(at, "double.finite", "must be a finite number");
        }
    }

    pub fn one_of(&mut self, at: &Path<'_>, rule: &'static str, value: i32, allowed: &[i32]) {
        if !allowed.contains(&value) {
            self.add(at, rule, "is not one of the values allowed here");
        }
    }

    pub fn none_of(&mut self, at: &Path<'_>, value: i32, refused: &[i32]) {
        if refused.contains(&value) {
            self.add(at, "enum.not_in", "is not allowed here");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Validate, Violation};
    use crate::auth::v1::{LogInRequest, LogInResponse, Profile, RegisterRequest, log_in_request::Login};
    use crate::forum::v1::{CreateCommunityRequest, ReactRequest, Reaction, Target};
    use crate::media::v1::{Description, UploadHeader, UploadMediaRequest, upload_media_request::Part};
    use crate::users::v1::BatchGetUsersRequest;

    fn broken(message: &impl Validate) -> Vec<(String, &'static str)> {
        message.validate().unwrap_err().into_iter().map(|Violation { field, rule, .. }| (field, rule)).collect()
    }

    #[test]
    fn rules_reach_into_messages_oneofs_and_lists() {
        let long = "ñ".repeat(201);
        let upload = UploadMediaRequest {
            part: Some(Part::Header(UploadHeader {
                description: Some(Description { name: Some(long), ..Default::default() }),
                folder: 99,
                ..Default::default()
            })),
        };
        assert_eq!(
            broken(&upload),
            [
                ("header.description.name".to_owned(), "string.max_len"),
                ("header.folder".to_owned(), "enum.defined_only")
            ]
        );
        let batch = BatchGetUsersRequest { ids: vec!["0190".into()], numbers: vec![0; 501], ..Default::default() };
        assert_eq!(
            broken(&batch),
            [("ids[0]".to_owned(), "string.uuid"), ("numbers".to_owned(), "repeated.max_items")]
        );
    }

    #[test]
    fn what_rpcs_take_is_checked_and_what_they_answer_is_not() {
        fn input<M: Validate>(_: &M) -> bool {
            M::INPUT
        }
        assert!(input(&LogInRequest::default()) && input(&UploadMediaRequest::default()));
        assert!(!input(&LogInResponse::default()) && !input(&Reaction::default()));
    }

    #[test]
    fn a_required_oneof_must_be_set() {
        let empty = LogInRequest { password: "x".into(), ..Default::default() };
        assert_eq!(broken(&empty), [("login".to_owned(), "required")]);
        assert!(LogInRequest { login: Some(Login::Phone("1".into())), ..empty }.validate().is_ok());
    }

    #[test]
    fn a_required_message_must_be_set_and_is_checked() {
        let react = ReactRequest { r#type: 1, ..Default::default() };
        assert_eq!(broken(&react), [("target".to_owned(), "required")]);
        let react = ReactRequest { target: Some(Target { kind: 0, id: 1 }), ..react };
        assert_eq!(broken(&react), [("target.kind".to_owned(), "enum.not_in")]);
    }

    #[test]
    fn a_pattern_says_which_characters_there_may_be() {
        let slug = |slug: &str| CreateCommunityRequest { name: "x".into(), slug: slug.into(), ..Default::default() };
        assert_eq!(slug("Cafe-de_altura9").validate(), Ok(()));
        for wrong in ["", "café", "a b", "a/b", "a\n"] {
            assert_eq!(broken(&slug(wrong)), [("slug".to_owned(), "string.pattern")], "{wrong:?}");
        }
    }

    #[test]
    fn lengths_count_characters_and_absent_fields_break_nothing() {
        let fits = Profile { first_name: Some("ñ".repeat(150)), ..Default::default() };
        let request = RegisterRequest { password: "secret".into(), profile: Some(fits), ..Default::default() };
        assert_eq!(request.validate(), Ok(()));
    }
}
