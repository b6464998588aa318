use proto::access::v1::Role;
use proto::auth::v1::AccountState;
use proto::events::v1::{AccountChanged, ChatModerated, MediaDeleted, MediaUpdated};
use proto::media::v1::Kind;
use proto::users::v1::{ProvisionUserRequest, SetAvatarRequest, UpdateUserRequest};
use serde_json::json;
use uuid::Uuid;

use crate::{World, get, media, newcomer, refused};

#[tokio::test]
async fn an_update_tells_what_changed_and_nothing_when_nothing_did() {
    let world = World::start().await;
    let ana = world.person(17, "Ana", &[Role::Specialist, Role::Client]).await;
    assert_eq!(world.published().await, [], "that she came is for auth to tell");
    let change = UpdateUserRequest {
        id: ana.id.to_string(),
        first_name: Some("Eva".into()),
        last_name: Some("Rojas".into()),
        bio: Some("Vet".into()),
        ..Default::default()
    };
    ana.users().update_user(change.clone()).await.unwrap();
    let data = json!({
        "user_id": 17, "user_uuid": ana.id, "full_name": "Eva", "role": "Specialist", "profile_picture": null,
        "fields": ["first_name", "bio"],
    });
    assert_eq!(world.published().await, [("user.updated".into(), "17".into(), data)]);
    ana.users().update_user(change).await.unwrap();
    assert_eq!(world.published().await, []);
}

#[tokio::test]
async fn a_new_picture_is_told_twice_and_its_removal_once() {
    let world = World::start().await;
    let ana = world.person(17, "Ana", &[]).await;
    let file = world.media.file(Some(ana.id), Kind::Image);
    for media_id in [file.to_string(), file.to_string(), String::new(), String::new()] {
        ana.users().set_avatar(SetAvatarRequest { media_id }).await.unwrap();
    }
    let updated = |picture| {
        json!({
            "user_id": 17, "user_uuid": ana.id, "full_name": "Ana", "role": null, "profile_picture": picture,
            "fields": ["avatar_path"],
        })
    };
    let uploaded = json!({"user_id": 17, "user_uuid": ana.id, "avatar_url": media::path(file)});
    assert_eq!(
        world.published().await,
        [
            ("user.updated".into(), "17".into(), updated(Some(media::path(file)))),
            ("user.avatar_uploaded".into(), "17".into(), uploaded),
            ("user.updated".into(), "17".into(), updated(None)),
        ]
    );
}

#[tokio::test]
async fn a_changed_account_is_told_and_a_newcomers_picture_too() {
    let world = World::start().await;
    let file = world.media.file(None, Kind::Image);
    let mut ana = newcomer(17, "Ana", &[Role::Consumer]);
    ana.profile.as_mut().unwrap().avatar_media_id = Some(file.to_string());
    world.auth().provision_user(ana.clone()).await.unwrap();
    let told: Vec<_> = world.published().await.into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(told, ["user.avatar_uploaded"]);

    let roles = vec![Role::Businessman as i32];
    world.auth().provision_user(ProvisionUserRequest { version: 2, roles, profile: None, ..ana }).await.unwrap();
    let told = world.published().await;
    assert_eq!((told.len(), told[0].0.as_str()), (1, "user.updated"));
    assert_eq!((&told[0].2["fields"], &told[0].2["role"]), (&json!(["roles"]), &json!("businessman")));
}

#[tokio::test]
async fn the_event_of_an_account_repairs_the_copy_unless_it_is_old() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[Role::Client]).await;
    let event = AccountChanged {
        user_uuid: ana.id.to_string(),
        version: 5,
        phone: Some("+50511111111".into()),
        email: None,
        roles: vec!["CLIENT".into(), "PROFESSIONAL".into()],
        state: "BANNED".into(),
    };
    for _ in 0..2 {
        world.deliver(&event).await;
    }
    let me = ana.me().await;
    assert_eq!((me.phone.as_deref(), me.email.as_deref()), (Some("+50511111111"), None));
    assert_eq!((me.state(), me.roles.len()), (AccountState::Banned, 2));
    let told = world.published().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].2["fields"], json!(["phone", "email", "roles", "state"]));

    world.deliver(&AccountChanged { version: 4, state: "ACTIVE".into(), ..event.clone() }).await;
    assert_eq!(ana.me().await, me);
    world.deliver(&AccountChanged { user_uuid: Uuid::now_v7().to_string(), ..event.clone() }).await;

    world.deliver(&AccountChanged { version: 6, state: "DELETED".into(), ..event.clone() }).await;
    refused!(get(&mut world.edge(), ana.id).await, NotFound, "USER_NOT_FOUND");
    world.deliver(&AccountChanged { version: 7, ..event }).await;
    refused!(get(&mut world.edge(), ana.id).await, NotFound, "USER_NOT_FOUND");
    assert_eq!(world.published().await, []);
}

