//! The monolith's chat and forum, from its dump to what people see.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

use crate::platform::{Folder, Platform, plaza};

/// Somebody with an account, as the monolith and we know them.
struct Person {
    number: i64,
    token: String,
    phone: String,
}

/// A platform into which a dump is brought.
struct World {
    folder: Folder,
    platform: Platform,
}

impl World {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let platform = Platform::start(&folder.0, &["--ephemeral", "--rate-limits", "off", "--no-demo"]);
        Self { folder, platform }
    }

    async fn person(&self, name: &str, phone: &str) -> Person {
        let form = json!({
            "phone_number": phone, "password": "Toro-bravo-7", "role": "consumer", "full_name": name, "last_name": "Ensayo",
        });
        let answer = Client::new().post(self.platform.url("/api/auth/register/")).json(&form).send().await.unwrap();
        let (status, made) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let token = made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let me = self.read("/api/auth/users/me/", &token).await;
        // Their communities are an event away.
        let mut forum = self.database("forum").await;
        let mut memberships = 0_i64;
        while memberships < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let count = sqlx::query_scalar("select count(*) from memberships where user_number = $1");
            memberships = count.bind(me["id"].as_i64()).fetch_one(&mut forum).await.unwrap();
        }
        Person { number: me["id"].as_i64().unwrap(), token, phone: phone.to_owned() }
    }

    /// A picture's number.
    async fn picture(&self, token: &str) -> i64 {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(8, 8).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let form = Form::new().part("image", Part::bytes(bytes.into_inner()).file_name("toro.png"));
        let request = Client::new().post(self.platform.url("/api/media/")).bearer_auth(token).multipart(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["id"].as_i64().unwrap_or_else(|| panic!("{answer}"))
    }

    async fn read(&self, path: &str, token: &str) -> Value {
        let answer = Client::new().get(self.platform.url(path)).bearer_auth(token).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn write(&self, path: &str, token: &str, body: Value) -> Value {
        let request = Client::new().post(self.platform.url(path)).bearer_auth(token).json(&body);
        let answer = request.send().await.unwrap();
        let (status, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    fn dump(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Imports a file; the exit code and everything that was said.
    fn import(&self, file: &Path, more: &[&str]) -> (Option<i32>, String) {
        let dir = self.platform.text("data_dir").to_owned();
        let mut args = vec!["import", "agrovet", file.to_str().unwrap(), "--data-dir", &dir];
        args.extend(more);
        crate::platform::said(&args)
    }

    async fn database(&self, service: &str) -> PgConnection {
        let mut url = Url::parse(self.platform.text("database_url")).unwrap();
        url.set_path(&format!("plaza_{service}"));
        PgConnection::connect(url.as_str()).await.unwrap()
    }

    /// Everything that an import could change, and the outboxes.
    async fn state(&self) -> Vec<(String, i64, Option<String>)> {
        let mut state = Vec::new();
        for (service, tables) in [
            ("chat", &["rooms", "members", "messages", "marks", "read_ahead", "outbox"][..]),
            ("forum", &["communities", "memberships", "posts", "comments", "reactions", "interactions", "outbox"]),
        ] {
            let mut database = self.database(service).await;
            for table in tables {
                // When an event leaves is nobody's doing here.
                let rows = if *table == "outbox" { "(select id from outbox)" } else { table };
                let all = format!("select count(*), md5(string_agg(t::text, '|' order by t::text)) from {rows} t");
                let (count, hash) = sqlx::query_as(AssertSqlSafe(all)).fetch_one(&mut database).await.unwrap();
                state.push((format!("{service}.{table}"), count, hash));
            }
        }
        state
    }

    /// Statements that find what must not be.
    async fn find_nothing(&self, service: &str, statements: &[&'static str]) {
        let mut database = self.database(service).await;
        for statement in statements {
            let found: i64 = sqlx::query_scalar(*statement).fetch_one(&mut database).await.unwrap();
            assert_eq!(found, 0, "{statement}");
        }
    }

    /// What holds in every chat and every forum.
    async fn is_consistent(&self) {
        self.find_nothing(
            "chat",
            &[
                "select count(*) from rooms r where last_sequence <> (select count(*) from messages where room_id = r.id)",
                "select count(*) from (
                     select sequence, change, sent_change, created_at,
                         row_number() over (partition by room_id order by sequence) as place,
                         lag(created_at) over (partition by room_id order by sequence) as before
                     from messages
                 ) m where sequence <> place or change <> place or sent_change <> place or created_at < before",
                "select count(*) from rooms r where last_change <> last_sequence or last_activity_at is distinct from
                     (select max(created_at) from messages where room_id = r.id)",
                "select count(*) from rooms r where members_count <>
                     (select count(*) from members where room_id = r.id and left_at is null)",
                "select count(*) from members m join rooms r on r.id = m.room_id
                 where read_through > delivered_through or delivered_through > last_sequence",
                "select count(*) from marks k join members m using (room_id, user_id)
                 where k.through > case when k.read then m.read_through else m.delivered_through end",
                "select count(*) from read_ahead a join members m using (room_id, user_id)
                 where a.sequence <= m.read_through",
            ],
        )
        .await;
        self.find_nothing(
            "forum",
            &[
                "select count(*) from communities c where
                     (members_count, posts_count) is distinct from (
                         (select count(*) from memberships where community_id = c.id and left_at is null),
                         (select count(*) from posts where community_id = c.id and removed_at is null))",
                "select count(*) from posts p where (comments_count, hearts, likes, dislikes) is distinct from (
                     (select count(*) from comments where post_id = p.id),
                     (select count(*) from reactions where post_id = p.id and type = 'HEART'),
                     (select count(*) from reactions where post_id = p.id and type = 'LIKE'),
                     (select count(*) from reactions where post_id = p.id and type = 'DISLIKE'))",
                "select count(*) from comments c where (replies_count, hearts, likes, dislikes) is distinct from (
                     (select count(*) from comments where parent_id = c.id),
                     (select count(*) from reactions where comment_id = c.id and type = 'HEART'),
                     (select count(*) from reactions where comment_id = c.id and type = 'LIKE'),
                     (select count(*) from reactions where comment_id = c.id and type = 'DISLIKE'))",
                "select count(*) from comments c join comments p on p.id = c.parent_id where c.depth <> p.depth + 1",
                "select count(*) from posts p where last_activity_at <> greatest(created_at,
                     (select max(created_at) from comments where post_id = p.id))",
                "select count(*) from (
                     select user_id, author_id, comments, reactions from interactions
                     union all
                     select c.author_id, p.author_id, -count(*), 0 from comments c join posts p on p.id = c.post_id
                         group by 1, 2
                     union all
                     select r.user_id, p.author_id, 0, -count(*) from reactions r join posts p on p.id = r.post_id
                         group by 1, 2
                 ) told group by user_id, author_id having sum(comments) <> 0 or sum(reactions) <> 0
                 union all select 0 limit 1",
            ],
        )
        .await;
    }
}

