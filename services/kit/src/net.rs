//! Connections between services: TCP with mutual TLS, plain TCP inside Linkerd, or memory in tests. Whoever accepts
//! one learns the peer's name once, at the handshake.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::Stop;
use crate::cork::Corked;
use crate::identity::Peer;
use crate::tls::Tls;

const HANDSHAKE: Duration = Duration::from_secs(5);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection of either side.
pub struct Conn {
    io: Corked<Box<dyn Io>>,
    info: ConnInfo,
}

/// What the server knows of a connection; every request on it carries this in its extensions.
#[derive(Clone, Debug, Default)]
pub struct ConnInfo {
    /// The service on the other end, if its certificate says so.
    pub peer: Option<Peer>,
    pub address: Option<SocketAddr>,
}

impl Conn {
    fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, info: ConnInfo) -> Self {
        Self { io: Corked::new(Box::new(io)), info }
    }
}

impl Connected for Conn {
    type ConnectInfo = ConnInfo;

    fn connect_info(&self) -> ConnInfo {
        self.info.clone()
    }
}

impl AsyncRead for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Connections as they are accepted, until `stop`. Handshakes run beside each other, so that a slow one holds up nobody.
pub fn accept(listener: TcpListener, tls: Option<Tls>, stop: Stop) -> ReceiverStream<io::Result<Conn>> {
    let (send, receive) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let (tls, send) = (tls.clone(), send.clone());
                    tokio::spawn(async move {
                        match tokio::time::timeout(HANDSHAKE, greet(stream, address, tls)).await {
                            Ok(Ok(conn)) => drop(send.send(Ok(conn)).await),
                            Ok(Err(error)) => tracing::debug!(%address, %error, "handshake failed"),
                            Err(_) => tracing::debug!(%address, "handshake took too long"),
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: it passes, and spinning would not help.
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    ReceiverStream::new(receive)
}

async fn greet(stream: TcpStream, address: SocketAddr, tls: Option<Tls>) -> io::Result<Conn> {
    stream.set_nodelay(true)?;
    let address = Some(address);
    match tls {
        None => Ok(Conn::new(stream, ConnInfo { peer: None, address })),
        Some(tls) => {
            let stream = tls.accept(stream).await?;
            let peer = Tls::peer(&stream);
            Ok(Conn::new(stream, ConnInfo { peer, address }))
        }
    }
}

/// Whom limits count an address for: an IPv4 address is a customer, and of IPv6 every customer has a whole /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// How to reach a service.
#[derive(Clone)]
pub enum Dial {
    /// Host and port; with TLS the certificate must be that of the service `name`.
    Tcp { authority: Arc<str>, name: Arc<str>, tls: Option<Tls> },
    /// A server in this process that listens on the other end of [`memory`]; it sees us as `peer`.
    Memory { server: mpsc::Sender<io::Result<Conn>>, peer: Option<Peer> },
}

impl Dial {
    pub(crate) async fn connect(&self) -> io::Result<Conn> {
        match self {
            Dial::Tcp { authority, name, tls } => {
                let stream = tokio::time::timeout(HANDSHAKE, TcpStream::connect(&**authority)).await??;
                stream.set_nodelay(true)?;
                match tls {
                    None => Ok(Conn::new(stream, ConnInfo::default())),
                    Some(tls) => {
                        let stream = tokio::time::timeout(HANDSHAKE, tls.connect(name, stream)).await??;
                        Ok(Conn::new(stream, ConnInfo::default()))
                    }
                }
            }
            Dial::Memory { server, peer } => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                let info = ConnInfo { peer: peer.clone(), address: None };
                let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
                server.send(Ok(Conn::new(theirs, info))).await.map_err(gone)?;
                Ok(Conn::new(ours, ConnInfo::default()))
            }
        }
    }
}

/// A listener in memory and the sender that dials it.
pub fn memory() -> (mpsc::Sender<io::Result<Conn>>, ReceiverStream<io::Result<Conn>>) {
    let (send, receive) = mpsc::channel(16);
    (send, ReceiverStream::new(receive))
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn one_customer_is_one_network() {
        let of = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(of("203.0.113.7"), "203.0.113.7");
        assert_eq!(of("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(of("2001:db8:0:1::7"), "2001:db8:0:1::");
        assert_eq!(of("2001:db8:0:1:ffff::9"), of("2001:db8:0:1::7"));
        assert_ne!(of("2001:db8:0:2::7"), of("2001:db8:0:1::7"));
    }
}
