//! Mutual TLS over real sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use kit::error::Details;
use kit::service::Mesh;
use kit::{Peer, Service, Stop, config, tls};
use proto::auth::v1::GetKeySetRequest;
use proto::auth::v1::key_service_client::KeyServiceClient;
use proto::users::v1::WithdrawUserRequest;
use proto::users::v1::user_service_client::UserServiceClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use testkit::Database;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::NO_TABLES;
use crate::fake::Fake;

/// One installation's CA and the files it made.
struct Pki {
    folder: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("kit-pki-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        std::fs::write(folder.join("ca.pem"), ca.pem()).expect("written");
        Self { folder, ca }
    }

    /// Makes the files of a service whose certificate names it so.
    fn issue(&self, file: &str, dns: &str, uri: &str) {
        let mut params = CertificateParams::new(vec![dns.to_owned()]).expect("a DNS name");
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.ca).expect("signed");
        std::fs::write(self.folder.join(format!("{file}.pem")), certificate.pem()).expect("written");
        std::fs::write(self.folder.join(format!("{file}.key")), key.serialize_pem()).expect("written");
    }

    fn service(&self, name: &str) -> &Self {
        self.issue(name, name, &tls::spiffe(name));
        self
    }

    /// The settings of a service with the certificate `file`.
    fn settings(&self, file: &str, database: &str, users_at: Option<SocketAddr>) -> config::Service {
        #[derive(Parser)]
        struct Settings {
            #[command(flatten)]
            service: config::Service,
        }
        let file = |end: &str| self.folder.join(format!("{file}.{end}")).display().to_string();
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        let mut config = Settings::parse_from([
            "kit",
            "--secret=a secret of tests and nothing else",
            &format!("--database-url={database}"),
            &format!("--tls-ca={}", self.folder.join("ca.pem").display()),
            &format!("--tls-cert={}", file("pem")),
            &format!("--tls-key={}", file("key")),
            &format!("--peer=users=https://{},auth=https://127.0.0.1:1", users_at.unwrap_or(nowhere)),
            "--admin-listen=127.0.0.1:0",
            "--grace-seconds=1",
        ])
        .service;
        // Whatever the developer's environment says.
        config.mesh.redis_url = None;
        config.events_url = None;
        config
    }

    /// A client with the certificate `file` of the service `users`.
    async fn client(&self, name: &'static str, file: &str, users_at: SocketAddr, stop: &Stop) -> Peer {
        let config = self.settings(file, "unused", Some(users_at)).mesh;
        Mesh::join(name, &config, stop.clone()).await.expect("the mesh is joined").peer("users")
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Served {
    address: SocketAddr,
    stop: Stop,
    end: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    async fn end(self) {
        self.stop.cancel();
        self.end.await.expect("no panic").expect("a clean end");
    }
}

/// Serves as `users` with the certificate `file`, from start to drain as a process does.
async fn serve(pki: &Pki, file: &str) -> Served {
    let database = Database::fresh("kit", &NO_TABLES).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut config = pki.settings(file, &database.url, None);
    config.listener = Some(Arc::new(listener));
    let stop = Stop::new();
    let service = Service::start("users", &config, &NO_TABLES, stop.clone()).await.expect("started");
    let end = tokio::spawn(service.serve(Fake::default().routes()));
    Served { address, stop, end }
}

async fn anybody(by: &Peer) -> Result<(), Status> {
    KeyServiceClient::new(by.clone()).get_key_set(GetKeySetRequest {}).await.map(drop)
}

async fn the_service_auth(by: &Peer) -> Result<(), Status> {
    let request = WithdrawUserRequest { id: Uuid::now_v7().to_string() };
    UserServiceClient::new(by.clone()).withdraw_user(request).await.map(drop)
}

#[tokio::test]
async fn a_peer_is_who_its_certificate_says() {
    let pki = Pki::new();
    pki.service("users").service("auth").service("media");
    // Names that only look like `auth`, or say so in the wrong place.
    pki.issue("near", "auth", &tls::spiffe("auth2"));
    pki.issue("elsewhere", "auth", "spiffe://conectar/auth");
    let users = serve(&pki, "users").await;

    let auth = pki.client("auth", "auth", users.address, &users.stop).await;
    anybody(&auth).await.unwrap();
    the_service_auth(&auth).await.unwrap();

    // The certificate counts, not what a process calls itself.
    for file in ["media", "near", "elsewhere"] {
        let other = pki.client("auth", file, users.address, &users.stop).await;
        anybody(&other).await.unwrap();
        assert_eq!(Details::of(&the_service_auth(&other).await.unwrap_err()).reason, "PEERS_ONLY", "{file}");
    }
    users.end().await;
}

#[tokio::test]
async fn a_certificate_of_another_installation_opens_nothing() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    ours.service("users");
    theirs.service("auth");
    // They trust our CA, and show a certificate of their own.
    std::fs::copy(ours.ca_file(), theirs.ca_file()).unwrap();
    let users = serve(&ours, "users").await;
    let intruder = theirs.client("auth", "auth", users.address, &users.stop).await;
    assert_eq!(anybody(&intruder).await.unwrap_err().code(), Code::Unavailable);
    users.end().await;
}

