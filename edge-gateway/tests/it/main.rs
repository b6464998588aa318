//! The contract of the edge: real HTTP in, every service in this process behind mutual TLS, real PostgreSQL and Redis.
//! One file per area and dialect. Snapshots show status, the headers that matter and the body, with ids, times and
//! tokens masked; `INSTA_UPDATE=always cargo test -p edge-gateway` renews them, and a person reads the difference.

mod agrovet_adds;
mod agrovet_adds_more;
mod agrovet_auth;
mod agrovet_chat;
mod agrovet_common;
mod agrovet_forms;
mod agrovet_foro;
mod agrovet_foro_comments;
mod agrovet_foro_communities;
mod agrovet_foro_moderation;
mod agrovet_foro_reactions;
mod agrovet_media;
mod agrovet_prefixes;
mod agrovet_profiles;
mod agrovet_reset;
mod agrovet_security;
mod agrovet_sockets;
mod agrovet_users;
mod agrovet_verifications;
mod answer;
mod calls;
mod chats_apart;
mod conectar_admin;
mod conectar_auth;
mod conectar_chat;
mod conectar_gateway;
mod conectar_moderation;
mod conectar_users;
mod files;
mod grpc;
mod idempotency;
mod pauses;
mod people;
mod slow_readers;
mod slow_sockets;
mod socket_ends;
mod socket_frames;
mod sockets;
mod story;
mod strangers;
mod sweep;
mod talks;
mod world;
