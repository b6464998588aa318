//! Lists by page number, as DRF's PageNumberPagination: `?page=2`, `?page=last`, `?page_size=50`, and an envelope with
//! absolute links.

use std::borrow::Cow;
use std::future::Future;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::address::Base;
use crate::agrovet::{Agrovet, Error, Result};
use crate::form::{Fields, Form};
use crate::routes::{Describe, Operation};

/// Rows further down are not shown: what a page by number leaves out is read all the same, and 10,000 rows are 1 to 14
/// ms, see ARCHITECTURE. The services count no further either.
const DEEPEST: i64 = 10_000;

/// Which page of a list is asked for.
#[derive(Debug)]
pub struct Page {
    /// `None` is the last one.
    number: Option<i64>,
    size: i64,
    /// Where this list is, without the page.
    base: Base,
    query: Vec<(String, String)>,
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub struct Paged<T> {
    /// How many there are on all pages.
    pub count: i64,
    /// URL of the next page.
    pub next: Option<String>,
    /// URL of the page before.
    pub previous: Option<String>,
    pub results: Vec<T>,
}

/// By hand, because the derived one of a generic struct does not describe the rows: those that stand in lists only would
/// be referred to and nowhere found.
impl<T: ToSchema> PartialSchema for Paged<T> {
    fn schema() -> RefOr<Schema> {
        let property = |kind: SchemaType, text: &str| ObjectBuilder::new().schema_type(kind).description(Some(text));
        let link = || SchemaType::from_iter([Type::String, Type::Null]);
        let rows = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        ObjectBuilder::new()
            .property("count", property(Type::Integer.into(), "How many there are on all pages; no more than 10000."))
            .property("next", property(link(), "URL of the next page."))
            .property("previous", property(link(), "URL of the page before."))
            .property("results", rows)
            .required("count")
            .required("results")
            .into()
    }
}

impl<T: ToSchema> ToSchema for Paged<T> {
    fn name() -> Cow<'static, str> {
        "Paged".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T> Paged<T> {
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Paged<U> {
        let results = self.results.into_iter().map(convert).collect();
        Paged { count: self.count, next: self.next, previous: self.previous, results }
    }

    /// As [`Paged::map`], where all rows together are converted.
    pub async fn map_all<U>(self, convert: impl AsyncFnOnce(Vec<T>) -> Vec<U>) -> Paged<U> {
        let results = convert(self.results).await;
        Paged { count: self.count, next: self.next, previous: self.previous, results }
    }

    /// As [`Paged::map_all`], where that may fail.
    pub async fn try_map_all<U, E>(
        self,
        convert: impl AsyncFnOnce(Vec<T>) -> Result<Vec<U>, E>,
    ) -> Result<Paged<U>, E> {
        let results = convert(self.results).await?;
        Ok(Paged { count: self.count, next: self.next, previous: self.previous, results })
    }
}

fn no_such_page() -> Error {
    Error::detail(404, "Página inválida.")
}

impl Page {
    /// Rows on a page.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// Fetches the page: `list` gets how many rows to give and how many to skip, and answers them with the total.
    pub async fn fetch<T, F>(&self, list: impl Fn(i32, i32) -> F) -> Result<Paged<T>>
    where
        F: Future<Output = Result<(Vec<T>, i32), tonic::Status>>,
    {
        let skip = (self.number.unwrap_or(1) - 1).checked_mul(self.size).filter(|skip| *skip <= DEEPEST);
        let (mut results, total) = list(self.size as i32, skip.ok_or_else(no_such_page)? as i32).await?;
        let total = i64::from(total);
        let pages = ((total + self.size - 1) / self.size).clamp(1, DEEPEST / self.size + 1);
        let number = self.number.unwrap_or(pages);
        if number > pages {
            return Err(no_such_page());
        }
        if self.number.is_none() && pages > 1 {
            results = list(self.size as i32, ((pages - 1) * self.size) as i32).await?.0;
        }
        Ok(Paged {
            count: total,
            next: (number < pages).then(|| self.link(number + 1)),
            previous: (number > 1).then(|| self.link(number - 1)),
            results,
        })
    }

