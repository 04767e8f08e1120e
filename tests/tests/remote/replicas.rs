//! A session whose link is at one replica, used at another.

use crate::site::{Carrier, LIMIT, Server, config, told};
use holdfast_tests::{
    Result,
    gateway::Gateway,
    mcp::{Client, Era},
    sharing, wait,
};
use serde_json::json;

/// Two replicas with a scripted server behind them: over HTTP+SSE at `/mcp/sse`, over WebSocket at `/mcp/ws`.
async fn pair(keys: &str) -> Result<([Gateway; 2], Server, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let server = Server::scripted("scripted", folder.path()).await?;
    let servers = Carrier::ALL
        .map(|carrier| (carrier.to_string(), format!("era: dual, {}{keys}", carrier.keys(&[server.port]))));
    let mut gateways = Vec::new();
    for block in sharing::channel(2)? {
        gateways.push(Gateway::start(&config(&servers).root(&block)).await?);
    }
    let gateways: [Gateway; 2] = gateways.try_into().map_err(|_| "two gateways")?;
    sharing::meet(&[&gateways[0], &gateways[1]]).await?;
    Ok((gateways, server, folder))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_used_at_every_replica_while_one_holds_its_link() -> Result {
    let ([holder, other], _server, _folder) = pair("").await?;
    for carrier in Carrier::ALL {
        let name = carrier.to_string();
        let mut client = Client::new(holder.address, &format!("/mcp/{carrier}"), Era::Legacy);
        client.open().await?;
        for number in 0..30 {
            client.go_to(if number % 3 == 0 { holder.address } else { other.address });
            assert_eq!(client.call("echo", json!({"x": number})).await?["x"], number, "{carrier}");
        }
        client.go_to(other.address);
        let steps = json!({"_meta": {"progressToken": 7}, "steps": 3});
        assert_eq!(client.call("progress", steps).await?["done"], true, "{carrier}: an event stream");
        let failed = format!("{:?}", client.call("die", json!({})).await);
        assert!(failed.contains("upstream_lost"), "{carrier}: {failed}");
        let failed = format!("{:?}", client.call("echo", json!({})).await);
        assert!(failed.contains("404"), "{carrier}: {failed}");
        assert_eq!(told(&other, &name).await?["links"].as_array().map(Vec::len), Some(0), "{carrier}");
        // Its end is told where the link is.
        client.go_to(holder.address);
        client.open().await?;
        assert_eq!(told(&holder, &name).await?["links"].as_array().map(Vec::len), Some(1), "{carrier}");
        client.go_to(other.address);
        assert!(client.end().await? < 300);
        wait::until("the link ends with its session", LIMIT, || async {
            let links = told(&holder, &name).await.ok()?["links"].as_array()?.len();
            (links == 0).then_some(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_holder_is_killed_goes_on_where_it_may_and_is_404_where_not() -> Result {
    for (keys, goes_on) in [(", session: replayable", true), ("", false)] {
        let ([mut holder, other], _server, _folder) = pair(keys).await?;
        let mut clients = Vec::new();
        for carrier in Carrier::ALL {
            let mut client = Client::new(holder.address, &format!("/mcp/{carrier}"), Era::Legacy);
            client.open().await?;
            client.go_to(other.address);
            assert_eq!(client.call("echo", json!({"x": 1})).await?["x"], 1);
            clients.push(client);
        }
        holder.kill()?;
        for mut client in clients {
            wait::until("the other replica knows that the holder is dead", LIMIT, || {
                let said = client.at(other.address);
                async move {
                    let mut said = said;
                    match said.call("echo", json!({"x": 2})).await {
                        Ok(answer) => (goes_on && answer["x"] == 2).then_some(()),
                        Err(failure) => (!goes_on && format!("{failure:?}").contains("404")).then_some(()),
                    }
                }
            })
            .await?;
            let answered = client.call("echo", json!({"x": 3})).await;
            assert_eq!(answered.is_ok(), goes_on, "{answered:?}");
        }
    }
    Ok(())
}
