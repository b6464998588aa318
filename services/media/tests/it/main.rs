//! Media through its generated client, over a connection in memory, on a real database and a storage in memory that
//! can be told to fail.
#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod bytes;
mod pictures;
mod serving;
mod storage;
mod uploads;
mod world;
