//! Clients that hold connections by being slow, as slowhttptest plays them. They come from one address and meet the
//! cap for an address and the deadlines for heads and bodies; neighbours at another address must not notice.

use crate::{Site, unharmed};
use holdfast_tests::{Result, place, process, soak, wait};
use std::{process::Command, time::Duration};

/// Slow connections at once: more than one address may have.
const SLOW: &str = "600";
/// Connections per address that the gateway allows here.
const CAP: &str = "max_connections_per_ip: 300";
/// Time after which nothing of the attack may be left.
const GONE: Duration = Duration::from_secs(30);

/// Runs one mode of slowhttptest beside the neighbours.
async fn attack(title: &str, options: &[&str], path: &str) -> Result {
    let seconds = if soak() { "60" } else { "8" };
    let site = Site::start(&[CAP, "header_timeout: 2s", "read_timeout: 2s", "write_timeout: 2s"]).await?;
    let crowd = site.neighbours().await?;
    let mut command = Command::new(place::program("slowhttptest")?);
    command.args(["-c", SLOW, "-r", "300", "-l", seconds, "-p", "2"]).args(options);
    command.arg("-u").arg(site.gateway.url(path));
    let limit = Duration::from_mins(3);
    let said = process::run_within(limit, command).await?;
    // It exits with 0 whatever happened: an attack that could not begin must not count as survived.
    let played = ["Hit test time limit", "No open connections left"].iter().any(|end| said.contains(end));
    assert!(played, "slowhttptest did not play its part:\n{said}");
    unharmed(title, crowd, &site).await?;
    let none_left = async || {
        let metrics = site.gateway.metrics().await.ok()?;
        let open = metrics.sum("holdfast_edge_connections_open", &[]);
        (metrics.count("holdfast_edge_connections_open") > 0 && open < 1.0).then_some(())
    };
    let metrics = site.gateway.metrics().await?;
    let refused = metrics.sum("holdfast_edge_connections_refused_total", &[]);
    let stalled = metrics.sum("holdfast_edge_stalls_total", &[]);
    println!("{title}: {refused} connections refused, {stalled} closed without progress");
    assert!(refused + stalled > 0.0, "the gateway met no attack:\n{}", metrics.text());
    wait::until("all connections of the attack are closed", GONE, none_left).await
}

#[tokio::test]
async fn alone_slow_heads_leave_others_unharmed() -> Result {
    attack("slow request heads (slowloris)", &["-H", "-i", "1", "-t", "GET", "-x", "24"], "/plain/slow").await
}

#[tokio::test]
async fn alone_slow_bodies_leave_others_unharmed() -> Result {
    attack("slow request bodies", &["-B", "-i", "1", "-s", "8192", "-x", "10"], "/plain/slow").await
}

#[tokio::test]
async fn alone_slow_readers_leave_others_unharmed() -> Result {
    let options = ["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3"];
    attack("slow readers", &options, "/bytes/1000000").await
}
