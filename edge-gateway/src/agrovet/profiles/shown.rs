//! Profiles as Agrovet shows them: everything that any revision of the frontend has read.

use std::collections::HashMap;

use proto::profiles::v1::profile::Details;
use proto::profiles::v1::{self, Credential, ProfileKind};
use proto::users::v1::User;
use serde::Serialize;
use tonic::Status;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::batch::{self, Files, People};
use crate::agrovet::media::Media;
use crate::agrovet::profiles::forms::{self, BUSINESS_TYPES, Extent, PROFESSIONS, STATES, Written, word};
use crate::agrovet::time;
use crate::form::Fields;

/// One of the three kinds of profile.
pub trait Shown: Serialize + ToSchema + Sized + Send + 'static {
    const KIND: ProfileKind;

    /// The fields of a form that must say so much.
    fn read(f: &mut Fields, extent: Extent) -> Written;

    /// The object of a profile; nothing for one of another kind.
    fn of(profile: v1::Profile, user_display: String, files: &Files, base: &Base) -> Option<Self>;
}

/// A vet, agronomist or zootechnician.
#[derive(Serialize, ToSchema)]
#[schema(as = SpecialistProfile)]
pub struct Specialist {
    /// The person's number, as in the paths: the frontend builds them of this.
    pub id: i64,
    pub user_id: i64,
    pub user_display: String,
    /// `Veterinario`, `Agrónomo` or `Zootecnista`; empty until it is chosen.
    pub profession: &'static str,
    pub experience_years: i32,
    pub about_us: String,
    pub can_give_consultations: bool,
    pub can_offer_online_services: bool,
    /// `Estudiante` or `Médico Titulado`, once staff has approved the documents.
    pub verification_type: Option<&'static str>,
    /// `verified_student` or `verified_professional`.
    pub verification_status: Option<&'static str>,
    pub is_verified: bool,
    pub work_images_ids: Vec<i64>,
    pub work_images: Vec<String>,
    pub work_images_full: Vec<Media>,
    // Documents are shown to the owner and staff; their links end after a few minutes.
    pub verification_title_id: Option<i64>,
    pub verification_student_card_id: Option<i64>,
    pub verification_graduation_letter_id: Option<i64>,
    pub verification_title_url: Option<String>,
    pub verification_student_card_url: Option<String>,
    pub verification_graduation_letter_url: Option<String>,
    /// The review of the documents, for the owner and staff.
    pub verification: Option<Verification>,
    /// The mean of all stars.
    pub puntuations: f64,
    /// The sum of all stars.
    pub point: i64,
}

/// What became of documents.
#[derive(Serialize, ToSchema)]
pub struct Verification {
    /// `pending`, `approved` or `rejected`; null without documents.
    state: Option<&'static str>,
    reason: String,
    /// What a review must name.
    submission: i32,
    submitted_at: Option<String>,
    reviewed_at: Option<String>,
}

impl Shown for Specialist {
    const KIND: ProfileKind = ProfileKind::Specialist;

    fn read(f: &mut Fields, extent: Extent) -> Written {
        forms::specialist(f, extent)
    }

    fn of(profile: v1::Profile, user_display: String, files: &Files, base: &Base) -> Option<Self> {
        let Some(Details::Specialist(own)) = profile.details else { return None };
        let profession = word(PROFESSIONS, &own.profession()).unwrap_or_default();
        let (verification_type, verification_status) = verified(&own.credentials().collect::<Vec<_>>());
        let gallery = Gallery::of(&own.work_image_ids, files, base);
        let (title, student_card, graduation_letter) = match &own.verification {
            Some(all) => (&all.title_id, &all.student_card_id, &all.graduation_letter_id),
            None => (&None, &None, &None),
        };
        let document = |id: &Option<String>| files.get(id.as_ref()?, base);
        let (verification_title_id, verification_title_url) = pair(document(title));
        let (verification_student_card_id, verification_student_card_url) = pair(document(student_card));
        let (verification_graduation_letter_id, verification_graduation_letter_url) = pair(document(graduation_letter));
        Some(Self {
            id: profile.user_number,
            user_id: profile.user_number,
            user_display,
            profession,
            experience_years: own.experience_years,
            about_us: own.about_us,
            can_give_consultations: own.can_give_consultations,
            can_offer_online_services: own.can_offer_online_services,
            verification_type,
            verification_status,
            is_verified: verification_status.is_some(),
            work_images_ids: gallery.ids,
            work_images: gallery.urls,
            work_images_full: gallery.files,
            verification_title_id,
            verification_student_card_id,
            verification_graduation_letter_id,
            verification_title_url,
            verification_student_card_url,
            verification_graduation_letter_url,
            verification: own.verification.map(Into::into),
            puntuations: if own.ratings > 0 { own.point as f64 / f64::from(own.ratings) } else { 0.0 },
            point: own.point,
        })
    }
}

