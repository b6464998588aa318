//! People by id or number. `users` says who exists; the pair of id and number never changes.

use std::collections::{HashMap, HashSet};

use kit::error::not_found;
use kit::wire::parse_id;
use proto::chat::v1::UserKey;
use proto::chat::v1::user_key::Key;
use proto::users::v1::BatchGetUsersRequest;
use uuid::Uuid;

use crate::Chat;

/// People that `users` tells in one call.
const CHUNK: usize = 500;

/// Somebody, by both names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
}

impl Chat {
    /// Everybody who is named, each once, in the order of first mention. Reason: `USER_NOT_FOUND`.
    pub(crate) async fn people(&self, keys: &[UserKey]) -> kit::Result<Vec<Person>> {
        let mut found: HashMap<String, Person> = HashMap::new();
        for chunk in keys.chunks(CHUNK) {
            let mut request = BatchGetUsersRequest::default();
            for key in chunk {
                match &key.key {
                    Some(Key::Id(id)) => request.ids.push(id.clone()),
                    Some(Key::Number(number)) => request.numbers.push(*number),
                    None => return Err(no_such_user()),
                }
            }
            for user in self.users.clone().batch_get_users(request).await?.into_inner().users {
                let person = Person { id: parse_id("users", &user.id)?, number: user.number };
                found.insert(person.id.to_string(), person);
                found.insert(person.number.to_string(), person);
            }
        }
        let mut seen = HashSet::new();
        let mut people = Vec::with_capacity(keys.len());
        for key in keys {
            let name = match &key.key {
                // However it was written.
                Some(Key::Id(id)) => parse_id("users", id)?.to_string(),
                Some(Key::Number(number)) => number.to_string(),
                None => return Err(no_such_user()),
            };
            let person = *found.get(&name).ok_or_else(no_such_user)?;
            if seen.insert(person.id) {
                people.push(person);
            }
        }
        Ok(people)
    }

    pub(crate) async fn person(&self, key: Option<&UserKey>) -> kit::Result<Person> {
        let key = key.ok_or_else(no_such_user)?;
        self.people(std::slice::from_ref(key)).await?.first().copied().ok_or_else(no_such_user)
    }
}

pub(crate) fn no_such_user() -> kit::Error {
    not_found("USER_NOT_FOUND", "no such person")
}
