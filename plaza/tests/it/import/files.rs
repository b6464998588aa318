//! The monolith's files: what its dump says of them, and a folder with their bytes.

use std::fs;
use std::path::Path;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::objects::{account, ad, at, lines, message, object, profile, room, time};
use super::people::{counts, table};
use super::world::World;

fn png(path: &Path, width: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::new(width, 8).save_with_format(path, image::ImageFormat::Png).unwrap();
}

/// A file of the monolith's, but for what `more` says.
fn media(pk: i64, path: &str, more: Value) -> Value {
    let mut fields = json!({
        "name": "0", "description": "0", "price": "0.00", "created_at": time(pk), "content_type": null,
        "object_id": null, "url": format!("https://x.example/storage/v1/object/public/agrovet/{path}"),
    });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object("media.media", pk, fields)
}

fn numbers(files: &Value) -> Vec<i64> {
    files.as_array().unwrap().iter().map(|file| file["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn files_come_from_a_folder_and_are_of_who_shows_them() {
    let world = World::start("import-files");
    let ana = world.person("Ana", "50570000001").await;
    let taken = world.picture(&ana.token).await;
    let copy = world.folder.0.join("copia");
    for (path, width) in
        [("agrovet/media/toro bravo.png", 9), ("portfolio/uno.png", 10), ("dos.png", 11), ("docs/titulo.png", 12)]
    {
        png(&copy.join(path), width);
    }
    let mut broken = fs::read(copy.join("dos.png")).unwrap();
    broken.truncate(40);
    fs::write(copy.join("rota.png"), broken).unwrap();
    fs::write(copy.join("nota.txt"), "hola").unwrap();
    fs::write(world.folder.0.join("secreto.png"), fs::read(copy.join("dos.png")).unwrap()).unwrap();
    fs::write(copy.join("voz.ogg"), [b"OggS\0\x02".as_slice(), &[7; 500]].concat()).unwrap();

    let product = json!({ "name": "Queso", "description": "De Chontales", "price": "120.50" });
    let specialist = json!({ "work_images_ids": [902], "verification_title_id": 903, "profession": "Veterinario" });
    let attached = json!({ "content_type": 31, "object_id": 701 });
    let dump = [
        object("contenttypes.contenttype", 31, json!({ "app_label": "profiles", "model": "specialistprofile" })),
        media(900, "media/toro%20bravo.png", product),
        media(901, "portfolio/uno.png", attached.clone()),
        media(902, "portfolio/dos.png", json!({})),
        media(903, "verification/docs/titulo.png", json!({})),
        media(904, "media/rota.png", json!({})),
        media(905, "media/perdida.png", json!({})),
        media(906, "media/dos.png", json!({})),
        media(907, "media/nota.txt", json!({})),
        media(908, "", json!({ "url": null })),
        media(909, "media/dos.png", json!({})),
        media(910, "chat/voz.ogg", json!({})),
        media(911, "media/%2e%2e/%2E%2E/secreto.png", json!({})),
        media(taken, "media/dos.png", json!({})),
        account(701, "50588880001", json!({ "role": "Specialist", "full_name": "Rosa" })),
        account(702, "50588880002", json!({})),
        profile("specialist", 701, specialist),
        // Of what two show the first one has it, and a proof stays a proof.
        ad(31, 701, json!({ "main_image": 900, "secondary_images": [904, 905, 907, 908] })),
        ad(32, 702, json!({ "main_image": 900, "secondary_images": [903, 911, taken] })),
        ad(33, 9_999, json!({ "main_image": 909 })),
        room(30, true, &[701, 702], 10),
        message(500, 30, 702, "", Some(910), 20),
    ];
    let file = world.dump("files.jsonl", &lines(&dump));
    let from = ["--files-from", copy.to_str().unwrap()];
    world.settled().await;
    let empty = world.state().await;
    let (code, checked) = world.import(&file, &[&from[..], &["--dry-run"]].concat());
    assert_eq!(code, Some(0), "{checked}");
    assert_eq!(world.state().await, empty);
    assert_eq!(counts(&checked, "files"), [6, 0, 7], "{checked}");
    let (code, said) = world.import(&file, &from);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(counts(&said, "files"), [5, 0, 8], "{said}");
    for told in [
        "1  whose picture is broken",
        "2  whose bytes are not in the folder",
        "1  that nothing shows",
        "1  of a type that is not taken",
        "1  without an address",
        "1  of people who have no account here",
        "1  whose number is another file's here",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }

    let (rosa, luz) = (world.login("50588880001").await, world.login("50588880002").await);
    let shown = world.read("/api/adds/31/", &luz).await;
    let main = &shown["main_image"];
    for (key, value) in [
        ("id", json!(900)),
        ("name", json!("Queso")),
        ("description", json!("De Chontales")),
        ("price", json!("120.50")),
    ] {
        assert_eq!(main[key], value, "{key}: {shown}");
    }
    assert_eq!(main["created_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap(), at(900));
    let bytes = Client::new().get(main["url"].as_str().unwrap()).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(image::load_from_memory(&bytes).unwrap().width(), 9);
    assert_eq!(shown["secondary_images"], json!([]));
    let other = world.read("/api/adds/32/", &luz).await;
    assert_eq!((&other["main_image"], &other["secondary_images"]), (&json!(null), &json!([])));

    let profile = world.read("/api/profiles/specialists/by-user/701/", &rosa).await;
    assert_eq!(numbers(&profile["work_images_full"]), [902, 901], "{profile}");
    assert_eq!(world.try_read("/api/media/903/", &luz).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.read("/api/media/903/", &rosa).await["id"], 903);
    let said = world.read("/api/chat/messages/?room_id=30", &rosa).await;
    assert!(said.to_string().contains("\"id\":910") || said.to_string().contains("910"), "{said}");

    world.settled().await;
    let imported = world.state().await;
    let (code, again) = world.import(&file, &from);
    assert_eq!(code, Some(0), "{again}");
    assert_eq!(counts(&again, "files"), [0, 5, 8], "{again}");
    assert_eq!(world.state().await, imported);
    assert!(world.picture(&luz).await > 911, "nobody is given a number of the dump");
    assert!(table(&again).contains("files"), "{again}");
}

#[tokio::test]
async fn who_is_cut_off_among_files_goes_on_with_the_next() {
    let world = World::start("import-files-cut");
    let copy = world.folder.0.join("copia");
    let pictures: Vec<i64> = (900..960).collect();
    let mut dump = vec![account(701, "50588880001", json!({ "full_name": "Rosa" }))];
    for &number in &pictures {
        png(&copy.join(format!("{number}.png")), 1_000 + number as u32);
        dump.push(media(number, &format!("media/{number}.png"), json!({})));
        dump.push(ad(number, 701, json!({ "main_image": number })));
    }
    let file = world.dump("files.jsonl", &lines(&dump));
    let from = ["--files-from", copy.to_str().unwrap()];
    let mut database = world.database("media").await;
    let mut child = world.begin_import(&file, &from);
    let mut there = 0_i64;
    while there < 5 {
        assert!(child.try_wait().unwrap().is_none(), "it is done already");
        there = sqlx::query_scalar("select count(*) from files").fetch_one(&mut database).await.unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let there: i64 = sqlx::query_scalar("select count(*) from files").fetch_one(&mut database).await.unwrap();
    let (code, said) = world.import(&file, &from);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(counts(&said, "files"), [60 - there, there, 0], "{said}");
    let rosa = world.login("50588880001").await;
    let list = world.read("/api/adds/?page_size=100", &rosa).await;
    let mut shown: Vec<i64> =
        list["results"].as_array().unwrap().iter().map(|ad| ad["main_image"]["id"].as_i64().unwrap()).collect();
    shown.sort_unstable();
    assert_eq!(shown, pictures);
    let strays = "select count(*) from blobs b where not exists (select from files f where f.blob_id = b.id)";
    assert_eq!(sqlx::query_scalar::<_, i64>(strays).fetch_one(&mut database).await.unwrap(), 0);
}

#[tokio::test]
async fn without_a_folder_files_stay_behind_and_are_counted() {
    let world = World::start("import-files-none");
    let dump = [
        account(701, "50588880001", json!({})),
        media(900, "media/toro.png", json!({})),
        ad(31, 701, json!({ "main_image": 900 })),
    ];
    let file = world.dump("files.jsonl", &lines(&dump));
    let (code, said) = world.import(&file, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 objects of media.media are not imported"), "{said}");
    assert_eq!(counts(&said, "ads"), [1, 0, 0], "{said}");
    let (code, said) = world.import(&file, &["--files-from", "/nowhere"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/nowhere is no folder"), "{said}");
}
