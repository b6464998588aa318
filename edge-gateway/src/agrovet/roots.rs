//! Where things are, as DRF's router lists them.

use std::collections::BTreeMap;

use axum::Json;
use kit::identity::Caller;

use crate::address::Base;

type Links = BTreeMap<&'static str, String>;

/// The frontend's availability probe asks here without a token; any area of the API may add its line.
pub async fn api(base: Base) -> Json<Links> {
    let marketplace = ["adds", "categories", "follows", "orders"];
    let areas = ["auth", "chat", "foro", "media", "profiles"].into_iter().chain(marketplace);
    Json(areas.map(|area| (area, base.absolute(&format!("/api/{area}/")))).collect())
}

/// DRF lists a router's contents only to those who are signed in.
pub async fn auth(base: Base, _: Caller) -> Json<Links> {
    let paths = [("register", "/api/auth/register/"), ("login", "/api/auth/login/"), ("users", "/api/auth/users/")];
    Json(links(&base, &paths))
}

pub async fn foro(base: Base, _: Caller) -> Json<Links> {
    let paths = [
        ("posts", "/api/foro/posts/"),
        ("comments", "/api/foro/comments/"),
        ("notifications", "/api/foro/notifications/"),
        ("communities", "/api/foro/communities/"),
    ];
    Json(links(&base, &paths))
}

pub async fn chat(base: Base, _: Caller) -> Json<Links> {
    Json(links(&base, &[("rooms", "/api/chat/rooms/"), ("messages", "/api/chat/messages/")]))
}

/// As [`auth`].
pub async fn profiles(base: Base, _: Caller) -> Json<Links> {
    let paths = [
        ("specialists", "/api/profiles/specialists/"),
        ("businessmen", "/api/profiles/businessmen/"),
        ("consumers", "/api/profiles/consumers/"),
    ];
    Json(links(&base, &paths))
}

fn links(base: &Base, paths: &[(&'static str, &str)]) -> Links {
    paths.iter().map(|(name, path)| (*name, base.absolute(path))).collect()
}
