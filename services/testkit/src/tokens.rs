//! Access tokens of a test's own key.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::identity::{AUDIENCE, Claims, ISSUER, KeyCache, Roles};
use proto::access::v1::Role;
use uuid::Uuid;

/// A key pair whose tokens are good where [`Signer::trust`] was called.
pub struct Signer {
    private: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    pub fn generate() -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let der: Pkcs8V1Der<'static> = pair.as_der().expect("as PKCS#8");
        Self { private: EncodingKey::from_ed_der(der.as_ref()), public: pair.public_key().as_ref().to_vec() }
    }

    /// Makes `keys` accept this signer's tokens, and no others.
    pub fn trust(&self, keys: &KeyCache) {
        keys.set(vec![("test".to_owned(), self.public.clone())]);
    }

    /// A token that says what `claims` say.
    pub fn sign(&self, claims: &Claims) -> String {
        let header = Header { kid: Some("test".to_owned()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, claims, &self.private).expect("claims are JSON")
    }
}

/// Claims of an hour from `now` (Unix seconds), in a session of their own.
pub fn token_claims(id: Uuid, number: i64, roles: &[Role], now: i64) -> Claims {
    Claims {
        sub: id,
        num: number,
        roles: roles.iter().copied().collect::<Roles>().names(),
        sid: Uuid::now_v7(),
        iat: now,
        exp: now + 3600,
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        jti: Uuid::new_v4(),
        typ: "access".to_owned(),
    }
}
