//! What replicas share besides the key ring: a real Redis, and a channel to each other.

use crate::{Result, gateway::Gateway, place, wait};
use std::time::Duration;

/// 32 bytes that every replica of a test knows.
const PSK: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Time the replicas get to find each other.
const MEET: Duration = Duration::from_secs(30);

/// Root blocks for each of `count` replicas that talk to each other.
pub fn channel(count: usize) -> Result<Vec<String>> {
    let mut ports = Vec::new();
    for _ in 0..count {
        ports.push(place::free_address()?.port());
    }
    let peers: Vec<String> = ports.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
    let block = |port: &u16| {
        format!(
            "\
ha:
  peer_discovery: {{enabled: true, method: static, peers: [{}]}}
  peer_channel: {{host: 127.0.0.1, port: {port}, psk: '{PSK}'}}
",
            peers.join(", ")
        )
    };
    Ok(ports.iter().map(block).collect())
}

/// Waits until each of `gateways` knows all others.
pub async fn meet(gateways: &[&Gateway]) -> Result {
    for gateway in gateways {
        let known = async || {
            let metrics = gateway.metrics().await.ok()?;
            (metrics.sum("holdfast_peer_replicas", &[]) > gateways.len() as f64 - 1.5).then_some(())
        };
        wait::until("the replicas know each other", MEET, known).await?;
    }
    Ok(())
}
