//! Agrovet: pictures uploaded to profiles, documents and their review, and stars.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::files::{form, photo, voice};
use crate::story::Story;
use crate::world::{Person, World};

fn picture(name: &'static str, shade: u8) -> Part {
    Part::bytes(photo(shade)).file_name(name)
}

/// A document of somebody's, and its number.
async fn document(world: &World, person: &Person, folder: &str) -> i64 {
    let upload = form("image", "titulo.jpg", photo(9)).text("folder", folder.to_owned());
    let stored = world.ask(world.post("/api/media/").bearer_auth(&person.token).multipart(upload)).await;
    assert_eq!(stored.status, 201, "{stored}");
    stored.body["id"].as_i64().expect("a number")
}

/// Two specialists, by their numbers 2 and 3.
async fn specialists(world: &World) -> (Person, Person) {
    (world.agrovet("Ana", "59170000001", "Specialist").await, world.agrovet("Beto", "59170000002", "Specialist").await)
}

#[tokio::test]
async fn pictures_are_uploaded_all_or_none_and_in_order() {
    let world = World::start().await;
    let (ana, beto) = specialists(&world).await;
    let shop = world.agrovet("Agro", "59170000003", "businessman").await;
    let mut story = Story::default();
    let upload = |token: &str, path: &str, form: Form| world.ask(world.post(path).bearer_auth(token).multipart(form));
    let path = "/api/profiles/specialists/2/upload_work_images/";

    let both = Form::new()
        .part("image", picture("c.jpg", 3))
        .part("images", picture("a.jpg", 1))
        .part("images", picture("b.jpg", 2))
        .text("description", "Mi trabajo");
    let stored = upload(&ana.token, path, both).await;
    story.tell("three files under both names", &stored);
    let numbers: Vec<_> = stored.body.as_array().unwrap().iter().map(|media| media["id"].clone()).collect();
    let more = Form::new().part("images[]", picture("d.jpg", 4));
    let more = upload(&ana.token, path, more).await;
    assert_eq!(more.status, 201, "{more}");
    let gallery = world.read("/api/profiles/specialists/2/", &ana.token).await.body["work_images_ids"].clone();
    assert_eq!(gallery, json!([numbers.clone(), vec![more.body[0]["id"].clone()]].concat()));

    let products = Form::new()
        .part("images", picture("sal.jpg", 5))
        .part("images", picture("miel.jpg", 6))
        .text("name", "Sal mineral")
        .text("price", "12.50")
        .text("name", "Miel");
    story.tell("products", &upload(&shop.token, "/api/profiles/businessmen/4/upload_products", products).await);
    let profile = world.read("/api/profiles/businessmen/4/", &ana.token).await;
    assert_eq!(profile.body["products_and_services_full"].as_array().unwrap().len(), 2);

    story.tell("no files", &upload(&ana.token, path, Form::new().text("description", "x")).await);
    let broken =
        Form::new().part("images", picture("a.jpg", 7)).part("images", Part::bytes(voice()).file_name("b.jpg"));
    story.tell("one that is no picture", &upload(&ana.token, path, broken).await);
    let many = (0..11).fold(Form::new(), |form, shade| form.part("images", picture("a.jpg", shade)));
    story.tell("eleven", &upload(&ana.token, path, many).await);
    let one = || Form::new().part("images", picture("a.jpg", 8));
    story.tell("somebody else's", &upload(&beto.token, path, one()).await);
    story.tell("of another kind", &upload(&ana.token, "/api/profiles/businessmen/2/upload_products/", one()).await);
    story.tell("without a token", &world.ask(world.post(path).multipart(one())).await);
    let after = world.read("/api/profiles/specialists/2/", &ana.token).await.body["work_images_ids"].clone();
    assert_eq!(after, gallery, "what was refused left nothing");
    // Nor do files stay behind.
    assert_eq!(world.read("/api/media/", &ana.token).await.body["count"], json!(4));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn an_upload_whose_client_hangs_up_is_finished_all_the_same() {
    let world = World::start().await;
    let (ana, _) = specialists(&world).await;
    let path = "/api/profiles/specialists/2/upload_work_images/";
    let ten = (0..10).fold(Form::new(), |form, shade| form.part("images", picture("a.jpg", shade)));
    let upload = tokio::spawn(world.post(path).bearer_auth(&ana.token).multipart(ten).send());
    let stored = async || world.read("/api/media/", &ana.token).await.body["count"].as_i64().unwrap();
    testkit::eventually("the first is stored", async || stored().await > 0).await;
    upload.abort();
    testkit::eventually("all are in the gallery", async || {
        let profile = world.read("/api/profiles/specialists/2/", &ana.token).await;
        profile.body["work_images_ids"].as_array().unwrap().len() == 10
    })
    .await;
    assert_eq!(stored().await, 10);
}

#[tokio::test]
async fn pictures_under_several_names_keep_the_order_of_their_parts() {
    let world = World::start().await;
    let (ana, _) = specialists(&world).await;
    let shop = world.agrovet("Agro", "59170000003", "businessman").await;
    for (who, profile, action, gallery) in [
        (&ana, "/api/profiles/specialists/2/", "upload_work_images/", "work_images_ids"),
        (&shop, "/api/profiles/businessmen/4/", "upload_products/", "products_and_services_ids"),
    ] {
        let sent =
            [("image", "a.jpg"), ("images", "b.jpg"), ("image", "c.jpg"), ("images[]", "d.jpg"), ("images", "e.jpg")];
        let parts = sent.into_iter().zip(1..);
        let parts = parts.fold(Form::new(), |form, ((field, name), shade)| form.part(field, picture(name, shade)));
        let upload = world.post(&format!("{profile}{action}")).bearer_auth(&who.token).multipart(parts);
        let stored = world.ask(upload).await;
        assert_eq!(stored.status, 201, "{stored}");
        let stored = stored.body.as_array().unwrap();
        let names: Vec<_> = stored.iter().map(|media| media["name"].as_str().unwrap()).collect();
        assert_eq!(names, sent.map(|(_, name)| name), "{action}");
        let ids: Vec<_> = stored.iter().map(|media| &media["id"]).collect();
        assert_eq!(world.read(profile, &who.token).await.body[gallery], json!(ids), "{action}");
    }
}

#[tokio::test]
async fn a_product_costs_nothing_until_somebody_says_otherwise_and_an_empty_price_is_null() {
    let world = World::start().await;
    let shop = world.agrovet("Agro", "59170000001", "businessman").await;
    let products = [("", "a.jpg"), ("12.50", "b.jpg"), ("", "c.jpg")].into_iter().zip(1..);
    let products = products.fold(Form::new(), |form, ((price, name), shade)| {
        form.part("images", picture(name, shade)).text("price", price)
    });
    let path = "/api/profiles/businessmen/2/upload_products/";
    let stored = world.ask(world.post(path).bearer_auth(&shop.token).multipart(products)).await;
    assert_eq!(stored.status, 201, "{stored}");
    let prices: Vec<_> = stored.body.as_array().unwrap().iter().map(|product| &product["price"]).collect();
    assert_eq!(prices, [&Value::Null, &json!("12.50"), &Value::Null]);
    let untold = Form::new().part("images", picture("d.jpg", 5)).part("image", picture("e.jpg", 6)).text("price", "7");
    let untold = world.ask(world.post(path).bearer_auth(&shop.token).multipart(untold)).await;
    let prices: Vec<_> = untold.body.as_array().unwrap().iter().map(|product| &product["price"]).collect();
    assert_eq!(prices, [&json!("7.00"), &json!("0.00")]);
    let wrong = Form::new().part("images", picture("a.jpg", 4)).text("price", "").text("price", "gratis");
    let wrong = world.ask(world.post(path).bearer_auth(&shop.token).multipart(wrong)).await;
    assert_eq!((wrong.status, &wrong.body), (400, &json!({ "price": ["Se requiere un número válido."] })));
}

#[tokio::test]
async fn a_new_business_sends_back_by_patch_what_it_was_shown() {
    let world = World::start().await;
    let shop = world.agrovet("Agro", "59170000001", "businessman").await;
    let path = "/api/profiles/businessmen/2/";
    let shown = world.read(path, &shop.token).await.body;
    assert_eq!((&shown["business_name"], &shown["contact"]), (&json!(""), &json!("")));
    let answer = world.call(Method::PATCH, path, &shop.token, shown.clone()).await;
    assert_eq!((answer.status, &answer.body), (200, &shown), "{answer}");
    for method in [Method::PUT, Method::POST] {
        let refused = world.call(method.clone(), path, &shop.token, shown.clone()).await;
        assert_eq!(refused.status, 400, "{method}: {refused}");
    }
    // Who makes a profile says what it is.
    let ana = world.agrovet("Ana", "59170000002", "").await;
    let blank = json!({ "business_name": "", "descriptions": "x", "contact": "x" });
    for (method, path) in [(Method::POST, "/api/profiles/businessmen/"), (Method::PUT, "/api/profiles/businessmen/3/")]
    {
        let refused = world.call(method.clone(), path, &ana.token, blank.clone()).await;
        assert_eq!(refused.status, 400, "{method}: {refused}");
        assert!(refused.body["business_name"].is_array(), "{method}: {refused}");
    }
}

#[tokio::test]
async fn a_document_is_not_exchanged_behind_its_review_and_shown_to_nobody() {
    let world = World::start().await;
    let (ana, _) = specialists(&world).await;
    let title = document(&world, &ana, "verification").await;
    let path = "/api/profiles/specialists/2/";
    let patch = |body: Value| world.call(Method::PATCH, path, &ana.token, body);
    let set = patch(json!({ "verification_title_id": title })).await;
    assert_eq!(set.status, 200, "{set}");
    let other = world.request(Method::PUT, &format!("/api/media/{title}/")).bearer_auth(&ana.token);
    let exchanged = world.ask(other.multipart(form("image", "otra.jpg", photo(10)))).await;
    assert_eq!(exchanged.status, 409, "{exchanged}");

    let sound = world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(form("audio", "a.wav", voice())));
    for file in [json!(title), sound.await.body["id"].clone()] {
        let refused = patch(json!({ "work_images_ids": [file] })).await;
        assert_eq!(refused.status, 400, "{refused}");
        assert!(refused.body["work_images_ids"].is_array(), "{refused}");
    }
    let own = world.read(path, &ana.token).await.body;
    assert_eq!((&own["work_images_ids"], &own["verification"]["submission"]), (&json!([]), &json!(1)));
}

