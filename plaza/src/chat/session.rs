//! Somebody signed in at an edge, and how they find the other one.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use console::Term;
use kit::error::Details;
use proto::auth::v1::log_in_request::Login;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::auth::v1::{LogInRequest, LogOutRequest, RefreshRequest, Tokens};
use proto::chat::v1::room_service_client::RoomServiceClient;
use proto::chat::v1::user_key::Key as UserName;
use proto::chat::v1::{GetRoomRequest, OpenPairRequest, Room, RoomKey, RoomKind, UserKey, room_key};
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{BatchGetUsersRequest, SearchUsersRequest, User, UserView};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::demo;

#[derive(Clone)]
pub(super) struct Session {
    pub(super) channel: Channel,
    pub(super) user_id: String,
    tokens: Tokens,
}

impl Session {
    /// Asks for whatever is needed to sign in and not known.
    pub(super) async fn log_in(edge: &str, who: &str) -> anyhow::Result<Self> {
        if !edge.starts_with("http://") {
            bail!("`{edge}` must begin with http://: this tool speaks no TLS with the edge");
        }
        let channel = Endpoint::from_shared(edge.to_owned())
            .with_context(|| format!("`{edge}` is no address of an edge"))?
            .user_agent(concat!("plaza chat ", env!("CARGO_PKG_VERSION")))?
            // An edge that is gone without a word shows.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(5))
            .connect_lazy();
        let password = match std::env::var("PLAZA_PASSWORD") {
            Ok(password) => password,
            Err(_) => match demo::password_of(who) {
                Some(password) => password.to_owned(),
                None => asked(&format!("Password of {who}: "), "PLAZA_PASSWORD")?,
            },
        };
        let login = if who.contains('@') { Login::Email(who.into()) } else { Login::Phone(who.into()) };
        let mut request = LogInRequest { login: Some(login), password, second_factor: String::new() };
        let mut sessions = SessionServiceClient::new(channel.clone());
        let mut answer = sessions.log_in(request.clone()).await;
        if answer.as_ref().is_err_and(|refusal| Details::of(refusal).reason == "SECOND_FACTOR_REQUIRED") {
            request.second_factor = match std::env::var("PLAZA_SECOND_FACTOR") {
                Ok(code) => code,
                Err(_) => asked("Code of the second factor: ", "PLAZA_SECOND_FACTOR")?,
            };
            answer = sessions.log_in(request).await;
        }
        let answer = answer.map_err(|refusal| explained(&format!("signing in as {who}"), &refusal))?.into_inner();
        Ok(Self { channel, user_id: answer.user_id, tokens: answer.tokens.unwrap_or_default() })
    }

    /// A request of theirs.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Ok(bearer) = format!("Bearer {}", self.tokens.access_token).parse() {
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    }

    pub(super) async fn refresh(&mut self) -> Result<(), Status> {
        let request = RefreshRequest { refresh_token: self.tokens.refresh_token.clone() };
        self.tokens = SessionServiceClient::new(self.channel.clone()).refresh(request).await?.into_inner();
        Ok(())
    }

    /// Nobody needs the session any more. If that cannot be said, it ends by itself.
    pub(super) async fn log_out(&self) {
        let mut sessions = SessionServiceClient::new(self.channel.clone());
        let farewell = sessions.log_out(self.request(LogOutRequest { everywhere: false }));
        let _ = tokio::time::timeout(Duration::from_secs(2), farewell).await;
    }

    pub(super) async fn room(&self, number: i64) -> anyhow::Result<Room> {
        let room = RoomKey { key: Some(room_key::Key::Number(number)), ..Default::default() };
        let request = self.request(GetRoomRequest { room: Some(room), messages: 0 });
        let answer = RoomServiceClient::new(self.channel.clone()).get_room(request).await;
        Ok(answer.map_err(|refusal| explained(&format!("opening room {number}"), &refusal))?.into_inner())
    }

    /// The room with somebody, made if there is none.
    pub(super) async fn room_with(&self, whom: &str, deal: bool) -> anyhow::Result<Room> {
        let other = UserKey { key: Some(self.find(whom).await?) };
        let kind = if deal { RoomKind::Deal } else { RoomKind::Pair };
        let pair = OpenPairRequest { kind: kind.into(), users: vec![other], ..OpenPairRequest::default() };
        let answer = RoomServiceClient::new(self.channel.clone()).open_pair(self.request(pair)).await;
        let answer = answer.map_err(|refusal| explained(&format!("opening the room with {whom}"), &refusal))?;
        answer.into_inner().room.context("there is no room in the answer")
    }

    /// By the exact email or phone, or by number.
    async fn find(&self, whom: &str) -> anyhow::Result<UserName> {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let email = whom.contains('@');
        let query = if email { whom.to_owned() } else { digits(whom) };
        let is = |user: &User| match email {
            true => user.email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(whom)),
            false => user.phone.as_ref().is_some_and(|phone| digits(phone) == query),
        };
        let request = self.request(SearchUsersRequest { query: query.clone(), limit: 50 });
        let answer = UserServiceClient::new(self.channel.clone()).search_users(request).await;
        let found = answer.map_err(|refusal| explained(&format!("looking for {whom}"), &refusal))?.into_inner();
        match (found.users.into_iter().find(is), query.parse()) {
            (Some(user), _) => Ok(UserName::Id(user.id)),
            (None, Ok(number)) if !email => Ok(UserName::Number(number)),
            _ => bail!("nobody else has the phone or email {whom}"),
        }
    }

    /// As far as they can be found out, by id.
    pub(super) async fn names(&self, ids: Vec<String>) -> Vec<(String, String)> {
        let request = self.request(BatchGetUsersRequest { ids, view: UserView::Basic.into(), ..Default::default() });
        let answer = UserServiceClient::new(self.channel.clone()).batch_get_users(request).await;
        let people = answer.map(|answer| answer.into_inner().users).unwrap_or_default().into_iter();
        people.map(|user| (user.id, format!("{} {}", user.first_name, user.last_name).trim().to_owned())).collect()
    }
}

/// What only a person knows.
fn asked(question: &str, variable: &str) -> anyhow::Result<String> {
    let terminal = Term::stderr();
    if !std::io::stdin().is_terminal() || !terminal.is_term() {
        bail!("nobody can be asked here: set {variable}");
    }
    terminal.write_str(question)?;
    Ok(terminal.read_secure_line()?)
}

/// A refusal as people read it.
pub(super) fn explained(what: &str, refusal: &Status) -> anyhow::Error {
    match (refusal.code(), Details::of(refusal).reason.as_str()) {
        // Of tonic itself: nothing was heard of the edge.
        (Code::Unavailable, "") => anyhow!("{what}: the edge does not answer"),
        (code, "") => anyhow!("{what}: {} ({code:?})", refusal.message()),
        (_, reason) => anyhow!("{what}: {} ({reason})", refusal.message()),
    }
}
