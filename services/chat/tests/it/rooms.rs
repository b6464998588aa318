//! Rooms: one for a pair, groups and who may do what in them, blocks, and what each member wants for themselves.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use proto::events::v1::UserDeleted;

use super::*;

impl Somebody {
    async fn open(&self, kind: RoomKind, users: Vec<UserKey>, subject: &str) -> Result<OpenPairResponse, Status> {
        let request = OpenPairRequest { kind: kind.into(), users, subject: subject.into(), messages: 0 };
        Ok(self.rooms().open_pair(request).await?.into_inner())
    }

    async fn list_rooms(&self, request: ListRoomsRequest) -> ListRoomsResponse {
        self.rooms().list_rooms(request).await.unwrap().into_inner()
    }

    /// Numbers of all one's rooms, in their order.
    async fn room_numbers(&self) -> Vec<i64> {
        self.list_rooms(ListRoomsRequest::default()).await.rooms.iter().map(|room| room.number).collect()
    }

    async fn rename(&self, room: &Room, name: &str) -> Result<Room, Status> {
        let request = UpdateRoomRequest { room: Some(key(room)), name: Some(name.into()), ..Default::default() };
        Ok(self.rooms().update_room(request).await?.into_inner())
    }

    pub(crate) async fn replace(&self, room: &Room, users: Vec<UserKey>) -> Result<Room, Status> {
        let request = UpdateRoomRequest { room: Some(key(room)), users, replace_users: true, ..Default::default() };
        Ok(self.rooms().update_room(request).await?.into_inner())
    }

    pub(crate) async fn set_role(&self, room: &Room, other: &Somebody, admin: bool) -> Result<Room, Status> {
        let request = SetMemberRoleRequest { room: Some(key(room)), user: Some(other.key()), admin };
        Ok(self.rooms().set_member_role(request).await?.into_inner())
    }

    pub(super) async fn block(&self, other: &Somebody) -> Result<(), Status> {
        self.rooms().block_user(BlockUserRequest { user: Some(other.key()) }).await.map(drop)
    }

    pub(super) async fn unblock(&self, other: &Somebody) -> Result<(), Status> {
        self.rooms().unblock_user(UnblockUserRequest { user: Some(other.key()) }).await.map(drop)
    }

    async fn blocked(&self) -> Vec<i64> {
        self.rooms().list_blocks(ListBlocksRequest {}).await.unwrap().into_inner().user_numbers
    }

    async fn want(&self, room: &Room, archived: Option<bool>, muted_until: Option<i64>) -> Result<Room, Status> {
        let muted_until = muted_until.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 });
        let request = UpdateMembershipRequest { room: Some(key(room)), muted_until, archived };
        Ok(self.rooms().update_membership(request).await?.into_inner())
    }

    async fn unread(&self) -> (i32, i32) {
        let unread = self.rooms().count_unread(CountUnreadRequest::default()).await.unwrap().into_inner();
        (unread.messages, unread.rooms)
    }
}

pub(crate) fn numbers(room: &Room) -> Vec<i64> {
    room.members.iter().map(|member| member.user_number).collect()
}

pub(crate) fn admins(room: &Room) -> Vec<i64> {
    room.members.iter().filter(|member| member.admin).map(|member| member.user_number).collect()
}

pub(crate) fn by_number(number: i64) -> UserKey {
    UserKey { key: Some(user_key::Key::Number(number)) }
}

pub(crate) fn not_found() -> (Code, String) {
    (Code::NotFound, "ROOM_NOT_FOUND".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_open_a_pair_at_once_make_one_room_and_one_event() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let both = [(&ana, &ben), (&ben, &ana)];
    let asked = (0..50).map(|n| {
        let (me, other) = both[n % 2];
        me.open(RoomKind::Pair, vec![other.key()], "")
    });
    let answers: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1);
    let rooms: Vec<_> = answers.into_iter().map(|answer| answer.room.unwrap()).collect();
    assert!(rooms.iter().all(|room| room.id == rooms[0].id && numbers(room) == numbers(&rooms[0])));
    assert_eq!(rooms[0].kind(), RoomKind::Pair);

    let published = world.published().await;
    let [(kind, key, event)] = published.as_slice() else { panic!("one event: {published:?}") };
    assert_eq!((kind.as_str(), key.as_str()), ("chat.room.created", rooms[0].number.to_string().as_str()));
    assert_eq!((&event["room_id"], &event["chat_id"]), (&rooms[0].number.into(), &rooms[0].id.clone().into()));
    let mut participants: Vec<_> = event["participants_ids"].as_array().unwrap().iter().map(Value::as_i64).collect();
    participants.sort_unstable();
    assert_eq!(participants, [Some(1), Some(2)]);
    let ids: BTreeSet<_> = event["participantes"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ids, BTreeSet::from([ana.id.to_string().as_str(), ben.id.to_string().as_str()]));
    assert!(event.get("trabajo_id").is_none_or(Value::is_null), "a pair is about nothing: {event}");
}

