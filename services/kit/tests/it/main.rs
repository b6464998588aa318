//! What kit promises to every service, through real PostgreSQL, Redis, S3, TCP and TLS.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod access;
mod bulk;
mod client;
mod db;
mod fake;
mod inbox;
mod outbox;
mod revocation;
mod server;
mod start;
mod storage;
mod tls;
mod tokens;

use sqlx::migrate::Migrator;

/// The services under test here have no tables but kit's own.
static NO_TABLES: Migrator = Migrator::DEFAULT;
