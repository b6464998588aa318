//! Files of another platform.

use std::path::PathBuf;

use chrono::{TimeZone as _, Utc};
use media::bulk::{Became, Folder, Importer, Old, content_type, id};
use uuid::Uuid;

use crate::bytes::{pdf, png};
use crate::world::World;

/// A folder with some bytes, gone with the value.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("plaza-copy-{}", Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn old(number: i64, owner: Uuid, path: PathBuf) -> Old {
    Old {
        number,
        owner,
        folder: Folder::Media,
        name: Some("0".into()),
        description: None,
        price_hundredths: Some(12_050),
        created_at: Utc.with_ymd_and_hms(2025, 3, 1, 12, 0, 0).unwrap(),
        path,
    }
}

impl World {
    fn importer(&self) -> Importer {
        let url = format!("file:{}", self.folder().display());
        Importer::open(self.harness.service.db.clone(), &url).unwrap()
    }
}

#[tokio::test]
async fn a_file_comes_with_its_number_once_and_the_next_upload_gets_another() {
    let world = World::on_disk().await;
    let (copy, ana) = (Copy::new(), world.user());
    let before = ana.upload("x.png", &png(3, 3)).await.unwrap();
    let importer = world.importer();
    importer.reserve(500).await.unwrap();
    let file = old(500, ana.id, copy.file("toro bravo.png", &png(40, 30)));
    // By two at once, and once more.
    let (one, two) = tokio::join!(importer.import(&file), importer.import(&file));
    let mut became = [one.unwrap(), two.unwrap()];
    became.sort_by_key(|became| *became == Became::There);
    assert_eq!(became, [Became::Imported, Became::There]);
    assert_eq!(importer.import(&file).await.unwrap(), Became::There);

    let shown = ana.get(&id(500).to_string()).await.unwrap();
    assert_eq!(
        (shown.number, shown.id.as_str(), shown.owner_id.as_str()),
        (500, &*id(500).to_string(), &*ana.id.to_string())
    );
    assert_eq!((shown.name.as_deref(), shown.description, shown.price_hundredths), (Some("0"), None, Some(12_050)));
    assert_eq!((shown.width, shown.height, shown.created_at.unwrap().seconds), (40, 30, 1_740_830_400));
    let path = shown.path.unwrap();
    assert!(path.ends_with("-toro_bravo.png"), "{path}");
    importer.reserve(10).await.unwrap();
    let after = ana.upload("y.png", &png(4, 4)).await.unwrap();
    assert_eq!((before.number, after.number), (1, 501));
    assert_eq!(importer.import(&old(1, ana.id, file.path.clone())).await.unwrap(), Became::There);
    assert!(ana.get(&id(1).to_string()).await.is_err(), "whoever has a number keeps it");
    let events: Vec<_> = world.events().await.into_iter().map(|(_, number)| number).collect();
    assert_eq!(events, ["1", "501"], "nobody is told of history");

    // What the second of the two had put is swept away; what is shown stays. An import has the machine's clock.
    let doomed = sqlx::query("update doomed_objects set due_at = to_timestamp(0)");
    doomed.execute(&world.harness.service.db).await.unwrap();
    world.pass(0).await;
    let objects = walk(world.folder());
    let needed = "select count(object_key) + count(thumbnail_key) + count(preview_key) from blobs";
    let needed: i64 = sqlx::query_scalar(needed).fetch_one(&world.harness.service.db).await.unwrap();
    assert_eq!(objects as i64, needed);
    ana.read(&path).await.unwrap();
}

/// How many files there are in a folder, at any depth.
fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn what_is_no_good_file_is_refused_and_leaves_nothing() {
    let world = World::on_disk().await;
    let (copy, ana) = (Copy::new(), world.user());
    let importer = world.importer();
    let picture = png(40, 30);
    for (name, bytes, why) in [
        ("rota.png", &picture[..60], "whose picture is broken"),
        ("nota.txt", b"hola".as_slice(), "of a type that is not taken"),
        ("titulo.pdf", &pdf(100), "of a type that is not taken"),
        ("nada.png", b"", "that are empty"),
    ] {
        let file = old(7, ana.id, copy.file(name, bytes));
        assert_eq!(importer.import(&file).await.unwrap(), Became::Refused(why), "{name}");
    }
    assert!(ana.get(&id(7).to_string()).await.is_err());
    let rows: (i64, i64) = sqlx::query_as("select (select count(*) from files), (select count(*) from blobs)")
        .fetch_one(&world.harness.service.db)
        .await
        .unwrap();
    assert_eq!((rows, walk(world.folder())), ((0, 0), 0));

    // A document is one only between its owner and administrators.
    let proof = copy.file("titulo.pdf", &pdf(100));
    assert_eq!(content_type(&proof, Folder::Media).await.unwrap(), None);
    assert_eq!(content_type(&proof, Folder::Verification).await.unwrap(), Some("application/pdf"));
    let proof = Old { folder: Folder::Verification, ..old(8, ana.id, proof) };
    assert_eq!(importer.import(&proof).await.unwrap(), Became::Imported);
    assert!(world.user().get(&id(8).to_string()).await.is_err());
    assert_eq!(ana.get(&id(8).to_string()).await.unwrap().number, 8);
    // One that is gone meanwhile stops the import, instead of being left out of it.
    assert!(importer.import(&old(9, ana.id, copy.0.join("ida.png"))).await.is_err());
}
