//! Agrovet: categories, follows and orders.

use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::story::Story;
use crate::world::{Person, World};

#[tokio::test]
async fn lists_of_ads_by_words_are_counted_and_others_are_not() {
    let world = World::with(&["--rate-limits", "on", "--rate-limit", "ads=2/86400"]).await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let list = async |query: &str| world.ask(world.get(&format!("/api/adds/?{query}"))).await;
    assert_eq!([list("search=toro").await.status, list("q=tor").await.status], [200, 200]);
    let excess = list("q=to").await;
    let words = "Solicitud fue regulada (throttled).";
    assert_eq!((excess.status, &excess.body), (429, &json!({ "detail": words })));
    assert!(excess.header("retry-after").parse::<u64>().is_ok_and(|wait| (1..=86_400).contains(&wait)), "{excess}");
    for query in ["", "q=&search=", "category=24&ordering=price"] {
        assert_eq!(list(query).await.status, 200, "{query}");
    }
    // Who is signed in is counted as a person.
    assert_eq!(world.read("/api/adds/?q=toro", &ana.token).await.status, 200);
    let document = world.ask(world.get("/openapi/agrovet.json")).await.body;
    assert!(document["paths"]["/api/adds"]["get"]["responses"]["429"].is_object());
}

#[tokio::test]
async fn a_page_that_asks_with_each_letter_for_a_minute_is_served() {
    let world = World::with(&["--rate-limits", "on"]).await;
    for n in 0..120 {
        let answer = world.ask(world.get(&format!("/api/adds/?q={}", &"semental de raza"[..1 + n % 16]))).await;
        assert_eq!(answer.status, 200, "{n}: {answer}");
    }
}

