//! The SQL of moderation, one statement each.

use chrono::{DateTime, Utc};
use kit::db::OnConstraint;
use kit::identity::Caller;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{About, Deed, LogPlace, LogRow, QueuePlace, QueueRow, no_such_target};

/// Where a reported thing stands.
pub(super) struct PlaceRow {
    post_id: i64,
    comment_id: Option<i64>,
    community_id: Option<i64>,
}

/// Of a thing that can be seen; its post stays in its community until the transaction ends.
pub(super) async fn share_place(conn: &mut PgConnection, about: About) -> kit::Result<Option<PlaceRow>> {
    let place = sqlx::query_as!(
        PlaceRow,
        r#"select p.id as post_id, c.id as "comment_id?", p.community_id
           from posts p
           left join comments c on c.id = $2 and c.post_id = p.id and c.deleted_at is null and c.removed_at is null
           where p.id = coalesce($1, (select post_id from comments where id = $2)) and p.removed_at is null
               and ($2::bigint is null or c.id is not null)
           for share of p"#,
        about.post_id(),
        about.comment_id()
    );
    Ok(place.fetch_optional(conn).await?)
}

/// A person's report of a thing.
pub(super) struct ReportRow {
    pub(super) id: i64,
    pub(super) created_at: DateTime<Utc>,
    /// Whether it is their first.
    pub(super) fresh: bool,
}

pub(super) async fn upsert_report(
    conn: &mut PgConnection,
    place: &PlaceRow,
    reporter: Caller,
    reason: &str,
    now: DateTime<Utc>,
) -> kit::Result<ReportRow> {
    let report = sqlx::query_as!(
        ReportRow,
        r#"insert into reports (reporter_id, reporter_number, post_id, comment_id, reason, created_at)
           values ($1, $2, $3, $4, $5, $6)
           on conflict on constraint reports_once_per_person do update set reason = $5
           returning id, created_at, xmax = 0 as "fresh!""#,
        reporter.id,
        reporter.number,
        place.post_id,
        place.comment_id,
        reason,
        now
    );
    // The post is locked, the comment is not: it may go at this moment.
    report.fetch_one(conn).await.on_constraint("reports_comment_id_fkey", no_such_target)
}

pub(super) async fn add_to_queue(conn: &mut PgConnection, place: &PlaceRow, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "insert into reported as r (community_id, post_id, comment_id, open, last_reported_at)
         values ($1, $2, $3, 1, $4)
         on conflict on constraint reported_once do update set open = r.open + 1, last_reported_at = $4",
        place.community_id,
        place.post_id,
        place.comment_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Of the things that `$filter` finds, the most reported first, with their newest reasons.
macro_rules! queue {
    ($filter:literal, $after:expr, $limit:expr, $skip:expr $(, $argument:expr)*) => {
        sqlx::query_as!(
            QueueRow,
            r#"select r.id, r.post_id, r.comment_id, r.open, r.last_reported_at, array(
                   select reason from reports
                   where post_id = r.post_id and comment_id is not distinct from r.comment_id and settled_at is null
                   order by created_at desc, id desc limit 5
               ) as "reasons!"
               from reported r
               where r.open > 0
                   and (r.open, r.last_reported_at, r.id) < (
                       coalesce($1, 9223372036854775807), coalesce($2, timestamptz 'infinity'), coalesce($3, 0::bigint)
                   )
                   and "#
                + $filter
                + " order by r.open desc, r.last_reported_at desc, r.id desc limit $4 offset $5",
            $after.map(|place| place.open),
            $after.map(|place| place.last_reported_at),
            $after.map(|place| place.id),
            $limit,
            $skip
            $(, $argument)*
        )
    };
}

