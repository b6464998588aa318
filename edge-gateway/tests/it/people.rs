//! What tests ask about people and their sessions.

use kit::identity::Claims;
use reqwest::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::world::{ADMIN_PHONE, PASSWORD, World};

impl World {
    /// The UUID behind an access token.
    pub(crate) fn uuid(&self, token: &str) -> String {
        claims(token).sub.to_string()
    }

    /// Waits until an access token is refused, which may take a second, and shows the refusal.
    pub(crate) async fn gone(&self, token: &str) -> Answer {
        let me = || self.ask(self.get("/api/auth/users/me/").bearer_auth(token));
        testkit::eventually("the session is over", async || me().await.status == 401).await;
        me().await
    }

    /// The administrator as Agrovet knows them: access token and id.
    pub(crate) async fn staff(&self) -> (String, Value) {
        let login = json!({ "phone_number": ADMIN_PHONE, "password": PASSWORD });
        let answer = self.ask(self.post("/api/auth/login/").json(&login)).await;
        (answer.body["token"].as_str().expect("a token").to_owned(), answer.body["user"]["id"].clone())
    }

    /// A call with a token and a JSON body.
    pub(crate) async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> Answer {
        self.ask(self.request(method, path).bearer_auth(token).json(&body)).await
    }

    /// A reading call with a token.
    pub(crate) async fn read(&self, path: &str, token: &str) -> Answer {
        self.ask(self.get(path).bearer_auth(token)).await
    }
}

/// What a token says, unverified.
pub(crate) fn claims(token: &str) -> Claims {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    serde_json::from_slice(&payload.expect("a JWT")).expect("our claims")
}
