//! Calls from service to service.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kit::Peer;
use kit::context::{self, Context};
use kit::error::{Details, unavailable};
use proto::users::v1::user_service_client::UserServiceClient;
use testkit::{Harness, Network, eventually};
use tokio::sync::Notify;
use tonic::body::Body;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt;

use crate::NO_TABLES;
use crate::fake::{Fake, get_user, update_user};

type Users = UserServiceClient<Peer>;

/// A peer that serves `fake`, without layers in between.
fn reach(fake: &Fake) -> (Peer, Users) {
    let network = Network::default();
    network.stub("users", fake.users());
    let peer = Peer::new("users", network.stranger("users"));
    (peer.clone(), Users::new(peer))
}

/// Fails the first calls as a proxy does whose server is gone.
fn flaky(failures: usize) -> Fake {
    let calls = AtomicUsize::new(0);
    Fake::new(move |_| {
        let fails = calls.fetch_add(1, Ordering::SeqCst) < failures;
        async move { if fails { Err(Status::unavailable("no endpoints")) } else { Ok(()) } }
    })
}

#[tokio::test]
async fn only_what_has_no_side_effects_is_sent_again() {
    let fake = flaky(2);
    assert!(reach(&fake).1.get_user(get_user()).await.is_ok());
    assert_eq!(fake.calls(), 3);

    let fake = flaky(3);
    assert_eq!(reach(&fake).1.get_user(get_user()).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(fake.calls(), 3);

    let fake = flaky(1);
    assert_eq!(reach(&fake).1.update_user(update_user()).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(fake.calls(), 1);
}

#[tokio::test]
async fn an_answer_is_an_answer_even_if_it_is_no() {
    for refusal in [Status::not_found("no"), Status::internal("no"), unavailable("STORAGE_AWAY", "no").into()] {
        let says = refusal.clone();
        let fake = Fake::new(move |_| std::future::ready(Err(says.clone())));
        let (peer, mut users) = reach(&fake);
        for _ in 0..10 {
            assert_eq!(users.get_user(get_user()).await.unwrap_err().code(), refusal.code());
        }
        assert_eq!(fake.calls(), 10, "{refusal:?} is not asked for again");
        assert!(!peer.broken());
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_its_senders_fault_and_not_the_peers() {
    let fake = Fake::new(|_| std::future::ready(Ok(())));
    let (peer, mut users) = reach(&fake);
    // Both a unary RPC with side effects and a stream go on while they are read.
    for path in ["/plaza.users.v1.UserService/UpdateUser", "/plaza.media.v1.MediaService/UploadMedia"] {
        for _ in 0..10 {
            let broken =
                futures_util::stream::iter([Err::<http_body::Frame<Bytes>, _>(Status::internal("not base64"))]);
            let mut request = http::Request::new(Body::new(http_body_util::StreamBody::new(broken)));
            *request.method_mut() = http::Method::POST;
            *request.uri_mut() = format!("http://users{path}").parse().unwrap();
            let refusal = peer.clone().oneshot(request).await.unwrap_err();
            assert_eq!(refusal.code(), Code::InvalidArgument);
        }
    }
    assert!(!peer.broken());
    assert!(users.get_user(get_user()).await.is_ok());
}

#[tokio::test]
async fn a_length_that_is_not_the_bodys_is_not_passed_on() {
    let fake = Fake::new(|_| std::future::ready(Ok(())));
    let (peer, mut users) = reach(&fake);
    for length in ["8", "0", "99999999", "x"] {
        for path in ["/plaza.users.v1.UserService/UpdateUser", "/plaza.users.v1.UserService/GetUser"] {
            let empty = http_body_util::Full::new(Bytes::from_static(&[0, 0, 0, 0, 0]));
            let mut request = http::Request::new(Body::new(empty));
            *request.method_mut() = http::Method::POST;
            *request.uri_mut() = format!("http://users{path}").parse().unwrap();
            request.headers_mut().insert("content-length", length.parse().unwrap());
            request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            let answer = peer.clone().oneshot(request).await;
            assert!(answer.is_ok(), "{path} {length}: {answer:?}");
        }
    }
    assert!(!peer.broken());
    assert!(users.get_user(get_user()).await.is_ok());
}

#[tokio::test]
async fn a_request_that_breaks_the_protocol_is_its_senders_fault_and_not_the_peers() {
    // A server that finds every request malformed, and says so of each alone.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut answer))) = connection.accept().await {
                    answer.send_reset(h2::Reason::PROTOCOL_ERROR);
                }
            });
        }
    });
    let authority = address.to_string().into();
    let peer = Peer::new("users", kit::net::Dial::Tcp { authority, name: "users".into(), tls: None });
    for _ in 0..10 {
        let refusal = Users::new(peer.clone()).update_user(update_user()).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal:?}");
    }
    assert!(!peer.broken());
}

