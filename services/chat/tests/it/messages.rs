//! Messages: sending, editing, deleting, files, replies, lists and search, and what others learn of them by events.

use proto::events::v1::MediaDeleted;
use proto::media::v1::Kind;

use super::*;

impl Somebody {
    async fn get(&self, message: &Message) -> Result<Message, Status> {
        let request = GetMessageRequest { message: Some(named(message)) };
        Ok(self.messages().get_message(request).await?.into_inner())
    }

    async fn search(&self, query: &str) -> Vec<String> {
        let request = SearchMessagesRequest { query: query.into(), ..SearchMessagesRequest::default() };
        let found = self.messages().search_messages(request).await.unwrap().into_inner().messages;
        found.into_iter().map(|message| message.text).collect()
    }

    pub(crate) async fn versions(&self, message: &Message) -> Result<Vec<(String, String)>, Status> {
        let request = ListVersionsRequest { message: Some(named(message)) };
        let versions = self.messages().list_versions(request).await?.into_inner().versions;
        Ok(versions.into_iter().map(|version| (version.text, version.cause)).collect())
    }

    /// Every page of a list, with the total that each of them told.
    async fn pages(&self, request: &ListMessagesRequest) -> Vec<String> {
        let (mut seen, mut page_token, mut totals) = (Vec::new(), String::new(), Vec::new());
        loop {
            let page = self.list(ListMessagesRequest { page_token, ..request.clone() }).await.unwrap();
            seen.extend(page.messages.into_iter().map(|message| message.text));
            totals.push(page.total_size);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        totals.dedup();
        assert_eq!(totals.len(), 1, "{totals:?}");
        seen
    }
}

fn draft(text: &str) -> Draft {
    Draft { text: text.into(), ..Draft::default() }
}

fn invalid(reason: &str) -> (Code, String) {
    (Code::InvalidArgument, reason.into())
}

#[tokio::test]
async fn a_message_is_what_was_sent() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let text = "  ¡Buenas! 🐄\n\tdos líneas  ";
    let sent = ana.try_send(&room, Draft { client_msg_id: "ñ-1".into(), ..draft(text) }).await.unwrap();
    let message = sent.message.unwrap();
    assert!(sent.created);
    assert_eq!((message.text.as_str(), message.client_msg_id.as_str()), (text, "ñ-1"), "kept as it is written");
    assert_eq!((message.sender_id.clone(), message.sender_number), (ana.id.to_string(), 1));
    assert_eq!((message.room_id.clone(), message.room_number), (room.id.clone(), room.number));
    assert_eq!((message.kind(), message.sequence, message.change), (MessageKind::Text, 1, 1));
    assert_eq!(message.created_at.unwrap().seconds, world.harness.clock.now().timestamp());
    assert_eq!((message.edited_at, message.deleted_at, message.censored), (None, None, false));
    let [receipt] = message.receipts.as_slice() else { panic!("one recipient") };
    assert_eq!((receipt.user_number, receipt.delivered_at, receipt.read_at), (2, None, None));
    assert_eq!(ben.get(&message).await.unwrap(), message);
    let by_number = GetMessageRequest {
        message: Some(MessageKey { key: Some(message_key::Key::Number(message.number)), ..Default::default() }),
    };
    assert_eq!(ben.messages().get_message(by_number).await.unwrap().into_inner(), message);
    let room = ben.see(&room).await.unwrap();
    assert_eq!((room.last_sequence, room.last_change, room.last_activity_at), (1, 1, message.created_at));
}

