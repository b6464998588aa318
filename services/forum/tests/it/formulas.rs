//! The formulas that PostgreSQL computes, against their published definitions, written anew and slowly.

use sqlx::PgPool;

use crate::World;

/// A million random cases, in batches that the database makes from a seed.
const BATCHES: i64 = 20;
const BATCH: i64 = 50_000;

/// Reddit's `hot`, as published in `_sorts.pyx`, its rounding to seven decimals included.
fn hot(ups: i64, downs: i64, epoch_micros: i64) -> f64 {
    let s = ups - downs;
    let order = (s.abs().max(1) as f64).ln() / std::f64::consts::LN_10;
    let sign = match s {
        1.. => 1.0,
        0 => 0.0,
        _ => -1.0,
    };
    let seconds = (epoch_micros - 1_134_028_003_000_000) as f64 / 1e6;
    ((sign * order + seconds / 45_000.0) * 1e7).round() / 1e7
}

/// Reddit's `controversy`, as published.
fn controversy(ups: i64, downs: i64) -> f64 {
    if downs <= 0 || ups <= 0 {
        return 0.0;
    }
    let magnitude = (ups + downs) as f64;
    let balance = if ups > downs { downs as f64 / ups as f64 } else { ups as f64 / downs as f64 };
    (balance * magnitude.ln()).exp()
}

/// The contract's relevance of a post to everybody.
fn relevance(comments: i64, hearts: i64, likes: i64, dislikes: i64, views: i64) -> f64 {
    let up = (2 * comments + hearts + likes) as f64 + 0.05 * views as f64;
    (up.ln_1p() - 0.5 * (dislikes as f64).ln_1p()).max(0.0)
}

fn close(ours: f64, theirs: f64, by: f64) -> bool {
    (ours - theirs).abs() <= by * theirs.abs().max(1.0)
}

async fn batch(db: &PgPool) -> Vec<(i64, i64, i64, i64, i64, i64, f64, f64, f64)> {
    sqlx::query_as(
        "select comments, hearts, likes, dislikes, views, (extract(epoch from at) * 1000000)::bigint,
             hot(hearts + likes - dislikes, at), controversy(hearts + likes, dislikes),
             relevance(comments, hearts, likes, dislikes, views)
         from generate_series(1, $1) n, lateral (
             select floor(random() * 10 ^ (n % 6))::bigint as comments, floor(random() * 10 ^ (n % 7))::bigint as hearts,
                 floor(random() * 10 ^ (n % 5))::bigint as likes, floor(random() * 10 ^ (n % 8))::bigint as dislikes,
                 floor(random() * 10 ^ (n % 9))::bigint as views,
                 timestamptz '2000-01-01' + random() * interval '50 years' as at
         ) random",
    )
    .bind(BATCH)
    .fetch_all(db)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_million_random_posts_score_as_published() {
    let world = World::start().await;
    for _ in 0..BATCHES {
        for (comments, hearts, likes, dislikes, views, micros, ours, split, relevant) in batch(world.db()).await {
            let theirs = hot(hearts + likes, dislikes, micros);
            assert!(
                (ours - theirs).abs() <= 0.5e-7 + 1e-9,
                "hot({hearts} + {likes}, {dislikes}, {micros}): {ours} {theirs}"
            );
            let theirs = controversy(hearts + likes, dislikes);
            assert!(close(split, theirs, 1e-9), "controversy({hearts} + {likes}, {dislikes}): {split} {theirs}");
            let theirs = relevance(comments, hearts, likes, dislikes, views);
            assert!(
                close(relevant, theirs, 1e-9),
                "relevance of {comments} {hearts} {likes} {dislikes} {views}: {relevant} {theirs}"
            );
        }
    }
}

#[tokio::test]
async fn columns_follow_the_formulas_with_every_vote() {
    let world = World::start().await;
    let ana = world.person(1);
    let post = ana.post("Post", None).await;
    let at = post.created_at.unwrap();
    let micros = at.seconds * 1_000_000 + i64::from(at.nanos) / 1000;
    for (hearts, likes, dislikes) in [(0, 0, 0), (3, 4, 2), (0, 1, 9), (500, 0, 499)] {
        world.vote(post.id, hearts, likes, dislikes).await;
        let (score, ours, split): (i64, f64, f64) =
            sqlx::query_as("select score, hot, controversy from posts where id = $1")
                .bind(post.id)
                .fetch_one(world.db())
                .await
                .unwrap();
        assert_eq!(score, hearts + likes - dislikes);
        assert!((ours - hot(hearts + likes, dislikes, micros)).abs() < 1e-7);
        assert!(close(split, controversy(hearts + likes, dislikes), 1e-9));
    }
}
