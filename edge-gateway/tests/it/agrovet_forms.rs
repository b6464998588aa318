//! Agrovet: what forms and queries may look like, and how their faults are told.

use edge_gateway::agrovet::Agrovet;
use edge_gateway::dialect::Dialect;
use reqwest::{Method, multipart};
use serde_json::{Value, json};

use crate::files::{form, photo};
use crate::strangers::path;
use crate::world::World;

const FORBIDDEN: &str = "Usted no tiene permiso para realizar esta acción.";

#[tokio::test]
async fn a_private_document_is_refused_under_the_name_that_the_forum_has_for_files() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let post = world.post_of(&ana, "Hola").await;
    let comment = world.comment_of(&ana, &post, None).await;
    let upload = form("image", "titulo.jpg", photo(1)).text("folder", "verification");
    let stored = world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(upload)).await;
    let document = &stored.body["id"];
    let refused = json!({ "media_id": ["Este archivo es privado: los demás no podrían verlo."] });
    for (method, path, body) in [
        (Method::POST, "posts/".to_owned(), json!({ "title": "T", "content": "C", "media_id": document })),
        (Method::POST, "comments/".to_owned(), json!({ "post_id": post, "content": "C", "media_id": document })),
        (Method::PATCH, format!("comments/{comment}/"), json!({ "media_id": document })),
    ] {
        let answer = world.call(method, &format!("/api/foro/{path}"), &ana.token, body).await;
        assert_eq!((answer.status, &answer.body), (400, &refused), "{path}");
    }
}

#[tokio::test]
async fn faults_of_a_list_name_the_items() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let wrong = json!({ "secondary_image_ids": [1, "x"] });
    let mut ad = crate::agrovet_adds::semental();
    ad["secondary_image_ids"] = wrong["secondary_image_ids"].clone();
    let refused = json!({ "secondary_image_ids": { "1": ["Introduzca un número entero válido."] } });
    let made = world.call(Method::POST, "/api/adds/", &ana.token, ad).await;
    assert_eq!((made.status, &made.body), (400, &refused));
    let add = world.offers(&ana, json!({})).await;
    let changed = world.call(Method::PATCH, &format!("/api/adds/{add}/"), &ana.token, wrong).await;
    assert_eq!((changed.status, &changed.body), (400, &refused));
}

#[tokio::test]
async fn a_list_in_a_form_is_every_field_of_its_name() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let mut pictures = Vec::new();
    for shade in 1..=3 {
        let upload = form("image", "toro.jpg", photo(shade));
        let stored = world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(upload)).await;
        pictures.push(stored.body["id"].as_i64().expect("it was stored"));
    }
    pictures.swap(0, 2);
    // Of what is no list, the last counts.
    let mut fields: Vec<(&'static str, String)> =
        [("title", "Otro"), ("title", "Toro"), ("description", "Manso"), ("price", "1250")]
            .map(|(name, text)| (name, text.to_owned()))
            .into();
    fields.extend([("category", "24".to_owned()), ("condition", "used".to_owned())]);
    fields.extend(pictures.iter().map(|id| ("secondary_image_ids", id.to_string())));
    let parts = fields.iter().cloned().fold(multipart::Form::new(), |form, (name, text)| form.text(name, text));
    let post = || world.post("/api/adds/").bearer_auth(&ana.token);
    for made in [world.ask(post().form(&fields)).await, world.ask(post().multipart(parts)).await] {
        assert_eq!((made.status, &made.body["title"]), (201, &json!("Toro")), "{made}");
        let shown: Vec<_> = made.body["secondary_images"].as_array().unwrap().iter().map(|file| &file["id"]).collect();
        assert_eq!(json!(shown), json!(pictures));
    }
}

