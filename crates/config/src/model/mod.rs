//! The canonical form of a configuration: every alias resolved, every default filled in.

mod auth;
mod federation;
mod fronts;
mod ha;
mod listener;
mod mcp;
mod observability;
mod policy;
mod redis;
mod routing;

pub use auth::*;
pub use federation::*;
pub use fronts::*;
pub use ha::*;
pub use listener::*;
pub use mcp::*;
pub use observability::*;
pub use policy::*;
pub use redis::*;
pub use routing::*;

/// A whole configuration after loading: what `serve` runs on and `check` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Schema version; 1 is the only one. Optional in a file.
    pub version: u32,
    /// Process-wide limits, timeouts and drain; also the defaults of every listener.
    pub server: Server,
    /// The listeners. `server.{host,port,protocol,tls}` is the first, `listeners[]` the rest.
    pub listeners: Vec<Listener>,
    /// The admin port: metrics, health, status, reload, drain.
    pub admin: Admin,
    /// Upstream connection pools.
    pub connection_pool: ConnectionPool,
    /// Who may call, unless a route says otherwise.
    pub auth: Auth,
    /// Sealed session tokens and stream logs.
    pub sessions: Sessions,
    /// Servers that the replicas share. Default: none.
    pub redis: Option<Redis>,
    /// Balancing, health checks, breaker and retry: defaults of every upstream.
    pub routing: Routing,
    /// Metrics, logs, access records.
    pub observability: Observability,
    /// MCP servers and their policy.
    pub mcp: Mcp,
    /// Plain HTTP routes.
    pub apis: Vec<Api>,
    /// This replica and the others.
    pub ha: Ha,
}
