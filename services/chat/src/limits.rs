//! How often somebody may write. Each replica counts for itself, in memory: a person's sockets are seldom on several, and
//! a message should cost no question to anybody but the database.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kit::error::{Result, exhausted};
use moka::sync::Cache;
use uuid::Uuid;

/// Writes per person and time; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Option<(u32, u32)>);

impl Rate {
    /// As often as one likes, for load tests.
    pub const OFF: Self = Self(None);
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let read = || {
            let (writes, seconds) = text.split_once('/')?;
            let (writes, seconds): (u32, u32) = (writes.parse().ok()?, seconds.parse().ok()?);
            ((1..=10_000).contains(&writes) && (1..=3_600).contains(&seconds)).then_some(Self(Some((writes, seconds))))
        };
        read().ok_or("is written messages/seconds, or off")
    }
}

/// What changes nothing and yet costs something: that somebody types. A client that tells of every key stays below it.
const TYPING: Rate = Rate(Some((100, 10)));
/// Who is here.
const QUESTIONS: Rate = Rate(Some((100, 10)));

/// The counters.
#[derive(Clone)]
pub(crate) struct Limits {
    messages: Counters,
    typing: Counters,
    questions: Counters,
}

impl Limits {
    pub(crate) fn new(rate: Rate) -> Self {
        // Whoever may write as often as they like may type as often.
        let unless_off = |other| Counters::new(if rate == Rate::OFF { Rate::OFF } else { other });
        Self { messages: Counters::new(rate), typing: unless_off(TYPING), questions: unless_off(QUESTIONS) }
    }

    /// Counts a message, or refuses it with `RATE_LIMITED`.
    pub(crate) fn take(&self, user: Uuid, now: DateTime<Utc>) -> Result<()> {
        self.messages.take(user, now)
    }

    /// The same for telling that somebody types.
    pub(crate) fn take_typing(&self, user: Uuid, now: DateTime<Utc>) -> Result<()> {
        self.typing.take(user, now)
    }

    /// The same for asking who is here.
    pub(crate) fn take_question(&self, user: Uuid, now: DateTime<Utc>) -> Result<()> {
        self.questions.take(user, now)
    }
}

/// When each person did something lately.
#[derive(Clone)]
struct Counters {
    rate: Rate,
    recent: Cache<Uuid, Arc<Mutex<VecDeque<DateTime<Utc>>>>>,
}

impl Counters {
    fn new(rate: Rate) -> Self {
        let idle = Duration::from_secs(rate.0.map_or(1, |(_, seconds)| u64::from(seconds)));
        Self { rate, recent: Cache::builder().max_capacity(100_000).time_to_idle(idle).build() }
    }

    fn take(&self, user: Uuid, now: DateTime<Utc>) -> Result<()> {
        let Some((most, seconds)) = self.rate.0 else { return Ok(()) };
        let window = TimeDelta::seconds(seconds.into());
        let recent = self.recent.get_with(user, Arc::default);
        let mut recent = recent.lock().expect("nothing panics under this lock");
        while recent.front().is_some_and(|at| *at + window <= now) {
            recent.pop_front();
        }
        match recent.front() {
            Some(oldest) if recent.len() >= most as usize => {
                let wait = (*oldest + window - now).to_std().unwrap_or_default();
                Err(exhausted("RATE_LIMITED", "too many messages at once", wait))
            }
            _ => {
                recent.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!("20/10".parse(), Ok(Rate(Some((20, 10)))));
        assert_eq!("off".parse(), Ok(Rate::OFF));
        for wrong in ["", "20", "0/10", "20/0", "a/b", "-1/2"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn typing_takes_no_messages_away_and_has_an_end() {
        let limits = Limits::new("20/10".parse().unwrap());
        let (user, now) = (Uuid::nil(), Utc::now());
        assert_eq!((0..200).filter(|_| limits.take_typing(user, now).is_ok()).count(), 100);
        assert!(limits.take_question(user, now).is_ok() && limits.take(user, now).is_ok());
        assert!(limits.take_typing(user, now + TimeDelta::seconds(10)).is_ok());
        let off = Limits::new(Rate::OFF);
        assert!((0..200).all(|_| off.take_typing(user, now).is_ok()));
    }

    #[test]
    fn the_twenty_first_within_ten_seconds_waits_for_the_first_to_pass() {
        let limits = Limits::new("20/10".parse().unwrap());
        let (user, start) = (Uuid::nil(), Utc::now());
        for second in 0..20 {
            limits.take(user, start + TimeDelta::milliseconds(second * 100)).unwrap();
        }
        assert!(limits.take(user, start + TimeDelta::seconds(9)).is_err());
        assert!(limits.take(Uuid::max(), start + TimeDelta::seconds(9)).is_ok(), "others have their own");
        assert!(limits.take(user, start + TimeDelta::seconds(10)).is_ok());
        assert!(limits.take(user, start + TimeDelta::seconds(10)).is_err());
    }
}
