//! Conectar: registration, login, passwords, sessions, devices.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::agrovet_security::totp;
use crate::answer::Answer;
use crate::story::Story;
use crate::world::{PASSWORD, World};

const NEW: &str = "Lluvia2027verde";
const ME: &str = "/api/v1/users/me";

fn ana() -> Value {
    json!({
        "email": " Ana@Example.com ", "password": PASSWORD, "nombre": " Ana ", "apellido": "Paz", "rol": "PROFESIONAL",
        "oficio_id": "3", "unknown": [1],
    })
}

fn login(world: &World, email: &str, password: &str) -> RequestBuilder {
    world.post("/api/v1/auth/login").form(&[("username", email), ("password", password)])
}

/// The body without what differs from request to request.
fn essence(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    body["request_id"] = Value::Null;
    (answer.status, body)
}

#[tokio::test]
async fn a_registration_makes_a_person_who_can_log_in() {
    let world = World::start().await;
    let mut story = Story::default();
    let made = world.ask(world.post("/api/v1/auth/register").json(&ana())).await;
    story.tell("register", &made);
    // The frontend repeats what failed, and two forms may be sent at once.
    let again = world.ask(world.post("/api/v1/auth/register").json(&ana())).await;
    story.tell("the same again, in other letters", &again);

    story.tell("login", &world.ask(login(&world, "ANA@example.com", PASSWORD)).await);
    for (asked, body) in [
        ("login by JSON", json!({ "email": "ana@example.com", "password": PASSWORD })),
        ("login by JSON, with the form's name", json!({ "username": "ana@example.com", "password": PASSWORD })),
    ] {
        let answer = world.ask(world.post("/api/v1/auth/login").json(&body)).await;
        assert_eq!((answer.status, &answer.body["token_type"]), (200, &json!("bearer")), "{asked}");
    }
    let oauth = [("grant_type", "password"), ("scope", ""), ("username", "ana@example.com"), ("password", PASSWORD)];
    assert_eq!(world.ask(world.post("/api/v1/auth/login").form(&oauth)).await.status, 200);

    let token = world.conectar_login("ana@example.com", PASSWORD).await;
    for path in ["/api/v1/users/me", "/api/v1/auth/me"] {
        let me = world.ask(world.get(path).bearer_auth(&token)).await;
        assert_eq!((me.status, &me.body), (200, &made.body), "{path}");
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn of_two_registrations_at_once_one_is_refused() {
    let world = World::start().await;
    let register = || world.ask(world.post("/api/v1/auth/register").json(&ana()));
    let (one, two) = tokio::join!(register(), register());
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400], "{one}\n{two}");
}

