//! What outlives a snapshot: bounded, local to this process, and never needed for correctness.
//!
//! A client carries its session (see [`crate::token`]); this replica adds only what happened *since* the token was sealed:
//! sessions ended by DELETE, sessions moved to another endpoint, events that can be replayed, and what servers said of themselves.

mod answers;
mod definitions;
mod hints;
mod journal;
mod knowledge;
mod local_links;
mod notes;
mod params;
mod peer_stream;
mod revoked;
pub(crate) mod streams;
mod turns;
mod under_way;
mod uses;

pub(crate) use answers::{Answers, NoRoom, Pieces, Room};
pub use definitions::ToolsView;
pub(crate) use definitions::{Before, Definitions, News, Verdict, Watch};
pub(crate) use hints::Hints;
pub(crate) use journal::{Binding, Journal, Known};
pub(crate) use knowledge::{Knowledge, Spoken};
pub(crate) use local_links::LocalLinks;
pub(crate) use notes::{Note, USES_MAX, Used};
pub(crate) use params::{Annotated, Params, is_whole, read as read_params};
pub(crate) use peer_stream::PeerStream;
pub(crate) use revoked::{Full, Revoked};
pub(crate) use under_way::UnderWay;
pub(crate) use uses::{Use, Uses};

use crate::{
    federation::Shelf,
    ids::Epoch,
    token::{SessionUid, StreamRecord, unix_now},
};
use holdfast_config::Sessions;
use holdfast_edge::Turns;
use holdfast_peers::Peers;
use holdfast_store::{Change, Feed, Owner, ReplicaId, Sink, Store};
use holdfast_upstream::clock;
use std::sync::{Arc, OnceLock, Weak};
use streams::{LogLimits, SharedLog, StreamId, StreamLimits, Streams};
use turns::ServerTurns;

/// Of lists that are kept for when their member does not answer. What was used longest ago goes first.
const SHELF_BYTES: u64 = 64 << 20;

/// Process-wide MCP state; one per process, shared by all snapshots. Limits are those of the configuration it was made from:
/// `sessions.max_entries`, `sessions.max_journal_reads`, `sessions.ttl` and `sessions.stream_*` need a restart.
pub struct McpState {
    pub(crate) revoked: Revoked,
    pub(crate) journal: Journal,
    /// Last uses of sessions.
    pub(crate) uses: Arc<Uses>,
    pub(crate) streams: Streams,
    pub(crate) knowledge: Knowledge,
    pub(crate) hints: Hints,
    pub(crate) params: Params,
    pub(crate) answers: Arc<Answers>,
    /// What members of the merged endpoint last listed.
    pub(crate) shelf: Arc<Shelf>,
    /// Sessions being moved.
    pub(crate) moving: ServerTurns,
    /// Looks into the shared journal.
    pub(crate) reading: Arc<Turns>,
    /// Links that other replicas may ask for.
    pub(crate) links: LocalLinks,
    /// This process, among the replicas.
    replica: ReplicaId,
    pub(crate) under_way: UnderWay,
    /// What servers last said that their tools are.
    pub(crate) definitions: Definitions,
    /// Shared with the other replicas; none if this one is alone with its memory.
    store: Option<Store>,
    /// Ends with the state.
    feed: OnceLock<Feed>,
    /// The channel to them, if there is one.
    peers: OnceLock<Arc<Peers>>,
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
    /// Empty state with the limits of `sessions`. What happens to sessions is shared with other replicas through `store`, if it is
    /// shared; changes of theirs are heard from now on.
    pub fn new(sessions: &Sessions, store: &Store) -> Arc<Self> {
        let shared = store.is_shared().then(|| store.clone());
        let uses = Uses::new(sessions, store);
        let state = Arc::new(Self::alone(sessions, shared, uses));
        if let Some(store) = &state.store {
            let hearer = Arc::downgrade(&state);
            let sink: Sink = Arc::new(move |change| Self::tell(&hearer, change));
            // Just made: nobody else has set it.
            let _ = state.feed.set(store.changes(&sink));
        }
        state
    }

