//! Publishing, changing and deleting ads, and who sees them.

use proto::access::v1::Role;
use proto::common::v1::Point;
use proto::marketplace::v1::{
    Ad, AdState, Condition, CreateAdRequest, DeleteAdRequest, ListAdsRequest, ListOwnAdsRequest, UpdateAdRequest,
};

use crate::{World, an_ad, refused};

#[tokio::test]
async fn an_ad_is_published_and_everybody_sees_it() {
    let world = World::start().await;
    let ana = world.seller(17);
    let ad = ana.offers("Semental Brahman").await;
    assert_eq!((ad.publisher_id.as_str(), ad.publisher_number), (ana.id.to_string().as_str(), 17));
    assert_eq!((ad.state(), ad.condition(), ad.price_hundredths), (AdState::Active, Condition::Used, 125_000));
    assert_eq!(ad.location, Some(Point { latitude: 12.1063, longitude: -85.3645 }));
    assert_eq!(world.nobody.sees(ad.id).await.unwrap(), ad);
    let told = world.published().await;
    let data = serde_json::json!({
        "add_id": ad.id, "publisher_id": 17, "publisher_uuid": ana.id, "title": "Semental Brahman",
    });
    assert_eq!(told, [("add.created".into(), ad.id.to_string(), data)]);
    refused!(world.nobody.sees(99).await, NotFound, "AD_NOT_FOUND");
}

