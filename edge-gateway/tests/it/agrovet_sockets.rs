//! Agrovet: sockets of rooms and of presence. The frames themselves have tests of their own beside the code; here is
//! what two people see of each other.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio_tungstenite::tungstenite::Message;

use crate::sockets::{Refused, Socket};
use crate::world::{Person, World};

impl World {
    /// The room of two people.
    pub(crate) async fn room_of(&self, one: &Person, other: &Person) -> i64 {
        let form = json!({ "participants_ids": [one.id, other.id] });
        let answer = self.call(Method::POST, "/api/chat/rooms/", &one.token, form).await;
        answer.body["id"].as_i64().unwrap_or_else(|| panic!("{answer}"))
    }

    /// A group of somebody's.
    pub(crate) async fn group_of(&self, owner: &Person, others: &[&Person]) -> Value {
        let others: Vec<_> = others.iter().map(|person| &person.id).collect();
        let form = json!({ "name": "Toros", "is_private": false, "participants_ids": others });
        let answer = self.call(Method::POST, "/api/chat/rooms/", &owner.token, form).await;
        assert_eq!(answer.status, 201, "{answer}");
        answer.body["id"].clone()
    }

    pub(crate) async fn says(&self, person: &Person, room: i64, text: &str) -> Value {
        let form = json!({ "room": room, "content": text });
        let answer = self.call(Method::POST, "/api/chat/messages/", &person.token, form).await;
        assert_eq!(answer.status, 201, "{answer}");
        answer.body
    }

    /// What a replica of `chat` stores that nobody hears of.
    async fn stored(&self, room: i64, text: &str) {
        let mut chat = PgConnection::connect(&self.databases["chat"].url).await.expect("the database answers");
        let insert = "with place as (
                 update rooms set last_sequence = last_sequence + 1, last_change = last_change + 1
                 where number = $1 returning id, last_sequence, last_change
             )
             insert into messages (id, room_id, sequence, sent_change, change, sender_id, sender_number, kind, text,
                 created_at)
             select gen_random_uuid(), p.id, p.last_sequence, p.last_change, p.last_change, m.user_id, m.user_number,
                 'TEXT', $2, now()
             from place p join members m on m.room_id = p.id order by m.position limit 1";
        sqlx::query(insert).bind(room).bind(text).execute(&mut chat).await.expect("it is stored");
    }

    pub(crate) async fn two(&self) -> (Person, Person, i64) {
        let ana = self.agrovet("Ana", "59170000001", "consumer").await;
        let beto = self.agrovet("Beto", "59170000002", "consumer").await;
        let room = self.room_of(&ana, &beto).await;
        (ana, beto, room)
    }

    /// A socket of a room that is told everything from now on.
    pub(crate) async fn live(&self, room: i64, person: &Person) -> Socket {
        let mut socket = self.socket(&format!("/ws/chat/{room}/"), &person.token).await;
        assert_eq!(socket.next().await["type"], "live");
        socket
    }
}

#[tokio::test]
async fn who_may_not_come_in_learns_it_before_the_upgrade() {
    let world = World::start().await;
    let (ana, _, room) = world.two().await;
    let caro = world.agrovet("Caro", "59170000003", "consumer").await;
    let path = format!("/ws/chat/{room}/");
    let detail = |status, text: &str| Refused(status, json!({ "detail": text }));
    for (path, token, expected) in [
        (path.as_str(), "", detail(403, "Las credenciales de autenticación no se proveyeron.")),
        (path.as_str(), "rubbish", detail(403, "Token inválido.")),
        (path.as_str(), caro.token.as_str(), detail(403, "No eres participante de esta sala.")),
        ("/ws/chat/99/", ana.token.as_str(), detail(404, "No ChatRoom matches the given query.")),
        ("/ws/chat/toro/", ana.token.as_str(), detail(404, "No encontrado.")),
        ("/ws/dance/", ana.token.as_str(), detail(404, "No encontrado.")),
        ("/ws/presence/", "rubbish", detail(403, "Token inválido.")),
    ] {
        assert_eq!(world.refused(path, token).await, expected, "{path}");
    }
    let plain = world.ask(world.get(&format!("{path}?token={}", ana.token))).await;
    assert_eq!((plain.status, &plain.body["detail"]), (426, &json!("Se requiere una conexión WebSocket.")));

    let from = async |origin: &str| Socket::open(&world.base, &path, &ana.token, Some(origin)).await.map(drop);
    assert_eq!(from("https://evil.example").await, Err(detail(403, "Origen no permitido.")));
    assert_eq!(from("http://localhost:5173").await, Ok(()));
    assert_eq!(from(&world.base).await, Ok(()), "a page of the edge's own");
    // The token under its other name, and the path without a slash.
    let query = format!("/ws/chat/{room}?access_token={}", ana.token);
    assert!(Socket::open(&world.base, &query, "", None).await.is_ok());
}

