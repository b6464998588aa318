//! Who is calling: a person by a signed token, a service by its certificate.

mod keys;
mod revocation;
mod token;

use std::sync::Arc;

use proto::access::v1::Role;
use tonic::Request;
use uuid::Uuid;

pub use keys::{KeyCache, KeySource};
pub use revocation::{Revocations, follow};
pub use token::{AUDIENCE, Claims, ISSUER, Verifier};

use crate::access::role_name;
use crate::error::{Result, denied, unauthenticated};

/// The person on whose behalf a call is made, from a verified token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub id: Uuid,
    pub number: i64,
    pub roles: Roles,
    pub session: Uuid,
    /// When the token ends, Unix seconds.
    pub expires_at: i64,
}

impl Caller {
    pub fn admin(&self) -> bool {
        self.roles.contains(Role::Admin)
    }

    /// Everybody may act for themselves, an administrator for anybody.
    pub fn may_act_for(&self, id: Uuid) -> Result<()> {
        if self.id == id || self.admin() { Ok(()) } else { Err(denied("NOT_YOURS", "this belongs to somebody else")) }
    }
}

/// The service on the other end of the connection, proven by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(pub Arc<str>);

/// The caller; UNAUTHENTICATED when nobody is signed in.
pub fn caller<T>(request: &Request<T>) -> Result<Caller> {
    try_caller(request).ok_or_else(|| unauthenticated("NOT_SIGNED_IN", "an access token is needed"))
}

/// The caller, if somebody is signed in.
pub fn try_caller<T>(request: &Request<T>) -> Option<Caller> {
    request.extensions().get().copied()
}

/// The calling service, if the connection proves one.
pub fn peer<T>(request: &Request<T>) -> Option<Peer> {
    request.extensions().get().cloned()
}

/// Every role, in the order of the contract.
fn roles() -> impl Iterator<Item = Role> {
    (1..32).filter_map(|n| Role::try_from(n).ok())
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u32);

impl Roles {
    pub fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u32) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn intersects(self, other: Roles) -> bool {
        self.0 & other.0 != 0
    }

    /// In the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        roles().filter(move |role| self.contains(*role))
    }

    /// Unknown names are left out: a newer `auth` may know more roles than we do.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Self {
        // No text is built for it: this is asked once for each person of a list.
        names.iter().filter_map(|name| roles().find(|role| role_name(*role) == name.as_ref())).collect()
    }

    /// As in tokens and databases: `SPECIALIST`.
    pub fn names(self) -> Vec<String> {
        self.iter().map(|role| role_name(role).to_owned()).collect()
    }

    /// From the numbers in a message; unknown ones and zero are left out.
    pub fn from_numbers(numbers: &[i32]) -> Self {
        numbers.iter().filter_map(|n| Role::try_from(*n).ok()).collect()
    }

    /// As in messages.
    pub fn numbers(self) -> Vec<i32> {
        self.iter().map(|role| role as i32).collect()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().filter(|r| *r != Role::Unspecified).fold(0, |set, role| set | 1 << role as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_survive_names_and_numbers_and_drop_what_is_unknown() {
        let roles: Roles = [Role::Admin, Role::Client, Role::Client].into_iter().collect();
        assert_eq!(roles.names(), ["CLIENT", "ADMIN"]);
        assert_eq!(Roles::from_names(&["CLIENT", "ADMIN", "WIZARD", "UNSPECIFIED"]), roles);
        assert_eq!(Roles::from_numbers(&[6, 4, 0, 31, -1]), roles);
        assert!(!roles.contains(Role::Unspecified));
    }
}
