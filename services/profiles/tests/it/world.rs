//! The service under test, and people who call it.

use kit::Peer;
use kit::error::Details;
use kit::inbox::{Consumer, Received};
use profiles::Profiles;
use proto::Event;
use proto::access::v1::Role;
use proto::auth::v1::account_service_server::AccountServiceServer;
use proto::events::v1::UserDeleted;
use proto::media::v1::media_service_server::MediaServiceServer;
use proto::profiles::v1::profile::Details as Kind;
use proto::profiles::v1::profile_input::Details as Input;
use proto::profiles::v1::profile_service_client::ProfileServiceClient;
use proto::profiles::v1::rating_service_client::RatingServiceClient;
use proto::profiles::v1::verification_service_client::VerificationServiceClient;
use proto::profiles::v1::{
    Businessman, BusinessmanInput, ConsumerInput, CreateProfileRequest, GetProfileRequest, Profession, Profile,
    ProfileInput, Specialist, SpecialistInput, UpdateProfileRequest, Verification,
};
use proto::users::v1::user_service_server::UserServiceServer;
use serde_json::Value;
use testkit::Harness;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::peers::Peers;

pub(crate) struct World {
    pub(crate) harness: Harness,
    pub(crate) profiles: Profiles,
    pub(crate) peers: Peers,
    nobody: Peer,
}

/// Somebody with an account.
#[derive(Clone)]
pub(crate) struct Somebody {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    peer: Peer,
}

impl World {
    pub(crate) async fn start() -> Self {
        let harness = Harness::new("profiles", &profiles::MIGRATOR).await;
        let peers = Peers::default();
        harness.stub("auth", AccountServiceServer::new(peers.clone()));
        harness.stub("users", UserServiceServer::new(peers.clone()));
        harness.stub("media", MediaServiceServer::new(peers.clone()));
        let profiles = Profiles::new(&harness.service);
        let nobody = harness.serve(profiles.routes());
        Self { harness, profiles, peers, nobody }
    }

    pub(crate) fn person(&self, number: i64, name: &str) -> Somebody {
        self.person_as(number, name, &[])
    }

    pub(crate) fn admin(&self) -> Somebody {
        self.person_as(1_000_000, "Admin", &[Role::Admin])
    }

    fn person_as(&self, number: i64, name: &str, roles: &[Role]) -> Somebody {
        let id = Uuid::now_v7();
        self.peers.person(id, number, name);
        Somebody { id, number, peer: self.harness.as_user(id, number, roles) }
    }

    pub(crate) fn nobody(&self) -> ProfileServiceClient<Peer> {
        ProfileServiceClient::new(self.nobody.clone())
    }

    pub(crate) fn edge(&self) -> ProfileServiceClient<Peer> {
        ProfileServiceClient::new(self.harness.as_peer("edge-gateway"))
    }

    /// An event arrives.
    pub(crate) async fn deliver<E: Event>(&self, event: &E) {
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
        self.profiles.consume(&mut tx, &received).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// How many transactions wait for a lock.
    pub(crate) async fn blocked(&self) -> i64 {
        let count = "select count(*) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
        sqlx::query_scalar(count).fetch_one(&self.harness.service.db).await.unwrap()
    }

    /// What was published since the last call: type, key and kind of profile.
    pub(crate) async fn published(&self) -> Vec<(String, String, String)> {
        let told: Vec<(String, String, Value)> = sqlx::query_as(
            "with told as (delete from outbox returning position, type, key, body -> 'data' as data)
             select type, key, data from told order by position",
        )
        .fetch_all(&self.harness.service.db)
        .await
        .unwrap();
        let kind = |data: Value| data["profile_type"].as_str().unwrap().to_owned();
        told.into_iter().map(|(event, key, data)| (event, key, kind(data))).collect()
    }
}

impl Somebody {
    pub(crate) fn profiles(&self) -> ProfileServiceClient<Peer> {
        ProfileServiceClient::new(self.peer.clone())
    }

    pub(crate) fn ratings(&self) -> RatingServiceClient<Peer> {
        RatingServiceClient::new(self.peer.clone())
    }

    pub(crate) fn verifications(&self) -> VerificationServiceClient<Peer> {
        VerificationServiceClient::new(self.peer.clone())
    }

    pub(crate) async fn try_create(&self, input: Input) -> Result<Profile, Status> {
        let request = CreateProfileRequest { input: Some(ProfileInput { details: Some(input) }) };
        Ok(self.profiles().create_profile(request).await?.into_inner())
    }

    pub(crate) async fn create(&self, input: Input) -> Profile {
        self.try_create(input).await.unwrap()
    }

    /// Changes the profile of `whose`.
    pub(crate) async fn try_update(&self, whose: &Self, input: Input) -> Result<Profile, Status> {
        let request = update(whose, input);
        Ok(self.profiles().update_profile(request).await?.into_inner().profile.unwrap())
    }

    pub(crate) async fn update(&self, input: Input) -> Profile {
        self.try_update(self, input).await.unwrap()
    }

    /// The profile of `whose`, as this person sees it.
    pub(crate) async fn see(&self, whose: &Self) -> Result<Profile, Status> {
        Ok(self.profiles().get_profile(GetProfileRequest { user_id: whose.id.to_string() }).await?.into_inner())
    }
}

pub(crate) fn update(whose: &Somebody, input: Input) -> UpdateProfileRequest {
    let input = Some(ProfileInput { details: Some(input) });
    UpdateProfileRequest { user_id: whose.id.to_string(), input, create_missing: false }
}

pub(crate) fn vet() -> Input {
    Input::Specialist(SpecialistInput {
        profession: Some(Profession::Veterinarian.into()),
        about_us: Some("Animales mayores".into()),
        ..SpecialistInput::default()
    })
}

pub(crate) fn shop() -> Input {
    Input::Businessman(BusinessmanInput {
        business_name: Some("El Corral".into()),
        descriptions: Some("De todo".into()),
        contact: Some("8888".into()),
        ..BusinessmanInput::default()
    })
}

pub(crate) fn consumer() -> Input {
    Input::Consumer(ConsumerInput {})
}

pub(crate) fn specialist(profile: &Profile) -> &Specialist {
    match &profile.details {
        Some(Kind::Specialist(specialist)) => specialist,
        other => panic!("not a specialist: {other:?}"),
    }
}

pub(crate) fn businessman(profile: &Profile) -> &Businessman {
    match &profile.details {
        Some(Kind::Businessman(businessman)) => businessman,
        other => panic!("not a business: {other:?}"),
    }
}

pub(crate) fn verification(profile: &Profile) -> Verification {
    specialist(profile).verification.clone().unwrap()
}

/// The end of an account.
pub(crate) fn gone(who: &Somebody) -> UserDeleted {
    UserDeleted { user_id: who.number, user_uuid: who.id.to_string(), phone_number: None }
}

/// Code and reason of a refusal.
pub(crate) fn refusal<T>(answer: Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => panic!("this should have been refused"),
        Err(status) => (status.code(), Details::of(&status).reason),
    }
}

macro_rules! refused {
    ($answer:expr, $code:ident, $reason:expr) => {
        assert_eq!(crate::world::refusal($answer), (tonic::Code::$code, $reason.to_owned()))
    };
}
pub(crate) use refused;
