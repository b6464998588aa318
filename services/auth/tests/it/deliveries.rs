use proto::auth::v1::request_password_reset_request::To;

use crate::world::{PHONE, World};

#[tokio::test]
async fn a_message_that_could_not_be_sent_is_sent_later() {
    let world = World::new().await;
    world.register(PHONE).await;
    world.request_reset(To::Phone(PHONE.into()), "10.0.0.1").await.expect("the caller does not notice");
    world.break_channels();
    assert!(world.sms().await.is_empty());
    world.mend_channels();
    assert!(world.sms().await.is_empty(), "not before its time");
    world.advance(2);
    assert_eq!(world.sms().await.len(), 1);
    world.advance(60);
    assert_eq!(world.sms().await.len(), 1, "once");
}

#[tokio::test]
async fn a_message_whose_code_is_dead_is_given_up() {
    let world = World::new().await;
    world.register(PHONE).await;
    world.request_reset(To::Phone(PHONE.into()), "10.0.0.1").await.unwrap();
    world.break_channels();
    world.sms().await;
    world.advance(600);
    world.mend_channels();
    assert!(world.sms().await.is_empty());
}

#[tokio::test]
async fn two_workers_do_not_send_the_same_message() {
    let world = World::new().await;
    for n in 0..5 {
        let phone = format!("5917000000{n}");
        world.register(&phone).await;
        world.request_reset(To::Phone(phone), &format!("10.0.0.{n}")).await.unwrap();
    }
    let (one, other) = tokio::join!(world.auth.clone().send_deliveries(), world.auth.clone().send_deliveries());
    one.and(other).unwrap();
    assert_eq!(world.sms().await.len(), 5);
}
