//! Pictures of people are files in `media`, shown under the path that `media` gave them last. A former picture is
//! written down in the transaction that replaced it and deleted afterwards, so none is forgotten and none goes before
//! the change is certain.

use chrono::{DateTime, Utc};
use kit::error::{invalid_because, not_found};
use kit::wire::parse_id;
use proto::media::v1::get_media_request::Key;
use proto::media::v1::{AssignMediaRequest, DeleteMediaRequest, GetMediaRequest, Kind, Media};
use sqlx::{PgConnection, PgExecutor};
use tonic::Code;
use uuid::Uuid;

use crate::Users;
use crate::events::publish_changes;
use crate::people::{lock_wearers, update_avatar};

/// A file that may be shown as somebody's picture.
pub(crate) struct Avatar {
    pub(crate) media_id: Uuid,
    pub(crate) path: String,
}

impl Users {
    /// A picture that `owner` owns already; for others it does not exist. No id means no picture.
    pub(crate) async fn own_picture(&self, owner: Uuid, media_id: &str) -> kit::Result<Option<Avatar>> {
        if media_id.is_empty() {
            return Ok(None);
        }
        let request = GetMediaRequest { key: Some(Key::Id(media_id.to_owned())) };
        let media = self.media.clone().get_media(request).await?.into_inner();
        if media.owner_id != owner.to_string() {
            return Err(not_found("MEDIA_NOT_FOUND", "no such file of yours"));
        }
        picture(media).map(Some)
    }

    /// A picture that came with a registration or an update; one that nobody owns yet becomes the owner's. No id means
    /// no picture.
    pub(crate) async fn assigned_picture(&self, owner: Uuid, media_id: &str) -> kit::Result<Option<Avatar>> {
        if media_id.is_empty() {
            return Ok(None);
        }
        let id = parse_id("profile.avatar_media_id", media_id)?.to_string();
        let request = AssignMediaRequest { id, owner_id: owner.to_string() };
        picture(self.media.clone().assign_media(request).await?.into_inner()).map(Some)
    }

    /// Shows people's picture under the path that it has since its file was replaced; under the former one there is
    /// nothing any more. `media` is asked for it: an event that comes late would bring back a former path.
    pub(crate) async fn renew_avatars(&self, tx: &mut PgConnection, media_id: Uuid) -> kit::Result<()> {
        if !worn(&mut *tx, media_id).await? {
            return Ok(());
        }
        let request = GetMediaRequest { key: Some(Key::Id(media_id.to_string())) };
        let path = match self.media.clone().get_media(request).await {
            Ok(media) => media.into_inner().path,
            // The event of its end is on the way.
            Err(status) if status.code() == Code::NotFound => return Ok(()),
            Err(status) => return Err(status.into()),
        };
        let avatar = path.map(|path| Avatar { media_id, path });
        for before in lock_wearers(tx, media_id).await? {
            if before.avatar_path != avatar.as_ref().map(|avatar| avatar.path.clone()) {
                let after = update_avatar(tx, before.id, avatar.as_ref(), self.clock.now()).await?;
                publish_changes(tx, &before, &after).await?;
            }
        }
        Ok(())
    }

    /// Deletes the former pictures that are due. What fails comes again, later each time.
    pub async fn delete_discarded(&self) -> kit::Result<()> {
        for media_id in lease_discarded(&self.db, self.clock.now()).await? {
            let request = DeleteMediaRequest { id: media_id.to_string() };
            match self.media.clone().delete_media(request).await {
                Err(status) if status.code() != Code::NotFound => {
                    tracing::warn!(media.id = %media_id, error = %status, "a former picture was not deleted");
                }
                _ => delete_discarded(&self.db, media_id).await?,
            }
        }
        Ok(())
    }
}

fn picture(media: Media) -> kit::Result<Avatar> {
    // Opaque bytes exist only where an installation checks no signatures: there, whatever was uploaded is a picture.
    let image = matches!(media.kind(), Kind::Image | Kind::Opaque);
    match media.path.filter(|_| image) {
        Some(path) => Ok(Avatar { media_id: parse_id("media_id", &media.id)?, path }),
        None => Err(invalid_because("media_id", "NOT_AN_IMAGE", "this file is not an image")),
    }
}

/// After a change of picture: the former file is to be deleted, and the present one is not, should it have been a
/// former one a moment ago. (If `media` is deleting it at this moment, its event will take it away again.)
pub(crate) async fn exchange_avatar(
    conn: &mut PgConnection,
    former: Option<Uuid>,
    present: Option<Uuid>,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    if let Some(media_id) = former
        && former != present
    {
        insert_discarded(&mut *conn, media_id, now).await?;
    }
    if let Some(media_id) = present {
        delete_discarded(conn, media_id).await?;
    }
    Ok(())
}

/// Whether the file is somebody's picture.
async fn worn(db: impl PgExecutor<'_>, media_id: Uuid) -> kit::Result<bool> {
    let worn =
        sqlx::query_scalar!(r#"select exists (select from people where avatar_media_id = $1) as "worn!""#, media_id);
    Ok(worn.fetch_one(db).await?)
}

async fn insert_discarded(db: impl PgExecutor<'_>, media_id: Uuid, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "insert into discarded_media (media_id, due_at) values ($1, $2) on conflict (media_id) do nothing",
        media_id,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A lease instead of a lock, because no transaction should stay open while a peer is asked: whoever dies meanwhile
/// leaves the row to the next round.
async fn lease_discarded(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> kit::Result<Vec<Uuid>> {
    let leased = sqlx::query_scalar!(
        "update discarded_media
         set attempts = attempts + 1, due_at = $1 + least(attempts + 1, 60) * interval '1 minute'
         where media_id in (
             select media_id from discarded_media where due_at <= $1 order by due_at limit 50 for update skip locked
         )
         returning media_id",
        now
    )
    .fetch_all(db)
    .await?;
    Ok(leased)
}

async fn delete_discarded(db: impl PgExecutor<'_>, media_id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from discarded_media where media_id = $1", media_id).execute(db).await?;
    Ok(())
}
