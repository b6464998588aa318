//! Who belongs to a community, and who was banned from it. Members of the seeds come by role, once; whoever left stays
//! as a row that says so, because no event may bring them back. Counters stand in the community, which is locked by
//! whoever calls these functions.

use chrono::{DateTime, Utc};
use kit::error::{denied, unauthenticated};
use kit::identity::Caller;
use kit::wire::timestamp;
use proto::forum::v1::{Member, MemberRole};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Member,
    Moderator,
    Owner,
}

impl Role {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "OWNER" => Self::Owner,
            "MODERATOR" => Self::Moderator,
            _ => Self::Member,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Moderator => "MODERATOR",
            Self::Member => "MEMBER",
        }
    }
}

impl From<MemberRole> for Role {
    fn from(role: MemberRole) -> Self {
        match role {
            MemberRole::Owner => Self::Owner,
            MemberRole::Moderator => Self::Moderator,
            MemberRole::Member | MemberRole::Unspecified => Self::Member,
        }
    }
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Moderator => Self::Moderator,
            Role::Member => Self::Member,
        }
    }
}

/// A member.
pub(crate) struct MemberRow {
    pub(crate) user_id: Uuid,
    pub(crate) user_number: i64,
    role: String,
    rank: i32,
    joined_at: DateTime<Utc>,
}

impl MemberRow {
    pub(crate) fn role(&self) -> Role {
        Role::named(&self.role)
    }

    pub(crate) fn place(&self) -> Place {
        Place { rank: self.rank, joined_at: self.joined_at, user_id: self.user_id }
    }
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        Self {
            user_id: row.user_id.to_string(),
            user_number: row.user_number,
            role: MemberRole::from(row.role()).into(),
            joined_at: Some(timestamp(row.joined_at)),
        }
    }
}

/// Where a page of members ends.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Place {
    rank: i32,
    joined_at: DateTime<Utc>,
    user_id: Uuid,
}

/// The communities that somebody of this role joins without asking, in the words of Agrovet's events.
fn joined_by(role: Option<&str>) -> Vec<String> {
    let role = role.unwrap_or_default().to_lowercase();
    let says = |words: [&str; 2]| words.iter().any(|word| role.contains(word));
    let by_role = [
        ("CONSUMER", says(["consumer", "consumidor"])),
        ("SPECIALIST", says(["specialist", "especialista"])),
        ("BUSINESSMAN", says(["businessman", "empresario"])),
    ];
    let by_role = by_role.into_iter().filter(|(_, joins)| *joins).map(|(name, _)| name);
    ["EVERYBODY"].into_iter().chain(by_role).map(str::to_owned).collect()
}

/// Makes memberships by role what the role says: ends those of a former one, and adds those that are missing and were
/// never left. Moderators stay whatever they are.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    user: Uuid,
    number: i64,
    role: Option<&str>,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    let joined_by = joined_by(role);
    lock_seeds(conn).await?;
    leave_others(conn, user, &joined_by).await?;
    join_missing(conn, user, number, &joined_by, now).await
}

/// All of them, whatever the role: two events about one person then never wait for each other in a circle.
async fn lock_seeds(conn: &mut PgConnection) -> kit::Result<()> {
    sqlx::query!("select id from communities where joined_by is not null order by id for no key update")
        .fetch_all(conn)
        .await?;
    Ok(())
}

async fn leave_others(conn: &mut PgConnection, user: Uuid, joined_by: &[String]) -> kit::Result<()> {
    sqlx::query!(
        "with gone as (
             delete from memberships m using communities c
             where c.id = m.community_id and m.user_id = $1 and m.by_role and m.left_at is null and m.role = 'MEMBER'
                 and c.joined_by <> all($2)
             returning m.community_id
         )
         update communities c set members_count = members_count - 1 from gone where c.id = gone.community_id",
        user,
        joined_by
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn join_missing(
    conn: &mut PgConnection,
    user: Uuid,
    number: i64,
    joined_by: &[String],
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "with come as (
             insert into memberships (community_id, user_id, user_number, by_role, joined_at)
             select id, $1, $2, true, $4 from communities c
             where joined_by = any($3)
                 and not exists (select from bans b where b.community_id = c.id and b.user_id = $1)
             on conflict do nothing
             returning community_id
         )
         update communities c set members_count = members_count + 1 from come where c.id = come.community_id",
        user,
        number,
        joined_by,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// After an account is gone. What it made is nobody's from now on.
pub(crate) async fn forget(conn: &mut PgConnection, user: Uuid) -> kit::Result<()> {
    let communities = sqlx::query_scalar!(
        "select id from communities where id in (
             select community_id from memberships where user_id = $1
             union all select id from communities where created_by = $1
         ) order by id for no key update",
        user
    )
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query!("update communities set created_by = null, created_by_number = null where created_by = $1", user)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "with gone as (delete from memberships where user_id = $1 returning community_id, left_at)
         update communities c set members_count = members_count - 1
         from gone where c.id = gone.community_id and gone.left_at is null",
        user
    )
    .execute(&mut *conn)
    .await?;
    // Whatever role they had: one that was given while we waited for the lock counts too.
    name_successors(&mut *conn, &communities).await?;
    sqlx::query!("delete from bans where user_id = $1", user).execute(conn).await?;
    Ok(())
}

