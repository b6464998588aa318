//! What this service tells others, `profile.created`, `profile.updated` and `profile.deleted`, and what it listens to:
//! `user.created` makes a first profile, `user.updated` brings a name, `user.deleted` and `media.deleted` take things
//! away.

use kit::identity::Roles;
use kit::inbox::{Consumer, Received};
use kit::outbox::publish;
use kit::wire::parse_id;
use proto::Event;
use proto::events::v1::{
    MediaDeleted, ProfileCreated, ProfileDeleted, ProfileUpdated, UserCreated, UserDeleted, UserUpdated,
};
use sqlx::PgConnection;

use crate::Profiles;
use crate::documents::Exchange;
use crate::holds::forget_hold;
use crate::input::Change;
use crate::profiles::{
    Kind, Person, ProfileRow, delete_profile, forget_heard_name, gone, insert_welcomed, lock_person, lock_profile,
    lock_referrers, update_documents, update_gallery, update_name, upsert_gone, upsert_heard_name,
};
use crate::ratings::{delete_received, withdraw_ratings};
use crate::verifications::delete_reviews;

#[tonic::async_trait]
impl Consumer for Profiles {
    fn topics(&self) -> &'static [&'static str] {
        &[UserCreated::TOPIC, MediaDeleted::TOPIC]
    }

    async fn consume(&self, tx: &mut PgConnection, event: &Received) -> kit::Result<()> {
        if let Some(created) = event.parse::<UserCreated>()? {
            self.welcome_newcomer(tx, created).await
        } else if let Some(updated) = event.parse::<UserUpdated>()? {
            copy_name(tx, updated).await
        } else if let Some(deleted) = event.parse::<UserDeleted>()? {
            forget_person(tx, deleted).await
        } else if let Some(deleted) = event.parse::<MediaDeleted>()? {
            self.drop_file(tx, deleted).await
        } else {
            Ok(())
        }
    }
}

impl Profiles {
    async fn welcome_newcomer(&self, tx: &mut PgConnection, event: UserCreated) -> kit::Result<()> {
        let Some(kind) = Roles::from_names(&event.roles).iter().find_map(Kind::of_role) else { return Ok(()) };
        let person =
            Person { id: parse_id("user_uuid", &event.user_uuid)?, number: event.user_id, name: event.full_name };
        lock_person(tx, person.id).await?;
        if insert_welcomed(&mut *tx, person.id).await? {
            let change = Change::chosen(kind, event.speciality.as_deref().unwrap_or_default());
            self.welcome(tx, &person, &change).await?;
        }
        Ok(())
    }

    async fn drop_file(&self, tx: &mut PgConnection, event: MediaDeleted) -> kit::Result<()> {
        let file = parse_id("media_uuid", &event.media_uuid)?;
        let now = self.clock.now();
        for before in lock_referrers(tx, file).await? {
            let mut after = before.clone();
            let gallery: Vec<_> = before.gallery.iter().copied().filter(|id| *id != file).collect();
            if gallery != before.gallery {
                after = update_gallery(tx, before.id, &gallery, now).await?;
            }
            let documents = before.documents.exchanged(Exchange::without(&before.documents, file), now);
            if documents != before.documents {
                after = update_documents(tx, before.id, &documents, now).await?;
            }
            publish_updated(tx, &after).await?;
        }
        Ok(())
    }
}

async fn copy_name(tx: &mut PgConnection, event: UserUpdated) -> kit::Result<()> {
    let user_id = parse_id("user_uuid", &event.user_uuid)?;
    lock_person(tx, user_id).await?;
    // The end of an account comes from `auth` and the name from `users`, so the name may be heard last.
    if !update_name(&mut *tx, user_id, &event.full_name).await? && !gone(&mut *tx, user_id).await? {
        upsert_heard_name(tx, user_id, &event.full_name).await?;
    }
    Ok(())
}

async fn forget_person(tx: &mut PgConnection, event: UserDeleted) -> kit::Result<()> {
    let user_id = parse_id("user_uuid", &event.user_uuid)?;
    lock_person(tx, user_id).await?;
    upsert_gone(&mut *tx, user_id).await?;
    let row = lock_profile(tx, user_id).await?;
    if let Some(row) = &row {
        delete_profile(tx, row.id).await?;
    }
    withdraw_ratings(tx, user_id).await?;
    delete_received(&mut *tx, user_id).await?;
    delete_reviews(&mut *tx, user_id).await?;
    forget_heard_name(&mut *tx, user_id).await?;
    forget_hold(&mut *tx, user_id).await?;
    match row {
        Some(row) => publish_deleted(tx, &row).await,
        None => Ok(()),
    }
}

pub(crate) async fn publish_created(tx: &mut PgConnection, row: &ProfileRow) -> kit::Result<()> {
    let event = ProfileCreated {
        profile_id: row.id,
        user_id: row.user_number,
        profile_type: row.kind.word().to_owned(),
        user_uuid: row.user_id.to_string(),
    };
    publish(tx, &row.user_number.to_string(), &event).await
}

pub(crate) async fn publish_updated(tx: &mut PgConnection, row: &ProfileRow) -> kit::Result<()> {
    let event = ProfileUpdated {
        profile_id: row.id,
        user_id: row.user_number,
        profile_type: row.kind.word().to_owned(),
        user_uuid: row.user_id.to_string(),
    };
    publish(tx, &row.user_number.to_string(), &event).await
}

pub(crate) async fn publish_deleted(tx: &mut PgConnection, row: &ProfileRow) -> kit::Result<()> {
    let event = ProfileDeleted {
        profile_id: row.id,
        user_id: row.user_number,
        profile_type: row.kind.word().to_owned(),
        user_uuid: row.user_id.to_string(),
    };
    publish(tx, &row.user_number.to_string(), &event).await
}

impl Kind {
    /// As events name it.
    fn word(self) -> &'static str {
        match self {
            Self::Specialist => "specialist",
            Self::Businessman => "businessman",
            Self::Consumer => "consumer",
        }
    }
}
