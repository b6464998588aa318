//! Which posts a page shows, and where the next one begins.
//!
//! Newest first pages by key: `(created_at, id)` never changes. The other orders have keys that move with every vote, so
//! behind their first page one pages through a *ranking*: ids in the order of one moment, kept for half an hour in a row
//! whose id the token carries. The first page is read from the index and costs no row; its token also says which posts
//! it showed. The second page makes the ranking: those posts first, then the order as it is by now without them.
//!
//! A ranking begins with 200 places, that of what is relevant with three pages. Whoever pages on behind them appends
//! more, up to 10,000: what the order is by then of the posts that it does not hold yet. Two who append at once are
//! told apart by its length, so one of them does. Thus no post is shown twice and none is skipped, whatever is voted
//! meanwhile, and nobody waits for places that nobody looks at. Behind the ranking the rest follows newest first, by
//! key again. Posts that came after the first page stand in none of its pages.

mod sql;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kit::db::{begin, commit};
use kit::error::{internal, invalid_because};
use kit::identity::Caller;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Forum;
use crate::relevance::Search;
use sql::{
    Found, Part, Slice, count_posts, delete_rankings, extend_ranking, fetch_boosts, fetch_kept, fetch_ranking,
    fetch_slice, find_feed, find_posts, insert_ranking, list_by_relevance, list_of_authors, plan_anew,
};

/// How many posts a ranking has at most, and the largest total that is told.
pub(crate) const DEPTH: i64 = 10_000;
/// How many a ranking has at first, and how many times as many whenever they do not suffice.
const PLACES: i64 = 200;
const GROWTH: i64 = 8;
/// How many pages what is relevant to somebody has at first: most read one, and each place costs reading.
const PAGES: i64 = 3;
/// How long a ranking is kept.
const KEPT: TimeDelta = TimeDelta::minutes(30);
/// How many are kept at most.
const RANKINGS: i64 = 20_000;
/// How many posts of rankings are remembered in this process: 16 MiB.
const REMEMBERED: u64 = 2 << 20;
/// For how long pages by number are pages of the same ranking of what is relevant to somebody.
const REUSED: TimeDelta = TimeDelta::minutes(10);
/// From how many posts in a time window on its order is remembered for a moment.
const MANY: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    New,
    Top,
    Hot,
    Active,
    Controversial,
}

/// A list of posts. Its debug text is part of the page token's scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct List {
    pub(crate) order: Order,
    pub(crate) community: Option<i64>,
    pub(crate) author: Option<Uuid>,
    pub(crate) window: Option<TimeDelta>,
}

impl List {
    /// Every post, newest first.
    const ALL: Self = Self { order: Order::New, community: None, author: None, window: None };

    /// The same posts, newest first.
    fn newest(&self) -> Self {
        Self { order: Order::New, window: None, ..self.clone() }
    }
}

/// One page of a list.
pub(crate) struct Page {
    pub(crate) ids: Vec<i64>,
    pub(crate) next_page_token: String,
    pub(crate) total_size: i32,
}

/// Where a page begins.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    /// When the first page was asked for.
    at: DateTime<Utc>,
    /// What the first page counted.
    total: i32,
    /// Posts that stand before all others: pinned ones, and what the first page of a ranking showed.
    shown: Vec<i64>,
    /// The ranking, of orders that have one.
    ranking: Option<Uuid>,
    next: Next,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Next {
    /// By key: behind this post.
    Behind(Key),
    /// By place in the ranking.
    At(i64),
}

/// A post's place among the newest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    id: i64,
    created_at: DateTime<Utc>,
}

impl Key {
    /// Before every post that there was at `at`.
    fn start(at: DateTime<Utc>) -> Self {
        Self { id: i64::MAX, created_at: at }
    }
}

/// What a ranking is of.
#[derive(Clone, Copy)]
enum Ranked<'a> {
    /// A list in its order.
    List(&'a List),
    /// All posts by what they mean to somebody.
    RelevantTo(Uuid),
}

/// Places of a ranking, one after the other.
struct Places {
    posts: Vec<i64>,
    followed_by: FollowedBy,
}

/// What comes behind the last place that a ranking has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FollowedBy {
    /// More of the order.
    More,
    /// The posts that it does not hold, newest first.
    Newest,
    Nothing,
}

impl FollowedBy {
    fn name(self) -> &'static str {
        match self {
            Self::More => "MORE",
            Self::Newest => "NEWEST",
            Self::Nothing => "NOTHING",
        }
    }
}

