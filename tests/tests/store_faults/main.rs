//! The shared store fails under load, in every way that a real Redis can, and clients do not notice: no request fails, no session is
//! lost, a session that was ended meanwhile stays ended, and one whose MCP server died meanwhile has moved.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

mod clocks;
mod cluster;
mod relay;
mod scene;
mod sentinel;
mod single;
mod together;

use holdfast_tests::soak;
use std::time::Duration;

/// How long a fault lasts: `lean` in the short form, `long` seconds in the long one.
fn hold(lean: u64, long: u64) -> Duration {
    if soak() { Duration::from_secs(long) } else { Duration::from_millis(lean) }
}
