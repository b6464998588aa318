//! Uploading, owning, claiming, changing and deleting files.

use kit::inbox::{Received, apply};
use proto::events::v1::UserDeleted;
use proto::media::v1::{
    self, Accept, AssignMediaRequest, BatchGetMediaRequest, ClaimMediaRequest, Description, Folder, Kind,
    ListMediaRequest, MediaView, UpdateHeader, UploadHeader,
};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::bytes::{chatty_gif, chatty_webp, m4a, mp3, ogg, pdf, photo, png, wav, webm};
use crate::world::{Client, World, reason};

async fn claim(client: &Client, files: &[&v1::Media]) -> Result<Vec<v1::Media>, Status> {
    let numbers = files.iter().map(|file| file.number).collect();
    claim_with(client, ClaimMediaRequest { numbers, ..Default::default() }).await
}

async fn claim_with(client: &Client, request: ClaimMediaRequest) -> Result<Vec<v1::Media>, Status> {
    client.rpc.clone().claim_media(request).await.map(|answer| answer.into_inner().media)
}

async fn assign(client: &Client, file: &v1::Media, owner: Uuid) -> Result<v1::Media, Status> {
    let request = AssignMediaRequest { id: file.id.clone(), owner_id: owner.to_string() };
    client.rpc.clone().assign_media(request).await.map(Response::into_inner)
}

fn named(name: &str) -> Option<Description> {
    Some(Description { name: Some(name.into()), ..Default::default() })
}

