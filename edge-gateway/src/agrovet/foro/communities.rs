//! Communities: reading, making, changing, joining, their pictures and their members.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use kit::identity::Caller;
use proto::forum::v1::{
    self, CreateCommunityRequest, DeleteCommunityRequest, GetCommunityRequest, JoinCommunityRequest,
    LeaveCommunityRequest, ListCommunitiesRequest, ListMembersRequest, MemberRole, Picture, PostCommunity,
    SetMemberRoleRequest, UpdateCommunityRequest, get_community_request, picture,
};
use proto::media::v1::{Accept, Folder, UploadHeader};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::foro::{Beside, Ids, Mentions, Person, form_of_who_may, shown, shown_one};
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::users::take_back;
use crate::agrovet::{Agrovet, Error, On, Result, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path};
use crate::routes::{Created, Describe, NoContent, Operation};
use crate::upload::File;

/// The largest picture of a community, in bytes.
const PICTURE_LIMIT: i64 = 5 << 20;

/// The wire words of what members may do.
const ROLES: &[(&str, MemberRole)] =
    &[("member", MemberRole::Member), ("moderator", MemberRole::Moderator), ("owner", MemberRole::Owner)];

/// A community, the same wherever it is shown.
#[derive(Serialize, ToSchema)]
pub struct Community {
    id: i64,
    name: String,
    slug: String,
    short_description: String,
    description: String,
    cover_image: Option<String>,
    avatar: Option<String>,
    members_count: i64,
    created_by_id: Option<i64>,
    /// The older name of `created_by_id`.
    created_by: Option<i64>,
    created_at: String,
}

impl Community {
    fn of(community: v1::Community, base: &Base) -> Self {
        // What a post shows of it is the same.
        let community = PostCommunity {
            id: community.id,
            name: community.name,
            slug: community.slug,
            short_description: community.short_description,
            description: community.description,
            cover_image: community.cover_image,
            avatar: community.avatar,
            members_count: community.members_count,
            created_by_number: community.created_by_number,
            created_at: community.created_at,
        };
        Self::of_post(community, base)
    }

    pub fn of_post(community: PostCommunity, base: &Base) -> Self {
        let created_by = Some(community.created_by_number).filter(|number| *number != 0);
        Self {
            id: community.id,
            name: community.name,
            slug: community.slug,
            short_description: community.short_description,
            description: community.description,
            cover_image: community.cover_image.map(|url| linked(url, base)),
            avatar: community.avatar.map(|url| linked(url, base)),
            members_count: community.members_count,
            created_by_id: created_by,
            created_by,
            created_at: time(community.created_at),
        }
    }
}

/// A picture is a URL, or the path of one that was uploaded.
fn linked(url: String, base: &Base) -> String {
    if url.starts_with('/') { base.absolute(&url) } else { url }
}

/// The other way round, for a frontend that sends back what it was shown, perhaps under another of the edge's names.
fn unlinked(url: String) -> String {
    let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    match path {
        Some(path) if path.starts_with("/uploads/communities/") => path.to_owned(),
        _ => url,
    }
}

pub async fn list(State(edge): State<Agrovet>, base: Base, page: Page) -> Result<Json<Paged<Community>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListCommunitiesRequest { page_size, skip, ..Default::default() };
            let mut communities = edge.communities();
            async move {
                let answer = communities.list_communities(request).await?.into_inner();
                Ok((answer.communities, answer.total_size))
            }
        })
        .await?;
    Ok(Json(paged.map(|community| Community::of(community, &base))))
}

pub async fn retrieve(State(edge): State<Agrovet>, base: Base, Path(id): Path<i64>) -> Result<Json<Community>> {
    let request = GetCommunityRequest { key: Some(get_community_request::Key::Id(id)) };
    Ok(Json(Community::of(edge.communities().get_community(request).await?.into_inner(), &base)))
}

/// What a community consists of; which fields must be there differs.
pub struct Filled {
    name: Option<String>,
    slug: Option<String>,
    short_description: Option<String>,
    description: Option<String>,
    cover_image: Option<Option<String>>,
    avatar: Option<Option<String>>,
}

