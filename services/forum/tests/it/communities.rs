use proto::events::v1::{UserCreated, UserDeleted};
use proto::forum::v1::get_community_request::Key;
use proto::forum::v1::picture::From;
use proto::forum::v1::{
    BanMemberRequest, Community, CreateCommunityRequest, DeleteCommunityRequest, GetCommunityRequest, GetPostRequest,
    JoinCommunityRequest, LeaveCommunityRequest, ListCommunitiesRequest, ListMembersRequest, ListModerationLogRequest,
    ListPostsRequest, MemberRole, ModerationAction, Picture, SetMemberRoleRequest, UpdateCommunityRequest,
};
use proto::media::v1::Kind;
use tonic::Status;
use uuid::Uuid;

use crate::moderation::ban;
use crate::{Somebody, World, media, refused};

async fn get(person: &Somebody, id: i64) -> Community {
    let request = GetCommunityRequest { key: Some(Key::Id(id)) };
    person.communities().get_community(request).await.unwrap().into_inner()
}

async fn by_slug(person: &Somebody, slug: &str) -> Community {
    let request = GetCommunityRequest { key: Some(Key::Slug(slug.to_owned())) };
    person.communities().get_community(request).await.unwrap().into_inner()
}

async fn join(person: &Somebody, id: i64) -> Result<Community, Status> {
    Ok(person.communities().join_community(JoinCommunityRequest { id }).await?.into_inner())
}

async fn leave(person: &Somebody, id: i64) -> Result<Community, Status> {
    Ok(person.communities().leave_community(LeaveCommunityRequest { id }).await?.into_inner())
}

async fn set_role(by: &Somebody, id: i64, member: &Somebody, role: MemberRole) -> Result<MemberRole, Status> {
    let request = SetMemberRoleRequest { id, user_id: member.id.to_string(), role: role.into() };
    Ok(by.communities().set_member_role(request).await?.into_inner().role())
}

async fn members(person: &Somebody, id: i64) -> Vec<(i64, MemberRole)> {
    let request = ListMembersRequest { id, ..Default::default() };
    let page = person.communities().list_members(request).await.unwrap().into_inner();
    assert_eq!(page.total_size as usize, page.members.len());
    page.members.iter().map(|member| (member.user_number, member.role())).collect()
}

#[tokio::test]
async fn every_installation_has_four_seeds_that_only_administrators_change() {
    let world = World::start().await;
    let (ana, admin) = (world.person(1), world.admin());
    let request = ListCommunitiesRequest::default();
    let page = world.nobody().communities().list_communities(request).await.unwrap().into_inner();
    let mut slugs: Vec<_> = page.communities.iter().map(|community| community.slug.as_str()).collect();
    slugs.sort_unstable();
    assert_eq!(slugs, ["agronegocios", "especialistas-salud", "ganaderos-agricultores-animales", "general"]);
    assert!(page.communities.iter().all(|c| c.seed && c.created_by_number == 0 && !c.description.is_empty()));
    assert_eq!(page.total_size, 4);

    let general = by_slug(&ana, "general").await;
    let update = UpdateCommunityRequest { id: general.id, description: Some("Otra".into()), ..Default::default() };
    refused!(ana.communities().update_community(update.clone()).await, PermissionDenied, "NOT_YOURS");
    let delete = DeleteCommunityRequest { id: general.id };
    refused!(ana.communities().delete_community(delete).await, PermissionDenied, "NOT_YOURS");
    let after = admin.communities().update_community(update).await.unwrap().into_inner();
    assert_eq!((after.description.as_str(), after.name.as_str()), ("Otra", "General"));
    admin.communities().delete_community(delete).await.unwrap();
    let gone = GetCommunityRequest { key: Some(Key::Slug("general".into())) };
    refused!(ana.communities().get_community(gone).await, NotFound, "COMMUNITY_NOT_FOUND");
}

