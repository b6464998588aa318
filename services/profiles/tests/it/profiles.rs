use proto::access::v1::Role;
use proto::events::v1::UserUpdated;
use proto::profiles::v1::profile::Details;
use proto::profiles::v1::profile_input::Details as Input;
use proto::profiles::v1::{
    BatchGetProfilesRequest, BusinessType, BusinessmanInput, CreateProfileRequest, DeleteProfileRequest,
    EnsureProfileRequest, GetProfileRequest, Profession, ProfileKind, SpecialistInput, UpdateProfileRequest,
};

use crate::world::{Somebody, World, businessman, consumer, refused, shop, specialist, update, vet};

fn delete(whose: &Somebody, kind: ProfileKind) -> DeleteProfileRequest {
    DeleteProfileRequest { user_id: whose.id.to_string(), kind: kind.into() }
}

#[tokio::test]
async fn a_profile_is_made_and_everybody_signed_in_reads_it() {
    let world = World::start().await;
    let (ana, ben) = (world.person(17, "Ana"), world.person(18, "Ben"));
    let made = ana.create(vet()).await;
    assert_eq!((made.user_id.as_str(), made.user_number), (ana.id.to_string().as_str(), 17));
    let own = specialist(&made);
    assert_eq!((own.profession(), own.about_us.as_str()), (Profession::Veterinarian, "Animales mayores"));
    assert!(own.verification.is_some());
    assert_eq!(world.published().await, [("profile.created".into(), "17".into(), "specialist".into())]);

    let seen = ben.see(&ana).await.unwrap();
    assert_eq!(specialist(&seen).verification, None);
    assert_eq!(seen.created_at, made.created_at);
    refused!(ana.see(&ben).await, NotFound, "PROFILE_NOT_FOUND");
    let request = GetProfileRequest { user_id: ana.id.to_string() };
    refused!(world.nobody().get_profile(request.clone()).await, Unauthenticated, "NOT_SIGNED_IN");
    assert_eq!(world.edge().get_profile(request).await.unwrap().into_inner(), seen);
}

#[tokio::test]
async fn nobody_has_two_profiles_whatever_their_kinds() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(shop()).await;
    refused!(ana.try_create(shop()).await, AlreadyExists, "PROFILE_EXISTS");
    refused!(ana.try_create(vet()).await, AlreadyExists, "OTHER_PROFILE_EXISTS");
    refused!(ana.try_create(consumer()).await, AlreadyExists, "OTHER_PROFILE_EXISTS");
    assert_eq!(world.published().await.len(), 1);
}

#[tokio::test]
async fn of_two_tabs_one_makes_the_profile() {
    let world = World::start().await;
    for number in 0..5 {
        let ana = world.person(number, "Ana");
        let tabs = [vet(), shop(), consumer(), vet(), shop()].map(|input| {
            let ana = ana.clone();
            tokio::spawn(async move { ana.try_create(input).await })
        });
        let mut made = Vec::new();
        for tab in tabs {
            made.extend(tab.await.unwrap().ok());
        }
        assert_eq!(made.len(), 1);
        let present = ana.see(&ana).await.unwrap();
        assert_eq!(present, made[0]);
        let role = match present.details.unwrap() {
            Details::Specialist(_) => Role::Specialist,
            Details::Businessman(_) => Role::Businessman,
            Details::Consumer(_) => Role::Consumer,
        };
        assert_eq!(world.peers.held(ana.id), Some(role));
    }
    assert_eq!(world.published().await.len(), 5);
}

#[tokio::test]
async fn what_a_profile_needs_must_be_there() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    refused!(ana.try_create(Input::Specialist(SpecialistInput::default())).await, InvalidArgument, "REQUIRED");
    let nameless = BusinessmanInput { contact: Some("8".into()), ..BusinessmanInput::default() };
    refused!(ana.try_create(Input::Businessman(nameless)).await, InvalidArgument, "REQUIRED");
    let nothing = CreateProfileRequest { input: None };
    refused!(ana.profiles().create_profile(nothing).await, InvalidArgument, "INVALID_FIELDS");
    let Input::Businessman(whole) = shop() else { panic!("a shop is a business") };
    for blank in [
        BusinessmanInput { business_name: Some(String::new()), ..whole.clone() },
        BusinessmanInput { descriptions: Some(String::new()), ..whole.clone() },
        BusinessmanInput { contact: Some(String::new()), ..whole },
    ] {
        refused!(ana.try_create(Input::Businessman(blank)).await, InvalidArgument, "REQUIRED");
    }
    refused!(world.nobody().create_profile(CreateProfileRequest::default()).await, Unauthenticated, "NOT_SIGNED_IN");
    assert_eq!(world.published().await, []);
}

