//! Many clients at the same moment.

use crate::{
    harness::{Client, PATIENCE, Running, eventually, listener, server},
    tls::{Asking, Tls, asking, issue, tls},
};
use holdfast_config::Server;
use rustls_pki_types::CertificateDer;
use std::{
    io::Read as _,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const OPEN: &str = "holdfast_edge_tls_handshakes_open{";
const WAITING: &str = "holdfast_edge_tls_handshakes_waiting{";
const REFUSED: &str =
    "holdfast_edge_connections_refused_total{listener=\"server\",reason=\"max_handshakes\"}";

/// A TLS listener, a certificate that clients trust, and the folder it lies in.
struct Secured {
    edge: Running,
    roots: [CertificateDer<'static>; 1],
    _folder: tempfile::TempDir,
}

impl Secured {
    fn start(server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let (files, root) = issue(folder.path(), "a.test", false);
        let edge = Running::start(server, &[listener(Some(tls(vec![files])))]);
        Self { edge, roots: [root], _folder: folder }
    }

    fn asking(&self) -> Asking<'_> {
        asking(&self.edge, "a.test", &self.roots)
    }

    /// Clients that have said their first word and leave it at that: their handshakes are under way.
    fn halfway(&self, count: usize) -> Vec<Tls> {
        let begin = || {
            let mut client = self.asking().begin().expect("connect");
            client.conn.write_tls(&mut client.sock).expect("a hello");
            client
        };
        let clients = (0..count).map(|_| begin()).collect();
        eventually("they are under way", || self.edge.metric(OPEN) == count as u64);
        clients
    }
}

/// Does the rest of a handshake and reads the answer.
fn finish(mut client: Tls) -> String {
    use std::io::Write as _;
    client.write_all(b"GET /tls HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").expect("handshake");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("answer");
    text
}

#[test]
fn handshakes_beyond_their_limit_wait_for_their_turn_while_open_connections_are_answered() {
    const AT_ONCE: usize = 4;
    const CLIENTS: usize = 40;
    let secured = Secured::start(&Server { max_handshakes: AT_ONCE, ..server() });
    let edge = &secured.edge;
    let mut neighbour = secured.asking().begin().expect("connect");
    let ask = |neighbour: &mut Tls| {
        use std::io::Write as _;
        neighbour.write_all(b"GET /client HTTP/1.1\r\nhost: t\r\n\r\n").expect("write");
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"127.0.0.1 server") {
            neighbour.read_exact(&mut byte).expect("an answer");
            seen.push(byte[0]);
        }
    };
    ask(&mut neighbour);
    let held = secured.halfway(AT_ONCE);
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                assert!(secured.asking().ask().expect("served").contains("TLSv1_3"));
                served.fetch_add(1, Ordering::SeqCst);
            });
        }
        eventually("all the others wait", || edge.metric(WAITING) == CLIENTS as u64);
        assert_eq!((edge.metric(OPEN), served.load(Ordering::SeqCst)), (AT_ONCE as u64, 0));
        for _ in 0..20 {
            ask(&mut neighbour);
        }
        for client in held {
            assert!(finish(client).contains("a.test"));
        }
        eventually("everybody is served", || {
            assert!(edge.metric(OPEN) <= AT_ONCE as u64, "at no time more");
            ask(&mut neighbour);
            served.load(Ordering::SeqCst) == CLIENTS
        });
    });
    assert_eq!((edge.metric(WAITING), edge.metric(REFUSED)), (0, 0));
    assert_eq!(edge.metric("holdfast_edge_tls_handshakes_total{"), (1 + AT_ONCE + CLIENTS) as u64);
}

#[test]
fn who_says_nothing_takes_nobodys_turn() {
    let secured = Secured::start(&Server { max_handshakes: 1, ..server() });
    let mut silent: Vec<Client> = (0..5).map(|_| secured.edge.connect()).collect();
    for client in &mut silent {
        client.send([22, 3, 1]);
    }
    eventually("they are accepted", || secured.edge.metric("holdfast_edge_connections_open{") == 5);
    assert!(secured.asking().ask().is_ok());
    assert_eq!(secured.edge.metric(OPEN), 0);
}

