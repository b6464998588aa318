//! Media through its generated client, over a connection in memory, on a real database and a storage in memory that
//! can be told to fail; `s3.rs` on a real S3 server.

#![allow(clippy::unwrap_used, reason = "what a test does not expect makes it fail")]

mod bulk;
mod bytes;
mod pictures;
mod plans;
mod s3;
mod serving;
mod storage;
mod uploads;
mod world;
