//! SDK clients list tools, call them with progress, and answer what the server asks.

use crate::{
    raw::{Sse, Ws, call},
    site,
};
use holdfast_tests::{
    Result,
    fixture::{Fixture, Options},
    gateway::Gateway,
    mcp::{LEGACY, MODERN},
    place, process, tools, wait,
};
use nix::sys::signal::Signal;
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt,
    model::{CallToolRequestParams, ProtocolVersion},
};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    time::timeout,
};

/// Time for one client, its start included.
const LIMIT: Duration = Duration::from_mins(2);

/// Runs a client script and checks what it saw. `elicits`: its version has elicitation.
async fn check(mut command: Command, arguments: &[&str], version: &str, elicits: bool) -> Result {
    command.args(arguments);
    let said = process::run_within(LIMIT, command).await?;
    let last = said.lines().last().unwrap_or_default();
    let seen: Value = serde_json::from_str(last).map_err(|why| format!("{why} in {said:?}"))?;
    assert_eq!(seen["version"], version, "{seen}");
    assert!(seen["tools"].as_array().is_some_and(|tools| tools.contains(&json!("whoami"))), "{seen}");
    assert_eq!((&seen["whoami"], &seen["many"]), (&json!("one"), &json!(20)), "{seen}");
    let steps: Vec<f64> =
        seen["progress"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    assert_eq!(steps, [0.0, 50.0, 100.0], "{seen}");
    assert!(seen["sampled"].as_str().is_some_and(|text| text.contains("the sampled answer")), "{seen}");
    assert_eq!(seen["elicited"].as_str().is_some_and(|text| text.contains("ann")), elicits, "{seen}");
    Ok(())
}

fn python(version: &str) -> Result<Command> {
    tools::python(&format!("py-mcp{version}"), "front1.py")
}

fn sse(gateway: &Gateway) -> String {
    gateway.url("/mcp/open/sse")
}

fn websocket(gateway: &Gateway) -> String {
    format!("ws://{}/mcp/open", gateway.address)
}

/// `holdfast serve --stdio` before `server`, as a client would start it: the words of its command.
fn stdio(server: &Fixture) -> Result<(tempfile::TempDir, Vec<String>)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("holdfast.yaml");
    let text = format!(
        "sessions: {{ephemeral_key: true}}\nmcp:\n  servers:\n    - {{name: open, endpoints: {}}}\n",
        server.mcp()
    );
    std::fs::write(&file, text)?;
    let binary = place::holdfast()?.display().to_string();
    let words = [binary, "serve".into(), "--stdio".into(), "--config".into(), file.display().to_string()];
    Ok((folder, words.into()))
}

async fn server() -> Result<Fixture> {
    Fixture::start(Options::named("one")).await
}

#[tokio::test]
async fn sse_of_the_first_protocol_version() -> Result {
    let (gateway, _server) = site().await?;
    check(python("-1.6.0")?, &["sse", &sse(&gateway)], "2024-11-05", false).await
}

#[tokio::test]
async fn sse_of_the_second_protocol_version() -> Result {
    let (gateway, _server) = site().await?;
    check(python("-1.9.4")?, &["sse", &sse(&gateway)], "2025-03-26", false).await
}

#[tokio::test]
async fn sse_of_the_third_protocol_version() -> Result {
    let (gateway, _server) = site().await?;
    check(python("-1.12.4")?, &["sse", &sse(&gateway)], "2025-06-18", true).await
}

#[tokio::test]
async fn sse_by_python_1_with_a_key() -> Result {
    let (gateway, _server) = site().await?;
    let url = gateway.url("/mcp/guarded/sse");
    check(python("1")?, &["sse", &url, "--key", crate::KEYS[0]], LEGACY, true).await
}

#[tokio::test]
async fn sse_by_python_2_in_both_eras() -> Result {
    let (gateway, _server) = site().await?;
    for (mode, version) in [("legacy", LEGACY), ("auto", MODERN)] {
        let command = tools::python("py-mcp2", "front2.py")?;
        check(command, &["sse", mode, &sse(&gateway)], version, true).await?;
    }
    Ok(())
}

#[tokio::test]
async fn sse_by_typescript_1() -> Result {
    let (gateway, _server) = site().await?;
    check(tools::node("front1.mjs")?, &["sse", &sse(&gateway)], LEGACY, true).await
}

/// More servers than one: the paths that name none are for all of them as one.
#[tokio::test]
async fn all_servers_as_one_over_sse_and_websocket() -> Result {
    let (gateway, _server) = site().await?;
    let mut sse = Sse::open(gateway.address, "/sse", None).await?;
    assert!(sse.endpoint.starts_with("/messages?session_id="), "{}", sse.endpoint);
    sse.initialize(gateway.address).await?;
    assert_eq!(sse.say(gateway.address, &call(2, "open__whoami", "{}")).await?.0, 202);
    let answer = sse.message().await?;
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(2), &json!("one")));
    let mut ws = Ws::open(gateway.address, "/mcp", None).await?;
    ws.initialize().await?;
    ws.say(&call(3, "open__whoami", "{}")).await?;
    let answer = ws.next().await?.map_err(|code| code.to_string())?;
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(3), &json!("one")));
    Ok(())
}

