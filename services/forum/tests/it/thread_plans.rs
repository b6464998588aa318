//! How PostgreSQL reads comments, reactions and notifications when there are many: from an index that brings them in
//! order, never a whole table and never sorted.

use proto::forum::v1::{
    CommentDepth, CountUnreadRequest, GetThreadRequest, ListCommentsRequest, ListNotificationsRequest,
    ListReactionsRequest,
};
use serde_json::Value;
use sqlx::PgPool;
use testkit::{Plan, plans};

use crate::World;
use crate::reactions::{comment, post};

#[track_caller]
fn in_order(plans: &[Plan; 2], index: &str) {
    for plan in plans {
        assert!(plan.whole_tables().is_empty() && plan.sorts().is_empty(), "{plan}");
        assert!(plan.indexes().contains(&index), "{index}: {plan}");
    }
}

/// Half of all comments stand on one post and a third below one comment; reactions and notifications likewise.
async fn fill(db: &PgPool, reader: uuid::Uuid) {
    for sql in [
        "insert into posts (author_id, author_number, title, content, created_at, updated_at, last_activity_at)
         select gen_random_uuid(), n, 't', 'c', now(), now(), now() from generate_series(1, 50000) n",
        "insert into comments (post_id, depth, author_id, author_number, content, likes, created_at, updated_at)
         select case when n % 2 = 0 then 1 else n end, 1, gen_random_uuid(), n, 'c', n % 97, now() - n * interval '1 s',
             now()
         from generate_series(1, 50000) n",
        "insert into comments (post_id, parent_id, depth, author_id, author_number, content, likes, created_at,
             updated_at)
         select c.post_id, case when n % 3 = 0 then 2 else c.id end, 2, gen_random_uuid(), n, 'c', n % 97,
             now() - n * interval '1 s', now()
         from generate_series(1, 50000) n join comments c on c.id = 2 * n and n % 3 <> 0 or c.id = 2 and n % 3 = 0",
        "insert into reactions (user_id, user_number, post_id, type, created_at)
         select gen_random_uuid(), n, case when n % 2 = 0 then 1 else n end, 'LIKE', now() - n * interval '1 s'
         from generate_series(1, 50000) n",
        "insert into reactions (user_id, user_number, comment_id, type, created_at)
         select gen_random_uuid(), n, case when n % 2 = 0 then 2 else n end, 'LIKE', now() - n * interval '1 s'
         from generate_series(1, 50000) n",
    ] {
        sqlx::query(sql).execute(db).await.unwrap();
    }
    sqlx::query(
        "insert into notifications (recipient_id, recipient_number, actor_id, actor_number, type, post_id, read_at,
             created_at)
         select case when n % 2 = 0 then $1 else gen_random_uuid() end, n, gen_random_uuid(), n, 'POST_REACTION', 1,
             case when n % 4 = 0 then now() end, now() - n * interval '1 s'
         from generate_series(1, 50000) n",
    )
    .bind(reader)
    .execute(db)
    .await
    .unwrap();
    sqlx::raw_sql("vacuum analyze").execute(db).await.unwrap();
}

