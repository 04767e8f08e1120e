//! Programs that do not behave: typed errors, bounded memory, nothing for anybody else.

use crate::site::{LIMIT, config, scripted, server, site, told};
use futures_util::future::try_join_all;
use holdfast_tests::{
    Result,
    gateway::Gateway,
    mcp::{Client, Era, Failure},
    wait,
};
use serde_json::{Value, json};
use std::time::Instant;

fn client(gateway: &Gateway, era: Era) -> Client {
    Client::new(gateway.address, "/mcp/run", era)
}

/// The reason that a typed error gives, with its status.
fn reason(failed: std::result::Result<Value, Failure>) -> Result<(u16, String)> {
    match failed {
        Err(Failure::Status(status, body)) => {
            let error: Value = serde_json::from_str(&body)?;
            Ok((status, error["error"]["data"]["reason"].as_str().unwrap_or_default().to_owned()))
        }
        other => Err(format!("no typed error: {other:?}").into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_dies_in_a_call_is_a_typed_error_and_the_next_call_finds_another() -> Result {
    let gateway = site("").await?;
    let mut modern = client(&gateway, Era::Modern);
    for method in ["die", "half"] {
        assert_eq!(
            reason(modern.call(method, json!({})).await)?,
            (502, "upstream_lost".to_owned()),
            "{method}"
        );
        assert_eq!(modern.call("echo", json!({"x": 1})).await?["x"], 1);
    }
    let mut legacy = client(&gateway, Era::Legacy);
    legacy.open().await?;
    assert_eq!(reason(legacy.call("die", json!({})).await)?.1, "upstream_lost");
    // A client initialises anew when it is told 404.
    assert_eq!(reason(legacy.call("echo", json!({})).await)?.0, 404);
    legacy.open().await?;
    assert_eq!(legacy.call("echo", json!({"x": 2})).await?["x"], 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_replayable_server_outlives_its_program() -> Result {
    let gateway = site(", session: replayable").await?;
    let mut legacy = client(&gateway, Era::Legacy);
    legacy.open().await?;
    let world = legacy.call("world", json!({})).await?;
    let _lost = legacy.call("die", json!({})).await;
    let after = legacy.call("world", json!({})).await?;
    assert_ne!(world["pid"], after["pid"], "another process, the same session");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_ids_banners_floods_and_endless_lines_disturb_nobody() -> Result {
    let gateway = site("").await?;
    let (mut bad, mut good) = (client(&gateway, Era::Modern), client(&gateway, Era::Legacy));
    good.open().await?;
    assert_eq!(bad.call("wrong", json!({})).await?["n"], 1);
    bad.call("flood", json!({"mib": 20})).await?;
    let before = gateway.memory()?;
    let (failed, served) =
        tokio::join!(bad.call("big", json!({"mib": 200})), good.call("echo", json!({"x": 1})));
    assert_eq!(reason(failed)?, (502, "upstream_lost".to_owned()));
    assert_eq!(served?["x"], 1);
    let grown = gateway.memory()?.saturating_sub(before);
    assert!(grown < 100 << 10, "{grown} KiB more after a line of 200 MiB, of which 64 are allowed");
    let metrics = gateway.metrics().await?;
    let count = |name, label| metrics.sum(name, &[label]) as u64;
    assert_eq!(count("holdfast_link_ends_total", "cause=\"too_large\""), 1);
    assert_eq!(count("holdfast_link_messages_dropped_total", "reason=\"unknown\""), 1);
    assert!(metrics.sum("holdfast_link_lines_suppressed_total", &[]) > 1000.0);
    assert_eq!(bad.call("echo", json!({"x": 3})).await?["x"], 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_crashes_at_its_start_is_refused_by_its_breaker_and_status_shows_it() -> Result {
    let crash = format!(
        "    - {{name: run, era: dual, command: [python3, '{}', crash], circuit_breaker: {{failure_threshold: 3}}}}\n",
        scripted().display()
    );
    let gateway = Gateway::start(&config(&[crash, server("other", "")])).await?;
    wait::until("the breaker is open", LIMIT, || async {
        let _failed = client(&gateway, Era::Modern).call("echo", json!({})).await;
        let told = told(&gateway, "run").await.ok()?;
        (told["endpoints"][0]["breaker"] == "open").then_some(())
    })
    .await?;
    let failed = async || {
        let metrics = gateway.metrics().await?;
        Result::Ok(
            metrics.sum("holdfast_link_openings_total", &["server=\"run\"", "result=\"failed\""]) as u64
        )
    };
    let (before, begun) = (failed().await?, Instant::now());
    let mut refused = client(&gateway, Era::Modern);
    for _ in 0..500 {
        assert_eq!(reason(refused.call("echo", json!({})).await)?.0, 503);
    }
    let each = begun.elapsed() / 500;
    println!("total: a program that crashes at its start: 500 calls refused, {each:?} each");
    assert_eq!(failed().await?, before, "none was started for a call that was refused");
    let mut other = Client::new(gateway.address, "/mcp/other", Era::Modern);
    assert_eq!(other.call("echo", json!({"x": 1})).await?["x"], 1);
    Ok(())
}

/// Two principals, each with clients whose request ids are the same as the others', over one process for all or one each.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_one_principal_is_ever_shown_to_another() -> Result {
    const CLIENTS: usize = 8;
    const CALLS: usize = 250;
    for keys in ["", ", shared: true, pool: 1"] {
        let auth = ", auth: {type: api_key, api_key: {keys: [{name: a, key: aaaaaaaaaaaaaaaaaaaaaaaa}, \
                    {name: b, key: bbbbbbbbbbbbbbbbbbbbbbbb}]}}";
        let gateway = site(&format!("{keys}{auth}")).await?;
        let one = async |number: usize| {
            let key = if number.is_multiple_of(2) { "a" } else { "b" }.repeat(24);
            let mut client = client(&gateway, Era::Modern).with_key(&key);
            for call in 0..CALLS {
                let secret = format!("{key} {number} {call}");
                let heard = client.call("echo", json!({"secret": secret})).await?;
                assert_eq!(heard["secret"], secret, "an answer of somebody else");
            }
            Result::Ok(())
        };
        try_join_all((0..CLIENTS).map(one)).await?;
        let processes = told(&gateway, "run").await?["links"].as_array().map(Vec::len);
        assert_eq!(processes, Some(if keys.is_empty() { 2 } else { 1 }));
        println!("total: two principals with equal ids{keys}: {} calls, nothing crossed", CLIENTS * CALLS);
    }
    Ok(())
}
