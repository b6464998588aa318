//! Conectar's socket of a conversation. The original closes with 1008 whatever it does not let in, and its clients look
//! at nothing else, so a refusal is an upgrade and that code.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use kit::error::Details;
use kit::identity::Caller;
use prost_types::Timestamp;
use proto::chat::v1::server_frame::Frame as Heard;
use proto::chat::v1::{Open, ServerFrame};
use tonic::Code;
use uuid::Uuid;

use crate::Edge;
use crate::conectar::chat::frames::{Incoming, Outgoing, Senseless};
use crate::conectar::chat::room;
use crate::conectar::{Conectar, Error, Result};
use crate::form::{Fields, Form};
use crate::input::{Path, Query};
use crate::socket::{Asks, Fault, Knock, Manners, Out, Refusal, Speech};

const MANNERS: Manners = Manners {
    dialect: "conectar",
    largest: 16 << 10,
    ask_after: Duration::from_secs(30),
    give_up_after: Duration::from_secs(90),
};

/// What the original's clients know of a refusal.
const POLICY: u16 = 1008;
const TRY_AGAIN: u16 = 1013;

/// From where a conversation is told; only what happens, unless given.
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
    State(edge): State<Conectar>,
    Path(id): Path<String>,
    Query(From { after, since }): Query<From>,
    knock: Knock,
) -> Result<Response> {
    let entered = async {
        let guest = knock.admit(&edge, &MANNERS).await?;
        // A room that is no UUID does not exist, which is no other refusal than not being in it.
        let id = Uuid::try_parse(&id).unwrap_or_default();
        let open = Open { room: Some(room(id)), after, since, ..Open::default() };
        let upstream = guest.open(&edge, open).await?;
        Ok((guest, upstream, id.to_string()))
    };
    Ok(match entered.await {
        Ok((guest, upstream, room)) => {
            let talk = Talk { edge: edge.0.clone(), caller: guest.caller, room, change: 0 };
            knock.accept(&edge, guest, upstream, talk)
        }
        Err(Refusal::NoHandshake) => {
            return Err(Error::new(426, "UPGRADE_REQUIRED", "Se requiere una conexión WebSocket"));
        }
        Err(Refusal::Full) => knock.turn_away(TRY_AGAIN, "too many sockets"),
        Err(Refusal::Origin) => knock.turn_away(POLICY, "origin not allowed"),
        Err(Refusal::NoToken | Refusal::BadToken) => knock.turn_away(POLICY, "token missing or not valid"),
        Err(Refusal::Status(status)) => match status.code() {
            Code::Unauthenticated => knock.turn_away(POLICY, "token missing or not valid"),
            _ if Details::of(&status).reason == "CHAT_BANNED" => knock.turn_away(POLICY, "chat is restricted"),
            Code::NotFound | Code::PermissionDenied => knock.turn_away(POLICY, "not in this conversation"),
            _ => knock.turn_away(TRY_AGAIN, "try again later"),
        },
    })
}

/// One socket.
struct Talk {
    edge: Edge,
    caller: Caller,
    room: String,
    /// The last change that was told.
    change: i64,
}

impl Speech for Talk {
    const MANNERS: Manners = MANNERS;

    fn hear(&mut self, text: &str) -> (&'static str, Asks) {
        match Incoming::read(text) {
            Ok(incoming) => {
                let kind = incoming.kind();
                let asks = match incoming {
                    Incoming::Ping => Asks::Answer(Outgoing::Pong.into()),
                    other => other.said().map_or(Asks::Nothing, Asks::Chat),
                };
                (kind, asks)
            }
            Err(Senseless(why, name)) => ("senseless", Asks::Answer(Outgoing::refusal("BAD_FRAME", why, name).into())),
        }
    }

    async fn say(&mut self, mut frame: ServerFrame) -> Vec<Out> {
        let own = self.caller.id.to_string();
        // What was delivered in other conversations is for their sockets.
        if !frame.room_id.is_empty() && frame.room_id != self.room {
            return Vec::new();
        }
        // From this change one may come back without missing anything. What is only told again has none of its own.
        match &frame.frame {
            Some(Heard::Live(live)) => self.change = live.change,
            Some(Heard::Message(_) | Heard::Changed(_)) if frame.change > 0 => self.change = frame.change,
            _ => frame.change = self.change,
        }
        if let Some(Heard::Message(message)) = &mut frame.frame
            && message.sender_id != own
        {
            // A name is the sender's own. Nobody reads it for contact details, so nobody else is told.
            message.client_msg_id.clear();
        }
        let news = match &frame.frame {
            // What one has done oneself is told to the others.
            Some(Heard::Receipt(news)) => news.user_id != own,
            Some(Heard::Typing(typing)) => typing.user_id != own,
            Some(Heard::Presence(presence)) => presence.user_id != own,
            _ => true,
        };
        if !news {
            return Vec::new();
        }
        let now = self.edge.clock.now();
        let now = Timestamp { seconds: now.timestamp(), nanos: now.timestamp_subsec_nanos() as i32 };
        Outgoing::of(frame, now).into_iter().map(Out::from).collect()
    }

    fn refuse(&self, fault: Fault) -> Out {
        let refusal = match fault {
            Fault::TooLarge => Outgoing::refusal("TOO_LARGE", "El mensaje supera los 16 KiB", None),
            Fault::Binary => Outgoing::refusal("BAD_FRAME", "El mensaje no es un objeto JSON", None),
        };
        refusal.into()
    }

    fn farewell(&self, wait: Duration) -> Out {
        Outgoing::ServerShutdown { closes_in_ms: wait.as_millis() as u64 }.into()
    }
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
