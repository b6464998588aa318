//! One service of one test, and what it talks to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth::{Auth, Config, FirstAdministrator};
use clap::Parser;
use kit::Peer;
use kit::context::Context;
use kit::error::Details;
use proto::access::v1::Role;
use proto::auth::v1::account_service_client::AccountServiceClient;
use proto::auth::v1::log_in_request::Login;
use proto::auth::v1::password_service_client::PasswordServiceClient;
use proto::auth::v1::request_password_reset_request::To;
use proto::auth::v1::second_factor_service_client::SecondFactorServiceClient;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::auth::v1::{
    Account, GetAccountRequest, LogInRequest, LogInResponse, PasswordRule, Profile, RegisterRequest, RegisterResponse,
    RequestPasswordResetRequest, Tokens,
};
use proto::users::v1::user_service_server::{UserService, UserServiceServer};
use proto::users::v1::{
    AnonymizeUserRequest, AnonymizeUserResponse, BatchGetUsersRequest, BatchGetUsersResponse, GetUserMetricsRequest,
    GetUserRequest, ListUsersRequest, ListUsersResponse, ProvisionUserRequest, SearchUsersRequest, SearchUsersResponse,
    SetAvatarRequest, UpdateUserRequest, User, UserMetrics, WithdrawUserRequest, WithdrawUserResponse,
    get_user_request,
};
use testkit::Harness;
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "Secreta123";
pub(crate) const PHONE: &str = "+59170000000";
pub(crate) const EMAIL: &str = "ana@example.com";