#[tokio::test]
async fn retries_have_a_budget() {
    // Every other attempt fails: bad enough to retry much, not bad enough for the breaker.
    let attempts = AtomicUsize::new(0);
    let fake = Fake::new(move |_| {
        let fails = attempts.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        async move { if fails { Err(Status::unavailable("no endpoints")) } else { Ok(()) } }
    });
    let users = reach(&fake).1;
    const CALLS: usize = 300;
    let mut failed = 0;
    for _ in 0..CALLS / 4 {
        let calls = (0..4).map(|_| {
            let mut users = users.clone();
            async move { users.get_user(get_user()).await }
        });
        failed += futures_util::future::join_all(calls).await.iter().filter(|answer| answer.is_err()).count();
    }
    // Without a budget every call would get through in the end, with as many retries as calls.
    assert!(failed > 0, "{} attempts", fake.calls());
    assert!(fake.calls() < CALLS + CALLS * 3 / 4, "{} attempts", fake.calls());
}

#[tokio::test]
async fn after_five_failures_the_peer_is_left_alone_and_tried_again_later() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_down = down.clone();
    let fake = Fake::new(move |_| {
        let down = is_down.load(Ordering::SeqCst);
        async move { if down { Err(Status::unavailable("no endpoints")) } else { Ok(()) } }
    });
    let (peer, mut users) = reach(&fake);
    for _ in 0..5 {
        assert!(!peer.broken());
        users.update_user(update_user()).await.unwrap_err();
    }
    assert!(peer.broken());
    let status = users.update_user(update_user()).await.unwrap_err();
    assert_eq!((status.code(), &*Details::of(&status).reason), (Code::Unavailable, "PEER_AWAY"));
    assert_eq!(fake.calls(), 5, "the peer is not asked while the breaker is open");

    down.store(false, Ordering::SeqCst);
    eventually("the peer is used again", async || users.update_user(update_user()).await.is_ok()).await;
    assert!(!peer.broken());
    assert!(users.get_user(get_user()).await.is_ok());
}

