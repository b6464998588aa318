use proto::access::v1::Role;
use proto::events::v1::{MediaDeleted, UserCreated, UserUpdated};
use proto::media::v1::Folder;
use proto::profiles::v1::profile::Details;
use proto::profiles::v1::profile_input::Details as Input;
use proto::profiles::v1::{
    BusinessmanInput, DeleteProfileRequest, EnsureProfileRequest, ListProfilesRequest, MediaList, Profession,
    ProfileKind, SpecialistInput, UpdateProfileRequest, VerificationState,
};
use uuid::Uuid;

use crate::world::{Somebody, World, businessman, gone, refused, shop, specialist, update, verification, vet};

fn created(who: &Somebody, roles: &[&str], speciality: Option<&str>) -> UserCreated {
    UserCreated {
        user_id: who.number,
        user_uuid: who.id.to_string(),
        full_name: "Ana".into(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        speciality: speciality.map(str::to_owned),
        ..UserCreated::default()
    }
}

fn renamed(who: &Somebody, name: &str) -> UserUpdated {
    UserUpdated { user_id: who.number, user_uuid: who.id.to_string(), full_name: name.into(), ..Default::default() }
}

#[tokio::test]
async fn a_newcomers_role_makes_the_profile_once() {
    let world = World::start().await;
    let (ana, eva) = (world.person(1, "Ana"), world.person(2, "Eva"));
    let event = created(&ana, &["SPECIALIST", "CLIENT"], Some("ZOOTECHNICIAN"));
    for _ in 0..2 {
        world.deliver(&event).await;
    }
    assert_eq!(specialist(&ana.see(&ana).await.unwrap()).profession(), Profession::Zootechnician);
    assert_eq!(world.published().await, [("profile.created".into(), "1".into(), "specialist".into())]);
    world.profiles.tell_due_holds().await.unwrap();
    assert_eq!(world.peers.held(ana.id), Some(Role::Specialist));

    world.deliver(&created(&eva, &["PROFESSIONAL"], Some("Plomera"))).await;
    refused!(eva.see(&eva).await, NotFound, "PROFILE_NOT_FOUND");
}

#[tokio::test]
async fn news_of_an_arrival_that_come_late_bring_nothing_back() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(vet()).await;
    let request = DeleteProfileRequest { user_id: ana.id.to_string(), kind: ProfileKind::Specialist.into() };
    ana.profiles().delete_profile(request).await.unwrap();
    world.deliver(&created(&ana, &["CONSUMER"], None)).await;
    refused!(ana.see(&ana).await, NotFound, "PROFILE_NOT_FOUND");
    ana.create(shop()).await;
    world.deliver(&created(&ana, &["CONSUMER"], None)).await;
    assert!(matches!(ana.see(&ana).await.unwrap().details, Some(Details::Businessman(_))));
}

#[tokio::test]
async fn a_new_name_is_found_and_the_former_is_not() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(vet()).await;
    world.deliver(&renamed(&ana, "Íngrid")).await;
    for (search, found) in [("ingrid", 1), ("ana", 0), ("in", 1), ("an", 0)] {
        let request = ListProfilesRequest {
            kind: ProfileKind::Specialist.into(),
            search: search.into(),
            ..ListProfilesRequest::default()
        };
        assert_eq!(ana.profiles().list_profiles(request).await.unwrap().into_inner().total_size, found, "{search}");
    }
}

