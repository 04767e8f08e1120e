//! A server whose transport has no headers cannot compare them with the body, so the gateway does (2026-07-28 "Custom Headers from Tool
//! Parameters").

use crate::{
    Site,
    clients::{About, Client, STEP},
    rules::Transport,
    scribe::MODERN,
    servers::{self, Heard, Say, Way},
    site,
};
use holdfast_tests::Result;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

const MISMATCH: i64 = -32020;

/// A call whose argument `region` is `eu`.
fn call(id: u64, tag: &str) -> Bytes {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "x-tag": tag,
    });
    let params = json!({"name": "t", "arguments": {"region": "eu"}, "_meta": meta});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string().into()
}

fn about(region: Option<&str>) -> About {
    let params = region.map(|region| ("mcp-param-region", region.to_owned()));
    About {
        modern: Some("tools/call".to_owned()),
        name: Some("t".to_owned()),
        params: params.into_iter().collect(),
        ..About::default()
    }
}

/// The next request at the server, if it is one of `method`.
async fn heard(heard: &mut UnboundedReceiver<Heard>, method: &str) -> Result<(Value, Way)> {
    match timeout(STEP, heard.recv()).await? {
        Some(Heard::Message(message, way)) => {
            let message: Value = serde_json::from_slice(&message)?;
            assert_eq!(message["method"], method, "{message}");
            Ok((message, way))
        }
        other => Err(format!("no {method}, but {other:?}").into()),
    }
}

fn answer((request, way): &(Value, Way), result: &Value) -> Result {
    let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
    way.send(Say::Json(answer.to_string().into())).map_err(|_| "nobody takes the answer".into())
}

async fn told(client: &mut Client) -> Result<Value> {
    Ok(serde_json::from_slice(&client.next().await?)?)
}

async fn compared(site: &Site, server: Transport, number: u64) -> Result {
    let tag = servers::tag(number);
    let mut server_side = site.board.join(&tag);
    let mut client = Client::open(Transport::Http, &site.gateway, &site.mcp, server).await?;
    client.say(call(1, &tag), &about(Some("us"))).await?;
    // Nobody has listed tools here, so the gateway asks.
    let schema =
        json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let tools = json!({"resultType": "complete", "tools": [{"name": "t", "inputSchema": schema}]});
    answer(&heard(&mut server_side, "tools/list").await?, &tools)?;
    let refused = told(&mut client).await?;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(1), &json!(MISMATCH)), "{refused}");
    client.say(call(2, &tag), &about(None)).await?;
    let refused = told(&mut client).await?;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(2), &json!(MISMATCH)), "{refused}");
    // Neither of them reached the server: what it hears next is the good one.
    client.say(call(3, &tag), &about(Some("eu"))).await?;
    let asked = heard(&mut server_side, "tools/call").await?;
    answer(&asked, &json!({"resultType": "complete", "content": []}))?;
    assert_eq!(told(&mut client).await?["id"], 3);

    // A client without headers has nothing to compare.
    let mut client = Client::open(Transport::WebSocket, &site.gateway, &site.mcp, server).await?;
    client.say(call(4, &tag), &about(None)).await?;
    let asked = heard(&mut server_side, "tools/call").await?;
    answer(&asked, &json!({"resultType": "complete", "content": []}))?;
    assert_eq!(told(&mut client).await?["id"], 4);
    Ok(())
}

#[tokio::test]
async fn headers_of_arguments_are_compared_for_servers_that_get_none() -> Result {
    let site = site().await?;
    for (server, number) in [Transport::Sse, Transport::WebSocket, Transport::Stdio].into_iter().zip(1..) {
        compared(&site, server, number).await.map_err(|why| format!("{}: {why}", server.name()))?;
    }
    let strays = site.board.strays();
    assert!(strays.is_empty(), "{strays:#?}");
    Ok(())
}
