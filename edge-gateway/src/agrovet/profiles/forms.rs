//! What clients write of profiles. The frontend sends back whole objects as it was shown them, so what is no field here
//! is ignored, and files are named by their numbers.

use std::collections::HashMap;
use std::marker::PhantomData;

use proto::access::v1::Role;
use proto::media::v1::BatchGetMediaRequest;
use proto::profiles::v1::profile_input::Details;
use proto::profiles::v1::{
    BusinessType, BusinessmanInput, ConsumerInput, MediaList, Profession, ProfileInput, SpecialistInput,
    VerificationState,
};
use tonic::Status;
use uuid::Uuid;

use crate::Edge;
use crate::agrovet::profiles::shown::Shown;
use crate::agrovet::{Error, Result};
use crate::form::{Decimal, Fields, Form, Habits};
use crate::upload::File;

/// The wire words of professions.
pub const PROFESSIONS: &[(&str, Profession)] = &[
    ("Veterinario", Profession::Veterinarian),
    ("Agrónomo", Profession::Agronomist),
    ("Zootecnista", Profession::Zootechnician),
];

/// The wire words of kinds of business.
pub const BUSINESS_TYPES: &[(&str, BusinessType)] =
    &[("Agroveterinaria", BusinessType::VeterinaryShop), ("Empresa Agropecuaria", BusinessType::FarmingCompany)];

/// The word of an enum that has words.
pub fn word<T: PartialEq>(words: &'static [(&'static str, T)], value: &T) -> Option<&'static str> {
    words.iter().find(|(_, known)| known == value).map(|(word, _)| *word)
}

/// What is written of a profile; its files are numbers yet, and stand beside it.
pub struct Written {
    pub details: Details,
    pub gallery: Option<Vec<i64>>,
    /// Title, student card and graduation letter.
    pub documents: [Option<Option<i64>>; 3],
}

impl Written {
    fn of(details: Details) -> Self {
        Self { details, gallery: None, documents: [None; 3] }
    }

    /// With ids in place of the files' numbers. Others' files do not exist here.
    pub async fn resolved(self, edge: &Edge, owner: Uuid) -> Result<ProfileInput> {
        let documents = self.documents.iter().filter_map(|document| document.flatten());
        let numbers: Vec<_> = self.gallery.iter().flatten().copied().chain(documents).collect();
        let known = if numbers.is_empty() { Ids::default() } else { Ids::of(edge, owner, numbers).await? };
        let mut details = self.details;
        match &mut details {
            Details::Specialist(input) => {
                input.work_images = known.gallery("work_images_ids", self.gallery)?;
                let [title, student_card, graduation_letter] = self.documents;
                input.title_id = known.document(DOCUMENTS[0], title)?;
                input.student_card_id = known.document(DOCUMENTS[1], student_card)?;
                input.graduation_letter_id = known.document(DOCUMENTS[2], graduation_letter)?;
            }
            Details::Businessman(input) => input.products = known.gallery("products_and_services_ids", self.gallery)?,
            Details::Consumer(_) => {}
        }
        Ok(ProfileInput { details: Some(details) })
    }
}

/// The ids of somebody's files by their numbers.
#[derive(Default)]
struct Ids(HashMap<i64, String>);

impl Ids {
    async fn of(edge: &Edge, owner: Uuid, numbers: Vec<i64>) -> Result<Self, Status> {
        let request = BatchGetMediaRequest { numbers, ..Default::default() };
        let media = edge.media().batch_get_media(request).await?.into_inner().media;
        let theirs = media.into_iter().filter(|file| file.owner_id == owner.to_string());
        Ok(Self(theirs.map(|file| (file.number, file.id)).collect()))
    }

    fn id(&self, field: &'static str, number: i64) -> Result<String> {
        let id = self.0.get(&number).cloned();
        id.ok_or_else(|| Error::field(field, format!("Media {number} no encontrada.")))
    }

    fn gallery(&self, field: &'static str, numbers: Option<Vec<i64>>) -> Result<Option<MediaList>> {
        let Some(numbers) = numbers else { return Ok(None) };
        let ids = numbers.into_iter().map(|number| self.id(field, number)).collect::<Result<_>>()?;
        Ok(Some(MediaList { ids }))
    }

