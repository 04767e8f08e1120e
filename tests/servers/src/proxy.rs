//! A TCP proxy that can delay what passes, cut what is open, and refuse what comes.

use crate::Result;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Stands between a client and a server. Bytes are delayed on the way to the client.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    delay_ms: AtomicU64,
    refusing: AtomicBool,
    ended: AtomicBool,
    accepted: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// In front of a port of this machine.
    pub fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            to: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            delay_ms: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { address, shared })
    }

    /// Where its clients connect.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Holds each piece of an answer back for this long, from now on.
    pub fn delay(&self, delay: Duration) {
        self.shared.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    /// Closes new connections at once, or no more.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::Relaxed);
    }

    /// Closes every open connection.
    pub fn cut(&self) {
        for stream in self.shared.open().drain(..) {
            // Closed already is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Connections accepted so far, the refused ones too.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        if !shared.refusing.load(Ordering::Relaxed) {
            // What cannot be passed on is closed.
            let _ = pass(&client, shared);
        }
    }
}

fn pass(client: &TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let server = TcpStream::connect(shared.to)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.open().extend([client.try_clone()?, server.try_clone()?]);
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || copy(&mut from, &mut to, None));
    let (mut from, mut to, shared) = (server, client.try_clone()?, Arc::clone(shared));
    std::thread::spawn(move || copy(&mut from, &mut to, Some(&shared)));
    Ok(())
}

fn copy(from: &mut TcpStream, to: &mut TcpStream, delaying: Option<&Shared>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let delay = delaying.map_or(0, |shared| shared.delay_ms.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_millis(delay));
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
