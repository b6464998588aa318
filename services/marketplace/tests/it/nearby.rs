//! What is for sale nearby, against the formula in a book.

use proptest::prelude::*;
use proto::common::v1::Point;
use proto::marketplace::v1::{AdState, CreateAdRequest, ListNearbyAdsRequest, NearbyAd};
use sqlx::PgPool;
use testkit::Prepared;

use crate::{Somebody, World, an_ad, refused};

async fn nearby(somebody: &Somebody, latitude: f64, longitude: f64, radius_km: f64) -> Vec<NearbyAd> {
    let request = ListNearbyAdsRequest { center: Some(Point { latitude, longitude }), radius_km };
    somebody.ads().list_nearby_ads(request).await.unwrap().into_inner().ads
}

fn ids(ads: &[NearbyAd]) -> Vec<i64> {
    ads.iter().map(|near| near.ad.as_ref().unwrap().id).collect()
}

/// The angle between two places by the spherical law of cosines on their vectors: not the service's formula.
fn kilometres(a: (f64, f64), b: (f64, f64)) -> f64 {
    let vector = |(latitude, longitude): (f64, f64)| {
        let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    };
    let (a, b) = (vector(a), vector(b));
    let cross = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let dot: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    6371.0 * cross.iter().map(|x| x * x).sum::<f64>().sqrt().atan2(dot)
}

#[tokio::test]
async fn the_nearest_come_first_and_say_how_far_they_are() {
    let world = World::start().await;
    let ana = world.seller(1);
    let at = async |latitude, longitude| {
        let location = Some(Point { latitude, longitude });
        ana.publish(CreateAdRequest { location, ..an_ad("Toro") }).await.id
    };
    // Managua, Masaya, León, San José; two at one place go by id.
    let managua = at(12.1364, -86.2514).await;
    let leon = at(12.4379, -86.8780).await;
    let masaya = at(11.9744, -86.0942).await;
    let again = at(12.1364, -86.2514).await;
    let san_jose = at(9.9281, -84.0907).await;
    ana.publish(CreateAdRequest { location: None, ..an_ad("Toro") }).await;

    let found = nearby(&world.nobody, 12.1364, -86.2514, 100.0).await;
    assert_eq!(ids(&found), [managua, again, masaya, leon]);
    assert_eq!(found[0].distance_km, 0.0);
    assert!((found[2].distance_km - 24.828).abs() < 0.01, "{}", found[2].distance_km);
    assert_eq!(ids(&nearby(&world.nobody, 12.1364, -86.2514, 5.0).await), [managua, again]);
    assert_eq!(nearby(&world.nobody, 12.1364, -86.2514, 500.0).await.len(), 5);
    assert_eq!(ids(&nearby(&world.nobody, 9.9281, -84.0907, 0.001).await), [san_jose]);
    for state in [AdState::Paused, AdState::Sold, AdState::Archived] {
        ana.moves(managua, state).await.unwrap();
        assert_eq!(ids(&nearby(&ana, 12.1364, -86.2514, 5.0).await), [again]);
    }
}

#[tokio::test]
async fn a_circle_has_a_middle_and_a_sensible_size() {
    let world = World::start().await;
    let ask = |center, radius_km| {
        let mut ads = world.nobody.ads();
        async move { ads.list_nearby_ads(ListNearbyAdsRequest { center, radius_km }).await }
    };
    let center = Some(Point::default());
    for radius in [0.0, -1.0, 500.1, f64::NAN, f64::INFINITY] {
        refused!(ask(center, radius).await, InvalidArgument, "INVALID_FIELDS");
    }
    refused!(ask(None, 5.0).await, InvalidArgument, "INVALID_FIELDS");
    let nowhere = Some(Point { latitude: 91.0, longitude: 0.0 });
    refused!(ask(nowhere, 5.0).await, InvalidArgument, "INVALID_FIELDS");
    assert!(ask(center, 500.0).await.is_ok());
}

