//! `Idempotency-Key`: what is asked again with a key gets the first answer, however large that is and whenever it comes.

use std::convert::Infallible;

use futures_util::{StreamExt, future, stream};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use reqwest::{Body, Method};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::oneshot;

use crate::answer::Answer;
use crate::files::photo;
use crate::world::{Person, World};

const REPLAYED: &str = "idempotency-replayed";

/// A form with one picture, as a client would build it with this boundary.
fn upload(boundary: &str, picture: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\
         content-type: image/jpeg\r\n\r\n"
    );
    [head.as_bytes(), picture, format!("\r\n--{boundary}--\r\n").as_bytes()].concat()
}

async fn redis(world: &World) -> MultiplexedConnection {
    let client = redis::Client::open(&*world.redis.url).expect("an address");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}

/// Waits until a request with a key is being served.
async fn begun(world: &World) {
    let mut redis = redis(world).await;
    testkit::eventually("it is being served", async || {
        let places: Vec<String> = redis.keys("plaza:once:*").await.expect("Redis answers");
        !places.is_empty()
    })
    .await;
}

/// Waits until somebody has looked twice whether there is an answer.
async fn waiting(world: &World) {
    let mut redis = redis(world).await;
    let mut looks = async || {
        let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await.expect("Redis answers");
        let calls = info.split_once("cmdstat_get:calls=").and_then(|(_, rest)| rest.split_once(','));
        calls.map_or(0, |(calls, _)| calls.parse().expect("a number"))
    };
    let before: u64 = looks().await;
    testkit::eventually("somebody waits", async || looks().await >= before + 2).await;
}

/// Sends a form of so many bytes with the key `k`.
async fn send(world: &World, who: &Person, boundary: &str, length: usize, body: impl Into<Body>) -> Answer {
    let request = world.post("/api/media/").bearer_auth(&who.token).header("idempotency-key", "k");
    let request = request.header("content-type", format!("multipart/form-data; boundary={boundary}"));
    world.ask(request.header("content-length", length).body(body)).await
}

/// A body whose second half comes when it is told to.
fn halting(whole: &[u8]) -> (Body, oneshot::Sender<()>) {
    let (first, second) = whole.split_at(whole.len() / 2);
    let (first, second) = (first.to_vec(), second.to_vec());
    let (go, told) = oneshot::channel::<()>();
    let second = stream::once(async move {
        let _ = told.await;
        Ok::<_, Infallible>(second)
    });
    (Body::wrap_stream(stream::iter([Ok(first)]).chain(second)), go)
}

#[tokio::test]
async fn a_large_answer_is_given_whole_and_the_write_happens_once() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let post = world.post_of(&ana, "Hola").await;
    let long = "🐂".repeat(10_000);
    let mut tops = Vec::new();
    for _ in 0..20 {
        let form = json!({ "post": post, "content": long });
        tops.push(world.call(Method::POST, "/api/foro/comments/", &ana.token, form).await.body["id"].clone());
    }
    let path = format!("/api/foro/posts/{post}/");
    let change = async |key: &str, title: &str| {
        let request = world.request(Method::PATCH, &path).bearer_auth(&ana.token).header("idempotency-key", key);
        world.ask(request.json(&json!({ "title": title }))).await
    };
    let first = change("k1", "Buenas").await;
    assert!(first.status == 200 && first.text.len() > 800_000, "{} {}", first.status, first.text.len());
    let again = change("k1", "Buenas").await;
    assert_eq!((again.status, again.header(REPLAYED)), (200, "true"));
    assert_eq!(again.body, first.body);

    // Too much to be kept: what was done is not done again, and the client is told so.
    for parent in &tops {
        for _ in 0..2 {
            let form = json!({ "post": post, "parent": parent, "content": long });
            assert_eq!(world.call(Method::POST, "/api/foro/comments/", &ana.token, form).await.status, 201);
        }
    }
    let first = change("k2", "Adiós").await;
    assert!(first.status == 200 && first.text.len() > 2 << 20, "{} {}", first.status, first.text.len());
    assert_eq!(first.body["title"], json!("Adiós"));
    change("k3", "Después").await;
    let again = change("k2", "Adiós").await;
    let words =
        "Lo que se pidió con esta Idempotency-Key ya se hizo. Su respuesta era demasiado grande para repetirla.";
    assert_eq!((again.status, &again.body), (409, &json!({ "detail": words })));
    assert_eq!(world.anybody(&path).await.body["title"], json!("Después"));
    assert_eq!(change("k2", "Otra").await.status, 400);
}