    fn alone(sessions: &Sessions, store: Option<Store>, uses: Arc<Uses>) -> Self {
        let log = LogLimits { events: sessions.stream_events, bytes: sessions.stream_bytes.as_usize() };
        let limits =
            StreamLimits { log, streams: sessions.max_entries, retention: sessions.stream_retention };
        Self {
            revoked: Revoked::new(sessions.max_entries),
            // Longer than a session can be idle: whoever ends it looks here.
            journal: Journal::new(sessions.max_entries, sessions.ttl.saturating_mul(2)),
            uses,
            streams: Streams::new(limits, sessions.stream_bytes_total.as_usize()),
            knowledge: Knowledge::default(),
            hints: Hints::default(),
            params: Params::default(),
            answers: Arc::default(),
            shelf: Arc::new(Shelf::new(SHELF_BYTES)),
            moving: ServerTurns::default(),
            reading: Turns::new(sessions.max_journal_reads),
            links: LocalLinks::default(),
            replica: ReplicaId::random(),
            under_way: UnderWay::default(),
            definitions: Definitions::default(),
            store,
            feed: OnceLock::new(),
            peers: OnceLock::new(),
        }
    }

    /// What this replica shares with the others, if it shares anything.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// This process, as other replicas know it.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The channel to the other replicas, if there is one.
    pub(crate) fn peers(&self) -> Option<&Peers> {
        self.peers.get().map(|peers| &**peers)
    }

    /// The log of a stream that `owner` carries; none if it would be this replica's alone.
    pub(crate) fn log(
        &self,
        session: SessionUid,
        stream: StreamId,
        owner: Owner,
        record: &StreamRecord,
    ) -> Option<SharedLog> {
        let stream = streams::shared_log::name(session, stream);
        Some(SharedLog::new(self.store()?, stream, owner, record, self.streams.retention()))
    }

    /// Tells the other replicas of sessions over this channel from now on. The first one stays.
    pub fn join(&self, peers: Arc<Peers>) {
        let _ = self.peers.set(peers);
        self.uses.join();
    }

    /// Sessions may be used in other regions, which share only the key ring (`ha.region`): none ends here for being idle.
    pub fn span_regions(&self) {
        self.uses.span_regions();
    }

    /// Tells every replica that lives. Never waits.
    pub(crate) fn tell_peers(&self, note: &Note) {
        if let Some(peers) = self.peers.get() {
            peers.tell(&note.encode());
        }
    }

    /// A note of another replica.
    pub(crate) fn told(&self, note: Note) {
        match note {
            Note::Ended { session, expires } => self.ended(session, expires),
            Note::Used(uses) => {
                for Used { session, idle, due } in uses {
                    self.uses.heard(session, idle, due);
                }
            }
            Note::Moved { session, epoch, binding } => {
                self.journal.elsewhere(session, epoch, Some(binding), clock::now());
            }
        }
    }

    fn tell(hearer: &Weak<Self>, change: Change) {
        if let Some(state) = hearer.upgrade() {
            state.hear(change);
        }
    }

    /// A session ended or moved, here or at another replica. Hearing it twice does nothing.
    fn hear(&self, change: Change) {
        match change {
            Change::Revoked { session, expires } => self.ended(SessionUid(session.0), expires),
            Change::Rebound { session, epoch } => {
                if let Ok(epoch) = u32::try_from(epoch.0) {
                    self.journal.elsewhere(SessionUid(session.0), Epoch(epoch), None, clock::now());
                }
            }
            Change::Resync => self.uses.interrupted(),
        }
    }

    /// Ends a session here; its token is refused everywhere from `expires` on. A second time costs a look: the past is told again after every interruption.
    pub(crate) fn end(&self, session: SessionUid, expires: u64) -> Result<(), Full> {
        if self.revoked.contains(session) {
            return Ok(());
        }
        self.uses.ended(session);
        self.revoked.insert(session, expires, unix_now())?;
        self.journal.forget(session);
        self.streams.forget_session(session);
        Ok(())
    }

    /// A session was ended at another replica.
    fn ended(&self, session: SessionUid, expires: u64) {
        if self.end(session, expires).is_err() {
            tracing::warn!(
                "sessions.max_entries sessions are ended and not expired: an end was not remembered"
            );
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
