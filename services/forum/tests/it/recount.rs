//! Counters against a recount, after random deeds of which some die between two statements.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proto::forum::v1::{
    BanMemberRequest, DeletePostRequest, DismissReportsRequest, JoinCommunityRequest, LeaveCommunityRequest,
    RemoveContentRequest, ReportContentRequest, RestoreContentRequest, Target, TargetKind, UnbanMemberRequest,
    UpdatePostRequest,
};
use sqlx::PgPool;
use tonic::{Code, Status};

use crate::{Somebody, World};

/// Statements on these tables now and then end their session, as a crash of the service would.
async fn let_statements_die(db: &PgPool) {
    let mut statements = vec![
        "create function die_now_and_then() returns trigger language plpgsql as $$
         begin
             if random() < 0.04 then perform pg_terminate_backend(pg_backend_pid()); end if;
             return null;
         end $$"
            .to_owned(),
    ];
    for table in ["communities", "memberships", "bans", "posts", "reports", "reported", "moderation_log", "outbox"] {
        for moment in ["before", "after"] {
            statements.push(format!(
                "create trigger die_{moment} {moment} insert or update or delete on {table}
                 for each statement execute function die_now_and_then()"
            ));
        }
    }
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(db).await.unwrap();
    }
}

async fn let_statements_live(db: &PgPool) {
    sqlx::query("drop function die_now_and_then cascade").execute(db).await.unwrap();
}

/// What is told and what is there, wherever they differ.
async fn wrong(db: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select 'members of ' || id from communities c where members_count <>
             (select count(*) from memberships m where m.community_id = c.id and left_at is null)
         union all
         select 'posts of ' || id from communities c where posts_count <>
             (select count(*) from posts p where p.community_id = c.id and removed_at is null)
         union all
         select 'comments of ' || id from posts p where comments_count <>
             (select count(*) from comments c where c.post_id = p.id and deleted_at is null and removed_at is null)
         union all
         select 'reactions to ' || id from posts p where hearts + likes + dislikes <>
             (select count(*) from reactions r where r.post_id = p.id)
         union all
         select 'replies to ' || id from comments c where replies_count <>
             (select count(*) from comments r where r.parent_id = c.id and deleted_at is null and removed_at is null)
         union all
         select 'reports of ' || id from reported r where open <>
             (select count(*) from reports where post_id = r.post_id and comment_id is not distinct from r.comment_id
                 and settled_at is null)
         union all
         select 'unlisted report of ' || post_id from reports r where settled_at is null
             and not exists (select from reported where post_id = r.post_id and open > 0)
         union all
         select 'member and banned ' || m.user_id from memberships m
             join bans b on b.community_id = m.community_id and b.user_id = m.user_id where m.left_at is null
         union all
         select 'place of ' || r.id from reported r join posts p on p.id = r.post_id
             where r.community_id is distinct from p.community_id",
    )
    .fetch_all(db)
    .await
    .unwrap()
}

#[derive(Clone, Debug)]
enum Deed {
    Join { who: i64, community: usize },
    Leave { who: i64, community: usize },
    Post { who: i64, community: Option<usize> },
    Move { post: usize, community: Option<usize> },
    Delete { post: usize },
    Report { who: i64, post: usize },
    Dismiss { post: usize },
    Remove { post: usize },
    Restore { post: usize },
    Ban { who: i64, community: usize },
    Unban { who: i64, community: usize },
}

fn deed() -> impl Strategy<Value = Deed> {
    let (who, community, post) = (1i64..8, 0usize..3, 0usize..30);
    let (w, c) = (who.clone(), community.clone());
    prop_oneof![
        3 => (who.clone(), c.clone()).prop_map(|(who, community)| Deed::Join { who, community }),
        2 => (who.clone(), c.clone()).prop_map(|(who, community)| Deed::Leave { who, community }),
        6 => (who.clone(), prop::option::of(c.clone())).prop_map(|(who, community)| Deed::Post { who, community }),
        3 => (post.clone(), prop::option::of(c.clone())).prop_map(|(post, community)| Deed::Move { post, community }),
        1 => post.clone().prop_map(|post| Deed::Delete { post }),
        3 => (who.clone(), post.clone()).prop_map(|(who, post)| Deed::Report { who, post }),
        1 => post.clone().prop_map(|post| Deed::Dismiss { post }),
        3 => post.clone().prop_map(|post| Deed::Remove { post }),
        3 => post.prop_map(|post| Deed::Restore { post }),
        1 => (w.clone(), c.clone()).prop_map(|(who, community)| Deed::Ban { who, community }),
        1 => (w, c).prop_map(|(who, community)| Deed::Unban { who, community }),
    ]
}

