//! How PostgreSQL runs the lists on many rows: by an index that brings them in order, never by reading a whole table
//! and never by sorting one.

use proto::access::v1::Role;
use proto::common::v1::Point;
use proto::marketplace::v1::{
    AdOrder, AdState, Condition, CreateFollowRequest, ListAdsRequest, ListFollowedAdsRequest, ListFollowsRequest,
    ListNearbyAdsRequest, ListOrdersRequest, ListOwnAdsRequest,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::World;

const MANY: i32 = 50_000;

/// Filled in so many statements, each of which is over in time on a busy machine, too.
const PART: i32 = 2_500;

/// The plans of every statement that the service has prepared and that contains `part`, for these arguments.
async fn plan(db: &PgPool, part: &str, arguments: &str) -> Value {
    let mut connections = Vec::new();
    for _ in 0..db.size() {
        connections.push(db.acquire().await.unwrap());
    }
    for connection in &mut connections {
        let name: Option<String> =
            sqlx::query_scalar("select name from pg_prepared_statements where position($1 in statement) > 0 limit 1")
                .bind(part)
                .fetch_optional(&mut **connection)
                .await
                .unwrap();
        if let Some(name) = name {
            return explain(connection, &name, arguments).await;
        }
    }
    panic!("no statement with {part:?} was run");
}

async fn explain(connection: &mut PgConnection, name: &str, arguments: &str) -> Value {
    // As in the service's snapshots.
    sqlx::query("set plan_cache_mode = force_custom_plan").execute(&mut *connection).await.unwrap();
    let explain = AssertSqlSafe(format!("explain (format json) execute {name} ({arguments})"));
    let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut *connection).await.unwrap();
    sqlx::query("reset plan_cache_mode").execute(connection).await.unwrap();
    plan
}

/// Every node of a plan.
fn nodes(plan: &Value) -> Vec<&Value> {
    match plan {
        Value::Array(items) => items.iter().flat_map(nodes).collect(),
        Value::Object(object) => {
            let below = ["Plan", "Plans"].iter().filter_map(|key| object.get(*key)).flat_map(nodes);
            object.get("Node Type").map(|_| plan).into_iter().chain(below).collect()
        }
        _ => Vec::new(),
    }
}

/// No table is read as a whole, and nothing is sorted but what a limit below has made short.
fn in_order(plan: &Value) {
    for node in nodes(plan) {
        let kind = node["Node Type"].as_str().unwrap();
        assert!(!kind.contains("Seq Scan"), "{plan:#}");
        assert!(kind != "Sort" || node["Plan Rows"].as_f64().unwrap() <= 1000.0, "{plan:#}");
    }
}

/// Reads an index whose name begins so: of two that serve, the statistics decide.
fn uses(plan: &Value, index: &str) {
    let named = |node: &&Value| node["Index Name"].as_str().is_some_and(|name| name.starts_with(index));
    assert!(nodes(plan).iter().any(named), "{index}: {plan:#}");
}

async fn fill(db: &PgPool) {
    for first in (0..MANY).step_by(PART as usize) {
        fill_part(db, first + 1, first + PART).await;
    }
    sqlx::raw_sql("vacuum analyze").execute(db).await.expect("a moment for the statistics");
}

