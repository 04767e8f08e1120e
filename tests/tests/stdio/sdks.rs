//! Servers of the Python SDKs on standard input and output, used by clients of every SDK over Streamable HTTP.

use crate::site::{LIMIT, config};
use holdfast_tests::{Result, gateway::Gateway, place, process, tools};
use serde_json::{Value, json};
use std::{process::Command, time::Duration};

/// Time for one client, its start and that of its server included.
const CLIENT: Duration = Duration::from_secs(90);
const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// A gateway with a server of either generation, `py1` and `py2`.
async fn site() -> Result<Gateway> {
    let mut servers = Vec::new();
    for (name, venv) in [("py1", "py-mcp1"), ("py2", "py-mcp2")] {
        let python = place::installed(&format!("{venv}/bin/python"))?;
        let script = place::root().join(format!("tests/clients/py/stdio_server{}.py", &name[2..]));
        let command = format!("['{}', -B, '{}']", python.display(), script.display());
        servers.push(format!("    - {{name: {name}, command: {command}}}\n"));
    }
    Gateway::start(&config(&servers)).await
}

async fn run(mut command: Command, arguments: &[&str]) -> Result<String> {
    command.args(arguments);
    process::run_within(CLIENT, command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sdk_uses_servers_that_are_programs() -> Result {
    let gateway = site().await?;
    for (server, best) in [("py1", LEGACY), ("py2", MODERN)] {
        let url = gateway.url(&format!("/mcp/{server}"));
        let clients = [
            (tools::python("py-mcp1", "client1.py")?, "legacy", LEGACY),
            (tools::python("py-mcp2", "client2.py")?, "legacy", LEGACY),
            (tools::python("py-mcp2", "client2.py")?, "auto", best),
            (tools::node("client1.mjs")?, "legacy", LEGACY),
            (tools::node("client2.mjs")?, "default", LEGACY),
            (tools::node("client2.mjs")?, "auto", best),
        ];
        for (command, mode, version) in clients {
            let what = format!("{command:?} {mode} at {server}");
            let said = run(command, &[&url, mode])
                .await
                .map_err(|why| format!("{what}: {why}\n{}", gateway.log()))?;
            let seen: Value = serde_json::from_str(said.lines().last().unwrap_or_default())?;
            assert_eq!(seen["version"], version, "{what}: {seen}");
            assert_eq!((&seen["whoami"], &seen["failure"]), (&json!("one"), &json!(true)), "{what}");
            let steps: Vec<f64> =
                seen["progress"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
            assert_eq!(steps, [0.0, 50.0, 100.0], "{what}: {seen}");
            assert_eq!(seen["resource"], "This is the content of the static text resource.", "{what}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_a_program_asks_the_user_in_the_midst_of_a_call() -> Result {
    let gateway = site().await?;
    for server in ["py1", "py2"] {
        let url = gateway.url(&format!("/mcp/{server}"));
        let said = run(tools::python("py-mcp1", "ask1.py")?, &[&url]).await?;
        assert_eq!(said.lines().filter(|line| *line == "accept: Which word? yes").count(), 3, "{said}");
    }
    holdfast_tests::wait::until("what they say is in the log", LIMIT, || async {
        gateway.log().contains("the story begins").then_some(())
    })
    .await
}
