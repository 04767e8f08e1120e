//! A running edge with an echoing handler, and a client that speaks bytes.

use bytes::Bytes;
use futures_util::StreamExt as _;
use holdfast_config::{ByteSize, Listener, ListenerProtocol, ProxyProtocol, Server, ServerTls};
use holdfast_edge::{
    Body, Bound, ConnectionInfo, DrainHandle, Edge, EdgeHandle, Handler, Hooks, Limited, LongLived,
    RequestBody, Workers, local_response,
};
use holdfast_telemetry::Registry;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// How long any test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Echoes, and does what a few paths ask for.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) requests: AtomicUsize,
    pub(crate) gate: Notify,
}

impl Handler for Echo {
    async fn handle(
        self: &Arc<Self>,
        request: &mut Request<RequestBody>,
        connection: &Arc<ConnectionInfo>,
    ) -> Response<Body> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let long = request.uri().query() == Some("long");
        let mut response = self.answer(request, connection).await;
        if long {
            response.extensions_mut().insert(LongLived);
        }
        response
    }
}

impl Echo {
    async fn answer(
        &self,
        request: &mut Request<RequestBody>,
        connection: &ConnectionInfo,
    ) -> Response<Body> {
        match request.uri().path() {
            "/client" => text(format!("{} {}", connection.client, connection.listener)),
            "/tls" => text(format!("{:?} {:?}", connection.tls, connection.http)),
            "/wait" => {
                self.gate.notified().await;
                text("done".to_owned())
            }
            "/early" => Response::new(Body::full("early")),
            "/silent" => Response::new(silent()),
            "/pieces" => Response::new(pieces()),
            "/torn" => Response::new(torn()),
            "/flood" => Response::new(flood()),
            "/politely" => Response::new(until_drain(connection.drain.clone())),
            "/tunnel" => tunnel(request),
            _ => echo(std::mem::take(request)).await,
        }
    }
}

fn text(text: String) -> Response<Body> {
    Response::new(Body::full(text))
}

async fn echo(request: Request<RequestBody>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, &head.headers, 64 * 1024) {
        Ok(body) => body.collect().await,
        Err(error) => Err(error),
    };
    match body {
        Ok(body) => {
            let trailer = body.trailers().and_then(|trailers| trailers.get("x-sum").cloned());
            let mut bytes = format!("{} {} ", head.method, head.uri).into_bytes();
            bytes.extend_from_slice(&body.to_bytes());
            let mut response = Response::new(Body::full(bytes));
            response.headers_mut().extend(trailer.map(|sum| (http::HeaderName::from_static("x-sum"), sum)));
            response
        }
        Err(error) => local_response(error.status()),
    }
}

fn silent() -> Body {
    let first = futures_util::stream::iter([Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"first")))]);
    Body::boxed(StreamBody::new(first.chain(futures_util::stream::pending())))
}

/// Pieces of all sizes, an empty one among them.
fn pieces() -> Body {
    let piece =
        |length: &usize| Ok::<_, io::Error>(Frame::data(vec![b'a' + (length % 26) as u8; *length].into()));
    Body::boxed(StreamBody::new(futures_util::stream::iter(PIECES.iter().map(piece))))
}

pub(crate) const PIECES: [usize; 8] = [1, 0, 4096, 4097, 3, 200_000, 15_000, 77];

fn torn() -> Body {
    let pieces = [Ok(Frame::data(Bytes::from_static(b"first"))), Err(io::Error::other("torn"))];
    Body::boxed(StreamBody::new(futures_util::stream::iter(pieces)))
}

fn flood() -> Body {
    let block = Bytes::from(vec![b'x'; 64 * 1024]);
    Body::boxed(StreamBody::new(futures_util::stream::repeat_with(move || {
        Ok::<_, io::Error>(Frame::data(block.clone()))
    })))
}

fn until_drain(drain: DrainHandle) -> Body {
    let last = async move {
        drain.closing().await;
        Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"bye")))
    };
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"hello ")))]);
    Body::boxed(StreamBody::new(first.chain(futures_util::stream::once(last))))
}

fn tunnel(request: &mut Request<RequestBody>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut read, mut write) = tokio::io::split(hyper_util::rt::TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
    response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
    response
}

/// The documented defaults.
pub(crate) fn server() -> Server {
    let seconds = Duration::from_secs;
    Server {
        workers: 2,
        max_connections: 1000,
        max_connections_per_ip: 1000,
        max_handshakes: 256,
        accept_rate: 10_000,
        accept_burst: 1000,
        handshake_timeout: seconds(10),
        header_timeout: seconds(10),
        read_timeout: seconds(30),
        write_timeout: seconds(30),
        idle_timeout: seconds(75),
        stream_idle_timeout: Duration::from_hours(1),
        max_header_bytes: ByteSize::kib(64),
        max_headers: 100,
        max_body_bytes: ByteSize::mib(64),
        max_concurrent_streams: 256,
        max_pending_resets: 20,
        trusted_proxies: Vec::new(),
        drain_delay: Duration::ZERO,
        max_drain: seconds(30),
        certificate_reload_interval: Duration::from_hours(1),
    }
}

pub(crate) fn listener(tls: Option<ServerTls>) -> Listener {
    Listener {
        name: "server".to_owned(),
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        protocol: ListenerProtocol::Http,
        tls,
        proxy_protocol: ProxyProtocol::Off,
    }
}

/// A running edge; ended when dropped.
pub(crate) struct Running {
    pub(crate) handle: EdgeHandle,
    pub(crate) handler: Arc<Echo>,
    pub(crate) registry: Registry,
    bound: Vec<Bound>,
    workers: Option<Workers>,
}

impl Running {
    pub(crate) fn start(server: &Server, listeners: &[Listener]) -> Self {
        let registry = Registry::new(&BTreeMap::new()).expect("registry");
        let edge = Edge::bind(server, listeners, &registry).expect("bind");
        let (handle, bound) = (edge.handle(), edge.bound().to_vec());
        let handler = Arc::new(Echo::default());
        let workers = edge.serve(&handler, &Hooks::default()).expect("serve");
        Self { handle, handler, registry, bound, workers: Some(workers) }
    }

    pub(crate) fn plain() -> Self {
        Self::start(&server(), &[listener(None)])
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.bound[0].address
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Value of a metric line that begins with `prefix`.
    pub(crate) fn metric(&self, prefix: &str) -> u64 {
        let page = self.registry.render();
        let line = page.lines().find(|line| line.starts_with(prefix));
        let line = line.unwrap_or_else(|| panic!("no line begins with {prefix} in\n{page}"));
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("whole number")
    }

    /// Waits for the end of the drain; returns whether it was orderly.
    pub(crate) fn join(mut self) -> bool {
        self.workers.take().expect("running").join()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(workers) = self.workers.take() {
            workers.join();
        }
    }
}

/// Polls `condition` until it holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// A client that speaks bytes.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_nodelay(true).expect("nodelay");
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("write");
    }

    /// Everything up to the end of the connection. A reset is a failure.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).expect("orderly end of the connection");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the connection ended, in whatever way, without another byte.
    pub(crate) fn is_gone(&mut self) -> bool {
        match self.0.read(&mut [0; 1]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Reads until `end` came, and returns what was read.
    pub(crate) fn until(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0; 1];
        while !seen.ends_with(end.as_bytes()) {
            let read = self.0.read(&mut byte).expect("read");
            assert!(read == 1, "the connection ended after {:?}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// One response with a content length: head and body.
    pub(crate) fn response(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("body");
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) fn get(&mut self, path: &str) -> (String, String) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        self.response()
    }
}
