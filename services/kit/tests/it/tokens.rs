//! Which access tokens are good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeZone, Utc};
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::identity::{Caller, Claims, KeyCache, KeySource, Revocations, Verifier};
use kit::{Clock, Peer};
use proptest::prelude::*;
use proto::access::v1::Role;
use proto::auth::v1::key_service_server::{KeyService, KeyServiceServer};
use proto::auth::v1::{GetKeySetRequest, Key, KeySet};
use serde_json::{Value, json};
use testkit::{Network, token_claims};
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// A key pair that signs whatever it is given.
struct Forge {
    private: EncodingKey,
    public: Vec<u8>,
}

impl Forge {
    fn new() -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let der: Pkcs8V1Der<'static> = pair.as_der().expect("as PKCS#8");
        Self { private: EncodingKey::from_ed_der(der.as_ref()), public: pair.public_key().as_ref().to_vec() }
    }

    fn sign(&self, kid: Option<&str>, claims: &impl serde::Serialize) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
        encode(&header, claims, &self.private).expect("claims are JSON")
    }

    fn trusted(&self) -> KeyCache {
        let keys = KeyCache::new(KeySource::Local);
        keys.set(vec![("k1".to_owned(), self.public.clone())]);
        keys
    }
}

struct World {
    forge: Forge,
    clock: Clock,
    verifier: Verifier,
}

impl World {
    fn new() -> Self {
        let (forge, clock) = (Forge::new(), clock());
        let verifier = verifier(forge.trusted(), &clock);
        Self { forge, clock, verifier }
    }

    fn claims(&self) -> Claims {
        token_claims(Uuid::now_v7(), 17, &[Role::Client], self.clock.now().timestamp())
    }

    /// The verdict, first fresh and then perhaps from memory: both must be the same.
    fn verdict(&self, token: &str) -> Result<Caller, String> {
        let verify = || block_on(self.verifier.verify(token)).map_err(|error| error.reason().into_owned());
        let first = verify();
        assert_eq!(first, verify(), "remembering changed the verdict");
        first
    }
}

fn clock() -> Clock {
    Clock::fixed(Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).single().expect("a date"))
}

fn verifier(keys: KeyCache, clock: &Clock) -> Verifier {
    Verifier::new(Arc::new(keys), Arc::new(Revocations::new(clock.clone())), clock.clone())
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn bad() -> Result<Caller, String> {
    Err("BAD_TOKEN".to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whoever_signed_in_comes_out(number in 1i64.., bits in 0u32..128) {
        let world = World::new();
        let roles: Vec<_> = (1..7).filter(|n| bits & (1 << n) != 0).filter_map(|n| Role::try_from(n).ok()).collect();
        let claims = token_claims(Uuid::now_v7(), number, &roles, world.clock.now().timestamp());
        let caller = world.verdict(&world.forge.sign(Some("k1"), &claims)).unwrap();
        prop_assert_eq!((caller.id, caller.number, caller.session), (claims.sub, number, claims.sid));
        prop_assert_eq!(caller.roles.iter().collect::<Vec<_>>(), roles);
    }

    #[test]
    fn one_flipped_bit_is_enough_to_be_refused(at: prop::sample::Index, bit in 0u8..7) {
        let world = World::new();
        let mut token = world.forge.sign(Some("k1"), &world.claims()).into_bytes();
        // The good one is remembered, which must not help.
        prop_assert!(world.verdict(std::str::from_utf8(&token).unwrap()).is_ok());
        let at = at.index(token.len());
        token[at] ^= 1 << bit;
        prop_assert_eq!(world.verdict(std::str::from_utf8(&token).unwrap()), bad());
    }

    #[test]
    fn no_text_is_a_token_or_makes_it_panic(text: String, head: String, body: String) {
        let world = World::new();
        prop_assert_eq!(world.verdict(&text), bad());
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        prop_assert_eq!(world.verdict(&format!("{}.{}.{}", part(&head), part(&body), part(&text))), bad());
    }

    #[test]
    fn a_token_ends_when_it_says(lives in 1u64..100_000, waited in 0u64..200_000) {
        let world = World::new();
        let now = world.clock.now().timestamp();
        let token = world.forge.sign(Some("k1"), &Claims { exp: now + lives as i64, ..world.claims() });
        prop_assert!(world.verdict(&token).is_ok());
        world.clock.advance(Duration::from_secs(waited));
        prop_assert_eq!(world.verdict(&token).is_ok(), waited < lives);
        // Also for a process that sees it for the first time.
        let fresh = verifier(world.forge.trusted(), &world.clock);
        prop_assert_eq!(block_on(fresh.verify(&token)).is_ok(), waited < lives);
    }
}

#[test]
fn only_our_algorithm_is_accepted() {
    let world = World::new();
    let claims = world.claims();
    let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap());
    for alg in ["none", "None", "NONE", "EdDSA", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT", "kid": "k1" }).to_string());
        assert_eq!(world.verdict(&format!("{header}.{body}.")), bad(), "alg {alg} without a signature");
    }
    // The classic: our public key, which everybody knows, as the secret of an HMAC.
    let x = URL_SAFE_NO_PAD.encode(&world.forge.public);
    for secret in [&world.forge.public[..], x.as_bytes()] {
        for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header { kid: Some("k1".into()), ..Header::new(alg) };
            let token = encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
            assert_eq!(world.verdict(&token), bad(), "{alg:?}");
        }
    }
}

