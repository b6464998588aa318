//! Many objects, drawn by dice.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::objects::{
    account, ad, at, comment, community, follow, lines, message, post, profile, reaction, receipt, room, user,
};
use super::people::counts;
use super::receipt_of;
use super::world::World;
use crate::platform::plaza;

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as i64
    }
}

/// What a message's receipt says: delivered and read.
type Seen = (Option<i64>, Option<i64>);

/// A message's number, its sender, and its receipts by person.
type Sent = (i64, i64, BTreeMap<i64, Seen>);

#[tokio::test]
async fn ten_thousand_objects_come_out_as_they_were_although_the_first_try_is_killed() {
    let world = World::start("import-many");
    let mut people = Vec::new();
    for n in 0..5 {
        people.push(world.person("Persona", &format!("5057100000{n}")).await);
    }
    let numbers: Vec<_> = people.iter().map(|person| person.number).chain([7_001, 7_002]).collect();
    let mut dice = Dice(7);
    let mut dump: Vec<_> = people.iter().map(user).collect();
    for n in 8_000..8_060 {
        dump.push(account(n, &format!("50580000{n}"), json!({ "role": "Specialist" })));
        dump.push(profile("specialist", n, json!({ "profession": "Veterinario" })));
        dump.push(ad(n, n, json!({})));
        dump.push(follow(n, n, numbers[0]));
    }

    // Rooms by what they become: number, people, pair.
    let mut rooms = Vec::new();
    for n in 0..60 {
        let mut inside: BTreeSet<_> = (0..2 + dice.below(3)).map(|_| numbers[dice.below(7) as usize]).collect();
        inside.insert(numbers[(n % 5) as usize]);
        let (pk, private) = (1_000 + n, inside.len() == 2);
        let inside: Vec<_> = inside.into_iter().collect();
        dump.push(room(pk, private, &inside, n));
        rooms.push((pk, inside, private));
    }
    let mut pairs: BTreeMap<Vec<i64>, i64> = BTreeMap::new();
    let becomes: BTreeMap<i64, i64> = rooms
        .iter()
        .map(|(pk, inside, private)| (*pk, if *private { *pairs.entry(inside.clone()).or_insert(*pk) } else { *pk }))
        .collect();

    // By the room they come to, in the order of time: number, sender, receipts.
    let mut history: BTreeMap<i64, Vec<Sent>> = BTreeMap::new();
    let mut receipts = 0;
    for n in 0..2_500 {
        let (pk, inside, _) = &rooms[dice.below(60) as usize];
        let sender = inside[dice.below(inside.len() as i64) as usize];
        // Some at once.
        let second = 1_000 + n - n % 3;
        dump.push(message(10_000 + n, *pk, sender, &format!("Mensaje {n}"), None, second));
        let mut seen = BTreeMap::new();
        for who in inside.iter().filter(|who| **who != sender) {
            let delivered = (dice.below(10) > 0).then(|| second + dice.below(50));
            let read = delivered.filter(|_| dice.below(5) > 0).map(|at| at + dice.below(50));
            receipts += 1;
            dump.push(receipt(receipts, 10_000 + n, *who, delivered, read));
            seen.insert(*who, (delivered, read));
        }
        history.entry(becomes[pk]).or_default().push((10_000 + n, sender, seen));
    }

    let slugs = ["general", "consumidores", "veterinarios", "agronomos", "cafe", "leche"];
    for (n, slug) in slugs.iter().enumerate() {
        let members: BTreeSet<_> = (0..4).map(|_| numbers[dice.below(7) as usize]).collect();
        dump.push(community(20 + n as i64, slug, None, &members.into_iter().collect::<Vec<_>>()));
    }
    for n in 0..300 {
        let community = Some(20 + dice.below(7)).filter(|community| *community < 26);
        dump.push(post(100 + n, numbers[dice.below(7) as usize], community, None, n));
    }
    let mut parents: BTreeMap<i64, (i64, Option<i64>)> = BTreeMap::new();
    for n in 0..2_000 {
        let post = 100 + dice.below(300);
        let parent = (dice.below(3) > 0).then(|| 5_000 + dice.below(2_000));
        let parent = if n % 500 == 9 { Some(5_000 + n) } else { parent };
        // Mostly on the same post, before or after it, and sometimes itself.
        let post = parent.and_then(|parent| parents.get(&parent)).map_or(post, |(other, _)| *other);
        dump.push(comment(5_000 + n, numbers[dice.below(7) as usize], post, parent, 400 + n));
        parents.insert(5_000 + n, (post, parent));
    }
    for n in 0..2_500 {
        let (word, thing) =
            if dice.below(2) == 0 { ("post", 100 + dice.below(310)) } else { ("comment", 5_000 + dice.below(900)) };
        let kind = ["heart", "like", "dislike"][dice.below(3) as usize];
        dump.push(reaction(1 + n, numbers[dice.below(7) as usize], kind, json!(["foro", word]), thing, 3_000 + n));
    }
    assert!(dump.len() > 10_000, "{}", dump.len());

    // Killed while it waits for the rest.
    let empty = world.state().await;
    let mut child = plaza(&["import", "agrovet", "-", "--data-dir", world.platform.text("data_dir")])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines(&dump[..9_000]).as_bytes()).unwrap();
    input.flush().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    assert_eq!(world.state().await, empty);

    let (code, said) = world.import(&world.dump("many.jsonl", &lines(&dump)), &[]);
    assert_eq!(code, Some(0), "{said}");
    for kind in ["accounts", "people", "profiles", "ads", "follows"] {
        assert_eq!(counts(&said, kind)[0], 60, "{kind}: {said}");
    }
    world.is_consistent().await;
    world.settled().await;
    let imported = world.state().await;
    let (code, said) = world.import(&world.dump("many.json", &Value::from(dump).to_string()), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.state().await, imported);

    // Every message of everybody's rooms, with its receipts.
    let mut compared = 0;
    for (room, expected) in &history {
        let inside = &rooms.iter().find(|(pk, ..)| pk == room).unwrap().1;
        let private = inside.len() == 2;
        let viewer = people.iter().find(|person| inside.contains(&person.number)).unwrap();
        let mut told = Vec::new();
        for page in 1.. {
            let path = format!("/api/chat/messages/?room={room}&page_size=100&page={page}");
            let answer = world.read(&path, &viewer.token).await;
            told.extend(answer["results"].as_array().unwrap().clone());
            if answer["next"].is_null() {
                break;
            }
        }
        let shown: Vec<_> =
            told.iter().map(|one| (one["id"].as_i64().unwrap(), one["sender"]["id"].as_i64().unwrap())).collect();
        assert_eq!(shown, expected.iter().map(|(pk, sender, _)| (*pk, *sender)).collect::<Vec<_>>(), "room {room}");
        for who in inside.iter().filter(|who| private || **who < 7_000) {
            // What was delivered before something that was not says so of that too; see the import's notes.
            let mut later: Option<i64> = None;
            for ((_, sender, seen), message) in expected.iter().zip(&told).rev() {
                if sender == who {
                    continue;
                }
                let Some((delivered, read)) = seen.get(who) else { continue };
                later = delivered.or(later);
                assert_eq!(receipt_of(message, *who), (later.map(at), read.map(at)), "{who}: {message}");
                compared += 1;
            }
        }
        let unread = expected.iter().filter(|(.., seen)| seen.get(&viewer.number).is_some_and(|seen| seen.1.is_none()));
        let answer = world.read(&format!("/api/chat/rooms/{room}/"), &viewer.token).await;
        assert_eq!(answer["unread_count"], unread.count(), "room {room}");
    }
    assert!(compared > 2_000, "{compared}");

    // Every comment that can hang where it hung does.
    let mut forum = world.database("forum").await;
    let stored: Vec<(i64, i64, Option<i64>)> =
        sqlx::query_as("select id, post_id, parent_id from comments order by id").fetch_all(&mut forum).await.unwrap();
    assert_eq!(stored.len(), 2_000);
    let circular = |from: i64| {
        let mut seen = BTreeSet::new();
        let mut at = Some(from);
        while let Some(here) = at {
            if !seen.insert(here) {
                return here == from;
            }
            at = parents.get(&here).and_then(|(post, parent)| parent.filter(|up| parents[up].0 == *post));
        }
        false
    };
    let mut freed = 0;
    for (id, post, parent) in stored {
        let (old_post, old_parent) = parents[&id];
        assert_eq!(post, old_post);
        let fits = old_parent.filter(|up| parents[up].0 == post);
        if parent != fits {
            assert!(parent.is_none() && circular(id), "{id} hangs below {parent:?} and not {fits:?}");
            freed += 1;
        }
    }
    assert!(freed > 0, "there were circles");
}
