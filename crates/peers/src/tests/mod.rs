//! Replicas in one process, over real sockets. Each has a loopback address of its own, so all can have one port.

mod asks;
mod credentials;
mod discovery;
mod notes;
mod strangers;
mod stub;

use crate::{Ask, Handle, Parts, PeerBody, PeerError, PeerState, Peers, ReplicaId};
use bytes::Bytes;
use holdfast_config::{Ha, Role, Source, load};
use holdfast_seal::KeyRing;
use holdfast_telemetry::{PeerMetrics, Registry};
use holdfast_upstream::{Answer, BoxError, Resolve};
use http::Response;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use stub::Stub;

pub(crate) const PORT: u16 = 9444;
pub(crate) const PSK: &str = "psk: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
pub(crate) const ME: [u8; 32] = [5; 32];

/// Long enough for a busy machine, short enough to fail.
const PATIENCE: Duration = Duration::from_secs(20);

/// An address that no other test has.
pub(crate) fn address() -> IpAddr {
    Ipv4Addr::new(127, fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255)).into()
}

pub(crate) fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::new([("k", [3; 32])]).unwrap())
}

/// The block `ha` with quick pings. `channel` may hold more keys of `peer_channel`.
pub(crate) fn ha(host: IpAddr, discovery: &str, channel: &str) -> Ha {
    let text = format!(
        "ha: {{region: r, zone: z, replica: at-{host}, peer_discovery: {{interval: 100ms, {discovery}}}, peer_channel: {{host: {host}, \
         ping_interval: 100ms, idle_timeout: 1s, max_retry_delay: 300ms, handshake_timeout: 1s, {channel}}}}}"
    );
    let source = Source::Text { name: "t".into(), text };
    load(&[source], &BTreeMap::new(), Role::Any).map_err(|report| report.render(false)).unwrap().config.ha
}

pub(crate) fn fixed(addresses: &[IpAddr]) -> String {
    // Nobody is there: a list must not be empty.
    let nobody = [IpAddr::from([127, 255, 255, 254])];
    let addresses = if addresses.is_empty() { &nobody } else { addresses };
    let peers: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!("method: static, peers: [{}]", peers.join(", "))
}

/// A replica, with all that a test looks at.
pub(crate) struct Replica {
    pub(crate) peers: Arc<Peers>,
    pub(crate) id: ReplicaId,
    pub(crate) owner: Arc<Stub>,
    pub(crate) metrics: Arc<PeerMetrics>,
    pub(crate) address: IpAddr,
}

impl Replica {
    pub(crate) fn start(ha: &Ha) -> Self {
        Self::with_names(ha, &Names::default())
    }

    pub(crate) fn try_start(ha: &Ha) -> Result<Self, crate::BuildError> {
        Self::build(ha, &Names::default())
    }

    pub(crate) fn with_names(ha: &Ha, names: &Names) -> Self {
        Self::build(ha, names).unwrap()
    }

    fn build(ha: &Ha, names: &Names) -> Result<Self, crate::BuildError> {
        let id = ReplicaId::random();
        let metrics = Arc::new(PeerMetrics::new(&Registry::new(&BTreeMap::new()).unwrap()));
        let owner = Stub::new();
        let parts = Parts {
            replica: id,
            version: "1.2.3",
            generation: 7,
            ring: ring(),
            metrics: Arc::clone(&metrics),
            resolver: Arc::new(names.clone()),
            owner: Arc::clone(&owner) as _,
            control: tokio::runtime::Handle::current(),
        };
        let peers = Peers::start(ha, parts)?;
        owner.know(&peers);
        Ok(Self { peers, id, owner, metrics, address: ha.peer_channel.host })
    }

    /// A handle to something of this replica.
    pub(crate) fn handle(&self, kind: &str) -> String {
        Handle::new(self.id, kind, b"thing").seal(&ring(), &ME, crate::shared::unix_now() + 60).unwrap()
    }

    pub(crate) fn question(&self, what: &'static str) -> Ask {
        Ask {
            what,
            handle: self.handle("test"),
            principal: ME,
            until: Instant::now() + PATIENCE,
            body: Bytes::from_static(b"question"),
        }
    }

    /// Asks another replica.
    pub(crate) async fn ask(
        &self,
        other: &Self,
        what: &'static str,
    ) -> Result<Response<PeerBody>, PeerError> {
        self.peers.ask(other.id, other.question(what)).await
    }

    pub(crate) fn states(&self) -> Vec<PeerState> {
        self.peers.view().iter().map(|view| view.state).collect()
    }
}

/// Replicas that know of each other, with `channel` keys, after they have met.
pub(crate) async fn replicas(count: usize, channel: &str) -> Vec<Replica> {
    let addresses: Vec<IpAddr> = (0..count).map(|_| address()).collect();
    let start = |at: &IpAddr| Replica::start(&ha(*at, &fixed(&addresses), channel));
    let all: Vec<Replica> = addresses.iter().map(start).collect();
    met(&all).await;
    all
}

pub(crate) async fn met<R: std::borrow::Borrow<Replica>>(all: &[R]) {
    for a in all.iter().map(R::borrow) {
        for b in all.iter().map(R::borrow).filter(|b| b.id != a.id) {
            eventually("they meet", || a.peers.lives(b.id)).await;
        }
    }
}

pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A whole answer, or how it broke off.
pub(crate) async fn text(response: Response<PeerBody>) -> Result<String, crate::Torn> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The next piece of a body.
pub(crate) async fn piece(body: &mut PeerBody) -> Option<Result<Bytes, crate::Torn>> {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("a piece or an end in time")?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Names and their addresses; a test changes them.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>);

impl Names {
    pub(crate) fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.0.lock().insert(name.into(), addresses.to_vec());
    }
}

impl Resolve for Names {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send + 'a>> {
        let addresses = self.0.lock().get(name).cloned();
        Box::pin(async move {
            let addresses = addresses.ok_or("no such name")?;
            Ok(Answer { addresses, ttl: None })
        })
    }
}
