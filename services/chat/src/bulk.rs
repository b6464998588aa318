//! Rooms, messages and receipts of another chat, brought in as they were, numbers included. The caller stages what it
//! reads, says who the people and files are, and then merges; all of one import is one transaction, so whoever is killed
//! in between leaves nothing, and doing it again is doing it once. Nothing is told to anybody: it is history.
//!
//! What is staged lies in temporary tables, which no query can be checked against while it compiles.

mod sql;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::{Load, Value};
use sqlx::PgPool;
use uuid::Uuid;

/// A room, by its number.
#[derive(Clone, Debug)]
pub struct Room {
    /// Where it stands in what is imported; of two with one number the later counts.
    pub place: i64,
    pub number: i64,
    pub private: bool,
    pub name: String,
    /// As the import names people; see [`Somebody`].
    pub people: Vec<String>,
    pub created_at: DateTime<Utc>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    pub place: i64,
    pub number: i64,
    pub room: i64,
    pub sender: String,
    pub text: String,
    pub media: Option<i64>,
    pub sent_at: DateTime<Utc>,
}

/// Whether somebody has a message and has read it. Times may be unknown.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub place: i64,
    pub number: i64,
    pub message: i64,
    pub person: String,
    pub delivered: bool,
    pub delivered_at: Option<DateTime<Utc>>,
    pub read: bool,
    pub read_at: Option<DateTime<Utc>>,
}

/// Who is meant by a name in the import.
#[derive(Clone, Debug)]
pub struct Somebody {
    pub name: String,
    pub number: i64,
    /// Absent when nobody here has this number; they are given an id of their own.
    pub id: Option<Uuid>,
    /// Whether the account exists. Who has none stays in pairs, as they do who delete theirs, and in no group.
    pub here: bool,
}

/// A file that is there.
#[derive(Clone, Copy, Debug)]
pub struct File {
    pub number: i64,
    pub id: Uuid,
    /// `IMAGE`, `VOICE` or `FILE`.
    pub kind: &'static str,
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

/// Begins an import.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    let mut load = Load::begin(pool, &[]).await?;
    // What others wrote here is none of our facts, so constraints stay on guard.
    sqlx::raw_sql("set local session_replication_role = origin; set local work_mem = '256MB'")
        .execute(load.connection())
        .await?;
    sqlx::raw_sql(sql::STAGE).execute(load.connection()).await?;
    Ok(load)
}

pub async fn stage_rooms(load: &mut Load, rooms: &[Room]) -> Result<()> {
    let mut copy = load.copy("import_rooms", &["place", "number", "private", "name", "created_at"]).await?;
    for room in rooms {
        let (place, number) = (room.place.into(), room.number.into());
        copy.row(&[place, number, room.private.into(), Value::Text(&room.name), room.created_at.into()]).await?;
    }
    copy.finish().await?;
    let mut copy = load.copy("import_participants", &["place", "room", "name"]).await?;
    for (room, person) in rooms.iter().flat_map(|room| room.people.iter().map(move |person| (room, person))) {
        copy.row(&[room.place.into(), room.number.into(), Value::Text(person)]).await?;
    }
    copy.finish().await.map(drop)
}

pub async fn stage_messages(load: &mut Load, messages: &[Message]) -> Result<()> {
    const COLUMNS: &[&str] = &["place", "number", "room", "name", "words", "media", "sent_at"];
    let mut copy = load.copy("import_messages", COLUMNS).await?;
    for message in messages {
        let row: [Value<'_>; 7] = [
            message.place.into(),
            message.number.into(),
            message.room.into(),
            Value::Text(&message.sender),
            Value::Text(&message.text),
            message.media.into(),
            message.sent_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await.map(drop)
}

pub async fn stage_receipts(load: &mut Load, receipts: &[Receipt]) -> Result<()> {
    const COLUMNS: &[&str] =
        &["place", "number", "message", "name", "delivered", "delivered_at", "was_read", "read_at"];
    let mut copy = load.copy("import_receipts", COLUMNS).await?;
    for receipt in receipts {
        let row: [Value<'_>; 8] = [
            receipt.place.into(),
            receipt.number.into(),
            receipt.message.into(),
            Value::Text(&receipt.person),
            receipt.delivered.into(),
            receipt.delivered_at.into(),
            receipt.read.into(),
            receipt.read_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await.map(drop)
}

/// Everything is staged: of what came twice the later counts, and the names that occur are gathered.
pub async fn staged(load: &mut Load) -> Result<()> {
    sqlx::raw_sql(sql::GATHER).execute(load.connection()).await?;
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
    sqlx::query(
        "update import_people p set number = s.number, id = coalesce(s.id, pg_temp.import_id('03', s.number)), here = s.here
         from unnest($1::text[], $2::bigint[], $3::uuid[], $4::bool[]) as s (name, number, id, here) where p.name = s.name",
    )
    .bind(names)
    .bind(numbers)
    .bind(ids)
    .bind(here)
    .execute(load.connection())
    .await?;
    Ok(())
}

/// The next numbers of files behind one.
pub async fn files(load: &mut Load, after: i64, limit: i64) -> Result<Vec<i64>> {
    let numbers = sqlx::query_scalar("select number from import_files where number > $1 order by number limit $2");
    Ok(numbers.bind(after).bind(limit).fetch_all(load.connection()).await?)
}

/// Says which files there are; the others are missing.
pub async fn attach(load: &mut Load, files: &[File]) -> Result<()> {
    let numbers: Vec<_> = files.iter().map(|file| file.number).collect();
    let ids: Vec<_> = files.iter().map(|file| file.id).collect();
    let kinds: Vec<_> = files.iter().map(|file| file.kind).collect();
    sqlx::query(
        "update import_files f set id = s.id, kind = s.kind
         from unnest($1::bigint[], $2::uuid[], $3::text[]) as s (number, id, kind) where f.number = s.number",
    )
    .bind(numbers)
    .bind(ids)
    .bind(kinds)
    .execute(load.connection())
    .await?;
    Ok(())
}

/// Makes rooms, messages and receipts of what was staged. From here on nobody else writes until the load ends, one way
/// or the other.
pub async fn merge(load: &mut Load) -> Result<Outcome> {
    for statements in [sql::ROOMS, sql::MESSAGES, sql::RECEIPTS] {
        sqlx::raw_sql(statements).execute(load.connection()).await?;
    }
    let counts = sqlx::query_as(sql::COUNTS).fetch_all(load.connection()).await?;
    let conflicts = sqlx::query_scalar("select what from import_conflicts order by position limit 20");
    let conflicts = conflicts.fetch_all(load.connection()).await?;
    let notes = sqlx::query_as(sql::NOTES).fetch_all(load.connection()).await?;
    Ok(Outcome { counts, conflicts, notes })
}

/// Makes it true, with the next free numbers behind everything that was imported.
pub async fn finish(mut load: Load) -> Result<()> {
    sqlx::raw_sql(sql::SEQUENCES).execute(load.connection()).await?;
    load.finish().await
}
