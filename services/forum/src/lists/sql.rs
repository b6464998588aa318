//! The SQL of posts' orders, one statement each. Filter and order are literal for the index's sake, and "the first page"
//! is a key before all others: with `$2 is null or …` the plan that PostgreSQL may cache for all arguments would use no
//! index. Of what `not in` leaves out there is a hash, not a comparison per row.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{Key, List, Order};
use crate::relevance::{Behind, BehindScore, Candidate};

/// Newest first, of the filter `$filter`.
macro_rules! newest {
    ($db:expr, $filter:literal, $arguments:expr $(, $argument:expr)*) => {{
        let (since, behind, without, limit, skip): (Option<DateTime<Utc>>, Key, &[i64], i64, i64) = $arguments;
        sqlx::query_as!(
            Key,
            "select id, created_at from posts
             where removed_at is null and (created_at, id) < ($1, $2)
                 and created_at >= coalesce($3, timestamptz '-infinity')
                 and id not in (select unnest($4::bigint[])) "
                + $filter
                + " order by created_at desc, id desc limit $5 offset $6",
            behind.created_at,
            behind.id,
            since,
            without,
            limit,
            skip
            $(, $argument)*
        )
        .fetch_all($db)
        .await?
    }};
}

pub(super) async fn list_newest(
    db: impl PgExecutor<'_>,
    list: &List,
    since: Option<DateTime<Utc>>,
    behind: Key,
    without: &[i64],
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<Key>> {
    let arguments = (since, behind, without, limit, skip);
    Ok(match (list.author, list.community) {
        (None, None) => newest!(db, "", arguments),
        (None, Some(community)) => newest!(db, "and community_id = $7", arguments, community),
        (Some(author), community) => newest!(
            db,
            "and author_id = $7 and ($8::bigint is null or community_id = $8)",
            arguments,
            author,
            community
        ),
    })
}

/// Which part of an order is asked for.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) at: DateTime<Utc>,
    pub(super) without: &'a [i64],
    pub(super) limit: i64,
    pub(super) skip: i64,
}

/// In the order `$order`, of the filter `$filter`. "Is true" hides a condition from the planner that nearly all posts
/// meet: between two unknown times it expects few posts, and would read and sort all that there are.
macro_rules! ranked {
    ($db:expr, $order:literal, $filter:literal, $bounds:expr $(, $argument:expr)*) => {
        sqlx::query_as!(
            Key,
            "select id, created_at from posts
             where removed_at is null and created_at >= coalesce($1, timestamptz '-infinity')
                 and (created_at <= $2) is true
                 and id not in (select unnest($3::bigint[])) "
                + $filter
                + " order by "
                + $order
                + " desc, created_at desc, id desc limit $4 offset $5",
            $bounds.since,
            $bounds.at,
            $bounds.without,
            $bounds.limit,
            $bounds.skip
            $(, $argument)*
        )
        .fetch_all($db)
        .await?
    };
}

/// Of all posts, of a community's, or of an author's.
macro_rules! filtered {
    ($db:expr, $order:literal, $list:expr, $bounds:expr) => {
        match ($list.author, $list.community) {
            (None, None) => ranked!($db, $order, "", $bounds),
            (None, Some(community)) => ranked!($db, $order, "and community_id = $6", $bounds, community),
            (Some(author), community) => ranked!(
                $db,
                $order,
                "and author_id = $6 and ($7::bigint is null or community_id = $7)",
                $bounds,
                author,
                community
            ),
        }
    };
}

pub(super) async fn list_ranked(db: impl PgExecutor<'_>, list: &List, bounds: &Bounds<'_>) -> kit::Result<Vec<Key>> {
    Ok(match list.order {
        Order::New => filtered!(db, "created_at", list, bounds),
        Order::Top => filtered!(db, "score", list, bounds),
        Order::Hot => filtered!(db, "hot", list, bounds),
        Order::Active => filtered!(db, "last_activity_at", list, bounds),
        Order::Controversial => filtered!(db, "controversy", list, bounds),
    })
}

