use proto::access::v1::Role;
use proto::auth::v1::{AccountState, Profile};
use proto::common::v1::Point;
use proto::media::v1::Kind;
use proto::users::v1::get_user_request::Key;
use proto::users::v1::{
    AnonymizeUserRequest, BatchGetUsersRequest, GetUserMetricsRequest, GetUserRequest, ListUsersRequest,
    ProvisionUserRequest, SearchUsersRequest, UpdateUserRequest, User, UserMetrics, UserView, WithdrawUserRequest,
};
use uuid::Uuid;

use crate::{World, get, media, newcomer, refused};

const PLACE: Point = Point { latitude: 12.136389, longitude: -86.251389 };

#[tokio::test]
async fn a_person_is_found_by_id_and_by_number() {
    let world = World::start().await;
    let ana = world.person(17, "Ana", &[Role::Client]).await;
    let by_id = ana.me().await;
    let by_number = GetUserRequest { key: Some(Key::Number(17)) };
    let by_number = ana.users().get_user(by_number).await.unwrap().into_inner();
    assert_eq!(by_id, by_number);
    assert_eq!((by_id.first_name.as_str(), by_id.last_name.as_str()), ("Ana", "Rojas"));
    assert_eq!((by_id.email.as_deref(), by_id.phone.as_deref()), (Some("ana@example.com"), Some("+50500000017")));
    assert_eq!((by_id.roles.as_slice(), by_id.state()), ([Role::Client as i32].as_slice(), AccountState::Active));
    assert_eq!(by_id.created_at.unwrap().seconds, 1_700_000_017);
}

#[tokio::test]
async fn people_are_shown_to_people_and_to_some_services() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    refused!(get(&mut world.nobody(), ana.id).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(get(&mut ana.users(), Uuid::now_v7()).await, NotFound, "USER_NOT_FOUND");
    let unknown = GetUserRequest { key: Some(Key::Number(2)) };
    refused!(ana.users().get_user(unknown).await, NotFound, "USER_NOT_FOUND");
    assert!(get(&mut world.edge(), ana.id).await.is_ok());
}

#[tokio::test]
async fn others_see_a_masked_email_a_rounded_place_and_no_address() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[Role::Client]).await;
    let shop = world.person(2, "Shop", &[Role::Businessman]).await;
    for person in [&ana, &shop] {
        let change = UpdateUserRequest {
            id: person.id.to_string(),
            location: Some(PLACE),
            address: Some("Calle 1".into()),
            contact_phone: Some("8888".into()),
            ..Default::default()
        };
        person.users().update_user(change).await.unwrap();
    }
    let full = ana.me().await;
    assert_eq!(full.location, Some(PLACE));
    assert_eq!((full.address.as_deref(), full.contact_phone.as_deref()), (Some("Calle 1"), Some("8888")));
    assert_eq!(get(&mut world.admin().await.users(), ana.id).await.unwrap(), full);
    assert_eq!(get(&mut world.edge(), ana.id).await.unwrap(), full);

    let veiled = get(&mut shop.users(), ana.id).await.unwrap();
    assert_eq!(veiled.email.as_deref(), Some("a***@example.com"));
    assert_eq!(veiled.location, Some(Point { latitude: 12.136, longitude: -86.251 }));
    assert_eq!((veiled.address, veiled.contact_phone), (None, None));
    assert_eq!(veiled.phone, full.phone);
    assert_eq!(get(&mut ana.users(), shop.id).await.unwrap().location, Some(PLACE));
}

