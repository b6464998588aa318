//! Conectar: conversations over REST and sockets.

use std::collections::BTreeSet;

use edge_gateway::conectar::Conectar;
use edge_gateway::dialect::Dialect;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::sockets::Socket;
use crate::story::Story;
use crate::strangers::path;
use crate::world::{Person, World};

impl World {
    pub(crate) async fn client_and_professional(&self) -> (Person, Person) {
        let ana = self.conectar("Ana", "ana@example.com", "CLIENTE").await;
        let beto = self.conectar("Beto", "beto@example.com", "PROFESIONAL").await;
        (ana, beto)
    }

    pub(crate) async fn conversation(&self, client: &Person, professional: &Person) -> String {
        let form = json!({ "profesional_id": professional.id });
        let answer = self.call(Method::POST, "/api/v1/chat/conversations", &client.token, form).await;
        answer.body["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

#[tokio::test]
async fn conversations_have_many_routes() {
    let world = World::start().await;
    let (ana, beto) = world.client_and_professional().await;
    let mut story = Story::default();
    let post = |path: &str, person: &Person, body: Value| {
        let (world, path, token) = (&world, format!("/api/v1{path}"), person.token.clone());
        async move { world.call(Method::POST, &path, &token, body).await }
    };
    let get = |path: &str, person: &Person| {
        let (world, path, token) = (&world, format!("/api/v1{path}"), person.token.clone());
        async move { world.read(&path, &token).await }
    };
    story.tell("POST", &post("/chat/conversations", &ana, json!({ "profesional_id": beto.id })).await);
    let again = post("/chat/conversations", &beto, json!({ "cliente_id": ana.id })).await;
    let id = again.body["id"].as_str().expect("an id").to_owned();
    story.tell("POST by the other one", &again);
    story.tell("POST with nobody", &post("/chat/conversations", &ana, json!({})).await);
    story.tell("POST with oneself", &post("/chats", &ana, json!({ "other_user_id": ana.id })).await);
    let nobody = json!({ "other_user_id": "00000000-0000-0000-0000-000000000007" });
    story.tell("POST with somebody unknown", &post("/chat/conversations", &ana, nobody).await);
    let first = json!({ "profesional_id": beto.id, "trabajo_id": "t-1", "mensaje_inicial": "Buenas" });
    story.tell("POST create", &post("/chat/create", &ana, first.clone()).await);
    story.tell("POST create again", &post("/chat/create", &ana, first).await);
    let by_client = json!({ "profesional_id": beto.id, "mensaje_inicial": "Hola" });
    let created = post("/cliente/chat/create", &ana, by_client).await;
    assert_eq!((created.status, &created.body), (201, &json!({ "chat_id": id })));

    let path = format!("/chat/{id}/messages");
    let sent = post(&path, &ana, json!({ "content": "¿Cuándo?", "type": "text" })).await;
    story.tell("POST a message", &sent);
    story.tell("POST an empty message", &post(&path, &ana, json!({ "content": "" })).await);
    story.tell("POST nothing", &post(&path, &ana, json!({})).await);
    story.tell("POST a message that is too long", &post(&path, &ana, json!({ "text": "x".repeat(2001) })).await);
    assert_eq!(post(&format!("/chat/{id}/message"), &beto, json!({ "text": "Mañana" })).await.status, 201);
    let addressed = json!({ "chat_id": id, "text": "A las 8" });
    assert_eq!(post("/chat/send-message", &beto, addressed).await.status, 200);

    story.tell("GET messages", &get(&path, &ana).await);
    for alias in [format!("/chat/messages/{id}"), format!("/chats/{id}/messages")] {
        assert_eq!(get(&alias, &ana).await.body.as_array().map(Vec::len), Some(4), "{alias}");
    }
    let two = get(&format!("{path}?limit=2"), &ana).await;
    let texts: Vec<_> = two.body.as_array().into_iter().flatten().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["Mañana", "A las 8"]);
    assert_eq!(get(&format!("{path}?before=1000"), &ana).await.body, json!([]));
    story.tell("GET messages with a wrong limit", &get(&format!("{path}?limit=101"), &ana).await);

    story.tell("GET conversations", &get("/chat/conversations", &ana).await);
    for alias in ["/chat/my-chats", "/chats"] {
        assert_eq!(get(alias, &ana).await.body.as_array().map(Vec::len), Some(2), "{alias}");
    }
    assert_eq!(get("/chat/list", &ana).await.body["total_unread"], json!(2));
    assert_eq!(get("/chat/unread-count", &ana).await.body, json!({ "unread_count": 2 }));
    assert_eq!(post(&format!("/chat/mark-read/{id}"), &ana, json!({})).await.body, json!({ "success": true }));
    assert_eq!(get("/chat/unread-count", &ana).await.body, json!({ "unread_count": 0 }));

    let message = format!("/api/v1/chat/messages/{}", sent.body["id"].as_str().expect("an id"));
    let change = world.call(Method::PATCH, &message, &ana.token, json!({ "content": "¿Qué día?" })).await;
    assert_eq!((change.status, &change.body["text"]), (200, &json!("¿Qué día?")));
    story.tell("PATCH of another's", &world.call(Method::PATCH, &message, &beto.token, json!({ "text": "x" })).await);
    assert_eq!(world.call(Method::DELETE, &message, &ana.token, json!({})).await.status, 204);
    story
        .tell("PATCH of a deleted one", &world.call(Method::PATCH, &message, &ana.token, json!({ "text": "x" })).await);

    let caro = world.conectar("Caro", "caro@example.com", "CLIENTE").await;
    story.tell("GET by a stranger", &get(&path, &caro).await);
    story.tell("POST by a stranger", &post(&path, &caro, json!({ "text": "x" })).await);
    story.tell("GET of none", &get("/chat/00000000-0000-0000-0000-000000000007/messages", &ana).await);
    story.tell("GET of one of Firestore's", &get("/chat/-OxY3toro/messages", &ana).await);
    assert_eq!(post("/chat/mark-read/-OxY3toro", &ana, json!({})).await.status, 404);
    for (method, body) in [(Method::PATCH, json!({ "text": "x" })), (Method::DELETE, json!({}))] {
        let answer = world.call(method, "/api/v1/chat/messages/-OxY3toro", &ana.token, body).await;
        assert_eq!((answer.status, &answer.body["detail"]), (404, &json!("Mensaje no encontrado")));
    }
    let tells = json!({ "profesional_id": beto.id, "trabajo_id": "llamame al 11 5550 1425" });
    let told = post("/chat/conversations", &ana, tells).await;
    assert_eq!((told.status, &told.body["errors"][0]["field"]), (422, &json!("body.trabajo_id")), "{told}");
    story.tell("GET by nobody", &world.ask(world.get("/api/v1/chat/conversations")).await);
    // Agrovet's rooms are none of these, nor the other way round.
    assert_eq!(world.read("/api/chat/rooms/", &ana.token).await.body["count"], json!(0));
    insta::assert_snapshot!(story);
}

/// Every route of conversations with the id in its path and the body, in an order in which each succeeds.
fn steps(other: &Value, room: &str, message: &str) -> Vec<(Method, &'static str, String, Value)> {
    let (open, said) = (json!({ "other_user_id": other }), json!({ "content": "Hola" }));
    let addressed = json!({ "chat_id": room, "content": "Hola" });
    let steps = [
        (Method::POST, "/chat/conversations", "", open.clone()),
        (Method::POST, "/chats", "", open.clone()),
        (Method::POST, "/chat/create", "", open.clone()),
        (Method::POST, "/cliente/chat/create", "", open),
        (Method::POST, "/chat/{id}/messages", room, said.clone()),
        (Method::POST, "/chats/{id}/messages", room, said.clone()),
        (Method::POST, "/chat/{id}/message", room, said),
        (Method::POST, "/chat/send-message", "", addressed),
        (Method::PUT, "/chat/moderation/{message_id}", message, json!({ "estado": "APROBADO" })),
        (Method::PATCH, "/chat/messages/{id}", message, json!({ "content": "Buenas" })),
        (Method::DELETE, "/chat/messages/{id}", message, json!({})),
        (Method::POST, "/chat/mark-read/{id}", room, json!({})),
        (Method::GET, "/chat/unread-count", "", json!({})),
        (Method::GET, "/chat/conversations", "", json!({})),
        (Method::GET, "/chat/my-chats", "", json!({})),
        (Method::GET, "/chats", "", json!({})),
        (Method::GET, "/chat/list", "", json!({})),
        (Method::GET, "/chat/{id}/messages", room, json!({})),
        (Method::GET, "/chat/messages/{id}", room, json!({})),
        (Method::GET, "/chats/{id}/messages", room, json!({})),
    ];
    steps.map(|(method, route, id, body)| (method, route, path(route, id), body)).into()
}

/// What an answer is made of: its names, and the kinds of what they stand for. Of a list the first one speaks.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().take(1).map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("boolean"),
        Value::Null => Value::Null,
    }
}

