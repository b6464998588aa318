//! Who and what of a dump is here: people and files keep the numbers they had in the monolith, and were brought in before.
//! Read from the databases of `users` and `media`, since no RPC tells of hundreds of thousands to somebody who is nobody.

use std::collections::HashMap;

use anyhow::Context;
use kit::bulk::Load;
use sqlx::PgPool;
use uuid::Uuid;

use crate::import::dump::Read;

/// Names, or numbers, that are looked up together.
const CHUNK: i64 = 10_000;

/// Where people and files are known.
pub(crate) struct Known {
    pub(crate) users: PgPool,
    pub(crate) media: PgPool,
}

/// Who is meant by a name.
struct Somebody {
    name: String,
    number: i64,
    id: Option<Uuid>,
    here: bool,
}

#[derive(sqlx::FromRow)]
struct Person {
    number: i64,
    id: Uuid,
    phone: Option<String>,
    here: bool,
}

impl Known {
    /// Tells `chat` whom and what its import names. Numbers of people here who have another phone than in the dump are
    /// added to `strangers`.
    pub(crate) async fn introduce_to_chat(
        &self,
        load: &mut Load,
        read: &Read,
        strangers: &mut Vec<i64>,
    ) -> anyhow::Result<()> {
        let mut after = String::new();
        loop {
            let names = chat::bulk::people(load, &after, CHUNK).await?;
            let Some(last) = names.last() else { break };
            after.clone_from(last);
            let people = self.people(names, read, strangers).await?.into_iter();
            let people: Vec<_> = people
                .map(|Somebody { name, number, id, here }| chat::bulk::Somebody { name, number, id, here })
                .collect();
            chat::bulk::identify(load, &people).await?;
        }
        let mut after = 0;
        loop {
            let numbers = chat::bulk::files(load, after, CHUNK).await?;
            let Some(last) = numbers.last() else { break };
            after = *last;
            let files = self.files(&numbers).await?.into_iter();
            let files: Vec<_> =
                files.map(|(number, id, kind)| chat::bulk::File { number, id, kind: kind_of(&kind) }).collect();
            chat::bulk::attach(load, &files).await?;
        }
        Ok(())
    }

    /// The same for `forum`.
    pub(crate) async fn introduce_to_forum(
        &self,
        load: &mut Load,
        read: &Read,
        strangers: &mut Vec<i64>,
    ) -> anyhow::Result<()> {
        use forum::bulk::import;
        let mut after = String::new();
        loop {
            let names = import::people(load, &after, CHUNK).await?;
            let Some(last) = names.last() else { break };
            after.clone_from(last);
            let people = self.people(names, read, strangers).await?.into_iter();
            let people: Vec<_> =
                people.map(|Somebody { name, number, id, here }| import::Somebody { name, number, id, here }).collect();
            import::identify(load, &people).await?;
        }
        let mut after = 0;
        loop {
            let numbers = import::files(load, after, CHUNK).await?;
            let Some(last) = numbers.last() else { break };
            after = *last;
            let files: Vec<_> = self.files(&numbers).await?.into_iter().map(|(number, id, _)| (number, id)).collect();
            import::attach(load, &files).await?;
        }
        Ok(())
    }

    /// Those of whom the number is known: it is the name, or what the dump says of the phone, or what we do.
    async fn people(&self, names: Vec<String>, read: &Read, strangers: &mut Vec<i64>) -> anyhow::Result<Vec<Somebody>> {
        let number_of = |name: &str| match name.strip_prefix('@') {
            Some(phone) => read.numbers.get(phone).copied(),
            None => name.parse().ok(),
        };
        let numbers: Vec<i64> = names.iter().filter_map(|name| number_of(name)).collect();
        let phones: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix('@')).collect();
        let found: Vec<Person> = sqlx::query_as(
            "select number, id, phone, state <> 'DELETED' as here from people
             where number = any($1) or (phone = any($2) and state <> 'DELETED')",
        )
        .bind(&numbers)
        .bind(&phones)
        .fetch_all(&self.users)
        .await
        .context("looking people up in users")?;
        let by_number: HashMap<i64, &Person> = found.iter().map(|person| (person.number, person)).collect();
        let by_phone: HashMap<&str, &Person> =
            found.iter().filter_map(|person| Some((person.phone.as_deref()?, person))).collect();
        let mut people = Vec::with_capacity(names.len());
        for name in names {
            let phone = name.strip_prefix('@');
            let here = phone.and_then(|phone| by_phone.get(phone)).map(|person| person.number);
            let Some(number) = number_of(&name).or(here) else { continue };
            let person = by_number.get(&number);
            if let (Some(Person { here: true, phone, .. }), Some(old)) = (person, read.phones.get(&number))
                && !phone.as_deref().is_some_and(|phone| same(phone, old))
            {
                strangers.push(number);
            }
            people.push(Somebody {
                name,
                number,
                id: person.map(|person| person.id),
                here: person.is_some_and(|person| person.here),
            });
        }
        Ok(people)
    }

    /// Number, id and content type of those that are there; what is private is for no room and no post.
    async fn files(&self, numbers: &[i64]) -> anyhow::Result<Vec<(i64, Uuid, String)>> {
        let files = sqlx::query_as(
            "select f.number, f.id, coalesce(b.content_type, '') from files f left join blobs b on b.id = f.blob_id
             where f.number = any($1) and f.folder <> 'verification'",
        );
        files.bind(numbers).fetch_all(&self.media).await.context("looking files up in media")
    }
}

/// Whether both are one phone, which may lack its country's digits.
fn same(phone: &str, other: &str) -> bool {
    let (short, long) = if phone.len() < other.len() { (phone, other) } else { (other, phone) };
    short.len() >= 7 && long.ends_with(short)
}

/// As `chat` takes a file of this content type.
fn kind_of(content_type: &str) -> &'static str {
    match content_type.split('/').next() {
        Some("image") => "IMAGE",
        Some("audio") => "VOICE",
        _ => "FILE",
    }
}
