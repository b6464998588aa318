use proto::access::v1::Role;
use proto::auth::v1::{
    AccountState, BanAccountRequest, DeleteAccountRequest, GetAccountRequest, Profile, RefreshRequest,
    UnbanAccountRequest, UpdateAccountRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::world::{PASSWORD, PHONE, World, phone, reason};

const OTHER_PHONE: &str = "59171111111";

fn update(id: &str) -> UpdateAccountRequest {
    UpdateAccountRequest { id: id.into(), ..UpdateAccountRequest::default() }
}

fn get(id: &str) -> GetAccountRequest {
    GetAccountRequest { id: id.into() }
}

fn ban(id: &str) -> BanAccountRequest {
    BanAccountRequest { id: id.into(), reason: "spam".into() }
}

#[tokio::test]
async fn an_account_is_shown_to_its_owner_and_administrators_only() {
    let world = World::new().await;
    let (ana, eva, admin) =
        (world.register(PHONE).await, world.register(OTHER_PHONE).await, world.administrator().await);
    assert_eq!(ana.accounts().get_account(get("")).await.unwrap().into_inner().id, ana.account.id);
    assert!(admin.accounts().get_account(get(&ana.account.id)).await.is_ok());
    assert_eq!(reason(eva.accounts().get_account(get(&ana.account.id)).await), "NOT_YOURS");
    let nobody = Uuid::now_v7().to_string();
    assert_eq!(reason(admin.accounts().get_account(get(&nobody)).await), "ACCOUNT_NOT_FOUND");
    assert_eq!(reason(admin.accounts().get_account(get("17")).await), "INVALID_FIELDS");
}

#[tokio::test]
async fn an_update_changes_account_and_person_together() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let request = UpdateAccountRequest {
        phone: Some(OTHER_PHONE.into()),
        agrovet_role: Some(Role::Businessman.into()),
        profile: Some(Profile { first_name: Some("Anita".into()), ..Profile::default() }),
        ..update(&ana.account.id)
    };
    let after = ana.accounts().update_account(request).await.unwrap().into_inner();
    assert_eq!((after.phone.as_deref(), &after.roles[..]), (Some(OTHER_PHONE), &[Role::Businessman as i32][..]));
    assert!(after.version > ana.account.version);

    let person = world.users.person(&ana.account.id).unwrap();
    assert_eq!((person.phone.as_deref(), person.version), (Some(OTHER_PHONE), after.version));
    assert_eq!(person.profile.unwrap().first_name.as_deref(), Some("Anita"));
    let [event] = &world.events("user.role_changed").await[..] else { panic!("one event") };
    assert_eq!((&event["data"]["old_role"], &event["data"]["new_role"]), (&"consumer".into(), &"businessman".into()));
    assert_eq!(world.events("account.changed").await.len(), 1);
    assert!(ana.signed_in().await, "a form that changes the role does not throw its user out");
}

#[tokio::test]
async fn the_same_role_again_is_no_change() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let request = UpdateAccountRequest { agrovet_role: Some(Role::Consumer.into()), ..update(&ana.account.id) };
    ana.accounts().update_account(request).await.unwrap();
    assert!(world.events("user.role_changed").await.is_empty());
}

#[tokio::test]
async fn a_change_of_roles_ends_the_other_sessions() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let other = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    let request = UpdateAccountRequest { agrovet_role: Some(Role::Specialist.into()), ..update(&ana.account.id) };
    ana.accounts().update_account(request).await.unwrap();
    let refreshed = ana.sessions().refresh(RefreshRequest { refresh_token: other.refresh_token }).await;
    assert_eq!(reason(refreshed), "BAD_TOKEN");
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let other = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    let weak = UpdateAccountRequest { password: Some("59170000000".into()), ..update(&ana.account.id) };
    assert_eq!(reason(ana.accounts().update_account(weak).await), "PASSWORD_TOO_WEAK");

    let request = UpdateAccountRequest { password: Some("Secreta456".into()), ..update(&ana.account.id) };
    ana.accounts().update_account(request).await.unwrap();
    assert!(ana.signed_in().await);
    let refreshed = ana.sessions().refresh(RefreshRequest { refresh_token: other.refresh_token }).await;
    assert_eq!(reason(refreshed), "BAD_TOKEN");
    assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "BAD_CREDENTIALS");
    assert!(world.log_in(phone(PHONE), "Secreta456").await.is_ok());
    assert_eq!(world.events("user.password_changed").await.len(), 1);
}