pub(crate) struct World {
    pub(crate) harness: Harness,
    pub(crate) auth: Auth,
    pub(crate) users: FakeUsers,
    /// As nobody.
    pub(crate) nobody: Peer,
    outbox: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.outbox);
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(Harness::new("auth", &auth::MIGRATOR).await, &[]).await
    }

    /// With options, as on the command line.
    pub(crate) async fn with(options: &[&str]) -> Self {
        Self::of(Harness::new("auth", &auth::MIGRATOR).await, options).await
    }

    pub(crate) async fn of(harness: Harness, options: &[&str]) -> Self {
        let outbox = std::env::temp_dir().join(format!("plaza-auth-{}", Uuid::new_v4()));
        let channel = format!("file:{}", outbox.display());
        let service = ["auth", "--secret", "00000000000000000000000000000000", "--database-url", "postgres://nowhere"];
        let channels = ["--sms-url", &channel, "--mail-url", &channel];
        let args = service.into_iter().chain(channels).chain(options.iter().copied());
        let config = Config { service: harness.service.config.clone(), ..Config::parse_from(args) };
        let users = FakeUsers::default();
        harness.stub("users", UserServiceServer::new(users.clone()));
        let auth = Auth::start(&harness.service, &config).await.unwrap();
        let nobody = harness.serve(auth.routes());
        Self { harness, auth, users, nobody, outbox }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.harness.clock.advance(Duration::from_secs(seconds));
    }

    /// The service as whoever holds the token calls it.
    pub(crate) fn holding(&self, tokens: &Tokens) -> Peer {
        self.harness.with_token(&tokens.access_token)
    }

    pub(crate) async fn try_register(&self, request: RegisterRequest) -> Result<RegisterResponse, Status> {
        AccountServiceClient::new(self.nobody.clone()).register(request).await.map(Response::into_inner)
    }

    /// Somebody new, signed in.
    pub(crate) async fn register(&self, phone: &str) -> Person {
        let answer = self.try_register(newcomer(phone)).await.unwrap();
        let (account, tokens) = (answer.account.unwrap(), answer.tokens.unwrap());
        Person { peer: self.holding(&tokens), account, tokens }
    }

    /// Somebody new with an email, signed in.
    pub(crate) async fn register_by_email(&self, email: &str) -> Person {
        let request = RegisterRequest { phone: None, email: Some(email.into()), ..newcomer("") };
        let answer = self.try_register(request).await.unwrap();
        let (account, tokens) = (answer.account.unwrap(), answer.tokens.unwrap());
        Person { peer: self.holding(&tokens), account, tokens }
    }

    /// An administrator, signed in.
    pub(crate) async fn administrator(&self) -> Person {
        let email = "admin@example.com";
        let first = FirstAdministrator { email: Some(email.into()), phone: None, password: Some(PASSWORD.into()) };
        self.auth.make_first_administrator(&first).await.unwrap();
        let answer = self.log_in(Login::Email(email.into()), PASSWORD).await.unwrap();
        let tokens = answer.tokens.unwrap();
        let peer = self.holding(&tokens);
        let request = GetAccountRequest::default();
        let account = AccountServiceClient::new(peer.clone()).get_account(request).await.unwrap().into_inner();
        Person { peer, account, tokens }
    }

    pub(crate) async fn log_in(&self, login: Login, password: &str) -> Result<LogInResponse, Status> {
        self.log_in_with(login, password, "").await
    }

    pub(crate) async fn log_in_with(&self, login: Login, password: &str, code: &str) -> Result<LogInResponse, Status> {
        let request = LogInRequest { login: Some(login), password: password.into(), second_factor: code.into() };
        SessionServiceClient::new(self.nobody.clone()).log_in(request).await.map(Response::into_inner)
    }

    /// Asks for a reset as the edge does for a client at `address`.
    pub(crate) async fn request_reset(&self, to: To, address: &str) -> Result<(), Status> {
        let edge = self.harness.as_peer("edge-gateway");
        let context = Context { client_ip: Some(address.into()), ..Context::default() };
        let request = RequestPasswordResetRequest { to: Some(to) };
        let call = async { PasswordServiceClient::new(edge).request_password_reset(request).await };
        kit::context::scope(context, call).await.map(drop)
    }

    /// Every SMS sent so far: to whom and what.
    pub(crate) async fn sms(&self) -> Vec<(String, String)> {
        self.auth.clone().send_deliveries().await.unwrap();
        let lines = std::fs::read_to_string(self.outbox.join("sms.jsonl")).unwrap_or_default();
        let field = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.map(|line: serde_json::Value| (field(&line, "to"), field(&line, "text"))).collect()
    }

    /// Every mail sent so far, raw.
    pub(crate) async fn mail(&self) -> Vec<String> {
        self.auth.clone().send_deliveries().await.unwrap();
        let Ok(folder) = std::fs::read_dir(self.outbox.join("mail")) else { return Vec::new() };
        folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }

    /// Makes sending fail until `mend_channels`.
    pub(crate) fn break_channels(&self) {
        std::fs::write(&self.outbox, "a file where the folder should be").unwrap();
    }

    pub(crate) fn mend_channels(&self) {
        std::fs::remove_file(&self.outbox).unwrap();
    }

    /// What was published under a name, oldest first.
    pub(crate) async fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let all = sqlx::query_scalar("select body from outbox where type = $1 order by position").bind(kind);
        all.fetch_all(&self.harness.service.db).await.unwrap()
    }

    /// Gives an account a hash as an import would.
    pub(crate) async fn import_hash(&self, account: &Account, hash: &str) {
        let update = sqlx::query("update accounts set password_hash = $2 where id = $1::uuid");
        update.bind(&account.id).bind(hash).execute(&self.harness.service.db).await.unwrap();
    }

    /// The stored hash, to see whether it was upgraded.
    pub(crate) async fn hash_of(&self, account: &Account) -> String {
        let select = sqlx::query_scalar("select password_hash from accounts where id = $1::uuid");
        select.bind(&account.id).fetch_one(&self.harness.service.db).await.unwrap()
    }
}

/// Somebody with an account and a session.
pub(crate) struct Person {
    pub(crate) peer: Peer,
    pub(crate) account: Account,
    pub(crate) tokens: Tokens,
}

impl Person {
    pub(crate) fn accounts(&self) -> AccountServiceClient<Peer> {
        AccountServiceClient::new(self.peer.clone())
    }

    pub(crate) fn sessions(&self) -> SessionServiceClient<Peer> {
        SessionServiceClient::new(self.peer.clone())
    }

    pub(crate) fn passwords(&self) -> PasswordServiceClient<Peer> {
        PasswordServiceClient::new(self.peer.clone())
    }

    pub(crate) fn second_factor(&self) -> SecondFactorServiceClient<Peer> {
        SecondFactorServiceClient::new(self.peer.clone())
    }

    /// Whether the access token still opens anything.
    pub(crate) async fn signed_in(&self) -> bool {
        match self.accounts().get_account(GetAccountRequest::default()).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::Unauthenticated);
                false
            }
        }
    }
}

pub(crate) fn newcomer(phone: &str) -> RegisterRequest {
    RegisterRequest {
        phone: Some(phone.into()),
        email: None,
        password: PASSWORD.into(),
        password_rule: PasswordRule::Mixed.into(),
        role: Role::Consumer.into(),
        profile: Some(Profile {
            first_name: Some("Ana".into()),
            last_name: Some("Rojas".into()),
            ..Profile::default()
        }),
        sign_in: true,
        speciality: String::new(),
    }
}

