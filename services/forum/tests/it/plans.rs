//! How PostgreSQL runs the lists, on tables of some size, with the statements as the service prepared them.

use proto::forum::v1::{
    DeleteCommunityRequest, GetPostRequest, ListCommunitiesRequest, ListFeedRequest, ListMembersRequest,
    ListModerationLogRequest, ListPostsRequest, ListRelevantRequest, ListReportsRequest, PostOrder, TimeWindow,
};
use sqlx::PgPool;
use testkit::{Plan, plan};
use uuid::Uuid;

use crate::{Somebody, World};

/// 50,000 posts by 2,000 authors, most in two communities; 200,000 comments, reactions, members, reports and a log.
async fn fill(db: &PgPool) {
    for statement in [
        "insert into posts (author_id, author_number, community_id, title, content, likes, dislikes, relevance_score,
             created_at, updated_at, last_activity_at)
         select lpad(to_hex(n % 2000), 32, '0')::uuid, n % 2000, nullif(n % 3, 0), 'Post ' || n, repeat('Texto ', 20),
             n * 7 % 500, n * 3 % 200, n % 7, at, at, at + n % 100 * interval '1 minute'
         from generate_series(1, 50000) n,
             lateral (select timestamptz '2026-03-01 11:00:00+00' - n * interval '10 minutes' as at) at",
        "insert into comments (post_id, depth, author_id, author_number, content, created_at, updated_at)
         select 1 + n % 50000, 1, lpad(to_hex(n % 2000), 32, '0')::uuid, n % 2000, 'Hola', at, at
         from generate_series(1, 200000) n, lateral (select timestamptz '2026-03-01' - n * interval '1 minute' as at) at",
        "insert into reactions (user_id, user_number, post_id, type, created_at)
         select lpad(to_hex(n / 50000 * 300 + n % 300), 32, '0')::uuid, n, 1 + n % 50000, 'LIKE', timestamptz '2026-03-01'
         from generate_series(1, 300000) n",
        "insert into interactions (user_id, author_id, comments, reactions)
         select lpad(to_hex(n / 100), 32, '0')::uuid, lpad(to_hex(n % 100), 32, '0')::uuid, n % 5, n % 3
         from generate_series(1, 50000) n on conflict do nothing",
        "insert into communities (name, slug, created_at, members_count, posts_count)
         select 'Comunidad ' || n, 'c' || n, now() - n * interval '1 minute', n % 100, 16666
         from generate_series(1, 5000) n",
        "insert into memberships (community_id, user_id, user_number, joined_at)
         select 1 + n % 5, lpad(to_hex(n), 32, '0')::uuid, n, now() - n * interval '1 minute'
         from generate_series(1, 50000) n",
        "insert into memberships (community_id, user_id, user_number, joined_at)
         select c.id, lpad(to_hex(1), 32, '0')::uuid, 1, now() from communities c where id % 500 = 0 or id <= 4
         on conflict do nothing",
        "insert into reported (community_id, post_id, open, last_reported_at)
         select 1 + n % 2, n, 1 + n % 9, now() - n * interval '1 minute' from generate_series(1, 50000) n",
        "insert into reports (reporter_id, reporter_number, post_id, reason, created_at)
         select gen_random_uuid(), n, 1 + n % 50000, 'feo', now() from generate_series(1, 100000) n",
        "insert into moderation_log (community_id, moderator_id, moderator_number, action, post_id, created_at)
         select nullif(n % 4, 0), gen_random_uuid(), n, 'LOCK', n, now() - n * interval '1 minute'
         from generate_series(1, 50000) n",
        "vacuum analyze",
    ] {
        sqlx::query(statement).execute(db).await.unwrap();
    }
}

/// What takes longer the more rows there are: reading a large table, or sorting a large part of it.
fn assert_bounded(plan: &Plan, what: &str) {
    let whole = plan.whole_tables();
    assert!(whole.is_empty(), "{what} reads all of {whole:?}:\n{plan}");
    for node in plan.sorts() {
        let rows = node["Plans"][0]["Plan Rows"].as_f64().unwrap_or_default();
        assert!(rows <= 2_000.0, "{what} sorts {rows} rows:\n{plan}");
    }
}

/// Uses every list more often than PostgreSQL waits before it considers a plan that fits all arguments.
async fn use_lists(world: &World, ana: &Somebody, admin: &Somebody) {
    use PostOrder::{Active, Controversial, Hot, New, Top};
    for _ in 0..7 {
        for order in [New, Top, Hot, Active, Controversial] {
            for (community_id, author_id) in [(None, ""), (Some(1), ""), (None, &*ana.id.to_string())] {
                let request = ListPostsRequest {
                    page_size: 20,
                    order: order.into(),
                    community_id,
                    author_id: author_id.to_owned(),
                    ..Default::default()
                };
                let page = ana.posts().list_posts(request.clone()).await.unwrap().into_inner();
                let page_token = page.next_page_token;
                ana.posts().list_posts(ListPostsRequest { page_token, ..request }).await.unwrap();
            }
        }
        ana.posts().list_feed(ListFeedRequest::default()).await.unwrap();
        ana.posts().list_relevant(ListRelevantRequest::default()).await.unwrap();
        ana.posts().get_post(GetPostRequest { id: 1, ..Default::default() }).await.unwrap();
        ana.communities().list_communities(ListCommunitiesRequest::default()).await.unwrap();
        let mine = ListCommunitiesRequest { mine: true, ..Default::default() };
        ana.communities().list_communities(mine).await.unwrap();
        ana.communities().list_members(ListMembersRequest { id: 1, ..Default::default() }).await.unwrap();
        let request = ListReportsRequest { community_id: Some(1), ..Default::default() };
        admin.moderation().list_reports(request).await.unwrap();
        for community_id in [0, 1] {
            let request = ListModerationLogRequest { community_id, ..Default::default() };
            world.nobody().moderation().list_moderation_log(request).await.unwrap();
        }
    }
}