    /// The empty text takes a document away.
    fn document(&self, field: &'static str, number: Option<Option<i64>>) -> Result<Option<String>> {
        match number {
            None => Ok(None),
            Some(None) => Ok(Some(String::new())),
            Some(Some(number)) => self.id(field, number).map(Some),
        }
    }
}

/// A profile that is made: what it needs must be there.
pub struct Make<K> {
    pub written: Written,
    kind: PhantomData<K>,
}

impl<K: Shown> Form for Make<K> {
    fn read(f: &mut Fields) -> Self {
        Self { written: K::read(f, Extent::Whole), kind: PhantomData }
    }
}

/// A profile that is changed, or made: by PUT as a whole, by POST in part.
pub struct Replace<K> {
    pub written: Written,
    kind: PhantomData<K>,
}

impl<K: Shown> Form for Replace<K> {
    fn read(f: &mut Fields) -> Self {
        let extent = if f.put() { Extent::Whole } else { Extent::Part };
        Self { written: K::read(f, extent), kind: PhantomData }
    }
}

/// A profile of which something is changed.
pub struct Change<K> {
    pub written: Written,
    kind: PhantomData<K>,
}

impl<K: Shown> Form for Change<K> {
    fn read(f: &mut Fields) -> Self {
        Self { written: K::read(f, Extent::Returned), kind: PhantomData }
    }
}

/// How much of a profile a form must say.
#[derive(Clone, Copy)]
pub enum Extent {
    /// All that a profile needs.
    Whole,
    /// Anything, but what is needed may not be blank.
    Part,
    /// Anything. A profile that came with a registration lacks what others need, and the frontend sends it back as it
    /// was shown: what is needed and blank stays as it is.
    Returned,
}

/// What the column has ever taken; the original has no other bound.
const LEAST: i64 = i32::MIN as i64;
const MOST: i64 = i32::MAX as i64;

/// The files that prove something, in the order of [`Written::documents`].
pub const DOCUMENTS: [&str; 3] =
    ["verification_title_id", "verification_student_card_id", "verification_graduation_letter_id"];

pub(super) fn specialist(f: &mut Fields, extent: Extent) -> Written {
    let profession = f.choice("profession", PROFESSIONS);
    let profession = match extent {
        Extent::Whole => Some(profession.required()),
        Extent::Part => profession.optional(),
        Extent::Returned => profession.nullable().flatten(),
    };
    let details = SpecialistInput {
        profession: profession.map(Into::into),
        experience_years: f.integer("experience_years").between(LEAST, MOST).optional().map(|years| years as i32),
        about_us: f.text("about_us").max(5000).blank().optional(),
        can_give_consultations: f.boolean("can_give_consultations").optional(),
        can_offer_online_services: f.boolean("can_offer_online_services").optional(),
        ..Default::default()
    };
    Written {
        gallery: f.integers("work_images_ids").max_items(50).lenient().nullable().flatten(),
        documents: DOCUMENTS.map(|name| {
            f.reference(name).describe("A file in the folder `verification`; null takes it away").nullable()
        }),
        ..Written::of(Details::Specialist(details))
    }
}

pub(super) fn businessman(f: &mut Fields, extent: Extent) -> Written {
    let business_type = f.choice("business_type", BUSINESS_TYPES).nullable().flatten();
    let mut text = |name, most| {
        let text = f.text(name).max(most);
        match extent {
            Extent::Whole => Some(text.required()),
            Extent::Part => text.optional(),
            Extent::Returned => text.blank().optional().filter(|text| !text.is_empty()),
        }
    };
    let details = BusinessmanInput {
        business_type: business_type.map(Into::into),
        business_name: text("business_name", 255),
        descriptions: text("descriptions", 5000),
        contact: text("contact", 255),
        offers_local_products: f.boolean("offers_local_products").optional(),
        ..Default::default()
    };
    Written {
        gallery: f.integers("products_and_services_ids").max_items(200).lenient().nullable().flatten(),
        ..Written::of(Details::Businessman(details))
    }
}

pub(super) fn consumer() -> Written {
    Written::of(Details::Consumer(ConsumerInput {}))
}

/// Pictures for a gallery, and what to say of them.
pub struct Pictures {
    pub files: Vec<File>,
    pub description: Option<String>,
    /// For each file in turn; a catalogue's products have them. An empty price is null, which is not the same as none.
    pub names: Vec<String>,
    pub prices: Vec<Option<Decimal>>,
}