#[test]
fn a_key_is_named_and_known() {
    let world = World::new();
    let claims = world.claims();
    assert_eq!(world.verdict(&world.forge.sign(None, &claims)), bad());
    assert_eq!(world.verdict(&world.forge.sign(Some("k2"), &claims)), bad());
    assert_eq!(world.verdict(&Forge::new().sign(Some("k1"), &claims)), bad());
}

#[test]
fn every_claim_is_there_and_right() {
    let world = World::new();
    let good = serde_json::to_value(world.claims()).unwrap();
    assert!(world.verdict(&world.forge.sign(Some("k1"), &good)).is_ok());
    for name in ["sub", "num", "roles", "sid", "iat", "exp", "iss", "aud", "jti", "typ"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(world.verdict(&world.forge.sign(Some("k1"), &claims)), bad(), "without {name}");
    }
    let wrong = [
        ("iss", json!("conectar")),
        ("aud", json!("agrovet")),
        ("aud", json!(["agrovet"])),
        ("typ", json!("refresh")),
        ("sub", json!("17")),
        ("sid", Value::Null),
        ("exp", json!(-1)),
        ("exp", json!("tomorrow")),
    ];
    for (name, value) in wrong {
        let mut claims = good.clone();
        claims[name] = value.clone();
        assert_eq!(world.verdict(&world.forge.sign(Some("k1"), &claims)), bad(), "{name} = {value}");
    }
}

#[test]
fn a_remembered_token_is_refused_at_once_after_its_session_ended() {
    let world = World::new();
    let claims = world.claims();
    let token = world.forge.sign(Some("k1"), &claims);
    assert!(world.verdict(&token).is_ok());
    world.verifier.revocations().add(claims.sid, claims.exp);
    assert_eq!(world.verdict(&token), Err("SESSION_REVOKED".to_owned()));
    // Another session of the same person goes on.
    assert!(world.verdict(&world.forge.sign(Some("k1"), &world.claims())).is_ok());
}

#[test]
fn a_remembered_token_is_refused_once_its_key_is_withdrawn() {
    let world = World::new();
    let token = world.forge.sign(Some("k1"), &world.claims());
    assert!(world.verdict(&token).is_ok());
    let next = Forge::new();
    let both = vec![("k1".to_owned(), world.forge.public.clone()), ("k2".to_owned(), next.public.clone())];
    world.verifier.keys().set(both);
    assert!(world.verdict(&token).is_ok());
    world.verifier.keys().set(vec![("k2".to_owned(), next.public.clone())]);
    assert_eq!(world.verdict(&token), bad());
}

/// `auth` with one key, counting who asks.
#[derive(Clone)]
struct Keys {
    public: Vec<u8>,
    asked: Arc<AtomicUsize>,
    away: bool,
}

#[tonic::async_trait]
impl KeyService for Keys {
    async fn get_key_set(&self, _: Request<GetKeySetRequest>) -> Result<Response<KeySet>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away {
            return Err(Status::resource_exhausted("too much to do"));
        }
        let key = Key { id: "k1".into(), x: URL_SAFE_NO_PAD.encode(&self.public) };
        Ok(Response::new(KeySet { keys: vec![key] }))
    }
}

fn behind(keys: &Keys) -> Verifier {
    let network = Network::default();
    network.stub("auth", KeyServiceServer::new(keys.clone()));
    verifier(KeyCache::new(KeySource::Auth(Peer::new("auth", network.stranger("auth")))), &clock())
}

#[tokio::test]
async fn keys_come_from_auth_and_a_storm_of_unknown_ones_asks_once() {
    let forge = Forge::new();
    let keys = Keys { public: forge.public.clone(), asked: Arc::default(), away: false };
    let verifier = behind(&keys);
    let claims = token_claims(Uuid::now_v7(), 17, &[], clock().now().timestamp());

    let forged: Vec<_> = (0..50).map(|n| forge.sign(Some(&format!("made-up-{n}")), &claims)).collect();
    for verdict in join_all(forged.iter().map(|token| verifier.verify(token))).await {
        assert_eq!(verdict.unwrap_err().reason(), "BAD_TOKEN");
    }
    assert_eq!(keys.asked.load(Ordering::SeqCst), 1);
    assert!(verifier.verify(&forge.sign(Some("k1"), &claims)).await.is_ok());
    assert_eq!(keys.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn while_auth_is_away_a_token_is_neither_good_nor_bad_and_auth_is_left_alone() {
    let forge = Forge::new();
    let keys = Keys { public: forge.public.clone(), asked: Arc::default(), away: true };
    let verifier = behind(&keys);
    let token = forge.sign(Some("k1"), &token_claims(Uuid::now_v7(), 17, &[], clock().now().timestamp()));
    for verdict in join_all((0..20).map(|_| verifier.verify(&token))).await {
        assert_eq!(verdict.unwrap_err().reason(), "AUTH_AWAY");
    }
    assert!(keys.asked.load(Ordering::SeqCst) <= 2);
}
