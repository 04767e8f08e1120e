//! What `/status` shows of the other replicas.

use crate::ReplicaId;
use std::{net::SocketAddr, time::Duration};

/// One address of another replica.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerView {
    /// Where it was found.
    pub address: SocketAddr,
    /// What was asked for it: a host, as configured.
    pub host: Box<str>,
    /// What is known of it now.
    pub state: PeerState,
    /// Who answers there, or did when it last lived.
    pub replica: Option<ReplicaId>,
    /// Its name for people.
    pub name: Box<str>,
    /// Its region label.
    pub region: Option<Box<str>>,
    /// Its zone label.
    pub zone: Option<Box<str>>,
    /// Its version.
    pub version: Box<str>,
    /// Generation of its configuration when it was greeted.
    pub generation: u64,
    /// How long it has been in this state.
    pub since: Duration,
    /// Time of its last answered ping.
    pub round_trip: Option<Duration>,
    /// Why the last dial or connection ended.
    pub last_error: Option<Box<str>>,
}

/// State of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Dialled again soon.
    Waiting,
    /// Being dialled.
    Dialling,
    /// Answers its pings.
    Living,
    /// This process itself.
    Own,
}

impl PeerState {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dialling => "dialling",
            Self::Living => "living",
            Self::Own => "own",
        }
    }
}
