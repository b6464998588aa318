//! The monolith's categories, ads and follows, from its dump to what people see.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::objects::{account, ad, category, follow, lines, object, time};
use super::people::{counts, table};
use super::world::World;

#[tokio::test]
async fn ads_come_with_their_ids_categories_and_pictures() {
    let world = World::start("import-market");
    let ana = world.person("Ana", "50570000001").await;
    let pictures = [
        world.picture(&ana.token).await,
        world.picture(&ana.token).await,
        world.picture(&ana.token).await,
        world.picture(&ana.token).await,
        world.picture(&ana.token).await,
        world.picture(&ana.token).await,
    ];
    let secret = world.file(&ana.token, "verification").await;
    world.bring(702, &pictures).await;
    let [first, others @ ..] = pictures;
    let many = json!([others[1], 99_999, others[0], others[1], secret, others[2], others[3], others[4]]);
    let place = json!({ "latitude": 12.1063, "longitude": -85.3645, "location_name": "Juigalpa" });
    let a = ana.number;
    let of_microservices = json!({
        "publisher_id": 701, "title": "Toro", "description": "Cebú", "price": 7.5, "category_id": 300,
        "condition": "semi_new", "main_image_id": first, "secondary_image_ids": [others[0]], "status": "paused",
        "created_at": time(1), "latitude": 91.5, "longitude": 2.0,
    });
    let dump = [
        // Ads may stand before those whose they are.
        ad(32, a, json!({ "category": 38, "status": "sold", "title": "x".repeat(205) })),
        account(701, "+50588880001", json!({ "role": "Specialist", "full_name": "Rosa" })),
        account(702, "50588880002", json!({})),
        account(703, "12", json!({})),
        category(24, "Productos para ganado"),
        category(38, "Miel"),
        category(200, "Lácteos"),
        category(300, "Semillas"),
        ad(31, 701, json!({ "title": "Antes" })),
        ad(31, 701, place),
        ad(33, 702, json!({ "category": null, "latitude": "NaN", "longitude": 3.0, "description": "Garañón único" })),
        ad(34, 703, json!({})),
        ad(35, 701, json!({ "publisher": null })),
        ad(36, 701, json!({ "price": "-1.00" })),
        ad(37, 701, json!({ "price": "10000000000.00" })),
        ad(38, 701, json!({ "condition": "roto" })),
        ad(42, 701, json!({ "status": "perdido" })),
        ad(43, 701, json!({ "price": "mucho" })),
        ad(
            39,
            701,
            json!({ "publisher": ["+505 8888-0002"], "category": 200, "main_image": first, "secondary_images": many }),
        ),
        object("add.add", 40, of_microservices),
        follow(1, 701, a),
        follow(2, 701, a),
        follow(3, 701, 701),
        follow(4, 701, 703),
        object("add.follow", 5, json!({ "follower_id": a, "following_id": 702, "created_at": time(5) })),
        follow(6, 702, 9_999),
    ];
    // As Python writes it.
    let text = lines(&dump).replace("\"latitude\":\"NaN\"", "\"latitude\":NaN");
    assert!(text.contains("\"latitude\":NaN"), "{text}");
    let file = world.dump("market.jsonl", &text);
    world.settled().await;
    let empty = world.state().await;
    let (code, checked) = world.import(&file, &["--dry-run"]);
    assert_eq!(code, Some(0), "{checked}");
    assert_eq!(world.state().await, empty);
    let (code, said) = world.import(&file, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(table(&checked).starts_with(&table(&said)), "{checked}\n{said}");
    assert_eq!(counts(&said, "categories"), [2, 1, 1], "{said}");
    assert_eq!(counts(&said, "ads"), [5, 0, 8], "{said}");
    assert_eq!(counts(&said, "follows"), [2, 0, 4], "{said}");
    for told in [
        "1  merged into one of this name",
        "1  nobody knows their publisher",
        "1  their publisher has no account here",
        "2  of a negative price, or a too high one",
        "1  of an unknown condition",
        "1  of an unknown status",
        "1  of a price that is none",
        "1  twice in the dump",
        "1  of a pair that has one",
        "1  of oneself",
        "2  of people who have no account here",
        "1 categories have another id here",
        "1 ads had no category, and are in Otros",
        "2 ads are nowhere on the map",
        "1 ads said more",
        "3 secondary pictures of ads are missing here or somebody else's",
        "1 secondary pictures are more than an ad has",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    world.settled().await;
    let imported = world.state().await;
    let outbox = |state: &[(String, i64, Option<String>)]| -> Vec<_> {
        state.iter().filter(|(table, ..)| table == "marketplace.outbox").cloned().collect()
    };
    assert_eq!(outbox(&imported), outbox(&empty), "nobody is told of history");
    let (code, said) = world.import(&file, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.state().await, imported);

    let shown = world.read("/api/adds/31/", &ana.token).await;
    for (key, value) in [
        ("publisher_id", json!(701)),
        ("publisher_name", json!("Rosa")),
        ("title", json!("Anuncio 31")),
        ("price", json!("1250.00")),
        ("category", json!(24)),
        ("condition", json!("used")),
        ("location_name", json!("Juigalpa")),
        ("latitude", json!(12.1063)),
        ("status", json!("active")),
        ("created_at", json!("2025-03-01T12:00:31Z")),
    ] {
        assert_eq!(shown[key], value, "{key}: {shown}");
    }
    let category_of = async |id: i64| {
        let ad = world.read(&format!("/api/adds/{id}/"), &ana.token).await;
        let category = world.read(&format!("/api/categories/{}/", ad["category"]), &ana.token).await;
        (category["name"].as_str().unwrap().to_owned(), ad)
    };
    let (name, sold) = category_of(32).await;
    assert_eq!((&*name, sold["title"].as_str().unwrap().len(), &sold["status"]), ("Miel", 200, &json!("sold")));
    let (name, lost) = category_of(33).await;
    assert_eq!((&*name, &lost["latitude"], &lost["longitude"]), ("Otros", &Value::Null, &Value::Null));
    let (name, full) = category_of(39).await;
    let numbers = |files: &Value| files.as_array().unwrap().iter().map(|file| file["id"].clone()).collect::<Vec<_>>();
    assert_eq!((&*name, &full["publisher"], &full["main_image"]["id"]), ("Lácteos", &json!(702), &json!(first)));
    assert_eq!(numbers(&full["secondary_images"]), [others[1], others[0], others[2], others[3]]);
    // What is paused is its publisher's alone.
    assert_eq!(world.try_read("/api/adds/40/", &ana.token).await.0, StatusCode::NOT_FOUND);
    let rosa = world.login("50588880001").await;
    let own = world.read("/api/adds/40/", &rosa).await;
    assert_eq!(
        (&own["price"], &own["category"], &own["latitude"]),
        (&json!("7.50"), &json!(16), &Value::Null),
        "{own}"
    );

    // Found by words, also misspelled ones, and by whom one follows.
    for words in ["garañon", "garagnon"] {
        let found = world.read(&format!("/api/adds/?q={words}"), &ana.token).await;
        assert_eq!((&found["count"], &found["results"][0]["id"]), (&json!(1), &json!(33)), "{words}: {found}");
    }
    let follows = world.read("/api/follows/", &ana.token).await;
    assert_eq!((&follows["count"], &follows["results"][0]["following_id"]), (&json!(1), &json!(702)), "{follows}");
    let followed = world.read("/api/adds/following_adds/", &ana.token).await;
    assert_eq!(followed.as_array().unwrap().len(), 2, "{followed}");
    assert_eq!(world.read("/api/follows/?direction=followers", &ana.token).await["count"], 1);

    // What is new gets an id behind all of the dump's.
    let asked = json!({ "title": "Nuevo", "description": "d", "price": "1", "category": 200, "condition": "new" });
    assert_eq!(world.write("/api/adds/", &rosa, asked).await["id"], 44);

    // What is taken by something else stays what it is.
    let settled = world.state().await;
    let taken = [ad(44, 701, json!({})), category(200, "Quesos")];
    let (code, said) = world.import(&world.dump("taken.jsonl", &lines(&taken)), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ad 44 of the dump: here 44 is an ad of user 701"), "{said}");
    let only_categories = |state: &[(String, i64, Option<String>)]| -> Vec<_> {
        state.iter().filter(|(table, ..)| table != "marketplace.categories").cloned().collect()
    };
    assert_eq!(only_categories(&world.state().await), only_categories(&settled));
}