/// For the rest of the transaction, plans are made for the arguments at hand.
pub(super) async fn plan_anew(conn: &mut PgConnection) -> kit::Result<()> {
    sqlx::query!("set local plan_cache_mode = force_custom_plan").execute(conn).await?;
    Ok(())
}

/// At most one more than is told.
pub(super) async fn count_posts(
    db: impl PgExecutor<'_>,
    list: &List,
    since: Option<DateTime<Utc>>,
) -> kit::Result<i64> {
    let count = match (list.author, list.community) {
        (None, None) => {
            sqlx::query_scalar!(
                r#"select count(*) as "count!" from (
                       select from posts
                       where removed_at is null and created_at >= coalesce($1, timestamptz '-infinity') limit 10001
                   ) counted"#,
                since
            )
            .fetch_one(db)
            .await?
        }
        (None, Some(community)) => {
            sqlx::query_scalar!(
                r#"select count(*) as "count!" from (
                       select from posts
                       where removed_at is null and created_at >= coalesce($1, timestamptz '-infinity')
                           and community_id = $2
                       limit 10001
                   ) counted"#,
                since,
                community
            )
            .fetch_one(db)
            .await?
        }
        (Some(author), community) => {
            sqlx::query_scalar!(
                r#"select count(*) as "count!" from (
                       select from posts
                       where removed_at is null and created_at >= coalesce($1, timestamptz '-infinity')
                           and author_id = $2 and ($3::bigint is null or community_id = $3)
                       limit 10001
                   ) counted"#,
                since,
                author,
                community
            )
            .fetch_one(db)
            .await?
        }
    };
    Ok(count)
}

/// What a community's first page needs to know of it.
#[derive(Default)]
pub(super) struct CommunityRow {
    pub(super) posts_count: i64,
    pub(super) pinned: Vec<i64>,
}

pub(super) async fn fetch_community(db: impl PgExecutor<'_>, id: i64) -> kit::Result<Option<CommunityRow>> {
    let row = sqlx::query_as!(
        CommunityRow,
        r#"select posts_count, array(
               select p.id from posts p
               where p.community_id = $1 and p.pinned_at is not null and p.removed_at is null
               order by p.pinned_at desc, p.id desc limit 2
           ) as "pinned!"
           from communities where id = $1"#,
        id
    );
    Ok(row.fetch_optional(db).await?)
}

/// A part of a ranking, and how long all of it is.
pub(super) struct Slice {
    pub(super) ids: Vec<i64>,
    pub(super) length: i64,
}

pub(super) async fn fetch_slice(
    db: impl PgExecutor<'_>,
    ranking: Uuid,
    at: i64,
    limit: i64,
) -> kit::Result<Option<Slice>> {
    let slice = sqlx::query_as!(
        Slice,
        r#"select posts[$2::bigint + 1 : $2::bigint + $3::bigint] as "ids!", cardinality(posts)::bigint as "length!"
           from rankings where id = $1"#,
        ranking,
        at,
        limit
    );
    Ok(slice.fetch_optional(db).await?)
}

pub(super) async fn fetch_ranking(db: impl PgExecutor<'_>, id: Uuid) -> kit::Result<Option<Vec<i64>>> {
    Ok(sqlx::query_scalar!("select posts from rankings where id = $1", id).fetch_optional(db).await?)
}

/// The viewer's newest ranking since then, and its moment.
pub(super) async fn fetch_kept(
    db: impl PgExecutor<'_>,
    viewer: Uuid,
    since: DateTime<Utc>,
) -> kit::Result<Option<(Uuid, DateTime<Utc>)>> {
    let kept = sqlx::query!(
        "select id, made_at from rankings where viewer_id = $1 and made_at >= $2 order by made_at desc, id desc limit 1",
        viewer,
        since
    );
    Ok(kept.fetch_optional(db).await?.map(|row| (row.id, row.made_at)))
}