fn pair(document: Option<Media>) -> (Option<i64>, Option<String>) {
    document.map_or((None, None), |file| (Some(file.id), file.url))
}

impl From<v1::Verification> for Verification {
    fn from(verification: v1::Verification) -> Self {
        Self {
            state: word(STATES, &verification.state()),
            reason: verification.reason,
            submission: verification.submission,
            submitted_at: verification.submitted_at.map(|at| time(Some(at))),
            reviewed_at: verification.reviewed_at.map(|at| time(Some(at))),
        }
    }
}

/// Type and status, in the words that the frontend prints and compares.
fn verified(proven: &[Credential]) -> (Option<&'static str>, Option<&'static str>) {
    if proven.contains(&Credential::Student) {
        (Some("Estudiante"), Some("verified_student"))
    } else if proven.is_empty() {
        (None, None)
    } else {
        (Some("Médico Titulado"), Some("verified_professional"))
    }
}

/// A vet's shop or a farming company.
#[derive(Serialize, ToSchema)]
#[schema(as = BusinessmanProfile)]
pub struct Businessman {
    /// The person's number.
    pub id: i64,
    pub user_id: i64,
    pub user_display: String,
    /// `Agroveterinaria` or `Empresa Agropecuaria`.
    pub business_type: &'static str,
    pub business_name: String,
    pub descriptions: String,
    pub contact: String,
    pub offers_local_products: bool,
    pub products_and_services_ids: Vec<i64>,
    pub products_and_services: Vec<String>,
    pub products_and_services_full: Vec<Media>,
}

impl Shown for Businessman {
    const KIND: ProfileKind = ProfileKind::Businessman;

    fn read(f: &mut Fields, extent: Extent) -> Written {
        forms::businessman(f, extent)
    }

    fn of(profile: v1::Profile, user_display: String, files: &Files, base: &Base) -> Option<Self> {
        let Some(Details::Businessman(own)) = profile.details else { return None };
        let business_type = word(BUSINESS_TYPES, &own.business_type()).unwrap_or_default();
        let gallery = Gallery::of(&own.product_ids, files, base);
        Some(Self {
            id: profile.user_number,
            user_id: profile.user_number,
            user_display,
            business_type,
            business_name: own.business_name,
            descriptions: own.descriptions,
            contact: own.contact,
            offers_local_products: own.offers_local_products,
            products_and_services_ids: gallery.ids,
            products_and_services: gallery.urls,
            products_and_services_full: gallery.files,
        })
    }
}

/// Somebody who buys and asks.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsumerProfile)]
pub struct Consumer {
    /// The person's number.
    pub id: i64,
    pub user_id: i64,
    pub user_display: String,
}

impl Shown for Consumer {
    const KIND: ProfileKind = ProfileKind::Consumer;

    fn read(_: &mut Fields, _: Extent) -> Written {
        forms::consumer()
    }

    fn of(profile: v1::Profile, user_display: String, _: &Files, _: &Base) -> Option<Self> {
        let Some(Details::Consumer(_)) = profile.details else { return None };
        Some(Self { id: profile.user_number, user_id: profile.user_number, user_display })
    }
}

/// The files of a profile that still exist, in order.
struct Gallery {
    ids: Vec<i64>,
    urls: Vec<String>,
    files: Vec<Media>,
}

impl Gallery {
    fn of(ids: &[String], files: &Files, base: &Base) -> Self {
        let files = files.list(ids, base);
        Self {
            ids: files.iter().map(|file| file.id).collect(),
            urls: files.iter().filter_map(|file| file.url.clone()).collect(),
            files,
        }
    }
}

