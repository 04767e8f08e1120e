//! Streams are taken up at another replica than the one that carries them: read through it while it lives, from the shared log when it
//! was killed.

#![allow(clippy::print_stdout, reason = "prints what people read")]

use holdfast_test_servers::{Options as ServerOptions, Server};
use holdfast_tests::{
    Result,
    counting::Counting,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    mcp::{Client, Era},
    sharing,
    streaming::{Story, Streaming},
    wait,
};
use nix::sys::signal::Signal;
use std::time::Duration;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(30);
const PATH: &str = "/mcp/tools";
/// A stream counts up to here, so many ms apart.
const COUNT_TO: u64 = 30;
const COUNT_MS: u64 = 100;

/// Two replicas that know each other, and what they share.
struct Pair {
    a: Gateway,
    b: Gateway,
    _redis: Option<Server>,
}

impl Pair {
    async fn start(server: &str, redis: bool) -> Result<Self> {
        let redis = redis.then(|| Server::start(&ServerOptions::new())).transpose()?;
        let shared = redis.as_ref().map(|redis| format!("redis: {{url: '{}'}}\n", redis.url()));
        let shared = shared.unwrap_or_default();
        let config = |channel: &String| {
            Config::default().root(&format!(
                "\
mcp:
  servers:
    - {{name: tools, session: replayable, endpoints: ['{server}']}}
{channel}{shared}"
            ))
        };
        let configs: Vec<Config> = sharing::channel(2)?.iter().map(config).collect();
        let (a, b) = tokio::try_join!(Gateway::start(&configs[0]), Gateway::start(&configs[1]))?;
        sharing::meet(&[&a, &b]).await?;
        Ok(Self { a, b, _redis: redis })
    }

    /// A session that was opened at the first one.
    async fn session(&self) -> Result<Streaming> {
        let mut client = Client::new(self.a.address, PATH, Era::Legacy);
        client.open().await?;
        let session = client.session().ok_or("no session")?.to_owned();
        Ok(Streaming::new(self.a.address, PATH, &session).resumes_at(self.b.address))
    }

    fn logs(&self) -> String {
        format!("{}\n{}", self.a.log(), self.b.log())
    }
}

fn whole(story: &Story, pair: &Pair) {
    assert_eq!(story.answer, Some(Ok(COUNT_TO.to_string())), "{story:?}\n{}", pair.logs());
    let told: Vec<u64> = story.told.iter().map(|(number, _)| *number).collect();
    assert_eq!(told, (1..=COUNT_TO).collect::<Vec<_>>(), "each once, in order\n{}", pair.logs());
    assert_eq!(story.resumed, 1);
}

async fn asked(gateway: &Gateway) -> Result<f64> {
    Ok(gateway.metrics().await?.sum("holdfast_peer_asks_total", &["outcome=\"ok\""]))
}

#[tokio::test]
async fn a_stream_is_read_through_the_replica_that_carries_it() -> Result {
    let (named, unnamed) = tokio::try_join!(Fixture::start(Options::named("one")), Counting::start())?;
    for (server, redis) in [(unnamed.mcp(), false), (named.mcp(), true)] {
        let pair = Pair::start(&server, redis).await?;
        let story = pair.session().await?.leaves_after(5).count_up(7, COUNT_TO, COUNT_MS).await?;
        whole(&story, &pair);
        assert!(asked(&pair.b).await? > 0.5, "through the channel\n{}", pair.logs());
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_goes_on_when_the_replica_that_carried_it_is_killed() -> Result {
    let server = Fixture::start(Options::named("one")).await?;
    let mut pair = Pair::start(&server.mcp(), true).await?;
    let streaming = pair.session().await?;
    let running = tokio::spawn(async move { streaming.count_up(7, COUNT_TO, COUNT_MS).await });
    // In the middle of the stream.
    let appended = async || {
        let metrics = pair.a.metrics().await.ok()?;
        let appended = metrics.sum("holdfast_store_operations_total", &["part=\"events\"", "result=\"ok\""]);
        (appended > 10.0).then_some(())
    };
    wait::until("ten logged events", LIMIT, appended).await?;
    pair.a.kill()?;
    let story = running.await??;
    whole(&story, &pair);
    Ok(())
}

#[tokio::test]
async fn what_a_server_without_event_ids_said_is_not_lost_with_the_replica_that_heard_it() -> Result {
    let server = Counting::start().await?;
    let mut pair = Pair::start(&server.mcp(), true).await?;
    // Leaves while the replica goes on to listen.
    let streaming = pair.session().await?.leaves_after(3);
    let running = tokio::spawn(async move { streaming.count_up(7, COUNT_TO, COUNT_MS).await });
    let appended = async || {
        let metrics = pair.a.metrics().await.ok()?;
        let appended = metrics.sum("holdfast_store_operations_total", &["part=\"events\"", "result=\"ok\""]);
        (appended > 9.0).then_some(appended)
    };
    let logged = wait::until("nine logged events", LIMIT, appended).await?;
    pair.a.kill()?;
    let story = running.await??;
    let told: Vec<u64> = story.told.iter().map(|(number, _)| *number).collect();
    println!("logged before the kill: {logged}, told: {}", told.len());
    assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>(), "each once, in order\n{}", pair.logs());
    assert!(told.len() >= 8, "what was logged after the client left came too: {told:?}\n{}", pair.logs());
    // What the server says to nobody is lost, and the client hears so.
    assert_eq!(story.answer, Some(Err(-31000)), "{story:?}\n{}", pair.logs());
    Ok(())
}

#[tokio::test]
async fn a_replica_that_hangs_loses_its_streams_and_gives_them_up() -> Result {
    let server = Fixture::start(Options::named("one")).await?;
    let pair = Pair::start(&server.mcp(), true).await?;
    let story = {
        let streaming = pair.session().await?.leaves_after(5);
        let running = tokio::spawn(async move { streaming.count_up(7, COUNT_TO, COUNT_MS).await });
        let appended = async || {
            let metrics = pair.a.metrics().await.ok()?;
            (metrics.sum("holdfast_store_operations_total", &["part=\"events\"", "result=\"ok\""]) > 6.0)
                .then_some(())
        };
        wait::until("six logged events", LIMIT, appended).await?;
        pair.a.signal(Signal::SIGSTOP)?;
        let story = running.await?;
        pair.a.signal(Signal::SIGCONT)?;
        story?
    };
    whole(&story, &pair);
    Ok(())
}
