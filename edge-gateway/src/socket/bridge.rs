//! A socket and its stream, one task for both. It waits for whatever comes first; while the client does not take what it
//! is sent, nothing is read from `chat`, which then knows how far behind this reader is. Nothing here waits in a queue
//! that could grow.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{FutureExt, SinkExt};
use tokio::time::{Instant, timeout};

use crate::Edge;
use crate::socket::upstream::{Ending, Event, Upstream, some_of};
use crate::socket::{Asks, Fault, Out, Speech};

/// A client that takes nothing for so long is given up.
const STUCK: Duration = Duration::from_secs(30);
/// No socket lives longer.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a client may take to answer a close.
const GOODBYE: Duration = Duration::from_secs(2);
/// What a client is told of a frame that was not read to its end.
const TOO_LARGE: u16 = 1009;
/// Frames of `chat` that are written before what the client says is heard again.
const TOGETHER: usize = 32;

/// Why a socket ends.
enum End {
    /// We close it.
    Close(u16, &'static str),
    /// The client has closed it, or is gone.
    Gone,
}

/// Boxed from its birth: what is moved into a task takes its room twice.
pub(super) struct Bridge<S> {
    edge: Edge,
    socket: WebSocket,
    upstream: Box<Upstream>,
    speech: S,
    born: Instant,
    /// When the client last said anything, pongs among it, and when it was last asked.
    heard: Instant,
    asked: Instant,
    /// When it will be closed because we go away.
    leaves: Option<Instant>,
}

impl<S: Speech> Bridge<S> {
    pub(super) fn new(edge: Edge, socket: WebSocket, upstream: Box<Upstream>, speech: S) -> Box<Self> {
        let now = Instant::now();
        Box::new(Self { edge, socket, upstream, speech, born: now, heard: now, asked: now, leaves: None })
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
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let mut stop = std::pin::pin!(self.edge.stop.clone().cancelled_owned());
        let mut alarm = std::pin::pin!(tokio::time::sleep_until(self.due()));
        loop {
            // What is done is boxed, so that a socket that waits has no room for it.
            tokio::select! {
                event = self.upstream.next() => Box::pin(self.pass_on(event)).await?,
                message = self.socket.recv(), if self.upstream.has_room() => match message {
                    Some(Ok(message)) => Box::pin(self.hear(message)).await?,
                    // A frame beyond all limits, or bytes that are no frames.
                    Some(Err(_)) => return Err(End::Close(TOO_LARGE, "frame too large or broken")),
                    None => return Err(End::Gone),
                },
                () = &mut alarm => {
                    Box::pin(self.look_at_the_clock()).await?;
                    alarm.as_mut().reset(self.due());
                }
                () = &mut stop, if self.leaves.is_none() => {
                    // Not all at once, or all clients would come back to the same replica at once.
                    let wait = some_of(Duration::from_secs(self.edge.config.mesh.grace_seconds) / 2);
                    self.leaves = Some(Instant::now() + wait);
                    let farewell = self.speech.farewell(wait);
                    Box::pin(self.write([farewell])).await?;
                    alarm.as_mut().reset(self.due());
                }
            }
        }
    }

    /// Writes a frame of `chat`, and those that are there already.
    async fn pass_on(&mut self, event: Event) -> Result<(), End> {
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
            if written < TOGETHER {
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
        self.heard = Instant::now();
        let text = match message {
            Message::Text(text) if text.len() > S::MANNERS.largest => return self.refuse(Fault::TooLarge).await,
            Message::Text(text) => text,
            Message::Binary(_) => return self.refuse(Fault::Binary).await,
            // Pings were answered below us.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
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

    /// When there may be something to do that nobody asks for.
    fn due(&self) -> Instant {
        let ask = self.heard.max(self.asked) + S::MANNERS.ask_after;
        let give_up = self.heard + S::MANNERS.give_up_after;
        let end = self.born + LIFE;
        ask.min(give_up).min(end).min(self.leaves.unwrap_or(end))
    }

    async fn look_at_the_clock(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.leaves.is_some_and(|at| now >= at) {
            return Err(End::Close(1001, "going away"));
        }
        if now >= self.born + LIFE {
            return Err(End::Close(1000, "24 hours are over"));
        }
        if now >= self.heard + S::MANNERS.give_up_after {
            return Err(End::Close(1001, "no answer"));
        }
        if now >= self.heard.max(self.asked) + S::MANNERS.ask_after {
            self.asked = now;
            self.send(Message::Ping(Default::default())).await?;
            self.flush().await?;
        }
        Ok(())
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
    let unread = frame.code == TOO_LARGE;
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