#[tokio::test]
async fn drafts_have_limits() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let carla = world.person(3);
    let send = async |draft| refused(ana.try_send(&room, draft).await);
    for text in ["", " ", "\n\t \u{3000}"] {
        assert_eq!(send(draft(text)).await, invalid("EMPTY_MESSAGE"));
    }
    assert_eq!(send(draft(&"ñ".repeat(8_001))).await, invalid("TOO_LARGE"));
    assert_eq!(ana.send(&room, &"🐄".repeat(8_000)).await.text.chars().count(), 8_000, "characters, not bytes");
    assert_eq!(send(draft("a\0b")).await.0, Code::InvalidArgument);
    assert_eq!(send(Draft { client_msg_id: "a\0b".into(), ..draft("x") }).await.0, Code::InvalidArgument);
    assert_eq!(send(Draft { client_msg_id: "x".repeat(201), ..draft("x") }).await.0, Code::InvalidArgument);
    for value in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
        assert_eq!(send(Draft { waveform: vec![value], ..draft("x") }).await.0, Code::InvalidArgument, "{value}");
    }
    assert_eq!(send(Draft { waveform: vec![0.5; 513], ..draft("x") }).await.0, Code::InvalidArgument);
    for reply_to in [-1, 2, i64::MAX, i64::MIN] {
        assert_eq!(send(Draft { reply_to, ..draft("x") }).await.1, "REPLY_NOT_FOUND", "{reply_to}");
    }
    let reply = ben.try_send(&room, Draft { reply_to: 1, ..draft("sí") }).await.unwrap().message.unwrap();
    assert_eq!((reply.sequence, reply.reply_to), (2, 1), "what was refused took no place");
    assert_eq!(refused(carla.try_send(&room, draft("x")).await), (Code::PermissionDenied, "NOT_A_MEMBER".into()));
    let nowhere = Room { id: Uuid::now_v7().to_string(), ..Room::default() };
    assert_eq!(refused(ana.try_send(&nowhere, draft("x")).await), (Code::NotFound, "ROOM_NOT_FOUND".into()));
}

#[tokio::test]
async fn files_are_the_senders_or_nobodys() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let (ours, theirs) = (world.media.file(Some(ana.id), Kind::Image), world.media.file(Some(ben.id), Kind::Image));
    let (unclaimed, voice) = (world.media.file(None, Kind::Document), world.media.file(None, Kind::Audio));
    let private = world.media.private_file(ana.id);
    let attach = async |media: &proto::media::v1::Media| {
        ana.try_send(&room, Draft { media_id: media.id.clone(), ..Draft::default() }).await
    };
    let picture = attach(&ours).await.unwrap().message.unwrap();
    assert_eq!((picture.kind(), picture.media_number, picture.text.as_str()), (MessageKind::Image, ours.number, ""));
    assert_eq!(refused(attach(&theirs).await), invalid("INVALID_MEDIA"));
    assert_eq!(refused(attach(&private).await), invalid("INVALID_MEDIA"));
    let missing = proto::media::v1::Media { id: Uuid::now_v7().to_string(), ..Default::default() };
    assert_eq!(refused(attach(&missing).await), invalid("INVALID_MEDIA"));
    let odd = proto::media::v1::Media { id: "nonsense".into(), ..Default::default() };
    assert_eq!(refused(attach(&odd).await), invalid("INVALID_MEDIA"));
    let by_number = |media_number| Draft { media_number, waveform: vec![0.0, 1.0], ..Draft::default() };
    assert_eq!(refused(ana.try_send(&room, by_number(999)).await), invalid("INVALID_MEDIA"));
    let note = ana.try_send(&room, by_number(voice.number)).await.unwrap().message.unwrap();
    assert_eq!((note.kind(), note.media_id.clone(), note.waveform.len()), (MessageKind::Voice, voice.id.clone(), 2));

    let file = attach(&unclaimed).await.unwrap().message.unwrap();
    assert_eq!(file.kind(), MessageKind::File);
    let taken = ben.try_send(&room, Draft { media_id: unclaimed.id.clone(), ..Draft::default() }).await;
    assert_eq!(refused(taken), invalid("INVALID_MEDIA"), "who sends it first has it");

    let bare = ana.edit(&picture, "").await.unwrap();
    assert_eq!(bare.edited_at, None, "the same text is no change");
    let words = ana.edit(&picture, "mi toro").await.unwrap();
    let emptied = ana.edit(&words, "").await.unwrap();
    assert_eq!((emptied.text.as_str(), emptied.media_id.clone()), ("", ours.id.clone()), "a file may stand alone");
    let deleted = ana.delete(&note).await.unwrap();
    assert_eq!((deleted.media_id.as_str(), deleted.media_number, deleted.waveform.len()), ("", 0, 0));

    // Moderators learn which file it was, once.
    ana.delete(&picture).await.unwrap();
    let request = ListVersionsRequest { message: Some(named(&picture)) };
    let versions = world.admin().messages().list_versions(request).await.unwrap().into_inner().versions;
    let files: Vec<_> = versions.into_iter().map(|version| (version.media_id, version.media_number)).collect();
    assert_eq!(files, [(String::new(), 0), (String::new(), 0), (ours.id, ours.number)]);
}

