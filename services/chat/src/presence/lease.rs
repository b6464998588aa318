//! What Redis holds of who is here: per person the replicas in which they are, per replica its people and a lease. Each
//! change is one script, so that replicas which look at the same moment see the same.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::Script;
use redis::aio::ConnectionManager;
use uuid::Uuid;

use crate::people::Person;

/// How long a replica's word holds. With a look every second this is how old a presence can be after kill -9.
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// How long somebody stays whose last stream has gone.
const GRACE: Duration = Duration::from_secs(5);
/// People who are looked at in one turn.
const BATCH: usize = 500;
/// For how long a replica whose people were sent off may stand still and find out.
const MARK: Duration = Duration::from_secs(10 * 60);

/// Where somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// On the platform.
    Anywhere,
    /// In a room.
    Room(Uuid),
}

/// Somebody at a place, as Redis calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Here {
    pub(crate) place: Place,
    pub(crate) person: Person,
}

impl Here {
    fn name(self) -> String {
        let mut name = match self.place {
            Place::Anywhere => "p".to_owned(),
            Place::Room(room) => room.to_string(),
        };
        let _ = write!(name, ":{}:{}", self.person.id, self.person.number);
        name
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(3, ':');
        let place = match parts.next()? {
            "p" => Place::Anywhere,
            room => Place::Room(room.parse().ok()?),
        };
        let person = Person { id: parts.next()?.parse().ok()?, number: parts.next()?.parse().ok()? };
        Some(Self { place, person })
    }
}

/// Whoever comes; 1 when they were nowhere before, and were not just leaving.
static COME: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local there = redis.call('SCARD', 'chat:here:' .. ARGV[1])
         redis.call('SADD', 'chat:here:' .. ARGV[1], ARGV[2])
         redis.call('SADD', 'chat:replica:' .. ARGV[2], ARGV[1])
         local leaving = redis.call('ZREM', 'chat:leaving', ARGV[1])
         if there == 0 and leaving == 0 then return 1 end
         return 0",
    )
});

/// Whoever goes stays until the time given; who was sent off with their replica is gone already.
static GO: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local noted = redis.call('SREM', 'chat:here:' .. ARGV[1], ARGV[2])
         redis.call('SREM', 'chat:replica:' .. ARGV[2], ARGV[1])
         if noted == 0 and redis.call('EXISTS', 'chat:swept:' .. ARGV[2]) == 1 then return end
         if redis.call('SCARD', 'chat:here:' .. ARGV[1]) == 0 then
             redis.call('ZADD', 'chat:leaving', 'NX', ARGV[3], ARGV[1])
         end",
    )
});

/// Who has left by now: those whose moment is over, and at most some of those whose replica has died. Should it live on, it
/// finds a mark, which is another one each time.
static SWEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local gone = {}
         for _, name in ipairs(redis.call('ZRANGEBYSCORE', 'chat:leaving', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
             redis.call('ZREM', 'chat:leaving', name)
             if redis.call('SCARD', 'chat:here:' .. name) == 0 then gone[#gone + 1] = name end
         end
         for _, replica in ipairs(redis.call('ZRANGEBYSCORE', 'chat:replicas', '-inf', ARGV[1])) do
             local names = redis.call('SRANDMEMBER', 'chat:replica:' .. replica, ARGV[2])
             if #names > 0 then redis.call('SET', 'chat:swept:' .. replica, ARGV[1], 'EX', ARGV[3]) end
             for _, name in ipairs(names) do
                 redis.call('SREM', 'chat:replica:' .. replica, name)
                 redis.call('SREM', 'chat:here:' .. name, replica)
                 if redis.call('SCARD', 'chat:here:' .. name) == 0 then
                     redis.call('ZREM', 'chat:leaving', name)
                     gone[#gone + 1] = name
                 end
             end
             if redis.call('SCARD', 'chat:replica:' .. replica) == 0 then
                 redis.call('ZREM', 'chat:replicas', replica)
             end
         end
         return gone",
    )
});

/// This replica's people. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Presence {
    redis: Option<ConnectionManager>,
    replica: Arc<str>,
    /// How many streams each has here.
    here: Arc<Mutex<HashMap<Here, usize>>>,
    /// Whose coming or going Redis did not note.
    unsaid: Arc<Mutex<HashSet<Here>>>,
}

