//! The yardstick: one process that answers `users/me` of both dialects and Agrovet's list of ads by itself. The same
//! check of the token, the same queries on the same databases and the same JSON as the platform's, and nothing else: no
//! request ids, no metrics, no CORS, no deadlines, no gRPC.

mod ads;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, SecondsFormat, Utc};
use kit::identity::{Caller, KeyCache, KeySource, Revocations, Roles, Verifier};
use kit::net::Dial;
use kit::{Clock, Peer};
use proto::access::v1::Role;
use serde::Serialize;
use sqlx::PgPool;
use tokio::net::TcpListener;
use uuid::Uuid;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    listen: SocketAddr,
    /// Host and port of the edge that publishes the keys.
    #[arg(long)]
    edge: String,
    /// The database of `users`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The database of `marketplace`.
    #[arg(long, env = "MARKETPLACE_DATABASE_URL", hide_env_values = true)]
    marketplace_url: String,
    /// The database of `profiles`.
    #[arg(long, env = "PROFILES_DATABASE_URL", hide_env_values = true)]
    profiles_url: String,
    /// The database of `media`.
    #[arg(long, env = "MEDIA_DATABASE_URL", hide_env_values = true)]
    media_url: String,
    /// Most connections to each; as many as a service has.
    #[arg(long, default_value_t = 8)]
    database_pool: u32,
}

struct Single {
    /// Of `users`.
    db: PgPool,
    profiles: PgPool,
    marketplace: PgPool,
    media: PgPool,
    verifier: Verifier,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let clock = Clock::system();
    let edge = Peer::new("auth", Dial::Tcp { authority: options.edge.into(), name: "auth".into(), tls: None });
    let keys = Arc::new(KeyCache::new(KeySource::Auth(edge)));
    let verifier = Verifier::new(keys, Arc::new(Revocations::new(clock.clone())), clock);
    let connect = |url| kit::db::connect(url, options.database_pool, "single");
    let db = connect(&options.database_url).await?;
    let (marketplace, media) = (connect(&options.marketplace_url).await?, connect(&options.media_url).await?);
    let profiles = connect(&options.profiles_url).await?;
    let app = Router::new()
        .route("/api/auth/users/me/", get(agrovet))
        .route("/api/v1/users/me", get(conectar))
        .route("/api/adds/", get(ads::list))
        .with_state(Arc::new(Single { db, profiles, marketplace, media, verifier }));
    let listener = TcpListener::bind(options.listen).await.context("listening")?;
    Ok(axum::serve(axum::serve::ListenerExt::tap_io(listener, |tcp| drop(tcp.set_nodelay(true))), app).await?)
}

/// Who calls, by the same code that checks every token of the platform.
struct Me(Caller);

impl FromRequestParts<Arc<Single>> for Me {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, single: &Arc<Single>) -> Result<Self, Self::Rejection> {
        let token = kit::access::bearer(&parts.headers)
            .ok_or_else(|| Failure(StatusCode::UNAUTHORIZED, "no token".to_owned()))?;
        let caller = single.verifier.verify(token).await;
        caller.map(Me).map_err(|error| Failure(StatusCode::UNAUTHORIZED, error.to_string()))
    }
}

/// The row that `users` reads for GetUser.
#[derive(sqlx::FromRow)]
#[expect(dead_code, reason = "the query reads what the service's query reads, though neither dialect shows all of it")]
struct Person {
    id: Uuid,
    number: i64,
    first_name: String,
    last_name: String,
    bio: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    address: Option<String>,
    contact_phone: Option<String>,
    avatar_media_id: Option<Uuid>,
    avatar_path: Option<String>,
    phone: Option<String>,
    email: Option<String>,
    roles: Vec<String>,
    state: String,
    account_version: i64,
    chat_infractions: i32,
    chat_banned: bool,
    verified: bool,
    created_at: DateTime<Utc>,
}

/// `fetch_person` of services/users/src/people/sql.rs. pgbench runs it too, with its own placeholder.
pub(crate) const FETCH_PERSON: &str = "select id, number, first_name, last_name, bio, latitude, longitude, address, \
    contact_phone, avatar_media_id, avatar_path, phone, email, roles, state, account_version, chat_infractions, \
    chat_banned, verified, created_at from people where id = $1 and state <> 'DELETED'";

async fn fetch_person(db: &PgPool, id: Uuid) -> Result<Person, Failure> {
    let row: Option<Person> = sqlx::query_as(FETCH_PERSON).bind(id).fetch_optional(db).await?;
    row.ok_or_else(|| Failure(StatusCode::NOT_FOUND, "no such person".to_owned()))
}

