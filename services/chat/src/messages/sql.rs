use chrono::{DateTime, TimeDelta, Utc};
use proto::chat::v1::{Message, MessageKind};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use kit::wire::timestamp;

pub(crate) use lists::*;

/// A message and its room's number.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) room_id: Uuid,
    pub(crate) room_number: i64,
    pub(crate) sequence: i64,
    pub(crate) sent_change: i64,
    pub(crate) change: i64,
    pub(crate) sender_id: Option<Uuid>,
    pub(crate) sender_number: Option<i64>,
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) media_id: Option<Uuid>,
    pub(crate) media_number: Option<i64>,
    pub(crate) waveform: Vec<f32>,
    pub(crate) reply_to: Option<i64>,
    pub(crate) client_msg_id: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) edited_at: Option<DateTime<Utc>>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    pub(crate) censored: bool,
}

/// Without receipts.
impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id.to_string(),
            number: row.number,
            room_id: row.room_id.to_string(),
            room_number: row.room_number,
            sequence: row.sequence,
            change: row.change,
            sender_id: row.sender_id.map(|id| id.to_string()).unwrap_or_default(),
            sender_number: row.sender_number.unwrap_or_default(),
            kind: kind(&row.kind).into(),
            text: row.text,
            media_id: row.media_id.map(|id| id.to_string()).unwrap_or_default(),
            media_number: row.media_number.unwrap_or_default(),
            waveform: row.waveform,
            reply_to: row.reply_to.unwrap_or_default(),
            client_msg_id: row.client_msg_id.unwrap_or_default(),
            created_at: Some(timestamp(row.created_at)),
            edited_at: row.edited_at.map(timestamp),
            deleted_at: row.deleted_at.map(timestamp),
            censored: row.censored,
            receipts: Vec::new(),
        }
    }
}

fn kind(name: &str) -> MessageKind {
    MessageKind::from_str_name(&format!("MESSAGE_KIND_{name}")).unwrap_or_default()
}

/// As a column holds it: `IMAGE`.
pub(crate) fn kind_name(kind: MessageKind) -> &'static str {
    kind.as_str_name().trim_start_matches("MESSAGE_KIND_")
}

macro_rules! messages {
    ($tail:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            MessageRow,
            "select m.id, m.number, m.room_id, r.number as room_number, m.sequence, m.sent_change, m.change,
                 m.sender_id, m.sender_number, m.kind, m.text, m.media_id, m.media_number, m.waveform, m.reply_to,
                 m.client_msg_id, m.created_at, m.edited_at, m.deleted_at, m.censored
             from messages m join rooms r on r.id = m.room_id "
                + $tail
            $(, $value)*
        )
    };
}

// Behind the macro, which it uses.
mod lists;

/// Which message, by either name.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) id: Option<Uuid>,
    pub(crate) number: Option<i64>,
    /// Of which kinds its room may be; of any when there are none.
    pub(crate) kinds: Vec<String>,
}

impl Wanted {
    pub(crate) fn id(id: Uuid) -> Self {
        Self { id: Some(id), ..Self::default() }
    }
}

/// A message in a room of this member; nobody else's exists, nor what they cleared away.
pub(crate) async fn fetch_message(
    db: impl PgExecutor<'_>,
    wanted: &Wanted,
    user: Uuid,
) -> kit::Result<Option<MessageRow>> {
    let row = messages!(
        "join members me on me.room_id = m.room_id and me.user_id = $3 and me.left_at is null
         where (m.id = $1 or m.number = $2) and m.sequence > me.cleared_through
             and (cardinality($4::text[]) = 0 or r.kind = any($4))",
        wanted.id,
        wanted.number,
        user,
        &wanted.kinds
    );
    Ok(row.fetch_optional(db).await?)
}

/// Any message, for administrators.
pub(crate) async fn fetch_any_message(db: impl PgExecutor<'_>, wanted: &Wanted) -> kit::Result<Option<MessageRow>> {
    let row = messages!(
        "where (m.id = $1 or m.number = $2) and (cardinality($3::text[]) = 0 or r.kind = any($3))",
        wanted.id,
        wanted.number,
        &wanted.kinds
    );
    Ok(row.fetch_optional(db).await?)
}

