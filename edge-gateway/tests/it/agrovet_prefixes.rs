//! Agrovet: the forum under both of its prefixes. `/api/posts/` is what `/api/foro/posts/` is, and so are the others.

use std::collections::BTreeSet;

use edge_gateway::agrovet::Agrovet;
use edge_gateway::dialect::Dialect;
use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{form, photo};
use crate::world::World;

/// A request below a prefix: the route, the id in its path, the query, and the body. Uploads have a picture instead.
struct Step(Method, &'static str, &'static str, &'static str, Value);

/// Every route that both prefixes have, in an order in which each succeeds. The ids are those of a new world.
fn steps() -> Vec<Step> {
    let nothing = || json!({});
    let text = |text: &str| json!({ "content": text });
    let post = |title: &str| json!({ "title": title, "content": "Texto" });
    let like = json!({ "type": "like", "content_type": "comment", "object_id": 1 });
    let bees = |name: &str| json!({ "name": name, "slug": "apicultura" });
    vec![
        Step(Method::GET, "posts", "", "", nothing()),
        Step(Method::POST, "posts", "", "", json!({ "title": "Otra", "content": "Texto", "community_id": 1 })),
        Step(Method::GET, "posts/feed", "", "page_size=1", nothing()),
        Step(Method::GET, "posts/by-community", "", "slug=general&page_size=1", nothing()),
        Step(Method::GET, "posts/relevant", "", "page_size=1", nothing()),
        Step(Method::GET, "posts/{id}", "1", "", nothing()),
        Step(Method::PUT, "posts/{id}", "2", "", post("Otra más")),
        Step(Method::PATCH, "posts/{id}", "2", "", json!({ "title": "La última" })),
        Step(Method::GET, "posts/{id}/comments", "1", "", nothing()),
        Step(Method::POST, "posts/{id}/react", "1", "", nothing()),
        Step(Method::GET, "comments", "", "post=1", nothing()),
        Step(Method::POST, "comments", "", "", json!({ "post": 1, "content": "Claro" })),
        Step(Method::GET, "comments/{id}", "2", "", nothing()),
        Step(Method::PUT, "comments/{id}", "2", "", text("Claro que sí")),
        Step(Method::PATCH, "comments/{id}", "2", "", text("Claro que no")),
        Step(Method::DELETE, "comments/{id}", "2", "", nothing()),
        Step(Method::POST, "reactions", "", "", like),
        Step(Method::GET, "reactions", "", "content_type=post&object_id=1", nothing()),
        Step(Method::DELETE, "reactions/{id}/remove", "2", "", nothing()),
        Step(Method::GET, "notifications", "", "", nothing()),
        Step(Method::POST, "notifications/mark_read", "", "", json!({ "ids": [1] })),
        Step(Method::GET, "notifications/unread_count", "", "", nothing()),
        Step(Method::GET, "notifications/{id}", "1", "", nothing()),
        Step(Method::DELETE, "notifications/{id}", "1", "", nothing()),
        Step(Method::GET, "communities", "", "page_size=1", nothing()),
        Step(Method::POST, "communities", "", "", bees("Apicultura")),
        Step(Method::GET, "communities/{id}", "5", "", nothing()),
        Step(Method::PUT, "communities/{id}", "5", "", bees("Abejas")),
        Step(Method::PATCH, "communities/{id}", "5", "", json!({ "description": "De abejas" })),
        Step(Method::POST, "communities/{id}/upload_cover", "5", "", Value::Null),
        Step(Method::POST, "communities/{id}/upload_avatar", "5", "", Value::Null),
        Step(Method::POST, "communities/{id}/leave", "1", "", nothing()),
        Step(Method::POST, "communities/{id}/join", "1", "", nothing()),
        Step(Method::DELETE, "communities/{id}", "5", "", nothing()),
        Step(Method::DELETE, "posts/{id}", "2", "", nothing()),
    ]
}

/// The answers to all of them, in a world where nothing else has happened.
async fn answers(prefix: &str) -> Vec<(String, String)> {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    world.joined(1, 3).await;
    let post = world.post_of(&ana, "Fiebre aftosa").await;
    world.comment_of(&beto, &post, None).await;
    let heart = json!({ "type": "heart", "content_type": "post", "object_id": post });
    assert_eq!(world.call(Method::POST, "/api/foro/reactions/", &beto.token, heart).await.status, 201);
    let mut answers = Vec::new();
    for Step(method, route, id, query, body) in steps() {
        let path = format!("{prefix}{}/?{query}", route.replace("{id}", id));
        let request = world.request(method.clone(), &path).bearer_auth(&ana.token);
        let request = match body {
            Value::Null => request.multipart(form("file", "panal.jpg", photo(1))),
            body => request.json(&body),
        };
        let answer = world.ask(request).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer}");
        // Links repeat the path that was asked.
        answers.push((format!("{method} {route}"), answer.to_string().replace("/api/foro/", "/api/")));
    }
    answers
}

#[tokio::test]
async fn the_forum_answers_the_same_under_both_prefixes() {
    let below = |prefix: &str| -> BTreeSet<String> {
        let routes = Agrovet::routes();
        let below = routes.list().filter_map(|(method, path)| Some(format!("{method} {}", path.strip_prefix(prefix)?)));
        below.collect()
    };
    let both: BTreeSet<_> = below("/api/foro/").intersection(&below("/api/")).cloned().collect();
    let asked: BTreeSet<_> = steps().iter().map(|Step(method, route, ..)| format!("{method} {route}")).collect();
    assert_eq!(asked, both, "a new alias has its line above");

    let (usual, short) = (answers("/api/foro/").await, answers("/api/").await);
    for ((asked, usual), (_, short)) in usual.into_iter().zip(short) {
        assert_eq!(short, usual, "{asked}");
    }
}