/// A moment of the past, some seconds after another one.
fn at(second: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, 3, 1, 12, 0, 0).unwrap() + TimeDelta::seconds(second)
}

fn time(second: i64) -> Value {
    json!(at(second).to_rfc3339())
}

fn object(model: &str, pk: i64, fields: Value) -> Value {
    json!({ "model": model, "pk": pk, "fields": fields })
}

fn user(person: &Person) -> Value {
    object("auth_app.user", person.number, json!({ "phone_number": format!("+{}", person.phone), "full_name": "x" }))
}

fn room(pk: i64, private: bool, people: &[i64], second: i64) -> Value {
    let fields = json!({
        "name": format!("Sala {pk}"), "participants": people, "is_private": private, "created_at": time(second),
        "last_activity": null,
    });
    object("chat.chatroom", pk, fields)
}

fn message(pk: i64, room: i64, sender: i64, text: &str, media: Option<i64>, second: i64) -> Value {
    let fields = json!({
        "room": room, "sender": sender, "content": text, "media": media, "timestamp": time(second), "sent": true,
        "delivered": false, "delivered_at": null, "read": false, "read_at": null, "seen": false,
    });
    object("chat.chatmessage", pk, fields)
}

fn receipt(pk: i64, message: i64, user: i64, delivered: Option<i64>, read: Option<i64>) -> Value {
    let fields = json!({
        "message": message, "user": user, "delivered": delivered.is_some(), "delivered_at": delivered.map(time),
        "read": read.is_some(), "read_at": read.map(time),
    });
    object("chat.chatmessagereceipt", pk, fields)
}

fn community(pk: i64, slug: &str, creator: Option<i64>, members: &[i64]) -> Value {
    let fields = json!({
        "name": format!("Comunidad {slug}"), "slug": slug, "short_description": "s", "description": "d",
        "created_by": creator, "members": members, "members_count": 77, "cover_image": "https://cdn.example/c.jpg",
        "avatar": null, "created_at": time(0),
    });
    object("foro.community", pk, fields)
}

