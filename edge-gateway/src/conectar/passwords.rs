//! Passwords: forgotten, reset, changed.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::auth::v1::{
    ChangePasswordRequest, PasswordRule, RequestPasswordResetRequest, ResetPasswordRequest,
    request_password_reset_request::To, reset_password_request::Proof,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::conectar::{Conectar, Result};
use crate::dialect::{Place, Problem};
use crate::form::{Fault, Fields, Form, Wrong};
use crate::input::{Input, Query};

/// What a deed is answered with.
#[derive(Serialize, ToSchema)]
pub struct Done {
    pub message: &'static str,
    pub success: bool,
}

pub fn done(message: &'static str) -> Json<Done> {
    Json(Done { message, success: true })
}

/// In the body, or in the query as one of the original backends wanted it.
pub struct Forgotten {
    email: Option<String>,
}

impl Form for Forgotten {
    fn read(f: &mut Fields) -> Self {
        Self { email: f.text("email").max(255).optional() }
    }
}

/// Answers alike, and takes alike long, whoever it is.
pub async fn forgot(
    State(edge): State<Conectar>,
    Query(query): Query<Forgotten>,
    Input(body): Input<Forgotten>,
) -> Result<Json<Done>> {
    let email = body.email.or(query.email).ok_or_else(|| missing("email"))?;
    edge.passwords().request_password_reset(RequestPasswordResetRequest { to: Some(To::Email(email)) }).await?;
    Ok(done("Si el email existe, recibirás instrucciones para resetear tu contraseña."))
}

/// The token of the mail's link, and the next password.
pub struct Reset {
    token: String,
    new_password: String,
}

impl Form for Reset {
    fn read(f: &mut Fields) -> Self {
        Self {
            token: f.text("token").max(512).required(),
            new_password: f.text("new_password").secret().min(8).max(128).required(),
        }
    }
}

/// Refuses what one of the original backends asked for: the new password in the URL. Also beside a body that has one,
/// or nobody would notice where else it was sent.
pub struct NotInTheUrl;

impl Form for NotInTheUrl {
    fn read(f: &mut Fields) -> Self {
        if f.has("new_password") {
            f.refuse("new_password", "no puede ir en la URL");
        }
        Self
    }
}

pub async fn reset(
    State(edge): State<Conectar>,
    _: Query<NotInTheUrl>,
    Input(form): Input<Reset>,
) -> Result<Json<Done>> {
    let request = ResetPasswordRequest {
        proof: Some(Proof::Token(form.token)),
        new_password: form.new_password,
        password_rule: PasswordRule::Length as i32,
    };
    edge.passwords().reset_password(request).await?;
    Ok(done("Contraseña actualizada exitosamente. Ya puedes iniciar sesión."))
}

/// The current password may be shorter than today's rule: it must be possible to change it.
pub struct Change {
    current_password: String,
    new_password: String,
}

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        Self {
            current_password: f.text("current_password").secret().min(1).required(),
            new_password: f.text("new_password").secret().min(8).max(128).required(),
        }
    }
}

pub async fn change(State(edge): State<Conectar>, _: Caller, Input(form): Input<Change>) -> Result<Json<Done>> {
    let request = ChangePasswordRequest {
        current_password: form.current_password,
        new_password: form.new_password,
        password_rule: PasswordRule::Length as i32,
    };
    edge.passwords().change_password(request).await?;
    Ok(done("Contraseña actualizada exitosamente"))
}

fn missing(field: &'static str) -> Problem {
    Problem::Fields { place: Place::Body, faults: vec![Fault { field: field.into(), wrong: Wrong::Required }] }
}
