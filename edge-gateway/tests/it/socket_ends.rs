//! What ends a socket, and what does not: of whom, in which words, and how soon.

use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use futures_util::future::join_all;
use kit::error::Details;
use kit::seal::{Sealer, Secret};
use proto::chat::v1::chat_service_client::ChatServiceClient;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::{Open, SubscribeRequest};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::people::claims;
use crate::sockets::Socket;
use crate::talks::lives;
use crate::world::{PASSWORD, Person, World};

/// In which everybody knows that a session has ended. It is promised within a second; a busy machine may take longer, and
/// a socket that nobody closes lives for a day.
const SOON: Duration = Duration::from_secs(10);

impl World {
    /// A token like this one, by the key of `auth` itself, that is good for so many seconds; and until when it is.
    async fn short_lived(&self, token: &str, seconds: i64) -> (String, i64) {
        let mut auth = PgConnection::connect(&self.databases["auth"].url).await.expect("the database answers");
        let select = "select id, sealed_private_key from signing_keys order by signs_from limit 1";
        let (id, sealed): (String, Vec<u8>) = sqlx::query_as(select).fetch_one(&mut auth).await.expect("a key");
        let secret: Secret = "a secret of tests and nothing else".parse().expect("it is long enough");
        let private = Sealer::new(&secret, "auth").open(format!("signing key {id}").as_bytes(), &sealed);
        let pair = Ed25519KeyPair::from_pkcs8(&private.expect("the secret is this world's")).expect("a key");

        let mut claims = claims(token);
        claims.exp = Utc::now().timestamp() + seconds;
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": id });
        let [header, said] = [header.to_string(), json!(claims).to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{said}");
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        (format!("{signed}.{signature}"), claims.exp)
    }

    async fn agrovet_login(&self, phone: &str) -> String {
        let login = json!({ "phone_number": phone, "password": PASSWORD });
        let answer = self.ask(self.post("/api/auth/login/").json(&login)).await;
        answer.body["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

/// All of these are closed with this code, each soon.
async fn all_closed(sockets: Vec<Socket>, code: u16) {
    let closed = timeout(SOON, join_all(sockets.into_iter().map(Socket::closed)));
    assert!(closed.await.expect("soon").into_iter().all(|closed| closed == code), "with {code}");
}

async fn all_live(sockets: &mut [Socket]) {
    for socket in sockets {
        lives(socket).await;
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_token_and_not_before() {
    let world = World::start().await;
    let [farm, deal] = world.talks().await;
    let paths = [(&farm.path[..], &farm.one), ("/ws/presence/", &farm.one), (&deal.path[..], &deal.one)];
    let mut stay = Vec::new();
    for (path, person) in paths {
        stay.push(world.socket(path, &person.token).await);
    }
    let mut end = Vec::new();
    let (of_farm, of_deal) = (world.short_lived(&farm.one.token, 6).await, world.short_lived(&deal.one.token, 6).await);
    for ((path, _), (token, _)) in paths.into_iter().zip([&of_farm, &of_farm, &of_deal]) {
        end.push(world.socket(path, token).await);
    }
    all_live(&mut end).await;
    for socket in end {
        assert_eq!(socket.closed().await, 4401);
        assert!(Utc::now().timestamp() >= of_farm.1, "not before its time");
    }
    all_live(&mut stay).await;
    assert_eq!(world.refused(&farm.path, &of_farm.0).await.0, 403);
    assert_eq!(world.socket(&deal.path, &of_deal.0).await.closed().await, 1008);

    // Also when it ends while `chat` is away, which knows it only when it is asked for the stream again.
    let tokens = [world.short_lived(&farm.one.token, 6).await, world.short_lived(&deal.one.token, 6).await];
    let mut end = [world.socket(&farm.path, &tokens[0].0).await, world.socket(&deal.path, &tokens[1].0).await];
    for socket in &mut end {
        assert_eq!(socket.until("live").await["type"], "live");
    }
    world.stop_chat().await;
    testkit::eventually("the tokens end", async || Utc::now().timestamp() > tokens[1].1).await;
    world.start_chat().await;
    for socket in end {
        assert_eq!(socket.closed().await, 4401);
    }
    all_live(&mut stay).await;
    stay[0].say(farm.message("todavía")).await;
    assert_eq!(farm.hears(&mut stay[0]).await["text"], "todavía");
}

#[tokio::test]
async fn the_end_of_a_session_closes_its_own_sockets_and_no_others() {
    let world = World::start().await;
    let [farm, deal] = world.talks().await;
    let open = async |tokens: [&str; 2]| {
        let mut sockets = Vec::new();
        for (path, token) in [(&farm.path[..], tokens[0]), ("/ws/presence/", tokens[0]), (&deal.path[..], tokens[1])] {
            sockets.push(world.socket(path, token).await);
        }
        sockets
    };
    let login =
        async || [world.agrovet_login("59170000001").await, world.conectar_login("ana@example.com", PASSWORD).await];
    let (desk, phone) = (login().await, login().await);
    let mut stay = open([&farm.one.token, &deal.one.token]).await;
    stay.extend(open([&farm.other.token, &deal.other.token]).await);

    let on_desk = open([&desk[0], &desk[1]]).await;
    for (path, token) in [("/api/auth/logout/", &desk[0]), ("/api/v1/auth/logout", &desk[1])] {
        let answer = world.call(Method::POST, path, token, json!({})).await;
        assert!(answer.status < 300, "{answer}");
    }
    all_closed(on_desk, 4401).await;
    all_live(&mut stay).await;

    // Ended by the person from elsewhere.
    let on_phone = open([&phone[0], &phone[1]]).await;
    for (prefix, its, mine) in [
        ("/api/auth/sessions/", &phone[0], &farm.one.token),
        ("/api/v1/users/me/sessions/", &phone[1], &deal.one.token),
    ] {
        let answer = world.call(Method::DELETE, &format!("{prefix}{}", claims(its).sid), mine, json!({})).await;
        assert!(answer.status < 300, "{answer}");
    }
    all_closed(on_phone, 4401).await;
    all_live(&mut stay).await;

    // And all of the person's at once, which are nobody else's.
    let others = stay.split_off(3);
    for (path, token) in [("/api/auth/logout/?all=true", &farm.one.token), ("/api/v1/auth/logout", &deal.one.token)] {
        let answer = world.call(Method::POST, path, token, json!({ "all": true })).await;
        assert!(answer.status < 300, "{answer}");
    }
    all_closed(stay, 4401).await;
    let mut stay = others;
    all_live(&mut stay).await;
}

#[tokio::test]
async fn who_is_shut_out_or_deleted_is_gone_from_every_socket() {
    let world = World::start().await;
    let [farm, deal] = world.talks().await;
    let admin = world.admin().await;
    let (staff, _) = world.staff().await;
    // Of each person on two devices, one of which is not the one that says what happens.
    let logins = [
        (&farm.path, &farm.other, world.agrovet_login("59170000002").await),
        (&farm.path, &farm.witness, world.agrovet_login("59170000003").await),
        (&deal.path, &deal.other, world.conectar_login("beto@example.com", PASSWORD).await),
        (&deal.path, &deal.one, world.conectar_login("ana@example.com", PASSWORD).await),
    ];
    let mut sockets = Vec::new();
    for (path, person, token) in &logins {
        let mut of_one = Vec::new();
        for token in [&person.token, token] {
            of_one.push(world.socket(path, token).await);
            of_one.push(world.socket("/ws/presence/", token).await);
        }
        all_live(&mut of_one[..1]).await;
        sockets.push(of_one);
    }
    let mut stays = [world.socket(&farm.path, &farm.one.token).await];
    let id = |person: &Person| person.id.as_str().map_or_else(|| person.id.to_string(), str::to_owned);
    let ways = [
        // Removed by staff, and by oneself; shut out by an administrator, and deleted by oneself.
        (Method::DELETE, format!("/api/auth/users/{}/", id(&farm.other)), &staff, json!({})),
        (Method::DELETE, format!("/api/auth/users/{}/", id(&farm.witness)), &farm.witness.token, json!({})),
        (Method::POST, format!("/api/v1/admin/users/{}/ban", id(&deal.other)), &admin, json!({ "reason": "spam" })),
        (Method::DELETE, "/api/v1/users/me".to_owned(), &deal.one.token, json!({ "password": PASSWORD })),
    ];
    for (n, (method, path, token, body)) in ways.into_iter().enumerate() {
        let answer = world.call(method, &path, token, body).await;
        assert!(answer.status < 300, "{path}: {answer}");
        all_closed(sockets.remove(0), 4401).await;
        all_live(&mut stays).await;
        for of_one in &mut sockets {
            lives(&mut of_one[0]).await;
        }
        // And nobody comes back with what was a token.
        let (path, _, token) = &logins[n];
        match Socket::open(&world.base, path, token, None).await {
            Ok(socket) => assert_eq!(socket.closed().await, 1008),
            Err(refused) => assert_eq!(refused.0, 403),
        }
    }
}

#[tokio::test]
async fn who_leaves_a_group_loses_its_sockets_and_nobody_else_does() {
    let world = World::start().await;
    let (ana, beto, room) = world.two().await;
    let caro = world.agrovet("Caro", "59170000003", "consumer").await;
    let group = world.group_of(&ana, &[&beto, &caro]).await.as_i64().expect("a number");
    let path = format!("/api/chat/rooms/{group}/");
    let (desk, phone) = (world.live(group, &beto).await, world.live(group, &beto).await);
    let mut elsewhere = [world.live(room, &beto).await, world.socket("/ws/presence/", &beto.token).await];
    let (mut here, mut there) = (world.live(group, &ana).await, world.live(group, &caro).await);

    assert_eq!(world.call(Method::DELETE, &path, &beto.token, json!({})).await.status, 204);
    all_closed(vec![desk, phone], 4403).await;
    all_live(&mut elsewhere).await;
    assert_eq!(world.refused(&format!("/ws/chat/{group}/"), &beto.token).await.0, 403);
    there.say(json!({ "text": "sin Beto" })).await;
    for socket in [&mut here, &mut there] {
        assert_eq!(socket.until("chat_message").await["text"], "sin Beto");
    }

    // Taken out by who made it.
    let form = json!({ "participants_ids": [ana.id] });
    assert_eq!(world.call(Method::PATCH, &path, &ana.token, form).await.status, 200);
    all_closed(vec![there], 4403).await;
    let form = json!({ "participants_ids": [ana.id, beto.id] });
    assert_eq!(world.call(Method::PATCH, &path, &ana.token, form).await.status, 200);
    // And who is let in again hears what is said from then on.
    let mut back = world.live(group, &beto).await;
    here.say(json!({ "text": "con Beto" })).await;
    for socket in [&mut here, &mut back] {
        assert_eq!(socket.until("chat_message").await["text"], "con Beto");
    }
    all_live(&mut elsewhere).await;
}

#[tokio::test]
async fn an_edge_that_stops_says_so_and_closes_each_socket_in_its_own_time() {
    let world = World::start().await;
    let [farm, deal] = world.talks().await;
    let (base, stop) = world.another_edge(&["--grace-seconds", "4"]);
    world.answers(&base).await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        for (path, person) in [(&farm.path[..], &farm.one), ("/ws/presence/", &farm.other), (&deal.path[..], &deal.one)]
        {
            let mut socket = Socket::open(&base, path, &person.token, None).await.expect("it is let in");
            lives(&mut socket).await;
            sockets.push(socket);
        }
    }
    // gRPC streams through this edge are such sockets.
    let channel = Channel::from_shared(base.clone()).expect("an address").connect().await.expect("the edge listens");
    let mut request = Request::new(SubscribeRequest { open: Some(Open::default()) });
    request.metadata_mut().insert("authorization", format!("Bearer {}", farm.one.token).parse().expect("ASCII"));
    let mut stream = ChatServiceClient::new(channel).subscribe(request).await.expect("a stream").into_inner();
    loop {
        let frame = stream.message().await.expect("it stands").expect("it goes on");
        if let Some(Frame::Live(_)) = frame.frame {
            break;
        }
    }

    let began = Instant::now();
    stop.cancel();
    let ends = join_all(sockets.into_iter().map(async |mut socket| {
        let wait = socket.until("server_shutdown").await["closes_in_ms"].as_u64().expect("a number");
        // Until then it lives, and says nothing else that would end it.
        lives(&mut socket).await;
        (wait, socket.closed().await, began.elapsed())
    }));
    let streamed = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends without a word"),
                Err(status) => return (status.code(), Details::of(&status).reason, began.elapsed()),
            }
        }
    };
    let (ends, streamed) = tokio::join!(ends, timeout(Duration::from_secs(30), streamed));
    let (code, reason, after) = streamed.expect("the stream ends");
    for (wait, code, after) in &ends {
        assert_eq!(*code, 1001);
        assert!((1000..=2000).contains(wait), "between a quarter and half of the grace, and not {wait} ms");
        assert!(*after >= Duration::from_millis(*wait), "it had the time it was told");
    }
    assert!(ends.iter().any(|(wait, ..)| *wait != ends[0].0), "not all at once");
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "GOING_AWAY"));
    assert!(after >= Duration::from_secs(1), "it had its time too");
}
