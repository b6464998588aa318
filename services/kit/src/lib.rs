//! What every service of Plaza needs and no service should write twice: configuration, telemetry, the gRPC server and
//! client with their layers, identity, the database, events, files. No word of any domain stands here.
//!
//! A service is `kit::Service::start`, its own state and routes, and `Service::serve`; see `services/users/src/lib.rs`.

pub mod access;
mod admin;
pub mod breaker;
pub mod broker;
pub mod bulk;
pub mod channel;
pub mod client;
mod clock;
pub mod config;
pub mod context;
pub mod cork;
pub mod db;
pub mod error;
mod health;
pub mod identity;
pub mod inbox;
mod link;
pub mod net;
pub mod outbox;
pub mod page;
pub mod seal;
pub mod search;
mod server;
pub mod service;
pub mod storage;
pub mod telemetry;
pub mod tls;
pub mod wire;

pub use client::Peer;
pub use clock::Clock;
pub use error::{Error, Result};
pub use server::Routes;
pub use service::{Service, main};

/// The allocator of every binary that contains kit, which is all of them: a request allocates and frees some hundred
/// times, on whichever thread it happens to be, and what a start needed once should go back to the system.
/// Built without asking the kernel for huge pages (`no_thp`): they were three quarters of what an idle process held.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Told to everything that runs: cancelled means finish what you have and leave.
pub type Stop = tokio_util::sync::CancellationToken;
