//! `auth`, `users` and `media` as far as this service knows them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use kit::error::{not_found, unavailable};
use proto::access::v1::Role;
use proto::auth::v1::account_service_server::AccountService;
use proto::auth::v1::{
    Account, BanAccountRequest, CreateAccountRequest, DeleteAccountRequest, DeleteAccountResponse, GetAccountRequest,
    HoldRoleRequest, RegisterRequest, RegisterResponse, UnbanAccountRequest, UpdateAccountRequest,
};
use proto::media::v1::media_service_server::MediaService;
use proto::media::v1::{
    AssignMediaRequest, BatchGetMediaRequest, BatchGetMediaResponse, ClaimMediaRequest, ClaimMediaResponse,
    DeleteMediaRequest, DeleteMediaResponse, Folder, GetMediaRequest, Kind, ListMediaRequest, ListMediaResponse, Media,
    ReadFileRequest, ReadFileResponse, SignFileRequest, SignFileResponse, UpdateMediaRequest, UploadMediaRequest,
};
use proto::users::v1::get_user_request::Key;
use proto::users::v1::user_service_server::UserService;
use proto::users::v1::{
    AnonymizeUserRequest, AnonymizeUserResponse, BatchGetUsersRequest, BatchGetUsersResponse, GetUserMetricsRequest,
    GetUserRequest, ListUsersRequest, ListUsersResponse, ProvisionUserRequest, SearchUsersRequest, SearchUsersResponse,
    SetAvatarRequest, UpdateUserRequest, User, UserMetrics, WithdrawUserRequest, WithdrawUserResponse,
};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

/// What the stand-ins know and were told.
#[derive(Clone, Default)]
pub(crate) struct Peers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: HashMap<String, Media>,
    people: HashMap<String, User>,
    holds: HashMap<String, HoldRoleRequest>,
    auth_away: bool,
    lose_answers: bool,
    /// Whoever asks for a person.
    asks: usize,
    /// Permits to be told of a person, if that takes any.
    gate: Option<Arc<Semaphore>>,
    /// Where transactions are looked for that are open while somebody is asked for, and how many there were.
    watched: Option<PgPool>,
    open: i64,
}

impl Peers {
    /// A stored image.
    pub(crate) fn file(&self, owner: Uuid, folder: Folder) -> Uuid {
        self.file_of(owner, folder, Kind::Image)
    }

    /// A stored file, or a description without one.
    pub(crate) fn file_of(&self, owner: Uuid, folder: Folder, kind: Kind) -> Uuid {
        let id = Uuid::now_v7();
        let (folder, kind) = (folder.into(), kind.into());
        let file = Media { id: id.to_string(), owner_id: owner.to_string(), folder, kind, ..Media::default() };
        self.0.lock().unwrap().files.insert(file.id.clone(), file);
        id
    }

    pub(crate) fn person(&self, id: Uuid, number: i64, name: &str) {
        let user = User { id: id.to_string(), number, first_name: name.to_owned(), ..User::default() };
        self.0.lock().unwrap().people.insert(user.id.clone(), user);
    }

    /// What `auth` holds of somebody: nothing when it has never heard.
    pub(crate) fn held(&self, id: Uuid) -> Option<Role> {
        self.0.lock().unwrap().holds.get(&id.to_string()).map(HoldRoleRequest::role)
    }

    /// The session that the last change of role spared.
    pub(crate) fn spared(&self, id: Uuid) -> String {
        self.0.lock().unwrap().holds[&id.to_string()].session_id.clone()
    }

    /// Makes `users` slow: it knows its answer, and gives it when there is a permit.
    pub(crate) fn slow_users(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.0.lock().unwrap().gate = Some(gate.clone());
        gate
    }

    pub(crate) fn asks(&self) -> usize {
        self.0.lock().unwrap().asks
    }

    pub(crate) fn watch(&self, db: &PgPool) {
        self.0.lock().unwrap().watched = Some(db.clone());
    }

    /// Transactions that were open while `users` was asked.
    pub(crate) fn open(&self) -> i64 {
        self.0.lock().unwrap().open
    }

    pub(crate) fn set_auth_away(&self, away: bool) {
        self.0.lock().unwrap().auth_away = away;
    }

