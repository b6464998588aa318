use proto::access::v1::Role;
use proto::auth::v1::AccountState;
use proto::users::v1::{SearchUsersRequest, User};

use crate::{Somebody, World, newcomer, refused};

async fn search(person: &Somebody, query: &str) -> Vec<User> {
    let request = SearchUsersRequest { query: query.to_owned(), limit: 0 };
    person.users().search_users(request).await.unwrap().into_inner().users
}

async fn numbers(person: &Somebody, query: &str) -> Vec<i64> {
    search(person, query).await.iter().map(|user| user.number).collect()
}

#[tokio::test]
async fn the_exact_email_comes_first_then_names() {
    let world = World::start().await;
    for (number, first_name, email) in [
        (1, "Zoe", "ana@example.com"),
        (2, "Yara", "ana@example.com.ni"),
        (3, "Beto", "not-ana@example.com"),
        (4, "álvaro", "also-ana@example.com"),
        (5, "Eva", "eva@example.com"),
    ] {
        let mut person = newcomer(number, first_name, &[]);
        person.email = Some(email.to_owned());
        world.person_with(person).await;
    }
    let caller = world.person(6, "ana", &[]).await;
    let found = search(&caller, " ANA@example.com ").await;
    let seen: Vec<_> = found.iter().map(|user| (user.number, user.email.as_deref().unwrap())).collect();
    let expected =
        [(1, "ana@example.com"), (4, "a***@example.com"), (3, "n***@example.com"), (2, "ana@example.com.ni")];
    assert_eq!(seen, expected);
    refused!(world.nobody().search_users(SearchUsersRequest::default()).await, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn words_match_names_and_phones_without_case_or_accents_but_not_roles() {
    let world = World::start().await;
    let caller = world.admin().await;
    world.person(1, "Ñandú", &[Role::Client]).await;
    world.person(2, "Clienta", &[Role::Professional]).await;
    world.person(3, "100%_\\", &[]).await;
    let banned = newcomer(4, "Ñandú", &[]);
    world.person_with(proto::users::v1::ProvisionUserRequest { state: AccountState::Banned.into(), ..banned }).await;

    for query in ["nandu", "NANDÚ rojas", "ojas, ñan", "\"nandu rojas\"", "0500000001", "+50500000001"] {
        assert_eq!(numbers(&caller, query).await, [1], "{query}");
    }
    assert_eq!(numbers(&caller, "client").await, [2]);
    assert_eq!(numbers(&caller, "professional").await, [0; 0]);
    for query in ["0%", "%_", "_\\", "％_", "＿＼"] {
        assert_eq!(numbers(&caller, query).await, [3], "{query}");
    }
    for query in ["", "n", " a ", ",,,\"\"", "%%", "__", "nandu eva", "nandu\0\u{7}eva", "\u{0}\u{0}\u{0}"] {
        assert_eq!(numbers(&caller, query).await, [0; 0], "{query:?}");
    }
}

#[tokio::test]
async fn at_most_as_many_as_asked_are_found() {
    let world = World::start().await;
    for number in 1..=25 {
        world.person(number, "Ana", &[]).await;
    }
    let caller = world.admin().await;
    for (limit, expected) in [(0, 20), (3, 3), (50, 25)] {
        let request = SearchUsersRequest { query: "ana".into(), limit };
        assert_eq!(caller.users().search_users(request).await.unwrap().into_inner().users.len(), expected);
    }
    let request = SearchUsersRequest { query: "ana".into(), limit: 51 };
    refused!(caller.users().search_users(request).await, InvalidArgument, "INVALID_FIELDS");
}
