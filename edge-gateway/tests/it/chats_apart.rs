//! Both frontends chat in one set of rooms, and neither is shown the other's: what is asked about one of those is answered
//! like what is asked about a room that never was.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::sockets::Socket;
use crate::world::{Person, World};

/// Of a room or a message that never was.
const NOTHING: &str = "98765";
const NOWHERE: &str = "00000000-0000-0000-0000-000000000007";

impl World {
    /// The number that Agrovet knows somebody by.
    async fn number(&self, person: &Person) -> Value {
        self.read("/api/auth/users/me/", &person.token).await.body["id"].clone()
    }

    /// The UUIDs that Conectar would know a room and its first message by.
    async fn uuids(&self, room: i64) -> (String, String) {
        let mut chat = PgConnection::connect(&self.databases["chat"].url).await.expect("the database answers");
        let found = "select r.id::text, m.id::text from rooms r join messages m on m.room_id = r.id
                     where r.number = $1 and m.sequence = 1";
        sqlx::query_as(found).bind(room).fetch_one(&mut chat).await.expect("it is there")
    }
}

#[tokio::test]
async fn deals_do_not_exist_in_agrovet() {
    let world = World::start().await;
    let (ana, beto) = world.client_and_professional().await;
    let conversation = world.conversation(&ana, &beto).await;
    let talk = format!("/api/v1/chat/{conversation}/messages");
    let say = async |person: &Person, text: &str| {
        let sent = world.call(Method::POST, &talk, &person.token, json!({ "content": text })).await;
        assert_eq!(sent.status, 200, "{sent}");
    };
    say(&ana, "un secreto").await;
    let [me, other] = [world.number(&ana).await, world.number(&beto).await];
    let pair = {
        let form = json!({ "participants_ids": [me, other] });
        let opened = world.call(Method::POST, "/api/chat/rooms/", &ana.token, form).await;
        opened.body["id"].as_i64().unwrap_or_else(|| panic!("{opened}"))
    };
    let (staff, _) = world.staff().await;

    // The deal is the first room, and what was said in it the first message.
    let calls = |id: &str| {
        let number: i64 = id.parse().expect("a number");
        let rooms = format!("/api/chat/rooms/{id}/");
        let messages = format!("/api/chat/messages/{id}/");
        vec![
            (Method::GET, rooms.clone(), json!({})),
            (Method::PATCH, rooms.clone(), json!({ "name": "x" })),
            (Method::PUT, rooms.clone(), json!({ "is_private": true })),
            (Method::PATCH, rooms.clone(), json!({ "participants_ids": [me] })),
            (Method::DELETE, rooms.clone(), json!({})),
            (Method::GET, format!("{rooms}messages/"), json!({})),
            (Method::GET, format!("{rooms}messages/?page=last"), json!({})),
            (Method::GET, format!("/api/chat/rooms/{pair}/messages/?before={id}"), json!({})),
            (Method::PUT, format!("{rooms}admins/"), json!({ "user_id": me, "admin": true })),
            (Method::POST, format!("{rooms}mute/"), json!({})),
            (Method::POST, format!("{rooms}unmute/"), json!({})),
            (Method::POST, format!("{rooms}archive/"), json!({})),
            (Method::POST, format!("{rooms}unarchive/"), json!({})),
            (Method::GET, format!("/api/chat/messages/?room={id}"), json!({})),
            (Method::GET, format!("/api/chat/messages/last_messages/?room={id}"), json!({})),
            (Method::GET, format!("/api/chat/messages/search/?q=secreto&room={id}"), json!({})),
            (Method::POST, "/api/chat/messages/mark_read/".to_owned(), json!({ "room": number })),
            (Method::POST, "/api/chat/messages/".to_owned(), json!({ "room": number, "content": "x" })),
            (Method::GET, messages.clone(), json!({})),
            (Method::PATCH, messages.clone(), json!({ "content": "x" })),
            (Method::PUT, messages.clone(), json!({})),
            (Method::DELETE, messages.clone(), json!({})),
            (Method::GET, format!("{messages}receipts/"), json!({})),
            (Method::GET, format!("{messages}versions/"), json!({})),
        ]
    };
    for token in [&ana.token, &staff] {
        for ((method, path, body), (_, unknown, nothing)) in calls("1").into_iter().zip(calls(NOTHING)) {
            let answer = world.call(method.clone(), &path, token, body).await;
            let expected = world.call(method.clone(), &unknown, token, nothing).await;
            let text = expected.text.replace(NOTHING, "1");
            assert_eq!((answer.status, &answer.text), (expected.status, &text), "{method} {path}");
            assert!(!answer.text.contains("secreto") && answer.status != 204, "{method} {path}: {answer}");
        }
    }
    assert_eq!(world.refused("/ws/chat/1/", &ana.token).await, world.refused("/ws/chat/98765/", &ana.token).await);

    for path in ["/api/chat/messages/", "/api/chat/messages/search/?q=secreto"] {
        assert_eq!(world.read(path, &beto.token).await.body["results"], json!([]), "{path}");
    }
    assert_eq!(world.read("/api/chat/unread_count/", &beto.token).await.body, json!({ "unread": 0, "rooms": 0 }));

    // Nor do they on sockets.
    let mut inbox = world.socket("/ws/presence/?messages=true", &beto.token).await;
    let mut room = world.live(pair, &ana).await;
    room.say(json!({ "type": "edit_message", "message_id": 1, "text": "x" })).await;
    assert_eq!(room.until("error").await["code"], "message_not_found");
    inbox.say(json!({ "type": "mark_read", "room_id": 1 })).await;
    assert_eq!(inbox.until("error").await["code"], "room_not_found");
    say(&ana, "otro secreto").await;
    world.says(&ana, pair, "en Agrovet").await;
    assert_eq!(inbox.until("chat_message").await["text"], "en Agrovet");
    let heard = room.until("message_delivered").await;
    assert_eq!(heard["room_id"], json!(pair.to_string()));

    // And where they are, nothing has happened to them.
    let talked = world.read(&talk, &beto.token).await;
    let texts: Vec<_> = talked.body.as_array().into_iter().flatten().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["un secreto", "otro secreto"]);
    assert_eq!(world.read("/api/v1/chat/unread-count", &beto.token).await.body, json!({ "unread_count": 2 }));
}

