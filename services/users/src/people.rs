//! People: what both communities' screens show of somebody. Phone, email, roles and state are a copy of the account
//! that `auth` writes here, by version, so that old news changes nothing. Deleted people keep their row, because others
//! refer to it, and nobody finds them any more.

mod sql;

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{denied, invalid};
use kit::identity::{Caller, Roles, caller, try_caller};
use kit::page;
use kit::search::{Patterns, anywhere, words};
use kit::wire::{parse_id, timestamp};
use proto::access::v1::Role;
use proto::auth::v1::{AccountState, Profile};
use proto::common::v1::Point;
use proto::users::v1::get_user_request::Key;
use proto::users::v1::user_service_server::UserService;
use proto::users::v1::{
    AnonymizeUserRequest, AnonymizeUserResponse, BatchGetUsersRequest, BatchGetUsersResponse, GetUserMetricsRequest,
    GetUserRequest, ListUsersRequest, ListUsersResponse, ProvisionUserRequest, SearchUsersRequest, SearchUsersResponse,
    SetAvatarRequest, UpdateUserRequest, User, UserMetrics, UserOrder, UserView, WithdrawUserRequest,
    WithdrawUserResponse,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::avatars::exchange_avatar;
use crate::devices::delete_devices;
use crate::events::{publish_changes, publish_picture};
use crate::search::before_roles;
use crate::{Users, no_such_user};
use sql::*;

pub(crate) use sql::{lock_person, lock_wearers, update_account, update_avatar, update_chat_standing};

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let viewer = try_caller(&request);
        let person = match request.into_inner().key {
            Some(Key::Id(id)) => fetch_person(&self.db, parse_id("id", &id)?).await?,
            Some(Key::Number(number)) => fetch_person_by_number(&self.db, number).await?,
            None => return Err(invalid("key", "id or number is needed").into()),
        };
        Ok(Response::new(person.ok_or_else(no_such_user)?.shown_to(viewer)))
    }

    async fn batch_get_users(
        &self,
        request: Request<BatchGetUsersRequest>,
    ) -> Result<Response<BatchGetUsersResponse>, Status> {
        let viewer = try_caller(&request);
        let request = request.into_inner();
        let view = request.view();
        let BatchGetUsersRequest { ids, numbers, .. } = request;
        if ids.len() + numbers.len() > 500 {
            return Err(invalid("numbers", "must have at most 500 items together with ids").into());
        }
        let ids = ids.iter().map(|id| parse_id("ids", id)).collect::<kit::Result<Vec<_>>>()?;
        let users = match view {
            UserView::Unspecified | UserView::Full => {
                let people = fetch_people(&self.db, &ids, &numbers).await?;
                people.into_iter().map(|person| person.shown_to(viewer)).collect()
            }
            // Nothing of it is veiled before anybody.
            UserView::Basic => fetch_basics(&self.db, &ids, &numbers).await?.into_iter().map(User::from).collect(),
        };
        Ok(Response::new(BatchGetUsersResponse { users }))
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        if !request.email.is_empty() && !caller.admin() {
            return Err(denied("ROLE_MISSING", "only administrators filter by email").into());
        }
        let filter = Filter::of(&request, caller.admin());
        let scope = format!("ListUsers {:?} {filter:?}", request.order());
        let after = self.pager.open::<Place>(&scope, &request.page_token)?;
        let size = page::size(request.page_size, 20, 100);
        // One more than asked tells whether there is a next page.
        let (limit, skip) = (size + 1, i64::from(request.skip));
        let mut people = match request.order() {
            UserOrder::Unspecified | UserOrder::Number => list_by_number(&self.db, &filter, after, limit, skip).await?,
            UserOrder::Newest => list_newest(&self.db, &filter, after, limit, skip).await?,
        };
        let total_size = count_people(&self.db, &filter).await?;

        let next_page_token = self.pager.cut(&scope, &mut people, size, Place::of)?;
        let users = people.into_iter().map(|person| person.shown_to(Some(caller))).collect();
        Ok(Response::new(ListUsersResponse { users, next_page_token, total_size }))
    }

    async fn search_users(
        &self,
        request: Request<SearchUsersRequest>,
    ) -> Result<Response<SearchUsersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let words = words(&request.query);
        // As an email begins: without case, and with the blanks that no email has.
        let typed = words.join(" ").to_lowercase();
        if typed.chars().count() < 2 {
            return Ok(Response::new(SearchUsersResponse::default()));
        }
        let patterns = words.iter().map(|word| before_roles(word)).collect();
        let limit = page::size(request.limit, 20, 50);
        let people = search_people(&self.db, &patterns, &typed, caller.id, limit).await?;
        let users = people.into_iter().map(|person| person.found_by(caller, &typed)).collect();
        Ok(Response::new(SearchUsersResponse { users }))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Result<Response<User>, Status> {
        let caller = caller(&request)?;
        let change = request.into_inner();
        let id = parse_id("id", &change.id)?;
        caller.may_act_for(id)?;

        let mut tx = begin(&self.db).await?;
        let before = lock_person(&mut tx, id).await?.ok_or_else(no_such_user)?;
        let after = update_profile(&mut tx, id, &change, self.clock.now()).await?;
        publish_changes(&mut tx, &before, &after).await?;
        commit(tx).await?;
        Ok(Response::new(after.shown_to(Some(caller))))
    }

    async fn set_avatar(&self, request: Request<SetAvatarRequest>) -> Result<Response<User>, Status> {
        let caller = caller(&request)?;
        let avatar = self.own_picture(caller.id, &request.get_ref().media_id).await?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let before = lock_person(&mut tx, caller.id).await?.ok_or_else(no_such_user)?;
        let after = update_avatar(&mut tx, caller.id, avatar.as_ref(), now).await?;
        exchange_avatar(&mut tx, before.avatar_media_id, after.avatar_media_id, now).await?;
        publish_changes(&mut tx, &before, &after).await?;
        commit(tx).await?;
        Ok(Response::new(after.shown_to(Some(caller))))
    }

    async fn get_user_metrics(&self, _: Request<GetUserMetricsRequest>) -> Result<Response<UserMetrics>, Status> {
        Ok(Response::new(count_kinds(&self.db).await?))
    }

    async fn provision_user(&self, request: Request<ProvisionUserRequest>) -> Result<Response<User>, Status> {
        let request = request.into_inner();
        let id = parse_id("id", &request.id)?;
        let now = self.clock.now();
        let account = Account::of(&request);
        let profile = request.profile.unwrap_or_default();
        // Before `media` is asked: a repeat answers the same even when its picture is long gone.
        if let Some(person) = fetch_person(&self.db, id).await?
            && account.version <= person.account_version
        {
            return Ok(Response::new(person.into()));
        }
        let avatar = match &profile.avatar_media_id {
            Some(media_id) => Some(self.assigned_picture(id, media_id).await?),
            None => None,
        };

        let mut tx = begin(&self.db).await?;
        let came_at = request.created_at.and_then(from_timestamp).unwrap_or(now);
        let made = insert_person(&mut tx, id, request.number, came_at, now).await?;
        let before = lock_person(&mut tx, id).await?.ok_or_else(no_such_user)?;
        if account.version <= before.account_version {
            return Ok(Response::new(before.into()));
        }
        update_account(&mut tx, id, &account, now).await?;
        let mut after = update_profile(&mut tx, id, &profile_change(profile), now).await?;
        if let Some(avatar) = avatar {
            after = update_avatar(&mut tx, id, avatar.as_ref(), now).await?;
            exchange_avatar(&mut tx, before.avatar_media_id, after.avatar_media_id, now).await?;
        }
        if made {
            // That somebody came is for `auth` to tell.
            publish_picture(&mut tx, &after).await?;
        } else {
            publish_changes(&mut tx, &before, &after).await?;
        }
        commit(tx).await?;
        Ok(Response::new(after.into()))
    }

    async fn withdraw_user(
        &self,
        request: Request<WithdrawUserRequest>,
    ) -> Result<Response<WithdrawUserResponse>, Status> {
        let id = parse_id("id", &request.get_ref().id)?;
        let mut tx = begin(&self.db).await?;
        if let Some(person) = lock_person(&mut tx, id).await? {
            delete_person(&mut tx, id).await?;
            exchange_avatar(&mut tx, person.avatar_media_id, None, self.clock.now()).await?;
        }
        commit(tx).await?;
        Ok(Response::new(WithdrawUserResponse {}))
    }

    async fn anonymize_user(
        &self,
        request: Request<AnonymizeUserRequest>,
    ) -> Result<Response<AnonymizeUserResponse>, Status> {
        let id = parse_id("id", &request.get_ref().id)?;
        let mut tx = begin(&self.db).await?;
        self.anonymize(&mut tx, id).await?;
        commit(tx).await?;
        Ok(Response::new(AnonymizeUserResponse {}))
    }
}

