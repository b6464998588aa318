//! Roles: what may be taken by oneself, how Agrovet's events spell them, and the one that a profile holds.
//!
//! Who has a profile in Agrovet has its role, and keeps it as long as the profile. `profiles` says so after its own
//! commit, and says it until we have heard, each time with the version of what it says; so what is held here becomes
//! what is true there, whatever is lost or comes twice or late.

use kit::db::{begin, commit};
use kit::error::Result;
use kit::identity::Roles;
use kit::outbox::publish;
use proto::access::v1::Role;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Auth;
use crate::accounts::{AccountRow, Live, lock_account, replace_roles, update_account};

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

impl Auth {
    /// Holds a role of Agrovet, or none, and makes it the account's.
    pub(crate) async fn hold(&self, id: Uuid, role: Role, version: i64, spared: Option<Uuid>) -> Result<AccountRow> {
        let held = (role != Role::Unspecified).then_some(role);
        let now = self.clock.now();

        let intent = self.intend(id).await?;
        let mut tx = begin(&self.db).await?;
        intent.redeem(&mut tx).await?;
        let before = lock_account(&mut tx, id).await?.live()?;
        if !update_held(&mut tx, id, None, version).await? {
            // Nothing is changed, and the intent is not needed either.
            commit(tx).await?;
            return Ok(before);
        }
        let roles = held.map_or(before.roles(), |role| with_agrovet(before.roles(), role));
        if roles == before.roles() {
            update_held(&mut tx, id, held, version).await?;
            commit(tx).await?;
            return Ok(before);
        }
        let after = update_account(&mut tx, id, None, &roles.names()).await?;
        update_held(&mut tx, id, held, version).await?;
        let ended = replace_roles(&mut tx, &before, &after, Some(id), spared, now).await?;
        publish(&mut tx, &id.to_string(), &after.changed()).await?;
        self.tell_users(&after, None).await?;
        commit(tx).await?;
        self.revoke(&ended).await;
        Ok(after)
    }
}

/// Whether it is news. Within one transaction the same version may be written again.
async fn update_held(conn: &mut PgConnection, id: Uuid, role: Option<Role>, version: i64) -> Result<bool> {
    let name = role.map(kit::access::role_name);
    let news = sqlx::query!(
        "update accounts set held_role = $2, held_version = $3 where id = $1 and held_version <= $3",
        id,
        name,
        version,
    );
    Ok(news.execute(conn).await?.rows_affected() == 1)
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
