//! Profiles. One row per person whatever the kind, so a unique key decides between two tabs that make two kinds. The
//! kind of the profile is the role of the account: `holds` tells `auth` after each profile that is made or removed.

mod sql;

use chrono::{DateTime, Utc};
use kit::error::{Error, aborted, already_exists, invalid, unauthenticated};
use kit::identity::{Caller, caller, try_caller};
use kit::page;
use kit::search::words;
use kit::wire::{parse_id, timestamp};
use proto::access::v1::Role;
use proto::profiles::v1::profile::Details;
use proto::profiles::v1::profile_service_server::ProfileService;
use proto::profiles::v1::{
    AppendMediaRequest, BatchGetProfilesRequest, BatchGetProfilesResponse, BusinessType, Businessman, Consumer,
    CreateProfileRequest, DeleteProfileRequest, DeleteProfileResponse, EnsureProfileRequest, EnsureProfileResponse,
    GetProfileRequest, ListProfilesRequest, ListProfilesResponse, Profession, Profile, ProfileKind, Specialist,
    UpdateProfileRequest, UpdateProfileResponse, Verification,
};
use proto::users::v1::GetUserRequest;
use proto::users::v1::get_user_request::Key;
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::documents::Documents;
use crate::events::{publish_created, publish_deleted, publish_updated};
use crate::holds::insert_hold;
use crate::input::{Change, distinct, gallery_full};
use crate::search::Search;
use crate::{Profiles, no_such_profile};
use sql::*;

pub(crate) use sql::{
    Turn, count_verifications, delete_profile, fetch_profile, forget_heard_name, gone, insert_welcomed,
    list_verifications, lock_person, lock_profile, lock_referrers, update_documents, update_gallery, update_name,
    update_points, upsert_gone, upsert_heard_name,
};

/// Plans are made for the words: some are in every text and some in none. Nor are all profiles read one after the
/// other, which looks cheap as long as the first few match.
const BEGIN_SEARCH: &str = "begin isolation level repeatable read read only; \
     set local plan_cache_mode = force_custom_plan; set local enable_seqscan = off";

#[tonic::async_trait]
impl ProfileService for Profiles {
    async fn get_profile(&self, request: Request<GetProfileRequest>) -> Result<Response<Profile>, Status> {
        let viewer = try_caller(&request);
        let user_id = parse_id("user_id", &request.get_ref().user_id)?;
        let row = fetch_profile(&self.db, user_id).await?.ok_or_else(no_such_profile)?;
        Ok(Response::new(row.shown_to(viewer)))
    }

    async fn batch_get_profiles(
        &self,
        request: Request<BatchGetProfilesRequest>,
    ) -> Result<Response<BatchGetProfilesResponse>, Status> {
        let viewer = try_caller(&request);
        let ids = &request.get_ref().user_ids;
        let ids = ids.iter().map(|id| parse_id("user_ids", id)).collect::<kit::Result<Vec<_>>>()?;
        let rows = fetch_profiles(&self.db, &ids).await?;
        let profiles = rows.into_iter().map(|row| row.shown_to(viewer)).collect();
        Ok(Response::new(BatchGetProfilesResponse { profiles }))
    }

    async fn list_profiles(
        &self,
        request: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let filter = Filter::of(&request, caller)?;
        let scope = format!("ListProfiles {filter:?}");
        let after = self.pager.open::<i64>(&scope, &request.page_token)?.unwrap_or_default();
        let size = page::size(request.page_size, 20, 100);
        // One more than asked tells whether there is a next page.
        let (limit, skip) = (size + 1, i64::from(request.skip));
        let (mut rows, total_size) = match &filter {
            Filter { user_id: Some(user_id), .. } => {
                let own = find_profile(&self.db, *user_id, &filter).await?;
                let total = i32::from(own.is_some());
                (own.into_iter().filter(|row| row.id > after && skip == 0).collect(), total)
            }
            Filter { searched: true, .. } => self.search(&filter, after, limit, skip).await?,
            Filter { kind, speciality: Some(speciality), .. } => (
                list_of_speciality(&self.db, *kind, speciality, after, limit, skip).await?,
                count_of_speciality(&self.db, *kind, speciality).await?,
            ),
            Filter { kind, .. } => {
                (list_of_kind(&self.db, *kind, after, limit, skip).await?, count_of_kind(&self.db, *kind).await?)
            }
        };

        let next_page_token = self.pager.cut(&scope, &mut rows, size, |last| last.id)?;
        let profiles = rows.into_iter().map(|row| row.shown_to(Some(caller))).collect();
        Ok(Response::new(ListProfilesResponse { profiles, next_page_token, total_size }))
    }

