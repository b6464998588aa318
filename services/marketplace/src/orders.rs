//! Orders: somebody buys the thing in an ad. An ad and its order change together, under the ad's lock, which is taken
//! before the order's. The order keeps what it needs of the ad, because the ad may change and go.

mod sql;

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, already_exists, denied, invalid_because, not_found};
use kit::identity::{Caller, caller};
use kit::page;
use kit::wire::timestamp;
use proto::marketplace::v1::order_service_server::OrderService;
use proto::marketplace::v1::{
    self, CancelOrderRequest, CompleteOrderRequest, ConfirmPaymentRequest, GetOrderRequest, ListOrdersRequest,
    ListOrdersResponse, Order, OrderSide, PurchaseAdRequest,
};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::ads::{AdRow, lock_ad, no_such_ad, update_ad_state};
use crate::events::{publish_cancelled, publish_completed, publish_placed, publish_sold, publish_updated};
use crate::gone::{fetch_gone, no_such_person};
use crate::machine::{AdCommand, OrderCommand, OrderState};
use crate::{Marketplace, Plans};
use sql::*;

pub(crate) use sql::{blank_notes_of, lock_open_orders_of};

#[tonic::async_trait]
impl OrderService for Marketplace {
    async fn purchase_ad(&self, request: Request<PurchaseAdRequest>) -> Result<Response<Order>, Status> {
        let caller = caller(&request)?;
        let PurchaseAdRequest { ad_id, note, request_id } = request.into_inner();
        let request_id = Some(request_id).filter(|id| !id.is_empty());
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        // Of all who want it, one at a time; who repeats a request waits here for the first try to be over.
        let ad = lock_ad(&mut tx, ad_id).await?;
        if let Some(first) = fetch_requested(&mut tx, caller.id, request_id.as_deref()).await? {
            return if first.ad_id == ad_id { Ok(Response::new(first.into())) } else { Err(reused().into()) };
        }
        // Only now, because an order outlives its ad.
        let ad = ad.ok_or_else(no_such_ad)?;
        if ad.publisher_id == caller.id {
            return Err(invalid_because("ad_id", "OWN_AD", "nobody buys from themselves").into());
        }
        let ordered = ad.state.after(AdCommand::Order).map_err(Error::from)?;
        let gone = fetch_gone(&mut tx, &[caller.id, ad.publisher_id]).await?;
        if gone.contains(&caller.id) {
            return Err(no_such_person().into());
        }
        if gone.contains(&ad.publisher_id) {
            // It is about to be deleted.
            return Err(no_such_ad().into());
        }
        let state = if self.pay_within.is_some() { OrderState::AwaitingPayment } else { OrderState::Placed };
        let order = insert_order(&mut tx, &ad, caller, state, &note, request_id.as_deref(), now).await?;
        update_ad_state(&mut tx, ad_id, ordered, now).await?;
        insert_transition(&mut tx, order.id, None, state, Some(caller.id), now).await?;
        publish_sold(&mut tx, &ad, Some(&order)).await?;
        publish_placed(&mut tx, &order).await?;
        commit(tx).await?;
        Ok(Response::new(order.into()))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<Order>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.order_of(caller, request.get_ref().id).await?.into()))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let side = match request.side() {
            OrderSide::Unspecified => Side { buys: true, sells: true },
            OrderSide::Buyer => Side { buys: true, sells: false },
            OrderSide::Seller => Side { buys: false, sells: true },
        };
        let scope = format!("ListOrders {} {side:?}", caller.id);
        let before = self.pager.open::<i64>(&scope, &request.page_token)?;
        let size = page::size(request.page_size, 20, 100);
        let mut tx = self.snapshot(Plans::Own).await?;
        // One more than asked tells whether there is a next page.
        let mut orders = list_orders(&mut tx, caller.number, side, before, size + 1, request.skip.into()).await?;
        let total_size = count_orders(&mut tx, caller.number, side).await?;
        commit(tx).await?;

        let next_page_token = self.pager.cut(&scope, &mut orders, size, |last| last.id)?;
        let orders = orders.into_iter().map(Into::into).collect();
        Ok(Response::new(ListOrdersResponse { orders, next_page_token, total_size }))
    }

    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Result<Response<Order>, Status> {
        let caller = caller(&request)?;
        let order = self.order_of(caller, request.get_ref().id).await?;
        let mut tx = begin(&self.db).await?;
        let order = self.cancel(&mut tx, order.ad_id, order.id, OrderCommand::Cancel, Some(caller.id)).await?;
        commit(tx).await?;
        Ok(Response::new(order.into()))
    }

    async fn complete_order(&self, request: Request<CompleteOrderRequest>) -> Result<Response<Order>, Status> {
        let caller = caller(&request)?;
        let order = self.order_of(caller, request.get_ref().id).await?;
        if order.seller_id != caller.id {
            return Err(denied("NOT_YOURS", "only the seller completes an order").into());
        }
        let order = self.advance(order.id, OrderCommand::Complete, Some(caller.id)).await?;
        Ok(Response::new(order.into()))
    }

    async fn confirm_payment(&self, request: Request<ConfirmPaymentRequest>) -> Result<Response<Order>, Status> {
        let order = self.advance(request.get_ref().id, OrderCommand::Pay, None).await?;
        Ok(Response::new(order.into()))
    }
}

