//! From Plaza to Firebase, and what holds when Firebase is away.

use std::time::Duration;

use chat::Config;
use chat::firebase::{Bridge, Settings};
use chat::moderation::CENSORED;
use clap::CommandFactory;
use kit::Stop;
use proto::chat::v1::*;
use serde_json::{Value, json};
use testkit::within;
use tonic::Code;

use crate::firebase_fake::{Fault, Firebase};
use crate::moderation::{DAY, PHONE};
use crate::{PATIENCE, Somebody, World};

/// The service, Firebase, and a bridge that does what it is told.
pub(crate) struct Bridged {
    pub(crate) world: World,
    pub(crate) firebase: Firebase,
    pub(crate) bridge: Bridge,
}

pub(crate) async fn bridged() -> Bridged {
    let world = World::start().await;
    let firebase = Firebase::start(world.harness.clock.clone()).await;
    let bridge = world.bridge(&firebase);
    Bridged { world, firebase, bridge }
}

impl World {
    /// A bridge of a replica of its own.
    pub(crate) fn bridge(&self, firebase: &Firebase) -> Bridge {
        Bridge::try_new(&self.chat, &settings(firebase)).unwrap().unwrap()
    }
}

fn settings(firebase: &Firebase) -> Settings {
    Settings {
        firebase_service_account: Some(firebase.service_account.clone()),
        firestore_url: firebase.url.parse().unwrap(),
        firebase_database_url: Some(format!("{}/rtdb", firebase.url).parse().unwrap()),
        firebase_poll_seconds: 1,
        firebase_timeout_seconds: 60,
    }
}

impl Bridged {
    /// Two people and their deal.
    pub(crate) async fn dealers(&self) -> (Somebody, Somebody, Room) {
        let (ana, ben) = (self.world.person(1), self.world.person(2));
        let room = ana.deal(&ben).await;
        (ana, ben, room)
    }

    pub(crate) fn now(&self) -> i64 {
        self.world.harness.clock.now().timestamp_millis()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.world.harness.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn message(&self, chat: &str, message: &Message) -> Option<Value> {
        self.firebase.get(&format!("messages/{chat}/messages/{}", message.id))
    }

    pub(crate) fn entry(&self, somebody: &Somebody, chat: &str) -> Value {
        self.firebase.get(&format!("user_chats/{}/chats/{chat}", somebody.id)).unwrap()
    }

    pub(crate) fn banned(&self, somebody: &Somebody) -> Option<bool> {
        self.firebase.get(&format!("user_metadata/{}", somebody.id))?["chatBanned"].as_bool()
    }
}

#[tokio::test]
async fn a_deal_is_told_as_the_frontend_writes_it() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    let first = ana.say(&room, "hola").await.unwrap();
    let began = it.now();
    it.pass(1);
    let second = ben.say(&room, "¿qué tal?").await.unwrap();
    it.bridge.mirror_out().await.unwrap();

    let mut ids = [ana.id.to_string(), ben.id.to_string()];
    ids.sort();
    let chat = it.firebase.get(&format!("chats/{}", room.id)).unwrap();
    assert_eq!(chat["participants"], json!(ids));
    assert_eq!(chat["participantsData"][&ids[0]]["role"], "CLIENTE");
    assert_eq!(
        chat["lastMessage"],
        json!({ "text": "¿qué tal?", "senderId": ben.id.to_string(), "timestamp": it.now() })
    );
    assert_eq!((&chat["updatedAt"], chat.get("trabajoId")), (&json!(it.now()), None));
    assert_eq!(
        it.message(&room.id, &first).unwrap(),
        json!({
            "senderId": ana.id.to_string(), "senderName": "Usuario 1", "text": "hola", "timestamp": began,
            "read": false, "type": "text", "censored": false,
        })
    );
    assert_eq!(it.message(&room.id, &second).unwrap()["senderId"], ben.id.to_string());
    assert_eq!(
        it.entry(&ana, &room.id),
        json!({
            "lastMessage": "¿qué tal?", "lastMessageTime": it.now(), "unreadCount": 1,
            "otherUserId": ben.id.to_string(), "otherUserName": "Usuario 2", "otherUserPhoto": null,
            "trabajoId": null,
        })
    );
    assert_eq!(it.entry(&ben, &room.id)["unreadCount"], 1);

