use proto::forum::v1::{
    BanMemberRequest, CreateCommentRequest, CreatePostRequest, DeletePostRequest, GetPostRequest, Post,
    RemoveContentRequest, Target, TargetKind, UpdatePostRequest, ViewPostRequest,
};
use proto::media::v1::Kind;
use serde_json::json;
use tonic::Status;
use uuid::Uuid;

use crate::{Somebody, World, refused};

async fn get(person: &Somebody, id: i64) -> Result<Post, Status> {
    let request = GetPostRequest { id, ..Default::default() };
    Ok(person.posts().get_post(request).await?.into_inner())
}

async fn update(person: &Somebody, change: UpdatePostRequest) -> Result<Post, Status> {
    Ok(person.posts().update_post(change).await?.into_inner())
}

async fn delete(person: &Somebody, id: i64) -> Result<(), Status> {
    person.posts().delete_post(DeletePostRequest { id }).await.map(drop)
}

async fn view(person: &Somebody, id: i64, visitor: &str) -> bool {
    let request = ViewPostRequest { id, visitor: visitor.to_owned() };
    person.posts().view_post(request).await.unwrap().into_inner().counted
}

async fn posts_count(world: &World, community: i64) -> i64 {
    sqlx::query_scalar("select posts_count from communities where id = $1")
        .bind(community)
        .fetch_one(world.db())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_post_is_written_shown_to_everybody_and_told() {
    let world = World::start().await;
    let ana = world.person(1);
    let community = ana.found("apicultura").await.id;
    let post = ana.post("Panales", Some(community)).await;
    assert_eq!((post.author_id.as_str(), post.author_number), (ana.id.to_string().as_str(), 1));
    assert_eq!((post.created_at, post.last_activity_at), (post.updated_at, post.created_at));
    let shown = get(&world.nobody(), post.id).await.unwrap();
    assert_eq!((&shown, shown.community.as_ref().unwrap().slug.as_str()), (&post, "apicultura"));
    assert_eq!(posts_count(&world, community).await, 1);
    let data = json!({
        "post_id": post.id, "author_id": 1, "author_uuid": ana.id.to_string(), "title": "Panales",
        "community_id": community,
    });
    assert_eq!(world.published().await, [("foro.post.created".to_owned(), post.id.to_string(), data)]);

    refused!(world.nobody().try_post("Hola", None).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(ana.try_post("", None).await, InvalidArgument, "INVALID_FIELDS");
    refused!(ana.try_post("Hola", Some(999)).await, InvalidArgument, "COMMUNITY_NOT_FOUND");
    refused!(get(&ana, 999).await, NotFound, "POST_NOT_FOUND");
}

#[tokio::test]
async fn a_post_takes_only_files_of_its_author_or_of_nobody() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    world.media.set_claimant(ana.id);
    let attach = |file: Uuid| {
        let request = CreatePostRequest {
            title: "Foto".into(),
            content: "Texto".into(),
            media_id: file.to_string(),
            ..Default::default()
        };
        let mut client = ana.posts();
        async move { Ok::<_, Status>(client.create_post(request).await?.into_inner().media_id) }
    };
    let (own, nobodys) = (world.media.file(Some(ana.id), Kind::Image), world.media.file(None, Kind::Image));
    for file in [own, nobodys] {
        assert_eq!(attach(file).await.unwrap(), file.to_string());
        assert_eq!(world.media.owner(file), ana.id.to_string());
    }
    let bens = world.media.file(Some(ben.id), Kind::Image);
    for file in [bens, Uuid::now_v7()] {
        refused!(attach(file).await, InvalidArgument, "MEDIA_NOT_FOUND");
    }
    world.media.set_away(true);
    refused!(attach(own).await, Unavailable, "STORAGE_FAILED");
}

#[tokio::test]
async fn the_author_and_administrators_change_and_move_a_post() {
    let world = World::start().await;
    let (ana, ben, admin) = (world.person(1), world.person(2), world.admin());
    let (one, two) = (ana.found("uno").await.id, ana.found("dos").await.id);
    let post = ana.post("Panales", Some(one)).await;
    world.pass(1);
    let change = UpdatePostRequest { id: post.id, title: Some("Colmenas".into()), ..Default::default() };
    refused!(update(&ben, change.clone()).await, PermissionDenied, "NOT_YOURS");
    refused!(update(&world.nobody(), change.clone()).await, Unauthenticated, "NOT_SIGNED_IN");
    let changed = update(&ana, change.clone()).await.unwrap();
    assert_eq!((changed.title.as_str(), changed.content.as_str()), ("Colmenas", "Texto"));
    assert!(changed.updated_at.unwrap().seconds > post.updated_at.unwrap().seconds);
    assert_eq!(changed.last_activity_at, post.last_activity_at);

    let to = |community| UpdatePostRequest { id: post.id, community_id: Some(community), ..Default::default() };
    assert_eq!(update(&admin, to(two)).await.unwrap().community.unwrap().id, two);
    assert_eq!((posts_count(&world, one).await, posts_count(&world, two).await), (0, 1));
    refused!(update(&ana, to(999)).await, InvalidArgument, "COMMUNITY_NOT_FOUND");
    let out = UpdatePostRequest { id: post.id, clear_community: true, ..Default::default() };
    assert_eq!(update(&ana, out).await.unwrap().community, None);
    assert_eq!((posts_count(&world, one).await, posts_count(&world, two).await), (0, 0));
    let unknown = UpdatePostRequest { id: 999, ..Default::default() };
    refused!(update(&ana, unknown).await, NotFound, "POST_NOT_FOUND");
}

#[tokio::test]
async fn moves_at_once_leave_every_count_right() {
    let world = World::start().await;
    let ana = world.person(1);
    let (one, two) = (ana.found("uno").await.id, ana.found("dos").await.id);
    let post = ana.post("Panales", Some(one)).await.id;
    let to = |community| UpdatePostRequest { id: post, community_id: Some(community), ..Default::default() };
    let mut last = one;
    for _ in 0..10 {
        let (a, b) = tokio::join!(update(&ana, to(one)), update(&ana, to(two)));
        for outcome in [a, b] {
            if let Err(status) = outcome {
                assert_eq!(crate::refusal::<()>(Err(status)), (tonic::Code::Aborted, "CONFLICT".to_owned()));
            }
        }
        last = get(&ana, post).await.unwrap().community.unwrap().id;
        let counts = (posts_count(&world, one).await, posts_count(&world, two).await);
        assert_eq!(counts, if last == one { (1, 0) } else { (0, 1) });
    }
    let (a, b) = tokio::join!(delete(&ana, post), delete(&ana, post));
    assert!(a.is_ok() != b.is_ok(), "one of them deletes it");
    assert_eq!(posts_count(&world, last).await, 0);
}

#[tokio::test]
async fn the_author_and_administrators_delete_a_post() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let community = ana.found("uno").await.id;
    let (first, second) = (ana.post("Uno", Some(community)).await.id, ana.post("Dos", Some(community)).await.id);
    refused!(delete(&ben, first).await, PermissionDenied, "NOT_YOURS");
    refused!(delete(&world.nobody(), first).await, Unauthenticated, "NOT_SIGNED_IN");
    delete(&ana, first).await.unwrap();
    refused!(delete(&ana, first).await, NotFound, "POST_NOT_FOUND");
    delete(&world.admin(), second).await.unwrap();
    assert_eq!(posts_count(&world, community).await, 0);
}

