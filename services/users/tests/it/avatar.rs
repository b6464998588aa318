use std::time::Duration;

use proto::media::v1::Kind;
use proto::users::v1::{AnonymizeUserRequest, SetAvatarRequest, User};
use tonic::Status;
use uuid::Uuid;

use crate::{Somebody, World, media, refused};

async fn wear(person: &Somebody, file: Option<Uuid>) -> Result<User, Status> {
    let media_id = file.map(|id| id.to_string()).unwrap_or_default();
    Ok(person.users().set_avatar(SetAvatarRequest { media_id }).await?.into_inner())
}

#[tokio::test]
async fn ones_own_image_becomes_ones_picture() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    let file = world.media.file(Some(ana.id), Kind::Image);
    for _ in 0..2 {
        let user = wear(&ana, Some(file)).await.unwrap();
        assert_eq!((user.avatar_media_id, user.avatar_path), (Some(file.to_string()), Some(media::path(file))));
    }
    world.users.delete_discarded().await.unwrap();
    assert!(world.media.has(file));
    for _ in 0..2 {
        assert_eq!(wear(&ana, None).await.unwrap().avatar_path, None);
    }
    world.users.delete_discarded().await.unwrap();
    assert!(!world.media.has(file));
}

#[tokio::test]
async fn other_files_do_not() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana", &[]).await, world.person(2, "Ben", &[]).await);
    let (bens, nobodys) = (world.media.file(Some(ben.id), Kind::Image), world.media.file(None, Kind::Image));
    for file in [bens, nobodys, Uuid::now_v7()] {
        refused!(wear(&ana, Some(file)).await, NotFound, "MEDIA_NOT_FOUND");
    }
    let sound = world.media.file(Some(ana.id), Kind::Audio);
    refused!(wear(&ana, Some(sound)).await, InvalidArgument, "NOT_AN_IMAGE");
    let nonsense = SetAvatarRequest { media_id: "17".into() };
    refused!(ana.users().set_avatar(nonsense).await, InvalidArgument, "INVALID_FIELDS");
    let mine = world.media.file(Some(ana.id), Kind::Image);
    let request = SetAvatarRequest { media_id: mine.to_string() };
    refused!(world.nobody().set_avatar(request).await, Unauthenticated, "NOT_SIGNED_IN");
    let stranger = world.stranger();
    refused!(wear(&stranger, None).await, NotFound, "USER_NOT_FOUND");

    world.media.set_away(true);
    refused!(wear(&ana, Some(mine)).await, Unavailable, "STORAGE_FAILED");
    assert_eq!(ana.me().await.avatar_path, None);
}

#[tokio::test]
async fn the_former_file_is_deleted_even_if_media_was_away() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    let (first, second) = (world.media.file(Some(ana.id), Kind::Image), world.media.file(Some(ana.id), Kind::Image));
    wear(&ana, Some(first)).await.unwrap();
    wear(&ana, Some(second)).await.unwrap();

    world.media.set_away(true);
    world.users.delete_discarded().await.unwrap();
    world.media.set_away(false);
    world.users.delete_discarded().await.unwrap();
    assert!(world.media.has(first), "its next turn has not come");
    world.harness.clock.advance(Duration::from_secs(60));
    world.users.delete_discarded().await.unwrap();
    assert!(!world.media.has(first));
    assert!(world.media.has(second));
}

#[tokio::test]
async fn a_picture_put_on_again_in_time_is_kept() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    let (first, second) = (world.media.file(Some(ana.id), Kind::Image), world.media.file(Some(ana.id), Kind::Image));
    for file in [first, second, first] {
        wear(&ana, Some(file)).await.unwrap();
    }
    world.users.delete_discarded().await.unwrap();
    assert_eq!((world.media.has(first), world.media.has(second)), (true, false));
}

#[tokio::test]
async fn of_two_pictures_at_once_one_is_worn_and_the_other_deleted() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    for _ in 0..5 {
        let (a, b) = (world.media.file(Some(ana.id), Kind::Image), world.media.file(Some(ana.id), Kind::Image));
        let (one, two) = tokio::join!(wear(&ana, Some(a)), wear(&ana, Some(b)));
        one.and(two).unwrap();
        world.users.delete_discarded().await.unwrap();
        let worn = ana.me().await.avatar_media_id.unwrap();
        assert_eq!([a, b].map(|file| world.media.has(file)), [a, b].map(|file| file.to_string() == worn));
    }
}

#[tokio::test]
async fn whoever_is_anonymised_loses_the_picture() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    let file = world.media.file(Some(ana.id), Kind::Image);
    wear(&ana, Some(file)).await.unwrap();
    world.auth().anonymize_user(AnonymizeUserRequest { id: ana.id.to_string() }).await.unwrap();
    world.users.delete_discarded().await.unwrap();
    assert!(!world.media.has(file));
}
