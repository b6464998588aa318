//! Agrovet's routes: every method and path, and nothing else. How a line is written stands in [`crate::routes`].
//!
//! What is missing is missing on purpose: no `test-token`, no list, reading or change below `register`.

use crate::agrovet::chat::{messages, people, rooms, socket};
use crate::agrovet::foro::{comments, communities, moderation, notifications, posts, reactions};
use crate::agrovet::profiles::shown::{Businessman, Consumer, Specialist};
use crate::agrovet::{
    Agrovet, ads, auth, categories, follows, health, media, orders, profiles, reset, roots, security, users,
};
use crate::limit::Class;
use crate::routes::Routes;

pub fn routes() -> Routes<Agrovet> {
    Routes::new()
        .area("Estado")
        .get("/health", health::health, "Whether the edge runs")
        .get("/health/detailed", health::detailed, "Whether everything behind it runs")
        .get("/api", roots::api, "What there is; for availability probes")
        .get("/api/auth", roots::auth, "What there is about accounts")
        .get("/api/profiles", roots::profiles, "What there is about profiles")
        .area("Cuentas")
        .post("/api/auth/register", auth::register, "Makes an account and opens a session")
        .limit(Class::Strict)
        .post("/api/auth/login", auth::login, "Opens a session with phone and password")
        .limit(Class::Login)
        .post("/api/auth/logout", auth::logout, "Ends the caller's session, or all of the caller's")
        .post("/api/auth/refresh", auth::refresh, "Replaces a refresh token")
        .alias("/api/auth/token/refresh")
        .alias("/api/auth/refresh-token")
        .post("/api/auth/password-reset/request", reset::request, "Sends a code by SMS")
        .alias("/api/auth/password-reset/request-phone")
        // The frontend tries these when the ones above answer 404.
        .alias("/api/password-reset/request")
        .alias("/api/password-reset/request-phone")
        .post("/api/auth/password-reset/verify", reset::verify, "Sets a new password with the code")
        .alias("/api/auth/password-reset/verify-phone")
        .alias("/api/password-reset/verify")
        .alias("/api/password-reset/verify-phone")
        .area("Seguridad")
        .get("/api/auth/sessions", security::sessions, "The caller's live sessions, last used first")
        .delete("/api/auth/sessions/{id}", security::end_session, "Ends one of the caller's sessions")
        .get("/api/auth/audit", security::audit, "What happened to the caller's account, newest first")
        .post("/api/auth/second-factor", security::begin_second_factor, "Makes a secret for a second factor")
        .post("/api/auth/second-factor/confirm", security::confirm_second_factor, "Turns the second factor on")
        .limit(Class::Strict)
        .post("/api/auth/second-factor/remove", security::remove_second_factor, "Turns the second factor off")
        .limit(Class::Strict)
        .area("Usuarios")
        .get("/api/auth/users/me", users::me, "The caller's own account")
        .alias("/api/auth/me")
        .get("/api/auth/users", users::list, "Everybody, by id")
        .post("/api/auth/users", users::create, "Makes an account for somebody else; staff only")
        .get("/api/auth/users/{id}", users::retrieve, "Somebody")
        .put("/api/auth/users/{id}", users::update, "Changes somebody; self or staff")
        .patch("/api/auth/users/{id}", users::update, "Changes somebody in part; self or staff")
        .delete("/api/auth/users/{id}", users::delete, "Removes somebody; self or staff")
        .post("/api/auth/upload-profile-picture", users::upload_picture, "Sets the caller's own picture")
        .alias("/api/profiles/upload-profile-picture")
        .area("Perfiles")
        .get("/api/profiles/specialists", profiles::list::<Specialist>, "Specialists, by id")
        .post("/api/profiles/specialists", profiles::create::<Specialist>, "Makes the caller a specialist")
        .get("/api/profiles/specialists/{id}", profiles::retrieve::<Specialist>, "Somebody's profile")
        .put(
            "/api/profiles/specialists/{id}",
            profiles::put::<Specialist>,
            "Changes a profile, or makes one's own; self or staff",
        )
        .patch(
            "/api/profiles/specialists/{id}",
            profiles::patch::<Specialist>,
            "Changes a profile in part; self or staff",
        )
        .delete("/api/profiles/specialists/{id}", profiles::delete::<Specialist>, "Removes a profile; self or staff")
        .get("/api/profiles/specialists/by-user/{user_id}", profiles::retrieve::<Specialist>, "Somebody's profile")
        .patch(
            "/api/profiles/specialists/by-user/{user_id}",
            profiles::patch::<Specialist>,
            "Changes a profile in part; self or staff",
        )
        .post(
            "/api/profiles/specialists/{user_id}/upload_work_images",
            profiles::upload::<Specialist>,
            "Adds pictures of work",
        )
        .post("/api/profiles/specialists/{user_id}/rate", profiles::rate, "Gives stars, or other stars than before")
        .post(
            "/api/profiles/specialists/{user_id}/review",
            profiles::review,
            "Approves or rejects documents; staff only",
        )
        .get("/api/profiles/businessmen", profiles::list::<Businessman>, "Businesses, by id")
        .post("/api/profiles/businessmen", profiles::create::<Businessman>, "Makes the caller a business")
        .get("/api/profiles/businessmen/{id}", profiles::retrieve::<Businessman>, "Somebody's profile")
        .put(
            "/api/profiles/businessmen/{id}",
            profiles::put::<Businessman>,
            "Changes a profile, or makes one's own; self or staff",
        )
        // A helper of the frontend.
        .post("/api/profiles/businessmen/{id}", profiles::put::<Businessman>, "The same as PUT, in part")
        .patch(
            "/api/profiles/businessmen/{id}",
            profiles::patch::<Businessman>,
            "Changes a profile in part; self or staff",
        )
        .delete("/api/profiles/businessmen/{id}", profiles::delete::<Businessman>, "Removes a profile; self or staff")
        .get("/api/profiles/businessmen/by-user/{user_id}", profiles::retrieve::<Businessman>, "Somebody's profile")
        .patch(
            "/api/profiles/businessmen/by-user/{user_id}",
            profiles::patch::<Businessman>,
            "Changes a profile in part; self or staff",
        )
        .post(
            "/api/profiles/businessmen/{user_id}/upload_products",
            profiles::upload::<Businessman>,
            "Adds pictures of products",
        )
        .get("/api/profiles/consumers", profiles::list::<Consumer>, "Oneself; all consumers for staff")
        .post("/api/profiles/consumers", profiles::create::<Consumer>, "Makes the caller a consumer")
        .get("/api/profiles/consumers/{id}", profiles::retrieve::<Consumer>, "Somebody's profile")
        .put(
            "/api/profiles/consumers/{id}",
            profiles::put::<Consumer>,
            "Changes a profile, or makes one's own; self or staff",
        )
        .patch("/api/profiles/consumers/{id}", profiles::patch::<Consumer>, "Changes a profile in part; self or staff")
        .delete("/api/profiles/consumers/{id}", profiles::delete::<Consumer>, "Removes a profile; self or staff")
        .get("/api/profiles/consumers/by-user/{user_id}", profiles::retrieve::<Consumer>, "Somebody's profile")
        .patch(
            "/api/profiles/consumers/by-user/{user_id}",
            profiles::patch::<Consumer>,
            "Changes a profile in part; self or staff",
        )
        .get("/api/profiles/verifications", profiles::verifications, "Documents to review; staff only")
        .area("Archivos")
        .get("/api/media", media::list, "The caller's files, newest first; everybody's for staff")
        .post("/api/media", media::create, "Stores a file; without a session images only")
        .get("/api/media/{id}", media::retrieve, "A file")
        .put("/api/media/{id}", media::update, "Changes a file or its description; owner or staff")
        .patch("/api/media/{id}", media::update, "Changes a file or its description; owner or staff")
        .delete("/api/media/{id}", media::delete, "Deletes a file; owner or staff")
        .area("Anuncios")
        .get("/api/adds", ads::list, "Ads, newest first")
        .post("/api/adds", ads::create, "Publishes an ad; specialists and businesses")
        .get("/api/adds/my_adds", ads::mine, "The caller's own ads in every status, newest first; at most 200")
        .get(
            "/api/adds/following_adds",
            ads::following,
            "What those the caller follows sell, newest first; at most 200",
        )
        .get("/api/adds/nearby", ads::nearby, "What is sold nearby, nearest first; at most 200")
        .get("/api/adds/{id}", ads::retrieve, "An ad")
        .put("/api/adds/{id}", ads::update, "Changes an ad; publisher or staff")
        .patch("/api/adds/{id}", ads::update, "Changes an ad in part; publisher or staff")
        .delete("/api/adds/{id}", ads::delete, "Deletes an ad; publisher or staff")
        .get("/api/categories", categories::list, "Categories of ads, the core ones first")
        .post("/api/categories", categories::create, "Makes a category; staff only")
        .get("/api/categories/{id}", categories::retrieve, "A category")
        .put("/api/categories/{id}", categories::update, "Changes a category; staff only")
        .patch("/api/categories/{id}", categories::update, "Changes a category in part; staff only")
        .delete("/api/categories/{id}", categories::delete, "Deletes a category that no ad uses; staff only")
        .area("Seguimientos")
        .get("/api/follows", follows::list, "Whom the caller follows, or who follows the caller")
        .post("/api/follows", follows::create, "Follows somebody")
        .get("/api/follows/{id}", follows::retrieve, "That somebody follows somebody; for the two of them")
        .delete("/api/follows/{id}", follows::delete, "Follows somebody no longer")
        .area("Pedidos")
        .post("/api/adds/{id}/purchase", orders::purchase, "Buys what is in an ad")
        .get("/api/orders", orders::list, "What the caller buys and sells, newest first")
        .get("/api/orders/{id}", orders::retrieve, "An order; for buyer, seller and staff")
        .post("/api/orders/{id}/cancel", orders::cancel, "Cancels an order; buyer or seller")
        .post("/api/orders/{id}/complete", orders::complete, "Says that the buyer has it; seller")
        .area("Chat")
        .bodies(256 << 10)
        .get("/api/chat", roots::chat, "What there is in chat")
        .get("/api/chat/rooms", rooms::list, "The caller's rooms, latest activity first")
        .post("/api/chat/rooms", rooms::create, "Opens the room of two people, or makes a group")
        .post("/api/chat/rooms/get_or_create_private", rooms::get_or_create_private, "Opens the room of two people")
        .get("/api/chat/rooms/{id}", rooms::retrieve, "A room, for those who are in it")
        .put("/api/chat/rooms/{id}", rooms::update, "Renames a room, or changes who is in a group")
        .patch("/api/chat/rooms/{id}", rooms::update, "Renames a room, or changes who is in a group")
        .delete("/api/chat/rooms/{id}", rooms::delete, "Leaves a group, or hides a room of two")
        .get("/api/chat/rooms/{id}/messages", messages::of_room, "What was said in a room, newest page first")
        .put("/api/chat/rooms/{id}/admins", rooms::set_role, "Makes somebody administrator of a group, or not")
        .post("/api/chat/rooms/{id}/mute", rooms::mute, "No notifications of a room, for good or until a moment")
        .post("/api/chat/rooms/{id}/unmute", rooms::unmute, "Notifications of a room again")
        .post("/api/chat/rooms/{id}/archive", rooms::archive, "Puts a room away")
        .post("/api/chat/rooms/{id}/unarchive", rooms::unarchive, "Takes a room out again")
        .get("/api/chat/messages", messages::list, "Messages of the caller's rooms, or of one, oldest first")
        .post("/api/chat/messages", messages::create, "Sends a message, perhaps with a file")
        .get("/api/chat/messages/last_messages", messages::last_messages, "The latest messages of a room")
        .post("/api/chat/messages/mark_read", messages::mark_read, "Marks a room, or some messages of it, as read")
        .get("/api/chat/messages/search", messages::search, "Messages with these words, newest first")
        .limit(Class::Search)
        .get("/api/chat/messages/{id}", messages::retrieve, "A message")
        .put("/api/chat/messages/{id}", messages::update, "Changes the text of a message of the caller's")
        .patch("/api/chat/messages/{id}", messages::update, "Changes the text of a message of the caller's")
        .delete(
            "/api/chat/messages/{id}",
            messages::delete,
            "Deletes a message; its sender, or who administers the group",
        )
        .get("/api/chat/messages/{id}/receipts", messages::receipts, "How far a message has come")
        .get("/api/chat/messages/{id}/versions", messages::versions, "What a message said before; staff only")
        .get("/api/chat/unread_count", rooms::unread_count, "How many messages wait for the caller")
        .get("/api/chat/presence", people::presence, "Who of the people in the caller's rooms is here")
        .get("/api/chat/blocks", people::blocks, "Who may not write to the caller, latest first")
        .post("/api/chat/blocks", people::block, "Lets somebody not write to the caller any more")
        .delete("/api/chat/blocks/{user_id}", people::unblock, "Lets somebody write to the caller again")
        .get("/ws/chat/{room_id}", socket::chat, "A WebSocket: a room as it happens")
        .get("/ws/presence", socket::presence, "A WebSocket: who of the caller's contacts is here")
        .area("Foro: posts")
        .get("/api/foro", roots::foro, "What there is in the forum")
        .get("/api/foro/posts", posts::list, "Posts, newest first or in another order")
        .alias("/api/posts")
        .post("/api/foro/posts", posts::create, "Writes a post")
        .alias("/api/posts")
        .get("/api/foro/posts/feed", posts::feed, "Newest posts of the caller's communities")
        .alias("/api/posts/feed")
        .get("/api/foro/posts/by-community", posts::by_community, "Posts of a community, by `slug` or `id`")
        .alias("/api/posts/by-community")
        .get("/api/foro/posts/relevant", posts::relevant, "Posts by what they mean to the caller")
        .alias("/api/posts/relevant")
        .get("/api/foro/posts/{id}", posts::retrieve, "A post; counts as a view of it")
        .alias("/api/posts/{id}")
        .put("/api/foro/posts/{id}", posts::update, "Changes a post; author or staff")
        .alias("/api/posts/{id}")
        .patch("/api/foro/posts/{id}", posts::update, "Changes a post in part; author or staff")
        .alias("/api/posts/{id}")
        .delete("/api/foro/posts/{id}", posts::delete, "Deletes a post and all below it; author or staff")
        .alias("/api/posts/{id}")
        .get("/api/foro/posts/{id}/comments", comments::of_post, "A post's comments as a tree, most popular first")
        .alias("/api/posts/{id}/comments")
        .post("/api/foro/posts/{id}/react", reactions::to_post, "Reacts to a post; `like` unless given")
        .alias("/api/posts/{id}/react")
        .area("Foro: comentarios y reacciones")
        .get("/api/foro/comments", comments::list, "Comments, newest first")
        .alias("/api/comments")
        .post("/api/foro/comments", comments::create, "Comments on a post or answers a comment")
        .alias("/api/comments")
        .get("/api/foro/comments/{id}", comments::retrieve, "A comment")
        .alias("/api/comments/{id}")
        .put("/api/foro/comments/{id}", comments::update, "Changes a comment; author or staff")
        .alias("/api/comments/{id}")
        .patch("/api/foro/comments/{id}", comments::update, "Changes a comment in part; author or staff")
        .alias("/api/comments/{id}")
        .delete("/api/foro/comments/{id}", comments::delete, "Deletes a comment; author or staff")
        .alias("/api/comments/{id}")
        .get("/api/foro/reactions", reactions::list, "Who reacted to a post or comment, newest first")
        .alias("/api/reactions")
        .post("/api/foro/reactions", reactions::create, "Reacts to a post or comment, or changes the reaction")
        .alias("/api/reactions")
        .delete("/api/foro/reactions/{id}/remove", reactions::remove, "Takes back a reaction of the caller's")
        .alias("/api/reactions/{id}/remove")
        .area("Foro: notificaciones")
        .get("/api/foro/notifications", notifications::list, "The caller's notifications, newest first")
        .alias("/api/notifications")
        .get("/api/foro/notifications/unread_count", notifications::unread_count, "How many are unread")
        .alias("/api/notifications/unread_count")
        .post("/api/foro/notifications/mark_read", notifications::mark_read, "Marks some, or all, as read")
        .alias("/api/notifications/mark_read")
        .get("/api/foro/notifications/{id}", notifications::retrieve, "One of the caller's notifications")
        .alias("/api/notifications/{id}")
        .delete("/api/foro/notifications/{id}", notifications::delete, "Deletes one of the caller's notifications")
        .alias("/api/notifications/{id}")
        .area("Foro: comunidades")
        .get("/api/foro/communities", communities::list, "Communities, most members first")
        .alias("/api/communities")
        .post("/api/foro/communities", communities::create, "Makes a community of the caller's")
        .alias("/api/communities")
        .get("/api/foro/communities/{id}", communities::retrieve, "A community")
        .alias("/api/communities/{id}")
        .put("/api/foro/communities/{id}", communities::update, "Changes a community; owner or staff")
        .alias("/api/communities/{id}")
        .patch("/api/foro/communities/{id}", communities::update, "Changes a community in part; owner or staff")
        .alias("/api/communities/{id}")
        .delete("/api/foro/communities/{id}", communities::delete, "Deletes a community; owner or staff")
        .alias("/api/communities/{id}")
        .post("/api/foro/communities/{id}/join", communities::join, "Makes the caller a member")
        .alias("/api/communities/{id}/join")
        .post("/api/foro/communities/{id}/leave", communities::leave, "Ends the caller's membership")
        .alias("/api/communities/{id}/leave")
        .post("/api/foro/communities/{id}/upload_cover", communities::upload_cover, "Sets the wide picture")
        .alias("/api/communities/{id}/upload_cover")
        .post("/api/foro/communities/{id}/upload_avatar", communities::upload_avatar, "Sets the small picture")
        .alias("/api/communities/{id}/upload_avatar")
        .get("/api/foro/communities/{id}/members", communities::members, "Members, owner and moderators first")
        .put("/api/foro/communities/{id}/members", communities::set_role, "Makes a member moderator, owner, or neither")
        .area("Foro: moderación")
        .post("/api/foro/posts/{id}/report", moderation::report_post, "Tells the moderators of a post")
        .post("/api/foro/comments/{id}/report", moderation::report_comment, "Tells the moderators of a comment")
        .get("/api/foro/communities/{id}/reports", moderation::reports, "What was reported in a community; moderators")
        .get("/api/foro/reports", moderation::reports_outside, "What was reported outside of communities; staff")
        .post("/api/foro/posts/{id}/dismiss", moderation::dismiss_post, "Finds a post's reports without ground")
        .post(
            "/api/foro/comments/{id}/dismiss",
            moderation::dismiss_comment,
            "Finds a comment's reports without ground",
        )
        .post("/api/foro/posts/{id}/remove", moderation::remove_post, "Takes a post from everybody's sight")
        .post("/api/foro/comments/{id}/remove", moderation::remove_comment, "Takes a comment from everybody's sight")
        .post("/api/foro/posts/{id}/restore", moderation::restore_post, "Shows a post again")
        .post("/api/foro/comments/{id}/restore", moderation::restore_comment, "Shows a comment again")
        .post("/api/foro/posts/{id}/lock", moderation::lock, "Stops comments on a post, or allows them again")
        .post("/api/foro/posts/{id}/pin", moderation::pin, "Puts a post first in its community, or back")
        .post("/api/foro/communities/{id}/ban", moderation::ban, "Bans somebody from a community")
        .post("/api/foro/communities/{id}/unban", moderation::unban, "Lifts a ban")
        .get("/api/foro/communities/{id}/log", moderation::log, "What moderators did in a community, newest first")
        .get("/api/foro/log", moderation::log_outside, "What staff did outside of communities, newest first")
}