impl Users {
    /// What AnonymizeUser does; also done when only the event says that an account is gone.
    pub(crate) async fn anonymize(&self, tx: &mut PgConnection, id: Uuid) -> kit::Result<()> {
        let now = self.clock.now();
        let Some(person) = lock_person(tx, id).await? else { return Ok(()) };
        anonymize_person(tx, id, now).await?;
        delete_devices(&mut *tx, id).await?;
        exchange_avatar(tx, person.avatar_media_id, None, now).await
    }
}

/// A row of `people`, all but the text that is searched.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) bio: Option<String>,
    pub(crate) latitude: Option<f64>,
    pub(crate) longitude: Option<f64>,
    pub(crate) address: Option<String>,
    pub(crate) contact_phone: Option<String>,
    pub(crate) avatar_media_id: Option<Uuid>,
    pub(crate) avatar_path: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) state: String,
    pub(crate) account_version: i64,
    pub(crate) chat_infractions: i32,
    pub(crate) chat_banned: bool,
    pub(crate) verified: bool,
    pub(crate) created_at: DateTime<Utc>,
}

impl Person {
    /// What the viewer may see; without one it is a service that asks.
    fn shown_to(self, viewer: Option<Caller>) -> User {
        let other = viewer.is_some_and(|viewer| viewer.id != self.id && !viewer.admin());
        let user = User::from(self);
        if other { veiled(user) } else { user }
    }

