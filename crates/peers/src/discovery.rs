//! Which addresses to follow: a list, or a name, resolved again and again.

use crate::{
    driver::drive,
    shared::{Shared, Task},
};
use futures_util::future::join_all;
use holdfast_config::{PeerDiscovery, PeerMethod};
use holdfast_telemetry::metrics::ProbeResult;
use holdfast_upstream::{ADDRESSES_MAX, BoxError, LOOKUP_TIMEOUT};
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Addresses that are followed at once. More are left out, with a warning.
const LINKS_MAX: usize = 512;

/// A name is resolved at least this often, whatever its time to live.
const REFRESH_MAX: Duration = Duration::from_mins(1);

/// A configured peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
}

/// Every configured peer; `default` is the channel's own port.
pub(crate) fn configured(discovery: &PeerDiscovery, default: u16) -> Vec<Peer> {
    let port = discovery.port.unwrap_or(default);
    match &discovery.method {
        PeerMethod::Static(peers) => peers.iter().map(|peer| split(peer, port)).collect(),
        PeerMethod::Dns(name) => vec![Peer { host: name.as_str().into(), port }],
    }
}

/// `host`, `host:port`, `[v6]:port`, or an address alone.
fn split(text: &str, default: u16) -> Peer {
    let whole = || Peer { host: text.trim_matches(['[', ']']).into(), port: default };
    if text.parse::<IpAddr>().is_ok() {
        return whole();
    }
    match text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => Peer { host: host.trim_matches(['[', ']']).into(), port },
        None => whole(),
    }
}

/// An address that is followed.
struct Followed {
    named: watch::Sender<bool>,
    task: Task,
}

/// Resolves, and keeps one driver for each address that is named or still connected. Ends when dropped, and they with it.
pub(crate) async fn discover(shared: Arc<Shared>) {
    let mut changed = shared.changed.subscribe();
    let mut good: HashMap<Peer, Vec<SocketAddr>> = HashMap::new();
    let mut followed: BTreeMap<SocketAddr, Followed> = BTreeMap::new();
    loop {
        let settings = shared.settings.load_full();
        let peers = configured(&settings.discovery, settings.channel.port);
        good.retain(|peer, _| peers.contains(peer));
        let pause = resolve(&shared, &peers, &mut good).await.unwrap_or_default();
        let wanted: BTreeMap<SocketAddr, &Peer> = peers
            .iter()
            .flat_map(|peer| good.get(peer).into_iter().flatten().map(move |at| (*at, peer)))
            .collect();
        follow(&shared, &wanted, &mut followed);
        let pause = pause.max(settings.discovery.interval).min(REFRESH_MAX.max(settings.discovery.interval));
        // A reload is looked at soon, whatever it changed; an error says that the channel is going.
        if let Ok(Err(_)) = tokio::time::timeout(pause, changed.changed()).await {
            return;
        }
    }
}

/// Asks for every name at once and replaces what has a new answer. Gives the shortest time to live.
async fn resolve(
    shared: &Shared,
    peers: &[Peer],
    good: &mut HashMap<Peer, Vec<SocketAddr>>,
) -> Option<Duration> {
    let answers = join_all(peers.iter().map(|peer| lookup(shared, peer))).await;
    let mut shortest = None;
    for (peer, answer) in peers.iter().zip(answers) {
        match answer {
            Ok((addresses, ttl)) => {
                good.insert(peer.clone(), addresses);
                shortest = shortest.min(ttl).or(ttl);
            }
            Err(error) => {
                tracing::warn!(host = %peer.host, %error, "cannot resolve a peer; keeping the last good answer");
            }
        }
    }
    shortest
}

async fn lookup(shared: &Shared, peer: &Peer) -> Result<(Vec<SocketAddr>, Option<Duration>), BoxError> {
    if let Ok(ip) = peer.host.parse::<IpAddr>() {
        return Ok((vec![SocketAddr::new(ip, peer.port)], None));
    }
    let answer = match tokio::time::timeout(LOOKUP_TIMEOUT, shared.resolver.resolve(&peer.host)).await {
        Ok(Ok(answer)) if answer.addresses.is_empty() => Err("the answer holds no address".into()),
        Ok(answer) => answer,
        Err(late) => Err(late.into()),
    };
    let result = if answer.is_ok() { ProbeResult::Ok } else { ProbeResult::Failed };
    shared.metrics.resolutions.inc(result);
    let answer = answer?;
    let mut addresses: Vec<_> =
        answer.addresses.into_iter().map(|ip| SocketAddr::new(ip, peer.port)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    Ok((addresses, answer.ttl))
}

fn follow(
    shared: &Arc<Shared>,
    wanted: &BTreeMap<SocketAddr, &Peer>,
    followed: &mut BTreeMap<SocketAddr, Followed>,
) {
    followed.retain(|address, link| {
        let named = wanted.contains_key(address);
        link.named.send_if_modified(|known| std::mem::replace(known, named) != named);
        // A link ends by itself once it is neither named nor connected; one that just ended is begun anew below.
        !link.task.is_finished()
    });
    for (address, peer) in wanted {
        if followed.contains_key(address) {
            continue;
        }
        if followed.len() >= LINKS_MAX {
            tracing::warn!(%address, LINKS_MAX, "there are more addresses of peers than are followed");
            return;
        }
        let (named, watched) = watch::channel(true);
        let task = shared.spawn(drive(Arc::clone(shared), *address, peer.host.clone(), watched));
        followed.insert(*address, Followed { named, task });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_as_they_are_written() {
        for (text, host, port) in [
            ("a", "a", 9),
            ("a:1", "a", 1),
            ("10.0.0.1", "10.0.0.1", 9),
            ("10.0.0.1:70", "10.0.0.1", 70),
            ("::1", "::1", 9),
            ("[::1]:5", "::1", 5),
            ("fe80::9", "fe80::9", 9),
        ] {
            assert_eq!(split(text, 9), Peer { host: host.into(), port }, "{text}");
        }
    }

    #[test]
    fn the_port_is_the_peers_own_then_discoverys_then_the_channels() {
        let discovery = |port| PeerDiscovery {
            method: PeerMethod::Static(vec!["a:1".into(), "b".into()]),
            port,
            interval: Duration::from_secs(1),
        };
        let ports =
            |port| configured(&discovery(port), 9444).into_iter().map(|peer| peer.port).collect::<Vec<_>>();
        assert_eq!((ports(None), ports(Some(7))), (vec![1, 9444], vec![1, 7]));
    }
}