#[tokio::test]
async fn who_makes_a_community_owns_it_and_is_its_first_member() {
    let world = World::start().await;
    let ana = world.person(1);
    let made = ana.found("apicultura").await;
    assert_eq!((made.created_by_id, made.created_by_number), (ana.id.to_string(), 1));
    assert_eq!((made.members_count, made.viewer_role, made.seed), (1, Some(MemberRole::Owner.into()), false));
    assert_eq!(get(&world.nobody(), made.id).await.viewer_role, None);
    assert_eq!(members(&ana, made.id).await, [(1, MemberRole::Owner)]);

    let new =
        |name: &str, slug: &str| CreateCommunityRequest { name: name.into(), slug: slug.into(), ..Default::default() };
    let same_name = new("Sobre apicultura", "abejas");
    refused!(ana.communities().create_community(same_name).await, AlreadyExists, "NAME_TAKEN");
    let same_slug = new("Abejas", "apicultura");
    refused!(ana.communities().create_community(same_slug).await, AlreadyExists, "SLUG_TAKEN");
    let no_slug = new("Abejas", "sin espacio");
    refused!(ana.communities().create_community(no_slug).await, InvalidArgument, "INVALID_FIELDS");
    let anonymous = world.nobody().communities().create_community(new("Abejas", "abejas")).await;
    refused!(anonymous, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn of_two_communities_of_one_name_at_once_one_is_made() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let new = || CreateCommunityRequest { name: "Abejas".into(), slug: "abejas".into(), ..Default::default() };
    let (mut anas, mut bens) = (ana.communities(), ben.communities());
    let (one, two) = tokio::join!(anas.create_community(new()), bens.create_community(new()));
    assert!(one.is_ok() != two.is_ok());
}

#[tokio::test]
async fn twenty_new_communities_in_an_hour_are_enough() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    for n in 0..20 {
        ana.found(&format!("c{n}")).await;
        world.pass(2);
    }
    let another = || CreateCommunityRequest { name: "Abejas".into(), slug: "abejas".into(), ..Default::default() };
    for _ in 0..2 {
        refused!(ana.communities().create_community(another()).await, ResourceExhausted, "RATE_LIMITED");
        world.forum.sweep().await.unwrap();
    }
    ben.found("riego").await;
    world.pass(20);
    ana.communities().create_community(another()).await.unwrap();
}

#[tokio::test]
async fn a_thousand_communities_are_enough_but_for_those_of_ones_role() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let (one, two) = (ben.found("uno").await.id, ben.found("dos").await.id);
    let others = "insert into memberships (community_id, user_id, user_number, joined_at)
        select 1000 + n, $1, 1, now() from generate_series(1, 999) n";
    sqlx::query(others).bind(ana.id).execute(world.db()).await.unwrap();
    let (a, b) = tokio::join!(join(&ana, one), join(&ana, two));
    assert!(a.is_ok() != b.is_ok(), "one of them is the thousandth");
    let (joined, other, refusal) = if a.is_ok() { (one, two, b) } else { (two, one, a) };
    refused!(refusal, FailedPrecondition, "TOO_MANY_COMMUNITIES");
    let new = CreateCommunityRequest { name: "Abejas".into(), slug: "abejas".into(), ..Default::default() };
    refused!(ana.communities().create_community(new).await, FailedPrecondition, "TOO_MANY_COMMUNITIES");
    // Again is no more.
    join(&ana, joined).await.unwrap();
    leave(&ana, joined).await.unwrap();
    join(&ana, other).await.unwrap();

    let role = Some("consumer".to_owned());
    let event = UserCreated { user_id: 1, user_uuid: ana.id.to_string(), role, ..Default::default() };
    world.deliver(&event).await;
    let mine = ListCommunitiesRequest { mine: true, ..Default::default() };
    let page = ana.communities().list_communities(mine).await.unwrap().into_inner();
    assert_eq!(page.total_size, 1_002);
}

#[tokio::test]
async fn joining_and_leaving_count_once_however_often_and_at_once() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let id = ana.found("apicultura").await.id;
    let (one, two, three) = tokio::join!(join(&ben, id), join(&ben, id), join(&ben, id));
    for joined in [one, two, three] {
        let joined = joined.unwrap();
        assert_eq!((joined.members_count, joined.viewer_role), (2, Some(MemberRole::Member.into())));
    }
    let mine = ListCommunitiesRequest { mine: true, ..Default::default() };
    let page = ben.communities().list_communities(mine.clone()).await.unwrap().into_inner();
    assert_eq!((page.communities[0].id, page.total_size), (id, 1));
    refused!(world.nobody().communities().list_communities(mine).await, Unauthenticated, "NOT_SIGNED_IN");

    let (one, two) = tokio::join!(leave(&ben, id), leave(&ben, id));
    assert_eq!((one.unwrap().members_count, two.unwrap().members_count), (1, 1));
    assert_eq!(join(&ben, id).await.unwrap().members_count, 2);
    refused!(join(&ben, 999).await, NotFound, "COMMUNITY_NOT_FOUND");
    refused!(leave(&ben, 999).await, NotFound, "COMMUNITY_NOT_FOUND");
    refused!(join(&world.nobody(), id).await, Unauthenticated, "NOT_SIGNED_IN");
}

