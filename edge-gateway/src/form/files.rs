//! Files of a multipart form.

use utoipa::openapi::KnownFormat;
use utoipa::openapi::schema::{SchemaFormat, Type};

use super::kinds::typed;
use super::{Fields, Given, Source, Wrong};
use crate::upload::File;

/// An uploaded file that is about to be taken.
pub struct FileField<'f> {
    pub(super) fields: &'f mut Fields,
    pub(super) name: &'static str,
    pub(super) described: &'static str,
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
        match fields.take_file(&[name]) {
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
        if let Some(file) = fields.take_file(&[name]) {
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
        fields.take_file(&[name])
    }
}

impl Fields {
    /// All files under names that mean the same, in the order of the form's parts, which who takes them name by name
    /// loses. What is not a file is ignored.
    pub fn files(&mut self, names: &[&'static str], described: &'static str) -> Vec<File> {
        names.iter().for_each(|name| self.note_file(name, described, false));
        std::iter::from_fn(|| self.take_file(names)).collect()
    }

    /// The first under any of the names.
    fn take_file(&mut self, names: &[&'static str]) -> Option<File> {
        let Source::Pairs { files, .. } = &mut self.source else { return None };
        let named = |(given, _): &(String, File)| names.iter().copied().find(|name| name == given);
        let (at, name) = files.iter().enumerate().find_map(|(at, file)| Some((at, named(file)?)))?;
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
