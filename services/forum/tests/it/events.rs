use proto::events::v1::{MediaDeleted, MediaUpdated, UserCreated, UserDeleted, UserRoleChanged};
use proto::forum::v1::get_community_request::Key;
use proto::forum::v1::picture::From;
use proto::forum::v1::{
    CreateCommunityRequest, CreatePostRequest, GetCommunityRequest, GetPostRequest, JoinCommunityRequest,
    LeaveCommunityRequest, ListCommunitiesRequest, Picture, UpdateCommunityRequest,
};
use proto::media::v1::Kind;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Somebody, World, media, refused};

fn created(person: &Somebody, role: &str) -> UserCreated {
    UserCreated {
        user_id: person.number,
        user_uuid: person.id.to_string(),
        role: (!role.is_empty()).then(|| role.to_owned()),
        ..Default::default()
    }
}

fn changed(person: &Somebody, old: &str, new: &str) -> UserRoleChanged {
    UserRoleChanged {
        user_id: person.number,
        user_uuid: person.id.to_string(),
        old_role: Some(old.to_owned()),
        new_role: Some(new.to_owned()),
        ..Default::default()
    }
}

/// The slugs of somebody's communities.
async fn mine(person: &Somebody) -> Vec<String> {
    let request = ListCommunitiesRequest { mine: true, ..Default::default() };
    let page = person.communities().list_communities(request).await.unwrap().into_inner();
    let mut slugs: Vec<_> = page.communities.into_iter().map(|community| community.slug).collect();
    slugs.sort_unstable();
    slugs
}

async fn id(world: &World, slug: &str) -> i64 {
    sqlx::query_scalar("select id from communities where slug = $1").bind(slug).fetch_one(world.db()).await.unwrap()
}

async fn assert_counts(world: &World) {
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from communities c where members_count <>
             (select count(*) from memberships where community_id = c.id and left_at is null)",
    )
    .fetch_one(world.db())
    .await
    .unwrap();
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn newcomers_join_the_general_community_and_that_of_their_role_once() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    for _ in 0..2 {
        world.deliver(&created(&ana, "Specialist")).await;
        world.deliver(&created(&ben, "")).await;
    }
    assert_eq!(mine(&ana).await, ["especialistas-salud", "general"]);
    assert_eq!(mine(&ben).await, ["general"]);
    assert_counts(&world).await;
}

#[tokio::test]
async fn another_role_means_another_community_and_nobody_comes_back_who_left() {
    let world = World::start().await;
    let ana = world.person(1);
    world.deliver(&created(&ana, "consumer")).await;
    let general = id(&world, "general").await;
    ana.communities().leave_community(LeaveCommunityRequest { id: general }).await.unwrap();
    let own = world.person(2).found("apicultura").await.id;
    ana.communities().join_community(JoinCommunityRequest { id: own }).await.unwrap();

    world.deliver(&changed(&ana, "consumer", "businessman")).await;
    assert_eq!(mine(&ana).await, ["agronegocios", "apicultura"]);
    let business = id(&world, "agronegocios").await;
    ana.communities().leave_community(LeaveCommunityRequest { id: business }).await.unwrap();
    world.deliver(&changed(&ana, "businessman", "consumer")).await;
    world.deliver(&changed(&ana, "consumer", "businessman")).await;
    world.deliver(&created(&ana, "businessman")).await;
    assert_eq!(mine(&ana).await, ["apicultura"]);
    assert_counts(&world).await;
}

#[tokio::test]
async fn who_leaves_before_the_event_arrives_stays_away() {
    let world = World::start().await;
    let ana = world.person(1);
    let general = id(&world, "general").await;
    ana.communities().leave_community(LeaveCommunityRequest { id: general }).await.unwrap();
    world.deliver(&created(&ana, "consumer")).await;
    assert_eq!(mine(&ana).await, ["ganaderos-agricultores-animales"]);
    assert_counts(&world).await;
}

#[tokio::test]
async fn of_a_deleted_account_posts_stay_and_memberships_go() {
    let world = World::start().await;
    let ana = world.person(1);
    world.deliver(&created(&ana, "consumer")).await;
    let post = ana.post("Sequía", None).await;
    let event = UserDeleted { user_id: 1, user_uuid: ana.id.to_string(), phone_number: None };
    for _ in 0..2 {
        world.deliver(&event).await;
    }
    assert_eq!(mine(&ana).await, [""; 0]);
    assert_counts(&world).await;
    let request = GetPostRequest { id: post.id, ..Default::default() };
    let left = world.nobody().posts().get_post(request).await.unwrap().into_inner();
    assert_eq!((left.title.as_str(), left.author_number), ("Sequía", 1));
}