#[tokio::test]
async fn a_deadline_ends_the_call_in_time_and_says_so() {
    let fake = Fake::new(|_| std::future::pending());
    let (peer, mut users) = reach(&fake);
    for _ in 0..20 {
        let mut request = Request::new(get_user());
        request.set_timeout(Duration::from_millis(20));
        let started = Instant::now();
        let status = users.get_user(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    assert_eq!(fake.calls(), 20, "what was late is not sent again");
    // Who asks with little patience learns nothing about the peer, and must not take it from the others.
    assert!(!peer.broken());

    // A deadline that has passed does not bother the peer at all.
    let over = Context { deadline: Some(Instant::now()), ..Context::default() };
    let status = context::scope(over, users.get_user(get_user())).await.unwrap_err();
    assert_eq!((status.code(), fake.calls()), (Code::DeadlineExceeded, 20));
}

#[tokio::test]
async fn a_server_says_that_the_deadline_passed_before_its_caller_gives_up() {
    let t = Harness::new("users", &NO_TABLES).await;
    let dropped = Arc::new(Notify::new());
    let told = dropped.clone();
    let nobody = t.serve(
        Fake::new(move |_| {
            let told = told.clone();
            async move {
                let _guard = OnDrop(told);
                std::future::pending().await
            }
        })
        .routes(),
    );
    // What a start costs is no part of it, on either connection.
    for _ in 0..2 {
        HealthClient::new(nobody.clone()).check(HealthCheckRequest::default()).await.unwrap();
    }
    let mut keys = proto::auth::v1::key_service_client::KeyServiceClient::new(nobody);
    let mut request = Request::new(proto::auth::v1::GetKeySetRequest {});
    request.set_timeout(Duration::from_millis(50));
    assert_eq!(keys.get_key_set(request).await.unwrap_err().code(), Code::DeadlineExceeded);
    // The work is dropped and does not go on for nobody.
    tokio::time::timeout(Duration::from_secs(5), dropped.notified()).await.expect("the RPC's work ended");
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn what_a_request_carries_goes_on_to_the_next_service() {
    let t = Harness::new("users", &NO_TABLES).await;
    let last = Arc::new(Mutex::new(None));
    let note = last.clone();
    t.stub(
        "media",
        Fake::new(move |seen| {
            *note.lock().expect("nobody panics here") = Some(seen.metadata);
            async { Ok(()) }
        })
        .users(),
    );
    // Its RPCs stand for any: `users` asks `media` in the middle of its own work.
    let media = Users::new(t.service.peer("media"));
    t.serve(
        Fake::new(move |seen| {
            assert_eq!(seen.rpc, "get_user");
            let mut media = media.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                media.get_user(get_user()).await.map(drop)
            }
        })
        .routes(),
    );
    let hop = async |by: Peer, context: Context, request: Request<_>| {
        context::scope(context, Users::new(by).get_user(request)).await.expect("both answer");
        last.lock().expect("nobody panics here").take().expect("media was called")
    };
    let text = |metadata: &tonic::metadata::MetadataMap, name: &str| {
        metadata.get(name).map(|value| value.to_str().expect("ASCII").to_owned())
    };

    let context = Context {
        request_id: "request-1".into(),
        correlation_id: "chain-1".into(),
        client_ip: Some("203.0.113.9".into()),
        device: Some("Firefox".into()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        deadline: Some(Instant::now() + Duration::from_secs(5)),
        ..Context::default()
    };
    let seen = hop(t.as_peer("edge-gateway"), context.clone(), Request::new(get_user())).await;
    assert_eq!(text(&seen, "x-request-id").as_deref(), Some("request-1"));
    assert_eq!(text(&seen, "x-correlation-id").as_deref(), Some("chain-1"));
    assert_eq!(text(&seen, "x-client-ip").as_deref(), Some("203.0.113.9"));
    assert_eq!(text(&seen, "x-client-device").as_deref(), Some("Firefox"));
    assert_eq!(text(&seen, "traceparent"), context.traceparent.map(|t| t.to_string()));
    assert_eq!(text(&seen, "authorization"), None);
    let left = context::parse_timeout(&text(&seen, "grpc-timeout").expect("a deadline")).expect("valid");
    assert!(left < Duration::from_millis(4990), "minus what was spent: {left:?}");
    assert!(left > Duration::from_secs(2), "{left:?}");

    // Whoever is not of the mesh may claim an address and is not believed; the token goes on.
    let mut claimed = Request::new(get_user());
    claimed.metadata_mut().insert("x-client-ip", "10.0.0.1".parse().expect("ASCII"));
    claimed.metadata_mut().insert("x-client-device", "me".parse().expect("ASCII"));
    let lies = Context { client_ip: Some("10.0.0.1".into()), ..Context::default() };
    let seen = hop(t.as_user(uuid::Uuid::now_v7(), 17, &[]), lies, claimed).await;
    assert_eq!((text(&seen, "x-client-ip"), text(&seen, "x-client-device")), (None, None));
    assert!(text(&seen, "authorization").is_some_and(|token| token.starts_with("Bearer ")));
    assert!(text(&seen, "x-request-id").is_some_and(|id| !id.is_empty()));
}

#[tokio::test]
async fn an_outsiders_claims_do_not_slip_through_somebody_who_is_believed() {
    let fake = Fake::new(|seen| {
        let claimed = seen.metadata.contains_key("x-client-ip") || seen.metadata.contains_key("x-client-device");
        async move { if claimed { Err(Status::permission_denied("passed on")) } else { Ok(()) } }
    });
    // As the edge passes native gRPC on: the outsider's metadata is in the request.
    let mut request = Request::new(get_user());
    request.metadata_mut().insert("x-client-ip", "10.0.0.1".parse().unwrap());
    request.metadata_mut().insert("x-client-device", "me".parse().unwrap());
    assert!(reach(&fake).1.get_user(request).await.is_ok());
}

#[tokio::test]
async fn a_request_without_end_is_not_gathered_without_end() {
    let fake = Fake::default();
    let (mut peer, _) = reach(&fake);
    let frames = futures_util::stream::repeat_with(|| Ok::<_, Status>(Bytes::from_static(&[0; 65536])));
    let request = http::Request::post("http://users/plaza.users.v1.UserService/GetUser");
    let request = request.body(Body::new(axum::body::Body::from_stream(frames))).unwrap();
    let status = tower::Service::call(&mut peer, request).await.unwrap_err();
    assert_eq!((status.code(), fake.calls()), (Code::ResourceExhausted, 0));
}

#[tokio::test]
async fn a_peer_that_comes_back_is_found_again() {
    let network = Network::default();
    let peer = Peer::new("users", network.stranger("users"));
    // Dialling waits for the peer to listen.
    let mut users = Users::new(peer);
    let early = tokio::spawn({
        let mut users = users.clone();
        async move { users.get_user(get_user()).await.map(drop) }
    });
    network.stub("users", Fake::default().users());
    early.await.unwrap().unwrap();
    assert!(users.update_user(update_user()).await.is_ok());
}
