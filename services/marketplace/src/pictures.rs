//! Pictures of ads are files in `media`. Before an ad refers to one, `media` is asked to make it the publisher's, which
//! answers whether it exists and whether it may.

use kit::error::{Error, invalid_because};
use kit::wire::parse_id;
use proto::media::v1::get_media_request::Key;
use proto::media::v1::{ClaimMediaRequest, GetMediaRequest, Kind};
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
                        return Err(self.not_theirs(publisher, main).await);
                    }
                    Err(status) => return Err(status.into()),
                }
            }
        };
        let picture = |field: &'static str, id: &str| {
            let id = parse_id(field, id)?;
            let file = claimed.iter().find(|file| file.id == id.to_string());
            match file.map(|file| file.kind()) {
                Some(Kind::Image) => Ok(id),
                Some(_) => Err(invalid_because(field, "NOT_AN_IMAGE", "this file is not an image")),
                None => Err(invalid_because(field, "MEDIA_UNKNOWN", "no such file")),
            }
        };
        let main = main.map(|id| picture("main_image_id", &id)).transpose()?;
        let others = |ids: Vec<String>| ids.iter().map(|id| picture("secondary_image_ids", id)).collect();
        Ok(Pictures { main, secondary: secondary.map(others).transpose()? })
    }

    /// What is wrong when one of the files is somebody else's: the main image, or else one of the others.
    async fn not_theirs(&self, publisher: Uuid, main: Option<String>) -> Error {
        let of_main = match main {
            None => false,
            Some(id) => match self.media.clone().get_media(GetMediaRequest { key: Some(Key::Id(id)) }).await {
                Ok(file) => !["", &publisher.to_string()].contains(&file.get_ref().owner_id.as_str()),
                // Not even to be seen.
                Err(_) => true,
            },
        };
        let field = if of_main { "main_image_id" } else { "secondary_image_ids" };
        invalid_because(field, "MEDIA_UNKNOWN", "this file is somebody else's")
    }
}