#[tokio::test]
async fn only_who_sells_may_publish() {
    let world = World::start().await;
    let new = || an_ad("Toro");
    refused!(world.nobody.ads().create_ad(new()).await, Unauthenticated, "NOT_SIGNED_IN");
    for role in [Role::Consumer, Role::Client, Role::Professional, Role::Admin] {
        let person = world.person(role as i64, role);
        refused!(person.ads().create_ad(new()).await, PermissionDenied, "ROLE_MISSING");
    }
    let seller = world.person(50, Role::Businessman);
    seller.offers("Toro").await;
    // Tokens say what somebody was.
    let buyer = world.person(51, Role::Consumer);
    world.users.person(51, Role::Specialist);
    buyer.offers("Toro").await;
    world.users.person(50, Role::Consumer);
    refused!(seller.ads().create_ad(new()).await, PermissionDenied, "ROLE_MISSING");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::start().await;
    let ana = world.seller(1);
    let place = |latitude, longitude| Some(Point { latitude, longitude });
    for new in [
        CreateAdRequest { title: String::new(), ..an_ad("") },
        CreateAdRequest { title: "x".repeat(201), ..an_ad("") },
        CreateAdRequest { description: String::new(), ..an_ad("Toro") },
        CreateAdRequest { price_hundredths: -1, ..an_ad("Toro") },
        CreateAdRequest { price_hundredths: 1_000_000_000_000, ..an_ad("Toro") },
        CreateAdRequest { condition: 0, ..an_ad("Toro") },
        CreateAdRequest { location: place(90.1, 0.0), ..an_ad("Toro") },
        CreateAdRequest { location: place(0.0, f64::NAN), ..an_ad("Toro") },
        CreateAdRequest { secondary_image_ids: vec![uuid::Uuid::nil().to_string(); 5], ..an_ad("Toro") },
    ] {
        refused!(ana.ads().create_ad(new).await, InvalidArgument, "INVALID_FIELDS");
    }
    let unknown = CreateAdRequest { category_id: 99, ..an_ad("Toro") };
    refused!(ana.ads().create_ad(unknown).await, InvalidArgument, "CATEGORY_UNKNOWN");
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name() {
    let world = World::start().await;
    let ana = world.seller(1);
    let ad = ana.offers("Semental Brahman").await;
    world.tick();
    let change = UpdateAdRequest { id: ad.id, title: Some("Toro".into()), ..Default::default() };
    let changed = ana.changes(change).await.unwrap();
    assert_eq!(changed, Ad { title: "Toro".into(), updated_at: changed.updated_at, ..ad.clone() });
    assert!(changed.updated_at.unwrap().seconds > ad.updated_at.unwrap().seconds);

    let change = UpdateAdRequest {
        id: ad.id,
        description: Some("Manso".into()),
        price_hundredths: Some(0),
        category_id: Some(3),
        condition: Condition::SemiNew.into(),
        location_name: Some(String::new()),
        clear_location: true,
        ..Default::default()
    };
    let changed = ana.changes(change).await.unwrap();
    assert_eq!((changed.location_name.as_deref(), changed.location), (None, None));
    assert_eq!((changed.price_hundredths, changed.category_id, changed.condition()), (0, 3, Condition::SemiNew));
    let unknown = UpdateAdRequest { id: ad.id, category_id: Some(99), ..Default::default() };
    refused!(ana.changes(unknown).await, InvalidArgument, "CATEGORY_UNKNOWN");
    assert_eq!(world.told().await, ["add.created", "add.updated", "add.updated"]);
}

#[tokio::test]
async fn only_the_publisher_and_administrators_change_and_delete() {
    let world = World::start().await;
    let (ana, beto, admin) = (world.seller(1), world.seller(2), world.admin());
    let ad = ana.offers("Toro").await;
    let change = UpdateAdRequest { id: ad.id, title: Some("Vaca".into()), ..Default::default() };
    refused!(world.nobody.changes(change.clone()).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(beto.changes(change.clone()).await, PermissionDenied, "NOT_YOURS");
    assert_eq!(admin.changes(change.clone()).await.unwrap().title, "Vaca");
    let request = DeleteAdRequest { id: ad.id };
    refused!(world.nobody.ads().delete_ad(request).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(beto.ads().delete_ad(request).await, PermissionDenied, "NOT_YOURS");
    ana.moves(ad.id, AdState::Paused).await.unwrap();
    // To others it does not exist now.
    refused!(beto.changes(change.clone()).await, NotFound, "AD_NOT_FOUND");
    refused!(beto.ads().delete_ad(request).await, NotFound, "AD_NOT_FOUND");
    world.published().await;
    admin.ads().delete_ad(request).await.unwrap();
    refused!(ana.ads().delete_ad(request).await, NotFound, "AD_NOT_FOUND");
    refused!(ana.changes(change).await, NotFound, "AD_NOT_FOUND");
    let told = world.published().await;
    assert_eq!((told.len(), told[0].0.as_str(), &told[0].2["publisher_id"]), (1, "add.deleted", &1.into()));
}

#[tokio::test]
async fn what_is_put_away_is_seen_by_its_publisher_and_staff_only() {
    let world = World::start().await;
    let (ana, beto, admin) = (world.seller(1), world.seller(2), world.admin());
    for state in [AdState::Active, AdState::Paused, AdState::Sold, AdState::Archived] {
        let ad = ana.offers(state.as_str_name()).await;
        world.tick();
        ana.moves(ad.id, state).await.unwrap();
    }
    let titles = async |somebody: &crate::Somebody, states: &[AdState]| -> Vec<String> {
        let states = states.iter().map(|state| *state as i32).collect();
        let request = ListAdsRequest { states, ..Default::default() };
        let answer = somebody.ads().list_ads(request).await.unwrap().into_inner();
        assert_eq!(answer.total_size as usize, answer.ads.len());
        answer.ads.into_iter().map(|ad| ad.title.trim_start_matches("AD_STATE_").to_owned()).collect()
    };
    for somebody in [&world.nobody, &beto] {
        assert_eq!(titles(somebody, &[]).await, ["SOLD", "ACTIVE"]);
        assert_eq!(titles(somebody, &[AdState::Paused, AdState::Sold]).await, ["SOLD"]);
        for id in [2, 4] {
            refused!(somebody.sees(id).await, NotFound, "AD_NOT_FOUND");
        }
        assert!(somebody.sees(1).await.is_ok() && somebody.sees(3).await.is_ok());
    }
    for somebody in [&ana, &admin] {
        assert_eq!(titles(somebody, &[]).await, ["ARCHIVED", "SOLD", "PAUSED", "ACTIVE"]);
        assert_eq!(titles(somebody, &[AdState::Archived, AdState::Active]).await, ["ARCHIVED", "ACTIVE"]);
        for id in 1..=4 {
            somebody.sees(id).await.unwrap();
        }
    }
    let own = ana.ads().list_own_ads(ListOwnAdsRequest {}).await.unwrap().into_inner().ads;
    assert_eq!(own.iter().map(|ad| ad.id).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert!(beto.ads().list_own_ads(ListOwnAdsRequest {}).await.unwrap().into_inner().ads.is_empty());
    refused!(world.nobody.ads().list_own_ads(ListOwnAdsRequest {}).await, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn the_publisher_moves_an_ad_as_the_table_has_it() {
    let world = World::start().await;
    let ana = world.seller(1);
    use AdState::{Active, Archived, Paused, Sold};
    let ad = ana.offers("Toro").await;
    for state in [Paused, Archived, Active, Archived, Paused, Active, Sold, Sold] {
        assert_eq!(ana.moves(ad.id, state).await.unwrap().state(), state);
    }
    let told = world.published().await;
    let sold: Vec<_> = told.iter().filter(|(kind, ..)| kind == "add.sold").collect();
    assert_eq!(sold.len(), 1);
    let nobody = serde_json::Value::Null;
    assert_eq!((&sold[0].2["buyer_id"], &sold[0].2["order_id"]), (&nobody, &nobody));
    assert_eq!(sold[0].2["price"], "1250.00");

    for state in [Active, Paused] {
        // All or nothing: the title that came along stays, too.
        let change =
            UpdateAdRequest { id: ad.id, title: Some("Vaca".into()), state: state.into(), ..Default::default() };
        refused!(ana.changes(change).await, FailedPrecondition, "AD_STATE_REFUSED");
    }
    assert_eq!(ana.sees(ad.id).await.unwrap().title, "Toro");
    assert_eq!(ana.moves(ad.id, Archived).await.unwrap().state(), Archived);
    assert_eq!(ana.moves(ad.id, Active).await.unwrap().state(), Active);
}
