//! The story: calls flow, a replica is killed, no call fails, the replica returns.

use super::client::{Client, Era};
use super::flight::Flight;
use super::process::{Gateway, Replica};
use super::view::{Counts, View};
use crate::args::DemoArgs;
use crate::exit::Failure;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long each scene is shown.
const SCENE: Duration = Duration::from_secs(3);
/// Time the returning replica has to serve calls again.
const RETURN_TIMEOUT: Duration = Duration::from_secs(20);
/// Time in which enough calls must be under way on a replica that is to be killed.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Enough: one call for this many clients.
const BUSY_SHARE: u64 = 4;
/// Pause between two looks at the gateway's metrics.
const LOOK: Duration = Duration::from_millis(5);
/// Pause of a client between two calls.
const THINK: Duration = Duration::from_millis(4);
/// Pause between two lines on the screen.
const REFRESH: Duration = Duration::from_millis(250);

/// Tells the story, and with `once` ends after it.
pub(crate) async fn tell(args: &DemoArgs) -> Result<(), Failure> {
    let view = View::new(args.json);
    let mut replicas = vec![Replica::start("replica-1", 0).await?, Replica::start("replica-2", 0).await?];
    let gateway = Gateway::start(&config(args.port, &replicas)).await?;
    let url = format!("http://{}/mcp/demo", gateway.address);
    view.title("Holdfast: one gateway, two replicas of an MCP server, clients that never retry");
    view.fact("gateway", &format!("{url}   (point any MCP client at it)"));
    view.fact("metrics", &format!("http://{}/metrics", gateway.admin));
    view.fact("logs", &gateway.folder().display().to_string());
    for replica in &replicas {
        let place = format!("http://{}/mcp   process {}", replica.address, replica.id());
        view.fact(&replica.name, &place);
    }

    let counts = Arc::new(Counts::default());
    let mut clients = JoinSet::new();
    for number in 0..args.clients {
        // Half of them hold a session that was opened on one replica; half are stateless.
        let era = if number % 2 == 0 { Era::Legacy } else { Era::Modern };
        clients.spawn(call_for_ever(gateway.address, era, Arc::clone(&counts)));
    }

    view.scene(&format!("{} clients call, half with a session, half stateless", args.clients));
    show(&view, &counts, SCENE).await;
    loop {
        let victim = replicas.remove(0);
        let seen = catch_calls(&gateway, &victim, u64::from(args.clients)).await?;
        let (name, address, id) = (victim.name.clone(), victim.address, victim.id());
        victim.kill().await?;
        view.scene(&format!("kill -9 {id} ({name}), in the middle of {} calls", seen.now));
        show(&view, &counts, SCENE).await;
        let cut = gateway.flight(address).await?.cut.saturating_sub(seen.cut);
        counts.killed(seen.now, cut);

        view.scene(&format!("start {name} again on port {}", address.port()));
        replicas.push(Replica::start(&name, address.port()).await?);
        wait_for_return(&view, &counts, &name).await?;
        show(&view, &counts, SCENE).await;
        if args.once {
            clients.shutdown().await;
            return view.verdict(&counts);
        }
        view.scene("and again, until Ctrl-C");
    }
}

/// One client. It connects again only when its connection to the *gateway* broke, which counts as a failure.
async fn call_for_ever(gateway: std::net::SocketAddr, era: Era, counts: Arc<Counts>) {
    loop {
        let mut client = match Client::connect(gateway, "/mcp/demo", era).await {
            Ok(client) => client,
            Err(error) => {
                counts.failed(&format!("connect: {error}"));
                tokio::time::sleep(REFRESH).await;
                continue;
            }
        };
        loop {
            let start = Instant::now();
            match client.tool("whoami", json!({})).await {
                Ok(replica) => counts.answered(&replica, start.elapsed()),
                Err(error) => {
                    counts.failed(&format!("{era:?} client: {error}"));
                    break;
                }
            }
            tokio::time::sleep(THINK).await;
        }
    }
}

async fn show(view: &View, counts: &Counts, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        tokio::time::sleep(REFRESH).await;
        view.progress(counts);
    }
    view.settle(counts);
}

/// Freezes the replica and waits until the gateway waits for enough of its answers. None of these calls can end any more,
/// so a kill cuts them all.
async fn catch_calls(gateway: &Gateway, replica: &Replica, clients: u64) -> Result<Flight, Failure> {
    let enough = (clients / BUSY_SHARE).max(1);
    let end = Instant::now() + BUSY_TIMEOUT;
    replica.freeze()?;
    loop {
        // First, so that the gateway has read the answers that were sent before.
        tokio::time::sleep(LOOK).await;
        let flight = gateway.flight(replica.address).await?;
        if flight.now >= enough {
            return Ok(flight);
        }
        if Instant::now() > end {
            let name = &replica.name;
            return Err(Failure::Failed(format!("{name} did not get {enough} calls at once within 20 s")));
        }
    }
}

async fn wait_for_return(view: &View, counts: &Counts, name: &str) -> Result<(), Failure> {
    let (before, end) = (counts.of(name), Instant::now() + RETURN_TIMEOUT);
    while counts.of(name) == before {
        if Instant::now() > end {
            return Err(Failure::Failed(format!("{name} is up again, but got no call within 20 s")));
        }
        tokio::time::sleep(REFRESH).await;
        view.progress(counts);
    }
    Ok(())
}

/// The gateway's configuration: what a person would write, with quick health checks and a quick breaker so that the story is short.
fn config(port: u16, replicas: &[Replica]) -> String {
    let endpoints: Vec<String> =
        replicas.iter().map(|replica| format!("\n        - http://{}/mcp", replica.address)).collect();
    let endpoints = endpoints.concat();
    format!(
        "server:
  host: 127.0.0.1
  port: {port}
admin:
  port: 0
sessions:
  ephemeral_key: true
observability:
  access_log:
    enabled: false
mcp:
  servers:
    - name: demo
      endpoints:{endpoints}
      session: replayable
      trust_hints: true
      health_check:
        interval: 500ms
        timeout: 500ms
      circuit_breaker:
        timeout: 1s
"
    )
}
