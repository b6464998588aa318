//! gRPC and gRPC-Web for everybody outside: every RPC that is not between services goes to the service that owns its
//! package, as it came. What a client says of itself in headers is thrown away, and what the edge found out put in its
//! place.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyStream, StreamBody};
use kit::Peer;
use kit::access::{self, Method, Methods};
use kit::context::{self, Context};
use kit::error::{denied, exhausted, unauthenticated, unavailable};
use proto::access::v1::Who;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, ServiceExt};

use crate::Edge;
use crate::address::Client;
use crate::auth::Identity;
use crate::cors::Cors;
use crate::dialect::{Credentials, Problem};
use crate::held::Held;
use crate::limit::{Class, payer};
use crate::places::Place;
use crate::socket::Farewell;
use crate::upload::Brisk;

const GRPC_WEB_TEXT: &[u8] = b"application/grpc-web-text";

/// Headers that only the mesh may set.
const OURS: &[&str] = &[context::CLIENT_IP, context::CLIENT_DEVICE, "l5d-client-id", "cookie"];

/// How a call is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Asked and answered once, within our deadline.
    Request,
    /// Lasts as long as it is sent, and may pause.
    Upload,
    /// Begins within our deadline and lasts as long as it is read; ends when its reader takes nothing for long.
    File,
    /// Lasts as long as both sides like, and says farewell when the edge stops.
    Stream,
}

impl Way {
    fn of(method: &Method, domain: &str) -> Self {
        match (method.server_streaming, method.client_streaming) {
            (true, _) if domain == "chat" => Self::Stream,
            (true, _) => Self::File,
            (false, true) => Self::Upload,
            (false, false) => Self::Request,
        }
    }
}

/// The proxy.
pub struct GrpcProxy {
    edge: Edge,
    /// Every RPC, so that those between services are refused and not unknown.
    methods: Methods,
    cors: Cors,
    /// Health and, if configured, reflection: the edge's own.
    own: Routes,
}

impl GrpcProxy {
    pub fn new(edge: &Edge) -> anyhow::Result<Self> {
        let cors = Cors {
            origins: edge.platform_cors.origins.clone(),
            methods: "POST, OPTIONS",
            headers: None,
            expose: "grpc-status, grpc-message, grpc-status-details-bin, x-request-id",
            max_age: "86400",
            stranger: StatusCode::FORBIDDEN,
        };
        let (reporter, health) = tonic_health::server::health_reporter();
        let stop = edge.stop.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            // Who asks while the edge drains shall go elsewhere.
            reporter.set_service_status("", ServingStatus::NotServing).await;
        });
        let mut own = Routes::new(health);
        if edge.config.public_reflection {
            let reflection = || {
                tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            };
            own = own.add_service(reflection().build_v1()?).add_service(reflection().build_v1alpha()?);
        }
        Ok(Self { edge: edge.clone(), methods: access::all_methods()?, cors, own })
    }

    pub async fn call(&self, request: Request) -> Response {
        self.cors.around(request, async |request| self.forward(request).await).await
    }

    async fn forward(&self, request: Request) -> Response {
        let kind = request.headers().get(CONTENT_TYPE).cloned();
        match self.proxy(request).await {
            Ok(response) => response,
            Err(status) => {
                let mut response = status.into_http::<Body>();
                // A gRPC-Web client wants to hear its own type, also when there is nothing but a status.
                if let Some(kind) = kind.filter(|kind| kind.as_bytes().starts_with(b"application/grpc-web")) {
                    response.headers_mut().insert(CONTENT_TYPE, kind);
                }
                response
            }
        }
    }

    async fn proxy(&self, mut request: Request) -> Result<Response, Status> {
        let path = request.uri().path();
        if path.starts_with("/grpc.") {
            let mut own = GrpcWebLayer::new().layer(self.own.clone().prepare());
            return match own.call(request.map(tonic::body::Body::new)).await {
                Ok(response) => Ok(response.map(Body::new)),
                Err(never) => match never {},
            };
        }
        let unknown = || Status::new(Code::Unimplemented, "no such method");
        let method = self.methods.get(path).ok_or_else(unknown)?;
        // `/plaza.users.v1.UserService/GetUser` belongs to `users`.
        let domain = path.strip_prefix("/plaza.").and_then(|rest| rest.split('.').next()).unwrap_or_default();
        let way = Way::of(method, domain);
        let peer = match way {
            Way::Request => self.edge.owner(domain),
            _ => self.edge.owner_for_streams(domain),
        };
        let peer = peer.ok_or_else(unknown)?.clone();

        let client = request.extensions().get().copied().unwrap_or(Client::UNKNOWN);
        let authorization = self.admit(method, request.headers(), client).await?;
        let place = self.place(way, client)?;
        for name in OURS {
            request.headers_mut().remove(*name);
        }
        request.headers_mut().remove(AUTHORIZATION);
        if !method.client_streaming {
            request = request.map(|body| Brisk::wrap(body, self.edge.config.body_pause()));
        }
        let mut context = Context { authorization, ..context::current() };
        if matches!(way, Way::Upload | Way::Stream) {
            context.deadline = None;
        }
        let response = context::scope(context, self.pass_on(peer, way, request)).await?;
        Ok(match way {
            Way::Request | Way::Upload => response,
            Way::File => response.map(|body| Held::wrap(body, place, Some(self.edge.config.read_pause()))),
            Way::Stream => response.map(|body| Held::wrap(body, place, None)),
        })
    }

    /// Counts a call and says whose it is, as its service shall know it.
    async fn admit(&self, method: &Method, headers: &HeaderMap, client: Client) -> Result<Option<Arc<str>>, Status> {
        if method.who == Who::Peer {
            return Err(denied("PEERS_ONLY", "only services may call this").into());
        }
        let identity = Identity::of(headers, &["bearer"], &self.edge.verifier).await;
        self.limit(&method.path, &identity, client).await?;
        match identity {
            Identity::Known { bearer, .. } => Ok(Some(bearer)),
            // A public RPC takes an invalid token for none. For the others this is where an outsider is stopped: the
            // services see a call of the edge's, and let the edge do what they would let no stranger do.
            Identity::Unknown(_) if method.who == Who::Public => Ok(None),
            Identity::Unknown(why) => Err(stranger(why).into()),
        }
    }

    /// A place among those who are served in the same way.
    fn place(&self, way: Way, client: Client) -> Result<Place, Status> {
        let (place, reason, message) = match way {
            Way::Request => (self.edge.places.take(client.ip), "OVERLOADED", "too many requests at once"),
            Way::File => (self.edge.downloads.take(client.ip), "TOO_MANY_STREAMS", "too many files at once"),
            Way::Upload | Way::Stream => {
                (self.edge.sockets.take(client.ip), "TOO_MANY_STREAMS", "too many streams at once")
            }
        };
        place.ok_or_else(|| exhausted(reason, message, Duration::from_secs(1)).into())
    }

    /// Hands a call on to its service, and the answer back.
    async fn pass_on(&self, peer: Peer, way: Way, request: Request) -> Result<Response, Status> {
        let (stop, within) = (self.edge.stop.clone(), Duration::from_secs(self.edge.config.mesh.grace_seconds));
        let peer = peer.map_response(move |response: Response<tonic::body::Body>| match way {
            // A refusal has no body, and some clients wait until that is seen.
            Way::Stream if http_body::Body::is_end_stream(response.body()) => response,
            Way::Stream => response.map(|body| Farewell::wrap(body, stop, within / 2)),
            _ => response,
        });
        // As text a body says that it is as long as the text, and the peer would wait for the rest.
        let text = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(GRPC_WEB_TEXT));
        let peer = peer.map_request(move |request: Request<tonic::body::Body>| match text {
            true => request.map(|body| tonic::body::Body::new(StreamBody::new(BodyStream::new(body)))),
            false => request,
        });
        let mut proxy = GrpcWebLayer::new().layer(peer);
        Ok(proxy.call(request.map(tonic::body::Body::new)).await?.map(Body::new))
    }

    /// Counts the call, and refuses it when there were too many.
    async fn limit(&self, path: &str, identity: &Identity, client: Client) -> Result<(), Status> {
        if !self.edge.limiter.on() {
            return Ok(());
        }
        let verdict = self.edge.limiter.hit(class(path), &payer(Some(identity), client)).await;
        match verdict.problem() {
            Problem::Limited { retry_after, .. } if !verdict.allowed => {
                let wait = Duration::from_secs(retry_after);
                Err(exhausted("TOO_MANY_REQUESTS", "too many calls; try again later", wait).into())
            }
            _ => Ok(()),
        }
    }
}

