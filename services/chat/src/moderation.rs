//! Contact details where they may not be told: each message that tells some is censored and an infraction of its
//! sender, and the third closes chats to them for some days.
//!
//! One message is one infraction, however often it is edited. Infractions count until the ban they led to ends, by time
//! or by an administrator: then they are served, and counting begins anew. A review that finds nothing wrong takes an
//! infraction back, and the ban too if there are fewer than three without it. Infractions and standings change together
//! under the standing's lock, so `standings.infractions` is always the number of rows that count.

mod sql;
mod standing;

use chrono::{DateTime, TimeDelta, Utc};
use kit::db::{begin, commit};
use kit::error::denied;
use kit::identity::caller;
use kit::page::size;
use kit::wire::{parse_id, timestamp};
use proto::chat::v1::moderation_service_server::ModerationService;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::user_key::Key;
use proto::chat::v1::{
    GetStandingRequest, Infraction, LiftBanRequest, ListInfractionsRequest, ListInfractionsResponse,
    ReportInfractionRequest, ReviewMessageRequest, ReviewMessageResponse, RoomKind, ServerFrame, Standing, UserKey,
    Verdict, Warning,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Chat;
use crate::contact::{self, Kind};
use crate::hub::{Audience, Line, News, Packet};
use crate::members::{LockedRoom, lock_room};
use crate::messages::no_such_message;
use crate::messages::sql::{
    MessageRow, Rewrite, Wanted, fetch_any_message, fetch_censored, insert_censored, list_around, list_lately,
    rewrite_message,
};
use crate::queue::Parcel;
use sql::*;
use standing::{STRIKES, StandingRow, Told, begin_anew, lapse, settle};

/// What a censored message says.
pub const CENSORED: &str = "*** Mensaje bloqueado por incluir datos de contacto ***";

/// For how long a detail may be told in pieces.
const LATELY: TimeDelta = TimeDelta::minutes(10);

#[tonic::async_trait]
impl ModerationService for Chat {
    async fn report_infraction(&self, request: Request<ReportInfractionRequest>) -> Result<Response<Standing>, Status> {
        let request = request.into_inner();
        let user = self.person(Some(&UserKey { key: Some(Key::Id(request.user_id)) })).await?.id;
        let external_id = Some(request.external_id).filter(|id| !id.is_empty());
        let reasons = Vec::from_iter(Some(request.reason).filter(|reason| !reason.is_empty()));
        let standing = self.report(user, external_id.as_deref(), &reasons).await?;
        Ok(Response::new(standing))
    }

    async fn get_standing(&self, request: Request<GetStandingRequest>) -> Result<Response<Standing>, Status> {
        let caller = caller(&request)?;
        let user = match &*request.get_ref().user_id {
            "" => caller.id,
            id => parse_id("user_id", id)?,
        };
        caller.may_act_for(user)?;
        let standing = fetch_standing(&self.db, user).await?.unwrap_or_else(|| StandingRow::clean(user));
        Ok(Response::new(standing.shown(self.clock.now(), &standing)))
    }

    async fn list_infractions(
        &self,
        request: Request<ListInfractionsRequest>,
    ) -> Result<Response<ListInfractionsResponse>, Status> {
        let request = request.into_inner();
        let verdicts: Vec<String> = match request.verdict() {
            Verdict::Unspecified => ["PENDING", "APPROVED", "REJECTED", "BLOCKED"].map(str::to_owned).into(),
            verdict => vec![name(verdict).to_owned()],
        };
        let scope = format!("ListInfractions {} {:?}", request.user_id, request.verdict());
        let after = self.pager.open::<Place>(&scope, &request.page_token)?;
        let limit = size(request.page_size, 20, 100);
        let mut rows = match &*request.user_id {
            "" => list_infractions(&self.db, &verdicts, after, limit + 1).await?,
            id => list_infractions_of(&self.db, parse_id("user_id", id)?, &verdicts, after, limit + 1).await?,
        };
        let next_page_token =
            self.pager.cut(&scope, &mut rows, limit, |last| Place { created_at: last.created_at, id: last.id })?;
        let infractions = rows.into_iter().map(Infraction::from).collect();
        Ok(Response::new(ListInfractionsResponse { infractions, next_page_token }))
    }

    async fn review_message(
        &self,
        request: Request<ReviewMessageRequest>,
    ) -> Result<Response<ReviewMessageResponse>, Status> {
        let reviewer = caller(&request)?.id;
        let request = request.into_inner();
        let message = parse_id("message_id", &request.message_id)?;
        let now = self.clock.now();
        let seen = fetch_any_message(&self.db, &Wanted::id(message)).await?.ok_or_else(no_such_message)?;

        let mut tx = begin(&self.db).await?;
        lock_room(&mut tx, seen.room_id).await?.ok_or_else(no_such_message)?;
        // Again, because it may have changed while we waited. Notices of the platform are nobody's infraction.
        let row = fetch_any_message(&mut *tx, &Wanted::id(message)).await?.ok_or_else(no_such_message)?;
        let sender = row.sender_id.ok_or_else(no_such_message)?;
        let review = Review { message: &row, sender, verdict: request.verdict(), reviewer, note: &request.reason };
        let changed = review.change_message(&mut tx, now).await?;
        let (standing, banned) = review.change_standing(&mut tx, now, self.moderation.ban()).await?;
        match changed {
            Some(row) => drop(self.commit_change(tx, row).await?),
            None => commit(tx).await?,
        }
        if banned {
            self.tell_ban(sender);
        }
        Ok(Response::new(ReviewMessageResponse { standing: Some(standing) }))
    }

    async fn lift_ban(&self, request: Request<LiftBanRequest>) -> Result<Response<Standing>, Status> {
        let user = parse_id("user_id", &request.get_ref().user_id)?;
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let mut standing = lock_standing(&mut tx, user).await?;
        if standing.banned_until.is_some() {
            begin_anew(&mut tx, &mut standing).await?;
        }
        commit(tx).await?;
        Ok(Response::new(standing.shown(now, &standing)))
    }
}

impl Chat {
    /// Tells of bans that have ended, and lets counting begin anew. Nobody has to wait for it: what is asked of a standing
    /// is asked for a moment.
    pub async fn end_bans(&self) -> kit::Result<()> {
        loop {
            let mut tx = begin(&self.db).await?;
            let Some(mut standing) = lock_ended(&mut tx, self.clock.now()).await? else { return Ok(()) };
            begin_anew(&mut tx, &mut standing).await?;
            commit(tx).await?;
        }
    }
}

/// What is moderated, and what follows.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Kinds of rooms where contact details may not be told.
    #[arg(
        long,
        env = "CHAT_MODERATED_ROOMS",
        value_delimiter = ',',
        default_value = "deal",
        value_parser = ["pair", "group", "deal", "none"]
    )]
    pub moderated_rooms: Vec<String>,

    /// Days that moderated rooms are closed to whoever told contact details three times.
    #[arg(long, env = "CHAT_BAN_DAYS", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub ban_days: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { moderated_rooms: vec!["deal".to_owned()], ban_days: 7 }
    }
}