    async fn create_profile(&self, request: Request<CreateProfileRequest>) -> Result<Response<Profile>, Status> {
        let caller = caller(&request)?;
        let change = Change::of(request.into_inner().input)?;
        change.check_whole()?;
        self.check_files(caller.id, &change).await?;
        let asked = self.ask(caller.id).await?;

        let mut tx = kit::db::begin(&self.db).await?;
        lock_person(&mut tx, caller.id).await?;
        let row = self.make(&mut tx, caller, asked, &change).await?;
        kit::db::commit(tx).await?;
        self.tell_hold(caller.id).await;
        Ok(Response::new(row.shown_to(Some(caller))))
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Result<Response<UpdateProfileResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let user_id = parse_id("user_id", &request.user_id)?;
        caller.may_act_for(user_id)?;
        let change = Change::of(request.input)?;
        self.check_files(user_id, &change).await?;
        let make_missing = request.create_missing && user_id == caller.id;
        let missing = make_missing && fetch_profile(&self.db, user_id).await?.is_none_or(|row| row.kind != change.kind);
        let asked = if missing { Some(self.ask(user_id).await?) } else { None };

        let mut tx = kit::db::begin(&self.db).await?;
        lock_person(&mut tx, user_id).await?;
        let (row, created) = match (lock_profile(&mut tx, user_id).await?, asked) {
            (Some(before), _) if before.kind == change.kind => (self.change(&mut tx, &before, &change).await?, false),
            (_, Some(asked)) => {
                change.check_whole()?;
                (self.make(&mut tx, caller, asked, &change).await?, true)
            }
            // It was there a moment ago.
            _ if make_missing => return Err(aborted("CONFLICT", "the profile was just deleted").into()),
            _ => return Err(no_such_profile().into()),
        };
        kit::db::commit(tx).await?;
        // Also when nothing was made: a message that was lost is caught up.
        self.tell_hold(user_id).await;
        Ok(Response::new(UpdateProfileResponse { profile: Some(row.shown_to(Some(caller))), created }))
    }

    async fn delete_profile(
        &self,
        request: Request<DeleteProfileRequest>,
    ) -> Result<Response<DeleteProfileResponse>, Status> {
        let caller = caller(&request)?;
        let user_id = parse_id("user_id", &request.get_ref().user_id)?;
        caller.may_act_for(user_id)?;
        let kind = Kind::of(request.get_ref().kind())?;

        let mut tx = kit::db::begin(&self.db).await?;
        lock_person(&mut tx, user_id).await?;
        let row = lock_profile(&mut tx, user_id).await?.filter(|row| row.kind == kind).ok_or_else(no_such_profile)?;
        upsert_submission(&mut *tx, user_id, row.documents.submission).await?;
        delete_profile(&mut tx, row.id).await?;
        insert_hold(&mut *tx, user_id, None, self.clock.now()).await?;
        publish_deleted(&mut tx, &row).await?;
        kit::db::commit(tx).await?;
        self.tell_hold(user_id).await;
        Ok(Response::new(DeleteProfileResponse {}))
    }

