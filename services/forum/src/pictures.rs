//! Pictures of communities: a URL that somebody wrote, or an image in `media` that was uploaded for it. A former upload
//! is written down in the transaction that replaced it and deleted afterwards, so none is forgotten and none goes before
//! the change is certain. Only who uploaded it for a community has it deleted by replacing it, and only if nothing here
//! shows it any more.
//!
//! A file's id is locked by whoever begins to show it and by whoever takes it from a community, so that one of two sees
//! what the other did. From the first attempt to delete it on it counts as gone: nobody begins to show it then.

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
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
        if !pictured(&mut *conn, media_id).await? {
            return Ok(());
        }
        let request = GetMediaRequest { key: Some(Key::Id(media_id.to_string())) };
        match self.media.clone().get_media(request).await {
            Ok(media) => {
                lock_pictured(&mut *conn, media_id).await?;
                update_paths(conn, media_id, media.into_inner().path.as_deref()).await
            }
            // The event of its end is on the way.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(status.into()),
        }
    }

    /// Deletes the former uploads that are due. What fails comes again, later each time.
    pub async fn delete_discarded(&self) -> kit::Result<()> {
        for media_id in list_due(&self.db, self.clock.now()).await? {
            let Some(by) = self.give_up(media_id).await? else { continue };
            match self.delete_upload(media_id, by).await {
                // The note stays for a round: somebody may have been told just before that the file is there.
                Ok(true) => {}
                Ok(false) => delete_discarded(&self.db, media_id).await?,
                Err(error) => tracing::warn!(media.id = %media_id, %error, "a former picture was not deleted"),
            }
        }
        Ok(())
    }

    /// Lets nobody begin to show a file that is due, and tells who discarded it; nothing when it is shown again, or
    /// another replica was faster.
    async fn give_up(&self, media_id: Uuid) -> kit::Result<Option<Uuid>> {
        let mut tx = begin(&self.db).await?;
        lock_files(&mut tx, &[media_id]).await?;
        let mut by = lease_discarded(&mut *tx, media_id, self.clock.now()).await?;
        if by.is_some() && shown(&mut *tx, media_id).await? {
            delete_discarded(&mut *tx, media_id).await?;
            by = None;
        }
        commit(tx).await?;
        Ok(by)
    }

    /// Deletes a file if `owner` uploaded it for a community; whether there was such a file. Others are not ours to
    /// delete: what else shows them is known elsewhere.
    async fn delete_upload(&self, media_id: Uuid, owner: Uuid) -> kit::Result<bool> {
        let mut media = self.media.clone();
        let id = media_id.to_string();
        let file = match media.get_media(GetMediaRequest { key: Some(Key::Id(id.clone())) }).await {
            Ok(file) => file.into_inner(),
            Err(status) if status.code() == Code::NotFound => return Ok(false),
            Err(status) => return Err(status.into()),
        };
        let uploaded = file.folder() == Folder::Communities && file.owner_id == owner.to_string();
        if uploaded {
            media.delete_media(DeleteMediaRequest { id }).await?;
        }
        Ok(uploaded)
    }
}

pub(crate) fn no_such_file(field: &'static str) -> kit::Error {
    invalid_because(field, "MEDIA_NOT_FOUND", "no such file of yours")
}

/// A picture of a community before and after a change, as far as it was and is an upload.
pub(crate) struct Exchange {
    /// As the request calls it.
    pub(crate) field: &'static str,
    pub(crate) former: Option<Uuid>,
    pub(crate) present: Option<Uuid>,
}

/// After pictures of a community changed: the former uploads are to be deleted, and the present ones are not, should
/// they have been former ones a moment ago.
pub(crate) async fn exchange_pictures(
    conn: &mut PgConnection,
    pictures: &[Exchange],
    by: Uuid,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    let files: Vec<Uuid> = pictures.iter().flat_map(|picture| [picture.former, picture.present]).flatten().collect();
    if files.is_empty() {
        return Ok(());
    }
    lock_files(conn, &files).await?;
    for picture in pictures {
        if let Some(present) = picture.present {
            take_back(&mut *conn, picture.field, present).await?;
        }
    }
    for former in pictures.iter().filter_map(|picture| picture.former) {
        // By another community, the other picture of this one, a post or a comment.
        if !shown(&mut *conn, former).await? {
            insert_discarded(&mut *conn, former, by, now).await?;
        }
    }
    Ok(())
}

