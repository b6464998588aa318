//! Who follows whom. A row is the business of its two people and of nobody else.

use chrono::{DateTime, Utc};
use kit::db::{OnConstraint, begin, commit};
use kit::error::{Error, already_exists, invalid_because, not_found};
use kit::identity::{Caller, caller};
use kit::page;
use kit::wire::{parse_id, timestamp};
use proto::marketplace::v1::follow_service_server::FollowService;
use proto::marketplace::v1::{
    CreateFollowRequest, DeleteFollowRequest, DeleteFollowResponse, Follow, GetFollowRequest, ListFollowsRequest,
    ListFollowsResponse,
};
use proto::users::v1::{GetUserRequest, get_user_request::Key};
use sqlx::{PgConnection, PgExecutor};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Marketplace;
use crate::events::{publish_follow, publish_unfollows};
use crate::gone::must_be_here;

#[tonic::async_trait]
impl FollowService for Marketplace {
    async fn get_follow(&self, request: Request<GetFollowRequest>) -> Result<Response<Follow>, Status> {
        let caller = caller(&request)?;
        let follow = fetch_follow(&self.db, request.get_ref().id).await?;
        let follow = follow.filter(|follow| follow.concerns(caller)).ok_or_else(no_such_follow)?;
        Ok(Response::new(follow.into()))
    }

    async fn list_follows(
        &self,
        request: Request<ListFollowsRequest>,
    ) -> Result<Response<ListFollowsResponse>, Status> {
        let caller = caller(&request)?;
        let ListFollowsRequest { page_size, page_token, skip, followers, newest_first } = request.into_inner();
        let scope = format!("ListFollows {} {followers} {newest_first}", caller.id);
        let after = self.pager.open::<i64>(&scope, &page_token)?;
        let size = page::size(page_size, 20, 100);
        // One more than asked tells whether there is a next page.
        let (limit, skip) = (size + 1, i64::from(skip));
        let which = (followers, newest_first);
        let mut follows = list_follows(&self.db, caller.number, which, after, limit, skip).await?;
        let total_size = count_follows(&self.db, caller.number, followers).await?;

        let next_page_token = self.pager.cut(&scope, &mut follows, size, |last| last.id)?;
        let follows = follows.into_iter().map(Into::into).collect();
        Ok(Response::new(ListFollowsResponse { follows, next_page_token, total_size }))
    }

    async fn create_follow(&self, request: Request<CreateFollowRequest>) -> Result<Response<Follow>, Status> {
        let caller = caller(&request)?;
        let number = request.get_ref().following_number;
        if number == caller.number {
            return Err(invalid_because("following_number", "FOLLOWS_SELF", "nobody follows themselves").into());
        }
        let user = self.users.clone().get_user(GetUserRequest { key: Some(Key::Number(number)) }).await?.into_inner();
        let id = parse_id("user.id", &user.id)?;

        let mut tx = begin(&self.db).await?;
        must_be_here(&mut tx, &[caller.id, id]).await?;
        let follow = insert_follow(&mut tx, caller, id, user.number, self.clock.now()).await?;
        publish_follow(&mut tx, &follow).await?;
        commit(tx).await?;
        Ok(Response::new(follow.into()))
    }

    async fn delete_follow(
        &self,
        request: Request<DeleteFollowRequest>,
    ) -> Result<Response<DeleteFollowResponse>, Status> {
        let caller = caller(&request)?;
        let mut tx = begin(&self.db).await?;
        let follow = delete_follow(&mut tx, request.get_ref().id).await?.ok_or_else(no_such_follow)?;
        // An error here takes the deletion back.
        caller.may_act_for(follow.follower_id)?;
        publish_unfollows(&mut tx, &[follow]).await?;
        commit(tx).await?;
        Ok(Response::new(DeleteFollowResponse {}))
    }
}

/// A row of `follows`.
pub(crate) struct FollowRow {
    pub(crate) id: i64,
    pub(crate) follower_id: Uuid,
    pub(crate) follower_number: i64,
    pub(crate) following_id: Uuid,
    pub(crate) following_number: i64,
    pub(crate) created_at: DateTime<Utc>,
}

impl FollowRow {
    fn concerns(&self, caller: Caller) -> bool {
        [self.follower_id, self.following_id].contains(&caller.id) || caller.admin()
    }
}

