//! The whole platform, fresh for one test.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser;
use kit::Stop;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testkit::{Database, Redis};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::answer::Answer;

const SERVICES: [&str; 8] = ["auth", "users", "media", "profiles", "forum", "marketplace", "chat", "edge-gateway"];
pub(crate) const ADMIN_EMAIL: &str = "root@example.com";
pub(crate) const ADMIN_PHONE: &str = "50500000001";
pub(crate) const PASSWORD: &str = "Campo2026seco";

/// Every service and the edge, on databases and a Redis of their own.
pub(crate) struct World {
    /// `http://127.0.0.1:<port>`.
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    pub(crate) redis: Redis,
    /// Of the services.
    pub(crate) databases: HashMap<&'static str, Database>,
    folder: PathBuf,
    stop: Stop,
    /// What starts another edge.
    edge: Vec<String>,
    chat: Mutex<Chat>,
}

/// The one service that tests restart.
struct Chat {
    config: chat::Config,
    stop: Stop,
    task: JoinHandle<()>,
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) token: String,
    /// The id that the dialect shows: a number for Agrovet, a UUID for Conectar.
    pub(crate) id: Value,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further flags for the edge; rate limits are off unless these turn them on.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        Self::with_media(flags, &[]).await
    }

    /// With further flags for the edge and for media.
    pub(crate) async fn with_media(flags: &[&str], of_media: &[&str]) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let redis = Redis::start().await;
        let folder = std::env::temp_dir().join(format!("plaza-edge-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let stop = Stop::new();
        let mut databases = HashMap::new();
        for (name, migrator) in [
            ("auth", &auth::MIGRATOR),
            ("users", &users::MIGRATOR),
            ("media", &media::MIGRATOR),
            ("profiles", &profiles::MIGRATOR),
            ("forum", &forum::MIGRATOR),
            ("marketplace", &marketplace::MIGRATOR),
            ("chat", &chat::MIGRATOR),
        ] {
            databases.insert(name, Database::fresh(name, migrator).await);
        }
        let url = |name: &str| databases[name].url.clone();

        let sockets = SERVICES.map(|name| (name, TcpListener::bind("127.0.0.1:0").expect("a free port")));
        let port = |socket: &TcpListener| socket.local_addr().expect("it is bound").port();
        let peers: Vec<_> = sockets.iter().map(|(name, s)| format!("{name}=http://127.0.0.1:{}", port(s))).collect();
        let base = format!("http://127.0.0.1:{}", port(&sockets[SERVICES.len() - 1].1));
        let [auth, users, media, profiles, forum, marketplace, chat, edge] =
            sockets.map(|(_, socket)| Arc::new(socket));

        let path = |name: &str| folder.join(name).display().to_string();
        let args = |name: &str, more: Vec<String>| {
            let pki = pki();
            let file = |suffix: &str| pki.join(format!("{name}{suffix}")).display().to_string();
            let mut args = vec![name.to_owned(), "--secret".into(), "a secret of tests and nothing else".into()];
            args.extend(["--redis-url".into(), redis.url.clone(), "--admin-listen".into(), "127.0.0.1:0".into()]);
            args.extend(["--tls-ca".into(), pki.join("ca.pem").display().to_string()]);
            args.extend(["--tls-cert".into(), file(".pem"), "--tls-key".into(), file(".key")]);
            args.extend(["--peer".into(), peers.join(",")]);
            args.extend(more);
            args
        };

        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");

        let mut config = users::Config::parse_from(args("users", vec!["--database-url".into(), url("users")]));
        config.service.listener = Some(users);
        let admin = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        config.service.mesh.admin_listen = admin;
        spawn("users", users::run(config, stop.clone()));
        // `auth` makes the first administrator through `users`; tries that come too early would use up numbers.
        testkit::within(Duration::from_secs(60), "users is ready", async || {
            http.get(format!("http://{admin}/readyz")).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;

        let outbox = format!("file:{}", path("outbox"));
        let mut config = auth::Config::parse_from(args(
            "auth",
            [
                ["--database-url", &url("auth")],
                ["--sms-url", &outbox],
                ["--mail-url", &outbox],
                ["--admin-email", ADMIN_EMAIL],
                ["--admin-phone", ADMIN_PHONE],
                ["--admin-password", PASSWORD],
            ]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        ));
        config.service.listener = Some(auth);
        spawn("auth", auth::run(config, stop.clone()));

        let storage = vec!["--storage-url".into(), format!("file:{}", path("storage"))];
        let database = vec!["--database-url".into(), url("media")];
        let more = of_media.iter().map(|&flag| flag.to_owned()).collect();
        let mut config = media::Config::parse_from(args("media", [database, storage, more].concat()));
        config.service.listener = Some(media);
        spawn("media", media::run(config, stop.clone()));

        let mut more = vec!["--database-url".into(), url("forum")];
        if !flags.contains(&"--rate-limits") {
            more.extend(["--writes-per-minute", "--reactions-per-minute"].map(|flag| format!("{flag}=100000")));
        }
        let mut config = forum::Config::parse_from(args("forum", more));
        config.service.listener = Some(forum);
        spawn("forum", forum::run(config, stop.clone()));
        let database = vec!["--database-url".into(), url("marketplace")];
        let mut config = marketplace::Config::parse_from(args("marketplace", database));
        config.service.listener = Some(marketplace);
        spawn("marketplace", marketplace::run(config, stop.clone()));

        let mut config = profiles::Config::parse_from(args("profiles", vec!["--database-url".into(), url("profiles")]));
        config.service.listener = Some(profiles);
        spawn("profiles", profiles::run(config, stop.clone()));

        let mut more = vec!["--database-url".into(), url("chat")];
        if !flags.contains(&"--rate-limits") {
            more.extend(["--rate".into(), "off".into()]);
        }
        let mut config = chat::Config::parse_from(args("chat", more));
        config.service.listener = Some(chat);
        let chat = Mutex::new(Chat::start(config, &stop));

        let mut more: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        if !flags.contains(&"--rate-limits") {
            more.extend(["--rate-limits".into(), "off".into()]);
        }
        let edge_args = args("edge-gateway", more);
        let mut config = edge_gateway::Config::parse_from(edge_args.clone());
        config.listeners = vec![edge];
        spawn("edge-gateway", edge_gateway::run(config, stop.clone()));

        let world = Self { base, http, redis, databases, folder, stop, edge: edge_args, chat };
        // The first administrator is made once auth and users know each other. Who signs in before that is guessing, and
        // a few guesses close a name for a minute.
        let mut auth = PgConnection::connect(&world.databases["auth"].url).await.expect("the database answers");
        testkit::within(Duration::from_secs(60), "the first administrator is made", async || {
            let made = sqlx::query_scalar("select exists(select from accounts)").fetch_one(&mut auth).await;
            made.expect("accounts can be counted")
        })
        .await;
        testkit::within(Duration::from_secs(60), "the platform is up", async || {
            let credentials = json!({ "phone_number": ADMIN_PHONE, "password": PASSWORD });
            let login = world.http.post(format!("{}/api/auth/login/", world.base)).json(&credentials).send().await;
            login.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        world
    }

    /// Another edge, which ends at its own stop: where it is.
    pub(crate) fn another_edge(&self, flags: &[&str]) -> (String, Stop) {
        self.edge_on(TcpListener::bind("127.0.0.1:0").expect("a free port"), flags)
    }

    /// The same on a socket that somebody has bound.
    pub(crate) fn edge_on(&self, socket: TcpListener, flags: &[&str]) -> (String, Stop) {
        let base = format!("http://{}", socket.local_addr().expect("it is bound"));
        let args = self.edge.iter().map(String::as_str).chain(flags.iter().copied());
        let mut config = edge_gateway::Config::parse_from(args);
        config.listeners = vec![Arc::new(socket)];
        let stop = self.stop.child_token();
        spawn("edge-gateway", edge_gateway::run(config, stop.clone()));
        (base, stop)
    }

    /// Stops `chat` in order; who calls it meanwhile waits for an answer.
    pub(crate) async fn stop_chat(&self) {
        let mut chat = self.chat.lock().await;
        chat.stop.cancel();
        let _ = (&mut chat.task).await;
    }

    pub(crate) async fn start_chat(&self) {
        let mut chat = self.chat.lock().await;
        *chat = Chat::start(chat.config.clone(), &self.stop);
    }

    /// A request to a path at the edge.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Sends it and keeps the answer, for a snapshot.
    pub(crate) async fn ask(&self, request: RequestBuilder) -> Answer {
        Answer::of(request.send().await.expect("the edge answers")).await
    }

    /// Registers somebody in Agrovet and signs them in.
    pub(crate) async fn agrovet(&self, name: &str, phone: &str, role: &str) -> Person {
        let form = json!({
            "phone_number": phone, "password": PASSWORD, "full_name": name, "last_name": "Prueba", "role": role,
        });
        let answer = self.ask(self.post("/api/auth/register/").json(&form)).await;
        assert_eq!(answer.status, 201, "{answer}");
        let token = answer.body["token"].as_str().expect("a token").to_owned();
        Person { token, id: answer.body["user"]["id"].clone() }
    }

    /// Registers somebody in Conectar and signs them in.
    pub(crate) async fn conectar(&self, name: &str, email: &str, role: &str) -> Person {
        let form = json!({ "email": email, "password": PASSWORD, "nombre": name, "apellido": "Prueba", "rol": role });
        let answer = self.ask(self.post("/api/v1/auth/register").json(&form)).await;
        assert_eq!(answer.status, 201, "{answer}");
        let token = self.conectar_login(email, PASSWORD).await;
        Person { token, id: answer.body["id"].clone() }
    }

    pub(crate) async fn conectar_login(&self, email: &str, password: &str) -> String {
        let form = [("username", email), ("password", password)];
        let answer = self.ask(self.post("/api/v1/auth/login").form(&form)).await;
        assert_eq!(answer.status, 200, "{answer}");
        answer.body["access_token"].as_str().expect("a token").to_owned()
    }

    /// The administrator's access token.
    pub(crate) async fn admin(&self) -> String {
        self.conectar_login(ADMIN_EMAIL, PASSWORD).await
    }

    /// The last SMS sent to a phone, once it is there.
    pub(crate) async fn sms(&self, phone: &str) -> String {
        let file = self.folder.join("outbox/sms.jsonl");
        let last = || {
            let lines = std::fs::read_to_string(&file).unwrap_or_default();
            let mut sent = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            sent.rfind(|sms| sms["to"] == phone).map(|sms| sms["text"].as_str().unwrap_or_default().to_owned())
        };
        testkit::eventually("an SMS arrives", async || last().is_some()).await;
        last().expect("it arrived")
    }

    /// The texts of all mails sent so far, once there is one.
    pub(crate) async fn mails(&self) -> Vec<String> {
        let folder = self.folder.join("outbox/mail");
        let all = || {
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let mails = entries.filter(|entry| entry.path().extension().is_some_and(|x| x == "eml"));
            mails.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect::<Vec<_>>()
        };
        testkit::eventually("a mail arrives", async || !all().is_empty()).await;
        all()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Chat {
    fn start(config: chat::Config, stop: &Stop) -> Self {
        let stop = stop.child_token();
        let task = spawn("chat", chat::run(config.clone(), stop.clone()));
        Self { config, stop, task }
    }
}

fn spawn(name: &'static str, service: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = service.await {
            // A test that needs the service fails anyway; this says why.
            eprintln!("{name}: {error:#}");
        }
    })
}

/// A CA and a certificate per service, made once per test binary.
fn pki() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("plaza-pki-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
        std::fs::write(folder.join("ca.pem"), ca.pem()).expect("written");
        for name in SERVICES {
            let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a DNS name");
            let uri = kit::tls::spiffe(name).try_into().expect("ASCII");
            params.subject_alt_names.push(SanType::URI(uri));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &ca).expect("signed");
            std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
            std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
        }
        folder
    })
}
