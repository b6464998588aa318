//! Custom tokens for Firebase: the caller's own identity, signed by the configured service account. The claims' names
//! are Conectar's, whose apps read them.

use anyhow::Context as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::error::{Result, internal, unavailable};
use kit::identity::{Roles, caller};
use proto::access::v1::Role;
use proto::auth::v1::firebase_service_server::FirebaseService;
use proto::auth::v1::{MintFirebaseTokenRequest, MintFirebaseTokenResponse};
use proto::users::v1::GetUserRequest;
use proto::users::v1::get_user_request::Key;
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Auth;

/// Fixed by Firebase, as is the longest life.
const AUDIENCE: &str = "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit";
const LIFE_SECONDS: i64 = 3600;

#[tonic::async_trait]
impl FirebaseService for Auth {
    async fn mint_firebase_token(
        &self,
        request: Request<MintFirebaseTokenRequest>,
    ) -> Result<Response<MintFirebaseTokenResponse>, Status> {
        let caller = caller(&request)?;
        let signer = self
            .firebase
            .as_ref()
            .ok_or_else(|| unavailable("FIREBASE_NOT_CONFIGURED", "FIREBASE_SERVICE_ACCOUNT is not set"))?;
        let key = Some(Key::Id(caller.id.to_string()));
        let user = self.users.clone().get_user(GetUserRequest { key }).await?.into_inner();
        let rol = conectar(Roles::from_numbers(&user.roles));
        let claims = PersonClaims {
            email: user.email,
            role: rol.map(str::to_lowercase),
            rol,
            nombre: user.first_name,
            apellido: user.last_name,
        };
        let firebase_token = signer.mint(caller.id, claims, self.clock.now().timestamp()).map_err(internal)?;
        Ok(Response::new(MintFirebaseTokenResponse { firebase_token, user_id: caller.id.to_string() }))
    }
}

/// Conectar's spelling of the role, as both its token routes promise it.
fn conectar(roles: Roles) -> Option<&'static str> {
    let spelled = [(Role::Admin, "ADMIN"), (Role::Professional, "PROFESIONAL"), (Role::Client, "CLIENTE")];
    spelled.into_iter().find(|(role, _)| roles.contains(*role)).map(|(_, name)| name)
}

/// Who signs.
pub(crate) struct ServiceAccount {
    email: String,
    key: EncodingKey,
}

/// The parts of Google's file that matter here.
#[derive(Deserialize)]
struct ServiceAccountFile {
    client_email: String,
    private_key: String,
}

#[derive(Serialize)]
struct CustomToken<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'static str,
    iat: i64,
    exp: i64,
    uid: Uuid,
    claims: PersonClaims,
}

#[derive(Serialize)]
struct PersonClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rol: Option<&'static str>,
    nombre: String,
    apellido: String,
}

impl ServiceAccount {
    /// Reads the JSON that Google's console gives out.
    pub(crate) fn parse(json: &str) -> anyhow::Result<Self> {
        let file: ServiceAccountFile = serde_json::from_str(json).context("FIREBASE_SERVICE_ACCOUNT")?;
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .context("the private_key of FIREBASE_SERVICE_ACCOUNT")?;
        Ok(Self { email: file.client_email, key })
    }

    fn mint(&self, uid: Uuid, claims: PersonClaims, now: i64) -> anyhow::Result<String> {
        let token = CustomToken {
            iss: &self.email,
            sub: &self.email,
            aud: AUDIENCE,
            iat: now,
            exp: now + LIFE_SECONDS,
            uid,
            claims,
        };
        Ok(encode(&Header::new(Algorithm::RS256), &token, &self.key)?)
    }
}
