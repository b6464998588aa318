//! The SQL of posts' orders, one statement each. Filter and order are literal for the index's sake, and "the first page"
//! is a key before all others: with `$2 is null or …` the plan that PostgreSQL may cache for all arguments would use no
//! index. Of what `not in` leaves out there is a hash, not a comparison per row.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{FollowedBy, Key, List, Order, Places};
use crate::relevance::{Behind, BehindScore, Candidate};

/// Which part of a list is asked for.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// No older ones.
    pub(super) since: Option<DateTime<Utc>>,
    /// Behind this place among the newest.
    pub(super) behind: Key,
    pub(super) without: &'a [i64],
    /// Without those of this ranking, too.
    pub(super) ranking: Option<Uuid>,
    pub(super) limit: i64,
    pub(super) skip: i64,
    /// The list's beginning: with what is pinned there, which `skip` counts too, and with a total.
    pub(super) first: bool,
}

/// A part of a list.
#[derive(Default)]
pub(super) struct Found {
    pub(super) keys: Vec<Key>,
    /// Posts of a community that stand before `keys`.
    pub(super) pinned: Vec<i64>,
    /// At most one more than is told.
    pub(super) total: Option<i64>,
    /// Whether the ranking is still there, if there was to be one.
    pub(super) kept: bool,
}

/// One row without a post when there is none.
struct Row {
    id: Option<i64>,
    created_at: Option<DateTime<Utc>>,
    pinned: Vec<i64>,
    total: Option<i64>,
    kept: bool,
}

impl Found {
    fn of(mut rows: Vec<Row>) -> Self {
        let key = |row: &Row| Some(Key { id: row.id?, created_at: row.created_at? });
        let keys = rows.iter().filter_map(key).collect();
        match rows.pop() {
            Some(Row { pinned, total, kept, .. }) => Self { keys, pinned, total, kept },
            None => Self { keys, ..Self::default() },
        }
    }
}

/// Posts of the filter `$filter` in the order `$order`, and in the same statement what the list's head says: `$head`
/// names `pinned` and `total`.
macro_rules! found {
    ($db:expr, $order:literal, $behind:literal, $filter:literal, $head:literal, $part:expr $(, $argument:expr)*) => {{
        let part: &Part<'_> = $part;
        let rows = sqlx::query_as!(
            Row,
            "with head as (
                 select $8::uuid is null or exists (select from rankings where id = $8) as kept, "
                + $head
                + r#")
             select post.id as "id?", post.created_at as "created_at?", head.pinned as "pinned!", head.total,
                 head.kept as "kept!"
             from head left join lateral (
                 select id, created_at from posts
                 where removed_at is null and created_at >= coalesce($1, timestamptz '-infinity')
                     and id not in (select unnest($2::bigint[]) union all select unnest(posts) from rankings where id = $8)
                     and id <> all(head.pinned) and "#
                + $behind
                + $filter
                + " order by "
                + $order
                + " limit $3 offset (select greatest($4::bigint - cardinality(pinned), 0) from head)
             ) post on true",
            part.since,
            part.without,
            part.limit,
            part.skip,
            part.first,
            part.behind.created_at,
            part.behind.id,
            part.ranking as Option<Uuid>
            $(, $argument)*
        );
        Found::of(rows.fetch_all($db).await?)
    }};
}

/// Of all posts, of a community's, or of an author's.
macro_rules! filtered {
    ($db:expr, $order:literal, $behind:literal, $list:expr, $part:expr) => {
        match ($list.author, $list.community) {
            (None, None) => found!(
                $db,
                $order,
                $behind,
                "",
                "array[]::bigint[] as pinned, case when $5 then (
                     select count(*) from (select from posts where removed_at is null limit 10001) counted
                 ) end as total",
                $part
            ),
            (None, Some(community)) => found!(
                $db,
                $order,
                $behind,
                " and community_id = $9",
                "array(
                     select p.id from posts p
                     where $5 and p.community_id = $9 and p.pinned_at is not null and p.removed_at is null
                     order by p.pinned_at desc, p.id desc limit 2
                 ) as pinned,
                 (select posts_count from communities where id = $9) as total",
                $part,
                community
            ),
            (Some(author), community) => found!(
                $db,
                $order,
                $behind,
                " and author_id = $9 and ($10::bigint is null or community_id = $10)",
                "array[]::bigint[] as pinned, case when $5 then (
                     select count(*) from (
                         select from posts
                         where removed_at is null and author_id = $9 and ($10::bigint is null or community_id = $10)
                         limit 10001
                     ) counted
                 ) end as total",
                $part,
                author,
                community
            ),
        }
    };
}