#[tokio::test]
async fn a_file_that_is_gone_goes_out_of_messages() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let other = ana.group(&[&ben]).await;
    let file = world.media.file(Some(ana.id), Kind::Image);
    let attach = |text| Draft { media_id: file.id.clone(), ..draft(text) };
    for text in ["uno", "dos"] {
        ana.try_send(&room, attach(text)).await.unwrap();
        ana.send(&room, "entre").await;
    }
    ana.try_send(&other, attach("tres")).await.unwrap();
    let mut at_ben = ben.connect(&room).await;
    let deleted = MediaDeleted { media_uuid: file.id.clone(), ..MediaDeleted::default() };
    for _ in 0..2 {
        world.deliver(&deleted).await;
    }
    let changed =
        |frame| if let Frame::Changed(message) = frame { Some((message.text, message.media_id)) } else { None };
    assert_eq!(at_ben.find(changed).await, ("uno".into(), String::new()));
    assert_eq!(at_ben.find(changed).await, ("dos".into(), String::new()));
    let seen = ben.see(&room).await.unwrap();
    assert_eq!((seen.last_sequence, seen.last_change), (4, 6), "each is a change, once");
    assert!(seen.messages.iter().all(|message| message.media_id.is_empty() && message.media_number == 0));
    assert_eq!(ben.see(&other).await.unwrap().messages[0].media_id, "");
    ana.send(&room, "sigue").await;
    assert_eq!(at_ben.message().await.text, "sigue");
}

#[tokio::test]
async fn editing_keeps_what_was_said_for_moderators() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let admin = world.admin();
    let message = ana.send(&room, "uno").await;
    let mut at_ben = ben.connect(&room).await;
    world.harness.clock.advance(Duration::from_secs(5));
    let edited = ana.edit(&message, "dos").await.unwrap();
    assert_eq!((edited.text.as_str(), edited.sequence, edited.change), ("dos", 1, 2));
    assert_eq!(edited.created_at, message.created_at);
    assert_eq!(edited.edited_at.unwrap().seconds, world.harness.clock.now().timestamp());
    let told = at_ben.next().await;
    assert_eq!((told.change, told.frame), (2, Some(Frame::Changed(edited.clone()))));
    assert_eq!(ana.edit(&message, "dos").await.unwrap(), edited, "the same text changes nothing");
    ana.edit(&message, "tres").await.unwrap();

    assert_eq!(refused(ben.edit(&message, "x").await), (Code::PermissionDenied, "NOT_YOURS".into()));
    assert_eq!(refused(admin.edit(&message, "x").await), (Code::NotFound, "MESSAGE_NOT_FOUND".into()));
    assert_eq!(refused(ana.edit(&message, " ").await), invalid("EMPTY_MESSAGE"));
    assert_eq!(refused(ana.edit(&message, &"x".repeat(8_001)).await).0, Code::InvalidArgument);
    assert_eq!(refused(ana.edit(&message, "a\0b").await).0, Code::InvalidArgument);
    let missing = Message { id: Uuid::now_v7().to_string(), ..Message::default() };
    assert_eq!(refused(ana.edit(&missing, "x").await).1, "MESSAGE_NOT_FOUND");
    ana.delete(&message).await.unwrap();
    assert_eq!(refused(ana.edit(&message, "x").await), (Code::FailedPrecondition, "MESSAGE_DELETED".into()));

    let said = [("uno", "EDITED"), ("dos", "EDITED"), ("tres", "DELETED")].map(|(t, c)| (t.to_owned(), c.to_owned()));
    assert_eq!(admin.versions(&message).await.unwrap(), said);
    assert_eq!(refused(ana.versions(&message).await).0, Code::PermissionDenied);
    assert_eq!(refused(admin.versions(&missing).await).1, "MESSAGE_NOT_FOUND");
}

