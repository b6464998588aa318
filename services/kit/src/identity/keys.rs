//! The public keys tokens verify with, fetched from `auth` and kept. An unknown key id is asked for once per two
//! seconds at most, so that forged tokens cannot make us hammer `auth`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::ED25519_PUBLIC_KEY_LEN;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use proto::auth::v1::GetKeySetRequest;
use proto::auth::v1::key_service_client::KeyServiceClient;
use tokio::sync::Mutex;

use crate::Peer;
use crate::context::{self, Context};
use crate::error::{Result, unavailable};

/// After an answer; a new key must be published at least this long before it signs.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// After a failure.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// How long `auth` may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where keys come from.
pub enum KeySource {
    /// From `auth`, when an unknown key is named.
    Auth(Peer),
    /// Only from [`KeyCache::set`]: `auth` itself, and tests.
    Local,
}

/// Public keys by `kid`.
pub struct KeyCache {
    keys: RwLock<HashMap<String, Known>>,
    source: KeySource,
    asked: Mutex<Option<Asked>>,
    /// Counts the times that a key was taken away.
    withdrawals: AtomicU64,
}

struct Known {
    /// The public key in base64.
    x: String,
    key: Arc<DecodingKey>,
}

struct Asked {
    at: Instant,
    answered: bool,
}

impl KeyCache {
    pub fn new(source: KeySource) -> Self {
        Self { keys: RwLock::default(), source, asked: Mutex::default(), withdrawals: AtomicU64::new(0) }
    }

    /// Replaces every key: id and the 32 bytes of an Ed25519 public key.
    pub fn set(&self, keys: Vec<(String, Vec<u8>)>) {
        let keys: HashMap<_, _> = keys
            .into_iter()
            .filter(|(_, bytes)| bytes.len() == ED25519_PUBLIC_KEY_LEN)
            .filter_map(|(id, bytes)| {
                let x = URL_SAFE_NO_PAD.encode(bytes);
                let key = DecodingKey::from_ed_components(&x).ok()?;
                Some((id, Known { x, key: Arc::new(key) }))
            })
            .collect();
        let mut known = self.keys.write().expect("nothing panics under this lock");
        if known.iter().any(|(id, old)| keys.get(id).is_none_or(|new| new.x != old.x)) {
            self.withdrawals.fetch_add(1, Ordering::SeqCst);
        }
        *known = keys;
    }

    /// What was verified before this changed may have been verified with a key that is no longer good.
    pub(super) fn withdrawals(&self) -> u64 {
        self.withdrawals.load(Ordering::Relaxed)
    }

    /// The key, asking `auth` if it is unknown; UNAVAILABLE when `auth` does not answer.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Arc<DecodingKey>>> {
        if let Some(key) = self.known(id) {
            return Ok(Some(key));
        }
        let KeySource::Auth(peer) = &self.source else { return Ok(None) };
        // One asks, the others wait here and then find it.
        let mut asked = self.asked.lock().await;
        if let Some(key) = self.known(id) {
            return Ok(Some(key));
        }
        let away = || unavailable("AUTH_AWAY", "the keys that tokens verify with cannot be fetched");
        match &*asked {
            Some(last) if last.answered && last.at.elapsed() < ASK_AGAIN => return Ok(None),
            Some(last) if !last.answered && last.at.elapsed() < TRY_AGAIN => return Err(away()),
            _ => {}
        }
        // For everybody who waits: neither in the name of the first nor with the deadline that one brought.
        let context = Context { deadline: Some(Instant::now() + PATIENCE), ..Context::default() };
        let mut auth = KeyServiceClient::new(peer.clone());
        let answer = context::scope(context, auth.get_key_set(GetKeySetRequest {})).await;
        *asked = Some(Asked { at: Instant::now(), answered: answer.is_ok() });
        let set = answer.map_err(|_| away())?.into_inner();
        self.set(set.keys.into_iter().filter_map(|k| Some((k.id, URL_SAFE_NO_PAD.decode(k.x).ok()?))).collect());
        Ok(self.known(id))
    }

    fn known(&self, id: &str) -> Option<Arc<DecodingKey>> {
        self.keys.read().expect("nothing panics under this lock").get(id).map(|known| known.key.clone())
    }
}
