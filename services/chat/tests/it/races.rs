//! Everything at once.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_who_send_at_once_are_one_after_the_other() {
    let world = World::start().await;
    let people: Vec<_> = (1..=8).map(|number| world.person(number)).collect();
    let others: Vec<_> = people[1..].iter().collect();
    let room = people[0].group(&others).await;
    world.published().await;
    let mut lines = join_all(people.iter().map(|somebody| somebody.connect(&room))).await;
    let sent = (0..64).map(|n| {
        let (somebody, room) = (people[n % 8].clone(), room.clone());
        tokio::spawn(async move { somebody.send(&room, &format!("{n}")).await })
    });
    let sent: Vec<_> = join_all(sent.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect();
    let sequences: BTreeSet<_> = sent.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, (1..=64).collect());
    let stored = people[0].history(&room).await;
    assert_eq!(stored.iter().map(|message| message.sequence).collect::<Vec<_>>(), (1..=64).collect::<Vec<_>>());
    assert!(stored.is_sorted_by_key(|message| message.number), "numbers rise with sequences");
    for line in &mut lines {
        for n in 0..64 {
            let message = line.message().await;
            assert_eq!(
                (message.sequence, &message.id, &message.text),
                (n + 1, &stored[n as usize].id, &stored[n as usize].text)
            );
        }
        line.say(Said::Ping(Ping { nonce: 1 })).await;
        let extra = line.find(|frame| match frame {
            Frame::Pong(_) => Some(None),
            Frame::Message(message) => Some(Some(message)),
            _ => None,
        });
        assert_eq!(extra.await, None, "nothing twice");
    }
    assert_eq!(world.published().await.len(), 64);
    assert_eq!(people[0].see(&room).await.unwrap().last_change, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_from_many_sides_at_once_is_one() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    world.published().await;
    let mut at_ben = ben.connect(&room).await;
    let lines = join_all((0..4).map(|_| ana.connect(&room))).await;
    for (n, line) in lines.iter().enumerate() {
        line.send(&format!("socket {n}"), "m").await;
    }
    let sent = (0..32).map(|n| {
        let draft = Draft { text: format!("rpc {n}"), client_msg_id: "m".into(), ..Draft::default() };
        ana.try_send(&room, draft)
    });
    let answers: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().filter(|answer| answer.created).count() <= 1, "a socket may have been first");
    let ids: BTreeSet<_> = answers.into_iter().map(|answer| answer.message.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    for mut line in lines {
        line.settle().await;
    }
    ana.send(&room, "fin").await;
    let heard = [at_ben.message().await, at_ben.message().await];
    assert_eq!((heard[0].sequence, heard[1].sequence, heard[1].text.as_str()), (1, 2, "fin"));
    assert_eq!(world.published().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_at_once_lose_no_version() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let message = ana.send(&room, "cero").await;
    let mut at_ben = ben.connect(&room).await;
    let edits = (0..24).map(|n| {
        let (ana, message) = (ana.clone(), message.clone());
        tokio::spawn(async move { ana.edit(&message, &format!("edit {n}")).await })
    });
    for answer in join_all(edits.collect::<Vec<_>>()).await {
        answer.unwrap().unwrap();
    }
    let deletions = join_all((0..4).map(|_| ana.delete(&message))).await;
    let deleted: Vec<_> = deletions.into_iter().map(Result::unwrap).collect();
    assert!(deleted.iter().all(|one| *one == deleted[0] && one.change == 26), "{deleted:?}");
    let request = ListVersionsRequest { message: Some(named(&message)) };
    let versions = world.admin().messages().list_versions(request).await.unwrap().into_inner().versions;
    assert_eq!((versions.len(), versions[0].text.as_str()), (25, "cero"));
    let said: BTreeSet<_> = versions.iter().map(|version| &version.text).collect();
    assert_eq!(said.len(), 25, "each once");
    let mut last = (1, String::new());
    while last.0 < 26 {
        let frame = at_ben.next().await;
        if let Some(Frame::Changed(message)) = frame.frame {
            assert!(frame.change == last.0 + 1, "{} after {}", frame.change, last.0);
            last = (frame.change, message.text);
        }
    }
    assert_eq!(last.1, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_at_once_from_two_devices_reads_once() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let mut numbers = Vec::new();
    for n in 0..20 {
        numbers.push(ana.send(&room, &n.to_string()).await.number);
    }
    let mut at_ana = ana.connect(&room).await;
    let single = |n: usize| MarkReadRequest { room: Some(key(&room)), numbers: vec![numbers[n]], ..Default::default() };
    let all = MarkReadRequest { room: Some(key(&room)), ..Default::default() };
    let asked = (0..20).flat_map(|n| [single(n), single(19 - n)]).chain([all.clone(), all]);
    let answers = join_all(asked.map(|request| ben.mark_read(request))).await;
    let mut read: Vec<_> = answers.into_iter().flat_map(|answer| answer.unwrap().numbers).collect();
    read.sort_unstable();
    assert_eq!(read, numbers, "each once");
    let mut told = Vec::new();
    while told.len() < 20 {
        let news = at_ana.find(receipt).await;
        if news.read {
            told.extend(news.numbers);
        }
    }
    told.sort_unstable();
    assert_eq!(told, numbers);
    assert_eq!(ben.see(&room).await.unwrap().unread_count, 0);
    assert_eq!(ben.see(&room).await.unwrap().members[1].read_through, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_going_and_talking_at_once_leaves_no_gap() {
    let world = World::start().await;
    let people: Vec<_> = (1..=6).map(|number| world.person(number)).collect();
    let others: Vec<_> = people[1..].iter().collect();
    let room = people[0].group(&others).await;
    let mut at_first = people[0].connect(&room).await;
    let talking = people[..4].iter().map(|somebody| async {
        let mut sent = 0;
        for n in 0..20 {
            let message = somebody.send(&room, &format!("{} {n}", somebody.number)).await;
            if n % 5 == 0 {
                somebody.delete(&message).await.unwrap();
            }
            sent += 1;
        }
        sent
    });
    let all: Vec<_> = people.iter().map(Somebody::key).collect();
    let (one, room_key) = (&people[0], key(&room));
    let coming = async {
        for n in 0..10 {
            let users = if n % 2 == 0 { all[..4].to_vec() } else { all.clone() };
            let room = Some(room_key.clone());
            let request = UpdateRoomRequest { room, users, replace_users: true, ..Default::default() };
            one.rooms().update_room(request).await.unwrap();
        }
    };
    let (sent, ()) = tokio::join!(join_all(talking), coming);
    let sent: i64 = sent.into_iter().sum();
    let seen = people[5].see(&room).await.unwrap();
    assert_eq!((seen.last_sequence, seen.last_change, seen.members.len()), (sent, sent + 16, 6));
    let mut heard = Vec::new();
    let mut change = 0;
    while change < seen.last_change {
        let frame = at_first.next().await;
        if frame.change > 0 {
            assert_eq!(frame.change, change + 1);
            change = frame.change;
        }
        if let Some(Frame::Message(message)) = frame.frame {
            heard.push(message.sequence);
        }
    }
    assert_eq!(heard, (1..=sent).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_hears_the_first_message_of_a_new_room() {
    let world = World::start().await;
    let ben = world.person(1_000);
    let mut inbox = ben.inbox(true).await;
    for number in 1..=40 {
        let ana = world.person(number);
        let room = ana.open_pair(&ben).await;
        ana.send(&room, &format!("hola de {number}")).await;
        ana.send(&room, "¿estás?").await;
        assert_eq!(inbox.message().await.text, format!("hola de {number}"));
        assert_eq!(inbox.message().await.text, "¿estás?");
    }
}
