//! Notifications: who is told what, and what becomes of it.

use std::time::Duration;

use kit::Peer;
use proto::forum::v1::notification_service_client::NotificationServiceClient;
use proto::forum::v1::{
    CountUnreadRequest, DeleteNotificationRequest, GetNotificationRequest, ListNotificationsRequest,
    ListNotificationsResponse, MarkReadRequest, Notification, NotificationType, ReactionType,
};

use crate::reactions::{comment, post};
use crate::{Somebody, World, refused};

impl Somebody {
    pub(crate) fn notifications(&self) -> NotificationServiceClient<Peer> {
        NotificationServiceClient::new(self.peer.clone())
    }

    async fn told(&self, request: ListNotificationsRequest) -> ListNotificationsResponse {
        self.notifications().list_notifications(request).await.unwrap().into_inner()
    }

    async fn all(&self) -> Vec<Notification> {
        self.told(ListNotificationsRequest::default()).await.notifications
    }

    async fn unread(&self) -> i32 {
        self.notifications().count_unread(CountUnreadRequest {}).await.unwrap().into_inner().unread
    }

    async fn mark(&self, ids: Vec<i64>, all: bool) -> i32 {
        self.notifications().mark_read(MarkReadRequest { ids, all }).await.unwrap().into_inner().matched
    }
}

#[tokio::test]
async fn the_author_of_what_was_answered_or_reacted_to_is_told() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    let top = beto.comment(id, None).await;
    world.harness.clock.advance(Duration::from_secs(1));
    let reply = ana.comment(id, Some(top)).await;
    beto.react(post(id), ReactionType::Heart).await.unwrap();
    ana.react(comment(top), ReactionType::Dislike).await.unwrap();
    // One's own doings.
    ana.comment(id, None).await;
    beto.comment(id, Some(top)).await;
    ana.react(post(id), ReactionType::Like).await.unwrap();

    let of = |told: &[Notification]| {
        let facts =
            told.iter().map(|n| (n.r#type(), n.target.unwrap(), n.post_id, n.actor_number, n.reaction(), n.read));
        facts.collect::<Vec<_>>()
    };
    let none = ReactionType::Unspecified;
    assert_eq!(
        of(&ana.all().await),
        [
            (NotificationType::PostReaction, post(id), id, 2, ReactionType::Heart, false),
            (NotificationType::PostReply, comment(top), id, 2, none, false),
        ]
    );
    let mut betos = of(&beto.all().await);
    betos.sort_by_key(|told| told.0);
    assert_eq!(
        betos,
        [
            (NotificationType::CommentReply, comment(reply), id, 1, none, false),
            (NotificationType::CommentReaction, comment(top), id, 1, ReactionType::Dislike, false),
        ]
    );
    // They go with what they are about.
    ana.delete_comment(reply).await.unwrap();
    assert_eq!(beto.all().await.len(), 1);
    beto.delete_comment(top).await.unwrap();
    assert_eq!(of(&ana.all().await).len(), 1);
}

#[tokio::test]
async fn while_one_is_unread_the_same_doing_makes_no_second_one() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    for _ in 0..3 {
        let reaction = beto.react(post(id), ReactionType::Like).await.unwrap().reaction.unwrap();
        let request = proto::forum::v1::DeleteReactionRequest { id: reaction.id };
        beto.reactions().delete_reaction(request).await.unwrap();
    }
    assert_eq!((ana.unread().await, ana.all().await.len()), (1, 1));
    let told = world.published().await;
    assert_eq!(told.iter().filter(|(kind, ..)| kind == "foro.notification.created").count(), 1);
    ana.mark(vec![], true).await;
    beto.react(post(id), ReactionType::Like).await.unwrap();
    assert_eq!((ana.unread().await, ana.all().await.len()), (1, 2));
}