pub(crate) fn phone(number: &str) -> Login {
    Login::Phone(number.into())
}

pub(crate) fn email(address: &str) -> Login {
    Login::Email(address.into())
}

/// The constant that a refusal is about.
pub(crate) fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    Details::of(&answer.unwrap_err()).reason
}

/// Stands in for `users`: keeps the copies, and fails when told to.
#[derive(Clone, Default)]
pub(crate) struct FakeUsers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    people: Mutex<HashMap<String, ProvisionUserRequest>>,
    refuse: AtomicUsize,
    lose_answers: AtomicUsize,
}

impl FakeUsers {
    /// The next `n` writes are refused.
    pub(crate) fn refuse(&self, n: usize) {
        self.0.refuse.store(n, Ordering::SeqCst);
    }

    /// The next `n` writes are done, but the answer is lost.
    pub(crate) fn lose_answers(&self, n: usize) {
        self.0.lose_answers.store(n, Ordering::SeqCst);
    }

    pub(crate) fn person(&self, id: &str) -> Option<ProvisionUserRequest> {
        self.0.people.lock().unwrap().get(id).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.people.lock().unwrap().len()
    }

    fn write(&self, change: impl FnOnce(&mut HashMap<String, ProvisionUserRequest>)) -> Result<(), Status> {
        let take =
            |left: &AtomicUsize| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if take(&self.0.refuse) {
            return Err(Status::internal("told to refuse"));
        }
        change(&mut self.0.people.lock().unwrap());
        if take(&self.0.lose_answers) { Err(Status::internal("told to lose the answer")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl UserService for FakeUsers {
    async fn provision_user(&self, request: Request<ProvisionUserRequest>) -> Result<Response<User>, Status> {
        let copy = request.into_inner();
        let user = User { id: copy.id.clone(), number: copy.number, ..User::default() };
        self.write(|people| {
            let known = people.get(&copy.id);
            if known.is_none_or(|known| known.version < copy.version) {
                let profile = copy.profile.clone().or_else(|| known.and_then(|known| known.profile.clone()));
                people.insert(copy.id.clone(), ProvisionUserRequest { profile, ..copy });
            }
        })?;
        Ok(Response::new(user))
    }

    async fn withdraw_user(
        &self,
        request: Request<WithdrawUserRequest>,
    ) -> Result<Response<WithdrawUserResponse>, Status> {
        self.write(|people| drop(people.remove(&request.get_ref().id)))?;
        Ok(Response::new(WithdrawUserResponse {}))
    }

    async fn anonymize_user(
        &self,
        request: Request<AnonymizeUserRequest>,
    ) -> Result<Response<AnonymizeUserResponse>, Status> {
        self.write(|people| drop(people.remove(&request.get_ref().id)))?;
        Ok(Response::new(AnonymizeUserResponse {}))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let Some(get_user_request::Key::Id(id)) = request.into_inner().key else {
            return Err(Status::unimplemented("by id only"));
        };
        let copy = self.person(&id).ok_or_else(|| Status::not_found("no such person"))?;
        let profile = copy.profile.unwrap_or_default();
        Ok(Response::new(User {
            id,
            number: copy.number,
            first_name: profile.first_name.unwrap_or_default(),
            last_name: profile.last_name.unwrap_or_default(),
            email: copy.email,
            roles: copy.roles,
            ..User::default()
        }))
    }

    async fn batch_get_users(
        &self,
        _: Request<BatchGetUsersRequest>,
    ) -> Result<Response<BatchGetUsersResponse>, Status> {
        Err(Status::unimplemented("auth does not ask"))
    }

    async fn list_users(&self, _: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        Err(Status::unimplemented("auth does not ask"))
    }

    async fn search_users(&self, _: Request<SearchUsersRequest>) -> Result<Response<SearchUsersResponse>, Status> {
        Err(Status::unimplemented("auth does not ask"))
    }

    async fn update_user(&self, _: Request<UpdateUserRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("auth does not ask"))
    }

    async fn set_avatar(&self, _: Request<SetAvatarRequest>) -> Result<Response<User>, Status> {
        Err(Status::unimplemented("auth does not ask"))
    }

    async fn get_user_metrics(&self, _: Request<GetUserMetricsRequest>) -> Result<Response<UserMetrics>, Status> {
        Err(Status::unimplemented("auth does not ask"))
    }
}