/// Whoever has three already loses the oldest: nobody pages through more.
pub(super) async fn insert_ranking(
    db: impl PgExecutor<'_>,
    id: Uuid,
    viewer: Option<Uuid>,
    posts: &[i64],
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "with old as (
             delete from rankings where id in (
                 select id from rankings where viewer_id = $2 order by made_at desc, id desc offset 2
             )
         )
         insert into rankings (id, viewer_id, posts, made_at) values ($1, $2, $3, $4) on conflict do nothing",
        id,
        viewer,
        posts,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn delete_rankings(db: impl PgExecutor<'_>, before: DateTime<Utc>, most: i64) -> kit::Result<()> {
    sqlx::query!(
        "delete from rankings
         where made_at <= $1
             or made_at < (select made_at from rankings order by made_at desc offset $2 limit 1)",
        before,
        most
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The newest of each of a person's communities, merged.
pub(super) async fn list_feed(
    db: impl PgExecutor<'_>,
    user: Uuid,
    behind: Key,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<Key>> {
    let keys = sqlx::query_as!(
        Key,
        "select p.id, p.created_at
         from memberships m
         cross join lateral (
             select id, created_at from posts
             where community_id = m.community_id and removed_at is null and (created_at, id) < ($2, $3)
             order by created_at desc, id desc limit $4::bigint + $5::bigint
         ) p
         where m.user_id = $1 and m.left_at is null
         order by p.created_at desc, p.id desc limit $4 offset $5",
        user,
        behind.created_at,
        behind.id,
        limit,
        skip
    );
    Ok(keys.fetch_all(db).await?)
}

pub(super) async fn count_feed(db: impl PgExecutor<'_>, user: Uuid) -> kit::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select coalesce(sum(c.posts_count), 0)::bigint as "count!"
           from memberships m join communities c on c.id = m.community_id
           where m.user_id = $1 and m.left_at is null"#,
        user
    );
    Ok(count.fetch_one(db).await?)
}

pub(super) async fn fetch_boosts(db: impl PgExecutor<'_>, user: Uuid) -> kit::Result<Vec<(Uuid, i64)>> {
    let boosts = sqlx::query!("select author_id, boost from interactions where user_id = $1 and boost > 0", user);
    Ok(boosts.fetch_all(db).await?.into_iter().map(|row| (row.author_id, row.boost)).collect())
}

/// The next of each author, newest first.
pub(super) async fn list_of_authors(
    db: impl PgExecutor<'_>,
    authors: &[(Uuid, Behind)],
    each: i64,
) -> kit::Result<Vec<Candidate>> {
    let ids: Vec<_> = authors.iter().map(|(id, _)| *id).collect();
    let times: Vec<_> = authors.iter().map(|(_, behind)| behind.created_at).collect();
    let posts: Vec<_> = authors.iter().map(|(_, behind)| behind.id).collect();
    let candidates = sqlx::query_as!(
        Candidate,
        r#"select p.id as "id!", p.author_id as "author_id!", p.created_at as "created_at!",
               p.relevance_score as "relevance_score!"
           from unnest($1::uuid[], $2::timestamptz[], $3::bigint[]) as a(author_id, created_at, id)
           cross join lateral (
               select id, author_id, created_at, relevance_score from posts
               where author_id = a.author_id and removed_at is null and (created_at, id) < (a.created_at, a.id)
               order by created_at desc, id desc limit $4
           ) p
           order by p.author_id, p.created_at desc, p.id desc"#,
        &ids,
        &times,
        &posts,
        each
    );
    Ok(candidates.fetch_all(db).await?)
}

pub(super) async fn list_by_relevance(
    db: impl PgExecutor<'_>,
    behind: BehindScore,
    limit: i64,
) -> kit::Result<Vec<Candidate>> {
    let candidates = sqlx::query_as!(
        Candidate,
        "select id, author_id, created_at, relevance_score from posts
         where removed_at is null and relevance_score > 0 and (relevance_score, created_at, id) < ($1, $2, $3)
         order by relevance_score desc, created_at desc, id desc limit $4",
        behind.relevance_score,
        behind.behind.created_at,
        behind.behind.id,
        limit
    );
    Ok(candidates.fetch_all(db).await?)
}
