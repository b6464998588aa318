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

/// Somebody who has registered here as well.
pub(super) fn user(person: &Person) -> Value {
    account(person.number, &format!("+{}", person.phone), json!({}))
}

/// With the password [`PASSWORD`](super::world::PASSWORD), but for what `more` says.
pub(super) fn account(pk: i64, phone: &str, more: Value) -> Value {
    let fields = json!({
        "password": "pbkdf2_sha256$1000$sal12345$9iUXTzWVv0ZWYd1UrM8ZbFvBujdtHX218D/yVu0USu8=", "last_login": null,
        "is_superuser": false, "phone_number": phone, "role": null, "full_name": "x", "last_name": "", "bio": null,
        "profile_picture": null, "latitude": null, "longitude": null, "is_active": true, "is_staff": false,
        "date_joined": time(0), "groups": [], "user_permissions": [],
    });
    object("auth_app.user", pk, with(fields, more))
}

/// A profile of the monolith's: `specialist`, `businessman` or `consumer`.
pub(super) fn profile(kind: &str, person: i64, fields: Value) -> Value {
    object(&format!("profiles.{kind}profile"), person, fields)
}

pub(super) fn category(pk: i64, name: &str) -> Value {
    object("add.category", pk, json!({ "name": name, "description": null }))
}

/// An ad of the monolith's, but for what `more` says.
pub(super) fn ad(pk: i64, publisher: i64, more: Value) -> Value {
    let fields = json!({
        "publisher": publisher, "title": format!("Anuncio {pk}"), "description": "Texto", "price": "1250.00",
        "category": 24, "condition": "used", "location_name": null, "latitude": null, "longitude": null,
        "main_image": null, "secondary_images": [], "status": "active", "created_at": time(pk), "updated_at": time(pk),
    });
    object("add.add", pk, with(fields, more))
}

pub(super) fn follow(pk: i64, follower: i64, following: i64) -> Value {
    let fields = json!({ "follower": follower, "following": following, "created_at": time(pk) });
    object("add.follow", pk, fields)
}

fn with(mut fields: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    fields.as_object_mut().unwrap().extend(more);
    fields
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
