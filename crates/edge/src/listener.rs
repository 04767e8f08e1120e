//! Listening sockets: one per worker and listener, on the same address.

use holdfast_config::Listener;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

/// Connections the kernel keeps until they are accepted; it cuts this down to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An address that is being listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Name of the listener.
    pub name: Arc<str>,
    /// Address with the port that was really given.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Binds `workers` sockets to the listener's address. Port 0 is settled by the first and shared by all.
pub(crate) fn bind(listener: &Listener, workers: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let first = open(SocketAddr::new(listener.host, listener.port))?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(open(address)?);
    }
    Ok((address, sockets))
}

/// SO_REUSEPORT lets every worker have its own accept queue; the kernel spreads connections over them by hash.
fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `::` takes IPv4 too, as mapped addresses, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What to do after `accept` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptFailure {
    /// The peer was faster; go on at once.
    Peer,
    /// Out of descriptors or memory: trying again at once would only spin.
    Resources,
}

/// Judges an error of `accept` (accept(2)).
pub(crate) fn judge(error: &io::Error) -> AcceptFailure {
    match error.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::Interrupted
        | io::ErrorKind::WouldBlock => AcceptFailure::Peer,
        _ => AcceptFailure::Resources,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_config::{ListenerProtocol, ProxyProtocol};
    use std::net::{IpAddr, Ipv4Addr, TcpStream};

    fn listener(port: u16) -> Listener {
        Listener {
            name: "server".to_owned(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port,
            protocol: ListenerProtocol::Http,
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
        }
    }

    #[test]
    fn port_0_is_settled_once_for_all_workers() {
        let (address, sockets) = bind(&listener(0), 3).expect("bind");
        assert_ne!(address.port(), 0);
        assert!(sockets.iter().all(|socket| socket.local_addr().expect("address") == address));
        TcpStream::connect(address).expect("connect");
    }

    #[test]
    fn an_address_of_another_process_is_an_error() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let port = taken.local_addr().expect("address").port();
        assert_eq!(bind(&listener(port), 1).err().map(|e| e.kind()), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_lack_of_descriptors_is_told_from_a_hasty_peer() {
        let emfile = io::Error::from_raw_os_error(24);
        assert_eq!(judge(&emfile), AcceptFailure::Resources);
        assert_eq!(judge(&io::ErrorKind::ConnectionAborted.into()), AcceptFailure::Peer);
    }
}
