//! The SQL of communities, one statement each.

use chrono::{DateTime, Utc};
use kit::db::OnConstraint;
use kit::error::already_exists;
use kit::identity::Caller;
use proto::forum::v1::{CreateCommunityRequest, UpdateCommunityRequest};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{CommunityRow, Locked, Place};
use crate::pictures::Picture;

/// The columns of [`CommunityRow`] and `$after`; `$1` is the viewer.
macro_rules! communities {
    ($after:literal, $viewer:expr $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            CommunityRow,
            r#"select c.id, c.name, c.slug, c.short_description, c.description, c.cover_image, c.avatar, c.created_by,
                   c.created_by_number, c.members_count, c.posts_count, c.created_at,
                   c.joined_by is not null as "seed!", m.role as "viewer_role?"
               from communities c
               left join memberships m on m.community_id = c.id and m.user_id = $1 and m.left_at is null "#
                + $after,
            $viewer as Option<Uuid>
            $(, $argument)*
        )
    };
}

pub(super) async fn fetch_community(
    db: impl PgExecutor<'_>,
    id: i64,
    viewer: Option<Uuid>,
) -> kit::Result<Option<CommunityRow>> {
    Ok(communities!("where c.id = $2", viewer, id).fetch_optional(db).await?)
}

pub(super) async fn fetch_community_by_slug(
    db: impl PgExecutor<'_>,
    slug: &str,
    viewer: Option<Uuid>,
) -> kit::Result<Option<CommunityRow>> {
    Ok(communities!("where c.slug = $2", viewer, slug).fetch_optional(db).await?)
}

/// "The first page" is a key behind all others: with `$2 is null or …` a plan for all arguments would use no index.
pub(super) async fn list_largest(
    db: impl PgExecutor<'_>,
    viewer: Option<Uuid>,
    after: Option<Place>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<CommunityRow>> {
    let rows = communities!(
        "where (c.members_count, c.created_at, c.id)
             < (coalesce($2, 9223372036854775807), coalesce($3, timestamptz 'infinity'), coalesce($4, 0::bigint))
         order by c.members_count desc, c.created_at desc, c.id desc limit $5 offset $6",
        viewer,
        after.map(|place| place.members_count),
        after.map(|place| place.created_at),
        after.map(|place| place.id),
        limit,
        skip
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn list_of_member(
    db: impl PgExecutor<'_>,
    member: Uuid,
    after: Option<Place>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<CommunityRow>> {
    let rows = communities!(
        "where m.user_id = $1 and (c.members_count, c.created_at, c.id)
             < (coalesce($2, 9223372036854775807), coalesce($3, timestamptz 'infinity'), coalesce($4, 0::bigint))
         order by c.members_count desc, c.created_at desc, c.id desc limit $5 offset $6",
        Some(member),
        after.map(|place| place.members_count),
        after.map(|place| place.created_at),
        after.map(|place| place.id),
        limit,
        skip
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn count_all(db: impl PgExecutor<'_>) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select least(count(*), 10000)::int as "count!" from (select 1 from communities limit 10001) counted"#
    );
    Ok(count.fetch_one(db).await?)
}

pub(super) async fn count_of_member(db: impl PgExecutor<'_>, member: Uuid) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select least(count(*), 10000)::int as "count!"
           from (select 1 from memberships where user_id = $1 and left_at is null limit 10001) counted"#,
        member
    );
    Ok(count.fetch_one(db).await?)
}

pub(super) async fn insert_community(
    conn: &mut PgConnection,
    new: &CreateCommunityRequest,
    creator: Caller,
    now: DateTime<Utc>,
) -> kit::Result<i64> {
    let id = sqlx::query_scalar!(
        "insert into communities (name, slug, short_description, description, cover_image, avatar, created_by,
             created_by_number, members_count, created_at)
         values ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''), $7, $8, 1, $9) returning id",
        new.name,
        new.slug,
        new.short_description,
        new.description,
        new.cover_image.as_deref(),
        new.avatar.as_deref(),
        creator.id,
        creator.number,
        now
    )
    .fetch_one(conn)
    .await;
    taken(id)
}

/// Absent fields stay.
pub(super) async fn update_texts(conn: &mut PgConnection, change: &UpdateCommunityRequest) -> kit::Result<()> {
    let updated = sqlx::query!(
        "update communities
         set name = coalesce($2, name), slug = coalesce($3, slug),
             short_description = coalesce($4, short_description), description = coalesce($5, description)
         where id = $1",
        change.id,
        change.name.as_deref(),
        change.slug.as_deref(),
        change.short_description.as_deref(),
        change.description.as_deref()
    )
    .execute(conn)
    .await;
    taken(updated).map(drop)
}

fn taken<T>(outcome: sqlx::Result<T>) -> kit::Result<T> {
    outcome
        .on_constraint("communities_name_key", || already_exists("NAME_TAKEN", "there is a community of this name"))
        .on_constraint("communities_slug_key", || already_exists("SLUG_TAKEN", "there is a community with this slug"))
}

/// The upload that is shown from now on. Who sends back the URL that was shown keeps it.
pub(super) async fn update_cover(conn: &mut PgConnection, id: i64, picture: &Picture) -> kit::Result<Option<Uuid>> {
    let upload = sqlx::query_scalar!(
        "update communities
         set cover_image = $2,
             cover_media_id = case when $3::uuid is null and cover_image = $2 then cover_media_id else $3 end
         where id = $1 returning cover_media_id",
        id,
        picture.url.as_deref(),
        picture.media_id as Option<Uuid>
    );
    Ok(upload.fetch_one(conn).await?)
}

/// As [`update_cover`].
pub(super) async fn update_avatar(conn: &mut PgConnection, id: i64, picture: &Picture) -> kit::Result<Option<Uuid>> {
    let upload = sqlx::query_scalar!(
        "update communities
         set avatar = $2,
             avatar_media_id = case when $3::uuid is null and avatar = $2 then avatar_media_id else $3 end
         where id = $1 returning avatar_media_id",
        id,
        picture.url.as_deref(),
        picture.media_id as Option<Uuid>
    );
    Ok(upload.fetch_one(conn).await?)
}

pub(super) async fn delete_community(conn: &mut PgConnection, id: i64) -> kit::Result<()> {
    sqlx::query!("delete from communities where id = $1", id).execute(conn).await?;
    Ok(())
}

/// Locks for a change of the row or of its counters; those who only refer to it need not wait.
pub(crate) async fn lock_community(conn: &mut PgConnection, id: i64) -> kit::Result<Option<Locked>> {
    let locked = sqlx::query_as!(
        Locked,
        r#"select joined_by is not null as "seed!", created_by, cover_media_id, avatar_media_id
           from communities where id = $1 for no key update"#,
        id
    );
    Ok(locked.fetch_optional(conn).await?)
}

pub(crate) async fn add_members(conn: &mut PgConnection, id: i64, more: i64) -> kit::Result<()> {
    sqlx::query!("update communities set members_count = members_count + $2 where id = $1", id, more)
        .execute(conn)
        .await?;
    Ok(())
}

/// After so many visible posts came, or went.
pub(crate) async fn add_posts(conn: &mut PgConnection, id: i64, more: i64) -> kit::Result<()> {
    sqlx::query!("update communities set posts_count = posts_count + $2 where id = $1", id, more).execute(conn).await?;
    Ok(())
}
