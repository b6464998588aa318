//! Who is here: counted by people, told to contacts, and forgotten with the replica that said so.

use super::*;

impl Somebody {
    /// Numbers of those who are here, as this person sees it, and how many others they see.
    async fn online(&self) -> (Vec<i64>, usize) {
        let people = self.chat().list_presence(ListPresenceRequest::default()).await.unwrap().into_inner().people;
        let here: Vec<_> = people.iter().filter(|person| person.online).map(|person| person.user_number).collect();
        let others = people.len() - here.len();
        (here, others)
    }
}

impl World {
    async fn redis<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let url = self.redis.as_ref().unwrap().url.as_str();
        let mut redis = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]).query_async(&mut redis).await.unwrap()
    }

    /// How many scripts ran on Redis.
    async fn scripts(&self) -> u64 {
        let stats: String = self.redis(&["INFO", "commandstats"]).await;
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap_or("0,");
        line.split_once(',').unwrap().0.parse().unwrap()
    }
}

#[tokio::test]
async fn a_reload_is_no_farewell_and_leaving_is_remembered() {
    let world = World::with_redis().await;
    let (ana, ben, _room) = world.pair().await;
    let mut at_ana = ana.inbox(false).await;
    let tab = ben.inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
    let other = ben.inbox(true).await;
    drop(tab);
    let tab = ben.inbox(false).await;
    drop(other);
    assert_eq!(ana.online().await, (vec![1, 2], 0));
    drop(tab);
    let news = at_ana.find(|frame| if let Frame::Presence(presence) = frame { Some(presence) } else { None }).await;
    assert_eq!((news.user_number, news.online), (2, false), "the next that is told, and there was nothing between");
    assert_eq!(news.last_seen_at.unwrap().seconds, world.harness.clock.now().timestamp());
    let request = ListPresenceRequest { users: vec![ben.key()], ..Default::default() };
    let people = ana.chat().list_presence(request).await.unwrap().into_inner().people;
    let [seen] = people.as_slice() else { panic!("only Ben: {people:?}") };
    assert_eq!((seen.online, seen.last_seen_at), (false, news.last_seen_at));
    let _again = ben.inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
}

#[tokio::test]
async fn only_contacts_are_told_and_only_they_may_ask() {
    let world = World::with_redis().await;
    let (ana, ben, _room) = world.pair().await;
    let (carla, dora) = (world.person(3), world.person(4));
    let (mut at_ana, mut at_carla, _at_dora) = (ana.inbox(true).await, carla.inbox(true).await, dora.inbox(true).await);
    let _at_ben = ben.inbox(true).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
    assert_eq!(carla.online().await, (vec![3], 0));
    let users = vec![ben.key(), dora.key(), UserKey { key: Some(user_key::Key::Number(999)) }];
    let asked = ListPresenceRequest { users, ..Default::default() };
    assert!(carla.chat().list_presence(asked.clone()).await.unwrap().into_inner().people.is_empty());
    assert_eq!(ana.chat().list_presence(asked).await.unwrap().into_inner().people.len(), 1);
    // The first thing that Carla hears is about somebody whom she knows.
    carla.group(&[&dora]).await;
    drop(world.person(4).inbox(false).await);
    let eva = world.person(5);
    carla.open_pair(&eva).await;
    let _at_eva = eva.inbox(false).await;
    assert_eq!(at_carla.find(presence).await, (5, true));
}

