use proptest::prelude::*;
use prost_types::Timestamp;
use proto::chat::v1::{Live, Member, Online, Presence};
use serde_json::json;

use super::*;

fn read(frame: Value) -> Result<Incoming, Senseless> {
    Incoming::read(&frame.to_string())
}

fn what(frame: Value) -> What {
    read(frame).unwrap().what
}

fn draft(text: &str) -> Draft {
    Draft { text: text.to_owned(), ..Draft::default() }
}

#[test]
fn messages_are_understood_as_every_client_writes_them() {
    for frame in [
        json!({"type": "chat_message", "text": "Hola"}),
        json!({"type": "chat_message", "text": "", "content": "Hola"}),
        json!({"type": "chat_message", "text": null, "content": "Hola", "media_id": null, "client_msg_id": null}),
        json!({"content": "Hola"}),
        json!({"message": "Hola"}),
        json!({"message": {"content": "Hola"}}),
        json!({"type": null, "text": "Hola"}),
    ] {
        assert_eq!(what(frame), What::Message(draft("Hola")));
    }
    let whole = json!({
        "type": "chat_message", "text": " Hola ", "room_id": "14", "media_id": "55", "client_msg_id": 7,
        "reply_to": 3, "media_spectrum": [0.5, 2, -1],
    });
    let draft = Draft {
        media_number: 55,
        client_msg_id: "json:7".to_owned(),
        reply_to: 3,
        waveform: vec![0.5, 1.0, 0.0],
        ..draft(" Hola ")
    };
    assert_eq!(read(whole), Ok(Incoming { room: Some(14), what: What::Message(draft) }));
}

#[test]
fn other_frames_are_understood() {
    let frame = json!({"type": "mark_read", "room_id": 14, "message_ids": [1, "2"]});
    assert_eq!(read(frame), Ok(Incoming { room: Some(14), what: What::MarkRead(vec![1, 2]) }));
    assert_eq!(what(json!({"type": "mark_read", "message_ids": null})), What::MarkRead(vec![]));
    assert_eq!(what(json!({"type": "typing"})), What::Typing(true));
    assert_eq!(what(json!({"type": "typing", "is_typing": false})), What::Typing(false));
    let edit = json!({"type": "edit_message", "message_id": 9, "content": "Otra"});
    assert_eq!(what(edit), What::Edit(9, "Otra".to_owned()));
    assert_eq!(what(json!({"type": "delete_message", "message_id": 9})), What::Delete(9));
    assert_eq!(what(json!({"type": "ping"})), What::Ping);
    assert_eq!(what(json!({"type": "get_online_users"})), What::OnlineUsers);
    for unknown in [json!({"type": "preview"}), json!({"type": 7, "text": "Hola"}), json!({})] {
        assert_eq!(what(unknown), What::Unknown);
    }
}

#[test]
fn frames_without_sense_are_told_apart_from_unknown_ones() {
    for frame in [
        json!([]),
        json!("Hola"),
        json!({"type": "chat_message", "text": 1.5e300, "media_id": "x"}),
        json!({"type": "chat_message", "text": ["Hola"]}),
        json!({"type": "chat_message", "text": "a\u{0}b"}),
        json!({"type": "mark_read", "message_ids": "x"}),
        json!({"type": "edit_message"}),
    ] {
        assert_eq!(read(frame), Err(Senseless(None)));
    }
    let frame = json!({"type": "chat_message", "text": [], "client_msg_id": "a"});
    assert_eq!(read(frame), Err(Senseless(Some(json!("a")))));
    assert_eq!(Incoming::read(""), Err(Senseless(None)));
}

fn shown(frame: ServerFrame) -> Vec<Value> {
    Outgoing::of(frame).into_iter().map(|out| serde_json::from_str(&Out::from(out).text).unwrap()).collect()
}

fn of(frame: Heard) -> Value {
    shown(ServerFrame { room_number: 14, frame: Some(frame), ..ServerFrame::default() }).pop().unwrap()
}

const AT: Option<Timestamp> = Some(Timestamp { seconds: 1_763_836_440, nanos: 123_456_000 });

fn stored() -> v1::Message {
    v1::Message {
        number: 812,
        room_number: 14,
        sequence: 3,
        change: 5,
        sender_number: 7,
        text: "Hola".to_owned(),
        client_msg_id: "c1".to_owned(),
        created_at: AT,
        receipts: vec![v1::Receipt { user_number: 9, delivered_at: AT, ..Default::default() }],
        ..Default::default()
    }
}

#[test]
fn a_message_has_all_the_names_it_ever_had() {
    let beside = Beside { username: Some("Ana".to_owned()), ..Beside::default() };
    let out = Out::from(Outgoing::Message(Box::new(ChatMessage::of(stored(), beside))));
    assert_eq!(
        serde_json::from_str::<Value>(&out.text).unwrap(),
        json!({
            "type": "chat_message", "message_id": 812, "id": 812, "sender_id": 7, "username": "Ana",
            "text": "Hola", "content": "Hola", "message": "Hola", "room_id": "14", "room": "14",
            "media_id": null, "media_url": null, "media_spectrum": null, "client_msg_id": "c1",
            "timestamp": "2025-11-22T18:34:00.123456+00:00", "sequence": 3, "change": 5, "reply_to": null,
            "edited_at": null, "deleted_at": null,
            "receipts": [{
                "user_id": 9, "delivered": true, "delivered_at": "2025-11-22T18:34:00.123456+00:00",
                "read": false, "read_at": null,
            }],
        })
    );
    assert_eq!(out.kind, "chat_message");
}

