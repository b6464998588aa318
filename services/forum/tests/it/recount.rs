//! Counters against a recount, after random deeds of which some die between two statements.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proto::forum::v1::{
    BanMemberRequest, CreateCommentRequest, DeleteCommentRequest, DeletePostRequest, DeleteReactionRequest,
    DismissReportsRequest, JoinCommunityRequest, LeaveCommunityRequest, ReactRequest, RemoveContentRequest,
    ReportContentRequest, RestoreContentRequest, Target, TargetKind, UnbanMemberRequest, UpdatePostRequest,
};
use sqlx::PgPool;
use tonic::{Code, Status};

use crate::{Somebody, World};

/// Statements on these tables now and then end their session, as a crash of the service would.
async fn let_statements_die(db: &PgPool) {
    let mut statements = vec![
        "create function die_now_and_then() returns trigger language plpgsql as $$
         begin
             if random() < 0.02 then perform pg_terminate_backend(pg_backend_pid()); end if;
             return null;
         end $$"
            .to_owned(),
    ];
    for table in [
        "communities",
        "memberships",
        "bans",
        "posts",
        "comments",
        "reactions",
        "interactions",
        "notifications",
        "reports",
        "reported",
        "moderation_log",
        "outbox",
    ] {
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
         select 'reactions to post ' || id from posts p
             where row(hearts, likes, dislikes) is distinct from (select row(
                 count(*) filter (where type = 'HEART'), count(*) filter (where type = 'LIKE'),
                 count(*) filter (where type = 'DISLIKE')
             ) from reactions r where r.post_id = p.id)
         union all
         select 'reactions to comment ' || id from comments c
             where row(hearts, likes, dislikes) is distinct from (select row(
                 count(*) filter (where type = 'HEART'), count(*) filter (where type = 'LIKE'),
                 count(*) filter (where type = 'DISLIKE')
             ) from reactions r where r.comment_id = c.id)
         union all
         select 'interest of ' || user_id || ' in ' || author_id from (
             select user_id, author_id, comments, reactions from interactions
             union all
             select c.author_id, p.author_id, -count(*), 0 from comments c join posts p on p.id = c.post_id
                 where c.deleted_at is null group by 1, 2
             union all
             select r.user_id, p.author_id, 0, -count(*) from reactions r join posts p on p.id = r.post_id group by 1, 2
         ) told group by user_id, author_id having sum(comments) <> 0 or sum(reactions) <> 0
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
    Comment { who: i64, post: usize, below: Option<usize> },
    DeleteComment { comment: usize },
    React { who: i64, to: Thing, kind: i32 },
    TakeBack { reaction: usize },
    Report { who: i64, post: usize },
    Dismiss { post: usize },
    Remove { what: Thing },
    Restore { what: Thing },
    Ban { who: i64, community: usize },
    Unban { who: i64, community: usize },
}

#[derive(Clone, Copy, Debug)]
enum Thing {
    Post(usize),
    Comment(usize),
}

/// What was made so far.
#[derive(Default)]
struct Made {
    posts: Vec<i64>,
    /// With their posts.
    comments: Vec<(i64, i64)>,
    /// With whose they are.
    reactions: Vec<(i64, i64)>,
}

impl Made {
    fn post(&self, which: usize) -> i64 {
        self.posts.get(which % self.posts.len().max(1)).copied().unwrap_or_default()
    }

    fn comment(&self, which: usize) -> (i64, i64) {
        self.comments.get(which % self.comments.len().max(1)).copied().unwrap_or_default()
    }

    fn target(&self, thing: Thing) -> Option<Target> {
        Some(match thing {
            Thing::Post(which) => Target { kind: TargetKind::Post.into(), id: self.post(which) },
            Thing::Comment(which) => Target { kind: TargetKind::Comment.into(), id: self.comment(which).0 },
        })
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    let (who, community, post) = (1i64..8, 0usize..3, 0usize..30);
    let (w, c) = (who.clone(), community.clone());
    let thing = || prop_oneof![(0usize..30).prop_map(Thing::Post), (0usize..30).prop_map(Thing::Comment)];
    prop_oneof![
        3 => (who.clone(), c.clone()).prop_map(|(who, community)| Deed::Join { who, community }),
        2 => (who.clone(), c.clone()).prop_map(|(who, community)| Deed::Leave { who, community }),
        6 => (who.clone(), prop::option::of(c.clone())).prop_map(|(who, community)| Deed::Post { who, community }),
        3 => (post.clone(), prop::option::of(c.clone())).prop_map(|(post, community)| Deed::Move { post, community }),
        1 => post.clone().prop_map(|post| Deed::Delete { post }),
        3 => (who.clone(), post.clone()).prop_map(|(who, post)| Deed::Report { who, post }),
        1 => post.clone().prop_map(|post| Deed::Dismiss { post }),
        3 => thing().prop_map(|what| Deed::Remove { what }),
        3 => thing().prop_map(|what| Deed::Restore { what }),
        8 => (who.clone(), post.clone(), prop::option::of(post.clone()))
            .prop_map(|(who, post, below)| Deed::Comment { who, post, below }),
        3 => post.clone().prop_map(|comment| Deed::DeleteComment { comment }),
        8 => (who.clone(), thing(), 1i32..4).prop_map(|(who, to, kind)| Deed::React { who, to, kind }),
        3 => post.prop_map(|reaction| Deed::TakeBack { reaction }),
        1 => (w.clone(), c.clone()).prop_map(|(who, community)| Deed::Ban { who, community }),
        1 => (w, c).prop_map(|(who, community)| Deed::Unban { who, community }),
    ]
}

/// Does it; refusals and crashes are as good as anything.
async fn attempt(world: &World, admin: &Somebody, communities: &[i64], made: &mut Made, deed: Deed) {
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
            post.map(|post| made.posts.push(post.id))
        }
        Deed::Move { post, community } => {
            let request = UpdatePostRequest {
                id: made.post(post),
                community_id: community.map(|community| communities[community]),
                clear_community: community.is_none(),
                ..Default::default()
            };
            admin.posts().update_post(request).await.map(drop)
        }
        Deed::Delete { post } => {
            let request = DeletePostRequest { id: made.post(post) };
            admin.posts().delete_post(request).await.map(drop)
        }
        Deed::Comment { who, post, below } => {
            let (parent_id, post_id) = match below {
                Some(which) => made.comment(which),
                None => (0, made.post(post)),
            };
            let parent_id = below.map(|_| parent_id);
            let request = CreateCommentRequest { post_id, parent_id, content: "Hola".into(), ..Default::default() };
            let comment = world.person(who).comments().create_comment(request).await;
            comment.map(|comment| made.comments.push((comment.get_ref().id, post_id)))
        }
        Deed::DeleteComment { comment } => {
            let request = DeleteCommentRequest { id: made.comment(comment).0 };
            admin.comments().delete_comment(request).await.map(drop)
        }
        Deed::React { who, to, kind } => {
            let request = ReactRequest { target: made.target(to), r#type: kind };
            let reaction = world.person(who).reactions().react(request).await;
            reaction.map(|react| made.reactions.extend(react.into_inner().reaction.map(|reaction| (reaction.id, who))))
        }
        Deed::TakeBack { reaction } => {
            let (id, who) = made.reactions.get(reaction).copied().unwrap_or((0, 1));
            world.person(who).reactions().delete_reaction(DeleteReactionRequest { id }).await.map(drop)
        }
        Deed::Report { who, post } => {
            let request = ReportContentRequest { target: made.target(Thing::Post(post)), reason: "feo".into() };
            world.person(who).moderation().report_content(request).await.map(drop)
        }
        Deed::Dismiss { post } => {
            let request = DismissReportsRequest { target: made.target(Thing::Post(post)), reason: String::new() };
            admin.moderation().dismiss_reports(request).await.map(drop)
        }
        Deed::Remove { what } => {
            let request = RemoveContentRequest { target: made.target(what), reason: String::new() };
            admin.moderation().remove_content(request).await.map(drop)
        }
        Deed::Restore { what } => {
            let request = RestoreContentRequest { target: made.target(what), reason: String::new() };
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
    let world = World::with(&["--writes-per-minute", "100000", "--reactions-per-minute", "100000"]).await;
    let (ana, admin) = (world.person(1), world.admin());
    let mut communities = Vec::new();
    for slug in ["uno", "dos", "tres"] {
        communities.push(ana.found(slug).await.id);
    }
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let deeds = prop::collection::vec(deed(), 900..=900).new_tree(&mut runner).unwrap().current();
    let_statements_die(world.db()).await;
    // Three at once, each with posts of its own and in the same communities.
    let thirds: Vec<_> = deeds.chunks(deeds.len() / 3 + 1).map(<[Deed]>::to_vec).collect();
    let mut made = [Made::default(), Made::default(), Made::default()];
    let [a, b, c] = &mut made;
    let run = async |deeds: &[Deed], made: &mut Made| {
        for deed in deeds {
            attempt(&world, &admin, &communities, made, deed.clone()).await;
        }
    };
    tokio::join!(run(&thirds[0], a), run(&thirds[1], b), run(&thirds[2], c));
    let count = |of: fn(&Made) -> usize| made.iter().map(of).sum::<usize>();
    let written =
        [count(|made| made.posts.len()), count(|made| made.comments.len()), count(|made| made.reactions.len())];
    // Connections that died are noticed by their next use.
    testkit::eventually("the database answers again", async || {
        sqlx::query("select 1").execute(world.db()).await.is_ok()
    })
    .await;
    for _ in 0..world.db().size() * 2 {
        let _ = sqlx::query("select 1").execute(world.db()).await;
    }
    let_statements_live(world.db()).await;
    assert!(written.iter().all(|made| *made > 20), "posts, comments, reactions: {written:?}");
    assert_eq!(wrong(world.db()).await, [""; 0]);
}
