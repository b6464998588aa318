//! Transactions of callers who are gone.

use futures_util::poll;
use testkit::Database;

use crate::NO_TABLES;

#[tokio::test]
async fn who_gives_up_while_a_transaction_begins_leaves_none_open() {
    let database = Database::fresh("kit", &NO_TABLES).await;
    let db = kit::db::connect(&database.url, 1, "kit").await.unwrap();
    let other = kit::db::connect(&database.url, 1, "kit").await.unwrap();
    sqlx::query("create table noted (n integer)").execute(&db).await.unwrap();
    for polls in 0..6 {
        let mut begin = Box::pin(kit::db::begin(&db));
        for _ in 0..polls {
            if poll!(&mut begin).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(begin);
        // On the only connection there is, which is nobody's any more.
        sqlx::query("insert into noted values ($1)").bind(polls).execute(&db).await.unwrap();
        let noted: i64 = sqlx::query_scalar("select count(*) from noted").fetch_one(&other).await.unwrap();
        assert_eq!(noted, i64::from(polls) + 1, "given up after {polls} polls");
    }
}
