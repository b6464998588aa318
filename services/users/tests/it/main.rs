//! The service as its callers see it: generated clients over memory, a database per test, a stand-in for `media`.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod avatar;
mod devices;
mod events;
mod lists;
mod media;
mod people;
mod search;

use kit::Peer;
use kit::error::Details;
use kit::inbox::{Consumer, Received};
use proto::Event;
use proto::access::v1::Role;
use proto::auth::v1::{AccountState, Profile};
use proto::media::v1::media_service_server::MediaServiceServer;
use proto::users::v1::device_service_client::DeviceServiceClient;
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{ProvisionUserRequest, User};
use serde_json::Value;
use testkit::Harness;
use tonic::{Code, Status};
use users::Users;
use uuid::Uuid;

use crate::media::Media;

/// The service, alone with `media`'s stand-in.
struct World {
    harness: Harness,
    users: Users,
    media: Media,
    nobody: Peer,
}

/// Somebody with an account.
#[derive(Clone)]
struct Somebody {
    id: Uuid,
    number: i64,
    peer: Peer,
}

impl World {
    async fn start() -> Self {
        let harness = Harness::new("users", &users::MIGRATOR).await;
        let media = Media::default();
        harness.stub("media", MediaServiceServer::new(media.clone()));
        let users = Users::new(&harness.service);
        let nobody = harness.serve(users.routes());
        Self { harness, users, media, nobody }
    }

    /// A person of the number `number`, as `auth` makes them: first name and email are `name`'s.
    async fn person(&self, number: i64, name: &str, roles: &[Role]) -> Somebody {
        self.person_with(newcomer(number, name, roles)).await
    }

    async fn person_with(&self, newcomer: ProvisionUserRequest) -> Somebody {
        let user = self.auth().provision_user(newcomer).await.unwrap().into_inner();
        let roles: Vec<_> = user.roles.iter().map(|role| Role::try_from(*role).unwrap()).collect();
        let id = user.id.parse().unwrap();
        Somebody { id, number: user.number, peer: self.harness.as_user(id, user.number, &roles) }
    }

    /// A person with a token whom this service has never heard of.
    fn stranger(&self) -> Somebody {
        let (id, number) = (Uuid::now_v7(), 999_999);
        Somebody { id, number, peer: self.harness.as_user(id, number, &[Role::Client]) }
    }

    async fn admin(&self) -> Somebody {
        self.person(1_000_000, "Admin", &[Role::Admin]).await
    }

    fn edge(&self) -> UserServiceClient<Peer> {
        UserServiceClient::new(self.harness.as_peer("edge-gateway"))
    }

    fn auth(&self) -> UserServiceClient<Peer> {
        UserServiceClient::new(self.harness.as_peer("auth"))
    }

    fn nobody(&self) -> UserServiceClient<Peer> {
        UserServiceClient::new(self.nobody.clone())
    }

    /// An event arrives.
    async fn deliver<E: Event>(&self, event: &E) {
        let received = Received {
            id: Uuid::now_v7(),
            topic: E::TOPIC.to_owned(),
            kind: E::TYPE.to_owned(),
            key: String::new(),
            data: serde_json::to_value(event).unwrap(),
            correlation_id: None,
            traceparent: None,
        };
        let mut tx = self.harness.service.db.begin().await.unwrap();
        self.users.consume(&mut tx, &received).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What was published since the last call: type, key and payload.
    async fn published(&self) -> Vec<(String, String, Value)> {
        sqlx::query_as(
            "with told as (delete from outbox returning position, type, key, body -> 'data' as data)
             select type, key, data from told order by position",
        )
        .fetch_all(&self.harness.service.db)
        .await
        .unwrap()
    }
}

impl Somebody {
    fn users(&self) -> UserServiceClient<Peer> {
        UserServiceClient::new(self.peer.clone())
    }

    fn devices(&self) -> DeviceServiceClient<Peer> {
        DeviceServiceClient::new(self.peer.clone())
    }

    /// As they see themselves.
    async fn me(&self) -> User {
        get(&mut self.users(), self.id).await.unwrap()
    }
}

fn newcomer(number: i64, name: &str, roles: &[Role]) -> ProvisionUserRequest {
    ProvisionUserRequest {
        id: Uuid::now_v7().to_string(),
        number,
        version: 1,
        phone: Some(format!("+505{:08}", number)),
        email: Some(format!("{}@example.com", name.to_lowercase())),
        roles: roles.iter().map(|role| *role as i32).collect(),
        state: AccountState::Active.into(),
        profile: Some(Profile {
            first_name: Some(name.to_owned()),
            last_name: Some("Rojas".to_owned()),
            ..Profile::default()
        }),
        created_at: Some(prost_types::Timestamp { seconds: 1_700_000_000 + number, nanos: 0 }),
    }
}

async fn get(client: &mut UserServiceClient<Peer>, id: Uuid) -> Result<User, Status> {
    use proto::users::v1::{GetUserRequest, get_user_request::Key};
    let request = GetUserRequest { key: Some(Key::Id(id.to_string())) };
    Ok(client.get_user(request).await?.into_inner())
}

/// Code and reason of a refusal.
fn refusal<T>(answer: Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => panic!("this should have been refused"),
        Err(status) => (status.code(), Details::of(&status).reason),
    }
}

macro_rules! refused {
    ($answer:expr, $code:ident, $reason:literal) => {
        assert_eq!(crate::refusal($answer), (tonic::Code::$code, $reason.to_owned()))
    };
}
use refused;
