//! Names and files that frames show. A frame must not cost a call each, so they are remembered for a minute, and a
//! service that is away or slow is not waited for: the frame is told without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
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
        if let Some(known) = recall(&self.faces.names, id) {
            return known;
        }
        // Boxed, because a call's future is large, and each socket would reserve room for it.
        let ask = Box::pin(async {
            let request = BatchGetUsersRequest { ids: vec![id.to_owned()], numbers: Vec::new() };
            let users = unsigned(self.users().batch_get_users(request)).await.ok()?.into_inner().users;
            Some(users.into_iter().next().map(|user| user.first_name.into()))
        });
        keep(&self.faces.names, id, tokio::time::timeout(PATIENCE, ask).await.ok().flatten())
    }

    /// The file with this id, if it is one that everybody may see.
    pub async fn file_of(&self, id: &str) -> Option<Arc<Media>> {
        if let Some(known) = recall(&self.faces.files, id) {
            return known;
        }
        let ask = Box::pin(async {
            let request = BatchGetMediaRequest { ids: vec![id.to_owned()], numbers: Vec::new() };
            let media = unsigned(self.media().batch_get_media(request)).await.ok()?.into_inner().media;
            Some(media.into_iter().next().map(Arc::new))
        });
        keep(&self.faces.files, id, tokio::time::timeout(PATIENCE, ask).await.ok().flatten())
    }
}

/// What is known; nobody has the empty id.
fn recall<T: ?Sized + Send + Sync + 'static>(cache: &Cache<String, Known<T>>, id: &str) -> Option<Option<Arc<T>>> {
    if id.is_empty() {
        return Some(None);
    }
    cache.get(id).filter(|known| known.until > Instant::now()).map(|known| known.value)
}

/// Remembers an answer: `None` is that nobody answered, `Some(None)` that there is nobody of this id.
fn keep<T: ?Sized + Send + Sync + 'static>(
    cache: &Cache<String, Known<T>>,
    id: &str,
    answer: Option<Option<Arc<T>>>,
) -> Option<Arc<T>> {
    let until = Instant::now() + if answer.is_some() { FRESH.0 } else { FRESH.1 };
    let value = answer.flatten();
    cache.insert(id.to_owned(), Known { value: value.clone(), until });
    value
}
