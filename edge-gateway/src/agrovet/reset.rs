//! A forgotten password: a code by SMS, then a new password with it. Whatever a request comes with, it is nobody's:
//! the token of whoever is signed in on the device says nothing about the phone.

use axum::Json;
use axum::extract::State;
use proto::auth::v1::request_password_reset_request::To;
use proto::auth::v1::reset_password_request::Proof;
use proto::auth::v1::{PasswordRule, PhoneCode, RequestPasswordResetRequest, ResetPasswordRequest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::agrovet::{Agrovet, Error, Result};
use crate::form::{Fields, Form};
use crate::input::Input;

/// Says what was done.
#[derive(Serialize, ToSchema)]
pub struct Done {
    detail: &'static str,
}

pub struct Forgotten {
    phone: String,
}

impl Form for Forgotten {
    fn read(f: &mut Fields) -> Self {
        Self { phone: f.text("phone").max(40).required() }
    }
}

/// A phone that nobody has gets the same answer: the frontend goes on to the second step, and nobody learns who exists.
pub async fn request(State(edge): State<Agrovet>, Input(form): Input<Forgotten>) -> Result<Json<Done>> {
    let request = RequestPasswordResetRequest { to: Some(To::Phone(form.phone)) };
    edge.passwords().request_password_reset(request).await.map_err(own_names)?;
    Ok(Json(Done { detail: "Código enviado al número registrado." }))
}

pub struct Remembered {
    phone: String,
    code: String,
    new_password: String,
}

impl Form for Remembered {
    fn read(f: &mut Fields) -> Self {
        Self {
            phone: f.text("phone").max(40).required(),
            code: f.text("code").max(32).describe("As it came by SMS").required(),
            new_password: f.text("new_password").secret().max(128).required(),
        }
    }
}

pub async fn verify(State(edge): State<Agrovet>, Input(form): Input<Remembered>) -> Result<Json<Done>> {
    let request = ResetPasswordRequest {
        proof: Some(Proof::PhoneCode(PhoneCode { phone: form.phone, code: form.code })),
        new_password: form.new_password,
        password_rule: PasswordRule::Mixed.into(),
    };
    edge.passwords().reset_password(request).await.map_err(own_names)?;
    Ok(Json(Done { detail: "Contraseña actualizada correctamente." }))
}

/// Here the phone is called `phone`. The page checks no password itself and shows only `detail`, so that has the rule
/// as well.
fn own_names(status: tonic::Status) -> Error {
    let error = Error::from(status).rename("phone_number", "phone");
    match error.text("new_password").map(str::to_owned) {
        Some(rule) => error.with("detail", rule),
        None => error,
    }
}
