//! What a stream has not told, read from the database: changes by their numbers, receipts by the time at which they moved.

use std::time::Duration;

use chrono::{DateTime, Utc};
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::*;
use uuid::Uuid;

use super::{End, Stream, about, closing};
use crate::catch_up::{CatchUp, fetch_head, list_heads};
use crate::receipts::{BY_MOMENT, list_marked};

impl Stream {
    /// Receipts that may have changed. No gap shows where one is missing, so they are told again.
    pub(super) async fn tell_receipts(&self, missed: Option<DateTime<Utc>>) -> Result<(), End> {
        for (room, receipt) in self.receipts(missed).await.map_err(End::Failed)? {
            let number = self.rooms.get(&room).map_or(0, |told| told.number);
            self.hand(about(room, number, Frame::Receipt(receipt))).await?;
        }
        Ok(())
    }

    /// Of a room since what was last told, or since a moment before that. Of an inbox only since the moment: each of its
    /// rooms would tell again what became of its last message.
    async fn receipts(&self, missed: Option<DateTime<Utc>>) -> kit::Result<Vec<(Uuid, ReceiptNews)>> {
        let (mut rooms, mut since): (Vec<_>, Vec<_>) =
            self.rooms.iter().map(|(room, told)| (*room, told.change)).unzip();
        if self.room.is_none() {
            let Some(missed) = missed else { return Ok(Vec::new()) };
            rooms = list_marked(&self.chat.db, &rooms, missed).await?;
            since = vec![BY_MOMENT; rooms.len()];
        }
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        self.chat.receipts_since(self.caller.id, &rooms, &since, missed).await
    }

    /// Reads what was not told of any room. One question says where that is; only those rooms are read.
    pub(super) async fn catch_up_all(&mut self) -> Result<(), End> {
        if let Some(room) = self.room {
            return self.catch_up(room).await;
        }
        let rooms: Vec<_> = self.rooms.keys().copied().collect();
        let heads = list_heads(&self.chat.db, &rooms, self.caller.id).await.map_err(End::Failed)?;
        for room in rooms {
            match (self.rooms.get_mut(&room), heads.get(&room)) {
                (Some(told), Some(head)) if head.last_change <= told.change => {
                    told.keep(head);
                    self.chat.hub.reached(room, head.last_change);
                }
                // Asked again, because telling of the rooms before it may have taken long.
                _ => self.catch_up(room).await?,
            }
        }
        Ok(())
    }

    /// Reads from the database what was not told of a room.
    pub(super) async fn catch_up(&mut self, room: Uuid) -> Result<(), End> {
        let Some(since) = self.rooms.get(&room).map(|told| told.change) else { return Ok(()) };
        let head = match fetch_head(&self.chat.db, room, self.caller.id).await {
            Ok(Some(head)) => head,
            Ok(None) if self.room.is_some() => {
                return Err(End::Closing(closing(ClosingReason::Removed, Duration::ZERO)));
            }
            Ok(None) => {
                return match self.rooms.remove(&room) {
                    Some(told) => self.say_removed(room, told.number).await,
                    None => Ok(()),
                };
            }
            Err(error) => return Err(End::Failed(error)),
        };
        let mut missed = CatchUp::new(room, &head, since);
        // Held back: behind the last one, everything has been told.
        let mut last: Option<ServerFrame> = None;
        loop {
            let frames = missed.next(&self.chat.db).await.map_err(End::Failed)?;
            if frames.is_empty() {
                break;
            }
            for frame in frames {
                if let Some(before) = last.replace(frame) {
                    self.show(room, before).await?;
                }
            }
        }
        if let Some(last) = last {
            self.show(room, ServerFrame { change: head.last_change, ..last }).await?;
        }
        if let Some(told) = self.rooms.get_mut(&room) {
            told.keep(&head);
        }
        self.chat.hub.reached(room, head.last_change);
        Ok(())
    }
}
