//! Who may call, and with what, as the contracts say.

use std::sync::{Arc, Mutex};

use kit::access::methods_of;
use kit::error::Details;
use kit::identity::Caller;
use kit::{Peer, Routes};
use prost_reflect::DescriptorPool;
use proto::access::v1::Role;
use proto::auth::v1::GetKeySetRequest;
use proto::auth::v1::key_service_client::KeyServiceClient;
use proto::users::v1::device_service_client::DeviceServiceClient;
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{
    BatchGetUsersRequest, GetUserMetricsRequest, RegisterDeviceRequest, UpdateUserRequest, WithdrawUserRequest,
};
use testkit::{Harness, token_claims};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::NO_TABLES;
use crate::fake::{Fake, get_user};

struct World {
    t: Harness,
    nobody: Peer,
    /// The caller that the last RPC saw.
    seen: Arc<Mutex<Option<Caller>>>,
}

async fn world() -> World {
    let t = Harness::new("users", &NO_TABLES).await;
    let seen = Arc::<Mutex<Option<Caller>>>::default();
    let note = seen.clone();
    let fake = Fake::new(move |call| {
        *note.lock().expect("nobody panics here") = call.caller;
        async { Ok(()) }
    });
    let nobody = t.serve(fake.routes());
    World { t, nobody, seen }
}

/// The reason of a refusal, `OK` without one.
fn reason<T>(answer: Result<T, Status>) -> String {
    answer.map_or_else(|status| Details::of(&status).reason, |_| "OK".to_owned())
}

async fn anybody(by: &Peer) -> String {
    reason(KeyServiceClient::new(by.clone()).get_key_set(GetKeySetRequest {}).await)
}

async fn a_user(by: &Peer) -> String {
    let request = RegisterDeviceRequest { token: "t".into(), platform: 1 };
    reason(DeviceServiceClient::new(by.clone()).register_device(request).await)
}

async fn an_admin(by: &Peer) -> String {
    reason(UserServiceClient::new(by.clone()).get_user_metrics(GetUserMetricsRequest {}).await)
}

async fn the_service_auth(by: &Peer) -> String {
    let request = WithdrawUserRequest { id: Uuid::now_v7().to_string() };
    reason(UserServiceClient::new(by.clone()).withdraw_user(request).await)
}

async fn a_user_or_some_services(by: &Peer) -> String {
    reason(UserServiceClient::new(by.clone()).get_user(get_user()).await)
}

#[tokio::test]
async fn each_class_of_rpc_lets_in_whom_the_contract_names_and_nobody_else() {
    let World { t, nobody, .. } = world().await;
    let client = t.as_user(Uuid::now_v7(), 17, &[Role::Client]);
    let admin = t.as_user(Uuid::now_v7(), 1, &[Role::Client, Role::Admin]);
    let (auth, profiles, stranger) = (t.as_peer("auth"), t.as_peer("profiles"), t.as_peer("notifications"));

    for by in [&nobody, &client, &admin, &auth, &stranger] {
        assert_eq!(anybody(by).await, "OK");
    }
    for (by, expected) in [
        (&nobody, "NOT_SIGNED_IN"),
        (&client, "OK"),
        (&admin, "OK"),
        (&auth, "NOT_SIGNED_IN"),
        (&stranger, "NOT_SIGNED_IN"),
    ] {
        assert_eq!(a_user(by).await, expected);
    }
    for (by, expected) in
        [(&nobody, "NOT_SIGNED_IN"), (&client, "ROLE_MISSING"), (&admin, "OK"), (&auth, "NOT_SIGNED_IN")]
    {
        assert_eq!(an_admin(by).await, expected);
    }
    for (by, expected) in [
        (&nobody, "PEERS_ONLY"),
        (&client, "PEERS_ONLY"),
        (&admin, "PEERS_ONLY"),
        (&auth, "OK"),
        (&stranger, "PEERS_ONLY"),
    ] {
        assert_eq!(the_service_auth(by).await, expected);
    }
    for (by, expected) in [(&nobody, "NOT_SIGNED_IN"), (&client, "OK"), (&profiles, "OK"), (&stranger, "NOT_SIGNED_IN")]
    {
        assert_eq!(a_user_or_some_services(by).await, expected);
    }
}

#[tokio::test]
async fn a_bad_token_is_nobody_where_all_are_welcome_and_refused_elsewhere() {
    let World { t, seen, .. } = world().await;
    let bad = t.with_token("not.a.token");
    assert_eq!(anybody(&bad).await, "OK");
    assert_eq!(*seen.lock().unwrap(), None);
    assert_eq!(a_user(&bad).await, "BAD_TOKEN");
    assert_eq!(the_service_auth(&bad).await, "PEERS_ONLY");

    let id = Uuid::now_v7();
    assert_eq!(anybody(&t.as_user(id, 17, &[Role::Client])).await, "OK");
    let caller = seen.lock().unwrap().expect("a good token is read everywhere");
    assert_eq!((caller.id, caller.number, caller.roles.names()), (id, 17, vec!["CLIENT".to_owned()]));
}