#[tokio::test]
async fn two_people_hear_each_other_on_every_screen() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let (mut desk, mut phone) = (world.live(room, &ana).await, world.live(room, &ana).await);
    let mut other = world.live(room, &beto).await;

    desk.say(json!({ "type": "chat_message", "text": "Hola", "client_msg_id": 7 })).await;
    let echo = desk.until("chat_message").await;
    assert_eq!((&echo["text"], &echo["client_msg_id"], &echo["username"]), (&json!("Hola"), &json!(7), &json!("Ana")));
    assert_eq!((&echo["room_id"], &echo["sender_id"]), (&json!(room.to_string()), &ana.id));
    for socket in [&mut phone, &mut other] {
        assert_eq!(socket.until("chat_message").await["message_id"], echo["message_id"]);
    }
    let delivered = desk.until("message_delivered").await;
    assert_eq!((&delivered["message_id"], &delivered["user_id"]), (&echo["message_id"], &beto.id));

    // A message without a name has none on any screen.
    desk.say(json!({ "content": "Sin nombre" })).await;
    assert_eq!(other.until("chat_message").await["client_msg_id"], Value::Null);
    // The same name again is the same message, told again to who repeats it.
    desk.until("chat_message").await;
    desk.say(json!({ "type": "chat_message", "text": "Hola", "client_msg_id": 7 })).await;
    assert_eq!(desk.until("chat_message").await["message_id"], echo["message_id"]);

    other.say(json!({ "type": "typing" })).await;
    assert_eq!(
        desk.until("typing").await,
        json!({ "type": "typing", "user_id": beto.id, "room_id": room.to_string(), "is_typing": true })
    );
    other.say(json!({ "type": "mark_read" })).await;
    for socket in [&mut desk, &mut phone, &mut other] {
        let read = socket.until("messages_read").await;
        assert_eq!((&read["message_ids"], &read["user_id"]), (&json!([1, 2]), &beto.id));
    }
    desk.say(json!({ "type": "edit_message", "message_id": 1, "text": "Hola a todos" })).await;
    let edited = other.until("message_edited").await;
    assert_eq!((&edited["message_id"], &edited["text"]), (&json!(1), &json!("Hola a todos")));
    desk.say(json!({ "type": "delete_message", "message_id": 2 })).await;
    assert_eq!(other.until("message_deleted").await["message_id"], json!(2));
    other.say(json!({ "type": "chat_message", "text": "Buenas", "reply_to": 1 })).await;
    assert_eq!(phone.until("chat_message").await["reply_to"], json!(1));
    other.until("chat_message").await;

    // Over REST it is the same frame.
    let sent = world.says(&ana, room, "Por REST").await;
    let mut told = other.until("chat_message").await;
    told["type"] = json!("chat.message");
    assert_eq!(told["receipts"].as_array().map(Vec::len), Some(1));
    (told["receipts"], told["change"]) = (sent["receipts"].clone(), sent["change"].clone());
    assert_eq!(told, sent);
}

