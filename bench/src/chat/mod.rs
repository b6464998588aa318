//! Chat under fire and under load.

mod client;
mod endings;
mod ground;
mod history;
mod people;
pub(crate) mod soak;
pub(crate) mod speed;
