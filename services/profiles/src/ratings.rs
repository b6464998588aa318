//! Stars. They are a person's and outlive the profile, which has their sum and number: a profile that is made again
//! counts them. Its row is locked before ratings are touched, so that both follow every rating by itself and equal a
//! recount; and before it whoever gives stars, so that the end of their account takes these back too.

use chrono::{DateTime, Utc};
use kit::error::denied;
use kit::identity::caller;
use kit::wire::parse_id;
use proto::profiles::v1::rating_service_server::RatingService;
use proto::profiles::v1::{Profile, RateSpecialistRequest};
use sqlx::{PgConnection, PgExecutor};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::profiles::{Kind, lock_person, lock_profile, refuse_gone, update_points};
use crate::{Profiles, no_such_profile};

#[tonic::async_trait]
impl RatingService for Profiles {
    async fn rate_specialist(&self, request: Request<RateSpecialistRequest>) -> Result<Response<Profile>, Status> {
        let caller = caller(&request)?;
        let RateSpecialistRequest { user_id, stars } = request.into_inner();
        let user_id = parse_id("user_id", &user_id)?;
        if user_id == caller.id {
            return Err(denied("SELF_NOT_RATEABLE", "nobody rates themselves").into());
        }

        let mut tx = kit::db::begin(&self.db).await?;
        lock_person(&mut tx, caller.id).await?;
        refuse_gone(&mut tx, caller.id).await?;
        let row = lock_profile(&mut tx, user_id).await?;
        row.filter(|row| row.kind == Kind::Specialist).ok_or_else(no_such_profile)?;
        let former = fetch_stars(&mut *tx, user_id, caller.id).await?;
        upsert_rating(&mut *tx, user_id, caller.id, stars as i16, self.clock.now()).await?;
        let added = i64::from(stars) - former.map_or(0, i64::from);
        let row = update_points(&mut tx, user_id, added, i32::from(former.is_none())).await?;
        let row = row.ok_or_else(no_such_profile)?;
        kit::db::commit(tx).await?;
        Ok(Response::new(row.shown_to(Some(caller))))
    }
}

/// Takes back all stars that somebody gave.
pub(crate) async fn withdraw_ratings(tx: &mut PgConnection, rater_id: Uuid) -> kit::Result<()> {
    lock_rated(tx, rater_id).await?;
    for (user_id, stars) in delete_given(&mut *tx, rater_id).await? {
        // Of who is no specialist at the moment nothing is counted.
        update_points(tx, user_id, -i64::from(stars), -1).await?;
    }
    Ok(())
}

async fn fetch_stars(db: impl PgExecutor<'_>, user_id: Uuid, rater_id: Uuid) -> kit::Result<Option<i16>> {
    let stars =
        sqlx::query_scalar!("select stars from ratings where user_id = $1 and rater_id = $2", user_id, rater_id);
    Ok(stars.fetch_optional(db).await?)
}

async fn upsert_rating(
    db: impl PgExecutor<'_>,
    user_id: Uuid,
    rater_id: Uuid,
    stars: i16,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into ratings (user_id, rater_id, stars, rated_at) values ($1, $2, $3, $4)
         on conflict on constraint ratings_once_per_person
         do update set stars = excluded.stars, rated_at = excluded.rated_at",
        user_id,
        rater_id,
        stars,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn lock_rated(conn: &mut PgConnection, rater_id: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "select id from profiles where user_id in (select user_id from ratings where rater_id = $1)
         order by id for update",
        rater_id
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Whose they were, and how many stars.
async fn delete_given(db: impl PgExecutor<'_>, rater_id: Uuid) -> kit::Result<Vec<(Uuid, i16)>> {
    let given = sqlx::query!("delete from ratings where rater_id = $1 returning user_id, stars", rater_id);
    Ok(given.fetch_all(db).await?.into_iter().map(|row| (row.user_id, row.stars)).collect())
}

/// What others gave to somebody whose account is gone.
pub(crate) async fn delete_received(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from ratings where user_id = $1", user_id).execute(db).await?;
    Ok(())
}
