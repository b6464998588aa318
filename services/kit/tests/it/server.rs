//! What happens around every RPC, and at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use kit::error::Details;
use kit::{Peer, Service};
use proto::auth::v1::GetKeySetRequest;
use proto::auth::v1::key_service_client::KeyServiceClient;
use testkit::{Harness, Postgres, eventually};
use tokio::sync::Semaphore;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb;

use crate::NO_TABLES;
use crate::fake::Fake;

async fn call(by: &Peer) -> Result<(), Status> {
    KeyServiceClient::new(by.clone()).get_key_set(GetKeySetRequest {}).await.map(drop)
}

/// A harness of which nobody else knows yet, to change its settings.
async fn harness(change: impl FnOnce(&mut Service)) -> Harness {
    let mut t = Harness::new("users", &NO_TABLES).await;
    change(Arc::get_mut(&mut t.service).expect("nobody else has it yet"));
    t
}

/// RPCs that wait until they are let go, and how many are at it.
#[derive(Clone)]
struct Gate {
    open: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
}

impl Gate {
    fn new() -> (Self, Fake) {
        let gate = Self { open: Arc::new(Semaphore::new(0)), inside: Arc::default() };
        let at = gate.clone();
        let fake = Fake::new(move |_| {
            let gate = at.clone();
            async move {
                gate.inside.fetch_add(1, Ordering::SeqCst);
                let _permit = gate.open.acquire().await.expect("never closed");
                Ok(())
            }
        });
        (gate, fake)
    }

    async fn holds(&self, count: usize) {
        eventually("the RPCs are running", async || self.inside.load(Ordering::SeqCst) == count).await;
    }

