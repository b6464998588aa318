//! Communities, posts, comments and reactions of another forum, brought in as they were, ids included. The caller stages
//! what it reads, says who the people and files are, and then merges; all of one import is one transaction, so whoever is
//! killed in between leaves nothing, and doing it again is doing it once. Nobody is notified: it is history.
//!
//! What is staged lies in temporary tables, which no query can be checked against while it compiles.

mod sql;

use chrono::{DateTime, Utc};
use kit::Result;
use kit::bulk::{Load, Value};
use sqlx::PgPool;
use uuid::Uuid;

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
    /// As the import names people; see [`Somebody`].
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

/// Who is meant by a name in the import.
#[derive(Clone, Debug)]
pub struct Somebody {
    pub name: String,
    pub number: i64,
    /// Absent when nobody here has this number; they are given an id of their own.
    pub id: Option<Uuid>,
    /// Whether the account exists. Who has none is shown as somebody who deleted it, and is a member of nothing.
    pub here: bool,
}

/// What became of the import.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What, what became of it (`imported`, `there`, `conflict`, or why it was left out), and how many.
    pub counts: Vec<(String, String, i64)>,
    /// The first of them.
    pub conflicts: Vec<String>,
    /// What came out otherwise than it was, and how often.
    pub notes: Vec<(String, i64)>,
}

/// Begins an import.
pub async fn begin(pool: &PgPool) -> Result<Load> {
    let mut load = Load::begin(pool, &[]).await?;
    // What others wrote here is none of our facts, so constraints and triggers stay on guard.
    sqlx::raw_sql("set local session_replication_role = origin; set local work_mem = '256MB'")
        .execute(load.connection())
        .await?;
    sqlx::raw_sql(sql::STAGE).execute(load.connection()).await?;
    Ok(load)
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
    sqlx::raw_sql(sql::GATHER).execute(load.connection()).await?;
    Ok(())
}

/// The next names of people behind one, in some order.
pub async fn people(load: &mut Load, after: &str, limit: i64) -> Result<Vec<String>> {
    let names =
        sqlx::query_scalar(r#"select name from import_people where name > $1 collate "C" order by name limit $2"#);
    Ok(names.bind(after).bind(limit).fetch_all(load.connection()).await?)
}

/// Says who these are; of whom nothing is said, nobody knows the number.
pub async fn identify(load: &mut Load, people: &[Somebody]) -> Result<()> {
    let names: Vec<_> = people.iter().map(|person| person.name.as_str()).collect();
    let numbers: Vec<_> = people.iter().map(|person| person.number).collect();
    let ids: Vec<_> = people.iter().map(|person| person.id).collect();
    let here: Vec<_> = people.iter().map(|person| person.here).collect();
    sqlx::query(
        "update import_people p set number = s.number, id = coalesce(s.id, pg_temp.import_id('03', s.number)), here = s.here
         from unnest($1::text[], $2::bigint[], $3::uuid[], $4::bool[]) as s (name, number, id, here) where p.name = s.name",
    )
    .bind(names)
    .bind(numbers)
    .bind(ids)
    .bind(here)
    .execute(load.connection())
    .await?;
    Ok(())
}

/// The next numbers of files behind one.
pub async fn files(load: &mut Load, after: i64, limit: i64) -> Result<Vec<i64>> {
    let numbers = sqlx::query_scalar("select number from import_files where number > $1 order by number limit $2");
    Ok(numbers.bind(after).bind(limit).fetch_all(load.connection()).await?)
}

/// Says which files there are, by number; the others are missing.
pub async fn attach(load: &mut Load, files: &[(i64, Uuid)]) -> Result<()> {
    let (numbers, ids): (Vec<_>, Vec<_>) = files.iter().copied().unzip();
    sqlx::query(
        "update import_files f set id = s.id from unnest($1::bigint[], $2::uuid[]) as s (number, id)
         where f.number = s.number",
    )
    .bind(numbers)
    .bind(ids)
    .execute(load.connection())
    .await?;
    Ok(())
}

/// Makes communities, posts, comments and reactions of what was staged, and counts anew what they count into. From here
/// on nobody else writes until the load ends, one way or the other.
pub async fn merge(load: &mut Load) -> Result<Outcome> {
    for statements in [sql::COMMUNITIES, sql::POSTS, sql::PARENTS] {
        sqlx::raw_sql(statements).execute(load.connection()).await?;
    }
    for statements in [sql::COMMENTS, sql::REACTIONS, sql::RECOUNT] {
        sqlx::raw_sql(statements).execute(load.connection()).await?;
    }
    let counts = sqlx::query_as(sql::COUNTS).fetch_all(load.connection()).await?;
    let conflicts = sqlx::query_scalar("select what from import_conflicts order by position limit 20");
    let conflicts = conflicts.fetch_all(load.connection()).await?;
    let notes = sqlx::query_as(sql::NOTES).fetch_all(load.connection()).await?;
    Ok(Outcome { counts, conflicts, notes })
}

/// Makes it true, with the next free ids behind everything that was imported.
pub async fn finish(mut load: Load) -> Result<()> {
    sqlx::raw_sql(sql::SEQUENCES).execute(load.connection()).await?;
    load.finish().await
}
