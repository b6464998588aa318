//! Conectar: contact details in chats, what the other channel's function reports and what administrators decide.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::story::Story;
use crate::world::{Person, World};

const KEY: &str = "the key of a function in a test, no other";
const CENSORED: &str = "*** Mensaje bloqueado por incluir datos de contacto ***";
const REPORT: &str = "/webhook/chat/infraction";

impl World {
    async fn reported(&self, path: &str, key: Option<&str>, body: Value) -> Answer {
        let request = self.post(path).json(&body);
        let request = match key {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        };
        self.ask(request).await
    }

    async fn reviewed(&self, token: &str, message: &str, body: Value) -> Answer {
        let path = format!("/api/v1/chat/moderation/{message}");
        self.ask(self.request(Method::PUT, &path).bearer_auth(token).json(&body)).await
    }

    async fn said(&self, person: &Person, chat: &str, text: &str) -> Answer {
        let path = format!("/api/v1/chat/{chat}/messages");
        self.ask(self.post(&path).bearer_auth(&person.token).json(&json!({ "content": text }))).await
    }

    /// Once the news have arrived: infractions, and whether chats are closed, as the profile page shows them.
    async fn stands(&self, person: &Person, infractions: i64, banned: bool) {
        testkit::eventually("users knows how they stand", async || {
            let me = self.ask(self.get("/api/v1/users/me").bearer_auth(&person.token)).await.body;
            me["infracciones_chat"] == infractions && me["is_chat_banned"] == banned
        })
        .await;
    }
}

#[tokio::test]
async fn a_function_with_the_key_reports_infractions_and_the_third_bans() {
    let world = World::with(&["--chat-webhook-key", KEY]).await;
    let ana = world.conectar("Ana", "ana@example.com", "PROFESIONAL").await;
    let mut story = Story::default();
    let body = json!({ "user_id": ana.id, "reason": "phone:true, email:false, social:false", "message_id": "Qx1" });
    story.tell("without a key", &world.reported(REPORT, None, body.clone()).await);
    story.tell("with another key", &world.reported(REPORT, Some("your-webhook-key"), body.clone()).await);
    story.tell("without a user", &world.reported(REPORT, Some(KEY), json!({ "reason": "phone:true" })).await);
    story.tell("with a user that is no id", &world.reported(REPORT, Some(KEY), json!({ "user_id": 7 })).await);
    let nobody = json!({ "user_id": "00000000-0000-4000-8000-000000000000" });
    story.tell("about nobody", &world.reported(REPORT, Some(KEY), nobody).await);
    story.tell("the first", &world.reported(REPORT, Some(KEY), body.clone()).await);
    story.tell("the first again", &world.reported(&format!("/api/v1{REPORT}"), Some(KEY), body).await);
    let body = json!({ "user_id": ana.id, "reason": null });
    story.tell("the second", &world.reported(&format!("/api/v2{REPORT}"), Some(KEY), body.clone()).await);
    world.stands(&ana, 2, false).await;
    story.tell("the third", &world.reported(&format!("/api{REPORT}"), Some(KEY), body.clone()).await);
    story.tell("the fourth", &world.reported(REPORT, Some(KEY), body).await);
    world.stands(&ana, 4, true).await;
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn without_a_configured_key_none_is_right() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let body = json!({ "user_id": ana.id });
    assert_eq!(world.reported(REPORT, None, body.clone()).await.status, 422);
    for key in ["", KEY] {
        let answer = world.reported(REPORT, Some(key), body.clone()).await;
        assert_eq!((answer.status, &answer.body["detail"]), (401, &json!("Invalid API Key")));
    }
}

#[tokio::test]
async fn administrators_decide_about_messages() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "PROFESIONAL").await;
    let leo = world.conectar("Leo", "leo@example.com", "CLIENTE").await;
    let admin = world.admin().await;
    let mut story = Story::default();
    let chat =
        world.post("/api/v1/chat/conversations").bearer_auth(&ana.token).json(&json!({ "other_user_id": leo.id }));
    let chat = world.ask(chat).await.body["id"].as_str().expect("an id").to_owned();
    let sent = world.said(&ana, &chat, "mi cel es 11 5550 0142").await;
    assert_eq!((sent.status, &sent.body["censored"], &sent.body["text"]), (200, &json!(true), &json!(CENSORED)));
    let message = sent.body["id"].as_str().expect("an id");
    let history = || async {
        let path = format!("/api/v1/chat/{chat}/messages");
        world.ask(world.get(&path).bearer_auth(&leo.token)).await.body[0]["text"].clone()
    };
    world.stands(&ana, 1, false).await;

    let approve = json!({ "estado": "APROBADO", "razon": "No es un teléfono" });
    let path = format!("/api/v1/chat/moderation/{message}");
    story.tell("nobody decides", &world.ask(world.request(Method::PUT, &path).json(&approve)).await);
    story.tell("a person decides", &world.reviewed(&ana.token, message, approve.clone()).await);
    story.tell("no decision", &world.reviewed(&admin, message, json!({ "estado": "TAL VEZ" })).await);
    story.tell("about nothing", &world.reviewed(&admin, "00000000-0000-4000-8000-000000000000", approve.clone()).await);
    story.tell("about no id", &world.reviewed(&admin, "7", approve.clone()).await);
    for asked in ["approved", "approved again"] {
        story.tell(asked, &world.reviewed(&admin, message, approve.clone()).await);
        assert_eq!(history().await, "mi cel es 11 5550 0142");
    }
    world.stands(&ana, 0, false).await;
    story.tell("rejected", &world.reviewed(&admin, message, json!({ "estado": "RECHAZADO", "razon": null })).await);
    assert_eq!(history().await, CENSORED);
    world.stands(&ana, 1, false).await;

    let path = format!("/ws/chat/{chat}");
    let open = world.socket(&path, &ana.token).await;
    for text in ["escribime a ana@example.com", "mi insta es ana.pinturas"] {
        assert_eq!(world.said(&ana, &chat, text).await.body["censored"], true);
    }
    assert_eq!(open.closed().await, 4403);
    assert_eq!(world.socket(&path, &ana.token).await.closed().await, 1008);
    story.tell("the chat is closed after the third", &world.said(&ana, &chat, "hola").await);
    world.stands(&ana, 3, true).await;
    insta::assert_snapshot!(story);
}