/// What is remembered for a moment, in this process.
#[derive(Clone)]
pub(crate) struct Memory {
    /// Lists with more posts than are counted: they will not have fewer tomorrow.
    endless: moka::sync::Cache<List, ()>,
    /// The same of flat lists of comments.
    pub(crate) comments: moka::sync::Cache<crate::comments::Filter, ()>,
    /// The order within time windows that hold many posts.
    windows: moka::sync::Cache<List, Arc<Vec<Key>>>,
    /// The posts of rankings that grow no more, by id. They never change.
    rankings: moka::sync::Cache<Uuid, Arc<[i64]>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            endless: moka::sync::Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(60)).build(),
            comments: moka::sync::Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(60)).build(),
            windows: moka::sync::Cache::builder().max_capacity(200).time_to_live(Duration::from_secs(10)).build(),
            rankings: moka::sync::Cache::builder()
                // Also of one that holds nothing, or there would be no end of them.
                .weigher(|_, posts: &Arc<[i64]>| posts.len() as u32 + 32)
                .max_capacity(REMEMBERED)
                .time_to_live(Duration::from_secs(10 * 60))
                .build(),
        }
    }
}

impl Forum {
    /// A page of a list: by token, or the first one, or one by number.
    pub(crate) async fn page(&self, list: &List, size: i64, skip: i64, token: &str) -> kit::Result<Page> {
        let scope = format!("ListPosts {list:?}");
        match self.pager.open::<Place>(&scope, token)? {
            None => self.first_page(list, &scope, size, skip).await,
            Some(place) if place.ranking.is_some() => self.ranked_page(Ranked::List(list), &scope, size, place).await,
            Some(place) => self.newest_page(list, &scope, size, place).await,
        }
    }

    async fn first_page(&self, list: &List, scope: &str, size: i64, skip: i64) -> kit::Result<Page> {
        let at = self.clock.now();
        let Found { keys, pinned, total, .. } = self.beginning(list, at, size + 1, skip).await?;
        let total_size = total.map_or(DEPTH, |total| total.min(DEPTH)) as i32;
        let mut ids: Vec<i64> = pinned.iter().copied().skip(skip as usize).collect();
        ids.extend(keys.iter().map(|key| key.id));

        let more = ids.len() as i64 > size;
        ids.truncate(size as usize);
        if !more {
            return Ok(Page { ids, next_page_token: String::new(), total_size });
        }
        let shown: Vec<Key> = keys.into_iter().filter(|key| ids.contains(&key.id)).collect();
        let place = if list.order == Order::New {
            let next = shown.last().map_or(Next::At(skip + size), |last| Next::Behind(*last));
            Place { at, total: total_size, shown: pinned, ranking: None, next }
        } else {
            // The ranking that a second page will make: pinned ones, what this page shows besides, the others.
            let before = (skip - pinned.len() as i64).max(0);
            let first: Vec<i64> = pinned.into_iter().chain(shown.into_iter().map(|key| key.id)).collect();
            let next = Next::At(if before > 0 { first.len() as i64 + before } else { skip + size });
            Place { at, total: total_size, shown: first, ranking: Some(Uuid::now_v7()), next }
        };
        Ok(Page { ids, next_page_token: self.pager.seal(scope, &place)?, total_size })
    }

    /// The beginning of a list, or from a number on, with its total.
    async fn beginning(&self, list: &List, at: DateTime<Utc>, limit: i64, skip: i64) -> kit::Result<Found> {
        if let Some(window) = list.window {
            let kept = self.window(list, at, window).await?;
            let total = Some(kept.len() as i64);
            let keys = kept.iter().filter(|key| key.created_at <= at).skip(skip as usize).take(limit as usize);
            return Ok(Found { keys: keys.copied().collect(), total, ..Found::default() });
        }
        // What a community counts stands in its row.
        let counts = list.author.is_none() && list.community.is_some();
        // The order makes no difference to the number.
        let all = list.newest();
        let first = counts || !self.memory.endless.contains_key(&all);
        let part = Part { since: None, behind: Key::start(at), without: &[], ranking: None, limit, skip, first };
        let found = find_posts(&self.db, list, &part).await?;
        if counts && found.total.is_none() {
            // No such community, or no more.
            return Ok(Found { total: Some(0), ..Found::default() });
        }
        if !counts && found.total.is_some_and(|total| total > DEPTH) {
            self.memory.endless.insert(all, ());
        }
        Ok(found)
    }

