//! Categories of ads: a few dozen rows that administrators write. Whether one is used is for the foreign key of ads to
//! say.

use kit::db::OnConstraint;
use kit::error::{Error, invalid_because, not_found, refused};
use kit::page;
use proto::marketplace::v1::category_service_server::CategoryService;
use proto::marketplace::v1::{
    Category, CategoryOrder, CreateCategoryRequest, DeleteCategoryRequest, DeleteCategoryResponse, GetCategoryRequest,
    ListCategoriesRequest, ListCategoriesResponse, UpdateCategoryRequest,
};
use sqlx::PgExecutor;
use tonic::{Request, Response, Status};

use crate::Marketplace;

#[tonic::async_trait]
impl CategoryService for Marketplace {
    async fn get_category(&self, request: Request<GetCategoryRequest>) -> Result<Response<Category>, Status> {
        let category = fetch_category(&self.db, request.get_ref().id).await?;
        Ok(Response::new(category.ok_or_else(no_such_category)?))
    }

    async fn list_categories(
        &self,
        request: Request<ListCategoriesRequest>,
    ) -> Result<Response<ListCategoriesResponse>, Status> {
        let request = request.into_inner();
        let order = Order::of(&request);
        let scope = format!("ListCategories {order:?}");
        // Where the page begins: in so short a list counting rows costs nothing.
        let start = self.pager.open::<i64>(&scope, &request.page_token)?.unwrap_or(0) + i64::from(request.skip);
        let size = page::size(request.page_size, 20, 100);
        let mut categories = list_categories(&self.db, order, size + 1, start).await?;
        let total_size = count_categories(&self.db).await?;

        let next_page_token = self.pager.cut(&scope, &mut categories, size, |_| start + size)?;
        Ok(Response::new(ListCategoriesResponse { categories, next_page_token, total_size }))
    }

    async fn create_category(&self, request: Request<CreateCategoryRequest>) -> Result<Response<Category>, Status> {
        let CreateCategoryRequest { name, description } = request.into_inner();
        Ok(Response::new(insert_category(&self.db, &name, description.as_deref()).await?))
    }

    async fn update_category(&self, request: Request<UpdateCategoryRequest>) -> Result<Response<Category>, Status> {
        let category = update_category(&self.db, request.get_ref()).await?;
        Ok(Response::new(category.ok_or_else(no_such_category)?))
    }

    async fn delete_category(
        &self,
        request: Request<DeleteCategoryRequest>,
    ) -> Result<Response<DeleteCategoryResponse>, Status> {
        match delete_category(&self.db, request.get_ref().id).await? {
            0 => Err(no_such_category().into()),
            _ => Ok(Response::new(DeleteCategoryResponse {})),
        }
    }
}

/// What the list is sorted by; equals go by rank and id.
#[derive(Clone, Copy, Debug)]
struct Order {
    column: &'static str,
    descending: bool,
}

impl Order {
    fn of(request: &ListCategoriesRequest) -> Self {
        let column = match request.order() {
            CategoryOrder::Unspecified | CategoryOrder::Rank => return Self { column: "rank", descending: false },
            CategoryOrder::Id => "id",
            CategoryOrder::Name => "name",
            CategoryOrder::Description => "description",
        };
        Self { column, descending: request.descending }
    }
}

fn no_such_category() -> Error {
    not_found("CATEGORY_NOT_FOUND", "no such category")
}

fn name_taken() -> Error {
    invalid_because("name", "CATEGORY_NAME_TAKEN", "another category has this name")
}

async fn fetch_category(db: impl PgExecutor<'_>, id: i64) -> kit::Result<Option<Category>> {
    let row = sqlx::query_as!(Category, "select id, name, description from categories where id = $1", id);
    Ok(row.fetch_optional(db).await?)
}

async fn list_categories(db: impl PgExecutor<'_>, order: Order, limit: i64, skip: i64) -> kit::Result<Vec<Category>> {
    let rows = sqlx::query_as!(
        Category,
        "select id, name, description from categories
         order by
             case when $1 = 'name' and not $2 then name when $1 = 'description' and not $2 then description end,
             case when $1 = 'name' and $2 then name when $1 = 'description' and $2 then description end desc,
             case when $1 = 'id' then case when $2 then -id else id end else rank end,
             id
         limit $3 offset $4",
        order.column,
        order.descending,
        limit,
        skip
    );
    Ok(rows.fetch_all(db).await?)
}

async fn count_categories(db: impl PgExecutor<'_>) -> kit::Result<i32> {
    Ok(sqlx::query_scalar!(r#"select count(*)::int as "count!" from categories"#).fetch_one(db).await?)
}

async fn insert_category(db: impl PgExecutor<'_>, name: &str, description: Option<&str>) -> kit::Result<Category> {
    let row = sqlx::query_as!(
        Category,
        "insert into categories (name, description) values ($1, $2) returning id, name, description",
        name,
        description
    );
    row.fetch_one(db).await.on_constraint("categories_name_key", name_taken)
}

async fn update_category(db: impl PgExecutor<'_>, change: &UpdateCategoryRequest) -> kit::Result<Option<Category>> {
    let row = sqlx::query_as!(
        Category,
        "update categories
         set name = coalesce($2, name), description = case when $4 then null else coalesce($3, description) end
         where id = $1 returning id, name, description",
        change.id,
        change.name.as_deref(),
        change.description.as_deref(),
        change.clear_description
    );
    row.fetch_optional(db).await.on_constraint("categories_name_key", name_taken)
}

async fn delete_category(db: impl PgExecutor<'_>, id: i64) -> kit::Result<u64> {
    let deleted = sqlx::query!("delete from categories where id = $1", id).execute(db).await;
    let in_use = || refused("CATEGORY_IN_USE", "there are ads in this category");
    Ok(deleted.on_constraint("ads_category_id_fkey", in_use)?.rows_affected())
}
