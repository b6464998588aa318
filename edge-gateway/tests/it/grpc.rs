//! gRPC through the edge: what is counted, and for whom; and what the edge says of itself.

use axum::body::Body;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http_body_util::BodyExt;
use kit::Stop;
use kit::error::Details;
use prost::Message as _;
use proto::auth::v1::log_in_request::Login;
use proto::auth::v1::password_service_client::PasswordServiceClient;
use proto::auth::v1::request_password_reset_request::To;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::auth::v1::{LogInRequest, RequestPasswordResetRequest};
use proto::chat::v1::chat_service_client::ChatServiceClient;
use proto::chat::v1::{Open, SubscribeRequest};
use proto::users::v1::GetUserRequest;
use proto::users::v1::get_user_request::Key;
use proto::users::v1::user_service_client::UserServiceClient;
use serde_json::json;
use testkit::Network;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::pauses::{edge_in, grpc};
use crate::world::{ADMIN_PHONE, PASSWORD, World};

/// A call from an address of the caller's own, as the trusted proxy of these tests reports it.
fn from<T>(address: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-forwarded-for", address.parse().expect("an address"));
    request
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("a refusal");
    (status.code(), Details::of(&status).reason)
}

#[tokio::test]
async fn calls_are_counted_in_the_class_of_the_same_deed_over_rest() {
    // Logins by whom the world starts are counted for another address.
    let limits = "login=2/86400,email=1/86400,relaxed=3/86400";
    let world = World::with(&["--rate-limits", "on", "--rate-limit", limits, "--trusted-proxies", "127.0.0.1"]).await;
    let channel = Channel::from_shared(world.base.clone()).unwrap().connect().await.unwrap();
    let log_in = |address: &'static str, password: &str| {
        let login = Some(Login::Phone(ADMIN_PHONE.into()));
        let request = LogInRequest { login, password: password.into(), ..Default::default() };
        let mut sessions = SessionServiceClient::new(channel.clone());
        async move { sessions.log_in(from(address, request)).await }
    };
    let limited = (Code::ResourceExhausted, "TOO_MANY_REQUESTS".to_owned());

    // Attempts count, right or wrong, and REST and gRPC count together.
    let credentials = json!({ "phone_number": ADMIN_PHONE, "password": PASSWORD });
    let rest = world.post("/api/auth/login/").header("x-forwarded-for", "203.0.113.7").json(&credentials);
    assert_eq!(world.ask(rest).await.status, 200);
    assert_eq!(refusal(log_in("203.0.113.7", "x").await).0, Code::Unauthenticated);
    let excess = log_in("203.0.113.7", PASSWORD).await.expect_err("a refusal");
    let wait = Details::of(&excess).retry_after.expect("when to come back");
    assert!(wait.as_secs() >= 1 && wait.as_secs() <= 86400, "{wait:?}");
    assert_eq!(refusal::<()>(Err(excess)), limited);
    // Somebody else is not refused for it, nor is what is counted elsewhere.
    let token = log_in("203.0.113.8", PASSWORD).await.unwrap().into_inner().tokens.unwrap().access_token;

    let reset = || {
        let request = RequestPasswordResetRequest { to: Some(To::Email("nadie@example.com".into())) };
        let mut passwords = PasswordServiceClient::new(channel.clone());
        async move { passwords.request_password_reset(from("203.0.113.7", request)).await }
    };
    reset().await.unwrap();
    assert_eq!(refusal(reset().await), limited);

    // Whoever is signed in is counted as a person, wherever the calls come from.
    let get = |address: &'static str| {
        let nobody = Some(Key::Id("00000000-0000-7000-8000-000000000000".into()));
        let mut request = from(address, GetUserRequest { key: nobody });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut users = UserServiceClient::new(channel.clone());
        async move { users.get_user(request).await }
    };
    for address in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        assert_eq!(refusal(get(address).await).0, Code::NotFound);
    }
    assert_eq!(refusal(get("203.0.113.4").await), limited);
}

#[tokio::test]
async fn grpc_web_as_text_writes_and_its_length_cuts_nobody_off() {
    let world = World::start().await;
    // The length is that of the text, which is longer than what it stands for. Answers the status.
    let ask = async |path: &str, message: &[u8]| {
        let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
        let kind = "application/grpc-web-text";
        let request = world.post(path).header("content-type", kind).header("accept", kind);
        let answer = request.body(BASE64_STANDARD.encode(frame)).send().await.unwrap();
        if let Some(status) = answer.headers().get("grpc-status") {
            return status.to_str().unwrap().to_owned();
        }
        // Each frame of an answer is text of its own, with an end of its own.
        let text = answer.text().await.unwrap();
        let bytes = text.as_bytes().chunks(4).flat_map(|part| BASE64_STANDARD.decode(part).unwrap());
        let said = String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned();
        let (_, status) = said.split_once("grpc-status:").unwrap_or_else(|| panic!("no status in {text}"));
        status.trim_start().chars().take_while(char::is_ascii_digit).collect()
    };
    for _ in 0..20 {
        let status = ask("/plaza.auth.v1.SessionService/Refresh", &[]).await;
        assert_ne!(status, (Code::Unavailable as i32).to_string());
    }
    let login = Some(Login::Phone(ADMIN_PHONE.into()));
    let request = LogInRequest { login, password: PASSWORD.into(), ..Default::default() };
    assert_eq!(ask("/plaza.auth.v1.SessionService/LogIn", &request.encode_to_vec()).await, "0");
    let credentials = json!({ "phone_number": ADMIN_PHONE, "password": PASSWORD });
    assert_eq!(world.ask(world.post("/api/auth/login/").json(&credentials)).await.status, 200);
}

#[tokio::test]
async fn streams_are_counted_with_the_sockets_of_their_address() {
    let world = World::with(&["--max-sockets-per-address", "2"]).await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let channel = Channel::from_shared(world.base.clone()).unwrap().connect().await.unwrap();
    let subscribe = || {
        let mut request = Request::new(SubscribeRequest { open: Some(Open::default()) });
        request.metadata_mut().insert("authorization", format!("Bearer {}", ana.token).parse().unwrap());
        let mut chat = ChatServiceClient::new(channel.clone());
        async move { chat.subscribe(request).await }
    };
    let stream = subscribe().await.unwrap();
    let _socket = world.socket("/ws/presence/", &ana.token).await;
    let excess = subscribe().await.expect_err("a refusal");
    assert!(Details::of(&excess).retry_after.is_some());
    assert_eq!(refusal::<()>(Err(excess)), (Code::ResourceExhausted, "TOO_MANY_STREAMS".to_owned()));
    assert_eq!(world.refused("/ws/presence/", &ana.token).await.0, 503);
    // Calls are no streams.
    let credentials = json!({ "phone_number": ADMIN_PHONE, "password": PASSWORD });
    assert_eq!(world.ask(world.post("/api/auth/login/").json(&credentials)).await.status, 200);
    drop(stream);
    testkit::eventually("there is a place again", async || subscribe().await.is_ok()).await;
}

#[tokio::test]
async fn an_edge_that_stops_says_that_it_does_not_serve() {
    let stop = Stop::new();
    let mut front = edge_in(&Network::default(), &[], stop.clone()).await;
    let mut health = async || {
        let response = grpc(&mut front, "/grpc.health.v1.Health/Check", Body::from(&b"\0\0\0\0\0"[..])).await;
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        HealthCheckResponse::decode(&answer[5..]).unwrap().status()
    };
    assert_eq!(health().await, ServingStatus::Serving);
    stop.cancel();
    testkit::eventually("it says so", async || health().await == ServingStatus::NotServing).await;
}