#[tokio::test]
async fn a_document_makes_nobody_verified_before_staff_says_so() {
    let world = World::start().await;
    let (ana, beto) = specialists(&world).await;
    let (staff, _) = world.staff().await;
    let (title, card) = (document(&world, &ana, "verification").await, document(&world, &ana, "verification").await);
    let mut story = Story::default();
    let path = "/api/profiles/specialists/2/";
    let patch = |body: Value| world.call(Method::PATCH, path, &ana.token, body);
    let review = |token: &str, body: Value| {
        let (world, token) = (&world, token.to_owned());
        async move { world.call(Method::POST, "/api/profiles/specialists/2/review/", &token, body).await }
    };

    let own = patch(json!({ "verification_title_id": title.to_string() })).await;
    story.tell("a title is set", &own);
    let link = own.body["verification_title_url"].as_str().unwrap();
    let open = world.http.get(link).send().await.unwrap();
    assert_eq!(open.status(), 200);
    assert_eq!(world.http.get(link.split('?').next().unwrap()).send().await.unwrap().status(), 404);
    let seen = world.read(path, &beto.token).await;
    for name in
        ["verification_title_id", "verification_title_url", "verification", "verification_type", "verification_status"]
    {
        assert_eq!(seen.body[name], Value::Null, "{name}");
    }
    assert_eq!(seen.body["is_verified"], json!(false));
    story.tell("what staff has to look at", &world.read("/api/profiles/verifications/?state=pending", &staff).await);
    assert_eq!(world.read("/api/profiles/verifications/", &ana.token).await.status, 403);

    story.tell("one's own review", &review(&ana.token, json!({ "decision": "approve", "submission": 1 })).await);
    story.tell("a decision that is none", &review(&staff, json!({ "decision": "quizás" })).await);
    let rejected = review(&staff, json!({ "decision": "reject", "submission": 1, "reason": "Está borroso" })).await;
    assert_eq!(rejected.body["verification"]["reason"], json!("Está borroso"));
    assert_eq!(
        patch(json!({ "verification_student_card_id": card })).await.body["verification"]["state"],
        json!("pending")
    );
    let stale = review(&staff, json!({ "decision": "approve", "submission": 1 })).await;
    story.tell("a review of what was replaced meanwhile", &stale);
    let approved = review(&staff, json!({ "decision": "approve", "submission": 2 })).await;
    assert_eq!(approved.status, 200, "{approved}");
    let seen = world.read(path, &beto.token).await.body;
    assert_eq!(
        (&seen["is_verified"], &seen["verification_type"], &seen["verification_status"]),
        (&json!(true), &json!("Estudiante"), &json!("verified_student"))
    );
    let title_alone = patch(json!({ "verification_student_card_id": "" })).await.body;
    assert_eq!(
        (&title_alone["verification_type"], &title_alone["verification_status"]),
        (&json!("Médico Titulado"), &json!("verified_professional"))
    );
    story.tell("none is left", &patch(json!({ "verification_title_id": null })).await);
    story.tell("nothing to review", &review(&staff, json!({ "decision": "approve", "submission": 4 })).await);
    let public = document(&world, &ana, "portfolio").await;
    story.tell("a document anybody could read", &patch(json!({ "verification_title_id": public })).await);
    let others = document(&world, &beto, "verification").await;
    story.tell("somebody else's document", &patch(json!({ "verification_title_id": others })).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn stars_make_points_and_puntuations() {
    let world = World::start().await;
    let (ana, beto) = specialists(&world).await;
    let eva = world.agrovet("Eva", "59170000003", "consumer").await;
    let mut story = Story::default();
    let rate = |who: &Person, path: &'static str, stars: Value| {
        let (world, token) = (&world, who.token.clone());
        async move { world.call(Method::POST, path, &token, json!({ "stars": stars })).await }
    };
    let path = "/api/profiles/specialists/2/rate/";
    for (who, stars, puntuations, point) in
        [(&beto, 5, json!(5.0), 5), (&eva, 2, json!(3.5), 7), (&eva, 4, json!(4.5), 9)]
    {
        let rated = rate(who, path, json!(stars)).await.body;
        assert_eq!((&rated["puntuations"], &rated["point"]), (&puntuations, &json!(point)));
    }
    story.tell("six stars", &rate(&eva, path, json!(6)).await);
    story.tell("oneself", &rate(&ana, path, json!(5)).await);
    story.tell("a consumer", &rate(&ana, "/api/profiles/specialists/4/rate/", json!(5)).await);
    story.tell("without a token", &world.ask(world.post(path).json(&json!({ "stars": 5 }))).await);
    let shown = world.read("/api/auth/users/2/", &beto.token).await;
    assert_eq!(shown.body["specialist_profile"]["puntuations"], json!(4.5));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn who_may_send_it_back_is_shown_nothing_without_its_pictures() {
    let world = World::start().await;
    let (ana, beto) = specialists(&world).await;
    let upload = Form::new().part("images", picture("a.jpg", 1));
    let path = "/api/profiles/specialists/2/";
    let stored = world
        .post(&format!("{path}upload_work_images/"))
        .bearer_auth(&ana.token)
        .multipart(upload)
        .send()
        .await
        .unwrap();
    assert_eq!(stored.status(), 201);
    let picture = world.picture(Some(&ana.token), 2).await;
    let image = world.picture(Some(&ana.token), 3).await;
    world.offers(&ana, json!({ "main_image_id": image, "secondary_image_ids": [picture] })).await;

    world.databases["media"].set_away(true).await;
    let own = [path, "/api/profiles/specialists/?object_id=2", "/api/adds/1/", "/api/adds/my_adds/"];
    for path in own {
        assert_eq!(world.read(path, &ana.token).await.status, 503, "{path}");
    }
    // With the person it is not shown at all, as while `profiles` is away.
    for user in ["/api/auth/users/me/", "/api/auth/users/2/"] {
        let read = world.read(user, &ana.token).await;
        assert_eq!((read.status, &read.body["specialist_profile"]), (200, &json!(null)), "{user}");
    }
    // Whoever only reads has the rest.
    let read = world.read(path, &beto.token).await;
    assert_eq!((read.status, &read.body["work_images_ids"]), (200, &json!([])));
    let read = world.anybody("/api/adds/1/").await;
    assert_eq!((read.status, &read.body["secondary_images"]), (200, &json!([])));
    let read = world.read("/api/profiles/specialists/?object_id=2", &beto.token).await;
    assert_eq!((read.status, &read.body["results"][0]["id"]), (200, &json!(2)));

    world.databases["media"].set_away(false).await;
    let limit = std::time::Duration::from_secs(30);
    for path in own {
        testkit::within(limit, "media is back", async || world.read(path, &ana.token).await.status == 200).await;
    }
    let shown = world.read(path, &ana.token).await.body;
    assert_eq!(shown["work_images_ids"].as_array().unwrap().len(), 1);
    assert_eq!(world.call(Method::PATCH, path, &ana.token, shown.clone()).await.body, shown);
    let shown = world.read("/api/adds/1/", &ana.token).await.body;
    assert_eq!(shown["secondary_images"][0]["id"], json!(picture));
}
