//! The call side against real sockets on loopback.

// Helpers of tests may panic like tests do; counters are exact as floats.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp)]

mod bodies;
mod cancel;
mod dns;
mod failover;
mod http1;
mod http2;
mod pool;
mod probes;
mod reuse;
mod scripts;
mod server;
mod support;
mod tls;
mod upgrade;