#[tokio::test]
async fn a_batch_answers_by_number_and_leaves_out_the_unknown() {
    let world = World::start().await;
    let (ana, ben, eva) =
        (world.person(3, "Ana", &[]).await, world.person(2, "Ben", &[]).await, world.person(1, "Eva", &[]).await);
    let batch = BatchGetUsersRequest {
        ids: vec![ana.id.to_string(), ana.id.to_string(), Uuid::now_v7().to_string(), eva.id.to_string()],
        numbers: vec![2, 1, 77],
        ..Default::default()
    };
    let users = ben.users().batch_get_users(batch.clone()).await.unwrap().into_inner().users;
    let seen: Vec<_> = users.iter().map(|user| (user.number, user.email.as_deref())).collect();
    assert_eq!(seen, [(1, Some("e***@example.com")), (2, Some("ben@example.com")), (3, Some("a***@example.com"))]);
    refused!(world.nobody().batch_get_users(batch.clone()).await, Unauthenticated, "NOT_SIGNED_IN");
    let nobody = BatchGetUsersRequest::default();
    assert_eq!(ben.users().batch_get_users(nobody).await.unwrap().into_inner().users, []);
    // What lists show of them is the same for everybody.
    let basic = BatchGetUsersRequest { view: UserView::Basic.into(), ..batch };
    let shown = users.into_iter().map(|user| User {
        id: user.id,
        number: user.number,
        first_name: user.first_name,
        last_name: user.last_name,
        avatar_path: user.avatar_path,
        phone: user.phone,
        roles: user.roles,
        ..User::default()
    });
    let basics = ben.users().batch_get_users(basic).await.unwrap().into_inner().users;
    assert_eq!(basics, shown.collect::<Vec<_>>());

    let many =
        BatchGetUsersRequest { ids: vec![ana.id.to_string()], numbers: (0..500).collect(), ..Default::default() };
    refused!(ben.users().batch_get_users(many).await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_empty_texts_remove() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    let all = UpdateUserRequest {
        id: ana.id.to_string(),
        first_name: Some("Ana María".into()),
        last_name: Some("Ruiz".into()),
        bio: Some("Vet".into()),
        location: Some(PLACE),
        clear_location: false,
        address: Some("Calle 1".into()),
        contact_phone: Some("8888".into()),
    };
    let full = ana.users().update_user(all).await.unwrap().into_inner();
    assert_eq!(full, ana.me().await);
    assert_eq!((full.first_name.as_str(), full.bio.as_deref()), ("Ana María", Some("Vet")));
    assert_eq!((full.location, full.address.as_deref()), (Some(PLACE), Some("Calle 1")));

    let one = UpdateUserRequest { id: ana.id.to_string(), last_name: Some(String::new()), ..Default::default() };
    let mut expected = full.clone();
    expected.last_name = String::new();
    assert_eq!(ana.users().update_user(one).await.unwrap().into_inner(), expected);

    let none = UpdateUserRequest {
        id: ana.id.to_string(),
        bio: Some(String::new()),
        address: Some(String::new()),
        contact_phone: Some(String::new()),
        location: Some(PLACE),
        clear_location: true,
        ..Default::default()
    };
    let bare = ana.users().update_user(none).await.unwrap().into_inner();
    assert_eq!((bare.bio, bare.address, bare.contact_phone, bare.location), (None, None, None, None));
}

#[tokio::test]
async fn one_changes_oneself_and_an_administrator_anybody() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana", &[]).await, world.person(2, "Ben", &[]).await);
    let change = UpdateUserRequest { id: ana.id.to_string(), first_name: Some("X".into()), ..Default::default() };
    refused!(world.nobody().update_user(change.clone()).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(ben.users().update_user(change.clone()).await, PermissionDenied, "NOT_YOURS");
    assert_eq!(ana.me().await.first_name, "Ana");
    let admin = world.admin().await;
    assert_eq!(admin.users().update_user(change).await.unwrap().into_inner().first_name, "X");
    let unknown = UpdateUserRequest { id: Uuid::now_v7().to_string(), ..Default::default() };
    refused!(admin.users().update_user(unknown).await, NotFound, "USER_NOT_FOUND");
    let stranger = world.stranger();
    let unknown = UpdateUserRequest { id: stranger.id.to_string(), ..Default::default() };
    refused!(stranger.users().update_user(unknown).await, NotFound, "USER_NOT_FOUND");
}

#[tokio::test]
async fn two_updates_at_once_lose_nothing() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    world.published().await;
    for round in 0..10 {
        let id = ana.id.to_string();
        let bio = UpdateUserRequest { id: id.clone(), bio: Some(format!("bio {round}")), ..Default::default() };
        let name = UpdateUserRequest { id, first_name: Some(format!("name {round}")), ..Default::default() };
        let (mut one, mut two) = (ana.users(), ana.users());
        let (a, b) = tokio::join!(one.update_user(bio), two.update_user(name));
        a.and(b).unwrap();
        let me = ana.me().await;
        assert_eq!((me.bio, me.first_name), (Some(format!("bio {round}")), format!("name {round}")));
    }
    // Each said only what it changed itself.
    assert!(world.published().await.iter().all(|(_, _, data)| data["fields"].as_array().unwrap().len() == 1));
}

