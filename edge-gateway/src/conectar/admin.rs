//! Administration of people.

use axum::Json;
use axum::extract::State;
use kit::identity::Caller;
use proto::access::v1::Role;
use proto::auth::v1::{Account, AccountState, BanAccountRequest, UnbanAccountRequest};
use proto::users::v1::{GetUserMetricsRequest, ListUsersRequest, UserOrder};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::address::Base;
use crate::conectar::users::{ROLES, UserRead};
use crate::conectar::{Conectar, Error, On, Result};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};

/// As many rows as `users` leaves out at most.
const FURTHEST: i64 = 100_000;

/// Which page of the list, and whom to list.
pub struct Filter {
    page: i64,
    limit: i64,
    role: Option<Role>,
    active: Option<bool>,
    words: String,
}

impl Form for Filter {
    fn read(f: &mut Fields) -> Self {
        Self {
            page: f.integer("page").at_least(1).or(1),
            limit: f.integer("limit").between(1, 100).or(10),
            role: f.choice("rol", ROLES).optional(),
            active: f.boolean("is_active").optional(),
            words: f.text("q").blank().max(200).describe("Words in name, email or phone").or(String::new()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPage {
    pub users: Vec<UserRead>,
    pub total: i32,
    pub page: i64,
    pub limit: i64,
    pub total_pages: i64,
}

pub async fn users(
    State(edge): State<Conectar>,
    base: Base,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Json<UserPage>> {
    // The contract of `users` lets everybody list people; this page of this dialect is the administrators'.
    if !caller.admin() {
        return Err(Error::detail(403, "Solo los administradores pueden listar usuarios"));
    }
    let Filter { page, limit, role, active, words } = filter;
    // Nobody turns so many pages; beyond, a page is empty and only the count is asked for.
    let skip = (page - 1).saturating_mul(limit);
    let beyond = skip > FURTHEST;
    let request = ListUsersRequest {
        page_size: if beyond { 1 } else { limit as i32 },
        skip: skip.min(FURTHEST) as i32,
        search: words,
        roles: role.map(|role| role as i32).into_iter().collect(),
        order: UserOrder::Newest as i32,
        state: match active {
            Some(true) => AccountState::Active as i32,
            Some(false) => AccountState::Banned as i32,
            None => AccountState::Unspecified as i32,
        },
        ..Default::default()
    };
    let answer = edge.users().list_users(request).await?.into_inner();
    let total = answer.total_size;
    let shown = answer.users.into_iter().filter(|_| !beyond);
    let users = shown.map(|user| UserRead::of(user, &base)).collect();
    Ok(Json(UserPage { users, total, page, limit, total_pages: (i64::from(total) + limit - 1) / limit }))
}

pub struct ByEmail {
    email: String,
}

impl Form for ByEmail {
    fn read(f: &mut Fields) -> Self {
        Self { email: f.text("email").blank().max(255).required() }
    }
}

/// People by a part of their email, at most 50, newest first.
pub async fn search(
    State(edge): State<Conectar>,
    base: Base,
    caller: Caller,
    Query(form): Query<ByEmail>,
) -> Result<Json<Vec<UserRead>>> {
    if !caller.admin() {
        return Err(Error::detail(403, "Solo los administradores pueden buscar usuarios"));
    }
    if form.email.chars().count() < 2 {
        return Err(Error::detail(400, "El término de búsqueda debe tener al menos 2 caracteres"));
    }
    let request =
        ListUsersRequest { email: form.email, page_size: 50, order: UserOrder::Newest as i32, ..Default::default() };
    let found = edge.users().list_users(request).await?.into_inner().users;
    Ok(Json(found.into_iter().map(|user| UserRead::of(user, &base)).collect()))
}

/// Why; under the name of either original.
pub struct Reason {
    text: String,
}

impl Form for Reason {
    fn read(f: &mut Fields) -> Self {
        let english = f.text("reason").blank().max(500).optional();
        let spanish = f.text("razon").blank().max(500).optional();
        Self { text: english.or(spanish).unwrap_or_default() }
    }
}

/// The union of what the two originals answered.
#[derive(Serialize, ToSchema)]
pub struct BanRead {
    #[schema(format = Uuid)]
    pub user_id: String,
    pub email: String,
    pub is_active: bool,
    pub mensaje: String,
    pub message: &'static str,
}

impl BanRead {
    fn of(account: Account, mensaje: impl FnOnce(&str) -> String, message: &'static str) -> Self {
        let is_active = account.state() == AccountState::Active;
        // People of the other community may have a phone instead.
        let email = account.email.or(account.phone).unwrap_or_default();
        Self { user_id: account.id, is_active, mensaje: mensaje(&email), email, message }
    }
}

/// Again: the same answer, because the frontend repeats what failed.
pub async fn ban(
    State(edge): State<Conectar>,
    _: Caller,
    Path(id): Path<Uuid>,
    Input(reason): Input<Reason>,
) -> Result<Json<BanRead>> {
    let request = BanAccountRequest { id: id.to_string(), reason: reason.text };
    let account = edge.accounts().ban_account(request).await;
    let account = account.on("ROLE_MISSING", 403, "Solo los administradores pueden banear usuarios")?.into_inner();
    let mensaje = |email: &str| format!("Usuario {email} ha sido baneado exitosamente. No podrá iniciar sesión.");
    Ok(Json(BanRead::of(account, mensaje, "Usuario baneado exitosamente")))
}

pub async fn unban(State(edge): State<Conectar>, _: Caller, Path(id): Path<Uuid>) -> Result<Json<BanRead>> {
    let account = edge.accounts().unban_account(UnbanAccountRequest { id: id.to_string() }).await;
    let account = account.on("ROLE_MISSING", 403, "Solo los administradores pueden desbanear usuarios")?.into_inner();
    let mensaje =
        |email: &str| format!("Usuario {email} ha sido desbaneado exitosamente. Puede iniciar sesión nuevamente.");
    Ok(Json(BanRead::of(account, mensaje, "Usuario desbaneado exitosamente")))
}

#[derive(Serialize, ToSchema)]
pub struct UserMetrics {
    pub total_clientes: i32,
    pub total_profesionales: i32,
    pub total_pro_pendientes_kyc: i32,
    pub total_pro_aprobados: i32,
}

/// Everybody counts, the banned too; one snapshot.
pub async fn user_metrics(State(edge): State<Conectar>, _: Caller) -> Result<Json<UserMetrics>> {
    let metrics = edge.users().get_user_metrics(GetUserMetricsRequest {}).await;
    let metrics = metrics.on("ROLE_MISSING", 403, "Solo los administradores pueden ver las métricas")?.into_inner();
    Ok(Json(UserMetrics {
        total_clientes: metrics.clients,
        total_profesionales: metrics.professionals,
        total_pro_pendientes_kyc: metrics.professionals_unverified,
        total_pro_aprobados: metrics.professionals_verified,
    }))
}