#[tokio::test]
async fn every_route_of_conversations_is_served_under_every_prefix() {
    let routes = Conectar::routes();
    let chats = |path: &str| path.starts_with("/chat") || path.starts_with("/cliente/chat");
    let routes: BTreeSet<_> =
        routes.list().filter(|(_, path)| chats(path)).map(|(method, path)| format!("{method} {path}")).collect();
    let asked = steps(&Value::Null, "", "");
    let asked: BTreeSet<_> = asked.iter().map(|(method, route, ..)| format!("{method} {route}")).collect();
    assert_eq!(asked, routes, "a new route has its line above");

    let world = World::start().await;
    let (ana, beto) = world.client_and_professional().await;
    let admin = world.admin().await;
    let room = world.conversation(&ana, &beto).await;
    let mut usual = Vec::new();
    for (prefix, version) in [("/api/v1", "v1"), ("/api/v2", "v2"), ("/api", "v1"), ("", "v1")] {
        let said = json!({ "content": "Para cambiar y borrar" });
        let sent = world.call(Method::POST, &format!("/api/v1/chat/{room}/messages"), &ana.token, said).await;
        let message = sent.body["id"].as_str().expect("an id");
        for (n, (method, route, path, body)) in steps(&beto.id, &room, message).into_iter().enumerate() {
            let path = format!("{prefix}{path}");
            let token = if route.contains("moderation") { &admin } else { &ana.token };
            let answer = world.call(method.clone(), &path, token, body).await;
            assert!((200..300).contains(&answer.status), "{method} {path}: {answer}");
            assert_eq!(answer.header("x-api-version"), version, "{method} {path}");
            let seen = (answer.status, shape(&answer.body));
            // The first prefix is the usual one.
            if usual.len() == n {
                usual.push(seen.clone());
            }
            assert_eq!(seen, usual[n], "{method} {path}");
        }
    }
}

