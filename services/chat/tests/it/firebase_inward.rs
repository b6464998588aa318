//! From Firebase to Plaza: what its clients wrote, honest and other ones.

use chat::moderation::CENSORED;
use proto::chat::v1::*;
use serde_json::{Value, json};
use tonic::Code;

use crate::firebase::{Bridged, bridged};
use crate::firebase_fake::Fault;
use crate::moderation::PHONE;
use crate::{Somebody, refused, texts};

impl Bridged {
    /// What the page does for a new chat.
    fn open(&self, chat: &str, people: &[&Somebody], job: Option<&str>) {
        let mut ids: Vec<_> = people.iter().map(|it| it.id.to_string()).collect();
        ids.sort();
        let mut document =
            json!({ "participants": ids, "createdAt": { "at": self.now() }, "updatedAt": { "at": self.now() } });
        if let Some(job) = job {
            document["trabajoId"] = job.into();
        }
        self.firebase.put(&format!("chats/{chat}"), document);
        for me in people {
            let entry = json!({ "lastMessage": "", "lastMessageTime": { "at": self.now() }, "unreadCount": 0 });
            self.firebase.put(&format!("user_chats/{}/chats/{chat}", me.id), entry);
        }
    }

    /// What the page does to send a text; the path of its document.
    fn write(&self, chat: &str, sender: &Somebody, text: &str) -> String {
        let path = self.post(chat, json!({ "senderId": sender.id.to_string(), "text": text }));
        let last = json!({ "text": text, "senderId": sender.id.to_string(), "timestamp": { "at": self.now() } });
        self.firebase.set(&format!("chats/{chat}"), json!({ "lastMessage": last, "updatedAt": { "at": self.now() } }));
        let entry = format!("user_chats/{}/chats/{chat}", sender.id);
        self.firebase.set(&entry, json!({ "lastMessage": text }));
        path
    }

    /// A message's document, with these fields.
    fn post(&self, chat: &str, mut fields: Value) -> String {
        for (name, value) in
            [("read", json!(false)), ("type", json!("text")), ("timestamp", json!({ "at": self.now() }))]
        {
            if fields.get(name).is_none() {
                fields[name] = value;
            }
        }
        let id = format!("{:0>20}", self.firebase.list(&format!("messages/{chat}/messages")).len());
        let path = format!("messages/{chat}/messages/{id}");
        self.firebase.put(&path, fields);
        path
    }

    /// A message in the layout of before.
    fn post_old(&self, chat: &str, id: &str, sender: &Somebody, text: &str) -> String {
        let path = format!("chats/{chat}/messages/{id}");
        let fields = json!({ "senderId": sender.id.to_string(), "text": text, "createdAt": { "at": self.now() } });
        self.firebase.put(&path, fields);
        path
    }

    fn text(&self, path: &str) -> String {
        self.firebase.get(path).unwrap()["text"].as_str().unwrap().to_owned()
    }

    async fn conversations(&self, somebody: &Somebody) -> Vec<Room> {
        let request = ListRoomsRequest { kinds: vec![RoomKind::Deal.into()], messages: 50, ..Default::default() };
        somebody.rooms().list_rooms(request).await.unwrap().into_inner().rooms
    }
}

#[tokio::test]
async fn what_is_written_there_is_stored_here_once_and_in_its_order() {
    let it = bridged().await;
    let (ana, ben) = (it.world.person(1), it.world.person(2));
    it.open("chat-a", &[&ana, &ben], Some("job 7"));
    it.write("chat-a", &ana, "hola");
    it.pass(1);
    it.write("chat-a", &ben, "buenas");
    it.post_old("chat-a", "old1", &ana, "de antes");
    let other = it.world.bridge(&it.firebase);
    for _ in 0..3 {
        let (one, two) = tokio::join!(it.bridge.mirror_in(), other.mirror_in());
        one.and(two).unwrap();
        it.pass(1);
        it.write("chat-a", &ana, "otra");
    }
    it.bridge.mirror_in().await.unwrap();
    let rooms = it.conversations(&ben).await;
    assert_eq!((rooms.len(), rooms[0].subject.as_str()), (1, "job 7"));
    let history = ben.history(&rooms[0]).await;
    let mut said = texts(&history);
    said.sort();
    assert_eq!(said, ["buenas", "de antes", "hola", "otra", "otra", "otra"]);
    assert!(history.windows(2).all(|pair| {
        let at = |message: &Message| message.created_at.map(|at| (at.seconds, at.nanos));
        at(&pair[0]) <= at(&pair[1])
    }));
    assert_eq!(history[0].sender_id, ana.id.to_string());

    // What is there is not written there once more, and Plaza's own words are not read back.
    ben.say(&rooms[0], "desde Plaza").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    it.bridge.mirror_in().await.unwrap();
    assert_eq!(it.firebase.list("messages/chat-a/messages").len(), 6, "five of the page, one of Plaza");
    assert_eq!(ben.history(&rooms[0]).await.len(), 7);
    assert_eq!(it.firebase.list("chats").len(), 1);
}

