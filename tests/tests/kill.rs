//! Endpoints die by SIGKILL under load and come back: no safe request may fail, and nothing may run twice.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

use holdfast_tests::{
    Result,
    crowd::{Crowd, Mix, Target},
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    journal,
    load::{self, Failed},
    soak,
};
use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

/// A killed replica stays away for this long.
const AWAY: Duration = Duration::from_secs(1);
/// 64 clients. The recorded calls are held for a moment, so that each kill meets some.
const MIX: Mix = Mix { plain: 24, legacy: 12, modern: 12, record: 16, record_ms: 10 };

/// How long, how often, and how much must have happened for the result to mean something.
struct Plan {
    kills: usize,
    every: Duration,
    safe_min: u64,
    unsafe_min: u64,
    hits_min: usize,
}

fn plan() -> Plan {
    if soak() {
        return Plan {
            kills: 12,
            every: Duration::from_secs(5),
            safe_min: 100_000,
            unsafe_min: 10_000,
            hits_min: 10,
        };
    }
    Plan { kills: 8, every: Duration::from_secs(3), safe_min: 5_000, unsafe_min: 500, hits_min: 4 }
}

/// One SIGKILL.
#[derive(Debug)]
struct Kill {
    victim: String,
    before: Instant,
    after: Instant,
}

impl Kill {
    /// Whether a request was under way when the kill came.
    fn met(&self, failed: &Failed) -> bool {
        failed.began <= self.after && failed.ended >= self.before
    }
}

/// A gateway with every default: probes each 5 s, breakers open for 10 s, ejections for 30 s.
async fn start(journal: &Path) -> Result<(Gateway, [Fixture; 2])> {
    let (one, two) = tokio::try_join!(
        Fixture::start(Options::named("one").with_journal(journal)),
        Fixture::start(Options::named("two").with_journal(journal))
    )?;
    let config = Config::default().root(&Target::routes([&one, &two]));
    Ok((Gateway::start(&config).await?, [one, two]))
}

/// Kills and restarts in turn, on the beat.
async fn strike(replicas: &mut [Fixture; 2], plan: &Plan) -> Result<Vec<Kill>> {
    let mut beat = tokio::time::interval(plan.every);
    beat.tick().await;
    let mut kills = Vec::new();
    for turn in 0..plan.kills {
        beat.tick().await;
        let replica = &mut replicas[turn % 2];
        let before = Instant::now();
        replica.kill()?;
        kills.push(Kill { victim: replica.name().to_owned(), before, after: Instant::now() });
        tokio::time::sleep_until((before + AWAY).into()).await;
        replica.restart().await?;
    }
    beat.tick().await;
    Ok(kills)
}

/// Every failed unsafe call must have been in flight on the replica that a kill took. Gives the failures of each kill.
fn blame(kills: &[Kill], failures: &[Failed], executed: &HashMap<String, String>) -> Result<Vec<usize>> {
    let mut hits = vec![0; kills.len()];
    let mut innocent = Vec::new();
    for failed in failures {
        let fits = |kill: &Kill| {
            // If it ran at all, it ran on the replica that died.
            kill.met(failed) && executed.get(&failed.id).is_none_or(|replica| *replica == kill.victim)
        };
        match kills.iter().position(fits) {
            Some(kill) => hits[kill] += 1,
            None => innocent.push(format!("{} at {}: {}", failed.id, since(kills, failed.began), failed.why)),
        }
    }
    if !innocent.is_empty() {
        let count = innocent.len();
        innocent.truncate(20);
        return Err(format!("{count} calls failed though no kill met them:\n{}", innocent.join("\n")).into());
    }
    Ok(hits)
}

/// When a moment was, told by the last kill before it.
fn since(kills: &[Kill], moment: Instant) -> String {
    match kills.iter().rposition(|kill| kill.before <= moment) {
        Some(last) => {
            let later = moment - kills[last].before;
            format!("{later:.1?} after kill {} of {}", last + 1, kills[last].victim)
        }
        None => "a time before any kill".to_owned(),
    }
}

fn print(kills: &[Kill], hits: &[usize]) {
    let mut table = comfy_table::Table::new();
    table.set_header(["kill", "endpoint", "calls lost in flight"]);
    for (index, (kill, hit)) in kills.iter().zip(hits).enumerate() {
        table.add_row([(index + 1).to_string(), kill.victim.clone(), hit.to_string()]);
    }
    println!("{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_endpoints_die_and_no_safe_request_fails() -> Result {
    let plan = plan();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("journal");
    let (gateway, mut replicas) = start(&file).await?;
    let crowd = Crowd::start(&Target::gateway(gateway.address), MIX).await?;
    let kills = strike(&mut replicas, &plan).await?;
    let tallies = crowd.finish().await?;
    let metrics = gateway.metrics().await?;
    let retries = metrics.sum("holdfast_upstream_retries_total", &[]);

    println!("{}", metrics.nonzero("holdfast_upstream_"));
    load::print("64 clients that never retry, while endpoints die", &tallies.all());
    let executed = journal::executed(&file)?;
    println!("{} calls ran, none of them twice; {retries} attempts were made again", executed.len());
    let failures = tallies.record.failures();
    let hits = blame(&kills, &failures, &executed)?;
    print(&kills, &hits);
    load::total_of(&format!("{} kills, safe requests", kills.len()), &tallies.safe());
    let (good, lost) = (tallies.record.good(), tallies.record.bad());
    load::total(&format!(
        "{} kills, unsafe calls: {good} good, {lost} in flight on a killed endpoint",
        kills.len()
    ));
    let failed = tallies.safe_failures();
    assert!(failed.is_empty(), "safe requests failed:\n{}\n{}", failed.join("\n"), gateway.log());
    assert_eq!(tallies.record.bad(), failures.len() as u64, "more calls failed than were kept");
    assert!(executed.len() as u64 >= tallies.record.good(), "a call was answered and did not run");
    assert!(tallies.safe_good() >= plan.safe_min, "only {} safe requests", tallies.safe_good());
    assert!(tallies.record.good() >= plan.unsafe_min, "only {} unsafe requests", tallies.record.good());
    let met = hits.iter().filter(|hit| **hit > 0).count();
    assert!(met >= plan.hits_min, "only {met} of {} kills met a call in flight", kills.len());
    Ok(())
}
