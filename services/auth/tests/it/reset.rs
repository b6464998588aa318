use std::time::Duration;

use kit::error::Details;
use proto::auth::v1::password_service_client::PasswordServiceClient;
use proto::auth::v1::request_password_reset_request::To;
use proto::auth::v1::reset_password_request::Proof;
use proto::auth::v1::{PasswordRule, PhoneCode, RefreshRequest, ResetPasswordRequest, UpdateAccountRequest};
use tonic::Status;

use crate::world::{EMAIL, PASSWORD, PHONE, World, email, phone, reason};

const NEW: &str = "Secreta456";

fn to_phone(number: &str) -> To {
    To::Phone(number.into())
}

fn to_email(address: &str) -> To {
    To::Email(address.into())
}

async fn reset(world: &World, proof: Proof, new_password: &str) -> Result<(), Status> {
    let request = ResetPasswordRequest {
        proof: Some(proof),
        new_password: new_password.into(),
        password_rule: PasswordRule::Mixed.into(),
    };
    PasswordServiceClient::new(world.nobody.clone()).reset_password(request).await.map(drop)
}

async fn reset_by_code(world: &World, number: &str, code: &str) -> Result<(), Status> {
    reset(world, Proof::PhoneCode(PhoneCode { phone: number.into(), code: code.into() }), NEW).await
}

/// Asks for a code and reads it on the phone.
async fn code(world: &World, number: &str) -> String {
    world.request_reset(to_phone(number), "10.0.0.1").await.unwrap();
    let (_, text) = world.sms().await.pop().unwrap();
    text.strip_prefix("Tu código de recuperación es ").unwrap().to_owned()
}

/// Another code than the right one.
fn wrong(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

/// Asks for a link and takes the token out of the mail.
async fn token(world: &World, address: &str) -> String {
    world.request_reset(to_email(address), "10.0.0.1").await.unwrap();
    let mail = world.mail().await.pop().unwrap().replace("=\r\n", "").replace("=3D", "=");
    let (_, rest) = mail.split_once("http://localhost:3000/reset-password?token=").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_code_sets_a_new_password_once_and_ends_every_session() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let code = code(&world, "591 70000000").await;
    assert_eq!(world.sms().await[0].0, PHONE, "to the stored number");
    reset_by_code(&world, PHONE, &code).await.unwrap();
    assert!(!ana.signed_in().await);
    let refresh = RefreshRequest { refresh_token: ana.tokens.refresh_token.clone() };
    assert_eq!(reason(ana.sessions().refresh(refresh).await), "BAD_TOKEN");
    assert!(world.log_in(phone(PHONE), NEW).await.is_ok());
    assert_eq!(reason(reset_by_code(&world, PHONE, &code).await), "BAD_RESET_CODE");
    let [event] = &world.events("user.password_reset").await[..] else { panic!("one event") };
    assert_eq!(event["data"]["phone_number"], PHONE);
    assert!(!event.to_string().contains(&code));
}

#[tokio::test]
async fn a_link_sets_a_new_password_once() {
    let world = World::new().await;
    world.register_by_email(EMAIL).await;
    let token = token(&world, "Ana@Example.com").await;
    assert_eq!(reason(reset(&world, Proof::Token(format!("{token}x")), NEW).await), "BAD_RESET_CODE");
    reset(&world, Proof::Token(token.clone()), NEW).await.unwrap();
    assert!(world.log_in(email(EMAIL), NEW).await.is_ok());
    assert_eq!(reason(reset(&world, Proof::Token(token), NEW).await), "BAD_RESET_CODE");
}

#[tokio::test]
async fn a_name_nobody_has_answers_alike_and_sends_nothing() {
    let world = World::new().await;
    world.register(PHONE).await;
    for to in [to_phone("59179999999"), to_email("nobody@example.com")] {
        world.request_reset(to.clone(), "10.0.0.1").await.unwrap();
        assert_eq!(reason(world.request_reset(to, "10.0.0.1").await), "TOO_MANY_REQUESTS", "limited alike, too");
    }
    assert!(world.sms().await.is_empty());
    assert!(world.mail().await.is_empty());
    assert_eq!(reason(reset_by_code(&world, "59179999999", "123456").await), "BAD_RESET_CODE");
    assert_eq!(reason(reset_by_code(&world, "nonsense", "123456").await), "BAD_RESET_CODE");
}

#[tokio::test]
async fn codes_die_after_ten_minutes_and_links_after_an_hour() {
    let world = World::new().await;
    world.register(PHONE).await;
    world.register_by_email(EMAIL).await;
    let (code, token) = (code(&world, PHONE).await, token(&world, EMAIL).await);
    world.advance(600);
    assert_eq!(reason(reset_by_code(&world, PHONE, &code).await), "BAD_RESET_CODE");
    world.advance(3000);
    assert_eq!(reason(reset(&world, Proof::Token(token), NEW).await), "BAD_RESET_CODE");
}

#[tokio::test]
async fn five_wrong_tries_kill_a_code() {
    let world = World::new().await;
    world.register(PHONE).await;
    let code = code(&world, PHONE).await;
    for _ in 0..5 {
        assert_eq!(reason(reset_by_code(&world, PHONE, wrong(&code)).await), "BAD_RESET_CODE");
    }
    assert_eq!(reason(reset_by_code(&world, PHONE, &code).await), "BAD_RESET_CODE");
}

#[tokio::test]
async fn of_many_guesses_at_once_five_count() {
    let world = std::sync::Arc::new(World::new().await);
    world.register(PHONE).await;
    let code = code(&world, PHONE).await;
    let guesses: Vec<_> = (0..12)
        .map(|_| {
            let (world, guess) = (world.clone(), wrong(&code));
            tokio::spawn(async move { reason(reset_by_code(&world, PHONE, guess).await) })
        })
        .collect();
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), "BAD_RESET_CODE");
    }
    assert_eq!(reason(reset_by_code(&world, PHONE, &code).await), "BAD_RESET_CODE");
}