impl Marketplace {
    /// An order that the caller has to do with; for others it does not exist.
    async fn order_of(&self, caller: Caller, id: i64) -> kit::Result<OrderRow> {
        let order = fetch_order(&self.db, id).await?;
        order.filter(|order| order.concerns(caller)).ok_or_else(no_such_order)
    }

    /// A step of an order that does not change its ad.
    async fn advance(&self, id: i64, command: OrderCommand, by: Option<Uuid>) -> kit::Result<OrderRow> {
        let now = self.clock.now();
        let mut tx = begin(&self.db).await?;
        let before = lock_order(&mut tx, id).await?.ok_or_else(no_such_order)?;
        let state = before.state.after(command)?;
        if state == before.state {
            return Ok(before);
        }
        let order = update_order(&mut tx, id, state, now).await?;
        insert_transition(&mut tx, id, Some(before.state), state, by, now).await?;
        if state == OrderState::Completed {
            publish_completed(&mut tx, &order).await?;
        }
        commit(tx).await?;
        Ok(order)
    }

    /// Cancels an order, by a command that does so, and offers its ad again, if it is still there.
    pub(crate) async fn cancel(
        &self,
        tx: &mut PgConnection,
        ad_id: i64,
        id: i64,
        command: OrderCommand,
        by: Option<Uuid>,
    ) -> kit::Result<OrderRow> {
        let now = self.clock.now();
        let ad = lock_ad(tx, ad_id).await?;
        let before = lock_order(tx, id).await?.ok_or_else(no_such_order)?;
        let state = before.state.after(command)?;
        if state == before.state {
            return Ok(before);
        }
        let order = update_order(tx, id, state, now).await?;
        insert_transition(tx, id, Some(before.state), state, by, now).await?;
        if let Some(ad) = ad {
            let state = ad.state.after(AdCommand::Release)?;
            update_ad_state(tx, ad_id, state, now).await?;
            publish_updated(tx, &AdRow { state, ..ad }).await?;
        }
        publish_cancelled(tx, &order).await?;
        Ok(order)
    }

    /// Cancels the orders whose time to be paid is over.
    pub async fn cancel_unpaid(&self) -> kit::Result<()> {
        let Some(pay_within) = self.pay_within else { return Ok(()) };
        for (id, ad_id) in list_unpaid(&self.db, self.clock.now() - pay_within).await? {
            let mut tx = begin(&self.db).await?;
            match self.cancel(&mut tx, ad_id, id, OrderCommand::Expire, None).await {
                Ok(_) => commit(tx).await?,
                Err(error) if error.reason() == "ORDER_STATE_REFUSED" => {
                    tracing::debug!(order.id = id, "paid meanwhile")
                }
                Err(error) => tracing::warn!(order.id = id, %error, "an unpaid order was not cancelled"),
            }
        }
        Ok(())
    }
}

/// A row of `orders`.
pub(crate) struct OrderRow {
    pub(crate) id: i64,
    pub(crate) ad_id: i64,
    pub(crate) ad_title: String,
    pub(crate) buyer_id: Uuid,
    pub(crate) buyer_number: i64,
    pub(crate) seller_id: Uuid,
    pub(crate) seller_number: i64,
    pub(crate) price: i64,
    pub(crate) state: OrderState,
    pub(crate) note: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl OrderRow {
    fn concerns(&self, caller: Caller) -> bool {
        [self.buyer_id, self.seller_id].contains(&caller.id) || caller.admin()
    }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        Self {
            id: row.id,
            ad_id: row.ad_id,
            ad_title: row.ad_title,
            buyer_id: row.buyer_id.to_string(),
            buyer_number: row.buyer_number,
            seller_id: row.seller_id.to_string(),
            seller_number: row.seller_number,
            price_hundredths: row.price,
            state: match row.state {
                OrderState::AwaitingPayment => v1::OrderState::AwaitingPayment,
                OrderState::Placed => v1::OrderState::Placed,
                OrderState::Completed => v1::OrderState::Completed,
                OrderState::Cancelled => v1::OrderState::Cancelled,
            }
            .into(),
            note: row.note,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
        }
    }
}

/// In which roles one looks for orders.
#[derive(Clone, Copy, Debug)]
struct Side {
    buys: bool,
    sells: bool,
}

fn no_such_order() -> Error {
    not_found("ORDER_NOT_FOUND", "no such order of yours")
}

fn reused() -> Error {
    already_exists("REQUEST_ID_REUSED", "this request_id belongs to an order of another ad")
}
