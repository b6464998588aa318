//! Keys that sign access tokens (Ed25519). The rows decide, so that replicas agree without talking: each key signs from
//! its `signs_from` until the next one's, by everybody's clock at once.
//!
//! ```text
//!            published                signs                     still verifies
//!   key 1    ├───────┼──────────────────────────────────┼───────────────────────┤ deleted
//!   key 2                      ├── a day ahead ─────────┼── …
//! ```
//!
//! The next key stands in the key set a day before it signs, so nobody meets a token whose key they cannot have; the
//! former one stays until its last token has ended.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::db::{begin, commit};
use kit::error::{Result, internal};
use kit::identity::Claims;
use kit::seal::random;
use proto::auth::v1::key_service_server::KeyService;
use proto::auth::v1::{GetKeySetRequest, Key, KeySet};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};

use crate::Auth;

/// How long before it signs a key is published; much longer than anybody caches the key set.
const AHEAD: Duration = Duration::from_secs(24 * 3600);
/// How long after its last token's end a key is kept, for clocks that go wrong.
const KEPT: Duration = Duration::from_secs(3600);

#[tonic::async_trait]
impl KeyService for Auth {
    async fn get_key_set(&self, _request: Request<GetKeySetRequest>) -> Result<Response<KeySet>, Status> {
        let keys = self.keyring.keys();
        let keys = keys.iter().map(|key| Key { id: key.id.clone(), x: URL_SAFE_NO_PAD.encode(&key.public) }).collect();
        Ok(Response::new(KeySet { keys }))
    }
}

/// The keys in force, newest first; as the rows were when last read.
#[derive(Default)]
pub(crate) struct Keyring(RwLock<Arc<Vec<SigningKey>>>);

pub(crate) struct SigningKey {
    id: String,
    public: Vec<u8>,
    signs_from: DateTime<Utc>,
    private: EncodingKey,
}

impl Keyring {
    fn keys(&self) -> Arc<Vec<SigningKey>> {
        self.0.read().expect("nothing panics under this lock").clone()
    }

    /// An access token, by the newest key whose time has come.
    pub(crate) fn sign(&self, claims: &Claims, now: DateTime<Utc>) -> anyhow::Result<String> {
        let keys = self.keys();
        // The very first key may be a moment in the future by the clock of a replica that did not make it.
        let key = keys.iter().find(|key| key.signs_from <= now).or(keys.last());
        let key = key.ok_or_else(|| anyhow::anyhow!("there is no signing key"))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.id.clone());
        Ok(encode(&header, claims, &key.private)?)
    }
}

impl Auth {
    /// Adds the next key when it is due, forgets what nobody needs, and reads what there is.
    pub async fn rotate_keys(&self) -> Result<()> {
        let now = self.clock.now();
        let term = Duration::from_secs(u64::from(self.rules.key_days) * 24 * 3600);
        let verifies = Duration::from_secs(u64::from(self.rules.access_minutes) * 60) + KEPT;

        let mut tx = begin(&self.db).await?;
        let mut rows = list_keys(&mut tx).await?;
        if due(&rows, now, term).is_some() {
            // Two replicas may see that a key is due; the second to get the lock sees that it is there.
            lock_keys(&mut tx).await?;
            rows = list_keys(&mut tx).await?;
            if let Some(signs_from) = due(&rows, now, term) {
                self.insert_key(&mut tx, signs_from, now).await?;
                rows = list_keys(&mut tx).await?;
            }
        }
        let outlived = outlived(&rows, now, verifies);
        if !outlived.is_empty() {
            delete_keys(&mut tx, &outlived).await?;
            rows.retain(|row| !outlived.contains(&row.id));
        }
        commit(tx).await?;

        let keys = rows.into_iter().map(|row| self.open_key(row)).collect::<Result<Vec<_>>>()?;
        self.verifier.keys().set(keys.iter().map(|key| (key.id.clone(), key.public.clone())).collect());
        *self.keyring.0.write().expect("nothing panics under this lock") = Arc::new(keys);
        Ok(())
    }

