//! What clients send that nobody should: answered or closed as promised, and nobody else notices.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::sockets::Socket;
use crate::talks::{Talk, lives};
use crate::world::World;

/// No test waits longer for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long somebody stays whose last socket has gone.
const GRACE: Duration = Duration::from_secs(5);

/// The types, and codes if they are errors, of what a socket hears until the answer to a ping.
async fn answers(socket: &mut Socket) -> Vec<String> {
    socket.say(json!({ "type": "ping" })).await;
    let mut answers = Vec::new();
    loop {
        let frame = socket.next().await;
        match frame["type"].as_str() {
            Some("pong") => return answers,
            Some("error") => answers.push(frame["code"].as_str().expect("errors have codes").to_owned()),
            kind => answers.push(kind.expect("frames have types").to_owned()),
        }
    }
}

#[tokio::test]
async fn frames_without_sense_are_answered_and_close_nothing() {
    let world = World::start().await;
    for talk in &world.talks().await {
        let words = &talk.words;
        let mut socket = talk.enter(&world.base, &talk.one).await;
        let deep = "[".repeat(10_000);
        let no_objects = [
            "",
            " ",
            "{",
            "[]",
            "7",
            "-0",
            "\"ping\"",
            "null",
            "true",
            "NaN",
            "{}{}",
            "{} {\"type\":\"ping\"}",
            "\u{feff}{}",
            "{'type':'ping'}",
            "{\"type\":\"ping\",}",
            "{\"type\":\"ping\"",
            "{\"type\":\"\\ud800\"}",
            "{\"type\":\"\u{1}\"}",
            "{\"n\":1e999}",
            deep.as_str(),
        ];
        for text in no_objects {
            socket.send(Message::text(text)).await;
            assert_eq!(answers(&mut socket).await, [words.senseless], "{}: {text:.80}", talk.path);
        }
        for bytes in [0, 1, 100 << 10] {
            socket.send(Message::binary(vec![b'{'; bytes])).await;
            assert_eq!(answers(&mut socket).await, [words.senseless], "{}: {bytes} bytes", talk.path);
        }
        let (code, most) = words.too_large;
        for bytes in [most + 1, 200 << 10, 256 << 10] {
            socket.send(Message::text("x".repeat(bytes))).await;
            assert_eq!(answers(&mut socket).await, [code], "{}: {bytes} bytes", talk.path);
        }
        // What may be meant for somebody else is left out in silence.
        for unknown in [
            json!({}),
            json!({ "type": null }),
            json!({ "type": 7 }),
            json!({ "type": ["ping"] }),
            json!({ "type": { "type": "ping" } }),
            json!({ "type": "PING" }),
            json!({ "type": "x".repeat(10_000) }),
        ] {
            socket.say(unknown.clone()).await;
            assert!(answers(&mut socket).await.is_empty(), "{}: {unknown:.80}", talk.path);
        }
    }
}

