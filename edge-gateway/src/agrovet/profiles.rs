//! Profiles: what people are in Agrovet. The three kinds have the same routes and differ in their fields, so each
//! handler is written once. `{id}` in every path is the number of the person.

pub mod forms;
pub mod shown;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use kit::context::{self, Context};
use kit::identity::Caller;
use proto::media::v1::{Accept, Description, Folder, UploadHeader};
use proto::profiles::v1::{
    self, AppendMediaRequest, CreateProfileRequest, DeleteProfileRequest, GetProfileRequest, ListProfilesRequest,
    ListVerificationsRequest, ProfileKind, RateSpecialistRequest, ReviewVerificationRequest, UpdateProfileRequest,
};
use tonic::{Code, Status};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::media::{Media, first_price};
use crate::agrovet::page::{Page, Paged, Search};
use crate::agrovet::profiles::forms::{Change, InState, Make, Narrowed, Pictures, Replace, Review, Stars, Written};
use crate::agrovet::profiles::shown::{Shown, Specialist, show};
use crate::agrovet::users::{Staff, drop_file};
use crate::agrovet::{Agrovet, Error, On, Result};
use crate::dialect::Problem;
use crate::front::detached;
use crate::input::{Input, Path, Query};
use crate::routes::{Created, Describe, NoContent, Operation};
use crate::upload::File;

const NOT_FOUND: &str = "No encontrado.";
const NOT_YOURS: &str = "No tiene permiso para modificar este recurso.";

/// The person in the path, whose profile the caller may change: oneself, or anybody for staff. Found out before the
/// body is read.
pub struct Owner(Uuid);

impl FromRequestParts<Agrovet> for Owner {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        let caller = <Caller as FromRequestParts<Agrovet>>::from_request_parts(parts, edge).await?;
        let Path(number) = Path::<i64>::from_request_parts(parts, edge).await?;
        if number == caller.number {
            return Ok(Self(caller.id));
        }
        if !caller.admin() {
            return Err(Error::detail(403, NOT_YOURS));
        }
        Ok(Self(user_id(edge, number).await?))
    }
}

impl Describe for Owner {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        Path::<i64>::describe(operation);
        operation.answer(403, "Somebody else");
        operation.answer(404, "No such profile");
    }
}

/// The person in the path, who must be the caller: what is uploaded becomes the uploader's, so staff cannot do it either.
pub struct Oneself(Uuid);

impl FromRequestParts<Agrovet> for Oneself {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        let caller = <Caller as FromRequestParts<Agrovet>>::from_request_parts(parts, edge).await?;
        let Path(number) = Path::<i64>::from_request_parts(parts, edge).await?;
        if number == caller.number { Ok(Self(caller.id)) } else { Err(Error::detail(403, NOT_YOURS)) }
    }
}

impl Describe for Oneself {
    fn describe(operation: &mut Operation) {
        Owner::describe(operation);
    }
}

async fn user_id(edge: &Edge, number: i64) -> Result<Uuid> {
    edge.user_id(number).await.on("USER_NOT_FOUND", 404, NOT_FOUND)
}

/// One of another kind is not found here.
async fn one<K: Shown>(edge: &Edge, base: &Base, profile: v1::Profile, may_write: bool) -> Result<K> {
    show(edge, base, vec![profile], |_| may_write).await?.pop().ok_or_else(|| Error::detail(404, NOT_FOUND))
}

/// Whether somebody may write a profile: one's own, or anybody's for staff.
fn may_write(caller: Caller) -> impl Fn(&v1::Profile) -> bool {
    move |profile| profile.user_number == caller.number || caller.admin()
}

