//! The installation's secret and what is made with it: keys per purpose, sealed bytes, digests.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, digest, hkdf, hmac as mac, rand};

/// The installation's secret, at least 32 bytes, shared by the replicas of all services. Never printed.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// A key for one purpose (HKDF-SHA256); different labels give unrelated keys.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"plaza")
            .extract(&self.0)
            .expand(&[label.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("32 bytes are one block of HKDF-SHA256");
        key
    }

    /// Whether it consists of these bytes, in a time that tells nothing about where they differ.
    pub fn is(&self, bytes: &[u8]) -> bool {
        same(&sha256(&self.0), &sha256(bytes))
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.len() < 32 {
            return Err("needs at least 32 characters; `openssl rand -hex 32` makes some");
        }
        Ok(Self::new(text.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Encrypts small things with AES-256-GCM under a key of one purpose.
#[derive(Clone)]
pub struct Sealer(Arc<RandomizedNonceKey>);

impl Sealer {
    pub fn new(secret: &Secret, label: &str) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &secret.derive(label)).expect("a 32-byte key");
        Self(Arc::new(key))
    }

    /// Nonce, ciphertext and tag in one; `context` must be the same when opening.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut body = plain.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(context), &mut body).expect("far below 64 GiB");
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut body);
        sealed
    }

    /// The plain bytes, or nothing when they were not sealed by us for this context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let mut body = body.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(context), &mut body).ok()?;
        Some(plain.to_vec())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

/// Two lower-case digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// HMAC-SHA256.
pub fn hmac(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let tag = mac::sign(&mac::Key::new(mac::HMAC_SHA256, key), bytes);
    tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

/// Equality whose time does not tell where two secrets differ.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// Bytes nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_two_digits() {
        assert_eq!(hex(&[0, 9, 0xaf, 0xff]), "0009afff");
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_context_and_untouched() {
        let secret = Secret::new(&[7; 32]);
        let sealer = Sealer::new(&secret, "test");
        let mut sealed = sealer.seal(b"a", b"plain");
        assert_eq!(sealer.open(b"a", &sealed).as_deref(), Some(&b"plain"[..]));
        assert_eq!(sealer.open(b"b", &sealed), None);
        assert_eq!(Sealer::new(&secret, "other").open(b"a", &sealed), None);
        sealed[NONCE_LEN] ^= 1;
        assert_eq!(sealer.open(b"a", &sealed), None);
        assert_eq!(sealer.open(b"a", b"short"), None);
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_printed() {
        assert!("too short".parse::<Secret>().is_err());
        assert_eq!(format!("{:?}", Secret::new(b"0123")), "Secret(…)");
    }
}
