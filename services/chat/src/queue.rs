//! What waits for one reader. It is bounded in bytes: what nobody misses goes first, and a reader who still lags is told
//! to read the rest from the database.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use prost::Message as _;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::{ClosingReason, ServerFrame};
use tokio::sync::Notify;
use uuid::Uuid;

/// Bytes of frames that may wait for one reader.
const MOST: usize = 256 << 10;
/// What a waiting frame costs besides its bytes on the wire.
const OVERHEAD: usize = 64;

/// A frame on its way to every reader of a room; they share it.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) frame: ServerFrame,
    pub(crate) room: Uuid,
    /// The room's change it tells, of a durable frame; others may be dropped.
    pub(crate) change: Option<i64>,
    /// Whether it can be read from the database although it is no change.
    receipt: bool,
    size: usize,
}

impl Parcel {
    pub(crate) fn new(room: Uuid, frame: ServerFrame) -> Arc<Self> {
        let change = Some(frame.change).filter(|change| *change > 0);
        let receipt = matches!(frame.frame, Some(Frame::Receipt(_)));
        Arc::new(Self { room, change, receipt, size: frame.encoded_len() + OVERHEAD, frame })
    }
}

/// What a reader finds when it looks.
pub(crate) enum Next {
    Parcel(Arc<Parcel>),
    /// Frames were dropped: read on from the database.
    Behind,
    /// A room was entered or left by the person whose inbox this is.
    Rooms,
    /// The person was banned from moderated rooms.
    Banned,
    Closing(ClosingReason),
}

/// One reader's queue.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    ready: Notify,
    closed: Notify,
}

#[derive(Default)]
struct Waiting {
    parcels: VecDeque<Arc<Parcel>>,
    bytes: usize,
    behind: bool,
    rooms: bool,
    banned: bool,
    closing: Option<ClosingReason>,
}

impl Queue {
    pub(crate) fn push(&self, parcel: &Arc<Parcel>) {
        let mut waiting = self.lock();
        if waiting.behind && parcel.change.is_some() {
            // It will be read from the database with those before it.
            return;
        }
        if waiting.bytes + parcel.size > MOST {
            if parcel.change.is_none() {
                metrics::counter!("chat_frames_dropped_total", "kind" => "ephemeral").increment(1);
                // The reader, who has much to read before, finds receipts in the database.
                waiting.behind |= parcel.receipt;
                return;
            }
            waiting.drop_ephemeral();
        }
        if waiting.bytes + parcel.size > MOST {
            metrics::counter!("chat_readers_behind_total").increment(1);
            waiting.parcels.clear();
            waiting.bytes = 0;
            waiting.behind = true;
        } else {
            waiting.bytes += parcel.size;
            waiting.parcels.push_back(parcel.clone());
        }
        drop(waiting);
        self.ready.notify_one();
    }

    /// Tells the reader to go; what waits is not read any more.
    pub(crate) fn close(&self, reason: ClosingReason) {
        self.lock().closing.get_or_insert(reason);
        self.ready.notify_one();
        self.closed.notify_waiters();
    }

    /// Waits until the reader is told to go, without taking anything.
    pub(crate) async fn closing(&self) -> ClosingReason {
        loop {
            // Before the look, so that nothing in between is missed.
            let closed = self.closed.notified();
            let closing = self.lock().closing;
            if let Some(reason) = closing {
                return reason;
            }
            closed.await;
        }
    }

    /// Tells the reader that the person's rooms are others now.
    pub(crate) fn rooms_changed(&self) {
        self.lock().rooms = true;
        self.ready.notify_one();
    }

    /// Tells the reader of a ban, after what waits: the message that led to it is among that.
    pub(crate) fn banned(&self) {
        self.lock().banned = true;
        self.ready.notify_one();
    }

    /// Tells the reader to look at the database, as after frames that nobody heard.
    pub(crate) fn fall_behind(&self) {
        self.lock().behind = true;
        self.ready.notify_one();
    }

    /// The next thing for the reader; waits for it. May be dropped while it waits.
    pub(crate) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.lock().next() {
                return next;
            }
            self.ready.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics under this lock")
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Next> {
        if let Some(reason) = self.closing {
            return Some(Next::Closing(reason));
        }
        if std::mem::take(&mut self.rooms) {
            return Some(Next::Rooms);
        }
        if let Some(parcel) = self.parcels.pop_front() {
            self.bytes -= parcel.size;
            return Some(Next::Parcel(parcel));
        }
        // From here on frames wait again: what is committed before the reader looks is in the database, what comes
        // after is here, and what is in both the reader knows by its change.
        if std::mem::take(&mut self.behind) {
            return Some(Next::Behind);
        }
        std::mem::take(&mut self.banned).then_some(Next::Banned)
    }