#[tokio::test]
async fn updates_are_for_the_owner_and_administrators_and_taken_phones_stay_taken() {
    let world = World::new().await;
    let (ana, eva, admin) =
        (world.register(PHONE).await, world.register(OTHER_PHONE).await, world.administrator().await);
    assert_eq!(reason(eva.accounts().update_account(update(&ana.account.id)).await), "NOT_YOURS");
    let taken = UpdateAccountRequest { phone: Some(OTHER_PHONE.into()), ..update(&ana.account.id) };
    assert_eq!(reason(ana.accounts().update_account(taken).await), "PHONE_TAKEN");
    let nobody = Uuid::now_v7().to_string();
    assert_eq!(reason(admin.accounts().update_account(update(&nobody)).await), "ACCOUNT_NOT_FOUND");
    assert!(admin.accounts().update_account(update(&ana.account.id)).await.is_ok());
}

#[tokio::test]
async fn when_users_refuses_nothing_is_changed() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    world.users.refuse(1);
    let request = UpdateAccountRequest { phone: Some(OTHER_PHONE.into()), ..update(&ana.account.id) };
    ana.accounts().update_account(request).await.unwrap_err();
    let account = ana.accounts().get_account(get("")).await.unwrap().into_inner();
    assert_eq!(account.phone.as_deref(), Some(PHONE));
    assert!(world.events("account.changed").await.is_empty());
}

#[tokio::test]
async fn a_copy_of_a_change_that_never_was_is_put_right() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    world.users.lose_answers(1);
    let request = UpdateAccountRequest { phone: Some(OTHER_PHONE.into()), ..update(&ana.account.id) };
    ana.accounts().update_account(request).await.unwrap_err();
    assert_eq!(world.users.person(&ana.account.id).unwrap().phone.as_deref(), Some(OTHER_PHONE));
    world.advance(61);
    world.auth.clone().settle_provisions().await.unwrap();
    assert_eq!(world.users.person(&ana.account.id).unwrap().phone.as_deref(), Some(PHONE));
}

#[tokio::test]
async fn updates_at_once_all_happen() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let updates = (0..8).map(|_| {
        let (mut accounts, request) = (ana.accounts(), update(&ana.account.id));
        tokio::spawn(async move { accounts.update_account(request).await.unwrap().into_inner().version })
    });
    let mut versions = Vec::new();
    for update in updates.collect::<Vec<_>>() {
        versions.push(update.await.unwrap());
    }
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 8);
    assert_eq!(world.users.person(&ana.account.id).unwrap().version, versions[7]);
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_personal_and_nobody_signed_in() {
    let world = World::new().await;
    let (ana, admin) = (world.register(PHONE).await, world.administrator().await);
    let wrong = DeleteAccountRequest { id: ana.account.id.clone(), password: Some("Secreta124".into()) };
    assert_eq!(reason(ana.accounts().delete_account(wrong).await), "WRONG_PASSWORD");

    let request = DeleteAccountRequest { id: ana.account.id.clone(), password: Some(PASSWORD.into()) };
    ana.accounts().delete_account(request.clone()).await.unwrap();
    assert!(!ana.signed_in().await);
    assert_eq!(world.users.person(&ana.account.id), None);
    assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "BAD_CREDENTIALS");
    let [event] = &world.events("user.deleted").await[..] else { panic!("one event") };
    assert_eq!(event["data"]["phone_number"], PHONE);

    admin.accounts().delete_account(request).await.expect("again: the same answer");
    assert_eq!(world.events("user.deleted").await.len(), 1);
    let account = admin.accounts().get_account(get(&ana.account.id)).await.unwrap().into_inner();
    assert_eq!((account.state(), account.phone), (AccountState::Deleted, None));
    world.register(PHONE).await;
}

