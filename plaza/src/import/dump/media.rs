//! Files, and who shows them.

use std::collections::hash_map::Entry;

use chrono::{DateTime, Utc};
use media::bulk::Folder;

use super::{Read, Reader};
use crate::import::models::media::Media;
use crate::import::models::{Record, content_type};

/// What a dump says of a file.
#[derive(Debug)]
pub(crate) struct Described {
    /// Empty where there is none.
    pub(crate) url: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) price_hundredths: Option<i64>,
    pub(crate) created_at: DateTime<Utc>,
    /// The content type and the number of the profile that it says is its own.
    attached: Option<(String, i64)>,
}

/// Where a file is shown, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// As dumps name people.
    pub(crate) person: String,
    pub(crate) folder: Folder,
}

/// A picture in the gallery of a profile that does not name it.
pub(crate) struct Attached {
    pub(crate) person: i64,
    /// `SPECIALIST` or `BUSINESSMAN`.
    pub(crate) kind: &'static str,
    pub(crate) number: i64,
}

impl Reader<'_> {
    pub(super) fn media(&mut self, record: Record) -> Result<(), String> {
        let number = record.number()?;
        let media: Media = record.fields()?;
        let attached = match media.object_id.0 {
            Some(object) if !media.content_type.is_null() => Some((content_type(&media.content_type)?, object)),
            _ => None,
        };
        let described = Described {
            url: media.url.0.trim().to_owned(),
            name: media.name.map(|text| text.0),
            description: media.description.map(|text| text.0),
            price_hundredths: media.price.0,
            created_at: media.created_at.0,
            attached,
        };
        self.read.files.insert(number, described);
        Ok(())
    }

    /// Somebody shows these.
    pub(super) fn shown(&mut self, person: &str, folder: Folder, numbers: impl IntoIterator<Item = i64>) {
        for number in numbers {
            self.read.show(number, Shown { person: person.to_owned(), folder });
        }
    }
}

impl Read {
    /// A file is of whoever shows it first. What somebody gave as a proof stays between them and administrators, wherever
    /// else it is named.
    fn show(&mut self, number: i64, shown: Shown) {
        match self.shown.entry(number) {
            Entry::Vacant(free) => drop(free.insert(shown)),
            Entry::Occupied(mut first) => {
                if shown.folder == Folder::Verification && first.get().folder != Folder::Verification {
                    first.insert(shown);
                }
            }
        }
    }

    /// Everything is read: the pictures that say themselves in whose gallery they are.
    pub(crate) fn attached(&mut self) -> Vec<Attached> {
        let attached = self.files.iter().filter_map(|(number, file)| {
            let (content_type, person) = file.attached.as_ref()?;
            let kind = match content_type.as_str() {
                "specialistprofile" => "SPECIALIST",
                "businessmanprofile" => "BUSINESSMAN",
                number => *self.profile_kinds.get(number)?,
            };
            Some(Attached { person: *person, kind, number: *number })
        });
        let attached: Vec<_> = attached.collect();
        for Attached { person, kind, number } in &attached {
            let folder = if *kind == "SPECIALIST" { Folder::Portfolio } else { Folder::Products };
            self.show(*number, Shown { person: person.to_string(), folder });
        }
        attached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_who_shows_it_first_and_a_proof_is_nothing_else() {
        let shown = |person: &str, folder| Shown { person: person.to_owned(), folder };
        let mut read = Read::default();
        read.show(1, shown("7", Folder::Media));
        read.show(1, shown("8", Folder::Chat));
        assert_eq!((&*read.shown[&1].person, read.shown[&1].folder), ("7", Folder::Media));
        read.show(1, shown("9", Folder::Verification));
        read.show(1, shown("8", Folder::Media));
        read.show(1, shown("8", Folder::Verification));
        assert_eq!((&*read.shown[&1].person, read.shown[&1].folder), ("9", Folder::Verification));
    }
}