    /// What nobody misses is gone then, and receipts are read from the database.
    fn drop_ephemeral(&mut self) {
        let before = self.parcels.len();
        self.behind |= self.parcels.iter().any(|parcel| parcel.receipt);
        self.parcels.retain(|parcel| parcel.change.is_some());
        self.bytes = self.parcels.iter().map(|parcel| parcel.size).sum();
        let dropped = (before - self.parcels.len()) as u64;
        metrics::counter!("chat_frames_dropped_total", "kind" => "ephemeral").increment(dropped);
    }
}

#[cfg(test)]
mod tests {
    use proto::chat::v1::{Message, ReceiptNews, Typing};

    use super::*;

    fn durable(change: i64, bytes: usize) -> Arc<Parcel> {
        let message = Message { text: "x".repeat(bytes), ..Message::default() };
        Parcel::new(Uuid::nil(), ServerFrame { change, frame: Some(Frame::Message(message)), ..ServerFrame::default() })
    }

    fn typing() -> Arc<Parcel> {
        let frame = Some(Frame::Typing(Typing { active: true, ..Typing::default() }));
        Parcel::new(Uuid::nil(), ServerFrame { frame, ..ServerFrame::default() })
    }

    async fn changes(queue: &Queue) -> Vec<Option<i64>> {
        let mut seen = Vec::new();
        while let Some(next) = { queue.lock().next() } {
            match next {
                Next::Parcel(parcel) => seen.push(parcel.change),
                Next::Behind => seen.push(Some(-1)),
                Next::Rooms | Next::Banned | Next::Closing(_) => break,
            }
        }
        seen
    }

    #[tokio::test]
    async fn what_nobody_misses_goes_first() {
        let queue = Queue::default();
        for _ in 0..10_000 {
            queue.push(&typing());
        }
        queue.push(&durable(1, 200 << 10));
        assert_eq!(changes(&queue).await, [Some(1)]);
    }

    #[tokio::test]
    async fn a_receipt_that_was_dropped_is_read_from_the_database() {
        let receipt = || {
            let frame = Some(Frame::Receipt(ReceiptNews::default()));
            Parcel::new(Uuid::nil(), ServerFrame { frame, ..ServerFrame::default() })
        };
        let fill = |queue: &Queue| (0..10_000).for_each(|_| queue.push(&typing()));
        let (before, after) = (Queue::default(), Queue::default());
        before.push(&receipt());
        fill(&before);
        before.push(&durable(1, 200 << 10));
        assert_eq!(changes(&before).await, [Some(1), Some(-1)]);
        after.push(&durable(1, 255 << 10));
        after.push(&durable(2, 800));
        for _ in 0..10 {
            after.push(&receipt());
        }
        let heard = changes(&after).await;
        assert_eq!((heard[0], heard[1], heard.last()), (Some(1), Some(2), Some(&Some(-1))));
    }

    #[tokio::test]
    async fn a_full_queue_sends_its_reader_to_the_database_and_collects_again_afterwards() {
        let queue = Queue::default();
        for change in 1..=10 {
            queue.push(&durable(change, 60 << 10));
        }
        assert_eq!(changes(&queue).await, [Some(-1)]);
        queue.push(&durable(11, 10));
        assert_eq!(changes(&queue).await, [Some(11)]);
    }

    #[tokio::test]
    async fn never_more_than_the_limit_waits() {
        let queue = Queue::default();
        for change in 1..1000 {
            queue.push(&durable(change, (change as usize * 7919) % (40 << 10)));
            queue.push(&typing());
            let waiting = queue.lock();
            assert!(waiting.bytes <= MOST);
            assert_eq!(waiting.bytes, waiting.parcels.iter().map(|parcel| parcel.size).sum::<usize>());
        }
    }

    #[tokio::test]
    async fn who_does_something_else_hears_of_the_closing_too() {
        let queue = Arc::new(Queue::default());
        let told = tokio::spawn({
            let queue = queue.clone();
            async move { queue.closing().await }
        });
        queue.push(&durable(1, 10));
        tokio::task::yield_now().await;
        assert!(!told.is_finished());
        queue.close(ClosingReason::SignedOut);
        assert_eq!(told.await.unwrap(), ClosingReason::SignedOut);
        assert_eq!(queue.closing().await, ClosingReason::SignedOut);
    }

    #[tokio::test]
    async fn closing_is_what_a_reader_hears_from_then_on() {
        let queue = Queue::default();
        queue.push(&durable(1, 10));
        queue.close(ClosingReason::SignedOut);
        queue.close(ClosingReason::Removed);
        for _ in 0..2 {
            assert!(matches!(queue.next().await, Next::Closing(ClosingReason::SignedOut)));
        }
    }
}
