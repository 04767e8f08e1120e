//! The call side against real sockets on loopback.

mod bodies;
mod cancel;
mod dns;
mod failover;
mod http2;
mod pool;
mod probes;
mod reuse;
mod scripts;
mod server;
mod support;
mod tls;
mod upgrade;
