//! People as Agrovet shows them.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use kit::error::denied;
use kit::identity::{Caller, Roles};
use proto::access::v1::Role;
use proto::auth::v1::{AccountState, DeleteAccountRequest, PasswordRule, Profile, UpdateAccountRequest};
use proto::common::v1::Point;
use proto::media::v1::{Accept, DeleteMediaRequest, Folder, Media, UploadHeader};
use proto::profiles::v1::EnsureProfileRequest;
use proto::users::v1::get_user_request::Key;
use proto::users::v1::{self, GetUserRequest, ListUsersRequest, SetAvatarRequest};
use serde::Serialize;
use tonic::{Code, Status};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::auth::Registration;
use crate::agrovet::page::{Page, Paged, Search};
use crate::agrovet::profiles::shown::{Businessman, Consumer, Embedded, Specialist, embed};
use crate::agrovet::{Agrovet, Error, Result, degrees, time};
use crate::auth::unsigned;
use crate::form::{Decimal, Fields, Form, Wrong};
use crate::input::{Input, Path, Query};
use crate::routes::{Created, Describe, NoContent, Operation};
use crate::upload::File;

/// The largest picture of a person, in bytes.
const PICTURE_LIMIT: i64 = 5 << 20;

/// The wire words of Agrovet's roles.
pub const ROLES: &[(&str, Role)] =
    &[("Specialist", Role::Specialist), ("businessman", Role::Businessman), ("consumer", Role::Consumer)];

/// A person.
#[derive(Serialize, ToSchema)]
pub struct User {
    pub id: i64,
    /// First name or names.
    pub full_name: String,
    pub last_name: String,
    pub phone_number: String,
    /// `Specialist`, `businessman` or `consumer`.
    pub role: Option<&'static str>,
    pub bio: Option<String>,
    pub profile_picture: Option<String>,
    /// A decimal with seven places.
    pub latitude: Option<String>,
    pub longitude: Option<String>,
    pub date_joined: String,
    pub is_active: bool,
    pub specialist_profile: Option<Specialist>,
    pub businessman_profile: Option<Businessman>,
    pub consumer_profile: Option<Consumer>,
}

impl User {
    fn of(user: v1::User, profile: Embedded, base: &Base) -> Self {
        let roles = Roles::from_numbers(&user.roles);
        let is_active = user.state() == AccountState::Active;
        Self {
            id: user.number,
            full_name: user.first_name,
            last_name: user.last_name,
            phone_number: user.phone.unwrap_or_default(),
            role: ROLES.iter().find(|(_, role)| roles.contains(*role)).map(|(word, _)| *word),
            bio: user.bio,
            profile_picture: user.avatar_path.map(|path| base.absolute(&path)),
            latitude: user.location.map(|point| degrees(point.latitude)),
            longitude: user.location.map(|point| degrees(point.longitude)),
            date_joined: time(user.created_at),
            is_active,
            specialist_profile: profile.specialist,
            businessman_profile: profile.businessman,
            consumer_profile: profile.consumer,
        }
    }
}

/// People with their profiles.
async fn show(edge: &Edge, base: &Base, users: Vec<v1::User>) -> Vec<User> {
    let profiles = embed(edge, base, &users).await;
    users.into_iter().zip(profiles).map(|(user, profile)| User::of(user, profile, base)).collect()
}

/// One person with the profile.
pub async fn show_one(edge: &Edge, base: &Base, user: v1::User) -> User {
    let profile = embed(edge, base, std::slice::from_ref(&user)).await.pop().unwrap_or_default();
    User::of(user, profile, base)
}

/// Makes the profile that a registration chose. If that fails the account is there all the same, and its event makes
/// the profile.
pub async fn ensure_profile(edge: &Edge, user_id: String, role: Role, speciality: String) {
    let request = EnsureProfileRequest { user_id, role: role.into(), speciality };
    if let Err(error) = edge.profiles().ensure_profile(request).await {
        tracing::warn!(%error, "the profile of a new account comes later");
    }
}

/// One person by id; notes the number on the way.
pub async fn fetch(edge: &Edge, id: String) -> Result<v1::User, Status> {
    let user = edge.users().get_user(GetUserRequest { key: Some(Key::Id(id)) }).await?.into_inner();
    edge.remember(&user)?;
    Ok(user)
}

pub async fn me(State(edge): State<Agrovet>, base: Base, caller: Caller) -> Result<Json<User>> {
    let user = fetch(&edge, caller.id.to_string()).await?;
    Ok(Json(show_one(&edge, &base, user).await))
}

pub async fn list(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    page: Page,
    Query(Search(search)): Query<Search>,
) -> Result<Json<Paged<User>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListUsersRequest { page_size, skip, search: search.clone(), ..Default::default() };
            let mut users = edge.users();
            async move { users.list_users(request).await.map(|a| a.into_inner()).map(|a| (a.users, a.total_size)) }
        })
        .await?;
    Ok(Json(paged.map_all(async |users| show(&edge, &base, users).await).await))
}

