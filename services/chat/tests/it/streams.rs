//! Streams: order, coming back, what reaches whom.

use super::*;

#[tokio::test]
async fn a_message_is_heard_by_both_and_numbered_from_one() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let (mut at_ana, mut at_ben) = (ana.connect(&room).await, ben.connect(&room).await);
    at_ana.send("Buenas", "uno").await;
    let (mine, theirs) = (at_ana.message().await, at_ben.message().await);
    assert_eq!(mine, theirs);
    assert_eq!((mine.sequence, mine.change, mine.text.as_str()), (1, 1, "Buenas"));
    assert_eq!((mine.sender_number, mine.client_msg_id.as_str()), (1, "uno"));
    at_ben.send("¿Qué tal?", "uno").await;
    let (mine, theirs) = (at_ben.message().await, at_ana.message().await);
    assert_eq!((mine.sequence, mine.clone()), (2, theirs));
    assert_eq!(texts(&ana.history(&room).await), ["Buenas", "¿Qué tal?"]);
}

#[tokio::test]
async fn sending_again_answers_what_is_stored_and_tells_nobody_else() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let (mut at_ana, mut at_ben) = (ana.connect(&room).await, ben.connect(&room).await);
    at_ana.send("uno", "m1").await;
    let first = at_ana.message().await;
    at_ana.send("something else", "m1").await;
    let again = at_ana.message().await;
    assert_eq!((again.id, again.text), (first.id, "uno".into()));
    at_ana.send("dos", "m2").await;
    let heard = [at_ben.message().await, at_ben.message().await];
    assert_eq!(texts(&heard), ["uno", "dos"]);
    let unary = ana.try_send(&room, Draft { text: "x".into(), client_msg_id: "m2".into(), ..Draft::default() }).await;
    let unary = unary.unwrap();
    assert_eq!((unary.created, unary.message.unwrap().text.as_str()), (false, "dos"));
}

#[tokio::test]
async fn who_comes_back_hears_what_they_missed_once_and_in_order() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    for text in ["1", "2", "3", "4", "5"] {
        ana.send(&room, text).await;
    }
    let open = |after, since| Open { room: Some(key(&room)), after, since, ..Open::default() };
    let mut line = ben.try_connect(open(Some(2), None)).await.unwrap();
    let missed: Vec<_> = line.missed.iter().map(|frame| (frame.change, said(frame))).collect();
    assert_eq!(missed, [(3, "3"), (4, "4"), (5, "5")]);
    ana.send(&room, "6").await;
    assert_eq!(line.message().await.text, "6");

    let request = EditMessageRequest {
        message: Some(MessageKey {
            key: Some(message_key::Key::Number(ana.history(&room).await[0].number)),
            ..Default::default()
        }),
        text: "uno".into(),
    };
    ana.messages().edit_message(request).await.unwrap();
    let line = ben.try_connect(open(None, Some(5))).await.unwrap();
    let missed: Vec<_> = line.missed.iter().map(|frame| (frame.change, said(frame))).collect();
    assert_eq!(missed, [(5, "uno"), (7, "6")], "what became of old messages first, then the new ones");
    let line = ben.try_connect(open(None, Some(7))).await.unwrap();
    assert!(line.missed.is_empty());
}