#[tokio::test]
async fn categories_are_read_by_all_and_written_by_staff() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let (staff, _) = world.staff().await;
    let mut story = Story::default();
    story.tell("the first page", &world.ask(world.get("/api/categories/?page_size=10")).await);
    let first = world.ask(world.get("/api/categories/")).await;
    let ids: Vec<_> = first.body["results"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(
        (first.body["count"].as_i64(), ids.len(), &ids[..8]),
        (Some(38), 20, &[24, 32, 33, 34, 35, 36, 37, 38][..])
    );
    let last = world.ask(world.get("/api/categories/?ordering=-name&page_size=1")).await;
    assert_eq!(last.body["results"][0]["name"], json!("Veterinaria"));
    story.tell("one", &world.ask(world.get("/api/categories/24")).await);
    story.tell("none", &world.ask(world.get("/api/categories/99/")).await);

    let create = async |token: &str, body: Value| world.call(Method::POST, "/api/categories/", token, body).await;
    story.tell("somebody makes one", &create(&ana.token, json!({})).await);
    assert_eq!(world.ask(world.post("/api/categories/").json(&json!({ "name": "x" }))).await.status, 401);
    story.tell("staff makes one", &create(&staff, json!({ "name": "Apicultura" })).await);
    story.tell("staff makes it again", &create(&staff, json!({ "name": "Apicultura" })).await);
    story.tell("without a name", &create(&staff, json!({ "description": "x" })).await);
    let change = async |method: Method, id: i64, body: Value| {
        world.call(method, &format!("/api/categories/{id}/"), &staff, body).await
    };
    story.tell("PATCH", &change(Method::PATCH, 39, json!({ "description": "Miel" })).await);
    story.tell("PUT", &change(Method::PUT, 39, json!({ "name": "Abejas", "description": null })).await);
    story.tell("PUT without a name", &change(Method::PUT, 39, json!({})).await);
    assert_eq!(change(Method::PATCH, 99, json!({ "name": "" })).await.status, 404);
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let path = "/api/categories/39/";
        assert_eq!(world.call(method.clone(), path, &ana.token, json!({})).await.status, 403, "{method}");
        assert_eq!(world.ask(world.request(method.clone(), path)).await.status, 401, "{method}");
    }
    world.offers(&ana, json!({ "category": 39 })).await;
    story.tell("deleted while an ad uses it", &change(Method::DELETE, 39, json!({})).await);
    assert_eq!(world.call(Method::DELETE, "/api/adds/1/", &ana.token, json!({})).await.status, 204);
    story.tell("deleted", &change(Method::DELETE, 39, json!({})).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn one_follows_and_unfollows_and_sees_what_they_sell() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "Specialist").await;
    let eva = world.agrovet("Eva", "59170000003", "businessman").await;
    let mut story = Story::default();
    let follow = async |who: &Person, body: Value| world.call(Method::POST, "/api/follows/", &who.token, body).await;
    story.tell("followed", &follow(&ana, json!({ "following_id": beto.id })).await);
    story.tell("again", &follow(&ana, json!({ "following": beto.id.to_string() })).await);
    story.tell("oneself", &follow(&ana, json!({ "following_id": ana.id })).await);
    story.tell("nobody", &follow(&ana, json!({ "following_id": 999 })).await);
    story.tell("nothing", &follow(&ana, json!({})).await);
    story.tell("no number", &follow(&ana, json!({ "following_id": "beto" })).await);
    story.tell("without a token", &world.ask(world.post("/api/follows/").json(&json!({ "following_id": 2 }))).await);
    assert_eq!(follow(&eva, json!({ "following": ana.id })).await.status, 201);

    story.tell("whom one follows", &world.read("/api/follows/", &ana.token).await);
    let followers = world.read("/api/follows/?direction=followers", &ana.token).await;
    assert_eq!((&followers.body["count"], &followers.body["results"][0]["follower"]), (&json!(1), &eva.id));
    assert_eq!(world.read("/api/follows/?ordering=-id", &beto.token).await.body["count"], json!(0));
    assert_eq!(world.ask(world.get("/api/follows/")).await.status, 401);
    assert_eq!(world.read("/api/follows/1/", &beto.token).await.status, 200);
    story.tell("a row of others", &world.read("/api/follows/1/", &eva.token).await);
    story.tell("PUT", &world.call(Method::PUT, "/api/follows/1/", &ana.token, json!({})).await);

    world.offers(&beto, json!({})).await;
    world.offers(&eva, json!({})).await;
    let adds = async |path: &str, who: &Person| -> Vec<Value> {
        let answer = world.read(path, &who.token).await;
        answer.body.as_array().unwrap().iter().map(|add| add["id"].clone()).collect()
    };
    assert_eq!(adds("/api/adds/following_adds/", &ana).await, [1]);
    assert_eq!(adds("/api/adds/my_adds/", &beto).await, [1]);
    world.call(Method::PATCH, "/api/adds/1/", &beto.token, json!({ "status": "paused" })).await;
    assert_eq!(adds("/api/adds/following_adds/", &ana).await, [0; 0].map(|n: i64| json!(n)));
    assert_eq!(adds("/api/adds/my_adds/", &beto).await, [1]);
    story.tell("followed ads without a token", &world.ask(world.get("/api/adds/following_adds/")).await);
    story.tell("own ads with a bad token", &world.read("/api/adds/my_adds/", "rubbish").await);

    let unfollow = async |who: &Person, id: i64| {
        world.call(Method::DELETE, &format!("/api/follows/{id}/"), &who.token, json!({})).await
    };
    story.tell("somebody else unfollows", &unfollow(&beto, 1).await);
    story.tell("unfollowed", &unfollow(&ana, 1).await);
    story.tell("unfollowed again", &unfollow(&ana, 1).await);
    assert_eq!(world.ask(world.request(Method::DELETE, "/api/follows/1/")).await.status, 401);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn an_ad_is_bought_once_and_the_order_takes_its_course() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let eva = world.agrovet("Eva", "59170000003", "businessman").await;
    let (staff, _) = world.staff().await;
    let mut story = Story::default();
    world.offers(&ana, json!({})).await;
    let buy =
        async |who: &Person, body: Value| world.call(Method::POST, "/api/adds/1/purchase/", &who.token, body).await;
    story.tell("one's own", &buy(&ana, json!({})).await);
    story.tell("without a token", &world.ask(world.post("/api/adds/1/purchase/")).await);
    story.tell("not there", &world.call(Method::POST, "/api/adds/99/purchase/", &beto.token, json!({})).await);
    story.tell("a note that is too long", &buy(&beto, json!({ "note": "x".repeat(501) })).await);

    let once = |note: &str| {
        let request =
            world.post("/api/adds/1/purchase/").bearer_auth(&beto.token).header("idempotency-key", "compra-1");
        world.ask(request.json(&json!({ "note": note })))
    };
    story.tell("bought", &once("¿Mañana?").await);
    story.tell("the same again", &once("¿Mañana?").await);
    story.tell("the same key for something else", &once("¿Hoy?").await);
    story.tell("somebody else", &buy(&eva, json!({})).await);
    assert_eq!(world.ask(world.get("/api/adds/1/")).await.body["status"], json!("sold"));
    let sold = |body: Value| world.call(Method::PATCH, "/api/adds/1/", &ana.token, body);
    story.tell("the seller wants it back", &sold(json!({ "status": "active" })).await);
    story.tell("the seller deletes it", &world.call(Method::DELETE, "/api/adds/1/", &ana.token, json!({})).await);

    let act = async |who: &str, path: &str| world.call(Method::POST, path, who, json!({})).await;
    story.tell("orders of the buyer", &world.read("/api/orders/?as=buyer", &beto.token).await);
    let count = async |query: &str, who: &Person| {
        world.read(&format!("/api/orders/{query}"), &who.token).await.body["count"].clone()
    };
    assert_eq!(
        (count("", &ana).await, count("?as=buyer", &ana).await, count("?as=seller", &ana).await),
        (json!(1), json!(0), json!(1))
    );
    assert_eq!(count("", &eva).await, json!(0));
    story.tell("as nobody", &world.read("/api/orders/?as=king", &beto.token).await);
    assert_eq!(world.ask(world.get("/api/orders/")).await.status, 401);
    for token in [&ana.token, &beto.token, &staff] {
        assert_eq!(world.read("/api/orders/1/", token).await.status, 200);
    }
    story.tell("an order of others", &world.read("/api/orders/1/", &eva.token).await);
    assert_eq!(act(&eva.token, "/api/orders/1/cancel/").await.status, 404);
    story.tell("the buyer completes", &act(&beto.token, "/api/orders/1/complete/").await);
    story.tell("cancelled", &act(&beto.token, "/api/orders/1/cancel/").await);
    assert_eq!(world.ask(world.get("/api/adds/1/")).await.body["status"], json!("active"));
    story.tell("completed when it is cancelled", &act(&ana.token, "/api/orders/1/complete/").await);

    let second: Answer = buy(&eva, json!({})).await;
    assert_eq!((second.status, &second.body["id"], &second.body["note"]), (201, &json!(2), &json!("")));
    story.tell("completed", &act(&ana.token, "/api/orders/2/complete/").await);
    story.tell("cancelled when it is completed", &act(&eva.token, "/api/orders/2/cancel/").await);
    story.tell("archived when it is completed", &sold(json!({ "status": "archived" })).await);
    assert_eq!(act(&ana.token, "/api/marketplace/payments/create-intent/").await.status, 404);
    insta::assert_snapshot!(story);
}
