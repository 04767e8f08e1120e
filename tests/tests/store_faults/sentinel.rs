//! A master behind sentinels dies, with and without its last writes.

use crate::scene::{Scene, Shows};
use holdfast_test_servers::{SENTINEL_NAME, Sentinel, Server, Value, until};
use holdfast_tests::Result;
use std::time::{Duration, Instant};

/// Time the servers get to agree.
const AGREE: Duration = Duration::from_mins(1);

fn behind(all: &Sentinel) -> String {
    let addresses = all.addresses().join(", ");
    format!("redis: {{sentinel: {{addresses: [{addresses}], master: {SENTINEL_NAME}}}}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_the_master_behind_sentinels_dies_and_takes_its_last_writes_along() -> Result {
    let mut all = Sentinel::start()?;
    let mut scene = Scene::start("Sentinel", &behind(&all)).await?;
    let mut dead = None;
    let mut fault = scene
        .strike("master killed", Shows::Yes, || {
            dead = Some(all.kill_master()?);
            Ok(())
        })
        .await?;
    scene.move_a_session(&mut fault).await?;
    scene.heals(fault).await?;

    if let Some(dead) = dead {
        all.servers[dead].restart()?;
    }
    all.wait_formed()?;
    // From here on the master alone has what it acknowledges: a session is ended, another one moves.
    let name = "master killed, its last writes lost";
    let mut fault = scene.strike(name, Shows::No, || detach(&all)).await?;
    scene.move_a_session(&mut fault).await?;
    let (master, began) = (all.master()?, Instant::now());
    let kept = all.servers.iter().map(ends).collect::<Result<Vec<i64>>>()?;
    let lost = kept.iter().enumerate().all(|(index, ends)| index == master || *ends < kept[master]);
    assert!(lost, "a replica has the last writes as well: {kept:?}, the master is {master}");
    all.kill_master()?;
    scene.seen(name, began).await?;
    let ended = scene.lift(fault, Duration::ZERO, || Ok(())).await?;
    scene.newcomer_refuses(&ended).await?;
    scene.finish().await
}

/// The replicas have everything, and copy nothing any more. The sentinels would put that in order after some ten seconds.
fn detach(all: &Sentinel) -> Result {
    let master = all.master()?;
    let offset = |server: &Server| server.info("master_repl_offset");
    until("the replicas have everything", AGREE, || {
        let head = offset(&all.servers[master]).ok()?;
        all.servers.iter().all(|server| offset(server).is_ok_and(|at| at == head)).then_some(())
    })?;
    for (index, server) in all.servers.iter().enumerate() {
        if index != master {
            server.command(&["REPLICAOF", "127.0.0.1", "1"])?;
        }
    }
    Ok(())
}

/// How many ends of sessions a server knows.
fn ends(server: &Server) -> Result<i64> {
    match server.command(&["XLEN", "holdfast:revoked:{changes}"])? {
        Value::Int(count) => Ok(count),
        other => Err(format!("no length: {other:?}").into()),
    }
}
