//! Which posts a page shows, and where the next one begins.
//!
//! Newest first pages by key: `(created_at, id)` never changes. The other orders have keys that move with every vote, so
//! behind their first page one pages through a *ranking*: the ids of the best 10,000 in the order of one moment, kept
//! for half an hour in a row whose id the token carries. The first page is read from the index and costs no row; its
//! token also says which posts it showed. The second page makes the ranking: those posts first, then the order as it is
//! by now without them. Thus no post is shown twice and none is skipped, whatever is voted meanwhile. Behind the ranking
//! the rest follows newest first, by key again. Posts that came after the first page stand in none of its pages.

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
use sql::*;

/// How many posts a ranking has, and the largest total that is told.
pub(crate) const DEPTH: i64 = 10_000;
/// How long a ranking is kept.
const KEPT: TimeDelta = TimeDelta::minutes(30);
/// How many are kept at most.
const RANKINGS: i64 = 5_000;
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

/// What is remembered for a moment, in this process.
#[derive(Clone)]
pub(crate) struct Memory {
    /// Lists with more posts than are counted: they will not have fewer tomorrow.
    endless: moka::sync::Cache<List, ()>,
    /// The order within time windows that hold many posts.
    windows: moka::sync::Cache<List, Arc<Vec<Key>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            endless: moka::sync::Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(60)).build(),
            windows: moka::sync::Cache::builder().max_capacity(200).time_to_live(Duration::from_secs(10)).build(),
        }
    }
}

impl Forum {
    /// A page of a list: by token, or the first one, or one by number.
    pub(crate) async fn page(&self, list: &List, size: i64, skip: i64, token: &str) -> kit::Result<Page> {
        let scope = format!("ListPosts {list:?}");
        match self.pager.open::<Place>(&scope, token)? {
            None => self.first_page(list, &scope, size, skip).await,
            Some(place) if place.ranking.is_some() => self.ranked_page(list, &scope, size, place).await,
            Some(place) => self.newest_page(list, &scope, size, place, 0).await,
        }
    }

    async fn first_page(&self, list: &List, scope: &str, size: i64, skip: i64) -> kit::Result<Page> {
        let at = self.clock.now();
        let (pinned, total) = match (list.community, list.author, list.window) {
            (Some(community), None, None) => {
                let community = fetch_community(&self.db, community).await?.unwrap_or_default();
                (community.pinned, community.posts_count.min(DEPTH) as i32)
            }
            _ => (vec![], self.count(list, at).await?),
        };
        // How many of the others stand before this page.
        let before = (skip - pinned.len() as i64).max(0);
        if list.order == Order::New {
            let next = Next::At(skip - before);
            let place = Place { at, total, shown: pinned, ranking: None, next };
            return self.newest_page(list, scope, size, place, before).await;
        }
        let mut ids: Vec<i64> = pinned.iter().copied().skip(skip as usize).take(size as usize + 1).collect();
        let others = self.order(list, at, &pinned, size + 1 - ids.len() as i64, before).await?;
        ids.extend(others.iter().map(|key| key.id));

        let more = ids.len() as i64 > size;
        ids.truncate(size as usize);
        if !more {
            return Ok(Page { ids, next_page_token: String::new(), total_size: total });
        }
        // The ranking that a second page will make: pinned ones, what this page shows besides, the others.
        let mut shown = pinned;
        shown.extend(others.iter().map(|key| key.id).filter(|id| ids.contains(id)));
        let next = Next::At(if before > 0 { shown.len() as i64 + before } else { skip + size });
        let place = Place { at, total, shown, ranking: Some(Uuid::now_v7()), next };
        Ok(Page { ids, next_page_token: self.pager.seal(scope, &place)?, total_size: total })
    }