impl Settings {
    pub(crate) fn cover(&self, kind: &str) -> bool {
        self.moderated_rooms.iter().any(|covered| covered.eq_ignore_ascii_case(kind))
    }

    pub(crate) fn covers(&self, kind: RoomKind) -> bool {
        self.cover(kind.as_str_name().trim_start_matches("ROOM_KIND_"))
    }

    /// Those kinds as rows name them.
    fn kinds(&self) -> Vec<String> {
        self.moderated_rooms.iter().map(|kind| kind.to_uppercase()).collect()
    }

    /// Whether a text may not be what a room of this kind is called.
    pub(crate) fn forbids(&self, kind: RoomKind, text: &str) -> bool {
        self.covers(kind) && !contact::find(text).is_empty()
    }

    fn ban(&self) -> TimeDelta {
        TimeDelta::days(self.ban_days.into())
    }
}

impl Chat {
    /// Notes what another channel noticed, once for each of its names.
    pub(crate) async fn report(
        &self,
        user: Uuid,
        external_id: Option<&str>,
        reasons: &[String],
    ) -> kit::Result<Standing> {
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let mut standing = lock_standing(&mut tx, user).await?;
        lapse(&mut tx, &mut standing, now).await?;
        let before = standing.clone();
        let mut banned = false;
        if insert_report(&mut tx, user, external_id, reasons, now).await? {
            banned = standing.strike(now, self.moderation.ban());
            settle(&mut tx, &mut standing, &Told { reasons, ..Told::default() }).await?;
        }
        commit(tx).await?;
        if banned {
            self.tell_ban(user);
        }
        Ok(standing.shown(now, &before))
    }

