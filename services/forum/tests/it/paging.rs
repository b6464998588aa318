//! Paging while votes arrive.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::forum::v1::{ListPostsRequest, ListPostsResponse, ListRelevantRequest, PostOrder};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Somebody, World, refused};

/// Posts by many authors over a month, every community's and none's.
async fn fill(db: &PgPool, posts: i64) {
    sqlx::query(
        "insert into posts (author_id, author_number, community_id, title, content, likes, dislikes, created_at,
             updated_at, last_activity_at)
         select gen_random_uuid(), n, nullif(n % 5, 0), 'Post ' || n, 'Texto', n * 7 % 50, n * 3 % 20,
             at, at, at
         from generate_series(1, $1) n,
             lateral (select timestamptz '2026-03-01 11:00:00+00' - n * interval '40 seconds' as at) at",
    )
    .bind(posts)
    .execute(db)
    .await
    .unwrap();
}

/// Votes on random posts until told to stop: 500 a second, or as fast as they go when that is slower.
async fn vote(db: PgPool, posts: i64, stop: Arc<AtomicBool>, votes: Arc<AtomicU64>) {
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let due = (started.elapsed().as_secs_f64() * 500.0) as u64;
        if votes.load(Ordering::Relaxed) > due {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        sqlx::query(
            "update posts set likes = likes + (random() * 900)::int, dislikes = dislikes + (random() * 3)::int,
                 last_activity_at = last_activity_at + random() * interval '30 days'
             where id = (select 1 + floor(random() * $1)::bigint)",
        )
        .bind(posts)
        .execute(&db)
        .await
        .unwrap();
        votes.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_votes_arrive_no_post_is_shown_twice_and_none_is_skipped() {
    // More than a ranking holds, so that the pages also cross into what follows it.
    const POSTS: i64 = 10_500;
    let world = World::start().await;
    fill(world.db(), POSTS).await;
    let (stop, votes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let voting = tokio::spawn(vote(world.db().clone(), POSTS, stop.clone(), votes.clone()));
    testkit::eventually("votes arrive", async || votes.load(Ordering::Relaxed) > 10).await;

    for order in [PostOrder::Hot, PostOrder::Top, PostOrder::Active, PostOrder::Controversial] {
        for community_id in [None, Some(2)] {
            let mut seen = HashSet::new();
            let mut page_token = String::new();
            let (mut pages, before) = (0, votes.load(Ordering::Relaxed));
            loop {
                let request = ListPostsRequest {
                    page_size: 100,
                    page_token,
                    order: order.into(),
                    community_id,
                    ..Default::default()
                };
                let page = world.nobody().posts().list_posts(request).await.unwrap().into_inner();
                for post in page.posts {
                    assert!(seen.insert(post.id), "{order:?} shows {} twice, on page {pages}", post.id);
                }
                pages += 1;
                if pages == 1 {
                    // A page later everything may be different; also something new, which these pages never show.
                    let so_far = votes.load(Ordering::Relaxed);
                    testkit::eventually("more votes", async || votes.load(Ordering::Relaxed) > so_far + 50).await;
                    world.pass(1);
                    world.person(1).post("Nuevo", community_id).await;
                }
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            let missing: Vec<i64> = sqlx::query_scalar(
                "select id from posts where id <= $1 and ($2::bigint is null or community_id = $2)
                     and id <> all ($3)",
            )
            .bind(POSTS)
            .bind(community_id)
            .bind(seen.iter().copied().collect::<Vec<i64>>())
            .fetch_all(world.db())
            .await
            .unwrap();
            assert_eq!(missing, [0; 0], "{order:?} skips some");
            assert!(votes.load(Ordering::Relaxed) > before, "nobody voted meanwhile");
        }
    }
    stop.store(true, Ordering::Relaxed);
    voting.await.unwrap();
}

#[tokio::test]
async fn a_page_asked_for_twice_is_the_same_page() {
    let world = World::start().await;
    fill(world.db(), 200).await;
    let list = async |page_token: &str| {
        let request = ListPostsRequest {
            page_size: 20,
            order: PostOrder::Top.into(),
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        world.nobody().posts().list_posts(request).await.map(|page| page.into_inner())
    };
    let ids = |page: &proto::forum::v1::ListPostsResponse| page.posts.iter().map(|post| post.id).collect::<Vec<_>>();
    let first = list("").await.unwrap();
    let (one, two) = tokio::join!(list(&first.next_page_token), list(&first.next_page_token));
    assert_eq!(ids(one.as_ref().unwrap()), ids(&two.unwrap()));
    let last = first.posts[0].id;
    for id in 1..=200 {
        world.vote(id, id * 10, 0, 0).await;
    }
    let again = list(&first.next_page_token).await.unwrap();
    assert_eq!(ids(&again), ids(&one.unwrap()));
    assert!(!ids(&again).contains(&last));

    // Half an hour later it is gone, and says so.
    world.pass(31);
    world.forum.sweep().await.unwrap();
    refused!(list(&again.next_page_token).await, InvalidArgument, "PAGE_TOKEN_EXPIRED");
}

#[tokio::test]
async fn the_token_of_a_full_page_fits_also_when_ids_are_long() {
    let world = World::start().await;
    sqlx::query("alter table posts alter column id restart with 9000000000000000000")
        .execute(world.db())
        .await
        .unwrap();
    fill(world.db(), 150).await;
    let mut page_token = String::new();
    for left in [100, 50] {
        let request =
            ListPostsRequest { page_size: 100, page_token, order: PostOrder::Hot.into(), ..Default::default() };
        let page = world.nobody().posts().list_posts(request).await.unwrap().into_inner();
        assert_eq!(page.posts.len(), left);
        page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn the_order_of_a_long_list_is_kept_over_its_pages() {
    let world = World::start().await;
    fill(world.db(), 3_000).await;
    for (order, column) in [
        (PostOrder::Hot, "hot"),
        (PostOrder::Top, "score"),
        (PostOrder::Active, "last_activity_at"),
        (PostOrder::Controversial, "controversy"),
    ] {
        let sql = format!("select id from posts order by {column} desc, created_at desc, id desc");
        let expected: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(world.db()).await.unwrap();
        let mut seen = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListPostsRequest { page_size: 100, page_token, order: order.into(), ..Default::default() };
            let page = world.nobody().posts().list_posts(request).await.unwrap().into_inner();
            seen.extend(page.posts.iter().map(|post| post.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert!(seen == expected, "{order:?}");
    }
}

/// Interests that change all the time, as they do when people comment and react.
async fn interest(db: PgPool, user: Uuid, stop: Arc<AtomicBool>, changes: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        sqlx::query(
            "with scored as (
                 update posts set relevance_score = 1 + random() * 9 where id = (select 1 + floor(random() * 10500)::bigint)
             )
             insert into interactions as i (user_id, author_id, comments)
             select $1, author_id, 1 + (random() * 9)::int from posts
             where id = (select 1 + floor(random() * 10500)::bigint)
             on conflict (user_id, author_id) do update set comments = (random() * 9)::int",
        )
        .bind(user)
        .execute(&db)
        .await
        .unwrap();
        changes.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

async fn relevant(person: &Somebody, page_token: &str) -> ListPostsResponse {
    let request = ListRelevantRequest { page_size: 100, page_token: page_token.to_owned(), ..Default::default() };
    person.posts().list_relevant(request).await.unwrap().into_inner()
}

async fn places(db: &PgPool) -> i64 {
    let length = "select cardinality(posts)::bigint from rankings order by made_at desc, id desc limit 1";
    sqlx::query_scalar(length).fetch_one(db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_relevant_is_continued_where_it_ended_whatever_interests_somebody_by_then() {
    const POSTS: i64 = 10_500;
    let world = World::start().await;
    fill(world.db(), POSTS).await;
    sqlx::query("update posts set relevance_score = 1 + id % 7, author_id = lpad(to_hex(id % 400), 32, '0')::uuid")
        .execute(world.db())
        .await
        .unwrap();
    let ana = world.person(1);
    let (stop, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let changing = tokio::spawn(interest(world.db().clone(), ana.id, stop.clone(), changes.clone()));
    testkit::eventually("interests change", async || changes.load(Ordering::Relaxed) > 10).await;

    let (mut seen, mut page_token, mut lengths) = (HashSet::new(), String::new(), Vec::new());
    loop {
        // Two of one device at once see the same page, also where it is the one that makes the ranking longer.
        let (page, again) = match &*page_token {
            "" => (relevant(&ana, "").await, None),
            token => {
                let (page, again) = tokio::join!(relevant(&ana, token), relevant(&ana, token));
                (page, Some(again))
            }
        };
        let ids: Vec<i64> = page.posts.iter().map(|post| post.id).collect();
        if let Some(again) = again {
            assert_eq!(ids, again.posts.iter().map(|post| post.id).collect::<Vec<_>>());
        }
        for id in ids {
            assert!(seen.insert(id), "{id} is shown twice, after {} posts", seen.len());
        }
        let before = changes.load(Ordering::Relaxed);
        testkit::eventually("more changes", async || changes.load(Ordering::Relaxed) > before + 5).await;
        lengths.push(places(world.db()).await);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    changing.await.unwrap();
    assert_eq!(seen.len() as i64, POSTS);
    lengths.dedup();
    assert_eq!(lengths, [300, 2_400, 10_000], "as many places as somebody looks at");
}

#[tokio::test]
async fn behind_a_ranking_of_the_newest_follow_the_others() {
    const POSTS: i64 = 10_450;
    let world = World::start().await;
    fill(world.db(), POSTS).await;
    // Without votes what is hot is what is new, so that none of the ranking's posts stands among those behind it.
    sqlx::query("update posts set likes = 0, dislikes = 0").execute(world.db()).await.unwrap();
    let mut request = ListPostsRequest { page_size: 100, order: PostOrder::Hot.into(), ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = world.nobody().posts().list_posts(request.clone()).await.unwrap().into_inner();
        seen.extend(page.posts.iter().map(|post| post.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (1..=POSTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_ranking_is_made_once() {
    let world = World::start().await;
    fill(world.db(), 3_000).await;
    let request = ListPostsRequest { page_size: 20, order: PostOrder::Hot.into(), ..Default::default() };
    let first = world.nobody().posts().list_posts(request.clone()).await.unwrap().into_inner();
    let second = ListPostsRequest { page_token: first.next_page_token, ..request };
    let ids = async || {
        let page = world.nobody().posts().list_posts(second.clone()).await.unwrap().into_inner();
        page.posts.into_iter().map(|post| post.id).collect::<Vec<_>>()
    };
    let shown = ids().await;
    assert_eq!(places(world.db()).await, 200);
    // Whoever asks again reads it: nothing is left from which another one could be made.
    let kept: (Uuid, String) =
        sqlx::query_as("select id, xmin::text from rankings").fetch_one(world.db()).await.unwrap();
    sqlx::query("update posts set removed_at = now() where id <> all($1)")
        .bind(&shown)
        .execute(world.db())
        .await
        .unwrap();
    assert_eq!(ids().await, shown);
    let again = sqlx::query_as::<_, (Uuid, String)>("select id, xmin::text from rankings").fetch_one(world.db()).await;
    assert_eq!(again.unwrap(), kept);
}
