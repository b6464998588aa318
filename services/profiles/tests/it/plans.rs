//! What PostgreSQL does for a list on a large table: it reads an index in the list's order, and neither the whole table
//! nor a sorted copy of it.

use proto::profiles::v1::{
    BatchGetProfilesRequest, ListProfilesRequest, ListVerificationsRequest, Profession, ProfileKind,
};
use sqlx::PgPool;
use testkit::{Plan, Prepared};

use crate::world::{Somebody, World};

const ROWS: i64 = 60_000;

/// As the service sets them for searches.
const SEARCHES: [&str; 2] = ["plan_cache_mode = force_custom_plan", "enable_seqscan = off"];

async fn fill(db: &PgPool) {
    sqlx::query(
        "insert into profiles (user_id, user_number, kind, name, speciality, about_us, business_name, title_id,
             verification, submitted_at, created_at, updated_at)
         select gen_random_uuid(), n, kind, 'Ana ' || md5(n::text),
             case kind when 'SPECIALIST' then (array['VETERINARIAN', 'AGRONOMIST', 'ZOOTECHNICIAN'])[1 + n % 3]
                 when 'BUSINESSMAN' then 'VETERINARY_SHOP' end,
             md5((n * 7)::text), '', title, case when title is not null then 1 + n % 3 end, now(), now(), now()
         from (
             select n, (array['SPECIALIST', 'BUSINESSMAN', 'CONSUMER'])[1 + n / 3 % 3] as kind,
                 case when n / 3 % 3 = 0 and n % 2 = 0 then gen_random_uuid() end as title
             from generate_series(1, $1::bigint) n
         ) made",
    )
    .bind(ROWS)
    .execute(db)
    .await
    .unwrap();
    sqlx::query("vacuum analyze profiles").execute(db).await.unwrap();
}

fn check(plan: &Plan) {
    assert!(plan.whole_tables().is_empty(), "{plan}");
    for node in plan.sorts() {
        let rows = node["Plan Rows"].as_f64().unwrap();
        assert!(node["Node Type"] != "Sort" || rows < 1000.0, "{plan}");
    }
}

#[tokio::test]
async fn lists_read_an_index_in_their_order() {
    let world = World::start().await;
    let (ana, admin) = (world.person(1_000_001, "Ana"), world.admin());
    let db = &world.harness.service.db;
    fill(db).await;
    let of = |kind: ProfileKind| ListProfilesRequest { kind: kind.into(), ..ListProfilesRequest::default() };
    let page = ana.profiles().list_profiles(of(ProfileKind::Specialist)).await.unwrap().into_inner();
    assert_eq!((page.profiles.len(), page.total_size), (20, 10_000), "no larger total is counted");
    let vets = ListProfilesRequest { profession: Profession::Veterinarian.into(), ..of(ProfileKind::Specialist) };
    ana.profiles().list_profiles(vets).await.unwrap();
    let user_ids = page.profiles.iter().map(|profile| profile.user_id.clone()).collect();
    ana.profiles().batch_get_profiles(BatchGetProfilesRequest { user_ids }).await.unwrap();
    admin.verifications().list_verifications(ListVerificationsRequest::default()).await.unwrap();

    let id = &page.profiles[0].user_id;
    let some = format!("array['{id}']::uuid[]");
    for (part, arguments) in [
        ("where kind = $1 and id > $2 order by id", "'SPECIALIST', 0, 21, 0"),
        ("where kind = $1 and id > $2 order by id", "'SPECIALIST', 0, 21, 10000"),
        ("select from profiles where kind = $1 limit $2", "'SPECIALIST', 10000"),
        ("where kind = $1 and speciality = $2 and id > $3", "'SPECIALIST', 'VETERINARIAN', 0, 21, 0"),
        ("select from profiles where kind = $1 and speciality = $2 limit $3", "'SPECIALIST', 'AGRONOMIST', 10000"),
        ("where user_id = any($1) order by id", &some),
        ("order by verification, submitted_at, id", "1, 3, null, null, null, 21, 0"),
        ("verification between $1 and $2 limit $3", "1, 1, 10000"),
    ] {
        check(&testkit::plan(db, &[part], arguments).await);
    }
    searches_read_what_they_look_for(&ana, db).await;
}

async fn searches_read_what_they_look_for(ana: &Somebody, db: &PgPool) {
    for (search, found) in [("c4ca4238", 1), ("zq c4ca4238", 0), ("zq", 0)] {
        let kind = ProfileKind::Specialist.into();
        let request = ListProfilesRequest { kind, search: search.into(), ..ListProfilesRequest::default() };
        assert_eq!(ana.profiles().list_profiles(request).await.unwrap().into_inner().total_size, found, "{search}");
    }
    for (part, arguments, index) in [
        ("and id > $6\n", "'SPECIALIST', null, '%c4ca4238%', '', '', 0, 21, 0", "profiles_search"),
        ("limit $6\n", "'SPECIALIST', null, '%c4ca4238%', '', '', 10000", "profiles_search"),
        ("and id > $6\n", "'SPECIALIST', null, '%c4ca4238%', '', '% zq%', 0, 21, 0", "profiles_search"),
        ("limit $6\n", "'SPECIALIST', null, '%c4ca4238%', '', '% zq%', 10000", "profiles_search"),
        // What nobody is called, and what some are.
        ("and id > $4\n", "'SPECIALIST', null, 'zq', 0, 21, 0", "profiles_beginnings"),
        ("limit $4\n", "'SPECIALIST', null, 'zq', 10000", "profiles_beginnings"),
        ("and id > $4\n", "'SPECIALIST', null, E'zq\\nx', 0, 21, 0", "profiles_beginnings"),
        ("and id > $4\n", "'SPECIALIST', null, '4f', 0, 21, 0", "profiles_beginnings"),
        ("limit $4\n", "'SPECIALIST', null, '4f', 10000", "profiles_beginnings"),
    ] {
        let plan = Prepared::find(db, &[part]).await.plan(&SEARCHES, arguments).await;
        check(&plan);
        assert_eq!(plan.indexes(), [index], "{plan}");
    }
    // What everybody is called: the first ones are the page, in the order in which they are found.
    let everybody = "'SPECIALIST', null, 'an', 0, 21, 0";
    let plan = Prepared::find(db, &["and id > $4\n"]).await.plan(&SEARCHES, everybody).await;
    assert!(plan.whole_tables().is_empty() && plan.sorts().is_empty(), "{plan}");
    // Nothing that the index knows: nothing is read.
    let signs = "'SPECIALIST', null, '%---%', '', '', 0, 21, 0";
    let plan = Prepared::find(db, &["and id > $6\n"]).await.plan(&SEARCHES, signs).await;
    assert!(plan.whole_tables().is_empty() && plan.indexes().is_empty(), "{plan}");
}
