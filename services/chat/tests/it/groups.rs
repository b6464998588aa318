//! Groups: who is in them, who administers them, and who may bring whom in.

use proto::events::v1::UserDeleted;

use super::rooms::*;
use super::*;

#[tokio::test]
async fn a_group_begins_with_its_maker_as_administrator_and_everybody_once() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let users = vec![ben.key(), by_number(2), ana.key(), carla.key(), ben.key()];
    let request = CreateGroupRequest { name: "Ganaderos".into(), users };
    let room = ana.rooms().create_group(request).await.unwrap().into_inner();
    assert_eq!((numbers(&room), admins(&room)), (vec![1, 2, 3], vec![1]));
    assert_eq!((room.name.as_str(), room.kind(), room.created_by_number), ("Ganaderos", RoomKind::Group, 1));
    assert_eq!((room.last_sequence, room.last_activity_at, room.unread_count), (0, None, 0));
    let published = world.published().await;
    let [(kind, key, event)] = published.as_slice() else { panic!("one event: {published:?}") };
    assert_eq!((kind.as_str(), key.clone()), ("chat.room.created", room.number.to_string()));
    assert_eq!(event["participants_ids"], serde_json::json!([1, 2, 3]));

    let alone = ana.group(&[]).await;
    assert_eq!(numbers(&alone), [1]);
    let unknown = CreateGroupRequest { name: String::new(), users: vec![by_number(999)] };
    assert_eq!(refused(ana.rooms().create_group(unknown).await).1, "USER_NOT_FOUND");
    let long = CreateGroupRequest { name: "x".repeat(151), users: vec![] };
    assert_eq!(refused(ana.rooms().create_group(long).await).0, Code::InvalidArgument);
    let nul = CreateGroupRequest { name: "a\0b".into(), users: vec![] };
    assert_eq!(refused(ana.rooms().create_group(nul).await).0, Code::InvalidArgument);
    for number in 4..=2_004 {
        world.users.person(number);
    }
    let users = (4..=2_003).map(by_number).collect();
    let many = CreateGroupRequest { name: String::new(), users };
    assert_eq!(refused(ana.rooms().create_group(many).await).1, "TOO_MANY_MEMBERS");
    let most = CreateGroupRequest { name: String::new(), users: (4..=2_002).map(by_number).collect() };
    assert_eq!(ana.rooms().create_group(most).await.unwrap().into_inner().members.len(), 2_000);
}

#[tokio::test]
async fn administrators_are_made_and_the_last_one_stays() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let (room, stranger) = (ana.group(&[&ben, &carla]).await, world.person(4));
    assert_eq!(refused(ben.set_role(&room, &ben, true).await), (Code::PermissionDenied, "NOT_YOURS".into()));
    assert_eq!(refused(ana.set_role(&room, &stranger, true).await), (Code::NotFound, "MEMBER_NOT_FOUND".into()));
    assert_eq!(refused(ana.set_role(&room, &stranger, false).await).1, "MEMBER_NOT_FOUND");
    let last = (Code::FailedPrecondition, "LAST_ADMINISTRATOR".to_owned());
    assert_eq!(refused(ana.set_role(&room, &ana, false).await), last);
    let mut at_carla = carla.connect(&room).await;
    for _ in 0..2 {
        assert_eq!(admins(&ana.set_role(&room, &ben, true).await.unwrap()), [1, 2]);
    }
    let told = at_carla.find(|frame| if let Frame::Room(room) = frame { Some(room) } else { None }).await;
    assert_eq!(admins(&told), [1, 2]);
    assert_eq!(admins(&ben.set_role(&room, &ana, false).await.unwrap()), [2]);
    assert_eq!(refused(ana.set_role(&room, &carla, true).await).1, "NOT_YOURS");
    assert_eq!(refused(ben.set_role(&room, &ben, false).await), last);
    let pair = ana.open_pair(&ben).await;
    assert_eq!(refused(ana.set_role(&pair, &ben, true).await).1, "PAIR_IS_FIXED");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_administrators_who_depose_each_other_at_once_leave_one() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    for _ in 0..10 {
        let room = ana.group(&[&ben]).await;
        ana.set_role(&room, &ben, true).await.unwrap();
        let (one, other) = tokio::join!(ana.set_role(&room, &ben, false), ben.set_role(&room, &ana, false));
        assert_eq!([&one, &other].iter().filter(|answer| answer.is_ok()).count(), 1, "{one:?} {other:?}");
        assert_eq!(admins(&ana.see(&room).await.unwrap()).len(), 1);
    }
}