    /// A page by key, behind what is pinned.
    async fn newest_page(&self, list: &List, scope: &str, size: i64, place: Place) -> kit::Result<Page> {
        let (first, behind) = match place.next {
            Next::At(first) => (first as usize, Key::start(place.at)),
            Next::Behind(key) => (place.shown.len(), key),
        };
        let mut ids: Vec<i64> = place.shown.iter().copied().skip(first).take(size as usize + 1).collect();
        let limit = size + 1 - ids.len() as i64;
        let without = &place.shown;
        let part = Part { since: None, behind, without, ranking: None, limit, skip: 0, first: false };
        let keys = find_posts(&self.db, list, &part).await?.keys;
        ids.extend(keys.iter().map(|key| key.id));

        let more = ids.len() as i64 > size;
        ids.truncate(size as usize);
        let last = keys.iter().rfind(|key| ids.contains(&key.id));
        let next = last.map_or(Next::At(first as i64 + size), |last| Next::Behind(*last));
        let total_size = place.total;
        let next_page_token = if more { self.pager.seal(scope, &Place { next, ..place })? } else { String::new() };
        Ok(Page { ids, next_page_token, total_size })
    }

    /// A page of a ranking, and of the newest behind it.
    async fn ranked_page(&self, ranked: Ranked<'_>, scope: &str, size: i64, place: Place) -> kit::Result<Page> {
        let ranking = place.ranking.ok_or_else(stale)?;
        let (mut ids, mut behind, mut skip, mut rest) = (Vec::new(), Key::start(place.at), 0, true);
        match place.next {
            Next::Behind(key) => behind = key,
            Next::At(at) => {
                let slice = self.slice(ranked, ranking, &place, at, size + 1).await?;
                rest = slice.followed_by() == FollowedBy::Newest;
                skip = (at - slice.length).max(0);
                ids = slice.ids;
            }
        }
        let ranked_ids = ids.len();
        let mut last = None;
        if rest && ranked_ids as i64 <= size {
            let (list, since) = match ranked {
                Ranked::List(list) => (list.newest(), list.window.map(|window| place.at - window)),
                Ranked::RelevantTo(_) => (List::ALL, None),
            };
            let limit = size + 1 - ranked_ids as i64;
            let part = Part { since, behind, without: &[], ranking: Some(ranking), limit, skip, first: false };
            let keys = match place.next {
                Next::At(_) => self.behind_ranking(&list, &part).await?,
                Next::Behind(_) => self.far_behind_ranking(&list, &part, ranking).await?,
            };
            ids.extend(keys.iter().map(|key| key.id));
            last = keys.into_iter().take((size as usize).saturating_sub(ranked_ids)).next_back();
        }
        let more = ids.len() as i64 > size;
        ids.truncate(size as usize);
        let next = match (place.next, last) {
            (_, Some(last)) => Next::Behind(last),
            (Next::At(at), None) => Next::At(at + size),
            (Next::Behind(key), None) => Next::Behind(key),
        };
        let next_page_token = match more {
            true => self.pager.seal(scope, &Place { next, shown: vec![], ..place })?,
            false => String::new(),
        };
        Ok(Page { ids, next_page_token, total_size: place.total })
    }

    /// Posts that a ranking does not hold.
    async fn behind_ranking(&self, list: &List, part: &Part<'_>) -> kit::Result<Vec<Key>> {
        let found = find_posts(&self.db, list, part).await?;
        if found.kept { Ok(found.keys) } else { Err(expired()) }
    }

    /// The same where few of the ranking's are left to come: some more are read, and those left out here. To leave out
    /// 10,000 in each page's statement would cost more than the page.
    async fn far_behind_ranking(&self, list: &List, part: &Part<'_>, ranking: Uuid) -> kit::Result<Vec<Key>> {
        let ranked = self.ranked(ranking).await?;
        let asked = 2 * part.limit;
        let found = find_posts(&self.db, list, &Part { ranking: None, limit: asked, ..*part }).await?;
        let all = (found.keys.len() as i64) < asked;
        let mut keys = found.keys;
        keys.retain(|key| ranked.binary_search(&key.id).is_err());
        if !all && (keys.len() as i64) < part.limit {
            return self.behind_ranking(list, part).await;
        }
        keys.truncate(part.limit as usize);
        Ok(keys)
    }

