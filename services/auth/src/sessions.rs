//! Sessions: from login to logout. Everything that ends one writes `ended_at` in its own transaction; who must know of
//! it is told after the commit (`revocations`).

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, Result, not_found};
use kit::identity::caller;
use kit::outbox::publish;
use kit::wire::{parse_id, timestamp};
use proto::auth::v1::session_service_server::SessionService;
use proto::auth::v1::{
    ListRevocationsRequest, ListRevocationsResponse, ListSessionsRequest, ListSessionsResponse, LogInRequest,
    LogInResponse, LogOutRequest, LogOutResponse, RefreshRequest, RevokeSessionRequest, RevokeSessionResponse, Session,
    Tokens, ValidateTokenRequest, ValidateTokenResponse,
};
use proto::events::v1::UserLoggedOut;
use sqlx::{PgConnection, PgPool};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Auth;
use crate::accounts::AccountRow;
use crate::audit::{self, Entry};
use crate::login::LoginName;
use crate::refresh::{self, LIFE};
use crate::revocations::{Ended, list_revocations};

/// Live sessions an account may have; one more ends the one that was used longest ago.
const MOST: i64 = 100;

#[tonic::async_trait]
impl SessionService for Auth {
    async fn log_in(&self, request: Request<LogInRequest>) -> Result<Response<LogInResponse>, Status> {
        let input = request.into_inner();
        let name = LoginName::of(input.login.as_ref(), &self.secrets);
        let outcome = self.log_in_as(&name, &input.password, &input.second_factor).await;
        let label = outcome.as_ref().map_or_else(|error| error.reason().into_owned(), |_| "OK".to_owned());
        metrics::counter!("auth_logins_total", "outcome" => label).increment(1);
        let (account, tokens) = outcome?;
        Ok(Response::new(LogInResponse {
            tokens: Some(tokens),
            user_id: account.id.to_string(),
            user_number: account.number,
            roles: account.roles().numbers(),
        }))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<Tokens>, Status> {
        Ok(Response::new(self.rotate(&request.get_ref().refresh_token).await?))
    }

    async fn log_out(&self, request: Request<LogOutRequest>) -> Result<Response<LogOutResponse>, Status> {
        let caller = caller(&request)?;
        let everywhere = request.get_ref().everywhere;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let ended = if everywhere {
            end_sessions(&mut tx, caller.id, None, now).await?
        } else {
            end_session(&mut tx, caller.id, caller.session, now).await?
        };
        if !ended.is_empty() {
            audit::note(&mut tx, now, Entry::own(caller.id, "LOGGED_OUT")).await?;
            let event = UserLoggedOut { user_id: caller.number, user_uuid: caller.id.to_string(), everywhere };
            publish(&mut tx, &caller.number.to_string(), &event).await?;
        }
        commit(tx).await?;
        self.revoke(&ended).await;
        Ok(Response::new(LogOutResponse { ended: ended.len() as i32 }))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let caller = caller(&request)?;
        let rows = list_sessions(&self.db, caller.id, self.clock.now()).await?;
        let sessions = rows.into_iter().map(|row| row.seen_from(caller.session)).collect();
        Ok(Response::new(ListSessionsResponse { sessions }))
    }

    async fn revoke_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        let caller = caller(&request)?;
        let id = parse_id("id", &request.get_ref().id)?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let ended = end_session(&mut tx, caller.id, id, now).await?;
        if ended.is_empty() {
            // Ended before is as good as ended now.
            if !fetch_session_exists(&mut tx, caller.id, id).await? {
                return Err(session_not_found().into());
            }
            return Ok(Response::new(RevokeSessionResponse {}));
        }
        audit::note(&mut tx, now, Entry::own(caller.id, "SESSION_REVOKED")).await?;
        commit(tx).await?;
        self.revoke(&ended).await;
        Ok(Response::new(RevokeSessionResponse {}))
    }

    async fn validate_token(
        &self,
        request: Request<ValidateTokenRequest>,
    ) -> Result<Response<ValidateTokenResponse>, Status> {
        let caller = match self.verifier.verify(&request.get_ref().access_token).await {
            Ok(caller) => caller,
            // The contract knows one reason: whoever asks cannot do anything else about an ended session.
            Err(error) if error.reason() == "SESSION_REVOKED" => return Err(refresh::bad_token().into()),
            Err(error) => return Err(error.into()),
        };
        Ok(Response::new(ValidateTokenResponse {
            user_id: caller.id.to_string(),
            user_number: caller.number,
            roles: caller.roles.numbers(),
            session_id: caller.session.to_string(),
            expires_at: Some(prost_types::Timestamp { seconds: caller.expires_at, nanos: 0 }),
        }))
    }

