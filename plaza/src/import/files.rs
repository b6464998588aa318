//! The monolith's files. What was said of them is in the dump; their bytes lie in a folder, a copy of the bucket or of
//! `MEDIA_ROOT`. Nobody owned them there, so each is of whoever shows it, and what nobody shows stays behind.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use kit::bulk::import::{File, Outcome, Somebody};
use media::bulk::{Became, Folder, Importer, Old};
use percent_encoding::percent_decode_str;
use tokio::task::JoinSet;
use url::Url;

use crate::import::dump::{Described, Read, Shown};
use crate::import::known::Known;
use crate::report::Progress;

/// Files that are looked at together.
const CHUNK: usize = 10_000;
/// Files that are taken in at once.
pub(crate) const AT_ONCE: u32 = 4;

/// What will become of the files of a dump.
#[derive(Default)]
pub(crate) struct Files {
    ready: Vec<Old>,
    /// As the services know those that are ready once they are here.
    pub(crate) expected: HashMap<i64, File>,
    outcome: BTreeMap<&'static str, i64>,
}

impl Files {
    /// Looks at each of them, and writes nothing. Numbers of strangers are added as by [`Known::introduce`].
    pub(crate) async fn look(
        folder: &Path,
        read: &Read,
        known: &mut Known<'_>,
        strangers: &mut Vec<i64>,
    ) -> anyhow::Result<Self> {
        ensure!(folder.is_dir(), "{} is no folder", folder.display());
        let mut files = Self::default();
        let all: Vec<_> = read.files.iter().collect();
        for chunk in all.chunks(CHUNK) {
            let numbers: Vec<_> = chunk.iter().map(|(number, _)| **number).collect();
            let here = media::bulk::find(known.media, &numbers).await.context("looking files up in media")?;
            let here: HashMap<_, _> = here.iter().map(|file| (file.number, file)).collect();
            let shown = numbers.iter().filter_map(|number| read.shown.get(number));
            let mut names: Vec<_> = shown.map(|shown| shown.person.clone()).collect();
            names.sort_unstable();
            names.dedup();
            let people = known.people(names, read, strangers).await?;
            let people: HashMap<_, _> = people.iter().map(|person| (&*person.name, person)).collect();
            for (number, described) in chunk {
                let old = Candidate { number: **number, described, here: here.get(*number).copied() };
                let shown = read.shown.get(*number);
                let person = shown.and_then(|shown| people.get(&*shown.person).copied());
                match old.look(folder, shown, person).await? {
                    Ok((old, content_type)) => files.expect(old, content_type),
                    Err(why) => files.count(why),
                }
            }
        }
        Ok(files)
    }

    fn expect(&mut self, old: Old, content_type: &str) {
        let file = File {
            number: old.number,
            id: media::bulk::id(old.number),
            private: old.folder == Folder::Verification,
            owner_id: Some(old.owner),
            content_type: content_type.to_owned(),
        };
        self.expected.insert(old.number, file);
        self.ready.push(old);
    }

    fn count(&mut self, what: &'static str) {
        *self.outcome.entry(what).or_default() += 1;
    }

    /// Takes in all that are ready; the numbers of those that could not be.
    pub(crate) async fn bring(&mut self, importer: &Importer) -> anyhow::Result<Vec<i64>> {
        let progress = Progress::begin("files", self.ready.len());
        let (mut waiting, mut works) = (std::mem::take(&mut self.ready).into_iter(), JoinSet::new());
        let mut refused = Vec::new();
        loop {
            for old in waiting.by_ref().take(AT_ONCE as usize - works.len()) {
                let importer = importer.clone();
                works.spawn(async move {
                    let became = importer.import(&old).await;
                    became
                        .map(|became| (old.number, became))
                        .with_context(|| format!("taking in {}", old.path.display()))
                });
            }
            let Some(work) = works.join_next().await else { break };
            let (number, became) = work??;
            match became {
                Became::Imported => self.count("imported"),
                Became::There => self.count("there"),
                Became::Refused(why) => {
                    self.count(why);
                    refused.push(number);
                }
            }
            progress.step();
        }
        progress.done();
        Ok(refused)
    }

