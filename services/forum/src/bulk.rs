//! Posts, comments and reactions by the million, for demonstrations and load tests. The caller brings counters that fit
//! the rows and ids in the order of the rows; what follows from them (memberships, interest in authors, counters of
//! communities, the next free ids) is made here.

pub mod import;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::{Copy, Load, Value};
use sqlx::PgPool;
use uuid::Uuid;

/// Somebody who writes.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub id: Uuid,
    pub number: i64,
}

/// Reactions by type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Votes {
    pub hearts: i64,
    pub likes: i64,
    pub dislikes: i64,
}

#[derive(Clone, Debug)]
pub struct Post<'a> {
    pub id: i64,
    pub author: Person,
    pub community_id: Option<i64>,
    pub title: &'a str,
    pub content: &'a str,
    pub views: i64,
    pub comments: i64,
    pub votes: Votes,
    pub created_at: DateTime<Utc>,
    pub last_activity_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct Comment<'a> {
    pub id: i64,
    pub post_id: i64,
    pub parent_id: Option<i64>,
    pub depth: i64,
    pub author: Person,
    pub content: &'a str,
    pub votes: Votes,
    pub replies: i64,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug)]
pub struct Reaction {
    pub id: i64,
    pub user: Person,
    /// One of both is there.
    pub post_id: Option<i64>,
    pub comment_id: Option<i64>,
    /// `HEART`, `LIKE` or `DISLIKE`.
    pub kind: &'static str,
    pub created_at: DateTime<Utc>,
}

/// Begins to fill a forum in which nobody has written yet.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    Load::begin(pool, &["memberships", "posts", "comments", "reactions", "interactions"]).await
}

/// The communities that every installation has, the one for all first.
pub async fn communities(load: &mut Load) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar!("select id from communities where joined_by is not null order by id")
        .fetch_all(load.connection())
        .await?)
}

/// The largest ids of posts, comments and reactions so far.
pub async fn last_ids(load: &mut Load) -> Result<(i64, i64, i64)> {
    let last = sqlx::query!(
        r#"select (select coalesce(max(id), 0) from posts) as "post!",
            (select coalesce(max(id), 0) from comments) as "comment!",
            (select coalesce(max(id), 0) from reactions) as "reaction!""#
    );
    let last = last.fetch_one(load.connection()).await?;
    Ok((last.post, last.comment, last.reaction))
}

pub async fn posts(load: &mut Load) -> Result<Copy<'_>> {
    const COLUMNS: &[&str] = &[
        "id",
        "author_id",
        "author_number",
        "community_id",
        "title",
        "content",
        "views_count",
        "comments_count",
        "hearts",
        "likes",
        "dislikes",
        "created_at",
        "updated_at",
        "last_activity_at",
    ];
    load.copy("posts", COLUMNS).await
}

impl Post<'_> {
    pub async fn write(&self, posts: &mut Copy<'_>) -> Result<()> {
        let row: [Value<'_>; 14] = [
            self.id.into(),
            self.author.id.into(),
            self.author.number.into(),
            self.community_id.into(),
            self.title.into(),
            self.content.into(),
            self.views.into(),
            self.comments.into(),
            self.votes.hearts.into(),
            self.votes.likes.into(),
            self.votes.dislikes.into(),
            self.created_at.into(),
            self.created_at.into(),
            self.last_activity_at.into(),
        ];
        posts.row(&row).await
    }
}

pub async fn comments(load: &mut Load) -> Result<Copy<'_>> {
    const COLUMNS: &[&str] = &[
        "id",
        "post_id",
        "parent_id",
        "depth",
        "author_id",
        "author_number",
        "content",
        "hearts",
        "likes",
        "dislikes",
        "replies_count",
        "created_at",
        "updated_at",
    ];
    load.copy("comments", COLUMNS).await
}

impl Comment<'_> {
    pub async fn write(&self, comments: &mut Copy<'_>) -> Result<()> {
        let row: [Value<'_>; 13] = [
            self.id.into(),
            self.post_id.into(),
            self.parent_id.into(),
            self.depth.into(),
            self.author.id.into(),
            self.author.number.into(),
            self.content.into(),
            self.votes.hearts.into(),
            self.votes.likes.into(),
            self.votes.dislikes.into(),
            self.replies.into(),
            self.created_at.into(),
            self.created_at.into(),
        ];
        comments.row(&row).await
    }
}

pub async fn reactions(load: &mut Load) -> Result<Copy<'_>> {
    load.copy("reactions", &["id", "user_id", "user_number", "post_id", "comment_id", "type", "created_at"]).await
}

impl Reaction {
    pub async fn write(&self, reactions: &mut Copy<'_>) -> Result<()> {
        let row: [Value<'_>; 7] = [
            self.id.into(),
            self.user.id.into(),
            self.user.number.into(),
            self.post_id.into(),
            self.comment_id.into(),
            self.kind.into(),
            self.created_at.into(),
        ];
        reactions.row(&row).await
    }
}

/// Makes what follows from the rows. Who wrote in a community becomes its member; no community is younger than its posts.
pub async fn settle(load: &mut Load, now: DateTime<Utc>) -> Result<()> {
    let connection = load.connection();
    // One pass over everything: sorting on disk would take longer than all the rest.
    sqlx::query("set local work_mem = '1GB'").execute(&mut *connection).await?;
    sqlx::query!(
        "insert into interactions (user_id, author_id, comments, reactions)
         select user_id, author_id, sum(comments), sum(reactions) from (
            select c.author_id as user_id, p.author_id, 1 as comments, 0 as reactions
            from comments c join posts p on p.id = c.post_id
            union all
            select r.user_id, p.author_id, 0, 1
            from reactions r join posts p on p.id = r.post_id
         ) as each
         group by user_id, author_id
         on conflict (user_id, author_id) do update
            set comments = excluded.comments, reactions = excluded.reactions"
    )
    .execute(&mut *connection)
    .await?;
    // Who wrote in a community is a member of it.
    sqlx::query!(
        "insert into memberships (community_id, user_id, user_number, joined_at)
         select community_id, author_id, author_number, min(created_at) from posts where community_id is not null
         group by community_id, author_id, author_number
         on conflict do nothing"
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update communities c set
            posts_count = (select count(*) from posts p where p.community_id = c.id and p.removed_at is null),
            members_count = (select count(*) from memberships m where m.community_id = c.id and m.left_at is null),
            created_at = least(c.created_at, (select min(p.created_at) from posts p where p.community_id = c.id), $1)",
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "select setval(pg_get_serial_sequence('posts', 'id'), greatest((select max(id) from posts), 1)) as posts,
            setval(pg_get_serial_sequence('comments', 'id'), greatest((select max(id) from comments), 1)) as comments,
            setval(pg_get_serial_sequence('reactions', 'id'), greatest((select max(id) from reactions), 1)) as reactions"
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(())
}
