//! Gateways stop and reload under load, and no client notices.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

use holdfast_tests::{
    Result,
    crowd::{Crowd, Mix, Target},
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    haproxy::Haproxy,
    load,
    mcp::{Client, Era, Failure},
    soak, wait,
};
use nix::sys::signal::Signal;
use serde_json::json;
use std::{net::SocketAddr, time::Duration};

/// Time a drained gateway gets to end.
const END: Duration = Duration::from_mins(1);
/// Time for the load between two steps.
const BETWEEN: Duration = Duration::from_mins(5);
/// Clients of every kind that may not notice anything.
const MIX: Mix = Mix { plain: 8, legacy: 4, modern: 4, record: 4, record_ms: 5 };

fn config(replicas: &[Fixture; 2]) -> Config {
    Config::default().server(&["drain_delay: 1s", "max_drain: 20s"]).root(&format!(
        "\
mcp:
  servers:
    - {{name: tools, endpoints: [{}, {}]}}
apis:
  - {{name: plain, path_prefix: /plain, endpoints: ['http://{}', 'http://{}']}}
",
        replicas[0].mcp(),
        replicas[1].mcp(),
        replicas[0].address(),
        replicas[1].address()
    ))
}

async fn replicas() -> Result<[Fixture; 2]> {
    let (one, two) =
        tokio::try_join!(Fixture::start(Options::named("one")), Fixture::start(Options::named("two")))?;
    Ok([one, two])
}