/// The orders whose keys move. "Is true" hides a condition from the planner that nearly all posts meet: between two
/// unknown times it expects few posts, and would read and sort all that there are.
macro_rules! ranked {
    ($db:expr, $order:literal, $list:expr, $part:expr) => {
        filtered!($db, $order, "((created_at, id) < ($6, $7)) is true", $list, $part)
    };
}

pub(super) async fn find_posts(db: impl PgExecutor<'_>, list: &List, part: &Part<'_>) -> kit::Result<Found> {
    Ok(match list.order {
        Order::New => filtered!(db, "created_at desc, id desc", "(created_at, id) < ($6, $7)", list, part),
        Order::Top => ranked!(db, "score desc, created_at desc, id desc", list, part),
        Order::Hot => ranked!(db, "hot desc, created_at desc, id desc", list, part),
        Order::Active => ranked!(db, "last_activity_at desc, created_at desc, id desc", list, part),
        Order::Controversial => ranked!(db, "controversy desc, created_at desc, id desc", list, part),
    })
}

/// For the rest of the transaction, plans are made for the arguments at hand.
pub(super) async fn plan_anew(conn: &mut PgConnection) -> kit::Result<()> {
    sqlx::query!("set local plan_cache_mode = force_custom_plan").execute(conn).await?;
    Ok(())
}

/// At most one more than is told.
pub(super) async fn count_posts(db: impl PgExecutor<'_>) -> kit::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (select from posts where removed_at is null limit 10001) counted"#
    );
    Ok(count.fetch_one(db).await?)
}

/// A part of a ranking, how long all of it is by now, and what follows behind.
pub(super) struct Slice {
    pub(super) ids: Vec<i64>,
    pub(super) length: i64,
    followed_by: String,
}

impl Slice {
    pub(super) fn followed_by(&self) -> FollowedBy {
        match &*self.followed_by {
            "MORE" => FollowedBy::More,
            "NEWEST" => FollowedBy::Newest,
            _ => FollowedBy::Nothing,
        }
    }
}

pub(super) async fn fetch_slice(
    db: impl PgExecutor<'_>,
    ranking: Uuid,
    at: i64,
    limit: i64,
) -> kit::Result<Option<Slice>> {
    let slice = sqlx::query_as!(
        Slice,
        r#"select posts[$2::bigint + 1 : $2::bigint + $3::bigint] as "ids!", cardinality(posts)::bigint as "length!",
               followed_by
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
    places: &Places,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "with old as (
             delete from rankings where id in (
                 select id from rankings where viewer_id = $2 order by made_at desc, id desc offset 2
             )
         )
         insert into rankings (id, viewer_id, posts, followed_by, made_at) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        id,
        viewer,
        &places.posts,
        places.followed_by.name(),
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Nothing happens to a ranking that is not `length` long any more, or that is over.
pub(super) async fn extend_ranking(db: impl PgExecutor<'_>, id: Uuid, length: i64, more: &Places) -> kit::Result<()> {
    sqlx::query!(
        "update rankings set posts = posts || $3, followed_by = $4 where id = $1 and cardinality(posts) = $2::bigint
             and followed_by = 'MORE'",
        id,
        length,
        &more.posts,
        more.followed_by.name()
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

/// The newest of each of a person's communities, merged; with a total when it is the beginning. Nobody joins more than
/// a thousand and those of a role; whom an import made a member of more sees no more of them either.
pub(super) async fn find_feed(
    db: impl PgExecutor<'_>,
    user: Uuid,
    behind: Key,
    limit: i64,
    skip: i64,
    first: bool,
) -> kit::Result<Found> {
    let rows = sqlx::query_as!(
        Row,
        r#"with mine as (
               select community_id from memberships where user_id = $1 and left_at is null
               order by community_id limit 1004
           ),
           head as (
               select case when $6 then (
                   select coalesce(sum(c.posts_count), 0)::bigint
                   from mine m join communities c on c.id = m.community_id
               ) end as total
           )
           select post.id as "id?", post.created_at as "created_at?", array[]::bigint[] as "pinned!", head.total,
               true as "kept!"
           from head left join lateral (
               select p.id, p.created_at
               from mine m
               cross join lateral (
                   select id, created_at from posts
                   where community_id = m.community_id and removed_at is null and (created_at, id) < ($2, $3)
                   order by created_at desc, id desc limit $4::bigint + $5::bigint
               ) p
               order by p.created_at desc, p.id desc limit $4 offset $5
           ) post on true"#,
        user,
        behind.created_at,
        behind.id,
        limit,
        skip,
        first
    );
    Ok(Found::of(rows.fetch_all(db).await?))
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
