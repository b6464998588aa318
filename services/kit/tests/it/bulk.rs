//! Loads of many rows: what arrives, and what a load that ended early leaves.

use chrono::{DateTime, Utc};
use kit::bulk::{Load, Value};
use sqlx::PgPool;
use testkit::Database;
use uuid::Uuid;

use crate::NO_TABLES;

async fn tables() -> PgPool {
    let database = Database::fresh("bulk", &NO_TABLES).await;
    let pool = PgPool::connect(&database.url).await.expect("the database answers");
    for statement in [
        "create table parents (id bigint generated always as identity primary key)",
        "create table things (id bigint generated always as identity primary key, parent bigint references parents,
             name text, good boolean, size double precision, key uuid, at timestamptz, keys uuid[], words text[])",
        "create unique index things_name on things (lower(name)) where good",
        "create index things_size on things using brin (size)",
    ] {
        sqlx::query(statement).execute(&pool).await.expect("the tables");
    }
    pool
}

async fn indexes(pool: &PgPool) -> Vec<String> {
    let query = "select indexdef from pg_indexes where tablename = 'things' order by indexname";
    sqlx::query_scalar(query).fetch_all(pool).await.expect("indexes")
}

const COLUMNS: &[&str] = &["id", "parent", "name", "good", "size", "key", "at", "keys", "words"];

#[tokio::test]
async fn every_kind_of_value_arrives_as_it_was() {
    let pool = tables().await;
    let before = indexes(&pool).await;
    let (key, at) = (Uuid::from_u128(7), DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time"));
    let (name, words) = ("tab\t line\n back\\slash \\N {\"}", ["a b", "q\"uote\\", "{,}"]);

    let mut load = Load::begin(&pool, &["things"]).await.expect("begins");
    let mut copy = load.copy("things", COLUMNS).await.expect("a copy");
    let keys = [key, Uuid::nil()];
    // A parent that does not exist: the caller answers for the facts.
    let row: [Value<'_>; 9] = [
        5.into(),
        99.into(),
        name.into(),
        true.into(),
        0.1.into(),
        key.into(),
        at.into(),
        keys.as_slice().into(),
        words.as_slice().into(),
    ];
    copy.row(&row).await.expect("a row");
    let nothing = [6.into(), None::<i64>.into(), Value::Null, Value::Null, Value::Null, Value::Null, Value::Null];
    copy.row(&[&nothing[..], &[Value::Null, Value::Null]].concat()).await.expect("a row");
    assert_eq!(copy.finish().await.expect("rows"), 2);
    load.finish().await.expect("finishes");

    type Row = (String, bool, f64, Uuid, DateTime<Utc>, Vec<Uuid>, Vec<String>);
    let query = "select name, good, size, key, at, keys, words from things where id = 5";
    let found: Row = sqlx::query_as(query).fetch_one(&pool).await.expect("the row");
    let words = words.map(str::to_owned).to_vec();
    assert_eq!(found, (name.to_owned(), true, 0.1, key, at, keys.to_vec(), words));
    assert_eq!(indexes(&pool).await, before);
}

#[tokio::test]
async fn a_load_that_ends_early_leaves_everything_as_it_was() {
    let pool = tables().await;
    let before = indexes(&pool).await;
    let mut load = Load::begin(&pool, &["things"]).await.expect("begins");
    let mut copy = load.copy("things", &["id"]).await.expect("a copy");
    copy.row(&[1.into()]).await.expect("a row");
    copy.finish().await.expect("rows");
    drop(load);

    let count: i64 = sqlx::query_scalar("select count(*) from things").fetch_one(&pool).await.expect("a count");
    assert_eq!((count, indexes(&pool).await), (0, before));
}

#[tokio::test]
async fn many_rows_come_in_many_pieces() {
    let pool = tables().await;
    let mut load = Load::begin(&pool, &["things"]).await.expect("begins");
    let mut copy = load.copy("things", &["id", "name"]).await.expect("a copy");
    let long = "x".repeat(1000);
    for id in 1..=5000 {
        copy.row(&[id.into(), long.as_str().into()]).await.expect("a row");
    }
    assert_eq!(copy.finish().await.expect("rows"), 5000);
    load.finish().await.expect("finishes");
}