#[tokio::test]
async fn deleting_leaves_an_empty_place() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let message = ana.send(&room, "secreto").await;
    ana.send(&room, "otra").await;
    assert_eq!(refused(ben.delete(&message).await), (Code::PermissionDenied, "NOT_YOURS".into()));
    assert_eq!(refused(world.person(3).delete(&message).await).1, "MESSAGE_NOT_FOUND");
    let deleted = ana.delete(&message).await.unwrap();
    assert_eq!((deleted.text.as_str(), deleted.sequence, deleted.change), ("", 1, 3));
    assert!(deleted.deleted_at.is_some());
    world.harness.clock.advance(Duration::from_secs(5));
    assert_eq!(ana.delete(&message).await.unwrap(), deleted, "again: the same answer");
    assert_eq!(texts(&ben.history(&room).await), ["", "otra"]);
    assert!(ana.search("secreto").await.is_empty());
    assert_eq!(ben.see(&room).await.unwrap().unread_count, 1, "nobody waits for what is gone");

    let group = ana.group(&[&ben]).await;
    let (hers, his) = (ana.send(&group, "de ana").await, ben.send(&group, "de ben").await);
    assert_eq!(refused(ben.delete(&hers).await).1, "NOT_YOURS");
    assert!(ana.delete(&his).await.unwrap().deleted_at.is_some(), "administrators delete anything");
    assert_eq!(refused(ana.edit(&his, "x").await).1, "NOT_YOURS", "and put words into nobody's mouth");
}

#[tokio::test]
async fn a_client_msg_id_is_one_message_of_one_sender_in_one_room() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let group = ana.group(&[&ben]).await;
    let send = async |who: &Somebody, room: &Room, text| {
        let draft = Draft { client_msg_id: "m".into(), ..draft(text) };
        let sent = who.try_send(room, draft).await.unwrap();
        (sent.message.unwrap(), sent.created)
    };
    let (first, created) = send(&ana, &room, "uno").await;
    assert!(created);
    assert_eq!(send(&ana, &room, "dos").await, (first.clone(), false));
    assert!(send(&ben, &room, "de ben").await.1);
    assert!(send(&ana, &group, "en el grupo").await.1);
    ana.edit(&first, "editado").await.unwrap();
    assert_eq!(send(&ana, &room, "uno").await.0.text, "editado", "as it is stored");
    ana.delete(&first).await.unwrap();
    let (again, created) = send(&ana, &room, "uno").await;
    assert_eq!((again.id, again.text.as_str(), created), (first.id, "", false), "a repeat brings nothing back");
    for _ in 0..2 {
        assert!(ana.try_send(&room, draft("sin nombre")).await.unwrap().created);
    }
    assert_eq!(texts(&ben.history(&room).await), ["", "de ben", "sin nombre", "sin nombre"]);
}

