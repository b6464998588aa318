//! Writes of one pass, in one go. HTTP/2's frames come one by one: h2 writes an answer's head and its message, flushes, and
//! writes its trailers, and for a hundred streams does so a hundred times before it looks for input again. Each write is a
//! record of TLS, a call of the kernel, and often a peer that is woken for a part of what it waits for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that may wait. More goes out at once.
const MOST: usize = 64 << 10;
/// Bytes that a connection which has nothing to write keeps room for.
const KEPT: usize = 16 << 10;

/// A connection that puts off a flush until its task looks for input again or flushes without having written: at the latest
/// in the task's next turn, for which it is woken, so what is written waits for nothing but this process. Whoever drops it
/// without a shutdown drops what was put off as well.
pub struct Corked<T> {
    io: T,
    waiting: Vec<u8>,
    /// How much of it is written.
    written: usize,
    /// A flush was asked for, and nothing has come since.
    asked: bool,
}

impl<T: AsyncWrite + Unpin> Corked<T> {
    pub fn new(io: T) -> Self {
        Self { io, waiting: Vec::new(), written: 0, asked: false }
    }

    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.waiting.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.waiting[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT);
        }
        self.waiting.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Sends all of it, to the last layer below.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.asked = false;
        Poll::Ready(Ok(()))
    }

    /// Makes room for so many bytes; whether that many may wait.
    fn room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        if self.waiting.len() + bytes > MOST {
            ready!(self.drain(cx))?;
        }
        self.asked = false;
        Poll::Ready(Ok(bytes <= MOST))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Who waits for input now may never flush again, as in a handshake.
        let sent = if self.asked { self.send(cx) } else { Poll::Pending };
        match (Pin::new(&mut self.io).poll_read(cx, buf), sent) {
            // What has come is read first: a peer that takes nothing any more may have answered before it went.
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (read, _) => read,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !ready!(self.room(cx, buf.len()))? {
            return Pin::new(&mut self.io).poll_write(cx, buf);
        }
        self.waiting.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = bufs.iter().map(|buf| buf.len()).sum();
        if !ready!(self.room(cx, bytes))? {
            return Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        }
        bufs.iter().for_each(|buf| self.waiting.extend_from_slice(buf));
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.asked && !self.waiting.is_empty() {
            self.asked = true;
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        self.send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    /// What was written, by call, to a peer that takes only so many bytes, and what it says.
    #[derive(Default)]
    struct Peer {
        writes: Vec<Vec<u8>>,
        flushed: bool,
        takes: usize,
        says: Vec<u8>,
        gone: bool,
    }

    impl AsyncRead for Peer {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if self.says.is_empty() {
                return Poll::Pending;
            }
            buf.put_slice(&std::mem::take(&mut self.says));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            if self.gone {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let takes = buf.len().min(self.takes);
            if takes == 0 {
                return Poll::Pending;
            }
            self.takes -= takes;
            self.writes.push(buf[..takes].to_vec());
            Poll::Ready(Ok(takes))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushed = true;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// A connection, and a task that notes whether it was woken since the last question.
    struct Turn(Corked<Peer>, Arc<Woken>);

    impl Turn {
        fn new(takes: usize) -> Self {
            Self(Corked::new(Peer { takes, ..Peer::default() }), Arc::default())
        }

        fn on<R>(&mut self, work: impl FnOnce(Pin<&mut Corked<Peer>>, &mut Context<'_>) -> R) -> R {
            let waker = Waker::from(self.1.clone());
            work(Pin::new(&mut self.0), &mut Context::from_waker(&waker))
        }

        fn write(&mut self, bytes: &[u8]) -> Poll<usize> {
            self.on(|io, cx| io.poll_write(cx, bytes).map(Result::unwrap))
        }

        fn flush(&mut self) -> Poll<()> {
            self.on(|io, cx| io.poll_flush(cx).map(Result::unwrap))
        }

        /// What there is to read.
        fn read(&mut self) -> Poll<io::Result<Vec<u8>>> {
            let mut room = [0; 16];
            let mut room = ReadBuf::new(&mut room);
            self.on(|io, cx| io.poll_read(cx, &mut room)).map_ok(|()| room.filled().to_vec())
        }

        fn woken(&self) -> bool {
            self.1.0.swap(false, Ordering::SeqCst)
        }
    }

    #[test]
    fn what_is_written_before_a_flush_without_news_goes_out_at_once() {
        let mut turn = Turn::new(usize::MAX);
        assert_eq!(turn.write(b"head and message"), Poll::Ready(16));
        assert_eq!((turn.flush(), turn.woken()), (Poll::Ready(()), true));
        let slices = [IoSlice::new(b", "), IoSlice::new(b"trailers")];
        assert_eq!(turn.on(|io, cx| io.poll_write_vectored(cx, &slices).map(Result::unwrap)), Poll::Ready(10));
        assert_eq!((turn.flush(), turn.woken()), (Poll::Ready(()), true));
        assert!(turn.0.io.writes.is_empty());
        // Nothing came meanwhile.
        assert_eq!((turn.flush(), turn.woken()), (Poll::Ready(()), false));
        assert_eq!((&*turn.0.io.writes, turn.0.io.flushed), (&[b"head and message, trailers".to_vec()][..], true));
        assert_eq!((turn.flush(), turn.woken()), (Poll::Ready(()), false));
    }

    #[test]
    fn who_reads_after_a_flush_has_sent_what_waited() {
        let mut turn = Turn::new(usize::MAX);
        assert_eq!(turn.write(b"hello"), Poll::Ready(5));
        assert!(turn.read().is_pending() && turn.0.io.writes.is_empty());
        // As h2 does: two flushes of one pass, and then it reads.
        assert_eq!(turn.flush(), Poll::Ready(()));
        assert_eq!(turn.write(b", you"), Poll::Ready(5));
        assert_eq!(turn.flush(), Poll::Ready(()));
        assert!(turn.read().is_pending() && turn.0.io.flushed);
        assert_eq!(turn.0.io.writes, [b"hello, you".to_vec()]);
        assert!(turn.read().is_pending());
        assert_eq!(turn.0.io.writes.len(), 1);
    }

    #[test]
    fn what_a_peer_said_before_it_went_is_read() {
        let mut turn = Turn::new(usize::MAX);
        turn.0.io.says = b"an answer".to_vec();
        turn.0.io.gone = true;
        assert_eq!(turn.write(b"thanks"), Poll::Ready(6));
        assert_eq!(turn.flush(), Poll::Ready(()));
        assert!(matches!(turn.read(), Poll::Ready(Ok(read)) if read == b"an answer"));
        assert!(matches!(turn.read(), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn a_peer_that_takes_little_gets_everything_in_its_order() {
        let mut turn = Turn::new(3);
        assert_eq!(turn.write(b"abcde"), Poll::Ready(5));
        assert_eq!(turn.flush(), Poll::Ready(()));
        assert_eq!(turn.flush(), Poll::Pending);
        // There is room for more, behind what waits.
        assert_eq!(turn.write(b"fg"), Poll::Ready(2));
        turn.0.io.takes = 100;
        let large = vec![b'x'; MOST];
        assert_eq!(turn.write(&large), Poll::Ready(MOST));
        assert_eq!(turn.0.io.writes.concat(), b"abcdefg");
        turn.0.io.takes = 0;
        assert_eq!(turn.write(b"y"), Poll::Pending);
        turn.0.io.takes = usize::MAX;
        assert_eq!(turn.on(|io, cx| io.poll_shutdown(cx).map(Result::unwrap)), Poll::Ready(()));
        assert_eq!(turn.0.io.writes.concat(), [&b"abcdefg"[..], &large].concat());
        // With nothing to write there is no need for all that room.
        assert!(turn.0.waiting.capacity() >= MOST);
        assert_eq!(turn.flush(), Poll::Ready(()));
        assert!(turn.0.waiting.capacity() <= KEPT);
    }

    #[test]
    fn what_is_larger_than_all_that_may_wait_does_not_wait() {
        let mut turn = Turn::new(usize::MAX);
        let large = vec![b'x'; MOST + 1];
        assert_eq!(turn.write(b"a"), Poll::Ready(1));
        assert_eq!(turn.write(&large), Poll::Ready(MOST + 1));
        assert_eq!(turn.0.io.writes, [b"a".to_vec(), large]);
        assert_eq!((turn.flush(), turn.woken(), turn.0.io.flushed), (Poll::Ready(()), false, true));
    }
}