/// Does it; refusals and crashes are as good as anything.
async fn attempt(world: &World, admin: &Somebody, communities: &[i64], posts: &mut Vec<i64>, deed: Deed) {
    let target = |posts: &[i64], post: usize| {
        let id = posts.get(post % posts.len().max(1)).copied().unwrap_or_default();
        Some(Target { kind: TargetKind::Post.into(), id })
    };
    let outcome: Result<(), Status> = match deed {
        Deed::Join { who, community } => {
            let request = JoinCommunityRequest { id: communities[community] };
            world.person(who).communities().join_community(request).await.map(drop)
        }
        Deed::Leave { who, community } => {
            let request = LeaveCommunityRequest { id: communities[community] };
            world.person(who).communities().leave_community(request).await.map(drop)
        }
        Deed::Post { who, community } => {
            let post = world.person(who).try_post("Post", community.map(|community| communities[community])).await;
            post.map(|post| posts.push(post.id))
        }
        Deed::Move { post, community } => {
            let request = UpdatePostRequest {
                id: target(posts, post).unwrap().id,
                community_id: community.map(|community| communities[community]),
                clear_community: community.is_none(),
                ..Default::default()
            };
            admin.posts().update_post(request).await.map(drop)
        }
        Deed::Delete { post } => {
            let request = DeletePostRequest { id: target(posts, post).unwrap().id };
            admin.posts().delete_post(request).await.map(drop)
        }
        Deed::Report { who, post } => {
            let request = ReportContentRequest { target: target(posts, post), reason: "feo".into() };
            world.person(who).moderation().report_content(request).await.map(drop)
        }
        Deed::Dismiss { post } => {
            let request = DismissReportsRequest { target: target(posts, post), reason: String::new() };
            admin.moderation().dismiss_reports(request).await.map(drop)
        }
        Deed::Remove { post } => {
            let request = RemoveContentRequest { target: target(posts, post), reason: String::new() };
            admin.moderation().remove_content(request).await.map(drop)
        }
        Deed::Restore { post } => {
            let request = RestoreContentRequest { target: target(posts, post), reason: String::new() };
            admin.moderation().restore_content(request).await.map(drop)
        }
        Deed::Ban { who, community } => {
            let user_id = world.person(who).id.to_string();
            let request = BanMemberRequest { community_id: communities[community], user_id, reason: String::new() };
            admin.moderation().ban_member(request).await.map(drop)
        }
        Deed::Unban { who, community } => {
            let user_id = world.person(who).id.to_string();
            let request = UnbanMemberRequest { community_id: communities[community], user_id, reason: String::new() };
            admin.moderation().unban_member(request).await.map(drop)
        }
    };
    if let Err(status) = outcome {
        assert_ne!(status.code(), Code::Unknown, "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_equal_a_recount_whatever_dies_in_between() {
    let world = World::with(&["--writes-per-minute", "100000"]).await;
    let (ana, admin) = (world.person(1), world.admin());
    let mut communities = Vec::new();
    for slug in ["uno", "dos", "tres"] {
        communities.push(ana.found(slug).await.id);
    }
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let deeds = prop::collection::vec(deed(), 400..=400).new_tree(&mut runner).unwrap().current();
    let_statements_die(world.db()).await;
    // Three at once, each with posts of its own and in the same communities.
    let thirds: Vec<_> = deeds.chunks(deeds.len() / 3 + 1).map(<[Deed]>::to_vec).collect();
    let mut posts = [Vec::new(), Vec::new(), Vec::new()];
    let [a, b, c] = &mut posts;
    let run = async |deeds: &[Deed], posts: &mut Vec<i64>| {
        for deed in deeds {
            attempt(&world, &admin, &communities, posts, deed.clone()).await;
        }
    };
    tokio::join!(run(&thirds[0], a), run(&thirds[1], b), run(&thirds[2], c));
    let written = posts.concat().len();
    // Connections that died are noticed by their next use.
    testkit::eventually("the database answers again", async || {
        sqlx::query("select 1").execute(world.db()).await.is_ok()
    })
    .await;
    for _ in 0..world.db().size() * 2 {
        let _ = sqlx::query("select 1").execute(world.db()).await;
    }
    let_statements_live(world.db()).await;
    assert!(written > 20, "{written} posts");
    assert_eq!(wrong(world.db()).await, [""; 0]);
}
