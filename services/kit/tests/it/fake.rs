//! A service that does what a test says, behind real contracts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::Routes;
use kit::identity::{Caller, try_caller};
use proto::auth::v1::key_service_server::{KeyService, KeyServiceServer};
use proto::auth::v1::{GetKeySetRequest, KeySet};
use proto::users::v1::device_service_server::{DeviceService, DeviceServiceServer};
use proto::users::v1::get_user_request::Key;
use proto::users::v1::user_service_server::{UserService, UserServiceServer};
use proto::users::v1::*;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// What an RPC saw of its call.
pub(crate) struct Seen {
    pub(crate) rpc: &'static str,
    pub(crate) caller: Option<Caller>,
    pub(crate) metadata: MetadataMap,
}

type Act = dyn Fn(Seen) -> BoxFuture<'static, Result<(), Status>> + Send + Sync;

/// Every RPC does the same and answers an empty message.
#[derive(Clone)]
pub(crate) struct Fake {
    act: Arc<Act>,
    calls: Arc<AtomicUsize>,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new(async |_| Ok(()))
    }
}

impl Fake {
    pub(crate) fn new<F>(act: impl Fn(Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        Self { act: Arc::new(move |seen| act(seen).boxed()), calls: Arc::default() }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes::default().add(self.users()).add(DeviceServiceServer::new(self.clone())).add(self.keys())
    }

    pub(crate) fn users(&self) -> UserServiceServer<Self> {
        UserServiceServer::new(self.clone())
    }

    pub(crate) fn keys(&self) -> KeyServiceServer<Self> {
        KeyServiceServer::new(self.clone())
    }

    async fn answer<T, U: Default>(&self, rpc: &'static str, request: Request<T>) -> Result<Response<U>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let caller = try_caller(&request);
        (self.act)(Seen { rpc, caller, metadata: request.into_parts().0 }).await?;
        Ok(Response::new(U::default()))
    }
}

macro_rules! rpcs {
    ($service:ident { $($name:ident $request:ident $response:ident)* }) => {
        #[tonic::async_trait]
        impl $service for Fake {
            $(async fn $name(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                self.answer(stringify!($name), request).await
            })*
        }
    };
}

rpcs! { KeyService { get_key_set GetKeySetRequest KeySet } }

rpcs! { DeviceService {
    register_device RegisterDeviceRequest RegisterDeviceResponse
    unregister_device UnregisterDeviceRequest UnregisterDeviceResponse
} }

rpcs! { UserService {
    get_user GetUserRequest User
    batch_get_users BatchGetUsersRequest BatchGetUsersResponse
    list_users ListUsersRequest ListUsersResponse
    search_users SearchUsersRequest SearchUsersResponse
    update_user UpdateUserRequest User
    set_avatar SetAvatarRequest User
    get_user_metrics GetUserMetricsRequest UserMetrics
    provision_user ProvisionUserRequest User
    withdraw_user WithdrawUserRequest WithdrawUserResponse
    anonymize_user AnonymizeUserRequest AnonymizeUserResponse
} }

/// A valid request of an RPC without side effects.
pub(crate) fn get_user() -> GetUserRequest {
    GetUserRequest { key: Some(Key::Number(17)) }
}

/// A valid request of an RPC with side effects.
pub(crate) fn update_user() -> UpdateUserRequest {
    UpdateUserRequest { id: uuid::Uuid::now_v7().to_string(), ..Default::default() }
}
