//! A storage in memory that fails or waits when told to, and what the service does about it.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use proto::media::v1::UpdateHeader;
use tokio::sync::watch;
use tonic::Code;

use crate::bytes::{ogg, photo};
use crate::world::{World, reason};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    Works,
    /// Takes one more object, then fails.
    FailsSoon,
    Fails,
    /// Takes an object but does not answer before it works again.
    Waits,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: InMemory,
    mood: watch::Sender<Mood>,
    puts: Mutex<usize>,
}

impl Default for Faulty {
    fn default() -> Self {
        Self { inner: InMemory::new(), mood: watch::Sender::new(Mood::Works), puts: Mutex::default() }
    }
}

impl Faulty {
    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Keys of all objects.
    pub(crate) async fn keys(&self) -> Vec<String> {
        self.inner.list(None).map_ok(|object| object.location.to_string()).try_collect().await.expect("it lists")
    }

    pub(crate) fn puts(&self) -> usize {
        *self.puts.lock().expect("nothing panics here")
    }

    fn check(&self) -> Result<()> {
        if *self.mood.borrow() == Mood::Fails {
            return Err(Error::Generic { store: "test", source: "told to fail".into() });
        }
        Ok(())
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[tonic::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.check()?;
        *self.puts.lock().expect("nothing panics here") += 1;
        let done = self.inner.put_opts(location, payload, opts).await;
        self.mood.send_if_modified(|mood| {
            let soon = *mood == Mood::FailsSoon;
            if soon {
                *mood = Mood::Fails;
            }
            soon
        });
        let _ = self.mood.subscribe().wait_for(|mood| *mood != Mood::Waits).await;
        done
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check()?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.check() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_storage_that_fails_leaves_no_row_and_no_bytes() {
    let world = World::start().await;
    let user = world.user();
    for mood in [Mood::Fails, Mood::FailsSoon] {
        world.storage.set(mood);
        let refused = user.upload("toro.jpg", &photo(400, 300)).await.expect_err("a refusal");
        assert_eq!((refused.code(), reason::<()>(Err(refused))), (Code::Unavailable, "STORAGE_FAILED".into()));
    }
    assert_eq!((world.files().await, world.events().await.len()), (0, 0));
    // One object had arrived before the storage went away. It goes when the storage is back.
    assert_eq!(world.storage.keys().await.len(), 1);
    world.pass(0).await;
    assert_eq!(world.storage.keys().await.len(), 1);
    world.storage.set(Mood::Works);
    world.pass(1).await;
    assert!(world.storage.keys().await.is_empty());
}

#[tokio::test]
async fn a_failed_replacement_keeps_what_was_there() {
    let world = World::start().await;
    let user = world.user();
    let file = user.upload("toro.jpg", &photo(40, 30)).await.unwrap();
    world.storage.set(Mood::Fails);
    let header = UpdateHeader { id: file.id.clone(), ..Default::default() };
    assert_eq!(reason(user.update(header, &photo(50, 50)).await), "STORAGE_FAILED");
    world.storage.set(Mood::Works);
    world.pass(2).await;
    assert_eq!(user.get(&file.id).await.unwrap(), file);
    user.read(file.path()).await.expect("the old bytes");
    assert_eq!(world.storage.keys().await.len(), 3);
}

#[tokio::test]
async fn an_upload_whose_client_goes_away_leaves_no_bytes() {
    let world = World::start().await;
    world.storage.set(Mood::Waits);
    let user = world.user();
    let upload = tokio::spawn(async move { user.upload("voz.ogg", &ogg(1000)).await });
    while world.storage.keys().await.is_empty() {
        tokio::task::yield_now().await;
    }
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    // For an hour it could still be an upload under way.
    world.pass(0).await;
    assert_eq!(world.storage.keys().await.len(), 1);
    world.pass(1).await;
    assert!(world.storage.keys().await.is_empty());
    assert_eq!(world.files().await, 0);
}

#[tokio::test]
async fn an_upload_that_the_sweeper_overtakes_is_refused() {
    let world = World::start().await;
    world.storage.set(Mood::Waits);
    let user = world.user();
    let bytes = ogg(1000);
    let upload = user.upload("voz.ogg", &bytes);
    let overtaken = async {
        while world.storage.keys().await.is_empty() {
            tokio::task::yield_now().await;
        }
        world.pass(2).await;
        world.storage.set(Mood::Works);
    };
    let (result, ()) = tokio::join!(upload, overtaken);
    assert_eq!(reason(result), "STORAGE_FAILED");
    assert_eq!((world.files().await, world.storage.keys().await.len()), (0, 0));
    // The first token has expired meanwhile.
    world.user().upload("voz.ogg", &bytes).await.expect("the next try works");
}

#[tokio::test]
async fn reading_while_the_storage_is_away_is_unavailable() {
    let world = World::start().await;
    let file = world.user().upload("voz.ogg", &ogg(1000)).await.unwrap();
    world.storage.set(Mood::Fails);
    assert_eq!(reason(world.nobody.read(file.path()).await), "STORAGE_FAILED");
}

#[tokio::test]
async fn what_cannot_be_deleted_now_is_deleted_later() {
    let world = World::start().await;
    let user = world.user();
    let file = user.upload("toro.jpg", &photo(40, 30)).await.unwrap();
    world.storage.set(Mood::Fails);
    user.delete(&file.id).await.expect("the row goes at once");
    for _ in 0..20 {
        world.pass(1).await;
    }
    assert_eq!(world.storage.keys().await.len(), 3);
    world.storage.set(Mood::Works);
    world.pass(1).await;
    assert!(world.storage.keys().await.is_empty());
}

#[tokio::test]
async fn what_a_crash_left_half_written_in_a_folder_goes_too() {
    let world = World::on_disk().await;
    let half = world.folder().join("media/toro.jpg#1");
    std::fs::create_dir_all(half.parent().unwrap()).unwrap();
    std::fs::write(&half, "half").unwrap();
    let now = world.harness.clock.now();
    sqlx::query("insert into doomed_objects (key, due_at) values ('media/toro.jpg', $1)")
        .bind(now)
        .execute(&world.harness.service.db)
        .await
        .unwrap();
    world.pass(0).await;
    assert!(!half.exists());
}
