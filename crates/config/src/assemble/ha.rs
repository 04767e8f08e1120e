//! This replica and the others.

use super::{Missing, assemble};
use crate::{
    model::{Ha, KeySource, PeerChannel, PeerCredentials, PeerDiscovery, PeerMethod, PeerTls},
    value::BlockVal,
};

pub(super) fn ha(block: &BlockVal) -> Result<Ha, Missing> {
    let discovery = block.block("peer_discovery").filter(|discovery| discovery.bool("enabled") == Some(true));
    Ok(assemble!(block => Ha { enabled, region, zone, replica;
        peer_discovery: discovery.map(self::discovery).transpose()?,
        peer_channel: channel(block.inner("peer_channel")?)?
    }))
}

fn discovery(block: &BlockVal) -> Result<PeerDiscovery, Missing> {
    let method = match block.word("method") {
        Some("dns") => PeerMethod::Dns(block.take("name")?),
        _ => PeerMethod::Static(block.take("peers")?),
    };
    Ok(assemble!(block => PeerDiscovery { port, interval; method: method }))
}

fn channel(block: &BlockVal) -> Result<PeerChannel, Missing> {
    let credentials = match block.block("tls") {
        Some(tls) => {
            Some(PeerCredentials::Tls(assemble!(tls => PeerTls { cert_file, key_file, ca_file, identities })))
        }
        None if block.mentions("psk") || block.mentions("psk_file") => {
            let more = block.blocks("accepted_psks").map(|(_, block)| psk(block));
            Some(PeerCredentials::Psk(std::iter::once(psk(block)).chain(more).collect::<Result<_, _>>()?))
        }
        None => None,
    };
    Ok(assemble!(block => PeerChannel {
        host, port, max_connections, max_handshakes, handshake_timeout, ping_interval, max_missed_pings, idle_timeout,
        max_retry_delay, max_asks, max_asks_per_peer, max_ask_bytes, max_ask_time, max_nonces, max_notes, max_note_bytes;
        credentials: credentials
    }))
}

fn psk(block: &BlockVal) -> Result<KeySource, Missing> {
    if block.mentions("psk") {
        block.take("psk").map(KeySource::Inline)
    } else {
        block.take("psk_file").map(KeySource::File)
    }
}