    /// What a text tells that it may not tell in this room, also together with what its sender told the others in it just
    /// before, here or elsewhere. The caller holds the room's lock. Reason: `CHAT_BANNED`.
    pub(crate) async fn told(
        &self,
        tx: &mut PgConnection,
        room: &LockedRoom,
        sender: Uuid,
        text: &str,
        now: DateTime<Utc>,
    ) -> kit::Result<Vec<Kind>> {
        match self.told_alone(tx, room, sender, text, now).await? {
            Some(told) => Ok(told),
            None => self.told_lately(tx, room, sender, None, text, now).await,
        }
    }

    /// The same of what a message is to say instead. Whoever reads the room finds it between its neighbours, and whoever
    /// has it open hears it behind what was said lately.
    pub(crate) async fn told_instead(
        &self,
        tx: &mut PgConnection,
        room: &LockedRoom,
        message: &MessageRow,
        text: &str,
        now: DateTime<Utc>,
    ) -> kit::Result<Vec<Kind>> {
        let Some(sender) = message.sender_id else { return Ok(Vec::new()) };
        if let Some(told) = self.told_alone(&mut *tx, room, sender, text, now).await? {
            return Ok(told);
        }
        let around = list_around(&mut *tx, message, LATELY, now - LATELY).await?;
        let (before, after) = around.split_at(around.partition_point(|(sequence, _)| *sequence < message.sequence));
        let [before, after] = [before, after].map(|side| side.iter().map(|(_, text)| &**text).collect::<Vec<_>>());
        let told = contact::find_around(&before, text, &after);
        let told = if told.is_empty() { contact::find_pieces(&before, text, &after) } else { told };
        if !told.is_empty() {
            return Ok(told);
        }
        self.told_lately(tx, room, sender, Some(message.id), text, now).await
    }

    /// What a text tells together with what its sender wrote just before, but for the message that is to say it; with a
    /// piece of a detail, also together with all pieces that the others in the room heard lately.
    async fn told_lately(
        &self,
        tx: &mut PgConnection,
        room: &LockedRoom,
        sender: Uuid,
        except: Option<Uuid>,
        text: &str,
        now: DateTime<Utc>,
    ) -> kit::Result<Vec<Kind>> {
        let since = now - LATELY;
        if contact::is_fragment(text) {
            let mut before = list_lately(&mut *tx, room.id, sender, except, room.last_sequence, since).await?;
            before.reverse();
            let before: Vec<_> = before.iter().map(String::as_str).collect();
            let told = contact::find_across(&before, text);
            if !told.is_empty() {
                return Ok(told);
            }
        }
        if !contact::is_piece(text) {
            return Ok(Vec::new());
        }
        lock_pieces(tx, sender).await?;
        let heard = list_heard(tx, room.id, &self.moderation.kinds(), sender, since).await?;
        // Who corrects a number tells no second one.
        let corrected = |at: usize| {
            let former = &heard[at];
            let later = heard[at + 1..].iter().find(|later| later.message_id == former.message_id);
            let instead = later.map(|later| &*later.text).or((except == Some(former.message_id)).then_some(text));
            instead.is_some_and(|instead| contact::corrects(instead, &former.text))
        };
        let before: Vec<_> = (0..heard.len()).filter(|at| !corrected(*at)).map(|at| &*heard[at].text).collect();
        Ok(contact::find_pieces(&before, text, &[]))
    }

    /// What a text tells by itself; nothing, if it may be a part of something that is told in pieces.
    async fn told_alone(
        &self,
        tx: &mut PgConnection,
        room: &LockedRoom,
        sender: Uuid,
        text: &str,
        now: DateTime<Utc>,
    ) -> kit::Result<Option<Vec<Kind>>> {
        if !self.moderation.cover(&room.kind) {
            return Ok(Some(Vec::new()));
        }
        if fetch_standing(tx, sender).await?.is_some_and(|standing| standing.banned(now)) {
            return Err(banned());
        }
        let told = contact::find(text);
        let part = || contact::is_fragment(text) || contact::is_piece(text);
        Ok(Some(told).filter(|told| !told.is_empty() || !part()))
    }

