//! Conectar: what stands around every endpoint. Prefixes, aliases, methods, CORS, headers, limits, health, documents.

use std::convert::Infallible;

use edge_gateway::conectar::Conectar;
use edge_gateway::dialect::Dialect;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::story::Story;
use crate::world::{PASSWORD, World};

const ME: &str = "/api/v1/users/me";
const FRIEND: &str = "http://localhost:3000";

#[tokio::test]
async fn the_gateway_says_what_it_is_and_how_it_is() {
    let world = World::start().await;
    let mut story = Story::default();
    for path in [
        "/",
        "/health",
        "/health/live",
        "/health/ready",
        "/api/v1/health",
        "/api/v1/health/live",
        "/api/v1/health/ready",
    ] {
        story.tell(path, &world.ask(world.get(path)).await);
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn every_form_of_a_path_is_served_and_no_other() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let get = |path: &str| world.ask(world.get(path).bearer_auth(&ana.token).header("x-api-version", "v9"));
    let me = get(ME).await;
    for (path, version) in [
        (ME, "v1"),
        ("/api/v2/users/me", "v2"),
        ("/api/users/me", "v1"),
        ("/users/me", "v1"),
        ("/api/v1/users/me/", "v1"),
        ("/users/me/", "v1"),
        ("/api/v2/usuario/me", "v2"),
        ("/usuario/me", "v1"),
        ("/api/usuario/me", "v1"),
        ("/auth/me", "v1"),
    ] {
        let answer = get(path).await;
        assert_eq!((answer.status, &answer.body), (200, &me.body), "{path}");
        assert_eq!(answer.header("x-api-version"), version, "{path}");
    }
    let mut story = Story::default();
    for path in ["/api/v3/users/me", "/api/v1", "/api/v2/nada?secreto=1", "/api/v1/usersfoo", "/nada"] {
        story.tell(path, &get(path).await);
    }
    assert_eq!(get("/api/v2/nada").await.header("x-api-version"), "v2");
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn other_methods_are_refused_and_named() {
    let world = World::start().await;
    let mut story = Story::default();
    for (method, path) in [
        (Method::HEAD, ME),
        (Method::PATCH, ME),
        (Method::OPTIONS, ME),
        (Method::GET, "/api/v1/auth/login"),
        (Method::POST, "/"),
        (Method::OPTIONS, "/health"),
        (Method::from_bytes(b"BREW").unwrap(), ME),
    ] {
        story.tell(&format!("{method} {path}"), &world.ask(world.request(method, path)).await);
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn pages_of_ours_may_read_everything_and_others_nothing() {
    let world = World::with(&["--rate-limits", "on", "--rate-limit", "general=2/86400"]).await;
    let preflight = |origin: &str, path: &str| {
        let asks = "authorization, content-type, x-request-id, x-request-time, x-correlation-id";
        world
            .request(Method::OPTIONS, path)
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", asks)
    };
    let allowed = world.ask(preflight(FRIEND, ME)).await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, FRIEND));
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    assert_eq!(allowed.header("access-control-allow-methods"), "GET, POST, PUT, DELETE, PATCH");
    for name in ["authorization", "content-type", "x-request-id", "x-request-time", "x-correlation-id"] {
        assert!(allowed.header("access-control-allow-headers").contains(name), "{name}");
    }
    let stranger = world.ask(preflight("https://evil.example", ME)).await;
    assert_eq!((stranger.status, stranger.header("access-control-allow-origin")), (400, ""));
    for origin in [
        FRIEND,
        "http://localhost:3001",
        "http://127.0.0.1:3000",
        "https://conectarprofesionales.com",
        "https://www.conectarprofesionales.com",
    ] {
        assert_eq!(world.ask(preflight(origin, ME)).await.status, 200, "{origin}");
    }

    // Answers of every kind: a refusal that a page may not read looks like a broken network.
    let missing = world.ask(world.get("/api/v1/nada").header("origin", FRIEND)).await;
    assert_eq!((missing.header("x-ratelimit-limit"), missing.header("x-ratelimit-remaining")), ("2", "1"));
    let refused = world.ask(world.get("/api/v1/admin/metrics/users").header("origin", FRIEND)).await;
    let limited = world.ask(world.get("/api/v1/admin/metrics/users").header("origin", FRIEND)).await;
    let version = world.ask(world.get("/api/v9/nada").header("origin", FRIEND)).await;
    let health = world.ask(world.get("/health").header("origin", FRIEND)).await;
    assert_eq!([refused.status, limited.status, missing.status, version.status], [401, 429, 404, 400]);
    for answer in [&refused, &limited, &missing, &version, &health] {
        assert_eq!(answer.header("access-control-allow-origin"), FRIEND, "{answer}");
        let exposed = answer.header("access-control-expose-headers").to_lowercase();
        for name in [
            "x-total-count",
            "x-page",
            "x-page-size",
            "x-api-version",
            "x-request-id",
            "x-correlation-id",
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "retry-after",
        ] {
            assert!(exposed.split(", ").any(|exposed| exposed == name), "{name} of {exposed}");
        }
    }
    let stranger = world.ask(world.get("/health").header("origin", "https://evil.example")).await;
    assert_eq!(stranger.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn every_answer_carries_its_names_and_its_guards() {
    let world = World::with(&["--trusted-proxies", "127.0.0.1"]).await;
    let named = |path: &str| world.get(path).header("x-request-id", "abc-1").header("x-correlation-id", "corr-1");
    for path in ["/", "/health", ME, "/api/v1/nada", "/api/v9/nada", "/uploads/avatars/nadie.jpg"] {
        let answer = world.ask(named(path)).await;
        for (name, value) in [
            ("x-request-id", "abc-1"),
            ("x-correlation-id", "corr-1"),
            ("x-api-version", "v1"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-xss-protection", "1; mode=block"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("permissions-policy", "geolocation=(self), payment=(self)"),
            ("strict-transport-security", ""),
            ("server", ""),
            ("x-powered-by", ""),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {path}");
        }
        if answer.status >= 400 {
            assert_eq!((&answer.body["request_id"], &answer.body["path"]), (&json!("abc-1"), &json!(path)));
        }
    }
    for insane in ["", "a b", &"x".repeat(129)] {
        let answer = world.ask(world.get(ME).header("x-request-id", insane)).await;
        assert_ne!(answer.header("x-request-id"), insane);
        assert_eq!(answer.header("x-correlation-id"), answer.header("x-request-id"));
    }
    let tls = world.ask(world.get("/").header("x-forwarded-proto", "https")).await;
    assert_eq!(tls.header("strict-transport-security"), "max-age=31536000; includeSubDomains");
}

#[tokio::test]
async fn calls_are_counted_per_class_and_the_excess_is_told_when_to_come_back() {
    let world =
        World::with(&["--rate-limits", "on", "--rate-limit", "general=3/86400,search=2/86400,email=3/86400"]).await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let sessions = || world.get("/api/v1/users/me/sessions").bearer_auth(&ana.token);
    let mut story = Story::default();
    let left = |answer: &Answer| {
        let header = |name| answer.header(name).parse::<u64>().unwrap();
        assert!(header("x-ratelimit-reset") > 1_700_000_000, "Unix seconds");
        (header("x-ratelimit-limit"), header("x-ratelimit-remaining"))
    };
    for remaining in [2, 1, 0] {
        let answer = world.ask(sessions()).await;
        assert_eq!((answer.status, left(&answer)), (200, (3, remaining)));
    }
    let excess = world.ask(sessions()).await;
    assert_eq!((left(&excess), excess.header("retry-after")), ((3, 0), &*excess.body["retry_after"].to_string()));
    story.tell("one too many", &excess);
    // Wrong calls count, each class counts for itself, and one's own account is never refused.
    assert_eq!(world.ask(world.get("/api/v1/users/search").bearer_auth(&ana.token)).await.status, 422);
    assert_eq!(world.ask(world.get("/api/v1/users/search?q=eva").bearer_auth(&ana.token)).await.status, 200);
    assert_eq!(world.ask(world.get("/api/v1/users/search?q=eva").bearer_auth(&ana.token)).await.status, 429);
    let me = world.ask(world.get(ME).bearer_auth(&ana.token)).await;
    assert_eq!((me.status, left(&me).0), (200, 300));
    // A mail costs more than a call.
    let forgot = || world.post("/api/v1/auth/forgot-password").json(&json!({}));
    for _ in 0..3 {
        assert_eq!(world.ask(forgot()).await.status, 422);
    }
    story.tell("a fourth mail", &world.ask(forgot()).await);
    for path in ["/users/me/avatar", "/users/me/change-password"] {
        let limit = left(&world.ask(world.post(path).bearer_auth(&ana.token)).await).0;
        assert_eq!(limit, if path.ends_with("avatar") { 30 } else { 10 }, "{path}");
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn without_redis_calls_are_served_and_an_ended_session_stays_ended() {
    let mut world = World::with(&["--rate-limits", "on"]).await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    world.redis.kill().await;
    let me = async || world.ask(world.get(ME).bearer_auth(&ana.token)).await.status;
    assert_eq!(me().await, 200);
    let keyed = world.request(Method::PUT, ME).bearer_auth(&ana.token).header("idempotency-key", "k1");
    assert_eq!(world.ask(keyed.json(&json!({ "nombre": "Anita" }))).await.status, 200);
    assert_eq!(world.ask(world.post("/api/v1/auth/logout").bearer_auth(&ana.token)).await.status, 200);
    testkit::eventually("the token is refused", async || me().await == 401).await;
    world.conectar_login("ana@example.com", PASSWORD).await;
}

#[tokio::test]
async fn a_write_with_a_key_happens_once() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let put = |key: &str, name: &str| {
        let request = world.request(Method::PUT, ME).bearer_auth(&ana.token).header("idempotency-key", key);
        world.ask(request.json(&json!({ "nombre": name })))
    };
    let first = put("k1", "Anita").await;
    story.tell("again", &put("k1", "Anita").await);
    assert_eq!(put("k1", "Anita").await.body, first.body);
    story.tell("with another body", &put("k1", "Eva").await);
    story.tell("a key too long", &put(&"k".repeat(256), "Eva").await);
    assert_eq!(world.ask(world.get(ME).bearer_auth(&ana.token)).await.body["nombre"], "Anita");
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn an_upload_that_stalled_may_be_sent_again_with_its_key() {
    let world = World::with(&["--body-pause-seconds", "1"]).await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let part = b"--x\r\ncontent-disposition: form-data; name=\"avatar\"; filename=\"a.txt\"\r\n\r\n".as_slice();
    let whole = [part, b"no picture", b"\r\n--x--\r\n"].concat();
    let send = |body: reqwest::Body| {
        let request = world.post("/api/v1/users/me/avatar").bearer_auth(&ana.token).header("idempotency-key", "k");
        let request = request.header("content-type", "multipart/form-data; boundary=x");
        world.ask(request.header("content-length", whole.len()).body(body))
    };
    let beginning = stream::iter([Ok::<_, Infallible>(part.to_vec())]);
    let stalled = send(reqwest::Body::wrap_stream(beginning.chain(stream::pending()))).await;
    assert_eq!(stalled.status, 408, "{stalled}");
    // Refused for what it is, and not for what came before.
    let again = send(whole.clone().into()).await;
    assert!(again.status != 408 && again.header("idempotency-replayed").is_empty(), "{again}");
}

#[tokio::test]
async fn broken_bodies_are_refused_in_words() {
    let world = World::start().await;
    let mut story = Story::default();
    let send = |kind: &str, body: Vec<u8>| {
        world.ask(world.post("/api/v1/auth/register").header("content-type", kind).body(body))
    };
    story.tell("no JSON", &send("application/json", b"hola".to_vec()).await);
    story.tell("no UTF-8", &send("application/json", b"{\"email\":\"\xff\"}".to_vec()).await);
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert_eq!(send("application/json", deep).await.status, 422);
    story.tell("XML", &send("application/xml", b"<a/>".to_vec()).await);
    story.tell("no multipart", &send("multipart/form-data", b"hola".to_vec()).await);
    story.tell("too much", &send("application/json", vec![b' '; (1 << 20) + 1]).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn long_answers_are_compressed_and_unchanged_ones_not_sent_again() {
    let world = World::start().await;
    for name in ["Ana", "Eva", "Leo", "Sol"] {
        world.conectar(name, &format!("{name}@example.com"), "CLIENTE").await;
    }
    let admin = world.admin().await;
    let list = |header: &'static str, value: String| {
        world.ask(world.get("/api/v1/admin/users").bearer_auth(&admin).header(header, value))
    };
    let plain = list("accept-encoding", "identity".to_owned()).await;
    assert!(plain.text.len() > 1000 && plain.header("content-encoding").is_empty());
    assert_eq!(list("accept-encoding", "gzip".to_owned()).await.header("content-encoding"), "gzip");
    assert!(plain.header("cache-control").contains("private"), "nobody between keeps it");
    let same = list("if-none-match", plain.header("etag").to_owned()).await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    let short = world.get("/api/v1/health/live").header("accept-encoding", "gzip");
    assert_eq!(world.ask(short).await.header("content-encoding"), "");
}

#[tokio::test]
async fn the_document_lists_every_route_and_the_viewer_needs_nothing_from_elsewhere() {
    let world = World::start().await;
    for path in ["/docs", "/api/v1/docs", "/api/v2/docs"] {
        let page = world.ask(world.get(path)).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert!(!page.text.contains("http://") && !page.text.contains("https://"));
        for part in page.text.split('"').filter(|part| part.starts_with("/docs/")) {
            assert_eq!(world.ask(world.get(part)).await.status, 200, "{part}");
        }
    }
    let document = world.ask(world.get("/openapi/conectar.json")).await.body;
    assert_eq!((&document["openapi"], &document["servers"][0]["url"]), (&json!("3.1.0"), &json!("/api/v1")));
    for (method, path) in Conectar::routes().list() {
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        assert!(operation["summary"].is_string(), "{method} {path}");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
        assert!(answers.contains_key("default") || path.starts_with("/health"), "{method} {path} cannot fail?");
        let names = operation["parameters"].as_array().into_iter().flatten();
        let names: Vec<&Value> = names.filter(|p| p["in"] == "path").map(|p| &p["name"]).collect();
        assert_eq!(names.len(), path.matches('{').count(), "{method} {path}");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for part in document.to_string().split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&schemas["UserRead"]).unwrap());
}
