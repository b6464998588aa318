//! Objects as Django's `dumpdata` writes them.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use serde_json::{Value, json};

use super::world::Person;

/// A moment of the past, some seconds after another one.
pub(super) fn at(second: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, 3, 1, 12, 0, 0).unwrap() + TimeDelta::seconds(second)
}

pub(super) fn time(second: i64) -> Value {
    json!(at(second).to_rfc3339())
}

pub(super) fn object(model: &str, pk: i64, fields: Value) -> Value {
    json!({ "model": model, "pk": pk, "fields": fields })
}

pub(super) fn user(person: &Person) -> Value {
    object("auth_app.user", person.number, json!({ "phone_number": format!("+{}", person.phone), "full_name": "x" }))
}

pub(super) fn room(pk: i64, private: bool, people: &[i64], second: i64) -> Value {
    let fields = json!({
        "name": format!("Sala {pk}"), "participants": people, "is_private": private, "created_at": time(second),
        "last_activity": null,
    });
    object("chat.chatroom", pk, fields)
}

pub(super) fn message(pk: i64, room: i64, sender: i64, text: &str, media: Option<i64>, second: i64) -> Value {
    let fields = json!({
        "room": room, "sender": sender, "content": text, "media": media, "timestamp": time(second), "sent": true,
        "delivered": false, "delivered_at": null, "read": false, "read_at": null, "seen": false,
    });
    object("chat.chatmessage", pk, fields)
}

pub(super) fn receipt(pk: i64, message: i64, user: i64, delivered: Option<i64>, read: Option<i64>) -> Value {
    let fields = json!({
        "message": message, "user": user, "delivered": delivered.is_some(), "delivered_at": delivered.map(time),
        "read": read.is_some(), "read_at": read.map(time),
    });
    object("chat.chatmessagereceipt", pk, fields)
}

pub(super) fn community(pk: i64, slug: &str, creator: Option<i64>, members: &[i64]) -> Value {
    let fields = json!({
        "name": format!("Comunidad {slug}"), "slug": slug, "short_description": "s", "description": "d",
        "created_by": creator, "members": members, "members_count": 77, "cover_image": "https://cdn.example/c.jpg",
        "avatar": null, "created_at": time(0),
    });
    object("foro.community", pk, fields)
}

pub(super) fn post(pk: i64, author: i64, community: Option<i64>, media: Option<i64>, second: i64) -> Value {
    let fields = json!({
        "author": author, "title": format!("Post {pk}"), "content": "Texto", "media": media, "community": community,
        "created_at": time(second), "updated_at": time(second), "views_count": 3, "relevance_score": 0.0,
    });
    object("foro.post", pk, fields)
}

pub(super) fn comment(pk: i64, user: i64, post: i64, parent: Option<i64>, second: i64) -> Value {
    let fields = json!({
        "user": user, "post": post, "parent": parent, "content": format!("Comentario {pk}"), "media": null,
        "created_at": time(second), "updated_at": time(second), "reactions_count": 9, "replies_count": 9,
    });
    object("foro.comment", pk, fields)
}

pub(super) fn reaction(pk: i64, user: i64, kind: &str, content_type: Value, object_id: i64, second: i64) -> Value {
    let fields = json!({
        "user": user, "type": kind, "content_type": content_type, "object_id": object_id, "created_at": time(second),
    });
    object("foro.reaction", pk, fields)
}

pub(super) fn lines(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("{object}\n")).collect()
}
