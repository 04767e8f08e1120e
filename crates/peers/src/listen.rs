//! The accepting side: caps, the handshake, HTTP/2, and what ends a connection.

use crate::{
    channel::{ChannelError, Credential},
    error::BuildError,
    limits::{Place, Places},
    serve::Caller,
    shared::{Control, HEADERS_BYTES_MAX, SPARE_STREAMS, STREAM_WINDOW, Shared, now},
};
use holdfast_config::PeerChannel;
use holdfast_telemetry::metrics::PeerEnd;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

const BACKLOG: i32 = 256;

/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address may hold this share of the places of unproved connections.
const SHARE: usize = 4;

/// HTTP/2 streams that a peer reset and that are still pending before GOAWAY (CVE-2023-44487).
const PENDING_RESETS: usize = 64;

/// Binds. Must be called inside the runtime that will accept.
pub(crate) fn bind(channel: &PeerChannel) -> Result<TcpListener, BuildError> {
    let address = SocketAddr::new(channel.host, channel.port);
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the connections of its predecessor.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|source: io::Error| BuildError::Bind { address, source })
}

/// Accepts until dropped; connections end with it.
pub(crate) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let door = Door::default();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (io, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_about_one(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the peer port");
                shared.metrics.ended.inc(PeerEnd::Resources);
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match door.enter(from.ip(), &shared.settings.load().channel) {
            Ok(entry) => {
                shared.metrics.connections.inc();
                connections.spawn_on(connection(Arc::clone(&shared), io, from, entry), &shared.control);
            }
            Err(reason) => shared.metrics.ended.inc(reason),
        }
    }
}

/// The error of one connection, not of the socket (accept(2)).
fn is_about_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Who may be in at once.
#[derive(Default)]
struct Door {
    connections: Places,
    handshakes: Places,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place in all, and one among those that have not proved who they are.
struct Entry {
    connection: Place,
    handshake: Handshake,
}

struct Handshake {
    _place: Place,
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut by_address = self.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

impl Door {
    fn enter(&self, ip: IpAddr, limits: &PeerChannel) -> Result<Entry, PeerEnd> {
        let connection = self.connections.take(limits.max_connections).ok_or(PeerEnd::MaxConnections)?;
        let place = self.handshakes.take(limits.max_handshakes).ok_or(PeerEnd::MaxHandshakes)?;
        let address = network(ip);
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        if *count >= limits.max_handshakes.div_ceil(SHARE) {
            return Err(PeerEnd::MaxHandshakes);
        }
        *count += 1;
        let handshake = Handshake { _place: place, address, by_address: Arc::clone(&self.by_address) };
        Ok(Entry { connection, handshake })
    }
}

/// A host has a whole /64 of IPv6 to itself.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Takes the connection off the gauge.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

async fn connection(shared: Arc<Shared>, io: TcpStream, from: SocketAddr, entry: Entry) {
    let open = Open(shared);
    let shared = &open.0;
    let Entry { connection: _connection, handshake } = entry;
    let deadline = now() + shared.settings.load().channel.handshake_timeout;
    let proved = async {
        io.set_nodelay(true)?;
        shared.in_use.load_full().channel.accept(io).await
    };
    let (io, credential) = match tokio::time::timeout_at(deadline.into(), proved).await {
        Ok(Ok(proved)) => proved,
        Ok(Err(error)) => return refused(shared, from, &error),
        Err(_) => return shared.metrics.ended.inc(PeerEnd::Timeout),
    };
    let caller = Arc::new(Caller::new(shared));
    let settings = shared.settings.load_full();
    let answer = {
        let caller = Arc::clone(&caller);
        service_fn(move |request| {
            let caller = Arc::clone(&caller);
            async move { Ok::<_, std::convert::Infallible>(caller.serve(request).await) }
        })
    };
    let streams = settings.channel.max_asks_per_peer + SPARE_STREAMS;
    let serving = hyper::server::conn::http2::Builder::new(Control(shared.control.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(settings.connection_window())
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .serve_connection(TokioIo::new(io), answer);
    drop(settings);
    let mut serving = pin!(serving);
    let greeted = tokio::select! {
        ended = &mut serving => {
            drop(ended);
            return shared.metrics.ended.inc(PeerEnd::Protocol);
        }
        greeted = caller.greeted(deadline) => greeted,
    };
    if !greeted {
        return shared.metrics.ended.inc(PeerEnd::Timeout);
    }
    drop(handshake);
    tokio::select! {
        // The other side went, or broke the rules of HTTP/2: it will say hello again, or it is gone.
        _ = &mut serving => {}
        reason = over(shared, &caller, &credential) => shared.metrics.ended.inc(reason),
    }
}

fn refused(shared: &Shared, from: SocketAddr, error: &ChannelError) {
    let reason = if error.is_credential() { PeerEnd::Credential } else { PeerEnd::Protocol };
    shared.metrics.ended.inc(reason);
    tracing::debug!(%from, %error, "refused a connection on the peer port");
}

/// Why this side ends the connection.
async fn over(shared: &Shared, caller: &Caller, credential: &Credential) -> PeerEnd {
    let mut changed = shared.changed.subscribe();
    loop {
        if !shared.in_use.load().channel.accepts(credential) {
            return PeerEnd::Withdrawn;
        }
        let idle = shared.settings.load().channel.idle_timeout;
        let end = caller.heard() + idle;
        if end <= now() {
            return PeerEnd::Idle;
        }
        tokio::select! {
            () = tokio::time::sleep_until(end.into()) => {}
            result = changed.changed() => if result.is_err() {
                return PeerEnd::Withdrawn;
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_takes_a_quarter_of_the_places_and_gives_them_back() {
        let config =
            holdfast_config::load(&[], &std::collections::BTreeMap::new(), holdfast_config::Role::Any);
        let limits =
            PeerChannel { max_handshakes: 8, max_connections: 5, ..config.unwrap().config.ha.peer_channel };
        let door = Door::default();
        let [a, b]: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        let near = "2001:db8::2".parse().unwrap();
        let first = door.enter(a, &limits).ok().unwrap();
        let _second = door.enter(near, &limits).ok().unwrap();
        assert_eq!(door.enter(a, &limits).err(), Some(PeerEnd::MaxHandshakes), "the same /64");
        let Entry { connection, handshake } = first;
        drop(handshake);
        let _third = door.enter(a, &limits).ok().unwrap();
        let _others = (door.enter(b, &limits).ok().unwrap(), door.enter(b, &limits).ok().unwrap());
        assert_eq!(door.enter("10.0.0.2".parse().unwrap(), &limits).err(), Some(PeerEnd::MaxConnections));
        drop(connection);
        assert!(door.enter("10.0.0.2".parse().unwrap(), &limits).is_ok());
    }
}
