//! Ads, which this project spells "adds".

use axum::Json;
use axum::extract::{FromRequestParts, State};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use http::request::Parts;
use kit::error::{Details, denied};
use kit::identity::{Caller, Roles};
use kit::wire::timestamp;
use proto::access::v1::Role;
use proto::common::v1::Point;
use proto::marketplace::v1::{
    Ad, AdOrder, AdState, Condition, CreateAdRequest, DeleteAdRequest, GetAdRequest, Images, ListAdsRequest,
    ListFollowedAdsRequest, ListNearbyAdsRequest, ListOwnAdsRequest, UpdateAdRequest,
};
use proto::media::v1::BatchGetMediaRequest;
use serde::Serialize;
use serde_json::{Map, Value};
use tonic::Status;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::batch;
use crate::agrovet::media::Media;
use crate::agrovet::page::{Page, Paged};
use crate::agrovet::users::{fetch, whole_place};
use crate::agrovet::{Agrovet, Error, Result, price, time};
use crate::form::{Decimal, Fields, Form, Wrong};
use crate::input::{Input, Path, Query};
use crate::limit::{Class, Payer};
use crate::routes::{Created, Describe, NoContent, Operation};

/// The wire words of conditions.
const CONDITIONS: &[(&str, Condition)] =
    &[("new", Condition::New), ("used", Condition::Used), ("semi_new", Condition::SemiNew)];

/// The wire words of states.
const STATUSES: &[(&str, AdState)] = &[
    ("active", AdState::Active),
    ("paused", AdState::Paused),
    ("sold", AdState::Sold),
    ("archived", AdState::Archived),
];

const ORDERS: &[(&str, AdOrder)] = &[
    ("created_at", AdOrder::Oldest),
    ("-created_at", AdOrder::Newest),
    ("price", AdOrder::Cheapest),
    ("-price", AdOrder::Dearest),
];

/// Kilometres around a place, unless said otherwise.
const RADIUS: f64 = 5.0;

/// An ad.
#[derive(Serialize, ToSchema)]
pub struct Add {
    id: i64,
    publisher_id: i64,
    /// The same number: older pages read it under this name.
    publisher: i64,
    publisher_name: String,
    title: String,
    description: String,
    /// A decimal with two places.
    price: String,
    category: i64,
    /// `new`, `used` or `semi_new`.
    condition: &'static str,
    location_name: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    main_image: Option<Media>,
    secondary_images: Vec<Media>,
    /// `active`, `paused`, `sold` or `archived`.
    status: &'static str,
    created_at: String,
    updated_at: String,
}

impl Add {
    fn of(ad: Ad, people: &batch::People, files: &batch::Files, base: &Base) -> Self {
        let (condition, state) = (ad.condition(), ad.state());
        Self {
            id: ad.id,
            publisher_id: ad.publisher_number,
            publisher: ad.publisher_number,
            publisher_name: people.name(&ad.publisher_id, ad.publisher_number),
            title: ad.title,
            description: ad.description,
            price: price(ad.price_hundredths),
            category: ad.category_id,
            condition: word(CONDITIONS, condition),
            location_name: ad.location_name,
            latitude: ad.location.map(|place| place.latitude),
            longitude: ad.location.map(|place| place.longitude),
            main_image: ad.main_image_id.and_then(|id| files.get(&id, base)),
            secondary_images: files.list(&ad.secondary_image_ids, base),
            status: word(STATUSES, state),
            created_at: time(ad.created_at),
            updated_at: time(ad.updated_at),
        }
    }
}

/// An ad and how far away it is.
#[derive(Serialize, ToSchema)]
pub struct NearbyAdd {
    #[serde(flatten)]
    add: Add,
    /// To the metre.
    distance_km: f64,
}

