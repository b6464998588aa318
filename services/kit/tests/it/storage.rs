//! Storage on a real S3 server, as a service opens it by URL.

use std::error::Error as _;
use std::sync::Arc;

use futures_util::TryStreamExt;
use kit::storage::open_with;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutOptions, PutPayload,
};
use testkit::S3;
use tokio::io::AsyncWriteExt;

/// A server with one bucket, opened below a prefix.
async fn bucket() -> (S3, Arc<dyn ObjectStore>) {
    let s3 = S3::start().await;
    s3.make_bucket("plaza").await;
    let store = open_with(&s3.url("plaza/files"), S3::keys()).unwrap();
    (s3, store)
}

fn key(name: &str) -> Path {
    Path::from(name)
}

/// What a log would say: the error and its causes.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn what_is_put_is_read_whole_and_in_parts() {
    let (s3, store) = bucket().await;
    let toro = key("media/toro ñ+1.jpg");
    let options = PutOptions {
        attributes: Attributes::from_iter([(Attribute::ContentType, "image/jpeg")]),
        ..PutOptions::default()
    };
    let put = store.put_opts(&toro, PutPayload::from_static(b"0123456789"), options).await.unwrap();

    let found = store.get(&toro).await.unwrap();
    assert_eq!(found.attributes.get(&Attribute::ContentType).map(|kind| &**kind), Some("image/jpeg"));
    assert_eq!(&found.bytes().await.unwrap()[..], b"0123456789");
    for (range, bytes) in [
        (GetRange::Bounded(0..1), "0"),
        (GetRange::Bounded(3..6), "345"),
        (GetRange::Bounded(8..99), "89"),
        (GetRange::Offset(7), "789"),
        (GetRange::Suffix(2), "89"),
    ] {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let part = store.get_opts(&toro, options).await.unwrap();
        assert_eq!((part.meta.size, &part.bytes().await.unwrap()[..]), (10, bytes.as_bytes()));
    }

    let head = store.head(&toro).await.unwrap();
    assert_eq!((head.size, head.location), (10, toro.clone()));
    assert!(put.e_tag.is_some() && head.e_tag == put.e_tag, "{put:?}");
    let known = GetOptions { if_none_match: head.e_tag, ..GetOptions::default() };
    let same = store.get_opts(&toro, known).await;
    assert!(matches!(same, Err(Error::NotModified { .. })), "{same:?}");

    // The prefix is a part of the key, and nobody outside of it sees what is below.
    let (whole, other) = (open_with(&s3.url("plaza"), S3::keys()), open_with(&s3.url("plaza/others"), S3::keys()));
    let keys: Vec<_> = whole.unwrap().list(None).map_ok(|object| object.location).try_collect().await.unwrap();
    assert_eq!(keys, [key("files").join("media").join("toro ñ+1.jpg")]);
    assert!(matches!(other.unwrap().head(&toro).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn what_is_deleted_is_missing_and_may_be_deleted_again() {
    let (_s3, store) = bucket().await;
    let toro = key("media/toro.jpg");
    for missing in [store.get(&toro).await.map(|_| ()), store.head(&toro).await.map(|_| ())] {
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    }
    store.put(&toro, "moo".into()).await.unwrap();
    store.delete(&toro).await.unwrap();
    assert!(matches!(store.get(&toro).await, Err(Error::NotFound { .. })));
    store.delete(&toro).await.unwrap();
}

#[tokio::test]
async fn a_large_object_goes_in_parts_and_is_there_when_it_is_complete() {
    let (_s3, store) = bucket().await;
    let large = key("media/largo.mp3");
    let bytes: Vec<u8> = (0..11 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let writer = || BufWriter::with_capacity(store.clone(), large.clone(), 5 << 20).with_max_concurrency(1);

    let mut given_up = writer();
    given_up.write_all(&bytes).await.unwrap();
    given_up.abort().await.unwrap();
    assert!(matches!(store.head(&large).await, Err(Error::NotFound { .. })));

    let mut whole = writer();
    whole.write_all(&bytes).await.unwrap();
    assert!(matches!(store.head(&large).await, Err(Error::NotFound { .. })), "not before it is complete");
    whole.shutdown().await.unwrap();
    let head = store.head(&large).await.unwrap();
    // The tag of an object in parts ends with their number.
    assert_eq!((head.size, head.e_tag.unwrap().trim_matches('"').split_once('-').unwrap().1), (11 << 20, "3"));
    assert!(store.get(&large).await.unwrap().bytes().await.unwrap() == bytes);
    // Across the border of two parts.
    let range = (5 << 20) - 3..(5 << 20) + 3;
    assert_eq!(store.get_range(&large, range.clone()).await.unwrap(), bytes[range.start as usize..range.end as usize]);
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_named() {
    let s3 = S3::start().await;
    let store = open_with(&s3.url("nowhere"), S3::keys()).unwrap();
    let toro = key("toro.jpg");
    let put = store.put(&toro, "moo".into()).await.map(|_| ());
    let got = store.get(&toro).await.map(|_| ());
    let deleted = store.delete(&toro).await;
    for refused in [put, got, deleted] {
        let error = refused.expect_err("there is no bucket");
        let told = told(&error);
        assert!(told.contains("NoSuchBucket") && told.contains("nowhere"), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_named() {
    let (mut s3, store) = bucket().await;
    let toro = key("toro.jpg");
    store.put(&toro, "moo".into()).await.unwrap();
    let url = s3.url("plaza");
    s3.kill().await;
    for refused in [store.put(&toro, "moo".into()).await.map(|_| ()), store.get(&toro).await.map(|_| ())] {
        let told = told(&refused.expect_err("nobody listens"));
        let (_, address) = url.split_once("endpoint=http://").unwrap();
        assert!(told.contains(address.split('&').next().unwrap()), "{told}");
        assert!(told.contains("onnect"), "{told}");
    }
}

#[test]
fn a_storage_url_says_what_is_wrong_with_it() {
    for (url, words) in [
        ("s3://", "needs a bucket"),
        ("s3://plaza?pathstyle=true", "no setting `pathstyle`"),
        ("ftp://plaza", "storage by ftp: is not known"),
        ("no url", "the storage's URL"),
    ] {
        let error = format!("{:#}", open_with(url, S3::keys()).map(|_| ()).expect_err("refused"));
        assert!(error.contains(words), "{url}: {error}");
    }
}
