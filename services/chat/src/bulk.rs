//! Rooms, messages and receipts of another chat, brought in as they were, numbers included; see [`kit::bulk::import`] for
//! the order of doing it. Nothing is told to anybody: it is history.

mod sql;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::import::{self, Outcome};
use kit::bulk::{Load, Value};
use sqlx::PgPool;

/// A room, by its number.
#[derive(Clone, Debug)]
pub struct Room {
    /// Where it stands in what is imported; of two with one number the later counts.
    pub place: i64,
    pub number: i64,
    pub private: bool,
    pub name: String,
    /// As the import names people; see [`import::Somebody`].
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

/// Begins an import. Who has no account any more stays in pairs, as they do who delete theirs, and in no group.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    import::begin(pool, sql::STAGE).await
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
    import::run(load, &[sql::GATHER]).await
}

/// Makes rooms, messages and receipts of what was staged. From here on nobody else writes until the load ends, one way
/// or the other.
pub async fn merge(load: &mut Load) -> Result<Outcome> {
    import::run(load, &[sql::ROOMS, sql::MESSAGES, sql::RECEIPTS, sql::NOTES]).await?;
    import::outcome(load).await
}

/// Makes it true, with the next free numbers behind everything that was imported.
pub async fn finish(mut load: Load) -> Result<()> {
    import::run(&mut load, &[sql::SEQUENCES]).await?;
    load.finish().await
}