    async fn ensure_profile(
        &self,
        request: Request<EnsureProfileRequest>,
    ) -> Result<Response<EnsureProfileResponse>, Status> {
        let request = request.into_inner();
        let user_id = parse_id("user_id", &request.user_id)?;
        if let Some(kind) = Kind::of_role(request.role()) {
            if !welcomed(&self.db, user_id).await? {
                let asked = self.ask(user_id).await?;
                let mut tx = kit::db::begin(&self.db).await?;
                lock_person(&mut tx, user_id).await?;
                if insert_welcomed(&mut *tx, user_id).await? {
                    let person = asked.up_to_date(&mut tx).await?;
                    self.welcome(&mut tx, &person, &Change::chosen(kind, &request.speciality)).await?;
                }
                kit::db::commit(tx).await?;
            }
            self.tell_hold(user_id).await;
        }
        Ok(Response::new(EnsureProfileResponse {}))
    }

    async fn append_media(&self, request: Request<AppendMediaRequest>) -> Result<Response<Profile>, Status> {
        let caller = caller(&request)?;
        let user_id = parse_id("user_id", &request.get_ref().user_id)?;
        caller.may_act_for(user_id)?;
        let kind = Kind::of(request.get_ref().kind())?;
        let added = distinct("media_ids", &request.get_ref().media_ids)?;
        self.check_additions(user_id, &added).await?;

        let mut tx = kit::db::begin(&self.db).await?;
        let row = lock_profile(&mut tx, user_id).await?;
        let before = row.filter(|row| row.kind == kind).ok_or_else(no_such_profile)?;
        let new = added.into_iter().filter(|id| !before.gallery.contains(id));
        let gallery: Vec<_> = before.gallery.iter().copied().chain(new).collect();
        if gallery.len() > kind.gallery_size() {
            return Err(gallery_full("media_ids", kind).into());
        }
        let mut after = before.clone();
        if gallery != before.gallery {
            after = update_gallery(&mut tx, before.id, &gallery, self.clock.now()).await?;
            publish_updated(&mut tx, &after).await?;
        }
        kit::db::commit(tx).await?;
        Ok(Response::new(after.shown_to(Some(caller))))
    }
}

/// Of whom a profile is made.
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) name: String,
}

/// What `users` said of somebody.
struct Asked {
    person: Person,
    /// How often we had heard of them by events before we asked.
    heard: i64,
}

impl Asked {
    /// What is true once the person is locked: a change of name may have been heard since we asked, and found no profile.
    /// The next one waits for us, and finds it.
    async fn up_to_date(self, tx: &mut PgConnection) -> kit::Result<Person> {
        let Self { person, heard } = self;
        let name = fetch_name_heard_since(tx, person.id, heard).await?;
        Ok(Person { name: name.unwrap_or(person.name), ..person })
    }
}

impl Profiles {
    /// Asked before there is a transaction: nobody else should wait for `users` with us.
    async fn ask(&self, id: Uuid) -> kit::Result<Asked> {
        let heard = fetch_times_heard(&self.db, id).await?;
        let request = GetUserRequest { key: Some(Key::Id(id.to_string())) };
        let user = self.users.clone().get_user(request).await?.into_inner();
        Ok(Asked { person: Person { id, number: user.number, name: user.first_name }, heard })
    }

    /// A page of what is searched for, and the total.
    async fn search(&self, filter: &Filter, after: i64, limit: i64, skip: i64) -> kit::Result<(Vec<ProfileRow>, i32)> {
        let mut tx = kit::db::begin_with(&self.db, BEGIN_SEARCH).await?;
        let found = if filter.search.names.is_empty() {
            (list_found(&mut *tx, filter, after, limit, skip).await?, count_found(&mut *tx, filter).await?)
        } else {
            (list_named(&mut *tx, filter, after, limit, skip).await?, count_named(&mut *tx, filter).await?)
        };
        kit::db::commit(tx).await?;
        Ok(found)
    }

