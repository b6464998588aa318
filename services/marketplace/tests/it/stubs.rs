//! `media` and `users` as far as this service knows them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use kit::error::{denied, not_found, unavailable};
use proto::access::v1::Role;
use proto::media::v1::media_service_server::MediaService;
use proto::media::v1::{
    AssignMediaRequest, BatchGetMediaRequest, BatchGetMediaResponse, ClaimMediaRequest, ClaimMediaResponse,
    DeleteMediaRequest, DeleteMediaResponse, Folder, GetMediaRequest, Kind, ListMediaRequest, ListMediaResponse,
    ReadFileRequest, ReadFileResponse, SignFileRequest, SignFileResponse, UpdateMediaRequest, UploadMediaRequest,
};
use proto::users::v1::user_service_server::UserService;
use proto::users::v1::{
    AnonymizeUserRequest, AnonymizeUserResponse, BatchGetUsersRequest, BatchGetUsersResponse, GetUserMetricsRequest,
    GetUserRequest, ListUsersRequest, ListUsersResponse, ProvisionUserRequest, SearchUsersRequest, SearchUsersResponse,
    SetAvatarRequest, UpdateUserRequest, User, UserMetrics, WithdrawUserRequest, WithdrawUserResponse,
    get_user_request::Key,
};
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};
use uuid::Uuid;

/// Files by id.
#[derive(Clone, Default)]
pub(crate) struct Media(Arc<Mutex<HashMap<String, proto::media::v1::Media>>>);

impl Media {
    /// A stored file; without an owner nobody has claimed it.
    pub(crate) fn file(&self, owner: Option<Uuid>, kind: Kind) -> Uuid {
        let id = Uuid::now_v7();
        let owner_id = owner.map(|owner| owner.to_string()).unwrap_or_default();
        let file = proto::media::v1::Media { id: id.to_string(), owner_id, kind: kind.into(), ..Default::default() };
        self.0.lock().unwrap().insert(id.to_string(), file);
        id
    }

    /// A document that nobody but its owner sees, though it is a picture.
    pub(crate) fn document(&self, owner: Uuid) -> Uuid {
        let id = self.file(Some(owner), Kind::Image);
        let mut files = self.0.lock().unwrap();
        files.get_mut(&id.to_string()).unwrap().folder = Folder::Verification.into();
        id
    }

    pub(crate) fn owner(&self, id: Uuid) -> String {
        self.0.lock().unwrap()[&id.to_string()].owner_id.clone()
    }
}

/// Ids by number. Without anybody, `users` is away.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<HashMap<i64, (Uuid, Role)>>>);

impl Users {
    /// Somebody, who is this from now on, whatever a token of theirs says.
    pub(crate) fn person(&self, number: i64, role: Role) -> Uuid {
        let mut people = self.0.lock().unwrap();
        let person = people.entry(number).or_insert_with(|| (Uuid::now_v7(), role));
        person.1 = role;
        person.0
    }
}

/// The RPCs that nobody asks.
macro_rules! unasked {
    ($($name:ident $request:ty => $answer:ty;)*) => {$(
        fn $name<'life, 'future>(
            &'life self,
            _: Request<$request>,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response<$answer>, Status>> + Send + 'future>>
        where
            'life: 'future,
            Self: 'future,
        {
            panic!(concat!(stringify!($name), " is never asked by the marketplace"))
        }
    )*};
}

#[tonic::async_trait]
impl MediaService for Media {
    async fn claim_media(&self, request: Request<ClaimMediaRequest>) -> Result<Response<ClaimMediaResponse>, Status> {
        let ClaimMediaRequest { ids, owner_id, .. } = request.into_inner();
        let mut files = self.0.lock().unwrap();
        if ids.iter().filter_map(|id| files.get(id)).any(|file| !["", &owner_id].contains(&file.owner_id.as_str())) {
            return Err(denied("NOT_YOURS", "the file is somebody else's").into());
        }
        let mut media = Vec::new();
        for id in ids {
            if let Some(file) = files.get_mut(&id) {
                file.owner_id = owner_id.clone();
                media.push(file.clone());
            }
        }
        Ok(Response::new(ClaimMediaResponse { media }))
    }

    type ReadFileStream = BoxStream<ReadFileResponse>;

    async fn batch_get_media(
        &self,
        request: Request<BatchGetMediaRequest>,
    ) -> Result<Response<BatchGetMediaResponse>, Status> {
        let files = self.0.lock().unwrap();
        let media = request.into_inner().ids.iter().filter_map(|id| files.get(id)).cloned().collect();
        Ok(Response::new(BatchGetMediaResponse { media }))
    }

    unasked! {
        assign_media AssignMediaRequest => proto::media::v1::Media;
        delete_media DeleteMediaRequest => DeleteMediaResponse;
        upload_media Streaming<UploadMediaRequest> => proto::media::v1::Media;
        get_media GetMediaRequest => proto::media::v1::Media;
        list_media ListMediaRequest => ListMediaResponse;
        update_media Streaming<UpdateMediaRequest> => proto::media::v1::Media;
        read_file ReadFileRequest => BoxStream<ReadFileResponse>;
        sign_file SignFileRequest => SignFileResponse;
    }
}

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let people = self.0.lock().unwrap();
        if people.is_empty() {
            return Err(unavailable("DATABASE_AWAY", "the database does not answer").into());
        }
        let person = match request.into_inner().key {
            Some(Key::Number(number)) => people.get(&number).map(|person| (number, *person)),
            Some(Key::Id(id)) => {
                people.iter().map(|(number, person)| (*number, *person)).find(|(_, (own, _))| own.to_string() == id)
            }
            None => None,
        };
        let (number, (id, role)) = person.ok_or_else(|| not_found("USER_NOT_FOUND", "no such person"))?;
        Ok(Response::new(User { id: id.to_string(), number, roles: vec![role.into()], ..Default::default() }))
    }

    unasked! {
        batch_get_users BatchGetUsersRequest => BatchGetUsersResponse;
        list_users ListUsersRequest => ListUsersResponse;
        search_users SearchUsersRequest => SearchUsersResponse;
        update_user UpdateUserRequest => User;
        set_avatar SetAvatarRequest => User;
        get_user_metrics GetUserMetricsRequest => UserMetrics;
        provision_user ProvisionUserRequest => User;
        withdraw_user WithdrawUserRequest => WithdrawUserResponse;
        anonymize_user AnonymizeUserRequest => AnonymizeUserResponse;
    }
}