#[tokio::test]
async fn an_owner_names_moderators_and_a_successor() {
    let world = World::start().await;
    let (ana, ben, eva) = (world.person(1), world.person(2), world.person(3));
    let id = ana.found("apicultura").await.id;
    for person in [&eva, &ben] {
        world.pass(1);
        join(person, id).await.unwrap();
    }
    refused!(set_role(&ben, id, &ben, MemberRole::Moderator).await, PermissionDenied, "NOT_YOURS");
    for _ in 0..2 {
        assert_eq!(set_role(&ana, id, &ben, MemberRole::Moderator).await.unwrap(), MemberRole::Moderator);
    }
    use MemberRole::{Member, Moderator, Owner};
    assert_eq!(members(&eva, id).await, [(1, Owner), (2, Moderator), (3, Member)]);
    assert_eq!(set_role(&ana, id, &eva, MemberRole::Owner).await.unwrap(), MemberRole::Owner);
    assert_eq!(members(&eva, id).await, [(3, Owner), (1, Moderator), (2, Moderator)]);
    refused!(set_role(&ana, id, &ben, MemberRole::Member).await, PermissionDenied, "NOT_YOURS");
    // Who made it may still change it, also after leaving and coming back.
    leave(&ana, id).await.unwrap();
    join(&ana, id).await.unwrap();
    let change = |description: &str| UpdateCommunityRequest {
        id,
        description: Some(description.to_owned()),
        ..UpdateCommunityRequest::default()
    };
    ana.communities().update_community(change("Colmenas")).await.unwrap();
    refused!(ben.communities().update_community(change("x")).await, PermissionDenied, "NOT_YOURS");
    set_role(&eva, id, &ana, MemberRole::Moderator).await.unwrap();
    let stranger = world.person(9);
    refused!(set_role(&eva, id, &stranger, MemberRole::Moderator).await, NotFound, "MEMBER_NOT_FOUND");

    leave(&eva, id).await.unwrap();
    assert_eq!(members(&ana, id).await, [(1, Owner), (2, Moderator)]);
    assert_eq!(set_role(&world.admin(), id, &ben, MemberRole::Owner).await.unwrap(), Owner);
    // Unless the moderators banned them.
    ana.communities().update_community(change("Abejas")).await.unwrap();
    ban(&ben, id, &ana).await.unwrap();
    refused!(ana.communities().update_community(change("x")).await, PermissionDenied, "COMMUNITY_BANNED");
}

#[tokio::test]
async fn members_page_by_rank_and_then_by_when_they_came() {
    let world = World::start().await;
    let ana = world.person(1);
    let id = ana.found("apicultura").await.id;
    for number in 2..8 {
        world.pass(number as u64 % 2);
        join(&world.person(number), id).await.unwrap();
    }
    set_role(&ana, id, &world.person(5), MemberRole::Moderator).await.unwrap();
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListMembersRequest { id, page_size: 2, page_token, ..Default::default() };
        let page = ana.communities().list_members(request).await.unwrap().into_inner();
        seen.extend(page.members.iter().map(|member| member.user_number));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [1, 5, 2, 3, 4, 6, 7]);
    let nobody = ListMembersRequest { id: 999, ..Default::default() };
    refused!(ana.communities().list_members(nobody).await, NotFound, "COMMUNITY_NOT_FOUND");
}

