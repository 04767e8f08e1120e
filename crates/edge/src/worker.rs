//! A worker: one thread, one runtime, its own listening sockets, its own sweep.

use crate::{
    Handler, Phase,
    cell::{ConnectionCell, TICK, WorkerShared},
    edge::Shared,
    listener::{AcceptFailure, judge},
    serve::{self, Accepted},
};
use holdfast_resilience::Verdict;
use holdfast_telemetry::metrics::RefusedConnection;
use holdfast_upstream::clock;
use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::MissedTickBehavior,
};

/// First pause after `accept` failed for want of resources; doubled up to the last.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_LAST: Duration = Duration::from_secs(1);

/// Something that runs on each worker.
pub type Hook = Arc<dyn Fn() + Send + Sync>;

/// What others want done on the workers' threads.
#[derive(Clone, Default)]
pub struct Hooks {
    /// When a worker starts.
    pub start: Vec<Hook>,
    /// Each 250 ms, and once when a worker ends. Must not block.
    pub tick: Vec<Hook>,
}

/// One worker, before it runs.
pub(crate) struct Worker<H> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handler: Arc<H>,
    pub(crate) hooks: Hooks,
    /// In the order of the listeners.
    pub(crate) sockets: Vec<StdListener>,
}

impl<H: Handler> Worker<H> {
    /// Runs until the drain is over. Connections that are left are cut when the runtime goes.
    pub(crate) async fn run(self) {
        for hook in &self.hooks.start {
            hook();
        }
        let local = Arc::new(WorkerShared::default());
        let mut tasks = JoinSet::new();
        for (index, socket) in self.sockets.into_iter().enumerate() {
            let acceptor = Acceptor {
                shared: Arc::clone(&self.shared),
                worker: Arc::clone(&local),
                handler: Arc::clone(&self.handler),
                index,
            };
            tasks.spawn(acceptor.run(socket));
        }
        let sweeper =
            tokio::spawn(sweep(Arc::clone(&self.shared), Arc::clone(&local), self.hooks.tick.clone()));
        let stopped = self.shared.drain.reached(Phase::Stopped);
        tokio::pin!(stopped);
        tokio::select! {
            () = &mut stopped => {}
            () = async {
                // A worker that listens nowhere waits as well.
                self.shared.drain.closing().await;
                drained(&mut tasks, &local).await;
            } => {}
        }
        sweeper.abort();
        for hook in &self.hooks.tick {
            hook();
        }
    }
}

/// Waits until the accept loops ended and the last connection with them.
async fn drained(acceptors: &mut JoinSet<()>, worker: &WorkerShared) {
    while acceptors.join_next().await.is_some() {}
    while worker.open() > 0 {
        worker.empty.notified().await;
    }
}

async fn sweep(shared: Arc<Shared>, worker: Arc<WorkerShared>, hooks: Vec<Hook>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let closing = shared.drain.phase() >= Phase::Closing;
        worker.sweep(closing, |cell, stall| shared.sockets[cell.listener].metrics.stalls.inc(stall));
        for hook in &hooks {
            hook();
        }
    }
}

/// The accept loop of one listener on one worker.
struct Acceptor<H> {
    shared: Arc<Shared>,
    worker: Arc<WorkerShared>,
    handler: Arc<H>,
    index: usize,
}

impl<H: Handler> Acceptor<H> {
    async fn run(self, socket: StdListener) {
        let Ok(listener) = TcpListener::from_std(socket) else {
            tracing::error!("a listening socket cannot be registered with the runtime");
            return;
        };
        let closing = self.shared.drain.reached(Phase::Closing);
        tokio::pin!(closing);
        let mut backoff = BACKOFF_FIRST;
        let mut paid = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut closing => break,
                accepted = self.next(&listener, &mut paid) => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    (backoff, paid) = (BACKOFF_FIRST, false);
                    self.admit(stream, peer);
                }
                Err(error) if judge(&error) == AcceptFailure::Peer => {}
                Err(error) => {
                    self.shared.sockets[self.index].metrics.refused.inc(RefusedConnection::Resources);
                    tracing::warn!(%error, pause = ?backoff, "cannot accept connections");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_LAST);
                }
            }
        }
        self.empty_queue(listener);
    }

    /// The next connection, when the rate allows it: until then it stays in the kernel's queue, and the worker serves those it has.
    /// Each is paid for before it is taken, so that all acceptors together keep to the rate.
    async fn next(&self, listener: &TcpListener, paid: &mut bool) -> io::Result<(TcpStream, SocketAddr)> {
        while !*paid {
            let rule = self.shared.settings.load().limits.accept;
            match self.shared.accepted.acquire(&rule, clock::now(), 1) {
                Verdict::Limited { retry_after } => {
                    self.shared.sockets[self.index].metrics.accept_pauses.inc();
                    tokio::time::sleep(retry_after).await;
                }
                // A single one is never more than a burst.
                Verdict::Allowed { .. } | Verdict::Never => *paid = true,
            }
        }
        listener.accept().await
    }

    /// Closes the socket, but first takes what the kernel already accepted for us: closing would reset those clients.
    fn empty_queue(&self, listener: TcpListener) {
        let Ok(socket) = listener.into_std() else { return };
        while let Ok((stream, peer)) = socket.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.admit(stream, peer);
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let socket = &self.shared.sockets[self.index];
        let settings = self.shared.settings.load();
        let Some(listener) = settings.listeners.get(self.index) else { return };
        let Ok(mut permit) = self.shared.caps.admit() else {
            socket.metrics.refused.inc(RefusedConnection::MaxConnections);
            return;
        };
        // The peer of a PROXY listener is a balancer; its clients are counted once they are known.
        if !listener.proxy_required && permit.claim(peer.ip()).is_err() {
            socket.metrics.refused.inc(RefusedConnection::PerIp);
            return;
        }
        let (worker, metrics) = (Arc::clone(&self.worker), Arc::clone(&socket.metrics));
        worker.opened();
        metrics.accepted.inc();
        metrics.connections_open.inc();
        permit.on_drop(move || {
            metrics.connections_open.dec();
            worker.closed();
        });
        // Answers are written in one piece; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().unwrap_or(socket.bound.address);
        tokio::spawn(serve::run(Box::new(Accepted {
            stream,
            peer,
            local,
            listener: Arc::clone(&socket.bound.name),
            settings: listener.clone(),
            limits: Arc::clone(&settings.limits),
            metrics: Arc::clone(&socket.metrics),
            handshakes: Arc::clone(&self.shared.handshakes),
            drain: self.shared.drain.clone(),
            handler: Arc::clone(&self.handler),
            cell: ConnectionCell::new(&self.worker, settings.limits.deadlines, self.index),
            permit,
        })));
    }
}
