//! The yardstick: one process that answers `users/me` of both dialects by itself. The same check of the token, the same
//! query on the same database and the same JSON as the platform's, and nothing else: no request ids, no metrics, no
//! CORS, no deadlines, no gRPC.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
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
    /// Most connections to PostgreSQL; as many as a service has.
    #[arg(long, default_value_t = 8)]
    database_pool: u32,
}

struct Single {
    db: PgPool,
    verifier: Verifier,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let clock = Clock::system();
    let edge = Peer::new("auth", Dial::Tcp { authority: options.edge.into(), name: "auth".into(), tls: None });
    let keys = Arc::new(KeyCache::new(KeySource::Auth(edge)));
    let verifier = Verifier::new(keys, Arc::new(Revocations::new(clock.clone())), clock);
    let db = kit::db::connect(&options.database_url, options.database_pool, "single").await?;
    let app = Router::new()
        .route("/api/auth/users/me/", get(agrovet))
        .route("/api/v1/users/me", get(conectar))
        .with_state(Arc::new(Single { db, verifier }));
    let listener = TcpListener::bind(options.listen).await.context("listening")?;
    Ok(axum::serve(axum::serve::ListenerExt::tap_io(listener, |tcp| drop(tcp.set_nodelay(true))), app).await?)
}

/// Who calls, by the same code that checks every token of the platform.
struct Me(Caller);

impl FromRequestParts<Arc<Single>> for Me {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(parts: &mut Parts, single: &Arc<Single>) -> Result<Self, Self::Rejection> {
        let token = kit::access::bearer(&parts.headers).ok_or((StatusCode::UNAUTHORIZED, "no token".to_owned()))?;
        let caller = single.verifier.verify(token).await;
        caller.map(Me).map_err(|error| (StatusCode::UNAUTHORIZED, error.to_string()))
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

async fn fetch_person(db: &PgPool, id: Uuid) -> Result<Person, (StatusCode, String)> {
    let row = sqlx::query_as(FETCH_PERSON).bind(id).fetch_optional(db).await;
    let row: Option<Person> = row.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    row.ok_or((StatusCode::NOT_FOUND, "no such person".to_owned()))
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
    specialist_profile: Option<bool>,
    businessman_profile: Option<bool>,
    consumer_profile: Option<bool>,
}

async fn agrovet(State(single): State<Arc<Single>>, Me(me): Me) -> Result<Json<User>, (StatusCode, String)> {
    let person = fetch_person(&single.db, me.id).await?;
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
        consumer_profile: None,
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

async fn conectar(State(single): State<Arc<Single>>, Me(me): Me) -> Result<Json<UserRead>, (StatusCode, String)> {
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