/// An administrator. Asked for before the body is read, so that others learn nothing of what a form wants.
pub struct Staff;

impl FromRequestParts<Agrovet> for Staff {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        let caller = <Caller as FromRequestParts<Agrovet>>::from_request_parts(parts, edge).await?;
        if caller.admin() { Ok(Self) } else { Err(denied("ROLE_MISSING", "administrators only").into()) }
    }
}

impl Describe for Staff {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        operation.answer(403, "Not an administrator");
    }
}

/// The person in the path, whom the caller may change: oneself, or anybody for staff. Found out before the body is
/// read: 401, 404 and 403 come before what is wrong with a form.
pub struct Target {
    id: Uuid,
    /// Whether it is the caller.
    own: bool,
}

impl FromRequestParts<Agrovet> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        let caller = <Caller as FromRequestParts<Agrovet>>::from_request_parts(parts, edge).await?;
        let Path(number) = Path::<i64>::from_request_parts(parts, edge).await?;
        if number == caller.number {
            return Ok(Self { id: caller.id, own: true });
        }
        let user = fetch_numbered(edge, number).await?;
        let id = edge.remember(&user)?;
        caller.may_act_for(id)?;
        Ok(Self { id, own: false })
    }
}

impl Describe for Target {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        Path::<i64>::describe(operation);
        operation.answer(403, "Somebody else");
        operation.answer(404, "Nobody");
    }
}

async fn fetch_numbered(edge: &Edge, number: i64) -> Result<v1::User, Status> {
    Ok(edge.users().get_user(GetUserRequest { key: Some(Key::Number(number)) }).await?.into_inner())
}

pub async fn retrieve(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Path(number): Path<i64>,
) -> Result<Json<User>> {
    let user = fetch_numbered(&edge, number).await?;
    Ok(Json(show_one(&edge, &base, user).await))
}

/// Somebody just made, as the original showed them: without what comes later.
#[derive(Serialize, ToSchema)]
pub struct NewUser {
    id: i64,
    full_name: String,
    last_name: String,
    phone_number: String,
    role: Option<&'static str>,
    bio: Option<String>,
    profile_picture: Option<String>,
    latitude: Option<String>,
    longitude: Option<String>,
}

impl From<User> for NewUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            full_name: user.full_name,
            last_name: user.last_name,
            phone_number: user.phone_number,
            role: user.role,
            bio: user.bio,
            profile_picture: user.profile_picture,
            latitude: user.latitude,
            longitude: user.longitude,
        }
    }
}

pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    _: Staff,
    Input(form): Input<Registration>,
) -> Result<Created<NewUser>> {
    let (role, speciality) = form.profile_chosen();
    let account = edge.accounts().create_account(form.create(&edge).await?).await?.into_inner();
    ensure_profile(&edge, account.id.clone(), role, speciality).await;
    Ok(Created(User::of(fetch(&edge, account.id).await?, Embedded::default(), &base).into()))
}

/// What to change of somebody. The frontend sends back the whole person it was shown, so whatever is no field of this
/// form, and a picture that is a URL, is left alone.
pub struct Change {
    phone: Option<String>,
    password: Option<String>,
    role: Option<Option<Role>>,
    profile: Profile,
    picture: Option<File>,
}

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        let phone = f.text("phone_number").max(40).required_on_put();
        let password = f.text("password").secret().max(128).nullable().flatten();
        let mut profile = Profile {
            first_name: f.text("full_name").max(150).blank().optional(),
            last_name: f.text("last_name").max(150).blank().optional(),
            ..Default::default()
        };
        let role = f.choice("role", ROLES).nullable();
        // The empty text removes it, and so does null.
        profile.bio = f.text("bio").max(5000).blank().nullable().map(Option::unwrap_or_default);
        (profile.location, profile.clear_location) = location(f);
        // Null does not take a picture away either; it never did.
        let picture = f.file("profile_picture").lenient();
        Self { phone, password, role, profile, picture }
    }
}

/// Both coordinates, and whether to forget them. Half a place is none.
pub fn location(f: &mut Fields) -> (Option<Point>, bool) {
    let given = ["latitude", "longitude"].map(|name| f.has(name));
    let read = ["latitude", "longitude"].map(|name| f.decimal(name, 10, 7).nullable());
    whole_place(f, given, read.map(|degrees| degrees.map(|degrees| degrees.map(Decimal::to_f64))))
}

/// The place that two fields make, `given` and as they were read.
pub fn whole_place(f: &mut Fields, given: [bool; 2], degrees: [Option<Option<f64>>; 2]) -> (Option<Point>, bool) {
    match degrees {
        [Some(Some(latitude)), Some(Some(longitude))] => return (Some(Point { latitude, longitude }), false),
        [Some(None), None | Some(None)] | [None, Some(None)] => return (None, true),
        [Some(Some(_)), Some(None)] => f.fault("longitude", Wrong::Null),
        [Some(None), Some(Some(_))] => f.fault("latitude", Wrong::Null),
        [Some(Some(_)), None] if !given[1] => f.fault("longitude", Wrong::Required),
        [None, Some(Some(_))] if !given[0] => f.fault("latitude", Wrong::Required),
        // Nothing given, or what was given is at fault already.
        [None, _] | [_, None] => {}
    }
    (None, false)
}

