//! Inboxes that come back: to where they stood in each of their rooms, without a gap and without a repeat.

use std::collections::BTreeMap;

use super::*;

/// What an inbox was told of a room: texts, edits as `*text`, and where it is not theirs any more.
type Told = BTreeMap<i64, Vec<String>>;

fn told(frames: &[ServerFrame]) -> Told {
    let mut told = Told::new();
    for frame in frames {
        let what = match &frame.frame {
            Some(Frame::Message(message)) => message.text.clone(),
            Some(Frame::Changed(message)) => format!("*{}", message.text),
            Some(Frame::Removed(_)) => "removed".into(),
            _ => continue,
        };
        told.entry(frame.room_number).or_default().push(what);
    }
    told
}

fn expected<const N: usize>(rooms: [(&Room, &[&str]); N]) -> Told {
    rooms.into_iter().map(|(room, told)| (room.number, told.iter().map(|&text| text.to_owned()).collect())).collect()
}

fn position(room_number: i64, change: i64) -> Position {
    Position { room_number, change }
}

fn back(rooms: Vec<Position>) -> Open {
    Open { messages: true, positions: Some(Positions { rooms }), ..Open::default() }
}

/// Where an inbox stands, by room.
fn stands(line: &Line) -> BTreeMap<i64, i64> {
    let positions = line.opened.positions.as_ref().expect("an inbox with messages says where it stands");
    positions.rooms.iter().map(|position| (position.room_number, position.change)).collect()
}

impl Somebody {
    /// From now on a group is of these.
    async fn only(&self, group: &Room, people: &[&Somebody]) {
        let users = people.iter().map(|somebody| somebody.key()).collect();
        let request = UpdateRoomRequest { room: Some(key(group)), users, replace_users: true, ..Default::default() };
        self.rooms().update_room(request).await.unwrap();
    }
}

#[tokio::test]
async fn an_inbox_comes_back_to_where_it_stood_in_each_room() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let (carla, dora) = (world.person(3), world.person(4));
    let (quiet, foreign) = (ben.open_pair(&carla).await, carla.open_pair(&dora).await);
    let left = ana.group(&[&ben, &carla]).await;
    let first = ana.send(&room, "uno").await;
    for (from, room) in [(&carla, &quiet), (&carla, &foreign), (&ana, &left)] {
        from.send(room, "antes").await;
    }

    let mut line = ben.inbox(true).await;
    assert_eq!(stands(&line), [(room.number, 1), (quiet.number, 1), (left.number, 1)].into());
    ana.send(&room, "dos").await;
    assert_eq!(line.message().await.text, "dos");
    let mut positions = line.opened.positions.take().unwrap().rooms;
    positions.iter_mut().filter(|position| position.room_number == room.number).for_each(|p| p.change = 2);
    drop(line);

    // Meanwhile.
    ana.send(&room, "tres").await;
    ana.edit(&first, "Uno").await.unwrap();
    ana.send(&left, "todavía").await;
    ana.only(&left, &[&ana, &carla]).await;
    ana.send(&left, "sin Ben").await;
    let entered = dora.group(&[&carla]).await;
    dora.send(&entered, "antes de Ben").await;
    dora.only(&entered, &[&dora, &carla, &ben]).await;
    dora.send(&entered, "bienvenido").await;

    // Nonsense among it changes nothing.
    let nonsense = [(room.number, i64::MAX), (foreign.number, 0), (999_999, 0), (-1, -1)];
    positions.extend(nonsense.map(|(room, change)| position(room, change)));
    let mut line = ben.try_connect(back(positions)).await.unwrap();
    let missed = expected([(&room, &["*Uno", "tres"]), (&left, &["removed"]), (&entered, &["bienvenido"])]);
    assert_eq!(told(&line.missed), missed);
    let gone: Vec<_> = line.missed.iter().filter(|frame| matches!(frame.frame, Some(Frame::Removed(_)))).collect();
    assert_eq!(gone[0].room_id, left.id);
    let now = stands(&line);
    // The left one is among them until `removed` has arrived.
    assert_eq!((now.len(), now[&room.number], now[&quiet.number], now[&left.number]), (4, 2, 1, 1));
    // From each of these frames one may continue.
    let reached = line.missed.iter().filter(|frame| frame.room_number == room.number).map(|frame| frame.change);
    let reached = reached.filter(|change| *change > 0);
    assert_eq!(reached.collect::<Vec<_>>(), [2, 4]);
    for (from, room, text) in [(&ana, &room, "cuatro"), (&carla, &quiet, "hola"), (&dora, &entered, "¿y?")] {
        from.send(room, text).await;
        assert_eq!(line.message().await.text, text);
    }
}

