//! Stars. The profile's row is locked before its ratings are touched, so that sum and number follow every rating by
//! itself and equal a recount.

use chrono::{DateTime, Utc};
use kit::error::denied;
use kit::identity::caller;
use kit::wire::parse_id;
use proto::profiles::v1::rating_service_server::RatingService;
use proto::profiles::v1::{Profile, RateSpecialistRequest};
use sqlx::{PgConnection, PgExecutor};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::profiles::{Kind, lock_profile, update_points};
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
        let row = lock_profile(&mut tx, user_id).await?;
        let row = row.filter(|row| row.kind == Kind::Specialist).ok_or_else(no_such_profile)?;
        let former = fetch_stars(&mut *tx, row.id, caller.id).await?;
        upsert_rating(&mut *tx, row.id, caller.id, stars as i16, self.clock.now()).await?;
        let added = i64::from(stars) - former.map_or(0, i64::from);
        let row = update_points(&mut tx, row.id, added, i32::from(former.is_none())).await?;
        kit::db::commit(tx).await?;
        Ok(Response::new(row.shown_to(Some(caller))))
    }
}

/// Takes back all stars that somebody gave.
pub(crate) async fn withdraw_ratings(tx: &mut PgConnection, rater_id: Uuid) -> kit::Result<()> {
    for profile_id in lock_rated(tx, rater_id).await? {
        if let Some(stars) = delete_rating(&mut *tx, profile_id, rater_id).await? {
            update_points(tx, profile_id, -i64::from(stars), -1).await?;
        }
    }
    Ok(())
}

async fn fetch_stars(db: impl PgExecutor<'_>, profile_id: i64, rater_id: Uuid) -> kit::Result<Option<i16>> {
    let stars =
        sqlx::query_scalar!("select stars from ratings where profile_id = $1 and rater_id = $2", profile_id, rater_id);
    Ok(stars.fetch_optional(db).await?)
}

async fn upsert_rating(
    db: impl PgExecutor<'_>,
    profile_id: i64,
    rater_id: Uuid,
    stars: i16,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into ratings (profile_id, rater_id, stars, rated_at) values ($1, $2, $3, $4)
         on conflict on constraint ratings_once_per_person
         do update set stars = excluded.stars, rated_at = excluded.rated_at",
        profile_id,
        rater_id,
        stars,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn lock_rated(conn: &mut PgConnection, rater_id: Uuid) -> kit::Result<Vec<i64>> {
    let ids = sqlx::query_scalar!(
        "select id from profiles where id in (select profile_id from ratings where rater_id = $1)
         order by id for update",
        rater_id
    );
    Ok(ids.fetch_all(conn).await?)
}

/// The stars it had.
async fn delete_rating(db: impl PgExecutor<'_>, profile_id: i64, rater_id: Uuid) -> kit::Result<Option<i16>> {
    let stars = sqlx::query_scalar!(
        "delete from ratings where profile_id = $1 and rater_id = $2 returning stars",
        profile_id,
        rater_id
    );
    Ok(stars.fetch_optional(db).await?)
}