#[tokio::test]
async fn what_is_unread_tells_the_present_reaction() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    let told = async || ana.all().await.iter().map(Notification::reaction).collect::<Vec<_>>();
    beto.react(post(id), ReactionType::Like).await.unwrap();
    let reaction = beto.react(post(id), ReactionType::Dislike).await.unwrap().reaction.unwrap();
    assert_eq!(told().await, [ReactionType::Dislike]);
    let request = proto::forum::v1::DeleteReactionRequest { id: reaction.id };
    beto.reactions().delete_reaction(request).await.unwrap();
    beto.react(post(id), ReactionType::Heart).await.unwrap();
    assert_eq!(told().await, [ReactionType::Heart]);
    // What was read stays as it was read.
    ana.mark(vec![], true).await;
    beto.react(post(id), ReactionType::Like).await.unwrap();
    assert_eq!(told().await, [ReactionType::Heart]);
    let events = world.published().await;
    assert_eq!(events.iter().filter(|(kind, ..)| kind == "foro.notification.created").count(), 1);
}

#[tokio::test]
async fn one_lists_counts_reads_and_deletes_ones_own() {
    let world = World::busy().await;
    let (ana, beto) = (world.person(1), world.person(2));
    let id = ana.post("Panales", None).await.id;
    for _ in 0..5 {
        world.harness.clock.advance(Duration::from_secs(1));
        beto.comment(id, None).await;
    }
    let ids = |told: &ListNotificationsResponse| told.notifications.iter().map(|n| n.id).collect::<Vec<_>>();
    let all: Vec<_> = ana.all().await.iter().map(|n| n.id).collect();
    let request = ListNotificationsRequest { page_size: 2, ..Default::default() };
    let first = ana.told(request.clone()).await;
    assert_eq!((ids(&first), first.total_size), (all[..2].to_vec(), 5));
    let page_token = first.next_page_token;
    assert_eq!(ids(&ana.told(ListNotificationsRequest { page_token, ..request.clone() }).await), all[2..4]);
    let last = ana.told(ListNotificationsRequest { skip: 4, ..request }).await;
    assert_eq!((ids(&last), &*last.next_page_token), (all[4..].to_vec(), ""));

    assert_eq!((beto.unread().await, ana.unread().await), (0, 5));
    assert_eq!(beto.mark(all.clone(), false).await, 0);
    assert_eq!(ana.mark(vec![], false).await, 0);
    assert_eq!(ana.mark(vec![all[0], all[1], 999], false).await, 2);
    assert_eq!(ana.mark(vec![all[1], all[2]], false).await, 2);
    let unread = ListNotificationsRequest { unread: true, page_size: 1, ..Default::default() };
    let unread = ana.told(unread).await;
    assert_eq!((ids(&unread), unread.total_size, ana.unread().await), (vec![all[3]], 2, 2));
    assert_eq!((ana.mark(vec![], true).await, ana.mark(vec![], true).await, ana.unread().await), (2, 0, 0));

    let get = |who: &Somebody, id| {
        let mut notifications = who.notifications();
        async move { notifications.get_notification(GetNotificationRequest { id }).await }
    };
    assert!(get(&ana, all[0]).await.unwrap().into_inner().read);
    refused!(get(&beto, all[0]).await, NotFound, "NOTIFICATION_NOT_FOUND");
    let delete = |who: &Somebody, id| {
        let mut notifications = who.notifications();
        async move { notifications.delete_notification(DeleteNotificationRequest { id }).await }
    };
    refused!(delete(&beto, all[0]).await, NotFound, "NOTIFICATION_NOT_FOUND");
    delete(&ana, all[0]).await.unwrap();
    refused!(delete(&ana, all[0]).await, NotFound, "NOTIFICATION_NOT_FOUND");
    assert_eq!(ana.all().await.len(), 4);
    let nobody = world.nobody().notifications().list_notifications(ListNotificationsRequest::default()).await;
    refused!(nobody, Unauthenticated, "NOT_SIGNED_IN");
}