#[test]
fn a_turn_that_does_not_come_in_time_is_counted_as_refused_and_a_larger_limit_holds_at_once() {
    let narrow = Server { max_handshakes: 1, ..server() };
    let secured = Secured::start(&narrow);
    let edge = &secured.edge;
    let held = secured.halfway(1);
    let tls = edge.handle.clone();
    // Deadlines of a connection are those it began with, so only the second one is hasty.
    let hasty = Server { handshake_timeout: Duration::from_millis(100), ..narrow.clone() };
    tls.apply(&hasty, &[]).expect("valid");
    assert!(secured.asking().ask().is_err());
    eventually("it is counted", || edge.metric(REFUSED) == 1);
    assert_eq!(edge.metric("holdfast_edge_tls_failures_total{listener=\"server\",reason=\"timeout\"}"), 0);
    tls.apply(&narrow, &[]).expect("valid");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| secured.asking().ask());
        eventually("it waits", || edge.metric(WAITING) == 1);
        tls.apply(&Server { max_handshakes: 2, ..narrow.clone() }, &[]).expect("valid");
        assert!(waiting.join().expect("no panic").is_ok());
    });
    assert!(finish(held.into_iter().next().expect("one")).contains("a.test"));
}

#[test]
fn connections_beyond_the_rate_wait_in_the_kernel_and_all_are_served_in_the_end() {
    const CLIENTS: usize = 24;
    const BURST: usize = 4;
    const RATE: f64 = 20.0;
    let began = Instant::now();
    let paced = Server { accept_rate: 20, accept_burst: 4, ..server() };
    let edge = Running::start(&paced, &[listener(None)]);
    let mut neighbour = edge.connect();
    assert_eq!(neighbour.get("/").1, "GET / ");
    let served = AtomicUsize::new(0);
    let answered = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                assert_eq!(edge.connect().get("/").1, "GET / ");
                served.fetch_add(1, Ordering::SeqCst);
            });
        }
        let mut answered = 0;
        while served.load(Ordering::SeqCst) < CLIENTS {
            assert!(began.elapsed() < PATIENCE, "not in time");
            let accepted = edge.metric("holdfast_edge_connections_total{");
            let most = BURST as f64 + RATE * began.elapsed().as_secs_f64();
            assert!(accepted as f64 <= most, "{accepted} after {:?}", began.elapsed());
            assert_eq!(neighbour.get("/").1, "GET / ");
            answered += 1;
        }
        answered
    });
    let least = Duration::from_secs_f64((CLIENTS + 1 - BURST) as f64 / RATE);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    assert!(answered > CLIENTS, "a connection that is open does not wait for those that come");
    assert!(edge.metric("holdfast_edge_accept_pauses_total{") > 0);
    for reason in ["max_connections", "max_connections_per_ip", "resources"] {
        let refused =
            format!("holdfast_edge_connections_refused_total{{listener=\"server\",reason=\"{reason}\"}}");
        assert_eq!(edge.metric(&refused), 0, "{reason}");
    }
}

#[test]
fn a_drain_does_not_wait_for_the_rate() {
    let paced = Server { accept_rate: 1, accept_burst: 2, workers: 1, ..server() };
    let edge = Running::start(&paced, &[listener(None)]);
    assert_eq!(edge.connect().get("/").1, "GET / ");
    let mut queued: Vec<Client> = (0..8).map(|_| edge.connect()).collect();
    for client in &mut queued {
        client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    edge.handle.drain();
    for client in &mut queued {
        assert_eq!(client.response().1, "GET / ", "what the kernel has accepted is served");
    }
    drop(queued);
    assert!(edge.join());
}