#[tokio::test]
async fn deals_are_one_per_pair_and_subject() {
    let world = World::start().await;
    let (ana, ben, pair) = world.pair().await;
    world.published().await;
    let open = async |me: &Somebody, other: &Somebody, subject| {
        let answer = me.open(RoomKind::Deal, vec![other.key()], subject).await.unwrap();
        (answer.room.unwrap(), answer.created)
    };
    let (silo, created) = open(&ana, &ben, "silo").await;
    assert!(created);
    assert_eq!((silo.kind(), silo.subject.as_str()), (RoomKind::Deal, "silo"));
    let (again, created) = open(&ben, &ana, "silo").await;
    assert_eq!((again.id, created), (silo.id.clone(), false));
    let (granero, created) = open(&ben, &ana, "granero").await;
    assert!(created);
    let (general, created) = open(&ben, &ana, "").await;
    assert!(created);
    let ids = BTreeSet::from([pair.id, silo.id.clone(), granero.id.clone(), general.id.clone()]);
    assert_eq!(ids.len(), 4, "four rooms");

    let subjects: Vec<_> =
        world.published().await.into_iter().map(|(_, _, event)| event["trabajo_id"].clone()).collect();
    assert_eq!(subjects, [Value::from("silo"), Value::from("granero"), Value::Null]);
    let deals = ListRoomsRequest { kinds: vec![RoomKind::Deal.into()], ..Default::default() };
    assert_eq!(ana.list_rooms(deals).await.total_size, 3);
}

#[tokio::test]
async fn a_pair_is_two_people_one_of_whom_is_the_caller() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let open = async |users| refused(ana.open(RoomKind::Pair, users, "").await);
    assert_eq!(open(vec![ana.key()]).await.1, "SELF_CHAT");
    assert_eq!(open(vec![ana.key(), by_number(1)]).await.1, "SELF_CHAT");
    assert_eq!(open(vec![ben.key(), carla.key()]).await, (Code::PermissionDenied, "NOT_A_MEMBER".into()));
    assert_eq!(open(vec![]).await, (Code::InvalidArgument, "NOT_A_PAIR".into()));
    assert_eq!(open(vec![by_number(999)]).await, (Code::NotFound, "USER_NOT_FOUND".into()));
    assert_eq!(open(vec![ana.key(), ben.key(), carla.key()]).await.0, Code::InvalidArgument);
    assert_eq!(refused(ana.open(RoomKind::Group, vec![ben.key()], "").await).0, Code::InvalidArgument);
    assert_eq!(refused(ana.open(RoomKind::Deal, vec![ben.key()], &"x".repeat(101)).await).0, Code::InvalidArgument);
    assert!(world.published().await.is_empty());

    let one = ana.open(RoomKind::Pair, vec![by_number(2)], "").await.unwrap().room.unwrap();
    let both = ana.open(RoomKind::Pair, vec![ben.key(), by_number(1)], "").await.unwrap().room.unwrap();
    assert_eq!(one.id, both.id);
}

#[tokio::test]
async fn who_is_blocked_neither_writes_nor_opens() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let draft = || Draft { text: "hola".into(), ..Draft::default() };
    let earlier = ana.send(&room, "antes").await;
    for _ in 0..2 {
        ben.block(&ana).await.unwrap();
    }
    let blocked = (Code::PermissionDenied, "BLOCKED".to_owned());
    assert_eq!(refused(ana.try_send(&room, draft()).await), blocked);
    assert_eq!(refused(ana.edit(&earlier, "otra cosa").await), blocked);
    let (mut line, mut at_ben) = (ana.connect(&room).await, ben.connect(&room).await);
    line.say(Said::Typing(Typing { active: true, ..Typing::default() })).await;
    line.send("hola", "x").await;
    assert_eq!(line.find(error).await, ("BLOCKED".into(), "x".into()));
    assert_eq!(refused(ana.open(RoomKind::Deal, vec![ben.key()], "silo").await), blocked);
    assert_eq!(ben.send(&room, "te bloqueé").await.sequence, 2, "the other way it goes on");
    loop {
        match at_ben.next().await.frame.unwrap() {
            Frame::Typing(_) => panic!("who is blocked is told to be writing"),
            Frame::Message(_) => break,
            _ => {}
        }
    }
    assert_eq!(line.message().await.text, "te bloqueé");
    let group = ben.group(&[&ana]).await;
    assert_eq!(ana.send(&group, "en grupo").await.sequence, 1, "groups have administrators instead");

    for _ in 0..2 {
        ben.unblock(&ana).await.unwrap();
    }
    assert_eq!(ana.send(&room, "hola").await.sequence, 3);
    assert!(ana.open(RoomKind::Deal, vec![ben.key()], "silo").await.unwrap().created);
}

