//! Firebase: custom tokens for the caller, whatever the body says, and the devices that want push notifications.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::auth::v1::{MintFirebaseTokenRequest, MintFirebaseTokenResponse};
use proto::users::v1::{Platform, RegisterDeviceRequest, UnregisterDeviceRequest};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::conectar::passwords::{Done, done};
use crate::conectar::{Conectar, Error, Result};
use crate::form::{Fields, Form};
use crate::input::Input;

#[derive(Serialize, ToSchema)]
pub struct FirebaseToken {
    pub firebase_token: String,
    pub user_id: String,
}

/// The same under the names of another client.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FirebaseTokenCamel {
    pub firebase_token: String,
    pub user_id: String,
}

async fn mint(edge: &Conectar) -> Result<MintFirebaseTokenResponse> {
    Ok(edge.firebase().mint_firebase_token(MintFirebaseTokenRequest {}).await?.into_inner())
}

pub async fn token(State(edge): State<Conectar>, _: Caller) -> Result<Json<FirebaseToken>> {
    let MintFirebaseTokenResponse { firebase_token, user_id } = mint(&edge).await?;
    Ok(Json(FirebaseToken { firebase_token, user_id }))
}

pub async fn token_camel(State(edge): State<Conectar>, _: Caller) -> Result<Json<FirebaseTokenCamel>> {
    let MintFirebaseTokenResponse { firebase_token, user_id } = mint(&edge).await?;
    Ok(Json(FirebaseTokenCamel { firebase_token, user_id }))
}

const PLATFORMS: &[(&str, Platform)] =
    &[("web", Platform::Web), ("android", Platform::Android), ("ios", Platform::Ios)];

pub struct Device {
    token: String,
    platform: Platform,
    /// Sent by one client; it may only name the caller.
    user: Option<String>,
}

impl Form for Device {
    fn read(f: &mut Fields) -> Self {
        Self {
            token: f.text("fcmToken").min(1).max(4096).required(),
            platform: f.choice("platform", PLATFORMS).or(Platform::Web),
            user: f.text("userId").blank().optional(),
        }
    }
}

pub async fn register_device(
    State(edge): State<Conectar>,
    caller: Caller,
    Input(device): Input<Device>,
) -> Result<Json<Done>> {
    let other = device.user.filter(|user| !user.is_empty() && Uuid::try_parse(user).ok() != Some(caller.id));
    if other.is_some() {
        return Err(Error::detail(403, "No puedes registrar dispositivos de otro usuario"));
    }
    let request = RegisterDeviceRequest { token: device.token, platform: device.platform as i32 };
    edge.devices().register_device(request).await?;
    Ok(done("Token FCM guardado correctamente"))
}

/// Every device of the caller: the client that calls this knows no other.
pub async fn forget_devices(State(edge): State<Conectar>, _: Caller) -> Result<Json<Done>> {
    edge.devices().unregister_device(UnregisterDeviceRequest { token: String::new() }).await?;
    Ok(done("Token FCM eliminado"))
}