#[tokio::test]
async fn agrovets_contacts_are_not_those_of_deals() {
    let world = World::start().await;
    let (ana, beto) = world.client_and_professional().await;
    world.conversation(&ana, &beto).await;
    let me = world.number(&ana).await;
    let mut here = world.socket("/ws/presence/", &ana.token).await;
    let _there = world.socket("/ws/presence/", &beto.token).await;
    let presence = world.read("/api/chat/presence/", &ana.token).await;
    assert_eq!(presence.body, json!([{ "user_id": me, "online": true, "last_seen": null }]));
    here.say(json!({ "type": "get_online_users" })).await;
    assert_eq!(here.next().await, json!({ "type": "online_users_list", "users": [me] }));
}

#[tokio::test]
async fn agrovets_rooms_do_not_exist_in_conectar() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let group = world.group_of(&ana, &[&beto]).await.as_i64().expect("a number");
    for number in [room, group] {
        world.says(&ana, number, "un secreto").await;
        let (id, message) = world.uuids(number).await;
        let calls = |room: &str, message: &str| {
            let messages = format!("/api/v1/chat/messages/{message}");
            vec![
                (Method::GET, format!("/api/v1/chat/{room}/messages"), json!({})),
                (Method::POST, format!("/api/v1/chat/{room}/messages"), json!({ "content": "x" })),
                (Method::POST, format!("/api/v1/chat/{room}/message"), json!({ "content": "x" })),
                (Method::POST, "/api/v1/chat/send-message".to_owned(), json!({ "chat_id": room, "content": "x" })),
                (Method::POST, format!("/api/v1/chat/mark-read/{room}"), json!({})),
                (Method::PATCH, messages.clone(), json!({ "content": "x" })),
                (Method::DELETE, messages, json!({})),
            ]
        };
        for ((method, path, body), (_, unknown, nothing)) in
            calls(&id, &message).into_iter().zip(calls(NOWHERE, NOWHERE))
        {
            let answer = world.call(method.clone(), &path, &ana.token, body).await;
            let expected = world.call(method.clone(), &unknown, &ana.token, nothing).await;
            assert_eq!((answer.status, answer.to_string()), (404, expected.to_string()), "{method} {path}");
        }
        let socket = Socket::open(&world.base, &format!("/ws/chat/{id}"), &ana.token, None).await;
        assert_eq!(socket.expect("it is upgraded").closed().await, 1008);
    }
    for path in ["/api/v1/chat/conversations", "/api/v1/chats"] {
        assert_eq!(world.read(path, &beto.token).await.body, json!([]), "{path}");
    }
    assert_eq!(world.read("/api/v1/chat/unread-count", &beto.token).await.body, json!({ "unread_count": 0 }));
    let said = world.read("/api/chat/messages/", &beto.token).await;
    assert_eq!((&said.body["count"], &said.body["results"][0]["content"]), (&json!(2), &json!("un secreto")));
}
