//! The whole service with its bytes on a real S3 server.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use media::Media;
use object_store::path::Path;
use object_store::{Attribute, ObjectStore, ObjectStoreExt as _};
use proto::media::v1::{ReadFileRequest, UpdateHeader};
use testkit::S3;

use crate::bytes::{mp3, ogg, photo, png};
use crate::world::{World, config, reason};

async fn keys(storage: &Arc<dyn ObjectStore>) -> Vec<String> {
    storage.list(None).map_ok(|object| object.location.to_string()).try_collect().await.expect("it lists")
}

#[tokio::test]
async fn a_file_lives_in_a_bucket_as_long_as_its_row() {
    let (world, _s3, storage) = World::on_s3("plaza/files").await;
    let user = world.user();
    let picture = user.upload("toro.png", &png(400, 300)).await.unwrap();
    let key = Path::from(picture.path().trim_start_matches("/uploads/"));
    let stored = storage.get(&key).await.unwrap();
    assert_eq!(stored.attributes.get(&Attribute::ContentType).map(|kind| &**kind), Some("image/png"));
    assert_eq!(stored.bytes().await.unwrap(), world.nobody.read(picture.path()).await.unwrap().1);
    let (thumbnail, bytes) = world.nobody.read(picture.thumbnail_path()).await.unwrap();
    assert_eq!((thumbnail.content_type.as_str(), thumbnail.size), ("image/jpeg", bytes.len() as i64));

    let request = ReadFileRequest { path: picture.path().into(), offset: 1, length: 3, ..Default::default() };
    assert_eq!(world.nobody.read_with(request).await.unwrap().1, b"PNG");

    let header = UpdateHeader { id: picture.id.clone(), file_name: "vaca.jpg".into(), ..Default::default() };
    let changed = user.update(header, &photo(40, 30)).await.unwrap();
    world.pass(0).await;
    assert_eq!(reason(world.nobody.read(picture.path()).await), "MEDIA_NOT_FOUND");
    let left = keys(&storage).await;
    assert!(left.len() == 3 && left.iter().all(|key| key.contains("vaca")), "{left:?}");

    user.delete(&changed.id).await.unwrap();
    world.pass(0).await;
    assert_eq!(keys(&storage).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_large_file_goes_to_the_bucket_in_parts() {
    let (world, _s3, storage) = World::on_s3("plaza/files").await;
    let bytes = mp3(11 << 20);
    let file = world.user().upload("largo.mp3", &bytes).await.unwrap();
    let head = storage.head(&Path::from(file.path().trim_start_matches("/uploads/"))).await.unwrap();
    // The tag of an object in parts ends with their number.
    assert!(head.e_tag.as_ref().is_some_and(|tag| tag.trim_matches('"').ends_with("-3")), "{head:?}");
    assert!(world.nobody.read(file.path()).await.unwrap().1 == bytes);
    let request = ReadFileRequest { path: file.path().into(), offset: 6 << 20, length: 1000, ..Default::default() };
    assert!(world.nobody.read_with(request).await.unwrap().1 == bytes[6 << 20..(6 << 20) + 1000]);
}

#[tokio::test]
async fn without_its_bucket_nothing_is_taken() {
    let (world, _s3, _storage) = World::on_s3("plasa").await;
    assert_eq!(reason(world.user().upload("voz.ogg", &ogg(1000)).await), "STORAGE_FAILED");
    assert_eq!(world.files().await, 0);
}

#[tokio::test]
async fn a_mistyped_bucket_is_no_reason_to_forget_what_must_be_deleted() {
    let (world, s3, storage) = World::on_s3("plaza").await;
    let user = world.user();
    let file = user.upload("voz.ogg", &ogg(1000)).await.unwrap();
    user.delete(&file.id).await.unwrap();
    let url = s3.url("plasa");
    let mistyped = kit::storage::open_with(&url, S3::keys()).unwrap();
    Media::new(&world.harness.service, &config(&url), mistyped).sweep().await.unwrap();
    assert_eq!(keys(&storage).await.len(), 1);
    world.pass(1).await;
    assert_eq!(keys(&storage).await, Vec::<String>::new());
}

#[tokio::test]
async fn without_its_server_nothing_is_taken() {
    let (world, mut s3, _storage) = World::on_s3("plaza").await;
    let user = world.user();
    let file = user.upload("voz.ogg", &ogg(1000)).await.unwrap();
    s3.kill().await;
    assert_eq!(reason(user.upload("otra.ogg", &ogg(2000)).await), "STORAGE_FAILED");
    assert_eq!(reason(world.nobody.read(file.path()).await), "STORAGE_FAILED");
    assert_eq!(world.files().await, 1);
}
