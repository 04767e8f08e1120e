//! Real clients list and call the tools of a real server through the gateway: each SDK, each way it negotiates.

use holdfast_tests::{
    Result,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    mcp::{Client, Era, Failure, LEGACY, MODERN},
    process, tools, wait,
};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt,
    model::{CallToolRequestParams, ProtocolVersion},
    transport::StreamableHttpClientTransport,
};
use serde_json::{Value, json};
use std::{process::Command, time::Duration};

/// Time for one client, its start included.
const LIMIT: Duration = Duration::from_secs(90);
/// The key that the guarded route asks for.
const KEY: &str = "a-key-for-tests-0123456789";

/// Two replicas behind an open route and a guarded one.
async fn site() -> Result<(Gateway, [Fixture; 2])> {
    let (one, two) =
        tokio::try_join!(Fixture::start(Options::named("one")), Fixture::start(Options::named("two")))?;
    let endpoints = format!("[{}, {}]", one.mcp(), two.mcp());
    let config = Config::default().root(&format!(
        "\
mcp:
  public_url: https://gateway.example
  servers:
    - {{name: open, endpoints: {endpoints}}}
    - name: guarded
      endpoints: {endpoints}
      auth:
        type: api_key
        api_key: {{keys: [{{name: tester, key: {KEY}}}]}}
"
    ));
    Ok((Gateway::start(&config).await?, [one, two]))
}

/// Two servers of one replica each, at one endpoint.
async fn merged() -> Result<(Gateway, [Fixture; 2])> {
    let (one, two) =
        tokio::try_join!(Fixture::start(Options::named("one")), Fixture::start(Options::named("two")))?;
    let config = Config::default().root(&format!(
        "mcp:\n  servers:\n    - {{name: one, endpoints: {}}}\n    - {{name: two, endpoints: {}}}\n",
        one.mcp(),
        two.mcp()
    ));
    Ok((Gateway::start(&config).await?, [one, two]))
}

/// Runs a client script and checks what it saw.
async fn check(command: Command, arguments: &[&str], version: &str) -> Result {
    let seen = story(command, arguments, version, "whoami").await?;
    assert!(seen["whoami"] == "one" || seen["whoami"] == "two", "{seen}");
    Ok(())
}

/// Runs a client script at the endpoint of both servers: it sees the tools of both, and calls those of the second.
async fn check_merged(mut command: Command, mode: &str, version: &str) -> Result {
    let (gateway, _servers) = merged().await?;
    command.env("PREFIX", "two__");
    let seen = story(command, &[&gateway.url("/mcp"), mode], version, "one__whoami").await?;
    assert!(seen["tools"].as_array().is_some_and(|tools| tools.contains(&json!("two__whoami"))), "{seen}");
    assert_eq!(seen["whoami"], "two", "{seen}");
    Ok(())
}

