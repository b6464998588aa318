//! Agrovet: posts of the forum, and the lists of them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::files::{form, photo};
use crate::story::Story;
use crate::world::{Person, World};

impl World {
    /// A new post of somebody's.
    pub(crate) async fn post_of(&self, author: &Person, title: &str) -> Value {
        let form = json!({ "title": title, "content": "Texto" });
        let answer = self.call(Method::POST, "/api/foro/posts/", &author.token, form).await;
        assert_eq!(answer.status, 201, "{answer}");
        answer.body["id"].clone()
    }

    /// A comment of somebody's, on a post or below a comment of it.
    pub(crate) async fn comment_of(&self, author: &Person, post: &Value, parent: Option<&Value>) -> Value {
        let form = json!({ "post": post, "parent": parent, "content": "Así es" });
        let answer = self.call(Method::POST, "/api/foro/comments/", &author.token, form).await;
        assert_eq!(answer.status, 201, "{answer}");
        answer.body["id"].clone()
    }

    /// Waits until the events of registrations have made so many people members of a community.
    pub(crate) async fn joined(&self, community: i64, members: i64) {
        let path = format!("/api/foro/communities/{community}/");
        let there = async || self.anybody(&path).await.body["members_count"] == json!(members);
        testkit::eventually("memberships came by event", there).await;
    }

    pub(crate) async fn anybody(&self, path: &str) -> Answer {
        self.ask(self.get(path)).await
    }
}

pub(crate) fn titles(answer: &Answer) -> Vec<&str> {
    answer.body["results"].as_array().into_iter().flatten().filter_map(|post| post["title"].as_str()).collect()
}

