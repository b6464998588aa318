//! The SQL of ads, one statement each. What a list is narrowed to is the function `matching_ads` of
//! migrations/0003_search.sql, and what is looked for among the newest only, `newest_ads` of 0006_filters.sql.

use chrono::{DateTime, Utc};
use kit::db::OnConstraint;
use kit::identity::Caller;
use proto::common::v1::Point;
use proto::marketplace::v1::{AdOrder, CreateAdRequest, UpdateAdRequest};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::plain::Page;
use super::{AdRow, Count, Filter, Found, Ranked, condition_name, no_such_category};
use crate::machine::AdState;
use crate::pictures::Pictures;

/// `$before`, the columns of [`AdRow`], `$after`: every statement that answers ads answers the same row. (The marks say
/// that nothing is null, which sqlx does not see through a function.)
macro_rules! ads {
    ($before:literal, $($after:literal)+ $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            AdRow,
            $before
                + r#" ads.id as "id!", ads.publisher_id as "publisher_id!", ads.publisher_number as "publisher_number!",
                     ads.title as "title!", ads.description as "description!", ads.price as "price!",
                     ads.category_id as "category_id!", ads.condition as "condition!", ads.location_name,
                     ads.latitude, ads.longitude, ads.main_image_id,
                     ads.secondary_image_ids as "secondary_image_ids!", ads.state as "state!: AdState",
                     ads.created_at as "created_at!", ads.updated_at as "updated_at!" "#
                $(+ $after)+
            $(, $argument)*
        )
    };
}
pub(super) use ads;

pub(super) async fn fetch_ad(db: impl PgExecutor<'_>, id: i64) -> kit::Result<Option<AdRow>> {
    Ok(ads!("select", "from ads where id = $1", id).fetch_optional(db).await?)
}

/// In the order of the ids.
pub(super) async fn fetch_ads(conn: &mut PgConnection, ids: &[i64]) -> kit::Result<Vec<AdRow>> {
    let rows = ads!("select", "from ads where id = any($1) order by array_position($1, id)", ids);
    Ok(rows.fetch_all(conn).await?)
}

pub(crate) async fn lock_ad(conn: &mut PgConnection, id: i64) -> kit::Result<Option<AdRow>> {
    Ok(ads!("select", "from ads where id = $1 for update", id).fetch_optional(conn).await?)
}

/// All at once and in order, so that two who bought from each other and leave at once wait for each other and never
/// both.
pub(crate) async fn lock_ads(conn: &mut PgConnection, ids: &[i64]) -> kit::Result<Vec<AdRow>> {
    Ok(ads!("select", "from ads where id = any($1) order by id for update", ids).fetch_all(conn).await?)
}

/// Ids of some of the ads that somebody offers, or buys or sells by an order which is not at an end.
pub(crate) async fn list_ads_of(conn: &mut PgConnection, number: i64, most: i64) -> kit::Result<Vec<i64>> {
    let ids = sqlx::query_scalar!(
        r#"select ad_id as "ad_id!"
           from (
               (select id as ad_id from ads where publisher_number = $1 order by created_at desc, id desc limit $2)
               union
               (select ad_id from orders where buyer_number = $1 and state in ('AWAITING_PAYMENT', 'PLACED')
                order by ad_id limit $2)
               union
               (select ad_id from orders where seller_number = $1 and state in ('AWAITING_PAYMENT', 'PLACED')
                order by ad_id limit $2)
           ) as concerned
           order by ad_id limit $2"#,
        number,
        most
    );
    Ok(ids.fetch_all(conn).await?)
}

/// Some of the ads that show a file.
pub(crate) async fn lock_ads_showing(conn: &mut PgConnection, media_id: Uuid, most: i64) -> kit::Result<Vec<AdRow>> {
    let rows = ads!(
        "select",
        "from ads
         where main_image_id = $1 or (secondary_image_ids @> array[$1] and secondary_image_ids <> '{}')
         order by id limit $2 for update",
        media_id,
        most
    );
    Ok(rows.fetch_all(conn).await?)
}