fn word<T: PartialEq>(words: &[(&'static str, T)], of: T) -> &'static str {
    words.iter().find(|(_, known)| *known == of).map_or("", |(word, _)| word)
}

/// Ads with the names of their publishers and their pictures: two calls at once, whatever the number of ads.
async fn show(edge: &Edge, base: &Base, ads: Vec<Ad>) -> Vec<Add> {
    let (people, files) = tokio::join!(batch::people(edge, publishers(&ads)), batch::files(edge, pictures(&ads)));
    ads.into_iter().map(|ad| Add::of(ad, &people, &files, base)).collect()
}

/// The same for somebody who may change them, with all pictures or not at all.
async fn show_whole(edge: &Edge, base: &Base, ads: Vec<Ad>) -> Result<Vec<Add>> {
    let (people, files) = tokio::join!(batch::people(edge, publishers(&ads)), batch::all_files(edge, pictures(&ads)));
    let files = files?;
    Ok(ads.into_iter().map(|ad| Add::of(ad, &people, &files, base)).collect())
}

fn publishers(ads: &[Ad]) -> Vec<&str> {
    ads.iter().map(|ad| ad.publisher_id.as_str()).collect()
}

fn pictures(ads: &[Ad]) -> Vec<&str> {
    let pictures = ads.iter().flat_map(|ad| ad.main_image_id.iter().chain(&ad.secondary_image_ids));
    pictures.map(String::as_str).collect()
}

async fn show_own(edge: &Edge, base: &Base, ad: Ad) -> Result<Add> {
    Ok(show_whole(edge, base, vec![ad]).await?.pop().expect("as many as were given"))
}

async fn show_one(edge: &Edge, base: &Base, ad: Ad) -> Add {
    show(edge, base, vec![ad]).await.pop().expect("as many as were given")
}

/// What a list is narrowed to. What the frontend sends besides (`lat`, `lon`, `location`) it applies to the page itself.
pub struct Filter(ListAdsRequest);

impl Form for Filter {
    fn read(f: &mut Fields) -> Self {
        let search = f.text("search").blank().max(200).describe("Words that must all occur").optional();
        let q = f.text("q").blank().max(200).describe("Another name of `search`").optional();
        let category_id = f.text("category").blank().describe("Id of a category").optional();
        let category_id = category_id.filter(|text| !text.is_empty()).and_then(|text| {
            let id = text.parse().ok();
            if id.is_none() {
                f.refuse("category", UNKNOWN_CATEGORY);
            }
            id
        });
        let condition = filter(f, "condition", CONDITIONS, "`new`, `used` or `semi_new`");
        let state = filter(f, "status", STATUSES, "`active`, `sold`, `paused` or `archived`");
        let publisher = f.integer("publisher").describe("Number of who sells").nullable().flatten();
        let publisher = publisher.or(f.integer("publisher_id").nullable().flatten());
        let min_price = f.decimal("min_price", 12, 2).describe("Costs at least this").nullable().flatten();
        let max_price = f.decimal("max_price", 12, 2).describe("Costs at most this").nullable().flatten();
        let after = moment(f, "created_after", NaiveTime::MIN, "Published since this day or moment");
        let before = moment(f, "created_before", LAST, "Published until the end of this day, or this moment");
        let ordering =
            f.text("ordering").blank().describe("`created_at` or `price`, with `-` the other way round").optional();
        let ordering = ordering.unwrap_or_default();
        // Of several fields the first that is known counts; equals go by id.
        let order = ordering.split(',').find_map(|word| ORDERS.iter().find(|(known, _)| *known == word.trim()));
        Self(ListAdsRequest {
            search: search.filter(|search| !search.is_empty()).or(q).unwrap_or_default(),
            category_id,
            condition: condition.unwrap_or_default().into(),
            states: state.into_iter().map(Into::into).collect(),
            publisher_number: publisher,
            min_price_hundredths: min_price.map(|price| price.units),
            max_price_hundredths: max_price.map(|price| price.units),
            created_after: after.map(timestamp),
            created_before: before.map(timestamp),
            order: order.map_or(AdOrder::Unspecified, |(_, order)| *order).into(),
            ..Default::default()
        })
    }
}

const UNKNOWN_CATEGORY: &str = "Escoja una opción válida. Esa opción no está entre las disponibles.";

/// The last moment of a day that PostgreSQL knows.
const LAST: NaiveTime = match NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

/// One of some words; the empty text is none.
fn filter<T: Copy>(f: &mut Fields, name: &'static str, words: &[(&str, T)], described: &'static str) -> Option<T> {
    let text = f.text(name).blank().describe(described).optional().filter(|text| !text.is_empty())?;
    let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if known.is_none() {
        let short: String = text.chars().take(100).collect();
        f.refuse(name, format!("Escoja una opción válida. {short} no es una de las opciones disponibles."));
    }
    known
}

/// A moment, or a day, which begins or ends at `time`.
fn moment(f: &mut Fields, name: &'static str, time: NaiveTime, described: &'static str) -> Option<DateTime<Utc>> {
    let text = f.text(name).blank().describe(described).optional().filter(|text| !text.is_empty())?;
    let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(time).and_utc());
    let moment = DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc()).or_else(day);
    // What the database does not know either.
    let moment = moment.filter(|at| at.signed_duration_since(DateTime::UNIX_EPOCH).abs() < TimeDelta::days(365 * 2000));
    if moment.is_none() {
        f.refuse(name, "Introduzca una fecha y hora válida.");
    }
    moment
}

pub async fn list(
    State(edge): State<Agrovet>,
    base: Base,
    _: Option<Caller>,
    payer: Payer,
    page: Page,
    Query(Filter(filter)): Query<Filter>,
) -> Result<Json<Paged<Add>>> {
    if !filter.search.is_empty() {
        // Words cost more than ten milliseconds of a processor, other lists next to nothing.
        payer.pay(&edge.limiter, Class::Ads).await?;
    }
    let paged = page
        .fetch(|page_size, skip| {
            let request = ListAdsRequest { page_size, skip, ..filter.clone() };
            let mut ads = edge.ads();
            async move { ads.list_ads(request).await.map(|a| a.into_inner()).map(|a| (a.ads, a.total_size)) }
        })
        .await
        .map_err(|error| match error.reason() {
            "CATEGORY_UNKNOWN" => Error::field("category", UNKNOWN_CATEGORY),
            _ => error,
        })?;
    let Paged { count, next, previous, results } = paged;
    Ok(Json(Paged { count, next, previous, results: show(&edge, &base, results).await }))
}

pub async fn retrieve(
    State(edge): State<Agrovet>,
    base: Base,
    caller: Option<Caller>,
    Path(id): Path<i64>,
) -> Result<Json<Add>> {
    let ad = edge.ads().get_ad(GetAdRequest { id }).await?.into_inner();
    let changes = |caller: Caller| caller.may_act_for(ad.publisher_id.parse().unwrap_or_default()).is_ok();
    if caller.is_some_and(changes) {
        return Ok(Json(show_own(&edge, &base, ad).await?));
    }
    Ok(Json(show_one(&edge, &base, ad).await))
}

/// The two lists of one's own say "not signed in" in words of their own.
fn not_signed_in(caller: Option<Caller>) -> Result<Caller> {
    caller.ok_or_else(|| Error::detail(401, "No autenticado").challenge())
}

pub async fn mine(State(edge): State<Agrovet>, base: Base, caller: Option<Caller>) -> Result<Json<Vec<Add>>> {
    not_signed_in(caller)?;
    let ads = edge.ads().list_own_ads(ListOwnAdsRequest {}).await?.into_inner().ads;
    Ok(Json(show_whole(&edge, &base, ads).await?))
}

pub async fn following(State(edge): State<Agrovet>, base: Base, caller: Option<Caller>) -> Result<Json<Vec<Add>>> {
    not_signed_in(caller)?;
    let ads = edge.ads().list_followed_ads(ListFollowedAdsRequest {}).await?.into_inner().ads;
    Ok(Json(show(&edge, &base, ads).await))
}

/// A circle; its numbers are read here because what is wrong with them is no field's fault.
pub struct Around {
    latitude: Option<f64>,
    longitude: Option<f64>,
    radius: Option<f64>,
}

impl Form for Around {
    fn read(f: &mut Fields) -> Self {
        let mut number = |name, described| f.text(name).blank().describe(described).optional();
        let degrees =
            |text: Option<String>, most: f64| text?.parse().ok().filter(|degrees: &f64| degrees.abs() <= most);
        let latitude = degrees(number("lat", "Degrees north"), 90.0);
        let longitude = degrees(number("lon", "Degrees east"), 180.0);
        let radius = number("radius_km", "Kilometres, more than 0 and at most 500; 5 unless given");
        let radius = radius.filter(|text| !text.is_empty()).map_or(Some(RADIUS), |text| text.parse().ok());
        Self { latitude, longitude, radius: radius.filter(|km| *km > 0.0 && *km <= 500.0) }
    }
}

pub async fn nearby(
    State(edge): State<Agrovet>,
    base: Base,
    Query(around): Query<Around>,
) -> Result<Json<Vec<NearbyAdd>>> {
    let (Some(latitude), Some(longitude)) = (around.latitude, around.longitude) else {
        return Err(Error::detail(400, "lat and lon are required params"));
    };
    let Some(radius_km) = around.radius else {
        return Err(Error::detail(400, "radius_km debe ser un número mayor que 0 y de hasta 500."));
    };
    let request = ListNearbyAdsRequest { center: Some(Point { latitude, longitude }), radius_km };
    let nearby = edge.ads().list_nearby_ads(request).await?.into_inner().ads;
    let to_the_metre = |kilometres: f64| (kilometres * 1000.0).round() / 1000.0;
    let nearby = nearby.into_iter().filter_map(|near| Some((near.ad?, to_the_metre(near.distance_km))));
    let (ads, distances): (Vec<_>, Vec<_>) = nearby.unzip();
    let adds = show(&edge, &base, ads).await;
    Ok(Json(adds.into_iter().zip(distances).map(|(add, distance_km)| NearbyAdd { add, distance_km }).collect()))
}

/// Somebody who sells. Asked for before the body is read, so that others learn nothing of what a form wants.
pub struct Seller;

impl FromRequestParts<Agrovet> for Seller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        let caller = <Caller as FromRequestParts<Agrovet>>::from_request_parts(parts, edge).await?;
        let selling: Roles = [Role::Specialist, Role::Businessman].into_iter().collect();
        // Who became one just now may have a token that does not know it yet.
        let sells = caller.roles.intersects(selling)
            || Roles::from_numbers(&fetch(edge, caller.id.to_string()).await?.roles).intersects(selling);
        if sells { Ok(Self) } else { Err(denied("ROLE_MISSING", "specialists and businesses only").into()) }
    }
}