#[tokio::test]
async fn no_input_closes_a_socket() {
    let world = World::start().await;
    let (ana, _, room) = world.two().await;
    let mut socket = world.live(room, &ana).await;
    let large = json!({ "type": "chat_message", "text": "x".repeat(70 << 10) }).to_string();
    for (message, code) in [
        (Message::binary(vec![0, 159, 146, 150]), "bad_frame"),
        (Message::text(""), "bad_frame"),
        (Message::text("{"), "bad_frame"),
        (Message::text("[1, 2]"), "bad_frame"),
        (Message::text("7"), "bad_frame"),
        (Message::text(large), "too_large"),
        (Message::text(json!({ "type": "chat_message", "text": "x".repeat(8001) }).to_string()), "too_large"),
        (Message::text(json!({ "type": "chat_message", "text": " " }).to_string()), "empty_message"),
        (Message::text(json!({ "type": "chat_message", "text": "a", "room_id": 99 }).to_string()), "bad_frame"),
        (Message::text(json!({ "type": "chat_message", "text": "a", "media_id": 99 }).to_string()), "invalid_media"),
        (Message::text(json!({ "type": "chat_message", "text": "a", "media_id": "x" }).to_string()), "bad_frame"),
        (Message::text(json!({ "type": "chat_message", "text": "a", "reply_to": 9 }).to_string()), "reply_not_found"),
        (
            Message::text(json!({ "type": "edit_message", "message_id": 9, "text": "a" }).to_string()),
            "message_not_found",
        ),
        (Message::text(json!({ "type": "delete_message" }).to_string()), "bad_frame"),
    ] {
        socket.send(message.clone()).await;
        let error = socket.until("error").await;
        assert_eq!(error["code"], code, "{message:.80}");
    }
    let named = json!({ "type": "chat_message", "text": " ", "client_msg_id": "c9" });
    socket.say(named).await;
    assert_eq!(socket.until("error").await["client_msg_id"], "c9");
    // What nobody knows is left out in silence.
    for frame in [json!({}), json!({ "type": "preview", "previewUrl": "x" }), json!({ "type": 7 })] {
        socket.say(frame).await;
    }
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn who_comes_back_hears_what_they_missed_and_nothing_twice() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    for n in 1..=5 {
        world.says(&ana, room, &n.to_string()).await;
    }
    let mut socket = world.socket(&format!("/ws/chat/{room}/?after=2"), &beto.token).await;
    for n in 3..=5 {
        let frame = socket.next().await;
        assert_eq!(
            (&frame["type"], &frame["text"], &frame["sequence"]),
            (&json!("chat_message"), &json!(n.to_string()), &json!(n))
        );
    }
    let live = socket.next().await;
    assert_eq!(live["type"], "live");
    world.says(&ana, room, "6").await;
    assert_eq!(socket.until("chat_message").await["text"], "6");
    drop(socket);

    let edit = json!({ "content": "Uno" });
    assert_eq!(world.call(Method::PATCH, "/api/chat/messages/1/", &ana.token, edit).await.status, 200);
    let path = format!("/ws/chat/{room}/?since={}", live["change"]);
    let mut socket = world.socket(&path, &beto.token).await;
    let kinds = [socket.next().await, socket.next().await, socket.next().await].map(|frame| frame["type"].clone());
    assert_eq!(kinds, ["message_edited", "chat_message", "live"]);
}

#[tokio::test]
async fn whoever_comes_back_from_any_frame_misses_nothing() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    for text in ["1", "2", "3", "4"] {
        world.says(&ana, room, text).await;
    }
    // The change of this one is behind those of the messages that follow it.
    let edit = json!({ "content": "Uno" });
    assert_eq!(world.call(Method::PATCH, "/api/chat/messages/1/", &ana.token, edit).await.status, 200);
    for broken_after in 1..=4 {
        let mut texts = BTreeSet::new();
        let mut socket = world.socket(&format!("/ws/chat/{room}/?since=0"), &beto.token).await;
        let mut since = Value::Null;
        for _ in 0..broken_after {
            let frame = socket.next().await;
            since = frame["change"].clone();
            texts.extend(frame["text"].as_str().map(str::to_owned));
        }
        drop(socket);
        let mut socket = world.socket(&format!("/ws/chat/{room}/?since={since}"), &beto.token).await;
        loop {
            let frame = socket.next().await;
            if frame["type"] == "live" {
                break;
            }
            texts.extend(frame["text"].as_str().map(str::to_owned));
        }
        assert_eq!(Vec::from_iter(texts), ["2", "3", "4", "Uno"], "after {broken_after}");
    }
}

