//! Replicas tell each other of sessions that ended or moved; regions that share only the key ring serve each other's.

use super::{END, config};
use holdfast_test_servers::{Options as ServerOptions, Server};
use holdfast_tests::{
    Result,
    fixture::{Fixture, Options},
    gateway::Gateway,
    mcp::{Client, Era, Failure},
    replicas::Replicas,
    sharing, wait,
};
use serde_json::json;
use std::time::Instant;

#[tokio::test]
async fn a_session_of_one_region_goes_on_in_another_that_shares_only_the_key_ring() -> Result {
    let server = Fixture::start(Options::named("one")).await?;
    let region = |name: &str| config(&[&server], &format!("ha: {{region: {name}}}\n"));
    let replicas = Replicas::start(vec![region("x"), region("y")]).await?;
    let [x, y] = replicas.gateways() else { unreachable!("two replicas") };
    let mut client = Client::new(x.address, "/mcp/tools", Era::Legacy);
    client.open().await?;
    client.list_tools().await?;
    client.go_to(y.address);
    let began = Instant::now();
    assert!(client.list_tools().await? > 0, "POST");
    assert_eq!(client.listen().await?, 200, "GET");
    assert_eq!(client.end().await?, 204, "DELETE");
    assert!(matches!(client.list_tools().await, Err(Failure::Status(404, _))), "the session is over");
    println!("the other region served it within {:?}", began.elapsed());
    Ok(())
}

/// What two replicas have in common besides the key ring.
#[derive(Clone, Copy, Debug)]
enum Common {
    Redis,
    Channel,
}

/// Two replicas, and whatever they share, kept alive beside them.
async fn pair(servers: &[&Fixture], common: Common) -> Result<(Replicas, Option<Server>)> {
    match common {
        Common::Redis => {
            let redis = Server::start(&ServerOptions::new()).map_err(|why| why.to_string())?;
            let extra = format!("redis: {{url: '{}'}}\n", redis.url());
            let replicas = Replicas::start(vec![config(servers, &extra), config(servers, &extra)]).await?;
            Ok((replicas, Some(redis)))
        }
        Common::Channel => {
            let configs = sharing::channel(2)?.iter().map(|channel| config(servers, channel)).collect();
            let replicas = Replicas::start(configs).await?;
            sharing::meet(&replicas.gateways().iter().collect::<Vec<_>>()).await?;
            Ok((replicas, None))
        }
    }
}

#[tokio::test]
async fn a_session_ended_at_one_replica_is_ended_at_the_other() -> Result {
    for common in [Common::Redis, Common::Channel] {
        let server = Fixture::start(Options::named("one")).await?;
        let (replicas, _redis) = pair(&[&server], common).await?;
        let [a, b] = replicas.gateways() else { unreachable!("two replicas") };
        let status = a.status().await?;
        match common {
            Common::Redis => {
                assert_eq!((&status["store"]["mode"], &status["replicas"]), (&json!("single"), &json!(null)));
                assert_eq!(status["store"]["servers"][0]["role"], "master", "{status}");
            }
            Common::Channel => {
                assert_eq!(status["store"]["mode"], "memory");
                let others = status["replicas"]["others"].as_array().ok_or("no others")?;
                assert!(others.iter().any(|other| other["state"] == "living"), "{status}");
            }
        }
        let mut client = Client::new(a.address, "/mcp/tools", Era::Legacy);
        client.open().await?;
        client.list_tools().await?;
        let mut elsewhere = client.at(b.address);
        assert!(elsewhere.list_tools().await? > 0, "{common:?}: both serve it");
        assert_eq!(client.end().await?, 204);
        // Its server would say 404 as well: what counts is that this replica knows by itself.
        let refused = async || {
            let lost = matches!(elsewhere.at(b.address).list_tools().await, Err(Failure::Status(404, _)));
            let metrics = b.metrics().await.ok()?;
            let ended = metrics.sum("holdfast_mcp_sessions_refused_total", &["reason=\"ended\""]);
            (lost && ended > 0.5).then_some(())
        };
        wait::until(&format!("{common:?}: the other replica knows"), END, refused)
            .await
            .map_err(|why| format!("{why}\n{}", replicas.logs()))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_session_moved_by_one_replica_is_not_moved_again_by_the_other() -> Result {
    for common in [Common::Redis, Common::Channel] {
        let mut one = Fixture::start(Options::named("one")).await?;
        let two = Fixture::start(Options::named("two")).await?;
        let (replicas, _redis) = pair(&[&one, &two], common).await?;
        let [a, b] = replicas.gateways() else { unreachable!("two replicas") };
        // One that lives on the first server.
        let mut client = loop {
            let mut client = Client::new(a.address, "/mcp/tools", Era::Legacy);
            client.open().await?;
            if client.tool("whoami", json!({})).await? == "one" {
                break client;
            }
        };
        one.kill()?;
        client.list_tools().await?;
        let moved = async |gateway: &Gateway| -> Result<f64> {
            Ok(gateway.metrics().await?.sum("holdfast_mcp_rebindings_total", &["result=\"ok\""]))
        };
        assert!((moved(a).await? - 1.0).abs() < 0.1, "{common:?}: moved once\n{}", a.log());
        let mut elsewhere = client.at(b.address);
        assert_eq!(elsewhere.tool("whoami", json!({})).await?, "two", "{common:?}\n{}", b.log());
        assert!(
            moved(b).await? < 0.1,
            "{common:?}: the other replica used the move of the first\n{}",
            b.log()
        );
    }
    Ok(())
}