#[tokio::test]
async fn what_a_deleted_account_made_is_nobodys() {
    let world = World::start().await;
    let ana = world.person(1);
    let id = ana.found("apicultura").await.id;
    // Also where it is no member any more.
    ana.communities().leave_community(LeaveCommunityRequest { id }).await.unwrap();
    let event = UserDeleted { user_id: 1, user_uuid: ana.id.to_string(), phone_number: None };
    for _ in 0..2 {
        world.deliver(&event).await;
    }
    let request = GetCommunityRequest { key: Some(Key::Id(id)) };
    let left = world.nobody().communities().get_community(request).await.unwrap().into_inner();
    assert_eq!((left.created_by_id.as_str(), left.created_by_number, left.seed), ("", 0, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_while_the_account_ends_is_no_member_afterwards() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let id = ben.found("apicultura").await.id;
    let mut held = world.db().begin().await.unwrap();
    sqlx::query("select id from communities where id = $1 for update").bind(id).execute(&mut *held).await.unwrap();
    let mut communities = ana.communities();
    let joining = tokio::spawn(async move { communities.join_community(JoinCommunityRequest { id }).await });
    testkit::eventually("she waits for the community", async || waiting(world.db()).await == 1).await;
    let event = UserDeleted { user_id: 1, user_uuid: ana.id.to_string(), phone_number: None };
    let let_go = async {
        testkit::eventually("the end waits for her", async || waiting(world.db()).await == 2).await;
        held.rollback().await.unwrap();
    };
    tokio::join!(world.deliver(&event), let_go);
    assert!(joining.await.unwrap().is_ok(), "she was there first");
    let members = "select count(*) from memberships where user_id = $1";
    let members = sqlx::query_scalar::<_, i64>(members).bind(ana.id).fetch_one(world.db());
    assert_eq!(members.await.unwrap(), 0);
    assert_counts(&world).await;

    refused!(ana.communities().join_community(JoinCommunityRequest { id }).await, Unauthenticated, "SESSION_REVOKED");
    let new = CreateCommunityRequest { name: "Abejas".into(), slug: "abejas".into(), ..Default::default() };
    refused!(ana.communities().create_community(new).await, Unauthenticated, "SESSION_REVOKED");
}

/// How many statements wait for a lock.
async fn waiting(db: &PgPool) -> i64 {
    let waiting =
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    sqlx::query_scalar(waiting).fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn a_deleted_file_disappears_from_posts() {
    let world = World::start().await;
    let ana = world.person(1);
    world.media.set_claimant(ana.id);
    let file = world.media.file(Some(ana.id), Kind::Image);
    let request = CreatePostRequest {
        title: "Foto".into(),
        content: "Texto".into(),
        media_id: file.to_string(),
        ..Default::default()
    };
    let post = ana.posts().create_post(request).await.unwrap().into_inner();
    assert_eq!(post.media_id, file.to_string());
    let event = |id: Uuid| MediaDeleted { media_id: 1, media_uuid: id.to_string(), url: None };
    world.deliver(&event(Uuid::now_v7())).await;
    world.deliver(&event(file)).await;
    let request = GetPostRequest { id: post.id, ..Default::default() };
    assert_eq!(ana.posts().get_post(request).await.unwrap().into_inner().media_id, "");
}

#[tokio::test]
async fn a_community_shows_what_took_the_place_of_its_picture() {
    let world = World::start().await;
    let ana = world.person(1);
    let [file, other] = [(); 2].map(|()| world.media.file(Some(ana.id), Kind::Image));
    let picture = |file: Uuid| Some(Picture { from: Some(From::MediaId(file.to_string())) });
    let one = ana.found("apicultura").await.id;
    let request =
        UpdateCommunityRequest { id: one, avatar: picture(file), cover_image: picture(file), ..Default::default() };
    ana.communities().update_community(request).await.unwrap();
    let two = ana.found("riego").await.id;
    let request = UpdateCommunityRequest { id: two, avatar: picture(other), ..Default::default() };
    ana.communities().update_community(request).await.unwrap();
    let shown = async |id: i64| {
        let request = GetCommunityRequest { key: Some(Key::Id(id)) };
        let community = world.nobody().communities().get_community(request).await.unwrap().into_inner();
        (community.avatar, community.cover_image)
    };
    let event =
        |id: Uuid, path: &str| MediaUpdated { media_id: 1, media_uuid: id.to_string(), url: Some(path.to_owned()) };

    let second = world.media.replace(file);
    world.deliver(&event(file, &second)).await;
    assert_eq!(shown(one).await, (Some(second.clone()), Some(second.clone())));
    assert_eq!(shown(two).await, (Some(media::path(other)), None));
    let third = world.media.replace(file);
    for late in [&third, &second] {
        world.deliver(&event(file, late)).await;
        assert_eq!(shown(one).await, (Some(third.clone()), Some(third.clone())));
    }
    world.deliver(&event(Uuid::now_v7(), &second)).await;
    world.media.remove(file);
    world.deliver(&event(file, &third)).await;
    assert_eq!(shown(one).await.0, Some(third), "the event of its end is still to come");
}
