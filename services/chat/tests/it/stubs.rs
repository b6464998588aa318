//! `media` and `users` as far as this service knows them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use kit::error::{denied, unavailable};
use proto::media::v1::media_service_server::MediaService;
use proto::media::v1::{
    AssignMediaRequest, BatchGetMediaRequest, BatchGetMediaResponse, ClaimMediaRequest, ClaimMediaResponse,
    DeleteMediaRequest, DeleteMediaResponse, GetMediaRequest, Kind, ListMediaRequest, ListMediaResponse,
    ReadFileRequest, ReadFileResponse, SignFileRequest, SignFileResponse, UpdateMediaRequest, UploadMediaRequest,
};
use proto::users::v1::user_service_server::UserService;
use proto::users::v1::{
    AnonymizeUserRequest, AnonymizeUserResponse, BatchGetUsersRequest, BatchGetUsersResponse, GetUserMetricsRequest,
    GetUserRequest, ListUsersRequest, ListUsersResponse, ProvisionUserRequest, SearchUsersRequest, SearchUsersResponse,
    SetAvatarRequest, UpdateUserRequest, User, UserMetrics, WithdrawUserRequest, WithdrawUserResponse,
};
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};
use uuid::Uuid;

/// Files by id.
#[derive(Clone, Default)]
pub(crate) struct Media(Arc<Mutex<HashMap<String, proto::media::v1::Media>>>);

impl Media {
    /// A stored file; without an owner nobody has claimed it.
    pub(crate) fn file(&self, owner: Option<Uuid>, kind: Kind) -> proto::media::v1::Media {
        self.insert(owner, kind, None)
    }

    /// One that only its owner may see.
    pub(crate) fn private_file(&self, owner: Uuid) -> proto::media::v1::Media {
        self.insert(Some(owner), Kind::Image, Some("signed".into()))
    }

    fn insert(&self, owner: Option<Uuid>, kind: Kind, signature: Option<String>) -> proto::media::v1::Media {
        let mut files = self.0.lock().unwrap();
        let file = proto::media::v1::Media {
            id: Uuid::now_v7().to_string(),
            number: files.len() as i64 + 1,
            owner_id: owner.map(|owner| owner.to_string()).unwrap_or_default(),
            kind: kind.into(),
            signature,
            ..Default::default()
        };
        files.insert(file.id.clone(), file.clone());
        file
    }
}

/// Ids by number. Without anybody, `users` is away.
#[derive(Clone, Default)]
pub(crate) struct Users(Arc<Mutex<HashMap<i64, Uuid>>>);

impl Users {
    pub(crate) fn person(&self, number: i64) -> Uuid {
        *self.0.lock().unwrap().entry(number).or_insert_with(Uuid::now_v7)
    }

    /// There is somebody of this number and id.
    pub(crate) fn knows(&self, number: i64, id: Uuid) {
        self.0.lock().unwrap().insert(number, id);
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
            panic!(concat!(stringify!($name), " is never asked by the chat"))
        }
    )*};
}

#[tonic::async_trait]
impl MediaService for Media {
    async fn claim_media(&self, request: Request<ClaimMediaRequest>) -> Result<Response<ClaimMediaResponse>, Status> {
        let ClaimMediaRequest { mut ids, owner_id, numbers } = request.into_inner();
        let mut files = self.0.lock().unwrap();
        ids.extend(files.values().filter(|file| numbers.contains(&file.number)).map(|file| file.id.clone()));
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

    unasked! {
        get_media GetMediaRequest => proto::media::v1::Media;
        assign_media AssignMediaRequest => proto::media::v1::Media;
        delete_media DeleteMediaRequest => DeleteMediaResponse;
        upload_media Streaming<UploadMediaRequest> => proto::media::v1::Media;
        batch_get_media BatchGetMediaRequest => BatchGetMediaResponse;
        list_media ListMediaRequest => ListMediaResponse;
        update_media Streaming<UpdateMediaRequest> => proto::media::v1::Media;
        read_file ReadFileRequest => BoxStream<ReadFileResponse>;
        sign_file SignFileRequest => SignFileResponse;
    }
}

#[tonic::async_trait]
impl UserService for Users {
    async fn batch_get_users(
        &self,
        request: Request<BatchGetUsersRequest>,
    ) -> Result<Response<BatchGetUsersResponse>, Status> {
        let people = self.0.lock().unwrap();
        if people.is_empty() {
            return Err(unavailable("DATABASE_AWAY", "the database does not answer").into());
        }
        let asked = request.into_inner();
        let named = |number: i64, id: Uuid| asked.numbers.contains(&number) || asked.ids.contains(&id.to_string());
        let mut users: Vec<_> = people
            .iter()
            .filter(|(number, id)| named(**number, **id))
            .map(|(number, id)| User { id: id.to_string(), number: *number, ..Default::default() })
            .collect();
        users.sort_by_key(|user| user.number);
        Ok(Response::new(BatchGetUsersResponse { users }))
    }

    unasked! {
        get_user GetUserRequest => User;
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
