//! Comments: writing, threads, lists, changing, deleting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use proto::forum::v1::{
    BanMemberRequest, Comment, CommentDepth, CommentThread, CreateCommentRequest, DeleteCommentRequest,
    GetCommentRequest, GetThreadRequest, ListCommentsRequest, ReactRequest, ReactionType, Target, TargetKind,
    UpdateCommentRequest,
};
use serde_json::json;
use testkit::Prepared;
use tonic::Status;

use crate::statements::Statements;
use crate::{Somebody, World, refused};

impl Somebody {
    pub(crate) async fn try_comment(&self, post_id: i64, parent_id: Option<i64>) -> Result<Comment, Status> {
        let content = format!("{} says something", self.number);
        let request = CreateCommentRequest { post_id, parent_id, content, ..Default::default() };
        Ok(self.comments().create_comment(request).await?.into_inner())
    }

    pub(crate) async fn comment(&self, post_id: i64, parent_id: Option<i64>) -> i64 {
        self.try_comment(post_id, parent_id).await.unwrap().id
    }

    async fn comment_of(&self, id: i64) -> Comment {
        let depth = Some(CommentDepth { top: 0, replies: 100, levels: 10 });
        self.comments().get_comment(GetCommentRequest { id, depth }).await.unwrap().into_inner()
    }

    async fn thread(&self, post_id: i64, depth: CommentDepth) -> CommentThread {
        let request = GetThreadRequest { post_id, depth: Some(depth), ..Default::default() };
        self.comments().get_thread(request).await.unwrap().into_inner()
    }

    pub(crate) async fn delete_comment(&self, id: i64) -> Result<(), Status> {
        self.comments().delete_comment(DeleteCommentRequest { id }).await.map(|_| ())
    }
}

impl World {
    /// In which nobody writes too much.
    pub(crate) async fn busy() -> Self {
        Self::with(&["--writes-per-minute=100000", "--reactions-per-minute=100000"]).await
    }

    /// The post's counter.
    pub(crate) async fn comments_count(&self, post: i64) -> i64 {
        let count = sqlx::query_scalar("select comments_count from posts where id = $1").bind(post);
        count.fetch_one(self.db()).await.unwrap()
    }

    pub(crate) async fn set(&self, table: &str, column: &str, id: i64) {
        let sql = sqlx::AssertSqlSafe(format!("update {table} set {column} = now() where id = $1"));
        sqlx::query(sql).bind(id).execute(self.db()).await.unwrap();
    }
}

fn ids(comments: &[Comment]) -> Vec<i64> {
    comments.iter().map(|comment| comment.id).collect()
}

fn replies(comment: &Comment) -> &CommentThread {
    comment.replies.as_ref().unwrap()
}

#[tokio::test]
async fn a_comment_counts_where_it_stands_and_everybody_concerned_is_told() {
    let world = World::busy().await;
    let (ana, beto, eva) = (world.person(1), world.person(2), world.person(3));
    let post = ana.post("Panales", None).await.id;
    world.published().await;
    let first = beto.try_comment(post, None).await.unwrap();
    assert_eq!((first.depth, first.parent_id, &*first.content), (1, None, "2 says something"));
    assert_eq!((&*first.author_id, first.author_number), (&*beto.id.to_string(), 2));
    let answer = eva.try_comment(post, Some(first.id)).await.unwrap();
    assert_eq!((answer.depth, answer.parent_id), (2, Some(first.id)));
    let first = ana.comment_of(first.id).await;
    assert_eq!((first.replies_count, ids(&replies(&first).comments)), (1, vec![answer.id]));
    assert_eq!(world.comments_count(post).await, 2);

    let told: Vec<_> = world.published().await;
    let kinds: Vec<_> = told.iter().map(|(kind, key, _)| (kind.as_str(), key.clone())).collect();
    let key = post.to_string();
    let twice = ["foro.notification.created", "foro.comment.added"].map(|kind| (kind, key.clone()));
    assert_eq!(kinds, [twice.clone(), twice].concat());
    assert_eq!(
        told[3].2,
        json!({ "comment_id": answer.id, "post_id": post, "user_id": 3, "user_uuid": eva.id, "parent_id": first.id })
    );
    assert_eq!((&told[2].2["recipient_id"], &told[2].2["notif_type"]), (&json!(2), &json!("comment_reply")));
}

