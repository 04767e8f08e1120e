//! A real edge in front of a real route, and a scripted upstream on raw sockets.
#![allow(dead_code, unreachable_pub, missing_docs)]

use holdfast_apis::{ApiRoute, Tunnelled};
use holdfast_config::{self as config, Role, Source};
use holdfast_edge::{
    Body, ConnectionInfo, ContextDefaults, Edge, EdgeHandle, Handler, Hooks, RequestBody, RequestContext,
    Workers,
};
use holdfast_identity::{Authenticator, effective};
use holdfast_resilience::Deadline;
use holdfast_telemetry::{Registry, RouteMetrics};
use holdfast_upstream::{Background, Shared, Upstream};
use http::{Request, Response};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Nothing in these tests takes nearly as long.
pub const SOON: Duration = Duration::from_secs(10);

/// One side of a connection, read and written by hand.
pub struct Wire {
    pub stream: TcpStream,
    ahead: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new() }
    }

    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the other side may not want any more.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.ahead.extend_from_slice(&buffer[..n]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}; had {:?}", String::from_utf8_lossy(&self.ahead)),
        }
    }

    /// Up to and with `end`; what there is if the connection ends first.
    pub fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.ahead.windows(end.len()).position(|w| w == end.as_bytes());
            if let Some(at) = found {
                let rest = self.ahead.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.ahead, rest)).unwrap();
            }
            if !self.more() {
                return String::from_utf8(std::mem::take(&mut self.ahead)).unwrap();
            }
        }
    }

    pub fn head(&mut self) -> String {
        self.until("\r\n\r\n")
    }

    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert!(self.more(), "the connection ended early: {:?}", String::from_utf8_lossy(&self.ahead));
        }
        let rest = self.ahead.split_off(length);
        std::mem::replace(&mut self.ahead, rest)
    }

    pub fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8(std::mem::take(&mut self.ahead)).unwrap()
    }

    pub fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// An upstream that does with each connection what its script says.
pub struct Scripted {
    pub address: SocketAddr,
}

impl Scripted {
    pub fn start(script: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&script);
                thread::spawn(move || script(&mut Wire::new(stream)));
            }
        });
        Self { address }
    }

    /// Answers each request of each connection with `answer`, and hands its head and declared body out.
    pub fn answering(answer: &'static str) -> (Self, mpsc::Receiver<(String, String)>) {
        let (seen, requests) = mpsc::channel();
        let upstream = Self::start(move |wire| {
            loop {
                let head = wire.head();
                if head.is_empty() {
                    return;
                }
                let length = header(&head, "content-length").map_or(0, |v| v.parse().unwrap());
                let body = String::from_utf8(wire.exactly(length)).unwrap();
                let _ = seen.send((head, body));
                wire.send(answer);
            }
        });
        (upstream, requests)
    }
}

/// The only value of a header in a head; `None` if it is absent.
pub fn header(head: &str, name: &str) -> Option<String> {
    let mut values = head.lines().skip(1).filter_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    });
    let first = values.next();
    assert_eq!(values.next(), None, "{name} is there twice: {head}");
    first
}

/// The gateway's part around a route: context, identity, record.
struct Front {
    route: ApiRoute,
    name: Arc<str>,
    metrics: Arc<RouteMetrics>,
    authenticator: Authenticator,
    defaults: ContextDefaults,
}

impl Handler for Front {
    async fn handle(
        self: &Arc<Self>,
        request: &mut Request<RequestBody>,
        connection: &Arc<ConnectionInfo>,
    ) -> Response<Body> {
        let deadline = Deadline::after(Instant::now(), Duration::from_hours(1));
        let mut context =
            RequestContext::begin(request, connection, deadline, &mut fastrand::Rng::new(), &self.defaults);
        context.record.route = Some(Arc::clone(&self.name));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let response = match self.authenticator.authenticate(request.headers(), now) {
            Ok(principal) => {
                context.principal = principal;
                self.authenticator.strip(request.headers_mut());
                self.route.handle(&mut context, request, connection).await
            }
            Err(error) => Response::builder()
                .status(error.status())
                .header("www-authenticate", error.www_authenticate(None))
                .body(Body::Empty)
                .unwrap(),
        };
        if response.extensions().get::<Tunnelled>().is_some() {
            return response;
        }
        let mut record = context.record;
        record.status = response.status().as_u16();
        response.map(|body| body.recorded(record, Some(Arc::clone(&self.metrics)), context.started))
    }
}

/// A running gateway with one route.
pub struct Gateway {
    pub address: SocketAddr,
    pub metrics: Arc<RouteMetrics>,
    pub registry: Registry,
    pub edge: EdgeHandle,
    workers: Option<Workers>,
    _background: Background,
    _control: tokio::runtime::Runtime,
}

impl Gateway {
    /// `route` is YAML below `apis[0]`, `server` below `server`; both indented as they have to be.
    pub fn start(upstreams: &[SocketAddr], route: &str, server: &str) -> Self {
        let endpoints: Vec<String> = upstreams.iter().map(|a| format!("{{ url: \"http://{a}\" }}")).collect();
        let text = format!(
            "server:\n  host: 127.0.0.1\n  port: 0\n  workers: 1\n{server}\napis:\n  - name: api\n    path_prefix: /api\n    \
             endpoints: [{}]\n    health_check: {{ enabled: false }}\n{route}\n",
            endpoints.join(", ")
        );
        let env = BTreeMap::<String, String>::new();
        let sources = [Source::Text { name: "test".into(), text }];
        let config = config::load(&sources, &env, Role::Any).unwrap().config;
        Self::run(&config)
    }

    fn run(config: &config::Config) -> Self {
        let control =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let shared = Shared::build(config, &registry, None).unwrap();
        let api = &config.apis[0];
        let upstream = Upstream::build(&api.upstream, &shared, None).unwrap();
        let background = upstream.start(control.handle());
        let metrics = Arc::new(RouteMetrics::new(&registry, &api.name));
        let front = Arc::new(Front {
            route: ApiRoute::build(api, &config.server, upstream, Arc::clone(&metrics)).unwrap(),
            name: "api".into(),
            metrics: Arc::clone(&metrics),
            authenticator: Authenticator::build(effective(&api.auth, &config.auth)).unwrap(),
            defaults: ContextDefaults::default(),
        });
        let edge = Edge::bind(&config.server, &config.listeners, &registry).unwrap();
        let address = edge.bound()[0].address;
        let handle = edge.handle();
        let workers = edge.serve(&front, &Hooks::default()).unwrap();
        Self {
            address,
            metrics,
            registry,
            edge: handle,
            workers: Some(workers),
            _background: background,
            _control: control,
        }
    }

    pub fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    /// One request on a connection of its own; the head and all that follows.
    pub fn ask(&self, request: &str) -> (String, String) {
        let mut wire = self.connect();
        wire.send(request);
        let head = wire.head();
        (head, wire.rest())
    }

    /// A GET of `path` that ends its connection; `headers` are whole lines.
    pub fn get(&self, path: &str, headers: &str) -> (String, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: client.example\r\n{headers}Connection: close\r\n\r\n"
        ))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.edge.stop();
        if let Some(workers) = self.workers.take() {
            workers.join();
        }
    }
}

/// Looks at a condition until it holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}