#[tokio::test]
async fn messages_are_listed_forwards_and_backwards_from_anywhere() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    for n in 1..=9 {
        world.harness.clock.advance(Duration::from_secs(1));
        ana.send(&room, &n.to_string()).await;
    }
    let all: Vec<_> = (1..=9).map(|n| n.to_string()).collect();
    let in_room = ListMessagesRequest { room_id: room.id.clone(), ..Default::default() };
    for page_size in [1, 2, 4, 9, 10, 1_000] {
        let request = ListMessagesRequest { page_size, ..in_room.clone() };
        assert_eq!(ben.pages(&request).await, all);
        let backwards = ListMessagesRequest { newest_first: true, ..request.clone() };
        assert_eq!(ben.pages(&backwards).await, all.iter().rev().cloned().collect::<Vec<_>>());
        let middle = ListMessagesRequest { after: Some(2), before: Some(8), ..request.clone() };
        assert_eq!(ben.pages(&middle).await, all[2..7]);
        let middle = ListMessagesRequest { newest_first: true, ..middle };
        assert_eq!(ben.pages(&middle).await, all[2..7].iter().rev().cloned().collect::<Vec<_>>());
        let skipping = ListMessagesRequest { skip: 3, ..request.clone() };
        assert_eq!(ben.pages(&skipping).await, all[3..], "pages of {page_size} behind three");
    }
    let total = async |request| ben.list(request).await.unwrap().total_size;
    assert_eq!(total(in_room.clone()).await, 9);
    assert_eq!(total(ListMessagesRequest { after: Some(4), ..in_room.clone() }).await, 5);
    assert_eq!(total(ListMessagesRequest { before: Some(4), ..in_room.clone() }).await, 3);
    assert_eq!(total(ListMessagesRequest { after: Some(99), ..in_room.clone() }).await, 0);
    assert_eq!(total(ListMessagesRequest { before: Some(0), ..in_room.clone() }).await, 0);
    let by_number = ListMessagesRequest { room_number: room.number, page_size: 2, ..Default::default() };
    assert_eq!(ben.list(by_number).await.unwrap().messages.len(), 2);

    // Sent at one, two, three … seconds.
    let moment = |n: i64| {
        let seconds = world.harness.clock.now().timestamp() - 9 + n;
        ListMessagesRequest { sent_before: Some(prost_types::Timestamp { seconds, nanos: 0 }), ..in_room.clone() }
    };
    assert_eq!(ben.pages(&moment(4)).await, all[..3]);
    assert_eq!(total(moment(4)).await, 3);
    let newest = ListMessagesRequest { newest_first: true, page_size: 2, ..moment(4) };
    assert_eq!(texts(&ben.list(newest.clone()).await.unwrap().messages), ["3", "2"]);
    assert_eq!(ben.pages(&newest).await, ["3", "2", "1"]);
    assert!(ben.pages(&moment(1)).await.is_empty());
    assert_eq!(ben.pages(&moment(100)).await, all);

    let negative = ListMessagesRequest { after: Some(-1), ..in_room.clone() };
    assert_eq!(refused(ben.list(negative).await).0, Code::InvalidArgument);
    let token = ben.list(ListMessagesRequest { page_size: 2, ..in_room.clone() }).await.unwrap().next_page_token;
    let elsewhere = ListMessagesRequest { page_token: token, newest_first: true, ..in_room.clone() };
    assert_eq!(refused(ben.list(elsewhere).await).0, Code::InvalidArgument, "a token is of one list");
    let nowhere = ListMessagesRequest { room_number: 999, ..Default::default() };
    assert_eq!(refused(ben.list(nowhere).await), (Code::NotFound, "ROOM_NOT_FOUND".into()));
}

#[tokio::test]
async fn messages_of_all_rooms_are_one_list() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let group = ana.group(&[&ben]).await;
    let elsewhere = ana.open_pair(&world.person(3)).await;
    let mut all = Vec::new();
    for n in 1..=8 {
        world.harness.clock.advance(Duration::from_secs(1));
        ana.send([&room, &group][n % 2], &n.to_string()).await;
        ana.send(&elsewhere, "no es para Ben").await;
        all.push(n.to_string());
    }
    let backwards: Vec<_> = all.iter().rev().cloned().collect();
    for page_size in [1, 3, 8, 200] {
        let request = ListMessagesRequest { page_size, ..Default::default() };
        assert_eq!(ben.pages(&request).await, all);
        let newest = ListMessagesRequest { newest_first: true, ..request.clone() };
        assert_eq!(ben.pages(&newest).await, backwards);
        let skipping = ListMessagesRequest { skip: 3, ..newest };
        assert_eq!(ben.pages(&skipping).await, backwards[3..], "pages of {page_size} behind three");
    }
    assert_eq!(ben.list(ListMessagesRequest::default()).await.unwrap().total_size, 8);
    assert_eq!(ana.list(ListMessagesRequest::default()).await.unwrap().total_size, 16);
    let seconds = world.harness.clock.now().timestamp() - 4;
    let sent_before = Some(prost_types::Timestamp { seconds, nanos: 0 });
    let request = ListMessagesRequest { sent_before, newest_first: true, page_size: 2, ..Default::default() };
    assert_eq!(ben.pages(&request).await, ["3", "2", "1"]);
    for request in [
        ListMessagesRequest { after: Some(1), ..Default::default() },
        ListMessagesRequest { before: Some(1), ..Default::default() },
    ] {
        assert_eq!(refused(ben.list(request).await).0, Code::InvalidArgument, "sequences are those of a room");
    }
    ben.leave(&group).await.unwrap();
    assert_eq!(ben.pages(&ListMessagesRequest::default()).await, ["2", "4", "6", "8"]);
}