impl Describe for Seller {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        operation.answer(403, "Neither a specialist nor a business");
    }
}

/// The ad in the path, which the caller may change: one's own, or anybody's for staff. Found out before the body is
/// read: 401, 404 and 403 come before what is wrong with a form.
pub struct Target(Ad);

impl FromRequestParts<Agrovet> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, edge: &Agrovet) -> Result<Self> {
        let caller = <Caller as FromRequestParts<Agrovet>>::from_request_parts(parts, edge).await?;
        let Path(id) = Path::<i64>::from_request_parts(parts, edge).await?;
        let ad = edge.ads().get_ad(GetAdRequest { id }).await?.into_inner();
        caller.may_act_for(ad.publisher_id.parse().unwrap_or_default())?;
        Ok(Self(ad))
    }
}

impl Describe for Target {
    fn describe(operation: &mut Operation) {
        Caller::describe(operation);
        Path::<i64>::describe(operation);
        operation.answer(403, "Somebody else's");
        operation.answer(404, "No such ad");
    }
}

/// What an ad says. All but place, pictures and status must be there at first, and when the whole is put anew.
pub struct Said {
    title: Option<String>,
    description: Option<String>,
    price: Option<Decimal>,
    category: Option<i64>,
    condition: Option<Condition>,
    location_name: Option<Option<String>>,
    location: Option<Point>,
    clear_location: bool,
    /// Zero takes it away.
    main_image: Option<i64>,
    secondary_images: Option<Vec<i64>>,
}

