//! `holdfast demo`: a gateway, two replicas of a small MCP server, and clients that never retry.
//!
//! Three real processes besides this one. One replica is killed with SIGKILL under load; the calls go on.

mod client;
mod flight;
mod process;
pub(crate) mod server;
mod story;
mod tools;
mod view;

use crate::args::DemoArgs;
use crate::exit::Failure;

/// Runs the demo until Ctrl-C, or once.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            outcome = story::tell(args) => outcome,
            // The processes end with the values that hold them.
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}
