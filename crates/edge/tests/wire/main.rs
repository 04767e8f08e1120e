//! The accept side over real sockets.

mod caps;
mod deadlines;
mod drain;
mod framing;
mod harness;
mod http2;
mod proxy;
mod tls;
mod upgrade;
