//! Files of posts and comments stay in `media`; here stand their ids. What somebody attaches must be theirs, or nobody's
//! yet, and then becomes theirs; and others must be able to see it, which they are not in the folder of documents.

use kit::error::invalid_because;
use kit::wire::parse_id;
use proto::media::v1::{ClaimMediaRequest, Folder};
use tonic::Code;
use uuid::Uuid;

use crate::Forum;
use crate::pictures::no_such_file;

impl Forum {
    /// The file that the caller attaches; no id means none. Somebody else's does not exist.
    pub(crate) async fn attachment(&self, media_id: &str) -> kit::Result<Option<Uuid>> {
        if media_id.is_empty() {
            return Ok(None);
        }
        let id = parse_id("media_id", media_id)?;
        let request = ClaimMediaRequest { ids: vec![id.to_string()], ..Default::default() };
        match self.media.clone().claim_media(request).await {
            Ok(claimed) => match claimed.get_ref().media.first() {
                None => Err(no_such_file("media_id")),
                Some(file) if file.folder() == Folder::Verification => Err(private("media_id")),
                Some(_) => Ok(Some(id)),
            },
            Err(status) if status.code() == Code::PermissionDenied => Err(no_such_file("media_id")),
            Err(status) => Err(status.into()),
        }
    }
}

/// Only its owner and administrators see what is in the folder of documents.
pub(crate) fn private(field: &'static str) -> kit::Error {
    invalid_because(field, "MEDIA_PRIVATE", "nobody else could see this file")
}