/// A page of what matches, after a place: of what everybody sees, and of what is put away what the viewer sees, each in
/// order from its index, merged. The rows are fetched last, so that leaving out many first costs only index entries.
pub(super) async fn list_ads(
    conn: &mut PgConnection,
    filter: &Filter,
    order: AdOrder,
    Page { after, limit, skip }: Page,
) -> kit::Result<Vec<AdRow>> {
    let (time, price, id) =
        (after.map(|place| place.created_at), after.map(|place| place.price), after.map(|place| place.id));
    // The order and its key are literal for the index's sake; without a place the key stands before all others.
    macro_rules! page {
        ($column:literal, $direction:literal, $behind:literal, $key:expr) => {
            ads!(
                "select",
                "from (
                 select id
                 from (
                     (select id, " $column " from matching_ads($1, $5, $6, $7, $8, $9, $10, $11, $12::text::tsquery)
                      where " $behind "
                      order by " $column $direction ", id" $direction " limit $15::bigint + $16::bigint)
                     union all
                     (select id, " $column " from matching_ads($2, $5, $6, $7, $8, $9, $10, $11, $12::text::tsquery)
                      where ($4 or publisher_number = $3)
                          and " $behind "
                      order by " $column $direction ", id" $direction " limit $15::bigint + $16::bigint)
                 ) as found
                 order by " $column $direction ", id" $direction " limit $15 offset $16
             ) as page
             join ads on ads.id = page.id
             order by ads." $column $direction ", ads.id" $direction,
                &filter.shown,
                &filter.hidden,
                filter.viewer.number,
                filter.viewer.staff,
                filter.category_id,
                filter.condition,
                filter.publisher_number,
                filter.min_price,
                filter.max_price,
                filter.created_after,
                filter.created_before,
                filter.query,
                $key,
                id,
                limit,
                skip
            )
            .fetch_all(conn)
            .await?
        };
    }
    Ok(match order {
        AdOrder::Oldest => page!(
            "created_at",
            "",
            "(created_at, id) > (coalesce($13::timestamptz, '-infinity'), coalesce($14::bigint, 0))",
            time
        ),
        AdOrder::Cheapest => {
            page!("price", "", "(price, id) > (coalesce($13::bigint, -1), coalesce($14::bigint, 0))", price)
        }
        AdOrder::Dearest => page!(
            "price",
            " desc",
            "(price, id) < (coalesce($13::bigint, 1000000000000), coalesce($14::bigint, 0))",
            price
        ),
        AdOrder::Unspecified | AdOrder::Newest | AdOrder::Best => page!(
            "created_at",
            " desc",
            "(created_at, id) < (coalesce($13::timestamptz, 'infinity'), coalesce($14::bigint, 0))",
            time
        ),
    })
}

/// How many match, at most `MOST_COUNTED`, and whether the category exists.
pub(super) async fn count_ads(conn: &mut PgConnection, filter: &Filter) -> kit::Result<Count> {
    let count = sqlx::query_as!(
        Count,
        r#"select count(*)::int as "total!", $5::bigint is null or exists (select from categories where id = $5) as "known!"
           from (
               select 1 from matching_ads($1, $5, $6, $7, $8, $9, $10, $11, null)
               union all
               select 1 from matching_ads($2, $5, $6, $7, $8, $9, $10, $11, null)
               where $4 or publisher_number = $3
               limit 10000
           ) as found"#,
        &filter.shown,
        &filter.hidden,
        filter.viewer.number,
        filter.viewer.staff,
        filter.category_id,
        filter.condition,
        filter.publisher_number,
        filter.min_price,
        filter.max_price,
        filter.created_after,
        filter.created_before
    );
    Ok(count.fetch_one(conn).await?)
}