impl Filled {
    fn read(f: &mut Fields, required: bool) -> Self {
        let name = f.text("name").max(100);
        let name = if required { Some(name.required()) } else { name.required_on_put() };
        let slug = f.text("slug").max(120);
        let slug = if required { Some(slug.required()) } else { slug.required_on_put() };
        let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if slug.as_deref().is_some_and(|slug| !slug.chars().all(sign)) {
            f.refuse("slug", r#"Introduzca un "slug" válido consistente en letras, números, guiones o guiones bajos."#);
        }
        Self {
            name,
            slug,
            short_description: f.text("short_description").max(255).blank().optional(),
            description: f.text("description").max(20_000).blank().optional(),
            cover_image: f.text("cover_image").max(500).blank().nullable(),
            avatar: f.text("avatar").max(500).blank().nullable(),
        }
    }
}

/// A new community.
pub struct NewCommunity(Filled);

impl Form for NewCommunity {
    fn read(f: &mut Fields) -> Self {
        Self(Filled::read(f, true))
    }
}

/// What to change of one.
pub struct Change(Filled);

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        Self(Filled::read(f, false))
    }
}

/// Whether the caller may change a community: a change that changes nothing is allowed to whom any would be. Who that is
/// the service knows.
async fn may_change(edge: &Edge, id: i64) -> Result<()> {
    edge.communities().update_community(UpdateCommunityRequest { id, ..Default::default() }).await?;
    Ok(())
}

/// The community in the path, which the caller may change. Found out before the body is read: no picture of a stranger's
/// is stored, and 401, 404 and 403 come before what is wrong with it.
pub struct Managed(i64);

impl FromRequestParts<Agrovet> for Managed {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        <Caller as FromRequestParts<Agrovet>>::from_request_parts(parts, edge).await?;
        let Path(id) = Path::<i64>::from_request_parts(parts, edge).await?;
        may_change(edge, id).await?;
        Ok(Self(id))
    }
}

impl Describe for Managed {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        Path::<i64>::describe(operation);
        operation.answer(403, "Somebody else's");
        operation.answer(404, "No such community");
    }
}

/// Names and slugs that are taken are faults of their fields.
fn taken(refusal: tonic::Status) -> Error {
    let error = Error::from(refusal);
    match error.reason() {
        "NAME_TAKEN" => Error::field("name", "Ya existe Comunidad con este name."),
        "SLUG_TAKEN" => Error::field("slug", "Ya existe Comunidad con este slug."),
        _ => error,
    }
}

pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Input(NewCommunity(form)): Input<NewCommunity>,
) -> Result<Created<Community>> {
    let url = |given: Option<Option<String>>| given.flatten().filter(|url| !url.is_empty());
    let request = CreateCommunityRequest {
        name: form.name.unwrap_or_default(),
        slug: form.slug.unwrap_or_default(),
        short_description: form.short_description.unwrap_or_default(),
        description: form.description.unwrap_or_default(),
        cover_image: url(form.cover_image),
        avatar: url(form.avatar),
    };
    let community = edge.communities().create_community(request).await.map_err(taken)?;
    Ok(Created(Community::of(community.into_inner(), &base)))
}

pub async fn update(
    State(edge): State<Agrovet>,
    base: Base,
    _: Caller,
    Path(id): Path<i64>,
    form: Result<Input<Change>>,
) -> Result<Json<Community>> {
    let Change(form) = form_of_who_may(form, may_change(&edge, id)).await?;
    let picture = |given: Option<Option<String>>| {
        given
            .map(|url| Picture { from: url.filter(|url| !url.is_empty()).map(|url| picture::From::Url(unlinked(url))) })
    };
    let request = UpdateCommunityRequest {
        id,
        name: form.name,
        slug: form.slug,
        short_description: form.short_description,
        description: form.description,
        cover_image: picture(form.cover_image),
        avatar: picture(form.avatar),
    };
    let community = edge.communities().update_community(request).await.map_err(taken)?;
    Ok(Json(Community::of(community.into_inner(), &base)))
}

