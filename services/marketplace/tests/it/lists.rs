//! Lists of ads: filters, orders, pages.

use kit::error::Details;
use prost_types::Timestamp;
use proto::marketplace::v1::{AdOrder, AdState, Condition, CreateAdRequest, ListAdsRequest, ListAdsResponse};

use crate::{Somebody, World, an_ad, refused};

async fn list(somebody: &Somebody, request: ListAdsRequest) -> ListAdsResponse {
    somebody.ads().list_ads(request).await.unwrap().into_inner()
}

fn ids(page: &ListAdsResponse) -> Vec<i64> {
    page.ads.iter().map(|ad| ad.id).collect()
}

/// Ten ads of two people: prices 0 to 4 twice, each pair published in one moment.
async fn world() -> (World, Somebody, Somebody) {
    let world = World::start().await;
    let (ana, beto) = (world.seller(1), world.seller(2));
    for n in 0..10 {
        let new = CreateAdRequest {
            price_hundredths: n % 5,
            category_id: 1 + n % 2,
            condition: [Condition::New, Condition::Used, Condition::SemiNew][n as usize % 3].into(),
            ..an_ad(&format!("Toro {n}"))
        };
        if n < 7 {
            ana.publish(new).await
        } else {
            beto.publish(new).await
        };
        if n % 2 == 1 {
            world.tick();
        }
    }
    (world, ana, beto)
}