    // Nothing new is told, and nothing at all of other rooms.
    let elsewhere = ana.open_pair(&ben).await;
    ana.send(&elsewhere, "en privado").await;
    let commits = it.firebase.asked("commit");
    it.bridge.mirror_out().await.unwrap();
    assert_eq!(it.firebase.asked("commit"), commits);
    assert_eq!(it.firebase.list("chats").len(), 1);
    assert_eq!(it.firebase.tokens(), 1, "a token is used until it expires");
}

#[tokio::test]
async fn what_was_told_and_not_noted_counts_once() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    ana.say(&room, "uno").await.unwrap();
    // The chat is made, and nobody hears of it; then the message, and nobody hears of it.
    for _ in 0..2 {
        it.firebase.fail_once(Fault::Cut);
        assert_eq!(it.bridge.mirror_out().await.unwrap_err().code(), Code::Unavailable);
    }
    ana.say(&room, "dos").await.unwrap();
    // Another replica takes over.
    let other = it.world.bridge(&it.firebase);
    other.mirror_out().await.unwrap();
    assert_eq!(it.firebase.list(&format!("messages/{}/messages", room.id)).len(), 2);
    assert_eq!(it.entry(&ben, &room.id)["unreadCount"], 2);
    assert_eq!(it.entry(&ana, &room.id)["unreadCount"], 0);
    assert_eq!(it.firebase.list("chats").len(), 1);
}

#[tokio::test]
async fn two_replicas_tell_each_message_once() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    let other = it.world.bridge(&it.firebase);
    let all = format!("messages/{}/messages", room.id);
    for round in 1..=5 {
        for number in 0..7 {
            ana.say(&room, &format!("{round}.{number}")).await.unwrap();
        }
        within(PATIENCE, "all is told", async || {
            // One of both may find that the other was faster.
            let _ = tokio::join!(it.bridge.mirror_out(), other.mirror_out());
            it.firebase.list(&all).len() == round * 7
        })
        .await;
    }
    within(PATIENCE, "it is noted", async || it.bridge.mirror_out().await.is_ok()).await;
    assert_eq!(it.entry(&ben, &room.id)["unreadCount"], 35);
}

#[tokio::test]
async fn edits_deletions_and_censoring_are_told() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    let kept = ana.say(&room, "hola").await.unwrap();
    let gone = ana.say(&room, "borrame").await.unwrap();
    let never = ana.say(&room, "nunca visto").await.unwrap();
    ana.delete(&never).await.unwrap();
    let told = ana.say(&room, PHONE).await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    assert!(it.message(&room.id, &never).is_none());
    assert_eq!(it.message(&room.id, &told).unwrap()["text"], CENSORED);
    assert_eq!(it.entry(&ben, &room.id)["lastMessage"], CENSORED);

    ana.edit(&kept, "hola a todos").await.unwrap();
    ana.delete(&gone).await.unwrap();
    ana.edit(&told, "por acá").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    assert_eq!(it.message(&room.id, &kept).unwrap()["text"], "hola a todos");
    assert_eq!(it.message(&room.id, &gone).unwrap()["text"], "🚫 Mensaje eliminado");
    let again = it.message(&room.id, &told).unwrap();
    assert_eq!((&again["text"], &again["censored"]), (&json!("por acá"), &json!(false)));
    assert_eq!(it.entry(&ben, &room.id)["lastMessage"], "por acá", "the list shows the newest message as it is");
    assert_eq!(it.entry(&ben, &room.id)["unreadCount"], 3, "and counts nothing anew");
}