/// Locks nothing: the caller holds the room's lock.
pub(crate) async fn fetch_by_client_msg_id(
    db: impl PgExecutor<'_>,
    room: Uuid,
    sender: Uuid,
    client_msg_id: &str,
) -> kit::Result<Option<MessageRow>> {
    let row =
        messages!("where m.room_id = $1 and m.sender_id = $2 and m.client_msg_id = $3", room, sender, client_msg_id);
    Ok(row.fetch_optional(db).await?)
}

/// A message to insert, with everything that was checked.
pub(crate) struct NewMessage<'a> {
    pub(crate) id: Uuid,
    pub(crate) room: Uuid,
    pub(crate) sender: Option<(Uuid, i64)>,
    pub(crate) kind: &'static str,
    pub(crate) text: &'a str,
    pub(crate) media: Option<(Uuid, i64)>,
    pub(crate) waveform: &'a [f32],
    pub(crate) reply_to: Option<i64>,
    pub(crate) client_msg_id: Option<&'a str>,
    pub(crate) censored: bool,
}

/// Gives messages of as many rooms their places. The caller holds the rooms' locks, so that nobody else is given the
/// same ones. The answers have an order of their own.
pub(crate) async fn insert_messages(
    tx: &mut PgConnection,
    new: &[NewMessage<'_>],
    now: DateTime<Utc>,
) -> kit::Result<Vec<MessageRow>> {
    let (mut waveforms, mut first, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for one in new {
        first.push(waveforms.len() as i32 + 1);
        waveforms.extend_from_slice(one.waveform);
        last.push(waveforms.len() as i32);
    }
    let rows = sqlx::query_as!(
        MessageRow,
        r#"with asked as (
               select * from unnest(
                   $1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::uuid[], $8::bigint[],
                   $9::bigint[], $10::text[], $11::boolean[], $12::int[], $13::int[]
               ) as asked (
                   id, room_id, sender_id, sender_number, kind, text, media_id, media_number,
                   reply_to, client_msg_id, censored, first, last
               )
           ),
           place as (
               update rooms r
               set last_sequence = last_sequence + 1, last_change = last_change + 1,
                   last_activity_at = greatest(last_activity_at, $15)
               from asked
               where r.id = asked.room_id
               returning r.id, r.number, r.pair, r.last_sequence, r.last_change, r.last_activity_at
           ),
           -- Only of a pair somebody hides their half; no other room's members are looked at.
           shown as (
               update members set hidden = false from place
               where place.pair is not null and members.room_id = place.id and hidden
           ),
           message as (
               insert into messages (
                   id, room_id, sequence, sent_change, change, sender_id, sender_number, kind, text, media_id,
                   media_number, waveform, reply_to, client_msg_id, censored, created_at
               )
               select a.id, a.room_id, p.last_sequence, p.last_change, p.last_change, a.sender_id, a.sender_number,
                   a.kind, a.text, a.media_id, a.media_number, ($14::real[])[a.first:a.last], a.reply_to,
                   a.client_msg_id, a.censored, p.last_activity_at
               from asked a join place p on p.id = a.room_id
               returning *
           )
           select m.id, m.number, m.room_id, place.number as room_number, m.sequence, m.sent_change, m.change,
               m.sender_id, m.sender_number, m.kind, m.text, m.media_id, m.media_number, m.waveform, m.reply_to,
               m.client_msg_id, m.created_at, m.edited_at, m.deleted_at, m.censored
           from message m join place on place.id = m.room_id"#,
        &Vec::from_iter(new.iter().map(|one| one.id)),
        &Vec::from_iter(new.iter().map(|one| one.room)),
        &Vec::from_iter(new.iter().map(|one| one.sender.map(|(id, _)| id))) as &[Option<Uuid>],
        &Vec::from_iter(new.iter().map(|one| one.sender.map(|(_, number)| number))) as &[Option<i64>],
        &Vec::from_iter(new.iter().map(|one| one.kind.to_owned())),
        &Vec::from_iter(new.iter().map(|one| one.text.to_owned())),
        &Vec::from_iter(new.iter().map(|one| one.media.map(|(id, _)| id))) as &[Option<Uuid>],
        &Vec::from_iter(new.iter().map(|one| one.media.map(|(_, number)| number))) as &[Option<i64>],
        &Vec::from_iter(new.iter().map(|one| one.reply_to)) as &[Option<i64>],
        &Vec::from_iter(new.iter().map(|one| one.client_msg_id)) as &[Option<&str>],
        &Vec::from_iter(new.iter().map(|one| one.censored)),
        &first,
        &last,
        &waveforms,
        now
    );
    Ok(rows.fetch_all(tx).await?)
}

/// The same of one message.
pub(crate) async fn insert_message(
    tx: &mut PgConnection,
    new: &NewMessage<'_>,
    now: DateTime<Utc>,
) -> kit::Result<MessageRow> {
    let mut rows = insert_messages(tx, std::slice::from_ref(new), now).await?;
    rows.pop().ok_or_else(|| sqlx::Error::RowNotFound.into())
}

/// What becomes of a message's words.
pub(crate) struct Rewrite<'a> {
    pub(crate) text: &'a str,
    pub(crate) cause: &'static str,
    /// Whether its file stays.
    pub(crate) keep_media: bool,
    pub(crate) censored: bool,
    pub(crate) now: DateTime<Utc>,
}

