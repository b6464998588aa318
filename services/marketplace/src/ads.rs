//! Ads: one thing that somebody sells. Surprising is who sees what: an ad that is paused or archived does not exist for
//! others than its publisher and administrators.

mod plain;
mod sql;

use chrono::{DateTime, Datelike, Utc};
use kit::db::{begin, commit};
use kit::error::{Error, invalid, invalid_because, not_found, refused};
use kit::identity::caller;
use kit::page;
use kit::search::words;
use kit::wire::timestamp;
use prost_types::Timestamp;
use proto::common::v1::Point;
use proto::marketplace::v1::ad_service_server::AdService;
use proto::marketplace::v1::{
    self, Ad, AdOrder, Condition, CreateAdRequest, DeleteAdRequest, DeleteAdResponse, GetAdRequest, ListAdsRequest,
    ListAdsResponse, ListFollowedAdsRequest, ListFollowedAdsResponse, ListNearbyAdsRequest, ListNearbyAdsResponse,
    ListOwnAdsRequest, ListOwnAdsResponse, NearbyAd, UpdateAdRequest,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::events::{publish_created, publish_deleted, publish_sold, publish_updated};
use crate::gone::must_be_here;
use crate::machine::{AdCommand, AdState};
use crate::{Marketplace, Plans, Viewer};
use plain::{Page, count_plain, list_newest, rank_plain};
use sql::*;

pub(crate) use sql::{delete_ads, list_ads_of, lock_ad, lock_ads, lock_ads_showing, take_image, update_ad_state};

/// Where counting ends.
const MOST_COUNTED: i32 = 10_000;
/// Kilometres; the radius that Agrovet's frontend reckons with.
const EARTH: f64 = 6371.0;

#[tonic::async_trait]
impl AdService for Marketplace {
    async fn get_ad(&self, request: Request<GetAdRequest>) -> Result<Response<Ad>, Status> {
        let viewer = Viewer::of(&request);
        let ad = fetch_ad(&self.db, request.get_ref().id).await?;
        Ok(Response::new(ad.filter(|ad| ad.visible_to(viewer)).ok_or_else(no_such_ad)?.into()))
    }

    async fn list_ads(&self, request: Request<ListAdsRequest>) -> Result<Response<ListAdsResponse>, Status> {
        let viewer = Viewer::of(&request);
        let request = request.into_inner();
        let words = words(&request.search);
        let order = match request.order() {
            AdOrder::Unspecified | AdOrder::Best if words.is_empty() => AdOrder::Newest,
            AdOrder::Unspecified => AdOrder::Best,
            order => order,
        };
        let filter = Filter::of(&request, viewer)?;
        let scope = format!("ListAds {order:?} {words:?} {filter:?}");

        let plain = filter.is_plain() && order == if words.is_empty() { AdOrder::Newest } else { AdOrder::Best };
        let mut tx = self.snapshot(if plain { Plans::Shared } else { Plans::Own }).await?;
        let page = match order {
            AdOrder::Best => self.page_of_best(&mut tx, &filter, &words, &scope, &request).await?,
            order => self.page_in_order(&mut tx, filter, &words, order, &scope, &request).await?,
        };
        commit(tx).await?;
        Ok(Response::new(page))
    }

    async fn list_nearby_ads(
        &self,
        request: Request<ListNearbyAdsRequest>,
    ) -> Result<Response<ListNearbyAdsResponse>, Status> {
        let ListNearbyAdsRequest { center, radius_km } = request.into_inner();
        let center = center.ok_or_else(|| invalid("center", "is needed"))?;
        if radius_km <= 0.0 {
            return Err(invalid("radius_km", "must be more than 0").into());
        }
        let ads = list_nearby(&self.db, center, chord(radius_km)).await?;
        let ads = ads.into_iter().map(|ad| NearbyAd { distance_km: ad.distance_from(center), ad: Some(ad.into()) });
        Ok(Response::new(ListNearbyAdsResponse { ads: ads.collect() }))
    }

    async fn list_own_ads(&self, request: Request<ListOwnAdsRequest>) -> Result<Response<ListOwnAdsResponse>, Status> {
        let ads = list_own(&self.db, caller(&request)?.number).await?;
        Ok(Response::new(ListOwnAdsResponse { ads: ads.into_iter().map(Into::into).collect() }))
    }

    async fn list_followed_ads(
        &self,
        request: Request<ListFollowedAdsRequest>,
    ) -> Result<Response<ListFollowedAdsResponse>, Status> {
        let ads = list_followed(&self.db, caller(&request)?.number).await?;
        Ok(Response::new(ListFollowedAdsResponse { ads: ads.into_iter().map(Into::into).collect() }))
    }

    async fn create_ad(&self, request: Request<CreateAdRequest>) -> Result<Response<Ad>, Status> {
        let caller = caller(&request)?;
        self.must_sell(caller).await?;
        let mut new = request.into_inner();
        let main = Some(std::mem::take(&mut new.main_image_id)).filter(|id| !id.is_empty());
        let secondary = std::mem::take(&mut new.secondary_image_ids);
        let pictures = self.claim(caller.id, main, Some(secondary)).await?;

        let mut tx = begin(&self.db).await?;
        must_be_here(&mut tx, &[caller.id]).await?;
        let ad = insert_ad(&mut tx, caller, &new, &pictures, self.clock.now()).await?;
        publish_created(&mut tx, &ad).await?;
        commit(tx).await?;
        Ok(Response::new(ad.into()))
    }

    async fn update_ad(&self, request: Request<UpdateAdRequest>) -> Result<Response<Ad>, Status> {
        let caller = caller(&request)?;
        let mut change = request.into_inner();
        let ad = fetch_ad(&self.db, change.id).await?.filter(|ad| ad.visible_to(Viewer::from(caller)));
        let publisher = ad.ok_or_else(no_such_ad)?.publisher_id;
        caller.may_act_for(publisher)?;
        let secondary = change.secondary_images.take().map(|images| images.ids);
        let pictures = self.claim(publisher, change.main_image_id.take(), secondary).await?;
        let now = self.clock.now();

        let mut tx = begin(&self.db).await?;
        let before = lock_ad(&mut tx, change.id).await?.ok_or_else(no_such_ad)?;
        let state = match command(change.state()) {
            Some(command) => before.state.after(command).map_err(Error::from)?,
            None => before.state,
        };
        let after = update_ad(&mut tx, &change, &pictures, state, now).await?;
        publish_updated(&mut tx, &after).await?;
        if after.state == AdState::Sold && before.state != AdState::Sold {
            publish_sold(&mut tx, &after, None).await?;
        }
        commit(tx).await?;
        Ok(Response::new(after.into()))
    }

    async fn delete_ad(&self, request: Request<DeleteAdRequest>) -> Result<Response<DeleteAdResponse>, Status> {
        let caller = caller(&request)?;
        let mut tx = begin(&self.db).await?;
        let ad = lock_ad(&mut tx, request.get_ref().id).await?.filter(|ad| ad.visible_to(Viewer::from(caller)));
        let ad = ad.ok_or_else(no_such_ad)?;
        caller.may_act_for(ad.publisher_id)?;
        if has_open_order(&mut tx, ad.id).await? {
            return Err(refused("AD_ORDERED", "somebody has ordered it and waits").into());
        }
        delete_ads(&mut tx, &[ad.id]).await?;
        publish_deleted(&mut tx, &[ad]).await?;
        commit(tx).await?;
        Ok(Response::new(DeleteAdResponse {}))
    }
}

impl Marketplace {
    /// How many match, which counting them tells only once in a while where there are more than are counted.
    async fn count(&self, tx: &mut PgConnection, filter: &Filter) -> kit::Result<i32> {
        // What everybody sees is the least. Staff see more, of which nothing follows for others.
        if self.endless.contains_key(filter) || self.endless.contains_key(&filter.public()) {
            return Ok(MOST_COUNTED);
        }
        let Count { total, known } = match filter.is_plain() {
            true => count_plain(tx, filter).await?,
            false => count_ads(tx, filter).await?,
        };
        must_know(known)?;
        if total == MOST_COUNTED {
            self.endless.insert(filter.clone(), ());
        }
        Ok(total)
    }

    /// A page by key: the place where the page before ended.
    async fn page_in_order(
        &self,
        tx: &mut PgConnection,
        mut filter: Filter,
        words: &[String],
        order: AdOrder,
        scope: &str,
        request: &ListAdsRequest,
    ) -> kit::Result<ListAdsResponse> {
        let after = self.pager.open::<Place>(scope, &request.page_token)?;
        let total_size = if words.is_empty() {
            self.count(tx, &filter).await?
        } else {
            let Found { query, total, known } = count_found(tx, &filter, words).await?;
            must_know(known)?;
            filter.query = query;
            total
        };
        if total_size == 0 {
            return Ok(ListAdsResponse::default());
        }
        let size = page::size(request.page_size, 20, 100);
        // One more than asked tells whether there is a next page.
        let page = Page { after, limit: size + 1, skip: request.skip.into() };
        let mut ads = match order {
            AdOrder::Newest if words.is_empty() && filter.is_plain() => list_newest(tx, &filter, page).await?,
            order => list_ads(tx, &filter, order, page).await?,
        };

        let next_page_token = self.pager.cut(scope, &mut ads, size, Place::of)?;
        Ok(ListAdsResponse { ads: ads.into_iter().map(Into::into).collect(), next_page_token, total_size })
    }

    /// A page of the few hundred ads that are ranked; a token is a place among them.
    async fn page_of_best(
        &self,
        tx: &mut PgConnection,
        filter: &Filter,
        words: &[String],
        scope: &str,
        request: &ListAdsRequest,
    ) -> kit::Result<ListAdsResponse> {
        let start = self.pager.open::<usize>(scope, &request.page_token)?.unwrap_or(0) + request.skip as usize;
        let end = start + page::size(request.page_size, 20, 100) as usize;
        let Ranked { ids, known } = match filter.is_plain() {
            true => rank_plain(tx, filter, words).await?,
            false => rank_ads(tx, filter, words).await?,
        };
        must_know(known)?;
        let ads = match ids.get(start..end.min(ids.len())) {
            Some(shown) if !shown.is_empty() => fetch_ads(tx, shown).await?,
            _ => Vec::new(),
        };
        let next_page_token = if end < ids.len() { self.pager.seal(scope, &end)? } else { String::new() };
        let total_size = ids.len() as i32;
        Ok(ListAdsResponse { ads: ads.into_iter().map(Into::into).collect(), next_page_token, total_size })
    }
}

/// A category that does not exist is a mistake rather than a category without ads.
fn must_know(known: bool) -> kit::Result<()> {
    if known { Ok(()) } else { Err(no_such_category()) }
}

/// What the publisher wants of an ad that shall be in this state.
fn command(state: v1::AdState) -> Option<AdCommand> {
    match state {
        v1::AdState::Unspecified => None,
        v1::AdState::Active => Some(AdCommand::Activate),
        v1::AdState::Paused => Some(AdCommand::Pause),
        v1::AdState::Sold => Some(AdCommand::Sell),
        v1::AdState::Archived => Some(AdCommand::Archive),
    }
}

/// A row of `ads`, all but what is searched.
#[derive(Clone, Debug)]
pub(crate) struct AdRow {
    pub(crate) id: i64,
    pub(crate) publisher_id: Uuid,
    pub(crate) publisher_number: i64,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) price: i64,
    pub(crate) category_id: i64,
    pub(crate) condition: String,
    pub(crate) location_name: Option<String>,
    pub(crate) latitude: Option<f64>,
    pub(crate) longitude: Option<f64>,
    pub(crate) main_image_id: Option<Uuid>,
    pub(crate) secondary_image_ids: Vec<Uuid>,
    pub(crate) state: AdState,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl AdRow {
    fn visible_to(&self, viewer: Viewer) -> bool {
        match self.state {
            AdState::Active | AdState::Sold | AdState::Ordered => true,
            AdState::Paused | AdState::Archived => viewer.staff || viewer.number == Some(self.publisher_number),
        }
    }

    /// Kilometres along the great circle, by the haversine formula, which is exact for near places too.
    fn distance_from(&self, center: Point) -> f64 {
        let latitude = self.latitude.unwrap_or_default().to_radians();
        let center_latitude = center.latitude.to_radians();
        let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
        let east = half(center.longitude.to_radians(), self.longitude.unwrap_or_default().to_radians());
        let square = half(center_latitude, latitude) + center_latitude.cos() * latitude.cos() * east;
        2.0 * EARTH * square.sqrt().min(1.0).asin()
    }
}

/// The straight way between two points of the unit sphere that are this far apart on the ground. A hair longer, so that
/// rounding leaves out nothing that is exactly there.
fn chord(kilometres: f64) -> f64 {
    2.0 * (kilometres / EARTH / 2.0).sin() * (1.0 + 1e-12) + 1e-15
}

impl From<AdRow> for Ad {
    fn from(row: AdRow) -> Self {
        Self {
            id: row.id,
            publisher_id: row.publisher_id.to_string(),
            publisher_number: row.publisher_number,
            title: row.title,
            description: row.description,
            price_hundredths: row.price,
            category_id: row.category_id,
            condition: match row.condition.as_str() {
                "NEW" => Condition::New,
                "USED" => Condition::Used,
                _ => Condition::SemiNew,
            }
            .into(),
            location_name: row.location_name,
            location: row.latitude.zip(row.longitude).map(|(latitude, longitude)| Point { latitude, longitude }),
            main_image_id: row.main_image_id.map(|id| id.to_string()),
            secondary_image_ids: row.secondary_image_ids.iter().map(Uuid::to_string).collect(),
            state: match row.state {
                AdState::Active => v1::AdState::Active,
                AdState::Paused => v1::AdState::Paused,
                AdState::Sold | AdState::Ordered => v1::AdState::Sold,
                AdState::Archived => v1::AdState::Archived,
            }
            .into(),
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
        }
    }
}

/// As the column `condition` has it.
fn condition_name(condition: Condition) -> Option<&'static str> {
    match condition {
        Condition::Unspecified => None,
        Condition::New => Some("NEW"),
        Condition::Used => Some("USED"),
        Condition::SemiNew => Some("SEMI_NEW"),
    }
}

