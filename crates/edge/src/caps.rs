//! How many connections there may be, altogether and from one client.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Independent parts of the table of addresses, so that workers rarely meet.
const SHARDS: usize = 32;
/// An IPv6 client owns a /64 at least.
const IPV6_PREFIX_BITS: u32 = 64;

/// Why a connection is refused at accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CapReached {
    /// `server.max_connections`.
    Total,
    /// `server.max_connections_per_ip`.
    PerIp,
}

/// Counts open connections. The table of addresses holds an entry per address with an open connection, so it is bounded by
/// `max_connections`.
#[derive(Debug)]
pub(crate) struct Caps {
    max: AtomicUsize,
    max_per_ip: AtomicUsize,
    open: AtomicUsize,
    shards: Box<[Mutex<HashMap<u64, usize>>]>,
}

impl Caps {
    pub(crate) fn new(max: usize, max_per_ip: usize) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicUsize::new(max),
            max_per_ip: AtomicUsize::new(max_per_ip),
            open: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect(),
        })
    }

    /// New limits; open connections stay.
    pub(crate) fn set(&self, max: usize, max_per_ip: usize) {
        self.max.store(max, Relaxed);
        self.max_per_ip.store(max_per_ip, Relaxed);
    }

    /// Admits a connection whose client is not known yet.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<ConnectionPermit, CapReached> {
        if self.open.fetch_add(1, Relaxed) >= self.max.load(Relaxed) {
            self.open.fetch_sub(1, Relaxed);
            return Err(CapReached::Total);
        }
        Ok(ConnectionPermit { caps: Arc::clone(self), client: None, on_drop: None })
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, usize>> {
        // Multiplied by an odd constant, so that neighbours fall into different shards.
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.shards[hash as usize % SHARDS]
    }

    #[cfg(test)]
    fn addresses(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

/// One open connection; dropping it makes room.
pub(crate) struct ConnectionPermit {
    caps: Arc<Caps>,
    client: Option<u64>,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl ConnectionPermit {
    /// Counts the connection for `client`. Called once, when the client is known.
    pub(crate) fn claim(&mut self, client: IpAddr) -> Result<(), CapReached> {
        if self.client.is_some() {
            return Ok(());
        }
        let key = client_key(client);
        let mut shard = self.caps.shard(key).lock();
        let count = shard.entry(key).or_insert(0);
        if *count >= self.caps.max_per_ip.load(Relaxed) {
            if *count == 0 {
                shard.remove(&key);
            }
            return Err(CapReached::PerIp);
        }
        *count += 1;
        drop(shard);
        self.client = Some(key);
        Ok(())
    }

    /// Runs `then` when the connection ends, whoever holds it by then.
    pub(crate) fn on_drop(&mut self, then: impl FnOnce() + Send + 'static) {
        self.on_drop = Some(Box::new(then));
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(key) = self.client {
            let mut shard = self.caps.shard(key).lock();
            if let Some(count) = shard.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    shard.remove(&key);
                }
            }
        }
        self.caps.open.fetch_sub(1, Relaxed);
        if let Some(then) = self.on_drop.take() {
            then();
        }
    }
}

/// The client an address stands for: the address itself, or the /64 of an IPv6 address. IPv4 keys lie in a range that no
/// assigned /64 has.
fn client_key(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => (u128::from(address) >> IPV6_PREFIX_BITS) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    fn admit(caps: &Arc<Caps>, client: &str) -> Result<ConnectionPermit, CapReached> {
        let mut permit = caps.admit()?;
        permit.claim(ip(client))?;
        Ok(permit)
    }

    #[test]
    fn the_next_connection_beyond_a_cap_is_refused_and_room_comes_back() {
        let caps = Caps::new(3, 2);
        let first = admit(&caps, "192.0.2.1").expect("room");
        let _second = admit(&caps, "192.0.2.1").expect("room");
        assert_eq!(admit(&caps, "192.0.2.1").err(), Some(CapReached::PerIp));
        let _third = admit(&caps, "192.0.2.2").expect("room");
        assert_eq!(admit(&caps, "192.0.2.3").err(), Some(CapReached::Total));
        drop(first);
        assert!(admit(&caps, "192.0.2.1").is_ok());
        assert_eq!(caps.open(), 2);
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_mapped_addresses_are_ipv4() {
        let caps = Caps::new(10, 1);
        let _held = admit(&caps, "2001:db8:1:2::1").expect("room");
        assert_eq!(admit(&caps, "2001:db8:1:2:ffff::9").err(), Some(CapReached::PerIp));
        assert!(admit(&caps, "2001:db8:1:3::1").is_ok());
        let _mapped = admit(&caps, "::ffff:192.0.2.1").expect("room");
        assert_eq!(admit(&caps, "192.0.2.1").err(), Some(CapReached::PerIp));
    }

    #[test]
    fn new_limits_concern_new_connections() {
        let caps = Caps::new(1, 1);
        let held = admit(&caps, "192.0.2.1").expect("room");
        caps.set(2, 2);
        assert!(admit(&caps, "192.0.2.1").is_ok());
        caps.set(0, 0);
        drop(held);
        assert_eq!(admit(&caps, "192.0.2.1").err(), Some(CapReached::Total));
    }

    impl std::fmt::Debug for ConnectionPermit {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("ConnectionPermit")
        }
    }

    proptest! {
        #[test]
        fn counts_are_exact_and_the_table_is_empty_when_nobody_is_there(
            steps in proptest::collection::vec((0u8..4, any::<bool>()), 0..200)
        ) {
            let caps = Caps::new(8, 3);
            let mut held: Vec<(u8, ConnectionPermit)> = Vec::new();
            for (client, open) in steps {
                if open {
                    let own = held.iter().filter(|(owner, _)| *owner == client).count();
                    let expected = held.len() < 8 && own < 3;
                    let got = admit(&caps, &format!("192.0.2.{client}"));
                    prop_assert_eq!(got.is_ok(), expected);
                    held.extend(got.ok().map(|permit| (client, permit)));
                } else if !held.is_empty() {
                    held.swap_remove(usize::from(client) % held.len());
                }
                prop_assert_eq!(caps.open(), held.len());
            }
            drop(held);
            prop_assert_eq!((caps.open(), caps.addresses()), (0, 0));
        }
    }
}
