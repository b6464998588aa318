//! Files of posts and comments stay in `media`; here stand their ids. What somebody attaches must be theirs, or nobody's
//! yet, and then becomes theirs.

use kit::identity::Caller;
use kit::wire::parse_id;
use proto::media::v1::get_media_request::Key;
use proto::media::v1::{ClaimMediaRequest, GetMediaRequest};
use tonic::Code;
use uuid::Uuid;

use crate::Forum;
use crate::pictures::no_such_file;

impl Forum {
    /// The file that the caller attaches; no id means none. Somebody else's does not exist.
    pub(crate) async fn attachment(&self, caller: Caller, media_id: &str) -> kit::Result<Option<Uuid>> {
        if media_id.is_empty() {
            return Ok(None);
        }
        let id = parse_id("media_id", media_id)?;
        let mut media = self.media.clone();
        let file = match media.get_media(GetMediaRequest { key: Some(Key::Id(id.to_string())) }).await {
            Ok(file) => file.into_inner(),
            Err(status) if status.code() == Code::NotFound => return Err(no_such_file("media_id")),
            Err(status) => return Err(status.into()),
        };
        if file.owner_id.is_empty() {
            match media.claim_media(ClaimMediaRequest { ids: vec![file.id], ..Default::default() }).await {
                Ok(_) => Ok(Some(id)),
                // Somebody else was faster.
                Err(status) if status.code() == Code::PermissionDenied => Err(no_such_file("media_id")),
                Err(status) => Err(status.into()),
            }
        } else if file.owner_id == caller.id.to_string() {
            Ok(Some(id))
        } else {
            Err(no_such_file("media_id"))
        }
    }
}