#[tokio::test]
async fn everything_is_read_in_order_from_an_index() {
    let world = World::busy().await;
    let (ana, db) = (world.person(1), world.db());
    fill(db, ana.id).await;
    let depth = Some(CommentDepth { top: 5, replies: 3, levels: 5 });

    let of_post = GetThreadRequest { post_id: 1, depth, ..Default::default() };
    let thread = ana.comments().get_thread(of_post).await.unwrap().into_inner();
    assert_eq!((thread.comments.len(), thread.total_size), (5, 10_000));
    let top = "c.post_id = post and c.parent_id is null and c.id <> all($7::bigint[])\n";
    let seen = plans(db, &[top], "5, 5, 3, null, 2000, '{1,3,5}', '{7,8}', 0").await;
    in_order(&seen, "comments_top");
    in_order(&seen, "comments_replies");
    let below = GetThreadRequest { post_id: 1, parent_id: Some(2), depth, ..Default::default() };
    ana.comments().get_thread(below).await.unwrap();
    let replies = "c.parent_id = $6 and c.id <> all($7::bigint[])\n";
    in_order(&plans(db, &[replies], "5, 5, 3, null, 2000, 2, '{7,8}', 10000").await, "comments_replies");
    // Behind what a token remembers.
    for (parent_id, part, index) in [
        (None, "c.post_id = post and c.parent_id is null and c.id <> all($7::bigint[]) and", "comments_new_top"),
        (Some(2), "c.parent_id = $6 and c.id <> all($7::bigint[]) and", "comments_new_below"),
    ] {
        let hundred = Some(CommentDepth { top: 100, replies: 0, levels: 1 });
        let begin = GetThreadRequest { post_id: 1, parent_id, depth: hundred, ..Default::default() };
        let page_token = ana.comments().get_thread(begin.clone()).await.unwrap().into_inner().more_token;
        ana.comments().get_thread(GetThreadRequest { page_token, ..begin }).await.unwrap();
        let below = if parent_id.is_none() { "'{1}'" } else { "2" };
        let arguments = format!("5, 5, 3, null, 2000, {below}, '{{7,8}}', 0, now(), 7");
        in_order(&plans(db, &[part], &arguments).await, index);
    }
    in_order(&plans(db, &["as \"has_parent!\""], "1, null").await, "comments_new_top");

    for (filter, part, arguments, index) in [
        (ListCommentsRequest::default(), "is null  and (c.created_at", "null, null, 21, 10000, true", "comments_new"),
        (
            ListCommentsRequest { post_id: Some(1), ..Default::default() },
            "and c.post_id = $6",
            "null, null, 21, 10000, true, 1",
            "comments_new_on_post",
        ),
        (
            ListCommentsRequest { parent_id: Some(2), ..Default::default() },
            "and c.parent_id = $6",
            "null, null, 21, 0, true, 2, null, null",
            "comments_new_below",
        ),
        (
            ListCommentsRequest { author_id: ana.id.to_string(), ..Default::default() },
            "and c.author_id = $6",
            "null, null, 21, 0, true, gen_random_uuid(), null",
            "comments_of_author",
        ),
    ] {
        ana.comments().list_comments(filter).await.unwrap();
        let seen = plans(db, &[part], arguments).await;
        in_order(&seen, index);
        if index == "comments_new" {
            // Ten thousand are counted without a look at the table.
            let counts = |node: &&Value| node["Node Type"] == "Index Only Scan" && node["Index Name"] == index;
            assert!(seen.iter().all(|plan| plan.nodes().iter().any(counts)), "{}", seen[0]);
        }
    }
    in_order(&plans(db, &["c where c.id = any($6)"], "5, 0, 3, null, 2000, '{1,2,3}'").await, "comments_pkey");

    for (thing, part, index) in [
        (post(1), "where post_id = $1 and (created_at", "reactions_to_post"),
        (comment(2), "where comment_id = $1 and (created_at", "reactions_to_comment"),
    ] {
        let list = ListReactionsRequest { target: Some(thing), ..Default::default() };
        ana.reactions().list_reactions(list).await.unwrap();
        in_order(&plans(db, &[part], "1, null, null, 21, 10000").await, index);
    }

    for (unread, part, index) in [
        (false, "from notifications where recipient_id = $1\n", "notifications_new"),
        (true, "from notifications where recipient_id = $1 and read_at is null\n", "notifications_unread"),
    ] {
        let list = ListNotificationsRequest { unread, ..Default::default() };
        let told = ana.notifications().list_notifications(list).await.unwrap().into_inner();
        assert_eq!((told.notifications.len(), told.total_size), (20, 10_000));
        in_order(&plans(db, &[part], &format!("'{}', null, null, 21, 10000", ana.id)).await, index);
    }
    ana.notifications().count_unread(CountUnreadRequest {}).await.unwrap();
    in_order(&plans(db, &["and read_at is null limit"], &format!("'{}'", ana.id)).await, "notifications_unread");
}