#[tokio::test]
async fn of_one_persons_answers_only_so_many_bytes_are_kept_and_others_notice_nothing() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let post = world.post_of(&ana, "Hola").await;
    let long = "🐂".repeat(10_000);
    for _ in 0..35 {
        let form = json!({ "post": post, "content": long });
        assert_eq!(world.call(Method::POST, "/api/foro/comments/", &ana.token, form).await.status, 201);
    }
    let change = async |key: usize| {
        let request = world.request(Method::PATCH, &format!("/api/foro/posts/{post}/")).bearer_auth(&ana.token);
        let request = request.header("idempotency-key", key).json(&json!({ "title": "Buenas" }));
        world.ask(request).await
    };
    // Written as text a third longer, nine of them have more than 16 MiB.
    for key in 0..9 {
        let first = change(key).await;
        assert!(first.status == 200 && first.text.len() > 1_400_000, "{} {}", first.status, first.text.len());
    }
    let again = change(7).await;
    assert_eq!((again.status, again.header(REPLAYED)), (200, "true"));
    // It was done, and is not done again.
    assert_eq!(change(8).await.status, 409);

    assert_eq!(write(&world, &world.base, &beto).await.status, 201);
    assert_eq!(write(&world, &world.base, &beto).await.header(REPLAYED), "true");
    let mut redis = redis(&world).await;
    let counts: Vec<String> = redis.keys("plaza:kept:*").await.expect("Redis answers");
    assert_eq!(counts.len(), 2);
    for count in counts {
        let seconds: i64 = redis.ttl(&count).await.expect("Redis answers");
        assert!((86_000..=86_400).contains(&seconds), "{count} ends in {seconds} s");
    }
}

#[tokio::test]
async fn who_buys_six_times_at_once_with_one_key_gets_one_order_six_times() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    world.offers(&ana, json!({})).await;
    let buy = async |path: &str| {
        let request = world.post(path).bearer_auth(&beto.token).header("idempotency-key", "compra");
        world.ask(request.json(&json!({}))).await
    };
    let paths = ["/api/adds/1/purchase/", "/api/adds/1/purchase"];
    let answers = future::join_all(paths.iter().cycle().take(6).map(|path| buy(path))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (201, &answers[0].body), "{answer}");
    }
    assert_eq!(answers.iter().filter(|answer| answer.header(REPLAYED) == "true").count(), 5);
    assert_eq!(world.read("/api/orders/", &beto.token).await.body["count"], json!(1));
}

#[tokio::test]
async fn an_upload_that_is_sent_again_meanwhile_waits_for_the_first() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let whole = upload("aaaa", &photo(1));
    let length = whole.len();
    let (slow, go) = halting(&whole);
    let first = send(&world, &ana, "aaaa", length, slow);
    let second = async {
        begun(&world).await;
        let second = send(&world, &ana, "bbbb", length, upload("bbbb", &photo(1)));
        let (second, ()) = tokio::join!(second, async {
            waiting(&world).await;
            go.send(()).expect("the first is still being sent");
        });
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status, second.status), (201, 201), "{first} {second}");
    assert_eq!((&second.body["id"], second.header(REPLAYED)), (&first.body["id"], "true"));

    // Another picture of the same length is something else.
    let mut other = photo(1);
    other.iter_mut().rev().skip(20).take(20).for_each(|byte| *byte ^= 1);
    let other = send(&world, &ana, "aaaa", length, upload("aaaa", &other)).await;
    let words = "La Idempotency-Key ya se usó con otro contenido.";
    assert_eq!((other.status, &other.body), (400, &json!({ "detail": words })));
    assert_eq!(world.read("/api/media/", &ana.token).await.body["count"], json!(1));
}