    /// Makes the caller's own.
    async fn make(
        &self,
        tx: &mut PgConnection,
        caller: Caller,
        asked: Asked,
        change: &Change,
    ) -> kit::Result<ProfileRow> {
        refuse_gone(&mut *tx, caller.id).await?;
        let person = asked.up_to_date(&mut *tx).await?;
        insert_welcomed(&mut *tx, caller.id).await?;
        match self.insert(tx, &person, change, Some(caller.session)).await? {
            Some(row) => Ok(row),
            None => {
                let present = fetch_profile(&mut *tx, caller.id).await?.ok_or_else(no_such_profile)?;
                Err(exists(present.kind == change.kind))
            }
        }
    }

    /// Makes what somebody starts with, unless there is something already.
    pub(crate) async fn welcome(&self, tx: &mut PgConnection, person: &Person, change: &Change) -> kit::Result<()> {
        self.insert(tx, person, change, None).await?;
        Ok(())
    }

    async fn insert(
        &self,
        tx: &mut PgConnection,
        person: &Person,
        change: &Change,
        session: Option<Uuid>,
    ) -> kit::Result<Option<ProfileRow>> {
        let now = self.clock.now();
        let Some(blank) = insert_profile(tx, person, change.kind, now).await? else { return Ok(None) };
        let row = self.write(tx, &blank, change, now).await?;
        insert_hold(&mut *tx, person.id, session, now).await?;
        publish_created(tx, &row).await?;
        Ok(Some(row))
    }

    async fn change(&self, tx: &mut PgConnection, before: &ProfileRow, change: &Change) -> kit::Result<ProfileRow> {
        let now = self.clock.now();
        let after = self.write(tx, before, change, now).await?;
        if after != (ProfileRow { updated_at: after.updated_at, ..before.clone() }) {
            publish_updated(tx, &after).await?;
        }
        Ok(after)
    }

    async fn write(
        &self,
        tx: &mut PgConnection,
        before: &ProfileRow,
        change: &Change,
        now: DateTime<Utc>,
    ) -> kit::Result<ProfileRow> {
        let row = update_profile(tx, before.id, change, now).await?;
        let documents = row.documents.exchanged(change.documents, now);
        if documents == row.documents {
            return Ok(row);
        }
        update_documents(tx, row.id, &documents, now).await
    }
}

/// Refuses whose account is gone, as their token is refused a moment later. The person is locked: an end that is heard
/// after this undoes what is done.
pub(crate) async fn refuse_gone(tx: &mut PgConnection, user_id: Uuid) -> kit::Result<()> {
    match gone(tx, user_id).await? {
        true => Err(unauthenticated("SESSION_REVOKED", "the session has ended")),
        false => Ok(()),
    }
}

