//! A platform into which a dump is brought, and what must hold in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;
use uuid::Uuid;

use crate::platform::{Folder, Platform, plaza, said};

/// Everybody's.
pub(super) const PASSWORD: &str = "Toro-bravo-7";

/// Somebody with an account, as the monolith and we know them.
pub(super) struct Person {
    pub(super) number: i64,
    pub(super) token: String,
    pub(super) phone: String,
}

/// A platform into which a dump is brought.
pub(super) struct World {
    pub(super) folder: Folder,
    pub(super) platform: Platform,
}

impl World {
    pub(super) fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let platform = Platform::start(&folder.0, &["--ephemeral", "--rate-limits", "off", "--no-demo"]);
        Self { folder, platform }
    }

    pub(super) async fn person(&self, name: &str, phone: &str) -> Person {
        self.register(name, phone, Some("consumer")).await
    }

    /// Somebody who has a profile only with a role.
    pub(super) async fn register(&self, name: &str, phone: &str, role: Option<&str>) -> Person {
        let form = json!({
            "phone_number": phone, "password": PASSWORD, "role": role, "full_name": name, "last_name": "Ensayo",
        });
        let answer = Client::new().post(self.platform.url("/api/auth/register/")).json(&form).send().await.unwrap();
        let (status, made) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let token = made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let number = made["user"]["id"].as_i64().unwrap();
        self.joined(number, if role.is_some() { 2 } else { 1 }).await;
        Person { number, token, phone: phone.to_owned() }
    }

    /// Waits for the communities that somebody has by the role: they are an event away.
    pub(super) async fn joined(&self, number: i64, communities: i64) {
        let mut forum = self.database("forum").await;
        let mut memberships = 0_i64;
        while memberships < communities {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let count = sqlx::query_scalar("select count(*) from memberships where user_number = $1");
            memberships = count.bind(number).fetch_one(&mut forum).await.unwrap();
        }
    }

    /// Status and answer of a login.
    pub(super) async fn try_login(&self, phone: &str, password: &str) -> (StatusCode, Value) {
        let form = json!({ "phone_number": phone, "password": password });
        let answer = Client::new().post(self.platform.url("/api/auth/login/")).json(&form).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// The token of somebody with the usual password.
    pub(super) async fn login(&self, phone: &str) -> String {
        let (status, answer) = self.try_login(phone, PASSWORD).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// A picture's number.
    pub(super) async fn picture(&self, token: &str) -> i64 {
        self.file(token, "media").await
    }

    /// A picture's number, in a folder.
    pub(super) async fn file(&self, token: &str, folder: &'static str) -> i64 {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(8, 8).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let form = Form::new().part("image", Part::bytes(bytes.into_inner()).file_name("toro.png"));
        let form = form.text("folder", folder);
        let request = Client::new().post(self.platform.url("/api/media/")).bearer_auth(token).multipart(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["id"].as_i64().unwrap_or_else(|| panic!("{answer}"))
    }

    pub(super) async fn read(&self, path: &str, token: &str) -> Value {
        let (status, body) = self.try_read(path, token).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(super) async fn try_read(&self, path: &str, token: &str) -> (StatusCode, Value) {
        let answer = Client::new().get(self.platform.url(path)).bearer_auth(token).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    pub(super) async fn delete(&self, path: &str, token: &str) {
        let answer = Client::new().delete(self.platform.url(path)).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
    }

    /// Waits until `auth` knows which roles are held.
    pub(super) async fn settled(&self) {
        let mut profiles = self.database("profiles").await;
        let mut waiting = 1_i64;
        while waiting > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            waiting = sqlx::query_scalar("select count(*) from holds").fetch_one(&mut profiles).await.unwrap();
        }
    }

    pub(super) async fn write(&self, path: &str, token: &str, body: Value) -> Value {
        let request = Client::new().post(self.platform.url(path)).bearer_auth(token).json(&body);
        let answer = request.send().await.unwrap();
        let (status, body): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    pub(super) fn dump(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Begins to import a file.
    pub(super) fn begin_import(&self, file: &Path, more: &[&str]) -> Child {
        let dir = self.platform.text("data_dir");
        let args = ["import", "agrovet", file.to_str().unwrap(), "--data-dir", dir];
        plaza(&args).args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Imports a file; the exit code and everything that was said.
    pub(super) fn import(&self, file: &Path, more: &[&str]) -> (Option<i32>, String) {
        let dir = self.platform.text("data_dir").to_owned();
        let mut args = vec!["import", "agrovet", file.to_str().unwrap(), "--data-dir", &dir];
        args.extend(more);
        said(&args)
    }

    pub(super) async fn database(&self, service: &str) -> PgConnection {
        let mut url = Url::parse(self.platform.text("database_url")).unwrap();
        url.set_path(&format!("plaza_{service}"));
        PgConnection::connect(url.as_str()).await.unwrap()
    }

    /// Makes files those of somebody who has a number in a dump and no account yet, as if they had been brought before.
    pub(super) async fn bring(&self, number: i64, files: &[i64]) {
        let owner = Uuid::from_u128(0x706c_617a_6103_8000_8000_0000_0000_0000 | number as u128);
        let brought = sqlx::query("update files set owner_id = $1 where number = any($2)").bind(owner).bind(files);
        brought.execute(&mut self.database("media").await).await.unwrap();
    }

    /// Everything that an import could change, and the outboxes.
    pub(super) async fn state(&self) -> Vec<(String, i64, Option<String>)> {
        let mut state = Vec::new();
        for (service, tables) in [
            ("auth", &["accounts"][..]),
            ("users", &["people"]),
            ("media", &["files", "blobs", "outbox"]),
            ("profiles", &["profiles", "welcomed", "outbox"]),
            ("marketplace", &["categories", "ads", "follows", "words", "outbox"]),
            ("chat", &["rooms", "members", "messages", "marks", "read_ahead", "outbox"]),
            ("forum", &["communities", "memberships", "posts", "comments", "reactions", "interactions", "outbox"]),
        ] {
            let mut database = self.database(service).await;
            for table in tables {
                // When an event leaves is nobody's doing here.
                let rows = if *table == "outbox" { "(select id from outbox)" } else { table };
                let all = format!("select count(*), md5(string_agg(t::text, '|' order by t::text)) from {rows} t");
                let (count, hash) = sqlx::query_as(AssertSqlSafe(all)).fetch_one(&mut database).await.unwrap();
                state.push((format!("{service}.{table}"), count, hash));
            }
        }
        state
    }

    /// Statements that find what must not be.
    pub(super) async fn find_nothing(&self, service: &str, statements: &[&'static str]) {
        let mut database = self.database(service).await;
        for statement in statements {
            let found: i64 = sqlx::query_scalar(*statement).fetch_one(&mut database).await.unwrap();
            assert_eq!(found, 0, "{statement}");
        }
    }

    /// What holds in every chat and every forum.
    pub(super) async fn is_consistent(&self) {
        self.find_nothing(
            "chat",
            &[
                "select count(*) from rooms r where last_sequence <> (select count(*) from messages where room_id = r.id)",
                "select count(*) from (
                     select sequence, change, sent_change, created_at,
                         row_number() over (partition by room_id order by sequence) as place,
                         lag(created_at) over (partition by room_id order by sequence) as before
                     from messages
                 ) m where sequence <> place or change <> place or sent_change <> place or created_at < before",
                "select count(*) from rooms r where last_change <> last_sequence or last_activity_at is distinct from
                     (select max(created_at) from messages where room_id = r.id)",
                "select count(*) from rooms r where members_count <>
                     (select count(*) from members where room_id = r.id and left_at is null)",
                "select count(*) from members m join rooms r on r.id = m.room_id
                 where read_through > delivered_through or delivered_through > last_sequence",
                "select count(*) from marks k join members m using (room_id, user_id)
                 where k.through > case when k.read then m.read_through else m.delivered_through end",
                "select count(*) from read_ahead a join members m using (room_id, user_id)
                 where a.sequence <= m.read_through",
            ],
        )
        .await;
        self.find_nothing(
            "forum",
            &[
                "select count(*) from communities c where
                     (members_count, posts_count) is distinct from (
                         (select count(*) from memberships where community_id = c.id and left_at is null),
                         (select count(*) from posts where community_id = c.id and removed_at is null))",
                "select count(*) from posts p where (comments_count, hearts, likes, dislikes) is distinct from (
                     (select count(*) from comments where post_id = p.id),
                     (select count(*) from reactions where post_id = p.id and type = 'HEART'),
                     (select count(*) from reactions where post_id = p.id and type = 'LIKE'),
                     (select count(*) from reactions where post_id = p.id and type = 'DISLIKE'))",
                "select count(*) from comments c where (replies_count, hearts, likes, dislikes) is distinct from (
                     (select count(*) from comments where parent_id = c.id),
                     (select count(*) from reactions where comment_id = c.id and type = 'HEART'),
                     (select count(*) from reactions where comment_id = c.id and type = 'LIKE'),
                     (select count(*) from reactions where comment_id = c.id and type = 'DISLIKE'))",
                "select count(*) from comments c join comments p on p.id = c.parent_id where c.depth <> p.depth + 1",
                "select count(*) from posts p where last_activity_at <> greatest(created_at,
                     (select max(created_at) from comments where post_id = p.id))",
                "select count(*) from (
                     select user_id, author_id, comments, reactions from interactions
                     union all
                     select c.author_id, p.author_id, -count(*), 0 from comments c join posts p on p.id = c.post_id
                         group by 1, 2
                     union all
                     select r.user_id, p.author_id, 0, -count(*) from reactions r join posts p on p.id = r.post_id
                         group by 1, 2
                 ) told group by user_id, author_id having sum(comments) <> 0 or sum(reactions) <> 0
                 union all select 0 limit 1",
            ],
        )
        .await;
    }
}
