//! How PostgreSQL finds the files of a page among many: by their ids and numbers, never by reading a whole table.

use proto::media::v1::{BatchGetMediaRequest, MediaView};
use uuid::Uuid;

use crate::world::World;

#[tokio::test]
async fn a_batch_reads_no_more_than_it_names_also_when_it_is_asked_often() {
    let world = World::start().await;
    let db = &world.harness.service.db;
    for statement in [
        "insert into blobs (id, owner_id, folder, object_key, content_type, size, width, height, sha256, created_at)
         select gen_random_uuid(), null, 'media', 'media/' || n, 'image/png', n, 3, 3, sha256(n::text::bytea), now()
         from generate_series(1, 20000) n",
        "insert into files (id, folder, blob_id, created_at, updated_at)
         select gen_random_uuid(), 'media', id, now(), now() from blobs",
        "vacuum analyze files",
        "vacuum analyze blobs",
    ] {
        sqlx::query(statement).execute(db).await.unwrap();
    }
    // More often than PostgreSQL waits before it considers a plan that fits all arguments.
    for turn in 0..40 {
        for view in [MediaView::Basic, MediaView::Full] {
            let (ids, numbers) = (vec![Uuid::now_v7().to_string()], vec![turn + 1]);
            let request = BatchGetMediaRequest { ids, numbers, view: view.into() };
            let found = world.nobody.rpc.clone().batch_get_media(request).await.unwrap().into_inner().media;
            assert_eq!(found.len(), 1);
        }
    }
    for part in ["f.folder, f.created_at", "b.thumbnail_key"] {
        let plan = testkit::plan(db, &[part], "array[gen_random_uuid()], '{1,2,3}'").await;
        let either = plan.nodes().iter().any(|node| node["Node Type"] == "BitmapOr");
        assert!(either && plan.whole_tables().is_empty(), "{part}:\n{plan}");
    }
}
