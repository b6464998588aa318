//! A socket and its stream, one task for both. It waits for whatever comes first; while the client does not take what it
//! is sent, nothing is read from `chat`, which then knows how far behind this reader is. Nothing here waits in a queue
//! that could grow.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{FutureExt, SinkExt};
use tokio::time::{Instant, timeout};

use crate::Edge;
use crate::socket::upstream::{Ending, Event, Upstream, some_of};
use crate::socket::{Asks, Fault, Manners, Out, Speech};

/// A client that takes nothing for so long is given up.
const STUCK: Duration = Duration::from_secs(30);
/// No socket lives longer.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a client may take to answer a close.
const GOODBYE: Duration = Duration::from_secs(2);
/// What a client is told of a frame that was not read to its end.
const TOO_LARGE: u16 = 1009;
/// Of words that are no text, and of bytes that are no frames.
const NO_TEXT: u16 = 1007;
const NO_FRAME: u16 = 1002;
/// Frames of `chat` that are written before what the client says is heard again, and how long that may go on: who takes
/// them slowly is heard, asked and told of our going in between.
const TOGETHER: (usize, Duration) = (32, Duration::from_secs(1));

/// Why a socket ends.
enum End {
    /// We close it.
    Close(u16, &'static str),
    /// The client has closed it, or is gone.
    Gone,
    /// The client answers no more, so a word would not reach it.
    Silent,
}

/// Boxed from its birth: what is moved into a task takes its room twice.
pub(super) struct Bridge<S> {
    edge: Edge,
    socket: WebSocket,
    upstream: Box<Upstream>,
    speech: S,
    watch: Watch,
}

impl<S: Speech> Bridge<S> {
    pub(super) fn new(edge: Edge, socket: WebSocket, upstream: Box<Upstream>, speech: S) -> Box<Self> {
        Box::new(Self { edge, socket, upstream, speech, watch: Watch::new(&S::MANNERS, Instant::now()) })
    }