#[tokio::test]
async fn the_largest_communities_come_first_and_pages_follow_one_another() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let mut made = Vec::new();
    for slug in ["uno", "dos", "tres"] {
        world.pass(1);
        made.push(ana.found(slug).await.id);
    }
    join(&ben, made[1]).await.unwrap();
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListCommunitiesRequest { page_size: 2, page_token, ..Default::default() };
        let page = ana.communities().list_communities(request).await.unwrap().into_inner();
        assert_eq!(page.total_size, 7);
        seen.extend(page.communities.iter().map(|community| community.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((&seen[..3], seen.len()), (&[made[1], made[2], made[0]][..], 7));
    let skipping = ListCommunitiesRequest { skip: 2, page_size: 1, ..Default::default() };
    let page = ana.communities().list_communities(skipping).await.unwrap().into_inner();
    assert_eq!(page.communities[0].id, made[0]);
}

#[tokio::test]
async fn a_picture_is_a_url_or_an_own_upload_whose_predecessor_is_deleted() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let id = ana.found("apicultura").await.id;
    let change = |person: &Somebody, from: Option<From>| {
        let request = UpdateCommunityRequest { id, avatar: Some(Picture { from }), ..Default::default() };
        let mut client = person.communities();
        async move { Ok::<_, Status>(client.update_community(request).await?.into_inner().avatar) }
    };
    let upload = |file: Uuid| Some(From::MediaId(file.to_string()));
    let url = change(&ana, Some(From::Url("https://example.com/a.png".into()))).await.unwrap();
    assert_eq!(url.as_deref(), Some("https://example.com/a.png"));

    let (first, second) = (world.media.upload(ana.id), world.media.upload(ana.id));
    assert_eq!(change(&ana, upload(first)).await.unwrap(), Some(media::path(first)));
    assert_eq!(change(&ana, upload(second)).await.unwrap(), Some(media::path(second)));
    world.media.set_away(true);
    world.forum.delete_discarded().await.unwrap();
    world.media.set_away(false);
    assert!(world.media.has(first), "media was away");
    world.pass(1);
    world.forum.delete_discarded().await.unwrap();
    assert_eq!((world.media.has(first), world.media.has(second)), (false, true));

    let (bens, sound) = (world.media.file(Some(ben.id), Kind::Image), world.media.file(Some(ana.id), Kind::Audio));
    for file in [bens, Uuid::now_v7()] {
        refused!(change(&ana, upload(file)).await, InvalidArgument, "MEDIA_NOT_FOUND");
    }
    refused!(change(&ana, upload(sound)).await, InvalidArgument, "NOT_AN_IMAGE");
    let private = world.media.document(ana.id);
    refused!(change(&ana, upload(private)).await, InvalidArgument, "MEDIA_PRIVATE");
    refused!(change(&ben, upload(bens)).await, PermissionDenied, "NOT_YOURS");
    assert_eq!(change(&ana, None).await.unwrap(), None);
    world.forum.delete_discarded().await.unwrap();
    assert!(!world.media.has(second));
}

#[tokio::test]
async fn a_community_goes_and_its_posts_stay_without_one() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let id = ana.found("apicultura").await.id;
    let post = ben.post("Panales", Some(id)).await;
    sqlx::query("update posts set pinned_at = now() where id = $1").bind(post.id).execute(world.db()).await.unwrap();
    assert_eq!(get(&ana, id).await.posts_count, 1);
    let delete = DeleteCommunityRequest { id };
    refused!(ben.communities().delete_community(delete).await, PermissionDenied, "NOT_YOURS");
    refused!(world.nobody().communities().delete_community(delete).await, Unauthenticated, "NOT_SIGNED_IN");
    ana.communities().delete_community(delete).await.unwrap();
    refused!(ana.communities().delete_community(delete).await, NotFound, "COMMUNITY_NOT_FOUND");
    let request = GetPostRequest { id: post.id, ..Default::default() };
    let post = ben.posts().get_post(request).await.unwrap().into_inner();
    assert_eq!((post.community, post.pinned), (None, false));
}

