//! What happens before the first request: configuration, migrations; and what the database's errors become.

use std::path::PathBuf;
use std::process::Command;

use clap::Parser;
use futures_util::future::join_all;
use kit::db::{OnConstraint, connect, migrate};
use kit::error::already_exists;
use kit::{Error, config};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testkit::Database;
use tonic::Code;
use uuid::Uuid;

use crate::NO_TABLES;

#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    service: config::Service,
}

/// Set for the second process below.
const CHILD: &str = "KIT_TEST_CHILD";

/// The environment belongs to a process, so each case gets one: this very test again, which then tells what it read.
#[test]
fn every_variable_may_also_name_a_file() {
    if std::env::var_os(CHILD).is_some() {
        match config::try_parse_from::<Settings>(["kit", "--listen=127.0.0.1:4001"]) {
            Ok(Settings { service }) => {
                let secret = service.mesh.secret.derive("test");
                println!(
                    "READ {} {:02x}{:02x} {:?}",
                    service.database_url, secret[0], secret[1], service.mesh.redis_url
                );
            }
            Err(error) => println!("REFUSED {}", error.to_string().replace('\n', " ")),
        }
        return;
    }
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.0.join(name), text).expect("written");
        folder.0.join(name).display().to_string()
    };
    let secret = file("secret", "0123456789abcdef0123456789abcdef\n");
    let database = file("database", "postgres://from-a-file/users\n");
    let read = |variables: &[(&str, &str)]| {
        let output = Command::new(std::env::current_exe().expect("we run"))
            .args(["--exact", "start::every_variable_may_also_name_a_file", "--nocapture", "--test-threads=1"])
            .env_clear()
            .env(CHILD, "1")
            .envs(variables.iter().copied())
            .output()
            .expect("it ran");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let at = text.find("READ").or(text.find("REFUSED")).unwrap_or_else(|| panic!("{text}"));
        text[at..].lines().next().unwrap_or_default().to_owned()
    };

    let plain = "0123456789abcdef0123456789abcdef";
    let by_value = read(&[("PLAZA_SECRET", plain), ("DATABASE_URL", "postgres://from-a-file/users")]);
    let by_file = read(&[("PLAZA_SECRET_FILE", &secret), ("DATABASE_URL_FILE", &database)]);
    assert!(by_value.starts_with("READ postgres://from-a-file/users"), "{by_value}");
    assert_eq!(by_file, by_value, "without the line's end");

    // The variable itself wins over its file.
    let both =
        read(&[("PLAZA_SECRET", plain), ("DATABASE_URL", "postgres://given/x"), ("DATABASE_URL_FILE", &database)]);
    assert!(both.starts_with("READ postgres://given/x"), "{both}");

    let missing = read(&[("PLAZA_SECRET_FILE", "/nowhere/secret"), ("DATABASE_URL", "x")]);
    assert!(missing.starts_with("REFUSED") && missing.contains("PLAZA_SECRET_FILE"), "{missing}");
    let short = read(&[("PLAZA_SECRET_FILE", &file("short", "too short")), ("DATABASE_URL", "x")]);
    assert!(short.starts_with("REFUSED") && short.contains("32 characters"), "{short}");
    assert!(read(&[("PLAZA_SECRET", plain)]).starts_with("REFUSED"), "the database has no default");
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("kit-start-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn any_number_of_replicas_may_migrate_at_once() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("0001_things.sql"), "create table things (id bigint); select pg_sleep(0.1);").unwrap();
    std::fs::write(folder.0.join("0002_first.sql"), "insert into things values (1);").unwrap();
    let migrator = Migrator::new(folder.0.clone()).await.unwrap();
    // Empty, unlike what testkit hands out.
    let server = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL server");
    let name = format!("kit_{}", Uuid::now_v7().simple());
    let mut admin = PgConnection::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("create database {name} template template0"))).execute(&mut admin).await.unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);

    let replicas = (0..4).map(|_| async {
        let db = connect(&url, 2, "kit").await?;
        migrate(&db, &migrator).await?;
        // And the next start finds nothing to do.
        migrate(&db, &migrator).await?;
        let things: i64 = sqlx::query_scalar("select count(*) from things").fetch_one(&db).await?;
        let timeout: String = sqlx::query_scalar("show statement_timeout").fetch_one(&db).await?;
        anyhow::Ok((things, timeout))
    });
    for replica in join_all(replicas).await {
        assert_eq!(replica.unwrap(), (1, "20s".to_owned()));
    }
}

#[tokio::test]
async fn a_constraint_becomes_the_clients_error_and_everything_else_stays_ours() {
    let database = Database::fresh("kit", &NO_TABLES).await;
    let db = connect(&database.url, 2, "kit").await.unwrap();
    sqlx::query("create table things (id bigint constraint things_once unique)").execute(&db).await.unwrap();
    let insert = async |id: i64| sqlx::query("insert into things values ($1)").bind(id).execute(&db).await;
    let once = || already_exists("THING_EXISTS", "there is one");
    insert(1).await.unwrap();
    assert_eq!(insert(1).await.on_constraint("things_once", once).unwrap_err().reason(), "THING_EXISTS");
    let other = insert(1).await.on_constraint("another", once);
    assert_eq!(other.unwrap_err().code(), Code::Internal);
    let second = insert(1).await.on_constraint("another", once).on_constraint("things_once", once);
    assert_eq!(second.unwrap_err().reason(), "THING_EXISTS");

    // A NUL in a text is the client's mistake, not ours.
    for sql in ["select $1::text", "select to_jsonb($1::text)", "select ('\"' || $1 || '\"')::jsonb"] {
        for text in ["a\0b", "a\\u0000b"] {
            let Err(error) = sqlx::query(sql).bind(text).execute(&db).await else { continue };
            assert_eq!(Error::from(error).code(), Code::InvalidArgument, "{sql} {text:?}");
        }
    }
    db.close().await;
    assert_eq!(Error::from(insert(2).await.unwrap_err()).code(), Code::Unavailable);
}