#[tokio::test]
async fn a_registration_says_in_words_what_is_wrong() {
    let world = World::start().await;
    let mut story = Story::default();
    let register = || world.post("/api/v1/auth/register");
    story.tell("nothing", &world.ask(register().json(&json!({}))).await);
    story.tell("no body", &world.ask(register()).await);
    story.tell("a list", &world.ask(register().json(&json!([1]))).await);
    let broken = register().header("content-type", "application/json").body("{\"email\":");
    story.tell("half a JSON", &world.ask(broken).await);
    for (asked, field, value) in [
        ("a short password, as the form allows", "password", json!("seis66")),
        ("a long password", "password", json!("x".repeat(129))),
        ("a common password", "password", json!("password")),
        ("the email as password", "password", json!("eva@example.com")),
        ("an administrator", "rol", json!("ADMIN")),
        ("an unknown role", "rol", json!("REY")),
        ("no address", "email", json!("eva")),
        ("a domain that leads nowhere", "email", json!("eva@example.test")),
        ("a number as address", "email", json!(7)),
        ("a blank name", "nombre", json!("   ")),
        ("null as name", "nombre", Value::Null),
        ("a long family name", "apellido", json!("x".repeat(101))),
        ("a NUL", "nombre", json!("a\u{0}b")),
    ] {
        let mut body = json!({ "email": "eva@example.com", "password": PASSWORD, "nombre": "Eva", "apellido": "Sol" });
        body[field] = value;
        let answer = world.ask(register().json(&body)).await;
        assert!(answer.body["detail"].is_string(), "{answer}");
        story.tell(asked, &answer);
    }
    // Null stands for the default.
    let body = json!({
        "email": "eva@example.com", "password": PASSWORD, "nombre": "Eva", "apellido": "Sol", "rol": null,
    });
    assert_eq!(world.ask(register().json(&body)).await.body["rol"], "CLIENTE");
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_failed_login_tells_nobody_who_exists() {
    let world = World::start().await;
    world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let wrong = world.ask(login(&world, "ana@example.com", "otra cosa")).await;
    story.tell("a wrong password", &wrong);
    let unknown = world.ask(login(&world, "nadie@example.com", "otra cosa")).await;
    assert_eq!(essence(&wrong), essence(&unknown));
    let rubbish = world.ask(login(&world, "no es un email", "otra cosa")).await;
    assert_eq!(essence(&wrong), essence(&rubbish));
    let post = || world.post("/api/v1/auth/login");
    story.tell("nothing", &world.ask(post().form(&[("scope", "")])).await);
    story.tell("no password", &world.ask(post().form(&[("username", "ana@example.com"), ("password", "")])).await);
    let other = [("grant_type", "refresh_token"), ("username", "ana@example.com"), ("password", PASSWORD)];
    story.tell("another grant", &world.ask(post().form(&other)).await);
    // Whatever token the browser still has is no business of the login.
    let stale = world.ask(login(&world, "ana@example.com", PASSWORD).bearer_auth("stale")).await;
    assert_eq!(stale.status, 200);
    // After ten wrong ones in a row the name is closed for a while, whoever asks.
    for _ in 0..10 {
        assert_eq!(world.ask(login(&world, "ana@example.com", "otra cosa")).await.status, 401);
    }
    story.tell("the right password after ten wrong ones", &world.ask(login(&world, "ana@example.com", PASSWORD)).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn only_failed_logins_count_against_an_address() {
    let world = World::with(&["--rate-limits", "on", "--rate-limit", "auth=3/86400"]).await;
    world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    for _ in 0..4 {
        assert_eq!(world.ask(login(&world, "ana@example.com", PASSWORD)).await.status, 200);
    }
    for _ in 0..3 {
        assert_eq!(world.ask(login(&world, "ana@example.com", "otra cosa")).await.status, 401);
    }
    let mut story = Story::default();
    let refused = world.ask(login(&world, "ana@example.com", PASSWORD)).await;
    assert_eq!((refused.header("x-ratelimit-limit"), refused.header("x-ratelimit-remaining")), ("3", "0"));
    story.tell("the right password", &refused);
    assert_eq!(world.ask(login(&world, "eva@example.com", "otra cosa")).await.status, 429);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn of_fifty_wrong_logins_at_once_no_more_than_the_limit_are_looked_at() {
    let world = World::with(&["--rate-limits", "on", "--rate-limit", "auth=10/86400"]).await;
    // Names that nobody has: by their own number none of them would be closed.
    let tries = (0..50).map(|n| world.ask(login(&world, &format!("nadie{n}@example.com"), "otra cosa")));
    let statuses: Vec<_> = join_all(tries).await.into_iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 40, "{statuses:?}");
}

#[tokio::test]
async fn a_token_that_is_none_is_refused_with_the_reason() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let me = || world.get(ME);
    story.tell("no header", &world.ask(me()).await);
    story.tell("another scheme", &world.ask(me().basic_auth("ana", Some("x"))).await);
    story.tell("what the frontend sends without a session", &world.ask(me().bearer_auth("null")).await);
    let mut forged: Vec<&str> = ana.token.split('.').collect();
    forged[2] = "AAAA";
    story.tell("a forged signature", &world.ask(me().bearer_auth(forged.join("."))).await);
    let in_the_url = world.ask(world.get(&format!("{ME}?token={}", ana.token))).await;
    assert_eq!((in_the_url.status, &in_the_url.body["path"]), (401, &json!(ME)));
    let cookie = me().header("cookie", format!("access_token={}", ana.token));
    assert_eq!(world.ask(cookie).await.status, 401);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn refresh_tokens_are_replaced_at_every_use() {
    let world = World::start().await;
    world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let refresh =
        |token: &Value| world.ask(world.post("/api/v1/auth/refresh").json(&json!({ "refresh_token": token })));
    let first = world.ask(login(&world, "ana@example.com", PASSWORD)).await.body;
    let second = refresh(&first["refresh_token"]).await;
    story.tell("refresh", &second);
    assert_ne!(second.body["refresh_token"], first["refresh_token"]);
    // A repeat within seconds is the same client with a bad connection.
    assert_eq!(refresh(&first["refresh_token"]).await.body["refresh_token"], second.body["refresh_token"]);
    let third = refresh(&second.body["refresh_token"]).await;
    assert_eq!(third.status, 200);
    let me = world.ask(world.get(ME).bearer_auth(third.body["access_token"].as_str().unwrap())).await;
    assert_eq!(me.status, 200);
    // That a token spent longer ago ends its session, the tests of `auth` say, whose clock can be moved.
    story.tell("an unknown token", &refresh(&json!("nobody's")).await);
    story.tell("no token", &world.ask(world.post("/api/v1/auth/refresh").json(&json!({}))).await);
    story.tell("a number", &refresh(&json!(7)).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_logout_ends_the_session_and_may_be_repeated() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let other = world.conectar_login("ana@example.com", PASSWORD).await;
    let mut story = Story::default();
    let logout = |token: &str| world.post("/api/v1/auth/logout").bearer_auth(token);
    let tokens = world.ask(login(&world, "ana@example.com", PASSWORD)).await.body;
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), &tokens["refresh_token"]);

    story.tell("logout", &world.ask(logout(access).json(&json!({ "refresh_token": refresh }))).await);
    testkit::eventually("the token is refused", async || {
        world.ask(world.get(ME).bearer_auth(access)).await.status == 401
    })
    .await;
    story.tell("the token afterwards", &world.ask(world.get(ME).bearer_auth(access)).await);
    story.tell("logout again, without a body", &world.ask(logout(access)).await);
    let again = world.post("/api/v1/auth/refresh").json(&json!({ "refresh_token": refresh }));
    story.tell("its refresh token", &world.ask(again).await);

    // The other sessions live, until all are ended.
    assert_eq!(world.ask(world.get(ME).bearer_auth(&other)).await.status, 200);
    assert_eq!(world.ask(logout(&ana.token).json(&json!({ "all": true }))).await.status, 200);
    testkit::eventually("all are refused", async || world.ask(world.get(ME).bearer_auth(&other)).await.status == 401)
        .await;
    story.tell("nobody's logout", &world.ask(world.post("/api/v1/auth/logout")).await);
    story.tell("a forged token's logout", &world.ask(logout("forged")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let other = world.conectar_login("ana@example.com", PASSWORD).await;
    let mut story = Story::default();
    let change =
        |body: Value| world.ask(world.post("/api/v1/users/me/change-password").bearer_auth(&ana.token).json(&body));
    story.tell("nothing", &change(json!({})).await);
    story.tell("a wrong password", &change(json!({ "current_password": "x", "new_password": NEW })).await);
    story.tell("the same", &change(json!({ "current_password": PASSWORD, "new_password": PASSWORD })).await);
    story.tell("a short one", &change(json!({ "current_password": PASSWORD, "new_password": "seis66" })).await);
    story.tell("a common one", &change(json!({ "current_password": PASSWORD, "new_password": "password" })).await);
    story.tell("a good one", &change(json!({ "current_password": PASSWORD, "new_password": NEW })).await);

    testkit::eventually("the other session ends", async || {
        world.ask(world.get(ME).bearer_auth(&other)).await.status == 401
    })
    .await;
    assert_eq!(world.ask(world.get(ME).bearer_auth(&ana.token)).await.status, 200);
    assert_eq!(world.ask(login(&world, "ana@example.com", PASSWORD)).await.status, 401);
    assert_eq!(world.ask(login(&world, "ana@example.com", NEW)).await.status, 200);

    let back = json!({ "current_password": NEW, "new_password": PASSWORD });
    let alias = world.request(Method::PATCH, "/api/v1/users/me/password").bearer_auth(&ana.token).json(&back);
    story.tell("back, by the alias", &world.ask(alias).await);
    story.tell("nobody", &world.ask(world.post("/api/v1/users/me/change-password").json(&back)).await);
    insta::assert_snapshot!(story);
}

/// The token of the link in a mail, which is quoted-printable.
fn token_of(mail: &str) -> String {
    let text = mail.replace("=\r\n", "").replace("=3D", "=");
    let token = text.split("reset-password?token=").nth(1).expect("a link");
    token.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[tokio::test]
async fn a_link_by_mail_opens_the_account_once() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let post = |path: &str, body: Value| world.ask(world.post(path).json(&body));
    let forgot = "/api/v1/auth/forgot-password";
    let unknown = post(forgot, json!({ "email": "nadie@example.com" })).await;
    let known = post(forgot, json!({ "email": "ANA@example.com" })).await;
    story.tell("forgot", &known);
    assert_eq!(essence(&unknown), essence(&known));
    // One of the original backends wanted it in the URL.
    let query = world.ask(world.post("/api/v1/auth/forgot-password?email=otra@example.com")).await;
    assert_eq!(essence(&query), essence(&known));
    story.tell("forgot nothing", &post(forgot, json!({})).await);
    story.tell("forgot at once again", &post(forgot, json!({ "email": "ana@example.com" })).await);

    let mails = world.mails().await;
    assert_eq!(mails.len(), 1, "nobody else is written to: {mails:?}");
    let token = token_of(&mails[0]);
    assert!(token.len() >= 43, "{token}");

    let reset = "/api/v1/auth/reset-password";
    let body = |token: &str, password: &str| json!({ "token": token, "new_password": password });
    story.tell("a short password", &post(reset, body(&token, "seis66")).await);
    story.tell("a common password", &post(reset, body(&token, "password")).await);
    story.tell("a wrong token", &post(reset, body("nobody's", NEW)).await);
    story.tell("nothing", &post(reset, json!({})).await);
    let in_the_url = format!("{reset}?token={token}&new_password={NEW}");
    story.tell("all in the URL", &world.ask(world.post(&in_the_url)).await);
    story.tell("also in the URL", &post(&in_the_url, body(&token, NEW)).await);
    story.tell("the token", &post(reset, body(&token, NEW)).await);
    story.tell("the token again", &post(reset, body(&token, PASSWORD)).await);

    testkit::eventually("every session ends", async || {
        world.ask(world.get(ME).bearer_auth(&ana.token)).await.status == 401
    })
    .await;
    assert_eq!(world.ask(login(&world, "ana@example.com", PASSWORD)).await.status, 401);
    assert_eq!(world.ask(login(&world, "ana@example.com", NEW)).await.status, 200);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn whose_token_it_is_can_be_asked_without_a_url() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "PROFESIONAL").await;
    let mut story = Story::default();
    let validate = || world.post("/api/v1/auth/validate-token");
    let mine = world.ask(validate().bearer_auth(&ana.token)).await;
    assert_eq!(mine.body["user_id"], ana.id);
    story.tell("by header", &mine);
    let body = world.ask(validate().json(&json!({ "token": ana.token }))).await;
    assert_eq!(body.body, mine.body);
    story.tell("a wrong token", &world.ask(validate().json(&json!({ "token": "nobody's" }))).await);
    let url = world.post(&format!("/api/v1/auth/validate-token?token={}", ana.token));
    story.tell("in the URL", &world.ask(url).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn firebase_is_for_the_caller_only() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let eva = world.conectar("Eva", "eva@example.com", "CLIENTE").await;
    let mut story = Story::default();
    // Somebody else's id in the body was the original's hole.
    let token = world.post("/api/v1/auth/firebase-token").json(&json!({ "user_id": eva.id, "rol": "ADMIN" }));
    story.tell("a token, not configured", &world.ask(token.bearer_auth(&ana.token)).await);
    let camel = world.ask(world.get("/api/v1/firebase/token").bearer_auth(&ana.token)).await;
    assert_eq!((camel.status, &camel.body["detail"]), (503, &json!("Firebase no está configurado")));
    for request in [world.post("/api/v1/auth/firebase-token"), world.get("/api/v1/firebase/token")] {
        assert_eq!(world.ask(request).await.status, 401);
    }

    let register = |path: &str, body: Value| world.post(path).bearer_auth(&ana.token).json(&body);
    let own = "/api/v1/firebase/fcm-token";
    let theirs = "/api/v1/notifications/fcm-token";
    story.tell("a device", &world.ask(register(own, json!({ "fcmToken": "abc", "platform": "ios" }))).await);
    story.tell("again", &world.ask(register(own, json!({ "fcmToken": "abc" }))).await);
    let named = |id: &Value| json!({ "userId": id, "fcmToken": "abc", "platform": "web" });
    story.tell("by the frontend's path", &world.ask(register(theirs, named(&ana.id))).await);
    story.tell("in somebody else's name", &world.ask(register(theirs, named(&eva.id))).await);
    story.tell("no token", &world.ask(register(own, json!({ "platform": "web" }))).await);
    story.tell("an empty token", &world.ask(register(own, json!({ "fcmToken": "" }))).await);
    story.tell("an endless token", &world.ask(register(own, json!({ "fcmToken": "x".repeat(4097) }))).await);
    story.tell("no platform of ours", &world.ask(register(own, json!({ "fcmToken": "a", "platform": "pc" }))).await);
    let null = world.post(theirs).bearer_auth("null").json(&named(&ana.id));
    assert_eq!(world.ask(null).await.status, 401);
    let forget = || world.request(Method::DELETE, own);
    story.tell("forget", &world.ask(forget().bearer_auth(&ana.token)).await);
    assert_eq!(world.ask(forget().bearer_auth(&ana.token)).await.status, 200);
    assert_eq!(world.ask(forget()).await.status, 401);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_second_factor_is_begun_and_not_confirmed_by_a_guess() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let ask = |method: Method, path: &str, body: Value| {
        let path = format!("/api/v1/users/me/second-factor{path}");
        world.ask(world.request(method, &path).bearer_auth(&ana.token).json(&body))
    };
    story.tell("confirm what was not begun", &ask(Method::POST, "/confirm", json!({ "codigo": "123456" })).await);
    let mut begun = ask(Method::POST, "", json!({})).await;
    let secret = begun.body["secreto"].as_str().unwrap().to_owned();
    assert!(begun.body["url"].as_str().unwrap().contains(&secret));
    begun.body = json!({ "secreto": "[secret]", "url": "[url]" });
    story.tell("begin", &begun);
    // Not 401: the frontend would throw the person out.
    story.tell("a wrong code", &ask(Method::POST, "/confirm", json!({ "codigo": "abcdef" })).await);
    story.tell("no code", &ask(Method::POST, "/confirm", json!({})).await);
    story.tell("off, with a wrong password", &ask(Method::DELETE, "", json!({ "password": "x" })).await);
    story.tell("off", &ask(Method::DELETE, "", json!({ "password": PASSWORD })).await);
    assert_eq!(world.ask(world.post("/api/v1/users/me/second-factor")).await.status, 401);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_second_factor_is_asked_for_at_the_login() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let ask = |method: Method, path: &'static str, body: Value| {
        world.ask(world.request(method, path).bearer_auth(&ana.token).json(&body))
    };
    let begun = ask(Method::POST, "/api/v1/users/me/second-factor", json!({})).await;
    let code = totp(begun.body["secreto"].as_str().unwrap());
    let confirmed = ask(Method::POST, "/api/v1/users/me/second-factor/confirm", json!({ "codigo": code })).await;
    let codes = confirmed.body["codigos_recuperacion"].as_array().unwrap().clone();
    assert_eq!((confirmed.status, codes.len()), (200, 10));
    story.tell("begin while it is on", &ask(Method::POST, "/api/v1/users/me/second-factor", json!({})).await);
    let login = |otp: &str| {
        let form = [("username", "ana@example.com"), ("password", PASSWORD), ("otp", otp)];
        world.ask(world.post("/api/v1/auth/login").form(&form))
    };
    story.tell("login without a code", &login("").await);
    story.tell("login with a wrong code", &login("000000x").await);
    assert_eq!(login(codes[0].as_str().unwrap()).await.status, 200);
    assert_eq!(login(codes[0].as_str().unwrap()).await.status, 401, "each code is good once");
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn everybody_sees_and_ends_their_own_sessions() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let eva = world.conectar("Eva", "eva@example.com", "CLIENTE").await;
    let phone = login(&world, "ana@example.com", PASSWORD).header("user-agent", "Telefono/1");
    let phone = world.ask(phone).await.body["access_token"].as_str().unwrap().to_owned();
    let mut story = Story::default();
    let list = world.ask(world.get("/api/v1/users/me/sessions").bearer_auth(&ana.token)).await;
    story.tell("sessions", &list);
    let sessions = list.body.as_array().unwrap();
    let other = sessions.iter().find(|session| session["actual"] == json!(false)).unwrap()["id"].as_str().unwrap();
    let end = |id: &str, token: &str| {
        world.ask(world.request(Method::DELETE, &format!("/api/v1/users/me/sessions/{id}")).bearer_auth(token))
    };
    story.tell("somebody else's", &end(other, &eva.token).await);
    story.tell("no id", &end("7", &ana.token).await);
    story.tell("end", &end(other, &ana.token).await);
    assert_eq!(end(other, &ana.token).await.status, 204);
    testkit::eventually("it ends", async || world.ask(world.get(ME).bearer_auth(&phone)).await.status == 401).await;
    let audit = |query: &str| world.ask(world.get(&format!("/api/v1/users/me/audit{query}")).bearer_auth(&ana.token));
    let first = audit("?limit=2").await;
    story.tell("what happened", &first);
    let next = audit(&format!("?limit=100&page_token={}", first.body["siguiente"].as_str().unwrap())).await;
    assert_eq!((next.status, &next.body["siguiente"]), (200, &Value::Null));
    story.tell("a page nobody gave", &audit("?page_token=x").await);
    story.tell("too many", &audit("?limit=101").await);
    assert_eq!(world.ask(world.get("/api/v1/users/me/sessions")).await.status, 401);
    insta::assert_snapshot!(story);
}
