//! An inbox: a stream that tells of all rooms of a person, of at most `MOST_ROOMS` that were active last.

use std::collections::HashMap;

use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::*;
use uuid::Uuid;

use super::said::Sent;
use super::{End, Stream, Told, about};
use crate::catch_up::{Head, MOST_ROOMS, fetch_head, list_inbox, list_left};
use crate::hub::Line;
use crate::messages::sql::fetch_change_of;
use crate::receipts::MOST_MEMBERS;
use crate::rooms::kind_names;

impl Stream {
    /// Of rooms that a client names and that are not among its own: those that the person has left.
    pub(super) async fn left(&self, numbers: Vec<i64>) -> kit::Result<Vec<ServerFrame>> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let left = list_left(&self.chat.db, self.caller.id, &numbers, &kind_names(&self.kinds)).await?;
        Ok(left.into_iter().map(|(room, number)| about(room, number, Frame::Removed(Removed {}))).collect())
    }

    pub(super) fn positions(&self, of_left: impl Iterator<Item = Position>) -> Positions {
        let position = |told: &Told| Position { room_number: told.number, change: told.change };
        Positions { rooms: self.rooms.values().map(position).chain(of_left).take(MOST_ROOMS).collect() }
    }

    /// Takes a seat in every room of the person, and leaves those that are not theirs any more. Rooms that are `named` are
    /// told from there, others from now on if the stream is `fresh`, and else from where the person entered them. Those
    /// that are not theirs any more, with their numbers.
    pub(super) async fn sit_down(&mut self, fresh: bool, named: &HashMap<i64, i64>) -> kit::Result<Vec<(Uuid, i64)>> {
        let rooms = list_inbox(&self.chat.db, self.caller.id, &kind_names(&self.kinds)).await?;
        // If there are more rooms than that, or were, one that is new here may only have become active again.
        self.full = rooms.len() >= MOST_ROOMS;
        let complete = [rooms.len(), self.rooms.len(), named.len()].iter().all(|rooms| *rooms < MOST_ROOMS);
        let given_up = self.rooms.extract_if(|id, _| !rooms.iter().any(|room| room.id == *id));
        let mut gone: Vec<_> = given_up.map(|(id, told)| (id, told.number)).collect();
        if !complete {
            for (id, number) in std::mem::take(&mut gone) {
                if fetch_head(&self.chat.db, id, self.caller.id).await?.is_none() {
                    gone.push((id, number));
                }
            }
        }
        for room in rooms {
            if let Some(told) = self.rooms.get_mut(&room.id) {
                told.cleared = room.cleared_through;
                told.receipts = room.members_count <= MOST_MEMBERS;
                continue;
            }
            let seat = self.chat.hub.join(Line::Room(room.id), &self.reader).await;
            let head = Head {
                number: room.number,
                members_count: room.members_count,
                last_change: room.last_change,
                cleared_through: room.cleared_through,
            };
            let change = match named.get(&room.number) {
                Some(change) => room.joined_change.max(*change).min(room.last_change),
                None if !fresh && complete => room.joined_change,
                None => room.last_change,
            };
            self.rooms.insert(room.id, Told::new(&head, change, seat));
        }
        Ok(gone)
    }

    /// Whether somebody with more rooms than an inbox tells has written in one beyond these. Of fewer rooms the news comes
    /// by itself, and they are told from their beginning.
    pub(super) fn is_beyond(&self, sent: &Sent) -> bool {
        self.room.is_none() && self.full && !self.rooms.contains_key(&sent.room)
    }

    /// Such a room is among them now, and told from the message on.
    pub(super) async fn sit_down_where_i_wrote(&mut self, sent: Sent) -> Result<(), End> {
        let before = fetch_change_of(&self.chat.db, sent.room, sent.sequence - 1).await.map_err(End::Failed)?;
        self.take_seats(&HashMap::from([(sent.room_number, before)])).await
    }

    /// Takes the seats that the person's rooms are by now, and tells what was said meanwhile.
    pub(super) async fn take_seats(&mut self, named: &HashMap<i64, i64>) -> Result<(), End> {
        for (room, number) in self.sit_down(false, named).await.map_err(End::Failed)? {
            self.say_removed(room, number).await?;
        }
        self.catch_up_all().await
    }

    /// Tells an inbox that a room is not the person's any more.
    pub(super) async fn say_removed(&self, room: Uuid, number: i64) -> Result<(), End> {
        if !self.messages {
            return Ok(());
        }
        self.hand(about(room, number, Frame::Removed(Removed {}))).await
    }
}

/// What a client says it has of its rooms, by their numbers.
pub(super) fn changes(positions: &Positions) -> HashMap<i64, i64> {
    let mut changes = HashMap::new();
    for position in &positions.rooms {
        let change = changes.entry(position.room_number).or_insert(position.change);
        *change = position.change.min(*change);
    }
    changes
}