impl Presence {
    pub(crate) fn new(redis: Option<ConnectionManager>) -> Self {
        Self { redis, replica: Uuid::new_v4().to_string().into(), here: Arc::default(), unsaid: Arc::default() }
    }

    /// Counts a stream; whether it is the person's first here.
    pub(super) fn add(&self, here: Here) -> bool {
        let mut counts = self.here.lock().expect("nothing panics under this lock");
        let count = counts.entry(here).or_default();
        *count += 1;
        *count == 1
    }

    /// Whether it was the person's last here.
    pub(super) fn remove(&self, here: Here) -> bool {
        let mut counts = self.here.lock().expect("nothing panics under this lock");
        let Some(count) = counts.get_mut(&here) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            counts.remove(&here);
        }
        last
    }

    pub(super) fn present(&self, here: Here) -> bool {
        self.here.lock().expect("nothing panics under this lock").contains_key(&here)
    }

    pub(super) async fn come(&self, here: Here) -> redis::RedisResult<bool> {
        let Some(mut redis) = self.redis.clone() else { return Ok(false) };
        let came: i64 = COME.arg(here.name()).arg(&*self.replica).invoke_async(&mut redis).await?;
        Ok(came == 1)
    }

    pub(super) async fn go(&self, here: Here, now: DateTime<Utc>) -> redis::RedisResult<()> {
        let Some(mut redis) = self.redis.clone() else { return Ok(()) };
        let until = (now + GRACE).timestamp_millis();
        GO.arg(here.name()).arg(&*self.replica).arg(until).invoke_async(&mut redis).await
    }

    /// Which of these people are on the platform; nobody when nobody knows.
    pub(crate) async fn online(&self, people: &[Person]) -> Vec<bool> {
        let stays: Vec<_> = people.iter().map(|person| Here { place: Place::Anywhere, person: *person }).collect();
        self.present_at(&stays).await
    }

    /// Which of them are where; nobody when nobody knows.
    pub(super) async fn present_at(&self, stays: &[Here]) -> Vec<bool> {
        let nobody = || vec![false; stays.len()];
        let Some(mut redis) = self.redis.clone() else { return nobody() };
        if stays.is_empty() {
            return nobody();
        }
        let mut pipe = redis::pipe();
        for here in stays {
            let name = here.name();
            pipe.cmd("EXISTS").arg(format!("chat:here:{name}"));
            pipe.cmd("ZSCORE").arg("chat:leaving").arg(name);
        }
        match pipe.query_async::<Vec<Option<f64>>>(&mut redis).await {
            // Whoever is leaving has not left yet.
            Ok(answers) => {
                answers.chunks(2).map(|pair| pair[0].is_some_and(|there| there > 0.0) || pair[1].is_some()).collect()
            }
            Err(error) => {
                tracing::debug!(%error, "nobody knows who is here");
                nobody()
            }
        }
    }

    /// Says that this replica lives; what Redis knew of it.
    pub(super) async fn renew(&self, now: DateTime<Utc>) -> redis::RedisResult<Known> {
        let Some(mut redis) = self.redis.clone() else { return Ok(Known { lease: true, swept: None }) };
        let until = (now + LEASE).timestamp_millis();
        // At once: whoever sweeps does so before, and the mark is seen, or not at all.
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("ZSCORE").arg("chat:replicas").arg(&*self.replica);
        pipe.cmd("ZADD").arg("chat:replicas").arg(until).arg(&*self.replica).ignore();
        pipe.cmd("GET").arg(format!("chat:swept:{}", self.replica));
        let (lease, swept): (Option<f64>, Option<String>) = pipe.query_async(&mut redis).await?;
        Ok(Known { lease: lease.is_some(), swept })
    }

    /// Says again that somebody is here; whether everybody thought that they were not.
    pub(super) async fn come_again(&self, here: Here) -> redis::RedisResult<bool> {
        if !self.present(here) {
            return Ok(false);
        }
        let came = self.come(here).await?;
        if self.present(here) {
            return Ok(came);
        }
        // They went while we asked, and may have been taken for one who came afterwards.
        self.go(here, Utc::now()).await?;
        Ok(false)
    }

    pub(super) fn everybody(&self) -> Vec<Here> {
        self.here.lock().expect("nothing panics under this lock").keys().copied().collect()
    }

    /// To be said again when Redis listens.
    pub(super) fn unsaid(&self, here: Here) {
        self.unsaid.lock().expect("nothing panics under this lock").insert(here);
    }

    pub(super) fn take_unsaid(&self) -> HashSet<Here> {
        std::mem::take(&mut *self.unsaid.lock().expect("nothing panics under this lock"))
    }

    pub(super) async fn sweep(&self, now: DateTime<Utc>) -> redis::RedisResult<Vec<Here>> {
        let Some(mut redis) = self.redis.clone() else { return Ok(Vec::new()) };
        let (now, mark) = (now.timestamp_millis(), MARK.as_secs());
        let gone: Vec<String> = SWEEP.arg(now).arg(BATCH).arg(mark).invoke_async(&mut redis).await?;
        Ok(gone.iter().filter_map(|name| Here::parse(name)).collect())
    }

    /// Renews this replica's lease for the last time: whoever is here may come back elsewhere meanwhile, and has then not
    /// been away.
    pub(super) async fn resign(&self, now: DateTime<Utc>) -> redis::RedisResult<()> {
        let Some(mut redis) = self.redis.clone() else { return Ok(()) };
        let until = (now + GRACE).timestamp_millis();
        redis::cmd("ZADD").arg("chat:replicas").arg("XX").arg(until).arg(&*self.replica).query_async(&mut redis).await
    }
}