#[tokio::test]
async fn frames_with_wrong_fields_are_answered_and_close_nothing() {
    let world = World::start().await;
    let mut wrong = Vec::new();
    for talk in &world.talks().await {
        let words = &talk.words;
        let mut socket = talk.enter(&world.base, &talk.one).await;
        for frame in [
            json!({ "type": words.says, words.text: { "a": [] } }),
            json!({ "type": words.says, words.text: "a", "reply_to": "x" }),
            json!({ "type": words.says, words.text: "a", "reply_to": 1.5 }),
            json!({ "type": words.says, words.text: "a", "client_msg_id": "x".repeat(201) }),
            json!({ "type": words.edit, words.text: "a" }),
            json!({ "type": words.edit, "message_id": {}, words.text: "a" }),
            json!({ "type": words.delete, "message_id": "x" }),
            json!({ "type": "typing", "is_typing": "quizás" }),
        ] {
            socket.say(frame.clone()).await;
            let heard = answers(&mut socket).await;
            if heard != [words.senseless] {
                wrong.push(format!("{}: {frame} {heard:?}", talk.path));
            }
        }
        // These are refused further behind or taken, each once.
        for frame in [
            json!({ "type": words.says, words.text: "a\u{0}b" }),
            json!({ "type": words.says, words.text: "\u{0}" }),
            json!({ "type": words.says, words.text: "a", "client_msg_id": "\u{0}" }),
            json!({ "type": words.says, words.text: "a", "reply_to": i64::MAX }),
            json!({ "type": words.says, words.text: "a", "reply_to": -1 }),
            json!({ "type": words.says, words.text: "\u{202e}\u{200b}\u{e0001}", "client_msg_id": { "a": 1 } }),
            json!({ "type": words.says, words.text: "\n" }),
        ] {
            socket.say(frame.clone()).await;
            let answer = loop {
                let heard = socket.next().await;
                if heard["type"] == "error" || heard["type"] == words.hears {
                    break heard;
                }
            };
            if answer["code"].as_str().is_some_and(|code| code.eq_ignore_ascii_case("internal")) {
                wrong.push(format!("{}: {frame} {answer}", talk.path));
            }
        }
        lives(&mut socket).await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn ten_thousand_frames_at_once_are_answered_one_by_one() {
    let world = World::start().await;
    for talk in &world.talks().await {
        let words = &talk.words;
        let socket = talk.enter(&world.base, &talk.one).await;
        let mut other = talk.enter(&world.base, &talk.other).await;
        let (mut say, mut hear) = socket.into_inner().split();
        let frames = ["{\"type\":\"ping\"}", "{}", "[]", "{\"type\":\"typing\",\"is_typing\":true}"];
        const ROUNDS: usize = 2_500;
        let saying = async {
            for frame in std::iter::repeat_n(frames, ROUNDS).flatten() {
                say.feed(Message::text(frame)).await.expect("the socket is open");
            }
            // Also messages, more than may be unconfirmed.
            for n in 1..=100 {
                let frame = json!({ "type": words.says, words.text: "m", "client_msg_id": n });
                say.feed(Message::text(frame.to_string())).await.expect("the socket is open");
            }
            say.flush().await.expect("the socket is open");
        };
        let hearing = async {
            let (mut pongs, mut errors) = (0, 0);
            for n in 1..=100 {
                loop {
                    let text = match timeout(PATIENCE, hear.next()).await.expect("something comes") {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Ping(_))) => continue,
                        other => panic!("not a frame: {other:?}"),
                    };
                    let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
                    match frame["type"].as_str().expect("frames have types") {
                        "pong" => pongs += 1,
                        "error" => {
                            errors += 1;
                            assert_eq!(frame["code"], words.senseless, "{frame}");
                        }
                        kind if kind == words.hears => {
                            assert_eq!((&frame["client_msg_id"], &frame["sequence"]), (&json!(n), &json!(n)));
                            break;
                        }
                        _ => {}
                    }
                }
            }
            assert_eq!((pongs, errors), (ROUNDS, ROUNDS));
        };
        tokio::join!(saying, hearing);
        for n in 1..=100 {
            assert_eq!(talk.hears(&mut other).await["sequence"], n);
        }
    }
}

#[tokio::test]
async fn every_ping_is_answered_and_who_does_not_take_the_answers_is_not_heard() {
    let world = World::start().await;
    let (base, _stop) = world.narrow_edge().await;
    for talk in &world.talks().await {
        let socket = talk.enter_narrowly(&base, &talk.one).await;
        let (mut say, mut hear) = socket.into_inner().split();
        // Five megabytes with the largest payload, and as much in answers.
        const PINGS: u32 = 40_000;
        let (said, mut progress) = tokio::sync::watch::channel(0);
        let saying = async {
            for n in 0..PINGS {
                let mut payload = [0; 125];
                payload[..4].copy_from_slice(&n.to_be_bytes());
                say.send(Message::Ping(Bytes::copy_from_slice(&payload))).await.expect("the socket is open");
                said.send_replace(n);
            }
        };
        let hearing = async {
            // Nothing is taken until the other end takes nothing either.
            while let Ok(Ok(())) = timeout(Duration::from_secs(1), progress.changed()).await {}
            let mut answered = 0;
            while answered < PINGS {
                let next = timeout(PATIENCE, hear.next()).await.expect("something comes");
                match next {
                    Some(Ok(Message::Pong(payload))) => {
                        assert_eq!(payload[..4], answered.to_be_bytes(), "each is answered, in order");
                        answered += 1;
                    }
                    Some(Ok(Message::Text(_) | Message::Ping(_))) => {}
                    other => panic!("not an answer: {other:?}"),
                }
            }
        };
        tokio::join!(saying, hearing);
        // Not even the other screen of the same person has noticed.
        let mut here = talk.enter(&base, &talk.one).await;
        here.say(talk.message("Buenas")).await;
        assert_eq!(talk.hears(&mut here).await[talk.words.text], "Buenas");
    }
}

/// A frame as it goes over the wire, masked by zeros.
fn raw(first: u8, length: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | length][..], &[0; 4], payload].concat()
}

