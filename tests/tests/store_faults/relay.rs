//! A way to a server that ends by RST, where that of [`holdfast_test_servers::Proxy`] ends by FIN.

use holdfast_tests::Result;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Stands between clients and a server. Its connections end with it.
pub(crate) struct Relay {
    address: SocketAddr,
    resets: watch::Sender<()>,
    done: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// In front of `to`.
    pub(crate) async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (resets, done) = (watch::Sender::new(()), Arc::new(AtomicUsize::new(0)));
        let accepting = tokio::spawn(accept(listener, to, resets.clone(), Arc::clone(&done)));
        Ok(Self { address, resets, done, accepting })
    }

    /// Where its clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every open connection, on both of its sides.
    pub(crate) fn reset(&self) {
        self.resets.send_replace(());
    }

    /// Connections that were reset so far.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, resets: watch::Sender<()>, done: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, to, resets.subscribe(), Arc::clone(&done)));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(
    mut client: TcpStream,
    to: SocketAddr,
    mut resets: watch::Receiver<()>,
    done: Arc<AtomicUsize>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::select! {
        passed = copy_bidirectional(&mut client, &mut server) => passed.map(drop),
        _ = resets.changed() => {
            // A socket that must not linger is closed by RST, and what it had still to send is gone.
            client.set_zero_linger()?;
            server.set_zero_linger()?;
            done.fetch_add(1, Relaxed);
            Ok(())
        }
    }
}

#[tokio::test]
async fn a_reset_reaches_both_sides_as_a_reset() -> Result {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let relay = Relay::start(listener.local_addr()?).await?;
    for round in 1..=3 {
        let mut client = TcpStream::connect(relay.address()).await?;
        let (mut server, _) = listener.accept().await?;
        client.write_all(b"a").await?;
        assert_eq!(server.read_u8().await?, b'a');
        relay.reset();
        for side in [&mut client, &mut server] {
            let ended = side.read_u8().await.map_err(|why| why.kind());
            assert_eq!(ended, Err(io::ErrorKind::ConnectionReset), "an end by FIN is an UnexpectedEof");
        }
        assert_eq!(relay.done(), round);
    }
    Ok(())
}
