//! Who is here. A person is, while any of their inboxes is open in any replica; in a room, while they have it open. Redis
//! holds it: per person the replicas in which they are, and per replica a lease that it renews. When somebody's last
//! stream has gone they stay a moment, so that a reload is no farewell; when a replica dies, its lease ends and the next
//! one to look sends its people off. If it only stood still, it finds a mark of that, and tells who is here again. While
//! Redis is away nobody knows who is here, and nobody is said to be.

mod lease;

use std::collections::{BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use kit::wire::timestamp;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::{ServerFrame, UserKey};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Chat;
use crate::hub::{Audience, Line, News, Packet};
use crate::members::{is_divided, list_contacts, list_shared};
use crate::people::Person;
use crate::queue::Parcel;
use crate::rooms::{kind, kind_names};
use lease::Returns;
pub(crate) use lease::{Here, Place, Presence};

/// How often a replica gives its word again, which holds for [`lease::LEASE`].
const RENEW: Duration = Duration::from_secs(1);
/// Of those who are here again, how many Redis is told in one turn, and of how many their contacts: a turn must end before
/// the lease does.
const RETURNS: (usize, usize) = (5_000, 200);
/// How long a turn may say such things, with a slow Redis, too.
const TURN: Duration = Duration::from_secs(1);

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