#[tokio::test]
async fn who_leaves_takes_everything_along() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(vet()).await;
    for _ in 0..2 {
        world.deliver(&gone(&ana)).await;
    }
    refused!(ana.see(&ana).await, NotFound, "PROFILE_NOT_FOUND");
    let told: Vec<_> = world.published().await.into_iter().map(|(event, ..)| event).collect();
    assert_eq!(told, ["profile.created", "profile.deleted"]);
    // But for the note of it.
    let left = "select (select count(*) from welcomed where not gone) + (select count(*) from holds)";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&world.harness.service.db).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_name_that_is_heard_after_the_end_of_an_account_is_kept_nowhere() {
    let world = World::start().await;
    let (ana, ben, eva) = (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Eva"));
    ana.create(vet()).await;
    for who in [&ana, &ben] {
        world.deliver(&gone(who)).await;
        world.deliver(&renamed(who, "Ingrid")).await;
    }
    world.deliver(&renamed(&eva, "Íngrid")).await;
    let kept: Vec<Uuid> =
        sqlx::query_scalar("select user_id from heard_names").fetch_all(&world.harness.service.db).await.unwrap();
    assert_eq!(kept, [eva.id]);
}

#[tokio::test]
async fn nothing_that_comes_late_brings_back_who_left() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana"), world.person(2, "Ben"));
    ana.create(vet()).await;
    world.published().await;
    for who in [&ana, &ben] {
        world.deliver(&gone(who)).await;
        world.deliver(&created(who, &["CONSUMER"], None)).await;
        let ensure = EnsureProfileRequest {
            user_id: who.id.to_string(),
            role: Role::Consumer.into(),
            speciality: String::new(),
        };
        world.edge().ensure_profile(ensure).await.unwrap();
        refused!(who.try_create(vet()).await, Unauthenticated, "SESSION_REVOKED");
        let upsert = UpdateProfileRequest { create_missing: true, ..update(who, vet()) };
        refused!(who.profiles().update_profile(upsert).await, Unauthenticated, "SESSION_REVOKED");
        refused!(who.see(who).await, NotFound, "PROFILE_NOT_FOUND");
    }
    let told: Vec<_> = world.published().await.into_iter().map(|(event, ..)| event).collect();
    assert_eq!(told, ["profile.deleted"]);
}

#[tokio::test]
async fn who_leaves_while_users_is_asked_gets_no_profile() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    let gate = world.peers.slow_users();
    let making = tokio::spawn({
        let ana = ana.clone();
        async move { ana.try_create(vet()).await }
    });
    testkit::eventually("users is asked", async || world.peers.asks() == 1).await;
    world.deliver(&gone(&ana)).await;
    gate.add_permits(1);
    refused!(making.await.unwrap(), Unauthenticated, "SESSION_REVOKED");
    refused!(ana.see(&ana).await, NotFound, "PROFILE_NOT_FOUND");
}

#[tokio::test]
async fn a_deleted_file_is_nowhere_any_more() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(vet()).await;
    let [a, b, c] = [(); 3].map(|()| world.peers.file(ana.id, Folder::Portfolio));
    let [title, card] = [(); 2].map(|()| world.peers.file(ana.id, Folder::Verification));
    ana.update(Input::Specialist(SpecialistInput {
        work_images: Some(MediaList { ids: [a, b, c].map(|id| id.to_string()).to_vec() }),
        title_id: Some(title.to_string()),
        student_card_id: Some(card.to_string()),
        ..SpecialistInput::default()
    }))
    .await;
    world.published().await;
    let deleted = |id: Uuid| MediaDeleted { media_id: 1, media_uuid: id.to_string(), url: None };
    world.deliver(&deleted(Uuid::now_v7())).await;
    assert_eq!(world.published().await, []);
    for _ in 0..2 {
        world.deliver(&deleted(b)).await;
    }
    assert_eq!(specialist(&ana.see(&ana).await.unwrap()).work_image_ids, [a, c].map(|id| id.to_string()));
    world.deliver(&deleted(title)).await;
    let own = verification(&ana.see(&ana).await.unwrap());
    assert_eq!((own.title_id.as_deref(), own.state()), (None, VerificationState::Pending));
    world.deliver(&deleted(card)).await;
    assert_eq!(verification(&ana.see(&ana).await.unwrap()).state(), VerificationState::Unspecified);
    assert_eq!(world.published().await.len(), 3);
}

#[tokio::test]
async fn a_new_business_may_say_again_that_it_has_said_nothing() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    world.deliver(&created(&ana, &["BUSINESSMAN"], None)).await;
    world.published().await;
    let nothing = || {
        Input::Businessman(BusinessmanInput {
            business_name: Some(String::new()),
            descriptions: Some(String::new()),
            contact: Some(String::new()),
            ..BusinessmanInput::default()
        })
    };
    ana.update(nothing()).await;
    assert_eq!(world.published().await, []);
    ana.update(shop()).await;
    assert_eq!(businessman(&ana.update(nothing()).await).business_name, "");
}
