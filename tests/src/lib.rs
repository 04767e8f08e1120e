//! What the end to end tests share: real processes with free ports that die with the test, clients that never retry
//! and count exactly, and waits that end at a deadline instead of sleeping.

#![allow(clippy::print_stdout, reason = "the tests print tables of what they measured")]

pub mod client;
pub mod conformance;
pub mod counting;
pub mod crowd;
pub mod fixture;
pub mod gateway;
pub mod haproxy;
pub mod journal;
pub mod kosoku;
pub mod load;
pub mod mcp;
pub mod metrics;
pub mod named;
pub mod place;
pub mod process;
pub mod replicas;
pub mod rotel;
pub mod sdk;
pub mod sessions;
pub mod sharing;
pub mod streaming;
pub mod tools;
pub mod trio;
pub mod wait;

/// Whatever stops a test, with its story.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Result of a step of a test.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// True when the long forms were asked for: `HOLDFAST_SOAK=1`.
pub fn soak() -> bool {
    std::env::var_os("HOLDFAST_SOAK").is_some_and(|value| value == "1")
}