async fn fill_part(db: &PgPool, first: i32, last: i32) {
    sqlx::query(
        "insert into ads (publisher_id, publisher_number, title, description, price, category_id, condition, latitude,
             longitude, state, created_at, updated_at)
         select gen_random_uuid(), 1 + n % 5000, 'Toro ' || md5((n % 1000)::text), 'Sano ' || md5(n::text), n * 7 % 9973,
             1 + n % 38, (array['NEW', 'USED', 'SEMI_NEW'])[1 + n % 3], 10 + n % 997 / 200.0, -87 + n % 991 / 200.0,
             (array['ACTIVE', 'ACTIVE', 'ACTIVE', 'SOLD', 'ORDERED', 'PAUSED', 'ARCHIVED'])[1 + n % 7],
             now() - n * interval '1 minute', now()
         from generate_series($1::int, $2::int) n",
    )
    .bind(first)
    .bind(last)
    .execute(db)
    .await
    .unwrap();
    sqlx::query(
        "insert into orders (ad_id, ad_title, buyer_id, buyer_number, seller_id, seller_number, price, state, note,
             created_at, updated_at)
         select n, 'Toro', gen_random_uuid(), 1 + n % 5000, gen_random_uuid(), 6000 + n % 5000, 1, 'COMPLETED', '',
             now(), now()
         from generate_series($1::int, $2::int) n",
    )
    .bind(first)
    .bind(last)
    .execute(db)
    .await
    .unwrap();
    sqlx::query(
        "insert into follows (follower_id, follower_number, following_id, following_number, created_at)
         select gen_random_uuid(), 1 + n % 1000, gen_random_uuid(), 2000 + n / 1000, now()
         from generate_series($1::int, $2::int) n",
    )
    .bind(first)
    .bind(last)
    .execute(db)
    .await
    .unwrap();
}

#[tokio::test]
async fn lists_and_searches_read_what_they_show_from_an_index() {
    let world = World::start().await;
    fill(&world.harness.service.db).await;
    every_list_is_read_in_order(&world).await;
    a_search_reads_what_its_words_share_or_the_newest_when_that_is_much(&world).await;
}

async fn every_list_is_read_in_order(world: &World) {
    let db = &world.harness.service.db;
    let ana = world.person(17, Role::Consumer);
    for order in [AdOrder::Newest, AdOrder::Oldest, AdOrder::Cheapest, AdOrder::Dearest] {
        let request = ListAdsRequest { order: order.into(), page_size: 2, ..Default::default() };
        let page = ana.ads().list_ads(request.clone()).await.unwrap().into_inner();
        // More than are counted.
        assert_eq!((page.ads.len(), page.total_size), (2, 10_000));
        let request = ListAdsRequest { page_token: page.next_page_token, ..request };
        ana.ads().list_ads(request).await.unwrap();
    }
    let filtered = ListAdsRequest {
        category_id: Some(3),
        condition: Condition::New.into(),
        states: vec![AdState::Active.into()],
        search: "toro".into(),
        ..Default::default()
    };
    ana.ads().list_ads(filtered).await.unwrap();
    ana.ads().list_own_ads(ListOwnAdsRequest {}).await.unwrap();
    world.seller(9999);
    ana.follows().create_follow(CreateFollowRequest { following_number: 9999 }).await.unwrap();
    ana.ads().list_followed_ads(ListFollowedAdsRequest {}).await.unwrap();
    ana.orders().list_orders(ListOrdersRequest::default()).await.unwrap();
    for followers in [true, false] {
        for newest_first in [true, false] {
            let request = ListFollowsRequest { followers, newest_first, ..Default::default() };
            ana.follows().list_follows(request).await.unwrap();
        }
    }
    let center = Some(Point { latitude: 12.0, longitude: -85.0 });
    ana.ads().list_nearby_ads(ListNearbyAdsRequest { center, radius_km: 50.0 }).await.unwrap();

    let asked = "'{ACTIVE,SOLD,ORDERED}', '{PAUSED,ARCHIVED}'";
    let (anybody, somebody) = (format!("{asked}, null, false"), format!("{asked}, 17, false"));
    let staff = format!("{asked}, 17, true");
    let for_sale = "'{ACTIVE}', '{}', 17, false";
    let sold = "'{SOLD,ORDERED}', '{}', 17, false";
    let all = "null, null, null, null, null, null, null, null";
    let category = "3, null, null, null, null, null, null, null";
    let publisher = "null, null, 17, null, null, null, null, null";
    let (newest, oldest) =
        ("order by created_at desc, id desc limit $15 offset", "order by created_at, id limit $15 offset");
    let (cheapest, dearest) = ("order by price, id limit $15 offset", "order by price desc, id desc limit $15 offset");
    let (first, deep) = ("null, null, 21, 0", "null, null, 21, 10000");
    for (part, index, arguments) in [
        (newest, "ads_newest", format!("{anybody}, {all}, {first}")),
        (newest, "ads_newest", format!("{somebody}, {all}, {deep}")),
        (newest, "ads_newest_hidden", format!("{staff}, {all}, now(), 17, 21, 0")),
        (newest, "ads_newest_for_sale", format!("{for_sale}, {all}, {first}")),
        (newest, "ads_newest_sold", format!("{sold}, {all}, now(), 17, 21, 0")),
        (newest, "ads_newest_of_category", format!("{somebody}, {category}, {first}")),
        (newest, "ads_newest_of_category", format!("{anybody}, {category}, now(), 17, 21, 0")),
        (newest, "ads_newest_of_category", format!("{for_sale}, {category}, {first}")),
        (newest, "ads_of_publisher", format!("{anybody}, {publisher}, {first}")),
        (oldest, "ads_newest", format!("{somebody}, {all}, now() - interval '9 days', 17, 21, 0")),
        (cheapest, "ads_cheapest", format!("{somebody}, {all}, 17, 17, 21, 0")),
        (cheapest, "ads_cheapest_of_category", format!("{anybody}, {category}, {first}")),
        (dearest, "ads_cheapest", format!("{somebody}, {all}, {first}")),
        (dearest, "ads_cheapest_of_category", format!("{somebody}, {category}, 17, 17, 21, 0")),
        ("from orders where buyer_number", "orders_of_buyer", "17, true, true, null, 21, 0".into()),
        ("from orders where buyer_number", "orders_of_seller", "6017, false, true, 999, 21, 0".into()),
        ("where follower_number = $1 and id >", "follows_of_follower", "17, null, 21, 0".into()),
        ("where follower_number = $1 and id <", "follows_of_follower", "17, 99, 21, 0".into()),
        ("where following_number = $1 and id >", "follows_of_following", "2017, 99, 21, 0".into()),
        ("where following_number = $1 and id <", "follows_of_following", "2017, null, 21, 0".into()),
        ("place <-> on_sphere", "ads_nearby", "12.0, -85.0, 0.01".into()),
        ("select following_number from follows", "ads_for_followers", "17".into()),
        ("where publisher_number = $1 order by created_at", "ads_of_publisher", "17".into()),
    ] {
        let plan = plan(db, part, &arguments).await;
        in_order(&plan);
        uses(&plan, index);
    }
    for arguments in [format!("{anybody}, {all}, 10000"), format!("{staff}, {category}, 10000")] {
        in_order(&plan(db, "select 1 from matching_ads", &arguments).await);
    }
}

