//! Agrovet: what holds for every path. Both slash forms, methods, types, negotiation, headers, and what is not there.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::story::Story;
use crate::world::World;

#[tokio::test]
async fn roots_are_listed() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let mut story = Story::default();
    story.tell("/api/", &world.ask(world.get("/api/")).await);
    assert_eq!(world.ask(world.get("/api").bearer_auth("rubbish")).await.status, 200);
    story.tell("/api/auth/", &world.read("/api/auth/", &ana.token).await);
    story.tell("/api/auth/ without a token", &world.ask(world.get("/api/auth/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn probes_are_told_whether_it_runs_and_what_it_needs_does() {
    let world = World::start().await;
    let mut story = Story::default();
    for path in ["/health/", "/health/detailed/", "/health/detailed"] {
        story.tell(path, &world.ask(world.get(path)).await);
    }
    world.stop_chat().await;
    let detailed = async || world.ask(world.get("/health/detailed/")).await;
    let patience = Duration::from_secs(30);
    testkit::within(patience, "it is noticed", async || detailed().await.status == 503).await;
    story.tell("/health/detailed/ without a service", &detailed().await);
    assert_eq!(world.ask(world.get("/health/")).await.status, 200, "the edge itself runs");
    world.start_chat().await;
    testkit::within(patience, "all is well again", async || detailed().await.status == 200).await;
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn every_method_on_every_path_in_both_slash_forms() {
    let world = World::start().await;
    let mut story = Story::default();
    for (method, path) in [
        (Method::GET, "/api/auth/login"),
        (Method::DELETE, "/api/auth/users"),
        (Method::POST, "/api/auth/users/2"),
        (Method::PUT, "/api/media"),
        (Method::PATCH, "/api/auth/password-reset/request"),
        // The original listed, showed and changed everybody here, for anybody.
        (Method::GET, "/api/auth/register"),
    ] {
        let [bare, slashed] = [path.to_owned(), format!("{path}/")].map(|path| world.request(method.clone(), &path));
        let (bare, slashed) = (world.ask(bare).await, world.ask(slashed).await);
        assert_eq!((bare.status, &bare.text), (slashed.status, &slashed.text), "{method} {path}");
        story.tell(&format!("{method} {path}"), &slashed);
    }
    story.tell("OPTIONS /api/auth/users/", &world.ask(world.request(Method::OPTIONS, "/api/auth/users/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_in_the_same_words() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    for (method, path) in [
        (Method::POST, "/api/auth/test-token/"),
        (Method::GET, "/api/auth/register/2/"),
        (Method::PUT, "/api/auth/register/2/"),
        (Method::PATCH, "/api/auth/register/2/"),
        (Method::DELETE, "/api/auth/register/2/"),
        (Method::GET, "/api/auth/users.json"),
        (Method::GET, "/api/auth/users/2/more/"),
        (Method::GET, "/api/media/1/debug_description/"),
        (Method::GET, "/api/Auth/users/"),
        (Method::GET, "/api/nothing/"),
    ] {
        let answer = world.call(method.clone(), path, &ana.token, json!({ "phone_number": "59170000001" })).await;
        assert_eq!((answer.status, answer.body), (404, json!({ "detail": "No encontrado." })), "{method} {path}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    for path in ["/api/", "/api/auth/users/me/", "/api/auth/users/", "/api/media/", "/health/"] {
        let get = world.read(path, &ana.token).await;
        let head = world.ask(world.request(Method::HEAD, path).bearer_auth(&ana.token)).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-length"), get.text.len().to_string(), "{path}");
    }
    assert_eq!(world.ask(world.request(Method::HEAD, "/api/auth/users/me/")).await.status, 401);
}

#[tokio::test]
async fn bodies_of_another_type_and_answers_of_another_kind_are_refused() {
    let world = World::start().await;
    let mut story = Story::default();
    let login = |kind: &'static str, body: &'static str| {
        world.ask(world.post("/api/auth/login/").header("content-type", kind).body(body))
    };
    story.tell("XML", &login("text/xml", "<login/>").await);
    story.tell("text", &login("text/plain; charset=utf-8", "x").await);
    story.tell("a multipart without a boundary", &login("multipart/form-data", "x").await);
    story.tell("a multipart that breaks off", &login("multipart/form-data; boundary=x", "--x\r\ncontent").await);
    story.tell("broken JSON", &login("application/json", "{\"phone_number\": \"591").await);
    story.tell("JSON in another encoding", &login("application/json", "\u{feff}{}").await);
    for (body, kind) in [("[]", "list"), ("\"x\"", "str"), ("7", "int"), ("7.5", "float"), ("null", "NoneType")] {
        let answer = login("application/json", body).await;
        let text = format!("Datos inválidos. Se esperaba un diccionario pero es un {kind}.");
        assert_eq!((answer.status, answer.body), (400, json!({ "non_field_errors": [text] })), "{body}");
    }
    let image = world.get("/api/").header("accept", "image/png");
    story.tell("Accept: image/png", &world.ask(image).await);
    for accept in ["text/html,application/xhtml+xml,*/*;q=0.8", "application/json", "*/*", "application/*"] {
        assert_eq!(world.ask(world.get("/api/").header("accept", accept)).await.status, 200, "{accept}");
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn every_answer_has_its_headers_errors_too() {
    let world = World::start().await;
    let origin = "http://localhost:5173";
    let large = world.post("/api/auth/login/").json(&json!({ "phone_number": "x".repeat(2 << 20) }));
    for (status, request) in [
        (200, world.get("/api/")),
        (401, world.get("/api/auth/users/me/")),
        (404, world.get("/api/nothing/")),
        (405, world.get("/api/auth/login/")),
        (400, world.post("/api/auth/login/").json(&json!({}))),
        (413, large),
    ] {
        let answer = world.ask(request.header("origin", origin).header("x-request-id", "abc-1")).await;
        assert_eq!(answer.status, status);
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-credentials", "true"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-request-id", "abc-1"),
        ] {
            assert_eq!(answer.header(name), value, "{status} {name}");
        }
    }
    let mut story = Story::default();
    let preflight = world.request(Method::OPTIONS, "/api/media/").header("origin", origin);
    let preflight = preflight.header("access-control-request-method", "POST");
    story.tell("preflight", &world.ask(preflight.header("access-control-request-headers", "authorization")).await);
    let stranger = world.get("/api/").header("origin", "https://evil.example");
    assert_eq!(world.ask(stranger).await.header("access-control-allow-origin"), "");
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn the_document_is_also_where_the_old_platform_had_it() {
    let world = World::start().await;
    let document = world.ask(world.get("/openapi/agrovet.json")).await;
    assert_eq!((document.status, &document.body["info"]["title"]), (200, &json!("Agrovet")));
    for (path, kind) in [("/swagger.json", "application/json"), ("/swagger.yaml", "application/yaml")] {
        for path in [path.to_owned(), format!("{path}/")] {
            let old = world.ask(world.get(&path)).await;
            assert_eq!((old.status, old.header("content-type")), (200, kind), "{path}");
            assert!(old.body == document.body, "{path}");
        }
    }
    for path in ["/swagger/", "/swagger", "/redoc/", "/redoc"] {
        let viewer = world.ask(world.get(path)).await;
        assert_eq!((viewer.status, viewer.header("location")), (308, "/docs"), "{path}");
    }
}

#[tokio::test]
async fn links_repeat_the_host_that_was_asked() {
    let world = World::with(&["--trusted-proxies", "127.0.0.1"]).await;
    let proxied = world.get("/api/").header("x-forwarded-proto", "https").header("x-forwarded-host", "api.agrovet.com");
    assert_eq!(world.ask(proxied).await.body["media"], json!("https://api.agrovet.com/api/media/"));
    let direct = world.get("/api/").header("host", "127.0.0.1:8001");
    assert_eq!(world.ask(direct).await.body["media"], json!("http://127.0.0.1:8001/api/media/"));
}

#[tokio::test]
async fn a_database_that_is_away_is_a_503_and_never_a_500() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let read = async || world.ask(world.get("/api/categories/")).await;
    let follow = async || {
        let form = json!({ "following_id": beto.id });
        world.ask(world.post("/api/follows/").bearer_auth(&ana.token).json(&form)).await
    };
    assert_eq!(read().await.status, 200);
    world.databases["marketplace"].set_away(true).await;
    for _ in 0..12 {
        let (read, follow) = tokio::join!(read(), follow());
        for answer in [read, follow] {
            assert_eq!(answer.status, 503, "{answer}");
        }
    }
    // So it is to whoever asks how the platform is, and only to them.
    let probe = async |path: &str| world.ask(world.get(path)).await;
    let limit = Duration::from_secs(30);
    testkit::within(limit, "health tells it", async || probe("/health/detailed/").await.status == 503).await;
    let detailed = probe("/health/detailed/").await;
    assert_eq!((&detailed.body["status"], &detailed.body["checks"]["database"]), (&json!("degraded"), &json!("error")));
    assert_eq!(probe("/health").await.body["estado_general"], json!("degraded"));
    assert_eq!([probe("/health/").await.status, probe("/health/live").await.status], [200, 200]);
    assert_eq!(probe("/health/ready").await.status, 503);
    world.databases["marketplace"].set_away(false).await;
    testkit::within(limit, "it is back", async || read().await.status == 200).await;
    testkit::within(limit, "health tells that too", async || probe("/health/detailed/").await.status == 200).await;
    assert_eq!(probe("/health/ready").await.status, 200);
}
