//! Several processes: what one does, all tell; what one loses, the others have; and readers of whom one is slow.

use super::*;

/// Reads on until the change `last`; what came, by sequence. Asserts that nothing is left out or told twice.
async fn read_through(line: &mut Line, mut change: i64, last: i64) -> Vec<i64> {
    let mut sequences = Vec::new();
    let missed = std::mem::take(&mut line.missed);
    for frame in &missed {
        assert_eq!(frame.change, change + 1, "{frame:?}");
        change = frame.change;
        sequences.extend(sequence(frame));
    }
    while change < last {
        let frame = line.next().await;
        if frame.change > 0 {
            assert_eq!(frame.change, change + 1, "{frame:?}");
            change = frame.change;
            sequences.extend(sequence(&frame));
        }
    }
    sequences
}

fn sequence(frame: &ServerFrame) -> Option<i64> {
    match &frame.frame {
        Some(Frame::Message(message)) => Some(message.sequence),
        _ => None,
    }
}

fn since(room: &Room, change: i64) -> Open {
    Open { room: Some(key(room)), since: Some(change), ..Open::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_does_not_read_delays_nobody_and_misses_nothing() {
    let world = World::start().await;
    let (ana, ben, carla) = (world.person(1), world.person(2), world.person(3));
    let room = ana.group(&[&ben, &carla]).await;
    let (mut slow, mut fast) = (ben.connect(&room).await, carla.connect(&room).await);
    let mut slow_inbox = ben.inbox(true).await;
    // Megabytes, of which the buffers on the way hold few; and soon, because who reads nothing for half a minute is
    // sent away.
    const MESSAGES: i64 = 120;
    let text = "🐄".repeat(8_000);
    for n in 1..=MESSAGES {
        ana.send(&room, &text).await;
        // Nobody sends before this one was heard.
        assert_eq!(fast.message().await.sequence, n);
    }
    let read = tokio::join!(read_through(&mut slow, 0, MESSAGES), read_through(&mut slow_inbox, 0, MESSAGES));
    assert_eq!(read.0, (1..=MESSAGES).collect::<Vec<_>>());
    assert_eq!(read.1, read.0);
    ana.send(&room, "y ahora en vivo").await;
    assert_eq!(slow.message().await.sequence, MESSAGES + 1);
    assert_eq!(slow_inbox.message().await.sequence, MESSAGES + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_stop_streams_are_sent_elsewhere_and_miss_nothing() {
    let world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    let process = world.process("chat-2").await;
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.push(world.at("chat-2", &ben).connect(&room).await);
    }
    let mut inbox = world.at("chat-2", &ben).inbox(false).await;
    for n in 0..10 {
        ana.send(&room, &n.to_string()).await;
    }
    process.stop.cancel();
    let sending = tokio::spawn({
        let (ana, room) = (ana.clone(), room.clone());
        async move {
            for n in 10..40 {
                ana.send(&room, &n.to_string()).await;
            }
        }
    });
    assert_eq!(inbox.find(closing).await, ClosingReason::GoingAway);
    for mut line in lines {
        let mut change = 0;
        loop {
            let frame = line.next().await;
            if let Some(Frame::Closing(closing)) = frame.frame {
                assert_eq!(closing.reason(), ClosingReason::GoingAway);
                assert!((0..=2_000).contains(&closing.retry_after_ms));
                break;
            }
            if frame.change > 0 {
                assert_eq!(frame.change, change + 1);
                change = frame.change;
            }
        }
        assert!(line.heard.message().await.unwrap().is_none(), "that was the last frame");
        let mut line = ben.try_connect(since(&room, change)).await.unwrap();
        assert_eq!(read_through(&mut line, change, 40).await, (change + 1..=40).collect::<Vec<_>>());
    }
    sending.await.unwrap();
    let refused = world.at("chat-2", &ana).see(&room).await;
    assert!(refused.is_err(), "the replica is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_replica_acknowledged_is_kept_and_its_readers_come_back() {
    let world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    let mut acknowledged = Vec::new();
    let mut change = 0;
    let mut at_ben = ben.connect(&room).await;
    for round in 0..3 {
        let name = ["chat-2", "chat-3", "chat-4"][round];
        let process = world.process(name).await;
        let mut line = world.at(name, &ana).try_connect(since(&room, change)).await.unwrap();
        for frame in std::mem::take(&mut line.missed) {
            change = frame.change;
        }
        for n in 0..10 {
            line.send(&format!("{round} {n}"), &format!("{round} {n}")).await;
        }
        for _ in 0..5 {
            let message = line.message().await;
            change = message.change;
            acknowledged.push(message.client_msg_id);
        }
        process.kill();
        while let Ok(Some(frame)) = line.heard.message().await {
            if let Some(Frame::Message(message)) = frame.frame {
                change = message.change;
                acknowledged.push(message.client_msg_id);
            }
        }
        // What was not acknowledged is sent again, and is there once.
        for n in 0..10 {
            let name = format!("{round} {n}");
            let draft = Draft { text: name.clone(), client_msg_id: name, ..Draft::default() };
            ana.try_send(&room, draft).await.unwrap();
        }
    }
    let stored: Vec<_> = ana.history(&room).await.into_iter().map(|message| message.client_msg_id).collect();
    assert_eq!(stored.len(), 30);
    let mut unique = stored.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 30);
    assert!(acknowledged.iter().all(|name| stored.contains(name)));
    assert_eq!(read_through(&mut at_ben, 0, 30).await, (1..=30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_die_and_come_back_while_people_talk() {
    let mut world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    let (_second, _third) = (world.process("chat-2").await, world.process("chat-3").await);
    let people = [ana.clone(), world.at("chat-2", &ben), world.at("chat-3", &ana)];
    let mut lines = Vec::new();
    for somebody in &people {
        lines.push(somebody.connect(&room).await);
    }
    let talk = |from: i64| {
        let (people, room) = (people.clone(), room.clone());
        tokio::spawn(async move {
            for n in from..from + 30 {
                people[n as usize % 3].send(&room, &n.to_string()).await;
            }
        })
    };
    talk(0).await.unwrap();
    let talking = talk(30);
    world.redis.as_mut().unwrap().kill().await;
    talking.await.unwrap();
    talk(60).await.unwrap();
    let talking = talk(90);
    world.redis.as_mut().unwrap().restart().await;
    talking.await.unwrap();
    talk(120).await.unwrap();
    for line in &mut lines {
        assert_eq!(read_through(line, 0, 150).await, (1..=150).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_publications_are_found_in_the_database() {
    let world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    let _process = world.process("chat-2").await;
    let mut line = world.at("chat-2", &ben).connect(&room).await;
    let url = world.redis.as_ref().unwrap().url.as_str();
    let mut redis = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    for n in 0..60 {
        if n % 10 == 5 {
            // Whoever listens is cut off, and what is published now reaches nobody.
            let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").to_owned();
            kill.query_async::<i64>(&mut redis).await.unwrap();
        }
        ana.send(&room, &n.to_string()).await;
    }
    assert_eq!(read_through(&mut line, 0, 60).await, (1..=60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_and_new_rooms_reach_streams_of_other_replicas() {
    let world = World::with_redis().await;
    let (ana, ben) = (world.person(1), world.person(2));
    let _process = world.process("chat-2").await;
    let there = world.at("chat-2", &ben);
    let mut inbox = there.inbox(true).await;
    let room = ana.group(&[&ben]).await;
    let mut line = there.connect(&room).await;
    // The inbox learns of the room over Redis, and sits down in it a moment later.
    ana.send(&room, "hola").await;
    assert_eq!(inbox.message().await.text, "hola");
    assert_eq!(line.message().await.text, "hola");
    let users = vec![ana.key()];
    let request = UpdateRoomRequest { room: Some(key(&room)), users, replace_users: true, ..Default::default() };
    ana.rooms().update_room(request).await.unwrap();
    assert_eq!(line.find(closing).await, ClosingReason::Removed);
    ana.send(&room, "ya no").await;
    let pair = ana.open_pair(&ben).await;
    ana.send(&pair, "solo tú").await;
    assert_eq!(inbox.message().await.text, "solo tú");
}

#[tokio::test]
async fn subscribing_is_hearing_without_speaking() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let stranger = world.person(3);
    for text in ["1", "2", "3"] {
        ana.send(&room, text).await;
    }
    let subscribe = async |who: &Somebody, open| who.chat().subscribe(SubscribeRequest { open: Some(open) }).await;
    let open = Open { room: Some(key(&room)), after: Some(1), ..Open::default() };
    let mut heard = subscribe(&ben, open.clone()).await.unwrap().into_inner();
    ana.send(&room, "4").await;
    let (mut said, mut live) = (Vec::new(), false);
    while said.len() < 3 || !live {
        match tokio::time::timeout(PATIENCE, heard.message()).await.unwrap().unwrap().unwrap().frame {
            Some(Frame::Message(message)) => said.push(message.text),
            Some(Frame::Live(_)) => live = true,
            _ => {}
        }
    }
    assert_eq!(said, ["2", "3", "4"]);
    assert_eq!(refused(subscribe(&stranger, open).await.map(drop)), (Code::PermissionDenied, "NOT_A_MEMBER".into()));
    let nowhere = RoomKey { key: Some(room_key::Key::Number(0)), ..Default::default() };
    let open = Open { room: Some(nowhere), ..Open::default() };
    assert_eq!(refused(subscribe(&ben, open).await.map(drop)), (Code::NotFound, "ROOM_NOT_FOUND".into()));
    assert_eq!(refused(ben.chat().subscribe(SubscribeRequest { open: None }).await.map(drop)).0, Code::InvalidArgument);
}

#[tokio::test]
async fn any_place_may_be_given_when_coming_back() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    for text in ["1", "2", "3"] {
        ana.send(&room, text).await;
    }
    for (after, change, missed) in [
        (Some(0), None, 3),
        (Some(-5), None, 3),
        (Some(2), None, 1),
        (Some(3), None, 0),
        (Some(i64::MAX), None, 0),
        (None, Some(0), 3),
        (None, Some(i64::MIN), 3),
        (None, Some(i64::MAX), 0),
        (Some(0), Some(2), 1),
        (None, None, 0),
    ] {
        let open = Open { room: Some(key(&room)), after, since: change, ..Open::default() };
        let mut line = ben.try_connect(open).await.unwrap();
        assert_eq!(line.missed.len(), missed, "after {after:?} since {change:?}");
        line.settle().await;
    }
}

#[tokio::test]
async fn who_is_gone_hears_no_more_and_who_came_hears_though_nothing_told_of_it() {
    let world = World::start().await;
    let people: Vec<_> = (1..=3).map(|number| world.person(number)).collect();
    let [ana, ben, eva] = &people[..] else { unreachable!() };
    let (room, other) = (ana.group(&[ben]).await, ana.group(&[ben]).await);
    let (mut at_ben, mut inbox) = (ben.connect(&room).await, eva.inbox(true).await);
    // As another replica does it whose publication is lost.
    let now = world.harness.clock.now().to_rfc3339();
    for statement in [
        format!("update members set left_at = '{now}' where room_id = '{}' and user_id = '{}'", room.id, ben.id),
        format!(
            "insert into members (room_id, user_id, user_number, position, joined_at)
             values ('{}', '{}', {}, 9, '{now}')",
            other.id, eva.id, eva.number
        ),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&world.harness.service.db).await.unwrap();
    }
    assert_eq!(at_ben.find(closing).await, ClosingReason::Removed);
    ana.send(&other, "hola").await;
    assert_eq!(inbox.message().await.text, "hola");
}