#[tokio::test]
async fn pages_follow_one_another_in_every_order_by_token_and_by_number() {
    let (world, ana, _) = world().await;
    ana.moves(4, AdState::Paused).await.unwrap();
    ana.moves(7, AdState::Archived).await.unwrap();
    ana.moves(2, AdState::Sold).await.unwrap();
    for (order, expected) in [
        (AdOrder::Unspecified, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (AdOrder::Newest, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (AdOrder::Best, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (AdOrder::Oldest, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (AdOrder::Cheapest, [1, 6, 2, 7, 3, 8, 4, 9, 5, 10]),
        (AdOrder::Dearest, [10, 5, 9, 4, 8, 3, 7, 2, 6, 1]),
    ] {
        for somebody in [&ana, &world.admin(), &world.nobody] {
            let hidden: &[i64] = if somebody.number == 0 { &[4, 7] } else { &[] };
            let expected: Vec<_> = expected.into_iter().filter(|id| !hidden.contains(id)).collect();
            let request = ListAdsRequest { order: order.into(), page_size: 3, ..Default::default() };
            let (mut page_token, mut by_token) = (String::new(), Vec::new());
            loop {
                let page = list(somebody, ListAdsRequest { page_token, ..request.clone() }).await;
                assert_eq!(page.total_size as usize, expected.len());
                by_token.extend(ids(&page));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            let mut by_number = Vec::new();
            for skip in [0, 3, 6, 9, 12] {
                by_number.extend(ids(&list(somebody, ListAdsRequest { skip, ..request.clone() }).await));
            }
            assert_eq!((&by_token, &by_number), (&expected, &expected), "{order:?} for {}", somebody.number);
        }
    }
}

#[tokio::test]
async fn filters_narrow_the_list_and_its_total() {
    let (world, ana, _) = world().await;
    ana.moves(2, AdState::Sold).await.unwrap();
    let request = ListAdsRequest::default();
    let at = |seconds| Some(Timestamp { seconds: world.harness.clock.now().timestamp() - 5 + seconds, nanos: 0 });
    for (expected, request) in [
        (vec![10, 8, 6, 4, 2], ListAdsRequest { category_id: Some(2), ..request.clone() }),
        (vec![], ListAdsRequest { category_id: Some(3), ..request.clone() }),
        (vec![9, 6, 3], ListAdsRequest { condition: Condition::SemiNew.into(), ..request.clone() }),
        (vec![2], ListAdsRequest { states: vec![AdState::Sold.into()], ..request.clone() }),
        (vec![], ListAdsRequest { states: vec![AdState::Paused.into()], ..request.clone() }),
        (vec![10, 9, 8], ListAdsRequest { publisher_number: Some(2), ..request.clone() }),
        (vec![10, 9, 5, 4], ListAdsRequest { min_price_hundredths: Some(3), ..request.clone() }),
        (vec![6, 1], ListAdsRequest { max_price_hundredths: Some(0), ..request.clone() }),
        (vec![6, 5, 4, 3], ListAdsRequest { created_after: at(1), created_before: at(2), ..request.clone() }),
        (
            vec![8],
            ListAdsRequest {
                search: "toro".into(),
                category_id: Some(2),
                publisher_number: Some(2),
                max_price_hundredths: Some(2),
                ..request.clone()
            },
        ),
        (vec![8], ListAdsRequest { search: "tor 7".into(), ..request.clone() }),
    ] {
        let page = list(&world.nobody, request.clone()).await;
        assert_eq!((ids(&page), page.total_size as usize), (expected.clone(), expected.len()), "{request:?}");
        let oldest = ListAdsRequest { order: AdOrder::Oldest.into(), ..request };
        let mut seen = ids(&list(&world.nobody, oldest).await);
        seen.reverse();
        assert_eq!(seen, expected);
    }
    let nowhere = ListAdsRequest { category_id: Some(99), ..ListAdsRequest::default() };
    refused!(world.nobody.ads().list_ads(nowhere).await, InvalidArgument, "CATEGORY_UNKNOWN");
}

#[tokio::test]
async fn a_moment_is_of_the_years_1_to_9999() {
    let (world, ..) = world().await;
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let (first, last) = (-62_135_596_800, 253_402_300_799);
    for (created_after, created_before) in [(first, last), (first, first), (last, last)] {
        let request = ListAdsRequest {
            created_after: at(created_after),
            created_before: at(created_before),
            ..Default::default()
        };
        let expected = if created_after < created_before { 10 } else { 0 };
        assert_eq!(list(&world.nobody, request).await.total_size, expected);
    }
    for seconds in [i64::MIN, -1_000_000_000_000, first - 1, last + 1, 1_000_000_000_000, i64::MAX] {
        for (field, request) in [
            ("created_after", ListAdsRequest { created_after: at(seconds), ..Default::default() }),
            ("created_before", ListAdsRequest { created_before: at(seconds), ..Default::default() }),
        ] {
            let refusal = world.nobody.ads().list_ads(request).await.unwrap_err();
            assert_eq!(Details::of(&refusal).fields[0].field, field, "{seconds}");
            refused!(Err::<(), _>(refusal), InvalidArgument, "INVALID_FIELDS");
        }
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_only() {
    let (world, ana, _) = world().await;
    let first = ListAdsRequest { page_size: 2, ..Default::default() };
    let page_token = list(&world.nobody, first.clone()).await.next_page_token;
    assert!(!page_token.is_empty());
    for other in [
        ListAdsRequest { category_id: Some(1), page_token: page_token.clone(), ..first.clone() },
        ListAdsRequest { order: AdOrder::Oldest.into(), page_token: page_token.clone(), ..first.clone() },
        ListAdsRequest { page_token: format!("{page_token}x"), ..first.clone() },
        ListAdsRequest { skip: 10_001, ..first.clone() },
    ] {
        refused!(world.nobody.ads().list_ads(other).await, InvalidArgument, "INVALID_FIELDS");
    }
    let anas = ListAdsRequest { page_token, ..first };
    refused!(ana.ads().list_ads(anas).await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn no_ad_comes_twice_or_never_while_others_are_published() {
    let (world, ana, _) = world().await;
    let (mut page_token, mut seen) = (String::new(), Vec::new());
    loop {
        let page = list(&world.nobody, ListAdsRequest { page_size: 2, page_token, ..Default::default() }).await;
        seen.extend(ids(&page));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        ana.offers("Toro nuevo").await;
    }
    assert_eq!(seen, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
}