pub(super) async fn list_queue(
    db: impl PgExecutor<'_>,
    community_id: i64,
    after: Option<QueuePlace>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<QueueRow>> {
    Ok(queue!("r.community_id = $6", after, limit, skip, community_id).fetch_all(db).await?)
}

pub(super) async fn list_queue_without_community(
    db: impl PgExecutor<'_>,
    after: Option<QueuePlace>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<QueueRow>> {
    Ok(queue!("r.community_id is null", after, limit, skip).fetch_all(db).await?)
}

pub(super) async fn count_queue(db: impl PgExecutor<'_>, community_id: Option<i64>) -> kit::Result<i32> {
    Ok(match community_id {
        Some(community_id) => {
            sqlx::query_scalar!(
                r#"select least(count(*), 10000)::int as "count!" from (
                       select from reported where open > 0 and community_id = $1 limit 10001
                   ) counted"#,
                community_id
            )
            .fetch_one(db)
            .await?
        }
        None => {
            sqlx::query_scalar!(
                r#"select least(count(*), 10000)::int as "count!" from (
                       select from reported where open > 0 and community_id is null limit 10001
                   ) counted"#
            )
            .fetch_one(db)
            .await?
        }
    })
}

/// How many reports of the thing were undecided.
pub(super) async fn settle_reports(
    conn: &mut PgConnection,
    post_id: i64,
    comment_id: Option<i64>,
    now: DateTime<Utc>,
) -> kit::Result<u64> {
    let settled = sqlx::query!(
        "update reports set settled_at = $3
         where post_id = $1 and comment_id is not distinct from $2 and settled_at is null",
        post_id,
        comment_id,
        now
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update reported set open = 0 where post_id = $1 and comment_id is not distinct from $2 and open > 0",
        post_id,
        comment_id
    )
    .execute(conn)
    .await?;
    Ok(settled.rows_affected())
}

/// The post itself, or the comment's.
pub(super) async fn fetch_post_of(db: impl PgExecutor<'_>, about: About) -> kit::Result<Option<i64>> {
    let post_id = sqlx::query_scalar!(
        r#"select id as "id!" from posts where id = $1
           union all select post_id from comments where id = $2"#,
        about.post_id(),
        about.comment_id()
    );
    Ok(post_id.fetch_optional(db).await?)
}