fn post(pk: i64, author: i64, community: Option<i64>, media: Option<i64>, second: i64) -> Value {
    let fields = json!({
        "author": author, "title": format!("Post {pk}"), "content": "Texto", "media": media, "community": community,
        "created_at": time(second), "updated_at": time(second), "views_count": 3, "relevance_score": 0.0,
    });
    object("foro.post", pk, fields)
}

fn comment(pk: i64, user: i64, post: i64, parent: Option<i64>, second: i64) -> Value {
    let fields = json!({
        "user": user, "post": post, "parent": parent, "content": format!("Comentario {pk}"), "media": null,
        "created_at": time(second), "updated_at": time(second), "reactions_count": 9, "replies_count": 9,
    });
    object("foro.comment", pk, fields)
}

fn reaction(pk: i64, user: i64, kind: &str, content_type: Value, object_id: i64, second: i64) -> Value {
    let fields = json!({
        "user": user, "type": kind, "content_type": content_type, "object_id": object_id, "created_at": time(second),
    });
    object("foro.reaction", pk, fields)
}

fn lines(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("{object}\n")).collect()
}

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
    let picture = world.picture(&ana.token).await;
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
        message(501, 31, l, "Sí hay", Some(picture), 110),
        message(502, 30, a, "¿Cuánto?", Some(99_999), 120),
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
    let stranger = lines(&dump).replace(&format!("+{}", ana.phone), "+50579999999");
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
    assert_eq!(history[1]["media_id"], picture);
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

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as i64
    }
}

/// What a message's receipt says: delivered and read.
type Seen = (Option<i64>, Option<i64>);

