use proto::forum::v1::{
    BanMemberRequest, DeletePostRequest, DismissReportsRequest, JoinCommunityRequest, ListModerationLogRequest,
    ListPostsRequest, ListReportsRequest, ListReportsResponse, LockPostRequest, LogEntry, MemberRole, ModerationAction,
    PinPostRequest, RemoveContentRequest, ReportContentRequest, RestoreContentRequest, SetMemberRoleRequest, Target,
    TargetKind, UnbanMemberRequest, UpdateCommentRequest, UpdatePostRequest,
};
use tonic::Status;

use crate::{Somebody, World, refused};

fn post(id: i64) -> Option<Target> {
    Some(Target { kind: TargetKind::Post.into(), id })
}

fn comment(id: i64) -> Option<Target> {
    Some(Target { kind: TargetKind::Comment.into(), id })
}

async fn report(person: &Somebody, target: Option<Target>, reason: &str) -> Result<i64, Status> {
    let request = ReportContentRequest { target, reason: reason.to_owned() };
    Ok(person.moderation().report_content(request).await?.into_inner().id)
}

async fn remove(person: &Somebody, target: Option<Target>) -> Result<LogEntry, Status> {
    let request = RemoveContentRequest { target, reason: "publicidad".to_owned() };
    Ok(person.moderation().remove_content(request).await?.into_inner())
}

async fn restore(person: &Somebody, target: Option<Target>) -> Result<LogEntry, Status> {
    let request = RestoreContentRequest { target, reason: String::new() };
    Ok(person.moderation().restore_content(request).await?.into_inner())
}

async fn lock(person: &Somebody, post_id: i64, locked: bool) -> Result<LogEntry, Status> {
    let request = LockPostRequest { post_id, locked, reason: String::new() };
    Ok(person.moderation().lock_post(request).await?.into_inner())
}

async fn pin(person: &Somebody, post_id: i64, pinned: bool) -> Result<LogEntry, Status> {
    let request = PinPostRequest { post_id, pinned, reason: String::new() };
    Ok(person.moderation().pin_post(request).await?.into_inner())
}

pub(crate) async fn ban(person: &Somebody, community_id: i64, whom: &Somebody) -> Result<LogEntry, Status> {
    let request = BanMemberRequest { community_id, user_id: whom.id.to_string(), reason: "insultos".to_owned() };
    Ok(person.moderation().ban_member(request).await?.into_inner())
}

async fn unban(person: &Somebody, community_id: i64, whom: &Somebody) -> Result<LogEntry, Status> {
    let request = UnbanMemberRequest { community_id, user_id: whom.id.to_string(), reason: String::new() };
    Ok(person.moderation().unban_member(request).await?.into_inner())
}

async fn queue(person: &Somebody, community_id: Option<i64>) -> Result<ListReportsResponse, Status> {
    let request = ListReportsRequest { community_id, ..Default::default() };
    Ok(person.moderation().list_reports(request).await?.into_inner())
}

async fn join(person: &Somebody, id: i64) -> Result<i64, Status> {
    Ok(person.communities().join_community(JoinCommunityRequest { id }).await?.into_inner().members_count)
}

/// The log of a community, oldest first.
async fn log(world: &World, community_id: i64) -> Vec<ModerationAction> {
    let request = ListModerationLogRequest { community_id, ..Default::default() };
    let page = world.nobody().moderation().list_moderation_log(request).await.unwrap().into_inner();
    assert_eq!(page.total_size as usize, page.entries.len());
    page.entries.iter().rev().map(|entry| entry.action()).collect()
}

/// A community of Ana's with a post of Ben's in it.
async fn scene(world: &World) -> (Somebody, Somebody, i64, i64) {
    let (ana, ben) = (world.person(1), world.person(2));
    let community = ana.found("uno").await.id;
    let id = ben.post("Spam", Some(community)).await.id;
    (ana, ben, community, id)
}

