//! Pictures of ads are files in `media`. Before an ad refers to one, `media` is asked to make it the publisher's, which
//! answers whether it exists and whether it may.

use kit::error::{Error, invalid_because};
use kit::wire::parse_id;
use proto::media::v1::{BatchGetMediaRequest, ClaimMediaRequest, Folder, Kind};
use tonic::Code;
use uuid::Uuid;

use crate::Marketplace;

/// The pictures that a request names: of the main one, and of the others if it names them.
pub(crate) struct Pictures {
    pub(crate) main: Option<Uuid>,
    pub(crate) secondary: Option<Vec<Uuid>>,
}

impl Marketplace {
    /// Makes the pictures the publisher's, all or none, in one call.
    pub(crate) async fn claim(
        &self,
        publisher: Uuid,
        main: Option<String>,
        secondary: Option<Vec<String>>,
    ) -> kit::Result<Pictures> {
        let ids: Vec<String> = main.iter().chain(secondary.iter().flatten()).cloned().collect();
        let claimed = match ids.is_empty() {
            true => Vec::new(),
            false => {
                let request = ClaimMediaRequest { ids, owner_id: publisher.to_string(), numbers: Vec::new() };
                match self.media.clone().claim_media(request).await {
                    Ok(answer) => answer.into_inner().media,
                    Err(status) if status.code() == Code::PermissionDenied => {
                        return Err(self.not_theirs(publisher, main, secondary.unwrap_or_default()).await);
                    }
                    Err(status) => return Err(status.into()),
                }
            }
        };
        let picture = |field: &'static str, at: &str, id: &str| {
            let id = parse_id(field, id)?;
            let refuse = |reason, message| Err(invalid_because(format!("{field}{at}"), reason, message));
            match claimed.iter().find(|file| file.id == id.to_string()) {
                None => refuse("MEDIA_UNKNOWN", "no such file"),
                // A document, which nobody else would see.
                Some(file) if file.folder() == Folder::Verification => refuse("MEDIA_UNKNOWN", "this file is private"),
                Some(file) if file.kind() != Kind::Image => refuse("NOT_AN_IMAGE", "this file is not an image"),
                Some(_) => Ok(id),
            }
        };
        let main = main.map(|id| picture("main_image_id", "", &id)).transpose()?;
        let others = |ids: Vec<String>| {
            let others = ids.iter().enumerate();
            others.map(|(at, id)| picture("secondary_image_ids", &format!("[{at}]"), id)).collect()
        };
        Ok(Pictures { main, secondary: secondary.map(others).transpose()? })
    }

    /// What is wrong when one of the files is somebody else's: the main image, or else the first of the others.
    async fn not_theirs(&self, publisher: Uuid, main: Option<String>, secondary: Vec<String>) -> Error {
        let ids = main.iter().chain(&secondary).cloned().collect();
        let request = BatchGetMediaRequest { ids, ..Default::default() };
        let files = match self.media.clone().batch_get_media(request).await {
            Ok(answer) => answer.into_inner().media,
            Err(status) => return status.into(),
        };
        let owners = ["", &publisher.to_string()];
        // What is not even to be seen is not in the answer.
        let theirs = |id: &String| files.iter().any(|file| file.id == *id && owners.contains(&&*file.owner_id));
        let field = match main {
            Some(id) if !theirs(&id) => "main_image_id".to_owned(),
            _ => match secondary.iter().position(|id| !theirs(id)) {
                Some(at) => format!("secondary_image_ids[{at}]"),
                None => "secondary_image_ids".to_owned(),
            },
        };
        invalid_because(field, "MEDIA_UNKNOWN", "this file is somebody else's")
    }
}