    pub(super) async fn run(mut self: Box<Self>) {
        let end = match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        match end {
            End::Close(code, reason) => {
                Box::pin(close(self.socket, CloseFrame { code, reason: reason.into() })).await;
            }
            // A client that says goodbye waits for an answer, which leaves while we look for more.
            End::Gone => drop(timeout(GOODBYE, self.socket.recv()).await),
            // Its end, should it live after all, sees a connection that broke: 1006, and not a code of ours.
            End::Silent => {}
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let mut stop = std::pin::pin!(self.edge.stop.clone().cancelled_owned());
        let mut alarm = std::pin::pin!(tokio::time::sleep_until(self.watch.due()));
        loop {
            // What is done is boxed, so that a socket that waits has no room for it.
            tokio::select! {
                event = self.upstream.next() => Box::pin(self.pass_on(event)).await?,
                message = self.socket.recv(), if self.upstream.has_room() => match message {
                    Some(Ok(message)) => Box::pin(self.hear(message)).await?,
                    Some(Err(error)) => return Err(unreadable(error)),
                    None => return Err(End::Gone),
                },
                () = &mut alarm => {
                    Box::pin(self.look_at_the_clock()).await?;
                    alarm.as_mut().reset(self.watch.due());
                }
                () = &mut stop, if self.watch.leaves.is_none() => {
                    // Not all at once, or all clients would come back to the same replica at once.
                    let wait = some_of(Duration::from_secs(self.edge.config.mesh.grace_seconds) / 2);
                    self.watch.leaves = Some(Instant::now() + wait);
                    let farewell = self.speech.farewell(wait);
                    Box::pin(self.write([farewell])).await?;
                    alarm.as_mut().reset(self.watch.due());
                }
            }
        }
    }

    /// Writes a frame of `chat`, and those that are there already.
    async fn pass_on(&mut self, event: Event) -> Result<(), End> {
        let began = Instant::now();
        let mut next = Some(event);
        let mut written = 0;
        while let Some(event) = next.take() {
            let frame = match event {
                Event::Frame(frame) => *frame,
                Event::Over(ending) => return Err(self.over(ending)),
            };
            let said = self.speech.say(frame).await;
            self.feed(said).await?;
            written += 1;
            if written < TOGETHER.0 && began.elapsed() < TOGETHER.1 {
                next = self.upstream.next().now_or_never();
            }
        }
        self.flush().await
    }

    fn over(&self, ending: Ending) -> End {
        match ending {
            Ending::SignedOut => End::Close(4401, "session ended"),
            Ending::Removed => End::Close(4403, "no longer in the room"),
            Ending::Banned => End::Close(4403, "chat is restricted"),
            Ending::TooSlow => End::Close(1013, "too slow, reload"),
            Ending::Away => End::Close(1013, "try again later"),
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        self.watch.heard(Instant::now());
        let text = match message {
            Message::Text(text) if text.len() > S::MANNERS.largest => return self.refuse(Fault::TooLarge).await,
            Message::Text(text) => text,
            Message::Binary(_) => return self.refuse(Fault::Binary).await,
            // Answered below us, where answers that the client does not take would wait for each other.
            Message::Ping(_) => return self.flush().await,
            Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(End::Gone),
        };
        let (kind, asks) = self.speech.hear(&text);
        note::<S>("in", kind);
        match asks {
            Asks::Chat(said) => self.upstream.say(said),
            Asks::Answer(answer) => self.write([answer]).await?,
            Asks::Nothing => {}
        }
        Ok(())
    }

    async fn refuse(&mut self, fault: Fault) -> Result<(), End> {
        note::<S>("in", "refused");
        let refusal = self.speech.refuse(fault);
        self.write([refusal]).await
    }

    async fn look_at_the_clock(&mut self) -> Result<(), End> {
        match self.watch.look(Instant::now()) {
            Some(Due::Ask) => {
                self.send(Message::Ping(Default::default())).await?;
                self.flush().await
            }
            Some(Due::Close(code, reason)) => Err(End::Close(code, reason)),
            Some(Due::GiveUp) => Err(End::Silent),
            None => Ok(()),
        }
    }

    async fn write(&mut self, frames: impl IntoIterator<Item = Out>) -> Result<(), End> {
        self.feed(frames).await?;
        self.flush().await
    }

    async fn feed(&mut self, frames: impl IntoIterator<Item = Out>) -> Result<(), End> {
        for Out { kind, text } in frames {
            note::<S>("out", kind);
            self.send(Message::Text(text.into())).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        taken(timeout(STUCK, self.socket.feed(message)).await)
    }

    async fn flush(&mut self) -> Result<(), End> {
        taken(timeout(STUCK, self.socket.flush()).await)
    }
}

/// What the time has come for.
#[derive(Debug, PartialEq)]
enum Due {
    /// Asking the client whether it lives.
    Ask,
    Close(u16, &'static str),
    /// It has not answered.
    GiveUp,
}

/// What happens to a socket because time passes.
struct Watch {
    ask_after: Duration,
    /// How long the client may owe an answer.
    answer_within: Duration,
    born: Instant,
    /// When the client last said anything, pongs among it, and when it was last asked.
    heard: Instant,
    asked: Instant,
    /// When it was first asked since it was heard. It is given up for silence only if it was asked: what it is sent may
    /// take longer than silence is borne.
    owes: Option<Instant>,
    /// When it will be closed because we go away.
    leaves: Option<Instant>,
}

impl Watch {
    fn new(manners: &Manners, now: Instant) -> Self {
        let Manners { ask_after, give_up_after, .. } = *manners;
        let answer_within = give_up_after - ask_after;
        Self { ask_after, answer_within, born: now, heard: now, asked: now, owes: None, leaves: None }
    }

    fn heard(&mut self, now: Instant) {
        (self.heard, self.owes) = (now, None);
    }

    fn ask(&self) -> Instant {
        self.heard.max(self.asked) + self.ask_after
    }

    /// When to look at it next.
    fn due(&self) -> Instant {
        let give_up = self.owes.map(|since| since + self.answer_within);
        let next = self.ask().min(self.born + LIFE);
        [give_up, self.leaves].into_iter().flatten().fold(next, Instant::min)
    }

    fn look(&mut self, now: Instant) -> Option<Due> {
        if self.leaves.is_some_and(|at| now >= at) {
            return Some(Due::Close(1001, "going away"));
        }
        if now >= self.born + LIFE {
            return Some(Due::Close(1000, "24 hours are over"));
        }
        if self.owes.is_some_and(|since| now >= since + self.answer_within) {
            return Some(Due::GiveUp);
        }
        if now < self.ask() {
            return None;
        }
        self.asked = now;
        self.owes.get_or_insert(now);
        Some(Due::Ask)
    }
}

/// What the client sent could not be read, and what comes after it cannot either.
fn unreadable(error: axum::Error) -> End {
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => End::Close(TOO_LARGE, "frame too large"),
        Some(Error::Utf8(_)) => End::Close(NO_TEXT, "text is UTF-8"),
        Some(Error::Protocol(ResetWithoutClosingHandshake)) => End::Gone,
        Some(Error::Protocol(_)) => End::Close(NO_FRAME, "no frame"),
        _ => End::Gone,
    }
}

fn taken(written: Result<Result<(), axum::Error>, tokio::time::error::Elapsed>) -> Result<(), End> {
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Close(1013, "too slow, reload")),
    }
}

/// Says why, and waits a moment for the client to have heard it: a connection that is dropped at once may take the last
/// words along.
pub(super) async fn close(mut socket: WebSocket, frame: CloseFrame) {
    let unread = [TOO_LARGE, NO_TEXT, NO_FRAME].contains(&frame.code);
    let goodbye = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
            if unread {
                // Nothing is read any more, so its answer is not seen either; and what lies unread makes the system reset
                // the connection as soon as it is dropped.
                std::future::pending::<()>().await;
            }
        }
    };
    let _ = timeout(GOODBYE, goodbye).await;
}

