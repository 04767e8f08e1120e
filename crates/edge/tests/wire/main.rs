//! The accept side over real sockets.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

mod caps;
mod deadlines;
mod drain;
mod frames;
mod framing;
mod harness;
mod http2;
mod long;
mod proxy;
mod storms;
mod tls;
mod upgrade;