/// A statement that searches: what the typed words mean is its table `meaning`, one row of two text search queries. Both
/// are null when there is no word in them. `precise` is every word as it was typed, in any form or as a beginning;
/// `wider` is the same, and instead of words that nobody writes those that look like them.
///
/// The last word, which may still be growing, and words that no ad has mean all that begin so, others their forms. A word
/// that no word of any ad begins with also means up to eight that contain it, or that differ from it by a letter or two
/// besides a plural's. Words that every text has, and single letters, count only when nothing else was typed: they are
/// on their way to becoming something, and not misspelled.
///
/// Whoever publishes ads decides which words there are, so of each kind only so many are compared: of those that share
/// letters the first in the table, as their index has no order, and of those that begin alike the next in the alphabet.
/// For a word that is spelled well, or too long to be looked for, none is.
///
/// `$typed` names the argument with the words.
macro_rules! searching {
    ($answer:ident, $typed:literal, ($($rest:literal)+), $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            $answer,
            r#"with typed as (
                   select n, term, to_tsvector('spanish', term) = '' or term ~ '^[a-z]$' as weak
                   from "#
                + $typed
                + r#" with ordinality as typed (word, n), spoken(word) as term
                   where meant(term) is not null
               ), counted as (
                   select n, term, weak, max(n) over () as last from typed
                   where not weak or (n = (select max(n) from typed) and (select bool_and(weak) from typed))
                   order by n limit 10
               ), understood as (
                   select n, term, weak,
                       case when n < last and exists (select from words where word = term)
                           then phraseto_tsquery('spanish', term) else meant(term) end as query
                   from counted
               ), meaning as materialized (
                   select string_agg('(' || query::text || ')', ' & ' order by n)::tsquery as precise,
                       string_agg('(' || coalesce(query || nearby, query)::text || ')', ' & ' order by n)::tsquery as wider
                   from understood
                   left join lateral (
                       select string_agg(quote_literal(word), ' | ')::tsquery as nearby
                       from (
                           select word
                           from (
                               select word, word like '%' || term || '%' as within,
                                   levenshtein_less_equal(rtrim(word, 's'), rtrim(term, 's'), 2) as distance
                               from (
                                   (select word from words where word like '%' || term || '%' limit 2000)
                                   union
                                   (select word from words where word % term limit 2000)
                                   union
                                   select beside.word
                                   from unnest(array[length(term) - 1, length(term), length(term) + 1]) as size
                                   cross join lateral (
                                       (select word from words
                                        where left(word, 1) = left(term, 1) and length(word) = size and word >= term
                                        order by word limit 500)
                                       union all
                                       (select word from words
                                        where left(word, 1) = left(term, 1) and length(word) = size and word < term
                                        order by word desc limit 500)
                                   ) as beside
                               ) as candidates
                           ) as measured
                           where within or distance <= case when length(term) < 6 then 1 else 2 end
                           order by within desc, distance, word limit 8
                       ) as nearest
                       -- Not where it is joined: there it would be asked when all words have been compared.
                       where term ~ '^[a-z0-9]{3,40}$' and not weak
                           and not exists (select from words where word >= term and word < term || '~')
                   ) as alike on true
               )"# $(+ $rest)+,
            $($argument),+
        )
    };
}
pub(super) use searching;

/// With all that a list may be narrowed to.
macro_rules! searching_filtered {
    ($answer:ident, $filter:ident, $words:ident, $rest:literal) => {
        searching!(
            $answer,
            "unnest($12::text[])",
            ($rest),
            &$filter.shown,
            &$filter.hidden,
            $filter.viewer.number,
            $filter.viewer.staff,
            $filter.category_id,
            $filter.condition,
            $filter.publisher_number,
            $filter.min_price,
            $filter.max_price,
            $filter.created_after,
            $filter.created_before,
            $words
        )
    };
}

/// How many are found, counting to 1000 because it takes the rows themselves, and by which text search query.
pub(super) async fn count_found(conn: &mut PgConnection, filter: &Filter, words: &[String]) -> kit::Result<Found> {
    let found = searching_filtered!(
        Found,
        filter,
        words,
        r#"select wider::text as query, $5::bigint is null or exists (select from categories where id = $5) as "known!", (
               select count(*)::int
               from (
                   select 1 from matching_ads($1, $5, $6, $7, $8, $9, $10, $11, null) where search @@ wider
                   union all
                   select 1 from matching_ads($2, $5, $6, $7, $8, $9, $10, $11, null)
                   where search @@ wider and ($4 or publisher_number = $3)
                   limit 1000
               ) as found
           ) as "total!"
           from meaning"#
    );
    Ok(found.fetch_one(conn).await?)
}

