//! Files: pictures of ads and products, voice notes, documents. Who sends no token may store images only: the
//! frontend's ad form does, and the ad's author claims them later.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, LOCATION};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use kit::identity::Caller;
use proto::media::v1::get_media_request::Key;
use proto::media::v1::{
    self, DeleteMediaRequest, Description, Folder, GetMediaRequest, ListMediaRequest, UpdateHeader, UploadHeader,
};
use serde::Serialize;
use tonic::Status;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Error, Result, price, time};
use crate::auth::Identity;
use crate::dialect::{Credentials, Problem};
use crate::form::{Decimal, Fields, Form, Wrong};
use crate::input::{Input, Path};
use crate::routes::{Describe, NoContent, Operation};
use crate::upload::File;

/// The folders a client may name. What else it names is `media`: the original took any word.
const FOLDERS: &[(&str, Folder)] = &[
    ("media", Folder::Media),
    ("portfolio", Folder::Portfolio),
    ("products", Folder::Products),
    ("verification", Folder::Verification),
    ("chat", Folder::Chat),
    ("profiles", Folder::Profiles),
];

/// A file, or a description without one.
#[derive(Serialize, ToSchema)]
pub struct Media {
    pub id: i64,
    pub name: Option<String>,
    pub description: Option<String>,
    /// A decimal with two places.
    pub price: Option<String>,
    /// Links to private files end after a few minutes; ask again for a new one.
    pub url: Option<String>,
    pub created_at: String,
    // Django's generic relation, which nothing has ever used here.
    pub content_type: Option<i64>,
    pub object_id: Option<i64>,
}

impl Media {
    pub fn of(media: &v1::Media, base: &Base) -> Self {
        Self {
            id: media.number,
            name: media.name.clone(),
            description: media.description.clone(),
            price: media.price_hundredths.map(price),
            url: media.path.as_ref().map(|path| match &media.signature {
                Some(signature) => base.absolute(&format!("{path}?signature={signature}")),
                None => base.absolute(path),
            }),
            created_at: time(media.created_at),
            content_type: None,
            object_id: None,
        }
    }
}

pub async fn list(State(edge): State<Agrovet>, base: Base, _: Caller, page: Page) -> Result<Json<Paged<Media>>> {
    let paged = page
        .fetch(|page_size, skip| {
            // The service ignores `everybody` for all but administrators.
            let request = ListMediaRequest { page_size, skip, everybody: true, ..Default::default() };
            let mut media = edge.media();
            async move { media.list_media(request).await.map(|a| a.into_inner()).map(|a| (a.media, a.total_size)) }
        })
        .await?;
    Ok(Json(paged.map(|media| Media::of(&media, &base))))
}

pub async fn retrieve(State(edge): State<Agrovet>, base: Base, Path(number): Path<i64>) -> Result<Json<Media>> {
    Ok(Json(Media::of(&fetch(&edge, number).await?, &base)))
}

async fn fetch(edge: &Edge, number: i64) -> Result<v1::Media, Status> {
    Ok(edge.media().get_media(GetMediaRequest { key: Some(Key::Number(number)) }).await?.into_inner())
}

/// A file and what to say of it; each part may be missing.
pub struct Upload {
    name: Option<Option<String>>,
    description: Option<Option<String>>,
    price: Option<Option<Decimal>>,
    folder: Folder,
    file: Option<File>,
    /// The file came as a voice note.
    voice: bool,
}

impl Form for Upload {
    fn read(f: &mut Fields) -> Self {
        let mut file = f.file("image").describe("An image").lenient();
        let voice = if file.is_none() { f.file("audio").describe("A voice note").lenient() } else { None };
        let is_voice = voice.is_some();
        file = file.or(voice);
        if file.is_none() {
            // Any other name will do; older clients call it as they like.
            file = f.any_file();
        }
        let name = f.text("name").max(200).blank().nullable();
        let description = f.text("description").max(200).blank().nullable();
        let price = f.decimal("price", 10, 2).nullable();
        let folder = f.text("folder").blank().describe("Where it belongs; `media` unless given").nullable().flatten();
        let folder = FOLDERS.iter().find(|(word, _)| Some(*word) == folder.as_deref());
        // A pair names an object the file belongs to, and no type that may have files exists here.
        let of_object = ["content_type", "object_id"].map(|name| f.integer(name).nullable().flatten());
        if of_object.iter().all(Option::is_some) {
            let text = "content_type must be SpecialistProfile or BusinessmanProfile";
            f.fault("", Wrong::Said(text.into()));
        }
        let folder = folder.map_or(Folder::Media, |(_, folder)| *folder);
        Self { name, description, price, folder, file, voice: is_voice }
    }
}

