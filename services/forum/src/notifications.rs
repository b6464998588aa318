//! Notifications: what others did to one's posts and comments. They live here until the service `notifications` has
//! them all; the event says what it needs for that.

use chrono::{DateTime, Utc};
use kit::error::{Error, not_found};
use kit::identity::{Caller, caller};
use kit::outbox::publish;
use kit::page;
use kit::wire::timestamp;
use proto::events::v1::ForumNotificationCreated;
use proto::forum::v1::notification_service_server::NotificationService;
use proto::forum::v1::{
    CountUnreadRequest, CountUnreadResponse, DeleteNotificationRequest, DeleteNotificationResponse,
    GetNotificationRequest, ListNotificationsRequest, ListNotificationsResponse, MarkReadRequest, MarkReadResponse,
    Notification, NotificationType, ReactionType, Target, TargetKind,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Forum;
use crate::reactions::{name_of, type_of};

#[tonic::async_trait]
impl NotificationService for Forum {
    async fn list_notifications(
        &self,
        request: Request<ListNotificationsRequest>,
    ) -> Result<Response<ListNotificationsResponse>, Status> {
        let caller = caller(&request)?;
        let ListNotificationsRequest { page_size, page_token, skip, unread } = request.into_inner();
        let scope = format!("ListNotifications {} {unread}", caller.id);
        let after = self.pager.open::<Place>(&scope, &page_token)?;
        let size = page::size(page_size, 20, 100);

        // One more than asked tells whether there is a next page.
        let (limit, skip) = (size + 1, i64::from(skip));
        let (mut rows, total_size) = if unread {
            let rows = list_unread(&self.db, caller.id, after, limit, skip).await?;
            (rows, count_unread(&self.db, caller.id).await?)
        } else {
            let rows = list_all(&self.db, caller.id, after, limit, skip).await?;
            (rows, count_all(&self.db, caller.id).await?)
        };
        let next_page_token =
            self.pager.cut(&scope, &mut rows, size, |last| Place { created_at: last.created_at, id: last.id })?;
        let notifications = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(ListNotificationsResponse { notifications, next_page_token, total_size }))
    }

    async fn get_notification(
        &self,
        request: Request<GetNotificationRequest>,
    ) -> Result<Response<Notification>, Status> {
        let caller = caller(&request)?;
        let row = fetch_notification(&self.db, caller.id, request.get_ref().id).await?;
        Ok(Response::new(row.ok_or_else(no_such_notification)?.into()))
    }

    async fn count_unread(
        &self,
        request: Request<CountUnreadRequest>,
    ) -> Result<Response<CountUnreadResponse>, Status> {
        let unread = count_unread(&self.db, caller(&request)?.id).await?;
        Ok(Response::new(CountUnreadResponse { unread }))
    }

    async fn mark_read(&self, request: Request<MarkReadRequest>) -> Result<Response<MarkReadResponse>, Status> {
        let caller = caller(&request)?;
        let now = self.clock.now();
        let matched = match request.into_inner() {
            MarkReadRequest { all: true, .. } => mark_all(&self.db, caller.id, now).await?,
            MarkReadRequest { ids, .. } => mark_some(&self.db, caller.id, &ids, now).await?,
        };
        Ok(Response::new(MarkReadResponse { matched }))
    }

    async fn delete_notification(
        &self,
        request: Request<DeleteNotificationRequest>,
    ) -> Result<Response<DeleteNotificationResponse>, Status> {
        let caller = caller(&request)?;
        if !delete_notification(&self.db, caller.id, request.get_ref().id).await? {
            return Err(no_such_notification().into());
        }
        Ok(Response::new(DeleteNotificationResponse {}))
    }
}

/// Something that somebody should know.
pub(crate) struct Notice {
    /// Id and number.
    pub(crate) recipient: (Uuid, i64),
    pub(crate) actor: Caller,
    pub(crate) kind: NotificationType,
    pub(crate) post_id: i64,
    pub(crate) comment_id: Option<i64>,
    pub(crate) reaction: Option<ReactionType>,
}

