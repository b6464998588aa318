//! Transactions that meet. Whoever locks several rows takes them in the order that the migrations tell, by id within a
//! table, so that nobody is refused because two wait for each other.

use proto::events::v1::{MediaDeleted, UserDeleted};
use proto::forum::v1::{DeletePostRequest, UpdatePostRequest};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::{Somebody, World};

/// How many wait for a lock.
pub(crate) async fn waiting(db: &PgPool) -> i64 {
    let count = "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(count).fetch_one(db).await.unwrap()
}

/// Somebody else runs the `first` statements, and the `second` one while `deed` waits for them. Both come through.
async fn meet<T>(world: &World, first: &[String], second: String, deed: impl Future<Output = T>) -> T {
    let mut tx = world.db().begin().await.unwrap();
    for sql in first {
        sqlx::query(AssertSqlSafe(sql.as_str())).execute(&mut *tx).await.unwrap();
    }
    let other = async {
        testkit::eventually("the deed waits", async || waiting(world.db()).await > 0).await;
        sqlx::query(AssertSqlSafe(second)).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    tokio::join!(deed, other).0
}

fn lock(table: &str, id: i64) -> String {
    format!("select from {table} where id = {id} for no key update")
}

/// What somebody was told of a post, perhaps of a comment. Of the ids 100 and 200 the latter comes first in each index.
async fn tell(world: &World, recipient: &Somebody, post: i64, comment: Option<i64>) {
    for (id, ago) in [(200_i64, 0_i64), (100, 60)] {
        sqlx::query(
            "insert into notifications (id, recipient_id, recipient_number, actor_id, actor_number, type, post_id,
                 comment_id, created_at)
             overriding system value
             values ($1, $2, $3, gen_random_uuid(), 9, 'POST_REACTION', $4, $5, now() - $6 * interval '1 s')",
        )
        .bind(id)
        .bind(recipient.id)
        .bind(recipient.number)
        .bind(post)
        .bind(comment)
        .bind(ago)
        .execute(world.db())
        .await
        .unwrap();
    }
}

/// Reports of a post's comments, of the first one under the id 200 and of the second one under 100.
async fn report(world: &World, post: i64, comments: [i64; 2]) {
    for (id, comment) in [200_i64, 100].into_iter().zip(comments) {
        sqlx::query(
            "insert into reported (id, post_id, comment_id, open, last_reported_at) overriding system value
             values ($1, $2, $3, 1, now())",
        )
        .bind(id)
        .bind(post)
        .bind(comment)
        .execute(world.db())
        .await
        .unwrap();
    }
}

/// Two comments, of which the first one comes first in every index.
async fn two_comments(world: &World, post: i64) -> [i64; 2] {
    let mut ids: Vec<i64> = Vec::new();
    for ago in [0_i64, 60] {
        let id = sqlx::query_scalar(
            "insert into comments (post_id, depth, author_id, author_number, content, created_at, updated_at)
             values ($1, 1, gen_random_uuid(), 9, 'Hola', now() - $2 * interval '1 s', now()) returning id",
        )
        .bind(post)
        .bind(ago);
        ids.push(id.fetch_one(world.db()).await.unwrap());
    }
    ids.try_into().unwrap()
}

#[tokio::test]
async fn a_post_goes_while_somebody_reads_what_they_were_told_of_it() {
    let world = World::start().await;
    let ana = world.person(1);
    let id = ana.post("Panales", None).await.id;
    tell(&world, &ana, id, None).await;
    let mut posts = ana.posts();
    let deed = posts.delete_post(DeletePostRequest { id });
    meet(&world, &[lock("notifications", 100)], lock("notifications", 200), deed).await.unwrap();
}

#[tokio::test]
async fn a_post_goes_while_its_reports_are_let_go_of() {
    let world = World::start().await;
    let ana = world.person(1);
    let id = ana.post("Panales", None).await.id;
    report(&world, id, two_comments(&world, id).await).await;
    let mut posts = ana.posts();
    let deed = posts.delete_post(DeletePostRequest { id });
    meet(&world, &[lock("reported", 100)], lock("reported", 200), deed).await.unwrap();
}