#[tokio::test]
async fn search_finds_words_and_beginnings_in_ones_own_rooms() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let secret = ana.open_pair(&world.person(3)).await;
    ana.send(&secret, "Vendo novillos en secreto").await;
    for text in [
        "Vendo 40 NOVILLOS Ñandú",
        "¿Cuánto pides por los novillos?",
        "1.500 cada uno, o 3,50 el kilo",
        "escríbeme a ventas@finca.ar o mira www.finca.ar/novillas",
        "maíz/soja-girasol (trigo)_cebada",
    ] {
        world.harness.clock.advance(Duration::from_secs(1));
        ana.send(&room, text).await;
    }
    let count = async |query| ben.search(query).await.len();
    assert_eq!(ben.search("novillos").await, ["¿Cuánto pides por los novillos?", "Vendo 40 NOVILLOS Ñandú"]);
    for (query, expected) in [
        ("NOVILLOS vendo", 1),
        ("nandu", 1),
        ("ÑANDÚ", 1),
        ("cuanto", 1),
        ("novi", 3),
        ("novillos vend", 1),
        ("vend novillos", 0),
        ("illos", 0),
        ("secreto", 0),
        ("1.500", 1),
        ("3,50", 1),
        ("1500", 0),
        ("ventas@finca.ar", 1),
        ("finca", 1),
        ("novillas", 1),
        ("soja", 1),
        ("maiz soja girasol trigo cebada", 1),
        ("soja-girasol", 1),
        ("pides?", 1),
        ("a | b & !c", 0),
        ("':*", 0),
        ("!!!", 0),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
    assert_eq!(ana.search("secreto").await.len(), 1);
    let here = SearchMessagesRequest { query: "novillos".into(), room_id: room.id.clone(), ..Default::default() };
    assert_eq!(ana.messages().search_messages(here).await.unwrap().into_inner().messages.len(), 2);
    let theirs = SearchMessagesRequest { query: "novillos".into(), room_id: secret.id.clone(), ..Default::default() };
    assert_eq!(refused(ben.messages().search_messages(theirs).await), (Code::PermissionDenied, "NOT_A_MEMBER".into()));
    for query in ["", &"x".repeat(201)] {
        let request = SearchMessagesRequest { query: query.into(), ..Default::default() };
        assert_eq!(refused(ben.messages().search_messages(request).await).0, Code::InvalidArgument);
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = SearchMessagesRequest { query: "n".into(), page_size: 1, page_token, ..Default::default() };
        let page = ben.messages().search_messages(request).await.unwrap().into_inner();
        seen.extend(page.messages.iter().map(|message| message.sequence));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [4, 2, 1]);
    let first = ben.history(&room).await.remove(0);
    ana.edit(&first, "Compro terneros").await.unwrap();
    assert_eq!((count("vendo").await, count("terneros").await), (0, 1));
}