/// An answer that no measurement should ever see.
struct Failure(StatusCode, String);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

/// A person as Agrovet's frontend reads it.
#[derive(Serialize)]
struct User {
    id: i64,
    full_name: String,
    last_name: String,
    phone_number: String,
    role: Option<&'static str>,
    bio: Option<String>,
    profile_picture: Option<String>,
    latitude: Option<String>,
    longitude: Option<String>,
    date_joined: String,
    is_active: bool,
    // Who is measured is a consumer.
    specialist_profile: Option<bool>,
    businessman_profile: Option<bool>,
    consumer_profile: Option<Consumer>,
}

#[derive(Serialize)]
struct Consumer {
    id: i64,
    user_id: i64,
    user_display: String,
}

/// `fetch_profiles` of services/profiles/src/profiles/sql.rs, as far as a consumer has something in it.
#[derive(sqlx::FromRow)]
struct Profile {
    id: i64,
    user_number: i64,
    kind: String,
}

const FETCH_PROFILES: &str = "select id, user_id, user_number, kind, speciality, gallery, experience_years, about_us, \
    can_give_consultations, can_offer_online_services, title_id, student_card_id, graduation_letter_id, verification, \
    verification_reason, submission, submitted_at, reviewed_at, point, ratings, business_name, descriptions, contact, \
    offers_local_products, created_at, updated_at from profiles where user_id = any($1) order by id";

async fn agrovet(State(single): State<Arc<Single>>, Me(me): Me) -> Result<Json<User>, Failure> {
    let profile = sqlx::query_as(FETCH_PROFILES).bind([me.id]).fetch_optional(&single.profiles);
    let (person, profile) = tokio::join!(fetch_person(&single.db, me.id), profile);
    let (person, profile): (_, Option<Profile>) = (person?, profile?);
    let consumer_profile = profile.filter(|profile| profile.kind == "CONSUMER").map(|profile| Consumer {
        id: profile.id,
        user_id: profile.user_number,
        user_display: person.first_name.clone(),
    });
    let roles = Roles::from_names(&person.roles);
    let words = [("Specialist", Role::Specialist), ("businessman", Role::Businessman), ("consumer", Role::Consumer)];
    Ok(Json(User {
        id: person.number,
        full_name: person.first_name,
        last_name: person.last_name,
        phone_number: person.phone.unwrap_or_default(),
        role: words.iter().find(|(_, role)| roles.contains(*role)).map(|(word, _)| *word),
        bio: person.bio,
        profile_picture: person.avatar_path,
        latitude: person.latitude.map(|degrees| format!("{degrees:.7}")),
        longitude: person.longitude.map(|degrees| format!("{degrees:.7}")),
        date_joined: person.created_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        is_active: person.state == "ACTIVE",
        specialist_profile: None,
        businessman_profile: None,
        consumer_profile,
    }))
}

/// A person as Conectar's frontend reads it.
#[derive(Serialize)]
struct UserRead {
    id: Uuid,
    email: String,
    nombre: String,
    apellido: String,
    rol: &'static str,
    is_active: bool,
    fecha_creacion: String,
    avatar_url: Option<String>,
    infracciones_chat: i32,
    is_chat_banned: bool,
    es_admin: bool,
    es_profesional: bool,
    es_cliente: bool,
    telefono: Option<String>,
    direccion: Option<String>,
    kyc_verificado: bool,
}

async fn conectar(State(single): State<Arc<Single>>, Me(me): Me) -> Result<Json<UserRead>, Failure> {
    let person = fetch_person(&single.db, me.id).await?;
    let roles = Roles::from_names(&person.roles);
    let words = [("ADMIN", Role::Admin), ("PROFESIONAL", Role::Professional), ("CLIENTE", Role::Client)];
    let rol = words.iter().find(|(_, role)| roles.contains(*role)).map_or("CLIENTE", |(word, _)| word);
    Ok(Json(UserRead {
        id: person.id,
        email: person.email.unwrap_or_default(),
        nombre: person.first_name,
        apellido: person.last_name,
        rol,
        is_active: person.state == "ACTIVE",
        fecha_creacion: person.created_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        avatar_url: person.avatar_path,
        infracciones_chat: person.chat_infractions,
        is_chat_banned: person.chat_banned,
        es_admin: rol == "ADMIN",
        es_profesional: rol == "PROFESIONAL",
        es_cliente: rol == "CLIENTE",
        telefono: person.contact_phone,
        direccion: person.address,
        kyc_verificado: person.verified,
    }))
}