/// The newest 200 that match, best first: those that match precisely, then by where and how often the words occur.
///
/// Few ads are found by the index of texts (`far`), which visits every one that matches. Where many match the newest are
/// read until there are 200 (`near`); how many match the newest thousand tells, all words together, which no statistics
/// of single words could. 20 among them promise 200 among ten thousand; twice as many are read, and what was promised in
/// vain is made good by the index. (`offset 0` keeps PostgreSQL from doing what it holds for better.)
pub(super) async fn rank_ads(conn: &mut PgConnection, filter: &Filter, words: &[String]) -> kit::Result<Ranked> {
    let ranked = searching_filtered!(
        Ranked,
        filter,
        words,
        r#", near as materialized (
               select id, created_at, search
               from newest_ads($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 20000)
               where search @@ (select wider from meaning)
                   and (
                       select count(*) >= 20 from newest_ads($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1000)
                       where search @@ (select wider from meaning)
                   )
               order by created_at desc, id desc limit 200
           ), far as (
               select id, created_at, search
               from (
                   select id, created_at, search from matching_ads($1, $5, $6, $7, $8, $9, $10, $11, null)
                   where search @@ (select wider from meaning)
                   union all
                   select id, created_at, search from matching_ads($2, $5, $6, $7, $8, $9, $10, $11, null)
                   where search @@ (select wider from meaning) and ($4 or publisher_number = $3)
                   offset 0
               ) as found
               where (select count(*) < 200 from near)
               order by created_at desc, id desc limit 200
           )
           select $5::bigint is null or exists (select from categories where id = $5) as "known!", array(
               select id
               from (
                   select * from near where (select count(*) = 200 from near)
                   union all
                   select * from far
               ) as newest
               order by search @@ precise desc, ts_rank(search, wider) desc, id desc
           ) as "ids!"
           from meaning"#
    );
    Ok(ranked.fetch_one(conn).await?)
}

/// Nearest first, within a chord of the unit sphere. The nearest 200 are found before the chord counts, because the
/// index brings them in order and knows nothing of chords, nor of ids: of those equally far as the last one it brings
/// all, but no more than 2000 in all, for anybody may heap up ads at one place.
pub(super) async fn list_nearby(db: impl PgExecutor<'_>, center: Point, chord: f64) -> kit::Result<Vec<AdRow>> {
    let rows = ads!(
        "select",
        "from (
             select id, distance
             from (
                 select id, distance
                 from (
                     select id, place <-> on_sphere($1, $2) as distance
                     from ads where state = 'ACTIVE' and place is not null
                     order by distance fetch first 200 rows with ties
                 ) as nearest
                 limit 2000
             ) as nearest
             where distance <= $3
             order by distance, id limit 200
         ) as nearby
         join ads on ads.id = nearby.id
         order by nearby.distance, ads.id",
        center.latitude,
        center.longitude,
        chord
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn list_own(db: impl PgExecutor<'_>, number: i64) -> kit::Result<Vec<AdRow>> {
    let rows =
        ads!("select", "from ads where publisher_number = $1 order by created_at desc, id desc limit 200", number);
    Ok(rows.fetch_all(db).await?)
}

/// From each person that `number` follows no more than could be shown, by an index alone; then the newest of those.
pub(super) async fn list_followed(db: impl PgExecutor<'_>, number: i64) -> kit::Result<Vec<AdRow>> {
    let rows = ads!(
        "select",
        "from (
             select offered.id
             from (
                 select following_number from follows where follower_number = $1 order by id desc limit 1000
             ) as followed
             cross join lateral (
                 select id, created_at from ads
                 where publisher_number = followed.following_number and state = 'ACTIVE'
                 order by created_at desc, id desc limit 200
             ) as offered
             order by offered.created_at desc, offered.id desc limit 200
         ) as newest
         join ads on ads.id = newest.id
         order by ads.created_at desc, ads.id desc",
        number
    );
    Ok(rows.fetch_all(db).await?)
}

