//! The role that a profile holds.

use proto::access::v1::Role;
use proto::auth::v1::account_service_client::AccountServiceClient;
use proto::auth::v1::{
    Account, DeleteAccountRequest, GetAccountRequest, HoldRoleRequest, RefreshRequest, UpdateAccountRequest,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::world::{PASSWORD, PHONE, Person, World, phone, reason};

async fn hold(world: &World, ana: &Person, role: Role, version: i64) -> Result<Account, Status> {
    let request = HoldRoleRequest {
        id: ana.account.id.clone(),
        role: role.into(),
        version,
        session_id: ana.tokens.session_id.clone(),
    };
    let mut profiles = AccountServiceClient::new(world.harness.as_peer("profiles"));
    Ok(profiles.hold_role(request).await?.into_inner())
}

async fn change(ana: &Person, role: Role) -> Result<Account, Status> {
    let request = UpdateAccountRequest {
        id: ana.account.id.clone(),
        agrovet_role: Some(role.into()),
        ..UpdateAccountRequest::default()
    };
    Ok(ana.accounts().update_account(request).await?.into_inner())
}

#[tokio::test]
async fn a_held_role_is_the_accounts_and_no_other_may_take_its_place() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let after = hold(&world, &ana, Role::Specialist, 1).await.unwrap();
    assert_eq!(after.roles, [Role::Specialist as i32]);
    assert_eq!(world.users.person(&ana.account.id).unwrap().roles, after.roles);
    for role in [Role::Businessman, Role::Consumer, Role::Unspecified] {
        let refused = change(&ana, role).await;
        assert_eq!(refused.as_ref().unwrap_err().code(), Code::FailedPrecondition);
        assert_eq!(reason(refused), "ROLE_LOCKED");
    }
    assert!(change(&ana, Role::Specialist).await.is_ok());

    let after = hold(&world, &ana, Role::Unspecified, 2).await.unwrap();
    assert_eq!(after.roles, [Role::Specialist as i32], "a profile that goes leaves the role");
    assert_eq!(change(&ana, Role::Consumer).await.unwrap().roles, [Role::Consumer as i32]);
}

#[tokio::test]
async fn what_profiles_says_goes_before_what_was_held() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    hold(&world, &ana, Role::Specialist, 1).await.unwrap();
    let after = hold(&world, &ana, Role::Businessman, 2).await.unwrap();
    assert_eq!(after.roles, [Role::Businessman as i32]);
    assert_eq!(reason(change(&ana, Role::Specialist).await), "ROLE_LOCKED");
    let told = world.events("user.role_changed").await;
    assert_eq!((told.len(), &told[1]["data"]["new_role"]), (2, &"businessman".into()));
}

#[tokio::test]
async fn repeats_and_old_news_change_nothing() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let first = hold(&world, &ana, Role::Specialist, 5).await.unwrap();
    assert_eq!(hold(&world, &ana, Role::Specialist, 5).await.unwrap(), first);
    for (role, version) in [(Role::Consumer, 4), (Role::Unspecified, 1)] {
        assert_eq!(hold(&world, &ana, role, version).await.unwrap(), first);
    }
    assert_eq!(reason(change(&ana, Role::Consumer).await), "ROLE_LOCKED");
    assert_eq!(world.events("user.role_changed").await.len(), 1);
}

#[tokio::test]
async fn the_same_role_is_held_without_a_change() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let other = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    let after = hold(&world, &ana, Role::Consumer, 1).await.unwrap();
    assert_eq!(after.version, world.users.person(&ana.account.id).unwrap().version);
    assert!(world.events("user.role_changed").await.is_empty());
    let refresh = RefreshRequest { refresh_token: other.refresh_token };
    assert!(ana.sessions().refresh(refresh).await.is_ok(), "nobody is thrown out");
    assert_eq!(reason(change(&ana, Role::Specialist).await), "ROLE_LOCKED");
}

#[tokio::test]
async fn another_role_ends_the_other_sessions_and_spares_the_one_that_made_the_profile() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let other = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    hold(&world, &ana, Role::Specialist, 1).await.unwrap();
    let refreshed = ana.sessions().refresh(RefreshRequest { refresh_token: other.refresh_token }).await;
    assert_eq!(reason(refreshed), "BAD_TOKEN");
    assert!(ana.signed_in().await);
}

#[tokio::test]
async fn when_users_refuses_nothing_is_held() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    world.users.refuse(1);
    hold(&world, &ana, Role::Specialist, 1).await.unwrap_err();
    assert_eq!(change(&ana, Role::Businessman).await.unwrap().roles, [Role::Businessman as i32]);
    assert_eq!(hold(&world, &ana, Role::Specialist, 1).await.unwrap().roles, [Role::Specialist as i32]);
}

#[tokio::test]
async fn a_change_and_a_hold_at_once_end_with_what_is_held() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    for version in 1..=10 {
        let role = if version % 2 == 0 { Role::Businessman } else { Role::Specialist };
        let (held, _) = tokio::join!(hold(&world, &ana, role, version), change(&ana, Role::Consumer));
        held.unwrap();
        let account = ana.accounts().get_account(GetAccountRequest::default()).await.unwrap().into_inner();
        assert_eq!(account.roles, [role as i32]);
    }
}

#[tokio::test]
async fn only_profiles_holds_roles_and_only_of_accounts_that_live() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let request = HoldRoleRequest { id: ana.account.id.clone(), version: 1, ..HoldRoleRequest::default() };
    assert_eq!(reason(ana.accounts().hold_role(request.clone()).await), "PEERS_ONLY");
    let mut media = AccountServiceClient::new(world.harness.as_peer("media"));
    assert_eq!(reason(media.hold_role(request.clone()).await), "PEERS_ONLY");

    let mut profiles = AccountServiceClient::new(world.harness.as_peer("profiles"));
    let unknown = HoldRoleRequest { id: Uuid::now_v7().to_string(), ..request.clone() };
    assert_eq!(reason(profiles.hold_role(unknown).await), "ACCOUNT_NOT_FOUND");
    let client = HoldRoleRequest { role: Role::Client.into(), ..request };
    assert_eq!(reason(profiles.hold_role(client).await), "INVALID_FIELDS");
    hold(&world, &ana, Role::Specialist, 1).await.unwrap();
    let removal = DeleteAccountRequest { id: ana.account.id.clone(), password: None };
    ana.accounts().delete_account(removal).await.unwrap();
    assert_eq!(reason(hold(&world, &ana, Role::Specialist, 2).await), "ACCOUNT_NOT_FOUND");
}
