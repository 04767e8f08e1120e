//! Values that one replica made and others can use.

use super::{Answer, Name};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A cache: whatever is in it may be gone the next moment.
pub trait SharedCache: Send + Sync {
    /// A value, if it is there and its seal opens.
    fn get(&self, name: Name, until: Instant) -> Answer<'_, Option<Bytes>>;

    /// Keeps a value of at most [`Limits::cache_value_bytes`](super::Limits::cache_value_bytes) for `ttl`.
    fn put(&self, name: Name, value: Bytes, ttl: Duration, until: Instant) -> Answer<'_, ()>;

    /// Removes a value.
    fn remove(&self, name: Name, until: Instant) -> Answer<'_, ()>;
}
