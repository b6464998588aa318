//! Receipts: who has a message and who has read it, over frames and over lists, which must say the same.

use std::collections::BTreeMap;

use proto::chat::v1::Receipt;

use super::*;

/// A time as it came.
type At = Option<(i64, i32)>;

/// By message and recipient: since when they have it and have read it.
type Told = BTreeMap<(i64, i64), (At, At)>;

fn at(time: Option<prost_types::Timestamp>) -> At {
    time.map(|time| (time.seconds, time.nanos))
}

/// Takes in what a list or a frame shows of messages. A time that was told stays.
fn show<'a>(told: &mut Told, messages: impl IntoIterator<Item = &'a Message>) {
    for message in messages {
        for Receipt { user_number, delivered_at, read_at, .. } in &message.receipts {
            let (delivered, read) = told.entry((message.number, *user_number)).or_default();
            for (known, now) in [(delivered, at(*delivered_at)), (read, at(*read_at))] {
                assert!(known.is_none() || *known == now, "{known:?} was told, and now {now:?}");
                *known = now;
            }
        }
    }
}

/// What frames told, with what follows: of what was told as read and never as delivered, it was delivered by then. (News
/// that it was read may come before the news that it was delivered.)
fn settled(told: &Told) -> Told {
    told.iter().map(|(key, (delivered, read))| (*key, (delivered.or(*read), *read))).collect()
}

/// Takes in a frame: what was not known is from then on.
fn hear(told: &mut Told, frame: &ServerFrame) {
    match &frame.frame {
        Some(Frame::Message(message) | Frame::Changed(message)) => show(told, [message]),
        Some(Frame::Receipt(news)) => {
            assert!(news.numbers.len() == news.ids.len() && news.numbers.len() == news.sequences.len());
            assert!(news.sequences.is_sorted(), "oldest first");
            for number in &news.numbers {
                let (delivered, read) = told.entry((*number, news.user_number)).or_default();
                let known = if news.read { read } else { delivered };
                known.get_or_insert(at(news.at).unwrap());
            }
        }
        _ => {}
    }
}

fn times(message: &Message, user: i64) -> (At, At) {
    let receipt = message.receipts.iter().find(|receipt| receipt.user_number == user).unwrap();
    (at(receipt.delivered_at), at(receipt.read_at))
}

/// Only some messages of a room, by number.
fn only(room: &Room, messages: &[&Message]) -> MarkReadRequest {
    let numbers = messages.iter().map(|message| message.number).collect();
    MarkReadRequest { room: Some(key(room)), numbers, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_say_what_frames_told_whatever_order_people_read_in() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let room = ana.group(&[&ben, &carla]).await;
    let mut at_ana = ana.connect(&room).await;
    let (mut frames, mut lists) = (Told::new(), Told::new());
    let mut dice = crate::history::Dice(7);
    let mut others: Vec<Line> = Vec::new();
    for step in 0..150 {
        world.harness.clock.advance(Duration::from_millis(1_001));
        let reader = [&ben, &carla][dice.below(2)];
        match dice.below(7) {
            0..=2 => drop(ana.send(&room, &step.to_string()).await),
            3 => others.push(reader.inbox(dice.below(2) == 0).await),
            4 => others.clear(),
            5 => {
                let messages = ana.history(&room).await;
                if !messages.is_empty() {
                    let picked = [&messages[dice.below(messages.len())], &messages[dice.below(messages.len())]];
                    reader.mark_read(only(&room, &picked)).await.unwrap();
                }
            }
            _ => {
                let through = dice.below(step + 1) as i64;
                let request = MarkReadRequest { room: Some(key(&room)), through, ..Default::default() };
                reader.mark_read(request).await.unwrap();
            }
        }
        show(&mut lists, &ana.history(&room).await);
    }
    // What is committed is told a moment later, so frames come until both are the same.
    others.clear();
    loop {
        show(&mut lists, &ana.history(&room).await);
        if settled(&frames) == lists {
            break;
        }
        hear(&mut frames, &at_ana.next().await);
    }
    assert!(lists.values().any(|(delivered, read)| delivered < read), "something was read after it came");
}

#[tokio::test]
async fn what_is_read_is_there_and_neither_time_moves() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let message = ana.send(&room, "uno").await;
    assert_eq!(times(&message, 2), (None, None));
    let answer = ben.mark_read(only(&room, &[&message])).await.unwrap();
    assert_eq!((answer.numbers, answer.ids), (vec![message.number], vec![message.id.clone()]));
    let read = times(&ana.history(&room).await[0], 2);
    assert_eq!(read, (at(answer.read_at), at(answer.read_at)));

    world.harness.clock.advance(Duration::from_secs(9));
    let mut at_ben = ben.connect(&room).await;
    let _inbox = ben.inbox(true).await;
    at_ben.say(Said::Read(Read::default())).await;
    at_ben.settle().await;
    assert!(ben.read_all(&room).await.is_empty(), "again: nothing");
    let second = ana.send(&room, "dos").await;
    at_ben.message().await;
    testkit::eventually("the second is delivered", async || times(&ana.history(&room).await[1], 2).0.is_some()).await;
    assert_eq!(times(&ana.history(&room).await[0], 2), read);
    let answer = ben.mark_read(only(&room, &[&message, &second])).await.unwrap();
    assert_eq!(answer.numbers, [second.number], "only what was unread");
    assert_eq!(times(&ana.history(&room).await[0], 2), read);
}

