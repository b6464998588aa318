//! How PostgreSQL runs the lists on many rows: by an index that brings them in order, never by reading a whole table
//! and never by sorting one; and in how many statements.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use proto::access::v1::Role;
use proto::common::v1::Point;
use proto::marketplace::v1::{
    AdOrder, AdState, Condition, CreateFollowRequest, ListAdsRequest, ListFollowedAdsRequest, ListFollowsRequest,
    ListNearbyAdsRequest, ListOrdersRequest, ListOwnAdsRequest,
};
use serde_json::Value;
use sqlx::PgPool;
use testkit::{Plan, Prepared};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::World;

const MANY: i32 = 50_000;

/// The statements that rank what a search finds: with one plan for everybody, and with one for the filters at hand.
const PLAIN: &str = "true as \"known!\", array(";
const FILTERED: &str = "from newest_ads($1";

/// A search of everything for these words, as arguments of each of them.
fn searches(words: &str) -> [(&'static str, String); 2] {
    let all = "null, null, null, null, null, null, null";
    let filtered = format!("'{{ACTIVE,SOLD,ORDERED}}', '{{PAUSED,ARCHIVED}}', 17, false, {all}, '{{{words}}}'");
    [(PLAIN, format!("17, '{{{words}}}'")), (FILTERED, filtered)]
}

/// Filled in so many statements, each of which is over in time on a busy machine, too.
const PART: i32 = 2_500;

/// The plan of the statement that the service has prepared and that contains `part`, for these arguments. It is run, so
/// that the plan tells which of its nodes were.
async fn plan(db: &PgPool, part: &str, arguments: &str) -> Plan {
    let mut statement = Prepared::find(db, &[part]).await;
    // As in the service's snapshots.
    let shared = statement.text.contains("in ('PAUSED', 'ARCHIVED')");
    let plans = if shared { "plan_cache_mode = force_generic_plan" } else { "plan_cache_mode = force_custom_plan" };
    let by_index = shared || statement.text.contains("_ads($");
    let seqscan = if by_index { "enable_seqscan = off" } else { "enable_seqscan = on" };
    statement.run(&[plans, seqscan], arguments).await
}

/// The nodes that were run.
fn run(plan: &Plan) -> impl Iterator<Item = &Value> {
    plan.nodes().into_iter().filter(|node| node["Actual Loops"] != 0)
}

/// No table is read as a whole, and nothing is sorted but what a limit below has made short.
fn in_order(plan: &Plan) {
    assert!(plan.whole_tables().is_empty(), "{plan}");
    for node in plan.sorts() {
        assert!(node["Node Type"] != "Sort" || node["Plan Rows"].as_f64().unwrap() <= 1000.0, "{plan}");
    }
}

/// Reads an index whose name begins so: of two that serve, the statistics decide.
fn uses(plan: &Plan, index: &str) {
    assert!(reads(plan, index), "{index}: {plan}");
}

fn reads(plan: &Plan, index: &str) -> bool {
    run(plan).any(|node| node["Index Name"].as_str().is_some_and(|name| name.starts_with(index)))
}

/// Visits no row of a table.
fn by_indexes_alone(plan: &Plan) {
    for node in run(plan) {
        assert!(node["Relation Name"] != "ads" || node["Node Type"] == "Index Only Scan", "{plan}");
    }
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
         select gen_random_uuid(), 1 + n % 5000,
             concat_ws(' ', 'Toro', (array['pardo manso', 'negro'])[1 + n / 7 % 2], md5((n % 1000)::text)),
             -- The latest fresh ones were the last.
             concat_ws(' ', 'Sano', case when n < 50 then 'fresco' end, md5(n::text)), n * 7 % 9973,
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
    what_everybody_looks_at_has_one_plan(&world).await;
    every_combination_of_filters_is_answered_by_an_index(&world).await;
    a_search_reads_what_its_words_share_or_the_newest_when_that_is_much(&world).await;
    a_search_compares_few_words_and_only_for_one_that_is_misspelled(&world).await;
    what_is_left_of_somebody_is_found_by_indexes(&world).await;
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
    let narrowed = ListAdsRequest { condition: Condition::New.into(), ..Default::default() };
    ana.ads().list_ads(narrowed).await.unwrap();
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
        ("select * from orders where buyer_number", "orders_of_buyer", "17, true, true, null, 21, 0".into()),
        ("select * from orders where buyer_number", "orders_of_seller", "6017, false, true, 999, 21, 0".into()),
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
}

/// Whoever looks, at whichever category, from wherever; and what has more than are counted is not counted each time.
async fn what_everybody_looks_at_has_one_plan(world: &World) {
    let db = &world.harness.service.db;
    let ana = world.person(17, Role::Consumer);
    let of_category = ListAdsRequest { category_id: Some(3), ..Default::default() };
    ana.ads().list_ads(of_category).await.unwrap();
    let statements = Statements::default();
    let _guard = tracing_subscriber::registry().with(statements.clone()).set_default();
    let again = ana.ads().list_ads(ListAdsRequest::default()).await.unwrap().into_inner();
    assert_eq!((again.total_size, statements.take().len()), (10_000, 1));
    // Only with what is put away are these so many.
    let cheap = ListAdsRequest { max_price_hundredths: Some(2_400), ..Default::default() };
    let staff = world.person(18, Role::Admin).ads().list_ads(cheap.clone()).await.unwrap().into_inner();
    let all = ana.ads().list_ads(cheap).await.unwrap().into_inner();
    assert!(staff.total_size == 10_000 && all.total_size < 10_000, "{} {}", staff.total_size, all.total_size);

    // Between the key and the order stands which category, or nothing.
    let (everything, category) = ("coalesce($3::bigint, 0))  order by", "and category_id = $6");
    for (part, index, arguments) in [
        (everything, "ads_newest", "null, null, null, 21, 0"),
        (everything, "ads_newest", "17, now() - interval '9 days', 17, 21, 0"),
        (everything, "ads_put_away", "17, null, null, 21, 10000"),
        (category, "ads_newest_of_category", "null, null, null, 21, 0, 3"),
        (category, "ads_put_away", "17, now() - interval '9 days', 17, 21, 0, 3"),
    ] {
        let plan = plan(db, part, arguments).await;
        in_order(&plan);
        uses(&plan, index);
    }
    for (part, arguments) in [("\"total!\", true", "17"), ("where id = $2", "17, 3"), ("where id = $2", "null, 3")] {
        let count = plan(db, part, arguments).await;
        assert!(run(&count).all(|node| node["Node Type"] != "Seq Scan"), "{count}");
        by_indexes_alone(&count);
    }
}

/// Whatever is asked for together: totals are counted by an index alone, and pages found in order or, where little
/// matches, by what narrows most.
async fn every_combination_of_filters_is_answered_by_an_index(world: &World) {
    let db = &world.harness.service.db;
    let mut combinations = vec![String::new()];
    for values in [
        &["'{ACTIVE,SOLD,ORDERED}', '{PAUSED,ARCHIVED}'", "'{ACTIVE}', '{}'", "'{SOLD,ORDERED}', '{}'"] as &[&str],
        &["null, false", "17, true"],
        &["null", "3"],
        &["null", "'USED'"],
        &["null"],
        &["null, null", "1000, null", "1000, 1010"],
        &["null, null", "now() - interval '9 days', null"],
    ] {
        let longer = |so_far: &String| values.iter().map(|value| format!("{so_far}{value}, ")).collect::<Vec<_>>();
        combinations = combinations.iter().flat_map(longer).collect();
    }
    for filter in combinations {
        let total = plan(db, "select count(*)::int as \"total!\", $5", &filter[..filter.len() - 2]).await;
        assert!(run(&total).all(|node| node["Node Type"] != "Seq Scan"), "{filter}: {total}");
        // What is counted for administrators besides, and the newest of some states, are rows; they are few.
        if filter.starts_with("'{ACTIVE,SOLD,ORDERED}', '{PAUSED,ARCHIVED}', null, false") {
            by_indexes_alone(&total);
        }
        for order in ["order by created_at desc, id desc limit $15 offset", "order by price, id limit $15 offset"] {
            let page = plan(db, order, &format!("{filter}null, null, null, 21, 0")).await;
            assert!(run(&page).all(|node| node["Node Type"] != "Seq Scan"), "{filter}: {page}");
        }
    }
}

async fn a_search_reads_what_its_words_share_or_the_newest_when_that_is_much(world: &World) {
    let db = &world.harness.service.db;
    let found = async |search: &str, order: AdOrder| {
        let request = ListAdsRequest { search: search.into(), order: order.into(), ..Default::default() };
        world.nobody.ads().list_ads(request).await.unwrap().into_inner().total_size
    };
    for (search, best, all) in [
        ("toro", 200, 1000),
        ("pardo manso", 200, 1000),
        ("pardo negro", 0, 0),
        ("toro c4ca4238a0b923820dcc509a6f75849b", 36, 36),
        ("fresco", 35, 35),
        ("tora", 200, 1000),
    ] {
        assert_eq!(found(search, AdOrder::Best).await, best, "{search}");
        assert_eq!(found(search, AdOrder::Cheapest).await, all, "{search}");
    }
    for (words, by_text, newest) in [
        ("toro", false, true),
        // Each of them has half of the ads; so have both, or none.
        ("pardo,manso", false, true),
        ("pardo,negro", true, false),
        ("toro,c4ca4238a0b923820dcc509a6f75849b", true, false),
        // Many of the newest and no others.
        ("fresco", true, true),
    ] {
        for (part, arguments) in searches(words) {
            let plan = plan(db, part, &arguments).await;
            in_order(&plan);
            assert_eq!(reads(&plan, "ads_search"), by_text, "{words}: {plan}");
            // The thousand that tell, and those that are looked through.
            let scans = run(&plan).filter(|node| node["Index Name"] == "ads_newest").count();
            assert_eq!(scans, if newest { 2 } else { 1 }, "{words}: {plan}");
        }
    }
    for (part, arguments) in searches("semntal") {
        let words = plan(db, part, &arguments).await;
        let whole = |node: &Value| node["Node Type"] == "Seq Scan" && !node["Relation Name"].is_null();
        assert!(!run(&words).any(whole), "{words}");
        uses(&words, "words_letters");
        uses(&words, "words_size");
    }
    let request = ListAdsRequest { search: "toro".into(), category_id: Some(3), ..Default::default() };
    world.nobody.ads().list_ads(request).await.unwrap();
    for (words, index) in [("toro", "ads_newest_of_category"), ("c4ca4238a0b923820dcc509a6f75849b", "ads_search")] {
        let plan = plan(db, "where id = $3) as \"known!\", array(", &format!("null, '{{{words}}}', 3")).await;
        in_order(&plan);
        uses(&plan, index);
    }
}

/// However many words there are.
async fn a_search_compares_few_words_and_only_for_one_that_is_misspelled(world: &World) {
    let db = &world.harness.service.db;
    sqlx::query(
        "insert into words (word)
         select distinct beginning || substr(md5(n::text), 1, 6)
         from generate_series(1, 10000) n cross join unnest(array['s', 'xsemntal']) as beginning
         on conflict do nothing",
    )
    .execute(db)
    .await
    .unwrap();
    sqlx::raw_sql("vacuum analyze words").execute(db).await.unwrap();
    for (part, arguments) in searches("semntal") {
        let misspelled = plan(db, part, &arguments).await;
        for node in run(&misspelled).filter(|node| node["Relation Name"] == "words") {
            assert!(node["Actual Rows"].as_f64().unwrap() <= 2000.0, "{misspelled}");
        }
        uses(&misspelled, "words_letters");
        uses(&misspelled, "words_size");
    }
    let long = "semntal".repeat(6);
    for word in ["toro", "tor", long.as_str()] {
        for (part, arguments) in searches(word) {
            let plan = plan(db, part, &arguments).await;
            assert!(!reads(&plan, "words_letters") && !reads(&plan, "words_size"), "{word}: {plan}");
        }
    }
}

async fn what_is_left_of_somebody_is_found_by_indexes(world: &World) {
    let db = &world.harness.service.db;
    world.deliver(&crate::events::gone(&world.seller(4000))).await;
    world.clear().await;
    for (part, index) in [
        ("as concerned", "ads_of_publisher"),
        ("as concerned", "orders_open_of_buyer"),
        ("as concerned", "orders_open_of_seller"),
        ("as theirs", "follows_of_follower"),
        ("as theirs", "follows_of_following"),
        ("set note = ''", "orders_noted"),
    ] {
        let plan = plan(db, part, "17, 200").await;
        in_order(&plan);
        uses(&plan, index);
    }
}

/// Counts the statements of this thread, but for those that begin and end transactions.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Summary(String);
        impl Visit for Summary {
            fn record_str(&mut self, field: &Field, value: &str) {
                if field.name() == "summary" {
                    self.0 = value.to_owned();
                }
            }

            fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
        }
        if event.metadata().target() == "sqlx::query" {
            let mut summary = Summary(String::new());
            event.record(&mut summary);
            let word = summary.0.split_whitespace().next().unwrap_or_default();
            if !["begin", "BEGIN", "COMMIT"].contains(&word) {
                self.0.lock().unwrap().push(summary.0);
            }
        }
    }
}