/// Lets somebody make one membership at a time, and none once the account is gone. Before all other locks.
pub(crate) async fn lock_newcomer(conn: &mut PgConnection, user: Uuid) -> kit::Result<()> {
    lock_person(&mut *conn, user).await?;
    // A statement of its own: it sees what was noted while the one before it waited.
    let gone = sqlx::query_scalar!("select user_id from gone where user_id = $1", user);
    match gone.fetch_optional(conn).await? {
        Some(_) => Err(unauthenticated("SESSION_REVOKED", "the session has ended")),
        None => Ok(()),
    }
}

/// From now on nobody makes a membership of theirs; what is there is for [`forget`].
pub(crate) async fn note_gone(conn: &mut PgConnection, user: Uuid, now: DateTime<Utc>) -> kit::Result<()> {
    lock_person(&mut *conn, user).await?;
    sqlx::query!("insert into gone (user_id, at) values ($1, $2) on conflict do nothing", user, now)
        .execute(conn)
        .await?;
    Ok(())
}

async fn lock_person(db: impl PgExecutor<'_>, user: Uuid) -> kit::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 2))", user).execute(db).await?;
    Ok(())
}

/// Refuses who was banned, with `COMMUNITY_BANNED`.
pub(crate) async fn refuse_banned(db: impl PgExecutor<'_>, community_id: i64, user: Uuid) -> kit::Result<()> {
    let banned = sqlx::query_scalar!(
        r#"select exists (select from bans where community_id = $1 and user_id = $2) as "banned!""#,
        community_id,
        user
    );
    if banned.fetch_one(db).await? {
        return Err(denied("COMMUNITY_BANNED", "the community's moderators banned you"));
    }
    Ok(())
}