#[tokio::test]
async fn a_chat_is_of_two_people_who_exist() {
    let it = bridged().await;
    let (ana, ben, eva) = (it.world.person(1), it.world.person(2), it.world.person(3));
    it.open("three", &[&ana, &ben, &eva], None);
    it.open("alone", &[&ana], None);
    it.firebase.put("chats/ghosts", json!({ "participants": [ana.id.to_string(), uuid::Uuid::now_v7().to_string()] }));
    it.firebase.put("chats/odd", json!({ "participants": "everybody" }));
    for chat in ["three", "alone", "ghosts", "odd", "none"] {
        it.post(chat, json!({ "senderId": ana.id.to_string(), "text": "hola" }));
    }
    // Ids that no frontend makes, texts that nobody could store.
    it.post("__odd__", json!({ "senderId": ana.id.to_string(), "text": "hola" }));
    it.firebase.put("messages/x/messages/y/messages/z", json!({ "timestamp": { "at": it.now() }, "text": "hondo" }));
    it.bridge.mirror_in().await.unwrap();
    assert!(it.conversations(&ana).await.is_empty());

    // A page was faster than whoever makes its chat.
    it.open("none", &[&ana, &ben], None);
    sqlx::query("update firebase_chats set ask_at = now()").execute(&it.world.harness.service.db).await.unwrap();
    it.bridge.mirror_in().await.unwrap();
    let rooms = it.conversations(&ben).await;
    assert_eq!(texts(&ben.history(&rooms[0]).await), ["hola"]);
}

#[tokio::test]
async fn who_is_no_participant_says_nothing_and_nobody_writes_in_the_future() {
    let it = bridged().await;
    let (ana, ben, eva) = (it.world.person(1), it.world.person(2), it.world.person(3));
    it.open("chat-a", &[&ana, &ben], None);
    it.write("chat-a", &ana, "hola");
    for sender in [json!(eva.id.to_string()), json!("system"), json!(7), json!(null)] {
        it.post("chat-a", json!({ "senderId": sender, "text": "soy otro" }));
    }
    let future = it.post(
        "chat-a",
        json!({
            "senderId": ana.id.to_string(), "text": "del futuro", "timestamp": { "at": 4_102_444_800_000i64 },
        }),
    );
    it.post("chat-a", json!({ "senderId": ana.id.to_string(), "text": "sin hora", "timestamp": "ayer" }));
    it.bridge.mirror_in().await.unwrap();
    it.pass(60);
    it.write("chat-a", &ben, "buenas");
    it.bridge.mirror_in().await.unwrap();
    let room = it.conversations(&ben).await.remove(0);
    assert_eq!(texts(&ben.history(&room).await), ["hola", "buenas"]);
    assert_eq!(it.text(&future), "del futuro");
}

