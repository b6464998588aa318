//! Between protobuf's types and Rust's, for conversions that every service makes.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use uuid::Uuid;

use crate::error::{Result, invalid};

pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos() as i32 }
}

/// An id that the contract's field rules let through, so the error is for callers that have none.
pub fn parse_id(field: &'static str, id: &str) -> Result<Uuid> {
    id.parse().map_err(|_| invalid(field, "must be a UUID"))
}