#[tokio::test]
async fn a_code_used_twice_at_once_works_once() {
    let world = World::new().await;
    world.register(PHONE).await;
    let code = code(&world, PHONE).await;
    let (one, other) = tokio::join!(reset_by_code(&world, PHONE, &code), reset_by_code(&world, PHONE, &code));
    assert_ne!(one.is_ok(), other.is_ok());
}

#[tokio::test]
async fn a_weak_password_does_not_use_the_code_up() {
    let world = World::new().await;
    world.register(PHONE).await;
    let code = code(&world, PHONE).await;
    for _ in 0..6 {
        let proof = Proof::PhoneCode(PhoneCode { phone: PHONE.into(), code: code.clone() });
        assert_eq!(reason(reset(&world, proof, "weak").await), "PASSWORD_TOO_WEAK");
    }
    assert!(reset_by_code(&world, PHONE, &code).await.is_ok());
}

#[tokio::test]
async fn a_new_request_replaces_the_former_one() {
    let world = World::new().await;
    world.register(PHONE).await;
    let former = code(&world, PHONE).await;
    world.advance(60);
    let mut next = code(&world, PHONE).await;
    while next == former {
        world.advance(60);
        next = code(&world, PHONE).await;
    }
    assert_eq!(reason(reset_by_code(&world, PHONE, &former).await), "BAD_RESET_CODE");
    assert!(reset_by_code(&world, PHONE, &next).await.is_ok());
}

