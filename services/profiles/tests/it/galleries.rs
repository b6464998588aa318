use proto::media::v1::{Folder, Kind};
use proto::profiles::v1::profile_input::Details as Input;
use proto::profiles::v1::{AppendMediaRequest, BusinessmanInput, MediaList, Profile, ProfileKind, SpecialistInput};
use uuid::Uuid;

use crate::world::{Somebody, World, businessman, refused, shop, specialist, vet};

fn append(whose: &Somebody, kind: ProfileKind, ids: &[Uuid]) -> AppendMediaRequest {
    let media_ids = ids.iter().map(Uuid::to_string).collect();
    AppendMediaRequest { user_id: whose.id.to_string(), kind: kind.into(), media_ids }
}

fn images(ids: &[Uuid]) -> Input {
    let ids = ids.iter().map(Uuid::to_string).collect();
    Input::Specialist(SpecialistInput { work_images: Some(MediaList { ids }), ..SpecialistInput::default() })
}

fn gallery(profile: &Profile) -> Vec<Uuid> {
    specialist(profile).work_image_ids.iter().map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_gallery_keeps_the_order_it_is_given() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(vet()).await;
    let [a, b, c, d] = [(); 4].map(|()| world.peers.file(ana.id, Folder::Portfolio));
    assert_eq!(gallery(&ana.update(images(&[c, a, c, b])).await), [c, a, b]);
    let after = ana.profiles().append_media(append(&ana, ProfileKind::Specialist, &[d, a])).await.unwrap();
    assert_eq!(gallery(&after.into_inner()), [c, a, b, d]);
    world.published().await;
    ana.profiles().append_media(append(&ana, ProfileKind::Specialist, &[d, a])).await.unwrap();
    assert_eq!(world.published().await, [], "nothing is new");
    assert_eq!(gallery(&ana.update(vet()).await), [c, a, b, d]);
    assert!(gallery(&ana.update(images(&[])).await).is_empty());
}

#[tokio::test]
async fn files_must_be_there_and_the_owners() {
    let world = World::start().await;
    let (ana, ben, admin) = (world.person(1, "Ana"), world.person(2, "Ben"), world.admin());
    ana.create(vet()).await;
    let [own, other] = [&ana, &ben].map(|who| world.peers.file(who.id, Folder::Portfolio));
    for ids in [&[other][..], &[own, Uuid::now_v7()]] {
        refused!(ana.try_update(&ana, images(ids)).await, InvalidArgument, "MEDIA_UNKNOWN");
        let addition = append(&ana, ProfileKind::Specialist, ids);
        refused!(ana.profiles().append_media(addition).await, InvalidArgument, "MEDIA_UNKNOWN");
    }
    let of_admin = world.peers.file(admin.id, Folder::Portfolio);
    refused!(admin.try_update(&ana, images(&[of_admin])).await, InvalidArgument, "MEDIA_UNKNOWN");
    assert_eq!(gallery(&admin.try_update(&ana, images(&[own])).await.unwrap()), [own]);

    let addition = append(&ana, ProfileKind::Specialist, &[own]);
    refused!(ben.profiles().append_media(addition.clone()).await, PermissionDenied, "NOT_YOURS");
    refused!(world.nobody().append_media(addition).await, Unauthenticated, "NOT_SIGNED_IN");
    let addition = append(&ana, ProfileKind::Businessman, &[own]);
    refused!(ana.profiles().append_media(addition).await, NotFound, "PROFILE_NOT_FOUND");
    let addition = append(&ana, ProfileKind::Consumer, &[own]);
    refused!(ana.profiles().append_media(addition).await, InvalidArgument, "INVALID_FIELDS");
    let addition = append(&ben, ProfileKind::Specialist, &[other]);
    refused!(ben.profiles().append_media(addition).await, NotFound, "PROFILE_NOT_FOUND");
}

#[tokio::test]
async fn a_gallery_has_pictures_that_others_see() {
    let world = World::start().await;
    let (ana, agro) = (world.person(1, "Ana"), world.person(2, "Agro"));
    ana.create(vet()).await;
    agro.create(shop()).await;
    for (folder, kind, reason) in [
        (Folder::Verification, Kind::Image, "MEDIA_PRIVATE"),
        (Folder::Verification, Kind::Document, "MEDIA_PRIVATE"),
        (Folder::Portfolio, Kind::Audio, "NOT_AN_IMAGE"),
        (Folder::Portfolio, Kind::Unspecified, "NOT_AN_IMAGE"),
    ] {
        let [of_ana, of_agro] = [&ana, &agro].map(|who| world.peers.file_of(who.id, folder, kind));
        refused!(ana.try_update(&ana, images(&[of_ana])).await, InvalidArgument, reason);
        let addition = append(&ana, ProfileKind::Specialist, &[of_ana]);
        refused!(ana.profiles().append_media(addition).await, InvalidArgument, reason);
        let products = Some(MediaList { ids: vec![of_agro.to_string()] });
        let products = Input::Businessman(BusinessmanInput { products, ..BusinessmanInput::default() });
        refused!(agro.try_update(&agro, products).await, InvalidArgument, reason);
    }
    assert!(gallery(&ana.see(&ana).await.unwrap()).is_empty());
}

#[tokio::test]
async fn a_full_gallery_takes_no_more() {
    let world = World::start().await;
    let (ana, agro) = (world.person(1, "Ana"), world.person(2, "Agro"));
    ana.create(vet()).await;
    let files: Vec<_> = (0..51).map(|_| world.peers.file(ana.id, Folder::Portfolio)).collect();
    refused!(ana.try_update(&ana, images(&files)).await, InvalidArgument, "GALLERY_FULL");
    ana.update(images(&files[..49])).await;
    let two = append(&ana, ProfileKind::Specialist, &files[49..]);
    refused!(ana.profiles().append_media(two).await, InvalidArgument, "GALLERY_FULL");
    let one = append(&ana, ProfileKind::Specialist, &files[40..50]);
    assert_eq!(gallery(&ana.profiles().append_media(one).await.unwrap().into_inner()), files[..50]);

    agro.create(shop()).await;
    let ids: Vec<_> = (0..200).map(|_| world.peers.file(agro.id, Folder::Products).to_string()).collect();
    let products = |ids: &[String]| {
        let products = Some(MediaList { ids: ids.to_vec() });
        Input::Businessman(BusinessmanInput { products, ..BusinessmanInput::default() })
    };
    assert_eq!(businessman(&agro.update(products(&ids)).await).product_ids, ids);
    let more = append(&agro, ProfileKind::Businessman, &[world.peers.file(agro.id, Folder::Products)]);
    refused!(agro.profiles().append_media(more).await, InvalidArgument, "GALLERY_FULL");
}

#[tokio::test]
async fn uploads_at_once_lose_nothing() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(vet()).await;
    let uploads: Vec<_> = (0..10)
        .map(|_| {
            let files = [(); 2].map(|()| world.peers.file(ana.id, Folder::Portfolio));
            let (mut profiles, request) = (ana.profiles(), append(&ana, ProfileKind::Specialist, &files));
            let upload = tokio::spawn(async move { profiles.append_media(request).await.unwrap() });
            (files, upload)
        })
        .collect();
    let mut all = Vec::new();
    for (files, upload) in uploads {
        upload.await.unwrap();
        all.push(files);
    }
    let stored = gallery(&ana.see(&ana).await.unwrap());
    let mut pairs: Vec<_> = stored.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
    pairs.sort_unstable();
    all.sort_unstable();
    assert_eq!(pairs, all);
}