async fn a_search_reads_what_its_words_share_or_the_newest_when_that_is_much(world: &World) {
    let db = &world.harness.service.db;
    for search in ["toro", "toro c4ca4238a0b923820dcc509a6f75849b", "tora"] {
        let request = ListAdsRequest { search: search.into(), ..Default::default() };
        let page = world.nobody.ads().list_ads(request).await.unwrap().into_inner();
        assert!(!page.ads.is_empty() && page.total_size <= 200, "{search}");
    }
    let arguments = |query: &str| {
        let all = "null, null, null, null, null, null, null";
        format!("'{{ACTIVE,SOLD,ORDERED}}', '{{PAUSED,ARCHIVED}}', 17, false, {all}, '{query}', '{query}'")
    };
    let ranking = "ts_rank(search";
    let rare = plan(db, ranking, &arguments("''toro'' & ''c4ca4238a0b923820dcc509a6f75849b''")).await;
    in_order(&rare);
    uses(&rare, "ads_search");
    let common = plan(db, ranking, &arguments("''toro''")).await;
    in_order(&common);
    uses(&common, "ads_newest");
    let words = plan(db, "levenshtein_less_equal", "'{semntal}'").await;
    assert!(nodes(&words).iter().all(|node| node["Node Type"] != "Seq Scan" || node["Relation Name"].is_null()));
    uses(&words, "words_letters");
    uses(&words, "words_size");
}
