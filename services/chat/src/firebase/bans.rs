//! `user_metadata/{id}.chatBanned`: told when it changes.

use std::time::Duration;

use tonic::Code;

use super::Bridge;
use super::sql::{list_standings, upsert_standings};
use super::value::{Write, fields};

/// Standings that are told at once.
const PAGE: i64 = 200;

impl Bridge {
    /// Tells of bans that began or ended.
    pub async fn tell_bans(&self) -> kit::Result<Duration> {
        loop {
            let standings = list_standings(&self.chat.db, self.chat.now(), PAGE).await?;
            let changed: Vec<_> = standings.iter().filter(|standing| standing.banned != standing.told).collect();
            let write = |user: &uuid::Uuid, banned: bool| {
                Write::update(format!("user_metadata/{user}"), fields! { "chatBanned": banned }, &["chatBanned"])
                    .or_create()
            };
            let writes: Vec<_> = changed.iter().map(|standing| write(&standing.user_id, standing.banned)).collect();
            if !writes.is_empty() {
                super::outward::all(&self.firestore.apply(&writes).await?, &[Code::Ok])?;
            }
            upsert_standings(&self.chat.db, &standings).await?;
            if (standings.len() as i64) < PAGE {
                return Ok(Duration::ZERO);
            }
        }
    }
}