#[tokio::test]
async fn a_post_is_written_read_changed_and_deleted() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    world.joined(2, 2).await;
    let mut story = Story::default();
    let post = |body: Value| world.call(Method::POST, "/api/foro/posts/", &ana.token, body);
    let upload = form("image", "vaca.jpg", photo(1)).text("name", "Vaca");
    let media = world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(upload)).await.body["id"].clone();
    let whole = json!({ "title": " Fiebre aftosa ", "content": "Síntomas", "community_id": 2, "media_id": media });
    story.tell("POST with everything", &post(whole).await);
    let bare = json!({ "title": "Otra", "content": "Texto", "community_id": null, "media_id": null });
    story.tell("POST with nulls", &post(bare).await);
    let alias = post(json!({ "title": "Alias", "content": "Texto", "community": 1, "community_id": 0 })).await;
    assert_eq!(alias.body["community"]["slug"], json!("general"));
    let by_form = world.post("/api/posts/").bearer_auth(&ana.token).form(&[("title", "F"), ("content", "T")]);
    assert_eq!(world.ask(by_form).await.status, 201);
    story.tell("POST that lacks everything", &post(json!({ "title": " " })).await);
    story.tell("POST with what is too long", &post(json!({ "title": "x".repeat(256), "content": 1 })).await);
    let unknown = |key: &str| post(json!({ "title": "T", "content": "C", key: 99 }));
    story.tell("POST in an unknown community", &unknown("community_id").await);
    story.tell("POST with an unknown file", &unknown("media_id").await);
    let stolen = json!({ "title": "T", "content": "C", "media_id": media });
    story.tell("POST with a foreign file", &world.call(Method::POST, "/api/foro/posts/", &beto.token, stolen).await);
    story.tell(
        "POST with a community that is no number",
        &post(json!({ "title": "T", "content": "C", "community_id": "x" })).await,
    );
    let nobody = world.post("/api/foro/posts/").json(&json!({ "title": "T", "content": "C" }));
    story.tell("POST without a token", &world.ask(nobody).await);

    let path = "/api/foro/posts/1/";
    story.tell("GET by anybody", &world.anybody(path).await);
    assert_eq!(world.read(path, "rubbish").await.status, 200);
    assert_eq!(world.anybody("/api/posts/1").await.body["id"], json!(1));
    story.tell("GET of none", &world.anybody("/api/foro/posts/99/").await);
    story.tell("GET without a number", &world.anybody("/api/foro/posts/vaca/").await);

    let viewed =
        async || world.anybody("/api/foro/posts/?page=last").await.body["results"][3]["views_count"] == json!(1);
    testkit::eventually("a view counts", viewed).await;

    let change = |method: Method, token: &str, body: Value| {
        let (world, token) = (&world, token.to_owned());
        async move { world.call(method, path, &token, body).await }
    };
    let patched = change(Method::PATCH, &ana.token, json!({ "title": "Aftosa", "media_id": null })).await;
    assert_eq!((&patched.body["title"], &patched.body["media"]["id"]), (&json!("Aftosa"), &media));
    let mut shown = patched.body.clone();
    shown["content"] = json!("Síntomas y cura");
    let echoed = change(Method::PATCH, &ana.token, shown).await;
    assert_eq!((&echoed.body["content"], &echoed.body["community"]["id"]), (&json!("Síntomas y cura"), &json!(2)));
    story.tell("PUT that lacks a title", &change(Method::PUT, &ana.token, json!({ "content": "C" })).await);
    let moved = change(Method::PUT, &ana.token, json!({ "title": "T", "content": "C", "community_id": null })).await;
    story.tell("PUT without a community", &moved);
    story.tell("PATCH into none", &change(Method::PATCH, &ana.token, json!({ "community_id": 99 })).await);
    story.tell("PATCH of a foreign one", &change(Method::PATCH, &beto.token, json!({ "title": "Mío" })).await);
    assert_eq!(change(Method::DELETE, &beto.token, json!({})).await.status, 403);
    let (staff, _) = world.staff().await;
    assert_eq!(change(Method::PATCH, &staff, json!({ "title": "Por el personal" })).await.status, 200);
    world.comment_of(&beto, &json!(1), None).await;
    story.tell("DELETE", &change(Method::DELETE, &ana.token, json!({})).await);
    story.tell("DELETE again", &change(Method::DELETE, &ana.token, json!({})).await);
    assert_eq!(world.anybody("/api/foro/comments/?post=1").await.body["count"], json!(0));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn lists_have_their_orders_communities_and_pages() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    for (title, community) in [("a", 1), ("b", 3), ("c", 1), ("d", 0), ("e", 1)] {
        let form = json!({ "title": title, "content": "Texto", "community_id": community });
        assert_eq!(world.call(Method::POST, "/api/foro/posts/", &ana.token, form).await.status, 201);
    }
    let react = |id: i64, kind: &'static str| {
        world.call(
            Method::POST,
            "/api/foro/reactions/",
            &beto.token,
            json!({ "type": kind, "content_type": "post", "object_id": id }),
        )
    };
    react(2, "heart").await;
    react(5, "dislike").await;
    world.comment_of(&beto, &json!(1), None).await;
    let mut story = Story::default();
    world.joined(1, 3).await;
    testkit::eventually("the profile came by event", async || {
        world.anybody("/api/foro/posts/1/").await.body["author"].get("profession").is_some()
    })
    .await;
    story.tell("a page past the first", &world.anybody("/api/foro/posts/?page_size=1&page=2").await);
    for (query, expected) in [
        ("/api/foro/posts/", vec!["e", "d", "c", "b", "a"]),
        ("/api/posts/?order=new", vec!["e", "d", "c", "b", "a"]),
        ("/api/foro/posts/?order=top", vec!["b", "d", "c", "a", "e"]),
        ("/api/foro/posts/?order=top&window=day", vec!["b", "d", "c", "a", "e"]),
        ("/api/foro/posts/?order=active", vec!["a", "e", "d", "c", "b"]),
        ("/api/foro/posts/by-community/?id=1", vec!["e", "c", "a"]),
        ("/api/foro/posts/by-community/?slug=especialistas-salud&id=1", vec!["b"]),
        ("/api/foro/posts/by-community/?slug=general&order=top", vec!["c", "a", "e"]),
        ("/api/foro/posts/by-community/?id=99", vec![]),
    ] {
        assert_eq!(titles(&world.anybody(query).await), expected, "{query}");
    }
    for order in ["hot", "controversial"] {
        assert_eq!(world.anybody(&format!("/api/foro/posts/?order={order}")).await.body["count"], json!(5));
    }
    story.tell("an order that is none", &world.anybody("/api/foro/posts/?order=best").await);
    story.tell("past the end", &world.anybody("/api/foro/posts/?page=2").await);
    assert_eq!(world.anybody("/api/foro/posts/?page=501").await.status, 404);
    let most_liked = "/api/foro/posts/by-community/?slug=general&order=top&page_size=1";
    story.tell("posts of a community", &world.anybody(most_liked).await);
    story.tell("no community", &world.anybody("/api/foro/posts/by-community/").await);
    story.tell("an unknown slug", &world.anybody("/api/foro/posts/by-community/?slug=nada").await);
    assert_eq!(world.anybody("/api/foro/posts/by-community/?slug=%C3%B1").await.status, 404);
    story.tell("an id that is no number", &world.anybody("/api/foro/posts/by-community/?id=x").await);
    story.tell("a page that is none", &world.anybody("/api/foro/posts/by-community/?id=1&page=x").await);

    // Ana is a specialist, and everybody is in the general community.
    assert_eq!(titles(&world.read("/api/foro/posts/feed/", &ana.token).await), ["e", "c", "b", "a"]);
    story.tell("the feed", &world.read("/api/foro/posts/feed/?page_size=1", &ana.token).await);
    story.tell("a page past the feed", &world.read("/api/foro/posts/feed/?page=9", &ana.token).await);
    story.tell("the feed without a token", &world.anybody("/api/foro/posts/feed/").await);
    world.post_of(&beto, "f").await;
    world.post_of(&ana, "g").await;
    // Beto has reacted and commented on Ana's posts.
    let relevant = world.read("/api/foro/posts/relevant/?page_size=3", &beto.token).await;
    assert_eq!((titles(&relevant), &relevant.body["count"]), (vec!["g", "e", "d"], &json!(7)));
    story.tell("the relevant", &world.read("/api/foro/posts/relevant/?page_size=1", &beto.token).await);
    story.tell("a page past the relevant", &world.read("/api/foro/posts/relevant/?page=9", &ana.token).await);
    story.tell("the relevant without a token", &world.anybody("/api/foro/posts/relevant/").await);
    story.tell("the index", &world.read("/api/foro/", &ana.token).await);
    story.tell("the index without a token", &world.anybody("/api/foro/").await);
    story.tell("a method that is none", &world.call(Method::PUT, "/api/foro/posts/", &ana.token, json!({})).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_post_shows_what_its_author_is() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let agro = world.agrovet("Agro", "59170000002", "businessman").await;
    let beto = world.agrovet("Beto", "59170000003", "consumer").await;
    let author = async |person: &Person| {
        let post = world.post_of(person, "Hola").await;
        world.anybody(&format!("/api/foro/posts/{post}/")).await.body["author"].clone()
    };
    testkit::eventually("profiles came", async || {
        author(&ana).await.get("profession").is_some() && author(&agro).await.get("business_name").is_some()
    })
    .await;
    let picture = form("profile_picture", "ana.jpg", photo(1));
    let path = format!("/api/auth/users/{}/", ana.id);
    let patched = world.ask(world.request(Method::PATCH, &path).bearer_auth(&ana.token).multipart(picture)).await;
    let shown = author(&ana).await;
    assert_eq!(shown["avatar"], patched.body["profile_picture"]);
    let unverified = json!({
        "id": ana.id, "name": "Ana", "avatar": shown["avatar"], "role": "Specialist", "profession": shown["profession"],
        "verification_type": null, "is_verified": false, "is_student": false, "is_titled": false,
    });
    assert_eq!(shown, unverified);
    let shop = author(&agro).await;
    assert_eq!(
        shop,
        json!({
            "id": agro.id, "name": "Agro", "avatar": null, "role": "businessman",
            "business_type": shop["business_type"], "business_name": shop["business_name"],
        })
    );
    assert_eq!(author(&beto).await, json!({ "id": beto.id, "name": "Beto", "avatar": null, "role": "consumer" }));

    // Who is gone keeps the number.
    let post = world.post_of(&beto, "Adiós").await;
    let path = format!("/api/auth/users/{}/", beto.id);
    assert_eq!(world.call(Method::DELETE, &path, &beto.token, json!({})).await.status, 204);
    let gone = world.anybody(&format!("/api/foro/posts/{post}/")).await.body["author"].clone();
    assert_eq!(gone, json!({ "id": beto.id, "name": format!("User {}", beto.id), "avatar": null }));
}

