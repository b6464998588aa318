//! Agrovet: rooms and messages over REST.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::files::{form, photo, voice};
use crate::story::Story;
use crate::world::{Person, World};

#[tokio::test]
async fn rooms_are_opened_read_changed_and_left() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let caro = world.agrovet("Caro", "59170000003", "consumer").await;
    let mut story = Story::default();
    let rooms = "/api/chat/rooms/";
    let post = |body: Value| world.call(Method::POST, rooms, &ana.token, body);
    story.tell("the index", &world.read("/api/chat/", &ana.token).await);
    story.tell("POST of a pair", &post(json!({ "participants_ids": [ana.id, beto.id] })).await);
    let texts = json!({ "participants": [beto.id.to_string(), ana.id.to_string()], "is_private": true });
    let again = post(texts).await;
    assert_eq!((again.status, &again.body["id"]), (200, &json!(1)));
    let by_form = world.post(rooms).bearer_auth(&ana.token);
    let by_form = by_form.form(&[("participants_ids", ana.id.to_string()), ("participants_ids", beto.id.to_string())]);
    assert_eq!(world.ask(by_form).await.body["id"], json!(1));
    story.tell("POST with oneself", &post(json!({ "participants_ids": [ana.id, ana.id] })).await);
    story.tell("POST with somebody unknown", &post(json!({ "participants_ids": [ana.id, 99] })).await);
    story.tell("POST of others", &post(json!({ "participants_ids": [beto.id, caro.id] })).await);
    story.tell("POST of three in private", &post(json!({ "participants_ids": [2, 3, 4], "is_private": true })).await);
    story.tell("POST with what is no number", &post(json!({ "participants_ids": [2, "x", 1.5] })).await);
    story.tell("POST with no list", &post(json!({ "participants_ids": true })).await);
    story.tell("POST with a long name", &post(json!({ "name": "x".repeat(151), "is_private": "quizás" })).await);
    // Each is one person, however often they are named.
    let twice = post(json!({ "participants_ids": [ana.id, beto.id, beto.id] })).await;
    assert_eq!((twice.status, &twice.body["id"]), (200, &json!(1)));
    let oneself = json!({ "detail": "Un usuario no puede chatear consigo mismo." });
    let doubled = post(json!({ "participants_ids": [beto.id, beto.id] })).await;
    assert_eq!((doubled.status, &doubled.body), (400, &oneself), "two, and no group");
    let group = json!([beto.id, beto.id, caro.id]);
    assert_eq!(post(json!({ "participants_ids": group, "is_private": true })).await.status, 403);
    assert_eq!(post(json!({ "participants_ids": group })).await.status, 403, "two others");
    let three = json!({ "name": "Toros", "participants_ids": group, "is_private": false });
    story.tell("POST of a group", &post(three).await);
    story.tell("POST without a token", &world.ask(world.post(rooms).json(&json!({}))).await);

    let private = "/api/chat/rooms/get_or_create_private/";
    let open = |body: Value| world.call(Method::POST, private, &ana.token, body);
    let opened = open(json!({ "participants": [ana.id, "3"] })).await;
    assert_eq!((opened.status, &opened.body["id"]), (200, &json!(1)));
    for wrong in [json!({}), json!({ "participants_ids": [2] }), json!({ "participants_ids": [2, "x"] })] {
        let answer = open(wrong).await;
        let detail = json!({ "detail": "Se requieren exactamente 2 participantes." });
        assert_eq!((answer.status, &answer.body), (400, &detail));
    }
    story.tell("a private room with oneself", &open(json!({ "participants_ids": [ana.id, ana.id] })).await);
    story.tell("a private room of others", &open(json!({ "participants_ids": [beto.id, caro.id] })).await);
    story.tell("a private room with nobody", &open(json!({ "participants_ids": [ana.id, 99] })).await);

    story.tell("GET of all", &world.read(rooms, &ana.token).await);
    assert_eq!(world.read(rooms, &caro.token).await.body["count"], json!(1));
    story.tell("GET by a stranger", &world.read("/api/chat/rooms/1/", &caro.token).await);
    story.tell("GET of none", &world.read("/api/chat/rooms/99/", &ana.token).await);
    story.tell("GET without a number", &world.read("/api/chat/rooms/toro/", &ana.token).await);

    let change = |room: i64, person: &Person, body: Value| {
        let (world, token) = (&world, person.token.clone());
        async move { world.call(Method::PATCH, &format!("/api/chat/rooms/{room}/"), &token, body).await }
    };
    assert_eq!(change(1, &beto, json!({ "name": "Amigos", "is_private": true })).await.body["name"], "Amigos");
    story.tell("PATCH into a group", &change(1, &ana, json!({ "is_private": false })).await);
    story.tell("PATCH of a pair's people", &change(1, &ana, json!({ "participants_ids": [2, 3, 4] })).await);
    story.tell("PATCH of a group by a member", &change(2, &beto, json!({ "participants_ids": [2] })).await);
    story.tell("PATCH by a stranger", &change(1, &caro, json!({ "name": "x" })).await);
    story.tell("PATCH with somebody unknown", &change(2, &ana, json!({ "participants_ids": [99] })).await);
    let put = world.call(Method::PUT, "/api/chat/rooms/2/", &ana.token, json!({ "participants_ids": [2, 3] })).await;
    assert_eq!(put.body["participants"].as_array().map(Vec::len), Some(2), "{put}");
    assert_eq!(world.read("/api/chat/rooms/2/", &caro.token).await.status, 404);

    let admin = |person: &Person, admin: bool| json!({ "user_id": person.id, "admin": admin });
    let admins = "/api/chat/rooms/2/admins/";
    let made = world.call(Method::PUT, admins, &ana.token, admin(&beto, true)).await;
    assert_eq!(made.body["admins_ids"], json!([ana.id, beto.id]), "{made}");
    story.tell("another admin", &made);
    story.tell("a stranger as admin", &world.call(Method::PUT, admins, &ana.token, admin(&caro, true)).await);
    world.call(Method::PUT, admins, &ana.token, admin(&beto, false)).await;
    story.tell("the last admin", &world.call(Method::PUT, admins, &ana.token, admin(&ana, false)).await);

    let leave = |person: &Person| {
        let (world, token) = (&world, person.token.clone());
        async move { world.call(Method::DELETE, "/api/chat/rooms/2/", &token, json!({})).await }
    };
    assert_eq!(leave(&caro).await.status, 404);
    story.tell("DELETE", &leave(&beto).await);
    story.tell("DELETE again", &leave(&beto).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn messages_are_sent_read_changed_and_deleted() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let caro = world.agrovet("Caro", "59170000003", "consumer").await;
    let room = world.room_of(&ana, &beto).await;
    let mut story = Story::default();
    let messages = "/api/chat/messages/";
    let post = |body: Value| world.call(Method::POST, messages, &ana.token, body);
    let named = json!({ "room": room, "content": " Buenas ", "client_msg_id": "cmsg_1", "read": true });
    story.tell("POST", &post(named.clone()).await);
    let again = post(named).await;
    assert_eq!((again.status, &again.body["message_id"]), (201, &json!(1)));
    let huge = world.post(messages).bearer_auth(&ana.token).header("content-type", "application/json");
    let huge = huge.body(format!(r#"{{"room": {room}, "content": "x", "client_msg_id": 123456789012345678901}}"#));
    let huge = world.ask(huge).await;
    let words = "Un número tan grande pierde cifras. Envíelo como texto.";
    assert_eq!((huge.status, &huge.body), (400, &json!({ "client_msg_id": [words] })));
    let multipart = |field: &'static str, name: &'static str, bytes: Vec<u8>| {
        let form = form(field, name, bytes).text("room", room.to_string());
        world.ask(world.post(messages).bearer_auth(&ana.token).multipart(form))
    };
    story.tell("POST of a picture", &multipart("image", "vaca.jpg", photo(1)).await);
    story.tell("POST of a voice note", &multipart("file", "nota.wav", voice()).await);
    story.tell("POST of what is no picture", &multipart("image", "vaca.exe", b"MZ\x90\x00\x03".to_vec()).await);
    let spectrum = form("audio", "nota.wav", voice()).text("description", r#"{"spectrum": [0.1, 1]}"#);
    let media =
        world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(spectrum)).await.body["id"].clone();
    let described = post(json!({ "room": room, "media_id": media })).await;
    assert_eq!(described.body["media_spectrum"], json!([0.1, 1.0]), "{described}");

    story.tell("POST of nothing", &post(json!({ "room": room, "content": " " })).await);
    story.tell("POST of too much", &post(json!({ "room": room, "content": "x".repeat(8001) })).await);
    story.tell("POST into no room", &post(json!({ "content": "x" })).await);
    story.tell("POST into an unknown room", &post(json!({ "room": 99, "content": "x" })).await);
    story.tell("POST with an unknown file", &post(json!({ "room": room, "media_id": 99 })).await);
    story.tell("POST of an answer to nothing", &post(json!({ "room": room, "content": "x", "reply_to": 99 })).await);
    let foreign = json!({ "room": room, "media_id": media });
    story.tell("POST of a foreign file", &world.call(Method::POST, messages, &beto.token, foreign).await);
    let stranger = json!({ "room": room, "content": "x" });
    story.tell("POST by a stranger", &world.call(Method::POST, messages, &caro.token, stranger.clone()).await);
    story.tell("POST by nobody", &world.ask(world.post(messages).json(&stranger)).await);

    let read = |path: &str, person: &Person| {
        let (world, path, token) = (&world, path.to_owned(), person.token.clone());
        async move { world.read(&path, &token).await }
    };
    story.tell("GET", &read("/api/chat/messages/2/", &beto).await);
    story.tell("GET by a stranger", &read("/api/chat/messages/2/", &caro).await);
    story.tell("GET of none", &read("/api/chat/messages/99/", &ana).await);
    let numbers = |answer: &Answer| -> Vec<i64> {
        let list = answer.body.as_array().or_else(|| answer.body["results"].as_array());
        list.into_iter().flatten().filter_map(|message| message["id"].as_i64()).collect()
    };
    assert_eq!(numbers(&read(messages, &ana).await), [1, 2, 3, 4]);
    assert_eq!(numbers(&read("/api/chat/messages/?room=1", &beto).await), [1, 2, 3, 4]);
    for nowhere in ["0", "-1"] {
        assert_eq!(numbers(&read(&format!("/api/chat/messages/?room={nowhere}"), &beto).await), [0; 0]);
        let last = format!("/api/chat/messages/last_messages/?room={nowhere}");
        assert_eq!(read(&last, &beto).await.status, 404);
        assert_eq!(read(&format!("/api/chat/rooms/{nowhere}/messages/"), &beto).await.status, 404);
    }
    for empty in ["/api/chat/messages/?room=99", "/api/chat/messages/?room=1"] {
        assert_eq!(read(empty, &caro).await.body["count"], json!(0), "{empty}");
    }
    story.tell("GET of a room that is no number", &read("/api/chat/messages/?room=toro", &ana).await);
    for none in ["null", "undefined"] {
        let answer = read(&format!("/api/chat/messages/?room={none}"), &ana).await;
        let words = "'room' debe ser un id numérico válido.";
        assert_eq!((answer.status, &answer.body), (400, &json!({ "detail": words })), "{none}");
    }
    let last = "/api/chat/messages/last_messages/";
    assert_eq!(numbers(&read(&format!("{last}?room=1&limit=2"), &ana).await), [3, 4]);
    assert_eq!(numbers(&read(&format!("{last}?room=1&limit=toro"), &ana).await), [1, 2, 3, 4]);
    story.tell("the last one", &read(&format!("{last}?room=1&limit=1"), &ana).await);
    story.tell("the last ones of nothing", &read(last, &ana).await);
    story.tell("the last ones of undefined", &read(&format!("{last}?room=undefined"), &ana).await);
    story.tell("the last ones of no number", &read(&format!("{last}?room=toro"), &ana).await);
    story.tell("the last ones of none", &read(&format!("{last}?room=99"), &ana).await);
    story.tell("the last ones by a stranger", &read(&format!("{last}?room=1"), &caro).await);

    let history = "/api/chat/rooms/1/messages/";
    let page = read(&format!("{history}?page_size=3"), &ana).await;
    assert_eq!((numbers(&page), &page.body["count"]), (vec![2, 3, 4], &json!(4)));
    assert_eq!(numbers(&read(&format!("{history}?page_size=3&page=2"), &ana).await), [1]);
    let before = read(&format!("{history}?before=4&limit=2"), &ana).await;
    assert_eq!((numbers(&before), &before.body["has_more"]), (vec![2, 3], &json!(true)));
    let after = read(&format!("{history}?after=2"), &ana).await;
    assert_eq!((numbers(&after), &after.body["has_more"]), (vec![3, 4], &json!(false)));
    story.tell("history, by page", &read(&format!("{history}?page_size=1"), &ana).await);
    story.tell("history, before a message", &read(&format!("{history}?before=2&limit=1"), &ana).await);
    story.tell("history by a stranger", &read(history, &caro).await);
    story.tell("history before nothing", &read(&format!("{history}?before=99"), &ana).await);

    let mark = |person: &Person, body: Value| {
        let (world, token) = (&world, person.token.clone());
        async move { world.call(Method::POST, "/api/chat/messages/mark_read/", &token, body).await }
    };
    story.tell("how many wait", &read("/api/chat/unread_count/", &beto).await);
    story.tell("marking one", &mark(&beto, json!({ "room": room, "message_ids": [2] })).await);
    assert_eq!(mark(&beto, json!({ "room_id": "1" })).await.body, json!({ "updated": [1, 3, 4] }));
    assert_eq!(mark(&beto, json!({ "room": room })).await.body, json!({ "updated": [] }));
    story.tell("marking nothing", &mark(&beto, json!({ "room": "NULL" })).await);
    story.tell("marking no number", &mark(&beto, json!({ "room": "toro" })).await);
    story.tell("marking none", &mark(&beto, json!({ "room": 99 })).await);
    story.tell("marking by a stranger", &mark(&caro, json!({ "room": room })).await);
    story.tell("receipts", &read("/api/chat/messages/1/receipts/", &ana).await);
    assert_eq!(read("/api/chat/messages/1/receipts/", &caro).await.status, 404);

    let change = |person: &Person, method: Method, body: Value| {
        let (world, token) = (&world, person.token.clone());
        async move { world.call(method, "/api/chat/messages/1/", &token, body).await }
    };
    story.tell("PATCH", &change(&ana, Method::PATCH, json!({ "content": "Buenos días", "read": false })).await);
    assert_eq!(change(&ana, Method::PUT, json!({ "room": 99 })).await.body["content"], "Buenos días");
    story.tell("PATCH to nothing", &change(&ana, Method::PATCH, json!({ "content": "" })).await);
    story.tell("PATCH by the other one", &change(&beto, Method::PATCH, json!({ "content": "x" })).await);
    assert_eq!(change(&caro, Method::PATCH, json!({ "content": "x" })).await.status, 404);
    // Also when there is nothing to change.
    for body in [json!({}), json!({ "read": true })] {
        for (person, status) in [(&ana, 200), (&beto, 403), (&caro, 404)] {
            assert_eq!(change(person, Method::PATCH, body.clone()).await.status, status, "{body}");
        }
    }
    story.tell("DELETE by the other one", &change(&beto, Method::DELETE, json!({})).await);
    assert_eq!(change(&ana, Method::DELETE, json!({})).await.status, 204);
    assert_eq!(change(&ana, Method::DELETE, json!({})).await.status, 204);
    story.tell("GET of a deleted one", &change(&ana, Method::GET, json!({})).await);
    story.tell("PATCH of a deleted one", &change(&ana, Method::PATCH, json!({ "content": "x" })).await);
    story.tell("versions for anybody", &read("/api/chat/messages/1/versions/", &ana).await);
    let (staff, _) = world.staff().await;
    story.tell("versions for staff", &world.read("/api/chat/messages/1/versions/", &staff).await);
    story.tell("the room", &read("/api/chat/rooms/1/", &beto).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_room_is_searched_muted_archived_and_closed_to_somebody() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let room = world.room_of(&ana, &beto).await;
    for text in ["El toro está vacunado", "La vaca también", "El TORO viejo"] {
        world.says(&ana, room, text).await;
    }
    let mut story = Story::default();
    let search = "/api/chat/messages/search/";
    let found = world.read(&format!("{search}?q=torO&page_size=1"), &beto.token).await;
    assert_eq!(found.body["results"][0]["content"], "El TORO viejo", "{found}");
    story.tell("what is found", &found);
    let next = found.body["next"].as_str().and_then(|url| url.strip_prefix(&world.base)).expect("there is more");
    let next = world.read(next, &beto.token).await;
    assert_eq!((&next.body["results"][0]["id"], &next.body["next"]), (&json!(1), &Value::Null));
    let of_room = |query: &str| format!("{search}?q={query}&room={room}");
    assert_eq!(world.read(&of_room("vacu"), &beto.token).await.body["results"].as_array().map(Vec::len), Some(1));
    story.tell("a search for nothing", &world.read(search, &beto.token).await);
    let caro = world.agrovet("Caro", "59170000003", "consumer").await;
    assert_eq!(world.read(&format!("{search}?q=toro"), &caro.token).await.body["results"], json!([]));

    let set = |what: &str, body: Value| {
        let (world, path, token) = (&world, format!("/api/chat/rooms/{room}/{what}/"), beto.token.clone());
        async move { world.call(Method::POST, &path, &token, body).await }
    };
    let until = set("mute", json!({ "until": "2999-01-01T00:00:00Z" })).await;
    assert_eq!(until.body["muted_until"], "2999-01-01T00:00:00Z", "{until}");
    story.tell("muted", &until);
    assert!(set("mute", json!({})).await.body["muted_until"].is_string());
    story.tell("muted until no moment", &set("mute", json!({ "until": "mañana" })).await);
    assert_eq!(world.read("/api/chat/unread_count/", &beto.token).await.body["unread"], json!(0));
    assert_eq!(set("unmute", json!({})).await.body["muted_until"], Value::Null);
    assert_eq!(world.read("/api/chat/unread_count/", &beto.token).await.body["unread"], json!(3));
    let archived = set("archive", json!({})).await;
    assert_eq!(archived.body["archived"], json!(true));
    story.tell("archived", &archived);
    let count = async |query: &str| {
        world.read(&format!("/api/chat/rooms/?archived={query}"), &beto.token).await.body["count"].clone()
    };
    assert_eq!((count("true").await, count("false").await), (json!(1), json!(0)));
    assert_eq!(set("unarchive", json!({})).await.body["archived"], json!(false));

    story.tell("who is here", &world.read("/api/chat/presence/", &beto.token).await);
    let block = world.call(Method::POST, "/api/chat/blocks/", &beto.token, json!({ "user_id": ana.id })).await;
    assert_eq!(block.status, 204);
    story.tell("whom one has blocked", &world.read("/api/chat/blocks/", &beto.token).await);
    let form = json!({ "room": room, "content": "¿Hola?" });
    story.tell(
        "POST to who has blocked",
        &world.call(Method::POST, "/api/chat/messages/", &ana.token, form.clone()).await,
    );
    let oneself = json!({ "user_id": beto.id });
    story.tell("blocking oneself", &world.call(Method::POST, "/api/chat/blocks/", &beto.token, oneself).await);
    let path = format!("/api/chat/blocks/{}/", ana.id);
    assert_eq!(world.call(Method::DELETE, &path, &beto.token, json!({})).await.status, 204);
    assert_eq!(world.call(Method::POST, "/api/chat/messages/", &ana.token, form).await.status, 201);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_repeated_upload_leaves_no_file_behind() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let room = world.room_of(&ana, &beto).await;
    let send = |shade: u8| {
        let form = form("image", "vaca.jpg", photo(shade)).text("room", room.to_string()).text("client_msg_id", "foto");
        world.ask(world.post("/api/chat/messages/").bearer_auth(&ana.token).multipart(form))
    };
    let first = send(1).await;
    assert_eq!(first.status, 201, "{first}");
    for shade in [1, 2] {
        let again = send(shade).await;
        let same = ["message_id", "media_id", "media_url"];
        assert_eq!(again.status, 201, "{again}");
        assert_eq!(same.map(|key| &again.body[key]), same.map(|key| &first.body[key]));
    }
    let files = world.read("/api/media/", &ana.token).await;
    assert_eq!(
        (&files.body["count"], &files.body["results"][0]["id"]),
        (&json!(1), &first.body["media_id"]),
        "{files}"
    );
    let file = first.body["media_url"].as_str().and_then(|url| url.strip_prefix(&world.base)).expect("a file");
    assert_eq!(world.ask(world.get(file)).await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_is_named_as_the_frontend_names_it() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let room = world.room_of(&ana, &beto).await;
    let group = world.group_of(&ana, &[&beto]).await;
    let mut story = Story::default();
    let call = |method: Method, path: String, body: Value| {
        let (world, token) = (&world, ana.token.clone());
        async move { world.call(method, &format!("/api/chat/{path}"), &token, body).await }
    };
    let ancient = json!({ "until": "0001-01-01T00:00:00Z" });
    story.tell("muted until long ago", &call(Method::POST, format!("rooms/{room}/mute/"), ancient).await);
    let many: Vec<_> = (1000..3000).collect();
    let people = json!({ "participants_ids": many });
    story.tell("too many people", &call(Method::PATCH, format!("rooms/{group}/"), people).await);
    let name = json!({ "room": room, "content": "x", "client_msg_id": "a\u{0}b" });
    story.tell("a name with a NUL", &call(Method::POST, "messages/".into(), name).await);
    let text = json!({ "room": room, "content": "a\u{0}b" });
    story.tell("a text with a NUL", &call(Method::POST, "messages/".into(), text).await);
    let most = (256 << 10) - 200;
    let long = json!({ "room": room, "content": "x".repeat(most) });
    story.tell("a text that is too long", &call(Method::POST, "messages/".into(), long).await);
    let larger = json!({ "room": room, "content": "x".repeat(256 << 10) });
    story.tell("a body that is too large", &call(Method::POST, "messages/".into(), larger.clone()).await);
    let keyed = world.post("/api/chat/messages/").bearer_auth(&ana.token).header("idempotency-key", "k").json(&larger);
    assert_eq!(world.ask(keyed).await.status, 413);
    let texts =
        form("image", "vaca.jpg", photo(1)).text("room", room.to_string()).text("content", "x".repeat(256 << 10));
    let multipart = world.post("/api/chat/messages/").bearer_auth(&ana.token).multipart(texts);
    assert_eq!(world.ask(multipart).await.status, 413);
    insta::assert_snapshot!(story);
}
