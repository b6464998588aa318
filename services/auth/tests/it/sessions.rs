use kit::context::Context;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proto::auth::v1::log_in_request::Login;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::auth::v1::{
    ListRevocationsRequest, ListSessionsRequest, LogInRequest, LogOutRequest, RefreshRequest, RevokeSessionRequest,
    Session, ValidateTokenRequest,
};
use tonic::Code;

use crate::world::{PASSWORD, PHONE, Person, World, phone, reason};

async fn sessions_of(person: &Person) -> Vec<Session> {
    person.sessions().list_sessions(ListSessionsRequest {}).await.unwrap().into_inner().sessions
}

#[tokio::test]
async fn sessions_show_device_place_and_last_use_last_used_first() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    world.advance(10);
    let context = Context { client_ip: Some("10.0.0.9".into()), device: Some("Firefox".into()), ..Context::default() };
    let edge = world.harness.as_peer("edge-gateway");
    let request = LogInRequest {
        login: Some(Login::Phone(PHONE.into())),
        password: PASSWORD.into(),
        second_factor: String::new(),
    };
    kit::context::scope(context, async { SessionServiceClient::new(edge).log_in(request).await }).await.unwrap();

    let sessions = sessions_of(&ana).await;
    let shown: Vec<_> = sessions.iter().map(|s| (&s.device[..], &s.place[..], s.current)).collect();
    assert_eq!(shown, [("Firefox", "10.0.0.9", false), ("", "", true)]);
    assert!(sessions[0].last_used_at.unwrap().seconds > sessions[1].last_used_at.unwrap().seconds);
}

#[tokio::test]
async fn logging_out_ends_this_session_and_no_other() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let other = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    let ended = ana.sessions().log_out(LogOutRequest { everywhere: false }).await.unwrap().into_inner().ended;
    assert_eq!(ended, 1);
    assert!(!ana.signed_in().await);
    let again = ana.sessions().log_out(LogOutRequest { everywhere: false }).await.unwrap_err();
    assert_eq!(again.code(), Code::Unauthenticated);
    let refresh = RefreshRequest { refresh_token: ana.tokens.refresh_token.clone() };
    assert_eq!(reason(ana.sessions().refresh(refresh).await), "BAD_TOKEN");
    assert!(ana.sessions().refresh(RefreshRequest { refresh_token: other.refresh_token }).await.is_ok());
    assert_eq!(world.events("user.logged_out").await.len(), 1);
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_sessions_of_the_caller_only() {
    let world = World::new().await;
    let (ana, eva) = (world.register(PHONE).await, world.register("59171111111").await);
    world.log_in(phone(PHONE), PASSWORD).await.unwrap();
    let ended = ana.sessions().log_out(LogOutRequest { everywhere: true }).await.unwrap().into_inner().ended;
    assert_eq!(ended, 2);
    assert!(!ana.signed_in().await);
    assert!(eva.signed_in().await);
}

#[tokio::test]
async fn one_revokes_ones_own_sessions_as_often_as_one_likes() {
    let world = World::new().await;
    let (ana, eva) = (world.register(PHONE).await, world.register("59171111111").await);
    let other = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    let request = RevokeSessionRequest { id: other.session_id.clone() };
    assert_eq!(reason(eva.sessions().revoke_session(request.clone()).await), "SESSION_NOT_FOUND");
    assert_eq!(sessions_of(&ana).await.len(), 2);
    for _ in 0..2 {
        ana.sessions().revoke_session(request.clone()).await.unwrap();
    }
    assert_eq!(sessions_of(&ana).await.len(), 1);
    assert_eq!(
        reason(ana.sessions().refresh(RefreshRequest { refresh_token: other.refresh_token }).await),
        "BAD_TOKEN"
    );
    let unknown = RevokeSessionRequest { id: uuid::Uuid::now_v7().to_string() };
    assert_eq!(reason(ana.sessions().revoke_session(unknown).await), "SESSION_NOT_FOUND");
}

#[tokio::test]
async fn the_hundred_and_first_session_ends_the_one_used_longest_ago() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    // Opened as logins open them, less a hundred times argon2.
    let fill =
        "insert into sessions (id, account_id, device, place, created_at, last_used_at, expires_at, access_until)
         select gen_random_uuid(), account_id, '', '', created_at, last_used_at + interval '1 second',
            expires_at, access_until from sessions, generate_series(1, 99)";
    sqlx::query(fill).execute(&world.harness.service.db).await.unwrap();
    world.advance(10);
    let newest = world.log_in(phone(PHONE), PASSWORD).await.unwrap().tokens.unwrap();
    assert!(!ana.signed_in().await);
    let newest = Person { peer: world.holding(&newest), account: ana.account.clone(), tokens: newest };
    assert_eq!(sessions_of(&newest).await.len(), 100);
}

#[tokio::test]
async fn a_token_says_whose_it_is_until_its_session_ends() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let request = ValidateTokenRequest { access_token: ana.tokens.access_token.clone() };
    let mut sessions = SessionServiceClient::new(world.nobody.clone());
    let says = sessions.validate_token(request.clone()).await.unwrap().into_inner();
    assert_eq!((says.user_id, says.user_number), (ana.account.id.clone(), ana.account.number));
    assert_eq!(says.session_id, ana.tokens.session_id);
    ana.sessions().log_out(LogOutRequest { everywhere: false }).await.unwrap();
    assert_eq!(reason(sessions.validate_token(request).await), "BAD_TOKEN");
}

#[test]
fn no_other_text_than_the_token_itself_is_valid() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (world, token) = runtime.block_on(async {
        let world = World::new().await;
        let token = world.register(PHONE).await.tokens.access_token;
        (world, token)
    });
    let sessions = SessionServiceClient::new(world.nobody.clone());
    let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 200, ..Config::default() });
    let changed = (0..token.len(), "[A-Za-z0-9._-]").prop_map(|(at, with)| {
        let mut changed = token.clone();
        changed.replace_range(at..=at, &with);
        changed
    });
    let cut = (1..token.len()).prop_map(|at| token[..at].to_owned());
    let spliced = "[A-Za-z0-9_-]{1,40}\\.[A-Za-z0-9_-]{1,40}\\.[A-Za-z0-9_-]{1,86}";
    runner
        .run(&prop_oneof![changed, cut, spliced, "\\PC{1,200}"], |text| {
            prop_assume!(text != token);
            let request = ValidateTokenRequest { access_token: text };
            let answer = runtime.block_on(sessions.clone().validate_token(request));
            prop_assert_eq!(reason(answer), "BAD_TOKEN");
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn revocations_are_listed_for_services_while_tokens_live() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let mut edge = SessionServiceClient::new(world.harness.as_peer("edge-gateway"));
    assert!(edge.list_revocations(ListRevocationsRequest {}).await.unwrap().into_inner().revocations.is_empty());
    ana.sessions().log_out(LogOutRequest { everywhere: false }).await.unwrap();
    let listed = edge.list_revocations(ListRevocationsRequest {}).await.unwrap().into_inner().revocations;
    assert_eq!(listed.iter().map(|r| &r.session_id).collect::<Vec<_>>(), [&ana.tokens.session_id]);
    world.advance(3600);
    assert!(edge.list_revocations(ListRevocationsRequest {}).await.unwrap().into_inner().revocations.is_empty());

    let refused = world.register("59171111111").await.sessions().list_revocations(ListRevocationsRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}
