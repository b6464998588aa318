//! The SQL of comments, one statement each.

use chrono::{DateTime, Utc};
use kit::identity::Caller;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::tree::{Depth, MOST, Row, Shown};
use super::{Filter, Locked, Part};
use crate::posts::LockedPost;

/// Below the comments that `$first` names with their rank, what stands there, level by level. The rows of a recursive
/// statement come breadth first, and it stops when the limit is reached, so the limit takes the upper levels. Of each
/// group of siblings there is one more than is shown; below that one nothing is looked for. The innermost limit keeps
/// siblings from being sorted: there may be thousands.
///
/// Texts may be more than an answer holds. PostgreSQL knows how long one is without reading it: those are read that
/// fit, and one more, which tells that there are more. Columns go through the recursion, because a row as one value is
/// put together with its text.
macro_rules! tree {
    ($($first:literal)+, $depth:expr, $viewer:expr $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            "with recursive tree as ("
                $(+ $first)+
                + r#"union all
                    select t.level + 1, r.*
                    from tree t cross join lateral (
                        select row_number() over () as rank, siblings.*
                        from (
                            select c.* from comments c where c.parent_id = t.id
                            order by c.popularity desc, c.created_at desc, c.id desc limit $3::bigint + 1
                        ) siblings
                    ) r
                    where t.level < $1 and t.rank <= case when t.level = 1 then $2::bigint else $3::bigint end
                )
                select t.id as "id!", t.post_id as "post_id!", t.parent_id, t.depth as "depth!",
                    t.author_id as "author_id!", t.author_number as "author_number!", t.content as "content!",
                    t.media_id, t.deleted_at is not null as "deleted!", t.removed_at is not null as "removed!",
                    t.hearts as "hearts!", t.likes as "likes!", t.dislikes as "dislikes!",
                    t.replies_count as "replies_count!",
                    t.created_at as "created_at!", t.updated_at as "updated_at!", t.rank as "rank!",
                    case when t.level = $1 then exists (select from comments a where a.parent_id = t.id) else false end
                        as "answered!",
                    mine.id as "reaction_id?", mine.type as "reaction?", mine.created_at as "reacted_at?"
                from (
                    select *, sum(octet_length(content)) over (rows unbounded preceding) as bytes
                    from (select * from tree limit $5) reached
                ) t left join lateral (
                    select id, type, created_at from reactions
                    where user_id = $4::uuid and comment_id = t.id limit 1
                ) mine on true
                where t.bytes - octet_length(t.content) <= 8388608"#,
            $depth.levels,
            $depth.top,
            $depth.replies,
            $viewer.map(|viewer: Caller| viewer.id) as Option<Uuid>,
            MOST,
            $($argument),*
        )
    };
}

/// Siblings that were not shown yet: the most popular ones or, behind as many as a token remembers, the newest.
macro_rules! siblings {
    ($db:expr, $from:literal, $where:literal, $depth:expr, $viewer:expr, $below:expr, $shown:expr, $skip:expr) => {
        if $shown.is_full() {
            tree!(
                "select 1 as level, s.* from " $from " (
                     select row_number() over () as rank, siblings.*
                     from (
                         select c.* from comments c
                         where " $where " and c.id <> all($7::bigint[]) and (c.created_at, c.id)
                             < (coalesce($9::timestamptz, 'infinity'), coalesce($10::bigint, 9223372036854775807))
                         order by c.created_at desc, c.id desc limit $2::bigint + 1 offset $8::bigint
                     ) siblings
                 ) s ",
                $depth,
                $viewer,
                $below,
                &$shown.ids,
                $skip,
                $shown.end.map(|end| end.created_at) as Option<DateTime<Utc>>,
                $shown.end.map(|end| end.id) as Option<i64>,
            )
            .fetch_all($db)
            .await?
        } else {
            tree!(
                "select 1 as level, s.* from " $from " (
                     select row_number() over () as rank, siblings.*
                     from (
                         select c.* from comments c
                         where " $where " and c.id <> all($7::bigint[])
                         order by c.popularity desc, c.created_at desc, c.id desc limit $2::bigint + 1 offset $8::bigint
                     ) siblings
                 ) s ",
                $depth,
                $viewer,
                $below,
                &$shown.ids,
                $skip,
            )
            .fetch_all($db)
            .await?
        }
    };
}

