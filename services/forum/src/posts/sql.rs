//! The SQL of posts, one statement each; that of their lists' orders is in `lists::sql`.

use chrono::{DateTime, Utc};
use kit::identity::Caller;
use proto::forum::v1::{CreatePostRequest, UpdatePostRequest};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::PostRow;

/// The columns of [`PostRow`] from `$source`, which names the posts `p`; `$1` is the viewer.
macro_rules! posts {
    ($source:literal, $after:literal, $viewer:expr, $argument:expr) => {
        sqlx::query_as!(
            PostRow,
            r#"select p.id, p.author_id, p.author_number, p.title, p.content, p.media_id, p.views_count,
                   p.relevance_score, p.comments_count, p.hearts, p.likes, p.dislikes, p.created_at, p.updated_at,
                   p.last_activity_at, p.locked_at, p.pinned_at, p.removed_at,
                   -- Not the post's own: what was in a large community is let go of a while after it is deleted.
                   c.id as "community_id?", c.name as "name?", c.slug as "slug?", c.short_description as "short_description?",
                   c.description as "description?", c.cover_image, c.avatar, c.members_count as "members_count?",
                   c.created_by_number as made_by, c.created_at as "made_at?",
                   r.id as "reaction_id?", r.type as "reaction_type?", r.user_id as "reacted_by?",
                   r.user_number as "reacted_by_number?", r.created_at as "reacted_at?"
               from "#
                + $source
                + r#" left join communities c on c.id = p.community_id
                   left join reactions r on r.post_id = p.id and r.user_id = $1 "#
                + $after,
            $viewer as Option<Uuid>,
            $argument
        )
    };
}

pub(super) async fn fetch_post(db: impl PgExecutor<'_>, id: i64, viewer: Option<Uuid>) -> kit::Result<Option<PostRow>> {
    Ok(posts!("posts p", "where p.id = $2", viewer, id).fetch_optional(db).await?)
}

/// Visible ones, in the order of `ids`.
pub(super) async fn fetch_posts(
    db: impl PgExecutor<'_>,
    ids: &[i64],
    viewer: Option<Uuid>,
) -> kit::Result<Vec<PostRow>> {
    let rows = posts!(
        "unnest($2::bigint[]) with ordinality as k(id, place) join posts p on p.id = k.id and p.removed_at is null",
        "order by k.place",
        viewer,
        ids
    );
    Ok(rows.fetch_all(db).await?)
}

/// Who wrote a visible post.
pub(super) async fn fetch_author(db: impl PgExecutor<'_>, id: i64) -> kit::Result<Option<Uuid>> {
    let author = sqlx::query_scalar!("select author_id from posts where id = $1 and removed_at is null", id);
    Ok(author.fetch_optional(db).await?)
}

/// Where a post is and whose.
pub(super) struct Place {
    pub(super) community_id: Option<i64>,
    pub(super) author_id: Uuid,
    pub(super) removed: bool,
}

pub(super) async fn fetch_place(db: impl PgExecutor<'_>, id: i64) -> kit::Result<Option<Place>> {
    let place = sqlx::query_as!(
        Place,
        r#"select community_id, author_id, removed_at is not null as "removed!" from posts where id = $1"#,
        id
    );
    Ok(place.fetch_optional(db).await?)
}

/// What a change of a post, or of something on it, needs to know.
pub(crate) struct LockedPost {
    pub(crate) id: i64,
    pub(crate) author_id: Uuid,
    pub(crate) author_number: i64,
    pub(crate) community_id: Option<i64>,
    pub(crate) locked_at: Option<DateTime<Utc>>,
    pub(crate) pinned_at: Option<DateTime<Utc>>,
    pub(crate) removed_at: Option<DateTime<Utc>>,
}

/// Locks for a change of the row or of its counters; those who only refer to it need not wait.
pub(crate) async fn lock_post(conn: &mut PgConnection, id: i64) -> kit::Result<Option<LockedPost>> {
    let locked = sqlx::query_as!(
        LockedPost,
        "select id, author_id, author_number, community_id, locked_at, pinned_at, removed_at
         from posts where id = $1 for no key update",
        id
    );
    Ok(locked.fetch_optional(conn).await?)
}

pub(super) async fn insert_post(
    conn: &mut PgConnection,
    new: &CreatePostRequest,
    media_id: Option<Uuid>,
    author: Caller,
    now: DateTime<Utc>,
) -> kit::Result<i64> {
    let id = sqlx::query_scalar!(
        "insert into posts (author_id, author_number, community_id, title, content, media_id, created_at, updated_at,
             last_activity_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7, $7) returning id",
        author.id,
        author.number,
        new.community_id,
        new.title,
        new.content,
        media_id,
        now
    );
    Ok(id.fetch_one(conn).await?)
}

