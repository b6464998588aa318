//! Agrovet: files.

use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::files::{form, photo, secret, voice};
use crate::story::Story;
use crate::world::World;

#[tokio::test]
async fn an_ads_picture_is_stored_without_a_token() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let mut story = Story::default();
    let post = |form: Form| world.ask(world.post("/api/media/").multipart(form));
    let stored = post(form("image", "toro bravo.jpg", photo(1)).text("name", "Toro").text("folder", "media")).await;
    story.tell("an image", &stored);
    assert_eq!(stored.header("location"), stored.body["url"].as_str().unwrap());
    story.tell("read by anybody", &world.ask(world.get("/api/media/1/")).await);
    story.tell("read with a bad token", &world.read("/api/media/1", "rubbish").await);

    let url = stored.body["url"].as_str().unwrap().to_owned();
    let bytes = world.http.get(&url).send().await.unwrap().bytes().await.unwrap();
    assert!(bytes.starts_with(&[0xff, 0xd8]) && secret(&photo(1)) && !secret(&bytes));
    let part = world.http.get(&url).header("range", "bytes=2-5").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 2-5/{}", bytes.len()).as_str());
    assert_eq!(part.bytes().await.unwrap(), bytes[2..6]);
    let whole = world.http.get(&url).send().await.unwrap();
    let tag = whole.headers()["etag"].clone();
    let unchanged = world.http.get(&url).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(unchanged.status(), 304);

    story.tell("no file", &post(Form::new().text("name", "Toro")).await);
    story.tell("a voice note", &post(form("audio", "nota.wav", voice())).await);
    story.tell("a voice note that claims to be an image", &post(form("image", "nota.jpg", voice())).await);
    story.tell("a text", &post(form("image", "toro.jpg", b"toro".to_vec())).await);
    story.tell("JSON", &world.ask(world.post("/api/media/").json(&json!({ "name": "Toro" }))).await);
    // Nobody's file is nobody's to change.
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        assert_eq!(world.ask(world.request(method.clone(), "/api/media/1/")).await.status, 401, "{method}");
        assert_eq!(world.call(method.clone(), "/api/media/1/", &ana.token, json!({})).await.status, 403, "{method}");
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn an_upload_with_a_token_that_does_not_hold_is_nobodys_only_if_nobody_is_meant() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let upload = async |authorization: &str| {
        let request = world.post("/api/media/").header("authorization", authorization);
        world.ask(request.multipart(form("image", "x.jpg", photo(1)))).await
    };
    for held in [format!("Bearer {}", ana.token), format!("Token {}", ana.token)] {
        assert_eq!(upload(&held).await.status, 201, "{held}");
    }
    // What JavaScript makes of a token that it does not have.
    for none in ["Bearer null", "Token undefined", "Bearer", "Bearer "] {
        assert_eq!(upload(none).await.status, 201, "{none}");
    }
    for refused in ["Bearer rubbish".to_owned(), format!("Bearer {}x", ana.token), "Bearer a b".to_owned()] {
        let answer = upload(&refused).await;
        assert_eq!(answer.status, 401, "{refused}: {answer}");
    }
    world.call(Method::POST, "/api/auth/logout/", &ana.token, json!({})).await;
    let answer = upload(&format!("Bearer {}", ana.token)).await;
    assert_eq!(answer.status, 401, "{answer}");
}