#[tokio::test]
async fn an_empty_value_in_a_query_was_not_given() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let post = world.post_of(&ana, "Hola").await;
    world.comment_of(&ana, &post, None).await;
    for (path, count) in [
        ("foro/notifications/?unread=".to_owned(), 0),
        (format!("foro/posts/{post}/comments/?parent=&page_token="), 1),
        ("foro/posts/?order=&window=".to_owned(), 1),
        ("foro/posts/by-community/?slug=&id=1&order=&window=".to_owned(), 0),
        ("foro/comments/?post=&post_id=&parent=&parent_id=".to_owned(), 1),
        ("orders/?as=".to_owned(), 0),
        ("adds/?category=&condition=&status=&publisher=&min_price=&created_after=&ordering=".to_owned(), 0),
    ] {
        let answer = world.read(&format!("/api/{path}"), &ana.token).await;
        assert_eq!((answer.status, &answer.body["count"]), (200, &json!(count)), "{path}: {answer}");
    }

    // So it is on every route, also where the answer is that something is missing.
    world.group_of(&ana, &[]).await;
    let document = serde_json::to_value(Agrovet::routes().document("", "", "")).unwrap();
    let mut asked = 0;
    for (route, operations) in document["paths"].as_object().unwrap() {
        let parameters = operations["get"]["parameters"].as_array().into_iter().flatten();
        let names: Vec<_> = parameters.filter(|p| p["in"] == "query").map(|p| p["name"].as_str().unwrap()).collect();
        if names.is_empty() {
            continue;
        }
        let bare = format!("{}/", path(route, "1"));
        let without = world.read(&bare, &ana.token).await;
        for value in ["=", "=%20"] {
            let query: Vec<_> = names.iter().map(|name| format!("{name}{value}")).collect();
            let empty = world.read(&format!("{bare}?{}", query.join("&")), &ana.token).await;
            assert_eq!((empty.status, empty.body), (without.status, without.body.clone()), "{bare} {query:?}");
        }
        asked += 1;
    }
    assert!(asked > 30, "{asked} routes have parameters");
    let out = world.request(Method::POST, "/api/auth/logout/?all=").bearer_auth(&ana.token);
    assert_eq!(world.ask(out).await.status, 204);
}

#[tokio::test]
async fn who_may_not_change_something_is_told_so_before_what_is_wrong_with_the_form() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let post = world.post_of(&ana, "Hola").await;
    let comment = world.comment_of(&ana, &post, None).await;
    let made = json!({ "name": "Apicultura", "slug": "apicultura" });
    let community = world.call(Method::POST, "/api/foro/communities/", &ana.token, made).await.body["id"].clone();
    let (staff, _) = world.staff().await;
    let put = |path: String, token: &str| {
        let (world, token) = (&world, token.to_owned());
        async move { world.call(Method::PUT, &format!("/api/foro/{path}/"), &token, json!({})).await }
    };
    for (area, id, name) in
        [("posts", &post, "Post"), ("comments", &comment, "Comment"), ("communities", &community, "Community")]
    {
        let foreign = put(format!("{area}/{id}"), &beto.token).await;
        assert_eq!((foreign.status, &foreign.body), (403, &json!({ "detail": FORBIDDEN })), "{area}");
        let none = put(format!("{area}/99"), &beto.token).await;
        let words = format!("No {name} matches the given query.");
        assert_eq!((none.status, &none.body), (404, &json!({ "detail": words })), "{area}");
        for token in [&ana.token, &staff] {
            let own = put(format!("{area}/{id}"), token).await;
            assert_eq!(own.status, 400, "{area}: {own}");
        }
    }
    for (picture, token, status) in [
        (format!("{community}/upload_cover"), &beto.token, 403),
        (format!("{community}/upload_avatar"), &beto.token, 403),
        ("99/upload_cover".to_owned(), &ana.token, 404),
        ("99/upload_avatar".to_owned(), &ana.token, 404),
        (format!("{community}/upload_cover"), &staff, 400),
    ] {
        let path = format!("/api/foro/communities/{picture}/");
        let answer = world.call(Method::POST, &path, token, json!({})).await;
        assert_eq!(answer.status, status, "{path}: {answer}");
    }
    let whole: Value = world.anybody(&format!("/api/foro/communities/{community}/")).await.body;
    assert_eq!(whole["name"], json!("Apicultura"));
}
