//! The SQL of what most people look at: everything, or a category, newest first or searched. Making a plan takes longer
//! than running it, so these statements have one for everybody; [`crate::Marketplace::snapshot`] sees to that. What else a list may be
//! narrowed to is not in them, and the states are literal, for a plan that is made without knowing the values still must
//! know which index it may use.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::sql::{ads, searching};
use super::{AdRow, Count, Filter, Place, Ranked};
use crate::machine::AdState;

/// `$of` says which category, of which the number is the last of the arguments.
macro_rules! newest {
    ($of:literal, $filter:expr, $page:expr $(, $category:expr)?) => {
        ads!(
            "select",
            "from (
                 select id
                 from (
                     (select id, created_at from ads
                      where state in ('ACTIVE', 'SOLD', 'ORDERED')
                          and (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::bigint, 0)) "
                $of
                    " order by created_at desc, id desc limit $4::bigint + $5::bigint)
                     union all
                     (select id, created_at from ads
                      where publisher_number = $1 and state in ('PAUSED', 'ARCHIVED')
                          and (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::bigint, 0)) "
                $of
                    " order by created_at desc, id desc limit $4::bigint + $5::bigint)
                 ) as found
                 order by created_at desc, id desc limit $4 offset $5
             ) as page
             join ads on ads.id = page.id
             order by ads.created_at desc, ads.id desc",
            $filter.viewer.number,
            $page.after.map(|place: Place| place.created_at) as Option<DateTime<Utc>>,
            $page.after.map(|place| place.id) as Option<i64>,
            $page.limit,
            $page.skip
            $(, $category)?
        )
    };
}

macro_rules! count {
    ($known:literal, $of:literal, $filter:expr $(, $category:expr)?) => {
        sqlx::query_as!(
            Count,
            r#"select count(*)::int as "total!", "#
                + $known
                + r#" as "known!"
                 from (
                     select 1 from ads where state in ('ACTIVE', 'SOLD', 'ORDERED') "#
                + $of
                + r#" union all
                     select 1 from ads where publisher_number = $1 and state in ('PAUSED', 'ARCHIVED') "#
                + $of
                + r#" limit 10000
                 ) as found"#,
            $filter.viewer.number
            $(, $category)?
        )
    };
}

/// Which part of a list.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub(super) after: Option<Place>,
    pub(super) limit: i64,
    pub(super) skip: i64,
}

/// As `list_ads` in the order of `Newest`, for a filter that [`Filter::is_plain`].
pub(super) async fn list_newest(conn: &mut PgConnection, filter: &Filter, page: Page) -> kit::Result<Vec<AdRow>> {
    Ok(match filter.category_id {
        None => newest!("", filter, page).fetch_all(conn).await?,
        Some(category) => newest!("and category_id = $6", filter, page, category).fetch_all(conn).await?,
    })
}

/// As `count_ads`, for a filter that [`Filter::is_plain`].
pub(super) async fn count_plain(conn: &mut PgConnection, filter: &Filter) -> kit::Result<Count> {
    Ok(match filter.category_id {
        None => count!("true", "", filter).fetch_one(conn).await?,
        Some(category) => {
            count!("exists (select from categories where id = $2)", "and category_id = $2", filter, category)
                .fetch_one(conn)
                .await?
        }
    })
}

/// See [`super::sql::rank_ads`], where the numbers are explained.
macro_rules! ranked {
    ($known:literal, $of:literal, $filter:expr, $words:expr $(, $category:expr)?) => {
        searching!(
            Ranked,
            "unnest($2::text[])",
            (
                ", newest as not materialized (
                     (select id, created_at, search from ads
                      where state in ('ACTIVE', 'SOLD', 'ORDERED') "
                $of
                    " order by created_at desc, id desc limit 20000)
                     union all
                     (select id, created_at, search from ads
                      where publisher_number = $1 and state in ('PAUSED', 'ARCHIVED') "
                $of
                    " order by created_at desc, id desc limit 20000)
                 ), near as materialized (
                     select id, created_at, search
                     from (select * from newest order by created_at desc, id desc limit 20000) as newest
                     where search @@ (select wider from meaning)
                         and (
                             select count(*) >= 20
                             from (select * from newest order by created_at desc, id desc limit 1000) as newest
                             where search @@ (select wider from meaning)
                         )
                     order by created_at desc, id desc limit 200
                 ), far as (
                     select id, created_at, search
                     from (
                         select id, created_at, search from ads
                         where state in ('ACTIVE', 'SOLD', 'ORDERED') and search @@ (select wider from meaning) "
                $of
                         " union all
                         select id, created_at, search from ads
                         where publisher_number = $1 and state in ('PAUSED', 'ARCHIVED')
                             and search @@ (select wider from meaning) "
                $of
                         " offset 0
                     ) as found
                     where (select count(*) < 200 from near)
                     order by created_at desc, id desc limit 200
                 )
                 select "
                $known
                     r#" as "known!", array(
                     select id
                     from (
                         select * from near where (select count(*) = 200 from near)
                         union all
                         select * from far
                     ) as newest
                     order by search @@ precise desc, ts_rank(search, wider) desc, id desc
                 ) as "ids!"
                 from meaning"#
            ),
            $filter.viewer.number,
            $words
            $(, $category)?
        )
    };
}

/// As `rank_ads`, for a filter that [`Filter::is_plain`].
pub(super) async fn rank_plain(conn: &mut PgConnection, filter: &Filter, words: &[String]) -> kit::Result<Ranked> {
    Ok(match filter.category_id {
        None => ranked!("true", "", filter, words).fetch_one(conn).await?,
        Some(category) => {
            ranked!("exists (select from categories where id = $3)", "and category_id = $3", filter, words, category)
                .fetch_one(conn)
                .await?
        }
    })
}