#[test]
fn changes_and_receipts_are_told() {
    let edited = v1::Message { edited_at: AT, ..stored() };
    assert_eq!(
        of(Heard::Changed(edited)),
        json!({
            "type": "message_edited", "message_id": 812, "room_id": "14", "text": "Hola", "content": "Hola",
            "edited_at": "2025-11-22T18:34:00.123456+00:00", "censored": false, "sequence": 3, "change": 5,
        })
    );
    let deleted = v1::Message { deleted_at: AT, ..stored() };
    let at = "2025-11-22T18:34:00.123456+00:00";
    assert_eq!(
        of(Heard::Changed(deleted)),
        json!({
            "type": "message_deleted", "message_id": 812, "room_id": "14", "deleted_at": at, "sequence": 3,
            "change": 5,
        })
    );
    let news = |read| ReceiptNews { user_number: 9, read, numbers: vec![812, 813], at: AT, ..Default::default() };
    let frame =
        |read| ServerFrame { room_number: 14, frame: Some(Heard::Receipt(news(read))), ..ServerFrame::default() };
    assert_eq!(
        shown(frame(true)),
        [json!({"type": "messages_read", "message_ids": [812, 813], "user_id": 9, "room_id": "14", "read_at": at})]
    );
    let delivered =
        |id| json!({"type": "message_delivered", "message_id": id, "user_id": 9, "room_id": "14", "delivered_at": at});
    assert_eq!(shown(frame(false)), [delivered(812), delivered(813)]);
}

#[test]
fn the_rest_is_told_too() {
    let presence = |online| Presence { user_number: 9, online, last_seen_at: None, ..Presence::default() };
    for (frame, expected) in [
        (Heard::Presence(presence(true)), json!({"type": "presence.online", "user_id": 9})),
        (Heard::Presence(presence(false)), json!({"type": "presence.offline", "user_id": 9, "last_seen": null})),
        (Heard::Online(Online { people: vec![presence(true)] }), json!({"type": "online_users_list", "users": [9]})),
        (
            Heard::Typing(TypingNews { active: true, user_number: 9, ..Default::default() }),
            json!({"type": "typing", "user_id": 9, "room_id": "14", "is_typing": true}),
        ),
        (Heard::Live(Live { change: 5 }), json!({"type": "live", "room_id": "14", "change": 5})),
        (Heard::Removed(v1::Removed {}), json!({"type": "removed_from_room", "room_id": "14"})),
        (
            Heard::Warning(v1::Warning {
                message_number: 5,
                reasons: vec!["PHONE".to_owned()],
                infractions: 1,
                limit: 3,
                ..Default::default()
            }),
            json!({
                "type": "moderation_warning", "message_id": 5, "room_id": "14", "reasons": ["PHONE"],
                "infractions": 1, "limit": 3, "restricted_until": null,
            }),
        ),
        (
            Heard::Room(v1::Room {
                number: 14,
                name: "Toros".to_owned(),
                members: vec![Member { user_number: 7, admin: true, ..Member::default() }],
                ..Default::default()
            }),
            json!({
                "type": "room_changed", "room_id": "14", "name": "Toros", "participants_ids": [7],
                "admins_ids": [7],
            }),
        ),
        (
            Heard::Error(FrameError {
                reason: "RATE_LIMITED".to_owned(),
                client_msg_id: "json:7".to_owned(),
                retry_after_ms: 900,
                ..Default::default()
            }),
            json!({
                "type": "error", "code": "rate_limited", "message": "", "client_msg_id": 7, "retry_after_ms": 900,
            }),
        ),
        (
            Heard::Error(FrameError { reason: "NOT_A_MEMBER".to_owned(), ..Default::default() }),
            json!({"type": "error", "code": "not_participant", "message": "", "client_msg_id": null}),
        ),
    ] {
        assert_eq!(of(frame), expected);
    }
    let inbox = ServerFrame { frame: Some(Heard::Live(Live { change: 0 })), ..ServerFrame::default() };
    assert_eq!(shown(inbox), [json!({"type": "live", "change": 0})], "of no room");
}

#[test]
fn loudness_is_found_wherever_a_client_put_it() {
    for described in [
        r#"[0.1, 1]"#,
        r#"{"spectrum": [0.1, 1]}"#,
        r#"{"n": 3, "bins": [0.1, 1], "other": [7]}"#,
        r#"{"peaks": [0.1, 1]}"#,
    ] {
        assert_eq!(spectrum(&[], Some(described)), Some(vec![0.1, 1.0]), "{described}");
    }
    assert_eq!(spectrum(&[0.1], Some("[7]")), Some(vec![0.1]));
    for none in ["0", "[\"x\"]", "{}", "toro"] {
        assert_eq!(spectrum(&[], Some(none)), None, "{none}");
    }
    assert_eq!(waveform(&json!("[0.5]")), [0.5]);
    assert_eq!(waveform(&json!(["x"])), [] as [f32; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text: String, kind in "chat_message|mark_read|typing|edit_message") {
        let _ = Incoming::read(&text);
        let frame = json!({"type": kind, "text": text, "message_ids": text, "message_id": text, "is_typing": text});
        let _ = Incoming::read(&frame.to_string());
    }
}
