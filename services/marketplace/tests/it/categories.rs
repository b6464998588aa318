//! Categories: the seeds and their order, and what administrators do to them.

use proto::marketplace::v1::{
    CategoryOrder, CreateCategoryRequest, DeleteAdRequest, DeleteCategoryRequest, GetCategoryRequest,
    ListCategoriesRequest, UpdateCategoryRequest,
};

use crate::{Somebody, World, refused};

async fn list(somebody: &Somebody, request: ListCategoriesRequest) -> Vec<(i64, String)> {
    let answer = somebody.categories().list_categories(request).await.unwrap().into_inner();
    answer.categories.into_iter().map(|category| (category.id, category.name)).collect()
}

#[tokio::test]
async fn all_38_have_their_ids_and_the_core_eight_come_first() {
    let world = World::start().await;
    let all = list(&world.nobody, ListCategoriesRequest { page_size: 100, ..Default::default() }).await;
    let ids: Vec<_> = all.iter().map(|(id, _)| *id).collect();
    let core = [24].into_iter().chain(32..=38);
    assert_eq!(ids, core.chain(1..=23).chain(25..=31).collect::<Vec<_>>());
    assert_eq!((all[0].1.as_str(), all[1].1.as_str()), ("Productos para ganado", "Medicamentos y salud animal"));

    let (mut page_token, mut paged) = (String::new(), Vec::new());
    loop {
        let request = ListCategoriesRequest { page_size: 7, page_token, ..Default::default() };
        let page = world.nobody.categories().list_categories(request).await.unwrap().into_inner();
        assert_eq!(page.total_size, 38);
        paged.extend(page.categories.into_iter().map(|category| category.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, ids);
    let first = async |order: CategoryOrder, descending| {
        let request =
            ListCategoriesRequest { order: order.into(), descending, skip: 1, page_size: 1, ..Default::default() };
        list(&world.nobody, request).await[0].0
    };
    assert_eq!((first(CategoryOrder::Id, false).await, first(CategoryOrder::Id, true).await), (2, 37));
    assert_eq!((first(CategoryOrder::Name, false).await, first(CategoryOrder::Name, true).await), (27, 3));
    assert_eq!((first(CategoryOrder::Rank, false).await, first(CategoryOrder::Rank, true).await), (32, 32));
}

#[tokio::test]
async fn administrators_write_categories_and_nobody_else() {
    let world = World::start().await;
    let (ana, admin) = (world.seller(1), world.admin());
    let new = CreateCategoryRequest { name: "Apicultura".into(), description: Some("Miel".into()) };
    let change = UpdateCategoryRequest { id: 39, name: Some("Abejas".into()), ..Default::default() };
    let deletion = DeleteCategoryRequest { id: 39 };
    refused!(world.nobody.categories().create_category(new.clone()).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(ana.categories().create_category(new.clone()).await, PermissionDenied, "ROLE_MISSING");
    refused!(ana.categories().update_category(change.clone()).await, PermissionDenied, "ROLE_MISSING");
    refused!(ana.categories().delete_category(deletion).await, PermissionDenied, "ROLE_MISSING");

    let made = admin.categories().create_category(new.clone()).await.unwrap().into_inner();
    assert_eq!((made.id, made.description.as_deref()), (39, Some("Miel")));
    refused!(admin.categories().create_category(new).await, InvalidArgument, "CATEGORY_NAME_TAKEN");
    let changed = admin.categories().update_category(change).await.unwrap().into_inner();
    assert_eq!((changed.name.as_str(), changed.description.as_deref()), ("Abejas", Some("Miel")));
    let taken = UpdateCategoryRequest { id: 39, name: Some("Vacunas".into()), ..Default::default() };
    refused!(admin.categories().update_category(taken).await, InvalidArgument, "CATEGORY_NAME_TAKEN");
    let cleared = UpdateCategoryRequest { id: 39, clear_description: true, ..Default::default() };
    assert_eq!(admin.categories().update_category(cleared).await.unwrap().into_inner().description, None);
    let got = world.nobody.categories().get_category(GetCategoryRequest { id: 39 }).await.unwrap().into_inner();
    assert_eq!(got.name, "Abejas");

    admin.categories().delete_category(deletion).await.unwrap();
    refused!(admin.categories().delete_category(deletion).await, NotFound, "CATEGORY_NOT_FOUND");
    let unknown = UpdateCategoryRequest { id: 39, ..Default::default() };
    refused!(admin.categories().update_category(unknown).await, NotFound, "CATEGORY_NOT_FOUND");
    refused!(
        world.nobody.categories().get_category(GetCategoryRequest { id: 39 }).await,
        NotFound,
        "CATEGORY_NOT_FOUND"
    );
}

#[tokio::test]
async fn a_category_stays_while_an_ad_uses_it() {
    let world = World::start().await;
    let (ana, admin) = (world.seller(1), world.admin());
    let ad = ana.offers("Toro").await;
    let deletion = DeleteCategoryRequest { id: ad.category_id };
    refused!(admin.categories().delete_category(deletion).await, FailedPrecondition, "CATEGORY_IN_USE");
    ana.ads().delete_ad(DeleteAdRequest { id: ad.id }).await.unwrap();
    admin.categories().delete_category(deletion).await.unwrap();
}