#[tokio::test]
async fn no_more_than_200_and_those_are_the_nearest() {
    let world = World::start().await;
    fill(&world.harness.service.db, &(0..300).map(|n| (0.0, f64::from(n) * 0.001)).collect::<Vec<_>>()).await;
    let found = nearby(&world.nobody, 0.0, 0.0, 500.0).await;
    assert_eq!(ids(&found), (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn of_a_heap_of_ads_at_one_place_only_so_many_are_read() {
    let world = World::start().await;
    let db = &world.harness.service.db;
    fill(db, &[(0.0, 0.0); 3000]).await;
    sqlx::query("analyze ads").execute(db).await.unwrap();
    let found = ids(&nearby(&world.nobody, 0.0, 0.0, 5.0).await);
    assert!(found.len() == 200 && found.is_sorted(), "{found:?}");

    let mut statement = Prepared::find(db, &["place <-> on_sphere"]).await;
    let plan = statement.run(&["enable_seqscan = off"], "0.0, 0.0, 0.001").await;
    let nearest = plan.nodes().into_iter().filter(|node| node["Index Name"] == "ads_nearby");
    let read: Vec<_> = nearest.map(|node| node["Actual Rows"].as_f64().unwrap()).collect();
    assert!(read.len() == 1 && read[0] <= 2001.0, "{plan}");
}

/// Ads at these places, with ids from 1.
async fn fill(db: &PgPool, places: &[(f64, f64)]) {
    let (latitudes, longitudes): (Vec<f64>, Vec<f64>) = places.iter().copied().unzip();
    sqlx::query("truncate ads restart identity").execute(db).await.unwrap();
    sqlx::query(
        "insert into ads (publisher_id, publisher_number, title, description, price, category_id, condition, latitude,
             longitude, state, created_at, updated_at)
         select gen_random_uuid(), 1, 'Toro', 'Toro', 1, 1, 'NEW', latitude, longitude, 'ACTIVE', now(), now()
         from unnest($1::float8[], $2::float8[]) with ordinality as place (latitude, longitude, n) order by n",
    )
    .bind(latitudes)
    .bind(longitudes)
    .execute(db)
    .await
    .unwrap();
}

fn place() -> impl Strategy<Value = (f64, f64)> {
    let anywhere = (-90.0..=90.0f64, -180.0..=180.0f64);
    let poles = (prop_oneof![89.0..=90.0f64, -90.0..=-89.0f64, Just(90.0), Just(-90.0)], -180.0..=180.0f64);
    let date_line = (-90.0..=90.0f64, prop_oneof![179.0..=180.0f64, -180.0..=-179.0f64, Just(180.0), Just(-180.0)]);
    prop_oneof![anywhere, poles, date_line]
}

/// Places around a middle, so that many are near its circle's edge.
fn scene() -> impl Strategy<Value = ((f64, f64), f64, Vec<(f64, f64)>)> {
    (place(), 0.001..=500.0f64).prop_flat_map(|(center, radius)| {
        let near = (-1.5..1.5f64, -1.5..1.5f64).prop_map(move |(north, east)| {
            let degrees = radius / 111.0;
            let latitude = (center.0 + north * degrees).clamp(-90.0, 90.0);
            let stretch = latitude.to_radians().cos().max(0.001);
            let longitude = center.1 + (east * degrees / stretch).clamp(-180.0, 180.0);
            (latitude, (longitude + 540.0).rem_euclid(360.0) - 180.0)
        });
        let places = prop::collection::vec(prop_oneof![3 => near, 1 => place()], 1..60);
        (Just(center), Just(radius), places)
    })
}

#[test]
fn on_the_whole_globe_what_is_found_is_what_a_search_through_all_finds() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::start());
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((center, radius, places) in scene())| {
        let found = runtime.block_on(async {
            fill(&world.harness.service.db, &places).await;
            nearby(&world.nobody, center.0, center.1, radius).await
        });
        let mut told = 0.0;
        for near in &found {
            let place = places[near.ad.as_ref().unwrap().id as usize - 1];
            let distance = kilometres(center, place);
            prop_assert!((near.distance_km - distance).abs() < 1e-6, "{place:?}: {} is {distance}", near.distance_km);
            prop_assert!(near.distance_km >= told - 1e-9);
            told = near.distance_km;
        }
        let found = ids(&found);
        for (n, place) in places.iter().enumerate() {
            let distance = kilometres(center, *place);
            // What lies on the edge to within a millimetre may be in or out.
            if (distance - radius).abs() > 1e-6 {
                prop_assert_eq!(found.contains(&(n as i64 + 1)), distance < radius, "{:?} is at {}", place, distance);
            }
        }
    });
}
