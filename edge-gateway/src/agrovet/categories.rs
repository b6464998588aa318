//! Categories of ads.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use proto::marketplace::v1::{
    self, CategoryOrder, CreateCategoryRequest, DeleteCategoryRequest, GetCategoryRequest, ListCategoriesRequest,
    UpdateCategoryRequest,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::agrovet::page::{Page, Paged};
use crate::agrovet::users::Staff;
use crate::agrovet::{Agrovet, Error, Result};
use crate::form::{Fields, Form};
use crate::input::{Input, Path, Query};
use crate::routes::{Created, Describe, NoContent, Operation};

const ORDERS: &[(&str, CategoryOrder)] =
    &[("id", CategoryOrder::Id), ("name", CategoryOrder::Name), ("description", CategoryOrder::Description)];

/// A category.
#[derive(Serialize, ToSchema)]
pub struct Category {
    id: i64,
    name: String,
    description: Option<String>,
}

impl From<v1::Category> for Category {
    fn from(category: v1::Category) -> Self {
        Self { id: category.id, name: category.name, description: category.description }
    }
}

pub struct Ordering {
    order: CategoryOrder,
    descending: bool,
}

impl Form for Ordering {
    fn read(f: &mut Fields) -> Self {
        let described = "`id`, `name` or `description`, with `-` the other way round";
        let asked = f.text("ordering").blank().describe(described).or(String::new());
        let known = asked.split(',').map(str::trim).find_map(|word| {
            let name = word.strip_prefix('-').unwrap_or(word);
            let (_, order) = ORDERS.iter().find(|(known, _)| *known == name)?;
            Some(Self { order: *order, descending: name != word })
        });
        known.unwrap_or(Self { order: CategoryOrder::Rank, descending: false })
    }
}

/// The eight core categories come first, because the frontend looks for them on the first page.
pub async fn list(
    State(edge): State<Agrovet>,
    page: Page,
    Query(ordering): Query<Ordering>,
) -> Result<Json<Paged<Category>>> {
    let paged = page
        .fetch(|page_size, skip| {
            let (order, descending) = (ordering.order.into(), ordering.descending);
            let request = ListCategoriesRequest { page_size, skip, order, descending, ..Default::default() };
            let mut categories = edge.categories();
            async move {
                let answer = categories.list_categories(request).await?.into_inner();
                Ok((answer.categories, answer.total_size))
            }
        })
        .await?;
    Ok(Json(paged.map(Category::from)))
}

pub async fn retrieve(State(edge): State<Agrovet>, Path(id): Path<i64>) -> Result<Json<Category>> {
    Ok(Json(edge.categories().get_category(GetCategoryRequest { id }).await?.into_inner().into()))
}

/// The category in the path, for staff. Found out before the body is read: 401, 403 and 404 come before what is wrong
/// with a form.
pub struct Target(i64);

impl FromRequestParts<Agrovet> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        Staff::from_request_parts(parts, edge).await?;
        let Path(id) = Path::<i64>::from_request_parts(parts, edge).await?;
        edge.categories().get_category(GetCategoryRequest { id }).await?;
        Ok(Self(id))
    }
}

impl Describe for Target {
    fn describe(operation: &mut Operation) {
        Staff::describe(operation);
        Path::<i64>::describe(operation);
        operation.answer(404, "No such category");
    }
}

pub struct New {
    name: String,
    description: Option<String>,
}

impl Form for New {
    fn read(f: &mut Fields) -> Self {
        let name = f.text("name").max(120).required();
        Self { name, description: f.text("description").blank().max(5000).nullable().flatten() }
    }
}

pub async fn create(State(edge): State<Agrovet>, _: Staff, Input(new): Input<New>) -> Result<Created<Category>> {
    let request = CreateCategoryRequest { name: new.name, description: new.description };
    Ok(Created(edge.categories().create_category(request).await?.into_inner().into()))
}

pub struct Change {
    name: Option<String>,
    description: Option<Option<String>>,
}

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        let name = f.text("name").max(120).required_on_put();
        Self { name, description: f.text("description").blank().max(5000).nullable() }
    }
}

pub async fn update(
    State(edge): State<Agrovet>,
    Target(id): Target,
    Input(change): Input<Change>,
) -> Result<Json<Category>> {
    let request = UpdateCategoryRequest {
        id,
        name: change.name,
        clear_description: change.description == Some(None),
        description: change.description.flatten(),
    };
    Ok(Json(edge.categories().update_category(request).await?.into_inner().into()))
}

pub async fn delete(State(edge): State<Agrovet>, Target(id): Target) -> Result<NoContent> {
    edge.categories().delete_category(DeleteCategoryRequest { id }).await?;
    Ok(NoContent)
}