fn note<S: Speech>(direction: &'static str, kind: &'static str) {
    let dialect = S::MANNERS.dialect;
    metrics::counter!("socket_frames_total", "dialect" => dialect, "direction" => direction, "type" => kind)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agrovet's, and Conectar's.
    const MANNERS: [Manners; 2] = [manners(20, 50), manners(30, 90)];

    const fn manners(ask: u64, give_up: u64) -> Manners {
        let (ask_after, give_up_after) = (Duration::from_secs(ask), Duration::from_secs(give_up));
        Manners { dialect: "", largest: 0, ask_after, give_up_after }
    }

    /// What happens to a client, and after how many seconds. It answers each question after so many, if at all; while
    /// it is `busy` with what it was sent nobody looks at the clock.
    fn happens(manners: &Manners, answers: Option<u64>, busy: std::ops::Range<u64>) -> Vec<(u64, Due)> {
        let born = Instant::now();
        let at = |second: u64| born + Duration::from_secs(second);
        let mut watch = Watch::new(manners, born);
        let (mut happened, mut answer) = (Vec::new(), None);
        for second in 0..=2 * LIFE.as_secs() {
            if busy.contains(&second) {
                continue;
            }
            if answer.take_if(|then| second >= *then).is_some() {
                watch.heard(at(second));
            }
            while at(second) >= watch.due() {
                let Some(due) = watch.look(at(second)) else { panic!("woken for nothing after {second} s") };
                if due == Due::Ask {
                    answer = answers.map(|wait| second + wait);
                }
                let over = due != Due::Ask;
                happened.push((second, due));
                if over {
                    return happened;
                }
            }
        }
        panic!("nobody lives for two days");
    }

    #[test]
    fn who_never_answers_is_asked_and_given_up_in_time() {
        let [agrovet, conectar] = MANNERS.each_ref().map(|manners| happens(manners, None, 0..0));
        assert_eq!(agrovet, [(20, Due::Ask), (40, Due::Ask), (50, Due::GiveUp)]);
        // The third question and the end fall together.
        assert_eq!(conectar, [(30, Due::Ask), (60, Due::Ask), (90, Due::GiveUp)]);
    }

    #[test]
    fn who_answers_lives_for_a_day_and_no_longer() {
        for manners in &MANNERS {
            let mut happened = happens(manners, Some(1), 0..0);
            assert_eq!(happened.pop(), Some((86_400, Due::Close(1000, "24 hours are over"))));
            assert!(happened.iter().all(|(_, due)| *due == Due::Ask));
            let answered = manners.ask_after.as_secs() + 1;
            assert_eq!(happened.len() as u64, 86_399 / answered, "asked only after silence");
        }
    }

    #[test]
    fn who_was_not_asked_in_time_is_asked_before_it_is_given_up() {
        for manners in &MANNERS {
            // Longer than silence is borne it was sent what it took slowly, and nobody looked at the clock.
            let mut happened = happens(manners, Some(5), 1..100);
            assert_eq!(happened.remove(0), (100, Due::Ask));
            assert_eq!(happened.pop().map(|(second, _)| second), Some(86_400), "it answered and lives");
            let happened = happens(manners, None, 1..100);
            let wait = (manners.give_up_after - manners.ask_after).as_secs();
            assert_eq!(happened.last(), Some(&(100 + wait, Due::GiveUp)));
        }
    }

    #[test]
    fn whoever_is_told_to_leave_leaves_then() {
        let now = Instant::now();
        let mut watch = Watch::new(&MANNERS[0], now);
        let then = now + Duration::from_secs(7);
        watch.leaves = Some(then);
        assert_eq!((watch.due(), watch.look(now)), (then, None));
        assert_eq!(watch.look(then), Some(Due::Close(1001, "going away")));
    }
}
