//! Sessions and registration. Both ignore whoever is signed in on the device: what they answer is about the person in
//! the form.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::access::v1::Role;
use proto::auth::v1::log_in_request::Login as Name;
use proto::auth::v1::{
    CreateAccountRequest, LogInRequest, LogOutRequest, PasswordRule, Profile, RefreshRequest, RegisterRequest, Tokens,
};
use serde::Serialize;
use tonic::Status;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::profiles::forms::speciality;
use crate::agrovet::users::{self, ROLES, User, location, store_picture};
use crate::agrovet::{Agrovet, Error, On, Result};
use crate::auth::{acting, unsigned};
use crate::form::{Fields, Form};
use crate::input::{Input, Query};
use crate::routes::{Created, NoContent};
use crate::upload::File;

/// A session and whose it is.
#[derive(Serialize, ToSchema)]
pub struct Session {
    pub user: User,
    /// Access token, for `Authorization: Bearer`.
    pub token: String,
    /// Opaque; for the refresh endpoint.
    pub refresh: String,
    /// Seconds until the access token ends.
    pub expires_in: i32,
}

impl Session {
    fn of(tokens: Tokens, user: User) -> Self {
        Self { user, token: tokens.access_token, refresh: tokens.refresh_token, expires_in: tokens.expires_in }
    }
}

/// Somebody who shall have an account.
pub struct Registration {
    phone: String,
    password: String,
    role: Option<Role>,
    profile: Profile,
    speciality: String,
    picture: Option<File>,
}

impl Form for Registration {
    fn read(f: &mut Fields) -> Self {
        let phone = f.text("phone_number").max(40).required();
        let password = f.text("password").secret().max(128).required();
        let mut profile = Profile {
            first_name: f.text("full_name").max(150).blank().optional(),
            last_name: f.text("last_name").max(150).blank().optional(),
            ..Default::default()
        };
        let role = f.choice("role", ROLES).nullable().flatten();
        profile.bio = f.text("bio").max(5000).blank().nullable().flatten();
        (profile.location, _) = location(f);
        let picture = f.file("profile_picture").optional();
        let speciality = speciality(f, role);
        Self { phone, password, role, profile, speciality, picture }
    }
}

impl Registration {
    /// Stores the picture as nobody's: the registration makes it the new person's, and without one it is swept away.
    async fn profile(profile: Profile, picture: Option<File>, edge: &Agrovet) -> Result<Profile> {
        let Some(file) = picture else { return Ok(profile) };
        let media = unsigned(store_picture(edge, "profile_picture", file)).await?;
        Ok(Profile { avatar_media_id: Some(media.id), ..profile })
    }

    /// What the profile of the new account is made of.
    pub fn profile_chosen(&self) -> (Role, String) {
        (self.role.unwrap_or_default(), self.speciality.clone())
    }

    /// For oneself, with a session.
    pub async fn register(self, edge: &Agrovet) -> Result<RegisterRequest> {
        Ok(RegisterRequest {
            profile: Some(Self::profile(self.profile, self.picture, edge).await?),
            phone: Some(self.phone),
            email: None,
            password: self.password,
            password_rule: PasswordRule::Mixed.into(),
            role: self.role.unwrap_or_default().into(),
            sign_in: true,
            speciality: self.speciality,
        })
    }

    /// For somebody else.
    pub async fn create(self, edge: &Agrovet) -> Result<CreateAccountRequest> {
        Ok(CreateAccountRequest {
            profile: Some(Self::profile(self.profile, self.picture, edge).await?),
            phone: Some(self.phone),
            email: None,
            password: self.password,
            password_rule: PasswordRule::Mixed.into(),
            roles: self.role.into_iter().map(Into::into).collect(),
            speciality: self.speciality,
        })
    }
}

pub async fn register(
    State(edge): State<Agrovet>,
    base: Base,
    Input(form): Input<Registration>,
) -> Result<Created<Session>> {
    let (role, speciality) = form.profile_chosen();
    let request = form.register(&edge).await?;
    let answer = unsigned(edge.accounts().register(request)).await?.into_inner();
    let (account, tokens) = (answer.account.unwrap_or_default(), answer.tokens.unwrap_or_default());
    let user = acting(&tokens.access_token, async {
        users::ensure_profile(&edge, account.id.clone(), role, speciality).await;
        signed_in(&edge, &base, account.id).await
    });
    let user = user.await?;
    Ok(Created(Session::of(tokens, user)))
}

/// Phone and password, and a code when the account asks for one.
pub struct Login {
    phone: String,
    password: String,
    second_factor: String,
}

impl Form for Login {
    fn read(f: &mut Fields) -> Self {
        Self {
            phone: f.text("phone_number").max(40).required(),
            password: f.text("password").secret().max(1024).required(),
            second_factor: f
                .text("second_factor")
                .blank()
                .max(32)
                .describe("A TOTP code or a recovery code, when the account asks for one")
                .or(String::new()),
        }
    }
}

pub async fn login(State(edge): State<Agrovet>, base: Base, Input(form): Input<Login>) -> Result<Json<Session>> {
    let request = LogInRequest {
        login: Some(Name::Phone(form.phone)),
        password: form.password,
        second_factor: form.second_factor,
    };
    let answer = unsigned(edge.sessions().log_in(request)).await.map_err(second_factor)?.into_inner();
    let tokens = answer.tokens.unwrap_or_default();
    let user = acting(&tokens.access_token, signed_in(&edge, &base, answer.user_id)).await?;
    Ok(Json(Session::of(tokens, user)))
}

async fn signed_in(edge: &Edge, base: &Base, id: String) -> Result<User> {
    let user = users::fetch(edge, id).await?;
    Ok(users::show_one(edge, base, user).await)
}

/// A client that knows the second factor asks for a code when it sees this key.
fn second_factor(refusal: Status) -> Error {
    let error = Error::from(refusal);
    match error.reason() {
        "SECOND_FACTOR_REQUIRED" => error.with("second_factor", true),
        _ => error,
    }
}

/// Which sessions to end.
pub struct Everywhere(bool);

impl Form for Everywhere {
    fn read(f: &mut Fields) -> Self {
        Self(f.boolean("all").describe("Ends every session of the caller").or(false))
    }
}

pub async fn logout(
    State(edge): State<Agrovet>,
    _: Caller,
    Query(Everywhere(everywhere)): Query<Everywhere>,
) -> Result<NoContent> {
    edge.sessions().log_out(LogOutRequest { everywhere }).await?;
    Ok(NoContent)
}

pub struct Refresh(String);

impl Form for Refresh {
    fn read(f: &mut Fields) -> Self {
        Self(f.text("refresh").max(512).describe("The latest refresh token of the session").required())
    }
}

/// The next tokens of a session.
#[derive(Serialize, ToSchema)]
pub struct Refreshed {
    access: String,
    refresh: String,
    /// Seconds until the access token ends.
    expires_in: i32,
}

pub async fn refresh(State(edge): State<Agrovet>, Input(Refresh(token)): Input<Refresh>) -> Result<Json<Refreshed>> {
    let answer = unsigned(edge.sessions().refresh(RefreshRequest { refresh_token: token })).await;
    let tokens = answer.on("ACCOUNT_BANNED", 401, "Usuario inactivo o borrado.")?.into_inner();
    Ok(Json(Refreshed { access: tokens.access_token, refresh: tokens.refresh_token, expires_in: tokens.expires_in }))
}
