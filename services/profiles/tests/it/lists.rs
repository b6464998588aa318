use proto::profiles::v1::profile_input::Details as Input;
use proto::profiles::v1::{
    BusinessType, BusinessmanInput, ListProfilesRequest, ListProfilesResponse, Profession, ProfileKind, SpecialistInput,
};

use crate::world::{Somebody, World, consumer, refused, shop, vet};

async fn list(who: &Somebody, request: ListProfilesRequest) -> ListProfilesResponse {
    who.profiles().list_profiles(request).await.unwrap().into_inner()
}

async fn numbers(who: &Somebody, request: ListProfilesRequest) -> Vec<i64> {
    list(who, request).await.profiles.iter().map(|profile| profile.user_number).collect()
}

fn of(kind: ProfileKind) -> ListProfilesRequest {
    ListProfilesRequest { kind: kind.into(), ..ListProfilesRequest::default() }
}

fn specialist(profession: Profession, about_us: &str) -> Input {
    Input::Specialist(SpecialistInput {
        profession: Some(profession.into()),
        about_us: Some(about_us.into()),
        ..SpecialistInput::default()
    })
}

#[tokio::test]
async fn pages_follow_one_another_by_token_or_by_skipping() {
    let world = World::start().await;
    let mut somebody = None;
    for number in 1..=5 {
        let person = world.person(number, "Ana");
        person.create(vet()).await;
        somebody = Some(person);
    }
    let ana = somebody.unwrap();
    for search in ["", "an", "animales", "an animales"] {
        let of_search = || ListProfilesRequest { page_size: 2, search: search.into(), ..of(ProfileKind::Specialist) };
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = list(&ana, ListProfilesRequest { page_token, ..of_search() }).await;
            assert_eq!(page.total_size, 5);
            seen.push(page.profiles.iter().map(|profile| profile.user_number).collect::<Vec<_>>());
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, [vec![1, 2], vec![3, 4], vec![5]], "{search}");
        assert_eq!(numbers(&ana, ListProfilesRequest { skip: 3, ..of_search() }).await, [4, 5], "{search}");
    }

    let page_token =
        list(&ana, ListProfilesRequest { page_size: 1, ..of(ProfileKind::Specialist) }).await.next_page_token;
    let other = ListProfilesRequest { page_token, ..of(ProfileKind::Businessman) };
    refused!(ana.profiles().list_profiles(other).await, InvalidArgument, "INVALID_FIELDS");
    refused!(world.nobody().list_profiles(of(ProfileKind::Specialist)).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(ana.profiles().list_profiles(of(ProfileKind::Unspecified)).await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn filters_narrow_a_list_and_its_total() {
    let world = World::start().await;
    let (ana, ben, eva, agro) =
        (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Eva María"), world.person(4, "Agro"));
    ana.create(specialist(Profession::Veterinarian, "Cirugía de ganado")).await;
    ben.create(specialist(Profession::Agronomist, "Riego y suelos")).await;
    eva.create(specialist(Profession::Veterinarian, "Pequeñas especies")).await;
    agro.create(shop()).await;
    world
        .person(5, "Luz")
        .create(Input::Businessman(BusinessmanInput {
            business_type: Some(BusinessType::FarmingCompany.into()),
            business_name: Some("Lácteos del Ñandú".into()),
            descriptions: Some("Queso".into()),
            contact: Some("7".into()),
            ..BusinessmanInput::default()
        }))
        .await;

    let vets = ListProfilesRequest { profession: Profession::Veterinarian.into(), ..of(ProfileKind::Specialist) };
    assert_eq!(numbers(&ana, vets.clone()).await, [1, 3]);
    assert_eq!(list(&ana, vets).await.total_size, 2);
    let companies =
        ListProfilesRequest { business_type: BusinessType::FarmingCompany.into(), ..of(ProfileKind::Businessman) };
    assert_eq!(numbers(&ana, companies).await, [5]);
    let own = ListProfilesRequest { user_id: ben.id.to_string(), ..of(ProfileKind::Specialist) };
    assert_eq!(numbers(&ana, own.clone()).await, [2]);
    assert_eq!(
        numbers(&ana, ListProfilesRequest { kind: ProfileKind::Businessman.into(), ..own.clone() }).await,
        [0i64; 0]
    );
    let vet = ListProfilesRequest { profession: Profession::Veterinarian.into(), ..own };
    assert_eq!(numbers(&ana, vet).await, [0i64; 0]);

    for (kind, search, found) in [
        (ProfileKind::Specialist, "cirugia", vec![1]),
        (ProfileKind::Specialist, "GANADO cirugía", vec![1]),
        (ProfileKind::Specialist, "eva", vec![3]),
        (ProfileKind::Specialist, "\"eva maria\"", vec![3]),
        (ProfileKind::Specialist, "eva ganado", vec![]),
        (ProfileKind::Specialist, "%", vec![]),
        (ProfileKind::Specialist, "---", vec![]),
        (ProfileKind::Businessman, "nandu", vec![5]),
        (ProfileKind::Businessman, "luz", vec![5]),
        (ProfileKind::Businessman, "queso", vec![]),
    ] {
        let request = ListProfilesRequest { search: search.into(), ..of(kind) };
        assert_eq!(numbers(&ana, request.clone()).await, found, "{search}");
        assert_eq!(list(&ana, request).await.total_size as usize, found.len(), "{search}");
    }
    for (typed, profession, found) in [
        ("suelos", Profession::Agronomist, vec![2]),
        ("suelos", Profession::Veterinarian, vec![]),
        ("b", Profession::Agronomist, vec![2]),
        ("b", Profession::Veterinarian, vec![]),
    ] {
        let both =
            ListProfilesRequest { search: typed.into(), profession: profession.into(), ..of(ProfileKind::Specialist) };
        assert_eq!(numbers(&ana, both.clone()).await, found, "{typed} {profession:?}");
        assert_eq!(list(&ana, both).await.total_size as usize, found.len(), "{typed} {profession:?}");
    }
}

#[tokio::test]
async fn one_or_two_letters_begin_a_word_of_a_name_or_beside_longer_words_one_of_the_text() {
    let world = World::start().await;
    let (ana, ben, eva, agro) =
        (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Eva María"), world.person(4, "Ñandú"));
    ana.create(specialist(Profession::Veterinarian, "Cirugía de ganado")).await;
    ben.create(specialist(Profession::Agronomist, "Riego y\nsuelos")).await;
    eva.create(specialist(Profession::Veterinarian, "Ganado menor (y aves)")).await;
    agro.create(shop()).await;

    for (kind, search, found) in [
        (ProfileKind::Specialist, "An", vec![1]),
        (ProfileKind::Specialist, "e", vec![3]),
        (ProfileKind::Specialist, "M", vec![3]),
        (ProfileKind::Specialist, "ma Év", vec![3]),
        (ProfileKind::Specialist, "ma an", vec![]),
        (ProfileKind::Specialist, "na", vec![]),
        (ProfileKind::Specialist, "ga", vec![]),
        (ProfileKind::Specialist, "- an", vec![]),
        (ProfileKind::Specialist, "an ganado", vec![1]),
        (ProfileKind::Specialist, "ganado MA", vec![3]),
        (ProfileKind::Specialist, "na ganado", vec![]),
        (ProfileKind::Specialist, "cirugia de ganado", vec![1]),
        (ProfileKind::Specialist, "ga cirugia", vec![1]),
        (ProfileKind::Specialist, "riego y su", vec![2]),
        // Signs part words, and are none.
        (ProfileKind::Specialist, "% ganado", vec![1, 3]),
        (ProfileKind::Specialist, "y ganado", vec![3]),
        (ProfileKind::Businessman, "ñ", vec![4]),
        (ProfileKind::Businessman, "el", vec![4]),
        (ProfileKind::Businessman, "\"el c.\"", vec![4]),
        (ProfileKind::Businessman, "an", vec![]),
    ] {
        let request = ListProfilesRequest { search: search.into(), ..of(kind) };
        assert_eq!(numbers(&ana, request.clone()).await, found, "{search}");
        assert_eq!(list(&ana, request).await.total_size as usize, found.len(), "{search}");
    }

    for (search, found) in [("an", true), ("na", false), ("de ganado", true), ("na ganado", false)] {
        let user_id = ana.id.to_string();
        let own = ListProfilesRequest { user_id, search: search.into(), ..of(ProfileKind::Specialist) };
        assert_eq!(list(&ben, own).await.total_size, i32::from(found), "{search}");
    }
}

#[tokio::test]
async fn consumers_see_themselves_and_administrators_see_them_all() {
    let world = World::start().await;
    let (ana, ben, vet_, admin) =
        (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Eva"), world.admin());
    ana.create(consumer()).await;
    ben.create(consumer()).await;
    vet_.create(vet()).await;
    assert_eq!(numbers(&ana, of(ProfileKind::Consumer)).await, [1]);
    assert_eq!(numbers(&vet_, of(ProfileKind::Consumer)).await, [0i64; 0]);
    let other = ListProfilesRequest { user_id: ben.id.to_string(), ..of(ProfileKind::Consumer) };
    assert_eq!(numbers(&ana, other.clone()).await, [0i64; 0]);
    assert_eq!(numbers(&admin, other).await, [2]);
    assert_eq!(numbers(&admin, of(ProfileKind::Consumer)).await, [1, 2]);
    let searched = ListProfilesRequest { search: "ben".into(), ..of(ProfileKind::Consumer) };
    assert_eq!(numbers(&ana, searched.clone()).await, [0i64; 0]);
    assert_eq!(numbers(&admin, searched).await, [2]);
}
