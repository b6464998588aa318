//! Former pictures of communities: which are deleted, and what is shown at the same time.

use proto::forum::v1::picture::From;
use proto::forum::v1::{Community, CreateCommentRequest, CreatePostRequest, Picture, UpdateCommunityRequest};
use proto::media::v1::Kind;
use testkit::eventually;
use tonic::Status;
use uuid::Uuid;

use crate::locks::waiting;
use crate::{Somebody, World, media, refused};

fn picture(file: Uuid) -> Option<Picture> {
    Some(Picture { from: Some(From::MediaId(file.to_string())) })
}

async fn set_cover(person: &Somebody, id: i64, file: Uuid) -> Result<Community, Status> {
    let request = UpdateCommunityRequest { id, cover_image: picture(file), ..Default::default() };
    Ok(person.communities().update_community(request).await?.into_inner())
}

async fn set_avatar(person: &Somebody, id: i64, file: Uuid) -> Result<Community, Status> {
    let request = UpdateCommunityRequest { id, avatar: picture(file), ..Default::default() };
    Ok(person.communities().update_community(request).await?.into_inner())
}

async fn post_with(person: &Somebody, file: Uuid) -> Result<i64, Status> {
    let request = CreatePostRequest {
        title: "Foto".into(),
        content: "Texto".into(),
        media_id: file.to_string(),
        ..Default::default()
    };
    Ok(person.posts().create_post(request).await?.into_inner().id)
}

async fn comment_with(person: &Somebody, post_id: i64, file: Uuid) -> Result<i64, Status> {
    let (content, media_id) = ("Mira".to_owned(), file.to_string());
    let request = CreateCommentRequest { post_id, content, media_id, ..Default::default() };
    Ok(person.comments().create_comment(request).await?.into_inner().id)
}

/// How many files wait to be deleted, or have just been.
async fn discarded(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from discarded_media").fetch_one(world.db()).await.unwrap()
}

#[tokio::test]
async fn only_what_one_uploaded_for_a_community_oneself_is_deleted() {
    let world = World::start().await;
    let (ana, admin) = (world.person(1), world.admin());
    let id = ana.found("apicultura").await.id;
    let (anas, admins) = (world.media.upload(ana.id), world.media.upload(admin.id));
    let of_an_ad = world.media.file(Some(ana.id), Kind::Image);
    let last = world.media.upload(ana.id);
    for (who, file) in [(&ana, anas), (&admin, admins), (&ana, of_an_ad), (&ana, last)] {
        set_cover(who, id, file).await.unwrap();
        world.forum.delete_discarded().await.unwrap();
    }
    assert!([anas, admins, of_an_ad, last].iter().all(|file| world.media.has(*file)));
    assert_eq!(discarded(&world).await, 0, "nobody looks at them again");
    set_cover(&ana, id, world.media.upload(ana.id)).await.unwrap();
    world.forum.delete_discarded().await.unwrap();
    assert!(!world.media.has(last));
}

#[tokio::test]
async fn what_a_post_or_a_comment_shows_is_not_deleted() {
    let world = World::start().await;
    let ana = world.person(1);
    world.media.set_claimant(ana.id);
    let id = ana.found("apicultura").await.id;
    let [on_post, on_comment, later] = [(); 3].map(|()| world.media.upload(ana.id));
    let post = post_with(&ana, on_post).await.unwrap();
    comment_with(&ana, post, on_comment).await.unwrap();
    for file in [on_post, on_comment, later] {
        set_cover(&ana, id, file).await.unwrap();
        set_cover(&ana, id, world.media.upload(ana.id)).await.unwrap();
    }
    // Shown again before it is deleted.
    comment_with(&ana, post, later).await.unwrap();
    world.forum.delete_discarded().await.unwrap();
    assert!([on_post, on_comment, later].iter().all(|file| world.media.has(*file)));

    // The other picture of the same community shows it, too.
    let both = world.media.upload(ana.id);
    set_avatar(&ana, id, both).await.unwrap();
    set_cover(&ana, id, both).await.unwrap();
    set_cover(&ana, id, world.media.upload(ana.id)).await.unwrap();
    world.forum.delete_discarded().await.unwrap();
    assert!(world.media.has(both));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_community_begins_to_show_at_the_same_time_stays() {
    let world = World::start().await;
    let ana = world.person(1);
    let (one, two) = (ana.found("uno").await.id, ana.found("dos").await.id);
    let (file, next) = (world.media.upload(ana.id), world.media.upload(ana.id));
    set_cover(&ana, one, file).await.unwrap();
    // Whoever changes the second community stands still right before the commit.
    for sql in [
        "create function stand_still() returns trigger language plpgsql as $$
         begin
             perform pg_advisory_xact_lock(4711);
             return null;
         end $$",
        "create constraint trigger stand_still after update on communities deferrable initially deferred
         for each row when (new.slug = 'dos') execute function stand_still()",
    ] {
        sqlx::query(sql).execute(world.db()).await.unwrap();
    }
    let mut gate = world.db().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(4711)").execute(&mut *gate).await.unwrap();

    let change = |id: i64, file: Uuid| {
        let ana = ana.clone();
        tokio::spawn(async move { set_cover(&ana, id, file).await })
    };
    let begins = change(two, file);
    eventually("the second community stands still", async || waiting(world.db()).await == 1).await;
    let ceases = change(one, next);
    let settled = async || ceases.is_finished() || waiting(world.db()).await == 2;
    eventually("the first one is changed, or waits", settled).await;
    gate.commit().await.unwrap();
    let shown = begins.await.unwrap().unwrap();
    ceases.await.unwrap().unwrap();
    world.forum.delete_discarded().await.unwrap();
    assert_eq!((shown.cover_image, world.media.has(file)), (Some(media::path(file)), true));
}

#[tokio::test]
async fn nobody_begins_to_show_a_file_that_is_being_deleted() {
    let world = World::start().await;
    let ana = world.person(1);
    world.media.set_claimant(ana.id);
    let (one, two) = (ana.found("uno").await.id, ana.found("dos").await.id);
    let post = ana.post("Panales", None).await.id;
    let file = world.media.upload(ana.id);
    set_cover(&ana, one, file).await.unwrap();
    set_cover(&ana, one, world.media.upload(ana.id)).await.unwrap();

    let gate = world.media.hold_deletions();
    let forum = world.forum.clone();
    let job = tokio::spawn(async move { forum.delete_discarded().await });
    gate.wait().await;
    refused!(set_cover(&ana, two, file).await, InvalidArgument, "MEDIA_NOT_FOUND");
    refused!(post_with(&ana, file).await, InvalidArgument, "MEDIA_NOT_FOUND");
    refused!(comment_with(&ana, post, file).await, InvalidArgument, "MEDIA_NOT_FOUND");
    gate.wait().await;
    job.await.unwrap().unwrap();
    assert!(!world.media.has(file));

    // What was said of it is forgotten when nobody can have been told any more that it is there.
    assert_eq!(discarded(&world).await, 1);
    world.pass(1);
    world.forum.delete_discarded().await.unwrap();
    assert_eq!(discarded(&world).await, 0);
}
