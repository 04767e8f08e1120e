//! The servers that replicas share.

use crate::Secret;
use std::{path::PathBuf, time::Duration};

/// Redis or Valkey. `redis` at the root is the default of every use; `sessions.redis` is what sessions use.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// How the servers stand together.
    pub mode: RedisMode,
    /// `host:port` each. One for `single`, seeds for `cluster`, none for `sentinel`.
    pub addresses: Vec<String>,
    /// With `mode: sentinel`.
    pub sentinel: Option<RedisSentinel>,
    /// ACL user. Default: the server's default user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Number of the database. Default 0, the only one of a cluster.
    pub database: u32,
    /// TLS, if it is on.
    pub tls: Option<RedisTls>,
    /// A password may go in clear text to an address that is not private. Default false.
    pub allow_plaintext: bool,
    /// Most sockets of this process. Default 50.
    pub pool_size: usize,
    /// Attempts after the first, inside the operation's deadline. Default 3.
    pub max_retries: u32,
    /// Longest pause before the next attempt; full jitter. Default 1s.
    pub retry_delay: Duration,
    /// Time for a connection, TLS and login included. Default 1s.
    pub connect_timeout: Duration,
    /// Time for one attempt. Default 50ms.
    pub command_timeout: Duration,
    /// First part of every key. Default `holdfast`.
    pub key_prefix: String,
}

/// How the servers stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisMode {
    /// One server.
    Single,
    /// A master with replicas, found through sentinels.
    Sentinel,
    /// A cluster.
    Cluster,
}

impl RedisMode {
    /// The word for it in configuration and views.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }
}

/// Who knows the master.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisSentinel {
    /// `host:port` of each sentinel.
    pub addresses: Vec<String>,
    /// Name of the monitored master. Default `mymaster`.
    pub master: String,
    /// ACL user of the sentinels.
    pub username: Option<String>,
    /// Password of the sentinels.
    pub password: Option<Secret>,
    /// Whether the sentinels speak TLS. Default: as the servers.
    pub tls: bool,
}

/// Trust and identity towards the servers. The server's certificate is always verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisTls {
    /// Authorities. Default: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Certificate of this client.
    pub cert_file: Option<PathBuf>,
    /// Key of that certificate.
    pub key_file: Option<PathBuf>,
    /// Name in the server's certificate. Default: the host of the address.
    pub server_name: Option<String>,
}