#[tokio::test]
async fn a_revoked_session_is_refused_from_the_next_call_on() {
    let World { t, .. } = world().await;
    let claims = token_claims(Uuid::now_v7(), 17, &[Role::Client], t.clock.now().timestamp());
    let ana = t.with_token(&t.signer.sign(&claims));
    assert_eq!(a_user(&ana).await, "OK");
    t.service.verifier.revocations().add(claims.sid, claims.exp);
    assert_eq!(a_user(&ana).await, "SESSION_REVOKED");
}

#[tokio::test]
async fn broken_field_rules_are_named_by_path_before_the_rpc_runs() {
    let World { t, .. } = world().await;
    let mut users = UserServiceClient::new(t.as_user(Uuid::now_v7(), 17, &[Role::Client]));

    let wrong = UpdateUserRequest { id: "me".into(), first_name: Some("ñ".repeat(151)), ..Default::default() };
    let status = users.update_user(wrong).await.unwrap_err();
    let details = Details::of(&status);
    assert_eq!((status.code(), &*details.reason), (Code::InvalidArgument, "INVALID_FIELDS"));
    let broken: Vec<_> = details.fields.iter().map(|f| (&*f.field, &*f.reason)).collect();
    assert_eq!(broken, [("id", "string.uuid"), ("first_name", "string.max_len")]);
    assert!(details.fields[1].message.contains("150"));

    let wrong = BatchGetUsersRequest { ids: vec![Uuid::now_v7().to_string(), "x".into()], ..Default::default() };
    let status = users.batch_get_users(wrong).await.unwrap_err();
    assert_eq!(Details::of(&status).fields[0].field, "ids[1]");
}

#[tokio::test]
async fn a_caller_without_rights_learns_that_first_and_not_what_is_wrong_with_the_fields() {
    let World { nobody, .. } = world().await;
    let wrong = UpdateUserRequest { id: "me".into(), ..Default::default() };
    let status = UserServiceClient::new(nobody).update_user(wrong).await.unwrap_err();
    assert_eq!(Details::of(&status).reason, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn a_service_without_contract_does_not_start() {
    let t = Harness::new("users", &NO_TABLES).await;
    let (_, health) = tonic_health::server::health_reporter();
    let error = t.service.serve_on(Routes::default().add(health), t.network.listen("users")).await.unwrap_err();
    assert!(format!("{error:#}").contains("grpc.health.v1.Health"), "{error:#}");
}

#[test]
fn an_rpc_without_a_rule_or_with_one_that_fits_nobody_is_named() {
    for (rule, complaint) in [
        ("", "no access rule"),
        ("option (plaza.access.v1.rule) = {};", "lets nobody in"),
        ("option (plaza.access.v1.rule) = {who: WHO_PEER};", "lets nobody in"),
        ("option (plaza.access.v1.rule) = {who: WHO_ROLE};", "lets nobody in"),
    ] {
        let error = methods_of(&contract_with(rule), ["plaza.ghosts.v1.GhostService"]).unwrap_err().to_string();
        assert!(error.contains("/plaza.ghosts.v1.GhostService/Haunt") && error.contains(complaint), "{rule}: {error}");
    }
    let good = contract_with("option (plaza.access.v1.rule) = {who: WHO_PEER, peers: [\"auth\"]};");
    let methods = methods_of(&good, ["plaza.ghosts.v1.GhostService"]).unwrap();
    assert_eq!(methods["/plaza.ghosts.v1.GhostService/Haunt"].peers, ["auth"]);
}

fn contract_with(rule: &str) -> DescriptorPool {
    let folder = std::env::temp_dir().join(format!("kit-contract-{}", Uuid::now_v7()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let text = format!(
        "syntax = \"proto3\";
         package plaza.ghosts.v1;
         import \"plaza/access/v1/access.proto\";
         service GhostService {{ rpc Haunt(Empty) returns (Empty) {{ {rule} }} }}
         message Empty {{}}"
    );
    std::fs::write(folder.join("ghost.proto"), text).expect("written");
    let contracts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    let mut compiler = protox::Compiler::new([contracts, folder.to_str().expect("UTF-8")]).expect("the folders exist");
    compiler.include_imports(true).open_file("ghost.proto").expect("a valid contract");
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).expect("valid descriptors");
    std::fs::remove_dir_all(folder).expect("removed");
    pool
}