    async fn insert_key(&self, conn: &mut PgConnection, signs_from: DateTime<Utc>, now: DateTime<Utc>) -> Result<()> {
        let id = URL_SAFE_NO_PAD.encode(random::<12>());
        let pair = Ed25519KeyPair::generate().map_err(internal)?;
        let private = pair.to_pkcs8().map_err(internal)?;
        let sealed = self.secrets.sealer.seal(context(&id).as_bytes(), private.as_ref());
        sqlx::query!(
            "insert into signing_keys (id, public_key, sealed_private_key, created_at, signs_from)
             values ($1, $2, $3, $4, $5)",
            &id,
            pair.public_key().as_ref(),
            sealed,
            now,
            signs_from,
        )
        .execute(conn)
        .await?;
        tracing::info!(key.id = id, %signs_from, "signing key made");
        Ok(())
    }

    fn open_key(&self, row: KeyRow) -> Result<SigningKey> {
        let private =
            self.secrets.sealer.open(context(&row.id).as_bytes(), &row.sealed_private_key).ok_or_else(|| {
                internal(anyhow::anyhow!("signing key {} does not open; was PLAZA_SECRET changed?", row.id))
            })?;
        Ok(SigningKey {
            id: row.id,
            public: row.public_key,
            signs_from: row.signs_from,
            private: EncodingKey::from_ed_der(&private),
        })
    }
}

/// What a private key is sealed for.
fn context(id: &str) -> String {
    format!("signing key {id}")
}

struct KeyRow {
    id: String,
    public_key: Vec<u8>,
    sealed_private_key: Vec<u8>,
    signs_from: DateTime<Utc>,
}

/// When the next key shall sign, if it is time to make it. `keys` newest first.
fn due(keys: &[KeyRow], now: DateTime<Utc>, term: Duration) -> Option<DateTime<Utc>> {
    let Some(newest) = keys.first() else { return Some(now) };
    let next = newest.signs_from + term;
    // After a long sleep the next one is late; it is published ahead all the same.
    (next - AHEAD <= now).then(|| next.max(now + AHEAD))
}

/// Keys whose last token has ended. `keys` newest first.
fn outlived(keys: &[KeyRow], now: DateTime<Utc>, verifies: Duration) -> Vec<String> {
    let pairs = keys.iter().zip(keys.iter().skip(1));
    pairs.filter(|(next, _)| next.signs_from + verifies <= now).map(|(_, key)| key.id.clone()).collect()
}

/// Keeps other replicas from adding a key until the transaction ends; reading goes on.
async fn lock_keys(conn: &mut PgConnection) -> Result<()> {
    sqlx::query!("lock table signing_keys in share row exclusive mode").execute(conn).await?;
    Ok(())
}

async fn list_keys(conn: &mut PgConnection) -> Result<Vec<KeyRow>> {
    Ok(sqlx::query_as!(
        KeyRow,
        "select id, public_key, sealed_private_key, signs_from from signing_keys order by signs_from desc",
    )
    .fetch_all(conn)
    .await?)
}

async fn delete_keys(conn: &mut PgConnection, ids: &[String]) -> Result<()> {
    sqlx::query!("delete from signing_keys where id = any($1)", ids).execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(days: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + DAY * days
    }

    fn keys(days: &[u32]) -> Vec<KeyRow> {
        let row = |day: &u32| KeyRow {
            id: day.to_string(),
            public_key: vec![],
            sealed_private_key: vec![],
            signs_from: at(*day),
        };
        days.iter().map(row).collect()
    }

    #[test]
    fn the_first_key_signs_at_once_and_each_next_one_is_made_a_day_ahead() {
        assert_eq!(due(&[], at(0), DAY * 30), Some(at(0)));
        assert_eq!(due(&keys(&[0]), at(28), DAY * 30), None);
        assert_eq!(due(&keys(&[0]), at(29), DAY * 30), Some(at(30)));
        assert_eq!(due(&keys(&[30, 0]), at(29), DAY * 30), None);
    }

    #[test]
    fn a_late_key_is_published_a_day_ahead_all_the_same() {
        assert_eq!(due(&keys(&[0]), at(90), DAY * 30), Some(at(91)));
    }

    #[test]
    fn a_key_goes_when_its_last_token_has_ended_and_the_newest_never() {
        let verifies = Duration::from_secs(7200);
        assert!(outlived(&keys(&[0]), at(900), verifies).is_empty());
        assert!(outlived(&keys(&[30, 0]), at(30), verifies).is_empty());
        assert_eq!(outlived(&keys(&[30, 0]), at(31), verifies), ["0"]);
        assert_eq!(outlived(&keys(&[61, 30, 0]), at(60), verifies), ["0"]);
    }
}