#[tokio::test]
async fn websocket_by_python_1() -> Result {
    let (gateway, _server) = site().await?;
    check(python("1")?, &["ws", &websocket(&gateway)], LEGACY, true).await
}

#[tokio::test]
async fn websocket_by_typescript_1() -> Result {
    let (gateway, _server) = site().await?;
    check(tools::node("front1.mjs")?, &["ws", &websocket(&gateway)], LEGACY, true).await
}

async fn by_stdio(command: Command, before: &[&str], version: &str) -> Result {
    let server = server().await?;
    let (_folder, words) = stdio(&server)?;
    let arguments: Vec<&str> = before.iter().copied().chain(words.iter().map(String::as_str)).collect();
    check(command, &arguments, version, true).await
}

#[tokio::test]
async fn stdio_by_python_2_in_both_eras() -> Result {
    by_stdio(tools::python("py-mcp2", "front2.py")?, &["stdio", "legacy"], LEGACY).await?;
    by_stdio(tools::python("py-mcp2", "front2.py")?, &["stdio", "auto"], MODERN).await
}

#[tokio::test]
async fn stdio_by_typescript_1_and_python_1() -> Result {
    by_stdio(tools::node("front1.mjs")?, &["stdio"], LEGACY).await?;
    by_stdio(python("1")?, &["stdio"], LEGACY).await
}

#[tokio::test]
async fn stdio_by_typescript_2_in_both_eras() -> Result {
    by_stdio(tools::node("front2.mjs")?, &["default"], LEGACY).await?;
    by_stdio(tools::node("front2.mjs")?, &["auto"], MODERN).await
}

/// A client that needs nothing of its own.
#[derive(Clone, Debug, Default)]
struct Plain;

impl ClientHandler for Plain {}

async fn rmcp_client(program: PathBuf, words: &[String], lifecycle: ClientLifecycleMode) -> Result<String> {
    let mut command = tokio::process::Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut gateway = command.spawn()?;
    let (output, input) = gateway.stdout.take().zip(gateway.stdin.take()).ok_or("no pipes")?;
    let client = Plain.serve_with_lifecycle((output, input), lifecycle).await?;
    let tools = client.list_all_tools().await?;
    assert!(tools.iter().any(|tool| tool.name == "whoami"), "{tools:?}");
    let answer = client.call_tool(CallToolRequestParams::new("whoami")).await?;
    assert_eq!(answer.content[0].as_text().map(|text| text.text.as_str()), Some("one"));
    let version = client.peer().peer_info().map(|info| info.protocol_version.to_string()).unwrap_or_default();
    client.cancel().await?;
    // Its input has ended, and with it what it is there for.
    assert!(gateway.wait().await?.success());
    Ok(version)
}

#[tokio::test]
async fn stdio_by_rmcp_in_both_eras() -> Result {
    let server = server().await?;
    let (_folder, words) = stdio(&server)?;
    let auto = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    };
    for (lifecycle, version) in [(ClientLifecycleMode::Initialize, LEGACY), (auto, MODERN)] {
        let client = rmcp_client(PathBuf::from(&words[0]), &words[1..], lifecycle);
        assert_eq!(wait::within("rmcp", LIMIT, client).await?, version);
    }
    Ok(())
}

/// What a client asked before it closed the input, or before the process was told to end, is answered; then the process ends.
#[tokio::test]
async fn stdio_answers_what_is_in_flight_before_it_ends() -> Result {
    let server = server().await?;
    let (_folder, words) = stdio(&server)?;
    for signal in [None, Some(Signal::SIGTERM)] {
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut gateway = command.spawn()?;
        let (output, mut input) = gateway.stdout.take().zip(gateway.stdin.take()).ok_or("no pipes")?;
        let mut lines = BufReader::new(output).lines();
        for text in [crate::raw::INITIALIZE, crate::raw::INITIALIZED] {
            input.write_all(format!("{text}\n").as_bytes()).await?;
        }
        let hello = timeout(LIMIT, lines.next_line()).await??.ok_or("no answer")?;
        assert_eq!(serde_json::from_str::<Value>(&hello)?["id"], 1);
        input
            .write_all(
                format!("{}\n{}\n", call(2, "slow", r#"{"ms":1500}"#), call(3, "whoami", "{}")).as_bytes(),
            )
            .await?;
        // The fast one is answered: the slow one is in flight.
        let fast = timeout(LIMIT, lines.next_line()).await??.ok_or("no answer")?;
        assert_eq!(serde_json::from_str::<Value>(&fast)?["id"], 3);
        let input = match signal {
            None => {
                drop(input);
                None
            }
            Some(signal) => {
                let id = gateway.id().ok_or("no process")?;
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(id.try_into()?), signal)?;
                Some(input)
            }
        };
        let slow = timeout(LIMIT, lines.next_line()).await??.ok_or("no answer")?;
        assert_eq!(serde_json::from_str::<Value>(&slow)?["id"], 2, "{signal:?}");
        assert_eq!(timeout(LIMIT, lines.next_line()).await??, None);
        assert!(timeout(LIMIT, gateway.wait()).await??.success(), "{signal:?}");
        drop(input);
    }
    Ok(())
}
