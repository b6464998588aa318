//! Messages of many rooms in one commit.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, PgConnection};

use super::*;

/// Pairs of people who have nobody in common.
async fn pairs(world: &World, count: i64) -> Vec<(Somebody, Somebody, Room)> {
    join_all((0..count).map(|n| async move {
        let (one, other) = (world.person(100 + 2 * n), world.person(101 + 2 * n));
        let room = one.open_pair(&other).await;
        (one, other, room)
    }))
    .await
}

/// Sends to every room at once while nobody can commit, so that what comes later waits together. Whether each was new.
async fn send_at_once(
    world: &World,
    pairs: &[(Somebody, Somebody, Room)],
    draft: impl Fn(usize) -> Draft,
) -> Vec<Result<bool, Status>> {
    let mut shut = world.harness.service.db.begin().await.unwrap();
    sqlx::query("lock table outbox in access exclusive mode").execute(&mut *shut).await.unwrap();
    let sent: Vec<_> = pairs
        .iter()
        .enumerate()
        .map(|(n, (one, _, room))| {
            let (one, room, draft) = (one.clone(), room.clone(), draft(n));
            tokio::spawn(async move { Ok(one.try_send(&room, draft).await?.created) })
        })
        .collect();
    // On the connection that holds the table: all others may wait for it.
    testkit::eventually("the first ones wait for the table", async || waiting(&mut shut).await > 0).await;
    shut.rollback().await.unwrap();
    join_all(sent).await.into_iter().map(Result::unwrap).collect()
}

async fn waiting(db: &mut PgConnection) -> i64 {
    let count = "select count(*) from pg_locks where not granted and relation = 'outbox'::regclass
                     and database = (select oid from pg_database where datname = current_database())";
    sqlx::query_scalar(count).fetch_one(db).await.unwrap()
}

fn text(text: &str) -> Draft {
    Draft { text: text.into(), ..Draft::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rooms_share_a_commit_and_each_has_its_own_order() {
    let world = World::start().await;
    let pairs = pairs(&world, 40).await;
    world.published().await;
    let mut lines = join_all(pairs.iter().map(|(_, other, room)| other.connect(room))).await;
    let sent = send_at_once(&world, &pairs, |n| Draft {
        waveform: vec![0.25; n % 3],
        client_msg_id: if n % 2 == 0 { format!("m{n}") } else { String::new() },
        ..text(&format!("hola {n}"))
    });
    assert!(sent.await.into_iter().all(|created| created.unwrap()));
    for (n, ((one, _, room), line)) in pairs.iter().zip(&mut lines).enumerate() {
        let heard = line.message().await;
        let wanted = (1, format!("hola {n}"), vec![0.25; n % 3], one.number);
        assert_eq!((heard.sequence, heard.text, heard.waveform, heard.sender_number), wanted);
        assert_eq!(heard.client_msg_id.is_empty(), n % 2 == 1);
        assert_eq!(one.see(room).await.unwrap().last_change, 1);
    }
    let commits: i64 = sqlx::query_scalar("select count(distinct xmin::text) from messages")
        .fetch_one(&world.harness.service.db)
        .await
        .unwrap();
    assert!(commits < 20, "{commits} commits of 40 messages");
    let told: BTreeSet<_> = world.published().await.into_iter().map(|(_, room, _)| room).collect();
    assert_eq!(told.len(), 40, "each room's own event");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_spoils_nothing_else() {
    let world = World::start().await;
    let mut pairs = pairs(&world, 30).await;
    let named = |name: &str| Draft { client_msg_id: name.into(), ..text("antes") };
    assert!(pairs[3].0.try_send(&pairs[3].2, named("uno")).await.unwrap().created);
    let block = BlockUserRequest { user: Some(pairs[5].0.key()) };
    pairs[5].1.rooms().block_user(block).await.unwrap();
    pairs[7].0 = world.person(9_000);
    // Hidden, and shown again by what comes.
    pairs[11].1.leave(&pairs[11].2).await.unwrap();
    // The database itself refuses this one, and with it everything in its transaction.
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$
         begin
             raise exception 'not this one';
         end $$;
         create trigger refuse before insert on messages for each row when (new.text = 'veneno')
             execute function refuse();",
    )
    .execute(&world.harness.service.db)
    .await
    .unwrap();
    world.published().await;

    let sent = send_at_once(&world, &pairs, |n| match n {
        3 => named("uno"),
        9 => Draft { reply_to: 5, ..text("¿a qué?") },
        13 => text("veneno"),
        _ => text("hola"),
    });
    let sent = sent.await;
    for (n, (sent, (one, other, room))) in sent.iter().zip(&pairs).enumerate() {
        let stored: Vec<_> = other.history(room).await.into_iter().map(|message| message.text).collect();
        match (n, sent) {
            (3, Ok(created)) => assert_eq!((created, &stored[..]), (&false, &["antes".to_owned()][..])),
            (5 | 7 | 9 | 13, Err(refusal)) => {
                let code = match n {
                    9 => Code::InvalidArgument,
                    13 => Code::Internal,
                    _ => Code::PermissionDenied,
                };
                assert_eq!((refusal.code(), stored.len()), (code, 0), "{n} {refusal:?}");
            }
            (_, Ok(true)) => assert_eq!(stored, ["hola"], "{n}"),
            _ => panic!("{n}, {} to {}: {sent:?}", one.number, other.number),
        }
    }
    assert_eq!(world.published().await.len(), 25, "an event for each that is new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_somebody_holds_keeps_nobody_else_waiting() {
    let world = World::start().await;
    let pairs = pairs(&world, 12).await;
    let mut held = world.harness.service.db.begin().await.unwrap();
    let hold = format!("select from rooms where id = '{}' for update", pairs[0].2.id);
    sqlx::query(AssertSqlSafe(hold)).execute(&mut *held).await.unwrap();
    let (one, room) = (pairs[0].0.clone(), pairs[0].2.clone());
    let kept = tokio::spawn(async move { one.send(&room, "espero").await });
    for round in 1..=3 {
        let sent = pairs[1..].iter().map(|(one, _, room)| one.send(room, "hola"));
        let sent = tokio::time::timeout(PATIENCE, join_all(sent)).await.expect("nobody waits");
        assert!(sent.iter().all(|message| message.sequence == round));
    }
    assert!(!kept.is_finished());
    held.rollback().await.unwrap();
    assert_eq!(kept.await.unwrap().sequence, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_in_the_middle_leaves_the_room_to_the_next() {
    let world = World::start().await;
    let (ana, ben, room) = world.pair().await;
    let mut shut = world.harness.service.db.begin().await.unwrap();
    sqlx::query("lock table outbox in access exclusive mode").execute(&mut *shut).await.unwrap();
    let (somebody, its) = (ana.clone(), room.clone());
    let given_up = tokio::spawn(async move { somebody.send(&its, "uno").await });
    testkit::eventually("it waits for the table", async || waiting(&mut shut).await > 0).await;
    given_up.abort();
    let (somebody, its) = (ben.clone(), room.clone());
    let next = tokio::spawn(async move { somebody.send(&its, "dos").await });
    shut.rollback().await.unwrap();
    assert_eq!(next.await.unwrap().sequence, 2, "what was given up is stored all the same");
    let stored: Vec<_> = ana.history(&room).await.into_iter().map(|message| message.text).collect();
    assert_eq!(stored, ["uno", "dos"]);
}
