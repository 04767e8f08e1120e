//! Whoever speaks on the peer port without being a replica, or is one and does not keep the rules.

use super::{ME, PORT, PSK, Replica, address, eventually, fixed, ha, met, replicas, text};
use crate::{
    Ask, PeerState, Refusal, ReplicaId,
    channel::{Channel, Material},
    dial::request,
    hello::{Hello, tests::hello},
    wire::{self, No, WireAsk},
};
use bytes::Bytes;
use holdfast_telemetry::metrics::{PeerAnswer, PeerDial, PeerEnd};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A peer that has the key and writes what it likes.
struct Raw {
    sender: SendRequest<Full<Bytes>>,
}

impl Raw {
    async fn connect(to: &Replica) -> Self {
        let credentials = ha(address(), &fixed(&[]), PSK).peer_channel.credentials.unwrap();
        let material = Material::read(&credentials).unwrap();
        let channel = Channel::build(&credentials, &material).unwrap();
        let tcp = TcpStream::connect((to.address, PORT)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (io, _) = channel.connect(tcp, "peer").await.ok().unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    async fn greeted(to: &Replica, id: u64) -> Self {
        let mut raw = Self::connect(to).await;
        let answer = raw.send(wire::HELLO, hello(id).to_bytes().into()).await.unwrap();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(Hello::parse(&bytes).unwrap().replica, to.id);
        raw
    }

    async fn send(&mut self, path: &'static str, body: Bytes) -> hyper::Result<Response<Incoming>> {
        self.sender.send_request(request(path, body).unwrap()).await
    }

    /// A question with headers as they should be, but for what `change` does.
    async fn ask(
        &mut self,
        to: &Replica,
        nonce: u128,
        change: impl FnOnce(&mut http::HeaderMap),
    ) -> Response<Incoming> {
        let ask = Ask {
            what: "echo",
            handle: to.handle("test"),
            principal: ME,
            until: Instant::now(),
            body: Bytes::from_static(b"raw"),
        };
        let mut message = request(wire::ASK, ask.body.clone()).unwrap();
        WireAsk::of(&ask, Duration::from_secs(5), nonce).write(message.headers_mut()).unwrap();
        change(message.headers_mut());
        self.sender.send_request(message).await.unwrap()
    }
}

fn no(response: &Response<Incoming>) -> Option<No> {
    No::read(response.headers())
}

fn one(channel: &str) -> Replica {
    Replica::start(&ha(address(), &fixed(&[]), channel))
}

#[tokio::test]
async fn a_question_that_comes_twice_is_answered_once() {
    let replica = one(PSK);
    let mut raw = Raw::greeted(&replica, 9).await;
    assert_eq!(no(&raw.ask(&replica, 1, |_| ()).await), None);
    let replayed = Some(No::Refused(Refusal::Replayed));
    assert_eq!(no(&raw.ask(&replica, 1, |_| ()).await), replayed);
    let mut again = Raw::greeted(&replica, 9).await;
    assert_eq!(no(&again.ask(&replica, 1, |_| ()).await), replayed, "on another connection too");
    assert_eq!(no(&again.ask(&replica, 2, |_| ()).await), None);
    assert_eq!(replica.owner.asked.lock().len(), 2);
    assert_eq!(replica.metrics.answers.get(PeerAnswer::Replayed).get(), 2);
}

#[tokio::test]
async fn a_full_window_refuses_and_forgets_nothing() {
    let replica = one(&format!("{PSK}, max_nonces: 1024"));
    let mut raw = Raw::greeted(&replica, 9).await;
    for nonce in 0..1024 {
        assert_eq!(no(&raw.ask(&replica, nonce, |_| ()).await), None);
    }
    assert_eq!(no(&raw.ask(&replica, 5000, |_| ()).await), Some(No::Refused(Refusal::WindowFull)));
    assert_eq!(no(&raw.ask(&replica, 0, |_| ()).await), Some(No::Refused(Refusal::Replayed)));
}

#[tokio::test]
async fn a_question_that_breaks_a_rule_is_refused_by_its_name() {
    let replica = one(&format!("{PSK}, max_ask_bytes: 10, max_ask_time: 10s"));
    let mut raw = Raw::greeted(&replica, 9).await;
    let set = |name: &'static str, value: &'static str| {
        move |headers: &mut http::HeaderMap| {
            headers.insert(name, value.parse().unwrap());
        }
    };
    let malformed = Some(No::Refused(Refusal::Malformed));
    for (name, value, want) in [
        ("holdfast-hops", "2", Some(No::Looped)),
        ("holdfast-hops", "1", None),
        ("holdfast-nonce", "1", malformed),
        ("holdfast-within-ms", "-1", malformed),
        ("holdfast-within-ms", "10001", malformed),
        ("holdfast-within-ms", "99999999999", malformed),
        ("holdfast-what", "no such thing", malformed),
        ("holdfast-principal", "AAAA", malformed),
        ("holdfast-handle", "v1.k.AAAA", Some(No::Refused(Refusal::Handle))),
        ("holdfast-within-ms", "0", Some(No::Timeout)),
    ] {
        let nonce = fastrand::u128(..);
        let answer = raw.ask(&replica, nonce, set(name, value)).await;
        assert_eq!(no(&answer), want, "{name}: {value}");
    }
    assert_eq!(replica.owner.asked.lock().len(), 1);
    let mut message = request(wire::ASK, Bytes::from(vec![0; 11])).unwrap();
    let ask = Ask { until: Instant::now(), ..replica.question("echo") };
    WireAsk::of(&ask, Duration::from_secs(5), 77).write(message.headers_mut()).unwrap();
    let answer = raw.sender.send_request(message).await.unwrap();
    assert_eq!(no(&answer), Some(No::Refused(Refusal::TooLarge)));
}

#[tokio::test]
async fn who_has_not_greeted_is_told_nothing() {
    let replica = one(PSK);
    let mut raw = Raw::connect(&replica).await;
    assert_eq!(no(&raw.ask(&replica, 1, |_| ()).await), Some(No::Refused(Refusal::Protocol)));
    for path in [wire::PING, wire::TELL, "/", "/v1/other"] {
        assert_eq!(raw.send(path, Bytes::new()).await.unwrap().status(), StatusCode::BAD_REQUEST, "{path}");
    }
    for bad in ["", "{}", "null", &format!("{}{}", "[".repeat(2000), "]".repeat(2000))] {
        let answer = raw.send(wire::HELLO, Bytes::from(bad.to_owned())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    let large = raw.send(wire::HELLO, Bytes::from(vec![b' '; 5000])).await.unwrap();
    assert_eq!(large.status(), StatusCode::BAD_REQUEST);
    assert!(replica.owner.asked.lock().is_empty());
    eventually("its time is over", || replica.metrics.ended.get(PeerEnd::Timeout).get() == 1).await;
    assert!(raw.send(wire::PING, Bytes::new()).await.is_err());
}

#[tokio::test]
async fn a_second_hello_and_a_broken_batch_change_nothing() {
    let replica = one(PSK);
    let mut raw = Raw::greeted(&replica, 9).await;
    let answer = raw.send(wire::HELLO, hello(10).to_bytes().into()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(no(&raw.ask(&replica, 1, |_| ()).await), None);
    assert_eq!(replica.owner.asked.lock()[0].from, ReplicaId(9));
    let broken = raw.send(wire::TELL, Bytes::from_static(&[0, 0, 0, 1, 7, 0, 0])).await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert!(replica.owner.told.lock().is_empty(), "all of a batch or nothing");
}

#[tokio::test]
async fn a_peer_that_stops_pinging_loses_its_connection_and_its_streams() {
    let replica = one(PSK);
    let mut raw = Raw::greeted(&replica, 9).await;
    let answer = raw.ask(&replica, 1, |headers| {
        headers.insert("holdfast-what", "stream".parse().unwrap());
    });
    let _stream = answer.await;
    assert_eq!(replica.owner.busy(), 1);
    eventually("it is closed", || replica.metrics.ended.get(PeerEnd::Idle).get() == 1).await;
    eventually("the owner's work ends", || replica.owner.busy() == 0).await;
    assert_eq!(replica.metrics.connections.get(), 0);
}

#[tokio::test]
async fn garbage_half_open_and_slow_strangers_do_no_harm() {
    let all = replicas(2, &format!("{PSK}, max_handshakes: 16")).await;
    let [a, b] = &all[..] else { panic!() };
    let mut held = Vec::new();
    for n in 0..60u8 {
        let Ok(mut tcp) = TcpStream::connect((b.address, PORT)).await else { continue };
        match n % 5 {
            0 => {}
            1 => drop(tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await),
            2 => drop(tcp.write_all(&[0x16, 3, 1, 2, 0, 1]).await),
            3 => drop(tcp.write_all(&[0, 48, 1, 2, 3]).await),
            _ => drop(tcp.write_all(&[n; 400]).await),
        }
        held.push(tcp);
    }
    // Those who know each other do not notice.
    for _ in 0..20 {
        assert_eq!(text(a.ask(b, "echo").await.unwrap()).await.unwrap(), "question");
    }
    let ended = |reason| b.metrics.ended.get(reason).get();
    eventually("each is refused", || {
        ended(PeerEnd::Protocol)
            + ended(PeerEnd::Timeout)
            + ended(PeerEnd::MaxHandshakes)
            + ended(PeerEnd::Credential)
            == 60
    })
    .await;
    assert!(ended(PeerEnd::MaxHandshakes) > 0 && ended(PeerEnd::Protocol) > 0 && ended(PeerEnd::Timeout) > 0);
    for mut tcp in held {
        let mut got = Vec::new();
        drop(tokio::time::timeout(Duration::from_secs(5), tcp.read_to_end(&mut got)).await.unwrap());
        assert!(got.is_empty(), "not a byte for a stranger");
    }
    assert_eq!(b.metrics.replicas.get(), 1);
}

#[tokio::test]
async fn a_socket_that_never_answers_is_a_dial_that_ends_in_time() {
    let [at, silent] = [address(), address()];
    let listener = TcpListener::bind((silent, PORT)).await.unwrap();
    let replica = Replica::start(&ha(at, &fixed(&[silent]), PSK));
    eventually("it gives up, and tries again", || replica.metrics.dials.get(PeerDial::Timeout).get() >= 2)
        .await;
    assert_ne!(replica.states(), [PeerState::Living]);
    drop(listener);
    let other = Replica::start(&ha(silent, &fixed(&[at]), PSK));
    met(&[replica, other]).await;
}

#[tokio::test]
async fn a_replica_of_another_protocol_is_no_replica() {
    let [at, other] = [address(), address()];
    let listener = TcpListener::bind((other, PORT)).await.unwrap();
    let replica = Replica::start(&ha(at, &fixed(&[other]), PSK));
    let credentials = ha(other, &fixed(&[]), PSK).peer_channel.credentials.unwrap();
    let channel = Channel::build(&credentials, &Material::read(&credentials).unwrap()).unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok((io, _)) = channel.accept(tcp).await else { continue };
            let service = hyper::service::service_fn(|_| async {
                let mut later = hello(5);
                later.protocol += 1;
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(later.to_bytes()))))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(io), service));
        }
    });
    eventually("it is refused", || replica.metrics.dials.get(PeerDial::Protocol).get() >= 2).await;
    assert_eq!(replica.metrics.replicas.get(), 0);
}