fn said(frame: &ServerFrame) -> &str {
    match &frame.frame {
        Some(Frame::Message(message) | Frame::Changed(message)) => &message.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_sender_hears_who_has_it_and_who_has_read_it() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let mut at_ana = ana.connect(&room).await;
    let mut at_ben = ben.connect(&room).await;
    at_ana.send("uno", "1").await;
    let message = at_ana.message().await;
    let receipt = |frame| match frame {
        Frame::Receipt(receipt) => Some(receipt),
        _ => None,
    };
    let delivered = at_ana.find(receipt).await;
    assert_eq!((delivered.user_number, delivered.read, delivered.numbers), (2, false, vec![message.number]));
    at_ben.say(Said::Read(Read::default())).await;
    let read = at_ana.find(receipt).await;
    assert_eq!((read.user_number, read.read, read.ids), (2, true, vec![message.id]));
    assert!(at_ben.find(receipt).await.read, "the whole room hears it");
    let stored = ben.history(&room).await.remove(0).receipts.remove(0);
    assert_eq!((stored.user_number, stored.delivered_at, stored.read_at), (2, delivered.at, read.at));
}

#[tokio::test]
async fn mistakes_end_nothing() {
    let world = World::start().await;
    let (ana, _, room) = world.pair().await;
    let mut line = ana.connect(&room).await;
    let error = |frame| match frame {
        Frame::Error(error) => Some((error.reason, error.client_msg_id)),
        _ => None,
    };
    line.send("  ", "empty").await;
    assert_eq!(line.find(error).await, ("EMPTY_MESSAGE".into(), "empty".into()));
    line.send(&"x".repeat(8_001), "long").await;
    assert_eq!(line.find(error).await, ("TOO_LARGE".into(), "long".into()));
    line.say(Said::Open(Open::default())).await;
    assert_eq!(line.find(error).await.0, "BAD_FRAME");
    line.said.send(ClientFrame { frame: None }).await.unwrap();
    assert_eq!(line.find(error).await.0, "BAD_FRAME");
    let (nothing, nowhere) =
        (MessageKey { key: Some(message_key::Key::Id("zz".into())), ..Default::default() }, "zz".to_owned());
    let no_room = Some(RoomKey { key: Some(room_key::Key::Id(nowhere.clone())), ..Default::default() });
    for said in [
        Said::Delete(Delete { message: Some(nothing.clone()) }),
        Said::Edit(Edit { message: Some(nothing), text: "x".into() }),
        Said::Delete(Delete { message: None }),
        Said::Send(Send { draft: Some(Draft { text: "x".into(), ..Draft::default() }), room: no_room.clone() }),
        Said::Typing(Typing { room: no_room, ..Typing::default() }),
        Said::Read(Read { ids: vec![nowhere], ..Read::default() }),
        Said::Read(Read { through: -1, ..Read::default() }),
    ] {
        line.say(said).await;
        line.find(error).await;
    }
    line.send("still here", "").await;
    assert_eq!(line.message().await.text, "still here");
}

#[tokio::test]
async fn a_room_is_for_its_members() {
    let world = World::start().await;
    let (_, _, room) = world.pair().await;
    let carla = world.person(3);
    let open = Open { room: Some(key(&room)), ..Open::default() };
    assert_eq!(refused(carla.try_connect(open).await.map(|_| ())), (Code::PermissionDenied, "NOT_A_MEMBER".into()));
    let nowhere = RoomKey { key: Some(room_key::Key::Number(999)), ..Default::default() };
    let open = Open { room: Some(nowhere), ..Open::default() };
    assert_eq!(refused(carla.try_connect(open).await.map(|_| ())), (Code::NotFound, "ROOM_NOT_FOUND".into()));
    let draft = Draft { text: "hola".into(), ..Draft::default() };
    assert_eq!(refused(carla.try_send(&room, draft).await), (Code::PermissionDenied, "NOT_A_MEMBER".into()));
}

#[tokio::test]
async fn replicas_hear_each_other() {
    let world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    world.replica("chat-2");
    let ben = world.at("chat-2", &ben);
    let (mut at_ana, mut at_ben) = (ana.connect(&room).await, ben.connect(&room).await);
    for text in ["1", "2", "3"] {
        at_ana.send(text, text).await;
        assert_eq!(at_ben.message().await.text, text);
        assert_eq!(at_ana.message().await.text, text);
    }
    at_ben.say(Said::Typing(Typing { active: true, ..Typing::default() })).await;
    let typing = |frame| match frame {
        Frame::Typing(typing) => Some(typing.user_number),
        _ => None,
    };
    assert_eq!(at_ana.find(typing).await, 2);
}

#[tokio::test]
async fn without_redis_other_replicas_read_what_they_were_not_told() {
    let mut world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    world.replica("chat-2");
    let ben = world.at("chat-2", &ben);
    let (mut at_ana, mut at_ben) = (ana.connect(&room).await, ben.connect(&room).await);
    world.redis.as_mut().unwrap().kill().await;
    for text in ["1", "2", "3"] {
        at_ana.send(text, text).await;
        assert_eq!(at_ana.message().await.text, text);
    }
    for text in ["1", "2", "3"] {
        assert_eq!(at_ben.message().await.text, text);
    }
    world.redis.as_mut().unwrap().restart().await;
    at_ana.send("4", "4").await;
    assert_eq!(at_ben.message().await.text, "4");
}

#[tokio::test]
async fn a_session_that_ends_closes_its_streams() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let (mut at_ana, mut at_ben) = (ana.connect(&room).await, ben.connect(&room).await);
    let verified = world.harness.service.verifier.verify(&ana.token).await.unwrap();
    world.harness.service.verifier.revocations().add(verified.session, verified.expires_at);
    let closing = |frame| match frame {
        Frame::Closing(closing) => Some(closing.reason()),
        _ => None,
    };
    assert_eq!(at_ana.find(closing).await, ClosingReason::SignedOut);
    at_ben.send("¿estás?", "1").await;
    assert_eq!(at_ben.message().await.sequence, 1, "others stay");
}

#[tokio::test]
async fn presence_counts_people_and_not_their_tabs() {
    let world = World::with_redis().await;
    let (ana, ben, _room) = world.pair().await;
    let stranger = world.person(3);
    let mut at_ana = ana.inbox(false).await;
    let mut at_stranger = stranger.inbox(false).await;
    let presence = |frame| match frame {
        Frame::Presence(presence) => Some((presence.user_number, presence.online)),
        _ => None,
    };
    let first = ben.inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
    let second = ben.inbox(false).await;
    drop(first);
    at_ana.say(Said::AskOnline(AskOnline {})).await;
    let online = |frame| match frame {
        Frame::Online(online) => Some(online.people.iter().map(|person| person.user_number).collect::<Vec<_>>()),
        _ => None,
    };
    assert_eq!(at_ana.find(online).await, [1, 2]);
    drop(second);
    assert_eq!(at_ana.find(presence).await, (2, false), "after a moment, and nothing in between");
    at_stranger.say(Said::AskOnline(AskOnline {})).await;
    assert_eq!(at_stranger.find(online).await, [3], "strangers are nobody's business");
}

#[tokio::test]
async fn who_types_is_told_with_the_room_in_an_inbox_too() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let (mut inbox, at_ben) = (ana.inbox(true).await, ben.connect(&room).await);
    at_ben.say(Said::Typing(Typing { active: true, ..Typing::default() })).await;
    let frame = loop {
        let frame = inbox.next().await;
        if let Some(Frame::Typing(_)) = frame.frame {
            break frame;
        }
    };
    assert_eq!((frame.room_id, frame.room_number), (room.id, room.number));
}