#[tokio::test]
async fn a_server_with_another_services_certificate_is_not_called() {
    let pki = Pki::new();
    pki.service("media").service("auth");
    // `media` listens where `users` should.
    let impostor = serve(&pki, "media").await;
    let auth = pki.client("auth", "auth", impostor.address, &impostor.stop).await;
    assert_eq!(anybody(&auth).await.unwrap_err().code(), Code::Unavailable);
    impostor.end().await;
}

#[tokio::test]
async fn without_a_certificate_or_without_tls_nobody_is_served() {
    let pki = Pki::new();
    pki.service("users");
    let users = serve(&pki, "users").await;

    assert!(!speaks_http2(TcpStream::connect(users.address).await.unwrap()).await);

    let stream = TcpStream::connect(users.address).await.unwrap();
    let name = ServerName::try_from("users").unwrap();
    // In TLS 1.3 the client learns only after its part of the handshake that it was refused.
    if let Ok(stream) = nameless(&pki.ca_file()).connect(name, stream).await {
        assert!(!speaks_http2(stream).await);
    }
    users.end().await;
}

/// A TLS client that shows no certificate.
fn nameless(ca: &Path) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("a CA");
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config).into()
}

/// Whether the other side answers an HTTP/2 preface with its settings.
async fn speaks_http2(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> bool {
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    preface.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let _ = stream.write_all(&preface).await;
    let mut answer = [0; 9];
    // The fourth byte is the frame's type; SETTINGS is 4.
    matches!(stream.read_exact(&mut answer).await, Ok(9) if answer[3] == 4)
}

#[tokio::test]
async fn half_a_configuration_of_tls_is_refused_rather_than_plaintext() {
    let pki = Pki::new();
    pki.service("users");
    let mut config = pki.settings("users", "unused", None).mesh;
    config.tls_ca = None;
    let error = Mesh::join("users", &config, Stop::new()).await.err().expect("refused");
    assert!(error.to_string().contains("TLS_CA"), "{error}");
}

#[test]
fn a_certificate_that_is_none_is_an_error_and_no_panic() {
    let pki = Pki::new();
    for text in ["", "nonsense"] {
        let files = ["ca.pem", "users.pem", "users.key"].map(|name| pki.folder.join(name));
        files.iter().for_each(|file| std::fs::write(file, text).unwrap());
        assert!(tls::Tls::load(&files[0], &files[1], &files[2]).is_err());
    }
}

#[tokio::test]
async fn a_certificate_that_is_renewed_on_the_disk_is_shown_without_a_restart() {
    let pki = Pki::new();
    pki.service("users");
    let [ca, certificate, key] = ["ca.pem", "users.pem", "users.key"].map(|name| pki.folder.join(name));
    let tls = tls::Tls::load(&ca, &certificate, &key).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), Stop::new());
    let _accepted = kit::net::accept(listener, Some(tls.clone()), stop.clone());
    let shown = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = nameless(&ca).connect(ServerName::try_from("users").unwrap(), stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = shown().await;
    assert!(!tls.renew().unwrap());

    // In the middle of a renewal, key and certificate do not fit.
    let old = std::fs::read(&certificate).unwrap();
    pki.service("users");
    let new = std::fs::read(&certificate).unwrap();
    std::fs::write(&certificate, old).unwrap();
    assert!(tls.renew().is_err());
    assert_eq!(shown().await, first);

    std::fs::write(&certificate, new).unwrap();
    assert!(tls.renew().unwrap());
    assert_ne!(shown().await, first);
    stop.cancel();
}