#[tokio::test]
async fn two_of_whom_one_has_blocked_the_other_hear_nothing_of_each_other() {
    let world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    let (carla, dora) = (world.person(3), world.person(4));
    ana.open_pair(&carla).await;
    ben.open_pair(&carla).await;
    let (mut at_ben, mut at_carla) = (ben.inbox(true).await, carla.inbox(true).await);
    let at_ana = ana.inbox(true).await;
    assert_eq!((at_ben.find(presence).await, at_ben.find(presence).await), ((3, true), (1, true)));
    assert_eq!(at_carla.find(presence).await, (1, true));
    let mut bens_room = ben.connect(&room).await;
    let anas_room = ana.connect(&room).await;
    assert_eq!(bens_room.find(presence).await, (1, true));

    ana.block(&ben).await.unwrap();
    assert_eq!((at_ben.find(presence).await, bens_room.find(presence).await), ((1, false), (1, false)));
    assert_eq!((ana.online().await, ben.online().await), ((vec![1, 3], 0), (vec![2, 3], 0)));

    // Neither that she goes, as Carla hears, and comes again, nor that she opens their room; nor that she blocks him again.
    drop((at_ana, anas_room));
    assert_eq!(at_carla.find(presence).await, (1, false));
    let _at_ana = (ana.inbox(true).await, ana.connect(&room).await);
    assert_eq!(at_carla.find(presence).await, (1, true));
    ana.block(&ben).await.unwrap();
    // Strangers are told nothing of each other when one blocks the other.
    let _at_dora = dora.inbox(true).await;
    dora.block(&ben).await.unwrap();
    dora.unblock(&ben).await.unwrap();
    // Behind this nothing that was told before can come any more.
    ana.send(&room, "hasta aquí").await;
    for line in [&mut at_ben, &mut bens_room] {
        loop {
            match line.next().await.frame {
                Some(Frame::Message(_)) => break,
                Some(Frame::Presence(presence)) => panic!("{presence:?}"),
                _ => {}
            }
        }
    }

    ana.unblock(&ben).await.unwrap();
    assert_eq!((at_ben.find(presence).await, bens_room.find(presence).await), ((1, true), (1, true)));
    assert_eq!(ana.online().await, (vec![1, 2, 3], 0));
}

