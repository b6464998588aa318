//! Names and files that frames show. A frame must not cost a call each, so they are remembered for a minute, and a
//! service that is away or slow is not waited for: the frame is told without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use proto::media::v1::{BatchGetMediaRequest, Media};
use proto::users::v1::BatchGetUsersRequest;

use crate::Edge;
use crate::auth::unsigned;

/// How long what was found is good, and how long nothing is asked again where nobody answered.
const FRESH: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(5));
const PATIENCE: Duration = Duration::from_millis(500);
/// Each; about 200 bytes.
const REMEMBERED: u64 = 20_000;

/// What is remembered.
pub struct Faces {
    names: Cache<String, Known<str>>,
    files: Cache<String, Known<Media>>,
}

struct Known<T: ?Sized> {
    value: Option<Arc<T>>,
    until: Instant,
}

impl<T: ?Sized> Clone for Known<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), until: self.until }
    }
}

impl Default for Faces {
    fn default() -> Self {
        Self { names: cache(), files: cache() }
    }
}

fn cache<T: ?Sized + Send + Sync + 'static>() -> Cache<String, Known<T>> {
    Cache::builder().max_capacity(REMEMBERED).time_to_live(FRESH.0).build()
}

impl Edge {
    /// First name of the person with this id.
    pub async fn name_of(&self, id: &str) -> Option<Arc<str>> {
        let ask = async {
            let request = BatchGetUsersRequest { ids: vec![id.to_owned()], numbers: Vec::new() };
            let users = unsigned(self.users().batch_get_users(request)).await.ok()?.into_inner().users;
            Some(users.into_iter().next().map(|user| user.first_name.into()))
        };
        remembered(&self.faces.names, id, ask).await
    }

    /// The file with this id, if it is one that everybody may see.
    pub async fn file_of(&self, id: &str) -> Option<Arc<Media>> {
        let ask = async {
            let request = BatchGetMediaRequest { ids: vec![id.to_owned()], numbers: Vec::new() };
            let media = unsigned(self.media().batch_get_media(request)).await.ok()?.into_inner().media;
            Some(media.into_iter().next().map(Arc::new))
        };
        remembered(&self.faces.files, id, ask).await
    }
}

/// What is known, or what `ask` finds out; `None` from it is no answer, and `Some(None)` is that there is none.
async fn remembered<T: ?Sized>(
    cache: &Cache<String, Known<T>>,
    id: &str,
    ask: impl Future<Output = Option<Option<Arc<T>>>>,
) -> Option<Arc<T>>
where
    T: Send + Sync + 'static,
{
    if id.is_empty() {
        return None;
    }
    if let Some(known) = cache.get(id).await
        && known.until > Instant::now()
    {
        return known.value;
    }
    let answer = tokio::time::timeout(PATIENCE, ask).await.ok().flatten();
    let fresh = if answer.is_some() { FRESH.0 } else { FRESH.1 };
    let value = answer.flatten();
    cache.insert(id.to_owned(), Known { value: value.clone(), until: Instant::now() + fresh }).await;
    value
}
