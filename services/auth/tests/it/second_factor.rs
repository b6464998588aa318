use proto::auth::v1::second_factor_service_client::SecondFactorServiceClient;
use proto::auth::v1::{
    BeginSecondFactorRequest, ConfirmSecondFactorRequest, GetAccountRequest, RemoveSecondFactorRequest,
};
use tonic::Code;
use totp_rs::{Builder, Secret, Totp};

use crate::world::{PASSWORD, PHONE, Person, World, phone, reason};

/// An authenticator app.
struct App(Totp);

impl App {
    fn new(secret: &str) -> Self {
        Self(Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap())
    }

    fn code(&self, world: &World) -> String {
        self.0.generate(world.harness.clock.now().timestamp() as u64).to_string()
    }
}

fn confirm(code: &str) -> ConfirmSecondFactorRequest {
    ConfirmSecondFactorRequest { code: code.into() }
}

/// Turns it on; the app and the recovery codes.
async fn turn_on(world: &World, person: &Person) -> (App, Vec<String>) {
    let begun = person.second_factor().begin_second_factor(BeginSecondFactorRequest {}).await.unwrap().into_inner();
    assert!(begun.url.starts_with("otpauth://totp/"), "{}", begun.url);
    let app = App::new(&begun.secret);
    let confirmed = person.second_factor().confirm_second_factor(confirm(&app.code(world))).await.unwrap();
    (app, confirmed.into_inner().recovery_codes)
}

#[tokio::test]
async fn once_on_a_login_needs_a_code_of_the_app() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let (app, _) = turn_on(&world, &ana).await;
    world.advance(30);
    assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "SECOND_FACTOR_REQUIRED");
    assert_eq!(reason(world.log_in_with(phone(PHONE), PASSWORD, "000000").await), "BAD_SECOND_FACTOR");
    assert_eq!(reason(world.log_in_with(phone(PHONE), "Secreta124", &app.code(&world)).await), "BAD_CREDENTIALS");
    assert!(world.log_in_with(phone(PHONE), PASSWORD, &app.code(&world)).await.is_ok());
    let account = ana.accounts().get_account(GetAccountRequest::default()).await.unwrap().into_inner();
    assert!(account.second_factor);
}

#[tokio::test]
async fn a_code_is_good_once_and_so_is_an_older_one() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let (app, _) = turn_on(&world, &ana).await;
    let confirmed_with = app.code(&world);
    assert_eq!(reason(world.log_in_with(phone(PHONE), PASSWORD, &confirmed_with).await), "BAD_SECOND_FACTOR");
    world.advance(30);
    let skipped = app.code(&world);
    world.advance(30);
    let code = app.code(&world);
    assert!(world.log_in_with(phone(PHONE), PASSWORD, &code).await.is_ok());
    assert_eq!(reason(world.log_in_with(phone(PHONE), PASSWORD, &code).await), "BAD_SECOND_FACTOR");
    assert_eq!(reason(world.log_in_with(phone(PHONE), PASSWORD, &skipped).await), "BAD_SECOND_FACTOR");
}

#[tokio::test]
async fn one_code_at_two_logins_at_once_opens_one() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let (app, _) = turn_on(&world, &ana).await;
    world.advance(30);
    let code = app.code(&world);
    let (one, other) = tokio::join!(
        world.log_in_with(phone(PHONE), PASSWORD, &code),
        world.log_in_with(phone(PHONE), PASSWORD, &code),
    );
    assert_ne!(one.is_ok(), other.is_ok());
}

#[tokio::test]
async fn recovery_codes_open_once_each_however_they_are_typed() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let (_, codes) = turn_on(&world, &ana).await;
    assert_eq!(codes.len(), 10);
    assert!(world.log_in_with(phone(PHONE), PASSWORD, &codes[0]).await.is_ok());
    assert_eq!(reason(world.log_in_with(phone(PHONE), PASSWORD, &codes[0]).await), "BAD_SECOND_FACTOR");
    let typed = codes[1].to_uppercase().replace('-', " ");
    assert!(world.log_in_with(phone(PHONE), PASSWORD, &typed).await.is_ok());
}

#[tokio::test]
async fn the_right_password_gives_no_endless_tries_at_the_code() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let (app, _) = turn_on(&world, &ana).await;
    world.advance(30);
    for _ in 0..5 {
        assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "SECOND_FACTOR_REQUIRED");
        assert_eq!(reason(world.log_in_with(phone(PHONE), PASSWORD, "000000").await), "BAD_SECOND_FACTOR");
    }
    let closed = world.log_in_with(phone(PHONE), PASSWORD, &app.code(&world)).await;
    assert_eq!(reason(closed), "TOO_MANY_ATTEMPTS");
}

#[tokio::test]
async fn it_is_off_until_confirmed_and_begun_only_while_off() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let unbegun = ana.second_factor().confirm_second_factor(confirm("123456")).await;
    assert_eq!(reason(unbegun), "SECOND_FACTOR_NOT_BEGUN");
    ana.second_factor().begin_second_factor(BeginSecondFactorRequest {}).await.unwrap();
    assert!(world.log_in(phone(PHONE), PASSWORD).await.is_ok());
    let wrong = ana.second_factor().confirm_second_factor(confirm("12345")).await;
    assert_eq!(reason(wrong), "BAD_SECOND_FACTOR");
    turn_on(&world, &ana).await;
    let again = ana.second_factor().begin_second_factor(BeginSecondFactorRequest {}).await;
    assert_eq!(reason(again), "SECOND_FACTOR_ON");
    let again = ana.second_factor().confirm_second_factor(confirm("123456")).await;
    assert_eq!(reason(again), "SECOND_FACTOR_NOT_BEGUN");
}

#[tokio::test]
async fn it_is_removed_with_the_password_as_often_as_one_likes() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    turn_on(&world, &ana).await;
    let wrong = RemoveSecondFactorRequest { password: "Secreta124".into() };
    assert_eq!(reason(ana.second_factor().remove_second_factor(wrong).await), "WRONG_PASSWORD");
    for _ in 0..2 {
        let request = RemoveSecondFactorRequest { password: PASSWORD.into() };
        ana.second_factor().remove_second_factor(request).await.unwrap();
    }
    assert!(world.log_in(phone(PHONE), PASSWORD).await.is_ok());
}

#[tokio::test]
async fn it_is_for_people_who_are_signed_in() {
    let world = World::new().await;
    let mut nobody = SecondFactorServiceClient::new(world.nobody.clone());
    let refused = nobody.begin_second_factor(BeginSecondFactorRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}