    /// Whether those who are banned may not be in this room. Reason, if this person is: `CHAT_BANNED`.
    pub(crate) async fn admit(&self, room: Uuid, user: Uuid) -> kit::Result<bool> {
        match fetch_ban(&self.db, room, user).await? {
            Some((kind, _)) if !self.moderation.cover(&kind) => Ok(false),
            Some((_, Some(until))) if until > self.now() => Err(banned()),
            found => Ok(found.is_some()),
        }
    }

    /// Whether this person may open new rooms of this kind. Reason, if not: `CHAT_BANNED`.
    pub(crate) async fn admit_to_new(&self, tx: &mut PgConnection, kind: RoomKind, user: Uuid) -> kit::Result<()> {
        let standing = if self.moderation.covers(kind) { fetch_standing(tx, user).await? } else { None };
        match standing.is_some_and(|standing| standing.banned(self.now())) {
            true => Err(banned()),
            false => Ok(()),
        }
    }

    /// Closes the streams on moderated rooms of somebody whose ban is committed.
    pub(crate) fn tell_ban(&self, user: Uuid) {
        self.hub.tell(Packet { line: Line::Person(user), audience: Audience::All, news: News::Banned });
    }

    /// Closes what other replicas' news would have closed while they could not be heard.
    pub(crate) async fn compare_bans(&self) -> kit::Result<()> {
        let readers = self.hub.streams();
        for readers in readers.chunks(1_000) {
            let users: Vec<_> = readers.iter().map(|reader| reader.user).collect();
            for user in list_banned(&self.db, &users, self.now()).await? {
                readers.iter().filter(|reader| reader.user == user).for_each(|reader| reader.queue.banned());
            }
        }
        Ok(())
    }

    /// Keeps the words of a message that was stored without them, and notes the infraction, if the message has none that
    /// counts. Nothing, if it told nothing. Publishes, so whatever else is to be locked comes before. Whether it led to
    /// a ban, to be told when it is committed.
    pub(crate) async fn record(
        &self,
        tx: &mut PgConnection,
        message: &MessageRow,
        text: &str,
        told: &[Kind],
        now: DateTime<Utc>,
    ) -> kit::Result<Option<Struck>> {
        let Some(sender) = message.sender_id.filter(|_| !told.is_empty()) else { return Ok(None) };
        insert_censored(&mut *tx, message.id, text, now).await?;
        let reasons: Vec<_> = told.iter().map(|kind| kind.name().to_owned()).collect();
        let mut standing = lock_standing(tx, sender).await?;
        lapse(tx, &mut standing, now).await?;
        if !upsert_notice(tx, message.id, sender, &reasons, text, now).await? {
            return Ok(None);
        }
        let banned = standing.strike(now, self.moderation.ban());
        let told = Told { room: Some(message.room_id), message: Some(message.id), reasons: &reasons };
        settle(tx, &mut standing, &told).await?;
        let warning = Warning {
            message_id: message.id.to_string(),
            message_number: message.number,
            infractions: standing.infractions,
            limit: STRIKES,
            banned_until: standing.banned_until.map(timestamp),
            reasons,
        };
        Ok(Some(Struck { warning, banned }))
    }

    /// Warns the sender of a message, and closes chats to them if that was one too many. All of it is committed.
    pub(crate) fn tell_struck(&self, message: &MessageRow, struck: Option<Struck>) {
        let (Some(sender), Some(Struck { warning, banned })) = (message.sender_id, struck) else { return };
        let frame = ServerFrame {
            room_id: message.room_id.to_string(),
            room_number: message.room_number,
            change: 0,
            frame: Some(Frame::Warning(warning)),
        };
        let news = News::Frame(Parcel::new(message.room_id, frame));
        self.hub.tell(Packet { line: Line::Person(sender), audience: Audience::All, news });
        if banned {
            self.tell_ban(sender);
        }
    }
}

/// A new infraction of a sender's, and whether it closed chats to them.
pub(crate) struct Struck {
    warning: Warning,
    banned: bool,
}

/// Whether an administrator has decided that a message was wrong.
pub(crate) async fn is_condemned(db: impl PgExecutor<'_>, message: Uuid) -> kit::Result<bool> {
    let known = fetch_infraction(db, message).await?;
    Ok(known.is_some_and(|known| matches!(known.verdict.as_str(), "REJECTED" | "BLOCKED")))
}

