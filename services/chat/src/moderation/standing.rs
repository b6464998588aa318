//! How people stand: how many infractions of theirs count, and until when chats are closed to them.

use chrono::{DateTime, TimeDelta, Utc};
use kit::outbox::publish;
use kit::wire::timestamp;
use proto::chat::v1::Standing;
use proto::events::v1::ChatModerated;
use sqlx::PgConnection;
use uuid::Uuid;

use super::sql::{serve_infractions, update_standing};

/// The infraction that closes chats.
pub(super) const STRIKES: i32 = 3;

/// How somebody stands, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StandingRow {
    pub(super) user_id: Uuid,
    pub(super) infractions: i32,
    pub(super) banned_until: Option<DateTime<Utc>>,
    pub(super) version: i64,
}

impl StandingRow {
    pub(super) fn clean(user_id: Uuid) -> Self {
        Self { user_id, infractions: 0, banned_until: None, version: 0 }
    }

    pub(super) fn banned(&self, now: DateTime<Utc>) -> bool {
        self.banned_until.is_some_and(|until| until > now)
    }

    /// Whether there is a ban that has ended.
    pub(super) fn lapsed(&self, now: DateTime<Utc>) -> bool {
        self.banned_until.is_some() && !self.banned(now)
    }

    /// One more. A ban that runs is not made longer. Whether this is the one that bans.
    pub(super) fn strike(&mut self, now: DateTime<Utc>, ban: TimeDelta) -> bool {
        self.infractions += 1;
        let bans = self.infractions >= STRIKES && self.banned_until.is_none();
        if bans {
            self.banned_until = Some(now + ban);
        }
        bans
    }

    /// One less, and no ban if there would be none without it.
    pub(super) fn take_back(&mut self) {
        self.infractions = (self.infractions - 1).max(0);
        if self.infractions < STRIKES {
            self.banned_until = None;
        }
    }

    /// At a moment, and compared with how it was before.
    pub(super) fn shown(&self, now: DateTime<Utc>, before: &Self) -> Standing {
        let banned = self.banned(now);
        Standing {
            user_id: self.user_id.to_string(),
            infractions: if self.lapsed(now) { 0 } else { self.infractions },
            banned,
            banned_until: self.banned_until.filter(|_| banned).map(timestamp),
            newly_banned: banned && !before.banned(now),
        }
    }
}

/// What an event says of the reason.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) room: Option<Uuid>,
    pub(super) message: Option<Uuid>,
    pub(super) reasons: &'a [String],
}

/// Lets counting begin anew if there is a ban that has ended.
pub(super) async fn lapse(tx: &mut PgConnection, standing: &mut StandingRow, now: DateTime<Utc>) -> kit::Result<()> {
    if standing.lapsed(now) { begin_anew(tx, standing).await } else { Ok(()) }
}

pub(super) async fn begin_anew(tx: &mut PgConnection, standing: &mut StandingRow) -> kit::Result<()> {
    (standing.infractions, standing.banned_until) = (0, None);
    serve_infractions(tx, standing.user_id).await?;
    settle(tx, standing, &Told::default()).await
}

/// Stores a standing that changed, and tells others.
pub(super) async fn settle(tx: &mut PgConnection, standing: &mut StandingRow, told: &Told<'_>) -> kit::Result<()> {
    standing.version += 1;
    update_standing(tx, standing).await?;
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let event = ChatModerated {
        chat_id: id(told.room),
        message_id: id(told.message),
        user_id: standing.user_id.to_string(),
        razones: told.reasons.to_vec(),
        infracciones: standing.infractions,
        baneado: standing.banned_until.is_some(),
        version: standing.version,
    };
    publish(tx, &event.user_id, &event).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_strike_bans_and_later_ones_only_count() {
        let (now, ban) = (Utc::now(), TimeDelta::days(7));
        let mut standing = StandingRow::clean(Uuid::nil());
        for banned in [false, false, true] {
            assert_eq!(standing.strike(now, ban), banned);
            assert_eq!(standing.banned(now), banned);
        }
        assert!(!standing.strike(now + TimeDelta::days(1), ban));
        assert_eq!((standing.infractions, standing.banned_until), (4, Some(now + ban)));
        assert!(standing.banned(now + ban - TimeDelta::seconds(1)) && standing.lapsed(now + ban));
        assert_eq!(standing.shown(now + ban, &standing), StandingRow::clean(Uuid::nil()).shown(now, &standing));
    }

    #[test]
    fn a_ban_stands_as_long_as_three_do_and_none_is_taken_back_below_zero() {
        let (now, ban) = (Utc::now(), TimeDelta::days(7));
        let mut standing = StandingRow::clean(Uuid::nil());
        for _ in 0..4 {
            standing.strike(now, ban);
        }
        standing.take_back();
        assert!(standing.banned(now));
        standing.take_back();
        assert!(!standing.banned(now));
        (0..3).for_each(|_| standing.take_back());
        assert_eq!(standing.infractions, 0);
    }
}
