//! Agrovet: what an account's owner sees and does about its security.

use aws_lc_rs::hmac;
use reqwest::Method;
use serde_json::{Value, json};

use crate::story::Story;
use crate::world::{PASSWORD, World};

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let login = json!({ "phone_number": "59170000001", "password": PASSWORD });
    let phone = world.post("/api/auth/login/").header("user-agent", "Agrovet/2.1 (Android)").json(&login);
    let phone = world.ask(phone).await.body["token"].as_str().unwrap().to_owned();
    let mut story = Story::default();
    let sessions = world.read("/api/auth/sessions/", &ana.token).await;
    story.tell("sessions", &sessions);
    let other = sessions.body.as_array().unwrap().iter().find(|s| s["current"] == json!(false)).unwrap();
    let path = format!("/api/auth/sessions/{}/", other["id"].as_str().unwrap());
    let end = |token: String| world.ask(world.request(Method::DELETE, &path).bearer_auth(token));
    story.tell("somebody else ends it", &end(beto.token.clone()).await);
    assert_eq!(world.read("/api/auth/users/me/", &phone).await.status, 200);
    story.tell("end it", &end(ana.token.clone()).await);
    world.gone(&phone).await;
    assert_eq!(end(ana.token.clone()).await.status, 204);
    let wrong = world.request(Method::DELETE, "/api/auth/sessions/7/").bearer_auth(&ana.token);
    story.tell("no id", &world.ask(wrong).await);
    story.tell("without a token", &world.ask(world.get("/api/auth/sessions/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn the_audit_log_is_read_page_by_page() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let login = |password: &str| {
        let body = json!({ "phone_number": "59170000001", "password": password });
        world.ask(world.post("/api/auth/login/").json(&body))
    };
    login("Otra2026cosa").await;
    login(PASSWORD).await;
    let mut story = Story::default();
    let first = world.read("/api/auth/audit/?page_size=2", &ana.token).await;
    story.tell("the first page", &first);
    let next = first.body["next"].as_str().unwrap().strip_prefix(&world.base).unwrap().to_owned();
    story.tell("the last page", &world.read(&next, &ana.token).await);
    story.tell("a cursor that is none", &world.read("/api/auth/audit/?cursor=x", &ana.token).await);
    story.tell("a page of nothing", &world.read("/api/auth/audit/?page_size=0", &ana.token).await);
    story.tell("without a token", &world.ask(world.get("/api/auth/audit/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_second_factor_is_asked_for_until_it_is_removed() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let mut story = Story::default();
    let post = |path: &'static str, body: Value| world.call(Method::POST, path, &ana.token, body);
    let login = |code: Option<&str>| {
        let body = json!({ "phone_number": "59170000001", "password": PASSWORD, "second_factor": code.unwrap_or("") });
        world.ask(world.post("/api/auth/login/").json(&body))
    };

    story.tell(
        "confirm before there is a secret",
        &post("/api/auth/second-factor/confirm/", json!({ "code": "1" })).await,
    );
    let begun = post("/api/auth/second-factor/", json!({})).await;
    story.tell("begin", &begun);
    story.tell("confirm with a wrong code", &post("/api/auth/second-factor/confirm/", json!({ "code": "x" })).await);
    story.tell("confirm with nothing", &post("/api/auth/second-factor/confirm/", json!({})).await);
    assert_eq!(login(None).await.status, 200);
    let code = totp(begun.body["secret"].as_str().unwrap());
    let confirmed = post("/api/auth/second-factor/confirm/", json!({ "code": code })).await;
    assert_eq!(confirmed.status, 200, "{confirmed}");
    let recovery: Vec<_> = confirmed.body["recovery_codes"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(recovery.len(), 10);

    story.tell("begin while it is on", &post("/api/auth/second-factor/", json!({})).await);
    story.tell("login without a code", &login(None).await);
    story.tell("login with a wrong code", &login(Some("000000")).await);
    let recovery = recovery[0].trim_matches('"');
    assert_eq!(login(Some(recovery)).await.status, 200);
    assert_eq!(login(Some(recovery)).await.status, 401);
    let remove = |password: &str| post("/api/auth/second-factor/remove/", json!({ "password": password }));
    story.tell("remove with a wrong password", &remove("x").await);
    story.tell("remove", &remove(PASSWORD).await);
    assert_eq!(login(None).await.status, 200);
    story.tell("without a token", &world.ask(world.post("/api/auth/second-factor/")).await);
    insta::assert_snapshot!(story);
}

/// The code of this moment: RFC 6238 with SHA-1, six digits, 30 seconds.
pub(crate) fn totp(secret: &str) -> String {
    let bits: String = secret
        .bytes()
        .map(|c| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == c).expect("Base32"))
        .map(|value| format!("{value:05b}"))
        .collect();
    let bytes = |chunk: &[u8]| u8::from_str_radix(std::str::from_utf8(chunk).expect("digits"), 2).expect("binary");
    let key: Vec<u8> = bits.as_bytes().chunks_exact(8).map(bytes).collect();
    let step = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() / 30;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes(tag[at..at + 4].try_into().expect("four bytes")) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}
