//! People as Conectar shows them.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use kit::identity::{Caller, Roles};
use proto::access::v1::Role;
use proto::auth::v1::{AccountState, DeleteAccountRequest};
use proto::media::v1::{Accept, DeleteMediaRequest, Folder, UploadHeader};
use proto::users::v1::get_user_request::Key;
use proto::users::v1::{self, GetUserRequest, SearchUsersRequest, SetAvatarRequest, UpdateUserRequest};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::address::Base;
use crate::conectar::error::BAD_TOKEN;
use crate::conectar::second_factor::Password;
use crate::conectar::{Conectar, Error, On, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::NoContent;
use crate::upload::File;

/// The wire words of Conectar's roles; the first that somebody has is shown.
pub const ROLES: &[(&str, Role)] =
    &[("ADMIN", Role::Admin), ("PROFESIONAL", Role::Professional), ("CLIENTE", Role::Client)];

/// The role that is shown. People of the other community may hire here.
pub fn rol(roles: Roles) -> &'static str {
    ROLES.iter().find(|(_, role)| roles.contains(*role)).map_or("CLIENTE", |(word, _)| word)
}

/// A token whose owner is no longer there is worth as much as an expired one.
const GONE: &str = "USER_NOT_FOUND";

/// A person.
#[derive(Serialize, ToSchema)]
pub struct UserRead {
    #[schema(format = Uuid)]
    pub id: String,
    pub email: String,
    pub nombre: String,
    pub apellido: String,
    /// `CLIENTE`, `PROFESIONAL` or `ADMIN`.
    pub rol: &'static str,
    pub is_active: bool,
    #[schema(format = DateTime)]
    pub fecha_creacion: String,
    #[schema(required = true)]
    pub avatar_url: Option<String>,
    pub infracciones_chat: i32,
    pub is_chat_banned: bool,
    pub es_admin: bool,
    pub es_profesional: bool,
    pub es_cliente: bool,
    #[schema(required = true)]
    pub telefono: Option<String>,
    #[schema(required = true)]
    pub direccion: Option<String>,
    pub kyc_verificado: bool,
}

impl UserRead {
    pub fn of(user: v1::User, base: &Base) -> Self {
        let rol = rol(Roles::from_numbers(&user.roles));
        Self {
            is_active: user.state() == AccountState::Active,
            id: user.id,
            email: user.email.unwrap_or_default(),
            nombre: user.first_name,
            apellido: user.last_name,
            rol,
            fecha_creacion: time(user.created_at),
            avatar_url: user.avatar_path.map(|path| base.absolute(&path)),
            infracciones_chat: user.chat_infractions,
            is_chat_banned: user.chat_banned,
            es_admin: rol == "ADMIN",
            es_profesional: rol == "PROFESIONAL",
            es_cliente: rol == "CLIENTE",
            telefono: user.contact_phone,
            direccion: user.address,
            kyc_verificado: user.verified,
        }
    }
}

pub async fn me(State(edge): State<Conectar>, base: Base, caller: Caller) -> Result<Json<UserRead>> {
    let request = GetUserRequest { key: Some(Key::Id(caller.id.to_string())) };
    let user = edge.users().get_user(request).await.on(GONE, 401, BAD_TOKEN)?.into_inner();
    Ok(Json(UserRead::of(user, &base)))
}

/// One's own account, or anybody's for an administrator.
pub async fn get(
    State(edge): State<Conectar>,
    base: Base,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<UserRead>> {
    caller.may_act_for(id)?;
    let request = GetUserRequest { key: Some(Key::Id(id.to_string())) };
    Ok(Json(UserRead::of(edge.users().get_user(request).await?.into_inner(), &base)))
}

/// What one may change of oneself. An `email` in the body is ignored: a login name changes by a flow of its own.
pub struct Changes {
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    address: Option<String>,
}

impl Form for Changes {
    fn read(f: &mut Fields) -> Self {
        Self {
            first_name: f.text("nombre").min(1).max(100).optional(),
            last_name: f.text("apellido").min(1).max(100).optional(),
            phone: f.text("telefono").blank().max(50).optional(),
            address: f.text("direccion").blank().max(255).optional(),
        }
    }
}

pub async fn update(
    State(edge): State<Conectar>,
    base: Base,
    caller: Caller,
    Input(changes): Input<Changes>,
) -> Result<Json<UserRead>> {
    let request = UpdateUserRequest {
        id: caller.id.to_string(),
        first_name: changes.first_name,
        last_name: changes.last_name,
        contact_phone: changes.phone,
        address: changes.address,
        ..Default::default()
    };
    let user = edge.users().update_user(request).await.on(GONE, 401, BAD_TOKEN)?.into_inner();
    Ok(Json(UserRead::of(user, &base)))
}

/// A picture; nothing when the form's field was left unfilled, which is not the same as a form without the field.
pub struct Picture {
    file: Option<File>,
}

impl Form for Picture {
    fn read(f: &mut Fields) -> Self {
        Self { file: if f.unfilled("file") { None } else { f.file("file").required() } }
    }
}

const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "gif", "webp"];
/// Names of the same formats that some clients use, and what clients declare who do not know.
const TYPES: [&str; 9] = [
    "image/jpeg",
    "image/jpg",
    "image/pjpeg",
    "image/png",
    "image/x-png",
    "image/gif",
    "image/webp",
    "application/octet-stream",
    "",
];
const LARGEST_PICTURE: u64 = 5 << 20;
const TOO_LARGE: &str = "El archivo debe ser menor a 5MB";