#[tokio::test]
async fn whoever_is_not_let_in_is_closed_with_1008() {
    let world = World::start().await;
    let (ana, beto) = world.client_and_professional().await;
    let caro = world.conectar("Caro", "caro@example.com", "CLIENTE").await;
    let id = world.conversation(&ana, &beto).await;
    for prefix in ["", "/api/v1", "/api/v2", "/api"] {
        let path = format!("{prefix}/ws/chat/{id}");
        for token in ["", "rubbish", &caro.token] {
            assert_eq!(world.socket(&path, token).await.closed().await, 1008, "{path}");
        }
        let evil = Socket::open(&world.base, &path, &ana.token, Some("https://evil.example")).await;
        assert_eq!(evil.expect("it is upgraded").closed().await, 1008);
        let mut socket = world.socket(&path, &ana.token).await;
        assert_eq!(socket.next().await["type"], "live");
    }
    let nowhere = "/ws/chat/00000000-0000-0000-0000-000000000007";
    assert_eq!(world.socket(nowhere, &ana.token).await.closed().await, 1008);
    let plain = world.ask(world.get(&format!("/ws/chat/{id}?token={}", ana.token))).await;
    assert_eq!((plain.status, &plain.body["error_code"]), (426, &json!("UPGRADE_REQUIRED")));
}

