//! What somebody's comments and reactions on an author's posts add up to, kept with each comment and reaction, so that
//! `relevant` need not read their history. Interactions with one's own posts count like others.

use kit::Result;
use sqlx::PgExecutor;
use uuid::Uuid;

/// After `user` commented on a post by `author` (1), or a comment is gone (-1).
pub(crate) async fn add_comments(db: impl PgExecutor<'_>, user: Uuid, author: Uuid, more: i64) -> Result<()> {
    add(db, user, author, more, 0).await
}

/// After `user` reacted for the first time to a post by `author` (1), or took the reaction back (-1).
pub(crate) async fn add_reactions(db: impl PgExecutor<'_>, user: Uuid, author: Uuid, more: i64) -> Result<()> {
    add(db, user, author, 0, more).await
}

async fn add(db: impl PgExecutor<'_>, user: Uuid, author: Uuid, comments: i64, reactions: i64) -> Result<()> {
    // Clamped, because the account of `user` may have been deleted in between, and its interactions with it.
    sqlx::query!(
        "insert into interactions as i (user_id, author_id, comments, reactions)
         values ($1, $2, greatest($3::bigint, 0), greatest($4::bigint, 0))
         on conflict (user_id, author_id) do update set
             comments = greatest(i.comments + $3, 0), reactions = greatest(i.reactions + $4, 0)",
        user,
        author,
        comments,
        reactions
    )
    .execute(db)
    .await?;
    Ok(())
}
