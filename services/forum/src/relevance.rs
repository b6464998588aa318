//! What posts mean to somebody: `score = 0.6 * relevance_score + 1.2 * boost * decay`, highest first, then newest, then
//! by id. `boost` is what the person did on posts of the author, `decay` falls from 1 to 0.1 within a week.
//!
//! Only posts of authors with a boost, and posts with a `relevance_score`, score above zero; the others follow newest
//! first, by index. Of the former the best `most` are found without looking at all of them. There is one sorted source
//! per boosted author, newest first, because with age the second term can only fall; and one of all posts by
//! `relevance_score`. What a source has not yet given is bounded by the last it gave: a post that neither source gave
//! scores at most `0.6 * r + 1.2 * boost * decay(t)`, with `r` the last `relevance_score` given (zero once that source
//! is exhausted) and `t` the age of the author's last given post; and if it scores exactly that, it is older. So once
//! no bound is above the `most`-th best that was given, those are the best (Fagin's threshold algorithm). Each round
//! asks only the sources whose bound is above, for twice as many as before: the work grows with the number of boosted
//! authors and with `most`, not with the number of posts.

use std::cmp::Ordering;
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

const WEEK_HOURS: f64 = 168.0;

/// 1 for a new post, falling to 0.1 within a week.
pub(crate) fn decay(created_at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    let hours = (now - created_at).num_microseconds().unwrap_or(i64::MAX) as f64 / 3.6e9;
    (1.0 - hours / WEEK_HOURS).max(0.1)
}

pub(crate) fn score(relevance_score: f64, boost: i64, decay: f64) -> f64 {
    0.6 * relevance_score + 1.2 * boost as f64 * decay
}

/// A post as the sources give it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: i64,
    pub(crate) author_id: Uuid,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) relevance_score: f64,
}

/// A post's place in the ranking; the greater is the better.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rank {
    score: f64,
    created_at: DateTime<Utc>,
    id: i64,
}

impl Eq for Rank {}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let score = self.score.total_cmp(&other.score);
        score.then(self.created_at.cmp(&other.created_at)).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where an author's source goes on: behind this post.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) id: i64,
}

/// Where the source by `relevance_score` goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BehindScore {
    pub(crate) relevance_score: f64,
    pub(crate) behind: Behind,
}

struct Author {
    boost: i64,
    /// Nothing when the source is exhausted.
    next: Option<Behind>,
}

/// The search for the best posts. Asks for rows and is given them, so it knows of no database.
pub(crate) struct Search {
    now: DateTime<Utc>,
    most: usize,
    authors: HashMap<Uuid, Author>,
    /// Nothing when the source is exhausted.
    by_score: Option<BehindScore>,
    found: HashMap<i64, Rank>,
}

/// What the search wants to be given next; empty when it is done.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) authors: Vec<(Uuid, Behind)>,
    pub(crate) by_score: Option<BehindScore>,
}

impl Wanted {
    pub(crate) fn is_empty(&self) -> bool {
        self.authors.is_empty() && self.by_score.is_none()
    }
}

impl Search {
    /// For the best `most` posts that there were at `now`, by somebody's boosts.
    pub(crate) fn new(boosts: Vec<(Uuid, i64)>, now: DateTime<Utc>, most: usize) -> Self {
        let start = Behind { created_at: now, id: i64::MAX };
        let author = |(id, boost)| (id, Author { boost, next: Some(start) });
        Self {
            now,
            most,
            authors: boosts.into_iter().map(author).collect(),
            by_score: Some(BehindScore { relevance_score: f64::INFINITY, behind: start }),
            found: HashMap::new(),
        }
    }

    pub(crate) fn wanted(&self) -> Wanted {
        let worst = self.worst();
        let above = |rank: Rank| worst.is_none_or(|worst| rank > worst);
        let by_score = self.by_score.map_or(0.0, |next| next.relevance_score);
        let authors: Vec<_> = self
            .authors
            .iter()
            .filter_map(|(id, author)| {
                let next = author.next?;
                let bound = score(by_score, author.boost, decay(next.created_at, self.now));
                above(Rank { score: bound, created_at: next.created_at, id: next.id }).then_some((*id, next))
            })
            .collect();
        let by_score = self.by_score.filter(|next| {
            let bound = score(next.relevance_score, 0, 0.0);
            // An author's bound falls with this source too.
            !authors.is_empty() || above(Rank { score: bound, created_at: next.behind.created_at, id: next.behind.id })
        });
        Wanted { authors, by_score }
    }

