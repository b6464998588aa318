//! The forum as Agrovet's frontend knows it. Here stands what its areas share: who wrote something, what it is about,
//! and [`Beside`], everything that a page shows besides the forum's own rows.

pub mod comments;
pub mod communities;
pub mod moderation;
pub mod notifications;
pub mod posts;
pub mod reactions;

use std::collections::HashMap;

use axum::Json;
use kit::identity::{Caller, Roles};
use proto::forum::v1::{self, TargetKind};
use proto::media::v1::BatchGetMediaRequest;
use proto::profiles::v1::profile::Details;
use proto::profiles::v1::{BatchGetProfilesRequest, BusinessType, Credential, Profession, Profile};
use serde::Serialize;
use tonic::Status;
use utoipa::ToSchema;

use crate::Edge;
use crate::address::Base;
use crate::agrovet::batch::{self, Files, People};
use crate::agrovet::media::Media;
use crate::agrovet::page::Paged;
use crate::agrovet::users::ROLES;
use crate::agrovet::{Error, Result};
use crate::auth::unsigned;
use crate::form::{Fields, Form};
use crate::input::Input;

/// Somebody, as comments, reactions and notifications show them.
#[derive(Serialize, ToSchema)]
pub struct Person {
    pub id: i64,
    /// First name or names, or `User 17` when nobody can say.
    pub name: String,
    pub avatar: Option<String>,
}

/// Who wrote a post. What is only known of some is left out for the others.
#[derive(Serialize, ToSchema)]
pub struct Author {
    #[serde(flatten)]
    person: Person,
    #[serde(flatten)]
    role: Option<Role>,
    #[serde(flatten)]
    specialist: Option<Specialist>,
    #[serde(flatten)]
    business: Option<Business>,
}

/// Of those whose account is known.
#[derive(Serialize, ToSchema)]
pub struct Role {
    /// `Specialist`, `businessman` or `consumer`.
    role: Option<&'static str>,
}

/// Of specialists.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthorSpecialist)]
pub struct Specialist {
    profession: &'static str,
    /// `graduated`, `student` or `title`.
    verification_type: Option<&'static str>,
    is_verified: bool,
    is_student: bool,
    is_titled: bool,
}

/// Of businesses.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthorBusiness)]
pub struct Business {
    business_type: Option<&'static str>,
    business_name: String,
}

/// The words of professions.
const PROFESSIONS: &[(Profession, &str)] = &[
    (Profession::Veterinarian, "Veterinario"),
    (Profession::Agronomist, "Agrónomo"),
    (Profession::Zootechnician, "Zootecnista"),
];

/// The words of kinds of business.
const BUSINESS_TYPES: &[(BusinessType, &str)] =
    &[(BusinessType::VeterinaryShop, "Agroveterinaria"), (BusinessType::FarmingCompany, "Empresa Agropecuaria")];

/// The strongest first, as the original looked for documents.
const CREDENTIALS: &[(Credential, &str)] =
    &[(Credential::Graduated, "graduated"), (Credential::Student, "student"), (Credential::Title, "title")];

/// The number that Django would most likely have given a kind of thing, and its word.
pub const KINDS: &[(TargetKind, i64, &str)] = &[(TargetKind::Post, 9, "post"), (TargetKind::Comment, 10, "comment")];

/// What a reaction, a notification, a report or an entry of the log is about.
#[derive(Serialize, ToSchema)]
pub struct About {
    pub target_type: Option<&'static str>,
    pub target_id: Option<i64>,
}

impl From<Option<v1::Target>> for About {
    fn from(target: Option<v1::Target>) -> Self {
        let word = |target: &v1::Target| KINDS.iter().find(|(kind, ..)| *kind == target.kind()).map(|(.., word)| *word);
        Self { target_type: target.as_ref().and_then(word), target_id: target.map(|target| target.id) }
    }
}

/// A thing named by its kind and its id, as reactions have it.
pub struct Named {
    kind: String,
    id: Option<i64>,
}

impl Form for Named {
    fn read(f: &mut Fields) -> Self {
        let kind = f.text("content_type").blank().describe("`post` or `comment`").nullable().flatten();
        let id = f.integer("object_id").describe("Its id").nullable().flatten();
        Self { kind: kind.unwrap_or_default(), id }
    }
}

impl Named {
    /// The number that answers show counts as the word, so that what was read can be sent back.
    pub fn target(&self) -> Result<v1::Target> {
        let kind = KINDS.iter().find(|(_, number, word)| self.kind == *word || self.kind == number.to_string());
        let (kind, ..) = kind.ok_or_else(|| Error::detail(400, "invalid content_type"))?;
        let id = self.id.ok_or_else(|| Error::detail(404, "Objeto no encontrado"))?;
        Ok(v1::Target { kind: (*kind).into(), id })
    }
}

/// Ids that a page mentions.
#[derive(Default)]
pub struct Ids<'r> {
    pub people: Vec<&'r str>,
    /// Those of `people` whose profession is shown.
    pub authors: Vec<&'r str>,
    pub files: Vec<&'r str>,
}

/// A row that mentions people and files.
pub trait Mentions {
    fn mention<'r>(&'r self, ids: &mut Ids<'r>);
}

/// What a page shows besides the forum's rows: three calls at once, whatever the number of rows.
pub struct Beside {
    people: People,
    files: Files,
    /// By user id.
    profiles: HashMap<String, Profile>,
    base: Base,
    /// Whether the caller's own reactions are told.
    signed_in: bool,
}