#[tokio::test]
async fn blocks_are_listed_latest_first() {
    let world = World::start().await;
    let people: Vec<_> = (1..=5).map(|number| world.person(number)).collect();
    assert_eq!(refused(people[0].block(&people[0]).await).1, "SELF_CHAT");
    let unknown = BlockUserRequest { user: Some(by_number(999)) };
    assert_eq!(refused(people[0].rooms().block_user(unknown).await).1, "USER_NOT_FOUND");
    for other in &people[1..] {
        people[0].block(other).await.unwrap();
        world.harness.clock.advance(Duration::from_secs(1));
    }
    people[0].block(&people[1]).await.unwrap();
    assert_eq!(people[0].blocked().await, [5, 4, 3, 2]);
    assert!(people[1].blocked().await.is_empty(), "the blocked are not told");
    people[0].unblock(&people[3]).await.unwrap();
    assert_eq!(people[0].blocked().await, [5, 3, 2]);
    let deleted = UserDeleted { user_uuid: people[2].id.to_string(), ..UserDeleted::default() };
    world.deliver(&deleted).await;
    assert_eq!(people[0].blocked().await, [5, 2]);
}

#[tokio::test]
async fn a_hidden_room_comes_back_without_what_was_cleared() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let old = ana.send(&room, "antes").await;
    let mut at_ana = ana.connect(&room).await;
    ana.leave(&room).await.unwrap();
    assert_eq!(at_ana.find(closing).await, ClosingReason::Removed);
    assert_eq!(refused(ana.see(&room).await), not_found());
    assert_eq!(refused(ana.leave(&room).await), not_found());
    assert_eq!(refused(ana.rename(&room, "x").await), not_found());
    assert_eq!(refused(ana.want(&room, Some(true), None).await), not_found());
    assert!(ana.room_numbers().await.is_empty());
    assert_eq!(texts(&ben.see(&room).await.unwrap().messages), ["antes"], "the other keeps all of it");

    let mut inbox = ana.inbox(true).await;
    ben.send(&room, "después").await;
    assert_eq!(inbox.message().await.text, "después");
    let seen = ana.see(&room).await.unwrap();
    assert_eq!((texts(&seen.messages), seen.unread_count), (vec!["después"], 1));
    assert_eq!(ana.room_numbers().await, [room.number]);
    assert_eq!(texts(&ana.history(&room).await), ["después"]);
    let everywhere = ana.list(ListMessagesRequest::default()).await.unwrap();
    assert_eq!((texts(&everywhere.messages), everywhere.total_size), (vec!["después"], 1));
    let get = GetMessageRequest { message: Some(named(&old)) };
    assert_eq!(refused(ana.messages().get_message(get).await).1, "MESSAGE_NOT_FOUND");
    let search = SearchMessagesRequest { query: "antes".into(), ..Default::default() };
    assert!(ana.messages().search_messages(search).await.unwrap().into_inner().messages.is_empty());
    let open = Open { room: Some(key(&room)), since: Some(0), ..Open::default() };
    let line = ana.try_connect(open).await.unwrap();
    assert_eq!(line.missed.len(), 1, "{:?}", line.missed);
    assert_eq!(ana.list_rooms(ListRoomsRequest { messages: 5, ..Default::default() }).await.rooms[0].messages.len(), 1);
}