#[tokio::test]
async fn only_auth_makes_people() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[Role::Admin]).await;
    let ben = newcomer(2, "Ben", &[]);
    refused!(world.nobody().provision_user(ben.clone()).await, PermissionDenied, "PEERS_ONLY");
    refused!(ana.users().provision_user(ben.clone()).await, PermissionDenied, "PEERS_ONLY");
    let id = AnonymizeUserRequest { id: ana.id.to_string() };
    refused!(ana.users().anonymize_user(id).await, PermissionDenied, "PEERS_ONLY");
    let id = WithdrawUserRequest { id: ana.id.to_string() };
    refused!(ana.users().withdraw_user(id).await, PermissionDenied, "PEERS_ONLY");
    let unstated = ProvisionUserRequest { state: 0, ..ben };
    refused!(world.auth().provision_user(unstated).await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn a_newer_account_is_copied_and_an_older_one_is_old_news() {
    let world = World::start().await;
    let first = newcomer(1, "Ana", &[Role::Client]);
    let ana = world.person_with(first.clone()).await;
    let newer = ProvisionUserRequest {
        version: 3,
        phone: None,
        email: Some("new@example.com".into()),
        roles: vec![Role::Professional as i32, Role::Client as i32],
        state: AccountState::Banned.into(),
        profile: Some(Profile { bio: Some("Plumber".into()), location: Some(PLACE), ..Default::default() }),
        ..first.clone()
    };
    let after = world.auth().provision_user(newer.clone()).await.unwrap().into_inner();
    assert_eq!(after, ana.me().await);
    assert_eq!((after.phone.clone(), after.email.as_deref()), (None, Some("new@example.com")));
    assert_eq!(after.roles, [Role::Client as i32, Role::Professional as i32]);
    assert_eq!((after.state(), after.first_name.as_str()), (AccountState::Banned, "Ana"));
    assert_eq!((after.bio.as_deref(), after.location), (Some("Plumber"), Some(PLACE)));

    for (version, bio) in [(2, "older"), (3, "again")] {
        let profile = Some(Profile { bio: Some(bio.into()), ..Default::default() });
        let old = ProvisionUserRequest { version, profile, ..first.clone() };
        assert_eq!(world.auth().provision_user(old).await.unwrap().into_inner(), after);
    }
}

#[tokio::test]
async fn a_person_made_twice_at_once_is_one_person() {
    let world = World::start().await;
    for number in 1..=10 {
        let ana = newcomer(number, "Ana", &[]);
        let (mut one, mut two) = (world.auth(), world.auth());
        let (a, b) = tokio::join!(one.provision_user(ana.clone()), two.provision_user(ana));
        assert_eq!(a.unwrap().into_inner(), b.unwrap().into_inner());
    }
    let admin = world.admin().await;
    let all = admin.users().list_users(ListUsersRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.total_size, 11);
}

#[tokio::test]
async fn the_picture_of_a_registration_becomes_the_newcomers() {
    let world = World::start().await;
    let file = world.media.file(None, Kind::Image);
    let mut ana = newcomer(1, "Ana", &[]);
    ana.profile.as_mut().unwrap().avatar_media_id = Some(file.to_string());
    let user = world.auth().provision_user(ana.clone()).await.unwrap().into_inner();
    assert_eq!((user.avatar_media_id, user.avatar_path), (Some(file.to_string()), Some(media::path(file))));
    assert_eq!(world.media.owner(file), ana.id);

    // A repeat does not ask for a picture that may be gone.
    world.media.set_away(true);
    assert!(world.auth().provision_user(ana.clone()).await.is_ok());
    world.media.set_away(false);

    let mut ben = newcomer(2, "Ben", &[]);
    for (file, expected) in [(file, "NOT_YOURS"), (Uuid::now_v7(), "MEDIA_NOT_FOUND")] {
        ben.profile.as_mut().unwrap().avatar_media_id = Some(file.to_string());
        assert_eq!(crate::refusal(world.auth().provision_user(ben.clone()).await).1, expected);
    }
    let sound = world.media.file(None, Kind::Audio).to_string();
    for (file, reason) in [(sound.as_str(), "NOT_AN_IMAGE"), ("17", "INVALID_FIELDS")] {
        ben.profile.as_mut().unwrap().avatar_media_id = Some(file.to_owned());
        assert_eq!(crate::refusal(world.auth().provision_user(ben.clone()).await).1, reason);
    }
    assert!(get(&mut world.edge(), ben.id.parse().unwrap()).await.is_err(), "nobody was made");
}

#[tokio::test]
async fn a_withdrawn_person_was_never_there() {
    let world = World::start().await;
    let file = world.media.file(None, Kind::Image);
    let mut ana = newcomer(1, "Ana", &[]);
    ana.profile.as_mut().unwrap().avatar_media_id = Some(file.to_string());
    let id = world.person_with(ana.clone()).await.id;
    for _ in 0..2 {
        world.auth().withdraw_user(WithdrawUserRequest { id: ana.id.clone() }).await.unwrap();
        refused!(get(&mut world.edge(), id).await, NotFound, "USER_NOT_FOUND");
    }
    world.users.delete_discarded().await.unwrap();
    assert!(!world.media.has(file));
    // The same registration may come again.
    ana.profile = None;
    assert_eq!(world.auth().provision_user(ana).await.unwrap().into_inner().number, 1);
}

#[tokio::test]
async fn an_anonymised_person_is_found_by_nobody_and_does_not_come_back() {
    let world = World::start().await;
    let admin = world.admin().await;
    let request = newcomer(1, "Ana", &[Role::Client]);
    let ana = world.person_with(request.clone()).await;
    let gone = AnonymizeUserRequest { id: ana.id.to_string() };
    let (mut one, mut two) = (world.auth(), world.auth());
    let (a, b) = tokio::join!(one.anonymize_user(gone.clone()), two.anonymize_user(gone.clone()));
    a.and(b).unwrap();
    world.auth().anonymize_user(gone).await.unwrap();
    world.auth().anonymize_user(AnonymizeUserRequest { id: Uuid::now_v7().to_string() }).await.unwrap();

    refused!(get(&mut admin.users(), ana.id).await, NotFound, "USER_NOT_FOUND");
    refused!(get(&mut world.edge(), ana.id).await, NotFound, "USER_NOT_FOUND");
    let by_number = GetUserRequest { key: Some(Key::Number(1)) };
    refused!(admin.users().get_user(by_number).await, NotFound, "USER_NOT_FOUND");
    let batch = BatchGetUsersRequest { ids: vec![ana.id.to_string()], numbers: vec![1], ..Default::default() };
    assert_eq!(world.edge().batch_get_users(batch).await.unwrap().into_inner().users, []);
    for state in [AccountState::Unspecified, AccountState::Deleted] {
        let list = ListUsersRequest { state: state.into(), ..Default::default() };
        let users = admin.users().list_users(list).await.unwrap().into_inner().users;
        assert!(users.iter().all(|user| user.number != 1));
    }
    for query in ["usuario", "ana"] {
        let search = SearchUsersRequest { query: query.into(), limit: 0 };
        assert_eq!(admin.users().search_users(search).await.unwrap().into_inner().users, []);
    }
    let change = UpdateUserRequest { id: ana.id.to_string(), bio: Some("I am back".into()), ..Default::default() };
    refused!(ana.users().update_user(change).await, NotFound, "USER_NOT_FOUND");

    let late = ProvisionUserRequest { version: 9, ..request };
    refused!(world.auth().provision_user(late).await, NotFound, "USER_NOT_FOUND");
    world.auth().withdraw_user(WithdrawUserRequest { id: ana.id.to_string() }).await.unwrap();
    let kept: (String, String, Option<String>, Option<String>) =
        sqlx::query_as("select first_name, last_name, phone, email from people where id = $1")
            .bind(ana.id)
            .fetch_one(&world.harness.service.db)
            .await
            .unwrap();
    assert_eq!(kept, ("Usuario".to_owned(), String::new(), None, None));
}

#[tokio::test]
async fn metrics_count_kinds_for_administrators() {
    let world = World::start().await;
    let client = world.person(1, "Ana", &[Role::Client]).await;
    world.person(2, "Ben", &[Role::Professional]).await;
    world.person(3, "Eva", &[Role::Client, Role::Professional]).await;
    let banned = ProvisionUserRequest { state: AccountState::Banned.into(), ..newcomer(4, "Zoe", &[Role::Client]) };
    world.person_with(banned).await;
    let gone = world.person(5, "Leo", &[Role::Professional]).await;
    world.auth().anonymize_user(AnonymizeUserRequest { id: gone.id.to_string() }).await.unwrap();

    let admin = world.admin().await;
    let metrics = admin.users().get_user_metrics(GetUserMetricsRequest {}).await.unwrap().into_inner();
    let expected = UserMetrics { clients: 3, professionals: 2, professionals_unverified: 2, professionals_verified: 0 };
    assert_eq!(metrics, expected);
    refused!(client.users().get_user_metrics(GetUserMetricsRequest {}).await, PermissionDenied, "ROLE_MISSING");
    refused!(world.nobody().get_user_metrics(GetUserMetricsRequest {}).await, Unauthenticated, "NOT_SIGNED_IN");
}
