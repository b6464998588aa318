//! Pictures of ads.

use kit::error::Details;
use proto::marketplace::v1::{CreateAdRequest, Images, UpdateAdRequest};
use proto::media::v1::Kind;
use uuid::Uuid;

use crate::{World, an_ad, refused};

fn texts(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

#[tokio::test]
async fn pictures_keep_their_order_and_become_the_publishers() {
    let world = World::start().await;
    let ana = world.seller(1);
    let nobodys: Vec<Uuid> = (0..4).map(|_| world.media.file(None, Kind::Image)).collect();
    let own = world.media.file(Some(ana.id), Kind::Image);
    let shuffled = [nobodys[2], own, nobodys[0], nobodys[3]];
    let new = CreateAdRequest {
        main_image_id: nobodys[1].to_string(),
        secondary_image_ids: texts(&shuffled),
        ..an_ad("Toro")
    };
    let ad = ana.publish(new).await;
    assert_eq!((ad.main_image_id, ad.secondary_image_ids), (Some(nobodys[1].to_string()), texts(&shuffled)));
    assert!(nobodys.iter().all(|id| world.media.owner(*id) == ana.id.to_string()));

    let change = |change: UpdateAdRequest| ana.changes(UpdateAdRequest { id: ad.id, ..change });
    let title = UpdateAdRequest { title: Some("Vaca".into()), ..Default::default() };
    assert_eq!(change(title).await.unwrap().secondary_image_ids, texts(&shuffled));
    let images = |ids: &[Uuid]| Some(Images { ids: texts(ids) });
    let fewer = UpdateAdRequest { secondary_images: images(&[own]), clear_main_image: true, ..Default::default() };
    let changed = change(fewer).await.unwrap();
    assert_eq!((changed.main_image_id, changed.secondary_image_ids), (None, texts(&[own])));
    let none =
        UpdateAdRequest { secondary_images: images(&[]), main_image_id: Some(own.to_string()), ..Default::default() };
    let changed = change(none).await.unwrap();
    assert_eq!((changed.main_image_id, changed.secondary_image_ids), (Some(own.to_string()), vec![]));
}

#[tokio::test]
async fn no_ad_shows_what_is_not_there_or_not_the_publishers() {
    let world = World::start().await;
    let (ana, beto, admin) = (world.seller(1), world.seller(2), world.admin());
    let foreign = world.media.file(Some(beto.id), Kind::Image);
    let own = world.media.file(Some(ana.id), Kind::Image);
    let (nobodys, voice) = (world.media.file(None, Kind::Image), world.media.file(None, Kind::Audio));
    let create = |main: Uuid, others: &[Uuid]| {
        let (main_image_id, secondary_image_ids) = (main.to_string(), texts(others));
        let new = CreateAdRequest { main_image_id, secondary_image_ids, ..an_ad("Toro") };
        let mut ads = ana.ads();
        async move { ads.create_ad(new).await }
    };
    refused!(create(foreign, &[]).await, InvalidArgument, "MEDIA_UNKNOWN");
    refused!(create(nobodys, &[foreign]).await, InvalidArgument, "MEDIA_UNKNOWN");
    assert_eq!(world.media.owner(nobodys), "");
    refused!(create(Uuid::now_v7(), &[]).await, InvalidArgument, "MEDIA_UNKNOWN");
    refused!(create(nobodys, &[Uuid::now_v7()]).await, InvalidArgument, "MEDIA_UNKNOWN");
    refused!(create(voice, &[]).await, InvalidArgument, "NOT_AN_IMAGE");
    let document = world.media.document(ana.id);
    refused!(create(document, &[]).await, InvalidArgument, "MEDIA_UNKNOWN");
    // Which of several is told by its place.
    for wrong in [document, foreign, Uuid::now_v7()] {
        let refusal = create(nobodys, &[own, wrong]).await.unwrap_err();
        assert_eq!(Details::of(&refusal).fields[0].field, "secondary_image_ids[1]");
    }
    assert!(world.told().await.is_empty());

    // What an administrator adds is the publisher's, or it is not added.
    let ad = ana.offers("Toro").await;
    let change = |id: Uuid| UpdateAdRequest { id: ad.id, main_image_id: Some(id.to_string()), ..Default::default() };
    let file = world.media.file(None, Kind::Image);
    admin.changes(change(file)).await.unwrap();
    assert_eq!(world.media.owner(file), ana.id.to_string());
    refused!(admin.changes(change(foreign)).await, InvalidArgument, "MEDIA_UNKNOWN");
}