pub(super) async fn insert_ad(
    conn: &mut PgConnection,
    publisher: Caller,
    new: &CreateAdRequest,
    pictures: &Pictures,
    now: DateTime<Utc>,
) -> kit::Result<AdRow> {
    let row = ads!(
        "insert into ads (publisher_id, publisher_number, title, description, price, category_id, condition,
             location_name, latitude, longitude, main_image_id, secondary_image_ids, state, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, nullif($8, ''), $9, $10, $11, $12, 'ACTIVE', $13, $13) returning",
        "",
        publisher.id,
        publisher.number,
        new.title,
        new.description,
        new.price_hundredths,
        new.category_id,
        condition_name(new.condition()),
        new.location_name,
        new.location.map(|place| place.latitude),
        new.location.map(|place| place.longitude),
        pictures.main,
        pictures.secondary.as_deref().unwrap_or_default(),
        now
    );
    row.fetch_one(conn).await.on_constraint("ads_category_id_fkey", no_such_category)
}

/// Absent fields stay; the empty text removes what can be absent.
pub(super) async fn update_ad(
    conn: &mut PgConnection,
    change: &UpdateAdRequest,
    pictures: &Pictures,
    state: AdState,
    now: DateTime<Utc>,
) -> kit::Result<AdRow> {
    let row = ads!(
        "update ads
         set title = coalesce($2, title), description = coalesce($3, description), price = coalesce($4, price),
             category_id = coalesce($5, category_id), condition = coalesce($6, condition),
             location_name = nullif(coalesce($7, location_name), ''),
             latitude = case when $8 then null else coalesce($9, latitude) end,
             longitude = case when $8 then null else coalesce($10, longitude) end,
             main_image_id = case when $11 then null else coalesce($12, main_image_id) end,
             secondary_image_ids = coalesce($13, secondary_image_ids), state = $14, updated_at = $15
         where id = $1 returning",
        "",
        change.id,
        change.title.as_deref(),
        change.description.as_deref(),
        change.price_hundredths,
        change.category_id,
        condition_name(change.condition()),
        change.location_name.as_deref(),
        change.clear_location,
        change.location.map(|place| place.latitude),
        change.location.map(|place| place.longitude),
        change.clear_main_image,
        pictures.main,
        pictures.secondary.as_deref(),
        state as AdState,
        now
    );
    row.fetch_one(conn).await.on_constraint("ads_category_id_fkey", no_such_category)
}

pub(crate) async fn update_ad_state(
    conn: &mut PgConnection,
    id: i64,
    state: AdState,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    let updated = sqlx::query!("update ads set state = $2, updated_at = $3 where id = $1", id, state as AdState, now);
    updated.execute(conn).await?;
    Ok(())
}

/// Shows a file no more.
pub(crate) async fn take_image(
    conn: &mut PgConnection,
    id: i64,
    media_id: Uuid,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "update ads
         set main_image_id = nullif(main_image_id, $2), secondary_image_ids = array_remove(secondary_image_ids, $2),
             updated_at = $3
         where id = $1",
        id,
        media_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether somebody has ordered it and waits.
pub(super) async fn has_open_order(conn: &mut PgConnection, id: i64) -> kit::Result<bool> {
    let open = sqlx::query_scalar!(
        r#"select exists (
               select from orders where ad_id = $1 and state in ('AWAITING_PAYMENT', 'PLACED')
           ) as "open!""#,
        id
    );
    Ok(open.fetch_one(conn).await?)
}

pub(crate) async fn delete_ads(conn: &mut PgConnection, ids: &[i64]) -> kit::Result<()> {
    sqlx::query!("delete from ads where id = any($1)", ids).execute(conn).await?;
    Ok(())
}
