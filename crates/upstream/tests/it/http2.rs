use crate::{
    server::{Act, Server},
    support::{Setup, at_rest, get, ok, post, until},
};
use bytes::Bytes;
use holdfast_config::Http2Mode;
use http::{Response, StatusCode};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::net::TcpListener;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Answer,
    /// RST_STREAM with REFUSED_STREAM on every stream.
    Refuse,
    /// GOAWAY that leaves out the first stream.
    GoAway,
}

struct H2 {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    hit: Arc<AtomicUsize>,
}

async fn h2(mode: Mode, streams_max: u32) -> H2 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = H2 {
        address: listener.local_addr().unwrap(),
        connections: Arc::default(),
        answered: Arc::default(),
        hit: Arc::default(),
    };
    let (connections, answered, hit) =
        (Arc::clone(&server.connections), Arc::clone(&server.answered), Arc::clone(&server.hit));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (answered, hit) = (Arc::clone(&answered), Arc::clone(&hit));
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                let mut connection: h2::server::Connection<_, Bytes> =
                    builder.max_concurrent_streams(streams_max).handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    hit.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(request.uri().scheme_str(), Some("http"));
                    match mode {
                        Mode::Refuse => respond.send_reset(h2::Reason::REFUSED_STREAM),
                        Mode::GoAway => {
                            connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                        }
                        Mode::Answer => {
                            answered.fetch_add(1, Ordering::SeqCst);
                            let mut body = respond.send_response(Response::new(()), false).unwrap();
                            body.send_data(Bytes::from_static(b"two"), true).unwrap();
                        }
                    }
                }
            });
        }
    });
    server
}

fn setup(urls: &[SocketAddr]) -> Setup {
    let mut setup = Setup::new(urls.iter().map(|address| format!("http://{address}"))).no_breaker();
    setup.upstream.http2 = Http2Mode::PriorKnowledge;
    setup
}

#[tokio::test]
async fn many_calls_share_one_connection() {
    let server = h2(Mode::Answer, 250).await;
    let upstream = setup(&[server.address]).build();
    // Two first: before the server's SETTINGS have come, a connection carries 100 streams; the second call sees them.
    ok(&upstream, get()).await;
    ok(&upstream, get()).await;
    let calls = (0..200).map(|_| ok(&upstream, get()));
    for (status, body) in futures_util::future::join_all(calls).await {
        assert_eq!((status, body.as_str()), (StatusCode::OK, "two"));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    at_rest(&upstream).await;
}

#[tokio::test]
async fn the_servers_stream_limit_and_the_cap_on_connections_are_kept() {
    let server = h2(Mode::Answer, 3).await;
    let mut setup = setup(&[server.address]);
    setup.config.connection_pool.max_size = 2;
    let upstream = setup.build();
    // One first, so that the server's SETTINGS have come.
    ok(&upstream, get()).await;
    let calls = (0..100).map(|_| ok(&upstream, get()));
    for (status, _) in futures_util::future::join_all(calls).await {
        assert_eq!(status, StatusCode::OK);
    }
    assert!(server.connections.load(Ordering::SeqCst) <= 2);
    at_rest(&upstream).await;
}

#[tokio::test]
async fn a_refused_stream_moves_even_an_unsafe_call() {
    let (refusing, good) = (h2(Mode::Refuse, 100).await, h2(Mode::Answer, 100).await);
    let upstream = setup(&[refusing.address, good.address]).build();
    for _ in 0..10 {
        assert_eq!(ok(&upstream, post("once")).await.1, "two");
    }
    assert_eq!(good.answered.load(Ordering::SeqCst), 10);
    assert!(refusing.hit.load(Ordering::SeqCst) > 0, "never picked: the test shows nothing");
}

#[tokio::test]
async fn a_goaway_below_a_stream_is_not_a_failure_of_its_call() {
    let (leaving, good) = (h2(Mode::GoAway, 100).await, h2(Mode::Answer, 100).await);
    let upstream = setup(&[leaving.address, good.address]).build();
    for _ in 0..10 {
        assert_eq!(ok(&upstream, get()).await.1, "two");
    }
    assert!(leaving.hit.load(Ordering::SeqCst) > 0, "never picked: the test shows nothing");
    at_rest(&upstream).await;
}

#[tokio::test]
async fn a_connection_that_the_server_ended_is_replaced() {
    let server = h2(Mode::Answer, 100).await;
    let upstream = setup(&[server.address]).build();
    ok(&upstream, post("a")).await;
    // A plain server instead: what was learnt of HTTP/2 does not outlive the configuration.
    let plain = Server::always(Act::Answer(200, "", "one")).await;
    let upstream_plain = Setup::of(&[&plain]).build();
    assert_eq!(ok(&upstream_plain, get()).await.1, "one");
    until("one connection", || server.connections.load(Ordering::SeqCst) == 1).await;
    assert_eq!(ok(&upstream, post("b")).await.1, "two");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}