/// After a post or comment began to show the file, if there is one.
pub(crate) async fn keep_attachment(conn: &mut PgConnection, media_id: Option<Uuid>) -> kit::Result<()> {
    let Some(media_id) = media_id else { return Ok(()) };
    lock_files(conn, &[media_id]).await?;
    take_back(conn, "media_id", media_id).await
}

/// A file that was to be deleted stays, unless that has begun.
async fn take_back(conn: &mut PgConnection, field: &'static str, media_id: Uuid) -> kit::Result<()> {
    if withdraw_discarded(conn, media_id).await? { Ok(()) } else { Err(no_such_file(field)) }
}

/// Until the transaction ends. By their ids, so that two who exchange the same ones do not wait for each other.
async fn lock_files(conn: &mut PgConnection, files: &[Uuid]) -> kit::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended(id::text, 1))
         from (select distinct id from unnest($1::uuid[]) as f (id) order by id) files",
        files
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a community shows the file.
async fn pictured(db: impl PgExecutor<'_>, media_id: Uuid) -> kit::Result<bool> {
    let pictured = sqlx::query_scalar!(
        r#"select exists (select from communities where cover_media_id = $1 or avatar_media_id = $1) as "pictured!""#,
        media_id
    );
    Ok(pictured.fetch_one(db).await?)
}

/// Whether anything here shows the file.
async fn shown(db: impl PgExecutor<'_>, media_id: Uuid) -> kit::Result<bool> {
    let shown = sqlx::query_scalar!(
        r#"select exists (select from communities where cover_media_id = $1 or avatar_media_id = $1)
               or exists (select from posts where media_id = $1)
               or exists (select from comments where media_id = $1) as "shown!""#,
        media_id
    );
    Ok(shown.fetch_one(db).await?)
}

/// Locks the communities that show the file, by id as everybody does.
pub(crate) async fn lock_pictured(conn: &mut PgConnection, media_id: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "select id from communities where cover_media_id = $1 or avatar_media_id = $1 order by id for no key update",
        media_id
    )
    .fetch_all(conn)
    .await?;
    Ok(())
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

async fn insert_discarded(db: impl PgExecutor<'_>, media_id: Uuid, by: Uuid, now: DateTime<Utc>) -> kit::Result<()> {
    sqlx::query!(
        "insert into discarded_media (media_id, discarded_by, due_at) values ($1, $2, $3)
         on conflict (media_id) do nothing",
        media_id,
        by,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the file is to stay now; not when somebody has tried to delete it.
async fn withdraw_discarded(db: impl PgExecutor<'_>, media_id: Uuid) -> kit::Result<bool> {
    let stays = sqlx::query_scalar!(
        r#"with withdrawn as (delete from discarded_media where media_id = $1 and attempts = 0)
           select not exists (select from discarded_media where media_id = $1 and attempts > 0) as "stays!""#,
        media_id
    );
    Ok(stays.fetch_one(db).await?)
}

async fn list_due(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> kit::Result<Vec<Uuid>> {
    let due =
        sqlx::query_scalar!("select media_id from discarded_media where due_at <= $1 order by due_at limit 50", now);
    Ok(due.fetch_all(db).await?)
}

/// Who discarded it, if it is due. A lease instead of a lock, because no transaction should stay open while a peer is
/// asked: whoever dies meanwhile leaves the row to a later round.
async fn lease_discarded(db: impl PgExecutor<'_>, media_id: Uuid, now: DateTime<Utc>) -> kit::Result<Option<Uuid>> {
    let by = sqlx::query_scalar!(
        "update discarded_media
         set attempts = attempts + 1, due_at = $2 + least(attempts + 1, 60) * interval '1 minute'
         where media_id = $1 and due_at <= $2
         returning discarded_by",
        media_id,
        now
    );
    Ok(by.fetch_optional(db).await?)
}

async fn delete_discarded(db: impl PgExecutor<'_>, media_id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from discarded_media where media_id = $1", media_id).execute(db).await?;
    Ok(())
}
