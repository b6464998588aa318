use proto::auth::v1::password_service_client::PasswordServiceClient;
use proto::auth::v1::{ChangePasswordRequest, PasswordRule, RefreshRequest};
use tonic::Code;

use crate::world::{PASSWORD, PHONE, World, phone, reason};

fn change(current: &str, new: &str) -> ChangePasswordRequest {
    ChangePasswordRequest {
        current_password: current.into(),
        new_password: new.into(),
        password_rule: PasswordRule::Length.into(),
    }
}

#[tokio::test]
async fn a_change_ends_every_other_session() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let other = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    ana.passwords().change_password(change(PASSWORD, "another one")).await.unwrap();
    assert!(ana.signed_in().await);
    assert_eq!(
        reason(ana.sessions().refresh(RefreshRequest { refresh_token: other.refresh_token }).await),
        "BAD_TOKEN"
    );
    assert_eq!(reason(world.log_in(phone(PHONE), PASSWORD).await), "BAD_CREDENTIALS");
    assert!(world.log_in(phone(PHONE), "another one").await.is_ok());
    assert_eq!(world.events("user.password_changed").await.len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_said_on_the_field() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    for (request, expected) in [
        (change("Secreta124", "another one"), "WRONG_PASSWORD"),
        (change(PASSWORD, PASSWORD), "SAME_PASSWORD"),
        (change(PASSWORD, "short"), "PASSWORD_TOO_WEAK"),
        (change(PASSWORD, "59170000000"), "PASSWORD_TOO_WEAK"),
    ] {
        let status = ana.passwords().change_password(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason::<()>(Err(status)), expected);
    }
    let nobody =
        PasswordServiceClient::new(world.nobody.clone()).change_password(change(PASSWORD, "another one")).await;
    assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_stolen_session_is_no_place_to_guess_the_password_in() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    for _ in 0..5 {
        let wrong = ana.passwords().change_password(change("Secreta124", "another one")).await;
        assert_eq!(reason(wrong), "WRONG_PASSWORD");
    }
    let closed = ana.passwords().change_password(change(PASSWORD, "another one")).await;
    assert_eq!(reason(closed), "TOO_MANY_ATTEMPTS");
    assert!(world.log_in(phone(PHONE), PASSWORD).await.is_ok(), "the owner still gets in");
}

#[tokio::test]
async fn of_two_changes_at_once_one_wins() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let (mut one, mut other) = (ana.passwords(), ana.passwords());
    let (one, other) = tokio::join!(
        one.change_password(change(PASSWORD, "another one")),
        other.change_password(change(PASSWORD, "the other one")),
    );
    assert_ne!(one.is_ok(), other.is_ok());
    let won = if one.is_ok() { "another one" } else { "the other one" };
    assert!(world.log_in(phone(PHONE), won).await.is_ok());
}