#[tokio::test]
async fn a_post_moves_while_its_reports_are_let_go_of() {
    let world = World::start().await;
    let (ana, admin) = (world.person(1), world.admin());
    let id = ana.post("Panales", None).await.id;
    report(&world, id, two_comments(&world, id).await).await;
    let request = UpdatePostRequest { id, community_id: Some(1), ..Default::default() };
    let mut posts = admin.posts();
    let deed = posts.update_post(request);
    meet(&world, &[lock("reported", 100)], lock("reported", 200), deed).await.unwrap();
}

#[tokio::test]
async fn a_comment_goes_while_somebody_reads_what_they_were_told_of_it() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let post = ana.post("Panales", None).await.id;
    let top = beto.comment(post, None).await;
    beto.comment(post, Some(top)).await;
    tell(&world, &ana, post, Some(top)).await;
    let deed = beto.delete_comment(top);
    meet(&world, &[lock("notifications", 100)], lock("notifications", 200), deed).await.unwrap();
}

#[tokio::test]
async fn a_comment_goes_with_an_empty_place_while_reports_are_let_go_of() {
    let world = World::busy().await;
    let ana = world.person(1);
    let post = ana.post("Panales", None).await.id;
    let place = ana.comment(post, None).await;
    let reply = ana.comment(post, Some(place)).await;
    ana.delete_comment(place).await.unwrap();
    report(&world, post, [reply, place]).await;
    let deed = ana.delete_comment(reply);
    meet(&world, &[lock("reported", 100)], lock("reported", 200), deed).await.unwrap();
}

#[tokio::test]
async fn a_person_goes_while_a_post_goes_of_which_they_were_told() {
    let world = World::start().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let post = ana.post("Panales", None).await.id;
    tell(&world, &beto, post, None).await;
    let event = UserDeleted { user_id: beto.number, user_uuid: beto.id.to_string(), phone_number: None };
    meet(&world, &[lock("notifications", 100)], lock("notifications", 200), world.deliver(&event)).await;
}

#[tokio::test]
async fn a_file_goes_while_several_that_show_it_change() {
    let world = World::start().await;
    let ana = world.person(1);
    let [one, two] = [ana.post("Uno", None).await.id, ana.post("Dos", None).await.id];
    for (table, [first, second], shows) in
        [("posts", [one, two], "media_id = $1"), ("communities", [1, 2], "cover_image = '/x', cover_media_id = $1")]
    {
        let file = Uuid::now_v7();
        // So that the second comes first where the file is looked up.
        for id in [second, first] {
            let sql = AssertSqlSafe(format!("update {table} set {shows} where id = $2"));
            sqlx::query(sql).bind(file).bind(id).execute(world.db()).await.unwrap();
        }
        let event = MediaDeleted { media_id: 1, media_uuid: file.to_string(), url: None };
        meet(&world, &[lock(table, first)], lock(table, second), world.deliver(&event)).await;
    }
}

#[tokio::test]
async fn a_file_goes_while_a_comment_that_shows_it_goes() {
    let world = World::busy().await;
    let ana = world.person(1);
    let post = ana.post("Panales", None).await.id;
    let top = ana.comment(post, None).await;
    let reply = ana.comment(post, Some(top)).await;
    let file = Uuid::now_v7();
    for id in [top, reply] {
        let sql = "update comments set media_id = $1 where id = $2";
        sqlx::query(sql).bind(file).bind(id).execute(world.db()).await.unwrap();
    }
    let event = MediaDeleted { media_id: 1, media_uuid: file.to_string(), url: None };
    // Whoever deletes a comment has its post and takes what it answers last.
    let first = [lock("posts", post), lock("comments", reply)];
    meet(&world, &first, lock("comments", top), world.deliver(&event)).await;
}