#[tokio::test]
async fn ten_thousand_objects_come_out_as_they_were_although_the_first_try_is_killed() {
    let world = World::start("import-many");
    let mut people = Vec::new();
    for n in 0..5 {
        people.push(world.person("Persona", &format!("5057100000{n}")).await);
    }
    let numbers: Vec<_> = people.iter().map(|person| person.number).chain([7_001, 7_002]).collect();
    let mut dice = Dice(7);
    let mut dump: Vec<_> = people.iter().map(user).collect();

    // Rooms by what they become: number, people, pair.
    let mut rooms = Vec::new();
    for n in 0..60 {
        let mut inside: BTreeSet<_> = (0..2 + dice.below(3)).map(|_| numbers[dice.below(7) as usize]).collect();
        inside.insert(numbers[(n % 5) as usize]);
        let (pk, private) = (1_000 + n, inside.len() == 2);
        let inside: Vec<_> = inside.into_iter().collect();
        dump.push(room(pk, private, &inside, n));
        rooms.push((pk, inside, private));
    }
    let mut pairs: BTreeMap<Vec<i64>, i64> = BTreeMap::new();
    let becomes: BTreeMap<i64, i64> = rooms
        .iter()
        .map(|(pk, inside, private)| (*pk, if *private { *pairs.entry(inside.clone()).or_insert(*pk) } else { *pk }))
        .collect();

    // By the room they come to, in the order of time: number, sender, receipts.
    let mut history: BTreeMap<i64, Vec<(i64, i64, BTreeMap<i64, Seen>)>> = BTreeMap::new();
    let mut receipts = 0;
    for n in 0..2_500 {
        let (pk, inside, _) = &rooms[dice.below(60) as usize];
        let sender = inside[dice.below(inside.len() as i64) as usize];
        // Some at once.
        let second = 1_000 + n - n % 3;
        dump.push(message(10_000 + n, *pk, sender, &format!("Mensaje {n}"), None, second));
        let mut seen = BTreeMap::new();
        for who in inside.iter().filter(|who| **who != sender) {
            let delivered = (dice.below(10) > 0).then(|| second + dice.below(50));
            let read = delivered.filter(|_| dice.below(5) > 0).map(|at| at + dice.below(50));
            receipts += 1;
            dump.push(receipt(receipts, 10_000 + n, *who, delivered, read));
            seen.insert(*who, (delivered, read));
        }
        history.entry(becomes[pk]).or_default().push((10_000 + n, sender, seen));
    }

    let slugs = ["general", "consumidores", "veterinarios", "agronomos", "cafe", "leche"];
    for (n, slug) in slugs.iter().enumerate() {
        let members: BTreeSet<_> = (0..4).map(|_| numbers[dice.below(7) as usize]).collect();
        dump.push(community(20 + n as i64, slug, None, &members.into_iter().collect::<Vec<_>>()));
    }
    for n in 0..300 {
        let community = Some(20 + dice.below(7)).filter(|community| *community < 26);
        dump.push(post(100 + n, numbers[dice.below(7) as usize], community, None, n));
    }
    let mut parents: BTreeMap<i64, (i64, Option<i64>)> = BTreeMap::new();
    for n in 0..2_000 {
        let post = 100 + dice.below(300);
        let parent = (dice.below(3) > 0).then(|| 5_000 + dice.below(2_000));
        let parent = if n % 500 == 9 { Some(5_000 + n) } else { parent };
        // Mostly on the same post, before or after it, and sometimes itself.
        let post = parent.and_then(|parent| parents.get(&parent)).map_or(post, |(other, _)| *other);
        dump.push(comment(5_000 + n, numbers[dice.below(7) as usize], post, parent, 400 + n));
        parents.insert(5_000 + n, (post, parent));
    }
    for n in 0..2_500 {
        let (word, thing) =
            if dice.below(2) == 0 { ("post", 100 + dice.below(310)) } else { ("comment", 5_000 + dice.below(900)) };
        let kind = ["heart", "like", "dislike"][dice.below(3) as usize];
        dump.push(reaction(1 + n, numbers[dice.below(7) as usize], kind, json!(["foro", word]), thing, 3_000 + n));
    }
    assert!(dump.len() > 10_000, "{}", dump.len());

    // Killed while it waits for the rest.
    let empty = world.state().await;
    let mut child = plaza(&["import", "agrovet", "-", "--data-dir", world.platform.text("data_dir")])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines(&dump[..9_000]).as_bytes()).unwrap();
    input.flush().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    assert_eq!(world.state().await, empty);

    let (code, said) = world.import(&world.dump("many.jsonl", &lines(&dump)), &[]);
    assert_eq!(code, Some(0), "{said}");
    world.is_consistent().await;
    let imported = world.state().await;
    let (code, said) = world.import(&world.dump("many.json", &Value::from(dump).to_string()), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.state().await, imported);

    // Every message of everybody's rooms, with its receipts.
    let mut compared = 0;
    for (room, expected) in &history {
        let inside = &rooms.iter().find(|(pk, ..)| pk == room).unwrap().1;
        let private = inside.len() == 2;
        let viewer = people.iter().find(|person| inside.contains(&person.number)).unwrap();
        let mut told = Vec::new();
        for page in 1.. {
            let path = format!("/api/chat/messages/?room={room}&page_size=100&page={page}");
            let answer = world.read(&path, &viewer.token).await;
            told.extend(answer["results"].as_array().unwrap().clone());
            if answer["next"].is_null() {
                break;
            }
        }
        let shown: Vec<_> =
            told.iter().map(|one| (one["id"].as_i64().unwrap(), one["sender"]["id"].as_i64().unwrap())).collect();
        assert_eq!(shown, expected.iter().map(|(pk, sender, _)| (*pk, *sender)).collect::<Vec<_>>(), "room {room}");
        for who in inside.iter().filter(|who| private || **who < 7_000) {
            // What was delivered before something that was not says so of that too; see the import's notes.
            let mut later: Option<i64> = None;
            for ((_, sender, seen), message) in expected.iter().zip(&told).rev() {
                if sender == who {
                    continue;
                }
                let Some((delivered, read)) = seen.get(who) else { continue };
                later = delivered.or(later);
                assert_eq!(receipt_of(message, *who), (later.map(at), read.map(at)), "{who}: {message}");
                compared += 1;
            }
        }
        let unread = expected.iter().filter(|(.., seen)| seen.get(&viewer.number).is_some_and(|seen| seen.1.is_none()));
        let answer = world.read(&format!("/api/chat/rooms/{room}/"), &viewer.token).await;
        assert_eq!(answer["unread_count"], unread.count(), "room {room}");
    }
    assert!(compared > 2_000, "{compared}");

    // Every comment that can hang where it hung does.
    let mut forum = world.database("forum").await;
    let stored: Vec<(i64, i64, Option<i64>)> =
        sqlx::query_as("select id, post_id, parent_id from comments order by id").fetch_all(&mut forum).await.unwrap();
    assert_eq!(stored.len(), 2_000);
    let circular = |from: i64| {
        let mut seen = BTreeSet::new();
        let mut at = Some(from);
        while let Some(here) = at {
            if !seen.insert(here) {
                return here == from;
            }
            at = parents.get(&here).and_then(|(post, parent)| parent.filter(|up| parents[up].0 == *post));
        }
        false
    };
    let mut freed = 0;
    for (id, post, parent) in stored {
        let (old_post, old_parent) = parents[&id];
        assert_eq!(post, old_post);
        let fits = old_parent.filter(|up| parents[up].0 == post);
        if parent != fits {
            assert!(parent.is_none() && circular(id), "{id} hangs below {parent:?} and not {fits:?}");
            freed += 1;
        }
    }
    assert!(freed > 0, "there were circles");
}
