//! The service as its callers see it: generated clients over memory, a database per test, stand-ins for its peers.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod events;
mod galleries;
mod holds;
mod lists;
mod peers;
mod plans;
mod profiles;
mod ratings;
mod verifications;
mod world;