#[tokio::test]
async fn opening_a_hidden_room_shows_it_again_and_both_gone_is_gone() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    ana.send(&room, "antes").await;
    ana.leave(&room).await.unwrap();
    let again = ana.open(RoomKind::Pair, vec![ben.key()], "").await.unwrap();
    assert!(!again.created);
    assert_eq!(again.room.unwrap().id, room.id);
    assert!(ana.see(&room).await.unwrap().messages.is_empty());

    let answers = join_all([ana.leave(&room), ben.leave(&room)]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for somebody in [&ana, &ben] {
        assert_eq!(refused(somebody.see(&room).await), not_found());
        assert_eq!(
            refused(somebody.try_send(&room, Draft { text: "x".into(), ..Draft::default() }).await),
            not_found()
        );
    }
    let new = ana.open(RoomKind::Pair, vec![ben.key()], "").await.unwrap();
    assert!(new.created);
    assert_ne!(new.room.unwrap().id, room.id);
}

#[tokio::test]
async fn rooms_are_for_their_members() {
    let world = World::start().await;
    let (ana, ben, pair) = world.pair().await;
    let group = ana.group(&[&ben]).await;
    let carla = world.person(3);
    for room in [&pair, &group] {
        assert_eq!(refused(carla.see(room).await), not_found());
        assert_eq!(refused(carla.rename(room, "mía").await), not_found());
        assert_eq!(refused(carla.replace(room, vec![carla.key()]).await), not_found());
        assert_eq!(refused(carla.set_role(room, &carla, true).await), not_found());
        assert_eq!(refused(carla.leave(room).await), not_found());
        assert_eq!(refused(carla.want(room, Some(true), None).await), not_found());
        let read = MarkReadRequest { room: Some(key(room)), ..Default::default() };
        assert_eq!(refused(carla.mark_read(read).await), (Code::PermissionDenied, "NOT_A_MEMBER".into()));
        let list = ListMessagesRequest { room_number: room.number, ..Default::default() };
        assert_eq!(refused(carla.list(list).await), (Code::PermissionDenied, "NOT_A_MEMBER".into()));
    }
    assert!(carla.room_numbers().await.is_empty());
    let nowhere = Room { id: Uuid::now_v7().to_string(), ..Room::default() };
    assert_eq!(refused(ana.see(&nowhere).await), not_found());
    assert_eq!(refused(ana.rename(&nowhere, "x").await), not_found());
    assert_eq!(refused(ana.replace(&nowhere, vec![]).await), not_found());
    assert_eq!(refused(ana.set_role(&nowhere, &ben, true).await), not_found());
    assert_eq!(refused(ana.leave(&nowhere).await), not_found());
    assert_eq!(refused(ana.want(&nowhere, None, None).await), not_found());
    let read = MarkReadRequest { room: Some(key(&nowhere)), ..Default::default() };
    assert_eq!(refused(ana.mark_read(read).await), not_found());
    let number = GetRoomRequest {
        room: Some(RoomKey { key: Some(room_key::Key::Number(-1)), ..Default::default() }),
        messages: 0,
    };
    assert_eq!(refused(ana.rooms().get_room(number).await), not_found());
}

#[tokio::test]
async fn whoever_has_not_signed_in_is_let_in_nowhere() {
    let world = World::start().await;
    let (_, ben, room) = world.pair().await;
    let (nobody, room) = (world.nobody(), Some(key(&room)));
    macro_rules! closed {
        ($client:ident: $($rpc:ident($request:expr)),* $(,)?) => {$(
            let answer = nobody.$client().$rpc($request).await;
            assert_eq!(answer.map(drop).unwrap_err().code(), Code::Unauthenticated, stringify!($rpc));
        )*};
    }
    let (user, message) =
        (Some(ben.key()), Some(MessageKey { key: Some(message_key::Key::Number(1)), ..Default::default() }));
    closed! { rooms:
        open_pair(OpenPairRequest { kind: RoomKind::Pair.into(), users: vec![ben.key()], ..Default::default() }),
        create_group(CreateGroupRequest::default()),
        get_room(GetRoomRequest { room: room.clone(), messages: 0 }),
        list_rooms(ListRoomsRequest::default()),
        update_room(UpdateRoomRequest { room: room.clone(), ..Default::default() }),
        set_member_role(SetMemberRoleRequest { room: room.clone(), user: user.clone(), admin: true }),
        leave_room(LeaveRoomRequest { room: room.clone() }),
        update_membership(UpdateMembershipRequest { room: room.clone(), ..Default::default() }),
        mark_read(MarkReadRequest { room: room.clone(), ..Default::default() }),
        count_unread(CountUnreadRequest::default()),
        block_user(BlockUserRequest { user: user.clone() }),
        unblock_user(UnblockUserRequest { user }),
        list_blocks(ListBlocksRequest {}),
    }
    closed! { messages:
        get_message(GetMessageRequest { message: message.clone() }),
        list_messages(ListMessagesRequest::default()),
        search_messages(SearchMessagesRequest { query: "x".into(), ..Default::default() }),
        edit_message(EditMessageRequest { message: message.clone(), text: "x".into() }),
        delete_message(DeleteMessageRequest { message: message.clone() }),
        list_versions(ListVersionsRequest { message }),
    }
    let draft = Some(Draft { text: "x".into(), ..Draft::default() });
    let open = Open { room: room.clone(), ..Open::default() };
    closed! { chat:
        connect(tokio_stream::once(ClientFrame { frame: Some(Said::Open(open.clone())) })),
        subscribe(SubscribeRequest { open: Some(open) }),
        send_message(SendMessageRequest { room, draft }),
        list_presence(ListPresenceRequest::default()),
    }
}