#[tokio::test]
async fn contact_details_disappear_there_in_both_layouts_and_count_once() {
    let it = bridged().await;
    let (ana, ben, eva) = (it.world.person(1), it.world.person(2), it.world.person(3));
    it.open("chat-a", &[&ana, &ben], None);
    let new = it.write("chat-a", &ana, PHONE);
    let old = it.post_old("chat-a", "old1", &ben, "escribime a ben@example.com");
    // In a chat that is no conversation, and of somebody who is not in it.
    it.open("three", &[&ana, &ben, &eva], None);
    let alien = it.post("three", json!({ "senderId": eva.id.to_string(), "text": PHONE }));
    // The first write fails, so that everything is done once more.
    it.firebase.fail_once(Fault::Status(503));
    assert_eq!(it.bridge.mirror_in().await.unwrap_err().code(), Code::Unavailable);
    for _ in 0..3 {
        it.bridge.mirror_in().await.unwrap();
    }
    for path in [&new, &old, &alien] {
        assert_eq!(it.text(path), CENSORED);
    }
    let censored = it.firebase.get(&new).unwrap();
    assert_eq!(censored["censorReasons"], json!({ "phone": true, "email": false, "social": false }));
    assert_eq!((&censored["censored"], &censored["censoredAt"]), (&json!(true), &json!(it.now())));
    assert!(u32::from_str_radix(censored["originalTextHash"].as_str().unwrap(), 16).is_ok());
    assert_eq!(it.firebase.get(&old).unwrap()["censorReasons"]["email"], true);
    assert_eq!(it.firebase.get("chats/chat-a").unwrap()["lastMessage"]["text"], CENSORED);
    assert_eq!(it.entry(&ana, "chat-a")["lastMessage"], CENSORED);
    for somebody in [&ana, &ben, &eva] {
        assert_eq!(somebody.standing().await, (1, false));
    }
    let room = it.conversations(&ben).await.remove(0);
    assert!(ben.history(&room).await.iter().all(|message| message.censored && message.text == CENSORED));

    // The page writes the list after the message, perhaps after us.
    it.firebase.set("chats/chat-a", json!({ "lastMessage": { "text": PHONE } }));
    it.bridge.mirror_out().await.unwrap();
    it.firebase.set(&new, json!({ "read": true }));
    it.bridge.mirror_in().await.unwrap();
    assert_eq!(it.firebase.get("chats/chat-a").unwrap()["lastMessage"]["text"], CENSORED);
}

#[tokio::test]
async fn whoever_is_banned_or_blocked_is_not_heard_from_there_either() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    it.open("chat-a", &[&ana, &ben], None);
    for _ in 0..3 {
        ana.say(&room, PHONE).await.unwrap();
    }
    assert_eq!(refused(ana.say(&room, "hola").await).1, "CHAT_BANNED");
    let said = it.write("chat-a", &ana, "acá sí puedo");
    it.bridge.mirror_in().await.unwrap();
    it.bridge.mirror_in().await.unwrap();
    assert_eq!(it.text(&said), CENSORED);
    assert_eq!(ben.history(&room).await.len(), 3);
    assert_eq!(ana.standing().await, (3, true), "it is no infraction");

    let block = BlockUserRequest { user: Some(ben.key()) };
    ana.rooms().block_user(block).await.unwrap();
    let said = it.write("chat-a", &ben, "¿me leés?");
    it.bridge.mirror_in().await.unwrap();
    assert_eq!((it.text(&said).as_str(), ben.history(&room).await.len()), ("¿me leés?", 3));
}

#[tokio::test]
async fn a_chat_opened_there_with_somebody_banned_reaches_them() {
    let it = bridged().await;
    let (ana, _ben, room) = it.dealers().await;
    for _ in 0..3 {
        ana.say(&room, PHONE).await.unwrap();
    }
    // The first participant is the one whose id is less, and not who opened it.
    let carla = it.world.person(3);
    assert!(ana.id < carla.id);
    it.open("chat-new", &[&ana, &carla], None);
    it.write("chat-new", &carla, "buenas");
    it.bridge.mirror_in().await.unwrap();
    let rooms = it.conversations(&carla).await;
    let [opened] = rooms.as_slice() else { panic!("{rooms:?}") };
    assert_eq!(texts(&ana.history(opened).await), ["buenas"]);
}

#[tokio::test]
async fn what_stands_there_otherwise_than_here_is_written_back() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    let sent = ana.say(&room, "cuesta 100").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    it.bridge.mirror_in().await.unwrap();
    let path = format!("messages/{}/messages/{}", room.id, sent.id);
    it.firebase.set(&path, json!({ "text": "cuesta 900" }));
    it.bridge.mirror_in().await.unwrap();
    assert_eq!(it.text(&path), "cuesta 100");
    assert_eq!(texts(&ben.history(&room).await), ["cuesta 100"]);

    // And what came from there follows what becomes of it here.
    let taken = it.write(&room.id, &ben, "va");
    it.bridge.mirror_in().await.unwrap();
    let message = ben.history(&room).await.remove(1);
    ben.edit(&message, "dale").await.unwrap();
    ana.read_all(&room).await;
    testkit::within(crate::PATIENCE, "it is told", async || {
        it.bridge.mirror_out().await.unwrap();
        it.firebase.get(&taken).unwrap()["read"] == true
    })
    .await;
    it.bridge.mirror_in().await.unwrap();
    assert_eq!(it.text(&taken), "dale");
}