impl Said {
    fn read(f: &mut Fields, required: bool) -> Self {
        macro_rules! must {
            ($field:expr) => {
                if required { Some($field.required()) } else { $field.required_on_put() }
            };
        }
        let title = must!(f.text("title").max(200));
        let description = must!(f.text("description").max(20_000));
        let price = must!(f.decimal("price", 12, 2));
        if price.is_some_and(|price| price.units < 0) {
            f.fault("price", Wrong::AtLeast("0".to_owned()));
        }
        let category = must!(f.key("category"));
        let condition = must!(f.choice("condition", CONDITIONS));
        let location_name = f.text("location_name").blank().max(255).nullable();
        let given = ["latitude", "longitude"].map(|name| f.has(name));
        let latitude = f.number("latitude").between(-90.0, 90.0).nullable();
        let longitude = f.number("longitude").between(-180.0, 180.0).nullable();
        let (location, clear_location) = whole_place(f, given, [latitude, longitude]);
        let main_image =
            f.integer("main_image_id").describe("Id of a file; 0 takes the picture away").nullable().flatten();
        let secondary_images = f.integers("secondary_image_ids").by_place();
        let secondary_images = secondary_images.describe("Ids of at most four files").nullable().flatten();
        if secondary_images.as_ref().is_some_and(|ids| ids.len() > 4) {
            f.refuse("secondary_image_ids", "Solo se permiten hasta 4 imágenes secundarias.");
        }
        Self {
            title,
            description,
            price,
            category,
            condition,
            location_name,
            location,
            clear_location,
            main_image,
            secondary_images,
        }
    }

