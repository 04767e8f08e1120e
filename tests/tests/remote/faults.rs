//! Servers that do not behave: typed errors, bounded memory, nothing for anybody else.

use crate::site::{Carrier, LIMIT, Server, Site, config, told};
use futures_util::future::try_join_all;
use holdfast_tests::{
    Result,
    gateway::Gateway,
    mcp::{Client, Era, Failure},
    wait,
};
use serde_json::{Value, json};

fn client(gateway: &Gateway, carrier: Carrier, era: Era) -> Client {
    Client::new(gateway.address, &format!("/mcp/{carrier}"), era)
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
async fn a_connection_that_breaks_in_a_call_is_a_typed_error_and_the_next_call_opens_another() -> Result {
    let site = Site::start("").await?;
    for carrier in Carrier::ALL {
        let mut modern = client(&site.gateway, carrier, Era::Modern);
        for method in ["die", "half"] {
            let failed = reason(modern.call(method, json!({})).await)?;
            assert_eq!(failed, (502, "upstream_lost".to_owned()), "{carrier} {method}");
            assert_eq!(modern.call("echo", json!({"x": 1})).await?["x"], 1);
        }
        let mut legacy = client(&site.gateway, carrier, Era::Legacy);
        legacy.open().await?;
        assert_eq!(reason(legacy.call("die", json!({})).await)?.1, "upstream_lost");
        // A client initialises anew when it is told 404.
        assert_eq!(reason(legacy.call("echo", json!({})).await)?.0, 404);
        legacy.open().await?;
        assert_eq!(legacy.call("echo", json!({"x": 2})).await?["x"], 2);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_ids_and_messages_of_200_mib_disturb_nobody() -> Result {
    let site = Site::start("").await?;
    for carrier in Carrier::ALL {
        let (mut bad, mut good) =
            (client(&site.gateway, carrier, Era::Modern), client(&site.gateway, carrier, Era::Legacy));
        good.open().await?;
        assert_eq!(bad.call("wrong", json!({})).await?["n"], 1);
        let before = site.gateway.memory()?;
        let (failed, served) =
            tokio::join!(bad.call("big", json!({"mib": 200})), good.call("echo", json!({"x": 1})));
        assert_eq!(reason(failed)?, (502, "upstream_lost".to_owned()), "{carrier}");
        assert_eq!(served?["x"], 1);
        let grown = site.gateway.memory()?.saturating_sub(before);
        // An event that grows is held twice, and the allocator gives back later.
        assert!(
            grown < 256 << 10,
            "{carrier}: {grown} KiB more after a message of 200 MiB, of which 64 are allowed"
        );
        let metrics = site.gateway.metrics().await?;
        let server = format!("server=\"{carrier}\"");
        let count = |name, label: &str| metrics.sum(name, &[&server, label]) as u64;
        assert_eq!(count("holdfast_link_ends_total", "cause=\"too_large\""), 1, "{carrier}");
        assert_eq!(count("holdfast_link_messages_dropped_total", "reason=\"unknown\""), 1, "{carrier}");
        assert_eq!(bad.call("echo", json!({"x": 3})).await?["x"], 3);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_refused_fails_its_own_request_and_no_other() -> Result {
    let site = Site::start("").await?;
    let mut legacy = client(&site.gateway, Carrier::Sse, Era::Legacy);
    legacy.open().await?;
    let failed = legacy.call("refuse", json!({})).await;
    assert!(format!("{failed:?}").contains("400 Bad Request"), "{failed:?}");
    assert_eq!(legacy.call("echo", json!({"x": 2})).await?["x"], 2, "on the same session");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_frame_ends_its_link_and_no_other() -> Result {
    let site = Site::start("").await?;
    let mut legacy = client(&site.gateway, Carrier::WebSocket, Era::Legacy);
    legacy.open().await?;
    let mut modern = client(&site.gateway, Carrier::WebSocket, Era::Modern);
    assert_eq!(reason(modern.call("binary", json!({})).await)?, (502, "upstream_lost".to_owned()));
    assert_eq!(legacy.call("echo", json!({"x": 1})).await?["x"], 1);
    assert_eq!(modern.call("echo", json!({"x": 1})).await?["x"], 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_that_names_no_address_or_one_elsewhere_is_a_typed_error() -> Result {
    let folder = tempfile::tempdir()?;
    let server = Server::scripted("scripted", folder.path()).await?;
    let at = |name: &str, path: &str| {
        let url = format!("http://127.0.0.1:{}/{path}", server.port);
        let keys = format!("era: dual, transport: sse, request_timeout: 2s, endpoints: \"{url}\"");
        (name.to_owned(), keys)
    };
    let servers = [at("elsewhere", "elsewhere/sse"), at("silent", "silent/sse"), at("none", "nothing")];
    let gateway = Gateway::start(&config(&servers)).await?;
    for (name, status) in [("elsewhere", 503), ("silent", 504), ("none", 503)] {
        let mut modern = Client::new(gateway.address, &format!("/mcp/{name}"), Era::Modern);
        let failed = reason(modern.call("echo", json!({})).await)?;
        assert_eq!(failed.0, status, "{name}: {failed:?}");
    }
    wait::until("the log says why", LIMIT, || async {
        gateway.log().contains("named an address of another origin to post to").then_some(())
    })
    .await
}

/// Two principals, each with clients whose request ids are the same as the others', over one link for all or one each.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_one_principal_is_ever_shown_to_another() -> Result {
    const CLIENTS: usize = 8;
    const CALLS: usize = 100;
    for keys in ["", ", shared: true, pool: 1"] {
        let auth = ", auth: {type: api_key, api_key: {keys: [{name: a, key: aaaaaaaaaaaaaaaaaaaaaaaa}, \
                    {name: b, key: bbbbbbbbbbbbbbbbbbbbbbbb}]}}";
        let site = Site::start(&format!("{keys}{auth}")).await?;
        for carrier in Carrier::ALL {
            let one = async |number: usize| {
                let key = if number.is_multiple_of(2) { "a" } else { "b" }.repeat(24);
                let mut client = client(&site.gateway, carrier, Era::Modern).with_key(&key);
                for call in 0..CALLS {
                    let secret = format!("{key} {number} {call}");
                    let heard = client.call("echo", json!({"secret": secret})).await?;
                    assert_eq!(heard["secret"], secret, "an answer of somebody else");
                }
                Result::Ok(())
            };
            try_join_all((0..CLIENTS).map(one)).await?;
            let links = told(&site.gateway, &carrier.to_string()).await?["links"].as_array().map(Vec::len);
            assert_eq!(links, Some(if keys.is_empty() { 2 } else { 1 }), "{carrier}{keys}");
            println!(
                "total: two principals with equal ids over {carrier}{keys}: {} calls, nothing crossed",
                CLIENTS * CALLS
            );
        }
    }
    Ok(())
}