#[tokio::test]
async fn a_pair_has_no_other_members_and_everybody_renames() {
    let world = World::start().await;
    let (ana, ben, pair) = world.pair().await;
    let carla = world.person(3);
    assert_eq!(refused(ana.replace(&pair, vec![ana.key(), carla.key()]).await).1, "PAIR_IS_FIXED");
    assert_eq!(refused(ana.replace(&pair, vec![ana.key()]).await).1, "PAIR_IS_FIXED");
    assert_eq!(numbers(&ana.replace(&pair, vec![ben.key(), ana.key()]).await.unwrap()), [1, 2]);
    assert_eq!(ben.rename(&pair, "Nosotros").await.unwrap().name, "Nosotros");

    let group = ana.group(&[&ben]).await;
    let mut at_ana = ana.connect(&group).await;
    assert_eq!(ben.rename(&group, "").await.unwrap().name, "", "every member may, and it may be empty");
    assert_eq!(ben.rename(&group, "Lecheros").await.unwrap().name, "Lecheros");
    let name = |frame| if let Frame::Room(room) = frame { Some((room.name, room.archived)) } else { None };
    assert_eq!(at_ana.find(name).await.0, "");
    assert_eq!(at_ana.find(name).await.0, "Lecheros");
    assert_eq!(refused(ben.rename(&group, &"x".repeat(151)).await).0, Code::InvalidArgument);
    let nothing = UpdateRoomRequest { room: Some(key(&group)), ..Default::default() };
    assert_eq!(ben.rooms().update_room(nothing).await.unwrap().into_inner().name, "Lecheros");
}