    /// The ids of the pictures, by one call.
    async fn pictures(&self, edge: &Edge) -> Result<(Option<String>, Option<Vec<String>>)> {
        let main = self.main_image.filter(|number| *number != 0);
        let numbers: Vec<i64> = main.into_iter().chain(self.secondary_images.iter().flatten().copied()).collect();
        if numbers.is_empty() {
            return Ok((None, self.secondary_images.as_ref().map(|_| Vec::new())));
        }
        let request = BatchGetMediaRequest { numbers, ..Default::default() };
        let files = edge.media().batch_get_media(request).await?.into_inner().media;
        let id = |number: i64| files.iter().find(|file| file.number == number).map(|file| file.id.clone());

        let mut unknown = Map::new();
        let main_id = main.and_then(id);
        if main.is_some() && main_id.is_none() {
            unknown.insert("main_image_id".to_owned(), vec![UNKNOWN_MAIN_IMAGE].into());
        }
        let secondary = self.secondary_images.iter().flatten();
        let texts: Vec<String> =
            secondary.filter(|number| id(**number).is_none()).map(|number| unknown_image(*number)).collect();
        if !texts.is_empty() {
            unknown.insert("secondary_image_ids".to_owned(), texts.into());
        }
        if !unknown.is_empty() {
            return Err(Error::new(400, Value::Object(unknown)));
        }
        let secondary = self.secondary_images.as_ref();
        Ok((main_id, secondary.map(|numbers| numbers.iter().filter_map(|number| id(*number)).collect())))
    }

