//! Pictures of communities: a URL that somebody wrote, or an image in `media` that was uploaded for it. A former upload
//! is written down in the transaction that replaced it and deleted afterwards, so none is forgotten and none goes before
//! the change is certain.

use chrono::{DateTime, Utc};
use kit::error::invalid_because;
use kit::identity::Caller;
use kit::wire::parse_id;
use proto::forum::v1::picture::From;
use proto::media::v1::get_media_request::Key;
use proto::media::v1::{DeleteMediaRequest, Folder, GetMediaRequest, Kind};
use sqlx::{PgConnection, PgExecutor};
use tonic::Code;
use uuid::Uuid;

use crate::Forum;
use crate::files::private;

/// What a community is to show; nothing when both are absent.
#[derive(Default)]
pub(crate) struct Picture {
    pub(crate) url: Option<String>,
    pub(crate) media_id: Option<Uuid>,
}

impl Forum {
    /// The picture that a request asks for, if it is about it. A file must be an image of the caller's.
    pub(crate) async fn picture(
        &self,
        field: &'static str,
        caller: Caller,
        asked: Option<&proto::forum::v1::Picture>,
    ) -> kit::Result<Option<Picture>> {
        let Some(asked) = asked else { return Ok(None) };
        match &asked.from {
            None => Ok(Some(Picture::default())),
            Some(From::Url(url)) => {
                Ok(Some(Picture { url: Some(url.clone()).filter(|url| !url.is_empty()), media_id: None }))
            }
            Some(From::MediaId(id)) => {
                let request = GetMediaRequest { key: Some(Key::Id(id.clone())) };
                let media = match self.media.clone().get_media(request).await {
                    Ok(media) => media.into_inner(),
                    Err(status) if status.code() == Code::NotFound => return Err(no_such_file(field)),
                    Err(status) => return Err(status.into()),
                };
                if media.owner_id != caller.id.to_string() {
                    return Err(no_such_file(field));
                }
                if media.folder() == Folder::Verification {
                    return Err(private(field));
                }
                let image = media.kind() == Kind::Image;
                let Some(path) = media.path.filter(|_| image) else {
                    return Err(invalid_because(field, "NOT_AN_IMAGE", "this file is not an image"));
                };
                Ok(Some(Picture { url: Some(path), media_id: Some(parse_id(field, &media.id)?) }))
            }
        }
    }

    /// Gives communities the path that their picture has since its file was replaced; under the former one there is
    /// nothing any more. `media` is asked for it: an event that comes late would bring back a former path.
    pub(crate) async fn renew_pictures(&self, conn: &mut PgConnection, media_id: Uuid) -> kit::Result<()> {
        if !shown(&mut *conn, media_id).await? {
            return Ok(());
        }
        let request = GetMediaRequest { key: Some(Key::Id(media_id.to_string())) };
        match self.media.clone().get_media(request).await {
            Ok(media) => update_paths(conn, media_id, media.into_inner().path.as_deref()).await,
            // The event of its end is on the way.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(status.into()),
        }
    }

    /// Deletes the former uploads that are due. What fails comes again, later each time.
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

pub(crate) fn no_such_file(field: &'static str) -> kit::Error {
    invalid_because(field, "MEDIA_NOT_FOUND", "no such file of yours")
}

/// After a change of picture: the former upload is to be deleted, and the present one is not, should it have been a
/// former one a moment ago.
pub(crate) async fn exchange_picture(
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

/// Whether a community shows the file.
async fn shown(db: impl PgExecutor<'_>, media_id: Uuid) -> kit::Result<bool> {
    let shown = sqlx::query_scalar!(
        r#"select exists (select from communities where cover_media_id = $1 or avatar_media_id = $1) as "shown!""#,
        media_id
    );
    Ok(shown.fetch_one(db).await?)
}

async fn update_paths(conn: &mut PgConnection, media_id: Uuid, path: Option<&str>) -> kit::Result<()> {
    sqlx::query!(
        "update communities
         set cover_image = case when cover_media_id = $1 then $2 else cover_image end,
             avatar = case when avatar_media_id = $1 then $2 else avatar end
         where cover_media_id = $1 or avatar_media_id = $1",
        media_id,
        path
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Unless another community, or the other picture of the same one, still shows the file.
async fn insert_discarded(db: impl PgExecutor<'_>, media_id: Uuid, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "insert into discarded_media (media_id, due_at)
         select $1, $2
         where not exists (select from communities where cover_media_id = $1)
             and not exists (select from communities where avatar_media_id = $1)
         on conflict (media_id) do nothing",
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
