//! Several replicas of the gateway behind a real load balancer that never retries.

use crate::{
    Result,
    gateway::{Config, Gateway},
    haproxy::Haproxy,
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// HAProxy checks each 100 ms and may find the replica just before it dies: until then it may send requests to a dead one.
const UNNOTICED: Duration = Duration::from_millis(400);

/// One SIGKILL of a replica.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// Which one.
    pub index: usize,
    /// Just before the signal.
    pub before: Instant,
    /// The process was gone.
    pub after: Instant,
}

impl Kill {
    /// Whether something that took place from `began` to `ended` was under way at the replica when it died, or was sent to it
    /// before the balancer noticed.
    pub fn met(&self, began: Instant, ended: Instant) -> bool {
        began <= self.after + UNNOTICED && ended >= self.before
    }
}

/// The replicas and their balancer.
#[derive(Debug)]
pub struct Replicas {
    gateways: Vec<Gateway>,
    configs: Vec<Config>,
    haproxy: Haproxy,
}

impl Replicas {
    /// Starts one gateway per configuration, and HAProxy before them.
    pub async fn start(configs: Vec<Config>) -> Result<Self> {
        let mut gateways = Vec::new();
        for config in &configs {
            gateways.push(Gateway::start(config).await?);
        }
        let addresses: Vec<SocketAddr> = gateways.iter().map(|gateway| gateway.address).collect();
        let configs = configs
            .into_iter()
            .zip(&addresses)
            .map(|(config, address)| config.port(address.port()))
            .collect();
        let haproxy = Haproxy::start(&addresses).await?;
        Ok(Self { gateways, configs, haproxy })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.haproxy.address
    }

    /// The replicas.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// What a replica was started with; its port is in it.
    pub fn config(&self, index: usize) -> &Config {
        &self.configs[index]
    }

    /// SIGKILL.
    pub fn kill(&mut self, index: usize) -> Result<Kill> {
        let before = Instant::now();
        self.gateways[index].kill()?;
        Ok(Kill { index, before, after: Instant::now() })
    }

    /// Starts a killed replica again and waits until the balancer uses it.
    pub async fn restart(&mut self, index: usize) -> Result {
        self.gateways[index] = Gateway::start(&self.configs[index]).await?;
        self.haproxy.up(index).await
    }

    /// What all of them have logged.
    pub fn logs(&self) -> String {
        self.gateways.iter().map(Gateway::log).collect::<Vec<_>>().join("\n")
    }
}
