//! Accounts and profiles, in the words of the services.

use ::profiles::bulk::import as profiles;
use auth::bulk::import as accounts;
use media::bulk::Folder;
use users::bulk::import as people;

use super::Reader;
use crate::import::models::people::{Businessman, Specialist, User};
use crate::import::models::{Degrees, Record, Who};

impl Reader<'_> {
    pub(super) fn user(&mut self, record: Record) -> Result<(), String> {
        let (place, number) = (self.place, record.number()?);
        let user: User = record.fields()?;
        let phone = Who::phone(&user.phone_number.0);
        if !phone.is_empty() {
            // Of several with one phone, the one that is imported.
            self.read.numbers.entry(phone.clone()).and_modify(|first| *first = number.min(*first)).or_insert(number);
        }
        // Also without digits: such a name is nobody's phone here.
        self.read.phones.insert(number, phone);
        let role = role(&user.role.0);
        if let Some(role) = &role {
            self.batch.roles.push(profiles::Role { place, number, role: role.clone() });
        }
        self.batch.accounts.push(accounts::Account {
            place,
            number,
            phone: user.phone_number.0,
            password: user.password.0,
            role,
            administrator: user.is_staff || user.is_superuser,
            active: user.is_active,
            created_at: user.date_joined.0,
            last_login_at: user.last_login.map(|at| at.0),
        });
        let degrees = |degrees: Option<Degrees>| degrees.map(|degrees| degrees.0);
        self.batch.people.push(people::Person {
            place,
            number,
            first_name: user.full_name.0,
            last_name: user.last_name.0,
            bio: user.bio.map(|bio| bio.0),
            latitude: degrees(user.latitude),
            longitude: degrees(user.longitude),
            picture: !user.profile_picture.0.is_empty(),
            created_at: user.date_joined.0,
        });
        Ok(())
    }

    pub(super) fn specialist(&mut self, record: Record) -> Result<(), String> {
        let person = record.person()?;
        let own: Specialist = record.fields()?;
        self.shown(&person.0, Folder::Portfolio, own.work_images_ids.0.iter().copied());
        let proofs =
            [own.verification_title_id, own.verification_student_card_id, own.verification_graduation_letter_id];
        self.shown(&person.0, Folder::Verification, proofs.iter().filter_map(|proof| proof.0));
        self.profile(
            person,
            profiles::Details::Specialist(profiles::Specialist {
                profession: profession(own.profession.0),
                experience_years: own.experience_years,
                about_us: own.about_us.0,
                can_give_consultations: own.can_give_consultations,
                can_offer_online_services: own.can_offer_online_services,
                work_images: own.work_images_ids.0,
                title: own.verification_title_id.0,
                student_card: own.verification_student_card_id.0,
                graduation_letter: own.verification_graduation_letter_id.0,
            }),
        );
        Ok(())
    }

    pub(super) fn businessman(&mut self, record: Record) -> Result<(), String> {
        let person = record.person()?;
        let own: Businessman = record.fields()?;
        self.shown(&person.0, Folder::Products, own.products_and_services_ids.0.iter().copied());
        self.profile(
            person,
            profiles::Details::Businessman(profiles::Businessman {
                business_type: business_type(own.business_type.0),
                business_name: own.business_name.0,
                descriptions: own.descriptions.0,
                contact: own.contact.0,
                offers_local_products: own.offers_local_products,
                products: own.products_and_services_ids.0,
            }),
        );
        Ok(())
    }

    pub(super) fn consumer(&mut self, record: Record) -> Result<(), String> {
        let person = record.person()?;
        self.profile(person, profiles::Details::Consumer);
        Ok(())
    }

    fn profile(&mut self, person: Who, details: profiles::Details) {
        self.batch.profiles.push(profiles::Profile { place: self.place, person: person.0, details });
    }
}

/// Words that nobody knows stay what they are, here and below.
fn role(word: &str) -> Option<String> {
    let known = match word {
        "" => return None,
        "Specialist" => "SPECIALIST",
        "businessman" => "BUSINESSMAN",
        "consumer" => "CONSUMER",
        other => other,
    };
    Some(known.to_owned())
}

fn profession(text: String) -> String {
    match &*plain(&text) {
        "veterinario" => "VETERINARIAN".to_owned(),
        "agronomo" => "AGRONOMIST".to_owned(),
        "zootecnista" => "ZOOTECHNICIAN".to_owned(),
        _ => text,
    }
}

fn business_type(text: String) -> String {
    match &*plain(&text) {
        "agroveterinaria" => "VETERINARY_SHOP".to_owned(),
        "empresa agropecuaria" => "FARMING_COMPANY".to_owned(),
        _ => text,
    }
}

/// In small letters and without accents, however these are written; nothing around it.
fn plain(text: &str) -> String {
    let letters = text.trim().chars().flat_map(char::to_lowercase).filter(|letter| *letter != '\u{301}');
    letters
        .map(|letter| match letter {
            'á' => 'a',
            'é' => 'e',
            'í' => 'i',
            'ó' => 'o',
            'ú' => 'u',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profession_is_known_however_it_is_written() {
        for written in ["Agrónomo", " AGRÓNOMO ", "agronomo", "Agro\u{301}nomo"] {
            assert_eq!(profession(written.to_owned()), "AGRONOMIST", "{written}");
        }
        assert_eq!(profession("Apicultor".to_owned()), "Apicultor");
        assert_eq!(business_type("EMPRESA agropecuaria".to_owned()), "FARMING_COMPANY");
    }
}
