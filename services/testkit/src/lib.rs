//! For tests only: fresh databases, services that talk over memory, tokens, a private PostgreSQL, a private Redis, a
//! private S3.
//!
//! `DATABASE_URL` names a PostgreSQL server where databases may be made; `make test` starts one. What is missing makes a
//! test fail, never skip.

mod database;
mod harness;
mod network;
mod plans;
mod postgres;
mod redis;
mod s3;
mod tokens;
mod wait;

pub use database::Database;
pub use harness::Harness;
pub use network::Network;
pub use plans::{Plan, Prepared, plan, plans};
pub use postgres::Postgres;
pub use redis::Redis;
pub use s3::S3;
pub use tokens::{Signer, token_claims};
pub use wait::{eventually, within};