/// Keeps what a message said, and lets it say something else. The caller holds the room's lock.
pub(crate) async fn rewrite_message(
    tx: &mut PgConnection,
    before: &MessageRow,
    rewrite: &Rewrite<'_>,
) -> kit::Result<MessageRow> {
    let deleted = rewrite.cause == "DELETED";
    let row = sqlx::query_as!(
        MessageRow,
        r#"with place as (
               update rooms set last_change = last_change + 1 where id = $1 returning number, last_change
           ),
           former as (
               insert into versions (message_id, position, text, cause, replaced_at, media_id, media_number)
               select $2, (select count(*) from versions where message_id = $2), $3, $4, $5,
                   case when not $9 then $10::uuid end, case when not $9 then $11::bigint end
           ),
           message as (
               update messages
               set change = place.last_change, text = $6, censored = $7,
                   edited_at = case when $4 = 'EDITED' then $5 else edited_at end,
                   deleted_at = case when $8 then $5 else deleted_at end,
                   media_id = case when $9 then media_id end,
                   media_number = case when $9 then media_number end,
                   waveform = case when $9 then waveform else '{}' end
               from place
               where id = $2
               returning messages.*
           )
           select m.id, m.number, m.room_id, place.number as room_number, m.sequence, m.sent_change, m.change,
               m.sender_id, m.sender_number, m.kind, m.text, m.media_id, m.media_number, m.waveform, m.reply_to,
               m.client_msg_id, m.created_at, m.edited_at, m.deleted_at, m.censored
           from message m, place"#,
        before.room_id,
        before.id,
        before.text,
        rewrite.cause,
        rewrite.now,
        rewrite.text,
        rewrite.censored,
        deleted,
        rewrite.keep_media,
        before.media_id,
        before.media_number
    );
    Ok(row.fetch_one(tx).await?)
}

