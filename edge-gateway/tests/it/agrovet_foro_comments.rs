//! Agrovet: comments, alone, in lists and as a post's tree.

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{form, photo};
use crate::story::Story;
use crate::world::World;

fn ids(comments: &Value) -> Vec<i64> {
    comments.as_array().into_iter().flatten().filter_map(|comment| comment["id"].as_i64()).collect()
}

#[tokio::test]
async fn a_comment_is_written_read_changed_and_deleted() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    world.post_of(&ana, "Fiebre aftosa").await;
    world.post_of(&ana, "Otra").await;
    let mut story = Story::default();
    let post = |body: Value| world.call(Method::POST, "/api/foro/comments/", &beto.token, body);
    story.tell("POST as documented", &post(json!({ "post_id": 1, "content": " ¿Y la vacuna? " })).await);
    story.tell("POST as the view read it", &post(json!({ "post": 1, "parent": 1, "content": "También" })).await);
    let upload = form("image", "vaca.jpg", photo(1));
    let media =
        world.ask(world.post("/api/media/").bearer_auth(&beto.token).multipart(upload)).await.body["id"].clone();
    let with_file = json!({ "post_id": 1, "parent_id": 1, "content": "Vea", "media_id": media });
    story.tell("POST with a file and `parent_id`", &post(with_file).await);
    let both = post(json!({ "post": 1, "post_id": 2, "content": "Gana `post`" })).await;
    assert_eq!((&both.body["post_id"], &both.body["post"]), (&json!(1), &json!(1)));
    story.tell("POST that lacks everything", &post(json!({})).await);
    story.tell("POST on no post", &post(json!({ "post": 99, "content": "C" })).await);
    story.tell("POST below no comment", &post(json!({ "post": 1, "parent": 99, "content": "C" })).await);
    story.tell("POST below another post's", &post(json!({ "post": 2, "parent": 1, "content": "C" })).await);
    story.tell("POST with an unknown file", &post(json!({ "post": 1, "content": "C", "media_id": 99 })).await);
    let nobody = world.post("/api/comments/").json(&json!({ "post": 1, "content": "C" }));
    story.tell("POST without a token", &world.ask(nobody).await);

    let path = "/api/foro/comments/1/";
    story.tell("GET by anybody", &world.anybody(path).await);
    story.tell("GET of none", &world.anybody("/api/foro/comments/99/").await);
    story.tell("GET without a number", &world.anybody("/api/comments/vaca/").await);
    let change = |method: Method, token: &str, body: Value| {
        let (world, token) = (&world, token.to_owned());
        async move { world.call(method, path, &token, body).await }
    };
    let moved = json!({ "content": "Otra cosa", "post_id": 2, "parent_id": 2, "media_id": media });
    let changed = change(Method::PUT, &beto.token, moved).await;
    assert_eq!((&changed.body["post_id"], &changed.body["parent_id"]), (&json!(1), &json!(null)));
    assert_eq!((&changed.body["media"]["id"], &changed.body["content"]), (&media, &json!("Otra cosa")));
    let bare = change(Method::PATCH, &beto.token, json!({ "media_id": null })).await;
    assert_eq!((&bare.body["media"], &bare.body["replies_count"]), (&json!(null), &json!(2)));
    story.tell("PUT that lacks everything", &change(Method::PUT, &beto.token, json!({})).await);
    story.tell("PATCH with an unknown file", &change(Method::PATCH, &beto.token, json!({ "media_id": 99 })).await);
    story.tell("PATCH of a foreign one", &change(Method::PATCH, &ana.token, json!({ "content": "Mío" })).await);
    assert_eq!(change(Method::DELETE, &ana.token, json!({})).await.status, 403);
    let (staff, _) = world.staff().await;
    assert_eq!(change(Method::PATCH, &staff, json!({ "content": "Por el personal" })).await.status, 200);
    story.tell("DELETE of one with replies", &change(Method::DELETE, &beto.token, json!({})).await);
    story.tell("DELETE again", &change(Method::DELETE, &beto.token, json!({})).await);
    story.tell("its place", &world.anybody(path).await);
    story.tell("PATCH of its place", &change(Method::PATCH, &beto.token, json!({ "content": "x" })).await);
    story.tell("POST below its place", &post(json!({ "post": 1, "parent": 1, "content": "x" })).await);
    for id in [2, 3] {
        let leaf = format!("/api/foro/comments/{id}/");
        assert_eq!(world.call(Method::DELETE, &leaf, &beto.token, json!({})).await.status, 204);
    }
    assert_eq!(world.anybody(path).await.status, 404);
    assert_eq!(world.anybody("/api/foro/posts/1/").await.body["comments_count"], json!(1));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_post_that_is_no_number_has_one_fault_under_the_name_that_was_sent() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let no_number = || json!(["Introduzca un número entero válido."]);
    for (sent, faults) in [
        (json!({ "post": "abc" }), json!({ "post": no_number() })),
        (json!({ "post_id": "abc" }), json!({ "post_id": no_number() })),
        (json!({ "post": "abc", "post_id": 1 }), json!({ "post": no_number() })),
        (json!({ "post": "abc", "post_id": [] }), json!({ "post": no_number(), "post_id": no_number() })),
        (json!({ "post": null }), json!({ "post_id": ["Este campo es requerido."] })),
    ] {
        let mut body = sent.clone();
        body["content"] = json!("x");
        let refused = world.call(Method::POST, "/api/foro/comments/", &ana.token, body).await;
        assert_eq!((refused.status, &refused.body), (400, &faults), "{sent}");
    }
}

