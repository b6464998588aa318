//! The public keys tokens verify with, fetched from `auth` and kept. An unknown key id is asked for once per few
//! seconds at most, so that forged tokens cannot make us hammer `auth`.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::ED25519_PUBLIC_KEY_LEN;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use proto::auth::v1::key_service_client::KeyServiceClient;
use proto::auth::v1::GetKeySetRequest;
use tokio::sync::Mutex;

use crate::Peer;
use crate::error::{Result, unavailable};

const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Where keys come from.
pub enum KeySource {
    /// From `auth`, when an unknown key is named.
    Auth(Peer),
    /// Only from [`KeyCache::set`]: `auth` itself, and tests.
    Local,
}

/// Public keys by `kid`.
pub struct KeyCache {
    keys: RwLock<HashMap<String, Arc<DecodingKey>>>,
    source: KeySource,
    asked: Mutex<Option<Instant>>,
}

impl KeyCache {
    pub fn new(source: KeySource) -> Self {
        Self { keys: RwLock::default(), source, asked: Mutex::default() }
    }

    /// Replaces every key: id and the 32 bytes of an Ed25519 public key.
    pub fn set(&self, keys: Vec<(String, Vec<u8>)>) {
        let keys = keys
            .into_iter()
            .filter(|(_, bytes)| bytes.len() == ED25519_PUBLIC_KEY_LEN)
            .filter_map(|(id, bytes)| {
                Some((id, Arc::new(DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(bytes)).ok()?)))
            })
            .collect();
        *self.keys.write().expect("nothing panics under this lock") = keys;
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
        if asked.is_some_and(|at| at.elapsed() < ASK_AGAIN) {
            return Ok(None);
        }
        let set = KeyServiceClient::new(peer.clone())
            .get_key_set(GetKeySetRequest {})
            .await
            .map_err(|_| unavailable("AUTH_AWAY", "the keys that tokens verify with cannot be fetched"))?
            .into_inner();
        *asked = Some(Instant::now());
        self.set(set.keys.into_iter().filter_map(|k| Some((k.id, URL_SAFE_NO_PAD.decode(k.x).ok()?))).collect());
        Ok(self.known(id))
    }

    fn known(&self, id: &str) -> Option<Arc<DecodingKey>> {
        self.keys.read().expect("nothing panics under this lock").get(id).cloned()
    }
}