#[tokio::test]
async fn what_cannot_be_commented_on() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let (post, other) = (ana.post("Panales", None).await.id, ana.post("Panales", None).await.id);
    let (there, elsewhere) = (ana.comment(post, None).await, ana.comment(other, None).await);
    refused!(world.nobody().try_comment(post, None).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(beto.try_comment(999, None).await, NotFound, "POST_NOT_FOUND");
    refused!(beto.try_comment(post, Some(999)).await, NotFound, "COMMENT_NOT_FOUND");
    refused!(beto.try_comment(post, Some(elsewhere)).await, InvalidArgument, "PARENT_ELSEWHERE");
    let blank = CreateCommentRequest { post_id: post, ..Default::default() };
    refused!(beto.comments().create_comment(blank).await, InvalidArgument, "INVALID_FIELDS");
    world.set("comments", "removed_at", there).await;
    refused!(beto.try_comment(post, Some(there)).await, FailedPrecondition, "COMMENT_REMOVED");
    world.set("posts", "locked_at", post).await;
    refused!(beto.try_comment(post, None).await, FailedPrecondition, "LOCKED");
    world.set("posts", "removed_at", post).await;
    refused!(beto.try_comment(post, None).await, NotFound, "POST_NOT_FOUND");
    refused!(ana.try_comment(post, None).await, NotFound, "POST_NOT_FOUND");

    sqlx::query("update posts set community_id = 1 where id = $1").bind(other).execute(world.db()).await.unwrap();
    sqlx::query("insert into bans (community_id, user_id, user_number, created_at) values (1, $1, 2, now())")
        .bind(beto.id)
        .execute(world.db())
        .await
        .unwrap();
    refused!(beto.try_comment(other, None).await, PermissionDenied, "COMMUNITY_BANNED");
    assert_eq!(world.comments_count(other).await, 1);
}

#[tokio::test]
async fn ten_in_a_minute_are_enough() {
    let world = World::start().await;
    let ana = world.person(1);
    let post = ana.post("Panales", None).await.id;
    // The post is the first.
    for _ in 0..9 {
        ana.comment(post, None).await;
    }
    refused!(ana.try_comment(post, None).await, ResourceExhausted, "RATE_LIMITED");
    world.person(2).comment(post, None).await;
    world.harness.clock.advance(Duration::from_secs(61));
    ana.comment(post, None).await;
    assert_eq!(world.comments_count(post).await, 11);
}

#[tokio::test]
async fn twenty_at_once_are_twenty() {
    let world = World::busy().await;
    let ana = world.person(1);
    let post = ana.post("Panales", None).await.id;
    let first = ana.comment(post, None).await;
    let people: Vec<_> = (0..20).map(|n| world.person(10 + n)).collect();
    join_all(people.iter().map(|person| person.comment(post, Some(first)))).await;
    assert_eq!((world.comments_count(post).await, ana.comment_of(first).await.replies_count), (21, 20));
}

