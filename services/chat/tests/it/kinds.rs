//! Who asks for some kinds of rooms only, as each of the two frontends does: to them no other room exists.

use super::*;

const AGROVET: [RoomKind; 2] = [RoomKind::Pair, RoomKind::Group];

fn kinds(of: &[RoomKind]) -> Vec<i32> {
    of.iter().copied().map(i32::from).collect()
}

fn room_of(room: &Room, of: &[RoomKind]) -> Option<RoomKey> {
    Some(RoomKey { kinds: kinds(of), ..key(room) })
}

fn by_number(room: &Room, of: &[RoomKind]) -> Option<RoomKey> {
    Some(RoomKey { key: Some(room_key::Key::Number(room.number)), kinds: kinds(of) })
}

fn message_of(message: &Message, of: &[RoomKind]) -> Option<MessageKey> {
    Some(MessageKey { kinds: kinds(of), ..named(message) })
}

impl Somebody {
    /// What becomes of everything that can be asked of a room.
    async fn ask_of(&self, room: Option<RoomKey>) -> Vec<Result<(), Status>> {
        let draft = Some(Draft { text: "x".into(), ..Draft::default() });
        let name = Some("x".into());
        let mut answers = vec![
            self.rooms().get_room(GetRoomRequest { room: room.clone(), messages: 1 }).await.map(drop),
            self.rooms()
                .update_room(UpdateRoomRequest { room: room.clone(), name, ..Default::default() })
                .await
                .map(drop),
            self.rooms()
                .update_membership(UpdateMembershipRequest { room: room.clone(), ..Default::default() })
                .await
                .map(drop),
            self.rooms().mark_read(MarkReadRequest { room: room.clone(), ..Default::default() }).await.map(drop),
            self.chat().send_message(SendMessageRequest { room: room.clone(), draft }).await.map(drop),
            self.try_connect(Open { room: room.clone(), ..Open::default() }).await.map(drop),
        ];
        let RoomKey { key, kinds } = room.clone().unwrap();
        let (room_id, room_number) = match key.unwrap() {
            room_key::Key::Id(id) => (id, 0),
            room_key::Key::Number(number) => (String::new(), number),
        };
        let (list, search) = (
            ListMessagesRequest { room_id: room_id.clone(), room_number, kinds: kinds.clone(), ..Default::default() },
            SearchMessagesRequest { query: "x".into(), room_id, room_number, kinds, ..Default::default() },
        );
        answers.push(self.list(list).await.map(drop));
        answers.push(self.messages().search_messages(search).await.map(drop));
        answers.push(self.rooms().leave_room(LeaveRoomRequest { room }).await.map(drop));
        answers
    }

    /// The texts that are listed and found, everywhere, and how many are told to be there.
    async fn everything(&self, of: &[RoomKind]) -> (Vec<String>, i32, Vec<String>) {
        let list = ListMessagesRequest { kinds: kinds(of), ..Default::default() };
        let listed = self.list(list.clone()).await.unwrap();
        let newest = self.list(ListMessagesRequest { newest_first: true, ..list }).await.unwrap();
        let mut backwards = newest.messages;
        backwards.reverse();
        assert_eq!(texts(&listed.messages), texts(&backwards));
        let search = SearchMessagesRequest { query: "toro".into(), kinds: kinds(of), ..Default::default() };
        let found = self.messages().search_messages(search).await.unwrap().into_inner().messages;
        let texts = |messages: Vec<Message>| messages.into_iter().map(|message| message.text).collect::<Vec<_>>();
        (texts(listed.messages), listed.total_size, texts(found))
    }
}

#[tokio::test]
async fn a_room_of_another_kind_does_not_exist() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let (pair, deal) = (ana.open_pair(&ben).await, ana.deal(&ben).await);
    for (room, others) in [(&deal, &AGROVET[..]), (&pair, &[RoomKind::Deal])] {
        for who in [&ana, &world.person(3)] {
            for key in [room_of(room, others), by_number(room, others)] {
                for answer in who.ask_of(key).await {
                    assert_eq!(refused(answer), (Code::NotFound, "ROOM_NOT_FOUND".into()));
                }
            }
        }
        assert_eq!(ben.see(room).await.unwrap().name, room.name, "nothing has happened to it");
        assert!(ben.history(room).await.is_empty());
    }
    for (room, own) in [(&pair, &AGROVET[..]), (&deal, &[RoomKind::Deal]), (&deal, &[])] {
        for key in [room_of(room, own), by_number(room, own)] {
            // The last one hides it.
            for answer in ana.ask_of(key).await {
                answer.unwrap();
            }
            ben.send(room, "vuelve").await;
        }
    }
    let unknown = Some(RoomKey { kinds: vec![99], ..key(&pair) });
    assert_eq!(refused(ana.rooms().get_room(GetRoomRequest { room: unknown, messages: 0 }).await).1, "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn nor_do_its_messages() {
    let world = World::start().await;
    let (ana, ben, admin) = (world.person(1), world.person(2), world.admin());
    let (pair, group, deal) = (ana.open_pair(&ben).await, ana.group(&[&ben]).await, ana.deal(&ben).await);
    for (room, text) in [(&pair, "un toro"), (&deal, "toro secreto"), (&group, "otro toro"), (&deal, "más secretos")] {
        ana.send(room, text).await;
    }
    let own = (vec!["un toro".to_owned(), "otro toro".into()], 2, vec!["otro toro".to_owned(), "un toro".into()]);
    assert_eq!(ben.everything(&AGROVET).await, own);
    let deals = (vec!["toro secreto".to_owned(), "más secretos".into()], 2, vec!["toro secreto".to_owned()]);
    assert_eq!(ben.everything(&[RoomKind::Deal]).await, deals);
    let all = ben.everything(&[]).await;
    assert_eq!((all.0.len(), all.1, all.2.len()), (4, 4, 3), "who names no kinds sees all");

    let secret = &ana.history(&deal).await[0];
    for of in [message_of(secret, &AGROVET), message_of(secret, &[RoomKind::Group])] {
        let edit = EditMessageRequest { message: of.clone(), text: "x".into() };
        for answer in [
            ana.messages().get_message(GetMessageRequest { message: of.clone() }).await.map(drop),
            ana.messages().edit_message(edit).await.map(drop),
            ana.messages().delete_message(DeleteMessageRequest { message: of.clone() }).await.map(drop),
            admin.messages().list_versions(ListVersionsRequest { message: of }).await.map(drop),
        ] {
            assert_eq!(refused(answer), (Code::NotFound, "MESSAGE_NOT_FOUND".into()));
        }
    }
    let of = message_of(secret, &[RoomKind::Deal]);
    let got = ben.messages().get_message(GetMessageRequest { message: of }).await.unwrap().into_inner();
    assert_eq!((got.text.as_str(), got.edited_at), ("toro secreto", None));
}