#[tokio::test]
async fn who_waited_for_an_upload_that_came_to_nothing_is_served_instead() {
    let world = World::with(&["--body-pause-seconds", "1"]).await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let whole = upload("aaaa", &photo(1));
    let length = whole.len();
    let (stalling, _never) = halting(&whole);
    let first = send(&world, &ana, "aaaa", length, stalling);
    let second = async {
        begun(&world).await;
        send(&world, &ana, "aaaa", length, whole.clone()).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status, second.status), (408, 201), "{first} {second}");
    assert_eq!(second.header(REPLAYED), "");
}

#[tokio::test]
async fn an_upload_that_broke_off_may_come_again() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let whole = upload("aaaa", &photo(1));
    let (first, length) = (whole[..whole.len() / 2].to_vec(), whole.len());
    let breaking = stream::iter([Ok(first), Err(std::io::Error::other("the train is in a tunnel"))]);
    let request = world.post("/api/media/").bearer_auth(&ana.token).header("idempotency-key", "k");
    let request = request.header("content-type", "multipart/form-data; boundary=aaaa").header("content-length", length);
    let broken = request.body(Body::wrap_stream(breaking)).send().await;
    assert!(broken.is_err(), "{broken:?}");
    let again = send(&world, &ana, "aaaa", length, whole).await;
    assert_eq!((again.status, again.header(REPLAYED)), (201, ""), "{again}");
}

/// An edge whose clients wait two seconds, and everything that is to be written waits for the lock's end.
struct Slow {
    base: String,
    holder: PgConnection,
}

impl Slow {
    async fn start(world: &World) -> Self {
        let (base, _) = world.another_edge(&["--request-seconds", "2"]);
        testkit::eventually("another edge answers", async || {
            world.http.get(format!("{base}/health/")).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        let mut holder = PgConnection::connect(&world.databases["forum"].url).await.expect("the database answers");
        let lock = "begin; lock table posts in access exclusive mode";
        holder.execute(lock).await.expect("the table is locked");
        Self { base, holder }
    }

    async fn end(mut self) {
        self.holder.execute("rollback").await.expect("the table is free");
    }
}

/// Writes a post with the key `k`.
async fn write(world: &World, base: &str, who: &Person) -> Answer {
    let request = world.http.post(format!("{base}/api/foro/posts/")).bearer_auth(&who.token);
    let request = request.header("idempotency-key", "k").json(&json!({ "title": "Hola", "content": "Texto" }));
    world.ask(request).await
}

#[tokio::test]
async fn what_takes_longer_than_its_client_waits_is_done_once_and_its_answer_kept() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let slow = Slow::start(&world).await;
    assert_eq!(write(&world, &slow.base, &ana).await.status, 504);
    slow.end().await;
    let again = write(&world, &world.base, &ana).await;
    assert_eq!((again.status, again.header(REPLAYED)), (201, "true"), "{again}");
    assert_eq!(world.anybody("/api/foro/posts/").await.body["count"], json!(1));
}

#[tokio::test]
async fn a_key_stays_taken_while_nobody_knows_what_became_of_its_request() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let slow = Slow::start(&world).await;
    assert_eq!(write(&world, &slow.base, &ana).await.status, 504);
    // The third one asks when the work has been given up, too.
    for _ in 0..3 {
        let busy = write(&world, &slow.base, &ana).await;
        let words = "Una solicitud con la misma Idempotency-Key está en curso.";
        assert_eq!((busy.status, &busy.body), (409, &json!({ "detail": words })));
    }
    slow.end().await;
    // In the end somebody is served.
    let served = write(&world, &world.base, &ana).await;
    assert_eq!((served.status, served.header(REPLAYED)), (201, ""), "{served}");
    assert_eq!(world.anybody("/api/foro/posts/").await.body["count"], json!(1));
}