/// The price of a new file, in hundredths. The original's column has a default, and only an explicit null overrides it.
pub fn first_price(given: Option<Option<Decimal>>) -> Option<i64> {
    given.map_or(Some(0), |price| price.map(|price| price.units))
}

/// Somebody, or nobody who claims to be somebody: the form of ads uploads without a token. Whose token has expired hears
/// so, and renews it; a file that was nobody's would be refused in the profile for which it was uploaded.
pub struct Uploader(Option<Caller>);

impl FromRequestParts<Agrovet> for Uploader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Agrovet) -> Result<Self> {
        match Identity::required(parts.extensions.get()) {
            Ok(caller) => Ok(Self(Some(caller))),
            Err(Credentials::Missing | Credentials::Empty) => Ok(Self(None)),
            // What JavaScript makes of a token that it does not have.
            Err(_) if parts.headers.get(AUTHORIZATION).is_some_and(names_nobody) => Ok(Self(None)),
            Err(why) => Err(Problem::Credentials(why).into()),
        }
    }
}

fn names_nobody(header: &HeaderValue) -> bool {
    let token = header.as_bytes().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    [&b"null"[..], b"undefined"].contains(&token)
}

impl Describe for Uploader {
    fn describe(operation: &mut Operation) {
        Option::<Caller>::describe(operation);
        operation.answer(401, "A token that does not hold");
    }
}

/// 201 and where the file is, if there is one.
pub struct Uploaded(Media);

impl IntoResponse for Uploaded {
    fn into_response(self) -> Response {
        let location = self.0.url.as_deref().and_then(|url| HeaderValue::from_str(url).ok());
        let mut response = (StatusCode::CREATED, Json(self.0)).into_response();
        if let Some(location) = location {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

impl Describe for Uploaded {
    fn describe(operation: &mut Operation) {
        operation.json::<Media>("201", "Stored; `Location` is the file's URL");
    }
}

pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    Uploader(caller): Uploader,
    Input(form): Input<Upload>,
) -> Result<Uploaded> {
    // A refusal that says "sign in" rather than "no image": a frontend whose token has expired then renews it.
    if caller.is_none() && (form.file.is_none() || form.voice) {
        return Err(Problem::Credentials(Credentials::Missing).into());
    }
    let header = UploadHeader {
        description: Some(Description {
            name: form.name.flatten(),
            description: form.description.flatten(),
            price_hundredths: first_price(form.price),
            clear_price: false,
        }),
        folder: form.folder.into(),
        file_required: form.file.is_some(),
        ..Default::default()
    };
    Ok(Uploaded(Media::of(&edge.upload(header, form.file).await?, &base)))
}

/// The file in the path, which the caller may change: one's own, or anybody's for staff. Found out before the body is
/// read: 401, 404 and 403 come before what is wrong with a form.
pub struct Target(v1::Media);

impl FromRequestParts<Agrovet> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        let caller = <Caller as FromRequestParts<Agrovet>>::from_request_parts(parts, edge).await?;
        let Path(number) = Path::<i64>::from_request_parts(parts, edge).await?;
        let media = fetch(edge, number).await?;
        // What nobody owns is nobody's to change but staff's.
        caller.may_act_for(media.owner_id.parse().unwrap_or_default())?;
        Ok(Self(media))
    }
}

impl Describe for Target {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        Path::<i64>::describe(operation);
        operation.answer(403, "Somebody else's");
        operation.answer(404, "No such file");
    }
}

/// PUT and PATCH alike: whatever is not given stays, as in the original, whose fields all have defaults.
pub async fn update(
    State(edge): State<Agrovet>,
    base: Base,
    Target(media): Target,
    Input(form): Input<Upload>,
) -> Result<Json<Media>> {
    let header = UpdateHeader {
        id: media.id,
        description: Some(Description {
            name: changed(form.name, media.name.as_deref()),
            description: changed(form.description, media.description.as_deref()),
            clear_price: form.price == Some(None),
            price_hundredths: form.price.flatten().map(|price| price.units),
        }),
        ..Default::default()
    };
    Ok(Json(Media::of(&edge.update_media(header, form.file).await?, &base)))
}

/// A description is a text or was never given: null for what was never given changes nothing, and for the rest it
/// becomes the empty text. The frontend sends back what it was shown.
fn changed(given: Option<Option<String>>, present: Option<&str>) -> Option<String> {
    match given {
        Some(None) if present.is_none() => None,
        given => given.map(Option::unwrap_or_default),
    }
}

pub async fn delete(State(edge): State<Agrovet>, Target(media): Target) -> Result<NoContent> {
    edge.media().delete_media(DeleteMediaRequest { id: media.id }).await?;
    Ok(NoContent)
}