#[tokio::test]
async fn views_of_others_count_once_in_half_an_hour() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let path = format!("/api/foro/posts/{}/", world.post_of(&ana, "Hola").await);
    let views = async || world.anybody("/api/foro/posts/").await.body["results"][0]["views_count"].clone();
    // Whoever asks whether it is there reads nothing.
    for number in 3..9 {
        let eva = world.agrovet("Eva", &format!("5917000000{number}"), "consumer").await;
        assert_eq!(world.request(Method::HEAD, &path).bearer_auth(&eva.token).send().await.unwrap().status(), 200);
    }
    for _ in 0..3 {
        world.read(&path, &ana.token).await;
        world.read(&path, &beto.token).await;
    }
    testkit::eventually("one view counts", async || views().await == json!(1)).await;
    for _ in 0..3 {
        world.anybody(&path).await;
    }
    testkit::eventually("another view counts", async || views().await == json!(2)).await;
}

#[tokio::test]
async fn ten_posts_and_comments_a_minute() {
    let world = World::with(&["--rate-limits", "on"]).await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let post = world.post_of(&ana, "Hola").await;
    for _ in 0..9 {
        world.comment_of(&ana, &post, None).await;
    }
    let mut story = Story::default();
    let form = json!({ "title": "T", "content": "C" });
    story.tell("the eleventh", &world.call(Method::POST, "/api/foro/posts/", &ana.token, form).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn an_id_with_a_sign_is_none() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let post = world.post_of(&ana, "Hola").await;
    assert_eq!(world.anybody(&format!("/api/foro/posts/{post}/")).await.status, 200);
    for id in [format!("+{post}"), format!("%2B{post}"), "-0".into()] {
        assert_eq!(world.anybody(&format!("/api/foro/posts/{id}/")).await.status, 404, "{id}");
    }
}