#[tokio::test]
async fn a_client_and_a_professional_talk() {
    let world = World::start().await;
    let (ana, beto) = world.client_and_professional().await;
    let id = world.conversation(&ana, &beto).await;
    let path = format!("/ws/chat/{id}");
    let (mut client, mut tab) = (world.socket(&path, &ana.token).await, world.socket(&path, &ana.token).await);
    client.until("live").await;
    tab.until("live").await;
    let mut professional = world.socket(&path, &beto.token).await;
    assert_eq!(client.until("user_connected").await["user_id"], beto.id);

    client.say(json!({ "type": "message", "content": "Hola" })).await;
    let told = professional.until("new_message").await;
    assert_eq!((&told["content"], &told["user_id"], &told["chat_id"]), (&json!("Hola"), &ana.id, &json!(id)));
    let mut keys: Vec<_> = told.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "censored",
            "change",
            "chat_id",
            "client_msg_id",
            "content",
            "deleted",
            "media_id",
            "message_id",
            "message_type",
            "reply_to",
            "sequence",
            "timestamp",
            "type",
            "user_id"
        ]
    );
    for socket in [&mut client, &mut tab] {
        assert_eq!(socket.until("new_message").await["message_id"], told["message_id"]);
    }
    assert_eq!(client.until("message_delivered").await["message_id"], told["message_id"]);
    professional.say(json!({ "type": "typing", "is_typing": true })).await;
    let typing = client.until("typing_indicator").await;
    assert_eq!((&typing["user_id"], &typing["is_typing"]), (&beto.id, &json!(true)));
    professional.say(json!({ "type": "read", "message_id": told["message_id"] })).await;
    let read = client.until("message_read").await;
    assert_eq!((&read["user_id"], &read["message_id"]), (&beto.id, &told["message_id"]));
    client.say(json!({ "type": "edit", "message_id": told["message_id"], "content": "Buenas" })).await;
    assert_eq!(professional.until("message_edited").await["content"], "Buenas");
    client.say(json!({ "type": "delete", "message_id": told["message_id"] })).await;
    assert_eq!(professional.until("message_deleted").await["message_id"], told["message_id"]);

    let large = json!({ "type": "message", "content": "x".repeat(17 << 10) }).to_string();
    for (message, code) in [
        (Message::text("{"), "BAD_FRAME"),
        (Message::text(""), "BAD_FRAME"),
        (Message::binary(vec![0]), "BAD_FRAME"),
        (Message::text(json!({ "type": "message" }).to_string()), "BAD_FRAME"),
        (Message::text(large), "TOO_LARGE"),
    ] {
        client.send(message).await;
        let error = client.until("error").await;
        assert_eq!((&error["code"], error["message"].is_string()), (&json!(code), true));
    }
    client.say(json!({ "type": "dance" })).await;
    client.say(json!({ "type": "ping" })).await;
    assert_eq!(client.next().await, json!({ "type": "pong" }));

    // With one tab left one is still there.
    drop(tab);
    drop(client);
    assert_eq!(professional.until("user_disconnected").await["user_id"], ana.id);
    // Over REST it is the same.
    let form = json!({ "content": "Por REST" });
    world.call(Method::POST, &format!("/api/v1/chat/{id}/messages"), &ana.token, form).await;
    assert_eq!(professional.until("new_message").await["content"], "Por REST");
    // And who comes back continues.
    let mut back = world.socket(&format!("{path}?after=1"), &ana.token).await;
    // First who has and has read what, told again; then what became of messages that one has, then those one has not.
    back.until("message_deleted").await;
    assert_eq!(back.next().await["content"], "Por REST");
    assert_eq!(back.next().await["type"], "live");
}
