//! What the imports of another platform's data do alike. The caller stages what it reads, says who the people and files
//! are, and then merges; all of one import is one transaction, so whoever is killed in between leaves nothing, and doing
//! it again is doing it once.
//!
//! What is staged lies in temporary tables, which no query can be checked against while it compiles. A service makes its
//! own, and fills `import_people` and `import_files` with those that it names.

use sqlx::PgPool;
use uuid::Uuid;

use crate::bulk::Load;
use crate::error::Result;

/// Ids are made of numbers, so that the same thing has the same id the next time: nothing else is needed to know it again.
const STAGE: &str = "
create or replace function pg_temp.import_id(kind text, number bigint) returns uuid language sql immutable
    return ('706c617a-61' || kind || '-8000-8000-' || lpad(to_hex(number), 12, '0'))::uuid;
create temporary table import_conflicts (position bigint generated always as identity, what text) on commit drop;
create temporary table import_counts (what text, outcome text, count bigint) on commit drop;
create temporary table import_notes (what text, count bigint) on commit drop;
create temporary table import_people (
    name text collate \"C\" primary key, number bigint, id uuid, here boolean not null default false,
    first_name text not null default ''
) on commit drop;
create temporary table import_files (
    number bigint, private boolean not null default false, id uuid, owner_id uuid, content_type text,
    primary key (number, private)
) on commit drop;
";

/// Who is meant by a name in the import.
#[derive(Clone, Debug)]
pub struct Somebody {
    pub name: String,
    pub number: i64,
    /// Absent when nobody here has this number; they are given an id of their own.
    pub id: Option<Uuid>,
    /// Whether the account exists.
    pub here: bool,
    /// Empty when nobody here has this number.
    pub first_name: String,
}

/// A file that is there.
#[derive(Clone, Debug)]
pub struct File {
    pub number: i64,
    pub id: Uuid,
    /// Whether only its owner and administrators may see it.
    pub private: bool,
    pub owner_id: Option<Uuid>,
    /// Empty where nobody knows it.
    pub content_type: String,
}

/// What became of the import.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What, what became of it (`imported`, `there`, `conflict`, or why it was left out), and how many.
    pub counts: Vec<(String, String, i64)>,
    /// The first of them.
    pub conflicts: Vec<String>,
    /// What came out otherwise than it was, and how often.
    pub notes: Vec<(String, i64)>,
}

impl Outcome {
    /// How many came to this.
    pub fn count(&self, outcome: &str) -> i64 {
        self.counts.iter().filter(|(_, found, _)| found == outcome).map(|(_, _, count)| count).sum()
    }

    /// Both as one.
    pub fn extend(&mut self, other: Self) {
        self.counts.extend(other.counts);
        self.conflicts.extend(other.conflicts);
        self.notes.extend(other.notes);
    }
}

/// Begins an import with the service's own tables.
pub async fn begin(pool: &PgPool, stage: &'static str) -> Result<Load> {
    let mut load = Load::begin(pool, &[]).await?;
    // What others wrote is none of our facts, so constraints and triggers stay on guard.
    sqlx::raw_sql("set local session_replication_role = origin; set local work_mem = '256MB'")
        .execute(load.connection())
        .await?;
    run(&mut load, &[STAGE, stage]).await?;
    Ok(load)
}

/// Runs the service's statements, one after the other.
pub async fn run(load: &mut Load, statements: &[&'static str]) -> Result<()> {
    for statements in statements {
        sqlx::raw_sql(*statements).execute(load.connection()).await?;
    }
    Ok(())
}

/// The next names of people behind one, in some order.
pub async fn people(load: &mut Load, after: &str, limit: i64) -> Result<Vec<String>> {
    let names =
        sqlx::query_scalar(r#"select name from import_people where name > $1 collate "C" order by name limit $2"#);
    Ok(names.bind(after).bind(limit).fetch_all(load.connection()).await?)
}

/// Says who these are; of whom nothing is said, nobody knows the number.
pub async fn identify(load: &mut Load, people: &[Somebody]) -> Result<()> {
    let names: Vec<_> = people.iter().map(|person| person.name.as_str()).collect();
    let numbers: Vec<_> = people.iter().map(|person| person.number).collect();
    let ids: Vec<_> = people.iter().map(|person| person.id).collect();
    let here: Vec<_> = people.iter().map(|person| person.here).collect();
    let first_names: Vec<_> = people.iter().map(|person| person.first_name.as_str()).collect();
    sqlx::query(
        "update import_people p set number = s.number, id = coalesce(s.id, pg_temp.import_id('03', s.number)),
             here = s.here, first_name = s.first_name
         from unnest($1::text[], $2::bigint[], $3::uuid[], $4::bool[], $5::text[]) as s (name, number, id, here, first_name)
         where p.name = s.name",
    )
    .bind(names)
    .bind(numbers)
    .bind(ids)
    .bind(here)
    .bind(first_names)
    .execute(load.connection())
    .await?;
    Ok(())
}

/// The next numbers of files behind one.
pub async fn files(load: &mut Load, after: i64, limit: i64) -> Result<Vec<i64>> {
    let numbers =
        sqlx::query_scalar("select distinct number from import_files where number > $1 order by number limit $2");
    Ok(numbers.bind(after).bind(limit).fetch_all(load.connection()).await?)
}

/// Says which files there are; the others are missing, and so are private ones where others should see them, and public
/// ones where not.
pub async fn attach(load: &mut Load, files: &[File]) -> Result<()> {
    let numbers: Vec<_> = files.iter().map(|file| file.number).collect();
    let ids: Vec<_> = files.iter().map(|file| file.id).collect();
    let private: Vec<_> = files.iter().map(|file| file.private).collect();
    let owners: Vec<_> = files.iter().map(|file| file.owner_id).collect();
    let types: Vec<_> = files.iter().map(|file| file.content_type.as_str()).collect();
    sqlx::query(
        "update import_files f set id = s.id, owner_id = s.owner_id, content_type = s.content_type
         from unnest($1::bigint[], $2::uuid[], $3::bool[], $4::uuid[], $5::text[])
             as s (number, id, private, owner_id, content_type)
         where f.number = s.number and f.private = s.private",
    )
    .bind(numbers)
    .bind(ids)
    .bind(private)
    .bind(owners)
    .bind(types)
    .execute(load.connection())
    .await?;
    Ok(())
}

/// Says that files which were attached are not there after all.
pub async fn detach(load: &mut Load, numbers: &[i64]) -> Result<()> {
    let absent = "update import_files set id = null, owner_id = null, content_type = null where number = any($1)";
    sqlx::query(absent).bind(numbers).execute(load.connection()).await?;
    Ok(())
}

/// What `import_counts`, `import_conflicts` and `import_notes` say by now.
pub async fn outcome(load: &mut Load) -> Result<Outcome> {
    let counts = sqlx::query_as(
        "select what, outcome, sum(count)::bigint from import_counts group by what, outcome having sum(count) > 0",
    );
    let counts = counts.fetch_all(load.connection()).await?;
    let conflicts = sqlx::query_scalar("select what from import_conflicts order by position limit 20");
    let conflicts = conflicts.fetch_all(load.connection()).await?;
    let notes = sqlx::query_as(
        "select what, sum(count)::bigint from import_notes group by what having sum(count) > 0 order by what",
    );
    let notes = notes.fetch_all(load.connection()).await?;
    Ok(Outcome { counts, conflicts, notes })
}
