//! Who is here. A person is, while any of their inboxes is open in any replica; in a room, while they have it open. Redis
//! holds it: per person the replicas in which they are, and per replica a lease that it renews. When somebody's last
//! stream has gone they stay a moment, so that a reload is no farewell; when a replica dies, its lease ends and the next
//! one to look sends its people off. If it only stood still, it finds a mark of that, and tells who is here again. While
//! Redis is away nobody knows who is here, and nobody is said to be.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Write;
use std::iter;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use kit::wire::timestamp;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::{ServerFrame, UserKey};
use redis::Script;
use redis::aio::ConnectionManager;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Chat;
use crate::hub::{Audience, Line, News, Packet};
use crate::members::{is_divided, list_contacts, list_shared};
use crate::people::Person;
use crate::queue::Parcel;
use crate::rooms::{kind, kind_names};

/// How long a replica's word holds, and how often it gives it again. With a look every second this is how old a presence
/// can be after kill -9.
const LEASE: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_secs(1);
/// How long somebody stays whose last stream has gone.
const GRACE: Duration = Duration::from_secs(5);
/// People who are looked at in one turn.
const BATCH: usize = 500;
/// Of those who are here again, how many Redis is told in one turn, and of how many their contacts: a turn must end before
/// the lease does.
const RETURNS: (usize, usize) = (5_000, 200);
/// How long a turn may say such things, with a slow Redis, too.
const TURN: Duration = Duration::from_secs(1);
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
    fn add(&self, here: Here) -> bool {
        let mut counts = self.here.lock().expect("nothing panics under this lock");
        let count = counts.entry(here).or_default();
        *count += 1;
        *count == 1
    }

    /// Whether it was the person's last here.
    fn remove(&self, here: Here) -> bool {
        let mut counts = self.here.lock().expect("nothing panics under this lock");
        let Some(count) = counts.get_mut(&here) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            counts.remove(&here);
        }
        last
    }

    fn present(&self, here: Here) -> bool {
        self.here.lock().expect("nothing panics under this lock").contains_key(&here)
    }

    async fn come(&self, here: Here) -> redis::RedisResult<bool> {
        let Some(mut redis) = self.redis.clone() else { return Ok(false) };
        let came: i64 = COME.arg(here.name()).arg(&*self.replica).invoke_async(&mut redis).await?;
        Ok(came == 1)
    }

    async fn go(&self, here: Here, now: DateTime<Utc>) -> redis::RedisResult<()> {
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
    async fn present_at(&self, stays: &[Here]) -> Vec<bool> {
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
    async fn renew(&self, now: DateTime<Utc>) -> redis::RedisResult<Known> {
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
    async fn come_again(&self, here: Here) -> redis::RedisResult<bool> {
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

    fn everybody(&self) -> Vec<Here> {
        self.here.lock().expect("nothing panics under this lock").keys().copied().collect()
    }

    /// To be said again when Redis listens.
    fn unsaid(&self, here: Here) {
        self.unsaid.lock().expect("nothing panics under this lock").insert(here);
    }

    fn take_unsaid(&self) -> HashSet<Here> {
        std::mem::take(&mut *self.unsaid.lock().expect("nothing panics under this lock"))
    }

    async fn sweep(&self, now: DateTime<Utc>) -> redis::RedisResult<Vec<Here>> {
        let Some(mut redis) = self.redis.clone() else { return Ok(Vec::new()) };
        let (now, mark) = (now.timestamp_millis(), MARK.as_secs());
        let gone: Vec<String> = SWEEP.arg(now).arg(BATCH).arg(mark).invoke_async(&mut redis).await?;
        Ok(gone.iter().filter_map(|name| Here::parse(name)).collect())
    }

    /// Renews this replica's lease for the last time: whoever is here may come back elsewhere meanwhile, and has then not
    /// been away.
    async fn resign(&self, now: DateTime<Utc>) -> redis::RedisResult<()> {
        let Some(mut redis) = self.redis.clone() else { return Ok(()) };
        let until = (now + GRACE).timestamp_millis();
        redis::cmd("ZADD").arg("chat:replicas").arg("XX").arg(until).arg(&*self.replica).query_async(&mut redis).await
    }
}

/// What Redis knew of a replica.
struct Known {
    /// Whether it has one at all.
    lease: bool,
    /// The mark of those who sent its people off.
    swept: Option<String>,
}

/// Who of a replica's people is still to be said to be here again.
#[derive(Default)]
struct Returns {
    /// With whether those concerned are told.
    waiting: VecDeque<(Here, bool)>,
    /// The last mark that was found.
    mark: Option<String>,
}

impl Returns {
    /// Looks whether the people of a replica have to be said to be here again.
    fn look(&mut self, known: Known, everybody: impl FnOnce() -> Vec<Here>) {
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

/// A stream's presence; dropping it is going.
pub(crate) struct Stay {
    chat: Chat,
    here: Here,
}

impl Drop for Stay {
    fn drop(&mut self) {
        if !self.chat.presence.remove(self.here) {
            return;
        }
        let (chat, here) = (self.chat.clone(), self.here);
        tokio::spawn(async move {
            if let Err(error) = chat.presence.go(here, Utc::now()).await {
                tracing::debug!(%error, "a farewell was not noted");
                chat.presence.unsaid(here);
            }
            // Somebody may have come while we asked, and been taken for the one who went.
            if chat.presence.present(here) && chat.presence.come(here).await.is_err() {
                chat.presence.unsaid(here);
            }
        });
    }
}

impl Chat {
    /// Somebody is here from now on, until the answer is dropped. Those concerned are told.
    pub(crate) async fn come(&self, here: Here) -> Stay {
        let first = self.presence.add(here);
        let stay = Stay { chat: self.clone(), here };
        if first {
            match self.presence.come(here).await {
                Ok(true) => self.tell_presence(here, true, None).await,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "an arrival was not noted");
                    self.presence.unsaid(here);
                }
            }
        }
        stay
    }

    /// Says what Redis did not note, as it is now.
    async fn say_again(&self) {
        let began = Instant::now();
        for here in self.presence.take_unsaid() {
            if began.elapsed() > TURN {
                self.presence.unsaid(here);
                continue;
            }
            let noted = async {
                if !self.presence.present(here) {
                    self.presence.go(here, Utc::now()).await?;
                }
                // Whoever has stayed, and whoever came while we asked. Redis may have noted it and not said so in time, so
                // they are told of in any case.
                if self.presence.present(here) {
                    self.presence.come(here).await?;
                    self.tell_presence(here, true, None).await;
                }
                redis::RedisResult::Ok(())
            };
            if noted.await.is_err() {
                self.presence.unsaid(here);
            }
        }
    }

    /// Says again who is here of those whom Redis has forgotten, or whom another replica has sent off: as many as a turn
    /// allows.
    async fn say_returns(&self, returns: &mut Returns) -> redis::RedisResult<()> {
        let (began, mut asked, mut told) = (Instant::now(), 0, 0);
        while asked < RETURNS.0
            && told < RETURNS.1
            && began.elapsed() < TURN
            && let Some(&(here, tell)) = returns.waiting.front()
        {
            let came = self.presence.come_again(here).await?;
            returns.waiting.pop_front();
            asked += 1;
            if came && tell {
                self.tell_presence(here, true, None).await;
                told += 1;
            }
        }
        Ok(())
    }

    /// Renews this replica's lease and sees off who has left, until the stop.
    pub(crate) async fn keep_presence(self, stop: kit::Stop) {
        let mut returns = Returns::default();
        let mut tick = tokio::time::interval(RENEW);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => break,
            }
            let turn = async {
                let known = self.presence.renew(Utc::now()).await?;
                returns.look(known, || self.presence.everybody());
                self.say_returns(&mut returns).await?;
                self.say_again().await;
                for here in self.presence.sweep(Utc::now()).await? {
                    self.see_off(here).await;
                }
                redis::RedisResult::Ok(())
            };
            if let Err(error) = turn.await {
                tracing::debug!(%error, "presence stands still while Redis is away");
            }
        }
        let _ = self.presence.resign(Utc::now()).await;
    }

    async fn see_off(&self, here: Here) {
        let now = self.now();
        if here.place == Place::Anywhere
            && let Err(error) = upsert_last_seen(&self.db, here.person.id, now).await
        {
            tracing::warn!(%error, "it was not noted when somebody was last seen");
        }
        self.tell_presence(here, false, Some(now)).await;
    }

    /// In a room: those who have it open. Else: the inboxes of everybody who shares a room with them.
    async fn tell_presence(&self, here: Here, online: bool, last_seen: Option<DateTime<Utc>>) {
        match here.place {
            Place::Room(room) => {
                match is_divided(&self.db, room).await {
                    Ok(false) => {}
                    Ok(true) => return,
                    Err(error) => return tracing::warn!(%error, "a room was not told who came or went"),
                }
                self.tell_in_room(room, here, online, last_seen);
            }
            Place::Anywhere => match list_contacts(&self.db, here.person.id, &[]).await {
                Ok(contacts) => {
                    // One for each set of kinds, of which there are few.
                    let mut parcels: HashMap<Vec<String>, Arc<Parcel>> = HashMap::new();
                    for contact in contacts {
                        let parcel = parcels.entry(contact.kinds).or_insert_with_key(|kinds| {
                            Parcel::new(Uuid::nil(), presence_frame(here, online, last_seen, kinds))
                        });
                        let news = News::Frame(parcel.clone());
                        self.hub.tell(Packet { line: Line::Person(contact.id), audience: Audience::All, news });
                    }
                }
                Err(error) => tracing::warn!(%error, "contacts were not told who came or went"),
            },
        }
    }

    /// Tells two of whom one has blocked the other, or does so no more, whether the other is here as far as they may know:
    /// in their inboxes, and where they have a room of two open. Of somebody who is not here there is nothing to tell, nor
    /// of strangers.
    pub(crate) async fn tell_each_other(&self, one: Person, other: Person, online: bool) {
        let shared = match list_shared(&self.db, one.id, other.id).await {
            Ok(shared) if shared.is_empty() => return,
            Ok(shared) => shared,
            Err(error) => return tracing::warn!(%error, "two people were not told of each other"),
        };
        let kinds: BTreeSet<_> = shared.iter().map(|room| room.kind.as_str()).collect();
        let kinds: Vec<_> = kinds.into_iter().map(str::to_owned).collect();
        let of_two = shared.iter().filter(|room| room.kind != "GROUP").map(|room| Place::Room(room.id));
        let places = iter::once(Place::Anywhere).chain(of_two);
        let stays: Vec<_> = places.flat_map(|place| [one, other].map(|person| Here { place, person })).collect();
        for (here, present) in stays.iter().zip(self.presence.present_at(&stays).await) {
            if !present {
                continue;
            }
            match here.place {
                Place::Room(room) => self.tell_in_room(room, *here, online, None),
                Place::Anywhere => {
                    let listener = if here.person.id == one.id { other } else { one };
                    let frame = presence_frame(*here, online, None, &kinds);
                    let news = News::Frame(Parcel::new(Uuid::nil(), frame));
                    self.hub.tell(Packet { line: Line::Person(listener.id), audience: Audience::All, news });
                }
            }
        }
    }

    /// Tells those who have a room open.
    fn tell_in_room(&self, room: Uuid, here: Here, online: bool, last_seen: Option<DateTime<Utc>>) {
        let frame = ServerFrame { room_id: room.to_string(), ..presence_frame(here, online, last_seen, &[]) };
        let news = News::Frame(Parcel::new(room, frame));
        self.hub.tell(Packet { line: Line::Room(room), audience: Audience::AllBut(here.person.id), news });
    }

    /// The contacts of somebody, only some of them if these are named, or kinds of rooms; and themselves.
    pub(crate) async fn presence_of(
        &self,
        me: Person,
        only: &[UserKey],
        kinds: &[i32],
    ) -> kit::Result<Vec<proto::chat::v1::Presence>> {
        use proto::chat::v1::user_key::Key;
        let contacts = list_contacts(&self.db, me.id, &kind_names(kinds)).await?;
        let mut people: Vec<_> = contacts.iter().map(|one| Person { id: one.id, number: one.number }).collect();
        people.push(me);
        people.sort_by_key(|person| person.number);
        if !only.is_empty() {
            let named = |person: &Person| {
                only.iter().any(|key| match &key.key {
                    Some(Key::Id(id)) => id.parse() == Ok(person.id),
                    Some(Key::Number(number)) => *number == person.number,
                    None => false,
                })
            };
            people.retain(named);
        }
        let online = self.presence.online(&people).await;
        let ids: Vec<_> = people.iter().map(|person| person.id).collect();
        let seen: HashMap<_, _> = list_last_seen(&self.db, &ids).await?.into_iter().collect();
        let presence = |(person, online): (&Person, bool)| proto::chat::v1::Presence {
            user_id: person.id.to_string(),
            user_number: person.number,
            online,
            last_seen_at: seen.get(&person.id).filter(|_| !online).copied().map(timestamp),
            kinds: Vec::new(),
        };
        Ok(people.iter().zip(online).map(presence).collect())
    }
}

/// That somebody is here, or not any more, to whom they share rooms of these kinds with.
fn presence_frame(here: Here, online: bool, last_seen: Option<DateTime<Utc>>, kinds: &[String]) -> ServerFrame {
    let presence = proto::chat::v1::Presence {
        user_id: here.person.id.to_string(),
        user_number: here.person.number,
        online,
        last_seen_at: last_seen.map(timestamp),
        kinds: kinds.iter().map(|name| kind(name).into()).collect(),
    };
    ServerFrame { frame: Some(Frame::Presence(presence)), ..ServerFrame::default() }
}

async fn upsert_last_seen(db: impl PgExecutor<'_>, user: Uuid, at: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "insert into last_seen (user_id, at) values ($1, $2)
         on conflict (user_id) do update set at = greatest(last_seen.at, excluded.at)",
        user,
        at
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn list_last_seen(db: impl PgExecutor<'_>, users: &[Uuid]) -> kit::Result<Vec<(Uuid, DateTime<Utc>)>> {
    let rows = sqlx::query!("select user_id, at from last_seen where user_id = any($1)", users).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.at)).collect())
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
