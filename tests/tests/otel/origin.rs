//! A server behind the gateway that remembers what it was sent, and gateways in front of it that trace.

use bytes::Bytes;
use holdfast_tests::{
    Result,
    gateway::{Config, Gateway},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// A header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Answers GETs with 200, or 500 below `/fail`; MCP messages with a result, or what the tool's name says. Ends with its owner.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Origin {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let all = Arc::clone(&all);
                let service = service_fn(move |request| answer(request, Arc::clone(&all)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, seen, task })
    }

    /// What arrived so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration of a gateway with this as the route `/api` and as the MCP server `/mcp/files`.
    pub(crate) fn config(&self, tracing: &str) -> Config {
        let address = self.address;
        let roots = format!(
            "apis: [{{name: api, path_prefix: /api, circuit_breaker: {{enabled: false}}, outlier_detection: {{enabled: false}}, endpoints: ['http://{address}']}}]\n\
             mcp:\n  servers:\n    - {{name: files, era: modern, endpoints: ['http://{address}/mcp']}}\n"
        );
        Config::default()
            .server(&["drain_delay: 0s", "max_drain: 10s"])
            .observability(&[&format!("tracing: {{{tracing}}}")])
            .root(&roots)
    }

    /// Such a gateway, started.
    pub(crate) async fn gateway(&self, tracing: &str) -> Result<Gateway> {
        Gateway::start(&self.config(tracing)).await
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    all: Arc<Mutex<Vec<Seen>>>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    all.lock().unwrap_or_else(PoisonError::into_inner).push(Seen {
        path: path.clone(),
        headers: head.headers,
        body,
    });
    if message.is_null() {
        let mut response = Response::new(Full::from("said"));
        *response.status_mut() =
            if path.contains("/fail") { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        return Ok(response);
    }
    let outcome = match message["params"]["name"].as_str().unwrap_or_default() {
        "broken" => json!({"error": {"code": -32603, "message": "broken"}}),
        "unknown" => json!({"error": {"code": -32602, "message": "unknown tool"}}),
        "sorry" => json!({"result": {"content": [], "isError": true, "resultType": "complete"}}),
        _ => json!({"result": {"content": [], "resultType": "complete"}}),
    };
    let mut answer = json!({"jsonrpc": "2.0", "id": message["id"]});
    join(&mut answer, &outcome);
    let mut response = Response::new(Full::from(answer.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Adds the members of one object to another.
pub(crate) fn join(to: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        to[name] = value.clone();
    }
}

/// `traceparent` of an attempt in its parts: trace, span, flags.
pub(crate) fn parts(traceparent: &str) -> (String, String, String) {
    let mut parts = traceparent.split('-').skip(1).map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    (next(), next(), next())
}
