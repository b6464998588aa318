//! What a client's frame asks for. It is done while the stream goes on.

use kit::error::invalid_because;
use kit::identity::Caller;
use proto::chat::v1::client_frame::Frame as Said;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::*;
use tonic::Status;
use uuid::Uuid;

use crate::hub::{Audience, Line, News, Packet};
use crate::members::is_blocked;
use crate::people::Person;
use crate::queue::Parcel;
use crate::{Chat, not_a_member};

/// What a client's frame leads to, besides what everybody hears.
pub(super) enum Answer {
    Nothing,
    /// For this stream alone.
    Frame(Box<ServerFrame>),
    /// A message was stored, and everybody in its room hears it.
    Sent(Sent),
}

/// Where a stored message stands.
pub(super) struct Sent {
    pub(super) room: Uuid,
    pub(super) room_number: i64,
    pub(super) sequence: i64,
}

impl Chat {
    /// Does what a client's frame asks for.
    pub(super) async fn follow(
        &self,
        caller: Caller,
        stream: Option<Uuid>,
        kinds: &[i32],
        frame: Said,
    ) -> kit::Result<Answer> {
        match frame {
            Said::Open(_) => Err(invalid_because("frame", "BAD_FRAME", "a stream is opened once")),
            Said::Send(send) => {
                let room = self.meant(stream, send.room.as_ref()).await?;
                let (message, created) = self.send(caller, room, send.draft.unwrap_or_default()).await?;
                let Message { room_number, sequence, .. } = message;
                if created {
                    // Its sender hears it like everybody.
                    return Ok(Answer::Sent(Sent { room, room_number, sequence }));
                }
                // Of a repeat only who repeats it.
                let (room_id, frame) = (message.room_id.clone(), Some(Frame::Message(message)));
                Ok(Answer::Frame(Box::new(ServerFrame { room_id, room_number, change: 0, frame })))
            }
            Said::Read(read) => {
                let room = self.meant(stream, read.room.as_ref()).await?;
                self.read(caller, room, &read).await?;
                Ok(Answer::Nothing)
            }
            Said::Typing(typing) => {
                let room = self.meant(stream, typing.room.as_ref()).await?;
                // Of no use later, so nobody is told to say it again.
                if self.limits.take_typing(caller.id, self.now()).is_err() {
                    return Ok(Answer::Nothing);
                }
                self.tell_typing(caller, room, typing.active).await?;
                Ok(Answer::Nothing)
            }
            Said::Ping(ping) => {
                let frame = Some(Frame::Pong(Pong { nonce: ping.nonce }));
                Ok(Answer::Frame(Box::new(ServerFrame { frame, ..ServerFrame::default() })))
            }
            Said::Edit(edit) => {
                self.edit(caller, edit.message.as_ref(), &edit.text).await?;
                Ok(Answer::Nothing)
            }
            Said::Delete(delete) => {
                self.delete(caller, delete.message.as_ref()).await?;
                Ok(Answer::Nothing)
            }
            Said::AskOnline(_) => {
                self.limits.take_question(caller.id, self.now())?;
                let me = Person { id: caller.id, number: caller.number };
                let mut people = self.presence_of(me, &[], kinds).await?;
                people.retain(|person| person.online);
                let frame = Some(Frame::Online(Online { people }));
                Ok(Answer::Frame(Box::new(ServerFrame { frame, ..ServerFrame::default() })))
            }
        }
    }

    /// The room that a frame is about: the stream's own, and none but it.
    async fn meant(&self, stream: Option<Uuid>, named: Option<&RoomKey>) -> kit::Result<Uuid> {
        match (stream, named) {
            (Some(room), None) => Ok(room),
            (None, Some(key)) => self.room_id(Some(key)).await,
            (Some(room), Some(key)) => match self.room_id(Some(key)).await {
                Ok(named) if named == room => Ok(room),
                Ok(_) => Err(not_a_member()),
                Err(error) => Err(error),
            },
            (None, None) => Err(invalid_because("room", "BAD_FRAME", "which room?")),
        }
    }

    async fn tell_typing(&self, caller: Caller, room: Uuid, active: bool) -> kit::Result<()> {
        self.membership(room, caller.id).await?;
        if is_blocked(&self.db, room, caller.id).await? {
            return Ok(());
        }
        let typing = Typing { active, user_id: caller.id.to_string(), user_number: caller.number, room: None };
        let frame =
            ServerFrame { room_id: room.to_string(), frame: Some(Frame::Typing(typing)), ..ServerFrame::default() };
        let news = News::Frame(Parcel::new(room, frame));
        self.hub.tell(Packet { line: Line::Room(room), audience: Audience::AllBut(caller.id), news });
        Ok(())
    }
}

pub(super) fn bad_frame(message: &str) -> ServerFrame {
    refusal(invalid_because("frame", "BAD_FRAME", message.to_owned()), String::new())
}

pub(super) fn refusal(error: kit::Error, client_msg_id: String) -> ServerFrame {
    let reason = error.reason().into_owned();
    let retry_after_ms = error.retry_after().map_or(0, |wait| wait.as_millis() as i64);
    // Logs what is our own fault, and tells nothing of it.
    let message = Status::from(error).message().to_owned();
    let frame = Some(Frame::Error(FrameError { reason, message, client_msg_id, retry_after_ms }));
    ServerFrame { frame, ..ServerFrame::default() }
}