#[tokio::test]
async fn muted_and_archived_rooms_do_not_count() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let group = ana.group(&[&ben]).await;
    for text in ["1", "2"] {
        ana.send(&room, text).await;
    }
    ana.send(&group, "3").await;
    assert_eq!((ben.unread().await, ana.unread().await), ((3, 2), (0, 0)), "one's own are not unread");
    let only = CountUnreadRequest { kinds: vec![RoomKind::Group.into()] };
    assert_eq!(ben.rooms().count_unread(only).await.unwrap().into_inner().messages, 1);

    let now = world.harness.clock.now().timestamp();
    let muted = ben.want(&room, None, Some(now + 60)).await.unwrap();
    assert_eq!(muted.muted_until.unwrap().seconds, now + 60);
    assert_eq!(ben.unread().await, (1, 1));
    let archived = ben.want(&group, Some(true), None).await.unwrap();
    assert!(archived.archived);
    assert_eq!(ben.unread().await, (0, 0));
    let still = ben.want(&room, Some(false), None).await.unwrap();
    assert!(still.muted_until.is_some(), "absent fields stay");
    assert!(ana.see(&room).await.unwrap().muted_until.is_none(), "nobody else's business");

    world.published().await;
    ana.send(&room, "quiet").await;
    ana.send(&group, "quiet too").await;
    let told: Vec<_> =
        world.published().await.into_iter().map(|(_, _, event)| event["destinatarios"].clone()).collect();
    assert_eq!(told, [serde_json::json!([]), serde_json::json!([])]);

    let rooms = async |archived| {
        let rooms = ben.list_rooms(ListRoomsRequest { archived, ..Default::default() }).await.rooms;
        rooms.iter().map(|room| room.kind()).collect::<Vec<_>>()
    };
    assert_eq!(rooms(Some(true)).await, [RoomKind::Group]);
    assert_eq!(rooms(Some(false)).await, [RoomKind::Pair]);
    assert_eq!(rooms(None).await.len(), 2);

    world.harness.clock.advance(Duration::from_secs(60));
    assert_eq!(ben.unread().await, (3, 1), "silence ends by itself");
    ben.want(&room, None, Some(now + 3_600)).await.unwrap();
    assert!(ben.want(&room, None, Some(now)).await.unwrap().muted_until.is_none(), "the past ends the silence");
    let odd = prost_types::Timestamp { seconds: i64::MAX, nanos: -5 };
    let request = UpdateMembershipRequest { room: Some(key(&room)), muted_until: Some(odd), archived: None };
    assert_eq!(refused(ben.rooms().update_membership(request).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn rooms_are_listed_by_activity_and_paged() {
    let world = World::start().await;
    let ana = world.person(1);
    let mut rooms = Vec::new();
    for number in 2..=8 {
        rooms.push(ana.open_pair(&world.person(number)).await);
    }
    // The odd ones are spoken in, from the last to the first; the others are quiet.
    for room in rooms.iter().step_by(2).rev() {
        world.harness.clock.advance(Duration::from_secs(1));
        ana.send(room, "hola").await;
    }
    let expected: Vec<_> = [0, 2, 4, 6, 5, 3, 1].iter().map(|n| rooms[*n].number).collect();
    assert_eq!(ana.room_numbers().await, expected);

    for (size, skip) in [(1, 0), (2, 0), (3, 0), (7, 0), (2, 3), (100, 0)] {
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListRoomsRequest { page_size: size, page_token, skip, ..Default::default() };
            let page = ana.list_rooms(request).await;
            assert_eq!(page.total_size, 7);
            assert!(page.rooms.len() <= size as usize);
            seen.extend(page.rooms.iter().map(|room| room.number));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected[skip as usize..], "pages of {size} behind {skip}");
    }
    let messages = ListRoomsRequest { messages: 1, page_size: 5, ..Default::default() };
    let counts: Vec<_> = ana.list_rooms(messages).await.rooms.iter().map(|room| room.messages.len()).collect();
    assert_eq!(counts, [1, 1, 1, 1, 0]);
    let far = ListRoomsRequest { skip: 100, ..Default::default() };
    let far = ana.list_rooms(far).await;
    assert_eq!((far.rooms.len(), far.total_size), (0, 7), "behind the end there are as many as before it");
    let token = ana.list_rooms(ListRoomsRequest { page_size: 1, ..Default::default() }).await.next_page_token;
    for page_token in [token, "nonsense".into()] {
        let request = ListRoomsRequest { page_token, archived: Some(true), ..Default::default() };
        assert_eq!(refused(ana.rooms().list_rooms(request).await).0, Code::InvalidArgument);
    }
}

fn removed(frame: ServerFrame) -> Option<i64> {
    matches!(frame.frame, Some(Frame::Removed(_))).then_some(frame.room_number)
}

#[tokio::test]
async fn an_inbox_is_told_which_room_is_no_longer_its_own_and_nothing_more_of_it() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let (group, pair) = (ana.group(&[&ben, &carla]).await, ana.open_pair(&ben).await);
    let (mut at_ben, mut quiet) = (ben.inbox(true).await, ben.inbox(false).await);
    ana.send(&group, "todos").await;
    assert_eq!(at_ben.message().await.text, "todos");
    ana.replace(&group, vec![ana.key(), carla.key()]).await.unwrap();
    ana.send(&group, "sin Ben").await;
    ana.send(&pair, "te saqué").await;
    let mut told = Vec::new();
    loop {
        let frame = at_ben.next().await;
        assert!(told.is_empty() || frame.room_number != group.number, "{frame:?}");
        if let Some(Frame::Message(message)) = &frame.frame {
            assert_eq!(message.text, "te saqué");
            break;
        }
        told.extend(removed(frame));
    }
    assert_eq!(told, [group.number]);
    quiet.say(Said::Ping(Ping { nonce: 1 })).await;
    assert!(matches!(quiet.next().await.frame, Some(Frame::Pong(_))), "who wants no messages is told of no rooms");

    // Who leaves hears it on their other screens.
    let mut at_carla = carla.inbox(true).await;
    carla.leave(&group).await.unwrap();
    loop {
        if let Some(number) = removed(at_carla.next().await) {
            assert_eq!(number, group.number);
            break;
        }
    }
}