    /// The first page has no number in its link, and the parameters are sorted, as DRF has it.
    fn link(&self, number: i64) -> String {
        let mut query = self.query.clone();
        if number > 1 {
            query.push(("page".to_owned(), number.to_string()));
        }
        query.sort();
        let path = self.base.absolute(&crate::front::asked_path());
        if query.is_empty() {
            return path;
        }
        format!("{path}?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish())
    }
}

impl FromRequestParts<Agrovet> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        let Ok(base) = Base::from_request_parts(parts, edge).await;
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned();
        // As in every query of this dialect, an empty value was not written.
        let mut query: Vec<(String, String)> = query.filter(|(_, value)| !value.trim().is_empty()).collect();
        let last = |name: &str| query.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let number = match last("page") {
            None => Some(1),
            Some("last") => None,
            Some(text) => Some(text.parse().ok().filter(|n| *n > 0).ok_or_else(no_such_page)?),
        };
        let size = last("page_size").and_then(|text| text.parse::<i64>().ok()).filter(|n| *n > 0);
        query.retain(|(name, _)| name != "page");
        Ok(Self { number, size: size.map_or(20, |n| n.min(100)), base, query })
    }
}

/// The parameters, for the document.
struct Asked;

impl Form for Asked {
    fn read(f: &mut Fields) -> Self {
        f.text("page").describe("Number of the page from 1, or `last`").optional();
        f.integer("page_size").between(1, 100).describe("Rows on a page; 20 unless given").optional();
        Self
    }
}

impl Describe for Page {
    fn describe(operation: &mut Operation) {
        crate::input::Query::<Asked>::describe(operation);
    }
}

/// `?search=`: words that must all occur.
pub struct Search(pub String);

impl Form for Search {
    fn read(f: &mut Fields) -> Self {
        Self(f.text("search").blank().max(200).describe("Words that must all occur").or(String::new()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn page(number: Option<i64>, size: i64) -> Page {
        let query = vec![("search".into(), "a b".into()), ("page_size".into(), size.to_string())];
        Page { number, size, base: Base::fixed("http://h"), query }
    }

    async fn fetch(number: Option<i64>, total: i32) -> (Result<Paged<i32>>, Vec<(i32, i32)>) {
        let asked = Mutex::new(Vec::new());
        let paged = page(number, 10)
            .fetch(|size, skip| {
                asked.lock().unwrap().push((size, skip));
                async move { Ok((vec![skip], total)) }
            })
            .await;
        (paged, asked.into_inner().unwrap())
    }

    #[tokio::test]
    async fn pages_have_neighbours_and_an_end() {
        let paged = fetch(Some(2), 25).await.0.unwrap();
        assert_eq!(paged.next.as_deref(), Some("http://h?page=3&page_size=10&search=a+b"));
        assert_eq!(paged.previous.as_deref(), Some("http://h?page_size=10&search=a+b"));
        let (paged, asked) = fetch(None, 25).await;
        assert_eq!((paged.unwrap().results, asked), (vec![20], vec![(10, 0), (10, 20)]));
        assert!(fetch(Some(4), 25).await.0.is_err());
        assert!(fetch(Some(1), 0).await.0.is_ok());
        assert!(fetch(Some(i64::MAX), 25).await.0.is_err());
    }

    #[tokio::test]
    async fn pages_end_at_the_deepest_row() {
        let (paged, asked) = fetch(None, 1_000_000).await;
        let paged = paged.unwrap();
        assert_eq!((paged.results, paged.next, asked), (vec![10_000], None, vec![(10, 0), (10, 10_000)]));
        assert!(fetch(Some(1_001), 1_000_000).await.0.unwrap().next.is_none());
        assert!(fetch(Some(1_002), 1_000_000).await.0.is_err());
    }
}
