use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use url::Url;
use uuid::Uuid;

use crate::platform::{Folder, Platform, listens, plaza, said, signal};

async fn log_in(platform: &Platform, phone: &str, password: &str) -> (StatusCode, Value) {
    let body = json!({ "phone_number": phone, "password": password });
    let answer = Client::new().post(platform.url("/api/auth/login/")).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[test]
fn called_by_the_name_of_a_service_it_is_that_service() {
    for (name, variable) in [("/opt/plaza/users", "DATABASE_URL"), ("edge-gateway", "TRUSTED_PROXIES")] {
        let Output { status, stdout, .. } = plaza(&["--help"]).arg0(name).output().unwrap();
        let help = String::from_utf8(stdout).unwrap();
        assert!(status.success() && help.contains(variable) && !help.contains("doctor"), "{name}:\n{help}");
    }
    let (code, help) = said(&["--help"]);
    assert!(code == Some(0) && help.contains("doctor"), "{help}");
}

#[tokio::test]
async fn an_ephemeral_platform_answers_and_leaves_nothing_behind() {
    let folder = Folder::new("ephemeral");
    let mut platform = Platform::start(&folder.0, &["--ephemeral", "--rate-limits", "off"]);
    let names: BTreeSet<_> = platform.ready.as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = ["edge", "admin", "grpc", "data_dir", "database_url", "redis_url", "storage_url"];
    assert_eq!(names, BTreeSet::from(wanted));

    let health = reqwest::get(platform.url("/health/")).await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    let metrics = reqwest::get(format!("{}/metrics", platform.text("admin"))).await.unwrap();
    assert!(metrics.text().await.unwrap().contains("grpc_requests_total"));

    // A demo person of each community, with a picture that is there.
    let (status, ana) = log_in(&platform, "50500000001", "Plaza-demo-1").await;
    assert_eq!(status, StatusCode::OK, "{ana}");
    let picture = ana["user"]["profile_picture"].as_str().unwrap_or_else(|| panic!("{ana}\n{}", platform.output()));
    let picture = reqwest::get(picture).await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/png");
    let form = [("username", "gabriela@example.com"), ("password", "Plaza-demo-1")];
    let gabriela = Client::new().post(platform.url("/api/v1/auth/login")).form(&form).send().await.unwrap();
    assert_eq!(gabriela.status(), StatusCode::OK);

    // What they sell, with pictures that are there too.
    let ads: Value = reqwest::get(platform.url("/api/adds/?status=active")).await.unwrap().json().await.unwrap();
    assert!(ads["count"].as_i64() > Some(200), "{ads}");
    let picture = ads["results"][0]["main_image"]["url"].as_str().unwrap_or_else(|| panic!("{ads}")).to_owned();
    assert_eq!(reqwest::get(picture).await.unwrap().headers()["content-type"], "image/png");

    // Again, nobody is made twice.
    let dir = platform.text("data_dir").to_owned();
    let (code, output) = said(&["seed", "--data-dir", &dir]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("all there already"), "{output}");

    let urls = ["edge", "admin", "database_url", "redis_url"].map(|name| platform.text(name).to_owned());
    assert!(urls.iter().all(|url| listens(url)));
    platform.signal("TERM");
    assert_eq!(platform.ended(), Some(0), "{}", platform.output());
    assert_eq!(urls.iter().find(|url| listens(url)), None);
    assert!(!Path::new(&dir).exists());
    assert!(!folder.0.join("ready.json").exists());
}

#[tokio::test]
async fn a_large_community_is_one_whose_counters_equal_a_recount() {
    let folder = Folder::new("large");
    let platform = Platform::start(&folder.0, &["--ephemeral", "--rate-limits", "off", "--no-demo"]);
    // Twice, because there may be a community already.
    for _ in 0..2 {
        let (code, output) = said(&["seed", "--scale", "0.001", "--data-dir", platform.text("data_dir")]);
        assert_eq!(code, Some(0), "{output}");
    }
    let mut forum = Url::parse(platform.text("database_url")).unwrap();
    forum.set_path("plaza_forum");
    let mut forum = PgConnection::connect(forum.as_str()).await.unwrap();
    for (what, expected) in [
        ("select count(*) from posts", 2_000),
        ("select count(*) from comments", 20_000),
        ("select count(*) from reactions", 40_000),
        (
            "select count(*) from posts p where comments_count <> (select count(*) from comments where post_id = p.id)",
            0,
        ),
        (
            "select count(*) from posts p where hearts + likes + dislikes <>
                (select count(*) from reactions where post_id = p.id)",
            0,
        ),
        (
            "select count(*) from comments c where hearts + likes + dislikes <>
                (select count(*) from reactions where comment_id = c.id)",
            0,
        ),
        (
            "select count(*) from comments c where replies_count <> (select count(*) from comments where parent_id = c.id)",
            0,
        ),
        (
            "select count(*) from communities c where posts_count <> (select count(*) from posts where community_id = c.id)",
            0,
        ),
        (
            "select sum(boost)::bigint - 3 * (select count(*) from comments)
                - 2 * (select count(*) from reactions where post_id is not null) from interactions",
            0,
        ),
    ] {
        let found: i64 = sqlx::query_scalar(what).fetch_one(&mut forum).await.unwrap();
        assert_eq!(found, expected, "{what}");
    }

    // Its people can log in, write, and find what is for sale.
    let (status, somebody) = log_in(&platform, "5050100000001", "Plaza-demo-1").await;
    assert_eq!(status, StatusCode::OK, "{somebody}");
    let ads: Value = reqwest::get(platform.url("/api/adds/?search=tractor")).await.unwrap().json().await.unwrap();
    assert!(ads["count"].as_i64() > Some(0), "{ads}");
    let again = said(&["seed", "--scale", "0", "--data-dir", platform.text("data_dir")]);
    assert!(again.0 == Some(2) && again.1.contains("a number above 0"), "{again:?}");
}

#[tokio::test]
async fn a_platform_survives_being_killed_and_nobody_else_runs_on_its_data() {
    let folder = Folder::new("killed");
    let dir = folder.0.join("data");
    let args = ["--data-dir", dir.to_str().unwrap(), "--port", "0", "--no-demo"];
    let mut platform = Platform::start(&folder.0, &args);
    let form = json!({ "phone_number": "50588887777", "password": "Toro-bravo-7", "role": "consumer" });
    let registered = Client::new().post(platform.url("/api/auth/register/")).json(&form).send().await.unwrap();
    assert_eq!(registered.status(), StatusCode::CREATED);

    let (code, output) = said(&[&["up"][..], &args].concat());
    assert_eq!(code, Some(1));
    assert!(output.contains("a platform already runs on"), "{output}");
    assert!(output.contains(platform.text("edge")), "{output}");

    let edge = platform.text("edge").to_owned();
    platform.signal("KILL");
    platform.ended();
    let begun = Instant::now();
    let mut platform = Platform::start(&folder.0, &args);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(platform.text("edge"), edge);
    assert_eq!(log_in(&platform, "50588887777", "Toro-bravo-7").await.0, StatusCode::OK);

    parked_events_are_listed_replayed_and_dropped(&platform, dir.to_str().unwrap()).await;

    // Without its database it does not pretend to work.
    let pid = fs::read_to_string(dir.join("postgres/postmaster.pid")).unwrap();
    signal(pid.lines().next().unwrap(), "KILL");
    assert_eq!(platform.ended(), Some(1));
    assert!(platform.output().contains("PostgreSQL ended"), "{}", platform.output());

    // Another secret cannot read this data, and is told so.
    let mut other = crate::platform::plaza(&["up", "--data-dir", dir.to_str().unwrap(), "--port", "0"]);
    let output = other.env("PLAZA_SECRET", "x".repeat(40)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not the secret that the data"), "{output:?}");
}

#[tokio::test]
async fn a_platform_whose_redis_dies_ends_and_starts_again() {
    let folder = Folder::new("redis");
    let dir = folder.0.join("data");
    let args = ["--data-dir", dir.to_str().unwrap(), "--port", "0", "--no-demo"];
    let mut platform = Platform::start(&folder.0, &args);
    let form = json!({ "phone_number": "50588887777", "password": "Toro-bravo-7", "role": "consumer" });
    let registered = Client::new().post(platform.url("/api/auth/register/")).json(&form).send().await.unwrap();
    assert_eq!(registered.status(), StatusCode::CREATED);

    // Events would wait for a Redis that nobody starts again, so it says what happened and leaves nothing behind.
    let pid = fs::read_to_string(dir.join("redis/redis.pid")).unwrap();
    signal(pid.trim(), "KILL");
    assert_eq!(platform.ended(), Some(1));
    let output = platform.output();
    assert!(output.contains("Redis ended (signal: 9 (SIGKILL))") && output.contains("redis.log"), "{output}");
    assert!(!output.contains("PostgreSQL ended"), "{output}");
    let urls = ["edge", "admin", "database_url", "redis_url"].map(|name| platform.text(name).to_owned());
    assert_eq!(urls.iter().find(|url| listens(url)), None);
    assert!(!folder.0.join("ready.json").exists());

    let platform = Platform::start(&folder.0, &args);
    assert_eq!(log_in(&platform, "50588887777", "Toro-bravo-7").await.0, StatusCode::OK);
}

async fn parked_events_are_listed_replayed_and_dropped(platform: &Platform, dir: &str) {
    let mut url = Url::parse(platform.text("database_url")).unwrap();
    url.set_path("plaza_media");
    let mut media = PgConnection::connect(url.as_str()).await.unwrap();
    let ids = [Uuid::now_v7(), Uuid::now_v7()];
    for id in ids {
        // Nobody knows this type, so whoever reads it does nothing and is content.
        sqlx::query(
            "insert into parked_events (consumer, event_id, topic, type, key, body, error, attempts)
             values ('media', $1, 'user.events', 'user.tested', '1', $2, 'no luck', 6)",
        )
        .bind(id)
        .bind(json!({ "data": { "colour": "blue" } }))
        .execute(&mut media)
        .await
        .unwrap();
    }
    let [first, second] = ids.map(|id| id.to_string());
    let events = |args: &[&str]| said(&[&["events", "--data-dir", dir], args].concat());

    let (code, listed) = events(&["list"]);
    assert_eq!(code, Some(0), "{listed}");
    assert!(listed.contains(&first) && listed.contains("media: 2 parked"), "{listed}");
    assert!(events(&["show", &first]).1.contains("\"colour\": \"blue\""));

    let (code, replayed) = events(&["replay", &first]);
    assert_eq!((code, replayed.contains("applied")), (Some(0), true), "{replayed}");
    let (code, dropped) = events(&["drop", &second]);
    assert_eq!((code, dropped.contains("dropped")), (Some(0), true), "{dropped}");
    assert!(events(&["list"]).1.contains("media: 0 parked"));
    let (code, again) = events(&["replay", &first]);
    assert_eq!((code, again.contains("no event")), (Some(1), true), "{again}");

    // What a broker has lost leaves once more.
    let lost = Uuid::now_v7();
    let yesterday = "insert into outbox (id, topic, type, key, body, published_at)
         values ($1, 'media.events', 'media.tested', '1', '{}', now() - interval '1 day')";
    sqlx::query(yesterday).bind(lost).execute(&mut media).await.unwrap();
    let since = (chrono::Utc::now() - chrono::TimeDelta::days(2)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let (code, marked) = events(&["republish", "--since", &since, "--service", "media"]);
    assert_eq!((code, marked.contains("to be published once more")), (Some(0), true), "{marked}");
    let again = "select published_at > now() - interval '1 hour' from outbox where id = $1";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, Option<bool>>(again).bind(lost).fetch_one(&mut media).await.unwrap() != Some(true) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it was not published again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
