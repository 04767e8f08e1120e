//! Logs of event streams, so that any replica can go on with a stream whose owner died.

use super::{Answer, Epoch, ReplicaId, Sequence, SessionId};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// An event stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    /// Whose it is.
    pub session: SessionId,
    /// Which of the session's.
    pub number: u64,
}

/// Who may write a stream. A later epoch fences every earlier owner off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The replica.
    pub replica: ReplicaId,
    /// Grows by one with each claim; the first owner has [`FIRST`](Self::FIRST).
    pub epoch: Epoch,
}

impl Owner {
    /// Epoch of whoever opens a stream.
    pub const FIRST: Epoch = Epoch(1);

    /// The owner of a stream that `replica` opens.
    pub fn first(replica: ReplicaId) -> Self {
        Self { replica, epoch: Self::FIRST }
    }

    /// Whether `other` has taken the stream from this one.
    pub fn is_fenced_by(self, other: Self) -> bool {
        other.epoch > self.epoch || (other.epoch == self.epoch && other.replica != self.replica)
    }
}

/// How opening a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open and yours.
    Yours,
    /// It is there, and this is its owner.
    Fenced(Owner),
}

/// One event to be appended.
#[derive(Clone, Debug)]
pub struct Append {
    /// Where to.
    pub stream: Stream,
    /// By whom.
    pub owner: Owner,
    /// Higher than all before; gaps are allowed.
    pub sequence: Sequence,
    /// The event before it that is known to be logged, `None` before the first. What lies between the two goes away: those appends
    /// were given up, and the events went out without ids.
    pub follows: Option<Sequence>,
    /// Opaque.
    pub event: Bytes,
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log.
    Done,
    /// Another replica owns the stream now.
    Fenced(Owner),
    /// The store does not know the stream (it was flushed, or kept no longer): open it again.
    Unknown,
    /// An event with this or a higher number is in the log.
    Stale(Sequence),
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The stream is yours, under this epoch.
    Yours(Owner),
    /// Its owner is another than you said.
    Lost(Owner),
    /// The store does not know the stream.
    Unknown,
}

/// Most that one read returns. One event is returned however long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Events; 0 reads what is known of the stream.
    pub events: usize,
    /// Bytes of events, as stored.
    pub bytes: usize,
}

/// A part of a log, and what is known of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What the stream was opened with.
    pub meta: Bytes,
    /// Who may write it.
    pub owner: Owner,
    /// The log is complete from here on: what came before was dropped for room.
    pub first: Sequence,
    /// The last event that was logged, if any.
    pub last: Option<Sequence>,
    /// Events from the asked number on, in order.
    pub events: Vec<(Sequence, Bytes)>,
    /// Whether there are events behind those of this page.
    pub more: bool,
}

/// Logs of streams, each written by one replica at a time. An event is at most [`Limits::stream_bytes`](super::Limits::stream_bytes)
/// long and costs one round trip; the oldest are dropped when a stream has more events or bytes than the limits allow.
pub trait EventLog: Send + Sync {
    /// Opens `stream` for `owner`. Its own stream, or that of an earlier epoch, is kept with its events. `meta` (at most
    /// [`ENTRY_BYTES_MAX`](super::ENTRY_BYTES_MAX)) is for whoever claims it. The log is forgotten when for `keep` nobody
    /// opened, appended or claimed it: a quiet owner opens it again.
    fn open(
        &self,
        stream: Stream,
        owner: Owner,
        meta: Bytes,
        keep: Duration,
        until: Instant,
    ) -> Answer<'_, Opened>;

    /// Appends one event. Asked again with the last one, it answers `Done`.
    fn append(&self, append: Append, until: Instant) -> Answer<'_, Appended>;

    /// Events from `from` on; `None` if the store does not know the stream. An event whose seal does not open is left out.
    fn read(
        &self,
        stream: Stream,
        from: Sequence,
        limit: PageLimit,
        until: Instant,
    ) -> Answer<'_, Option<Page>>;

    /// Makes `to` the owner, if `from` is. What the log holds is read afterwards: until then the owner before may append.
    fn claim(&self, stream: Stream, from: Owner, to: ReplicaId, until: Instant) -> Answer<'_, Claimed>;

    /// Forgets streams that nobody will ask for again.
    fn remove(&self, stream: Stream, until: Instant) -> Answer<'_, ()>;
}
