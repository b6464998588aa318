//! Agrovet: moderation of the forum.

use reqwest::Method;
use serde_json::{Value, json};

use crate::agrovet_foro::titles;
use crate::story::Story;
use crate::world::World;

#[tokio::test]
async fn moderators_act_and_everybody_reads_what_they_did() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let made = json!({ "name": "Apicultura", "slug": "apicultura" });
    world.call(Method::POST, "/api/foro/communities/", &ana.token, made).await;
    for title in ["a", "b", "c"] {
        let form = json!({ "title": title, "content": "Texto", "community_id": 5 });
        world.call(Method::POST, "/api/foro/posts/", &beto.token, form).await;
    }
    world.comment_of(&beto, &json!(1), None).await;
    let mut story = Story::default();
    let act = |token: &str, path: &str, body: Value| {
        let (world, token, path) = (&world, token.to_owned(), format!("/api/foro/{path}/"));
        async move { world.call(Method::POST, &path, &token, body).await }
    };
    story.tell("a report", &act(&ana.token, "posts/1/report", json!({ "reason": "Publicidad" })).await);
    story.tell("a report without a reason", &act(&ana.token, "posts/1/report", json!({})).await);
    story.tell("a report of nothing", &act(&ana.token, "posts/99/report", json!({ "reason": "x" })).await);
    assert_eq!(act(&ana.token, "comments/1/report", json!({ "reason": "Grosero" })).await.status, 201);
    story.tell("the reports", &world.read("/api/foro/communities/5/reports/", &ana.token).await);
    story.tell("the reports for a member", &world.read("/api/foro/communities/5/reports/", &beto.token).await);
    assert_eq!(world.read("/api/foro/reports/", &ana.token).await.status, 403);
    let (staff, _) = world.staff().await;
    assert_eq!(world.read("/api/foro/reports/", &staff).await.body["count"], json!(0));
    story.tell("unfounded reports", &act(&ana.token, "comments/1/dismiss", json!({})).await);

    story.tell("a removal by a member", &act(&beto.token, "posts/1/remove", json!({})).await);
    story.tell("a removal", &act(&ana.token, "posts/1/remove", json!({ "reason": "Publicidad" })).await);
    let stranger = world.agrovet("Eva", "59170000003", "consumer").await;
    assert_eq!(world.read("/api/foro/posts/1/", &stranger.token).await.status, 404);
    assert_eq!(world.read("/api/foro/posts/1/", &beto.token).await.body["removed"], json!(true));
    assert_eq!(titles(&world.anybody("/api/foro/posts/").await), ["c", "b"]);
    story.tell("a restoration", &act(&ana.token, "posts/1/restore", json!({})).await);
    assert_eq!(act(&ana.token, "comments/1/remove", json!({ "reason": "Grosero" })).await.status, 200);
    let hidden = world.anybody("/api/foro/posts/1/").await.body;
    assert_eq!(hidden["comments"][0]["content"], json!("[eliminado por la moderación]"));
    assert_eq!(hidden["comments_count"], json!(0));
    assert_eq!(act(&ana.token, "comments/1/restore", json!({})).await.status, 200);
    assert_eq!(world.anybody("/api/foro/posts/1/").await.body["comments"][0]["content"], json!("Así es"));

    story.tell("a lock", &act(&ana.token, "posts/1/lock", json!({ "reason": "Ya basta" })).await);
    let comment = json!({ "post": 1, "content": "Pero" });
    story.tell(
        "a comment on a locked post",
        &world.call(Method::POST, "/api/foro/comments/", &beto.token, comment.clone()).await,
    );
    story.tell("no lock any more", &act(&ana.token, "posts/1/lock", json!({ "locked": false })).await);
    assert_eq!(world.call(Method::POST, "/api/foro/comments/", &beto.token, comment).await.status, 201);
    story.tell("a pin", &act(&ana.token, "posts/1/pin", json!({})).await);
    assert_eq!(act(&ana.token, "posts/2/pin", json!({})).await.status, 200);
    story.tell("a third pin", &act(&ana.token, "posts/3/pin", json!({})).await);
    let pinned = titles(&world.anybody("/api/foro/posts/by-community/?id=5").await).join("");
    assert_eq!((pinned.len(), pinned.ends_with('c')), (3, true));
    story.tell("no pin any more", &act(&ana.token, "posts/1/pin", json!({ "pinned": false })).await);
    let alone = world.post_of(&beto, "Sin comunidad").await;
    story.tell("a pin outside", &act(&staff, &format!("posts/{alone}/pin"), json!({})).await);

    story
        .tell("a ban", &act(&ana.token, "communities/5/ban", json!({ "user_id": beto.id, "reason": "Grosero" })).await);
    let post = json!({ "title": "d", "content": "Texto", "community_id": 5 });
    story.tell("a post of who was banned", &world.call(Method::POST, "/api/foro/posts/", &beto.token, post).await);
    story.tell("a ban of nobody", &act(&ana.token, "communities/5/ban", json!({ "user_id": 99 })).await);
    story.tell("a ban of no number", &act(&ana.token, "communities/5/ban", json!({})).await);
    story.tell("no ban any more", &act(&ana.token, "communities/5/unban", json!({ "user_id": beto.id })).await);
    assert_eq!(act(&beto.token, "communities/5/join", json!({})).await.status, 200);
    story.tell("the log", &world.anybody("/api/foro/communities/5/log/?page_size=2").await);
    assert_eq!(world.anybody("/api/foro/communities/99/log/").await.status, 404);
    insta::assert_snapshot!(story);
}