    /// The ids, sorted, of a ranking that grows no more.
    async fn ranked(&self, ranking: Uuid) -> kit::Result<Arc<[i64]>> {
        if let Some(ranked) = self.memory.rankings.get(&ranking) {
            return Ok(ranked);
        }
        let mut posts = fetch_ranking(&self.db, ranking).await?.ok_or_else(expired)?;
        posts.sort_unstable();
        let ranked: Arc<[i64]> = posts.into();
        self.memory.rankings.insert(ranking, ranked.clone());
        Ok(ranked)
    }

    /// So many places of a ranking, or fewer at its end. Makes the ranking behind a first page, and makes it longer,
    /// unless somebody else does.
    async fn slice(&self, ranked: Ranked<'_>, id: Uuid, place: &Place, at: i64, limit: i64) -> kit::Result<Slice> {
        loop {
            let length = match fetch_slice(&self.db, id, at, limit).await? {
                Some(slice) if slice.ids.len() as i64 == limit => return Ok(slice),
                Some(slice) if slice.followed_by() != FollowedBy::More => return Ok(slice),
                Some(slice) => slice.length,
                None => 0,
            };
            let goal = (GROWTH * length).max(PLACES).max(at + limit).min(DEPTH);
            if length > 0 {
                let before = fetch_ranking(&self.db, id).await?.ok_or_else(expired)?;
                let more = self.places(ranked, place.at, &before, goal - length).await?;
                extend_ranking(&self.db, id, length, &more).await?;
            } else if place.shown.is_empty() {
                return Err(expired());
            } else {
                let more = goal - place.shown.len() as i64;
                let mut places = self.places(ranked, place.at, &place.shown, more).await?;
                places.posts.splice(0..0, place.shown.iter().copied());
                insert_ranking(&self.db, id, None, &places, self.clock.now()).await?;
            }
        }
    }

    /// The next places of a ranking, behind those that it has.
    async fn places(&self, ranked: Ranked<'_>, at: DateTime<Utc>, before: &[i64], limit: i64) -> kit::Result<Places> {
        let (posts, behind_all) = match ranked {
            Ranked::List(list) => self.order(list, at, before, limit).await?,
            Ranked::RelevantTo(user) => {
                let before: HashSet<_> = before.iter().collect();
                let mut best = self.best(user, at, before.len() as i64 + limit).await?;
                best.retain(|id| !before.contains(id));
                best.truncate(limit as usize);
                (best, FollowedBy::Newest)
            }
        };
        let followed_by = match posts.len() as i64 {
            found if found < limit => behind_all,
            _ if before.len() as i64 + limit >= DEPTH => FollowedBy::Newest,
            _ => FollowedBy::More,
        };
        Ok(Places { posts, followed_by })
    }

    /// The present order of the posts that there were at `at`, without some, and what follows when there are fewer.
    async fn order(
        &self,
        list: &List,
        at: DateTime<Utc>,
        without: &[i64],
        limit: i64,
    ) -> kit::Result<(Vec<i64>, FollowedBy)> {
        let Some(window) = list.window else {
            let behind = Key::start(at);
            let part = Part { since: None, behind, without, ranking: None, limit, skip: 0, first: false };
            let keys = find_posts(&self.db, list, &part).await?.keys;
            return Ok((keys.into_iter().map(|key| key.id).collect(), FollowedBy::Nothing));
        };
        let kept = self.window(list, at, window).await?;
        let without: HashSet<_> = without.iter().collect();
        let others = kept.iter().filter(|key| !without.contains(&key.id) && key.created_at <= at);
        let behind = if kept.len() as i64 == DEPTH { FollowedBy::Newest } else { FollowedBy::Nothing };
        Ok((others.take(limit as usize).map(|key| key.id).collect(), behind))
    }

    /// The best in a time window.
    async fn window(&self, list: &List, at: DateTime<Utc>, window: TimeDelta) -> kit::Result<Arc<Vec<Key>>> {
        if let Some(kept) = self.memory.windows.get(list) {
            return Ok(kept);
        }
        let mut tx = begin(&self.db).await?;
        // Whether the order's index or that of the time is better depends on the window; a plan for all windows would
        // read a million rows for the best of a day.
        plan_anew(&mut tx).await?;
        let (since, behind) = (Some(at - window), Key::start(at));
        let part = Part { since, behind, without: &[], ranking: None, limit: DEPTH, skip: 0, first: false };
        let keys = Arc::new(find_posts(&mut *tx, list, &part).await?.keys);
        commit(tx).await?;
        if keys.len() >= MANY {
            self.memory.windows.insert(list.clone(), keys.clone());
        }
        Ok(keys)
    }