/// Tells it, unless it is one's own doing or was told and not read yet. `key` is that of the event it comes with: the
/// order of keys is nobody's, so a transaction that had two could wait for another one that has the same two.
pub(crate) async fn notify(tx: &mut PgConnection, notice: &Notice, key: i64, now: DateTime<Utc>) -> kit::Result<()> {
    if notice.recipient.0 == notice.actor.id {
        return Ok(());
    }
    let Some(id) = insert_notification(tx, notice, now).await? else { return correct(tx, notice).await };
    let event = ForumNotificationCreated {
        notification_id: id,
        recipient_id: notice.recipient.1,
        recipient_uuid: notice.recipient.0.to_string(),
        actor_id: notice.actor.number,
        actor_uuid: notice.actor.id.to_string(),
        notif_type: name_of_kind(notice.kind).to_lowercase(),
        target_type: if notice.comment_id.is_some() { "comment" } else { "post" }.to_owned(),
        target_id: notice.comment_id.unwrap_or(notice.post_id),
        post_id: notice.post_id,
    };
    publish(tx, &key.to_string(), &event).await
}

/// Has what was told and not read yet say the present reaction.
pub(crate) async fn correct(conn: &mut PgConnection, notice: &Notice) -> kit::Result<()> {
    let Some(reaction) = notice.reaction else { return Ok(()) };
    sqlx::query!(
        "update notifications set reaction = $6
         where recipient_id = $1 and actor_id = $2 and type = $3 and post_id = $4
             and comment_id is not distinct from $5 and read_at is null and reaction <> $6",
        notice.recipient.0,
        notice.actor.id,
        name_of_kind(notice.kind),
        notice.post_id,
        notice.comment_id,
        name_of(reaction)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// As in the database: `POST_REPLY`.
fn name_of_kind(kind: NotificationType) -> &'static str {
    kind.as_str_name().trim_start_matches("NOTIFICATION_TYPE_")
}

/// A row of `notifications`.
struct Row {
    id: i64,
    recipient_id: Uuid,
    recipient_number: i64,
    actor_id: Uuid,
    actor_number: i64,
    kind: String,
    post_id: i64,
    comment_id: Option<i64>,
    reaction: Option<String>,
    read: bool,
    created_at: DateTime<Utc>,
}

impl From<Row> for Notification {
    fn from(row: Row) -> Self {
        let target = match row.comment_id {
            Some(id) => Target { kind: TargetKind::Comment.into(), id },
            None => Target { kind: TargetKind::Post.into(), id: row.post_id },
        };
        let kind = NotificationType::from_str_name(&format!("NOTIFICATION_TYPE_{}", row.kind));
        Self {
            id: row.id,
            recipient_id: row.recipient_id.to_string(),
            recipient_number: row.recipient_number,
            actor_id: row.actor_id.to_string(),
            actor_number: row.actor_number,
            r#type: kind.unwrap_or_default().into(),
            target: Some(target),
            post_id: row.post_id,
            reaction: row.reaction.map(|name| type_of(&name)).unwrap_or_default().into(),
            read: row.read,
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

/// Where a page ends.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    created_at: DateTime<Utc>,
    id: i64,
}

fn no_such_notification() -> Error {
    not_found("NOTIFICATION_NOT_FOUND", "no such notification")
}

/// Every question for notifications has the same columns.
macro_rules! notifications {
    ($rest:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select id, recipient_id, recipient_number, actor_id, actor_number, type as kind, post_id, comment_id,
                 reaction, read_at is not null as "read!", created_at
               from notifications "# + $rest
            $(, $argument)*
        )
    };
}

async fn fetch_notification(db: impl PgExecutor<'_>, recipient: Uuid, id: i64) -> kit::Result<Option<Row>> {
    Ok(notifications!("where id = $1 and recipient_id = $2", id, recipient).fetch_optional(db).await?)
}

async fn list_all(
    db: impl PgExecutor<'_>,
    recipient: Uuid,
    after: Option<Place>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<Row>> {
    let rows = notifications!(
        "where recipient_id = $1
             and (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::bigint, 9223372036854775807))
         order by created_at desc, id desc limit $4 offset $5",
        recipient,
        after.map(|place| place.created_at),
        after.map(|place| place.id),
        limit,
        skip
    );
    Ok(rows.fetch_all(db).await?)
}

async fn list_unread(
    db: impl PgExecutor<'_>,
    recipient: Uuid,
    after: Option<Place>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<Row>> {
    let rows = notifications!(
        "where recipient_id = $1 and read_at is null
             and (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::bigint, 9223372036854775807))
         order by created_at desc, id desc limit $4 offset $5",
        recipient,
        after.map(|place| place.created_at),
        after.map(|place| place.id),
        limit,
        skip
    );
    Ok(rows.fetch_all(db).await?)
}

async fn count_all(db: impl PgExecutor<'_>, recipient: Uuid) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*)::int as "count!" from (select from notifications where recipient_id = $1 limit 10000) counted"#,
        recipient
    );
    Ok(count.fetch_one(db).await?)
}

async fn count_unread(db: impl PgExecutor<'_>, recipient: Uuid) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*)::int as "count!"
           from (select from notifications where recipient_id = $1 and read_at is null limit 10000) counted"#,
        recipient
    );
    Ok(count.fetch_one(db).await?)
}