/// Keeps what a censored message wanted to say.
pub(crate) async fn insert_censored(
    tx: &mut PgConnection,
    message: Uuid,
    text: &str,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into versions (message_id, position, text, cause, replaced_at)
         select $1, (select count(*) from versions where message_id = $1), $2, 'CENSORED', $3",
        message,
        text,
        now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a message said when it was last censored.
pub(crate) async fn fetch_censored(db: impl PgExecutor<'_>, message: Uuid) -> kit::Result<Option<String>> {
    let text = sqlx::query_scalar!(
        "select text from versions where message_id = $1 and cause = 'CENSORED' order by position desc limit 1",
        message
    );
    Ok(text.fetch_optional(db).await?)
}

/// What somebody wrote in a room lately, the latest first, but for one message; also what they have deleted since, which
/// others have heard. Only among its last few messages, so it costs no more in a long room.
pub(crate) async fn list_lately(
    db: impl PgExecutor<'_>,
    room: Uuid,
    sender: Uuid,
    except: Option<Uuid>,
    last_sequence: i64,
    since: DateTime<Utc>,
) -> kit::Result<Vec<String>> {
    let texts = sqlx::query_scalar!(
        r#"select coalesce(
               case when deleted_at is not null then (
                   select v.text from versions v where v.message_id = m.id order by v.position desc limit 1
               ) end,
               m.text
           ) as "text!"
           from messages m
           where room_id = $1 and sequence > $2 and sender_id = $3 and created_at >= $4
               and id is distinct from $5 and not censored
           order by sequence desc limit 12"#,
        room,
        last_sequence - 30,
        sender,
        since,
        except
    );
    Ok(texts.fetch_all(db).await?)
}

/// What the sender of a message wrote around it, in its order, with the places: up to `window` before or after it, or
/// since `lately`. Only among the messages next to it.
pub(crate) async fn list_around(
    db: impl PgExecutor<'_>,
    message: &MessageRow,
    window: TimeDelta,
    lately: DateTime<Utc>,
) -> kit::Result<Vec<(i64, String)>> {
    let rows = sqlx::query!(
        "select sequence, text from messages
         where room_id = $1 and sequence between $2::bigint - 30 and $2 + 30 and sequence <> $2 and sender_id = $3
             and (created_at between $4 and $5 or created_at >= $6) and deleted_at is null and not censored
         order by sequence",
        message.room_id,
        message.sequence,
        message.sender_id,
        message.created_at - window,
        message.created_at + window,
        lately
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.sequence, row.text)).collect())
}

pub(crate) struct VersionRow {
    pub(crate) text: String,
    pub(crate) cause: String,
    pub(crate) replaced_at: DateTime<Utc>,
    /// The file that went with it.
    pub(crate) media_id: Option<Uuid>,
    pub(crate) media_number: Option<i64>,
}

pub(crate) async fn list_versions(db: impl PgExecutor<'_>, message: Uuid) -> kit::Result<Vec<VersionRow>> {
    let rows = sqlx::query_as!(
        VersionRow,
        "select text, cause, replaced_at, media_id, media_number from versions where message_id = $1 order by position",
        message
    );
    Ok(rows.fetch_all(db).await?)
}

/// The rooms in which a file is shown; see `drop_media`.
pub(crate) async fn list_rooms_of_media(db: impl PgExecutor<'_>, media: Uuid) -> kit::Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!("select distinct room_id from messages where media_id = $1 order by room_id", media)
        .fetch_all(db)
        .await?)
}

/// Takes a file that is gone out of the messages of a room; each is a change. The caller holds the room's lock.
pub(crate) async fn drop_media(tx: &mut PgConnection, room: Uuid, media: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "with gone as (
             select id, row_number() over (order by sequence) as position
             from messages where room_id = $1 and media_id = $2
         ),
         place as (
             update rooms set last_change = last_change + (select count(*) from gone) where id = $1
             returning last_change - (select count(*) from gone) as before
         )
         update messages m
         set media_id = null, media_number = null, waveform = '{}', change = place.before + gone.position
         from gone, place where m.id = gone.id",
        room,
        media
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The first sequence that was not sent before this moment.
pub(crate) async fn fetch_sequence_at(db: impl PgExecutor<'_>, room: Uuid, moment: DateTime<Utc>) -> kit::Result<i64> {
    let sequence = sqlx::query_scalar!("select sequence_at($1, $2)", room, moment).fetch_one(db).await?;
    Ok(sequence.unwrap_or_default())
}

pub(crate) async fn fetch_last_sequence(db: impl PgExecutor<'_>, room: Uuid) -> kit::Result<i64> {
    let last = sqlx::query_scalar!("select last_sequence from rooms where id = $1", room).fetch_optional(db).await?;
    Ok(last.unwrap_or_default())
}