#[tokio::test]
async fn what_is_read_here_is_read_there() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    let first = ana.say(&room, "uno").await.unwrap();
    ben.read_all(&room).await;
    let second = ana.say(&room, "dos").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    assert_eq!(it.message(&room.id, &first).unwrap()["read"], true);
    assert_eq!(it.message(&room.id, &second).unwrap()["read"], false);
    assert_eq!(it.entry(&ben, &room.id)["unreadCount"], 1);
    ben.read_all(&room).await;
    // There is a pause if looking took long.
    within(PATIENCE, "it is told", async || {
        it.bridge.mirror_out().await.unwrap();
        it.entry(&ben, &room.id)["unreadCount"] == 0
    })
    .await;
    assert_eq!(it.message(&room.id, &second).unwrap()["read"], true);
    let writes = it.firebase.asked("batchWrite");
    it.bridge.mirror_out().await.unwrap();
    assert_eq!(it.firebase.asked("batchWrite"), writes, "once");
}

#[tokio::test]
async fn notices_are_messages_of_nobody() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    sqlx::query(
        "with place as (update rooms set last_sequence = 1, last_change = 1, last_activity_at = $2 returning id)
         insert into messages (id, room_id, sequence, sent_change, change, kind, text, created_at)
         select gen_random_uuid(), id, 1, 1, 1, 'SYSTEM', $1, $2 from place",
    )
    .bind("❌ La oferta fue rechazada")
    .bind(it.world.harness.clock.now())
    .execute(&it.world.harness.service.db)
    .await
    .unwrap();
    it.bridge.mirror_out().await.unwrap();
    let (_, notice) = it.firebase.list(&format!("messages/{}/messages", room.id)).remove(0);
    assert_eq!(
        notice,
        json!({
            "senderId": "system", "senderName": "Sistema", "text": "❌ La oferta fue rechazada", "timestamp": it.now(),
            "read": false, "type": "text", "censored": false,
        })
    );
    for somebody in [&ana, &ben] {
        assert_eq!(it.entry(somebody, &room.id)["unreadCount"], 1);
    }
}

#[tokio::test]
async fn bans_are_told_when_they_begin_and_when_they_end() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    ana.say(&room, PHONE).await.unwrap();
    it.bridge.tell_bans().await.unwrap();
    assert_eq!(it.banned(&ana), None, "a warning is none");
    for _ in 0..2 {
        ana.say(&room, PHONE).await.unwrap();
    }
    it.firebase.put(&format!("user_metadata/{}", ana.id), json!({ "theme": "dark" }));
    it.firebase.fail_once(Fault::Status(503));
    assert!(it.bridge.tell_bans().await.is_err());
    it.bridge.tell_bans().await.unwrap();
    let metadata = it.firebase.get(&format!("user_metadata/{}", ana.id)).unwrap();
    assert_eq!(metadata, json!({ "theme": "dark", "chatBanned": true }));
    it.world.harness.clock.advance(7 * DAY);
    it.world.chat.end_bans().await.unwrap();
    it.bridge.tell_bans().await.unwrap();
    assert_eq!((it.banned(&ana), it.banned(&ben)), (Some(false), None));
}