/// Forgets somebody who deleted their account.
pub(crate) async fn forget(tx: &mut PgConnection, user: Uuid) -> kit::Result<()> {
    delete_standing(&mut *tx, user).await?;
    delete_infractions(tx, user).await
}

/// An administrator's finding.
struct Review<'a> {
    message: &'a MessageRow,
    sender: Uuid,
    verdict: Verdict,
    reviewer: Uuid,
    note: &'a str,
}

impl Review<'_> {
    /// Whether it finds an infraction, or none; or leaves that to be decided.
    fn guilty(&self) -> Option<bool> {
        match self.verdict {
            Verdict::Approved => Some(false),
            Verdict::Rejected | Verdict::Blocked => Some(true),
            Verdict::Pending | Verdict::Unspecified => None,
        }
    }

    /// Censors it or shows it again. What was deleted stays so.
    async fn change_message(&self, tx: &mut PgConnection, now: DateTime<Utc>) -> kit::Result<Option<MessageRow>> {
        let row = self.message;
        let (text, cause) = match self.guilty() {
            Some(guilty) if row.deleted_at.is_some() || guilty == row.censored => return Ok(None),
            Some(true) => (CENSORED.to_owned(), "CENSORED"),
            Some(false) => (fetch_censored(&mut *tx, row.id).await?.unwrap_or_default(), "RESTORED"),
            None => return Ok(None),
        };
        let rewrite = Rewrite { text: &text, cause, keep_media: true, censored: cause == "CENSORED", now };
        Ok(Some(rewrite_message(tx, row, &rewrite).await?))
    }

    /// Notes the verdict, and counts or takes back. The same verdict again changes nothing. How the sender stands, and
    /// whether this banned them.
    async fn change_standing(
        &self,
        tx: &mut PgConnection,
        now: DateTime<Utc>,
        ban: TimeDelta,
    ) -> kit::Result<(Standing, bool)> {
        let mut standing = lock_standing(tx, self.sender).await?;
        lapse(tx, &mut standing, now).await?;
        let before = standing.clone();
        let known = fetch_infraction(&mut *tx, self.message.id).await?;
        if known.as_ref().is_some_and(|known| known.verdict == name(self.verdict)) {
            return Ok((standing.shown(now, &before), false));
        }
        let mut banned = false;
        let (counted, served) = known.as_ref().map_or((false, false), |known| (known.counts, known.served));
        let counts = self.guilty().map_or(counted, |guilty| guilty && !served);
        upsert_verdict(tx, self, counts, now).await?;
        if counts != counted {
            if counts {
                banned = standing.strike(now, ban);
            } else {
                standing.take_back();
            }
            let reasons = known.map_or_else(Vec::new, |known| known.reasons);
            let told = Told { room: Some(self.message.room_id), message: Some(self.message.id), reasons: &reasons };
            settle(tx, &mut standing, &told).await?;
        }
        Ok((standing.shown(now, &before), banned))
    }
}

fn banned() -> kit::Error {
    denied("CHAT_BANNED", "told contact details too often")
}

/// As a column holds it.
fn name(verdict: Verdict) -> &'static str {
    verdict.as_str_name().trim_start_matches("VERDICT_")
}

/// Where a page ends.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    created_at: DateTime<Utc>,
    id: Uuid,
}

/// An infraction as administrators see it.
struct InfractionRow {
    id: Uuid,
    user_id: Uuid,
    message_id: Option<Uuid>,
    message_number: Option<i64>,
    reasons: Vec<String>,
    text: String,
    verdict: String,
    created_at: DateTime<Utc>,
}

impl From<InfractionRow> for Infraction {
    fn from(row: InfractionRow) -> Self {
        Self {
            id: row.id.to_string(),
            user_id: row.user_id.to_string(),
            message_id: row.message_id.map(|id| id.to_string()).unwrap_or_default(),
            message_number: row.message_number.unwrap_or_default(),
            reasons: row.reasons,
            text: row.text,
            verdict: Verdict::from_str_name(&format!("VERDICT_{}", row.verdict)).unwrap_or_default().into(),
            created_at: Some(timestamp(row.created_at)),
        }
    }
}
