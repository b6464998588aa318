//! Accounts and profiles. The monolith's profiles have their person's number; the microservices' have one of their own.

use serde::Deserialize;
use serde_json::Value;

use super::{Degrees, File, Moment, Numbers, Record, Text, Who, yes};

#[derive(Deserialize)]
pub(crate) struct User {
    pub(crate) phone_number: Text,
    #[serde(default)]
    pub(crate) password: Text,
    #[serde(default)]
    pub(crate) role: Text,
    #[serde(default)]
    pub(crate) full_name: Text,
    #[serde(default)]
    pub(crate) last_name: Text,
    #[serde(default)]
    pub(crate) profile_picture: Text,
    #[serde(default)]
    pub(crate) bio: Option<Text>,
    #[serde(default)]
    pub(crate) latitude: Option<Degrees>,
    #[serde(default)]
    pub(crate) longitude: Option<Degrees>,
    #[serde(default)]
    pub(crate) is_staff: bool,
    #[serde(default)]
    pub(crate) is_superuser: bool,
    #[serde(default = "yes")]
    pub(crate) is_active: bool,
    pub(crate) date_joined: Moment,
    #[serde(default)]
    pub(crate) last_login: Option<Moment>,
}

#[derive(Deserialize)]
pub(crate) struct Specialist {
    #[serde(default)]
    pub(crate) profession: Text,
    #[serde(default)]
    pub(crate) experience_years: i32,
    #[serde(default)]
    pub(crate) about_us: Text,
    #[serde(default)]
    pub(crate) can_give_consultations: bool,
    #[serde(default)]
    pub(crate) can_offer_online_services: bool,
    #[serde(default)]
    pub(crate) work_images_ids: Numbers,
    #[serde(default)]
    pub(crate) verification_title_id: File,
    #[serde(default)]
    pub(crate) verification_student_card_id: File,
    #[serde(default)]
    pub(crate) verification_graduation_letter_id: File,
}

#[derive(Deserialize)]
pub(crate) struct Businessman {
    #[serde(default)]
    pub(crate) business_type: Text,
    #[serde(default)]
    pub(crate) business_name: Text,
    #[serde(default)]
    pub(crate) descriptions: Text,
    #[serde(default)]
    pub(crate) contact: Text,
    #[serde(default = "yes")]
    pub(crate) offers_local_products: bool,
    #[serde(default)]
    pub(crate) products_and_services_ids: Numbers,
}

impl Record {
    /// Whose profile it is.
    pub(crate) fn person(&self) -> Result<Who, String> {
        let own =
            ["user", "user_id"].into_iter().filter_map(|name| self.fields.get(name)).find(|value| !value.is_null());
        let value: &Value = own.unwrap_or(&self.pk);
        Who::deserialize(value).map_err(|error| error.to_string())
    }
}
