//! SMS and mail on their way. A message is a row written in the transaction of the thing it tells of; a worker sends it
//! and deletes the row. A crash after sending sends it again, which is better than never.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kit::channel::Letter;
use kit::error::{Result, internal};
use kit::seal::Sealer;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::Auth;

/// How many are claimed at once.
const BATCH: i64 = 20;
/// How long a claimed message is nobody else's; longer than sending takes.
const CLAIMED_FOR: Duration = Duration::from_secs(60);
/// The first wait after a failure; it doubles with each.
const BACKOFF: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(crate) enum Channel {
    Sms,
    Mail,
}

/// What is sent. Sealed while it waits, as it holds a code.
#[derive(Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) to: String,
    /// Of a mail.
    pub(crate) subject: String,
    pub(crate) text: String,
}

impl Auth {
    /// Sends what is due.
    pub async fn send_deliveries(self) -> Result<()> {
        loop {
            let now = self.clock.now();
            let claimed = claim_deliveries(&self.db, now, now + CLAIMED_FOR, BATCH).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            for delivery in claimed {
                self.settle_delivery(delivery).await?;
            }
        }
    }

    /// Sends one and deletes it, or says when to try again; given up when the code in it has died.
    async fn settle_delivery(&self, delivery: DeliveryRow) -> Result<()> {
        let now = self.clock.now();
        if delivery.void {
            return delete_delivery(&self.db, delivery.id).await;
        }
        if delivery.expires_at <= now {
            metrics::counter!("auth_deliveries_total", "outcome" => "lost").increment(1);
            tracing::error!(
                delivery.id = %delivery.id, channel = ?delivery.channel, delivery.attempts,
                "message not sent"
            );
            return delete_delivery(&self.db, delivery.id).await;
        }
        match self.send(&delivery).await {
            Ok(()) => {
                metrics::counter!("auth_deliveries_total", "outcome" => "sent").increment(1);
                delete_delivery(&self.db, delivery.id).await
            }
            Err(error) => {
                metrics::counter!("auth_deliveries_total", "outcome" => "failed").increment(1);
                tracing::warn!(
                    delivery.id = %delivery.id, channel = ?delivery.channel, delivery.attempts, %error,
                    "message not sent yet"
                );
                let next = (now + backoff(delivery.attempts)).min(delivery.expires_at);
                postpone_delivery(&self.db, delivery.id, next).await
            }
        }
    }

    async fn send(&self, delivery: &DeliveryRow) -> anyhow::Result<()> {
        let context = context(delivery.id);
        let Some(plain) = self.secrets.sealer.open(context.as_bytes(), &delivery.sealed_message) else {
            anyhow::bail!("the {context} does not open; was PLAZA_SECRET changed?");
        };
        let message: Message = serde_json::from_slice(&plain)?;
        match delivery.channel {
            Channel::Sms => self.sms.send(&message.to, &message.text).await,
            Channel::Mail => {
                let Message { to, subject, text } = message;
                self.mail.send(&Letter { to, subject, text }).await
            }
        }
    }
}

/// After the `attempts`-th failure: 2 s, 4 s, … up to two minutes.
fn backoff(attempts: i32) -> Duration {
    BACKOFF * 2_u32.pow(attempts.clamp(1, 7) as u32 - 1)
}

/// What a message is sealed for.
fn context(id: Uuid) -> String {
    format!("delivery {id}")
}

struct DeliveryRow {
    id: Uuid,
    channel: Channel,
    sealed_message: Vec<u8>,
    void: bool,
    /// This one included.
    attempts: i32,
    expires_at: DateTime<Utc>,
}

/// Queues a message within the transaction of the thing it tells of.
pub(crate) async fn insert_delivery(
    conn: &mut PgConnection,
    sealer: &Sealer,
    channel: Channel,
    message: &Message,
    void: bool,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    let id = Uuid::now_v7();
    let sealed = sealer.seal(context(id).as_bytes(), &serde_json::to_vec(message).map_err(internal)?);
    sqlx::query!(
        "insert into deliveries (id, channel, sealed_message, void, created_at, next_attempt_at, expires_at)
         values ($1, $2, $3, $4, $5, $5, $6)",
        id,
        channel as Channel,
        sealed,
        void,
        now,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes what is due, for a while: a worker that dies leaves it to the others. Several workers take different rows.
async fn claim_deliveries(
    db: &PgPool,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DeliveryRow>> {
    Ok(sqlx::query_as!(
        DeliveryRow,
        r#"update deliveries set attempts = attempts + 1, next_attempt_at = $2
         where id in (
            select id from deliveries where next_attempt_at <= $1
            order by next_attempt_at limit $3 for update skip locked
         )
         returning id, channel as "channel: Channel", sealed_message, void, attempts, expires_at"#,
        now,
        until,
        limit,
    )
    .fetch_all(db)
    .await?)
}

async fn postpone_delivery(db: &PgPool, id: Uuid, next_attempt_at: DateTime<Utc>) -> Result<()> {
    sqlx::query!("update deliveries set next_attempt_at = $2 where id = $1", id, next_attempt_at).execute(db).await?;
    Ok(())
}

async fn delete_delivery(db: &PgPool, id: Uuid) -> Result<()> {
    sqlx::query!("delete from deliveries where id = $1", id).execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_two_minutes() {
        let waits: Vec<_> = [0, 1, 2, 3, 7, 8, 1000].map(|n| backoff(n).as_secs()).into();
        assert_eq!(waits, [2, 2, 4, 8, 128, 128, 128]);
    }
}
