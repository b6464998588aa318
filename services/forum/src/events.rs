//! What this service listens to. People: memberships by role begin with `user.created` and follow `user.role_changed`
//! (`user.updated` tells nothing more about roles, and comes by another way, hence perhaps late); with `user.deleted`
//! end memberships, bans, notifications and interactions, while posts and comments stay. Files: `media.deleted` takes
//! them from posts, comments and communities, `media.updated` changes the path of a community's picture. What it publishes
//! stands where it happens.

use kit::inbox::{Consumer, Received};
use kit::wire::parse_id;
use proto::Event;
use proto::events::v1::{MediaDeleted, MediaUpdated, UserCreated, UserDeleted, UserRoleChanged};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::pictures::lock_pictured;
use crate::{Forum, memberships};

#[tonic::async_trait]
impl Consumer for Forum {
    fn topics(&self) -> &'static [&'static str] {
        &[UserCreated::TOPIC, MediaDeleted::TOPIC]
    }

    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> kit::Result<()> {
        let now = self.clock.now();
        if let Some(created) = event.parse::<UserCreated>()? {
            let id = parse_id("user_uuid", &created.user_uuid)?;
            memberships::settle(tx, id, created.user_id, created.role.as_deref(), now).await
        } else if let Some(changed) = event.parse::<UserRoleChanged>()? {
            let id = parse_id("user_uuid", &changed.user_uuid)?;
            memberships::settle(tx, id, changed.user_id, changed.new_role.as_deref(), now).await
        } else if let Some(deleted) = event.parse::<UserDeleted>()? {
            let id = parse_id("user_uuid", &deleted.user_uuid)?;
            memberships::note_gone(tx, id, now).await?;
            forget_person(tx, id).await
        } else if let Some(deleted) = event.parse::<MediaDeleted>()? {
            forget_file(tx, parse_id("media_uuid", &deleted.media_uuid)?).await
        } else if let Some(updated) = event.parse::<MediaUpdated>()? {
            self.renew_pictures(tx, parse_id("media_uuid", &updated.media_uuid)?).await
        } else {
            Ok(())
        }
    }
}

async fn forget_person(conn: &mut PgConnection, id: Uuid) -> kit::Result<()> {
    memberships::forget(conn, id).await?;
    sqlx::query!("delete from interactions where user_id = $1", id).execute(&mut *conn).await?;
    delete_notifications(conn, id).await
}

/// By id: who deletes a post is perhaps locking some of them at the same time.
async fn delete_notifications(conn: &mut PgConnection, recipient: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "delete from notifications where id in (
             select id from notifications where recipient_id = $1 order by id for update
         )",
        recipient
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn forget_file(conn: &mut PgConnection, id: Uuid) -> kit::Result<()> {
    lock_pictured(&mut *conn, id).await?;
    sqlx::query!("update communities set cover_image = null, cover_media_id = null where cover_media_id = $1", id)
        .execute(&mut *conn)
        .await?;
    sqlx::query!("update communities set avatar = null, avatar_media_id = null where avatar_media_id = $1", id)
        .execute(&mut *conn)
        .await?;
    lock_attached(&mut *conn, id).await?;
    sqlx::query!("update posts set media_id = null where media_id = $1", id).execute(&mut *conn).await?;
    sqlx::query!("update comments set media_id = null where media_id = $1", id).execute(conn).await?;
    Ok(())
}

/// Locks the posts that show the file, and those on which comments do: below a post that is locked, comments may be taken
/// in any order.
async fn lock_attached(conn: &mut PgConnection, media_id: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "select id from posts where id in (
             select id from posts where media_id = $1 union all select post_id from comments where media_id = $1
         ) order by id for no key update",
        media_id
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}
