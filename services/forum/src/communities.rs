//! Communities: where posts belong. Every installation has four seeds, which nobody owns; people become members of
//! theirs by role, see `memberships`. Whoever changes a community's row or counters locks it first.

mod remains;
mod sql;

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, denied, not_found, refused};
use kit::identity::{Caller, caller, try_caller};
use kit::page;
use kit::wire::{parse_id, timestamp};
use proto::forum::v1::community_service_server::CommunityService;
use proto::forum::v1::get_community_request::Key;
use proto::forum::v1::{
    Community, CreateCommunityRequest, DeleteCommunityRequest, DeleteCommunityResponse, GetCommunityRequest,
    JoinCommunityRequest, LeaveCommunityRequest, ListCommunitiesRequest, ListCommunitiesResponse, ListMembersRequest,
    ListMembersResponse, Member, MemberRole, SetMemberRoleRequest, UpdateCommunityRequest,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Forum;
use crate::memberships::{self, Role, fetch_role, refuse_banned};
use crate::moderation::{About, Action, Deed};
use crate::pictures::{Exchange, exchange_pictures};
use sql::*;

pub(crate) use sql::{add_members, add_posts, lock_community};

/// Totals above are told as this.
pub(crate) const COUNTED: i64 = 10_000;
/// Communities that somebody may belong to: the feed looks into each.
const MOST: i32 = 1_000;

#[tonic::async_trait]
impl CommunityService for Forum {
    async fn list_communities(
        &self,
        request: Request<ListCommunitiesRequest>,
    ) -> Result<Response<ListCommunitiesResponse>, Status> {
        let viewer = try_caller(&request).map(|caller| caller.id);
        let member = if request.get_ref().mine { Some(caller(&request)?.id) } else { None };
        let request = request.into_inner();
        let scope = format!("ListCommunities {member:?}");
        let after = self.pager.open::<Place>(&scope, &request.page_token)?;
        let size = page::size(request.page_size, 20, 100);
        // One more than asked tells whether there is a next page.
        let (limit, skip) = (size + 1, i64::from(request.skip));
        let (mut rows, total_size) = match member {
            Some(member) => {
                (list_of_member(&self.db, member, after, limit, skip).await?, count_of_member(&self.db, member).await?)
            }
            None => (list_largest(&self.db, viewer, after, limit, skip).await?, count_all(&self.db).await?),
        };
        let next_page_token = self.pager.cut(&scope, &mut rows, size, Place::of)?;
        let communities = rows.into_iter().map(Community::from).collect();
        Ok(Response::new(ListCommunitiesResponse { communities, next_page_token, total_size }))
    }

    async fn get_community(&self, request: Request<GetCommunityRequest>) -> Result<Response<Community>, Status> {
        let viewer = try_caller(&request).map(|caller| caller.id);
        let row = match request.into_inner().key {
            Some(Key::Id(id)) => fetch_community(&self.db, id, viewer).await?,
            Some(Key::Slug(slug)) => fetch_community_by_slug(&self.db, &slug, viewer).await?,
            None => None,
        };
        Ok(Response::new(row.ok_or_else(no_such_community)?.into()))
    }

    async fn create_community(&self, request: Request<CreateCommunityRequest>) -> Result<Response<Community>, Status> {
        let caller = caller(&request)?;
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        memberships::lock_newcomer(&mut tx, caller.id).await?;
        self.rules.limits.take_community(&mut tx, caller.id, now).await?;
        let id = insert_community(&mut tx, request.get_ref(), caller, now).await?;
        memberships::insert_owner(&mut *tx, id, caller, now).await?;
        refuse_many(&mut tx, caller.id).await?;
        let row = fetch_community(&mut *tx, id, Some(caller.id)).await?.ok_or_else(no_such_community)?;
        commit(tx).await?;
        Ok(Response::new(row.into()))
    }

    async fn update_community(&self, request: Request<UpdateCommunityRequest>) -> Result<Response<Community>, Status> {
        let caller = caller(&request)?;
        let change = request.into_inner();
        let cover = self.picture("cover_image", caller, change.cover_image.as_ref()).await?;
        let avatar = self.picture("avatar", caller, change.avatar.as_ref()).await?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let before = lock_managed(&mut tx, change.id, caller).await?;
        update_texts(&mut tx, &change).await?;
        let mut pictures = Vec::new();
        if let Some(cover) = cover {
            let present = update_cover(&mut tx, change.id, &cover).await?;
            pictures.push(Exchange { field: "cover_image", former: before.cover_media_id, present });
        }
        if let Some(avatar) = avatar {
            let present = update_avatar(&mut tx, change.id, &avatar).await?;
            pictures.push(Exchange { field: "avatar", former: before.avatar_media_id, present });
        }
        exchange_pictures(&mut tx, &pictures, caller.id, now).await?;
        let row = fetch_community(&mut *tx, change.id, Some(caller.id)).await?.ok_or_else(no_such_community)?;
        commit(tx).await?;
        Ok(Response::new(row.into()))
    }

    async fn delete_community(
        &self,
        request: Request<DeleteCommunityRequest>,
    ) -> Result<Response<DeleteCommunityResponse>, Status> {
        let caller = caller(&request)?;
        let id = request.get_ref().id;
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let before = lock_managed(&mut tx, id, caller).await?;
        // Members, bans and the queue of reports go along, posts lose their community, the log stays.
        delete_community(&mut tx, id).await?;
        remains::insert_deleted(&mut *tx, id).await?;
        remains::clear_some(&mut tx, id).await?;
        let pictures = [("cover_image", before.cover_media_id), ("avatar", before.avatar_media_id)];
        let pictures = pictures.map(|(field, former)| Exchange { field, former, present: None });
        exchange_pictures(&mut tx, &pictures, caller.id, now).await?;
        commit(tx).await?;
        Ok(Response::new(DeleteCommunityResponse {}))
    }

    async fn join_community(&self, request: Request<JoinCommunityRequest>) -> Result<Response<Community>, Status> {
        let caller = caller(&request)?;
        let id = request.get_ref().id;
        let mut tx = begin(&self.db).await?;
        memberships::lock_newcomer(&mut tx, caller.id).await?;
        lock_community(&mut tx, id).await?.ok_or_else(no_such_community)?;
        memberships::refuse_banned(&mut *tx, id, caller.id).await?;
        if memberships::join(&mut *tx, id, caller, self.clock.now()).await? {
            refuse_many(&mut tx, caller.id).await?;
            add_members(&mut tx, id, 1).await?;
        }
        let row = fetch_community(&mut *tx, id, Some(caller.id)).await?.ok_or_else(no_such_community)?;
        commit(tx).await?;
        Ok(Response::new(row.into()))
    }

    async fn leave_community(&self, request: Request<LeaveCommunityRequest>) -> Result<Response<Community>, Status> {
        let caller = caller(&request)?;
        let id = request.get_ref().id;
        let mut tx = begin(&self.db).await?;
        lock_community(&mut tx, id).await?.ok_or_else(no_such_community)?;
        let now = self.clock.now();
        if memberships::leave(&mut tx, id, caller.id, caller.number, now).await? {
            add_members(&mut tx, id, -1).await?;
            succeed_owner(&mut tx, id, caller, now).await?;
        }
        let row = fetch_community(&mut *tx, id, Some(caller.id)).await?.ok_or_else(no_such_community)?;
        commit(tx).await?;
        Ok(Response::new(row.into()))
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        caller(&request)?;
        let request = request.into_inner();
        let scope = format!("ListMembers {}", request.id);
        let after = self.pager.open(&scope, &request.page_token)?;
        let size = page::size(request.page_size, 20, 100);
        let community = fetch_community(&self.db, request.id, None).await?.ok_or_else(no_such_community)?;
        let mut rows = memberships::list_ranked(&self.db, request.id, after, size + 1, i64::from(request.skip)).await?;

        let next_page_token = self.pager.cut(&scope, &mut rows, size, |last| last.place())?;
        let members = rows.into_iter().map(Member::from).collect();
        let total_size = community.members_count.min(COUNTED) as i32;
        Ok(Response::new(ListMembersResponse { members, next_page_token, total_size }))
    }

    async fn set_member_role(&self, request: Request<SetMemberRoleRequest>) -> Result<Response<Member>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let user = parse_id("user_id", &request.user_id)?;
        let role = Role::from(request.role());
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        lock_led(&mut tx, request.id, caller).await?;
        let before = memberships::fetch_member(&mut *tx, request.id, user).await?;
        let before = before.ok_or_else(|| not_found("MEMBER_NOT_FOUND", "no such member"))?;
        if before.role() == role {
            return Ok(Response::new(before.into()));
        }
        if before.role() == Role::Owner {
            return Err(owner_required().into());
        }
        if role == Role::Owner {
            memberships::retire_owner(&mut *tx, request.id).await?;
        }
        let member = memberships::update_role(&mut *tx, request.id, user, role).await?;
        let about = About::User { id: user, number: member.user_number };
        let deed = Deed { community_id: Some(request.id), action: Action::Role, about, reason: role.name() };
        deed.log(&mut tx, caller, now).await?;
        commit(tx).await?;
        Ok(Response::new(member.into()))
    }
}