    /// What became of all of them, or would.
    pub(crate) fn outcome(mut self) -> Outcome {
        let ready = self.ready.len() as i64;
        *self.outcome.entry("imported").or_default() += ready;
        let counts = self.outcome.into_iter().map(|(what, count)| ("files".to_owned(), what.to_owned(), count));
        Outcome { counts: counts.collect(), ..Outcome::default() }
    }
}

/// A file of the dump, and the one that has its number here.
struct Candidate<'a> {
    number: i64,
    described: &'a Described,
    here: Option<&'a File>,
}

impl Candidate<'_> {
    /// What can be taken in with its type, or what becomes of it instead.
    async fn look(
        &self,
        folder: &Path,
        shown: Option<&Shown>,
        person: Option<&Somebody>,
    ) -> anyhow::Result<Result<(Old, &'static str), &'static str>> {
        let owner = person.filter(|person| person.here).and_then(|person| person.id);
        if let Some(here) = self.here {
            let same = here.id == media::bulk::id(self.number) || (owner.is_some() && here.owner_id == owner);
            return Ok(Err(if same { "there" } else { "whose number is another file's here" }));
        }
        let Some(shown) = shown else { return Ok(Err("that nothing shows")) };
        let Some(owner) = owner else { return Ok(Err("of people who have no account here")) };
        if self.described.url.is_empty() {
            return Ok(Err("without an address"));
        }
        let Some(path) = find(folder, &self.described.url).await else {
            return Ok(Err("whose bytes are not in the folder"));
        };
        let content_type = media::bulk::content_type(&path, shown.folder).await;
        let content_type = content_type.with_context(|| format!("reading {}", path.display()))?;
        let Some(content_type) = content_type else { return Ok(Err("of a type that is not taken")) };
        let old = Old {
            number: self.number,
            owner,
            folder: shown.folder,
            name: self.described.name.clone(),
            description: self.described.description.clone(),
            price_hundredths: self.described.price_hundredths,
            created_at: self.described.created_at,
            path,
        };
        Ok(Ok((old, content_type)))
    }
}

/// The file in a folder to which an address leads: as deep as the address says, or less, as the copy may begin anywhere
/// in it. Never outside of the folder.
async fn find(folder: &Path, address: &str) -> Option<PathBuf> {
    let segments = segments(address)?;
    for from in 0..segments.len() {
        let path: PathBuf = std::iter::once(folder).chain(segments[from..].iter().map(Path::new)).collect();
        if tokio::fs::metadata(&path).await.is_ok_and(|found| found.is_file()) {
            return Some(path);
        }
    }
    None
}

/// The names on the way to a file, of a URL or of its path alone.
fn segments(address: &str) -> Option<Vec<String>> {
    let url = Url::parse(address).ok();
    let path = url.as_ref().map_or(address, Url::path).split(['?', '#']).next()?;
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let names = segments.map(|segment| Some(percent_decode_str(segment).decode_utf8().ok()?.into_owned()));
    let names: Vec<_> = names.collect::<Option<_>>()?;
    let leads_on = |name: &String| !matches!(&**name, "." | "..") && !name.contains(['/', '\\', '\0']);
    names.iter().all(leads_on).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_a_file_and_never_out_of_the_folder() {
        for (address, names) in [
            ("https://x.example/storage/v1/media/a%20b.jpg?v=1", Some(&["storage", "v1", "media", "a b.jpg"][..])),
            ("/media//toro.jpg", Some(&["media", "toro.jpg"])),
            ("toro.jpg#alto", Some(&["toro.jpg"])),
            ("https://x.example/a/%2e%2e/b.jpg", Some(&["b.jpg"])),
            ("media/../../etc/passwd", None),
            ("media/%2e%2e/secreto", None),
            ("media/a%2Fb.jpg", None),
            ("media/a%5Cb.jpg", None),
            ("media/a%00.jpg", None),
            ("media/%ff.jpg", None),
        ] {
            let expected = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            assert_eq!(segments(address), expected, "{address}");
        }
    }
}