pub async fn delete(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<NoContent> {
    edge.communities().delete_community(DeleteCommunityRequest { id }).await?;
    Ok(NoContent)
}

/// The caller is a member.
#[derive(Serialize, ToSchema)]
pub struct Joined {
    joined: bool,
}

pub async fn join(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<Json<Joined>> {
    edge.communities().join_community(JoinCommunityRequest { id }).await?;
    Ok(Json(Joined { joined: true }))
}

/// The caller is no member.
#[derive(Serialize, ToSchema)]
pub struct Left {
    left: bool,
}

pub async fn leave(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<Json<Left>> {
    edge.communities().leave_community(LeaveCommunityRequest { id }).await?;
    Ok(Json(Left { left: true }))
}

/// A picture in the field `file`.
pub struct Upload(Option<File>);

impl Form for Upload {
    fn read(f: &mut Fields) -> Self {
        Self(f.file("file").describe("JPEG, PNG, WebP or GIF, at most 5 MiB").lenient())
    }
}

/// Where the wide picture is.
#[derive(Serialize, ToSchema)]
pub struct Cover {
    cover_image: Option<String>,
}

pub async fn upload_cover(
    State(edge): State<Agrovet>,
    base: Base,
    Managed(id): Managed,
    Input(upload): Input<Upload>,
) -> Result<Json<Cover>> {
    let set = |picture| UpdateCommunityRequest { id, cover_image: Some(picture), ..Default::default() };
    let community = set_picture(&edge, upload, set).await?;
    Ok(Json(Cover { cover_image: Community::of(community, &base).cover_image }))
}

/// Where the small picture is.
#[derive(Serialize, ToSchema)]
#[schema(as = CommunityAvatar)]
pub struct Avatar {
    avatar: Option<String>,
}

pub async fn upload_avatar(
    State(edge): State<Agrovet>,
    base: Base,
    Managed(id): Managed,
    Input(upload): Input<Upload>,
) -> Result<Json<Avatar>> {
    let set = |picture| UpdateCommunityRequest { id, avatar: Some(picture), ..Default::default() };
    let community = set_picture(&edge, upload, set).await?;
    Ok(Json(Avatar { avatar: Community::of(community, &base).avatar }))
}

async fn set_picture(
    edge: &Edge,
    Upload(file): Upload,
    set: impl FnOnce(Picture) -> UpdateCommunityRequest,
) -> Result<v1::Community> {
    let file = file.ok_or_else(|| Error::detail(400, "file required"))?;
    let header = UploadHeader {
        folder: Folder::Communities.into(),
        accept: Accept::Image.into(),
        file_required: true,
        max_size: PICTURE_LIMIT,
        ..Default::default()
    };
    let stored = edge.upload(header, Some(file)).await.on("STORAGE_FAILED", 502, "upload failed");
    let media = stored.map_err(|error| match error.reason() {
        "MEDIA_TYPE_REFUSED" | "IMAGE_BROKEN" => Error::not_an_image("file"),
        _ => error.rename("image", "file"),
    })?;
    let picture = Picture { from: Some(picture::From::MediaId(media.id.clone())) };
    match edge.communities().update_community(set(picture)).await {
        Ok(community) => Ok(community.into_inner()),
        Err(refusal) => {
            take_back(edge, Some(media.id), &refusal).await;
            Err(refusal.into())
        }
    }
}

/// A member.
#[derive(Serialize, ToSchema)]
pub struct Member {
    user: Person,
    /// `member`, `moderator` or `owner`.
    role: &'static str,
    joined_at: String,
}

impl Member {
    fn of(member: v1::Member, beside: &Beside) -> Self {
        Self {
            user: beside.person(&member.user_id, member.user_number),
            role: ROLES.iter().find(|(_, role)| *role == member.role()).map_or("member", |(word, _)| word),
            joined_at: time(member.joined_at),
        }
    }
}

impl Mentions for v1::Member {
    fn mention<'r>(&'r self, ids: &mut Ids<'r>) {
        ids.people.push(&self.user_id);
    }
}

pub async fn members(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    page: Page,
) -> Result<Json<Paged<Member>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListMembersRequest { id, page_size, skip, ..Default::default() };
            let mut communities = edge.communities();
            async move {
                let answer = communities.list_members(request).await?.into_inner();
                Ok((answer.members, answer.total_size))
            }
        })
        .await?;
    Ok(shown(&edge, base, Some(caller), paged, Member::of).await)
}

/// What a member shall be.
pub struct NewRole {
    user: i64,
    role: MemberRole,
}

impl Form for NewRole {
    fn read(f: &mut Fields) -> Self {
        Self { user: f.integer("user_id").required(), role: f.choice("role", ROLES).required() }
    }
}

pub async fn set_role(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Caller,
    Path(id): Path<i64>,
    Input(NewRole { user, role }): Input<NewRole>,
) -> Result<Json<Member>> {
    let user_id = edge.user_id(user).await?.to_string();
    let request = SetMemberRoleRequest { id, user_id, role: role.into() };
    let member = edge.communities().set_member_role(request).await?.into_inner();
    Ok(Json(shown_one(&edge, base, Some(caller), member, Member::of).await))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uploaded_picture_that_is_sent_back_is_the_same_picture() {
        let base = Base::fixed("https://api.example.com");
        let path = "/uploads/communities/0a1b.jpg";
        assert_eq!(unlinked(linked(path.to_owned(), &base)), path);
        assert_eq!(unlinked(format!("http://localhost:8005{path}")), path);
        for url in ["https://elsewhere.example/a.jpg", "https://api.example.com/other.jpg"] {
            assert_eq!(unlinked(linked(url.to_owned(), &base)), url);
        }
    }
}