/// Absent texts stay.
pub(super) async fn update_post(
    conn: &mut PgConnection,
    change: &UpdatePostRequest,
    community_id: Option<i64>,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "update posts
         set title = coalesce($2, title), content = coalesce($3, content), community_id = $4, updated_at = $5
         where id = $1",
        change.id,
        change.title.as_deref(),
        change.content.as_deref(),
        community_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What ties a post to its community.
pub(super) struct Bonds {
    /// Somebody complained about the post or its comments and nobody decided yet.
    pub(super) reported: bool,
    /// Comments were removed.
    pub(super) moderated: bool,
    /// Others commented, if that is asked.
    pub(super) others: bool,
}

pub(super) async fn fetch_bonds(db: impl PgExecutor<'_>, post_id: i64, others: bool) -> kit::Result<Bonds> {
    let bonds = sqlx::query_as!(
        Bonds,
        r#"select exists (select from reported where post_id = $1 and open > 0) as "reported!",
               exists (select from comments where post_id = $1 and removed_at is not null) as "moderated!",
               $2 and exists (
                   select from comments c where c.post_id = $1 and c.author_id <> p.author_id and c.deleted_at is null
               ) as "others!"
           from posts p where id = $1"#,
        post_id,
        others
    );
    Ok(bonds.fetch_one(db).await?)
}

/// The moderators' queue follows a post into its new community.
pub(super) async fn move_reports(conn: &mut PgConnection, post_id: i64, community_id: Option<i64>) -> kit::Result<()> {
    lock_reported(&mut *conn, post_id).await?;
    sqlx::query!("update reported set community_id = $2 where post_id = $1", post_id, community_id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Of a post and its comments, by id as everybody does: foreign keys would take them in the order of an index.
pub(crate) async fn lock_reported(conn: &mut PgConnection, post_id: i64) -> kit::Result<()> {
    sqlx::query!("select id from reported where post_id = $1 order by id for update", post_id).fetch_all(conn).await?;
    Ok(())
}

/// Also against those who only hold the post and change what stands on it: they would wait for what its deletion locks,
/// and the deletion for them.
pub(super) async fn lock_alone(conn: &mut PgConnection, id: i64) -> kit::Result<()> {
    sqlx::query!("select id from posts where id = $1 for update", id).fetch_optional(conn).await?;
    Ok(())
}

/// What was told of a post and its comments, by id as its recipients do. There may be many; only their number leaves
/// PostgreSQL.
pub(super) async fn lock_notifications(conn: &mut PgConnection, post_id: i64) -> kit::Result<()> {
    sqlx::query!(
        r#"select count(*) as "locked!" from (
               select id from notifications where post_id = $1 order by id for update
           ) locked"#,
        post_id
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Of everybody who did something on the post, in an order that all deletions share.
pub(super) async fn lock_interactions(conn: &mut PgConnection, post_id: i64) -> kit::Result<()> {
    sqlx::query!(
        r#"select 1 as "locked!" from interactions i join posts p on p.author_id = i.author_id
           where p.id = $1 and i.user_id in (
               select author_id from comments where post_id = $1 union select user_id from reactions where post_id = $1
           )
           order by i.user_id for update of i"#,
        post_id
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

pub(super) async fn subtract_interactions(conn: &mut PgConnection, post_id: i64) -> kit::Result<()> {
    sqlx::query!(
        "with done as (
             select user_id, sum(comments) as comments, sum(reactions) as reactions from (
                 select author_id as user_id, count(*) as comments, 0 as reactions
                 from comments where post_id = $1 and deleted_at is null group by author_id
                 union all
                 select user_id, 0, count(*) from reactions where post_id = $1 group by user_id
             ) by_kind group by user_id
         )
         update interactions i
         set comments = greatest(i.comments - done.comments, 0), reactions = greatest(i.reactions - done.reactions, 0)
         from done, posts p
         where p.id = $1 and i.user_id = done.user_id and i.author_id = p.author_id",
        post_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Comments, reactions, reports and notifications go along.
pub(super) async fn delete_post(conn: &mut PgConnection, id: i64) -> kit::Result<()> {
    sqlx::query!("delete from posts where id = $1", id).execute(conn).await?;
    Ok(())
}

/// Whether it counts: nobody counts again before `since`.
pub(super) async fn insert_view(
    conn: &mut PgConnection,
    post_id: i64,
    viewer: &str,
    now: DateTime<Utc>,
    since: DateTime<Utc>,
) -> kit::Result<bool> {
    let counted = sqlx::query!(
        "insert into views as v (post_id, viewer, counted_at) values ($1, $2, $3)
         on conflict (post_id, viewer) do update set counted_at = $3 where v.counted_at <= $4",
        post_id,
        viewer,
        now,
        since
    );
    Ok(counted.execute(conn).await?.rows_affected() == 1)
}

pub(super) async fn add_view(conn: &mut PgConnection, id: i64) -> kit::Result<()> {
    sqlx::query!("update posts set views_count = views_count + 1 where id = $1", id).execute(conn).await?;
    Ok(())
}

pub(crate) async fn delete_old_views(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!("delete from views where counted_at <= $1", before).execute(db).await?;
    Ok(())
}