#[tokio::test]
async fn a_deleted_file_is_nobodys_picture_any_more() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    let file = world.media.file(Some(ana.id), Kind::Image);
    ana.users().set_avatar(SetAvatarRequest { media_id: file.to_string() }).await.unwrap();
    world.published().await;
    let gone = |id: Uuid| MediaDeleted { media_id: 1, media_uuid: id.to_string(), url: None };
    world.deliver(&gone(Uuid::now_v7())).await;
    assert!(ana.me().await.avatar_path.is_some());
    for _ in 0..2 {
        world.deliver(&gone(file)).await;
        let me = ana.me().await;
        assert_eq!((me.avatar_path, me.avatar_media_id), (None, None));
    }
    let told = world.published().await;
    assert_eq!((told.len(), &told[0].2["fields"]), (1, &json!(["avatar_path"])));
}

#[tokio::test]
async fn people_show_what_took_the_place_of_their_picture() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana", &[]).await, world.person(2, "Ben", &[]).await);
    let [file, other] = [&ana, &ben].map(|person| world.media.file(Some(person.id), Kind::Image));
    for (person, file) in [(&ana, file), (&ben, other)] {
        person.users().set_avatar(SetAvatarRequest { media_id: file.to_string() }).await.unwrap();
    }
    world.published().await;
    let event =
        |id: Uuid, path: &str| MediaUpdated { media_id: 1, media_uuid: id.to_string(), url: Some(path.to_owned()) };

    let second = world.media.replace(file);
    for _ in 0..2 {
        world.deliver(&event(file, &second)).await;
        let me = ana.me().await;
        assert_eq!((me.avatar_path, me.avatar_media_id), (Some(second.clone()), Some(file.to_string())));
    }
    assert_eq!(ben.me().await.avatar_path, Some(media::path(other)));
    let told = world.published().await;
    assert_eq!(
        told.iter().map(|(kind, ..)| kind.as_str()).collect::<Vec<_>>(),
        ["user.updated", "user.avatar_uploaded"]
    );
    assert_eq!((&told[0].2["profile_picture"], &told[1].2["avatar_url"]), (&json!(second), &json!(second)));

    let third = world.media.replace(file);
    for late in [&third, &second] {
        world.deliver(&event(file, late)).await;
        assert_eq!(ana.me().await.avatar_path, Some(third.clone()));
    }
    world.deliver(&event(Uuid::now_v7(), &second)).await;
    world.media.remove(file);
    world.deliver(&event(file, &third)).await;
    assert_eq!(ana.me().await.avatar_path, Some(third), "the event of its end is still to come");
}

#[tokio::test]
async fn one_sees_how_one_stands_in_chats_and_the_newest_news_win() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana", &[Role::Client]).await, world.person(2, "Ben", &[Role::Client]).await);
    let news = |infracciones, baneado, version| ChatModerated {
        user_id: ana.id.to_string(),
        infracciones,
        baneado,
        version,
        ..ChatModerated::default()
    };
    for (event, stands) in [
        (news(1, false, 1), (1, false)),
        (news(3, true, 3), (3, true)),
        (news(2, false, 2), (3, true)),
        (news(3, true, 3), (3, true)),
        (news(0, false, 4), (0, false)),
        (news(3, true, 3), (0, false)),
        (news(1, false, 5), (1, false)),
    ] {
        world.deliver(&event).await;
        let me = ana.me().await;
        assert_eq!((me.chat_infractions, me.chat_banned), stands, "after version {}", event.version);
    }
    let seen = get(&mut ben.users(), ana.id).await.unwrap();
    assert_eq!((seen.chat_infractions, seen.chat_banned), (0, false), "which is nobody else's business");
    world.deliver(&ChatModerated { user_id: Uuid::now_v7().to_string(), ..news(1, false, 1) }).await;
    assert_eq!(world.published().await, []);
}