/// What a client script saw: `tool` among others.
async fn story(mut command: Command, arguments: &[&str], version: &str, tool: &str) -> Result<Value> {
    command.args(arguments);
    let said = process::run_within(LIMIT, command).await?;
    let last = said.lines().last().unwrap_or_default();
    let seen: Value = serde_json::from_str(last).map_err(|why| format!("{why} in {said:?}"))?;
    assert_eq!(seen["version"], version, "{seen}");
    assert!(seen["tools"].as_array().is_some_and(|tools| tools.contains(&json!(tool))), "{seen}");
    assert_eq!(seen["failure"], true, "{seen}");
    let steps: Vec<f64> =
        seen["progress"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    assert_eq!(steps, [0.0, 50.0, 100.0], "{seen}");
    assert_eq!(seen["resource"], "This is the content of the static text resource.");
    assert_eq!(seen["prompt"], "This is a simple prompt for testing.");
    Ok(seen)
}

#[tokio::test]
async fn all_servers_at_one_endpoint_for_every_python_client() -> Result {
    check_merged(tools::python("py-mcp2", "client2.py")?, "legacy", LEGACY).await?;
    check_merged(tools::python("py-mcp2", "client2.py")?, "auto", MODERN).await?;
    check_merged(tools::python("py-mcp1", "client1.py")?, "legacy", LEGACY).await
}

#[tokio::test]
async fn all_servers_at_one_endpoint_for_every_typescript_client() -> Result {
    check_merged(tools::node("client2.mjs")?, "default", LEGACY).await?;
    check_merged(tools::node("client2.mjs")?, "auto", MODERN).await?;
    check_merged(tools::node("client1.mjs")?, "legacy", LEGACY).await
}

#[tokio::test]
async fn python_2_with_a_handshake() -> Result {
    let (gateway, _replicas) = site().await?;
    check(tools::python("py-mcp2", "client2.py")?, &[&gateway.url("/mcp/open"), "legacy"], LEGACY).await
}

#[tokio::test]
async fn python_2_finds_the_modern_era_by_itself() -> Result {
    let (gateway, _replicas) = site().await?;
    check(tools::python("py-mcp2", "client2.py")?, &[&gateway.url("/mcp/open"), "auto"], MODERN).await
}

#[tokio::test]
async fn python_1() -> Result {
    let (gateway, _replicas) = site().await?;
    check(tools::python("py-mcp1", "client1.py")?, &[&gateway.url("/mcp/open"), "legacy"], LEGACY).await
}

#[tokio::test]
async fn typescript_2_as_it_comes() -> Result {
    let (gateway, _replicas) = site().await?;
    check(tools::node("client2.mjs")?, &[&gateway.url("/mcp/open"), "default"], LEGACY).await
}

#[tokio::test]
async fn typescript_2_finds_the_modern_era_by_itself() -> Result {
    let (gateway, _replicas) = site().await?;
    check(tools::node("client2.mjs")?, &[&gateway.url("/mcp/open"), "auto"], MODERN).await
}

#[tokio::test]
async fn typescript_1() -> Result {
    let (gateway, _replicas) = site().await?;
    check(tools::node("client1.mjs")?, &[&gateway.url("/mcp/open"), "legacy"], LEGACY).await
}

#[tokio::test]
async fn api_keys_open_the_guarded_route_in_both_eras() -> Result {
    let (gateway, _replicas) = site().await?;
    let url = gateway.url("/mcp/guarded");
    check(tools::python("py-mcp2", "client2.py")?, &[&url, "auto", KEY], MODERN).await?;
    check(tools::node("client1.mjs")?, &[&url, "legacy", KEY], LEGACY).await
}

#[tokio::test]
async fn without_the_key_the_guarded_route_answers_401() -> Result {
    let (gateway, _replicas) = site().await?;
    for era in [Era::Legacy, Era::Modern] {
        for key in [None, Some("another-key-for-tests-0123456789")] {
            let mut client = Client::new(gateway.address, "/mcp/guarded", era);
            if let Some(key) = key {
                client = client.with_key(key);
            }
            let refused = match client.open().await {
                Ok(()) => client.list_tools().await.map(drop),
                refused => refused,
            };
            assert!(matches!(refused, Err(Failure::Status(401, _))), "{era:?} {key:?}: {refused:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_with_rules_of_its_own_is_no_part_of_the_whole() -> Result {
    let (gateway, _replicas) = site().await?;
    for era in [Era::Legacy, Era::Modern] {
        let mut client = Client::new(gateway.address, "/mcp", era);
        client.open().await?;
        assert!(["one", "two"].contains(&&*client.tool("open__whoami", json!({})).await?));
        let refused = client.tool("guarded__whoami", json!({})).await.map_err(|why| why.to_string());
        assert!(refused.as_ref().is_err_and(|why| why.contains("-32602")), "{era:?}: {refused:?}");
    }
    Ok(())
}

/// A client that needs nothing of its own.
#[derive(Clone, Debug, Default)]
struct Plain;

impl ClientHandler for Plain {}

async fn rmcp_client(url: &str, lifecycle: ClientLifecycleMode) -> Result<String> {
    let transport = StreamableHttpClientTransport::from_uri(url);
    let client = Plain.serve_with_lifecycle(transport, lifecycle).await?;
    let tools = client.list_all_tools().await?;
    assert!(tools.iter().any(|tool| tool.name == "whoami"), "{tools:?}");
    let answer = client.call_tool(CallToolRequestParams::new("whoami")).await?;
    let name = answer.content[0].as_text().map(|text| text.text.clone()).unwrap_or_default();
    assert!(["one", "two"].contains(&name.as_str()), "{answer:?}");
    let version = client.peer().peer_info().map(|info| info.protocol_version.to_string()).unwrap_or_default();
    client.cancel().await?;
    Ok(version)
}

#[tokio::test]
async fn rmcp_with_a_handshake() -> Result {
    let (gateway, _replicas) = site().await?;
    let url = gateway.url("/mcp/open");
    let version = wait::within("rmcp", LIMIT, rmcp_client(&url, ClientLifecycleMode::Initialize)).await?;
    assert_eq!(version, LEGACY);
    Ok(())
}

#[tokio::test]
async fn rmcp_finds_the_modern_era_by_itself() -> Result {
    let (gateway, _replicas) = site().await?;
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    };
    let version = wait::within("rmcp", LIMIT, rmcp_client(&gateway.url("/mcp/open"), lifecycle)).await?;
    assert_eq!(version, MODERN);
    Ok(())
}