#[tokio::test]
async fn presence_is_told_to_those_who_share_a_room() {
    let world = World::start().await;
    let (ana, beto, _) = world.two().await;
    let caro = world.agrovet("Caro", "59170000003", "consumer").await;
    let mut here = world.socket("/ws/presence/", &ana.token).await;
    let mut stranger = world.socket("/ws/presence", &caro.token).await;
    let other = world.socket("/ws/presence/", &beto.token).await;
    assert_eq!(here.until("presence.online").await, json!({ "type": "presence.online", "user_id": beto.id }));
    here.say(json!({ "type": "get_online_users" })).await;
    let mut users: Vec<_> = here.until("online_users_list").await["users"].as_array().cloned().unwrap_or_default();
    users.sort_by_key(Value::as_i64);
    assert_eq!(users, [ana.id.clone(), beto.id.clone()]);
    stranger.say(json!({ "type": "get_online_users" })).await;
    assert_eq!(stranger.next().await, json!({ "type": "online_users_list", "users": [caro.id] }));

    for message in [Message::text("[]"), Message::binary(vec![0])] {
        here.send(message).await;
        assert_eq!(here.until("error").await["code"], "bad_frame");
    }
    here.say(json!({ "type": "chat_message", "text": "a" })).await;
    here.say(json!({ "type": "ping" })).await;
    assert_eq!(here.next().await, json!({ "type": "pong" }));

    // Two screens are one person.
    let second = world.socket("/ws/presence/", &beto.token).await;
    drop(other);
    drop(second);
    let offline = here.until("presence.offline").await;
    assert_eq!((&offline["user_id"], offline["last_seen"].is_string()), (&beto.id, true));
    let presence = world.read(&format!("/api/chat/presence/?users={}", beto.id), &ana.token).await;
    assert_eq!((&presence.body[0]["user_id"], &presence.body[0]["online"]), (&beto.id, &json!(false)), "{presence}");
}

#[tokio::test]
async fn an_inbox_may_tell_messages_too() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let mut inbox = world.socket("/ws/presence/?messages=true", &beto.token).await;
    world.says(&ana, room, "Hola").await;
    let told = inbox.until("chat_message").await;
    assert_eq!((&told["text"], &told["room_id"]), (&json!("Hola"), &json!(room.to_string())));
    inbox.say(json!({ "type": "mark_read", "room_id": room })).await;
    assert_eq!(inbox.until("messages_read").await["message_ids"], json!([1]));
}

#[tokio::test]
async fn who_signs_out_or_leaves_is_cut_off() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let group = world.group_of(&ana, &[&beto]).await.as_i64().expect("a number");
    let (pair, presence) = (world.live(room, &ana).await, world.socket("/ws/presence/", &ana.token).await);
    let (stays, goes) = (world.live(room, &beto).await, world.live(group, &beto).await);

    let form = json!({ "participants_ids": [ana.id] });
    let path = format!("/api/chat/rooms/{group}/");
    assert_eq!(world.call(Method::PATCH, &path, &ana.token, form).await.status, 200);
    assert_eq!(goes.closed().await, 4403);
    world.call(Method::POST, "/api/auth/logout/", &ana.token, json!({})).await;
    assert_eq!((pair.closed().await, presence.closed().await), (4401, 4401));
    let mut stays = stays;
    stays.say(json!({ "type": "ping" })).await;
    stays.until("pong").await;
}