/// Name and declared type must be those of a picture, as the original asked; what the bytes are, `media` decides.
pub async fn avatar(
    State(edge): State<Conectar>,
    base: Base,
    _: Caller,
    form: Result<Input<Picture>>,
) -> Result<Json<UserRead>> {
    let too_large = |error: Error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::detail(413, TOO_LARGE),
        _ => error,
    };
    let Input(form) = form.map_err(too_large)?;
    let file = form.file.ok_or_else(|| Error::detail(400, "Archivo no proporcionado"))?;
    let declared = file.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !TYPES.contains(&declared.as_str()) || !EXTENSIONS.contains(&file.extension().as_str()) {
        return Err(Error::detail(400, "Formato no permitido. Usa: .jpg, .jpeg, .png, .gif, .webp"));
    }
    if file.size > LARGEST_PICTURE {
        return Err(Error::detail(413, TOO_LARGE));
    }
    let header = UploadHeader {
        folder: Folder::Avatars as i32,
        accept: Accept::Image as i32,
        file_required: true,
        max_size: LARGEST_PICTURE as i64,
        ..Default::default()
    };
    let media = edge.upload(header, Some(file)).await.on("MEDIA_TOO_LARGE", 413, TOO_LARGE)?;
    match edge.users().set_avatar(SetAvatarRequest { media_id: media.id.clone() }).await.on(GONE, 401, BAD_TOKEN) {
        Ok(user) => Ok(Json(UserRead::of(user.into_inner(), &base))),
        Err(refusal) => {
            // Nobody refers to the new file; the former one is still the picture.
            let _ = edge.media().delete_media(DeleteMediaRequest { id: media.id }).await;
            Err(refusal)
        }
    }
}

/// Deletes the caller's account for good.
pub async fn delete(State(edge): State<Conectar>, caller: Caller, Input(form): Input<Password>) -> Result<NoContent> {
    let request = DeleteAccountRequest { id: caller.id.to_string(), password: Some(form.password) };
    edge.accounts().delete_account(request).await.on("WRONG_PASSWORD", 400, "La contraseña es incorrecta")?;
    Ok(NoContent)
}

pub struct Search {
    words: String,
}

impl Form for Search {
    fn read(f: &mut Fields) -> Self {
        Self { words: f.text("q").blank().max(100).required() }
    }
}

/// Somebody whom a search found: `UserRead` without what chats hold against the person.
#[derive(Serialize, ToSchema)]
pub struct UserFound {
    #[schema(format = Uuid)]
    pub id: String,
    /// In full only for who typed how it begins, else `a***@example.com`.
    pub email: String,
    pub nombre: String,
    pub apellido: String,
    pub rol: &'static str,
    pub is_active: bool,
    #[schema(format = DateTime)]
    pub fecha_creacion: String,
    #[schema(required = true)]
    pub avatar_url: Option<String>,
    pub es_admin: bool,
    pub es_profesional: bool,
    pub es_cliente: bool,
    #[schema(required = true)]
    pub telefono: Option<String>,
    #[schema(required = true)]
    pub direccion: Option<String>,
    pub kyc_verificado: bool,
}

impl From<UserRead> for UserFound {
    fn from(user: UserRead) -> Self {
        Self {
            id: user.id,
            email: user.email,
            nombre: user.nombre,
            apellido: user.apellido,
            rol: user.rol,
            is_active: user.is_active,
            fecha_creacion: user.fecha_creacion,
            avatar_url: user.avatar_url,
            es_admin: user.es_admin,
            es_profesional: user.es_profesional,
            es_cliente: user.es_cliente,
            // `users` leaves these two out for all but the person and administrators; the keys are always there.
            telefono: user.telefono,
            direccion: user.direccion,
            kyc_verificado: user.kyc_verificado,
        }
    }
}

pub async fn search(
    State(edge): State<Conectar>,
    base: Base,
    _: Caller,
    Query(search): Query<Search>,
) -> Result<Json<Vec<UserFound>>> {
    let request = SearchUsersRequest { query: search.words, limit: 20 };
    let found = edge.users().search_users(request).await?.into_inner().users;
    Ok(Json(found.into_iter().map(|user| UserRead::of(user, &base).into()).collect()))
}
