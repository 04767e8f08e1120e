//! Several replicas write the journal of one session at the same moment.

use holdfast_test_servers::{Options as ServerOptions, Server};
use holdfast_tests::{
    Result,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    load,
    mcp::{Client, Era},
    replicas::Replicas,
    soak,
};
use serde_json::json;
use std::collections::BTreeSet;

/// The same session at every replica.
fn everywhere(client: &Client, gateways: &[Gateway]) -> [Client; 3] {
    std::array::from_fn(|index| client.at(gateways[index].address).counting_from(1000 * (index as u64 + 1)))
}

/// Where each of these finds its session, all asked at the same moment.
async fn asked_together(clients: &mut [Client; 3]) -> Result<BTreeSet<String>> {
    let [a, b, c] = clients;
    let (a, b, c) = tokio::try_join!(
        a.tool("whoami", json!({})),
        b.tool("whoami", json!({})),
        c.tool("whoami", json!({}))
    )?;
    Ok(BTreeSet::from([a, b, c]))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_that_move_a_session_at_once_agree_where_it_lives() -> Result {
    let rounds = if soak() { 400 } else { 40 };
    let (mut one, two, three) = tokio::try_join!(
        Fixture::start(Options::named("one")),
        Fixture::start(Options::named("two")),
        Fixture::start(Options::named("three"))
    )?;
    let redis = Server::start(&ServerOptions::new())?;
    let endpoints = [&one, &two, &three].map(Fixture::mcp).join(", ");
    let config = Config::default().root(&format!(
        "\
redis: {{url: '{}'}}
mcp:
  servers:
    - {{name: tools, session: replayable, endpoints: [{endpoints}]}}
",
        redis.url()
    ));
    let replicas = Replicas::start(vec![config; 3]).await?;
    let mut moving = Vec::new();
    while moving.len() < rounds {
        let mut client = Client::new(replicas.address(), "/mcp/tools", Era::Legacy);
        client.open().await?;
        if client.tool("whoami", json!({})).await? == "one" {
            moving.push(everywhere(&client, replicas.gateways()));
        }
    }
    one.kill()?;
    let mut split = 0;
    for clients in &mut moving {
        // Each replica answers from where it has opened the session, or from where the fastest of them has.
        let now = asked_together(clients).await.map_err(|why| format!("{why}\n{}", replicas.logs()))?;
        assert!(!now.contains("one"), "{now:?}");
        split += usize::from(now.len() > 1);
        let later = asked_together(clients).await?;
        assert_eq!(later, now, "a session moved twice\n{}", replicas.logs());
    }
    let (mut moves, mut taken) = (0.0, 0.0);
    for gateway in replicas.gateways() {
        let metrics = gateway.metrics().await?;
        moves += metrics.sum("holdfast_mcp_rebindings_total", &["result=\"ok\""]);
        taken += metrics.sum("holdfast_mcp_rebindings_total", &["result=\"failed\""]);
    }
    println!(
        "{rounds} sessions moved by three replicas at once: {moves} opened anew, {taken} in vain, {split} split"
    );
    load::total(&format!(
        "three replicas move {rounds} sessions at once: {moves} opened, {split} live in two places"
    ));
    assert_eq!(split, 0, "replicas disagree where a session lives\n{}", replicas.logs());
    assert!(moves > f64::from(u32::try_from(rounds)?), "no two replicas ever met");
    Ok(())
}