/// Top-level comments of posts.
pub(super) async fn list_top(
    db: impl PgExecutor<'_>,
    viewer: Option<Caller>,
    posts: &[i64],
    depth: &Depth,
    shown: &Shown,
    skip: i64,
) -> kit::Result<Vec<Row>> {
    Ok(siblings!(
        db,
        "unnest($6::bigint[]) post cross join lateral",
        "c.post_id = post and c.parent_id is null",
        depth,
        viewer,
        posts,
        shown,
        skip
    ))
}

/// Replies to a comment.
pub(super) async fn list_replies(
    db: impl PgExecutor<'_>,
    viewer: Option<Caller>,
    parent: i64,
    depth: &Depth,
    shown: &Shown,
    skip: i64,
) -> kit::Result<Vec<Row>> {
    Ok(siblings!(db, "", "c.parent_id = $6", depth, viewer, parent, shown, skip))
}

/// Those of these comments that have replies, whatever became of them.
pub(super) async fn list_answered(db: impl PgExecutor<'_>, ids: &[i64]) -> kit::Result<Vec<i64>> {
    let answered = sqlx::query_scalar!(
        r#"select asked.id as "id!" from unnest($1::bigint[]) as asked (id)
           where exists (select from comments c where c.parent_id = asked.id)"#,
        ids
    );
    Ok(answered.fetch_all(db).await?)
}

/// Comments by id, whose rank is 0.
pub(super) async fn list_named(
    db: impl PgExecutor<'_>,
    viewer: Option<Caller>,
    ids: &[i64],
    depth: &Depth,
) -> kit::Result<Vec<Row>> {
    let rows =
        tree!("select 1 as level, 0::bigint as rank, c.* from comments c where c.id = any($6) ", depth, viewer, ids);
    Ok(rows.fetch_all(db).await?)
}

/// What must be known of a post before its comments are shown.
pub(super) struct Head {
    pub(super) author_id: Uuid,
    pub(super) community_id: Option<i64>,
    pub(super) removed: bool,
    /// The comment asked about is one of the post's; true when none is.
    pub(super) has_parent: bool,
    pub(super) siblings: i32,
}

pub(super) async fn fetch_head(db: impl PgExecutor<'_>, post: i64, parent: Option<i64>) -> kit::Result<Option<Head>> {
    let head = sqlx::query_as!(
        Head,
        r#"select author_id, community_id, removed_at is not null as "removed!",
             $2::bigint is null or exists (select from comments where id = $2 and post_id = $1) as "has_parent!",
             (case when $2::bigint is null
                 then (select count(*) from (
                     select from comments where post_id = $1 and parent_id is null limit 10000) counted)
                 else (select count(*) from (select from comments where parent_id = $2 limit 10000) counted)
             end)::int as "siblings!"
           from posts where id = $1"#,
        post,
        parent
    );
    Ok(head.fetch_optional(db).await?)
}

/// The ids of a page of a flat list, and how long the list is if it was counted.
pub(super) struct Found {
    pub(super) ids: Vec<i64>,
    pub(super) total: Option<i32>,
}

macro_rules! found {
    ($filter:literal, $part:expr $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Found,
            "select array(
                 select c.id from comments c join posts p on p.id = c.post_id
                 where c.deleted_at is null and c.removed_at is null and p.removed_at is null "
                + $filter
                + r#" and (c.created_at, c.id)
                     < (coalesce($1::timestamptz, 'infinity'), coalesce($2::bigint, 9223372036854775807))
                 order by c.created_at desc, c.id desc limit $3 offset $4
             ) as "ids!",
             case when $5 then (select count(*) from (
                 select from comments c
                 where c.deleted_at is null and c.removed_at is null
                     and not exists (select from posts p where p.id = c.post_id and p.removed_at is not null) "#
                + $filter
                + r#" order by c.created_at desc, c.id desc limit 10000
             ) counted)::int end as total"#,
            $part.after.map(|place| place.created_at) as Option<DateTime<Utc>>,
            $part.after.map(|place| place.id) as Option<i64>,
            $part.limit,
            $part.skip,
            $part.counted,
            $($argument),*
        )
    };
}

/// Each filter has its statement, because each has its index; further filters pick from what that finds.
pub(super) async fn find_comments(db: impl PgExecutor<'_>, filter: &Filter, part: &Part) -> kit::Result<Found> {
    Ok(match *filter {
        Filter { parent_id: Some(parent), post_id, author_id } => {
            found!(
                "and c.parent_id = $6 and ($7::bigint is null or c.post_id = $7)
                and ($8::uuid is null or c.author_id = $8)",
                part,
                parent,
                post_id as Option<i64>,
                author_id as Option<Uuid>
            )
            .fetch_one(db)
            .await?
        }
        Filter { author_id: Some(author), post_id, .. } => {
            found!(
                "and c.author_id = $6 and ($7::bigint is null or c.post_id = $7)",
                part,
                author,
                post_id as Option<i64>
            )
            .fetch_one(db)
            .await?
        }
        Filter { post_id: Some(post), .. } => found!("and c.post_id = $6", part, post).fetch_one(db).await?,
        Filter { .. } => found!("", part).fetch_one(db).await?,
    })
}

