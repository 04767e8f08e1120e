//! Real Redis servers for tests: one server, a master behind sentinels, a cluster; a proxy that delays and cuts; certificates.
//!
//! `HOLDFAST_REDIS_SERVER` names another program than `redis-server`, such as a Valkey.
//! Everything blocks, listens on free ports of the loopback interface only, and is killed by its process id when dropped.

mod certificates;
mod cluster;
mod process;
mod proxy;
mod sentinel;
mod server;
mod wait;

pub use certificates::Certificates;
pub use cluster::Cluster;
pub use proxy::Proxy;
pub use redis::Value;
pub use sentinel::{NAME as SENTINEL_NAME, Sentinel};
pub use server::{Options, Server};
pub use wait::until;

/// Whatever stops a test, with its story.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Result of a step of a test.
pub type Result<T = ()> = std::result::Result<T, Error>;
