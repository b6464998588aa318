//! The platform under test, twice: as separate processes with mutual TLS between them, as on bare machines in
//! production, and as the one process of `plaza up`. Both use the same PostgreSQL and Redis.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use proto::access::v1::Role;
use proto::auth::v1::account_service_client::AccountServiceClient;
use proto::auth::v1::{PasswordRule, Profile, RegisterRequest};
use proto::common::v1::Point;
use proto::marketplace::v1::ad_service_client::AdServiceClient;
use proto::marketplace::v1::{Condition, CreateAdRequest};
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::media::v1::upload_media_request::Part;
use proto::media::v1::{Description, Folder, UploadHeader, UploadMediaRequest};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tonic::Request;
use tonic::transport::Endpoint;

use crate::process::{Process, answers, free_port};

pub(crate) const EDGE: &str = "edge-gateway";
/// In the order they start.
pub(crate) const SERVICES: [&str; 8] = ["auth", "users", "media", "profiles", "forum", "marketplace", "chat", EDGE];
/// What the goal for idle memory is about: those that both communities need.
pub(crate) const FOUNDATION: [&str; 4] = ["auth", "users", "media", EDGE];
const START: Duration = Duration::from_secs(60);

/// What there must be before anything can be measured.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// Where the release binaries are.
    pub(crate) binaries: PathBuf,
    /// Our folder, gone at the end.
    pub(crate) dir: PathBuf,
    /// A PostgreSQL server that we may create databases on.
    pub(crate) database_url: String,
    /// A Redis; its databases 1 and 2 are used.
    pub(crate) redis_url: String,
}

/// A program of the platform. All of them are one file, called by the name of each; RESULTS.md tells what that saves.
pub(crate) fn program(binaries: &Path, name: &str) -> Command {
    let mut command = Command::new(binaries.join("plaza"));
    command.arg0(name);
    command
}

