//! Buying what is in an ad.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use kit::identity::Caller;
use proto::marketplace::v1::{
    self, CancelOrderRequest, CompleteOrderRequest, GetOrderRequest, ListOrdersRequest, OrderSide, OrderState,
    PurchaseAdRequest,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::agrovet::page::{Page, Paged};
use crate::agrovet::{Agrovet, Result, price, time};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::{Created, Describe, Operation};

/// An order.
#[derive(Serialize, ToSchema)]
pub struct Order {
    id: i64,
    add_id: i64,
    /// As it was when it was bought, like the price.
    add_title: String,
    buyer_id: i64,
    seller_id: i64,
    /// A decimal with two places.
    price: String,
    /// `placed`, `cancelled` or `completed`; where orders must be paid first also `awaiting_payment`.
    status: &'static str,
    note: String,
    created_at: String,
}

impl From<v1::Order> for Order {
    fn from(order: v1::Order) -> Self {
        let status = match order.state() {
            OrderState::AwaitingPayment => "awaiting_payment",
            OrderState::Unspecified | OrderState::Placed => "placed",
            OrderState::Completed => "completed",
            OrderState::Cancelled => "cancelled",
        };
        Self {
            id: order.id,
            add_id: order.ad_id,
            add_title: order.ad_title,
            buyer_id: order.buyer_number,
            seller_id: order.seller_number,
            price: price(order.price_hundredths),
            status,
            note: order.note,
            created_at: time(order.created_at),
        }
    }
}

/// The client's `Idempotency-Key`, which the service knows a repeat by even when the edge has forgotten it.
pub struct RequestId(String);

impl FromRequestParts<Agrovet> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Agrovet) -> Result<Self, Infallible> {
        let key = parts.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
        Ok(Self(key.unwrap_or_default().trim().to_owned()))
    }
}

impl Describe for RequestId {
    // Every signed-in write has it in the document already.
    fn describe(_: &mut Operation) {}
}

/// What to tell the seller.
pub struct Purchase {
    note: String,
}

impl Form for Purchase {
    fn read(f: &mut Fields) -> Self {
        Self {
            note: f.text("note").blank().max(500).describe("To the seller").nullable().flatten().unwrap_or_default(),
        }
    }
}

pub async fn purchase(
    State(edge): State<Agrovet>,
    _: Caller,
    Path(ad_id): Path<i64>,
    RequestId(request_id): RequestId,
    Input(Purchase { note }): Input<Purchase>,
) -> Result<Created<Order>> {
    let request = PurchaseAdRequest { ad_id, note, request_id };
    Ok(Created(edge.orders().purchase_ad(request).await?.into_inner().into()))
}

const SIDES: &[(&str, OrderSide)] = &[("buyer", OrderSide::Buyer), ("seller", OrderSide::Seller)];

pub struct Side(OrderSide);

impl Form for Side {
    fn read(f: &mut Fields) -> Self {
        let side = f.choice("as", SIDES).describe("Only what the caller buys, or only what they sell").nullable();
        Self(side.flatten().unwrap_or_default())
    }
}

pub async fn list(
    State(edge): State<Agrovet>,
    _: Caller,
    page: Page,
    Query(Side(side)): Query<Side>,
) -> Result<Json<Paged<Order>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListOrdersRequest { page_size, skip, side: side.into(), ..Default::default() };
            let mut orders = edge.orders();
            async move { orders.list_orders(request).await.map(|a| a.into_inner()).map(|a| (a.orders, a.total_size)) }
        })
        .await?;
    Ok(Json(paged.map(Order::from)))
}

pub async fn retrieve(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<Json<Order>> {
    Ok(Json(edge.orders().get_order(GetOrderRequest { id }).await?.into_inner().into()))
}

pub async fn cancel(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<Json<Order>> {
    Ok(Json(edge.orders().cancel_order(CancelOrderRequest { id }).await?.into_inner().into()))
}

pub async fn complete(State(edge): State<Agrovet>, _: Caller, Path(id): Path<i64>) -> Result<Json<Order>> {
    Ok(Json(edge.orders().complete_order(CompleteOrderRequest { id }).await?.into_inner().into()))
}
