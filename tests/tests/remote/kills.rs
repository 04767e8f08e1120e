//! Servers that die, hang or are taken away, and what their clients notice.

use crate::site::{Carrier, LIMIT, Server, config, told};
use futures_util::future::try_join_all;
use holdfast_tests::{
    Result,
    gateway::Gateway,
    mcp::{Client, Era},
    wait,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Two servers, at `/mcp/story`.
struct Pair {
    gateway: Gateway,
    servers: Vec<Server>,
    _folder: tempfile::TempDir,
}

impl Pair {
    async fn start(carrier: Carrier, keys: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let servers = vec![
            Server::scripted("first", folder.path()).await?,
            Server::scripted("second", folder.path()).await?,
        ];
        let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
        let keys = format!("era: dual, {}{keys}", carrier.keys(&ports));
        let gateway = Gateway::start(&config(&[("story".into(), keys)])).await?;
        Ok(Self { gateway, servers, _folder: folder })
    }

    fn client(&self, era: Era) -> Client {
        Client::new(self.gateway.address, "/mcp/story", era)
    }

    /// The index of the server that the only link leads to.
    async fn led_to(&self) -> Result<usize> {
        let told = told(&self.gateway, "story").await?;
        let endpoint = told["links"][0]["endpoint"].as_str().unwrap_or_default().to_owned();
        let at = |server: &Server| endpoint.contains(&format!(":{}/", server.port));
        self.servers.iter().position(at).ok_or_else(|| format!("no link: {told}").into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_calls_go_on_when_a_server_is_killed_under_load() -> Result {
    const CLIENTS: usize = 8;
    for carrier in Carrier::ALL {
        let mut pair = Pair::start(carrier, "").await?;
        let (calls, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
        let one = async |_| {
            let mut client = pair.client(Era::Modern);
            while !enough.load(Ordering::Relaxed) {
                // Everybody may repeat a list.
                let listed = client.call("tools/list", json!({})).await;
                listed.map_err(|failure| format!("{carrier}: {failure:?}\n{}", pair.gateway.log()))?;
                calls.fetch_add(1, Ordering::Relaxed);
            }
            Result::Ok(())
        };
        let load = try_join_all((0..CLIENTS).map(one));
        let kills = async {
            let more = async |count: usize| {
                let goal = calls.load(Ordering::Relaxed) + count;
                wait::until("calls go on", LIMIT, || {
                    std::future::ready((calls.load(Ordering::Relaxed) >= goal).then_some(()))
                })
                .await
            };
            more(200).await?;
            pair.servers[0].process.signal(Signal::SIGKILL)?;
            more(500).await?;
            enough.store(true, Ordering::Relaxed);
            Result::Ok(())
        };
        tokio::try_join!(load, kills)?;
        println!("total: a server killed over {carrier}: {} safe calls, 0 failed", calls.into_inner());
        pair.servers.clear();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_at_the_other_server_where_it_may() -> Result {
    for carrier in Carrier::ALL {
        let mut pair = Pair::start(carrier, ", session: replayable").await?;
        let mut legacy = pair.client(Era::Legacy);
        legacy.open().await?;
        assert_eq!(legacy.call("echo", json!({"x": 1})).await?["x"], 1);
        let used = pair.led_to().await?;
        pair.servers[used].process.kill()?;
        let after = wait::until("the session is bound anew", LIMIT, || async {
            legacy.at(pair.gateway.address).call("echo", json!({"x": 2})).await.ok()
        });
        assert_eq!(after.await?["x"], 2, "{carrier}");
        assert_eq!(pair.led_to().await?, 1 - used, "{carrier}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_is_silent_for_two_and_a_half_pings_is_dead() -> Result {
    let pair = Pair::start(Carrier::WebSocket, ", link_ping_interval: 1s").await?;
    let mut modern = pair.client(Era::Modern);
    assert_eq!(modern.call("echo", json!({"x": 1})).await?["x"], 1);
    let used = pair.led_to().await?;
    let stopped = &pair.servers[used].process;
    stopped.signal(Signal::SIGSTOP)?;
    let moved = wait::until("the link to the stopped server is given up", LIMIT, || async {
        let links = told(&pair.gateway, "story").await.ok()?["links"].as_array()?.len();
        (links == 0).then_some(())
    });
    moved.await?;
    // The server that was stopped takes connections still, by its kernel: who chooses it meets a deadline, and the other answers.
    assert_eq!(
        modern.call("echo", json!({"x": 2})).await.map(|said| said["x"].clone()).unwrap_or_default(),
        2
    );
    stopped.signal(Signal::SIGCONT)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_closes_the_links_to_endpoints_it_takes_away_and_no_others() -> Result {
    for carrier in Carrier::ALL {
        let pair = Pair::start(carrier, "").await?;
        let mut clients = Vec::new();
        for _ in 0..12 {
            let mut client = pair.client(Era::Legacy);
            client.open().await?;
            clients.push(client);
        }
        let at = async |port: u16| {
            let told = told(&pair.gateway, "story").await?;
            let leads =
                |link: &&Value| link["endpoint"].as_str().is_some_and(|to| to.contains(&format!(":{port}/")));
            Result::Ok(told["links"].as_array().into_iter().flatten().filter(leads).count())
        };
        let (stays, goes) = (pair.servers[0].port, pair.servers[1].port);
        let before = (at(stays).await?, at(goes).await?);
        assert!(before.0 > 0 && before.1 > 0 && before.0 + before.1 == 12, "{carrier}: {before:?}");
        pair.gateway
            .rewrite(&config(&[("story".into(), format!("era: dual, {}", carrier.keys(&[stays])))]))?;
        let (status, said) = pair.gateway.admin_post("/reload").await?;
        assert_eq!(status, 200, "{said}");
        wait::until("the links to what was taken away end", LIMIT, || async {
            let told = told(&pair.gateway, "story").await.ok()?;
            (told["links"].as_array()?.len() == before.0).then_some(())
        })
        .await?;
        let mut served = 0;
        for client in &mut clients {
            served += usize::from(client.call("echo", json!({"x": 1})).await.is_ok());
        }
        assert_eq!(served, before.0, "{carrier}: sessions of the server that stays go on");
    }
    Ok(())
}