    async fn list_revocations(
        &self,
        _request: Request<ListRevocationsRequest>,
    ) -> Result<Response<ListRevocationsResponse>, Status> {
        let revocations = list_revocations(&self.db, self.clock.now()).await?;
        Ok(Response::new(ListRevocationsResponse { revocations: revocations.into_iter().map(Into::into).collect() }))
    }
}

impl Auth {
    /// Opens a session within the caller's transaction, which holds the account's lock or has just made it.
    pub(crate) async fn open_session(
        &self,
        conn: &mut PgConnection,
        account: &AccountRow,
        now: DateTime<Utc>,
    ) -> Result<(Tokens, Vec<Ended>)> {
        let id = Uuid::now_v7();
        let refresh_token = refresh::new_token();
        let tokens = self.issue(account, id, refresh_token, now)?;
        insert_session(conn, id, account.id, now, self.access_until(now)).await?;
        refresh::insert_token(conn, &tokens.refresh_token, id, now).await?;
        let ended = end_oldest_sessions(conn, account.id, now).await?;
        Ok((tokens, ended))
    }
}

struct SessionRow {
    id: Uuid,
    device: String,
    place: String,
    created_at: DateTime<Utc>,
    last_used_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl SessionRow {
    fn seen_from(self, current: Uuid) -> Session {
        Session {
            id: self.id.to_string(),
            device: self.device,
            place: self.place,
            created_at: Some(timestamp(self.created_at)),
            last_used_at: Some(timestamp(self.last_used_at)),
            expires_at: Some(timestamp(self.expires_at)),
            current: self.id == current,
        }
    }
}

fn session_not_found() -> Error {
    not_found("SESSION_NOT_FOUND", "no such session of the caller")
}

async fn insert_session(
    conn: &mut PgConnection,
    id: Uuid,
    account_id: Uuid,
    now: DateTime<Utc>,
    access_until: DateTime<Utc>,
) -> Result<()> {
    let context = kit::context::current();
    sqlx::query!(
        "insert into sessions (id, account_id, device, place, created_at, last_used_at, expires_at, access_until)
         values ($1, $2, left($3, 255), $4, $5, $5, $6, $7)",
        id,
        account_id,
        context.device.as_deref().unwrap_or_default(),
        context.client_ip.as_deref().unwrap_or_default(),
        now,
        now + LIFE,
        access_until,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends every live session of the account but `except`.
pub(crate) async fn end_sessions(
    conn: &mut PgConnection,
    account_id: Uuid,
    except: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Vec<Ended>> {
    Ok(sqlx::query_as!(
        Ended,
        "update sessions set ended_at = $3
         where account_id = $1 and ended_at is null and ($2::uuid is null or id <> $2)
         returning id, access_until",
        account_id,
        except,
        now,
    )
    .fetch_all(conn)
    .await?)
}

/// Ends one session of the account; nothing when it is not there or has ended.
pub(crate) async fn end_session(
    conn: &mut PgConnection,
    account_id: Uuid,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<Ended>> {
    Ok(sqlx::query_as!(
        Ended,
        "update sessions set ended_at = $3 where account_id = $1 and id = $2 and ended_at is null
         returning id, access_until",
        account_id,
        id,
        now,
    )
    .fetch_all(conn)
    .await?)
}

async fn end_oldest_sessions(conn: &mut PgConnection, account_id: Uuid, now: DateTime<Utc>) -> Result<Vec<Ended>> {
    Ok(sqlx::query_as!(
        Ended,
        "update sessions set ended_at = $2
         where id in (
            select id from sessions where account_id = $1 and ended_at is null
            order by last_used_at desc, id desc offset $3
         )
         returning id, access_until",
        account_id,
        now,
        MOST,
    )
    .fetch_all(conn)
    .await?)
}

/// Takes out of an account's sessions where and on what they were.
pub(crate) async fn forget_sessions(conn: &mut PgConnection, account_id: Uuid) -> Result<()> {
    sqlx::query!("update sessions set device = '', place = '' where account_id = $1", account_id).execute(conn).await?;
    Ok(())
}

async fn fetch_session_exists(conn: &mut PgConnection, account_id: Uuid, id: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from sessions where account_id = $1 and id = $2) as "exists!""#,
        account_id,
        id,
    )
    .fetch_one(conn)
    .await?)
}

async fn list_sessions(db: &PgPool, account_id: Uuid, now: DateTime<Utc>) -> Result<Vec<SessionRow>> {
    Ok(sqlx::query_as!(
        SessionRow,
        "select id, device, place, created_at, last_used_at, expires_at from sessions
         where account_id = $1 and ended_at is null and expires_at > $2
         order by last_used_at desc, id desc limit $3",
        account_id,
        now,
        MOST,
    )
    .fetch_all(db)
    .await?)
}