#[tokio::test]
async fn what_is_read_there_is_read_here() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    let sent = ana.say(&room, "hola").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    it.bridge.mirror_in().await.unwrap();
    assert_eq!(it.conversations(&ben).await[0].unread_count, 1);
    let mut line = ana.connect(&room).await;
    it.firebase.set(&format!("messages/{}/messages/{}", room.id, sent.id), json!({ "read": true }));
    it.bridge.mirror_in().await.unwrap();
    assert_eq!(it.conversations(&ben).await[0].unread_count, 0);
    let receipt = line.find(crate::receipt).await;
    assert_eq!((receipt.user_id, receipt.ids), (ben.id.to_string(), vec![sent.id]));
}

#[tokio::test]
async fn a_message_that_was_moderated_before_its_chat_was_known_is_one_infraction() {
    let it = bridged().await;
    let (ana, ben) = (it.world.person(1), it.world.person(2));
    let path = it.post("late", json!({ "senderId": ana.id.to_string(), "text": PHONE }));
    // Noted, but not censored before the chat is made.
    it.firebase.fail_once(Fault::Status(503));
    assert!(it.bridge.mirror_in().await.is_err());
    assert_eq!(ana.standing().await, (1, false));
    it.open("late", &[&ana, &ben], None);
    sqlx::query("update firebase_chats set ask_at = now()").execute(&it.world.harness.service.db).await.unwrap();
    it.bridge.mirror_in().await.unwrap();
    it.bridge.mirror_in().await.unwrap();
    assert_eq!((it.text(&path).as_str(), ana.standing().await), (CENSORED, (1, false)));
    let room = it.conversations(&ben).await.remove(0);
    assert_eq!(texts(&ben.history(&room).await), [CENSORED]);
}

#[tokio::test]
async fn several_documents_of_a_pair_are_one_room_and_plaza_writes_in_the_last() {
    let it = bridged().await;
    let (ana, ben) = (it.world.person(1), it.world.person(2));
    for chat in ["chat-a", "chat-b"] {
        it.open(chat, &[&ana, &ben], None);
        it.write(chat, &ana, chat);
        it.pass(5);
    }
    it.bridge.mirror_in().await.unwrap();
    let rooms = it.conversations(&ben).await;
    assert_eq!(rooms.len(), 1);
    let first = ben.say(&rooms[0], "acá").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    assert!(it.message("chat-b", &first).is_some());
    it.write("chat-a", &ana, "volví");
    it.bridge.mirror_in().await.unwrap();
    let second = ben.say(&rooms[0], "te sigo").await.unwrap();
    ben.read_all(&rooms[0]).await;
    it.bridge.mirror_out().await.unwrap();
    assert!(it.message("chat-a", &second).is_some());
    assert_eq!(it.entry(&ben, "chat-a")["unreadCount"], 0);
}

#[tokio::test]
async fn plaza_writes_into_the_chat_that_the_page_made() {
    let it = bridged().await;
    let (ana, ben) = (it.world.person(1), it.world.person(2));
    it.open("other-job", &[&ana, &ben], Some("job 8"));
    it.open("general", &[&ana, &ben], None);
    let room = ana.deal(&ben).await;
    let sent = ana.say(&room, "hola").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    assert!(it.message("general", &sent).is_some());
    assert_eq!(it.firebase.list("chats").len(), 2);
}

#[tokio::test]
async fn pictures_stay_there_and_large_documents_do_not_stop_the_others() {
    let it = bridged().await;
    let (ana, ben) = (it.world.person(1), it.world.person(2));
    it.open("chat-a", &[&ana, &ben], None);
    let sender = ana.id.to_string();
    it.post(
        "chat-a",
        json!({ "senderId": sender, "type": "image", "text": "", "imageUrl": "data:image/png;base64,AAAA" }),
    );
    it.post("chat-a", json!({ "senderId": sender, "type": "image", "text": "mi patio", "read": true }));
    it.post("chat-a", json!({ "senderId": sender, "text": "" }));
    it.post("chat-a", json!({ "senderId": sender, "text": format!("a\0{}", "ñ".repeat(9_000)) }));
    it.post("chat-a", json!({ "senderId": sender, "text": "corto" }));
    it.firebase.limit_answers(20_000);
    it.bridge.mirror_in().await.unwrap();
    let room = it.conversations(&ben).await.remove(0);
    let history = ben.history(&room).await;
    let lengths: Vec<_> = history.iter().map(|message| message.text.chars().count()).collect();
    assert_eq!(lengths, [8, 8, 8_000, 5]);
    assert_eq!(history[0].text, "📷 Imagen");
    assert_eq!(it.conversations(&ben).await[0].unread_count, 2, "what was read there is read");
}

