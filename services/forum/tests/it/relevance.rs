use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proto::forum::v1::{DeletePostRequest, ListPostsResponse, ListRelevantRequest, Post};
use uuid::Uuid;

use crate::{Somebody, World, refused};

async fn relevant(person: &Somebody, skip: i32, page_size: i32, page_token: &str) -> ListPostsResponse {
    let request = ListRelevantRequest { page_size, skip, page_token: page_token.to_owned(), ..Default::default() };
    person.posts().list_relevant(request).await.unwrap().into_inner()
}

fn ids(page: &ListPostsResponse) -> Vec<i64> {
    page.posts.iter().map(|post| post.id).collect()
}

/// Every page, by tokens.
async fn all(person: &Somebody, page_size: i32) -> Vec<i64> {
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = relevant(person, 0, page_size, &page_token).await;
        seen.extend(ids(&page));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return seen;
        }
    }
}

/// What `user` did on the posts of `author`.
async fn interact(world: &World, user: Uuid, author: Uuid, comments: i64, reactions: i64) {
    sqlx::query("insert into interactions (user_id, author_id, comments, reactions) values ($1, $2, $3, $4)")
        .bind(user)
        .bind(author)
        .bind(comments)
        .bind(reactions)
        .execute(world.db())
        .await
        .unwrap();
}

struct Row {
    id: i64,
    author: u128,
    created_at: DateTime<Utc>,
    relevance_score: f64,
}

async fn insert(world: &World, row: &Row) {
    sqlx::query(
        "insert into posts (id, author_id, author_number, title, content, relevance_score, created_at, updated_at,
             last_activity_at)
         overriding system value values ($1, $2, $1, 'Post', 'Texto', $3, $4, $4, $4)",
    )
    .bind(row.id)
    .bind(Uuid::from_u128(row.author))
    .bind(row.relevance_score)
    .bind(row.created_at)
    .execute(world.db())
    .await
    .unwrap();
}

#[tokio::test]
async fn without_interactions_the_newest_come_first() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let mut expected = Vec::new();
    for n in 0..5 {
        world.pass(1);
        expected.insert(0, ana.post(&format!("Post {n}"), None).await.id);
    }
    assert_eq!(all(&ben, 2).await, expected);
    assert_eq!(ids(&relevant(&ben, 3, 10, "").await), expected[3..]);
    let nobody = world.nobody().posts().list_relevant(ListRelevantRequest::default()).await;
    refused!(nobody, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn interest_in_an_author_outweighs_age_and_counts_for_oneself_too() {
    let world = World::start().await;
    let (ana, ben, eva) = (world.person(1), world.person(2), world.person(3));
    let anas = ana.post("De Ana", None).await.id;
    world.pass(60 * 24);
    let evas = eva.post("De Eva", None).await.id;
    world.pass(60);
    let bens = ben.post("De Ben", None).await.id;
    interact(&world, eva.id, ana.id, 1, 1).await;
    interact(&world, eva.id, eva.id, 0, 1).await;
    assert_eq!(all(&eva, 1).await, [anas, evas, bens]);
    assert_eq!(all(&ben, 1).await, [bens, evas, anas]);
}

#[tokio::test]
async fn pages_by_number_are_pages_of_one_ranking() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    for n in 0..6 {
        world.pass(1);
        ana.post(&format!("Post {n}"), None).await;
    }
    let first = relevant(&ben, 0, 2, "").await;
    let oldest: i64 = sqlx::query_scalar("select min(id) from posts").fetch_one(world.db()).await.unwrap();
    let author = Uuid::from_u128(77);
    sqlx::query("update posts set author_id = $1 where id = $2")
        .bind(author)
        .bind(oldest)
        .execute(world.db())
        .await
        .unwrap();
    interact(&world, ben.id, author, 9, 9).await;
    let (second, third) = (relevant(&ben, 2, 2, "").await, relevant(&ben, 4, 2, "").await);
    let mut seen = [ids(&first), ids(&second), ids(&third)].concat();
    assert_eq!(seen.last(), Some(&oldest));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), third.total_size), (6, 6));
    // Somebody who begins again sees the new ranking.
    assert_eq!(ids(&relevant(&ben, 0, 2, "").await)[0], oldest);
    world.pass(11);
    assert_eq!(ids(&relevant(&ben, 1, 1, "").await).len(), 1);
}

