//! The tool as its users meet it: real processes, real PostgreSQL and Redis, real HTTP.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod doctor;
mod platform;
mod up;
