//! Signatures that open one private file to whoever has the link, until they expire. They need no row: the key comes
//! from the installation's secret, so every replica checks what any replica signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use kit::seal::{Secret, hmac, same};

#[derive(Clone)]
pub(crate) struct Signer([u8; 32]);

impl Signer {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(secret.derive("media/sign"))
    }

    /// `{unix seconds}.{tag}`, safe in a URL's query. The key is the original's; it opens the smaller pictures too.
    pub(crate) fn sign(&self, object_key: &str, expires_at: DateTime<Utc>) -> String {
        let expires = expires_at.timestamp();
        format!("{expires}.{}", URL_SAFE_NO_PAD.encode(self.tag(object_key, expires)))
    }

    pub(crate) fn verify(&self, object_key: &str, signature: &str, now: DateTime<Utc>) -> bool {
        let Some((expires, tag)) = signature.split_once('.') else { return false };
        let (Ok(expires), Ok(tag)) = (expires.parse::<i64>(), URL_SAFE_NO_PAD.decode(tag)) else { return false };
        now.timestamp() < expires && same(&tag, &self.tag(object_key, expires))
    }

    fn tag(&self, object_key: &str, expires: i64) -> [u8; 32] {
        // The number comes first and has no line break, so no other pair makes the same text.
        hmac(&self.0, format!("{expires}\n{object_key}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_opens_its_own_file_until_it_expires() {
        let signer = Signer::new(&Secret::new(&[1; 32]));
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let later = now + chrono::Duration::seconds(300);
        let signature = signer.sign("verification/a.pdf", later);

        assert!(signer.verify("verification/a.pdf", &signature, now));
        assert!(!signer.verify("verification/a.pdf", &signature, later));
        assert!(!signer.verify("verification/b.pdf", &signature, now));
        assert!(!Signer::new(&Secret::new(&[2; 32])).verify("verification/a.pdf", &signature, now));

        let (_, tag) = signature.split_once('.').expect("two parts");
        for forged in [format!("9999999999.{tag}"), format!("1800000300.{}", "A".repeat(43)), tag.into(), String::new()]
        {
            assert!(!signer.verify("verification/a.pdf", &forged, now), "{forged}");
        }
    }
}