impl Form for Pictures {
    fn read(f: &mut Fields) -> Self {
        let files = f.files(&["images", "images[]", "image"], "1 to 10 images in all");
        if files.len() > MOST_PICTURES {
            f.refuse("images", format!("Asegúrese de que este campo no tenga más de {MOST_PICTURES} elementos."));
        }
        let names = std::iter::from_fn(|| f.text("name").max(200).blank().first()).collect();
        let prices = prices(f);
        Self { files, description: f.text("description").max(200).blank().optional(), names, prices }
    }
}

/// A price, each in a form of its own, where an empty one is null and keeps its place among the others.
struct Price(Option<Decimal>);

impl Form for Price {
    fn read(f: &mut Fields) -> Self {
        Self(f.decimal(PRICE, 10, 2).nullable().flatten())
    }
}

const PRICE: &str = "price";

fn prices(f: &mut Fields) -> Vec<Option<Decimal>> {
    if f.sketching() {
        return vec![Price::read(f).0];
    }
    let mut prices = Vec::new();
    while let Some(text) = f.text(PRICE).blank().first() {
        match Fields::pairs(Habits::Django, vec![(PRICE.into(), text)], Vec::new()).read() {
            Ok(Price(price)) => prices.push(price),
            Err(faults) => faults.into_iter().for_each(|fault| f.fault(PRICE, fault.wrong)),
        }
    }
    prices
}

const MOST_PICTURES: usize = 10;

/// What to narrow a list of profiles to.
pub struct Narrowed {
    pub profession: Option<Profession>,
    pub business_type: Option<BusinessType>,
    pub user_id: Option<i64>,
}

impl Form for Narrowed {
    fn read(f: &mut Fields) -> Self {
        let profession = f.choice("profession", PROFESSIONS).nullable().flatten();
        let business_type = f.choice("business_type", BUSINESS_TYPES).nullable().flatten();
        let user_id = f.integer("user_id").nullable().flatten();
        // What the frontend calls it.
        let object_id = f.integer("object_id").describe("The same as `user_id`").nullable().flatten();
        Self { profession, business_type, user_id: user_id.or(object_id) }
    }
}

/// The wire words of a review.
pub const STATES: &[(&str, VerificationState)] = &[
    ("pending", VerificationState::Pending),
    ("approved", VerificationState::Approved),
    ("rejected", VerificationState::Rejected),
];

/// Which documents to list.
pub struct InState(pub Option<VerificationState>);

impl Form for InState {
    fn read(f: &mut Fields) -> Self {
        Self(f.choice("state", STATES).nullable().flatten())
    }
}

/// An administrator's decision.
pub struct Review {
    pub decision: VerificationState,
    pub reason: String,
    pub submission: i32,
}

const DECISIONS: &[(&str, VerificationState)] =
    &[("approve", VerificationState::Approved), ("reject", VerificationState::Rejected)];

impl Form for Review {
    fn read(f: &mut Fields) -> Self {
        Self {
            decision: f.choice("decision", DECISIONS).required(),
            reason: f.text("reason").max(500).blank().describe("What the specialist is told").or(String::new()),
            submission: f
                .integer("submission")
                .between(1, i32::MAX.into())
                .describe("`verification.submission` of what was looked at")
                .required() as i32,
        }
    }
}

/// Stars for a specialist.
pub struct Stars(pub i32);

impl Form for Stars {
    fn read(f: &mut Fields) -> Self {
        Self(f.integer("stars").between(1, 5).required() as i32)
    }
}

/// What a registration chose for the profile that follows the role, as events name it. The form sends both fields
/// whatever the role; what is neither a profession nor a type of business has always been dropped in silence.
pub fn speciality(f: &mut Fields, role: Option<Role>) -> String {
    let mut chosen = |name| f.text(name).blank().nullable().flatten().unwrap_or_default();
    let profession = chosen("specialist_profile_profession");
    let business_type = chosen("businessman_profile_business_type");
    let name = match role {
        Some(Role::Specialist) => named(PROFESSIONS, &profession).map(|known| known.as_str_name()),
        Some(Role::Businessman) => named(BUSINESS_TYPES, &business_type).map(|known| known.as_str_name()),
        _ => None,
    };
    let bare = |name: &'static str| name.trim_start_matches("PROFESSION_").trim_start_matches("BUSINESS_TYPE_");
    name.map(bare).unwrap_or_default().to_owned()
}

fn named<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
    words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}