#[tokio::test]
async fn a_removed_post_is_seen_by_its_author_and_moderators_only() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let community = ana.found("uno").await.id;
    let post = ben.post("Spam", Some(community)).await.id;
    let target = Some(Target { kind: TargetKind::Post.into(), id: post });
    let request = RemoveContentRequest { target, reason: "publicidad".into() };
    ana.moderation().remove_content(request).await.unwrap();
    for viewer in [&ana, &ben, &world.admin()] {
        assert!(get(viewer, post).await.unwrap().removed);
    }
    for viewer in [&world.person(3), &world.nobody()] {
        refused!(get(viewer, post).await, NotFound, "POST_NOT_FOUND");
    }
    let change = UpdatePostRequest { id: post, title: Some("Otro".into()), ..Default::default() };
    refused!(update(&ben, change).await, FailedPrecondition, "LOCKED");
    assert_eq!(posts_count(&world, community).await, 0);
    delete(&ben, post).await.unwrap();
    assert_eq!(posts_count(&world, community).await, 0);
}

#[tokio::test]
async fn a_viewer_counts_once_in_half_an_hour_and_the_author_never() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let edge = Somebody { peer: world.harness.as_peer("edge-gateway"), ..world.nobody() };
    let post = ana.post("Panales", None).await.id;
    assert!(!view(&ana, post, "").await);
    let (one, two, three) = tokio::join!(view(&ben, post, ""), view(&ben, post, ""), view(&ben, post, "x"));
    assert_eq!([one, two, three].iter().filter(|counted| **counted).count(), 1);
    assert!(view(&edge, post, "192.0.2.1").await);
    assert!(!view(&edge, post, "192.0.2.1").await);
    assert!(view(&edge, post, &ben.id.to_string()).await, "a visitor is nobody's person");
    assert_eq!(get(&ana, post).await.unwrap().views_count, 3);
    world.pass(29);
    assert!(!view(&ben, post, "").await);
    world.pass(1);
    world.forum.sweep().await.unwrap();
    assert!(view(&ben, post, "").await);
    let request = ViewPostRequest { id: 999, visitor: String::new() };
    refused!(ben.posts().view_post(request).await, NotFound, "POST_NOT_FOUND");
}

