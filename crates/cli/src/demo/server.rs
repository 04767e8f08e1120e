//! One replica of the demo's MCP server: small, real, and stateful where the protocol is.
//!
//! It speaks the handshake versions (2025-03-26 to 2025-11-25, with sessions kept in this process's memory, so that they
//! die with it) and 2026-07-28 (stateless). Any MCP client can be pointed at it.

use super::tools;
use crate::args::DemoServerArgs;
use crate::exit::Failure;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Largest request read.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Sessions kept; the demo never needs more, and a stranger cannot make it grow.
const SESSIONS_MAX: usize = 10_000;
/// How long a tool works: calls must take some time for a kill to come in their middle.
const WORK: Duration = Duration::from_millis(5);
/// The stateless version.
const MODERN: &str = "2026-07-28";
/// Versions with a handshake, newest first (MCP 2025-11-25, lifecycle: answer an unknown version with one we speak).
const HANDSHAKE: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

/// What the replica remembers.
pub(crate) struct Replica {
    /// Shown by the tool `whoami`.
    pub(crate) name: String,
    sessions: Mutex<HashSet<String>>,
}

/// Serves until the process ends. Prints `listening on ADDR` once it accepts.
pub(crate) fn run(args: &DemoServerArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
        writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
        let replica = Arc::new(Replica { name: args.name.clone(), sessions: Mutex::default() });
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let replica = Arc::clone(&replica);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let replica = Arc::clone(&replica);
                    async move { Ok::<_, Infallible>(replica.answer(request).await) }
                });
                // A client that breaks its connection is no event for a demo server.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

impl Replica {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let session = header_text(&request, "mcp-session-id");
        match (request.method().clone(), request.uri().path()) {
            (Method::POST, "/mcp") => {}
            (Method::DELETE, "/mcp") => {
                let known = session.is_some_and(|id| self.lock().remove(&id));
                return empty(if known { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND });
            }
            (_, "/mcp") => return empty(StatusCode::METHOD_NOT_ALLOWED),
            _ => return empty(StatusCode::NOT_FOUND),
        }
        let Ok(body) = Limited::new(request.into_body(), MESSAGE_BYTES_MAX).collect().await else {
            return empty(StatusCode::PAYLOAD_TOO_LARGE);
        };
        match serde_json::from_slice::<Value>(&body.to_bytes()) {
            Ok(message) if message.is_object() => self.dispatch(&message, session).await,
            _ => {
                reply(StatusCode::BAD_REQUEST, &failure(&Value::Null, -32700, "not a JSON-RPC message"), None)
            }
        }
    }

    async fn dispatch(&self, message: &Value, session: Option<String>) -> Response<Full<Bytes>> {
        let method = message["method"].as_str().unwrap_or_default();
        let Some(id) = message.get("id") else { return empty(StatusCode::ACCEPTED) };
        if method == "initialize" {
            return self.initialize(message, id);
        }
        let modern = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str();
        match (modern, session) {
            (Some(MODERN), _) => {}
            (Some(other), _) => {
                let mut error = failure(id, -32022, "unsupported protocol version");
                error["error"]["data"] = json!({ "supported": [MODERN], "requested": other });
                return reply(StatusCode::BAD_REQUEST, &error, None);
            }
            (None, None) => {
                return reply(
                    StatusCode::BAD_REQUEST,
                    &failure(id, -32600, "Mcp-Session-Id is missing"),
                    None,
                );
            }
            (None, Some(session)) if !self.lock().contains(&session) => {
                return reply(StatusCode::NOT_FOUND, &failure(id, -32600, "no such session"), None);
            }
            (None, Some(_)) => {}
        }
        if method == "tools/call" {
            tokio::time::sleep(WORK).await;
        }
        let Some(mut result) = tools::call(&self.name, method, &message["params"]) else {
            let status = if modern.is_some() { StatusCode::NOT_FOUND } else { StatusCode::OK };
            return reply(status, &failure(id, -32601, "no such method"), None);
        };
        if modern.is_some() {
            mark_modern(method, &mut result);
        }
        reply(StatusCode::OK, &json!({ "jsonrpc": "2.0", "id": id, "result": result }), None)
    }

    fn initialize(&self, message: &Value, id: &Value) -> Response<Full<Bytes>> {
        let asked = message["params"]["protocolVersion"].as_str().unwrap_or_default();
        let version = if HANDSHAKE.contains(&asked) { asked } else { HANDSHAKE[0] };
        let session = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut sessions = self.lock();
        if sessions.len() >= SESSIONS_MAX {
            return reply(StatusCode::SERVICE_UNAVAILABLE, &failure(id, -32603, "too many sessions"), None);
        }
        sessions.insert(session.clone());
        let result = json!({
            "protocolVersion": version,
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "holdfast-demo", "version": env!("CARGO_PKG_VERSION") },
        });
        reply(StatusCode::OK, &json!({ "jsonrpc": "2.0", "id": id, "result": result }), Some(&session))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Members that 2026-07-28 requires of a result (server/discover, caching, resultType).
fn mark_modern(method: &str, result: &mut Value) {
    result["resultType"] = json!("complete");
    if method == "server/discover" {
        result["supportedVersions"] = json!([MODERN]);
        result["_meta"] = json!({ "io.modelcontextprotocol/serverInfo":
            { "name": "holdfast-demo", "version": env!("CARGO_PKG_VERSION") } });
    }
    if matches!(method, "server/discover" | "tools/list") {
        result["ttlMs"] = json!(60_000);
        result["cacheScope"] = json!("public");
    }
}

fn header_text(request: &Request<Incoming>, name: &str) -> Option<String> {
    request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn failure(id: &Value, code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn reply(status: StatusCode, body: &Value, session: Option<&str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(value) = session.and_then(|id| header::HeaderValue::from_str(id).ok()) {
        headers.insert("mcp-session-id", value);
    }
    response
}