#[tokio::test]
async fn any_positions_may_be_given_and_only_with_messages() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    for text in ["1", "2", "3"] {
        ana.send(&room, text).await;
    }
    let n = room.number;
    for (positions, missed) in [
        (vec![], 3),
        (vec![position(n, i64::MIN)], 3),
        (vec![position(n, 2)], 1),
        (vec![position(n, 3), position(n, 1)], 2),
        (vec![position(n, i64::MAX)], 0),
    ] {
        let mut line = ben.try_connect(back(positions.clone())).await.unwrap();
        assert_eq!(line.missed.len(), missed, "{positions:?}");
        line.settle().await;
    }
    let mut line = ben.try_connect(back(vec![position(n, i64::MAX)])).await.unwrap();
    ana.send(&room, "4").await;
    assert_eq!(line.message().await.text, "4", "from beyond the end is from the end");
    let many = back((1..=1_001).map(|room| position(room, 0)).collect());
    assert_eq!(refused(ben.try_connect(many).await.map(drop)).0, Code::InvalidArgument);
    let quiet = Open { messages: false, ..back(Vec::new()) };
    let line = ben.try_connect(quiet).await.unwrap();
    assert!(line.missed.is_empty() && line.opened.positions.is_none(), "who hears no messages stands nowhere");
    assert!(ben.connect(&room).await.opened.positions.is_none());
    assert!(ben.inbox(true).await.missed.is_empty(), "and who comes for the first time has missed nothing");
}

#[tokio::test]
async fn an_inbox_that_comes_back_hears_which_receipts_moved() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let other = ana.group(&[&ben]).await;
    ana.send(&other, "antes").await;
    ben.read_all(&other).await;
    world.harness.clock.advance(Duration::from_secs(300));
    let (first, second) = (ana.send(&room, "uno").await, ana.send(&room, "dos").await);
    let line = ana.inbox(true).await;
    let positions = line.opened.positions.clone().unwrap().rooms;
    drop(line);
    let heard = async |away_ms| {
        let line = ana.try_connect(Open { away_ms, ..back(positions.clone()) }).await.unwrap();
        let receipts = line.missed.into_iter().map(|frame| (frame.room_number, frame.frame.and_then(receipt)));
        let mut heard = Vec::new();
        for (number, news) in receipts {
            let news = news.expect("nothing else was missed");
            assert_eq!((number, news.user_number), (room.number, 2));
            heard.push((news.read, news.numbers));
        }
        heard
    };
    // Ahead of the first, which moves no watermark.
    let read = MarkReadRequest { room: Some(key(&room)), numbers: vec![second.number], ..Default::default() };
    ben.mark_read(read).await.unwrap();
    let (first, second) = (vec![first.number], vec![second.number]);
    assert_eq!(heard(0).await, [(true, second.clone())], "what moved this moment may have been missed");
    world.harness.clock.advance(Duration::from_secs(60));
    ben.read_all(&room).await;
    world.harness.clock.advance(Duration::from_secs(60));
    assert!(heard(0).await.is_empty() && heard(-1).await.is_empty());
    assert_eq!(heard(90_000).await, [(false, first.clone()), (true, first.clone())]);
    assert_eq!(heard(150_000).await, [(true, second), (false, first.clone()), (true, first)]);
}

#[tokio::test]
async fn of_a_thousand_rooms_each_is_told_from_where_it_was() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1), world.person(2));
    // Two more than an inbox tells, each with a message.
    let many = format!(
        "insert into rooms (id, kind, created_by_id, created_by_number, created_at, last_activity_at, last_sequence,
             last_change, members_count)
         select ('a' || lpad(to_hex(n), 31, '0'))::uuid, 'GROUP', '{ana}', 1, now(), now() - n * interval '1 hour',
             1, 1, 2
         from generate_series(1, 1002) n;
         insert into members (room_id, user_id, user_number, position, joined_at)
         select r.id, p.id::uuid, p.number, p.number, now()
         from rooms r, (values ('{ana}', 1), ('{ben}', 2)) as p (id, number);
         insert into messages (id, room_id, sequence, sent_change, change, sender_id, sender_number, kind, text,
             created_at)
         select gen_random_uuid(), id, 1, 1, 1, '{ana}', 1, 'TEXT', 'antes', now() from rooms",
        ana = ana.id,
        ben = ben.id
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(many)).execute(&world.harness.service.db).await.unwrap();
    let line = ben.inbox(true).await;
    let positions = line.opened.positions.clone().unwrap().rooms;
    assert_eq!(positions.len(), 1_000);
    drop(line);
    let room = |n: u128| Room { id: Uuid::from_u128(0xa << 124 | n).to_string(), ..Room::default() };
    let rooms: Vec<_> = (1..=1_002).map(room).collect();
    ana.send(&rooms[500], "en la 501").await;
    // The oldest are among the thousand now, and what was said in them before is old.
    for room in &rooms[..4] {
        ben.leave(room).await.unwrap();
    }
    let mut line = ben.try_connect(back(positions)).await.unwrap();
    let told: Vec<_> = told(&line.missed).into_values().flatten().collect();
    let left = told.iter().filter(|what| *what == "removed").count();
    assert_eq!((left, told.len()), (4, 5), "{told:?}");
    assert!(told.contains(&"en la 501".to_owned()));
    ana.send(&rooms[1_001], "en la última").await;
    assert_eq!(line.message().await.text, "en la última");
    // Of Ana's rooms two are beyond the thousand. What she says in one of them she hears, and what follows it.
    let mut line = ana.inbox(true).await;
    let draft = Draft { text: "desde lejos".into(), ..Draft::default() };
    line.say(Said::Send(Send { draft: Some(draft), room: Some(key(&rooms[999])) })).await;
    assert_eq!(line.message().await.text, "desde lejos");
    ben.send(&rooms[999], "y de vuelta").await;
    assert_eq!(line.message().await.text, "y de vuelta");
}
