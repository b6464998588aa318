//! The SQL of orders, one statement each.

use chrono::{DateTime, Utc};
use kit::db::OnConstraint;
use kit::identity::Caller;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{OrderRow, Side, reused};
use crate::ads::AdRow;
use crate::machine::OrderState;

/// `$before`, the columns of [`OrderRow`], `$after`.
macro_rules! orders {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            OrderRow,
            $before
                + r#" id as "id!", ad_id as "ad_id!", ad_title as "ad_title!", buyer_id as "buyer_id!",
                     buyer_number as "buyer_number!", seller_id as "seller_id!", seller_number as "seller_number!",
                     price as "price!", state as "state!: OrderState", note as "note!", created_at as "created_at!",
                     updated_at as "updated_at!" "#
                + $after
            $(, $argument)*
        )
    };
}

pub(super) async fn fetch_order(db: impl PgExecutor<'_>, id: i64) -> kit::Result<Option<OrderRow>> {
    Ok(orders!("select", "from orders where id = $1", id).fetch_optional(db).await?)
}

pub(super) async fn lock_order(conn: &mut PgConnection, id: i64) -> kit::Result<Option<OrderRow>> {
    Ok(orders!("select", "from orders where id = $1 for update", id).fetch_optional(conn).await?)
}

/// What the buyer has got by this request before.
pub(super) async fn fetch_requested(
    conn: &mut PgConnection,
    buyer: Uuid,
    request_id: Option<&str>,
) -> kit::Result<Option<OrderRow>> {
    let row = orders!("select", "from orders where buyer_id = $1 and request_id = $2", buyer, request_id);
    Ok(row.fetch_optional(conn).await?)
}

/// Newest first. Nobody buys from themselves, so no order is found twice.
pub(super) async fn list_orders(
    conn: &mut PgConnection,
    number: i64,
    side: Side,
    before: Option<i64>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<OrderRow>> {
    let rows = orders!(
        "select",
        "from (
             select * from orders where buyer_number = $1 and $2
             union all
             select * from orders where seller_number = $1 and $3
         ) as orders
         where id < coalesce($4::bigint, 9223372036854775807)
         order by id desc limit $5 offset $6",
        number,
        side.buys,
        side.sells,
        before,
        limit,
        skip
    );
    Ok(rows.fetch_all(conn).await?)
}

pub(super) async fn count_orders(conn: &mut PgConnection, number: i64, side: Side) -> kit::Result<i32> {
    let count = sqlx::query_scalar!(
        r#"select count(*)::int as "count!"
           from (
               select 1 from orders where buyer_number = $1 and $2
               union all
               select 1 from orders where seller_number = $1 and $3
               limit 10000
           ) as found"#,
        number,
        side.buys,
        side.sells
    );
    Ok(count.fetch_one(conn).await?)
}

pub(super) async fn insert_order(
    conn: &mut PgConnection,
    ad: &AdRow,
    buyer: Caller,
    state: OrderState,
    note: &str,
    request_id: Option<&str>,
    now: DateTime<Utc>,
) -> kit::Result<OrderRow> {
    let row = orders!(
        "insert into orders (ad_id, ad_title, buyer_id, buyer_number, seller_id, seller_number, price, state, note,
             request_id, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11) returning",
        "",
        ad.id,
        ad.title,
        buyer.id,
        buyer.number,
        ad.publisher_id,
        ad.publisher_number,
        ad.price,
        state as OrderState,
        note,
        request_id,
        now
    );
    row.fetch_one(conn).await.on_constraint("orders_once_per_request", reused)
}

pub(super) async fn update_order(
    conn: &mut PgConnection,
    id: i64,
    state: OrderState,
    now: DateTime<Utc>,
) -> kit::Result<OrderRow> {
    let row = orders!(
        "update orders set state = $2, updated_at = $3 where id = $1 returning",
        "",
        id,
        state as OrderState,
        now
    );
    Ok(row.fetch_one(conn).await?)
}

pub(super) async fn insert_transition(
    conn: &mut PgConnection,
    order_id: i64,
    from: Option<OrderState>,
    to: OrderState,
    by: Option<Uuid>,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into order_transitions (order_id, from_state, to_state, by_id, at) values ($1, $2, $3, $4, $5)",
        order_id,
        from as Option<OrderState>,
        to as OrderState,
        by,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Orders that wait for a payment since before `since`, with their ads.
pub(super) async fn list_unpaid(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> kit::Result<Vec<(i64, i64)>> {
    let rows = sqlx::query!(
        "select id, ad_id from orders
         where state = 'AWAITING_PAYMENT' and created_at <= $1 order by created_at limit 100",
        since
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.ad_id)).collect())
}

/// Orders of these ads in which somebody buys or sells and which are not at an end, with their ads. The caller holds the
/// ads' locks.
pub(crate) async fn lock_open_orders_of(
    conn: &mut PgConnection,
    number: i64,
    ads: &[i64],
) -> kit::Result<Vec<(i64, i64)>> {
    let rows = sqlx::query!(
        "select id, ad_id from orders
         where ad_id = any($2) and (buyer_number = $1 or seller_number = $1)
             and state in ('AWAITING_PAYMENT', 'PLACED')
         order by id for update",
        number,
        ads
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.id, row.ad_id)).collect())
}

/// Takes what somebody has said off some of the orders in which they buy; how many.
pub(crate) async fn blank_notes_of(conn: &mut PgConnection, number: i64, most: i64) -> kit::Result<u64> {
    let blanked = sqlx::query!(
        "update orders set note = '' where id in (
             select id from orders where buyer_number = $1 and note <> '' order by id limit $2 for update
         )",
        number,
        most
    );
    Ok(blanked.execute(conn).await?.rows_affected())
}