#[tokio::test]
async fn a_page_takes_two_statements_at_most() {
    let world = World::start().await;
    let ana = world.seller(1);
    for n in 0..5 {
        ana.offers(&format!("Toro {n}")).await;
    }
    let statements = Statements::default();
    let _guard = tracing_subscriber::registry().with(statements.clone()).set_default();
    let first = ListAdsRequest { page_size: 2, ..Default::default() };
    let empty = ListAdsRequest { category_id: Some(7), ..first.clone() };
    for search in ["", "toro", "tora", "zzz", "%"] {
        for order in [AdOrder::Best, AdOrder::Newest, AdOrder::Oldest, AdOrder::Cheapest, AdOrder::Dearest] {
            for (skip, request) in [(0, &first), (2, &first), (9, &first), (0, &empty)] {
                let request = ListAdsRequest { search: search.into(), order: order.into(), skip, ..request.clone() };
                statements.take();
                let page = ana.ads().list_ads(request.clone()).await.unwrap().into_inner();
                let asked = statements.take();
                assert!((1..=2).contains(&asked.len()), "{request:?}: {asked:#?}");
                if !page.next_page_token.is_empty() {
                    let next = ListAdsRequest { page_token: page.next_page_token, ..request };
                    ana.ads().list_ads(next.clone()).await.unwrap();
                    let asked = statements.take();
                    assert!((1..=2).contains(&asked.len()), "{next:?}: {asked:#?}");
                }
            }
        }
    }
    let unknown = ListAdsRequest { category_id: Some(99), ..first };
    ana.ads().list_ads(unknown).await.unwrap_err();
    assert_eq!(statements.take().len(), 1);
    let center = Some(Point { latitude: 12.1, longitude: -85.36 });
    ana.ads().list_nearby_ads(ListNearbyAdsRequest { center, radius_km: 50.0 }).await.unwrap();
    assert_eq!(statements.take().len(), 1);
    ana.ads().list_own_ads(ListOwnAdsRequest {}).await.unwrap();
    assert_eq!(statements.take().len(), 1);
    ana.ads().list_followed_ads(ListFollowedAdsRequest {}).await.unwrap();
    assert_eq!(statements.take().len(), 1);
}
