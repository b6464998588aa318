//! Reactions: one per person and thing.

use std::time::Duration;

use futures_util::future::join_all;
use proto::forum::v1::{
    DeleteReactionRequest, ListReactionsRequest, ReactRequest, ReactResponse, ReactionType, Target, TargetKind,
};
use serde_json::json;
use tonic::Status;

use crate::{Somebody, World, refused};

pub(crate) fn post(id: i64) -> Target {
    Target { kind: TargetKind::Post.into(), id }
}

pub(crate) fn comment(id: i64) -> Target {
    Target { kind: TargetKind::Comment.into(), id }
}

impl Somebody {
    pub(crate) async fn react(&self, target: Target, kind: ReactionType) -> Result<ReactResponse, Status> {
        let request = ReactRequest { target: Some(target), r#type: kind.into() };
        Ok(self.reactions().react(request).await?.into_inner())
    }

    async fn take_back(&self, id: i64) -> Result<(), Status> {
        self.reactions().delete_reaction(DeleteReactionRequest { id }).await.map(|_| ())
    }
}

impl World {
    /// Hearts, likes and dislikes as the thing counts them.
    async fn counts(&self, target: Target) -> (i64, i64, i64) {
        let table = if target.kind() == TargetKind::Post { "posts" } else { "comments" };
        let sql = sqlx::AssertSqlSafe(format!("select hearts, likes, dislikes from {table} where id = $1"));
        sqlx::query_as(sql).bind(target.id).fetch_one(self.db()).await.unwrap()
    }
}

#[tokio::test]
async fn another_type_changes_a_reaction_and_is_not_a_second_one() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    for thing in [post(id), comment(ana.comment(id, None).await)] {
        world.published().await;
        let first = beto.react(thing, ReactionType::Like).await.unwrap();
        assert!(first.created);
        let again = beto.react(thing, ReactionType::Like).await.unwrap();
        assert_eq!((again.created, &again.reaction), (false, &first.reaction));
        assert_eq!(world.counts(thing).await, (0, 1, 0));
        let changed = beto.react(thing, ReactionType::Heart).await.unwrap();
        let (first, reaction) = (first.reaction.unwrap(), changed.reaction.unwrap());
        assert_eq!((changed.created, reaction.id, reaction.r#type()), (false, first.id, ReactionType::Heart));
        assert_eq!(world.counts(thing).await, (1, 0, 0));
        ana.react(thing, ReactionType::Dislike).await.unwrap();
        assert_eq!(world.counts(thing).await, (1, 0, 1));

        // One fact, one event; and one's own things tell one nothing.
        let told = world.published().await;
        let kinds: Vec<_> = told.iter().map(|(kind, key, _)| (kind.as_str(), key.parse().unwrap())).collect();
        let added = ("foro.reaction.added", thing.id);
        assert_eq!(kinds, [("foro.notification.created", thing.id), added, added]);
        let word = if thing.kind() == TargetKind::Post { "post" } else { "comment" };
        assert_eq!(
            told[1].2,
            json!({
                "reaction_id": first.id, "user_id": 2, "user_uuid": beto.id, "type": "like", "content_type": word,
                "object_id": thing.id,
            })
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_by_one_person_are_one() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    let top = ana.comment(id, None).await;
    world.published().await;
    let kinds = [ReactionType::Heart, ReactionType::Like, ReactionType::Dislike];
    for thing in [post(id), comment(top)] {
        let answers = join_all((0..100).map(|n| beto.react(thing, kinds[n % 3]))).await;
        assert_eq!(answers.into_iter().filter(|answer| answer.as_ref().unwrap().created).count(), 1);
        let (hearts, likes, dislikes) = world.counts(thing).await;
        assert_eq!(hearts + likes + dislikes, 1);
        let added = world.published().await.into_iter().filter(|(kind, ..)| kind == "foro.reaction.added");
        assert_eq!(added.count(), 1);
    }
    let people: Vec<_> = (0..30).map(|n| world.person(10 + n)).collect();
    join_all(people.iter().map(|person| async { person.react(post(id), ReactionType::Like).await.unwrap() })).await;
    let (hearts, likes, dislikes) = world.counts(post(id)).await;
    assert_eq!(hearts + likes + dislikes, 31);
}

#[tokio::test]
async fn one_takes_back_ones_own_only() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    for thing in [post(id), comment(ana.comment(id, None).await)] {
        let reaction = beto.react(thing, ReactionType::Like).await.unwrap().reaction.unwrap();
        refused!(ana.take_back(reaction.id).await, NotFound, "REACTION_NOT_FOUND");
        refused!(world.nobody().take_back(reaction.id).await, Unauthenticated, "NOT_SIGNED_IN");
        let answers = join_all((0..5).map(|_| beto.take_back(reaction.id))).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        refused!(beto.take_back(reaction.id).await, NotFound, "REACTION_NOT_FOUND");
        assert_eq!(world.counts(thing).await, (0, 0, 0));
        assert!(beto.react(thing, ReactionType::Like).await.unwrap().created);
    }
}

#[tokio::test]
async fn what_cannot_be_reacted_to() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    let [kept, deleted, removed] =
        [ana.comment(id, None).await, ana.comment(id, None).await, ana.comment(id, None).await];
    ana.comment(id, Some(deleted)).await;
    ana.delete_comment(deleted).await.unwrap();
    world.set("comments", "removed_at", removed).await;
    for thing in [post(999), comment(999), comment(deleted), comment(removed)] {
        refused!(beto.react(thing, ReactionType::Like).await, NotFound, "TARGET_NOT_FOUND");
        let list = ListReactionsRequest { target: Some(thing), ..Default::default() };
        refused!(beto.reactions().list_reactions(list).await, NotFound, "TARGET_NOT_FOUND");
    }
    refused!(world.nobody().react(post(id), ReactionType::Like).await, Unauthenticated, "NOT_SIGNED_IN");
    refused!(beto.react(post(id), ReactionType::Unspecified).await, InvalidArgument, "INVALID_FIELDS");
    let without = ReactRequest { target: None, r#type: ReactionType::Like.into() };
    refused!(beto.reactions().react(without).await, InvalidArgument, "INVALID_FIELDS");
    beto.react(comment(kept), ReactionType::Like).await.unwrap();
    world.set("posts", "removed_at", id).await;
    for thing in [post(id), comment(kept)] {
        refused!(beto.react(thing, ReactionType::Heart).await, NotFound, "TARGET_NOT_FOUND");
    }

    let id = ana.post("Panales", None).await.id;
    sqlx::query("update posts set community_id = 1 where id = $1").bind(id).execute(world.db()).await.unwrap();
    sqlx::query("insert into bans (community_id, user_id, user_number, created_at) values (1, $1, 2, now())")
        .bind(beto.id)
        .execute(world.db())
        .await
        .unwrap();
    refused!(beto.react(post(id), ReactionType::Like).await, PermissionDenied, "COMMUNITY_BANNED");
}

#[tokio::test]
async fn sixty_in_a_minute_are_enough() {
    let world = World::start().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    for _ in 0..60 {
        beto.react(post(id), ReactionType::Like).await.unwrap();
    }
    refused!(beto.react(post(id), ReactionType::Heart).await, ResourceExhausted, "RATE_LIMITED");
    ana.react(post(id), ReactionType::Heart).await.unwrap();
    world.harness.clock.advance(Duration::from_secs(61));
    beto.react(post(id), ReactionType::Heart).await.unwrap();
    assert_eq!(world.counts(post(id)).await, (2, 0, 0));
}

#[tokio::test]
async fn everybody_sees_who_reacted_newest_first() {
    let world = World::busy().await;
    let ana = world.person(1);
    let id = ana.post("Panales", None).await.id;
    for thing in [post(id), comment(ana.comment(id, None).await)] {
        for n in 0..5 {
            world.harness.clock.advance(Duration::from_secs(1));
            world.person(10 + n).react(thing, ReactionType::Like).await.unwrap();
        }
        let list = |page_token: String, skip| {
            let mut reactions = world.nobody().reactions();
            let request = ListReactionsRequest { target: Some(thing), page_size: 2, page_token, skip };
            async move { reactions.list_reactions(request).await.unwrap().into_inner() }
        };
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let page = list(token, 0).await;
            assert_eq!(page.total_size, 5);
            seen.extend(page.reactions.iter().map(|reaction| reaction.user_number));
            assert!(page.reactions.iter().all(|reaction| reaction.target == Some(thing)));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, [14, 13, 12, 11, 10]);
        assert_eq!(list(String::new(), 4).await.reactions.len(), 1);
    }
}