#[tokio::test]
async fn ten_posts_a_minute_are_enough_also_at_once() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let posts: Vec<_> = (0..15)
        .map(|n| {
            let ana = ana.clone();
            tokio::spawn(async move { ana.try_post(&format!("Post {n}"), None).await })
        })
        .collect();
    let mut written = 0;
    for post in posts {
        match post.await.unwrap() {
            Ok(_) => written += 1,
            Err(status) => assert_eq!(
                crate::refusal::<()>(Err(status)),
                (tonic::Code::ResourceExhausted, "RATE_LIMITED".to_owned())
            ),
        }
    }
    assert_eq!(written, 10);
    ben.post("Otro", None).await;
    world.pass(1);
    world.forum.sweep().await.unwrap();
    ana.post("Ahora sí", None).await;
}

#[tokio::test]
async fn who_is_banned_changes_no_post_there_and_may_take_it_away() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let community = ana.found("uno").await.id;
    let id = ben.post("Hola", Some(community)).await.id;
    let ban = BanMemberRequest { community_id: community, user_id: ben.id.to_string(), reason: String::new() };
    ana.moderation().ban_member(ban).await.unwrap();
    let change = UpdatePostRequest { id, title: Some("Otra cosa".into()), ..Default::default() };
    refused!(ben.posts().update_post(change.clone()).await, PermissionDenied, "COMMUNITY_BANNED");
    let away = UpdatePostRequest { clear_community: true, ..change };
    assert_eq!(ben.posts().update_post(away).await.unwrap().into_inner().community, None);
}

#[tokio::test]
async fn a_private_document_is_attached_to_nothing() {
    let world = World::start().await;
    let ana = world.person(1);
    world.media.set_claimant(ana.id);
    let media_id = world.media.document(ana.id).to_string();
    let post = CreatePostRequest {
        title: "Título".into(),
        content: "Texto".into(),
        media_id: media_id.clone(),
        ..Default::default()
    };
    refused!(ana.posts().create_post(post).await, InvalidArgument, "MEDIA_PRIVATE");
    let post_id = ana.post("Post", None).await.id;
    let comment = CreateCommentRequest { post_id, content: "Mira".into(), media_id, ..Default::default() };
    refused!(ana.comments().create_comment(comment).await, InvalidArgument, "MEDIA_PRIVATE");
}
