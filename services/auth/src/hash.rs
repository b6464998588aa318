//! Password hashes. New ones are argon2id; Django's PBKDF2 and Conectar's bcrypt verify and ask to be made anew.
//!
//! A hash costs tens of milliseconds of a core on purpose, so it never runs on an async thread, no more run at once
//! than there are cores, and no more wait than can be served before their callers give up.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kit::error::{Error, Result, exhausted, internal};
use tokio::sync::Semaphore;

/// How many may wait per core: at about 25 ms each, no longer than three seconds. A hash of Django takes ten times as long,
/// until its owner has signed in once.
const WAITING_PER_CORE: usize = 128;

/// The most rounds of a hash that is taken over from Django, twice what its releases use: the first login does them.
const MOST_ROUNDS: u32 = 2_000_000;

/// Matches no password; verifying against it costs what verifying a real hash costs.
pub(crate) const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cGxhemEtbm9ib2R5LXNsdA$bm8gcGFzc3dvcmQgb2YgYW55Ym9keSBoYXMgaXQgMzI";

/// A new hash, after some 30 ms of work.
pub(crate) fn make(password: &str) -> Result<String> {
    Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(internal)
}

/// What verifying said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, but the hash is of a former kind and should be made anew while the password is at hand.
    RightButStale,
}

/// Hashes and verifies within the bounds above.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    running: Arc<Semaphore>,
    /// Running and waiting together.
    admitted: Arc<Semaphore>,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::bounded(cores, cores * WAITING_PER_CORE)
    }

    fn bounded(running: usize, waiting: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(running)), admitted: Arc::new(Semaphore::new(running + waiting)) }
    }

    /// A new hash. `BUSY` when too many wait.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        self.run(move || make(&password)).await?
    }

    /// Whether the password is the hash's. Without a hash: no, after the same work. `BUSY` when too many wait.
    pub(crate) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<Verdict> {
        let (password, hash) = (password.to_owned(), hash.unwrap_or(NOBODY).to_owned());
        self.run(move || verify(&password, &hash)).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| busy())?;
        let running = self.running.clone().acquire_owned().await.map_err(internal)?;
        // The permits move along: a caller who gives up meanwhile does not make room for another hash.
        tokio::task::spawn_blocking(move || {
            let _held = (admitted, running);
            work()
        })
        .await
        .map_err(internal)
    }
}

fn busy() -> Error {
    exhausted("BUSY", "too many passwords are being checked", Duration::from_secs(1))
}

fn verify(password: &str, hash: &str) -> Verdict {
    let stale = |right: bool| if right { Verdict::RightButStale } else { Verdict::Wrong };
    if let Some(rest) = hash.strip_prefix("pbkdf2_sha256$") {
        // Agrovet trimmed passwords before it hashed them, and people kept typing the spaces.
        stale(verify_django(password, rest) || (password.trim() != password && verify_django(password.trim(), rest)))
    } else if ["$2a$", "$2b$", "$2y$"].iter().any(|kind| hash.starts_with(kind)) {
        stale(bcrypt::verify(password, hash).unwrap_or(false))
    } else {
        verify_argon2(password, hash)
    }
}

fn verify_argon2(password: &str, hash: &str) -> Verdict {
    let Ok(parsed) = PasswordHash::new(hash) else { return Verdict::Wrong };
    if Argon2::default().verify_password(password.as_bytes(), &parsed).is_err() {
        Verdict::Wrong
    } else if current(&parsed) {
        Verdict::Right
    } else {
        Verdict::RightButStale
    }
}

/// Whether a hash has the algorithm and the cost that new ones have.
fn current(hash: &PasswordHash) -> bool {
    let wanted = argon2::Params::default();
    hash.algorithm.as_str() == "argon2id"
        && hash.version == Some(u32::from(argon2::Version::V0x13))
        && argon2::Params::try_from(hash).is_ok_and(|params| {
            params.m_cost() >= wanted.m_cost()
                && params.t_cost() >= wanted.t_cost()
                && params.p_cost() >= wanted.p_cost()
        })
}

fn verify_django(password: &str, rest: &str) -> bool {
    let Some(Django { rounds, salt, digest }) = Django::parse(rest) else { return false };
    pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt.as_bytes(), password.as_bytes(), &digest).is_ok()
}

/// What Django stores behind the name of its algorithm.
struct Django<'h> {
    rounds: NonZeroU32,
    salt: &'h str,
    digest: Vec<u8>,
}

impl<'h> Django<'h> {
    /// `iterations$salt$base64`, the salt as text.
    fn parse(rest: &'h str) -> Option<Self> {
        let mut parts = rest.splitn(3, '$');
        let (rounds, salt, digest) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { rounds: rounds.parse().ok()?, salt, digest: STANDARD.decode(digest).ok()? })
    }
}