#[tokio::test]
async fn an_inbox_of_some_kinds_hears_of_no_others_and_delivers_nothing_there() {
    let world = World::with_redis().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let (pair, deal) = (ana.open_pair(&ben).await, ana.deal(&carla).await);
    carla.send(&deal, "espera").await;
    let open = Open { messages: true, kinds: kinds(&AGROVET), ..Open::default() };
    let mut inbox = ana.try_connect(open).await.unwrap();
    let mut everything = ana.inbox(true).await;
    everything.settle().await;
    let delivered = |message: &Message| message.receipts[0].delivered_at.is_some();
    assert!(delivered(&ana.history(&deal).await[0]), "the other inbox has it");

    // Who is here, and what is said and delivered: first what nobody hears in Agrovet.
    let (_carla, _ben) = (carla.inbox(true).await, ben.inbox(true).await);
    carla.send(&deal, "secreto").await;
    ana.send(&deal, "¿sí?").await;
    ben.send(&pair, "hola").await;
    ana.send(&pair, "buenas").await;
    let (mut heard, mut people, mut had) = (Vec::new(), Vec::new(), Vec::new());
    while heard.len() < 2 || people.is_empty() || had.is_empty() {
        let frame = inbox.next().await;
        assert!(frame.room_number == 0 || frame.room_number == pair.number, "{frame:?}");
        match frame.frame.unwrap() {
            Frame::Message(message) => heard.push(message.text),
            Frame::Presence(presence) => people.push(presence.user_number),
            Frame::Receipt(receipt) => had.push(receipt.user_number),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((heard, people, had), (vec!["hola".into(), "buenas".to_owned()], vec![2], vec![2]));
    inbox.say(Said::AskOnline(AskOnline {})).await;
    let online = |frame| if let Frame::Online(online) = frame { Some(online.people) } else { None };
    let here: Vec<_> = inbox.find(online).await.iter().map(|person| person.user_number).collect();
    assert_eq!(here, [1, 2]);
    let asked = ListPresenceRequest { kinds: kinds(&[RoomKind::Deal]), ..Default::default() };
    let people = ana.chat().list_presence(asked).await.unwrap().into_inner().people;
    assert_eq!(people.iter().map(|person| person.user_number).collect::<Vec<_>>(), [1, 3]);
    for text in ["secreto", "¿sí?"] {
        assert_eq!(everything.find(|frame| said(frame, deal.number)).await, text);
    }

    // An inbox that is not of deals brings nobody what waits there.
    let dora = world.person(4);
    let deal = dora.deal(&carla).await;
    carla.send(&deal, "espera").await;
    let open = Open { kinds: kinds(&AGROVET), ..Open::default() };
    let _inbox = dora.try_connect(open).await.unwrap();
    assert!(!delivered(&dora.history(&deal).await[0]));
}

fn said(frame: Frame, number: i64) -> Option<String> {
    match frame {
        Frame::Message(message) if message.room_number == number && message.text != "espera" => Some(message.text),
        _ => None,
    }
}

#[tokio::test]
async fn a_stream_of_a_room_hears_of_deliveries_in_rooms_of_its_kinds() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let (pair, group, deal) = (ana.open_pair(&ben).await, ana.group(&[&ben]).await, ana.deal(&ben).await);
    let mut here = ana.try_connect(Open { room: room_of(&pair, &AGROVET), ..Open::default() }).await.unwrap();
    let _there = ben.inbox(true).await;
    ana.send(&deal, "secreto").await;
    let mut all = ana.connect(&pair).await;
    ana.send(&deal, "otro").await;
    assert!(!all.find(receipt).await.read);
    ana.send(&group, "a todos").await;
    loop {
        let frame = here.next().await;
        if let Some(Frame::Receipt(_)) = frame.frame {
            assert_eq!(frame.room_number, group.number);
            break;
        }
    }
}
