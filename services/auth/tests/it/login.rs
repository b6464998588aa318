use std::time::Duration;

use kit::error::Details;
use tonic::{Code, Status};

use crate::world::{EMAIL, PASSWORD, PHONE, World, email, phone, reason};

const WRONG: &str = "Secreta124";

fn code_and_reason(status: &Status) -> (Code, String) {
    (status.code(), Details::of(status).reason)
}

#[tokio::test]
async fn one_logs_in_by_phone_in_any_spelling_or_by_email_in_any_case() {
    let world = World::new().await;
    let (ana, eva) = (world.register(PHONE).await, world.register_by_email(EMAIL).await);
    for spelled in [PHONE, "59170000000", "(591) 700-00000"] {
        let answer = world.log_in(phone(spelled), PASSWORD).await.unwrap();
        assert_eq!((answer.user_id, answer.user_number), (ana.account.id.clone(), ana.account.number));
    }
    assert_eq!(world.log_in(email("ANA@EXAMPLE.COM"), PASSWORD).await.unwrap().user_id, eva.account.id);
    assert_eq!(world.events("user.logged_in").await.len(), 4);
}

#[tokio::test]
async fn unknown_names_and_wrong_passwords_answer_alike() {
    let world = World::new().await;
    world.register(PHONE).await;
    let answers = [
        world.log_in(phone(PHONE), WRONG).await,
        world.log_in(phone("59179999999"), PASSWORD).await,
        world.log_in(phone("not a phone"), PASSWORD).await,
        world.log_in(email("nobody@example.com"), PASSWORD).await,
        world.log_in(email("not an email"), PASSWORD).await,
    ];
    let statuses: Vec<_> = answers.into_iter().map(Result::unwrap_err).collect();
    for status in &statuses {
        assert_eq!(code_and_reason(status), (Code::Unauthenticated, "BAD_CREDENTIALS".into()));
        assert_eq!((status.message(), status.details()), (statuses[0].message(), statuses[0].details()));
    }
}

#[tokio::test]
async fn five_failures_close_a_name_for_a_minute_whether_anybody_has_it_or_not() {
    let world = World::new().await;
    world.register(PHONE).await;
    for name in [PHONE, "59179999999"] {
        for _ in 0..5 {
            assert_eq!(reason(world.log_in(phone(name), WRONG).await), "BAD_CREDENTIALS");
        }
        let closed = world.log_in(phone(name), PASSWORD).await.unwrap_err();
        assert_eq!(code_and_reason(&closed), (Code::ResourceExhausted, "TOO_MANY_ATTEMPTS".into()));
        assert_eq!(Details::of(&closed).retry_after, Some(Duration::from_secs(60)));
    }
    world.advance(60);
    assert!(world.log_in(phone(PHONE), PASSWORD).await.is_ok());
}

#[tokio::test]
async fn after_the_minute_one_more_failure_closes_it_again() {
    let world = World::new().await;
    world.register(PHONE).await;
    for _ in 0..5 {
        world.log_in(phone(PHONE), WRONG).await.unwrap_err();
    }
    world.advance(61);
    assert_eq!(reason(world.log_in(phone(PHONE), WRONG).await), "BAD_CREDENTIALS");
    assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "TOO_MANY_ATTEMPTS");
}

#[tokio::test]
async fn a_success_and_an_hour_each_forget_the_failures() {
    let world = World::new().await;
    world.register(PHONE).await;
    for forget in ["success", "an hour"] {
        for _ in 0..4 {
            assert_eq!(reason(world.log_in(phone(PHONE), WRONG).await), "BAD_CREDENTIALS", "{forget}");
        }
        if forget == "success" {
            world.log_in(phone(PHONE), PASSWORD).await.unwrap();
        } else {
            world.advance(3601);
        }
    }
    assert_eq!(reason(world.log_in(phone(PHONE), WRONG).await), "BAD_CREDENTIALS");
    assert!(world.log_in(phone(PHONE), PASSWORD).await.is_ok());
}

#[tokio::test]
async fn of_many_guesses_at_once_five_are_answered() {
    let world = std::sync::Arc::new(World::new().await);
    world.register(PHONE).await;
    let guesses: Vec<_> = (0..20)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { reason(world.log_in(phone(PHONE), WRONG).await) })
        })
        .collect();
    let mut answered = 0;
    for guess in guesses {
        match guess.await.unwrap().as_str() {
            "BAD_CREDENTIALS" => answered += 1,
            other => assert_eq!(other, "TOO_MANY_ATTEMPTS"),
        }
    }
    assert_eq!(answered, 5);
}

#[tokio::test]
async fn logins_at_once_with_the_right_password_all_succeed() {
    let world = std::sync::Arc::new(World::new().await);
    let ana = world.register(PHONE).await;
    world.import_hash(&ana.account, &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let logins: Vec<_> = (0..10)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.log_in(phone(PHONE), PASSWORD).await.map(drop) })
        })
        .collect();
    for login in logins {
        login.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn imported_hashes_verify_and_are_made_anew_at_login() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    // `make_password("Secreta123", "seasalt", "pbkdf2_sha256")` with 1000 iterations.
    let django = "pbkdf2_sha256$1000$seasalt$dk+SmKotltACeEhBW6dKMViQXafS8O8iWmamdfzihHw=";
    let bcrypt = bcrypt::hash(PASSWORD, 4).unwrap();
    for imported in [django, &bcrypt] {
        world.import_hash(&ana.account, imported).await;
        assert_eq!(reason(world.log_in(phone(PHONE), WRONG).await), "BAD_CREDENTIALS");
        assert_eq!(world.hash_of(&ana.account).await, imported);
        world.log_in(phone(PHONE), PASSWORD).await.unwrap();
        let upgraded = world.hash_of(&ana.account).await;
        assert!(upgraded.starts_with("$argon2id$"), "{upgraded}");
        world.log_in(phone(PHONE), PASSWORD).await.unwrap();
        assert_eq!(world.hash_of(&ana.account).await, upgraded, "once");
    }
}

#[tokio::test]
async fn a_password_that_django_trimmed_still_opens() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    world.import_hash(&ana.account, "pbkdf2_sha256$1000$seasalt$dk+SmKotltACeEhBW6dKMViQXafS8O8iWmamdfzihHw=").await;
    world.log_in(phone(PHONE), " Secreta123 ").await.unwrap();
    assert!(world.log_in(phone(PHONE), " Secreta123 ").await.is_ok(), "upgraded as typed");
}

#[tokio::test]
async fn the_last_login_is_shown() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    assert_eq!(ana.account.last_login_at, None);
    world.log_in(phone(PHONE), PASSWORD).await.unwrap();
    let account = ana.accounts().get_account(proto::auth::v1::GetAccountRequest::default()).await.unwrap().into_inner();
    assert_eq!(account.last_login_at.unwrap().seconds, world.harness.clock.now().timestamp());
}
