//! Agrovet: registration, login, logout, refresh.

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{form, photo, secret};
use crate::story::Story;
use crate::world::{PASSWORD, World};

fn ana() -> Value {
    json!({
        "phone_number": "+591 7000-0001", "password": PASSWORD, "full_name": " Ana ", "last_name": "Rojas",
        "role": "Specialist", "bio": "Clínica mayor", "latitude": "12.136389", "longitude": -86.251389,
        "specialist_profile_profession": "Veterinario", "unknown": [1],
    })
}

#[tokio::test]
async fn a_registration_makes_a_person_and_a_session() {
    let world = World::start().await;
    let mut story = Story::default();
    let made = world.ask(world.post("/api/auth/register/").json(&ana())).await;
    story.tell("register", &made);
    let token = made.body["token"].as_str().unwrap();
    let me = world.ask(world.get("/api/auth/users/me/").bearer_auth(token)).await;
    assert_eq!(me.body, made.body["user"]);
    for path in ["/api/auth/me/", "/api/auth/me", "/api/auth/users/me", "/api/auth/users/2/"] {
        let same = world.ask(world.get(path).bearer_auth(token)).await;
        assert_eq!((same.status, same.body), (200, me.body.clone()), "{path}");
    }
    let login = json!({ "phone_number": "59170000001", "password": PASSWORD });
    story.tell("login with digits only", &world.ask(world.post("/api/auth/login/").json(&login)).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_registration_says_all_that_is_wrong_at_once() {
    let world = World::start().await;
    world.agrovet("Ana", "59170000001", "consumer").await;
    let mut story = Story::default();
    let register = |body: Value| world.post("/api/auth/register/").json(&body);
    story.tell("nothing", &world.ask(register(json!({}))).await);
    story.tell("no body", &world.ask(world.post("/api/auth/register/")).await);
    let wrong = json!({
        "phone_number": "", "password": null, "full_name": "x".repeat(151), "last_name": ["x"], "role": "admin",
        "bio": {}, "latitude": "1234", "longitude": "nan", "profile_picture": "http://x/y.jpg",
    });
    story.tell("everything wrong", &world.ask(register(wrong)).await);
    let with = |field: &str, value: Value| {
        let mut body = json!({ "phone_number": "59170000002", "password": PASSWORD });
        body[field] = value;
        register(body)
    };
    for (asked, field, value) in [
        ("a phone with letters", "phone_number", json!("5917000000a")),
        ("a phone that is taken, in another spelling", "phone_number", json!("+(591) 700-00.001")),
        ("a weak password", "password", json!("secreta123")),
        ("a password of spaces", "password", json!("          ")),
        ("half a place", "latitude", json!("1.5")),
        ("an endless decimal", "latitude", json!("0.12345678")),
        ("a NUL character", "full_name", json!("a\u{0}b")),
    ] {
        story.tell(asked, &world.ask(with(field, value)).await);
    }
    let place = json!({
        "phone_number": "59170000002", "password": PASSWORD, "latitude": "90.5", "longitude": "180.5",
    });
    story.tell("a place off the globe", &world.ask(register(place)).await);
    story.tell("not an object", &world.ask(register(json!([1]))).await);
    let broken = world.post("/api/auth/register/").header("content-type", "application/json").body("{\"phone");
    story.tell("broken JSON", &world.ask(broken).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_registration_takes_forms_and_a_picture() {
    let world = World::start().await;
    let mut story = Story::default();
    let fields = [("phone_number", "59170000001"), ("password", PASSWORD), ("role", ""), ("latitude", "")];
    let urlencoded = world.ask(world.post("/api/auth/register/").form(&fields)).await;
    story.tell("urlencoded, with empty values", &urlencoded);

    let multipart = |phone: &str, file: Vec<u8>| {
        form("profile_picture", "ana.jpg", file)
            .text("phone_number", phone.to_owned())
            .text("password", PASSWORD)
            .text("role", "businessman")
            .text("businessman_profile_business_type", "Agroveterinaria")
    };
    // The token of whoever used the device before must not own the picture.
    let other = urlencoded.body["token"].as_str().unwrap();
    let register = world.post("/api/auth/register/").bearer_auth(other);
    let made = world.ask(register.multipart(multipart("59170000002", photo(1)))).await;
    story.tell("multipart with a picture", &made);
    let url = made.body["user"]["profile_picture"].as_str().unwrap();
    let picture = world.http.get(url).send().await.unwrap();
    assert_eq!((picture.status().as_u16(), &picture.headers()["content-type"]), (200, &"image/jpeg".parse().unwrap()));
    assert!(secret(&photo(1)) && !secret(&picture.bytes().await.unwrap()));

    let refused = world.post("/api/auth/register/").multipart(multipart("59170000003", b"no image at all".to_vec()));
    story.tell("a picture that is none", &world.ask(refused).await);
    let refused = world.post("/api/auth/register/").multipart(multipart("59170000003", Vec::new()));
    story.tell("an empty picture", &world.ask(refused).await);
    let refused = world.post("/api/auth/register/").multipart(multipart("59170000003", vec![0xff; 6 << 20]));
    story.tell("no image, and too large", &world.ask(refused).await);
    let broken = [&photo(1)[..200], &[0; 5000]].concat();
    let refused = world.post("/api/auth/register/").multipart(multipart("59170000003", broken));
    story.tell("a damaged picture", &world.ask(refused).await);
    let large = [photo(1), vec![0; 6 << 20]].concat();
    let refused = world.post("/api/auth/register/").multipart(multipart("59170000003", large));
    story.tell("a picture of 6 MiB", &world.ask(refused).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn of_two_registrations_of_one_number_one_wins() {
    let world = World::start().await;
    let register = |phone: &str| {
        let body = json!({ "phone_number": phone, "password": PASSWORD });
        world.ask(world.post("/api/auth/register/").json(&body))
    };
    let (one, two) = tokio::join!(register("59170000001"), register("+591 70000001"));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400]);
    let lost = if one.status == 400 { one } else { two };
    assert_eq!(lost.body, json!({ "phone_number": ["Ya existe Usuario con este phone number."] }));
}

#[tokio::test]
async fn a_failed_login_says_nothing_about_why() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "+59170000001", "consumer").await;
    let mut story = Story::default();
    let login = |body: Value| world.ask(world.post("/api/auth/login/").json(&body));
    for (asked, phone, password) in [
        ("wrong password", "59170000001", "Otra2026cosa"),
        ("unknown phone", "59179999999", PASSWORD),
        ("not a phone", "ana@example.com", PASSWORD),
        ("spaces around the password", "59170000001", " Campo2026seco "),
    ] {
        story.tell(asked, &login(json!({ "phone_number": phone, "password": password })).await);
    }
    story.tell("nothing", &login(json!({})).await);
    story.tell("blank", &login(json!({ "phone_number": " ", "password": "" })).await);
    story.tell("numbers pass for text", &login(json!({ "phone_number": 59170000001i64, "password": 1 })).await);
    story.tell("GET", &world.ask(world.get("/api/auth/login/")).await);

    // An invalid token does not matter here.
    let good = json!({ "phone_number": "59170000001", "password": PASSWORD });
    let answer = world.ask(world.post("/api/auth/login").bearer_auth("rubbish").json(&good)).await;
    assert_eq!((answer.status, &answer.body["user"]["id"]), (200, &ana.id));
    let form = [("phone_number", "(591) 70000001"), ("password", PASSWORD)];
    assert_eq!(world.ask(world.post("/api/auth/login/").form(&form)).await.status, 200);

    let ban = world.post(&format!("/api/v1/admin/users/{}/ban", world.uuid(&ana.token)));
    assert_eq!(world.ask(ban.bearer_auth(world.admin().await).json(&json!({ "reason": "spam" }))).await.status, 200);
    story.tell("banned, right password", &login(good).await);
    story.tell("a token of somebody banned", &world.gone(&ana.token).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn five_failures_close_a_phone_and_too_many_calls_an_address() {
    // A day for a window: the test shall not see its end.
    let world = World::with(&["--rate-limits", "on", "--rate-limit", "login=30/86400"]).await;
    let mut story = Story::default();
    let login = |phone: String| {
        let body = json!({ "phone_number": phone, "password": "Otra2026cosa" });
        world.ask(world.post("/api/auth/login/").json(&body))
    };
    for _ in 0..5 {
        assert_eq!(login("59170000001".into()).await.status, 401);
    }
    story.tell("the sixth failure of one phone", &login("59170000001".into()).await);
    assert_eq!(login("59170000002".into()).await.status, 401);
    let mut last = login("59170000003".into()).await;
    for n in 0..40 {
        if last.status == 429 {
            break;
        }
        last = login(format!("5917000010{n}")).await;
    }
    story.tell("too many calls from one address", &last);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn both_schemes_and_every_fault_of_the_header() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let mut story = Story::default();
    let me = |header: String| world.ask(world.get("/api/auth/users/me/").header("authorization", header));
    for scheme in ["Bearer", "Token", "bearer", "TOKEN"] {
        assert_eq!(me(format!("{scheme} {}", ana.token)).await.status, 200, "{scheme}");
    }
    story.tell("no header", &world.ask(world.get("/api/auth/users/me/")).await);
    for (asked, header) in [
        ("no key", "Bearer"),
        ("a key with spaces", "Token a b"),
        ("another scheme", "Basic YTpi"),
        ("an unknown key", "Token 0123456789abcdef0123456789abcdef01234567"),
        ("a forged token", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."),
    ] {
        story.tell(asked, &me(header.to_owned()).await);
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_refresh_token_has_one_child_and_three_paths() {
    let world = World::start().await;
    let credentials = json!({ "phone_number": "59170000001", "password": PASSWORD });
    let made = world.ask(world.post("/api/auth/register/").json(&credentials)).await;
    let mut story = Story::default();
    let refresh = |path: &'static str, token: &Value| {
        let body = json!({ "refresh": token });
        world.ask(world.post(path).bearer_auth("rubbish").json(&body))
    };
    let mut token = made.body["refresh"].clone();
    for path in ["/api/auth/refresh/", "/api/auth/token/refresh/", "/api/auth/refresh-token/"] {
        let next = refresh(path, &token).await;
        // A repeat within half a minute, as from a second tab, gets the same child.
        assert_eq!(refresh(path, &token).await.body["refresh"], next.body["refresh"], "{path}");
        let me = world.get("/api/auth/users/me/").bearer_auth(next.body["access"].as_str().unwrap());
        assert_eq!(world.ask(me).await.body, made.body["user"]);
        token = next.body["refresh"].clone();
        if path == "/api/auth/refresh/" {
            story.tell("refresh", &next);
        }
    }
    story.tell("an unknown token", &refresh("/api/auth/refresh/", &json!("x")).await);
    story.tell("none", &world.ask(world.post("/api/auth/refresh/").json(&json!({}))).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn logout_ends_one_session_or_all() {
    let world = World::start().await;
    let credentials = json!({ "phone_number": "59170000001", "password": PASSWORD });
    let login = || async { world.ask(world.post("/api/auth/login/").json(&credentials)).await.body };
    world.agrovet("Ana", "59170000001", "consumer").await;
    let [one, two, three] = [login().await, login().await, login().await];
    let token = |session: &Value| session["token"].as_str().unwrap().to_owned();
    let me = |session: &Value| world.ask(world.get("/api/auth/users/me/").bearer_auth(token(session)));
    let mut story = Story::default();

    let out = world.request(Method::POST, "/api/auth/logout/").bearer_auth(token(&one));
    story.tell("logout", &world.ask(out).await);
    story.tell("the token afterwards", &world.gone(&token(&one)).await);
    let again = world.post("/api/auth/logout/").bearer_auth(token(&one));
    story.tell("logout again", &world.ask(again).await);
    let refresh = world.post("/api/auth/refresh/").json(&json!({ "refresh": one["refresh"] }));
    story.tell("its refresh token", &world.ask(refresh).await);
    assert_eq!(me(&two).await.status, 200);

    let out = world.post("/api/auth/logout/?all=true").bearer_auth(token(&two)).json(&json!({}));
    assert_eq!(world.ask(out).await.status, 204);
    for session in [&two, &three] {
        world.gone(&token(session)).await;
    }
    story.tell("without a token", &world.ask(world.post("/api/auth/logout/")).await);
    insta::assert_snapshot!(story);
}
