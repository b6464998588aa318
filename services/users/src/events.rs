//! What this service tells others, `user.updated` and `user.avatar_uploaded`, and what it listens to: `account.changed`
//! repairs the copy of an account, `chat.moderado` brings how somebody stands in chats, `media.deleted` takes a picture
//! away and `media.updated` changes its path.

use kit::identity::Roles;
use kit::inbox::{Consumer, Received};
use kit::outbox::publish;
use kit::wire::parse_id;
use proto::Event;
use proto::access::v1::Role;
use proto::events::v1::{AccountChanged, ChatModerated, MediaDeleted, MediaUpdated, UserAvatarUploaded, UserUpdated};
use sqlx::PgConnection;

use crate::Users;
use crate::people::{Account, Person, lock_person, lock_wearers, update_account, update_avatar, update_chat_standing};

#[tonic::async_trait]
impl Consumer for Users {
    fn topics(&self) -> &'static [&'static str] {
        &[AccountChanged::TOPIC, ChatModerated::TOPIC, MediaDeleted::TOPIC]
    }

    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> kit::Result<()> {
        if let Some(changed) = event.parse::<AccountChanged>()? {
            self.repair_account(tx, changed).await
        } else if let Some(moderated) = event.parse::<ChatModerated>()? {
            update_chat_standing(tx, parse_id("user_id", &moderated.user_id)?, &moderated, self.clock.now()).await
        } else if let Some(deleted) = event.parse::<MediaDeleted>()? {
            self.drop_avatar(tx, deleted).await
        } else if let Some(updated) = event.parse::<MediaUpdated>()? {
            self.renew_avatars(tx, parse_id("media_uuid", &updated.media_uuid)?).await
        } else {
            Ok(())
        }
    }
}

impl Users {
    async fn repair_account(&self, tx: &mut PgConnection, event: AccountChanged) -> kit::Result<()> {
        let id = parse_id("user_uuid", &event.user_uuid)?;
        if event.state == "DELETED" {
            return self.anonymize(tx, id).await;
        }
        // Nobody to repair: deleted since, or a registration that was withdrawn.
        let Some(before) = lock_person(tx, id).await? else { return Ok(()) };
        if event.version <= before.account_version {
            return Ok(());
        }
        let account = Account {
            version: event.version,
            phone: event.phone,
            email: event.email,
            roles: Roles::from_names(&event.roles),
            banned: event.state == "BANNED",
        };
        let after = update_account(tx, id, &account, self.clock.now()).await?;
        publish_changes(tx, &before, &after).await
    }

    async fn drop_avatar(&self, tx: &mut PgConnection, event: MediaDeleted) -> kit::Result<()> {
        for before in lock_wearers(tx, parse_id("media_uuid", &event.media_uuid)?).await? {
            let after = update_avatar(tx, before.id, None, self.clock.now()).await?;
            publish_changes(tx, &before, &after).await?;
        }
        Ok(())
    }
}

/// Tells others what is different now; nothing when nothing is.
pub(crate) async fn publish_changes(tx: &mut PgConnection, before: &Person, after: &Person) -> kit::Result<()> {
    let fields = changed_fields(before, after);
    if fields.is_empty() {
        return Ok(());
    }
    let event = UserUpdated {
        user_id: after.number,
        user_uuid: after.id.to_string(),
        full_name: after.first_name.clone(),
        role: agrovet_role(&after.roles),
        profile_picture: after.avatar_path.clone(),
        fields,
    };
    publish(tx, &after.number.to_string(), &event).await?;
    if before.avatar_path != after.avatar_path { publish_picture(tx, after).await } else { Ok(()) }
}

/// Tells others that a person has a new picture, if there is one.
pub(crate) async fn publish_picture(tx: &mut PgConnection, person: &Person) -> kit::Result<()> {
    let Some(path) = &person.avatar_path else { return Ok(()) };
    let event =
        UserAvatarUploaded { user_id: person.number, user_uuid: person.id.to_string(), avatar_url: path.clone() };
    publish(tx, &person.number.to_string(), &event).await
}

/// Names as in `plaza.users.v1.User`.
fn changed_fields(before: &Person, after: &Person) -> Vec<String> {
    let place = |person: &Person| (person.latitude, person.longitude);
    [
        ("first_name", before.first_name != after.first_name),
        ("last_name", before.last_name != after.last_name),
        ("bio", before.bio != after.bio),
        ("location", place(before) != place(after)),
        ("address", before.address != after.address),
        ("contact_phone", before.contact_phone != after.contact_phone),
        ("avatar_path", before.avatar_path != after.avatar_path),
        ("phone", before.phone != after.phone),
        ("email", before.email != after.email),
        ("roles", before.roles != after.roles),
        ("state", before.state != after.state),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(name, _)| name.to_owned())
    .collect()
}

/// As Agrovet's consumers know it; nobody has two of these.
fn agrovet_role(roles: &[String]) -> Option<String> {
    let roles = Roles::from_names(roles);
    [(Role::Specialist, "Specialist"), (Role::Businessman, "businessman"), (Role::Consumer, "consumer")]
        .into_iter()
        .find(|(role, _)| roles.contains(*role))
        .map(|(_, name)| name.to_owned())
}