#[tokio::test]
async fn a_community_with_members_has_an_owner() {
    let world = World::start().await;
    let (ana, ben, eva, admin) = (world.person(1), world.person(2), world.person(3), world.admin());
    let id = ana.found("apicultura").await.id;
    for person in [&ben, &eva] {
        world.pass(1);
        join(person, id).await.unwrap();
    }
    use MemberRole::{Member, Moderator, Owner};
    for (by, role) in [(&ana, Member), (&ana, Moderator), (&admin, Member)] {
        refused!(set_role(by, id, &ana, role).await, FailedPrecondition, "OWNER_REQUIRED");
    }
    let ban = |person: &Somebody| BanMemberRequest {
        community_id: id,
        user_id: person.id.to_string(),
        reason: String::new(),
    };
    refused!(ana.moderation().ban_member(ban(&ana)).await, FailedPrecondition, "OWNER_REQUIRED");
    assert_eq!(members(&ana, id).await, [(1, Owner), (2, Member), (3, Member)]);

    // After an owner comes a moderator, also a younger one.
    set_role(&ana, id, &eva, Moderator).await.unwrap();
    admin.moderation().ban_member(ban(&ana)).await.unwrap();
    assert_eq!(members(&ben, id).await, [(3, Owner), (2, Member)]);
    let log = ListModerationLogRequest { community_id: id, ..Default::default() };
    let log = ben.moderation().list_moderation_log(log).await.unwrap().into_inner();
    let said: Vec<_> = log.entries.iter().map(|entry| (entry.action(), entry.user_number)).collect();
    assert!(said.contains(&(ModerationAction::Role, 3)), "{said:?}");
    leave(&eva, id).await.unwrap();
    assert_eq!(members(&ben, id).await, [(2, Owner)]);

    // Also after an account is gone. Seeds and what nobody belongs to have none.
    join(&eva, id).await.unwrap();
    let deleted = UserDeleted { user_id: ben.number, user_uuid: ben.id.to_string(), phone_number: None };
    world.deliver(&deleted).await;
    assert_eq!(members(&eva, id).await, [(3, Owner)]);
    leave(&eva, id).await.unwrap();
    assert_eq!(members(&eva, id).await, []);
    let general = by_slug(&ana, "general").await.id;
    for person in [&ana, &eva] {
        join(person, general).await.unwrap();
    }
    leave(&ana, general).await.unwrap();
    assert_eq!(members(&eva, general).await, [(3, Member)]);
}

#[tokio::test]
async fn a_large_community_goes_step_by_step() {
    let world = World::start().await;
    let ana = world.person(1);
    let id = ana.found("apicultura").await.id;
    for statement in [
        "insert into posts (author_id, author_number, community_id, title, content, created_at, updated_at,
             last_activity_at)
         select gen_random_uuid(), n, $1, 'Post', 'Texto', now(), now(), now() from generate_series(1, 2500) n",
        "insert into memberships (community_id, user_id, user_number, joined_at)
         select $1, gen_random_uuid(), n, now() from generate_series(1, 2500) n",
        "insert into bans (community_id, user_id, user_number, created_at)
         select $1, gen_random_uuid(), n, now() from generate_series(1, 10) n",
        "insert into reported (community_id, post_id, open, last_reported_at)
         select $1, id, 1, now() from posts where community_id = $1",
    ] {
        sqlx::query(statement).bind(id).execute(world.db()).await.unwrap();
    }
    ana.communities().delete_community(DeleteCommunityRequest { id }).await.unwrap();
    let left = async || {
        let posts = "select count(*) from posts where community_id = $1";
        sqlx::query_scalar::<_, i64>(posts).bind(id).fetch_one(world.db()).await.unwrap()
    };
    assert_eq!(left().await, 1_500, "one statement for all of it may take longer than a statement may");
    // Nothing shows of it any more, nothing can be added, and its name is free.
    let gone = GetCommunityRequest { key: Some(Key::Id(id)) };
    refused!(ana.communities().get_community(gone).await, NotFound, "COMMUNITY_NOT_FOUND");
    refused!(ana.try_post("Tarde", Some(id)).await, InvalidArgument, "COMMUNITY_NOT_FOUND");
    refused!(join(&ana, id).await, NotFound, "COMMUNITY_NOT_FOUND");
    let list = ListPostsRequest { community_id: Some(id), ..Default::default() };
    assert_eq!(ana.posts().list_posts(list).await.unwrap().into_inner().posts, []);
    let all = ana.posts().list_posts(ListPostsRequest::default()).await.unwrap().into_inner();
    assert!(all.posts.iter().all(|post| post.community.is_none()));
    let waiting = sqlx::query_scalar("select max(id) from posts where community_id = $1").bind(id);
    let request = GetPostRequest { id: waiting.fetch_one(world.db()).await.unwrap(), ..Default::default() };
    assert_eq!(ana.posts().get_post(request).await.unwrap().into_inner().community, None);
    ana.found("apicultura").await;

    let (one, two) = tokio::join!(world.forum.clear_communities(), world.forum.clear_communities());
    assert!(one.is_ok() && two.is_ok());
    world.forum.clear_communities().await.unwrap();
    assert_eq!(left().await, 0);
    for table in ["memberships", "bans", "reported", "deleted_communities"] {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table} where community_id = $1"));
        let rows: i64 = sqlx::query_scalar(sql).bind(id).fetch_one(world.db()).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}
