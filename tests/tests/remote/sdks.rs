//! Servers of the Python SDKs over HTTP+SSE and WebSocket, used by clients of every SDK over Streamable HTTP.

use crate::site::{Carrier, Server, config};
use holdfast_tests::{Result, gateway::Gateway, process, tools};
use serde_json::{Value, json};
use std::{process::Command, time::Duration};

/// Time for one client, its start included.
const CLIENT: Duration = Duration::from_secs(90);
const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// Clients: how they are started, how they negotiate, and whether they are used at the servers of old, too.
fn clients() -> Result<[(Command, &'static str, bool); 6]> {
    Ok([
        (tools::python("py-mcp1", "client1.py")?, "legacy", true),
        (tools::python("py-mcp2", "client2.py")?, "legacy", false),
        (tools::python("py-mcp2", "client2.py")?, "auto", false),
        (tools::node("client1.mjs")?, "legacy", false),
        (tools::node("client2.mjs")?, "default", false),
        (tools::node("client2.mjs")?, "auto", true),
    ])
}

/// Every client at one server of `venv`. `best` is the newest version that the server speaks, `now` its newest with a handshake.
async fn used(venv: &str, carrier: Carrier, (now, best): (&str, &str), every: bool) -> Result {
    let folder = tempfile::tempdir()?;
    let server = Server::sdk(venv, carrier, folder.path()).await?;
    let name = "story".to_owned();
    let gateway = Gateway::start(&config(&[(name, carrier.keys(&[server.port]))])).await?;
    let url = gateway.url("/mcp/story");
    for (mut command, mode, at_old) in clients()? {
        if !every && !at_old {
            continue;
        }
        let what = format!("{command:?} {mode} at {venv} over {carrier}");
        command.args([&*url, mode]);
        let said = process::run_within(CLIENT, command)
            .await
            .map_err(|why| format!("{what}: {why}\n{}\n{}", gateway.log(), server.process.log()))?;
        let seen: Value = serde_json::from_str(said.lines().last().unwrap_or_default())?;
        assert_eq!(seen["version"], if mode == "auto" { best } else { now }, "{what}: {seen}");
        assert_eq!((&seen["whoami"], &seen["failure"]), (&json!("one"), &json!(true)), "{what}");
        let steps: Vec<f64> =
            seen["progress"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        assert_eq!(steps, [0.0, 50.0, 100.0], "{what}: {seen}");
        assert_eq!(seen["resource"], "This is the content of the static text resource.", "{what}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_uses_a_server_of_python_1_over_sse() -> Result {
    used("py-mcp1", Carrier::Sse, (LEGACY, LEGACY), true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_uses_a_server_of_python_2_over_sse() -> Result {
    used("py-mcp2", Carrier::Sse, (LEGACY, MODERN), true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_uses_a_server_of_python_1_over_web_socket() -> Result {
    used("py-mcp1", Carrier::WebSocket, (LEGACY, LEGACY), true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_old_are_used_by_clients_of_today() -> Result {
    for (venv, now) in
        [("py-mcp-1.6.0", "2024-11-05"), ("py-mcp-1.9.4", "2025-03-26"), ("py-mcp-1.12.4", "2025-06-18")]
    {
        used(venv, Carrier::Sse, (now, now), false).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_asks_the_user_in_the_midst_of_a_call() -> Result {
    for carrier in Carrier::ALL {
        let folder = tempfile::tempdir()?;
        let server = Server::sdk("py-mcp1", carrier, folder.path()).await?;
        let gateway = Gateway::start(&config(&[("story".to_owned(), carrier.keys(&[server.port]))])).await?;
        let mut ask = tools::python("py-mcp1", "ask1.py")?;
        ask.arg(gateway.url("/mcp/story"));
        let said = process::run_within(CLIENT, ask).await?;
        let asked = said.lines().filter(|line| *line == "accept: Which word? yes").count();
        assert_eq!(asked, 3, "over {carrier}: {said}");
    }
    Ok(())
}
