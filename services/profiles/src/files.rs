//! Files in `media` that a profile refers to: there, of the profile's owner, in a gallery images that everybody sees, and
//! for documents where only the owner and administrators can read them. `media` keeps both so, whatever the owner does
//! later. A file that is deleted meanwhile leaves by its event.

use std::collections::HashMap;

use kit::error::invalid_because;
use kit::wire::parse_id;
use proto::media::v1::{BatchGetMediaRequest, Folder, Kind, Media};
use uuid::Uuid;

use crate::Profiles;
use crate::input::Change;

impl Profiles {
    /// Refuses a change that brings in what is not its owner's, or not fit for its place.
    pub(crate) async fn check_files(&self, owner: Uuid, change: &Change) -> kit::Result<()> {
        let gallery = change.gallery.iter().flatten().copied();
        let documents: Vec<_> = change.documents.files().collect();
        let known = self.known_files(gallery.chain(documents.iter().map(|(_, id)| *id)).collect()).await?;
        self.check_gallery(owner, change.kind.gallery_field(), change.gallery.as_deref().unwrap_or_default(), &known)?;
        for (field, id) in documents {
            if own(&known, owner, field, id)?.folder() != Folder::Verification {
                return Err(invalid_because(field, "NOT_PRIVATE", "anybody could read this document"));
            }
        }
        Ok(())
    }

    /// Refuses additions to a gallery that are not its owner's, or no pictures.
    pub(crate) async fn check_additions(&self, owner: Uuid, ids: &[Uuid]) -> kit::Result<()> {
        let known = self.known_files(ids.to_vec()).await?;
        self.check_gallery(owner, "media_ids", ids, &known)
    }

    fn check_gallery(
        &self,
        owner: Uuid,
        field: &'static str,
        ids: &[Uuid],
        known: &HashMap<Uuid, Media>,
    ) -> kit::Result<()> {
        ids.iter().try_for_each(|id| {
            let file = own(known, owner, field, *id)?;
            if file.folder() == Folder::Verification {
                return Err(invalid_because(field, "MEDIA_PRIVATE", "nobody else could see this file"));
            }
            if file.kind() != Kind::Image {
                return Err(invalid_because(field, "NOT_AN_IMAGE", "this file is not an image"));
            }
            Ok(())
        })
    }

    /// What the caller may see of these.
    async fn known_files(&self, ids: Vec<Uuid>) -> kit::Result<HashMap<Uuid, Media>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = ids.iter().map(Uuid::to_string).collect();
        let request = BatchGetMediaRequest { ids, ..Default::default() };
        let media = self.media.clone().batch_get_media(request).await?.into_inner().media;
        media.into_iter().map(|file| Ok((parse_id("media_id", &file.id)?, file))).collect()
    }
}

fn own<'m>(known: &'m HashMap<Uuid, Media>, owner: Uuid, field: &'static str, id: Uuid) -> kit::Result<&'m Media> {
    let theirs = known.get(&id).filter(|file| file.owner_id == owner.to_string());
    theirs.ok_or_else(|| invalid_because(field, "MEDIA_UNKNOWN", format!("no file {id} of the profile's owner")))
}
