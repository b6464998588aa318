//! Agrovet: reactions, and the notifications of them and of comments.

use reqwest::Method;
use serde_json::{Value, json};

use crate::story::Story;
use crate::world::World;

#[tokio::test]
async fn one_reacts_once_and_takes_it_back() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let post = world.post_of(&ana, "Fiebre aftosa").await;
    let comment = world.comment_of(&ana, &post, None).await;
    let mut story = Story::default();
    let react = |body: Value| world.call(Method::POST, "/api/foro/reactions/", &beto.token, body);
    let to = |kind: &str, id: i64, word: &str| json!({ "type": word, "content_type": kind, "object_id": id });
    story.tell("a new one", &react(to("post", 1, "like")).await);
    story.tell("again", &react(to("post", 1, "like")).await);
    story.tell("another type", &react(to("post", 1, "heart")).await);
    story.tell("to a comment", &react(to("comment", 1, "dislike")).await);
    let by_number = react(json!({ "type": "dislike", "content_type": 10, "object_id": "1" })).await;
    assert_eq!((by_number.status, &by_number.body["target_type"]), (200, &json!("comment")));
    story.tell("a type that is none", &react(to("post", 1, "angry")).await);
    story.tell("no type", &react(json!({ "content_type": "post", "object_id": 1 })).await);
    story.tell("to another kind", &react(to("ad", 1, "like")).await);
    story.tell("to nothing", &react(to("post", 99, "like")).await);
    story.tell("to nothing named", &react(json!({ "type": "like", "content_type": "post" })).await);
    story.tell(
        "an id that is no number",
        &react(json!({ "type": "like", "content_type": "post", "object_id": "x" })).await,
    );
    let nobody = world.post("/api/reactions/").json(&to("post", 1, "like"));
    story.tell("without a token", &world.ask(nobody).await);

    let path = format!("/api/foro/posts/{post}/react/");
    let to_post = |body: Value| world.call(Method::POST, &path, &ana.token, body);
    let liked = to_post(json!({})).await;
    assert_eq!((liked.status, &liked.body["type"]), (201, &json!("like")));
    assert_eq!(to_post(json!({ "type": "like" })).await.status, 200);
    assert_eq!(to_post(json!({ "type": "x" })).await.status, 400);
    let lost = world.call(Method::POST, "/api/foro/posts/99/react/", &ana.token, json!({})).await;
    story.tell("to a post that is none", &lost);
    let named = world.call(Method::POST, "/api/foro/reactions/", &ana.token, to("post", 99, "like")).await;
    assert_eq!((lost.status, &lost.body), (named.status, &named.body), "the two routes say the same");

    let shown = world.read("/api/foro/posts/1/", &beto.token).await.body;
    let counts = json!({ "heart": 1, "like": 1, "dislike": 0 });
    assert_eq!((&shown["reactions_count"], &shown["reactions"]), (&json!(2), &counts));
    assert_eq!(shown["my_reactions"], json!([{ "id": 1, "type": "heart" }]));
    assert_eq!(shown["comments"][0]["my_reactions"], json!([{ "id": 2, "type": "dislike" }]));
    assert_eq!(world.anybody("/api/foro/posts/1/").await.body.get("my_reactions"), None);
    let list = world.anybody("/api/foro/posts/").await.body;
    assert_eq!(list["results"][0]["comments"][0].get("my_reactions"), None);
    story.tell("who reacted", &world.anybody("/api/foro/reactions/?content_type=post&object_id=1&page_size=1").await);
    story.tell("to what did they", &world.anybody("/api/foro/reactions/?object_id=1").await);
    story
        .tell("who reacted to nothing", &world.anybody("/api/foro/reactions/?content_type=comment&object_id=99").await);

    let remove = |token: &str, id: &str| {
        let path = format!("/api/foro/reactions/{id}/remove/");
        world.ask(world.request(Method::DELETE, &path).bearer_auth(token))
    };
    story.tell("taking back a foreign one", &remove(&ana.token, "1").await);
    story.tell("taking it back", &remove(&beto.token, "1").await);
    story.tell("taking it back again", &remove(&beto.token, "1").await);
    story.tell("taking back what is no number", &remove(&beto.token, "x").await);
    assert_eq!(remove(&beto.token, "2").await.status, 204);
    let bare = world.anybody(&format!("/api/foro/comments/{comment}/")).await.body;
    assert_eq!((&bare["reactions_count"], &bare["popularity"]), (&json!(0), &json!(0)));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn one_is_told_of_answers_and_reactions() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let post = world.post_of(&ana, "Fiebre aftosa").await;
    let top = world.comment_of(&ana, &post, None).await;
    world.comment_of(&beto, &post, None).await;
    world.comment_of(&beto, &post, Some(&top)).await;
    for (kind, id) in [("post", &post), ("comment", &top)] {
        let form = json!({ "type": "heart", "content_type": kind, "object_id": id });
        assert_eq!(world.call(Method::POST, "/api/foro/reactions/", &beto.token, form).await.status, 201);
    }
    let mut story = Story::default();
    let read = |path: &'static str| world.read(path, &ana.token);
    story.tell("all", &read("/api/foro/notifications/").await);
    story.tell("one", &read("/api/foro/notifications/1/").await);
    assert_eq!(read("/api/notifications/").await.body["count"], json!(4));
    assert_eq!(world.read("/api/foro/notifications/", &beto.token).await.body["count"], json!(0));
    story.tell("a foreign one", &world.read("/api/foro/notifications/1/", &beto.token).await);
    story.tell("without a number", &read("/api/foro/notifications/x/").await);
    story.tell("without a token", &world.anybody("/api/foro/notifications/").await);
    story.tell("past the end", &read("/api/foro/notifications/?page=2").await);

    let mark = |token: &str, body: Value| {
        let token = token.to_owned();
        let world = &world;
        async move { world.call(Method::POST, "/api/foro/notifications/mark_read/", &token, body).await }
    };
    story.tell("how many are unread", &read("/api/foro/notifications/unread_count/").await);
    story.tell("reading two and a foreign one", &mark(&ana.token, json!({ "ids": [1, 2, 99] })).await);
    assert_eq!(mark(&beto.token, json!({ "ids": [3] })).await.body, json!({ "updated": 0 }));
    assert_eq!(mark(&ana.token, json!({})).await.body, json!({ "updated": 0 }));
    assert_eq!(mark(&ana.token, json!({ "ids": [2] })).await.body, json!({ "updated": 1 }));
    assert_eq!(read("/api/foro/notifications/?unread=true").await.body["count"], json!(2));
    story.tell("reading no list", &mark(&ana.token, json!({ "ids": "todas" })).await);
    story.tell("reading no numbers", &mark(&ana.token, json!({ "ids": ["a"] })).await);
    assert_eq!(mark(&ana.token, json!({ "all": true })).await.body, json!({ "updated": 2 }));
    assert_eq!(read("/api/foro/notifications/unread_count/").await.body, json!({ "unread": 0 }));

    let delete =
        |token: &str| world.ask(world.request(Method::DELETE, "/api/foro/notifications/1/").bearer_auth(token));
    assert_eq!(delete(&beto.token).await.status, 404);
    story.tell("deleting one", &delete(&ana.token).await);
    story.tell("deleting it again", &delete(&ana.token).await);
    insta::assert_snapshot!(story);
}
