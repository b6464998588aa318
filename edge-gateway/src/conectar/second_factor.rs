//! The second factor of the caller's account.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::auth::v1::{BeginSecondFactorRequest, ConfirmSecondFactorRequest, RemoveSecondFactorRequest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::conectar::{Conectar, On, Result};
use crate::form::{Fields, Form};
use crate::input::Input;
use crate::routes::NoContent;

/// What an authenticator app needs.
#[derive(Serialize, ToSchema)]
pub struct Enrolment {
    /// Base32, for typing.
    pub secreto: String,
    /// `otpauth://`, for a QR code.
    pub url: String,
}

pub async fn begin(State(edge): State<Conectar>, _: Caller) -> Result<Json<Enrolment>> {
    let answer = edge.second_factors().begin_second_factor(BeginSecondFactorRequest {}).await?.into_inner();
    Ok(Json(Enrolment { secreto: answer.secret, url: answer.url }))
}

pub struct Code {
    code: String,
}

impl Form for Code {
    fn read(f: &mut Fields) -> Self {
        Self { code: f.text("codigo").min(1).max(32).required() }
    }
}

/// Shown this once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    pub codigos_recuperacion: Vec<String>,
}

pub async fn confirm(State(edge): State<Conectar>, _: Caller, Input(form): Input<Code>) -> Result<Json<RecoveryCodes>> {
    let request = ConfirmSecondFactorRequest { code: form.code };
    // Not 401 as at the login: the frontend would drop a session that is good.
    let answer = edge.second_factors().confirm_second_factor(request).await;
    let answer = answer.on("BAD_SECOND_FACTOR", 400, "Código de segundo factor incorrecto")?.into_inner();
    Ok(Json(RecoveryCodes { codigos_recuperacion: answer.recovery_codes }))
}

pub struct Password {
    pub password: String,
}

impl Form for Password {
    fn read(f: &mut Fields) -> Self {
        Self { password: f.text("password").secret().min(1).required() }
    }
}

pub async fn remove(State(edge): State<Conectar>, _: Caller, Input(form): Input<Password>) -> Result<NoContent> {
    edge.second_factors().remove_second_factor(RemoveSecondFactorRequest { password: form.password }).await?;
    Ok(NoContent)
}
