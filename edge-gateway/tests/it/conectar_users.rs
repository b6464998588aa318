//! Conectar: one's own account, pictures, search.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::files::{form, photo};
use crate::story::Story;
use crate::world::{PASSWORD, World};

const ME: &str = "/api/v1/users/me";
const AVATAR: &str = "/api/v1/users/me/avatar";

#[tokio::test]
async fn one_changes_what_one_says_of_oneself() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let put = |body: Value| world.ask(world.request(Method::PUT, ME).bearer_auth(&ana.token).json(&body));
    story.tell("names", &put(json!({ "nombre": " Anita ", "apellido": "Paz" })).await);
    // As its settings page sends it, and the login name is not changed on the way.
    let all = json!({
        "nombre": "Ana", "apellido": "Paz", "email": "otra@example.com", "telefono": "(011) 4-555 int. 3 // noche",
        "direccion": "Calle 1",
    });
    story.tell("everything", &put(all).await);
    let empty = json!({ "nombre": null, "email": "", "telefono": "", "direccion": "", "rol": "ADMIN", "id": 7 });
    story.tell("empty texts", &put(empty).await);
    let me = world.ask(world.get(ME).bearer_auth(&ana.token)).await;
    assert_eq!(put(json!({})).await.body, me.body);
    story.tell("a blank name", &put(json!({ "nombre": "  " })).await);
    story.tell("too long", &put(json!({ "telefono": "5".repeat(51), "direccion": "x".repeat(256) })).await);
    story.tell("a number as name", &put(json!({ "apellido": 7 })).await);
    assert_eq!(world.ask(world.get(ME).bearer_auth(&ana.token)).await.body, me.body, "nothing of it is stored");
    story.tell("nobody", &world.ask(world.request(Method::PUT, ME).json(&json!({}))).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_picture_is_served_until_another_takes_its_place() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let upload = |form: Form| world.ask(world.post(AVATAR).bearer_auth(&ana.token).multipart(form));
    let first = upload(form("file", "yo.JPG", photo(1))).await;
    story.tell("a picture", &first);
    let url = first.body["avatar_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with(&world.base) && url.contains("avatar") && url.contains(ana.id.as_str().unwrap()), "{url}");
    assert_eq!(world.ask(world.get(ME).bearer_auth(&ana.token)).await.body, first.body);

    let path = url.strip_prefix(&world.base).unwrap().to_owned();
    let file = world.ask(world.get(&path)).await;
    assert_eq!((file.status, file.header("content-type")), (200, "image/jpeg"));
    assert_eq!(file.header("cache-control"), "public, max-age=86400");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    for prefix in ["/api/v1", "/api/v2", "/api"] {
        assert_eq!(world.ask(world.get(&format!("{prefix}{path}"))).await.status, 200, "{prefix}");
    }
    let part = world.ask(world.get(&path).header("range", "bytes=0-3")).await;
    assert_eq!((part.status, part.header("content-length")), (206, "4"));
    assert!(part.header("content-range").starts_with("bytes 0-3/"));
    let outside = world.ask(world.get(&path).header("range", "bytes=9999999-")).await;
    assert_eq!(outside.status, 416, "{}", outside.header("content-range"));
    let known = world.get(&path).header("if-none-match", file.header("etag"));
    assert_eq!(world.ask(known).await.status, 304);
    story.tell("a file that is none", &world.ask(world.get("/uploads/avatars/nadie.jpg")).await);
    story.tell("no list of files", &world.ask(world.get("/uploads/avatars/")).await);
    let outward = world.ask(world.get("/uploads/avatars/..%2f..%2fetc%2fpasswd")).await;
    assert_eq!(outward.status, 404);

    let second = upload(form("file", "yo.png", photo(2))).await;
    assert_eq!(second.status, 200, "the name says png and the bytes say jpeg: {second}");
    assert_ne!(second.body["avatar_url"], first.body["avatar_url"]);
    testkit::eventually("the former file goes", async || world.ask(world.get(&path)).await.status == 404).await;
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let upload = |form: Form| world.ask(world.post(AVATAR).bearer_auth(&ana.token).multipart(form));
    let one = |part: Part| Form::new().part("file", part);
    story.tell("another field", &upload(form("picture", "yo.jpg", photo(1))).await);
    story.tell("a text", &upload(Form::new().text("file", "yo.jpg")).await);
    story.tell("a field left unfilled", &upload(one(Part::bytes(Vec::new()).file_name(""))).await);
    story.tell("an empty file", &upload(form("file", "yo.jpg", Vec::new())).await);
    story.tell("a document by name", &upload(form("file", "document.pdf", photo(1))).await);
    let svg = Part::bytes(photo(1)).file_name("yo.jpg").mime_str("image/svg+xml").unwrap();
    story.tell("a drawing by its type", &upload(one(svg)).await);
    story.tell("a text by its bytes", &upload(form("file", "yo.jpg", b"#!/bin/sh".to_vec())).await);
    let cut = photo(1)[..200].to_vec();
    story.tell("half a picture", &upload(form("file", "yo.jpg", cut)).await);
    for size in [(5 << 20) + 1, 22 << 20] {
        let mut bytes = photo(1);
        bytes.resize(size, 0);
        let answer = upload(form("file", "yo.jpg", bytes)).await;
        assert_eq!((answer.status, &answer.body["detail"]), (413, &json!("El archivo debe ser menor a 5MB")), "{size}");
    }
    let json = world.post(AVATAR).bearer_auth(&ana.token).json(&json!({ "file": "http://x/y.jpg" }));
    story.tell("JSON", &world.ask(json).await);
    story.tell("nobody", &world.ask(world.post(AVATAR).multipart(form("file", "yo.jpg", photo(1)))).await);
    assert_eq!(world.ask(world.get(ME).bearer_auth(&ana.token)).await.body["avatar_url"], Value::Null);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn where_signatures_are_not_checked_any_bytes_are_a_picture_that_no_browser_runs() {
    let world = World::with_media(&[], &["--signatures", "lenient"]).await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let upload = |name: &'static str, bytes: &[u8]| {
        world.ask(world.post(AVATAR).bearer_auth(&ana.token).multipart(form("file", name, bytes.to_vec())))
    };
    let page = b"<script>alert(1)</script>";
    let answer = upload("avatar.jpg", page).await;
    assert_eq!(answer.status, 200, "{answer}");
    let url = answer.body["avatar_url"].as_str().unwrap();
    assert!(url.contains("avatar") && url.contains(ana.id.as_str().unwrap()), "{url}");
    let file = world.ask(world.get(url.strip_prefix(&world.base).unwrap())).await;
    assert_eq!((file.status, file.text.as_bytes()), (200, &page[..]));
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(file.header(name), value, "{name}");
    }
    assert_eq!(upload("document.pdf", page).await.status, 400, "the name is still looked at");
}

