//! Agrovet's sockets: one for each room that is open on a screen, and one for presence. Who is not let in learns it
//! before the upgrade, as an HTTP status.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use kit::identity::Caller;
use proto::chat::v1::server_frame::Frame as Heard;
use proto::chat::v1::{Open, ServerFrame};
use tonic::Code;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::chat::frames::{ChatMessage, Incoming, Outgoing, Senseless, What};
use crate::agrovet::chat::{kinds, room};
use crate::agrovet::error::{BAD_TOKEN, NO_CREDENTIALS, UNAVAILABLE};
use crate::agrovet::{Agrovet, Error, Result};
use crate::form::{Fields, Form};
use crate::input::{Path, Query};
use crate::socket::{Asks, Fault, Knock, Manners, Out, Refusal, Speech};

const MANNERS: Manners = Manners {
    dialect: "agrovet",
    largest: 64 << 10,
    ask_after: Duration::from_secs(20),
    give_up_after: Duration::from_secs(50),
};

/// From where a room is told; only what happens, unless given.
pub struct From {
    after: Option<i64>,
    since: Option<i64>,
}

impl Form for From {
    fn read(f: &mut Fields) -> Self {
        Self {
            after: f.integer("after").at_least(0).describe("First the messages after this `sequence`").optional(),
            since: f.integer("since").at_least(0).describe("First what was changed after this `change`").optional(),
        }
    }
}

pub async fn chat(
    State(edge): State<Agrovet>,
    Path(number): Path<i64>,
    Query(From { after, since }): Query<From>,
    knock: Knock,
) -> Result<Response> {
    let open = Open { room: Some(room(number)), after, since, ..Open::default() };
    enter(&edge, knock, open, Some(number)).await
}

/// Whether a presence socket tells messages too.
pub struct Messages(bool);

impl Form for Messages {
    fn read(f: &mut Fields) -> Self {
        Self(f.boolean("messages").describe("Tells what happens in the caller's rooms too").or(false))
    }
}

pub async fn presence(
    State(edge): State<Agrovet>,
    Query(Messages(messages)): Query<Messages>,
    knock: Knock,
) -> Result<Response> {
    enter(&edge, knock, Open { messages, kinds: kinds(), ..Open::default() }, None).await
}

async fn enter(edge: &Agrovet, knock: Knock, open: Open, room: Option<i64>) -> Result<Response> {
    let guest = knock.admit(edge, &MANNERS).await.map_err(refused)?;
    let everything = room.is_some() || open.messages;
    let upstream = guest.open(edge, open).await.map_err(refused)?;
    let (base, caller) = (guest.base.clone(), guest.caller);
    let talk = Talk { edge: edge.0.clone(), base, caller, room, everything, change: 0 };
    Ok(knock.accept(edge, guest, upstream, talk))
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoHandshake => Error::detail(426, "Se requiere una conexión WebSocket."),
        Refusal::Origin => Error::detail(403, "Origen no permitido."),
        Refusal::NoToken => Error::detail(403, NO_CREDENTIALS),
        Refusal::BadToken => Error::detail(403, BAD_TOKEN),
        Refusal::Full => Error::detail(503, UNAVAILABLE),
        // The session ended this moment.
        Refusal::Status(status) if status.code() == Code::Unauthenticated => Error::detail(403, BAD_TOKEN),
        Refusal::Status(status) => (*status).into(),
    }
}

/// One socket.
struct Talk {
    edge: Edge,
    base: Base,
    caller: Caller,
    /// The room's number; a presence socket has none.
    room: Option<i64>,
    /// Whether more is told than who is here.
    everything: bool,
    /// The room's last change that was told.
    change: i64,
}

impl Speech for Talk {
    const MANNERS: Manners = MANNERS;

    fn hear(&mut self, text: &str) -> (&'static str, Asks) {
        let Incoming { room, what } = match Incoming::read(text) {
            Ok(incoming) => incoming,
            Err(Senseless(name)) => {
                let refusal = Outgoing::refusal("bad_frame", "not a frame that makes sense", name);
                return ("senseless", Asks::Answer(refusal.into()));
            }
        };
        let incoming = Incoming { room, what };
        let kind = incoming.kind();
        let elsewhere = self.room.is_some() && incoming.room.is_some() && incoming.room != self.room;
        let asks = match incoming.what {
            What::Ping => Asks::Answer(Outgoing::Pong.into()),
            what if elsewhere => {
                let name = match what {
                    What::Message(draft) => crate::socket::names::shown(&draft.client_msg_id),
                    _ => None,
                };
                let refusal = Outgoing::refusal("bad_frame", "room_id is not the room of this socket", name);
                Asks::Answer(refusal.into())
            }
            // Of the inbox only what is about no room, or names one.
            what if self.room.is_none() && incoming.room.is_none() && needs_room(&what) => Asks::Nothing,
            what => what.said(incoming.room.filter(|_| self.room.is_none())).map_or(Asks::Nothing, Asks::Chat),
        };
        (kind, asks)
    }

    async fn say(&mut self, mut frame: ServerFrame) -> Vec<Out> {
        // Not all frames of a room's stream repeat which room it is; receipts may be of another one.
        if frame.room_number == 0 {
            frame.room_number = self.room.unwrap_or_default();
        }
        // From the frame's change one may come back without missing anything, and not from the message's own. What is only
        // told again has none.
        match &mut frame.frame {
            Some(Heard::Live(live)) => self.change = live.change,
            Some(Heard::Message(message) | Heard::Changed(message)) if self.room.is_some() => {
                if frame.change > 0 {
                    self.change = frame.change;
                }
                message.change = self.change;
            }
            _ => {}
        }
        let frames = match frame.frame {
            Some(Heard::Message(message)) if self.everything => {
                vec![Outgoing::Message(Box::new(ChatMessage::shown(&self.edge, &self.base, message).await))]
            }
            // One's own deeds on another screen, and who else looks at the room, are no news here.
            Some(Heard::Presence(_)) if self.room.is_some() => Vec::new(),
            Some(Heard::Receipt(news)) if !news.read && news.user_number == self.caller.number => Vec::new(),
            Some(Heard::Presence(_) | Heard::Online(_) | Heard::Error(_)) => Outgoing::of(frame),
            _ if self.everything => Outgoing::of(frame),
            _ => Vec::new(),
        };
        frames.into_iter().map(Out::from).collect()
    }

    fn refuse(&self, fault: Fault) -> Out {
        let refusal = match fault {
            Fault::TooLarge => Outgoing::refusal("too_large", "a frame has at most 64 KiB", None),
            Fault::Binary => Outgoing::refusal("bad_frame", "frames are JSON texts", None),
        };
        refusal.into()
    }

    fn farewell(&self, wait: Duration) -> Out {
        Outgoing::Shutdown { closes_in_ms: wait.as_millis() as u64 }.into()
    }
}

fn needs_room(what: &What) -> bool {
    matches!(what, What::Message(_) | What::MarkRead(_) | What::Typing(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_waits_is_small() {
        let size = crate::socket::size::<Talk>();
        assert!(size <= 3 << 10, "{size} bytes");
    }
}