/// Whether this is a whole hash of Django's, and no password that was stored in its place.
pub(crate) fn of_django(hash: &str) -> bool {
    let parsed = hash.strip_prefix("pbkdf2_sha256$").and_then(Django::parse);
    parsed.is_some_and(|hash| hash.rounds.get() <= MOST_ROUNDS && !hash.salt.is_empty() && hash.digest.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `make_password("Secreta123", "salt1234", iterations=1000)` of Django.
    fn django(password: &str) -> String {
        let mut digest = [0; 32];
        let iterations = NonZeroU32::new(1000).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, b"salt1234", password.as_bytes(), &mut digest);
        format!("pbkdf2_sha256$1000$salt1234${}", STANDARD.encode(digest))
    }

    #[tokio::test]
    async fn a_new_hash_is_its_passwords_alone_and_not_stale() {
        let hasher = Hasher::new();
        let hash = hasher.hash("Secreta123").await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert_eq!(hasher.verify("Secreta123", Some(&hash)).await.unwrap(), Verdict::Right);
        assert_eq!(hasher.verify("secreta123", Some(&hash)).await.unwrap(), Verdict::Wrong);
        assert_eq!(hasher.verify("Secreta123 ", Some(&hash)).await.unwrap(), Verdict::Wrong);
    }

    #[test]
    fn nobodys_hash_costs_what_a_new_one_costs() {
        assert!(current(&PasswordHash::new(NOBODY).unwrap()), "made with other parameters than new hashes");
        assert_eq!(verify("anything", NOBODY), Verdict::Wrong);
    }

    #[test]
    fn a_known_django_hash_verifies() {
        // From Django's own test suite (tests/auth_tests/test_hashers.py, test_pbkdf2).
        let hash = "pbkdf2_sha256$260000$seasalt$YlZ2Vggtqdc61YjArZuoApoBh9JNGYoDRBUGu6tcJQo=";
        assert_eq!(verify("lètmein", hash), Verdict::RightButStale);
        assert_eq!(verify("letmein", hash), Verdict::Wrong);
    }

    #[test]
    fn what_is_no_whole_hash_of_djangos_is_told_from_one() {
        let whole = django("Secreta123");
        assert!(of_django(&whole));
        assert!(of_django(&whole.replace("$1000$", "$1000000$")));
        for broken in [
            "Secreta123",
            "",
            "!",
            "pbkdf2_sha256$1000$salt1234",
            &whole.replace("pbkdf2_sha256", "pbkdf2_sha1"),
            &whole.replace("$1000$", "$0$"),
            &whole.replace("$1000$", "$4000000000$"),
            &whole.replace("salt1234", ""),
            &whole[..whole.len() - 4],
            &format!("{whole}$"),
        ] {
            assert!(!of_django(broken), "{broken}");
        }
    }

    #[test]
    fn django_hashes_verify_as_typed_and_trimmed() {
        assert_eq!(verify("Secreta123", &django("Secreta123")), Verdict::RightButStale);
        assert_eq!(verify(" Secreta123 ", &django("Secreta123")), Verdict::RightButStale);
        assert_eq!(verify(" Secreta123", &django(" Secreta123")), Verdict::RightButStale);
        assert_eq!(verify("Secreta12", &django("Secreta123")), Verdict::Wrong);
    }

    #[test]
    fn bcrypt_hashes_of_every_spelling_verify() {
        let hash = bcrypt::hash("Secreta123", 4).unwrap();
        for kind in ["$2a$", "$2b$", "$2y$"] {
            let hash = format!("{kind}{}", &hash[4..]);
            assert_eq!(verify("Secreta123", &hash), Verdict::RightButStale, "{kind}");
            assert_eq!(verify("secreta123", &hash), Verdict::Wrong, "{kind}");
        }
    }

    #[test]
    fn a_cheaper_argon2_hash_is_stale() {
        let params = argon2::Params::new(8192, 1, 1, None).unwrap();
        let cheap = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash = cheap.hash_password(b"Secreta123").unwrap().to_string();
        assert_eq!(verify("Secreta123", &hash), Verdict::RightButStale);
    }

    #[test]
    fn what_is_no_hash_fits_no_password() {
        for hash in ["", "!", "pbkdf2_sha256$", "pbkdf2_sha256$0$x$", "$2b$04$short", "$argon2id$broken", "Secreta123"]
        {
            assert_eq!(verify("Secreta123", hash), Verdict::Wrong, "{hash}");
        }
    }

    #[tokio::test]
    async fn beyond_the_bound_nobody_waits() {
        let hasher = Hasher::bounded(1, 1);
        let running = hasher.running.clone().acquire_owned().await.unwrap();
        let waits = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash("Secreta123").await }
        });
        let also = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash("Secreta123").await }
        });
        while hasher.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hasher.hash("Secreta123").await.unwrap_err().reason(), "BUSY");
        drop(running);
        assert!(waits.await.unwrap().is_ok() && also.await.unwrap().is_ok());
    }
}
