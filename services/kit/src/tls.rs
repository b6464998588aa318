//! Mutual TLS outside of Linkerd: one CA per installation, a certificate per service that names it as
//! `spiffe://plaza/<service>` for identity and as a DNS name for the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

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

/// Both sides of mutual TLS for one service. Certificates that are renewed on the disk are taken without a restart.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// The CA's certificate, our chain, our key.
    files: [PathBuf; 3],
    sides: RwLock<Sides>,
}

struct Sides {
    /// What was read.
    pem: [Vec<u8>; 3],
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    /// From PEM files: the CA's certificate, our chain, our key.
    pub fn load(ca: &Path, cert: &Path, key: &Path) -> anyhow::Result<Self> {
        let files = [ca, cert, key].map(Path::to_owned);
        let sides = RwLock::new(Sides::new(read(&files)?)?);
        Ok(Self(Arc::new(Inner { files, sides })))
    }

    /// Reads the files again, for the connections that begin from now on; whether they say something else than before.
    /// After an error, as when only one of them is replaced yet, everything stays.
    pub fn renew(&self) -> anyhow::Result<bool> {
        let pem = read(&self.0.files)?;
        if self.0.sides.read().expect("nothing panics under this lock").pem == pem {
            return Ok(false);
        }
        let sides = Sides::new(pem)?;
        *self.0.sides.write().expect("nothing panics under this lock") = sides;
        Ok(true)
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let acceptor = self.0.sides.read().expect("nothing panics under this lock").acceptor.clone();
        acceptor.accept(stream).await
    }

    pub(crate) async fn connect(&self, name: &str, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connector = self.0.sides.read().expect("nothing panics under this lock").connector.clone();
        connector.connect(name, stream).await
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

fn read(files: &[PathBuf; 3]) -> anyhow::Result<[Vec<u8>; 3]> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    let [ca, cert, key] = files;
    Ok([read(ca)?, read(cert)?, read(key)?])
}

impl Sides {
    fn new(pem: [Vec<u8>; 3]) -> anyhow::Result<Self> {
        let [ca, cert, key] = &pem;
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
        let (acceptor, connector) = (Arc::new(server).into(), Arc::new(client).into());
        Ok(Self { pem, acceptor, connector })
    }
}

/// The URI that names a service in its certificate.
pub fn spiffe(service: &str) -> String {
    format!("{SPIFFE}{service}")
}