/// The community, locked for a change that its owner, who made it, and administrators may make; of a seed only the last.
/// Whoever made it and was banned from it does not.
async fn lock_managed(conn: &mut PgConnection, id: i64, caller: Caller) -> kit::Result<Locked> {
    let locked = lock_community(conn, id).await?.ok_or_else(no_such_community)?;
    if leads(&mut *conn, id, &locked, caller).await? {
        return Ok(locked);
    }
    if locked.created_by != Some(caller.id) {
        return Err(not_yours());
    }
    refuse_banned(conn, id, caller.id).await?;
    Ok(locked)
}

/// The same for what is the present owner's business, whoever made it.
async fn lock_led(conn: &mut PgConnection, id: i64, caller: Caller) -> kit::Result<Locked> {
    let locked = lock_community(conn, id).await?.ok_or_else(no_such_community)?;
    if leads(conn, id, &locked, caller).await? { Ok(locked) } else { Err(not_yours()) }
}

async fn leads(conn: &mut PgConnection, id: i64, locked: &Locked, caller: Caller) -> kit::Result<bool> {
    Ok(caller.admin() || !locked.seed && fetch_role(conn, id, caller.id).await? == Some(Role::Owner))
}

/// After somebody joined of their own accord, who does so once at a time: refuses what is one too many, with
/// `TOO_MANY_COMMUNITIES`.
async fn refuse_many(conn: &mut PgConnection, member: Uuid) -> kit::Result<()> {
    if count_of_member(conn, member).await? > MOST {
        return Err(refused("TOO_MANY_COMMUNITIES", "leave another community first"));
    }
    Ok(())
}

