//! Other replicas.

use super::{Counter, Gauge, Histogram, Metric, PerLabel, ProbeResult, Registry, Scope, label::label};

label! {
    /// What the link to an address is doing.
    pub enum PeerLinkState {
        /// Waits until it dials again.
        Waiting => "waiting",
        /// Dials, or proves who it is.
        Dialling => "dialling",
        /// A replica answers its pings.
        Living => "living",
        /// The address is this process.
        Own => "own",
    }
}

label! {
    /// How a dial ended.
    pub enum PeerDial {
        /// The other side is a replica.
        Ok => "ok",
        /// It is this very process.
        Own => "own",
        /// No TCP connection.
        Connect => "connect",
        /// One side does not accept what the other proves.
        Credential => "credential",
        /// It does not speak our protocol.
        Protocol => "protocol",
        /// Not in time.
        Timeout => "timeout",
    }
}

label! {
    /// Why a link to a living replica ended.
    pub enum PeerDeath {
        /// The connection was lost.
        Lost => "lost",
        /// Pings were not answered.
        Silent => "silent",
        /// Its credential is no longer accepted.
        Withdrawn => "withdrawn",
    }
}

label! {
    /// Why this replica refused or closed a connection of its peer port.
    pub enum PeerEnd {
        /// `max_connections`.
        MaxConnections => "max_connections",
        /// `max_handshakes`, or the share of one address.
        MaxHandshakes => "max_handshakes",
        /// It did not prove who it is.
        Credential => "credential",
        /// Garbage, or another protocol.
        Protocol => "protocol",
        /// `handshake_timeout`.
        Timeout => "timeout",
        /// `idle_timeout`.
        Idle => "idle",
        /// Its credential is no longer accepted.
        Withdrawn => "withdrawn",
        /// Out of file descriptors or memory.
        Resources => "resources",
    }
}

label! {
    /// How an ask ended, up to the head of its answer.
    pub enum PeerAsk {
        /// Answered.
        Ok => "ok",
        /// No such replica.
        Unknown => "unknown",
        /// The replica is dead, or died.
        Dead => "dead",
        /// No answer in time.
        Timeout => "timeout",
        /// The answer broke off before its head.
        Torn => "torn",
        /// The owner refused.
        Refused => "refused",
        /// An asked replica asked.
        Looped => "looped",
        /// A limit of either side.
        Overloaded => "overloaded",
        /// Nobody waits for it any more.
        Cancelled => "cancelled",
    }
}

label! {
    /// How a question of another replica was answered.
    pub enum PeerAnswer {
        /// By the owner.
        Ok => "ok",
        /// Not a message of ours.
        Malformed => "malformed",
        /// The handle does not open for this principal.
        Handle => "handle",
        /// The handle names another process.
        NotOwner => "not_owner",
        /// The nonce was seen before.
        Replayed => "replayed",
        /// No room to remember a nonce.
        WindowFull => "window_full",
        /// It was asked before it came here.
        Looped => "looped",
        /// `max_asks` or `max_asks_per_peer`.
        Overloaded => "overloaded",
        /// Not in the time it left.
        Timeout => "timeout",
        /// The asker went away before the head.
        Cancelled => "cancelled",
    }
}

label! {
    /// What became of a note.
    pub enum PeerNote {
        /// The other replica has it.
        Sent => "sent",
        /// Got from another replica.
        Received => "received",
        /// The queue of that replica was full.
        QueueFull => "queue_full",
        /// The connection broke, or the other side was too slow.
        Lost => "lost",
        /// Longer than `max_note_bytes`.
        TooLong => "too_long",
    }
}

/// Handles of the peer channel. One per process.
#[derive(Debug)]
pub struct PeerMetrics {
    /// Addresses by state.
    pub links: PerLabel<PeerLinkState, Gauge>,
    /// Living replicas.
    pub replicas: Gauge,
    /// Dials.
    pub dials: PerLabel<PeerDial, Counter>,
    /// Links that ended.
    pub deaths: PerLabel<PeerDeath, Counter>,
    /// Pings.
    pub round_trip: Histogram,
    /// Name resolutions.
    pub resolutions: PerLabel<ProbeResult, Counter>,
    /// Accepted connections.
    pub connections: Gauge,
    /// Accepted connections that were refused or closed.
    pub ended: PerLabel<PeerEnd, Counter>,
    /// Questions to others.
    pub asks: PerLabel<PeerAsk, Counter>,
    /// Questions under way.
    pub asks_in_flight: Gauge,
    /// Answers that broke off.
    pub torn: Counter,
    /// Questions of others.
    pub answers: PerLabel<PeerAnswer, Counter>,
    /// Answers under way.
    pub answers_in_flight: Gauge,
    /// Notes.
    pub notes: PerLabel<PeerNote, Counter>,
    _scope: Scope,
}

impl PeerMetrics {
    /// Handles.
    pub fn new(registry: &Registry) -> Self {
        let mut scope = registry.scope();
        Self {
            links: scope.gauges(Metric::PeerLinks, &[]),
            replicas: scope.gauge(Metric::PeerReplicas, &[]),
            dials: scope.counters(Metric::PeerDials, &[]),
            deaths: scope.counters(Metric::PeerDeaths, &[]),
            round_trip: scope.histogram(Metric::PeerRoundTrip, &[]),
            resolutions: scope.counters(Metric::PeerResolutions, &[]),
            connections: scope.gauge(Metric::PeerConnections, &[]),
            ended: scope.counters(Metric::PeerConnectionsEnded, &[]),
            asks: scope.counters(Metric::PeerAsks, &[]),
            asks_in_flight: scope.gauge(Metric::PeerAsksInFlight, &[]),
            torn: scope.counter(Metric::PeerAnswersTorn, &[]),
            answers: scope.counters(Metric::PeerAnswers, &[]),
            answers_in_flight: scope.gauge(Metric::PeerAnswersInFlight, &[]),
            notes: scope.counters(Metric::PeerNotes, &[]),
            _scope: scope,
        }
    }
}