#[tokio::test]
async fn every_list_is_served_by_its_index() {
    let world = World::start().await;
    fill(world.db()).await;
    let (ana, admin) = (world.person(1), world.admin());
    use_lists(&world, &ana, &admin).await;
    admin.communities().delete_community(DeleteCommunityRequest { id: 4_000 }).await.unwrap();
    let db = world.db();
    let user = format!("'{}'::uuid", Uuid::from_u128(1));

    let part = "null, '{}', 21, 0, true, now(), 9223372036854775807, null";
    for (order, index) in [
        ("created_at", "posts_new"),
        ("score", "posts_top"),
        ("hot", "posts_hot"),
        ("last_activity_at", "posts_active"),
        ("controversy", "posts_controversial"),
    ] {
        let order = if order == "created_at" { order.to_owned() } else { format!("{order} desc, created_at") };
        let order = format!("order by {order} desc, id desc limit $3");
        let counted = "select count(*) from (select from posts where removed_at is null limit";
        let place = plan(db, &[&order, counted], part).await;
        assert_bounded(&place, &order);
        assert!(place.indexes().contains(&index), "{index} expected:\n{place}");
        let place = plan(db, &[&order, "and community_id = $9"], &format!("{part}, 1")).await;
        assert_bounded(&place, &order);
        assert!(place.indexes().contains(&&*format!("{index}_in")), "{index}_in expected:\n{place}");
        let place = plan(db, &[&order, "and author_id = $9"], &format!("{part}, {user}, null")).await;
        assert_bounded(&place, &order);
        assert!(order.contains("by created") <= place.indexes().contains(&"posts_of_author"), "{place}");
    }
    for (parts, arguments, index) in [
        (&["with ordinality as k(id, place)"][..], format!("{user}, '{{5,3,1}}'"), "reactions_once_per_post"),
        (&["where p.id = $2"], format!("{user}, 5"), "posts_pkey"),
        (&["limit $4::bigint + $5::bigint"], format!("{user}, now(), 9999999, 21, 0, true"), "posts_new_in"),
        (
            &["unnest($1::uuid[], $2::timestamptz[]"],
            format!("array[{user}], array[now()], array[9999999::bigint], 32"),
            "posts_of_author",
        ),
        (&["(relevance_score, created_at, id) < ($1, $2, $3)"], "5, now(), 99999, 1024".to_owned(), "posts_relevant"),
        (&["select author_id, boost from interactions"], user.clone(), "interactions_pkey"),
        (
            &["order by c.members_count desc", "where (c.members"],
            format!("{user}, null, null, null, 21, 0"),
            "communities_largest",
        ),
        (&["where m.user_id = $1 and (c.members"], format!("{user}, null, null, null, 21, 0"), "memberships_of_user"),
        (&["(rank, joined_at, user_id)"], "1, null, null, null, 21, 0".to_owned(), "memberships_ranked"),
        (&["r.community_id = $6"], "null, null, null, 21, 0, 1".to_owned(), "reported_most"),
        (&["from moderation_log", "community_id = $5"], "null, null, 21, 0, 1".to_owned(), "moderation_log_new"),
        (&["from posts where community_id = $1 order by id"], "1, 1000".to_owned(), "posts_of_community"),
        (&["from reported where community_id = $1 order by id"], "1, 1000".to_owned(), "reported_of_community"),
        (&["community_id is null order by created_at desc"], "null, null, 21, 0".to_owned(), "moderation_log_outside"),
    ] {
        let plan = plan(db, parts, &arguments).await;
        assert_bounded(&plan, parts[0]);
        assert!(plan.indexes().contains(&index), "{index} expected:\n{plan}");
    }
}

#[tokio::test]
async fn windows_over_many_posts_are_sorted_too() {
    let world = World::start().await;
    fill(world.db()).await;
    for window in [TimeWindow::Day, TimeWindow::Week, TimeWindow::Month, TimeWindow::Year] {
        let request = ListPostsRequest { order: PostOrder::Top.into(), window: window.into(), ..Default::default() };
        let page = world.nobody().posts().list_posts(request).await.unwrap().into_inner();
        let scores: Vec<_> =
            page.posts.iter().map(|post| post.reactions.unwrap()).map(|r| r.likes - r.dislikes).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{window:?}");
        assert_eq!(page.posts.len(), 20);
    }
}