    /// As others see it, but who could type how the email begins sees all of it.
    fn found_by(self, caller: Caller, typed: &str) -> User {
        let email = self.email.clone().filter(|email| email.to_lowercase().starts_with(typed));
        let user = self.shown_to(Some(caller));
        User { email: email.or(user.email), ..user }
    }
}

/// What others see of a person.
fn veiled(mut user: User) -> User {
    user.email = user.email.as_deref().map(masked);
    if !user.roles.contains(&(Role::Businessman as i32))
        && let Some(place) = &mut user.location
    {
        place.latitude = rounded(place.latitude);
        place.longitude = rounded(place.longitude);
    }
    User { address: None, contact_phone: None, chat_infractions: 0, chat_banned: false, ..user }
}

/// `ana@example.com` becomes `a***@example.com`.
fn masked(email: &str) -> String {
    let first = email.chars().next().filter(|c| *c != '@');
    let host = email.rfind('@').map_or("", |at| &email[at..]);
    first.into_iter().chain("***".chars()).chain(host.chars()).collect()
}

/// To 3 decimals, about 100 m.
fn rounded(degrees: f64) -> f64 {
    (degrees * 1000.0).round() / 1000.0
}

impl From<Person> for User {
    fn from(row: Person) -> Self {
        Self {
            id: row.id.to_string(),
            number: row.number,
            first_name: row.first_name,
            last_name: row.last_name,
            bio: row.bio,
            location: row.latitude.zip(row.longitude).map(|(latitude, longitude)| Point { latitude, longitude }),
            address: row.address,
            contact_phone: row.contact_phone,
            avatar_path: row.avatar_path,
            avatar_media_id: row.avatar_media_id.map(|id| id.to_string()),
            phone: row.phone,
            email: row.email,
            roles: Roles::from_names(&row.roles).numbers(),
            state: match row.state.as_str() {
                "ACTIVE" => AccountState::Active,
                "BANNED" => AccountState::Banned,
                _ => AccountState::Deleted,
            }
            .into(),
            created_at: Some(timestamp(row.created_at)),
            chat_infractions: row.chat_infractions,
            chat_banned: row.chat_banned,
            verified: row.verified,
        }
    }
}

/// What `auth` says of somebody.
pub(crate) struct Account {
    pub(crate) version: i64,
    pub(crate) phone: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) roles: Roles,
    pub(crate) banned: bool,
}

impl Account {
    fn of(request: &ProvisionUserRequest) -> Self {
        Self {
            version: request.version,
            phone: request.phone.clone(),
            email: request.email.clone(),
            roles: Roles::from_numbers(&request.roles),
            banned: request.state() == AccountState::Banned,
        }
    }
}

/// A profile is changed by the same rules whether it comes with the account or alone.
fn profile_change(profile: Profile) -> UpdateUserRequest {
    UpdateUserRequest {
        first_name: profile.first_name,
        last_name: profile.last_name,
        bio: profile.bio,
        location: profile.location,
        clear_location: profile.clear_location,
        ..UpdateUserRequest::default()
    }
}

fn from_timestamp(at: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}

/// What a list is narrowed to. Its debug text is part of the page token's scope.
#[derive(Debug)]
struct Filter {
    states: Vec<String>,
    /// All when empty.
    roles: Vec<String>,
    patterns: Patterns,
    /// A pattern for the email alone.
    email: Option<String>,
    /// Whether words may be found in emails: not by those who see them masked.
    in_emails: bool,
}

impl Filter {
    fn of(request: &ListUsersRequest, in_emails: bool) -> Self {
        let states: &[&str] = match request.state() {
            AccountState::Unspecified => &["ACTIVE", "BANNED"],
            AccountState::Active => &["ACTIVE"],
            AccountState::Banned => &["BANNED"],
            AccountState::Deleted => &[],
        };
        let email = words(&request.email).concat();
        let email = (!email.is_empty()).then(|| anywhere(&email));
        let searched = words(&request.search);
        Self {
            states: states.iter().map(|state| (*state).to_owned()).collect(),
            roles: Roles::from_numbers(&request.roles).names(),
            // What an email contains, the searched text contains too, and that has the index.
            patterns: searched.iter().map(|word| anywhere(word)).chain(email.clone()).collect(),
            email,
            in_emails,
        }
    }
}

/// Where a page ends, in either order.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    number: i64,
    created_at: DateTime<Utc>,
    id: Uuid,
}

impl Place {
    fn of(person: &Person) -> Self {
        Self { number: person.number, created_at: person.created_at, id: person.id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_email_keeps_its_first_letter_and_its_host() {
        assert_eq!(masked("ana@example.com"), "a***@example.com");
        assert_eq!(masked("ñandú@example.com"), "ñ***@example.com");
        assert_eq!(masked("@example.com"), "***@example.com");
        assert_eq!(masked("ana"), "a***");
    }

    #[test]
    fn places_are_rounded_to_three_decimals_on_both_sides_of_zero() {
        assert_eq!((rounded(12.136389), rounded(-86.2516)), (12.136, -86.252));
    }
}
