//! Agrovet: communities, their pictures and their members.

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{form, photo, voice};
use crate::story::Story;
use crate::world::World;

#[tokio::test]
async fn a_community_is_made_changed_and_deleted() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let mut story = Story::default();
    let post = |body: Value| world.call(Method::POST, "/api/foro/communities/", &ana.token, body);
    let bees = json!({ "name": "Apicultura", "slug": "apicultura", "short_description": "", "cover_image": "https://example.com/a.jpg" });
    story.tell("POST", &post(bees.clone()).await);
    story.tell("POST that lacks everything", &post(json!({})).await);
    story.tell("POST of a name that is taken", &post(bees).await);
    story.tell("POST of a slug that is taken", &post(json!({ "name": "Otra", "slug": "apicultura" })).await);
    story.tell("POST of a slug that is none", &post(json!({ "name": "Otra", "slug": "a b" })).await);
    let nobody = world.post("/api/communities/").json(&json!({ "name": "Otra", "slug": "otra" }));
    story.tell("POST without a token", &world.ask(nobody).await);

    world.joined(1, 3).await;
    let all = world.anybody("/api/communities/").await.body;
    assert_eq!((&all["count"], &all["results"][0]["slug"]), (&json!(5), &json!("general")));
    story.tell("GET of all", &world.anybody("/api/foro/communities/?page_size=1").await);
    story.tell("GET by anybody", &world.anybody("/api/foro/communities/5/").await);
    story.tell("GET of none", &world.anybody("/api/foro/communities/99/").await);
    story.tell("GET without a number", &world.anybody("/api/foro/communities/apicultura/").await);
    story.tell("past the end", &world.anybody("/api/foro/communities/?page=9").await);

    let path = "/api/foro/communities/5/";
    let change = |method: Method, token: &str, path: &'static str, body: Value| {
        let (world, token) = (&world, token.to_owned());
        async move { world.call(method, path, &token, body).await }
    };
    let patched =
        change(Method::PATCH, &ana.token, path, json!({ "description": "De abejas", "cover_image": null })).await;
    assert_eq!((&patched.body["description"], &patched.body["cover_image"]), (&json!("De abejas"), &json!(null)));
    story.tell("PUT that lacks everything", &change(Method::PUT, &ana.token, path, json!({})).await);
    let put = json!({ "name": "Abejas", "slug": "abejas" });
    assert_eq!(change(Method::PUT, &ana.token, path, put).await.body["name"], json!("Abejas"));
    story.tell("PATCH of a foreign one", &change(Method::PATCH, &beto.token, path, json!({ "name": "Mía" })).await);
    story.tell(
        "PATCH to a name that is taken",
        &change(Method::PATCH, &ana.token, path, json!({ "name": "General" })).await,
    );
    let (staff, _) = world.staff().await;
    let seed = "/api/foro/communities/1/";
    assert_eq!(change(Method::DELETE, &ana.token, seed, json!({})).await.status, 403);
    assert_eq!(change(Method::PATCH, &staff, seed, json!({ "description": "Todo" })).await.status, 200);

    let in_it = json!({ "title": "Panales", "content": "Texto", "community_id": 5 });
    let id = world.call(Method::POST, "/api/foro/posts/", &beto.token, in_it).await.body["id"].clone();
    assert_eq!(change(Method::DELETE, &beto.token, path, json!({})).await.status, 403);
    story.tell("DELETE", &change(Method::DELETE, &ana.token, path, json!({})).await);
    story.tell("DELETE again", &change(Method::DELETE, &ana.token, path, json!({})).await);
    let left = world.anybody(&format!("/api/foro/posts/{id}/")).await;
    assert_eq!((left.status, &left.body["community"]), (200, &json!(null)));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn one_joins_and_leaves() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let made = json!({ "name": "Apicultura", "slug": "apicultura" });
    world.call(Method::POST, "/api/foro/communities/", &ana.token, made).await;
    let mut story = Story::default();
    let go = |path: &'static str| world.call(Method::POST, path, &beto.token, json!({}));
    story.tell("joining", &go("/api/foro/communities/5/join/").await);
    assert_eq!(go("/api/communities/5/join").await.status, 200);
    assert_eq!(world.anybody("/api/foro/communities/5/").await.body["members_count"], json!(2));
    story.tell("the members", &world.read("/api/foro/communities/5/members/", &beto.token).await);
    story.tell("the members without a token", &world.anybody("/api/foro/communities/5/members/").await);
    let role = |token: &str, role: &str| {
        let body = json!({ "user_id": beto.id, "role": role });
        let (world, token) = (&world, token.to_owned());
        async move { world.call(Method::PUT, "/api/foro/communities/5/members/", &token, body).await }
    };
    story.tell("a moderator", &role(&ana.token, "moderator").await);
    story.tell("a role that is none", &role(&ana.token, "king").await);
    story.tell("a role by a member", &role(&beto.token, "owner").await);
    story.tell("leaving", &go("/api/foro/communities/5/leave/").await);
    assert_eq!(go("/api/communities/5/leave/").await.status, 200);
    assert_eq!(world.anybody("/api/foro/communities/5/").await.body["members_count"], json!(1));
    story.tell("joining nothing", &go("/api/foro/communities/99/join/").await);
    story.tell("leaving nothing", &go("/api/foro/communities/99/leave/").await);
    story.tell("joining without a token", &world.ask(world.post("/api/foro/communities/5/join/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn the_owner_uploads_pictures() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let made = json!({ "name": "Apicultura", "slug": "apicultura" });
    world.call(Method::POST, "/api/foro/communities/", &ana.token, made).await;
    let mut story = Story::default();
    let cover = "/api/foro/communities/5/upload_cover/";
    let upload = |path: &str, token: &str, bytes: Vec<u8>| {
        world.ask(world.post(path).bearer_auth(token).multipart(form("file", "panal.jpg", bytes)))
    };
    let first = upload(cover, &ana.token, photo(1)).await;
    story.tell("a cover", &first);
    story.tell("an avatar", &upload("/api/communities/5/upload_avatar", &ana.token, photo(2)).await);
    let url = first.body["cover_image"].as_str().unwrap().to_owned();
    assert!(url.contains("/uploads/communities/"), "{url}");
    let status = async |url: &str| world.http.get(url).send().await.unwrap().status().as_u16();
    // A frontend that sends back what it was shown takes nothing away.
    let shown = world.anybody("/api/foro/communities/5/").await.body;
    assert_eq!((&shown["cover_image"], status(&url).await), (&json!(url), 200));
    let echoed = world.call(Method::PUT, "/api/foro/communities/5/", &ana.token, shown.clone()).await;
    assert_eq!(echoed.body, shown);
    let second = upload(cover, &ana.token, photo(3)).await.body["cover_image"].as_str().unwrap().to_owned();
    assert_ne!(second, url);
    testkit::within(std::time::Duration::from_secs(60), "the former cover goes", async || status(&url).await == 404)
        .await;
    assert_eq!(status(&second).await, 200);

    story.tell("no file", &world.call(Method::POST, cover, &ana.token, json!({})).await);
    story.tell("a voice note", &upload(cover, &ana.token, voice()).await);
    story.tell("more than 5 MiB", &upload(cover, &ana.token, [photo(1), vec![0; 5 << 20]].concat()).await);
    story.tell("in a foreign community", &upload(cover, &beto.token, photo(4)).await);
    assert_eq!(world.read("/api/media/", &beto.token).await.body["count"], json!(0));
    story.tell("in none", &upload("/api/foro/communities/99/upload_cover/", &ana.token, photo(5)).await);
    let nobody = world.post(cover).multipart(form("file", "panal.jpg", photo(6)));
    story.tell("without a token", &world.ask(nobody).await);
    insta::assert_snapshot!(story);
}