fn exists(same_kind: bool) -> Error {
    if same_kind {
        already_exists("PROFILE_EXISTS", "this person has this profile already")
    } else {
        already_exists("OTHER_PROFILE_EXISTS", "this person has a profile of another kind")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    Specialist,
    Businessman,
    Consumer,
}

impl Kind {
    fn of(kind: ProfileKind) -> kit::Result<Self> {
        match kind {
            ProfileKind::Specialist => Ok(Self::Specialist),
            ProfileKind::Businessman => Ok(Self::Businessman),
            ProfileKind::Consumer => Ok(Self::Consumer),
            ProfileKind::Unspecified => Err(invalid("kind", "must be set")),
        }
    }

    pub(crate) fn of_role(role: Role) -> Option<Self> {
        match role {
            Role::Specialist => Some(Self::Specialist),
            Role::Businessman => Some(Self::Businessman),
            Role::Consumer => Some(Self::Consumer),
            Role::Unspecified | Role::Client | Role::Professional | Role::Admin => None,
        }
    }

    pub(crate) fn role(self) -> Role {
        match self {
            Self::Specialist => Role::Specialist,
            Self::Businessman => Role::Businessman,
            Self::Consumer => Role::Consumer,
        }
    }
}

/// A row of `profiles`, all but the text that is searched and what is derived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProfileRow {
    pub(crate) id: i64,
    pub(crate) user_id: Uuid,
    pub(crate) user_number: i64,
    pub(crate) kind: Kind,
    pub(crate) speciality: Option<String>,
    pub(crate) gallery: Vec<Uuid>,
    pub(crate) experience_years: i32,
    pub(crate) about_us: String,
    pub(crate) can_give_consultations: bool,
    pub(crate) can_offer_online_services: bool,
    pub(crate) documents: Documents,
    pub(crate) point: i64,
    pub(crate) ratings: i32,
    pub(crate) business_name: String,
    pub(crate) descriptions: String,
    pub(crate) contact: String,
    pub(crate) offers_local_products: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl ProfileRow {
    /// What the viewer may see; without one it is a service that asks.
    pub(crate) fn shown_to(self, viewer: Option<Caller>) -> Profile {
        let documents = viewer.is_some_and(|viewer| viewer.may_act_for(self.user_id).is_ok());
        let details = match self.kind {
            Kind::Specialist => Details::Specialist(Specialist {
                profession: self.profession().into(),
                experience_years: self.experience_years,
                about_us: self.about_us,
                can_give_consultations: self.can_give_consultations,
                can_offer_online_services: self.can_offer_online_services,
                work_image_ids: texts(&self.gallery),
                credentials: self.documents.credentials().into_iter().map(Into::into).collect(),
                point: self.point,
                ratings: self.ratings,
                verification: documents.then(|| self.documents.into()),
            }),
            Kind::Businessman => Details::Businessman(Businessman {
                business_type: self.business_type().into(),
                business_name: self.business_name,
                descriptions: self.descriptions,
                contact: self.contact,
                offers_local_products: self.offers_local_products,
                product_ids: texts(&self.gallery),
            }),
            Kind::Consumer => Details::Consumer(Consumer {}),
        };
        Profile {
            id: self.id,
            user_id: self.user_id.to_string(),
            user_number: self.user_number,
            details: Some(details),
            created_at: Some(timestamp(self.created_at)),
            updated_at: Some(timestamp(self.updated_at)),
        }
    }

    fn profession(&self) -> Profession {
        let name = self.speciality.as_deref().unwrap_or_default();
        Profession::from_str_name(&format!("PROFESSION_{name}")).unwrap_or_default()
    }

    fn business_type(&self) -> BusinessType {
        let name = self.speciality.as_deref().unwrap_or_default();
        BusinessType::from_str_name(&format!("BUSINESS_TYPE_{name}")).unwrap_or_default()
    }
}

impl From<Documents> for Verification {
    fn from(documents: Documents) -> Self {
        let text = |id: Option<Uuid>| id.map(|id| id.to_string());
        Self {
            title_id: text(documents.title_id),
            student_card_id: text(documents.student_card_id),
            graduation_letter_id: text(documents.graduation_letter_id),
            state: documents.state().into(),
            reason: documents.reason,
            submission: documents.submission,
            submitted_at: documents.submitted_at.map(timestamp),
            reviewed_at: documents.reviewed_at.map(timestamp),
        }
    }
}

fn texts(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

/// What a list is narrowed to. Its debug text is part of the page token's scope.
#[derive(Debug)]
struct Filter {
    kind: Kind,
    speciality: Option<&'static str>,
    user_id: Option<Uuid>,
    searched: bool,
    search: Search,
}

impl Filter {
    fn of(request: &ListProfilesRequest, caller: Caller) -> kit::Result<Self> {
        let kind = Kind::of(request.kind())?;
        let asked = match request.user_id.as_str() {
            "" => None,
            id => Some(parse_id("user_id", id)?),
        };
        // Consumers are nobody's business: of them one finds only oneself. Nobody has the nil id.
        let user_id = match asked {
            None if kind == Kind::Consumer && !caller.admin() => Some(caller.id),
            Some(_) if kind == Kind::Consumer && !caller.admin() && asked != Some(caller.id) => Some(Uuid::nil()),
            asked => asked,
        };
        let words = words(&request.search);
        Ok(Self {
            kind,
            speciality: kind.narrowed(request.profession(), request.business_type()),
            user_id,
            searched: !words.is_empty(),
            search: Search::of(words),
        })
    }
}
