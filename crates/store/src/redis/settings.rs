//! What every part of the link needs: the configuration in usable form, and what is counted together.

use super::{address::Address, tls::Tls};
use crate::BuildError;
use holdfast_config::{Redis, RedisMode};
use holdfast_resilience::{BreakerPolicy, EndpointPolicy};
use holdfast_telemetry::StoreLinkMetrics;
use redis::RedisConnectionInfo;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};

/// Longest pause while a cluster or a failover settles (Redis Cluster specification: "wait a bit").
pub(crate) const SETTLE_PAUSE: Duration = Duration::from_millis(100);
/// Most redirections of one operation.
pub(crate) const HOPS_MAX: u32 = 16;
/// Most operations under way; one more is refused.
pub(crate) const OPERATIONS_MAX: usize = 4096;
/// Most commands written to a server in one piece.
pub(crate) const PIPELINE_MAX: usize = 512;
/// Shortest and longest pause before another connection is tried; doubles, full jitter.
pub(crate) const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How often a connection is asked whether it lives, and a sentinel who the master is.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
/// The same while the breaker does not admit.
pub(crate) const PROBE: Duration = Duration::from_millis(200);
/// A caller who gave less time than this cannot blame the server.
pub(crate) const FAIR_TIME: Duration = Duration::from_millis(10);

/// One login.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) info: RedisConnectionInfo,
    pub(crate) tls: Option<Tls>,
    /// A password must not go to an address that is not private (MG-02).
    pub(crate) private_only: bool,
}

pub(crate) struct Settings {
    pub(crate) mode: RedisMode,
    pub(crate) addresses: Vec<Address>,
    pub(crate) login: Login,
    pub(crate) sentinel: Option<SentinelSettings>,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) retry_delay: Duration,
    pub(crate) pool_size: usize,
    /// One permit a socket.
    pub(crate) sockets: Arc<Semaphore>,
    /// Grows with every connection to a master.
    pub(crate) generation: watch::Sender<u64>,
    pub(crate) metrics: Arc<StoreLinkMetrics>,
}

pub(crate) struct SentinelSettings {
    pub(crate) addresses: Vec<Address>,
    pub(crate) master: String,
    pub(crate) login: Login,
}

impl Settings {
    /// Reads certificate files; blocks.
    pub(crate) fn build(config: &Redis, metrics: Arc<StoreLinkMetrics>) -> Result<Self, BuildError> {
        let tls = config.tls.as_ref().map(Tls::build).transpose()?;
        let mut info = login(config.username.as_deref(), config.password.as_ref());
        info = info.set_db(i64::from(config.database));
        let private_only = |password: bool, tls: bool| password && !tls && !config.allow_plaintext;
        let addresses = addresses(&config.addresses)?;
        let sentinel = config.sentinel.as_ref().map(|sentinel| -> Result<_, BuildError> {
            let trust = match (&tls, sentinel.tls) {
                (_, false) => None,
                (Some(tls), true) => Some(tls.clone()),
                (None, true) => Some(Tls::build(&holdfast_config::RedisTls {
                    ca_file: None,
                    cert_file: None,
                    key_file: None,
                    server_name: None,
                })?),
            };
            Ok(SentinelSettings {
                addresses: self::addresses(&sentinel.addresses)?,
                master: sentinel.master.clone(),
                login: Login {
                    info: login(sentinel.username.as_deref(), sentinel.password.as_ref()),
                    tls: trust,
                    private_only: private_only(sentinel.password.is_some(), sentinel.tls),
                },
            })
        });
        let sentinel = sentinel.transpose()?;
        let named = sentinel.as_ref().map_or(&addresses, |sentinel| &sentinel.addresses);
        if named.is_empty() {
            return Err(BuildError::Address("no server is named".to_owned()));
        }
        Ok(Self {
            mode: config.mode,
            login: Login { info, private_only: private_only(config.password.is_some(), tls.is_some()), tls },
            addresses,
            sentinel,
            connect_timeout: config.connect_timeout,
            command_timeout: config.command_timeout,
            max_retries: config.max_retries,
            retry_delay: config.retry_delay,
            pool_size: config.pool_size,
            sockets: Arc::new(Semaphore::new(config.pool_size)),
            generation: watch::Sender::new(0),
            metrics,
        })
    }

    /// Whether the operator wrote this address down; others come from sentinels and clusters.
    pub(crate) fn names(&self, address: &Address) -> bool {
        let sentinels = self.sentinel.as_ref().map_or(&[][..], |sentinel| &sentinel.addresses);
        self.addresses.iter().chain(sentinels).any(|known| known == address)
    }

    /// How a server is judged: it is refused after five failures in a row, or half of twenty, for a second at first and five at most, and
    /// at once no more when a probe reaches it. While it is tried, sixteen operations may do so together.
    pub(crate) fn policy() -> EndpointPolicy {
        let breaker = BreakerPolicy {
            open: Duration::from_secs(1),
            open_max: Duration::from_secs(5),
            successes: 1,
            probes_concurrent: 16,
            max_half_open: Duration::from_secs(5),
            ..BreakerPolicy::default()
        };
        EndpointPolicy { breaker: Some(breaker), ..EndpointPolicy::default() }
    }
}

fn login(username: Option<&str>, password: Option<&holdfast_config::Secret>) -> RedisConnectionInfo {
    let mut info = RedisConnectionInfo::default().set_lib_name("holdfast", env!("CARGO_PKG_VERSION"));
    if let Some(username) = username {
        info = info.set_username(username);
    }
    if let Some(password) = password {
        info = info.set_password(password.expose());
    }
    info
}

fn addresses(texts: &[String]) -> Result<Vec<Address>, BuildError> {
    let parse = |text: &String| {
        Address::parse(text).ok_or_else(|| BuildError::Address(format!("{text:?} is no `host:port`")))
    };
    texts.iter().map(parse).collect()
}