/// A removed post is pinned no more.
pub(super) async fn update_post_removed(
    conn: &mut PgConnection,
    id: i64,
    removed_at: Option<DateTime<Utc>>,
) -> kit::Result<()> {
    sqlx::query!(
        "update posts set removed_at = $2, pinned_at = case when $2::timestamptz is null then pinned_at end
         where id = $1",
        id,
        removed_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What moderation needs to know of a comment.
pub(super) struct LockedComment {
    pub(super) parent_id: Option<i64>,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    pub(super) removed_at: Option<DateTime<Utc>>,
}

pub(super) async fn lock_parent(conn: &mut PgConnection, id: i64) -> kit::Result<()> {
    sqlx::query!(
        "select id from comments where id = (select parent_id from comments where id = $1) for no key update",
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

pub(super) async fn lock_comment(conn: &mut PgConnection, id: i64) -> kit::Result<Option<LockedComment>> {
    let comment = sqlx::query_as!(
        LockedComment,
        "select parent_id, deleted_at, removed_at from comments where id = $1 for no key update",
        id
    );
    Ok(comment.fetch_optional(conn).await?)
}

pub(super) async fn update_comment_removed(
    conn: &mut PgConnection,
    id: i64,
    removed_at: Option<DateTime<Utc>>,
) -> kit::Result<()> {
    sqlx::query!("update comments set removed_at = $2 where id = $1", id, removed_at).execute(conn).await?;
    Ok(())
}

pub(super) async fn add_comments(conn: &mut PgConnection, post_id: i64, more: i64) -> kit::Result<()> {
    sqlx::query!("update posts set comments_count = comments_count + $2 where id = $1", post_id, more)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn add_replies(conn: &mut PgConnection, id: i64, more: i64) -> kit::Result<()> {
    sqlx::query!("update comments set replies_count = replies_count + $2 where id = $1", id, more)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn update_locked(
    conn: &mut PgConnection,
    id: i64,
    locked_at: Option<DateTime<Utc>>,
) -> kit::Result<()> {
    sqlx::query!("update posts set locked_at = $2 where id = $1", id, locked_at).execute(conn).await?;
    Ok(())
}

pub(super) async fn update_pinned(
    conn: &mut PgConnection,
    id: i64,
    pinned_at: Option<DateTime<Utc>>,
) -> kit::Result<()> {
    sqlx::query!("update posts set pinned_at = $2 where id = $1", id, pinned_at).execute(conn).await?;
    Ok(())
}

pub(super) async fn count_pins(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from posts where community_id = $1 and pinned_at is not null"#,
        community_id
    );
    Ok(count.fetch_one(db).await?)
}

/// Somebody's number, from anything they ever did here.
pub(super) async fn fetch_number(db: impl PgExecutor<'_>, user: Uuid) -> kit::Result<Option<i64>> {
    let number = sqlx::query_scalar!(
        r#"(select user_number as "number!" from memberships where user_id = $1 limit 1)
           union all (select user_number from bans where user_id = $1 limit 1)
           union all (select author_number from posts where author_id = $1 and removed_at is null limit 1)
           union all (select author_number from comments where author_id = $1 limit 1)
           union all (select user_number from reactions where user_id = $1 and post_id is not null limit 1)
           limit 1"#,
        user
    );
    Ok(number.fetch_optional(db).await?)
}

pub(super) async fn exists_community(db: impl PgExecutor<'_>, id: i64) -> kit::Result<bool> {
    let exists = sqlx::query_scalar!(r#"select exists (select from communities where id = $1) as "exists!""#, id);
    Ok(exists.fetch_one(db).await?)
}

pub(super) async fn insert_entry(
    conn: &mut PgConnection,
    deed: &Deed<'_>,
    by: Caller,
    now: DateTime<Utc>,
) -> kit::Result<LogRow> {
    let row = sqlx::query_as!(
        LogRow,
        "insert into moderation_log (community_id, moderator_id, moderator_number, action, post_id, comment_id, user_id,
             user_number, reason, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         returning id, community_id, moderator_id, moderator_number, action, post_id, comment_id, user_id, user_number,
             reason, created_at",
        deed.community_id,
        by.id,
        by.number,
        deed.action.name(),
        deed.about.post_id(),
        deed.about.comment_id(),
        deed.about.user().map(|(id, _)| id),
        deed.about.user().map(|(_, number)| number),
        deed.reason,
        now
    );
    Ok(row.fetch_one(conn).await?)
}

/// The last entry of this action about this thing or person.
pub(super) async fn fetch_last(conn: &mut PgConnection, deed: &Deed<'_>) -> kit::Result<Option<LogRow>> {
    let row = sqlx::query_as!(
        LogRow,
        "select id, community_id, moderator_id, moderator_number, action, post_id, comment_id, user_id, user_number,
             reason, created_at
         from moderation_log
         where (post_id = $1 or comment_id = $2 or user_id = $3 and community_id = $4) and action = $5
         order by id desc limit 1",
        deed.about.post_id(),
        deed.about.comment_id(),
        deed.about.user().map(|(id, _)| id),
        deed.community_id,
        deed.action.name()
    );
    Ok(row.fetch_optional(conn).await?)
}

/// Of a community, or of what is in none.
pub(super) async fn list_log(
    db: impl PgExecutor<'_>,
    community_id: Option<i64>,
    after: Option<LogPlace>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<LogRow>> {
    let at = after.map(|place| place.created_at);
    let id = after.map(|place| place.id);
    macro_rules! page {
        ($condition:literal $(, $community:expr)?) => {
            sqlx::query_as!(
                LogRow,
                "select id, community_id, moderator_id, moderator_number, action, post_id, comment_id, user_id,
                     user_number, reason, created_at
                 from moderation_log
                 where (created_at, id) < (coalesce($1, timestamptz 'infinity'), coalesce($2, 0::bigint)) and "
                    + $condition
                    + " order by created_at desc, id desc limit $3 offset $4",
                at,
                id,
                limit,
                skip
                $(, $community)?
            )
            .fetch_all(db)
            .await?
        };
    }
    Ok(match community_id {
        Some(community) => page!("community_id = $5", community),
        None => page!("community_id is null"),
    })
}

pub(super) async fn count_log(db: impl PgExecutor<'_>, community_id: Option<i64>) -> kit::Result<i32> {
    macro_rules! count {
        ($condition:literal $(, $community:expr)?) => {
            sqlx::query_scalar!(
                r#"select least(count(*), 10000)::int as "count!"
                   from (select from moderation_log where "#
                    + $condition
                    + " limit 10001) counted"
                $(, $community)?
            )
            .fetch_one(db)
            .await?
        };
    }
    Ok(match community_id {
        Some(community) => count!("community_id = $1", community),
        None => count!("community_id is null"),
    })
}