#[tokio::test]
async fn one_phone_asks_a_minute_apart_and_five_times_an_hour() {
    let world = World::new().await;
    let ask = async |address: &str| world.request_reset(to_phone(PHONE), address).await;
    ask("10.0.0.1").await.unwrap();
    let soon = ask("10.0.0.2").await.unwrap_err();
    assert_eq!(Details::of(&soon).reason, "TOO_MANY_REQUESTS");
    assert_eq!(Details::of(&soon).retry_after, Some(Duration::from_secs(60)));
    for n in 2..6 {
        world.advance(60);
        ask(&format!("10.0.0.{n}")).await.unwrap();
    }
    world.advance(60);
    let sixth = ask("10.0.0.9").await.unwrap_err();
    assert_eq!(Details::of(&sixth).retry_after, Some(Duration::from_secs(3600 - 300)));
    world.advance(3600 - 300);
    ask("10.0.0.9").await.unwrap();
}

#[tokio::test]
async fn one_address_asks_five_times_an_hour_whatever_the_phones() {
    let world = World::new().await;
    for n in 0..5 {
        world.request_reset(to_phone(&format!("5917000000{n}")), "10.0.0.1").await.unwrap();
    }
    assert_eq!(reason(world.request_reset(to_phone("59170000009"), "10.0.0.1").await), "TOO_MANY_REQUESTS");
    world.request_reset(to_phone("59170000009"), "10.0.0.2").await.expect("a refused request does not count");
    world.advance(3600);
    world.request_reset(to_phone("59170000008"), "10.0.0.1").await.unwrap();
}

#[tokio::test]
async fn one_prefix_of_phones_has_a_limit_too() {
    let world = World::with(&["--resets-per-prefix", "3"]).await;
    for n in 0..3 {
        world.request_reset(to_phone(&format!("+5917000000{n}")), &format!("10.0.0.{n}")).await.unwrap();
    }
    assert_eq!(reason(world.request_reset(to_phone("59170000009"), "10.0.0.9").await), "TOO_MANY_REQUESTS");
    world.request_reset(to_phone("59180000009"), "10.0.0.9").await.unwrap();
}

#[tokio::test]
async fn of_many_requests_at_once_one_is_sent() {
    let world = std::sync::Arc::new(World::new().await);
    world.register(PHONE).await;
    let asked: Vec<_> = (0..10)
        .map(|n| {
            let world = world.clone();
            tokio::spawn(async move { world.request_reset(to_phone(PHONE), &format!("10.0.0.{n}")).await.is_ok() })
        })
        .collect();
    let mut accepted = 0;
    for request in asked {
        accepted += usize::from(request.await.unwrap());
    }
    assert_eq!((accepted, world.sms().await.len()), (1, 1));
}

#[tokio::test]
async fn bad_names_are_said_to_be_bad() {
    let world = World::new().await;
    assert_eq!(reason(world.request_reset(to_phone("123"), "10.0.0.1").await), "PHONE_INVALID");
    assert_eq!(reason(world.request_reset(to_email("ana"), "10.0.0.1").await), "EMAIL_INVALID");
}

#[tokio::test]
async fn a_code_for_the_former_phone_does_not_open_the_account() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let code = code(&world, PHONE).await;
    let request = UpdateAccountRequest {
        id: ana.account.id.clone(),
        phone: Some("59171111111".into()),
        ..UpdateAccountRequest::default()
    };
    ana.accounts().update_account(request).await.unwrap();
    assert_eq!(reason(reset_by_code(&world, PHONE, &code).await), "BAD_RESET_CODE");
    assert_eq!(reason(reset_by_code(&world, "59171111111", &code).await), "BAD_RESET_CODE");
}

#[tokio::test]
async fn a_reset_opens_a_closed_name() {
    let world = World::new().await;
    world.register(PHONE).await;
    for _ in 0..5 {
        world.log_in(phone(PHONE), "forgotten").await.unwrap_err();
    }
    assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "TOO_MANY_ATTEMPTS");
    let code = code(&world, PHONE).await;
    reset_by_code(&world, PHONE, &code).await.unwrap();
    assert!(world.log_in(phone(PHONE), NEW).await.is_ok());
}
