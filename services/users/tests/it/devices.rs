use proto::users::v1::{AnonymizeUserRequest, Platform, RegisterDeviceRequest, UnregisterDeviceRequest};
use tonic::Status;

use crate::{Somebody, World, refused};

async fn register(person: &Somebody, token: &str) -> Result<(), Status> {
    let request = RegisterDeviceRequest { token: token.to_owned(), platform: Platform::Android.into() };
    person.devices().register_device(request).await.map(|_| ())
}

async fn unregister(person: &Somebody, token: &str) -> Result<(), Status> {
    person.devices().unregister_device(UnregisterDeviceRequest { token: token.to_owned() }).await.map(|_| ())
}

/// No RPC shows tokens yet: `notifications` will take them over.
async fn tokens(world: &World, person: &Somebody) -> Vec<String> {
    sqlx::query_scalar("select token from devices where person_id = $1 order by token")
        .bind(person.id)
        .fetch_all(&world.harness.service.db)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_token_registered_twice_is_one_and_can_be_forgotten_twice() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    // Longer than an index entry may be.
    let long = "x".repeat(4096);
    for token in ["a", "a", "b", &long] {
        register(&ana, token).await.unwrap();
    }
    assert_eq!(tokens(&world, &ana).await, ["a", "b", &long]);
    for _ in 0..2 {
        unregister(&ana, "a").await.unwrap();
        assert_eq!(tokens(&world, &ana).await, ["b", &long]);
    }
    unregister(&ana, "").await.unwrap();
    assert_eq!(tokens(&world, &ana).await, [""; 0]);
}

#[tokio::test]
async fn a_token_moves_to_who_logged_in_last_and_only_they_can_forget_it() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana", &[]).await, world.person(2, "Ben", &[]).await);
    register(&ana, "phone").await.unwrap();
    register(&ben, "phone").await.unwrap();
    unregister(&ana, "phone").await.unwrap();
    unregister(&ana, "").await.unwrap();
    assert_eq!((tokens(&world, &ana).await.len(), tokens(&world, &ben).await), (0, vec!["phone".to_owned()]));
}

#[tokio::test]
async fn an_account_keeps_its_ten_newest_even_when_many_come_at_once() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    for number in 10..20 {
        register(&ana, &number.to_string()).await.unwrap();
        world.harness.clock.advance(std::time::Duration::from_secs(1));
    }
    let new: Vec<_> = (20..24).map(|number| number.to_string()).collect();
    let (a, b, c, d) = tokio::join!(
        register(&ana, &new[0]),
        register(&ana, &new[1]),
        register(&ana, &new[2]),
        register(&ana, &new[3])
    );
    a.and(b).and(c).and(d).unwrap();
    let expected: Vec<_> = (14..24).map(|number| number.to_string()).collect();
    assert_eq!(tokens(&world, &ana).await, expected);
}

#[tokio::test]
async fn devices_belong_to_people_who_are_signed_in_and_there() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    let nobody = Somebody { peer: world.nobody.clone(), ..ana.clone() };
    refused!(register(&nobody, "a").await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(unregister(&nobody, "a").await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(register(&ana, "").await, InvalidArgument, "INVALID_FIELDS");
    refused!(register(&world.stranger(), "a").await, NotFound, "USER_NOT_FOUND");
    unregister(&world.stranger(), "a").await.unwrap();

    register(&ana, "a").await.unwrap();
    world.auth().anonymize_user(AnonymizeUserRequest { id: ana.id.to_string() }).await.unwrap();
    assert_eq!(tokens(&world, &ana).await, [""; 0]);
    refused!(register(&ana, "a").await, NotFound, "USER_NOT_FOUND");
}