/// What Redis knew of a replica.
pub(super) struct Known {
    /// Whether it has one at all.
    lease: bool,
    /// The mark of those who sent its people off.
    swept: Option<String>,
}

/// Who of a replica's people is still to be said to be here again.
#[derive(Default)]
pub(super) struct Returns {
    /// With whether those concerned are told.
    pub(super) waiting: VecDeque<(Here, bool)>,
    /// The last mark that was found.
    mark: Option<String>,
}

impl Returns {
    /// Looks whether the people of a replica have to be said to be here again.
    pub(super) fn look(&mut self, known: Known, everybody: impl FnOnce() -> Vec<Here>) {
        let swept = known.swept.is_some() && known.swept != self.mark;
        if swept {
            self.mark = known.swept;
        } else if known.lease {
            return;
        }
        // Redis that has forgotten everything has told nobody of a farewell; that all are here would be much news, and none.
        self.waiting.retain(|(_, tell)| *tell && !swept);
        self.waiting.extend(everybody().into_iter().map(|here| (here, swept)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_redis_can_be_read_back() {
        let person = Person { id: Uuid::new_v4(), number: 7 };
        for place in [Place::Anywhere, Place::Room(Uuid::new_v4())] {
            let here = Here { place, person };
            assert_eq!(Here::parse(&here.name()), Some(here));
        }
        for wrong in ["", "p", "p:x:1", "x:y:z"] {
            assert_eq!(Here::parse(wrong), None);
        }
    }

    #[test]
    fn only_who_was_sent_off_is_told_to_be_here_again() {
        let here = Here { place: Place::Anywhere, person: Person { id: Uuid::nil(), number: 1 } };
        let mut returns = Returns::default();
        let mut told = |lease, swept: Option<&str>| {
            returns.look(Known { lease, swept: swept.map(str::to_owned) }, || vec![here]);
            returns.waiting.iter().map(|(_, tell)| *tell).collect::<Vec<_>>()
        };
        assert!(told(true, None).is_empty());
        assert_eq!(told(false, None), [false]);
        assert_eq!(told(false, None), [false], "however often Redis forgets");
        assert_eq!(told(false, Some("1")), [true]);
        assert_eq!(told(true, Some("1")), [true], "once for a mark");
        assert_eq!(told(false, Some("1")), [true, false]);
        assert_eq!(told(true, Some("2")), [true]);
    }

    #[test]
    fn two_tabs_are_one_person() {
        let presence = Presence::new(None);
        let here = Here { place: Place::Anywhere, person: Person { id: Uuid::nil(), number: 1 } };
        assert!(presence.add(here));
        assert!(!presence.add(here));
        assert!(!presence.remove(here));
        assert!(presence.remove(here));
    }
}