#[tokio::test]
async fn trees_are_cut_and_continued() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let post = world.post_of(&ana, "Fiebre aftosa").await;
    let mut tops = Vec::new();
    for _ in 0..7 {
        tops.push(world.comment_of(&ana, &post, None).await);
    }
    // The first is the most popular, and the deepest.
    let mut below = tops[0].clone();
    for _ in 0..6 {
        below = world.comment_of(&ana, &post, Some(&below)).await;
    }
    for _ in 0..3 {
        world.comment_of(&ana, &post, Some(&tops[0])).await;
    }
    let mut story = Story::default();
    let listed = world.anybody("/api/foro/posts/").await.body["results"][0].clone();
    assert_eq!((&listed["comments_count"], ids(&listed["comments"])), (&json!(16), vec![1, 7, 6, 5, 4]));
    let first = &listed["comments"][0];
    assert_eq!((&first["popularity"], ids(&first["replies"])), (&json!(4), vec![8, 16, 15]));

    let follow = async |url: &Value| {
        let url = url.as_str().unwrap();
        world.anybody(url.strip_prefix(&world.base).unwrap()).await
    };
    let rest = follow(&listed["more"]).await;
    assert_eq!((&rest.body["count"], &rest.body["next"]), (&json!(7), &json!(null)));
    assert_eq!(ids(&rest.body["results"]), [3, 2]);
    assert_eq!(ids(&follow(&first["more"]).await.body["results"]), [14]);
    // Five levels, and the sixth by its link.
    let mut deepest = first;
    for _ in 0..4 {
        deepest = &deepest["replies"][0];
    }
    assert_eq!((ids(&deepest["replies"]), &deepest["replies_count"]), (vec![], &json!(1)));
    let sixth = follow(&deepest["more"]).await;
    assert_eq!(sixth.body["results"][0]["parent_id"], deepest["id"]);
    assert_eq!(ids(&sixth.body["results"][0]["replies"]), [13]);

    let alone = world.anybody("/api/foro/posts/1/").await.body;
    assert_eq!(ids(&alone["comments"]), [1, 7, 6, 5, 4, 3, 2]);
    assert_eq!((alone.get("more"), ids(&alone["comments"][0]["replies"]).len()), (None, 4));
    story.tell("a page of the tree", &world.anybody("/api/foro/posts/1/comments/?page_size=2&page=2").await);
    story.tell("a page from a link", &follow(&listed["more"]).await);
    assert_eq!(ids(&world.anybody("/api/posts/1/comments/?parent=1").await.body["results"]), [8, 16, 15, 14]);
    story.tell("past the end", &world.anybody("/api/foro/posts/1/comments/?page=2").await);
    story.tell("of no post", &world.anybody("/api/foro/posts/99/comments/").await);
    story.tell("of no comment", &world.anybody("/api/foro/posts/1/comments/?parent=99").await);
    story.tell("a link that is none", &world.anybody("/api/foro/posts/1/comments/?page_token=AAAA").await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn flat_lists_are_newest_first() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let (first, second) = (world.post_of(&ana, "Una").await, world.post_of(&ana, "Otra").await);
    let top = world.comment_of(&ana, &first, None).await;
    world.comment_of(&ana, &first, Some(&top)).await;
    world.comment_of(&ana, &second, None).await;
    let list = async |query: &str| {
        let answer = world.anybody(&format!("/api/foro/comments/{query}")).await;
        (ids(&answer.body["results"]), answer.body["count"].as_i64().unwrap())
    };
    assert_eq!(list("").await, (vec![3, 2, 1], 3));
    assert_eq!(list("?post=1").await, (vec![2, 1], 2));
    assert_eq!(list("?post_id=2").await, (vec![3], 1));
    assert_eq!(list("?parent=1").await, (vec![2], 1));
    assert_eq!(list("?page_size=1&page=3").await, (vec![1], 3));
    let nested = world.anybody("/api/comments/?post=1").await;
    assert_eq!(ids(&nested.body["results"][1]["replies"]), [2]);
    let mut story = Story::default();
    story.tell("a page", &world.anybody("/api/foro/comments/?page_size=1").await);
    story.tell("a filter that is no number", &world.anybody("/api/foro/comments/?post=x").await);
    story.tell("past the end", &world.anybody("/api/foro/comments/?page=9").await);
    insta::assert_snapshot!(story);
}
