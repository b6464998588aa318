use proptest::prelude::*;
use proto::profiles::v1::{DeleteProfileRequest, Profile, ProfileKind, RateSpecialistRequest};
use tonic::Status;

use crate::world::{Somebody, World, gone, refused, shop, specialist, vet};

async fn rate(who: &Somebody, whose: &Somebody, stars: i32) -> Result<Profile, Status> {
    let request = RateSpecialistRequest { user_id: whose.id.to_string(), stars };
    Ok(who.ratings().rate_specialist(request).await?.into_inner())
}

fn counters(profile: &Profile) -> (i64, i32) {
    (specialist(profile).point, specialist(profile).ratings)
}

async fn recount(world: &World) -> Vec<(i64, i64, i64)> {
    sqlx::query_as(
        "select p.id, coalesce(sum(stars), 0)::bigint, count(stars) from profiles p left join ratings r on r.user_id = p.user_id
         group by p.id order by p.id",
    )
    .fetch_all(&world.harness.service.db)
    .await
    .unwrap()
}

async fn counted(world: &World) -> Vec<(i64, i64, i64)> {
    sqlx::query_as("select id, point, ratings::bigint from profiles order by id")
        .fetch_all(&world.harness.service.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn stars_are_counted_once_per_person_and_may_be_changed() {
    let world = World::start().await;
    let (ana, ben, eva) = (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Eva"));
    ana.create(vet()).await;
    world.published().await;
    assert_eq!(counters(&rate(&ben, &ana, 5).await.unwrap()), (5, 1));
    assert_eq!(counters(&rate(&eva, &ana, 2).await.unwrap()), (7, 2));
    for _ in 0..2 {
        assert_eq!(counters(&rate(&ben, &ana, 1).await.unwrap()), (3, 2));
    }
    assert_eq!(world.published().await, [], "stars are no change of what the profile says");
}

#[tokio::test]
async fn not_everything_is_rated_nor_by_everybody() {
    let world = World::start().await;
    let (ana, ben, agro) = (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Agro"));
    ana.create(vet()).await;
    agro.create(shop()).await;
    refused!(rate(&ana, &ana, 5).await, PermissionDenied, "SELF_NOT_RATEABLE");
    refused!(rate(&ben, &agro, 5).await, NotFound, "PROFILE_NOT_FOUND");
    refused!(rate(&ana, &ben, 5).await, NotFound, "PROFILE_NOT_FOUND");
    for stars in [0, 6, -1] {
        refused!(rate(&ben, &ana, stars).await, InvalidArgument, "INVALID_FIELDS");
    }
    let request = RateSpecialistRequest { user_id: ana.id.to_string(), stars: 5 };
    let mut nobody = proto::profiles::v1::rating_service_client::RatingServiceClient::new(kit::Peer::new(
        "profiles",
        world.harness.network.stranger("profiles"),
    ));
    refused!(nobody.rate_specialist(request).await, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn ratings_at_once_all_count() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    ana.create(vet()).await;
    let raters: Vec<_> = (2..10).map(|number| world.person(number, "Ben")).collect();
    let ratings: Vec<_> = (0..40)
        .map(|n| {
            let (rater, ana) = (raters[n % 8].clone(), ana.clone());
            tokio::spawn(async move { rate(&rater, &ana, 1 + (n % 5) as i32).await.unwrap() })
        })
        .collect();
    for rating in ratings {
        rating.await.unwrap();
    }
    assert_eq!(counters(&ana.see(&ana).await.unwrap()).1, 8);
    assert_eq!(recount(&world).await, counted(&world).await);
}

#[tokio::test]
async fn the_stars_of_who_leaves_leave_too() {
    let world = World::start().await;
    let (ana, ben, eva) = (world.person(1, "Ana"), world.person(2, "Ben"), world.person(3, "Eva"));
    ana.create(vet()).await;
    eva.create(vet()).await;
    rate(&ben, &ana, 5).await.unwrap();
    rate(&ben, &eva, 4).await.unwrap();
    rate(&eva, &ana, 3).await.unwrap();
    for _ in 0..2 {
        world.deliver(&gone(&ben)).await;
        assert_eq!(counters(&ana.see(&ana).await.unwrap()), (3, 1));
        assert_eq!(counters(&eva.see(&eva).await.unwrap()), (0, 0));
    }
    let request = |kind: ProfileKind| DeleteProfileRequest { user_id: ana.id.to_string(), kind: kind.into() };
    ana.profiles().delete_profile(request(ProfileKind::Specialist)).await.unwrap();
    assert_eq!(counters(&ana.create(vet()).await), (3, 1), "stars are not washed off");
    // Nor by being something else in between, while somebody takes theirs back.
    assert_eq!(counters(&rate(&eva, &ana, 1).await.unwrap()), (1, 1));
    let frank = world.person(4, "Frank");
    rate(&frank, &ana, 2).await.unwrap();
    ana.profiles().delete_profile(request(ProfileKind::Specialist)).await.unwrap();
    ana.create(shop()).await;
    world.deliver(&gone(&frank)).await;
    ana.profiles().delete_profile(request(ProfileKind::Businessman)).await.unwrap();
    assert_eq!(counters(&ana.create(vet()).await), (1, 1));
    assert_eq!(counters(&rate(&eva, &ana, 4).await.unwrap()), (4, 1));
    // With the account they go.
    world.deliver(&gone(&ana)).await;
    let left: i64 =
        sqlx::query_scalar("select count(*) from ratings").fetch_one(&world.harness.service.db).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_end_of_an_account_waits_for_stars_that_are_being_given_and_takes_them_back() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana"), world.person(2, "Ben"));
    ana.create(vet()).await;
    // Holds up the stars on their way.
    let mut tx = world.harness.service.db.begin().await.unwrap();
    sqlx::query("select from profiles where user_id = $1 for update").bind(ana.id).execute(&mut *tx).await.unwrap();
    let rating = tokio::spawn({
        let (ana, ben) = (ana.clone(), ben.clone());
        async move { rate(&ben, &ana, 5).await.unwrap() }
    });
    testkit::eventually("the stars wait", async || world.blocked().await == 1).await;
    let end = gone(&ben);
    let release = async {
        testkit::eventually("the end of the account waits too", async || world.blocked().await == 2).await;
        tx.commit().await.unwrap();
    };
    tokio::join!(world.deliver(&end), release);
    assert_eq!(counters(&rating.await.unwrap()), (5, 1));
    assert_eq!(counters(&ana.see(&ana).await.unwrap()), (0, 0));

    refused!(rate(&ben, &ana, 5).await, Unauthenticated, "SESSION_REVOKED");
    assert_eq!(counters(&ana.see(&ana).await.unwrap()), (0, 0));
}

/// What may happen to ratings.
#[derive(Clone, Debug)]
enum Action {
    Rate {
        rater: usize,
        rated: usize,
        stars: i32,
    },
    /// A rating whose transaction is dropped before its commit.
    Crash {
        rater: usize,
        rated: usize,
    },
    Leave(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..5usize, 0..3usize, 1..=5i32).prop_map(|(rater, rated, stars)| Action::Rate { rater, rated, stars }),
        2 => (0..5usize, 0..3usize).prop_map(|(rater, rated)| Action::Crash { rater, rated }),
        1 => (3..5usize).prop_map(Action::Leave),
    ]
}

#[test]
fn counters_equal_a_recount_whatever_happens() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let world = runtime.block_on(World::start());
    let vets: Vec<_> = (0..3).map(|number| world.person(number, "Ana")).collect();
    runtime.block_on(async {
        for person in &vets {
            person.create(vet()).await;
        }
    });
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(actions in prop::collection::vec(action(), 1..20))| {
        // Who left does not come back, so every case has guests of its own.
        let guests = (3..5).map(|number| world.person(number, "Ben"));
        let people: Vec<_> = vets.iter().cloned().chain(guests).collect();
        runtime.block_on(async {
            for action in actions {
                match action {
                    Action::Rate { rater, rated, stars } => {
                        let _ = rate(&people[rater], &people[rated], stars).await;
                    }
                    Action::Crash { rater, rated } => {
                        let (rater, rated) = (people[rater].clone(), people[rated].clone());
                        let rating = tokio::spawn(async move { rate(&rater, &rated, 5).await });
                        // At whatever statement it happens to be.
                        tokio::task::yield_now().await;
                        rating.abort();
                        let _ = rating.await;
                    }
                    Action::Leave(who) => {
                        world.deliver(&gone(&people[who])).await;
                    }
                }
            }
        });
        // A call that was dropped may still be under way: wait for its locks, and count in one snapshot.
        let wrong: i64 = runtime.block_on(async {
            sqlx::query_scalar(
                "select count(*) from profiles p
                 where (point, ratings) is distinct from
                     (select (coalesce(sum(stars), 0), count(*)::int) from ratings where user_id = p.user_id)",
            )
            .fetch_one(&world.harness.service.db)
            .await
            .unwrap()
        });
        prop_assert_eq!(wrong, 0);
    });
}
