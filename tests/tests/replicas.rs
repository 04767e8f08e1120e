//! Replicas of the gateway die by SIGKILL under load: no session is lost, and what fails was in flight on the dead one.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

use holdfast_test_servers::{Options as ServerOptions, Server};
use holdfast_tests::{
    Result,
    crowd::{Crowd, Mix, Target},
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    load::{self, Tally},
    mcp::{Client, Era, Failure},
    place,
    replicas::{Kill, Replicas},
    sdk::SdkClients,
    sessions::{Counts, Plan, Sessions},
    soak, wait,
};
use serde_json::json;
use std::time::{Duration, Instant};

/// A killed replica stays away for this long.
const AWAY: Duration = Duration::from_secs(1);
/// Clients without a session, beside the sessions.
const MIX: Mix = Mix { plain: 4, legacy: 0, modern: 6, record: 0, record_ms: 0 };
/// Their pause between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// 32 bytes that every replica of these tests knows.
const PSK: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Time the sessions get to end the streams they are in.
const END: Duration = Duration::from_mins(2);

fn config(servers: &[&Fixture], extra: &str) -> Config {
    let endpoints: Vec<String> = servers.iter().map(|server| server.mcp()).collect();
    Config::default().root(&format!(
        "mcp:\n  servers:\n    - {{name: tools, session: replayable, endpoints: [{}]}}\n{extra}",
        endpoints.join(", ")
    ))
}

/// Kills one replica after the other, on the beat.
async fn strike(replicas: &mut Replicas, kills: usize, every: Duration) -> Result<Vec<Kill>> {
    let count = replicas.gateways().len();
    let mut beat = tokio::time::interval(every);
    beat.tick().await;
    let mut done = Vec::new();
    for _ in 0..kills {
        beat.tick().await;
        let index = fastrand::usize(..count);
        let kill = replicas.kill(index)?;
        done.push(kill);
        tokio::time::sleep_until((kill.before + AWAY).into()).await;
        replicas.restart(index).await?;
    }
    beat.tick().await;
    Ok(done)
}

/// Stories of streams, counted.
#[derive(Debug, Default)]
struct Streams {
    whole: usize,
    resumed: usize,
    repeated: usize,
    missing: u64,
    unnamed: usize,
    lost: Vec<String>,
    innocent: Vec<String>,
}

fn judge(counts: &Counts, kills: &[Kill], count_to: u64) -> Streams {
    let mut streams = Streams::default();
    for told in counts.streams() {
        let story = &told.story;
        streams.repeated += story.repeated();
        streams.unnamed += story.told.iter().filter(|(_, named)| !named).count();
        let answered = story.answer == Some(Ok(count_to.to_string()));
        if answered {
            streams.whole += 1;
            streams.missing += story.missing() + (count_to - story.told.last().map_or(0, |(last, _)| *last));
            streams.resumed += usize::from(story.resumed > 0);
            continue;
        }
        let line = format!(
            "session {}: {:?} {:?} after {} events",
            told.session,
            story.answer,
            story.lost,
            story.told.len()
        );
        if !kills.iter().any(|kill| kill.met(told.began, told.ended)) {
            streams.innocent.push(line.clone());
        }
        streams.lost.push(line);
    }
    streams
}

/// Failures that no kill explains.
fn innocent(tallies: &[&Tally], kills: &[Kill]) -> Vec<String> {
    let mut found = Vec::new();
    for tally in tallies {
        for failed in tally.failures() {
            if !kills.iter().any(|kill| kill.met(failed.began, failed.ended)) {
                found.push(format!("{} {}: {}", tally.name(), failed.id, failed.why));
            }
        }
    }
    found
}