#[tokio::test]
async fn bytes_that_are_no_frames_close_the_socket_and_it_alone() {
    const TEXT: u8 = 0x81;
    let world = World::start().await;
    for talk in &world.talks().await {
        let (mut stays, mut other) =
            (talk.enter(&world.base, &talk.one).await, talk.enter(&world.base, &talk.other).await);
        let large = |first: u8, length: u64| [&[first, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
        for (what, bytes) in [
            ("no UTF-8", raw(TEXT, 2, &[0xc3, 0x28])),
            ("not masked", [&[TEXT, 2][..], b"{}"].concat()),
            ("a reserved bit", raw(TEXT | 0x40, 2, b"{}")),
            ("a reserved kind", raw(0x83, 2, b"{}")),
            ("a reserved control frame", raw(0x8b, 0, b"")),
            ("a ping in parts", raw(0x09, 1, b"x")),
            ("a long ping", [&[0x89, 0xfe, 0, 126][..], &[0; 4], &[b'x'; 126]].concat()),
            ("the continuation of nothing", raw(0x80, 2, b"{}")),
            ("a beginning in the middle", [raw(0x01, 1, b"{"), raw(TEXT, 2, b"{}")].concat()),
            ("a size beyond everything", large(TEXT, u64::MAX >> 1)),
            ("a size that is no size", large(TEXT, u64::MAX)),
            ("HTTP", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ] {
            let mut wire = talk.enter(&world.base, &talk.one).await.into_inner();
            wire.get_mut().write_all(&bytes).await.expect("the connection is open");
            let code = loop {
                match timeout(PATIENCE, wire.next()).await.expect("something comes") {
                    Some(Ok(Message::Close(Some(close)))) => break u16::from(close.code),
                    Some(Ok(_)) => {}
                    end => panic!("{what}: dropped without a word: {end:?}"),
                }
            };
            let expected = match what {
                "no UTF-8" => 1007,
                "a size beyond everything" | "a size that is no size" => 1009,
                _ => 1002,
            };
            assert_eq!(code, expected, "{what}");
        }

        // In parts, each small enough: it is their sum that counts.
        let mut parts = talk.enter(&world.base, &talk.one).await;
        for n in 0..5 {
            let kind = OpCode::Data(if n == 0 { Data::Text } else { Data::Continue });
            parts.send(Message::Frame(Frame::message(vec![b'x'; 64 << 10], kind, n == 4))).await;
        }
        assert_eq!(parts.closed().await, 1009);
        // What is whole in the end is understood, whatever came in between.
        let mut parts = talk.enter(&world.base, &talk.one).await.into_inner();
        let whole = [raw(0x01, 9, b"{\"type\":\""), raw(0x89, 1, b"x"), raw(0x00, 0, b""), raw(0x80, 6, b"ping\"}")];
        parts.get_mut().write_all(&whole.concat()).await.expect("the connection is open");
        let (mut below, mut above) = (false, false);
        while !(below && above) {
            match timeout(PATIENCE, parts.next()).await.expect("something comes") {
                Some(Ok(Message::Pong(payload))) => below = payload.as_ref() == b"x",
                Some(Ok(Message::Text(text))) => above |= text.as_str() == "{\"type\":\"pong\"}",
                other => panic!("not an answer: {other:?}"),
            }
        }

        stays.say(talk.message("Buenas")).await;
        for socket in [&mut stays, &mut other] {
            assert_eq!(talk.hears(socket).await[talk.words.text], "Buenas");
        }
    }
}

#[tokio::test]
async fn who_vanishes_without_a_word_is_away_after_the_grace_and_not_before() {
    let world = World::start().await;
    let [farm, deal] = world.talks().await;
    // Of each: who looks on, who vanishes, and what is said of the latter.
    let ways = [(&farm, "/ws/presence/", "presence.offline"), (&deal, &deal.path[..], "user_disconnected")];
    let vanish = ways.into_iter().map(async |(talk, path, word): (&Talk, _, _)| {
        let mut here = world.socket(path, &talk.one.token).await;
        lives(&mut here).await;
        let mut there = Vec::new();
        for _ in 0..4 {
            let mut socket = world.socket(path, &talk.other.token).await;
            lives(&mut socket).await;
            there.push(socket.into_inner());
        }
        let began = Instant::now();
        for (n, mut socket) in there.into_iter().enumerate() {
            let connection = socket.get_mut();
            // Half of a frame is on its way.
            if n % 2 == 1 {
                connection.write_all(&raw(0x81, 100, b"{\"type\":")).await.expect("the connection is open");
            }
            // Some end by a reset, as when a device is switched off; others as when a program ends.
            if n < 2 {
                connection.set_zero_linger().expect("a connection");
            }
            drop(socket);
        }
        // Whoever comes back in between has not been away.
        let mut back = world.socket(path, &talk.other.token).await;
        lives(&mut back).await;
        lives(&mut here).await;
        drop(back);
        let away = here.until(word).await;
        assert_eq!(away["user_id"], talk.other.id);
        assert!(began.elapsed() >= GRACE, "they might have come back");
        // Once, though there were several.
        let mut back = world.socket(path, &talk.other.token).await;
        lives(&mut back).await;
        let next = loop {
            let frame = here.next().await;
            if frame["user_id"] == talk.other.id {
                break frame;
            }
        };
        assert_ne!(next["type"], word, "{next}");
    });
    futures_util::future::join_all(vanish).await;
}