/// Ends the crowd, prints what it saw, and fails with the log if anything failed.
async fn nobody_noticed(title: &str, crowd: Crowd, log: impl FnOnce() -> String) -> Result {
    let tallies = crowd.finish().await?;
    load::print(title, &tallies.all());
    load::total_of(title, &tallies.all());
    let bad: u64 = tallies.all().iter().map(|tally| tally.bad()).sum();
    assert_eq!(bad, 0, "{:#?}\n{}", tallies.safe_failures(), log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_gateways_stop_one_after_the_other_behind_haproxy_and_no_request_fails() -> Result {
    let (rounds, requests) = if soak() { (8, 100_000) } else { (2, 5_000) };
    let replicas = replicas().await?;
    let mut gateways = [Gateway::start(&config(&replicas)).await?, Gateway::start(&config(&replicas)).await?];
    let haproxy = Haproxy::start(&[gateways[0].address, gateways[1].address]).await?;
    let crowd = Crowd::start(&Target::gateway(haproxy.address), MIX).await?;
    for round in 0..rounds {
        // A share of the load before each stop, so that sessions and connections are in use on both sides.
        crowd.safe_requests(requests * (round + 1) / (rounds + 1), BETWEEN).await?;
        let index = usize::try_from(round % 2)?;
        let gateway = &mut gateways[index];
        gateway.signal(Signal::SIGTERM)?;
        let status = gateway.ended(END).await?;
        assert!(status.success(), "a drained gateway ended with {status}:\n{}", gateway.log());
        *gateway = Gateway::start(&config(&replicas).port(gateway.address.port())).await?;
        haproxy.up(index).await?;
    }
    crowd.safe_requests(requests, BETWEEN).await?;
    nobody_noticed(&format!("{rounds} gateways drained behind HAProxy"), crowd, || haproxy.log()).await
}

#[tokio::test]
async fn calls_in_flight_at_sigterm_are_answered_here_or_where_their_stream_goes_on() -> Result {
    let replicas = replicas().await?;
    let document = config(&replicas);
    let (mut leaving, staying) = tokio::try_join!(Gateway::start(&document), Gateway::start(&document))?;
    let mut calls = tokio::task::JoinSet::new();
    for era in [Era::Legacy, Era::Modern] {
        let mut client = Client::new(leaving.address, "/mcp/tools", era);
        client.open().await?;
        calls.spawn(slow_call(client, staying.address));
    }
    let in_flight = async || {
        let metrics = leaving.metrics().await.ok()?;
        (metrics.sum("holdfast_upstream_requests_in_flight", &["upstream=\"tools\""]) > 1.5).then_some(())
    };
    wait::until("both calls are in flight", END, in_flight).await?;
    leaving.signal(Signal::SIGTERM)?;
    while let Some(answer) = calls.join_next().await {
        let name = answer?.map_err(|why| format!("{why}\n{}\n{}", leaving.log(), staying.log()))?;
        assert!(["one", "two"].contains(&name.as_str()), "{name}");
    }
    let status = leaving.ended(END).await?;
    assert!(status.success(), "a drained gateway ended with {status}:\n{}", leaving.log());
    Ok(())
}

/// A call that takes longer than `drain_delay`: the listeners are closed before its answer is there. A stream that
/// pauses politely is resumed at the other gateway, as a client of 2025-11-25 does.
async fn slow_call(mut client: Client, other: SocketAddr) -> std::result::Result<String, Failure> {
    match client.tool("slow", json!({"ms": 3000})).await {
        Err(Failure::Paused(event)) => {
            let result = client.resume(other, &event).await?;
            Ok(result["content"][0]["text"].as_str().unwrap_or_default().to_owned())
        }
        answer => answer,
    }
}

/// Two documents that differ in what a request meets, so that a reload is no idle act.
fn variant(replicas: &[Fixture; 2], turn: usize) -> Config {
    let strategy = if turn.is_multiple_of(2) { "round_robin" } else { "p2c_ewma" };
    config(replicas).root(&format!("routing: {{strategy: {strategy}}}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_reloads_under_load_fail_no_request() -> Result {
    let reloads = if soak() { 1_000 } else { 200 };
    let replicas = replicas().await?;
    let gateway = Gateway::start(&variant(&replicas, 0)).await?;
    let first = generation(&gateway).await?;
    let crowd = Crowd::start(&Target::gateway(gateway.address), MIX).await?;
    for turn in 1..=reloads {
        gateway.rewrite(&variant(&replicas, turn))?;
        let (status, body) = gateway.admin_post("/reload").await?;
        assert_eq!(status, 200, "reload {turn}: {body}");
    }
    nobody_noticed(&format!("{reloads} reloads"), crowd, || gateway.log()).await?;
    let reached = generation(&gateway).await?;
    assert!((reached - first - f64::from(u32::try_from(reloads)?)).abs() < 0.5, "from {first} to {reached}");
    Ok(())
}

#[tokio::test]
async fn a_bad_reload_is_refused_with_a_message_and_changes_nothing() -> Result {
    let replicas = replicas().await?;
    let gateway = Gateway::start(&config(&replicas)).await?;
    let first = generation(&gateway).await?;
    let crowd = Crowd::start(&Target::gateway(gateway.address), MIX).await?;
    for (bad, named) in [
        ("routing: {strategy: fastest}\n", "fastest"),
        ("no_such_key: 1\n", "no_such_key"),
        ("apis: [{name: plain\n", "holdfast.yaml"),
    ] {
        gateway.rewrite(&Config::default().root(bad))?;
        let (status, body) = gateway.admin_post("/reload").await?;
        assert!((400..500).contains(&status), "{bad:?} was answered {status}: {body}");
        assert!(body.contains(named), "the message does not name {named:?}: {body}");
    }
    // The signal has nobody to answer to: it tells the log.
    gateway.signal(Signal::SIGHUP)?;
    let told = || std::future::ready(gateway.log().contains("holdfast.yaml").then_some(()));
    wait::until("the log tells of the refused reload", END, told).await?;
    assert!((generation(&gateway).await? - first).abs() < 0.5);
    let tallies = crowd.finish().await?;
    assert!(tallies.safe_good() > 0);
    assert!(tallies.safe_failures().is_empty(), "{:#?}", tallies.safe_failures());
    Ok(())
}

async fn generation(gateway: &Gateway) -> Result<f64> {
    let metrics = gateway.metrics().await?;
    assert_eq!(metrics.count("holdfast_config_generation"), 1, "{}", metrics.text());
    Ok(metrics.sum("holdfast_config_generation", &[]))
}