#[tokio::test]
async fn every_message_is_one_event_without_its_words() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let carla = world.person(3);
    let room = ana.group(&[&ben, &carla]).await;
    world.published().await;
    let named = Draft { client_msg_id: "m".into(), ..draft("palabras secretas") };
    let message = ana.try_send(&room, named.clone()).await.unwrap().message.unwrap();
    ana.try_send(&room, named).await.unwrap();
    ana.edit(&message, "otras").await.unwrap();
    ana.delete(&message).await.unwrap();
    let _ = ana.try_send(&room, draft("")).await.unwrap_err();
    let published = world.published().await;
    let [(kind, key, event)] = published.as_slice() else { panic!("one event: {published:?}") };
    assert_eq!((kind.as_str(), key.as_str()), ("chat.message.sent", room.number.to_string().as_str()));
    let expected = serde_json::json!({
        "message_id": message.number,
        "message_uuid": message.id,
        "room_id": room.number,
        "chat_id": room.id,
        "sender_id": 1,
        "sender_uuid": ana.id.to_string(),
        "destinatarios": [ben.id.to_string(), carla.id.to_string()],
    });
    assert_eq!(*event, expected);
}

#[tokio::test]
async fn twenty_in_ten_seconds_and_no_more() {
    let world = World::limited("20/10").await;
    let (ana, ben, room) = world.pair().await;
    let mut line = ana.connect(&room).await;
    for n in 0..20 {
        world.harness.clock.advance(Duration::from_millis(100));
        match n % 2 {
            0 => drop(ana.send(&room, "hola").await),
            _ => line.send("hola", "").await,
        }
        line.message().await;
    }
    let status = ana.try_send(&room, draft("veintiuno")).await.unwrap_err();
    let details = Details::of(&status);
    assert_eq!((status.code(), details.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    // The first was sent 1.9 seconds ago.
    assert_eq!(details.retry_after, Some(Duration::from_millis(8_100)));
    line.send("veintiuno", "m").await;
    let limited = |frame| if let Frame::Error(error) = frame { Some(error) } else { None };
    let error = line.find(limited).await;
    assert_eq!(
        (error.reason.as_str(), error.client_msg_id.as_str(), error.retry_after_ms),
        ("RATE_LIMITED", "m", 8_100)
    );
    assert_eq!(ben.send(&room, "yo sí").await.sequence, 21, "everybody has their own");
    world.harness.clock.advance(Duration::from_millis(8_099));
    assert_eq!(refused(ana.try_send(&room, draft("x")).await).1, "RATE_LIMITED");
    world.harness.clock.advance(Duration::from_millis(1));
    assert_eq!(ana.send(&room, "por fin").await.sequence, 22);
}

#[tokio::test]
async fn repeating_what_is_stored_is_never_too_often() {
    let world = World::limited("2/10").await;
    let (ana, _, room) = world.pair().await;
    let first = Draft { client_msg_id: "m".into(), ..draft("uno") };
    ana.try_send(&room, first.clone()).await.unwrap();
    // Who comes back sends again what was not acknowledged.
    for _ in 0..5 {
        assert!(!ana.try_send(&room, first.clone()).await.unwrap().created);
    }
    assert_eq!(ana.send(&room, "dos").await.sequence, 2);
    assert_eq!(refused(ana.try_send(&room, draft("tres")).await).1, "RATE_LIMITED");
    assert!(!ana.try_send(&room, first).await.unwrap().created, "what is stored is answered all the same");
}

#[tokio::test]
async fn edits_count_like_messages_and_repeats_of_them_do_not() {
    let world = World::limited("3/10").await;
    let (ana, _, room) = world.pair().await;
    let sent = ana.send(&room, "uno").await;
    ana.edit(&sent, "dos").await.unwrap();
    for _ in 0..5 {
        assert_eq!(ana.edit(&sent, "dos").await.unwrap().text, "dos");
    }
    ana.edit(&sent, "tres").await.unwrap();
    let limited = (Code::ResourceExhausted, "RATE_LIMITED".to_owned());
    assert_eq!(refused(ana.edit(&sent, "cuatro").await), limited);
    assert_eq!(refused(ana.try_send(&room, draft("cuatro")).await), limited);
    world.harness.clock.advance(Duration::from_secs(10));
    assert_eq!(ana.edit(&sent, "cuatro").await.unwrap().text, "cuatro");
}
