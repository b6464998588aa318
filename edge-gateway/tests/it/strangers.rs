//! Which routes need somebody: all but those that are named here. To nobody, and to who shows a token that is none, they
//! say so before anything else.

use edge_gateway::agrovet::Agrovet;
use edge_gateway::conectar::Conectar;
use edge_gateway::dialect::Dialect;
use reqwest::Method;
use serde_json::json;

use crate::answer::Answer;
use crate::world::World;

/// What Agrovet answers to anybody. Of the forum also without `foro/`.
const AGROVETS: &[&str] = &[
    "GET /health",
    "GET /health/detailed",
    "GET /api",
    "POST /api/auth/register",
    "POST /api/auth/login",
    "POST /api/auth/refresh",
    "POST /api/auth/token/refresh",
    "POST /api/auth/refresh-token",
    "POST /api/auth/password-reset/request",
    "POST /api/auth/password-reset/request-phone",
    "POST /api/password-reset/request",
    "POST /api/password-reset/request-phone",
    "POST /api/auth/password-reset/verify",
    "POST /api/auth/password-reset/verify-phone",
    "POST /api/password-reset/verify",
    "POST /api/password-reset/verify-phone",
    "GET /api/media/{id}",
    "GET /api/adds",
    "GET /api/adds/nearby",
    "GET /api/adds/{id}",
    "GET /api/categories",
    "GET /api/categories/{id}",
    // Sockets refuse before the upgrade, with 403.
    "GET /ws/chat/{room_id}",
    "GET /ws/presence",
    "GET /api/foro/posts",
    "GET /api/foro/posts/by-community",
    "GET /api/foro/posts/{id}",
    "GET /api/foro/posts/{id}/comments",
    "GET /api/foro/comments",
    "GET /api/foro/comments/{id}",
    "GET /api/foro/reactions",
    "GET /api/foro/communities",
    "GET /api/foro/communities/{id}",
    "GET /api/foro/communities/{id}/log",
    "GET /api/foro/log",
];

/// What Conectar answers to anybody.
const CONECTARS: &[&str] = &[
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "POST /auth/register",
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/forgot-password",
    "POST /auth/reset-password",
    // Sockets close with 1008.
    "GET /ws/chat/{id}",
    // Functions have a key.
    "POST /webhook/chat/infraction",
];

/// What both have word for word. Below `/api` without a version it is Agrovet's.
const BOTHS: &[&str] = &["/api/auth/logout", "/api/auth/me"];

const MISSING: &str = "Las credenciales de autenticación no se proveyeron.";
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

/// A path of a route, with an id in place of each name.
pub(crate) fn path(route: &str, id: &str) -> String {
    route.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect::<Vec<_>>().join("/")
}

/// What nobody is answered, and who shows a token that is none.
async fn strangers(world: &World, method: &Method, path: &str) -> [Answer; 2] {
    let request = || match *method {
        Method::GET => world.request(Method::GET, path),
        ref method => world.request(method.clone(), path).json(&json!({})),
    };
    [world.ask(request()).await, world.ask(request().bearer_auth("rubbish")).await]
}

#[tokio::test]
async fn agrovet_needs_somebody_for_all_but_what_is_named() {
    let world = World::start().await;
    let routes = Agrovet::routes();
    let routes: Vec<_> = routes.list().map(|(method, path)| (method.clone(), path)).collect();
    for open in AGROVETS {
        assert!(routes.iter().any(|(method, path)| format!("{method} {path}") == *open), "{open} is no route");
    }
    for (method, route) in routes {
        let named = format!("{method} {route}");
        let open = AGROVETS.contains(&&*named) || AGROVETS.contains(&&*named.replacen("/api/", "/api/foro/", 1));
        let [nobody, rubbish] = strangers(&world, &method, &format!("{}/", path(route, "1"))).await;
        if open {
            assert!(nobody.status != 401 && rubbish.status != 401, "{named}: {nobody}, {rubbish}");
            continue;
        }
        let words = match route {
            "/api/adds/my_adds" | "/api/adds/following_adds" => ["No autenticado"; 2],
            _ => [MISSING, "Token inválido."],
        };
        for (answer, words) in [nobody, rubbish].into_iter().zip(words) {
            assert_eq!((answer.status, &answer.body), (401, &json!({ "detail": words })), "{named}");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{named}");
        }
    }
}

#[tokio::test]
async fn conectar_needs_somebody_under_every_prefix() {
    let world = World::start().await;
    let routes = Conectar::routes();
    let routes: Vec<_> = routes.list().map(|(method, path)| (method.clone(), path)).collect();
    for open in CONECTARS {
        assert!(routes.iter().any(|(method, path)| format!("{method} {path}") == *open), "{open} is no route");
    }
    let needy = routes.iter().filter(|(method, path)| !CONECTARS.contains(&&*format!("{method} {path}")));
    let needy: Vec<_> = needy.collect();
    for prefix in ["", "/api/v1", "/api/v2", "/api"] {
        for (method, route) in &needy {
            let path = format!("{prefix}{}", path(route, NOBODYS));
            let [nobody, rubbish] = strangers(&world, method, &path).await;
            if BOTHS.contains(&&*path) {
                assert_eq!((nobody.status, &nobody.body), (401, &json!({ "detail": MISSING })), "{method} {path}");
                continue;
            }
            let words = match *route {
                // Whoever asks about a token without having one asks about one that is none.
                "/auth/validate-token" => ["Token inválido o expirado"; 2],
                _ => ["Not authenticated", "Token inválido o expirado"],
            };
            for (answer, words) in [nobody, rubbish].into_iter().zip(words) {
                let body = &answer.body;
                assert_eq!((answer.status, &body["error_code"]), (401, &json!("HTTP_ERROR")), "{method} {path}");
                assert_eq!((&body["detail"], &body["path"]), (&json!(words), &json!(path)), "{method} {path}");
                assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path}");
            }
        }
    }
}
