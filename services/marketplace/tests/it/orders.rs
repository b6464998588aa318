//! Buying, cancelling, completing.

use std::time::Duration;

use kit::Peer;
use proto::access::v1::Role;
use proto::marketplace::v1::order_service_client::OrderServiceClient;
use proto::marketplace::v1::{
    AdState, CancelOrderRequest, CompleteOrderRequest, ConfirmPaymentRequest, DeleteAdRequest, GetOrderRequest,
    ListOrdersRequest, Order, OrderSide, OrderState, PurchaseAdRequest, UpdateAdRequest,
};
use serde_json::json;
use tonic::Status;

use crate::{Somebody, World, refused};

async fn cancel(somebody: &Somebody, id: i64) -> Result<Order, Status> {
    Ok(somebody.orders().cancel_order(CancelOrderRequest { id }).await?.into_inner())
}

async fn complete(somebody: &Somebody, id: i64) -> Result<Order, Status> {
    Ok(somebody.orders().complete_order(CompleteOrderRequest { id }).await?.into_inner())
}

async fn get(somebody: &Somebody, id: i64) -> Result<Order, Status> {
    Ok(somebody.orders().get_order(GetOrderRequest { id }).await?.into_inner())
}

#[tokio::test]
async fn an_order_keeps_title_and_price_of_the_moment() {
    let world = World::start().await;
    let (ana, beto) = (world.seller(17), world.buyer(40));
    let ad = ana.offers("Semental Brahman").await;
    world.published().await;
    let request = PurchaseAdRequest { ad_id: ad.id, note: "¿Mañana?".into(), ..Default::default() };
    let order = beto.orders().purchase_ad(request).await.unwrap().into_inner();
    assert_eq!((order.ad_id, order.ad_title.as_str(), order.note.as_str()), (ad.id, "Semental Brahman", "¿Mañana?"));
    assert_eq!((order.buyer_number, order.seller_number, order.price_hundredths), (40, 17, 125_000));
    assert_eq!((order.buyer_id.clone(), order.seller_id.clone()), (beto.id.to_string(), ana.id.to_string()));
    assert_eq!((order.state(), world.nobody.sees(ad.id).await.unwrap().state()), (OrderState::Placed, AdState::Sold));

    let key = ad.id.to_string();
    let people = json!({ "buyer_id": 40, "buyer_uuid": beto.id });
    let mut sold = json!({
        "add_id": ad.id, "publisher_id": 17, "publisher_uuid": ana.id, "order_id": order.id, "price": "1250.00",
    });
    let mut placed = json!({
        "order_id": order.id, "add_id": ad.id, "seller_id": 17, "seller_uuid": ana.id, "price": "1250.00",
    });
    for event in [&mut sold, &mut placed] {
        event.as_object_mut().unwrap().extend(people.as_object().unwrap().clone());
    }
    assert_eq!(world.published().await, [("add.sold".into(), key.clone(), sold), ("order.placed".into(), key, placed)]);

    let change =
        UpdateAdRequest { id: ad.id, title: Some("Vaca".into()), price_hundredths: Some(1), ..Default::default() };
    ana.changes(change).await.unwrap();
    assert_eq!(get(&beto, order.id).await.unwrap(), order);
}

