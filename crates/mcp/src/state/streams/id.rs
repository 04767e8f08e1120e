//! How streams are named.

/// Name of a stream within this process: unguessable, so that an event id of another process never fits by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(pub(crate) u64);
