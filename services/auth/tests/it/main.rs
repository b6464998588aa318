//! The service through its contract: generated clients, real PostgreSQL, a stand-in for `users`.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod accounts;
mod audit;
mod deliveries;
mod firebase;
mod holds;
mod keys;
mod login;
mod passwords;
mod refresh;
mod registration;
mod reset;
mod revocations;
mod second_factor;
mod sessions;
mod world;
