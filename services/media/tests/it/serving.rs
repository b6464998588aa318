//! Reading bytes: ranges, chunks, and who may read what.

use proto::media::v1::{self, Folder, ReadFileRequest, SignFileRequest, SignFileResponse};
use tonic::{Code, Response, Status};

use crate::bytes::{mp3, ogg, pdf, png};
use crate::world::{Client, World, parts, reason};

async fn sign(client: &Client, id: &str, seconds: i32) -> Result<SignFileResponse, Status> {
    client.rpc.clone().sign_file(SignFileRequest { id: id.into(), seconds }).await.map(Response::into_inner)
}

/// Reads a path with its query, as the edge does.
async fn follow(client: &Client, link: &str) -> Result<Vec<u8>, Status> {
    let (path, signature) = link.split_once("?signature=").unwrap_or((link, ""));
    let request = ReadFileRequest { path: path.into(), signature: signature.into(), ..Default::default() };
    client.read_with(request).await.map(|(_, bytes)| bytes)
}

#[tokio::test]
async fn ranges_begin_and_end_where_they_are_asked_to() {
    let world = World::start().await;
    let bytes = ogg(1000);
    let file = world.user().upload("a.ogg", &bytes).await.unwrap();
    for (offset, length, range) in [
        (0, 0, 0..1000),
        (0, 1, 0..1),
        (500, 100, 500..600),
        (999, 1, 999..1000),
        (990, 100, 990..1000),
        (-10, 0, 990..1000),
        (-5000, 0, 0..1000),
    ] {
        let request = ReadFileRequest { path: file.path().into(), offset, length, ..Default::default() };
        let (header, part) = world.nobody.read_with(request).await.unwrap();
        assert_eq!((header.size, header.offset, header.length), (1000, range.start as i64, range.len() as i64));
        assert_eq!(part, bytes[range]);
    }
    let outside = ReadFileRequest { path: file.path().into(), offset: 1000, ..Default::default() };
    let refused = world.nobody.read_with(outside).await.expect_err("a refusal");
    assert_eq!((refused.code(), reason::<()>(Err(refused))), (Code::OutOfRange, "RANGE_OUTSIDE".into()));
}

#[tokio::test]
async fn a_large_file_goes_out_in_small_pieces() {
    let world = World::start().await;
    let bytes = mp3(20 << 20);
    let file = world.user().upload("largo.mp3", &bytes).await.unwrap();
    let request = ReadFileRequest { path: file.path().into(), ..Default::default() };
    let stream = world.nobody.rpc.clone().read_file(request).await.unwrap().into_inner();
    let (header, chunks) = parts(stream).await.unwrap();
    assert_eq!(header.length, 20 << 20);
    assert!(chunks.iter().all(|chunk| chunk.len() <= 64 << 10));
    assert!(chunks.concat() == bytes);
    // Larger than a part, so it went to the storage in several, and none of them was the whole file.
    assert_eq!(world.storage.puts(), 0);
}

