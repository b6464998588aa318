//! Files of posts and comments stay in `media`; here stand their ids. What somebody attaches must be theirs, or nobody's
//! yet, and then becomes theirs.

use kit::wire::parse_id;
use proto::media::v1::ClaimMediaRequest;
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
            Ok(claimed) if claimed.get_ref().media.is_empty() => Err(no_such_file("media_id")),
            Ok(_) => Ok(Some(id)),
            Err(status) if status.code() == Code::PermissionDenied => Err(no_such_file("media_id")),
            Err(status) => Err(status.into()),
        }
    }
}
