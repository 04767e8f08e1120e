//! Sessions that are opened and left alone: what they cost the gateway, and what they cost Redis.

use super::{gateway::Gateway, open, server::Server};
use crate::{
    Error,
    figures::{Budget, Figures},
};
use holdfast_test_servers::{Options as ServerOptions, Server as Redis};
use std::{path::Path, time::Instant};

/// Opened before memory is looked at for the first time: buffers, pools and what the allocator keeps are there then.
const WARM_UP: u32 = 20_000;
/// Memory is measured in pages and the allocator keeps some for itself: what is below this per session is noise of that.
const NOISE_BYTES: f64 = 8.0;
const MIB: f64 = 1024.0 * 1024.0;

/// DESIGN, section 5.
const IDLE: Budget = Budget { most: NOISE_BYTES, words: "0 (below 8 is noise)" };

/// Opens `sessions` through a gateway without and one with a Redis.
pub(super) fn measure(binary: &Path, sessions: u32, figures: &mut Figures) -> Result<(), Error> {
    let (server, redis) = (Server::start()?, Redis::start(&ServerOptions::new())?);
    let shared = format!("redis: {{url: '{}'}}\n", redis.url());
    for (name, shared) in [("without Redis", ""), ("with Redis", &*shared)] {
        let folder = tempfile::tempdir()?;
        let gateway = Gateway::start(binary, folder.path(), &server, "", shared)?;
        open_idle(&gateway, &redis, name, sessions, figures)?;
    }
    Ok(())
}

fn open_idle(
    gateway: &Gateway,
    redis: &Redis,
    name: &str,
    sessions: u32,
    figures: &mut Figures,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let redis_bytes = || -> Result<f64, Error> { Ok(redis.info("used_memory")?.parse()?) };
    runtime.block_on(open::sessions(gateway, WARM_UP, drop))?;
    gateway.hand_over()?;
    let (before, stored) = (gateway.quiet_bytes(), redis_bytes()?);
    let (began, cpu) = (Instant::now(), gateway.process.cpu());
    runtime.block_on(open::sessions(gateway, sessions, drop))?;
    let (took, cpu) = (began.elapsed(), gateway.process.cpu().saturating_sub(cpu));
    let at_once = gateway.quiet_bytes();
    gateway.hand_over()?;
    let (first, stored) = (gateway.quiet_bytes(), redis_bytes()? - stored);
    // What the allocator keeps of a crowd for the next one is no session's.
    runtime.block_on(open::sessions(gateway, sessions, drop))?;
    gateway.hand_over()?;
    let second = gateway.quiet_bytes();
    gateway.lost_none()?;
    let each = |more: f64| more / f64::from(sessions);
    figures.add(format!("{name}: RSS before any"), before / MIB, "MiB");
    figures.add(format!("{name}: RSS right after {sessions} sessions opened"), at_once / MIB, "MiB");
    figures.add(format!("{name}: RSS once their last uses are told"), first / MIB, "MiB");
    figures.add(format!("{name}: RSS with as many again, told"), second / MIB, "MiB");
    figures.add(format!("{name}: memory of a session just used"), each(at_once - before), "bytes");
    figures.judge(format!("{name}: memory of an idle session"), each(first - before), "bytes", IDLE);
    figures.judge(format!("{name}: memory of each further one"), each(second - first), "bytes", IDLE);
    figures.add(format!("{name}: Redis' memory of an idle session"), each(stored), "bytes");
    figures.add(format!("{name}: CPU of opening one"), each(cpu.as_secs_f64() * 1e6), "us");
    figures.add(format!("{name}: sessions opened"), f64::from(sessions) / took.as_secs_f64(), "per second");
    Ok(())
}