/// Every file that a profile names, as far as the caller is shown it.
fn file_ids(profile: &v1::Profile) -> Vec<&str> {
    match &profile.details {
        Some(Details::Specialist(own)) => {
            let documents = own
                .verification
                .iter()
                .flat_map(|all| [&all.title_id, &all.student_card_id, &all.graduation_letter_id].into_iter().flatten());
            own.work_image_ids.iter().chain(documents).map(String::as_str).collect()
        }
        Some(Details::Businessman(own)) => own.product_ids.iter().map(String::as_str).collect(),
        Some(Details::Consumer(_)) | None => Vec::new(),
    }
}

/// Profiles with their people and files: two calls, whatever their number. Those of another kind are left out. If the
/// caller may write one of them, they are shown with all of their files or not at all.
pub async fn show<K: Shown>(
    edge: &Edge,
    base: &Base,
    profiles: Vec<v1::Profile>,
    may_write: impl Fn(&v1::Profile) -> bool,
) -> Result<Vec<K>, Status> {
    let users = profiles.iter().map(|profile| profile.user_id.as_str());
    let files = profiles.iter().flat_map(file_ids);
    let (people, files) = tokio::join!(batch::people(edge, users), batch::all_files(edge, files));
    let files = match files {
        Err(_) if !profiles.iter().any(may_write) => Files::default(),
        files => files?,
    };
    let shown = profiles.into_iter().filter_map(|profile| {
        let display = display(&people, &profile);
        K::of(profile, display, &files, base)
    });
    Ok(shown.collect())
}

fn display(people: &People, profile: &v1::Profile) -> String {
    match people.get(&profile.user_id) {
        Some(user) => user_display(user),
        None => format!("User {}", profile.user_number),
    }
}

/// First name, else phone, else the number.
fn user_display(user: &User) -> String {
    let names = [Some(user.first_name.as_str()), user.phone.as_deref()];
    let name = names.into_iter().flatten().find(|name| !name.is_empty());
    name.map_or_else(|| format!("User {}", user.number), str::to_owned)
}

/// Which profile somebody has; at most one.
#[derive(Default)]
pub struct Embedded {
    pub specialist: Option<Specialist>,
    pub businessman: Option<Businessman>,
    pub consumer: Option<Consumer>,
}

/// The profiles of people, in the order of the people: two calls, whatever their number. While `profiles` is away nobody
/// has one, and while `media` is nobody whose profile names files: the frontend sends back what it is shown, and a gallery
/// that cannot be had for a moment would be one that was emptied.
pub async fn embed(edge: &Edge, base: &Base, users: &[User]) -> Vec<Embedded> {
    let answers = batch::fetch(users.iter().map(|user| user.id.as_str()), |user_ids| {
        let mut profiles = edge.profiles();
        async move { profiles.batch_get_profiles(v1::BatchGetProfilesRequest { user_ids }).await }
    });
    let profiles: Vec<_> = answers.await.into_iter().flat_map(|answer| answer.profiles).collect();
    let files = batch::all_files(edge, profiles.iter().flat_map(file_ids)).await;
    let whole = |profile: &v1::Profile| files.is_ok() || file_ids(profile).is_empty();
    let profiles = profiles.into_iter().filter(whole).map(|profile| (profile.user_id.clone(), profile));
    let mut profiles: HashMap<_, _> = profiles.collect();
    let files = files.unwrap_or_default();
    let embedded = users.iter().map(|user| match profiles.remove(&user.id) {
        Some(profile) => Embedded::of(profile, user_display(user), &files, base),
        None => Embedded::default(),
    });
    embedded.collect()
}

impl Embedded {
    fn of(profile: v1::Profile, display: String, files: &Files, base: &Base) -> Self {
        match &profile.details {
            Some(Details::Specialist(_)) => {
                Self { specialist: Shown::of(profile, display, files, base), ..Self::default() }
            }
            Some(Details::Businessman(_)) => {
                Self { businessman: Shown::of(profile, display, files, base), ..Self::default() }
            }
            Some(Details::Consumer(_)) => {
                Self { consumer: Shown::of(profile, display, files, base), ..Self::default() }
            }
            None => Self::default(),
        }
    }
}
