//! Whatever happens, in whatever order: what a client makes of the frames it heard is what it would find if it asked.

use std::collections::BTreeMap;

use super::*;

/// Numbers as by chance, the same ones for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Somebody's device: it knows what it heard.
struct Client {
    who: Somebody,
    line: Option<Line>,
    /// The last change that was told.
    change: i64,
    messages: BTreeMap<i64, Message>,
}

impl Client {
    /// Takes in a frame; new messages come in their order and once.
    fn hear(&mut self, frame: ServerFrame) {
        match frame.frame {
            Some(Frame::Message(message)) if frame.change > 0 => {
                let last = self.messages.last_key_value().map_or(0, |(sequence, _)| *sequence);
                assert_eq!(message.sequence, last + 1, "of {} the next", self.who.number);
                self.messages.insert(message.sequence, bare(message));
            }
            Some(Frame::Changed(message)) => {
                let before = self.messages.insert(message.sequence, bare(message));
                assert!(before.is_some(), "what changes was told before");
            }
            Some(Frame::Live(live)) => {
                assert!(live.change >= self.change);
                self.change = live.change;
            }
            Some(Frame::Error(error)) => panic!("{error:?}"),
            _ => {}
        }
        self.change = self.change.max(frame.change);
    }

    async fn connect(&mut self, at: Somebody, room: &Room, by_sequence: bool) {
        let last = self.messages.last_key_value().map_or(0, |(sequence, _)| *sequence);
        let (after, since) = if by_sequence { (Some(last), None) } else { (None, Some(self.change)) };
        let mut line = at.try_connect(Open { room: Some(key(room)), after, since, ..Open::default() }).await.unwrap();
        for frame in std::mem::take(&mut line.missed) {
            self.hear(frame);
        }
        self.line = Some(line);
    }

    async fn hear_through(&mut self, change: i64) {
        while self.change < change {
            let frame = self.line.as_mut().unwrap().next().await;
            self.hear(frame);
        }
    }
}

/// Without receipts, which move on their own.
fn bare(message: Message) -> Message {
    Message { receipts: Vec::new(), ..message }
}

async fn everything(who: &Somebody, room: &Room) -> BTreeMap<i64, Message> {
    let (mut all, mut page_token) = (BTreeMap::new(), String::new());
    loop {
        let request = ListMessagesRequest { room_id: room.id.clone(), page_size: 50, page_token, ..Default::default() };
        let page = who.list(request).await.unwrap();
        all.extend(page.messages.into_iter().map(|message| (message.sequence, bare(message))));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// Hundreds of steps of three devices in two replicas. Redis dies after a third of them and comes back after two.
async fn walk(seed: u64, steps: usize) {
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut world = World::with_redis().await;
    let _process = world.process("chat-2").await;
    let people = [world.person(1), world.person(2), world.person(3)];
    let room = people[0].group(&[&people[1], &people[2]]).await;
    let at = |world: &World, who: &Somebody, dice: &mut Dice| match dice.below(2) {
        0 => who.clone(),
        _ => world.at("chat-2", who),
    };
    let mut clients: Vec<_> = people
        .iter()
        .map(|who| Client { who: who.clone(), line: None, change: 0, messages: BTreeMap::new() })
        .collect();
    for step in 0..steps {
        if step == steps / 3 {
            world.redis.as_mut().unwrap().kill().await;
        } else if step == 2 * steps / 3 {
            world.redis.as_mut().unwrap().restart().await;
        }
        world.harness.clock.advance(Duration::from_millis(37));
        let client = &mut clients[dice.below(3)];
        let caller = at(&world, &client.who, &mut dice);
        let own: Vec<_> = everything(&client.who, &room)
            .await
            .into_values()
            .filter(|message| message.sender_number == client.who.number && message.deleted_at.is_none())
            .collect();
        match dice.below(12) {
            0..=3 => match &client.line {
                Some(line) if dice.below(2) == 0 => line.send(&format!("línea {step}"), &format!("{step}")).await,
                _ => drop(caller.send(&room, &format!("rpc {step}")).await),
            },
            4 | 5 if !own.is_empty() => {
                let message = &own[dice.below(own.len())];
                caller.edit(message, &format!("editado {step}")).await.unwrap();
            }
            6 if !own.is_empty() => drop(caller.delete(&own[dice.below(own.len())]).await.unwrap()),
            7 => drop(caller.read_all(&room).await),
            8 => client.line = None,
            9 | 10 => {
                let by_sequence = dice.below(2) == 0;
                client.connect(caller, &room, by_sequence).await;
            }
            _ if client.line.is_some() => {
                let to = client.who.see(&room).await.unwrap().last_change;
                client.hear_through(to).await;
                // Nothing happens meanwhile but what clients said last, so this is often all there is.
                let fresh = everything(&client.who, &room).await;
                if client.who.see(&room).await.unwrap().last_change == to {
                    assert_eq!(client.messages, fresh);
                }
            }
            _ => {}
        }
    }
    for client in &mut clients {
        if client.line.is_none() {
            let caller = at(&world, &client.who, &mut dice);
            client.connect(caller, &room, false).await;
        }
    }
    for client in &mut clients {
        loop {
            let to = client.who.see(&room).await.unwrap().last_change;
            client.hear_through(to).await;
            let fresh = everything(&client.who, &room).await;
            // A connection that was cut may still have had something to say.
            if client.who.see(&room).await.unwrap().last_change == to {
                assert_eq!(client.messages, fresh);
                break;
            }
        }
    }
    let stored = everything(&people[0], &room).await;
    assert!(stored.keys().copied().eq(1..=stored.len() as i64));
    println!("{} messages, {} changes", stored.len(), people[0].see(&room).await.unwrap().last_change);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_is_what_is_stored() {
    for seed in [1, 2026, 0xc0ffee] {
        walk(seed, 240).await;
    }
}