pub async fn update(
    State(edge): State<Agrovet>,
    base: Base,
    target: Target,
    Input(change): Input<Change>,
) -> Result<Json<User>> {
    let mut profile = change.profile;
    if let Some(file) = change.picture {
        let store = store_picture(&edge, "profile_picture", file);
        // Stored by staff as nobody's, for the change to make it the person's.
        let media = if target.own { store.await? } else { unsigned(store).await? };
        profile.avatar_media_id = Some(media.id);
    }
    let picture = profile.avatar_media_id.clone();
    let request = UpdateAccountRequest {
        id: target.id.to_string(),
        phone: change.phone,
        password: change.password,
        password_rule: PasswordRule::Mixed.into(),
        agrovet_role: change.role.map(|role| role.unwrap_or_default().into()),
        profile: Some(profile),
    };
    if let Err(refusal) = edge.accounts().update_account(request).await {
        take_back(&edge, picture, &refusal).await;
        return Err(role_locked(refusal, change.role.flatten()));
    }
    let user = fetch(&edge, target.id.to_string()).await?;
    Ok(Json(show_one(&edge, &base, user).await))
}

/// A text instead of a list, as the original raised it outside of its field checks.
fn role_locked(refusal: Status, role: Option<Role>) -> Error {
    let error = Error::from(refusal);
    let word = ROLES.iter().find(|(_, known)| Some(*known) == role).map_or("null", |(word, _)| word);
    match error.reason() {
        "ROLE_LOCKED" => {
            let text = format!("No puede cambiarse a {word} porque existen perfiles de otro tipo.");
            Error::new(400, serde_json::json!({ "role": text }))
        }
        _ => error,
    }
}

pub async fn delete(State(edge): State<Agrovet>, target: Target) -> Result<NoContent> {
    let request = DeleteAccountRequest { id: target.id.to_string(), password: None };
    edge.accounts().delete_account(request).await?;
    Ok(NoContent)
}

/// A picture under the name of the contract, or under the one the profile form has for it.
pub struct Picture(Option<File>);

impl Form for Picture {
    fn read(f: &mut Fields) -> Self {
        let other = f.has("profile_picture") && !f.has("image");
        Self(f.file(if other { "profile_picture" } else { "image" }).required())
    }
}

/// Says what was done, and shows the result.
#[derive(Serialize, ToSchema)]
pub struct PictureSet {
    message: &'static str,
    user: User,
}

pub async fn upload_picture(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Input(Picture(file)): Input<Picture>,
) -> Result<Json<PictureSet>> {
    let Some(file) = file else { return Err(Error::field("image", "No se envió ningún archivo.")) };
    let media = store_picture(&edge, "image", file).await?;
    match edge.users().set_avatar(SetAvatarRequest { media_id: media.id.clone() }).await {
        Ok(user) => Ok(Json(PictureSet {
            message: "Imagen de perfil actualizada correctamente",
            user: show_one(&edge, &base, user.into_inner()).await,
        })),
        Err(refusal) => {
            take_back(&edge, Some(media.id), &refusal).await;
            Err(refusal.into())
        }
    }
}

/// Stores the picture of a person that came in `field`.
pub async fn store_picture(edge: &Edge, field: &'static str, file: File) -> Result<Media> {
    let header = UploadHeader {
        folder: Folder::Profiles.into(),
        accept: Accept::Image.into(),
        file_required: true,
        max_size: PICTURE_LIMIT,
        ..Default::default()
    };
    edge.upload(header, Some(file)).await.map_err(|status| {
        let error = Error::from(status);
        // Whatever else the file is: what was asked for is an image.
        if error.reason() == "MEDIA_TYPE_REFUSED" { Error::not_an_image(field) } else { error.rename("image", field) }
    })
}

/// Deletes a picture that was stored for a change which was then refused. After any other failure nobody knows whether
/// the change was made, and the file stays.
pub async fn take_back(edge: &Edge, media_id: Option<String>, refusal: &Status) {
    let refused = matches!(
        refusal.code(),
        Code::InvalidArgument | Code::NotFound | Code::PermissionDenied | Code::FailedPrecondition
    );
    if let Some(id) = media_id.filter(|_| refused) {
        drop_file(edge, id).await;
    }
}

/// Deletes a file that was stored for nothing.
pub async fn drop_file(edge: &Edge, id: String) {
    if let Err(error) = edge.media().delete_media(DeleteMediaRequest { id }).await {
        tracing::warn!(%error, "a file that nobody shows stays behind");
    }
}
