//! A tree of comments, from rows as one recursive statement found them: level by level, and of each group of siblings
//! one more than is shown, which tells that there are more. Put together in one walk over the rows.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use kit::identity::Caller;
use kit::page::Pager;
use kit::wire::timestamp;
use proto::forum::v1::{Comment, CommentDepth, CommentThread, Reaction, ReactionCounts, Target, TargetKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Newest;
use crate::reactions::type_of;

/// Rows of a statement; the upper levels come first.
pub(super) const MOST: i64 = 2000;
/// Bytes of their texts: an answer has to fit into a message. The statement has the same number, and one row beyond it.
const MOST_BYTES: usize = 8 << 20;
/// Siblings that a token remembers at least, before others follow newest first.
const KEPT: usize = 100;

/// How much of a tree is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// Siblings on the first level.
    pub(super) top: i64,
    /// Siblings on the others.
    pub(super) replies: i64,
    pub(super) levels: i32,
}

impl Depth {
    /// A comment without its replies.
    pub(super) const ALONE: Self = Self { top: 0, replies: 0, levels: 1 };

    /// Below posts; nothing when that is what is asked for.
    pub(super) fn of_posts(asked: Option<CommentDepth>) -> Option<Self> {
        let CommentDepth { top, replies, levels } = asked?;
        (top > 0 && levels > 0).then(|| Self { top: top.into(), replies: replies.into(), levels })
    }

    /// Of siblings, which come along in any case.
    pub(super) fn of_siblings(asked: Option<CommentDepth>) -> Self {
        let CommentDepth { top, replies, levels } = asked.unwrap_or_default();
        Self { top: if top == 0 { 20 } else { top.into() }, replies: replies.into(), levels: levels.max(1) }
    }

    /// Below comments that are named one by one.
    pub(super) fn of_named(asked: Option<CommentDepth>) -> Self {
        let CommentDepth { replies, levels, .. } = asked.unwrap_or_default();
        // They are the first level, and what follows are replies.
        Self { top: 0, replies: replies.into(), levels: levels.max(1) }
    }
}

/// What siblings stand below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Below {
    Post(i64),
    Comment(i64),
}

/// Which siblings were shown so far. The most popular ones come first and are remembered, so that whatever is voted in
/// between repeats none and leaves none out. Behind so many of them the others follow newest first, which nobody changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) ids: Vec<i64>,
    /// The last one that followed newest first.
    pub(super) end: Option<Newest>,
}

impl Shown {
    /// Whether the rest follows newest first.
    pub(super) fn is_full(&self) -> bool {
        self.ids.len() >= KEPT
    }

    /// With these as well, which were listed behind it.
    fn and(&self, rows: &[Row]) -> Self {
        let mut shown = self.clone();
        if self.is_full() {
            shown.end = rows.last().map(|row| Newest { created_at: row.created_at, id: row.id }).or(self.end);
        } else {
            shown.ids.extend(rows.iter().map(|row| row.id));
        }
        shown
    }
}

/// What a token that continues siblings is bound to.
pub(super) fn scope(post: i64, below: Below) -> String {
    match below {
        Below::Post(_) => format!("GetThread {post}"),
        Below::Comment(parent) => format!("GetThread {post}/{parent}"),
    }
}

/// A comment as the statement finds it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) post_id: i64,
    pub(super) parent_id: Option<i64>,
    pub(super) depth: i32,
    pub(super) author_id: Uuid,
    pub(super) author_number: i64,
    pub(super) content: String,
    pub(super) media_id: Option<Uuid>,
    pub(super) deleted: bool,
    pub(super) removed: bool,
    pub(super) hearts: i64,
    pub(super) likes: i64,
    pub(super) dislikes: i64,
    pub(super) replies_count: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    /// From 1 on, among the siblings found; 0 of one that was named.
    pub(super) rank: i64,
    /// On the last level, and where the statement did not get to them: whether there are replies.
    pub(super) answered: bool,
    /// The viewer's reaction.
    pub(super) reaction_id: Option<i64>,
    pub(super) reaction: Option<String>,
    pub(super) reacted_at: Option<DateTime<Utc>>,
}

