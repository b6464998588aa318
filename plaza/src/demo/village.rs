//! A community that is made up: who writes what and when, who answers whom and who likes it. Nothing is kept: a post
//! and its thread can be made again at any time and are the same, so that millions are written in a few passes, and
//! every counter is known before the rows it counts are written.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use crate::demo::dice::Dice;

/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) people: usize,
    pub(crate) ads: usize,
    pub(crate) posts: usize,
    pub(crate) comments: usize,
    pub(crate) reactions: usize,
}

impl Size {
    pub(crate) const DEMO: Self = Self { people: 50, ads: 300, posts: 400, comments: 2_000, reactions: 5_000 };
    const LARGE: Self =
        Self { people: 100_000, ads: 200_000, posts: 1_000_000, comments: 10_000_000, reactions: 20_000_000 };

    /// A part of the large one, at least as large as the demo.
    pub(crate) fn scaled(scale: f64) -> Self {
        let part = |large: usize, demo: usize| ((large as f64 * scale) as usize).max(demo);
        let (large, demo) = (Self::LARGE, Self::DEMO);
        Self {
            people: part(large.people, demo.people),
            ads: part(large.ads, demo.ads),
            posts: part(large.posts, demo.posts),
            comments: part(large.comments, demo.comments),
            reactions: part(large.reactions, demo.reactions),
        }
    }
}

/// What is said of a thing without words. Hearts and likes are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Heart,
    Like,
    Dislike,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Votes {
    pub(crate) hearts: i64,
    pub(crate) likes: i64,
    pub(crate) dislikes: i64,
}

/// A post, all but its words. People are indexes.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) author: usize,
    /// Which of the communities; `None` for none.
    pub(crate) community: Option<usize>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) views: i64,
    pub(crate) reactions: usize,
}

/// A comment, all but its words.
#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub(crate) author: usize,
    /// Which of the thread's comments it answers.
    pub(crate) parent: Option<usize>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) replies: i64,
    pub(crate) reactions: usize,
}

pub(crate) struct Village {
    pub(crate) size: Size,
    communities: usize,
    now: DateTime<Utc>,
    /// How long ago the first post was written.
    age: TimeDelta,
    /// Of each post.
    comments: Vec<u32>,
    reactions: Vec<u32>,
}

impl Village {
    pub(crate) fn new(size: Size, communities: usize, now: DateTime<Utc>) -> Self {
        let age = TimeDelta::days(if size == Size::DEMO { 60 } else { 730 });
        let comments = spread(size.posts, size.comments, usize::MAX, |at| Dice::of("thread", at as i64).popularity());
        let mut village = Self { size, communities, now, age, comments, reactions: Vec::new() };
        // What comments leave over is for posts.
        let used: usize =
            (0..size.posts).map(|post| village.shape(post).map(|(_, reactions)| reactions).sum::<usize>()).sum();
        let left = size.reactions.saturating_sub(used);
        village.reactions = spread(size.posts, left, size.people, |at| Dice::of("fame", at as i64).popularity());
        village
    }

    /// The post's number among all, from zero.
    pub(crate) fn post(&self, post: usize) -> Post {
        let mut dice = Dice::of("post", post as i64);
        let reactions = self.reactions.get(post).map_or(0, |n| *n as usize);
        Post {
            author: self.somebody(&mut dice),
            // The first is the one for all.
            community: (!dice.chance(0.1)).then(|| dice.below(self.communities * 2).saturating_sub(self.communities)),
            created_at: self.written(post),
            views: (reactions * 7 + self.comments[post] as usize * 5 + dice.below(40)) as i64,
            reactions,
        }
    }

    /// Later posts are later and closer together: the community grows.
    fn written(&self, post: usize) -> DateTime<Utc> {
        let ago = 1.0 - (post as f64 + 1.0) / (self.size.posts as f64 + 1.0);
        self.now - TimeDelta::milliseconds((self.age.num_milliseconds() as f64 * ago.powf(1.6)) as i64)
    }

    /// Parents and reactions of the post's comments.
    fn shape(&self, post: usize) -> impl Iterator<Item = (Option<usize>, usize)> + use<> {
        let (count, most) = (self.comments[post] as usize, self.size.people);
        // The reactions to comments are three fifths of all.
        let mean = 0.6 * self.size.reactions as f64 / self.size.comments.max(1) as f64;
        let mut dice = Dice::of("shape", post as i64);
        (0..count).map(move |at| {
            // Half of them answer a comment, most of these a late one: threads get deep.
            let parent = (at > 0 && dice.chance(0.5)).then(|| at - 1 - ((dice.share().powi(3) * at as f64) as usize));
            // The popularity's mean is 10/3 if it is not cut.
            let reactions = (mean * 0.3 * dice.popularity() + dice.share()) as usize;
            (parent, reactions.min(most))
        })
    }