#[tokio::test]
async fn deleting_is_for_the_owner_and_administrators() {
    let world = World::new().await;
    let (ana, eva) = (world.register(PHONE).await, world.register(OTHER_PHONE).await);
    let request = DeleteAccountRequest { id: ana.account.id.clone(), password: None };
    assert_eq!(reason(eva.accounts().delete_account(request.clone()).await), "NOT_YOURS");
    world.users.refuse(1);
    ana.accounts().delete_account(request).await.unwrap_err();
    assert!(ana.signed_in().await, "when users refuses nothing is deleted");
}

#[tokio::test]
async fn a_ban_ends_every_session_at_once_and_can_be_lifted() {
    let world = World::new().await;
    let (ana, admin) = (world.register(PHONE).await, world.administrator().await);
    let banned = admin.accounts().ban_account(ban(&ana.account.id)).await.unwrap().into_inner();
    assert_eq!((banned.state(), &banned.ban_reason[..]), (AccountState::Banned, "spam"));
    assert!(!ana.signed_in().await);
    let refresh = RefreshRequest { refresh_token: ana.tokens.refresh_token.clone() };
    assert_eq!(reason(ana.sessions().refresh(refresh).await), "ACCOUNT_BANNED");
    assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "ACCOUNT_BANNED");
    assert_eq!(reason(world.log_in(phone(PHONE), "Secreta124").await), "BAD_CREDENTIALS");
    assert_eq!(world.users.person(&ana.account.id).unwrap().state(), AccountState::Banned);

    let again = BanAccountRequest { reason: "other".into(), ..ban(&ana.account.id) };
    let again = admin.accounts().ban_account(again).await.unwrap().into_inner();
    assert_eq!(again.ban_reason, "spam", "the first reason stays");
    assert_eq!(world.events("user.banned").await.len(), 1);

    let unban = UnbanAccountRequest { id: ana.account.id.clone() };
    for _ in 0..2 {
        let account = admin.accounts().unban_account(unban.clone()).await.unwrap().into_inner();
        assert_eq!((account.state(), &account.ban_reason[..]), (AccountState::Active, ""));
    }
    assert_eq!(world.events("user.unbanned").await.len(), 1);
    assert!(world.log_in(phone(PHONE), PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_ban_does_not_wait_for_users() {
    let world = World::new().await;
    let (ana, admin) = (world.register(PHONE).await, world.administrator().await);
    world.users.refuse(1);
    admin.accounts().ban_account(ban(&ana.account.id)).await.unwrap();
    assert!(!ana.signed_in().await);
    let [event] = &world.events("account.changed").await[..] else { panic!("users learns by the event") };
    assert_eq!(event["data"]["state"], "BANNED");
}

#[tokio::test]
async fn administrators_ban_neither_each_other_nor_themselves() {
    let world = World::new().await;
    let (ana, admin) = (world.register(PHONE).await, world.administrator().await);
    assert_eq!(reason(admin.accounts().ban_account(ban(&admin.account.id)).await), "SELF_NOT_BANNABLE");
    let nobody = Uuid::now_v7().to_string();
    assert_eq!(reason(admin.accounts().ban_account(ban(&nobody)).await), "ACCOUNT_NOT_FOUND");
    let refused = ana.accounts().ban_account(ban(&admin.account.id)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let another = proto::auth::v1::CreateAccountRequest {
        email: Some("other-admin@example.com".into()),
        password: PASSWORD.into(),
        roles: vec![Role::Admin.into()],
        ..Default::default()
    };
    let another = admin.accounts().create_account(another).await.unwrap().into_inner();
    assert_eq!(reason(admin.accounts().ban_account(ban(&another.id)).await), "ADMIN_NOT_BANNABLE");
}
