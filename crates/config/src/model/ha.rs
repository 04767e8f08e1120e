//! This replica and the others.

use crate::{ByteSize, KeySource};
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// `ha`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ha {
    /// Talk to other replicas, where `peer_discovery` finds them. Default true.
    pub enabled: bool,
    /// Region label, also used for zone-aware balancing. Default: none.
    pub region: Option<String>,
    /// Zone label. Endpoints of the same zone are preferred. Default: none.
    pub zone: Option<String>,
    /// Name of this replica for people. Default: host name and port.
    pub replica: Option<String>,
    /// How the others are found. Default: not at all.
    pub peer_discovery: Option<PeerDiscovery>,
    /// How replicas talk.
    pub peer_channel: PeerChannel,
}

impl Ha {
    /// Whether this replica has a peer channel: discovery is on, and `enabled` does not forbid it. Credentials are there then.
    pub fn has_peers(&self) -> bool {
        self.enabled && self.peer_discovery.is_some()
    }
}

/// `ha.peer_discovery`.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerDiscovery {
    /// Where addresses come from.
    pub method: PeerMethod,
    /// Port of peers given without one; `None` = that of the channel.
    pub port: Option<u16>,
    /// Pause between two resolutions. Default 5s.
    pub interval: Duration,
}

/// Where addresses of peers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMethod {
    /// A list of `host` or `host:port`.
    Static(Vec<String>),
    /// All addresses of a name.
    Dns(String),
}

/// `ha.peer_channel`.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerChannel {
    /// Address to bind. Default 0.0.0.0.
    pub host: IpAddr,
    /// Port to bind. Default 9444.
    pub port: u16,
    /// What proves a replica; there whenever the channel is used.
    pub credentials: Option<PeerCredentials>,
    /// Connections of others at once. Default 256.
    pub max_connections: usize,
    /// Unproved connections at once. Default 64.
    pub max_handshakes: usize,
    /// From connect or accept to known. Default 3s.
    pub handshake_timeout: Duration,
    /// Default 1s.
    pub ping_interval: Duration,
    /// Default 3.
    pub max_missed_pings: u32,
    /// Silence that closes an accepted connection. Default 10s.
    pub idle_timeout: Duration,
    /// Longest pause between two dials. Default 10s.
    pub max_retry_delay: Duration,
    /// Asks under way, and answers. Default 1024.
    pub max_asks: usize,
    /// The same for one replica. Default 256.
    pub max_asks_per_peer: usize,
    /// Body of an ask. Default 4MiB.
    pub max_ask_bytes: ByteSize,
    /// Longest time an ask may leave. Default 15m.
    pub max_ask_time: Duration,
    /// Asks remembered against replay. Default 262144.
    pub max_nonces: usize,
    /// Notes waiting for one replica. Default 1024.
    pub max_notes: usize,
    /// One note. Default 64KiB.
    pub max_note_bytes: ByteSize,
}

/// What proves a replica.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerCredentials {
    /// Mutual TLS.
    Tls(PeerTls),
    /// Pre-shared keys: the first is used, all are accepted. Base64 of at least 32 bytes.
    Psk(Vec<KeySource>),
}

/// `ha.peer_channel.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    /// PEM chain.
    pub cert_file: PathBuf,
    /// PEM key.
    pub key_file: PathBuf,
    /// PEM roots.
    pub ca_file: PathBuf,
    /// Names of which a peer must have one.
    pub identities: Vec<String>,
}