    pub(crate) fn thread(&self, post: usize) -> Vec<Comment> {
        let mut dice = Dice::of("comments", post as i64);
        let written = self.written(post);
        let mut thread: Vec<Comment> = Vec::with_capacity(self.comments[post] as usize);
        for (parent, reactions) in self.shape(post) {
            let after = parent.map_or(written, |parent: usize| thread[parent].created_at);
            // Minutes mostly, sometimes days, and never in the future.
            let wait = (self.now - after).min(TimeDelta::minutes((dice.popularity() * 20.0) as i64));
            let created_at = after + TimeDelta::milliseconds((wait.num_milliseconds() as f64 * dice.share()) as i64);
            if let Some(parent) = parent {
                thread[parent].replies += 1;
            }
            thread.push(Comment { author: self.somebody(&mut dice), parent, created_at, replies: 0, reactions });
        }
        thread
    }

    /// Some write much, most a little.
    fn somebody(&self, dice: &mut Dice) -> usize {
        (dice.share().powi(2) * self.size.people as f64) as usize
    }

    /// Who reacts and how, everybody once.
    pub(crate) fn reactions(&self, kind: &str, id: i64, count: usize) -> impl Iterator<Item = (usize, Kind)> + use<> {
        let people = self.size.people;
        let mut dice = Dice::of(kind, id).clone();
        let (first, step) = (dice.below(people), coprime(people, &mut dice));
        // Few things are disputed.
        let against = if dice.chance(0.07) { 0.45 } else { 0.04 };
        (0..count.min(people)).map(move |at| {
            let kind = match dice.share() {
                share if share < against => Kind::Dislike,
                share if share < against + 0.3 => Kind::Heart,
                _ => Kind::Like,
            };
            ((first + at * step) % people, kind)
        })
    }

    pub(crate) fn votes(&self, kind: &str, id: i64, count: usize) -> Votes {
        let mut votes = Votes::default();
        for (_, kind) in self.reactions(kind, id, count) {
            match kind {
                Kind::Heart => votes.hearts += 1,
                Kind::Like => votes.likes += 1,
                Kind::Dislike => votes.dislikes += 1,
            }
        }
        votes
    }

    pub(crate) fn posts(&self) -> Range<usize> {
        0..self.size.posts
    }
}

/// Walks through all of `0..people` in steps of this.
fn coprime(people: usize, dice: &mut Dice) -> usize {
    fn gcd(a: usize, b: usize) -> usize {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let first = 1 + dice.below(people);
    (first..).find(|step| gcd(people, *step) == 1).expect("the next prime is one")
}

/// Deals `total` out by weight, at most `most` to each, as whole numbers that add up.
fn spread(to: usize, total: usize, most: usize, weight: impl Fn(usize) -> f64) -> Vec<u32> {
    let sum: f64 = (0..to).map(&weight).sum();
    let mut owed = 0.0;
    let mut shares: Vec<u32> = (0..to)
        .map(|at| {
            owed += weight(at) / sum * total as f64;
            let share = (owed as usize).min(most);
            owed -= share as f64;
            share as u32
        })
        .collect();
    // Rounding, and what was cut off at the end.
    let mut left = total - shares.iter().map(|n| *n as usize).sum::<usize>();
    for share in shares.iter_mut().rev() {
        let more = left.min(most - *share as usize);
        *share += more as u32;
        left -= more;
        if left == 0 {
            break;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn village() -> Village {
        Village::new(Size::DEMO, 4, DateTime::UNIX_EPOCH + TimeDelta::days(20_000))
    }

    #[test]
    fn there_is_as_much_as_was_asked_for() {
        let village = village();
        let threads: Vec<_> = village.posts().map(|post| village.thread(post)).collect();
        assert_eq!(threads.iter().map(Vec::len).sum::<usize>(), Size::DEMO.comments);
        let on_comments: usize = threads.iter().flatten().map(|comment| comment.reactions).sum();
        let on_posts: usize = village.posts().map(|post| village.post(post).reactions).sum();
        assert_eq!(on_comments + on_posts, Size::DEMO.reactions);
        assert!(threads.iter().flatten().any(|comment| comment.parent.is_some()));
    }

    #[test]
    fn nobody_reacts_twice_and_nothing_is_answered_before_it_was_written() {
        let village = village();
        for post in village.posts() {
            let count = village.post(post).reactions;
            let mut people: Vec<_> = village.reactions("post", post as i64, count).map(|(who, _)| who).collect();
            people.sort_unstable();
            people.dedup();
            assert_eq!(people.len(), count);
            let votes = village.votes("post", post as i64, count);
            assert_eq!((votes.hearts + votes.likes + votes.dislikes) as usize, count);

            let thread = village.thread(post);
            for (at, comment) in thread.iter().enumerate() {
                let after = comment.parent.map_or(village.written(post), |parent| {
                    assert!(parent < at);
                    thread[parent].created_at
                });
                assert!(after <= comment.created_at && comment.created_at <= village.now);
                assert_eq!(thread.iter().filter(|other| other.parent == Some(at)).count() as i64, comment.replies);
            }
        }
    }

    #[test]
    fn posts_come_in_the_order_of_their_times() {
        let village = village();
        assert!(village.posts().map(|post| village.post(post).created_at).is_sorted());
    }
}