/// A comment of somebody's, with its counters.
async fn write_comment(world: &World, by: &Somebody, post_id: i64, parent_id: Option<i64>) -> i64 {
    sqlx::query("update posts set comments_count = comments_count + 1 where id = $1")
        .bind(post_id)
        .execute(world.db())
        .await
        .unwrap();
    sqlx::query("update comments set replies_count = replies_count + 1 where id = $1")
        .bind(parent_id)
        .execute(world.db())
        .await
        .unwrap();
    sqlx::query_scalar(
        "insert into comments (post_id, parent_id, depth, author_id, author_number, content, created_at, updated_at)
         values ($1, $2, case when $2 is null then 1 else 2 end, $3, $4, 'Hola', now(), now()) returning id",
    )
    .bind(post_id)
    .bind(parent_id)
    .bind(by.id)
    .bind(by.number)
    .fetch_one(world.db())
    .await
    .unwrap()
}

#[tokio::test]
async fn reports_queue_up_by_thing_until_moderators_decide() {
    let world = World::start().await;
    let (ana, ben, community, id) = scene(&world).await;
    let other = ben.post("Otro", Some(community)).await.id;
    let (eva, leo) = (world.person(3), world.person(4));
    let first = report(&eva, post(id), "publicidad").await.unwrap();
    world.pass(1);
    report(&leo, post(id), "engaño").await.unwrap();
    assert_eq!(report(&eva, post(id), "pura publicidad").await.unwrap(), first);
    report(&leo, post(other), "feo").await.unwrap();

    let page = queue(&ana, Some(community)).await.unwrap();
    let seen: Vec<_> = page.contents.iter().map(|content| (content.target, content.reports)).collect();
    assert_eq!((seen, page.total_size), (vec![(post(id), 2), (post(other), 1)], 2));
    assert_eq!(page.contents[0].reasons, ["engaño", "pura publicidad"]);
    for stranger in [&ben, &eva] {
        refused!(queue(stranger, Some(community)).await, PermissionDenied, "NOT_YOURS");
    }
    refused!(queue(&ana, None).await, PermissionDenied, "NOT_YOURS");
    assert_eq!(queue(&world.admin(), None).await.unwrap().total_size, 0);

    // Its author does not choose who looks at the reports.
    let elsewhere = ben.found("dos").await.id;
    let escape = UpdatePostRequest { id, community_id: Some(elsewhere), ..UpdatePostRequest::default() };
    refused!(ben.posts().update_post(escape).await, FailedPrecondition, "LOCKED");

    let dismiss = |by: &Somebody| {
        let request = DismissReportsRequest { target: post(id), reason: "está bien".to_owned() };
        let mut client = by.moderation();
        async move { Ok::<_, Status>(client.dismiss_reports(request).await?.into_inner().dismissed) }
    };
    refused!(dismiss(&eva).await, PermissionDenied, "NOT_YOURS");
    assert_eq!((dismiss(&ana).await.unwrap(), dismiss(&ana).await.unwrap()), (2, 0));
    report(&eva, post(id), "insisto").await.unwrap();
    assert_eq!(queue(&ana, Some(community)).await.unwrap().total_size, 1, "what was decided stays decided");
    remove(&ana, post(other)).await.unwrap();
    assert_eq!(queue(&ana, Some(community)).await.unwrap().total_size, 0);
    assert_eq!(log(&world, community).await, [ModerationAction::Dismiss, ModerationAction::Remove]);

    for unknown in [post(999), comment(999), post(other)] {
        refused!(report(&eva, unknown, "x").await, NotFound, "TARGET_NOT_FOUND");
    }
    refused!(report(&world.nobody(), post(id), "x").await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(report(&eva, None, "x").await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn reports_at_once_are_all_counted() {
    let world = World::start().await;
    let (ana, _, community, id) = scene(&world).await;
    let reports: Vec<_> = (10..30)
        .map(|number| {
            let person = world.person(number % 25);
            tokio::spawn(async move { report(&person, post(id), "publicidad").await })
        })
        .collect();
    for report in reports {
        report.await.unwrap().unwrap();
    }
    assert_eq!(queue(&ana, Some(community)).await.unwrap().contents[0].reports, 20);
}

#[tokio::test]
async fn a_removed_post_leaves_the_lists_and_comes_back_when_restored() {
    let world = World::start().await;
    let (ana, ben, community, id) = scene(&world).await;
    let shown = async || {
        let request = ListPostsRequest { community_id: Some(community), ..Default::default() };
        let page = world.nobody().posts().list_posts(request).await.unwrap().into_inner();
        (page.posts.len(), page.total_size)
    };
    refused!(remove(&ben, post(id)).await, PermissionDenied, "NOT_YOURS");
    refused!(restore(&ana, post(id)).await, FailedPrecondition, "NOTHING_TO_UNDO");
    pin(&ana, id, true).await.unwrap();
    let entry = remove(&ana, post(id)).await.unwrap();
    assert_eq!((entry.target, entry.moderator_number, entry.reason.as_str()), (post(id), 1, "publicidad"));
    assert_eq!(remove(&world.admin(), post(id)).await.unwrap(), entry);
    assert_eq!(shown().await, (0, 0));
    let (one, two) = tokio::join!(restore(&ana, post(id)), restore(&ana, post(id)));
    assert_eq!(one.unwrap().id, two.unwrap().id);
    assert_eq!(shown().await, (1, 1));
    use ModerationAction::{Pin, Remove, Restore};
    assert_eq!(log(&world, community).await, [Pin, Remove, Restore]);
    refused!(remove(&ana, post(999)).await, NotFound, "TARGET_NOT_FOUND");
}

#[tokio::test]
async fn a_removed_comment_is_not_counted() {
    let world = World::start().await;
    let (ana, ben, _, id) = scene(&world).await;
    let parent = write_comment(&world, &ben, id, None).await;
    let reply = write_comment(&world, &ben, id, Some(parent)).await;
    let counts = async || -> (i64, i64) {
        sqlx::query_as(
            "select p.comments_count, c.replies_count from posts p, comments c where p.id = $1 and c.id = $2",
        )
        .bind(id)
        .bind(parent)
        .fetch_one(world.db())
        .await
        .unwrap()
    };
    assert_eq!(counts().await, (2, 1));
    for _ in 0..2 {
        remove(&ana, comment(reply)).await.unwrap();
        assert_eq!(counts().await, (1, 0));
    }
    restore(&ana, comment(reply)).await.unwrap();
    assert_eq!(counts().await, (2, 1));
    refused!(remove(&ben, comment(reply)).await, PermissionDenied, "NOT_YOURS");
    refused!(remove(&ana, comment(999)).await, NotFound, "TARGET_NOT_FOUND");
}

#[tokio::test]
async fn a_lock_is_set_and_lifted() {
    let world = World::start().await;
    let (ana, ben, community, id) = scene(&world).await;
    refused!(lock(&ben, id, true).await, PermissionDenied, "NOT_YOURS");
    refused!(lock(&ana, id, false).await, FailedPrecondition, "NOTHING_TO_UNDO");
    let entry = lock(&ana, id, true).await.unwrap();
    assert_eq!(lock(&ana, id, true).await.unwrap(), entry);
    lock(&world.admin(), id, false).await.unwrap();
    assert_eq!(log(&world, community).await, [ModerationAction::Lock, ModerationAction::Unlock]);
    refused!(lock(&ana, 999, true).await, NotFound, "POST_NOT_FOUND");
    let free = ben.post("Sin comunidad", None).await.id;
    refused!(lock(&ana, free, true).await, PermissionDenied, "NOT_YOURS");
    lock(&world.admin(), free, true).await.unwrap();
}

#[tokio::test]
async fn a_community_pins_two_posts_also_at_once() {
    let world = World::start().await;
    let (ana, ben, community, id) = scene(&world).await;
    let others = [ben.post("Dos", Some(community)).await.id, ben.post("Tres", Some(community)).await.id];
    refused!(pin(&ben, id, true).await, PermissionDenied, "NOT_YOURS");
    let (one, two, three) = tokio::join!(pin(&ana, id, true), pin(&ana, others[0], true), pin(&ana, others[1], true));
    let mut refusals = 0;
    for outcome in [one, two, three] {
        if outcome.is_err() {
            refused!(outcome, FailedPrecondition, "PINS_FULL");
            refusals += 1;
        }
    }
    assert_eq!(refusals, 1);
    assert_eq!(log(&world, community).await, [ModerationAction::Pin; 2]);
    let free = ben.post("Sin comunidad", None).await.id;
    refused!(pin(&world.admin(), free, true).await, FailedPrecondition, "NO_COMMUNITY");
    refused!(pin(&ana, 999, true).await, NotFound, "POST_NOT_FOUND");
}

#[tokio::test]
async fn the_banned_are_out_until_the_ban_is_lifted() {
    let world = World::start().await;
    let (ana, ben, community, _) = scene(&world).await;
    assert_eq!(join(&ben, community).await.unwrap(), 2);
    refused!(ban(&ben, community, &ana).await, PermissionDenied, "NOT_YOURS");
    let entry = ban(&ana, community, &ben).await.unwrap();
    assert_eq!((entry.user_id.as_str(), entry.user_number), (ben.id.to_string().as_str(), 2));
    assert_eq!(ban(&ana, community, &ben).await.unwrap(), entry);
    refused!(join(&ben, community).await, PermissionDenied, "COMMUNITY_BANNED");
    refused!(ben.try_post("Otra vez", Some(community)).await, PermissionDenied, "COMMUNITY_BANNED");
    ben.post("En otra parte", None).await;
    unban(&ana, community, &ben).await.unwrap();
    refused!(unban(&ana, community, &world.person(9)).await, FailedPrecondition, "NOTHING_TO_UNDO");
    assert_eq!(join(&ben, community).await.unwrap(), 2);
    assert_eq!(log(&world, community).await, [ModerationAction::Ban, ModerationAction::Unban]);
    refused!(ban(&ana, community, &world.person(99)).await, NotFound, "MEMBER_NOT_FOUND");
    refused!(ban(&ana, 999, &ben).await, NotFound, "COMMUNITY_NOT_FOUND");
}

#[tokio::test]
async fn moderators_are_banned_by_the_owner_and_administrators_only() {
    let world = World::start().await;
    let (ana, ben, community, _) = scene(&world).await;
    let eva = world.person(3);
    for person in [&ben, &eva] {
        join(person, community).await.unwrap();
        let role = MemberRole::Moderator.into();
        let request = SetMemberRoleRequest { id: community, user_id: person.id.to_string(), role };
        ana.communities().set_member_role(request).await.unwrap();
    }
    refused!(ban(&ben, community, &eva).await, PermissionDenied, "NOT_YOURS");
    refused!(ban(&ben, community, &ana).await, PermissionDenied, "NOT_YOURS");
    ban(&ana, community, &eva).await.unwrap();
    ban(&world.admin(), community, &ben).await.unwrap();
    use ModerationAction::{Ban, Role};
    assert_eq!(log(&world, community).await, [Role, Role, Ban, Ban]);
}

#[tokio::test]
async fn the_log_is_public_paged_and_never_changed() {
    let world = World::start().await;
    let (ana, _, community, id) = scene(&world).await;
    for turn in 0..5 {
        world.pass(1);
        lock(&ana, id, turn % 2 == 0).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListModerationLogRequest { community_id: community, page_size: 2, page_token, ..Default::default() };
        let page = world.nobody().moderation().list_moderation_log(request).await.unwrap().into_inner();
        assert_eq!(page.total_size, 5);
        seen.extend(page.entries.iter().map(|entry| entry.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(seen.len() == 5 && seen.is_sorted_by(|a, b| a > b));
    for statement in ["delete from moderation_log", "update moderation_log set reason = ''"] {
        assert!(sqlx::query(statement).execute(world.db()).await.is_err());
    }
    let unknown = ListModerationLogRequest { community_id: 999, ..Default::default() };
    refused!(ana.moderation().list_moderation_log(unknown).await, NotFound, "COMMUNITY_NOT_FOUND");
}

#[tokio::test]
async fn what_staff_did_outside_of_communities_is_in_a_log_of_its_own() {
    let world = World::start().await;
    let (_, ben, community, inside) = scene(&world).await;
    let outside = ben.post("Suelto", None).await.id;
    assert_eq!(log(&world, 0).await, []);
    lock(&world.admin(), inside, true).await.unwrap();
    lock(&world.admin(), outside, true).await.unwrap();
    world.pass(1);
    remove(&world.admin(), post(outside)).await.unwrap();
    assert_eq!(log(&world, 0).await, [ModerationAction::Lock, ModerationAction::Remove]);
    assert_eq!(log(&world, community).await, [ModerationAction::Lock]);
}

#[tokio::test]
async fn what_administrators_change_or_delete_of_others_is_logged() {
    let world = World::start().await;
    let (_, ben, community, id) = scene(&world).await;
    let admin = world.admin();
    let (said, own) = (ben.comment(id, None).await, admin.post("Aviso", Some(community)).await.id);
    let change = async |who: &Somebody, id: i64| {
        let request = UpdatePostRequest { id, title: Some("Otro".into()), ..Default::default() };
        who.posts().update_post(request).await.unwrap();
    };
    let delete = async |who: &Somebody, id: i64| {
        who.posts().delete_post(DeletePostRequest { id }).await.unwrap();
    };
    change(&ben, id).await;
    change(&admin, own).await;
    delete(&admin, own).await;
    change(&admin, id).await;
    let request = UpdateCommentRequest { id: said, content: Some("Otra cosa".into()), media_id: None };
    admin.comments().update_comment(request).await.unwrap();
    admin.delete_comment(said).await.unwrap();
    delete(&admin, id).await;

    let sql = "select action, post_id, comment_id from moderation_log
               where community_id = $1 and moderator_number = $2 order by id";
    let logged: Vec<(String, Option<i64>, Option<i64>)> =
        sqlx::query_as(sql).bind(community).bind(admin.number).fetch_all(world.db()).await.unwrap();
    let logged: Vec<_> = logged.iter().map(|(action, post, comment)| (action.as_str(), *post, *comment)).collect();
    assert_eq!(
        logged,
        [
            ("EDIT", Some(id), None),
            ("EDIT", None, Some(said)),
            ("DELETE", None, Some(said)),
            ("DELETE", Some(id), None)
        ]
    );
    assert_eq!(log(&world, community).await.len(), 4, "and everybody can read it");
}

#[tokio::test]
async fn nobody_moves_a_post_away_from_what_moderators_and_others_did() {
    let world = World::start().await;
    let (ana, ben, community, id) = scene(&world).await;
    let (eva, own, elsewhere) = (world.person(3), ben.found("dos").await.id, world.person(4).found("tres").await.id);
    let move_to = async |goal: i64| {
        let moved = UpdatePostRequest { id, community_id: Some(goal), ..UpdatePostRequest::default() };
        ben.posts().update_post(moved).await.map(drop)
    };
    lock(&ana, id, true).await.unwrap();
    refused!(move_to(own).await, FailedPrecondition, "LOCKED");
    lock(&ana, id, false).await.unwrap();
    let said = eva.comment(id, None).await;
    refused!(move_to(own).await, FailedPrecondition, "LOCKED");
    remove(&ana, comment(said)).await.unwrap();
    refused!(move_to(elsewhere).await, FailedPrecondition, "LOCKED");
    restore(&ana, comment(said)).await.unwrap();
    move_to(elsewhere).await.unwrap();
    // By who has a say there anyway.
    let back = UpdatePostRequest { id, community_id: Some(community), ..UpdatePostRequest::default() };
    world.admin().posts().update_post(back).await.unwrap();
    lock(&ana, id, true).await.unwrap();
    let moved = UpdatePostRequest { id, community_id: Some(own), ..UpdatePostRequest::default() };
    let moved = world.admin().posts().update_post(moved).await.unwrap().into_inner();
    assert_eq!(moved.community.unwrap().id, own);
}