impl Row {
    fn below(&self) -> Below {
        self.parent_id.map_or(Below::Post(self.post_id), Below::Comment)
    }

    /// What the viewer sees of it, without its replies.
    fn shown_to(self, viewer: Option<Caller>) -> Comment {
        let gone = self.deleted || self.removed;
        let target = Target { kind: TargetKind::Comment.into(), id: self.id };
        let reaction = viewer.zip(self.reaction_id).map(|(viewer, id)| Reaction {
            id,
            user_id: viewer.id.to_string(),
            user_number: viewer.number,
            r#type: type_of(self.reaction.as_deref().unwrap_or_default()).into(),
            target: Some(target),
            created_at: self.reacted_at.map(timestamp),
        });
        Comment {
            id: self.id,
            author_id: if self.deleted { String::new() } else { self.author_id.to_string() },
            author_number: if self.deleted { 0 } else { self.author_number },
            post_id: self.post_id,
            parent_id: self.parent_id,
            content: if gone { String::new() } else { self.content },
            media_id: self.media_id.filter(|_| !gone).map(|id| id.to_string()).unwrap_or_default(),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
            reactions: Some(ReactionCounts { hearts: self.hearts, likes: self.likes, dislikes: self.dislikes }),
            replies_count: self.replies_count,
            deleted: self.deleted,
            removed: self.removed,
            viewer_reaction: reaction,
            replies: None,
            depth: self.depth,
        }
    }
}

/// Rows on their way into a tree.
pub(super) struct Tree<'p> {
    pager: &'p Pager,
    viewer: Option<Caller>,
    depth: Depth,
    /// The first level where comments are named one by one.
    named: HashMap<i64, Row>,
    siblings: HashMap<Below, Vec<Row>>,
    /// There are as many rows or bytes as there may be: what the last row stands below may have more, and what was not
    /// reached anything.
    cut: Option<Below>,
}

impl<'p> Tree<'p> {
    pub(super) fn new(pager: &'p Pager, viewer: Option<Caller>, depth: &Depth, mut rows: Vec<Row>) -> Self {
        let mut bytes = 0;
        let fitting = rows.iter().take_while(|row| {
            bytes += row.content.len();
            bytes <= MOST_BYTES
        });
        let fitting = fitting.count();
        let full = rows.len() as i64 == MOST || fitting < rows.len();
        rows.truncate(fitting);
        let cut = rows.last().filter(|_| full).map(Row::below);
        let (mut named, mut siblings) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for row in rows {
            if row.rank == 0 {
                named.insert(row.id, row);
            } else {
                siblings.entry(row.below()).or_default().push(row);
            }
        }
        Self { pager, viewer, depth: *depth, named, siblings, cut }
    }

    /// Comments of which the rows do not say whether there are replies, because there were too many rows before those.
    /// Their counters do not say it either: a reply that is gone from sight has a place while others stand below it.
    pub(super) fn unreached(&self) -> Vec<i64> {
        if self.cut.is_none() {
            return Vec::new();
        }
        let rows = self.named.values().chain(self.siblings.values().flatten());
        let unreached = rows.filter(|row| !row.answered && !self.siblings.contains_key(&Below::Comment(row.id)));
        unreached.map(|row| row.id).collect()
    }

    /// Notes which of these have replies.
    pub(super) fn note_answered(&mut self, ids: &HashSet<i64>) {
        for row in self.named.values_mut().chain(self.siblings.values_mut().flatten()) {
            row.answered |= ids.contains(&row.id);
        }
    }

    /// The siblings below something on a post, and all below them; so many were shown before.
    pub(super) fn below(&mut self, post: i64, below: Below, shown: &Shown) -> kit::Result<CommentThread> {
        if self.cut.is_some() && !self.siblings.contains_key(&below) {
            return Ok(CommentThread { more_token: self.seal(post, below, shown)?, ..CommentThread::default() });
        }
        self.group(post, below, self.depth.top, shown)
    }

