//! The service account: who we are to Google, and the access token that says so. It is asked for once however many want
//! it, and used until a minute before it expires or until somebody is refused with it.

use std::time::Duration;

use anyhow::Context as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::Clock;
use kit::error::{internal, unavailable};
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::google::{read_json, said};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Firestore, the Realtime Database, and the address by which the latter knows us.
const SCOPE: &str = "https://www.googleapis.com/auth/datastore https://www.googleapis.com/auth/firebase.database \
                     https://www.googleapis.com/auth/userinfo.email";
/// An assertion's life: Google allows no longer one.
const LIFE_SECONDS: i64 = 3600;
/// Before its end a token is not used any more.
const MARGIN_SECONDS: i64 = 60;
const LARGEST_ANSWER: usize = 64 << 10;

/// The parts of Google's file that matter here.
#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    project_id: String,
    #[serde(default = "google")]
    token_uri: String,
}

fn google() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// A service account and its present token.
pub(super) struct Account {
    email: String,
    key: EncodingKey,
    key_id: Option<String>,
    token_uri: Url,
    clock: Clock,
    /// Held while a new one is asked for.
    token: Mutex<Option<Token>>,
}

struct Token {
    text: String,
    /// Unix seconds.
    good_until: i64,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: i64,
}

impl Account {
    /// Reads the JSON that Google's console gives out; also the project's id.
    pub(super) fn parse(json: &str, clock: Clock) -> anyhow::Result<(Self, String)> {
        let file: File = serde_json::from_str(json).context("FIREBASE_SERVICE_ACCOUNT")?;
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .context("the private_key of FIREBASE_SERVICE_ACCOUNT")?;
        let account = Self {
            email: file.client_email,
            key,
            key_id: file.private_key_id,
            token_uri: file.token_uri.parse().context("the token_uri of FIREBASE_SERVICE_ACCOUNT")?,
            clock,
            token: Mutex::new(None),
        };
        Ok((account, file.project_id))
    }

    /// A token that is good now. Not `refused`, which somebody was turned away with.
    pub(super) async fn token(&self, http: &Client, patience: Duration, refused: Option<&str>) -> kit::Result<String> {
        let mut held = self.token.lock().await;
        let now = self.clock.now().timestamp();
        match &*held {
            Some(token) if token.good_until > now && Some(token.text.as_str()) != refused => {
                return Ok(token.text.clone());
            }
            _ => {}
        }
        let granted = self.ask(http, patience, now).await?;
        let good_until = now + granted.expires_in - MARGIN_SECONDS;
        Ok(held.insert(Token { text: granted.access_token, good_until }).text.clone())
    }

    async fn ask(&self, http: &Client, patience: Duration, now: i64) -> kit::Result<Granted> {
        let claims =
            Claims { iss: &self.email, scope: SCOPE, aud: self.token_uri.as_str(), iat: now, exp: now + LIFE_SECONDS };
        let header = Header { kid: self.key_id.clone(), ..Header::new(Algorithm::RS256) };
        let assertion = encode(&header, &claims, &self.key).map_err(internal)?;
        let form = [("grant_type", GRANT), ("assertion", &assertion)];
        let request = http.post(self.token_uri.clone()).timeout(patience).form(&form);
        let response = request.send().await.map_err(super::google::away)?;
        let status = response.status();
        let answer = read_json(response, LARGEST_ANSWER).await?;
        if status != StatusCode::OK {
            // Also when it is we who are wrong: an operator must repair it, and until then Firebase is away for us.
            let why = answer["error_description"].as_str().unwrap_or_else(|| said(&answer));
            return Err(unavailable("FIREBASE_AWAY", format!("no access token: {status} {why}")));
        }
        serde_json::from_value(answer).map_err(|error| internal(anyhow::Error::new(error).context("an access token")))
    }
}
