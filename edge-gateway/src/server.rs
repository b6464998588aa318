//! Sockets: HTTP/1 and HTTP/2 (h2c) on the same port, limits against slow clients, and the drain at the end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use kit::Stop;
use kit::cork::Corked;
use kit::service::Mesh;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::Service;

use crate::Config;
use crate::front::Front;

/// How long a client may take to say anything, and to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// How long one that has begun to say which HTTP it speaks may take for the rest.
const REST: Duration = Duration::from_secs(3);
/// Between two looks at what it has said, at first and at last.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];
/// Bytes that wait in the kernel to be sent, before we are asked for more.
const UNSENT: u32 = 128 << 10;
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves until the stop, then drains.
pub async fn serve(mesh: &Mesh, config: &Config, front: Front) -> anyhow::Result<()> {
    let mut listeners = Vec::new();
    for bound in &config.listeners {
        bound.set_nonblocking(true)?;
        listeners.push(TcpListener::from_std(bound.try_clone()?)?);
    }
    if listeners.is_empty() {
        for address in &config.listen {
            listeners.push(TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?);
        }
    }
    mesh.serve_admin(None).await?;
    let graceful = GracefulShutdown::new();
    for listener in &listeners {
        tracing::info!(address = %listener.local_addr()?, "edge serving");
    }
    mesh.ready.set(true);
    join_all(listeners.into_iter().map(|listener| accept(listener, &front, &graceful, &mesh.stop))).await;

    // Balancers look at this; new requests go elsewhere while those in flight end, and sockets are told to.
    mesh.ready.set(false);
    let grace = Duration::from_secs(config.mesh.grace_seconds);
    let ended = async { tokio::join!(graceful.shutdown(), front.edge().sockets.closed()) };
    if timeout(grace, ended).await.is_err() {
        tracing::warn!("some requests or sockets did not end in time");
    }
    mesh.leave().await;
    Ok(())
}

/// Accepts until the stop.
async fn accept(listener: TcpListener, front: &Front, graceful: &GracefulShutdown, stop: &Stop) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => drop(tokio::spawn(connection(stream, address, front.clone(), graceful.watcher()))),
            Err(error) => {
                // Out of file descriptors, most likely: it passes, and spinning would not help.
                tracing::warn!(%error, "accepting a connection failed");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, address: SocketAddr, front: Front, watcher: Watcher) {
    tune(&stream, 2 * front.edge().config.read_pause());
    let Some(http2) = speaks_http2(&stream).await else { return };
    let mut builder = Builder::new(TokioExecutor::new());
    builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(32 << 10)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let mut front = front.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(address);
        async move { front.call(request).await }
    });
    let outcome = if http2 {
        // HTTP/1 writes an answer at once by itself.
        let io = TokioIo::new(Corked::new(stream));
        watcher.watch(builder.serve_connection(io, service).into_owned()).await
    } else {
        watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned()).await
    };
    if let Err(error) = outcome {
        tracing::debug!(%address, %error, "connection ended");
    }
}

/// What cannot be set is not needed: these only make it better.
fn tune(stream: &TcpStream, patience: Duration) {
    // Answers are small and complete; waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    // Else megabytes lie ready for who reads slowly, and between two times that we are asked for more minutes pass.
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    // Who takes nothing at all, and is only there, goes with what waits for them.
    let _ = socket.set_tcp_user_timeout(Some(patience));
}

/// Looks at the first bytes without taking them. hyper's own look has no time limit.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    // Browsers connect before they know what to ask for, so silence may last longer than half a word.
    timeout(HEAD, stream.peek(&mut [0])).await.ok()?.ok()?;
    timeout(REST, begins_with_preface(stream)).await.ok()?
}

async fn begins_with_preface(stream: &TcpStream) -> Option<bool> {
    let mut start = [0; PREFACE.len()];
    let [mut pause, longest] = PAUSES;
    loop {
        let length = stream.peek(&mut start).await.ok()?;
        if length == 0 {
            return None;
        }
        if start[..length] != PREFACE[..length] {
            return Some(false);
        }
        if length == PREFACE.len() {
            return Some(true);
        }
        // The rest of the preface is on its way; `peek` would return the same bytes at once.
        sleep(pause).await;
        pause = longest.min(2 * pause);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A client, and its connection at the server.
    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn who_stops_in_the_middle_of_the_first_word_is_not_waited_for() {
        let (mut client, stream) = connected().await;
        client.write_all(b"P").await.unwrap();
        let began = Instant::now();
        assert_eq!(speaks_http2(&stream).await, None);
        assert!(began.elapsed() < HEAD / 2, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn little_waits_in_the_kernel_for_a_slow_reader() {
        let (_client, stream) = connected().await;
        tune(&stream, Duration::from_secs(60));
        let mut taken = 0;
        while let Ok(Ok(())) = timeout(Duration::from_millis(200), stream.writable()).await {
            taken += stream.try_write(&[0; 16 << 10]).unwrap_or_default();
            assert!(taken < 64 << 20, "nobody reads, and it is taken all the same");
        }
        let socket = SockRef::from(&stream);
        assert_eq!(
            (socket.tcp_notsent_lowat().unwrap(), socket.tcp_user_timeout().unwrap()),
            (UNSENT, Some(Duration::from_secs(60)))
        );
    }

    #[tokio::test]
    async fn a_preface_may_come_in_pieces_and_other_words_are_another_http() {
        for (words, http2) in [(&PREFACE[..], true), (b"POST / HTTP/1.1\r\n", false)] {
            let (mut client, stream) = connected().await;
            client.set_nodelay(true).unwrap();
            let speak = async {
                for byte in words.chunks(1) {
                    client.write_all(byte).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            assert_eq!(tokio::join!(speaks_http2(&stream), speak).0, Some(http2));
        }
    }
}