#[tokio::test]
async fn absent_fields_stay_and_only_a_change_is_told() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(shop()).await;
    world.published().await;
    let change = || {
        Input::Businessman(BusinessmanInput {
            business_type: Some(BusinessType::FarmingCompany.into()),
            contact: Some("7777".into()),
            ..BusinessmanInput::default()
        })
    };
    let after = ana.update(change()).await;
    let own = businessman(&after);
    assert_eq!((own.business_type(), own.contact.as_str()), (BusinessType::FarmingCompany, "7777"));
    assert_eq!((own.business_name.as_str(), own.offers_local_products), ("El Corral", true));
    ana.update(change()).await;
    assert_eq!(world.published().await, [("profile.updated".into(), "1".into(), "businessman".into())]);
}

#[tokio::test]
async fn one_changes_and_removes_ones_own_and_administrators_anybodys() {
    let world = World::start().await;
    let (ana, ben, admin) = (world.person(1, "Ana"), world.person(2, "Ben"), world.admin());
    ana.create(vet()).await;
    refused!(ben.try_update(&ana, vet()).await, PermissionDenied, "NOT_YOURS");
    let removal = delete(&ana, ProfileKind::Specialist);
    refused!(ben.profiles().delete_profile(removal.clone()).await, PermissionDenied, "NOT_YOURS");
    refused!(world.nobody().update_profile(update(&ana, vet())).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(world.nobody().delete_profile(removal.clone()).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(ben.try_update(&ben, vet()).await, NotFound, "PROFILE_NOT_FOUND");
    refused!(ana.try_update(&ana, shop()).await, NotFound, "PROFILE_NOT_FOUND");
    let other = delete(&ana, ProfileKind::Consumer);
    refused!(ana.profiles().delete_profile(other).await, NotFound, "PROFILE_NOT_FOUND");

    assert!(admin.try_update(&ana, vet()).await.is_ok());
    admin.profiles().delete_profile(removal.clone()).await.unwrap();
    refused!(ana.profiles().delete_profile(removal).await, NotFound, "PROFILE_NOT_FOUND");
    refused!(ana.see(&ana).await, NotFound, "PROFILE_NOT_FOUND");
    let told: Vec<_> = world.published().await.into_iter().map(|(event, ..)| event).collect();
    assert_eq!(told, ["profile.created", "profile.deleted"]);
}

#[tokio::test]
async fn an_update_makes_what_is_missing_when_asked_to() {
    let world = World::start().await;
    let (ana, admin) = (world.person(1, "Ana"), world.admin());
    let upsert = |input| UpdateProfileRequest { create_missing: true, ..update(&ana, input) };
    refused!(admin.profiles().update_profile(upsert(vet())).await, NotFound, "PROFILE_NOT_FOUND");
    let empty = Input::Specialist(SpecialistInput::default());
    refused!(ana.profiles().update_profile(upsert(empty)).await, InvalidArgument, "REQUIRED");
    for created in [true, false] {
        let answer = ana.profiles().update_profile(upsert(vet())).await.unwrap().into_inner();
        assert_eq!(answer.created, created);
        assert_eq!(specialist(&answer.profile.unwrap()).profession(), Profession::Veterinarian);
    }
    refused!(ana.profiles().update_profile(upsert(shop())).await, AlreadyExists, "OTHER_PROFILE_EXISTS");
}

#[tokio::test]
async fn a_batch_is_one_page_of_profiles_without_those_who_have_none() {
    let world = World::start().await;
    let (ana, ben, eva) = (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Eva"));
    ana.create(vet()).await;
    ben.create(shop()).await;
    let user_ids = [&ben, &eva, &ana, &ana].map(|who| who.id.to_string()).to_vec();
    let request = BatchGetProfilesRequest { user_ids };
    let numbers = |profiles: Vec<proto::profiles::v1::Profile>| -> Vec<i64> {
        profiles.iter().map(|profile| profile.user_number).collect()
    };
    let seen = ana.profiles().batch_get_profiles(request.clone()).await.unwrap().into_inner().profiles;
    assert!(specialist(&seen[0]).verification.is_some());
    assert_eq!(numbers(seen), [1, 2]);
    let seen = world.edge().batch_get_profiles(request.clone()).await.unwrap().into_inner().profiles;
    assert!(specialist(&seen[0]).verification.is_none(), "the edge asks for strangers");
    refused!(world.nobody().batch_get_profiles(request).await, Unauthenticated, "NOT_SIGNED_IN");
    let many = BatchGetProfilesRequest { user_ids: vec![ana.id.to_string(); 501] };
    refused!(ana.profiles().batch_get_profiles(many).await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn a_registration_starts_with_the_profile_it_chose_once() {
    let world = World::start().await;
    let (ana, shop, eva) = (world.person(1, "Ana"), world.person(2, "Agro"), world.person(3, "Eva"));
    let ensure = |who: &Somebody, role: Role, speciality: &str| EnsureProfileRequest {
        user_id: who.id.to_string(),
        role: role.into(),
        speciality: speciality.into(),
    };
    for _ in 0..2 {
        world.edge().ensure_profile(ensure(&ana, Role::Specialist, "AGRONOMIST")).await.unwrap();
    }
    assert_eq!(specialist(&ana.see(&ana).await.unwrap()).profession(), Profession::Agronomist);
    world.edge().ensure_profile(ensure(&shop, Role::Businessman, "AGRONOMIST")).await.unwrap();
    let made = shop.see(&shop).await.unwrap();
    assert_eq!(businessman(&made).business_type(), BusinessType::VeterinaryShop, "what does not fit is dropped");
    world.edge().ensure_profile(ensure(&eva, Role::Client, "")).await.unwrap();
    refused!(eva.see(&eva).await, NotFound, "PROFILE_NOT_FOUND");
    assert_eq!(world.published().await.len(), 2);

    // Whoever removed it, or made another, keeps what they have.
    ana.profiles().delete_profile(delete(&ana, ProfileKind::Specialist)).await.unwrap();
    world.edge().ensure_profile(ensure(&ana, Role::Specialist, "AGRONOMIST")).await.unwrap();
    refused!(ana.see(&ana).await, NotFound, "PROFILE_NOT_FOUND");
    ana.create(consumer()).await;
    world.edge().ensure_profile(ensure(&ana, Role::Specialist, "")).await.unwrap();
    assert!(matches!(ana.see(&ana).await.unwrap().details, Some(Details::Consumer(_))));

    let own = ensure(&eva, Role::Consumer, "");
    refused!(eva.profiles().ensure_profile(own).await, PermissionDenied, "PEERS_ONLY");
}

#[tokio::test]
async fn no_transaction_is_open_while_users_is_asked() {
    let world = World::start().await;
    world.peers.watch(&world.harness.service.db);
    let (ana, ben, eva) = (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Eva"));
    ana.create(vet()).await;
    let make = UpdateProfileRequest { create_missing: true, ..update(&ben, shop()) };
    ben.profiles().update_profile(make).await.unwrap();
    let ensure =
        EnsureProfileRequest { user_id: eva.id.to_string(), role: Role::Consumer.into(), speciality: String::new() };
    world.edge().ensure_profile(ensure).await.unwrap();
    assert_eq!((world.peers.asks(), world.peers.open()), (3, 0));
}

#[tokio::test]
async fn a_name_that_changes_while_users_is_asked_is_the_new_one() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    let renamed = |name: &str| UserUpdated {
        user_id: 1,
        user_uuid: ana.id.to_string(),
        full_name: name.into(),
        ..Default::default()
    };
    // Heard before anybody asks: the answer is newer.
    world.deliver(&renamed("Anastasia")).await;
    let gate = world.peers.slow_users();
    let making = tokio::spawn({
        let ana = ana.clone();
        async move { ana.create(vet()).await }
    });
    testkit::eventually("users is asked", async || world.peers.asks() == 1).await;
    world.deliver(&renamed("Ingrid")).await;
    gate.add_permits(1);
    making.await.unwrap();
    let name = async || {
        let name = sqlx::query_scalar::<_, String>("select name from profiles where user_id = $1").bind(ana.id);
        name.fetch_one(&world.harness.service.db).await.unwrap()
    };
    assert_eq!(name().await, "Ingrid");
    let delete = DeleteProfileRequest { user_id: ana.id.to_string(), kind: ProfileKind::Specialist.into() };
    ana.profiles().delete_profile(delete).await.unwrap();
    gate.add_permits(1);
    ana.create(vet()).await;
    assert_eq!(name().await, "Ana");
}
