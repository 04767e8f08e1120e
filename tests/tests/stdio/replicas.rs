//! Programs that run at one replica, and what is bound to their processes, at another.

use crate::site::{config, server};
use holdfast_tests::{
    Result,
    gateway::Gateway,
    mcp::{Client, Era},
    sharing,
};
use serde_json::json;

async fn pair() -> Result<[Gateway; 2]> {
    let mut gateways = Vec::new();
    for block in sharing::channel(2)? {
        gateways.push(Gateway::start(&config(&[server("run", "")]).root(&block)).await?);
    }
    let gateways: [Gateway; 2] = gateways.try_into().map_err(|_| "two gateways")?;
    sharing::meet(&[&gateways[0], &gateways[1]]).await?;
    Ok(gateways)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_a_program_is_used_at_every_replica() -> Result {
    let [holder, other] = pair().await?;
    let mut client = Client::new(holder.address, "/mcp/run", Era::Legacy);
    client.open().await?;
    let pid = client.call("world", json!({})).await?["pid"].clone();
    for number in 0..20 {
        client.go_to(if number % 2 == 0 { other.address } else { holder.address });
        assert_eq!(client.call("world", json!({})).await?["pid"], pid, "the same process");
    }
    client.go_to(other.address);
    assert!(client.end().await? < 300);
    Ok(())
}

/// What a server asks back within a call (2026-07-28) is answered to the process that asked, whichever replica gets the answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_request_leads_back_to_its_process_from_every_replica() -> Result {
    let [mut holder, other] = pair().await?;
    let mut client = Client::new(holder.address, "/mcp/run", Era::Modern);
    let asks = json!({"resultType": "input_required", "requestState": "kept", "inputRequests": {}});
    let asked = client.call("tools/call", json!({"name": "x", "arguments": asks})).await?;
    let state = asked["requestState"].clone();
    assert!(state.is_string() && state != "kept", "{asked}");
    let again = json!({"name": "x", "arguments": {"resultType": "complete"}, "requestState": state});
    for gateway in [&other, &holder, &other] {
        client.go_to(gateway.address);
        let answered = client.call("tools/call", again.clone()).await?;
        assert_eq!((&answered["state"], &answered["pid"]), (&json!("kept"), &asked["pid"]), "{answered}");
    }
    // With its replica the process is gone, and its state with it: said so, and the next call finds another.
    holder.kill()?;
    client.go_to(other.address);
    let failed = client.call("tools/call", again).await;
    assert!(failed.is_err(), "{failed:?}");
    let fresh = json!({"name": "x", "arguments": {"resultType": "complete"}});
    assert_ne!(client.call("tools/call", fresh).await?["pid"], asked["pid"]);
    Ok(())
}