#[tokio::test]
async fn deleting_a_post_takes_its_interactions_along() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let post = ana.post("Post", None).await.id;
    interact(&world, ben.id, ana.id, 3, 1).await;
    for deleted in [false, false, true] {
        sqlx::query(
            "insert into comments (post_id, depth, author_id, author_number, content, created_at, updated_at, deleted_at)
             values ($1, 1, $2, 2, 'Hola', now(), now(), case when $3 then now() end)",
        )
        .bind(post)
        .bind(ben.id)
        .bind(deleted)
        .execute(world.db())
        .await
        .unwrap();
    }
    sqlx::query(
        "insert into reactions (user_id, user_number, post_id, type, created_at) values ($1, 2, $2, 'LIKE', now())",
    )
    .bind(ben.id)
    .bind(post)
    .execute(world.db())
    .await
    .unwrap();
    ana.posts().delete_post(DeletePostRequest { id: post }).await.unwrap();
    let left: (i64, i64, i64) =
        sqlx::query_as("select comments, reactions, boost from interactions").fetch_one(world.db()).await.unwrap();
    assert_eq!(left, (1, 0, 3));
}

#[tokio::test]
async fn the_job_computes_what_had_activity_where_it_is_wanted() {
    let off = World::start().await;
    let on = World::with(&["--relevance", "true"]).await;
    for (world, expected) in [(&off, 0.0), (&on, (1.0_f64 + 3.0 + 2.0).ln() - 0.5 * 2.0_f64.ln())] {
        let ana = world.person(1);
        let (busy, quiet) = (ana.post("Post", None).await.id, ana.post("Post", None).await.id);
        world.vote(quiet, 0, 0, 0).await;
        // As at a start of the service; a second replica finds it done.
        for _ in 0..2 {
            world.forum.note_activity().await.unwrap();
        }
        world.vote(busy, 3, 2, 1).await;
        let noted = sqlx::query_scalar::<_, i64>("select post_id from active_posts order by post_id desc");
        let noted = noted.fetch_all(world.db()).await.unwrap();
        assert_eq!(noted.contains(&busy), expected > 0.0, "{noted:?}");
        assert!(expected > 0.0 || noted.is_empty());
        for _ in 0..2 {
            world.forum.compute_relevance().await.unwrap();
        }
        let list = all(&ana, 1).await;
        assert_eq!(list[0], if expected > 0.0 { busy } else { quiet });
        let score = |post: &Post| post.relevance_score;
        let page = relevant(&ana, 0, 10, "").await;
        let of = |id| page.posts.iter().find(|post| post.id == id).map(score).unwrap();
        assert!((of(busy) - expected).abs() < 1e-12 && of(quiet) == 0.0);
    }
}

/// The contract's words: all posts, sorted.
fn naive(rows: &[Row], boosts: &[(u128, i64, i64)], now: DateTime<Utc>) -> Vec<i64> {
    let score = |row: &Row| {
        let boost = boosts.iter().find(|(author, ..)| *author == row.author);
        let boost = boost.map_or(0, |(_, comments, reactions)| 3 * comments + 2 * reactions);
        let age_h = (now - row.created_at).num_seconds() as f64 / 3600.0;
        0.6 * row.relevance_score + 1.2 * boost as f64 * f64::max(0.1, 1.0 - age_h / 168.0)
    };
    let mut rows: Vec<_> = rows.iter().map(|row| (score(row), row.created_at, row.id)).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
    rows.into_iter().map(|(_, _, id)| id).collect()
}

#[tokio::test]
async fn random_worlds_are_sorted_as_the_contract_says() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let posts = prop::collection::vec((0u128..12, 0i64..400, 0u8..8), 0..120);
    let boosts = prop::collection::hash_map(0u128..12, (0i64..4, 0i64..4), 0..12);
    let worlds = (posts, boosts, any::<bool>(), 1i32..40);
    let world = World::start().await;
    let now = world.harness.clock.now();
    for turn in 0..40_u128 {
        let (posts, boosts, scored, page_size) = worlds.new_tree(&mut runner).unwrap().current();
        sqlx::query("truncate posts cascade").execute(world.db()).await.unwrap();
        sqlx::query("truncate interactions").execute(world.db()).await.unwrap();
        let rows: Vec<_> = posts
            .into_iter()
            .enumerate()
            .map(|(id, (author, hours, relevance))| Row {
                id: id as i64 + 1,
                author: 1000 + author,
                created_at: now - TimeDelta::hours(hours),
                relevance_score: if scored { f64::from(relevance) / 4.0 } else { 0.0 },
            })
            .collect();
        for row in &rows {
            insert(&world, row).await;
        }
        let ana = world.person(turn as i64 + 1);
        let boosts: Vec<_> = boosts.into_iter().map(|(author, (c, r))| (1000 + author, c, r)).collect();
        for (author, comments, reactions) in &boosts {
            interact(&world, ana.id, Uuid::from_u128(*author), *comments, *reactions).await;
        }
        assert_eq!(all(&ana, page_size).await, naive(&rows, &boosts, now), "turn {turn}");
    }
}