    /// The comments that were named, as far as they were found, in this order.
    pub(super) fn named(mut self, ids: &[i64]) -> kit::Result<Vec<Comment>> {
        let rows: Vec<_> = ids.iter().filter_map(|id| self.named.remove(id)).collect();
        rows.into_iter().map(|row| self.comment(row)).collect()
    }

    fn group(&mut self, post: i64, below: Below, most: i64, shown: &Shown) -> kit::Result<CommentThread> {
        let mut rows = self.siblings.remove(&below).unwrap_or_default();
        rows.sort_unstable_by_key(|row| row.rank);
        let more = rows.len() as i64 > most || self.cut == Some(below);
        rows.truncate(most as usize);
        let more_token = if more { self.seal(post, below, &shown.and(&rows))? } else { String::new() };
        let comments = rows.into_iter().map(|row| self.comment(row)).collect::<kit::Result<_>>()?;
        Ok(CommentThread { comments, more_token, total_size: 0 })
    }

    fn comment(&mut self, row: Row) -> kit::Result<Comment> {
        let (post, below) = (row.post_id, Below::Comment(row.id));
        let replies = if !self.siblings.contains_key(&below) && row.answered {
            let more_token = self.seal(post, below, &Shown::default())?;
            CommentThread { more_token, ..CommentThread::default() }
        } else {
            self.group(post, below, self.depth.replies, &Shown::default())?
        };
        Ok(Comment { replies: Some(replies), ..row.shown_to(self.viewer) })
    }

    fn seal(&self, post: i64, below: Below, shown: &Shown) -> kit::Result<String> {
        self.pager.seal(&scope(post, below), shown)
    }
}

#[cfg(test)]
mod tests {
    use kit::seal::Secret;
    use proptest::prelude::*;

    use super::*;

    fn row(id: i64, parent_id: Option<i64>, depth: i32, rank: i64) -> Row {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Row {
            id,
            post_id: 1,
            parent_id,
            depth,
            author_id: Uuid::nil(),
            author_number: 7,
            content: format!("comment {id}"),
            media_id: None,
            deleted: false,
            removed: false,
            hearts: 0,
            likes: 0,
            dislikes: 0,
            replies_count: 0,
            created_at: at,
            updated_at: at,
            rank,
            answered: false,
            reaction_id: None,
            reaction: None,
            reacted_at: None,
        }
    }

    fn tree(depth: Depth, rows: Vec<Row>) -> (Pager, CommentThread) {
        let pager = Pager::new(&Secret::new(&[1; 32]));
        let thread = Tree::new(&pager, None, &depth, rows).below(1, Below::Post(1), &Shown::default()).unwrap();
        (pager, thread)
    }

    fn ids(thread: &CommentThread) -> Vec<i64> {
        thread.comments.iter().map(|comment| comment.id).collect()
    }

    #[test]
    fn siblings_stand_in_their_order_and_end_in_a_token_when_there_are_more() {
        let rows = vec![row(3, None, 1, 2), row(5, None, 1, 1), row(4, None, 1, 3), row(9, Some(5), 2, 1)];
        let (pager, thread) = tree(Depth { top: 2, replies: 2, levels: 2 }, rows);
        assert_eq!(ids(&thread), [5, 3]);
        let shown = pager.open::<Shown>(&scope(1, Below::Post(1)), &thread.more_token).unwrap();
        assert_eq!(shown, Some(Shown { ids: vec![5, 3], end: None }));
        let replies = thread.comments[0].replies.as_ref().unwrap();
        assert_eq!((ids(replies), &*replies.more_token), (vec![9], ""));
        assert_eq!(thread.comments[1].replies.as_ref().unwrap().more_token, "");
    }