pub async fn list<K: Shown>(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    page: Page,
    Query(narrowed): Query<Narrowed>,
    Query(Search(search)): Query<Search>,
) -> Result<Json<Paged<K>>> {
    let user_id = match narrowed.user_id {
        Some(number) => match edge.user_id(number).await {
            // Whom nobody knows has no profile; and nobody has the nil id.
            Err(unknown) if unknown.code() == Code::NotFound => Uuid::nil().to_string(),
            known => known?.to_string(),
        },
        None => String::new(),
    };
    let request = ListProfilesRequest {
        kind: K::KIND.into(),
        profession: narrowed.profession.unwrap_or_default().into(),
        business_type: narrowed.business_type.unwrap_or_default().into(),
        user_id,
        search,
        ..Default::default()
    };
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListProfilesRequest { page_size, skip, ..request.clone() };
            let mut profiles = edge.profiles();
            async move { profiles.list_profiles(request).await.map(|a| a.into_inner()).map(|a| (a.profiles, a.total_size)) }
        })
        .await?;
    let show = async |profiles| show(&edge, &base, profiles, may_write(caller)).await;
    Ok(Json(paged.try_map_all(show).await?))
}

pub async fn retrieve<K: Shown>(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(number): Path<i64>,
) -> Result<Json<K>> {
    let user_id = user_id(&edge, number).await?.to_string();
    let profile = edge.profiles().get_profile(GetProfileRequest { user_id }).await?.into_inner();
    let may_write = may_write(caller)(&profile);
    Ok(Json(one(&edge, &base, profile, may_write).await?))
}

pub async fn create<K: Shown>(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Input(form): Input<Make<K>>,
) -> Result<Created<K>> {
    let input = Some(form.written.resolved(&edge, caller.id).await?);
    let profile = edge.profiles().create_profile(CreateProfileRequest { input }).await?.into_inner();
    Ok(Created(one(&edge, &base, profile, true).await?))
}

/// 200, or 201 when there was none before.
pub struct Upserted<K> {
    created: bool,
    object: K,
}

impl<K: Shown> IntoResponse for Upserted<K> {
    fn into_response(self) -> Response {
        let status = if self.created { StatusCode::CREATED } else { StatusCode::OK };
        (status, Json(self.object)).into_response()
    }
}

impl<K: ToSchema> Describe for Upserted<K> {
    fn describe(operation: &mut Operation) {
        operation.json::<K>("200", "Changed");
        operation.json::<K>("201", "Made");
    }
}

async fn write<K: Shown>(
    edge: &Edge,
    base: &Base,
    owner: Uuid,
    written: Written,
    create_missing: bool,
) -> Result<Upserted<K>> {
    let input = Some(written.resolved(edge, owner).await?);
    let request = UpdateProfileRequest { user_id: owner.to_string(), input, create_missing };
    let answer = edge.profiles().update_profile(request).await?.into_inner();
    let object = one(edge, base, answer.profile.unwrap_or_default(), true).await?;
    Ok(Upserted { created: answer.created, object })
}

/// Makes what is missing: the frontend's PATCH is answered 404 and followed by this.
pub async fn put<K: Shown>(
    State(edge): State<Agrovet>,
    base: Base,
    Owner(owner): Owner,
    Input(form): Input<Replace<K>>,
) -> Result<Upserted<K>> {
    write(&edge, &base, owner, form.written, true).await
}

pub async fn patch<K: Shown>(
    State(edge): State<Agrovet>,
    base: Base,
    Owner(owner): Owner,
    Input(form): Input<Change<K>>,
) -> Result<Json<K>> {
    Ok(Json(write(&edge, &base, owner, form.written, false).await?.object))
}

pub async fn delete<K: Shown>(State(edge): State<Agrovet>, Owner(owner): Owner) -> Result<NoContent> {
    let request = DeleteProfileRequest { user_id: owner.to_string(), kind: K::KIND.into() };
    edge.profiles().delete_profile(request).await?;
    Ok(NoContent)
}

pub async fn upload<K: Shown>(
    State(edge): State<Agrovet>,
    base: Base,
    Oneself(owner): Oneself,
    Input(form): Input<Pictures>,
) -> Result<Created<Vec<Media>>> {
    if form.files.is_empty() {
        return Err(Error::detail(400, "No files provided."));
    }
    // All or none, too, when the client hangs up in the middle.
    let stored = detached(async move { add_all(&edge, owner, K::KIND, form).await }).await.ok_or(Problem::Panic)??;
    Ok(Created(stored.iter().map(|media| Media::of(media, &base)).collect()))
}

