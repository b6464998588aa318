use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use proto::access::v1::Role;
use proto::auth::v1::firebase_service_client::FirebaseServiceClient;
use proto::auth::v1::{MintFirebaseTokenRequest, RegisterRequest};
use tonic::Code;

use crate::world::{EMAIL, PHONE, World, newcomer, reason};

const AUDIENCE: &str = "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit";

#[tokio::test]
async fn a_token_says_who_the_caller_is() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'static> = pair.as_der().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    let account =
        serde_json::json!({ "client_email": "signer@project.test", "private_key": pem, "type": "service_account" });
    let world = World::with(&["--firebase-service-account", &account.to_string()]).await;
    let request =
        RegisterRequest { phone: None, email: Some(EMAIL.into()), role: Role::Professional.into(), ..newcomer("") };
    let registered = world.try_register(request).await.unwrap();
    let peer = world.holding(&registered.tokens.unwrap());

    let minted = FirebaseServiceClient::new(peer).mint_firebase_token(MintFirebaseTokenRequest {}).await;
    let minted = minted.unwrap().into_inner();
    let user_id = registered.account.unwrap().id;
    assert_eq!(minted.user_id, user_id);

    let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&[AUDIENCE]);
    rules.validate_exp = false;
    let key = DecodingKey::from_rsa_raw_components(&n, &e);
    let claims = decode::<serde_json::Value>(&minted.firebase_token, &key, &rules).unwrap().claims;
    let now = world.harness.clock.now().timestamp();
    assert_eq!(
        claims,
        serde_json::json!({
            "iss": "signer@project.test",
            "sub": "signer@project.test",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 3600,
            "uid": user_id,
            "claims": {
                "email": EMAIL, "role": "profesional", "rol": "PROFESIONAL", "nombre": "Ana", "apellido": "Rojas",
            },
        })
    );
}

#[tokio::test]
async fn without_a_service_account_it_is_unavailable_and_without_a_session_refused() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    let unavailable =
        FirebaseServiceClient::new(ana.peer.clone()).mint_firebase_token(MintFirebaseTokenRequest {}).await;
    assert_eq!(reason(unavailable), "FIREBASE_NOT_CONFIGURED");
    let mut nobody = FirebaseServiceClient::new(world.nobody.clone());
    let refused = nobody.mint_firebase_token(MintFirebaseTokenRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}
