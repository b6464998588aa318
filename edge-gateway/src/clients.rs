//! The services behind the edge, and the one thing about them that never changes: which number belongs to which user.

use std::sync::Arc;

use kit::Peer;
use kit::service::Mesh;
use moka::sync::Cache;
use proto::auth::v1::account_service_client::AccountServiceClient;
use proto::auth::v1::audit_service_client::AuditServiceClient;
use proto::auth::v1::firebase_service_client::FirebaseServiceClient;
use proto::auth::v1::key_service_client::KeyServiceClient;
use proto::auth::v1::password_service_client::PasswordServiceClient;
use proto::auth::v1::second_factor_service_client::SecondFactorServiceClient;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::chat::v1::chat_service_client::ChatServiceClient;
use proto::chat::v1::message_service_client::MessageServiceClient;
use proto::chat::v1::moderation_service_client::ModerationServiceClient as ChatModerationServiceClient;
use proto::chat::v1::room_service_client::RoomServiceClient;
use proto::forum::v1::comment_service_client::CommentServiceClient;
use proto::forum::v1::community_service_client::CommunityServiceClient;
use proto::forum::v1::moderation_service_client::ModerationServiceClient;
use proto::forum::v1::notification_service_client::NotificationServiceClient;
use proto::forum::v1::post_service_client::PostServiceClient;
use proto::forum::v1::reaction_service_client::ReactionServiceClient;
use proto::marketplace::v1::ad_service_client::AdServiceClient;
use proto::marketplace::v1::category_service_client::CategoryServiceClient;
use proto::marketplace::v1::follow_service_client::FollowServiceClient;
use proto::marketplace::v1::order_service_client::OrderServiceClient;
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::profiles::v1::profile_service_client::ProfileServiceClient;
use proto::profiles::v1::rating_service_client::RatingServiceClient;
use proto::profiles::v1::verification_service_client::VerificationServiceClient;
use proto::users::v1::device_service_client::DeviceServiceClient;
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{GetUserRequest, User, get_user_request::Key};
use tonic::Status;
use uuid::Uuid;

/// Bytes of an answer. The largest is a page of a hundred posts with the longest texts and all the comments that come
/// along, some 24 MiB; tonic's own limit of 4 MiB would let a few long texts close a list to everybody.
const LARGEST: usize = 32 << 20;

/// About 32 MB when full.
const REMEMBERED: u64 = 500_000;

/// Clients of every service. Generated clients want `&mut self`, so each use takes a fresh, cheap clone:
/// `edge.users().get_user(…)`.
#[derive(Clone)]
pub struct Clients {
    /// By the name in the contracts' packages: `plaza.users.v1` belongs to `users`.
    peers: Arc<[(&'static str, Peer)]>,
    /// The same, on connections that streams have for themselves.
    streams: Arc<[(&'static str, Peer)]>,
    ids: Cache<i64, Uuid>,
}

macro_rules! clients {
    ($($name:ident $service:literal $client:ident)*) => {$(
        pub fn $name(&self) -> $client<Peer> {
            $client::new(self.peer($service).clone()).max_decoding_message_size(LARGEST)
        }
    )*};
}

impl Clients {
    /// The services of this release.
    pub const SERVICES: [&'static str; 7] = ["auth", "users", "media", "profiles", "forum", "marketplace", "chat"];

    pub fn new(mesh: &Mesh) -> Self {
        let peers = Self::SERVICES.map(|name| (name, mesh.peer(name))).into();
        let streams = Self::SERVICES.map(|name| (name, mesh.peer_for_streams(name))).into();
        Self { peers, streams, ids: Cache::new(REMEMBERED) }
    }

    /// For the streams behind sockets.
    pub fn chat_streams(&self) -> ChatServiceClient<Peer> {
        ChatServiceClient::new(self.stream("chat").clone())
    }

    /// For files, whose readers may be slow.
    pub fn files(&self) -> MediaServiceClient<Peer> {
        MediaServiceClient::new(self.stream("media").clone())
    }

    clients! {
        accounts "auth" AccountServiceClient
        sessions "auth" SessionServiceClient
        passwords "auth" PasswordServiceClient
        second_factors "auth" SecondFactorServiceClient
        keys "auth" KeyServiceClient
        audit "auth" AuditServiceClient
        firebase "auth" FirebaseServiceClient
        users "users" UserServiceClient
        devices "users" DeviceServiceClient
        media "media" MediaServiceClient
        communities "forum" CommunityServiceClient
        posts "forum" PostServiceClient
        comments "forum" CommentServiceClient
        reactions "forum" ReactionServiceClient
        notifications "forum" NotificationServiceClient
        moderation "forum" ModerationServiceClient
        profiles "profiles" ProfileServiceClient
        verifications "profiles" VerificationServiceClient
        ratings "profiles" RatingServiceClient
        ads "marketplace" AdServiceClient
        categories "marketplace" CategoryServiceClient
        follows "marketplace" FollowServiceClient
        orders "marketplace" OrderServiceClient
        chat "chat" ChatServiceClient
        rooms "chat" RoomServiceClient
        messages "chat" MessageServiceClient
        chat_moderation "chat" ChatModerationServiceClient
    }

    /// The service that owns a package, if it is one of this release.
    pub fn owner(&self, domain: &str) -> Option<&Peer> {
        find(&self.peers, domain)
    }

    /// The same for calls that are streams.
    pub fn owner_for_streams(&self, domain: &str) -> Option<&Peer> {
        find(&self.streams, domain)
    }

    fn peer(&self, name: &'static str) -> &Peer {
        self.owner(name).expect("the names above are in SERVICES")
    }

    fn stream(&self, name: &'static str) -> &Peer {
        self.owner_for_streams(name).expect("the names above are in SERVICES")
    }

    pub fn peers(&self) -> impl Iterator<Item = &(&'static str, Peer)> {
        self.peers.iter()
    }

    /// The id behind a number. Asked once, then remembered for good: the pair never changes.
    pub async fn user_id(&self, number: i64) -> Result<Uuid, Status> {
        if let Some(id) = self.ids.get(&number) {
            return Ok(id);
        }
        let request = GetUserRequest { key: Some(Key::Number(number)) };
        let user = self.users().get_user(request).await?.into_inner();
        self.remember(&user)
    }

    /// Notes the pair of a person that came along anyway.
    pub fn remember(&self, user: &User) -> Result<Uuid, Status> {
        let id = user.id.parse().map_err(|_| Status::internal("users answered an id that is none"))?;
        self.ids.insert(user.number, id);
        Ok(id)
    }
}

fn find<'p>(peers: &'p [(&'static str, Peer)], domain: &str) -> Option<&'p Peer> {
    peers.iter().find(|(name, _)| *name == domain).map(|(_, peer)| peer)
}
