//! Publishes `media.created`, `media.updated` and `media.deleted`, keyed by the file's number, in the transaction that
//! makes them true. Consumes `user.deleted`: a person's files go with the person.

use kit::inbox::{Consumer, Received};
use kit::outbox;
use proto::events::v1::{MediaCreated, MediaDeleted, MediaUpdated, UserDeleted};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Media;
use crate::files::{FileRow, delete_files, lock_files_of_owner};
use crate::names;

pub(crate) async fn created(tx: &mut PgConnection, file: &FileRow) -> kit::Result<()> {
    let event = MediaCreated {
        media_id: file.number,
        media_uuid: file.id.to_string(),
        url: file.object_key.as_deref().map(names::path),
        name: file.name.clone(),
    };
    outbox::publish(tx, &file.number.to_string(), &event).await
}

pub(crate) async fn updated(tx: &mut PgConnection, file: &FileRow) -> kit::Result<()> {
    let event = MediaUpdated {
        media_id: file.number,
        media_uuid: file.id.to_string(),
        url: file.object_key.as_deref().map(names::path),
    };
    outbox::publish(tx, &file.number.to_string(), &event).await
}

pub(crate) async fn deleted(tx: &mut PgConnection, id: Uuid, number: i64, object_key: Option<&str>) -> kit::Result<()> {
    let event = MediaDeleted { media_id: number, media_uuid: id.to_string(), url: object_key.map(names::path) };
    outbox::publish(tx, &number.to_string(), &event).await
}

#[tonic::async_trait]
impl Consumer for Media {
    fn topics(&self) -> &'static [&'static str] {
        &["user.events"]
    }

    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> kit::Result<()> {
        let Some(UserDeleted { user_uuid, .. }) = event.parse()? else { return Ok(()) };
        let owner = user_uuid.parse().map_err(kit::error::internal)?;
        let files = lock_files_of_owner(tx, owner).await?;
        delete_files(tx, &files, self.clock.now()).await
    }
}