pub(super) async fn fetch_post_id(db: impl PgExecutor<'_>, comment: i64) -> kit::Result<Option<i64>> {
    Ok(sqlx::query_scalar!("select post_id from comments where id = $1", comment).fetch_optional(db).await?)
}

pub(super) async fn lock_comment(conn: &mut PgConnection, id: i64) -> kit::Result<Option<Locked>> {
    let comment = sqlx::query_as!(
        Locked,
        r#"select id, post_id, parent_id, depth, author_id, author_number, deleted_at is not null as "deleted!",
             removed_at is not null as "removed!"
           from comments where id = $1 for update"#,
        id
    );
    Ok(comment.fetch_optional(conn).await?)
}

pub(super) async fn has_replies(db: impl PgExecutor<'_>, id: i64) -> kit::Result<bool> {
    let has = sqlx::query_scalar!(r#"select exists (select from comments where parent_id = $1) as "has!""#, id);
    Ok(has.fetch_one(db).await?)
}

pub(super) async fn insert_comment(
    conn: &mut PgConnection,
    post: &LockedPost,
    parent: Option<&Locked>,
    author: Caller,
    content: &str,
    media_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> kit::Result<i64> {
    let id = sqlx::query_scalar!(
        "insert into comments
             (post_id, parent_id, depth, author_id, author_number, content, media_id, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8) returning id",
        post.id,
        parent.map(|parent| parent.id),
        parent.map_or(1, |parent| parent.depth + 1),
        author.id,
        author.number,
        content,
        media_id,
        now
    );
    Ok(id.fetch_one(conn).await?)
}

/// Counts a comment (1), or one less (-1), at its post and at what it answers.
pub(super) async fn count_comment(
    conn: &mut PgConnection,
    post: i64,
    parent: Option<i64>,
    more: i64,
) -> kit::Result<()> {
    sqlx::query!("update posts set comments_count = greatest(comments_count + $2, 0) where id = $1", post, more)
        .execute(&mut *conn)
        .await?;
    sqlx::query!("update comments set replies_count = greatest(replies_count + $2, 0) where id = $1", parent, more)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn touch_post(conn: &mut PgConnection, id: i64, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!("update posts set last_activity_at = greatest(last_activity_at, $2) where id = $1", id, now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Absent is as before; of the file too, where there may also be none.
pub(super) async fn update_comment(
    conn: &mut PgConnection,
    id: i64,
    content: Option<&str>,
    media: Option<Option<Uuid>>,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "update comments
         set content = coalesce($2, content), media_id = case when $3 then $4 else media_id end, updated_at = $5
         where id = $1",
        id,
        content,
        media.is_some(),
        media.flatten(),
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Leaves a comment's place and takes everything else.
pub(super) async fn empty_comment(conn: &mut PgConnection, id: i64, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "update comments set content = '', media_id = null, deleted_at = $2, updated_at = $2 where id = $1",
        id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn delete_comment(conn: &mut PgConnection, id: i64) -> kit::Result<()> {
    sqlx::query!("delete from comments where id = $1", id).execute(conn).await?;
    Ok(())
}

/// Deletes the empty place `at` if nothing hangs on it any more, and the same above it.
pub(super) async fn delete_empty_places(conn: &mut PgConnection, at: i64) -> kit::Result<()> {
    sqlx::query!(
        "with recursive gone (id, parent_id) as (
             select c.id, c.parent_id from comments c
             where c.id = $1 and c.deleted_at is not null
                 and not exists (select from comments r where r.parent_id = c.id)
             union all
             select c.id, c.parent_id from gone g join comments c on c.id = g.parent_id
             where c.deleted_at is not null
                 and not exists (select from comments r where r.parent_id = c.id and r.id <> g.id)
         )
         delete from comments where id in (select id from gone)",
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What was told of a comment. In the order in which their recipients lock them; the foreign key would have none.
pub(super) async fn delete_notifications(conn: &mut PgConnection, comment: i64) -> kit::Result<()> {
    sqlx::query!(
        "delete from notifications where id in (
             select id from notifications where comment_id = $1 order by id for update
         )",
        comment
    )
    .execute(conn)
    .await?;
    Ok(())
}
