use proto::access::v1::Role;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::auth::v1::{RefreshRequest, Tokens, UpdateAccountRequest, ValidateTokenRequest};
use tonic::Status;

use crate::world::{PASSWORD, PHONE, World, phone, reason};

async fn refresh(world: &World, token: &str) -> Result<Tokens, Status> {
    let request = RefreshRequest { refresh_token: token.into() };
    SessionServiceClient::new(world.nobody.clone()).refresh(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    world.advance(3600);
    assert!(!ana.signed_in().await, "an access token lives an hour");
    let next = refresh(&world, &ana.tokens.refresh_token).await.unwrap();
    assert_eq!((&next.session_id, next.expires_in), (&ana.tokens.session_id, 3600));
    assert_ne!(next.refresh_token, ana.tokens.refresh_token);
    let token = ValidateTokenRequest { access_token: next.access_token };
    assert!(ana.sessions().validate_token(token).await.is_ok());
}

#[tokio::test]
async fn a_storm_of_refreshes_gives_one_child_and_no_logout() {
    let world = std::sync::Arc::new(World::new().await);
    let ana = world.register(PHONE).await;
    let storm: Vec<_> = (0..100)
        .map(|_| {
            let (world, token) = (world.clone(), ana.tokens.refresh_token.clone());
            tokio::spawn(async move { refresh(&world, &token).await.unwrap().refresh_token })
        })
        .collect();
    let mut children = Vec::new();
    for refreshed in storm {
        children.push(refreshed.await.unwrap());
    }
    children.dedup();
    assert_eq!(children.len(), 1);
    assert!(ana.signed_in().await);
    assert!(refresh(&world, &children[0]).await.is_ok(), "and the child works");
}

#[tokio::test]
async fn a_spent_token_gives_the_same_child_for_30_seconds() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let child = refresh(&world, &ana.tokens.refresh_token).await.unwrap().refresh_token;
    world.advance(30);
    assert_eq!(refresh(&world, &ana.tokens.refresh_token).await.unwrap().refresh_token, child);
}

#[tokio::test]
async fn a_token_spent_longer_ago_ends_the_session() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let child = refresh(&world, &ana.tokens.refresh_token).await.unwrap();
    world.advance(31);
    assert_eq!(reason(refresh(&world, &ana.tokens.refresh_token).await), "BAD_TOKEN");
    assert_eq!(reason(refresh(&world, &child.refresh_token).await), "BAD_TOKEN", "the thief's and the owner's");
    assert!(!ana.signed_in().await);
    let other = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    assert!(refresh(&world, &other.refresh_token).await.is_ok(), "other sessions live on");
}

#[tokio::test]
async fn a_session_lives_30_days_after_its_last_refresh() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let month = 30 * 24 * 3600;
    world.advance(month - 1);
    let next = refresh(&world, &ana.tokens.refresh_token).await.unwrap();
    world.advance(month - 1);
    let next = refresh(&world, &next.refresh_token).await.unwrap();
    world.advance(month);
    assert_eq!(reason(refresh(&world, &next.refresh_token).await), "BAD_TOKEN");
    world.auth.clone().sweep().await.unwrap();
    assert_eq!(reason(refresh(&world, &next.refresh_token).await), "BAD_TOKEN");
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    assert_eq!(reason(refresh(&world, "").await), "INVALID_FIELDS");
    for token in ["x", &ana.tokens.access_token, &format!("{}x", ana.tokens.refresh_token)] {
        assert_eq!(reason(refresh(&world, token).await), "BAD_TOKEN");
    }
}

#[tokio::test]
async fn a_refresh_brings_the_present_roles() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let request = UpdateAccountRequest {
        id: ana.account.id.clone(),
        agrovet_role: Some(Role::Specialist.into()),
        ..UpdateAccountRequest::default()
    };
    ana.accounts().update_account(request).await.unwrap();
    let next = refresh(&world, &ana.tokens.refresh_token).await.unwrap();
    let token = ValidateTokenRequest { access_token: next.access_token };
    let says = ana.sessions().validate_token(token).await.unwrap().into_inner();
    assert_eq!(says.roles, [Role::Specialist as i32]);
}
