//! Login, registration, passwords.

use axum::Json;
use axum::extract::State;
use kit::identity::{Caller, Roles};
use proto::access::v1::Role;
use proto::auth::v1::{
    LogInRequest, LogOutRequest, PasswordRule, Profile, RefreshRequest, RegisterRequest, Tokens, ValidateTokenRequest,
    log_in_request::Login as Name,
};
use proto::users::v1::User;
use serde::Serialize;
use tonic::Code;
use utoipa::ToSchema;

use crate::address::{Base, Client};
use crate::auth::Leaving;
use crate::conectar::error::{BAD_EMAIL, BAD_TOKEN};
use crate::conectar::passwords::{Done, done};
use crate::conectar::users::{ROLES, UserRead, rol};
use crate::conectar::{Conectar, Error, Result};
use crate::form::{Fields, Form};
use crate::input::Input;
use crate::limit::{Class, payer};
use crate::routes::Created;

/// The OAuth2 password form; `email` is accepted for `username`.
pub struct Login {
    email: String,
    password: String,
    second_factor: String,
}

impl Form for Login {
    fn read(f: &mut Fields) -> Self {
        f.choice("grant_type", &[("password", ())]).describe("Ignored").optional();
        let name = if f.has("email") && !f.has("username") { "email" } else { "username" };
        Self {
            email: f.text(name).max(255).required(),
            password: f.text("password").secret().required(),
            second_factor: f.text("otp").blank().max(32).describe("TOTP or recovery code").or(String::new()),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct Token {
    pub access_token: String,
    /// Always `bearer`.
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i32,
    pub refresh_token: String,
}

impl From<Tokens> for Token {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access_token,
            token_type: "bearer",
            expires_in: tokens.expires_in,
            refresh_token: tokens.refresh_token,
        }
    }
}

pub async fn login(State(edge): State<Conectar>, client: Client, Input(form): Input<Login>) -> Result<Json<Token>> {
    // Counted per address and per account, and forgiven unless it fails: the frontend repeats a failed login by itself.
    let whose = vec![payer(None, client), format!("email:{}", form.email.to_lowercase())];
    let watch = edge.limiter.watch(Class::Auth, whose).await?;
    let Login { email, password, second_factor } = form;
    let request = LogInRequest { login: Some(Name::Email(email)), password, second_factor };
    let answer = edge.sessions().log_in(request).await.map_err(Error::from);
    if !answer.as_ref().is_err_and(|error| matches!(error.reason(), "BAD_CREDENTIALS" | "BAD_SECOND_FACTOR")) {
        watch.forgive().await;
    }
    let answer = answer?.into_inner();
    metrics::counter!("users_login_total", "user_type" => rol(Roles::from_numbers(&answer.roles))).increment(1);
    Ok(Json(answer.tokens.unwrap_or_default().into()))
}

/// Domains that lead nowhere by definition; the originals' library for addresses refuses them.
const RESERVED: [&str; 6] = [".test", ".local", ".localhost", ".invalid", ".onion", ".arpa"];

/// A new account; the email in lower case, as it is compared. `oficio_id` is ignored until there are trades, as the
/// original did with ids it did not know.
pub struct Registration {
    email: String,
    password: String,
    first_name: String,
    last_name: String,
    role: Role,
}

impl Form for Registration {
    fn read(f: &mut Fields) -> Self {
        let email = f.text("email").max(255).required().to_lowercase();
        if RESERVED.iter().any(|end| email.ends_with(end)) {
            f.refuse("email", BAD_EMAIL);
        }
        Self {
            email,
            password: f.text("password").secret().min(8).max(128).required(),
            first_name: f.text("nombre").min(1).max(100).required(),
            last_name: f.text("apellido").min(1).max(100).required(),
            role: f.choice("rol", ROLES).or(Role::Client),
        }
    }
}

/// Does not log in: the frontend goes to its login page.
pub async fn register(
    State(edge): State<Conectar>,
    base: Base,
    Input(form): Input<Registration>,
) -> Result<Created<UserRead>> {
    let profile = Profile {
        first_name: Some(form.first_name.clone()),
        last_name: Some(form.last_name.clone()),
        ..Default::default()
    };
    let request = RegisterRequest {
        email: Some(form.email),
        password: form.password,
        password_rule: PasswordRule::Length as i32,
        role: form.role as i32,
        profile: Some(profile),
        ..Default::default()
    };
    let account = edge.accounts().register(request).await?.into_inner().account.unwrap_or_default();
    metrics::counter!("users_registered_total", "user_type" => rol(Roles::from_numbers(&account.roles))).increment(1);
    // The person is as it was just written; asking `users` for it would be a second call for nothing.
    let user = User {
        id: account.id,
        number: account.number,
        first_name: form.first_name,
        last_name: form.last_name,
        email: account.email,
        roles: account.roles,
        state: account.state,
        created_at: account.created_at,
        ..Default::default()
    };
    Ok(Created(UserRead::of(user, &base)))
}

pub struct Refreshing {
    refresh_token: String,
}

impl Form for Refreshing {
    fn read(f: &mut Fields) -> Self {
        Self { refresh_token: f.text("refresh_token").min(1).max(512).required() }
    }
}

pub async fn refresh(State(edge): State<Conectar>, Input(form): Input<Refreshing>) -> Result<Json<Token>> {
    let tokens = edge.sessions().refresh(RefreshRequest { refresh_token: form.refresh_token }).await?.into_inner();
    Ok(Json(tokens.into()))
}

/// A `refresh_token` in the body is accepted and needs no look: it belongs to the session that ends.
pub struct Logout {
    all: bool,
}

impl Form for Logout {
    fn read(f: &mut Fields) -> Self {
        Self { all: f.boolean("all").or(false) }
    }
}

pub async fn logout(
    State(edge): State<Conectar>,
    Leaving(caller): Leaving,
    Input(form): Input<Logout>,
) -> Result<Json<Done>> {
    // A second logout within the token's life finds the session ended, which is what was asked for.
    if caller.is_some() {
        match edge.sessions().log_out(LogOutRequest { everywhere: form.all }).await {
            // Another logout came in between.
            Err(refusal) if refusal.code() == Code::Unauthenticated => {}
            outcome => drop(outcome?),
        }
    }
    Ok(done("Sesión cerrada"))
}

/// The token to look at; without one in the body, that of the header.
pub struct Validation {
    token: Option<String>,
}

impl Form for Validation {
    fn read(f: &mut Fields) -> Self {
        Self { token: f.text("token").min(1).max(4096).optional() }
    }
}

#[derive(Serialize, ToSchema)]
pub struct ValidToken {
    #[schema(format = Uuid)]
    pub user_id: String,
    pub rol: &'static str,
}

pub async fn validate(
    State(edge): State<Conectar>,
    caller: Option<Caller>,
    Input(form): Input<Validation>,
) -> Result<Json<ValidToken>> {
    let (user_id, roles) = match (form.token, caller) {
        (Some(access_token), _) => {
            let answer = edge.sessions().validate_token(ValidateTokenRequest { access_token }).await?.into_inner();
            (answer.user_id, Roles::from_numbers(&answer.roles))
        }
        (None, Some(caller)) => (caller.id.to_string(), caller.roles),
        (None, None) => return Err(Error::detail(401, BAD_TOKEN)),
    };
    Ok(Json(ValidToken { user_id, rol: rol(roles) }))
}
