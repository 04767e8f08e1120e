//! No process is left: when a session ends, a reload takes the server away, the gateway ends or is killed.

use crate::site::{LIMIT, config, lives, scripted, server, site};
use holdfast_tests::{
    Result,
    gateway::Gateway,
    mcp::{Client, Era},
    place,
    process::Process,
    wait,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::process::Command;

async fn gone(what: &str, pids: &[&Value]) -> Result {
    wait::until(what, LIMIT, || std::future::ready((!pids.iter().any(|pid| lives(pid))).then_some(()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_leaves_no_process_of_a_program_that_forks_or_ignores_its_end() -> Result {
    let mut gateway = site(", stop_grace: 200ms").await?;
    let mut pids = Vec::new();
    for method in ["fork", "stubborn"] {
        let mut client = Client::new(gateway.address, "/mcp/run", Era::Legacy);
        client.open().await?;
        let said = client.call(method, json!({})).await?;
        pids.extend([said["pid"].clone(), said["child"].clone()]);
    }
    pids.retain(|pid| !pid.is_null());
    assert!(pids.len() == 3 && pids.iter().all(lives), "{pids:?}");
    gateway.signal(Signal::SIGTERM)?;
    let status = gateway.ended(LIMIT).await?;
    assert!(status.success(), "{status}\n{}", gateway.log());
    let left: Vec<&Value> = pids.iter().filter(|pid| lives(pid)).collect();
    assert!(left.is_empty(), "left behind: {left:?}\n{}", gateway.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_ends_the_programs_of_servers_it_takes_away_or_changes_and_no_others() -> Result {
    let all = [server("stays", ""), server("goes", ""), server("changes", "")];
    let gateway = Gateway::start(&config(&all)).await?;
    let mut clients = Vec::new();
    for name in ["stays", "goes", "changes"] {
        let mut client = Client::new(gateway.address, &format!("/mcp/{name}"), Era::Legacy);
        client.open().await?;
        let pid = client.call("world", json!({})).await?["pid"].clone();
        clients.push((client, pid));
    }
    gateway.rewrite(&config(&[server("stays", ""), server("changes", ", env: {NEW: value}")]))?;
    let (status, said) = gateway.admin_post("/reload").await?;
    assert_eq!(status, 200, "{said}");
    gone("the programs of what was taken away or changed end", &[&clients[1].1, &clients[2].1]).await?;
    let (stays, pid) = &mut clients[0];
    assert_eq!(stays.call("world", json!({})).await?["pid"], *pid);
    let changed = &mut clients[2].0;
    changed.open().await?;
    assert_eq!(changed.call("world", json!({})).await?["env"]["NEW"], "value");
    Ok(())
}

/// What reads its standard input to the end ends with a gateway that is killed; what ignores that is left, because nobody is there to end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_sees_the_end_of_its_input_when_the_gateway_is_killed() -> Result {
    let mut gateway = site("").await?;
    let mut client = Client::new(gateway.address, "/mcp/run", Era::Legacy);
    client.open().await?;
    let pid = client.call("world", json!({})).await?["pid"].clone();
    assert!(lives(&pid));
    gateway.kill()?;
    gone("the program ends", &[&pid]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_the_command_line_is_run() -> Result {
    let folder = tempfile::tempdir()?;
    let ready = folder.path().join("ready.json");
    let mut command = Command::new(place::holdfast()?);
    let words = format!("run=python3 \"{}\"", scripted().display());
    command.args(["serve", "--listen", "127.0.0.1:0", "--mcp", &words, "--ready-file"]).arg(&ready);
    let mut process = Process::start("holdfast", &mut command, folder.path())?;
    let look = || serde_json::from_slice::<Value>(&std::fs::read(&ready).ok()?).ok();
    let found = process.ready(LIMIT, look).await?;
    let address = found["listeners"][0]["address"].as_str().ok_or("no address")?.parse()?;
    let mut client = Client::new(address, "/mcp/run", Era::Legacy);
    client.open().await?;
    assert_eq!(client.call("echo", json!({"x": 1})).await?["x"], 1);
    // The second one ends the drain.
    process.signal(Signal::SIGTERM)?;
    wait::until("the drain begins", LIMIT, || {
        std::future::ready(process.log().contains("drain asked for").then_some(()))
    })
    .await?;
    process.signal(Signal::SIGTERM)?;
    let status = process.ended(LIMIT).await?;
    assert!(status.success(), "{status}\n{}", process.log());
    Ok(())
}
