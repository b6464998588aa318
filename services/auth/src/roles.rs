//! Roles: what may be taken by oneself, and how Agrovet's events spell them.

use kit::identity::Roles;
use proto::access::v1::Role;

const AGROVET: [Role; 3] = [Role::Specialist, Role::Businessman, Role::Consumer];

/// The set with `role` as its one Agrovet role, or none; roles of the other community stay.
pub(crate) fn with_agrovet(roles: Roles, role: Role) -> Roles {
    roles.iter().filter(|role| !AGROVET.contains(role)).chain([role]).collect()
}

/// Agrovet's spelling of its role in the set, in the exact case its consumers compare.
pub(crate) fn agrovet(roles: Roles) -> Option<String> {
    let name = match AGROVET.into_iter().find(|role| roles.contains(*role))? {
        Role::Specialist => "Specialist",
        Role::Businessman => "businessman",
        _ => "consumer",
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_agrovet_role_replaces_only_the_former_one() {
        let roles: Roles = [Role::Consumer, Role::Client].into_iter().collect();
        assert_eq!(with_agrovet(roles, Role::Specialist).names(), ["SPECIALIST", "CLIENT"]);
        assert_eq!(with_agrovet(roles, Role::Unspecified).names(), ["CLIENT"]);
    }

    #[test]
    fn agrovet_spells_its_roles_as_ever() {
        let spelled = |role| agrovet([role].into_iter().collect());
        assert_eq!(spelled(Role::Specialist).as_deref(), Some("Specialist"));
        assert_eq!(spelled(Role::Businessman).as_deref(), Some("businessman"));
        assert_eq!(spelled(Role::Consumer).as_deref(), Some("consumer"));
        assert_eq!(spelled(Role::Client), None);
    }
}