#[tokio::test]
async fn only_what_is_for_sale_is_sold_and_not_to_its_seller() {
    let world = World::start().await;
    let (ana, beto) = (world.seller(1), world.buyer(2));
    let ad = ana.offers("Toro").await;
    refused!(world.nobody.buys(ad.id).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(beto.buys(99).await, NotFound, "AD_NOT_FOUND");
    refused!(ana.buys(ad.id).await, InvalidArgument, "OWN_AD");
    for state in [AdState::Paused, AdState::Archived, AdState::Sold] {
        ana.moves(ad.id, state).await.unwrap();
        refused!(beto.buys(ad.id).await, FailedPrecondition, "AD_NOT_AVAILABLE");
    }
    let other = ana.offers("Vaca").await;
    world.person(3, Role::Businessman).buys(other.id).await.unwrap();
    refused!(beto.buys(other.id).await, FailedPrecondition, "AD_NOT_AVAILABLE");
    let long = PurchaseAdRequest { ad_id: ad.id, note: "x".repeat(501), ..Default::default() };
    refused!(beto.orders().purchase_ad(long).await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn a_repeated_request_buys_nothing_more() {
    let world = World::start().await;
    let (ana, beto) = (world.seller(1), world.buyer(2));
    let (ad, other) = (ana.offers("Toro").await, ana.offers("Vaca").await);
    let request = |ad_id| PurchaseAdRequest { ad_id, request_id: "abc".into(), ..Default::default() };
    let buy = async |ad_id| beto.orders().purchase_ad(request(ad_id)).await.map(|order| order.into_inner());
    let first = buy(ad.id).await.unwrap();
    assert_eq!(buy(ad.id).await.unwrap(), first);
    refused!(buy(other.id).await, AlreadyExists, "REQUEST_ID_REUSED");
    // Also when the thing is for sale again.
    let cancelled = cancel(&beto, first.id).await.unwrap();
    assert_eq!(buy(ad.id).await.unwrap(), cancelled);
    // The same word of somebody else is another request.
    let eva = world.buyer(3);
    assert_ne!(eva.orders().purchase_ad(request(ad.id)).await.unwrap().into_inner().id, first.id);
    assert_eq!(world.told().await.iter().filter(|kind| *kind == "order.placed").count(), 2);
}

#[tokio::test]
async fn either_side_cancels_and_the_thing_is_for_sale_again() {
    let world = World::start().await;
    let (ana, beto, eva) = (world.seller(1), world.buyer(2), world.buyer(3));
    let ad = ana.offers("Toro").await;
    for somebody in [&ana, &beto] {
        let order = beto.buys(ad.id).await.unwrap();
        refused!(cancel(&eva, order.id).await, NotFound, "ORDER_NOT_FOUND");
        refused!(cancel(&world.nobody, order.id).await, Unauthenticated, "NOT_SIGNED_IN");
        world.published().await;
        let cancelled = cancel(somebody, order.id).await.unwrap();
        assert_eq!(cancelled.state(), OrderState::Cancelled);
        assert_eq!(ana.sees(ad.id).await.unwrap().state(), AdState::Active);
        assert_eq!(world.told().await, ["add.updated", "order.cancelled"]);
        assert_eq!(cancel(somebody, order.id).await.unwrap(), cancelled);
        refused!(complete(&ana, order.id).await, FailedPrecondition, "ORDER_STATE_REFUSED");
        assert_eq!(world.told().await, [""; 0]);
    }
    // A later order is not touched by the earlier ones.
    let order = eva.buys(ad.id).await.unwrap();
    refused!(cancel(&beto, order.id).await, NotFound, "ORDER_NOT_FOUND");
    assert_eq!(ana.sees(ad.id).await.unwrap().state(), AdState::Sold);
}

#[tokio::test]
async fn the_seller_completes_and_then_it_stays_so() {
    let world = World::start().await;
    let (ana, beto, eva) = (world.seller(1), world.buyer(2), world.buyer(3));
    let ad = ana.offers("Toro").await;
    let order = beto.buys(ad.id).await.unwrap();
    refused!(complete(&beto, order.id).await, PermissionDenied, "NOT_YOURS");
    refused!(complete(&eva, order.id).await, NotFound, "ORDER_NOT_FOUND");
    refused!(complete(&ana, 99).await, NotFound, "ORDER_NOT_FOUND");
    world.published().await;
    let completed = complete(&ana, order.id).await.unwrap();
    assert_eq!(completed.state(), OrderState::Completed);
    assert_eq!(complete(&ana, order.id).await.unwrap(), completed);
    assert_eq!(world.told().await, ["order.completed"]);
    for somebody in [&ana, &beto] {
        refused!(cancel(somebody, order.id).await, FailedPrecondition, "ORDER_STATE_REFUSED");
    }
    for state in [AdState::Active, AdState::Paused, AdState::Archived] {
        refused!(ana.moves(ad.id, state).await, FailedPrecondition, "AD_STATE_REFUSED");
    }
    // What is at an end keeps nobody from tidying up; the order stays.
    ana.ads().delete_ad(DeleteAdRequest { id: ad.id }).await.unwrap();
    assert_eq!(get(&beto, order.id).await.unwrap(), completed);
}

#[tokio::test]
async fn while_somebody_waits_the_ad_stays() {
    let world = World::start().await;
    let (ana, beto) = (world.seller(1), world.buyer(2));
    let ad = ana.offers("Toro").await;
    let order = beto.buys(ad.id).await.unwrap();
    let deletion = DeleteAdRequest { id: ad.id };
    refused!(ana.ads().delete_ad(deletion).await, FailedPrecondition, "AD_ORDERED");
    for state in [AdState::Active, AdState::Archived] {
        refused!(ana.moves(ad.id, state).await, FailedPrecondition, "AD_STATE_REFUSED");
    }
    assert_eq!(ana.moves(ad.id, AdState::Sold).await.unwrap().state(), AdState::Sold);
    cancel(&ana, order.id).await.unwrap();
    ana.ads().delete_ad(deletion).await.unwrap();
}

#[tokio::test]
async fn orders_are_listed_for_both_sides_newest_first() {
    let world = World::start().await;
    let (ana, beto, eva) = (world.seller(1), world.seller(2), world.buyer(3));
    let mut sold = Vec::new();
    for n in 0..5 {
        let ad = ana.offers(&n.to_string()).await;
        sold.insert(0, beto.buys(ad.id).await.unwrap().id);
    }
    let bought = ana.buys(beto.offers("Vaca").await.id).await.unwrap().id;
    let list = async |somebody: &Somebody, request: ListOrdersRequest| {
        let page = somebody.orders().list_orders(request).await.unwrap().into_inner();
        let ids: Vec<_> = page.orders.iter().map(|order| order.id).collect();
        (ids, page.total_size, page.next_page_token)
    };
    let side = |side: OrderSide| ListOrdersRequest { side: side.into(), page_size: 3, ..Default::default() };
    let both = [vec![bought], sold.clone()].concat();
    let (ids, total, page_token) = list(&ana, side(OrderSide::Unspecified)).await;
    assert_eq!((&ids[..], total), (&both[..3], 6));
    let rest = list(&ana, ListOrdersRequest { page_token: page_token.clone(), ..side(OrderSide::Unspecified) }).await;
    assert_eq!(rest, (both[3..].to_vec(), 6, String::new()));
    assert_eq!(list(&ana, side(OrderSide::Buyer)).await, (vec![bought], 1, String::new()));
    let last = ListOrdersRequest { skip: 3, ..side(OrderSide::Seller) };
    assert_eq!(list(&ana, last).await, (sold[3..].to_vec(), 5, String::new()));
    assert_eq!(list(&beto, side(OrderSide::Seller)).await.0, [bought]);
    assert_eq!(list(&eva, side(OrderSide::Unspecified)).await.1, 0);
    let foreign = ListOrdersRequest { page_token, ..side(OrderSide::Buyer) };
    refused!(ana.orders().list_orders(foreign).await, InvalidArgument, "INVALID_FIELDS");
    refused!(world.nobody.orders().list_orders(side(OrderSide::Buyer)).await, Unauthenticated, "NOT_SIGNED_IN");

    get(&ana, bought).await.unwrap();
    get(&world.admin(), bought).await.unwrap();
    refused!(get(&eva, bought).await, NotFound, "ORDER_NOT_FOUND");
    refused!(get(&world.nobody, bought).await, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn where_orders_must_be_paid_they_wait_for_it_and_not_forever() {
    let world = World::with_payment(Some(30)).await;
    let (ana, beto) = (world.seller(1), world.buyer(2));
    let payments = OrderServiceClient::new(world.harness.as_peer("payments"));
    let pay = async |mut payments: OrderServiceClient<Peer>, id| {
        payments.confirm_payment(ConfirmPaymentRequest { id }).await.map(|order| order.into_inner())
    };
    let ad = ana.offers("Toro").await;
    let order = beto.buys(ad.id).await.unwrap();
    assert_eq!(order.state(), OrderState::AwaitingPayment);
    refused!(complete(&ana, order.id).await, FailedPrecondition, "ORDER_STATE_REFUSED");
    refused!(pay(beto.orders(), order.id).await, PermissionDenied, "PEERS_ONLY");
    for _ in 0..2 {
        assert_eq!(pay(payments.clone(), order.id).await.unwrap().state(), OrderState::Placed);
    }
    refused!(pay(payments.clone(), 99).await, NotFound, "ORDER_NOT_FOUND");

    let late = beto.buys(ana.offers("Vaca").await.id).await.unwrap();
    world.harness.clock.advance(Duration::from_secs(29 * 60));
    world.marketplace.cancel_unpaid().await.unwrap();
    assert_eq!(get(&beto, late.id).await.unwrap().state(), OrderState::AwaitingPayment);
    world.harness.clock.advance(Duration::from_secs(60));
    world.marketplace.cancel_unpaid().await.unwrap();
    assert_eq!(get(&beto, late.id).await.unwrap().state(), OrderState::Cancelled);
    assert_eq!(ana.sees(late.ad_id).await.unwrap().state(), AdState::Active);
    refused!(pay(payments, late.id).await, FailedPrecondition, "ORDER_STATE_REFUSED");
    assert_eq!(get(&beto, order.id).await.unwrap().state(), OrderState::Placed);
}

#[tokio::test]
async fn a_payment_that_comes_while_unpaid_orders_are_cancelled_counts() {
    let world = World::with_payment(Some(30)).await;
    let (ana, beto) = (world.seller(1), world.buyer(2));
    let order = beto.buys(ana.offers("Toro").await.id).await.unwrap();
    world.harness.clock.advance(Duration::from_secs(30 * 60));

    // Holds up the canceller between its list and the order.
    let db = &world.harness.service.db;
    let mut tx = db.begin().await.unwrap();
    sqlx::query("select from ads where id = $1 for update").bind(order.ad_id).execute(&mut *tx).await.unwrap();
    let payment = async {
        let waiting = "select exists (select from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(db).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut payments = OrderServiceClient::new(world.harness.as_peer("payments"));
        payments.confirm_payment(ConfirmPaymentRequest { id: order.id }).await.unwrap();
        tx.commit().await.unwrap();
    };
    let cancelling = async { tokio::join!(world.marketplace.cancel_unpaid(), payment) };
    tokio::time::timeout(Duration::from_secs(30), cancelling).await.unwrap().0.unwrap();
    assert_eq!(get(&beto, order.id).await.unwrap().state(), OrderState::Placed);
    assert_eq!(world.nobody.sees(order.ad_id).await.unwrap().state(), AdState::Sold);
}

#[tokio::test]
async fn a_repeated_purchase_finds_its_order_when_the_ad_is_gone() {
    let world = World::start().await;
    let (ana, beto) = (world.seller(1), world.buyer(2));
    let ad = ana.offers("Toro").await;
    let request = PurchaseAdRequest { ad_id: ad.id, request_id: "toro-1".into(), ..Default::default() };
    let order = beto.orders().purchase_ad(request.clone()).await.unwrap().into_inner();
    complete(&ana, order.id).await.unwrap();
    ana.ads().delete_ad(DeleteAdRequest { id: ad.id }).await.unwrap();
    let again = beto.orders().purchase_ad(request.clone()).await.unwrap().into_inner();
    assert_eq!((again.id, again.state()), (order.id, OrderState::Completed));
    let other = PurchaseAdRequest { request_id: "toro-2".into(), ..request };
    refused!(beto.orders().purchase_ad(other).await, NotFound, "AD_NOT_FOUND");
}