/// After somebody went: if it was the owner, the longest-serving moderator is it from now on, or who is a member for
/// longest. Nobody owns a seed, or a community without members.
pub(crate) async fn succeed_owner(conn: &mut PgConnection, id: i64, by: Caller, now: DateTime<Utc>) -> kit::Result<()> {
    for (user, number) in memberships::name_successors(&mut *conn, &[id]).await? {
        let about = About::User { id: user, number };
        let deed = Deed { community_id: Some(id), action: Action::Role, about, reason: Role::Owner.name() };
        deed.log(&mut *conn, by, now).await?;
    }
    Ok(())
}

/// What a change needs to know of a community.
pub(crate) struct Locked {
    seed: bool,
    /// Nobody made the seeds.
    created_by: Option<Uuid>,
    cover_media_id: Option<Uuid>,
    avatar_media_id: Option<Uuid>,
}

/// A row of `communities` with the viewer's place in it.
struct CommunityRow {
    id: i64,
    name: String,
    slug: String,
    short_description: String,
    description: String,
    cover_image: Option<String>,
    avatar: Option<String>,
    created_by: Option<Uuid>,
    created_by_number: Option<i64>,
    members_count: i64,
    posts_count: i64,
    created_at: DateTime<Utc>,
    seed: bool,
    viewer_role: Option<String>,
}

impl From<CommunityRow> for Community {
    fn from(row: CommunityRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            slug: row.slug,
            short_description: row.short_description,
            description: row.description,
            cover_image: row.cover_image,
            avatar: row.avatar,
            created_by_id: row.created_by.map(|id| id.to_string()).unwrap_or_default(),
            created_by_number: row.created_by_number.unwrap_or_default(),
            members_count: row.members_count,
            posts_count: row.posts_count,
            created_at: Some(timestamp(row.created_at)),
            seed: row.seed,
            viewer_role: row.viewer_role.map(|role| MemberRole::from(Role::named(&role)).into()),
        }
    }
}

/// Where a page of communities ends.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    members_count: i64,
    created_at: DateTime<Utc>,
    id: i64,
}

impl Place {
    fn of(row: &CommunityRow) -> Self {
        Self { members_count: row.members_count, created_at: row.created_at, id: row.id }
    }
}

pub(crate) fn no_such_community() -> Error {
    not_found("COMMUNITY_NOT_FOUND", "no such community")
}

/// Only by naming another does an owner cease to be one and stay.
pub(crate) fn owner_required() -> Error {
    refused("OWNER_REQUIRED", "a community has an owner: make somebody else the owner first")
}

pub(crate) fn not_yours() -> Error {
    denied("NOT_YOURS", "this belongs to somebody else")
}
