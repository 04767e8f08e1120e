//! The clocks of the replicas differ by a minute.

use crate::{
    hold,
    scene::{Scene, Shows},
};
use holdfast_test_servers::{Options, Server};
use holdfast_tests::{
    Result,
    mcp::{Client, Era},
};

/// Shorter than the clocks are apart: to the replica that is ahead, every token of the others has expired already.
const LIFE: [&str; 2] = ["absolute_ttl: 50s", "ttl: 50s"];

#[tokio::test(flavor = "multi_thread")]
async fn alone_one_replica_is_a_minute_ahead_and_sessions_begin_and_end_everywhere() -> Result {
    let mut redis = Server::start(&Options::new())?;
    let store = format!("redis: {{url: '{}'}}\n", redis.url());
    let mut scene = Scene::start_with("clocks 60 s apart", |index, config| {
        let config = config.root(&store).sessions(&LIFE);
        if index == 1 { config.clock("+60s") } else { config }
    })
    .await?;
    let [behind, ahead, _] = scene.trio.replicas.gateways() else { unreachable!("three replicas") };
    let (behind, ahead) = (behind.address, ahead.address);

    let mut fault = scene.strike("Redis away", Shows::Yes, || redis.kill()).await?;
    for [at, elsewhere] in [[behind, ahead], [ahead, behind]] {
        let mut client = Client::new(at, "/mcp/tools", Era::Legacy);
        client.open().await?;
        client.go_to(elsewhere);
        assert!(client.list_tools().await? > 0, "a session of the other clock");
        assert_eq!(client.end().await?, 204);
        fault.has_ended(client);
    }
    scene.move_a_session(&mut fault).await?;
    let ended = scene.lift(fault, hold(3000, 10), || redis.restart()).await?;
    scene.newcomer_refuses(&ended).await?;
    scene.finish().await
}