/// Stores pictures and adds them to a gallery, all of them or none.
async fn add_all(edge: &Edge, owner: Uuid, kind: ProfileKind, form: Pictures) -> Result<Vec<proto::media::v1::Media>> {
    let folder = if kind == ProfileKind::Businessman { Folder::Products } else { Folder::Portfolio };
    let stored = store_all(edge, folder, form).await?;
    let media_ids = stored.iter().map(|media| media.id.clone()).collect();
    let request = AppendMediaRequest { user_id: owner.to_string(), kind: kind.into(), media_ids };
    if let Err(refusal) = edge.profiles().append_media(request).await {
        // Should they have been added and only the answer be lost: what is deleted leaves the gallery, too.
        drop_all(edge, stored).await;
        return Err(refusal.into());
    }
    Ok(stored)
}

/// Deletes what an upload has stored, even when its time is up.
async fn drop_all(edge: &Edge, stored: Vec<proto::media::v1::Media>) {
    let context = Context { deadline: None, ..context::current() };
    context::scope(context, async {
        for media in stored {
            drop_file(edge, media.id).await;
        }
    })
    .await;
}

/// All of them or none.
async fn store_all(edge: &Edge, folder: Folder, form: Pictures) -> Result<Vec<proto::media::v1::Media>> {
    let (mut names, mut prices) = (form.names.into_iter(), form.prices.into_iter());
    let mut stored: Vec<proto::media::v1::Media> = Vec::new();
    for file in form.files {
        let description = Description {
            name: names.next().or_else(|| Some(file.name.clone())),
            description: form.description.clone(),
            price_hundredths: first_price(prices.next()),
            clear_price: false,
        };
        match store(edge, folder, description, file).await {
            Ok(media) => stored.push(media),
            Err(refusal) => {
                drop_all(edge, stored).await;
                return Err(refusal);
            }
        }
    }
    Ok(stored)
}

async fn store(edge: &Edge, folder: Folder, description: Description, file: File) -> Result<proto::media::v1::Media> {
    let header = UploadHeader {
        description: Some(description),
        folder: folder.into(),
        accept: Accept::Image.into(),
        file_required: true,
        ..Default::default()
    };
    edge.upload(header, Some(file)).await.map_err(|status: Status| {
        let error = Error::from(status);
        // Whatever else the file is: what was asked for is an image.
        if error.reason() == "MEDIA_TYPE_REFUSED" {
            Error::not_an_image("images")
        } else {
            error.rename("image", "images")
        }
    })
}

/// The documents that staff has to look at, pending ones first.
pub async fn verifications(
    State(edge): State<Agrovet>,
    base: Base,
    _: Staff,
    page: Page,
    Query(InState(state)): Query<InState>,
) -> Result<Json<Paged<Specialist>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let state = state.unwrap_or_default().into();
            let request = ListVerificationsRequest { state, page_size, skip, ..Default::default() };
            let mut verifications = edge.verifications();
            async move {
                let answer = verifications.list_verifications(request).await?.into_inner();
                Ok((answer.profiles, answer.total_size))
            }
        })
        .await?;
    Ok(Json(paged.try_map_all(async |profiles| show(&edge, &base, profiles, |_| true).await).await?))
}

pub async fn review(
    State(edge): State<Agrovet>,
    base: Base,
    _: Staff,
    Path(number): Path<i64>,
    Input(review): Input<Review>,
) -> Result<Json<Specialist>> {
    let request = ReviewVerificationRequest {
        user_id: user_id(&edge, number).await?.to_string(),
        submission: review.submission,
        decision: review.decision.into(),
        reason: review.reason,
    };
    let profile = edge.verifications().review_verification(request).await?.into_inner();
    Ok(Json(one(&edge, &base, profile, true).await?))
}

pub async fn rate(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Path(number): Path<i64>,
    Input(Stars(stars)): Input<Stars>,
) -> Result<Json<Specialist>> {
    let request = RateSpecialistRequest { user_id: user_id(&edge, number).await?.to_string(), stars };
    let profile = edge.ratings().rate_specialist(request).await?.into_inner();
    Ok(Json(one(&edge, &base, profile, false).await?))
}
