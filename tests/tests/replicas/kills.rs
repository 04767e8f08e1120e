//! Replicas die by SIGKILL under load: no session is lost, and what fails was in flight on the dead one.

use super::{END, config};
use holdfast_test_servers::{Options as ServerOptions, Server};
use holdfast_tests::{
    Result,
    counting::Counting,
    crowd::{Crowd, Mix, Target},
    fixture::{Fixture, Options},
    gateway::Config,
    load::{self, Tally},
    replicas::{Kill, Replicas},
    sdk::SdkClients,
    sessions::{Counts, Plan, Sessions, Streams, Told},
    sharing, soak,
};
use std::time::Duration;

/// A killed replica stays away for this long.
const AWAY: Duration = Duration::from_secs(1);
/// Clients without a session, beside the sessions.
const MIX: Mix = Mix { plain: 4, legacy: 0, modern: 6, record: 0, record_ms: 0 };
/// Their pause between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// A stream counts up to here.
const COUNT_TO: u64 = 20;

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

/// Where clients of every kind go: the MCP servers, and a plain route to the same processes.
fn site(servers: &[&Fixture], unnamed: &Counting, shared: &str) -> Config {
    let addresses: Vec<String> =
        servers.iter().map(|server| format!("'http://{}'", server.address())).collect();
    let rest = format!(
        "    - {{name: unnamed, endpoints: ['{}']}}
apis: [{{name: plain, path_prefix: /plain, endpoints: [{}]}}]
{shared}",
        unnamed.mcp(),
        addresses.join(", ")
    );
    config(servers, &rest)
}

/// Sessions at `path`, every fourth request of which is a stream.
fn plan(replicas: &Replicas, path: &str, sessions: usize) -> Plan {
    Plan {
        address: replicas.address(),
        path: path.to_owned(),
        sessions,
        stream_every: 4,
        count_to: COUNT_TO,
        count_ms: 100,
        pause: Duration::from_millis(if soak() { 1000 } else { 200 }),
    }
}

/// What the sessions of both MCP servers counted, judged.
struct Verdict {
    named: Streams,
    unnamed: Streams,
}

/// Three replicas with a load of every kind are killed one after the other. Sessions go on, and only what a kill met has failed.
async fn survive(name: &str, shared: &[String]) -> Result<Verdict> {
    let (sessions, without_ids, kills, every) = if soak() { (1000, 50, 28, 10) } else { (120, 20, 4, 5) };
    let (one, two, counting) = tokio::try_join!(
        Fixture::start(Options::named("one")),
        Fixture::start(Options::named("two")),
        Counting::start()
    )?;
    let configs = shared.iter().map(|shared| site(&[&one, &two], &counting, shared)).collect();
    let mut replicas = Replicas::start(configs).await?;
    let sdks = SdkClients::start(&format!("http://{}/mcp/tools", replicas.address()))?;
    let (named, unnamed) =
        (plan(&replicas, "/mcp/tools", sessions), plan(&replicas, "/mcp/unnamed", without_ids));
    let target = Target::gateway(replicas.address()).at_leisure(PAUSE);
    let (keeping, bare, crowd) =
        tokio::try_join!(Sessions::start(&named), Sessions::start(&unnamed), Crowd::start(&target, MIX))?;
    let kills = strike(&mut replicas, kills, Duration::from_secs(every)).await?;
    let sdks = sdks.finish(END).await?;
    let (counts, bare) = tokio::try_join!(keeping.finish(END), bare.finish(END))?;
    let tallies = crowd.finish().await?;
    let title = format!(
        "{name}: {sessions} and {without_ids} sessions, 6 SDK clients and others, {} kills of a replica",
        kills.len()
    );
    let mut all = vec![&counts.lists, &bare.lists, &tallies.modern, &tallies.plain];
    all.extend(&sdks);
    load::print(&title, &[&all[..], &[&counts.lost, &bare.lost]].concat());
    load::total_of(&title, &all);
    for lost in [&counts.lost, &bare.lost] {
        assert_eq!(lost.bad(), 0, "sessions were lost: {:?}\n{}", lost.failures(), replicas.logs());
    }
    let unmet = innocent(&all, &kills);
    assert!(unmet.is_empty(), "requests failed that no kill met: {unmet:#?}\n{}", replicas.logs());
    let silent: Vec<&str> = all.iter().filter(|tally| tally.good() < 20).map(|tally| tally.name()).collect();
    assert!(silent.is_empty(), "these did not go on: {silent:?}\n{}", replicas.logs());
    let met = |told: &Told| kills.iter().any(|kill| kill.met(told.began, told.ended));
    let judge = |counts: &Counts| Streams::judge(counts, COUNT_TO, met);
    let verdict = Verdict { named: judge(&counts), unnamed: judge(&bare) };
    for (kind, streams) in [("named", &verdict.named), ("unnamed", &verdict.unnamed)] {
        println!("streams of the server with {kind} events: {streams:#?}");
        load::total(&format!("{name}, streams with {kind} events: {streams}"));
        let innocent = streams.innocent();
        assert!(innocent.is_empty(), "{innocent:#?}\n{}", replicas.logs());
        assert_eq!(
            (streams.repeated, streams.missing),
            (0, 0),
            "events came twice or never\n{}",
            replicas.logs()
        );
    }
    Ok(verdict)
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_replicas_die_and_every_session_goes_on() -> Result {
    let alone = vec![String::new(); 3];
    let verdict = survive("key ring only", &alone).await?;
    assert!(verdict.named.resumed > 0, "no stream met a kill");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_replicas_that_share_die_and_what_they_heard_is_not_lost() -> Result {
    let redis = Server::start(&ServerOptions::new())?;
    let shared: Vec<String> = sharing::channel(3)?
        .iter()
        .map(|channel| format!("{channel}redis: {{url: '{}'}}\n", redis.url()))
        .collect();
    let Verdict { named, unnamed } = survive("Redis and channel", &shared).await?;
    assert!(named.resumed > 0, "no stream met a kill");
    // Also where the client was cut off, and where the answer cannot come any more: what was logged came, each once.
    assert_eq!((named.gaps, unnamed.gaps), (0, 0), "a client missed what a dead replica had heard");
    Ok(())
}