#[tokio::test]
async fn leaving_a_group_hands_it_on_and_the_last_takes_it_along() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let room = ana.group(&[&ben, &carla]).await;
    let message = ana.send(&room, "adiós").await;
    let (mut at_ana, mut at_ben) = (ana.connect(&room).await, ben.connect(&room).await);
    ana.leave(&room).await.unwrap();
    assert_eq!(at_ana.find(closing).await, ClosingReason::Removed);
    assert_eq!(refused(ana.leave(&room).await), not_found());
    assert_eq!(refused(ana.see(&room).await), not_found());
    let told = at_ben.find(|frame| if let Frame::Room(room) = frame { Some(room) } else { None }).await;
    assert_eq!((numbers(&told), admins(&told)), (vec![2, 3], vec![2]), "who came first takes over");
    assert_eq!(texts(&ben.history(&room).await), ["adiós"], "what they said stays");
    let denied = (Code::PermissionDenied, "NOT_A_MEMBER".to_owned());
    assert_eq!(refused(ana.try_send(&room, Draft { text: "x".into(), ..Draft::default() }).await), denied);
    assert_eq!(refused(ana.edit(&message, "otra cosa").await).1, "MESSAGE_NOT_FOUND");

    let (one, other) = tokio::join!(ben.leave(&room), carla.leave(&room));
    assert!(one.is_ok() && other.is_ok());
    let by_number = GetRoomRequest {
        room: Some(RoomKey { key: Some(room_key::Key::Number(room.number)), ..Default::default() }),
        messages: 0,
    };
    assert_eq!(refused(ben.rooms().get_room(by_number).await), not_found());
    assert_eq!(refused(ben.try_send(&room, Draft { text: "x".into(), ..Draft::default() }).await), not_found());
    let versions = ListVersionsRequest { message: Some(named(&message)) };
    assert_eq!(refused(world.admin().messages().list_versions(versions).await).1, "MESSAGE_NOT_FOUND");
}

#[tokio::test]
async fn replacing_members_cuts_off_who_is_out_and_lets_in_who_is_new() {
    let world = World::start().await;
    let (ana, ben, carla, dora) = (world.person(1), world.person(2), world.person(3), world.person(4));
    let room = ana.group(&[&ben, &carla]).await;
    ana.send(&room, "uno").await;
    assert_eq!(refused(ben.replace(&room, vec![ben.key()]).await), (Code::PermissionDenied, "NOT_YOURS".into()));
    let same = ben.replace(&room, vec![carla.key(), ben.key(), ana.key()]).await.unwrap();
    assert_eq!(numbers(&same), [1, 2, 3], "the same people are no change, and so anybody's");

    let (mut at_ben, mut at_carla, mut inbox) =
        (ben.connect(&room).await, carla.connect(&room).await, dora.inbox(true).await);
    let now = ana.replace(&room, vec![ana.key(), carla.key(), dora.key()]).await.unwrap();
    assert_eq!((numbers(&now), admins(&now)), (vec![1, 3, 4], vec![1]));
    assert_eq!(at_ben.find(closing).await, ClosingReason::Removed);
    let told = at_carla.find(|frame| if let Frame::Room(room) = frame { Some(room) } else { None }).await;
    assert_eq!(numbers(&told), [1, 3, 4]);
    assert_eq!(refused(ben.see(&room).await), not_found());
    let seen = dora.see(&room).await.unwrap();
    assert_eq!((texts(&seen.messages), seen.unread_count), (vec!["uno"], 0), "what was before is not unread");
    ana.send(&room, "dos").await;
    assert_eq!(inbox.message().await.text, "dos");
    assert_eq!(dora.see(&room).await.unwrap().unread_count, 1);

    let now = ana.replace(&room, vec![ben.key(), dora.key()]).await.unwrap();
    assert_eq!(now.id, room.id);
    let now = ben.see(&room).await.unwrap();
    assert_eq!((numbers(&now), admins(&now)), (vec![4, 2], vec![4]), "who came first administers");
    assert_eq!(refused(ana.see(&room).await), not_found());
    assert_eq!(refused(dora.replace(&room, vec![]).await).0, Code::InvalidArgument);
    assert_eq!(refused(dora.replace(&room, vec![by_number(99)]).await).1, "USER_NOT_FOUND");
}

#[tokio::test]
async fn who_deletes_their_account_leaves_every_group() {
    let world = World::start().await;
    let (ana, ben, pair) = world.pair().await;
    let carla = world.person(3);
    let (group, alone) = (ana.group(&[&ben, &carla]).await, ana.group(&[]).await);
    ana.send(&group, "chau").await;
    let deleted = UserDeleted { user_uuid: ana.id.to_string(), ..UserDeleted::default() };
    for _ in 0..2 {
        world.deliver(&deleted).await;
    }
    let seen = ben.see(&group).await.unwrap();
    assert_eq!((numbers(&seen), admins(&seen)), (vec![2, 3], vec![2]));
    assert_eq!(texts(&seen.messages), ["chau"]);
    assert_eq!(refused(ana.see(&alone).await), not_found());
    assert_eq!(numbers(&ben.see(&pair).await.unwrap()), [1, 2], "pairs stay as they were");
}

#[tokio::test]
async fn nobody_is_brought_into_a_group_by_whom_they_have_blocked() {
    let world = World::start().await;
    let (ana, ben, eva) = (world.person(1), world.person(2), world.person(3));
    ben.block(&ana).await.unwrap();
    let new = CreateGroupRequest { name: "Todos".into(), users: vec![ben.key(), eva.key()] };
    let blocked = (Code::PermissionDenied, "BLOCKED".to_owned());
    assert_eq!(refused(ana.rooms().create_group(new.clone()).await), blocked);
    let room = ana.group(&[&eva]).await;
    let users = vec![ana.key(), ben.key(), eva.key()];
    let more = UpdateRoomRequest { room: Some(key(&room)), users, replace_users: true, ..Default::default() };
    assert_eq!(refused(ana.rooms().update_room(more).await), blocked);
    ben.unblock(&ana).await.unwrap();
    ana.rooms().create_group(new).await.unwrap();
}