#[tokio::test]
async fn siblings_stand_most_popular_first_then_newest() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let post = ana.post("Panales", None).await.id;
    let mut comments = Vec::new();
    for _ in 0..4 {
        world.harness.clock.advance(Duration::from_secs(1));
        comments.push(ana.comment(post, None).await);
    }
    let [old, liked, answered, new] = comments[..] else { unreachable!() };
    for person in [&ana, &beto] {
        let target = Some(Target { kind: TargetKind::Comment.into(), id: liked });
        person.reactions().react(ReactRequest { target, r#type: ReactionType::Dislike.into() }).await.unwrap();
    }
    beto.comment(post, Some(answered)).await;
    let thread = ana.thread(post, CommentDepth { top: 3, replies: 5, levels: 2 }).await;
    assert_eq!(ids(&thread.comments), [liked, answered, new]);
    assert_eq!(thread.total_size, 4);
    let mine = thread.comments[0].viewer_reaction.as_ref().unwrap();
    assert_eq!((mine.r#type(), mine.user_number), (ReactionType::Dislike, 1));
    let public = world.nobody().thread(post, CommentDepth { top: 3, replies: 5, levels: 2 }).await;
    assert!(public.comments[0].viewer_reaction.is_none());

    let request = GetThreadRequest { post_id: post, page_token: thread.more_token.clone(), ..Default::default() };
    let rest = ana.comments().get_thread(request.clone()).await.unwrap().into_inner();
    assert_eq!((ids(&rest.comments), &*rest.more_token, rest.total_size), (vec![old], "", 4));
    let elsewhere = GetThreadRequest { parent_id: Some(answered), ..request };
    refused!(ana.comments().get_thread(elsewhere).await, InvalidArgument, "INVALID_FIELDS");
    let skipped = GetThreadRequest { post_id: post, skip: 2, ..Default::default() };
    assert_eq!(ids(&ana.comments().get_thread(skipped).await.unwrap().into_inner().comments), [new, old]);
    let nowhere = |post_id, parent_id| GetThreadRequest { post_id, parent_id, ..Default::default() };
    refused!(ana.comments().get_thread(nowhere(999, None)).await, NotFound, "POST_NOT_FOUND");
    refused!(ana.comments().get_thread(nowhere(post, Some(999))).await, NotFound, "COMMENT_NOT_FOUND");
}

#[tokio::test]
async fn votes_between_pages_repeat_no_comment_and_leave_none_out() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let post = ana.post("Panales", None).await.id;
    let parent = ana.comment(post, None).await;
    for below in [None, Some(parent)] {
        // More than a token remembers.
        let mut written = BTreeSet::from_iter(below.is_none().then_some(parent));
        for _ in 0..130 {
            world.harness.clock.advance(Duration::from_secs(1));
            written.insert(ana.comment(post, below).await);
        }
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let depth = Some(CommentDepth { top: 20, replies: 0, levels: 1 });
            let request = GetThreadRequest { post_id: post, parent_id: below, page_token, depth, ..Default::default() };
            let thread = ana.comments().get_thread(request).await.unwrap().into_inner();
            seen.extend(ids(&thread.comments));
            page_token = thread.more_token;
            if page_token.is_empty() {
                break;
            }
            // One that was shown sinks, and the last that was not rises above all of them.
            let unseen = written.iter().find(|id| !seen.contains(id)).copied();
            for id in [seen.first().copied(), unseen].into_iter().flatten() {
                let target = Some(Target { kind: TargetKind::Comment.into(), id });
                beto.reactions().react(ReactRequest { target, r#type: ReactionType::Like.into() }).await.unwrap();
            }
        }
        assert_eq!(seen.len(), written.len(), "{seen:?}");
        assert_eq!(BTreeSet::from_iter(seen), written);
    }
}

/// Follows every token until there is none, and notes what stands below what.
async fn walk(person: &Somebody, post: i64, depth: CommentDepth) -> BTreeMap<i64, Option<i64>> {
    let mut seen = BTreeMap::new();
    let mut open = vec![(None, person.thread(post, depth).await)];
    while let Some((below, thread)) = open.pop() {
        if !thread.more_token.is_empty() {
            let request = GetThreadRequest {
                post_id: post,
                parent_id: below,
                page_token: thread.more_token,
                depth: Some(depth),
                ..Default::default()
            };
            open.push((below, person.comments().get_thread(request).await.unwrap().into_inner()));
        }
        for comment in thread.comments {
            assert_eq!(seen.insert(comment.id, below), None, "{} came twice", comment.id);
            open.extend(comment.replies.map(|replies| (Some(comment.id), replies)));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_read_from_cut_to_cut_is_the_whole_thread() {
    let world = World::busy().await;
    let ana = world.person(1);
    let shapes = prop::collection::vec(any::<prop::sample::Index>(), 40);
    let limits = (1..5i32, 0..4i32, 1..4i32);
    let mut runner = TestRunner::deterministic();
    for _ in 0..6 {
        let (parents, (top, replies, levels)) = (&shapes, limits.clone()).new_tree(&mut runner).unwrap().current();
        let post = ana.post("Panales", None).await.id;
        let mut written = BTreeMap::new();
        for parent in parents {
            let parent = written.keys().copied().chain([0]).nth(parent.index(written.len() + 1)).filter(|id| *id != 0);
            written.insert(ana.comment(post, parent).await, parent);
        }
        assert_eq!(walk(&ana, post, CommentDepth { top, replies, levels }).await, written);
    }
}

#[tokio::test]
async fn a_thread_never_has_more_than_its_rows() {
    let world = World::busy().await;
    let ana = world.person(1);
    let post = ana.post("Panales", None).await.id;
    // 100 at the top, each with 100 replies.
    sqlx::query(
        "with tops as (
             insert into comments (post_id, depth, author_id, author_number, content, replies_count, created_at, updated_at)
             select $1, 1, $2, 1, 'x', 100, now(), now() from generate_series(1, 100) returning id
         )
         insert into comments (post_id, parent_id, depth, author_id, author_number, content, created_at, updated_at)
         select $1, null, 1, $2, 1, 'x', now(), now() from tops where false",
    )
    .bind(post)
    .bind(ana.id)
    .execute(world.db())
    .await
    .unwrap();
    sqlx::query(
        "insert into comments (post_id, parent_id, depth, author_id, author_number, content, created_at, updated_at)
         select $1, c.id, 2, $2, 1, 'x', now(), now() from comments c, generate_series(1, 100) where c.post_id = $1",
    )
    .bind(post)
    .bind(ana.id)
    .execute(world.db())
    .await
    .unwrap();
    let depth = CommentDepth { top: 100, replies: 100, levels: 3 };
    let thread = ana.thread(post, depth).await;
    assert_eq!(thread.comments.len(), 100);
    let shown: usize = thread.comments.iter().map(|comment| replies(comment).comments.len()).sum();
    assert_eq!(shown, 1900);
    assert!(thread.comments.iter().all(|c| replies(c).comments.len() == 100 || !replies(c).more_token.is_empty()));
    assert_eq!(walk(&ana, post, depth).await.len(), 10_100);
}

#[tokio::test]
async fn no_more_texts_are_read_than_an_answer_holds() {
    let world = World::busy().await;
    let ana = world.person(1);
    let post = ana.post("Panales", None).await.id;
    // 100 at the top, each with two replies, of 40,000 bytes: 209 of them fit into 8 MiB.
    for sql in [
        "insert into comments (post_id, depth, author_id, author_number, content, created_at, updated_at)
         select $1, 1, $2, 1, repeat('🐝', 10000), now(), now() from generate_series(1, 100)",
        "insert into comments (post_id, parent_id, depth, author_id, author_number, content, created_at, updated_at)
         select $1, c.id, 2, $2, 1, repeat('🐝', 10000), now(), now() from comments c, generate_series(1, 2)
         where c.post_id = $1",
    ] {
        sqlx::query(sql).bind(post).bind(ana.id).execute(world.db()).await.unwrap();
    }
    let depth = CommentDepth { top: 100, replies: 100, levels: 10 };
    let thread = world.nobody().thread(post, depth).await;
    let shown: usize = thread.comments.iter().map(|comment| replies(comment).comments.len()).sum();
    assert_eq!((thread.comments.len(), shown), (100, 109));
    assert_eq!(walk(&ana, post, depth).await.len(), 300);

    // One more leaves PostgreSQL, which tells that there are more.
    let part = "c.post_id = post and c.parent_id is null and c.id <> all($7::bigint[])\n";
    let mut statement = Prepared::find(world.db(), &[part]).await;
    let plan = statement.run(&[], &format!("10, 100, 100, null, 2000, '{{{post}}}', '{{}}', 0")).await;
    assert_eq!(plan.nodes()[0]["Actual Rows"].as_f64(), Some(210.0), "{plan}");
}

#[tokio::test]
async fn a_comment_without_replies_is_gone_and_one_with_replies_stays_as_an_empty_place() {
    let world = World::busy().await;
    let (ana, beto, admin) = (world.person(1), world.person(2), world.admin());
    let post = ana.post("Panales", None).await.id;
    let top = ana.comment(post, None).await;
    let middle = ana.comment(post, Some(top)).await;
    let leaf = beto.comment(post, Some(middle)).await;
    refused!(beto.delete_comment(middle).await, PermissionDenied, "NOT_YOURS");
    refused!(world.nobody().delete_comment(middle).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(beto.delete_comment(999).await, NotFound, "COMMENT_NOT_FOUND");

    ana.delete_comment(middle).await.unwrap();
    refused!(ana.delete_comment(middle).await, NotFound, "COMMENT_NOT_FOUND");
    let place = ana.comment_of(middle).await;
    assert!(place.deleted);
    assert_eq!((&*place.content, &*place.author_id, place.author_number), ("", "", 0));
    assert_eq!(ids(&replies(&place).comments), [leaf]);
    assert_eq!((world.comments_count(post).await, ana.comment_of(top).await.replies_count), (2, 0));
    refused!(beto.try_comment(post, Some(middle)).await, FailedPrecondition, "COMMENT_REMOVED");

    // With the last reply the place goes too, and nothing above it that is still somebody's.
    admin.delete_comment(leaf).await.unwrap();
    for id in [leaf, middle] {
        let request = GetCommentRequest { id, ..Default::default() };
        refused!(ana.comments().get_comment(request).await, NotFound, "COMMENT_NOT_FOUND");
    }
    assert!(replies(&ana.comment_of(top).await).comments.is_empty());
    assert_eq!(world.comments_count(post).await, 1);
}

#[tokio::test]
async fn the_author_changes_a_comment() {
    let world = World::busy().await;
    let (ana, beto, admin) = (world.person(1), world.person(2), world.admin());
    let post = ana.post("Panales", None).await.id;
    let id = ana.comment(post, None).await;
    let update = |who: &Somebody, id, content: &str| {
        let (mut comments, content) = (who.comments(), Some(content.to_owned()));
        async move { comments.update_comment(UpdateCommentRequest { id, content, media_id: None }).await }
    };
    world.harness.clock.advance(Duration::from_secs(5));
    let changed = update(&ana, id, "otherwise").await.unwrap().into_inner();
    assert_eq!(changed.content, "otherwise");
    assert_eq!(changed.updated_at.unwrap().seconds - changed.created_at.unwrap().seconds, 5);
    assert_eq!(update(&admin, id, "by staff").await.unwrap().into_inner().content, "by staff");
    refused!(update(&beto, id, "mine").await, PermissionDenied, "NOT_YOURS");
    refused!(update(&world.nobody(), id, "mine").await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(update(&ana, 999, "x").await, NotFound, "COMMENT_NOT_FOUND");
    world.set("comments", "removed_at", id).await;
    refused!(update(&ana, id, "back").await, FailedPrecondition, "COMMENT_REMOVED");
    assert_eq!((&*ana.comment_of(id).await.content, ana.comment_of(id).await.removed), ("", true));
}

#[tokio::test]
async fn flat_lists_are_newest_first_and_narrow() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let (post, other) = (ana.post("Panales", None).await.id, ana.post("Panales", None).await.id);
    let mut written = Vec::new();
    for n in 0..9 {
        world.harness.clock.advance(Duration::from_secs(1));
        let who = if n % 2 == 0 { &ana } else { &beto };
        let parent = (n % 3 == 2).then(|| written[n - 2]);
        written.push(who.comment(post, parent).await);
    }
    let stranger = ana.comment(other, None).await;
    let list = |request: ListCommentsRequest| {
        let mut comments = beto.comments();
        async move { comments.list_comments(request).await.unwrap().into_inner() }
    };
    let of = |indexes: &[usize]| indexes.iter().map(|n| written[*n]).collect::<Vec<_>>();
    let all = list(ListCommentsRequest { page_size: 4, ..Default::default() }).await;
    assert_eq!((ids(&all.comments)[0], all.comments.len(), all.total_size), (stranger, 4, 10));
    let filter = ListCommentsRequest { post_id: Some(post), page_size: 4, ..Default::default() };
    let page = list(filter.clone()).await;
    assert_eq!((ids(&page.comments), page.total_size), (of(&[8, 7, 6, 5]), 9));
    let page = list(ListCommentsRequest { page_token: page.next_page_token, ..filter.clone() }).await;
    assert_eq!(ids(&page.comments), of(&[4, 3, 2, 1]));
    let page = list(ListCommentsRequest { skip: 8, ..filter.clone() }).await;
    assert_eq!((ids(&page.comments), &*page.next_page_token), (of(&[0]), ""));
    let below = list(ListCommentsRequest { parent_id: Some(written[3]), ..filter.clone() }).await;
    assert_eq!((ids(&below.comments), below.total_size), (of(&[5]), 1));
    let none = ListCommentsRequest { post_id: Some(other), parent_id: Some(written[3]), ..Default::default() };
    assert_eq!(list(none).await.total_size, 0);
    let by_beto = ListCommentsRequest { author_id: beto.id.to_string(), ..filter.clone() };
    assert_eq!(ids(&list(by_beto).await.comments), of(&[7, 5, 3, 1]));
    let nested = CommentDepth { top: 0, replies: 5, levels: 2 };
    let page = list(ListCommentsRequest { depth: Some(nested), page_size: 6, ..filter.clone() }).await;
    assert_eq!(ids(&replies(&page.comments[5]).comments), of(&[5]));

    // What is gone is in no list.
    world.set("comments", "removed_at", written[8]).await;
    beto.delete_comment(written[3]).await.unwrap();
    assert_eq!(ids(&list(filter.clone()).await.comments), of(&[7, 6, 5, 4]));
    world.set("posts", "removed_at", other).await;
    let seen: BTreeSet<_> = ids(&list(ListCommentsRequest::default()).await.comments).into_iter().collect();
    assert!(!seen.contains(&stranger) && seen.len() == 7);
    let thread = GetThreadRequest { post_id: other, ..Default::default() };
    refused!(beto.comments().get_thread(thread.clone()).await, NotFound, "POST_NOT_FOUND");
    let hidden = GetCommentRequest { id: stranger, ..Default::default() };
    refused!(beto.comments().get_comment(hidden).await, NotFound, "COMMENT_NOT_FOUND");
    assert_eq!(ids(&ana.comments().get_thread(thread).await.unwrap().into_inner().comments), [stranger]);
}

#[tokio::test]
async fn a_comment_on_a_removed_post_or_where_one_is_banned_stays_as_it_is() {
    let world = World::busy().await;
    let (ana, beto, eva) = (world.person(1), world.person(2), world.person(3));
    let community = ana.found("uno").await.id;
    let post = eva.post("Panales", Some(community)).await.id;
    let (betos, evas) = (beto.comment(post, None).await, eva.comment(post, None).await);
    let change = |id: i64| UpdateCommentRequest { id, content: Some("Otra cosa".into()), media_id: None };
    let ban = |person: &Somebody| BanMemberRequest {
        community_id: community,
        user_id: person.id.to_string(),
        reason: String::new(),
    };
    ana.moderation().ban_member(ban(&beto)).await.unwrap();
    refused!(beto.comments().update_comment(change(betos)).await, PermissionDenied, "COMMUNITY_BANNED");

    world.set("posts", "removed_at", post).await;
    refused!(beto.comments().update_comment(change(betos)).await, NotFound, "COMMENT_NOT_FOUND");
    // Who wrote the post still sees it, and is told why.
    refused!(eva.comments().update_comment(change(evas)).await, FailedPrecondition, "LOCKED");
    refused!(eva.comments().update_comment(change(betos)).await, PermissionDenied, "NOT_YOURS");
    let contents: Vec<String> =
        sqlx::query_scalar("select content from comments order by id").fetch_all(world.db()).await.unwrap();
    assert_eq!(contents, ["2 says something", "3 says something"]);
    assert_eq!(world.admin().comments().update_comment(change(evas)).await.unwrap().into_inner().content, "Otra cosa");
}

#[tokio::test]
async fn comments_of_removed_posts_are_not_counted() {
    let world = World::busy().await;
    let ana = world.person(1);
    let (shown, removed) = (ana.post("Uno", None).await.id, ana.post("Dos", None).await.id);
    let on_shown = ana.comment(shown, None).await;
    let on_removed = ana.comment(removed, None).await;
    ana.comment(removed, Some(on_removed)).await;
    world.set("posts", "removed_at", removed).await;
    let author_id = ana.id.to_string();
    for (request, expected) in [
        (ListCommentsRequest::default(), vec![on_shown]),
        (ListCommentsRequest { author_id, ..Default::default() }, vec![on_shown]),
        (ListCommentsRequest { post_id: Some(removed), ..Default::default() }, vec![]),
        (ListCommentsRequest { parent_id: Some(on_removed), ..Default::default() }, vec![]),
    ] {
        let page = ana.comments().list_comments(request).await.unwrap().into_inner();
        assert_eq!((page.total_size as usize, ids(&page.comments)), (expected.len(), expected));
    }
}

#[tokio::test]
async fn a_long_row_of_empty_places_goes_with_the_last_reply() {
    const PLACES: i64 = 3_000;
    let world = World::busy().await;
    let ana = world.person(1);
    let post = ana.post("Panales", None).await.id;
    let root = ana.comment(post, None).await;
    let kept = ana.comment(post, Some(root)).await;
    // Below `root`, one below the other, all deleted.
    sqlx::query(
        "insert into comments (id, post_id, parent_id, depth, author_id, author_number, content, created_at, updated_at)
         overriding system value
         select 100000 + n, $1, case when n = 1 then $2 else 100000 + n - 1 end, 1 + n, gen_random_uuid(), 1, '', now(),
             now()
         from generate_series(1, $3) n",
    )
    .bind(post)
    .bind(root)
    .bind(PLACES)
    .execute(world.db())
    .await
    .unwrap();
    let leaf = ana.comment(post, Some(100_000 + PLACES)).await;
    sqlx::query("update comments set deleted_at = now() where id > 100000 and id <> $1")
        .bind(leaf)
        .execute(world.db())
        .await
        .unwrap();
    let statements = Statements::default();
    let _listening = statements.listen();
    ana.delete_comment(leaf).await.unwrap();
    assert!(statements.take().len() < 30, "not one statement for each place");
    let left: Vec<i64> = sqlx::query_scalar("select id from comments order by id").fetch_all(world.db()).await.unwrap();
    assert_eq!(left, [root, kept]);
}