impl Beside {
    pub async fn of<R: Mentions>(edge: &Edge, base: Base, caller: Option<Caller>, rows: &[R]) -> Self {
        let mut ids = Ids::default();
        rows.iter().for_each(|row| row.mention(&mut ids));
        let (people, files, profiles) = tokio::join!(
            batch::people(edge, ids.people),
            batch::files(edge, ids.files),
            batch::fetch(ids.authors, |user_ids| {
                let mut profiles = edge.profiles();
                unsigned(async move { profiles.batch_get_profiles(BatchGetProfilesRequest { user_ids }).await })
            })
        );
        let profiles = profiles.into_iter().flat_map(|answer| answer.profiles);
        let profiles = profiles.map(|profile| (profile.user_id.clone(), profile)).collect();
        Self { people, files, profiles, base, signed_in: caller.is_some() }
    }

    pub fn person(&self, id: &str, number: i64) -> Person {
        Person { id: number, name: self.people.name(id, number), avatar: self.people.picture(id, &self.base) }
    }

    pub fn author(&self, id: &str, number: i64) -> Author {
        let role = self.people.get(id).map(|user| {
            let roles = Roles::from_numbers(&user.roles);
            Role { role: ROLES.iter().find(|(_, role)| roles.contains(*role)).map(|(word, _)| *word) }
        });
        let details = self.profiles.get(id).and_then(|profile| profile.details.as_ref());
        let mut author = Author { person: self.person(id, number), role, specialist: None, business: None };
        match details {
            Some(Details::Specialist(details)) => {
                let verified =
                    CREDENTIALS.iter().find(|(credential, _)| details.credentials().any(|c| c == *credential));
                let verification_type = verified.map(|(_, word)| *word);
                author.specialist = Some(Specialist {
                    profession: word(PROFESSIONS, details.profession()).unwrap_or_default(),
                    verification_type,
                    is_verified: verification_type.is_some(),
                    is_student: verification_type == Some("student"),
                    is_titled: matches!(verification_type, Some("graduated" | "title")),
                });
            }
            Some(Details::Businessman(details)) => {
                author.business = Some(Business {
                    business_type: word(BUSINESS_TYPES, details.business_type()),
                    business_name: details.business_name.clone(),
                });
            }
            Some(Details::Consumer(_)) | None => {}
        }
        author
    }

    pub fn file(&self, id: &str) -> Option<Media> {
        self.files.get(id, &self.base)
    }

    /// The caller's reactions to a thing: at most one. Nothing is said of them to who is signed out.
    pub fn mine(&self, reaction: Option<&v1::Reaction>) -> Option<Vec<reactions::Mine>> {
        self.signed_in.then(|| reaction.into_iter().map(reactions::Mine::of).collect())
    }

    pub fn base(&self) -> &Base {
        &self.base
    }
}

fn word<T: Copy + PartialEq>(words: &[(T, &'static str)], value: T) -> Option<&'static str> {
    words.iter().find(|(known, _)| *known == value).map(|(_, word)| *word)
}

/// The page as the frontend sees it.
pub async fn shown<R: Mentions, T>(
    edge: &Edge,
    base: Base,
    caller: Option<Caller>,
    paged: Paged<R>,
    of: impl Fn(R, &Beside) -> T,
) -> Json<Paged<T>> {
    let beside = Beside::of(edge, base, caller, &paged.results).await;
    Json(paged.map(|row| of(row, &beside)))
}

/// One row as the frontend sees it.
pub async fn shown_one<R: Mentions, T>(
    edge: &Edge,
    base: Base,
    caller: Option<Caller>,
    row: R,
    of: impl Fn(R, &Beside) -> T,
) -> T {
    let beside = Beside::of(edge, base, caller, std::slice::from_ref(&row)).await;
    of(row, &beside)
}

/// The id behind the number of a file that a form names; empty for none.
pub async fn media_id(edge: &Edge, number: Option<i64>) -> Result<String> {
    let Some(number) = number else { return Ok(String::new()) };
    let request = BatchGetMediaRequest { numbers: vec![number], ..Default::default() };
    let found = edge.media().batch_get_media(request).await?.into_inner().media.pop();
    found.map(|media| media.id).ok_or_else(|| no_such_key("media_id", number))
}

/// What Django says of a foreign key that leads nowhere.
fn no_such_key(field: &str, number: i64) -> Error {
    Error::field(field, format!("Clave primaria \"{number}\" inválida - objeto no existe."))
}

/// A write's refusal about a community or a file that its form names, which is a fault of the field.
pub fn of_keys(refusal: Status, community: Option<i64>, media: Option<i64>) -> Error {
    let error = Error::from(refusal);
    match (error.reason(), community, media) {
        ("COMMUNITY_NOT_FOUND", Some(number), _) => no_such_key("community_id", number),
        ("MEDIA_NOT_FOUND", _, Some(number)) => no_such_key("media_id", number),
        // What is wrong with a file is a picture's fault elsewhere.
        _ => error.rename("profile_picture", "media_id"),
    }
}

/// What a form says. If something is wrong with it, `may` is asked first, because that one may not change a thing, or that
/// there is none, comes before what is wrong with the form. Of good forms the service says so itself.
pub async fn form_of_who_may<T>(form: Result<Input<T>>, may: impl Future<Output = Result<()>>) -> Result<T> {
    match form {
        Ok(Input(form)) => Ok(form),
        Err(fault) => may.await.and(Err(fault)),
    }
}
