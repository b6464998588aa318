//! The monolith, from its dump to what people see: here its chat and its forum.

mod files;
mod many;
mod market;
mod objects;
mod people;
mod world;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use self::objects::{at, comment, community, lines, message, object, post, reaction, receipt, room, user};
use self::world::World;

fn ids(list: &Value) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
}

/// When a message was delivered to somebody and read, as REST tells.
fn receipt_of(message: &Value, user: i64) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let receipts = message["receipts"].as_array().unwrap();
    let receipt = receipts.iter().find(|receipt| receipt["user_id"] == user).unwrap_or_else(|| panic!("{message}"));
    let at = |key: &str| receipt[key].as_str().map(|at| at.parse().unwrap());
    (at("delivered_at"), at("read_at"))
}

#[tokio::test]
async fn a_dump_becomes_what_people_had() {
    let world = World::start("import");
    let ana = world.person("Ana", "50570000001").await;
    let luis = world.person("Luis", "50570000002").await;
    let eva = world.person("Eva", "50570000003").await;
    let (picture, of_luis) = (world.picture(&ana.token).await, world.picture(&luis.token).await);
    let (a, l, e) = (ana.number, luis.number, eva.number);
    let nobody = 4_000;
    let mut dump = vec![
        object("contenttypes.contenttype", 21, json!({ "app_label": "foro", "model": "post" })),
        object("contenttypes.contenttype", 22, json!({ "app_label": "foro", "model": "comment" })),
        user(&ana),
        user(&luis),
        object("admin.logentry", 1, json!({ "action_flag": 1 })),
        // Two rooms of one pair, a group, a room with somebody who is gone.
        room(31, true, &[l, a], 20),
        room(30, true, &[a, l], 10),
        room(32, false, &[e, a, nobody], 30),
        room(33, true, &[a, nobody], 40),
        room(34, true, &[], 40),
        message(500, 30, a, "Buenas, ¿hay maíz?", None, 100),
        message(501, 31, l, "Sí hay", Some(of_luis), 110),
        message(502, 30, a, "¿Cuánto?", Some(of_luis), 120),
        message(503, 31, l, "Diez sacos", None, 130),
        message(504, 30, a, "Bien", None, 140),
        message(505, 32, e, "Hola grupo", None, 150),
        message(506, 33, nobody, "Me voy", None, 160),
        message(507, 77, a, "En ninguna sala", None, 170),
        // Read, and the time of its delivery was lost; unread; read before what stands in front of it.
        receipt(1, 500, l, None, Some(200)),
        receipt(2, 502, l, Some(121), None),
        receipt(3, 504, l, Some(141), Some(220)),
        receipt(4, 501, a, Some(111), Some(115)),
        receipt(5, 503, a, None, None),
        receipt(6, 500, a, Some(101), Some(101)),
        receipt(7, 505, a, Some(151), Some(152)),
        community(1, "general", None, &[a]),
        community(2, "consumidores", None, &[a, l, nobody]),
        community(6, "especialistas", None, &[l]),
        community(70, "cafetaleros", Some(l), &[a]),
        post(40, a, Some(70), Some(picture), 300),
        post(41, nobody, Some(6), None, 310),
        post(42, l, None, Some(99_999), 320),
        comment(60, l, 40, None, 330),
        comment(61, a, 40, Some(60), 340),
        comment(62, e, 40, Some(61), 350),
        // A circle, a parent on another post, one that is nowhere.
        comment(63, e, 40, Some(64), 351),
        comment(64, e, 40, Some(63), 352),
        comment(65, e, 42, Some(60), 353),
        comment(66, e, 42, Some(999), 354),
        reaction(80, l, "like", json!(21), 40, 360),
        reaction(81, l, "heart", json!(21), 40, 370),
        reaction(82, e, "dislike", json!(["foro", "comment"]), 61, 380),
    ];
    // Somebody by the natural key.
    dump.iter_mut().filter(|object| object["pk"] == 504).for_each(|message| {
        message["fields"]["sender"] = json!([format!("+{}", ana.phone)]);
    });
    let file = world.dump("dump.jsonl", &lines(&dump));
    let empty = world.state().await;

    let (code, said) = world.import(&file, &["--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("dry run"), "{said}");
    assert_eq!(world.state().await, empty);

    // A line without sense in the middle: where it is, what is wrong, and nothing else happens.
    let mut broken: Vec<_> = lines(&dump).lines().map(str::to_owned).collect();
    broken[12] = broken[12][..40].to_owned();
    broken[20] = message(510, 30, a, "x", None, 1).to_string().replace("\"room\"", "\"rum\"");
    let (code, said) = world.import(&world.dump("broken.jsonl", &broken.join("\n")), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("line 13: EOF while parsing a string"), "{said}");
    assert!(said.contains("line 21: chat.chatmessage 510: missing field `room`"), "{said}");
    assert_eq!(world.state().await, empty);

    // Numbers that are somebody else's here.
    let stranger = lines(&dump).replacen(&format!("+{}", ana.phone), "+50579999999", 1);
    let (code, said) = world.import(&world.dump("stranger.jsonl", &stranger), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("another phone than those with their numbers in the dump ({a})")), "{said}");
    assert_eq!(world.state().await, empty);

    let (code, said) = world.import(&file, &[]);
    assert_eq!(code, Some(0), "{said}");
    for told in ["nobody is in them", "their room is not imported", "the sender's own", "1 objects of admin.logentry"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    world.is_consistent().await;
    let outbox = |state: &[(String, i64, Option<String>)]| -> Vec<_> {
        state.iter().filter(|(table, ..)| table.ends_with("outbox")).cloned().collect()
    };
    let imported = world.state().await;
    assert_eq!(outbox(&imported), outbox(&empty), "nobody is told of history");

    // The pair has one room, its history in the order of time.
    let rooms = world.read("/api/chat/rooms/", &luis.token).await;
    assert_eq!(ids(&rooms["results"]), [30], "{rooms}");
    assert_eq!(rooms["results"][0]["name"], json!(format!("Chat: User {a} & User {l}")));
    assert_eq!(rooms["results"][0]["created_at"], "2025-03-01T12:00:10Z");
    assert_eq!(rooms["results"][0]["unread_count"], 1, "{rooms}");
    let history = world.read("/api/chat/messages/?room=30", &luis.token).await;
    let history = &history["results"];
    assert_eq!(ids(history), [500, 501, 502, 503, 504]);
    assert_eq!(history[1]["media_id"], of_luis);
    assert_eq!((&history[2]["media_id"], &history[2]["content"]), (&Value::Null, &json!("¿Cuánto?")));
    assert_eq!(history[4]["timestamp"], "2025-03-01T12:02:20Z");
    assert_eq!(receipt_of(&history[0], l), (Some(at(200)), Some(at(200))));
    assert_eq!(receipt_of(&history[2], l), (Some(at(121)), None));
    assert_eq!(receipt_of(&history[4], l), (Some(at(141)), Some(at(220))));
    assert_eq!(receipt_of(&history[1], a), (Some(at(111)), Some(at(115))));
    assert_eq!(receipt_of(&history[3], a), (None, None));
    assert_eq!(history[0]["receipts"].as_array().unwrap().len(), 1, "the sender has none");
    assert_eq!(world.read("/api/chat/unread_count/", &ana.token).await["unread"], 1, "503");
    let found = world.read("/api/chat/messages/search/?q=maiz", &luis.token).await;
    assert_eq!(ids(&found["results"]), [500], "{found}");

    // Groups keep those who are here; a pair stays one when the other is gone.
    let group = world.read("/api/chat/rooms/32/", &eva.token).await;
    assert_eq!((ids(&group["participants"]), &group["admins_ids"]), (vec![a, e], &json!([a])), "{group}");
    let gone = world.read("/api/chat/rooms/33/", &ana.token).await;
    assert_eq!((&gone["is_private"], &gone["other_participant"]), (&json!(true), &json!("User 4000")), "{gone}");
    assert_eq!(ids(&gone["messages"]), [506]);

    // The forum.
    let first = world.read("/api/foro/posts/40/", &eva.token).await;
    assert_eq!((&first["community"]["slug"], &first["media"]["id"]), (&json!("cafetaleros"), &json!(picture)));
    assert_eq!((&first["comments_count"], &first["reactions_count"]), (&json!(5), &json!(1)), "{first}");
    assert_eq!(first["community"]["members_count"], 2, "who made it and who joined");
    let reactions = world.read("/api/foro/reactions/?content_type=post&object_id=40", &ana.token).await;
    assert_eq!((ids(&reactions["results"]), &reactions["results"][0]["type"]), (vec![81], &json!("heart")));
    let tree = world.read("/api/foro/posts/40/comments/", &eva.token).await;
    let tree = tree["results"].as_array().unwrap();
    let top: BTreeSet<_> = tree.iter().map(|comment| comment["id"].as_i64().unwrap()).collect();
    assert_eq!(top, BTreeSet::from([60, 63]), "{tree:?}");
    let sixty = tree.iter().find(|comment| comment["id"] == 60).unwrap();
    assert_eq!(sixty["replies"][0]["id"], 61);
    assert_eq!((&sixty["replies"][0]["replies"][0]["id"], &sixty["replies_count"]), (&json!(62), &json!(1)));
    let by_nobody = world.read("/api/foro/posts/41/", &eva.token).await;
    assert_eq!(by_nobody["author"], json!({ "id": 4000, "name": "User 4000", "avatar": null }));
    assert_eq!(by_nobody["community"]["slug"], "especialistas-salud");
    let flat = world.read("/api/foro/comments/?post=42", &eva.token).await;
    assert!(flat["results"].as_array().unwrap().iter().all(|comment| comment["parent_id"].is_null()), "{flat}");

    // Twice is once, also as an array and in another order. Reading counted some views.
    let imported = world.state().await;
    let (code, said) = world.import(&file, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.state().await, imported);
    dump.reverse();
    let array = serde_json::to_string_pretty(&dump).unwrap();
    let (code, said) = world.import(&world.dump("dump.json", &array), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.state().await, imported);

    // What is new gets numbers behind all of the dump's.
    let sent = world.write("/api/chat/messages/", &luis.token, json!({ "room": 30, "content": "Sigo aquí" })).await;
    assert_eq!(sent["message_id"], 508, "{sent}");
    let opened = json!({ "participants_ids": [l, e] });
    assert_eq!(world.write("/api/chat/rooms/", &luis.token, opened).await["id"], 35);
    let asked = json!({ "title": "Nuevo", "content": "Texto", "community_id": 70 });
    assert_eq!(world.write("/api/foro/posts/", &ana.token, asked).await["id"], 43);

    // What is taken by something else stays what it is.
    let settled = world.state().await;
    let conflicting = [
        room(35, false, &[a, e], 500),
        room(30, true, &[a, l], 10),
        message(508, 30, a, "Otra cosa", None, 145),
        message(509, 30, a, "Demasiado tarde", None, 146),
        message(600, 35, a, "En la sala de otros", None, 501),
        post(43, l, None, None, 510),
        comment(67, l, 43, None, 520),
        community(3, "otra", Some(a), &[]),
    ];
    let (code, said) = world.import(&world.dump("conflict.jsonl", &lines(&conflicting)), &[]);
    assert_eq!(code, Some(1), "{said}");
    for told in [
        "5 in conflict",
        "room 35 of the dump: here 35 is the room",
        "message 508 of the dump: here 508 is the message",
        "message 509 of the dump is older than what its room 30 says here already",
        "post 43 of the dump: here 43 is a post of user",
        "community 3 (otra) of the dump: its id or name is that of the community 3 (especialistas-salud) here",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(world.state().await, settled);
    world.is_consistent().await;
}
