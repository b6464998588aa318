//! The contracts of Plaza and the code generated from them. Messages stand in `proto::<domain>::v1`.
//!
//! What is written in a contract besides shapes is generated too: field rules become [`rules::Validate`],
//! which [`codec`] runs on every message that arrives, and events become [`Event`].

pub mod codec;
pub mod rules;

/// `FileDescriptorSet` of every contract with all options and comments, for access rules and reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A message of `plaza.events.v1` that carries the option `event`: how it is called on the wire.
pub trait Event: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {
    /// The name consumers branch on: `user.created`.
    const TYPE: &'static str;
    /// The topic that carries it: `user.events`.
    const TOPIC: &'static str;
    /// The name in the second design, empty when it has none.
    const NAME: &'static str;
    /// The service that publishes it.
    const SOURCE: &'static str;
}

macro_rules! packages {
    ($($domain:ident)*) => {$(
        pub mod $domain {
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/plaza.", stringify!($domain), ".v1.rs"));
            }
        }
    )*};
}

packages! { access common events auth users media profiles forum marketplace chat }

#[allow(clippy::all, reason = "written by the build script, for every case alike")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/rules.rs"));
    include!(concat!(env!("OUT_DIR"), "/events.rs"));
}
