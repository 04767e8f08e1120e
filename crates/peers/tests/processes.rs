//! Replicas that are processes: frozen, killed, and woken again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use futures_util::future::BoxFuture;
use holdfast_config::{Role, Source, load};
use holdfast_peers::{Ask, Asked, BoxedBody, Handle, Owner, Parts, PeerBody, PeerError, Peers, ReplicaId};
use holdfast_seal::KeyRing;
use holdfast_telemetry::{PeerMetrics, Registry, metrics::PeerDeath};
use holdfast_upstream::{Answer, BoxError, Resolve};
use http::Response;
use http_body_util::BodyExt as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    future::Future,
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::PathBuf,
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

const PSK: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const PATIENCE: Duration = Duration::from_secs(20);
const ME: [u8; 32] = [5; 32];

/// Killed when dropped.
struct Process {
    child: Child,
    id: ReplicaId,
}

impl Process {
    fn start(at: Ipv4Addr, peer: Ipv4Addr) -> Self {
        let mut program: PathBuf = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        program.push("examples/replica");
        let mut child = Command::new(program)
            .args([at.to_string(), peer.to_string()])
            .env("PEER_PSK", PSK)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let id = ReplicaId(u64::from_str_radix(line.trim(), 16).unwrap());
        Self { child, id }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks, and is never asked.
struct Asker;

impl Owner for Asker {
    fn answer(&self, _: Asked) -> BoxFuture<'static, Response<BoxedBody>> {
        Box::pin(std::future::pending())
    }

    fn told(&self, _: ReplicaId, _: Bytes) {}
}

/// Only addresses are given, no names.
struct NoNames;

impl Resolve for NoNames {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send + 'a>> {
        Box::pin(async move { Err(format!("{name} is not an address").into()) })
    }
}

struct Scene {
    peers: Arc<Peers>,
    metrics: Arc<PeerMetrics>,
    process: Process,
    other: Ipv4Addr,
    at: Ipv4Addr,
}

impl Scene {
    /// This process with its pings of one second, as they are by default, and another one.
    async fn new() -> Self {
        let [at, other] = [address(), address()];
        let text = format!(
            "ha: {{peer_discovery: {{method: static, peers: [{other}]}}, peer_channel: {{host: {at}, psk: {PSK}, max_retry_delay: 300ms}}}}"
        );
        let source = Source::Text { name: "t".into(), text };
        let ha = load(&[source], &BTreeMap::new(), Role::Any).unwrap().config.ha;
        let metrics = Arc::new(PeerMetrics::new(&Registry::new(&BTreeMap::new()).unwrap()));
        let parts = Parts {
            replica: ReplicaId::random(),
            version: "0",
            generation: 1,
            ring: ring(),
            metrics: Arc::clone(&metrics),
            resolver: Arc::new(NoNames),
            owner: Arc::new(Asker),
            control: tokio::runtime::Handle::current(),
        };
        let process = Process::start(other, at);
        let peers = Peers::start(&ha, parts).unwrap();
        let scene = Self { peers, metrics, process, other, at };
        scene.eventually("they meet", || scene.peers.lives(scene.process.id)).await;
        scene
    }

    async fn ask(&self) -> Result<Response<PeerBody>, PeerError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let handle = Handle::new(self.process.id, "test", b"").seal(&ring(), &ME, now + 60).unwrap();
        let until = Instant::now() + PATIENCE;
        self.peers
            .ask(self.process.id, Ask { what: "drip", handle, principal: ME, until, body: Bytes::new() })
            .await
    }

    async fn eventually(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "did not happen: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn address() -> Ipv4Addr {
    Ipv4Addr::new(127, fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255))
}

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::new([("test", [3; 32])]).unwrap())
}

/// Reads until the body ends; whether it was torn.
async fn is_torn(body: &mut PeerBody) -> bool {
    loop {
        match tokio::time::timeout(PATIENCE, body.frame()).await.expect("in time") {
            Some(Ok(_)) => {}
            Some(Err(_)) => return true,
            None => return false,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_owner_is_dead_within_four_seconds_and_comes_back() {
    let scene = Scene::new().await;
    let mut body = scene.ask().await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    scene.process.signal(Signal::SIGSTOP);
    let frozen = Instant::now();
    let asking = async {
        let error = scene.ask().await.unwrap_err();
        assert_eq!(error, PeerError::Dead { replica: scene.process.id, sent: true });
    };
    let (torn, ()) = tokio::join!(is_torn(&mut body), asking);
    let took = frozen.elapsed();
    assert!(torn, "a frozen owner's stream does not end cleanly");
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(scene.metrics.deaths.get(PeerDeath::Silent).get(), 1);
    let error = scene.ask().await.unwrap_err();
    assert_eq!(error, PeerError::Dead { replica: scene.process.id, sent: false }, "at once from now on");
    scene.process.signal(Signal::SIGCONT);
    scene.eventually("it comes back as the same", || scene.peers.lives(scene.process.id)).await;
    assert!(scene.ask().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_owner_is_dead_at_once_and_its_successor_is_another() {
    let mut scene = Scene::new().await;
    let mut body = scene.ask().await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    scene.process.signal(Signal::SIGKILL);
    let killed = Instant::now();
    assert!(is_torn(&mut body).await, "a killed owner's stream does not end cleanly");
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    let gone = scene.process.id;
    scene.eventually("it is seen", || !scene.peers.lives(gone)).await;
    assert_eq!(scene.ask().await.unwrap_err(), PeerError::Dead { replica: gone, sent: false });
    scene.process.child.wait().unwrap();
    scene.process = Process::start(scene.other, scene.at);
    assert_ne!(scene.process.id, gone);
    scene.eventually("the new one is found", || scene.peers.lives(scene.process.id)).await;
    assert!(scene.ask().await.is_ok());
    assert!(!scene.peers.lives(gone));
}
