//! The admin sockets and what they answer.

use super::access::{self, Operation, Refusal, Transport};
use super::page;
use crate::gateway::Gateway;
use bytes::Bytes;
use holdfast_config as config;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

/// Connections to the admin API at once. Scrapers and operators are few; more wait in the accept queue.
const CONNECTIONS_MAX: usize = 128;
/// Time for a request head, so that a silent connection frees its place.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest life of one admin connection.
const CONNECTION_LIFE_MAX: Duration = Duration::from_mins(10);
/// Largest request body; none of the operations reads one.
const BODY_BYTES_MAX: usize = 4096;
/// Pause after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin API could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("admin port {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("admin socket {}: {source}", path.display())]
    Socket { path: PathBuf, source: std::io::Error },
}

/// Bound sockets, not yet answering.
pub(crate) struct Admin {
    tcp: Option<TcpListener>,
    unix: Option<(UnixListener, PathBuf)>,
    token: Option<config::Secret>,
}

impl Admin {
    /// Binds what the configuration asks for. Runs on the control runtime.
    pub(crate) async fn bind(config: &config::Admin) -> Result<Self, AdminError> {
        let mut admin = Self { tcp: None, unix: None, token: config.token.clone() };
        if !config.enabled {
            return Ok(admin);
        }
        let address = SocketAddr::new(config.host, config.port);
        let tcp = TcpListener::bind(address).await.map_err(|source| AdminError::Bind { address, source })?;
        admin.tcp = Some(tcp);
        if let Some(path) = &config.unix_socket {
            let failed = |source| AdminError::Socket { path: path.clone(), source };
            remove_stale(path).map_err(failed)?;
            let listener = UnixListener::bind(path).map_err(failed)?;
            // Whoever may open the socket may drain the gateway: its owner alone.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
            admin.unix = Some((listener, path.clone()));
        }
        Ok(admin)
    }

    /// The TCP address, with the port that was really bound.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Answers until the task is dropped.
    pub(crate) async fn run(self, gateway: Arc<Gateway>) {
        let api =
            Arc::new(Api { gateway, token: self.token, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) });
        let tcp = async {
            let Some(listener) = self.tcp else { return std::future::pending().await };
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => api.spawn(stream, Transport::Tcp(peer)).await,
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        };
        let unix = async {
            let Some((listener, path)) = self.unix else { return std::future::pending().await };
            let _remove = RemoveOnDrop(path);
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => api.spawn(stream, Transport::Unix).await,
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        };
        tokio::join!(tcp, unix);
    }
}

struct Api {
    gateway: Arc<Gateway>,
    token: Option<config::Secret>,
    places: Arc<Semaphore>,
}

impl Api {
    async fn spawn<S>(self: &Arc<Self>, stream: S, transport: Transport)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
        let api = Arc::clone(self);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let api = Arc::clone(&api);
                async move { Ok::<_, Infallible>(api.answer(request, transport).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // How an operator's connection ends is of no consequence.
            let _ = tokio::time::timeout(CONNECTION_LIFE_MAX, connection).await;
            drop(place);
        });
    }

    async fn answer(&self, request: Request<Incoming>, transport: Transport) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let Some(operation) = access::operation(&parts.method, path) else {
            return text(StatusCode::NOT_FOUND, "no such page; see docs/operations/admin.md\n");
        };
        if let Err(refusal) = access::decide(operation, transport, &parts.headers, self.token.as_ref()) {
            return refuse(refusal, operation);
        }
        if parts.method == Method::POST
            && http_body_util::BodyExt::collect(Limited::new(body, BODY_BYTES_MAX)).await.is_err()
        {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "this operation takes no body\n");
        }
        match path {
            "/metrics" if !self.gateway.runtime().config.observability.metrics.enabled => {
                text(StatusCode::NOT_FOUND, "observability.metrics.enabled is false\n")
            }
            "/metrics" => metrics(&self.gateway),
            "/health" => text(StatusCode::OK, "ok\n"),
            "/healthz" | "/ready" => ready(&self.gateway),
            "/status" => json(&self.gateway.status()),
            "/" => html(page::render(&self.gateway.status())),
            "/reload" => reload(&self.gateway).await,
            "/drain" => {
                self.gateway.begin_drain("admin API");
                text(StatusCode::ACCEPTED, "draining\n")
            }
            _ => text(StatusCode::NOT_FOUND, "no such page\n"),
        }
    }
}

/// `/ready`: should this process get traffic? Never the health of something it depends on.
fn ready(gateway: &Gateway) -> Response<Full<Bytes>> {
    if gateway.is_ready() {
        text(StatusCode::OK, "ready\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}

async fn reload(gateway: &Arc<Gateway>) -> Response<Full<Bytes>> {
    match gateway.reload("admin API").await {
        Ok(done) => text(StatusCode::OK, &done.to_string()),
        Err(refused) => text(StatusCode::UNPROCESSABLE_ENTITY, &refused.to_string()),
    }
}

fn metrics(gateway: &Gateway) -> Response<Full<Bytes>> {
    const TYPE: HeaderValue =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    let mut response = Response::new(Full::from(gateway.render_metrics()));
    response.headers_mut().insert(header::CONTENT_TYPE, TYPE);
    response
}

fn refuse(refusal: Refusal, operation: Operation) -> Response<Full<Bytes>> {
    if refusal != Refusal::BadToken {
        return text(StatusCode::FORBIDDEN, refusal.text());
    }
    let mut response = text(StatusCode::UNAUTHORIZED, refusal.text());
    let challenge = match operation {
        Operation::Look => "Basic realm=\"holdfast admin: any user, the admin token as password\"",
        Operation::Probe | Operation::Mutate => "Bearer realm=\"holdfast admin\"",
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body.to_owned())
}

fn json(value: &serde_json::Value) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, "application/json", value.to_string())
}

fn html(body: String) -> Response<Full<Bytes>> {
    let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", body);
    let policy =
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A socket file that nobody answers on is left over from a process that was killed.
fn remove_stale(path: &std::path::Path) -> std::io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, "another process answers on it")),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}
