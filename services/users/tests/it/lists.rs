use proto::access::v1::Role;
use proto::auth::v1::AccountState;
use proto::users::v1::{
    BatchGetUsersRequest, ListUsersRequest, ListUsersResponse, ProvisionUserRequest, SearchUsersRequest, UserOrder,
    UserView,
};
use serde_json::Value;

use crate::{Somebody, World, newcomer, refused};

async fn list(person: &Somebody, request: ListUsersRequest) -> ListUsersResponse {
    person.users().list_users(request).await.unwrap().into_inner()
}

async fn numbers(person: &Somebody, request: ListUsersRequest) -> Vec<i64> {
    list(person, request).await.users.iter().map(|user| user.number).collect()
}

/// Every page, by tokens.
async fn pages(person: &Somebody, request: &ListUsersRequest) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = list(person, ListUsersRequest { page_token, ..request.clone() }).await;
        pages.push(page.users.iter().map(|user| user.number).collect());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn pages_follow_one_another_in_either_order() {
    let world = World::start().await;
    let mut somebody = None;
    for number in [3, 1, 5, 2, 4] {
        let mut person = newcomer(number, "Ana", &[]);
        // Two who came in the same moment are told apart by id.
        person.created_at.as_mut().unwrap().seconds = 1_700_000_000 + number / 2;
        somebody = Some(world.person_with(person).await);
    }
    let ana = somebody.unwrap();
    let by_number = ListUsersRequest { page_size: 2, ..Default::default() };
    assert_eq!(pages(&ana, &by_number).await, [vec![1, 2], vec![3, 4], vec![5]]);
    let newest = ListUsersRequest { page_size: 2, order: UserOrder::Newest.into(), ..Default::default() };
    // 5 was made before 4, 3 before 2.
    assert_eq!(pages(&ana, &newest).await, [vec![5, 4], vec![3, 2], vec![1]]);

    let skipping = ListUsersRequest { page_size: 2, skip: 3, ..Default::default() };
    let page = list(&ana, skipping).await;
    let seen: Vec<_> = page.users.iter().map(|user| user.number).collect();
    assert_eq!((seen, page.next_page_token.as_str(), page.total_size), (vec![4, 5], "", 5));
    let beyond = ListUsersRequest { skip: 5, ..Default::default() };
    let page = list(&ana, beyond).await;
    assert_eq!((page.users.len(), page.next_page_token.as_str(), page.total_size), (0, "", 5));
    let huge = ListUsersRequest { page_size: i32::MAX, ..Default::default() };
    assert_eq!(numbers(&ana, huge).await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_only() {
    let world = World::start().await;
    let ana = world.person(1, "Ana", &[]).await;
    world.person(2, "Ben", &[]).await;
    let first = ListUsersRequest { page_size: 1, ..Default::default() };
    let page_token = list(&ana, first.clone()).await.next_page_token;
    assert!(!page_token.is_empty());
    for other in [
        ListUsersRequest { search: "ana".into(), page_token: page_token.clone(), ..first.clone() },
        ListUsersRequest { order: UserOrder::Newest.into(), page_token: page_token.clone(), ..first.clone() },
        ListUsersRequest { page_token: format!("{page_token}x"), ..first.clone() },
    ] {
        refused!(ana.users().list_users(other).await, InvalidArgument, "INVALID_FIELDS");
    }
    refused!(world.nobody().list_users(first).await, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn filters_narrow_the_list_and_its_total() {
    let world = World::start().await;
    let admin = world.admin().await;
    let all = admin.number;
    world.person(1, "Ana", &[Role::Client]).await;
    world.person(2, "Ben", &[Role::Client, Role::Professional]).await;
    let eva = newcomer(3, "Eva", &[Role::Specialist]);
    world.person_with(ProvisionUserRequest { state: AccountState::Banned.into(), ..eva }).await;
    let ana = world.person(4, "Anabel", &[]).await;

    let request = ListUsersRequest::default();
    for (expected, request) in [
        (vec![1, 2, 3, 4, all], request.clone()),
        (vec![1, 2], ListUsersRequest { roles: vec![Role::Client as i32], ..request.clone() }),
        (vec![2, 3], ListUsersRequest { roles: vec![Role::Professional as i32, 1], ..request.clone() }),
        (vec![3], ListUsersRequest { state: AccountState::Banned.into(), ..request.clone() }),
        (vec![1, 2, 4, all], ListUsersRequest { state: AccountState::Active.into(), ..request.clone() }),
        (vec![1, 4], ListUsersRequest { search: "ana".into(), ..request.clone() }),
        (vec![4], ListUsersRequest { search: "ojas ANAB,example".into(), ..request.clone() }),
        (vec![1, 2], ListUsersRequest { search: "client".into(), ..request.clone() }),
        (vec![2], ListUsersRequest { search: "client ben".into(), ..request.clone() }),
        (vec![], ListUsersRequest { search: "\"client ben\"".into(), ..request.clone() }),
        (vec![4], ListUsersRequest { email: "NABEL@".into(), ..request.clone() }),
        (vec![1, 4], ListUsersRequest { email: "ana".into(), search: "rojas".into(), ..request.clone() }),
        (vec![], ListUsersRequest { email: "rojas".into(), ..request.clone() }),
    ] {
        let page = list(&admin, request.clone()).await;
        let seen: Vec<_> = page.users.iter().map(|user| user.number).collect();
        assert_eq!((&seen, page.total_size as usize), (&expected, expected.len()), "{request:?}");
        let newest = ListUsersRequest { order: UserOrder::Newest.into(), ..request };
        let mut seen = numbers(&admin, newest).await;
        seen.reverse();
        assert_eq!(seen, expected);
    }
    let by_email = ListUsersRequest { email: "ana".into(), ..request.clone() };
    refused!(ana.users().list_users(by_email).await, PermissionDenied, "ROLE_MISSING");
    // Nor are words found in emails by somebody who sees them masked: letter by letter they would give them away.
    let in_emails = ListUsersRequest { search: "example.com".into(), ..request.clone() };
    assert!(list(&admin, in_emails.clone()).await.total_size > 0);
    assert_eq!(list(&ana, in_emails).await.total_size, 0);
    let emails: Vec<_> = list(&ana, request).await.users.into_iter().take(4).map(|user| user.email.unwrap()).collect();
    assert_eq!(emails, ["a***@example.com", "b***@example.com", "e***@example.com", "anabel@example.com"]);
}

#[tokio::test]
async fn lists_and_searches_use_their_indexes_also_when_they_are_run_often() {
    let world = World::start().await;
    let db = &world.harness.service.db;
    sqlx::query(
        "insert into people (id, number, first_name, last_name, phone, email, roles, state, account_version,
             created_at, updated_at)
         select gen_random_uuid(), n, 'Name' || md5(n::text), 'Last' || md5(n::text || 'x'), 505000000 + n,
             md5(n::text || 'y') || '@example.com', '{CLIENT}', 'ACTIVE', 1, now() - n * interval '1 minute', now()
         from generate_series(1, 5000) n",
    )
    .execute(db)
    .await
    .unwrap();
    sqlx::query("vacuum analyze people").execute(db).await.unwrap();
    let admin = world.admin().await;
    // More often than PostgreSQL waits before it considers a plan that fits all arguments.
    for turn in 0..8 {
        for order in [UserOrder::Number, UserOrder::Newest] {
            for search in [String::new(), "505000017".to_owned()] {
                let request = ListUsersRequest { search, order: order.into(), page_size: 2, ..Default::default() };
                let page = list(&admin, request.clone()).await;
                let page_token = page.next_page_token;
                list(&admin, ListUsersRequest { page_token, ..request }).await;
            }
        }
        let request = SearchUsersRequest { query: format!("50500001{turn}"), limit: 0 };
        admin.users().search_users(request).await.unwrap();
        for view in [UserView::Basic, UserView::Full] {
            let (ids, numbers) = (vec![admin.id.to_string()], vec![turn + 1]);
            let request = BatchGetUsersRequest { ids, numbers, view: view.into() };
            admin.users().batch_get_users(request).await.unwrap();
        }
    }
    let everybody = "'{ACTIVE,BANNED}', '{}', '%', '', null";
    let somebody = r"'{ACTIVE,BANNED}', '{}', '%505000017%', '', null";
    let (by_number, newest) = ("order by number limit", "order by created_at desc, id limit");
    let forward = |index| vec![("Node Type", "Index Scan"), ("Scan Direction", "Forward"), ("Index Name", index)];
    let bitmap = |index| vec![("Node Type", "Bitmap Index Scan"), ("Index Name", index)];
    let from = |condition| vec![("Index Cond", condition)];
    let either = || vec![("Node Type", "BitmapOr")];
    for (node, part, arguments) in [
        (forward("people_number_key"), by_number, format!("{everybody}, null, 21, 0, false")),
        (from("(number > "), by_number, format!("{everybody}, 17, 21, 0, false")),
        (bitmap("people_search"), by_number, format!("{somebody}, null, 21, 0, false")),
        (forward("people_newest"), newest, format!("{everybody}, null, null, 21, 0, false")),
        (from("(created_at <= "), newest, format!("{everybody}, now(), gen_random_uuid(), 21, 0, false")),
        (bitmap("people_search"), newest, format!("{somebody}, null, null, 21, 0, false")),
        (bitmap("people_search"), "count(*)::int as \"count!\"", format!("{somebody}, false")),
        (
            bitmap("people_search"),
            "coalesce(lower(email) = $3",
            "'%505000017%', '', '505000017', gen_random_uuid(), 20".to_owned(),
        ),
        (either(), "phone, roles from people", "array[gen_random_uuid()], '{1,2,3}'".to_owned()),
        (either(), "created_at from people where (id = any($1)", "array[gen_random_uuid()], '{1,2,3}'".to_owned()),
    ] {
        let plan = testkit::plan(db, &[part], &arguments).await;
        let begins = |found: &Value, value| found.as_str().is_some_and(|found| found.starts_with(value));
        let expected = plan.nodes().into_iter().any(|at| node.iter().all(|(key, value)| begins(&at[key], value)));
        assert!(expected && plan.whole_tables().is_empty(), "{node:?} expected for {part}:\n{plan}");
    }
}