    /// A page by key, behind what is pinned.
    async fn newest_page(&self, list: &List, scope: &str, size: i64, place: Place, skip: i64) -> kit::Result<Page> {
        let (first, behind) = match place.next {
            Next::At(first) => (first as usize, Key::start(place.at)),
            Next::Behind(key) => (place.shown.len(), key),
        };
        let mut ids: Vec<i64> = place.shown.iter().copied().skip(first).take(size as usize + 1).collect();
        let limit = size + 1 - ids.len() as i64;
        let keys = list_newest(&self.db, list, None, behind, &place.shown, limit, skip).await?;
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
    async fn ranked_page(&self, list: &List, scope: &str, size: i64, place: Place) -> kit::Result<Page> {
        let ranking = place.ranking.ok_or_else(stale)?;
        let since = list.window.map(|window| place.at - window);
        let (mut ids, mut behind, mut skip) = (Vec::new(), Key::start(place.at), 0);
        match place.next {
            Next::Behind(key) => behind = key,
            Next::At(at) => {
                if !place.shown.is_empty() {
                    self.make_ranking(list, ranking, &place).await?;
                }
                let slice = fetch_slice(&self.db, ranking, at, size + 1).await?.ok_or_else(expired)?;
                skip = (at - slice.length).max(0);
                ids = slice.ids;
            }
        }
        let ranked = ids.len();
        let mut last = None;
        if ranked as i64 <= size {
            let all = fetch_ranking(&self.db, ranking).await?.ok_or_else(expired)?;
            let limit = size + 1 - ranked as i64;
            let rest = list_newest(&self.db, list, since, behind, &all, limit, skip).await?;
            ids.extend(rest.iter().map(|key| key.id));
            last = rest.into_iter().take((size as usize).saturating_sub(ranked)).next_back();
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

    /// Makes the ranking behind a first page, unless somebody who came with the same token did.
    async fn make_ranking(&self, list: &List, id: Uuid, place: &Place) -> kit::Result<()> {
        let others = self.order(list, place.at, &place.shown, DEPTH, 0).await?;
        let posts: Vec<i64> = place.shown.iter().copied().chain(others.into_iter().map(|key| key.id)).collect();
        insert_ranking(&self.db, id, None, &posts, self.clock.now()).await
    }

    /// The present order of the posts that there were at `at`, without some.
    async fn order(
        &self,
        list: &List,
        at: DateTime<Utc>,
        without: &[i64],
        limit: i64,
        skip: i64,
    ) -> kit::Result<Vec<Key>> {
        if list.order == Order::New {
            return list_newest(&self.db, list, None, Key::start(at), without, limit, skip).await;
        }
        let Some(window) = list.window else {
            let bounds = Bounds { since: None, at, without, limit, skip };
            return list_ranked(&self.db, list, &bounds).await;
        };
        let kept = match self.memory.windows.get(list) {
            Some(kept) => kept,
            None => {
                let mut tx = begin(&self.db).await?;
                // Whether the order's index or that of the time is better depends on the window; a plan for all
                // windows would read a million rows for the best of a day.
                plan_anew(&mut tx).await?;
                let bounds = Bounds { since: Some(at - window), at, without: &[], limit: DEPTH, skip: 0 };
                let keys = Arc::new(list_ranked(&mut *tx, list, &bounds).await?);
                commit(tx).await?;
                if keys.len() >= MANY {
                    self.memory.windows.insert(list.clone(), keys.clone());
                }
                keys
            }
        };
        let without: HashSet<_> = without.iter().collect();
        let kept = kept.iter().filter(|key| !without.contains(&key.id) && key.created_at <= at);
        Ok(kept.skip(skip as usize).take(limit as usize).copied().collect())
    }

    async fn count(&self, list: &List, at: DateTime<Utc>) -> kit::Result<i32> {
        // The order makes no difference to the number.
        let all = List { order: Order::New, ..list.clone() };
        if self.memory.endless.contains_key(&all) {
            return Ok(DEPTH as i32);
        }
        let count = count_posts(&self.db, list, list.window.map(|window| at - window)).await?;
        if count > DEPTH {
            self.memory.endless.insert(all, ());
        }
        Ok(count.min(DEPTH) as i32)
    }

    /// The newest posts of the caller's communities.
    pub(crate) async fn feed(&self, caller: Caller, size: i64, skip: i64, token: &str) -> kit::Result<Page> {
        let scope = format!("ListFeed {}", caller.id);
        let place = match self.pager.open::<Place>(&scope, token)? {
            Some(place) => place,
            None => {
                let at = self.clock.now();
                let total = count_feed(&self.db, caller.id).await?.min(DEPTH) as i32;
                Place { at, total, shown: vec![], ranking: None, next: Next::Behind(Key::start(at)) }
            }
        };
        let Next::Behind(behind) = place.next else { return Err(stale()) };
        let skip = if token.is_empty() { skip } else { 0 };
        let mut keys = list_feed(&self.db, caller.id, behind, size + 1, skip).await?;
        let more = keys.len() as i64 > size;
        keys.truncate(size as usize);
        let next_page_token = match keys.last() {
            Some(last) if more => self.pager.seal(&scope, &Place { next: Next::Behind(*last), ..place })?,
            _ => String::new(),
        };
        let ids = keys.into_iter().map(|key| key.id).collect();
        Ok(Page { ids, next_page_token, total_size: place.total })
    }

    /// All posts by what they mean to the caller. A first page makes a new ranking, and pages by number soon afterwards
    /// are pages of it.
    pub(crate) async fn relevant(&self, caller: Caller, size: i64, skip: i64, token: &str) -> kit::Result<Page> {
        let scope = format!("ListRelevant {}", caller.id);
        let list = List { order: Order::New, community: None, author: None, window: None };
        let place = match self.pager.open::<Place>(&scope, token)? {
            Some(place) => place,
            None => {
                let now = self.clock.now();
                let kept = if skip > 0 { fetch_kept(&self.db, caller.id, now - REUSED).await? } else { None };
                let (ranking, at) = match kept {
                    Some(kept) => kept,
                    None => (self.rank_relevant(caller.id, now).await?, now),
                };
                let total = self.count(&list, at).await?;
                Place { at, total, shown: vec![], ranking: Some(ranking), next: Next::At(skip) }
            }
        };
        self.ranked_page(&list, &scope, size, place).await
    }

    async fn rank_relevant(&self, user: Uuid, now: DateTime<Utc>) -> kit::Result<Uuid> {
        let mut search = Search::new(fetch_boosts(&self.db, user).await?, now, DEPTH as usize);
        let mut asked = 32;
        loop {
            let wanted = search.wanted();
            if wanted.is_empty() {
                break;
            }
            if !wanted.authors.is_empty() {
                let given = list_of_authors(&self.db, &wanted.authors, asked).await?;
                search.give_authors(&wanted.authors, asked as usize, &given);
            }
            if let Some(next) = wanted.by_score {
                let given = list_by_relevance(&self.db, next, 32 * asked).await?;
                search.give_by_score(32 * asked as usize, &given);
            }
            asked = (2 * asked).min(DEPTH);
        }
        let id = Uuid::now_v7();
        insert_ranking(&self.db, id, Some(user), &search.best(), now).await?;
        Ok(id)
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