    /// The texts about a category and about pictures say which one.
    fn refused(category: Option<i64>, secondary_images: Option<&[i64]>, refusal: Status) -> Error {
        let Details { reason, fields, .. } = Details::of(&refusal);
        let field = fields.first().map_or("", |violation| &*violation.field);
        match (&*reason, field) {
            ("CATEGORY_UNKNOWN", _) => {
                let id = category.unwrap_or_default();
                Error::field("category", format!("Clave primaria \"{id}\" inválida - objeto no existe."))
            }
            ("MEDIA_UNKNOWN", "main_image_id") => Error::field("main_image_id", UNKNOWN_MAIN_IMAGE),
            ("MEDIA_UNKNOWN", field) => {
                let at = field.strip_prefix("secondary_image_ids[").and_then(|rest| rest.strip_suffix(']'));
                let number = at.and_then(|at| secondary_images?.get(at.parse::<usize>().ok()?));
                match number {
                    Some(number) => Error::field("secondary_image_ids", unknown_image(*number)),
                    None => refusal.into(),
                }
            }
            _ => refusal.into(),
        }
    }
}

const UNKNOWN_MAIN_IMAGE: &str = "Media principal no encontrada.";

fn unknown_image(number: i64) -> String {
    format!("Media {number} no encontrada.")
}

/// A new ad.
pub struct New(Said);

impl Form for New {
    fn read(f: &mut Fields) -> Self {
        Self(Said::read(f, true))
    }
}

pub async fn create(
    State(edge): State<Agrovet>,
    base: Base,
    _: Seller,
    Input(New(said)): Input<New>,
) -> Result<Created<Add>> {
    let (main_image_id, secondary_image_ids) = said.pictures(&edge).await?;
    let request = CreateAdRequest {
        title: said.title.unwrap_or_default(),
        description: said.description.unwrap_or_default(),
        price_hundredths: said.price.unwrap_or_default().units,
        category_id: said.category.unwrap_or_default(),
        condition: said.condition.unwrap_or_default().into(),
        location_name: said.location_name.flatten().unwrap_or_default(),
        location: said.location,
        main_image_id: main_image_id.unwrap_or_default(),
        secondary_image_ids: secondary_image_ids.unwrap_or_default(),
    };
    let secondary = said.secondary_images.as_deref();
    let ad = edge.ads().create_ad(request).await.map_err(|refusal| Said::refused(said.category, secondary, refusal))?;
    Ok(Created(show_one(&edge, &base, ad.into_inner()).await))
}

/// What shall be different in an ad, and where it shall stand.
pub struct Change {
    said: Said,
    status: Option<AdState>,
}

impl Form for Change {
    fn read(f: &mut Fields) -> Self {
        let said = Said::read(f, false);
        Self { said, status: f.choice("status", STATUSES).optional() }
    }
}

/// PUT and PATCH differ in what must be there and in nothing else: what is left out stays.
pub async fn update(
    State(edge): State<Agrovet>,
    base: Base,
    Target(ad): Target,
    Input(Change { said, status }): Input<Change>,
) -> Result<Json<Add>> {
    let (main_image_id, secondary_image_ids) = said.pictures(&edge).await?;
    let request = UpdateAdRequest {
        id: ad.id,
        title: said.title,
        description: said.description,
        price_hundredths: said.price.map(|price| price.units),
        category_id: said.category,
        condition: said.condition.unwrap_or_default().into(),
        location_name: said.location_name.map(Option::unwrap_or_default),
        location: said.location,
        clear_location: said.clear_location,
        main_image_id,
        clear_main_image: said.main_image == Some(0),
        secondary_images: secondary_image_ids.map(|ids| Images { ids }),
        state: status.unwrap_or_default().into(),
    };
    let secondary = said.secondary_images.as_deref();
    let ad = edge.ads().update_ad(request).await.map_err(|refusal| Said::refused(said.category, secondary, refusal))?;
    Ok(Json(show_own(&edge, &base, ad.into_inner()).await?))
}

pub async fn delete(State(edge): State<Agrovet>, Target(ad): Target) -> Result<NoContent> {
    edge.ads().delete_ad(DeleteAdRequest { id: ad.id }).await?;
    Ok(NoContent)
}