#[tokio::test]
async fn who_comes_back_from_beyond_the_end_hears_what_comes() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    world.says(&beto, room, "1").await;
    for (from, text) in [("since=99999", "2"), ("since=4", "3"), ("after=99999", "4")] {
        let mut here = world.socket(&format!("/ws/chat/{room}/?{from}"), &ana.token).await;
        here.until("live").await;
        world.says(&beto, room, text).await;
        assert_eq!(here.until("chat_message").await["text"], text, "{from}");
        here.say(json!({ "type": "mark_read" })).await;
        here.until("messages_read").await;
    }
}

#[tokio::test]
async fn a_delivery_names_its_own_room() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let group = world.group_of(&ana, &[&beto]).await.as_i64().expect("a number");
    let (mut here, _there) = (world.live(room, &ana).await, world.live(group, &beto).await);
    world.says(&ana, group, "en el grupo").await;
    assert_eq!(here.until("message_delivered").await["room_id"], json!(group.to_string()));
}

#[tokio::test]
async fn a_restart_of_chat_is_noticed_by_nobody() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let (mut here, mut there) = (world.live(room, &ana).await, world.live(room, &beto).await);
    here.say(json!({ "text": "antes" })).await;
    here.until("chat_message").await;
    there.until("chat_message").await;

    world.stop_chat().await;
    // While nobody serves them both may talk.
    here.say(json!({ "text": "durante", "client_msg_id": "a" })).await;
    here.say(json!({ "text": "durante también" })).await;
    here.say(json!({ "type": "ping" })).await;
    here.until("pong").await;
    world.start_chat().await;

    for socket in [&mut here, &mut there] {
        for text in ["durante", "durante también"] {
            assert_eq!(socket.until("chat_message").await["text"], text);
        }
    }
    there.say(json!({ "text": "después" })).await;
    let (one, other) = (here.until("chat_message").await, there.until("chat_message").await);
    assert_eq!((&one["text"], &one["sequence"]), (&json!("después"), &json!(4)));
    assert_eq!(other["sequence"], json!(4));
}

#[tokio::test]
async fn an_inbox_hears_once_what_was_sent_while_its_stream_was_broken() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let group = world.group_of(&ana, &[&beto]).await.as_i64().expect("a number");
    let mut there = world.live(room, &ana).await;
    let mut inbox = world.socket("/ws/presence/?messages=true", &beto.token).await;
    there.say(json!({ "text": "antes" })).await;
    assert_eq!(inbox.until("chat_message").await["text"], "antes");
    // Twice, because it must know where it stands after it came back, too.
    for round in ["1", "2"] {
        world.stop_chat().await;
        world.stored(room, &format!("en la sala {round}")).await;
        world.stored(group, &format!("en el grupo {round}")).await;
        let own = json!({ "type": "chat_message", "room_id": room, "text": "mía", "client_msg_id": round });
        inbox.say(own).await;
        world.start_chat().await;
        let mut missed = [inbox.until("chat_message").await, inbox.until("chat_message").await]
            .map(|frame| (frame["room_id"].clone(), frame["text"].clone()));
        missed.sort_by_key(|(room, _)| room.to_string());
        let expected = [(room, format!("en la sala {round}")), (group, format!("en el grupo {round}"))];
        assert_eq!(missed, expected.map(|(room, text)| (json!(room.to_string()), json!(text))));
        let own = inbox.until("chat_message").await;
        assert_eq!((&own["text"], &own["client_msg_id"]), (&json!("mía"), &json!(round)));
        there.say(json!({ "text": "después" })).await;
        assert_eq!(inbox.until("chat_message").await["text"], "después");
    }
}

#[tokio::test]
async fn who_hears_no_messages_may_send_as_many_as_others() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let (mut there, mut here) = (world.live(room, &ana).await, world.socket("/ws/presence/", &beto.token).await);
    for n in 1..=40 {
        here.say(json!({ "type": "chat_message", "room_id": room, "text": n.to_string() })).await;
        assert_eq!(there.until("chat_message").await["sequence"], n);
    }
}

#[tokio::test]
async fn without_chat_for_half_a_minute_a_socket_is_told_to_try_later() {
    let world = World::start().await;
    let (ana, _, room) = world.two().await;
    let mut here = world.live(room, &ana).await;
    world.stop_chat().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    here.say(json!({ "type": "ping" })).await;
    here.until("pong").await;
    assert_eq!(here.closed().await, 1013);
}