    #[test]
    fn where_the_request_goes_no_deeper_a_token_begins_with_the_first_reply() {
        let answered = Row { answered: true, ..row(5, None, 1, 1) };
        let (pager, thread) = tree(Depth { top: 2, replies: 2, levels: 1 }, vec![answered]);
        let replies = thread.comments[0].replies.as_ref().unwrap();
        let begin = pager.open::<Shown>(&scope(1, Below::Comment(5)), &replies.more_token).unwrap();
        assert_eq!((ids(replies), begin), (vec![], Some(Shown::default())));
    }

    #[test]
    fn a_full_answer_says_where_it_may_have_been_cut() {
        let rows: Vec<_> = (1..=MOST).map(|n| row(n, None, 1, n)).collect();
        let depth = Depth { top: MOST, replies: 2, levels: 5 };
        let pager = Pager::new(&Secret::new(&[1; 32]));
        let mut tree = Tree::new(&pager, None, &depth, rows);
        assert_eq!(tree.unreached().len(), MOST as usize);
        tree.note_answered(&HashSet::from([1]));
        let thread = tree.below(1, Below::Post(1), &Shown::default()).unwrap();
        assert_ne!(thread.more_token, "");
        assert_ne!(thread.comments[0].replies.as_ref().unwrap().more_token, "");
        assert_eq!(thread.comments[1].replies.as_ref().unwrap().more_token, "");
    }

    #[test]
    fn long_texts_cut_an_answer_too() {
        let long = |id, rank| Row { content: "x".repeat(MOST_BYTES / 4), ..row(id, None, 1, rank) };
        let rows: Vec<_> = (1..=6).map(|n| long(n, n)).collect();
        let (pager, thread) = tree(Depth { top: 5, replies: 2, levels: 5 }, rows.clone());
        let shown = pager.open::<Shown>(&scope(1, Below::Post(1)), &thread.more_token).unwrap();
        assert_eq!((ids(&thread), shown.unwrap().ids), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
        // Another post of the same page was not reached, which does not say that nobody commented on it.
        let other = Tree::new(&pager, None, &Depth { top: 5, replies: 2, levels: 5 }, rows).below(
            2,
            Below::Post(2),
            &Shown::default(),
        );
        assert_ne!(other.unwrap().more_token, "");
    }

    #[test]
    fn what_is_gone_says_nothing_and_what_was_deleted_is_nobodys() {
        let deleted = Row { deleted: true, ..row(1, None, 1, 1) }.shown_to(None);
        assert_eq!((&*deleted.content, &*deleted.author_id, deleted.author_number), ("", "", 0));
        let removed = Row { removed: true, ..row(1, None, 1, 1) }.shown_to(None);
        assert_eq!((&*removed.content, removed.author_number), ("", 7));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_row_has_its_place_in_the_tree(parents in prop::collection::vec(any::<prop::sample::Index>(), 1..200)) {
            // The n-th comment answers one of those before it, or the post.
            let (mut rows, mut siblings) = (Vec::<Row>::new(), HashMap::<Option<i64>, i64>::new());
            for (n, parent) in parents.iter().enumerate() {
                let parent = (n > 0).then(|| parent.index(n)).map(|at| (rows[at].id, rows[at].depth));
                let rank = siblings.entry(parent.map(|(id, _)| id)).or_default();
                *rank += 1;
                rows.push(row(n as i64 + 1, parent.map(|(id, _)| id), parent.map_or(1, |(_, level)| level + 1), *rank));
            }
            let (_, thread) = tree(Depth { top: 1000, replies: 1000, levels: 1000 }, rows.clone());
            let mut seen = Vec::new();
            walk(&thread, None, &mut seen);
            seen.sort_unstable();
            prop_assert_eq!(seen, rows.iter().map(|row| (row.id, row.parent_id)).collect::<Vec<_>>());
        }
    }

    fn walk(thread: &CommentThread, below: Option<i64>, seen: &mut Vec<(i64, Option<i64>)>) {
        assert_eq!(thread.more_token, "");
        for comment in &thread.comments {
            seen.push((comment.id, below));
            walk(comment.replies.as_ref().unwrap(), Some(comment.id), seen);
        }
    }
}
