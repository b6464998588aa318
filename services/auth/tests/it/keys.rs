use proto::auth::v1::key_service_client::KeyServiceClient;
use proto::auth::v1::{GetKeySetRequest, Key, RefreshRequest};

use crate::world::{PHONE, World};

const DAY: u64 = 24 * 3600;

async fn keys(world: &World) -> Vec<Key> {
    let answer = KeyServiceClient::new(world.nobody.clone()).get_key_set(GetKeySetRequest {}).await;
    answer.unwrap().into_inner().keys
}

/// The key an access token names.
fn key_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn the_next_key_is_published_before_it_signs_and_the_former_one_stays_while_its_tokens_live() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let [first] = &keys(&world).await[..] else { panic!("one key") };
    assert_eq!(&key_of(&ana.tokens.access_token), &first.id);

    world.advance(29 * DAY);
    world.auth.rotate_keys().await.unwrap();
    let [second, still_first] = &keys(&world).await[..] else { panic!("two keys, newest first") };
    assert_eq!(still_first, first);
    let refresh = RefreshRequest { refresh_token: ana.tokens.refresh_token.clone() };
    let tokens = ana.sessions().refresh(refresh).await.unwrap().into_inner();
    assert_eq!(key_of(&tokens.access_token), first.id, "published, but it does not sign yet");

    world.advance(DAY - 60);
    let refresh = RefreshRequest { refresh_token: tokens.refresh_token };
    let tokens = ana.sessions().refresh(refresh).await.unwrap().into_inner();
    world.advance(60);
    world.auth.rotate_keys().await.unwrap();
    let refresh = RefreshRequest { refresh_token: tokens.refresh_token.clone() };
    let next = ana.sessions().refresh(refresh).await.unwrap().into_inner();
    assert_eq!(key_of(&next.access_token), second.id);
    let kept = crate::world::Person { peer: world.holding(&tokens), account: ana.account.clone(), tokens };
    assert!(kept.signed_in().await, "signed by the former key a minute ago");

    world.advance(DAY);
    world.auth.rotate_keys().await.unwrap();
    assert_eq!(keys(&world).await.iter().map(|key| &key.id).collect::<Vec<_>>(), [&second.id]);
}

#[tokio::test]
async fn replicas_agree_on_the_keys() {
    let world = World::new().await;
    world.advance(29 * DAY);
    let (one, other) = (world.auth.clone(), world.auth.clone());
    let (one, other) = tokio::join!(one.rotate_keys(), other.rotate_keys());
    one.and(other).unwrap();
    assert_eq!(keys(&world).await.len(), 2);
}
