//! Searching as people type: forms of words, accents, beginnings, misspellings.

use proto::access::v1::Role;
use proto::marketplace::v1::{
    AdOrder, CreateAdRequest, DeleteAdRequest, ListAdsRequest, ListAdsResponse, UpdateAdRequest,
};

use crate::{World, an_ad, refused};

async fn world() -> World {
    let world = World::start().await;
    let ana = world.person(1, Role::Businessman);
    for (title, description) in [
        ("Semental Brahman registrado", "Toro de cinco años, manso y sano"),
        ("Vacas lecheras", "Excelente producción de leche, vacunadas"),
        ("Vacuna triple bovina", "Protege a su ganado durante un año"),
        ("Tractor John Deere 5075", "Poco uso, con arado y rastra"),
        ("Ñame y yuca de Juigalpa", "Cosecha de esta semana, por quintal"),
        ("Jardinería: abono orgánico", "Bolsas de 50kg para huertos y jardines"),
        ("Montura semi-nueva", "Cuero de res, hecha a mano en León"),
    ] {
        ana.publish(CreateAdRequest { description: description.into(), ..an_ad(title) }).await;
        world.tick();
    }
    world
}

async fn answer(world: &World, search: &str) -> ListAdsResponse {
    let request = ListAdsRequest { search: search.into(), ..Default::default() };
    world.nobody.ads().list_ads(request).await.unwrap().into_inner()
}

/// Ids of what is found, best first.
async fn found(world: &World, search: &str) -> Vec<i64> {
    let answer = answer(world, search).await;
    assert_eq!(answer.total_size as usize, answer.ads.len());
    answer.ads.iter().map(|ad| ad.id).collect()
}

#[tokio::test]
async fn words_are_found_in_any_form_and_without_accents() {
    let world = world().await;
    for (search, expected) in [
        ("vaca", vec![2]),
        ("VACAS", vec![2]),
        ("lechera", vec![2]),
        ("produccion", vec![2]),
        ("PRODUCCIÓN", vec![2]),
        ("name", vec![5]),
        ("ñame", vec![5]),
        ("organicos", vec![6]),
        ("jardín", vec![6]),
        ("tractores", vec![4]),
        ("5075", vec![4]),
        ("50kg", vec![6]),
        ("leon", vec![7]),
    ] {
        assert_eq!(found(&world, search).await, expected, "{search}");
    }
}

#[tokio::test]
async fn a_beginning_is_enough_as_one_types() {
    let world = world().await;
    for (search, expected) in [
        ("sem", vec![7, 1, 5]),
        ("seme", vec![1]),
        ("semental bra", vec![1]),
        ("tracto", vec![4]),
        ("jardi", vec![6]),
        ("vacu", vec![3, 2]),
        ("john d", vec![4]),
        ("v", vec![2, 3]),
        ("de", vec![4]),
    ] {
        assert_eq!(found(&world, search).await, expected, "{search}");
    }
}

#[tokio::test]
async fn every_word_must_occur_but_those_that_every_text_has() {
    let world = world().await;
    for (search, expected) in [
        ("semental toro", vec![1]),
        ("semental,toro", vec![1]),
        ("semental vaca", vec![]),
        ("semental leche", vec![]),
        ("yuca de juigalpa", vec![5]),
        ("abono para la huerta", vec![6]),
        ("\"cinco años\"", vec![1]),
        ("\"años cinco\"", vec![]),
        ("\"john deere\" arado", vec![4]),
        ("semi-nueva", vec![7]),
        ("%", vec![]),
        ("'\\:*&|!()<->", vec![]),
        ("toro & !semental", vec![1]),
        ("\u{1F415}", vec![]),
    ] {
        assert_eq!(found(&world, search).await, expected, "{search}");
    }
    // No words are no search.
    assert_eq!(found(&world, " , \"\" ").await.len(), 7);
}

#[tokio::test]
async fn misspelled_words_find_what_was_meant() {
    let world = world().await;
    for (search, expected) in [
        ("semntal", vec![1]),
        ("sementla", vec![1]),
        ("brahmn", vec![1]),
        ("tracor", vec![4]),
        ("trractor", vec![4]),
        ("vaka", vec![2]),
        ("vakas lecheras", vec![2]),
        ("johm deere", vec![4]),
        ("montrua", vec![7]),
        ("ental", vec![1]),
        ("inexistente", vec![]),
    ] {
        assert_eq!(found(&world, search).await, expected, "{search}");
    }
    // What is written like that is meant like that: no helicopter for who looks for a `toro`.
    world.seller(2).offers("Torno para madera").await;
    assert_eq!(found(&world, "toro").await, [1]);
}

#[tokio::test]
async fn signs_part_words() {
    let world = World::start().await;
    let ana = world.seller(1);
    let ad = |title: &str, description: &str| CreateAdRequest { description: description.into(), ..an_ad(title) };
    let milk = ana.publish(ad("leche/queso~crema", "Todos los días.Tel 8888-7777")).await.id;
    let saw = ana.publish(ad("Motosierra MS-170/B", "De 2019/2020, sobre pedido, lote +35")).await.id;
    let bull = ana.publish(ad("Toro", "ana_perez@finca.example y www.finca.example/toros")).await.id;
    for (search, expected) in [
        ("queso", milk),
        ("crem", milk),
        ("tel", milk),
        ("7777", milk),
        ("8888-7777", milk),
        ("dias.tel", milk),
        ("170", saw),
        ("MS 170", saw),
        ("ms-17", saw),
        ("2020", saw),
        ("lote 35", saw),
        ("+35", saw),
        ("finca", bull),
        ("perez", bull),
        ("/toros", bull),
    ] {
        assert_eq!(found(&world, search).await, [expected], "{search}");
    }
    // A word that every text has is no misspelled `toro`.
    assert!(found(&world, "todos").await.is_empty());
    for signs in ["-", "'\\", "toro'", "toro & !leche:*", "tor\\o", "(toro | ':* <-> leche)"] {
        answer(&world, signs).await;
    }
}

