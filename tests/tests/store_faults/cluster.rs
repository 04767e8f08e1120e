//! A cluster loses a primary, then a whole shard, and moves a slot.

use crate::{
    hold,
    scene::{Scene, Shows},
};
use holdfast_test_servers::{Cluster, Value};
use holdfast_tests::Result;

/// The slot of this key is the one that every replica looks at all the time.
const CHANGES: &str = "holdfast:revoked:{changes}";
/// Lives in the same slot.
const MARK: &str = "holdfast:birth:{changes}";

fn of(all: &Cluster) -> String {
    format!("redis: {{mode: cluster, addresses: [{}]}}\n", all.addresses().join(", "))
}

fn slot(all: &Cluster) -> Result<u16> {
    match all.nodes[0].command(&["CLUSTER", "KEYSLOT", CHANGES])? {
        Value::Int(slot) => Ok(u16::try_from(slot)?),
        other => Err(format!("no slot: {other:?}").into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_cluster_loses_a_primary_then_a_shard_and_moves_a_slot() -> Result {
    let mut all = Cluster::start()?;
    let slot = slot(&all)?;
    let mut scene = Scene::start("Cluster", &of(&all)).await?;

    let primary = all.master(slot)?;
    let mut fault = scene.strike("primary killed", Shows::Yes, || all.nodes[primary].kill()).await?;
    scene.move_a_session(&mut fault).await?;
    scene.heals(fault).await?;
    all.nodes[primary].restart()?;
    all.wait_well()?;

    let shard = all.shard(slot)?;
    let mut fault = scene
        .strike("whole shard lost", Shows::Yes, || shard.iter().try_for_each(|node| all.nodes[*node].kill()))
        .await?;
    scene.move_a_session(&mut fault).await?;
    let back = || shard.iter().try_for_each(|node| all.nodes[*node].restart());
    let ended = scene.lift(fault, hold(4000, 30), back).await?;
    scene.newcomer_refuses(&ended).await?;
    all.wait_well()?;

    let from = all.master(slot)?;
    let to = all.master(slot.wrapping_add(8192) % 16384)?;
    assert_ne!(from, to, "the slots are spread");
    // Of the keys that one script reads together, some are here and some there: the servers ask to try again.
    let begin = || {
        all.begin_move(slot, from, to)?;
        all.move_key(MARK, from, to)
    };
    let mut fault = scene.strike("slot migrates", Shows::Yes, begin).await?;
    scene.move_a_session(&mut fault).await?;
    let end = || {
        while all.move_keys(slot, from, to, 100)? > 0 {}
        all.end_move(slot, from, to)
    };
    scene.lift(fault, hold(1000, 30), end).await?;
    scene.finish().await
}
