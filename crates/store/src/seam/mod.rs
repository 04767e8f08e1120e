//! What replicas share, as traits: the same contract in memory and on Redis, held by one conformance test.
//!
//! Every operation is given `until`, the instant by which it answers. Dropping its future is safe; whether the store did what was
//! asked is then unknown, and every operation may be asked again.

mod activity;
mod cache;
mod changes;
mod events;
mod ids;
mod journal;
pub(crate) mod limits;
mod peers;
mod quota;

pub use activity::{Activity, Due, LastUsed, Touch};
pub use cache::SharedCache;
pub use changes::{Change, Revocations, Sink};
pub use events::{Append, Appended, Claimed, EventLog, Opened, Owner, Page, PageLimit, Stream};
pub use ids::{Epoch, Name, ReplicaId, Sequence, SessionId};
pub use journal::{Entry, Journal, Swapped};
pub use limits::{ENTRY_BYTES_MAX, Limits, NUMBER_MAX};
pub use peers::PeerRegistry;
pub use quota::{LEASE_TTL, Lease, QuotaLedger, RESERVE_PER_MILLE, Want};

use crate::StoreError;
use futures_util::future::BoxFuture;

/// The answer of an operation, to be awaited.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;