/// The class in which the same deed is counted over REST; of two dialects, the stricter one's.
fn class(path: &str) -> Class {
    match path.rsplit('/').next().unwrap_or_default() {
        "LogIn" => Class::Login,
        "Register" | "ResetPassword" | "ChangePassword" | "ConfirmSecondFactor" | "RemoveSecondFactor" => Class::Strict,
        "RequestPasswordReset" => Class::Email,
        "SearchUsers" | "SearchMessages" => Class::Search,
        "UploadMedia" | "UpdateMedia" => Class::Upload,
        _ => Class::Relaxed,
    }
}

fn stranger(why: Credentials) -> kit::Error {
    match why {
        Credentials::Unknown => unavailable("AUTH_AWAY", "nobody can say at the moment whose token this is"),
        Credentials::Missing => unauthenticated("NOT_SIGNED_IN", "an access token is needed"),
        _ => unauthenticated("BAD_TOKEN", "the token is invalid, has ended or was revoked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guesses_or_costs_is_counted_more_strictly() {
        let methods = access::all_methods().unwrap();
        for (path, expected) in [
            ("/plaza.auth.v1.SessionService/LogIn", Class::Login),
            ("/plaza.auth.v1.AccountService/Register", Class::Strict),
            ("/plaza.auth.v1.PasswordService/ChangePassword", Class::Strict),
            ("/plaza.auth.v1.PasswordService/ResetPassword", Class::Strict),
            ("/plaza.auth.v1.PasswordService/RequestPasswordReset", Class::Email),
            ("/plaza.auth.v1.SecondFactorService/ConfirmSecondFactor", Class::Strict),
            ("/plaza.auth.v1.SecondFactorService/RemoveSecondFactor", Class::Strict),
            ("/plaza.users.v1.UserService/SearchUsers", Class::Search),
            ("/plaza.chat.v1.MessageService/SearchMessages", Class::Search),
            ("/plaza.users.v1.UserService/GetUser", Class::Relaxed),
            ("/plaza.media.v1.MediaService/UploadMedia", Class::Upload),
            ("/plaza.media.v1.MediaService/UpdateMedia", Class::Upload),
            ("/plaza.media.v1.MediaService/ReadFile", Class::Relaxed),
        ] {
            // A name that changes there must change here, or it would be counted as anything.
            assert!(methods.contains_key(path), "{path} exists");
            assert_eq!(class(path), expected, "{path}");
        }
    }
}