impl From<FollowRow> for Follow {
    fn from(row: FollowRow) -> Self {
        Self {
            id: row.id,
            follower_id: row.follower_id.to_string(),
            follower_number: row.follower_number,
            following_id: row.following_id.to_string(),
            following_number: row.following_number,
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

fn no_such_follow() -> Error {
    not_found("FOLLOW_NOT_FOUND", "no such row")
}

/// `$before`, the columns of [`FollowRow`], `$after`.
macro_rules! follows {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            FollowRow,
            $before + " id, follower_id, follower_number, following_id, following_number, created_at " + $after
            $(, $argument)*
        )
    };
}

async fn fetch_follow(db: impl PgExecutor<'_>, id: i64) -> kit::Result<Option<FollowRow>> {
    Ok(follows!("select", "from follows where id = $1", id).fetch_optional(db).await?)
}

/// A page of the rows in which `number` follows, or with `followers` is followed.
async fn list_follows(
    db: impl PgExecutor<'_>,
    number: i64,
    (followers, newest_first): (bool, bool),
    after: Option<i64>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<FollowRow>> {
    // A statement for each index and direction.
    macro_rules! page {
        ($rest:literal) => {
            follows!("select", $rest, number, after, limit, skip).fetch_all(db).await?
        };
    }
    Ok(match (followers, newest_first) {
        (false, false) => page!(
            "from follows where follower_number = $1 and id > coalesce($2::bigint, 0)
             order by id limit $3 offset $4"
        ),
        (false, true) => page!(
            "from follows where follower_number = $1 and id < coalesce($2::bigint, 9223372036854775807)
             order by id desc limit $3 offset $4"
        ),
        (true, false) => page!(
            "from follows where following_number = $1 and id > coalesce($2::bigint, 0)
             order by id limit $3 offset $4"
        ),
        (true, true) => page!(
            "from follows where following_number = $1 and id < coalesce($2::bigint, 9223372036854775807)
             order by id desc limit $3 offset $4"
        ),
    })
}

async fn count_follows(db: impl PgExecutor<'_>, number: i64, followers: bool) -> kit::Result<i32> {
    let count = match followers {
        false => {
            sqlx::query_scalar!(
                r#"select count(*)::int as "count!"
                   from (select 1 from follows where follower_number = $1 limit 10000) as found"#,
                number
            )
            .fetch_one(db)
            .await?
        }
        true => {
            sqlx::query_scalar!(
                r#"select count(*)::int as "count!"
                   from (select 1 from follows where following_number = $1 limit 10000) as found"#,
                number
            )
            .fetch_one(db)
            .await?
        }
    };
    Ok(count)
}

async fn insert_follow(
    conn: &mut PgConnection,
    follower: Caller,
    following_id: Uuid,
    following_number: i64,
    now: DateTime<Utc>,
) -> kit::Result<FollowRow> {
    let row = follows!(
        "insert into follows (follower_id, follower_number, following_id, following_number, created_at)
         values ($1, $2, $3, $4, $5) returning",
        "",
        follower.id,
        follower.number,
        following_id,
        following_number,
        now
    );
    let already = || already_exists("FOLLOWS_ALREADY", "you follow them already");
    row.fetch_one(conn).await.on_constraint("follows_once", already)
}

async fn delete_follow(conn: &mut PgConnection, id: i64) -> kit::Result<Option<FollowRow>> {
    Ok(follows!("delete from follows where id = $1 returning", "", id).fetch_optional(conn).await?)
}

/// Ids of some of somebody's, in either direction.
pub(crate) async fn list_follows_of(conn: &mut PgConnection, number: i64, most: i64) -> kit::Result<Vec<i64>> {
    let ids = sqlx::query_scalar!(
        r#"select id as "id!"
           from (
               (select id from follows where follower_number = $1 order by id limit $2)
               union all
               (select id from follows where following_number = $1 order by id limit $2)
           ) as theirs
           order by id limit $2"#,
        number,
        most
    );
    Ok(ids.fetch_all(conn).await?)
}

/// Those that are still there.
pub(crate) async fn delete_follows(conn: &mut PgConnection, ids: &[i64]) -> kit::Result<Vec<FollowRow>> {
    let rows = follows!(
        "with locked as (select id from follows where id = any($1) order by id for update)
         delete from follows where id in (select id from locked) returning",
        "",
        ids
    );
    Ok(rows.fetch_all(conn).await?)
}
