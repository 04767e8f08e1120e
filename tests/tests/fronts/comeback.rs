//! Clients of WebSockets that come back to their session over another connection, at another replica (decision 0021).

use crate::{
    KEYS,
    raw::{INITIALIZE, INITIALIZED, Ws, call},
    replicas::pair,
    site,
};
use holdfast_tests::{Result, wait};
use holdfast_websocket::{Close, CloseCode, Message};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};

const GUARDED: &str = "/mcp/guarded";
const RESUME: (&str, &str) = ("holdfast-resume", "?1");
const VERSION: (&str, &str) = ("mcp-protocol-version", "2025-11-25");

/// Opens a session that may be come back to; gives its name.
async fn begin(address: SocketAddr) -> Result<(Ws, String)> {
    let (mut ws, told) = Ws::open_saying(address, GUARDED, Some(KEYS[0]), &[RESUME]).await?;
    assert_eq!(told["holdfast-resume"], "?1");
    ws.say(INITIALIZE).await?;
    let answer = message(&mut ws).await?;
    let name = answer["result"]["_meta"]["holdfast/sessionId"].as_str().ok_or_else(|| answer.to_string())?;
    ws.say(INITIALIZED).await?;
    Ok((ws, name.to_owned()))
}

/// Comes back to it.
async fn go_on(address: SocketAddr, name: &str) -> Result<Ws> {
    let (ws, told) =
        Ws::open_saying(address, GUARDED, Some(KEYS[0]), &[("mcp-session-id", name), VERSION]).await?;
    assert_eq!((&told["mcp-session-id"], &told["holdfast-resume"]), (&name.parse()?, &"?1".parse()?));
    Ok(ws)
}

async fn message(ws: &mut Ws) -> Result<Value> {
    ws.next().await?.map_err(|code| format!("closed with {code}").into())
}

/// What a tool says.
async fn ask(ws: &mut Ws, id: u64, tool: &str) -> Result<Value> {
    ws.say(&call(id, tool, "{}")).await?;
    loop {
        let message = message(ws).await?;
        if message["id"] == id {
            return Ok(message);
        }
    }
}

#[tokio::test]
async fn a_session_goes_on_at_the_other_replica_when_the_one_with_the_connection_is_killed() -> Result {
    let ([mut holder, other], _server) = pair().await?;
    let (mut ws, name) = begin(holder.address).await?;
    assert_eq!(ask(&mut ws, 2, "whoami").await?["result"]["content"][0]["text"], "one");
    holder.kill()?;
    assert!(ws.next().await.is_err(), "the connection is gone");
    let mut ws = go_on(other.address, &name).await?;
    assert_eq!(ask(&mut ws, 3, "whoami").await?["result"]["content"][0]["text"], "one");
    // What the server says on its own is heard again.
    ws.say(&call(4, "test_trigger_tool_change", "{}")).await?;
    let (mut answered, mut told) = (false, false);
    while !(answered && told) {
        let message = message(&mut ws).await?;
        answered |= message["id"] == 4;
        told |= message["method"] == "notifications/tools/list_changed";
    }
    let minted = other.metrics().await?.sum("holdfast_mcp_sessions_minted_total", &[]);
    assert!(minted < 0.5, "no session was begun here");
    Ok(())
}

#[tokio::test]
async fn a_session_ends_when_its_client_says_that_it_is_done() -> Result {
    let ([holder, other], _server) = pair().await?;
    let (ws, name) = begin(holder.address).await?;
    // Torn, without a word.
    drop(ws);
    let mut ws = go_on(other.address, &name).await?;
    assert!(ask(&mut ws, 2, "whoami").await?["result"].is_object());
    // Done here, not with the session.
    ws.0.send(Message::Close(Close::new(CloseCode::GOING_AWAY, "elsewhere"))).await?;
    let mut ws = go_on(holder.address, &name).await?;
    assert!(ask(&mut ws, 3, "whoami").await?["result"].is_object());
    ws.0.send(Message::Close(Close::new(CloseCode::NORMAL, ""))).await?;
    let over = async || {
        let mut ws = go_on(other.address, &name).await.ok()?;
        let answer = ask(&mut ws, 4, "whoami").await.ok()?;
        (answer["error"]["data"]["reason"] == "session_dead").then_some(())
    };
    wait::until("the session is over", Duration::from_secs(20), over).await
}

#[tokio::test]
async fn a_name_opens_nothing_for_anybody_else() -> Result {
    let (gateway, _server) = site().await?;
    let (_ws, name) = begin(gateway.address).await?;
    let theirs = [("mcp-session-id", name.as_str()), VERSION];
    let (mut thief, _) = Ws::open_saying(gateway.address, GUARDED, Some(KEYS[1]), &theirs).await?;
    let answer = ask(&mut thief, 2, "whoami").await?;
    assert_eq!(answer["error"]["code"], -31010, "{answer}");
    let (mut lost, _) =
        Ws::open_saying(gateway.address, GUARDED, Some(KEYS[0]), &[("mcp-session-id", "made-up"), VERSION])
            .await?;
    assert_eq!(ask(&mut lost, 2, "whoami").await?["error"]["code"], -31010);
    Ok(())
}

#[tokio::test]
async fn who_does_not_ask_gets_no_name_and_the_session_ends_with_the_connection() -> Result {
    let (gateway, _server) = site().await?;
    let (mut ws, told) = Ws::open_saying(gateway.address, GUARDED, Some(KEYS[0]), &[]).await?;
    assert!(!told.contains_key("holdfast-resume") && !told.contains_key("mcp-session-id"));
    ws.say(INITIALIZE).await?;
    assert!(message(&mut ws).await?["result"]["_meta"]["holdfast/sessionId"].is_null());
    ws.say(INITIALIZED).await?;
    assert!(ask(&mut ws, 2, "whoami").await?["result"].is_object());
    drop(ws);
    let ended = async || {
        let metrics = gateway.metrics().await.ok()?;
        (metrics.sum("mcp_server_session_duration_seconds_count", &[]) > 0.5).then_some(())
    };
    wait::until("the session is ended at the server", Duration::from_secs(20), ended).await
}