#[tokio::test]
async fn nobody_waits_for_a_firebase_that_is_away() {
    let mut it = bridged().await;
    let hasty = Settings { firebase_timeout_seconds: 1, ..settings(&it.firebase) };
    it.bridge = Bridge::try_new(&it.world.chat, &hasty).unwrap().unwrap();
    let (ana, ben, room) = it.dealers().await;
    for (number, fault) in
        [Fault::Status(503), Fault::Status(429), Fault::Hang, Fault::Status(403)].into_iter().enumerate()
    {
        it.firebase.fail(fault);
        ana.say(&room, &format!("mensaje {number}")).await.unwrap();
        for failed in [it.bridge.mirror_out().await, it.bridge.mirror_in().await] {
            assert_eq!(failed.unwrap_err().code(), Code::Unavailable, "{fault:?}");
        }
    }
    let mut nowhere = settings(&it.firebase);
    nowhere.firestore_url = "http://127.0.0.1:9".parse().unwrap();
    it.firebase.fail(None);
    it.bridge = it.world.bridge(&it.firebase);
    let lost = Bridge::try_new(&it.world.chat, &nowhere).unwrap().unwrap();
    assert_eq!(lost.mirror_out().await.unwrap_err().code(), Code::Unavailable);
    it.bridge.mirror_out().await.unwrap();
    assert_eq!(it.firebase.list(&format!("messages/{}/messages", room.id)).len(), 4);
    assert_eq!(it.entry(&ben, &room.id)["unreadCount"], 4);
}

#[tokio::test]
async fn a_room_that_cannot_be_told_keeps_no_other() {
    let it = bridged().await;
    let (ana, ben, room) = it.dealers().await;
    let eva = it.world.person(3);
    let other = ana.deal(&eva).await;
    it.firebase.refuse(Some(&room.id));
    ana.say(&room, "hola").await.unwrap();
    let told = ana.say(&other, "buenas").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    assert!(it.message(&other.id, &told).is_some());
    assert!(it.firebase.get(&format!("chats/{}", room.id)).is_none());
    let asked = it.firebase.asked("batchWrite");
    it.bridge.mirror_out().await.unwrap();
    assert_eq!(it.firebase.asked("batchWrite"), asked, "it rests");
    it.firebase.refuse(None);
    within(PATIENCE, "it is tried again", async || {
        it.bridge.mirror_out().await.unwrap();
        it.firebase.list(&format!("messages/{}/messages", room.id)).len() == 1
    })
    .await;
    assert_eq!(it.entry(&ben, &room.id)["unreadCount"], 1);
}

#[tokio::test]
async fn a_token_is_renewed_when_it_is_refused_or_expires() {
    let it = bridged().await;
    let (ana, _, room) = it.dealers().await;
    ana.say(&room, "hola").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    it.firebase.withdraw_tokens();
    ana.say(&room, "sigo acá").await.unwrap();
    it.bridge.mirror_out().await.unwrap();
    assert_eq!((it.firebase.tokens(), it.firebase.list(&format!("messages/{}/messages", room.id)).len()), (2, 2));
    it.pass(3590);
    it.bridge.mirror_in().await.unwrap();
    assert_eq!(it.firebase.tokens(), 3, "a minute before its end");
}

#[tokio::test]
async fn it_runs_by_itself_in_one_replica_and_ends_at_the_stop() {
    let it = bridged().await;
    let (ana, _, room) = it.dealers().await;
    let stop = Stop::new();
    let running: Vec<_> = (0..2).map(|_| tokio::spawn(it.world.bridge(&it.firebase).run(stop.clone()))).collect();
    let sent = ana.say(&room, "hola").await.unwrap();
    within(PATIENCE, "it is told", async || it.message(&room.id, &sent).is_some()).await;
    assert_eq!(it.firebase.tokens(), 1, "the other one waits");
    stop.cancel();
    for task in running {
        tokio::time::timeout(Duration::from_secs(10), task).await.expect("it ends").unwrap();
    }
}

#[tokio::test]
async fn without_a_service_account_there_is_no_bridge() {
    let world = World::start().await;
    let firebase = Firebase::start(world.harness.clock.clone()).await;
    Config::command().debug_assert();
    for nothing in [None, Some(" ".to_owned())] {
        let off = Settings { firebase_service_account: nothing, ..settings(&firebase) };
        assert!(Bridge::try_new(&world.chat, &off).unwrap().is_none());
    }
    let broken = Settings { firebase_service_account: Some("{}".into()), ..settings(&firebase) };
    assert!(Bridge::try_new(&world.chat, &broken).is_err(), "a mistake is told at the start");
}