#[tokio::test]
async fn those_who_have_a_room_open_are_told_who_opens_it() {
    let world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    let mut inbox = ana.inbox(true).await;
    let mut at_ana = ana.connect(&room).await;
    let at_ben = ben.connect(&room).await;
    let frame = loop {
        let frame = at_ana.next().await;
        if let Some(Frame::Presence(presence)) = &frame.frame {
            break (frame.room_id.clone(), presence.user_number, presence.online);
        }
    };
    assert_eq!(frame, (room.id.clone(), 2, true));
    assert_eq!(ana.online().await, (vec![1], 1), "an open room is no inbox");
    drop(at_ben);
    assert_eq!(at_ana.find(presence).await, (2, false));
    let _at_ben = ben.inbox(false).await;
    assert_eq!(inbox.find(presence).await, (2, true), "the first that the inbox hears");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_takes_its_people_along_unless_they_are_elsewhere_too() {
    let world = World::with_redis().await;
    let (ana, ben, _room) = world.pair().await;
    let carla = world.person(3);
    ana.open_pair(&carla).await;
    let process = world.process("chat-2").await;
    let mut at_ana = ana.inbox(false).await;
    let _first = world.at("chat-2", &ben).inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
    let _second = world.at("chat-2", &carla).inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (3, true));
    let here_too = carla.inbox(false).await;
    process.kill();
    assert_eq!(at_ana.find(presence).await, (2, false));
    testkit::eventually("nobody speaks of the dead replica any more", async || {
        world.redis::<usize>(&["ZCARD", "chat:replicas"]).await == 1
    })
    .await;
    assert_eq!(ana.online().await, (vec![1, 3], 1));
    drop(here_too);
    assert_eq!(at_ana.find(presence).await, (3, false), "once, when she has really gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stood_still_tells_that_its_people_are_here_again() {
    let world = World::with_redis().await;
    let (ana, ben, _room) = world.pair().await;
    let carla = world.person(3);
    ana.open_pair(&carla).await;
    let process = world.process("chat-2").await;
    let mut at_ana = ana.inbox(false).await;
    let _at_ben = world.at("chat-2", &ben).inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
    let at_carla = world.at("chat-2", &carla).inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (3, true));
    let paused = process.pause();
    let mut gone = [at_ana.find(presence).await, at_ana.find(presence).await];
    gone.sort_unstable();
    assert_eq!(gone, [(2, false), (3, false)]);
    // Who goes meanwhile does not come again; the replica learns of both at the same time, so she may be told of before.
    drop(at_carla);
    drop(paused);
    testkit::eventually("only who stayed is here", async || ana.online().await == (vec![1, 2], 1)).await;
    loop {
        match at_ana.find(presence).await {
            (2, true) => break,
            other => assert_eq!(other.0, 3),
        }
    }
    testkit::eventually("nobody is leaving", async || {
        world.redis::<usize>(&["ZCARD", "chat:leaving"]).await == 0
            && world.redis::<usize>(&["SCARD", &format!("chat:here:p:{}:3", carla.id)]).await == 0
    })
    .await;
    assert_eq!(ana.online().await, (vec![1, 2], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_hands_its_people_over() {
    let world = World::with_redis().await;
    let (ana, ben, _room) = world.pair().await;
    let process = world.process("chat-2").await;
    let mut at_ana = ana.inbox(false).await;
    let mut at_ben = world.at("chat-2", &ben).inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
    process.stop.cancel();
    assert_eq!(at_ben.find(closing).await, ClosingReason::GoingAway);
    let _again = ben.inbox(false).await;
    testkit::eventually("the replica has left", async || world.redis::<usize>(&["ZCARD", "chat:replicas"]).await == 1)
        .await;
    assert_eq!(ana.online().await, (vec![1, 2], 0));
}

#[tokio::test]
async fn while_redis_is_away_nobody_is_online_and_nothing_fails() {
    let mut world = World::with_redis().await;
    let (ana, ben, room) = world.pair().await;
    let mut at_ana = ana.inbox(true).await;
    let _at_ben = ben.inbox(true).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
    world.redis.as_mut().unwrap().kill().await;
    assert_eq!(ana.online().await, (vec![], 2));
    at_ana.say(Said::AskOnline(AskOnline {})).await;
    let people = at_ana.find(|frame| if let Frame::Online(online) = frame { Some(online.people) } else { None }).await;
    assert!(people.is_empty());
    let _more = ana.connect(&room).await;
    let third = ben.inbox(false).await;
    drop(third);
    ana.send(&room, "sigue").await;
    assert_eq!(at_ana.message().await.text, "sigue");
    world.redis.as_mut().unwrap().restart().await;
    testkit::eventually("those who stayed are here again", async || ana.online().await == (vec![1, 2], 0)).await;
    // Nobody was said to be gone, so nobody is said to be back.
    at_ana.say(Said::Ping(Ping { nonce: 1 })).await;
    let told = at_ana.find(|frame| match frame {
        Frame::Presence(_) => Some(Some(presence(frame))),
        Frame::Pong(_) => Some(None),
        _ => None,
    });
    assert_eq!(told.await, None);
}

#[tokio::test]
async fn without_redis_there_is_no_presence() {
    let world = World::start().await;
    let (ana, ben, _room) = world.pair().await;
    let (_at_ana, _at_ben) = (ana.inbox(true).await, ben.inbox(true).await);
    assert_eq!(ana.online().await, (vec![], 2));
}

#[tokio::test]
async fn comings_and_goings_that_redis_refused_are_noted_later() {
    let world = World::with_redis().await;
    let (ana, ben, _room) = world.pair().await;
    let carla = world.person(3);
    ana.open_pair(&carla).await;
    let mut at_ana = ana.inbox(false).await;
    let at_ben = ben.inbox(false).await;
    assert_eq!(at_ana.find(presence).await, (2, true));
    // The farewell's script is known to Redis from now on.
    drop(carla.inbox(false).await);
    assert_eq!(at_ana.find(presence).await, (3, true));
    assert_eq!(at_ana.find(presence).await, (3, false));

    let _: () = world.redis(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let before = world.scripts().await;
    let _at_carla = carla.inbox(false).await;
    drop(at_ben);
    testkit::eventually("both were refused", async || world.scripts().await >= before + 2).await;
    let _: () = world.redis(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    let mut told = [at_ana.find(presence).await, at_ana.find(presence).await];
    told.sort_unstable();
    assert_eq!(told, [(2, false), (3, true)]);
    assert_eq!(ana.online().await, (vec![1, 3], 1));
}
