//! Clients that take what they are told slowly, or not at all. Connections are narrow here, so that few frames are more
//! than all buffers on the way hold.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::sockets::Socket;
use crate::talks::{Talk, lives};
use crate::world::World;

/// How long a client may take nothing at all, after which it is told, and waited for a moment.
const STUCK: Duration = Duration::from_secs(30);
/// Longest messages that fill every buffer between the edge and a client that does not read.
const FILL: i64 = 12;

#[tokio::test]
async fn who_takes_nothing_is_sent_away_and_nobody_waits_for_them() {
    let world = World::start().await;
    let (base, _stop) = world.narrow_edge().await;
    let [farm, deal] = world.talks().await;
    tokio::join!(stuck(&base, &farm, 60), stuck(&base, &deal, 150));
}

/// More messages are written than what may wait for one reader, in bytes.
async fn stuck(base: &str, talk: &Talk, messages: i64) {
    let (mut here, mut there) = (talk.enter(base, &talk.one).await, talk.enter(base, &talk.witness).await);
    let text = talk.long_text();
    // What was sent before the silent one came.
    let mut before = 0;
    let (mut silent, began, full) = loop {
        let silent = talk.enter_narrowly(base, &talk.other).await;
        let began = Instant::now();
        for _ in 0..FILL {
            here.say(talk.message(&text)).await;
        }
        for n in 1..=FILL {
            heard_by(talk, [&mut here, &mut there], before + n).await;
        }
        let full = Instant::now();
        // It stands still since some moment between. Where that is not known closely enough, another one comes.
        if full - began < Duration::from_secs(1) {
            break (silent, began, full);
        }
        before += FILL;
        assert!(before < 20 * FILL, "too slow a machine to know since when it stands still");
    };
    for n in FILL + 1..=messages {
        here.say(talk.message(&text)).await;
        heard_by(talk, [&mut here, &mut there], before + n).await;
    }
    assert!(began.elapsed() < STUCK, "nobody waited until the silent one was sent away");

    // After half a minute it is told so, and has two more seconds to hear it.
    tokio::time::sleep_until(full + STUCK + Duration::from_millis(500)).await;
    let (mut heard, mut change) = (0, Value::Null);
    let code = loop {
        match silent.message().await {
            Some(Message::Text(text)) => {
                let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
                if frame["type"] == talk.words.hears {
                    heard += 1;
                    assert_eq!(frame["sequence"], before + heard, "nothing is left out before the end");
                    change = frame["change"].clone();
                }
            }
            Some(Message::Close(Some(close))) => break u16::from(close.code),
            other => panic!("dropped without a word: {other:?}"),
        }
    };
    assert_eq!(code, 1013);
    assert!((1..messages).contains(&heard), "{heard} of {messages}");

    // It comes back for the rest, and hears each message once.
    let path = format!("{}?since={change}", talk.path);
    let mut back = Socket::open(base, &path, &talk.other.token, None).await.expect("it is let in");
    for n in heard + 1..=messages {
        assert_eq!(talk.hears(&mut back).await["sequence"], before + n);
    }
    here.say(talk.message("Buenas")).await;
    for socket in [&mut here, &mut there, &mut back] {
        let told = talk.hears(socket).await;
        assert_eq!((&told["sequence"], &told[talk.words.text]), (&json!(before + messages + 1), &json!("Buenas")));
    }
}

async fn heard_by(talk: &Talk, sockets: [&mut Socket; 2], sequence: i64) {
    for socket in sockets {
        assert_eq!(talk.hears(socket).await["sequence"], sequence, "everybody else hears it, in order");
    }
}

#[tokio::test]
async fn who_reads_slowly_hears_everything_once_and_in_order() {
    let world = World::start().await;
    let (base, _stop) = world.narrow_edge().await;
    let [farm, deal] = world.talks().await;
    tokio::join!(slow(&base, &farm, 60), slow(&base, &deal, 150));
}

/// More messages are written than what may wait for one reader, in bytes; the last but one is changed, the one before it
/// deleted.
async fn slow(base: &str, talk: &Talk, messages: i64) {
    const MORE: i64 = 20;
    let words = &talk.words;
    let mut slow = talk.enter_narrowly(base, &talk.other).await;
    let mut here = talk.enter(base, &talk.one).await;
    let text = talk.long_text();
    let mut ids = Vec::new();
    for n in 1..=messages {
        here.say(talk.message(&text)).await;
        let told = talk.hears(&mut here).await;
        assert_eq!(told["sequence"], n);
        ids.push(told["message_id"].clone());
    }
    let [.., deleted, edited, _] = &ids[..] else { panic!("there are three") };
    here.say(json!({ "type": words.edit, "message_id": edited, words.text: "corregido" })).await;
    here.until("message_edited").await;
    here.say(json!({ "type": words.delete, "message_id": deleted })).await;
    here.until("message_deleted").await;

    // It begins to read, and more is written.
    let writing = async {
        for n in messages + 1..=messages + MORE {
            here.say(talk.message(&text)).await;
            assert_eq!(talk.hears(&mut here).await["sequence"], n);
        }
    };
    let reading = async {
        let mut change = 0;
        for n in 1..=messages + MORE {
            let frame = loop {
                let frame = slow.next().await;
                let kind = frame["type"].as_str().unwrap_or_default();
                // They were changed before they could be told, so they are read from the database as they are now.
                assert!(!["message_edited", "message_deleted"].contains(&kind), "{frame}");
                if kind == words.hears {
                    break frame;
                }
            };
            tokio::time::sleep(Duration::from_millis(3)).await;
            assert_eq!(frame["sequence"], n, "each once, in order");
            assert!(frame["change"].as_i64() > Some(change), "one may continue from each");
            change = frame["change"].as_i64().unwrap_or_default();
            let said = frame[words.text].as_str().unwrap_or_default();
            match n {
                _ if n == messages - 2 => {
                    let gone = frame["deleted"] == true || frame["deleted_at"].is_string();
                    assert!(gone && said.is_empty(), "{frame}");
                }
                _ if n == messages - 1 => assert_eq!(said, "corregido"),
                _ => assert_eq!(said, text),
            }
        }
    };
    tokio::join!(writing, reading);
    // It has caught up, and hears what happens.
    here.say(talk.message("Buenas")).await;
    let told = talk.hears(&mut slow).await;
    assert_eq!((&told["sequence"], &told[words.text]), (&json!(messages + MORE + 1), &json!("Buenas")));
    lives(&mut slow).await;
}