/// States in which everybody sees an ad, and how they are asked for.
const SHOWN: &[(v1::AdState, &str)] =
    &[(v1::AdState::Active, "ACTIVE"), (v1::AdState::Sold, "SOLD"), (v1::AdState::Sold, "ORDERED")];
/// States in which only its publisher and staff do.
const HIDDEN: &[(v1::AdState, &str)] = &[(v1::AdState::Paused, "PAUSED"), (v1::AdState::Archived, "ARCHIVED")];

/// What a list is narrowed to. Its debug text is part of the page token's scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    viewer: Viewer,
    /// Those of [`SHOWN`].
    shown: Vec<String>,
    /// Those of [`HIDDEN`].
    hidden: Vec<String>,
    category_id: Option<i64>,
    condition: Option<&'static str>,
    publisher_number: Option<i64>,
    min_price: Option<i64>,
    max_price: Option<i64>,
    created_after: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
    /// The text search query of the words that are searched, once it is known.
    query: Option<String>,
}

impl Filter {
    /// The same for somebody who sees no more than everybody does.
    fn public(&self) -> Self {
        Self { viewer: Viewer { number: None, staff: false }, ..self.clone() }
    }

    /// Whether it is one that [`plain`] knows: everything that is shown to somebody, or a category of it.
    fn is_plain(&self) -> bool {
        let Self { viewer, shown, hidden, category_id: _, condition, publisher_number, min_price, max_price, .. } =
            self;
        let every_state = shown.len() == SHOWN.len() && hidden.len() == HIDDEN.len();
        let prices = min_price.is_some() || max_price.is_some();
        let times = self.created_after.is_some() || self.created_before.is_some();
        !viewer.staff && every_state && condition.is_none() && publisher_number.is_none() && !prices && !times
    }