    /// The next `asked` posts of each author that was wanted, newest first; fewer when that is the end of them.
    pub(crate) fn give_authors(&mut self, wanted: &[(Uuid, Behind)], asked: usize, given: &[Candidate]) {
        let mut counts: HashMap<Uuid, usize> = HashMap::new();
        for post in given {
            *counts.entry(post.author_id).or_default() += 1;
            if let Some(author) = self.authors.get_mut(&post.author_id) {
                author.next = Some(Behind { created_at: post.created_at, id: post.id });
            }
            self.find(post);
        }
        for (id, _) in wanted {
            if counts.get(id).copied().unwrap_or_default() < asked
                && let Some(author) = self.authors.get_mut(id)
            {
                author.next = None;
            }
        }
    }

    /// The next `asked` posts by `relevance_score`, highest first; fewer when that is the end of them.
    pub(crate) fn give_by_score(&mut self, asked: usize, given: &[Candidate]) {
        self.by_score = given.last().filter(|_| given.len() >= asked).map(|last| BehindScore {
            relevance_score: last.relevance_score,
            behind: Behind { created_at: last.created_at, id: last.id },
        });
        given.iter().for_each(|post| self.find(post));
    }

    /// The ids, best first.
    pub(crate) fn best(self) -> Vec<i64> {
        let mut ranks: Vec<Rank> = self.found.into_values().collect();
        ranks.sort_unstable_by(|a, b| b.cmp(a));
        ranks.truncate(self.most);
        ranks.into_iter().map(|rank| rank.id).collect()
    }

    fn find(&mut self, post: &Candidate) {
        let boost = self.authors.get(&post.author_id).map_or(0, |author| author.boost);
        let score = score(post.relevance_score, boost, decay(post.created_at, self.now));
        // Whatever came after the moment of the ranking stands in none of its pages.
        if post.created_at <= self.now {
            self.found.insert(post.id, Rank { score, created_at: post.created_at, id: post.id });
        }
    }

    /// The last of the best `most`; nothing while there are fewer.
    fn worst(&self) -> Option<Rank> {
        if self.found.len() < self.most {
            return None;
        }
        let mut ranks: Vec<Rank> = self.found.values().copied().collect();
        let at = ranks.len() - self.most;
        Some(*ranks.select_nth_unstable(at).1)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_post_decays_to_a_tenth_within_a_week_and_no_further() {
        let aged = |hours| decay(now() - TimeDelta::hours(hours), now());
        assert_eq!((aged(0), aged(84), aged(168), aged(100_000)), (1.0, 0.5, 0.1, 0.1));
        assert!((aged(151) - (1.0 - 151.0 / 168.0)).abs() < 1e-12 && aged(152) == 0.1);
    }

    /// The contract's formula, word for word, in whole microseconds and without a float until the end.
    fn published(relevance: f64, comments: i64, reactions: i64, age_micros: i64) -> f64 {
        let week = 168 * 3_600_000_000_i64;
        // max(0.1, 1 - age / week) in tenths of weeks.
        let left = (10 * (week - age_micros)).max(week);
        let boost = 3 * comments + 2 * reactions;
        0.6 * relevance + 1.2 * boost as f64 * (left as f64 / (10 * week) as f64)
    }

    #[test]
    fn a_million_random_posts_score_as_published() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..1_000_000 {
            let (comments, reactions) = (random(2000) as i64, random(2000) as i64);
            let relevance = random(20_000) as f64 / 1000.0;
            let age = random(3 * 168 * 3_600_000_000) as i64;
            let created_at = now() - TimeDelta::microseconds(age);
            let ours = score(relevance, 3 * comments + 2 * reactions, decay(created_at, now()));
            let theirs = published(relevance, comments, reactions, age);
            assert!((ours - theirs).abs() <= 1e-9 * theirs.max(1.0), "{ours} {theirs}");
        }
    }