#[tokio::test]
async fn every_type_is_known_by_its_bytes() {
    let world = World::start().await;
    let user = world.user();
    for (bytes, content_type, extension, kind) in [
        (photo(30, 20), "image/jpeg", ".jpg", Kind::Image),
        (png(30, 20), "image/png", ".png", Kind::Image),
        (chatty_gif(30, 20), "image/gif", ".gif", Kind::Image),
        (chatty_webp(30, 20, 1), "image/webp", ".webp", Kind::Image),
        (ogg(500), "audio/ogg", ".ogg", Kind::Audio),
        (mp3(500), "audio/mpeg", ".mp3", Kind::Audio),
        (m4a(500), "audio/mp4", ".m4a", Kind::Audio),
        (wav(500), "audio/wav", ".wav", Kind::Audio),
        (webm(500), "audio/webm", ".webm", Kind::Audio),
        (pdf(500), "application/pdf", ".pdf", Kind::Document),
    ] {
        let folder = if kind == Kind::Document { Folder::Verification } else { Folder::Chat };
        let header = UploadHeader { folder: folder.into(), file_name: "mi voz.exe".into(), ..Default::default() };
        let file = user.upload_with(header, &bytes).await.expect(content_type);
        assert_eq!((file.content_type.as_str(), file.kind()), (content_type, kind));
        assert!(file.path().ends_with(&format!("-mi_voz{extension}")), "{}", file.path());
        assert_eq!(file.thumbnail_path.is_some(), kind == Kind::Image);
        assert_eq!(file.sha256, hex(&kit::seal::sha256(&bytes)));
        let (header, stored) = user.read(file.path()).await.unwrap();
        assert_eq!((header.content_type.as_str(), header.size), (content_type, stored.len() as i64));
        assert!(kind == Kind::Image || stored == bytes, "{content_type} is stored as it came");
        assert_eq!(user.get(&file.id).await.unwrap(), file);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn what_is_not_taken_is_refused_whatever_it_is_called() {
    let world = World::start().await;
    let user = world.user();
    for bytes in [&b"just text"[..], b"<svg/>", b"<html><script>", b"\0\0\0\x20ftypisom\0\0\0\0", &pdf(100)] {
        assert_eq!(reason(user.upload("photo.jpg", bytes).await), "MEDIA_TYPE_REFUSED");
    }
    let images_only = UploadHeader { accept: Accept::Image.into(), ..Default::default() };
    assert_eq!(reason(user.upload_with(images_only.clone(), &ogg(100)).await), "MEDIA_TYPE_REFUSED");
    user.upload_with(images_only, &png(3, 3)).await.expect("an image");
    let refused = user.upload("photo.jpg", b"text").await.expect_err("a refusal");
    assert_eq!(kit::error::Details::of(&refused).fields[0].field, "data");
}

#[tokio::test]
async fn where_signatures_are_not_checked_an_avatar_may_be_any_bytes_and_is_served_as_such() {
    let world = World::lenient().await;
    let user = world.user();
    let avatar = |bytes: Vec<u8>| {
        let header = UploadHeader {
            folder: Folder::Avatars.into(),
            file_name: "avatar.jpg".into(),
            accept: Accept::Image.into(),
            ..Default::default()
        };
        let user = user.clone();
        async move { user.upload_with(header, &bytes).await }
    };
    let half = photo(400, 300)[..200].to_vec();
    for bytes in [b"fake image".to_vec(), b"<script>alert(1)</script>".to_vec(), half, ogg(500)] {
        let file = avatar(bytes.clone()).await.unwrap();
        assert_eq!((file.kind(), file.content_type.as_str()), (Kind::Opaque, "application/octet-stream"));
        assert!(file.path().starts_with(&format!("/uploads/avatars/{}-", user.id)) && file.path().ends_with(".bin"));
        assert_eq!((file.thumbnail_path.is_some(), file.size), (false, bytes.len() as i64));
        let (header, stored) = world.nobody.read(file.path()).await.unwrap();
        assert_eq!((header.content_type.as_str(), stored), ("application/octet-stream", bytes));
    }
    // A picture is a picture, a limit a limit, and other folders and strangers get no such favour.
    assert_eq!(avatar(photo(40, 30)).await.unwrap().kind(), Kind::Image);
    assert_eq!(reason(avatar(vec![b'x'; (10 << 20) + 1]).await), "MEDIA_TOO_LARGE");
    assert_eq!(user.upload_to(Folder::Verification, b"my papers").await.unwrap().kind(), Kind::Opaque);
    for folder in [Folder::Media, Folder::Profiles, Folder::Chat] {
        assert_eq!(reason(user.upload_to(folder, b"fake image").await), "MEDIA_TYPE_REFUSED");
    }
    assert_eq!(reason(world.nobody.upload_to(Folder::Avatars, b"fake image").await), "MEDIA_TYPE_REFUSED");
}

#[tokio::test]
async fn sizes_are_limited_by_kind_and_by_the_caller() {
    let world = World::start().await;
    let user = world.user();
    let mut large = photo(10, 10);
    large.resize((10 << 20) + 1, 0);
    let refused = user.upload("x.jpg", &large).await.expect_err("a refusal");
    assert_eq!((refused.code(), reason::<()>(Err(refused))), (Code::OutOfRange, "MEDIA_TOO_LARGE".into()));
    assert_eq!(reason(user.upload("x.ogg", &ogg((20 << 20) + 1)).await), "MEDIA_TOO_LARGE");
    user.upload("x.ogg", &ogg((10 << 20) + 1)).await.expect("audio may be larger than images");
    let own = UploadHeader { max_size: 999, ..Default::default() };
    assert_eq!(reason(user.upload_with(own.clone(), &ogg(1000)).await), "MEDIA_TOO_LARGE");
    user.upload_with(own, &ogg(999)).await.expect("just right");
}

#[tokio::test]
async fn a_row_needs_no_file_unless_the_caller_says_so() {
    let world = World::start().await;
    let user = world.user();
    let description = Description { price_hundredths: Some(-5), ..named("toro").unwrap() };
    let header = UploadHeader { description: Some(description), ..Default::default() };
    let file = user.upload_with(header.clone(), &[]).await.unwrap();
    assert_eq!((file.name(), file.price_hundredths, file.kind()), ("toro", Some(-5), Kind::Unspecified));
    assert_eq!((file.path, file.size, file.content_type.as_str()), (None, 0, ""));
    let header = UploadHeader { file_required: true, ..header };
    assert_eq!(reason(user.upload_with(header, &[]).await), "FILE_REQUIRED");
}

#[tokio::test]
async fn an_upload_begins_with_its_header_and_has_one() {
    let world = World::start().await;
    let mut rpc = world.user().rpc;
    let empty = futures_util::stream::iter(Vec::<v1::UploadMediaRequest>::new());
    assert_eq!(rpc.upload_media(empty).await.unwrap_err().code(), Code::InvalidArgument);
    let header = v1::UploadMediaRequest { part: Some(v1::upload_media_request::Part::Header(UploadHeader::default())) };
    let twice = futures_util::stream::iter([header.clone(), header]);
    assert_eq!(rpc.upload_media(twice).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_avatars_path_names_its_user() {
    let world = World::start().await;
    let user = world.user();
    let file = user.upload_to(Folder::Avatars, &png(10, 10)).await.unwrap();
    assert!(file.path().starts_with(&format!("/uploads/avatars/{}-", user.id)), "{}", file.path());
}

#[tokio::test]
async fn equal_bytes_of_one_owner_are_stored_once() {
    let world = World::start().await;
    let (user, other) = (world.user(), world.user());
    let one = user.upload("a.png", &png(30, 20)).await.unwrap();
    let two = user.upload("b.png", &png(30, 20)).await.unwrap();
    let elsewhere = user.upload_to(Folder::Verification, &png(30, 20)).await.unwrap();
    let others = other.upload("a.png", &png(30, 20)).await.unwrap();
    assert_eq!(one.path, two.path);
    assert!(one.id != two.id && one.path != elsewhere.path && one.path != others.path);
    world.pass(0).await;
    assert_eq!(world.storage.keys().await.len(), 9);

    user.delete(&one.id).await.unwrap();
    world.pass(0).await;
    world.nobody.read(two.path()).await.expect("the other file still needs the bytes");
    user.delete(&two.id).await.unwrap();
    assert_eq!(reason(world.nobody.read(two.path()).await), "MEDIA_NOT_FOUND");
    world.pass(0).await;
    assert_eq!(world.storage.keys().await.len(), 6);
}

#[tokio::test]
async fn equal_bytes_at_once_are_stored_once_too() {
    let world = World::start().await;
    let user = world.user();
    let bytes = png(30, 20);
    let uploads = (0..8).map(|_| user.upload("a.png", &bytes));
    let files: Vec<_> = futures_util::future::try_join_all(uploads).await.unwrap();
    assert!(files.iter().all(|file| file.path == files[0].path));
    world.pass(0).await;
    assert_eq!(world.storage.keys().await.len(), 3);
    world.nobody.read(files[0].path()).await.unwrap();
}

#[tokio::test]
async fn uploading_and_deleting_the_same_bytes_at_once_ends_well() {
    let world = World::start().await;
    let user = world.user();
    let bytes = ogg(300);
    let mut last = user.upload("a.ogg", &bytes).await.unwrap();
    for _ in 0..20 {
        let (fresh, deleted) = tokio::join!(user.upload("a.ogg", &bytes), user.delete(&last.id));
        deleted.unwrap();
        last = fresh.unwrap();
        world.pass(0).await;
        assert_eq!(user.read(last.path()).await.expect("the bytes are there").1, bytes);
        assert_eq!(world.storage.keys().await.len(), 1);
    }
}

#[tokio::test]
async fn two_files_that_swap_their_bytes_at_once_do_not_wait_for_each_other_for_ever() {
    let world = World::start().await;
    let user = world.user();
    let (mut a, mut b) = (ogg(300), ogg(400));
    let one = user.upload("a.ogg", &a).await.unwrap();
    let two = user.upload("b.ogg", &b).await.unwrap();
    for _ in 0..20 {
        std::mem::swap(&mut a, &mut b);
        let header = |file: &v1::Media| UpdateHeader { id: file.id.clone(), ..Default::default() };
        let (first, second) = tokio::join!(user.update(header(&one), &a), user.update(header(&two), &b));
        assert_eq!((first.unwrap().size, second.unwrap().size), (a.len() as i64, b.len() as i64));
    }
    world.pass(0).await;
    assert_eq!(world.storage.keys().await.len(), 2);
}

#[tokio::test]
async fn a_file_belongs_to_whoever_uploaded_it() {
    let world = World::start().await;
    let (user, other, admin) = (world.user(), world.user(), world.admin());
    let file = user.upload("a.png", &png(3, 3)).await.unwrap();
    let header = UpdateHeader { id: file.id.clone(), description: named("mío"), ..Default::default() };
    assert_eq!(reason(other.update(header.clone(), &[]).await), "NOT_YOURS");
    assert_eq!(reason(other.delete(&file.id).await), "NOT_YOURS");
    assert_eq!(reason(claim(&other, &[&file]).await), "NOT_YOURS");
    assert_eq!(world.nobody.update(header.clone(), &[]).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(world.nobody.delete(&file.id).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(world.nobody.get(&file.id).await.unwrap(), file);
    assert_eq!(admin.update(header, &[]).await.unwrap().name(), "mío");
    admin.delete(&file.id).await.unwrap();
    for client in [&user, &admin] {
        assert_eq!(reason(client.delete(&file.id).await), "MEDIA_NOT_FOUND");
        assert_eq!(reason(client.get(&file.id).await), "MEDIA_NOT_FOUND");
    }
}

#[tokio::test]
async fn services_that_hold_the_last_reference_may_delete() {
    let world = World::start().await;
    let file = world.user().upload("a.png", &png(3, 3)).await.unwrap();
    assert_eq!(world.peer("professionals").delete(&file.id).await.unwrap_err().code(), Code::Unauthenticated);
    world.peer("users").delete(&file.id).await.unwrap();
    assert_eq!(world.files().await, 0);
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_replaces_the_bytes_last() {
    let world = World::start().await;
    let user = world.user();
    let description = Description { price_hundredths: Some(1250), ..named("toro").unwrap() };
    let header = UploadHeader { description: Some(description), ..Default::default() };
    let old = user.upload_with(header, &png(30, 20)).await.unwrap();

    let text = Description { description: Some("manso".into()), clear_price: true, ..Default::default() };
    let header = UpdateHeader { id: old.id.clone(), description: Some(text), ..Default::default() };
    let described = user.update(header, &[]).await.unwrap();
    assert_eq!((described.name(), described.description(), described.price_hundredths), ("toro", "manso", None));
    assert_eq!(described.path, old.path);

    let header = UpdateHeader { id: old.id.clone(), file_name: "nuevo.jpg".into(), ..Default::default() };
    let new = user.update(header, &photo(40, 30)).await.unwrap();
    assert_eq!((new.content_type.as_str(), new.width), ("image/jpeg", 40));
    assert_eq!(reason(user.read(old.path()).await), "MEDIA_NOT_FOUND");
    user.read(new.path()).await.unwrap();
    world.pass(0).await;
    assert_eq!(world.storage.keys().await.len(), 3);

    let header = UpdateHeader { id: old.id.clone(), ..Default::default() };
    assert_eq!(user.update(header.clone(), &photo(40, 30)).await.unwrap().path, new.path);
    world.pass(0).await;
    user.read(new.path()).await.expect("the same bytes again are no change");

    let number = old.number.to_string();
    let events = world.events().await;
    assert_eq!(events[0], ("media.created".into(), number.clone()));
    assert!(events[1..].iter().all(|event| *event == ("media.updated".into(), number.clone())));
    let header = UpdateHeader { id: Uuid::now_v7().to_string(), ..header };
    assert_eq!(reason(user.update(header, &[]).await), "MEDIA_NOT_FOUND");
}

#[tokio::test]
async fn a_document_keeps_the_bytes_it_was_uploaded_with() {
    let world = World::start().await;
    let (user, admin) = (world.user(), world.admin());
    let looked_at = user.upload_to(Folder::Verification, &pdf(100)).await.unwrap();
    let blank = UploadHeader { folder: Folder::Verification.into(), ..Default::default() };
    let blank = user.upload_with(blank, &[]).await.unwrap();
    for (file, bytes) in [(&looked_at, pdf(200)), (&looked_at, png(3, 3)), (&blank, pdf(200))] {
        let header = UpdateHeader { id: file.id.clone(), description: named("otro"), ..Default::default() };
        for client in [&user, &admin] {
            let refused = client.update(header.clone(), &bytes).await.expect_err("a refusal");
            assert_eq!((refused.code(), reason::<()>(Err(refused))), (Code::FailedPrecondition, "FILE_FIXED".into()));
        }
        assert_eq!(user.get(&file.id).await.unwrap(), *file);
    }
    let header = UpdateHeader { id: looked_at.id.clone(), description: named("título"), ..Default::default() };
    assert_eq!(user.update(header, &[]).await.unwrap().name(), "título");
    world.pass(2).await;
    assert_eq!(world.storage.keys().await.len(), 1, "what was refused left nothing");
}

#[tokio::test]
async fn a_file_stays_of_the_kind_it_is() {
    let world = World::start().await;
    let user = world.user();
    let image = user.upload("a.png", &png(3, 3)).await.unwrap();
    let sound = user.upload("a.ogg", &ogg(100)).await.unwrap();
    let header = |file: &v1::Media| UpdateHeader { id: file.id.clone(), ..Default::default() };
    for (file, other, same) in [(&image, wav(100), photo(4, 4)), (&sound, png(3, 3), wav(100))] {
        assert_eq!(reason(user.update(header(file), &other).await), "MEDIA_TYPE_REFUSED");
        assert_eq!(user.get(&file.id).await.unwrap(), *file);
        let replaced = user.update(header(file), &same).await.unwrap();
        assert_eq!((replaced.kind(), replaced.path == file.path), (file.kind(), false));
    }
}

#[tokio::test]
async fn of_two_kinds_at_once_one_fills_a_description() {
    let world = World::start().await;
    let user = world.user();
    for _ in 0..10 {
        let blank = user.upload("a", &[]).await.unwrap();
        let header = || UpdateHeader { id: blank.id.clone(), ..Default::default() };
        let (image, sound) = (png(3, 3), ogg(100));
        let (one, other) = tokio::join!(user.update(header(), &image), user.update(header(), &sound));
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        let (filled, refused) = if one.is_ok() { (one, other) } else { (other, one) };
        assert_eq!(reason(refused), "MEDIA_TYPE_REFUSED");
        assert_eq!(user.get(&blank.id).await.unwrap(), filled.unwrap());
    }
}

#[tokio::test]
async fn nobody_may_upload_some_images_an_hour() {
    let world = World::start().await;
    let (here, there) = (world.nobody_at("203.0.113.7"), world.nobody_at("203.0.113.8"));
    assert_eq!(reason(here.upload("x.ogg", &ogg(100)).await), "MEDIA_TYPE_REFUSED");
    let bytes = png(2, 2);
    let uploads = (0..35).map(|_| here.upload("x.png", &bytes));
    let results = futures_util::future::join_all(uploads).await;
    let (taken, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((taken.len(), refused.len()), (30, 5));
    for result in refused {
        assert_eq!(reason(result), "ANONYMOUS_LIMIT");
    }
    let status = here.upload("x.png", &bytes).await.unwrap_err();
    assert_eq!(kit::error::Details::of(&status).retry_after.map(|wait| wait.as_secs()), Some(3600));
    there.upload("x.png", &bytes).await.expect("another address");
    world.user().upload("x.png", &bytes).await.expect("somebody");
    world.pass(1).await;
    here.upload("x.png", &bytes).await.expect("an hour later");
    // What the refused uploads had stored already is gone.
    assert_eq!(world.storage.keys().await.len(), 33 * 3);
}

#[tokio::test]
async fn what_nobody_owns_is_claimed_by_the_first() {
    let world = World::start().await;
    let (user, other) = (world.user(), world.user());
    let one = world.nobody.upload("a.png", &png(3, 3)).await.unwrap();
    let two = world.nobody.upload("a.png", &png(3, 3)).await.unwrap();
    assert!(one.owner_id.is_empty() && one.path != two.path);
    assert_eq!(reason(user.delete(&one.id).await), "NOT_YOURS");

    let claimed = claim(&user, &[&one]).await.unwrap();
    assert_eq!((claimed[0].owner_id.as_str(), &claimed[0].path), (user.id.to_string().as_str(), &one.path));
    assert_eq!(claim(&user, &[&one]).await.unwrap(), claimed);
    // One that is somebody else's, and nothing is claimed.
    assert_eq!(reason(claim(&other, &[&two, &one]).await), "NOT_YOURS");
    assert!(world.nobody.get(&two.id).await.unwrap().owner_id.is_empty());
    let unknown = v1::Media { number: 999_999, ..Default::default() };
    assert!(claim(&user, &[&unknown]).await.unwrap().is_empty());

    let two = [&two];
    let (first, second) = tokio::join!(claim(&user, &two), claim(&other, &two));
    assert!(first.is_ok() != second.is_ok(), "one of them has it: {first:?} {second:?}");
}

#[tokio::test]
async fn files_are_claimed_by_ids_and_numbers_together() {
    let world = World::start().await;
    let (user, other) = (world.user(), world.user());
    let mut files = Vec::new();
    for _ in 0..3 {
        files.push(world.nobody.upload("a.png", &png(3, 3)).await.unwrap());
    }
    let ids = |files: &[v1::Media]| files.iter().map(|file| file.id.clone()).collect::<Vec<_>>();
    let unknown = Uuid::now_v7().to_string();
    let request = ClaimMediaRequest {
        ids: [ids(&files[..2]), vec![unknown]].concat(),
        numbers: vec![files[2].number, files[0].number, 999_999],
        ..Default::default()
    };
    let claimed = claim_with(&user, request.clone()).await.unwrap();
    assert_eq!(ids(&claimed), ids(&files));
    assert!(claimed.iter().all(|file| file.owner_id == user.id.to_string()));
    assert_eq!(claim_with(&user, request.clone()).await.unwrap(), claimed);
    assert_eq!(reason(claim_with(&other, request.clone()).await), "NOT_YOURS");

    let many = ClaimMediaRequest { ids: vec![files[0].id.clone(); 100], ..request.clone() };
    assert_eq!(reason(claim_with(&user, many).await), "INVALID_FIELDS");
    claim_with(&world.nobody, request).await.expect_err("nobody owns nothing");
}

#[tokio::test]
async fn only_an_administrator_claims_for_somebody_else() {
    let world = World::start().await;
    let (user, other, admin) = (world.user(), world.user(), world.admin());
    let file = world.nobody.upload("a.png", &png(3, 3)).await.unwrap();
    let for_user =
        ClaimMediaRequest { ids: vec![file.id.clone()], owner_id: user.id.to_string(), ..Default::default() };
    assert_eq!(reason(claim_with(&other, for_user.clone()).await), "NOT_YOURS");
    let claimed = claim_with(&admin, for_user.clone()).await.unwrap();
    assert_eq!(claimed[0].owner_id, user.id.to_string());
    assert_eq!(claim_with(&user, for_user).await.unwrap(), claimed);
    // Nor does an administrator take what is somebody's already.
    assert_eq!(reason(claim(&admin, &[&file]).await), "NOT_YOURS");
}

#[tokio::test]
async fn users_gives_a_registrations_picture_to_the_new_person() {
    let world = World::start().await;
    let users = world.peer("users");
    let file = world.nobody.upload_to(Folder::Profiles, &png(3, 3)).await.unwrap();
    let owner = Uuid::now_v7();
    let assigned = assign(&users, &file, owner).await.unwrap();
    assert_eq!(assigned, v1::Media { owner_id: owner.to_string(), ..file.clone() });
    assert_eq!(assign(&users, &file, owner).await.unwrap(), assigned);
    assert_eq!(reason(assign(&users, &file, Uuid::now_v7()).await), "NOT_YOURS");
    let unknown = v1::Media { id: Uuid::now_v7().to_string(), ..file.clone() };
    assert_eq!(reason(assign(&users, &unknown, owner).await), "MEDIA_NOT_FOUND");
    for client in [world.user(), world.peer("auth")] {
        assign(&client, &file, owner).await.expect_err("only users may");
    }
}

#[tokio::test]
async fn what_nobody_claims_in_a_day_is_gone() {
    let world = World::start().await;
    let user = world.user();
    let kept = world.nobody.upload("a.png", &png(3, 3)).await.unwrap();
    let lost = world.nobody.upload("b.png", &png(3, 3)).await.unwrap();
    claim(&user, &[&kept]).await.unwrap();
    world.pass(24).await;
    world.nobody.get(&lost.id).await.expect("a day is not over before it is over");
    world.pass(1).await;
    assert_eq!(reason(world.nobody.get(&lost.id).await), "MEDIA_NOT_FOUND");
    world.nobody.read(kept.path()).await.unwrap();
    assert_eq!(world.storage.keys().await.len(), 3);
    assert_eq!(world.events().await.last().unwrap(), &("media.deleted".into(), lost.number.to_string()));
}

#[tokio::test]
async fn a_persons_files_go_with_the_person() {
    let world = World::start().await;
    let (user, other) = (world.user(), world.user());
    user.upload("a.png", &png(3, 3)).await.unwrap();
    user.upload("b.png", &png(3, 3)).await.unwrap();
    user.upload_to(Folder::Verification, &pdf(100)).await.unwrap();
    let others = other.upload("a.png", &png(3, 3)).await.unwrap();
    let gone = UserDeleted { user_id: 7, user_uuid: user.id.to_string(), phone_number: None };
    let event = Received {
        id: Uuid::now_v7(),
        topic: "user.events".into(),
        kind: "user.deleted".into(),
        key: "7".into(),
        data: serde_json::to_value(&gone).unwrap(),
        correlation_id: None,
        traceparent: None,
    };
    for _ in 0..2 {
        apply("media", &world.harness.service.db, &world.media, &event).await.unwrap();
    }
    world.pass(0).await;
    assert_eq!((world.files().await, world.storage.keys().await.len()), (1, 3));
    world.nobody.read(others.path()).await.unwrap();
    let deleted = world.events().await.into_iter().filter(|(kind, _)| kind == "media.deleted").count();
    assert_eq!(deleted, 3);
}

#[tokio::test]
async fn lists_page_newest_first_and_show_ones_own() {
    let world = World::start().await;
    let (user, other) = (world.user(), world.user());
    for name in ["1", "2", "3", "4", "5"] {
        let header = UploadHeader { description: named(name), ..Default::default() };
        user.upload_with(header, &[]).await.unwrap();
    }
    other.upload("x.png", &png(3, 3)).await.unwrap();
    let list = async |client: &Client, request: ListMediaRequest| {
        client.rpc.clone().list_media(request).await.unwrap().into_inner()
    };
    let names = |page: &v1::ListMediaResponse| page.media.iter().map(|file| file.name()).collect::<Vec<_>>().concat();

    let request = ListMediaRequest { page_size: 2, ..Default::default() };
    let first = list(&user, request.clone()).await;
    assert_eq!((names(&first).as_str(), first.total_size), ("54", 5));
    let request = ListMediaRequest { page_token: first.next_page_token, ..request };
    let second = list(&user, request.clone()).await;
    assert_eq!(names(&second), "32");
    let request = ListMediaRequest { page_token: second.next_page_token, ..request };
    let last = list(&user, request.clone()).await;
    assert_eq!((names(&last).as_str(), last.next_page_token.as_str()), ("1", ""));
    let skipped = list(&user, ListMediaRequest { skip: 3, everybody: true, ..Default::default() }).await;
    assert_eq!(names(&skipped), "21");
    assert_eq!(list(&world.admin(), ListMediaRequest { everybody: true, ..Default::default() }).await.total_size, 6);
    assert_eq!(list(&world.admin(), ListMediaRequest::default()).await.total_size, 0);
    // A token of one's own list does not open somebody else's.
    let forged = other.rpc.clone().list_media(request).await.unwrap_err();
    assert_eq!(forged.code(), Code::InvalidArgument);
    let nobody = world.nobody.rpc.clone().list_media(ListMediaRequest::default()).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_batch_finds_by_id_and_number_and_leaves_out_the_rest() {
    let world = World::start().await;
    let (user, admin) = (world.user(), world.admin());
    let one = user.upload("a.png", &png(3, 3)).await.unwrap();
    let two = user.upload("b.ogg", &ogg(100)).await.unwrap();
    let secret = user.upload_to(Folder::Verification, &pdf(100)).await.unwrap();
    let request = BatchGetMediaRequest {
        ids: vec![two.id.clone(), one.id.clone(), one.id.clone(), secret.id.clone(), Uuid::now_v7().to_string()],
        numbers: vec![one.number, secret.number, 999_999],
        ..Default::default()
    };
    let batch =
        async |client: &Client| client.rpc.clone().batch_get_media(request.clone()).await.unwrap().into_inner().media;
    assert_eq!(batch(&world.nobody).await, [one.clone(), two.clone()]);
    assert_eq!(batch(&world.user()).await, [one.clone(), two.clone()]);
    assert_eq!(batch(&user).await, [one.clone(), two.clone(), secret.clone()]);
    assert_eq!(batch(&admin).await, [one.clone(), two.clone(), secret.clone()]);

    // Less of each, of the same files; what opens a private one is told all the same.
    let basic = BatchGetMediaRequest { view: MediaView::Basic.into(), ..request.clone() };
    let basics =
        async |client: &Client| client.rpc.clone().batch_get_media(basic.clone()).await.unwrap().into_inner().media;
    let shown = [one, two, secret].map(|file| v1::Media {
        id: file.id,
        number: file.number,
        name: file.name,
        description: file.description,
        price_hundredths: file.price_hundredths,
        path: file.path,
        signature: file.signature,
        created_at: file.created_at,
        ..v1::Media::default()
    });
    assert!(shown[2].signature.is_some());
    assert_eq!(basics(&world.nobody).await, shown[..2]);
    assert_eq!(basics(&world.user()).await, shown[..2]);
    assert_eq!(basics(&user).await, shown);
    assert_eq!(basics(&admin).await, shown);
}