impl Ground {
    fn binary(&self, name: &str) -> Command {
        let mut command = program(&self.binaries, name);
        // Whatever the developer's environment says.
        command
            .env_clear()
            .envs(["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command
    }

    /// The URL of one database of the server.
    pub(crate) fn database(&self, name: &str) -> String {
        let server = self.database_url.rsplit_once('/').map_or(&*self.database_url, |(server, _)| server);
        format!("{server}/{name}")
    }

    /// Two platforms must not share streams of events, so each has a database of Redis.
    fn redis(&self, number: u8) -> String {
        let server = self.redis_url.rsplit_once('/').map_or(&*self.redis_url, |(server, _)| server);
        format!("{server}/{number}")
    }
}

/// Something that answers REST and gRPC of the edge.
pub(crate) struct Platform {
    pub(crate) edge: SocketAddr,
    pub(crate) processes: Vec<Process>,
}

/// How the separate processes are started, for another of them later.
pub(crate) struct Separate {
    ground: Ground,
    peers: String,
}

impl Separate {
    /// Databases, certificates, and every service; returns when all are ready.
    pub(crate) async fn start(ground: &Ground) -> anyhow::Result<(Self, Platform)> {
        let mut postgres = PgConnection::connect(&ground.database_url).await.context("connecting to PostgreSQL")?;
        for name in SERVICES.iter().filter(|name| **name != EDGE) {
            let statement = AssertSqlSafe(format!("create database bench_{name}"));
            sqlx::query(statement).execute(&mut postgres).await?;
        }
        certify(&ground.dir)?;

        let mut addresses = Vec::new();
        for name in SERVICES {
            addresses.push((name, free_port()?, free_port()?));
        }
        let peers: Vec<_> = addresses.iter().map(|(name, listen, _)| format!("{name}=http://{listen}")).collect();
        let separate = Self { ground: ground.clone(), peers: peers.join(",") };
        let mut processes = Vec::new();
        for (name, listen, admin) in &addresses {
            processes.push(Process::start(name, &mut separate.command(name, *listen, *admin), &ground.dir)?);
        }
        for (process, (_, _, admin)) in processes.iter_mut().zip(&addresses) {
            process.wait_until(START, || answers(*admin, "/readyz"))?;
        }
        let edge = addresses.iter().find(|(name, ..)| *name == EDGE).map(|(_, listen, _)| *listen);
        Ok((separate, Platform { edge: edge.context("there is an edge")?, processes }))
    }

    fn command(&self, name: &str, listen: SocketAddr, admin: SocketAddr) -> Command {
        let Ground { dir, .. } = &self.ground;
        let mut command = self.ground.binary(name);
        command
            .current_dir(dir)
            .env("PLAZA_SECRET", "a secret of the bench and of nothing else")
            .env("REDIS_URL", self.ground.redis(1))
            .env("PLAZA_PEERS", &self.peers)
            .env("TLS_CA", dir.join("ca.pem"))
            .env("TLS_CERT", dir.join(format!("{name}.pem")))
            .env("TLS_KEY", dir.join(format!("{name}.key")))
            .env("LISTEN", listen.to_string())
            .env("ADMIN_LISTEN", admin.to_string())
            .env("GRACE_SECONDS", "1")
            .env("LOG_FORMAT", "json");
        match name {
            EDGE => command.env("RATE_LIMITS", "off"),
            _ => command.env("DATABASE_URL", self.ground.database(&format!("bench_{name}"))),
        };
        command
    }

    /// Starts one more of a service and says how long it took until it was ready.
    pub(crate) fn time_to_ready(&self, name: &str) -> anyhow::Result<Duration> {
        let (listen, admin) = (free_port()?, free_port()?);
        let mut command = self.command(name, listen, admin);
        let started = Instant::now();
        let mut process = Process::start(&format!("{name}-again"), &mut command, &self.ground.dir)?;
        process.wait_until(START, || answers(admin, "/readyz"))?;
        Ok(started.elapsed())
    }
}

/// What `plaza up --ready-file` writes, as far as we care.
#[derive(Deserialize)]
struct ReadyFile {
    edge: String,
    data_dir: PathBuf,
}

/// Everything in one process, and its folder.
pub(crate) fn start_plaza(ground: &Ground) -> anyhow::Result<(Platform, PathBuf)> {
    let ready = ground.dir.join("ready.json");
    let mut command = ground.binary("plaza");
    command
        .current_dir(&ground.dir)
        .args(["up", "--ephemeral", "--no-demo", "--rate-limits", "off"])
        .args(["--database-url", &ground.database_url, "--redis-url", &ground.redis(2)])
        .arg("--ready-file")
        .arg(&ready);
    let mut process = Process::start("plaza", &mut command, &ground.dir)?;
    let read = || serde_json::from_slice::<ReadyFile>(&fs::read(&ready).ok()?).ok();
    process.wait_until(START, || read().is_some())?;
    let ReadyFile { edge, data_dir } = read().context("the ready file")?;
    let edge = edge.trim_start_matches("http://").parse().with_context(|| format!("the edge's address, {edge}"))?;
    Ok((Platform { edge, processes: vec![process] }, data_dir))
}

impl Platform {
    /// Makes a person of either community and signs in.
    pub(crate) async fn register(&self, person: &Somebody) -> anyhow::Result<SignedIn> {
        let edge = Endpoint::from_shared(format!("http://{}", self.edge))?.connect().await?;
        let request = RegisterRequest {
            phone: person.phone.clone(),
            email: person.email.clone(),
            password: "Caballo7bateria".into(),
            password_rule: PasswordRule::Mixed.into(),
            role: person.role.into(),
            profile: Some(Profile {
                first_name: Some("Ana Lucía".into()),
                last_name: Some("Rojas Peña".into()),
                bio: Some("Clínica mayor, ganado y caballos; Managua y alrededores.".into()),
                location: Some(Point { latitude: 12.136389, longitude: -86.251389 }),
                ..Profile::default()
            }),
            sign_in: true,
            ..RegisterRequest::default()
        };
        let answer = AccountServiceClient::new(edge).register(request).await.context("registering")?.into_inner();
        let (account, tokens) = answer.account.zip(answer.tokens).context("an account with tokens")?;
        Ok(SignedIn { id: account.id, token: tokens.access_token })
    }
}

impl Platform {
    /// Ads of so many people, of each as many, each with two pictures.
    pub(crate) async fn fill_with_ads(&self, sellers: usize, of_each: usize) -> anyhow::Result<()> {
        let edge = Endpoint::from_shared(format!("http://{}", self.edge))?.connect().await?;
        let (mut media, mut ads) = (MediaServiceClient::new(edge.clone()), AdServiceClient::new(edge));
        let mut people = Vec::new();
        for seller in 0..sellers {
            let phone = Some(format!("505777{seller:05}"));
            people.push(self.register(&Somebody { phone, email: None, role: Role::Specialist }).await?);
        }
        // One after the other, so that a page shows ads of many.
        for ad in 0..sellers * of_each {
            let seller = &people[ad % sellers];
            let mut images = Vec::new();
            for colour in [0, 1] {
                let picture = upload(&pixel([seller.id.as_bytes()[0], ad as u8, colour]));
                let stored = media.upload_media(seller.signed(futures_util::stream::iter(picture))?).await?;
                images.push(stored.into_inner().id);
            }
            let request = CreateAdRequest {
                title: "Semental Brahman de tres años".into(),
                description: "Probado, sano y acostumbrado al lazo. Se puede ver en la finca, cerca de Juigalpa."
                    .into(),
                price_hundredths: 4_500_000 + ad as i64 * 1000,
                category_id: 24,
                condition: Condition::Used.into(),
                location_name: "Juigalpa".into(),
                location: Some(Point { latitude: 12.1063, longitude: -85.3645 }),
                main_image_id: images.swap_remove(0),
                secondary_image_ids: images,
            };
            ads.create_ad(seller.signed(request)?).await.context("publishing an ad")?;
        }
        Ok(())
    }
}

/// The messages of an upload.
fn upload(picture: &[u8]) -> Vec<UploadMediaRequest> {
    let description = Description { name: Some("Semental".into()), ..Description::default() };
    let header = UploadHeader {
        description: Some(description),
        folder: Folder::Media.into(),
        file_name: "semental.gif".into(),
        ..UploadHeader::default()
    };
    let parts = [Part::Header(header), Part::Chunk(picture.to_vec().into())];
    parts.map(|part| UploadMediaRequest { part: Some(part) }).into()
}

/// A GIF of one pixel.
fn pixel(colour: [u8; 3]) -> Vec<u8> {
    let head = b"GIF89a\x01\0\x01\0\x80\0\0";
    let image = b"\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    [&head[..], &colour, image].concat()
}

/// Whom to register.
pub(crate) struct Somebody {
    pub(crate) phone: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) role: Role,
}

pub(crate) struct SignedIn {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl SignedIn {
    fn signed<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        Ok(request)
    }
}

/// A CA and a certificate for each service, as `plaza up` makes them.
pub(crate) fn certify(dir: &Path) -> anyhow::Result<()> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Plaza bench authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    fs::write(dir.join("ca.pem"), authority.pem())?;
    for name in SERVICES {
        let mut service = CertificateParams::default();
        service.subject_alt_names =
            vec![SanType::URI(kit::tls::spiffe(name).as_str().try_into()?), SanType::DnsName(name.try_into()?)];
        service.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        fs::write(dir.join(format!("{name}.pem")), service.signed_by(&key, &authority)?.pem())?;
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}

/// Fails with what to do when a binary is missing.
pub(crate) fn check(binaries: &Path) -> anyhow::Result<()> {
    let path = binaries.join("plaza");
    ensure!(path.exists(), "{} is missing: run `make build`, or the whole of `make bench`", path.display());
    Ok(())
}