#[tokio::test]
async fn single_messages_are_read_ahead_of_those_before_them() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let elsewhere = ana.group(&[&ben]).await;
    let foreign = ana.send(&elsewhere, "otra sala").await;
    let mut messages = Vec::new();
    for n in 1..=5 {
        messages.push(ana.send(&room, &n.to_string()).await);
    }
    let own = ben.send(&room, "de ben").await;
    let mut at_ana = ana.connect(&room).await;
    let read = async |picked: &[&Message]| ben.mark_read(only(&room, picked)).await.unwrap().numbers;
    assert_eq!(read(&[&messages[3], &messages[1], &foreign, &own]).await, [messages[1].number, messages[3].number]);
    let news = at_ana.find(receipt).await;
    assert_eq!((news.user_number, news.read, news.sequences), (2, true, vec![2, 4]));
    let first_time = world.harness.clock.now().timestamp();
    let state = async || {
        let seen = ben.see(&room).await.unwrap();
        (seen.unread_count, seen.members.iter().find(|member| member.user_number == 2).unwrap().read_through)
    };
    assert_eq!(state().await, (3, 0));
    assert_eq!(ben.see(&elsewhere).await.unwrap().unread_count, 1, "another room's message is left out");
    world.harness.clock.advance(Duration::from_secs(5));
    assert!(read(&[&messages[1]]).await.is_empty());
    let by_id = MarkReadRequest { room: Some(key(&room)), ids: vec![messages[0].id.clone()], ..Default::default() };
    assert_eq!(ben.mark_read(by_id).await.unwrap().numbers, [messages[0].number]);
    assert_eq!(state().await, (2, 2), "the watermark passes what was read ahead");
    assert_eq!(read(&[&messages[2]]).await, [messages[2].number]);
    assert_eq!(state().await, (1, 4));
    assert_eq!(ben.read_all(&room).await, [messages[4].number]);
    assert_eq!(state().await, (0, 6), "and one's own at the end");
    let seconds: Vec<_> =
        ana.history(&room).await[..5].iter().map(|message| times(message, 2).1.unwrap().0 - first_time).collect();
    assert_eq!(seconds, [5, 0, 5, 0, 5], "each when it was read");
    let odd = MarkReadRequest { room: Some(key(&room)), ids: vec!["nonsense".into()], ..Default::default() };
    assert_eq!(refused(ben.mark_read(odd).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn reading_up_to_a_place_reads_no_further() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    for n in 1..=5 {
        ana.send(&room, &n.to_string()).await;
    }
    let through = |through| MarkReadRequest { room: Some(key(&room)), through, ..Default::default() };
    assert_eq!(ben.mark_read(through(3)).await.unwrap().numbers.len(), 3);
    assert!(ben.mark_read(through(2)).await.unwrap().numbers.is_empty(), "never back");
    let seen = ben.see(&room).await.unwrap();
    assert_eq!((seen.unread_count, seen.members[1].read_through, seen.members[1].delivered_through), (2, 3, 3));
    assert_eq!(ben.mark_read(through(99)).await.unwrap().numbers.len(), 2);
    assert_eq!(ben.see(&room).await.unwrap().members[1].read_through, 5);
    ana.send(&room, "6").await;
    assert_eq!(ben.see(&room).await.unwrap().unread_count, 1, "what comes later was not read in advance");
    assert_eq!(refused(ben.mark_read(through(-1)).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn an_inbox_delivers_what_waited() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let (first, second) = (ana.send(&room, "uno").await, ana.send(&room, "dos").await);
    let mut at_ana = ana.inbox(false).await;
    let _inbox = ben.inbox(false).await;
    let news = at_ana.find(receipt).await;
    assert_eq!((news.user_number, news.read, news.numbers), (2, false, vec![first.number, second.number]));
    let third = ana.send(&room, "tres").await;
    assert_eq!(at_ana.find(receipt).await.ids, [third.id], "without showing messages, too");
    let history = ana.history(&room).await;
    assert!(history.iter().all(|message| times(message, 2).0.is_some() && times(message, 2).1.is_none()));
}

#[tokio::test]
async fn who_has_it_is_the_senders_business_and_who_read_it_the_rooms() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let room = ana.group(&[&ben, &carla]).await;
    let mut at_ben = ben.connect(&room).await;
    let mut at_carla = carla.connect(&room).await;
    let message = ana.send(&room, "uno").await;
    testkit::eventually("both have it", async || {
        let message = ana.history(&room).await.remove(0);
        [2, 3].iter().all(|number| times(&message, *number).0.is_some())
    })
    .await;
    at_ben.say(Said::Read(Read { ids: vec![message.id.clone()], ..Read::default() })).await;
    let news = at_carla.find(receipt).await;
    assert_eq!((news.user_number, news.read, news.numbers), (2, true, vec![message.number]), "the first she hears");
    at_ben.say(Said::Read(Read { ids: vec!["nonsense".into()], ..Read::default() })).await;
    at_ben.find(error).await;
}

#[tokio::test]
async fn what_was_said_while_somebody_was_not_there_has_no_receipt_of_theirs() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let room = ana.group(&[&ben]).await;
    let members = async |users: &[&Somebody]| {
        let users = users.iter().map(|one| one.key()).collect();
        let request = UpdateRoomRequest { room: Some(key(&room)), users, replace_users: true, ..Default::default() };
        ana.rooms().update_room(request).await.unwrap().into_inner()
    };
    let receipts = async || -> Vec<_> {
        let of = |message: Message| message.receipts.into_iter().find(|receipt| receipt.user_number == 3);
        let seen = |receipt: Receipt| (receipt.delivered_at.is_some(), receipt.read_at.is_some());
        let mut history = ana.history(&room).await;
        history.sort_by_key(|message| message.sequence);
        history.into_iter().map(|message| of(message).map(seen)).collect()
    };
    ana.send(&room, "antes").await;
    let joined = members(&[&ana, &ben, &carla]).await;
    let came = joined.members.iter().find(|member| member.user_number == 3).unwrap();
    assert_eq!((came.delivered_through, came.read_through), (1, 1), "and it is not unread either");
    assert_eq!(receipts().await, [None]);
    // Nobody is told that she has read it, neither those who come back nor she herself.
    for somebody in [&ana, &carla] {
        let open = Open { room: Some(key(&room)), after: Some(0), ..Open::default() };
        let line = somebody.try_connect(open).await.unwrap();
        let told: Vec<_> = line.missed.into_iter().filter_map(|frame| receipt(frame.frame?)).collect();
        assert!(told.iter().all(|news| news.user_number != 3), "{told:?}");
    }
    let second = ana.send(&room, "después").await;
    assert_eq!(carla.read_all(&room).await, [second.number]);
    let read = Some((true, true));
    assert_eq!(receipts().await, [None, read], "reading it says nothing of the first");

    // She has the third without reading it, goes, misses the fourth, and comes back.
    let mut at_carla = carla.connect(&room).await;
    ana.send(&room, "sin leer").await;
    at_carla.message().await;
    testkit::eventually("she has it", async || receipts().await.contains(&Some((true, false)))).await;
    drop(at_carla);
    members(&[&ana, &ben]).await;
    ana.send(&room, "sin ella").await;
    members(&[&ana, &ben, &carla]).await;
    ana.send(&room, "con ella").await;
    assert_eq!(receipts().await, [None, read, Some((true, false)), None, Some((false, false))]);
    assert_eq!(carla.see(&room).await.unwrap().unread_count, 1);
}

#[tokio::test]
async fn large_rooms_show_no_receipts() {
    let world = World::start().await;
    let ana = world.person(1);
    let others: Vec<_> = (2..=101).map(|number| world.person(number)).collect();
    let room = ana.group(&others.iter().collect::<Vec<_>>()).await;
    let hundred = ana.group(&others[1..].iter().collect::<Vec<_>>()).await;
    assert!(ana.send(&room, "uno").await.receipts.is_empty());
    let receipts = ana.send(&hundred, "uno").await.receipts;
    assert_eq!(receipts.iter().map(|r| r.user_number).collect::<Vec<_>>(), (3..=101).collect::<Vec<_>>());
    assert_eq!(others[0].read_all(&room).await.len(), 1);
    assert_eq!(others[0].see(&room).await.unwrap().unread_count, 0);
}

#[tokio::test]
async fn who_comes_back_hears_what_was_read_meanwhile() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let message = ana.send(&room, "uno").await;
    let since = ana.see(&room).await.unwrap().last_change;
    ben.read_all(&room).await;
    let open = Open { room: Some(key(&room)), since: Some(since), ..Open::default() };
    let line = ana.try_connect(open).await.unwrap();
    let told: Vec<_> = line.missed.into_iter().filter_map(|frame| frame.frame.and_then(receipt)).collect();
    let told: Vec<_> = told.iter().map(|news| (news.user_number, news.read, news.numbers.as_slice())).collect();
    assert_eq!(told, [(2, false, &[message.number][..]), (2, true, &[message.number])]);
}

#[tokio::test]
async fn what_was_read_ahead_is_delivered_since_then() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let mut at_ana = ana.connect(&room).await;
    let first = ana.send(&room, "uno").await;
    let second = ana.send(&room, "dos").await;
    let request = MarkReadRequest { room: Some(key(&room)), numbers: vec![second.number], ..Default::default() };
    ben.mark_read(request).await.unwrap();
    let read = at_ana.find(receipt).await;
    assert!(read.read && read.numbers == [second.number]);
    world.harness.clock.advance(Duration::from_secs(1));
    let _inbox = ben.inbox(false).await;
    let delivered = at_ana.find(receipt).await;
    assert!(!delivered.read);
    assert_eq!(delivered.numbers, [first.number], "the other has been there for a second");
}
