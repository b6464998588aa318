use proto::access::v1::Role;
use proto::auth::v1::account_service_client::AccountServiceClient;
use proto::auth::v1::{AccountState, CreateAccountRequest, GetAccountRequest, PasswordRule, RegisterRequest};
use tonic::Code;

use crate::world::{EMAIL, PASSWORD, PHONE, World, email, newcomer, phone, reason};

#[tokio::test]
async fn a_registration_makes_account_person_and_session() {
    let world = World::new().await;
    let ana = world.register("+591 700-00.000").await;
    assert_eq!(ana.account.phone.as_deref(), Some(PHONE));
    assert_eq!(ana.account.roles, [Role::Consumer as i32]);
    assert_eq!(ana.account.state(), AccountState::Active);
    assert!(ana.signed_in().await);

    let person = world.users.person(&ana.account.id).unwrap();
    assert_eq!((person.number, person.phone.as_deref()), (ana.account.number, Some(PHONE)));
    assert_eq!(person.profile.unwrap().first_name.as_deref(), Some("Ana"));
}

#[tokio::test]
async fn it_is_published_in_agrovets_words() {
    let world = World::new().await;
    let request = RegisterRequest { role: Role::Specialist.into(), speciality: "Bovinos".into(), ..newcomer(PHONE) };
    let account = world.try_register(request).await.unwrap().account.unwrap();
    let [event] = &world.events("user.created").await[..] else { panic!("one event") };
    let data = &event["data"];
    assert_eq!((&data["user_id"], &data["role"]), (&account.number.into(), &"Specialist".into()));
    assert_eq!((&data["phone_number"], &data["full_name"]), (&PHONE.into(), &"Ana".into()));
    assert_eq!(data["speciality"], "Bovinos");
    assert!(!event.to_string().contains(PASSWORD));
}

#[tokio::test]
async fn without_signing_in_there_are_no_tokens() {
    let world = World::new().await;
    let answer = world.try_register(RegisterRequest { sign_in: false, ..newcomer(PHONE) }).await.unwrap();
    assert_eq!(answer.tokens, None);
}

#[tokio::test]
async fn one_phone_is_one_account_however_it_is_written() {
    let world = World::new().await;
    world.register(PHONE).await;
    let again = world.try_register(newcomer("591 7000 0000")).await;
    assert_eq!(reason(again), "PHONE_TAKEN");
    assert_eq!(world.users.count(), 1);
}

#[tokio::test]
async fn a_refused_registration_leaves_users_in_peace() {
    let world = World::new().await;
    world.register(PHONE).await;
    world.try_register(newcomer(PHONE)).await.unwrap_err();
    world.advance(61);
    world.users.refuse(1);
    world.auth.clone().settle_provisions().await.unwrap();
    world.try_register(newcomer("59171111111")).await.expect_err("the refusal is still to come");
}

#[tokio::test]
async fn one_email_is_one_account_in_any_case() {
    let world = World::new().await;
    world.register_by_email(EMAIL).await;
    let request = RegisterRequest { phone: None, email: Some(" ANA@Example.com".into()), ..newcomer("") };
    assert_eq!(reason(world.try_register(request).await), "EMAIL_TAKEN");
}

#[tokio::test]
async fn of_two_registrations_at_once_one_wins() {
    let world = World::new().await;
    let (one, other) = tokio::join!(world.try_register(newcomer(PHONE)), world.try_register(newcomer(PHONE)));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert!(won.is_ok());
    assert_eq!(reason(lost), "PHONE_TAKEN");
    assert_eq!(world.users.count(), 1);
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let world = World::new().await;
    let cases = [
        (RegisterRequest { phone: None, ..newcomer("") }, "INVALID_FIELDS"),
        (newcomer("12345"), "PHONE_INVALID"),
        (RegisterRequest { phone: None, email: Some("ana".into()), ..newcomer("") }, "EMAIL_INVALID"),
        (RegisterRequest { password: "secreta123".into(), ..newcomer(PHONE) }, "PASSWORD_TOO_WEAK"),
        (RegisterRequest { password: String::new(), ..newcomer(PHONE) }, "INVALID_FIELDS"),
    ];
    for (request, expected) in cases {
        let status = world.try_register(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(kit::error::Details::of(&status).reason, expected);
    }
    assert_eq!(world.users.count(), 0);
}

#[tokio::test]
async fn nobody_makes_themselves_an_administrator() {
    let world = World::new().await;
    let request = RegisterRequest { role: Role::Admin.into(), ..newcomer(PHONE) };
    let status = world.try_register(request).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason::<()>(Err(status)), "ROLE_NOT_OPEN");
}

#[tokio::test]
async fn when_users_refuses_there_is_neither_account_nor_person() {
    let world = World::new().await;
    world.users.refuse(1);
    world.try_register(newcomer(PHONE)).await.unwrap_err();
    assert_eq!(world.users.count(), 0);
    assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "BAD_CREDENTIALS");
    assert!(world.events("user.created").await.is_empty());
    world.register(PHONE).await;
}

#[tokio::test]
async fn a_person_whose_account_was_not_made_is_withdrawn_after_a_minute() {
    let world = World::new().await;
    world.users.lose_answers(1);
    world.try_register(newcomer(PHONE)).await.unwrap_err();
    assert_eq!(world.users.count(), 1, "made, but we do not know");

    world.auth.clone().settle_provisions().await.unwrap();
    assert_eq!(world.users.count(), 1, "a registration still going on is left alone");
    world.advance(61);
    world.users.refuse(1);
    world.auth.clone().settle_provisions().await.unwrap();
    assert_eq!(world.users.count(), 1, "tried again later");
    world.auth.clone().settle_provisions().await.unwrap();
    assert_eq!(world.users.count(), 0);
}

#[tokio::test]
async fn settling_leaves_finished_registrations_alone() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    world.advance(61);
    world.auth.clone().settle_provisions().await.unwrap();
    assert!(world.users.person(&ana.account.id).is_some());
}

#[tokio::test]
async fn the_first_administrator_is_made_once() {
    let world = World::new().await;
    let first = world.administrator().await;
    let again = world.administrator().await;
    assert_eq!(first.account.id, again.account.id);
    assert_eq!(first.account.roles, [Role::Admin as i32]);
}

#[tokio::test]
async fn administrators_make_accounts_of_any_role() {
    let world = World::new().await;
    let admin = world.administrator().await;
    let request = CreateAccountRequest {
        email: Some(EMAIL.into()),
        password: PASSWORD.into(),
        password_rule: PasswordRule::Length.into(),
        roles: vec![Role::Admin.into(), Role::Client.into()],
        ..CreateAccountRequest::default()
    };
    let account = admin.accounts().create_account(request.clone()).await.unwrap().into_inner();
    assert_eq!(account.roles, [Role::Client as i32, Role::Admin as i32]);
    assert!(world.log_in(email(EMAIL), PASSWORD).await.is_ok());
    assert_eq!(reason(admin.accounts().create_account(request.clone()).await), "EMAIL_TAKEN");

    let ana = world.register(PHONE).await;
    let refused = ana.accounts().create_account(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = AccountServiceClient::new(world.nobody.clone()).create_account(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let refused = AccountServiceClient::new(world.nobody.clone()).get_account(GetAccountRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}