    /// Whether `auth` does what it is asked, and its answers are lost.
    pub(crate) fn set_lose_answers(&self, lose: bool) {
        self.0.lock().unwrap().lose_answers = lose;
    }
}

/// An implementation whose other RPCs this service never calls.
macro_rules! stand_in {
    ($service:ident { $($own:tt)* } never $($name:ident($request:ty) -> $response:ty;)*) => {
        #[tonic::async_trait]
        impl $service for Peers {
            $($own)*

            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                panic!("never asked by profiles")
            })*
        }
    };
}

stand_in! {
    AccountService {
        async fn hold_role(&self, request: Request<HoldRoleRequest>) -> Result<Response<Account>, Status> {
            let mut state = self.0.lock().unwrap();
            if state.auth_away {
                return Err(unavailable("DATABASE_AWAY", "away").into());
            }
            let request = request.into_inner();
            if !state.people.contains_key(&request.id) {
                return Err(not_found("ACCOUNT_NOT_FOUND", "no such account").into());
            }
            if state.holds.get(&request.id).is_none_or(|known| known.version <= request.version) {
                state.holds.insert(request.id.clone(), request);
            }
            match state.lose_answers {
                true => Err(unavailable("DATABASE_AWAY", "the answer was lost").into()),
                false => Ok(Response::new(Account::default())),
            }
        }
    }
    never
        register(RegisterRequest) -> RegisterResponse;
        create_account(CreateAccountRequest) -> Account;
        get_account(GetAccountRequest) -> Account;
        update_account(UpdateAccountRequest) -> Account;
        delete_account(DeleteAccountRequest) -> DeleteAccountResponse;
        ban_account(BanAccountRequest) -> Account;
        unban_account(UnbanAccountRequest) -> Account;
}

stand_in! {
    UserService {
        async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
            let Some(Key::Id(id)) = request.into_inner().key else { panic!("asked by id") };
            let (user, gate, watched) = {
                let mut state = self.0.lock().unwrap();
                state.asks += 1;
                (state.people.get(&id).cloned(), state.gate.clone(), state.watched.clone())
            };
            if let Some(db) = watched {
                let sql = "select count(*) from pg_stat_activity
                           where datname = current_database() and state like 'idle in transaction%'";
                let open: i64 = sqlx::query_scalar(sql).fetch_one(&db).await.unwrap();
                self.0.lock().unwrap().open += open;
            }
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            Ok(Response::new(user.ok_or_else(|| not_found("USER_NOT_FOUND", "no such person"))?))
        }
    }
    never
        batch_get_users(BatchGetUsersRequest) -> BatchGetUsersResponse;
        list_users(ListUsersRequest) -> ListUsersResponse;
        search_users(SearchUsersRequest) -> SearchUsersResponse;
        update_user(UpdateUserRequest) -> User;
        set_avatar(SetAvatarRequest) -> User;
        get_user_metrics(GetUserMetricsRequest) -> UserMetrics;
        provision_user(ProvisionUserRequest) -> User;
        withdraw_user(WithdrawUserRequest) -> WithdrawUserResponse;
        anonymize_user(AnonymizeUserRequest) -> AnonymizeUserResponse;
}

stand_in! {
    MediaService {
        async fn batch_get_media(
            &self,
            request: Request<BatchGetMediaRequest>,
        ) -> Result<Response<BatchGetMediaResponse>, Status> {
            let state = self.0.lock().unwrap();
            let media = request.get_ref().ids.iter().filter_map(|id| state.files.get(id).cloned()).collect();
            Ok(Response::new(BatchGetMediaResponse { media }))
        }

        type ReadFileStream = BoxStream<ReadFileResponse>;
    }
    never
        get_media(GetMediaRequest) -> Media;
        list_media(ListMediaRequest) -> ListMediaResponse;
        upload_media(Streaming<UploadMediaRequest>) -> Media;
        update_media(Streaming<UpdateMediaRequest>) -> Media;
        delete_media(DeleteMediaRequest) -> DeleteMediaResponse;
        claim_media(ClaimMediaRequest) -> ClaimMediaResponse;
        assign_media(AssignMediaRequest) -> Media;
        sign_file(SignFileRequest) -> SignFileResponse;
        read_file(ReadFileRequest) -> BoxStream<ReadFileResponse>;
}
