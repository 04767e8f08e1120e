//! A replica without a gateway: it finds its peers and answers them. For tests that need processes, and to try a network by hand.
//!
//!     PEER_PSK=$(openssl rand -base64 32) replica 127.0.0.1 127.0.0.2
//!
//! Listens on the first address, looks for replicas on the others, prints its id, and answers `drip` with a body that never ends.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use holdfast_config::{Role, Source, load};
use holdfast_peers::{Asked, BoxedBody, Owner, Parts, Peers, ReplicaId};
use holdfast_seal::KeyRing;
use holdfast_telemetry::{PeerMetrics, Registry};
use holdfast_upstream::{Answer, BoxError, Resolve};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

struct Drip;

impl Owner for Drip {
    fn answer(&self, _: Asked) -> BoxFuture<'static, Response<BoxedBody>> {
        Box::pin(async {
            let drops = stream::unfold(tokio::time::interval(Duration::from_millis(10)), |mut tick| async {
                tick.tick().await;
                Some((Ok(Frame::data(Bytes::from_static(b"drop"))), tick))
            });
            Response::new(StreamBody::new(drops.boxed()).boxed_unsync())
        })
    }

    fn told(&self, from: ReplicaId, note: Bytes) {
        println!("told by {from}: {}", String::from_utf8_lossy(&note));
    }
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

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut addresses = std::env::args().skip(1);
    let host = addresses.next().unwrap();
    let peers: Vec<String> = addresses.collect();
    let text = format!(
        "ha: {{replica: {host}, peer_discovery: {{method: static, peers: [{}]}}, peer_channel: {{host: {host}, psk_env: PEER_PSK}}}}",
        peers.join(", ")
    );
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let ha = load(&[Source::Text { name: "arguments".into(), text }], &env, Role::Any).unwrap().config.ha;
    let parts = Parts {
        replica: ReplicaId::random(),
        version: env!("CARGO_PKG_VERSION"),
        generation: 1,
        ring: Arc::new(KeyRing::new([("test", [3; 32])]).unwrap()),
        metrics: Arc::new(PeerMetrics::new(&Registry::new(&BTreeMap::new()).unwrap())),
        resolver: Arc::new(NoNames),
        owner: Arc::new(Drip),
        control: tokio::runtime::Handle::current(),
    };
    let peers = Peers::start(&ha, parts).unwrap();
    println!("{}", peers.replica());
    std::future::pending::<()>().await;
}
