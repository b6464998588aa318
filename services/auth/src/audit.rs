//! What happened to an account, readable by its owner. Entries are written in the transaction of the thing itself, so
//! there is none about what did not happen.

use chrono::{DateTime, Utc};
use kit::error::Result;
use kit::identity::caller;
use kit::wire::timestamp;
use proto::auth::v1::audit_service_server::AuditService;
use proto::auth::v1::{AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse};
use sqlx::{PgConnection, PgPool};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Auth;
use crate::accounts::id_or;

#[tonic::async_trait]
impl AuditService for Auth {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let caller = caller(&request)?;
        let input = request.into_inner();
        let account_id = id_or(&input.user_id, caller.id)?;
        caller.may_act_for(account_id)?;
        let scope = format!("ListAuditEntries {account_id}");
        let after = self.pager.open::<(DateTime<Utc>, Uuid)>(&scope, &input.page_token)?;
        let size = kit::page::size(input.page_size, 20, 100);

        // One more than asked tells whether there is a next page.
        let mut rows = list_entries(&self.db, account_id, after, size + 1).await?;
        let next_page_token = self.pager.cut(&scope, &mut rows, size, |last| (last.created_at, last.id))?;
        let entries = rows.into_iter().map(AuditEntry::from).collect();
        Ok(Response::new(ListAuditEntriesResponse { entries, next_page_token }))
    }
}

struct EntryRow {
    id: Uuid,
    action: String,
    actor_id: Option<Uuid>,
    place: String,
    device: String,
    request_id: String,
    detail: String,
    created_at: DateTime<Utc>,
}

impl From<EntryRow> for AuditEntry {
    fn from(row: EntryRow) -> Self {
        Self {
            id: row.id.to_string(),
            action: row.action,
            actor_id: row.actor_id.map(|id| id.to_string()).unwrap_or_default(),
            place: row.place,
            device: row.device,
            request_id: row.request_id,
            detail: row.detail,
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

/// Something to note; the client's place, device and request come from the context.
pub(crate) struct Entry<'a> {
    pub(crate) account_id: Uuid,
    pub(crate) action: &'static str,
    pub(crate) actor_id: Option<Uuid>,
    pub(crate) detail: &'a str,
}

impl Entry<'_> {
    /// Something the owner did, or somebody who proved to know the owner's secrets.
    pub(crate) fn own(account_id: Uuid, action: &'static str) -> Self {
        Self { account_id, action, actor_id: Some(account_id), detail: "" }
    }

    /// Something done by whoever it was.
    pub(crate) fn by(actor_id: Option<Uuid>, account_id: Uuid, action: &'static str) -> Self {
        Self { account_id, action, actor_id, detail: "" }
    }
}

/// Notes an entry. For an account that does not exist it takes the same statement and leaves nothing: a login with an
/// unknown name must not be quicker than one with a known name.
pub(crate) async fn note(conn: &mut PgConnection, now: DateTime<Utc>, entry: Entry<'_>) -> Result<()> {
    let context = kit::context::current();
    sqlx::query!(
        "insert into audit_entries (id, account_id, action, actor_id, place, device, request_id, detail, created_at)
         select $1, id, $3, $4, $5, left($6, 255), $7, $8, $9 from accounts where id = $2",
        Uuid::now_v7(),
        entry.account_id,
        entry.action,
        entry.actor_id,
        context.client_ip.as_deref().unwrap_or_default(),
        context.device.as_deref().unwrap_or_default(),
        &*context.request_id,
        entry.detail,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes what is personal out of an account's entries; that things happened stays.
pub(crate) async fn forget_places(conn: &mut PgConnection, account_id: Uuid) -> Result<()> {
    sqlx::query!("update audit_entries set place = '', device = '', detail = '' where account_id = $1", account_id)
        .execute(conn)
        .await?;
    Ok(())
}

async fn list_entries(
    db: &PgPool,
    account_id: Uuid,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<EntryRow>> {
    let (created_at, id) = after.unzip();
    Ok(sqlx::query_as!(
        EntryRow,
        "select id, action, actor_id, place, device, request_id, detail, created_at
         from audit_entries
         where account_id = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
         order by created_at desc, id desc
         limit $4",
        account_id,
        created_at,
        id,
        limit,
    )
    .fetch_all(db)
    .await?)
}
