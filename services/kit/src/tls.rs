//! Mutual TLS outside of Linkerd: one CA per installation, a certificate per service that names it as
//! `spiffe://plaza/<service>` for identity and as a DNS name for the handshake.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::identity::Peer;

const SPIFFE: &str = "spiffe://plaza/";

/// Both sides of mutual TLS for one service.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    /// From PEM files: the CA's certificate, our chain, our key.
    pub fn load(ca: &Path, cert: &Path, key: &Path) -> anyhow::Result<Self> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
        Self::from_pem(&read(ca)?, &read(cert)?, &read(key)?)
    }

    /// From PEM texts.
    pub fn from_pem(ca: &[u8], cert: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(ca) {
            roots.add(root.context("the CA's certificate")?)?;
        }
        let roots = Arc::new(roots);
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(cert).collect::<Result<_, _>>().context("our certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key).context("our key")?;

        let clients = WebPkiClientVerifier::builder(roots.clone()).build()?;
        let mut server = ServerConfig::builder()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }

    pub(crate) async fn connect(&self, name: &str, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }

    /// The service that the client's certificate names.
    pub(crate) fn peer(stream: &server::TlsStream<TcpStream>) -> Option<Peer> {
        let leaf = stream.get_ref().1.peer_certificates()?.first()?;
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        let names = leaf.subject_alternative_name().ok()??;
        names.value.general_names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => Some(Peer(uri.strip_prefix(SPIFFE)?.into())),
            _ => None,
        })
    }
}

/// The URI that names a service in its certificate.
pub fn spiffe(service: &str) -> String {
    format!("{SPIFFE}{service}")
}
