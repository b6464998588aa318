//! The tool as its users meet it: real processes, real PostgreSQL and Redis, real HTTP.

mod doctor;
mod platform;
mod up;