#[tokio::test]
async fn an_account_is_shown_to_its_owner_and_administrators() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let eva = world.conectar("Eva", "eva@example.com", "PROFESIONAL").await;
    let admin = world.admin().await;
    let mut story = Story::default();
    let get = |id: &str, token: &str| world.ask(world.get(&format!("/api/v1/users/{id}")).bearer_auth(token));
    let of_eva = eva.id.as_str().unwrap();
    let me = world.ask(world.get(ME).bearer_auth(&eva.token)).await;
    assert_eq!(get(of_eva, &eva.token).await.body, me.body);
    assert_eq!(get(of_eva, &admin).await.body, me.body);
    story.tell("somebody else", &get(of_eva, &ana.token).await);
    let nobody = "00000000-0000-7000-8000-000000000000";
    story.tell("nobody, to a person", &get(nobody, &ana.token).await);
    story.tell("nobody, to an administrator", &get(nobody, &admin).await);
    story.tell("no id", &get("7", &admin).await);
    story.tell("not signed in", &world.ask(world.get(&format!("/api/v1/users/{of_eva}"))).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_search_shows_an_email_only_to_who_knows_it() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    world.conectar("Beatriz", "bea@example.com", "PROFESIONAL").await;
    world.conectar("Bruno", "beatriz@example.org", "CLIENTE").await;
    world.conectar("Cien%_", "cien@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let search =
        |query: &str| world.ask(world.get("/api/v1/users/search").query(&[("q", query)]).bearer_auth(&ana.token));
    let emails = |answer: &crate::answer::Answer| -> Vec<String> {
        let found = answer.body.as_array().expect("a list").iter();
        found.map(|user| user["email"].as_str().unwrap().to_owned()).collect()
    };
    story.tell("a name", &search("BEATRIZ").await);
    story.tell("an email", &search(" bea@example.com ").await);
    assert_eq!(emails(&search("bea").await), ["bea@example.com", "beatriz@example.org"]);
    assert_eq!(emails(&search("example.org").await), ["b***@example.org"]);
    assert_eq!(emails(&search("%_").await), ["c***@example.com"], "these stand for themselves");
    assert!(emails(&search("Ana Prueba").await).is_empty(), "not oneself");
    for short in ["", " ", "b"] {
        let answer = search(short).await;
        assert_eq!((answer.status, answer.body), (200, json!([])), "{short:?}");
    }
    story.tell("no words", &world.ask(world.get("/api/v1/users/search").bearer_auth(&ana.token)).await);
    story.tell("too many", &search(&"x".repeat(101)).await);
    story.tell("a NUL", &search("a\0b").await);
    story.tell("nobody asks", &world.ask(world.get("/api/v1/users/search?q=bea")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_deleted_account_is_gone() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let mut story = Story::default();
    let delete = |body: Value| world.request(Method::DELETE, ME).bearer_auth(&ana.token).json(&body);
    story.tell("without the password", &world.ask(delete(json!({}))).await);
    story.tell("with a wrong password", &world.ask(delete(json!({ "password": "x" }))).await);
    story.tell("nobody", &world.ask(world.request(Method::DELETE, ME).json(&json!({ "password": "x" }))).await);
    story.tell("with the password", &world.ask(delete(json!({ "password": PASSWORD }))).await);
    testkit::eventually("the token dies", async || {
        world.ask(world.get(ME).bearer_auth(&ana.token)).await.status == 401
    })
    .await;
    story.tell("the token afterwards", &world.ask(world.get(ME).bearer_auth(&ana.token)).await);
    let login = [("username", "ana@example.com"), ("password", PASSWORD)];
    assert_eq!(world.ask(world.post("/api/v1/auth/login").form(&login)).await.status, 401);
    // The address is free again.
    world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    insta::assert_snapshot!(story);
}