#[tokio::test]
async fn what_looks_like_a_tag_is_words() {
    let world = world().await;
    for search in ["<vaca'>", "<vaca\\>", "‹vaca’›", "<vaca>", "leche <vaca'>", "</vaca'>", "<a href='vaca'>"] {
        assert!(found(&world, search).await.iter().all(|id| *id == 2), "{search}");
        let request = ListAdsRequest { search: search.into(), order: AdOrder::Cheapest.into(), ..Default::default() };
        world.nobody.ads().list_ads(request).await.unwrap();
    }
    assert_eq!(found(&world, "<vaca'>").await, [2]);
}

#[tokio::test]
async fn one_sign_may_be_many_letters() {
    let world = World::start().await;
    let ana = world.seller(1);
    let short = ana.offers("Clase Ⅷ, oﬃcina, ﬃ").await.id;
    for search in ["Ⅷ", "viii", "oﬃcina", "officina", "oficina", "ﬃ"] {
        assert_eq!(found(&world, search).await, [short], "{search}");
    }
    // 800 and 600 letters, like those of the ad.
    let [eights, ligatures] = ["Ⅷ", "ﬃ"].map(|sign| sign.repeat(200));
    for order in [AdOrder::Best, AdOrder::Cheapest] {
        for search in [&eights, &ligatures] {
            let request = ListAdsRequest { search: search.clone(), order: order.into(), ..Default::default() };
            let answer = world.nobody.ads().list_ads(request).await.unwrap().into_inner();
            assert_eq!(answer.total_size, 0, "{search}");
        }
    }
    let long = ana.offers(&eights).await.id;
    assert_eq!(found(&world, &eights).await, [long]);
}

#[tokio::test]
async fn a_word_that_no_ad_has_any_more_does_not_hide_those_that_are_meant() {
    let world = World::start().await;
    let ana = world.seller(1);
    let (calf, typo) = (ana.offers("Novillo").await.id, ana.offers("Novila").await.id);
    world.marketplace.sweep_words().await.unwrap();
    // A word of an ad means itself.
    assert_eq!(found(&world, "novila").await, [typo]);
    ana.ads().delete_ad(DeleteAdRequest { id: typo }).await.unwrap();
    assert!(found(&world, "novila").await.is_empty());
    world.marketplace.sweep_words().await.unwrap();
    assert_eq!(found(&world, "novila").await, [calf]);
    // More words than one turn looks at.
    let many: Vec<String> = (0..1200).map(|n| format!("aaa{n}")).collect();
    let ad = CreateAdRequest { description: many.join(" "), ..an_ad("Novila") };
    let again = ana.publish(ad).await.id;
    ana.ads().delete_ad(DeleteAdRequest { id: again }).await.unwrap();
    for expected in [vec![], vec![], vec![calf]] {
        world.marketplace.sweep_words().await.unwrap();
        assert_eq!(found(&world, "novila").await, expected);
    }
}

#[tokio::test]
async fn titles_count_more_than_texts_and_the_newest_of_equals_comes_first() {
    let world = World::start().await;
    let ana = world.seller(1);
    let ad = |title: &str, description: &str| CreateAdRequest { description: description.into(), ..an_ad(title) };
    let mention = ana.publish(ad("Finca grande", "Con toro, corral y toros")).await.id;
    let older = ana.publish(ad("Toro negro", "Manso")).await.id;
    world.tick();
    let newer = ana.publish(ad("Toro pardo", "Manso")).await.id;
    assert_eq!(found(&world, "toro").await, [newer, older, mention]);
    let in_order = async |order: AdOrder| {
        let request = ListAdsRequest { search: "toro".into(), order: order.into(), ..Default::default() };
        let answer = world.nobody.ads().list_ads(request).await.unwrap().into_inner();
        answer.ads.iter().map(|ad| ad.id).collect::<Vec<_>>()
    };
    assert_eq!(in_order(AdOrder::Oldest).await, [mention, older, newer]);
    assert_eq!(in_order(AdOrder::Best).await, [newer, older, mention]);
    let change = UpdateAdRequest { id: older, title: Some("Novillo".into()), ..Default::default() };
    ana.changes(change).await.unwrap();
    assert_eq!(found(&world, "toro").await, [newer, mention]);
    assert_eq!(found(&world, "novilo").await, [older]);
}

#[tokio::test]
async fn pages_of_what_is_found_follow_one_another() {
    let world = World::start().await;
    let ana = world.seller(1);
    for n in 0..5 {
        ana.offers(&format!("Toro {n}")).await;
    }
    let (mut page_token, mut seen) = (String::new(), Vec::new());
    loop {
        let request = ListAdsRequest { search: "toro".into(), page_size: 2, page_token, ..Default::default() };
        let page = world.nobody.ads().list_ads(request).await.unwrap().into_inner();
        assert_eq!(page.total_size, 5);
        seen.extend(page.ads.iter().map(|ad| ad.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        let other = ListAdsRequest { search: "vaca".into(), page_token: page_token.clone(), ..Default::default() };
        refused!(world.nobody.ads().list_ads(other).await, InvalidArgument, "INVALID_FIELDS");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    let skipping = ListAdsRequest { search: "toro".into(), page_size: 2, skip: 3, ..Default::default() };
    let page = world.nobody.ads().list_ads(skipping).await.unwrap().into_inner();
    assert_eq!((page.ads.iter().map(|ad| ad.id).collect::<Vec<_>>(), page.total_size), (vec![2, 1], 5));
}
