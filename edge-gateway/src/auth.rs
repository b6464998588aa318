//! Who is calling. One layer per dialect verifies the token once; extractors, rate limits and idempotency keys look at
//! its finding. Only a verified token goes into the context, and from there to the services.
//!
//! In a handler's signature `Caller` means signed in, `Option<Caller>` means maybe: a public endpoint takes an invalid
//! token for none.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use kit::identity::{Caller, Claims, Verifier};
use proto::auth::v1::AccountState;
use proto::users::v1::GetUserRequest;
use proto::users::v1::get_user_request::Key;
use tonic::Code;

use crate::Edge;
use crate::dialect::{Credentials, Dialect, Problem};
use crate::routes::{Describe, Operation};

/// What the Authorization header turned out to be.
#[derive(Clone, Debug)]
pub enum Identity {
    Known { caller: Caller, bearer: Arc<str> },
    Unknown(Credentials),
}

impl Identity {
    /// Reads and verifies the header; `schemes` are the dialect's, in lower case.
    pub async fn of(headers: &HeaderMap, schemes: &[&str], verifier: &Verifier) -> Self {
        let token = match token(headers, schemes) {
            Ok(token) => token,
            Err(why) => return Self::Unknown(why),
        };
        match verifier.verify(token).await {
            Ok(caller) => Self::Known { caller, bearer: format!("Bearer {token}").into() },
            Err(error) if error.reason() == "SESSION_REVOKED" => Self::Unknown(Credentials::Revoked),
            Err(error) if error.code() == Code::Unauthenticated => Self::Unknown(Credentials::Bad),
            Err(_) => Self::Unknown(Credentials::Unknown),
        }
    }

    pub fn caller(&self) -> Option<Caller> {
        match self {
            Self::Known { caller, .. } => Some(*caller),
            Self::Unknown(_) => None,
        }
    }

    /// The caller of a request that needs one.
    pub fn required(identity: Option<&Self>) -> Result<Caller, Credentials> {
        match identity {
            Some(Self::Known { caller, .. }) => Ok(*caller),
            Some(Self::Unknown(why)) => Err(*why),
            None => Err(Credentials::Missing),
        }
    }
}

fn token<'h>(headers: &'h HeaderMap, schemes: &[&str]) -> Result<&'h str, Credentials> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Err(Credentials::Missing) };
    let Ok(header) = header.to_str() else { return Err(Credentials::Bad) };
    let mut words = header.split_ascii_whitespace();
    let scheme = words.next().unwrap_or_default();
    if !schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return Err(Credentials::Missing);
    }
    match (words.next(), words.next()) {
        (None, _) => Err(Credentials::Empty),
        (Some(_), Some(_)) => Err(Credentials::Spaces),
        (Some(token), None) => Ok(token),
    }
}

/// Why a session has ended: frontends drop theirs at any 401, so this is the last thing its user reads. A token is
/// found ended only after its signature was found good, so what it says is true; the question to `users` is the edge's
/// own, because the token opens no door any more.
pub async fn why_ended(edge: &Edge, headers: &HeaderMap) -> Credentials {
    let subject = || {
        let token = headers.get(AUTHORIZATION)?.to_str().ok()?.split_ascii_whitespace().nth(1)?;
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        Some(serde_json::from_slice::<Claims>(&claims).ok()?.sub)
    };
    let Some(id) = subject() else { return Credentials::Revoked };
    match edge.users().get_user(GetUserRequest { key: Some(Key::Id(id.to_string())) }).await {
        Ok(person) if person.get_ref().state() == AccountState::Banned => Credentials::Banned,
        Err(refusal) if refusal.code() == Code::NotFound => Credentials::Deleted,
        _ => Credentials::Revoked,
    }
}

/// Runs a call in the name of a token that has just been issued, whatever the request itself came with.
pub async fn acting<F: Future>(access_token: &str, call: F) -> F::Output {
    let authorization = Some(format!("Bearer {access_token}").into());
    kit::context::scope(kit::context::Context { authorization, ..kit::context::current() }, call).await
}

/// Runs a call in nobody's name, whatever the request itself came with.
pub async fn unsigned<F: Future>(call: F) -> F::Output {
    kit::context::scope(kit::context::Context { authorization: None, ..kit::context::current() }, call).await
}

impl Describe for Caller {
    fn describe(operation: &mut Operation) {
        operation.token = Some(true);
        operation.answer(401, "Not signed in");
    }
}

impl Describe for Option<Caller> {
    fn describe(operation: &mut Operation) {
        operation.token = Some(false);
    }
}

/// Somebody who wants to log out: the caller, or nobody when the session has ended already.
pub struct Leaving(pub Option<Caller>);

impl<D: Dialect> FromRequestParts<D> for Leaving {
    type Rejection = D::Error;

    async fn from_request_parts(parts: &mut Parts, _: &D) -> Result<Self, D::Error> {
        match Identity::required(parts.extensions.get()) {
            Ok(caller) => Ok(Self(Some(caller))),
            Err(Credentials::Revoked) => Ok(Self(None)),
            Err(why) => Err(Problem::Credentials(why).into()),
        }
    }
}

impl Describe for Leaving {
    fn describe(operation: &mut Operation) {
        <Caller as Describe>::describe(operation);
    }
}

/// `Caller` and `Option<Caller>` as arguments of a dialect's handlers. Written once per dialect because neither type
/// is ours; the dialect's own type in the trait makes that legal.
macro_rules! callers {
    ($dialect:ty, $error:ty) => {
        impl axum::extract::FromRequestParts<$dialect> for kit::identity::Caller {
            type Rejection = $error;

            async fn from_request_parts(parts: &mut http::request::Parts, edge: &$dialect) -> Result<Self, $error> {
                use $crate::dialect::{Credentials, Problem};
                match $crate::auth::Identity::required(parts.extensions.get()) {
                    Ok(caller) => Ok(caller),
                    Err(Credentials::Revoked) => {
                        Err(Problem::Credentials($crate::auth::why_ended(edge, &parts.headers).await).into())
                    }
                    Err(why) => Err(Problem::Credentials(why).into()),
                }
            }
        }

        impl axum::extract::OptionalFromRequestParts<$dialect> for kit::identity::Caller {
            type Rejection = std::convert::Infallible;

            async fn from_request_parts(
                parts: &mut http::request::Parts,
                _: &$dialect,
            ) -> Result<Option<Self>, std::convert::Infallible> {
                Ok(parts.extensions.get().and_then($crate::auth::Identity::caller))
            }
        }
    };
}

pub(crate) use callers;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_and_their_faults_are_told_apart() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            token(&headers, &["bearer", "token"]).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc").as_deref(), Ok("abc"));
        assert_eq!(of("tOKEN  abc ").as_deref(), Ok("abc"));
        assert_eq!(of("Basic abc"), Err(Credentials::Missing));
        assert_eq!(of("Bearer"), Err(Credentials::Empty));
        assert_eq!(of("Bearer a b"), Err(Credentials::Spaces));
        assert_eq!(token(&HeaderMap::new(), &["bearer"]), Err(Credentials::Missing));
    }
}