#[tokio::test]
async fn conversations_of_the_realtime_database_get_a_chat_once() {
    let it = bridged().await;
    let (ana, ben, eva) = (it.world.person(1), it.world.person(2), it.world.person(3));
    let conversation = |people: &[&Somebody]| {
        let people: serde_json::Map<_, _> =
            people.iter().map(|it| (it.id.to_string(), json!({ "name": "x", "lastRead": 0 }))).collect();
        json!({ "participants": people, "createdAt": it.now() - 1_000, "updatedAt": it.now(),
            "lastMessage": { "text": "hola", "timestamp": it.now(), "senderId": ana.id.to_string() } })
    };
    it.firebase.put_node("conversations/-Oabc", conversation(&[&ana, &ben]));
    it.firebase.put_node("conversations/-Othree", conversation(&[&ana, &ben, &eva]));
    it.firebase.put_node("conversations/-Oghost", json!({ "participants": { "x": 1, "y": 2 }, "updatedAt": it.now() }));
    let mut future = conversation(&[&ana, &eva]);
    future["updatedAt"] = json!(4_102_444_800_000i64);
    it.firebase.put_node("conversations/-Ofuture", future);
    // The page was faster.
    it.post("-Oabc", json!({ "senderId": ana.id.to_string(), "text": "hola" }));
    it.bridge.mirror_in().await.unwrap();
    assert!(it.conversations(&ana).await.is_empty());

    it.firebase.fail_once(Fault::Cut);
    assert!(it.bridge.bridge_conversations().await.is_err());
    for _ in 0..2 {
        it.bridge.bridge_conversations().await.unwrap();
        it.bridge.mirror_in().await.unwrap();
    }
    assert_eq!(it.firebase.list("chats").len(), 1);
    let chat = it.firebase.get("chats/-Oabc").unwrap();
    assert_eq!((&chat["createdAt"], chat["participants"].as_array().unwrap().len()), (&json!(it.now() - 1_000), 2));
    assert_eq!(it.entry(&ben, "-Oabc")["otherUserId"], ana.id.to_string());
    let room = it.conversations(&ben).await.remove(0);
    assert_eq!(texts(&ben.history(&room).await), ["hola"]);

    // Whatever is there stays.
    it.firebase.set(&format!("user_chats/{}/chats/-Oabc", ben.id), json!({ "unreadCount": 9 }));
    it.firebase.put_node("conversations/-Oabc/updatedAt", json!(it.now()));
    it.world.bridge(&it.firebase).bridge_conversations().await.unwrap();
    assert_eq!(it.entry(&ben, "-Oabc")["unreadCount"], 9);
}

#[tokio::test]
async fn contact_details_disappear_in_the_realtime_database_and_count_once() {
    let it = bridged().await;
    let (ana, ben) = (it.world.person(1), it.world.person(2));
    it.firebase.put_node("conversations/-Oabc", json!({
        "participants": { ana.id.to_string(): {}, ben.id.to_string(): {} }, "createdAt": it.now(),
        "updatedAt": it.now(), "lastMessage": { "text": PHONE, "timestamp": it.now(), "senderId": ana.id.to_string() },
    }));
    let message = |text: &str| {
        json!({
            "senderId": ana.id.to_string(), "senderName": "Ana", "text": text, "timestamp": it.now(), "read": false, "type": "text",
        })
    };
    it.firebase.put_node("messages/-Oabc/-M1", message("hola"));
    it.firebase.put_node("messages/-Oabc/-M2", message(PHONE));
    for _ in 0..3 {
        it.world.bridge(&it.firebase).bridge_conversations().await.unwrap();
    }
    assert_eq!(it.firebase.node("messages/-Oabc/-M1/text"), "hola");
    let censored = it.firebase.node("messages/-Oabc/-M2");
    assert_eq!((&censored["text"], &censored["censored"]), (&json!(CENSORED), &json!(true)));
    assert_eq!((&censored["censoredAt"], &censored["censorReasons"]["phone"]), (&json!(it.now()), &json!(true)));
    assert_eq!(it.firebase.node("conversations/-Oabc/lastMessage/text"), CENSORED);
    assert_eq!(ana.standing().await, (1, false));
}