/// Nothing when the same was told before and is unread.
async fn insert_notification(conn: &mut PgConnection, notice: &Notice, now: DateTime<Utc>) -> kit::Result<Option<i64>> {
    let id = sqlx::query_scalar!(
        "insert into notifications
             (recipient_id, recipient_number, actor_id, actor_number, type, post_id, comment_id, reaction, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (recipient_id, actor_id, type, post_id, comment_id) where read_at is null do nothing
         returning id",
        notice.recipient.0,
        notice.recipient.1,
        notice.actor.id,
        notice.actor.number,
        name_of_kind(notice.kind),
        notice.post_id,
        notice.comment_id,
        notice.reaction.map(name_of),
        now
    );
    Ok(id.fetch_optional(conn).await?)
}

/// How many there are among the ids, those read before included. Rows are locked by id, as everywhere.
async fn mark_some(db: impl PgExecutor<'_>, recipient: Uuid, ids: &[i64], now: DateTime<Utc>) -> kit::Result<i32> {
    let matched = sqlx::query_scalar!(
        r#"with mine as (
               select id from notifications where recipient_id = $1 and id = any($2) order by id for update
           ), marked as (
               update notifications set read_at = $3 where id in (select id from mine) and read_at is null
           )
           select count(*)::int as "count!" from mine"#,
        recipient,
        ids,
        now
    );
    Ok(matched.fetch_one(db).await?)
}

/// How many were unread.
async fn mark_all(db: impl PgExecutor<'_>, recipient: Uuid, now: DateTime<Utc>) -> kit::Result<i32> {
    let matched = sqlx::query_scalar!(
        r#"with mine as (
               select id from notifications where recipient_id = $1 and read_at is null order by id for update
           ), marked as (
               update notifications set read_at = $2 where id in (select id from mine)
           )
           select count(*)::int as "count!" from mine"#,
        recipient,
        now
    );
    Ok(matched.fetch_one(db).await?)
}

/// Whether there was one.
async fn delete_notification(db: impl PgExecutor<'_>, recipient: Uuid, id: i64) -> kit::Result<bool> {
    let deleted = sqlx::query!("delete from notifications where id = $1 and recipient_id = $2", id, recipient);
    Ok(deleted.execute(db).await?.rows_affected() == 1)
}
