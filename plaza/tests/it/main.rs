//! The tool as its users meet it: real processes, real PostgreSQL and Redis, real HTTP.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod chat;
mod doctor;
mod import;
mod platform;
mod up;