    fn let_go(&self) {
        self.open.add_permits(1000);
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_others_on_the_connection_go_on() {
    let t = harness(|_| {}).await;
    let calls = AtomicUsize::new(0);
    let open = Arc::new(Semaphore::new(0));
    let gate = open.clone();
    let fake = Fake::new(move |_| {
        let (turn, gate) = (calls.fetch_add(1, Ordering::SeqCst), gate.clone());
        async move {
            // Four wait on both connections, the others panic.
            match turn {
                0..4 => drop(gate.acquire().await.expect("never closed")),
                _ => panic!("a bug with a secret in it"),
            }
            Ok(())
        }
    });
    let nobody = t.serve(fake.routes());
    let others: Vec<_> = (0..4)
        .map(|_| {
            let by = nobody.clone();
            tokio::spawn(async move { call(&by).await })
        })
        .collect();
    eventually("four are waiting", async || fake.calls() == 4).await;
    // On either connection.
    for _ in 0..2 {
        let status = call(&nobody).await.unwrap_err();
        assert_eq!((status.code(), &*Details::of(&status).reason), (Code::Internal, "INTERNAL"));
        assert!(!format!("{status:?}").contains("secret"));
    }
    open.add_permits(10);
    for other in join_all(others).await {
        other.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_hang_up_at_once_cut_nobody_off() {
    let t = harness(|_| {}).await;
    let (gate, fake) = Gate::new();
    let nobody = t.serve(fake.routes());
    let start = |by: &Peer| {
        let by = by.clone();
        tokio::spawn(async move { call(&by).await })
    };
    // On both connections.
    let others: Vec<_> = (0..4).map(|_| start(&nobody)).collect();
    gate.holds(4).await;
    for turn in 0..40 {
        let many: Vec<_> = (0..200).map(|_| start(&nobody)).collect();
        // Some are cancelled before they are sent, some after, and some when they have arrived.
        tokio::time::sleep(Duration::from_micros(turn * 100)).await;
        many.iter().for_each(tokio::task::JoinHandle::abort);
        join_all(many).await;
    }
    gate.let_go();
    for other in join_all(others).await {
        other.unwrap().unwrap();
    }
    assert!(call(&nobody).await.is_ok() && !nobody.broken());
}

#[tokio::test]
async fn more_than_fit_are_refused_at_once() {
    let t = harness(|service| service.config.max_requests = 3).await;
    let (gate, fake) = Gate::new();
    let nobody = t.serve(fake.routes());
    let running: Vec<_> = (0..3)
        .map(|_| {
            let by = nobody.clone();
            tokio::spawn(async move { call(&by).await })
        })
        .collect();
    gate.holds(3).await;

    let status = call(&nobody).await.unwrap_err();
    let details = Details::of(&status);
    assert_eq!((status.code(), &*details.reason), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(details.retry_after.is_some());
    // Whoever looks after us still gets an answer.
    assert_eq!(health(&nobody, "").await.unwrap(), ServingStatus::Serving);

    gate.let_go();
    for call in join_all(running).await {
        call.unwrap().unwrap();
    }
    call(&nobody).await.unwrap();
}

async fn health(by: &Peer, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(by.clone()).check(request).await?.into_inner().status())
}

#[tokio::test]
async fn health_tells_the_whole_and_each_service() {
    let t = harness(|_| {}).await;
    let nobody = t.serve(Fake::default().routes());
    for service in ["", "plaza.users.v1.UserService", "plaza.users.v1.DeviceService"] {
        assert_eq!(health(&nobody, service).await.unwrap(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(health(&nobody, "plaza.ghosts.v1.GhostService").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn health_tells_when_the_database_is_away_and_when_it_is_back() {
    let mut postgres = Postgres::start().await;
    let db = kit::db::connect(&postgres.url, 2, "users").await.unwrap();
    let t = harness(|service| service.db = db).await;
    let nobody = t.serve(Fake::default().routes());
    let (mut watch, name) = (HealthClient::new(nobody.clone()), "plaza.users.v1.UserService".to_owned());
    let mut changes = watch.watch(HealthCheckRequest { service: name }).await.unwrap().into_inner();
    let mut next = async || {
        let change = tokio::time::timeout(Duration::from_secs(20), changes.next()).await.expect("it is told in time");
        change.unwrap().map(|answer: HealthCheckResponse| answer.status())
    };
    assert_eq!(next().await.unwrap(), ServingStatus::Serving);
    for _ in 0..2 {
        postgres.stop().await;
        assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
        assert_eq!(health(&nobody, "").await.unwrap(), ServingStatus::NotServing);
        // Requests still come here, and are told what is wrong.
        assert!(t.service.ready.get());
        call(&nobody).await.unwrap();
        postgres.restart().await;
        assert_eq!(next().await.unwrap(), ServingStatus::Serving);
        assert_eq!(health(&nobody, "").await.unwrap(), ServingStatus::Serving);
    }
}

#[tokio::test]
async fn reflection_answers_new_and_old_clients() {
    let t = harness(|_| {}).await;
    let nobody = t.serve(Fake::default().routes());
    macro_rules! services {
        ($version:ident) => {{
            use pb::$version::server_reflection_client::ServerReflectionClient;
            use pb::$version::server_reflection_request::MessageRequest;
            use pb::$version::server_reflection_response::MessageResponse;
            let request = pb::$version::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let requests = futures_util::stream::iter([request]);
            let answers = ServerReflectionClient::new(nobody.clone()).server_reflection_info(requests).await;
            let answer = answers.expect("an answer").into_inner().next().await.expect("one").expect("good");
            match answer.message_response.expect("a message") {
                MessageResponse::ListServicesResponse(list) => {
                    list.service.into_iter().map(|s| s.name).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            }
        }};
    }
    for services in [services!(v1), services!(v1alpha)] {
        assert!(services.iter().any(|name| name == "plaza.users.v1.UserService"), "{services:?}");
        assert!(services.iter().any(|name| name == "grpc.health.v1.Health"), "{services:?}");
    }
}

#[tokio::test]
async fn an_unknown_rpc_is_unimplemented() {
    let t = harness(|_| {}).await;
    let nobody = t.serve(kit::Routes::default());
    assert_eq!(call(&nobody).await.unwrap_err().code(), Code::Unimplemented);
}

/// Serves; what comes out is the end of serving.
fn serve(t: &Harness, fake: &Fake) -> (Peer, tokio::task::JoinHandle<anyhow::Result<()>>) {
    let (service, routes, incoming) = (t.service.clone(), fake.routes(), t.network.listen("users"));
    let served = tokio::spawn(async move { service.serve_on(routes, incoming).await });
    (Peer::new("users", t.network.stranger("users")), served)
}

#[tokio::test]
async fn at_the_stop_what_runs_may_end_and_nothing_new_begins() {
    let t = harness(|_| {}).await;
    let (gate, fake) = Gate::new();
    let (nobody, served) = serve(&t, &fake);
    let running: Vec<_> = (0..4)
        .map(|_| {
            let by = nobody.clone();
            tokio::spawn(async move { call(&by).await })
        })
        .collect();
    gate.holds(4).await;
    let (mut watch, name) = (HealthClient::new(nobody.clone()), "plaza.users.v1.UserService".to_owned());
    let mut health = watch.watch(HealthCheckRequest { service: name }).await.unwrap().into_inner();
    let mut next = async || health.next().await.unwrap().map(|answer: HealthCheckResponse| answer.status());
    assert_eq!(next().await.unwrap(), ServingStatus::Serving);
    assert!(t.service.ready.get());

    t.service.stop.cancel();
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    assert!(!t.service.ready.get());
    eventually("new calls are refused", async || {
        call(&nobody).await.is_err_and(|status| status.code() == Code::Unavailable)
    })
    .await;
    assert_eq!(fake.calls(), 4);

    gate.let_go();
    for call in join_all(running).await {
        call.unwrap().unwrap();
    }
    // The watcher of our health would stay for ever.
    drop((watch, health));
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_period_is_left_behind() {
    let t = harness(|service| service.config.mesh.grace_seconds = 0).await;
    let (gate, fake) = Gate::new();
    let (nobody, served) = serve(&t, &fake);
    let hanging = tokio::spawn(async move { call(&nobody).await });
    gate.holds(1).await;
    let started = Instant::now();
    t.service.stop.cancel();
    served.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    hanging.abort();
}

#[tokio::test]
async fn background_work_goes_on_after_an_error_and_a_panic_and_leaves_at_the_stop() {
    let t = harness(|service| service.mesh.config.grace_seconds = 0).await;
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    t.service.every("test", Duration::from_millis(1), move || {
        let turn = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_ne!(turn, 1, "a bug in a background task");
            if turn == 2 { Err(kit::error::refused("NOT_NOW", "not now")) } else { Ok(()) }
        }
    });
    eventually("it goes on", async || turns.load(Ordering::SeqCst) > 4).await;
    // One that never ends does not keep the process.
    t.service.spawn(std::future::pending());
    t.service.stop.cancel();
    let started = Instant::now();
    t.service.leave().await;
    assert!(started.elapsed() < Duration::from_secs(3));
    let turns_then = turns.load(Ordering::SeqCst);
    tokio::task::yield_now().await;
    assert_eq!(turns.load(Ordering::SeqCst), turns_then);
}
