//! The drivers end to end: a real client side in process, real HTTP servers on loopback behind them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    clippy::single_match_else,
    reason = "a test target: helpers fail the test by panicking, and take literals as they come"
)]

mod answers;
mod batches;
mod drain;
mod expiry;
mod gateway;
mod handles;
mod inputs;
mod kills;
mod limits;
mod listening;
mod merged;
mod merged_listening;
mod merged_rules;
mod merged_sessions;
mod pins;
mod rules;
mod sessions;
mod shared_store;
mod storms;
mod streams;
mod takeover;
mod upstream;
mod wait;
