//! Agrovet: ads. Publishing, changing, lists, searching, what is nearby.

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{form, photo};
use crate::story::Story;
use crate::world::{Person, World};

/// An ad that lacks nothing.
pub(crate) fn semental() -> Value {
    json!({
        "title": "Semental Brahman", "description": "Toro de cinco años, manso y sano", "price": "1250", "category": 24,
        "condition": "used", "location_name": "Juigalpa", "latitude": 12.1063, "longitude": -85.3645,
    })
}

impl World {
    /// Publishes an ad like the one above, with other fields; its id.
    pub(crate) async fn offers(&self, seller: &Person, fields: Value) -> Value {
        let mut ad = semental();
        ad.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let answer = self.call(Method::POST, "/api/adds/", &seller.token, ad).await;
        assert_eq!(answer.status, 201, "{answer}");
        answer.body["id"].clone()
    }

    /// Stores a picture; its number.
    pub(crate) async fn picture(&self, token: Option<&str>, shade: u8) -> i64 {
        let request = self.post("/api/media/").multipart(form("image", "toro.jpg", photo(shade)));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.ask(request).await.body["id"].as_i64().expect("it was stored")
    }

    /// Ids of a list's ads, which must be an array or a page.
    async fn adds(&self, path: &str) -> Vec<i64> {
        let answer = self.ask(self.get(path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer}");
        ids(&answer.body)
    }
}

fn ids(body: &Value) -> Vec<i64> {
    let rows = body.as_array().or(body["results"].as_array()).expect("a list");
    rows.iter().map(|add| add["id"].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn who_becomes_a_business_sells_without_signing_in_again() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let own = format!("/api/profiles/consumers/{}/", ana.id);
    assert_eq!(world.call(Method::DELETE, &own, &ana.token, json!({})).await.status, 204);
    let shop = json!({ "business_name": "La Vaca", "descriptions": "Todo para el campo", "contact": "88887777" });
    assert_eq!(world.call(Method::POST, "/api/profiles/businessmen/", &ana.token, shop).await.status, 201);
    testkit::eventually("the role is known", async || {
        world.call(Method::POST, "/api/adds/", &ana.token, semental()).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn long_texts_do_not_close_a_list() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let long = "🐂".repeat(20_000);
    for _ in 0..60 {
        world.offers(&ana, json!({ "description": long })).await;
    }
    assert_eq!(world.adds("/api/adds/?page_size=100").await.len(), 60);
    assert_eq!(world.adds("/api/adds/nearby/?lat=12.1063&lon=-85.3645").await.len(), 60);
}

#[tokio::test]
async fn who_sells_publishes_with_pictures_and_everybody_reads() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let create = async |token: &str, body: Value| world.call(Method::POST, "/api/adds/", token, body).await;
    let mut story = Story::default();

    // The frontend's ad form uploads without a token.
    let pictures =
        [world.picture(None, 1).await, world.picture(None, 2).await, world.picture(Some(&ana.token), 3).await];
    let mut ad = semental();
    ad["main_image_id"] = json!(pictures[0]);
    ad["secondary_image_ids"] = json!([pictures[2], pictures[1]]);
    ad["status"] = json!("archived");
    ad["publisher_id"] = json!(1);
    story.tell("published", &create(&ana.token, ad.clone()).await);
    story.tell("read without a token", &world.ask(world.get("/api/adds/1/")).await);
    story.tell("listed", &world.ask(world.get("/api/adds/?page_size=1")).await);
    let with_bad_token = world.read("/api/adds/1", "rubbish").await;
    assert_eq!((with_bad_token.status, &with_bad_token.body["publisher_name"]), (200, &json!("Ana")));
    let by_token = world.ask(world.get("/api/adds/1").header("authorization", format!("Token {}", ana.token))).await;
    assert_eq!(by_token.status, 200);

    story.tell("nothing at all", &create(&ana.token, json!({})).await);
    let wrong = json!({
        "title": "x".repeat(201), "description": " ", "price": -1, "condition": "x", "category": "verduras",
        "latitude": 91, "longitude": "nan", "secondary_image_ids": [1, 2, 3, 4, 5], "main_image_id": "x",
    });
    story.tell("everything wrong", &create(&ana.token, wrong).await);
    let with = async |field: &str, value: Value| {
        let mut ad = semental();
        ad[field] = value;
        create(&ana.token, ad).await
    };
    story.tell("a category that is not there", &with("category", json!(99)).await);
    story.tell("no category", &with("category", json!(null)).await);
    story.tell("a price with three decimals", &with("price", json!("1.005")).await);
    story.tell("half a place", &with("longitude", json!(null)).await);
    story.tell("a main picture that is not there", &with("main_image_id", json!(999)).await);
    story.tell("more pictures that are not there", &with("secondary_image_ids", json!([pictures[0], 999, 998])).await);
    story.tell("no list of pictures", &with("secondary_image_ids", json!("x")).await);
    story.tell("a list", &create(&ana.token, json!([])).await);
    let foreign = world.picture(Some(&beto.token), 4).await;
    story.tell("somebody else's picture", &with("main_image_id", json!(foreign)).await);
    let own_and_foreign = json!([pictures[2], foreign]);
    story.tell("somebody else's among more pictures", &with("secondary_image_ids", own_and_foreign).await);
    let document = form("image", "titulo.jpg", photo(5)).text("folder", "verification");
    let document = world.ask(world.post("/api/media/").bearer_auth(&ana.token).multipart(document)).await;
    let document = document.body["id"].clone();
    story.tell("a private document", &with("main_image_id", document.clone()).await);
    story.tell("a private document among more pictures", &with("secondary_image_ids", json!([document])).await);

    // Whose it is to publish comes before what is wrong with the form.
    story.tell("a consumer", &create(&beto.token, json!({})).await);
    story.tell("without a token", &world.ask(world.post("/api/adds/").json(&ad)).await);
    story.tell("with a bad token", &create("rubbish", ad).await);
    story.tell("not there", &world.ask(world.get("/api/adds/999/")).await);
    story.tell("no number", &world.ask(world.get("/api/adds/toro/")).await);
    story.tell("categories stand elsewhere", &world.ask(world.get("/api/adds/categories/")).await);
    let form =
        [("title", "Vaca"), ("description", "Mansa"), ("price", "10.5"), ("condition", "new"), ("category", "3")];
    let urlencoded = world.post("/api/adds/").bearer_auth(&ana.token).form(&form);
    assert_eq!(world.ask(urlencoded).await.body["price"], json!("10.50"));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn its_publisher_changes_an_ad_in_part_or_whole_and_deletes_it() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "businessman").await;
    let beto = world.agrovet("Beto", "59170000002", "Specialist").await;
    let (staff, _) = world.staff().await;
    let pictures = [world.picture(None, 1).await, world.picture(None, 2).await, world.picture(None, 3).await];
    let images = json!({ "main_image_id": pictures[0], "secondary_image_ids": [pictures[1], pictures[2]] });
    world.offers(&ana, images).await;
    let path = "/api/adds/1/";
    let patch = |body: Value| world.call(Method::PATCH, path, &ana.token, body);
    let put = |body: Value| world.call(Method::PUT, path, &ana.token, body);
    let shown = |body: &Value| {
        let images = body["secondary_images"].as_array().unwrap().iter().map(|image| image["id"].clone());
        (body["main_image"]["id"].clone(), images.collect::<Vec<_>>())
    };
    let mut story = Story::default();

    story.tell("PATCH", &patch(json!({ "title": "Toro", "price": 99.5, "location_name": null })).await);
    // Absent and null leave the pictures, zero and an empty list take them away.
    let all = (json!(pictures[0]), vec![json!(pictures[1]), json!(pictures[2])]);
    let left = patch(json!({ "main_image_id": null, "secondary_image_ids": null })).await;
    assert_eq!(shown(&left.body), all);
    let cleared = patch(json!({ "main_image_id": 0, "secondary_image_ids": [pictures[2]] })).await;
    assert_eq!(shown(&cleared.body), (Value::Null, vec![json!(pictures[2])]));
    let replaced = patch(json!({ "main_image_id": pictures[1], "secondary_image_ids": [] })).await;
    assert_eq!(shown(&replaced.body), (json!(pictures[1]), vec![]));
    let without_place = patch(json!({ "latitude": null, "longitude": null })).await;
    assert_eq!((&without_place.body["latitude"], &without_place.body["longitude"]), (&Value::Null, &Value::Null));

    story.tell("PUT", &put(semental()).await);
    story.tell("PUT of a part", &put(json!({ "title": "Toro" })).await);
    // The frontend sends back what it was shown.
    let whole = world.read(path, &ana.token).await.body;
    assert_eq!(patch(whole.clone()).await.body["title"], whole["title"]);
    story.tell("what is wrong", &patch(json!({ "price": "x", "status": "x", "title": "" })).await);
    story.tell("a category that is not there", &patch(json!({ "category": 99 })).await);

    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = world.call(method.clone(), path, &beto.token, json!({ "price": "x" })).await;
        assert_eq!(answer.status, 403, "{method}");
        if method == Method::PUT {
            story.tell("somebody else", &answer);
        }
        assert_eq!(world.ask(world.request(method.clone(), path)).await.status, 401, "{method}");
        assert_eq!(world.call(method.clone(), "/api/adds/99/", &beto.token, json!({})).await.status, 404, "{method}");
    }
    assert_eq!(world.call(Method::PATCH, path, &staff, json!({ "title": "Vaca" })).await.body["title"], "Vaca");
    story.tell("POST", &world.call(Method::POST, path, &ana.token, json!({})).await);
    story.tell("DELETE", &world.ask(world.request(Method::DELETE, path).bearer_auth(&ana.token)).await);
    assert_eq!(world.ask(world.get(path)).await.status, 404);
    let media = world.ask(world.get(&format!("/api/media/{}/", pictures[1]))).await;
    assert_eq!(media.status, 200, "pictures stay");
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn the_publisher_moves_an_ad_and_what_is_put_away_is_hidden() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let (staff, _) = world.staff().await;
    world.offers(&ana, json!({})).await;
    world.offers(&ana, json!({})).await;
    let status = |word: &str| world.call(Method::PATCH, "/api/adds/1/", &ana.token, json!({ "status": word }));
    let mut story = Story::default();
    for word in ["paused", "archived"] {
        assert_eq!(status(word).await.body["status"], json!(word));
        assert_eq!(world.adds("/api/adds/").await, [2]);
        assert_eq!(ids(&world.read("/api/adds/", &ana.token).await.body), [2, 1]);
        assert_eq!(ids(&world.read("/api/adds/", &staff).await.body), [2, 1]);
        assert_eq!(ids(&world.read("/api/adds/", &beto.token).await.body), [2]);
        assert_eq!(world.adds(&format!("/api/adds/?status={word}")).await, [0; 0]);
        story.tell(&format!("{word}, to somebody else"), &world.read("/api/adds/1/", &beto.token).await);
        assert_eq!(world.read("/api/adds/1/", &ana.token).await.status, 200);
    }
    assert_eq!(status("active").await.status, 200);
    story.tell("sold outside of the platform", &status("sold").await);
    assert_eq!(world.adds("/api/adds/?status=sold").await, [1]);
    story.tell("active again", &status("active").await);
    assert_eq!(status("archived").await.status, 200);
    assert_eq!(status("paused").await.status, 200);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn lists_are_narrowed_ordered_and_searched() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "businessman").await;
    let (vaca, tractor) = (
        json!({ "title": "Vacas lecheras", "price": 300, "category": 3, "condition": "new" }),
        json!({
            "title": "Tractor John Deere", "description": "Con arado", "price": 20, "condition": "semi_new",
        }),
    );
    world.offers(&ana, json!({})).await;
    world.offers(&ana, vaca).await;
    world.offers(&beto, tractor).await;
    for (query, expected) in [
        ("", vec![3, 2, 1]),
        ("category=3", vec![2]),
        ("category=&condition=&status=", vec![3, 2, 1]),
        ("condition=semi_new", vec![3]),
        ("status=active&category=24", vec![3, 1]),
        ("publisher=2", vec![2, 1]),
        ("publisher_id=3", vec![3]),
        ("min_price=20.01", vec![2, 1]),
        ("max_price=300&min_price=20", vec![3, 2]),
        ("created_after=2020-01-01", vec![3, 2, 1]),
        ("created_before=2020-01-01T00:00:00Z", vec![]),
        ("ordering=price", vec![3, 2, 1]),
        ("ordering=-price", vec![1, 2, 3]),
        ("ordering=created_at", vec![1, 2, 3]),
        ("ordering=title,-created_at", vec![3, 2, 1]),
        ("ordering=title, price,created_at", vec![3, 2, 1]),
        ("ordering=nonsense", vec![3, 2, 1]),
        ("search=vaca", vec![2]),
        ("q=VACA", vec![2]),
        ("q=arad", vec![3]),
        ("search=tracor", vec![3]),
        ("search=toro,anos", vec![2, 1]),
        ("search=toro%20arado", vec![]),
        ("search=%22john%20deere%22", vec![3]),
        ("location=Managua&lat=0&lon=x", vec![3, 2, 1]),
    ] {
        assert_eq!(world.adds(&format!("/api/adds/?{query}")).await, expected, "{query}");
    }
    let mut story = Story::default();
    let list = |query: &'static str| world.ask(world.get(query));
    let page = list("/api/adds?page_size=1&page=2&ordering=price").await;
    assert_eq!((ids(&page.body), &page.body["count"]), (vec![2], &json!(3)));
    assert_eq!(page.body["next"], json!(format!("{}/api/adds?ordering=price&page=3&page_size=1", world.base)));
    assert_eq!(ids(&list("/api/adds/?page=last&page_size=2").await.body), [1]);
    story.tell("a condition that is none", &list("/api/adds/?condition=rota").await);
    story.tell("a status that is none", &list("/api/adds/?status=perdido").await);
    story.tell("a category that is no number", &list("/api/adds/?category=vacas").await);
    story.tell("a category that is not there", &list("/api/adds/?category=99").await);
    story.tell("a price and a day that are none", &list("/api/adds/?min_price=x&created_after=ayer").await);
    story.tell("past the end", &list("/api/adds/?page=2").await);
    story.tell("far past the end", &list("/api/adds/?page=100000").await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn what_is_nearby_says_how_far_it_is() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    world.offers(&ana, json!({ "title": "León", "latitude": 12.4379, "longitude": -86.8780 })).await;
    world.offers(&ana, json!({ "title": "Managua", "latitude": 12.1364, "longitude": -86.2514 })).await;
    world.offers(&ana, json!({ "title": "Sin lugar", "latitude": null, "longitude": null })).await;
    let mut story = Story::default();
    let nearby = |query: &str| world.ask(world.get(&format!("/api/adds/nearby/?{query}")));
    story.tell("within 5 km", &nearby("lat=12.14&lon=-86.25").await);
    let far = nearby("lat=12.14&lon=-86.25&radius_km=100").await;
    assert_eq!(ids(&far.body), [2, 1]);
    story.tell("no place", &nearby("lat=12.14").await);
    story.tell("no number", &nearby("lat=x&lon=-86.25").await);
    assert_eq!(nearby("lat=nan&lon=inf").await.status, 400);
    assert_eq!(nearby("lat=91&lon=0").await.status, 400);
    story.tell("no radius", &nearby("lat=12.14&lon=-86.25&radius_km=x").await);
    for radius in ["0", "-1", "500.1", "nan"] {
        assert_eq!(nearby(&format!("lat=12.14&lon=-86.25&radius_km={radius}")).await.status, 400, "{radius}");
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_page_shows_its_people_and_pictures() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "businessman").await;
    for n in 0..20u8 {
        let picture = world.picture(None, n).await;
        world.offers(if n % 2 == 0 { &ana } else { &beto }, json!({ "main_image_id": picture })).await;
    }
    let page = world.ask(world.get("/api/adds/")).await;
    let rows = page.body["results"].as_array().unwrap();
    assert!(rows.iter().all(|add| add["main_image"]["url"].is_string()));
    let names: Vec<_> = rows.iter().take(2).map(|add| add["publisher_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Beto", "Ana"]);
}
