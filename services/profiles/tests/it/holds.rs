//! What `auth` is told of the roles that profiles hold.

use std::time::Duration;

use proto::access::v1::Role;
use proto::profiles::v1::{DeleteProfileRequest, ProfileKind};

use crate::world::{Somebody, World, consumer, shop, vet};

async fn delete(who: &Somebody, kind: ProfileKind) {
    let request = DeleteProfileRequest { user_id: who.id.to_string(), kind: kind.into() };
    who.profiles().delete_profile(request).await.unwrap();
}

async fn due(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from holds").fetch_one(&world.harness.service.db).await.unwrap()
}

#[tokio::test]
async fn a_profile_holds_the_role_as_long_as_it_is_there() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    assert_eq!(world.peers.held(ana.id), None);
    ana.create(vet()).await;
    assert_eq!(world.peers.held(ana.id), Some(Role::Specialist));
    assert!(!world.peers.spared(ana.id).is_empty(), "who makes a profile stays signed in");
    delete(&ana, ProfileKind::Specialist).await;
    assert_eq!(world.peers.held(ana.id), Some(Role::Unspecified));
    ana.create(shop()).await;
    assert_eq!((world.peers.held(ana.id), due(&world).await), (Some(Role::Businessman), 0));
}

#[tokio::test]
async fn while_auth_is_away_profiles_are_made_and_it_hears_later() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana"), world.person(2, "Ben"));
    world.peers.set_auth_away(true);
    ana.create(vet()).await;
    ben.create(consumer()).await;
    delete(&ben, ProfileKind::Consumer).await;
    world.profiles.tell_due_holds().await.unwrap();
    assert_eq!((world.peers.held(ana.id), due(&world).await), (None, 2));

    world.peers.set_auth_away(false);
    world.profiles.tell_due_holds().await.unwrap();
    assert_eq!(due(&world).await, 2, "what failed waits a little");
    world.harness.clock.advance(Duration::from_secs(3600));
    world.profiles.tell_due_holds().await.unwrap();
    assert_eq!(world.peers.held(ana.id), Some(Role::Specialist));
    assert_eq!(world.peers.held(ben.id), Some(Role::Unspecified));
    assert_eq!(due(&world).await, 0);
}

#[tokio::test]
async fn an_answer_that_is_lost_does_no_harm() {
    let world = World::start().await;
    let ana = world.person(1, "Ana");
    world.peers.set_lose_answers(true);
    ana.create(vet()).await;
    assert_eq!((world.peers.held(ana.id), due(&world).await), (Some(Role::Specialist), 1));
    world.peers.set_lose_answers(false);
    // The next change of the profile catches up too.
    ana.update(vet()).await;
    assert_eq!((world.peers.held(ana.id), due(&world).await), (Some(Role::Specialist), 0));
}
