//! Who and what of a dump is here: people and files keep the numbers they had in the monolith. Read from the databases of
//! `users`, as its import sees it, and `media`, since no RPC tells of hundreds of thousands to somebody who is nobody.

use std::collections::HashMap;

use anyhow::Context;
use kit::bulk::Load;
use kit::bulk::import::{self, File, Somebody};
use sqlx::PgPool;
use users::bulk::Found;

use crate::import::dump::Read;
use crate::import::models::Who;

/// Names, or numbers, that are looked up together.
const CHUNK: i64 = 10_000;

/// Where people and files are known.
pub(crate) struct Known<'a> {
    /// With the people whom it has just made, and who may go with it.
    pub(crate) users: &'a mut Load,
    pub(crate) media: &'a PgPool,
    /// Files that will be there.
    pub(crate) expected: HashMap<i64, File>,
}

impl Known<'_> {
    /// Tells an import whom and what it names. Numbers of people here who have another phone than in the dump are added to
    /// `strangers`.
    pub(crate) async fn introduce(
        &mut self,
        load: &mut Load,
        read: &Read,
        strangers: &mut Vec<i64>,
    ) -> anyhow::Result<()> {
        let mut after = String::new();
        loop {
            let names = import::people(load, &after, CHUNK).await?;
            let Some(last) = names.last() else { break };
            after.clone_from(last);
            import::identify(load, &self.people(names, read, strangers).await?).await?;
        }
        let mut after = 0;
        loop {
            let numbers = import::files(load, after, CHUNK).await?;
            let Some(last) = numbers.last() else { break };
            after = *last;
            let mut files = media::bulk::find(self.media, &numbers).await.context("looking files up in media")?;
            files.extend(numbers.iter().filter_map(|number| self.expected.get(number)).cloned());
            import::attach(load, &files).await?;
        }
        Ok(())
    }

    /// Those of whom the number is known: it is the name, or what the dump says of the phone, or what we do.
    pub(crate) async fn people(
        &mut self,
        names: Vec<String>,
        read: &Read,
        strangers: &mut Vec<i64>,
    ) -> anyhow::Result<Vec<Somebody>> {
        let number_of = |name: &str| match name.strip_prefix('@') {
            Some(phone) => read.numbers.get(phone).copied(),
            None => name.parse().ok(),
        };
        let numbers: Vec<i64> = names.iter().filter_map(|name| number_of(name)).collect();
        let phones: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix('@')).collect();
        let found = users::bulk::find(self.users.connection(), &numbers, &phones).await;
        let found = found.context("looking people up in users")?;
        let by_number: HashMap<_, _> = found.iter().map(|person| (person.number, person)).collect();
        let by_phone: HashMap<_, _> =
            found.iter().filter_map(|person| Some((Who::phone(person.phone.as_deref()?), person))).collect();
        let mut people = Vec::with_capacity(names.len());
        for name in names {
            let phone = name.strip_prefix('@');
            let here = phone.and_then(|phone| by_phone.get(phone)).map(|person| person.number);
            let Some(number) = number_of(&name).or(here) else { continue };
            let person = by_number.get(&number);
            if let Some(Found { here: true, phone, .. }) = person
                && is_other(read, number, phone.as_deref())
            {
                strangers.push(number);
            }
            people.push(Somebody {
                name,
                number,
                id: person.map(|person| person.id),
                here: person.is_some_and(|person| person.here),
                first_name: person.map(|person| person.first_name.clone()).unwrap_or_default(),
            });
        }
        Ok(people)
    }
}

/// Whether who has a number here has another phone than in the dump.
pub(crate) fn is_other(read: &Read, number: i64, phone: Option<&str>) -> bool {
    let phone = phone.map(Who::phone);
    read.phones.get(&number).is_some_and(|old| !phone.is_some_and(|phone| same(&phone, old)))
}

/// Whether both are one phone, which may lack its country's digits.
fn same(phone: &str, other: &str) -> bool {
    let (short, long) = if phone.len() < other.len() { (phone, other) } else { (other, phone) };
    short.len() >= 7 && long.ends_with(short)
}
