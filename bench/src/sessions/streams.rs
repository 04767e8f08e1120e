//! Listening streams that are open and quiet: what each costs the gateway, over plaintext on both sides.

use super::{gateway::Gateway, open, server::Server};
use crate::{
    Error,
    figures::{Budget, Figures},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{cell::RefCell, path::Path, time::Duration};

/// Opened and left before memory is looked at: buffers, pools and what the allocator keeps are there then.
const WARM_UP: u32 = 500;
/// Open files of this process and of the gateway that are no streams.
const FILES: u64 = 1_000;
/// With fewer, the allocator's own steps would be what is measured.
const FEWEST: u32 = 1_000;
/// For all streams to be counted.
const PATIENCE: Duration = Duration::from_secs(30);
const OPEN: &str = "holdfast_mcp_streams_open";
const LISTENING: &str = "kind=\"get\"";

/// DESIGN, section 5.
const STREAM: Budget = Budget { most: 16.0, words: "<= 16 KiB" };

/// Opens `asked` through a gateway, or as many as there may be open files. How many that were; none if they were too few to be measured.
pub(super) fn measure(binary: &Path, asked: u32, figures: &mut Figures) -> Result<u32, Error> {
    let count = allowed(asked)?;
    if count < asked.min(FEWEST) {
        return Ok(0);
    }
    let (server, folder) = (Server::start()?, tempfile::tempdir()?);
    let gateway = Gateway::start(binary, folder.path(), &server, "")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tokens = RefCell::new(Vec::new());
    runtime.block_on(open::sessions(&gateway, WARM_UP + count, |token| tokens.borrow_mut().push(token)))?;
    let mut tokens = tokens.into_inner();
    let first = runtime.block_on(open::streams(&gateway, tokens.split_off(count as usize)))?;
    // They stay open: what is measured is what each further one costs.
    gateway.wait(OPEN, LISTENING, f64::from(WARM_UP), PATIENCE)?;
    let before = gateway.quiet_bytes();
    let further = runtime.block_on(open::streams(&gateway, tokens))?;
    gateway.wait(OPEN, LISTENING, f64::from(WARM_UP + count), PATIENCE)?;
    let after = gateway.quiet_bytes();
    gateway.lost_none()?;
    drop((first, further));
    let each = (after - before) / f64::from(count) / 1024.0;
    figures.judge(format!("memory of an open stream, {count} at once"), each, "KiB", STREAM);
    Ok(count)
}

/// Each stream is two files of the gateway, and two of this process, which is the client and the server. The gateway inherits the limit.
fn allowed(asked: u32) -> Result<u32, Error> {
    let files = |streams: u32| 2 * u64::from(streams + WARM_UP) + FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= files(asked)
        || setrlimit(Resource::RLIMIT_NOFILE, files(asked), hard.max(files(asked))).is_ok()
    {
        return Ok(asked);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let most = (hard.saturating_sub(FILES) / 2).saturating_sub(u64::from(WARM_UP));
    Ok(asked.min(u32::try_from(most).unwrap_or(u32::MAX)))
}
