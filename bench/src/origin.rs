//! A small MCP server that answers at once, so that what is measured is the proxy.

use crate::Error;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::{BufRead as _, Write as _};

/// Serves on a free loopback port until the process ends.
pub(crate) fn run() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let second = tokio::net::TcpListener::bind(crate::peers::twin(listener.local_addr()?)).await?;
        writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
        loop {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted?,
                accepted = second.accept() => accepted?,
            };
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                // A proxy that closes its connection is no event here.
                let _ = hyper::server::conn::http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Ok(body) = request.into_body().collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let Ok(message) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let Some((text, session)) = result(&message) else { return Ok(status(StatusCode::ACCEPTED)) };
    let mut response = Response::new(Full::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(session) = session {
        headers.insert("mcp-session-id", header::HeaderValue::from_static(session));
    }
    Ok(response)
}

/// The same server as a program: a message a line. Ends with its input.
pub(crate) fn run_stdio() -> Result<(), Error> {
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    for line in input.lines() {
        if let Some((text, _)) = result(&serde_json::from_str(&line?)?) {
            writeln!(output, "{text}")?;
            output.flush()?;
        }
    }
    Ok(())
}

/// The answer to a message, if it gets one, and the session that it begins.
fn result(message: &Value) -> Option<(String, Option<&'static str>)> {
    let id = message.get("id")?;
    let modern = !message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_null();
    let mut session = None;
    let mut result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            session = Some("bench-session");
            json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "bench", "version": "1" } })
        }
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
            "ttlMs": 60_000, "cacheScope": "public" }),
        _ => json!({ "content": [{ "type": "text", "text": "x".repeat(256) }], "isError": false }),
    };
    if modern {
        result["resultType"] = json!("complete");
    }
    Some((json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string(), session))
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}