#[tokio::test]
async fn thirty_anonymous_uploads_an_hour() {
    let world = World::start().await;
    for n in 0..30 {
        let stored = world.ask(world.post("/api/media/").multipart(form("image", "x.jpg", photo(n)))).await;
        assert_eq!(stored.status, 201, "{n}: {stored}");
    }
    let mut story = Story::default();
    let answer = world.ask(world.post("/api/media/").multipart(form("image", "x.jpg", photo(31)))).await;
    story.tell("the 31st", &answer);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn with_a_token_any_kind_and_any_body() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let mut story = Story::default();
    let post = |form: Form| world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(form));
    let json = |body: Value| world.call(Method::POST, "/api/media/", &ana.token, body);

    story.tell("only a description", &json(json!({ "name": "Toro", "price": 1250.5, "url": "http://evil/" })).await);
    story.tell("nothing at all", &json(json!({})).await);
    let urlencoded = [("name", ""), ("description", "Un toro"), ("price", "")];
    let urlencoded = world.post("/api/media/").bearer_auth(&ana.token).form(&urlencoded);
    story.tell("urlencoded, with empty values", &world.ask(urlencoded).await);
    let note = post(form("audio", "nota.wav", voice()).text("folder", "chat")).await;
    story.tell("a voice note", &note);
    let other = form("foto", "x.png", photo(1)).text("folder", "../../etc").text("price", "10");
    story.tell("a file of any name, an unknown folder", &post(other).await);

    let document = post(form("image", "titulo.pdf", b"%PDF-1.7\n%%EOF".to_vec()).text("folder", "verification")).await;
    story.tell("a document", &document);
    let id = document.body["id"].as_i64().unwrap();
    let path = format!("/api/media/{id}/");
    assert_eq!(world.ask(world.get(&path)).await.status, 404);
    assert_eq!(world.read(&path, &beto.token).await.status, 404);
    let own = world.read(&path, &ana.token).await.body["url"].as_str().unwrap().to_owned();
    // The link opens by itself, as a picture in a page must; without its signature it does not.
    let open = world.http.get(&own).send().await.unwrap();
    assert_eq!(
        (open.status().as_u16(), &open.headers()["cache-control"]),
        (200, &"private, no-store".parse().unwrap())
    );
    assert_eq!(world.http.get(own.split('?').next().unwrap()).send().await.unwrap().status(), 404);

    story.tell("a document elsewhere", &post(form("image", "t.pdf", b"%PDF-1.7\n%%EOF".to_vec())).await);
    story.tell("a text", &post(form("image", "t.txt", b"hola".to_vec())).await);
    story.tell("an empty file", &post(form("image", "t.jpg", Vec::new())).await);
    let wrong = json!({ "name": "x".repeat(201), "description": ["x"], "price": "1.234", "content_type": "x" });
    story.tell("what is wrong", &json(wrong).await);
    story.tell("a price that is none", &json(json!({ "price": "mucho" })).await);
    story.tell("a price of eleven digits", &json(json!({ "price": "123456789.01" })).await);
    story.tell("something it belongs to", &json(json!({ "content_type": 7, "object_id": 1 })).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn one_sees_ones_own_files_and_staff_sees_all() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    for (person, name) in [(&ana, "uno"), (&ana, "dos"), (&beto, "tres"), (&ana, "cuatro")] {
        let stored = world.call(Method::POST, "/api/media/", &person.token, json!({ "name": name })).await;
        assert_eq!(stored.status, 201);
    }
    let anonymous = world.ask(world.post("/api/media/").multipart(form("image", "x.jpg", photo(1)))).await;
    assert_eq!(anonymous.status, 201);
    let mut story = Story::default();
    story.tell("one's own", &world.read("/api/media/?page_size=2", &ana.token).await);
    story.tell("the second page", &world.read("/api/media/?page_size=2&page=2", &ana.token).await);
    let (staff, _) = world.staff().await;
    let all = world.read("/api/media/", &staff).await;
    assert_eq!(all.body["count"], json!(5));
    story.tell("nothing yet", &world.read("/api/media/", &world.agrovet("Eva", "59170000003", "").await.token).await);
    story.tell("past the end", &world.read("/api/media/?page=2", &ana.token).await);
    story.tell("without a token", &world.ask(world.get("/api/media/")).await);
    story.tell("no such file", &world.ask(world.get("/api/media/99/")).await);
    story.tell("no number", &world.ask(world.get("/api/media/toro/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn the_owner_changes_and_deletes() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let upload = form("image", "toro.jpg", photo(1)).text("name", "Toro").text("price", "1250");
    let stored = world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(upload)).await;
    let former = stored.body["url"].as_str().unwrap().to_owned();
    let path = "/api/media/1/";
    let mut story = Story::default();
    let patch = |body: Value| world.call(Method::PATCH, path, &ana.token, body);

    story.tell("PATCH JSON", &patch(json!({ "name": "Toro bravo", "description": "Manso" })).await);
    let mut whole = stored.body.clone();
    whole["price"] = json!("99.90");
    story.tell("PATCH with all that was shown", &patch(whole).await);
    story.tell("PUT that gives nothing", &world.call(Method::PUT, path, &ana.token, json!({})).await);
    story.tell("nulls", &patch(json!({ "name": null, "price": null })).await);
    story.tell("what is wrong", &patch(json!({ "price": "x", "name": 1, "description": "x".repeat(201) })).await);
    let put = world.request(Method::PUT, path).bearer_auth(&ana.token).multipart(form("image", "vaca.jpg", photo(2)));
    let replaced = world.ask(put).await;
    story.tell("PUT with another file", &replaced);
    let present = replaced.body["url"].as_str().unwrap().to_owned();
    assert_ne!(present, former);
    let status = async |url: &str| world.http.get(url).send().await.unwrap().status().as_u16();
    assert_eq!((status(&present).await, status(&former).await), (200, 404));
    let put = world.request(Method::PUT, path).bearer_auth(&ana.token).multipart(form("image", "x", b"hola".to_vec()));
    story.tell("PUT with a file of no kind", &world.ask(put).await);
    assert_eq!(status(&present).await, 200);

    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = world.call(method.clone(), path, &beto.token, json!({ "price": "x" })).await;
        assert_eq!(answer.status, 403, "{method}");
        assert_eq!(world.call(method.clone(), "/api/media/99/", &beto.token, json!({})).await.status, 404, "{method}");
    }
    let (staff, _) = world.staff().await;
    assert_eq!(world.call(Method::PATCH, path, &staff, json!({ "name": "Vaca" })).await.body["name"], json!("Vaca"));
    let delete = || world.ask(world.request(Method::DELETE, path).bearer_auth(&ana.token));
    story.tell("DELETE", &delete().await);
    story.tell("DELETE again", &delete().await);
    assert_eq!((world.ask(world.get(path)).await.status, status(&present).await), (404, 404));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn each_kind_has_its_limit() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let mut story = Story::default();
    let padded = |head: Vec<u8>, mebibytes: usize| [head, vec![0; mebibytes << 20]].concat();
    let post = |form: Form| world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(form));
    story.tell("an image of 10 MiB and more", &post(form("image", "x.jpg", padded(photo(1), 10))).await);
    story.tell("a voice note of 20 MiB and more", &post(form("audio", "x.wav", padded(voice(), 20))).await);
    story.tell("more than anything may have", &post(form("image", "x.jpg", padded(photo(1), 30))).await);
    let long = Form::new().text("name", "x".repeat(2 << 20));
    story.tell("a form with 2 MiB of text", &post(long).await);
    insta::assert_snapshot!(story);
}