    fn of(request: &ListAdsRequest, viewer: Viewer) -> kit::Result<Self> {
        let asked: Vec<_> = request.states().collect();
        let names = |states: &[(v1::AdState, &str)]| {
            let states = states.iter().filter(|(state, _)| asked.is_empty() || asked.contains(state));
            states.map(|(_, name)| (*name).to_owned()).collect()
        };
        Ok(Self {
            viewer,
            shown: names(SHOWN),
            hidden: names(HIDDEN),
            category_id: request.category_id,
            condition: condition_name(request.condition()),
            publisher_number: request.publisher_number,
            min_price: request.min_price_hundredths,
            max_price: request.max_price_hundredths,
            created_after: moment("created_after", request.created_after)?,
            created_before: moment("created_before", request.created_before)?,
            query: None,
        })
    }
}

/// In the years that a timestamp may be of; PostgreSQL does not know all that can be written.
fn moment(field: &'static str, at: Option<Timestamp>) -> kit::Result<Option<DateTime<Utc>>> {
    let read = |at: Timestamp| {
        let moment = DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)?;
        (1..=9999).contains(&moment.year()).then_some(moment)
    };
    at.map(|at| read(at).ok_or_else(|| invalid(field, "must be a moment of the years 1 to 9999"))).transpose()
}

/// How many ads there are, and whether the category they are narrowed to exists.
struct Count {
    total: i32,
    known: bool,
}

/// The same of a search, with its text search query; none when no word was typed.
struct Found {
    query: Option<String>,
    total: i32,
    known: bool,
}

/// What is found, best first, and whether the category exists.
struct Ranked {
    ids: Vec<i64>,
    known: bool,
}

/// Where a page ends, in any order.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    created_at: DateTime<Utc>,
    price: i64,
    id: i64,
}

impl Place {
    fn of(ad: &AdRow) -> Self {
        Self { created_at: ad.created_at, price: ad.price, id: ad.id }
    }
}

pub(crate) fn no_such_ad() -> Error {
    not_found("AD_NOT_FOUND", "no such ad")
}

fn no_such_category() -> Error {
    invalid_because("category_id", "CATEGORY_UNKNOWN", "no such category")
}
