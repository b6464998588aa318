//! Names and files that frames show. A frame must not cost a call each, so they are remembered for a minute, and a
//! service that is away or slow is not waited for: the frame is told without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Entry;
use moka::sync::Cache;
use proto::media::v1::{BatchGetMediaRequest, Media, MediaView};
use proto::users::v1::{BatchGetUsersRequest, UserView};
use tokio::sync::OnceCell;

use crate::Edge;
use crate::auth::unsigned;

/// How long what was found is good, and how long nothing is asked again where nobody answered.
const FRESH: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(5));
const PATIENCE: Duration = Duration::from_millis(500);
/// Each; about 200 bytes.
const REMEMBERED: u64 = 20_000;

/// What is remembered.
pub struct Faces {
    names: Cache<String, Arc<Known<str>>>,
    files: Cache<String, Arc<Known<Media>>>,
}

/// What is known of an id, and until when, as soon as somebody has answered. Everybody waits for the same answer: in a
/// large room all sockets want to know the same at once.
struct Known<T: ?Sized>(OnceCell<(Option<Arc<T>>, Instant)>);

impl<T: ?Sized> Default for Known<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<T: ?Sized> Known<T> {
    fn is_good(&self) -> bool {
        self.0.get().is_none_or(|(_, until)| *until > Instant::now())
    }
}

impl Default for Faces {
    fn default() -> Self {
        Self { names: cache(), files: cache() }
    }
}

fn cache<T: ?Sized + Send + Sync + 'static>() -> Cache<String, Arc<Known<T>>> {
    Cache::builder().max_capacity(REMEMBERED).time_to_live(FRESH.0).build()
}

impl Edge {
    /// First name of the person with this id.
    pub async fn name_of(&self, id: &str) -> Option<Arc<str>> {
        recall(&self.faces.names, id, async || {
            let (ids, view) = (vec![id.to_owned()], UserView::Basic.into());
            let request = BatchGetUsersRequest { ids, view, ..Default::default() };
            let users = unsigned(self.users().batch_get_users(request)).await.ok()?.into_inner().users;
            Some(users.into_iter().next().map(|user| user.first_name.into()))
        })
        .await
    }

    /// The file with this id, if it is one that everybody may see.
    pub async fn file_of(&self, id: &str) -> Option<Arc<Media>> {
        recall(&self.faces.files, id, async || {
            let (ids, view) = (vec![id.to_owned()], MediaView::Basic.into());
            let request = BatchGetMediaRequest { ids, view, ..Default::default() };
            let media = unsigned(self.media().batch_get_media(request)).await.ok()?.into_inner().media;
            Some(media.into_iter().next().map(Arc::new))
        })
        .await
    }
}

/// What is known, or what `ask` answers: `None` is that nobody answered, `Some(None)` that there is nobody of this id.
/// Nobody has the empty id.
async fn recall<T: ?Sized + Send + Sync + 'static>(
    cache: &Cache<String, Arc<Known<T>>>,
    id: &str,
    ask: impl AsyncFnOnce() -> Option<Option<Arc<T>>>,
) -> Option<Arc<T>> {
    if id.is_empty() {
        return None;
    }
    let known = cache.get(id).filter(|known| known.is_good()).unwrap_or_else(|| {
        let good = |entry: Option<Entry<String, Arc<Known<T>>>>| entry.map(Entry::into_value).filter(|it| it.is_good());
        cache.entry_by_ref(id).and_upsert_with(|entry| good(entry).unwrap_or_default()).into_value()
    });
    if let Some((value, _)) = known.0.get() {
        return value.clone();
    }
    // Boxed, because a call's future is large, and each socket would reserve room for it.
    let answer = Box::pin(known.0.get_or_init(async || {
        let answer = tokio::time::timeout(PATIENCE, ask()).await.ok().flatten();
        let until = Instant::now() + if answer.is_some() { FRESH.0 } else { FRESH.1 };
        (answer.flatten(), until)
    }));
    answer.await.0.clone()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    fn name(name: &str) -> Option<Option<Arc<str>>> {
        Some(Some(name.into()))
    }

    #[tokio::test]
    async fn all_who_want_to_know_the_same_wait_for_one_answer() {
        let (cache, asked, answers) = (cache::<str>(), AtomicUsize::new(0), Semaphore::new(0));
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            let _answer = answers.acquire().await.unwrap();
            name("Ana")
        };
        // The first who asks goes before the answer.
        let mut gone = Box::pin(recall(&cache, "a", ask));
        assert!((&mut gone).now_or_never().is_none());
        let all = (0..100).map(|_| recall(&cache, "a", ask));
        let ((), heard) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                drop(gone);
                answers.add_permits(1);
            },
            join_all(all)
        );
        assert!(heard.iter().all(|name| name.as_deref() == Some("Ana")), "{heard:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 2, "once more, for those who stayed");
        assert_eq!(recall(&cache, "a", async || panic!("it is known")).await.as_deref(), Some("Ana"));
        assert_eq!(recall(&cache, "", async || panic!("nobody has it")).await, None);
    }

    #[tokio::test]
    async fn where_nobody_answers_it_is_asked_again_after_a_while() {
        let cache = cache::<str>();
        assert_eq!(recall(&cache, "a", async || None).await, None);
        assert_eq!(recall(&cache, "a", async || panic!("not yet")).await, None);
        let stale = Known(OnceCell::from((None, Instant::now())));
        cache.insert("a".to_owned(), Arc::new(stale));
        assert_eq!(recall(&cache, "a", async || name("Ana")).await.as_deref(), Some("Ana"));
    }
}