    /// Gives a search what it wants, `first` rows per source at first, and counts the rows.
    fn run(posts: &[Candidate], boosts: &[(Uuid, i64)], most: usize, first: usize) -> (Vec<i64>, usize) {
        let newest = |a: &Candidate, b: &Candidate| (b.created_at, b.id).cmp(&(a.created_at, a.id));
        let mut by_time = posts.to_vec();
        by_time.sort_by(newest);
        let mut by_score: Vec<_> = by_time.iter().filter(|post| post.relevance_score > 0.0).cloned().collect();
        by_score.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score).then(newest(a, b)));

        let mut search = Search::new(boosts.to_vec(), now(), most);
        let (mut asked, mut rows) = (first, 0);
        loop {
            let wanted = search.wanted();
            if wanted.is_empty() {
                return (search.best(), rows);
            }
            let mut given = Vec::new();
            for (author, behind) in &wanted.authors {
                let older = by_time
                    .iter()
                    .filter(|post| post.author_id == *author)
                    .filter(|post| (post.created_at, post.id) < (behind.created_at, behind.id));
                given.extend(older.take(asked).cloned());
            }
            rows += given.len();
            search.give_authors(&wanted.authors, asked, &given);
            if let Some(next) = wanted.by_score {
                let key = (next.behind.created_at, next.behind.id);
                let lower = by_score.iter().filter(|post| {
                    let score = post.relevance_score.total_cmp(&next.relevance_score);
                    score.then((post.created_at, post.id).cmp(&key)) == Ordering::Less
                });
                let given: Vec<_> = lower.take(asked).cloned().collect();
                rows += given.len();
                search.give_by_score(asked, &given);
            }
            asked *= 2;
        }
    }

    /// All of them, sorted: what the search must find without looking at all of them.
    fn naive(posts: &[Candidate], boosts: &[(Uuid, i64)], most: usize) -> Vec<i64> {
        let boost = |author| boosts.iter().find(|(id, _)| *id == author).map_or(0, |(_, boost)| *boost);
        let mut ranks: Vec<_> = posts
            .iter()
            .filter(|post| boost(post.author_id) > 0 || post.relevance_score > 0.0)
            .map(|post| Rank {
                score: score(post.relevance_score, boost(post.author_id), decay(post.created_at, now())),
                created_at: post.created_at,
                id: post.id,
            })
            .collect();
        ranks.sort_by(|a, b| b.cmp(a));
        ranks.iter().take(most).map(|rank| rank.id).collect()
    }

    fn authors(count: u128) -> Vec<Uuid> {
        (0..count).map(Uuid::from_u128).collect()
    }

    prop_compose! {
        /// Few distinct ages, boosts and scores, so that ties are common.
        fn world()(
            posts in prop::collection::vec((0u128..8, 0i64..300, 0u8..6), 0..150),
            boosts in prop::collection::hash_map(0u128..8, 1i64..12, 0..8),
            scored: bool,
        ) -> (Vec<Candidate>, Vec<(Uuid, i64)>) {
            let posts = posts.into_iter().enumerate().map(|(id, (author, hours, relevance))| Candidate {
                id: id as i64,
                author_id: Uuid::from_u128(author),
                created_at: now() - TimeDelta::hours(hours),
                relevance_score: if scored { f64::from(relevance) / 2.0 } else { 0.0 },
            });
            (posts.collect(), boosts.into_iter().map(|(author, boost)| (Uuid::from_u128(author), boost)).collect())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn the_search_finds_what_sorting_everything_would(
            (posts, boosts) in world(), most in 1usize..200, first in 1usize..20,
        ) {
            prop_assert_eq!(run(&posts, &boosts, most, first).0, naive(&posts, &boosts, most));
        }
    }

    #[test]
    fn few_rows_are_looked_at_however_many_there_are() {
        let authors = authors(10);
        let post = |id: i64| Candidate {
            id,
            author_id: authors[id as usize % 10],
            created_at: now() - TimeDelta::minutes(id),
            relevance_score: 0.0,
        };
        let posts: Vec<_> = (0..20_000).map(post).collect();
        let boosts: Vec<_> = authors.iter().copied().zip([90, 5, 4, 3, 3, 2, 2, 2, 2, 2]).collect();
        let (best, rows) = run(&posts, &boosts, 100, 8);
        assert_eq!(best, naive(&posts, &boosts, 100));
        assert!(rows < 500, "{rows}");
    }
}
