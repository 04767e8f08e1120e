//! The key ring turns under load, replica by replica, and nothing that an older key sealed is lost while that key is in the ring.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

use bytes::Bytes;
use holdfast_test_servers::{Options, Server};
use holdfast_tests::{
    Error, Result,
    gateway::{Config, Gateway},
    load,
    mcp::{Client, Era, Failure},
    soak,
    trio::Trio,
    wait,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// Time a reload, or a few events of a stream, may take.
const SOON: Duration = Duration::from_secs(20);
/// Numbers that the interrupted stream tells.
const COUNT_TO: u64 = 30;

/// Id of the call whose stream is interrupted.
const CALL: u64 = 900;

/// A key of the ring: its id, and 32 bytes in base64.
type Key = (String, String);

fn key(number: usize) -> Key {
    (format!("k{number}"), format!("{:A<43}=", format!("key{number}")))
}

/// The ring while key `number` seals: it first, the older ones behind it.
fn sealing(number: usize) -> Vec<Key> {
    (0..=number).rev().map(key).collect()
}

fn with(config: &Config, ring: &[Key]) -> Config {
    config.clone().keys(ring.iter().map(|(id, key)| (&**id, &**key)))
}

async fn generation(gateway: &Gateway) -> Result<u64> {
    gateway.status().await?["generation"].as_u64().ok_or_else(|| "no generation".into())
}

/// A new document for one replica, by one of the two ways to say so.
async fn reload(gateway: &Gateway, config: &Config, by_signal: bool) -> Result {
    gateway.rewrite(config)?;
    if !by_signal {
        let (status, body) = gateway.admin_post("/reload").await?;
        assert_eq!(status, 200, "{body}");
        return Ok(());
    }
    let before = generation(gateway).await?;
    gateway.signal(Signal::SIGHUP)?;
    let done = async || (generation(gateway).await.ok()? > before).then_some(());
    wait::until("the reload took effect", SOON, done).await
}

/// Gives every replica the ring, one after the other: for a while they have different ones.
async fn hand_out(trio: &Trio, ring: &[Key], apart: Duration) -> Result {
    let mut beat = tokio::time::interval(apart);
    for (index, gateway) in trio.replicas.gateways().iter().enumerate() {
        beat.tick().await;
        reload(gateway, &with(trio.replicas.config(index), ring), index.is_multiple_of(2)).await?;
    }
    beat.tick().await;
    Ok(())
}

/// The session works at every replica.
async fn works_everywhere(trio: &Trio, client: &Client, what: &str) -> Result {
    for gateway in trio.replicas.gateways() {
        let answer = client.at(gateway.address).list_tools().await;
        assert!(answer.is_ok(), "{what}: {answer:?}\n{}", gateway.log());
    }
    Ok(())
}

/// Begins a stream, reads a few of its events, and breaks the connection. Gives the id of the last event, and how many came.
async fn broken_stream(address: SocketAddr, session: &str, ms: u64) -> Result<(String, usize)> {
    let call = json!({"jsonrpc": "2.0", "id": CALL, "method": "tools/call", "params": {
        "name": "count_up", "arguments": {"to": COUNT_TO, "ms": ms}, "_meta": {"progressToken": "interrupted"}
    }});
    let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::post("/mcp/tools")
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", holdfast_tests::mcp::LEGACY)
        .header("mcp-session-id", session)
        .body(Full::new(Bytes::from(call.to_string())))?;
    let mut body = sender.send_request(request).await?.into_body();
    let mut text = String::new();
    let events = |text: &str| text.matches("notifications/progress").count();
    wait::within("a few events", SOON, async {
        while events(&text) < 3 || !text.ends_with("\n\n") {
            let frame = body.frame().await.ok_or("the stream ended")??;
            text.push_str(std::str::from_utf8(frame.data_ref().map_or(&[][..], |data| data))?);
        }
        Ok(())
    })
    .await?;
    driver.abort();
    let last = text.lines().rev().find_map(|line| line.strip_prefix("id:")).map(str::trim);
    Ok((last.ok_or("events without ids")?.to_owned(), events(&text)))
}

const STATEFUL: &str = "test_input_required_result_request_state";

/// A call of 2026-07-28 that is answered with a question: the state to bring back.
async fn asked_back(trio: &Trio) -> Result<(Client, Value)> {
    let mut client = Client::new(trio.replicas.address(), "/mcp/tools", Era::Modern);
    let asked = client.call("tools/call", json!({"name": STATEFUL, "arguments": {}})).await?;
    let state = asked["requestState"].clone();
    assert!(state.is_string(), "{asked}");
    Ok((client, state))
}

async fn brought_back(client: &mut Client, state: &Value) -> std::result::Result<Value, Failure> {
    let answers = json!({"confirm": {"action": "accept", "content": {"ok": true}}});
    let call = json!({"name": STATEFUL, "arguments": {}, "requestState": state, "inputResponses": answers});
    client.call("tools/call", call).await
}

/// What was made under the first key, and must be good at the end.
struct Old {
    session: Client,
    /// The MCP server of the stream.
    server: String,
    stream: (Client, String, usize),
    question: (Client, Value),
}

impl Old {
    async fn begin(trio: &Trio, rotation: Duration) -> Result<Self> {
        let session = trio.open().await?;
        let first = trio.replicas.gateways()[0].address;
        let mut streaming = Client::new(first, "/mcp/tools", Era::Legacy);
        streaming.open().await?;
        // The server goes on telling while nobody listens, until the keys have turned.
        let ms = u64::try_from(rotation.as_millis())? / COUNT_TO;
        let server = streaming.tool("whoami", json!({})).await?;
        let id = streaming.session().unwrap_or_default().to_owned();
        let (event, told) = broken_stream(first, &id, ms).await?;
        Ok(Self { session, server, stream: (streaming, event, told), question: asked_back(trio).await? })
    }

    async fn end(mut self, trio: &Trio) -> Result {
        works_everywhere(trio, &self.session, "a session of the first key").await?;
        let (client, event, told) = self.stream;
        let gateway = &trio.replicas.gateways()[0];
        // What it waits for is the answer to the interrupted call.
        let mut client = client.counting_from(CALL);
        let resumed = client.resume(gateway.address, &event).await;
        let answer = resumed.map_err(|why| -> Error { format!("{why}\n{}", gateway.log()).into() })?;
        assert_eq!(answer["content"][0]["text"], COUNT_TO.to_string(), "after {told} events: {answer}");
        let (client, state) = &mut self.question;
        let answer = brought_back(client, state).await?;
        assert_eq!(answer["content"][0]["text"], "Confirmed: state-ok", "{answer}");
        Ok(())
    }
}

async fn counted(trio: &Trio, name: &str) -> Result<f64> {
    let mut sum = 0.0;
    for gateway in trio.replicas.gateways() {
        sum += gateway.metrics().await?.sum(name, &[]);
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_the_key_ring_turns_under_load_and_no_session_is_lost() -> Result {
    let (turns, every) = if soak() { (12, Duration::from_secs(5)) } else { (5, Duration::from_secs(2)) };
    let redis = Server::start(&Options::new())?;
    let store = format!("redis: {{url: '{}'}}\n", redis.url());
    let mut trio =
        Trio::start(|_, config| with(&config, &sealing(0)).root(&store).sessions(&["stream_retention: 5m"]))
            .await?;
    let old = Old::begin(&trio, every * turns).await?;
    let mut sessions = Vec::new();
    for turn in 1..=usize::try_from(turns)? {
        let next: Vec<Key> = sealing(turn - 1).into_iter().chain([key(turn)]).collect();
        hand_out(&trio, &next, every / 6).await?;
        hand_out(&trio, &sealing(turn), every / 6).await?;
        let client = trio.open().await?;
        let id = client.session().unwrap_or_default();
        assert!(id.starts_with(&format!("v1.k{turn}.")), "sealed by another key: {id}");
        sessions.push(client);
        if turn == 2 {
            // What the store holds of the sessions that move now was sealed by a key that is neither the first nor the last.
            let victim = trio.server_beside(&old.server).ok_or("there is one MCP server")?.to_owned();
            trio.server_dies(&victim).await?;
        }
        if turn == 3 {
            trio.server_returns().await?;
        }
    }
    old.end(&trio).await?;
    for (client, turn) in sessions.iter().zip(1..) {
        works_everywhere(&trio, client, &format!("a session of key {turn}")).await?;
    }
    assert!(counted(&trio, "holdfast_mcp_sessions_refused_total").await? < 0.5, "{}", trio.replicas.logs());
    assert!(
        counted(&trio, "holdfast_store_bad_seals_total").await? < 0.5,
        "a value of an older key was not read"
    );
    let moved = counted(&trio, "holdfast_mcp_rebindings_total").await?;
    assert!(moved > 0.5, "no session has moved");

    // All but the first and the last key leave the ring: their sessions are over, the others do not notice.
    let last = usize::try_from(turns)?;
    hand_out(&trio, &[key(last), key(0)], every / 6).await?;
    for (client, turn) in sessions.iter().zip(1..) {
        if turn == last {
            works_everywhere(&trio, client, "a session of the newest key").await?;
            continue;
        }
        let refused = client.at(trio.replicas.address()).list_tools().await;
        assert!(
            matches!(&refused, Err(Failure::Status(404, body)) if body.contains("session_dead")),
            "{refused:?}"
        );
    }
    let reloads = 3 * (2 * last + 1);
    trio.finish(&format!("key rotation every {every:?}")).await?;
    load::total(&format!(
        "{last} key rotations in {reloads} reloads, {} sessions: {moved} moved",
        Trio::sessions()
    ));
    Ok(())
}
