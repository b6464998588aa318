//! Communities, posts, comments and reactions of another forum, brought in as they were, ids included; see
//! [`kit::bulk::import`] for the order of doing it. Nobody is notified: it is history.

mod sql;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::import::{self, Outcome};
use kit::bulk::{Load, Value};
use sqlx::PgPool;

/// A community.
#[derive(Clone, Debug)]
pub struct Community {
    /// Where it stands in what is imported; of two with one id the later counts.
    pub place: i64,
    pub id: i64,
    pub name: String,
    /// As it is called here.
    pub slug: String,
    pub short_description: String,
    pub description: String,
    pub cover_image: Option<String>,
    pub avatar: Option<String>,
    /// As the import names people; see [`import::Somebody`].
    pub creator: Option<String>,
    pub members: Vec<String>,
    pub created_at: DateTime<Utc>,
}

/// A post.
#[derive(Clone, Debug)]
pub struct Post {
    pub place: i64,
    pub id: i64,
    pub author: String,
    pub community: Option<i64>,
    pub title: String,
    pub content: String,
    pub media: Option<i64>,
    pub views: i64,
    pub relevance: f64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A comment.
#[derive(Clone, Debug)]
pub struct Comment {
    pub place: i64,
    pub id: i64,
    pub author: String,
    pub post: i64,
    pub parent: Option<i64>,
    pub content: String,
    pub media: Option<i64>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A reaction.
#[derive(Clone, Debug)]
pub struct Reaction {
    pub place: i64,
    pub id: i64,
    pub person: String,
    /// `like` in whatever letters.
    pub kind: String,
    /// `post`, `comment`, or a number that says which of both.
    pub on: String,
    pub object: i64,
    pub created_at: DateTime<Utc>,
}

/// Begins an import. Who has no account any more is shown as somebody who deleted it, and is a member of nothing.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    import::begin(pool, sql::STAGE).await
}

pub async fn stage_communities(load: &mut Load, communities: &[Community]) -> Result<()> {
    const COLUMNS: &[&str] = &[
        "place",
        "id",
        "title",
        "slug",
        "short_description",
        "description",
        "cover_image",
        "avatar",
        "name",
        "created_at",
    ];
    let mut copy = load.copy("import_communities", COLUMNS).await?;
    for community in communities {
        let row: [Value<'_>; 10] = [
            community.place.into(),
            community.id.into(),
            Value::Text(&community.name),
            Value::Text(&community.slug),
            Value::Text(&community.short_description),
            Value::Text(&community.description),
            community.cover_image.as_deref().into(),
            community.avatar.as_deref().into(),
            community.creator.as_deref().into(),
            community.created_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await?;
    let mut copy = load.copy("import_participants", &["place", "community", "name"]).await?;
    for (community, member) in communities.iter().flat_map(|one| one.members.iter().map(move |member| (one, member))) {
        copy.row(&[community.place.into(), community.id.into(), Value::Text(member)]).await?;
    }
    copy.finish().await.map(drop)
}

pub async fn stage_posts(load: &mut Load, posts: &[Post]) -> Result<()> {
    const COLUMNS: &[&str] = &[
        "place",
        "id",
        "name",
        "community",
        "title",
        "content",
        "media",
        "views",
        "relevance",
        "created_at",
        "updated_at",
    ];
    let mut copy = load.copy("import_posts", COLUMNS).await?;
    for post in posts {
        let row: [Value<'_>; 11] = [
            post.place.into(),
            post.id.into(),
            Value::Text(&post.author),
            post.community.into(),
            Value::Text(&post.title),
            Value::Text(&post.content),
            post.media.into(),
            post.views.into(),
            post.relevance.into(),
            post.created_at.into(),
            post.updated_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await.map(drop)
}

pub async fn stage_comments(load: &mut Load, comments: &[Comment]) -> Result<()> {
    const COLUMNS: &[&str] = &["place", "id", "name", "post", "parent", "content", "media", "created_at", "updated_at"];
    let mut copy = load.copy("import_comments", COLUMNS).await?;
    for comment in comments {
        let row: [Value<'_>; 9] = [
            comment.place.into(),
            comment.id.into(),
            Value::Text(&comment.author),
            comment.post.into(),
            comment.parent.into(),
            Value::Text(&comment.content),
            comment.media.into(),
            comment.created_at.into(),
            comment.updated_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await.map(drop)
}

pub async fn stage_reactions(load: &mut Load, reactions: &[Reaction]) -> Result<()> {
    const COLUMNS: &[&str] = &["place", "id", "name", "kind", "on_what", "object", "created_at"];
    let mut copy = load.copy("import_reactions", COLUMNS).await?;
    for reaction in reactions {
        let row: [Value<'_>; 7] = [
            reaction.place.into(),
            reaction.id.into(),
            Value::Text(&reaction.person),
            Value::Text(&reaction.kind),
            Value::Text(&reaction.on),
            reaction.object.into(),
            reaction.created_at.into(),
        ];
        copy.row(&row).await?;
    }
    copy.finish().await.map(drop)
}

/// Everything is staged: of what came twice the later counts, and the names that occur are gathered. `kinds` are numbers
/// that reactions may have for `post` and `comment`.
pub async fn staged(load: &mut Load, kinds: &[(String, String)]) -> Result<()> {
    let (numbers, words): (Vec<_>, Vec<_>) = kinds.iter().cloned().unzip();
    sqlx::query(
        "update import_reactions r set on_what = k.word
         from unnest($1::text[], $2::text[]) as k (number, word) where r.on_what = k.number",
    )
    .bind(numbers)
    .bind(words)
    .execute(load.connection())
    .await?;
    import::run(load, &[sql::GATHER]).await
}

/// Makes communities, posts, comments and reactions of what was staged, and counts anew what they count into. From here
/// on nobody else writes until the load ends, one way or the other.
pub async fn merge(load: &mut Load) -> Result<Outcome> {
    import::run(load, &[sql::COMMUNITIES, sql::POSTS, sql::PARENTS]).await?;
    import::run(load, &[sql::COMMENTS, sql::REACTIONS, sql::RECOUNT, sql::NOTES]).await?;
    import::outcome(load).await
}

/// Makes it true, with the next free ids behind everything that was imported.
pub async fn finish(mut load: Load) -> Result<()> {
    import::run(&mut load, &[sql::SEQUENCES]).await?;
    load.finish().await
}
