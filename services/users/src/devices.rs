//! Devices that want push notifications. A token belongs to whoever registered it last: the same phone, another login.

use chrono::{DateTime, Utc};
use kit::db::{begin, commit};
use kit::identity::caller;
use kit::seal::sha256;
use proto::users::v1::device_service_server::DeviceService;
use proto::users::v1::{
    Platform, RegisterDeviceRequest, RegisterDeviceResponse, UnregisterDeviceRequest, UnregisterDeviceResponse,
};
use sqlx::{PgConnection, PgExecutor};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::people::lock_person;
use crate::{Users, no_such_user};

#[tonic::async_trait]
impl DeviceService for Users {
    async fn register_device(
        &self,
        request: Request<RegisterDeviceRequest>,
    ) -> Result<Response<RegisterDeviceResponse>, Status> {
        let caller = caller(&request)?;
        let device = request.into_inner();

        let mut tx = begin(&self.db).await?;
        // Two registrations at once would each see nine others and leave eleven.
        lock_person(&mut tx, caller.id).await?.ok_or_else(no_such_user)?;
        upsert_device(&mut tx, caller.id, &device.token, platform(device.platform()), self.clock.now()).await?;
        delete_surplus_devices(&mut tx, caller.id).await?;
        commit(tx).await?;
        Ok(Response::new(RegisterDeviceResponse {}))
    }

    async fn unregister_device(
        &self,
        request: Request<UnregisterDeviceRequest>,
    ) -> Result<Response<UnregisterDeviceResponse>, Status> {
        let caller = caller(&request)?;
        let token = request.into_inner().token;
        if token.is_empty() {
            delete_devices(&self.db, caller.id).await?;
        } else {
            delete_device(&self.db, caller.id, &token).await?;
        }
        Ok(Response::new(UnregisterDeviceResponse {}))
    }
}

fn platform(platform: Platform) -> &'static str {
    match platform {
        Platform::Unspecified | Platform::Web => "WEB",
        Platform::Android => "ANDROID",
        Platform::Ios => "IOS",
    }
}

async fn upsert_device(
    conn: &mut PgConnection,
    person_id: Uuid,
    token: &str,
    platform: &str,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    let hash = sha256(token.as_bytes());
    sqlx::query!(
        "insert into devices (hash, person_id, token, platform, registered_at) values ($1, $2, $3, $4, $5)
         on conflict (hash) do update set person_id = $2, platform = $4, registered_at = $5",
        hash.as_slice(),
        person_id,
        token,
        platform,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_surplus_devices(conn: &mut PgConnection, person_id: Uuid) -> kit::Result<()> {
    sqlx::query!(
        "delete from devices where hash in (
             select hash from devices where person_id = $1 order by registered_at desc, hash offset 10
         )",
        person_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_device(db: impl PgExecutor<'_>, person_id: Uuid, token: &str) -> kit::Result<()> {
    let hash = sha256(token.as_bytes());
    sqlx::query!("delete from devices where hash = $1 and person_id = $2", hash.as_slice(), person_id)
        .execute(db)
        .await?;
    Ok(())
}

/// All of a person's.
pub(crate) async fn delete_devices(db: impl PgExecutor<'_>, person_id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from devices where person_id = $1", person_id).execute(db).await?;
    Ok(())
}