/// Where clients of every kind go: the MCP server, and a plain route to the same processes.
fn site(servers: &[&Fixture]) -> Config {
    let addresses: Vec<String> =
        servers.iter().map(|server| format!("'http://{}'", server.address())).collect();
    let plain =
        format!("apis: [{{name: plain, path_prefix: /plain, endpoints: [{}]}}]\n", addresses.join(", "));
    config(servers, &plain)
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_replicas_die_and_every_session_goes_on() -> Result {
    let (sessions, kills, every) = if soak() { (1000, 28, 10) } else { (120, 4, 5) };
    let (one, two) =
        tokio::try_join!(Fixture::start(Options::named("one")), Fixture::start(Options::named("two")))?;
    let mut replicas = Replicas::start(vec![site(&[&one, &two]); 3]).await?;
    let sdks = SdkClients::start(&format!("http://{}/mcp/tools", replicas.address()))?;
    let plan = Plan {
        address: replicas.address(),
        path: "/mcp/tools".to_owned(),
        sessions,
        stream_every: 4,
        count_to: 20,
        count_ms: 100,
        pause: Duration::from_millis(if soak() { 1000 } else { 200 }),
    };
    let target = Target::gateway(replicas.address()).at_leisure(PAUSE);
    let (keeping, crowd) = tokio::try_join!(Sessions::start(&plan), Crowd::start(&target, MIX))?;
    let kills = strike(&mut replicas, kills, Duration::from_secs(every)).await?;
    let sdks = sdks.finish(END).await?;
    let (counts, tallies) = (keeping.finish(END).await?, crowd.finish().await?);
    let title = format!("{sessions} sessions, 6 SDK clients and others, {} kills of a replica", kills.len());
    let mut all = vec![&counts.lists, &tallies.modern, &tallies.plain];
    all.extend(&sdks);
    load::print(&title, &[&all[..], &[&counts.lost]].concat());
    load::total_of(&title, &all);
    let streams = judge(&counts, &kills, plan.count_to);
    println!("streams: {streams:#?}");
    assert_eq!(counts.lost.bad(), 0, "sessions were lost: {:?}\n{}", counts.lost.failures(), replicas.logs());
    let unmet = innocent(&all, &kills);
    assert!(unmet.is_empty(), "requests failed that no kill met: {unmet:#?}\n{}", replicas.logs());
    let silent: Vec<&str> = all.iter().filter(|tally| tally.good() < 20).map(|tally| tally.name()).collect();
    assert!(silent.is_empty(), "these did not go on: {silent:?}\n{}", replicas.logs());
    assert!(streams.innocent.is_empty(), "{:#?}\n{}", streams.innocent, replicas.logs());
    assert_eq!((streams.repeated, streams.missing), (0, 0), "events came twice or never");
    Ok(())
}

#[tokio::test]
async fn a_session_of_one_region_goes_on_in_another_that_shares_only_the_key_ring() -> Result {
    let server = Fixture::start(Options::named("one")).await?;
    let region = |name: &str| config(&[&server], &format!("ha: {{region: {name}}}\n"));
    let replicas = Replicas::start(vec![region("x"), region("y")]).await?;
    let [x, y] = replicas.gateways() else { unreachable!("two replicas") };
    let mut client = Client::new(x.address, "/mcp/tools", Era::Legacy);
    client.open().await?;
    client.list_tools().await?;
    client.go_to(y.address);
    let began = Instant::now();
    assert!(client.list_tools().await? > 0, "POST");
    assert_eq!(client.listen().await?, 200, "GET");
    assert_eq!(client.end().await?, 204, "DELETE");
    assert!(matches!(client.list_tools().await, Err(Failure::Status(404, _))), "the session is over");
    println!("the other region served it within {:?}", began.elapsed());
    Ok(())
}

/// What two replicas have in common besides the key ring.
#[derive(Clone, Copy, Debug)]
enum Common {
    Redis,
    Channel,
}

/// Two replicas, and whatever they share, kept alive beside them.
async fn pair(servers: &[&Fixture], common: Common) -> Result<(Replicas, Option<Server>)> {
    match common {
        Common::Redis => {
            let redis = Server::start(&ServerOptions::new()).map_err(|why| why.to_string())?;
            let extra = format!("redis: {{url: '{}'}}\n", redis.url());
            let replicas = Replicas::start(vec![config(servers, &extra), config(servers, &extra)]).await?;
            Ok((replicas, Some(redis)))
        }
        Common::Channel => {
            let ports = [place::free_address()?.port(), place::free_address()?.port()];
            let extra = |me: usize| {
                format!(
                    "\
ha:
  peer_discovery: {{enabled: true, method: static, peers: ['127.0.0.1:{}', '127.0.0.1:{}']}}
  peer_channel: {{host: 127.0.0.1, port: {}, psk: '{PSK}'}}
",
                    ports[0], ports[1], ports[me]
                )
            };
            let replicas =
                Replicas::start(vec![config(servers, &extra(0)), config(servers, &extra(1))]).await?;
            for gateway in replicas.gateways() {
                let known = async || {
                    let metrics = gateway.metrics().await.ok()?;
                    (metrics.sum("holdfast_peer_replicas", &[]) > 0.5).then_some(())
                };
                wait::until("the replicas know each other", END, known).await?;
            }
            Ok((replicas, None))
        }
    }
}

#[tokio::test]
async fn a_session_ended_at_one_replica_is_ended_at_the_other() -> Result {
    for common in [Common::Redis, Common::Channel] {
        let server = Fixture::start(Options::named("one")).await?;
        let (replicas, _redis) = pair(&[&server], common).await?;
        let [a, b] = replicas.gateways() else { unreachable!("two replicas") };
        let status = a.status().await?;
        match common {
            Common::Redis => {
                assert_eq!((&status["store"]["mode"], &status["replicas"]), (&json!("single"), &json!(null)));
                assert_eq!(status["store"]["servers"][0]["role"], "master", "{status}");
            }
            Common::Channel => {
                assert_eq!(status["store"]["mode"], "memory");
                let others = status["replicas"]["others"].as_array().ok_or("no others")?;
                assert!(others.iter().any(|other| other["state"] == "living"), "{status}");
            }
        }
        let mut client = Client::new(a.address, "/mcp/tools", Era::Legacy);
        client.open().await?;
        client.list_tools().await?;
        let mut elsewhere = client.at(b.address);
        assert!(elsewhere.list_tools().await? > 0, "{common:?}: both serve it");
        assert_eq!(client.end().await?, 204);
        // Its server would say 404 as well: what counts is that this replica knows by itself.
        let refused = async || {
            let lost = matches!(elsewhere.at(b.address).list_tools().await, Err(Failure::Status(404, _)));
            let metrics = b.metrics().await.ok()?;
            let ended = metrics.sum("holdfast_mcp_sessions_refused_total", &["reason=\"ended\""]);
            (lost && ended > 0.5).then_some(())
        };
        wait::until(&format!("{common:?}: the other replica knows"), END, refused)
            .await
            .map_err(|why| format!("{why}\n{}", replicas.logs()))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_session_moved_by_one_replica_is_not_moved_again_by_the_other() -> Result {
    for common in [Common::Redis, Common::Channel] {
        let mut one = Fixture::start(Options::named("one")).await?;
        let two = Fixture::start(Options::named("two")).await?;
        let (replicas, _redis) = pair(&[&one, &two], common).await?;
        let [a, b] = replicas.gateways() else { unreachable!("two replicas") };
        // One that lives on the first server.
        let mut client = loop {
            let mut client = Client::new(a.address, "/mcp/tools", Era::Legacy);
            client.open().await?;
            if client.tool("whoami", json!({})).await? == "one" {
                break client;
            }
        };
        one.kill()?;
        client.list_tools().await?;
        let moved = async |gateway: &Gateway| -> Result<f64> {
            Ok(gateway.metrics().await?.sum("holdfast_mcp_rebindings_total", &["result=\"ok\""]))
        };
        assert!((moved(a).await? - 1.0).abs() < 0.1, "{common:?}: moved once\n{}", a.log());
        let mut elsewhere = client.at(b.address);
        assert_eq!(elsewhere.tool("whoami", json!({})).await?, "two", "{common:?}\n{}", b.log());
        assert!(
            moved(b).await? < 0.1,
            "{common:?}: the other replica used the move of the first\n{}",
            b.log()
        );
    }
    Ok(())
}