#[tokio::test]
async fn a_folder_is_a_storage_like_the_others() {
    let world = World::on_disk().await;
    let user = world.user();
    let bytes = mp3(11 << 20);
    let audio = user.upload("largo.mp3", &bytes).await.unwrap();
    let picture = user.upload("toro.png", &png(400, 300)).await.unwrap();
    let request = ReadFileRequest { path: audio.path().into(), offset: 100, length: 200_000, ..Default::default() };
    let stream = world.nobody.rpc.clone().read_file(request).await.unwrap().into_inner();
    let (header, chunks) = parts(stream).await.unwrap();
    assert_eq!((header.offset, header.length), (100, 200_000));
    assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.len() <= 64 << 10));
    assert!(chunks.concat() == bytes[100..200_100]);
    assert_eq!(world.nobody.read(picture.thumbnail_path()).await.unwrap().0.content_type, "image/jpeg");

    let kept = |file: &v1::Media| world.folder().join(file.path().trim_start_matches("/uploads/")).exists();
    assert!(kept(&audio) && kept(&picture));
    user.delete(&audio.id).await.unwrap();
    world.pass(0).await;
    assert!(!kept(&audio) && kept(&picture));
    user.delete(&picture.id).await.unwrap();
    world.pass(0).await;
    let left: Vec<_> = std::fs::read_dir(world.folder()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn each_picture_has_a_tag_of_its_own_that_stays() {
    let world = World::start().await;
    let user = world.user();
    let file = user.upload("a.png", &png(400, 300)).await.unwrap();
    let mut tags = Vec::new();
    for path in [file.path(), file.thumbnail_path(), file.preview_path()] {
        let (header, _) = world.nobody.read(path).await.unwrap();
        assert_eq!(header, world.nobody.read(path).await.unwrap().0);
        assert!(!header.private && header.modified_at == file.created_at);
        tags.push(header.etag);
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3);
}

#[tokio::test]
async fn only_paths_of_files_lead_anywhere() {
    let world = World::start().await;
    let file = world.user().upload("a.png", &png(3, 3)).await.unwrap();
    let without_root = file.path().trim_start_matches("/uploads/");
    for path in [
        "/",
        "/uploads/",
        "/uploads/media",
        "/uploads/media/",
        "/uploads/../etc/passwd",
        "/uploads/media/%2e%2e/x",
        without_root,
        &format!("{}/", file.path()),
        &format!("{}\0", file.path()),
        &format!("/uploads//{without_root}"),
    ] {
        let refused = world.nobody.read(path).await.expect_err(path);
        assert!(matches!(refused.code(), Code::NotFound | Code::InvalidArgument), "{path}: {refused:?}");
    }
}

#[tokio::test]
async fn a_private_file_is_for_its_owner_and_administrators() {
    let world = World::start().await;
    let (user, other, admin) = (world.user(), world.user(), world.admin());
    let file = user.upload_to(Folder::Verification, &png(30, 20)).await.unwrap();
    for client in [&user, &admin] {
        assert_eq!(client.get(&file.id).await.unwrap(), file);
        for path in [file.path(), file.thumbnail_path()] {
            assert!(client.read(path).await.unwrap().0.private);
        }
    }
    for client in [&other, &world.nobody] {
        assert_eq!(reason(client.get(&file.id).await), "MEDIA_NOT_FOUND");
        for path in [file.path(), file.thumbnail_path(), file.preview_path()] {
            assert_eq!(reason(client.read(path).await), "MEDIA_NOT_FOUND");
        }
    }
    // It comes with what opens it, so that a page can show it; a public one needs nothing.
    for path in [file.path(), file.thumbnail_path()] {
        follow(&world.nobody, &format!("{path}?signature={}", file.signature())).await.expect("signed");
    }
    assert_eq!(user.upload("b.png", &png(3, 3)).await.unwrap().signature, None);
    assert_eq!(reason(sign(&other, &file.id, 0).await), "MEDIA_NOT_FOUND");
    assert_eq!(reason(other.delete(&file.id).await), "MEDIA_NOT_FOUND");
    assert_eq!(sign(&world.nobody, &file.id, 0).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_signed_link_opens_its_file_to_anybody_until_it_expires() {
    let world = World::start().await;
    let (user, admin) = (world.user(), world.admin());
    let bytes = pdf(1000);
    let file = user.upload_to(Folder::Verification, &bytes).await.unwrap();
    let other = user.upload_to(Folder::Verification, &pdf(2000)).await.unwrap();
    let link = sign(&user, &file.id, 60).await.unwrap().path;
    sign(&admin, &file.id, 60).await.expect("administrators review documents");
    assert_eq!(follow(&world.nobody, &link).await.unwrap(), bytes);

    let (_, signature) = link.split_once('=').unwrap();
    let changed = link.replace("?signature=", "?signature=9");
    let forged = format!("{}?signature={signature}", other.path());
    for bad in [changed, forged, format!("{link}A"), format!("{}?signature=9999999999.AAAA", file.path())] {
        assert_eq!(reason(follow(&world.nobody, &bad).await), "SIGNATURE_REFUSED", "{bad}");
    }
    world.harness.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(reason(follow(&world.nobody, &link).await), "SIGNATURE_REFUSED");

    let default = sign(&user, &file.id, 0).await.unwrap();
    let lives = default.expires_at.unwrap().seconds - world.harness.clock.now().timestamp();
    assert_eq!(lives, 300);
    user.delete(&file.id).await.unwrap();
    assert_eq!(reason(follow(&world.nobody, &default.path).await), "MEDIA_NOT_FOUND");
}

#[tokio::test]
async fn one_link_opens_a_pictures_smaller_ones_too() {
    let world = World::start().await;
    let user = world.user();
    let file = user.upload_to(Folder::Verification, &png(400, 300)).await.unwrap();
    let link = sign(&user, &file.id, 60).await.unwrap().path;
    let (_, signature) = link.split_once('=').unwrap();
    for path in [file.thumbnail_path(), file.preview_path()] {
        follow(&world.nobody, &format!("{path}?signature={signature}")).await.unwrap();
    }
}

#[tokio::test]
async fn a_row_without_a_file_has_no_link() {
    let world = World::start().await;
    let user = world.user();
    let file = user.upload("x", &[]).await.unwrap();
    assert_eq!(reason(sign(&user, &file.id, 0).await), "NO_FILE");
}
