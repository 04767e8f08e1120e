//! What outlives a snapshot: bounded, local to this process, and never needed for correctness.
//!
//! A client carries its session (see [`crate::token`]); this replica adds only what happened *since* the token was sealed:
//! sessions ended by DELETE, sessions moved to another endpoint, events that can be replayed, and what servers said of themselves.

mod answers;
mod hints;
mod journal;
mod knowledge;
mod revoked;
pub(crate) mod streams;

pub(crate) use answers::{Answers, NoRoom, Pieces, Room};
pub(crate) use hints::Hints;
pub(crate) use journal::{Binding, Journal};
pub(crate) use knowledge::{Knowledge, Spoken};
pub(crate) use revoked::{Full, Revoked};

use holdfast_config::Sessions;
use std::sync::Arc;
use streams::{LogLimits, StreamLimits, Streams};

/// Process-wide MCP state; one per process, shared by all snapshots. Limits are those of the configuration it was made from:
/// `sessions.max_entries`, `sessions.ttl` and `sessions.stream_*` need a restart.
pub struct McpState {
    pub(crate) revoked: Revoked,
    pub(crate) journal: Journal,
    pub(crate) streams: Streams,
    pub(crate) knowledge: Knowledge,
    pub(crate) hints: Hints,
    pub(crate) answers: Arc<Answers>,
}

/// What the state holds, for metrics and `/status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSizes {
    /// Sessions ended here whose tokens have not expired yet.
    pub revoked: usize,
    /// Sessions that live on another endpoint than their token says.
    pub rebound: usize,
    /// Event streams that can be resumed here.
    pub streams: usize,
    /// Bytes in their logs.
    pub stream_bytes: usize,
    /// Memory of JSON answers that are held whole.
    pub answer_bytes: usize,
}

impl McpState {
    /// Empty state with the limits of `sessions`.
    pub fn new(sessions: &Sessions) -> Self {
        let log = LogLimits { events: sessions.stream_events, bytes: sessions.stream_bytes.as_usize() };
        let limits =
            StreamLimits { log, streams: sessions.max_entries, retention: sessions.stream_retention };
        Self {
            revoked: Revoked::new(sessions.max_entries),
            journal: Journal::new(sessions.max_entries, sessions.ttl),
            streams: Streams::new(limits, sessions.stream_bytes_total.as_usize()),
            knowledge: Knowledge::default(),
            hints: Hints::default(),
            answers: Arc::default(),
        }
    }

    /// What it holds now.
    pub fn sizes(&self) -> StateSizes {
        StateSizes {
            revoked: self.revoked.len(),
            rebound: self.journal.len(),
            streams: self.streams.len(),
            stream_bytes: self.streams.bytes(),
            answer_bytes: self.answers.used(),
        }
    }
}
