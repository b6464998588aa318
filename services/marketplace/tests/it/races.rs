//! Many at once, and crashes in between.

use proptest::prelude::*;
use proto::marketplace::v1::{AdState, CancelOrderRequest, CompleteOrderRequest, DeleteAdRequest, PurchaseAdRequest};
use sqlx::PgPool;
use tonic::Code;

use crate::{Somebody, World, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_buyers_one_wins_and_the_others_are_told_nothing_of_it() {
    let world = World::start().await;
    let ad = world.seller(1).offers("Semental").await;
    let buyers: Vec<Somebody> = (2..102).map(|number| world.buyer(number)).collect();
    let tries = buyers.iter().map(|buyer| buyer.buys(ad.id));
    let answers = futures_util::future::join_all(tries).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 99));
    let winner = won.into_iter().next().unwrap().unwrap();
    for answer in lost {
        let status = answer.unwrap_err();
        assert!(!format!("{status:?}").contains(&winner.buyer_id));
        assert_eq!(refusal::<()>(Err(status)), (Code::FailedPrecondition, "AD_NOT_AVAILABLE".to_owned()));
    }
    let told = world.told().await;
    assert_eq!(told, ["add.created", "add.sold", "order.placed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_repeated_twenty_times_at_once_is_one_order() {
    let world = World::start().await;
    let ad = world.seller(1).offers("Semental").await;
    let beto = world.buyer(2);
    let request = PurchaseAdRequest { ad_id: ad.id, request_id: "once".into(), ..Default::default() };
    let tries = (0..20).map(|_| {
        let (mut orders, request) = (beto.orders(), request.clone());
        async move { orders.purchase_ad(request).await.unwrap().into_inner() }
    });
    let orders = futures_util::future::join_all(tries).await;
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
    assert_eq!(world.told().await, ["add.created", "add.sold", "order.placed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_sellers_and_cancellations_at_once_leave_no_ad_sold_twice() {
    let world = World::start().await;
    let ana = world.seller(1);
    let ad = ana.offers("Semental").await;
    let buyers: Vec<Somebody> = (2..10).map(|number| world.buyer(number)).collect();
    for _ in 0..5 {
        let tries = buyers.iter().map(|buyer| async {
            let Ok(order) = buyer.buys(ad.id).await else { return };
            let _ = buyer.orders().cancel_order(CancelOrderRequest { id: order.id }).await;
        });
        let moves = [AdState::Paused, AdState::Active, AdState::Archived, AdState::Active];
        let moving = async {
            for state in moves {
                let _ = ana.moves(ad.id, state).await;
            }
        };
        tokio::join!(futures_util::future::join_all(tries), moving);
        consistent(&world.harness.service.db).await;
    }
}

/// An ad is ordered exactly when it has an order that is not cancelled, and every order's steps lead to where it is.
async fn consistent(db: &PgPool) {
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from ads
         where (state = 'ORDERED')
             <> exists (select from orders where orders.ad_id = ads.id and orders.state <> 'CANCELLED')",
    )
    .fetch_one(db)
    .await
    .unwrap();
    assert_eq!(wrong, 0, "ads and orders disagree");
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from orders
         where state is distinct from (
             select to_state from order_transitions where order_id = orders.id order by id desc limit 1
         )",
    )
    .fetch_one(db)
    .await
    .unwrap();
    assert_eq!(wrong, 0, "orders and their steps disagree");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Buy(usize),
    Cancel(usize),
    Complete(usize),
    Move(AdState),
    Delete,
    Offer,
    /// Everything is dropped in the middle of a purchase.
    Crash(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let state = prop_oneof![Just(AdState::Active), Just(AdState::Paused), Just(AdState::Sold), Just(AdState::Archived)];
    prop_oneof![
        4 => (0..3usize).prop_map(Act::Buy),
        3 => (0..4usize).prop_map(Act::Cancel),
        1 => (0..4usize).prop_map(Act::Complete),
        3 => state.prop_map(Act::Move),
        1 => Just(Act::Delete),
        2 => Just(Act::Offer),
        2 => (0..3usize).prop_map(Act::Crash),
    ]
}

/// Random histories, with calls that are given up in the middle, on one world: what holds after each holds always.
#[test]
fn whatever_happens_ads_and_orders_agree() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (world, ana, buyers) = runtime.block_on(async {
        let world = World::start().await;
        let people = (world.seller(1), [2, 3, 4].map(|number| world.buyer(number)));
        (world, people.0, people.1)
    });
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(acts in prop::collection::vec(act(), 1..24))| {
        runtime.block_on(async {
            let mut ad = ana.offers("Toro").await;
            let (mut orders, mut given_up) = (Vec::new(), false);
            for act in acts {
                match act {
                    Act::Buy(n) => {
                        let before = ana.sees(ad.id).await.map(|ad| ad.state());
                        let bought = buyers[n].buys(ad.id).await;
                        let active = before.is_ok_and(|state| state == AdState::Active);
                        // A purchase that was given up may still be going on, and win.
                        assert!(if given_up { active || bought.is_err() } else { active == bought.is_ok() });
                        orders.extend(bought.ok().map(|order| (n, order.id)));
                    }
                    Act::Cancel(n) => if let Some((buyer, id)) = orders.get(n) {
                        let _ = buyers[*buyer].orders().cancel_order(CancelOrderRequest { id: *id }).await;
                    },
                    Act::Complete(n) => if let Some((_, id)) = orders.get(n) {
                        let _ = ana.orders().complete_order(CompleteOrderRequest { id: *id }).await;
                    },
                    Act::Move(state) => drop(ana.moves(ad.id, state).await),
                    Act::Delete => drop(ana.ads().delete_ad(DeleteAdRequest { id: ad.id }).await),
                    Act::Offer => (ad, given_up) = (ana.offers("Toro").await, false),
                    Act::Crash(n) => {
                        let buying = buyers[n].buys(ad.id);
                        // Long enough to have begun, now and then long enough to be done.
                        match tokio::time::timeout(std::time::Duration::from_micros(900), buying).await {
                            Ok(bought) => orders.extend(bought.ok().map(|order| (n, order.id))),
                            Err(_) => given_up = true,
                        }
                    }
                }
            }
            consistent(&world.harness.service.db).await;
        });
    });
}
