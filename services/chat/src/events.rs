//! What this service listens to: who deletes their account leaves every group and is blocked by nobody any more, and what
//! they wrote stays in its place; a file that is gone is taken out of messages, which is a change like any other.

use kit::inbox::{Consumer, Received};
use kit::wire::parse_id;
use proto::Event;
use proto::events::v1::{MediaDeleted, UserDeleted};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Chat;
use crate::members::{lock_room, remove_members};
use crate::messages::sql::{drop_media, list_rooms_of_media};
use crate::moderation;
use crate::rooms::sql::{count_other_admins, delete_if_abandoned, promote_first};

#[tonic::async_trait]
impl Consumer for Chat {
    fn topics(&self) -> &'static [&'static str] {
        &[UserDeleted::TOPIC, MediaDeleted::TOPIC]
    }

    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> kit::Result<()> {
        if let Some(deleted) = event.parse::<UserDeleted>()? {
            self.forget_person(tx, parse_id("user_uuid", &deleted.user_uuid)?).await
        } else if let Some(deleted) = event.parse::<MediaDeleted>()? {
            forget_file(tx, parse_id("media_uuid", &deleted.media_uuid)?).await
        } else {
            Ok(())
        }
    }
}

impl Chat {
    /// Their sessions have ended with the account, which has closed their streams.
    async fn forget_person(&self, tx: &mut PgConnection, user: Uuid) -> kit::Result<()> {
        for room in list_groups(tx, user).await? {
            if lock_room(tx, room).await?.is_none() {
                continue;
            }
            remove_members(tx, room, &[user], self.now()).await?;
            if count_other_admins(tx, room, user).await? == 0 {
                promote_first(tx, room).await?;
            }
            delete_if_abandoned(tx, room).await?;
        }
        delete_blocks(tx, user).await?;
        moderation::forget(tx, user).await
    }
}

/// Readers find the change when their rooms are next compared with the database.
async fn forget_file(tx: &mut PgConnection, media: Uuid) -> kit::Result<()> {
    for room in list_rooms_of_media(&mut *tx, media).await? {
        if lock_room(tx, room).await?.is_some() {
            drop_media(tx, room, media).await?;
        }
    }
    Ok(())
}

async fn list_groups(tx: &mut PgConnection, user: Uuid) -> kit::Result<Vec<Uuid>> {
    let rooms = sqlx::query_scalar!(
        "select m.room_id from members m join rooms r on r.id = m.room_id
         where m.user_id = $1 and m.left_at is null and r.kind = 'GROUP'
         order by m.room_id",
        user
    );
    Ok(rooms.fetch_all(tx).await?)
}

async fn delete_blocks(tx: &mut PgConnection, user: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from blocks where blocker_id = $1 or blocked_id = $1", user).execute(&mut *tx).await?;
    sqlx::query!("delete from last_seen where user_id = $1", user).execute(tx).await?;
    Ok(())
}
