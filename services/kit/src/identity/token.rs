//! Access tokens: EdDSA JWTs that every service verifies by itself. A check costs about 57 µs, as much as the rest of a
//! call, so a verified token is remembered by its hash until it ends; its session's revocation is looked up every time.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Caller, KeyCache, Revocations, Roles};
use crate::Clock;
use crate::error::{Error, Result, unauthenticated};
use crate::seal::sha256;

pub const ISSUER: &str = "plaza";
pub const AUDIENCE: &str = "plaza";

/// How many verified tokens are remembered; about 200 bytes each.
const REMEMBERED: u64 = 50_000;
/// How long; so that ended tokens make room.
const REMEMBERED_FOR: Duration = Duration::from_secs(15 * 60);

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user's id.
    pub sub: Uuid,
    /// The user's number.
    pub num: i64,
    /// Every role, as in [`Roles::names`].
    pub roles: Vec<String>,
    /// The session.
    pub sid: Uuid,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
    pub iss: String,
    pub aud: String,
    pub jti: Uuid,
    /// Always `access`.
    pub typ: String,
}

/// Verifies access tokens.
pub struct Verifier {
    keys: Arc<KeyCache>,
    revocations: Arc<Revocations>,
    remembered: Cache<[u8; 32], Remembered>,
    clock: Clock,
}

#[derive(Clone, Copy)]
struct Remembered {
    caller: Caller,
    /// As [`KeyCache::withdrawals`] was before the check.
    withdrawals: u64,
}

impl Verifier {
    pub fn new(keys: Arc<KeyCache>, revocations: Arc<Revocations>, clock: Clock) -> Self {
        let remembered = Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { keys, revocations, remembered, clock }
    }

    pub fn keys(&self) -> &Arc<KeyCache> {
        &self.keys
    }

    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Whose token this is. Reasons: `BAD_TOKEN`, `SESSION_REVOKED`.
    pub async fn verify(&self, token: &str) -> Result<Caller> {
        let hash = sha256(token.as_bytes());
        let withdrawals = self.keys.withdrawals();
        let caller = match self.remembered.get(&hash) {
            Some(known) if known.withdrawals == withdrawals => known.caller,
            _ => {
                let caller = self.check(token).await?;
                self.remembered.insert(hash, Remembered { caller, withdrawals });
                caller
            }
        };
        if caller.expires_at <= self.clock.now().timestamp() {
            self.remembered.invalidate(&hash);
            return Err(bad_token());
        }
        if self.revocations.contains(caller.session) {
            return Err(unauthenticated("SESSION_REVOKED", "the session has ended"));
        }
        Ok(caller)
    }

    async fn check(&self, token: &str) -> Result<Caller> {
        let header = decode_header(token).map_err(|_| bad_token())?;
        if header.alg != Algorithm::EdDSA {
            return Err(bad_token());
        }
        let key = self.keys.find(&header.kid.ok_or_else(bad_token)?).await?.ok_or_else(bad_token)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The end is checked by our own clock in `verify`, on every use and not only the first.
        rules.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &rules).map_err(|_| bad_token())?.claims;
        if claims.typ != "access" {
            return Err(bad_token());
        }
        Ok(Caller {
            id: claims.sub,
            number: claims.num,
            roles: Roles::from_names(&claims.roles),
            session: claims.sid,
            expires_at: claims.exp,
        })
    }
}

fn bad_token() -> Error {
    unauthenticated("BAD_TOKEN", "the access token is not valid")
}
