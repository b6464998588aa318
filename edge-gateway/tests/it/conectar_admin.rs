//! Conectar: administration of people.

use proto::access::v1::Role;
use proto::auth::v1::CreateAccountRequest;
use proto::auth::v1::account_service_client::AccountServiceClient;
use reqwest::Method;
use serde_json::{Value, json};

use crate::story::Story;
use crate::world::{ADMIN_EMAIL, PASSWORD, World};

const ME: &str = "/api/v1/users/me";
const BANNED: &str = "Tu cuenta ha sido desactivada. Contacta al administrador.";

#[tokio::test]
async fn people_are_listed_in_pages() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    world.conectar("Eva", "eva@example.com", "PROFESIONAL").await;
    world.conectar("Leo", "leo@example.com", "CLIENTE").await;
    let admin = world.admin().await;
    let mut story = Story::default();
    let list = |query: &str| world.ask(world.get(&format!("/api/v1/admin/users{query}")).bearer_auth(&admin));
    let names = |body: &Value| -> Vec<String> {
        body["users"].as_array().expect("a list").iter().map(|u| u["nombre"].as_str().unwrap().to_owned()).collect()
    };
    story.tell("the first page", &list("?page=1&limit=2").await);
    let all = list("").await;
    assert_eq!(names(&all.body)[..3], ["Leo", "Eva", "Ana"], "newest first");
    assert_eq!([&all.body["page"], &all.body["limit"], &all.body["totalPages"]], [1, 10, 1]);
    assert_eq!(names(&list("?page=2&limit=2").await.body)[0], "Ana");
    story.tell("beyond the last page", &list("?page=9000000&limit=100").await);
    assert_eq!(names(&list("?rol=PROFESIONAL").await.body), ["Eva"]);
    assert_eq!(names(&list("?q=leo").await.body), ["Leo"]);
    assert_eq!(
        list("?is_active=false").await.body,
        json!({
            "users": [], "total": 0, "page": 1, "limit": 10, "totalPages": 0
        })
    );
    for query in ["?page=0", "?page=-1", "?limit=0", "?limit=101", "?page=x", "?rol=REY", "?is_active=quizas"] {
        story.tell(query, &list(query).await);
    }
    story.tell("a person", &world.ask(world.get("/api/v1/admin/users").bearer_auth(&ana.token)).await);
    story.tell("nobody", &world.ask(world.get("/api/v1/admin/users")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn people_are_found_by_a_part_of_their_email() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    world.conectar("Eva", "eva@example.com", "PROFESIONAL").await;
    let admin = world.admin().await;
    let mut story = Story::default();
    let search =
        |email: &str| world.ask(world.get("/api/v1/admin/users/search").query(&[("email", email)]).bearer_auth(&admin));
    story.tell("a part", &search("VA@exam").await);
    let all = search("@example.com").await;
    assert_eq!(all.body[0]["nombre"], "Eva", "newest first");
    assert_eq!(all.body.as_array().unwrap().len(), 3);
    assert_eq!(search("an_@").await.body, json!([]), "signs stand for themselves");
    story.tell("one letter", &search("a").await);
    story.tell("too many", &search(&"x".repeat(256)).await);
    story.tell("nothing", &world.ask(world.get("/api/v1/admin/users/search").bearer_auth(&admin)).await);
    let person = world.get("/api/v1/admin/users/search?email=eva").bearer_auth(&ana.token);
    story.tell("a person", &world.ask(person).await);
    story.tell("nobody", &world.ask(world.get("/api/v1/admin/users/search?email=eva")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_ban_shuts_every_door_at_once_and_is_lifted() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let admin = world.admin().await;
    let login = |password: &str| {
        world.ask(world.post("/api/v1/auth/login").form(&[("username", "ana@example.com"), ("password", password)]))
    };
    let tokens = login(PASSWORD).await.body;
    let mut story = Story::default();
    let id = ana.id.as_str().unwrap();
    let act = |method: Method, what: &str, body: Option<Value>| {
        let request = world.request(method, &format!("/api/v1/admin/users/{id}/{what}")).bearer_auth(&admin);
        world.ask(match body {
            Some(body) => request.json(&body),
            None => request,
        })
    };
    // As the page sends it, and once more as react-query does.
    story.tell("ban", &act(Method::POST, "ban", None).await);
    story.tell("ban again", &act(Method::POST, "ban", Some(json!({ "razon": "otra" }))).await);

    testkit::eventually("the tokens are refused", async || {
        let me = world.ask(world.get(ME).bearer_auth(&ana.token)).await;
        me.status == 401 && me.body["detail"] == BANNED
    })
    .await;
    story.tell("a token of before", &world.ask(world.get(ME).bearer_auth(&ana.token)).await);
    let refresh = world.post("/api/v1/auth/refresh").json(&json!({ "refresh_token": tokens["refresh_token"] }));
    story.tell("a refresh token of before", &world.ask(refresh).await);
    story.tell("login", &login(PASSWORD).await);
    // What is true of the account is for who has the password.
    story.tell("login with a wrong password", &login("otra cosa").await);
    let found = world.ask(world.get("/api/v1/users/search?q=ana@example.com").bearer_auth(&admin)).await;
    assert_eq!(found.body, json!([]));
    let banned = world.ask(world.get("/api/v1/admin/users?is_active=false").bearer_auth(&admin)).await;
    assert_eq!((&banned.body["total"], &banned.body["users"][0]["is_active"]), (&json!(1), &json!(false)));

    story.tell("unban", &act(Method::POST, "unban", None).await);
    story.tell("unban again", &act(Method::PUT, "unban", Some(json!({}))).await);
    assert_eq!(login(PASSWORD).await.status, 200);
    // The other original's route, with its own name for the reason and an id that the path has already.
    story.tell("ban by PUT", &act(Method::PUT, "ban", Some(json!({ "user_id": id, "razon": "fraude" }))).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn not_everybody_may_ban_nor_be_banned() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    let eva = world.conectar("Eva", "eva@example.com", "CLIENTE").await;
    let admin = world.admin().await;
    let mut story = Story::default();
    let ban = |id: &str, token: &str, body: Value| {
        world.ask(world.post(&format!("/api/v1/admin/users/{id}/ban")).bearer_auth(token).json(&body))
    };
    let of_eva = eva.id.as_str().unwrap();
    story.tell("a person bans", &ban(of_eva, &ana.token, json!({})).await);
    let unban = world.post(&format!("/api/v1/admin/users/{of_eva}/unban"));
    story.tell("a person unbans", &world.ask(unban.bearer_auth(&ana.token)).await);
    story.tell("nobody bans", &world.ask(world.post(&format!("/api/v1/admin/users/{of_eva}/ban"))).await);
    let me = world.ask(world.get(ME).bearer_auth(&admin)).await;
    story.tell("oneself", &ban(me.body["id"].as_str().unwrap(), &admin, json!({})).await);

    // The REST dialect has no way to make an administrator; gRPC on the same port has.
    let channel = tonic::transport::Endpoint::from_shared(world.base.clone()).unwrap().connect().await.unwrap();
    let mut accounts = AccountServiceClient::new(channel);
    let mut request = tonic::Request::new(CreateAccountRequest {
        email: Some("jefa@example.com".into()),
        password: PASSWORD.into(),
        roles: vec![Role::Admin as i32],
        ..Default::default()
    });
    request.metadata_mut().insert("authorization", format!("Bearer {admin}").parse().unwrap());
    let other = accounts.create_account(request).await.unwrap().into_inner();
    story.tell("another administrator", &ban(&other.id, &admin, json!({})).await);
    story.tell("nobody is banned", &ban("00000000-0000-7000-8000-000000000000", &admin, json!({})).await);
    story.tell("no id", &ban("7", &admin, json!({})).await);
    story.tell("an endless reason", &ban(of_eva, &admin, json!({ "reason": "x".repeat(501) })).await);
    assert_eq!(world.ask(world.get(ME).bearer_auth(&eva.token)).await.status, 200);
    assert_eq!(me.body["email"], ADMIN_EMAIL);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn people_are_counted_by_kind() {
    let world = World::start().await;
    let ana = world.conectar("Ana", "ana@example.com", "CLIENTE").await;
    world.conectar("Eva", "eva@example.com", "PROFESIONAL").await;
    let admin = world.admin().await;
    // The banned count too.
    let ban = world.post(&format!("/api/v1/admin/users/{}/ban", ana.id.as_str().unwrap()));
    let leo = world.conectar("Leo", "leo@example.com", "CLIENTE").await;
    assert_eq!(world.ask(ban.bearer_auth(&admin)).await.status, 200);
    let mut story = Story::default();
    let metrics = || world.get("/api/v1/admin/metrics/users");
    story.tell("metrics", &world.ask(metrics().bearer_auth(&admin)).await);
    story.tell("a person", &world.ask(metrics().bearer_auth(&leo.token)).await);
    story.tell("nobody", &world.ask(metrics()).await);
    insta::assert_snapshot!(story);
}