pub(crate) async fn insert_owner(
    db: impl PgExecutor<'_>,
    community_id: i64,
    owner: Caller,
    now: DateTime<Utc>,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into memberships (community_id, user_id, user_number, role, joined_at)
         values ($1, $2, $3, 'OWNER', $4)",
        community_id,
        owner.id,
        owner.number,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the person was no member before.
pub(crate) async fn join(
    db: impl PgExecutor<'_>,
    community_id: i64,
    user: Caller,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    let joined = sqlx::query!(
        "insert into memberships as m (community_id, user_id, user_number, joined_at) values ($1, $2, $3, $4)
         on conflict (community_id, user_id) do update set left_at = null, joined_at = $4
         where m.left_at is not null",
        community_id,
        user.id,
        user.number,
        now
    );
    Ok(joined.execute(db).await?.rows_affected() == 1)
}

/// Whether the person was a member before. Who was none leaves too: an event may be on its way to make them one.
pub(crate) async fn leave(
    conn: &mut PgConnection,
    community_id: i64,
    user: Uuid,
    number: i64,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    let left = sqlx::query!(
        "update memberships set left_at = $3, role = 'MEMBER', by_role = false
         where community_id = $1 and user_id = $2 and left_at is null",
        community_id,
        user,
        now
    )
    .execute(&mut *conn)
    .await?;
    if left.rows_affected() == 1 {
        return Ok(true);
    }
    sqlx::query!(
        "insert into memberships (community_id, user_id, user_number, joined_at, left_at)
         select id, $2, $3, $4, $4 from communities where id = $1 and joined_by is not null on conflict do nothing",
        community_id,
        user,
        number,
        now
    )
    .execute(conn)
    .await?;
    Ok(false)
}

pub(crate) async fn fetch_role(db: impl PgExecutor<'_>, community_id: i64, user: Uuid) -> kit::Result<Option<Role>> {
    let role = sqlx::query_scalar!(
        "select role from memberships where community_id = $1 and user_id = $2 and left_at is null",
        community_id,
        user
    );
    Ok(role.fetch_optional(db).await?.map(|role| Role::named(&role)))
}

pub(crate) async fn fetch_member(
    db: impl PgExecutor<'_>,
    community_id: i64,
    user: Uuid,
) -> kit::Result<Option<MemberRow>> {
    let row = sqlx::query_as!(
        MemberRow,
        r#"select user_id, user_number, role, rank as "rank!", joined_at
           from memberships where community_id = $1 and user_id = $2 and left_at is null"#,
        community_id,
        user
    );
    Ok(row.fetch_optional(db).await?)
}

pub(crate) async fn list_ranked(
    db: impl PgExecutor<'_>,
    community_id: i64,
    after: Option<Place>,
    limit: i64,
    skip: i64,
) -> kit::Result<Vec<MemberRow>> {
    let rows = sqlx::query_as!(
        MemberRow,
        r#"select user_id, user_number, role, rank as "rank!", joined_at
           from memberships
           where community_id = $1 and left_at is null
               and (rank, joined_at, user_id)
                   > (coalesce($2, 0), coalesce($3, timestamptz '-infinity'), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
           order by rank, joined_at, user_id limit $5 offset $6"#,
        community_id,
        after.map(|place| place.rank),
        after.map(|place| place.joined_at),
        after.map(|place| place.user_id),
        limit,
        skip
    );
    Ok(rows.fetch_all(db).await?)
}

/// The owner becomes moderator, to make way for another.
pub(crate) async fn retire_owner(db: impl PgExecutor<'_>, community_id: i64) -> kit::Result<()> {
    sqlx::query!("update memberships set role = 'MODERATOR' where community_id = $1 and role = 'OWNER'", community_id)
        .execute(db)
        .await?;
    Ok(())
}

/// Whoever stands first in the list of a community without an owner becomes its owner; nobody of a seed's.
pub(crate) async fn name_successors(db: impl PgExecutor<'_>, communities: &[i64]) -> kit::Result<Vec<(Uuid, i64)>> {
    let successors = sqlx::query!(
        "update memberships m set role = 'OWNER'
         from communities c cross join lateral (
             select user_id from memberships
             where community_id = c.id and left_at is null order by rank, joined_at, user_id limit 1
         ) first
         where c.id = any($1) and c.joined_by is null
             and m.community_id = c.id and m.user_id = first.user_id and m.role <> 'OWNER'
         returning m.user_id, m.user_number",
        communities
    );
    Ok(successors.fetch_all(db).await?.into_iter().map(|row| (row.user_id, row.user_number)).collect())
}

pub(crate) async fn update_role(
    db: impl PgExecutor<'_>,
    community_id: i64,
    user: Uuid,
    role: Role,
) -> kit::Result<MemberRow> {
    let row = sqlx::query_as!(
        MemberRow,
        r#"update memberships set role = $3 where community_id = $1 and user_id = $2
           returning user_id, user_number, role, rank as "rank!", joined_at"#,
        community_id,
        user,
        role.name()
    );
    Ok(row.fetch_one(db).await?)
}

pub(crate) async fn insert_ban(
    db: impl PgExecutor<'_>,
    community_id: i64,
    user: Uuid,
    number: i64,
    now: DateTime<Utc>,
) -> kit::Result<bool> {
    let inserted = sqlx::query!(
        "insert into bans (community_id, user_id, user_number, created_at) values ($1, $2, $3, $4)
         on conflict do nothing",
        community_id,
        user,
        number,
        now
    );
    Ok(inserted.execute(db).await?.rows_affected() == 1)
}

/// The number of who was banned; nothing when nobody was.
pub(crate) async fn delete_ban(db: impl PgExecutor<'_>, community_id: i64, user: Uuid) -> kit::Result<Option<i64>> {
    let number = sqlx::query_scalar!(
        "delete from bans where community_id = $1 and user_id = $2 returning user_number",
        community_id,
        user
    );
    Ok(number.fetch_optional(db).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_joins_its_community_and_everybody_the_general_one() {
        for (role, also) in [
            (Some("consumer"), Some("CONSUMER")),
            (Some("Consumidor"), Some("CONSUMER")),
            (Some("Specialist"), Some("SPECIALIST")),
            (Some("especialistas"), Some("SPECIALIST")),
            (Some("businessman"), Some("BUSINESSMAN")),
            (Some("EMPRESARIO"), Some("BUSINESSMAN")),
            (Some("client"), None),
            (None, None),
        ] {
            let expected: Vec<_> = ["EVERYBODY"].into_iter().chain(also).collect();
            assert_eq!(joined_by(role), expected, "{role:?}");
        }
    }
}
