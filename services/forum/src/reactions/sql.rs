//! The SQL of reactions, one statement each. Posts and comments have columns and indexes of their own.

use chrono::{DateTime, Utc};
use kit::identity::Caller;
use proto::forum::v1::ReactionType;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{Locked, Place, Row, Thing, name_of};

/// `$before`, the columns of [`Row`], `$after`.
macro_rules! reactions {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            $before + " id, user_id, user_number, post_id, comment_id, type as kind, created_at " + $after
            $(, $argument)*
        )
    };
}

/// Locks a thing for a change of its counters. A comment's post is held before the comment, though only against its
/// deletion, because whoever deletes a post locks it before its comments.
pub(super) async fn lock(conn: &mut PgConnection, thing: Thing) -> kit::Result<Option<Locked>> {
    let id = match thing {
        Thing::Post(id) => return lock_post(conn, id).await,
        Thing::Comment(id) => id,
    };
    let Some(post) = hold_post(conn, id).await? else { return Ok(None) };
    let comment = sqlx::query!(
        r#"select author_id, author_number, deleted_at is not null or removed_at is not null as "gone!"
           from comments where id = $1 for no key update"#,
        id
    );
    Ok(comment.fetch_optional(conn).await?.map(|comment| Locked {
        author: (comment.author_id, comment.author_number),
        gone: post.gone || comment.gone,
        ..post
    }))
}

async fn lock_post(conn: &mut PgConnection, id: i64) -> kit::Result<Option<Locked>> {
    let post = sqlx::query!(
        r#"select author_id, author_number, community_id, removed_at is not null as "gone!"
           from posts where id = $1 for no key update"#,
        id
    );
    Ok(post.fetch_optional(conn).await?.map(|post| Locked {
        author: (post.author_id, post.author_number),
        post_id: id,
        community_id: post.community_id,
        gone: post.gone,
    }))
}

async fn hold_post(conn: &mut PgConnection, comment: i64) -> kit::Result<Option<Locked>> {
    let post = sqlx::query!(
        r#"select id, author_id, author_number, community_id, removed_at is not null as "gone!"
           from posts where id = (select post_id from comments where id = $1) for key share"#,
        comment
    );
    Ok(post.fetch_optional(conn).await?.map(|post| Locked {
        author: (post.author_id, post.author_number),
        post_id: post.id,
        community_id: post.community_id,
        gone: post.gone,
    }))
}

/// Moves the counter of a type. It is a count of rows that are locked with it; below zero it would be wrong, and is kept
/// from going there.
pub(super) async fn count(conn: &mut PgConnection, thing: Thing, kind: ReactionType, more: i64) -> kit::Result<()> {
    let [hearts, likes, dislikes] =
        [ReactionType::Heart, ReactionType::Like, ReactionType::Dislike].map(|of| if of == kind { more } else { 0 });
    match thing {
        Thing::Post(id) => {
            sqlx::query!(
                "update posts
                 set hearts = greatest(hearts + $2, 0), likes = greatest(likes + $3, 0),
                     dislikes = greatest(dislikes + $4, 0)
                 where id = $1",
                id,
                hearts,
                likes,
                dislikes
            )
            .execute(conn)
            .await?
        }
        Thing::Comment(id) => {
            sqlx::query!(
                "update comments
                 set hearts = greatest(hearts + $2, 0), likes = greatest(likes + $3, 0),
                     dislikes = greatest(dislikes + $4, 0)
                 where id = $1",
                id,
                hearts,
                likes,
                dislikes
            )
            .execute(conn)
            .await?
        }
    };
    Ok(())
}

/// Somebody's reaction to a thing.
pub(super) async fn fetch_own(db: impl PgExecutor<'_>, user: Uuid, thing: Thing) -> kit::Result<Option<Row>> {
    let row = match thing {
        Thing::Post(id) => {
            reactions!("select", "from reactions where user_id = $1 and post_id = $2", user, id)
                .fetch_optional(db)
                .await
        }
        Thing::Comment(id) => {
            reactions!("select", "from reactions where user_id = $1 and comment_id = $2", user, id)
                .fetch_optional(db)
                .await
        }
    };
    Ok(row?)
}

pub(super) async fn fetch_reaction(db: impl PgExecutor<'_>, user: Uuid, id: i64) -> kit::Result<Option<Row>> {
    Ok(reactions!("select", "from reactions where id = $1 and user_id = $2", id, user).fetch_optional(db).await?)
}

pub(super) async fn insert_reaction(
    db: impl PgExecutor<'_>,
    caller: Caller,
    thing: Thing,
    kind: ReactionType,
    now: DateTime<Utc>,
) -> kit::Result<Row> {
    let row = reactions!(
        "insert into reactions (user_id, user_number, post_id, comment_id, type, created_at)
         values ($1, $2, $3, $4, $5, $6) returning",
        "",
        caller.id,
        caller.number,
        thing.post(),
        thing.comment(),
        name_of(kind),
        now
    );
    Ok(row.fetch_one(db).await?)
}

pub(super) async fn update_type(db: impl PgExecutor<'_>, id: i64, kind: ReactionType) -> kit::Result<Row> {
    let row = reactions!("update reactions set type = $2 where id = $1 returning", "", id, name_of(kind));
    Ok(row.fetch_one(db).await?)
}

/// The type it had.
pub(super) async fn delete_reaction(db: impl PgExecutor<'_>, id: i64) -> kit::Result<Option<String>> {
    Ok(sqlx::query_scalar!("delete from reactions where id = $1 returning type", id).fetch_optional(db).await?)
}

/// How many reactions a thing has, as its counters know; nothing when it is not there or gone from sight.
pub(super) async fn fetch_total(db: impl PgExecutor<'_>, thing: Thing) -> kit::Result<Option<i32>> {
    let total = match thing {
        Thing::Post(id) => {
            sqlx::query_scalar!(
                r#"select least(hearts + likes + dislikes, 10000)::int as "total!"
                   from posts where id = $1 and removed_at is null"#,
                id
            )
            .fetch_optional(db)
            .await
        }
        Thing::Comment(id) => {
            sqlx::query_scalar!(
                r#"select least(c.hearts + c.likes + c.dislikes, 10000)::int as "total!"
                   from comments c join posts p on p.id = c.post_id
                   where c.id = $1 and c.deleted_at is null and c.removed_at is null and p.removed_at is null"#,
                id
            )
            .fetch_optional(db)
            .await
        }
    };
    Ok(total?)
}

/// Newest first.
pub(super) async fn list_reactions(
    db: impl PgExecutor<'_>,
    thing: Thing,
    after: Option<Place>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<Row>> {
    let (at, id) = (after.map(|place| place.created_at), after.map(|place| place.id));
    let rows = match thing {
        Thing::Post(post) => {
            reactions!(
                "select",
                "from reactions
                 where post_id = $1 and (created_at, id)
                     < (coalesce($2::timestamptz, 'infinity'), coalesce($3::bigint, 9223372036854775807))
                 order by created_at desc, id desc limit $4 offset $5",
                post,
                at,
                id,
                limit,
                skip
            )
            .fetch_all(db)
            .await
        }
        Thing::Comment(comment) => {
            reactions!(
                "select",
                "from reactions
                 where comment_id = $1 and (created_at, id)
                     < (coalesce($2::timestamptz, 'infinity'), coalesce($3::bigint, 9223372036854775807))
                 order by created_at desc, id desc limit $4 offset $5",
                comment,
                at,
                id,
                limit,
                skip
            )
            .fetch_all(db)
            .await
        }
    };
    Ok(rows?)
}
