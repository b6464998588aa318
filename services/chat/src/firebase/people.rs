//! People as Firebase's documents show them.

use std::collections::HashMap;
use std::sync::Arc;

use kit::identity::Roles;
use kit::wire::parse_id;
use proto::access::v1::Role;
use proto::users::v1::{BatchGetUsersRequest, User};
use uuid::Uuid;

use super::Bridge;
use crate::people::Person;

/// People that `users` tells in one call.
const CHUNK: usize = 500;

/// Somebody, as far as a chat's list shows them.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) person: Person,
    pub(super) name: String,
    /// As Conectar spells it.
    pub(super) role: &'static str,
}

impl Bridge {
    /// Those of these people who exist, by what Firebase calls them.
    ///
    /// In the Realtime Database "Contactar" names a professional by the id that the search answered, which is to become
    /// the id of a professional's profile. As long as there is no service of professionals, the search answers people's
    /// own ids, and `users` is whom to ask; that service will be asked here for what `users` does not know.
    pub(super) async fn resolve(&self, ids: &[&str]) -> kit::Result<HashMap<String, Arc<Profile>>> {
        let ids: HashMap<Uuid, &str> = ids.iter().filter_map(|id| Some((id.parse().ok()?, *id))).collect();
        let mut found = HashMap::new();
        let mut unknown = Vec::new();
        for (id, name) in &ids {
            match self.people.get(id) {
                Some(known) => found.extend(known.map(|profile| ((*name).to_owned(), profile))),
                None => unknown.push(*id),
            }
        }
        for chunk in unknown.chunks(CHUNK) {
            let request =
                BatchGetUsersRequest { ids: chunk.iter().map(Uuid::to_string).collect(), ..Default::default() };
            let users = self.chat.users.clone().batch_get_users(request).await?.into_inner().users;
            let mut known = HashMap::new();
            for user in users {
                let profile = Profile::of(&user)?;
                known.insert(profile.person.id, Arc::new(profile));
            }
            for id in chunk {
                let profile = known.remove(id);
                self.people.insert(*id, profile.clone());
                found.extend(profile.map(|profile| (ids[id].to_owned(), profile)));
            }
        }
        Ok(found)
    }

    /// The same for members of a room, in their order. Who deleted their account is still one.
    pub(super) async fn profiles(&self, people: &[Person]) -> kit::Result<Vec<Arc<Profile>>> {
        let ids: Vec<_> = people.iter().map(|person| person.id.to_string()).collect();
        let mut found = self.resolve(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        let profile = |person: &Person| match found.remove(&person.id.to_string()) {
            Some(profile) => profile,
            None => Arc::new(Profile { person: *person, name: unnamed(person.number), role: "CLIENTE" }),
        };
        Ok(people.iter().map(profile).collect())
    }
}

impl Profile {
    fn of(user: &User) -> kit::Result<Self> {
        let person = Person { id: parse_id("users", &user.id)?, number: user.number };
        let roles = Roles::from_numbers(&user.roles);
        let spelled = [(Role::Admin, "ADMIN"), (Role::Professional, "PROFESIONAL")];
        let role = spelled.into_iter().find(|(role, _)| roles.contains(*role)).map_or("CLIENTE", |(_, name)| name);
        let name = format!("{} {}", user.first_name, user.last_name).trim().to_owned();
        let name = if name.is_empty() { unnamed(user.number) } else { name };
        Ok(Self { person, name, role })
    }
}

fn unnamed(number: i64) -> String {
    format!("Usuario {number}")
}
