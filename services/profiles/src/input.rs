//! What a caller writes of a profile, of any kind, as the one row has it.

use std::collections::HashSet;

use kit::error::{Error, invalid, invalid_because};
use kit::wire::parse_id;
use proto::profiles::v1::profile_input::Details;
use proto::profiles::v1::{BusinessType, BusinessmanInput, MediaList, Profession, ProfileInput, SpecialistInput};
use uuid::Uuid;

use crate::documents::Exchange;
use crate::profiles::Kind;

/// What to change of a row; absent fields stay.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) speciality: Option<&'static str>,
    pub(crate) gallery: Option<Vec<Uuid>>,
    pub(crate) experience_years: Option<i32>,
    pub(crate) about_us: Option<String>,
    pub(crate) can_give_consultations: Option<bool>,
    pub(crate) can_offer_online_services: Option<bool>,
    pub(crate) documents: Exchange,
    pub(crate) business_name: Option<String>,
    pub(crate) descriptions: Option<String>,
    pub(crate) contact: Option<String>,
    pub(crate) offers_local_products: Option<bool>,
}

impl Change {
    /// A change of nothing.
    pub(crate) fn none(kind: Kind) -> Self {
        Self {
            kind,
            speciality: None,
            gallery: None,
            experience_years: None,
            about_us: None,
            can_give_consultations: None,
            can_offer_online_services: None,
            documents: Exchange::default(),
            business_name: None,
            descriptions: None,
            contact: None,
            offers_local_products: None,
        }
    }

    /// What a registration chose. What does not fit the kind has always been dropped in silence.
    pub(crate) fn chosen(kind: Kind, speciality: &str) -> Self {
        Self { speciality: kind.speciality(speciality), ..Self::none(kind) }
    }

    pub(crate) fn of(input: Option<ProfileInput>) -> kit::Result<Self> {
        match input.and_then(|input| input.details) {
            Some(Details::Specialist(input)) => Self::of_specialist(input),
            Some(Details::Businessman(input)) => Self::of_businessman(input),
            Some(Details::Consumer(_)) => Ok(Self::none(Kind::Consumer)),
            None => Err(invalid("input", "is needed")),
        }
    }

    fn of_specialist(input: SpecialistInput) -> kit::Result<Self> {
        let documents = Exchange {
            title: document("title_id", input.title_id.as_deref())?,
            student_card: document("student_card_id", input.student_card_id.as_deref())?,
            graduation_letter: document("graduation_letter_id", input.graduation_letter_id.as_deref())?,
        };
        Ok(Self {
            speciality: input.profession.is_some().then(|| profession_name(input.profession())).flatten(),
            gallery: input.work_images.map(|list| gallery("work_image_ids", Kind::Specialist, &list)).transpose()?,
            experience_years: input.experience_years,
            about_us: input.about_us,
            can_give_consultations: input.can_give_consultations,
            can_offer_online_services: input.can_offer_online_services,
            documents,
            ..Self::none(Kind::Specialist)
        })
    }

    fn of_businessman(input: BusinessmanInput) -> kit::Result<Self> {
        Ok(Self {
            speciality: input.business_type.is_some().then(|| business_type_name(input.business_type())).flatten(),
            gallery: input.products.map(|list| gallery("product_ids", Kind::Businessman, &list)).transpose()?,
            business_name: input.business_name,
            descriptions: input.descriptions,
            contact: input.contact,
            offers_local_products: input.offers_local_products,
            ..Self::none(Kind::Businessman)
        })
    }

    /// Whether it says enough to make a profile of it.
    pub(crate) fn check_whole(&self) -> kit::Result<()> {
        let told = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let needed: &[(&'static str, bool)] = match self.kind {
            Kind::Specialist => &[("profession", self.speciality.is_some())],
            Kind::Businessman => &[
                ("business_name", told(&self.business_name)),
                ("descriptions", told(&self.descriptions)),
                ("contact", told(&self.contact)),
            ],
            Kind::Consumer => &[],
        };
        match needed.iter().find(|(_, given)| !given) {
            Some((field, _)) => Err(invalid_because(*field, "REQUIRED", "is needed to make a profile")),
            None => Ok(()),
        }
    }
}

fn profession_name(profession: Profession) -> Option<&'static str> {
    profession.as_str_name().strip_prefix("PROFESSION_").filter(|_| profession != Profession::Unspecified)
}

fn business_type_name(kind: BusinessType) -> Option<&'static str> {
    kind.as_str_name().strip_prefix("BUSINESS_TYPE_").filter(|_| kind != BusinessType::Unspecified)
}

impl Kind {
    /// The row's word for a speciality that this kind may have.
    pub(crate) fn speciality(self, word: &str) -> Option<&'static str> {
        match self {
            Self::Specialist => profession_name(Profession::from_str_name(&format!("PROFESSION_{word}"))?),
            Self::Businessman => business_type_name(BusinessType::from_str_name(&format!("BUSINESS_TYPE_{word}"))?),
            Self::Consumer => None,
        }
    }

    /// The row's word for the speciality that a list is narrowed to.
    pub(crate) fn narrowed(self, profession: Profession, business_type: BusinessType) -> Option<&'static str> {
        match self {
            Self::Specialist => profession_name(profession),
            Self::Businessman => business_type_name(business_type),
            Self::Consumer => None,
        }
    }

    pub(crate) fn gallery_field(self) -> &'static str {
        if self == Self::Specialist { "work_image_ids" } else { "product_ids" }
    }

    /// How many files a gallery may have; the table has the same numbers.
    pub(crate) fn gallery_size(self) -> usize {
        match self {
            Self::Specialist => 50,
            Self::Businessman => 200,
            Self::Consumer => 0,
        }
    }
}

/// Nothing, none, or another one.
fn document(field: &'static str, id: Option<&str>) -> kit::Result<Option<Option<Uuid>>> {
    match id {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(id) => Ok(Some(Some(parse_id(field, id)?))),
    }
}

fn gallery(field: &'static str, kind: Kind, list: &MediaList) -> kit::Result<Vec<Uuid>> {
    let ids = distinct(field, &list.ids)?;
    if ids.len() > kind.gallery_size() { Err(gallery_full(field, kind)) } else { Ok(ids) }
}

/// In order; of repeats the first counts.
pub(crate) fn distinct(field: &'static str, ids: &[String]) -> kit::Result<Vec<Uuid>> {
    let mut seen = HashSet::new();
    let ids = ids.iter().map(|id| parse_id(field, id)).collect::<kit::Result<Vec<_>>>()?;
    Ok(ids.into_iter().filter(|id| seen.insert(*id)).collect())
}

pub(crate) fn gallery_full(field: &'static str, kind: Kind) -> Error {
    invalid_because(field, "GALLERY_FULL", format!("at most {} files", kind.gallery_size()))
}