    /// The newest posts of the caller's communities.
    pub(crate) async fn feed(&self, caller: Caller, size: i64, skip: i64, token: &str) -> kit::Result<Page> {
        let scope = format!("ListFeed {}", caller.id);
        let place = self.pager.open::<Place>(&scope, token)?;
        let first = place.is_none();
        let mut place = place.unwrap_or_else(|| {
            let at = self.clock.now();
            Place { at, total: 0, shown: vec![], ranking: None, next: Next::Behind(Key::start(at)) }
        });
        let Next::Behind(behind) = place.next else { return Err(stale()) };
        let skip = if first { skip } else { 0 };
        let Found { mut keys, total, .. } = find_feed(&self.db, caller.id, behind, size + 1, skip, first).await?;
        if let Some(total) = total {
            place.total = total.min(DEPTH) as i32;
        }
        let total_size = place.total;
        let next_page_token =
            self.pager.cut(&scope, &mut keys, size, |last| Place { next: Next::Behind(*last), ..place })?;
        Ok(Page { ids: keys.into_iter().map(|key| key.id).collect(), next_page_token, total_size })
    }

    /// All posts by what they mean to the caller. A first page makes a new ranking, and pages by number soon afterwards
    /// are pages of it.
    pub(crate) async fn relevant(&self, caller: Caller, size: i64, skip: i64, token: &str) -> kit::Result<Page> {
        let scope = format!("ListRelevant {}", caller.id);
        let ranked = Ranked::RelevantTo(caller.id);
        let place = match self.pager.open::<Place>(&scope, token)? {
            Some(place) => place,
            None => {
                let now = self.clock.now();
                let kept = if skip > 0 { fetch_kept(&self.db, caller.id, now - REUSED).await? } else { None };
                let (ranking, at) = match kept {
                    Some(kept) => kept,
                    None => {
                        let id = Uuid::now_v7();
                        let first = (skip + PAGES * size).min(DEPTH);
                        let places = self.places(ranked, now, &[], first).await?;
                        insert_ranking(&self.db, id, Some(caller.id), &places, now).await?;
                        (id, now)
                    }
                };
                let total = self.count_all().await?;
                Place { at, total, shown: vec![], ranking: Some(ranking), next: Next::At(skip) }
            }
        };
        self.ranked_page(ranked, &scope, size, place).await
    }

    async fn count_all(&self) -> kit::Result<i32> {
        if self.memory.endless.contains_key(&List::ALL) {
            return Ok(DEPTH as i32);
        }
        let count = count_posts(&self.db).await?;
        if count > DEPTH {
            self.memory.endless.insert(List::ALL, ());
        }
        Ok(count.min(DEPTH) as i32)
    }

    /// What means most to somebody; fewer when the rest is all the same to them.
    async fn best(&self, user: Uuid, at: DateTime<Utc>, most: i64) -> kit::Result<Vec<i64>> {
        let boosts = fetch_boosts(&self.db, user).await?;
        // Asked of each at first: a few of many authors, many of a few.
        let mut asked = (most / (boosts.len() as i64).max(1)).clamp(2, 256);
        let mut asked_by_score = most.min(1_024);
        let mut search = Search::new(boosts, at, most as usize);
        loop {
            let wanted = search.wanted();
            if wanted.is_empty() {
                return Ok(search.best());
            }
            if !wanted.authors.is_empty() {
                let given = list_of_authors(&self.db, &wanted.authors, asked).await?;
                search.give_authors(&wanted.authors, asked as usize, &given);
            }
            if let Some(next) = wanted.by_score {
                let given = list_by_relevance(&self.db, next, asked_by_score).await?;
                search.give_by_score(asked_by_score as usize, &given);
            }
            asked = (2 * asked).min(DEPTH);
            asked_by_score = (2 * asked_by_score).min(DEPTH);
        }
    }

    /// Forgets old rankings, and the oldest when there are too many.
    pub(crate) async fn sweep_rankings(&self) -> kit::Result<()> {
        delete_rankings(&self.db, self.clock.now() - KEPT, RANKINGS).await
    }
}

/// A token of ours that says what this list never says.
fn stale() -> kit::Error {
    internal(anyhow::anyhow!("a page token of another kind of list"))
}

fn expired() -> kit::Error {
    invalid_because("page_token", "PAGE_TOKEN_EXPIRED", "begin again at the first page")
}