#[tokio::test]
async fn two_edges_are_one_room_and_one_of_them_may_go() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let (base, stop) = world.another_edge(&["--grace-seconds", "2"]);
    let path = format!("/ws/chat/{room}/");
    testkit::eventually("the other edge listens", async || {
        world.http.get(format!("{base}/health/")).send().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let mut here = world.live(room, &ana).await;
    let mut there = Socket::open(&base, &path, &beto.token, None).await.expect("it is let in");
    there.until("live").await;
    here.say(json!({ "text": "Hola" })).await;
    assert_eq!(there.until("chat_message").await["text"], "Hola");

    stop.cancel();
    let notice = there.until("server_shutdown").await;
    assert!(notice["closes_in_ms"].as_i64().is_some_and(|wait| (0..=1000).contains(&wait)), "{notice}");
    // It still works until it is closed.
    here.say(json!({ "text": "Adiós" })).await;
    assert_eq!(there.until("chat_message").await["text"], "Adiós");
    assert_eq!(there.closed().await, 1001);
}

#[tokio::test]
async fn one_address_has_only_so_many_sockets() {
    let world = World::with(&["--max-sockets-per-address", "2"]).await;
    let (ana, _, room) = world.two().await;
    let path = format!("/ws/chat/{room}/");
    let (one, _two) = (world.live(room, &ana).await, world.live(room, &ana).await);
    assert_eq!(world.refused(&path, &ana.token).await.0, 503);
    drop(one);
    testkit::eventually("a place is free again", async || {
        Socket::open(&world.base, &path, &ana.token, None).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn too_many_messages_are_refused_and_not_lost_in_silence() {
    let world = World::with(&["--rate-limits", "on", "--rate-limit", "strict=1000/60"]).await;
    let (ana, _, room) = world.two().await;
    let mut socket = world.live(room, &ana).await;
    for n in 0..21 {
        socket.say(json!({ "text": n.to_string(), "client_msg_id": n })).await;
    }
    let error = socket.until("error").await;
    assert_eq!((&error["code"], &error["client_msg_id"]), (&json!("rate_limited"), &json!(20)));
    assert!(error["retry_after_ms"].is_i64());
}

#[tokio::test]
async fn a_frame_beyond_all_limits_closes_the_socket_and_says_so() {
    let world = World::start().await;
    let (ana, _, room) = world.two().await;
    for kilobytes in [257, 1024] {
        let mut socket = world.live(room, &ana).await;
        socket.send(Message::text("x".repeat(kilobytes << 10))).await;
        assert_eq!(socket.closed().await, 1009, "{kilobytes} KiB");
    }
}

#[tokio::test]
async fn who_is_taken_out_of_a_group_hears_it_on_their_inbox_and_nothing_more_of_it() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let caro = world.agrovet("Caro", "59170000003", "consumer").await;
    let group = world.group_of(&ana, &[&beto, &caro]).await.as_i64().expect("a number");
    let mut inbox = world.socket("/ws/presence/?messages=true", &beto.token).await;
    world.says(&ana, group, "todos").await;
    assert_eq!(inbox.until("chat_message").await["text"], "todos");

    let form = json!({ "participants_ids": [ana.id, caro.id] });
    let changed = world.call(Method::PATCH, &format!("/api/chat/rooms/{group}/"), &ana.token, form).await;
    assert_eq!(changed.status, 200, "{changed}");
    let removed = json!({ "type": "removed_from_room", "room_id": group.to_string() });
    assert_eq!(inbox.until("removed_from_room").await, removed);
    world.says(&ana, group, "sin Beto").await;
    world.says(&ana, room, "te saqué").await;
    loop {
        let frame = inbox.next().await;
        assert_ne!(frame["room_id"], json!(group.to_string()), "{frame}");
        if frame["type"] == "chat_message" {
            assert_eq!(frame["text"], "te saqué");
            break;
        }
    }
}
